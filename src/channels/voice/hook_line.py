"""A telephone system that keeps no connection, as a line has it: its notes in, orders out. It does no I/O.

The frames are ours: whoever keeps the notes and orders writes them (`frame_of_note`, `frame_of_standing`) and reads
them (`order_of`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    AgentRinging,
    Announce,
    Bridge,
    Bridged,
    CallCommand,
    CallEvent,
    Dial,
    Drop,
    Ended,
    HangUp,
    Hold,
    Left,
    Offered,
    Queued,
    Reached,
    Ring,
    Standing,
)
from src.channels.voice.lines import remember
from src.dispatch.callnotes import ENDED, OUT, CallNote, CallOrder, NotedCall, attempt_of, folded, tried_by

KINDS: Final[Mapping[type[CallCommand], str]] = {
    Hold: "hold",
    Announce: "announce",
    Ring: "ring",
    Dial: "dial",
    Bridge: "bridge",
    HangUp: "hang_up",
    Drop: "drop",
}


class _Frame(msgspec.Struct):
    standing: bool
    notes: list[CallNote]
    orders: list[CallOrder] = []


_read: Final = msgspec.json.Decoder(_Frame).decode
_read_order: Final = msgspec.json.Decoder(CallOrder).decode


def frame_of_note(note: CallNote) -> str:
    """Something happened."""
    return msgspec.json.encode(_Frame(False, [note])).decode()


def frame_of_standing(notes: Iterable[CallNote], orders: Iterable[CallOrder]) -> str:
    """All that is known of the calls that are there."""
    return msgspec.json.encode(_Frame(True, list(notes), list(orders))).decode()


def order_of(frame: str) -> CallOrder:
    """What is to be done; its id is for whoever keeps it."""
    return _read_order(frame)


class HookLine:
    """See `Conversation`. `without` are the kinds of orders that the system needs not be given.

    Calls in which we dial have one id for whoever has the line, and another one in notes and orders each time that they
    are tried: it begins when the first agent's telephone is rung for it, and ends with the call.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        self._without = frozenset(without)
        self._calls: dict[str, NotedCall] = {}
        self._call_of_leg: dict[str, str] = {}
        self._attempts: dict[str, str] = {}
        self.waits_since_ms: int | None = None

    def begin(self, now_ms: int) -> Sequence[str]:  # noqa: ARG002  # nothing need be asked: it was noted
        """See `Conversation.begin`."""
        return ()

    def ping(self, now_ms: int) -> Sequence[str]:  # noqa: ARG002  # there is no connection
        """See `Conversation.ping`."""
        return ()

    def take(self, text: str, now_ms: int) -> tuple[Sequence[CallEvent], Sequence[str]]:  # noqa: ARG002
        """See `Conversation.take`."""
        frame = _read(text)
        if frame.standing:
            return [self._standing(frame.notes, frame.orders)], ()
        return [event for note in frame.notes for event in self._noted(note)], ()

    def tell(self, command: CallCommand, now_ms: int) -> Sequence[str]:
        """See `Conversation.tell`."""
        if isinstance(command, Drop) and command.leg_id.startswith(OUT):
            command = HangUp(command.leg_id)
        kind, leg_id, data = KINDS[type(command)], None, {}
        match command:
            case Ring():
                leg_id, call_id = command.leg_id, self._tried(command.call_id, command.leg_id)
                data = {"phone": command.phone, "timeout_s": command.timeout_s}
                remember(self._call_of_leg, leg_id, call_id)
            case Bridge():
                leg_id, call_id = command.leg_id, self._tried(command.call_id)
            case Drop():
                leg_id, call_id = command.leg_id, self._call_of_leg.get(command.leg_id, "")
            case Announce():
                call_id, data = self._tried(command.call_id), {"position": command.position}
            case HangUp() if command.reason:
                call_id, data = command.call_id, {"reason": command.reason, "contact_id": command.contact_id}
            case Dial():
                call_id, data = self._tried(command.call_id), {"timeout_s": command.timeout_s}
            case _:
                call_id = self._tried(command.call_id)
        call = self._calls.get(call_id)
        gone = call is not None and call.ended and leg_id is None
        if kind in self._without or gone or (kind == "drop" and self._leg_ended(call_id, command)):
            return ()
        order = CallOrder("", call_id, kind, now_ms, leg_id, data)
        if call is not None and kind == "dial":
            call.order(order)
        return [msgspec.json.encode(order).decode()]

    def _tried(self, call_id: str, leg_id: str | None = None) -> str:
        """The call's id in notes and orders; `leg_id` begins an attempt where there is none."""
        if not call_id.startswith(OUT):
            return call_id
        if call_id not in self._attempts and leg_id is not None:
            self._attempts[call_id] = attempt = attempt_of(call_id, leg_id)
            remember(self._calls, attempt, NotedCall(attempt))
        return self._attempts.get(call_id, "")

    def _leg_ended(self, call_id: str, command: CallCommand) -> bool:
        call = self._calls.get(call_id)
        return isinstance(command, Drop) and call is not None and call.leg(command.leg_id).ended

    def _standing(self, notes: Sequence[CallNote], orders: Sequence[CallOrder]) -> Standing:
        known = [each for each in folded(notes, orders).values() if not each.ended]
        self._calls = {each.id: each for each in known if each.offered or each.out}
        self._attempts = {tried_by(each.id): each.id for each in self._calls.values() if each.out}
        dialled = [each for each in self._calls.values() if each.customer.rung_at is not None]
        self._call_of_leg = {leg_id: each.id for each in self._calls.values() for leg_id in each.legs}
        legs = [(call.id, *each) for call in self._calls.values() for each in call.legs.items() if not each[1].ended]
        return Standing(
            tuple(_offered(each) for each in self._calls.values() if each.offered or each.customer.answered),
            {tried_by(each.id): False for each in dialled if not each.customer.answered}
            | {leg_id: leg.answered for _, leg_id, leg in legs},
            frozenset((tried_by(call_id), leg_id) for call_id, leg_id, leg in legs if leg.talked),
            frozenset(each.id for each in known if not each.offered),
        )

    def _noted(self, note: CallNote) -> Sequence[CallEvent]:
        """What is news; what is over stays so, whatever comes behind it."""
        call = self._calls.get(note.call_id)
        if call is None:
            call = NotedCall(note.call_id)
            remember(self._calls, call.id, call)
        if call.is_of_another(note) or (call.out and self._attempts.get(tried_by(call.id)) != call.id):
            return ()
        was_reached, was_offered, was_ended = call.customer.answered, call.offered, call.ended
        leg_was = None if note.leg_id is None else (call.leg(note.leg_id).answered, call.leg(note.leg_id).ended)
        call.note(note)
        if call.ended and call.out:
            del self._attempts[tried_by(call.id)]
        if note.kind in ENDED or was_ended:
            if note.kind == "offered" or not was_ended:
                return [_end_of(call, note)]
            return ()
        if note.kind == "offered":
            return () if was_offered else [_offered(call, note.at)]
        if note.kind == "reached" and call.out:
            return () if was_reached else [Reached(tried_by(note.call_id), note.at)]
        if note.leg_id is None or leg_was is None:
            return [Queued(note.call_id, note.at)] if note.kind == "queued" else ()
        if note.leg_id not in self._call_of_leg:
            remember(self._call_of_leg, note.leg_id, note.call_id)
        return _of_leg(note, note.leg_id, answered=leg_was[0], ended=leg_was[1])


def _of_leg(note: CallNote, leg_id: str, *, answered: bool, ended: bool) -> Sequence[CallEvent]:
    if ended:
        return ()
    call_id = tried_by(note.call_id)
    events: list[CallEvent] = []
    if note.kind in ("agent_answered", "bridged") and not answered:
        events.append(AgentAnswered(call_id, note.at, leg_id))
    if note.kind == "bridged":
        events.append(Bridged(call_id, note.at, leg_id))
    if note.kind == "agent_ringing":
        events.append(AgentRinging(call_id, note.at, leg_id))
    if note.kind == "agent_ended":
        events.append(AgentEnded(call_id, note.at, leg_id, note.cause))
    return events


def _offered(call: NotedCall, at_ms: int = 0) -> Offered:
    """A caller whose contact is there: whoever calls stands in it, and not in the note."""
    return Offered(tried_by(call.id), at_ms, "")


def _end_of(call: NotedCall, note: CallNote) -> CallEvent:
    if call.left:
        return Left(call.id, note.at)
    there = call.customer.answered if call.out else any(each.talked for each in call.legs.values())
    cause = note.cause if note.kind in ENDED else None
    return (Ended if there else Abandoned)(tried_by(call.id), note.at, cause)


def as_json(order: CallOrder, number: str | None = None, phone: str | None = None) -> dict[str, Any]:
    """An order as a system is given it; `number` is what the telephone shows that rings, `phone` the customer's."""
    shown: dict[str, Any] = {"id": order.id, "type": order.kind, "call_id": order.call_id, **order.data}
    if order.leg_id is not None:
        shown["leg_id"] = order.leg_id
    if order.kind in ("ring", "dial") and number:
        shown["number"] = number
    if order.kind == "dial":
        shown["phone"] = phone
    return shown
