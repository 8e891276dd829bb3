"""What a contact is when it comes, rule by rule, without the engine's own classification."""

from dataclasses import dataclass
from typing import Final

from src.router import commands as c
from src.router.config import Config
from src.router.model import Alarm, Hours, QueueConfig, Requirement, RuleConfig, TagRequest, Terms, TierConfig
from tests.property.tape.naive import is_open, uncovered

WORDS: Final = {"refund": "退款", "logistics": "快递", "fault": "broken"}
"""One keyword for each tag that the tape knows; none lies in another."""


@dataclass(frozen=True)
class Intake:
    """What is to become of a contact. `preferred` are agents with the kind and how long they are waited for."""

    queue: str
    priority: int
    tags: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    terms: Terms
    rules: tuple[str, ...]
    alarms: tuple[tuple[str, Alarm], ...]
    preferred: tuple[tuple[str, str, int | None], ...]


def intake(command: c.Receive, config: Config, now: int, pilot: str | None) -> Intake:
    """The contact that this command brings; `pilot` is the arm that it is in."""
    own = command.tags
    if own is None:
        own = tuple(TagRequest(tag) for tag in sorted(config.tags) if _speaks_of(command.text, config, tag))
    tags, held = [each.tag for each in own], list[RuleConfig]()
    for rule in sorted(_rules(config, pilot), key=lambda each: (each.order, each.name)):
        if _holds(rule, command, tags, {each.tag for each in own}, now):
            held.append(rule)
            tags.extend(each for each in rule.add_tags if each not in tags)
    tier = config.settings.tiers.get(command.tier or "", TierConfig())
    queue = command.queue or next((each.queue for each in held if each.queue), "default")
    added = tuple(TagRequest(each) for each in tags[len(own) :])
    return Intake(
        queue=queue,
        priority=command.priority + tier.priority + sum(each.priority for each in held),
        tags=tuple(tags),
        requirements=_requirements((*own, *added), config, now),
        terms=_terms([command.terms, *(each.terms for each in held)]),
        rules=tuple(each.name for each in held),
        alarms=tuple((each.name, each.alarm) for each in held if each.alarm is not None),
        preferred=_preferred(command, held, tier, _policy(config, pilot, queue)),
    )


def concerned(command: c.Receive, config: Config, now: int) -> str | None:
    """The name of the first pilot that concerns the contact."""
    for name, pilot in sorted(config.pilots.items()):
        on = pilot.enabled and pilot.from_at <= now and (pilot.until_at is None or now < pilot.until_at)
        if on and (pilot.attribute is None or command.attributes.get(pilot.attribute) in pilot.values):
            return name
    return None


def _speaks_of(text: str | None, config: Config, tag: str) -> bool:
    return any(each in (text or "").replace(" ", "") for each in config.tags[tag].keywords)


def _rules(config: Config, pilot: str | None) -> list[RuleConfig]:
    name, _, arm = (pilot or "").rpartition(":")
    own = config.pilots[name].rules if arm == "trial" and name in config.pilots else None
    return list((config.rules if own is None else own).values())


def _policy(config: Config, pilot: str | None, queue: str) -> QueueConfig:
    name, _, arm = (pilot or "").rpartition(":")
    if arm == "trial" and queue in config.pilots[name].queues:
        return config.pilots[name].queues[queue]
    return config.queues[queue]


def _holds(rule: RuleConfig, command: c.Receive, tags: list[str], own: set[str], now: int) -> bool:
    language = None if command.language is None else command.language.partition("-")[0]
    window = rule.time
    conditions = [
        not rule.channels or command.channel in rule.channels,
        not rule.tags_any or bool(set(rule.tags_any) & set(tags)),
        set(rule.tags_all) <= set(tags),
        not set(rule.tags_none) & set(tags),
        not rule.customer_tiers or command.tier in rule.customer_tiers,
        not rule.languages or language in rule.languages,
        all(command.attributes.get(name) in values for name, values in rule.attributes.items()),
        all(command.customer_attributes.get(name) in values for name, values in rule.customer_attributes.items()),
        not rule.text or any(each in (command.text or "").replace(" ", "") for each in rule.text),
        rule.repeat is None or rule.repeat == bool(own & command.recent_tags),
        window is None or is_open(Hours(window.time_zone, dict.fromkeys(window.days or range(7), (window.span,))), now),
    ]
    return all(conditions)


def _requirements(tags: tuple[TagRequest, ...], config: Config, now: int) -> tuple[Requirement, ...]:
    asked = []
    for each in tags:
        lapses_at = None if each.expires_after_s is None else now + each.expires_after_s * 1000
        known = config.tags.get(each.tag)
        skills = {each.tag: each.level} if known is None or not known.requires else known.requires
        for skill, level in skills.items():
            asked.append(Requirement(each.tag, skill, max(level, each.level), each.required, each.weight, lapses_at))
    return uncovered(asked)


def _terms(all_terms: list[Terms]) -> Terms:
    own, *ruled = all_terms
    ruled_agents = next((each.agents for each in ruled if each.agents), ())
    ruled_teams = tuple(dict.fromkeys(team for each in ruled for team in each.teams))
    return Terms(
        agents=own.agents or ruled_agents,
        not_agents=tuple(dict.fromkeys(agent for each in all_terms for agent in each.not_agents)),
        teams=own.teams or ruled_teams,
        not_teams=tuple(dict.fromkeys(team for each in all_terms for team in each.not_teams)),
    )


def _preferred(
    command: c.Receive, held: list[RuleConfig], tier: TierConfig, policy: QueueConfig
) -> tuple[tuple[str, str, int | None], ...]:
    dedicated_s = policy.dedicated_wait_s if tier.dedicated_wait_s is None else tier.dedicated_wait_s
    ruled = next((each.preferred_agent_id for each in held if each.preferred_agent_id), None)
    found = (
        (command.dedicated_agent_id, "dedicated", dedicated_s),
        *((each, "dedicated", dedicated_s) for each in tier.agents),
        (ruled, "rule", policy.dedicated_wait_s),
        (command.last_agent_id, "last", policy.last_agent_wait_s),
    )
    return tuple((agent_id, kind, wait_s) for agent_id, kind, wait_s in found if agent_id is not None)
