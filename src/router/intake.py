"""What a new contact is: its tags, the rules that hold for it, its queue and what it needs. Pure; decides no match.

Asked by the engine for a contact that has come, and by a dry run for one that has not.
"""

from collections.abc import Callable, Mapping
from typing import Final
from zlib import crc32

from src.router.classify import NOTHING_HELD, Facts, Rules, Verdict, among, requirements_of
from src.router.commands import Receive
from src.router.config import CONTROL, TRIAL, Config
from src.router.model import DEFAULT_QUEUE, Alarm, PilotConfig, Requirement, TagRequest, Terms, TierConfig
from src.router.native import mypyc_attr
from src.router.tagging import TagFinder


@mypyc_attr(acyclic=True)
class Classified:
    """What was made of a contact. `preferred` are agents to be preferred, first ones first: (agent, kind).

    `dedicated_wait_s` is how long the tier lets its dedicated agents be waited for, None: as long as the queue does.
    `alarms` are those of rules, each with its rule.
    """

    __slots__ = (
        *("alarms", "dedicated_wait_s", "language", "pilot", "preferred", "priority", "queue", "requirements"),
        *("rules", "tags", "terms"),
    )

    def __init__(
        self,
        *,
        queue: str,
        priority: int,
        language: str | None,
        tags: tuple[TagRequest, ...],
        requirements: tuple[Requirement, ...],
        terms: Terms,
        rules: tuple[str, ...],
        pilot: str | None,
        preferred: list[tuple[str, str]],
        dedicated_wait_s: int | None,
        alarms: tuple[tuple[str, Alarm], ...],
    ) -> None:
        self.queue: Final = queue
        self.priority: Final = priority
        self.language: Final = language
        self.tags: Final = tags
        self.requirements: Final = requirements
        self.terms: Final = terms
        self.rules: Final = rules
        self.pilot: Final = pilot
        self.preferred: Final = preferred
        self.dedicated_wait_s: Final = dedicated_wait_s
        self.alarms: Final = alarms


NO_TIER: Final = TierConfig()

_Pilot = tuple[str, PilotConfig, Callable[[Mapping[str, object]], bool] | None]
"""Its name, what it is, and whom it is meant for by their attributes (None: everybody)."""


class Intake:
    """Classifies contacts by the tenant's configuration. What is made of it once is kept until `forget`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._finder: TagFinder | None = None
        self._rules: dict[str | None, Rules] = {}
        self._pilots: list[_Pilot] | None = None

    def forget(self, finder: TagFinder | None = None) -> None:
        """The configuration has changed."""
        self._finder = finder
        self._rules = {}
        self._pilots = None

    def classify(self, command: Receive, now: int) -> Classified:
        """What a contact is."""
        tags = command.tags
        if tags is None:
            tags = tuple(TagRequest(each) for each in self.find_tags(command.text))
        pilot = self._pilot(command, now) if self._config.pilots else None
        rules = self._rules_of(pilot)
        verdict = rules.judge(_facts(command, tags, now)) if rules else NOTHING_HELD
        if verdict.tags:
            tags += tuple(TagRequest(each) for each in verdict.tags)
        tier = NO_TIER if command.tier is None else self._config.settings.tiers.get(command.tier, NO_TIER)
        return Classified(
            queue=command.queue or verdict.queue or DEFAULT_QUEUE,
            priority=command.priority + verdict.priority + tier.priority,
            language=command.language,
            tags=tags,
            requirements=requirements_of(tags, self._config.tags, now),
            terms=joined(command.terms, verdict.terms),
            rules=verdict.rules,
            pilot=pilot,
            preferred=_preferred(command, tier, verdict),
            dedicated_wait_s=tier.dedicated_wait_s,
            alarms=verdict.alarms,
        )

    def find_tags(self, text: str | None) -> tuple[str, ...]:
        """The tags that a text speaks of."""
        if not text:
            return ()
        if self._finder is None:
            self._finder = TagFinder(self._config.tags)
        return self._finder.find(text)

    def _pilot(self, command: Receive, now: int) -> str | None:
        """`name:trial` or `name:control` of the first pilot that concerns the contact."""
        if self._pilots is None:
            self._pilots = [
                (name, pilot, None if pilot.attribute is None else among(pilot.attribute, pilot.values))
                for name, pilot in sorted(self._config.pilots.items())
            ]
        for name, pilot, is_meant in self._pilots:
            if _is_on(pilot, now) and (is_meant is None or is_meant(command.attributes)):
                share = crc32(f"{name}:{command.survivor_id or command.customer_id}".encode()) % 100
                return f"{name}:{TRIAL if share < pilot.percent else CONTROL}"
        return None

    def _rules_of(self, pilot: str | None) -> Rules:
        rules = self._rules.get(pilot)
        if rules is None:
            trial = self._config.trial(pilot)
            own = trial is not None and trial.rules is not None
            chosen = trial.rules if own and trial is not None else self._config.rules
            assert chosen is not None
            rules = self._rules[pilot] = Rules(chosen.values())
        return rules


def _preferred(command: Receive, tier: TierConfig, verdict: Verdict) -> list[tuple[str, str]]:
    """The agents to be preferred: of the conversation, the customer's own, those of its tier, a rule's, the last."""
    found: list[tuple[str, str]] = []
    if command.responsible_id is not None:
        found.append((command.responsible_id, "conversation"))
    if command.dedicated_agent_id is not None:
        found.append((command.dedicated_agent_id, "dedicated"))
    found.extend([(each, "dedicated") for each in tier.agents])
    if verdict.preferred_agent_id is not None:
        found.append((verdict.preferred_agent_id, "rule"))
    if command.last_agent_id is not None:
        found.append((command.last_agent_id, "last"))
    return found


def _facts(command: Receive, tags: tuple[TagRequest, ...], now: int) -> Facts:
    names = frozenset([each.tag for each in tags])
    return Facts(
        channel=command.channel,
        account=command.account,
        tags=names,
        tier=command.tier,
        language=command.language,
        attributes=command.attributes,
        customer_attributes=command.customer_attributes,
        text=command.text,
        repeat=not command.recent_tags.isdisjoint(names),
        now=now,
    )


def _is_on(pilot: PilotConfig, now: int) -> bool:
    return pilot.enabled and pilot.from_at <= now and (pilot.until_at is None or now < pilot.until_at)


def joined(own: Terms, ruled: Terms) -> Terms:
    """The caller's terms and those of the rules: what the caller names to be chosen from goes first."""
    if not ruled:
        return own
    if not own:
        return ruled
    return Terms(
        agents=own.agents or ruled.agents,
        not_agents=tuple(dict.fromkeys(own.not_agents + ruled.not_agents)),
        teams=own.teams or ruled.teams,
        not_teams=tuple(dict.fromkeys(own.not_teams + ruled.not_teams)),
    )
