"""The routing policies walked through as users meet them: over REST and the stream, each in the trace and at once."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.floor import CHATS, ONE_CHAT, acting, answer, do, events, got, moment, present, taken, trace, until
from tests.support.service import Client
from tests.support.visitor import website

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
        "identity": {"type": "phone", "value": "+8613800138000", "proven": True},
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
    asked = {"channel": "webchat", **every}
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
    sent = (await tenant.call("GET", "/v1/messages?channel=webchat"))["items"]
    texts = {each["message"]["contact_id"]: (each["message"]["from"], each["message"]["text"]) for each in sent}
    assert {back["id"]: ("system", "We call you."), closed["id"]: ("system", "Try later.")} == texts


async def test_what_a_queue_says_reaches_a_visitor_of_a_website(tenant: Client) -> None:
    browser = await website(tenant)
    await queue(tenant, hours={"time_zone": "UTC", "closed": {"action": "callback", "message": "我们明天联系您。"}})
    async with browser.socket() as visitor:
        await visitor.say("有人吗")
        while "我们明天联系您。" not in visitor.texts:
            await visitor.frame()
        assert ["有人吗", "我们明天联系您。"] == visitor.texts
        said = (await events(tenant, "message.queued"))[-1]
        assert ("queue:default", "我们明天联系您。") == (said["data"]["by"], said["data"]["message"]["text"])
        path = f"/v1/contacts/{said['contact_id']}/messages"
        await until(tenant, path, lambda each: each["items"][0]["state"] == "sent")


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


async def test_what_a_queue_reaches_of_its_service_level_is_told(tenant: Client) -> None:
    await queue(tenant, service_level={"within_s": 1, "percent": 60})
    await present(tenant, "anna")
    for name in ("c-1", "c-2"):
        await taken(tenant, name)
    late = await chat(tenant, "c-3", tags=["nobody"])
    assert {"contacts": 2, "reached_percent": 100.0, "met": True}.items() <= (await reached(tenant)).items()
    await until(tenant, "/v1/stats", lambda each: each["queues"]["default"]["service_level"]["contacts"] == 3)
    await tenant.call("PATCH", f"/v1/contacts/{late['id']}", json={"tags": []})
    await answer(tenant, await got(tenant, late), "accept")
    await queue(tenant, service_level={"within_s": 1, "percent": 70})
    expected = {
        "within_s": 1,
        "percent": 70,
        "contacts": 3,
        "answered_within": 2,
        "reached_percent": 66.7,
        "met": False,
    }
    assert expected == await reached(tenant), "who was late counts once"
    shares = await tenant.call("GET", "/v1/stats")
    share = {"contacts": 3, "answered_within": 2, "reached_percent": 66.7}
    assert share == shares["channels"]["webchat"]["service_level"]
    late_share = {"contacts": 1, "answered_within": 0, "reached_percent": 0.0}
    assert late_share == shares["tags"]["nobody"]["service_level"], "it had the tag when it was late"


async def reached(tenant: Client) -> dict[str, Any]:
    return dict((await tenant.call("GET", "/v1/stats"))["queues"]["default"]["service_level"])


# -- 4: capacity -------------------------------------------------------------------------------------------------------


async def test_units_channels_and_what_they_exclude_or_interrupt(tenant: Client) -> None:
    channels = {
        "voice": {"cost": 60, "max": 1, "excludes": ["webchat"]},
        "webchat": {"cost": 20, "max": 2},
        "email": {"cost": 50, "max": 2, "interruptible": True},
    }
    await present(tenant, "anna", channels=channels)
    chats = [await taken(tenant, f"w-{number}") for number in range(2)]
    third = await chat(tenant, "w-2")
    assert "no_capacity" == (await decided(tenant, third, "waiting"))["excluded"][0]["reason"], "two at most"
    call = await tenant.contact("v-1")
    assert "waiting" == call["state"], "a call excludes chats, either way round"
    mail = await taken(tenant, "m-1", channel="email")
    assert "waiting" == (await tenant.contact("m-2", channel="email"))["state"], "90 of 100 units"
    await tenant.call("POST", f"/v1/contacts/{third['id']}/cancel", json={})
    for each in chats:
        await answer(tenant, each, "complete")
    call = await got(tenant, call)
    assert "offered" == call["state"]
    agent = await tenant.call("GET", "/v1/agents/anna")
    assert 60 == agent["load"], "the mail stepped aside for the call"
    released = await decided(tenant, mail, "released")
    assert ("interrupted", "anna") == (released["reason"], released["agent_id"])
    await answer(tenant, call, "accept")
    await answer(tenant, call, "complete")
    assert "anna" == (await decided(tenant, mail, "retaken"))["agent_id"]
    assert 100 == (await tenant.call("GET", "/v1/agents/anna"))["load"], "the mail and the one that waited"


async def test_units_are_given_back_in_the_silence_and_taken_again(tenant: Client) -> None:
    await settings(tenant, silence_s={"webchat": 1})
    await present(tenant, "anna", channels={"webchat": {"cost": 100, "max": 9}})
    silent = await taken(tenant, "c-1")
    second = await offered_to(tenant, await chat(tenant, "c-2"), "anna")
    assert "silent" == (await decided(tenant, silent, "released"))["reason"]
    third = await chat(tenant, "c-3")
    await do(tenant, silent, "messages", text="I am back")
    await answer(tenant, second, "accept")
    await answer(tenant, second, "complete")
    assert 100 == (await tenant.call("GET", "/v1/agents/anna"))["load"]
    assert ("waiting", "active") == ((await got(tenant, third))["state"], (await got(tenant, silent))["state"])
    assert await decided(tenant, silent, "retaken")


# -- 5: offers ---------------------------------------------------------------------------------------------------------


async def test_of_several_desktops_the_first_has_it_and_the_others_are_told(tenant: Client) -> None:
    await queue(tenant, offer_to=2)
    for agent_id in ("anna", "ben", "cleo"):
        await tenant.agent(agent_id, channels=CHATS)
    async with (
        tenant.desktop("anna", status="available") as anna,
        tenant.desktop("ben", status="available") as ben,
        tenant.desktop("cleo", status="available"),
    ):
        contact = await chat(tenant, "c-1")
        offers = [(await each.event("contact.offered"))["data"]["assignment_id"] for each in (anna, ben)]
        assert (await ben.ask(type="accept", assignment_id=offers[1]))["ok"]
        revoked = await anna.event("offer.revoked")
        assert (offers[0], "taken_by_another") == (revoked["data"]["assignment_id"], revoked["data"]["reason"])
        late = await anna.ask(type="accept", assignment_id=offers[0])
        assert "offer_ended" == late["problem"]["code"]
    assert ("active", "ben") == ((found := await got(tenant, contact))["state"], holder(found))
    assert ["anna", "ben"] == (await decided(tenant, contact, "offered"))["offered_to"]
    assert "anna" == (await decided(tenant, contact, "revoked"))["agent_id"]


async def test_a_decline_or_a_miss_cools_down_and_misses_make_away(tenant: Client) -> None:
    await settings(tenant, missed_offers_max=2, reoffer_after_s=1)
    await queue(tenant, offer_timeout_s=1)
    await present(tenant, "anna", channels=ONE_CHAT)
    contact = await chat(tenant, "c-1", priority=5)
    await answer(tenant, contact, "decline", reason="lunch is near")
    declined = await decided(tenant, contact, "declined")
    assert ("anna", "lunch is near") == (declined["agent_id"], declined["reason"])
    asked = await tenant.call("POST", "/v1/routing:explain", json={"contact_id": contact["id"]})
    assert ["barred"] == [each["code"] for each in asked["agents"][0]["reasons"]]
    again = await offered_to(tenant, contact, "anna")
    assert again["assignment"]["id"] != contact["assignment"]["id"]
    assert 5 == again["priority"], "a requeued contact keeps its rank"
    await until(tenant, "/v1/agents/anna", lambda each: each["presence"]["status"] == "away")
    agent = await tenant.call("GET", "/v1/agents/anna")
    assert "missed_offers" == agent["presence"]["reason"]
    assert 2 == len([each for each in await trace(tenant, contact) if each["decision"] == "expired"])
    excluded = (await tenant.call("POST", "/v1/routing:explain", json={"contact_id": contact["id"]}))["agents"][0]
    assert "away" == excluded["reasons"][0]["code"]


async def test_nobody_is_asked_more_often_than_the_queue_says(tenant: Client) -> None:
    await queue(tenant, reoffer_after_s=0, asks_max=2)
    await present(tenant, "anna")
    contact = await chat(tenant, "c-1")
    for _ in range(2):
        assert "anna" == holder(contact), "with no cool-down it comes again at once"
        await answer(tenant, contact, "decline")
        contact = await got(tenant, contact)
    assert ("waiting", ["asked_all"]) == (contact["state"], contact["flags"])
    assert "asked_all" == (await decided(tenant, contact, "flagged"))["flag"]
    await queue(tenant, auto_accept=True)
    await present(tenant, "ben")
    contact = await got(tenant, contact)
    assert ("active", "ben") == (contact["state"], holder(contact)), "what is accepted by itself needs no answer"


# -- 6: preferred agents -----------------------------------------------------------------------------------------------


async def test_the_dedicated_and_the_last_agent_are_waited_for_only_while_they_are_there(tenant: Client) -> None:
    await queue(tenant, dedicated_wait_s=1, last_agent_wait_s=60)
    for agent_id in ("anna", "ben"):
        await present(tenant, agent_id, channels=ONE_CHAT)
    first = await taken(tenant, "c-1", agents={"include": ["anna"]})
    path = f"/v1/customers/{first['customer_id']}"
    last = await chat(tenant, "c-2")
    assert ("waiting", "anna", "last") == (last["state"], last["target"]["agent_id"], last["target"]["kind"])
    await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "away"})
    assert "ben" == holder(await got(tenant, last)), "who has left is not waited for"
    assert "target_unavailable" == (await decided(tenant, last, "reclassified"))["reason"]
    await tenant.call("PATCH", path, json={"preferred_agent_id": "ben"})
    await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    await answer(tenant, first, "complete")
    dedicated = await chat(tenant, "c-3")
    assert {"agent_id": "ben", "kind": "dedicated"}.items() <= dedicated["target"].items(), "before the last one"
    released = await offered_to(tenant, dedicated, "anna")
    assert "target_lapsed" == (await decided(tenant, released, "reclassified"))["reason"]
    await tenant.call("PUT", "/v1/agents/ben/presence", json={"status": "offline"})
    third = await chat(tenant, "c-4")
    assert third["target"] is None or third["target"]["agent_id"] == "anna"


async def test_a_reopened_contact_never_lands_on_somebody_who_is_not_there(tenant: Client) -> None:
    await present(tenant, "anna", channels=ONE_CHAT)
    contact = await taken(tenant, "c-1")
    await do(tenant, contact, "park", until=moment(3600), reason="customer")
    await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "offline"})
    await do(tenant, contact, "messages", text="here is my answer")
    waiting = await got(tenant, contact)
    assert ("waiting", None) == (waiting["state"], waiting["target"])
    assert "customer" == (await decided(tenant, contact, "resumed"))["reason"]
    await present(tenant, "ben", channels=ONE_CHAT)
    assert "ben" == holder(await got(tenant, contact))


# -- 7: the supervisor's hand ------------------------------------------------------------------------------------------


async def test_what_a_supervisor_does_says_who_and_why(tenant: Client) -> None:
    for agent_id in ("anna", "ben", "sue"):
        await tenant.agent(agent_id, channels=CHATS)
    await present(tenant, "anna")
    contact = await taken(tenant, "c-1")
    other = await chat(tenant, "c-2")
    async with acting(tenant, "sue", "supervisor") as sue:
        await do(sue, contact, "take_back", reason="wrong hands")
        await do(sue, contact, "pin", agent_id="ben", reason="knows her")
        await do(sue, contact, "pin", agent_id=None, reason="he is ill")
        await do(sue, other, "take_back", reason="too soon")
        await do(sue, other, "assign", agent_id="anna", reason="after all")
        await do(sue, other, "escalate", reason="angry")
        await do(sue, other, "transfer", to={"queue": "default"}, reason="second opinion")
        await sue.call("POST", "/v1/queues/default/pause", json={"reason": "fire drill"})
        await sue.call("POST", "/v1/agents/anna/pause", json={"reason": "training"})
    done = [
        (each["decision"], each.get("why") or each.get("reason"))
        for each in await trace(tenant, contact)
        if each.get("by") == "sue"
    ]
    assert [("lost", "wrong hands"), ("reclassified", "knows her"), ("reclassified", "he is ill")] == done
    done = [
        (each["decision"], each.get("why") or each.get("reason"))
        for each in await trace(tenant, other)
        if each.get("by") == "sue"
    ]
    expected = [
        ("revoked", "too soon"),
        ("assigned", "after all"),
        ("escalated", "angry"),
        ("transferred", "second opinion"),
    ]
    assert expected == done
    told = [each["data"] for each in await events(tenant, "queue.updated", "agent.paused")]
    assert [("sue", "fire drill"), ("sue", "training")] == [
        (each["by"], each["reason"]) for each in told if each.get("by")
    ]
    taken_back = (await events(tenant, "assignment.lost"))[0]["data"]
    assert ("sue", "wrong hands", "taken_back") == (taken_back["by"], taken_back["why"], taken_back["reason"])
    offered = [each["data"] for each in await events(tenant, "contact.offered") if each["data"]["by"] == "sue"]
    assert ["after all"] == [each["why"] for each in offered]


async def test_a_long_wait_and_the_third_transfer_are_flagged(tenant: Client) -> None:
    await settings(tenant, wait_flag_s=1, transfer_flag_count=3)
    waiting = await chat(tenant, "c-1", tags=["nobody"])
    for agent_id in ("anna", "ben"):
        await present(tenant, agent_id)
    contact = await taken(tenant, "c-2")
    for _ in range(3):
        to = "ben" if holder(contact) == "anna" else "anna"
        told = await do(tenant, contact, "transfer", to={"agent_id": to}, dry_run=True)
        assert {"position", "estimated_wait_s", "estimated_wait"} <= told.keys(), "the wait is told first"
        contact = await do(tenant, contact, "transfer", to={"agent_id": to}, reason="knows more")
        await answer(tenant, contact, "accept")
    assert (3, ["transfers"]) == (contact["transfers"], contact["flags"])
    flagged = await until(tenant, f"/v1/contacts/{waiting['id']}", lambda each: each["flags"])
    assert (["long_wait"], "long_wait") == (flagged["flags"], (await decided(tenant, waiting, "flagged"))["flag"])


# -- 8: parked contacts ------------------------------------------------------------------------------------------------


async def test_a_departments_answer_brings_it_back_and_a_broken_promise_is_an_alarm(tenant: Client) -> None:
    await settings(tenant, park_return_s=0)
    await queue(tenant, owner_wait_s=60, offer_timeout_s=60)
    await tenant.call("PUT", "/v1/departments/depot", json={"teams": ["depot"], "deadlines": {"feedback_s": 3600}})
    await present(tenant, "anna", channels={"webchat": {"cost": 50, "max": 2}})
    await present(tenant, "dora", teams=["depot"], channels={"email": {"cost": 1}})
    asked, promised = [await taken(tenant, name) for name in ("c-1", "c-2")]
    help_ = await do(tenant, asked, "collaborations", department="depot")
    await do(tenant, asked, "park", until=moment(3600), reason="department", note="where is it?")
    await do(tenant, promised, "park", until=moment(1), reason="promised")
    assert 0 == (await tenant.call("GET", "/v1/agents/anna"))["load"]
    async with acting(tenant, "dora") as dora:
        await dora.call("POST", f"/v1/collaborations/{help_['id']}/reply", json={"kind": "feedback", "text": "here"})
    back = await got(tenant, asked)
    assert ("offered", "anna", "owner") == (back["state"], holder(back), back["target"]["kind"])
    assert {"reason": "department", "by": "dora"}.items() <= (await decided(tenant, asked, "resumed")).items()
    late = await until(tenant, f"/v1/contacts/{promised['id']}", lambda each: "late" in each["flags"])
    assert ("offered", "anna") == (late["state"], holder(late)), "to the owner first"
    assert [promised["id"]] == [each["contact_id"] for each in await events(tenant, "contact.late")]
    assert await decided(tenant, promised, "late")


async def test_a_trial_keeps_one_person_in_one_arm_whatever_it_comes_by(tenant: Client) -> None:
    await tenant.call("PUT", "/v1/pilots/half", json={"percent": 50, "queues": {"default": {"offer_timeout_s": 9}}})

    async def comes_by(number: int) -> dict[str, Any]:
        return await chat(tenant, uuid.uuid4().hex, identity={"type": "visitor", "value": f"v-{number}"})

    first, number = await comes_by(0), 1
    while (other := await comes_by(number))["pilot"] == first["pilot"]:
        number += 1
    await tenant.call("POST", f"/v1/customers/{first['customer_id']}/merge", json={"customer_id": other["customer_id"]})
    arms = [(await comes_by(each))["pilot"] for each in (0, number)]
    assert [first["pilot"]] * 2 == arms


# -- 9: help, seasons, approvals ---------------------------------------------------------------------------------------


async def test_nobody_covers_it_alone_so_one_leads_and_others_help_by_the_seasons_deadlines(tenant: Client) -> None:
    season = {"from": moment(-60), "until": moment(3600), "feedback_s": 10800}
    past = {"from": moment(-7200), "until": moment(-3600), "feedback_s": 5}
    body = {"teams": ["depot"], "deadlines": {"feedback_s": 60}, "dated": [past, season]}
    await tenant.call("PUT", "/v1/departments/depot", json=body)
    await present(tenant, "anna", skills={"refund": 50})
    await present(tenant, "dora", skills={"logistics": 50}, teams=["depot"])
    tags = [{"tag": "logistics", "weight": 1}, {"tag": "refund", "weight": 5}]
    contact = await taken(tenant, "c-1", tags=tags)
    assert "anna" == holder(contact), "who covers most by weight leads"
    [help_] = contact["collaborations"]
    assert ("dora", 7200) == (help_["agent_id"], help_["deadlines"]["feedback_s"])
    assert "split" == (await decided(tenant, contact, "reclassified"))["reason"]
    assert "dora" == (await decided(tenant, contact, "requested"))["agent_id"]
    asked = await do(tenant, contact, "collaborations", department="depot")
    assert 10800 == asked["deadlines"]["feedback_s"], "the season's"
    await tenant.call("PUT", "/v1/departments/depot", json={**body, "dated": [past]})
    asked = await do(tenant, contact, "collaborations", department="depot")
    assert 60 == asked["deadlines"]["feedback_s"], "at once"
    approval = await do(tenant, contact, "collaborations", agent_id="dora", approval=True)
    async with acting(tenant, "dora") as dora:
        path = f"/v1/collaborations/{approval['id']}/reply"
        refused = await dora.call("POST", path, json={"text": "too much", "approved": False})
    assert (False, "closed", "refused") == (refused["approved"], refused["state"], refused["reason"])
    assert "anna" == holder(await got(tenant, contact)), "the lead stays responsible"


async def test_a_newcomer_asks_its_mentor_and_a_skill_runs_out(tenant: Client) -> None:
    await queue(tenant, breather={"tags": ["abuse"], "seconds": 30})
    await present(tenant, "mira", skills={"refund": 10}, channels={"email": {"cost": 1}})
    await present(tenant, "expert", skills={"refund": 99}, channels={"email": {"cost": 1}})
    ends = {"refund": {"level": 50, "until": moment(2)}}
    newcomer = {"newcomer": {"until": moment(3600), "percent": 50}, "mentor_id": "mira"}
    await present(tenant, "nina", skills={**ends, "abuse": 1}, **newcomer)
    contact = await taken(tenant, "c-1", tags=["refund", "abuse"])
    asked = await do(tenant, contact, "collaborations", tags=[{"tag": "refund", "level": 90}])
    assert "mira" == asked["agent_id"], "before whoever knows more"
    await taken(tenant, "c-2", tags=["abuse"])
    full = await chat(tenant, "c-3", tags=["abuse"])
    assert "no_capacity" in {each["reason"] for each in (await decided(tenant, full, "waiting"))["excluded"]}
    done = await answer(tenant, contact, "complete")
    assert "wrap_up" == done["state"], "a breather after a hostile contact"
    late = await asyncio.wait_for(_waits_for(tenant, "refund"), 8)
    reasons = {each["reason"] for each in (await decided(tenant, late, "waiting"))["excluded"]}
    assert "skill_missing:refund" in reasons, "it has run out"


async def _waits_for(tenant: Client, skill: str) -> dict[str, Any]:
    """A contact that nobody has the skill for any more."""
    while True:
        need = [{"tag": skill, "level": 50}]
        asked = await tenant.call("POST", "/v1/routing:explain", json={"channel": "webchat", "tags": need})
        nina = next(each for each in asked["agents"] if each["agent_id"] == "nina")
        if f"skill_missing:{skill}" in {each["code"] for each in nina["reasons"]}:
            return await chat(tenant, "late", tags=need)
        await asyncio.sleep(0.1)


# -- 10: position and estimated wait -----------------------------------------------------------------------------------


async def test_position_and_range_move_as_the_queue_moves(tenant: Client) -> None:
    await present(tenant, "anna", channels=ONE_CHAT)
    contacts = [await chat(tenant, f"c-{number}") for number in range(7)]
    for number in range(3):
        contact = await got(tenant, contacts[number])
        await answer(tenant, contact, "accept")
        await asyncio.sleep(0.6)
        await answer(tenant, contact, "complete")
    first, before = await got(tenant, contacts[4]), await got(tenant, contacts[6])
    assert first["estimated_wait_s"] < before["estimated_wait_s"], "who stands further behind waits longer"
    await answer(tenant, await got(tenant, contacts[3]), "accept")
    after = await got(tenant, contacts[6])
    assert (3, 3) == (before["position"], after["position"])
    await answer(tenant, await got(tenant, contacts[3]), "complete")
    after = await got(tenant, contacts[6])
    assert 2 == after["position"]
    wait = after["estimated_wait"]
    assert wait["low_s"] <= after["estimated_wait_s"] <= wait["high_s"]
    last = await chat(tenant, "c-7")
    await tenant.call("PATCH", f"/v1/contacts/{last['id']}", json={"priority": 60})
    assert (1, 3) == ((await got(tenant, last))["position"], (await got(tenant, contacts[6]))["position"])


# -- 11: explain -------------------------------------------------------------------------------------------------------


async def test_every_reason_against_an_agent_is_told_by_trace_and_explain_alike(tenant: Client) -> None:
    await queue(tenant, "desk", teams=["front"], steps=[{"after_s": 600, "drop": ["refund"]}], split=False)
    fitting: dict[str, Any] = {"skills": {"refund": 80}, "teams": ["front"], "languages": ["zh"]}
    await present(tenant, "able", **fitting)
    await present(tenant, "other_skill", **{**fitting, "skills": {"orders": 80}})
    await present(tenant, "low_level", **{**fitting, "skills": {"refund": 20}})
    await present(tenant, "other_team", **{**fitting, "teams": ["back"]})
    await present(tenant, "other_language", **{**fitting, "languages": ["en"]})
    await present(tenant, "other_channel", **{**fitting, "channels": {"email": {"cost": 1}}})
    await present(tenant, "left_out", **fitting)
    await tenant.agent("offline", **fitting, channels=CHATS)
    await present(tenant, "away", **fitting)
    await tenant.call("PUT", "/v1/agents/away/presence", json={"status": "away", "reason": "lunch"})
    await present(tenant, "paused", **fitting)
    await tenant.call("POST", "/v1/agents/paused/pause", json={"reason": "training"})
    await present(tenant, "busy", **fitting, channels=ONE_CHAT)
    await present(tenant, "declines", **fitting)
    async with tenant.desktop("declines", status="available"):
        await tenant.agent("gone", **fitting, channels=CHATS)
        async with tenant.desktop("gone", status="available"):
            pass
        await taken(tenant, "before", agents={"include": ["busy"]})
        need = {"tags": [{"tag": "refund", "level": 50}], "language": "zh", "queue": "desk"}
        only = await chat(tenant, "c-1", **need, agents={"include": ["declines"], "exclude": ["left_out"]})
        await answer(tenant, only, "decline")
        path = f"/v1/contacts/{only['id']}"
        contact = await tenant.call("PATCH", path, json={"agents": {"exclude": ["left_out", "able"]}})
        assert "waiting" == contact["state"]
        expected = {
            "able": "excluded",
            "other_skill": "skill_missing:refund",
            "low_level": "skill_level:refund",
            "other_team": "team",
            "other_language": "language",
            "other_channel": "channel",
            "left_out": "excluded",
            "offline": "offline",
            "away": "away",
            "paused": "paused",
            "busy": "no_capacity",
            "declines": "barred",
            "gone": "disconnected",
        }
        asked = await tenant.call("POST", "/v1/routing:explain", json={"contact_id": contact["id"]})
        said = {each["agent_id"]: [reason["code"] for reason in each["reasons"]] for each in asked["agents"]}
        assert {agent_id: [code] for agent_id, code in expected.items()} == said
        counted = {each["code"]: each["count"] for each in asked["excluded"]}
        traced = {each["reason"]: each["count"] for each in (await decided(tenant, contact, "waiting"))["excluded"]}
        assert {code: list(expected.values()).count(code) for code in expected.values()} == counted == traced
        assert [(1, 600)] == [(each["step"], each["after_s"]) for each in asked["steps"]]
        fits = await tenant.call("POST", "/v1/routing:explain", json={"channel": "webchat", **need})
        assert ["able", "left_out"] == [each["agent_id"] for each in fits["agents"] if each["fits"]][:2]
        pinned = await do(tenant, contact, "pin", agent_id="offline")
        asked = await tenant.call("POST", "/v1/routing:explain", json={"contact_id": pinned["id"]})
        codes = {each["agent_id"]: each["reasons"][0]["code"] for each in asked["agents"]}
        assert ("offline", "not_the_target") == (codes["offline"], codes["able"])
