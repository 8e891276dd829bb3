"""The examples that receive webhooks, as programs of their own: they take what is signed, once, and nothing else."""

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

import httpx
import pytest

from src.dispatch import signatures
from tests.support.service import running

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1/32"


async def receive(database: str, folder: Path, *program: str) -> None:
    """Have a receiver told of a contact by a service, and of others by whoever does not know the secret."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret, url = signatures.new_secret(), f"http://127.0.0.1:{port}/"
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    started = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE, env=environment)
    try:
        async with running(database, folder, webhook_networks=LOOPBACK) as client, httpx.AsyncClient() as stranger:
            await client.call("PUT", "/v1/webhooks/w", json={"url": url, "types": ["contact.*"], "secret": secret})
            contact = (await client.contact("1", text="我的快递到哪了？"))["id"]
            assert started.stdout is not None
            for kind in ("contact.received", "contact.waiting"):
                async with asyncio.timeout(20):
                    assert f"{kind} {contact}" == (await started.stdout.readline()).decode().strip()
            body = b'{"id": "e", "type": "contact.closed", "contact_id": "c"}'
            now = client.services.clock.now_ms() // 1000
            for key, expected in ((signatures.new_secret(), 401), (secret, 204), (secret, 204)):
                signed = signatures.headers("e", now, body, [key])
                assert expected == (await stranger.post(url, content=body, headers=signed)).status_code
            assert "contact.closed c" == (await started.stdout.readline()).decode().strip()
            started.kill()
            assert b"" == await started.stdout.read(), "an event was done twice"
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def test_the_python_receiver(database: str, tmp_path: Path) -> None:
    await receive(database, tmp_path, sys.executable, str(ROOT / "examples" / "receiver.py"))


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs", "sms.py"])
def test_receivers_stay_short(name: str) -> None:
    assert len((ROOT / "examples" / name).read_text("utf-8").splitlines()) < 50
