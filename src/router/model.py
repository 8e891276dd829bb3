"""The words of routing as values: requirements, skills, configuration. Nothing here changes or decides.

Times are integers, milliseconds since the epoch, wherever a name ends in `_at`, `_by` or `_until`; names that end in
`_s` are seconds. Levels run from 1 to 100. Ids are opaque strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

LEVEL_MAX: Final = 100
ANY_CHANNEL: Final = "*"
ALL: Final = "*"
DEFAULT_QUEUE: Final = "default"
LANGUAGE: Final = "language:"
"""A language is a skill: `language:zh`. This is what its name begins with."""

Presence = Literal["offline", "available", "away"]
LostPolicy = Literal["requeue", "hold"]
Distribution = Literal["longest_idle", "least_loaded", "best_skilled", "round_robin", "weighted"]
TargetKind = Literal["transfer", "dedicated", "last", "rule", "owner", "pinned", "conversation", "follow_up"]
ParkReason = Literal["promised", "customer", "department", "callback"]
AlarmLevel = Literal["info", "warning", "critical"]
CollaborationKind = Literal["help", "department", "approval"]
Deadline = Literal["progress", "feedback", "solution"]


# -- contacts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagRequest:
    """A problem tag as the caller gave it. `level` 1 to 100; `expires_after_s` seconds until it is dropped."""

    tag: str
    level: int = 1
    required: bool = True
    weight: int = 1
    expires_after_s: int | None = None


class Requirement(NamedTuple):
    """A skill that a contact needs, and the tag that asks for it.

    Required ones decide who fits; the others add `weight` to the score of an agent that meets them. After `lapses_at`
    the requirement is gone. One that is `shared` is not asked of the lead: somebody else helps with it.
    """

    tag: str
    skill: str
    level: int = 1
    required: bool = True
    weight: int = 1
    lapses_at: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may take a contact beside what it needs: only these agents, not those; one of these teams, none of those.

    `widened` are the teams that steps and overflow of its queue let take it, in place of `teams` and the queue's own.
    They stay behind when it goes to another queue, or its steps begin anew.
    """

    agents: tuple[str, ...] = ()
    not_agents: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    not_teams: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.agents or self.not_agents or self.teams or self.not_teams or self.widened)

    def limit(self, queue_teams: tuple[str, ...]) -> tuple[str, ...]:
        """The teams that may take it in a queue of these teams; none: any."""
        return self.widened or self.teams or queue_teams


NO_TERMS: Final = Terms()


# -- agents ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChannelLimit:
    """What one contact of a channel costs an agent, in units of capacity, and how many of them at most.

    `excludes`: channels of which the agent has none at the same time (`*`: all others), either way round.
    `interruptible`: the work steps aside for a contact of a channel that is not, and gets its units back afterwards.
    """

    cost: int
    max: int
    excludes: tuple[str, ...] = ()
    interruptible: bool = False


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """An agent as it was put. Without `channels` it takes any channel, one contact at a time.

    `languages` are skills of level 100; an agent without any is taken to speak all. A skill in `skills_until` is gone
    after that time. Until `newcomer_until` the agent has `newcomer_percent` of its capacity (at least one contact), and
    `mentor_id` is asked first when it asks for help.
    """

    id: str
    name: str = ""
    skills: Mapping[str, int] = field(default_factory=dict)
    skills_until: Mapping[str, int] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    capacity: int = 100
    channels: Mapping[str, ChannelLimit] | None = None
    teams: tuple[str, ...] = ()
    mentor_id: str | None = None
    newcomer_until: int | None = None
    newcomer_percent: int = 50

    def cost(self, channel: str) -> int | None:
        """Units that a contact of this channel takes, or None where the agent does not serve the channel."""
        if self.channels is None:
            return self.capacity
        limit = self.channels.get(channel)
        return None if limit is None else limit.cost


# -- alarms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alarm:
    """What marks a contact for people, once under its `name`; these agents are told, whoever has the contact."""

    name: str
    level: AlarmLevel = "warning"
    responsible: tuple[str, ...] = ()


# -- queues ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights:
    """The mix of the distribution `weighted`.

    One minute idle, one minute since the last offer, one percent of free capacity and one level of skill (the mean
    over what is asked) each count 1, times its weight.
    """

    idle: float = 1.0
    turn: float = 0.0
    load: float = 0.0
    skill: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a queue's relaxation, `after_s` seconds after the contact entered the queue. Steps add up.

    `drop`: requirements of these tags go; `prefer`: they count for the score only; `lower`: their level is at most
    this. `*` names every tag. `any_language` drops the language, `any_team` every limit to teams; `add_teams` joins
    further teams to those that may take it; `priority` adds seconds of head start; `alarm` is raised.

    Where nobody who is present could fit, whatever its load, the waiting for this step is skipped: the contact goes on
    to the first step at which somebody could.
    """

    after_s: int
    drop: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    lower: Mapping[str, int] = field(default_factory=dict)
    any_language: bool = False
    any_team: bool = False
    add_teams: tuple[str, ...] = ()
    priority: int = 0
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Overflow:
    """What becomes of a contact that a queue does not keep.

    `queue`: it goes to `queue`; `teams`: these teams may take it too; `callback`: the customer is told `message`, the
    contact is parked and comes back after `callback_after_s`, or when the queue opens; `close`: it ends with `reason`.
    """

    action: Literal["queue", "teams", "callback", "close"]
    queue: str | None = None
    teams: tuple[str, ...] = ()
    message: str = ""
    callback_after_s: int = 3600
    reason: str = "overflowed"


Span = tuple[int, int]
"""From, up to: minutes since midnight, 0 to 1440."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When a queue is open, in the wall-clock time of `time_zone` (IANA).

    `days` are by weekday, Monday is 0; a weekday that is missing is closed. `dates` (`2026-10-01`) take the place of
    the weekday: no span means closed all day. `closed` is done with contacts that come, or still wait, when it is
    closed; None: they wait until it opens, and what is due after so many seconds counts the time when it is open.
    """

    time_zone: str
    days: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    dates: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    closed: Overflow | None = None


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """A routing policy. `teams` limits who may take its contacts; empty: skills alone decide.

    Offers: `offer_to` agents at once, the first to accept has it; `auto_accept` needs no answer; an agent that did not
    take one is not asked again for `reoffer_after_s`, and never more than `asks_max` times for one contact.
    Preferred agents are waited for, while they are there: the dedicated one and one named by a rule for
    `dedicated_wait_s`, the last one for `last_agent_wait_s` (None: it is not preferred), the owner of a parked contact
    for `owner_wait_s`.
    `max_length` contacts wait at most, `max_wait_s` each; beyond that `overflow` is done.
    `split`: a contact that no agent covers alone gets a lead and help for the rest.
    `required_fields` must be given at completion. A contact with one of `breather_tags` adds `breather_s` to the
    wrap-up.
    """

    name: str
    within_s: int = 30
    percent: int = 95
    offer_timeout_s: int = 20
    wrap_up_s: int = 0
    reoffer_after_s: int | None = None
    teams: tuple[str, ...] = ()
    distribution: Distribution = "longest_idle"
    weights: Weights | None = None
    steps: tuple[Step, ...] = ()
    max_length: int | None = None
    max_wait_s: int | None = None
    overflow: Overflow | None = None
    hours: Hours | None = None
    paused: bool = False
    auto_accept: bool = False
    asks_max: int | None = None
    offer_to: int = 1
    dedicated_wait_s: int = 60
    last_agent_wait_s: int | None = None
    owner_wait_s: int = 120
    split: bool = True
    required_fields: tuple[str, ...] = ()
    breather_s: int = 0
    breather_tags: tuple[str, ...] = ()


# -- classification ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TagConfig:
    """What finds a tag in a text, and the skills with levels that it asks for (none: the skill of the same name)."""

    name: str
    keywords: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()
    requires: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A time of day: `span` on the weekdays `days` (Monday is 0; none: every day) in `time_zone` (IANA).

    A span whose end is not after its beginning goes over midnight, and belongs to the day on which it begins.
    """

    time_zone: str
    span: Span
    days: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """If every condition that is set holds, the results apply. Rules run by `order`, then name.

    `attributes` and `customer_attributes` name allowed values; `text` are phrases, one of which stands in the text
    (compared as keywords of tags are); `repeat`: the customer was here with the same tag lately.
    All rules that hold add their priority (seconds), tags and terms, and raise their alarms; the first that names a
    queue decides it, and the first that names an agent prefers it.
    """

    name: str
    order: int = 0
    tags_any: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    customer_tiers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    customer_attributes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    time: TimeWindow | None = None
    repeat: bool | None = None
    queue: str | None = None
    priority: int = 0
    add_tags: tuple[str, ...] = ()
    preferred_agent_id: str | None = None
    terms: Terms = NO_TERMS
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class PilotConfig:
    """A version of queues and rules that runs for some contacts, to be compared with the others before it is for all.

    It concerns contacts that come from `from_at` up to `until_at`, and, where `attribute` is set, whose attribute of
    that name has one of `values`. Of these, `percent` in a hundred customers have the trial, always the same ones; the
    others are its control. `queues` take the place of the queues of their names; `rules` (None: the tenant's own) of
    all rules.
    """

    name: str
    percent: int = 100
    attribute: str | None = None
    values: tuple[Any, ...] = ()
    from_at: int = 0
    until_at: int | None = None
    enabled: bool = True
    queues: Mapping[str, QueueConfig] = field(default_factory=dict)
    rules: Mapping[str, RuleConfig] | None = None


# -- collaboration -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines in seconds, each with its own start; None: there is none.

    `feedback_s` runs from the request to the first answer, `progress_s` from one word to the next (of the helper, and
    of the lead), `solution_s` from acceptance to the solution. Where only the solution has a time, the first answer is
    due within it from the request on: what nobody accepts is escalated too.
    """

    progress_s: int | None = None
    feedback_s: int | None = None
    solution_s: int | None = None


@dataclass(frozen=True, slots=True)
class DatedDeadlines:
    """Deadlines that hold for what is asked from `from_at` up to `until_at`: a season's."""

    from_at: int
    until_at: int
    deadlines: Deadlines


@dataclass(frozen=True, slots=True)
class DepartmentConfig:
    """A department that helps: its agents by `teams`, its deadlines, and who is told when one is missed."""

    name: str
    teams: tuple[str, ...] = ()
    deadlines: Deadlines = field(default_factory=Deadlines)
    dated: tuple[DatedDeadlines, ...] = ()
    escalate_to: str | None = None

    def deadlines_at(self, now: int) -> Deadlines:
        """Those of the first dated profile that holds, else the ordinary ones."""
        return next((each.deadlines for each in self.dated if each.from_at <= now < each.until_at), self.deadlines)


# -- the tenant --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TierConfig:
    """What a tier of customers gets: `priority` seconds of head start, and agents to be waited for before all others.

    `agents` are preferred in their order, behind the customer's own dedicated agent. `dedicated_wait_s` takes the place
    of the queue's for all of these; None: the queue's holds.
    """

    priority: int = 0
    agents: tuple[str, ...] = ()
    dedicated_wait_s: int | None = None


@dataclass(frozen=True, slots=True)
class Restraint:
    """When customers are left in peace by what the service, or an agent, begins with them unasked.

    `quiet` are hours that are "open" while it is quiet; what its `closed` says is not looked at. No more than
    `outreach_max` outreaches to a customer begin within `outreach_within_s` seconds, over all channels. None: no limit.
    """

    quiet: Hours | None = None
    outreach_max: int | None = None
    outreach_within_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Settings:
    """The tenant's settings. `on_agent_lost` and `silence_s` are by channel, `*` for all others.

    `default_region` (ISO 3166) is where a telephone number without a country code is read. `silence_s`: after so many
    seconds without a word from the customer an active contact gives its units back until the customer writes.
    `wait_flag_s` and `transfer_flag_count` mark contacts that waited or wandered too long. `escalation_priority_s` is
    the head start that escalating gives. An agent to whom a contact was transferred is waited for `transfer_wait_s`. A
    parked contact comes back `park_return_s` before its time. `help_wait_s` is how long one agent is asked for help
    alone. `repeat_window_s` is how far back a tag counts as asked before; the contact that is the `repeat_count`th with
    a tag within that time is a repeat. `tiers` are what the customers' tiers mean, by name.
    `masked_for` are the roles (`agent`, `supervisor`) that see customers' numbers and addresses masked: nothing is
    decided by it. Promised call-backs wait while it is quiet by `restraint`.
    """

    presence_grace_s: int = 30
    on_agent_lost: Mapping[str, LostPolicy] = field(default_factory=lambda: {ANY_CHANNEL: "requeue", "voice": "hold"})
    missed_offers_max: int = 3
    reoffer_after_s: int = 30
    default_region: str = "CN"
    silence_s: Mapping[str, int] = field(default_factory=dict)
    wait_flag_s: int = 300
    transfer_flag_count: int = 3
    escalation_priority_s: int = 600
    transfer_wait_s: int = 120
    park_return_s: int = 60
    collaboration: Deadlines = field(default_factory=lambda: Deadlines(progress_s=7200, feedback_s=7200))
    help_wait_s: int = 60
    repeat_window_s: int = 86_400
    repeat_count: int = 2
    tiers: Mapping[str, TierConfig] = field(default_factory=dict)
    masked_for: tuple[str, ...] = ("agent",)
    restraint: Restraint = field(default_factory=Restraint)

    def lost_policy(self, channel: str) -> LostPolicy:
        """What becomes of an active contact of this channel when its agent is gone for good."""
        return self.on_agent_lost.get(channel, self.on_agent_lost.get(ANY_CHANNEL, "requeue"))

    def silence_ms(self, channel: str) -> int | None:
        """Milliseconds of silence after which an active contact of this channel gives its units back."""
        seconds = self.silence_s.get(channel, self.silence_s.get(ANY_CHANNEL))
        return None if seconds is None else seconds * 1000
