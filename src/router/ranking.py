"""The orders that free agents stand in: one for each way in which queues distribute their contacts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from src.router.answers import Standing
from src.router.lines import PAGE_BITS, Heads, Line
from src.router.model import Weights
from src.router.native import mypyc_attr

if TYPE_CHECKING:
    from src.router.ordered import Entry

T = TypeVar("T")


def cost_of(weights: Weights, standing: Standing) -> float:
    """What an agent's standing takes from its value in a mix, up to a constant: smaller goes first.

    Time passes for all alike, so that no clock is needed to compare who has been idle for longer.
    """
    idle_and_turn = weights.idle * standing.idle_since + weights.turn * standing.turn_at
    return idle_and_turn / 60_000 + weights.load * standing.load / 10


def value_of(weights: Weights, cost: float, mastery: int, asked: int) -> float:
    """The value in a mix of an agent with this cost, whose levels in so many asked skills add up to `mastery`."""
    return (weights.skill * mastery / asked if asked else 0.0) - cost


def told_of(weights: Weights, value: float, now: int) -> float:
    """A value in a mix as people read it: minutes, percent of free capacity and levels, each times its weight."""
    return round(value + (weights.idle + weights.turn) * now / 60_000 + weights.load * 100, 2)


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


@mypyc_attr(acyclic=True)
class Ranked:
    """An agent that stands in orders; `entry` is where it does in that of nearly all queues, `longest_idle`."""

    __slots__ = ("entry",)

    def __init__(self) -> None:
        self.entry: Entry | None = None


class _GroupLine(Line[T]):
    """A group's line in an order, and the `table` that gives its head."""

    __slots__ = ("table",)

    def __init__(self, owner: T, number: int, kind: object, table: "list[Entry | None]") -> None:
        super().__init__(owner, number, kind)
        self.table = table


class Ranking(Generic[T]):
    """Agents in one order, in a line for each group: those that have room; with `all_present` the busy as well.

    `tables` give the head of each line by its kind, page and place on the page. A line stays when nobody stands in it:
    with few agents of a profile, they leave and come back all the time.
    """

    def __init__(self, name: object, key: Key, *, all_present: bool = False) -> None:
        self.name = name
        self.all_present = all_present
        self.heads: Heads[T] = Heads()
        self.lines: dict[T, _GroupLine[T]] = {}
        self.tables: dict[tuple[object, int], list[Entry | None]] = {}
        self.key = key
        self.by_idle: Final = name == "longest_idle"
        self._entries: dict[str, Entry] = {}

    def put(self, agent_id: str, ranked: Ranked, standing: Standing, group: T, number: int, kind: object) -> None:
        """Say where an agent stands; it is taken out of where it stood."""
        by_idle, idle_since = self.by_idle, standing.idle_since
        key = () if by_idle else self.key(standing)
        old = ranked.entry if by_idle else self._entries.get(agent_id)
        if old is not None:
            if old[-1].owner is group and (old[0] == idle_since if by_idle else old[:-2] == key):
                return
            self.remove(agent_id, ranked)
        line = self.lines.get(group)
        if line is None:
            line = self.lines[group] = _GroupLine(group, number, kind, self._table(kind, number >> PAGE_BITS))
        entry: Entry = (idle_since, agent_id, line) if by_idle else (*key, agent_id, line)
        if by_idle:
            ranked.entry = entry  # the same one as in the line: compiled, `a = b = (…)` would make two
        else:
            self._entries[agent_id] = entry
        if self.heads.add(entry):
            _tabulate(line)

    def remove(self, agent_id: str, ranked: Ranked) -> None:
        """Take an agent out, if it is there."""
        entry = ranked.entry if self.by_idle else self._entries.get(agent_id)
        if entry is not None:
            if self.by_idle:
                ranked.entry = None
            else:
                del self._entries[agent_id]
            line: _GroupLine[T] = entry[-1]
            if self.heads.remove(entry):
                _tabulate(line)

    def forget(self, group: T) -> None:
        """A group in which nobody stands is gone for good."""
        self.lines.pop(group, None)

    def _table(self, kind: object, page: int) -> "list[Entry | None]":
        table = self.tables.get((kind, page))
        if table is None:
            table = self.tables[(kind, page)] = []
        return table


def _tabulate(line: _GroupLine[Any]) -> None:
    """Keep the head of a line."""
    table, place = line.table, line.number & (1 << PAGE_BITS) - 1
    if place >= len(table):
        table.extend([None] * (place + 1 - len(table)))
    table[place] = line.members[0] if line.members else None
