"""Who comes first: lines of agents or contacts that are alike, in order, and the heads of all lines in order.

Whoever may take one member of a line may take all. So the first that suits is the first of the heads whose line suits,
and nobody looks behind the head of a line that does not.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from src.router.ordered import BLOCK_MAX, Entry, Sorted, delete, insert

PAGE_BITS: Final = 12
"""Sets of lines are kept in pages of 2 ** 12, so that their ints stay short: changing one bit costs a copy."""

WALK_UNREMEMBERED_MAX: Final = 32
"""A walk over more heads than this that do not suit leaves a bookmark behind."""
MILESTONE_AFTER: Final = 32
"""A walk yields a milestone where it passed more heads than this since the last that it yielded."""
LATE_MAX: Final = 4_096
"""So many heads that came in front of a bookmark are kept; with one more all bookmarks are void."""

T = TypeVar("T")


class Line(Generic[T]):
    """Things that are alike, in order: those of an `owner`, by whose `number` they are asked for, and of a `kind`."""

    __slots__ = ("kind", "members", "number", "owner")

    def __init__(self, owner: T, number: int = 0, kind: object = None) -> None:
        self.owner = owner
        self.number = number
        self.kind = kind
        self.members: Sorted = []


NOBODY: Final[Line[None]] = Line(None)
"""The line of a milestone: a walk yields it where it has passed many heads that do not suit."""


class Bookmark:
    """How far a walk got before it met the first line that suits: none before `entry` does, but for those in `late`."""

    __slots__ = ("edition", "entry", "late")

    def __init__(self, edition: object, late: int, entry: Entry) -> None:
        self.edition = edition
        self.late = late
        self.entry = entry


class Wanted:
    """Which lines suit: those whose number is in the set of its page, and whose kind is one of `kinds` (None: any).

    Whether a line suits an asker must never change. The asker keeps its `bookmarks`, by `purpose` if it has several.
    """

    __slots__ = ("bookmarks", "kinds", "purpose", "sets")

    def __init__(
        self,
        sets: dict[int, int],
        kinds: Container[object] | None = None,
        bookmarks: dict[Any, Bookmark] | None = None,
        purpose: object = None,
    ) -> None:
        self.sets = sets
        self.kinds = kinds
        self.bookmarks = bookmarks
        self.purpose = purpose

    def suits(self, line: Line[Any]) -> bool:
        """Whether this line does."""
        in_set = self.sets.get(line.number >> PAGE_BITS, 0) >> (line.number & (1 << PAGE_BITS) - 1) & 1
        return bool(in_set) and (self.kinds is None or line.kind in self.kinds)


class _Block:
    """Some heads that stand together, and the numbers of their lines: these lie side by side in memory.

    To pass a head by its number costs a tenth of what it costs to look at the head and its line where there are many.
    """

    __slots__ = ("entries", "numbers")

    def __init__(self, entries: list[Entry], numbers: "array[int]") -> None:
        self.entries = entries
        self.numbers = numbers


class Heads(Generic[T]):
    """The first of each line, in order.

    A walk that has to pass many heads that do not suit leaves a bookmark, and the next walk for the same begins there:
    so each head is passed once by each asker, not once by each question. A line that lost its head stands further back
    and needs no care; heads of new lines are noted if they come in front of a bookmark.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._size = 0
        self._blocks = [_Block([], array("L"))]
        self._lasts: list[Entry] = []  # what each block but the last one goes up to, without a line
        self._far: Entry | None = None
        self._late: list[Entry] = []
        self._edition = object()

    def __len__(self) -> int:
        return self._size

    def add(self, entry: Entry) -> bool:
        """Put an entry into its line; true if it is the head now."""
        line: Line[T] = entry[-1]
        head = line.members[0] if line.members else None
        line.members = insert(line.members, entry)
        if head is not None:
            if head < entry:
                return False
            self._take_out(head)
        self._put_in(entry)
        if self._far is not None and entry < self._far:
            self._note(entry)
        return True

    def remove(self, entry: Entry) -> bool:
        """Take an entry out of its line; true if it was the head."""
        members = entry[-1].members
        if members[0] is not entry:
            delete(members, entry)
            return False
        if type(members) is list:
            del members[0]
        else:
            members.remove(entry)
        self._take_out(entry)
        if members:
            self._put_in(members[0])
        return True

    def _put_in(self, entry: Entry) -> None:
        self._size += 1
        at = self._at(entry)
        block = self._blocks[at]
        entries, numbers = block.entries, block.numbers
        if not entries or entries[-1] < entry:
            entries.append(entry)
            numbers.append(entry[-1].number)
        else:
            i = bisect_left(entries, entry)
            entries.insert(i, entry)
            numbers.insert(i, entry[-1].number)
        if len(entries) > BLOCK_MAX:
            half = len(entries) // 2
            self._blocks.insert(at + 1, _Block(entries[half:], numbers[half:]))
            self._lasts.insert(at, entries[half - 1][:-1])
            del entries[half:], numbers[half:]

    def _take_out(self, entry: Entry) -> None:
        self._size -= 1
        at = self._at(entry)
        block = self._blocks[at]
        i = bisect_left(block.entries, entry)
        del block.entries[i], block.numbers[i]
        if not block.entries and self._lasts:
            del self._blocks[at], self._lasts[min(at, len(self._lasts) - 1)]

    def _at(self, entry: Entry) -> int:
        """Which block an entry belongs to."""
        return bisect_left(self._lasts, entry[:-1]) if self._lasts else 0

    def walk(self, wanted: Wanted) -> Iterator[Entry]:
        """The heads of the lines that suit, first ones first, with milestones between them."""
        sets, kinds, bookmarks, mask = wanted.sets, wanted.kinds, wanted.bookmarks, (1 << PAGE_BITS) - 1
        start, passed, counted = None, 0, 0
        if bookmarks is not None and wanted.purpose in bookmarks:
            start, passed = self._reopen(bookmarks[wanted.purpose], wanted)
        first_block, begin = self._place(start)
        for block in islice(self._blocks, first_block, None):
            for i, number in enumerate(islice(block.numbers, begin, None) if begin else block.numbers, begin):
                passed += 1
                if sets.get(number >> PAGE_BITS, 0) >> (number & mask) & 1:
                    entry = block.entries[i]
                    if kinds is None or entry[-1].kind in kinds:
                        if bookmarks is not None and passed > WALK_UNREMEMBERED_MAX:
                            bookmarks[wanted.purpose] = self._bookmark(entry[:-1])
                        bookmarks = None
                        self.steps += passed - counted
                        counted = passed
                        yield entry
                        continue
                if passed - counted > MILESTONE_AFTER:
                    self.steps += passed - counted
                    counted = passed
                    yield (*block.entries[i][:-1], NOBODY)
            begin = 0

    def _place(self, entry: Entry | None) -> tuple[int, int]:
        """The block and the place in it of the first entry that is not before this one."""
        if entry is None:
            return 0, 0
        at = bisect_left(self._lasts, entry)
        return at, bisect_left(self._blocks[at].entries, entry)

    def _reopen(self, bookmark: Bookmark, wanted: Wanted) -> tuple[Entry | None, int]:
        """Where a walk may begin, and how many heads were looked at to know."""
        if bookmark.edition is not self._edition:
            return None, 0
        late = self._late[bookmark.late :]
        return min([bookmark.entry, *(each[:-1] for each in late if wanted.suits(each[-1]))]), len(late)

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


def first(
    heads: Iterable[Entry], count: int, is_barred: Callable[[str], bool], sure: int | None = None
) -> tuple[list[Entry], bool]:
    """The first `count` entries that are not barred of the lines that begin with these heads, which come in order.

    With `sure`, so many are enough where further ones are not near: then it is true that it gave up.
    """
    found: list[Entry] = []
    lines: list[Line[Any]] = []
    end: Entry | None = None
    for head in heads:
        line = head[-1]
        if line is NOBODY:
            if sure is not None and len(found) >= sure:
                end = head
                break
            continue
        lines.append(line)
        if not is_barred(head[-2]):
            found.append(head)
            if len(found) == count:
                break
    for line in lines:
        members = line.members
        if len(members) > 1 and not (len(found) == count and found[-1] < members[1]):
            _fill_up(found, members, count, is_barred, end)
    return found, end is not None


def _fill_up(
    found: list[Entry], members: Sorted, count: int, is_barred: Callable[[str], bool], end: Entry | None
) -> None:
    """Find a place among the first ones for members of a line that stand behind its head, but in front of `end`."""
    for entry in islice(members, 1, None):
        if (found[-1] < entry) if len(found) == count else (end is not None and end < entry):
            break
        if not is_barred(entry[-2]):
            insort(found, entry)
            del found[count:]
