"""What becomes of the old end of the journal: archived, folded into checkpoints, and dropped with its partition.

In this order: each tenant's events of the partition are folded upon its last checkpoint and written to the archive, the
archive is on disk and was read back, and then one transaction stores the checkpoints and drops the partition. Whatever
breaks it off before that leaves the journal as it was. The checkpoint is the fold of the journal, not a copy of the
tables, so that `cordboard replay` proves as much with it as without.
"""

import asyncio
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from src.dispatch.ports import Checkpoint
from src.errors import StoreRejected
from src.store import rows, statements
from src.store.archive import ArchiveWriter
from src.store.partitions import Partition, keeping, make_ahead, partitions, patiently
from src.store.replay import Fold

DAY_MS: Final = 24 * 3600 * 1000

PAGE_EVENTS: Final = 250
PAUSE_S: Final = 0.002
"""So many events are folded at a time, and then others have their turn."""

TRACES_AT_A_TIME: Final = 1_000

_log = structlog.get_logger(__name__)


async def keep_journal(url: str, now_ms: int, keep_days: int = 0, folder: Path | None = None) -> list[str]:
    """Make partitions ahead, and drop those that are older than `keep_days` (0: none); the names of those dropped.

    Does nothing while another process does it.

    Raises:
        StoreUnreachable: the database went away, or did not give its locks.
        StoreRejected: what is to be dropped is not in order, or the archive could not be written or read back.
    """
    dropped: list[str] = []
    async with keeping(url) as connection:
        if connection is None:
            return dropped
        await make_ahead(connection, now_ms)
        if keep_days and folder is not None:
            for partition in await partitions(connection):
                if partition.until > now_ms - keep_days * DAY_MS:
                    break
                try:
                    await _retire(connection, partition, folder)
                except OSError as error:
                    raise StoreRejected(f"the archive cannot be written: {error}") from error
                dropped.append(partition.name)
            await _forget_traces(connection, now_ms - keep_days * DAY_MS)
    return dropped


async def _retire(connection: asyncpg.Connection, partition: Partition, folder: Path) -> None:
    checkpoints: list[tuple[str, Checkpoint]] = []
    with ArchiveWriter(folder, f"journal-until-{partition.until:015d}") as archive:
        for (tenant,) in await connection.fetch("SELECT tenant FROM tenant_heads ORDER BY tenant"):
            checkpoint = await _archive(connection, partition, tenant, archive)
            if checkpoint is not None:
                checkpoints.append((tenant, checkpoint))
        await asyncio.to_thread(archive.finish)
        events, path = archive.events, archive.path

    async def drop() -> None:
        await connection.execute(f"LOCK TABLE {partition.name} IN SHARE MODE")  # readers go on, nobody writes here
        there = await connection.fetchval(f"SELECT count(*) FROM {partition.name}")  # noqa: S608 - our name
        if there != events:
            raise StoreRejected(f"{partition.name} holds {there} events, the archive {events}")
        for tenant, checkpoint in checkpoints:
            await connection.execute(statements.PUT_CHECKPOINT, tenant, *rows.checkpoint_row(checkpoint))
        await connection.execute(f"DROP TABLE {partition.name}")

    await patiently(connection, drop)
    _log.info("journal.partition_dropped", partition=partition.name, events=events, archive=str(path))


async def _archive(
    connection: asyncpg.Connection, partition: Partition, tenant: str, archive: ArchiveWriter
) -> Checkpoint | None:
    """Write a tenant's events of a partition; what its journal adds up to behind them, None if there are none."""
    fold: Fold | None = None
    page_of = statements.events_in(partition.name)
    after = 0
    while page := [rows.event_from(each) for each in await connection.fetch(page_of, tenant, after, PAGE_EVENTS)]:
        if fold is None:
            row = await connection.fetchrow(statements.CHECKPOINT, tenant)
            fold = Fold(None if row is None else rows.checkpoint_from(row))
        wrong = next(fold.page(page), None)
        if wrong is not None:
            raise StoreRejected(f"tenant {tenant}: {wrong}")
        for event in page:
            archive.event(tenant, event)
        after = page[-1].seq
        await asyncio.sleep(PAUSE_S)
    if fold is None:
        return None
    checkpoint = fold.checkpoint()
    archive.checkpoint(tenant, checkpoint)
    return checkpoint


async def _forget_traces(connection: asyncpg.Connection, before_ms: int) -> None:
    """Remove the reasons of decisions whose events are dropped. Ids of contacts hold their time, and lie by it."""
    bound = f"{before_ms:012x}"
    newest = f"{bound[:8]}-{bound[8:]}"
    for tenant, seq in await connection.fetch("SELECT tenant, seq FROM journal_checkpoints"):
        while await connection.fetch(statements.FORGET_TRACES, tenant, newest, seq, TRACES_AT_A_TIME):
            pass
