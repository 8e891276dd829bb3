"""What the service answers, as typed values: the JSON of the interface, field by field.

Times are RFC 3339 texts, as they are sent. A field that a later release adds is passed over; one that an earlier
release does not send has the default that stands here.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Json = dict[str, Any]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is refused (RFC 9457). `code` is stable: docs/problems.md lists all. `detail` is for people."""

    type: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    title: str
    status: int
    code: str
    detail: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a customer."""

    type: str
    value: str


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The range that four of five waits fall in, in seconds."""

    low_s: float
    high_s: float


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """An offer, or the assignment that it becomes."""

    id: str
    assignment_id: str
    state: str
    contact_id: str
    agent_id: str
    channel: str
    cost: int
    released: bool = False
    resolved: bool | None = None
    disposition: str | None = None
    offered_at: str | None = None
    expires_at: str | None = None
    accepted_at: str | None = None
    wrap_up_ends_at: str | None = None
    ended_at: str | None = None


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What was written with a request for help, a reply to it or its end."""

    id: str
    sender: str = msgspec.field(name="from")
    kind: str
    text: str
    at: str


class Collaboration(msgspec.Struct, frozen=True, kw_only=True):
    """Help with a contact; `by` asked for it, `agent_id` is asked or helps. `words` are there where one is read."""

    id: str
    collaboration_id: str
    contact_id: str
    kind: str
    state: str
    by: str
    department: str | None
    agent_id: str | None
    requirements: list[Json]
    deadlines: Json
    feedback_by: str | None
    progress_by: str | None
    lead_by: str | None
    solution_by: str | None
    asked_until: str | None
    approved: bool | None
    told: list[str]
    reason: str | None
    requested_at: str
    accepted_at: str | None
    answered_at: str | None
    closed_at: str | None
    words: list[Word] | msgspec.UnsetType = msgspec.UNSET


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work for an agent. What came from the customer is None once it has been erased."""

    id: str
    state: str
    channel: str
    account: str
    customer_id: str
    queue: str
    created_at: str
    outcome: str | None = None
    external_id: str | None = None
    identity: Identity | None = None
    text: str | None = None
    attributes: Json | None = None
    common_problem: str | None = None
    priority: int = 0
    language: str | None = None
    tags: list[str] = []
    requirements: list[Json] = []
    terms: Json | None = None
    step: int = 0
    target_agent_id: str | None = None
    target: Json | None = None
    parked_until: str | None = None
    park_reason: str | None = None
    owner_id: str | None = None
    previous_agent_id: str | None = None
    transfers: int = 0
    flags: list[str] = []
    alarms: list[Json] = []
    pilot: str | None = None
    position: int | None = None
    estimated_wait_s: float | None = None
    estimated_wait: Wait | None = None
    assignment: Assignment | None = None
    collaborations: list[Collaboration] = []
    updated_at: str | None = None
    answered_at: str | None = None
    closed_at: str | None = None
    direction: str | None = None
    conversation_id: str | None = None
    reply_budget: Json | None = None


class FollowUp(Contact, frozen=True, kw_only=True):
    """A contact with which an agent reaches a customer, who would have it over its `preferred_channel`.

    `dialled`: whether this service dials the customer; None where an account of a gateway's is not configured here.
    """

    preferred_channel: str | None = None
    dialled: bool | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one of several contacts: it was taken in (201), had been (200), or is refused."""

    status: int
    contact: Contact | msgspec.UnsetType = msgspec.UNSET
    problem: Problem | msgspec.UnsetType = msgspec.UNSET


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each, in order."""

    items: list[Taken]


class LastContact(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier contact in short; `agent_id` has it, or had it last."""

    id: str
    channel: str
    created_at: str
    tags: list[str] = []
    open: bool = False
    outcome: str | None = None
    agent_id: str | None = None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What another system knows: as of when it was so, since when it cannot be had and why; or it is being asked."""

    data: Any = None
    as_of: str | None = None
    stale: bool = False
    missing_since: str | None = None
    error: str | None = None
    pending: bool = False


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who a customer is; `external` is what other systems know of it, by connector."""

    id: str
    display_name: str | None = None
    tier: str | None = None
    preferred_agent_id: str | None = None
    preferred_channel: str | None = None
    attributes: Json = {}
    tags: list[str] = []
    created_at: str | None = None
    external: dict[str, Known] = {}
    last_contacts: list[LastContact] = []


class Held(Assignment, frozen=True, kw_only=True):
    """An offer or assignment with all that a desktop needs at first sight. `expires_in_ms` counts from the answer."""

    contact: Contact | None = None
    customer: Customer | None = None
    matched: list[Json] = []
    expires_in_ms: int | None = None


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, recording or file, without what is in it."""

    id: str
    contact_id: str
    state: str
    reason: str | None
    media_type: str | None
    bytes: int
    name: str | None
    at: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation. `state` is None where it does not go out to the customer."""

    id: str
    contact_id: str
    kind: str
    sender: str = msgspec.field(name="from")
    at: str | None = None
    external_id: str | None = None
    text: str | None = None
    payload: Json = {}
    by: str | None = None
    state: str | None = None
    state_at: str | None = None
    reason: str | None = None
    receipt: str | None = None
    reply_budget: Json | None = None


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a message is for. `identity` is None once the customer has been erased."""

    id: str
    channel: str
    account: str
    external_id: str | None = None
    customer_id: str | None = None
    identity: Identity | None = None


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits to be sent. `place` counts them, for reading on behind it."""

    place: int
    message: Message
    contact: Recipient


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field that is, or would be, other than before. Of a secret neither is told."""

    field: str
    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")
    secret: bool = False


class ConfigurationChange(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the configuration that is made, changed or removed: `create`, `update`, `delete`."""

    section: str
    name: str
    act: str
    fields: list[FieldChange] = []


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed, or would be where it is not `applied`; `version` is that of the whole, for `If-Match`."""

    changes: list[ConfigurationChange]
    applied: bool
    version: str
