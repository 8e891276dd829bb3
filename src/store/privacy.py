"""Where a person stands in the tables: what is exported of one, and taken away where it is erased.

Journal and folded tables hold ids and codes, and stay: so counts stay true. Everything else that is about a contact
goes with it, in steps that no commit waits for.
"""

# ruff: noqa: S608 - made of the names in the schema alone: values are parameters

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import JSON, ColumnElement, Table, or_, select

from src.dispatch.facts import ErasureFact
from src.store import contents, rows, tables
from src.store.connections import CONNECT_S_MAX, SETTINGS, settle, translated
from src.store.queries import Queries

CONTACTS_A_STEP: Final = 200
"""So many contacts of a customer are erased, or read, at a time."""

ERASURES_A_ROUND: Final = 20
EVENTS_A_STEP: Final = 20_000
"""So many numbers of the journal are looked through at a time for those that name a customer."""

BY_CONTACT: Final[Mapping[Table, str]] = {
    tables.contact_facts: "id",
    tables.messages: "contact_id",
    tables.media: "contact_id",
    tables.notes: "contact_id",
    tables.remarks: "contact_id",
    tables.traces: "contact_id",
}
"""What is about a contact and goes with its customer: the column that names the contact."""

ONLY_WORDS: Final[Mapping[Table, str]] = {tables.ratings: "comment", tables.reviews: "note"}
"""What is counted, and loses only what somebody wrote. `contact_id` names the contact."""

CODES: Final = (tables.contacts, tables.collaborations)
"""The fold: exported, and kept, because it holds ids and codes."""

BY_CUSTOMER: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.customers: ("id",),
    tables.identities: ("customer_id",),
    tables.customer_conflicts: ("customer_id", "other_id"),
}
"""What is about a customer and goes with it."""

BY_OTHERS: Final = (tables.outgoing, tables.collaboration_words, tables.media_contents)
"""What goes with a message, with a collaboration, or with the last file that names it."""

PENDING: Final = "SELECT tenant, customer_id FROM erasures WHERE done_at IS NULL ORDER BY at LIMIT $1"

CONTACTS: Final = """\
SELECT id FROM contacts WHERE tenant = $1 AND customer_id = $2 AND id > $3 ORDER BY customer_id, id LIMIT $4"""

_DONE: Final = """\
UPDATE erasures SET done_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
WHERE tenant = $1 AND customer_id = $2"""

STEP: Final = (
    contents.UNNAMED,
    """\
DELETE FROM collaboration_words WHERE tenant = $1 AND collaboration_id IN (
  SELECT id FROM collaborations WHERE tenant = $1 AND contact_id = ANY ($2::text[]))""",
    """\
DELETE FROM outgoing WHERE tenant = $1 AND message_id IN (
  SELECT id FROM messages WHERE tenant = $1 AND contact_id = ANY ($2::text[]))""",
    *(
        f"DELETE FROM {table.name} WHERE tenant = $1 AND {column} = ANY ($2::text[])"
        for table, column in BY_CONTACT.items()
    ),
    *(
        f"UPDATE {table.name} SET {column} = NULL WHERE tenant = $1 AND contact_id = ANY ($2::text[])"
        for table, column in ONLY_WORDS.items()
    ),
)


async def carry_out(url: str) -> int:
    """Take away what there still is of customers who were erased, and files that nothing names; how many are done.

    Each step is a transaction of its own, and what was broken off is begun again. Several processes may do it at once.
    """
    async with translated():
        connection = await asyncpg.connect(url, timeout=CONNECT_S_MAX, command_timeout=60)
        try:
            await settle(connection, SETTINGS)
            pending = await connection.fetch(PENDING, ERASURES_A_ROUND)
            for tenant, customer_id in pending:
                await _erase(connection, tenant, customer_id)
            await contents.sweep(connection)
        finally:
            await connection.close(timeout=CONNECT_S_MAX)
    return len(pending)


async def _erase(connection: asyncpg.Connection, tenant: str, customer_id: str) -> None:
    last = ""
    while True:
        found = [row[0] for row in await connection.fetch(CONTACTS, tenant, customer_id, last, CONTACTS_A_STEP)]
        if not found:
            break
        async with connection.transaction():
            for statement in STEP:
                await connection.execute(statement, tenant, found)
        last = found[-1]
    await contents.sweep(connection)
    async with connection.transaction():
        for table, columns in BY_CUSTOMER.items():
            for column in columns:
                await connection.execute(
                    f"DELETE FROM {table.name} WHERE tenant = $1 AND {column} = $2", tenant, customer_id
                )
        await connection.execute(_DONE, tenant, customer_id)


def _steps(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), CONTACTS_A_STEP):
        yield ids[start : start + CONTACTS_A_STEP]


class PersonQueries:
    """Reads of everything that is stored of a customer. Any may raise `Unavailable`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def erasure(self, tenant: str, customer_id: str) -> ErasureFact | None:
        """When a customer was erased; None: it was not."""
        each = tables.erasures.c
        row = await self._queries.one_row(select(each.at).where(each.tenant == tenant, each.customer_id == customer_id))
        return None if row is None else ErasureFact(customer_id, row[0])

    async def everything(self, tenant: str, members: Sequence[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """All rows about a family of customers, each with its table's name; then the events that name them.

        Rows are by the names of their columns; times are milliseconds since the epoch, bytes are in base64. It is read
        page by page, files one by one.
        """
        held: set[str] = set()
        for table, columns in BY_CUSTOMER.items():
            which = or_(*(table.c[column].in_(members) for column in columns))
            async for each in self._rows(table, tenant, which):
                yield each
        for member in members:
            last = ""
            while found := await self._contacts(tenant, member, last):
                async for each in self._of_contacts(tenant, found):
                    yield each
                    if each[0] == str(tables.assignments.name):
                        held.add(each[1]["id"])
                last = found[-1]
        async for each in self._events(tenant, members, held):
            yield each

    async def _contacts(self, tenant: str, customer_id: str, after: str) -> list[str]:
        each = tables.contacts.c
        query = select(each.id).where(each.tenant == tenant, each.customer_id == customer_id, each.id > after)
        found = await self._queries.all_rows(query.order_by(each.customer_id, each.id).limit(CONTACTS_A_STEP))
        return [row[0] for row in found]

    async def _of_contacts(self, tenant: str, ids: Sequence[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        contact, help_, message = tables.contacts.c, tables.collaborations.c, tables.messages.c
        held = select(contact.assignment_id).where(contact.tenant == tenant, contact.id.in_(ids))
        helps = select(help_.id).where(help_.tenant == tenant, help_.contact_id.in_(ids))
        said = select(message.id).where(message.tenant == tenant, message.contact_id.in_(ids))
        which: list[tuple[Table, ColumnElement[bool]]] = [
            (tables.contacts, contact.id.in_(ids)),
            (tables.assignments, tables.assignments.c.id.in_(held)),
            (tables.collaborations, help_.contact_id.in_(ids)),
            (tables.collaboration_words, tables.collaboration_words.c.collaboration_id.in_(helps)),
            (tables.outgoing, tables.outgoing.c.message_id.in_(said)),
            *((table, table.c[column].in_(ids)) for table, column in BY_CONTACT.items()),
            *((table, table.c.contact_id.in_(ids)) for table in ONLY_WORDS),
        ]
        for table, condition in which:
            async for each in self._rows(table, tenant, condition):
                yield each
        file, body = tables.media.c, tables.media_contents.c
        named = select(file.hash).distinct().where(file.tenant == tenant, file.contact_id.in_(ids))
        for (hashed,) in await self._queries.all_rows(named.where(file.hash.is_not(None))):
            content = select(body.body).where(body.tenant == tenant, body.hash == hashed)
            row = await self._queries.one_row(content)
            if row is not None:
                yield "media_contents", {"hash": hashed, "body": b64encode(row[0]).decode()}

    async def _rows(
        self, table: Table, tenant: str, which: ColumnElement[bool]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        columns = [each for each in table.columns if each.name != "tenant"]
        parsed = {str(each.name) for each in columns if isinstance(each.type, JSON)}
        query = select(*columns).where(table.c.tenant == tenant, which).order_by(*table.primary_key.columns)
        for row in await self._queries.all_rows(query):
            named = dict(zip((str(each.name) for each in columns), row, strict=True))
            yield (
                str(table.name),
                {name: rows.load(value) if name in parsed else value for name, value in named.items()},
            )

    async def _events(
        self, tenant: str, members: Sequence[str], told: set[str]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """The events, and the assignments that they speak of and that are not yet `told`."""
        each, head, contact = tables.journal.c, tables.tenant_heads.c, tables.contacts.c
        theirs = select(contact.id).where(contact.tenant == tenant, contact.customer_id.in_(members))
        row = await self._queries.one_row(select(head.seq).where(head.tenant == tenant))
        columns = [column for column in tables.journal.columns if column.name != "tenant"]
        for after in range(0, 0 if row is None else row[0], EVENTS_A_STEP):
            query = select(*columns).where(
                each.tenant == tenant,
                each.seq > after,
                each.seq <= after + EVENTS_A_STEP,
                or_(each.customer_id.in_(members), each.contact_id.in_(theirs)),
            )
            events = [rows.event_from(found) for found in await self._queries.all_rows(query.order_by(each.seq))]
            spoken = {event.data["assignment_id"] for event in events if event.data.get("assignment_id")} - told
            told |= spoken
            for some in _steps(sorted(spoken)):
                async for held in self._rows(tables.assignments, tenant, tables.assignments.c.id.in_(some)):
                    yield held
            for event in events:
                value = {
                    "seq": event.seq,
                    "type": event.type,
                    "at": event.at,
                    "contact_id": event.contact_id,
                    "agent_id": event.agent_id,
                    "customer_id": event.customer_id,
                    "data": event.data,
                }
                yield "events", value
