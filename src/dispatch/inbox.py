"""What waits for a tenant's loop: jobs and their callers, how many are let in, and the timer that wakes the loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from src import metrics, tracing
from src.dispatch.admission import Admission
from src.dispatch.ports import Clock
from src.dispatch.turn import Job, Once, Repeated
from src.errors import Refused, TenantOverloaded, Unavailable

INBOX_WAIT_S: Final = 1.0
"""What comes in from customers is refused when it would wait longer than this for its turn and commit."""

INBOX_JOBS_FIRST: Final = 1_000
INBOX_JOBS_LEAST: Final = 200
"""Jobs that are let in while the rate is not known, and however low it is. One with a `weight` counts as so many."""

PRESSING: Final = 4.0
"""What agents and supervisors do frees the service of work: so many times as much of it may wait."""

BATCH_JOBS_MAX: Final = 1_000
"""Jobs that one commit takes, and what the last of them weighs beyond that."""

QUIET_TURNS: Final = 2
LET_IN_TURNS_MAX: Final = 20
"""A batch is complete when so many turns of the event loop have brought no more to it, or when so many have passed."""

T = TypeVar("T")


@dataclass(slots=True)
class Item:
    """A job that waits, and who waits for it. `origin` is the span (W3C `traceparent`) in which it was given."""

    job: Job[Any]
    once: Once[Any] | None
    future: "asyncio.Future[Any]"
    deadline: float | None = None
    origin: str | None = None
    weight: int = 1
    outcome: Any = None
    error: Refused | None = None

    def answer(self) -> None:
        """Let the caller have what came of it."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.outcome)

    def fail(self, error: Refused) -> None:
        """Let the caller have a refusal."""
        self.error = error
        self.answer()


class Inbox:
    """The jobs that wait for one loop, first come first served."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._timer = _Timer()
        self._admission = Admission(clock, wait_s=INBOX_WAIT_S, first=INBOX_JOBS_FIRST, least=INBOX_JOBS_LEAST)

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    async def submit(self, job: Job[T], once: Once[T] | None, deadline: float | None) -> T | Repeated:
        """Wait until a job has had its turn.

        Raises:
            TenantOverloaded: too much waits already.
            Refused: what the job was refused with.
        """
        admission, weight = self._admission, getattr(job, "weight", 1)
        if not admission.fits(weight, share=1.0 if hasattr(job, "aside") else PRESSING):
            metrics.TURNED_AWAY.labels("tenant").inc()
            retry_after_s = admission.turn_away()
            raise TenantOverloaded("too many requests wait for this tenant", retry_after_s=retry_after_s)
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(Item(job, once, future, deadline, tracing.current(), weight))
        self._wake.set()
        admission.enter(weight)
        served = False
        try:
            result: T | Repeated = await future
            served = True
        except Refused as refusal:
            served = not isinstance(refusal, Unavailable)
            raise
        finally:
            admission.leave(weight, served=served)
            del future  # a refusal holds this frame, and with it all that its order knew, for as long as this holds it
        return result

    def take(self) -> list[Item]:
        """The next batch; whose time is over is refused instead."""
        batch: list[Item] = []
        now, size = self._clock.monotonic(), 0
        while self._waiting and size < BATCH_JOBS_MAX:
            item = self._waiting.popleft()
            if item.deadline is not None and item.deadline < now:
                item.fail(Unavailable("its time was over before its turn came"))
            else:
                batch.append(item)
                size += item.weight
        return batch

    def refuse_all(self, error: Refused) -> None:
        """Let everything that waits have a refusal."""
        while self._waiting:
            self._waiting.popleft().fail(error)

    # -- waking -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let whoever waits for something to do look anew."""
        self._wake.set()

    def wake_at(self, due_at: int | None, now: int) -> None:
        """The same at a time (ms since the epoch), in place of the one that was told before; None: never."""
        self._timer.set(due_at, now, self._wake.set)

    async def woken(self) -> None:
        """Wait until something is to be done."""
        await self._wake.wait()

    async def let_in(self) -> None:
        """Give way to those whose requests are being read already: they ride with the same commit."""
        seen, quiet = len(self._waiting), 0
        for _ in range(LET_IN_TURNS_MAX if self._waiting else 0):
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            if quiet == QUIET_TURNS:
                return
            seen = len(self._waiting)

    def looked(self) -> None:
        """What there is to do has been looked at: from now on waking counts anew."""
        self._wake.clear()


@dataclass(slots=True)
class _Timer:
    """The one timer of a loop: wakes it when the engine's next deadline comes."""

    due_at: int | None = None
    handle: asyncio.TimerHandle | None = None

    def set(self, due_at: int | None, now: int, wake: Callable[[], None]) -> None:
        if due_at == self.due_at and self.handle is not None:
            return
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        self.due_at = due_at
        if due_at is not None:
            delay_s = max(0.0, (due_at - now) / 1000)
            self.handle = asyncio.get_running_loop().call_later(delay_s, self._fire, wake)

    def _fire(self, wake: Callable[[], None]) -> None:
        self.due_at, self.handle = None, None
        wake()
