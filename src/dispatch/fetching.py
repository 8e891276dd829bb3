"""Media that customers sent and that the channel keeps for some days: fetched by the owner of the tenant, and kept.

    job ─► commit (message, media `wanted`) ─► wake ─► fetch ─► keep the bytes ─► job ─► commit (`kept`, `failed`)

As with the outbox, what is wanted is read from the store, so a process that dies or hands over forgets nothing; what is
fetched twice is kept once.
"""

import asyncio
from typing import Final

import structlog

from src.dispatch.facts import MediaFact
from src.dispatch.jobs import MoveMedia, ReportTrouble
from src.dispatch.ports import Fetched, Fetcher, Parts
from src.dispatch.recording import Submit, record
from src.errors import StoreUnreachable

FETCHING_MAX: Final = 4
"""So many are fetched at a time: each may be as large as media are allowed to be."""

READ_MAX: Final = 100
HELD_MAX: Final = 500
"""So many that are wanted are held in memory; the others stay in the store until there is room."""

PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 300.0
TROUBLED_S: Final = 300.0
"""Where somebody must see to the account, it is asked again so long afterwards."""

GIVE_UP_MS: Final = 24 * 3_600_000
"""What could not be had for so long is given up."""

GIVEN_UP: Final = "channel_unreachable"
FAULT: Final = "internal"

_log = structlog.get_logger(__name__)


class Fetching:
    """The fetching of one tenant's media, for as long as `run` does. `submit` is the way into the tenant's loop."""

    def __init__(self, tenant: str, parts: Parts, fetcher: Fetcher, submit: Submit) -> None:
        self._tenant = tenant
        self._parts = parts
        self._fetcher = fetcher
        self._submit = submit
        self._woken = asyncio.Event()
        self._room = asyncio.Semaphore(FETCHING_MAX)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Something is wanted."""
        self._woken.set()

    async def run(self) -> None:
        """Fetch what is wanted, and what comes; until cancelled."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._read()
                except StoreUnreachable as error:
                    _log.warning("fetching.store_unreachable", tenant=self._tenant, error=str(error))
                    await asyncio.sleep(PAUSE_S_MIN)
                    continue
                await self._woken.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _read(self) -> None:
        after = ""
        while len(self._tasks) < HELD_MAX:
            page = await self._parts.store.wanted_media(self._tenant, after, READ_MAX)
            for each in page:
                after = each.id
                if each.id not in self._tasks:
                    task = asyncio.create_task(self._fetch(each), name=f"fetch {self._tenant}")
                    self._tasks[each.id] = task
            if len(page) < READ_MAX:
                return

    async def _fetch(self, media: MediaFact) -> None:
        try:
            pause_s, told = PAUSE_S_MIN, False
            while True:
                async with self._room:
                    fetched = await self._attempt(media)
                if fetched.state is None and self._parts.clock.now_ms() - media.at >= GIVE_UP_MS:
                    fetched = Fetched("failed", fetched.reason or GIVEN_UP)
                if fetched.state is not None:
                    moved = MoveMedia(media.contact_id, media.id, fetched)
                    await record(self._submit, moved, self._tenant)
                    await self._fetcher.let_go(self._tenant, fetched)
                    return
                if fetched.trouble and not told:
                    told = True
                    await record(self._submit, ReportTrouble(media.account, fetched.reason or FAULT), self._tenant)
                await asyncio.sleep(TROUBLED_S if fetched.trouble else max(pause_s, fetched.pause_s))
                pause_s = min(PAUSE_S_MAX, pause_s * 2)
        finally:
            if len(self._tasks) >= HELD_MAX:
                self._woken.set()  # there is room again
            self._tasks.pop(media.id, None)

    async def _attempt(self, media: MediaFact) -> Fetched:
        if not self._parts.lease_good():
            return Fetched(None, "not_owner")
        try:
            return await self._fetcher.fetch(self._tenant, media)
        except Exception:  # noqa: BLE001  # whatever it is, others must be fetched
            _log.exception("media.failed", tenant=self._tenant, media_id=media.id)
            return Fetched("failed", FAULT)
