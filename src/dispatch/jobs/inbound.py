"""What comes in from customers: contacts, messages and hang-ups, and whom they are tied to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from src import metrics
from src.dispatch import people, repeats
from src.dispatch.callnotes import contact_of
from src.dispatch.facts import ContactFact, MediaFact, MessageFact, VisitFact
from src.dispatch.inbound import Inbound, InboundContact, InboundDigits, InboundHangup, InboundMessage
from src.dispatch.known import RECENT_S, Recent, Wanted
from src.dispatch.people import Sighting
from src.dispatch.turn import ContactSnapshot, Turn
from src.profile.identities import normalised
from src.router import commands
from src.router.entities import Contact
from src.router.folds import FLAGGED_CALLBACK
from src.router.state import State

_SPOKEN_KINDS: Final = frozenset({"text", "menu", "voice"})
"""Kinds whose text the customer wrote or said; what stands for an image is not searched for tags."""


TYPED_CHANNELS: Final = frozenset({"webchat"})
"""Channels on which a number is what somebody typed into a form."""

SEEN_CHANNELS: Final = frozenset({"webchat"})
"""Channels whose customers are seen where they chat, and seen to go away."""

_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of something inbound. `snapshot` is None where it was known already, or nothing came of it.

    `seq` is the number of the event that a message came with.
    """

    contact_id: str | None
    created: bool
    snapshot: ContactSnapshot | None = None
    message_id: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class TakeContact:
    """A new contact. The same external id again: the same contact, and nothing happens.

    `set_aside`: it is written down as it came, but neither classified nor matched.
    """

    inbound: InboundContact
    set_aside: bool = False

    def aside(self) -> "TakeContact":
        return replace(self, set_aside=True)

    def wants(self, wanted: Wanted, state: State) -> None:
        _want(wanted, self.inbound)
        wanted.recent(state.at - RECENT_S * 1000)
        if self.inbound.external_id is not None:
            wanted.external_contacts.add((self.inbound.channel, self.inbound.account, self.inbound.external_id))

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        if inbound.external_id is not None:
            known = turn.known.external_contacts.get((inbound.channel, inbound.account, inbound.external_id))
            if known is not None:
                metrics.REPEATS.labels("contact").inc()
                return Taken(known, created=False)
        sighting = people.seen(turn, inbound.identity, inbound.also)
        return _open(turn, inbound, sighting, ("text", {}, None), aside=self.set_aside)


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """A customer's message: it joins the customer's open contact on that account, or opens one.

    Answers go to the address that a contact came by: who writes from another one, which customers have who were merged,
    has a contact of its own there.
    `set_aside`: where it opens one, that is neither classified nor matched.
    """

    inbound: InboundMessage
    set_aside: bool = False

    def aside(self) -> "TakeMessage":
        return replace(self, set_aside=True)

    def wants(self, wanted: Wanted, state: State) -> None:
        inbound = self.inbound
        _want(wanted, inbound)
        if inbound.opens or inbound.also:
            wanted.recent(state.at - RECENT_S * 1000)
        wanted.external_messages.add((inbound.channel, inbound.account, inbound.external_id))

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        seen = turn.known.external_messages.get((inbound.channel, inbound.account, inbound.external_id))
        if seen is not None:
            metrics.REPEATS.labels("message").inc()
            return Taken(seen.contact_id, created=False, message_id=seen.id, seq=seen.seq)
        sighting = people.seen(turn, inbound.identity, inbound.also)
        thread = _thread(turn, inbound, sighting.members)
        if thread is not None:
            message_id = turn.new_id()
            seq = turn.decide(commands.Message(thread.id, message_id, inbound.kind)).events[0].seq
            _say(turn, message_id, thread.id, thread.customer_id, inbound, seq)
            _carry_out(turn, sighting, thread.id, opens=False)
            if inbound.leaves:
                turn.write(VisitFact(thread.id, inbound.account, turn.now, leaves=True))
            return Taken(thread.id, created=False, message_id=message_id, seq=seq)
        if not inbound.opens:
            return Taken(None, created=False)
        opening = InboundContact(
            channel=inbound.channel,
            account=inbound.account,
            external_id=None,
            identity=inbound.identity,
            text=inbound.text,
            tags=None if inbound.kind in _SPOKEN_KINDS else (),
            language=inbound.language,
            queue=inbound.queue,
            attributes=inbound.attributes,
            also=inbound.also,
        )
        first = (inbound.kind, inbound.payload, inbound.external_id)
        taken = _open(turn, opening, sighting, first, aside=self.set_aside, media=inbound.media)
        if inbound.channel in SEEN_CHANNELS and taken.contact_id is not None:
            turn.write(VisitFact(taken.contact_id, inbound.account, turn.now, inbound.leaves))
        return taken


def _want(wanted: Wanted, inbound: InboundContact | InboundMessage) -> None:
    """Who it may be."""
    wanted.identities.add(inbound.identity.key)
    if inbound.also:
        wanted.identities.update(each.key for each in inbound.also)
        wanted.whole = True


def _thread(turn: Turn, inbound: InboundMessage, members: Sequence[str]) -> Contact | None:
    """The newest contact of the customer on that account that still takes messages from there."""
    state = turn.engine.state
    elsewhere = {each.contact_id for each in turn.recent(members) if _came_elsewhere(each, inbound)}
    found = [state.thread(inbound.channel, inbound.account, each, elsewhere) for each in members]
    return max(filter(None, found), key=lambda each: (each.created_at, each.id), default=None)


def _came_elsewhere(recent: Recent, inbound: InboundMessage) -> bool:
    """Whether an open contact came by another address than a message, so that its answers are not seen there.

    Addresses of two kinds can be of one device, unless the channel shows each of them its own contacts alone.
    """
    kind, value = recent.identity_type, recent.identity_value
    if kind is None or (kind, value) == (inbound.identity.type, inbound.identity.value):
        return False
    return kind == inbound.identity.type or inbound.channel in SEEN_CHANNELS


@dataclass(frozen=True, slots=True)
class TakeHangup:
    """The customer is gone: the contact that the external id opened ends, if it is open.

    One that is parked stays: what was promised to the customer holds. So does one that is to be called back, whatever
    has become of it: the call back is all that is left of this call.
    """

    inbound: InboundHangup

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.external_contacts.add((self.inbound.channel, self.inbound.account, self.inbound.external_id))

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        contact_id = turn.known.external_contacts.get((inbound.channel, inbound.account, inbound.external_id))
        contact = None if contact_id is None else turn.engine.state.contact(contact_id)
        if contact is not None and FLAGGED_CALLBACK in contact.flags:
            turn.decide(commands.EndCall(contact.id, inbound.cause))
        elif contact is not None:
            _end_call(turn, contact, inbound.cause)
        return Taken(contact_id, created=False)


@dataclass(frozen=True, slots=True)
class EndCall:
    """A call in which we dialled the customer is over; the contact with it, if the customer had been `reached`."""

    contact_id: str
    cause: int | None
    reached: bool

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)

    def run(self, turn: Turn) -> None:
        contact = turn.engine.state.contact(self.contact_id)
        if contact is not None and self.reached:
            _end_call(turn, contact, self.cause)
        elif contact is not None:
            turn.decide(commands.EndCall(contact.id, self.cause))


def _end_call(turn: Turn, contact: Contact, cause: int | None) -> None:
    turn.decide(commands.EndCall(contact.id, cause))
    if contact.state != "parked":
        turn.decide(commands.Cancel(contact.id, "abandoned"))


@dataclass(frozen=True, slots=True)
class TakeDigits:
    """A caller pressed keys: kept and told as a message of the kind `event`, as long as there is somebody to tell."""

    inbound: InboundDigits

    def wants(self, wanted: Wanted, _: State) -> None:
        if (dialled := contact_of(self.inbound.external_id)) is None:
            wanted.external_contacts.add((self.inbound.channel, self.inbound.account, self.inbound.external_id))
        else:
            wanted.contacts.add(dialled)

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        known = turn.known.external_contacts.get((inbound.channel, inbound.account, inbound.external_id))
        contact_id = contact_of(inbound.external_id) or known
        contact = None if contact_id is None else turn.engine.state.contact(contact_id)
        if contact is not None and (contact.channel, contact.account) != (inbound.channel, inbound.account):
            contact = contact_id = None  # whoever says so has nothing to do with it
        if contact is None or contact.state not in ("waiting", "offered", "active"):
            return Taken(contact_id, created=False)
        message_id = turn.new_id()
        seq = turn.decide(commands.Message(contact.id, message_id, "event")).events[0].seq
        turn.write(
            MessageFact(
                id=message_id,
                contact_id=contact.id,
                customer_id=contact.customer_id,
                channel=inbound.channel,
                account=inbound.account,
                external_id=None,
                sender="customer",
                kind="event",
                text=inbound.digits,
                payload={"event": "dtmf", "digits": inbound.digits},
                at=turn.now,
                seq=seq,
            )
        )
        return Taken(contact.id, created=False, message_id=message_id, seq=seq)


def take(inbound: Inbound, default_region: str | None = None) -> "TakeContact | TakeMessage | TakeHangup | TakeDigits":
    """The job for whatever a channel handed in, its identity brought to normal form.

    `default_region` (ISO 3166) reads telephone numbers without a country code.

    Raises:
        Malformed: an identity that is none.
    """
    if isinstance(inbound, InboundHangup):
        return TakeHangup(inbound)
    if isinstance(inbound, InboundDigits):
        return TakeDigits(inbound)
    account = inbound.account
    typed = inbound.channel in TYPED_CHANNELS and inbound.identity.type == "phone"
    identity = normalised(inbound.identity, account=account, default_region=default_region, vouched=not typed)
    also = [normalised(each, account=account, default_region=default_region, vouched=False) for each in inbound.also]
    if isinstance(inbound, InboundMessage):
        return TakeMessage(replace(inbound, identity=identity, also=tuple(also)))
    return TakeContact(replace(inbound, identity=identity, also=tuple(also)))


def _open(
    turn: Turn,
    inbound: InboundContact,
    sighting: Sighting,
    first: tuple[str, Mapping[str, object], str | None],
    *,
    aside: bool,
    media: str | None = None,
) -> Taken:
    """Open a contact. `first` is its first message: its kind, what belongs to that kind, and the channel's id of it."""
    kind, payload, message_external_id = first
    customer_id, customer, contact_id = sighting.customer_id, sighting.profile, turn.new_id()
    recent = turn.recent(sighting.members)
    lately = repeats.before(turn, sighting.members, turn.now) if recent else []
    repeated = repeats.tags_repeated(turn, lately) if lately else _NONE
    earlier = _goes_on_with(recent, inbound.channel) if recent else None
    bare = commands.Receive(contact_id, customer_id, inbound.channel, inbound.account, tags=(), aside=True)
    decision = turn.decide(
        bare
        if aside
        else commands.Receive(
            contact_id=contact_id,
            customer_id=customer_id,
            channel=inbound.channel,
            account=inbound.account,
            text=inbound.text,
            tags=inbound.tags,
            language=inbound.language,
            priority=inbound.priority,
            queue=inbound.queue,
            tier=customer.tier,
            attributes=inbound.attributes,
            customer_attributes=customer.attributes,
            dedicated_agent_id=customer.preferred_agent_id,
            last_agent_id=next((each.agent_id for each in recent if each.agent_id is not None), None),
            recent_tags=repeated,
            terms=inbound.terms,
            survivor_id=customer.id,
            continues=None if earlier is None else earlier.contact_id,
            responsible_id=None if earlier is None else responsible(turn, earlier.contact_id),
        )
    )
    if repeated and not aside:
        contact = turn.engine.state.contact(contact_id)
        assert contact is not None
        repeats.mark(turn, contact, lately, repeated)
    fact = ContactFact(
        id=contact_id,
        channel=inbound.channel,
        account=inbound.account,
        external_id=inbound.external_id,
        identity_type=inbound.identity.type,
        identity_value=inbound.identity.value,
        text=inbound.text,
        attributes=inbound.attributes,
        conversation_id=None if earlier is None else earlier.conversation_id or earlier.contact_id,
    )
    turn.opened(customer_id, fact)
    if sighting.made or inbound.also:
        _carry_out(turn, sighting, contact_id, opens=True)
    turn.write(fact)
    message_id, seq = None, decision.events[0].seq
    if inbound.text is not None or payload:
        message_id = turn.new_id()
        message = InboundMessage(
            channel=inbound.channel,
            account=inbound.account,
            external_id=message_external_id or "",
            identity=inbound.identity,
            kind=kind,
            text=inbound.text,
            payload=payload,
            media=media,
        )
        _say(turn, message_id, contact_id, customer_id, message, seq)
    return Taken(contact_id, created=True, snapshot=turn.snapshot(contact_id), message_id=message_id, seq=seq)


def _carry_out(turn: Turn, sighting: Sighting, contact_id: str, *, opens: bool) -> None:
    """Write down what a sighting says; customers who turn out to be one are judged for repeats in all that is open."""
    people.carry_out(turn, sighting, contact_id, opens=opens)
    if sighting.unites:
        repeats.joined(turn, sighting.customer_id)


def _goes_on_with(recent: Sequence[Recent], channel: str) -> Recent | None:
    """The customer's newest open contact on another channel: whoever calls while it chats speaks of the same matter."""
    return next((each for each in recent if not each.closed and each.channel != channel), None)


def responsible(turn: Turn, contact_id: str) -> str | None:
    """The agent who answers for an open contact."""
    state = turn.engine.state
    contact = state.contact(contact_id)
    if contact is None:
        return None
    held = None if contact.state == "offered" else state.assignment(contact.assignment_id or "")
    return contact.owner_id if held is None else held.agent_id


def _say(turn: Turn, message_id: str, contact_id: str, customer_id: str, inbound: InboundMessage, seq: int) -> None:
    payload = inbound.payload
    if inbound.media is not None:
        media_id = turn.new_id()
        payload = {**payload, "media_id": media_id, "channel_media_id": inbound.media}
        turn.write(
            MediaFact(
                id=media_id,
                contact_id=contact_id,
                channel=inbound.channel,
                account=inbound.account,
                kind=inbound.kind,
                state="wanted",
                at=turn.now,
                source=inbound.media,
            )
        )
    turn.write(
        MessageFact(
            id=message_id,
            contact_id=contact_id,
            customer_id=customer_id,
            channel=inbound.channel,
            account=inbound.account,
            external_id=inbound.external_id or None,
            sender="customer",
            kind=inbound.kind,
            text=inbound.text,
            payload=payload,
            at=turn.now,
            seq=seq,
        )
    )
