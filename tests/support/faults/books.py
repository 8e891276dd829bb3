"""What clients write down for themselves: all that was acknowledged to them, and all that they were told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from src.api.stream import RESUME_EVENTS_MAX

Piece = tuple[int, int]
"""What one frame said of the journal: it follows `prev`, and reaches to `seq`."""


class BrokenPromise(Exception):
    """What a client met on its way, in the words of `checker`: there is nothing to go on with."""


@dataclass
class StreamBook:
    """One subscriber's record over all its connections.

    `concerns` tells by agent id which events of the journal it should be told. `told` are the numbers of all events in
    the order in which they came; `breaks` what did not fit to what it knew. `skipped` are stretches that it was not
    told on purpose, because the service did not resume it but gave it a snapshot.
    """

    name: str
    concerns: Callable[[str | None], bool]
    last: int | None = None
    told: list[int] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)
    skipped: list[Piece] = field(default_factory=list)
    connections: int = 0
    closed: list[int] = field(default_factory=list)

    def welcome(self, seq: int, *, resumed: bool) -> None:
        """A connection was opened."""
        self.connections += 1
        if self.last is not None and not resumed and seq - self.last <= RESUME_EVENTS_MAX:
            self.breaks.append(f"not resumed at {self.last}, although the journal stands at {seq}")
        if not resumed or self.last is None:
            self.skipped.append((self.last or 0, seq))
            self.last = seq

    def event(self, prev: int, seq: int) -> bool:
        """An event came; whether it is news."""
        last = self.last or 0
        if prev != last:
            self.breaks.append(f"{seq} says that it follows {prev}, but {last} was the last")
        if seq <= last:
            self.breaks.append(f"{seq} came after {last}")
            return False
        self.last = seq
        self.told.append(seq)
        return True

    def mark(self, seq: int) -> None:
        """Nothing up to `seq` concerns this subscriber."""
        if seq < (self.last or 0):
            self.breaks.append(f"a mark goes back from {self.last} to {seq}")
            return
        self.last = seq


@dataclass
class HookBook:
    """What a receiver of webhooks said yes to: numbers of events, in the order in which it first did.

    It is due the events of these `types` that follow `since`, at least once, and those of one contact in their order.
    """

    types: frozenset[str]
    since: int = 0
    taken: dict[int, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Acknowledgement:
    """A post that was answered. Times are monotonic seconds; `at_s` is when it was answered.

    `person` is who posted; `linked`: under all of its identities at once.
    """

    external_id: str
    contact_id: str
    sent_at_s: float
    at_s: float
    tries: int
    person: str = ""
    linked: bool = False


@dataclass(frozen=True)
class Hearing:
    """An event was heard over a socket of this process, at a monotonic time; `late_s` behind the event's own time."""

    at_s: float
    node: str
    late_s: float


@dataclass
class Books:
    """All records of one run. `in_doubt` are posts that were not answered, `aside` contacts that nobody can take."""

    posts: list[Acknowledgement] = field(default_factory=list)
    in_doubt: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    streams: list[StreamBook] = field(default_factory=list)
    hooks: list[HookBook] = field(default_factory=list)
    heard: list[Hearing] = field(default_factory=list)
    retries: int = 0

    def acknowledged(
        self, external_id: str, contact_id: str, sent_at_s: float, tries: int, who: tuple[str, bool] = ("", False)
    ) -> None:
        """A contact was taken. `who` posted, and whether under all identities at once."""
        self.in_doubt.discard(external_id)
        self.posts.append(Acknowledgement(external_id, contact_id, sent_at_s, time.monotonic(), tries, *who))

    def silence_s(self, since_s: float, until_s: float) -> float:
        """The longest time between these two in which nothing was acknowledged."""
        times = [since_s, *sorted(each.at_s for each in self.posts if since_s < each.at_s < until_s), until_s]
        return max(later - earlier for earlier, later in pairwise(times))
