"""The journal's partitions: one for each week by the time of its events, made ahead, and dropped from the old end.

What lies in no week that has a partition (a clock that ran far ahead) goes to `journal_other`, so that no commit fails;
when the week's partition is made, it is moved there. Locks are short: whoever does not get one within `LOCK_MS_MAX`
gives way to the commits that would queue up behind it, and tries again.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import structlog

from src.store.connections import CONNECT_S_MAX, SETTINGS, settle, translated
from src.store.tables import is_partition

WEEK_MS: Final = 7 * 24 * 3600 * 1000
AHEAD: Final = 4
"""So many weeks to come have a partition already."""

LOCK_MS_MAX: Final = 500
LOCK_TRIES: Final = 20
LOCK_PAUSE_S: Final = 0.5

_TURN: Final = 0x4A6F7572
"""The advisory lock of whoever keeps the journal: one process at a time."""

_UNTIL: Final = re.compile(r"TO \('(\d+)'\)")

_PARTITIONS: Final = """\
SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'journal'::regclass"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Partition:
    """A table that holds the events up to a time (milliseconds, not included)."""

    name: str
    until: int


@asynccontextmanager
async def keeping(url: str) -> AsyncIterator[asyncpg.Connection | None]:
    """A connection whose statements may take long; None: another process keeps the journal just now.

    Raises:
        StoreUnreachable: the database cannot be reached, or went away.
    """
    async with translated():
        named = {"application_name": "cordboard journal"}
        connection = await asyncpg.connect(url, timeout=CONNECT_S_MAX, server_settings=named)
        await settle(connection, {**SETTINGS, "statement_timeout": "0"})
        try:
            yield connection if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _TURN) else None
        finally:
            await connection.close()


async def partitions(connection: asyncpg.Connection) -> list[Partition]:
    """The partitions by time, oldest first; not the one that has no bounds."""
    found = ((name, _UNTIL.search(bounds)) for name, bounds in await connection.fetch(_PARTITIONS))
    return sorted((Partition(name, int(each[1])) for name, each in found if each), key=lambda each: each.until)


async def make_ahead(connection: asyncpg.Connection, now_ms: int) -> list[str]:
    """Make the partitions of this week and of those to come that are missing; their names."""
    last = (await partitions(connection))[-1].until
    made = []
    while last <= now_ms + AHEAD * WEEK_MS:
        name = f"journal_{datetime.fromtimestamp(last / 1000, UTC):%Y%m%d}"
        assert is_partition(name)
        await patiently(connection, _maker(connection, name, last, last + WEEK_MS))
        _log.info("journal.partition_made", partition=name)
        made.append(name)
        last += WEEK_MS
    return made


def _maker(connection: asyncpg.Connection, name: str, since: int, until: int) -> Callable[[], Awaitable[None]]:
    async def make() -> None:
        await connection.execute(
            f"CREATE TABLE {name} (LIKE journal INCLUDING DEFAULTS, CONSTRAINT pk_{name} PRIMARY KEY (tenant, seq))"
        )
        await connection.execute("LOCK TABLE journal_other IN ACCESS EXCLUSIVE MODE")
        await connection.execute(
            "WITH moved AS (DELETE FROM journal_other WHERE at >= $1 AND at < $2 RETURNING *)"  # noqa: S608 - our name
            f" INSERT INTO {name} SELECT * FROM moved",
            since,
            until,
        )
        await connection.execute(f"ALTER TABLE journal ATTACH PARTITION {name} FOR VALUES FROM ({since}) TO ({until})")

    return make


async def patiently(connection: asyncpg.Connection, change: Callable[[], Awaitable[None]]) -> None:
    """Make a change in a transaction that waits for locks but shortly; tried again for some seconds."""
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS_MAX}")
                await change()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if not tries_left:
                raise
        else:
            return
        await asyncio.sleep(LOCK_PAUSE_S)
