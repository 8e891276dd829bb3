"""The words of routing as values: requirements, skills, configuration. Nothing here changes or decides.

Times are integers, milliseconds since the epoch, wherever a name ends in `_at` or `_until`; names that end in `_s` are
seconds. Levels run from 1 to 100. Ids are opaque strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

LEVEL_MAX: Final = 100
ANY_CHANNEL: Final = "*"
DEFAULT_QUEUE: Final = "default"

Presence = Literal["offline", "available", "away"]
LostPolicy = Literal["requeue", "hold"]


@dataclass(frozen=True, slots=True)
class TagRequest:
    """A problem tag as the caller gave it. `level` 1 to 100; `expires_after_s` seconds until it is dropped."""

    tag: str
    level: int = 1
    required: bool = True
    weight: int = 1
    expires_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A skill that a contact needs, and the tag that asks for it.

    Required ones decide who fits; the others add `weight` to the score of an agent that meets them. After `lapses_at`
    the requirement is gone.
    """

    tag: str
    skill: str
    level: int = 1
    required: bool = True
    weight: int = 1
    lapses_at: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelLimit:
    """What one contact of a channel costs an agent, in units of capacity, and how many of them at most."""

    cost: int
    max: int


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """An agent as it was put. Without `channels` it takes any channel, one contact at a time.

    An agent without `languages` is taken to speak all of them.
    """

    id: str
    name: str = ""
    skills: Mapping[str, int] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    capacity: int = 100
    channels: Mapping[str, ChannelLimit] | None = None
    teams: tuple[str, ...] = ()

    def cost(self, channel: str) -> int | None:
        """Units that a contact of this channel takes, or None where the agent does not serve the channel."""
        if self.channels is None:
            return self.capacity
        limit = self.channels.get(channel)
        return None if limit is None else limit.cost


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """A routing policy. `teams` limits who may take its contacts; empty: skills alone decide."""

    name: str
    within_s: int = 30
    percent: int = 95
    offer_timeout_s: int = 20
    wrap_up_s: int = 0
    reoffer_after_s: int | None = None
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagConfig:
    """What finds a tag in a text, and the skills with levels that it asks for (none: the skill of the same name)."""

    name: str
    keywords: tuple[str, ...] = ()
    except_: tuple[str, ...] = ()
    requires: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """If every condition that is set holds, the results apply. Rules run by `order`, then name.

    All rules that hold add their priority (seconds) and tags; the first that names a queue decides it.
    """

    name: str
    order: int = 0
    tags_any: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    customer_tiers: tuple[str, ...] = ()
    queue: str | None = None
    priority: int = 0
    add_tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The tenant's settings. `on_agent_lost` is by channel, `*` for all others.

    `default_region` (ISO 3166) is where a telephone number without a country code is read.
    """

    presence_grace_s: int = 30
    on_agent_lost: Mapping[str, LostPolicy] = field(default_factory=lambda: {ANY_CHANNEL: "requeue", "voice": "hold"})
    missed_offers_max: int = 3
    reoffer_after_s: int = 30
    default_region: str = "CN"

    def lost_policy(self, channel: str) -> LostPolicy:
        """What becomes of an active contact of this channel when its agent is gone for good."""
        return self.on_agent_lost.get(channel, self.on_agent_lost.get(ANY_CHANNEL, "requeue"))
