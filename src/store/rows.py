"""Facts as rows of their tables, and back. The order of columns is that of `tables.py`, without the tenant.

Both stores write and read through here, so that what comes back is the same from either: JSON is text in a row and
values outside, and whatever a row cannot hold is refused here or by the database, never altered.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from src.dispatch.facts import (
    AccountFact,
    Actor,
    Answer,
    AuditFact,
    CollaborationWord,
    ConfigFact,
    ConflictFact,
    ConnectorFact,
    ContactFact,
    CursorFact,
    Customer,
    DeliveryFact,
    IdentityFact,
    KeyFact,
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
from src.dispatch.ports import Checkpoint, Head, Outgoing
from src.errors import StoreRejected
from src.router.entities import Row
from src.router.journal import Event

_OUTGOING_COLUMNS: Final = 13
_WORD: Final = 1 << 64
_SIGN: Final = 1 << 63

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def dump(value: object) -> str:
    """JSON text of a value.

    Raises:
        StoreRejected: it has no JSON form that PostgreSQL could hold.
    """
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StoreRejected(f"no JSON: {type(error).__name__}") from error


def load(text: str) -> Any:  # noqa: ANN401 - JSON is anything
    """The inverse of `dump`."""
    return _decode(text)


def signed(unsigned: int) -> int:
    """An unsigned number of 64 bits as PostgreSQL's bigint holds it."""
    return unsigned - _WORD if unsigned >= _SIGN else unsigned


def unsigned(signed: int) -> int:
    """The inverse of `signed`."""
    return signed % _WORD


def head_row(head: Head) -> Row:
    """Seq, batch, at, state_hash."""
    return (head.seq, head.batch, head.at, signed(head.state_hash))


def head_from(row: Sequence[Any]) -> Head:
    """The inverse of `head_row`."""
    return Head(row[0], row[1], row[2], unsigned(row[3]))


def event_row(event: Event) -> Row:
    """A line of the journal."""
    return (
        event.seq,
        event.type,
        event.at,
        event.contact_id,
        event.agent_id,
        event.customer_id,
        dump(event.data),
        event.version,
    )


def event_from(row: Sequence[Any]) -> Event:
    """The inverse of `event_row`."""
    return Event(row[0], row[1], row[2], row[3], row[4], row[5], _decode(row[6]), row[7])


def checkpoint_row(checkpoint: Checkpoint) -> Row:
    """A row of `journal_checkpoints`."""
    return (checkpoint.seq, checkpoint.at, signed(checkpoint.state_hash), dump(checkpoint.rows))


def checkpoint_from(row: Sequence[Any]) -> Checkpoint:
    """The inverse of `checkpoint_row`."""
    kinds = tuple(tuple(tuple(each) for each in kind) for kind in _decode(row[3]))
    return Checkpoint(row[0], row[1], unsigned(row[2]), kinds)


def trace_row(trace: tuple[str, int, Mapping[str, Any]]) -> Row:
    """Contact, number of the event that it explains, the trace."""
    return (trace[0], trace[1], dump(trace[2]))


def customer_row(fact: Customer) -> Row:
    """A row of `customers`."""
    return (
        fact.id,
        fact.created_at,
        fact.display_name,
        fact.tier,
        fact.preferred_agent_id,
        dump(fact.attributes),
        dump(fact.tags),
        fact.survivor_id,
        _customer_more(fact),
    )


def _customer_more(fact: Customer) -> str:
    """What few customers have."""
    more: dict[str, Any] = {}
    if fact.merged is not None:
        more["merged"] = fact.merged
    if fact.apart:
        more["apart"] = fact.apart
    if fact.preferred_channel is not None:
        more["preferred_channel"] = fact.preferred_channel
    return dump(more) if more else "{}"


def customer_from(row: Sequence[Any]) -> Customer:
    """The inverse of `customer_row`."""
    more: Mapping[str, Any] = {} if row[8] == "{}" else _decode(row[8])
    return Customer(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        _decode(row[5]),
        tuple(_decode(row[6])),
        row[7],
        more.get("merged"),
        tuple(more.get("apart", ())),
        more.get("preferred_channel"),
    )


def conflict_row(fact: ConflictFact) -> Row:
    """A row of `customer_conflicts`."""
    return (
        fact.id,
        fact.customer_id,
        fact.other_id,
        fact.kind,
        fact.at,
        fact.contact_id,
        fact.settled_at,
        fact.settled_by,
        fact.verdict,
    )


def conflict_from(row: Sequence[Any]) -> ConflictFact:
    """The inverse of `conflict_row`."""
    return ConflictFact(*row)


def review_row(fact: ReviewFact) -> Row:
    """A row of `reviews`."""
    lists = (dump(fact.tags), dump(fact.earlier))
    head = (fact.contact_id, fact.kind, fact.customer_id)
    return (*head, *lists, fact.at, fact.settled_at, fact.settled_by, fact.note)


def review_from(row: Sequence[Any]) -> ReviewFact:
    """The inverse of `review_row`."""
    return ReviewFact(row[0], row[1], row[2], tuple(_decode(row[3])), tuple(_decode(row[4])), *row[5:])


def rating_row(fact: RatingFact) -> Row:
    """A row of `ratings`."""
    return (fact.contact_id, fact.score, fact.comment, fact.by, fact.at)


def rating_from(row: Sequence[Any]) -> RatingFact:
    """The inverse of `rating_row`."""
    return RatingFact(*row)


def survey_row(fact: SurveyFact) -> Row:
    """A row of `surveys`."""
    return (fact.contact_id, fact.at, fact.withheld)


def survey_from(row: Sequence[Any]) -> SurveyFact:
    """The inverse of `survey_row`."""
    return SurveyFact(*row)


def identity_row(fact: IdentityFact) -> Row:
    """A row of `identities`."""
    return (fact.customer_id, fact.type, fact.value, fact.display_name, fact.strong, fact.created_at, fact.scope)


def identity_from(row: Sequence[Any]) -> IdentityFact:
    """The inverse of `identity_row`."""
    return IdentityFact(row[1], row[2], row[0], row[3], row[4], row[5], row[6])


def contact_fact_row(fact: ContactFact) -> Row:
    """A row of `contact_facts`."""
    return (
        fact.id,
        fact.channel,
        fact.account,
        fact.external_id,
        fact.identity_type,
        fact.identity_value,
        fact.text,
        dump(fact.attributes),
        fact.conversation_id,
        fact.outbound,
        fact.problem,
    )


def contact_fact_from(row: Sequence[Any]) -> ContactFact:
    """The inverse of `contact_fact_row`."""
    return ContactFact(row[0], row[1], row[2], row[3], row[4], row[5], row[6], _decode(row[7]), row[8], row[9], row[10])


def problem_row(fact: ProblemFact) -> Row:
    """A row of `common_problems`."""
    return (
        fact.name,
        dump(fact.body),
        fact.created_at,
        fact.linked,
        fact.first_at,
        fact.last_at,
        fact.reported_at,
        dump(fact.unreported),
        fact.solved_at,
        fact.solved_by,
        fact.note,
    )


def problem_from(row: Sequence[Any]) -> ProblemFact:
    """The inverse of `problem_row`."""
    unreported, answer = tuple(_decode(row[7])), tuple(row[8:])
    return ProblemFact(row[0], _decode(row[1]), row[2], row[3], row[4], row[5], row[6], unreported, *answer)


def roster_row(fact: RosterFact) -> Row:
    """A row of `rosters`: one that holds a shift at least."""
    begins, ends = min(each[1] for each in fact.shifts), max(each[2] for each in fact.shifts)
    return (fact.name, begins, ends, dump(fact.shifts))


def roster_from(row: Sequence[Any]) -> RosterFact:
    """The inverse of `roster_row`."""
    return RosterFact(row[0], tuple((agent_id, from_at, until_at) for agent_id, from_at, until_at in _decode(row[3])))


def message_row(fact: MessageFact) -> Row:
    """A row of `messages`."""
    return (
        fact.id,
        fact.contact_id,
        fact.customer_id,
        fact.channel,
        fact.account,
        fact.external_id,
        fact.sender,
        fact.kind,
        fact.text,
        dump(fact.payload),
        fact.at,
        fact.seq,
    )


def message_from(row: Sequence[Any]) -> MessageFact:
    """The inverse of `message_row`."""
    head = (row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])
    return MessageFact(*head, _decode(row[9]), row[10], row[11])


def outgoing_row(fact: OutgoingFact) -> Row:
    """A row of `outgoing`."""
    return (
        fact.message_id,
        fact.contact_id,
        fact.channel,
        fact.account,
        fact.by,
        fact.agent_id,
        fact.native,
        fact.place,
        fact.queued_at,
        fact.state,
        fact.at,
        fact.reason,
        fact.receipt,
    )


def outgoing_from(row: Sequence[Any]) -> OutgoingFact:
    """The inverse of `outgoing_row`."""
    return OutgoingFact(*row)


def waiting_from(row: Sequence[Any]) -> Outgoing:
    """A message that waits: a row of `outgoing`, one of `messages`, then identity and external id of the contact."""
    *fact, identity_type, identity_value, external_id = row
    out, said = fact[:_OUTGOING_COLUMNS], fact[_OUTGOING_COLUMNS:]
    return Outgoing(outgoing_from(out), message_from(said), identity_type, identity_value, external_id)


def media_row(fact: MediaFact) -> Row:
    """A row of `media`."""
    return (
        fact.id,
        fact.contact_id,
        fact.channel,
        fact.account,
        fact.kind,
        fact.state,
        fact.at,
        fact.source,
        fact.hash,
        fact.media_type,
        fact.size,
        fact.name,
        fact.reason,
    )


def media_from(row: Sequence[Any]) -> MediaFact:
    """The inverse of `media_row`."""
    return MediaFact(*row)


def cursor_row(fact: CursorFact) -> Row:
    """A row of `channel_cursors`."""
    return (fact.account, fact.channel, fact.cursor, fact.wanted, fact.token, fact.at, fact.calls)


def cursor_from(row: Sequence[Any]) -> CursorFact:
    """The inverse of `cursor_row`."""
    return CursorFact(*row)


def note_row(fact: NoteFact) -> Row:
    """A row of `notes`."""
    return (fact.assignment_id, fact.contact_id, fact.text, fact.at)


def remark_row(fact: RemarkFact) -> Row:
    """A row of `remarks`."""
    return (fact.id, fact.contact_id, fact.text, fact.at)


def visit_row(fact: VisitFact) -> Row:
    """A row of `visits`."""
    return (fact.contact_id, fact.account, fact.seen_at, fact.leaves)


def word_row(fact: CollaborationWord) -> Row:
    """A row of `collaboration_words`."""
    return (fact.id, fact.collaboration_id, fact.contact_id, fact.author, fact.kind, fact.text, fact.at)


def word_from(row: Sequence[Any]) -> CollaborationWord:
    """The inverse of `word_row`."""
    return CollaborationWord(*row)


def config_row(fact: ConfigFact) -> Row:
    """A row of `config`. Not for a fact that removes."""
    return (fact.kind, fact.name, dump(fact.body))


def config_from(row: Sequence[Any]) -> ConfigFact:
    """The inverse of `config_row`."""
    return ConfigFact(row[0], row[1], _decode(row[2]))


def key_row(fact: KeyFact) -> Row:
    """A row of `api_keys`."""
    return (
        fact.id,
        fact.hash,
        fact.name,
        dump(fact.scopes),
        fact.created_at,
        fact.revoked_at,
        fact.previous_hash,
        fact.previous_until,
        fact.requests_per_s,
    )


def key_from(row: Sequence[Any]) -> KeyFact:
    """The inverse of `key_row`."""
    return KeyFact(row[0], row[1], row[2], tuple(_decode(row[3])), *row[4:9])


def trust_row(fact: TrustFact) -> Row:
    """A row of `token_trusts`."""
    return (dump(fact.body), dump(fact.secrets))


def trust_from(row: Sequence[Any]) -> TrustFact:
    """The inverse of `trust_row`."""
    return TrustFact(_decode(row[0]), _decode(row[1]))


def audit_row(fact: AuditFact) -> Row:
    """A row of `audit`."""
    return (fact.id, fact.at, fact.by.kind, fact.by.id, fact.act, fact.name, dump(fact.more))


def audit_from(row: Sequence[Any]) -> AuditFact:
    """The inverse of `audit_row`."""
    return AuditFact(row[0], row[1], Actor(row[2], row[3]), row[4], row[5], _decode(row[6]))


def account_row(fact: AccountFact) -> Row:
    """A row of `channel_accounts`. Not for a fact that removes."""
    return (fact.name, fact.channel, dump(fact.settings), dump(fact.secrets), fact.queue, fact.enabled)


def account_from(row: Sequence[Any]) -> AccountFact:
    """The inverse of `account_row`."""
    return AccountFact(row[0], row[1], _decode(row[2]), _decode(row[3]), row[4], row[5])


def connector_row(fact: ConnectorFact) -> Row:
    """A row of `connectors`. Not for a fact that removes."""
    return (fact.name, dump(fact.body), dump(fact.secrets))


def connector_from(row: Sequence[Any]) -> ConnectorFact:
    """The inverse of `connector_row`."""
    return ConnectorFact(row[0], _decode(row[1]), _decode(row[2]))


def webhook_row(fact: WebhookFact) -> Row:
    """A row of `webhooks`. Not for a fact that removes."""
    return (fact.name, dump(fact.body), dump(fact.secrets), fact.since)


def webhook_from(row: Sequence[Any]) -> WebhookFact:
    """The inverse of `webhook_row`."""
    return WebhookFact(row[0], _decode(row[1]), _decode(row[2]), row[3])


def webhook_cursor_row(fact: WebhookCursor) -> Row:
    """A row of `webhook_cursors`. Not for a fact that removes."""
    return (fact.webhook, fact.seq, fact.failing, fact.failing_since)


def delivery_row(fact: DeliveryFact) -> Row:
    """A row of `webhook_deliveries`. Not for a fact that removes."""
    return (
        fact.webhook,
        fact.seq,
        fact.key,
        fact.state,
        fact.attempts,
        fact.since,
        fact.at,
        fact.due_at,
        fact.reason,
    )


def delivery_from(row: Sequence[Any]) -> DeliveryFact:
    """The inverse of `delivery_row`."""
    return DeliveryFact(*row)


def answer_row(answer: Answer) -> Row:
    """A row of `answers`."""
    return (answer.scope, answer.body_hash, answer.status, dump(answer.body), answer.at)


def answer_from(row: Sequence[Any]) -> Answer:
    """The inverse of `answer_row`."""
    return Answer(row[0], row[1], row[2], _decode(row[3]), row[4])
