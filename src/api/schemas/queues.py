"""Bodies about queues: how contacts wait, whom they are offered to, and what becomes of those that wait too long."""

import re
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from src.api.schemas.base import (
    WEEK_S,
    Body,
    Level,
    LongSeconds,
    Name,
    PrioritySeconds,
    Short,
    Teams,
    Text,
    WaitSeconds,
)
from src.dispatch.config import minutes

CALLBACK_S: Final = 3600

RESPONSIBLE_MAX: Final = 20
"""So many agents are told of one alarm: each by an event of its own."""

_TagNames = Annotated[list[Name | Literal["*"]], Field(max_length=50)]


def _clock(value: str) -> str:
    minutes(value)
    return value


def _day(value: str) -> str:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is None:
        raise ValueError("must be a date such as 2026-10-01")
    date.fromisoformat(value)
    return value


ClockTime = Annotated[str, StringConstraints(max_length=5), AfterValidator(_clock)]
"""A time of day, `00:00` to `24:00`."""

Spans = Annotated[list[Annotated[list[ClockTime], Field(min_length=2, max_length=2)]], Field(max_length=10)]
"""From, up to; one that ends before it begins goes over midnight."""

Day = Annotated[str, AfterValidator(_day), Field(json_schema_extra={"format": "date"})]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")]
"""A time zone of the IANA database, such as `Asia/Shanghai`."""


class ServiceLevel(Body):
    """Answered within so many seconds, for so many of a hundred contacts."""

    within_s: Annotated[int, Field(ge=1, le=WEEK_S)] = 30
    percent: Annotated[int, Field(ge=1, le=100)] = 95


Weight = Annotated[float, Field(ge=0, le=1000, strict=False, allow_inf_nan=False)]


class WeightsBody(Body):
    """The mix of the distribution `weighted`.

    One minute idle, one minute since the last offer (`turn`), one percent of free capacity (`load`) and one level of
    skill each count 1, times its weight.
    """

    idle: Weight = 1.0
    turn: Weight = 0.0
    load: Weight = 0.0
    skill: Weight = 0.0


class AlarmBody(Body):
    """A mark on a contact for people, once under its name. The agents who are responsible are told, whoever has it."""

    name: Name
    level: Literal["info", "warning", "critical"] = "warning"
    responsible: Annotated[list[Name], Field(max_length=RESPONSIBLE_MAX)] = []


class StepBody(Body):
    """One stage of a queue's relaxation, `after_s` seconds after a contact came to the queue. Steps add up.

    Requirements of the tags in `drop` go (`*`: all), those in `prefer` count for the score only, those in `lower` ask
    for this level at most. `any_language` drops the language, `any_team` the queue's teams; `add_teams` lets further
    teams take it; `priority` adds seconds of head start; `alarm` is raised. Where nobody who is there could fit, a
    step comes at once.
    """

    after_s: WaitSeconds
    drop: _TagNames = []
    prefer: _TagNames = []
    lower: Annotated[dict[Name | Literal["*"], Level], Field(max_length=50)] = {}
    any_language: bool = False
    any_team: bool = False
    add_teams: Teams = []
    priority: PrioritySeconds = 0
    alarm: AlarmBody | None = None


class OverflowToQueue(Body):
    """The contact goes to another queue."""

    action: Literal["queue"]
    queue: Name


class OverflowToTeams(Body):
    """These teams may take the contact too."""

    action: Literal["teams"]
    teams: Annotated[Teams, Field(min_length=1)]


class OverflowToCallback(Body):
    """The customer is told `message`; the contact comes back later, or when the queue opens."""

    action: Literal["callback"]
    message: Text = ""
    callback_after_s: LongSeconds = CALLBACK_S


class OverflowToClose(Body):
    """The customer is told `message`, and the contact ends for this reason."""

    action: Literal["close"]
    reason: Short = "overflowed"
    message: Text = ""


OverflowBody = Annotated[
    OverflowToQueue | OverflowToTeams | OverflowToCallback | OverflowToClose, Field(discriminator="action")
]
"""What becomes of a contact that a queue does not keep."""


class HoursBody(Body):
    """When a queue is open, by the wall clock of `time_zone`. A weekday that is missing is closed.

    `dates` take the place of their weekday; an empty list: closed all day. `closed` is done with contacts that come, or
    still wait, when it is closed; null: they wait until it opens.
    """

    time_zone: TimeZone
    days: dict[Weekday, Spans] = {}
    dates: Annotated[dict[Day, Spans], Field(max_length=1000)] = {}
    closed: OverflowBody | None = None


class BreatherBody(Body):
    """A contact with one of these tags adds so many seconds to the wrap-up."""

    tags: Annotated[list[Name], Field(min_length=1, max_length=50)]
    seconds: Annotated[int, Field(ge=1, le=3_600)]


class QueueBody(Body):
    """A routing policy. `teams` limits who may take its contacts; none: skills alone decide.

    Offers go to `offer_to` agents at once, the first to accept has the contact; `auto_accept` needs no answer. An agent
    that did not take one is not asked again for `reoffer_after_s` (null: the tenant's), and `asks_max` times at most.
    The dedicated agent, and one that a rule names, is waited for `dedicated_wait_s` while it is there, the last one
    `last_agent_wait_s` (null: not at all), the owner of a parked contact `owner_wait_s`. At most `max_length` contacts
    wait, `max_wait_s` each: beyond that `overflow` is done. `split`: a contact that nobody covers alone gets a lead and
    help for the rest. `required_fields` must be given at completion.
    """

    service_level: ServiceLevel = ServiceLevel()
    offer_timeout_s: Annotated[int, Field(ge=1, le=3_600)] = 20
    wrap_up_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    reoffer_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    teams: Teams = []
    distribution: Literal["longest_idle", "least_loaded", "best_skilled", "round_robin", "weighted"] = "longest_idle"
    weights: WeightsBody | None = None
    steps: Annotated[list[StepBody], Field(max_length=20)] = []
    max_length: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    max_wait_s: Annotated[int, Field(ge=1, le=WEEK_S)] | None = None
    overflow: OverflowBody | None = None
    hours: HoursBody | None = None
    paused: bool = False
    auto_accept: bool = False
    asks_max: Annotated[int, Field(ge=1, le=100)] | None = None
    offer_to: Annotated[int, Field(ge=1, le=20)] = 1
    dedicated_wait_s: WaitSeconds = 60
    last_agent_wait_s: WaitSeconds | None = None
    owner_wait_s: WaitSeconds = 120
    split: bool = True
    required_fields: Annotated[list[Name], Field(max_length=50)] = []
    breather: BreatherBody | None = None
