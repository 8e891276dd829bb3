"""Bodies about classification and the tenant: tags, rules, pilots, departments, settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from src.api.schemas.base import (
    Account,
    Body,
    ChannelName,
    ChoiceBody,
    DeadlinesBody,
    Language,
    Level,
    LongSeconds,
    Moment,
    Name,
    Percent,
    PrioritySeconds,
    Short,
    Teams,
    Values,
    WaitSeconds,
)
from src.api.schemas.queues import AlarmBody, ClockTime, Day, QueueBody, Spans, TimeZone, Weekday
from src.dispatch.config import milliseconds
from src.dispatch.known import RECENT_CONTACTS_MAX
from src.errors import Malformed
from src.router.hours import check_zone


def _zone(name: str) -> str:
    try:
        check_zone(name)
    except Malformed as error:
        raise ValueError("must be a time zone of the IANA database, such as Asia/Shanghai") from error
    return name


KnownZone = Annotated[TimeZone, AfterValidator(_zone)]


class TagConfigBody(Body):
    """What finds a tag in a text, and the skills that it asks for."""

    model_config = ConfigDict(populate_by_name=True)

    keywords: Annotated[dict[Language, list[Short]], Field(max_length=20)] = {}
    except_: Annotated[list[Short], Field(alias="except", max_length=200)] = []
    requires: Annotated[dict[Name, Level], Field(max_length=20)] = {}


class RuleTime(Body):
    """A time of day on some weekdays (none: every day). One that ends before it begins goes over midnight."""

    model_config = ConfigDict(populate_by_name=True)

    time_zone: TimeZone
    from_: Annotated[ClockTime, Field(alias="from")]
    to: ClockTime
    days: Annotated[list[Weekday], Field(max_length=7)] = []


class RuleWhen(Body):
    """Every condition that is set must hold.

    `attributes` and `customer_attributes` name allowed values of each; `text` are phrases, one of which stands in the
    text; `repeat`: whether the customer was here with the same tag lately.
    """

    tags_any: Annotated[list[Name], Field(max_length=100)] = []
    tags_all: Annotated[list[Name], Field(max_length=100)] = []
    tags_none: Annotated[list[Name], Field(max_length=100)] = []
    channels: Annotated[list[ChannelName], Field(max_length=50)] = []
    accounts: Annotated[list[Account], Field(max_length=100)] = []
    customer_tiers: Annotated[list[Name], Field(max_length=50)] = []
    languages: Annotated[list[Language], Field(max_length=50)] = []
    attributes: Annotated[dict[Name, Values], Field(max_length=20)] = {}
    customer_attributes: Annotated[dict[Name, Values], Field(max_length=20)] = {}
    text: Annotated[list[Short], Field(max_length=200)] = []
    time: RuleTime | None = None
    repeat: bool | None = None


class RuleThen(Body):
    """What follows. Priority (seconds), tags, and limits of agents and teams of all rules that hold add up.

    Each raises its `alarm`. The first queue counts, and the first preferred agent.
    """

    queue: Name | None = None
    priority: PrioritySeconds = 0
    add_tags: Annotated[list[Name], Field(max_length=20)] = []
    preferred_agent_id: Name | None = None
    agents: ChoiceBody = ChoiceBody()
    teams: ChoiceBody = ChoiceBody()
    alarm: AlarmBody | None = None


class RuleBody(Body):
    """A classification rule; rules are asked by `order`, then name."""

    order: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    when: RuleWhen = RuleWhen()
    then: RuleThen


class Period(Body):
    """From a time, up to another."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Annotated[Moment, Field(alias="from")]
    until: Moment

    @model_validator(mode="after")
    def _forward(self) -> "Period":
        if milliseconds(self.from_) >= milliseconds(self.until):
            raise ValueError("until must be after from")
        return self


class PilotBody(Body):
    """A version of queues and rules that runs for some contacts, to be compared before it is for all.

    It concerns contacts that come from `from` up to `until`, and, where `attribute` is set, whose attribute of that
    name has one of `values` (a region, say). Of these, `percent` in a hundred customers have the trial, always the same
    ones; the others are its control. `queues` take the place of the queues of their names, `rules` (null: the tenant's
    own) of all rules.
    """

    model_config = ConfigDict(populate_by_name=True)

    percent: Percent = 100
    attribute: Name | None = None
    values: Values = []
    from_: Annotated[Moment | None, Field(alias="from")] = None
    until: Moment | None = None
    enabled: bool = True
    queues: Annotated[dict[Name, QueueBody], Field(max_length=50)] = {}
    rules: Annotated[dict[Name, RuleBody], Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "PilotBody":
        if (self.attribute is None) != (not self.values):
            raise ValueError("attribute and values go together")
        if self.from_ is not None and self.until is not None and milliseconds(self.from_) >= milliseconds(self.until):
            raise ValueError("until must be after from")
        return self


class DatedDeadlines(DeadlinesBody, Period):
    """Deadlines of a season: for what is asked from `from` up to `until`, in place of the ordinary ones.

    Those that are left out are the ordinary ones in the season, too; null: there is none in it.
    """


class DepartmentBody(Body):
    """A department that helps: its agents by team, its deadlines, and the agent who is told when one is missed.

    `dated` deadlines take the place of the ordinary ones for what is asked from `from` up to `until`.
    """

    teams: Teams = []
    deadlines: DeadlinesBody = DeadlinesBody()
    dated: Annotated[list[DatedDeadlines], Field(max_length=50)] = []
    escalate_to: Name | None = None

    @model_validator(mode="after")
    def _whole(self) -> "DepartmentBody":
        for season in self.dated:
            for name in DeadlinesBody.model_fields.keys() - season.model_fields_set:
                setattr(season, name, getattr(self.deadlines, name))
        return self


class CollaborationDeadlines(Body):
    """What holds where a department, or whoever asks for help, says nothing else."""

    progress_s: LongSeconds | None = 7200
    feedback_s: LongSeconds | None = 7200
    solution_s: LongSeconds | None = None


RetentionDays = Annotated[int, Field(ge=1, le=36_500)]


class ProgressSettings(Body):
    """Of links to customers' progress: those made before `links_since` are void. Times are shown in `time_zone`."""

    links_since: Moment | None = None
    time_zone: KnownZone = "Asia/Shanghai"


class TierBody(Body):
    """What a tier of customers gets: seconds of head start, and agents to be waited for first, in this order.

    `dedicated_wait_s` is how long they, and a customer's own dedicated agent, are waited for; null: as the queue says.
    """

    priority: PrioritySeconds = 0
    agents: Annotated[list[Name], Field(max_length=20)] = []
    dedicated_wait_s: WaitSeconds | None = None


class RetentionSettings(Body):
    """How many days data of each kind is kept, counted from when its contact came; null: until it is erased.

    `messages`: what was written, and of it what stands in the contact. `notes`: what agents, helpers and those who
    rated wrote, reasons and dispositions too. `media`: files and recordings. `attributes`: of contacts. `traces`: of
    decisions. Open contacts keep theirs. `customers` who were not seen for so long are erased whole.
    """

    messages_days: RetentionDays | None = None
    notes_days: RetentionDays | None = None
    media_days: RetentionDays | None = None
    attributes_days: RetentionDays | None = None
    traces_days: RetentionDays | None = None
    customers_days: RetentionDays | None = None


class QuietBody(Body):
    """When customers are left in peace, by the wall clock of `time_zone`. A weekday that is missing has no such hours.

    A span goes over midnight where its end is not after its beginning. `dates` take the place of their weekday.
    """

    time_zone: KnownZone
    days: dict[Weekday, Spans] = {}
    dates: Annotated[dict[Day, Spans], Field(max_length=1000)] = {}


class RestraintSettings(Body):
    """When, and how often, a customer is turned to unasked.

    In `quiet` hours promised call-backs wait, agents begin no follow-ups but urgent ones, and visitors of websites are
    not asked how it was. Of all these together a customer gets no more than `outreach_max` within `outreach_within_s`
    seconds; a call-back that was promised is counted, and made whatever the count. null: no limit.
    """

    quiet: QuietBody | None = None
    outreach_max: Annotated[int, Field(ge=1, le=100)] | None = None
    outreach_within_s: Annotated[int, Field(ge=60, le=7_776_000)] = 86_400


class SettingsBody(Body):
    """The tenant's settings. `on_agent_lost` and `silence_s` are by channel, `*` for all others.

    After `silence_s` without a word from the customer an active contact gives its units back until the customer writes.
    A contact that waited `wait_flag_s`, or was transferred `transfer_flag_count` times, is marked. Escalating gives
    `escalation_priority_s` of head start; an agent to whom a contact was transferred is waited for `transfer_wait_s`.
    A parked contact comes back `park_return_s` before its time. One agent is asked alone for help for `help_wait_s`. A
    tag counts as asked before for `repeat_window_s`; a customer's `repeat_count`th contact with a tag within that time
    is a repeat. `tiers` say by name what a customer's tier means. `masked_for` are the roles whose tokens see telephone
    numbers and e-mail addresses of customers masked, wherever they stand; API keys see them whole. `restraint` is when
    customers are left in peace.
    """

    presence_grace_s: Annotated[int, Field(ge=0, le=3_600)] = 30
    on_agent_lost: dict[ChannelName | Literal["*"], Literal["requeue", "hold"]] = {"*": "requeue", "voice": "hold"}
    default_region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "CN"
    missed_offers_max: Annotated[int, Field(ge=1, le=100)] = 3
    reoffer_after_s: Annotated[int, Field(ge=0, le=86_400)] = 30
    silence_s: Annotated[
        dict[ChannelName | Literal["*"], Annotated[int, Field(ge=1, le=86_400)]], Field(max_length=50)
    ] = {}
    wait_flag_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    transfer_flag_count: Annotated[int, Field(ge=1, le=100)] = 3
    escalation_priority_s: Annotated[int, Field(ge=0, le=10_000_000)] = 600
    transfer_wait_s: WaitSeconds = 120
    park_return_s: Annotated[int, Field(ge=0, le=86_400)] = 60
    collaboration: CollaborationDeadlines = CollaborationDeadlines()
    help_wait_s: WaitSeconds = 60
    repeat_window_s: LongSeconds = 86_400
    progress: ProgressSettings = ProgressSettings()
    retention: RetentionSettings = RetentionSettings()
    repeat_count: Annotated[int, Field(ge=2, le=RECENT_CONTACTS_MAX)] = 2
    tiers: Annotated[dict[Name, TierBody], Field(max_length=50)] = {}
    masked_for: Annotated[list[Literal["agent", "supervisor"]], Field(max_length=2)] = ["agent"]
    restraint: RestraintSettings = RestraintSettings()
