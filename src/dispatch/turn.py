"""One turn of a tenant's loop: what its jobs share while they are decided. It reads no store and knows no socket."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from src.dispatch import remarks
from src.dispatch.facts import (
    TRUST,
    AccountFact,
    Answer,
    ConfigFact,
    ConflictFact,
    ConnectorFact,
    ContactFact,
    CursorFact,
    Customer,
    Fact,
    IdentityFact,
    KeyFact,
    LinkFact,
    MediaFact,
    MessageFact,
    OutgoingFact,
    ProblemFact,
    RemarkFact,
    ReviewFact,
    RosterFact,
    SurveyFact,
    TrustFact,
    WebhookFact,
)
from src.dispatch.known import RECENT_CONTACTS_MAX, Known, Recent, Tagged, Wanted
from src.router import events as ev
from src.router.board import Decision
from src.router.commands import Command
from src.router.engine import Engine
from src.router.entities import CONTACT_COLUMNS, Assignment, Collaboration, Contact, Row
from src.router.handlers.base import Archive
from src.router.journal import Event
from src.router.state import State
from src.router.waits import Estimate

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
_Configuration = ConfigFact | AccountFact | ConnectorFact | KeyFact | ProblemFact | RosterFact | TrustFact | WebhookFact
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class ContactSnapshot:
    """A contact as it stood when its command had been decided. `fact` is None where nobody had asked for it.

    `collaborations` are the open ones. `customer_id` is who answers for the customer that it came as, where it has been
    merged into another.
    """

    contact: Row
    assignment: Row | None
    fact: ContactFact | None
    position: int | None
    estimated_wait: Estimate | None
    collaborations: tuple[Row, ...] = ()
    customer_id: str | None = None


@dataclass(slots=True)
class Turn:
    """What the jobs of one batch know, decide and write. `known` grows with what they write.

    `posted`: among it is a message that this service is to send; `sought`: media that it is to fetch;
    `called`: an account that it is to ask; `hooked`: a webhook, or something for one.
    `origins` are the spans (W3C `traceparent`) of those who wanted events, by the events' numbers.
    `said` are messages of queues, of which it is still to be found out who sends them.
    """

    engine: Engine
    known: Known
    now: int
    new_id: Callable[[], str]
    events: list[Event] = field(default_factory=list)
    traces: list[tuple[str, int, Mapping[str, Any]]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    posted: bool = False
    sought: bool = False
    called: bool = False
    hooked: bool = False
    origins: dict[int, str] = field(default_factory=dict)
    said: list[tuple[MessageFact, str]] = field(default_factory=list)
    _archive: Archive | None = None

    def archive(self) -> Archive:
        """What has ended and was looked up for this batch."""
        if self._archive is None:
            known = self.known
            self._archive = Archive(
                {each: Contact.from_row(row) for each, row in known.contacts.items()},
                {each: Assignment.from_row(row) for each, row in known.assignments.items()},
                {each: Collaboration.from_row(row) for each, row in known.collaborations.items()},
            )
        return self._archive

    def decide(self, command: Command) -> Decision:
        """Ask the engine; what it decided goes into the batch, and what it says to customers is written down."""
        decision = self.engine.decide(command, self.now, self.archive())
        self.events.extend(decision.events)
        self.traces.extend(decision.traces)
        for number, event in enumerate(decision.events):
            if event.type == ev.CONTACT_OVERFLOWED and event.data.get("message"):
                self._say(event.data["message"], decision.events[number + 1])
        return decision

    def _say(self, text: str, queued: Event) -> None:
        """What a queue tells a customer whom it does not keep; the event that follows has the message queued."""
        assert queued.type == ev.MESSAGE_QUEUED
        assert queued.contact_id is not None
        assert queued.customer_id is not None
        contact = self.engine.state.contact(queued.contact_id)
        assert contact is not None
        message = MessageFact(
            id=queued.data["message_id"],
            contact_id=contact.id,
            customer_id=queued.customer_id,
            channel=contact.channel,
            account=contact.account,
            external_id=None,
            sender="system",
            kind=queued.data["kind"],
            text=text,
            payload={},
            at=self.now,
            seq=queued.seq,
        )
        self.write(message)
        self.said.append((message, queued.data["by"]))

    def address(self, message: MessageFact, by: str, *, native: bool) -> None:
        """Have a message of a queue go out: by this service, or by the gateway that carries the channel."""
        self.write(
            OutgoingFact(
                message_id=message.id,
                contact_id=message.contact_id,
                channel=message.channel,
                account=message.account,
                by=by,
                agent_id=None,
                native=native,
                place=message.seq,
                queued_at=message.at,
                state="queued",
                at=message.at,
            )
        )

    def write(self, fact: Fact) -> None:
        """Write a fact with this batch, and let the jobs after this one see it."""
        self.facts.append(fact)
        if isinstance(fact, Customer):
            self.known.customers[fact.id] = fact
        elif isinstance(fact, IdentityFact):
            held = self.known.held.get(fact.customer_id, ())
            kept = tuple(each for each in held if (each.type, each.value) != (fact.type, fact.value))
            self.known.held[fact.customer_id] = (*kept, fact)
            if fact.strong:
                self.known.identities[(fact.type, fact.value)] = fact.customer_id
        elif isinstance(fact, ConflictFact):
            self.known.conflicts[fact.id] = fact
        elif isinstance(fact, ReviewFact):
            self.known.reviews[(fact.contact_id, fact.kind)] = fact
        elif isinstance(fact, ContactFact):
            self.known.facts[fact.id] = fact
            if fact.external_id is not None:
                self.known.external_contacts[(fact.channel, fact.account, fact.external_id)] = fact.id
        elif isinstance(fact, MessageFact):
            self.known.messages[fact.id] = fact
            if fact.external_id is not None:
                self.known.external_messages[(fact.channel, fact.account, fact.external_id)] = fact
        elif isinstance(fact, RemarkFact):
            self.known.remarks[fact.id] = fact.text
        elif isinstance(fact, _Configuration):
            self._write_configuration(fact)
        else:
            self._write_for_channels(fact)

    def _write_configuration(self, fact: _Configuration) -> None:
        known = self.known
        if isinstance(fact, ConfigFact):
            _keep(known.config, (fact.kind, fact.name), fact, gone=fact.body is None)
        elif isinstance(fact, AccountFact):
            _keep(known.accounts, fact.name, fact, gone=fact.deleted)
        elif isinstance(fact, TrustFact):
            known.token_trusts[TRUST] = fact
        elif isinstance(fact, KeyFact):
            _keep(known.api_keys, fact.id, fact, gone=False)
        elif isinstance(fact, ProblemFact):
            _keep(known.problems, fact.name, fact, gone=fact.deleted)
        elif isinstance(fact, RosterFact):
            _keep(known.rosters, fact.name, fact, gone=fact.deleted)
        elif isinstance(fact, WebhookFact):
            _keep(known.webhooks, fact.name, fact, gone=fact.deleted)
            self.hooked = True
        else:
            _keep(known.connectors, fact.name, fact, gone=fact.deleted)

    def _write_for_channels(self, fact: Fact) -> None:
        """What is to be sent, fetched and asked for beside the loop, who was asked how it was, and what is linked."""
        if isinstance(fact, OutgoingFact):
            self.known.outgoing[fact.message_id] = fact
            self.posted = self.posted or (fact.native and fact.state == "queued")
        elif isinstance(fact, MediaFact):
            self.known.media[fact.id] = fact
            self.sought = self.sought or fact.state == "wanted"
        elif isinstance(fact, CursorFact):
            self.known.cursors[fact.account] = fact
            self.called = self.called or fact.wanted
        elif isinstance(fact, SurveyFact):
            self.known.surveys[fact.contact_id] = fact
        elif isinstance(fact, LinkFact):
            self.known.facts[fact.contact.id] = fact.contact

    def snapshot(self, contact_id: str) -> ContactSnapshot:
        """The contact as it stands now; it must be open, changed in this batch, or looked up."""
        state = self.engine.state
        contact = state.contact(contact_id)
        row = contact.row() if contact is not None else self.known.contacts[contact_id]
        assignment_id = row[_ASSIGNMENT_ID]
        customer = self.known.customers.get(row[_CUSTOMER_ID])
        assignment = None if assignment_id is None else state.assignment(assignment_id)
        held = assignment.row() if assignment is not None else self.known.assignments.get(assignment_id or "")
        return ContactSnapshot(
            row,
            None if held is None else remarks.assignment(held, self.known.remarks),
            self.known.facts.get(contact_id),
            self.engine.position(contact_id),
            self.engine.estimate(contact_id),
            tuple(each.row() for each in state.helps.get(contact_id, {}).values()),
            None if customer is None else customer.survivor_id,
        )

    def recent(self, customer_ids: Sequence[str]) -> list[Recent]:
        """The newest contacts of these customers, who are one, newest first, as they stand now.

        What was looked up is what is committed, of all batches before this one; contacts of this batch come from
        `opened`, and who accepted one in it from the engine. It misses contacts that are older than what was asked for
        or beyond `RECENT_CONTACTS_MAX`, and agents who lost one, or had it taken back, before it closed.
        """
        if len(customer_ids) == 1:
            return [self._as_now(each) for each in self.known.recent.get(customer_ids[0], ())]
        found = [each for customer_id in customer_ids for each in self.known.recent.get(customer_id, ())]
        newest = sorted(found, key=lambda each: (each.created_at, each.contact_id), reverse=True)
        return [self._as_now(each) for each in newest[:RECENT_CONTACTS_MAX]]

    def lately(self, customer_ids: Sequence[str]) -> list[Tagged]:
        """The contacts of these customers, who are one, newest first, with the tags that they have now.

        It goes further back than `recent`, where that was wanted.
        """
        found = [each for customer_id in customer_ids for each in self._lately_of(customer_id)]
        found.sort(key=lambda each: (each.created_at, each.contact_id), reverse=True)
        state = self.engine.state
        now = ((each, state.contact(each.contact_id)) for each in found)
        return [each if contact is None else replace(each, tags=contact.tags) for each, contact in now]

    def _lately_of(self, customer_id: str) -> Sequence[Tagged]:
        found = self.known.lately.get(customer_id)
        if found is not None:
            return found
        return [Tagged(each.contact_id, each.created_at, each.tags) for each in self.known.recent.get(customer_id, ())]

    def _as_now(self, recent: Recent) -> Recent:
        state = self.engine.state
        contact = state.contact(recent.contact_id)
        if contact is None:
            return recent
        held = None if contact.assignment_id is None else state.assignment(contact.assignment_id)
        if held is None or held.accepted_at is None:
            return replace(recent, tags=contact.tags, closed=contact.closed_at is not None)
        return replace(
            recent,
            tags=contact.tags,
            closed=contact.closed_at is not None,
            agent_id=held.agent_id,
            accepted_at=held.accepted_at,
        )

    def opened(self, customer_id: str, fact: ContactFact) -> None:
        """Let the jobs after this one know of a contact that was made in this batch."""
        contact = Recent(
            fact.id,
            self.now,
            (),
            closed=False,
            channel=fact.channel,
            conversation_id=fact.conversation_id,
            identity_type=fact.identity_type,
            identity_value=fact.identity_value,
        )
        tagged = Tagged(fact.id, self.now, ())
        self.known.lately[customer_id] = (tagged, *self._lately_of(customer_id))
        before = self.known.recent.get(customer_id, ())
        self.known.recent[customer_id] = (contact, *before)[:RECENT_CONTACTS_MAX]


def _keep(kept: dict[K, T], key: K, fact: T, *, gone: bool) -> None:
    if gone:
        kept.pop(key, None)
    else:
        kept[key] = fact


_ASSIGNMENT_ID = CONTACT_COLUMNS.index("assignment_id")
_CUSTOMER_ID = CONTACT_COLUMNS.index("customer_id")


class Job(Protocol[T_co]):
    """Something that a caller wants of a tenant: what it must know first, and what it does in its turn.

    One that does the work of many says of how many by its `weight`.
    """

    def wants(self, wanted: Wanted, state: State) -> None:
        """Add the keys to look up before the turn; what is open is in `state` and need not be."""

    def run(self, turn: Turn) -> T_co:
        """Decide. A refusal must come before anything is written.

        Raises:
            Refused: the answer is no.
        """


@runtime_checkable
class Keepable(Protocol):
    """A job that must not be lost: where the engine fails upon it, `aside` is done in its place."""

    def aside(self) -> Job[Any]:
        """The same, as little of it as keeps what came."""


@dataclass(frozen=True, slots=True)
class Once(Generic[T]):
    """An idempotency key: `scope` names the key and whose it is, `body_hash` what was asked.

    `render` makes of the result what is stored: a status and a body of ids and codes, no personal data. `given` false:
    the caller gave no key. Then one is made, and written down only where the job travels between processes: a lost
    connection leads to its being sent again.
    """

    scope: str
    body_hash: str
    render: Callable[[T], tuple[int, Mapping[str, Any]]]
    given: bool = True


@dataclass(frozen=True, slots=True)
class Repeated:
    """The result of a job whose idempotency key was seen before: the first answer."""

    answer: Answer
