"""What is answered of how things go: health, live counts, pilots compared, decisions and why they were made so."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from src.api.forms.answers import Wait
from src.api.forms.events import Requirement, Terms, Time


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Annotated[str, Meta(extra_json_schema={"const": "ok"})]


class ShareReached(msgspec.Struct, frozen=True, kw_only=True):
    """How many contacts were answered within the last hour in the time that their queues allow."""

    contacts: int
    answered_within: int
    reached_percent: float


class LevelReached(ShareReached, frozen=True, kw_only=True):
    """The same of a queue, beside what it is to reach."""

    within_s: int
    percent: int
    met: bool


class Estimates(msgspec.Struct, frozen=True, kw_only=True):
    """How far off the waits were that were told to those who have left the queue."""

    contacts: int
    within_range: float
    mean_error_s: float
    mean_absolute_error_s: float


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Open contacts by state, and how many seconds the one that has waited longest does."""

    waiting: int
    offered: int
    active: int
    wrap_up: int
    parked: int
    oldest_wait_s: int | None


class GroupNow(Waiting, frozen=True, kw_only=True):
    """How a channel or a tag stands."""

    service_level: ShareReached | None


class QueueNow(Waiting, frozen=True, kw_only=True):
    """How a queue stands."""

    service_level: LevelReached | None
    estimates: Estimates | None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on now. A contact counts with each of its tags. `agents` are by presence."""

    queues: dict[str, QueueNow]
    channels: dict[str, GroupNow]
    tags: dict[str, GroupNow]
    agents: dict[str, int]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of contacts. Waits are in seconds; `answered_within`: within the service level."""

    contacts: int
    answered: int
    answered_within: int
    mean_wait_s: float | None
    median_wait_s: float | None
    abandoned: int
    overflowed: int
    resolved: int
    unresolved: int
    transfers: int
    escalated: int


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of a pilot: in all, and by queue."""

    total: Outcome | None
    queues: dict[str, Outcome]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A pilot's trial beside its control."""

    name: str
    since: Time = msgspec.field(name="from")
    until: Time
    trial: Arm
    control: Arm


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one period, in one group. Means are in seconds, but that of scores; null: there is none.

    Of the contacts that came: waits run from their creation; `answered_within` and `responded_within` (in writing, for
    the first time) are by the service level of the queue. `resolved` is by the word of who had it last, and
    `resolved_first` are those of them that were no repeat; `low_scores` are ratings of 3 or less, of 5. Of the offers
    that were made: `missed` ran out, `mean_held_s` is from acceptance to the end of the work after it. Of the help that
    was asked for: `collaborations_refused` are approvals, `collaborations_unanswered` were closed without an answer.
    """

    since: Time = msgspec.field(name="from")
    until: Time
    group: str | None
    contacts: int
    answered: int
    answered_within: int
    mean_wait_s: float | None
    responded: int
    responded_within: int
    mean_first_response_s: float | None
    abandoned: int
    overflowed: int
    closed: int
    mean_open_s: float | None
    resolved: int
    resolved_first: int
    unresolved: int
    repeats: int
    transferred: int
    escalated: int
    rated: int
    mean_score: float | None
    low_scores: int
    offers: int
    accepted: int
    declined: int
    missed: int
    mean_accept_s: float | None
    mean_held_s: float | None
    collaborations: int
    collaborations_answered: int
    collaborations_refused: int
    collaborations_unanswered: int


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected in an interval, from `weeks` weeks that there is a history of; null: it is not known.

    `contacts` is how many come, on average; `handling_s` how long one is in hand. `needed` agents reach the service
    level; `rostered` are on shift for the whole interval and may take the queue's contacts; `short` are missing.
    """

    since: Time = msgspec.field(name="from")
    until: Time
    weeks: int
    contacts: float | None
    handling_s: float | None
    needed: int | None
    rostered: int | None
    short: int | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of a queue. Weeks are compared by the wall clock of `time_zone`.

    `within_s` and `percent` are the queue's service level. An agent is taken to have `at_once` contacts at a time: the
    mean of those who may take the queue's contacts; null: there is none, or no history.
    """

    queue: str
    time_zone: str
    within_s: int
    percent: int
    at_once: float | None
    intervals: list[Expected]


# -- why -------------------------------------------------------------------------------------------------------------


class Excluded(msgspec.Struct, frozen=True, kw_only=True):
    """So many agents were not candidates for this reason, one of them for example."""

    reason: str
    count: int
    example: str | None


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate. The higher the score, the better it fits; `value` is what a queue's weights made of it."""

    agent_id: str
    score: float
    idle_since: Time | None
    value: float | UnsetType = UNSET


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is preferred, or the only one, and why."""

    agent_id: str
    kind: str | None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The wait that was told, its range, and what it was."""

    told_s: float
    low_s: float
    high_s: float
    waited_s: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about a contact, or what became of one: `offered`, `waiting`, `answered` and so on.

    Each has what belongs to it; what is named here is not all.
    """

    seq: int
    decision: str
    at: Time
    event: str | UnsetType = UNSET
    queue: str | UnsetType = UNSET
    rank: Time | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    step: int | UnsetType = UNSET
    distribution: str | UnsetType = UNSET
    target: Target | UnsetType = UNSET
    pilot: str | UnsetType = UNSET
    rules: list[str] | UnsetType = UNSET
    requirements: list[Requirement] | UnsetType = UNSET
    language: str | UnsetType | None = UNSET
    terms: Terms | UnsetType | None = UNSET
    winner: Ranked | UnsetType | None = UNSET
    runners_up: list[Ranked] | UnsetType = UNSET
    offered_to: list[str] | UnsetType = UNSET
    excluded: list[Excluded] | UnsetType = UNSET
    excluded_age: int | UnsetType = UNSET
    by: str | UnsetType = UNSET
    agent_id: str | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    forced: bool | UnsetType = UNSET
    estimate: Told | UnsetType = UNSET


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Why a contact went where it went, oldest first."""

    contact_id: str
    decisions: list[Decision]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks against an agent: what is wanted, and what it has.

    Of `no_capacity`, `limit` says what is in the way: `units` (too few are left for `cost`), `channel_max` (as many of
    the channel as may be), `excluded` (a contact of a channel that excludes it), `owed` (other work gets its units
    back first).
    """

    code: str
    wanted: Any | UnsetType = UNSET
    has: Any | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    load: int | UnsetType = UNSET
    capacity: int | UnsetType = UNSET
    cost: int | UnsetType | None = UNSET
    limit: Literal["units", "channel_max", "excluded", "owed"] | UnsetType = UNSET
    until: Time | UnsetType = UNSET


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """So many agents are excluded by this reason first."""

    code: str
    count: int


class LookedAt(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, and all reasons against it."""

    agent_id: str
    fits: bool
    reasons: list[Reason]
    score: float
    status: str
    connected: bool
    load: int
    capacity: int
    idle_since: Time | None


class StepAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is still to come: what is asked from then on, and how many could take it."""

    step: int
    after_s: int
    requirements: list[Requirement]
    language: str | None
    terms: Terms | None
    priority: int
    fits: int
    excluded: list[Counted]


class AlarmRaised(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that a rule would raise."""

    name: str
    level: str
    rule: str


class SentOn(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue would do with a contact that nobody takes at once."""

    reason: str
    action: str
    queue: str | None
    teams: list[str]
    message: str | None


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """What the lead would bring, and what others."""

    lead: list[Requirement]
    shared: list[Requirement]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a contact now. Of one that is open, its id and state; of one that has not come, the rest."""

    queue: str
    priority: int
    language: str | None
    tags: list[str]
    requirements: list[Requirement]
    terms: Terms | None
    pilot: str | None
    preferred: Target | None
    open: bool
    queue_is: str
    step: int
    position: int | None
    estimated_wait_s: float | None
    estimated_wait: Wait | None
    candidates: int
    excluded: list[Counted]
    agents: list[LookedAt]
    steps: list[StepAhead]
    contact_id: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    rules: list[str] | UnsetType = UNSET
    alarms: list[AlarmRaised] | UnsetType = UNSET
    full: bool | UnsetType = UNSET
    overflow: SentOn | UnsetType | None = UNSET
    split: Split | UnsetType | None = UNSET


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a transfer would come to: `dry_run`."""

    contact_id: str
    dry_run: bool
    queue: str
    position: int | None
    estimated_wait_s: float | None
    estimated_wait: Wait | None
    candidates: int
    agents: list[LookedAt]


# -- readiness -----------------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process is ready, and how what it stands on is: see `GET /readyz`."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["ready", "draining", "not_ready"]})]
    database: str
    lease: str
    ownership: str
    redis: str
    tenants: int
