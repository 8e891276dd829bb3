"""Several processes of the service over one PostgreSQL and one Redis, and a network between them that can be broken."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import asyncpg
import httpx

from src.app.ground import create_tenant, opened
from src.store.migrate import upgrade
from src.store.seal import Sealer
from tests.support.faults.proxy import Proxy
from tests.support.faults.servers import Postgres, RedisServer
from tests.support.ports import free_port
from tests.support.service import ADMIN_KEY

ROOT: Final = Path(__file__).parents[3]
ENTRY: Final = Path(__file__).parent / "entry.py"
SECRET: Final = "a secret for tests"
PROCESSES: Final = 3
READY_S_MAX: Final = 120.0
END_S_MAX: Final = 30.0
LIVING: Final = "SELECT id FROM processes WHERE expires_at > clock_timestamp()"


class Levers:
    """What `entry.py` lets a test change in one process while it runs; it holds for its successors too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(24))

    def put_clock(self, seconds: float) -> None:
        """Put the clock so many seconds ahead, or behind."""
        self._write(0, int(seconds * 1000))

    def put_fault(self, *, there: bool) -> None:
        """Let the engine raise upon contacts of the channel `poison`."""
        self._write(8, int(there))

    def put_buffer(self, frames: int) -> None:
        """Let so many frames wait for one subscriber; 0: as many as ever."""
        self._write(16, frames)

    def _write(self, place: int, value: int) -> None:
        with self.path.open("r+b") as file:
            file.seek(place)
            file.write(value.to_bytes(8, sys.byteorder, signed=True))


@dataclass
class Node:
    """One process of the service, and its way to each server. `id` is what it calls itself in the database."""

    name: str
    folder: Path
    source: Path
    postgres: Proxy
    redis: Proxy
    database_url: str
    levers: Levers
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    id: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def spawn(self) -> None:
        """Start it; it is not ready yet."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CORDBOARD_")},
            "PYTHONPATH": str(self.source),
            "PYTHONDONTWRITEBYTECODE": "1" if self.source != ROOT else "",
            "CORDBOARD_PORT": str(self.port),
            "CORDBOARD_DATA_DIR": str(self.folder / "data"),
            "CORDBOARD_DATABASE_URL": self.database_url,
            "CORDBOARD_REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
            "CORDBOARD_SECRET_KEY": SECRET,
            "CORDBOARD_ADMIN_KEY": ADMIN_KEY,
            "CORDBOARD_LOG_FORMAT": "json",
            "CORDBOARD_WEBHOOK_NETWORKS": "127.0.0.1/32",
            "CORDBOARD_TEST_LEVERS": str(self.levers.path),
        }
        with (self.folder / f"{self.name}.log").open("ab") as log:
            command = [sys.executable, str(ENTRY), "serve"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: it does nothing, and does not know that time goes by."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> float:
        """SIGTERM, and wait for it to go in order; how many seconds that took."""
        if self.process is None or not self.alive:
            return 0.0
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + END_S_MAX
        while self.alive and time.monotonic() < deadline:  # not blocking: the proxies run in this loop too
            await asyncio.sleep(0.02)
        self.kill()
        return time.monotonic() - began_s

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace")


@dataclass
class Cluster:
    """The whole: what tests break, and what they look at past all proxies."""

    folder: Path
    postgres: Postgres
    redis: RedisServer
    nodes: list[Node]

    @property
    def database_url(self) -> str:
        """PostgreSQL past every proxy."""
        return self.postgres.url()

    async def start(self, node: Node) -> None:
        """Start a process, and wait until it answers and is in the database."""
        before = await self._living()
        node.spawn()
        deadline = time.monotonic() + READY_S_MAX
        async with httpx.AsyncClient() as http:
            while True:
                assert node.alive, f"{node.name} did not start: {node.log()[-2000:]}"
                assert time.monotonic() < deadline, f"{node.name} does not get ready: {node.log()[-2000:]}"
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{node.url}/healthz", timeout=1)).status_code == 200:
                        break
                await asyncio.sleep(0.05)
        new = await self._living() - before
        assert len(new) == 1, f"{node.name} cannot be told from others: {new}"
        node.id = new.pop()

    async def owner(self, tenant: str) -> Node:
        """The process that serves a tenant; waits until there is one."""
        deadline = time.monotonic() + READY_S_MAX
        while True:
            found = await self.fetch(
                "SELECT owner FROM tenant_heads WHERE tenant = $1 AND owner IN (SELECT id FROM processes"
                " WHERE expires_at > clock_timestamp())",
                tenant,
            )
            for node in self.nodes:
                if found and node.id == found[0]["owner"] and node.alive:
                    return node
            assert time.monotonic() < deadline, "nobody serves the tenant"
            await asyncio.sleep(0.1)

    async def tenant(self, name: str, key: str) -> str:
        """Make a tenant with an admin key; its id."""
        async with opened(self.database_url, connections_max=1) as store:
            return (await create_tenant(store, Sealer(SECRET), name, key)).tenant

    async def mend(self) -> None:
        """Make good whatever a test has broken."""
        self.postgres.disk.free()
        for node in self.nodes:
            node.levers.put_clock(0)
            node.levers.put_fault(there=False)
            node.levers.put_buffer(0)
            await node.postgres.heal()
            await node.redis.heal()
            if node.alive:
                node.go_on()
        if not self.redis.alive:
            await self.redis.start()
        await self._answering()
        for node in self.nodes:
            if not node.alive:
                await self.start(node)

    async def _answering(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while True:
            try:
                await self._living()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                assert time.monotonic() < deadline, "PostgreSQL does not come back"
                await asyncio.sleep(0.1)
            else:
                return

    async def _living(self) -> set[str]:
        return {each["id"] for each in await self.fetch(LIVING)}

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database, past every proxy."""
        connection = await asyncpg.connect(self.database_url, timeout=5)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[tuple[Postgres, RedisServer]]:
    postgres, redis = Postgres(folder / "disk"), RedisServer(folder)
    try:
        postgres.start()
        yield postgres, redis
    finally:
        redis.kill()
        postgres.stop()


@asynccontextmanager
async def cluster(
    folder: Path, *, processes: int = PROCESSES, source: Path = ROOT, revision: str = "head"
) -> AsyncIterator[Cluster]:
    """Start everything, and end it. `source` is the folder of the service's code, `revision` the schema."""
    folder.chmod(0o711)  # run as root, PostgreSQL is another user
    with _servers(folder) as (postgres, redis):
        await redis.start()
        await upgrade(postgres.url(), revision)
        found = Cluster(folder, postgres, redis, [])
        proxies: list[Proxy] = []
        try:
            for number in range(processes):
                to_postgres = Proxy(lambda: asyncio.open_unix_connection(str(postgres.socket)))
                to_redis = Proxy(lambda: asyncio.open_connection("127.0.0.1", redis.port))
                proxies += [await to_postgres.start(), await to_redis.start()]
                name = f"p{number}"
                levers = Levers(folder / f"{name}.levers")
                url = through(postgres.url(), to_postgres.port)
                found.nodes.append(Node(name, folder, source, to_postgres, to_redis, url, levers))
            for node in found.nodes:
                await found.start(node)
            yield found
        finally:
            await asyncio.gather(*(node.end() for node in found.nodes))
            for proxy in proxies:
                await proxy.stop()


def through(url: str, port: int) -> str:
    """The same database, reached over a port of this machine."""
    parts = urlsplit(url)
    return f"postgresql://{parts.username}:{quote(parts.password or '')}@127.0.0.1:{port}{parts.path}"
