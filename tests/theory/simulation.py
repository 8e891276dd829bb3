"""A contact centre in virtual time around the real engine: people arrive, wait, are served, lose patience.

Arrivals of each stream are Poisson; service and patience are exponential. Agents accept at once. All draws of a contact
are made when it arrives, from generators of its stream, so that two policies under one seed meet the same people with
the same needs. Times in here are milliseconds; a mean service of minutes makes rounding to whole ones negligible.

What it must not do: know how the engine decides. It sends commands, reads events, and asks for the next deadline.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final, Literal

from src.router import commands as c
from src.router import events as ev
from src.router.engine import Engine
from src.router.journal import Event
from src.router.model import DEFAULT_QUEUE, AgentConfig, QueueConfig, TagRequest

SCALE: Final = float(os.environ.get("CORDBOARD_TEST_SCALE", "1"))
"""Multiplies every sample: 1 is the form for each change, 20 the one for a quiet hour (`pytest --timeout=0`)."""

CHANNEL: Final = "chat"

FOREVER_S: Final = 10**9
"""For leases and deadlines that are no part of a model."""

DRAIN_EVERY: Final = 1_000
"""Decisions after which the engine's list of changed rows is emptied, as its shell does after each commit."""

NO_DEADLINES: Final = QueueConfig(DEFAULT_QUEUE, within_s=FOREVER_S, offer_timeout_s=FOREVER_S)

Order = Literal["first_come", "last_come", "random"]


@dataclass(frozen=True, slots=True)
class Stream:
    """Contacts of one kind: mean seconds between two arrivals, of service, and of patience (None: endless)."""

    name: str
    gap_s: float
    service_s: float
    patience_s: float | None = None
    tags: tuple[TagRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Centre:
    """Who calls and who answers. `pace` multiplies an agent's service times.

    `order` other than `first_come` is a wrong policy on purpose, made of priorities: the tests must notice it.
    """

    streams: tuple[Stream, ...]
    agents: tuple[AgentConfig, ...]
    pace: Mapping[str, float] = field(default_factory=dict)
    queue: QueueConfig = NO_DEADLINES
    order: Order = "first_come"


@dataclass(slots=True)
class Visit:
    """One contact. `work` is its service time before the agent's pace; None where something did not come about."""

    stream: int
    arrived_at: float
    work: float
    patience: float | None
    offered_at: int | None = None
    agent_id: str | None = None
    ended_at: float | None = None

    @property
    def abandoned(self) -> bool:
        """The customer gave up before anybody was there."""
        return self.offered_at is None

    @property
    def wait(self) -> float:
        """Milliseconds until the offer, or until the customer gave up. Whole ones: an offer at once is 0."""
        left_at = self.ended_at if self.offered_at is None else self.offered_at
        assert left_at is not None, "nobody is left behind"
        return left_at - int(self.arrived_at)


@dataclass(frozen=True, slots=True)
class Run:
    """What happened. `visits` in the order of arrival, all of them over; arrivals end at `until`."""

    centre: Centre
    until: float
    visits: list[Visit]


def simulate(centre: Centre, until_s: float, seed: int) -> Run:
    """Let contacts arrive for so long, and serve them all."""
    return _Simulation(centre, until_s * 1000, seed).run()


class _Source:
    """One stream's arrivals, one after the other."""

    def __init__(self, number: int, stream: Stream, seed: int) -> None:
        self._number, self._stream = number, stream
        self._gaps, self._works, self._patiences = (
            Random(f"{seed} {stream.name} {what}") for what in ("gap", "work", "patience")
        )
        self._at = 0.0

    def next(self) -> Visit:
        stream = self._stream
        self._at += self._gaps.expovariate(1 / (stream.gap_s * 1000))
        work = self._works.expovariate(1 / (stream.service_s * 1000))
        patience = None
        if stream.patience_s is not None:
            patience = self._patiences.expovariate(1 / (stream.patience_s * 1000))
        return Visit(self._number, self._at, work, patience)


class _Simulation:
    """The heap of what happens when, and the engine that it happens to."""

    def __init__(self, centre: Centre, until: float, seed: int) -> None:
        ids = count()
        self._centre, self._until = centre, until
        self._engine = Engine(lambda: f"a{next(ids):09d}")
        self._heap: list[tuple[float, int, c.Command | Visit]] = []
        self._numbers = count()
        self._sources = [_Source(number, stream, seed) for number, stream in enumerate(centre.streams)]
        self._disorder = Random(f"{seed} disorder")
        self._visits: list[Visit] = []
        self._decided = 0

    def run(self) -> Run:
        self._decide(c.PutQueue(self._centre.queue), 0)
        for agent in self._centre.agents:
            self._decide(c.PutAgent(agent), 0)
            self._decide(c.SetPresence(agent.id, "available", lease_s=FOREVER_S), 0)
        for source in self._sources:
            self._plan_arrival(source)
        while self._heap:
            at, _, what = heappop(self._heap)
            while (due := self._engine.next_due()) is not None and due <= at and due < FOREVER_S * 1000:
                self._decide(c.Tick(), due)
            if isinstance(what, Visit):
                self._arrive(what, at)
            elif not isinstance(what, c.Cancel) or self._visit(what.contact_id).abandoned:
                self._decide(what, at)
        return Run(self._centre, self._until, self._visits)

    def _plan(self, at: float, what: c.Command | Visit) -> None:
        heappush(self._heap, (at, next(self._numbers), what))

    def _plan_arrival(self, source: _Source) -> None:
        visit = source.next()
        if visit.arrived_at < self._until:
            self._plan(visit.arrived_at, visit)

    def _visit(self, contact_id: str) -> Visit:
        return self._visits[int(contact_id)]

    def _arrive(self, visit: Visit, at: float) -> None:
        contact_id = f"{len(self._visits):09d}"
        self._visits.append(visit)
        stream = self._centre.streams[visit.stream]
        self._decide(c.Receive(contact_id, "k", CHANNEL, tags=stream.tags, priority=self._priority(at)), at)
        if visit.abandoned and visit.patience is not None:
            visit.ended_at = at + visit.patience
            self._plan(visit.ended_at, c.Cancel(contact_id, reason="abandoned"))
        self._plan_arrival(self._sources[visit.stream])

    def _priority(self, at: float) -> int:
        """Seconds of head start: none, or what turns the line around, or into a heap."""
        if self._centre.order == "last_come":
            return 2 * int(at / 1000)
        return self._disorder.randrange(FOREVER_S) if self._centre.order == "random" else 0

    def _decide(self, command: c.Command, at: float) -> None:
        for event in self._engine.decide(command, int(at)).events:
            if event.type == ev.CONTACT_OFFERED:
                self._answer(event, at)
        self._decided += 1
        if self._decided % DRAIN_EVERY == 0:
            self._engine.state.drain()

    def _answer(self, event: Event, at: float) -> None:
        assert event.contact_id is not None
        assert event.agent_id is not None
        visit, assignment_id = self._visit(event.contact_id), str(event.data["assignment_id"])
        visit.offered_at, visit.agent_id = event.at, event.agent_id
        visit.ended_at = at + visit.work * self._centre.pace.get(event.agent_id, 1.0)
        self._decide(c.Accept(assignment_id, event.agent_id), at)
        self._plan(visit.ended_at, c.Complete(assignment_id, event.agent_id))
