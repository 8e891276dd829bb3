"""What operators and machines do to a service of several processes, under load; afterwards every promise still holds.

Each test breaks one thing. `make test-faults` tries all of them, the ordinary tests a few (`CORDBOARD_TEST_FAULTS`).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from tests.support.faults.cluster import Cluster
from tests.support.faults.run import AFTER_S, Run, running

LEASE_S = 6.0
Fault = Callable[[Run], Awaitable[None]]


async def kill_the_owner(run: Run) -> None:
    """kill -9 of the process that serves the tenant."""
    (await run.owner()).kill()


async def kill_another(run: Run) -> None:
    """kill -9 of a process that holds sockets, but does not serve the tenant."""
    (await run.others())[0].kill()


async def pause_the_owner(run: Run) -> None:
    """SIGSTOP of the owner past its lease, and its return: it finds somebody else in its place."""
    owner = await run.owner()
    owner.pause()
    await asyncio.sleep(LEASE_S + 3)
    owner.go_on()


async def kill_postgres(run: Run) -> None:
    """kill -9 of PostgreSQL, and its start."""
    run.cluster.postgres.kill()


async def kill_redis(run: Run) -> None:
    """Redis is killed and comes back empty."""
    run.cluster.redis.kill()
    await asyncio.sleep(1)
    await run.cluster.redis.start()


async def lose_redis(run: Run) -> None:
    """Redis is gone for good: everything goes on without it."""
    run.cluster.redis.kill()


async def cut_the_owner_from_postgres(run: Run) -> None:
    """The owner's connections to PostgreSQL are cut and refused past its lease."""
    owner = await run.owner()
    await owner.postgres.cut()
    await asyncio.sleep(LEASE_S + 2)
    await owner.postgres.heal()


async def silence_between_owner_and_postgres(run: Run) -> None:
    """A cable is out: nothing comes through between owner and PostgreSQL past its lease, and nobody is told."""
    owner = await run.owner()
    owner.postgres.silence()
    await asyncio.sleep(LEASE_S + 2)
    await owner.postgres.heal()


async def half_open_to_postgres(run: Run) -> None:
    """The owner's commits reach PostgreSQL, and the answers are lost."""
    owner = await run.owner()
    owner.postgres.deafen()
    await asyncio.sleep(2)
    await owner.postgres.heal()


async def slow_postgres(run: Run) -> None:
    """Every byte between the owner and PostgreSQL takes 100 ms longer, each way."""
    owner = await run.owner()
    owner.postgres.delay(0.1)
    await asyncio.sleep(4)
    await owner.postgres.heal()


async def cut_from_redis(run: Run) -> None:
    """Owner and one other are cut off from Redis, each in its own way, and both come back."""
    owner, other = await run.owner(), (await run.others())[0]
    await owner.redis.cut()
    other.redis.silence()
    await asyncio.sleep(3)
    await owner.redis.heal()
    await other.redis.heal()


async def slow_redis(run: Run) -> None:
    """Announcements take half a second longer."""
    for node in run.cluster.nodes:
        node.redis.delay(0.25)
    await asyncio.sleep(3)
    for node in run.cluster.nodes:
        await node.redis.heal()


async def fill_the_disk(run: Run) -> None:
    """PostgreSQL's disk is full for some seconds."""
    disk = run.cluster.postgres.disk
    if disk.why_not is not None:
        pytest.skip(disk.why_not)
    disk.fill()
    await asyncio.sleep(4)
    disk.free()


async def clocks_jump(run: Run) -> None:
    """The owner's clock jumps an hour ahead, then it dies: its successor's time is an hour behind the journal's."""
    owner = await run.owner()
    owner.levers.put_clock(3600)
    await asyncio.sleep(1.5)
    owner.kill()
    owner.levers.put_clock(0)


async def clock_goes_back(run: Run) -> None:
    """The owner's clock is put back by an hour while it serves."""
    (await run.owner()).levers.put_clock(-3600)


FAULTS: tuple[Fault, ...] = (
    kill_the_owner,
    kill_another,
    pause_the_owner,
    kill_postgres,
    kill_redis,
    lose_redis,
    cut_the_owner_from_postgres,
    silence_between_owner_and_postgres,
    half_open_to_postgres,
    slow_postgres,
    cut_from_redis,
    slow_redis,
    fill_the_disk,
    clocks_jump,
    clock_goes_back,
)
FEW = (kill_the_owner, kill_postgres, lose_redis)
TRIED = FAULTS if os.environ.get("CORDBOARD_TEST_FAULTS") == "all" else FEW


@pytest.mark.parametrize("fault", TRIED, ids=lambda each: each.__name__)
async def test_every_promise_holds(fault: Fault, the_cluster: Cluster) -> None:
    async with running(fault.__name__.replace("_", " "), the_cluster) as run:
        async with run.fault():
            await fault(run)
        await run.recovered()
        await asyncio.sleep(AFTER_S)
        broken = await run.finish()
        assert len(run.load.books.posts) > 100, "there was no load to speak of"
        assert [] == broken


async def test_a_contact_that_the_engine_fails_upon_is_set_aside_and_told_and_others_go_on(
    the_cluster: Cluster,
) -> None:
    async with running("a poison contact", the_cluster) as run:
        before = (await run.load.post("before", channel="poison")).json()
        async with run.fault():
            for node in the_cluster.nodes:
                node.levers.put_fault(there=True)
            within = (await run.load.post("within", channel="poison")).json()
            (await run.owner()).kill()  # whoever loads the tenant next finds the one that came before the fault
        await run.recovered()
        await asyncio.sleep(AFTER_S)
        for contact_id in (before["id"], within["id"]):
            contact = (await run.load.insist("GET", f"/v1/contacts/{contact_id}")).json()
            assert ("parked", "set_aside") == (contact["state"], contact["park_reason"])
            run.load.books.aside.add(contact_id)
        for node in the_cluster.nodes:
            node.levers.put_fault(there=False)
        resumed = await run.load.insist("POST", f"/v1/contacts/{within['id']}/resume")
        assert (200, "waiting") == (resumed.status_code, resumed.json()["state"])
        assert [] == await run.finish()
