"""What is so, looked at one agent and one contact at a time.

It reads the folded state and the configuration, and shares no code with the index, the desk, the matching, the steps
or the opening hours.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from src.router.config import Config
from src.router.entities import Agent, Assignment, Contact
from src.router.model import ChannelLimit, Hours, Overflow, QueueConfig, Requirement, Step, Terms
from src.router.state import State

OVERFLOWS_MAX = 8


@dataclass(frozen=True)
class Ask:
    """What a contact asks of an agent. `teams` are the queue's."""

    channel: str
    requirements: tuple[Requirement, ...]
    language: str | None
    terms: Terms
    teams: tuple[str, ...]
    target: str | None = None
    kind: str | None = None

    @property
    def allowed_teams(self) -> frozenset[str] | None:
        """One of these teams; None: any."""
        teams = frozenset(self.terms.widened or self.terms.teams or self.teams)
        return None if not teams or "*" in teams else teams


class Naive:
    """The folded state at a moment, with the questions that one may ask of it."""

    def __init__(self, state: State, config: Config, now: int) -> None:
        self.state, self.config, self.now = state, config, now

    # -- queues -------------------------------------------------------------------------------------------------

    def policy(self, contact: Contact) -> QueueConfig:
        name, _, arm = (contact.pilot or "").partition(":")
        if arm == "trial" and name in self.config.pilots and contact.queue in self.config.pilots[name].queues:
            return self.config.pilots[name].queues[contact.queue]
        return self.config.queues.get(contact.queue, self.config.queues["default"])

    def is_open(self, contact: Contact) -> bool:
        """Hours are for those who come: who was answered before, or is pinned, is served whatever the hours."""
        paused = self.policy(contact).paused or self.config.queues[contact.queue].paused
        holds = self.is_closed(contact) or self.is_quiet(contact)
        return not paused and (contact.target_kind == "pinned" or not holds)

    def is_closed(self, contact: Contact) -> bool:
        hours = self.policy(contact).hours
        return hours is not None and contact.answered_at is None and not is_open(hours, self.now)

    def is_quiet(self, contact: Contact) -> bool:
        quiet = self.quiet_for(contact)
        return quiet is not None and contact.answered_at is None and is_open(quiet, self.now)

    def is_held_by_quiet_alone(self, contact: Contact) -> bool:
        """Whether it would be offered at any other hour."""
        paused = self.policy(contact).paused or self.config.queues[contact.queue].paused
        closed = paused or self.is_closed(contact) or contact.target_kind == "pinned"
        return not closed and self.is_quiet(contact)

    def quiet_for(self, contact: Contact) -> Hours | None:
        """Whoever is called back or turned to is left in peace, until it writes itself."""
        is_turned_to = not {"callback", "outreach"}.isdisjoint(contact.flags)
        return self.config.settings.restraint.quiet if is_turned_to and "came_back" not in contact.flags else None

    def waited_ms(self, contact: Contact, since: int) -> int:
        """How long it has waited: the time in which its queue was closed, or it was left in peace, does not count."""
        if contact.answered_at is not None:
            return self.now - since
        return self.open_ms(self.policy(contact), since, self.now, self.quiet_for(contact))

    def open_ms(self, policy: QueueConfig, since: int, until: int, quiet: Hours | None = None) -> int:
        """For how long the queue is open, and it is not quiet, between two moments."""
        if policy.hours is None and quiet is None:
            return until - since
        cuts = [since, *range((since // 60_000 + 1) * 60_000, until, 60_000), until]
        return sum(end - begin for begin, end in pairwise(cuts) if may_begin(policy.hours, quiet, begin))

    def waiting(self, queue: str | None = None) -> list[Contact]:
        """Smallest rank first."""
        found = (each for each in self.state.contacts.values() if each.state == "waiting")
        return sorted((each for each in found if queue in (None, each.queue)), key=lambda each: (each.rank, each.id))

    def overflows(self, contact: Contact, overflow: Overflow | None) -> bool:
        """Whether there is somewhere else to go."""
        if overflow is None or contact.target_kind == "pinned":
            return False
        if contact.answered_at is not None and overflow.action in ("close", "callback"):
            return False
        if overflow.action == "close" and "callback" in contact.flags:
            return False
        if overflow.action == "queue":
            return overflow.queue != contact.queue and overflow.queue in self.config.queues
        if overflow.action == "teams":
            allowed = self.ask(contact).allowed_teams
            return allowed is not None and not allowed.issuperset(overflow.teams)
        return True

    def may_overflow(self, contact: Contact) -> bool:
        """The same, of the queue that is too long or too slow."""
        return contact.overflows < OVERFLOWS_MAX and self.overflows(contact, self.policy(contact).overflow)

    # -- agents -------------------------------------------------------------------------------------------------

    def there(self, agent_id: str) -> bool:
        agent = self.state.agents[agent_id]
        connected = agent.session is not None or agent.lease_s is not None
        return agent.status == "available" and connected and agent.paused is None

    def level(self, agent_id: str, skill: str) -> int:
        config = self.config.agents[agent_id]
        kind, _, language = skill.partition(":")
        if kind == "language":
            return 100 if not config.languages or language in config.languages else 0
        if config.skills_until.get(skill, self.now + 1) <= self.now:
            return 0
        return config.skills.get(skill, 0)

    def capacity(self, agent_id: str) -> int:
        config = self.config.agents[agent_id]
        if config.channels is None or not self._is_newcomer(agent_id):
            return config.capacity
        one = max(limit.cost for limit in config.channels.values())
        return min(config.capacity, max(one, config.capacity * config.newcomer_percent // 100))

    def limit(self, agent_id: str, channel: str) -> ChannelLimit | None:
        """None: the agent does not serve the channel. Without any limits it takes any, one at a time."""
        config = self.config.agents[agent_id]
        if config.channels is None:
            return ChannelLimit(config.capacity, 1)
        limit = config.channels.get(channel)
        if limit is not None and self._is_newcomer(agent_id):
            return replace(limit, max=max(1, limit.max * config.newcomer_percent // 100))
        return limit

    def _is_newcomer(self, agent_id: str) -> bool:
        until = self.config.agents[agent_id].newcomer_until
        return until is not None and until > self.now

    def interruptible(self, agent_id: str, channel: str) -> bool:
        limit = self.limit(agent_id, channel)
        return limit is not None and limit.interruptible

    def excluded(self, agent_id: str, one: str, other: str) -> bool:
        for own, its in ((one, other), (other, one)):
            limit = self.limit(agent_id, own)
            if limit is not None and (its in limit.excludes or ("*" in limit.excludes and its != own)):
                return True
        return False

    def has_room(self, agent_id: str, channel: str) -> bool:
        """Whether one more contact of the channel may be offered: what is owed goes before what is new."""
        agent, limit = self.state.agents[agent_id], self.limit(agent_id, channel)
        if limit is None:
            return False
        owed = [each for each in agent.open if each.wanted]
        if any(not self.interruptible(agent_id, each.channel) for each in owed) or (owed and limit.interruptible):
            return False
        beside = [each for each in present(agent) if limit.interruptible or not self.gives_way(agent_id, each)]
        return self.fits_beside(agent_id, channel, limit.cost, beside)

    def gives_way(self, agent_id: str, assignment: Assignment) -> bool:
        return assignment.state == "active" and self.interruptible(agent_id, assignment.channel)

    def fits_beside(self, agent_id: str, channel: str, cost: int, beside: list[Assignment]) -> bool:
        if self.config.agents[agent_id].channels is None:
            return not beside
        limit = self.limit(agent_id, channel)
        return (
            sum(each.cost for each in beside) + cost <= self.capacity(agent_id)
            and (limit is None or sum(each.channel == channel for each in beside) < limit.max)
            and (limit is None or not any(self.excluded(agent_id, channel, each.channel) for each in beside))
        )

    # -- who may have it ----------------------------------------------------------------------------------------

    def ask(self, contact: Contact) -> Ask:
        return Ask(
            contact.channel,
            contact.requirements,
            contact.language,
            contact.terms,
            self.policy(contact).teams,
            contact.target_agent_id,
            contact.target_kind,
        )

    def suits(self, ask: Ask, agent_id: str) -> bool:
        """Everything but presence, room and cool-downs."""
        config, terms = self.config.agents[agent_id], ask.terms
        if self.limit(agent_id, ask.channel) is None:
            return False
        if ask.target is not None:
            if ask.target != agent_id:
                return False
            if ask.kind in ("transfer", "owner", "pinned", "follow_up"):
                return True
        elif terms.agents and agent_id not in terms.agents:
            return False
        allowed, teams = ask.allowed_teams, set(config.teams)
        return (
            agent_id not in terms.not_agents
            and (allowed is None or bool(allowed & teams))
            and not teams & set(terms.not_teams)
            and all(self.level(agent_id, skill) >= level for skill, level in required(ask))
        )

    def present_for(self, ask: Ask, but: Collection[str] = ()) -> bool:
        """Whether somebody who is there, or about to come back, could fit, whatever its load."""
        near = (each.id for each in self.state.agents.values() if each.status == "available" and each.paused is None)
        return any(self.suits(ask, each) for each in near if each not in but)

    def anyone_for(self, ask: Ask) -> bool:
        """Whether anybody could fit, there or not."""
        return any(self.suits(ask, each) for each in self.state.agents)

    def order(self, contact: Contact, agent_id: str, set_aside: int = 0) -> tuple[float, ...]:
        """Smaller is asked first. `set_aside` are units that the agent has given up for this contact already."""
        ask, policy, agent = self.ask(contact), self.policy(contact), self.state.agents[agent_id]
        asked = {each.skill for each in ask.requirements if not each.shared}
        if ask.language is not None:
            asked.add(f"language:{ask.language.partition('-')[0].lower()}")
        if ask.kind in ("transfer", "owner", "pinned", "follow_up"):
            asked = set()
        score = sum(
            each.weight
            for each in ask.requirements
            if not (each.required or each.shared) and self.level(agent_id, each.skill) >= each.level
        )
        mastery = sum(self.level(agent_id, each) for each in asked)
        load = (set_aside + sum(each.cost for each in present(agent))) * 1000 // (self.capacity(agent_id) or 1)
        match policy.distribution:
            case "round_robin":
                return (-score, agent.turn_at)
            case "least_loaded":
                return (-score, load, agent.idle_since)
            case "best_skilled":
                return (-score, -mastery, agent.idle_since)
            case "weighted":
                weights = policy.weights
                assert weights is not None
                minutes = weights.idle * agent.idle_since / 60_000 + weights.turn * agent.turn_at / 60_000
                return (-score, minutes + weights.load * load / 10 - weights.skill * mastery / (len(asked) or 1))
            case _:
                return (-score, agent.idle_since)


def present(agent: Agent) -> list[Assignment]:
    """What takes capacity of an agent."""
    return [each for each in agent.open if each.state != "parked" and not each.released]


def required(ask: Ask) -> Iterator[tuple[str, int]]:
    """Skills with levels that an agent must have."""
    for each in ask.requirements:
        if each.required and not each.shared:
            yield each.skill, each.level
    if ask.language is not None:
        yield f"language:{ask.language.partition('-')[0].lower()}", 1


# -- steps -------------------------------------------------------------------------------------------------------------


def relaxed(ask: Ask, step: Step) -> Ask:
    """What a contact asks after one more step."""
    kept = []
    for each in ask.requirements:
        if "*" not in step.drop and each.tag not in step.drop:
            level = min(each.level, step.lower.get(each.tag, 100), step.lower.get("*", 100))
            must = each.required and "*" not in step.prefer and each.tag not in step.prefer
            kept.append(each._replace(level=level, required=must))
    teams = ask.allowed_teams
    if teams is None or step.any_team:
        allowed: tuple[str, ...] = ("*",)
    else:
        allowed = tuple(sorted(teams.union(step.add_teams)))
    no_language = step.any_language or "*" in step.drop or "language" in step.drop
    return replace(
        ask,
        requirements=uncovered(kept),
        language=None if no_language else ask.language,
        terms=replace(ask.terms, widened=allowed),
    )


def uncovered(requirements: list[Requirement]) -> tuple[Requirement, ...]:
    """Without those that another one of the same skill covers."""
    kept = []
    for place, each in enumerate(requirements):
        stronger = [other for at, other in enumerate(requirements) if _covers(other, each, first=at < place)]
        if not stronger:
            kept.append(each)
    return tuple(kept)


def _covers(one: Requirement, other: Requirement, *, first: bool) -> bool:
    if (one.skill, one.required, one.shared) != (other.skill, other.required, other.shared) or one is other:
        return False
    ends, other_ends = (each.lapses_at or 2**63 for each in (one, other))
    return one.level >= other.level and ends >= other_ends and (first or (one.level, ends) != (other.level, other_ends))


# -- hours -------------------------------------------------------------------------------------------------------------


def may_begin(opens: Hours | None, quiet: Hours | None, at: int) -> bool:
    """Whether it is open, and not quiet."""
    return (opens is None or is_open(opens, at)) and (quiet is None or not is_open(quiet, at))


def is_open(hours: Hours, at: int) -> bool:
    """Look at the clock on the wall, and at the spans of today and of yesterday."""
    wall = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(hours.time_zone))
    minute = wall.hour * 60 + wall.minute
    for days_ago in (0, 1):
        day = wall.date() - timedelta(days=days_ago)
        for begin, end in hours.dates.get(day.isoformat(), hours.days.get(day.weekday(), ())):
            until = end if end > begin else end + 1440
            if begin <= minute + days_ago * 1440 < until:
                return True
    return False
