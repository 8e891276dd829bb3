"""What callers and channels can want of a tenant, as jobs. Each says what it must know, then decides in its turn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from src.dispatch import people
from src.dispatch.inbound import Inbound, InboundContact, InboundHangup, InboundMessage
from src.dispatch.people import Sighting
from src.dispatch.ports import (
    RECENT_S,
    AccountFact,
    CollaborationWord,
    ConfigFact,
    ConnectorFact,
    ContactFact,
    CursorFact,
    Fact,
    Fetched,
    KeyFact,
    MediaFact,
    MessageFact,
    NoteFact,
    OutgoingFact,
    Recent,
    ReviewFact,
    Wanted,
)
from src.dispatch.turn import ContactSnapshot, Turn
from src.errors import Conflict, InvalidState, NotFound, Refused
from src.profile.identities import normalised
from src.router import commands
from src.router.commands import Command
from src.router.entities import Contact, Row
from src.router.state import State

_SPOKEN_KINDS: Final = frozenset({"text", "menu", "voice"})
"""Kinds whose text the customer wrote or said; what stands for an image is not searched for tags."""


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
                return Taken(known, created=False)
        sighting = people.seen(turn, inbound.identity, inbound.also)
        return _open(turn, inbound, sighting, ("text", {}, None), aside=self.set_aside)


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """A customer's message: it joins the customer's open contact on that account, or opens one.

    `set_aside`: where it opens one, that is neither classified nor matched.
    """

    inbound: InboundMessage
    set_aside: bool = False

    def aside(self) -> "TakeMessage":
        return replace(self, set_aside=True)

    def wants(self, wanted: Wanted, state: State) -> None:
        inbound = self.inbound
        _want(wanted, inbound)
        if inbound.opens:
            wanted.recent(state.at - RECENT_S * 1000)
        wanted.external_messages.add((inbound.channel, inbound.account, inbound.external_id))

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        seen = turn.known.external_messages.get((inbound.channel, inbound.account, inbound.external_id))
        if seen is not None:
            return Taken(seen.contact_id, created=False, message_id=seen.id, seq=seen.seq)
        sighting = people.seen(turn, inbound.identity, inbound.also)
        thread = _thread(turn, inbound, sighting.members)
        if thread is not None:
            message_id = turn.new_id()
            seq = turn.decide(commands.Message(thread.id, message_id, inbound.kind)).events[0].seq
            _say(turn, message_id, thread.id, thread.customer_id, inbound, seq)
            people.carry_out(turn, sighting, thread.id)
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
        return _open(turn, opening, sighting, first, aside=self.set_aside, media=inbound.media)


def _want(wanted: Wanted, inbound: InboundContact | InboundMessage) -> None:
    """Who it may be."""
    wanted.identities.add(inbound.identity.key)
    if inbound.also:
        wanted.identities.update(each.key for each in inbound.also)
        wanted.whole = True


def _thread(turn: Turn, inbound: InboundMessage, members: Sequence[str]) -> Contact | None:
    """The newest contact of the customer on that account that still takes messages."""
    state = turn.engine.state
    found = [state.thread(inbound.channel, inbound.account, each) for each in members]
    return max(filter(None, found), key=lambda each: (each.created_at, each.id), default=None)


@dataclass(frozen=True, slots=True)
class TakeHangup:
    """The customer is gone: the contact that the external id opened ends, if it is open."""

    inbound: InboundHangup

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.external_contacts.add((self.inbound.channel, self.inbound.account, self.inbound.external_id))

    def run(self, turn: Turn) -> Taken:
        inbound = self.inbound
        contact_id = turn.known.external_contacts.get((inbound.channel, inbound.account, inbound.external_id))
        if contact_id is not None and turn.engine.state.contact(contact_id) is not None:
            turn.decide(commands.Cancel(contact_id, "abandoned"))
        return Taken(contact_id, created=False)


def take(inbound: Inbound, default_region: str | None = None) -> "TakeContact | TakeMessage | TakeHangup":
    """The job for whatever a channel handed in, its identity brought to normal form.

    `default_region` (ISO 3166) reads telephone numbers without a country code.

    Raises:
        Malformed: an identity that is none.
    """
    if isinstance(inbound, InboundHangup):
        return TakeHangup(inbound)
    identity, *also = (
        normalised(each, account=inbound.account, default_region=default_region)
        for each in (inbound.identity, *inbound.also)
    )
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
    lately = _lately(turn, recent) if recent else []
    repeated = _tags_repeated(turn, lately) if lately else _NONE
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
        )
    )
    if repeated and not aside:
        _mark_repeat(turn, (contact_id, customer_id), lately, repeated)
    turn.opened(customer_id, contact_id, inbound.channel)
    if sighting.made or inbound.also:
        people.carry_out(turn, sighting, contact_id)
    fact = ContactFact(
        id=contact_id,
        channel=inbound.channel,
        account=inbound.account,
        external_id=inbound.external_id,
        identity_type=inbound.identity.type,
        identity_value=inbound.identity.value,
        text=inbound.text,
        attributes=inbound.attributes,
    )
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


def _lately(turn: Turn, recent: Sequence[Recent]) -> list[Recent]:
    """Contacts within the time in which a further one is a repeat."""
    since = turn.now - turn.engine.config.settings.repeat_window_s * 1000
    return [each for each in recent if each.tags and each.created_at >= since]


def _tags_repeated(turn: Turn, lately: Sequence[Recent]) -> frozenset[str]:
    """The tags with which one more contact is a repeat."""
    counted = Counter(tag for each in lately for tag in set(each.tags))
    before = turn.engine.config.settings.repeat_count - 1
    return frozenset(tag for tag, count in counted.items() if count >= before)


def _mark_repeat(turn: Turn, came: tuple[str, str], lately: Sequence[Recent], repeated: frozenset[str]) -> None:
    """Mark a contact that comes again with the same tag, and put it before the people who watch over quality.

    `came` are the ids of the contact and of whom it came as.
    """
    contact_id, customer_id = came
    contact = turn.engine.state.contact(contact_id)
    assert contact is not None
    tags = tuple(tag for tag in contact.tags if tag in repeated)
    if tags:
        earlier = tuple(each.contact_id for each in lately if not {*tags}.isdisjoint(each.tags))
        turn.decide(commands.MarkRepeat(contact_id, tags, earlier))
        turn.write(ReviewFact(contact_id, "repeat", customer_id, tags, earlier, turn.now))


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


@dataclass(frozen=True, slots=True)
class PostMessage:
    """A customer's message on a contact that the caller names; `channel` and `account` are that contact's.

    The result is the message, and whether it is new.
    """

    contact_id: str
    channel: str
    account: str
    external_id: str | None
    kind: str
    text: str | None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        if self.external_id is not None:
            wanted.external_messages.add((self.channel, self.account, self.external_id))

    def run(self, turn: Turn) -> tuple[MessageFact, bool]:
        if self.external_id is not None:
            seen = turn.known.external_messages.get((self.channel, self.account, self.external_id))
            if seen is not None and seen.contact_id != self.contact_id:
                raise Conflict("another contact has a message with this external_id")
            if seen is not None:
                return seen, False
        contact = turn.engine.state.contact(self.contact_id)
        if contact is None and self.contact_id not in turn.known.contacts:
            raise NotFound("there is no such contact")
        if contact is None or contact.state == "closed":
            raise InvalidState("the contact is closed", state="closed")
        message_id = turn.new_id()
        decision = turn.decide(commands.Message(contact.id, message_id, self.kind))
        message = MessageFact(
            id=message_id,
            contact_id=contact.id,
            customer_id=contact.customer_id,
            channel=contact.channel,
            account=contact.account,
            external_id=self.external_id,
            sender="customer",
            kind=self.kind,
            text=self.text,
            payload=self.payload,
            at=turn.now,
            seq=decision.events[0].seq,
        )
        turn.write(message)
        return message, True


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that is to go out. `created` false: it was known already; `outgoing` is None where nobody asked."""

    message: MessageFact
    outgoing: OutgoingFact | None
    created: bool


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A message to the customer of a contact that the caller names; `channel` and `account` are that contact's.

    `sender` is `agent` or `system`, `by` who it is; `acting`: an agent that must hold the contact. `native`: this
    service sends it. The same `external_id` again: the same message, and nothing happens.
    """

    contact_id: str
    channel: str
    account: str
    external_id: str | None
    kind: str
    text: str | None
    payload: Mapping[str, Any]
    sender: str
    by: str
    acting: str | None
    native: bool

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        if self.external_id is not None:
            wanted.external_messages.add((self.channel, self.account, self.external_id))

    def run(self, turn: Turn) -> Posted:
        if self.external_id is not None:
            seen = turn.known.external_messages.get((self.channel, self.account, self.external_id))
            if seen is not None and (seen.contact_id != self.contact_id or seen.sender == "customer"):
                raise Conflict("another message has this external_id")
            if seen is not None:
                return Posted(seen, turn.known.outgoing.get(seen.id), created=False)
        message_id = turn.new_id()
        command = commands.SendMessage(self.contact_id, message_id, self.kind, self.by, self.acting)
        event = turn.decide(command).events[0]
        message = MessageFact(
            id=message_id,
            contact_id=self.contact_id,
            customer_id=event.customer_id or "",
            channel=self.channel,
            account=self.account,
            external_id=self.external_id,
            sender=self.sender,
            kind=self.kind,
            text=self.text,
            payload=self.payload,
            at=turn.now,
            seq=event.seq,
        )
        outgoing = OutgoingFact(
            message_id=message_id,
            contact_id=self.contact_id,
            channel=self.channel,
            account=self.account,
            by=self.by,
            agent_id=self.acting,
            native=self.native,
            place=event.seq,
            queued_at=turn.now,
            state="queued",
            at=turn.now,
        )
        turn.write(message)
        turn.write(outgoing)
        return Posted(message, outgoing, created=True)


@dataclass(frozen=True, slots=True)
class MoveMessage:
    """What became of a message that went out. `receipt` is the channel's own id of it."""

    contact_id: str
    message_id: str
    state: Literal["sent", "delivered", "failed"]
    reason: str | None = None
    receipt: str | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        wanted.messages.add(self.message_id)

    def run(self, turn: Turn) -> Posted:
        message, outgoing = turn.known.messages.get(self.message_id), turn.known.outgoing.get(self.message_id)
        if message is None or outgoing is None or outgoing.contact_id != self.contact_id:
            raise NotFound("no such message goes out")
        command = commands.MoveMessage(
            self.contact_id, self.message_id, outgoing.state, self.state, self.reason, outgoing.agent_id
        )
        if not turn.decide(command).events:
            return Posted(message, outgoing, created=False)
        moved = replace(
            outgoing,
            state=self.state,
            at=turn.now,
            reason=(self.reason or "failed") if self.state == "failed" else None,
            receipt=self.receipt or outgoing.receipt,
        )
        turn.write(moved)
        return Posted(message, moved, created=False)


@dataclass(frozen=True, slots=True)
class MoveMedia:
    """Media were fetched and kept, or cannot be had. Hearing so again changes nothing. The result is the media."""

    contact_id: str
    media_id: str
    fetched: Fetched

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        wanted.media.add(self.media_id)

    def run(self, turn: Turn) -> MediaFact:
        media, fetched = turn.known.media.get(self.media_id), self.fetched
        if media is None or media.contact_id != self.contact_id:
            raise NotFound("there are no such media")
        if media.state != "wanted" or fetched.state is None:
            return media
        reason = (fetched.reason or "failed") if fetched.state == "failed" else None
        turn.decide(commands.MediaCame(media.contact_id, media.id, fetched.media_type, fetched.size, reason))
        moved = replace(
            media,
            state=fetched.state,
            at=turn.now,
            hash=fetched.hash,
            media_type=fetched.media_type,
            size=fetched.size,
            name=fetched.name,
            reason=reason,
        )
        turn.write(moved)
        return moved


@dataclass(frozen=True, slots=True)
class KeepMedia:
    """Media that somebody has handed in, and whose contents are kept: for a contact that is open."""

    media: MediaFact

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.media.contact_id)

    def run(self, turn: Turn) -> MediaFact:
        contact = turn.engine.state.contact(self.media.contact_id)
        if contact is None and self.media.contact_id not in turn.known.contacts:
            raise NotFound("there is no such contact")
        if contact is None or contact.state == "closed":
            raise InvalidState("the contact is closed", state="closed")
        turn.write(self.media)
        return self.media


@dataclass(frozen=True, slots=True)
class WantPull:
    """A channel says that there is something to be asked for, with a token to ask with."""

    account: str
    channel: str
    token: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.cursors.add(self.account)

    def run(self, turn: Turn) -> None:
        known = turn.known.cursors.get(self.account)
        cursor = None if known is None else known.cursor
        calls = 1 if known is None else known.calls + 1
        turn.write(CursorFact(self.account, self.channel, cursor, True, self.token, turn.now, calls))


@dataclass(frozen=True, slots=True)
class TakePulled:
    """What an account gave when it was asked, with the cursor that follows: all in one commit.

    `asked` is how far it had been read; where another cursor is known by now, nothing happens. What cannot be taken is
    passed over: the cursor goes on. The result: whether there is more to be asked for.
    """

    asked: CursorFact
    after: str | None
    more: bool
    taken: tuple[TakeMessage, ...]
    moved: tuple[MoveMessage, ...]

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.cursors.add(self.asked.account)
        for each in self._parts():
            each.wants(wanted, state)

    def run(self, turn: Turn) -> bool:
        known = turn.known.cursors.get(self.asked.account)
        if known is None or known.cursor != self.asked.cursor:
            return known is not None and known.wanted
        for each in self._parts():
            with suppress(Refused):
                each.run(turn)
        wanted = self.more or known.calls != self.asked.calls  # it has called again meanwhile
        turn.write(replace(known, cursor=self.after, wanted=wanted))
        return wanted

    def _parts(self) -> Iterable[TakeMessage | MoveMessage]:
        yield from self.taken
        yield from self.moved


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """An account cannot send before somebody has seen to it."""

    account: str
    reason: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing is looked up."""

    def run(self, turn: Turn) -> None:
        turn.decide(commands.ReportTrouble(self.account, self.reason))


@dataclass(frozen=True, slots=True)
class OnContact:
    """A command about a contact that may have closed: cancel, transfer, reclassify, park, resume, a supervisor's hand.

    `note` is kept with the assignment that the contact had before, else with the one it has then; of a repeat that
    changes nothing it is not kept. `attributes` are added to the contact's own.
    """

    contact_id: str
    command: Command
    attributes: Mapping[str, Any] | None = None
    note: str | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)

    def run(self, turn: Turn) -> ContactSnapshot:
        before = turn.engine.state.contact(self.contact_id)
        assignment_id = before.assignment_id if before is not None else None
        decision = turn.decide(self.command)
        if self.attributes is not None:
            fact = turn.known.facts[self.contact_id]
            turn.write(replace(fact, attributes={**fact.attributes, **self.attributes}))
        snapshot = turn.snapshot(self.contact_id)
        if assignment_id is None and snapshot.assignment is not None:
            assignment_id = snapshot.assignment[0]
        if self.note is not None and assignment_id is not None and decision.events:
            turn.write(NoteFact(assignment_id, self.contact_id, self.note, turn.now))
        return snapshot


@dataclass(frozen=True, slots=True)
class OnAssignment:
    """Accept, decline, complete, wrap-up done. The result is the assignment's row."""

    assignment_id: str
    command: Command
    note: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        if state.assignment(self.assignment_id) is None:
            wanted.assignments.add(self.assignment_id)

    def run(self, turn: Turn) -> Row:
        decision = turn.decide(self.command)
        assignment = turn.engine.state.assignment(self.assignment_id)
        row = assignment.row() if assignment is not None else turn.known.assignments[self.assignment_id]
        if self.note is not None and decision.events:
            turn.write(NoteFact(self.assignment_id, row[1], self.note, turn.now))
        return row


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for help with a contact: `command` gets the collaboration's id in its turn, `text` goes to whoever helps.

    The result is the collaboration's row.
    """

    command: commands.Collaborate
    text: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        if state.contact(self.command.contact_id) is None:
            wanted.contacts.add(self.command.contact_id)

    def run(self, turn: Turn) -> Row:
        command = replace(self.command, collaboration_id=turn.new_id())
        turn.decide(command)
        row = _collaboration(turn, command.collaboration_id)
        if self.text is not None:
            _write_word(turn, row, (command.by, "request", self.text))
        return row


@dataclass(frozen=True, slots=True)
class OnCollaboration:
    """Accept, reply, close. The result is the collaboration's row.

    `word` is what is written with it: author, kind and text; of a repeat that changes nothing it is not kept.
    """

    collaboration_id: str
    command: Command
    word: tuple[str, str, str] | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        if state.collaboration(self.collaboration_id) is None:
            wanted.collaborations.add(self.collaboration_id)

    def run(self, turn: Turn) -> Row:
        decision = turn.decide(self.command)
        row = _collaboration(turn, self.collaboration_id)
        if self.word is not None and decision.events:
            _write_word(turn, row, self.word)
        return row


def _collaboration(turn: Turn, collaboration_id: str) -> Row:
    found = turn.engine.state.collaboration(collaboration_id)
    return found.row() if found is not None else turn.known.collaborations[collaboration_id]


def _write_word(turn: Turn, collaboration: Row, word: tuple[str, str, str]) -> None:
    author, kind, text = word
    turn.write(CollaborationWord(turn.new_id(), collaboration[0], collaboration[1], author, kind, text, turn.now))


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent's routing state with its open assignments, as of journal number `seq`."""

    seq: int
    agent: Row
    load: int
    lease_expires_at: int | None
    assignments: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class OnAgent:
    """Presence, connect, disconnect: the result is how the agent stands afterwards, None if it is not there."""

    agent_id: str
    command: Command

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> AgentView | None:
        turn.decide(self.command)
        state = turn.engine.state
        agent = state.agents.get(self.agent_id)
        if agent is None:
            return None
        rows = tuple(agent.open[each].row() for each in sorted(agent.open))
        return AgentView(state.seq, agent.row(), agent.load, turn.engine.lease_expires_at(agent.id), rows)


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Sockets died with the process that held them: agent and session of each."""

    sockets: Sequence[tuple[str, str]]

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> None:
        for agent_id, session in self.sockets:
            turn.decide(commands.Disconnect(agent_id, session))


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A socket is there, though it may have been taken for dead; the result is whether it holds the agent's lease.

    It takes the lease again, unless a later socket has it.
    """

    agent_id: str
    session: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> bool:
        agent = turn.engine.state.agents.get(self.agent_id)
        if agent is None or agent.session not in (None, self.session):
            return False
        if agent.session is None:
            turn.decide(commands.Connect(self.agent_id, self.session))
        return True


@dataclass(frozen=True, slots=True)
class Configure:
    """A change of configuration: a command for the engine, and the fact to write with it."""

    command: Command
    fact: ConfigFact | KeyFact | AccountFact | ConnectorFact

    def wants(self, wanted: Wanted, _: State) -> None:
        """Configuration is checked against the engine's own."""

    def run(self, turn: Turn) -> Fact:
        turn.decide(self.command)
        turn.write(self.fact)
        return self.fact


@dataclass(frozen=True, slots=True)
class Remember:
    """Does nothing: it carries a result that is worked out elsewhere, so that a repeat gets the same answer."""

    result: Any

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing."""

    def run(self, _: Turn) -> Any:  # noqa: ANN401  # whatever it carries
        return self.result
