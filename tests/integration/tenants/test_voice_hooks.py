"""Calls of any telephone system that posts signed events and takes commands: by asking for them, or at its address."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from src.api.voice import hooked
from src.store.callbook import DUE_MAX
from tests.support.gateway import SECRET, Gateway
from tests.support.service import Client

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + bytes(24)
CHANNELS = {"voice": {"cost": 100, "max": 1}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """New accounts are found at once."""
    monkeypatch.setattr(hooked, "ROUND_S", 0.1)


def named(tenant: Client) -> str:
    """An account's name, which no other tenant's has."""
    return "pbx-" + sha256(tenant.http.headers["authorization"].encode()).hexdigest()[:12]


def body_of(**settings: Any) -> dict[str, Any]:
    return {
        "channel": "voice",
        "settings": {"system": "webhook", "default_region": "CN", **settings},
        "secrets": {"secret": SECRET},
    }


async def account(tenant: Client, **settings: Any) -> None:
    shown = await tenant.call("PUT", f"/v1/channels/{named(tenant)}", json=body_of(**settings))
    assert SECRET not in json.dumps(shown)


@asynccontextmanager
async def connected(tenant: Client, **settings: Any) -> AsyncIterator[Gateway]:
    await account(tenant, **settings)
    gateway = Gateway(tenant.url, named(tenant))
    async with gateway.obeying():
        yield gateway


async def agent(tenant: Client, agent_id: str, **more: Any) -> None:
    await tenant.agent(agent_id, channels=CHANNELS, phone=f"8{agent_id}", **more)


async def contacts(tenant: Client) -> list[tuple[str, str | None]]:
    found = (await tenant.call("GET", "/v1/contacts"))["items"]
    return [(each["state"], each["outcome"]) for each in found]


async def until_state(tenant: Client, state: str, outcome: str | None = None, wait_s: float = 10) -> None:
    async with asyncio.timeout(wait_s):
        while (state, outcome) not in await contacts(tenant):
            await asyncio.sleep(0.05)


async def taken_back(tenant: Client) -> None:
    """Until the one contact has gone back to the queue."""
    async with asyncio.timeout(30):
        while True:
            found = (await tenant.call("GET", "/v1/events", params={"limit": 1000}))["items"]
            if "contact.requeued" in [each["type"] for each in found]:
                return
            await asyncio.sleep(0.05)


async def test_a_call_from_its_arrival_to_its_end_with_everything_told_twice_and_a_key_pressed(tenant: Client) -> None:
    await agent(tenant, "anna")
    async with connected(tenant, phones="SIP/{phone}") as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", "e1", number="13800138000", name="Zhang San", dialed="4001")
        await gateway.tell("offered", "c1", "e1", number="13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        identity = offered["contact"]["identity"]
        assert ("phone", "+*********8000") == (identity["type"], identity["value"])
        await gateway.command("hold", call_id="c1")
        ring = await gateway.command("ring", call_id="c1")
        assert offered["assignment_id"] == ring["leg_id"]
        assert ("SIP/8anna", "+8613800138000") == (ring["phone"], ring["number"])
        assert 0 < ring["timeout_s"] <= 30
        leg = ring["leg_id"]
        await gateway.tell("agent_ringing", "c1", leg_id=leg)
        await gateway.tell("agent_answered", "c1", leg_id=leg)
        await gateway.command("bridge", call_id="c1", leg_id=leg)
        await gateway.tell("bridged", "c1", "e5", leg_id=leg)
        for _ in range(2):
            await gateway.tell("dtmf", "c1", "e6", digits="12#")
        await gateway.tell("ended", "c1", cause=31)
        told = (await anna.event("message.received"))["data"]["message"]
        assert "12#" == told["text"]
        assert {"cause": 31} == (await anna.event("call.ended"))["data"]
        await anna.event("assignment.completed")
        assert ["hold", "ring", "bridge"] == [each["type"] for each in gateway.commands if each["type"] != "drop"]
    assert [("closed", "customer_left")] == await contacts(tenant)
    assert 1 == len([each for each in anna.events if each["type"] == "message.received"])


async def test_what_the_desktop_accepts_rings_the_phone_and_a_desktop_that_completes_hangs_up(tenant: Client) -> None:
    await agent(tenant, "anna")
    async with connected(tenant, ring="accept") as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        await gateway.command("hold")
        assert gateway.like("ring") is None
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        leg = (await gateway.command("ring"))["leg_id"]
        await gateway.tell("agent_answered", "c1", leg_id=leg)
        await gateway.command("bridge", leg_id=leg)
        await gateway.tell("bridged", "c1", leg_id=leg)
        assert (await anna.ask(type="complete", assignment_id=leg))["ok"]
        await gateway.command("hang_up", call_id="c1")


async def test_a_busy_phone_declines_one_that_is_silent_misses_and_a_hang_up_in_the_queue_abandons(
    tenant: Client,
) -> None:
    await agent(tenant, "anna")
    await agent(tenant, "bert")
    async with connected(tenant) as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        leg = (await gateway.command("ring", phone="8anna"))["leg_id"]
        await gateway.tell("agent_ended", "c1", leg_id=leg, cause=17)
        assert "busy" == (await anna.event("offer.declined"))["data"]["reason"]
        async with tenant.desktop("bert", status="available") as bert:
            leg = (await gateway.command("ring", phone="8bert"))["leg_id"]
            await gateway.tell("agent_ended", "c1", leg_id=leg, cause=19)
            await bert.event("offer.expired")
        await gateway.tell("abandoned", "c1")
        await until_state(tenant, "closed", "abandoned")


async def test_a_transfer_drops_one_phone_and_rings_the_next_and_an_agents_hang_up_ends_the_call(
    tenant: Client,
) -> None:
    await agent(tenant, "anna")
    await agent(tenant, "bert")
    async with connected(tenant) as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        leg = (await gateway.command("ring"))["leg_id"]
        await gateway.tell("agent_answered", "c1", leg_id=leg)
        active = await anna.event("contact.active")
        await gateway.command("bridge", leg_id=leg)
        await gateway.tell("bridged", "c1", leg_id=leg)
        async with tenant.desktop("bert", status="available"):
            path = f"/v1/contacts/{active['contact_id']}/transfer"
            await tenant.call("POST", path, json={"to": {"agent_id": "bert"}})
            await gateway.command("drop", leg_id=leg)
            await gateway.tell("agent_ended", "c1", leg_id=leg, cause=16)
            second = (await gateway.command("ring", phone="8bert"))["leg_id"]
            await gateway.until(lambda: 2 == len([each for each in gateway.commands if each["type"] == "hold"]))
            await gateway.tell("agent_answered", "c1", leg_id=second)
            await gateway.command("bridge", leg_id=second)
            await gateway.tell("bridged", "c1", leg_id=second)
            await gateway.tell("agent_ended", "c1", leg_id=second, cause=16)
            await gateway.command("hang_up")
            await gateway.tell("ended", "c1", cause=16)
            await until_state(tenant, "closed", "customer_left")


async def follow_up(tenant: Client) -> str:
    """A contact with which anna is to reach a customer by telephone."""
    number = {"type": "phone", "value": "+8613800138000", "proven": True}
    earlier = await tenant.contact("m-1", channel="sms", identity=number)
    body = {"channel": "voice", "account": named(tenant), "agent_id": "anna"}
    return str((await tenant.call("POST", f"/v1/contacts/{earlier['id']}/follow-up", json=body))["id"])


DIALS = {"trunk": "SIP/{number}@trunk", "shows": "+861012345678"}


async def test_a_follow_up_rings_its_agent_then_has_the_customer_dialled_and_the_two_bridged(tenant: Client) -> None:
    await agent(tenant, "anna")
    async with connected(tenant, **DIALS) as gateway, tenant.desktop("anna", status="available") as anna:
        contact_id = await follow_up(tenant)
        ring = await gateway.command("ring", phone="8anna", number="+8613800138000")
        call, leg = ring["call_id"], ring["leg_id"]
        assert call.startswith(f"out-{contact_id}")
        await gateway.tell("agent_answered", call, leg_id=leg)
        assert contact_id == (await anna.event("contact.active"))["contact_id"]
        dial = await gateway.command("dial", call_id=call)
        expected = {"phone": "SIP/+8613800138000@trunk", "number": "+861012345678", "timeout_s": 45}
        assert expected.items() <= dial.items()
        for _ in range(2):
            await gateway.tell("reached", call, "r1")
        assert contact_id == (await anna.event("call.answered"))["contact_id"]
        await gateway.command("bridge", call_id=call, leg_id=leg)
        await gateway.tell("bridged", call, leg_id=leg)
        await gateway.tell("dtmf", call, digits="5")
        assert "5" == (await anna.event("message.received"))["data"]["message"]["text"]
        known = len(gateway.commands)
        stands = {"type": "standing", "calls": [{"call_id": call}], "legs": {leg: call}}
        assert 200 == (await gateway.post("", stands)).status_code
        await tenant.call(
            "PUT", f"/v1/channels/{named(tenant)}", json=body_of(**DIALS)
        )  # another line, which reads anew
        await gateway.tell("ended", call, cause=16)
        assert {"cause": 16} == (await anna.event("call.ended"))["data"]
        await anna.event("assignment.completed")
        assert {"drop"} >= {each["type"] for each in gateway.commands[known:]}
        assert "customer_left" == (await tenant.call("GET", f"/v1/contacts/{contact_id}"))["outcome"]


async def test_a_call_in_which_only_an_agents_phone_rang_does_not_stay_in_the_book_for_a_day(
    tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent(tenant, "anna")
    async with connected(tenant, **DIALS) as gateway, tenant.desktop("anna", status="available") as anna:
        await follow_up(tenant)
        ring = await gateway.command("ring")
        await gateway.tell("agent_ended", ring["call_id"], leg_id=ring["leg_id"], cause=19)
        await anna.event("offer.expired")
        await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
        await gateway.tell("offered", "c1", number="13800138000")
        await gateway.command("hold", call_id="c1")
        entry = await tenant.services.queries.account(named(tenant))
        assert entry is not None
        book, key = tenant.services.call_book, (entry[0], named(tenant))
        assert (await book.standing(*key, [ring["call_id"]]))[1]
        monkeypatch.setattr(hooked, "KEEP_UNDIALLED_MS", -60_000)
        monkeypatch.setattr(hooked, "LOOK_AFTER_S", 0.1)
        monkeypatch.setattr(hooked, "SWEEP_S", 0.1)
        async with asyncio.timeout(20):
            while (await book.standing(*key, [ring["call_id"]])) != ([], []):
                await asyncio.sleep(0.1)
        assert {"c1"} == {each.call_id for each in (await book.standing(*key))[0]}


async def test_a_customer_who_is_busy_is_dialled_under_another_id_when_the_contact_is_taken_again(
    tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent(tenant, "anna")
    await tenant.call(
        "PUT", "/v1/queues/default", json={"hours": {"time_zone": "UTC", "closed": {"action": "callback"}}}
    )
    async with connected(tenant, **DIALS) as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        await gateway.command("hang_up", call_id="c1")
        contact_id = (await tenant.call("GET", "/v1/contacts"))["items"][0]["id"]
        await tenant.call("PUT", "/v1/queues/default", json={})
        await tenant.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        first = await gateway.command("ring")
        await gateway.tell("agent_answered", first["call_id"], leg_id=first["leg_id"])
        await gateway.command("dial", call_id=first["call_id"])
        await gateway.tell("ended", "c1", cause=16)  # late
        await gateway.tell("abandoned", first["call_id"], cause=17)
        while {"cause": 17} != (await anna.event("call.ended"))["data"]:
            pass
        await gateway.command("drop", leg_id=first["leg_id"])
        assert "active" == (await tenant.call("GET", f"/v1/contacts/{contact_id}"))["state"]
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        await tenant.call("POST", f"/v1/contacts/{contact_id}/park", json={"until": until})
        await tenant.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        again = await gateway.until(lambda: [each for each in gateway.commands if each["type"] == "ring"][1:])
        call, leg = again[0]["call_id"], again[0]["leg_id"]
        assert (call, leg) != (first["call_id"], first["leg_id"])
        await gateway.tell("agent_answered", call, leg_id=leg)
        await gateway.command("dial", call_id=call)
        monkeypatch.setattr(hooked, "RANG_MORE_MS", -60_000)
        monkeypatch.setattr(hooked, "SWEEP_S", 0.1)  # nothing more is heard of it
        while {"cause": 19} != (await anna.event("call.ended"))["data"]:
            pass
        await gateway.command("drop", leg_id=leg)
        assert "active" == (await tenant.call("GET", f"/v1/contacts/{contact_id}"))["state"]


async def test_whom_a_closed_queue_does_not_keep_may_be_given_to_voicemail_which_is_no_news(tenant: Client) -> None:
    await agent(tenant, "anna")
    closed = {"hours": {"time_zone": "UTC", "closed": {"action": "callback"}}}
    await tenant.call("PUT", "/v1/queues/default", json=closed)
    async with connected(tenant, **DIALS) as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        hang_up = await gateway.command("hang_up", call_id="c1")
        contact_id = (await tenant.call("GET", "/v1/contacts"))["items"][0]["id"]
        assert ("callback", contact_id) == (hang_up["reason"], hang_up["contact_id"])
        recording = await tenant.call("POST", f"/v1/media?contact_id={contact_id}&name=voicemail.wav", content=WAV)
        said = {"from": "customer", "kind": "voice", "payload": {"media_id": recording["id"]}}
        await tenant.call("POST", f"/v1/contacts/{contact_id}/messages", json=said)
        await account(tenant, **DIALS | {"shows": "+861012345679"})  # another line takes over
        await tenant.call("PUT", "/v1/queues/default", json={})
        await tenant.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        first = await gateway.command("ring")
        legs = {first["leg_id"]: first["call_id"]}
        standing = {"type": "standing", "calls": [{"call_id": "c1", "number": "13800138000"}], "legs": legs}
        assert 200 == (await gateway.post("", standing)).status_code
        await gateway.tell("dtmf", "c1", digits="1")
        await gateway.tell("ended", "c1", cause=31)
        await gateway.tell("agent_answered", first["call_id"], leg_id=first["leg_id"])
        await gateway.command("dial", call_id=first["call_id"])
        await gateway.tell("abandoned", first["call_id"], cause=17)
        assert {"cause": 17} == (await anna.event("call.ended"))["data"], "what the voicemail's caller does is no news"
        await gateway.tell("offered", "c2", number="13800138001")
        await gateway.until(lambda: gateway.like("hold", call_id="c2") or gateway.like("ring", call_id="c2"))
        assert 1 == len([each for each in gateway.commands if each["call_id"] == "c1"])
        assert not [each for each in anna.events if each["type"] == "message.received"]
        shown = (await tenant.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
        assert [("voice", recording["id"])] == [(each["kind"], each["payload"]["media_id"]) for each in shown]


async def test_events_in_any_order_come_to_the_same_end(tenant: Client) -> None:
    orders = [("ended", "offered"), ("abandoned", "agent_ringing", "offered"), ("ended", "agent_answered", "offered")]
    async with connected(tenant) as gateway:
        for number, order in enumerate(orders, 1):
            for each in order:
                more = {"number": f"1380013800{number}"} if each == "offered" else {}
                more |= {"leg_id": str(uuid.uuid4())} if each.startswith("agent_") else {}
                await gateway.tell(each, f"c{number}", **more)
        await asyncio.gather(gateway.tell("ended", "c4"), gateway.tell("offered", "c4", number="13800138004"))
        async with asyncio.timeout(30):
            while [("closed", "abandoned")] * 4 != await contacts(tenant):
                await asyncio.sleep(0.05)


async def test_callers_hear_their_place_whenever_it_has_changed(
    tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.api.voice.line.PLACES_S", 0.1)
    async with connected(tenant) as gateway:
        for number in (1, 2):
            await gateway.tell("offered", f"c{number}", number=f"1380013800{number}")
        await gateway.command("announce", call_id="c1", position=1)
        await gateway.command("announce", call_id="c2", position=2)
        await gateway.tell("abandoned", "c1")
        await gateway.command("announce", call_id="c2", position=1)


async def test_commands_are_given_until_they_are_acknowledged(tenant: Client) -> None:
    await account(tenant)
    gateway = Gateway(tenant.url, named(tenant))
    await gateway.tell("offered", "c1", number="13800138000")
    first = (await gateway.post("/commands", {"wait_s": 10})).json()["commands"]
    again = (await gateway.post("/commands", {})).json()["commands"]
    assert ["hold"] == [each["type"] for each in first]
    assert first == again
    assert [] == (await gateway.post("/commands", {"done": [first[0]["id"]]})).json()["commands"]
    await gateway.http.aclose()


async def test_whoever_comes_back_says_what_stands_and_the_rest_has_ended(tenant: Client) -> None:
    await agent(tenant, "anna")
    async with connected(tenant) as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138001")
        leg = (await gateway.command("ring"))["leg_id"]
        await gateway.tell("agent_answered", "c1", leg_id=leg)
        await anna.event("contact.active")
        await gateway.tell("offered", "c2", number="13800138002")
        await gateway.command("hold", call_id="c2")
        calls = [{"call_id": "c1", "number": "13800138001"}, {"call_id": "c3", "number": "13800138003"}]
        answer = await gateway.post("", {"type": "standing", "calls": calls, "legs": {leg: "c1"}})
        assert 200 == answer.status_code
        await gateway.command("hold", call_id="c3")
        await until_state(tenant, "closed", "abandoned")
        assert {"active", "waiting", "closed"} == {state for state, _ in await contacts(tenant)}
        assert 200 == (await gateway.post("", {"type": "standing", "calls": calls})).status_code
        await until_state(tenant, "waiting")


async def test_a_system_that_takes_no_commands_is_told_of_and_what_it_should_have_rung_is_over(
    tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooked, "SILENT_MS", 200)
    monkeypatch.setattr(hooked, "RING_MS_MAX", 400)
    await agent(tenant, "anna")
    async with connected(tenant, ring="accept") as gateway, tenant.desktop("anna", status="available") as anna:
        gateway.mute = True
        await gateway.tell("offered", "c1", number="13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        await taken_back(tenant)
    found = (await tenant.call("GET", "/v1/events", params={"limit": 1000}))["items"]
    assert ["line_silent"] == [each["data"]["reason"] for each in found if each["type"] == "channel.trouble"]


async def test_a_phone_of_which_nothing_is_heard_is_not_waited_for(
    tenant: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooked, "RANG_MORE_MS", -30_000)
    monkeypatch.setattr(hooked, "SWEEP_S", 0.1)
    await agent(tenant, "anna")
    async with connected(tenant, ring="accept") as gateway, tenant.desktop("anna", status="available") as anna:
        await gateway.tell("offered", "c1", number="13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        await taken_back(tenant)


async def test_commands_are_posted_to_the_systems_address_signed_and_again_until_taken(
    tenant: Client,
) -> None:
    posted: list[dict[str, Any]] = []
    failures = [503, 503]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(each.split(": ", 1) for each in head[1:] if each)
        body = await reader.readexactly(int(headers["content-length"]))
        signed = {name: headers[name] for name in ("webhook-id", "webhook-timestamp")}
        case = body.decode()
        assert headers["webhook-signature"].startswith("v1,")
        posted.append({**json.loads(case), "headers": signed})
        status = failures.pop() if failures else 204
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await account(tenant, commands_url=f"http://127.0.0.1:{port}/commands")
    gateway = Gateway(tenant.url, named(tenant))
    await gateway.tell("offered", "c1", number="13800138000")
    async with asyncio.timeout(30):
        while len(posted) < 3:
            await asyncio.sleep(0.05)
    assert [("hold", "c1")] * 3 == [(each["type"], each["call_id"]) for each in posted]
    assert 1 == len({each["id"] for each in posted})
    assert {each["id"] for each in posted} == {each["headers"]["webhook-id"] for each in posted}
    await gateway.http.aclose()
    server.close()


async def test_no_call_waits_for_another_whose_commands_hang_or_are_never_taken(tenant: Client) -> None:
    taken: list[str] = []
    asked: Counter[str] = Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        call_id = json.loads(await reader.readexactly(int(length)))["call_id"]
        asked[call_id] += 1
        if call_id.startswith("hangs"):
            await reader.read()  # without a word, for as long as the other side bears it
        else:
            status = 500 if call_id.startswith("fails") else 204
            taken.extend([call_id] if status == 204 else [])
            writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await account(tenant, commands_url=f"http://127.0.0.1:{port}/commands")
    gateway = Gateway(tenant.url, named(tenant))
    calls = [f"hangs-{number}" for number in range(5)] + [f"fails-{number}" for number in range(DUE_MAX + 5)]
    for call_id in calls:
        await gateway.tell("offered", call_id, number="13800138000")
    async with asyncio.timeout(60):
        while not set(calls) <= asked.keys():
            await asyncio.sleep(0.05)
        for number in range(3):
            await gateway.tell("offered", f"good-{number}", number="13800138000")
        while len(taken) < 3:
            await asyncio.sleep(0.05)
        seen = asked["fails-0"]
        while asked["fails-0"] == seen:  # they are tried again all the same
            await asyncio.sleep(0.05)
    assert {"good-0", "good-1", "good-2"} == set(taken)
    await gateway.http.aclose()
    server.close()


async def test_commands_go_nowhere_inward_unless_the_operator_allows_it(tenant: Client) -> None:
    came = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.2", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await account(tenant, commands_url=f"http://127.0.0.2:{port}/commands")
        gateway = Gateway(tenant.url, named(tenant))
        await gateway.tell("offered", "c1", number="13800138000")
        assert 1 == len((await gateway.post("/commands", {"wait_s": 10})).json()["commands"])
        await asyncio.sleep(0.5)
        assert not came.is_set()
        await gateway.http.aclose()


async def test_bad_requests_have_names_and_change_nothing(tenant: Client) -> None:
    await account(tenant)
    gateway = Gateway(tenant.url, named(tenant))
    body = json.dumps({"type": "offered", "call_id": "c1", "number": "1"}).encode()
    good = gateway.headers(body, "e1")
    old = gateway.headers(body, "e1", datetime.now(UTC) - timedelta(minutes=6))
    early = gateway.headers(body, "e1", datetime.now(UTC) + timedelta(minutes=6))
    other = gateway.headers(body, "e1", secret="whsec_" + "A" * 32)
    for headers, content, code in [
        ({}, body, "bad_signature"),
        ({**good, "webhook-signature": "v1,AAAA"}, body, "bad_signature"),
        ({**good, "webhook-id": "e2"}, body, "bad_signature"),
        ({**good, "webhook-timestamp": "0x1"}, body, "bad_signature"),
        (good, body + b" ", "bad_signature"),
        (other, body, "bad_signature"),
        (old, body, "stale_timestamp"),
        (early, body, "stale_timestamp"),
    ]:
        answer = await gateway.http.post(gateway.address, content=content, headers=headers)
        assert (401, code) == (answer.status_code, answer.json()["code"])
    for wrong in [
        {"type": "levitated", "call_id": "c1"},
        {"type": {"offered": 1}, "call_id": "c1"},
        {"call_id": "c1"},
        {"type": "offered"},
        {"type": "offered", "call_id": "x" * 200},
        {"type": "offered", "call_id": "out-1"},
        {"type": "offered", "call_id": "c1", "number": 1},
        {"type": "agent_answered", "call_id": "c1"},
        {"type": "ended", "call_id": "c1", "cause": 200},
        {"type": "dtmf", "call_id": "c1", "digits": "1x"},
        {"type": "dtmf", "call_id": "c1", "digits": "1" * 65},
        {"type": "standing"},
        {"type": "standing", "calls": [{}]},
        {"type": "standing", "calls": [], "legs": {"a": None}},
        [],
        "x",
    ]:
        answer = await gateway.post("", wrong)
        assert (422, "malformed") == (answer.status_code, answer.json()["code"]), wrong
    for wrong in [{"wait_s": 60}, {"wait_s": True}, {"done": "x"}, {"done": [1]}]:
        assert 422 == (await gateway.post("/commands", wrong)).status_code
    huge = b'{"type": "offered", "call_id": "' + b"x" * 2_000_000 + b'"}'
    answer = await gateway.http.post(gateway.address, content=huge, headers=gateway.headers(huge, "e1"))
    assert (413, "body_too_large") == (answer.status_code, answer.json()["code"])
    assert 404 == (await gateway.post("/nowhere", {})).status_code
    assert [] == await contacts(tenant)
    await gateway.http.aclose()


async def test_an_older_secret_is_taken_while_they_are_changed(tenant: Client) -> None:
    await account(tenant)
    new = "whsec_" + "B" * 32
    body = {
        "secrets": {"secret": new, "previous_secret": SECRET},
        "settings": {"system": "webhook"},
        "channel": "voice",
    }
    await tenant.call("PUT", f"/v1/channels/{named(tenant)}", json=body)
    gateway = Gateway(tenant.url, named(tenant))
    await gateway.tell("offered", "c1", number="+8613800138000")
    content = b'{"done": []}'
    answer = await gateway.http.post(
        gateway.address + "/commands", content=content, headers=gateway.headers(content, "p1", secret=new)
    )
    assert 200 == answer.status_code
    Webhook(new)  # it is one of the standard's
    await gateway.http.aclose()
