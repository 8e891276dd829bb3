"""The examples, as programs of their own, against a real server."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.gateway import SECRET
from tests.support.service import Client

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def program(tenant: Client, name: str, *arguments: str, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    key = tenant.http.headers["authorization"].removeprefix("Bearer ")
    environment = {**os.environ, "CORDBOARD_URL": tenant.url, "CORDBOARD_KEY": key, "PYTHONPATH": str(ROOT), **more}
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


async def test_a_telephone_system_tells_of_its_calls_and_is_told_what_to_do(tenant: Client) -> None:
    await tenant.agent("anna", phone="801")
    body = {
        "channel": "voice",
        "settings": {"system": "webhook", "default_region": "CN"},
        "secrets": {"secret": SECRET},
    }
    await tenant.call("PUT", "/v1/channels/example-pbx", json=body)
    settings = {"CORDBOARD_ACCOUNT": "example-pbx", "CORDBOARD_VOICE_SECRET": SECRET}
    await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    async with program(tenant, "telephone.py", **settings) as telephone:
        await say(telephone, '{"type": "offered", "call_id": "call-1", "number": "13800138000"}')
        told = [json.loads(await line(telephone)) for _ in range(2)]
        assert [("hold", "call-1"), ("ring", "call-1")] == [(each["type"], each["call_id"]) for each in told]
        assert ("801", "+8613800138000") == (told[1]["phone"], told[1]["number"])
        await say(telephone, json.dumps({"type": "agent_answered", "call_id": "call-1", "leg_id": told[1]["leg_id"]}))
        assert "bridge" == json.loads(await line(telephone))["type"]
        await say(telephone, '{"type": "ended", "call_id": "call-1", "cause": 16}')
        async with asyncio.timeout(30):
            while "closed" != (await tenant.call("GET", "/v1/contacts"))["items"][0]["state"]:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "most"), [("gateway.py", 100), ("telephone.py", 51), ("gateway_plain.py", 50), ("desktop.py", 100)]
)
def test_examples_stay_short(name: str, most: int) -> None:
    assert len((ROOT / "examples" / name).read_text("utf-8").splitlines()) < most
