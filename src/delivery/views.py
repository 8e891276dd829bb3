"""How contacts, assignments, customers and events look from outside: one JSON form each, for REST and stream alike.

Inside, times are milliseconds; outside they are RFC 3339 in UTC with milliseconds. Rows come in the order of the
columns in `src.router.state`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from src.dispatch.ports import ContactFact, Customer, Known, MessageFact
from src.router import events as ev
from src.router.events import Event
from src.router.state import ASSIGNMENT_COLUMNS, CONTACT_COLUMNS, Row

Json = dict[str, Any]

_TIMES: Final = frozenset({"expires_at", "ends_at", "barred_until", "grace_until", "lapses_at"})


def rfc3339(at: int | None) -> str | None:
    """Milliseconds since the epoch as `2026-11-21T20:38:27.068Z`."""
    if at is None:
        return None
    seconds, ms = divmod(at, 1000)
    return f"{_to_the_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def contact(
    row: Row,
    fact: ContactFact | None,
    assignment_row: Row | None,
    position: int | None = None,
    estimated_wait_s: int | None = None,
) -> Json:
    """A contact. What came from the customer (`text`, `identity`, `attributes`) is null once it has been erased."""
    value = dict(zip(CONTACT_COLUMNS, row, strict=True))
    return {
        "id": value["id"],
        "state": value["state"],
        "outcome": value["outcome"],
        "channel": value["channel"],
        "account": value["account"],
        "external_id": fact.external_id if fact else None,
        "customer_id": value["customer_id"],
        "identity": {"type": fact.identity_type, "value": fact.identity_value} if fact else None,
        "text": fact.text if fact else None,
        "attributes": dict(fact.attributes) if fact else None,
        "queue": value["queue"],
        "priority": value["priority"],
        "language": value["language"],
        "tags": json.loads(value["tags"]),
        "requirements": [public(each) for each in json.loads(value["requirements"])],
        "target_agent_id": value["target_agent_id"],
        "transfers": value["transfers"],
        "position": position,
        "estimated_wait_s": estimated_wait_s,
        "assignment": assignment(assignment_row) if assignment_row is not None else None,
        "created_at": rfc3339(value["created_at"]),
        "updated_at": rfc3339(value["updated_at"]),
        "answered_at": rfc3339(value["answered_at"]),
        "closed_at": rfc3339(value["closed_at"]),
    }


def assignment(row: Row) -> Json:
    """An offer or an assignment, without the contact that it is about."""
    value = dict(zip(ASSIGNMENT_COLUMNS, row, strict=True))
    return {
        "id": value["id"],
        "assignment_id": value["id"],
        "state": value["state"],
        "contact_id": value["contact_id"],
        "agent_id": value["agent_id"],
        "channel": value["channel"],
        "cost": value["cost"],
        "resolved": value["resolved"],
        "disposition": value["disposition"],
        "offered_at": rfc3339(value["offered_at"]),
        "expires_at": rfc3339(value["expires_at"]),
        "accepted_at": rfc3339(value["accepted_at"]),
        "wrap_up_ends_at": rfc3339(value["ends_at"]),
        "ended_at": rfc3339(value["ended_at"]),
    }


def held(row: Row, known: Known, skills: Mapping[str, int], now: int) -> Json:
    """An assignment with all that a desktop needs at first sight: what `contact.offered` carries too."""
    shown = assignment(row)
    contact_row, fact = known.contacts.get(shown["contact_id"]), known.facts.get(shown["contact_id"])
    who = None if contact_row is None else known.customers.get(contact_row[_CUSTOMER_ID])
    requirements = json.loads(contact_row[_REQUIREMENTS]) if contact_row is not None else []
    return shown | {
        "contact": contact(contact_row, fact, None) if contact_row is not None else None,
        "customer": customer(who) if who is not None else None,
        "matched": [public(each) | {"agent_level": skills.get(each["skill"])} for each in requirements],
        "expires_in_ms": max(0, row[_EXPIRES_AT] - now) if shown["state"] == "offered" else None,
    }


def customer(fact: Customer) -> Json:
    """The summary of a customer that goes with an offer."""
    return {
        "id": fact.id,
        "display_name": fact.display_name,
        "tier": fact.tier,
        "preferred_agent_id": fact.preferred_agent_id,
        "attributes": dict(fact.attributes),
        "tags": list(fact.tags),
        "created_at": rfc3339(fact.created_at),
    }


def message(fact: MessageFact) -> Json:
    """One message of a conversation."""
    return {
        "id": fact.id,
        "contact_id": fact.contact_id,
        "external_id": fact.external_id,
        "from": fact.sender,
        "kind": fact.kind,
        "text": fact.text,
        "payload": dict(fact.payload),
        "at": rfc3339(fact.at),
    }


def event(tenant: str, each: Event, known: Known, now: int, *, personal: bool = True) -> Json:
    """An event with what is joined to it: contact and customer for an offer, the message for `message.received`.

    Without `personal`, for those who may not read contacts, these are null.
    """
    data = public(each.data)
    if not personal:
        known = Known()
    if each.type == ev.CONTACT_OFFERED:
        row, fact = known.contacts.get(each.contact_id or ""), known.facts.get(each.contact_id or "")
        who = known.customers.get(each.customer_id or "")
        data["expires_in_ms"] = max(0, each.data["expires_at"] - now)
        data["contact"] = contact(row, fact, None) if row is not None else None
        data["customer"] = customer(who) if who is not None else None
    elif each.type == ev.MESSAGE_RECEIVED:
        said = known.messages.get(each.data["message_id"])
        data["message"] = message(said) if said is not None else None
    return {
        "id": f"{tenant}.{each.seq:016d}",
        "seq": each.seq,
        "type": each.type,
        "at": rfc3339(each.at),
        "tenant": tenant,
        "contact_id": each.contact_id,
        "agent_id": each.agent_id,
        "customer_id": each.customer_id,
        "data": data,
    }


def public(data: Mapping[str, Any]) -> Json:
    """The same with times as the outside writes them."""
    return {
        key: rfc3339(value)
        if key in _TIMES
        else [public(each) if isinstance(each, Mapping) else each for each in value]
        if isinstance(value, list)
        else value
        for key, value in data.items()
    }


_EXPIRES_AT: Final = ASSIGNMENT_COLUMNS.index("expires_at")
_CUSTOMER_ID: Final = CONTACT_COLUMNS.index("customer_id")
_REQUIREMENTS: Final = CONTACT_COLUMNS.index("requirements")
