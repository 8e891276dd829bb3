"""The telephones of `make test-live`, with each other and, where it is installed, with SIPp: they speak SIP."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.sip import Telephones

HOST = "127.0.0.1"

_SIPP = pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed (Debian: sip-tester)")


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Telephones, Telephones]]:
    """A caller's telephones and agents', each the other's server."""
    callers = Telephones((HOST, 0))
    await callers.open()
    agents = Telephones((HOST, callers.port))
    await agents.open()
    callers._server = (HOST, agents.port)
    yield callers, agents
    await callers.close()
    await agents.close()


async def sipp(tmp_path: Path, *args: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *("sipp", "-i", HOST, "-m", "1", "-timeout", "20", "-timeout_error", "-nostdin", *args),
        cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_a_call_is_answered_and_either_side_hangs_up(pair: tuple[Telephones, Telephones], who: str) -> None:
    callers, agents = pair
    agents.phones["anna"] = "ring"
    call = callers.call("13800138000", "Zhang San", "anna")
    await until(lambda: call in agents.dialogs)
    assert not callers.dialogs[call].up
    agents.pick_up(call)
    await until(lambda: callers.dialogs[call].up)
    callers.press(call, "5")
    over = (agents if who == "caller" else callers).dialogs[call].over
    (callers if who == "caller" else agents).hang_up(call)
    await until(over.is_set)
    assert not callers.dialogs
    assert not agents.dialogs


@pytest.mark.parametrize("does", ["busy", "silent", None])
async def test_a_call_that_is_not_taken(pair: tuple[Telephones, Telephones], does: str | None) -> None:
    callers, agents = pair
    agents.phones |= {} if does is None else {"anna": does}
    over = callers.dialogs[callers.call("13800138000", "Zhang San", "anna")].over
    await until(over.is_set)
    assert not callers.dialogs


async def test_a_caller_who_gives_up_stops_the_ringing(pair: tuple[Telephones, Telephones]) -> None:
    callers, agents = pair
    agents.phones["anna"] = "ring"
    call = callers.call("13800138000", "Zhang San", "anna")
    await until(lambda: call in agents.dialogs)
    over = agents.dialogs[call].over
    callers.hang_up(call)
    await until(over.is_set)
    assert not agents.dialogs


@_SIPP
async def test_sipp_takes_a_call_of_ours(tmp_path: Path) -> None:
    callers = Telephones((HOST, 0))
    await callers.open()
    port = callers.port + 1 if callers.port < 65_000 else callers.port - 1
    callers._server = (HOST, port)
    taking = asyncio.create_task(sipp(tmp_path, "-sn", "uas", "-p", str(port)))
    await until(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())  # it listens
    call = callers.call("13800138000", "Zhang San", "4001")
    await until(lambda: callers.dialogs[call].up)
    callers.hang_up(call)
    assert 0 == await taking
    await callers.close()


@_SIPP
async def test_sipp_calls_an_agent_of_ours(tmp_path: Path) -> None:
    agents = Telephones((HOST, 0))
    agents.phones["anna"] = "answer"
    await agents.open()
    port = agents.port + 1 if agents.port < 65_000 else agents.port - 1
    agents._server = (HOST, port)
    assert 0 == await sipp(tmp_path, "-sn", "uac", "-p", str(port), "-s", "anna", "-d", "200", f"{HOST}:{agents.port}")
    await until(lambda: not agents.dialogs)
    await agents.close()
