"""What the service promises and how it is held to it. Pure: no clock, no network.

A promise is broken by what was seen, never by what was not: contacts, offers and agents of somebody else on the same
tenant raise no alarm.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

EXAMPLES_MAX: Final = 3
"""Examples that are kept of each broken promise."""


class Promise(StrEnum):
    """What is promised, in the words of the line that says it was broken."""

    NOTHING_LOST = "nothing is lost: a contact that was acknowledged is not in the journal"
    NOTHING_DOUBLED = "nothing is doubled: one post became two contacts, or two became one"
    ONE_AGENT = "one agent at a time: a contact was offered while it was with another"
    CAPACITY = "never over capacity: an agent was given more than it can take"
    ORDER = "one life: the journal tells of something that cannot follow what it told before"
    JOURNAL = "the journal is gapless: a number is missing, or came twice"
    GAPLESS = "gapless: what a desktop was told does not follow what it was told before"
    ONCE = "each once: a desktop was told the same event twice"
    TOLD = "every event reaches its desktop: one in the journal never came"
    TRUE = "only what is committed is told: a desktop heard of an event that is not in the journal"
    AGREEMENT = "one truth: GET says something else than the journal"
    TAGS = "the tags of a text are found: a contact got other tags than its text has"
    ONE_CUSTOMER = "one person is one customer: who proves its number on each channel became several, or lost a contact"
    ENDS = "everything comes to an end: a contact was open after its customer and its agent had both ended it"


@dataclass(slots=True)
class Promises:
    """Which promises were broken, how often, and the first examples of each."""

    counts: dict[Promise, int] = field(default_factory=dict)
    examples: dict[Promise, list[str]] = field(default_factory=dict)

    def broken(self, promise: Promise, example: str) -> None:
        """One was broken."""
        self.counts[promise] = self.counts.get(promise, 0) + 1
        kept = self.examples.setdefault(promise, [])
        if len(kept) < EXAMPLES_MAX:
            kept.append(example)

    def lines(self) -> Iterator[str]:
        """One line for each broken promise, with its first examples."""
        for promise, count in self.counts.items():
            times = "once" if count == 1 else f"{count} times"
            yield f"{promise} ({times}; {'; '.join(self.examples[promise])})"

    def count(self, *of: Promise) -> int:
        """How often these were broken."""
        return sum(self.counts.get(each, 0) for each in of)


class DeskBook:
    """One agent's stream held against the journal: every event that bears its name, once, in order, and no other.

    `heard` and `marked` take what came over the socket, `journalled` what the journal says should come. The two may run
    apart for a while: what one of them lacks is kept until it comes.
    """

    def __init__(self, agent_id: str, promises: Promises) -> None:
        self.last: int | None = None
        self._agent_id = agent_id
        self._promises = promises
        self._expected: deque[int] = deque()
        self._heard: deque[int] = deque()
        self._skipped: deque[tuple[int, int]] = deque()

    def welcomed(self, seq: int, *, resumed: bool) -> None:
        """A connection was opened. If it was not resumed, nothing up to `seq` will be told: the snapshot has it."""
        if not resumed:
            self._skipped.append((self.last or 0, seq))
            self.last = seq
            self._compare()

    def heard(self, prev: int, seq: int) -> bool:
        """An event came over the socket; whether it is new."""
        last = self.last or 0
        if seq <= last:
            self._promises.broken(Promise.ONCE, f"{self._agent_id} was told {seq} after {last}")
            return False
        if prev != last:
            self._promises.broken(
                Promise.GAPLESS, f"{self._agent_id}: {seq} says it follows {prev}, the last was {last}"
            )
        self.last = seq
        self._heard.append(seq)
        self._compare()
        return True

    def marked(self, seq: int) -> None:
        """The service says that nothing up to `seq` concerned this agent."""
        if seq < (self.last or 0):
            self._promises.broken(Promise.GAPLESS, f"{self._agent_id}: a mark goes back from {self.last} to {seq}")
            return
        self.last = seq

    def journalled(self, seq: int) -> None:
        """The journal has an event of this agent."""
        self._expected.append(seq)
        self._compare()

    def finish(self, journal_seq: int) -> None:
        """Nothing more comes, and the journal was read up to `journal_seq`."""
        self._compare()
        for seq in self._expected:
            if seq <= (self.last or 0) and not self._was_skipped(seq):
                self._promises.broken(Promise.TOLD, f"{self._agent_id} never heard {seq}, but {self.last}")
        for seq in self._heard:
            if seq <= journal_seq:
                self._promises.broken(Promise.TRUE, f"{self._agent_id} heard {seq}")
        self._expected.clear()
        self._heard.clear()

    def _compare(self) -> None:
        while self._expected and (self._heard or self._skipped):
            seq = self._expected[0]
            if self._was_skipped(seq):
                self._expected.popleft()
            elif not self._heard:
                return
            elif seq == self._heard[0]:
                self._expected.popleft()
                self._heard.popleft()
            elif seq < self._heard[0]:
                self._promises.broken(Promise.TOLD, f"{self._agent_id} never heard {seq}, but {self._heard[0]}")
                self._expected.popleft()
            else:
                self._promises.broken(Promise.TRUE, f"{self._agent_id} heard {self._heard[0]}")
                self._heard.popleft()

    def _was_skipped(self, seq: int) -> bool:
        while self._skipped and self._skipped[0][1] < seq:
            self._skipped.popleft()
        return bool(self._skipped) and self._skipped[0][0] < seq
