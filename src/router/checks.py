"""What is refused when configuration is put, with the reason and the place in the body. Pure.

What a schema can say of a single value (types, lengths, ranges) is said by the API's schema; here is what takes more
than one value, or another piece of configuration, to see. Nothing is looked up but what is handed in, so whoever
deletes something asks for itself who still refers to it.

Every check gives nothing, or raises
    Malformed: the input is wrong by itself. `field` is the path in the body: `steps.0.after_s`.
    UnknownReference: it names a queue or an agent that is not there.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from math import isfinite
from typing import Any, Final, NoReturn

from src.errors import Malformed, UnknownReference
from src.router.classify import is_plain
from src.router.fit import primary
from src.router.hours import MINUTES_PER_DAY, check_zone, day_of
from src.router.model import (
    ALL,
    LANGUAGE,
    LEVEL_MAX,
    AgentConfig,
    Alarm,
    Deadlines,
    DepartmentConfig,
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    Span,
    Step,
    Terms,
    TimeWindow,
)
from src.router.tagging import KEYWORD_CHARS_MAX, fold

PERCENT_MAX: Final = 100
_WEEKDAYS: Final = range(7)

# -- queues ------------------------------------------------------------------------------------------------------------


def check_queue(config: QueueConfig, *, queues: Mapping[str, QueueConfig], agents: Container[str]) -> None:
    """Refuse a queue that contradicts itself, sends contacts where they cannot stay, or names who is not there."""
    _check_steps(config.steps, agents)
    _check_weights(config)
    _check_offers(config)
    if config.hours is not None:
        with _inside("hours"):
            _check_hours(config.hours)
    if config.overflow is None and config.max_length is not None:
        _refuse("a queue with a max_length needs an overflow: what becomes of the contacts beyond it?", "overflow")
    if config.overflow is None and config.max_wait_s is not None:
        _refuse("a queue with a max_wait_s needs an overflow: what becomes of the contacts after it?", "overflow")
    for place, overflow in _overflows(config):
        with _inside(*place):
            _check_overflow(overflow, config, queues)
    if config.breather_s and not config.breather_tags:
        _refuse("breather_s needs the tags after which it is given", "breather_tags")
    _check_once(config.required_fields, "required_fields")


def check_queue_beside(
    pilots: Mapping[str, PilotConfig],
    config: QueueConfig,
    *,
    queues: Mapping[str, QueueConfig],
    agents: Container[str],
) -> None:
    """Refuse a queue by itself, and one that leads round in a circle for contacts that are in one of the pilots."""
    check_queue(config, queues=queues, agents=agents)
    for pilot in pilots.values():
        if config.name in pilot.queues:
            continue  # whose contacts have another version of it
        try:
            check_queue(config, queues={**queues, **pilot.queues}, agents=agents)
        except Malformed as refused:
            raise Malformed(f"in pilot {pilot.name!r} {refused.detail}", **refused.extra) from None


def _check_steps(steps: Sequence[Step], agents: Container[str]) -> None:
    for number, step in enumerate(steps):
        with _inside("steps", number):
            if step.after_s < 0:
                _refuse("a step cannot come before the contact does", "after_s")
            if step == Step(step.after_s):
                _refuse("the step does nothing")
            for tag, level in step.lower.items():
                if not 1 <= level <= LEVEL_MAX:
                    _refuse(f"a level is from 1 to {LEVEL_MAX}, not {level}", "lower", tag)
            _check_alarm(step.alarm, agents)
    for number, (before, after) in enumerate(pairwise(steps), start=1):
        if after.after_s <= before.after_s:
            _refuse(
                f"each step must come later than the one before: {after.after_s} s is not after {before.after_s} s",
                *("steps", number, "after_s"),
            )


def _check_alarm(alarm: Alarm | None, agents: Container[str]) -> None:
    if alarm is not None:
        with _inside("alarm"):
            _check_once(alarm.responsible, "responsible")
            for number, agent_id in enumerate(alarm.responsible):
                _check_known(agent_id, agents, "agent", "responsible", number)


def _check_weights(config: QueueConfig) -> None:
    if config.distribution != "weighted":
        if config.weights is not None:
            _refuse(f"weights are for the distribution weighted, not for {config.distribution}", "weights")
        return
    if config.weights is None:
        _refuse("the distribution weighted needs weights", "weights")
    weights: dict[str, float] = asdict(config.weights)
    for name, weight in weights.items():
        if not (isfinite(weight) and weight >= 0):
            _refuse(f"a weight is a number from 0 on, not {weight}", "weights", name)
    if not any(weights.values()):
        _refuse("one of the weights must be more than 0", "weights")


def _check_offers(config: QueueConfig) -> None:
    if config.offer_to < 1:
        _refuse("a contact is offered to one agent at least", "offer_to")
    if config.offer_to > 1 and config.auto_accept:
        _refuse("what is accepted without an answer can be offered to one agent only", "offer_to")


def _check_hours(hours: Hours) -> None:
    check_zone(hours.time_zone)
    for weekday, spans in hours.days.items():
        with _inside("days", weekday):
            if weekday not in _WEEKDAYS:
                _refuse("a weekday is from 0 (Monday) to 6")
            _check_spans(spans)
    for date, spans in hours.dates.items():
        day_of(date)
        with _inside("dates", date):
            _check_spans(spans)


def _check_spans(spans: Sequence[Span]) -> None:
    for number, span in enumerate(spans):
        with _inside(number):
            _check_span(span)
    order = sorted(range(len(spans)), key=spans.__getitem__)
    for earlier, later in pairwise(order):
        begin, end = spans[earlier]
        if end <= begin or spans[later][0] < end:
            _refuse(f"{_shown(spans[later])} overlaps {_shown(spans[earlier])}", later)


def _check_span(span: Span) -> None:
    begin, end = span
    if not (0 <= begin < MINUTES_PER_DAY and 0 <= end <= MINUTES_PER_DAY):
        _refuse(f"a span begins from 0 to {MINUTES_PER_DAY - 1} minutes after midnight, and ends by {MINUTES_PER_DAY}")


def _shown(span: Span) -> str:
    return " to ".join(f"{minute // 60:02}:{minute % 60:02}" for minute in span)


def _overflows(config: QueueConfig) -> Iterator[tuple[tuple[str, ...], Overflow]]:
    """Where a queue sends what it does not keep, with the place in the body."""
    if config.overflow is not None:
        yield ("overflow",), config.overflow
    if config.hours is not None and config.hours.closed is not None:
        yield ("hours", "closed"), config.hours.closed


def _check_overflow(overflow: Overflow, config: QueueConfig, queues: Mapping[str, QueueConfig]) -> None:
    match overflow.action:
        case "queue":
            if overflow.queue is None:
                _refuse("which queue?", "queue")
            if overflow.queue == config.name:
                _refuse("a queue cannot overflow to itself", "queue")
            _check_known(overflow.queue, queues, "queue", "queue")
            way = _way(overflow.queue, config.name, queues)
            if way:
                _refuse(f"contacts would go round in a circle: {' → '.join((config.name, *way))}", "queue")
        case "teams":
            _check_reserve(overflow, config)
        case "callback":
            if overflow.callback_after_s < 1:
                _refuse("a call-back comes after one second at least", "callback_after_s")
        case "close":
            if not overflow.reason:
                _refuse("closing a contact needs a reason", "reason")


def _check_reserve(overflow: Overflow, config: QueueConfig) -> None:
    if not overflow.teams:
        _refuse("which teams?", "teams")
    if not config.teams:
        _refuse("any team may take this queue's contacts already", "teams")
    if config.hours is not None and overflow is config.hours.closed:
        _refuse("a closed queue offers its contacts to nobody", "action")


def _way(start: str, goal: str, queues: Mapping[str, QueueConfig]) -> tuple[str, ...]:
    """The queues on which contacts flow over from the start to the goal, both included; empty if they never do."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        for _, overflow in _overflows(queues[way[-1]]) if way[-1] in queues else ():
            following = overflow.queue
            if overflow.action != "queue" or following is None:
                continue
            if following == goal:
                return (*way, following)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return ()


# -- rules -------------------------------------------------------------------------------------------------------------


def check_rule(rule: RuleConfig, *, queues: Container[str], agents: Container[str]) -> None:
    """Refuse a rule that can never hold, does nothing, or names what is not there."""
    with _inside("when"):
        _check_rule_tags(rule)
        _check_phrases(rule.text)
        _check_attributes(rule.attributes, "attributes")
        _check_attributes(rule.customer_attributes, "customer_attributes")
        if rule.time is not None:
            with _inside("time"):
                _check_window(rule.time)
    with _inside("then"):
        does = (rule.queue, rule.priority, rule.add_tags, rule.preferred_agent_id, rule.terms, rule.alarm)
        if not any(does):
            _refuse("the rule does nothing: it names no queue, priority, tag, agent, terms or alarm")
        if rule.queue is not None:
            _check_known(rule.queue, queues, "queue", "queue")
        if rule.preferred_agent_id is not None:
            _check_known(rule.preferred_agent_id, agents, "agent", "preferred_agent_id")
        _check_terms(rule.terms, agents)
        _check_alarm(rule.alarm, agents)


def _check_rule_tags(rule: RuleConfig) -> None:
    none = frozenset(rule.tags_none)
    both = sorted(none.intersection(rule.tags_all))
    if both:
        _refuse(f"the rule can never hold: {both[0]!r} is in tags_all and in tags_none", "tags_none")
    if rule.tags_any and none.issuperset(rule.tags_any):
        _refuse("the rule can never hold: all that is in tags_any is in tags_none", "tags_none")


def _check_phrases(phrases: Sequence[str]) -> None:
    for number, phrase in enumerate(phrases):
        # Folding may lengthen what it is given: it is handed no more than counts.
        if len(phrase) > KEYWORD_CHARS_MAX or not 1 <= len(fold(phrase)) <= KEYWORD_CHARS_MAX:
            _refuse(f"a phrase must have 1 to {KEYWORD_CHARS_MAX} characters", "text", number)


def _check_attributes(attributes: Mapping[str, Sequence[Any]], place: str) -> None:
    for name, values in attributes.items():
        if not all(name.split(".")):
            _refuse(f"an attribute's name, and each part of it between dots, must not be empty: {name!r}", place)
        _check_values(values, place, name)


def _check_values(values: Sequence[Any], *place: str) -> None:
    if not values:
        _refuse("which values?", *place)
    for number, value in enumerate(values):
        if not is_plain(value):
            _refuse("a value is a string, a number, true, false or null", *place, number)


def _check_window(window: TimeWindow) -> None:
    check_zone(window.time_zone)
    with _inside("span"):
        _check_span(window.span)
    for number, day in enumerate(window.days):
        if day not in _WEEKDAYS:
            _refuse("a weekday is from 0 (Monday) to 6", "days", number)


def _check_terms(terms: Terms, agents: Container[str]) -> None:
    for place, names in (("include", terms.agents), ("exclude", terms.not_agents)):
        for number, name in enumerate(names):
            _check_known(name, agents, "agent", "agents", place, number)


# -- pilots ------------------------------------------------------------------------------------------------------------


def check_pilot(pilot: PilotConfig, *, queues: Mapping[str, QueueConfig], agents: Container[str]) -> None:
    """Refuse a pilot for nobody or for no time, and one whose queues or rules would be refused by themselves."""
    if not 0 <= pilot.percent <= PERCENT_MAX:
        _refuse(f"percent is from 0 to {PERCENT_MAX}, not {pilot.percent}", "percent")
    if pilot.until_at is not None and pilot.until_at <= pilot.from_at:
        _refuse("the pilot would be over before it begins", "until")
    if pilot.attribute is not None:
        if not pilot.attribute:
            _refuse("an attribute's name must not be empty", "attribute")
        _check_values(pilot.values, "values")
    elif pilot.values:
        _refuse("the values of which attribute?", "attribute")
    trial = {**queues, **pilot.queues}
    for name, config in pilot.queues.items():
        with _inside("queues", name):
            _check_known(name, queues, "queue")
            check_queue(config, queues=trial, agents=agents)
    for name, rule in (pilot.rules or {}).items():
        with _inside("rules", name):
            check_rule(rule, queues=queues, agents=agents)


# -- departments -------------------------------------------------------------------------------------------------------


def check_department(department: DepartmentConfig, *, agents: Container[str]) -> None:
    """Refuse deadlines that are over at once, seasons that overlap, and an escalation to nobody."""
    with _inside("deadlines"):
        _check_deadlines(department.deadlines)
    for number, dated in enumerate(department.dated):
        with _inside("dated", number):
            if dated.until_at <= dated.from_at:
                _refuse("it would be over before it begins", "until")
            with _inside("deadlines"):
                _check_deadlines(dated.deadlines)
    order = sorted(range(len(department.dated)), key=lambda number: department.dated[number].from_at)
    for earlier, later in pairwise(order):
        if department.dated[later].from_at < department.dated[earlier].until_at:
            _refuse(f"it begins before number {earlier} is over", "dated", later, "from")
    if department.escalate_to is not None:
        _check_known(department.escalate_to, agents, "agent", "escalate_to")


def _check_deadlines(deadlines: Deadlines) -> None:
    for name, seconds in asdict(deadlines).items():
        if seconds is not None and seconds < 1:
            _refuse(f"a deadline is one second at least, not {seconds}", name)


# -- settings ----------------------------------------------------------------------------------------------------------


def check_settings(settings: Settings, *, agents: Container[str]) -> None:
    """Refuse tiers that name agents who are not there, and quiet hours that are none."""
    if settings.restraint.quiet is not None:
        with _inside("restraint", "quiet"):
            _check_hours(settings.restraint.quiet)
    for name, tier in settings.tiers.items():
        for number, agent_id in enumerate(tier.agents):
            _check_known(agent_id, agents, "agent", "tiers", name, "agents", number)


# -- agents ------------------------------------------------------------------------------------------------------------


def check_agent(config: AgentConfig, agents: Container[str]) -> None:
    """Refuse an agent that is its own mentor, loses what it does not have, or excludes what it does not take."""
    if config.mentor_id is not None:
        if config.mentor_id == config.id:
            _refuse("an agent cannot be its own mentor", "mentor_id")
        _check_known(config.mentor_id, agents, "agent", "mentor_id")
    if not 1 <= config.newcomer_percent <= PERCENT_MAX:
        _refuse(f"newcomer_percent is from 1 to {PERCENT_MAX}, not {config.newcomer_percent}", "newcomer_percent")
    had = {*config.skills, *(LANGUAGE + primary(language) for language in config.languages)}
    for skill in config.skills_until:
        if skill not in had:
            _refuse(f"the agent has no skill {skill!r} that could end", "skills_until", skill)
    for channel, limit in (config.channels or {}).items():
        with _inside("channels", channel):
            _check_excludes(limit.excludes, channel, config.channels or {})


def _check_excludes(excludes: Sequence[str], channel: str, channels: Container[str]) -> None:
    _check_once(excludes, "excludes")
    for number, other in enumerate(excludes):
        if other == channel:
            _refuse("a channel cannot exclude itself: its max says how many there may be", "excludes", number)
        if other == ALL:
            if len(excludes) > 1:
                _refuse(f"{ALL!r} excludes every other channel already", "excludes", number)
        elif other not in channels:
            _refuse(f"the agent takes no contacts of the channel {other!r}", "excludes", number)


# -- refusing ----------------------------------------------------------------------------------------------------------


def _refuse(reason: str, *place: object) -> NoReturn:
    raise Malformed(reason, field=_path(place))


def _check_known(name: str, known: Container[str], kind: str, *place: object) -> None:
    if name not in known:
        raise UnknownReference(f"there is no {kind} {name!r}", field=_path(place))


def _check_once(names: Sequence[str], place: str) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            _refuse(f"{name!r} is there twice", place, number)


@contextmanager
def _inside(*place: object) -> Iterator[None]:
    """Put a place before the field that is named by whatever is refused within."""
    try:
        yield
    except Malformed as refused:
        refused.extra["field"] = _path((*place, refused.extra["field"]))
        raise


def _path(place: Iterable[object]) -> str:
    return ".".join(str(part) for part in place if part != "")
