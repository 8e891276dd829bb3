"""What a batch of commands needs to know before it is decided, and what was found: one lookup.

Nothing in here does anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from src.dispatch.facts import (
    AccountFact,
    Answer,
    ConfigFact,
    ConflictFact,
    ConnectorFact,
    ContactFact,
    CursorFact,
    Customer,
    ExternalKey,
    IdentityFact,
    IdentityKey,
    KeyFact,
    MediaFact,
    MessageFact,
    OutgoingFact,
    ProblemFact,
    ReviewFact,
    RosterFact,
    SurveyFact,
    TrustFact,
    WebhookFact,
)
from src.router.entities import Row


@dataclass(frozen=True, slots=True)
class Recent:
    """A contact of a customer, as far as the next one is concerned with it.

    `agent_id` has it, or had it last: whoever accepted the assignment that it ended with, else who transferred it;
    None: nobody. `accepted_at` is when, None where only the transfer is known. `conversation_id` and the identity that
    it came by as in `ContactFact`, of open ones alone.
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
    identity_type: str | None = None
    identity_value: str | None = None


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
    rosters: set[str] = field(default_factory=set)
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
    rosters: dict[str, RosterFact] = field(default_factory=dict)
    linked: dict[str, ContactFact] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
