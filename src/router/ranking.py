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


class Ranking(Generic[T]):
    """Agents in one order, in a line for each group: those that have room; with `all_present` the busy as well.

    `tables` give the head of each line by its kind, page and place on the page.
    """

    def __init__(self, name: object, key: Key, *, all_present: bool = False) -> None:
        self.name = name
        self.all_present = all_present
        self.heads: Heads[T] = Heads()
        self.lines: dict[T, Line[T]] = {}
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
            line = self.lines[group] = Line(group, number, kind)
        entry: Entry = (idle_since, agent_id, line) if by_idle else (*key, agent_id, line)
        if by_idle:
            ranked.entry = entry  # the same one as in the line: compiled, `a = b = (…)` would make two
        else:
            self._entries[agent_id] = entry
        if self.heads.add(entry):
            self._tabulate(line)

    def remove(self, agent_id: str, ranked: Ranked) -> None:
        """Take an agent out, if it is there."""
        entry = ranked.entry if self.by_idle else self._entries.get(agent_id)
        if entry is not None:
            if self.by_idle:
                ranked.entry = None
            else:
                del self._entries[agent_id]
            line: Line[T] = entry[-1]
            if self.heads.remove(entry):
                self._tabulate(line)
                if not line.members:
                    del self.lines[line.owner]

    def _tabulate(self, line: Line[T]) -> None:
        page, place = line.number >> PAGE_BITS, line.number & (1 << PAGE_BITS) - 1
        table = self.tables.get((line.kind, page))
        if table is None:
            table = self.tables[(line.kind, page)] = []
        if place >= len(table):
            table.extend([None] * (place + 1 - len(table)))
        table[place] = line.members[0] if line.members else None
