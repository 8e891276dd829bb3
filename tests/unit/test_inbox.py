"""What waits for a tenant's loop: who rides with a batch."""

import asyncio

import pytest

from src.dispatch.clock import SystemClock
from src.dispatch.inbox import BATCH_JOBS_MAX, INBOX_JOBS_FIRST, LET_IN_TURNS_MAX, Inbox, Item
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import TenantOverloaded, Unavailable
from src.router.state import State


class Nothing:
    """A job that wants nothing and does nothing."""

    def wants(self, wanted: Wanted, state: State) -> None:
        """No keys."""

    def run(self, turn: Turn) -> None:
        """Done."""


class Door:
    """An inbox, and those who come to it after so many turns of the event loop."""

    def __init__(self) -> None:
        self.inbox = Inbox(SystemClock())
        self.tasks: list[asyncio.Task[None]] = []

    def comes(self, turns: int) -> None:
        """Somebody is on the way."""
        self.tasks.append(asyncio.create_task(self._come(turns)))

    async def _come(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            await self.inbox.submit(Nothing(), None, None)
        except Unavailable:
            return

    async def taken(self) -> int:
        """How many ride with the next batch."""
        await self.inbox.woken()
        await self.inbox.let_in()
        self.inbox.looked()
        batch = self.inbox.take()
        for each in batch:
            each.answer()
        return len(batch)

    async def close(self) -> None:
        """Send home whoever is still there."""
        self.inbox.refuse_all(Unavailable("it is over"))
        for each in self.tasks:
            each.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_whoever_is_on_the_way_rides_along() -> None:
    door = Door()
    for turns in (0, 1, 3, 5, 20):
        door.comes(turns)
    assert await door.taken() == 4, "two quiet turns in a row end it"
    assert await door.taken() == 1
    await door.close()


async def test_a_batch_does_not_wait_for_a_stream_to_end() -> None:
    door = Door()
    for turns in range(5 * LET_IN_TURNS_MAX):
        door.comes(turns)
    assert LET_IN_TURNS_MAX <= await door.taken() <= LET_IN_TURNS_MAX + 2
    await door.close()


async def test_where_nobody_waits_no_turn_passes() -> None:
    door = Door()
    passed = asyncio.Event()
    asyncio.get_running_loop().call_soon(passed.set)
    await door.inbox.let_in()
    assert not passed.is_set()


class Many(Nothing):
    """Several contacts at a time."""

    weight = INBOX_JOBS_FIRST // 2

    def aside(self) -> "Many":
        """As a contact that comes in has it."""
        return self


async def test_a_job_that_does_the_work_of_many_counts_as_so_many() -> None:
    inbox = Inbox(SystemClock())
    waiting = [asyncio.create_task(inbox.submit(Many(), None, None)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TenantOverloaded):
        await waiting[2]
    await asyncio.sleep(0)
    inbox.refuse_all(Unavailable("it is over"))
    await asyncio.gather(*waiting, return_exceptions=True)
    assert inbox._admission.inside == 0


async def test_one_commit_takes_as_much_work_however_it_is_packed() -> None:
    inbox = Inbox(SystemClock())
    weights = [BATCH_JOBS_MAX - 1, 500, 1]
    for each in weights:
        inbox._waiting.append(Item(Nothing(), None, asyncio.get_running_loop().create_future(), weight=each))
    assert [weights[:2], weights[2:]] == [[each.weight for each in inbox.take()] for _ in range(2)]
