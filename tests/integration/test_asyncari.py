"""The double of Asterisk is one that asyncari, a client that nobody here wrote, works with (`make test-asyncari`)."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.ari_over_http import over_http
from tests.support.asterisk import Asterisk

PEER = Path(__file__).parents[1] / "support" / "asyncari_peer.py"
PYTHON = os.environ.get("CORDBOARD_TEST_ASYNCARI", "")
CREDENTIAL = ("ast", "astpw-astpw")


async def _peer(url: str, app: str, *credential: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        PYTHON, str(PEER), f"{url}/", app, *credential, stdout=pipe, stderr=pipe
    )


@pytest.mark.skipif(not PYTHON, reason="asyncari has an environment of its own: make test-asyncari")
async def test_asyncari_carries_a_call_through_the_double() -> None:
    asterisk = Asterisk()
    asterisk.phones["1001"] = "answer"
    async with over_http(asterisk, *CREDENTIAL) as url:
        process = await _peer(url, asterisk.app, *CREDENTIAL)
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert b"connected" in await process.stdout.readline()
            call = await asterisk.call("13800138000")
            out, errors = await process.communicate()
        assert 0 == process.returncode, errors.decode()
    assert [
        f"caller {call} 13800138000 inbound 4001 13800138000",
        "held in holding",
        "answered leg-1 Up agent x",
        "joined 2, held 0",
        "ended 16",
        "gone HTTPStatusError",
    ] == out.decode().splitlines()
    unknown = [each for each in errors.decode().splitlines() if "Event not recognized: <EventMessage Dial" not in each]
    assert not unknown, "asyncari knows what to make of every event but those of dialling"


@pytest.mark.skipif(not PYTHON, reason="asyncari has an environment of its own: make test-asyncari")
async def test_asyncari_is_refused_with_a_wrong_password() -> None:
    asterisk = Asterisk()
    async with over_http(asterisk, *CREDENTIAL) as url:
        process = await _peer(url, asterisk.app, CREDENTIAL[0], "wrong")
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    assert process.returncode
    assert not out
