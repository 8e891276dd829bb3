"""Letting in what can be served soon, and turning the rest away at once: latency stays where it is under any load.

What is inside waits for about as long as it takes to serve as much again, so the bound is on the expected wait: on how
many are inside against how quickly they have been coming out. That rate is measured only while there is always enough
to do: a service with little to do says nothing of what it could do.
"""

from collections import deque
from typing import Final

from src.dispatch.ports import Clock

WINDOW_S: Final = 0.25
"""The rate is counted over so long."""

WINDOWS: Final = 8
"""The mean of so many of these counts."""

RETRY_S_MIN: Final = 4
RETRY_S_MAX: Final = 60
"""Those who are turned away are told to come back over so many seconds, however few or many they are."""

FORGOTTEN: Final = 0.9
"""So much of the number of those who were turned away is remembered from one window to the next."""

REMEMBERED: Final = 0.95
"""So much of the best rate so far is believed in the next window, if nothing says otherwise."""

BATCH_CONTACTS: Final = 4
"""So many contacts of a batch take about the time of one that comes alone, with its request and its answer."""


def batch_weight(contacts: int) -> int:
    """What a batch of contacts takes, in ordinary requests."""
    return 1 + contacts // BATCH_CONTACTS


class Admission:
    """A bound on the expected wait of what is let in.

    Args:
        clock: whose monotonic seconds are counted.
        wait_s: what is let in waits for about so long at most.
        first: so many are let in while nothing is known of the rate.
        least: so many are always let in: a service that stands still is to be asked again now and then.
    """

    def __init__(self, clock: Clock, *, wait_s: float, first: int, least: int) -> None:
        self.inside = 0
        self._clock = clock
        self._wait_s = wait_s
        self._first, self._least = first, least
        self._enough = least // 2
        self._windows: deque[tuple[int, float]] = deque(maxlen=WINDOWS)
        self._window = 0
        self._out = 0.0
        self._busy = False
        self._away = 0.0
        self._turned = 0
        self._best = first / wait_s

    def limit(self) -> float:
        """So many may be inside now."""
        self._turn()
        rate = self._rate()
        return self._first if rate is None else max(self._least, rate * self._wait_s)

    def expected_s(self) -> float:
        """How long what comes now would wait; 0 where there has not been enough to do to tell."""
        self._turn()
        rate = self._rate()
        return self.inside / rate if rate else 0.0

    def rate(self) -> float:
        """The most that came out in a second of late, while there was enough to do; a guess if there never was."""
        self._turn()
        return max(self._best, self._least / self._wait_s)

    def refused(self, weight: float) -> None:
        """Somebody was turned away, which took the time of so many that are served."""
        self._turn()
        self._out += weight

    def fits(self, weight: int = 1, *, share: float = 1.0) -> bool:
        """Whether there is room; `share` over 1 for what must go before the rest.

        However much something weighs, it fits where half of what is always let in is free: it may be more than the
        whole limit of a slow machine, which would never take it.
        """
        return self.inside + min(weight, self._enough) <= self.limit() * share

    def enter(self, weight: int = 1) -> None:
        """Something is let in; `weight` in ordinary requests."""
        self._turn()
        self.inside += weight

    def leave(self, weight: int = 1, *, served: bool = True) -> None:
        """It comes out. What was turned away further in says nothing of how quickly others are served."""
        self._turn()
        self.inside -= weight
        if served:
            self._out += weight
        if self.inside < self._enough:
            self._busy = False

    def turn_away(self) -> int:
        """In how many seconds somebody who is turned away should come back: spread so that all could be served."""
        self._turned += 1
        self._away += 1
        rate = max(self._rate() or self._first / self._wait_s, self._least / self._wait_s)
        spread = max(RETRY_S_MIN, min(RETRY_S_MAX, int(self._away / rate)))
        return 1 + self._turned % spread

    def _rate(self) -> float | None:
        """What has come out in a second, in the windows of late in which there was always enough to do."""
        rates = [rate for window, rate in self._windows if window >= self._window - WINDOWS]
        return sum(rates) / len(rates) if rates else None

    def _turn(self) -> None:
        """Close the windows that have passed."""
        window = int(self._clock.monotonic() / WINDOW_S)
        if window == self._window:
            return
        if self._busy:
            self._windows.append((self._window, self._out / (WINDOW_S * (window - self._window))))
            self._best = max(self._rate() or 0.0, REMEMBERED * self._best)
        self._away *= FORGOTTEN ** (window - self._window)
        self._window, self._out, self._busy = window, 0.0, self.inside >= self._enough
