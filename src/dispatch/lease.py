"""The lease by which a process counts as alive."""

import asyncio
from typing import Final

import structlog

from src import metrics
from src.dispatch.ports import Clock, Leases
from src.errors import StoreUnreachable
from src.router.journal import VERSION

LEASE_S: Final = 6.0
"""How long a process counts as alive after it last said so."""

RENEW_S: Final = 2.0
"""How often it says so."""

_log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews the process's lease. Runs apart from everything else, so that no load can make it late.

    `good` judges by the process's own monotonic clock, counted from before the renewal was sent.
    """

    def __init__(self, process: str, leases: Leases, clock: Clock, address: str | None = None) -> None:
        self.process = process
        self._leases = leases
        self._clock = clock
        self._address = address
        self._good_until: float | None = None

    def good(self) -> bool:
        """Whether the lease certainly still runs."""
        return self._good_until is not None and self._clock.monotonic() < self._good_until

    async def renew(self) -> None:
        """Say once that the process lives."""
        started = self._clock.monotonic()
        ran = await self._leases.renew(self.process, LEASE_S, self._address, VERSION)
        if not ran and self._good_until is not None:
            metrics.LEASES_LOST.inc()
            _log.warning("lease.lapsed", process=self.process)
        self._good_until = started + LEASE_S

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            try:
                await self.renew()
            except StoreUnreachable as error:
                _log.warning("lease.not_renewed", process=self.process, error=str(error))
            await asyncio.sleep(RENEW_S)
