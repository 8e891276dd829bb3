"""The composition root: the one place that knows every concrete part and joins them into a running service."""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis

import src.channels
from src.api import (
    access,
    agents,
    collaborations,
    configuration,
    contacts,
    customers,
    document,
    events,
    explaining,
    handling,
    native,
    ops,
    problems,
    stream,
)
from src.api.auth import SCOPES, Authenticator, key_hash, new_key
from src.api.context import Services
from src.api.door import Door
from src.api.edge import BODY_BYTES_MAX, Edge
from src.api.intake import Intake
from src.channels.base import discover
from src.cluster.internal import InternalApp, InternalServer, SignalFreeServer
from src.cluster.peers import HttpPeers
from src.config import Settings
from src.delivery.announce import Announcer, Follower
from src.delivery.hub import Hub
from src.delivery.redis import connect
from src.dispatch.clock import SystemClock, new_id
from src.dispatch.lease import LeaseKeeper
from src.dispatch.owner import CLAIM_S, Owner
from src.dispatch.ports import KeyFact
from src.dispatch.tenant import Parts
from src.errors import Conflict, StartupError, StoreError, StoreUnreachable, Unavailable
from src.store import archive, replay
from src.store.embedded import EmbeddedPostgres, running_url
from src.store.migrate import upgrade
from src.store.postgres import PostgresStore
from src.store.queries import Queries
from src.store.retention import keep_journal
from src.store.seal import Sealer

DEFAULT_TENANT: Final = "default"
KEY_FILE: Final = "service.key"
ADMIN_KEY_CHARS_MIN: Final = 8
LISTENERS: Final = 16
SHUTDOWN_S_MAX: Final = 8
SWEEP_S: Final = 600.0
JOURNAL_S: Final = 3600.0
GC_OBJECTS, GC_YOUNG, GC_MIDDLE = 20_000, 20, 50
"""After how many new objects the youngest are looked at, and so on upwards."""

ANSWERS_KEPT_MS: Final = 24 * 3600 * 1000

_log = structlog.get_logger(__name__)


def build_api(services: Services | None = None) -> FastAPI:
    """The application over these services; without them it only describes itself."""
    api = FastAPI(
        title="Cordboard",
        version="1",
        summary="Omnichannel contact routing: every contact to the right agent, once, and it can say why.",
        redoc_url=None,
        generate_unique_id_function=document.operation_id,
    )
    for each in (
        contacts,
        handling,
        collaborations,
        agents,
        customers,
        configuration,
        access,
        explaining,
        events,
        stream,
        native,
        ops,
    ):
        api.include_router(each.router)
    problems.install(api)
    document.install(api)
    api.add_middleware(Intake)
    api.add_middleware(Edge)
    if services is not None:
        api.state.services = services
    return api


def secret_key(settings: Settings) -> str:
    """The key that seals secrets: the operator's, or on the embedded default one that is made once and kept.

    Raises:
        StartupError: an existing database, and no key given.
    """
    given = settings.secret_key.get_secret_value()
    if given:
        return given
    if settings.database_url:
        raise StartupError("CORDBOARD_SECRET_KEY must be set together with CORDBOARD_DATABASE_URL")
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        return path.read_text("ascii")
    except OSError as error:
        raise StartupError(f"cannot keep a key in {path}: {error.strerror}") from error


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The database's URL, migrated; the embedded one runs for as long as the context does."""
    if settings.database_url:
        asyncio.run(upgrade(settings.database_url))
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        url = server.url()
        asyncio.run(upgrade(url))
        yield url


@contextlib.contextmanager
def database_beside(settings: Settings) -> Iterator[str]:
    """The database's URL for a command that may run beside the service: the one that is running, if there is one."""
    running = None if settings.database_url else running_url(settings.data_dir)
    if running is not None:
        yield running
    else:
        with database(settings) as url:
            yield url


@dataclass(frozen=True, slots=True)
class Notice:
    """What a first start has to tell the operator, once."""

    tenant: str
    admin_key: str


async def create_tenant(store: PostgresStore, sealer: Sealer, name: str, key: str = "") -> Notice:
    """Make a tenant and its admin key; the key is told here and nowhere else.

    Raises:
        Conflict: there is one of that name.
    """
    given, hashed = (key, key_hash(key)) if key else new_key()
    fact = KeyFact(new_id(), hashed, "admin", SCOPES, SystemClock().now_ms())
    tenant = await store.create_tenant(name, sealer.seal(secrets.token_urlsafe(32)), fact)
    return Notice(tenant, given)


@contextlib.asynccontextmanager
async def opened(url: str, **options: int) -> AsyncIterator[PostgresStore]:
    """A store that is closed in the end."""
    store = await PostgresStore.open(url, **options)
    try:
        yield store
    finally:
        await store.close()


class _LeaseThread:
    """Keeps the process's lease from a thread and a connection of its own, so that no load can make it late."""

    def __init__(self, url: str, process: str, clock: SystemClock, address: str | None) -> None:
        self._url, self._process, self._clock, self._address = url, process, clock, address
        self.keeper: LeaseKeeper | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(30) or self.keeper is None:
            raise StartupError("the database does not take this process's lease")

    def stop(self) -> None:
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(5)

    def good(self) -> bool:
        return self.keeper is not None and self.keeper.good()

    def lapses(self) -> int:
        return 0 if self.keeper is None else self.keeper.lapses

    def _main(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with opened(self._url, connections_max=1) as store:
            keeper = LeaseKeeper(self._process, store, self._clock, self._address)
            await keeper.renew()
            self.keeper = keeper
            self._ready.set()
            await keeper.run()


@contextlib.asynccontextmanager
async def service(settings: Settings, url: str) -> AsyncIterator[tuple[FastAPI, Notice | None]]:
    """The whole service over a migrated database: the application, and what a first start has to say."""
    clock, process, secret = SystemClock(), new_id(), secret_key(settings)
    archived = archive_dir(settings)
    sealer = Sealer(secret)
    async with opened(url) as store, Queries.over(url) as queries, contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(_redis(settings))
        announcer = None if redis is None else Announcer(redis)
        hub = Hub(store, clock, None if announcer is None else announcer.announce)
        peers, internal = None, None
        if settings.database_url:  # there may be other processes
            peers = await stack.enter_async_context(HttpPeers(secret))
            internal = InternalServer.bound(settings.internal_host, settings.internal_port)
        address = None if internal is None else settings.internal_address or internal.address(towards=url)
        lease = _LeaseThread(url, process, clock, address)
        lease.start()
        parts = Parts(store, hub, clock, new_id, lease.good, hub.live_sessions)
        owner = Owner(process, store, parts, peers)
        if internal is not None:
            await stack.enter_async_context(internal.serving(InternalApp(process, secret, owner.carry_out)))
        found = Services(
            owner=owner,
            store=store,
            queries=queries,
            hub=hub,
            clock=clock,
            new_id=new_id,
            auth=Authenticator(queries, sealer),
            sealer=sealer,
            channels=discover(src.channels.__path__, "src.channels"),
            door=Door(clock),
            redis_answers=None if redis is None else partial(_redis_answers, redis),
        )
        notice = await _first_start(settings, store, queries, sealer)
        tasks = [
            _always(partial(_keep_house, found, store, lease)),
            _always(partial(_keep_journal, url, clock, settings.journal_keep_days, archived)),
        ]
        if announcer is not None:
            tasks.append(_always(announcer.run))
        if peers is not None:
            tasks.append(_always(Follower(hub, store, redis).run))
        try:
            yield build_api(found), notice
        finally:
            await owner.stop()
            await asyncio.to_thread(lease.stop)  # or it would come to life again behind its release
            await owner.release()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _always(run: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
    """Keep something running that must never end: what it fails upon is logged, and it begins anew."""

    async def main() -> None:
        while True:
            try:
                await run()
            except Exception:  # noqa: BLE001  # whatever it is
                _log.exception("task.failed")
            await asyncio.sleep(1)

    return asyncio.create_task(main())


@contextlib.asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[Redis | None]:
    if not settings.redis_url:
        yield None
        return
    async with connect(settings.redis_url) as it:
        yield it


async def _redis_answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except Exception:  # noqa: BLE001  # a reset connection raises more than the client documents
        return False


async def _first_start(settings: Settings, store: PostgresStore, queries: Queries, sealer: Sealer) -> Notice | None:
    if await queries.tenant_by_name(DEFAULT_TENANT) is not None:
        return None
    key = settings.admin_key.get_secret_value()
    if key and (len(key) < ADMIN_KEY_CHARS_MIN or not key.isascii() or not key.isprintable() or " " in key):
        raise StartupError(f"CORDBOARD_ADMIN_KEY must have {ADMIN_KEY_CHARS_MIN} printable ASCII characters or more")
    notice = await create_tenant(store, sealer, DEFAULT_TENANT, key)
    return None if key else notice


async def _keep_house(found: Services, store: PostgresStore, lease: _LeaseThread) -> None:
    """Now and then: look who lives and who serves what, take leases again that lapsed, forget answers that are old."""
    swept_at, lapses, clock = 0.0, 0, found.clock
    while True:
        try:
            await found.owner.keep()
            if lease.lapses() > lapses:
                lapses = lease.lapses()
                await stream.reconnect(found)
            if clock.monotonic() - swept_at > SWEEP_S:
                while await store.forget_answers(clock.now_ms() - ANSWERS_KEPT_MS):
                    pass
                swept_at = clock.monotonic()
        except (StoreUnreachable, Unavailable) as error:
            _log.warning("housekeeping.failed", error=str(error))
        await asyncio.sleep(CLAIM_S)


async def _keep_journal(url: str, clock: SystemClock, keep_days: int, folder: Path | None) -> None:
    """At the start and then every hour: make partitions ahead, and archive and drop old ones."""
    while True:
        try:
            await keep_journal(url, clock.now_ms(), keep_days, folder)
        except StoreError as error:
            _log.error("journal.not_kept", error=str(error))
        await asyncio.sleep(JOURNAL_S)


def archive_dir(settings: Settings) -> Path | None:
    """Where the journal is archived; None: nothing is dropped.

    Raises:
        StartupError: it is to be dropped, and there is no place of the operator's choice for the archive.
    """
    if settings.archive_dir is None and settings.database_url:
        if settings.journal_keep_days:
            raise StartupError("CORDBOARD_ARCHIVE_DIR must be set together with CORDBOARD_JOURNAL_KEEP_DAYS")
        return None
    return settings.archive_dir or settings.data_dir / "archive"


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, made before anything else is started.

    Raises:
        StartupError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return found


def serve(settings: Settings, announce: Callable[[Notice | None], None]) -> None:
    """Run the service until it is told to stop (SIGINT, SIGTERM)."""
    listening = bind(settings.host, settings.port)
    with (
        contextlib.closing(listening),
        database(settings) as url,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(settings, url, listening, announce))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # not on Windows

    return uvloop.new_event_loop


async def _serve(
    settings: Settings, url: str, listening: socket.socket, announce: Callable[[Notice | None], None]
) -> None:
    async with service(settings, url) as (api, notice):
        server = http_server(api)
        loop = asyncio.get_running_loop()
        leaving = Leaving(server, api.state.services.owner, settings.drain_s)
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, leaving.begin)
        _settle_memory()
        announce(notice)
        # An event loop takes in one connection for each listening socket at a time: in a rush one would be too few.
        await server.serve([listening, *(listening.dup() for _ in range(LISTENERS - 1))])


def _settle_memory() -> None:
    """What is there at the start stays: let the garbage collector pass it over, and look at the rest less often.

    Nearly all that a request makes is freed without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, GC_YOUNG, GC_MIDDLE)


class Leaving:
    """A stop without harm: tenants go to the other processes first, then nobody is let in, then sockets are closed."""

    def __init__(self, server: "HttpServer", owner: Owner, drain_s: float) -> None:
        self._server = server
        self._owner = owner
        self._drain_s = drain_s
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Leave; told twice, at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._leave(), name="leave")
        else:
            self._server.told_to_stop()

    async def _leave(self) -> None:
        try:
            await self._owner.drain()
            await asyncio.sleep(self._drain_s)
        finally:
            self._server.told_to_stop()


class HttpServer(SignalFreeServer):
    """The public one."""

    def told_to_stop(self) -> None:
        """Finish what is under way; told twice, do not wait for it."""
        self.force_exit = self.should_exit
        self.should_exit = True


def http_server(api: FastAPI) -> HttpServer:
    """The HTTP and WebSocket server over an application: no deflate (it costs 50 KiB a socket), no access log."""
    config = uvicorn.Config(
        api,
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=stream.HEARTBEAT_S,
        ws_ping_timeout=stream.HEARTBEAT_S,
        ws_max_size=BODY_BYTES_MAX,
        lifespan="off",
        proxy_headers=False,  # nothing looks at who is behind a proxy
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
    )
    return HttpServer(config)


async def make_tenant(settings: Settings, url: str, name: str) -> Notice:
    """Make a tenant, also beside a service that is running: that one claims it by itself."""
    async with opened(url) as store:
        try:
            return await create_tenant(store, Sealer(secret_key(settings)), name)
        except Conflict as error:
            raise StartupError(error.detail) from error


async def compare(url: str, name: str, archived: Path | None = None) -> list[str]:
    """Where the tables differ from the fold of the journal; empty: nowhere. `archived`: a folder to fold too."""
    async with opened(url) as store, Queries.over(url) as queries:
        tenant = await queries.tenant_by_name(name)
        if tenant is None:
            raise StartupError(f"there is no tenant {name}")
        if archived is None:
            return await replay.compare(store, tenant.id)
        own = (line.value for line in archive.read(archived) if line.tenant == tenant.id)
        return await replay.compare(store, tenant.id, own)


def data_dir(settings: Settings) -> Path:
    """The data folder, made if it is not there.

    Raises:
        StartupError: it cannot be made or written.
    """
    path = settings.data_dir.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"cannot use the data folder {path}: {error.strerror}") from error
    return path
