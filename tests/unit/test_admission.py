"""What is let in waits for a bounded time, and who is turned away knows when to come back."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from src.api.door import AT_ONCE, SOCKETS_FIRST, Door
from src.delivery.hub import CLOSE_TOO_SLOW, PENDING_COMMITS_MAX, Hub, Subscriber
from src.dispatch.admission import RETRY_S_MAX, RETRY_S_MIN, Admission
from src.dispatch.known import Known, Wanted
from src.errors import Overloaded
from src.router.journal import Event
from src.store.memory import MemoryStore
from tests.support.virtual import VirtualClock, run

WAIT_S = 0.5


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic(self) -> float:
        return self.at_s


def _served(admission: Admission, clock: Hand, rate: float, arriving: float, seconds: float) -> list[float]:
    """Serve first come, first served, at a rate; the waits of all that were let in."""
    line: list[float] = []
    waits: list[float] = []
    step = 0.001
    come = done = 0.0
    for _ in range(int(seconds / step)):
        clock.at_s += step
        come += arriving * step
        while come >= 1:
            come -= 1
            if admission.fits():
                admission.enter()
                line.append(clock.at_s)
        done = min(done + rate * step, 1.0 if not line else done + rate * step)
        while done >= 1 and line:
            done -= 1
            waits.append(clock.at_s - line.pop(0))
            admission.leave()
    return waits


@pytest.mark.parametrize("rate", [100, 1_000])
def test_at_three_times_the_rate_all_that_is_let_in_waits_about_as_long_as_it_may(rate: float) -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    waits = _served(admission, clock, rate, 3 * rate, 10)
    assert len(waits) > 0.95 * 10 * rate, "the server is never idle"
    assert max(waits[len(waits) // 2 :]) < 1.2 * WAIT_S


def test_below_the_rate_nobody_is_turned_away() -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    waits = _served(admission, clock, 500, 450, 10)
    assert len(waits) > 0.99 * 450 * 10


def test_a_service_that_stands_still_is_asked_again_now_and_then() -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    while admission.fits():
        admission.enter()
        clock.at_s += 0.01
    assert 16 <= admission.inside <= 200
    for _ in range(admission.inside):
        clock.at_s += 0.1
        admission.leave()
    assert admission.fits(16)


def test_what_is_refused_further_in_does_not_count_as_served() -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    for _ in range(2_000):
        if admission.fits():
            admission.enter()
        if admission.inside > 20:
            admission.leave(served=False)
        clock.at_s += 0.001
    assert 16 == admission.limit()


def test_what_weighs_more_than_a_slow_service_lets_in_at_a_time_has_its_turn_all_the_same() -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    _served(admission, clock, 10, 30, 10)
    while admission.inside:
        admission.leave()
    assert 16 == admission.limit()
    admission.enter(8)
    assert admission.fits(100)
    admission.enter(1)
    assert not admission.fits(100), "and not before half of the room is free"
    admission.leave(1)
    admission.enter(100)
    assert not admission.fits(), "it counts as what it weighs once it is inside"


def test_a_service_that_stands_still_sends_nobody_away_for_long() -> None:
    clock = Hand()
    admission = Admission(clock, wait_s=WAIT_S, first=200, least=16)
    told = []
    while clock.at_s < 150:
        clock.at_s += 0.05
        if admission.fits():
            admission.enter()
        else:
            told.append(admission.turn_away())
    assert max(told) <= RETRY_S_MIN


def test_many_who_are_turned_away_are_spread_over_the_time_that_it_takes_to_serve_them() -> None:
    clock = Hand()
    few, many = (Admission(clock, wait_s=1.0, first=200, least=16) for _ in range(2))
    assert set(range(1, RETRY_S_MIN + 1)) == {few.turn_away() for _ in range(100)}
    told = [many.turn_away() for _ in range(4_000)]
    assert 15 <= max(told) <= RETRY_S_MAX


def test_a_door_lets_in_a_few_at_a_time_and_tells_the_rest_when_to_come_back() -> None:
    async def main() -> None:
        door = Door(VirtualClock())
        inside, most, refused = 0, 0, []

        async def one() -> None:
            nonlocal inside, most
            try:
                async with door.passed():
                    inside += 1
                    most = max(most, inside)
                    await asyncio.sleep(0.01)
                    inside -= 1
            except Overloaded as refusal:
                refused.append(refusal.retry_after_s)

        await asyncio.gather(*(one() for _ in range(SOCKETS_FIRST + 500)))
        assert (AT_ONCE, 500, 0) == (most, len(refused), inside)
        assert min(refused) >= 1

    run(main())


def test_who_is_slow_at_the_door_holds_up_nobody_for_long() -> None:
    async def main() -> None:
        door = Door(VirtualClock())

        async def slow() -> None:
            async with door.passed():
                await asyncio.sleep(1_000)

        tasks = [asyncio.create_task(slow()) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        async with asyncio.timeout(30), door.passed():
            pass
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert AT_ONCE == door._steps._value

    run(main())


class Stuck(MemoryStore):
    """A store that finds nothing, for ever."""

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        await asyncio.Event().wait()
        return Known()


def test_commits_that_cannot_be_handed_over_do_not_pile_up() -> None:
    def offers(seq: int) -> Sequence[Event]:
        return [Event(seq, "contact.offered", 1, "c", "anna", "u", {"assignment_id": "a"})]

    async def main() -> None:
        hub = Hub(Stuck(VirtualClock()), VirtualClock())
        anna = Subscriber("t", "anna")
        hub.attach(anna)
        for seq in range(1, PENDING_COMMITS_MAX + 2):
            hub.deliver("t", offers(seq), Known())
            await asyncio.sleep(0)
        assert not anna._ready.is_set()
        hub.deliver("t", offers(PENDING_COMMITS_MAX + 2), Known())
        assert anna.close_code == CLOSE_TOO_SLOW
        channel = hub._tenants["t"]
        assert len(channel.pending) == 1
        assert channel.pump is not None
        channel.pump.cancel()

    run(main())


class Core:
    """A process of the service that has one core: what is asked of it is done one after the other."""

    def __init__(self, welcome_s: float, try_s: float) -> None:
        self.door = Door(VirtualClock())
        self._welcome_s, self._try_s = welcome_s, try_s
        self._free_at_s = 0.0

    async def come(self) -> int | None:
        """A desktop comes; when it is to come back, if it is not welcome."""
        await self._work(self._try_s)
        try:
            async with self.door.passed():
                await self._work(self._welcome_s)
        except Overloaded as refusal:
            return refusal.retry_after_s
        return None

    async def _work(self, seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at_s = max(self._free_at_s, now) + seconds
        await asyncio.sleep(self._free_at_s - now)


@pytest.mark.parametrize("desktops", [3_000, 9_000])
@pytest.mark.parametrize("welcome_s", [0.003, 0.01, 0.03])
def test_a_storm_of_desktops_comes_back_when_it_can_be_welcomed(desktops: int, welcome_s: float) -> None:
    async def main() -> None:
        rng, cores = random.Random(1), [Core(welcome_s, welcome_s / 5) for _ in range(3)]
        sent_away: list[int] = []

        async def one(number: int) -> None:
            for tries in range(100):
                pause_s = await cores[(number + tries) % len(cores)].come()
                if pause_s is None:
                    sent_away.append(tries)
                    return
                await asyncio.sleep(pause_s + 0.2 * rng.random())

        await asyncio.gather(*(one(number) for number in range(desktops)))
        at_best_s = desktops * welcome_s * 6 / 5 / len(cores)
        assert desktops == len(sent_away)
        assert sum(sent_away) < 2.5 * desktops
        assert asyncio.get_running_loop().time() < 5 + 1.5 * at_best_s

    run(main())
