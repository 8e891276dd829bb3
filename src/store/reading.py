"""What a lookup finds, as keys and values of `Known`. Both stores hand their rows through here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from src.dispatch.facts import TRUST, Customer
from src.dispatch.known import Known, Recent, Tagged
from src.store import rows

Pair = tuple[Any, Any]


def _keyed(read: Callable[[Sequence[Any]], Any], key: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Pair]:
    def pair(row: Sequence[Any]) -> Pair:
        value = read(row)
        return (key(value), value)

    return pair


READ: Final[Mapping[str, Callable[[Sequence[Any]], Pair]]] = {
    "identities": lambda row: ((row[1], row[2]), row[0]),
    "external_messages": _keyed(rows.message_from, lambda each: (each.channel, each.account, each.external_id)),
    "contacts": lambda row: (row[0], tuple(row)),
    "facts": _keyed(rows.contact_fact_from, lambda each: each.id),
    "assignments": lambda row: (row[0], tuple(row)),
    "customers": _keyed(rows.customer_from, lambda each: each.id),
    "family": _keyed(rows.customer_from, lambda each: each.id),
    "collaborations": lambda row: (row[0], tuple(row)),
    "remarks": lambda row: (row[0], row[2]),
    "conflicts": _keyed(rows.conflict_from, lambda each: each.id),
    "reviews": _keyed(rows.review_from, lambda each: (each.contact_id, each.kind)),
    "surveys": _keyed(rows.survey_from, lambda each: each.contact_id),
    "problems": _keyed(rows.problem_from, lambda each: each.name),
    "rosters": _keyed(rows.roster_from, lambda each: each.name),
    "linked": _keyed(rows.contact_fact_from, lambda each: each.id),
    "messages": _keyed(rows.message_from, lambda each: each.id),
    "outgoing": _keyed(rows.outgoing_from, lambda each: each.message_id),
    "media": _keyed(rows.media_from, lambda each: each.id),
    "cursors": _keyed(rows.cursor_from, lambda each: each.account),
    "config": _keyed(rows.config_from, lambda each: (each.kind, each.name)),
    "accounts": _keyed(rows.account_from, lambda each: each.name),
    "connectors": _keyed(rows.connector_from, lambda each: each.name),
    "token_trusts": lambda row: (TRUST, rows.trust_from(row)),
    "api_keys": _keyed(rows.key_from, lambda each: each.id),
    "webhooks": _keyed(rows.webhook_from, lambda each: each.name),
    "answers": _keyed(rows.answer_from, lambda each: each.scope),
}
"""By the names of `Known`: from a row of the table, without the tenant, to a key and a value."""


def put(known: Known, name: str, found: Iterable[Sequence[Any]]) -> None:
    """Let `known` hold the rows that were found for one of the names of a lookup."""
    if name == "recent":
        known.recent = recent(found)
    elif name == "lately":
        known.lately = lately(found)
    elif name == "outreach":
        known.outreach = outreach(found)
    elif name == "held":
        for row in found:
            fact = rows.identity_from(row)
            known.held[fact.customer_id] = (*known.held.get(fact.customer_id, ()), fact)
    elif name == "external_contacts":
        for row in found:
            about = rows.contact_fact_from(row)
            known.facts[about.id] = about
            known.external_contacts[(about.channel, about.account, about.external_id or "")] = about.id
    elif name == "facts":
        known.facts.update(map(READ[name], found))
    elif name == "family":
        _put_families(known, dict(map(READ[name], found)))
    else:
        setattr(known, name, dict(map(READ[name], found)))


def _put_families(known: Known, found: Mapping[str, Customer]) -> None:
    known.customers.update(found)
    for each in sorted(found.values(), key=lambda each: (each.id != each.survivor_id, each.id)):
        assert each.survivor_id is not None
        known.families[each.survivor_id] = (*known.families.get(each.survivor_id, ()), each.id)


def recent(found: Iterable[Sequence[Any]]) -> dict[str, tuple[Recent, ...]]:
    """Contacts by customer, newest first.

    A row is the customer's id and a JSON array, null if there are none: for each contact its id, when it was created,
    its tags, when it closed, who transferred it last, of the assignment that it names the agent and when that accepted
    it, its channel, its outcome and, of an open one, its conversation and the identity that it came by.
    """
    return {
        customer_id: tuple(sorted(map(_recent, rows.load(contacts)), key=lambda each: each.contact_id, reverse=True))
        for customer_id, contacts in found
        if contacts is not None
    }


def lately(found: Iterable[Sequence[Any]]) -> dict[str, tuple[Tagged, ...]]:
    """The tags of contacts by customer, newest first; of each the id, when it was created, and the tags."""
    return {
        customer_id: tuple(
            Tagged(contact_id, created_at, tuple(tags))
            for contact_id, created_at, tags in sorted(rows.load(contacts), reverse=True)
        )
        for customer_id, contacts in found
        if contacts is not None
    }


def outreach(found: Iterable[Sequence[Any]]) -> dict[str, tuple[int, ...]]:
    """The moments at which customers were turned to unasked, by customer; a row is its id and a JSON array, or null."""
    return {customer_id: tuple(rows.load(moments)) for customer_id, moments in found if moments is not None}


def _recent(values: Sequence[Any]) -> Recent:
    contact_id, created_at, tags, closed_at, transferred_by, agent_id, accepted_at, *rest = values
    agent = transferred_by if accepted_at is None else agent_id
    return Recent(contact_id, created_at, tuple(tags), closed_at is not None, agent, accepted_at, *rest)
