"""What the benchmark starts: a PostgreSQL of its own with a database for each system, and the systems as processes."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from bench.wire import Http
from src.store.embedded.server import EmbeddedPostgres

START_S_MAX: Final = 60.0
ADMIN_KEY: Final = "cb_" + "b" * 40
SECRET: Final = "a secret for the benchmark"  # noqa: S105  # of a database that is thrown away


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Postgres:
    """The server. It writes through to the disk as the service's own does: the very same class runs it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path) -> Iterator["Postgres"]:
        """Start it in a folder, and stop it in the end."""
        with EmbeddedPostgres(folder) as server:
            yield cls(server)

    async def database(self, name: str) -> str:
        """Make a database and return its URL."""
        connection = await asyncpg.connect(self._server.url())
        await connection.execute(f'CREATE DATABASE "{name}"')
        await connection.close()
        return self._server.url(name)

    def cpu_s(self) -> float:
        """Processor time so far, of all its processes that live or have ended."""
        return cpu_s(self._server.pid or 0)


def cpu_s(pid: int) -> float:
    """Processor time of a process and its children, ended or not."""
    total = 0.0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
            if each.pid == pid:
                total += times.children_user + times.children_system
    return total


@dataclass(slots=True)
class Program:
    """A system that runs as a process and listens on a port."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_s(self) -> float:
        """Processor time so far."""
        return cpu_s(self.process.pid)

    def rss(self) -> int:
        """Memory, bytes."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> None:
        """End it, in order if it can."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    async def answers(self, path: str) -> None:
        """Wait until it does."""
        deadline = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(OSError):
                probe = await Http.connect(self.port, ADMIN_KEY)
                status, _ = await probe.ask("GET", path)
                probe.close()
                if status == 200:  # noqa: PLR2004
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)


def start(name: str, arguments: list[str], folder: Path, **environment: str) -> Program:
    """Start a Python program, given by the interpreter's arguments; it takes its port from CORDBOARD_PORT."""
    port = free_port()
    log = folder / f"{name}.log"
    left_out = ("CORDBOARD_", "PYTHONDONTWRITEBYTECODE")  # an operator's service has been started before
    own = {each: value for each, value in os.environ.items() if not each.startswith(left_out)}
    settings = {"CORDBOARD_PORT": str(port), **environment}
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603  # modules of this project
            [sys.executable, *arguments], env=own | settings, stdout=file, stderr=subprocess.STDOUT
        )
    return Program(name, port, process, log)


def start_service(name: str, url: str, folder: Path, profile: Path | None = None, **environment: str) -> Program:
    """The service, as an operator starts it, over a database; in the end it writes its `profile`."""
    profiler = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
    return start(
        name,
        [*profiler, str(Path(sys.executable).with_name("cordboard")), "serve"],
        folder,
        CORDBOARD_DATABASE_URL=url,
        CORDBOARD_SECRET_KEY=SECRET,
        CORDBOARD_ADMIN_KEY=ADMIN_KEY,
        CORDBOARD_DATA_DIR=str(folder),
        CORDBOARD_LOG_FORMAT="json",
        **environment,
    )
