"""Who comes first: lines of agents or contacts that are alike, in order, and the heads of all lines in order.

Whoever may take one member of a line may take all. So the first that suits is the first of the heads whose line suits,
and nobody looks behind the head of a line that does not.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from src.router.native import mypyc_attr
from src.router.ordered import BLOCK_MAX, Entry, Sorted, delete, head_of, insert

PAGE_BITS: Final = 12
"""Sets of lines are kept in pages of 2 ** 12, so that their ints stay short: changing one bit costs a copy."""

_NO_BITS: Final = bytes((1 << PAGE_BITS) // 8)

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


@mypyc_attr(acyclic=True)
class Bookmark:
    """How far a walk got before it met the first line that suits: none before `entry` does, but for those in `late`."""

    __slots__ = ("edition", "entry", "late")

    def __init__(self, edition: object, late: int, entry: Entry) -> None:
        self.edition = edition
        self.late = late
        self.entry = entry


@mypyc_attr(acyclic=True)
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

    def bits(self, page: int) -> bytes:
        """The set of a page, bit by bit from the lowest: to look at one costs no arithmetic on long ints."""
        things = self.sets.get(page, 0)
        return things.to_bytes((1 << PAGE_BITS) + 7 >> 3, "little") if things else _NO_BITS


class _Block:
    """Some heads that stand together, and the numbers of their lines: to pass a head, no more is read."""

    __slots__ = ("entries", "numbers")

    def __init__(self, entries: list[Entry], numbers: list[int]) -> None:
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
        self._blocks = [_Block([], [])]
        self._lasts: list[Entry] = []  # what each block but the last one goes up to, without a line
        self._far: Entry | None = None
        self._late: list[Entry] = []
        self._edition = object()

    def __len__(self) -> int:
        return self._size

    def add(self, entry: Entry) -> bool:
        """Put an entry into its line; true if it is the head now."""
        line: Line[T] = entry[-1]
        head = head_of(line.members) if line.members else None
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
        if head_of(members) is not entry:
            delete(members, entry)
            return False
        if type(members) is list:
            del members[0]
        else:
            members.remove(entry)
        self._take_out(entry)
        if members:
            self._put_in(head_of(members))
        return True

    def _put_in(self, entry: Entry) -> None:
        self._size += 1
        at = self._at(entry)
        block = self._blocks[at]
        entries, numbers = block.entries, block.numbers
        line: Line[T] = entry[-1]
        if not entries or entries[-1] < entry:
            entries.append(entry)
            numbers.append(line.number)
        else:
            i = bisect_left(entries, entry)
            entries.insert(i, entry)
            numbers.insert(i, line.number)
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

    def walk(self, wanted: Wanted) -> "Walk":
        """The heads of the lines that suit, first ones first, with milestones between them."""
        return Walk(self, wanted)

    def block(self, at: int) -> _Block | None:
        """The heads that stand together as the block of this number, if there is one."""
        return self._blocks[at] if at < len(self._blocks) else None

    def place(self, entry: Entry) -> tuple[int, int]:
        """The block and the place in it of the first entry that is not before this one."""
        at = bisect_left(self._lasts, entry)
        return at, bisect_left(self._blocks[at].entries, entry)

    def reopen(self, bookmark: Bookmark, wanted: Wanted) -> tuple[Entry | None, int]:
        """Where a walk may begin, and how many heads were looked at to know."""
        if bookmark.edition is not self._edition:
            return None, 0
        late = self._late[bookmark.late :]
        return min([bookmark.entry, *(each[:-1] for each in late if wanted.suits(each[-1]))]), len(late)

    def bookmark(self, entry: Entry) -> Bookmark:
        """A mark at an entry, before which no line suits."""
        if self._far is None or self._far < entry:
            self._far = entry
        return Bookmark(self._edition, len(self._late), entry)

    def _note(self, entry: Entry) -> None:
        self._late.append(entry)
        if len(self._late) > LATE_MAX:
            self._edition = object()
            self._late.clear()
            self._far = None


class Walk:
    """One walk along the heads. Nothing may change them before it is over.

    It is a class and no generator, because whoever walks passes many heads for each that suits: here that takes a few
    steps of the machine once it is compiled.
    """

    __slots__ = ("_at", "_bits", "_block", "_bookmarks", "_counted", "_heads", "_i", "_page", "_passed", "_wanted")

    def __init__(self, heads: Heads[Any], wanted: Wanted) -> None:
        self._heads = heads
        self._wanted = wanted
        self._bookmarks = wanted.bookmarks
        self._passed = self._counted = 0
        self._at = self._i = 0
        self._page, self._bits = -1, _NO_BITS
        if self._bookmarks is not None and wanted.purpose in self._bookmarks:
            start, self._passed = heads.reopen(self._bookmarks[wanted.purpose], wanted)
            if start is not None:
                self._at, self._i = heads.place(start)
        self._block: _Block | None = heads.block(self._at)

    def __iter__(self) -> "Walk":
        """Itself."""
        return self

    def __next__(self) -> Entry:
        """The next head that suits, or a milestone."""
        kinds, i, page, bits = self._wanted.kinds, self._i, self._page, self._bits
        mask, milestone = (1 << PAGE_BITS) - 1, MILESTONE_AFTER + self._counted - self._passed + i
        while self._block is not None:
            block, begin = self._block, i
            numbers, size = block.numbers, len(block.numbers)
            while i < size:
                number = numbers[i]
                i += 1
                if number >> PAGE_BITS != page:
                    page = number >> PAGE_BITS
                    bits = self._wanted.bits(page)
                if bits[(number & mask) >> 3] >> (number & mask & 7) & 1:
                    entry = block.entries[i - 1]
                    if kinds is None or entry[-1].kind in kinds:
                        self._stop(i, begin, page, bits)
                        self._remember(entry)
                        return entry
                if i > milestone:
                    self._stop(i, begin, page, bits)
                    return (*block.entries[i - 1][:-1], NOBODY)
            self._passed += i - begin
            milestone -= i
            self._at, i = self._at + 1, 0
            self._block = self._heads.block(self._at)
        raise StopIteration

    def _stop(self, i: int, begin: int, page: int, bits: bytes) -> None:
        """Know where to go on, and how far it has come."""
        self._passed += i - begin
        self._heads.steps += self._passed - self._counted
        self._counted = self._passed
        self._i, self._page, self._bits = i, page, bits

    def _remember(self, entry: Entry) -> None:
        """Leave a bookmark at the first line that suits, where it was far."""
        if self._bookmarks is not None:
            if self._passed > WALK_UNREMEMBERED_MAX:
                self._bookmarks[self._wanted.purpose] = self._heads.bookmark(entry[:-1])
            self._bookmarks = None


def first(
    heads: Iterable[Entry], count: int, is_barred: Callable[[str], bool] | None, sure: int | None = None
) -> tuple[list[Entry], bool]:
    """The first `count` entries that are not barred of the lines that begin with these heads, which come in order.

    `is_barred` None: nobody is.

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
        if is_barred is None or not is_barred(head[-2]):
            found.append(head)
            if len(found) == count:
                break
    for line in lines:
        members = line.members
        if len(members) > 1 and not (len(found) == count and found[-1] < members[1]):
            _fill_up(found, members, count, is_barred, end)
    return found, end is not None


def _fill_up(
    found: list[Entry], members: Sorted, count: int, is_barred: Callable[[str], bool] | None, end: Entry | None
) -> None:
    """Find a place among the first ones for members of a line that stand behind its head, but in front of `end`."""
    for entry in islice(members, 1, None):
        if (found[-1] < entry) if len(found) == count else (end is not None and end < entry):
            break
        if is_barred is None or not is_barred(entry[-2]):
            insort(found, entry)
            del found[count:]
