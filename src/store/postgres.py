"""The store on PostgreSQL, with asyncpg and nothing between: what the dispatch room reads and writes.

A commit is one statement and one round trip; so is a lookup. Reads for callers are in `queries.py`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import Table

from src.dispatch.clock import new_id
from src.dispatch.facts import CursorFact, DeliveryFact, KeyFact, MediaFact, WebhookCursor, WebhookFact
from src.dispatch.known import Known, Wanted
from src.dispatch.ports import Batch, Checkpoint, Head, Loaded, Outgoing, Process, Survey
from src.errors import Conflict, Fenced, NotFound, StoreError
from src.router.entities import Row
from src.router.journal import Event
from src.store import rows, statements, tables
from src.store.callbook import CallBook
from src.store.connections import ACQUIRE_S_MAX, close_pool, open_pool, translated
from src.store.contents import Contents
from src.store.reading import put
from src.store.seal import Sealer
from src.store.tokens import Tokens
from src.store.visits import Visits
from src.store.writes import sectioned

CONNECTIONS_MAX: Final = 8
YOUNG_EVENTS: Final = 4**10
YOUNG_ROWS: Final = 100_000
"""While a journal is shorter than this, tables of so few rows are counted whenever it is four times as long."""

FORGET_ANSWERS: Final = 1_000
"""So many stored answers are removed at a time."""

BURIED_AFTER_S: Final = 3600.0
"""Rows of processes that died are kept for so long, for whoever looks what happened."""

LOAD_PAGE_ROWS: Final = 500
"""So many rows are taken over at a time, that others get their turn in between."""


_CUSTOMERS: Final = frozenset({"identities", "contacts", "customers"})
"""What leads to customers."""


class PostgresStore:
    """`Store` and `Leases` over a small pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, connections_max: int = CONNECTIONS_MAX) -> Self:
        """Connect, and check the server. The schema must be there (`migrate.upgrade`).

        Raises:
            StartupError: with one line for the operator.
        """
        return cls(await open_pool(url, connections_max=connections_max))

    def contents(self) -> Contents:
        """What is in media, over the same connections."""
        return Contents(self._pool)

    def call_book(self, announce: Callable[[str, str], None] | None = None) -> CallBook:
        """Calls of telephone systems without a connection, over the same connections."""
        return CallBook(self._pool, announce)

    def visits(self) -> Visits:
        """Who chats on websites, and was when seen there, over the same connections."""
        return Visits(self._pool)

    def tokens(self, sealer: Sealer, monotonic: Callable[[], float]) -> Tokens:
        """The access tokens of channel accounts, over the same connections."""
        return Tokens(self._pool, sealer, monotonic)

    async def close(self) -> None:
        """Wait for what is under way, as far as that takes no more than a moment, and disconnect."""
        await close_pool(self._pool)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            yield connection

    # -- tenants ------------------------------------------------------------------------------------------------

    async def create_tenant(self, name: str, jwt_secret: str, key: KeyFact | None = None) -> str:
        """Make a tenant with an empty journal, and return its id. `jwt_secret` is kept as it is given: sealed.

        `key` is its first API key: there is no loop yet that it could pass.

        Raises:
            Conflict: there is one of that name.
        """
        tenant = new_id()
        width = len(statements.FIRST_KEY)
        first = (None,) * width if key is None else rows.key_row(key)[:width]
        async with self._connection() as connection:
            made = await connection.fetchval(statements.TENANT, tenant, name, jwt_secret, *first)
        if made is None:
            raise Conflict(f"there is a tenant {name} already")
        return tenant

    # -- the store ----------------------------------------------------------------------------------------------

    async def head(self, tenant: str) -> Head:
        """The head row as committed. Raises `NotFound` for a tenant that is not there."""
        async with self._connection() as connection:
            return await _head(connection, tenant)

    async def load(self, tenant: str) -> Loaded:
        """Everything an engine is made of, as of one moment."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            head = await _head(connection, tenant)
            return Loaded(
                head=head,
                contacts=await self._rows(connection, tables.contacts, tenant),
                assignments=await self._rows(connection, tables.assignments, tenant),
                agents=await self._rows(connection, tables.agent_states, tenant),
                config=[rows.config_from(each) for each in await self._rows(connection, tables.config, tenant)],
                collaborations=await self._rows(connection, tables.collaborations, tenant),
            )

    async def _rows(self, connection: asyncpg.Connection, table: Table, tenant: str) -> list[Row]:
        """All rows that an engine needs of a table, page by page.

        Texts that come again and again (states, queues, tags) are kept once: a million contacts take half the memory.
        """
        repeating = statements.repeating(table)
        found: list[Row] = []
        kept: dict[str | None, str | None] = {}
        cursor = await connection.cursor(statements.loading(table), tenant)
        while page := await cursor.fetch(LOAD_PAGE_ROWS):
            for record in page:
                row = list(record)
                for place in repeating:
                    row[place] = kept.setdefault(row[place], row[place])
                found.append(tuple(row))
        return found

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        """What is there of what is wanted, in one round trip; none if nothing is wanted.

        `assignments` also has the current ones of the contacts found.

        Raises:
            StoreRejected: a key that no row could have: it holds NUL, or half a character.
        """
        given = wanted.keys()
        if not given:
            return Known()
        recent = wanted.recent_since is not None and not given.keys().isdisjoint(_CUSTOMERS)
        lately = wanted.lately_since is not None and not given.keys().isdisjoint(_CUSTOMERS)
        since = [wanted.recent_since] * recent + [wanted.lately_since] * lately
        text, names = statements.lookup(
            frozenset(given), recent=recent, lately=lately, outreach=wanted.outreach, whole=wanted.whole
        )
        keys = [_keys(given[each.name], len(each.key)) for each in statements.SOUGHT if each.name in given]
        async with self._connection() as connection:
            found = await connection.fetchrow(text, tenant, *keys, *since)
        known = Known()
        for name, records in zip(names, found, strict=True):
            if records:
                put(known, name, records)
        return known

    async def commit(self, batch: Batch) -> None:
        """Write the batch, all of it or nothing: one statement, one round trip.

        Raises:
            Fenced: the head is not at `batch.before`.
            StoreRejected: the data breaks a constraint or cannot be stored; nothing was written.
            StoreUnreachable: the connection was lost; `head().batch` tells whether it went through.
        """
        sections = sectioned(batch)
        present = tuple(number for number, section in enumerate(sections) if section)
        head = rows.head_row(batch.head)
        written = [rows.dump(sections[number]) for number in present]
        async with self._connection() as connection:
            went_through = await connection.fetchval(
                statements.commit(present), batch.tenant, batch.before, *head, *written
            )
        if not went_through:
            raise Fenced("another process took this tenant over")
        if _quadrupled(batch):
            await self._analyze()

    async def _analyze(self) -> None:
        """Let PostgreSQL count young tables now: it makes its plans anew then.

        Those that were made when tables were almost empty may read all rows of a tenant to find one, for a minute or
        more until the server looks by itself. The commit stands, whatever comes of this.
        """
        with suppress(StoreError):
            async with self._connection() as connection:
                young = await connection.fetch(statements.YOUNG, list(tables.metadata.tables), YOUNG_ROWS)
                if young:
                    await connection.execute(f"ANALYZE {', '.join(each['relname'] for each in young)}")

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        """The journal after a number, in order; only one agent's, if asked."""
        async with self._connection() as connection:
            if agent_id is None:
                found = await connection.fetch(statements.EVENTS, tenant, after, limit)
            else:
                found = await connection.fetch(statements.EVENTS_OF_AGENT, tenant, after, limit, agent_id)
        return [rows.event_from(each) for each in found]

    async def outgoing(
        self, tenant: str, after: int, limit: int, *, native: bool, channel: str | None = None
    ) -> Sequence[Outgoing]:
        """Messages that wait to be sent, in order, after a place."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.OUTGOING, tenant, native, after, limit, channel)
        return [rows.waiting_from(each) for each in found]

    async def wanted_media(self, tenant: str, after: str, limit: int) -> Sequence[MediaFact]:
        """Media that are still to be fetched, by id, after one of these."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.WANTED_MEDIA, tenant, after, limit)
        return [rows.media_from(each) for each in found]

    async def wanted_cursors(self, tenant: str) -> Sequence[CursorFact]:
        """Accounts of channels that say that there is something to be asked for."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.WANTED_CURSORS, tenant)
        return [rows.cursor_from(each) for each in found]

    async def webhooks(self, tenant: str) -> Sequence[tuple[WebhookFact, WebhookCursor]]:
        """The tenant's webhooks by name, and how far each has come."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.WEBHOOKS, tenant)
        return [(rows.webhook_from(row[:4]), WebhookCursor(row[0], *row[4:])) for row in map(tuple, found)]

    async def deliveries(self, tenant: str, webhook: str, state: str, after: int, limit: int) -> Sequence[DeliveryFact]:
        """What a webhook has not taken and is in this state, by number."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.DELIVERIES, tenant, webhook, state, after, limit)
        return [rows.delivery_from(each) for each in found]

    async def forget_deliveries(self, before: int) -> int:
        """Remove what is left of removed webhooks and what was given up before a time; returns how many, at most."""
        async with self._connection() as connection:
            return len(await connection.fetch(statements.FORGET_DELIVERIES, before, FORGET_ANSWERS))

    async def checkpoint(self, tenant: str) -> Checkpoint | None:
        """The tenant's last checkpoint; None: its whole journal is kept."""
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.CHECKPOINT, tenant)
        return None if row is None else rows.checkpoint_from(row)

    async def dropped(self, tenant: str) -> int:
        """The number of the last event that is no longer kept in the journal; 0: all are."""
        async with self._connection() as connection:
            return await connection.fetchval(statements.DROPPED, tenant) or 0

    async def heads(self, tenants: Sequence[str]) -> Mapping[str, int]:
        """The last number of each of these tenants' journals, as committed."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.HEADS, list(tenants))
        return {row[0]: row[1] for row in found}

    async def forget_answers(self, before: int) -> int:
        """Remove stored answers that are older than a time, of all tenants, some at a time; returns how many."""
        async with self._connection() as connection:
            forgotten = await connection.fetch(statements.FORGET, before, FORGET_ANSWERS)
        return len(forgotten)

    async def forget_audit(self, before: int) -> int:
        """Remove lines of the audit trail that are older than a time, of all tenants, some at a time; how many."""
        async with self._connection() as connection:
            forgotten = await connection.fetch(statements.FORGET_AUDIT, before, FORGET_ANSWERS)
        return len(forgotten)

    # -- leases -------------------------------------------------------------------------------------------------

    async def renew(self, process: str, lease_s: float, address: str | None = None, version: int = 1) -> bool:
        """Say that the process lives, for so many seconds from now by the database's clock."""
        async with self._connection() as connection:
            ran: bool = await connection.fetchval(statements.RENEW, process, lease_s, address, version)
        return ran

    async def drain(self, process: str) -> None:
        """Say that the process is about to leave."""
        async with self._connection() as connection:
            await connection.execute(statements.DRAIN, process)

    async def claim(self, process: str, tenant: str) -> bool:
        """Take a tenant that nobody serves, or whose process has lapsed. A process that has lapsed gets none."""
        async with self._connection() as connection:
            taken = await connection.fetchval(statements.CLAIM, process, tenant)
        return taken is not None

    async def hand(self, process: str, tenant: str, successor: str | None) -> bool:
        """Give a tenant to another process that lives and stays, or to nobody."""
        async with self._connection() as connection:
            given = await connection.fetchval(statements.HAND, process, tenant, successor)
        return given is not None

    async def who_serves(self, tenant: str) -> Process | None:
        """The process that has the tenant, if it lives."""
        async with self._connection() as connection:
            row = await connection.fetchrow(statements.WHO_SERVES, tenant)
        return None if row is None else Process(*row)

    async def survey(self) -> Survey:
        """Every process that lives, and who has which tenant."""
        async with self._connection() as connection:
            live = await connection.fetch(statements.LIVE)
            owners = await connection.fetch(statements.OWNERS)
        return Survey({row[0]: Process(*row) for row in live}, {row[0]: row[1] for row in owners})

    async def release(self, process: str) -> None:
        """Give up everything at once: a process that is not there holds nothing."""
        async with self._connection() as connection:
            await connection.execute(statements.RELEASE, process)
            await connection.execute(statements.BURY, BURIED_AFTER_S)


def _keys(given: Collection[Any], parts: int) -> str:
    """Keys as the lookup takes them: an array of arrays."""
    return rows.dump([(each,) for each in given] if parts == 1 else list(given))


async def _head(connection: asyncpg.Connection, tenant: str) -> Head:
    row = await connection.fetchrow(statements.HEAD, tenant)
    if row is None:
        raise NotFound("there is no such tenant")
    return rows.head_from(row)


def _quadrupled(batch: Batch) -> bool:
    before, after = ((seq.bit_length() + 1) // 2 for seq in (batch.before, batch.head.seq))
    return before < after and batch.head.seq < YOUNG_EVENTS
