"""Calls in both directions of command: an Asterisk (a double of it) dials us, and its callers reach agents' telephones.

Every test is a call as people have it: somebody dials, hears music, a telephone rings, two people talk, somebody hangs
up; and everything that can go wrong on the way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from src.api.voice import line
from tests.support.asterisk import Asterisk
from tests.support.service import Client

CHANNELS = {"voice": {"cost": 100, "max": 1}}


async def account(client: Client, **settings: Any) -> str:
    """A voice account; the address of its WebSocket."""
    body = {
        "channel": "voice",
        "settings": {"username": "ast", "default_region": "CN", **settings},
        "secrets": {"password": "astpw-astpw"},
    }
    address = (await client.call("PUT", "/v1/channels/pbx1", json=body))["address"]
    return client.url.replace("http", "ws") + str(address) + "/ari"


@asynccontextmanager
async def connected(client: Client, asterisk: Asterisk, **settings: Any) -> AsyncIterator[str]:
    url = await account(client, **settings)
    async with asterisk.dialling(url, "ast", "astpw-astpw", again=True):
        yield url


async def contacts(client: Client) -> list[tuple[str, str | None]]:
    found = (await client.call("GET", "/v1/contacts"))["items"]
    return [(each["state"], each["outcome"]) for each in found]


async def until_state(client: Client, state: str, outcome: str | None = None, wait_s: float = 10) -> None:
    async with asyncio.timeout(wait_s):
        while (state, outcome) not in await contacts(client):
            await asyncio.sleep(0.05)


async def agent(client: Client, agent_id: str, **more: Any) -> None:
    await client.agent(agent_id, channels=CHANNELS, phone=agent_id, **more)


async def test_a_hard_phone_that_is_answered_accepts_the_offer_and_the_call_ends_with_the_caller(
    client: Client,
) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "ring"
    await agent(client, "anna")
    async with connected(client, asterisk):
        call = await asterisk.call("13800138000")
        await asterisk.until(lambda: asterisk.held() == [call])
        async with client.desktop("anna", status="available") as anna:
            offered = (await anna.event("contact.offered"))["data"]
            leg = (await asterisk.until(lambda: asterisk.legs("Ringing")))[0]
            assert offered["assignment_id"] == leg
            await asterisk.pick_up(leg)
            await anna.event("contact.active")
            await asterisk.until(lambda: asterisk.talking() == [{call, leg}])
            assert [] == asterisk.held()
            await asterisk.hang_up(call)
            await anna.event("assignment.completed")
            await asterisk.until(lambda: not asterisk.channels)
    assert [("closed", "customer_left")] == await contacts(client)


async def test_what_the_desktop_accepts_rings_the_phone_and_its_answer_bridges(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "ring"
    await agent(client, "anna")
    async with connected(client, asterisk, ring="accept"), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        offered = (await anna.event("contact.offered"))["data"]
        await asterisk.until(lambda: asterisk.held() == [call])
        assert [] == asterisk.legs()
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        leg = (await asterisk.until(lambda: asterisk.legs("Ringing")))[0]
        assert [call] == asterisk.held(), "the caller hears music until somebody is there"
        await asterisk.pick_up(leg)
        await asterisk.until(lambda: asterisk.talking() == [{call, leg}])
        await asterisk.hang_up(leg)
        await asterisk.until(lambda: not asterisk.channels)
        await until_state(client, "closed", "customer_left")


async def test_a_busy_phone_declines_and_the_next_agent_is_rung(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "busy", "bert": "answer"}
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        await anna.event("contact.offered")
        assert "busy" == (await anna.event("offer.declined"))["data"]["reason"]
        await agent(client, "bert")
        async with client.desktop("bert", status="available") as bert:
            await bert.event("contact.active")
            await asterisk.until(asterisk.talking)
            assert call in asterisk.talking()[0]


async def test_a_phone_that_nobody_answers_is_a_missed_offer(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "silent"
    await agent(client, "anna")
    await client.call("PUT", "/v1/settings", json={"missed_offers_max": 1})
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        await anna.event("offer.expired")
        away = (await anna.event("agent.presence"))["data"]
        assert ("away", "missed_offers") == (away["status"], away["reason"])
        assert [call] == asterisk.held()


async def test_a_phone_that_is_not_there_is_a_missed_offer(client: Client) -> None:
    asterisk = Asterisk()
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        await anna.event("offer.expired")
        assert [call] == asterisk.held()


async def test_who_hangs_up_in_the_queue_has_abandoned(client: Client) -> None:
    asterisk = Asterisk()
    async with connected(client, asterisk):
        call = await asterisk.call("13800138000")
        await asterisk.until(lambda: asterisk.held() == [call])
        await asterisk.hang_up(call)
        await until_state(client, "closed", "abandoned")


async def test_keys_that_a_caller_presses_are_told_and_kept_and_the_end_has_its_cause(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "answer"
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        contact_id = (await anna.event("contact.active"))["contact_id"]
        for digit in "12#":
            await asterisk.press(call, digit)
        pressed = ""
        while pressed != "12#":  # keys of one beat come together
            told = (await anna.event("message.received"))["data"]["message"]
            assert ("event", {"event": "dtmf", "digits": told["text"]}) == (told["kind"], told["payload"])
            pressed += told["text"]
        await asterisk.press(call, "9")
        await asterisk.hang_up(call, cause=31)
        assert "9" == (await anna.event("message.received"))["data"]["message"]["text"]
        ended = await anna.event("call.ended")
        assert (contact_id, {"cause": 31}) == (ended["contact_id"], ended["data"])
    said = (await client.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
    assert "12#9" == "".join(each["text"] for each in said)


async def test_a_caller_who_gives_up_while_a_phone_rings_stops_its_ringing(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "ring"
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available"):
        call = await asterisk.call("13800138000")
        await asterisk.until(lambda: asterisk.legs("Ringing"))
        await asterisk.hang_up(call)
        await asterisk.until(lambda: not asterisk.channels)
        await until_state(client, "closed", "abandoned")


async def test_a_transfer_puts_the_caller_back_to_the_music_and_rings_the_next(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "answer", "bert": "ring"}
    await agent(client, "anna")
    await agent(client, "bert")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        active = await anna.event("contact.active")
        await asterisk.until(asterisk.talking)
        async with client.desktop("bert", status="available") as bert:
            path = f"/v1/contacts/{active['contact_id']}/transfer"
            await client.call("POST", path, json={"to": {"agent_id": "bert"}})
            await bert.event("contact.offered")
            leg = (await asterisk.until(lambda: asterisk.legs("Ringing")))[0]
            await asterisk.until(lambda: asterisk.held() == [call] and asterisk.legs() == [leg])
            await asterisk.pick_up(leg)
            await asterisk.until(lambda: asterisk.talking() == [{call, leg}])


async def test_a_desktop_that_completes_hangs_up(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "answer"
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        await asterisk.call("13800138000")
        active = await anna.event("contact.active")
        await asterisk.until(asterisk.talking)
        assert (await anna.ask(type="complete", assignment_id=active["data"]["assignment_id"], resolved=True))["ok"]
        await asterisk.until(lambda: not asterisk.channels)
    assert [("closed", "completed")] == await contacts(client)


async def test_a_phone_that_breaks_off_gives_the_caller_to_somebody_else(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones["anna"] = "answer"
    await agent(client, "anna")
    async with connected(client, asterisk), client.desktop("anna", status="available") as anna:
        call = await asterisk.call("13800138000")
        await anna.event("contact.active")
        await asterisk.until(asterisk.talking)
        await asterisk.hang_up(asterisk.legs("Up")[0], cause=38)
        assert "taken_back" == (await anna.event("assignment.lost"))["data"]["reason"]
        await asterisk.until(lambda: asterisk.held() == [call])
        await until_state(client, "waiting")


async def test_calls_live_on_when_the_connection_is_lost(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "answer", "bert": "ring"}
    await agent(client, "anna")
    await agent(client, "bert")
    async with (
        connected(client, asterisk),
        client.desktop("anna", status="available") as anna,
    ):
        first = await asterisk.call("13800138001")
        await anna.event("contact.active")
        await asterisk.until(asterisk.talking)
        second = await asterisk.call("13800138002")
        third = await asterisk.call("13800138003")
        await asterisk.until(lambda: set(asterisk.held()) == {second, third})
        await asterisk.drop()
        await asterisk.until(lambda: asterisk._socket is None)
        await asterisk.hang_up(third)  # while nobody is connected
        async with client.desktop("bert", status="available"):
            leg = (await asterisk.until(lambda: asterisk.legs("Ringing")))[0]
            await asterisk.pick_up(leg)
            await asterisk.until(lambda: {second, leg} in asterisk.talking())
            assert any(first in each for each in asterisk.talking()), "who talked goes on talking"
            await until_state(client, "closed", "abandoned")
            await asterisk.hang_up(first)
            await until_state(client, "closed", "customer_left")


async def test_a_second_connection_of_the_account_fences_the_first(client: Client) -> None:
    first, second = Asterisk(), Asterisk()
    url = await account(client)
    async with first.dialling(url, "ast", "astpw-astpw"):
        call = await first.call("13800138000")
        await first.until(lambda: first.held() == [call])
        second.channels, second.bridges = first.channels, first.bridges
        async with second.dialling(url, "ast", "astpw-astpw"):
            await first.until(lambda: first.closed)
            assert [4002] == first.closed
            await second.hang_up(call)
            await until_state(client, "closed", "abandoned")


async def test_an_asterisk_that_is_dialled_by_us(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "answer", "bert": "answer"}
    await agent(client, "anna")
    async with asterisk.listening("ast", "astpw-astpw") as url, client.desktop("anna", status="available") as anna:
        await account(client, url=url, app="routing")
        await asterisk.until(lambda: asterisk.asked)
        first = await asterisk.call("13800138000")
        await anna.event("contact.active")
        await asterisk.until(asterisk.talking)
        asterisk.asked.clear()
        await asterisk.drop()
        await asterisk.until(lambda: asterisk.asked)
        assert ("GET", "applications/routing", {}) == asterisk.asked[0], "what stands is asked first"
        second = await asterisk.call("13800138001")
        await agent(client, "bert")
        async with client.desktop("bert", status="available") as bert:
            await bert.event("contact.active")
            await asterisk.until(lambda: len(asterisk.talking()) == 2)  # both callers
            await asterisk.hang_up(first)
            await asterisk.hang_up(second)
            await asterisk.until(lambda: not asterisk.channels)
        await client.call("DELETE", "/v1/channels/pbx1", 204)
        await asterisk.until(lambda: asterisk._socket is None)


async def test_an_asterisk_that_cannot_be_dialled_is_reported_once(client: Client) -> None:
    asterisk = Asterisk()
    async with asterisk.listening("ast", "another password") as url:
        await account(client, url=url, app="routing")
        async with asyncio.timeout(10):
            reasons: list[str] = []
            while not reasons:
                events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
                reasons = [each["data"]["reason"] for each in events if each["type"] == "channel.trouble"]
                await asyncio.sleep(0.1)
        assert ["line_not_dialled"] == reasons


async def test_an_asterisk_that_goes_silent_is_hung_up_on_and_its_callers_are_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "ANSWER_MS_MAX", 1_500)
    asterisk = Asterisk()
    async with connected(client, asterisk):
        call = await asterisk.call("13800138000")
        await asterisk.until(lambda: asterisk.held() == [call])
        asterisk.mute = True
        await asterisk.call("13800138001")
        await asterisk.until(lambda: asterisk.closed, 20)
        assert 1011 == asterisk.closed[0]
        events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
        assert "line_silent" in [each["data"]["reason"] for each in events if each["type"] == "channel.trouble"]
        asterisk.mute = False
        await asterisk.until(lambda: len(asterisk.held()) == 2)  # both callers
        assert [("waiting", None)] * 2 == await contacts(client)
