"""The double of FreeSWITCH is one that genesis, a client that nobody here wrote, works with (`make test-genesis`)."""

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.freeswitch import FreeSwitch

PEER = Path(__file__).parents[1] / "support" / "genesis_peer.py"
PASSWORD = "ClueCon-ClueCon"
PYTHON = os.environ.get("CORDBOARD_TEST_GENESIS", "")


@pytest.mark.skipif(not PYTHON, reason="genesis has an environment of its own: make test-genesis")
async def test_genesis_carries_a_call_through_the_double() -> None:
    freeswitch = FreeSwitch(PASSWORD)
    freeswitch.phones["1001"] = "answer"
    async with freeswitch.listening() as url:
        port = str(urlsplit(url).port)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(PYTHON, str(PEER), port, PASSWORD, stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert b"subscribed" in await process.stdout.readline()
            call = await freeswitch.call("13800138000", name="Zhang San, 张三")
            out, errors = await process.communicate()
        assert 0 == process.returncode, errors.decode()
        assert [f"parked {call} 13800138000 Zhang San, 张三", "answered leg-1", "bridged leg-1", "ended 16"] == (
            out.decode().splitlines()
        )
    assert not freeswitch.channels


@pytest.mark.skipif(not PYTHON, reason="genesis has an environment of its own: make test-genesis")
async def test_genesis_is_refused_with_a_wrong_password() -> None:
    async with FreeSwitch(PASSWORD).listening() as url:
        process = await asyncio.create_subprocess_exec(
            PYTHON, str(PEER), str(urlsplit(url).port), "wrong", stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
        assert b"AuthenticationError" in errors
