"""What a lookup finds, as keys and values of `Known`. Both stores hand their rows through here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from src.store import rows

Pair = tuple[Any, Any]


def _keyed(read: Callable[[Sequence[Any]], Any], key: Callable[[Any], Any]) -> Callable[[Sequence[Any]], Pair]:
    def pair(row: Sequence[Any]) -> Pair:
        value = read(row)
        return (key(value), value)

    return pair


READ: Final[Mapping[str, Callable[[Sequence[Any]], Pair]]] = {
    "identities": lambda row: ((row[1], row[2]), row[0]),
    "external_contacts": lambda row: ((row[1], row[2], row[3]), row[0]),
    "external_messages": _keyed(rows.message_from, lambda each: (each.channel, each.account, each.external_id)),
    "contacts": lambda row: (row[0], tuple(row)),
    "facts": _keyed(rows.contact_fact_from, lambda each: each.id),
    "assignments": lambda row: (row[0], tuple(row)),
    "customers": _keyed(rows.customer_from, lambda each: each.id),
    "messages": _keyed(rows.message_from, lambda each: each.id),
    "answers": _keyed(rows.answer_from, lambda each: each.scope),
}
"""By the names of `Known`: from a row of the table, without the tenant, to a key and a value."""
