"""The schema that migrations make is the one that the code means, and they can be run by many at once."""

import asyncio
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from src.errors import StartupError
from src.store.migrate import FOLDER, connected, downgrade, upgrade
from src.store.tables import metadata

CATALOGUE = {
    "columns": """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, collname, pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        ORDER BY relname, attnum""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "options": """
        SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname""",
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


async def test_the_migrated_schema_is_what_the_code_means(database: str, empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await connection.run_sync(metadata.create_all)
        await connection.commit()
    assert await catalogue(empty_database) == await catalogue(database)


async def test_a_new_migration_would_find_nothing_to_do(database: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with connected(database) as connection:
        assert [] == await connection.run_sync(differences)


async def test_down_and_up_again(database: str) -> None:
    before = await catalogue(database)
    await downgrade(database, "base")
    assert set() == await tables_of(database)
    await upgrade(database)
    assert before == await catalogue(database)
    await upgrade(database)


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


async def test_a_database_of_a_newer_release_is_refused(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE alembic_version SET version_num = 'later'")
    await connection.close()
    with pytest.raises(StartupError, match="later"):
        await upgrade(database)


async def test_a_database_that_cannot_be_reached_is_told_in_one_line() -> None:
    with pytest.raises(StartupError, match="PostgreSQL cannot be used"):
        await upgrade("postgresql://nobody@127.0.0.1:1/none")


def test_every_migration_gives_up_waiting_for_locks() -> None:
    """But for those that change indexes alone, for which nobody waits."""
    for path in (FOLDER / "versions").glob("*.py"):
        said = path.read_text(encoding="utf-8")
        assert 2 == said.count("SET LOCAL lock_timeout") + said.count("autocommit_block"), path.name
