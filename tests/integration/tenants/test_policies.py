"""Every policy from outside: how it is configured, what agents and supervisors can do, and what is refused."""

import asyncio
from typing import Any

from tests.support.floor import CHATS, acting, do, got, moment, present, taken, until
from tests.support.service import Client

ALWAYS = [["00:00", "24:00"]]
WEEK = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), ALWAYS)


# -- configuration -----------------------------------------------------------------------------------------------------

QUEUE: dict[str, Any] = {
    "service_level": {"within_s": 20, "percent": 90},
    "distribution": "weighted",
    "weights": {"idle": 1, "turn": 0.5, "load": 0, "skill": 2},
    "steps": [
        {"after_s": 30, "lower": {"*": 40}},
        {"after_s": 60, "drop": ["refund"], "any_team": True, "priority": 9},
    ],
    "max_length": 100,
    "max_wait_s": 600,
    "overflow": {"action": "callback", "message": "我们会尽快回电", "callback_after_s": 1800},
    "hours": {
        "time_zone": "Asia/Shanghai",
        "days": WEEK,
        "dates": {"2026-10-01": []},
        "closed": {"action": "close", "reason": "closed"},
    },
    "offer_to": 2,
    "asks_max": 3,
    "dedicated_wait_s": 30,
    "last_agent_wait_s": 15,
    "owner_wait_s": 90,
    "split": False,
    "required_fields": ["disposition", "order"],
    "breather": {"tags": ["abuse"], "seconds": 120},
}


async def test_a_queue_keeps_what_it_was_given_and_defaults_the_rest(client: Client) -> None:
    await client.call("PUT", "/v1/queues/vip", json=QUEUE)
    found = await client.call("GET", "/v1/queues/vip")
    assert QUEUE["overflow"] == found["overflow"]
    assert {"after_s": 30, "lower": {"*": 40}, "drop": [], "any_team": False}.items() <= found["steps"][0].items()
    assert (20, False, False, []) == (found["offer_timeout_s"], found["auto_accept"], found["paused"], found["teams"])
    again = {name: value for name, value in found.items() if name != "name"}
    assert found == await client.call("PUT", "/v1/queues/vip", json=again)


BAD_QUEUES: list[tuple[dict[str, Any], str | None]] = [
    ({"distribution": "random"}, "distribution"),
    ({"steps": [{"drop": ["refund"]}]}, "steps.0.after_s"),
    ({"steps": [{"after_s": 5, "drop": ["a"]}, {"after_s": 1, "drop": ["b"]}]}, "steps.1.after_s"),
    ({"steps": [{"after_s": 5, "lower": {"refund": 0}}]}, "steps.0.lower.refund"),
    ({"overflow": {"action": "vanish"}}, "overflow"),
    ({"overflow": {"action": "queue"}}, "overflow.queue.queue"),
    ({"overflow": {"action": "queue", "queue": "nowhere"}}, "overflow.queue"),
    ({"hours": {"time_zone": "Mars/Olympus"}}, "hours.time_zone"),
    ({"hours": {"time_zone": "UTC", "days": {"mon": [["9:00", "18:00"]]}}}, "hours.days.mon.0.0"),
    ({"hours": {"time_zone": "UTC", "days": {"mon": [["09:00", "12:00"], ["11:00", "18:00"]]}}}, None),
    ({"hours": {"time_zone": "UTC", "dates": {"2026-02-30": []}}}, None),
    ({"max_wait_s": 60}, "overflow"),
    ({"offer_to": 3, "auto_accept": True}, "offer_to"),
    ({"weights": {"idle": -1}}, "weights.idle"),
    ({"breather": {"tags": [], "seconds": 5}}, "breather.tags"),
]


async def test_a_queue_that_cannot_work_is_refused(client: Client) -> None:
    for change, field in BAD_QUEUES:
        problem = await client.call("PUT", "/v1/queues/vip", 422, json=change)
        named = problem.get("field") or problem["errors"][0]["field"]
        assert field in {None, named}, problem
    await client.call("GET", "/v1/queues/vip", 404)


async def test_rules_choose_by_all_that_is_known(client: Client) -> None:
    await client.call("PUT", "/v1/queues/night", json={})
    await present(client, "anna")
    rule: dict[str, Any] = {
        "when": {
            "channels": ["webchat"],
            "attributes": {"region": ["south", "east"]},
            "text": ["urgent"],
            "time": {"time_zone": "Asia/Shanghai", "from": "00:00", "to": "24:00", "days": []},
            "tags_none": ["sales"],
        },
        "then": {"queue": "night", "priority": 60, "preferred_agent_id": "anna", "agents": {"exclude": ["ben"]}},
    }
    await client.agent("ben", channels=CHATS)
    await client.call("PUT", "/v1/rules/night", json=rule)
    stored = await client.call("GET", "/v1/rules/night")
    assert rule["when"]["time"] == stored["when"]["time"]
    contact = await client.contact("c-1", channel="webchat", text="This is URGENT", attributes={"region": "south"})
    assert ("night", 60, "anna") == (contact["queue"], contact["priority"], contact["assignment"]["agent_id"])
    assert {"agents": {"include": [], "exclude": ["ben"]}, "teams": {"include": [], "exclude": []}} == contact["terms"]
    other = await client.contact("c-2", channel="webchat", text="This is URGENT", attributes={"region": "north"})
    assert "default" == other["queue"]


BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"when": {}, "then": {}}, "malformed"),
    ({"then": {"queue": "nowhere"}}, "unknown_reference"),
    ({"then": {"preferred_agent_id": "nobody"}}, "unknown_reference"),
    ({"when": {"tags_all": ["a"], "tags_none": ["a"]}, "then": {"priority": 1}}, "malformed"),
    ({"when": {"time": {"time_zone": "UTC", "from": "25:00", "to": "6:00"}}, "then": {"priority": 1}}, "malformed"),
    ({"when": {"attributes": {"region": []}}, "then": {"priority": 1}}, "malformed"),
    ({"when": {"moon": "full"}, "then": {"priority": 1}}, "malformed"),
]


async def test_a_rule_that_cannot_work_is_refused(client: Client) -> None:
    for rule, code in BAD_RULES:
        assert code == (await client.call("PUT", "/v1/rules/r", 422, json=rule))["code"], rule


async def test_skills_that_end_newcomers_and_exclusive_channels(client: Client) -> None:
    limits = {
        "voice": {"cost": 60, "max": 1, "excludes": ["*"]},
        "webchat": {"cost": 20, "max": 4, "interruptible": True},
    }
    body = {
        "skills": {
            "refund": {"level": 60, "until": moment(3600)},
            "orders": 80,
            "old": {"level": 9, "until": moment(-9)},
        },
        "channels": limits,
        "mentor_id": "mira",
        "newcomer": {"until": moment(3600), "percent": 50},
    }
    assert "unknown_reference" == (await client.call("PUT", "/v1/agents/nina", 422, json=body))["code"]
    await present(client, "mira", channels={"email": {"cost": 1}})
    await present(client, "nina", **body)
    found = await client.call("GET", "/v1/agents/nina")
    assert {"cost": 20, "max": 4, "excludes": [], "interruptible": True} == found["channels"]["webchat"]
    assert 80 == found["skills"]["orders"]
    assert "offered" == (await client.contact("c-1", channel="webchat", tags=["refund"]))["state"]
    assert "offered" == (await client.contact("c-2", channel="webchat", tags=["orders"]))["state"]
    assert "waiting" == (await client.contact("c-3", channel="webchat"))["state"], "a newcomer has half of 100"
    assert "waiting" == (await client.contact("c-4", channel="webchat", tags=["old"]))["state"]
    wrong = await client.call("PUT", "/v1/agents/nina", 422, json={"skills": {"refund": 101}})
    assert "skills.refund" == wrong["errors"][0]["field"]
    for skill in ({"level": 60}, {"level": 60, "until": "2026-10-01T09:00:00"}, {"level": 60, "until": "soon"}):
        await client.call("PUT", "/v1/agents/nina", 422, json={"skills": {"refund": skill}})


async def test_settings_hold_every_policy_of_the_tenant(client: Client) -> None:
    found = await client.call("GET", "/v1/settings")
    assert {"progress_s": 7200, "feedback_s": 7200, "solution_s": None} == found["collaboration"]
    assert (300, 3, 600, 60, {}) == tuple(
        found[name]
        for name in ("wait_flag_s", "transfer_flag_count", "escalation_priority_s", "park_return_s", "silence_s")
    )
    changed = {"silence_s": {"webchat": 120}, "collaboration": {"feedback_s": 3600}, "wait_flag_s": 60}
    await client.call("PUT", "/v1/settings", json=changed)
    found = await client.call("GET", "/v1/settings")
    assert ({"webchat": 120}, 3600, 7200) == (
        found["silence_s"],
        found["collaboration"]["feedback_s"],
        found["collaboration"]["progress_s"],
    )
    for wrong in ({"silence_s": {"webchat": 0}}, {"wait_flag_s": -1}, {"collaboration": {"reply_s": 1}}):
        await client.call("PUT", "/v1/settings", 422, json=wrong)


async def test_a_pilot_runs_for_a_share_and_is_compared(client: Client) -> None:
    pilot = {
        "percent": 100,
        "attribute": "region",
        "values": ["south"],
        "from": moment(-60),
        "until": moment(3600),
        "queues": {"default": {"auto_accept": True}},
    }
    await client.call("PUT", "/v1/pilots/south", json=pilot)
    assert pilot["values"] == (await client.call("GET", "/v1/pilots/south"))["values"]
    assert ["south"] == [each["name"] for each in (await client.call("GET", "/v1/pilots"))["items"]]
    await present(client, "anna")
    trial = await client.contact("c-1", channel="webchat", attributes={"region": "south"})
    assert ("active", "south:trial") == (trial["state"], trial["pilot"])
    other = await client.contact("c-2", channel="webchat", attributes={"region": "north"})
    assert ("offered", None) == (other["state"], other["pilot"])
    span = {"from": moment(-30), "until": moment(30)}
    compared = await client.call("GET", "/v1/pilots/south/comparison", params=span)
    assert compared["from"].endswith("Z")
    await client.call("GET", "/v1/pilots/south/comparison", 422, params={"from": "yesterday"})
    assert (1, 1) == (compared["trial"]["total"]["contacts"], compared["trial"]["total"]["answered"])
    assert ["default"] == list(compared["trial"]["queues"])
    assert {"total": None, "queues": {}} == compared["control"]
    refused: list[dict[str, Any]] = [
        {"percent": 101},
        {"attribute": "region"},
        {"from": moment(60), "until": moment(0)},
        {"from": "2026-10-01"},
        {"queues": {"nowhere": {}}},
        {"rules": {"r": {"then": {"queue": "nowhere"}}}},
    ]
    for wrong in refused:
        await client.call("PUT", "/v1/pilots/wrong", 422, json=wrong)
    await client.call("GET", "/v1/pilots/wrong/comparison", 404)
    await client.call("DELETE", "/v1/pilots/south", 204)
    await client.call("GET", "/v1/pilots/south", 404)


async def test_departments_have_deadlines_by_season(client: Client) -> None:
    await client.agent("boss", channels=CHATS)
    season = {"from": "2026-11-01T00:00:00+08:00", "until": "2026-11-12T00:00:00+08:00", "feedback_s": 7200}
    body = {"teams": ["logistics"], "deadlines": {"feedback_s": 3600}, "dated": [season], "escalate_to": "boss"}
    await client.call("PUT", "/v1/departments/logistics", json=body)
    found = await client.call("GET", "/v1/departments/logistics")
    assert (3600, 7200, None) == (
        found["deadlines"]["feedback_s"],
        found["dated"][0]["feedback_s"],
        found["dated"][0]["solution_s"],
    )
    assert ["logistics"] == [each["name"] for each in (await client.call("GET", "/v1/departments"))["items"]]
    for wrong in (
        {**body, "escalate_to": "nobody"},
        {**body, "dated": [season, season]},
        {**body, "dated": [{**season, "until": season["from"]}]},
        {**body, "deadlines": {"feedback_s": 0}},
        {**body, "dated": [{**season, "from": "1969-12-31T00:00:00Z"}]},
    ):
        await client.call("PUT", "/v1/departments/logistics", 422, json=wrong)
    await client.call("DELETE", "/v1/departments/logistics", 204)
    await client.call("DELETE", "/v1/departments/logistics", 404)


# -- contacts by hand --------------------------------------------------------------------------------------------------


async def test_a_contact_says_who_may_take_it(client: Client) -> None:
    await present(client, "anna", teams=["red"])
    await present(client, "ben", teams=["blue"])
    contact = await client.contact("c-1", channel="webchat", agents={"exclude": ["anna"]}, teams={"include": ["red"]})
    assert "waiting" == contact["state"]
    path = f"/v1/contacts/{contact['id']}"
    patched = await client.call("PATCH", path, json={"teams": {"include": ["blue"]}})
    assert ("offered", "ben", ["anna"]) == (
        patched["state"],
        patched["assignment"]["agent_id"],
        patched["terms"]["agents"]["exclude"],
    )
    await client.call("PATCH", path, 409, json={"teams": {"include": ["red"]}})
    await client.call("PATCH", path, 422, json={"teams": ["red"]})


async def test_a_parked_contact_frees_its_agent_and_comes_back_to_it(client: Client) -> None:
    await present(client, "anna", channels={"webchat": {"cost": 100, "max": 1}})
    contact = await taken(client, "c-1")
    await do(client, contact, "park", 422, until=moment(-5))
    await do(client, contact, "park", 422, until="2026-12-01T09:00:00")
    await do(client, contact, "park", 422, until=moment(60), reason="lunch")
    parked = await do(client, contact, "park", until=moment(3600), reason="promised", note="asks the warehouse")
    assert ("parked", "promised", "anna") == (parked["state"], parked["park_reason"], parked["owner_id"])
    assert parked["parked_until"].endswith("Z")
    assert 0 == (await client.call("GET", "/v1/agents/anna"))["load"]
    await do(client, contact, "park", 409, until=moment(3600))
    back = await do(client, contact, "resume", reason="the parcel was found")
    assert ("offered", "anna", "owner") == (back["state"], back["assignment"]["agent_id"], back["target"]["kind"])
    await do(client, contact, "resume", 409)
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    said = next(each for each in events if each["type"] == "contact.parked")["data"]
    assert ("promised", parked["parked_until"]) == (said["reason"], said["until"])


async def test_the_customers_message_brings_a_parked_contact_back(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await do(client, contact, "park", until=moment(3600), reason="customer")
    await client.call("POST", f"/v1/contacts/{contact['id']}/messages", json={"text": "here is my order number"})
    assert "offered" == (await got(client, contact))["state"]


async def test_a_parked_contact_comes_back_in_time(client: Client) -> None:
    await client.call("PUT", "/v1/settings", json={"park_return_s": 0})
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await do(client, contact, "park", until=moment(1))
    back = await until(client, f"/v1/contacts/{contact['id']}", lambda each: each["state"] == "offered")
    assert "anna" == back["assignment"]["agent_id"]


async def test_escalating_raises_marks_and_tells(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    first = await do(client, contact, "escalate", reason="safety")
    again = await do(client, contact, "escalate")
    assert (600, ["escalated"]) == (first["priority"], first["flags"])
    assert (600, ["escalated"]) == (again["priority"], again["flags"]), "once"
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    told = [each["data"] for each in events if each["type"] == "contact.escalated"]
    assert ["safety"] == [each["reason"] for each in told]
    assert told[0]["by"]


async def test_a_supervisor_assigns_takes_back_and_pins(client: Client) -> None:
    await present(client, "anna", channels={"webchat": {"cost": 100, "max": 1}})
    await client.agent("ben", channels=CHATS)
    await client.agent("sue", channels=CHATS)
    contact = await taken(client, "c-1")
    second = await client.contact("c-2", channel="webchat")
    async with acting(client, "sue", "supervisor") as sue:
        refused = await do(sue, second, "assign", 409, agent_id="anna")
        assert ("agent_unavailable", "no_capacity") == (refused["code"], refused["reason"])
        assert "unknown_reference" == (await do(sue, second, "assign", 422, agent_id="nobody"))["code"]
        forced = await do(sue, second, "assign", agent_id="anna", force=True, reason="knows the case")
        assert ("active", "anna") == (forced["state"], forced["assignment"]["agent_id"])
        assert 200 == (await client.call("GET", "/v1/agents/anna"))["load"]
        freed = await do(sue, contact, "take_back", reason="wrong hands")
        assert ("waiting", 0) == (freed["state"], freed["transfers"])
        pinned = await do(sue, contact, "pin", agent_id="ben")
        assert {"agent_id": "ben", "kind": "pinned", "until": None} == pinned["target"]
        await client.call("PUT", "/v1/agents/ben/presence", json={"status": "available"})
        assert "ben" == (await got(client, contact))["assignment"]["agent_id"]
        await do(sue, contact, "pin", 409, agent_id=None)
        await do(sue, contact, "pin", 422)
    async with acting(client, "anna") as anna:
        for what, body in (("assign", {"agent_id": "anna"}), ("take_back", {}), ("pin", {"agent_id": "anna"})):
            assert "forbidden" == (await do(anna, contact, what, 403, **body))["code"]
    key = await client.call("POST", "/v1/keys", json={"name": "gateway", "scopes": ["contacts:write"]})
    gateway = Client(client.url, key["key"])
    await do(gateway, contact, "escalate")
    await do(gateway, contact, "assign", 403, agent_id="anna")
    await gateway.http.aclose()
    unknown = {"id": "00000000-0000-7000-8000-000000000000"}
    for what, body in (("assign", {"agent_id": "anna"}), ("take_back", {}), ("escalate", {}), ("return", {})):
        await do(client, unknown, what, 404, **body)


async def test_an_agent_hands_on_and_gets_back_only_what_is_its_own(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await present(client, "ben")
    async with acting(client, "anna") as anna, acting(client, "ben") as ben:
        for what, body in (
            ("park", {"until": moment(60)}),
            ("escalate", {}),
            ("return", {}),
            ("transfer", {"to": {"queue": "default"}}),
            ("transfer", {"to": {"queue": "default"}, "dry_run": True}),
            ("collaborations", {"agent_id": "ben"}),
        ):
            await do(ben, contact, what, 403, **body)
        asked = await do(anna, contact, "transfer", to={"agent_id": "ben"}, dry_run=True)
        assert (1, ["ben"]) == (asked["candidates"], [each["agent_id"] for each in asked["agents"]])
        assert {"position", "estimated_wait_s", "estimated_wait"} <= asked.keys()
        assert "active" == (await got(client, contact))["state"], "nothing has happened"
        given = await do(anna, contact, "transfer", to={"agent_id": "ben"}, reason="speaks the language")
        assert ("offered", "anna", 1) == (given["state"], given["previous_agent_id"], given["transfers"])
        await client.call("POST", f"/v1/assignments/{given['assignment']['id']}/accept")
        back = await do(ben, contact, "return", reason="not mine", note="see her notes")
        assert ("anna", 1) == (back["assignment"]["agent_id"], back["transfers"])
    await do(client, contact, "transfer", 409, to={"queue": "default"}, dry_run=True)
    await do(client, contact, "transfer", 422, to={"queue": "default"}, dry_run="yes")


async def test_pausing_an_agent_or_a_queue_stops_new_work(client: Client) -> None:
    await present(client, "anna")
    paused = await client.call("POST", "/v1/agents/anna/pause", json={"reason": "training"})
    assert (True, "training", "available") == (paused["paused"], paused["pause_reason"], paused["status"])
    contact = await client.contact("c-1", channel="webchat")
    assert "waiting" == contact["state"]
    assert not (await client.call("POST", "/v1/agents/anna/unpause"))["paused"]
    assert "offered" == (await got(client, contact))["state"]
    await client.call("POST", "/v1/agents/nobody/pause", 404)

    await client.call("PUT", "/v1/queues/default", json={"wrap_up_s": 7})
    stopped = await client.call("POST", "/v1/queues/default/pause", json={"reason": "fire drill"})
    assert (True, 7) == (stopped["paused"], stopped["wrap_up_s"])
    second = await client.contact("c-2", channel="webchat")
    assert "waiting" == second["state"]
    assert not (await client.call("POST", "/v1/queues/default/resume"))["paused"]
    assert "offered" == (await got(client, second))["state"]
    await client.call("POST", "/v1/queues/nowhere/pause", 404)
    async with acting(client, "anna") as anna:
        await anna.call("POST", "/v1/queues/default/pause", 403)
        await anna.call("POST", "/v1/agents/anna/pause", 403)


async def test_what_is_done_by_hand_is_done_once_for_a_key(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    headers, path = {"idempotency-key": "k-1"}, f"/v1/contacts/{contact['id']}/park"
    body = {"until": moment(3600)}
    first = await client.call("POST", path, json=body, headers=headers)
    assert first == await client.call("POST", path, json=body, headers=headers)
    other = await client.call("POST", path, 422, json={"until": moment(7200)}, headers=headers)
    assert "idempotency_mismatch" == other["code"]


# -- completion --------------------------------------------------------------------------------------------------------


async def test_a_queue_requires_fields_at_completion(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"required_fields": ["disposition", "order", "note"]})
    await present(client, "anna")
    contact = await taken(client, "c-1", attributes={"page": "/cart"})
    path = f"/v1/assignments/{contact['assignment']['id']}/complete"
    problem = await client.call("POST", path, 422, json={"disposition": "refund", "fields": {"order": ""}})
    assert ("fields_missing", ["order", "note"]) == (problem["code"], problem["fields"])
    given = {"disposition": "refund", "note": "paid back", "fields": {"order": "4711"}}
    assert "completed" == (await client.call("POST", path, json=given))["state"]
    assert {"page": "/cart", "fields": {"order": "4711"}} == (await got(client, contact))["attributes"]
    await client.call("POST", path, 422, json={"fields": {"order": 4711}})


async def test_what_is_said_of_a_call_that_the_caller_ended_is_kept(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"required_fields": ["order"], "wrap_up_s": 600})
    await present(client, "anna")
    contact = await taken(client, "c-1", attributes={"fields": "the caller's own"})
    path = f"/v1/assignments/{contact['assignment']['id']}"
    assert "wrap_up" == (await client.call("POST", f"/v1/contacts/{contact['id']}/cancel", json={}))["state"]
    assert ["order"] == (await client.call("POST", f"{path}/wrap_up_done", 422))["fields"]
    blank = {"resolved": True, "fields": {"order": " "}}
    assert ["order"] == (await client.call("POST", f"{path}/complete", 422, json=blank))["fields"]
    given = {"resolved": True, "disposition": "refund", "note": "paid back", "fields": {"order": "4711"}}
    noted = await client.call("POST", f"{path}/complete", json=given)
    assert ("wrap_up", True, "refund") == (noted["state"], noted["resolved"], noted["disposition"])
    done = await client.call("POST", f"{path}/wrap_up_done")
    assert ("completed", True, "refund") == (done["state"], done["resolved"], done["disposition"])
    closed = await got(client, contact)
    assert ("customer_left", {"order": "4711"}) == (closed["outcome"], closed["attributes"]["fields"])
    events = (await client.call("GET", "/v1/events?after=0&limit=1000"))["items"]
    assert ["refund"] == [each["data"]["disposition"] for each in events if each["type"] == "assignment.noted"]


async def test_fields_can_be_given_over_the_socket(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"required_fields": ["order"]})
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        contact = await client.contact("c-1", channel="webchat")
        offer = (await anna.event("contact.offered"))["data"]
        assert (await anna.ask(type="accept", assignment_id=offer["assignment_id"]))["ok"]
        done = {"type": "complete", "assignment_id": offer["assignment_id"]}
        assert "fields_missing" == (await anna.ask(**done))["problem"]["code"]
        assert (await anna.ask(**done, fields={"order": "4711"}))["ok"]
    assert {"order": "4711"} == (await got(client, contact))["attributes"]["fields"]


# -- collaboration -----------------------------------------------------------------------------------------------------


async def test_help_is_asked_given_and_closed(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await present(client, "tech", skills={"firmware": 80}, channels={"email": {"cost": 1}})
    await present(client, "cleo", channels={"email": {"cost": 1}})
    async with acting(client, "anna") as anna, acting(client, "tech") as tech, acting(client, "cleo") as cleo:
        asked = await do(anna, contact, "collaborations", tags=["firmware"], respond_within_s=600, note="bricked?")
        assert ("requested", "help", "tech", 600) == (
            asked["state"],
            asked["kind"],
            asked["agent_id"],
            asked["deadlines"]["feedback_s"],
        )
        assert asked["feedback_by"].endswith("Z")
        path = f"/v1/collaborations/{asked['id']}"
        assert [asked["id"]] == [
            each["id"] for each in (await tech.call("GET", "/v1/collaborations?state=open"))["items"]
        ]
        assert contact["id"] == (await got(tech, contact))["id"], "whoever helps sees the contact"
        await cleo.call("GET", path, 403)
        await cleo.call("POST", f"{path}/accept", 403)
        await tech.call("POST", f"{path}/accept", 403, json={"agent_id": "cleo"})
        assert "accepted" == (await tech.call("POST", f"{path}/accept"))["state"]
        await tech.call("POST", f"{path}/reply", json={"kind": "progress", "text": "looking"})
        await tech.call("POST", f"{path}/reply", 422, json={"kind": "guess", "text": "hm"})
        await tech.call("POST", f"{path}/reply", 422, json={"kind": "solution", "approved": True})
        solved = await tech.call("POST", f"{path}/reply", json={"kind": "solution", "text": "flash 1.2"})
        assert "closed" == solved["state"]
        await tech.call("POST", f"{path}/reply", 409, json={"kind": "feedback", "text": "and again"})
        words = (await anna.call("GET", path))["words"]
        assert [
            ("anna", "request", "bricked?"),
            ("tech", "progress", "looking"),
            ("tech", "solution", "flash 1.2"),
        ] == [(each["from"], each["kind"], each["text"]) for each in words]
        listed = await anna.call("GET", f"/v1/contacts/{contact['id']}/collaborations")
        assert ["closed"] == [each["state"] for each in listed["items"]]
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    told = [(each["type"], each["agent_id"]) for each in events if each["type"].startswith("collaboration.")]
    assert ("collaboration.requested", "tech") == told[0]
    assert ("collaboration.accepted", "anna") == told[1]


async def test_a_department_helps_by_its_deadlines(client: Client) -> None:
    await client.call("PUT", "/v1/departments/logistics", json={"teams": ["depot"], "deadlines": {"feedback_s": 3600}})
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await client.agent("dora", teams=["depot"])
    asked = await do(client, contact, "collaborations", department="logistics")
    assert ("department", None, 3600) == (asked["kind"], asked["agent_id"], asked["deadlines"]["feedback_s"])
    async with acting(client, "dora") as dora, acting(client, "anna") as anna:
        found = (await dora.call("GET", "/v1/collaborations?department=logistics"))["items"]
        assert [asked["id"]] == [each["id"] for each in found]
        assert [] == (await anna.call("GET", "/v1/collaborations?department=logistics"))["items"], "not her department"
        assert "accepted" == (await dora.call("POST", f"/v1/collaborations/{asked['id']}/accept"))["state"]
    async with client.desktop("dora") as desk:
        helping = desk.welcome["snapshot"]["collaborations"]
    for shown in (helping, (await got(client, contact))["collaborations"]):
        assert [(asked["id"], "accepted")] == [(each["id"], each["state"]) for each in shown]
    await client.call("DELETE", "/v1/departments/logistics", 409)
    closed = await client.call("POST", f"/v1/collaborations/{asked['id']}/close", json={"reason": "found it"})
    assert ("closed", "found it") == (closed["state"], closed["reason"])


async def test_who_is_told_of_a_departments_misses_may_look_and_close(client: Client) -> None:
    for name in ("boss", "stranger"):
        await client.agent(name)
    department = {"teams": ["depot"], "deadlines": {"solution_s": 1}, "escalate_to": "boss"}
    await client.call("PUT", "/v1/departments/logistics", json=department)
    await present(client, "anna")
    contact = await taken(client, "c-1")
    asked = await do(client, contact, "collaborations", department="logistics")
    path, listed = f"/v1/collaborations/{asked['id']}", "/v1/collaborations?department=logistics"
    async with acting(client, "stranger") as stranger:
        await stranger.call("GET", path, 403)
        await stranger.call("GET", f"/v1/contacts/{contact['id']}", 403)
        await stranger.call("POST", f"{path}/close", 403)
        assert [] == (await stranger.call("GET", listed))["items"]
    await asyncio.sleep(1.5)
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    assert {"anna", "boss"} == {each["agent_id"] for each in events if each["type"] == "collaboration.escalated"}
    async with acting(client, "boss") as boss:
        assert asked["id"] == (await boss.call("GET", path))["id"]
        assert contact["id"] == (await got(boss, contact))["id"]
        assert [asked["id"]] == [each["id"] for each in (await boss.call("GET", listed))["items"]]
        assert "closed" == (await boss.call("POST", f"{path}/close"))["state"]


async def test_an_approval_has_one_approver(client: Client) -> None:
    await present(client, "anna")
    contact = await taken(client, "c-1")
    await present(client, "boss", channels={"email": {"cost": 1}})
    asked = await do(client, contact, "collaborations", agent_id="boss", approval=True, note="200 back?")
    async with acting(client, "boss") as boss:
        path = f"/v1/collaborations/{asked['id']}/reply"
        assert "approved" == (await boss.call("POST", path, 422, json={"text": "fine"}))["field"]
        answered = await boss.call("POST", path, json={"text": "fine", "approved": True})
        assert (True, "closed") == (answered["approved"], answered["state"])
    refused: list[dict[str, Any]] = [
        {},
        {"agent_id": "boss", "department": "logistics"},
        {"tags": []},
        {"tags": ["firmware"], "approval": True},
        {"department": "nowhere"},
        {"agent_id": "nobody"},
        {"agent_id": "anna"},
        {"agent_id": "boss", "respond_within_s": 0},
        {"agent_id": "boss", "respond_within_s": 60, "deadlines": {"feedback_s": 60}},
    ]
    for wrong in refused:
        await do(client, contact, "collaborations", 422, **wrong)
    await client.call("GET", "/v1/collaborations/00000000-0000-7000-8000-000000000000", 404)


# -- explaining --------------------------------------------------------------------------------------------------------


async def test_a_dry_run_says_who_fits_and_every_reason_against_the_others(client: Client) -> None:
    queue = {"steps": [{"after_s": 30, "drop": ["refund"]}], "teams": ["red"]}
    await client.call("PUT", "/v1/queues/refunds", json=queue)
    await client.call("PUT", "/v1/tags/refund", json={"keywords": {"en": ["money back"]}, "requires": {"payments": 50}})
    rule = {"when": {"tags_any": ["refund"]}, "then": {"queue": "refunds", "priority": 30}}
    await client.call("PUT", "/v1/rules/refunds", json=rule)
    await present(client, "anna", skills={"payments": 70}, teams=["red"])
    await client.agent("ben", skills={"payments": 20}, teams=["blue"], channels=CHATS)
    before = (await client.call("GET", "/v1/events?limit=1000"))["last_seq"]
    found = await client.call(
        "POST", "/v1/routing:explain", json={"channel": "webchat", "text": "I want my money back"}
    )
    assert (["refunds"], "refunds", ["refund"], True) == (found["rules"], found["queue"], found["tags"], found["open"])
    assert [("anna", True), ("ben", False)] == [(each["agent_id"], each["fits"]) for each in found["agents"]]
    reasons = {each["code"]: each for each in found["agents"][1]["reasons"]}
    assert {"team", "skill_level:payments", "offline"} <= reasons.keys()
    assert (50, 20) == (reasons["skill_level:payments"]["wanted"], reasons["skill_level:payments"]["has"])
    assert 1 == found["candidates"]
    assert [30] == [each["after_s"] for each in found["steps"]]
    assert found["agents"][0]["idle_since"].endswith("Z")
    fewer = await client.call("POST", "/v1/routing:explain?limit=1", json={"channel": "webchat", "tags": []})
    assert 1 == len(fewer["agents"])
    assert before == (await client.call("GET", "/v1/events?limit=1000"))["last_seq"], "nothing has happened"


async def test_a_dry_run_knows_the_customer_and_a_contact_that_is_there(client: Client) -> None:
    await present(client, "anna")
    contact = await client.contact("c-1", channel="email")
    path = f"/v1/customers/{contact['customer_id']}"
    await client.call("PATCH", path, json={"tier": "gold", "preferred_agent_id": "anna"})
    await client.call("PUT", "/v1/rules/gold", json={"when": {"customer_tiers": ["gold"]}, "then": {"priority": 300}})
    asked = {"channel": "webchat", "customer_id": contact["customer_id"]}
    by_id = await client.call("POST", "/v1/routing:explain", json=asked)
    assert ({"agent_id": "anna", "kind": "dedicated"}, 300) == (by_id["preferred"], by_id["priority"])
    by_phone = {"channel": "webchat", "identity": {"type": "phone", "value": "138 0013 8000"}}
    assert 300 == (await client.call("POST", "/v1/routing:explain", json=by_phone))["priority"]
    there = await client.call("POST", "/v1/routing:explain", json={"contact_id": contact["id"]})
    assert ("waiting", "channel") == (there["state"], there["agents"][0]["reasons"][0]["code"])


NONSENSE: list[tuple[dict[str, Any], int]] = [
    ({}, 422),
    ({"contact_id": "c", "channel": "voice"}, 422),
    ({"channel": "voice", "queue": "nowhere"}, 422),
    ({"channel": "voice", "surprise": 1}, 422),
    ({"channel": "voice", "identity": {"type": "phone", "value": "none"}}, 422),
    ({"channel": "voice", "customer_id": "nobody"}, 404),
    ({"contact_id": "00000000-0000-7000-8000-000000000000"}, 404),
]


async def test_a_dry_run_of_nonsense(client: Client) -> None:
    for body, status in NONSENSE:
        await client.call("POST", "/v1/routing:explain", status, json=body)
    await client.agent("anna")
    async with acting(client, "anna") as anna:
        await anna.call("POST", "/v1/routing:explain", 403, json={"channel": "voice"})


# -- queues at work ----------------------------------------------------------------------------------------------------


async def test_a_closed_queue_says_so_and_a_step_comes_at_its_time(client: Client) -> None:
    closed = {"hours": {"time_zone": "Asia/Shanghai", "closed": {"action": "close", "reason": "closed"}}}
    await client.call("PUT", "/v1/queues/day", json=closed)
    contact = await client.contact("c-1", queue="day")
    assert ("closed", "overflowed") == (contact["state"], contact["outcome"])
    await client.call("PUT", "/v1/queues/steps", json={"steps": [{"after_s": 1, "any_language": True}]})
    await present(client, "anna", languages=["en"])
    await present(client, "zoe", languages=["zh"], channels={"webchat": {"cost": 100, "max": 1}})
    await taken(client, "c-2", language="zh")
    waiting = await client.contact("c-3", channel="webchat", queue="steps", language="zh")
    assert ("waiting", 0) == (waiting["state"], waiting["step"])
    relaxed = await until(client, f"/v1/contacts/{waiting['id']}", lambda each: each["state"] == "offered")
    assert ("anna", 1) == (relaxed["assignment"]["agent_id"], relaxed["step"])


async def test_an_agent_that_may_never_be_asked_again_is_told_of_without_a_date(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"asks_max": 1})
    await present(client, "anna")
    contact = await client.contact("c-1", channel="webchat")
    await client.call("POST", f"/v1/assignments/{contact['assignment']['id']}/decline")
    assert "waiting" == (await got(client, contact))["state"]
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    assert [None] == [each["data"]["barred_until"] for each in events if each["type"] == "offer.declined"]


async def test_how_good_estimates_were_is_told_of_an_empty_queue_too(client: Client) -> None:
    await present(client, "anna", capacity=100, channels={"voice": {"cost": 100, "max": 1}})
    contacts = [await client.contact(f"e{number}") for number in range(4)]
    for number in range(5):
        if number == 3:
            contacts.append(await client.contact("late"))
            assert contacts[-1]["estimated_wait"] is not None
        contact = await got(client, contacts[number])
        await client.call("POST", f"/v1/assignments/{contact['assignment']['id']}/accept")
        await client.call("POST", f"/v1/assignments/{contact['assignment']['id']}/complete", json={})
    stats = await client.call("GET", "/v1/stats")
    assert 0 == stats["queues"]["default"]["waiting"]
    assert 1 == stats["queues"]["default"]["estimates"]["contacts"]
