"""A batch as rows, table by table: what both stores write, in this order. Knows no SQL.

Of facts with the same key the newest of the batch wins, because one statement may touch a row only once.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Table

from src.dispatch.facts import (
    AccountFact,
    AuditFact,
    CollaborationWord,
    ConfigFact,
    ConflictFact,
    ConnectorFact,
    ContactFact,
    CursorFact,
    Customer,
    DeliveryFact,
    ErasureFact,
    Fact,
    IdentityFact,
    KeyFact,
    LinkFact,
    MediaFact,
    MessageFact,
    NoteFact,
    OutgoingFact,
    ProblemFact,
    RatingFact,
    RemarkFact,
    ReviewFact,
    RosterFact,
    SurveyFact,
    TrustFact,
    VisitFact,
    WebhookCursor,
    WebhookFact,
)
from src.dispatch.ports import Batch
from src.router.entities import ASSIGNMENT_COLUMNS, Row
from src.store import rows, tables

T = TypeVar("T")

_ENDED_AT: Final = ASSIGNMENT_COLUMNS.index("ended_at")


@dataclass(frozen=True, slots=True)
class Section:
    """What is done to one table. A row to `remove` is its key, without the tenant; any other is a whole row.

    Of a row that is there, to put another one changes the columns named in `changes`, with none all: so that what has
    been taken away of it meanwhile stays away.
    """

    table: Table
    verb: Literal["insert", "put", "remove"]
    changes: tuple[str, ...] = ()


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
    Section(tables.customer_conflicts, "put"),
    Section(tables.reviews, "put"),
    Section(tables.ratings, "put"),
    Section(tables.surveys, "put"),
    Section(tables.contact_facts, "put", ("attributes", "problem")),
    Section(tables.contact_facts, "put", ("problem",)),
    Section(tables.common_problems, "put"),
    Section(tables.common_problems, "remove"),
    Section(tables.rosters, "put"),
    Section(tables.rosters, "remove"),
    Section(tables.messages, "put"),
    Section(tables.outgoing, "put"),
    Section(tables.media, "put"),
    Section(tables.visits, "put"),
    Section(tables.channel_cursors, "put"),
    Section(tables.notes, "put"),
    Section(tables.remarks, "put"),
    Section(tables.collaboration_words, "put"),
    Section(tables.config, "put"),
    Section(tables.config, "remove"),
    Section(tables.api_keys, "put"),
    Section(tables.channel_accounts, "put"),
    Section(tables.channel_accounts, "remove"),
    Section(tables.erasures, "put"),
    Section(tables.customers, "remove"),
    Section(tables.identities, "remove"),
    Section(tables.connectors, "put"),
    Section(tables.connectors, "remove"),
    Section(tables.webhooks, "put"),
    Section(tables.webhooks, "remove"),
    Section(tables.webhook_cursors, "put"),
    Section(tables.webhook_cursors, "remove"),
    Section(tables.webhook_deliveries, "put"),
    Section(tables.webhook_deliveries, "remove"),
    Section(tables.token_trusts, "put"),
    Section(tables.audit, "put"),
    Section(tables.answers, "put"),
)


def sectioned(batch: Batch) -> list[list[Row]]:
    """The batch's rows, one list for each of `SECTIONS`.

    Raises:
        StoreRejected: something has no JSON form.
    """
    changes = batch.changes
    facts = _Facts(batch.facts)
    contacts = {each.id: each for each in facts.of(ContactFact)}
    for each in facts.of(LinkFact):  # one statement changes a row once
        if each.contact.id in contacts:
            contacts[each.contact.id] = replace(contacts[each.contact.id], problem=each.contact.problem)
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
        [rows.customer_row(each) for each in facts.of(Customer)],
        [rows.identity_row(each) for each in facts.of(IdentityFact)],
        [rows.conflict_row(each) for each in facts.of(ConflictFact)],
        [rows.review_row(each) for each in facts.of(ReviewFact)],
        [rows.rating_row(each) for each in facts.of(RatingFact)],
        [rows.survey_row(each) for each in facts.of(SurveyFact)],
        [rows.contact_fact_row(each) for each in contacts.values()],
        [rows.contact_fact_row(each.contact) for each in facts.of(LinkFact) if each.contact.id not in contacts],
        [rows.problem_row(each) for each in facts.of(ProblemFact) if not each.deleted],
        [(each.name,) for each in facts.of(ProblemFact) if each.deleted],
        [rows.roster_row(each) for each in facts.of(RosterFact) if not each.deleted],
        [(each.name,) for each in facts.of(RosterFact) if each.deleted],
        [rows.message_row(each) for each in facts.of(MessageFact)],
        [rows.outgoing_row(each) for each in facts.of(OutgoingFact)],
        [rows.media_row(each) for each in facts.of(MediaFact)],
        sorted(rows.visit_row(each) for each in facts.of(VisitFact)),  # in the order of `Visits.seen`
        [rows.cursor_row(each) for each in facts.of(CursorFact)],
        [rows.note_row(each) for each in facts.of(NoteFact)],
        [rows.remark_row(each) for each in facts.of(RemarkFact)],
        [rows.word_row(each) for each in facts.of(CollaborationWord)],
        [rows.config_row(each) for each in facts.of(ConfigFact) if each.body is not None],
        [(each.kind, each.name) for each in facts.of(ConfigFact) if each.body is None],
        [rows.key_row(each) for each in facts.of(KeyFact)],
        [rows.account_row(each) for each in facts.of(AccountFact) if not each.deleted],
        [(each.name,) for each in facts.of(AccountFact) if each.deleted],
        [(each.customer_id, each.at, None) for each in facts.of(ErasureFact)],
        [(each.customer_id,) for each in facts.of(ErasureFact)],
        [(each.customer_id, *identity) for each in facts.of(ErasureFact) for identity in each.identities],
        [rows.connector_row(each) for each in facts.of(ConnectorFact) if not each.deleted],
        [(each.name,) for each in facts.of(ConnectorFact) if each.deleted],
        [rows.webhook_row(each) for each in facts.of(WebhookFact) if not each.deleted],
        [(each.name,) for each in facts.of(WebhookFact) if each.deleted],
        [rows.webhook_cursor_row(each) for each in facts.of(WebhookCursor) if not each.deleted],
        [(each.webhook,) for each in facts.of(WebhookCursor) if each.deleted],
        [rows.delivery_row(each) for each in facts.of(DeliveryFact) if not each.done],
        [(each.webhook, each.seq) for each in facts.of(DeliveryFact) if each.done],
        [rows.trust_row(each) for each in facts.of(TrustFact)],
        [rows.audit_row(each) for each in facts.of(AuditFact)],
        _newest((each.scope, rows.answer_row(each)) for each in batch.answers),
    ]


class _Facts:
    """Facts by kind and key, the newest of each."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._kinds: dict[type[Any], dict[Any, Any]] = defaultdict(dict)
        for fact in facts:
            kind = type(fact)
            self._kinds[kind][_KEYS[kind](fact)] = fact

    def of(self, kind: type[T]) -> Collection[T]:
        """All of a kind."""
        return self._kinds[kind].values()


_KEYS: Final[Mapping[type[Any], Callable[[Any], Any]]] = {
    Customer: attrgetter("id"),
    IdentityFact: attrgetter("customer_id", "type", "value"),
    ConflictFact: attrgetter("id"),
    ReviewFact: attrgetter("contact_id", "kind"),
    RatingFact: attrgetter("contact_id"),
    SurveyFact: attrgetter("contact_id"),
    ContactFact: attrgetter("id"),
    LinkFact: attrgetter("contact.id"),
    ProblemFact: attrgetter("name"),
    RosterFact: attrgetter("name"),
    MessageFact: attrgetter("id"),
    OutgoingFact: attrgetter("message_id"),
    MediaFact: attrgetter("id"),
    VisitFact: attrgetter("contact_id"),
    CursorFact: attrgetter("account"),
    NoteFact: attrgetter("assignment_id"),
    RemarkFact: attrgetter("id"),
    CollaborationWord: attrgetter("id"),
    ConfigFact: attrgetter("kind", "name"),
    KeyFact: attrgetter("id"),
    AccountFact: attrgetter("name"),
    ErasureFact: attrgetter("customer_id"),
    ConnectorFact: attrgetter("name"),
    WebhookFact: attrgetter("name"),
    WebhookCursor: attrgetter("webhook"),
    DeliveryFact: attrgetter("webhook", "seq"),
    TrustFact: lambda _: None,
    AuditFact: attrgetter("id"),
}


def _newest(keyed: Iterable[tuple[str, Row]]) -> list[Row]:
    return list(dict(keyed).values())
