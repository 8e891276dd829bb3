"""What the service answers, as typed values: the JSON of the interface, field by field.

Times are RFC 3339 texts, as they are sent. A field that a later release adds is passed over; one that an earlier
release does not send has the default that stands here.
"""

from typing import Any

import msgspec

Json = dict[str, Any]


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
    collaborations: list[Json] = []
    updated_at: str | None = None
    answered_at: str | None = None
    closed_at: str | None = None
    direction: str | None = None
    conversation_id: str | None = None
    reply_budget: Json | None = None


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who a customer is; `external` is what other systems know of it."""

    id: str
    display_name: str | None = None
    tier: str | None = None
    preferred_agent_id: str | None = None
    attributes: Json = {}
    tags: list[str] = []
    created_at: str | None = None
    external: Json = {}
    last_contacts: list[Json] = []


class Held(Assignment, frozen=True, kw_only=True):
    """An offer or assignment with all that a desktop needs at first sight. `expires_in_ms` counts from the answer."""

    contact: Contact | None = None
    customer: Customer | None = None
    matched: list[Json] = []
    expires_in_ms: int | None = None


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
