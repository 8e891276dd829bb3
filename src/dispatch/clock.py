"""The clock of the real world, a tenant's time, and ids that sort by when they were made."""

import time
from typing import Final

from uuid_utils import uuid7

from src.dispatch.ports import Clock

CATCHING_UP: Final = 0.9
"""While the wall clock is behind, a tenant's second lasts a little longer than one, until it has caught up."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class TenantTime:
    """The wall clock, but for where it lies behind what a tenant's journal says already.

    It does so where another process's clock was ahead, or this one's was put back. Time that stood still until then
    would leave offers open and lost agents in their grace, for an hour if need be: so it goes on from there.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._read_s: float | None = None

    def now_ms(self) -> int:
        """Milliseconds since the epoch, never less than before."""
        read_s = self._clock.monotonic()
        passed_s = 0.0 if self._read_s is None else read_s - self._read_s
        self._at = max(float(self._clock.now_ms()), self._at + passed_s * 1000 * CATCHING_UP)
        self._read_s = read_s
        return int(self._at)

    def not_before(self, at: int) -> None:
        """The journal says that it was so late already."""
        self._at = max(self._at, float(at))


def new_id() -> str:
    """A UUIDv7 (RFC 9562): unique, and later ones sort behind earlier ones of the same process."""
    return str(uuid7())
