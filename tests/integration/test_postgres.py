"""What only a real server can show: refusals to start, lost connections, plans, and tables that were tampered with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from src.dispatch.facts import Answer, ContactFact, Customer, IdentityFact
from src.dispatch.known import RECENT_CONTACTS_MAX, Wanted
from src.errors import Fenced, StartupError, StoreRejected, StoreUnreachable
from src.router import commands as c
from src.store.postgres import PostgresStore
from src.store.replay import compare
from tests.support.writer import Writer, loaded


@asynccontextmanager
async def administering(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "a test"})
    try:
        yield connection
    finally:
        await connection.close()


async def terminate_others(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'cordboard'"
    )


# -- starting ----------------------------------------------------------------------------------------------------------


async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(new_database: str) -> None:
    async with administering(new_database) as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    with pytest.raises(StartupError, match="synchronous_commit"):
        await PostgresStore.open(new_database)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/none",
        "postgresql://nobody@/none?host=/nowhere",
        "mysql://nobody@127.0.0.1/none",
        "nonsense",
    ],
)
async def test_what_cannot_be_connected_to_is_told_in_one_line(url: str) -> None:
    with pytest.raises(StartupError) as caught:
        await PostgresStore.open(url)
    assert "\n" not in str(caught.value)


async def test_a_wrong_password_is_told_in_one_line(database: str) -> None:
    user, _, rest = database.removeprefix("postgresql://").partition(":")
    with pytest.raises(StartupError, match="password"):
        await PostgresStore.open(f"postgresql://{user}:wrong@{rest.partition('@')[2]}")


# -- lost connections --------------------------------------------------------------------------------------------------


async def test_after_a_lost_connection_the_next_call_connects_again(
    postgres_store: PostgresStore, database: str
) -> None:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    async with administering(database) as administration:
        await terminate_others(administration)
    batch = writer.batch(Customer("k1", 1))
    for _ in range(3):
        try:
            await postgres_store.commit(batch)
            break
        except StoreUnreachable:
            continue
    assert batch.head == await postgres_store.head(writer.tenant)


async def test_a_commit_whose_connection_is_lost_has_not_gone_through_or_says_so(
    postgres_store: PostgresStore, database: str
) -> None:
    """Another transaction holds the head's row; the one that waits for it is killed."""
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    writer.staff("a1")
    batch = writer.batch()
    async with (
        administering(database) as holder,
        administering(database) as administration,
        holder.transaction(),
    ):
        await holder.execute("SELECT FROM tenant_heads WHERE tenant = $1 FOR UPDATE", writer.tenant)
        commit = asyncio.create_task(postgres_store.commit(batch))
        while not await administration.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        await terminate_others(administration)
        with pytest.raises(StoreUnreachable):
            await commit
    assert "" == (await postgres_store.head(writer.tenant)).batch
    await postgres_store.commit(batch)
    assert batch.head == await postgres_store.head(writer.tenant)
    with pytest.raises(Fenced):
        await postgres_store.commit(batch)


async def test_a_commit_behind_a_rival_that_wins_is_fenced(postgres_store: PostgresStore, database: str) -> None:
    """It began before the rival's transaction ended: it waits for the row, and must not act on what it saw before."""
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    writer.staff("a1")
    batch = writer.batch()
    async with administering(database) as rival, administering(database) as administration:
        async with rival.transaction():
            await rival.execute("UPDATE tenant_heads SET seq = 1, batch = 'rival' WHERE tenant = $1", writer.tenant)
            commit = asyncio.create_task(postgres_store.commit(batch))
            while not await administration.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
        with pytest.raises(Fenced):
            await commit
    assert "rival" == (await postgres_store.head(writer.tenant)).batch
    assert not (await postgres_store.load(writer.tenant)).agents


async def test_a_store_that_was_closed_is_unreachable(database: str) -> None:
    store = await PostgresStore.open(database)
    await store.close()
    with pytest.raises(StoreUnreachable):
        await store.head("t")


async def test_a_refusal_does_not_quote_what_was_refused(postgres_store: PostgresStore) -> None:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    phone = IdentityFact("phone", "+8613800138000", "k1", None, strong=True, created_at=1)
    await postgres_store.commit(writer.batch(phone))
    with pytest.raises(StoreRejected) as caught:
        await postgres_store.commit(writer.batch(replace(phone, customer_id="k2")))
    assert "uq_identities_strong" in str(caught.value)
    assert "138" not in str(caught.value)


# -- plans -------------------------------------------------------------------------------------------------------------


async def test_a_lookup_reads_by_key_though_it_was_planned_on_empty_tables(new_database: str) -> None:
    """A thousand contacts later it must not read all of them for the ten that it is asked for."""
    store = await PostgresStore.open(new_database, connections_max=1)
    writer = Writer(await store.create_tenant("t", "sealed"))
    wanted = Wanted()
    for _ in range(50):
        contacts = [writer.contact(f"k{writer.new_id()}") for _ in range(20)]
        facts: list[Any] = []
        for each in contacts:
            customer = writer.state.contacts[each].customer_id
            facts += [Customer(customer, 1), IdentityFact("phone", customer, customer, None, strong=True, created_at=1)]
            facts.append(ContactFact(each, "chat", "", each, "phone", customer, None, {}))
        await store.lookup(writer.tenant, wanted)
        await store.commit(writer.batch(*facts))
        wanted = Wanted(
            identities={("phone", each.id) for each in facts[:1]},
            external_contacts={("chat", "", each) for each in contacts[:10]},
            contacts=set(contacts[:10]),
            assignments={"none"},
            messages={"none"},
            answers={"none"},
        )
    before = await index_entries_read(store)
    known = await store.lookup(writer.tenant, wanted)
    assert (10, 10) == (len(known.contacts), len(known.external_contacts))
    assert (await index_entries_read(store)) - before < 100
    await store.close()


async def test_the_newest_contacts_are_read_by_key_though_planned_on_empty_tables(new_database: str) -> None:
    """Those of one customer, and of these the newest: not all of the tenant's, nor all of the customer's."""
    store = await PostgresStore.open(new_database, connections_max=1)
    writer = Writer(await store.create_tenant("t", "sealed"))
    identities = [IdentityFact("phone", each, each, None, strong=True, created_at=1) for each in ("often", "once")]
    wanted = Wanted(identities={("phone", "often"), ("phone", "once")}, recent_since=0)
    assert {} == (await store.lookup(writer.tenant, wanted)).recent
    await store.commit(writer.batch(*(Customer(each.customer_id, 1) for each in identities), *identities))
    writer.staff("a1")
    once = writer.contact("once")
    for _ in range(40):
        for number in range(20):
            contact = writer.contact("often" if number % 2 else f"k{writer.new_id()}")
            writer.do(c.Accept(str(writer.state.contacts[contact].assignment_id)))
            writer.do(c.Cancel(contact))
        await store.lookup(writer.tenant, wanted)
        await store.commit(writer.batch())
    before = await index_entries_read(store)
    recent = (await store.lookup(writer.tenant, wanted)).recent
    assert [once] == [each.contact_id for each in recent["once"]]
    assert RECENT_CONTACTS_MAX == len(recent["often"])
    assert (await index_entries_read(store)) - before < 100
    await store.close()


async def index_entries_read(store: PostgresStore) -> int:
    """What this store's one connection has read of all indexes of the database."""
    async with store._pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return int(
            await connection.fetchval("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname <> 'journal'")
        )


# -- keeping house -----------------------------------------------------------------------------------------------------


async def test_old_answers_are_forgotten(postgres_store: PostgresStore) -> None:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    answers = [Answer(f"s{each}", "hash", 201, {}, each) for each in range(5)]
    await postgres_store.commit(writer.batch(answers=tuple(answers)))
    assert 3 == await postgres_store.forget_answers(before=3)
    assert 0 == await postgres_store.forget_answers(before=3)
    known = await postgres_store.lookup(writer.tenant, Wanted(answers={each.scope for each in answers}))
    assert {"s3", "s4"} == set(known.answers)


# -- replay ------------------------------------------------------------------------------------------------------------

TAMPERED = {
    "UPDATE contacts SET queue = 'vip'": "queue is 'vip' in the tables, 'default' by the journal",
    "UPDATE contacts SET tags = '[ ]'": "tags is '[ ]' in the tables",
    "UPDATE contacts SET closed_at = 1": "in the journal's state, but not in the tables",
    "DELETE FROM assignments": "in the journal's state, but not in the tables",
    "INSERT INTO agent_states SELECT tenant, 'ghost', 'available', null, null, null, null, 0, 0 FROM tenant_heads": (
        "agent ghost is in the tables, but not in the journal's state"
    ),
    "UPDATE contacts SET flags = '[ ]'": "flags is '[ ]' in the tables",
    "UPDATE collaborations SET by = 'nobody'": "by is 'nobody' in the tables, 'a1' by the journal",
    "DELETE FROM collaborations": "in the journal's state, but not in the tables",
    "UPDATE tenant_heads SET state_hash = state_hash + 1": "the head's hash",
    "UPDATE tenant_heads SET seq = seq + 1": "the journal ends at",
    "DELETE FROM journal WHERE seq = 1": "event 1 is not in the journal",
    "UPDATE journal SET type = 'contact.teleported' WHERE seq = 2": "does not know",
    "UPDATE journal SET type = 'contact.active' WHERE seq = 2": "does not follow from what came before",
}


@pytest.mark.parametrize(("statement", "finding"), TAMPERED.items())
async def test_whatever_was_tampered_with_is_found(
    postgres_store: PostgresStore, database: str, statement: str, finding: str
) -> None:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    writer.staff("a1")
    writer.ask(writer.contact())
    await postgres_store.commit(writer.batch())
    writer.do(c.Checkpoint())
    await postgres_store.commit(writer.batch())
    assert [] == await compare(postgres_store, writer.tenant)
    async with administering(database) as connection:
        await connection.execute(statement)
    assert any(finding in each for each in await compare(postgres_store, writer.tenant))


async def test_a_checkpoint_that_recorded_another_state_is_found(postgres_store: PostgresStore) -> None:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    writer.staff("a1")
    await postgres_store.commit(writer.batch())
    writer.do(c.Checkpoint())
    batch = writer.batch()
    wrong = structs.replace(batch.events[0], data={"state_hash": "0" * 16})
    await postgres_store.commit(replace(batch, events=[wrong]))
    assert any("checkpoint" in each for each in await compare(postgres_store, writer.tenant))
    assert writer.state.hash == (await loaded(postgres_store, writer.tenant)).hash
