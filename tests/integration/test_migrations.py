"""The schema that migrations make is the one that the code means, and they can be run by many at once."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event

from src.errors import StartupError
from src.store import connections, migrate
from src.store.migrate import connected, downgrade, upgrade
from src.store.postgres import PostgresStore
from src.store.replay import compare
from src.store.schema import FOLDER, READABLE_SINCE, head, is_current
from src.store.tables import is_partition, metadata
from tests.support.service import running
from tests.support.writer import Writer, loaded

FIRST: Final = json.loads((Path(__file__).parents[1] / "fixtures" / "tenant_0001.json").read_text(encoding="utf-8"))
"""A tenant as the first release wrote it: rows by table, with the names of their columns."""

CATALOGUE = {
    "columns": """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, collname, pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND attnum > 0 AND NOT attisdropped
        ORDER BY relname, attnum""",
    "indexes": """
        SELECT indexdef FROM pg_indexes JOIN pg_class ON relname = tablename AND relnamespace = 'public'::regnamespace
        WHERE schemaname = 'public' AND NOT relispartition ORDER BY indexdef""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
        WHERE connamespace = 'public'::regnamespace AND NOT relispartition AND contype <> 'n' ORDER BY 1, 2""",
    "options": """
        SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        ORDER BY relname""",
}


async def catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that PostgreSQL says of the schema, but for Alembic's own table."""
    connection = await asyncpg.connect(url)
    try:
        found = {name: [tuple(each) for each in await connection.fetch(text)] for name, text in CATALOGUE.items()}
    finally:
        await connection.close()
    return {name: [row for row in rows if "alembic_version" not in str(row)] for name, rows in found.items()}


async def tables_of(url: str) -> set[str]:
    return {row[0] for row in (await catalogue(url))["options"]}


async def test_the_migrated_schema_is_what_the_code_means(new_database: str, empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await connection.run_sync(metadata.create_all)
        await connection.commit()
    assert await catalogue(empty_database) == await catalogue(new_database)


async def test_a_new_migration_would_find_nothing_to_do(new_database: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"include_name": lambda name, kind, _: kind != "table" or not is_partition(name)}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with connected(new_database) as connection:
        assert [] == await connection.run_sync(differences)


async def test_down_and_up_again(new_database: str) -> None:
    before = await catalogue(new_database)
    await downgrade(new_database, "base")
    assert set() == await tables_of(new_database)
    await upgrade(new_database)
    assert before == await catalogue(new_database)
    await upgrade(new_database)


async def test_a_schema_that_is_up_to_date_is_known_by_a_look(new_database: str, empty_database: str) -> None:
    assert ScriptDirectory(str(FOLDER)).get_current_head() == head()
    assert await is_current(new_database)
    assert not await is_current(empty_database)
    async with administering(new_database) as connection:
        await connection.execute("COMMENT ON TABLE alembic_version IS 'readable since 0001'")
    assert not await is_current(new_database)
    await upgrade(new_database)
    assert await is_current(new_database)
    await downgrade(new_database, "-1")
    assert not await is_current(new_database)


def test_nothing_is_loaded_for_a_start_that_migrates_nothing() -> None:
    unneeded = "import sys, src.app.server; print(sorted({'alembic', 'mako'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", unneeded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- from release to release -------------------------------------------------------------------------------------------


async def write_as_the_first_release(url: str) -> None:
    """The rows of `FIRST`, by the columns that it knew."""
    async with administering(url) as connection:
        for name, table in FIRST.items():
            names = ", ".join(["tenant", *table["columns"]])
            places = ", ".join(f"${place}" for place in range(1, len(table["columns"]) + 2))
            rows = [("t", *row) for row in table["rows"]]
            await connection.executemany(f"INSERT INTO {name} ({names}) VALUES ({places})", rows)


@asynccontextmanager
async def administering(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_numbers_of_gateways_are_known_where_their_customer_came(empty_database: str) -> None:
    await upgrade(empty_database, "0060")
    await write_as_the_first_release(empty_database)
    whose = "SELECT DISTINCT tenant, customer_id, account FROM contacts"
    async with administering(empty_database) as connection:
        await connection.execute("UPDATE contacts SET account = 'crm'")
        customers = {row[1] for row in await connection.fetch(whose)}
        await connection.execute(f"""\
INSERT INTO identities (tenant, customer_id, type, value, strong, created_at)
SELECT tenant, customer_id, 'external_id', customer_id, true, 1 FROM ({whose}) AS each
UNION ALL SELECT tenant, customer_id, 'member', customer_id, true, 1 FROM ({whose}) AS each
UNION ALL SELECT 't', 'who never came', 'visitor', 'v1', true, 1""")
        await upgrade(empty_database)
        rows = await connection.fetch("SELECT value, scope FROM identities WHERE type = 'external_id'")
        assert {(each, "") for each in customers} | {(f"{each}@crm", "crm") for each in customers} == set(
            map(tuple, rows)
        )
        others = await connection.fetch("SELECT scope FROM identities WHERE type IN ('member', 'visitor')")
        assert {("",)} == set(map(tuple, others))


@pytest.mark.parametrize("when", ["before the migration", "after it, by a process that is yet to be replaced"])
async def test_what_the_first_release_wrote_means_the_same(empty_database: str, when: str) -> None:
    await upgrade(empty_database, "0001" if when == "before the migration" else "head")
    await write_as_the_first_release(empty_database)
    await upgrade(empty_database)
    store = await PostgresStore.open(empty_database)
    state = await loaded(store, "t")
    assert {"waiting", "offered", "active", "wrap_up"} == {each.state for each in state.contacts.values()}
    assert [] == await compare(store, "t")
    writer = Writer("t")
    writer.take_over(state)
    contact = writer.contact("k1", tags=())
    writer.tell("contact.flagged", contact_id=contact, flag="long_wait")
    for each in [*state.contacts.values()][:5]:
        writer.tell("contact.escalated", contact_id=each.id, reason=None, by="boss", priority=600)
    await store.commit(writer.batch())
    assert writer.state.hash == (await loaded(store, "t")).hash
    assert [] == await compare(store, "t")
    await store.close()


async def test_the_backstop_is_changed_while_the_service_writes(empty_database: str) -> None:
    """A transaction that is open for long holds up the migration, and nobody else."""
    await upgrade(empty_database, "0002")
    offer = (
        "INSERT INTO assignments (tenant, id, contact_id, agent_id, channel, cost, offered_at, expires_at, state)"
        " VALUES ('t', $1, $2, 'a1', 'chat', 25, 0, 0, 'offered')"
    )
    async with administering(empty_database) as slow, administering(empty_database) as quick:
        async with slow.transaction():
            await slow.execute(offer, "x1", "c1")
            migrating = asyncio.create_task(upgrade(empty_database))
            while not await quick.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
            await quick.execute("SET lock_timeout = '1s'")
            await quick.execute(offer, "x2", "c2")
            assert not migrating.done()
        await migrating
        await quick.execute(offer, "x3", "c2")
        await quick.execute("UPDATE assignments SET accepted_at = 1 WHERE id = 'x2'")
        with pytest.raises(asyncpg.UniqueViolationError, match="uq_assignments_held"):
            await quick.execute("UPDATE assignments SET accepted_at = 1 WHERE id = 'x3'")


async def test_half_an_index_is_made_anew(empty_database: str, new_database: str) -> None:
    """What is left when a migration was broken off: the index is there by name, and holds nothing to."""
    await upgrade(empty_database, "0002")
    async with administering(empty_database) as connection:
        await connection.execute("CREATE INDEX uq_assignments_held ON assignments (tenant)")
        await connection.execute("CREATE INDEX ix_contacts_pilot ON contacts (tenant)")
    await upgrade(empty_database)
    assert await catalogue(new_database) == await catalogue(empty_database)


# -- how they are run --------------------------------------------------------------------------------------------------


async def test_many_processes_may_migrate_at_once(empty_database: str) -> None:
    await asyncio.gather(*(upgrade(empty_database) for _ in range(4)))
    assert set(metadata.tables) == await tables_of(empty_database)


async def test_a_migration_that_fails_leaves_nothing(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE notes (mine text)")
    with pytest.raises(StartupError, match="notes"):
        await upgrade(empty_database)
    assert {"notes"} == await tables_of(empty_database)
    await connection.close()


@pytest.mark.parametrize("said", ["'readable since 9998'", "NULL"])
async def test_a_database_of_a_newer_release_is_refused_where_it_is_not_for_this_one(
    new_database: str, said: str
) -> None:
    connection = await asyncpg.connect(new_database)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.execute(f"COMMENT ON TABLE alembic_version IS {said}")
    await connection.close()
    with pytest.raises(StartupError, match="9999"):
        await upgrade(new_database)


async def test_whoever_rolls_back_starts_the_old_release_again(new_database: str, tmp_path: Path) -> None:
    """A newer release has added to the schema, and said from which release on that may be used: this is one."""
    connection = await asyncpg.connect(new_database)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.execute("ALTER TABLE contacts ADD COLUMN later integer NOT NULL DEFAULT 0")
    await upgrade(new_database)
    async with running(new_database, tmp_path) as client:
        contact = await client.contact("c1")
        assert "waiting" == (await client.call("GET", f"/v1/contacts/{contact['id']}"))["state"]
    assert "9999" == await connection.fetchval("SELECT version_num FROM alembic_version"), "it is left as it is"
    await connection.close()


def test_the_oldest_release_that_may_start_is_one_that_there_was() -> None:
    assert any((FOLDER / "versions").glob(f"{READABLE_SINCE}_*.py"))


async def test_a_database_that_cannot_be_reached_is_told_in_one_line() -> None:
    with pytest.raises(StartupError, match="PostgreSQL cannot be used"):
        await upgrade("postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("reached", [upgrade, PostgresStore.open])
async def test_a_server_that_is_silent_or_hangs_up_is_told_in_one_line(
    reached: Callable[[str], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (connections, migrate):
        monkeypatch.setattr(module, "CONNECT_S_MAX", 1.0)
    hangs_up = False

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not hangs_up:
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/none"
    with pytest.raises(StartupError, match="PostgreSQL does not answer within 1 s"):
        await reached(url)
    hangs_up = True
    with pytest.raises(StartupError, match=r"PostgreSQL cannot be used: ."):
        await reached(url)
    server.close()
    await server.wait_closed()


# -- beside the service ------------------------------------------------------------------------------------------------

LOCKS: Final = ("ALTER TABLE", "DROP TABLE", "DROP INDEX", "CREATE INDEX", "CREATE UNIQUE INDEX", "LOCK TABLE")
UNSAFE: Final = {
    r"ALTER COLUMN .* TYPE": "the whole table is written anew",
    r"ADD COLUMN (?!.*DEFAULT).*NOT NULL": "the release before does not fill it",
    r"ADD CONSTRAINT (?!.*(NOT VALID|USING INDEX))": "all rows are read while nobody may write",
    r"SET NOT NULL": "all rows are read while nobody may write",
    r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)": "nobody may write until it is made",
    r"DROP COLUMN": "the release before reads it: it goes a release later",
    r"DROP TABLE": "the release before reads it: it goes a release later",
    r"RENAME": "the release before knows the old name",
}
"""What a migration must not do to a table that is there already, and why."""


def unsafe(statements: list[str]) -> list[str]:
    """What is wrong with the statements of one migration."""
    made = set(re.findall(r"CREATE TABLE (\w+)", " ".join(statements)))
    wrong, patient = [], False
    for each in statements:
        text = " ".join(each.split())
        patient = text.startswith(("SET LOCAL lock_timeout", "SET lock_timeout")) or (patient and text[:5] != "RESET")
        if text.startswith(LOCKS) and not patient and "CONCURRENTLY" not in text:
            wrong.append(f"no lock_timeout: {text}")
        table = re.search(r"^(?:ALTER|DROP) TABLE (\w+)|^CREATE .*INDEX .*? ON (\w+)", text)
        exchanged = {name for name in made if f"ALTER TABLE {name} RENAME" in " ".join(statements)}
        if table is None or (table[1] or table[2]) in made - exchanged:
            continue
        if exchanged and ("RENAME" in text or (table[1] or table[2]) in exchanged):
            continue  # the name is there again when the transaction ends
        wrong += [f"{why}: {text}" for form, why in UNSAFE.items() if re.search(form, text)]
    return wrong


async def test_migrations_take_safe_steps_alone(empty_database: str) -> None:
    """Expand now, contract a release later: what each of them says to the server, seen on its way there."""
    seen: list[str] = []
    revisions = sorted(each.name[:4] for each in (FOLDER / "versions").glob("0*.py"))

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:  # SQLAlchemy's
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for each in revisions:
            seen.clear()
            await upgrade(empty_database, each)
            assert len(seen) > 1
            assert [] == unsafe(seen), each
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE contacts ALTER COLUMN step TYPE bigint",
        "ALTER TABLE contacts ADD COLUMN more TEXT NOT NULL",
        "ALTER TABLE contacts ADD CONSTRAINT ck CHECK (step > 0)",
        "CREATE INDEX ix ON contacts (tenant)",
        "ALTER TABLE contacts DROP COLUMN step",
        "ALTER TABLE contacts RENAME TO old",
        "DROP TABLE contacts",
    ],
)
def test_unsafe_steps_are_seen(statement: str) -> None:
    assert unsafe(["SET LOCAL lock_timeout = '5s'", statement])
    assert unsafe(["ALTER TABLE contacts ADD COLUMN more TEXT"])


async def test_the_journal_is_parted_while_the_service_writes(empty_database: str) -> None:
    """A transaction that has the journal for long holds up the migration, which lets commits pass and comes again."""
    await upgrade(empty_database, "0004")
    store = await PostgresStore.open(empty_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    writer.staff("a1")
    await store.commit(writer.batch())
    loop = asyncio.get_running_loop()
    async with administering(empty_database) as slow:
        async with slow.transaction():
            await slow.fetch("SELECT * FROM journal LIMIT 1")
            migrating = asyncio.create_task(upgrade(empty_database))
            began, slowest = loop.time(), 0.0
            while loop.time() < began + 4:
                sent = loop.time()
                writer.contact()
                await store.commit(writer.batch())
                slowest = max(slowest, loop.time() - sent)
                await asyncio.sleep(0.01)
            assert not migrating.done()
            assert slowest < 1.5, f"a commit waited {slowest:.1f} s"
        while not migrating.done():
            writer.contact()
            await store.commit(writer.batch())
        await migrating
    writer.contact()
    await store.commit(writer.batch())
    assert [] == await compare(store, writer.tenant)
    assert writer.state.seq == len(await store.events(writer.tenant, 0, 10_000))
    await store.close()
