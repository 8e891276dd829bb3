"""Channels that say only that there is something: they are asked for it by the owner of the tenant.

    channel ─► job ─► commit (`wanted`) ─► wake ─► ask from the cursor on ─► job ─► commit (messages and cursor)

So a message is taken once though the process dies in between: either both are written, or it is asked for again. Where
a page is refused as a whole, its items are taken one by one, each once by its own id, and the cursor behind them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import structlog

from src.dispatch import jobs
from src.dispatch.facts import CursorFact
from src.dispatch.known import Wanted
from src.dispatch.ports import Parts, PulledPage, Puller
from src.dispatch.turn import Job
from src.errors import Malformed, NotOwner, Refused, StoreUnreachable, Unavailable

PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 60.0
TROUBLED_S: Final = 300.0
"""An account that somebody must see to is asked again so long afterwards."""

Submit = Callable[[Job[Any]], Awaitable[Any]]

_log = structlog.get_logger(__name__)


class Pulling:
    """The asking of one tenant's accounts, for as long as `run` does. `submit` is the way into the tenant's loop."""

    def __init__(self, tenant: str, parts: Parts, puller: Puller, submit: Submit) -> None:
        self._tenant = tenant
        self._parts = parts
        self._puller = puller
        self._submit = submit
        self._woken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """An account has called."""
        self._woken.set()

    async def run(self) -> None:
        """Ask those that have called, and those that call; until cancelled."""
        try:
            while True:
                self._woken.clear()
                try:
                    found = await self._parts.store.wanted_cursors(self._tenant)
                except StoreUnreachable as error:
                    _log.warning("pulling.store_unreachable", tenant=self._tenant, error=str(error))
                    await asyncio.sleep(PAUSE_S_MIN)
                    continue
                for each in found:
                    if each.account not in self._tasks:
                        self._tasks[each.account] = asyncio.create_task(self._ask(each.account))
                await self._woken.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _ask(self, account: str) -> None:
        """Ask one account until there is nothing more."""
        pause_s = PAUSE_S_MIN
        try:
            while True:
                try:
                    if not await self._once(account):
                        return
                    pause_s = PAUSE_S_MIN
                except NotOwner:
                    return
                except _LaterError as later:
                    await asyncio.sleep(max(pause_s, later.pause_s))
                    pause_s = min(PAUSE_S_MAX, pause_s * 2)
                except Exception:  # noqa: BLE001  # whatever it is, it is asked again
                    _log.exception("pulling.failed", tenant=self._tenant, account=account)
                    await asyncio.sleep(PAUSE_S_MAX)
        finally:
            self._tasks.pop(account, None)
            self._woken.set()  # it may have called while this ended

    async def _once(self, account: str) -> bool:
        """Ask once, and have what comes taken; whether there is more."""
        store, tenant = self._parts.store, self._tenant
        if not self._parts.lease_good():
            raise _LaterError
        try:
            asked = (await store.lookup(tenant, Wanted(cursors={account}))).cursors.get(account)
            if asked is None or not asked.wanted:
                return False
            page = await self._puller.pull(tenant, asked)
            if page.reason is not None:
                await self._report(account, page)
                raise _LaterError(TROUBLED_S if page.trouble else page.pause_s)
            job = await self._job(asked, page)
        except StoreUnreachable as error:
            raise _LaterError from error
        try:
            return bool(await self._taken(job))
        except _NotTakenError:
            return await self._one_by_one(job)

    async def _taken(self, job: Job[Any]) -> object:
        """Have it taken; raises `_NotTakenError` where it will not be, however often it is tried."""
        try:
            return await self._submit(job)
        except NotOwner:
            raise
        except Unavailable as refusal:
            raise _LaterError from refusal
        except Refused as refusal:
            _log.warning("pulling.not_taken", tenant=self._tenant, code=refusal.code)
            raise _NotTakenError from refusal

    async def _one_by_one(self, page: jobs.TakePulled) -> bool:
        """Have taken what can be of a page that is not taken whole, and go on: no item holds up the others."""
        items: tuple[Job[Any], ...] = (*page.taken, *page.moved)
        for each in items:
            with suppress(_NotTakenError):
                await self._taken(each)
        try:
            return bool(await self._taken(replace(page, taken=(), moved=())))
        except _NotTakenError as refusal:
            raise _LaterError(TROUBLED_S) from refusal

    async def _report(self, account: str, page: PulledPage) -> None:
        _log.info("pulling.not_given", tenant=self._tenant, account=account, reason=page.reason)
        if page.trouble:
            await self._submit(jobs.ReportTrouble(account, page.reason or ""))

    async def _job(self, asked: CursorFact, page: PulledPage) -> jobs.TakePulled:
        taken: list[jobs.TakeMessage] = []
        for each in page.inbound:
            try:
                job = jobs.take(each)
            except Malformed as refusal:
                _log.warning("pulling.unreadable", tenant=self._tenant, account=asked.account, detail=refusal.detail)
                continue
            assert isinstance(job, jobs.TakeMessage), "messages alone are pulled"
            taken.append(job)
        ids = {message_id for message_id, _ in page.failed}
        known = await self._parts.store.lookup(self._tenant, Wanted(messages=ids)) if ids else None
        moved = [
            jobs.MoveMessage(known.messages[message_id].contact_id, message_id, "failed", reason)
            for message_id, reason in page.failed
            if known is not None and message_id in known.outgoing
        ]
        return jobs.TakePulled(asked, page.cursor, page.more, tuple(taken), tuple(moved))


class _NotTakenError(Exception):
    """It is refused, and would be again."""


class _LaterError(Exception):
    """To be asked again, so many seconds from now at least."""

    def __init__(self, pause_s: float = 0.0) -> None:
        super().__init__(pause_s)
        self.pause_s = pause_s
