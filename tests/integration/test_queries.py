"""What callers read: every query, on real rows; and nobody sees another tenant's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from src.dispatch.facts import (
    AccountFact,
    CollaborationWord,
    ConfigFact,
    ContactFact,
    Customer,
    Fact,
    IdentityFact,
    KeyFact,
    MessageFact,
)
from src.dispatch.known import Wanted
from src.errors import Malformed, Unavailable
from src.router import commands as c
from src.router.model import QueueConfig, TagRequest
from src.store.customers import CONTACTS_MAX, CustomerQueries
from src.store.embedded import EmbeddedPostgres
from src.store.measures import Measures, Open, PilotOutcome, Stats
from src.store.postgres import PostgresStore
from src.store.queries import Queries
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
async def queries(database: str) -> AsyncIterator[Queries]:
    async with Queries.over(database) as found:
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
    first = await world.queries.messages(world.tenant, [contact], limit=3, cursor=None)
    rest = await world.queries.messages(world.tenant, [contact], limit=3, cursor=first.next_cursor)
    assert [(each, None) for each in said] == [*first.items, *rest.items]
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


# -- collaborations ----------------------------------------------------------------------------------------------------


async def test_a_collaboration_comes_with_its_words(world: World) -> None:
    contact = world.writer.contact()
    asked, other = world.writer.ask(contact, "a2"), world.writer.ask(contact)
    words = [CollaborationWord(f"w{each}", asked, contact, "a1", "request", f"#{each}", each) for each in range(3)]
    await world.commit(*words[::-1], replace(words[0], id="w9", collaboration_id=other))
    found = await world.queries.collaboration(world.tenant, asked)
    assert found is not None
    assert world.writer.state.collaborations[asked].row() == found.collaboration
    assert words == list(found.words)
    assert await world.queries.collaboration(world.stranger, asked) is None
    assert await world.queries.collaboration(world.tenant, "none") is None


async def test_collaborations_are_filtered_and_paged(world: World) -> None:
    first, second = world.writer.contact(), world.writer.contact()
    helping = world.writer.ask(first, "a2")
    stock = world.writer.ask(first, department="stock")
    closed = world.writer.ask(second, "a2", department="stock")
    accepted: dict[str, Any] = {"helper_id": "a2", "progress_by": None, "lead_by": None, "solution_by": None}
    world.writer.tell("collaboration.accepted", contact_id=first, collaboration_id=helping, **accepted)
    world.writer.tell("collaboration.closed", contact_id=second, collaboration_id=closed, reason=None)
    await world.commit()

    async def ids(**filters: Any) -> list[str]:
        return [row[0] for row in (await world.queries.collaborations(world.tenant, **filters)).items]

    assert [closed, stock, helping] == await ids()
    assert [stock, helping] == await ids(contact_id=first)
    assert [closed, helping] == await ids(agent_id="a2")
    assert [helping] == await ids(agent_id="a2", state="open")
    assert [stock, helping] == await ids(state="open")
    assert [stock] == await ids(state="requested")
    assert [helping] == await ids(state="accepted")
    assert [closed] == await ids(state="closed")
    assert [closed, stock] == await ids(department="stock")
    page = await world.queries.collaborations(world.tenant, limit=2)
    assert stock == page.next_cursor
    assert [helping] == await ids(cursor=page.next_cursor)
    assert [] == list((await world.queries.collaborations(world.stranger)).items)


async def test_a_contact_comes_with_its_open_collaborations(world: World) -> None:
    contact, alone = world.writer.contact("k1"), world.writer.contact("k1")
    need = [{"tag": 'a "b"', "skill": "退款", "level": 1, "required": True, "weight": 1, "lapses_at": None}]
    open_ = [world.writer.ask(contact, "a2", requirements=need), world.writer.ask(contact)]
    closed = world.writer.ask(contact)
    world.writer.tell("collaboration.closed", contact_id=contact, collaboration_id=closed, reason=None)
    await world.commit(Customer("k1", 5))
    expected = tuple(world.writer.state.collaborations[each].row() for each in open_)
    found = await world.queries.contact(world.tenant, contact)
    assert found is not None
    assert expected == found.collaborations
    listed = (await world.queries.contacts(world.tenant)).items
    assert {contact: expected, alone: ()} == {each.contact[0]: each.collaborations for each in listed}
    customer = await CustomerQueries(world.queries).customer(world.tenant, "k1")
    assert customer is not None
    assert [(), expected] == [each.collaborations for each in customer.contacts]


async def test_who_helps_with_a_contact(world: World) -> None:
    contact = world.writer.contact()
    accepted: dict[str, Any] = {"helper_id": "a2", "progress_by": None, "lead_by": None, "solution_by": None}
    for agent in ("a2", "a3"):
        asked = world.writer.ask(contact, agent)
        if agent == "a2":
            world.writer.tell("collaboration.accepted", contact_id=contact, collaboration_id=asked, **accepted)
        await world.commit()
        assert await world.queries.helps_with(world.tenant, contact, agent)
        world.writer.tell("collaboration.closed", contact_id=contact, collaboration_id=asked, reason=None)
        await world.commit()
        assert (agent == "a2") == await world.queries.helps_with(world.tenant, contact, agent)
    assert not await world.queries.helps_with(world.tenant, contact, "a1")
    assert not await world.queries.helps_with(world.stranger, contact, "a2")


# -- pilots ------------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """Contacts of a pilot, told event by event; times are the writer's."""

    writer: Writer

    def contact(self, arm: str, queue: str = "default") -> str:
        contact_id = self.writer.new_id()
        need: dict[str, Any] = {"queue": queue, "priority": 0, "language": None, "tags": [], "requirements": []}
        self.need = need | {"target_agent_id": None, "target_kind": None, "target_until": None, "terms": None}
        self.writer.tell(
            "contact.received",
            contact_id=contact_id,
            customer_id="k1",
            channel="chat",
            account="",
            rules=[],
            pilot=arm,
            **self.need,
        )
        return contact_id

    def answer(self, contact_id: str, after_s: float) -> str:
        writer, assignment = self.writer, self.writer.new_id()
        writer.now = writer.state.contacts[contact_id].created_at + int(after_s * 1000) - 20
        offer: dict[str, Any] = {"assignment_id": assignment, "channel": "chat", "cost": 25, "expires_at": 1 << 50}
        writer.tell("contact.offered", contact_id=contact_id, agent_id="a1", **offer)
        writer.tell("contact.active", contact_id=contact_id, agent_id="a1", assignment_id=assignment)
        return assignment

    def complete(self, contact_id: str, assignment: str, *, resolved: bool | None) -> None:
        done: dict[str, Any] = {"assignment_id": assignment, "resolved": resolved, "disposition": None}
        self.writer.tell("assignment.completed", contact_id=contact_id, agent_id="a1", **done)
        self.close(contact_id, "completed")

    def close(self, contact_id: str, outcome: str) -> None:
        self.writer.tell("contact.closed", contact_id=contact_id, outcome=outcome, reason=None)


async def test_the_arms_of_a_pilot_are_compared(world: World) -> None:
    writer, told = world.writer, Told(world.writer)
    writer.staff("a1")
    writer.do(c.SetPresence("a1", "away"))
    from_at = writer.now
    for seconds, resolved in ((10, True), (30, False), (50, None)):
        contact = told.contact("summer:trial")
        told.complete(contact, told.answer(contact, seconds), resolved=resolved)
    told.close(told.contact("summer:trial", "vip"), "abandoned")
    overflowed = told.contact("summer:trial", "vip")
    writer.tell(
        "contact.overflowed",
        contact_id=overflowed,
        action="queue",
        from_queue="vip",
        reason="max_length",
        message="",
        **told.need | {"queue": "reserve"},
    )
    escalated = told.contact("summer:control")
    assignment = told.answer(escalated, 31)
    handed: dict[str, Any] = {"assignment_id": assignment, "to": {}, "reason": None, "by": "a1", "transfers": 1}
    writer.tell(
        "contact.transferred", contact_id=escalated, agent_id="a1", barred_until=writer.now, **handed | told.need
    )
    writer.tell("contact.escalated", contact_id=escalated, reason=None, by="a1", priority=600)
    told.close(told.contact("summer:control"), "overflowed")
    until_at = writer.now + 1
    writer.now += 1
    told.contact("summer:trial")
    told.contact("winter:trial")
    writer.contact()
    await world.commit()

    expected = [
        PilotOutcome("trial", None, 5, 3, 2, 30.0, 30.0, 1, 1, 1, 1, 0, 0),
        PilotOutcome("trial", "default", 3, 3, 2, 30.0, 30.0, 0, 0, 1, 1, 0, 0),
        PilotOutcome("trial", "reserve", 1, 0, 0, None, None, 0, 1, 0, 0, 0, 0),
        PilotOutcome("trial", "vip", 1, 0, 0, None, None, 1, 0, 0, 0, 0, 0),
        PilotOutcome("control", None, 2, 1, 0, 31.0, 31.0, 0, 1, 0, 0, 1, 1),
        PilotOutcome("control", "default", 2, 1, 0, 31.0, 31.0, 0, 1, 0, 0, 1, 1),
    ]
    found = await Measures(world.queries).pilot(world.tenant, "summer", from_at, until_at)
    assert sorted(expected, key=str) == sorted(found, key=str)
    assert [None, "default", "reserve", "vip", None, "default"] == [each.queue for each in found]
    stricter = await Measures(world.queries).pilot(
        world.tenant, "summer", from_at, until_at, within_s_of={"default": 29}
    )
    assert [1, 1, 0, 0, 0, 0] == [each.answered_within for each in stricter]
    looser = await Measures(world.queries).pilot(
        world.tenant, "summer", from_at, until_at, within_s=31, within_s_of={"vip": 1}
    )
    assert [2, 2, 0, 0, 1, 1] == [each.answered_within for each in looser]
    assert [] == list(
        await Measures(world.queries).pilot(world.tenant, "summer", until_at + 1_000_000, until_at + 2_000_000)
    )
    assert [] == list(await Measures(world.queries).pilot(world.stranger, "summer", from_at, until_at))


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
        assert [each.row() for each in state.agents[agent].open] == list(found[agent].assignments)
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
    open_ = [each.row() for each in state.agents["a1"].open]
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
    closed = [world.writer.contact("k1") for _ in range(CONTACTS_MAX + 5)]
    for each in closed:
        world.writer.do(c.Cancel(each))
    world.writer.contact("k2")
    await world.commit(customer, *identities, world.fact(oldest, text="still open"))
    found = await CustomerQueries(world.queries).customer(world.tenant, "k1")
    assert found is not None
    assert (customer, identities) == (found.customer, found.identities)
    shown = [str(each.contact[0]) for each in found.contacts]
    assert [*closed[: -CONTACTS_MAX - 1 : -1], oldest] == shown
    assert found.contacts[-1].fact == world.fact(oldest, text="still open")


async def test_a_customer_by_identity(world: World) -> None:
    strong = IdentityFact("phone", "+86138", "k1", None, strong=True, created_at=5)
    weak = [IdentityFact("email", "z@a.cn", each, None, strong=False, created_at=int(each[1])) for each in ("k1", "k2")]
    both = [replace(strong, value="+1"), replace(weak[1], type="phone", value="+1", created_at=9)]
    await world.commit(Customer("k1", 5), Customer("k2", 5), strong, *weak, *both)

    async def found(kind: str, value: str, tenant: str = world.tenant) -> str | None:
        each = await CustomerQueries(world.queries).by_identity(tenant, kind, value)
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
    found = await Measures(world.queries).stats(world.tenant)
    came = found.queues["default"].oldest_waiting
    assert since < (came or 0)
    assert {"vip": Open({"offered": 2}), "default": Open({"waiting": 1}, came)} == found.queues
    assert {"chat": Open({"offered": 2}), "voice": Open({"waiting": 1}, came)} == found.channels
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
    assert await CustomerQueries(ask).customer(stranger, "k1") is None
    assert await ask.agent(stranger, "a1") is None
    assert not await ask.was_held_by(stranger, contact, "a1")
    assert [] == list((await ask.contacts(stranger)).items)
    assert [] == list((await ask.messages(stranger, [contact], limit=9, cursor=None)).items)
    assert [] == list(await ask.traces(stranger, contact))
    assert [] == list(await ask.assignments(stranger, "a1"))
    assert Stats({}, {}, {}) == await Measures(ask).stats(stranger)


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
