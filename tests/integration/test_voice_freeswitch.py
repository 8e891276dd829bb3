"""What FreeSWITCH alone has: we dial it and log in, where that is allowed, and nobody else's calls are ours."""

import asyncio
from pathlib import Path

import pytest

from src.api.voice import dialling, line
from src.connectors.outward import networks
from tests.support.freeswitch import Channel, FreeSwitch
from tests.support.service import Client, running
from tests.support.telephony import PASSWORD, DialledFreeSwitch, agent, contacts, until_state


async def _account(client: Client, url: str, **secrets: str) -> None:
    body = {"channel": "voice", "settings": {"url": url}, "secrets": {"password": PASSWORD} | secrets}
    await client.call("PUT", "/v1/channels/fs1", json=body)


async def _trouble(client: Client) -> list[str]:
    async with asyncio.timeout(30):
        while True:
            events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
            if found := [each["data"]["reason"] for each in events if each["type"] == "channel.trouble"]:
                return found
            await asyncio.sleep(0.1)


async def test_a_wrong_password_is_reported_once_and_the_right_one_helps(client: Client) -> None:
    freeswitch = FreeSwitch(PASSWORD)
    async with freeswitch.listening() as url:
        await _account(client, url, password="another password")
        assert ["line_not_dialled"] == await _trouble(client)
        await freeswitch.until(lambda: freeswitch.asked.count("auth another password") > 1)
        assert ["line_not_dialled"] == await _trouble(client)
        assert not freeswitch.online
        await _account(client, url)
        await freeswitch.until(lambda: freeswitch.online)


async def test_private_addresses_are_not_dialled_unless_they_are_allowed(database: str, tmp_path: Path) -> None:
    freeswitch = FreeSwitch(PASSWORD)
    async with freeswitch.listening() as url, running(database, tmp_path, voice_networks="") as client:
        await _account(client, url)
        assert ["line_not_dialled"] == await _trouble(client)
        assert [] == freeswitch.asked


async def test_calls_that_are_not_for_us_are_left_alone(client: Client) -> None:
    freeswitch = DialledFreeSwitch()
    talks = Channel("other-in", "inbound", "1", "", "9", "answered", bond="other-out")
    freeswitch.channels |= {
        "other-in": talks,
        "other-out": Channel("other-out", "outbound", "1", "", "9", "answered", bond="other-in"),
        "stale": Channel("stale", "outbound", "1", "", "9", "answered", variables={"cordboard_call": "gone"}),
    }
    async with freeswitch.connected(client):
        await freeswitch.until(lambda: "stale" not in freeswitch.channels)
        assert {"other-in", "other-out"} == freeswitch.channels.keys()
        await freeswitch.hang_up("other-in")
        call = await freeswitch.call("13800138000")
        await freeswitch.until(lambda: freeswitch.held() == [call])
        assert [("waiting", None)] == await contacts(client)


async def test_a_second_connection_of_the_account_fences_the_first(client: Client) -> None:
    freeswitch = DialledFreeSwitch()
    async with freeswitch.connected(client):
        call = await freeswitch.call("13800138000")
        await freeswitch.until(lambda: freeswitch.held() == [call])
        [tenant] = await client.services.queries.tenant_ids()
        also = networks("127.0.0.0/8")
        second = asyncio.create_task(dialling._keep(client.services, tenant, freeswitch.account, also))
        try:
            await freeswitch.until(lambda: freeswitch.closed and freeswitch.logins > 1)
        finally:
            second.cancel()
        await freeswitch.hang_up(call)
        await until_state(client, "closed", "abandoned")


async def test_a_freeswitch_that_goes_silent_is_hung_up_on_and_its_callers_are_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "ANSWER_MS_MAX", 1_500)
    freeswitch = DialledFreeSwitch()
    async with freeswitch.connected(client):
        call = await freeswitch.call("13800138000")
        await freeswitch.until(lambda: freeswitch.held() == [call])
        freeswitch.mute = True
        await freeswitch.call("13800138001")
        await freeswitch.until(lambda: freeswitch.closed, 20)
        assert "line_silent" in await _trouble(client)
        freeswitch.mute = False
        await freeswitch.until(lambda: len(freeswitch.held()) == 2, 20)  # both callers
        assert [("waiting", None)] * 2 == await contacts(client)


async def test_what_is_not_the_protocol_ends_the_line_and_it_is_dialled_again(client: Client) -> None:
    freeswitch = DialledFreeSwitch()
    async with freeswitch.connected(client):
        call = await freeswitch.call("13800138000")
        await freeswitch.until(lambda: freeswitch.held() == [call])
        freeswitch._writers[0].write(b"Content-Type: text/event-json\nContent-Length: -1\n\n")
        await freeswitch.until(lambda: freeswitch.logins > 1 and freeswitch.online)
        assert [("waiting", None)] == await contacts(client)


async def test_names_and_numbers_of_callers_are_no_commands(client: Client) -> None:
    freeswitch = DialledFreeSwitch()
    freeswitch.phones["anna"] = "ring"
    await agent(client, "anna")
    evil = "1}user/x &system(id)\n\napi shutdown\n\n"
    async with freeswitch.connected(client), client.desktop("anna", status="available"):
        call = await freeswitch.call(evil, name=evil)
        await freeswitch.until(lambda: freeswitch.legs("Ringing"))
        assert not any("shutdown" == each.split(" ")[-1] for each in freeswitch.asked)
        assert "1user/x system(id)api shutdown" in freeswitch.channels[freeswitch.legs()[0]].number.strip("'")
        await freeswitch.hang_up(call)


async def test_a_freeswitch_that_reads_nothing_any_more_is_hung_up_on_all_the_same() -> None:
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0, limit=1)
    socket = dialling._EventSocket(*await asyncio.open_connection(*server.sockets[0].getsockname()[:2]))
    sending = asyncio.create_task(socket.send("x" * 50_000_000))
    await asyncio.wait([sending], timeout=0.5)
    assert not sending.done()
    async with asyncio.timeout(20):
        await socket.close(1000, "")
    await asyncio.gather(sending, return_exceptions=True)
    server.close()
    for each in taken:
        each.transport.abort()
