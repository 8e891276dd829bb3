"""What Asterisk alone has: it dials us or is dialled, is fenced by a close code, and may go silent."""

import asyncio
from pathlib import Path

import pytest

from src.api.context import Services
from src.api.voice import dialling, line
from tests.support.asterisk import Asterisk
from tests.support.service import Client, running
from tests.support.telephony import PASSWORD, DiallingAsterisk, account, agent, contacts, until_state


async def test_a_second_connection_of_the_account_fences_the_first(client: Client) -> None:
    first, second = Asterisk(), Asterisk()
    url = await account(client)
    async with first.dialling(url, "ast", PASSWORD):
        call = await first.call("13800138000")
        await first.until(lambda: first.held() == [call])
        second.channels, second.bridges = first.channels, first.bridges
        async with second.dialling(url, "ast", PASSWORD):
            await first.until(lambda: first.closed)
            assert [4002] == first.closed
            await second.hang_up(call)
            await until_state(client, "closed", "abandoned")


async def test_an_asterisk_that_is_dialled_by_us(client: Client) -> None:
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "answer", "bert": "answer"}
    await agent(client, "anna")
    async with asterisk.listening("ast", PASSWORD) as url, client.desktop("anna", status="available") as anna:
        await account(client, "pbx1", url=url, app="routing")
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


async def test_an_account_that_is_switched_off_and_on_is_dialled_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asterisk = Asterisk()
    async with asterisk.listening("ast", PASSWORD) as url:
        await account(client, "pbx1", url=url, app="routing")
        await asterisk.until(lambda: asterisk.asked)
        monkeypatch.setattr(dialling, "ROUND_S", 3.0)
        await asyncio.sleep(2)  # the next look is up to three seconds away
        shown = await client.call("GET", "/v1/channels/pbx1")
        body = {"channel": "voice", "settings": shown["settings"]}
        await client.call("PUT", "/v1/channels/pbx1", json={**body, "enabled": False})
        await asterisk.until(lambda: asterisk._socket is None)
        await asyncio.sleep(dialling.PAUSE_S_MIN + 0.5)
        asterisk.asked.clear()
        await client.call("PUT", "/v1/channels/pbx1", json=body)
        await asterisk.until(lambda: asterisk.asked)


async def test_whoever_had_the_tenant_does_not_dial_it_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asterisk = Asterisk()
    async with (
        running(database, tmp_path / "a") as a,
        running(database, tmp_path / "b") as b,
        asterisk.listening("ast", PASSWORD) as url,
    ):
        await account(a, "pbx1", url=url, app="routing")
        await asterisk.until(lambda: asterisk.asked)
        [tenant] = await a.services.queries.tenant_ids()
        before, after = (a, b) if a.services.owner.serves(tenant) else (b, a)
        wanted = dialling._wanted

        async def late(found: Services) -> set[tuple[str, str]]:
            return {(tenant, "pbx1")} if found is before.services else await wanted(found)

        monkeypatch.setattr(dialling, "_wanted", late)  # as if it had not looked yet
        asterisk.asked.clear()
        await before.services.owner.drain()
        await asterisk.until(lambda: asterisk.asked, 30)
        assert after.services.owner.serves(tenant)
        await asyncio.sleep(dialling.PAUSE_S_MIN + 1)
        assert [4002] == asterisk.closed


async def test_an_asterisk_that_cannot_be_dialled_is_reported_once(client: Client) -> None:
    asterisk = Asterisk()
    async with asterisk.listening("ast", "another password") as url:
        await account(client, "pbx1", url=url, app="routing")
        async with asyncio.timeout(30):
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
    asterisk = DiallingAsterisk()
    async with asterisk.connected(client):
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
