"""From tags, texts and rules to what a contact needs. Pure; the finder of tags in texts is `tagging`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from src.router.model import DEFAULT_QUEUE, Requirement, RuleConfig, TagConfig, TagRequest


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules may look at."""

    channel: str
    tags: frozenset[str]
    tier: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say together: the queue, seconds of priority to add, tags to add, and which rules held."""

    queue: str
    priority: int
    tags: tuple[str, ...]
    rules: tuple[str, ...]


def judge(rules: Iterable[RuleConfig], facts: Facts) -> Verdict:
    """Ask every rule, in the order given. A tag that a rule adds is seen by the rules after it."""
    queue: str | None = None
    priority, tags, held = 0, list[str](), list[str]()
    seen = set(facts.tags)
    for rule in rules:
        if not _holds(rule, facts, seen):
            continue
        held.append(rule.name)
        queue = queue or rule.queue
        priority += rule.priority
        tags.extend(tag for tag in rule.add_tags if tag not in seen)
        seen.update(rule.add_tags)
    return Verdict(queue or DEFAULT_QUEUE, priority, tuple(tags), tuple(held))


def _holds(rule: RuleConfig, facts: Facts, tags: set[str]) -> bool:
    if rule.tags_any and tags.isdisjoint(rule.tags_any):
        return False
    if rule.channels and facts.channel not in rule.channels:
        return False
    return not rule.customer_tiers or facts.tier in rule.customer_tiers


def requirements_of(tags: Iterable[TagRequest], configs: Mapping[str, TagConfig], now: int) -> tuple[Requirement, ...]:
    """The skills that the tags ask for: those of the tag's configuration, else the skill of the tag's own name.

    Where both the tag's configuration and the request name a level, the higher one counts. Of several
    requirements of one skill only those stay that no other covers. `now` in milliseconds.
    """
    found: list[Requirement] = []
    for request in tags:
        config = configs.get(request.tag)
        skills = config.requires if config is not None and config.requires else {request.tag: 1}
        lapses_at = None if request.expires_after_s is None else now + request.expires_after_s * 1000
        for skill, level in skills.items():
            each = Requirement(
                request.tag, skill, max(level, request.level), request.required, request.weight, lapses_at
            )
            if not any(_covers(other, each) for other in found):
                found = [other for other in found if not _covers(each, other)] + [each]
    return tuple(found)


def _covers(one: Requirement, other: Requirement) -> bool:
    """Whether whoever meets the one meets the other, for as long as the other lasts."""
    lasts = one.lapses_at is None or (other.lapses_at is not None and one.lapses_at >= other.lapses_at)
    return one.skill == other.skill and one.required == other.required and one.level >= other.level and lasts
