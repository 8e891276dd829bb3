"""What every body is made of: names, texts, numbers and times, each with its bounds."""

import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from src.dispatch.config import milliseconds

TEXT_CHARS_MAX: Final = 20_000
ATTRIBUTES_DEPTH_MAX: Final = 8
PRIORITY_S_MAX: Final = 10_000_000
WEEK_S: Final = 604_800
YEAR_S: Final = 31_622_400
_INT_MAX: Final = 2**53


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain NUL")
    return value


def plain_json(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  # any JSON value
    """Refuse what JSON, or what keeps it, cannot hold: NUL, NaN, half characters, numbers without end, deep nesting."""
    if depth > ATTRIBUTES_DEPTH_MAX:
        raise ValueError(f"must not be nested deeper than {ATTRIBUTES_DEPTH_MAX}")
    if isinstance(value, str):
        _no_nul(value)
        value.encode()
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    elif isinstance(value, int) and abs(value) > _INT_MAX:
        raise ValueError("must be an integer that JSON readers agree on")
    elif isinstance(value, dict):
        for key, each in value.items():
            plain_json(key, depth)
            plain_json(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            plain_json(each, depth + 1)
    return value


def _moment(value: str) -> str:
    milliseconds(value)
    return value


NAME_PATTERN: Final = r"^[^\s/\x00-\x1f\x7f]([^/\x00-\x1f\x7f]{0,126}[^\s/\x00-\x1f\x7f])?$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=128)]
"""The name of a tag, skill, queue, team, agent: no slash, no control character, no space at either end."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""An id that this service gave."""

Moment = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_moment),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A time as RFC 3339, with its offset, from 1970 to 9999."""

ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Account = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,128}$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX), AfterValidator(_no_nul)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_nul)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$")]
Level = Annotated[int, Field(ge=1, le=100)]
Percent = Annotated[int, Field(ge=0, le=100)]
Attributes = Annotated[dict[str, Any], Field(max_length=100), AfterValidator(plain_json)]
Values = Annotated[list[Any], Field(max_length=100), AfterValidator(plain_json)]
"""Values of an attribute that are looked for: any JSON."""

PrioritySeconds = Annotated[int, Field(ge=-PRIORITY_S_MAX, le=PRIORITY_S_MAX)]
WaitSeconds = Annotated[int, Field(ge=0, le=WEEK_S)]
LongSeconds = Annotated[int, Field(ge=1, le=YEAR_S)]
Teams = Annotated[list[Name], Field(max_length=50)]


class Body(BaseModel):
    """What every body shares."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ReasonBody(Body):
    """Why it is done.

    Of a contact it goes with its customer. Of an agent or a queue it stays in the journal, and must name no customer.
    """

    reason: Short | None = None


class ChoiceBody(Body):
    """Only these, where any are included; and none of those that are excluded."""

    include: Annotated[list[Name], Field(max_length=100)] = []
    exclude: Annotated[list[Name], Field(max_length=100)] = []


class DeadlinesBody(Body):
    """Deadlines in seconds; null: there is none.

    `feedback_s` runs from the request to the first answer, `progress_s` from one word to the next (of the helper, and
    of the lead), `solution_s` from acceptance to the solution.
    """

    progress_s: LongSeconds | None = None
    feedback_s: LongSeconds | None = None
    solution_s: LongSeconds | None = None
