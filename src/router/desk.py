"""What an agent has room for. It knows the agent's configuration and its open assignments, and changes neither.

A *desk* is an agent's configuration as it holds at a time: without skills that have run out, with a newcomer's share of
the capacity. It is made once and holds until its `until`. Agents who are configured alike share one: so what decides of
them is found together, and not strewn over the memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from src.router.entities import Agent, Assignment
from src.router.fit import Ability, is_language, primary
from src.router.model import ALL, ANY_CHANNEL, LANGUAGE, AgentConfig, ChannelLimit
from src.router.native import mypyc_attr

DESKS_MAX: Final = 10_000
"""Desks that are kept to be found again, up to this many."""

Alike = tuple[Any, ...]
"""What desks have in common that are alike."""


@mypyc_attr(acyclic=True)
class Desk:
    """A configuration of agents: `now` as it holds until `until` (None: for good), without whose it is.

    `is_plain`: channels get along with one another and none steps aside for another. `all_free` is what the agent has
    room for with nothing to do.
    """

    __slots__ = ("_free_with", "ability", "all_free", "is_plain", "now", "until")

    def __init__(self, now: AgentConfig, until: int | None) -> None:
        self.now: Final = now
        self.until: Final = until
        self.ability: Final = Ability.of(now)
        channels = now.channels
        self.is_plain: Final = channels is not None and not any(
            each.excludes or each.interruptible for each in channels.values()
        )
        self._free_with: dict[str, tuple[str, ...]] = {}
        self.all_free: tuple[str, ...] = (ANY_CHANNEL,) if now.capacity else ()
        if channels is not None:
            self.all_free = tuple(name for name, limit in channels.items() if limit.cost <= now.capacity)

    @classmethod
    def at(cls, config: AgentConfig, at: int, known: dict[Alike, "Desk"]) -> "Desk":
        """The desk of this configuration at a time: one of those that are known, if it is like it, else another."""
        gone = {skill for skill, until in config.skills_until.items() if until <= at}
        ends = [until for until in config.skills_until.values() if until > at]
        effective = config
        if gone:
            left = {name: level for name, level in config.skills.items() if name not in gone}
            languages = tuple(each for each in config.languages if LANGUAGE + primary(each) not in gone)
            if not languages and not any(map(is_language, left)) and any(map(is_language, gone)):
                left[f"{LANGUAGE}-"] = 1  # it spoke some, and now none: not all
            effective = replace(effective, skills=left, languages=languages)
        if config.newcomer_until is not None and config.newcomer_until > at:
            effective = _lessened(effective)
            ends.append(config.newcomer_until)
        until, channels = min(ends, default=None), effective.channels
        kinds = None if channels is None else tuple(channels.items())
        skills = frozenset(effective.skills.items())
        alike: Alike = (until, effective.capacity, kinds, skills, effective.languages, effective.teams)
        desk = known.get(alike)
        if desk is None:
            if len(known) >= DESKS_MAX:
                known.clear()
            nobodys = replace(effective, id="", name="", mentor_id=None)
            desk = known[alike] = cls(nobodys, until)
        return desk

    def free(self, agent: Agent) -> tuple[str, ...]:
        """The channels of which the agent can take one more contact, or `*` for any."""
        if not agent.open:
            return self.all_free
        channels = self.now.channels
        if self.is_plain and channels is not None:
            if len(agent.open) == 1:
                for only in agent.open:
                    if only.present and not only.wanted and only.cost == self.now.cost(only.channel):
                        free = self._free_with.get(only.channel)
                        if free is None:
                            free = self._free_with[only.channel] = self._plain_free(agent, channels)
                        return free
            return self._plain_free(agent, channels)
        present = [each for each in agent.open if each.present]
        owed = [each for each in agent.open if each.wanted]
        if channels is None:
            return () if present or owed else self.all_free
        if any(not self.interruptible(each.channel) for each in owed):
            return ()
        return tuple(
            name
            for name, limit in channels.items()
            if self._has_room(name, limit, present) and not (owed and limit.interruptible)
        )

    def _plain_free(self, agent: Agent, channels: Mapping[str, ChannelLimit]) -> tuple[str, ...]:
        """The same as `free`, where only units and numbers count: the way of nearly all agents."""
        left = self.now.capacity
        counts: dict[str, int] = {}
        for each in agent.open:
            if each.wanted:
                return ()
            if each.present:
                left -= each.cost
                counts[each.channel] = counts.get(each.channel, 0) + 1
        return tuple(
            [name for name, limit in channels.items() if limit.cost <= left and counts.get(name, 0) < limit.max]
        )

    def limit(self, agent: Agent, channel: str) -> str:
        """What keeps the agent from one more contact of a channel that it has no room for, in a word.

        `owed`: work that was interrupted, or whose customer is back, gets its units first. `units`: the capacity.
        `channel_max`: as many of the channel as may be. `excluded`: a contact of a channel that excludes it.
        """
        limit = (self.now.channels or {}).get(channel)
        if limit is None:
            return "units"
        present = [each for each in agent.open if each.present]
        if not limit.interruptible:
            present = [each for each in present if not self.gives_way(each)]
        if any(self.excluded(channel, each.channel) for each in present):
            return "excluded"
        if sum(1 for each in present if each.channel == channel) >= limit.max:
            return "channel_max"
        if sum(each.cost for each in present) + limit.cost > self.now.capacity:
            return "units"
        return "owed"

    def can_retake(self, agent: Agent, assignment: Assignment) -> bool:
        """Whether there is room to give a released assignment its units back: where there is nothing else, there is."""
        present = [each for each in agent.open if each.present]
        if self.now.channels is None or not present:
            return not present
        limit = self.now.channels.get(assignment.channel)
        if limit is None:
            return sum(each.cost for each in present) + assignment.cost <= self.now.capacity
        return self._fits_beside(assignment.channel, limit, assignment.cost, present)

    def _has_room(self, channel: str, limit: ChannelLimit, present: list[Assignment]) -> bool:
        if not limit.interruptible:
            present = [each for each in present if not self.gives_way(each)]
        return self._fits_beside(channel, limit, limit.cost, present)

    def _fits_beside(self, channel: str, limit: ChannelLimit, cost: int, present: list[Assignment]) -> bool:
        return (
            sum(each.cost for each in present) + cost <= self.now.capacity
            and sum(1 for each in present if each.channel == channel) < limit.max
            and not any(self.excluded(channel, each.channel) for each in present)
        )

    def in_the_way(self, agent: Agent, channel: str, cost: int) -> Iterable[Assignment]:
        """The interruptible work that must step aside for a contact of this channel, newest first."""
        limit = (self.now.channels or {}).get(channel)
        if limit is None or limit.interruptible:
            return
        load = agent.load + cost
        for each in sorted((each for each in agent.open if self.gives_way(each)), key=_newest_first):
            if load > self.now.capacity or self.excluded(channel, each.channel):
                load -= each.cost
                yield each

    def gives_way(self, assignment: Assignment) -> bool:
        """Whether it is under way and may be interrupted."""
        return assignment.state == "active" and not assignment.released and self.interruptible(assignment.channel)

    def interruptible(self, channel: str) -> bool:
        """Whether work of this channel may be interrupted."""
        limit = (self.now.channels or {}).get(channel)
        return limit is not None and limit.interruptible

    def excluded(self, one: str, other: str) -> bool:
        """Whether contacts of these two channels never stand side by side here."""
        channels = self.now.channels or {}
        return _excludes(channels.get(one), one, other) or _excludes(channels.get(other), other, one)


def _excludes(limit: ChannelLimit | None, own: str, other: str) -> bool:
    return limit is not None and (other in limit.excludes or (ALL in limit.excludes and own != other))


def _lessened(config: AgentConfig) -> AgentConfig:
    """A newcomer's share: of the capacity and of each channel's maximum, but always room for one contact of any."""
    percent, channels = config.newcomer_percent, config.channels
    if channels is None:
        return config
    largest = max((limit.cost for limit in channels.values()), default=0)
    return replace(
        config,
        capacity=max(config.capacity * percent // 100, min(largest, config.capacity)),
        channels={name: replace(limit, max=max(1, limit.max * percent // 100)) for name, limit in channels.items()},
    )


def _newest_first(assignment: Assignment) -> tuple[int, str]:
    return (-assignment.offered_at, assignment.id)
