"""The journal's old end: partitions are made ahead, archived, dropped; nothing that is promised needs what is gone."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from src.app.ground import archive_dir, compare
from src.config import Settings
from src.errors import StartupError, StoreRejected, StoreUnreachable
from src.router import commands as c
from src.router.journal import Event
from src.store import archive, replay
from src.store.partitions import AHEAD, WEEK_MS, Partition, partitions
from src.store.postgres import PostgresStore
from src.store.retention import DAY_MS, keep_journal
from tests.support.service import Client
from tests.support.writer import START_MS, Writer, loaded


async def parts(url: str) -> list[Partition]:
    connection = await asyncpg.connect(url)
    try:
        return await partitions(connection)
    finally:
        await connection.close()


async def names(url: str) -> list[str]:
    return [each.name for each in await parts(url)]


async def newest(url: str) -> int:
    """When the last partition ends."""
    return (await parts(url))[-1].until


async def count(url: str, table: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def weeks_of_work(store: PostgresStore, writer: Writer, since: int, weeks: int) -> None:
    """Contacts that come, are taken and end, and some that stay open, week after week."""
    writer.now = max(writer.now, since)
    writer.staff("a1", "a2")
    for _ in range(weeks):
        for number in range(6):
            contact = writer.contact(f"k{number}")
            assignment = writer.state.contacts[contact].assignment_id
            if assignment is not None and number % 2:
                writer.do(c.Accept(assignment, writer.state.assignments[assignment].agent_id))
        await store.commit(writer.batch())
        writer.now += WEEK_MS
        writer.do(c.Tick(1000))
        await store.commit(writer.batch())


async def test_partitions_are_made_ahead_once(new_database: str) -> None:
    before = await names(new_database)
    assert ["journal_before"] == before
    until = await newest(new_database)
    await asyncio.gather(*(keep_journal(new_database, until) for _ in range(3)))
    assert len(before) + AHEAD + 1 == len(await names(new_database))
    assert until + (AHEAD + 1) * WEEK_MS == await newest(new_database)
    await keep_journal(new_database, until)
    assert len(before) + AHEAD + 1 == len(await names(new_database))


async def test_a_clock_that_ran_ahead_loses_nothing(new_database: str) -> None:
    """Its events go to the partition without bounds, and to that of their week when there is one."""
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    far = await newest(new_database) + 3 * WEEK_MS
    await weeks_of_work(store, writer, far, 2)
    assert await count(new_database, "journal_other") == writer.state.seq
    await keep_journal(new_database, far + WEEK_MS)
    assert await count(new_database, "journal_other") == 0
    assert await count(new_database, "journal") == writer.state.seq
    assert [] == await replay.compare(store, writer.tenant)
    await store.close()


async def test_what_is_dropped_is_in_the_archive_and_in_the_checkpoint(new_database: str, tmp_path: Path) -> None:
    store = await PostgresStore.open(new_database)
    writer, idle = [Writer(await store.create_tenant(each, "sealed"), prefix="0") for each in ("busy", "idle")]
    await weeks_of_work(store, idle, START_MS, 1)
    start = await newest(new_database)
    await keep_journal(new_database, start)
    await weeks_of_work(store, writer, start - WEEK_MS, 4)
    before = {each.tenant: await loaded(store, each.tenant) for each in (writer, idle)}
    traces = await count(new_database, "traces")

    dropped = await keep_journal(new_database, start + 3 * WEEK_MS, 7, tmp_path)
    assert len(dropped) == 3
    kept = await count(new_database, "journal")
    assert 0 < kept < writer.state.seq
    # What explains dropped events is gone with them, and nothing else.
    assert 0 < await count(new_database, "traces") < traces
    late = "traces JOIN journal_checkpoints USING (tenant) WHERE traces.seq <= journal_checkpoints.seq"
    assert await count(new_database, late) == 0

    # An idle tenant has nothing left, and both go on as if nothing had been dropped.
    assert await store.dropped(idle.tenant) == idle.state.seq
    assert [] == list(await store.events(idle.tenant, 0, 10))
    for each in (writer, idle):
        assert before[each.tenant].hash == (await loaded(store, each.tenant)).hash
        assert [] == await replay.compare(store, each.tenant)
    await weeks_of_work(store, writer, start + 3 * WEEK_MS, 1)
    assert await keep_journal(new_database, start + 6 * WEEK_MS, 7, tmp_path)
    for name in ("busy", "idle"):
        assert [] == await compare(new_database, name)
        assert [] == await compare(new_database, name, tmp_path)
    events = [line for line in archive.read(tmp_path) if line.tenant == writer.tenant]
    assert len(events) > await count(new_database, "journal")
    await store.close()


async def test_several_processes_keep_the_journal_at_once(new_database: str, tmp_path: Path) -> None:
    """They all come at the same hour, under commits: each week is archived and dropped by one of them, whole."""
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("busy", "sealed"), prefix="0")
    start = await newest(new_database)
    await keep_journal(new_database, start)
    await weeks_of_work(store, writer, start - WEEK_MS, 4)
    at = start + 3 * WEEK_MS
    kept = [keep_journal(new_database, at, 7, tmp_path) for _ in range(4)]
    *dropped, _ = await asyncio.gather(*kept, weeks_of_work(store, writer, at, 1))
    dropped += [await keep_journal(new_database, at, 7, tmp_path)]
    names_dropped = [each for one in dropped for each in one or ()]
    assert len(names_dropped) == len(set(names_dropped)) == 3
    assert 3 == len(list(tmp_path.iterdir())), "a file for each week, and nothing that was left half done"
    archived = [line.value.seq for line in archive.read(tmp_path) if isinstance(line.value, Event)]
    assert list(range(1, len(archived) + 1)) == archived
    assert writer.state.seq == len(archived) + await count(new_database, "journal")
    assert [] == await compare(new_database, "busy", tmp_path)
    await store.close()


async def test_replay_sees_what_was_changed_in_checkpoint_and_archive(new_database: str, tmp_path: Path) -> None:
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    start = await newest(new_database)
    await weeks_of_work(store, writer, start - WEEK_MS, 3)
    await keep_journal(new_database, start + WEEK_MS, 1, tmp_path)
    connection = await asyncpg.connect(new_database)
    [path] = tmp_path.glob("*" + archive.SUFFIX)
    lines = gzip.decompress(path.read_bytes()).splitlines()
    path.write_bytes(gzip.compress(b"\n".join(lines[:-3] + lines[-2:])))
    assert [] == await compare(new_database, "t")
    assert await compare(new_database, "t", tmp_path)
    state = json.loads(await connection.fetchval("SELECT state FROM journal_checkpoints"))
    state[0].pop()
    await connection.execute("UPDATE journal_checkpoints SET state = $1", json.dumps(state))
    assert ["stored checkpoint" in each for each in await compare(new_database, "t")] == [True]
    await connection.close()
    await store.close()


@pytest.mark.parametrize("broken", ["a gap in the journal", "another row", "a folder that cannot be written"])
async def test_nothing_is_dropped_that_is_not_in_order(new_database: str, tmp_path: Path, broken: str) -> None:
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    start = await newest(new_database)
    await weeks_of_work(store, writer, start - WEEK_MS, 3)
    folder = tmp_path / "archive"
    connection = await asyncpg.connect(new_database)
    if broken == "a gap in the journal":
        await connection.execute("DELETE FROM journal WHERE seq = 5")
    elif broken == "another row":  # of a tenant that is not there
        await connection.execute(
            "INSERT INTO journal (tenant, seq, type, at, data, version) VALUES ('x', 1, 'y', 0, '{}', 1)"
        )
    else:
        folder.write_text("a file")
    before = await count(new_database, "journal")
    with pytest.raises(StoreRejected):
        await keep_journal(new_database, start + 2 * WEEK_MS, 1, folder)
    assert before == await count(new_database, "journal")
    assert await store.dropped(writer.tenant) == 0
    await connection.close()
    await store.close()


async def test_a_reader_that_holds_on_is_not_in_the_way_of_commits(new_database: str, tmp_path: Path) -> None:
    """A transaction that has read the journal and stays open holds up the dropping, for as long as it likes."""
    store = await PostgresStore.open(new_database)
    writer = Writer(await store.create_tenant("t", "sealed"))
    start = await newest(new_database)
    await weeks_of_work(store, writer, start - WEEK_MS, 3)
    reader = await asyncpg.connect(new_database)
    transaction = reader.transaction()
    await transaction.start()
    await reader.fetch("SELECT count(*) FROM journal")
    dropping = asyncio.create_task(keep_journal(new_database, start + WEEK_MS, 1, tmp_path))
    slowest = 0.0
    loop = asyncio.get_running_loop()
    for _ in range(30):
        began = loop.time()
        writer.contact()
        await store.commit(writer.batch())
        slowest = max(slowest, loop.time() - began)
        await asyncio.sleep(0.05)
    assert not dropping.done()
    assert slowest < 1.5, f"a commit waited {slowest:.1f} s"
    await transaction.rollback()
    try:
        assert await dropping == ["journal_before"]
    except StoreUnreachable:  # it gave up, and would try again in an hour
        assert await keep_journal(new_database, start + WEEK_MS, 1, tmp_path) == ["journal_before"]
    assert [] == await replay.compare(store, writer.tenant)
    await reader.close()
    await store.close()


async def test_cursors_older_than_what_is_kept(client: Client, database: str, tmp_path: Path) -> None:
    await client.agent("a1", channels={"voice": {"cost": 100}})
    for number in range(3):
        await client.contact(f"x{number}")
    last = (await client.call("GET", "/v1/events"))["last_seq"]
    async with asyncio.timeout(30):
        while len(await names(database)) == 1:  # the service makes more when it starts
            await asyncio.sleep(0.05)
        first = (await parts(database))[0].until
        while not (dropped := await keep_journal(database, first + 2 * DAY_MS, 1, tmp_path)):
            await asyncio.sleep(0.05)  # the service itself is at it still
    assert dropped == ["journal_before"]
    told = await client.call("GET", "/v1/events?after=1", 410)
    assert told["code"] == "cursor_expired"
    assert str(last) in told["detail"]
    assert [] == (await client.call("GET", f"/v1/events?after={last}"))["items"]
    async with client.desktop("a1", after=1) as desktop:
        assert desktop.welcome["resumed"] is False
        seq = desktop.welcome["seq"]
    async with client.desktop("a1", after=seq) as desktop:
        assert desktop.welcome["resumed"] is True
    assert [] == await compare(database, "default", tmp_path)


def test_nothing_is_dropped_without_a_place_for_the_archive(tmp_path: Path) -> None:
    def settings(**given: Any) -> Settings:
        return Settings(_env_file=None, data_dir=tmp_path, **given)  # type: ignore[call-arg]  # pydantic-settings reads it

    elsewhere = "postgresql://elsewhere/db"
    assert tmp_path / "archive" == archive_dir(settings(journal_keep_days=7))
    assert archive_dir(settings(database_url=elsewhere)) is None
    with pytest.raises(StartupError, match="CORDBOARD_ARCHIVE_DIR"):
        archive_dir(settings(database_url=elsewhere, journal_keep_days=7))
    assert tmp_path == archive_dir(settings(database_url=elsewhere, journal_keep_days=7, archive_dir=tmp_path))
