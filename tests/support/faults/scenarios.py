"""What is broken, each as one function of a run under load, and what is found of every promise afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.support.faults.books import BrokenPromise
from tests.support.faults.cluster import Cluster
from tests.support.faults.run import Run, running

LEASE_S = 6.0
GRACE_S = 2
LEAVE_S_MAX = 25
"""What it waits for on its way out is 17 s together; a busy machine adds to that. Manifests give a process 60."""
LATE_S_MAX = 0.25
LATER_MAX = 2
LATE_WINDOW_S = 3.0
LATE_LOOKS = 4
Fault = Callable[[Run], Awaitable[None]]


async def kill_the_owner(run: Run) -> None:
    """kill -9 of the process that serves the tenant."""
    (await run.owner()).kill()


async def kill_the_silenced_owner(run: Run) -> None:
    """kill -9 of the owner when nothing that it has sent to PostgreSQL for a second has arrived."""
    owner = await run.owner()
    owner.postgres.silence()
    await asyncio.sleep(1)
    owner.kill()
    await owner.postgres.heal()


async def kill_another(run: Run) -> None:
    """kill -9 of a process that holds sockets, but does not serve the tenant."""
    (await run.others())[0].kill()


async def kill_the_integrators(run: Run) -> None:
    """kill -9 of the process that an integrator is connected to: it resumes on another one."""
    node = run.load.listener.node
    assert node is not None
    node.kill()


async def kill_desks(run: Run) -> None:
    """kill -9 of a process, and two of its desks do not come back: what they had goes to others after their grace."""
    await run.load.insist("PUT", "/v1/settings", json={"presence_grace_s": GRACE_S})
    others = await run.others()
    node = max(others, key=lambda each: sum(desk.node is each for desk in run.load.desks))
    node.kill()
    for desk in [each for each in run.load.desks if each.node is node][:2]:
        desk.leave()
    await asyncio.sleep(LEASE_S + GRACE_S + 3)


async def kill_the_owner_amid_webhooks(run: Run) -> None:
    """A receiver of webhooks fails, then answers nothing, then the owner is killed: it hears what it has not taken."""
    receiver = run.load.receiver
    receiver.failing = True
    await asyncio.sleep(1)
    receiver.failing, receiver.silent = False, True
    await asyncio.sleep(2)  # so long that it is written down, also by a busy machine, how far the webhook has come
    (await run.owner()).kill()
    receiver.silent = False


async def pause_the_owner(run: Run) -> None:
    """SIGSTOP of the owner past its lease, and its return: it finds somebody else in its place."""
    owner = await run.owner()
    owner.pause()
    await asyncio.sleep(LEASE_S + 3)
    owner.go_on()


async def stop_the_owner_cut_off(run: Run) -> None:
    """SIGTERM to the owner while nothing comes through between it and PostgreSQL: it goes all the same, and soon."""
    owner = await run.owner()
    owner.postgres.silence()
    took_s = await owner.end()
    assert took_s < LEAVE_S_MAX, f"it took {took_s:.1f} s to leave"


async def roll(run: Run) -> None:
    """A rolling deploy: one process after the other is told to stop, and started anew."""
    for node in run.cluster.nodes:
        await node.end()
        await run.cluster.start(node)


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


async def blink_to_redis(run: Run) -> None:
    """The owner loses Redis for a moment, again and again: what it announces meanwhile is missing before what follows.

    Each time it is back before the others compare, more often than not.
    """
    owner = await run.owner()
    for _ in range(6):
        await owner.redis.cut()
        await asyncio.sleep(0.3)
        await owner.redis.heal()
        await asyncio.sleep(0.7)


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
    disk.fill()
    await asyncio.sleep(4)
    disk.free()


async def clock_jumps_ahead(run: Run) -> None:
    """The owner's clock jumps an hour ahead, then it dies: its successor's time is an hour behind the journal's.

    A desk does not come back, and what it has must go to others after its grace all the same.
    """
    await run.load.insist("PUT", "/v1/settings", json={"presence_grace_s": GRACE_S})
    owner = await run.owner()
    owner.levers.put_clock(3600)
    await asyncio.sleep(1)
    owner.kill()
    owner.levers.put_clock(0)
    run.load.desks[0].leave()
    await asyncio.sleep(LEASE_S + GRACE_S + 3)


async def clock_goes_back(run: Run) -> None:
    """The owner's clock is put back by an hour while it serves, and a desk does not come back."""
    await run.load.insist("PUT", "/v1/settings", json={"presence_grace_s": GRACE_S})
    (await run.owner()).levers.put_clock(-3600)
    run.load.desks[0].leave()
    await asyncio.sleep(GRACE_S + 2)


FAULTS: tuple[Fault, ...] = (
    kill_the_owner,
    kill_the_silenced_owner,
    kill_another,
    kill_the_integrators,
    kill_desks,
    kill_the_owner_amid_webhooks,
    pause_the_owner,
    stop_the_owner_cut_off,
    roll,
    kill_postgres,
    kill_redis,
    lose_redis,
    cut_the_owner_from_postgres,
    silence_between_owner_and_postgres,
    half_open_to_postgres,
    slow_postgres,
    cut_from_redis,
    blink_to_redis,
    slow_redis,
    fill_the_disk,
    clock_jumps_ahead,
    clock_goes_back,
)
TOLD_LATE = (lose_redis, clock_jumps_ahead, clock_goes_back)
"""Redis is not there, or the journal's time is no clock's."""


async def broken_by(fault: Fault, on: Cluster) -> list[str]:
    """Break one thing under load; every promise that did not hold."""
    try:
        return await _broken_by(fault, on)
    except BrokenPromise as broken:
        return [str(broken)]


async def _broken_by(fault: Fault, on: Cluster) -> list[str]:
    async with running(fault.__name__.replace("_", " "), on) as run:
        async with run.fault():
            await fault(run)
        if not await run.recovered():
            return ["it does not recover"]
        whole_s = time.monotonic()
        await run.going_on()
        late = [] if fault in TOLD_LATE else await _late(run, whole_s)
        return [*await run.finish(), *late]


async def _late(run: Run, since_s: float) -> list[str]:
    """Who hears by comparison alone, once a second, although Redis is there?

    They hear half a second later than subscribers of the owner itself, in the median of some periods, whenever one
    looks. Who hears by Redis hears a few milliseconds later. A machine that is busy with other things is slow at both,
    and not all the time: where the owner's subscribers themselves hear late, others may be later by so many times that,
    and one look that finds nobody late is enough.
    """
    found: list[str] = []
    for _ in range(LATE_LOOKS):
        await asyncio.sleep(max(0.0, since_s + LATE_WINDOW_S - time.monotonic()))
        found = await _late_since(run, since_s)
        if not found:
            break
        since_s = time.monotonic()
    return found


async def _late_since(run: Run, since_s: float) -> list[str]:
    there_s = run.late_s(await run.owner(), since_s)
    if there_s is None:
        there_s = median([each.at_s - each.sent_at_s for each in run.load.books.posts if each.sent_at_s > since_s])
    found = {node.name: run.late_s(node, since_s) for node in await run.others()}
    return [
        f"told late: {name}'s subscribers hear {late_s:.2f} s after the event, and the owner's {there_s:.2f} s"
        for name, late_s in found.items()
        if late_s is not None and late_s - there_s > max(LATE_S_MAX, LATER_MAX * there_s)
    ]
