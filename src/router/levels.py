"""How many contacts are answered in time: by queue, over the last hour. Plain counting, minute by minute."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from src.router.model import QueueConfig

SPAN_MINUTES: Final = 60
"""What lies further back is forgotten."""

_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Level:
    """So many of the `contacts` were answered `within` the time; `percent` in a hundred should be."""

    within_s: int
    percent: int
    contacts: int
    within: int


class Levels:
    """What was answered in time, and what was not, since the engine was loaded; at most for an hour."""

    def __init__(self) -> None:
        self._minutes: dict[str, deque[list[int]]] = {}

    def count(self, queue: str, at: int, *, within: bool) -> None:
        """A contact of this queue was answered for the first time, or the time for it is over."""
        minute, minutes = at // _MINUTE_MS, self._minutes.get(queue)
        if minutes is None:
            minutes = self._minutes[queue] = deque()
        if not minutes or minutes[-1][0] != minute:
            minutes.append([minute, 0, 0])
            _forget(minutes, minute)
        minutes[-1][1] += 1
        minutes[-1][2] += within

    def levels(self, queues: Mapping[str, QueueConfig], now: int) -> Mapping[str, Level]:
        """By queue, where there is anything to be told."""
        found = {}
        for name, minutes in self._minutes.items():
            _forget(minutes, now // _MINUTE_MS)
            policy = queues.get(name)
            if minutes and policy is not None:
                contacts, within = (sum(each[place] for each in minutes) for place in (1, 2))
                found[name] = Level(policy.within_s, policy.percent, contacts, within)
        return found


def _forget(minutes: deque[list[int]], minute: int) -> None:
    while minutes and minutes[0][0] <= minute - SPAN_MINUTES:
        minutes.popleft()
