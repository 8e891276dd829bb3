"""What the index is told of agents and contacts, and what it answers: values."""

import msgspec

ContactKey = tuple[int, str]
"""Rank and id of a waiting contact: the smaller goes first."""

Exclusion = tuple[str, int, str | None]
"""A reason's code, how many agents it keeps away, and one of them."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What changes of an agent from moment to moment and decides who comes first.

    `idle_since` and `turn_at` (when it was last offered something) in milliseconds, `load` in per mille of its
    capacity.
    """

    idle_since: int = 0
    turn_at: int = 0
    load: int = 0


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A free agent that fits. `value` is what a mix of weights made of it."""

    agent_id: str
    score: int
    standing: Standing
    value: float | None = None

    @property
    def idle_since(self) -> int:
        """When it last had something to do, milliseconds since the epoch."""
        return self.standing.idle_since


class Reach(msgspec.Struct, frozen=True, gc=False):
    """Whether anyone fits whatever its presence, and whether anyone available does whatever its load."""

    anyone: bool
    present: bool


class Excluded(msgspec.Struct, frozen=True):
    """Who is no candidate, by reason, and how many questions ago most of them were counted."""

    reasons: tuple[Exclusion, ...]
    age: int = 0
