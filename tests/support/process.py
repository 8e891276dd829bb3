"""The service as a process of its own, that can be killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.service import ADMIN_KEY

READY_S_MAX = 180


@asynccontextmanager
async def serving_process(folder: Path, port: int, **more: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """The service as a process of its own, with its own embedded PostgreSQL, ready to serve; `more`: variables."""
    environment = {
        **os.environ,
        "CORDBOARD_PORT": str(port),
        "CORDBOARD_DATA_DIR": str(folder),
        "CORDBOARD_ADMIN_KEY": ADMIN_KEY,
        **more,
    }
    with (folder.parent / "service.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "src.cli.main", "serve"], env=environment, stderr=log)
    try:
        await _ready(process, port)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, -signal.SIGKILL)


async def _ready(process: subprocess.Popen[bytes], port: int) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(READY_S_MAX):
        while True:
            assert process.poll() is None, "the service did not start"
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


def assert_replays(folder: Path) -> None:
    """The journal adds up to the tables; the service is not running."""
    replay = [sys.executable, "-m", "src.cli.main", "replay"]
    environment = {**os.environ, "CORDBOARD_DATA_DIR": str(folder)}
    done = subprocess.run(replay, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
