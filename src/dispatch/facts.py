"""Facts: what is written beside the journal, in the same transaction, and named there by id.

Nothing in here does anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

IdentityKey = tuple[str, str]
"""Type and value."""


ExternalKey = tuple[str, str, str]
"""Channel, account and the channel's own id of a contact or message."""


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
class RosterFact:
    """Who is to work when: of each shift the agent, and from when up to when (milliseconds). `deleted` removes it."""

    name: str
    shifts: tuple[tuple[str, int, int], ...]
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
    | RosterFact
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
