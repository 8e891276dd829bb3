"""The routing policies walked through as users meet them: over REST and the stream, each in the trace and at once."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.floor import (
    ONE_CHAT,
    events,
    present,
    taken,
    trace,
    until,
)
from tests.support.service import Client

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SOMEBODY_ELSE = {"type": "phone", "value": "+8613900139000"}


async def queue(tenant: Client, name: str = "default", **policy: Any) -> None:
    await tenant.call("PUT", f"/v1/queues/{name}", json=policy)


async def settings(tenant: Client, **changed: Any) -> None:
    await tenant.call("PUT", "/v1/settings", json=changed)


async def chat(tenant: Client, name: str, **body: Any) -> dict[str, Any]:
    return await tenant.contact(name, channel="webchat", **body)


async def comes(tenant: Client, contact: dict[str, Any], *states: str) -> dict[str, Any]:
    """The contact, once it has come to one of these states."""
    return dict(await until(tenant, f"/v1/contacts/{contact['id']}", lambda each: each["state"] in states))


async def offered_to(tenant: Client, contact: dict[str, Any], agent_id: str) -> dict[str, Any]:
    """The contact, once it is offered to this agent."""

    def is_offered(each: dict[str, Any]) -> bool:
        return (each["state"], (each["assignment"] or {}).get("agent_id")) == ("offered", agent_id)

    return dict(await until(tenant, f"/v1/contacts/{contact['id']}", is_offered))


def holder(contact: dict[str, Any]) -> str | None:
    return None if contact["assignment"] is None else str(contact["assignment"]["agent_id"])


async def decided(tenant: Client, contact: dict[str, Any], decision: str) -> dict[str, Any]:
    """The last decision of this kind in the contact's trace."""
    return [each for each in await trace(tenant, contact) if each["decision"] == decision][-1]


# -- 1: who may take it ------------------------------------------------------------------------------------------------


async def test_agents_and_teams_are_included_and_excluded(tenant: Client) -> None:
    await present(tenant, "anna", teams=["red"])
    await present(tenant, "ben", teams=["blue"])
    await present(tenant, "cleo")
    choices: list[tuple[dict[str, Any], str, set[str]]] = [
        ({"agents": {"include": ["ben"]}}, "ben", {"not_the_target"}),
        ({"agents": {"exclude": ["anna", "ben"]}}, "cleo", {"excluded"}),
        ({"teams": {"include": ["blue"]}}, "ben", {"team"}),
        ({"teams": {"exclude": ["red", "blue"]}}, "cleo", {"team_excluded"}),
        (
            {"agents": {"include": ["anna", "ben"]}, "teams": {"exclude": ["red"]}},
            "ben",
            {"not_the_target", "team_excluded"},
        ),
    ]
    for number, (choice, agent_id, reasons) in enumerate(choices):
        contact = await chat(tenant, f"c-{number}", **choice)
        assert agent_id == holder(contact), choice
        why = await decided(tenant, contact, "offered")
        assert agent_id == why["winner"]["agent_id"]
        assert reasons == {each["reason"] for each in why["excluded"]}, choice
        assert why["terms"]
    refused = await tenant.call(
        "POST",
        "/v1/contacts",
        422,
        json={"channel": "webchat", "identity": SOMEBODY_ELSE, "agents": {"include": ["nobody"]}},
    )
    assert ("unknown_reference", "agents.include.0") == (refused["code"], refused["field"])


async def test_required_tags_with_levels_weights_and_an_end(tenant: Client) -> None:
    await present(tenant, "anna", skills={"refund": 40, "orders": 10}, languages=["zh"])
    await present(tenant, "ben", skills={"refund": 90}, languages=["en"])
    need = {"tag": "refund", "level": 50}
    assert "ben" == holder(await chat(tenant, "c-1", tags=[need]))
    assert "anna" == holder(await chat(tenant, "c-2", tags=["refund"], language="zh-Hant-TW"))
    preferred = [
        {"tag": "refund", "level": 50, "required": False, "weight": 2},
        {"tag": "orders", "required": False, "weight": 3},
    ]
    third = await chat(tenant, "c-3", tags=preferred)
    assert "anna" == holder(third)
    best = await decided(tenant, third, "offered")
    assert [("anna", 3), ("ben", 2)] == [
        (each["agent_id"], each["score"]) for each in (best["winner"], *best["runners_up"])
    ]
    waiting = await chat(tenant, "c-4", tags=[{**need, "expires_after_s": 1}], language="zh")
    assert {"skill_level:refund", "language"} == {
        each["reason"].partition(":zh")[0] for each in (await decided(tenant, waiting, "waiting"))["excluded"]
    }
    assert "anna" == holder(await comes(tenant, waiting, "offered"))
    assert "requirement_lapsed" == (await decided(tenant, waiting, "reclassified"))["reason"]


# -- 2: rules ----------------------------------------------------------------------------------------------------------


def days(zone: str, *, now: bool) -> list[str]:
    """The weekdays of today and tomorrow in this zone, or all others."""
    today = datetime.now(ZoneInfo(zone)).weekday()
    found = {WEEKDAYS[today], WEEKDAYS[(today + 1) % 7]}
    return [each for each in WEEKDAYS if (each in found) is now]


async def test_every_condition_of_a_rule_counts_and_every_result_follows(tenant: Client) -> None:
    first = await tenant.contact("before", channel="email", tags=["refund"])
    await tenant.call(
        "PATCH", f"/v1/customers/{first['customer_id']}", json={"tier": "gold", "attributes": {"region": "south"}}
    )
    always = {"time_zone": "Asia/Shanghai", "from": "00:00", "to": "24:00"}
    conditions: list[dict[str, Any]] = [
        {"channels": ["webchat"]},
        {"accounts": ["shop"]},
        {"tags_any": ["refund", "other"]},
        {"tags_all": ["refund", "orders"]},
        {"tags_none": ["sales"]},
        {"customer_tiers": ["gold"]},
        {"languages": ["zh"]},
        {"attributes": {"order.items": ["phone"], "menu": [2]}},
        {"customer_attributes": {"region": ["south"]}},
        {"text": ["退 款", "chargeback"]},
        {"repeat": True},
        {"time": {**always, "days": days("Asia/Shanghai", now=True)}},
        {"time": {**always, "days": days("Asia/Shanghai", now=False)}},
    ]
    for number, when in enumerate(conditions):
        await tenant.call("PUT", f"/v1/rules/r-{number:02}", json={"when": when, "then": {"priority": 1 << number}})
    every = {
        "account": "shop",
        "tags": ["refund", "orders"],
        "language": "zh-CN",
        "attributes": {"order": {"items": ["case", "phone"]}, "menu": 2},
        "text": "我要退款，谢谢",
    }
    contact = await chat(tenant, "c-1", **every)
    assert (1 << 12) - 1 == contact["priority"], "all of them hold but the one for other days"
    other = await tenant.contact("c-2", channel="email", tags=["sales"], identity=SOMEBODY_ELSE, text="hello")
    assert 1 << 11 == other["priority"], "none holds but the time of day"
    assert ["r-11"] == (await decided(tenant, other, "waiting"))["rules"]
    asked = {"channel": "webchat", "identity": {"type": "phone", "value": "+8613800138000"}, **every}
    dry = await tenant.call("POST", "/v1/routing:explain", json=asked)
    assert (1 << 12) - 1 == dry["priority"]
    for number in range(len(conditions)):
        await tenant.call("DELETE", f"/v1/rules/r-{number:02}", 204)
    assert 0 == (await chat(tenant, "c-3", **every))["priority"], "at once"


async def test_every_result_of_a_rule_follows(tenant: Client) -> None:
    for agent_id, team in (("anna", "red"), ("ben", "blue"), ("cleo", "blue")):
        await present(tenant, agent_id, teams=[team], skills={"refund": 50, "urgent": 50})
    await queue(tenant, "money")
    await tenant.call(
        "PUT", "/v1/rules/a", json={"order": 1, "when": {"text": ["refund"]}, "then": {"add_tags": ["urgent"]}}
    )
    then = {"queue": "money", "priority": 60, "preferred_agent_id": "ben", "teams": {"include": ["blue"]}}
    await tenant.call("PUT", "/v1/rules/b", json={"order": 2, "when": {"tags_any": ["urgent"]}, "then": then})
    await tenant.call(
        "PUT", "/v1/rules/c", json={"order": 3, "when": {"channels": ["webchat"]}, "then": {"queue": "default"}}
    )
    contact = await chat(tenant, "c-1", text="A refund, please")
    assert ("money", 60, ["urgent"], "ben") == (contact["queue"], contact["priority"], contact["tags"], holder(contact))
    assert {"agent_id": "ben", "kind": "rule"}.items() <= contact["target"].items()
    why = await decided(tenant, contact, "offered")
    assert (["a", "b", "c"], {"agent_id": "ben", "kind": "rule"}) == (why["rules"], why["target"])
    limits = {"agents": {"include": ["anna", "cleo"], "exclude": ["anna"]}}
    await tenant.call("PUT", "/v1/rules/b", json={"order": 2, "when": {"tags_any": ["urgent"]}, "then": limits})
    assert "cleo" == holder(await chat(tenant, "c-2", text="A refund, please"))


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"then": {"queue": "nowhere"}}, "then.queue"),
    ({"then": {"preferred_agent_id": "nobody"}}, "then.preferred_agent_id"),
    ({"then": {"agents": {"exclude": ["nobody"]}}}, "then.agents.exclude.0"),
    ({"when": {"tags_all": ["a"], "tags_none": ["a"]}, "then": {"priority": 1}}, "when.tags_none"),
    (
        {"when": {"time": {"time_zone": "Mars/Base", "from": "08:00", "to": "9:00"}}, "then": {"priority": 1}},
        "when.time.to",
    ),
    (
        {"when": {"time": {"time_zone": "Mars/Base", "from": "08:00", "to": "09:00"}}, "then": {"priority": 1}},
        "when.time.time_zone",
    ),
    ({"when": {"text": ["  "]}, "then": {"priority": 1}}, "when.text.0"),
    ({"when": {"channels": ["Not A Channel"]}, "then": {"priority": 1}}, "when.channels.0"),
    ({"when": {"languages": ["chinese"]}, "then": {"priority": 1}}, "when.languages.0"),
    ({"when": {"attributes": {"region": []}}, "then": {"priority": 1}}, "when.attributes.region"),
    ({"when": {"moon": "full"}, "then": {"priority": 1}}, "when.moon"),
    ({"when": {"channels": ["voice"]}, "then": {}}, "then"),
]


@pytest.mark.parametrize(("rule", "place"), BROKEN, ids=[place for _, place in BROKEN])
async def test_a_broken_rule_is_refused_with_the_place_and_the_reason(
    shared: Client, rule: dict[str, Any], place: str
) -> None:
    problem = await shared.call("PUT", "/v1/rules/broken", 422, json=rule)
    named = problem["errors"][0] if problem.get("errors") else problem
    assert place == named["field"], problem
    assert named.get("reason") or named.get("detail"), problem
    await shared.call("GET", "/v1/rules/broken", 404)


# -- 3: queues ---------------------------------------------------------------------------------------------------------


async def test_each_distribution_holds_from_the_next_contact_on(tenant: Client) -> None:
    """Cleo, Anna and Dan have a chat each, in this order. Ben has none, and is asked first; Dan knows most."""
    for agent_id, level in (("anna", 30), ("ben", 20), ("cleo", 10), ("dan", 99)):
        await present(tenant, agent_id, skills={"refund": level})
    for agent_id in ("cleo", "anna", "dan"):
        await taken(tenant, agent_id, agents={"include": [agent_id]})
    expected: list[tuple[dict[str, Any], str]] = [
        ({"distribution": "longest_idle"}, "ben"),
        ({"distribution": "round_robin"}, "cleo"),
        ({"distribution": "least_loaded"}, "ben"),
        ({"distribution": "best_skilled"}, "dan"),
        ({"distribution": "weighted", "weights": {"idle": 0, "load": 1}}, "ben"),
        ({"distribution": "weighted", "weights": {"idle": 0, "skill": 1}}, "dan"),
    ]
    for number, (policy, agent_id) in enumerate(expected):
        await queue(tenant, **policy)
        contact = await chat(tenant, f"c-{number}", tags=["refund"])
        assert agent_id == holder(contact), policy
        assert policy["distribution"] == (await decided(tenant, contact, "offered"))["distribution"]
        await tenant.call("POST", f"/v1/contacts/{contact['id']}/cancel", json={})


async def test_a_step_is_not_waited_for_where_nobody_could_fit(tenant: Client) -> None:
    await present(tenant, "anna", skills={"refund": 30}, languages=["en"], teams=["back"])
    loosened: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"drop": ["orders"]}, {"tags": ["orders"]}),
        ({"prefer": ["*"]}, {"tags": ["orders"]}),
        ({"lower": {"refund": 30}}, {"tags": [{"tag": "refund", "level": 80}]}),
        ({"any_language": True}, {"language": "zh"}),
        ({"any_team": True}, {"teams": {"include": ["front"]}}),
        ({"add_teams": ["back"]}, {"teams": {"include": ["front"]}}),
    ]
    for number, (step, need) in enumerate(loosened):
        steps = [{"after_s": 300, "priority": 60}, {"after_s": 600, **step}]
        await queue(tenant, f"q-{number}", steps=steps, split=False)
        contact = await chat(tenant, f"c-{number}", queue=f"q-{number}", **{"tags": [], **need})
        assert ("anna", 2, 60) == (holder(contact), contact["step"], contact["priority"]), step
        skipped = await decided(tenant, contact, "relaxed")
        assert ("nobody_fits", 2) == (skipped["reason"], skipped["step"])
        assert 2 == (await decided(tenant, contact, "offered"))["step"]
        await tenant.call("POST", f"/v1/contacts/{contact['id']}/cancel", json={})


async def test_who_is_one_too_many_overflows_in_each_way(tenant: Client) -> None:
    await present(tenant, "rita", teams=["reserve"], channels=ONE_CHAT)
    await queue(tenant, "spare")
    full: dict[str, Any] = {"max_length": 0, "teams": ["front"]}
    await queue(tenant, "a", **full, overflow={"action": "queue", "queue": "spare"})
    await queue(tenant, "b", **full, overflow={"action": "teams", "teams": ["reserve"]})
    await queue(
        tenant, "c", **full, overflow={"action": "callback", "message": "We call you.", "callback_after_s": 3600}
    )
    await queue(tenant, "d", **full, overflow={"action": "close", "reason": "too_busy", "message": "Try later."})
    reserve = await chat(tenant, "b", queue="b")
    assert ("offered", "rita", "b") == (reserve["state"], holder(reserve), reserve["queue"])
    spare, back, closed = [await chat(tenant, name, queue=name) for name in "acd"]
    assert ("waiting", "spare") == (spare["state"], spare["queue"])
    assert ("parked", "callback") == (back["state"], back["park_reason"])
    assert ("closed", "overflowed") == (closed["state"], closed["outcome"])
    told = {each["contact_id"]: each["data"] for each in await events(tenant, "contact.overflowed")}
    for contact, name, action in (
        (spare, "a", "queue"),
        (reserve, "b", "teams"),
        (back, "c", "callback"),
        (closed, "d", "close"),
    ):
        why = await decided(tenant, contact, "overflowed")
        assert (action, name, "max_length") == (why["action"], why["from_queue"], why["reason"])
        assert action == told[contact["id"]]["action"]
    ends = {each["contact_id"]: each["data"]["reason"] for each in await events(tenant, "contact.closed")}
    assert "too_busy" == ends[closed["id"]]


async def test_who_has_waited_too_long_overflows_and_is_called_back(tenant: Client) -> None:
    late: dict[str, Any] = {"max_wait_s": 1}
    await queue(tenant, "spare")
    await queue(tenant, "a", **late, overflow={"action": "queue", "queue": "spare"})
    await queue(tenant, "c", **late, overflow={"action": "callback", "callback_after_s": 1})
    spare, back = [await chat(tenant, name, queue=name) for name in "ac"]
    assert "max_wait" == (await decided(tenant, await comes(tenant, back, "parked"), "overflowed"))["reason"]
    await until(tenant, f"/v1/contacts/{spare['id']}", lambda each: each["queue"] == "spare")
    await comes(tenant, back, "waiting")
    assert "callback" == (await decided(tenant, back, "resumed"))["reason"]


async def test_hours_and_holidays_go_by_the_queues_own_clock(tenant: Client) -> None:
    """The same date is a holiday in one zone and not yet, or no more, one in the other: 26 hours lie between them."""
    east, west = "Pacific/Kiritimati", "Etc/GMT+12"
    await present(tenant, "anna", capacity=1000, channels={"webchat": {"cost": 1, "max": 99}})
    week = {day: [["00:00", "24:00"]] for day in WEEKDAYS}
    now = datetime.now(ZoneInfo(east))
    dates: dict[str, Any] = {each.date().isoformat(): [] for each in (now, now + timedelta(minutes=5))}
    await queue(tenant, "east", hours={"time_zone": east, "days": week, "dates": dates})
    await queue(tenant, "west", hours={"time_zone": west, "days": week, "dates": dates})
    shut = {"action": "callback", "message": "Tomorrow."}
    await queue(tenant, "shut", hours={"time_zone": east, "days": week, "dates": dates, "closed": shut})
    assert "offered" == (await chat(tenant, "c-1", queue="west"))["state"]
    waiting = await chat(tenant, "c-2", queue="east")
    assert ("waiting", "closed") == (waiting["state"], (await decided(tenant, waiting, "waiting"))["queue_is"])
    asked = await tenant.call("POST", "/v1/routing:explain", json={"contact_id": waiting["id"]})
    assert (False, "closed") == (asked["open"], asked["queue_is"])
    back = await chat(tenant, "c-3", queue="shut")
    opens = (now + timedelta(minutes=5) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert ("parked", opens.astimezone(UTC)) == (back["state"], datetime.fromisoformat(back["parked_until"]))
    assert "closed" == (await decided(tenant, back, "overflowed"))["reason"]
    await queue(tenant, "east", hours={"time_zone": east, "days": week})
    assert "offered" == (await comes(tenant, waiting, "offered"))["state"], "opened at once"
