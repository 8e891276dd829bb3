"""Bodies about rosters: who is to work when."""

from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from src.api.schemas.base import Body, Moment, Name
from src.dispatch.config import milliseconds

SHIFTS_MAX: Final = 2_000
SHIFT_HOURS_MAX: Final = 24
_HOUR_MS: Final = 3_600_000


class ShiftBody(Body):
    """An agent works from one time to another, 24 hours at most."""

    agent_id: Name
    from_: Annotated[Moment, Field(alias="from")]
    to: Moment

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not 0 < milliseconds(self.to) - milliseconds(self.from_) <= SHIFT_HOURS_MAX * _HOUR_MS:
            raise ValueError(f"a shift ends after it begins, and lasts at most {SHIFT_HOURS_MAX} hours")
        return self


class RosterBody(Body):
    """Who is to work when: the whole roster of this name. No agent has two shifts at the same time in it."""

    shifts: Annotated[list[ShiftBody], Field(min_length=1, max_length=SHIFTS_MAX)]

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for one, other in pairwise(sorted(self.placed())):
            if one[0] == other[0] and other[1] < one[2]:
                raise ValueError(f"two shifts of agent {one[0]!r} overlap")
        return self

    def placed(self) -> list[tuple[str, int, int]]:
        """Of each shift the agent, and from when to when: milliseconds."""
        return [(each.agent_id, milliseconds(each.from_), milliseconds(each.to)) for each in self.shifts]
