"""Which tenants this process serves: claims them, runs their loops, keeps its lease, hands them over."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import structlog

from src.dispatch.ports import Clock, Leases
from src.dispatch.tenant import Parts, TenantLoop
from src.dispatch.turn import Job, Once, Repeated
from src.errors import Fenced, NewerJournal, NotOwner, StoreUnreachable, Unavailable
from src.router.model import Settings
from src.router.waits import Accuracy, Estimate

LEASE_S: Final = 6.0
"""How long a process counts as alive after it last said so."""

RENEW_S: Final = 2.0
"""How often it says so."""

STOP_S_MAX: Final = 15.0
"""How long a stop waits for commits that are under way."""

CLAIM_S: Final = 2.0
"""How often it looks for tenants that nobody serves."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews the process's lease. Runs apart from everything else, so that no load can make it late.

    `good` judges by the process's own monotonic clock, counted from before the renewal was sent.
    """

    def __init__(self, process: str, leases: Leases, clock: Clock) -> None:
        self.process = process
        self._leases = leases
        self._clock = clock
        self._good_until = 0.0

    def good(self) -> bool:
        """Whether the lease certainly still runs."""
        return self._clock.monotonic() < self._good_until

    async def renew(self) -> None:
        """Say once that the process lives."""
        started = self._clock.monotonic()
        await self._leases.renew(self.process, LEASE_S)
        self._good_until = started + LEASE_S

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            try:
                await self.renew()
            except StoreUnreachable as error:
                _log.warning("lease.not_renewed", process=self.process, error=str(error))
            await asyncio.sleep(RENEW_S)


class Owner:
    """The tenants of one process. `submit` is how everything reaches a tenant's loop."""

    def __init__(self, process: str, leases: Leases, parts: Parts) -> None:
        self.process = process
        self._leases = leases
        self._parts = parts
        self._loops: dict[str, tuple[TenantLoop, asyncio.Task[None]]] = {}
        self._claiming = asyncio.Lock()
        self._beyond: set[str] = set()
        self._stopping = False

    async def submit(self, tenant: str, job: Job[T], once: Once[T] | None = None) -> T | Repeated:
        """Run a job in its tenant's loop.

        Raises:
            NotOwner: another process serves the tenant.
            Refused: what the job was refused with.
        """
        entry = self._loops.get(tenant)
        if entry is None:
            try:
                entry = await self._claim(tenant)
            except StoreUnreachable as error:
                raise Unavailable("the database cannot be reached") from error
        return await entry[0].submit(job, once)

    def outlook(self, tenant: str, contact_id: str) -> tuple[int | None, Estimate | None]:
        """Position and estimated wait of a waiting contact, if this process serves the tenant."""
        entry = self._loops.get(tenant)
        return (None, None) if entry is None else entry[0].outlook(contact_id)

    def accuracy(self, tenant: str) -> Mapping[str, Accuracy]:
        """By queue, how far off the estimated waits were since this process serves the tenant."""
        entry = self._loops.get(tenant)
        return {} if entry is None else entry[0].accuracy()

    def settings(self, tenant: str) -> Settings | None:
        """The tenant's settings, where this process has them at hand."""
        entry = self._loops.get(tenant)
        return None if entry is None else entry[0].settings()

    async def serve(self, tenants: Sequence[str]) -> None:
        """Claim whatever of these nobody serves."""
        for tenant in tenants:
            if tenant not in self._loops and not self._stopping:
                with contextlib.suppress(NotOwner, StoreUnreachable):
                    await self._claim(tenant)

    def tenants(self) -> int:
        """How many tenants this process serves now."""
        return len(self._loops)

    def lease_good(self) -> bool:
        """Whether this process may answer for them."""
        return self._parts.lease_good()

    async def stop(self) -> None:
        """Finish what waits, then give everything up."""
        self._stopping = True
        tasks = []
        for loop, task in self._loops.values():
            loop.stop()
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S_MAX)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(StoreUnreachable):
            await self._leases.release(self.process)

    async def _claim(self, tenant: str) -> tuple[TenantLoop, "asyncio.Task[None]"]:
        async with self._claiming:
            entry = self._loops.get(tenant)
            if entry is not None:
                return entry
            if tenant in self._beyond:
                raise NewerJournal("a newer release has written to this tenant")
            if self._stopping or not await self._leases.claim(self.process, tenant):
                raise NotOwner("another process serves this tenant")
            loop = TenantLoop(tenant, self._parts)
            task = asyncio.create_task(self._run(loop), name=f"tenant {tenant}")
            self._loops[tenant] = (loop, task)
            return self._loops[tenant]

    async def _run(self, loop: TenantLoop) -> None:
        try:
            await loop.run()
        except (Fenced, NotOwner) as error:
            if isinstance(error, NewerJournal):
                self._beyond.add(loop.tenant)  # it stays so for as long as this release runs
            _log.warning("tenant.released", tenant=loop.tenant, process=self.process, reason=error.detail)
        except Exception:  # noqa: BLE001  # whatever it is, the next caller claims the tenant anew
            _log.exception("tenant.failed", tenant=loop.tenant)
        finally:
            self._loops.pop(loop.tenant, None)
