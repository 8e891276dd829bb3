"""How contacts, assignments, customers and events look from outside: one JSON form each, for REST and stream alike.

Inside, times are milliseconds; outside they are RFC 3339 in UTC with milliseconds. Rows come in the order of the
columns in `src.router.entities`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from src.dispatch import remarks
from src.dispatch.config import LATEST
from src.dispatch.facts import CollaborationWord, ContactFact, Customer, MediaFact, MessageFact, OutgoingFact
from src.dispatch.known import Known, Recent
from src.dispatch.people import whole
from src.dispatch.ports import Outgoing
from src.router import events as ev
from src.router.entities import ASSIGNMENT_COLUMNS, COLLABORATION_COLUMNS, CONTACT_COLUMNS, Row
from src.router.folds import FLAGGED_CALLBACK
from src.router.journal import Event
from src.router.waits import Estimate

Json = dict[str, Any]

LAST_CONTACTS: Final = 5
"""So many earlier contacts of the customer go with an offer."""

_read: Final = msgspec.json.Decoder().decode

_TIMES: Final = frozenset(
    {
        "asked_until",
        "at",
        "barred_until",
        "due_at",
        "ends_at",
        "expires_at",
        "feedback_by",
        "grace_until",
        "idle_since",
        "lapses_at",
        "lead_by",
        "opens_at",
        "progress_by",
        "promised",
        "rank",
        "solution_by",
        "target_until",
        "until",
    }
)
"""Names under which events, traces and explanations hold a time."""


_EARLIEST: Final = -62_135_596_800_000
"""The beginning of the year 1, in milliseconds since the epoch."""


def rfc3339(at: int | None) -> str | None:
    """Milliseconds since the epoch as `2026-11-21T20:38:27.068Z`; null where that is never, or outside years 1 to 9999.

    A rank may be: priorities add up, of rules, tiers, steps and escalation.
    """
    if at is None or not _EARLIEST <= at <= LATEST:
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
    wait: Estimate | None = None,
    collaborations: Sequence[Row] = (),
    customer_id: str | None = None,
) -> Json:
    """A contact. What came from the customer (`text`, `identity`, `attributes`) is null once it has been erased.

    `conversation_id` is the contact that the conversation began with; `direction` is `outbound` where an agent reaches
    the customer. `collaborations` are the open ones. `customer_id` is who answers for the customer, None: whom it came
    as.
    """
    value = dict(zip(CONTACT_COLUMNS, row, strict=True))
    more, flags = _read(value["more"]), _read(value["flags"])
    return {
        "id": value["id"],
        "state": value["state"],
        "outcome": value["outcome"],
        "channel": value["channel"],
        "account": value["account"],
        "external_id": fact.external_id if fact else None,
        "conversation_id": (fact.conversation_id if fact else None) or value["id"],
        "direction": "outbound" if (fact and fact.outbound) or FLAGGED_CALLBACK in flags else "inbound",
        "customer_id": customer_id or value["customer_id"],
        "identity": {"type": fact.identity_type, "value": fact.identity_value} if fact else None,
        "text": fact.text if fact else None,
        "attributes": dict(fact.attributes) if fact else None,
        "common_problem": fact.problem if fact else None,
        "queue": value["queue"],
        "priority": value["priority"],
        "language": value["language"],
        "tags": _read(value["tags"]),
        "requirements": [public(each) for each in _read(value["requirements"])],
        "terms": terms(more.get("terms") or {}),
        "step": value["step"],
        "target_agent_id": value["target_agent_id"],
        "target": _target(value),
        "parked_until": rfc3339(value["parked_until"]),
        "park_reason": more.get("park_reason"),
        "owner_id": value["owner_id"],
        "previous_agent_id": more.get("previous_agent_id"),
        "transfers": value["transfers"],
        "flags": flags,
        "alarms": [{"name": name, "level": level} for name, level in more.get("alarms", {}).items()],
        "pilot": value["pilot"],
        "position": position,
        **estimate(wait),
        "assignment": assignment(assignment_row) if assignment_row is not None else None,
        "collaborations": [collaboration(each) for each in collaborations],
        "created_at": rfc3339(value["created_at"]),
        "updated_at": rfc3339(value["updated_at"]),
        "answered_at": rfc3339(value["answered_at"]),
        "closed_at": rfc3339(value["closed_at"]),
    }


def estimate(wait: Estimate | None) -> Json:
    """The likely wait from now: its mean, and the range that four of five waits fall in."""
    shown = None if wait is None else {"low_s": wait.low_s, "high_s": wait.high_s}
    return {"estimated_wait_s": None if wait is None else wait.wait_s, "estimated_wait": shown}


def _target(value: Mapping[str, Any]) -> Json | None:
    """The only agent that may have the contact, why, and until when; `until` null: for good."""
    if value["target_agent_id"] is None:
        return None
    return {
        "agent_id": value["target_agent_id"],
        "kind": value["target_kind"],
        "until": rfc3339(value["target_until"]),
    }


def terms(said: Mapping[str, list[str]]) -> Json | None:
    """Who may take a contact, in the form in which it is posted; null: whoever fits."""
    if not said:
        return None
    included = {"agents": said.get("agents", []), "teams": said.get("widened", said.get("teams", []))}
    return {
        kind: {"include": list(names), "exclude": list(said.get(f"not_{kind}", ()))} for kind, names in included.items()
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
        "released": value["released"],
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
    shown = assignment(remarks.assignment(row, known.remarks))
    contact_row = known.contacts.get(shown["contact_id"])
    customer_id = None if contact_row is None else contact_row[_CUSTOMER_ID]
    requirements = _read(contact_row[_REQUIREMENTS]) if contact_row is not None else []
    return shown | {
        "contact": _joined(contact_row, known),
        "customer": person(known, customer_id, shown["contact_id"]),
        "matched": [public(each) | {"agent_level": skills.get(each["skill"])} for each in requirements],
        "expires_in_ms": max(0, row[_EXPIRES_AT] - now) if shown["state"] == "offered" else None,
    }


def collaboration(row: Row, words: Sequence[CollaborationWord] | None = None) -> Json:
    """Help with a contact; `by` asked for it, `agent_id` is asked or helps. `words` is what was written with it."""
    value = dict(zip(COLLABORATION_COLUMNS, row, strict=True))
    return {
        "id": value["id"],
        "collaboration_id": value["id"],
        "contact_id": value["contact_id"],
        "kind": value["kind"],
        "state": value["state"],
        "by": value["by"],
        "department": value["department"],
        "agent_id": value["agent_id"],
        "requirements": [public(each) for each in _read(value["requirements"])],
        "deadlines": _read(value["deadlines"]),
        "feedback_by": rfc3339(value["feedback_by"]),
        "progress_by": rfc3339(value["progress_by"]),
        "lead_by": rfc3339(value["lead_by"]),
        "solution_by": rfc3339(value["solution_by"]),
        "asked_until": rfc3339(value["asked_until"]),
        "approved": value["approved"],
        "told": _read(value["told"]),
        "reason": value["reason"],
        "requested_at": rfc3339(value["requested_at"]),
        "accepted_at": rfc3339(value["accepted_at"]),
        "answered_at": rfc3339(value["answered_at"]),
        "closed_at": rfc3339(value["closed_at"]),
    } | ({} if words is None else {"words": [_word(each) for each in words]})


def _word(fact: CollaborationWord) -> Json:
    return {"id": fact.id, "from": fact.author, "kind": fact.kind, "text": fact.text, "at": rfc3339(fact.at)}


def person(known: Known, customer_id: str | None, contact_id: str | None) -> Json | None:
    """The summary of a customer that goes with an offer: who it is, and its last contacts but this one."""
    family = _family(known, customer_id)
    if not family:
        return None
    members = [known.customers[each] for each in family if each in known.customers]
    recent = [each for member in family for each in known.recent.get(member, ()) if each.contact_id != contact_id]
    recent.sort(key=lambda each: (each.created_at, each.contact_id), reverse=True)
    last_contacts = [last_contact(each) for each in recent[:LAST_CONTACTS]]
    return customer(whole(members), known.external.get(family[0])) | {"last_contacts": last_contacts}


def _family(known: Known, customer_id: str | None) -> Sequence[str]:
    """The customers that are one with this, if it is known: the one that answers for all is first."""
    fact = known.customers.get(customer_id or "")
    return () if fact is None else known.families.get(fact.survivor_id or "", (fact.id,))


def _tier(known: Known, customer_id: str | None) -> str | None:
    members = [known.customers[each] for each in _family(known, customer_id) if each in known.customers]
    return whole(members).tier if members else None


def last_contact(each: Recent) -> Json:
    """An earlier contact in short; `agent_id` has it, or had it last."""
    return {
        "id": each.contact_id,
        "channel": each.channel,
        "created_at": rfc3339(each.created_at),
        "tags": list(each.tags),
        "open": not each.closed,
        "outcome": each.outcome,
        "agent_id": each.agent_id,
    }


def _joined(row: Row | None, known: Known) -> Json | None:
    """A contact with what is known of it."""
    if row is None:
        return None
    who = known.customers.get(row[_CUSTOMER_ID])
    return contact(row, known.facts.get(row[0]), None, customer_id=None if who is None else who.survivor_id)


def customer(fact: Customer, known: Mapping[str, Any] | None = None) -> Json:
    """Who a customer is; `known` is what other systems know of it."""
    return {
        "id": fact.id,
        "display_name": fact.display_name,
        "tier": fact.tier,
        "preferred_agent_id": fact.preferred_agent_id,
        "preferred_channel": fact.preferred_channel,
        "attributes": dict(fact.attributes),
        "tags": list(fact.tags),
        "created_at": rfc3339(fact.created_at),
        "external": external(known or {}),
    }


def external(known: Mapping[str, Mapping[str, Any]]) -> Json:
    """What other systems know of a customer, by connector: as of when, and what is missing since when."""
    return {
        name: {**each, "as_of": rfc3339(each["as_of"]), "missing_since": rfc3339(each["missing_since"])}
        for name, each in known.items()
    }


def message(fact: MessageFact, outgoing: OutgoingFact | None = None) -> Json:
    """One message of a conversation. `state` and what follows are null where it does not go out to the customer."""
    return {
        "id": fact.id,
        "contact_id": fact.contact_id,
        "external_id": fact.external_id,
        "from": fact.sender,
        "kind": fact.kind,
        "text": fact.text,
        "payload": dict(fact.payload),
        "at": rfc3339(fact.at),
        "by": outgoing.by if outgoing else None,
        "state": outgoing.state if outgoing else None,
        "state_at": rfc3339(outgoing.at) if outgoing else None,
        "reason": outgoing.reason if outgoing else None,
        "receipt": outgoing.receipt if outgoing else None,
    }


def media(fact: MediaFact) -> Json:
    """A picture, recording or file, without what is in it."""
    return {
        "id": fact.id,
        "contact_id": fact.contact_id,
        "state": fact.state,
        "reason": fact.reason,
        "media_type": fact.media_type,
        "bytes": fact.size,
        "name": fact.name,
        "at": rfc3339(fact.at),
    }


def waiting(each: Outgoing) -> Json:
    """A message that waits to be sent, and whom it is for."""
    erased = each.identity_type is None
    return {
        "place": each.fact.place,
        "message": message(each.message, each.fact),
        "contact": {
            "id": each.fact.contact_id,
            "channel": each.fact.channel,
            "account": each.fact.account,
            "external_id": each.external_id,
            "customer_id": each.message.customer_id,
            "identity": None if erased else {"type": each.identity_type, "value": each.identity_value},
        },
    }


def event_id(tenant: str, seq: int) -> str:
    """An event's id: the same on every way out."""
    return f"{tenant}.{seq:016d}"


def event(tenant: str, each: Event, known: Known, now: int, *, personal: bool = True) -> Json:
    """An event with what is joined to it: contact and customer for an offer, the message for `message.received`.

    So are the customer's tier for an alarm, and what somebody typed as a reason. Without `personal`, for those who may
    not read contacts, these are null.
    """
    if not personal:
        known = Known()
    data = public(remarks.readable(each.data, known.remarks))
    if each.type == ev.CONTACT_OFFERED:
        data["expires_in_ms"] = max(0, each.data["expires_at"] - now)
        data["contact"] = _joined(known.contacts.get(each.contact_id or ""), known)
        data["customer"] = person(known, each.customer_id, each.contact_id)
    elif each.type in ev.ALARMS:
        data["tier"] = _tier(known, each.customer_id)
    elif each.type == ev.MESSAGE_RECEIVED:
        said = known.messages.get(each.data["message_id"])
        data["message"] = message(said) if said is not None else None
    elif each.type == ev.MESSAGE_QUEUED:
        data |= _queued(each, known)
    return {
        "id": event_id(tenant, each.seq),
        "seq": each.seq,
        "type": each.type,
        "at": rfc3339(each.at),
        "tenant": tenant,
        "contact_id": each.contact_id,
        "agent_id": each.agent_id,
        "customer_id": each.customer_id,
        "data": data,
    }


def _queued(each: Event, known: Known) -> Json:
    """What a gateway needs to send a message: the message as it was queued, and whom it is for."""
    said, row = known.messages.get(each.data["message_id"]), known.contacts.get(each.contact_id or "")
    shown = None if said is None else message(said) | {"by": each.data["by"], "state": "queued"}
    fact = known.facts.get(each.contact_id or "")
    return {"message": shown, "contact": None if row is None else contact(row, fact, None)}


def public(data: Mapping[str, Any]) -> Json:
    """The same with times, and terms, as the outside writes them."""
    return {key: _public(key, value) for key, value in data.items()}


def _public(key: str, value: Any) -> Any:  # noqa: ANN401  # any JSON value
    if key in _TIMES and (value is None or isinstance(value, int)):
        return rfc3339(value)
    if key == "terms":
        return terms(value or {})
    if isinstance(value, Mapping):
        return public(value)
    if isinstance(value, list):
        return [public(each) if isinstance(each, Mapping) else each for each in value]
    return value


_EXPIRES_AT: Final = ASSIGNMENT_COLUMNS.index("expires_at")
_CUSTOMER_ID: Final = CONTACT_COLUMNS.index("customer_id")
_REQUIREMENTS: Final = CONTACT_COLUMNS.index("requirements")
