"""The clock of the real world, and ids that sort by when they were made."""

import time

from uuid_utils import uuid7


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def new_id() -> str:
    """A UUIDv7 (RFC 9562): unique, and later ones sort behind earlier ones of the same process."""
    return str(uuid7())
