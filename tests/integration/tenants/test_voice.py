"""Calls in both directions of command, the same for every telephone system: a double, or a live one (`make test-live`).

Every test is a call as people have it: somebody dials, hears music, a telephone rings, two people talk, somebody hangs
up; and everything that can go wrong on the way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.service import Client
from tests.support.telephony import SYSTEMS, Pbx, agent, contacts, started, until_state


@pytest.fixture
def client(tenant: Client) -> Client:
    return tenant


@pytest.fixture(params=SYSTEMS)
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Pbx]:
    async with started(request.param) as found:
        yield found


async def test_a_hard_phone_that_is_answered_accepts_the_offer_and_the_call_ends_with_the_caller(
    client: Client,
    pbx: Pbx,
) -> None:
    pbx.phones["anna"] = "ring"
    await agent(client, "anna")
    async with pbx.connected(client):
        call = await pbx.call("13800138000")
        await pbx.until(lambda: pbx.held() == [call])
        async with client.desktop("anna", status="available") as anna:
            offered = (await anna.event("contact.offered"))["data"]
            leg = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
            assert offered["assignment_id"] == leg
            await pbx.pick_up(leg)
            await anna.event("contact.active")
            await pbx.until(lambda: pbx.talking() == [{call, leg}])
            assert [] == pbx.held()
            await pbx.hang_up(call)
            await anna.event("assignment.completed")
            await pbx.until(lambda: not pbx.channels)
    assert [("closed", "customer_left")] == await contacts(client)


async def test_what_the_desktop_accepts_rings_the_phone_and_its_answer_bridges(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "ring"
    await agent(client, "anna")
    async with pbx.connected(client, ring="accept"), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        await pbx.until(lambda: pbx.held() == [call])
        assert [] == pbx.legs()
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        leg = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
        assert [call] == pbx.held(), "the caller hears music until somebody is there"
        await pbx.pick_up(leg)
        await pbx.until(lambda: pbx.talking() == [{call, leg}])
        await pbx.hang_up(leg)
        await pbx.until(lambda: not pbx.channels)
        assert {"cause": 16} == (await anna.event("call.ended"))["data"]
        await until_state(client, "closed", "customer_left")


async def test_a_busy_phone_declines_and_the_next_agent_is_rung(client: Client, pbx: Pbx) -> None:
    pbx.phones |= {"anna": "busy", "bert": "answer"}
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        await anna.event("contact.offered")
        assert "busy" == (await anna.event("offer.declined"))["data"]["reason"]
        await agent(client, "bert")
        async with client.desktop("bert", status="available") as bert:
            await bert.event("contact.active")
            await pbx.until(pbx.talking)
            assert call in pbx.talking()[0]


async def test_a_phone_that_nobody_answers_is_a_missed_offer(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "silent"
    await agent(client, "anna")
    await client.call("PUT", "/v1/settings", json={"missed_offers_max": 1})
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        await anna.event("offer.expired")
        away = (await anna.event("agent.presence"))["data"]
        assert ("away", "missed_offers") == (away["status"], away["reason"])
        await pbx.until(lambda: pbx.held() == [call])


async def test_a_phone_that_is_not_there_is_a_missed_offer(client: Client, pbx: Pbx) -> None:
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        await anna.event("offer.expired")
        await pbx.until(lambda: pbx.held() == [call])


async def test_who_hangs_up_in_the_queue_has_abandoned(client: Client, pbx: Pbx) -> None:
    async with pbx.connected(client):
        call = await pbx.call("13800138000")
        await pbx.until(lambda: pbx.held() == [call])
        await pbx.hang_up(call)
        await until_state(client, "closed", "abandoned")


async def test_keys_that_a_caller_presses_are_told_and_kept_and_the_end_has_its_cause(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "answer"
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        contact_id = (await anna.event("contact.active"))["contact_id"]
        for digit in "12#":
            await pbx.press(call, digit)
        pressed = ""
        while pressed != "12#":  # keys of one beat come together
            told = (await anna.event("message.received"))["data"]["message"]
            assert ("event", {"event": "dtmf", "digits": told["text"]}) == (told["kind"], told["payload"])
            pressed += told["text"]
        await pbx.press(call, "9")
        await pbx.hang_up(call, cause=31)
        assert "9" == (await anna.event("message.received"))["data"]["message"]["text"]
        ended = await anna.event("call.ended")
        assert (contact_id, {"cause": 31}) == (ended["contact_id"], ended["data"])
    said = (await client.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
    assert "12#9" == "".join(each["text"] for each in said)


async def test_a_caller_who_gives_up_while_a_phone_rings_stops_its_ringing(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "ring"
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available"):
        call = await pbx.call("13800138000")
        await pbx.until(lambda: pbx.legs("Ringing"))
        await pbx.hang_up(call)
        await pbx.until(lambda: not pbx.channels)
        await until_state(client, "closed", "abandoned")


async def test_a_transfer_puts_the_caller_back_to_the_music_and_rings_the_next(client: Client, pbx: Pbx) -> None:
    pbx.phones |= {"anna": "answer", "bert": "ring"}
    await agent(client, "anna")
    await agent(client, "bert")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        active = await anna.event("contact.active")
        await pbx.until(pbx.talking)
        async with client.desktop("bert", status="available") as bert:
            path = f"/v1/contacts/{active['contact_id']}/transfer"
            await client.call("POST", path, json={"to": {"agent_id": "bert"}})
            await bert.event("contact.offered")
            leg = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
            await pbx.until(lambda: pbx.held() == [call] and pbx.legs() == [leg])
            await pbx.pick_up(leg)
            await pbx.until(lambda: pbx.talking() == [{call, leg}])


async def test_a_desktop_that_completes_hangs_up(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "answer"
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        await pbx.call("13800138000")
        active = await anna.event("contact.active")
        await pbx.until(pbx.talking)
        assert (await anna.ask(type="complete", assignment_id=active["data"]["assignment_id"], resolved=True))["ok"]
        await pbx.until(lambda: not pbx.channels)
    assert [("closed", "completed")] == await contacts(client)


async def test_a_phone_that_breaks_off_gives_the_caller_to_somebody_else(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "answer"
    await agent(client, "anna")
    async with pbx.connected(client), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        await anna.event("contact.active")
        await pbx.until(pbx.talking)
        await pbx.hang_up(pbx.legs("Up")[0], cause=38)
        assert "taken_back" == (await anna.event("assignment.lost"))["data"]["reason"]
        await pbx.until(lambda: pbx.held() == [call])
        await until_state(client, "waiting")


async def test_calls_live_on_when_the_connection_is_lost(client: Client, pbx: Pbx) -> None:
    pbx.phones |= {"anna": "answer", "bert": "ring"}
    await agent(client, "anna")
    await agent(client, "bert")
    async with (
        pbx.connected(client),
        client.desktop("anna", status="available") as anna,
    ):
        first = await pbx.call("13800138001")
        await anna.event("contact.active")
        await pbx.until(pbx.talking)
        second = await pbx.call("13800138002")
        third = await pbx.call("13800138003")
        await pbx.until(lambda: set(pbx.held()) == {second, third})
        await pbx.drop()
        await pbx.until(lambda: not pbx.online)
        await pbx.hang_up(third)  # while nobody is connected
        async with client.desktop("bert", status="available"):
            leg = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
            await pbx.pick_up(leg)
            await pbx.until(lambda: {second, leg} in pbx.talking())
            assert any(first in each for each in pbx.talking()), "who talked goes on talking"
            await until_state(client, "closed", "abandoned")
            await pbx.hang_up(first)
            await until_state(client, "closed", "customer_left")


async def follow_up(client: Client, pbx: Pbx) -> str:
    """A contact with which anna is to reach a customer by telephone."""
    number = {"type": "phone", "value": "+8613800138000", "proven": True}
    earlier = await client.contact("m-1", channel="sms", identity=number)
    body = {"channel": "voice", "account": pbx.account, "agent_id": "anna"}
    path = f"/v1/contacts/{earlier['id']}/follow-up"
    made = await client.call("POST", path, json=body, headers={"idempotency-key": "k1"})
    again = await client.call("POST", path, json=body, headers={"idempotency-key": "k1"})
    assert (made["id"], True, True) == (again["id"], made["dialled"], again["dialled"])
    return str(made["id"])


async def test_a_follow_up_rings_its_agent_then_dials_the_customer_and_bridges_them(client: Client, pbx: Pbx) -> None:
    pbx.phones |= {"anna": "ring", "+8613800138000": "ring"}
    await agent(client, "anna")
    async with pbx.connected(client, trunk=pbx.trunk), client.desktop("anna", status="available") as anna:
        contact_id = await follow_up(client, pbx)
        leg = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
        await pbx.pick_up(leg)
        assert contact_id == (await anna.event("contact.active"))["contact_id"]
        call = (await pbx.until(lambda: pbx.legs("Ringing")))[0]
        assert f"out-{contact_id}" == call
        await pbx.pick_up(call)
        await pbx.until(lambda: {call, leg} in pbx.talking())
        assert contact_id == (await anna.event("call.answered"))["contact_id"]
        await pbx.press(call, "5")
        assert "5" == (await anna.event("message.received"))["data"]["message"]["text"]
        await pbx.drop()
        await pbx.until(lambda: not pbx.online)
        await pbx.until(lambda: pbx.online)
        await pbx.hang_up(call)
        ended = await anna.event("call.ended")
        assert (contact_id, {"cause": 16}) == (ended["contact_id"], ended["data"])
        await pbx.until(lambda: not pbx.channels)
        assert "customer_left" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["outcome"]


async def test_a_customer_who_picks_up_while_the_connection_is_lost_is_bridged_and_that_is_told(
    client: Client, pbx: Pbx
) -> None:
    pbx.phones |= {"anna": "answer", "+8613800138000": "ring"}
    await agent(client, "anna")
    async with pbx.connected(client, trunk=pbx.trunk), client.desktop("anna", status="available") as anna:
        contact_id = await follow_up(client, pbx)
        call = f"out-{contact_id}"
        await pbx.until(lambda: call in pbx.legs("Ringing"))
        await pbx.drop()
        await pbx.pick_up(call)
        assert contact_id == (await anna.event("call.answered", 20))["contact_id"]
        await pbx.until(pbx.talking)
        await pbx.drop()
        await pbx.until(lambda: not pbx.online)
        await pbx.until(lambda: pbx.online)
        async with asyncio.timeout(20):
            while "message.received" not in [each["type"] for each in anna.events]:
                await pbx.press(call, "5")  # heard once it is known again what stands
                with contextlib.suppress(TimeoutError):
                    await anna.event("message.received", 0.5)
        assert 1 == [each["type"] for each in anna.events].count("call.answered")


async def test_a_customer_who_is_busy_stays_with_the_agent_and_is_dialled_again_when_the_contact_is_resumed(
    client: Client, pbx: Pbx
) -> None:
    pbx.phones |= {"anna": "answer", "+8613800138000": "busy"}
    await agent(client, "anna")
    async with pbx.connected(client, trunk=pbx.trunk), client.desktop("anna", status="available") as anna:
        contact_id = await follow_up(client, pbx)
        await anna.event("contact.active")
        assert {"cause": 17} == (await anna.event("call.ended"))["data"]
        await pbx.until(lambda: not pbx.channels)
        assert "active" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["state"]
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        await client.call("POST", f"/v1/contacts/{contact_id}/park", json={"until": until})
        pbx.phones["+8613800138000"] = "answer"
        await client.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        resumed = (await anna.event("contact.active"))["data"]
        await pbx.until(pbx.talking)
        assert (await anna.ask(type="complete", assignment_id=resumed["assignment_id"], resolved=True))["ok"]
        await pbx.until(lambda: not pbx.channels)


async def test_whom_a_closed_queue_lets_go_is_dialled_once_an_agent_has_the_contact(client: Client, pbx: Pbx) -> None:
    pbx.phones |= {"anna": "answer", "bert": "answer", "+8613800138000": "busy"}
    await agent(client, "anna")
    await agent(client, "bert")
    closed = {"time_zone": "UTC", "closed": {"action": "callback"}}
    await client.call("PUT", "/v1/queues/default", json={"hours": closed})
    async with pbx.connected(client, trunk=pbx.trunk), client.desktop("anna", status="available") as anna:
        await pbx.call("13800138000")
        await until_state(client, "parked")
        await pbx.until(lambda: not pbx.channels)
        contact_id = (await client.call("GET", "/v1/contacts"))["items"][0]["id"]
        await client.call("PUT", "/v1/queues/default", json={})
        await pbx.drop()  # what is promised holds, whoever has the line
        await pbx.until(lambda: not pbx.online)
        await pbx.until(lambda: pbx.online)
        assert "parked" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["state"]
        await client.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        await anna.event("contact.active")
        while {"cause": 17} != (await anna.event("call.ended"))["data"]:
            pass
        await pbx.until(lambda: not pbx.channels)
        pbx.phones["+8613800138000"] = "ring"
        async with client.desktop("bert", status="available") as bert:
            await client.call("POST", f"/v1/contacts/{contact_id}/transfer", json={"to": {"agent_id": "bert"}})
            leg = (await bert.event("contact.active"))["data"]["assignment_id"]
            call = f"out-{contact_id}"
            await pbx.until(lambda: call in pbx.legs("Ringing"))
            await pbx.pick_up(call)
            await pbx.until(lambda: {call, leg} in pbx.talking())
            await pbx.hang_up(call)
            await bert.event("assignment.completed")
            await pbx.until(lambda: not pbx.channels)
        assert "customer_left" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["outcome"]


async def test_whom_a_closed_queue_does_not_keep_the_dial_plan_has_and_nothing_of_it_is_news(
    client: Client, pbx: Pbx
) -> None:
    pbx.phones |= {"anna": "answer", "+8613800138000": "ring"}
    await agent(client, "anna")
    closed = {"time_zone": "UTC", "closed": {"action": "callback"}}
    await client.call("PUT", "/v1/queues/default", json={"hours": closed})
    settings = {"trunk": pbx.trunk, "closed_exten": "4999@voicemail"}
    async with pbx.connected(client, **settings), client.desktop("anna", status="available") as anna:
        call = await pbx.call("13800138000")
        await until_state(client, "parked")
        there = [(call, "4999@voicemail", "callback")]
        await pbx.until(lambda: pbx.elsewhere() == there)
        await pbx.drop()  # whoever has the line next leaves it where it is
        await pbx.until(lambda: not pbx.online)
        await pbx.until(lambda: pbx.online)
        contact_id = (await client.call("GET", "/v1/contacts"))["items"][0]["id"]
        await client.call("PUT", "/v1/queues/default", json={})
        await client.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        assert contact_id == (await anna.event("contact.active"))["contact_id"]
        await pbx.until(lambda: f"out-{contact_id}" in pbx.legs("Ringing"))
        assert there == pbx.elsewhere(), "it may say so to voicemail, and be called back meanwhile"
        await pbx.hang_up(call)
        await pbx.pick_up(f"out-{contact_id}")
        await anna.event("call.answered")
        assert "call.ended" not in [each["type"] for each in anna.events]
        assert "active" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["state"]


async def test_a_contact_that_closes_while_its_caller_waits_gives_it_to_the_dial_plan_once(
    client: Client, pbx: Pbx
) -> None:
    async with pbx.connected(client, closed_exten="4999"):
        call = await pbx.call("13800138000")
        await pbx.until(lambda: pbx.held() == [call])
        contact_id = (await client.call("GET", "/v1/contacts"))["items"][0]["id"]
        await client.call("POST", f"/v1/contacts/{contact_id}/cancel", json={"reason": "moved"})
        (found,) = await pbx.until(pbx.elsewhere)
        assert (call, "cancelled") == (found[0], found[2])
        assert "4999" == found[1].partition("@")[0]
        assert not pbx.held()
        await pbx.come_back(call)  # to be given to and fro would have no end
        await pbx.until(lambda: not pbx.channels)
    assert [("closed", "cancelled")] == await contacts(client)


async def test_who_talked_is_hung_up_on_and_so_is_everybody_where_nothing_takes_over(client: Client, pbx: Pbx) -> None:
    pbx.phones["anna"] = "answer"
    await agent(client, "anna")
    async with pbx.connected(client, closed_exten="4999"), client.desktop("anna", status="available") as anna:
        await pbx.call("13800138000")
        active = await anna.event("contact.active")
        await pbx.until(pbx.talking)
        assert (await anna.ask(type="complete", assignment_id=active["data"]["assignment_id"]))["ok"]
        await pbx.until(lambda: not pbx.channels)
    closing = {"action": "close", "reason": "night"}
    await client.call("PUT", "/v1/queues/default", json={"hours": {"time_zone": "UTC", "closed": closing}})
    async with pbx.connected(client, closed_exten="4999"):
        first = await pbx.call("13800138001")
        (found,) = await pbx.until(pbx.elsewhere)
        assert (first, "overflowed") == (found[0], found[2])
        await pbx.hang_up(first)
    async with pbx.connected(client):
        second = await pbx.call("13800138002")
        await pbx.until(lambda: second not in pbx.channels)


async def test_a_follow_up_says_whether_somebody_dials(client: Client) -> None:
    await agent(client, "anna")
    number = {"type": "phone", "value": "+8613800138000", "proven": True}
    earlier = await client.contact("m-1", channel="sms", identity=number)
    named = f"tr-{client.http.headers['authorization'][-12:].lower()}"
    silent = {"channel": "voice", "settings": {"username": "ast"}, "secrets": {"password": "astpw-astpw"}}
    await client.call("PUT", f"/v1/channels/{named}", json=silent)
    path = f"/v1/contacts/{earlier['id']}/follow-up"
    async with client.desktop("anna", status="available"):
        for account, external_id, dialled in ((named, None, False), ("a-gateway-of-theirs", "x1", None)):
            body = {"channel": "voice", "account": account, "external_id": external_id, "agent_id": "anna"}
            assert dialled == (await client.call("POST", path, 201, json=body))["dialled"]
