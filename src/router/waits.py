"""How long a contact will likely wait: from its place and the pace at which the queue has moved. Pure arithmetic.

The pace is the mean time from one departure to the next, over the latest during which the queue was open and somebody
waited. Time without demand says nothing: what was seen before holds on. If departures come at random (exponential times
between them), the wait of the contact at place p is the sum of p such times: its mean is p times the mean time, its
standard deviation √p times (the Erlang distribution). The range told holds four of five such waits. Whoever waits over
hours in which the queue is closed waits so much longer; the board knows those.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

INTERVALS: Final = 31
"""So many times between departures make a queue's pace."""

SPREAD: Final = 1.2816
"""Standard deviations on either side: 80 in 100 of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A likely wait from now, in seconds: the mean, and the range that four of five waits fall in."""

    wait_s: int
    low_s: int
    high_s: int


@dataclass(slots=True)
class Accuracy:
    """How far off the estimates of a queue were, over all that have left it."""

    contacts: int = 0
    within: int = 0
    error_s: int = 0
    absolute_error_s: int = 0


@dataclass(slots=True)
class _Flow:
    """`intervals` in milliseconds and their `total`; `since`: the last departure, or when somebody began to wait.

    None: nobody waits.
    """

    intervals: deque[int] = field(default_factory=deque)
    total: int = 0
    since: int | None = None
    closed_at: int | None = None
    accuracy: Accuracy = field(default_factory=Accuracy)


class Waits:
    """The pace of each queue, what was told to each contact, and how far off that was."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}
        self._told: dict[str, tuple[int, Estimate]] = {}

    def estimate(self, queue: str, position: int) -> Estimate | None:
        """The likely wait at a place of a queue; None while the queue has not shown a pace."""
        flow = self._flows.get(queue)
        if flow is None or not flow.intervals:
            return None
        pace_s = flow.total / len(flow.intervals) / 1000
        wait, spread = position * pace_s, SPREAD * sqrt(position) * pace_s
        return Estimate(round(wait), round(max(0.0, wait - spread)), round(wait + spread))

    def begins(self, queue: str, at: int, *, is_open: bool) -> None:
        """A contact begins to wait, and nobody else does: from now on there is demand."""
        flow = self._flows.get(queue)
        if flow is None:
            flow = self._flows[queue] = _Flow(closed_at=None if is_open else at)
        flow.since = at

    def told(self, contact_id: str, estimate: Estimate, at: int) -> None:
        """What a contact is told when it begins to wait, to be compared with what comes."""
        self._told[contact_id] = (at, estimate)

    def turned(self, queue: str, at: int, *, is_open: bool) -> None:
        """A queue has opened or closed, or was looked at: its pace goes on in the morning where it stopped."""
        flow = self._flows.get(queue)
        if flow is None:
            return
        if not is_open:
            flow.closed_at = at if flow.closed_at is None else flow.closed_at
        elif flow.closed_at is not None:
            if flow.since is not None:
                flow.since += at - max(flow.closed_at, flow.since)
            flow.closed_at = None

    def left(self, contact_id: str, queue: str, at: int, *, others_wait: bool) -> tuple[Estimate, int] | None:
        """A contact is taken: what it was told when it began to wait, and how long it then waited, in seconds."""
        flow = self._flows.get(queue)
        if flow is None:
            flow = self._flows[queue] = _Flow()
        if flow.closed_at is None:  # who is served out of hours says nothing of how fast the others are
            if flow.since is not None:
                flow.intervals.append(at - flow.since)
                flow.total += at - flow.since
                if len(flow.intervals) > INTERVALS:
                    flow.total -= flow.intervals.popleft()
            flow.since = at if others_wait else None
        if not self._told:
            return None
        told = self._told.pop(contact_id, None)
        if told is None:
            return None
        since, estimate = told
        waited_s = (at - since) // 1000
        found = flow.accuracy
        found.contacts += 1
        found.within += estimate.low_s <= waited_s <= estimate.high_s
        found.error_s += waited_s - estimate.wait_s
        found.absolute_error_s += abs(waited_s - estimate.wait_s)
        return estimate, waited_s

    def ends(self, queue: str) -> None:
        """Nobody waits any more, though the last one was not taken: until somebody does, there is no demand."""
        flow = self._flows.get(queue)
        if flow is not None:
            flow.since = None

    def gone(self, contact_id: str) -> None:
        """A contact waits no longer, without having been offered."""
        if self._told:
            self._told.pop(contact_id, None)

    def accuracy(self) -> Mapping[str, Accuracy]:
        """By queue."""
        return {name: flow.accuracy for name, flow in self._flows.items() if flow.accuracy.contacts}
