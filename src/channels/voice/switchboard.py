"""The call model: what is to be done with calls, whatever telephone system they are in. A state machine without I/O.

    telephone system ──CallEvent──► switchboard ──Act──► the tenant's loop
                     ◄─CallCommand─             ◄─Wish── what the journal says of the contact

A contact with which an agent reaches a customer has no caller. Its agent's telephone comes first: once it is answered
the customer is dialled, and the two are bridged. A customer who is busy or does not answer leaves the contact with its
agent, who has put the receiver down then; whoever has the contact next, or has it again, dials again.

Level-triggered, as the router is: a `Wish` says how a call is to be now, whole, and never what has changed; what is so
is known from the system's events. Each time either moves, the difference is what is to be done. So nothing depends on
having heard everything: after a lost connection, or in another process, wishes are read and the system says what
stands, and the calls that lived on go on.

    contact waiting     the caller is held with music, and told its place now and then
            offered     held; the telephones of those whom it is offered to ring (by setting, only when they accept)
            active      the agent's telephone rings if it does not yet; answered, the two are bridged
            closed      the call is hung up; a caller whom the queue has not kept is told apart, once, so that voicemail
                        may have it

A telephone that is answered accepts the offer; an offer that is accepted at the desktop leaves the telephone ringing
until it is answered: either way round, the two are bridged when both have happened. A telephone that is busy declines
the offer, and one that nobody answers lets it expire. Where the agent had accepted at the desktop and the telephone
does not follow, or where its side breaks off without a hang-up, the contact goes back to the queue and the caller to
the music. Agents without a telephone are nothing that a telephone system knows of: their calls stay held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    Announce,
    Bridge,
    CallCommand,
    CallEvent,
    Dial,
    Drop,
    Dtmf,
    Ended,
    HangUp,
    Hold,
    Left,
    Offered,
    Reached,
    Ring,
    Standing,
)
from src.channels.voice.lines import remember
from src.dispatch.callnotes import OUT

NORMAL: Final = frozenset({None, 16, 31})
"""Q.850 causes with which somebody simply hung up: normal clearing, normal unspecified."""

BUSY: Final = frozenset({17, 21})
"""Q.850: user busy, call rejected. The agent said no."""

RING_S: Final = 30
"""So long a telephone rings whose agent has accepted already."""

DIAL_S: Final = 45
"""So long a customer's telephone rings."""

RING_MORE_S: Final = 3
"""A telephone rings so much longer than its offer lives: the offer's end stops it, not the other way round."""


@dataclass(frozen=True, slots=True)
class WishedLeg:
    """An agent who may take a call, or has it. `id` is the assignment, `phone` what the telephone system rings."""

    id: str
    agent_id: str
    state: str
    expires_at: int
    phone: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """How a call is to be: the state of its contact, and its agents. `number` and `name` are shown on telephones.

    `dial` is how the telephone system calls the customer, where we are to; `shows` the number that the customer sees.
    `reason` is why the queue has not kept its caller, as in `HangUp`; empty while it does, and where an agent did.
    """

    contact_id: str
    call_id: str
    state: str
    legs: tuple[WishedLeg, ...] = ()
    number: str = ""
    name: str = ""
    dial: str | None = None
    shows: str = ""
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether nobody is to be spoken with any more: closed, or set aside for a call back."""
        return self.state in ("closed", "wrap_up") or (self.state == "parked" and not self.legs)


# -- what the tenant's loop is to hear --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """There is a caller."""

    call: Offered


@dataclass(frozen=True, slots=True)
class Gone:
    """The caller is gone."""

    call_id: str
    cause: int | None


@dataclass(frozen=True, slots=True)
class PickedUp:
    """The customer whom we dialled has picked up."""

    contact_id: str


@dataclass(frozen=True, slots=True)
class Over:
    """A call in which we dialled is over. `reached`: the customer had picked up."""

    contact_id: str
    cause: int | None
    reached: bool


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed a key."""

    call_id: str
    digit: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The agent takes the offer."""

    assignment_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """The agent does not take the offer: says no (`busy`), or cannot be reached (`no_answer`, `unreachable`)."""

    assignment_id: str
    agent_id: str
    reason: Literal["busy", "no_answer", "unreachable"]


@dataclass(frozen=True, slots=True)
class Lost:
    """The agent who has the contact is not, or no longer, on the telephone: somebody else is to take it."""

    contact_id: str
    assignment_id: str
    reason: str


Act = Arrived | Gone | PickedUp | Over | Pressed | Answered | NotAnswered | Lost
Moves = tuple[list[Act], list[CallCommand]]


@dataclass(slots=True)
class _Call:
    """A caller who is there. `legs` are the agents' sides that were rung, and whether they have answered.

    `there` is false for a customer whom we have not reached; `dialling` while its telephone rings.
    """

    id: str
    there: bool = True
    dialling: bool = False
    held: bool = False
    ending: bool = False
    talking: str | None = None
    position: int | None = None
    legs: dict[str, bool] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)


class Switchboard:
    """The calls of one connection to a telephone system.

    `rings_on_offer` false: telephones ring only once their agents have accepted at the desktop.
    """

    def __init__(self, *, rings_on_offer: bool = True) -> None:
        self._rings_on_offer = rings_on_offer
        self._calls: dict[str, _Call] = {}
        self._wishes: dict[str, Wish] = {}
        self._turned_away: dict[str, None] = {}
        self._stands = False

    # -- how it is to be ----------------------------------------------------------------------------------------

    def wish(self, wish: Wish, now_ms: int) -> Sequence[CallCommand]:
        """How a call is to be; what has to be done for that."""
        call = self._calls.get(wish.call_id)
        if call is None and wish.dial is not None and not wish.over:
            call = self._calls[wish.call_id] = _Call(wish.call_id, there=False)
        if wish.dial is not None and call is not None and not self._stands:
            self._wishes[wish.call_id] = wish  # whom to ring is known once it is known who is rung
            return ()
        if call is None and (wish.over or self._stands):
            self._wishes.pop(wish.call_id, None)
            return ()
        self._wishes[wish.call_id] = wish
        return () if call is None else self._settle(call, wish, now_ms)

    def waiting(self) -> Sequence[str]:
        """The contacts whose callers are held while nobody has them."""
        found = (self._wishes.get(each.id) for each in self._calls.values() if each.held and each.talking is None)
        return [each.contact_id for each in found if each is not None and each.state == "waiting"]

    def place(self, contact_id: str, position: int) -> Sequence[CallCommand]:
        """A waiting contact's place in its queue: its caller is told, if that is news."""
        wish = next((each for each in self._wishes.values() if each.contact_id == contact_id), None)
        call = None if wish is None else self._calls.get(wish.call_id)
        if call is None or call.position == position or call.talking is not None:
            return ()
        call.position = position
        return (Announce(call.id, position),)

    # -- how it is ----------------------------------------------------------------------------------------------

    def told(self, event: CallEvent, now_ms: int) -> Moves:
        """Something happened; what the loop is to hear of it, and what is to be done at once."""
        match event:
            case Offered():
                self._calls.setdefault(event.call_id, _Call(event.call_id))
                return [Arrived(event)], []
            case Reached():
                return self._reached(event.call_id, now_ms)
            case AgentAnswered():
                return self._answered(event.call_id, event.leg_id, now_ms)
            case AgentEnded():
                return self._leg_ended(event, now_ms)
            case Ended() | Abandoned():
                return self._ended(event)
            case Left():
                self._wishes.pop(event.call_id, None)
                left = self._calls.pop(event.call_id, None)
                return [], [] if left is None else [Drop(each) for each in left.legs]
            case Dtmf():
                return [Pressed(event.call_id, event.digit)] if event.call_id in self._calls else [], []
            case Standing():
                return self._standing(event, now_ms)
            case _:
                return [], []

    def _answered(self, call_id: str, leg_id: str, now_ms: int) -> Moves:
        call, wish = self._calls.get(call_id), self._wishes.get(call_id)
        leg = None if wish is None else _leg(wish, leg_id)
        if call is None or wish is None or leg is None:
            return [], [Drop(leg_id)]
        call.legs[leg_id] = True
        acts: list[Act] = [Answered(leg.id, leg.agent_id)] if leg.state == "offered" else []
        return acts, list(self._settle(call, wish, now_ms))

    def _reached(self, call_id: str, now_ms: int) -> Moves:
        call, wish = self._calls.get(call_id), self._wishes.get(call_id)
        if call is None or wish is None:
            return [], [HangUp(call_id)]
        call.there, call.dialling = True, False
        return [PickedUp(wish.contact_id)], list(self._settle(call, wish, now_ms))

    def _leg_ended(self, event: AgentEnded, now_ms: int) -> Moves:
        call = next((each for each in self._calls.values() if event.leg_id in each.legs), None)
        if call is None:
            return [], []
        del call.legs[event.leg_id]
        call.failed.add(event.leg_id)
        talked = call.talking == event.leg_id
        if talked:
            call.talking, call.held = None, False
        wish = self._wishes.get(call.id)
        leg = None if wish is None else _leg(wish, event.leg_id)
        if wish is None or leg is None:
            return [], [] if wish is None else list(self._settle(call, wish, now_ms))
        if leg.state == "offered":
            return [NotAnswered(leg.id, leg.agent_id, _reason(event.cause))], []
        if talked and event.cause in NORMAL:
            call.ending = True
            return [], [HangUp(call.id)]
        if call.dialling and event.cause in NORMAL:  # the agent has thought better of it
            return [], [HangUp(call.id)]
        reason = "connection_lost" if talked else _reason(event.cause)
        return [Lost(wish.contact_id, leg.id, reason)], list(self._settle(call, wish, now_ms))

    def _ended(self, event: Ended | Abandoned) -> Moves:
        call_id = event.call_id
        if call_id in self._calls and call_id.startswith(OUT):
            return self._out_ended(self._calls[call_id], self._wishes[call_id], event)
        call = self._calls.pop(call_id, None)
        self._wishes.pop(call_id, None)
        return [Gone(call_id, event.cause)], [] if call is None else [Drop(each) for each in call.legs]

    def _out_ended(self, call: _Call, wish: Wish, event: Ended | Abandoned) -> Moves:
        """The call is kept in mind with those who have tried: only others dial, until the contact is over."""
        reached, legs = call.there or isinstance(event, Ended), list(call.legs)
        if wish.over:
            del self._calls[call.id], self._wishes[call.id]
            return [], [Drop(each) for each in legs]
        call.failed |= {each.id for each in wish.legs} | set(legs)
        call.there = call.dialling = call.held = call.ending = False
        call.talking = None
        call.legs.clear()
        return [Over(wish.contact_id, event.cause, reached)], [Drop(each) for each in legs]

    def _standing(self, event: Standing, now_ms: int) -> Moves:
        self._stands = True
        acts: list[Act] = []
        for call_id, call in self._calls.items():
            if call_id.startswith(OUT):
                acts.extend(self._out_stands(call, self._wishes[call_id], event))
        stray = [
            each.call_id for each in event.calls if each.call_id.startswith(OUT) and each.call_id not in self._calls
        ]
        for each in event.calls:
            if not each.call_id.startswith(OUT):
                acts.extend(self._caller_stands(each, event))
        for gone in [each for each in self._wishes.values() if each.call_id not in self._calls]:
            del self._wishes[gone.call_id]
            if gone.call_id not in event.coming:
                acts.append(Gone(gone.call_id, None))
        does: list[CallCommand] = [HangUp(each) for each in stray]
        for call in list(self._calls.values()):
            if call.id in self._wishes:
                does.extend(self._settle(call, self._wishes[call.id], now_ms))
        known = {leg_id for call in self._calls.values() for leg_id in (call.id, *call.legs)}
        does.extend(Drop(each) for each in event.legs if each not in known)
        return acts, does

    def _caller_stands(self, caller: Offered, event: Standing) -> Sequence[Act]:
        call, wish = self._calls.setdefault(caller.call_id, _Call(caller.call_id)), self._wishes.get(caller.call_id)
        return [Arrived(caller)] if wish is None else self._legs_stand(call, wish, event)

    def _out_stands(self, call: _Call, wish: Wish, event: Standing) -> Sequence[Act]:
        """Where neither customer nor agent is there who had been, nobody is dialled again without being asked for."""
        call.there = any(each.call_id == call.id for each in event.calls)
        call.dialling = call.id in event.legs
        acts = list(self._legs_stand(call, wish, event))
        holder = _holder(wish)
        if call.there and call.talking is None and holder is not None and call.legs.get(holder.id):
            acts.append(PickedUp(wish.contact_id))  # while nobody listened: else the two would hear each other
        had = [each.id for each in wish.legs if each.state == "active" and each.id not in call.failed]
        lost = [each for each in had if each not in event.legs]
        if lost and not call.there and not call.dialling:
            call.failed.update(lost)
            acts.append(Over(wish.contact_id, None, reached=False))
        return acts

    @staticmethod
    def _legs_stand(call: _Call, wish: Wish, event: Standing) -> Sequence[Act]:
        acts = []
        for leg in wish.legs:
            if leg.id in event.legs:
                call.legs[leg.id] = event.legs[leg.id]
                if event.legs[leg.id] and leg.state == "offered":
                    acts.append(Answered(leg.id, leg.agent_id))
            if (call.id, leg.id) in event.talking:
                call.talking = leg.id
        return acts

    # -- the difference -----------------------------------------------------------------------------------------

    def _settle(self, call: _Call, wish: Wish, now_ms: int) -> Sequence[CallCommand]:
        if call.ending:
            return ()
        if wish.over:
            call.ending = True
            if not call.there and not call.dialling:
                del self._calls[call.id], self._wishes[call.id]
                return [Drop(each) for each in call.legs]
            return [*(Drop(each) for each in call.legs), self._end_of(call, wish)]
        does: list[CallCommand] = []
        for leg_id in [each for each in call.legs if _leg(wish, each) is None]:
            del call.legs[leg_id]
            does.append(Drop(leg_id))
            if call.talking == leg_id:
                call.talking, call.held = None, False
        holder = _holder(wish)
        if holder is not None and call.legs.get(holder.id) and not call.there:
            if holder.id in call.failed:
                del call.legs[holder.id]
                does.append(Drop(holder.id))
            elif not call.dialling and wish.dial is not None:
                call.dialling = True
                does.append(Dial(call.id, wish.dial, DIAL_S, wish.shows))
        elif holder is not None and call.legs.get(holder.id):
            if call.talking != holder.id:
                call.talking, call.held, call.position = holder.id, False, None
                does.append(Bridge(call.id, holder.id))
        elif call.there and call.talking is None and not call.held:
            call.held = True
            does.append(Hold(call.id))
        does.extend(self._rings(call, wish, now_ms))
        return does

    def _end_of(self, call: _Call, wish: Wish) -> HangUp:
        """Who comes back from where it was given to is hung up on: it would be given to and fro for ever."""
        if not wish.reason or call.talking is not None or call.id in self._turned_away:
            return HangUp(call.id)
        remember(self._turned_away, call.id, None)
        return HangUp(call.id, wish.reason, wish.contact_id)

    def _rings(self, call: _Call, wish: Wish, now_ms: int) -> Sequence[CallCommand]:
        does: list[CallCommand] = []
        for leg in wish.legs:
            if leg.phone is None or leg.id in call.legs or leg.id in call.failed:
                continue
            if leg.state == "active":
                rings_s = RING_S
            elif leg.state == "offered" and self._rings_on_offer:
                rings_s = max(1, -(-(leg.expires_at - now_ms) // 1000)) + RING_MORE_S
            else:
                continue
            call.legs[leg.id] = False
            does.append(Ring(call.id, leg.id, leg.phone, rings_s, wish.number, wish.name))
        return does


def _leg(wish: Wish, leg_id: str) -> WishedLeg | None:
    return next((each for each in wish.legs if each.id == leg_id), None)


def _holder(wish: Wish) -> WishedLeg | None:
    """The agent who has the contact."""
    return next((each for each in wish.legs if each.state in ("active", "parked")), None)


def _reason(cause: int | None) -> Literal["busy", "no_answer", "unreachable"]:
    if cause in BUSY:
        return "busy"
    return "no_answer" if cause in (16, 18, 19, None) else "unreachable"
