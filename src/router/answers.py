"""What the index is told of agents and contacts, and what it answers: values."""

from typing import Final, NamedTuple

from src.router.native import mypyc_attr

ContactKey = tuple[int, str]
"""Rank and id of a waiting contact: the smaller goes first."""

Exclusion = tuple[str, int, str | None]
"""A reason's code, how many agents it keeps away, and one of them."""


@mypyc_attr(acyclic=True)
class Standing:
    """What changes of an agent from moment to moment and decides who comes first.

    `idle_since` and `turn_at` (when it was last offered something) in milliseconds, `load` in per mille of its
    capacity.
    """

    __slots__ = ("idle_since", "load", "turn_at")

    def __init__(self, idle_since: int = 0, turn_at: int = 0, load: int = 0) -> None:
        self.idle_since: Final = idle_since
        self.turn_at: Final = turn_at
        self.load: Final = load

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Standing)
            and self.idle_since == other.idle_since
            and self.turn_at == other.turn_at
            and self.load == other.load
        )

    def __hash__(self) -> int:
        return hash((self.idle_since, self.turn_at, self.load))


@mypyc_attr(acyclic=True)
class Candidate:
    """A free agent that fits. `value` is what a mix of weights made of it."""

    __slots__ = ("agent_id", "score", "standing", "value")

    def __init__(self, agent_id: str, score: int, standing: Standing, value: float | None = None) -> None:
        self.agent_id: Final = agent_id
        self.score: Final = score
        self.standing: Final = standing
        self.value: Final = value

    @property
    def idle_since(self) -> int:
        """When it last had something to do, milliseconds since the epoch."""
        return self.standing.idle_since


class Reach(NamedTuple):
    """Whether anyone fits whatever its presence, and whether anyone present does whatever its load.

    Whose connection has just broken off is present until it counts as gone.
    """

    anyone: bool
    present: bool


NOBODY_FITS: Final = Reach(anyone=False, present=False)
NOBODY_PRESENT: Final = Reach(anyone=True, present=False)
SOMEBODY_PRESENT: Final = Reach(anyone=True, present=True)


@mypyc_attr(acyclic=True)
class Excluded:
    """Who is no candidate, by reason, and how many questions ago most of them were counted."""

    __slots__ = ("age", "reasons")

    def __init__(self, reasons: tuple[Exclusion, ...], age: int = 0) -> None:
        self.reasons: Final = reasons
        self.age: Final = age
