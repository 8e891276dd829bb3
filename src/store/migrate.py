"""Bring a database's schema up to date, from the service itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from src.errors import StartupError
from src.store.connections import CONNECT_S_MAX, reaching
from src.store.schema import FOLDER, READABLE_SINCE, SAID

TURN_S_MAX: Final = 600.0
"""So long a process waits for another one that is migrating the same database."""

LOCK_TRIES: Final = 60
LOCK_PAUSE_S: Final = 1.0
"""A change that does not get its lock gives way to whoever waits behind it, and is tried again after this pause."""

_TURN_POLL_S: Final = 0.1
_NO_LOCK: Final = "55P03"
"""PostgreSQL's code for a lock that was not to be had within `lock_timeout`."""

_LOCK: Final = 0x436F7264
_log = structlog.get_logger(__name__)
"""The advisory lock of whoever migrates: a number of our own."""


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to a revision: all of it, or nothing. One process at a time; the others wait their turn.

    A schema that a newer release has made stays as it is, where that says that this release works on it.

    Raises:
        StartupError: no migrations, no database, one whose schema this release cannot use, a change that failed, or
            another process that never ends; one line says which.
    """

    def to_it(config: Config, connection: Connection) -> None:
        if revision == "head" and _newer_but_readable(config, connection):
            _log.warning("schema.newer", known=ScriptDirectory.from_config(config).get_current_head())
            return
        connection.rollback()  # Alembic begins its own transactions
        command.upgrade(config, revision)
        if revision == "head" and _readable_since(connection) != READABLE_SINCE:
            connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{SAID}{READABLE_SINCE}'"))

    await _run(url, to_it)


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a revision: `base` removes every table, and what is in it."""
    await _run(url, lambda config, _: command.downgrade(config, revision))


def _newer_but_readable(config: Config, connection: Connection) -> bool:
    """Whether this release does not know the schema's revision, and works on it all the same."""
    scripts = ScriptDirectory.from_config(config)
    at = MigrationContext.configure(connection).get_current_revision()
    if at is None or at in {each.revision for each in scripts.walk_revisions()}:
        return False
    since = _readable_since(connection)
    return since is not None and since <= (scripts.get_current_head() or "")


def _readable_since(connection: Connection) -> str | None:
    said = connection.scalar(text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')"))
    return None if said is None else said.removeprefix(SAID)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection of SQLAlchemy for one task.

    Raises:
        StartupError: there is none to be had.
    """

    async def connect() -> asyncpg.Connection:
        with reaching():
            return await asyncpg.connect(url, timeout=CONNECT_S_MAX)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        connection = await engine.connect()
    except DBAPIError as error:
        raise StartupError(f"PostgreSQL cannot be used: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()
        await engine.dispose()


async def _run(url: str, task: Callable[[Config, Connection], None]) -> None:
    if not (FOLDER / "env.py").is_file():
        raise StartupError(f"There are no migrations in {FOLDER}")
    async with connected(url) as connection:
        await _turn(connection)
        try:
            for tries_left in reversed(range(LOCK_TRIES)):
                try:
                    await connection.run_sync(_with_config, task)
                    await connection.commit()
                    break
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) != _NO_LOCK or not tries_left:
                        raise
                    await connection.rollback()
                await asyncio.sleep(LOCK_PAUSE_S)
        except DBAPIError as error:
            raise StartupError(f"The schema cannot be brought up to date: {error.orig}".splitlines()[0]) from error
        except CommandError as error:
            raise StartupError(f"The schema is not one that this release knows: {error}") from error


async def _turn(connection: AsyncConnection) -> None:
    """Wait to be the one that migrates. The lock ends with the connection."""
    try:
        async with asyncio.timeout(TURN_S_MAX):
            while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                await connection.rollback()
                await asyncio.sleep(_TURN_POLL_S)
            await connection.commit()
    except TimeoutError as error:
        raise StartupError(f"Another process has been migrating the database for {TURN_S_MAX:.0f} s") from error


def _with_config(connection: Connection, task: Callable[[Config, Connection], None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    task(config, connection)
