"""How many contacts are answered in time: by queue, channel and tag, over the last hour. Counted minute by minute."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from src.router.entities import Contact
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


@dataclass(frozen=True, slots=True)
class Share:
    """So many of the `contacts` were answered `within` the time that their queues allow."""

    contacts: int
    within: int


@dataclass(frozen=True, slots=True)
class Reached:
    """What was answered in time, by name, where anything was. A contact counts with each of its tags."""

    queues: Mapping[str, Level] = field(default_factory=dict)
    channels: Mapping[str, Share] = field(default_factory=dict)
    tags: Mapping[str, Share] = field(default_factory=dict)


class Levels:
    """What was answered in time, and what was not, since the engine was loaded; at most for an hour."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, _Tallies]] = deque()

    def count(self, contact: Contact, at: int, *, within: bool) -> None:
        """A contact was answered for the first time, or the time for it is over."""
        minute = at // _MINUTE_MS
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, _Tallies()))
            self._forget(minute)
        tallies = self._minutes[-1][1]
        in_time = 1 if within else 0
        _count(tallies.queues, contact.queue, 1, in_time)
        _count(tallies.channels, contact.channel, 1, in_time)
        for tag in contact.tags:
            _count(tallies.tags, tag, 1, in_time)

    def reached(self, queues: Mapping[str, QueueConfig], now: int) -> Reached:
        """What is to be told of the last hour. What `queues` does not name is no queue any more."""
        self._forget(now // _MINUTE_MS)
        by_queue = _sums(tallies.queues for _, tallies in self._minutes)
        return Reached(
            {
                name: Level(queues[name].within_s, queues[name].percent, share.contacts, share.within)
                for name, share in by_queue.items()
                if name in queues
            },
            _sums(tallies.channels for _, tallies in self._minutes),
            _sums(tallies.tags for _, tallies in self._minutes),
        )

    def _forget(self, minute: int) -> None:
        while self._minutes and self._minutes[0][0] <= minute - SPAN_MINUTES:
            self._minutes.popleft()


class _Tally:
    """How many contacts, and how many of them in time."""

    __slots__ = ("contacts", "within")

    def __init__(self) -> None:
        self.contacts = 0
        self.within = 0

    def add(self, contacts: int, within: int) -> None:
        """So many more."""
        self.contacts += contacts
        self.within += within


class _Tallies:
    """What was counted, by name."""

    def __init__(self) -> None:
        self.queues: dict[str, _Tally] = {}
        self.channels: dict[str, _Tally] = {}
        self.tags: dict[str, _Tally] = {}


def _count(tallies: dict[str, _Tally], name: str, contacts: int, within: int) -> None:
    tally = tallies.get(name)
    if tally is None:
        tally = tallies[name] = _Tally()
    tally.add(contacts, within)


def _sums(minutes: Iterable[dict[str, _Tally]]) -> dict[str, Share]:
    found: dict[str, _Tally] = {}
    for each in minutes:
        for name, tally in each.items():
            _count(found, name, tally.contacts, tally.within)
    return {name: Share(tally.contacts, tally.within) for name, tally in found.items()}
