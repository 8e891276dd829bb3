"""The examples, as programs of their own, against a real server."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.service import Client

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def program(tenant: Client, name: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    key = tenant.http.headers["authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "CORDBOARD_URL": tenant.url, "CORDBOARD_KEY": key, "PYTHONPATH": str(ROOT)}
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "examples" / name), *arguments, stdin=pipe, stdout=pipe, env=environment
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def line(of: asyncio.subprocess.Process) -> str:
    assert of.stdout is not None
    async with asyncio.timeout(30):
        return (await of.stdout.readline()).decode().strip()


async def say(to: asyncio.subprocess.Process, text: str) -> None:
    assert to.stdin is not None
    to.stdin.write(text.encode() + b"\n")
    await to.stdin.drain()


async def test_a_gateway_and_a_desktop_carry_words_both_ways(tenant: Client) -> None:
    await tenant.agent("anna")
    async with program(tenant, "desktop.py", "anna") as desktop, program(tenant, "gateway.py") as gateway:
        assert "there" == await line(desktop)
        await say(gateway, "zhang@example.com My parcel is lost")
        assert "offered: My parcel is lost" == await line(desktop)
        assert "zhang@example.com Hello, how can I help you?" == await line(gateway)
        await say(gateway, "zhang@example.com bye")
        assert "customer: bye" == await line(desktop)
        assert "served" == await line(desktop)
        await say(gateway, "zhang@example.com One more thing")
        assert "offered: One more thing" == await line(desktop)
        assert "zhang@example.com Hello, how can I help you?" == await line(gateway)
        assert gateway.stdin is not None
        gateway.stdin.close()
        async with asyncio.timeout(30):
            assert 0 == await gateway.wait()
    contacts = (await tenant.call("GET", "/v1/contacts"))["items"]
    assert 2 == len(contacts)
    assert (await tenant.call("GET", "/v1/messages"))["items"] == []


async def test_a_gateway_needs_nothing_but_http(tenant: Client) -> None:
    await tenant.agent("anna")
    async with program(tenant, "desktop.py", "anna") as desktop, program(tenant, "gateway_plain.py") as gateway:
        assert "there" == await line(desktop)
        await say(gateway, "zhang@example.com My parcel is lost")
        assert "offered: My parcel is lost" == await line(desktop)
        assert "zhang@example.com Hello, how can I help you?" == await line(gateway)


@pytest.mark.parametrize(("name", "most"), [("gateway.py", 100), ("gateway_plain.py", 50), ("desktop.py", 100)])
def test_examples_stay_short(name: str, most: int) -> None:
    assert len((ROOT / "examples" / name).read_text("utf-8").splitlines()) < most
