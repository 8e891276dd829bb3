"""The end of a simulation whose service is gone or ill: what could be read again counts, and the rest is told, soon."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from src.cli.simulate import run
from src.cli.simulate.ledger import Ledger, Tally
from src.cli.simulate.run import Options
from src.cli.simulate.scenario import load
from src.client import Client

CONTACTS = 200
GONE = "http://127.0.0.1:1"
CLOSED = b'{"id":"c","state":"closed","external_id":null}'


def centre(api: Client) -> run._Centre:
    scenario = load()
    staff = scenario.staff(None)
    ledger = Ledger(scenario, staff, run_id="sim-1", seq=0, speed=30, tally=Tally())
    ledger.sample = [f"contact-{number}" for number in range(CONTACTS)]
    return run._Centre(api, Options(api.url, "key"), scenario, ledger, staff, 0.0)


@asynccontextmanager
async def service(answer: Callable[[str], tuple[int, bytes]], pause_s: float = 0) -> AsyncIterator[str]:
    """One that answers what is read with this status and body, after a pause."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(pause_s)
                status, body = answer(head.decode().split()[1])
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_all_that_were_closed_are_read_again() -> None:
    async with service(lambda _: (200, CLOSED)) as url, Client(url, "key") as api:
        report = await centre(api).settle()
    assert (report.checked, report.unchecked, report.broken) == (CONTACTS, "", [])


async def test_one_that_cannot_be_read_is_an_error_and_the_others_are_read() -> None:
    async with (
        service(lambda path: (400, b"{}") if path.endswith("-7") else (200, CLOSED)) as url,
        Client(url, "key") as api,
    ):
        report = await centre(api).settle()
    assert (report.checked, report.unchecked, report.tally.errors.total()) == (CONTACTS - 1, "", 1)
    assert not report.ok


async def test_a_service_that_is_slow_is_told_from_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHECK_S_MAX", 1.0)
    async with service(lambda _: (200, CLOSED), pause_s=0.4) as url, Client(url, "key") as api:
        report = await centre(api).settle()
    assert f"of {CONTACTS} contacts could be read again" in report.unchecked
    assert 0 < report.checked < CONTACTS


async def test_a_service_that_is_silent_is_not_waited_for_once_a_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHECK_S_MAX", 0.3)
    async with service(lambda _: (200, CLOSED), pause_s=60) as url, Client(url, "key") as api:
        report = await asyncio.wait_for(centre(api).settle(), 30)
    assert (report.ok, report.checked) == (False, 0)


async def test_a_service_that_is_gone_is_told_and_nobody_is_called_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "HURRY_S_MAX", 0.3)
    async with Client(GONE, "key") as api:
        found = centre(api)
        found._unchecked = "the journal could not be read to its end"
        found._ledger._unconfirmed["contact-1"] = "sim-1-1"
        found._ledger._strangers["contact-2"] = None
        await asyncio.wait_for(found._end_unknown(), 30)
        report = await asyncio.wait_for(found.settle(), 30)
    assert (report.ok, report.broken) == (False, [])


async def test_a_service_that_is_gone_while_contacts_are_read_again_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "HURRY_S_MAX", 0.3)
    async with Client(GONE, "key") as api:
        report = await asyncio.wait_for(centre(api).settle(), 30)
    assert "did not answer when contacts were read again" in report.unchecked
    assert (report.ok, report.checked, report.broken) == (False, 0, [])
