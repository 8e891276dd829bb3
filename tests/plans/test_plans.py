"""No statement reads a table through: what PostgreSQL really does for each, with many rows in every table.

The statements are the store's own, with their own settings. `make test-plans` fills a million rows, the ordinary tests
fewer. Each statement is run and undone; what it touched is counted, in pages and rows.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, SmallInteger, Table, event
from sqlalchemy.dialects.postgresql import JSON

from src.dispatch.known import Wanted
from src.router import commands as c
from src.store import callbook, contents, privacy, retaining, statements, tables, visits
from src.store.connections import PINNED, SETTINGS
from src.store.customers import CustomerQueries
from src.store.forecasts import Forecasts
from src.store.partitions import WEEK_MS, make_ahead, partitions
from src.store.postgres import PostgresStore
from src.store.problems import ProblemQueries
from src.store.queries import _PLANS, Queries
from src.store.reports import Reports
from src.store.rosters import RosterQueries
from src.store.writes import SECTIONS, Section
from tests.support.writer import Writer

ROWS: Final = int(os.environ.get("CORDBOARD_TEST_ROWS", "50000"))
OPEN: Final = 100
"""One row in so many is open still: what an engine is loaded with."""

PAGES_MAX: Final = 200
ROWS_MAX: Final = 300
"""What one statement may touch; a table read through, or all rows of a tenant, would be thousands."""

WRITTEN: Final = 3
WEEKS: Final = 5
TENANT: Final = "t"
SCANS: Final = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan")

FEW: Final = {
    "tenants": 10,
    "tenant_heads": 10,
    "processes": 10,
    "journal_checkpoints": 10,
    "token_trusts": 10,
    "retention_progress": 10,
    "channel_accounts": 100,
    "channel_tokens": 100,
    "channel_cursors": 100,
    "common_problems": 100,
    "rosters": 100,
}
NUMBERS: Final = {BigInteger, Integer, SmallInteger}

SPECIAL: Final = {
    "closed_at": f"CASE WHEN n % {OPEN} = 0 THEN NULL ELSE n END",
    "ended_at": f"CASE WHEN n % {OPEN} = 0 THEN NULL ELSE n END",
    "accepted_at": "n",
    "queue": f"'q' || n / {OPEN} % 20",
    "channel": "'webchat'",
    "account": "'main'",
    "state": f"CASE WHEN n % {OPEN} = 0 THEN 'waiting' ELSE 'closed' END",
    "customer_id": "'i' || lpad((n / 5)::text, 9, '0')",
    "other_id": "'i' || lpad((n / 5)::text, 9, '0')",
    "survivor_id": "CASE WHEN n % 50 < 2 THEN 'i' || lpad((n - n % 50)::text, 9, '0') END",
    "settled_at": f"CASE WHEN n % {OPEN} = 0 THEN NULL ELSE n END",
    "score": "3",
    "earlier": "'[]'",
    "unreported": "'[]'",
    "shifts": "'[[\"a1\", 0, 200]]'",
    "agent_id": "'a' || n % 500",
    "type": "'phone'",
    "kind": "CASE WHEN n % 100 = 0 THEN 'department' ELSE 'agent' END",
    "pilot": "CASE WHEN n % 1000 = 0 THEN 'p:trial' END",
    "strong": "n % 2 = 0",
    "sla_stage": "0",
    "status": "200",
    "version": "1",
    "step": "0",
    "tags": "'[]'",
    "requirements": "'[]'",
    "bars": "'[]'",
    "flags": "'[]'",
    "scopes": "'[]'",
    "told": "'[]'",
    "trace": "'{}'",
}


NAMES: Final = frozenset(
    {"id", "contact_id", "assignment_id", "collaboration_id", "external_id", "name", "value", "hash", "scope"}
)

OWN: Final = {
    ("channel_tokens", "account"): "'i' || n",
    ("channel_cursors", "account"): "'i' || n",
    ("webhook_cursors", "webhook"): "'i' || n",
    ("erasures", "customer_id"): "'i' || lpad(n::text, 9, '0')",
    ("contact_facts", "problem"): "CASE WHEN n % 50 = 0 THEN 'late' END",
    ("media_holds", "hash"): "CASE WHEN n % 2 = 0 THEN 'i' || lpad(n::text, 9, '0') ELSE 'x' || n END",
    ("call_notes", "kind"): f"CASE WHEN n % {OPEN} = 0 THEN 'coming' ELSE 'bridged' END",
    ("call_notes", "taken"): f"n % {ROWS // 10} <> 0",  # a few that nobody has taken yet
    ("call_orders", "done"): f"n % {ROWS // 10} <> 0",
}


def expression(table: Table, column: Column[Any], since: int) -> str:
    """What a column of row `n` holds. The journal began at `since`, and lies in several partitions."""
    name = column.name
    if name == "tenant":
        return (
            f"'{TENANT}'"
            if table.name not in FEW or table.name.startswith(("channel_", "common_", "rosters"))
            else "'t' || nullif(n, 1)"
        )
    if isinstance(column.type, JSON):
        return f"""{SPECIAL.get(name, "'{}'") if name != "state" else "'{}'"}::json"""
    if (table.name, name) in OWN:
        return OWN[table.name, name]
    if table is tables.journal and name == "at":
        return f"{since} + n * ({WEEKS * WEEK_MS} / {ROWS})"
    if name in SPECIAL and not (table.name == "agent_states" and name == "status"):
        return SPECIAL[name]
    if type(column.type) in NUMBERS:
        return "n"
    if isinstance(column.type, Boolean):
        return "false"
    if isinstance(column.type, DateTime):
        return "now() + interval '1 hour'"
    if name in (
        "id",
        "contact_id",
        "assignment_id",
        "message_id",
        "collaboration_id",
        "external_id",
        "call_id",
        "name",
        "value",
        "hash",
        "previous_hash",
        "scope",
    ):
        return "'i' || lpad(n::text, 9, '0')"
    return "'x'"


async def fill(connection: asyncpg.Connection, table: Table, since: int) -> None:
    columns = list(table.columns)
    values = ", ".join(f"({expression(table, each, since)})" for each in columns)
    names = ", ".join(each.name for each in columns)
    if table.name in ("tenant_heads", "journal_checkpoints", "token_trusts", "retention_progress"):
        values = values.replace("'t' || nullif(n, 1)", "CASE WHEN n = 1 THEN 't' ELSE 't' || n END")
    await connection.execute(
        f"INSERT INTO {table.name} ({names}) SELECT {values} FROM generate_series(1, {FEW.get(table.name, ROWS)}) AS n"
    )


@dataclass(frozen=True)
class Asked:
    """A statement and what it is asked with. `own`: so many rows and pages are what it is for."""

    name: str
    text: str
    arguments: Sequence[Any]
    own: int = 0


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def key(number: int) -> str:
    return f"i{number:09d}"


async def rows_for(connection: asyncpg.Connection, section: Section) -> str:
    """Some rows of the section's table as the commit takes them: new ones to insert, stored ones to put or remove."""
    table = section.table
    used = statements.keys(table) if section.verb == "remove" else statements.columns(table)
    names = ", ".join(f"{each.name}::text" if isinstance(each.type, JSON) else each.name for each in used)
    found = await connection.fetch(f"SELECT {names} FROM {table.name} WHERE tenant = '{TENANT}' LIMIT {WRITTEN}")
    rows = [list(each) for each in found]
    if section.verb == "insert":
        place = [each.name for each in used].index("seq")
        for number, row in enumerate(rows):
            row[place] = ROWS + 1 + number
    return json.dumps(rows)


async def hot(connection: asyncpg.Connection) -> list[Asked]:
    """Every statement that the store sends for the dispatch room."""
    s = statements
    keys = {
        "identities": [["phone", key(8)], ["phone", key(9)]],
        "external_contacts": [["webchat", "main", key(8)]],
        "external_messages": [["webchat", "main", key(8)]],
    }
    asked = [
        Asked("head", s.HEAD, [TENANT]),
        Asked("heads", s.HEADS, [[TENANT, "t2"]]),
        Asked("events", s.EVENTS, [TENANT, ROWS - 50, 100]),
        Asked("old events", s.EVENTS, [TENANT, 10, 100]),
        Asked("an agent's events", s.EVENTS_OF_AGENT, [TENANT, 10, 20, "a7"]),
        Asked("messages that wait", s.OUTGOING, [TENANT, True, 10, 100, None]),
        Asked("accounts that have called", s.WANTED_CURSORS, [TENANT]),
        Asked("media that are wanted", s.WANTED_MEDIA, [TENANT, "", 100]),
        Asked("what a webhook has not taken", s.DELIVERIES, [TENANT, "x", "waiting", 0, 100]),
        Asked("calls of an event", callbook.KNOWN, [TENANT, "main", [key(7)]]),
        Asked("notes not taken", callbook.TAKE, [TENANT, "main"]),
        Asked("calls that are there", callbook.OPEN, [TENANT, "main", 100], own=3 * ROWS // OPEN),
        Asked("notes of a call", callbook.NOTES, [TENANT, "main", [key(7)]]),
        Asked("orders of a call", callbook.ORDERS, [TENANT, "main", [key(7)]]),
        Asked("orders to give", callbook.DUE, [TENANT, "main", [key(7)], 100]),
        Asked("orders given", callbook.DONE, [TENANT, "main", [key(7)]]),
        Asked("calls never dialled", callbook.FORGET_UNDIALLED, [TENANT, "main", 100], own=3 * ROWS // OPEN),
        *(Asked(f"old calls {number}", each, [TENANT, "main", 100]) for number, each in enumerate(callbook.FORGET)),
        Asked("visitors who are here", visits.SEEN, [TENANT, [key(7), key(8)]]),
        Asked("visitors who are missing", visits.ABSENT, [TENANT, "main", 100, 50]),
        Asked("visits that are over", visits.FORGET, [TENANT, [key(7)]]),
        Asked("a file", contents.GET, [TENANT, key(7)]),
        Asked("a file is put", contents.PUT, [TENANT, key(7), b"picture", 1]),
        Asked("files that a contact names no more", contents.UNNAMED, [TENANT, [key(7)]]),
        Asked("files to look at", contents.OVER, [200], own=200),
        Asked("files that are looked at", contents.LOCK, [TENANT, [key(7), key(8)]]),
        Asked("holds that end", contents.END, [TENANT, [key(7), key(8)], key(7)]),
        Asked("files that nothing names", contents.DROP, [TENANT, [key(7), key(8)]]),
        Asked("erasures that wait", privacy.PENDING, [20]),
        Asked("contacts to erase", privacy.CONTACTS, [TENANT, key(7), "", 100]),
        *(Asked(f"erase {number}", each, [TENANT, [key(7)]]) for number, each in enumerate(privacy.STEP)),
        Asked("old contacts", retaining.OLD, [TENANT, key(7), key(5000), 200]),
        Asked("closed since", retaining.CLOSED_SINCE, [TENANT, [key(7)]]),
        Asked("customers not seen", retaining.UNSEEN, [TENANT, key(7), key(5000), 20]),
        Asked("last of them", retaining.LAST_OLD, [TENANT, key(7), key(5000), 200]),
        *(
            Asked(f"take away {kind} {number}", each, [TENANT, [key(7)]])
            for kind, statements in retaining.TAKEN.items()
            for number, each in enumerate(statements)
        ),
        Asked("checkpoint", s.CHECKPOINT, [TENANT]),
        Asked("dropped", s.DROPPED, [TENANT]),
        Asked("old answers", s.FORGET, [100, 50]),
        Asked("old lines of the audit trail", s.FORGET_AUDIT, [100, 50]),
        Asked("old traces", s.FORGET_TRACES, [TENANT, key(100), 100, 50]),
        Asked("renew", s.RENEW, [key(1), 5.0, "http://x", 1]),
        Asked("claim", s.CLAIM, [key(1), TENANT]),
        Asked("hand", s.HAND, ["x", TENANT, None]),
        Asked("who serves", s.WHO_SERVES, [TENANT]),
    ]
    asked += [
        Asked(f"load {each.name}", s.loading(each), [TENANT], own=3 * ROWS // OPEN)
        for each in (tables.contacts, tables.assignments, tables.collaborations)
    ]
    for each in s.SOUGHT:
        if each.name in Wanted.__dataclass_fields__:
            found = keys.get(each.name, [key(8), key(9)])
            asked.append(
                Asked(f"look up {each.name}", s.lookup(frozenset([each.name]))[0], [TENANT, json.dumps(found)])
            )
    recent = s.lookup(frozenset(["identities"]), recent=True)[0]
    asked.append(Asked("look up recent", recent, [TENANT, json.dumps(keys["identities"]), 0]))
    lately = s.lookup(frozenset(["identities"]), lately=True)[0]
    asked.append(Asked("look up lately", lately, [TENANT, json.dumps(keys["identities"]), 0]))
    outreach = s.lookup(frozenset(["contacts"]), outreach=True)[0]
    asked.append(Asked("look up outreach", outreach, [TENANT, json.dumps([key(8), key(9)])]))
    for number, section in enumerate(SECTIONS):
        name = f"{section.verb} {section.table.name}"
        given = [TENANT, 1, 2, "batch", 5, 6, await rows_for(connection, section)]
        asked.append(Asked(name, s.commit((number,)), given))
    return asked


async def read_by(queries: Queries) -> list[Asked]:
    """The statements that read for callers, noted on their way to the server; not those that count everything."""
    seen: list[tuple[str, Any]] = []
    name = ""

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((name, (statement, list(parameters))))

    event.listen(queries._engine.sync_engine, "before_cursor_execute", note)
    people = CustomerQueries(queries)
    # Ids here do not begin with a time: those between which it is looked for are given.
    reports = Reports(queries, lambda from_at, until_at: (key(from_at), key(until_at)))
    calls: dict[str, Any] = {
        "contact": lambda: queries.contact(TENANT, key(7)),
        "contacts by id": lambda: queries.contacts_by_id(TENANT, [key(7), key(8), key(ROWS - 3)]),
        "contacts": lambda: queries.contacts(TENANT),
        "contacts of a customer": lambda: queries.contacts(TENANT, customer_id=key(3)),
        "was held by": lambda: queries.was_held_by(TENANT, key(ROWS - 3), f"a{(ROWS - 3) % 500}"),
        "position": lambda: queries.position(TENANT, key(ROWS // 2)),
        "visit": lambda: queries.visit(TENANT, ("x", "x", "x", key(7), key(7)), 20),
        "said": lambda: queries.said(TENANT, [key(7), key(8)], 0, 50),
        "said last": lambda: queries.said(TENANT, [key(7)], None, 50),
        "writers": lambda: queries.writers(TENANT, [key(each) for each in range(20)]),
        "rated": lambda: queries.rated(TENANT, key(7)),
        "surveyed": lambda: queries.surveyed(TENANT, key(7)),
        "undelivered": lambda: queries.undelivered(TENANT, [key(7), key(8)], ROWS, 50),
        "silent": lambda: queries.silent(TENANT, "x", "x", 0, 50),
        "a call": lambda: queries.calls(TENANT, "webchat", "main", call_ids=[key(7)]),
        "accounts of a channel": lambda: queries.accounts_of("webchat"),
        "conversation": lambda: queries.conversation(TENANT, key(7)),
        "messages": lambda: queries.messages(TENANT, [key(7)], limit=50, cursor=None),
        "traces": lambda: queries.traces(TENANT, key(7)),
        "collaboration": lambda: queries.collaboration(TENANT, key(7)),
        "collaborations of a contact": lambda: queries.collaborations(TENANT, contact_id=key(7)),
        "open collaborations of an agent": lambda: queries.collaborations(TENANT, agent_id="a0", state="open"),
        "agent": lambda: queries.agent(TENANT, key(7)),
        "assignments": lambda: queries.assignments(TENANT, "a100"),
        "assignment": lambda: queries.assignment(TENANT, key(7)),
        "customer": lambda: people.customer(TENANT, key(7)),
        "customer by identity": lambda: people.by_identity(TENANT, "phone", key(7)),
        "customer of a family": lambda: people.customer(TENANT, key(51)),
        "customer is with": lambda: people.is_with(TENANT, key(7), "a7"),
        "timeline": lambda: people.timeline(TENANT, [key(3), key(4)], limit=20, cursor=key(18)),
        "conflict": lambda: people.conflict(TENANT, key(7)),
        "conflicts": lambda: people.conflicts(TENANT, settled=False, limit=50, cursor=None),
        "reviews": lambda: people.reviews(TENANT, settled=False, limit=50, cursor=None),
        "common problem": lambda: ProblemQueries(queries).one(TENANT, key(7)),
        "common problems": lambda: ProblemQueries(queries).all(TENANT),
        "contacts of a problem": lambda: ProblemQueries(queries).contacts(TENANT, "late", limit=50, cursor=key(9_000)),
        "roster": lambda: RosterQueries(queries).one(TENANT, key(7)),
        "rosters": lambda: RosterQueries(queries).all(TENANT),
        "reach of rosters": lambda: RosterQueries(queries).spans(TENANT),
        "shifts": lambda: RosterQueries(queries).shifts(TENANT, 0, ROWS, ["x"], ["webchat"]),
        "forecast: first contact": lambda: Forecasts(reports).first_at(TENANT, "q1", 100, 140),
        "forecast: contacts": lambda: Forecasts(reports).arrived(TENANT, "q1", [100, 120, 140]),
        "forecast: work": lambda: Forecasts(reports).worked(TENANT, "q1", [100, 120, 140]),
        "key by hash": lambda: queries.key_by_hash(key(7)),
        "token trust": lambda: queries.token_trust(TENANT),
        "audit": lambda: queries.audit(TENANT, limit=50, cursor=key(500)),
        "account": lambda: queries.account(key(7)),
        "tenant": lambda: queries.tenant(key(1)),
        **{
            f"report by {by}": lambda by=by: reports.lines(TENANT, [100, 120, 140], by, within_s_of={})
            for by in (None, "queue", "channel", "tag", "region", "agent", "team")
        },
        "tenant by name": lambda: queries.tenant_by_name(key(1)),
    }
    for name, call in calls.items():  # noqa: B007 - `note` reads it
        await call()
    # A page of fifty, each with what belongs to it; what is open in a queue; what is open of an agent's.
    paged = {"contacts": 500, "conflicts": 500, "reviews": 500, "contacts of a problem": 500}
    own = {**paged, "position": 2 * ROWS // OPEN // 20, "assignments": 2 * ROWS // 500}
    own["silent"] = own["a call"] = 3 * ROWS // OPEN  # all that agents hold
    own |= {
        each: 40 * 25 for each in calls if each.startswith("report")
    }  # forty contacts, each with what belongs to it
    return [Asked(f"read {each}", text, arguments, own.get(each, 0)) for each, (text, arguments) in seen]


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def judge(asked: Asked, plan: Mapping[str, Any]) -> list[str]:
    """What is wrong with how a statement was carried out."""
    found = []
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    if pages > PAGES_MAX + asked.own:
        found.append(f"{asked.name}: {pages} pages")
    for node in nodes(plan):
        if node["Node Type"] in SCANS:
            touched = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in FEW and touched:
                found.append(f"{asked.name}: reads {node['Relation Name']} through")
            if touched > ROWS_MAX + asked.own:
                found.append(f"{asked.name}: {touched:.0f} rows of {node['Relation Name']}")
    return found


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def wrong_with(connection: asyncpg.Connection, all_asked: Sequence[Asked], *, generic: bool) -> list[str]:
    """Carry each out, undo it, and judge."""
    found = []
    options = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON, TIMING OFF)"
    for asked in all_asked:
        try:
            async with undone(connection):
                if generic:
                    await connection.execute(f"PREPARE asked AS {asked.text}")
                    try:
                        values = ", ".join(map(literal, asked.arguments))
                        answer = await connection.fetchval(f"{options} EXECUTE asked({values})")
                    finally:
                        await connection.execute("DEALLOCATE asked")
                else:
                    answer = await connection.fetchval(f"{options} {asked.text}", *asked.arguments)
                found += judge(asked, json.loads(answer)[0]["Plan"])
        except asyncpg.PostgresError as error:
            found.append(f"{asked.name}: {error}")
    return found


@dataclass
class Filled:
    """A database full of rows: as the store sees it, and as readers do; and what each of them asks."""

    store: asyncpg.Connection
    readers: asyncpg.Connection
    hot: list[Asked]
    reads: list[Asked]

    async def wrong(self) -> list[str]:
        return [
            *await wrong_with(self.store, self.hot, generic=True),
            *await wrong_with(self.readers, self.reads, generic=False),
        ]


@pytest.fixture(scope="module")
async def filled(postgres_server: Any, migrated_template: str) -> AsyncIterator[Filled]:
    administration = await asyncpg.connect(postgres_server.url("postgres"))
    await administration.execute(f'CREATE DATABASE plans TEMPLATE "{migrated_template}"')
    url = postgres_server.url("plans")
    store = await asyncpg.connect(url, server_settings={**SETTINGS, **PINNED, "statement_timeout": "0"})
    readers = await asyncpg.connect(url, server_settings={**SETTINGS, **_PLANS, "statement_timeout": "0"})
    try:
        await make_ahead(store, (await partitions(store))[-1].until)
        since = (await partitions(store))[-1].until - WEEKS * WEEK_MS
        for table in tables.metadata.sorted_tables:
            await fill(store, table, since - 1)
        await store.execute("UPDATE tenant_heads SET seq = 1 WHERE tenant = 't'")
        await store.execute("VACUUM ANALYZE")
        async with Queries.over(url) as queries:
            yield Filled(store, readers, await hot(store), await read_by(queries))
    finally:
        await store.close()
        await readers.close()
        await administration.execute("DROP DATABASE plans WITH (FORCE)")
        await administration.close()


async def test_nothing_reads_a_table_through(filled: Filled) -> None:
    assert [] == await filled.wrong()


INDEXES: Final = """
    SELECT indexrelid::regclass::text, indrelid::regclass::text, conname FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid LEFT JOIN pg_constraint ON conindid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND relname <> 'alembic_version' AND relname <> ALL ($1)
      AND indrelid::regclass::text NOT IN ('journal_other')
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
    ORDER BY 1"""

LEAD_NOWHERE: Final = {
    "ix_contacts_pilot",  # reports on pilots count all contacts of one
    "uq_assignments_held",  # a backstop
    "ix_contacts_open_customer",  # a customer's open contacts are few among its own, which another index has
}
"""Indexes that no statement here is led by, and why they are there."""


async def test_it_is_noticed_when_an_index_is_missing(filled: Filled) -> None:
    """Each is dropped in turn, and put back."""
    missed = set()
    indexes = await filled.store.fetch(INDEXES, list(FEW))
    assert len(indexes) > 25
    for index, table, constraint in indexes:
        dropping = f"ALTER TABLE {table} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}"
        short = "journal" if tables.is_partition(table) else table
        about = [each for each in filled.hot if short in each.text]
        reads = [each for each in filled.reads if short in each.text]
        async with undone(filled.store):
            await filled.store.execute(dropping)
            wrong = await wrong_with(filled.store, about, generic=True)
            if not wrong:
                await filled.store.execute("SET LOCAL plan_cache_mode = force_custom_plan")
                wrong = await wrong_with(filled.store, reads, generic=False)
        if not wrong:
            missed.add(index)
    assert missed <= LEAD_NOWHERE


async def test_what_changes_often_touches_no_index(new_database: str) -> None:
    """A head that moves, and a contact on its way, find room on their page (HOT)."""
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    writer.staff("a1")
    for number in range(100):
        contact = writer.contact(f"k{number}")
        await store.commit(writer.batch())
        assignment = writer.state.contacts[contact].assignment_id
        assert assignment is not None
        writer.do(c.Accept(assignment, "a1"))
        await store.commit(writer.batch())
        writer.do(c.Complete(assignment, "a1"))
        await store.commit(writer.batch())
        writer.try_(c.FinishWrapUp(assignment, "a1"))
        await store.commit(writer.batch())
    await store.close()
    connection = await asyncpg.connect(new_database)
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1"
    for name, least in (("tenant_heads", 0.9), ("agent_states", 0.9), ("contacts", 0.45)):  # closing leaves an index
        for _ in range(100):  # the server tells a little later
            updated, hot_updated = await connection.fetchrow(query, name)
            if updated >= 100 and (name != "tenant_heads" or updated >= 300):
                break
            await asyncio.sleep(0.05)
        assert hot_updated > least * updated, f"{name}: {hot_updated} of {updated}"
    await connection.close()
