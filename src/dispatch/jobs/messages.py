"""What is said on a contact, what becomes of it on its way out, and the files and pulls that go with it."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from src import metrics
from src.dispatch import people
from src.dispatch.facts import CursorFact, MediaFact, MessageFact, OutgoingFact
from src.dispatch.jobs.inbound import TakeMessage
from src.dispatch.known import Wanted
from src.dispatch.ports import Fetched
from src.dispatch.turn import Turn
from src.errors import Conflict, InvalidState, NotFound, Refused
from src.router import commands
from src.router.state import State


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
                metrics.REPEATS.labels("message").inc()
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
                metrics.REPEATS.labels("message").inc()
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
        people.insist_on(turn, self.contact_id)
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
        people.insist_on(turn, self.contact_id)
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
class ConnectLine:
    """A telephone system is connected to this service anew."""

    account: str
    session: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing is looked up."""

    def run(self, turn: Turn) -> None:
        turn.decide(commands.ConnectLine(self.account, self.session))


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """An account cannot send before somebody has seen to it."""

    account: str
    reason: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing is looked up."""

    def run(self, turn: Turn) -> None:
        turn.decide(commands.ReportTrouble(self.account, self.reason))
