"""Calls of telephone systems that keep no connection to us: what they told of them, and what they are to do.

    note    what happened to a call, as its system told it: written once, under the system's own id of the event
    order   what is to be done with a call: kept until the system has it

Neither holds who calls or is called: ids, codes and agents' telephones alone.

A call in which we dial the customer has an id of ours, one for each time that it is tried: `attempt_of` says which. So
what has ended has ended there, too, whatever comes behind it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LEFT: Final = "left"
ENDED: Final = frozenset({"ended", "abandoned", LEFT})

OUT: Final = "out-"
"""What the ids of calls begin with in which we dial the customer; behind it stands the contact's."""


def attempt_of(call_id: str, leg_id: str) -> str:
    """The id of a call with a customer, of this time that it is tried: first for this agent's side."""
    return f"{call_id}.{leg_id}"


def tried_by(attempt: str) -> str:
    """The id of the call that this attempt is one at; any other call is its own."""
    return attempt.partition(".")[0] if attempt.startswith(OUT) else attempt


def contact_of(attempt: str) -> str | None:
    """The contact whose customer is dialled; None for callers."""
    return tried_by(attempt).removeprefix(OUT) if attempt.startswith(OUT) else None


@dataclass(frozen=True, slots=True)
class CallNote:
    """Something happened to a call.

    `kind` is `offered`, `queued`, `agent_ringing`, … as in `channels/voice/calls`; `coming`, which is written before a
    call's contact is, as `offered` is behind it; `left`, when a caller whom its queue has not kept was given to
    something else, so that no more of it is news; and `dialled`, `reached` of customers, `coming` before. `leg_id` is
    the agent's side that it concerns, None: the customer's; `ref` the system's own id of that side, where it has one
    that is not the call's. `cause` is a Q.850 number, `at` the time in milliseconds since the epoch.
    """

    id: str
    call_id: str
    kind: str
    at: int
    leg_id: str | None = None
    ref: str | None = None
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class CallOrder:
    """Something is to be done with a call. `kind` is `hold`, `announce`, `ring`, `dial`, `bridge`, `hang_up` or `drop`.

    `data` is what belongs to the kind: `phone` and `timeout_s` of a ring, `timeout_s` of a dial (whom, is read when it
    is given), `position` of an announcement, `reason` and `contact_id` of a hang-up whose caller its queue has not
    kept. `at` is when it was ordered, in milliseconds since the epoch.
    """

    id: str
    call_id: str
    kind: str
    at: int
    leg_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def left_note(call_id: str, now_ms: int) -> CallNote:
    """A caller was given to something else, such as voicemail: once for each call."""
    return CallNote(left_id(call_id), call_id, LEFT, now_ms)


def left_id(call_id: str) -> str:
    """The id of the note that a caller was given to something else."""
    return f"{call_id} {LEFT}"


@dataclass(slots=True)
class NotedLeg:
    """A side of a call: whether it was answered, whether it is gone, when it was rung, and for how many seconds."""

    answered: bool = False
    ended: bool = False
    talked: bool = False
    ref: str | None = None
    rung_at: int | None = None
    rings_s: int = 0


@dataclass(slots=True)
class NotedCall:
    """What notes and orders add up to, in whatever order they are read. `heard_at` is when the last note came.

    `left`: it has ended for us alone. `customer` is the side of a customer whom we dial.
    """

    id: str
    offered: bool = False
    ended: bool = False
    left: bool = False
    heard_at: int = 0
    legs: dict[str, NotedLeg] = field(default_factory=dict)
    customer: NotedLeg = field(default_factory=NotedLeg)

    @property
    def out(self) -> bool:
        """Whether it is one in which we dial the customer."""
        return self.id.startswith(OUT)

    def leg(self, leg_id: str) -> NotedLeg:
        """A leg, known from now on."""
        return self.legs.setdefault(leg_id, NotedLeg())

    def note(self, note: CallNote) -> None:
        """Take a note."""
        if self.is_of_another(note):
            return
        self.heard_at = max(self.heard_at, note.at)
        self.offered = self.offered or note.kind == "offered"
        self.ended = self.ended or note.kind in ENDED
        self.left = self.left or note.kind == LEFT
        leg = self.customer if note.leg_id is None else self.leg(note.leg_id)
        leg.ref = leg.ref or note.ref
        leg.answered = leg.answered or note.kind in ("agent_answered", "bridged", "reached")
        leg.talked = leg.talked or note.kind == "bridged"
        leg.ended = leg.ended or note.kind == "agent_ended"

    def is_of_another(self, note: CallNote) -> bool:
        """Whether a note is of a second ringing of the same side: the first one counts."""
        leg = self.customer if note.leg_id is None else self.legs.get(note.leg_id)
        return leg is not None and leg.ref is not None and note.ref not in (None, leg.ref)

    def order(self, order: CallOrder) -> None:
        """Take an order: a side that is to ring is there until its end is told."""
        if order.kind in ("ring", "dial"):
            leg = self.customer if order.leg_id is None else self.leg(order.leg_id)
            leg.rung_at, leg.rings_s = order.at, int(order.data.get("timeout_s", 0))


def folded(notes: Iterable[CallNote], orders: Iterable[CallOrder]) -> dict[str, NotedCall]:
    """The calls that notes and orders speak of, by their ids."""
    calls: dict[str, NotedCall] = {}
    for note in notes:
        calls.setdefault(note.call_id, NotedCall(note.call_id)).note(note)
    for order in orders:
        calls.setdefault(order.call_id, NotedCall(order.call_id)).order(order)
    return calls
