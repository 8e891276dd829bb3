"""Things in order: in a list while they are few, in blocks once they are many, so that none costs more than a block."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

Entry = tuple[Any, ...]
"""What is ordered: the parts of the key, the id, and the line. The id decides ties, so lines are never compared."""

Sorted = Any
"""A list while it is short, `Blocks` once it is not: most are short, and a list is smaller and quicker."""

SHORT_MAX: Final = 1_000
BLOCK_MAX: Final = 1_024
JOINED_BELOW: Final = 8
"""A block of less than one part in so many of the largest is joined to its neighbour, where that is not large."""


class Blocks:
    """Many entries, first ones first. To count those before an entry costs a look at half of the blocks at most."""

    __slots__ = ("_blocks", "_lasts", "_size")

    def __init__(self, entries: list[Entry]) -> None:
        """`entries` are in order, and at least one."""
        self._size = len(entries)
        half = max(1, BLOCK_MAX // 2)
        self._blocks = [entries[begin : begin + half] for begin in range(0, len(entries), half)]
        self._lasts = [each[-1][:-1] for each in self._blocks[:-1]]  # what each but the last goes up to, without a line

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Entry]:
        for block in self._blocks:
            yield from block

    def head(self) -> Entry:
        """The first entry."""
        return self._blocks[0][0]

    def __getitem__(self, place: int) -> Entry:
        for block in self._blocks:
            if place < len(block):
                return block[place]
            place -= len(block)
        raise IndexError(place)

    def add(self, entry: Entry) -> None:
        """Put an entry in its place."""
        self._size += 1
        at = bisect_left(self._lasts, entry[:-1])
        block = self._blocks[at]
        if not block or block[-1] < entry:
            block.append(entry)
        else:
            insort(block, entry)
        if len(block) > BLOCK_MAX:
            half = len(block) // 2
            self._blocks.insert(at + 1, block[half:])
            self._lasts.insert(at, block[half - 1][:-1])
            del block[half:]

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is there."""
        self._size -= 1
        at, block = 0, self._blocks[0]
        if block[0] is entry:
            del block[0]
        else:
            at = bisect_left(self._lasts, entry[:-1])
            block = self._blocks[at]
            del block[bisect_left(block, entry)]
        if len(block) * JOINED_BELOW < BLOCK_MAX and self._lasts:
            left = min(at, len(self._lasts) - 1)
            if not block or len(self._blocks[left]) + len(self._blocks[left + 1]) <= BLOCK_MAX // 2:
                self._blocks[left] += self._blocks.pop(left + 1)
                del self._lasts[left]

    def before(self, key: Entry) -> int:
        """How many are before this key."""
        blocks, at = self._blocks, bisect_left(self._lasts, key)
        place = bisect_left(blocks[at], key)
        if at * 2 < len(blocks):
            for i in range(at):
                place += len(blocks[i])
            return place
        place += self._size
        for i in range(at, len(blocks)):
            place -= len(blocks[i])
        return place

    def since(self, key: Entry) -> Iterator[Entry]:
        """Those that are not before this key."""
        at = bisect_left(self._lasts, key)
        begin = bisect_left(self._blocks[at], key)
        for block in islice(self._blocks, at, None):
            yield from islice(block, begin, None)
            begin = 0


def insert(items: Sorted, entry: Entry) -> Sorted:
    """Put an entry in its place. Gives what holds the entries from now on."""
    if isinstance(items, Blocks):
        items.add(entry)
        return items
    if not items or items[-1] < entry:
        items.append(entry)
    else:
        insort(items, entry)
    return items if len(items) <= SHORT_MAX else Blocks(items)


def delete(items: Sorted, entry: Entry) -> None:
    """Take out an entry that is there."""
    if isinstance(items, Blocks):
        items.remove(entry)
    else:
        del items[bisect_left(items, entry)]


def head_of(items: Sorted) -> Entry:
    """The first entry; there must be one."""
    return items.head() if isinstance(items, Blocks) else items[0]


def before(items: Sorted, key: Entry) -> int:
    """How many entries are before this key."""
    return items.before(key) if isinstance(items, Blocks) else bisect_left(items, key)


def since(items: Sorted, key: Entry | None) -> Iterator[Entry]:
    """The entries that are not before this key; all where there is none."""
    if key is None:
        return iter(items)
    if isinstance(items, Blocks):
        return items.since(key)
    return islice(items, bisect_left(items, key), None)
