"""A batch as rows, table by table: what both stores write, in this order. Knows no SQL.

Of facts with the same key the newest of the batch wins, because one statement may touch a row only once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Table

from src.dispatch.ports import (
    AccountFact,
    Batch,
    CollaborationWord,
    ConfigFact,
    ConnectorFact,
    ContactFact,
    Customer,
    Fact,
    IdentityFact,
    KeyFact,
    MessageFact,
    NoteFact,
    OutgoingFact,
)
from src.router.entities import ASSIGNMENT_COLUMNS, Row
from src.store import rows, tables

_ENDED_AT: Final = ASSIGNMENT_COLUMNS.index("ended_at")


@dataclass(frozen=True, slots=True)
class Section:
    """What is done to one table. A row to `remove` is its key, without the tenant; any other is a whole row."""

    table: Table
    verb: Literal["insert", "put", "remove"]


SECTIONS: Final = (
    Section(tables.journal, "insert"),
    Section(tables.contacts, "put"),
    Section(tables.assignments, "put"),
    Section(tables.agent_states, "put"),
    Section(tables.agent_states, "remove"),
    Section(tables.collaborations, "put"),
    Section(tables.traces, "put"),
    Section(tables.customers, "put"),
    Section(tables.identities, "put"),
    Section(tables.contact_facts, "put"),
    Section(tables.messages, "put"),
    Section(tables.outgoing, "put"),
    Section(tables.notes, "put"),
    Section(tables.collaboration_words, "put"),
    Section(tables.config, "put"),
    Section(tables.config, "remove"),
    Section(tables.api_keys, "put"),
    Section(tables.channel_accounts, "put"),
    Section(tables.channel_accounts, "remove"),
    Section(tables.connectors, "put"),
    Section(tables.connectors, "remove"),
    Section(tables.answers, "put"),
)


def sectioned(batch: Batch) -> list[list[Row]]:
    """The batch's rows, one list for each of `SECTIONS`.

    Raises:
        StoreRejected: something has no JSON form.
    """
    changes = batch.changes
    facts = _Facts()
    for fact in batch.facts:
        facts.add(fact)
    # An assignment that ends frees its contact before the next one takes it, or the backstop would see two holders.
    assignments = sorted(changes.assignments, key=lambda row: row[_ENDED_AT] is None)
    return [
        [rows.event_row(each) for each in batch.events],
        changes.contacts,
        assignments,
        changes.agents,
        [(each,) for each in changes.removed_agents],
        changes.collaborations,
        [rows.trace_row(each) for each in batch.traces],
        [rows.customer_row(each) for each in facts.customers.values()],
        [rows.identity_row(each) for each in facts.identities.values()],
        [rows.contact_fact_row(each) for each in facts.contacts.values()],
        [rows.message_row(each) for each in facts.messages.values()],
        [rows.outgoing_row(each) for each in facts.outgoing.values()],
        [rows.note_row(each) for each in facts.notes.values()],
        [rows.word_row(each) for each in facts.words.values()],
        [rows.config_row(each) for each in facts.config.values() if each.body is not None],
        [key for key, each in facts.config.items() if each.body is None],
        [rows.key_row(each) for each in facts.keys.values()],
        [rows.account_row(each) for each in facts.accounts.values() if not each.deleted],
        [(name,) for name, each in facts.accounts.items() if each.deleted],
        [rows.connector_row(each) for each in facts.connectors.values() if not each.deleted],
        [(name,) for name, each in facts.connectors.items() if each.deleted],
        _newest((each.scope, rows.answer_row(each)) for each in batch.answers),
    ]


class _Facts:
    """Facts by kind and key."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.identities: dict[tuple[str, str, str], IdentityFact] = {}
        self.contacts: dict[str, ContactFact] = {}
        self.messages: dict[str, MessageFact] = {}
        self.outgoing: dict[str, OutgoingFact] = {}
        self.notes: dict[str, NoteFact] = {}
        self.words: dict[str, CollaborationWord] = {}
        self.config: dict[tuple[str, str], ConfigFact] = {}
        self.keys: dict[str, KeyFact] = {}
        self.accounts: dict[str, AccountFact] = {}
        self.connectors: dict[str, ConnectorFact] = {}

    def add(self, fact: Fact) -> None:
        match fact:
            case Customer():
                self.customers[fact.id] = fact
            case IdentityFact():
                self.identities[(fact.customer_id, fact.type, fact.value)] = fact
            case ContactFact():
                self.contacts[fact.id] = fact
            case MessageFact():
                self.messages[fact.id] = fact
            case OutgoingFact():
                self.outgoing[fact.message_id] = fact
            case NoteFact():
                self.notes[fact.assignment_id] = fact
            case CollaborationWord():
                self.words[fact.id] = fact
            case ConfigFact():
                self.config[(fact.kind, fact.name)] = fact
            case KeyFact():
                self.keys[fact.id] = fact
            case AccountFact():
                self.accounts[fact.name] = fact
            case ConnectorFact():
                self.connectors[fact.name] = fact


def _newest(keyed: Iterable[tuple[str, Row]]) -> list[Row]:
    return list(dict(keyed).values())
