"""Who comes first: lines of agents or contacts in order, the heads of all lines in order, the orders of free agents.

The members of a *line* are alike: whoever may take one may take all. So the first that suits is the first of the heads
whose line suits, and nobody looks behind the head of a line that does not.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec
from sortedcontainers import SortedList

from src.router.model import Weights

Entry = tuple[Any, ...]
"""What is ordered: the parts of the key, the id, and the line. The id decides ties, so lines are never compared."""

Sorted = Any
"""A list while it is short, a `SortedList` once it is not: most lines are short, and a list is smaller and quicker."""

SHORT_MAX: Final = 1_000
WALK_UNREMEMBERED_MAX: Final = 32
"""A walk over more heads than this that do not suit leaves a bookmark behind."""
LATE_MAX: Final = 4_096
"""So many heads that came in front of a bookmark are kept; with one more all bookmarks are void."""

T = TypeVar("T")


def insert(items: Sorted, entry: Entry) -> Sorted:
    """Put an entry in its place. Gives what holds the entries from now on."""
    if type(items) is not list:
        items.add(entry)
        return items
    if not items or items[-1] < entry:
        items.append(entry)
    else:
        insort(items, entry)
    return items if len(items) <= SHORT_MAX else SortedList(items)


def delete(items: Sorted, entry: Entry) -> None:
    """Take out an entry that is there."""
    if type(items) is list:
        del items[bisect_left(items, entry)]
    else:
        items.remove(entry)


def since(items: Sorted, entry: Entry | None) -> Iterator[Entry]:
    """The entries that are not before this one; all where there is none."""
    if entry is None:
        return iter(items)
    if type(items) is list:
        return islice(items, bisect_left(items, entry), None)
    return iter(items.irange(entry))


class Line(Generic[T]):
    """Things of one kind, in order. `owner` says of which kind."""

    __slots__ = ("members", "owner")

    def __init__(self, owner: T) -> None:
        self.owner = owner
        self.members: Sorted = []


class Bookmark(msgspec.Struct, frozen=True):
    """How far a walk got before it met the first line that suits: none before `entry` does, but for those in `late`."""

    edition: object
    late: int
    entry: Entry


class Heads(Generic[T]):
    """The first of each line, in order.

    A walk that has to pass many heads that do not suit leaves a bookmark, and the next walk for the same begins there:
    so each head is passed once by each asker, not once by each question. Whether a line suits an asker must never
    change. A line that lost its head stands further back and needs no care; heads of new lines are noted if they come
    in front of a bookmark.
    """

    def __init__(self) -> None:
        self.entries: Sorted = []
        self.steps = 0
        self._far: Entry | None = None
        self._late: list[Entry] = []
        self._edition = object()

    def add(self, entry: Entry) -> None:
        """Put an entry into its line."""
        line: Line[T] = entry[-1]
        if line.members:
            first = line.members[0]
            line.members = insert(line.members, entry)
            if line.members[0] is first:
                return
            delete(self.entries, first)
        else:
            line.members = insert(line.members, entry)
        self.entries = insert(self.entries, entry)
        if self._far is not None and entry < self._far:
            self._note(entry)

    def remove(self, entry: Entry) -> None:
        """Take an entry out of its line."""
        line: Line[T] = entry[-1]
        is_head = line.members[0] is entry
        delete(line.members, entry)
        if is_head:
            delete(self.entries, entry)
            if line.members:
                self.entries = insert(self.entries, line.members[0])

    def walk(
        self, suits: Callable[[T], bool], bookmarks: dict[Any, Bookmark] | None = None, asker: object = None
    ) -> Iterator[Entry]:
        """The heads of the lines that suit, first ones first. The asker keeps the `bookmarks`."""
        start, passed = None, 0
        if bookmarks is not None and asker in bookmarks:
            start, passed = self._reopen(bookmarks[asker], suits)
        for entry in since(self.entries, start):
            if suits(entry[-1].owner):
                if bookmarks is not None and passed > WALK_UNREMEMBERED_MAX:
                    bookmarks[asker] = self._bookmark(entry[:-1])
                bookmarks = None
                yield entry
            passed += 1
            self.steps += 1

    def _reopen(self, bookmark: Bookmark, suits: Callable[[T], bool]) -> tuple[Entry | None, int]:
        """Where a walk may begin, and how many heads were looked at to know."""
        if bookmark.edition is not self._edition:
            return None, 0
        late = self._late[bookmark.late :]
        self.steps += len(late)
        return min((each[:-1] for each in late if suits(each[-1].owner)), default=bookmark.entry), len(late)

    def _bookmark(self, entry: Entry) -> Bookmark:
        if self._far is None or self._far < entry:
            self._far = entry
        return Bookmark(self._edition, len(self._late), entry)

    def _note(self, entry: Entry) -> None:
        self._late.append(entry)
        if len(self._late) > LATE_MAX:
            self._edition = object()
            self._late.clear()
            self._far = None


def first(heads: Iterable[Entry], count: int, is_barred: Callable[[str], bool]) -> list[Entry]:
    """The first `count` entries that are not barred of the lines that begin with these heads, which come in order."""
    found: list[Entry] = []
    for head in heads:
        if len(found) == count and found[-1] < head:
            break
        for entry in head[-1].members:
            if is_barred(entry[-2]):
                continue
            if len(found) == count:
                if found[-1] < entry:
                    break
                found.pop()
            insort(found, entry)
    return found


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What changes of an agent from moment to moment and decides who comes first.

    `idle_since` and `turn_at` (when it was last offered something) in milliseconds, `load` in per mille of its
    capacity.
    """

    idle_since: int = 0
    turn_at: int = 0
    load: int = 0


def cost_of(weights: Weights, standing: Standing) -> float:
    """What an agent's standing takes from its value in a mix, up to a constant: smaller goes first.

    Time passes for all alike, so that no clock is needed to compare who has been idle for longer.
    """
    idle_and_turn = weights.idle * standing.idle_since + weights.turn * standing.turn_at
    return idle_and_turn / 60_000 + weights.load * standing.load / 10


def value_of(weights: Weights, cost: float, mastery: int, asked: int) -> float:
    """The value in a mix of an agent with this cost, whose levels in so many asked skills add up to `mastery`."""
    return (weights.skill * mastery / asked if asked else 0.0) - cost


Key = Callable[[Standing], tuple[Any, ...]]

_KEYS: Final[dict[str, Key]] = {
    "longest_idle": lambda standing: (standing.idle_since,),
    "best_skilled": lambda standing: (standing.idle_since,),
    "round_robin": lambda standing: (standing.turn_at,),
    "least_loaded": lambda standing: (standing.load, standing.idle_since),
    "present": lambda standing: (standing.load, standing.idle_since),
}


def key_of(distribution: str, weights: Weights | None) -> Key:
    """What goes first among agents of the same merit by a distribution: the smaller key, then the smaller id."""
    if weights is None:
        return _KEYS[distribution]
    return lambda standing: (cost_of(weights, standing),)


class Ranking(Generic[T]):
    """Agents in one order, in a line for each group: those that have room; with `all_present` the busy as well."""

    def __init__(self, name: object, key: Key, *, all_present: bool = False) -> None:
        self.name = name
        self.all_present = all_present
        self.heads: Heads[T] = Heads()
        self.lines: dict[T, Line[T]] = {}
        self._key = key
        self._entries: dict[str, Entry] = {}

    def put(self, agent_id: str, group: T, standing: Standing) -> None:
        """Say where an agent stands; it is taken out of where it stood."""
        key = self._key(standing)
        old = self._entries.get(agent_id)
        if old is not None:
            if old[-1].owner is group and old[:-2] == key:
                return
            self.remove(agent_id)
        line = self.lines.get(group)
        if line is None:
            line = self.lines[group] = Line(group)
        self._entries[agent_id] = entry = (*key, agent_id, line)
        self.heads.add(entry)

    def remove(self, agent_id: str) -> None:
        """Take an agent out, if it is there."""
        entry = self._entries.pop(agent_id, None)
        if entry is not None:
            self.heads.remove(entry)
            if not entry[-1].members:
                del self.lines[entry[-1].owner]
