"""What callers read: committed tables only, and never another tenant's rows.

SQLAlchemy Core over an engine of its own, so that a long read takes no connection from commits. A question costs a
fixed number of round trips, whatever the answer holds. Lists are paged by key: a cursor is the last key of the page
before.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

import asyncpg
from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    FromClause,
    ScalarSelect,
    Select,
    Table,
    Text,
    and_,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB, aggregate_order_by
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from src.dispatch.facts import (
    AccountFact,
    AuditFact,
    CollaborationWord,
    ConfigFact,
    ConnectorFact,
    ContactFact,
    IdentityFact,
    KeyFact,
    MessageFact,
    OutgoingFact,
    TrustFact,
)
from src.dispatch.remarks import PREFIX
from src.errors import Malformed, Unavailable
from src.router.entities import Row
from src.router.folds import FLAGGED_CALLBACK
from src.store import rows, tables
from src.store.connections import ANSWER_S_MAX, CLOSE_S_MAX, CONNECT_S_MAX, SETTINGS, settle

READERS_MAX: Final = 8
READER_S_MAX: Final = 10.0
"""So long a read waits for a connection."""

_PLANS: Final = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off"}
"""Plans are made for each question: filters differ, and one made while tables were empty would stay. None reads a whole
table where an index leads to the rows.
"""

_PASSING: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
"""Classes of SQLSTATE that will pass: the connection, the server, a timeout, a standby."""

_DATA: Final = "22"
"""The class that blames a value, such as a text with NUL."""


BETWEEN_MAX: Final = 200
CONVERSATION_MAX: Final = 100
"""So many contacts of one conversation are shown together."""

T = TypeVar("T")

VisitKey = tuple[str, str, str, str, str]
"""Channel and account; of an identity the type, what it is found by, and the value as the account knows it."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` None: it was the last."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ContactRead:
    """A contact, what is known of it, its current or last assignment, and its open collaborations, oldest first.

    `customer_id` is who answers for the customer that it came as, where that has been merged into another.
    """

    contact: Row
    fact: ContactFact | None
    assignment: Row | None
    collaborations: Sequence[Row] = ()
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class AgentRead:
    """An agent as configured, its routing state, and its open assignments."""

    id: str
    body: Mapping[str, Any]
    state: Row | None
    assignments: Sequence[Row]


@dataclass(frozen=True, slots=True)
class TenantRead:
    """A tenant; `jwt_secret` is sealed."""

    id: str
    name: str
    jwt_secret: str


@dataclass(frozen=True, slots=True)
class CollaborationRead:
    """A collaboration, and what was written with it, oldest first."""

    collaboration: Row
    words: Sequence[CollaborationWord]


@dataclass(frozen=True, slots=True)
class CallRead:
    """A call's contact: its state, the channel's id of it, and whom the system shows as calling.

    `dial` is where an agent is to reach the customer, None where a caller is there. `call_id` is None where there never
    was one; with `dial` or `call_back`, it is that of a call that is over. `call_back`: the customer was promised one.
    `outcome` is how a closed one ended.
    `legs` are the open assignments: id, agent, state, when an offer ends, and the agent's telephone, if it has one.
    """

    contact_id: str
    state: str
    call_id: str | None
    number: str
    legs: Sequence[tuple[str, str, str, int, str | None]]
    dial: str | None = None
    call_back: bool = False
    outcome: str | None = None


def _of(table: Table) -> list[Column[Any]]:
    """A table's columns without the tenant: the order of its rows."""
    return [each for each in table.columns if each.name != "tenant"]


def _with_remarks(table: Table, named_by: Column[Any]) -> list[ColumnElement[Any]]:
    """A table's columns without the tenant, with what was typed in the place of its id; null if that is gone."""
    remark = tables.remarks.c
    text = select(remark.text).where(remark.tenant == table.c.tenant, remark.id == named_by.collate("C"))
    typed = case((named_by.startswith(PREFIX), text.correlate(table).scalar_subquery()), else_=named_by)
    return [typed.label(each.name) if each is named_by else each for each in _of(table)]


_CONTACT, _FACT = _of(tables.contacts), _of(tables.contact_facts)
_ASSIGNMENT = _with_remarks(tables.assignments, tables.assignments.c.disposition)
_COLLABORATION = _of(tables.collaborations)
_CLOSED_COLLABORATION = _with_remarks(tables.collaborations, tables.collaborations.c.reason)
_MESSAGE = _of(tables.messages)
_Query = Select[Any] | CompoundSelect[Any]


def _rank(contacts: FromClause) -> ColumnElement[int]:
    """A contact's place in its queue, written as the index has it."""
    return contacts.c.created_at - contacts.c.priority * literal_column("1000")


def contacts_shown() -> Select[Any]:
    """Contacts as `contact_read` takes them."""
    contacts, facts, assignments = tables.contacts, tables.contact_facts, tables.assignments
    customers = tables.customers
    survivor = select(customers.c.survivor_id).where(
        customers.c.tenant == contacts.c.tenant, customers.c.id == contacts.c.customer_id
    )
    more = (survivor.correlate(contacts).scalar_subquery(), _open_collaborations())
    return select(*_CONTACT, *_FACT, *_ASSIGNMENT, *more).select_from(
        contacts.outerjoin(facts, and_(facts.c.tenant == contacts.c.tenant, facts.c.id == contacts.c.id)).outerjoin(
            assignments,
            and_(assignments.c.tenant == contacts.c.tenant, assignments.c.id == contacts.c.assignment_id),
        )
    )


def _open_collaborations() -> ScalarSelect[Any]:
    """Those of the contact, as a JSON array of rows: what stands with it costs no further round trip."""
    each = tables.collaborations.c
    values = [column.cast(Text) if isinstance(column.type, JSON) else column for column in _COLLABORATION]
    rows_ = func.json_agg(aggregate_order_by(func.json_build_array(*values), each.id))
    own = (each.tenant == tables.contacts.c.tenant, each.contact_id == tables.contacts.c.id, each.closed_at.is_(None))
    return select(rows_).where(*own).correlate(tables.contacts).scalar_subquery()


def _agents() -> Select[Any]:
    config, states = tables.config, tables.agent_states
    return (
        select(config.c.name, config.c.body, *_of(states))
        .select_from(config.outerjoin(states, and_(states.c.tenant == config.c.tenant, states.c.id == config.c.name)))
        .where(config.c.kind == "agent")
    )


def contact_read(row: Sequence[Any]) -> ContactRead:
    """A row of `contacts_shown`."""
    contact, rest = tuple(row[: len(_CONTACT)]), row[len(_CONTACT) :]
    fact, assignment = rest[: len(_FACT)], tuple(rest[len(_FACT) : -2])
    return ContactRead(
        contact,
        None if fact[0] is None else rows.contact_fact_from(fact),
        None if assignment[0] is None else assignment,
        () if row[-1] is None else tuple(tuple(each) for each in rows.load(row[-1])),
        row[-2],
    )


def _message_read(row: Sequence[Any]) -> tuple[MessageFact, OutgoingFact | None]:
    said, out = row[: len(_MESSAGE)], row[len(_MESSAGE) :]
    return rows.message_from(said), None if out[0] is None else rows.outgoing_from(out)


def _page(found: Sequence[T], limit: int, key: Callable[[T], str]) -> Page[T]:
    more = len(found) > limit
    items = found[:limit]
    return Page(items, key(items[-1]) if more else None)


class _ConnectionLostError(Exception):
    """A pooled connection turned out to be dead."""


def _was_held(assignment: Any) -> ColumnElement[bool]:  # noqa: ANN401  # the columns of a table
    return or_(assignment.accepted_at.is_not(None), assignment.ended_at.is_(None))


class Queries:
    """Reads for the public interface. Any may raise `Unavailable`, and `Malformed` for a key that cannot be one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def over(cls, url: str) -> AsyncIterator["Queries"]:
        """Reads over a database's URL, as the store takes it."""
        made: WeakSet[asyncpg.Connection] = WeakSet()

        async def connect() -> asyncpg.Connection:
            connection = await asyncpg.connect(
                url,
                timeout=CONNECT_S_MAX,
                command_timeout=ANSWER_S_MAX,
                server_settings={"application_name": "cordboard reads"},
            )
            await settle(connection, {**SETTINGS, **_PLANS})
            made.add(connection)
            return connection

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            json_deserializer=str,  # as text, as it was written: `rows.py` makes values of it
            isolation_level="AUTOCOMMIT",  # a read is one statement: no round trips to begin and to end it
            pool_size=READERS_MAX,
            max_overflow=0,
            pool_timeout=READER_S_MAX,
        )
        try:
            yield cls(engine)
        finally:
            closing = asyncio.create_task(engine.dispose())
            await asyncio.wait([closing], timeout=CLOSE_S_MAX)
            for each in made:  # of a server that is silent: it is not waited for
                each.terminate()
            await asyncio.gather(closing, return_exceptions=True)

    async def all_rows(self, query: _Query) -> Sequence[Any]:
        """Every row; a second try where the server had been started anew, because a read may be repeated."""
        try:
            return await self._fetch(query)
        except _ConnectionLostError:
            try:
                return await self._fetch(query)
            except _ConnectionLostError as error:
                raise Unavailable("the database cannot be reached") from error

    async def _fetch(self, query: _Query) -> Sequence[Any]:
        try:
            async with self._engine.connect() as connection:
                found: Sequence[Any] = (await connection.execute(query)).fetchall()
                return found
        except DBAPIError as error:
            kind = str(getattr(error.orig, "sqlstate", None) or "")[:2]
            if error.connection_invalidated:
                raise _ConnectionLostError from error
            if kind in _PASSING:
                raise Unavailable("the database cannot answer now") from error
            if kind == _DATA:
                raise Malformed("a value cannot be looked for") from error
            raise
        except (NoConnectionFree, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise Unavailable("the database cannot be reached") from error

    async def one_row(self, query: _Query) -> Any:  # noqa: ANN401 - a row or None
        """The first row, None if there is none."""
        found = await self.all_rows(query.limit(1))
        return found[0] if found else None

    # -- contacts -----------------------------------------------------------------------------------------------

    async def contact(self, tenant: str, contact_id: str) -> ContactRead | None:
        """One contact."""
        contacts = tables.contacts
        row = await self.one_row(contacts_shown().where(contacts.c.tenant == tenant, contacts.c.id == contact_id))
        return None if row is None else contact_read(row)

    async def contacts_by_id(self, tenant: str, contact_ids: Collection[str]) -> Sequence[ContactRead]:
        """These contacts, as far as they are there."""
        contacts = tables.contacts.c
        query = contacts_shown().where(contacts.tenant == tenant, contacts.id.in_(contact_ids))
        return [contact_read(row) for row in await self.all_rows(query)]

    async def contacts(
        self,
        tenant: str,
        *,
        state: str | None = None,
        queue: str | None = None,
        channel: str | None = None,
        customer_id: str | None = None,
        agent_id: str | None = None,
        tag: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[ContactRead]:
        """Contacts, newest first; a filter that is None lets all pass. `agent_id`: who was ever offered them."""
        contacts, held = tables.contacts.c, tables.assignments.c
        equal = {contacts.state: state, contacts.queue: queue, contacts.channel: channel}
        query = contacts_shown().where(contacts.tenant == tenant)
        if customer_id is not None:
            query = query.where(contacts.customer_id.in_(await self.family(tenant, customer_id)))
        query = query.where(*(column == value for column, value in equal.items() if value is not None))
        if state is not None and state != "closed":
            query = query.where(contacts.closed_at.is_(None))
        if tag is not None:
            query = query.where(contacts.tags.cast(JSONB).contains([tag]))
        if agent_id is not None:
            own = (held.tenant == tenant, held.agent_id == agent_id, held.contact_id == contacts.id, _was_held(held))
            query = query.where(exists(select(held.id).where(*own).correlate(tables.contacts)))
        if cursor is not None:
            query = query.where(contacts.id < cursor)
        found = await self.all_rows(query.order_by(contacts.id.desc()).limit(limit + 1))
        return _page([contact_read(each) for each in found], limit, lambda each: str(each.contact[0]))

    async def was_held_by(self, tenant: str, contact_id: str, agent_id: str) -> bool:
        """Whether the contact is offered to the agent now, or is or was in its hands: not a mere offer of once."""
        each = tables.assignments.c
        query = select(each.id).where(
            each.tenant == tenant, each.agent_id == agent_id, each.contact_id == contact_id, _was_held(each)
        )
        return await self.one_row(query) is not None

    async def position(self, tenant: str, contact_id: str) -> int | None:
        """Smaller ranks that wait in the same queue, plus one; None unless waiting."""
        this, other = tables.contacts.alias("this"), tables.contacts.alias("other")
        smaller = select(func.count()).where(
            other.c.tenant == this.c.tenant,
            other.c.queue == this.c.queue,
            other.c.closed_at.is_(None),
            other.c.state == "waiting",
            tuple_(_rank(other), other.c.id) < tuple_(_rank(this), this.c.id),
        )
        query = select(smaller.correlate(this).scalar_subquery())
        row = await self.one_row(
            query.where(this.c.tenant == tenant, this.c.id == contact_id, this.c.state == "waiting")
        )
        return None if row is None else int(row[0]) + 1

    async def conversation(self, tenant: str, contact_id: str) -> Sequence[str]:
        """The contacts of the conversation that began with this one, the newest `CONVERSATION_MAX`."""
        fact = tables.contact_facts.c
        query = select(fact.id).where(fact.tenant == tenant, fact.conversation_id == contact_id)
        found = await self.all_rows(query.order_by(fact.id.desc()).limit(CONVERSATION_MAX - 1))
        return [contact_id, *(row[0] for row in found)]

    async def messages(
        self, tenant: str, contact_ids: Sequence[str], *, limit: int, cursor: str | None
    ) -> Page[tuple[MessageFact, OutgoingFact | None]]:
        """What was said in these contacts, oldest first; with what became of the messages that go out."""
        each, out = tables.messages, tables.outgoing
        joined = each.outerjoin(out, and_(out.c.tenant == each.c.tenant, out.c.message_id == each.c.id))
        query = select(*_MESSAGE, *_of(out)).select_from(joined)
        query = query.where(each.c.tenant == tenant, each.c.contact_id.in_(contact_ids))
        if cursor is not None:
            query = query.where(each.c.id > cursor)
        found = await self.all_rows(query.order_by(each.c.id).limit(limit + 1))
        return _page([_message_read(row) for row in found], limit, lambda read: read[0].id)

    async def between(
        self, tenant: str, channel: str, account: str, customer_id: str, since: int
    ) -> Sequence[tuple[MessageFact, OutgoingFact | None]]:
        """What was said on an account by and to a customer since a time, oldest first; the newest `BETWEEN_MAX`."""
        each, out, contact = tables.messages, tables.outgoing, tables.contacts.c
        joined = each.outerjoin(out, and_(out.c.tenant == each.c.tenant, out.c.message_id == each.c.id))
        theirs = select(contact.id).where(contact.tenant == tenant, contact.customer_id == customer_id)
        query = select(*_MESSAGE, *_of(out)).select_from(joined)
        query = query.where(
            each.c.tenant == tenant,
            each.c.contact_id.in_(theirs),
            each.c.channel == channel,
            each.c.account == account,
            each.c.at >= since,
        )
        found = await self.all_rows(query.order_by(each.c.seq.desc(), each.c.id.desc()).limit(BETWEEN_MAX))
        return [_message_read(row) for row in reversed(found)]

    async def visit(self, tenant: str, who: VisitKey, limit: int) -> Sequence[ContactRead]:
        """The contacts that one identity opened on one account, newest first."""
        contacts, facts, known = tables.contacts.c, tables.contact_facts.c, tables.identities.c
        channel, account, kind, key, value = who
        customer_id = select(known.customer_id).where(
            known.tenant == tenant, known.type == kind, known.value == key, known.strong
        )
        query = contacts_shown().where(
            contacts.tenant == tenant,
            contacts.customer_id == customer_id.scalar_subquery(),
            facts.channel == channel,
            facts.account == account,
            facts.identity_type == kind,
            facts.identity_value == value,
        )
        found = await self.all_rows(query.order_by(contacts.id.desc()).limit(limit))
        return [contact_read(each) for each in found]

    async def said(
        self, tenant: str, contact_ids: Sequence[str], after: int | None, limit: int
    ) -> Sequence[MessageFact]:
        """What was said in these contacts after a number, in order; with None the newest. One more than `limit`."""
        each = tables.messages
        query = select(*_of(each)).where(each.c.tenant == tenant, each.c.contact_id.in_(contact_ids))
        if after is None:
            query = query.order_by(each.c.seq.desc(), each.c.id.desc())
        else:
            query = query.where(each.c.seq > after).order_by(each.c.seq, each.c.id)
        found = [rows.message_from(row) for row in await self.all_rows(query.limit(limit + 1))]
        return found if after is not None else found[::-1]

    async def writers(self, tenant: str, message_ids: Collection[str]) -> Mapping[str, str]:
        """By message that went out, the name of the agent who wrote it; without those that no agent wrote."""
        sent, config = tables.outgoing.c, tables.config.c
        agent = and_(config.tenant == sent.tenant, config.kind == "agent", config.name == sent.agent_id)
        query = (
            select(sent.message_id, config.name, config.body)
            .select_from(tables.outgoing.join(tables.config, agent))
            .where(sent.tenant == tenant, sent.message_id.in_(message_ids))
        )
        return {row[0]: str(rows.load(row[2]).get("name") or row[1]) for row in await self.all_rows(query)}

    async def rated(self, tenant: str, contact_id: str) -> int | None:
        """How satisfied the customer was with a contact, 1 to 5; None: nobody has said."""
        each = tables.ratings.c
        row = await self.one_row(select(each.score).where(each.tenant == tenant, each.contact_id == contact_id))
        return None if row is None else int(row[0])

    async def surveyed(self, tenant: str, contact_id: str) -> bool | None:
        """Whether the customer of a contact is asked how it was; None: that is not decided."""
        each = tables.surveys.c
        row = await self.one_row(select(each.withheld).where(each.tenant == tenant, each.contact_id == contact_id))
        return None if row is None else row[0] is None

    async def undelivered(
        self, tenant: str, contact_ids: Sequence[str], until: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        """Messages that went out in these contacts up to a number and are not known to have arrived: contact and id."""
        said, out = tables.messages.c, tables.outgoing.c
        query = (
            select(said.contact_id, said.id)
            .select_from(tables.messages)
            .join(tables.outgoing, and_(out.tenant == said.tenant, out.message_id == said.id))
            .where(
                said.tenant == tenant,
                said.contact_id.in_(contact_ids),
                said.sender != "customer",
                said.seq <= until,
                out.state.in_(("queued", "sent")),
            )
        )
        return [(row[0], row[1]) for row in await self.all_rows(query.order_by(said.seq).limit(limit))]

    async def unanswered(
        self, tenant: str, channel: str, account: str, heard: tuple[int, int], flag: str, limit: int
    ) -> Sequence[str]:
        """Open contacts of an account whose customer wrote last between two times, and has had no answer since.

        Those that bear a flag already are left out. What a customer did (an event) is no word of theirs.
        """
        from_, until = heard
        contact, said, out = tables.contacts.c, tables.messages.c, tables.outgoing.c
        theirs = select(func.max(said.at)).where(
            said.tenant == contact.tenant,
            said.contact_id == contact.id,
            said.sender == "customer",
            said.kind != "event",
        )
        last = theirs.correlate(tables.contacts).scalar_subquery()
        answer = select(out.message_id).where(
            out.tenant == contact.tenant,
            out.contact_id == contact.id,
            out.queued_at >= last,
            out.state != "failed",
        )
        query = select(contact.id).where(
            contact.tenant == tenant,
            contact.closed_at.is_(None),
            contact.state != "wrap_up",
            contact.channel == channel,
            contact.account == account,
            contact.created_at <= until,
            last.between(from_, until),
            not_(exists(answer.correlate(tables.contacts))),
            not_(contact.flags.cast(JSONB).has_key(flag)),  # PostgreSQL's operator, not Python 2
        )
        return [row[0] for row in await self.all_rows(query.limit(limit))]

    async def silent(self, tenant: str, channel: str, account: str, since: int, limit: int) -> Sequence[str]:
        """Active contacts of an account in which nothing was said or done since a time.

        They are found by what agents hold, which is bounded by what agents can hold; what waits is not looked at.
        """
        held, contact, said = tables.assignments.c, tables.contacts.c, tables.messages.c
        fact = tables.contact_facts.c
        spoken = select(said.id).where(said.tenant == contact.tenant, said.contact_id == contact.id, said.at > since)
        query = (
            select(contact.id)
            .select_from(tables.assignments)
            .join(tables.contacts, and_(contact.tenant == held.tenant, contact.id == held.contact_id))
            .join(tables.contact_facts, and_(fact.tenant == contact.tenant, fact.id == contact.id))
            .where(
                held.tenant == tenant,
                held.ended_at.is_(None),
                held.state == "active",
                held.channel == channel,
                contact.account == account,
                contact.state == "active",
                contact.updated_at <= since,
                not_(exists(spoken.correlate(tables.contacts))),
                fact.attributes.cast(JSONB)["left_message"].is_(None),
            )
        )
        return [row[0] for row in await self.all_rows(query.limit(limit))]

    async def calls(
        self,
        tenant: str,
        channel: str,
        account: str,
        contact_ids: Collection[str] | None = None,
        call_ids: Collection[str] | None = None,
    ) -> Sequence[CallRead]:
        """The calls of an account: those of these contacts, or of these ids of the channel's, whatever their state.

        Where neither is given, all that are open, without contacts of callers that were parked: that their call is gone
        says nothing of them.
        """
        contact, fact, held = tables.contacts.c, tables.contact_facts.c, tables.assignments.c
        config = tables.config.c
        call_back = contact.flags.cast(JSONB).has_key(FLAGGED_CALLBACK)
        query = (
            select(contact.id, contact.state, fact.external_id, fact.identity_type, fact.identity_value, call_back)
            .add_columns(contact.outcome)
            .add_columns(held.id, held.agent_id, held.state, held.expires_at, config.body)
            .select_from(tables.contacts)
            .join(tables.contact_facts, and_(fact.tenant == contact.tenant, fact.id == contact.id))
            .outerjoin(
                tables.assignments,
                and_(
                    held.tenant == contact.tenant,
                    held.contact_id == contact.id,
                    held.ended_at.is_(None),
                    held.state != "wrap_up",
                ),
            )
            .outerjoin(
                tables.config,
                and_(config.tenant == held.tenant, config.kind == "agent", config.name == held.agent_id),
            )
            .where(
                contact.tenant == tenant,
                contact.channel == channel,
                contact.account == account,
                or_(fact.external_id.is_not(None), fact.outbound),
                contact.id.in_(contact_ids)
                if contact_ids is not None
                else and_(fact.channel == channel, fact.account == account, fact.external_id.in_(call_ids))
                if call_ids is not None
                else and_(
                    contact.closed_at.is_(None),
                    or_(contact.owner_id.is_(None), fact.outbound, call_back),
                ),
            )
        )
        found: dict[str, CallRead] = {}
        legs: defaultdict[str, list[tuple[str, str, str, int, str | None]]] = defaultdict(list)
        for contact_id, state, call_id, kind, number, back, outcome, *leg, body in await self.all_rows(
            query.order_by(contact.id, held.id)
        ):
            dial = number if (call_id is None or back) and kind == "phone" else None
            found[contact_id] = CallRead(
                contact_id, state, call_id, number or "", legs[contact_id], dial, back, outcome
            )
            if leg[0] is not None:
                phone = None if body is None else rows.load(body).get("phone")
                legs[contact_id].append((leg[0], leg[1], leg[2], leg[3], phone))
        return list(found.values())

    async def traces(self, tenant: str, contact_id: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Every decision about a contact, oldest first: the event's number, and the trace."""
        each = tables.traces
        query = select(each.c.seq, each.c.trace).where(each.c.tenant == tenant, each.c.contact_id == contact_id)
        return [(row[0], rows.load(row[1])) for row in await self.all_rows(query.order_by(each.c.seq))]

    # -- collaborations -----------------------------------------------------------------------------------------

    async def collaboration(self, tenant: str, collaboration_id: str) -> CollaborationRead | None:
        """One collaboration, open or closed, with its words."""
        each, said = tables.collaborations.c, tables.collaboration_words.c
        row = await self.one_row(
            select(*_CLOSED_COLLABORATION).where(each.tenant == tenant, each.id == collaboration_id)
        )
        if row is None:
            return None
        own = select(*_of(tables.collaboration_words)).where(
            said.tenant == tenant, said.collaboration_id == collaboration_id
        )
        return CollaborationRead(
            tuple(row), [rows.word_from(word) for word in await self.all_rows(own.order_by(said.id))]
        )

    async def collaborations(
        self,
        tenant: str,
        *,
        contact_id: str | None = None,
        agent_id: str | None = None,
        state: str | None = None,
        department: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Row]:
        """Collaborations, newest first; a filter that is None lets all pass. `agent_id`: who is asked, or helps.

        `state` is `requested`, `accepted`, `closed`, or `open` for the first two.
        """
        each = tables.collaborations.c
        equal = {each.contact_id: contact_id, each.agent_id: agent_id, each.department: department}
        equal[each.state] = None if state == "open" else state
        query = select(*_CLOSED_COLLABORATION).where(each.tenant == tenant)
        query = query.where(*(column == value for column, value in equal.items() if value is not None))
        if state is not None:
            query = query.where(each.closed_at.is_not(None) if state == "closed" else each.closed_at.is_(None))
        if cursor is not None:
            query = query.where(each.id < cursor)
        found = await self.all_rows(query.order_by(each.id.desc()).limit(limit + 1))
        return _page([tuple(row) for row in found], limit, lambda row: str(row[0]))

    async def helps_with(self, tenant: str, contact_id: str, agent_id: str) -> bool:
        """Whether the agent is asked for help with the contact now, or helps or helped with it.

        Or a department does that escalates to the agent, while it is asked or from when it has accepted on.
        """
        each, config = tables.collaborations.c, tables.config.c
        told = exists(
            select(config.name).where(
                config.tenant == tenant,
                config.kind == "department",
                config.name == each.department,
                config.body.cast(JSONB)["escalate_to"].astext == agent_id,
            )
        )
        query = select(each.id).where(
            each.tenant == tenant,
            each.contact_id == contact_id,
            or_(each.agent_id == agent_id, told),
            or_(each.accepted_at.is_not(None), each.closed_at.is_(None)),
        )
        return await self.one_row(query) is not None

    # -- agents -------------------------------------------------------------------------------------------------

    async def agents(self, tenant: str, *, limit: int, cursor: str | None) -> Page[AgentRead]:
        """Agents by id."""
        config = tables.config.c
        query = _agents().where(config.tenant == tenant)
        if cursor is not None:
            query = query.where(config.name > cursor)
        found = await self.all_rows(query.order_by(config.name).limit(limit + 1))
        return _page(await self._with_assignments(tenant, found), limit, lambda agent: agent.id)

    async def agent(self, tenant: str, agent_id: str) -> AgentRead | None:
        """One agent."""
        row = await self.one_row(_agents().where(tables.config.c.tenant == tenant, tables.config.c.name == agent_id))
        return None if row is None else (await self._with_assignments(tenant, [row]))[0]

    async def _with_assignments(self, tenant: str, found: Sequence[Any]) -> list[AgentRead]:
        each = tables.assignments
        held: dict[str, list[Row]] = defaultdict(list)
        if found:
            query = select(*_ASSIGNMENT).where(
                each.c.tenant == tenant, each.c.agent_id.in_([row[0] for row in found]), each.c.ended_at.is_(None)
            )
            for row in await self.all_rows(query.order_by(each.c.id)):
                held[row.agent_id].append(tuple(row))
        return [
            AgentRead(row[0], rows.load(row[1]), None if row[2] is None else tuple(row[2:]), held[row[0]])
            for row in found
        ]

    async def assignments(self, tenant: str, agent_id: str, state: str | None = None) -> Sequence[Row]:
        """An agent's open assignments, oldest first; only those in a state, if asked."""
        each = tables.assignments
        query = select(*_ASSIGNMENT).where(
            each.c.tenant == tenant, each.c.agent_id == agent_id, each.c.ended_at.is_(None)
        )
        if state is not None:
            query = query.where(each.c.state == state)
        return [tuple(row) for row in await self.all_rows(query.order_by(each.c.id))]

    async def assignment(self, tenant: str, assignment_id: str) -> Row | None:
        """One assignment, open or ended."""
        each = tables.assignments
        row = await self.one_row(select(*_ASSIGNMENT).where(each.c.tenant == tenant, each.c.id == assignment_id))
        return None if row is None else tuple(row)

    # -- customers ----------------------------------------------------------------------------------------------

    async def family(self, tenant: str, customer_id: str) -> list[str]:
        """The ids of the customer and of all that it has been merged with; the survivor's first."""
        each = tables.customers.c
        own = select(each.survivor_id).where(each.tenant == tenant, each.id == customer_id)
        query = select(each.id).where(each.tenant == tenant, each.survivor_id == own.scalar_subquery())
        found = [row[0] for row in await self.all_rows(query.order_by(each.id != each.survivor_id, each.id))]
        return found or [customer_id]

    async def addresses(self, tenant: str, customer_ids: Sequence[str]) -> Sequence[IdentityFact]:
        """The identities of these customers, oldest first."""
        each = tables.identities.c
        own = select(*_of(tables.identities)).where(each.tenant == tenant, each.customer_id.in_(customer_ids))
        return [rows.identity_from(row) for row in await self.all_rows(own.order_by(each.created_at))]

    # -- configuration ------------------------------------------------------------------------------------------

    async def config(self, tenant: str, kind: str) -> Sequence[ConfigFact]:
        """All of a kind, by name."""
        each = tables.config
        query = select(*_of(each)).where(each.c.tenant == tenant, each.c.kind == kind).order_by(each.c.name)
        return [rows.config_from(row) for row in await self.all_rows(query)]

    async def config_one(self, tenant: str, kind: str, name: str) -> Mapping[str, Any] | None:
        """The body of one."""
        each = tables.config
        query = select(*_of(each)).where(each.c.tenant == tenant, each.c.kind == kind, each.c.name == name)
        row = await self.one_row(query)
        return None if row is None else rows.config_from(row).body

    async def keys(self, tenant: str) -> Sequence[KeyFact]:
        """All API keys, oldest first."""
        each = tables.api_keys
        found = await self.all_rows(select(*_of(each)).where(each.c.tenant == tenant).order_by(each.c.id))
        return [rows.key_from(row) for row in found]

    async def key_by_hash(self, hashed: str) -> tuple[str, KeyFact] | None:
        """The tenant of an API key, and the key; also of the hash that it had before it was rotated."""
        each = tables.api_keys
        either = or_(each.c.hash == hashed, each.c.previous_hash == hashed)
        row = await self.one_row(select(each.c.tenant, *_of(each)).where(either))
        return None if row is None else (row[0], rows.key_from(row[1:]))

    async def token_trust(self, tenant: str) -> TrustFact | None:
        """Whose agent tokens a tenant takes; None: those that this service mints."""
        each = tables.token_trusts
        row = await self.one_row(select(*_of(each)).where(each.c.tenant == tenant))
        return None if row is None else rows.trust_from(row)

    async def audit(self, tenant: str, *, limit: int, cursor: str | None = None) -> Page[AuditFact]:
        """The audit trail, newest first."""
        each = tables.audit
        query = select(*_of(each)).where(each.c.tenant == tenant)
        if cursor is not None:
            query = query.where(each.c.id < cursor)
        found = await self.all_rows(query.order_by(each.c.id.desc()).limit(limit + 1))
        return _page([rows.audit_from(row) for row in found], limit, lambda line: line.id)

    async def accounts(self, tenant: str) -> Sequence[AccountFact]:
        """All channel accounts, by name."""
        each = tables.channel_accounts
        found = await self.all_rows(select(*_of(each)).where(each.c.tenant == tenant).order_by(each.c.name))
        return [rows.account_from(row) for row in found]

    async def accounts_of(self, channel: str) -> Sequence[tuple[str, AccountFact]]:
        """Every tenant's accounts of a channel that are in use, each with its tenant."""
        each = tables.channel_accounts
        found = await self.all_rows(select(*each.columns).where(each.c.channel == channel, each.c.enabled))
        return [(row[0], rows.account_from(row[1:])) for row in found]

    async def account(self, name: str) -> tuple[str, AccountFact] | None:
        """The tenant of a channel account, and the account."""
        each = tables.channel_accounts
        row = await self.one_row(select(each.c.tenant, *_of(each)).where(each.c.name == name))
        return None if row is None else (row[0], rows.account_from(row[1:]))

    async def connectors(self, tenant: str) -> Sequence[ConnectorFact]:
        """A tenant's connectors, by name."""
        each = tables.connectors
        found = await self.all_rows(select(*_of(each)).where(each.c.tenant == tenant).order_by(each.c.name))
        return [rows.connector_from(row) for row in found]

    async def all_connectors(self) -> Sequence[tuple[str, ConnectorFact]]:
        """Every tenant's connectors, each with its tenant."""
        found = await self.all_rows(select(*tables.connectors.columns).order_by(*tables.connectors.primary_key.columns))
        return [(row[0], rows.connector_from(row[1:])) for row in found]

    # -- tenants ------------------------------------------------------------------------------------------------

    async def tenant(self, tenant: str) -> TenantRead | None:
        """One tenant by id."""
        return await self._tenant(tables.tenants.c.id, tenant)

    async def tenant_by_name(self, name: str) -> TenantRead | None:
        """One tenant by name."""
        return await self._tenant(tables.tenants.c.name, name)

    async def _tenant(self, column: Column[str], value: str) -> TenantRead | None:
        each = tables.tenants
        row = await self.one_row(select(each.c.id, each.c.name, each.c.jwt_secret).where(column == value))
        return None if row is None else TenantRead(*row)

    async def tenant_ids(self) -> Sequence[str]:
        """Every tenant of the service."""
        return [row[0] for row in await self.all_rows(select(tables.tenants.c.id).order_by(tables.tenants.c.id))]
