"""A contact centre in an engine, as large as wanted, and lives of contacts in it. Made alike each time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from random import Random
from typing import Final

from src.router import commands as c
from src.router.config import Config
from src.router.engine import Engine
from src.router.model import (
    AgentConfig,
    ChannelLimit,
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    Step,
    TagRequest,
    TimeWindow,
)
from src.router.state import State

BEGIN: Final = 1_790_000_000_000
SHARED_PROFILES: Final = 200
STEP: Final = 1_000
NEEDS: Final = 100
QUEUES: Final = ("default", "sales", "service", "vip")
CHANNELS: Final = {
    "voice": ChannelLimit(100, 1),
    "webchat": ChannelLimit(50, 2),
    "wechat": ChannelLimit(50, 2),
}
_SKILLS: Final = tuple(f"skill{each:02d}" for each in range(50))
_NOBODY_HAS: Final = "a-skill-that-nobody-has"
_FILLED_IN: Final = frozenset({"reason"})
_ALWAYS: Final = dict.fromkeys(range(7), ((0, 1440),))


@dataclass(frozen=True, slots=True)
class Size:
    """How many agents there are, whether each has a profile of its own, and how many contacts wait.

    `full`: all agents have something to do, as they have while others wait, but nobody waits.
    """

    agents: int
    unique: bool = False
    waiting: int = 0
    full: bool = False

    @property
    def is_full(self) -> bool:
        """Whether a contact that comes has to wait for an agent."""
        return self.full or self.waiting > 0

    @property
    def busy(self) -> int:
        """Agents that have something to do: half of them, or all while others wait."""
        return self.agents if self.is_full else self.agents // 2

    @property
    def steps(self) -> int:
        """What there is to make."""
        return self.agents + self.busy + self.waiting


def policies() -> Config:
    """A configuration with every policy on. Nothing of it comes due while the benchmark runs."""
    queues = {
        name: QueueConfig(
            name,
            offer_timeout_s=600,
            within_s=600,
            asks_max=5,
            last_agent_wait_s=30,
            steps=(Step(600, prefer=("*",)), Step(900, drop=("*",), add_teams=("back",)), Step(1200, priority=60)),
            max_length=10_000_000,
            max_wait_s=86_400,
            overflow=Overflow("close"),
            hours=Hours("Asia/Shanghai", days=_ALWAYS),
            required_fields=("reason",),
            breather_s=10,
            breather_tags=("complaint",),
        )
        for name in QUEUES
    }
    rules = {
        f"rule{order}": RuleConfig(
            f"rule{order}",
            order,
            tags_any=(_SKILLS[order], _SKILLS[-order]),
            channels=("voice", "webchat"),
            customer_tiers=("gold",),
            attributes={"region": ("north", "south")},
            time=TimeWindow("Asia/Shanghai", (0, 1440)),
            priority=order,
        )
        for order in range(1, 9)
    }
    pilot = PilotConfig("pilot", percent=50, attribute="region", values=("east",), queues={"vip": QueueConfig("vip")})
    settings = Settings(silence_s={"wechat": 600})
    return Config(queues=queues, rules=rules, pilots={"pilot": pilot}, settings=settings)


Coming = tuple[c.Receive, str]
"""A contact that is about to come, and an agent who could take it."""


class Centre:
    """An engine with agents who are there, and contacts that come, are accepted and completed.

    Without anybody waiting, half of the agents are free and each contact is offered at once. With contacts waiting, no
    agent is free: each that completes a contact takes the next one, while another comes and waits. A tenth of those who
    wait has been there longest and fits nobody. A centre that is full with nobody waiting decides the same: what comes
    waits, and the next agent to complete is one who can take it.
    """

    def __init__(self, size: Size, progress: Callable[[int], None]) -> None:
        """`progress` is told how much of `size.steps` is done."""
        self.size = size
        self.offered = 0
        self._random = Random(2026)  # noqa: S311  # the same each time
        self._new_id = map("as{:012x}".format, count()).__next__  # as little of the interpreter as there may be
        self._contact_ids = count()
        self.engine = Engine(self._new_id, policies(), State())
        self._now = BEGIN
        self._active: deque[str] = deque()
        self._active_of: dict[str, str] = {}  # by agent, where it is said who completes
        self._done = 0
        self._progress = progress
        profiles = [self._skills() for _ in range(size.agents if size.unique else min(size.agents, SHARED_PROFILES))]
        self._hire(profiles)
        needs = [self._need(profiles) for _ in range(NEEDS)]
        self._needs = cycle(needs)
        self._takers = cycle([_takers(tags, profiles, size.agents) for *_, tags in needs])
        self._fill()

    # -- building -----------------------------------------------------------------------------------------------

    def _skills(self) -> dict[str, int]:
        levels = range(1, 101) if self.size.unique else range(10, 101, 10)
        return {each: self._random.choice(levels) for each in self._random.sample(_SKILLS, 5)}

    def _need(self, profiles: Sequence[dict[str, int]]) -> tuple[str, str, tuple[TagRequest, ...]]:
        """A queue, a channel, and what somebody has: one or two skills, and perhaps one that is preferred."""
        skills = self._random.choice(profiles)
        wanted = self._random.sample(sorted(skills), self._random.choice([1, 1, 2]))
        tags = [TagRequest(each, level=max(1, skills[each] // 2)) for each in wanted]
        if self._random.random() < 0.3:  # noqa: PLR2004
            tags.append(TagRequest(self._random.choice(_SKILLS), required=False, weight=2))
        channel = "voice" if self.size.is_full else self._random.choice(list(CHANNELS))
        return self._random.choice(QUEUES), channel, tuple(tags)

    def _hire(self, profiles: Sequence[dict[str, int]]) -> None:
        for number, skills in zip(range(self.size.agents), cycle(profiles)):
            agent_id = f"agent{number:06d}"
            languages = ("zh",) if number % 3 else ("zh", "en")
            config = AgentConfig(agent_id, skills=skills, languages=languages, channels=CHANNELS, teams=("front",))
            self._decide(c.PutAgent(config))
            self._now += number % 2
            self._decide(c.SetPresence(agent_id, "available", lease_s=86_400))
            self._step()

    def _fill(self) -> None:
        """Give agents something to do; then have contacts wait."""
        for _ in range(self.size.busy):
            self._take(self._decide(self._receive("default", "voice", ())))
            self._step()
        for number in range(self.size.waiting):
            self._now += number % 100 == 0
            queue, channel, tags = next(self._needs)
            if number < self.size.waiting // 10:
                tags = (*tags, TagRequest(_NOBODY_HAS))
            self._decide(self._receive(queue, channel, tags))
            self._step()

    def _step(self) -> None:
        self._done += 1
        if self._done % STEP == 0:
            self.drain()
            self._progress(self._done)

    def drain(self) -> None:
        """Hand out what changed, as the store would take it."""
        self.engine.state.drain()

    # -- living -------------------------------------------------------------------------------------------------

    def coming(self, contacts: int) -> list[Coming]:
        """So many contacts that are about to come. To make them is the work of who posts them, not of the engine."""
        return [(self._receive(*next(self._needs)), next(next(self._takers))) for _ in range(contacts)]

    def live(self, coming: list[Coming]) -> int:
        """The lives of these contacts; gives how many commands were decided for them."""
        return sum([self._life(*each) for each in coming])

    def _life(self, command: c.Receive, taker: str) -> int:
        self._now += 1
        offers = self._decide(command)
        if self.size.is_full:
            offers += self._complete() if self.size.waiting else self._complete_of(taker)
            self._take(offers)
            return 2 + len(offers)
        if not offers:
            self._decide(c.Cancel(command.contact_id))
            return 2
        self._take(offers)
        self._complete()
        return 3

    def _receive(self, queue: str, channel: str, tags: tuple[TagRequest, ...]) -> c.Receive:
        number = next(self._contact_ids)
        return c.Receive(
            f"ct{number:012x}",
            f"cu{number:012x}",
            channel,
            tags=tags,
            language="zh-CN",
            queue=queue,
            tier="gold" if number % 4 == 0 else None,
            attributes={"region": "north"},
        )

    def _complete(self) -> list[str]:
        return self._decide(c.Complete(self._active.popleft(), fields=_FILLED_IN))

    def _complete_of(self, agent_id: str) -> list[str]:
        return self._decide(c.Complete(self._active_of[agent_id], fields=_FILLED_IN))

    def _take(self, offers: list[str]) -> None:
        for assignment_id in offers:
            self.engine.decide(c.Accept(assignment_id), self._now)
            if self.size.full:
                self._active_of[self.engine.state.assignments[assignment_id].agent_id] = assignment_id
            else:
                self._active.append(assignment_id)
            self.offered += 1

    def _decide(self, command: c.Command) -> list[str]:
        """The assignments that a command offered."""
        decision = self.engine.decide(command, self._now)
        return [each.data["assignment_id"] for each in decision.events if each.type == "contact.offered"]


def _takers(tags: Sequence[TagRequest], profiles: Sequence[dict[str, int]], agents: int) -> Iterator[str]:
    """The agents who have what these tags require, in turns and without end."""
    required = [each for each in tags if each.required]
    fits = [all(skills.get(each.tag, 0) >= each.level for each in required) for skills in profiles]
    return (f"agent{each % agents:06d}" for each in count() if fits[each % agents % len(profiles)])
