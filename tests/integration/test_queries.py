"""What callers read: every query, on real rows; and nobody sees another tenant's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from src.dispatch.ports import (
    AccountFact,
    ConfigFact,
    ContactFact,
    Customer,
    Fact,
    IdentityFact,
    KeyFact,
    MessageFact,
    Wanted,
)
from src.errors import Malformed, Unavailable
from src.router import commands as c
from src.router.model import QueueConfig, TagRequest
from src.store.embedded import EmbeddedPostgres
from src.store.postgres import PostgresStore
from src.store.queries import CUSTOMER_CONTACTS, Queries
from tests.support.writer import Writer


@dataclass
class World:
    """A tenant with something of everything, and one with nothing."""

    store: PostgresStore
    queries: Queries
    writer: Writer
    stranger: str

    @property
    def tenant(self) -> str:
        return self.writer.tenant

    async def commit(self, *facts: Fact) -> None:
        await self.store.commit(self.writer.batch(*facts))

    def fact(self, contact_id: str, **fields: Any) -> ContactFact:
        return ContactFact(
            contact_id, "chat", "", None, "phone", "+86", fields.get("text"), fields.get("attributes", {})
        )

    async def row(self, contact_id: str) -> tuple[Any, ...]:
        return (await self.store.lookup(self.tenant, Wanted(contacts={contact_id}))).contacts[contact_id]


@pytest.fixture
async def queries(reused_database: str) -> AsyncIterator[Queries]:
    async with Queries.over(reused_database) as found:
        yield found


@pytest.fixture
async def world(postgres_store: PostgresStore, queries: Queries) -> World:
    writer = Writer(await postgres_store.create_tenant("t", "sealed"))
    return World(postgres_store, queries, writer, await postgres_store.create_tenant("u", "sealed"))


# -- contacts ----------------------------------------------------------------------------------------------------------


async def test_a_contact_comes_with_its_fact_and_its_assignment(world: World) -> None:
    world.writer.staff("a1")
    taken, left = world.writer.contact(), world.writer.contact(channel="voice")
    fact = world.fact(taken, text="hello", attributes={"order": 7})
    await world.commit(fact)
    found = await world.queries.contact(world.tenant, taken)
    assert found is not None
    assert (await world.row(taken), fact) == (found.contact, found.fact)
    assert found.assignment == world.writer.state.assignments[str(found.contact[12])].row()
    bare = await world.queries.contact(world.tenant, left)
    assert bare is not None
    assert (await world.row(left), None, None) == (bare.contact, bare.fact, bare.assignment)


async def test_a_closed_contact_has_its_last_assignment(world: World) -> None:
    world.writer.staff("a1")
    contact = world.writer.contact()
    assignment = str(world.writer.state.contacts[contact].assignment_id)
    world.writer.do(c.Accept(assignment))
    world.writer.do(c.Complete(assignment, resolved=True, disposition="sold"))
    await world.commit()
    found = await world.queries.contact(world.tenant, contact)
    assert found is not None
    assert ("closed", "completed") == (found.contact[5], found.contact[13])
    assert found.assignment is not None
    assert ("completed", True, "sold") == (found.assignment[7], found.assignment[11], found.assignment[12])
    assert found.assignment == await world.queries.assignment(world.tenant, assignment)


async def test_contacts_are_paged_newest_first(world: World) -> None:
    made = [world.writer.contact() for _ in range(7)]
    await world.commit()
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await world.queries.contacts(world.tenant, limit=3, cursor=cursor)
        found += [str(each.contact[0]) for each in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert (made[::-1], 3) == (found, pages)
    assert (await world.queries.contacts(world.tenant, limit=7)).next_cursor is None


async def test_contacts_are_filtered(world: World) -> None:
    do = world.writer.do
    do(c.PutQueue(QueueConfig("vip")))
    gone = world.writer.contact("k1")
    do(c.Cancel(gone))
    world.writer.staff("a1")
    voice = world.writer.contact("k2", channel="voice", tags=(TagRequest("a", required=False),))
    do(c.Decline(str(world.writer.state.contacts[voice].assignment_id)))
    vip = world.writer.contact("k1", queue="vip", tags=(TagRequest('a "b"', required=False),))
    await world.commit()
    assert {"waiting", "offered"} == {each.state for each in world.writer.state.contacts.values()}

    async def ids(**filters: str) -> list[str]:
        found = await world.queries.contacts(world.tenant, **filters)  # type: ignore[arg-type]
        return sorted(str(each.contact[0]) for each in found.items)

    assert [voice] == await ids(state="waiting")
    assert [vip] == await ids(state="offered")
    assert [gone] == await ids(state="closed")
    assert [vip] == await ids(queue="vip")
    assert [voice] == await ids(channel="voice")
    assert [gone, vip] == await ids(customer_id="k1")
    assert [vip] == await ids(agent_id="a1"), "a declined offer was never in its hands"
    assert [voice] == await ids(tag="a")
    assert [vip] == await ids(tag='a "b"')
    assert [] == await ids(tag="b")
    assert [vip] == await ids(customer_id="k1", agent_id="a1", state="offered", queue="vip", channel="chat")
    assert [] == await ids(customer_id="k1", state="waiting")


async def test_who_has_or_had_a_contact(world: World) -> None:
    world.writer.staff("a1", "a2")
    contact = world.writer.contact()
    first = world.writer.state.assignments[str(world.writer.state.contacts[contact].assignment_id)]
    other = "a2" if first.agent_id == "a1" else "a1"
    await world.commit()
    assert await world.queries.was_held_by(world.tenant, contact, first.agent_id)
    assert not await world.queries.was_held_by(world.tenant, contact, other)
    world.writer.do(c.Decline(first.id))
    await world.commit()
    assert not await world.queries.was_held_by(world.tenant, contact, first.agent_id)
    assert await world.queries.was_held_by(world.tenant, contact, other)


async def test_a_position_counts_the_smaller_ranks_of_the_same_queue(world: World) -> None:
    world.writer.do(c.PutQueue(QueueConfig("vip")))
    first, second = world.writer.contact(), world.writer.contact()
    urgent = world.writer.contact(priority=60)
    elsewhere = world.writer.contact(queue="vip")
    gone = world.writer.contact(priority=600)
    world.writer.do(c.Cancel(gone))
    await world.commit()
    expected = {urgent: 1, first: 2, second: 3, elsewhere: 1, gone: None}
    for _ in range(8):  # more often than it takes PostgreSQL to fix a plan
        for contact, position in expected.items():
            assert position == await world.queries.position(world.tenant, contact)
    for contact in (urgent, first, second, elsewhere):
        assert world.writer.engine.position(contact) == expected[contact]
    assert await world.queries.position(world.stranger, first) is None


# -- what belongs to a contact -----------------------------------------------------------------------------------------


async def test_a_conversation_is_paged_oldest_first(world: World) -> None:
    contact = world.writer.contact()
    said = [
        MessageFact(f"m{each}", contact, "k1", "chat", "", None, "customer", "text", f"#{each}", {"n": each}, each)
        for each in range(5)
    ]
    await world.commit(*said, replace(said[0], id="m9", contact_id="other"))
    first = await world.queries.messages(world.tenant, contact, limit=3, cursor=None)
    rest = await world.queries.messages(world.tenant, contact, limit=3, cursor=first.next_cursor)
    assert said == [*first.items, *rest.items]
    assert rest.next_cursor is None


async def test_traces_come_in_the_order_of_the_journal(world: World) -> None:
    world.writer.staff("a1", "a2")
    contact = world.writer.contact()
    world.writer.do(c.Decline(str(world.writer.state.contacts[contact].assignment_id)))
    batch = world.writer.batch()
    await world.store.commit(batch)
    found = await world.queries.traces(world.tenant, contact)
    assert [(seq, trace) for of, seq, trace in batch.traces if of == contact] == list(found)
    assert len(found) >= 2


# -- agents ------------------------------------------------------------------------------------------------------------


async def test_agents_come_with_their_state_and_open_assignments(world: World) -> None:
    world.writer.staff("a1", "a2", "a3")
    contacts = [world.writer.contact() for _ in range(2)]
    ended = world.writer.contact()
    world.writer.do(c.Cancel(ended))
    await world.commit(*(ConfigFact("agent", each, {"name": each}) for each in ("a1", "a2", "a3", "a4")))
    page = await world.queries.agents(world.tenant, limit=2, cursor=None)
    rest = await world.queries.agents(world.tenant, limit=2, cursor=page.next_cursor)
    found = {each.id: each for each in (*page.items, *rest.items)}
    assert ["a1", "a2", "a3", "a4"] == list(found)
    state = world.writer.state
    for agent in ("a1", "a2", "a3"):
        assert {"name": agent} == found[agent].body
        assert state.agents[agent].row() == found[agent].state
        assert [each.row() for each in state.agents[agent].open.values()] == list(found[agent].assignments)
        assert found[agent] == await world.queries.agent(world.tenant, agent)
    assert found["a4"].state is None
    assert {*contacts} == {row[1] for each in found.values() for row in each.assignments}
    assert (await world.queries.agents(world.stranger, limit=9, cursor=None)).items == []


async def test_an_agents_open_assignments(world: World) -> None:
    world.writer.staff("a1")
    first, second, third = (world.writer.contact() for _ in range(3))
    state = world.writer.state
    world.writer.do(c.Accept(str(state.contacts[first].assignment_id)))
    world.writer.do(c.Cancel(third))
    await world.commit()
    open_ = [each.row() for each in state.agents["a1"].open.values()]
    assert {first, second} == {row[1] for row in open_}
    assert open_ == list(await world.queries.assignments(world.tenant, "a1"))
    assert [open_[0]] == list(await world.queries.assignments(world.tenant, "a1", "active"))
    assert [open_[1]] == list(await world.queries.assignments(world.tenant, "a1", "offered"))
    assert [] == list(await world.queries.assignments(world.tenant, "a2"))


# -- customers ---------------------------------------------------------------------------------------------------------


async def test_a_customer_in_one_view(world: World) -> None:
    customer = Customer("k1", 5, "Zhang San", "gold", "a1", {"city": "上海"}, ("vip",))
    identities = [
        IdentityFact("phone", "+86138", "k1", "Zhang", strong=True, created_at=5),
        IdentityFact("email", "z@a.cn", "k1", None, strong=False, created_at=6),
    ]
    oldest = world.writer.contact("k1")
    closed = [world.writer.contact("k1") for _ in range(CUSTOMER_CONTACTS + 5)]
    for each in closed:
        world.writer.do(c.Cancel(each))
    world.writer.contact("k2")
    await world.commit(customer, *identities, world.fact(oldest, text="still open"))
    found = await world.queries.customer(world.tenant, "k1")
    assert found is not None
    assert (customer, identities) == (found.customer, found.identities)
    shown = [str(each.contact[0]) for each in found.contacts]
    assert [*closed[: -CUSTOMER_CONTACTS - 1 : -1], oldest] == shown
    assert found.contacts[-1].fact == world.fact(oldest, text="still open")


async def test_a_customer_by_identity(world: World) -> None:
    strong = IdentityFact("phone", "+86138", "k1", None, strong=True, created_at=5)
    weak = [IdentityFact("email", "z@a.cn", each, None, strong=False, created_at=int(each[1])) for each in ("k1", "k2")]
    both = [replace(strong, value="+1"), replace(weak[1], type="phone", value="+1", created_at=9)]
    await world.commit(Customer("k1", 5), Customer("k2", 5), strong, *weak, *both)

    async def found(kind: str, value: str, tenant: str = world.tenant) -> str | None:
        each = await world.queries.customer_by_identity(tenant, kind, value)
        return None if each is None else each.customer.id

    assert "k1" == await found("phone", "+86138")
    assert "k2" == await found("email", "z@a.cn")
    assert "k1" == await found("phone", "+1")
    assert await found("phone", "nobody") is None
    assert await found("phone", "+86138", world.stranger) is None


# -- configuration and credentials -------------------------------------------------------------------------------------


async def test_configuration(world: World) -> None:
    facts = [ConfigFact("queue", each, {"name": each}) for each in ("b", "a")]
    await world.commit(*facts, ConfigFact("tag", "a", {}))
    assert facts[::-1] == list(await world.queries.config(world.tenant, "queue"))
    assert {"name": "a"} == await world.queries.config_one(world.tenant, "queue", "a")
    assert await world.queries.config_one(world.tenant, "queue", "c") is None
    assert await world.queries.config_one(world.stranger, "queue", "a") is None
    assert [] == list(await world.queries.config(world.stranger, "queue"))


async def test_keys_and_whose_they_are(world: World) -> None:
    keys = [KeyFact(f"key{each}", str(each) * 64, "k", ("admin",), each) for each in range(2)]
    keys[1] = replace(keys[1], revoked_at=9)
    await world.commit(*keys)
    assert keys == list(await world.queries.keys(world.tenant))
    assert (world.tenant, keys[1]) == await world.queries.key_by_hash("1" * 64)
    assert await world.queries.key_by_hash("2" * 64) is None
    assert [] == list(await world.queries.keys(world.stranger))


async def test_accounts_and_whose_they_are(world: World) -> None:
    accounts = [
        AccountFact(each, "wechat", {"app_id": each}, {"token": "sealed"}, None, enabled=each == "a") for each in "ab"
    ]
    await world.commit(*accounts)
    assert accounts == list(await world.queries.accounts(world.tenant))
    assert (world.tenant, accounts[1]) == await world.queries.account("b")
    assert await world.queries.account("c") is None
    assert [] == list(await world.queries.accounts(world.stranger))


async def test_tenants(world: World) -> None:
    found = await world.queries.tenant(world.tenant)
    assert found is not None
    assert (world.tenant, "t", "sealed") == (found.id, found.name, found.jwt_secret)
    assert found == await world.queries.tenant_by_name("t")
    assert await world.queries.tenant("t") is None
    assert await world.queries.tenant_by_name(world.tenant) is None
    assert sorted([world.tenant, world.stranger]) == list(await world.queries.tenant_ids())


async def test_what_goes_on_now(world: World) -> None:
    world.writer.do(c.PutQueue(QueueConfig("vip")))
    world.writer.staff("a1")
    world.writer.do(c.SetPresence("a1", "away"))
    oldest, _, gone = (world.writer.contact(queue="vip") for _ in range(3))
    world.writer.do(c.Cancel(gone))
    world.writer.do(c.SetPresence("a1", "available"))
    since = world.writer.state.contacts[oldest].created_at
    world.writer.contact(channel="voice")
    await world.commit()
    found = await world.queries.stats(world.tenant)
    assert {"vip": ({"offered": 2}, None), "default": ({"waiting": 1}, found.queues["default"][1])} == found.queues
    assert since < (found.queues["default"][1] or 0)
    assert {"available": 1} == found.agents


# -- what must not be seen ---------------------------------------------------------------------------------------------


async def test_another_tenant_sees_nothing(world: World) -> None:
    world.writer.staff("a1")
    contact = world.writer.contact("k1")
    assignment = str(world.writer.state.contacts[contact].assignment_id)
    said = MessageFact("m1", contact, "k1", "chat", "", None, "customer", "text", "hi", {}, 1)
    await world.commit(Customer("k1", 5), said, world.fact(contact))
    ask, stranger = world.queries, world.stranger
    assert await ask.contact(stranger, contact) is None
    assert await ask.assignment(stranger, assignment) is None
    assert await ask.customer(stranger, "k1") is None
    assert await ask.agent(stranger, "a1") is None
    assert not await ask.was_held_by(stranger, contact, "a1")
    assert [] == list((await ask.contacts(stranger)).items)
    assert [] == list((await ask.messages(stranger, contact, limit=9, cursor=None)).items)
    assert [] == list(await ask.traces(stranger, contact))
    assert [] == list(await ask.assignments(stranger, "a1"))
    assert not (await ask.stats(stranger)).queues


@pytest.mark.parametrize("key", ["a\0b", "\ud800"])
async def test_a_key_that_cannot_be_one_is_malformed(queries: Queries, key: str) -> None:
    with pytest.raises(Malformed):
        await queries.contact("t", key)
    with pytest.raises(Malformed):
        await queries.contacts("t", cursor=key)


async def test_a_dead_connection_is_replaced_unseen(
    queries: Queries, postgres_server: EmbeddedPostgres, world: World
) -> None:
    await queries.tenant_ids()
    administration = await asyncpg.connect(postgres_server.url("postgres"))
    await administration.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cordboard reads'"
    )
    await administration.close()
    assert {world.tenant, world.stranger} == set(await queries.tenant_ids())


async def test_no_database_is_unavailable() -> None:
    async with Queries.over("postgresql://nobody@127.0.0.1:1/none") as queries:
        with pytest.raises(Unavailable):
            await queries.tenant_ids()
