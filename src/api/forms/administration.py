"""What is answered about configuration beside what was put: ways in and out, credentials, the audit trail.

Queues, tags, rules and the like are answered as they are put, with their names: see `src.api.answered`.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from src.api.forms.answers import Assignment
from src.api.forms.events import Time
from src.api.schemas.access import Algorithm, Scope


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent is there; `connected` is false while nobody is there to hear of an offer."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["offline", "available", "away"]})]
    reason: str | None
    connected: bool
    grace_until: Time | None
    paused: bool
    pause_reason: str | None


class PresenceTaken(Presence, frozen=True, kw_only=True):
    """What a change of presence is answered with. `lease_expires_at` is of an agent without a socket."""

    agent_id: str
    load: int
    lease_expires_at: Time | None


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to a piece of configuration where it is shown."""

    name: str


class RosterLine(Named, frozen=True, kw_only=True):
    """A roster without its shifts: how many there are, and from when to when they reach."""

    since: Time = msgspec.field(name="from")
    to: Time
    shifts: int


class AgentNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to an agent's configuration: what it does now."""

    id: str
    presence: Presence
    load: int
    assignments: list[Assignment]


class AccountNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to a channel account. Of secrets the names are told, `address` is for the channel's system."""

    account: str
    secrets: list[str]
    address: str


class ConnectorNow(Named, frozen=True, kw_only=True):
    """What is added to a connector. Of secrets the names are told."""

    secrets: list[str]
    idempotent: bool


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where events are posted, and since when and why they cannot be."""

    id: str
    url: str
    types: list[str]
    alarms: list[str]
    personal: bool
    enabled: bool
    previous_secret_until: Time | None
    failing: str | None
    failing_since: Time | None


class WebhookNow(Webhook, frozen=True, kw_only=True):
    """A webhook, and up to which event it was told. `secret` is there where one was made for it, and nowhere else."""

    delivered_to: int
    secret: str | UnsetType = UNSET


class WebhookRotated(Webhook, frozen=True, kw_only=True):
    """A webhook with its new secret."""

    secret: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a webhook has not taken."""

    event_id: str
    seq: int
    state: Annotated[str, Meta(extra_json_schema={"enum": ["pending", "dead"]})]
    attempts: int
    reason: str | None
    first_tried_at: Time | None
    last_tried_at: Time | None
    due_at: Time | None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many events are tried again."""

    replayed: int


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without the key itself. Its form before is good until `previous_until`."""

    id: str
    name: str
    scopes: list[Scope]
    requests_per_s: int | None
    created_at: Time
    previous_until: Time | None
    revoked_at: Time | None


class KeyMade(Key, frozen=True, kw_only=True):
    """An API key with the key itself, which is told nowhere else."""

    key: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An agent token."""

    token: str
    expires_at: Time


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something."""

    kind: str
    id: str


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which name, and what belongs to the act."""

    id: str
    at: Time
    by: Actor
    act: str
    name: str


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent tokens are taken; `tenant` is what those of other issuers must hold in the claim of that name."""

    tenant: str
    algorithms: list[Algorithm]
    jwks_url: str | None
    issuer: str | None
    audience: str | None
    previous_secret_until: Time | None


class TokenSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret for tokens by HS256, which is told nowhere else."""

    secret: str
    previous_secret_until: Time | None
