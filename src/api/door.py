"""How sockets come in when thousands come at once: a few at a time, and no more than can be welcomed soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Final

from src import metrics
from src.dispatch.admission import Admission
from src.dispatch.ports import Clock
from src.errors import Overloaded

AT_ONCE: Final = 32
"""So many are welcomed at a time, that what is under way beside them keeps its pace."""

WAIT_S: Final = 4.0
"""A socket that would wait longer for its welcome is told when to come back."""

HELD_S_MAX: Final = 5.0
"""After so long the next one is let in, whatever becomes of the one before."""

SOCKETS_FIRST: Final = 1_000
SOCKETS_LEAST: Final = 64
"""Sockets that may wait while the rate is not known, and however low it is."""

REFUSAL: Final = 0.2
"""To turn a socket away takes so much of the time of a welcome, about."""

LEAD_S: Final = 2.0
"""So much before their turn those who were turned away are called back: the line must not run dry meanwhile."""

HOPE: Final = 1.25
"""They are called so much more quickly than sockets have been welcomed; that a rate has risen shows in no other way."""

AWAY_S_MAX: Final = 120
"""Nobody is sent away for longer: a rate that was measured in a bad moment must not keep anybody out for hours."""

GRACE_S: Final = 5.0
"""So long behind its moment a booking is kept; then whoever has it has gone for good."""


class Door:
    """The way in of all sockets of a process.

    Whoever is turned away books the next free moment: behind all who are inside and all who were sent away before, each
    of whom takes as long as a welcome has taken of late. Nobody is asked for a name when the moment has come: desktops
    come back by whichever process a load balancer sends them to, and about as many to each as it has sent away. So a
    booking is kept by whoever comes first then.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._admission = Admission(clock, wait_s=WAIT_S, first=SOCKETS_FIRST, least=SOCKETS_LEAST)
        self._steps = asyncio.Semaphore(AT_ONCE)
        self._booked: list[float] = []

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for one's turn to be welcomed, which happens inside.

        Raises:
            Overloaded: too many wait; it says when to come back.
        """
        admission = self._admission
        now = self._clock.monotonic()
        self._keep_booking(now)
        if not admission.fits():
            metrics.TURNED_AWAY.labels("door").inc()
            admission.refused(REFUSAL)
            raise Overloaded("too many sockets are being opened", retry_after_s=self._book(now))
        admission.enter()
        try:
            await self._steps.acquire()
            held = True

            def release() -> None:
                nonlocal held
                if held:
                    held = False
                    self._steps.release()

            # Who reads its welcome slowly holds up nobody for longer than this.
            timer = asyncio.get_running_loop().call_later(HELD_S_MAX, release)
            try:
                yield
            finally:
                timer.cancel()
                release()
        finally:
            admission.leave()

    def _book(self, now: float) -> int:
        """In how many seconds to come back."""
        before = self._admission.inside + len(self._booked)
        away_s = before / (HOPE * self._admission.rate()) - LEAD_S
        found = max(1, min(AWAY_S_MAX, round(away_s)))
        heappush(self._booked, now + found)
        return found

    def _keep_booking(self, now: float) -> None:
        """Somebody comes: if it is anybody's moment it was theirs. Bookings that nobody kept are forgotten."""
        booked = self._booked
        while booked and booked[0] < now - GRACE_S:
            heappop(booked)
        if booked and booked[0] <= now:
            heappop(booked)
