"""What a process does all the time beside serving: its lease, its tenants, its share of the journal's keeping."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from src import metrics
from src.api.context import Services
from src.app.ground import opened
from src.dispatch.clock import SystemClock
from src.dispatch.erasing import EraseCustomer
from src.dispatch.lease import LeaseKeeper
from src.dispatch.owner import CLAIM_S
from src.errors import InUse, NotFound, Refused, StartupError, StoreError, StoreUnreachable, Unavailable
from src.store.connections import CONNECT_S_MAX, SETTINGS, settle, translated
from src.store.postgres import PostgresStore
from src.store.privacy import carry_out
from src.store.retaining import Retaining
from src.store.retention import keep_journal

SWEEP_S: Final = 600.0
DEAD_KEPT_MS: Final = 30 * 86_400_000
"""What webhooks did not take is kept for so long, to be replayed."""

JOURNAL_S: Final = 3600.0
PRIVACY_S: Final = 2.0
RETAIN_S: Final = 60.0
RETAIN_MORE_S: Final = 1.0
STOP_S_MAX: Final = 1.0
WATCH_S: Final = 0.25
ANSWERS_KEPT_MS: Final = 24 * 3600 * 1000
AUDIT_KEPT_MS: Final = 400 * 24 * 3600 * 1000

_log = structlog.get_logger(__name__)


class LeaseThread:
    """Keeps the process's lease from a thread and a connection of its own, so that no load can make it late."""

    def __init__(self, url: str, process: str, clock: SystemClock, address: str | None) -> None:
        self._url, self._process, self._clock, self._address = url, process, clock, address
        self.keeper: LeaseKeeper | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)

    def start(self) -> None:
        """Take the lease, and go on taking it.

        Raises:
            StartupError: the database does not give it.
        """
        self._thread.start()
        if not self._ready.wait(30) or self.keeper is None:
            raise StartupError("the database does not take this process's lease")

    def stop(self) -> None:
        """Renew it no more."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(STOP_S_MAX)

    def good(self) -> bool:
        """Whether it certainly still runs."""
        return self.keeper is not None and self.keeper.good()

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


def always(run: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
    """Keep something running that must never end: what it fails upon is logged, and it begins anew."""

    async def main() -> None:
        while True:
            try:
                await run()
            except Exception:  # noqa: BLE001  # whatever it is
                _log.exception("task.failed")
            await asyncio.sleep(1)

    return asyncio.create_task(main())


async def within(seconds: float, what: Coroutine[Any, Any, None]) -> None:
    """Do it, if it takes no longer than that; else it is left alone: even to cancel it may take long on a dead line."""
    task = asyncio.create_task(what)
    _, late = await asyncio.wait([task], timeout=seconds)
    if late:
        _log.warning("task.left_alone", task=repr(what))
        task.cancel()
    else:
        await task


async def keep_house(found: Services, store: PostgresStore) -> None:
    """Now and then: look who lives and who serves what, and forget answers that are old."""
    swept_at, clock = 0.0, found.clock
    while True:
        try:
            await found.owner.keep()
            if clock.monotonic() - swept_at > SWEEP_S:
                while await store.forget_answers(clock.now_ms() - ANSWERS_KEPT_MS):
                    pass
                while await store.forget_audit(clock.now_ms() - AUDIT_KEPT_MS):
                    pass
                while await store.forget_deliveries(clock.now_ms() - DEAD_KEPT_MS):
                    pass
                swept_at = clock.monotonic()
        except (StoreUnreachable, Unavailable) as error:
            _log.warning("housekeeping.failed", error=str(error))
        await asyncio.sleep(CLAIM_S)


async def watch_loop() -> None:
    """Now and then, see how late the event loop wakes somebody."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + WATCH_S
        await asyncio.sleep(WATCH_S)
        metrics.LOOP_DELAY_S.observe(max(0.0, loop.time() - due_s))


async def keep_privacy(url: str) -> None:
    """Now and then: take away what there still is of customers who were erased."""
    while True:
        try:
            while await carry_out(url):
                pass
        except StoreError as error:
            _log.warning("privacy.not_kept", error=str(error))
        await asyncio.sleep(PRIVACY_S)


async def keep_retention(found: Services, url: str) -> None:
    """Now and then: take away what the tenants that this process serves keep for a while only."""
    while True:
        more = False
        try:
            more = await retain(found, url, found.clock.now_ms())
        except (StoreError, Refused) as error:
            _log.warning("retention.not_kept", error=str(error))
        await asyncio.sleep(RETAIN_MORE_S if more else RETAIN_S)


async def retain(found: Services, url: str, now: int) -> bool:
    """Do a round of it as of `now`, in milliseconds; whether there is more to do."""

    async def erase(tenant: str, customer_id: str) -> bool:
        try:
            await found.owner.submit(tenant, EraseCustomer(customer_id))
        except (InUse, NotFound):
            return False
        return True

    async with translated():
        connection = await asyncpg.connect(url, timeout=CONNECT_S_MAX, command_timeout=60)
        try:
            await settle(connection, SETTINGS)
            return await Retaining(connection, found.new_id, erase).round(found.owner.serves, now)
        finally:
            await connection.close(timeout=CONNECT_S_MAX)


async def keep_archive(url: str, clock: SystemClock, keep_days: int, folder: Path | None) -> None:
    """At the start and then every hour: make partitions ahead, and archive and drop old ones."""
    while True:
        try:
            await keep_journal(url, clock.now_ms(), keep_days, folder)
        except StoreError as error:
            _log.error("journal.not_kept", error=str(error))
        await asyncio.sleep(JOURNAL_S)
