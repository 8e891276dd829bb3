"""How sockets come in when thousands come at once: a few at a time, and no more than can be welcomed soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class Door:
    """The way in of all sockets of a process."""

    def __init__(self, clock: Clock) -> None:
        self._admission = Admission(clock, wait_s=WAIT_S, first=SOCKETS_FIRST, least=SOCKETS_LEAST)
        self._steps = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for one's turn to be welcomed, which happens inside.

        Raises:
            Overloaded: too many wait; it says when to come back.
        """
        admission = self._admission
        if not admission.fits():
            metrics.TURNED_AWAY.labels("door").inc()
            raise Overloaded("too many sockets are being opened", retry_after_s=admission.turn_away())
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
