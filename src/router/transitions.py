"""The life of a contact, an assignment, a collaboration, a message that goes out: what is in no table does not happen.

An event that finds a contact in a state that is not listed for it is a programmer's error: the engine checks the state
before it emits, and tells the caller 409 instead.

            ┌──────── requeued (declined, expired, revoked, agent lost, taken back) ────────┐
            ▼                                                                               │
         waiting ─► offered ─► active ─► wrap_up ─► closed                                  │
            │ ▲        └──────────┴──────────────────────────────────────────────────────── ┘
            │ │                   │
            │ └───── resumed ── parked ◄── waiting (a call-back)
            └─► closed (abandoned, cancelled, overflowed)
"""

from typing import Final

from src.router import events as ev

CONTACT: Final[dict[tuple[str | None, str], str]] = {
    (None, ev.CONTACT_RECEIVED): "waiting",
    ("waiting", ev.CONTACT_WAITING): "waiting",
    ("waiting", ev.CONTACT_RECLASSIFIED): "waiting",
    ("waiting", ev.CONTACT_RELAXED): "waiting",
    ("waiting", ev.CONTACT_OVERFLOWED): "waiting",
    ("waiting", ev.CONTACT_OFFERED): "offered",
    ("waiting", ev.CONTACT_PARKED): "parked",
    ("waiting", ev.CONTACT_CLOSED): "closed",
    ("offered", ev.CONTACT_OFFERED): "offered",
    ("offered", ev.CONTACT_ACTIVE): "active",
    ("offered", ev.CONTACT_REQUEUED): "waiting",
    ("offered", ev.CONTACT_CLOSED): "closed",
    ("active", ev.ASSIGNMENT_WRAP_UP): "wrap_up",
    ("active", ev.CONTACT_RECLASSIFIED): "active",
    ("active", ev.CONTACT_TRANSFERRED): "waiting",
    ("active", ev.CONTACT_REQUEUED): "waiting",
    ("active", ev.CONTACT_PARKED): "parked",
    ("active", ev.CONTACT_CLOSED): "closed",
    ("parked", ev.CONTACT_RECLASSIFIED): "parked",
    ("parked", ev.CONTACT_RESUMED): "waiting",
    ("parked", ev.CONTACT_CLOSED): "closed",
    ("wrap_up", ev.CONTACT_RECLASSIFIED): "wrap_up",
    ("wrap_up", ev.CONTACT_CLOSED): "closed",
}
"""(state, event) → state. A contact that is not there yet has the state None."""

ASSIGNMENT: Final[dict[tuple[str | None, str], str]] = {
    (None, ev.CONTACT_OFFERED): "offered",
    ("offered", ev.CONTACT_ACTIVE): "active",
    ("offered", ev.OFFER_DECLINED): "declined",
    ("offered", ev.OFFER_EXPIRED): "expired",
    ("offered", ev.OFFER_REVOKED): "revoked",
    ("active", ev.ASSIGNMENT_WRAP_UP): "wrap_up",
    ("active", ev.ASSIGNMENT_COMPLETED): "completed",
    ("active", ev.ASSIGNMENT_LOST): "lost",
    ("active", ev.CONTACT_TRANSFERRED): "transferred",
    ("active", ev.CONTACT_PARKED): "parked",
    ("active", ev.ASSIGNMENT_RELEASED): "active",
    ("active", ev.ASSIGNMENT_WANTED): "active",
    ("active", ev.ASSIGNMENT_RETAKEN): "active",
    ("parked", ev.CONTACT_RESUMED): "transferred",
    ("parked", ev.ASSIGNMENT_COMPLETED): "completed",
    ("wrap_up", ev.ASSIGNMENT_NOTED): "wrap_up",
    ("wrap_up", ev.ASSIGNMENT_COMPLETED): "completed",
}
"""(state, event) → state, for the assignment that the event names."""

COLLABORATION: Final[dict[tuple[str | None, str], str]] = {
    (None, ev.COLLABORATION_REQUESTED): "requested",
    ("requested", ev.COLLABORATION_ASKED): "requested",
    ("requested", ev.COLLABORATION_ACCEPTED): "accepted",
    ("requested", ev.COLLABORATION_CLOSED): "closed",
    ("accepted", ev.COLLABORATION_ASKED): "requested",
    ("accepted", ev.COLLABORATION_REPLIED): "accepted",
    ("accepted", ev.COLLABORATION_CLOSED): "closed",
}
"""(state, event) → state."""

MESSAGE: Final[dict[tuple[str | None, str], str]] = {
    (None, ev.MESSAGE_QUEUED): "queued",
    ("queued", ev.MESSAGE_SENT): "sent",
    ("queued", ev.MESSAGE_DELIVERED): "delivered",
    ("queued", ev.MESSAGE_FAILED): "failed",
    ("sent", ev.MESSAGE_DELIVERED): "delivered",
    ("sent", ev.MESSAGE_FAILED): "failed",
}
"""(state, event) → state, for a message that goes out to the customer. The fold does not hold it: it is a fact, whose
state is what the last of its events says."""

OPEN_ASSIGNMENT: Final = frozenset({"offered", "active", "parked", "wrap_up"})
"""States in which an assignment is its agent's. What takes capacity of these, the assignment itself says."""

HELD: Final = frozenset({"active", "parked", "wrap_up"})
"""States in which a contact is with one agent and no other."""
