"""The end of a simulation whose service is gone: it is told that nothing could be read again, and soon."""

import asyncio

import pytest

from src.cli.simulate import run
from src.cli.simulate.ledger import Ledger, Tally
from src.cli.simulate.run import Options
from src.cli.simulate.scenario import load
from src.client import Client


async def test_a_service_that_is_silent_at_the_end_is_not_waited_for_once_a_contact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "CHECK_S_MAX", 0.3)
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    scenario = load()
    staff = scenario.staff(None)
    ledger = Ledger(scenario, staff, run_id="sim-1", seq=0, speed=30, tally=Tally())
    ledger.sample = [f"contact-{number}" for number in range(200)]
    async with Client(url, "key") as api:
        centre = run._Centre(api, Options(url, "key"), scenario, ledger, staff, 0.0)
        report = await asyncio.wait_for(centre.settle(), 30)
    silent.close()
    assert (report.ok, report.checked) == (False, 0)
    assert "did not answer" in report.unchecked
