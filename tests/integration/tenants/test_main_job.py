"""The main job, from outside: a contact comes in and reaches the right agent's desktop. Every path of its life."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.service import Client

CHATS = {"webchat": {"cost": 25, "max": 4}, "voice": {"cost": 100, "max": 1}}


async def test_a_contact_is_offered_accepted_completed_and_told_in_the_journal(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"wrap_up_s": 60})
    await client.agent("anna", name="Anna", skills={"logistics": 80}, channels=CHATS)
    await client.agent("ben", name="Ben", skills={"refund": 90}, channels=CHATS)
    async with client.desktop("anna", status="available") as anna, client.desktop("ben", status="available"):
        contact = await client.contact("call-1", tags=["logistics"], language="zh", attributes={"dialed": "4001"})
        assert "offered" == contact["state"]
        assert [{"tag": "logistics", "skill": "logistics", "level": 1}] == [
            {name: each[name] for name in ("tag", "skill", "level")} for each in contact["requirements"]
        ]
        offered = (await anna.event("contact.offered"))["data"]
        assert contact["id"] == offered["contact"]["id"]
        assert "Zhang San" == offered["customer"]["display_name"]
        assert 80 == offered["matched"][0]["agent_level"]
        assert 0 < offered["expires_in_ms"] <= 20_000
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        assert "active" == (await client.call("GET", f"/v1/contacts/{contact['id']}"))["state"]

        waiting = await client.contact("call-2", tags=["logistics"])
        assert ("waiting", 1) == (waiting["state"], waiting["position"])

        done = await anna.ask(type="complete", assignment_id=offered["assignment_id"], resolved=True, note="all well")
        assert "wrap_up" == done["result"]["state"]
        assert (await anna.ask(type="wrap_up_done", assignment_id=offered["assignment_id"]))["ok"]
        second = await anna.event("contact.offered") if not _offers(anna.events, waiting["id"]) else None
        assert second is None or waiting["id"] == second["contact_id"]
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    assert list(range(1, len(events) + 1)) == [each["seq"] for each in events]
    mine = [each["type"] for each in events if each["contact_id"] == contact["id"]]
    assert [
        "contact.received",
        "contact.offered",
        "contact.active",
        "assignment.wrap_up",
        "assignment.completed",
        "contact.closed",
    ] == mine
    closed = await client.call("GET", f"/v1/contacts/{contact['id']}")
    assert ("closed", "completed", True) == (closed["state"], closed["outcome"], closed["assignment"]["resolved"])
    trace = (await client.call("GET", f"/v1/contacts/{contact['id']}/trace"))["decisions"]
    assert "anna" == trace[0]["winner"]["agent_id"]
    assert [{"reason": "skill_missing:logistics", "count": 1, "example": "ben"}] == trace[0]["excluded"]


def _offers(events: list[dict[str, Any]], contact_id: str) -> bool:
    return any(each["type"] == "contact.offered" and each["contact_id"] == contact_id for each in events)


async def test_over_rest_alone(client: Client) -> None:
    await client.agent("rita", skills={"refund": 50})
    presence = await client.call("PUT", "/v1/agents/rita/presence", json={"status": "available", "lease_s": 60})
    assert presence["lease_expires_at"] is not None
    waiting = asyncio.create_task(client.call("GET", "/v1/agents/rita/assignments?state=offered&wait_s=20"))
    await asyncio.sleep(0.1)
    contact = await client.contact("m-1", channel="email", tags=[{"tag": "refund", "level": 40}])
    items = (await waiting)["items"]
    assert [contact["id"]] == [each["contact"]["id"] for each in items]
    assignment = items[0]["assignment_id"]
    assert "active" == (await client.call("POST", f"/v1/assignments/{assignment}/accept"))["state"]
    assert "active" == (await client.call("POST", f"/v1/assignments/{assignment}/accept"))["state"]
    body = {"resolved": False, "disposition": "called back"}
    assert "completed" == (await client.call("POST", f"/v1/assignments/{assignment}/complete", json=body))["state"]
    assert [] == (await client.call("GET", "/v1/agents/rita/assignments"))["items"]
    problem = await client.call("POST", f"/v1/assignments/{assignment}/decline", 409)
    assert "invalid_state" == problem["code"]


async def test_a_declined_offer_goes_to_the_next_and_keeps_its_rank(client: Client) -> None:
    for name in ("anna", "ben"):
        await client.agent(name, skills={"refund": 50}, channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        first = await client.contact("c-1", tags=["refund"])
        offer = (await anna.event("contact.offered"))["data"]
        async with client.desktop("ben", status="available") as ben:
            assert (await anna.ask(type="decline", assignment_id=offer["assignment_id"], reason="busy"))["ok"]
            assert first["id"] == (await ben.event("contact.offered"))["contact_id"]
            types = [each["type"] for each in (await client.call("GET", "/v1/events?limit=1000"))["items"]]
            assert ["offer.declined", "contact.requeued", "contact.offered"] == types[-3:]


async def test_an_offer_that_nobody_answers_expires(client: Client) -> None:
    await client.call("PUT", "/v1/queues/default", json={"offer_timeout_s": 1})
    await client.call("PUT", "/v1/settings", json={"missed_offers_max": 1})
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        contact = await client.contact("c-1")
        offer = (await anna.event("contact.offered"))["data"]
        await anna.event("offer.expired")
        away = await anna.event("agent.presence")
        assert ("away", "missed_offers") == (away["data"]["status"], away["data"]["reason"])
        late = await anna.ask(type="accept", assignment_id=offer["assignment_id"])
        assert ("offer_ended", 409) == (late["problem"]["code"], late["problem"]["status"])
    assert "waiting" == (await client.call("GET", f"/v1/contacts/{contact['id']}"))["state"]


async def test_a_customer_that_gives_up_or_hangs_up(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        ringing = await client.contact("c-1")
        await anna.event("contact.offered")
        gone = await client.call("POST", f"/v1/contacts/{ringing['id']}/cancel", json={"reason": "abandoned"})
        assert ("closed", "abandoned") == (gone["state"], gone["outcome"])
        assert "abandoned" == (await anna.event("offer.revoked"))["data"]["reason"]
        talking = await client.contact("c-2")
        offer = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offer["assignment_id"])
        left = await client.call("POST", f"/v1/contacts/{talking['id']}/cancel")
        assert ("closed", "customer_left") == (left["state"], left["outcome"])
        assert "closed" == (await client.call("POST", f"/v1/contacts/{talking['id']}/cancel"))["state"]


async def test_an_agent_that_vanishes_and_does_not_come_back(client: Client) -> None:
    await client.call("PUT", "/v1/settings", json={"presence_grace_s": 1})
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        chat = await client.contact("c-1", channel="webchat")
        offer = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offer["assignment_id"])
    await _until(client, "/v1/agents/anna", lambda each: not each["presence"]["connected"])
    assert "active" == (await client.call("GET", f"/v1/contacts/{chat['id']}"))["state"]
    await _until(client, f"/v1/contacts/{chat['id']}", lambda each: each["state"] == "waiting")
    agent = await client.call("GET", "/v1/agents/anna")
    assert ("offline", "connection_lost") == (agent["presence"]["status"], agent["presence"]["reason"])


async def test_an_agent_that_comes_back_in_time_resumes_without_a_gap(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        await client.contact("c-1", channel="webchat")
        offer = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offer["assignment_id"])
        if anna.events[-1]["type"] != "contact.active":
            await anna.event("contact.active")
        last = anna.last
    async with client.desktop("anna", after=last) as anna:
        assert anna.welcome["resumed"]
        assert ["active"] == [each["state"] for each in anna.welcome["snapshot"]["assignments"]]
        assert "available" == anna.welcome["snapshot"]["presence"]["status"]
        second = await client.contact("c-2", channel="webchat")
        assert second["id"] == (await anna.event("contact.offered"))["contact_id"]
    mine = [each["type"] for each in anna.events]
    assert ["agent.presence", "agent.presence", "contact.offered"] == mine, "what was missed came first"


async def test_a_newer_desktop_replaces_the_older_one(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as older, client.desktop("anna") as newer:
        await older.socket.wait_closed()
        assert (4002, "session.replaced") == (older.socket.close_code, older.socket.close_reason)
        assert "available" == newer.welcome["snapshot"]["presence"]["status"]
        await client.contact("c-1")
        await newer.event("contact.offered")


async def test_a_transfer_reaches_the_other_agent(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    await client.agent("ben", skills={"refund": 70}, channels=CHATS)
    async with client.desktop("anna", status="available") as anna, client.desktop("ben") as ben:
        contact = await client.contact("c-1")
        offer = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offer["assignment_id"])
        refused = await client.call(
            "POST", f"/v1/contacts/{contact['id']}/transfer", 409, json={"to": {"agent_id": "ben"}}
        )
        assert "agent_unavailable" == refused["code"]
        await ben.ask(type="presence", status="available")
        await client.call("POST", f"/v1/contacts/{contact['id']}/transfer", json={"to": {"tags": ["refund"]}})
        assert contact["id"] == (await ben.event("contact.offered"))["contact_id"]
        assert contact["id"] == (await anna.event("contact.transferred"))["contact_id"]


async def test_the_same_external_id_is_the_same_contact(client: Client) -> None:
    posts = [client.contact("twice", text="我的订单到哪一步了") for _ in range(8)]
    found = await asyncio.gather(*posts)
    assert 1 == len({each["id"] for each in found})
    assert 1 == (await client.call("GET", "/v1/contacts"))["items"].__len__()
    customers = {each["customer_id"] for each in [*found, await client.contact("other")]}
    assert 1 == len(customers), "one phone number is one customer"
    customer = await client.call("GET", "/v1/customers:lookup", params={"type": "phone", "value": "+86 138 0013 8000"})
    assert 2 == len(customer["contacts"])


async def _until(client: Client, path: str, check: Callable[[Any], bool], timeout_s: float = 30.0) -> Any:
    async with asyncio.timeout(timeout_s):
        while True:
            found = await client.call("GET", path)
            if check(found):
                return found
            await asyncio.sleep(0.05)
