"""One scenario: a tenant of its own under load, something that breaks, and the books held against the journal."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from src.app.ground import opened
from src.router.journal import Event
from src.store import replay
from src.store.postgres import PostgresStore
from tests.support.faults.books import BrokenPromise
from tests.support.faults.checker import check
from tests.support.faults.cluster import Cluster, Node
from tests.support.faults.load import Load

AFTER_S: Final = 1.0
RECOVERY_S_MAX: Final = 30.0
DRAIN_S_MAX: Final = 15.0
"""So long nothing more may happen to what is open, before it counts as left open: a busy machine may take its time."""

FINISH_S_MAX: Final = 60.0
RUN_S_MAX: Final = 860.0
TOLD_S_MAX: Final = 15.0
PAGE: Final = 1_000
LATE_MIN: Final = 10
POSTS_MIN: Final = 30


@dataclass(frozen=True)
class Row:
    """A line of the table of times. `outage_s`: how long nothing was acknowledged; the others are since the mending."""

    name: str
    outage_s: float
    acknowledged_s: float
    whole_s: float
    contacts: int
    retries: int


TABLE: list[Row] = []
NOTES: list[str] = []
"""What this session has measured; printed at its end."""


@dataclass
class Run:
    """A scenario under way."""

    name: str
    cluster: Cluster
    tenant: str
    load: Load
    broken_at_s: float = 0.0
    mended_at_s: float = 0.0
    _rows: list[Row] = field(default_factory=list)

    async def owner(self) -> Node:
        """The process that serves the tenant."""
        return await self.cluster.owner(self.tenant)

    async def others(self) -> Sequence[Node]:
        """The processes that do not."""
        owner = await self.owner()
        return [each for each in self.cluster.nodes if each is not owner]

    @asynccontextmanager
    async def fault(self) -> AsyncIterator[None]:
        """What happens inside is the fault; it is over at the end."""
        self.broken_at_s = time.monotonic()
        yield
        self.mended_at_s = time.monotonic()

    async def recovered(self) -> bool:
        """Wait until posts that began after the mending are acknowledged, desks hear, and everybody is connected."""
        books, mended_at_s = self.load.books, self.mended_at_s
        acknowledged_s = whole_s = 0.0
        while not whole_s:
            await asyncio.sleep(0.02)
            now_s = time.monotonic()
            if now_s - mended_at_s > RECOVERY_S_MAX:
                return False
            if not acknowledged_s and any(each.sent_at_s > mended_at_s for each in books.posts[-20:]):
                acknowledged_s = now_s - mended_at_s
            heard = bool(books.heard) and books.heard[-1].at_s > mended_at_s
            if acknowledged_s and heard and all(each.connected for each in self.load.desks):
                whole_s = now_s - mended_at_s
        outage_s = books.silence_s(self.broken_at_s, time.monotonic())
        self._rows.append(Row(self.name, outage_s, acknowledged_s, whole_s, len(books.posts), books.retries))
        return True

    def late_s(self, node: Node, since_s: float) -> float | None:
        """How late subscribers of a process heard of events since then, in the median; None: there were few."""
        heard = [each for each in self.load.books.heard if each.node == node.name]
        found = [each.late_s for each in heard if each.at_s - each.late_s > since_s]  # not what a resumed one missed
        return median(found) if len(found) > LATE_MIN else None

    async def going_on(self) -> None:
        """Wait until the load has gone on for some time, and some contacts more were taken.

        Raises:
            BrokenPromise: they are not.
        """
        until_s, posts = time.monotonic() + AFTER_S, len(self.load.books.posts)
        try:
            async with asyncio.timeout(RECOVERY_S_MAX):
                while time.monotonic() < until_s or len(self.load.books.posts) < posts + POSTS_MIN:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise BrokenPromise("it does not go on") from None

    async def finish(self, *, ended: bool = True) -> list[str]:
        """End the load and hold the books against the journal: every broken promise."""
        since_s = time.monotonic() if not self.mended_at_s else self.mended_at_s
        recovered_at = round((time.time() - time.monotonic() + since_s) * 1000)
        if self._rows:
            recovered_at += round(self._rows[-1].whole_s * 1000)
        await self.load.stop_posting()
        async with opened(self.cluster.database_url, connections_max=2) as store:
            journal = await self._journal(store, [])
            deadline = time.monotonic() + DRAIN_S_MAX
            latest = time.monotonic() + FINISH_S_MAX
            while ended and self._check(journal, recovered_at, ended=True) and time.monotonic() < min(deadline, latest):
                await asyncio.sleep(0.2)
                known, journal = len(journal), await self._journal(store, journal)
                if len(journal) > known:
                    deadline = time.monotonic() + DRAIN_S_MAX
            deadline = time.monotonic() + TOLD_S_MAX
            while time.monotonic() < deadline and any(
                line.startswith(("stream: ", "webhook: ")) for line in self._check(journal, recovered_at, ended=ended)
            ):
                await asyncio.sleep(0.2)
            await self.load.stop()
            # Desks went on until now: what they were answered since may stand behind the journal as it was read.
            later = await self._journal(store, journal)
            found = [each for each in self._check(journal, recovered_at, ended=ended) if not each.startswith("lost: ")]
            found += [each for each in self._check(later, recovered_at, ended=ended) if each.startswith("lost: ")]
            found += [f"tables: {each}" for each in await replay.compare(store, self.tenant)]
        TABLE.extend(self._rows)
        return found

    def _check(self, journal: Sequence[Event], recovered_at: int, *, ended: bool) -> list[str]:
        return check(journal, self.load.books, recovered_at=recovered_at, ended=ended)

    async def _journal(self, store: PostgresStore, known: list[Event]) -> list[Event]:
        while page := await store.events(self.tenant, len(known), PAGE):
            known = [*known, *page]
        return known


@asynccontextmanager
async def running(
    name: str, cluster: Cluster, *, seed: int = 1, run_s_max: float = RUN_S_MAX, **load_options: Any
) -> AsyncIterator[Run]:
    """A new tenant under load, warm, for so long at most. Whatever was broken is mended in the end."""
    key = "cb_" + secrets.token_hex(20)
    tenant = await cluster.tenant(f"{name} {secrets.token_hex(4)}", key)
    load = Load(cluster, key, seed, **load_options)
    run = Run(name, cluster, tenant, load)
    try:
        async with asyncio.timeout(run_s_max):  # one by signal would hit any task, which may well swallow it
            await load.start()
            await run.going_on()
            yield run
    finally:
        await load.stop()
        await cluster.mend()
