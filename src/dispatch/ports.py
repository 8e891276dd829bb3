"""The ports of the shell: what it needs of a store, of leases, of delivery and of time, and the values that cross them.

Nothing in here does anything. Each port has one contract suite that every implementation passes.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Protocol

from src.router.entities import Row
from src.router.journal import Event
from src.router.state import Changes

IdentityKey = tuple[str, str]
"""Type and value."""

ExternalKey = tuple[str, str, str]
"""Channel, account and the channel's own id of a contact or message."""


# -- facts: what is written beside the journal, in the same transaction, and named there by id -------------------------


@dataclass(frozen=True, slots=True)
class Customer:
    """The person behind contacts. `attributes` and `tags` are the tenant's own, JSON values.

    Customers that were merged are a family: `survivor_id` is the one that answers for all of them, itself included;
    None: it is alone. `merged` says how this one came into the family: `into` which customer, `at`, `by` whom and the
    `reason`; None: it answers for itself. It is never merged automatically with those that it is to be kept `apart` of.
    `preferred_channel` is the one over which it would have us turn to it.
    """

    id: str
    created_at: int
    display_name: str | None = None
    tier: str | None = None
    preferred_agent_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    survivor_id: str | None = None
    merged: Mapping[str, Any] | None = None
    apart: tuple[str, ...] = ()
    preferred_channel: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityFact:
    """An address of a customer: of the one that came with it, also when that has been merged into another.

    Strong ones are unique in the tenant. `scope` is the account within which a person has one of them.
    """

    type: str
    value: str
    customer_id: str
    display_name: str | None
    strong: bool
    created_at: int
    scope: str = ""


@dataclass(frozen=True, slots=True)
class ConflictFact:
    """Strong identities say that two customers are one, and something says that they are not: a person settles it.

    `kind` is the type of identity of which both have another one, or `kept_apart` where somebody had said so before.
    `contact_id` is the contact that it came up with. `verdict` is `merge` or `apart`, None while nobody has settled it.
    """

    id: str
    customer_id: str
    other_id: str
    kind: str
    at: int
    contact_id: str | None = None
    settled_at: int | None = None
    settled_by: str | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewFact:
    """A contact that people who watch over quality are to look at. `kind` says why: `repeat`.

    `tags` are those that its customer came with again, `earlier` the contacts that it came with before. `note` is what
    whoever settled it wrote.
    """

    contact_id: str
    kind: str
    customer_id: str
    tags: tuple[str, ...]
    earlier: tuple[str, ...]
    at: int
    settled_at: int | None = None
    settled_by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RatingFact:
    """How satisfied the customer was with a contact: 1 (not at all) to 5. One for each contact, the last."""

    contact_id: str
    score: int
    comment: str | None
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class SurveyFact:
    """Whether the customer of a contact is asked how it was. `withheld` says why not; None: it is."""

    contact_id: str
    at: int
    withheld: str | None = None


@dataclass(frozen=True, slots=True)
class ContactFact:
    """What is known of a contact beside its routing: the channel's id of it, who it came from, what was said first.

    `conversation_id` is the contact that its conversation began with, None: itself. `outbound`: an agent reaches the
    customer, at this identity. `problem` is the common problem that it is linked to. It and the attributes are all that
    ever changes.
    """

    id: str
    channel: str
    account: str
    external_id: str | None
    identity_type: str
    identity_value: str
    text: str | None
    attributes: Mapping[str, Any]
    conversation_id: str | None = None
    outbound: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LinkFact:
    """A contact, as known here, is linked to the `problem` that it has: nothing else of what is stored changes."""

    contact: ContactFact


@dataclass(frozen=True, slots=True)
class ProblemFact:
    """A common problem: what was put (`body`), and what came of it since.

    `linked` counts its contacts, `first_at` and `last_at` are when the first and the last was linked. `unreported` are
    those that its department has not been told of; `reported_at` is when it was told last. `solved_at` None: it is
    open. `note` is the department's answer.
    """

    name: str
    body: Mapping[str, Any]
    created_at: int
    linked: int = 0
    first_at: int | None = None
    last_at: int | None = None
    reported_at: int | None = None
    unreported: tuple[str, ...] = ()
    solved_at: int | None = None
    solved_by: str | None = None
    note: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class MessageFact:
    """One message of a conversation. `sender` is `customer` or `agent`.

    `seq` is the number of the event that it came with: what a visitor who was away asks for. 0: from before there were.
    """

    id: str
    contact_id: str
    customer_id: str
    channel: str
    account: str
    external_id: str | None
    sender: str
    kind: str
    text: str | None
    payload: Mapping[str, Any]
    at: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class OutgoingFact:
    """What became of a message that goes out to the customer; the message itself is a `MessageFact`.

    `state` is `queued`, `sent`, `delivered` or `failed` with a `reason`: what the last of its events says. `place` is
    the number of the event that queued it: messages are sent in this order. `by` wrote it (`agent_id`, if an agent).
    `native`: this service sends it; else the gateway that carries the channel does, and says what became of it.
    `receipt` is the channel's own id of it, once sent. `at` is when it came to its state.
    """

    message_id: str
    contact_id: str
    channel: str
    account: str
    by: str
    agent_id: str | None
    native: bool
    place: int
    queued_at: int
    state: str
    at: int
    reason: str | None = None
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class VisitFact:
    """When the customer of a contact that is a chat on a website was last there. `leaves`: it need not stay there."""

    contact_id: str
    account: str
    seen_at: int
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class MediaFact:
    """A picture, recording or file of a contact. What is in it is kept beside, under its `hash` (SHA-256, hex).

    `state` is `wanted` (`source`, the channel's own id of it, is still to be fetched), `kept`, or `failed` with a
    `reason`. `media_type` is what its first bytes show, `size` in bytes. `kind` is that of its message.
    """

    id: str
    contact_id: str
    channel: str
    account: str
    kind: str
    state: str
    at: int
    source: str | None = None
    hash: str | None = None
    media_type: str | None = None
    size: int = 0
    name: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CursorFact:
    """How far an account that is asked for its messages has been read. `wanted`: the channel says that there is more.

    `token` is what the channel said so with, at a time; `calls` counts how often it did.
    """

    account: str
    channel: str
    cursor: str | None
    wanted: bool
    token: str | None
    at: int
    calls: int = 0


@dataclass(frozen=True, slots=True)
class NoteFact:
    """What an agent or supervisor wrote about an assignment: one note for each, the last."""

    assignment_id: str
    contact_id: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class RemarkFact:
    """What somebody typed as the reason or disposition of an act upon a contact: journal and tables hold its `id`."""

    id: str
    contact_id: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class CollaborationWord:
    """What was written with a request, a reply or the close of a collaboration. `author` is who wrote it.

    `kind` is `request`, a reply's (`progress`, `feedback`, `solution`) or `close`.
    """

    id: str
    collaboration_id: str
    contact_id: str
    author: str
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class ConfigFact:
    """One piece of configuration by kind and name; None: removed.

    Kinds are `agent`, `queue`, `tag`, `rule`, `pilot`, `department` and `settings`.
    """

    kind: str
    name: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class KeyFact:
    """An API key, hashed (SHA-256, hex). `revoked_at` None: good.

    The key before the last rotation is good until `previous_until`. `requests_per_s` None: as the service says.
    """

    id: str
    hash: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    revoked_at: int | None = None
    previous_hash: str | None = None
    previous_until: int | None = None
    requests_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class TrustFact:
    """Whose agent tokens the tenant takes. `secrets` are those that sign by HS256, by name, sealed."""

    body: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


TRUST: Final = "token_trust"
"""A tenant has one: its name where others are known by names."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a key, or an agent or supervisor with a token."""

    kind: Literal["key", "agent", "supervisor"]
    id: str


@dataclass(frozen=True, slots=True)
class AuditFact:
    """A line of the audit trail: who did what to which name (`queue.updated`, `key.rotated`), and codes beside it."""

    id: str
    at: int
    by: Actor
    act: str
    name: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountFact:
    """A channel account. Its name is unique in the whole service; `secrets` are sealed. `deleted` removes it."""

    name: str
    channel: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    queue: str | None
    enabled: bool
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ConnectorFact:
    """A way to another system that knows of customers. `secrets` are headers, sealed. `deleted` removes it."""

    name: str
    body: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class WebhookFact:
    """An address that the tenant's events are posted to. `secrets` (`current`, perhaps `previous`) are sealed.

    It was made at event `since`, and is told what comes after it. `deleted` removes it.
    """

    name: str
    body: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    since: int = 0
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class WebhookCursor:
    """How far a webhook has come in the journal: what is up to `seq` is delivered, not wanted, or a `DeliveryFact`.

    `failing` says why it cannot be told anything, since `failing_since`; None: it can. `deleted` removes it.
    """

    webhook: str
    seq: int
    failing: str | None = None
    failing_since: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryFact:
    """An event that a webhook has not taken: `pending` (tried again at `due_at`, or behind another of its `key`).

    Or `dead`: given up, until somebody replays it. `reason` is what the last attempt came to, a stable code. `since` is
    when it was first tried. `done` removes it.
    """

    webhook: str
    seq: int
    key: str
    state: Literal["pending", "dead"]
    attempts: int
    since: int
    at: int
    due_at: int
    reason: str | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class ErasureFact:
    """A customer that was erased: it goes, and with it the `identities` (type and value) that it was known by."""

    customer_id: str
    at: int
    identities: tuple[IdentityKey, ...] = ()


Fact = (
    Customer
    | IdentityFact
    | ConflictFact
    | ReviewFact
    | RatingFact
    | SurveyFact
    | ContactFact
    | LinkFact
    | ProblemFact
    | MessageFact
    | OutgoingFact
    | MediaFact
    | VisitFact
    | CursorFact
    | NoteFact
    | RemarkFact
    | CollaborationWord
    | ConfigFact
    | KeyFact
    | TrustFact
    | AuditFact
    | AccountFact
    | ConnectorFact
    | WebhookFact
    | WebhookCursor
    | DeliveryFact
    | ErasureFact
)
"""Each is an upsert by its key: the newest of a batch wins."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The stored answer of a request with an idempotency key. `body` holds ids and codes only, no personal data."""

    scope: str
    body_hash: str
    status: int
    body: Mapping[str, Any]
    at: int


# -- the store ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """The tenant's head row: the last number, the batch that wrote it, the time of its last event, the state's hash."""

    seq: int
    batch: str
    at: int
    state_hash: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one transaction writes. `before` is the head's number that it builds on: the fence."""

    tenant: str
    before: int
    head: Head
    events: Sequence[Event]
    changes: Changes
    traces: Sequence[tuple[str, int, Mapping[str, Any]]]
    facts: Sequence[Fact]
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an engine is made of: rows of what is open, of all agents, and all configuration."""

    head: Head
    contacts: Sequence[Row]
    assignments: Sequence[Row]
    agents: Sequence[Row]
    config: Sequence[ConfigFact]
    collaborations: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a tenant's journal adds up to at a number: what was before it may be dropped.

    `rows` are those of contacts, assignments, agents and collaborations, as an engine is loaded with them.
    """

    seq: int
    at: int
    state_hash: int
    rows: Sequence[Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Recent:
    """A contact of a customer, as far as the next one is concerned with it.

    `agent_id` has it, or had it last: whoever accepted the assignment that it ended with, else who transferred it;
    None: nobody. `accepted_at` is when, None where only the transfer is known. `conversation_id` as in `ContactFact`.
    """

    contact_id: str
    created_at: int
    tags: tuple[str, ...]
    closed: bool
    agent_id: str | None = None
    accepted_at: int | None = None
    channel: str = ""
    outcome: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tagged:
    """A contact of a customer, and the tags that it came with or was given since."""

    contact_id: str
    created_at: int
    tags: tuple[str, ...]


@dataclass(slots=True)
class Wanted:
    """What a batch of commands needs to know: keys to look up, all in one go.

    `recent_since`: also the contacts since then of the customers whose identities are found (of all customers found, if
    no identity is wanted); None: none. `lately_since`: also what is tagged of all contacts since then, of all customers
    found. `outreach`: also when these were turned to unasked. `whole`: also every identity of the customers found.
    `token_trusts` are asked for by the tenant's own id.
    """

    identities: set[IdentityKey] = field(default_factory=set)
    external_contacts: set[ExternalKey] = field(default_factory=set)
    external_messages: set[ExternalKey] = field(default_factory=set)
    contacts: set[str] = field(default_factory=set)
    assignments: set[str] = field(default_factory=set)
    customers: set[str] = field(default_factory=set)
    collaborations: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    media: set[str] = field(default_factory=set)
    cursors: set[str] = field(default_factory=set)
    config: set[tuple[str, str]] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    connectors: set[str] = field(default_factory=set)
    token_trusts: set[str] = field(default_factory=set)
    webhooks: set[str] = field(default_factory=set)
    api_keys: set[str] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)
    conflicts: set[str] = field(default_factory=set)
    reviews: set[tuple[str, str]] = field(default_factory=set)
    surveys: set[str] = field(default_factory=set)
    problems: set[str] = field(default_factory=set)
    linked: set[str] = field(default_factory=set)
    remarks: set[str] = field(default_factory=set)
    recent_since: int | None = None
    lately_since: int | None = None
    outreach: bool = False
    whole: bool = False

    def __bool__(self) -> bool:
        return bool(self.keys())

    def keys(self) -> dict[str, set[Any]]:
        """The keys that are wanted, by the names of `Known`; names without any are left out."""
        return {name: keys for name in WANTED if (keys := getattr(self, name))}

    def recent(self, since: int) -> None:
        """Want the customers' contacts since then too."""
        self.recent_since = since if self.recent_since is None else min(since, self.recent_since)

    def lately(self, since: int) -> None:
        """Want the tags of the customers' contacts since then too."""
        self.lately_since = since if self.lately_since is None else min(since, self.lately_since)


_HOW: Final = frozenset({"recent_since", "lately_since", "outreach", "whole"})

WANTED: Final = tuple(each.name for each in fields(Wanted) if each.name not in _HOW)
"""The kinds of keys that can be wanted."""

RECENT_CONTACTS_MAX: Final = 10
"""So many of a customer's contacts are looked at, the newest."""

LATELY_CONTACTS_MAX: Final = 1_000
"""So many of a customer's contacts are looked through for those that came with the same tag, or were outreaches."""

RECENT_S: Final = 90 * 86_400
"""A customer's contacts are looked back at for so long: who had them, and with which tags they came."""


@dataclass(slots=True)
class Known:
    """What was found for a `Wanted`; keys that are not there were not found.

    `customers` also has those of the identities and contacts found, `facts` the facts of the contacts, also of those
    found by an external id, `linked` those of the contacts asked for by it that are linked to a common problem,
    `outgoing` what became of the messages, `remarks` the texts of those that the assignments
    and collaborations name. `recent` are the contacts of the customers of the identities found, newest first, at most
    `RECENT_CONTACTS_MAX` each; `lately`, where it was wanted, goes further back, up to `LATELY_CONTACTS_MAX`.
    `outreach`, where it was wanted, are the moments at which customers were turned to unasked, in as many contacts.
    `external`, which no store holds, is what connectors know of customers.

    Whoever is found comes with its family: `customers` has all of it, `families` its members by the survivor's id, the
    survivor first. `held` are identities by customer: those that were written, and all where a `whole` was wanted.
    """

    identities: dict[IdentityKey, str] = field(default_factory=dict)
    external_contacts: dict[ExternalKey, str] = field(default_factory=dict)
    external_messages: dict[ExternalKey, MessageFact] = field(default_factory=dict)
    contacts: dict[str, Row] = field(default_factory=dict)
    facts: dict[str, ContactFact] = field(default_factory=dict)
    assignments: dict[str, Row] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    collaborations: dict[str, Row] = field(default_factory=dict)
    messages: dict[str, MessageFact] = field(default_factory=dict)
    outgoing: dict[str, OutgoingFact] = field(default_factory=dict)
    media: dict[str, MediaFact] = field(default_factory=dict)
    cursors: dict[str, CursorFact] = field(default_factory=dict)
    config: dict[tuple[str, str], ConfigFact] = field(default_factory=dict)
    accounts: dict[str, AccountFact] = field(default_factory=dict)
    connectors: dict[str, ConnectorFact] = field(default_factory=dict)
    token_trusts: dict[str, TrustFact] = field(default_factory=dict)
    webhooks: dict[str, WebhookFact] = field(default_factory=dict)
    api_keys: dict[str, KeyFact] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    recent: dict[str, tuple[Recent, ...]] = field(default_factory=dict)
    lately: dict[str, tuple[Tagged, ...]] = field(default_factory=dict)
    outreach: dict[str, tuple[int, ...]] = field(default_factory=dict)
    external: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    families: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held: dict[str, tuple[IdentityFact, ...]] = field(default_factory=dict)
    conflicts: dict[str, ConflictFact] = field(default_factory=dict)
    reviews: dict[tuple[str, str], ReviewFact] = field(default_factory=dict)
    surveys: dict[str, SurveyFact] = field(default_factory=dict)
    problems: dict[str, ProblemFact] = field(default_factory=dict)
    linked: dict[str, ContactFact] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that waits to be sent, and to whom: an identity and the channel's own id of the contact.

    These are None where they were erased. `fact.place` says where it stands in line.
    """

    fact: OutgoingFact
    message: MessageFact
    identity_type: str | None
    identity_value: str | None
    external_id: str | None


class Store(Protocol):
    """Where the truth is kept. Every method may raise `StoreUnreachable`."""

    async def head(self, tenant: str) -> Head:
        """The head row as committed. Raises `NotFound` for a tenant that is not there."""

    async def load(self, tenant: str) -> Loaded:
        """Everything an engine is made of, as of one moment."""

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        """One set-based read (a fixed number of round trips, whatever is wanted).

        Raises:
            StoreRejected: a key that no row could have.
        """

    async def commit(self, batch: Batch) -> None:
        """Write the batch, all of it or nothing.

        Raises:
            Fenced: the head is not at `batch.before`.
            StoreRejected: the data breaks a constraint or cannot be stored; nothing was written.
            StoreUnreachable: the connection was lost; `head().batch` tells whether it went through.
        """

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        """The journal after a number, in order; only one agent's, if asked."""

    async def outgoing(
        self, tenant: str, after: int, limit: int, *, native: bool, channel: str | None = None
    ) -> Sequence[Outgoing]:
        """Messages that wait to be sent, in the order of their places, after one of these; of one channel, if asked.

        `native`: by this service, else by a gateway.
        """

    async def wanted_media(self, tenant: str, after: str, limit: int) -> Sequence[MediaFact]:
        """Media that are still to be fetched, by id, after one of these."""

    async def wanted_cursors(self, tenant: str) -> Sequence[CursorFact]:
        """Accounts of channels that say that there is something to be asked for."""

    async def webhooks(self, tenant: str) -> Sequence[tuple[WebhookFact, WebhookCursor]]:
        """The tenant's webhooks by name, and how far each has come."""

    async def deliveries(self, tenant: str, webhook: str, state: str, after: int, limit: int) -> Sequence[DeliveryFact]:
        """What a webhook has not taken and is in this state, by number, after one of these."""

    async def checkpoint(self, tenant: str) -> Checkpoint | None:
        """The tenant's last checkpoint; None: its whole journal is kept."""

    async def dropped(self, tenant: str) -> int:
        """The number of the last event that is no longer kept in the journal; 0: all are."""

    async def heads(self, tenants: Sequence[str]) -> Mapping[str, int]:
        """The last number of each of these tenants' journals, as committed; those that are not there are left out."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the service. `address` (`http://host:port`) is where the others reach it; None: they do not.

    `version` is the newest journal that it can read. One that is `draining` is about to leave and gets nothing more.
    """

    id: str
    address: str | None = None
    draining: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """Every process that lives, by id, and by tenant whose it is: perhaps that of a process which does not."""

    live: Mapping[str, Process]
    owners: Mapping[str, str | None]


class Leases(Protocol):
    """Who serves which tenant. It saves wasted work; the fence alone keeps what is written right."""

    async def renew(self, process: str, lease_s: float, address: str | None = None, version: int = 1) -> bool:
        """Say that the process lives, for so many seconds by the store's clock; true if its lease still ran."""

    async def drain(self, process: str) -> None:
        """Say that the process is about to leave."""

    async def claim(self, process: str, tenant: str) -> bool:
        """Take a tenant that nobody serves, or whose process has lapsed; true if it is (now) this process's."""

    async def hand(self, process: str, tenant: str, successor: str | None) -> bool:
        """Give a tenant to a process that lives and stays, or to nobody; true if it was this process's to give."""

    async def who_serves(self, tenant: str) -> Process | None:
        """The process that has the tenant, if it lives."""

    async def survey(self) -> Survey:
        """Every process that lives, and who has which tenant."""

    async def release(self, process: str) -> None:
        """Give up everything at once, so that the next process need not wait."""


class Delivery(Protocol):
    """Who is told. Called once for each commit, in the order of the journal, and never before the commit."""

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        """Tell of committed events. `known` holds what the commit had in hand, to spare a read; it may lack things."""

    def reached(self, tenant: str) -> int | None:
        """The number of the last event that was published; None where nobody has ever listened."""


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt to send. `state` None: it is to be tried again, after `pause_s` or longer.

    `reason` is a stable code. `whole_account`: the other conversations of the account wait for as long.
    `trouble`: somebody must see to the account.
    """

    state: Literal["sent", "delivered", "failed"] | None
    reason: str | None = None
    receipt: str | None = None
    pause_s: float = 0.0
    whole_account: bool = False
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an attempt to fetch media: `kept` with what it is, or `failed`; None: to be tried again.

    `hold`: what holds the bytes until `Fetcher.let_go`.
    """

    state: Literal["kept", "failed"] | None
    reason: str | None = None
    hash: str | None = None
    media_type: str | None = None
    size: int = 0
    name: str | None = None
    pause_s: float = 0.0
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class PulledPage:
    """What an account gave: what customers sent, and messages of ours (with reasons) that did not arrive.

    None: it did not give it; to be tried again after `pause_s`, or (`trouble`) when somebody has seen to the account.
    """

    inbound: Sequence[Any] = ()
    failed: Sequence[tuple[str, str]] = ()
    cursor: str | None = None
    more: bool = False
    reason: str | None = None
    pause_s: float = 0.0
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an attempt to deliver an event. `reason` None: it was taken.

    `pause_s` is how long the receiver asks to be left alone with this event. `whole`: it is not this event's fault, and
    nothing else would be taken now either. `gone`: the receiver wants nothing more, ever.
    """

    reason: str | None = None
    pause_s: float = 0.0
    whole: bool = False
    gone: bool = False


class Poster(Protocol):
    """The way to webhooks."""

    async def post(self, tenant: str, webhook: WebhookFact, event: Event) -> Delivered:
        """Try once."""


class Puller(Protocol):
    """The way to channels that are asked for what has happened."""

    async def pull(self, tenant: str, cursor: CursorFact) -> PulledPage:
        """Ask once."""


class Fetcher(Protocol):
    """The way to what customers sent and the channel keeps for a while."""

    async def fetch(self, tenant: str, media: MediaFact) -> Fetched:
        """Try once; what is in it is kept when this returns `kept`."""

    async def let_go(self, tenant: str, fetched: Fetched) -> None:
        """That it is kept is written down, or its customer was erased meanwhile: then what is in it goes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A contact with which an agent is done, and whose it was."""

    contact_id: str
    channel: str
    account: str
    customer_id: str


class Sender(Protocol):
    """The way out: how a message reaches the system that carries its channel."""

    async def send(self, tenant: str, outgoing: Outgoing) -> Outcome:
        """Try once. It raises nothing but what is a fault of ours; cut off, it may have sent or not."""

    @property
    def sessions(self) -> frozenset[str]:
        """The channels that have sessions, to be ended."""

    async def end(self, tenant: str, ended: Ended) -> None:
        """Tell the channel that nobody serves the customer any more, where it has sessions. Tried once."""

    async def sends(self, tenant: str, channel: str, account: str) -> bool:
        """Whether this service sends what goes out on an account; else the gateway does that posts its contacts.

        Raises:
            Unavailable: it cannot be told now.
        """


@dataclass(slots=True)
class Parts:
    """What every tenant's loop is handed. `lease_good` tells whether others count this process as alive."""

    store: Store
    delivery: Delivery
    clock: Clock
    new_id: Callable[[], str]
    lease_good: Callable[[], bool] = field(default=lambda: True)
    live_sessions: Callable[[], frozenset[str]] = field(default=frozenset)
    sender: Sender | None = None
    fetcher: Fetcher | None = None
    puller: Puller | None = None
    poster: Poster | None = None


Vouched = Callable[[Collection[str]], Awaitable[frozenset[str]]]
"""Says which of these sockets are there."""
