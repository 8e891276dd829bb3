"""What every store promises: one suite over memory and PostgreSQL."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from src.dispatch.clock import SystemClock
from src.dispatch.facts import (
    TRUST,
    AccountFact,
    Answer,
    CollaborationWord,
    ConfigFact,
    ContactFact,
    CursorFact,
    Customer,
    Fact,
    IdentityFact,
    KeyFact,
    LinkFact,
    MediaFact,
    MessageFact,
    NoteFact,
    OutgoingFact,
    ProblemFact,
    RosterFact,
    SurveyFact,
    TrustFact,
)
from src.dispatch.known import Recent, Tagged, Wanted
from src.dispatch.ports import Batch, Head, Outgoing, Process, Survey
from src.errors import Conflict, Fenced, NotFound, StoreRejected
from src.router import commands as c
from src.router.entities import Assignment
from src.router.model import TagRequest
from src.router.state import Changes
from src.store.memory import MemoryStore
from src.store.postgres import PostgresStore
from src.store.replay import compare
from tests.support.writer import START_MS, Writer, loaded

if TYPE_CHECKING:
    from src.router.journal import Event

AnyStore = MemoryStore | PostgresStore

NASTY = (
    'quote " backslash \\ slash / {"json": [1]}',
    "控制\x01\x1f\x7f tab\t newline\n",
    "emoji 🧵👩‍👩‍👧 combining e\u0301 rtl \u202eabc\u202c",
    "separators \u2028\u2029 bom \ufeff nonchar \uffff",
    "'); DROP TABLE contacts; --",
    "\\u0000 is not NUL",
)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    if request.param == "memory":
        return MemoryStore(SystemClock())
    found: PostgresStore = request.getfixturevalue("postgres_store")
    return found


@pytest.fixture
async def writer(store: AnyStore) -> Writer:
    return Writer(await store.create_tenant("t", "sealed"))


# -- facts to write ----------------------------------------------------------------------------------------------------

CUSTOMER = Customer("k1", 5, "Zhang San", "gold", "a1", {"city": "上海", "n": [1, 2.5, None, True]}, ("vip", "zh"))
IDENTITY = IdentityFact("phone", "+8613800138000", "k1", "Zhang", strong=True, created_at=5)
CONTACT = ContactFact("c1", "voice", "main", "call-1", "phone", "+8613800138000", "hello", {"a": {"b": 1}})
MESSAGE = MessageFact("m1", "c1", "k1", "wechat", "shop", "msg-1", "customer", "text", "你好", {"media": "x"}, 7)
OUTGOING = OutgoingFact("m1", "c1", "wechat", "shop", "a1", "a1", True, 3, 7, "queued", 7)
MEDIA = MediaFact("f1", "c1", "wechat", "shop", "image", "kept", 7, "theirs", "a" * 64, "image/png", 9, "发票.png")
CURSOR = CursorFact("shop", "wecom", "c7", wanted=True, token="t", at=7, calls=3)
NOTE = NoteFact("x1", "c1", "done", 9)
WORD = CollaborationWord("w1", "h1", "c1", "a2", "feedback", "ask the customer for the 订单号", 9)
CONFIG = ConfigFact("agent", "a1", {"name": "Ann", "skills": {"refund": 60}})
KEY = KeyFact("key1", "f" * 64, "gateway", ("contacts:write",), 5)
ACCOUNT = AccountFact("shop", "wechat", {"app_id": "wx1"}, {"token": "sealed"}, None, enabled=True)
ANSWER = Answer("key1 POST /v1/contacts abc", "hash", 201, {"contact_id": "c1"}, 5)
FACTS: tuple[Fact, ...] = (
    CUSTOMER,
    IDENTITY,
    CONTACT,
    MESSAGE,
    OUTGOING,
    MEDIA,
    CURSOR,
    NOTE,
    WORD,
    CONFIG,
    KEY,
    ACCOUNT,
)

EVERYTHING = Wanted(
    identities={("phone", "+8613800138000"), ("phone", "+1")},
    external_contacts={("voice", "main", "call-1"), ("voice", "", "call-1")},
    external_messages={("wechat", "shop", "msg-1"), ("wechat", "shop", "msg-2")},
    contacts={"c1", "c2"},
    assignments={"x1", "x2"},
    customers={"k1", "k2"},
    collaborations={"h1", "h2"},
    messages={"m1", "m2"},
    media={"f1", "f2"},
    cursors={"shop", "other"},
    config={(CONFIG.kind, CONFIG.name), (CONFIG.kind, "other")},
    accounts={ACCOUNT.name, "other"},
    connectors={"other"},
    token_trusts={"t"},
    webhooks={"other"},
    answers={ANSWER.scope, "other"},
)


# -- tenants and heads -------------------------------------------------------------------------------------------------


async def test_a_new_tenant_is_empty(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    assert Head(0, "", 0, 0) == await store.head(tenant)
    assert [] == list(await store.events(tenant, 0, 10))
    found = await store.load(tenant)
    assert [] == [*found.contacts, *found.assignments, *found.agents, *found.config, *found.collaborations]


async def test_a_tenant_is_made_once(store: AnyStore) -> None:
    first = await store.create_tenant("t", "sealed")
    with pytest.raises(Conflict):
        await store.create_tenant("t", "sealed")
    assert first != await store.create_tenant("u", "sealed")


async def test_a_tenant_is_made_with_its_first_key_or_not_at_all(store: AnyStore) -> None:
    await store.create_tenant("t", "sealed", KEY)
    with pytest.raises(StoreRejected):
        await store.create_tenant("u", "sealed", replace(KEY, id="key2"))
    await store.create_tenant("u", "sealed", replace(KEY, id="key2", hash="e" * 64))
    other = Writer(await store.create_tenant("v", "sealed"))
    with pytest.raises(StoreRejected):
        await store.commit(other.batch(KEY))


async def test_a_tenant_that_is_not_there(store: AnyStore) -> None:
    with pytest.raises(NotFound):
        await store.head("nobody")
    with pytest.raises(NotFound):
        await store.load("nobody")
    with pytest.raises(Fenced):
        await store.commit(Writer("nobody").batch(CUSTOMER))
    assert not (await store.lookup("nobody", EVERYTHING)).customers


# -- commit and load ---------------------------------------------------------------------------------------------------


async def test_what_was_committed_is_loaded(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2")
    contacts = [writer.contact(channel=each) for each in ("voice", "voice", "voice", "chat")]
    batch = writer.batch(CONFIG)
    await store.commit(batch)
    assert batch.head == await store.head(writer.tenant)
    assert list(batch.events) == list(await store.events(writer.tenant, 0, 100))
    found = await store.load(writer.tenant)
    assert [CONFIG] == list(found.config)
    assert sorted(contacts) == sorted(row[0] for row in found.contacts)
    assert writer.state.hash == (await loaded(store, writer.tenant)).hash


async def test_what_has_ended_is_kept_but_not_loaded(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    contact = writer.contact()
    assignment = writer.state.contacts[contact].assignment_id
    assert assignment
    await store.commit(writer.batch())
    writer.do(c.Accept(assignment))
    await store.commit(writer.batch())
    writer.do(c.Complete(assignment, resolved=False, disposition="wrong number"))
    batch = writer.batch()
    rows = {row[0]: row for row in (*batch.changes.contacts, *batch.changes.assignments)}
    await store.commit(batch)
    found = await store.load(writer.tenant)
    assert [] == [*found.contacts, *found.assignments]
    known = await store.lookup(writer.tenant, Wanted(contacts={contact}))
    assert {contact: rows[contact]} == known.contacts
    assert {assignment: rows[assignment]} == known.assignments


async def test_every_text_comes_back_as_it_was(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    for text in NASTY:
        tags = (TagRequest(text, level=1, required=False, expires_after_s=30),)
        writer.contact(text, channel=text, account=text, tags=tags, language=text)
        writer.do(c.SetPresence("a1", "away", text))
        writer.do(c.SetPresence("a1", "available"))
    facts: list[Fact] = []
    for text in NASTY:
        facts += [
            replace(CUSTOMER, id=text, display_name=text, attributes={text: [text, {"nul": "\0"}]}, tags=(text,)),
            IdentityFact(text, text, text, text, strong=True, created_at=5),
        ]
    batch = writer.batch(*facts)
    await store.commit(batch)
    assert writer.state.hash == (await loaded(store, writer.tenant)).hash
    assert list(batch.events) == list(await store.events(writer.tenant, 0, 1_000))
    known = await store.lookup(writer.tenant, Wanted(identities={(each, each) for each in NASTY}))
    assert {(each, each): each for each in NASTY} == known.identities
    assert {each.id: each for each in facts if isinstance(each, Customer)} == known.customers


async def test_a_hash_of_64_bits_comes_back(store: AnyStore, writer: Writer) -> None:
    for number in (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        batch = writer.batch(CUSTOMER)
        await store.commit(replace(batch, head=replace(batch.head, state_hash=number)))
        assert number == (await store.head(writer.tenant)).state_hash


@pytest.mark.parametrize("seed", range(3))
async def test_any_course_of_things_is_loaded_as_it_was(store: AnyStore, writer: Writer, seed: int) -> None:
    rng = random.Random(seed)
    writer.staff("a1", "a2", "a3")
    for step in range(300):
        held = list(writer.state.assignments)
        one = rng.choice(held) if held else "none"
        open_ = list(writer.state.contacts)
        contact = rng.choice(open_) if open_ else "none"
        writer.now += rng.choice([0, 0, 0, 4_000, 40_000])
        commands: list[c.Command] = [
            c.Receive(writer.new_id(), f"k{step % 7}", rng.choice(["chat", "voice"]), priority=rng.choice([0, 9])),
            c.Accept(one),
            c.Accept(one),
            c.Complete(one, resolved=True),
            c.Decline(one),
            c.Cancel(contact),
            c.Transfer(contact, "a1", to_agent_id="a2"),
            c.Reclassify(contact, priority=rng.choice([0, 60])),
            c.SetPresence(f"a{step % 3 + 1}", rng.choice(["available", "available", "away"])),
            c.Tick(),
        ]
        writer.try_(rng.choice(commands))
        if rng.random() < 0.3:
            await store.commit(writer.batch())
            if rng.random() < 0.3:
                assert writer.state.hash == (await loaded(store, writer.tenant)).hash
    await store.commit(writer.batch())
    assert writer.state.hash == (await loaded(store, writer.tenant)).hash
    assert [] == await compare(store, writer.tenant)


async def test_messages_wait_in_the_order_of_their_places_until_they_are_sent(store: AnyStore, writer: Writer) -> None:
    native = {"m1": 30, "m2": 10, "m3": 20}
    waiting = [replace(OUTGOING, message_id=each, place=place) for each, place in native.items()]
    by_gateway = replace(OUTGOING, message_id="m4", place=15, channel="email", native=False, agent_id=None)
    said = [
        replace(MESSAGE, id=each.message_id, external_id=None, contact_id="c1" if each.native else "c2")
        for each in (*waiting, by_gateway)
    ]
    erased = replace(by_gateway, contact_id="c2")
    await store.commit(writer.batch(CONTACT, *said, *waiting, erased))
    found = await store.outgoing(writer.tenant, 0, 10, native=True)
    assert ["m2", "m3", "m1"] == [each.message.id for each in found]
    assert Outgoing(waiting[1], said[1], "phone", "+8613800138000", "call-1") == found[0]
    assert ["m3"] == [each.message.id for each in await store.outgoing(writer.tenant, 10, 1, native=True)]
    assert [Outgoing(erased, said[3], None, None, None)] == list(
        await store.outgoing(writer.tenant, 0, 10, native=False, channel="email")
    )
    assert not await store.outgoing(writer.tenant, 0, 10, native=False, channel="sms")
    assert not await store.outgoing("nobody", 0, 10, native=True)
    sent = replace(waiting[1], state="sent", receipt="r", at=8)
    await store.commit(writer.batch(sent))
    assert ["m3", "m1"] == [each.message.id for each in await store.outgoing(writer.tenant, 0, 10, native=True)]
    assert {"m2": sent} == (await store.lookup(writer.tenant, Wanted(messages={"m2"}))).outgoing


async def test_media_are_wanted_until_they_are_kept(store: AnyStore, writer: Writer) -> None:
    wanted = [MediaFact(f"f{each}", "c1", "wechat", "shop", "image", "wanted", 7, "theirs") for each in range(3)]
    await store.commit(writer.batch(*wanted))
    assert wanted == list(await store.wanted_media(writer.tenant, "", 10))
    assert wanted[1:2] == list(await store.wanted_media(writer.tenant, "f0", 1))
    assert not await store.wanted_media("nobody", "", 10)
    await store.commit(writer.batch(replace(wanted[1], state="failed", reason="gone")))
    assert [wanted[0], wanted[2]] == list(await store.wanted_media(writer.tenant, "", 10))


async def test_accounts_are_asked_while_they_say_that_there_is_something(store: AnyStore, writer: Writer) -> None:
    other = replace(CURSOR, account="other", wanted=False)
    await store.commit(writer.batch(CURSOR, other))
    assert [CURSOR] == list(await store.wanted_cursors(writer.tenant))
    assert not await store.wanted_cursors("nobody")
    await store.commit(writer.batch(replace(CURSOR, wanted=False)))
    assert not await store.wanted_cursors(writer.tenant)


async def test_replay_finds_messages_that_are_not_where_their_events_left_them(store: AnyStore, writer: Writer) -> None:
    contact = writer.contact()
    writer.do(c.SendMessage(contact, "m1", "text", "boss"))
    message, outgoing = replace(MESSAGE, contact_id=contact), replace(OUTGOING, contact_id=contact)
    await store.commit(writer.batch(message, outgoing))
    assert [] == await compare(store, writer.tenant)
    writer.do(c.MoveMessage(contact, "m1", "queued", "failed", "blocked"))
    await store.commit(writer.batch())
    assert ["message m1 is queued in the tables, failed by the journal"] == await compare(store, writer.tenant)
    await store.commit(writer.batch(replace(outgoing, state="failed", reason="blocked")))
    assert [] == await compare(store, writer.tenant)


async def test_a_contact_changes_hands_within_one_batch(store: AnyStore, writer: Writer) -> None:
    """The backstop must not see two holders where one has let go in the same batch."""
    writer.staff("a2", "a1")
    contact = writer.contact()
    first = writer.state.contacts[contact].assignment_id
    assert first
    writer.do(c.Accept(first))
    await store.commit(writer.batch())
    holder = writer.state.assignments[first].agent_id
    writer.do(c.Transfer(contact, holder, to_agent_id="a1" if holder == "a2" else "a2"))
    second = writer.state.contacts[contact].assignment_id
    assert second
    writer.do(c.Accept(second))
    batch = writer.batch()
    assert {first, second} == {row[0] for row in batch.changes.assignments}
    await store.commit(replace(batch, changes=_reversed(batch.changes)))
    assert {second} == set((await loaded(store, writer.tenant)).assignments)


def _reversed(changes: Changes) -> Changes:
    return replace(changes, assignments=sorted(changes.assignments, key=lambda row: str(row[0]), reverse=True))


async def test_an_agent_is_removed(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2")
    await store.commit(writer.batch())
    writer.do(c.SetPresence("a1", "offline"))
    writer.do(c.DeleteAgent("a1"))
    await store.commit(writer.batch())
    assert {"a2"} == set((await loaded(store, writer.tenant)).agents)


async def test_a_collaboration_is_loaded_while_it_is_open(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2")
    contact = writer.contact()
    requirement = {"tag": 'a "b" 退款', "skill": "refund", "level": 3, "required": True, "weight": 1, "lapses_at": None}
    help_ = writer.ask(contact, "a2", requirements=[requirement | {"shared": True}], department="warehouse")
    other = writer.ask(contact)
    await store.commit(writer.batch())
    state = await loaded(store, writer.tenant)
    assert {help_, other} == set(state.collaborations) == set(state.helps[contact])
    assert writer.state.collaborations[help_].row() == state.collaborations[help_].row()
    writer.tell(
        "collaboration.accepted",
        contact_id=contact,
        agent_id="a2",
        collaboration_id=help_,
        helper_id="a2",
        progress_by=writer.now + 7_200_000,
        lead_by=None,
        solution_by=1 << 62,
    )
    writer.tell(
        "collaboration.replied",
        contact_id=contact,
        collaboration_id=help_,
        kind="solution",
        approved=True,
        progress_by=None,
        lead_by=None,
        **{"from": "helper"},
    )
    writer.tell("collaboration.warning", contact_id=contact, collaboration_id=other, deadline="feedback")
    await store.commit(writer.batch())
    assert writer.state.hash == (await loaded(store, writer.tenant)).hash
    writer.tell("collaboration.closed", contact_id=contact, collaboration_id=help_, reason="done", by="a1")
    batch = writer.batch()
    await store.commit(batch)
    assert {other} == set((await loaded(store, writer.tenant)).collaborations)
    known = await store.lookup(writer.tenant, Wanted(collaborations={help_, "none"}))
    assert {help_: batch.changes.collaborations[0]} == known.collaborations
    assert [] == await compare(store, writer.tenant)


async def test_what_every_policy_adds_to_a_row_comes_back(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    writer.do(c.SetPresence("a1", "away"))
    need: dict[str, Any] = {"queue": "default", "priority": 0, "language": None, "tags": ["a"], "requirements": []}
    need |= {"target_agent_id": "a1", "target_kind": "last", "target_until": 1 << 60}
    need |= {"terms": {"agents": ["a1", "a9"], "not_teams": ["night"]}}
    writer.tell(
        "contact.received",
        contact_id="c1",
        customer_id="k1",
        channel="chat",
        account="",
        rules=[],
        pilot="summer:trial",
        **need,
    )
    writer.tell("contact.relaxed", contact_id="c1", step=2, reason="time", **need | {"target_agent_id": None})
    writer.tell("contact.flagged", contact_id="c1", flag="long_wait")
    offer: dict[str, Any] = {"assignment_id": "x1", "channel": "chat", "cost": 25, "expires_at": writer.now + 20_000}
    writer.tell("contact.offered", contact_id="c1", agent_id="a1", **offer)
    writer.tell("contact.active", contact_id="c1", agent_id="a1", assignment_id="x1")
    writer.tell("assignment.released", contact_id="c1", agent_id="a1", assignment_id="x1", reason="silent", wanted=True)
    writer.tell("agent.paused", agent_id="a1", reason="控制", by="boss")
    await store.commit(writer.batch())
    state = await loaded(store, writer.tenant)
    assert (True, True) == (state.assignments["x1"].released, state.assignments["x1"].wanted)
    parked: dict[str, Any] = {"assignment_id": "x1", "until": 1 << 60, "reason": "promised", "by": "a1"}
    writer.tell("contact.parked", contact_id="c1", agent_id="a1", **parked)
    await store.commit(writer.batch())
    state = await loaded(store, writer.tenant)
    contact = state.contacts["c1"]
    assert ("parked", "a1", "summer:trial", ("long_wait",)) == (
        contact.state,
        contact.owner_id,
        contact.pilot,
        contact.flags,
    )
    assert writer.state.contacts["c1"].row() == contact.row()
    assert writer.state.agents["a1"].row() == state.agents["a1"].row()
    assert [] == await compare(store, writer.tenant)


# -- the fence ---------------------------------------------------------------------------------------------------------


async def test_the_fence_keeps_out_whoever_builds_on_an_old_head(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    batch = writer.batch(CUSTOMER)
    await store.commit(batch)
    late = replace(batch, head=replace(batch.head, batch="late"), facts=[replace(CUSTOMER, id="late")])
    early = replace(late, before=batch.head.seq + 1)
    for each in (late, early):
        with pytest.raises(Fenced):
            await store.commit(each)
    assert batch.head == await store.head(writer.tenant)
    assert {"k1"} == set((await store.lookup(writer.tenant, Wanted(customers={"k1", "late"}))).customers)
    assert len(batch.events) == len(await store.events(writer.tenant, 0, 100))


async def test_of_those_who_race_for_one_head_exactly_one_wins(store: AnyStore, writer: Writer) -> None:
    for _ in range(10):
        before = writer.before
        writer.contact()
        batch = writer.batch()
        racers = [replace(batch, head=replace(batch.head, batch=f"racer {each}")) for each in range(4)]
        results = await asyncio.gather(*(store.commit(each) for each in racers), return_exceptions=True)
        assert [Fenced] * 3 == [type(each) for each in results if each is not None]
        assert f"racer {results.index(None)}" == (await store.head(writer.tenant)).batch
        assert [each.seq for each in batch.events] == [
            each.seq for each in await store.events(writer.tenant, before, 100)
        ]


async def test_a_batch_without_events_may_be_sent_again(store: AnyStore, writer: Writer) -> None:
    """Its number does not move the fence: it is the same to write it twice."""
    batch = writer.batch(*FACTS, answers=(ANSWER,))
    await store.commit(batch)
    await store.commit(batch)
    assert batch.head == await store.head(writer.tenant)
    assert {"k1": CUSTOMER} == (await store.lookup(writer.tenant, EVERYTHING)).customers


# -- refused data ------------------------------------------------------------------------------------------------------

REFUSED: dict[str, Fact | Answer] = {
    "a strong identity of another customer": replace(IDENTITY, customer_id="k2"),
    "another contact's external id": replace(CONTACT, id="c2"),
    "another message's external id": replace(MESSAGE, id="m2"),
    "another key's hash": replace(KEY, id="key2"),
    "a text with NUL": replace(CUSTOMER, display_name="a\0b"),
    "a key with NUL": replace(CUSTOMER, id="a\0b"),
    "a text with half a character": replace(CUSTOMER, display_name="\ud800"),
    "JSON with half a character": replace(CUSTOMER, attributes={"a": "\ud800"}),
    "JSON that is none": replace(CUSTOMER, attributes={"a": object()}),
    "a number beyond 64 bits": replace(CUSTOMER, created_at=1 << 63),
    "a number beyond 16 bits": replace(ANSWER, status=1 << 15),
    "nothing where something must be": replace(CUSTOMER, created_at=None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED.keys())
async def test_refused_data_leaves_nothing_behind(store: AnyStore, writer: Writer, bad: Fact | Answer) -> None:
    await store.commit(writer.batch(*FACTS))
    head = await store.head(writer.tenant)
    writer.staff("a1")
    writer.contact()
    good = writer.batch(replace(CUSTOMER, id="k9"), replace(CUSTOMER, tier="silver"))
    more: dict[str, Any] = {"answers": [bad]} if isinstance(bad, Answer) else {"facts": [*good.facts, bad]}
    offending = replace(good, **more)
    with pytest.raises(StoreRejected):
        await store.commit(offending)
    assert head == await store.head(writer.tenant)
    assert 0 == len(await store.events(writer.tenant, 0, 10))
    assert {"k1": CUSTOMER} == (await store.lookup(writer.tenant, Wanted(customers={"k1", "k9"}))).customers
    await loaded(store, writer.tenant)
    await store.commit(good)
    assert writer.state.hash == (await loaded(store, writer.tenant)).hash


def _held(contact_id: str, agent_id: str, state: str) -> Changes:
    """A row of an assignment that the agent accepted, and nothing else."""
    held = Assignment(f"of {agent_id}", contact_id, agent_id, "chat", 25, START_MS, START_MS + 1, state)
    held.accepted_at = START_MS
    return Changes([], [held.row()], [], [], [])


@pytest.mark.parametrize("second", ["active", "parked", "wrap_up"])
@pytest.mark.parametrize("first", ["active", "parked", "wrap_up"])
async def test_a_contact_is_never_with_two_agents(store: AnyStore, writer: Writer, first: str, second: str) -> None:
    await store.commit(replace(writer.batch(), changes=_held("c1", "a1", first)))
    with pytest.raises(StoreRejected):
        await store.commit(replace(writer.batch(), changes=_held("c1", "a2", second)))
    await store.commit(replace(writer.batch(), changes=_held("c1", "a1", second)))
    await store.commit(replace(writer.batch(), changes=_held("c2", "a2", second)))


async def test_a_contact_may_be_offered_to_several_agents(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2", "a3")
    for agent in ("a1", "a2", "a3"):
        writer.do(c.SetPresence(agent, "away"))
    contact = writer.contact()
    for agent in ("a1", "a2", "a3"):
        writer.tell(
            "contact.offered",
            contact_id=contact,
            agent_id=agent,
            assignment_id=f"of {agent}",
            channel="chat",
            cost=25,
            expires_at=writer.now + 20_000,
        )
    await store.commit(writer.batch())
    assert {"of a1", "of a2", "of a3"} == set((await loaded(store, writer.tenant)).offers[contact])
    writer.tell("contact.active", contact_id=contact, agent_id="a2", assignment_id="of a2")
    for agent in ("a1", "a3"):
        writer.tell("offer.revoked", contact_id=contact, agent_id=agent, assignment_id=f"of {agent}", reason="taken")
    await store.commit(writer.batch())
    assert {"of a2"} == set((await loaded(store, writer.tenant)).assignments)
    assert [] == await compare(store, writer.tenant)


async def test_a_number_of_the_journal_is_written_once(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    batch = writer.batch()
    await store.commit(batch)
    with pytest.raises(StoreRejected):
        await store.commit(replace(batch, before=batch.head.seq))


async def test_names_that_must_be_unique_are_so_over_all_tenants(store: AnyStore, writer: Writer) -> None:
    other = Writer(await store.create_tenant("other", "sealed"))
    await store.commit(writer.batch(ACCOUNT, KEY))
    for fact in (ACCOUNT, KEY):
        with pytest.raises(StoreRejected):
            await store.commit(other.batch(fact))
    await store.commit(writer.batch(replace(ACCOUNT, deleted=True)))
    await store.commit(other.batch(ACCOUNT))
    with pytest.raises(StoreRejected):
        await store.commit(writer.batch(ACCOUNT))


# -- facts -------------------------------------------------------------------------------------------------------------


async def test_everything_is_found_by_its_keys(store: AnyStore, writer: Writer) -> None:
    writer.ids = iter(["c1", "x1", "batch"])
    writer.staff("a1")
    writer.contact("k1")
    batch = writer.batch(*FACTS, answers=(ANSWER,))
    await store.commit(batch)
    known = await store.lookup(writer.tenant, EVERYTHING)
    assert {("phone", "+8613800138000"): "k1"} == known.identities
    assert {("voice", "main", "call-1"): "c1"} == known.external_contacts
    assert {("wechat", "shop", "msg-1"): MESSAGE} == known.external_messages
    assert {"c1": batch.changes.contacts[0]} == known.contacts
    assert {"c1": CONTACT} == known.facts
    assert {"x1": batch.changes.assignments[0]} == known.assignments
    assert {"k1": CUSTOMER} == known.customers
    assert {"m1": MESSAGE} == known.messages
    assert {"m1": OUTGOING} == known.outgoing
    assert {"f1": MEDIA} == known.media
    assert {"shop": CURSOR} == known.cursors
    assert {(CONFIG.kind, CONFIG.name): CONFIG} == known.config
    assert {ACCOUNT.name: ACCOUNT} == known.accounts
    assert {} == known.connectors
    assert {} == known.token_trusts, "by another id than the tenant's own none is found"
    assert {} == known.webhooks
    assert {ANSWER.scope: ANSWER} == known.answers


async def test_whose_tokens_a_tenant_trusts_is_found_by_the_tenant(store: AnyStore, writer: Writer) -> None:
    trust = TrustFact({"algorithms": ["HS256"]}, {"current": "sealed"})
    writer.contact()
    await store.commit(writer.batch(trust))
    for tenant, found in ((writer.tenant, {TRUST: trust}), ("t", {})):
        assert found == (await store.lookup(writer.tenant, Wanted(token_trusts={tenant}))).token_trusts


async def test_what_is_found_brings_what_belongs_to_it(store: AnyStore, writer: Writer) -> None:
    writer.ids = iter(["c1", "x1", "batch"])
    writer.staff("a1")
    writer.contact("k1")
    await store.commit(writer.batch(*FACTS))
    by_contact = await store.lookup(writer.tenant, Wanted(contacts={"c1"}))
    assert ({"c1"}, {"c1"}, {"x1"}, {"k1"}) == (
        set(by_contact.contacts),
        set(by_contact.facts),
        set(by_contact.assignments),
        set(by_contact.customers),
    )
    by_identity = await store.lookup(writer.tenant, Wanted(identities={IDENTITY_KEY}))
    assert {"k1": CUSTOMER} == by_identity.customers
    assert not by_identity.contacts
    assert not (await store.lookup(writer.tenant, Wanted())).customers


IDENTITY_KEY = (IDENTITY.type, IDENTITY.value)


async def test_another_tenant_finds_nothing(store: AnyStore, writer: Writer) -> None:
    other = await store.create_tenant("other", "sealed")
    writer.staff("a1")
    writer.contact("k1")
    await store.commit(writer.batch(*FACTS, answers=(ANSWER,)))
    known = await store.lookup(other, EVERYTHING)
    assert not any(getattr(known, each) for each in known.__slots__)
    assert not await store.events(other, 0, 100)
    assert not (await store.load(other)).contacts


async def test_many_keys_at_once(store: AnyStore, writer: Writer) -> None:
    facts = [IdentityFact("phone", f"+{each}", f"k{each}", None, strong=True, created_at=1) for each in range(1_000)]
    await store.commit(writer.batch(*facts, *(Customer(each.customer_id, 1) for each in facts)))
    wanted = Wanted(identities={("phone", f"+{each}") for each in range(2_000)})
    known = await store.lookup(writer.tenant, wanted)
    assert {("phone", f"+{each}"): f"k{each}" for each in range(1_000)} == known.identities
    assert 1_000 == len(known.customers)


@pytest.mark.parametrize("key", ["a\0b", "\ud800"])
async def test_a_key_that_no_row_could_have_is_refused(store: AnyStore, writer: Writer, key: str) -> None:
    for wanted in (Wanted(contacts={key}), Wanted(identities={("phone", key)}), Wanted(answers={key})):
        with pytest.raises(StoreRejected):
            await store.lookup(writer.tenant, wanted)


async def test_the_newest_contacts_of_a_customer_come_with_its_identity(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    made = [writer.contact("k1", tags=(TagRequest(f"t{each}", required=False),)) for each in range(12)]
    state = writer.state
    taken, handed, gone = made[1], made[3], made[11]
    at: dict[str, int] = {each: state.contacts[each].created_at for each in made}
    for each in (taken, handed):
        writer.do(c.Accept(str(state.contacts[each].assignment_id)))
    accepted_at = state.assignments[str(state.contacts[taken].assignment_id)].accepted_at
    writer.do(c.SetPresence("a1", "away"))
    writer.do(c.Transfer(handed, "a1", to_queue="default"))
    writer.do(c.Cancel(gone))
    writer.contact("k2")
    await store.commit(writer.batch(CUSTOMER, IDENTITY))

    async def found(since: int | None, key: tuple[str, str] = IDENTITY_KEY) -> dict[str, tuple[Recent, ...]]:
        return (await store.lookup(writer.tenant, Wanted(identities={key}, recent_since=since))).recent

    recent = await found(START_MS)
    assert {"k1": made[:1:-1]} == {customer: [each.contact_id for each in of] for customer, of in recent.items()}
    last = Recent(gone, at[gone], ("t11",), closed=True, channel="chat", outcome="abandoned")
    assert last == recent["k1"][0]
    assert Recent(handed, at[handed], ("t3",), closed=False, agent_id="a1", channel="chat") == recent["k1"][8]
    for each in made[2:]:
        writer.try_(c.Cancel(each))
    await store.commit(writer.batch())
    assert made[10:][::-1] == [each.contact_id for each in (await found(at[made[10]]))["k1"]]
    assert {} == await found(writer.now)
    assert {} == await found(None)
    assert {} == await found(START_MS, ("phone", "+1"))
    named = await store.lookup(writer.tenant, Wanted(customers={"k1"}, recent_since=START_MS))
    assert {"k1"} == named.recent.keys(), "of customers that are named, where no identity is wanted"
    other = Writer(await store.create_tenant("other", "sealed"), "y")
    other.staff("a1")
    mine = other.contact("k1")
    other.do(c.Accept(str(other.state.contacts[mine].assignment_id)))
    await store.commit(other.batch(CUSTOMER, IDENTITY))
    of_other = await store.lookup(other.tenant, Wanted(identities={IDENTITY_KEY}, recent_since=START_MS))
    assert [(mine, "a1")] == [(each.contact_id, each.agent_id) for each in of_other.recent["k1"]]
    assert accepted_at is not None


async def test_the_tags_of_contacts_go_further_back(store: AnyStore, writer: Writer) -> None:
    made = [writer.contact("k1", tags=(TagRequest(f"t{each}", required=False),)) for each in range(12)]
    at = {each: writer.state.contacts[each].created_at for each in made}
    other = writer.contact("k2")
    await store.commit(writer.batch(CUSTOMER, replace(CUSTOMER, id="k2", survivor_id="k1"), IDENTITY))

    async def found(since: int, **wanted: Any) -> dict[str, list[Tagged]]:
        known = await store.lookup(writer.tenant, Wanted(lately_since=since, **wanted))
        return {customer: list(of) for customer, of in known.lately.items()}

    whole = [Tagged(each, at[each], (f"t{number}",)) for number, each in enumerate(made)][::-1]
    assert {"k1": whole} == await found(START_MS, identities={IDENTITY_KEY})
    assert {"k1": whole[:2]} == await found(at[made[10]], customers={"k1"})
    await store.commit(writer.batch(replace(CUSTOMER, survivor_id="k1")))
    assert {"k1", "k2"} == (await found(START_MS, contacts={other})).keys(), "of the whole family"
    assert {} == await found(START_MS, answers={"none"})


async def test_when_a_customer_was_turned_to_is_known_of_the_whole_family(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    asked, followed_up, called_back, still_waits, other = (writer.contact(each) for each in ("k1",) * 4 + ("k2",))
    for each in (called_back, still_waits):
        writer.tell("contact.flagged", contact_id=each, customer_id="k1", flag="callback")
    writer.do(c.Accept(str(writer.state.contacts[called_back].assignment_id)))
    answered_at = writer.state.contacts[called_back].answered_at
    outbound = [
        ContactFact(each, "chat", "main", None, "phone", "+1", None, {}, outbound=True) for each in (followed_up, other)
    ]
    inbound = ContactFact(asked, "chat", "main", None, "phone", "+1", None, {})
    family = (replace(CUSTOMER, survivor_id="k1"), replace(CUSTOMER, id="k2", survivor_id="k1"))
    surveys = (SurveyFact(asked, START_MS + 7), SurveyFact(followed_up, START_MS + 8, "quiet_hours"))
    await store.commit(writer.batch(*family, IDENTITY, inbound, *outbound, *surveys))
    found = await store.lookup(writer.tenant, Wanted(contacts={asked}, surveys={followed_up, "none"}, outreach=True))
    assert {followed_up: surveys[1]} == found.surveys
    began = {each: writer.state.contacts[each].created_at for each in (followed_up, other)}
    assert answered_at is not None
    assert sorted([began[followed_up], answered_at, START_MS + 7]) == sorted(found.outreach["k1"])
    assert (began[other],) == found.outreach["k2"]
    assert {} == (await store.lookup(writer.tenant, Wanted(contacts={asked}))).outreach


async def test_contacts_of_a_batch_that_was_refused_are_not_recent(store: AnyStore, writer: Writer) -> None:
    await store.commit(writer.batch(CUSTOMER, IDENTITY))
    writer.contact("k1")
    good = writer.batch()
    with pytest.raises(StoreRejected):
        await store.commit(replace(good, facts=[replace(IDENTITY, customer_id="k2")]))
    wanted = Wanted(identities={IDENTITY_KEY}, recent_since=0)
    assert {} == (await store.lookup(writer.tenant, wanted)).recent
    await store.commit(good)
    assert 1 == len((await store.lookup(writer.tenant, wanted)).recent["k1"])


async def test_a_weak_identity_ties_nobody_and_is_shared(store: AnyStore, writer: Writer) -> None:
    weak = [IdentityFact("email", "a@b.cn", each, None, strong=False, created_at=5) for each in ("k1", "k2")]
    await store.commit(writer.batch(*weak))
    assert {} == (await store.lookup(writer.tenant, Wanted(identities={("email", "a@b.cn")}))).identities


NEWER: list[tuple[Fact, Fact, Callable[[Any], Any]]] = [
    (CUSTOMER, replace(CUSTOMER, tier=None, attributes={}), lambda known: known.customers["k1"]),
    (CONTACT, replace(CONTACT, attributes={"b": 2}, problem="late"), lambda known: known.facts["c1"]),
    (MESSAGE, replace(MESSAGE, text="recalled"), lambda known: known.messages["m1"]),
]


@pytest.mark.parametrize(("old", "new", "read"), NEWER, ids=["customer", "contact", "message"])
@pytest.mark.parametrize("batches", [1, 2])
async def test_the_newest_of_a_fact_wins(
    store: AnyStore, writer: Writer, old: Fact, new: Fact, read: Callable[[Any], Any], batches: int
) -> None:
    writer.ids = iter(["c1", "batch", "batch2"])
    writer.contact("k1")
    if batches == 1:
        await store.commit(writer.batch(old, new))
    else:
        await store.commit(writer.batch(old))
        await store.commit(writer.batch(new))
    assert new == read(await store.lookup(writer.tenant, EVERYTHING))


async def test_of_what_is_known_of_a_contact_the_text_never_comes_back(store: AnyStore, writer: Writer) -> None:
    """Who read it before something was taken away of it does not bring that back."""
    writer.ids = iter(["c1", "batch", "batch2", "batch3"])
    writer.contact("k1")
    await store.commit(writer.batch(replace(CONTACT, text=None)))
    asked = Wanted(contacts={"c1"}, linked={"c1"})
    assert not (await store.lookup(writer.tenant, asked)).linked
    await store.commit(writer.batch(replace(CONTACT, attributes={"b": 2}, problem="late")))
    known = await store.lookup(writer.tenant, asked)
    assert replace(CONTACT, text=None, attributes={"b": 2}, problem="late") == known.facts["c1"] == known.linked["c1"]
    await store.commit(writer.batch(CONTACT))
    known = await store.lookup(writer.tenant, asked)
    assert (replace(CONTACT, text=None), {}) == (known.facts["c1"], known.linked)


async def test_a_link_leaves_all_else_of_a_contact_as_it_is_stored(store: AnyStore, writer: Writer) -> None:
    """Retention may have taken the attributes since they were read; what else was written in the batch stays."""
    writer.ids = iter(["c1", "batch", "batch2", "batch3", "batch4"])
    writer.contact("k1")
    await store.commit(writer.batch(replace(CONTACT, text=None, attributes={})))
    for facts, attributes, problem in (
        ([LinkFact(replace(CONTACT, problem="late"))], {}, "late"),
        ([replace(CONTACT, attributes={"b": 2}, problem="late"), LinkFact(CONTACT)], {"b": 2}, None),
        ([LinkFact(replace(CONTACT, problem="broken"))], {"b": 2}, "broken"),
    ):
        await store.commit(writer.batch(*facts))
        found = (await store.lookup(writer.tenant, Wanted(contacts={"c1"}))).facts["c1"]
        assert replace(CONTACT, text=None, attributes=attributes, problem=problem) == found


async def test_a_common_problem_is_put_and_removed(store: AnyStore, writer: Writer) -> None:
    first = ProblemFact("late", {"title": "Late"}, 5, linked=1, first_at=6, last_at=6, unreported=("c1",))
    second = replace(first, linked=2, unreported=(), reported_at=7, solved_at=8, solved_by="a1", note="done")
    for fact, expected in ((first, {"late": first}), (second, {"late": second}), (replace(second, deleted=True), {})):
        await store.commit(writer.batch(fact))
        assert expected == (await store.lookup(writer.tenant, Wanted(problems={"late"}))).problems


async def test_a_roster_is_put_and_removed(store: AnyStore, writer: Writer) -> None:
    first = RosterFact("week", (("a1", 5, 9), ("a2", 6, 8)))
    second = RosterFact("week", (("a2", 1, 2),))
    for fact, expected in ((first, {"week": first}), (second, {"week": second}), (replace(first, deleted=True), {})):
        await store.commit(writer.batch(fact))
        assert expected == (await store.lookup(writer.tenant, Wanted(rosters={"week"}))).rosters


async def test_configuration_is_put_and_removed(store: AnyStore, writer: Writer) -> None:
    changed, gone = replace(CONFIG, body={"name": "Bo"}), replace(CONFIG, body=None)
    for batch, expected in (
        ([CONFIG], [CONFIG]),
        ([gone, changed], [changed]),
        ([replace(CONFIG, kind="queue"), gone], [replace(CONFIG, kind="queue")]),
        ([gone], [replace(CONFIG, kind="queue")]),
    ):
        await store.commit(writer.batch(*batch))
        assert expected == list((await store.load(writer.tenant)).config)


async def test_an_identity_keeps_its_customer_when_it_comes_again(store: AnyStore, writer: Writer) -> None:
    await store.commit(writer.batch(CUSTOMER, IDENTITY))
    await store.commit(writer.batch(replace(IDENTITY, display_name="Li"), replace(IDENTITY, display_name="Wang")))
    assert {IDENTITY_KEY: "k1"} == (await store.lookup(writer.tenant, EVERYTHING)).identities


async def test_a_stored_answer_is_the_newest(store: AnyStore, writer: Writer) -> None:
    await store.commit(writer.batch(answers=(ANSWER, replace(ANSWER, status=200))))
    await store.commit(writer.batch(answers=(replace(ANSWER, at=6),)))
    assert {ANSWER.scope: replace(ANSWER, at=6)} == (await store.lookup(writer.tenant, EVERYTHING)).answers


# -- the journal -------------------------------------------------------------------------------------------------------


async def test_the_journal_is_read_in_pages(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2")
    for _ in range(20):
        writer.contact()
    batch = writer.batch()
    await store.commit(batch)
    found: list[Event] = []
    while page := await store.events(writer.tenant, found[-1].seq if found else 0, 7):
        assert len(page) <= 7
        found += page
    assert list(batch.events) == found
    assert [] == list(await store.events(writer.tenant, batch.head.seq + 5, 7))


async def test_one_agents_part_of_the_journal(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1", "a2")
    for _ in range(6):
        writer.contact()
    batch: Batch = writer.batch()
    await store.commit(batch)
    mine = [each for each in batch.events if each.agent_id == "a2"]
    assert mine
    assert mine[:2] == list(await store.events(writer.tenant, 0, 2, agent_id="a2"))
    assert mine[2:] == list(await store.events(writer.tenant, mine[1].seq, 100, agent_id="a2"))
    assert [] == list(await store.events(writer.tenant, 0, 100, agent_id="nobody"))


# -- leases ------------------------------------------------------------------------------------------------------------


async def test_a_tenant_is_served_by_one_process(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    await store.renew("p1", 60)
    await store.renew("p2", 60)
    assert await store.claim("p1", tenant)
    assert await store.claim("p1", tenant)
    assert not await store.claim("p2", tenant)


async def test_a_process_that_lapsed_is_followed(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    await store.renew("p1", 0.2)
    await store.renew("p2", 60)
    assert await store.claim("p1", tenant)
    assert not await store.claim("p2", tenant)
    await asyncio.sleep(0.25)
    assert not await store.claim("p1", tenant)
    assert await store.claim("p2", tenant)
    await store.renew("p1", 60)
    assert not await store.claim("p1", tenant)


async def test_a_process_that_renews_stays(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    await store.renew("p2", 60)
    await store.renew("p1", 0.3)
    assert await store.claim("p1", tenant)
    await asyncio.sleep(0.2)
    await store.renew("p1", 60)
    await asyncio.sleep(0.2)
    assert not await store.claim("p2", tenant)


async def test_what_is_released_is_free_at_once(store: AnyStore) -> None:
    tenants = [await store.create_tenant(each, "sealed") for each in ("t", "u")]
    await store.renew("p1", 60)
    await store.renew("p2", 60)
    for tenant in tenants:
        assert await store.claim("p1", tenant)
    await store.release("p1")
    for tenant in tenants:
        assert not await store.claim("p1", tenant)
        assert await store.claim("p2", tenant)


async def test_nobody_claims_what_is_not_there(store: AnyStore) -> None:
    await store.renew("p1", 60)
    assert not await store.claim("p1", "nobody")


async def test_of_those_who_claim_at_once_one_gets_it(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    processes = [f"p{each}" for each in range(6)]
    for process in processes:
        await store.renew(process, 60)
    assert 1 == sum(await asyncio.gather(*(store.claim(each, tenant) for each in processes)))


async def test_a_tenant_is_handed_to_a_process_that_stays(store: AnyStore) -> None:
    tenant = await store.create_tenant("t", "sealed")
    for process in ("p1", "p2", "p3"):
        await store.renew(process, 60)
    await store.renew("gone", 0.05)
    await store.drain("p3")
    assert await store.claim("p1", tenant)
    await asyncio.sleep(0.1)
    assert not await store.hand("p2", tenant, "p2"), "it is not p2's to give"
    assert not await store.hand("p1", tenant, "p3"), "p3 is about to leave"
    assert not await store.hand("p1", tenant, "gone")
    assert not await store.hand("p1", tenant, "nobody")
    assert await store.hand("p1", tenant, "p2")
    assert not await store.claim("p1", tenant)
    assert await store.claim("p2", tenant)
    assert await store.hand("p2", tenant, None)
    assert await store.claim("p1", tenant)


async def test_who_lives_and_who_serves_what(store: AnyStore) -> None:
    first, second = [await store.create_tenant(each, "sealed") for each in ("t", "u")]
    assert not await store.renew("p1", 0.2, "http://one:1", 2), "it had no lease before"
    assert await store.renew("p1", 0.2, "http://one:1", 2)
    await store.renew("p2", 60, "http://two:2", 3)
    assert await store.claim("p1", first)
    assert Process("p1", "http://one:1", draining=False, version=2) == await store.who_serves(first)
    assert await store.who_serves(second) is None
    await store.drain("p2")
    live = {
        "p1": Process("p1", "http://one:1", draining=False, version=2),
        "p2": Process("p2", "http://two:2", draining=True, version=3),
    }
    assert Survey(live, {first: "p1", second: None}) == await store.survey()
    await asyncio.sleep(0.25)
    assert await store.who_serves(first) is None
    assert {"p2"} == (await store.survey()).live.keys()
    assert not await store.renew("p1", 60), "it had lapsed"


async def test_how_far_journals_are(store: AnyStore, writer: Writer) -> None:
    writer.staff("a1")
    await store.commit(writer.batch())
    other = await store.create_tenant("other", "sealed")
    assert {writer.tenant: writer.state.seq, other: 0} == await store.heads([writer.tenant, other, "nobody"])
