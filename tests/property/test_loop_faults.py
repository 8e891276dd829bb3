"""Jobs that no engine should have to bear: only the offender is refused, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import pytest

from src.api.schemas import AgentBody
from src.dispatch import jobs, memory
from src.dispatch.facts import ConfigFact, IdentityFact
from src.dispatch.inbound import Identity, InboundContact
from src.dispatch.known import Known, Wanted
from src.dispatch.ports import Batch, Head, Loaded, Parts
from src.dispatch.tenant import TenantLoop
from src.dispatch.turn import Once, Repeated, Turn
from src.errors import Conflict, Fenced, Internal, Malformed, NotFound, NotOwner, Refused, StoreUnreachable
from src.router import commands as c
from src.router.entities import CONTACT_COLUMNS, Contact
from src.router.journal import Event
from src.router.model import AgentConfig
from src.router.state import State
from src.store.memory import MemoryStore
from tests.support.virtual import VirtualClock, run


@dataclass(frozen=True)
class Raises:
    """A job with a fault of ours in it."""

    def wants(self, wanted: Wanted, state: State) -> None: ...

    def run(self, turn: Turn) -> None:
        turn.engine.state.seq += 7
        raise RuntimeError("a fault of ours")


@dataclass(frozen=True)
class Rejected:
    """A job whose data the store cannot take: a strong identity of somebody else."""

    def wants(self, wanted: Wanted, state: State) -> None: ...

    def run(self, turn: Turn) -> None:
        turn.write(IdentityFact("phone", "+8613800138000", "somebody else", None, strong=True, created_at=turn.now))


class Silent:
    def publish(self, tenant: str, events: list[Event], known: Known) -> None: ...

    def reached(self, tenant: str) -> int | None:
        return None


class Rival(MemoryStore):
    """After some commits, another owner writes first."""

    commits = 0

    async def commit(self, batch: Batch) -> None:
        self.commits += 1
        if self.commits == 3:
            raise Fenced("another process was first")
        await super().commit(batch)


def _contact(number: int) -> jobs.TakeContact:
    return jobs.TakeContact(InboundContact("chat", "", f"x{number}", Identity("phone", "+8613800138000")))


async def _played(store: MemoryStore, *batch: Any) -> list[Any]:
    """Submit everything at once, so that it is one batch; give results and refusals."""
    tenant = await store.create_tenant("t", "secret")
    ids = iter(f"{n:06d}" for n in range(10_000))
    loop = TenantLoop(tenant, Parts(store, Silent(), VirtualClock(), lambda: next(ids)))  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(60):
        done = await asyncio.gather(*(loop.submit(each) for each in batch), return_exceptions=True)
    loop.stop()
    await asyncio.gather(task, return_exceptions=True)
    return done


@pytest.mark.parametrize(("offender", "verdict"), [(Raises(), Internal), (Rejected(), Conflict)])
def test_only_the_offender_is_refused(offender: Any, verdict: type[Refused]) -> None:
    async def main() -> None:
        done = await _played(MemoryStore(VirtualClock()), _contact(1), _contact(2), offender, _contact(3))
        assert [True, True, False, True] == [isinstance(each, jobs.Taken) for each in done]
        assert isinstance(done[2], verdict)
        assert 3 == len({each.contact_id for each in done if isinstance(each, jobs.Taken)})

    run(main())


def test_nobody_waits_for_ever_when_the_tenant_is_lost_in_the_middle() -> None:
    async def main() -> None:
        done = await _played(Rival(VirtualClock()), _contact(1), Raises(), _contact(2), _contact(3), _contact(4))
        assert all(isinstance(each, (jobs.Taken, Internal, Fenced, NotOwner)) for each in done), done
        assert any(isinstance(each, Fenced) for each in done)

    run(main())


class Overtaken(MemoryStore):
    """Another process has committed something since, of which the loop's memory knows nothing."""

    ahead = 0

    async def load(self, tenant: str) -> Loaded:
        ahead, self.ahead = self.ahead, 0
        loaded = await super().load(tenant)
        self.ahead = ahead
        return loaded

    async def head(self, tenant: str) -> Head:
        found = await super().head(tenant)
        return replace(found, seq=found.seq + self.ahead)


@pytest.mark.parametrize(("ahead", "verdict"), [(0, NotFound), (1, Fenced)])
def test_a_refusal_from_old_memory_is_not_given_though_the_lease_runs(ahead: int, verdict: type[Refused]) -> None:
    async def main() -> None:
        store = Overtaken(VirtualClock())
        store.ahead = ahead
        done = await _played(store, jobs.OnAssignment("nothing", c.Accept("nothing")))
        assert verdict is type(done[0]), done

    run(main())


class Away(MemoryStore):
    """A database that went away for good."""

    async def load(self, tenant: str) -> Loaded:
        raise StoreUnreachable("gone")


def test_a_stop_does_not_wait_for_a_database_that_is_away() -> None:
    async def main() -> None:
        store = Away(VirtualClock())
        loop = TenantLoop("t", Parts(store, Silent(), VirtualClock(), str))  # type: ignore[arg-type]
        task = asyncio.create_task(loop.run())
        await asyncio.sleep(5)
        loop.stop()
        async with asyncio.timeout(30):
            await task

    run(main())


def test_an_id_that_nothing_can_have_is_refused_and_the_engine_kept() -> None:
    async def main() -> None:
        store = Counting(VirtualClock())
        bad = jobs.OnAssignment("a\0b", c.Accept("a\0b"))
        done = await _played(store, _contact(1), bad, _contact(2))
        assert [True, False, True] == [isinstance(each, jobs.Taken) for each in done]
        assert isinstance(done[1], Malformed)
        assert 1 == store.loads

    run(main())


class Counting(MemoryStore):
    """Counts how often an engine was loaded."""

    loads = 0

    async def load(self, tenant: str) -> Loaded:
        self.loads += 1
        return await super().load(tenant)


class Newer(MemoryStore):
    """A journal that a newer release has written."""

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        return [Event(after + 1, "contact.teleported", 1)]


def test_a_journal_of_a_newer_release_is_left_alone() -> None:
    async def main() -> None:
        done = await _played(Newer(VirtualClock()), _contact(1))
        assert isinstance(done[0], NotOwner)

    run(main())


def test_a_take_over_that_stutters_is_still_a_take_over() -> None:
    """Nobody is punished for it: the grace period starts anew although the first load did not get through."""

    async def main() -> None:
        store = MemoryStore(VirtualClock())
        tenant = await store.create_tenant("t", "secret")
        ids = iter(f"{n:06d}" for n in range(10_000))
        parts = Parts(store, Silent(), VirtualClock(), lambda: next(ids))  # type: ignore[arg-type]
        first = TenantLoop(tenant, parts)
        task = asyncio.create_task(first.run())
        config = AgentConfig("a")
        body: dict[str, Any] = {
            "name": "",
            "skills": {},
            "languages": [],
            "capacity": 100,
            "channels": None,
            "teams": [],
        }
        await first.submit(jobs.Configure(c.PutAgent(config), ConfigFact("agent", "a", body)))
        await first.submit(jobs.OnAgent("a", c.Connect("a", "s1")))
        first.stop()
        await task
        lost = Lossy(store)
        second = TenantLoop(tenant, Parts(lost, Silent(), VirtualClock(), lambda: next(ids)))  # type: ignore[arg-type]
        task = asyncio.create_task(second.run())
        await asyncio.sleep(20)
        assert second._memory._leases is None, "no engine was ever ready: there is nothing to take over"
        state = State()
        loaded = await store.load(tenant)
        state.load(loaded.head.seq, loaded.head.at, [], [], loaded.agents)
        assert state.agents["a"].grace_until is not None
        second.stop()
        await task

    run(main())


class Lossy:
    """A way to a store that loses commits for longer than one is tried again."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.left = 60

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, batch: Batch) -> None:
        self.left -= 1
        if self.left > 0:
            raise StoreUnreachable("lost")
        await self.store.commit(batch)


def _poison(number: int) -> jobs.TakeContact:
    return jobs.TakeContact(InboundContact("poison", "", f"p{number}", Identity("phone", "+8613800138000")))


def _raise_on_poison(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks this of a contact cannot bear contacts of one channel: a fault of ours."""
    if not isinstance(Contact.row, FunctionType):
        pytest.skip("a compiled class takes no faulty property")
    sound = getattr(Contact, name)

    def faulty(contact: Contact) -> Any:
        if contact.channel == "poison":
            raise RuntimeError("a fault of ours")
        return sound.fget(contact)

    monkeypatch.setattr(Contact, name, property(faulty))


def _agent(name: str) -> jobs.Configure:
    return jobs.Configure(
        c.PutAgent(AgentConfig(name, capacity=100)), ConfigFact("agent", name, AgentBody(capacity=100).model_dump())
    )


def _there(name: str) -> jobs.OnAgent:
    return jobs.OnAgent(name, c.SetPresence(name, "available", None, 3600))


async def _states(store: MemoryStore, tenant: str) -> list[str]:
    """Of all open contacts, in the order in which they came."""
    return [Contact.from_row(each).state for each in (await store.load(tenant)).contacts]


_ids = (f"{n:06d}" for n in range(1_000_000))


async def _served(store: MemoryStore, tenant: str, *asked: Any) -> list[Any]:
    """A loop of its own for these jobs, one after the other."""
    loop = TenantLoop(tenant, Parts(store, Silent(), VirtualClock(), lambda: next(_ids)))  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(60):
            return [await loop.submit(each) for each in asked]
    finally:
        loop.stop()
        await task


def test_a_contact_that_the_engine_cannot_bear_is_written_down_and_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    _raise_on_poison("key", monkeypatch)

    async def main() -> None:
        store = MemoryStore(VirtualClock())
        tenant = await store.create_tenant("t", "secret")
        done = await _served(store, tenant, _contact(1), _poison(1), _contact(2), _poison(1))
        assert done[1].contact_id == done[3].contact_id
        assert done[1].snapshot.contact[CONTACT_COLUMNS.index("state")] == "parked"
        assert ["waiting", "parked", "waiting"] == await _states(store, tenant)

    run(main())


def test_a_batch_that_is_done_anew_keeps_its_idempotency_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """One contact of a batch is set aside, so all of it is done again: each key stands for what came of it, once."""
    _raise_on_poison("key", monkeypatch)

    def rendered(taken: jobs.Taken) -> tuple[int, dict[str, Any]]:
        return 201, {"id": taken.contact_id}

    def keyed(number: int, job: jobs.TakeContact) -> tuple[Any, Any]:
        return replace(job, inbound=replace(job.inbound, external_id=None)), Once(f"key {number}", "hash", rendered)

    async def main() -> None:
        store = MemoryStore(VirtualClock())
        tenant = await store.create_tenant("t", "secret")
        loop = TenantLoop(tenant, Parts(store, Silent(), VirtualClock(), lambda: next(_ids)))  # type: ignore[arg-type]
        task = asyncio.create_task(loop.run())
        batch = [keyed(number, job) for number, job in enumerate((_contact(1), _poison(1), _contact(2)))]
        async with asyncio.timeout(60):
            first = await asyncio.gather(*(loop.submit(*each) for each in batch))
            again = await asyncio.gather(*(loop.submit(*each) for each in batch))
        loop.stop()
        await task
        for taken, repeated in zip(first, again, strict=True):
            assert isinstance(taken, jobs.Taken)
            assert isinstance(repeated, Repeated), "the key was written down with what it led to"
            assert taken.contact_id == repeated.answer.body["id"]
        assert ["waiting", "parked", "waiting"] == await _states(store, tenant)

    run(main())


@pytest.mark.parametrize("asked", ["rank", "key", "entered_at"])  # in matching, in waiting, in timing
def test_a_contact_that_turns_out_bad_later_is_set_aside_and_all_others_go_on(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        store = MemoryStore(VirtualClock())
        tenant = await store.create_tenant("t", "secret")
        await _served(store, tenant, _poison(1), _contact(1))
        _raise_on_poison(asked, monkeypatch)
        await _served(store, tenant, _agent("anna"), _there("anna"), _contact(2))
        assert ["parked", "offered", "waiting"] == await _states(store, tenant)
        events = await store.events(tenant, 0, 1000)
        assert ["set_aside"] == [each.data["reason"] for each in events if each.type == "contact.parked"]

    run(main())


def test_an_engine_that_fails_upon_every_contact_does_not_park_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store = MemoryStore(VirtualClock())
        tenant = await store.create_tenant("t", "secret")
        monkeypatch.setattr(memory, "ASIDE_MAX", 2)
        await _served(store, tenant, *(_poison(number) for number in range(6)))
        _raise_on_poison("rank", monkeypatch)
        with pytest.raises(Internal):
            await _served(store, tenant, _agent("anna"), _there("anna"))
        assert 2 == (await _states(store, tenant)).count("parked")

    run(main())
