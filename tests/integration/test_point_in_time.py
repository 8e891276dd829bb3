"""A backup and the archived WAL bring back any moment, as docs/operations.md says; replay proves that it is whole."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.store.embedded import EmbeddedPostgres
from src.store.embedded.programs import find_program
from src.store.migrate import upgrade
from src.store.postgres import PostgresStore
from src.store.replay import compare
from tests.support.writer import Writer, loaded

ARCHIVED_S_MAX: Final = 30


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def back_up(url: str, into: Path) -> None:
    """pg_basebackup, and its own check of what it wrote."""
    parts = urlsplit(url)
    environment = {**os.environ, "PGPASSWORD": parts.password or ""}
    host, port = (parse_qs(parts.query)[each][0] for each in ("host", "port"))
    login = ["-h", host, "-p", port, "-U", str(parts.username)]
    command = [str(find_program("pg_basebackup")), *login, "-D", str(into), "-c", "fast", "-X", "stream"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    subprocess.run([str(find_program("pg_verifybackup")), "-q", str(into)], check=True, capture_output=True)


async def archived(connection: asyncpg.Connection, wal: Path) -> None:
    """Wait until the segment that is written now is in the archive."""
    segment = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    for _ in range(ARCHIVED_S_MAX * 20):
        if (wal / segment).exists():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{segment} was not archived")


async def test_back_to_the_moment_before_a_mistake(folder: Path) -> None:
    wal, backup, restored = (folder / each for each in ("wal", "backup", "restored"))
    wal.mkdir()
    wal.chmod(0o777)
    keep = {
        "archive_mode": "on",
        "archive_command": f"test ! -f {wal}/%f && cp %p {wal}/%f.part && mv {wal}/%f.part {wal}/%f",
    }
    with EmbeddedPostgres(folder / "data", settings=keep) as server:
        url = server.url()
        await upgrade(url)
        store = await PostgresStore.open(url)
        writer = Writer(await store.create_tenant("t", "sealed"))
        writer.staff("a1", "a2")
        await store.commit(writer.batch())
        back_up(url, backup)
        for number in range(50):  # behind the backup: only the WAL has them
            writer.contact(f"k{number}")
            await store.commit(writer.batch())
        connection = await asyncpg.connect(url)
        moment = await connection.fetchval("SELECT clock_timestamp()")
        before = await loaded(store, writer.tenant)
        await asyncio.sleep(0.1)
        await connection.execute("DELETE FROM contacts")
        assert await compare(store, writer.tenant)
        writer.contact("later")
        await store.commit(writer.batch())
        await archived(connection, wal)
        await connection.close()
        await store.close()

    restored.mkdir(mode=0o711)
    shutil.copytree(backup, restored / "postgres")
    shutil.copy(folder / "data" / "postgres.password", restored)
    with (restored / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write(f"restore_command = 'cp {wal}/%f %p'\nrecovery_target_time = '{moment.isoformat()}'\n")
        file.write("recovery_target_action = 'promote'\nhot_standby = off\n")
    (restored / "postgres" / "recovery.signal").touch()
    with EmbeddedPostgres(restored) as server:
        store = await PostgresStore.open(server.url())
        assert before.hash == (await loaded(store, writer.tenant)).hash
        assert before.seq == (await store.head(writer.tenant)).seq
        assert [] == await compare(store, writer.tenant)
        writer = Writer(writer.tenant, "y")
        writer.take_over(before)
        writer.contact("goes on")
        await store.commit(writer.batch())
        assert [] == await compare(store, writer.tenant)
        await store.close()
