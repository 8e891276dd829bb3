"""The file that says who is there, who calls and what they say: its form, its checks, and the demonstration tenant.

The configuration in it is in the words of the API. Times are seconds of the centre's own clock; `paced` turns those
that the service keeps into real ones, so that in a centre whose clock runs ten times as fast offers end ten times as
soon.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, ValidationError, model_validator

from src.api.problems import field_path
from src.api.schemas import (
    AgentBody,
    Body,
    ChannelName,
    Language,
    Name,
    QueueBody,
    RuleBody,
    SettingsBody,
    Short,
    TagConfigBody,
    Text,
)
from src.errors import StartupError

P95_SIGMAS: Final = 1.6449
"""The 95th percentile of a normal distribution, in standard deviations."""

_SHARES_TOLERANCE: Final = 1e-6

Seconds = Annotated[float, Field(gt=0, le=864_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class Spread(Body):
    """A duration that varies log-normally, in seconds: half lie below the median, 95 of a hundred below `p95_s`."""

    median_s: Seconds
    p95_s: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> "Spread":
        if self.p95_s < self.median_s:
            raise ValueError("p95_s must not be below median_s")
        return self

    @property
    def mean_s(self) -> float:
        """The mean, in seconds."""
        return self.median_s * math.exp(self._sigma**2 / 2)

    def draw(self, rng: random.Random) -> float:
        """One duration, in seconds."""
        return rng.lognormvariate(math.log(self.median_s), self._sigma)

    @property
    def _sigma(self) -> float:
        return math.log(self.p95_s / self.median_s) / P95_SIGMAS


class ChannelMix(Body):
    """One channel's share of the contacts, the type of its identities, and its durations."""

    share: Share
    identity: Short
    handling: Spread
    patience: Spread


class CustomerHabits(Body):
    """Who the customers are and how they behave.

    Of those who come back, `other_channel_share` come over another channel, `same_matter_share` with the same words.
    Chats come with the telephone number of `proven_number_share`, proven, and of `typed_number_share`, typed in.
    """

    tiers: Annotated[dict[Name, Share], Field(min_length=1)]
    returning_share: Share = 0.0
    other_channel_share: Share = 0.0
    same_matter_share: Share = 0.0
    proven_number_share: Share = 0.0
    typed_number_share: Share = 0.0
    hang_up_share: Share = 0.0
    follow_up_share: Share = 0.0
    surnames: Annotated[list[Short], Field(min_length=1)]


class AgentHabits(Body):
    """How agents behave. `drop_every_s` is how often a connection breaks, `outage` for how long."""

    reaction: Spread
    decline_share: Share = 0.0
    miss_share: Share = 0.0
    break_every_s: Seconds
    break_: Annotated[Spread, Field(alias="break")]
    drop_every_s: Seconds
    outage: Spread
    wrap_up_share: Share = 1.0


class Simulation(Body):
    """Who calls, what they say, and how the agents work."""

    titles: Annotated[dict[Name, Short], Field(default_factory=dict)]
    channels: Annotated[dict[ChannelName, ChannelMix], Field(min_length=1)]
    load: Annotated[float, Field(gt=0, le=10)]
    customers: CustomerHabits
    agents: AgentHabits
    samples: Annotated[dict[Text, list[Name]], Field(min_length=1)]
    more: Annotated[dict[Language, dict[Text, list[Name]]], Field(default_factory=dict)]


@dataclass(frozen=True, slots=True)
class Line:
    """What a customer says, in which language if that is known, and the tags that are to be found in it, sorted."""

    text: str
    language: str | None
    tags: tuple[str, ...]


class Scenario(Body):
    """A tenant's configuration and what happens in it."""

    settings: SettingsBody = SettingsBody()
    queues: dict[Name, QueueBody]
    tags: dict[Name, TagConfigBody]
    rules: dict[Name, RuleBody]
    agents: Annotated[dict[Name, AgentBody], Field(min_length=1)]
    simulation: Simulation

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> "Scenario":
        for name, rule in self.rules.items():
            if rule.then.queue is not None and rule.then.queue not in self.queues:
                raise ValueError(f"rule {name!r} names a queue that is not there: {rule.then.queue!r}")
        unknown = {tag for line in self.lines() for tag in line.tags} - self.tags.keys()
        if unknown:
            raise ValueError(f"texts have tags that are not there: {', '.join(sorted(unknown))}")
        for what, shares in (
            ("channels", [each.share for each in self.simulation.channels.values()]),
            ("tiers", list(self.simulation.customers.tiers.values())),
        ):
            if abs(sum(shares) - 1) > _SHARES_TOLERANCE:
                raise ValueError(f"the shares of {what} must add up to 1")
        habits = self.simulation.customers
        if habits.proven_number_share + habits.typed_number_share > 1 + _SHARES_TOLERANCE:
            raise ValueError("the shares of proven and typed numbers must not add up to more than 1")
        return self

    def lines(self) -> Iterator[Line]:
        """Everything that customers say."""
        for text, tags in self.simulation.samples.items():
            yield Line(text, None, tuple(sorted(tags)))
        for language, texts in self.simulation.more.items():
            for text, tags in texts.items():
                yield Line(text, language, tuple(sorted(tags)))

    def staff(self, count: int | None) -> dict[str, AgentBody]:
        """So many agents by id: those of the file, then copies of them in turn (`a1-2` is the second `a1`).

        Raises:
            StartupError: fewer than the file has.
        """
        names = list(self.agents)
        if count is not None and count < len(names):
            raise StartupError(f"this scenario needs at least {len(names)} agents")
        staff: dict[str, AgentBody] = {}
        for number in range(count or len(names)):
            turn, which = divmod(number, len(names))
            staff[names[which] if turn == 0 else f"{names[which]}-{turn + 1}"] = self.agents[names[which]]
        return staff

    def rate_per_s(self, staff: Mapping[str, AgentBody]) -> float:
        """Contacts a second of the centre's clock that would take the wanted share of the agents' capacity."""
        reaction_s = self.simulation.agents.reaction.mean_s
        asked = 0.0
        for channel, mix in self.simulation.channels.items():
            costs = [_cost(agent, channel) for agent in staff.values()]
            asked += mix.share * (mix.handling.mean_s + reaction_s) * sum(costs) / len(costs)
        return self.simulation.load * sum(agent.capacity for agent in staff.values()) / asked

    def configuration(self, speed: float) -> "Configuration":
        """The bodies to put, the service's times turned into real ones."""
        settings = self.settings.model_copy(
            update={
                "presence_grace_s": paced(self.settings.presence_grace_s, speed),
                "reoffer_after_s": paced(self.settings.reoffer_after_s, speed),
            }
        )
        return Configuration(
            settings=_json(settings),
            queues={name: _json(_paced_queue(queue, speed)) for name, queue in self.queues.items()},
            tags={name: _json(tag) for name, tag in self.tags.items()},
            rules={name: _json(rule) for name, rule in self.rules.items()},
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """Bodies as the API takes them, by name."""

    settings: Mapping[str, Any]
    queues: Mapping[str, Mapping[str, Any]]
    tags: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Mapping[str, Any]]


def paced(seconds: int, speed: float) -> int:
    """Whole seconds of the centre's clock in real ones, at least one; none stays none."""
    return max(1, math.ceil(seconds / speed)) if seconds else 0


def load(path: Path | None = None) -> Scenario:
    """A scenario from a file, or the demonstration tenant.

    Raises:
        StartupError: the file cannot be read, or is not a scenario; one line says where.
    """
    where = str(path) if path is not None else "demo.yaml"
    try:
        source = path if path is not None else resources.files(__package__).joinpath("demo.yaml")
        return Scenario.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise StartupError(f"{where} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StartupError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = field_path(first["loc"]) if first["loc"] else "the file"
        raise StartupError(f"{where}: {place}: {first['msg']}") from error


def _paced_queue(queue: QueueBody, speed: float) -> QueueBody:
    level = queue.service_level.model_copy(update={"within_s": paced(queue.service_level.within_s, speed)})
    return queue.model_copy(
        update={
            "service_level": level,
            "offer_timeout_s": paced(queue.offer_timeout_s, speed),
            "wrap_up_s": paced(queue.wrap_up_s, speed),
            "reoffer_after_s": None if queue.reoffer_after_s is None else paced(queue.reoffer_after_s, speed),
        }
    )


def _cost(agent: AgentBody, channel: str) -> int:
    if agent.channels is None:
        return agent.capacity
    limit = agent.channels.get(channel)
    return 0 if limit is None else limit.cost


def _json(body: Body) -> dict[str, Any]:
    return body.model_dump(by_alias=True)
