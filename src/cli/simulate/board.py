"""The centre as its journal tells it: who waits where, who serves whom, and how long it took. Pure.

It is folded from the events of `GET /v1/events`, one after the other, and checks on the way that they make sense. Waits
are in seconds of the centre's own clock.
"""

from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from src.api.schemas import AgentBody
from src.cli.simulate.promises import Promise, Promises

RECENT_WAITS: Final = 500
"""Waits that the live figures of a queue are made of; the summary takes all."""

_OPENS: Final = {"contact.received": (None, "waiting")}
_MOVES: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "contact.offered": (frozenset({"waiting"}), "offered"),
    "contact.active": (frozenset({"offered"}), "active"),
    "contact.requeued": (frozenset({"offered", "active"}), "waiting"),
    "contact.transferred": (frozenset({"active"}), "waiting"),
    "assignment.wrap_up": (frozenset({"active"}), "wrap_up"),
    "contact.closed": (frozenset({"waiting", "offered", "active", "wrap_up"}), "closed"),
}
"""Which events move a contact, from where and whereto."""

_FREES: Final = frozenset(
    {
        "offer.declined",
        "offer.expired",
        "offer.revoked",
        "assignment.completed",
        "assignment.lost",
        "contact.transferred",
    }
)
"""Events after which the agent's capacity is free again."""


@dataclass(slots=True)
class Tracked:
    """An open contact. Times in milliseconds since the epoch, by the service's clock."""

    id: str
    queue: str
    channel: str
    received_at: int
    state: str = "waiting"
    answered: bool = False
    assignment_id: str | None = None


@dataclass(slots=True)
class QueueFigures:
    """What happened in one queue so far. Waits in seconds of the centre's clock."""

    within_s: float = 30.0
    percent: int = 95
    answered: int = 0
    answered_in_time: int = 0
    abandoned: int = 0
    waits_s: "array[float]" = field(default_factory=lambda: array("f"))
    recent_waits_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_WAITS))

    @property
    def service_level(self) -> float | None:
        """The share answered in time of all who were answered or gave up, 0 to 1; None before the first."""
        ended = self.answered + self.abandoned
        return self.answered_in_time / ended if ended else None

    def answer(self, wait_s: float) -> None:
        """A contact was answered for the first time."""
        self.answered += 1
        self.answered_in_time += wait_s <= self.within_s
        self.waits_s.append(wait_s)
        self.recent_waits_s.append(wait_s)


def together(queues: Mapping[str, QueueFigures]) -> QueueFigures:
    """The figures of all queues as if they were one; its goal is the highest of theirs."""
    whole = QueueFigures(percent=max((each.percent for each in queues.values()), default=0))
    for each in queues.values():
        whole.within_s = max(whole.within_s, each.within_s)
        whole.answered += each.answered
        whole.answered_in_time += each.answered_in_time
        whole.abandoned += each.abandoned
        whole.recent_waits_s.extend(each.recent_waits_s)
    return whole


@dataclass(slots=True)
class Seat:
    """An agent as the journal tells it. `held` maps assignments to (channel, cost), `released` those that take nothing.

    A conversation that goes on over another channel is released; it may be taken again.
    """

    config: AgentBody
    status: str = "offline"
    reason: str | None = None
    connected: bool = False
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    released: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def load(self) -> int:
        """Units of capacity that are taken."""
        return sum(cost for _, cost in self.held.values())


class Board:
    """The fold. `seq` is the number of the last event before the first that it will be told."""

    def __init__(
        self,
        staff: Mapping[str, AgentBody],
        queues: Mapping[str, QueueFigures],
        promises: Promises,
        *,
        seq: int,
        speed: float,
    ) -> None:
        self.seq = seq
        self.events = 0
        self.open: dict[str, Tracked] = {}
        self.closed: set[str] = set()
        self.outcomes: dict[str, int] = {}
        self.queues = dict(queues)
        self.seats = {agent_id: Seat(config) for agent_id, config in staff.items()}
        self._promises = promises
        self._speed = speed

    def knows(self, contact_id: str) -> bool:
        """Whether the journal told of this contact."""
        return contact_id in self.open or contact_id in self.closed

    def tell(self, event: Mapping[str, Any]) -> None:
        """The next event of the journal."""
        seq = event["seq"]
        if seq != self.seq + 1:
            self._promises.broken(Promise.JOURNAL, f"{seq} came after {self.seq}")
        self.seq = max(self.seq, seq)
        self.events += 1
        kind, data = event["type"], event["data"]
        if kind in _OPENS:
            self._receive(event)
        elif kind in _MOVES:
            self._move(event)
        elif kind == "contact.reclassified" and event["contact_id"] in self.open:
            self.open[event["contact_id"]].queue = data["queue"]
        elif kind == "agent.presence" and event["agent_id"] in self.seats:
            seat = self.seats[event["agent_id"]]
            seat.status, seat.reason, seat.connected = data["status"], data["reason"], data["connected"]
        if event["agent_id"] in self.seats:
            self._seat(self.seats[event["agent_id"]], event)

    def waits_s(self, contact: Tracked, now_ms: float) -> float:
        """How long a contact has waited, by the centre's clock."""
        return max(0.0, (now_ms - contact.received_at) / 1000 * self._speed)

    def _receive(self, event: Mapping[str, Any]) -> None:
        contact_id, data = event["contact_id"], event["data"]
        if self.knows(contact_id):
            self._promises.broken(Promise.NOTHING_DOUBLED, f"contact {contact_id} was received again at {event['seq']}")
            return
        self.open[contact_id] = Tracked(contact_id, data["queue"], data["channel"], milliseconds(event["at"]))

    def _move(self, event: Mapping[str, Any]) -> None:
        contact_id, kind, data = event["contact_id"], event["type"], event["data"]
        contact = self.open.get(contact_id)
        if contact is None:
            if contact_id in self.closed:
                self._promises.broken(Promise.ORDER, f"{kind} at {event['seq']} of the closed contact {contact_id}")
            return  # one of before: only its end is of no interest
        allowed, state = _MOVES[kind]
        if contact.state not in allowed:
            promise = Promise.ONE_AGENT if kind == "contact.offered" else Promise.ORDER
            self._promises.broken(promise, f"{kind} at {event['seq']} of {contact_id}, which was {contact.state}")
        contact.state = state
        if kind == "contact.offered":
            contact.assignment_id = data["assignment_id"]
        elif kind == "contact.active":
            self._answer(contact, event)
        elif kind == "contact.transferred":
            contact.queue = data["queue"]
        elif kind == "contact.closed":
            self._close(contact, data["outcome"])

    def _answer(self, contact: Tracked, event: Mapping[str, Any]) -> None:
        if event["data"]["assignment_id"] != contact.assignment_id:
            self._promises.broken(Promise.ONE_AGENT, f"{contact.id} was answered on an older offer at {event['seq']}")
        if not contact.answered:
            contact.answered = True
            self.figures(contact.queue).answer(self.waits_s(contact, milliseconds(event["at"])))

    def _close(self, contact: Tracked, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if not contact.answered:
            self.figures(contact.queue).abandoned += 1
        del self.open[contact.id]
        self.closed.add(contact.id)

    def figures(self, queue: str) -> QueueFigures:
        """The figures of a queue; one that is not of the scenario gets its own."""
        return self.queues.setdefault(queue, QueueFigures())

    def _seat(self, seat: Seat, event: Mapping[str, Any]) -> None:
        data = event["data"]
        if event["type"] in _FREES:
            seat.held.pop(data["assignment_id"], None)
            seat.released.pop(data["assignment_id"], None)
        elif event["type"] == "assignment.released" and data["assignment_id"] in seat.held:
            seat.released[data["assignment_id"]] = seat.held.pop(data["assignment_id"])
        elif event["type"] == "contact.offered" or (
            event["type"] == "assignment.retaken" and data["assignment_id"] in seat.released
        ):
            again = seat.released.pop(data["assignment_id"], None)
            channel, cost = again or (data["channel"], data["cost"])
            seat.held[data["assignment_id"]] = (channel, cost)
            most = seat.config.channels[channel].max if seat.config.channels is not None else 1
            count = sum(each == channel for each, _ in seat.held.values())
            count = count if seat.config.channels is not None else len(seat.held)
            if seat.load > seat.config.capacity or count > most:
                held = f"{seat.load} of {seat.config.capacity} units, {count} of {most} {channel}"
                self._promises.broken(Promise.CAPACITY, f"{event['agent_id']} has {held} at {event['seq']}")


def milliseconds(at: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time."""
    return round(datetime.fromisoformat(at).timestamp() * 1000)
