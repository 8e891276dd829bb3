"""Webhooks over a real loop and a store in memory, in virtual time: order, retries over days, crashes, replays."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import count, pairwise
from typing import Any

import pytest

from src import metrics
from src.dispatch import jobs, webhooks
from src.dispatch.facts import Actor, WebhookFact
from src.dispatch.inbound import Identity, InboundMessage
from src.dispatch.known import Known
from src.dispatch.ports import Delivered, Parts
from src.dispatch.tenant import TenantLoop
from src.errors import StoreUnreachable
from src.router.journal import Event
from src.store.memory import MemoryStore
from tests.support.virtual import VirtualClock, run

TAKEN = Delivered()
BAD = Delivered("http_500")
NOBODY = Delivered("unreachable", whole=True)
BOSS = Actor("key", "boss")
DAY_S = 86_400
RECEIVED = "contact.received"

Answer = Callable[[Event], Delivered]


def counted() -> tuple[float, float]:
    """What was posted again because it was not taken, and what may have been posted by the process before."""
    found = [metrics.REGISTRY.get_sample_value(f"cordboard_{name}_total", {"what": "webhook"}) for name in COUNTED]
    return found[0] or 0, found[1] or 0


COUNTED = ("repeats", "in_doubt")


class Told:
    """Delivery to nobody."""

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        pass

    def reached(self, tenant: str) -> int | None:
        return None


class Receiver:
    """Answers as it is told to, takes its time, and remembers what it took."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: TAKEN
        self.takes_s: Callable[[Event], float] = lambda _: 0.01
        self.taken: list[Event] = []
        self.asked: list[tuple[float, int]] = []
        self.busy = self.busiest = 0

    async def post(self, tenant: str, webhook: WebhookFact, event: Event) -> Delivered:
        self.asked.append((asyncio.get_running_loop().time(), event.seq))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(self.takes_s(event))
        finally:
            self.busy -= 1
        answer = self.answer(event)
        if answer.reason is None:
            self.taken.append(event)
        return answer

    def seqs(self) -> list[int]:
        return [each.seq for each in self.taken]

    def in_order(self) -> bool:
        """Each contact's events came in the order of the journal; twice is not wrong."""
        first = list(dict.fromkeys((each.contact_id, each.seq) for each in self.taken))
        by_contact: dict[str | None, list[int]] = {}
        for contact_id, seq in first:
            by_contact.setdefault(contact_id, []).append(seq)
        return all(seqs == sorted(seqs) for seqs in by_contact.values())


class Centre:
    """One tenant over a store that outlives its loops."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.receiver = Receiver()
        self.ids = (f"x{each:05d}" for each in count())
        self.names = count()
        self.customers: dict[str, str] = {}
        self.tenant = ""

    async def start(self) -> "Running":
        if not self.tenant:
            self.tenant = await self.store.create_tenant("t", "sealed")
        parts = Parts(self.store, Told(), self.clock, lambda: next(self.ids), poster=self.receiver)
        loop = TenantLoop(self.tenant, parts)
        return Running(self, loop, asyncio.create_task(loop.run()))

    async def journal(self, *types: str) -> list[int]:
        """The numbers of all events behind the webhook's making, of these types if any."""
        found = await self.store.webhooks(self.tenant)
        events = await self.store.events(self.tenant, found[0][0].since, 10_000)
        return [each.seq for each in events if not types or each.type in types]

    async def pending(self, state: str = "pending") -> list[int]:
        return [each.seq for each in await self.store.deliveries(self.tenant, "hook", state, 0, 10_000)]


class Running:
    """A loop that runs."""

    def __init__(self, centre: Centre, loop: TenantLoop, task: "asyncio.Task[None]") -> None:
        self.centre, self.loop, self.task = centre, loop, task

    async def hook(self, *types: str, enabled: bool = True, **body: Any) -> None:
        stored = {"url": "u", "types": list(types), "personal": False, "enabled": enabled, "previous_until": None}
        await self.loop.submit(jobs.PutWebhook(WebhookFact("hook", stored | body, {}), "sealed", BOSS))

    async def contact(self) -> str:
        name = f"c{next(self.centre.names)}"
        taken: Any = await self.loop.submit(
            jobs.take(InboundMessage("chat", "shop", f"in {name}", Identity("openid", name), text="hello"))
        )
        self.centre.customers[str(taken.contact_id)] = name
        return str(taken.contact_id)

    async def say(self, contact_id: str) -> None:
        """One more event of a contact."""
        customer = Identity("openid", self.centre.customers[contact_id])
        said = InboundMessage("chat", "shop", f"said {next(self.centre.names)}", customer, text="hello?")
        await self.loop.submit(jobs.take(said))

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def hand_over(self) -> None:
        await self.loop.rest(5)
        self.loop.stop()
        await self.task


def scenario(main: Callable[[Centre], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        run(main(Centre()))

    test.__name__ = main.__name__
    return test


@scenario
async def test_everything_behind_its_making_is_told_once_and_in_order(centre: Centre) -> None:
    running = await centre.start()
    await running.contact()
    await running.hook()
    for _ in range(30):
        await running.contact()
    await asyncio.sleep(5)
    assert await centre.journal() == sorted(centre.receiver.seqs())
    assert centre.receiver.in_order()
    assert centre.receiver.busiest <= webhooks.POSTING_MAX
    assert await centre.journal("journal.checkpoint", RECEIVED)
    ((_, cursor),) = await centre.store.webhooks(centre.tenant)
    assert cursor.seq == max(centre.receiver.seqs())


@scenario
async def test_only_what_it_wants(centre: Centre) -> None:
    running = await centre.start()
    await running.hook(RECEIVED, "message.*")
    for _ in range(3):
        await running.contact()
    await asyncio.sleep(5)
    assert {RECEIVED, "message.received"} >= {each.type for each in centre.receiver.taken}
    assert 3 == len([each for each in centre.receiver.taken if each.type == RECEIVED])


@scenario
async def test_what_fails_holds_back_its_own_contact_alone_and_is_dead_after_three_days(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    bad = await running.contact()
    await asyncio.sleep(2)
    told = len(centre.receiver.taken)
    centre.receiver.answer = lambda event: BAD if event.contact_id == bad else TAKEN
    await running.say(bad)
    first = (await centre.journal())[-1]
    await running.say(bad)
    second = (await centre.journal())[-1]
    good = await running.contact()
    await asyncio.sleep(3)
    assert {good} == {each.contact_id for each in centre.receiver.taken[told:]}, "the others are told"
    assert [first, second] == await centre.pending()
    ((_, cursor),) = await centre.store.webhooks(centre.tenant)
    assert cursor.seq > second, "the cursor does not wait for what fails"
    await asyncio.sleep(70 * 3600)
    assert first in await centre.pending()
    assert second not in [seq for _, seq in centre.receiver.asked], "it comes behind the first"
    await asyncio.sleep(14 * 3600)  # with all the jitter that there can be, the last attempt comes after 83 hours
    assert [first] == await centre.pending("dead")
    tries = [at for at, seq in centre.receiver.asked if seq == first]
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    for gap, delay in zip(gaps, webhooks.DELAYS_S, strict=True):
        assert delay <= gap <= delay * (1 + webhooks.JITTER) + 1, "the schedule, with jitter"
    assert second in [seq for _, seq in centre.receiver.asked], "its turn has come"

    centre.receiver.answer = lambda _: TAKEN
    dead = await centre.store.deliveries(centre.tenant, "hook", "dead", 0, 10)
    assert 1 == await running.loop.submit(jobs.Replay("hook", tuple(dead), BOSS))
    await asyncio.sleep(12 * 3600)
    assert {first, second} <= set(centre.receiver.seqs())
    assert [] == await centre.pending("dead") + await centre.pending()


@scenario
async def test_a_receiver_that_comes_back_after_a_day_gets_all_in_order(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    centre.receiver.answer = lambda _: NOBODY
    contacts = [await running.contact() for _ in range(5)]
    for _ in range(20):
        for each in contacts:
            await running.say(each)
        await asyncio.sleep(DAY_S / 20)
    ((_, cursor),) = await centre.store.webhooks(centre.tenant)
    assert ("unreachable", True) == (cursor.failing, cursor.failing_since is not None)
    assert len(centre.receiver.asked) < 3_000, "it is not asked all the time"
    centre.receiver.answer = lambda _: TAKEN
    await asyncio.sleep(400)
    assert await centre.journal() == sorted(centre.receiver.seqs()), "all of it, each once"
    assert centre.receiver.in_order()
    ((_, cursor),) = await centre.store.webhooks(centre.tenant)
    assert cursor.failing is None


@scenario
async def test_one_that_refuses_everything_for_a_day_gets_all_in_order_soon_after(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    centre.receiver.answer = lambda _: BAD
    contacts = [await running.contact() for _ in range(12)]
    for _ in range(4):
        for each in contacts:
            await running.say(each)
        await asyncio.sleep(DAY_S / 4)
    centre.receiver.answer = lambda _: TAKEN
    await running.contact()
    await asyncio.sleep(60)
    assert await centre.journal() == sorted(centre.receiver.seqs())
    assert centre.receiver.in_order()
    assert [] == await centre.pending() + await centre.pending("dead")


@scenario
async def test_nothing_is_missing_though_it_is_killed_again_and_again(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    contacts = [await running.contact() for _ in range(4)]
    tries = count()
    centre.receiver.answer = lambda _: BAD if next(tries) % 3 == 0 else TAKEN
    centre.receiver.takes_s = lambda event: 0.05 * (event.seq % 7)
    before = counted()
    for each in range(12):
        for contact_id in contacts:
            await running.say(contact_id)
        await asyncio.sleep(0.1 * each)
        await (running.kill() if each % 3 else running.hand_over())
        running = await centre.start()
    centre.receiver.answer = lambda _: TAKEN
    await asyncio.sleep(3 * DAY_S)
    assert set(await centre.journal()) == set(centre.receiver.seqs())
    assert centre.receiver.in_order()
    twice = len(centre.receiver.seqs()) - len(set(centre.receiver.seqs()))
    again, in_doubt = (now - then for now, then in zip(counted(), before, strict=True))
    assert 0 < twice <= in_doubt, "each that went twice, from one process to the next, is counted as such"
    assert again > 0
    assert [] == await centre.pending() + await centre.pending("dead")


@scenario
async def test_whoever_hands_over_leaves_nothing_that_is_told_twice(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    for _ in range(5):
        for _ in range(5):
            await running.contact()
        await running.hand_over()
        running = await centre.start()
    await asyncio.sleep(5)
    assert await centre.journal() == sorted(centre.receiver.seqs())


@scenario
async def test_gone_switches_it_off_and_it_goes_on_once_it_is_enabled(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    await running.contact()
    await asyncio.sleep(2)
    centre.receiver.answer = lambda _: Delivered("http_410", gone=True)
    await running.contact()
    await asyncio.sleep(2)
    ((fact, _),) = await centre.store.webhooks(centre.tenant)
    assert not fact.body["enabled"]
    events = await centre.store.events(centre.tenant, 0, 1_000)
    assert [{"name": "hook", "reason": "gone"}] == [each.data for each in events if each.type == "webhook.disabled"]
    asked = len(centre.receiver.asked)
    await running.contact()
    await asyncio.sleep(DAY_S)
    assert asked == len(centre.receiver.asked), "it is left alone"
    centre.receiver.answer = lambda _: TAKEN
    await running.hook()
    await asyncio.sleep(5)
    assert set(await centre.journal()) == set(centre.receiver.seqs())


@scenario
async def test_one_that_is_not_there_for_three_days_is_switched_off(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    centre.receiver.answer = lambda _: NOBODY
    await running.contact()
    await asyncio.sleep(3.1 * DAY_S)
    events = await centre.store.events(centre.tenant, 0, 1_000)
    assert ["unreachable"] == [each.data["reason"] for each in events if each.type == "webhook.disabled"]


@scenario
async def test_a_store_that_is_away_is_not_the_receivers_fault(centre: Centre) -> None:
    def away(_: Event) -> Delivered:
        raise StoreUnreachable("the store is away")

    running = await centre.start()
    await running.hook(RECEIVED)
    centre.receiver.answer = away
    await running.contact()
    await asyncio.sleep(600)
    ((_, cursor),) = await centre.store.webhooks(centre.tenant)
    assert cursor.failing is None
    centre.receiver.answer = lambda _: TAKEN
    await asyncio.sleep(2)
    assert 1 == len(centre.receiver.taken), "it is told as soon as the store is back"


@scenario
async def test_it_is_left_alone_for_as_long_as_it_asks(centre: Centre) -> None:
    running = await centre.start()
    await running.hook(RECEIVED)
    centre.receiver.answer = lambda _: Delivered("http_429", 1_000.0, whole=True)
    for _ in range(3):
        await running.contact()
    await asyncio.sleep(900)
    assert len(centre.receiver.asked) <= 3
    centre.receiver.answer = lambda _: Delivered("http_503", 4_000.0)
    await asyncio.sleep(1_100)
    centre.receiver.answer = lambda _: TAKEN
    await asyncio.sleep(2_900)
    assert [] == centre.receiver.taken
    await asyncio.sleep(2_000)
    assert 3 == len(centre.receiver.taken)


@scenario
async def test_one_that_is_made_anew_has_nothing_of_the_one_before(centre: Centre) -> None:
    running = await centre.start()
    await running.hook()
    centre.receiver.answer = lambda _: BAD
    await running.contact()
    await asyncio.sleep(2)
    assert await centre.pending()
    await running.loop.submit(jobs.DeleteWebhook("hook", BOSS))
    centre.receiver.answer = lambda _: TAKEN
    await asyncio.sleep(10)
    await running.hook(RECEIVED)
    await asyncio.sleep(DAY_S)
    assert [] == centre.receiver.taken
    await running.contact()
    await asyncio.sleep(2)
    assert await centre.journal(RECEIVED) == centre.receiver.seqs()


@pytest.mark.parametrize("limit", [3])
def test_one_that_takes_nothing_is_not_read_on_for(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(webhooks, "HELD_MAX", limit)

    async def main(centre: Centre) -> None:
        running = await centre.start()
        await running.hook(RECEIVED)
        centre.receiver.answer = lambda _: BAD
        for _ in range(10):
            await running.contact()
            await asyncio.sleep(1)
        assert limit == len(await centre.pending())
        centre.receiver.answer = lambda _: TAKEN
        await asyncio.sleep(DAY_S)
        assert 10 == len(centre.receiver.taken)

    run(main(Centre()))
