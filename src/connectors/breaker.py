"""A circuit breaker: a system that fails again and again is left alone for a while, then tried once."""

from typing import Final

FAILURES: Final = 5
"""So many in a row, and it opens."""

OPEN_S: Final = 30.0
"""For so long nobody asks; then one may."""


class Breaker:
    """One connector's. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._failures = 0
        self._until: float | None = None

    def lets_pass(self, now: float) -> bool:
        """Whether somebody may ask. While it is open the first to come after a while may, and then waits again."""
        if self._until is None:
            return True
        if now < self._until:
            return False
        self._until = now + OPEN_S
        return True

    def succeeded(self) -> None:
        """It answered."""
        self._failures, self._until = 0, None

    def failed(self, now: float) -> None:
        """It did not."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._until = now + OPEN_S
