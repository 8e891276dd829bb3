"""Configuration as it is kept, and as the engine takes it: one body of JSON for each agent, queue, tag, rule and so on.

What a stored body lacks, because it was written before the field was there, has the model's default. Times in bodies
are RFC 3339, times of day `HH:MM`; inside they are milliseconds and minutes.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from src.dispatch.facts import ConfigFact
from src.router.config import Config
from src.router.model import (
    AgentConfig,
    Alarm,
    ChannelLimit,
    DatedDeadlines,
    Deadlines,
    DepartmentConfig,
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    Restraint,
    RuleConfig,
    Settings,
    Span,
    Step,
    TagConfig,
    Terms,
    TierConfig,
    TimeWindow,
    Weights,
)

SETTINGS_NAME: Final = "settings"

LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Body = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)


def milliseconds(text: str) -> int:
    """A time as RFC 3339, in milliseconds since the epoch.

    Raises:
        ValueError: it is none, has no offset, or does not lie from 1970 to 9999.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("must be a time with its offset, such as 2026-10-01T09:00:00+08:00")
    at = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    if not 0 <= at <= LATEST:
        raise ValueError("must lie from 1970 to 9999")
    return at


def minutes(text: str) -> int:
    """A time of day, `00:00` to `24:00`, in minutes since midnight.

    Raises:
        ValueError: it is none.
    """
    if _CLOCK.fullmatch(text) is None:
        raise ValueError("must be a time of day such as 09:00")
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def agent_config(name: str, body: Body) -> AgentConfig:
    """The engine's form of an agent's body."""
    channels = body.get("channels")
    dated = {skill: each for skill, each in body["skills"].items() if isinstance(each, Mapping)}
    newcomer = body.get("newcomer")
    return AgentConfig(
        id=name,
        name=body.get("name") or "",
        skills={skill: dated[skill]["level"] if skill in dated else each for skill, each in body["skills"].items()},
        skills_until={skill: milliseconds(each["until"]) for skill, each in dated.items()},
        languages=tuple(body["languages"]),
        capacity=body["capacity"],
        channels=None if channels is None else {name: _limit(each) for name, each in channels.items()},
        teams=tuple(body["teams"]),
        mentor_id=body.get("mentor_id"),
        **({} if newcomer is None else _newcomer(newcomer)),
    )


def _limit(body: Body) -> ChannelLimit:
    return ChannelLimit(**_given(body, "cost", "max", "excludes", "interruptible"))


def _newcomer(body: Body) -> dict[str, Any]:
    return {"newcomer_until": milliseconds(body["until"]), "newcomer_percent": body["percent"]}


def queue_config(name: str, body: Body) -> QueueConfig:
    """The engine's form of a queue's body."""
    weights, hours, breather = body.get("weights"), body.get("hours"), body.get("breather")
    return QueueConfig(
        name=name,
        within_s=body["service_level"]["within_s"],
        percent=body["service_level"]["percent"],
        weights=None if weights is None else Weights(**weights),
        steps=tuple(_step(each) for each in body.get("steps", ())),
        overflow=_overflow(body.get("overflow")),
        hours=None if hours is None else _hours(hours),
        breather_s=0 if breather is None else breather["seconds"],
        breather_tags=() if breather is None else tuple(breather["tags"]),
        **_given(
            body,
            "offer_timeout_s",
            "wrap_up_s",
            "reoffer_after_s",
            "teams",
            "distribution",
            "max_length",
            "max_wait_s",
            "paused",
            "auto_accept",
            "asks_max",
            "offer_to",
            "dedicated_wait_s",
            "last_agent_wait_s",
            "owner_wait_s",
            "split",
            "required_fields",
        ),
    )


def _step(body: Body) -> Step:
    names = ("after_s", "drop", "prefer", "lower", "any_language", "any_team", "add_teams", "priority")
    return Step(alarm=_alarm(body.get("alarm")), **_given(body, *names))


def _alarm(body: Body | None) -> Alarm | None:
    return None if body is None else Alarm(**_given(body, "name", "level", "responsible"))


def _overflow(body: Body | None) -> Overflow | None:
    names = ("action", "queue", "teams", "message", "callback_after_s", "reason")
    return None if body is None else Overflow(**_given(body, *names))


def _hours(body: Body) -> Hours:
    return Hours(
        time_zone=body["time_zone"],
        days={WEEKDAYS.index(day): _spans(spans) for day, spans in body["days"].items()},
        dates={day: _spans(spans) for day, spans in body["dates"].items()},
        closed=_overflow(body.get("closed")),
    )


def _spans(spans: Iterable[Iterable[str]]) -> tuple[Span, ...]:
    return tuple((minutes(start), minutes(end)) for start, end in spans)


def tag_config(name: str, body: Body) -> TagConfig:
    """The engine's form of a tag's body; keywords of all languages are one list."""
    return TagConfig(
        name=name,
        keywords=tuple(each for words in body["keywords"].values() for each in words),
        except_=tuple(body["except"]),
        requires=dict(body["requires"]),
    )


def rule_config(name: str, body: Body) -> RuleConfig:
    """The engine's form of a rule's body."""
    when, then = body["when"], body["then"]
    time = when.get("time")
    return RuleConfig(
        name=name,
        order=body["order"],
        attributes=_allowed(when.get("attributes", {})),
        customer_attributes=_allowed(when.get("customer_attributes", {})),
        time=None if time is None else _window(time),
        terms=terms(then),
        alarm=_alarm(then.get("alarm")),
        **_given(
            when,
            "tags_any",
            "tags_all",
            "tags_none",
            "channels",
            "accounts",
            "customer_tiers",
            "languages",
            "text",
            "repeat",
        ),
        **_given(then, "queue", "priority", "add_tags", "preferred_agent_id"),
    )


def _allowed(body: Body) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(values) for name, values in body.items()}


def _window(body: Body) -> TimeWindow:
    span = (minutes(body["from"]), minutes(body["to"]))
    return TimeWindow(body["time_zone"], span, tuple(sorted(WEEKDAYS.index(day) for day in body["days"])))


def terms(body: Body) -> Terms:
    """Who may take a contact, from the `agents` and `teams` of a body; what is left out or null limits nothing."""
    agents, teams = body.get("agents") or {}, body.get("teams") or {}
    return Terms(
        agents=tuple(agents.get("include", ())),
        not_agents=tuple(agents.get("exclude", ())),
        teams=tuple(teams.get("include", ())),
        not_teams=tuple(teams.get("exclude", ())),
    )


def pilot_config(name: str, body: Body) -> PilotConfig:
    """The engine's form of a pilot's body."""
    rules = body["rules"]
    return PilotConfig(
        name=name,
        percent=body["percent"],
        attribute=body["attribute"],
        values=tuple(body["values"]),
        from_at=0 if body["from"] is None else milliseconds(body["from"]),
        until_at=None if body["until"] is None else milliseconds(body["until"]),
        enabled=body["enabled"],
        queues={queue: queue_config(queue, each) for queue, each in body["queues"].items()},
        rules=None if rules is None else {rule: rule_config(rule, each) for rule, each in rules.items()},
    )


def department_config(name: str, body: Body) -> DepartmentConfig:
    """The engine's form of a department's body."""
    return DepartmentConfig(
        name=name,
        teams=tuple(body["teams"]),
        deadlines=deadlines(body["deadlines"]),
        dated=tuple(
            DatedDeadlines(milliseconds(each["from"]), milliseconds(each["until"]), deadlines(each))
            for each in body["dated"]
        ),
        escalate_to=body["escalate_to"],
    )


def deadlines(body: Body) -> Deadlines:
    """Deadlines of a body; what is left out there is not."""
    return Deadlines(**_given(body, "progress_s", "feedback_s", "solution_s"))


def settings_config(_name: str, body: Body) -> Settings:
    """The engine's form of the tenant's settings."""
    more: dict[str, Any] = {}
    if "collaboration" in body:
        more["collaboration"] = deadlines(body["collaboration"])
    if "tiers" in body:
        more["tiers"] = {
            name: TierConfig(**_given(tier, "priority", "agents", "dedicated_wait_s"))
            for name, tier in body["tiers"].items()
        }
    if "restraint" in body:
        more["restraint"] = _restraint(body["restraint"])
    return Settings(
        **more,
        **_given(
            body,
            "presence_grace_s",
            "on_agent_lost",
            "missed_offers_max",
            "reoffer_after_s",
            "default_region",
            "silence_s",
            "wait_flag_s",
            "transfer_flag_count",
            "escalation_priority_s",
            "transfer_wait_s",
            "park_return_s",
            "help_wait_s",
            "repeat_window_s",
            "repeat_count",
            "masked_for",
        ),
    )


def _restraint(body: Body) -> Restraint:
    quiet = body.get("quiet")
    return Restraint(
        quiet=None if quiet is None else _hours(quiet), **_given(body, "outreach_max", "outreach_within_s")
    )


def _given(body: Body, *names: str) -> dict[str, Any]:
    """Those of the names that the body has, as arguments: lists as tuples."""
    found = {name: body[name] for name in names if name in body}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def engine_config(facts: Iterable[ConfigFact]) -> Config:
    """Everything that a tenant has configured, as the engine takes it."""
    config = Config()
    for fact in facts:
        assert fact.body is not None
        match fact.kind:
            case "agent":
                config.agents[fact.name] = agent_config(fact.name, fact.body)
            case "queue":
                config.queues[fact.name] = queue_config(fact.name, fact.body)
            case "tag":
                config.tags[fact.name] = tag_config(fact.name, fact.body)
            case "rule":
                config.rules[fact.name] = rule_config(fact.name, fact.body)
            case "pilot":
                config.pilots[fact.name] = pilot_config(fact.name, fact.body)
            case "department":
                config.departments[fact.name] = department_config(fact.name, fact.body)
            case "settings":
                config.settings = settings_config(fact.name, fact.body)
            case other:
                raise AssertionError(f"configuration of an unknown kind: {other}")
    return config
