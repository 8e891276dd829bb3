"""From tags, texts and rules to what a contact needs, and what a queue's steps leave of it.

Pure; the finder of tags in texts is `tagging`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from src.errors import Malformed
from src.router.entities import requirement
from src.router.fit import primary
from src.router.hours import hours_of, is_open
from src.router.model import (
    ALL,
    LANGUAGE,
    NO_TERMS,
    Alarm,
    Requirement,
    RuleConfig,
    Step,
    TagConfig,
    TagRequest,
    Terms,
)
from src.router.native import mypyc_attr
from src.router.tagging import PHRASES_MAX, TagFinder, fold

# -- rules -------------------------------------------------------------------------------------------------------------


@mypyc_attr(acyclic=True)
class Facts:
    """What the rules may look at.

    `tags` are the contact's own; `repeat`: its customer was here with one of them lately. `now` in milliseconds.
    """

    __slots__ = (
        *("account", "attributes", "channel", "customer_attributes", "language", "now", "repeat", "tags", "text"),
        "tier",
    )

    def __init__(
        self,
        *,
        channel: str,
        account: str,
        tags: frozenset[str],
        tier: str | None,
        language: str | None,
        attributes: Mapping[str, Any],
        customer_attributes: Mapping[str, Any],
        text: str | None,
        repeat: bool,
        now: int,
    ) -> None:
        self.channel: Final = channel
        self.account: Final = account
        self.tags: Final = tags
        self.tier: Final = tier
        self.language: Final = language
        self.attributes: Final = attributes
        self.customer_attributes: Final = customer_attributes
        self.text: Final = text
        self.repeat: Final = repeat
        self.now: Final = now


class Verdict(NamedTuple):
    """What the rules say together.

    `queue` is the first that a rule names, None if none does; `priority` the sum, in seconds; `tags` those to add, in
    order, without the contact's own; `rules` which ones held; `preferred_agent_id` the first that a rule names.
    `terms` have everything that is excluded and every team that is allowed by any of the rules, but the agents of the
    first rule that names some: the rules after it neither widen nor narrow these.
    `alarms` are those to be raised, each with its rule.
    """

    queue: str | None = None
    priority: int = 0
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    preferred_agent_id: str | None = None
    terms: Terms = NO_TERMS
    alarms: tuple[tuple[str, Alarm], ...] = ()


class Rules:
    """A tenant's classification rules. Built once for each configuration; asked once for each contact.

    Conditions
        A condition that is set must hold. Languages are compared by their primary subtag. Attributes are compared as
        JSON is: `true` is not 1, and 1 is 1.0. The name `order.items` is an attribute of that name, else what the
        object `order` has under `items`; where a list stands, any of its members may match. What is not there matches
        nothing, `null` included. Phrases are compared as keywords of tags are, but none hides another rule's.

    Raises:
        Malformed: a phrase too many. What `checks` refuses in a single rule is not looked at here.
    """

    def __init__(self, rules: Iterable[RuleConfig]) -> None:
        self._rules = [_Conditions(rule) for rule in sorted(rules, key=attrgetter("order", "name"))]
        self._finders: tuple[TagFinder, ...] | None = None
        if sum(len(each.rule.text) for each in self._rules) > PHRASES_MAX:
            raise Malformed(f"rules have more than {PHRASES_MAX} phrases", field="when.text")

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._rules)

    def judge(self, facts: Facts) -> Verdict:
        """Ask every rule, by order, then name. A tag that a rule adds is seen by the rules after it."""
        if not self._rules:
            return NOTHING_HELD
        case = _Case(facts, self)
        held: list[RuleConfig] = []
        for each in self._rules:
            if each.hold(case):
                held.append(each.rule)
                if each.rule.add_tags:
                    case.tags = case.tags.union(each.rule.add_tags)
        return _verdict(facts, held) if held else NOTHING_HELD

    def spoken_of(self, text: str | None) -> frozenset[str]:
        """The names of the rules with a phrase that stands in the text."""
        if not text:
            return frozenset()
        if self._finders is None:
            self._finders = _finders([each.rule for each in self._rules if each.rule.text])
        return frozenset(name for finder in self._finders for name in finder.find(text))


NOTHING_HELD: Final = Verdict()
"""What is said of a contact for which no rule holds."""


class _Case:
    """One judging: the facts at hand, the tags so far, and what the text says once somebody has asked."""

    __slots__ = ("_found", "_rules", "facts", "tags")

    def __init__(self, facts: Facts, rules: Rules) -> None:
        self.facts: Final = facts
        self.tags = facts.tags
        self._rules = rules
        self._found: frozenset[str] | None = None

    def found(self) -> frozenset[str]:
        """The names of the rules with a phrase that stands in the text."""
        if self._found is None:
            self._found = self._rules.spoken_of(self.facts.text)
        return self._found


_OfAttributes = Callable[[Mapping[str, Any]], bool]


class _Conditions:
    """A rule, and the conditions that it sets, made ready once; an empty set is none."""

    __slots__ = (
        *("_accounts", "_attributes", "_channels", "_customer_attributes", "_every", "_hours", "_languages"),
        *("_none", "_repeat", "_some", "_tiers", "rule"),
    )

    def __init__(self, rule: RuleConfig) -> None:
        self.rule: Final = rule
        self._channels = frozenset(rule.channels)
        self._accounts = frozenset(rule.accounts)
        self._tiers = frozenset(rule.customer_tiers)
        self._languages = frozenset(map(primary, rule.languages))
        self._repeat = rule.repeat
        self._some = frozenset(rule.tags_any)
        self._every = frozenset(rule.tags_all)
        self._none = frozenset(rule.tags_none)
        self._attributes: list[_OfAttributes] = [among(*each) for each in rule.attributes.items()]
        self._customer_attributes: list[_OfAttributes] = [among(*each) for each in rule.customer_attributes.items()]
        self._hours = None if rule.time is None else hours_of(rule.time)

    def hold(self, case: _Case) -> bool:
        """Whether all of them do. The cheap ones are looked at first: most rules do not hold for most contacts."""
        facts = case.facts
        if self._channels and facts.channel not in self._channels:
            return False
        if self._accounts and facts.account not in self._accounts:
            return False
        if self._tiers and facts.tier not in self._tiers:
            return False
        return self._hold_of_tags(case.tags) and self._hold_of_more(case)

    def _hold_of_tags(self, tags: frozenset[str]) -> bool:
        if self._some and not any(each in self._some for each in tags):
            return False
        if self._every and not self._every <= tags:
            return False
        return not self._none or self._none.isdisjoint(tags)

    def _hold_of_more(self, case: _Case) -> bool:
        facts = case.facts
        if self._languages and (facts.language is None or primary(facts.language) not in self._languages):
            return False
        if self._repeat is not None and facts.repeat is not self._repeat:
            return False
        if not all(holds(facts.attributes) for holds in self._attributes):
            return False
        if not all(holds(facts.customer_attributes) for holds in self._customer_attributes):
            return False
        if self._hours is not None and not is_open(self._hours, facts.now):
            return False
        return not self.rule.text or self.rule.name in case.found()


def among(name: str, values: Iterable[Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether the attribute of this name has one of these values, as `Rules` compares them."""
    first, *rest = name.split(".")
    allowed = frozenset(_typed(value) for value in values if is_plain(value))

    def is_allowed(value: object) -> bool:
        if isinstance(value, (list, tuple)):
            return any(is_plain(member) and _typed(member) in allowed for member in value)
        return is_plain(value) and _typed(value) in allowed

    def holds(attributes: Mapping[str, Any]) -> bool:
        if name in attributes:
            return is_allowed(attributes[name])
        return first in attributes and any(map(is_allowed, _reached(attributes[first], rest)))

    return holds


def is_plain(value: object) -> bool:
    """Whether a value of JSON is neither a list nor an object."""
    return value is None or isinstance(value, (str, int, float))


def _typed(value: object) -> tuple[bool, object]:
    """A plain value, told apart from those that Python holds equal though JSON does not: `true` and 1."""
    return isinstance(value, bool), value


def _reached(value: object, path: Iterable[str]) -> list[object]:
    """What stands at the end of a path of names. A list on the way is gone through."""
    found = [value]
    for name in path:
        each = [member for value in found for member in (value if isinstance(value, (list, tuple)) else (value,))]
        found = [member[name] for member in each if isinstance(member, Mapping) and name in member]
    return found


def _finders(rules: Sequence[RuleConfig]) -> tuple[TagFinder, ...]:
    """What finds the rules whose phrases stand in a text, each by its name.

    A finder takes the longest phrase for what was said. That is right for tags, but a rule must not stop holding
    because another one was written: phrases that lie inside others go to a finder of their own, so that nearly always
    there is a single one.
    """
    depths = dict.fromkeys(sorted({fold(phrase) for rule in rules for phrase in rule.text}, key=len, reverse=True), 0)
    for phrase, depth in depths.items():
        for part in _parts(phrase):
            if part in depths:
                depths[part] = max(depths[part], depth + 1)
    return tuple(
        TagFinder(
            {
                rule.name: TagConfig(rule.name, tuple(each for each in rule.text if depths[fold(each)] == depth))
                for rule in rules
            }
        )
        for depth in sorted(set(depths.values()))
    )


def _parts(phrase: str) -> Iterator[str]:
    """Everything that lies inside a phrase, other than the whole."""
    size = len(phrase)
    return (phrase[start:end] for start in range(size) for end in range(start + 1, size + 1) if start > 0 or end < size)


def _verdict(facts: Facts, held: Sequence[RuleConfig]) -> Verdict:
    return Verdict(
        queue=next((rule.queue for rule in held if rule.queue), None),
        priority=sum([rule.priority for rule in held]),
        tags=_once(tag for rule in held for tag in rule.add_tags if tag not in facts.tags),
        rules=tuple([rule.name for rule in held]),
        preferred_agent_id=next(
            (each.preferred_agent_id for each in held if each.preferred_agent_id is not None), None
        ),
        terms=_together([rule.terms for rule in held if rule.terms is not NO_TERMS]),
        alarms=tuple([(rule.name, rule.alarm) for rule in held if rule.alarm is not None]),
    )


def _together(terms: Sequence[Terms]) -> Terms:
    if not terms:
        return NO_TERMS
    return Terms(
        agents=next((each.agents for each in terms if each.agents), ()),
        not_agents=_once(agent for each in terms for agent in each.not_agents),
        teams=_once(team for each in terms for team in each.teams),
        not_teams=_once(team for each in terms for team in each.not_teams),
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    """The names in their order, each at its first place."""
    return tuple(dict.fromkeys(names))


# -- requirements ------------------------------------------------------------------------------------------------------


def requirements_of(tags: Iterable[TagRequest], configs: Mapping[str, TagConfig], now: int) -> tuple[Requirement, ...]:
    """The skills that the tags ask for: those of the tag's configuration, else the skill of the tag's own name.

    Where both the tag's configuration and the request name a level, the higher one counts. Of several
    requirements of one skill only those stay that no other covers. `now` in milliseconds.
    """
    found: list[Requirement] = []
    for request in tags:
        config = configs.get(request.tag)
        lapses_at = None if request.expires_after_s is None else now + request.expires_after_s * 1000
        tag, required, weight = request.tag, request.required, request.weight
        if config is None or not config.requires:
            found.append(requirement(tag, tag, request.level, weight, lapses_at, required=required))
        else:
            for skill, level in config.requires.items():
                least = max(level, request.level)
                found.append(requirement(tag, skill, least, weight, lapses_at, required=required))
    return uncovered(found)


def uncovered(requirements: Sequence[Requirement]) -> tuple[Requirement, ...]:
    """Those that no other covers, in the order in which they came; of equals, the first."""
    if len(requirements) == 1 or len({each.skill for each in requirements}) == len(requirements):
        return tuple(requirements)
    kept: list[Requirement] = []
    for each in requirements:
        if not any(_covers(other, each) for other in kept):
            kept = [other for other in kept if not _covers(each, other)] + [each]
    return tuple(kept)


def _covers(one: Requirement, other: Requirement) -> bool:
    """Whether whoever meets the one meets the other, for as long as the other lasts."""
    lasts = one.lapses_at is None or (other.lapses_at is not None and one.lapses_at >= other.lapses_at)
    alike = one.skill == other.skill and one.required == other.required and one.shared == other.shared
    return alike and one.level >= other.level and lasts


# -- steps -------------------------------------------------------------------------------------------------------------


class Relaxed(NamedTuple):
    """What a step leaves of a contact's needs, and who may take it now.

    `any_team`: teams limited who may take it, and do so no more. `add_teams` may take it from now on, beside those that
    could before. Where nothing limits it, nothing is dropped and nothing is added.
    """

    requirements: tuple[Requirement, ...]
    language: str | None
    any_team: bool
    add_teams: tuple[str, ...]


_LANGUAGE_TAG: Final = LANGUAGE.rstrip(":")
"""The tag by which a step names the contact's language."""


def relaxed(
    step: Step,
    requirements: tuple[Requirement, ...],
    language: str | None,
    terms: Terms,
    queue_teams: tuple[str, ...],
) -> Relaxed:
    """What one step makes of a contact. Whoever fitted before fits after it; doing it twice changes nothing more.

    The language counts as the tag `language`, so `*` drops it as well. What `drop` names is gone, whatever else the
    step says of it; where `lower` names both a tag and `*`, the lower level counts. Teams in the terms take the place
    of the queue's, and `*` among them is any. Teams that the terms exclude stay excluded.
    """
    drop = frozenset(step.drop)
    limit = terms.limit(queue_teams)
    limited = bool(limit) and ALL not in limit
    any_team = step.any_team and limited
    joins = limited and not any_team
    return Relaxed(
        requirements=_relaxed_requirements(step, drop, requirements),
        language=None if step.any_language or ALL in drop or _LANGUAGE_TAG in drop else language,
        any_team=any_team,
        add_teams=_once(each for each in step.add_teams if joins and each not in limit and each not in terms.not_teams),
    )


def _relaxed_requirements(
    step: Step, drop: frozenset[str], requirements: tuple[Requirement, ...]
) -> tuple[Requirement, ...]:
    if not (drop or step.prefer or step.lower) or not requirements:
        return requirements
    every = step.lower.get(ALL)
    kept: list[Requirement] = []
    for each in requirements:
        if ALL in drop or each.tag in drop:
            continue
        levels = (each.level, step.lower.get(each.tag), every)
        kept.append(
            each._replace(
                level=min(level for level in levels if level is not None),
                required=each.required and not (ALL in step.prefer or each.tag in step.prefer),
            )
        )
    return uncovered(kept)
