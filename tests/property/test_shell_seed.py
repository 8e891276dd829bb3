"""One seed drives the whole shell: loops, store, delivery and clock, through lost, late and ambiguous commits.

Three processes share a store, and send each other orders for two tenants; both ways lose what is sent and what is
answered. One of them is paused past its lease now and then, and another takes over; when the first comes back, the
fence must keep it out. Time is virtual, so an hour passes in a second. Every failure prints its seed.
"""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from src.cluster import wire
from src.dispatch import jobs, ports
from src.dispatch.facts import ConfigFact, CursorFact, DeliveryFact, MediaFact, WebhookCursor, WebhookFact
from src.dispatch.inbound import Identity, InboundContact
from src.dispatch.known import Known, Wanted
from src.dispatch.lease import LeaseKeeper
from src.dispatch.orders import Order
from src.dispatch.owner import CLAIM_S, Owner
from src.dispatch.ports import Batch, Checkpoint, Loaded, Outgoing, Parts, Survey
from src.dispatch.turn import Once, Repeated
from src.errors import PeerLost, Refused, StoreUnreachable, Unavailable
from src.router import commands as c
from src.router.journal import Event
from src.router.model import AgentConfig, ChannelLimit, QueueConfig
from src.router.state import State
from src.store.memory import MemoryStore
from tests.support.virtual import VirtualClock, run

SEEDS = int(os.environ.get("CORDBOARD_TEST_SEEDS", "25"))
CONTACTS = 120
AGENTS = ("a1", "a2", "a3")
STEP_S = 0.4


class FaultyStore:
    """A process's way to the store: it loses, delays and doubts, and stands still while the process is paused."""

    def __init__(self, store: MemoryStore, rng: random.Random) -> None:
        self.store = store
        self.rng = rng
        self.faults = True
        self.paused_until = 0.0
        self.late: set[asyncio.Task[None]] = set()

    async def still(self) -> None:
        """Stand still while the process is paused."""
        loop = asyncio.get_running_loop()
        if self.paused_until > loop.time():
            await asyncio.sleep(self.paused_until - loop.time())

    async def _way(self) -> None:
        await self.still()
        if self.faults and self.rng.random() < 0.05:
            await asyncio.sleep(self.rng.random() * 3)
            raise StoreUnreachable("lost on the way")
        await asyncio.sleep(0.001)

    async def head(self, tenant: str) -> Any:
        await self._way()
        return await self.store.head(tenant)

    async def load(self, tenant: str) -> Loaded:
        await self._way()
        return await self.store.load(tenant)

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        await self._way()
        return await self.store.lookup(tenant, wanted)

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        await self._way()
        return await self.store.events(tenant, after, limit, agent_id=agent_id)

    async def commit(self, batch: Batch) -> None:
        await self._way()
        kind = self.rng.choice(["lost", "doubt", "late", "slow", *["good"] * 16]) if self.faults else "good"
        if kind == "lost":
            raise StoreUnreachable("lost before it began")
        if kind == "late":
            task = asyncio.create_task(self._later(batch))
            self.late.add(task)
            raise StoreUnreachable("the connection is gone, the server goes on")
        if kind == "slow":
            await asyncio.sleep(self.rng.random() * 2)
        await self.store.commit(batch)
        if kind == "doubt":
            raise StoreUnreachable("lost behind the commit")

    async def _later(self, batch: Batch) -> None:
        await asyncio.sleep(self.rng.random() * 4)
        with contextlib.suppress(Refused):
            await self.store.commit(batch)

    async def outgoing(
        self, tenant: str, after: int, limit: int, *, native: bool, channel: str | None = None
    ) -> Sequence[Outgoing]:
        await self._way()
        return await self.store.outgoing(tenant, after, limit, native=native, channel=channel)

    async def wanted_media(self, tenant: str, after: str, limit: int) -> Sequence[MediaFact]:
        await self._way()
        return await self.store.wanted_media(tenant, after, limit)

    async def wanted_cursors(self, tenant: str) -> Sequence[CursorFact]:
        await self._way()
        return await self.store.wanted_cursors(tenant)

    async def webhooks(self, tenant: str) -> Sequence[tuple[WebhookFact, WebhookCursor]]:
        await self._way()
        return await self.store.webhooks(tenant)

    async def deliveries(self, tenant: str, webhook: str, state: str, after: int, limit: int) -> Sequence[DeliveryFact]:
        await self._way()
        return await self.store.deliveries(tenant, webhook, state, after, limit)

    async def checkpoint(self, tenant: str) -> Checkpoint | None:
        await self._way()
        return await self.store.checkpoint(tenant)

    async def dropped(self, tenant: str) -> int:
        await self._way()
        return await self.store.dropped(tenant)

    async def heads(self, tenants: Sequence[str]) -> Mapping[str, int]:
        await self._way()
        return await self.store.heads(tenants)

    async def renew(self, process: str, lease_s: float, address: str | None = None, version: int = 1) -> bool:
        await self._way()
        return await self.store.renew(process, lease_s, address, version)

    async def drain(self, process: str) -> None:
        await self._way()
        await self.store.drain(process)

    async def claim(self, process: str, tenant: str) -> bool:
        await self._way()
        return await self.store.claim(process, tenant)

    async def hand(self, process: str, tenant: str, successor: str | None) -> bool:
        await self._way()
        return await self.store.hand(process, tenant, successor)

    async def who_serves(self, tenant: str) -> ports.Process | None:
        await self._way()
        return await self.store.who_serves(tenant)

    async def survey(self) -> Survey:
        await self._way()
        return await self.store.survey()

    async def release(self, process: str) -> None:
        await self.store.release(process)


class Recorder:
    """The Delivery port: everything that was ever told."""

    def __init__(self) -> None:
        self.told: dict[str, list[Event]] = {}

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        self.told.setdefault(tenant, []).extend(events)

    def reached(self, tenant: str) -> int | None:
        told = self.told.get(tenant)
        return told[-1].seq if told else None


class Link:
    """A process's way to the others: in the form that travels, lost on the way there or back, or standing still."""

    def __init__(self, world: "World", rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.faults = True

    def gone(self, processes: Collection[str]) -> None:
        """Nothing: what is asked here ends in time by itself."""

    async def ask(self, peer: ports.Process, tenant: str, order: Order[Any], left_s: float) -> Any:
        other = next(each for each in self.world.processes if each.owner.process == peer.id)
        if self.faults and self.rng.random() < 0.05:
            raise PeerLost("lost on the way")
        try:
            async with asyncio.timeout(left_s):
                await other.way.still()
                try:
                    result = await other.owner.carry_out(tenant, wire.load(wire.dump(order)), left_s)
                except Refused as refusal:
                    raise wire.load(wire.dump(refusal)) from refusal
        except TimeoutError as error:
            raise PeerLost("no answer") from error
        if self.faults and self.rng.random() < 0.05:
            raise PeerLost("lost on the way back")
        return wire.load(wire.dump(result))


class Process:
    """One process of the service."""

    def __init__(self, name: str, world: "World", rng: random.Random, skew_ms: int, ids: Any) -> None:
        self.way = FaultyStore(world.store, rng)
        self.link = Link(world, rng)
        self.recorder = Recorder()
        clock = VirtualClock(skew_ms)
        self.keeper = LeaseKeeper(name, self.way, clock, address=name)
        parts = Parts(self.way, self.recorder, clock, lambda: f"{next(ids):08d}", self.keeper.good)
        self.owner = Owner(name, self.way, parts, self.link)
        self.tasks = [asyncio.create_task(self.keeper.run()), asyncio.create_task(self._keep())]

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(StoreUnreachable):
                await self.owner.keep()
            await asyncio.sleep(CLAIM_S)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await self.owner.stop()
        await self.owner.release()
        await asyncio.gather(*self.way.late)


class World:
    """Some processes, customers and agents that try again until they have an answer, and what they were told.

    Half of the customers post without any id, so that nothing but the order's own tells a repeat.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.store = MemoryStore(VirtualClock())
        self.acknowledged: dict[str, str] = {}
        self.nameless: list[str] = []
        self.accepted: dict[str, str] = {}
        self.tenant = ""
        self.processes: list[Process] = []

    async def play(self) -> None:
        self.tenant = await self.store.create_tenant("t", "secret")
        for name in ("u", "v"):  # so that there is something to spread
            await self.store.create_tenant(name, "secret")
        ids = count()
        for number in range(3):
            self.processes.append(Process(f"p{number}", self, self.rng, number * 137, ids))
        await asyncio.sleep(3)
        await self._configure()
        pauses = asyncio.create_task(self._pauses())
        await asyncio.gather(*(self._customer(n) for n in range(CONTACTS)), *(self._agent(each) for each in AGENTS))
        pauses.cancel()
        for process in self.processes:
            process.way.faults = process.link.faults = False
        await asyncio.sleep(30)
        for process in self.processes:
            await process.stop()

    async def submit(self, job: Any, once: Any = None) -> Any:
        """Try any process until one gives an answer."""
        while True:
            process = self.rng.choice(self.processes)
            try:
                return await process.owner.submit(self.tenant, job, once)
            except (Unavailable, StoreUnreachable):
                await asyncio.sleep(STEP_S * self.rng.random())

    async def _configure(self) -> None:
        queue = QueueConfig("default", offer_timeout_s=4, wrap_up_s=2)
        await self.submit(jobs.Configure(c.PutQueue(queue), ConfigFact("queue", "default", _queue_body(queue))))
        for agent in AGENTS:
            config = AgentConfig(agent, capacity=100, channels={"chat": ChannelLimit(40, 2)})
            body = {"name": "", "skills": {}, "languages": [], "capacity": 100, "teams": []}
            body["channels"] = {"chat": {"cost": 40, "max": 2}}
            await self.submit(jobs.Configure(c.PutAgent(config), ConfigFact("agent", agent, body)))

    async def _pauses(self) -> None:
        while True:
            await asyncio.sleep(5 + 20 * self.rng.random())
            loop = asyncio.get_running_loop()
            self.rng.choice(self.processes).way.paused_until = loop.time() + 12 * self.rng.random()

    async def _customer(self, number: int) -> None:
        await asyncio.sleep(self.rng.random() * 60)
        if number % 2:
            await self._nameless(number)
            return
        inbound = InboundContact("chat", "", f"x{number}", Identity("phone", f"+86138001380{number % 40:02d}"))
        taken = await self.submit(jobs.TakeContact(inbound))
        self.acknowledged[f"x{number}"] = taken.contact_id
        if self.rng.random() < 0.2:
            await asyncio.sleep(self.rng.random() * 10)
            await self.submit(jobs.OnContact(taken.contact_id, c.Cancel(taken.contact_id)))

    async def _nameless(self, number: int) -> None:
        """Post without any id, and do not repeat it: the service must not either."""
        inbound = InboundContact("chat", "", None, Identity("phone", f"+861390013{number:04d}"))
        once: Once[Any] = Once(f"command {number}", "", wire.load(wire.dump(_render)), given=False)
        with contextlib.suppress(Unavailable, StoreUnreachable):
            taken = await self.rng.choice(self.processes).owner.submit(self.tenant, jobs.TakeContact(inbound), once)
            self.nameless.append(taken.answer.body["id"] if isinstance(taken, Repeated) else taken.contact_id)

    async def _agent(self, agent_id: str) -> None:
        while asyncio.get_running_loop().time() < 120:
            await self.submit(jobs.OnAgent(agent_id, c.SetPresence(agent_id, "available", lease_s=60)))
            for row in (await self.store.load(self.tenant)).assignments:
                if row[2] == agent_id:
                    await self._act(row[0], row[1], row[7])
            await asyncio.sleep(STEP_S * self.rng.random())

    async def _act(self, assignment_id: str, contact_id: str, state: str) -> None:
        choice = self.rng.random()
        if state == "offered":
            command: Any = c.Accept(assignment_id) if choice < 0.8 else c.Decline(assignment_id)
        elif state == "active":
            command = c.Complete(assignment_id)
        else:
            return
        with contextlib.suppress(Refused):
            row = await self.submit(jobs.OnAssignment(assignment_id, command))
            if row[7] == "active":
                self.accepted[assignment_id] = contact_id

    # -- afterwards ---------------------------------------------------------------------------------------------

    async def check(self) -> None:
        journal: list[Event] = []
        while page := await self.store.events(self.tenant, len(journal), 1000):
            journal.extend(page)
        assert list(range(1, len(journal) + 1)) == [each.seq for each in journal]
        self._check_customers(journal)
        self._check_told(journal)
        state = State()
        for event in journal:
            state.apply(event)
            assert all(each.load <= 100 for each in state.agents.values()), "an agent is over capacity"
            holders = Counter(each.contact_id for each in state.assignments.values())
            assert all(n == 1 for n in holders.values()), "a contact has two holders"
        state.drain()
        loaded = await self.store.load(self.tenant)
        tables = State()
        tables.load(loaded.head.seq, loaded.head.at, loaded.contacts, loaded.assignments, loaded.agents)
        assert state.hash == tables.hash == loaded.head.state_hash, "load(tables) is not fold(journal)"

    def _check_customers(self, journal: list[Event]) -> None:
        assert CONTACTS // 2 == len(self.acknowledged)
        assert CONTACTS // 3 < len(self.nameless), "most are answered, whatever happens"
        came = {each.contact_id: each.customer_id for each in journal if each.type == "contact.received"}
        named = {came[each] for each in self.acknowledged.values()}
        assert set(self.acknowledged.values()) == {each for each, customer in came.items() if customer in named}
        assert set(self.nameless) <= came.keys(), "a contact was lost"
        doubled = [each for each, n in Counter(came.values()).items() if n > 1 and each not in named]
        assert not doubled, "an order that was sent twice was done twice"
        active = {each.data["assignment_id"] for each in journal if each.type == "contact.active"}
        assert set(self.accepted) <= active, "an accept was answered and is not in the journal"

    def _check_told(self, journal: list[Event]) -> None:
        for process in self.processes:
            told = process.recorder.told.get(self.tenant, [])
            assert [journal[each.seq - 1] for each in told] == told, "something was told that is not in the journal"
            first = told[0].seq if told else 0
            assert [each.seq for each in told] == list(range(first, first + len(told))), "told with a gap, or twice"


@wire.forwardable
def _render(taken: jobs.Taken) -> tuple[int, Mapping[str, Any]]:
    return 201, {"id": taken.contact_id}


def _queue_body(queue: QueueConfig) -> dict[str, Any]:
    return {
        "service_level": {"within_s": queue.within_s, "percent": queue.percent},
        "offer_timeout_s": queue.offer_timeout_s,
        "wrap_up_s": queue.wrap_up_s,
        "reoffer_after_s": None,
        "teams": [],
    }


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_promise_survives(seed: int) -> None:
    async def main() -> None:
        world = World(seed)
        await world.play()
        await world.check()

    run(main())
