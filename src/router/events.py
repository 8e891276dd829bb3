"""The journal's vocabulary: what an event is, and the shape of each kind's `data`.

Events hold ids, codes and numbers, never personal data: texts, names and addresses are facts beside the journal, and
are joined when an event is told to someone. Every value in `data` is JSON. An event concerns at most one agent.

| type | data |
|---|---|
| contact.received | channel, account, queue, priority, language, tags, requirements, rules |
| contact.waiting | queue |
| contact.offered | assignment_id, channel, cost, expires_at, matched |
| contact.active | assignment_id |
| contact.requeued | reason |
| contact.reclassified | queue, priority, tags, requirements, target_agent_id, reason |
| contact.transferred | assignment_id, to, reason, by, queue, tags, requirements, target_agent_id, barred_until |
| contact.closed | outcome, reason |
| offer.declined | assignment_id, barred_until, reason |
| offer.expired | assignment_id, barred_until |
| offer.revoked | assignment_id, reason |
| assignment.wrap_up | assignment_id, ends_at, outcome, resolved, disposition |
| assignment.completed | assignment_id, resolved, disposition |
| assignment.lost | assignment_id, reason |
| agent.presence | status, reason, connected, session, lease_s, grace_until |
| sla.warning, sla.breached | queue, waited_s |
| message.received | message_id, kind |
| agent.updated, agent.deleted | (the agent is in the envelope) |
| {queue,tag,rule,key,channel}.{updated,deleted}, settings.updated, customer.updated | name |
| journal.checkpoint | state_hash |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

VERSION: Final = 1
"""The version of the event shapes above. A release reads a new one before any release writes it."""

CONTACT_RECEIVED: Final = "contact.received"
CONTACT_WAITING: Final = "contact.waiting"
CONTACT_OFFERED: Final = "contact.offered"
CONTACT_ACTIVE: Final = "contact.active"
CONTACT_REQUEUED: Final = "contact.requeued"
CONTACT_RECLASSIFIED: Final = "contact.reclassified"
CONTACT_TRANSFERRED: Final = "contact.transferred"
CONTACT_CLOSED: Final = "contact.closed"
OFFER_DECLINED: Final = "offer.declined"
OFFER_EXPIRED: Final = "offer.expired"
OFFER_REVOKED: Final = "offer.revoked"
ASSIGNMENT_WRAP_UP: Final = "assignment.wrap_up"
ASSIGNMENT_COMPLETED: Final = "assignment.completed"
ASSIGNMENT_LOST: Final = "assignment.lost"
AGENT_PRESENCE: Final = "agent.presence"
AGENT_UPDATED: Final = "agent.updated"
AGENT_DELETED: Final = "agent.deleted"
SLA_WARNING: Final = "sla.warning"
SLA_BREACHED: Final = "sla.breached"
MESSAGE_RECEIVED: Final = "message.received"
CHECKPOINT: Final = "journal.checkpoint"

NAMED_KINDS: Final = ("queue", "tag", "rule", "key", "channel", "customer", "settings")
"""Kinds of configuration and facts whose change is journalled by name alone: `{kind}.updated`, `{kind}.deleted`."""

KNOWN: Final = frozenset(
    {
        CONTACT_RECEIVED,
        CONTACT_WAITING,
        CONTACT_OFFERED,
        CONTACT_ACTIVE,
        CONTACT_REQUEUED,
        CONTACT_RECLASSIFIED,
        CONTACT_TRANSFERRED,
        CONTACT_CLOSED,
        OFFER_DECLINED,
        OFFER_EXPIRED,
        OFFER_REVOKED,
        ASSIGNMENT_WRAP_UP,
        ASSIGNMENT_COMPLETED,
        ASSIGNMENT_LOST,
        AGENT_PRESENCE,
        AGENT_UPDATED,
        AGENT_DELETED,
        SLA_WARNING,
        SLA_BREACHED,
        MESSAGE_RECEIVED,
        CHECKPOINT,
        *(f"{kind}.updated" for kind in NAMED_KINDS),
        *(f"{kind}.deleted" for kind in NAMED_KINDS),
    }
)
"""Every type this release understands. A process that meets another one stops serving the tenant."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a tenant's journal. `seq` is consecutive from 1; `at` is in milliseconds and never goes back."""

    seq: int
    type: str
    at: int
    contact_id: str | None = None
    agent_id: str | None = None
    customer_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION
