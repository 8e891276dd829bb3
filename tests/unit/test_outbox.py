"""The outbox over a real loop and a store in memory, in virtual time: order, retries, crashes and hand-overs."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any

import pytest

from src import metrics
from src.dispatch import jobs, outbox
from src.dispatch.facts import ConfigFact
from src.dispatch.inbound import Identity, InboundMessage
from src.dispatch.known import Known, Wanted
from src.dispatch.ports import Ended, Outcome, Outgoing, Parts
from src.dispatch.tenant import TenantLoop
from src.errors import Forbidden, InvalidState
from src.router import commands as c
from src.router.journal import Event
from src.router.model import AgentConfig
from src.store.memory import MemoryStore
from src.store.replay import compare
from tests.support.virtual import VirtualClock, run

SENT = Outcome("sent")
AGAIN = Outcome(None, "channel_unreachable")


class Told:
    """Delivery that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        self.events.extend(events)

    def reached(self, tenant: str) -> int | None:
        return None


class Post:
    """A sender that answers from a script, by text; without one, with `sent`. It remembers what it was handed."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Outcome | Exception]] = {}
        self.handed: list[str] = []
        self.takes_s = 0.1
        self.busy = self.busiest = 0

    async def send(self, tenant: str, outgoing: Outgoing) -> Outcome:
        text = str(outgoing.message.text)
        self.handed.append(text)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.busy -= 1
        script = self.answers.get(text)
        answer = script.pop(0) if script else SENT
        if isinstance(answer, Exception):
            raise answer
        return answer

    sessions: frozenset[str] = frozenset()

    async def end(self, tenant: str, ended: Ended) -> None:
        raise AssertionError("no channel here has sessions")

    async def sends(self, tenant: str, channel: str, account: str) -> bool:
        return True


class Centre:
    """One tenant over a store that outlives its loops."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock)
        self.told, self.post = Told(), Post()
        self.ids = (f"x{each:05d}" for each in count())
        self.tenant = ""
        self.lease = True

    async def start(self) -> "Running":
        if not self.tenant:
            self.tenant = await self.store.create_tenant("t", "sealed")
        parts = Parts(self.store, self.told, self.clock, lambda: next(self.ids), lambda: self.lease, sender=self.post)
        loop = TenantLoop(self.tenant, parts)
        return Running(self, loop, asyncio.create_task(loop.run()))


class Running:
    """A loop that runs."""

    def __init__(self, centre: Centre, loop: TenantLoop, task: "asyncio.Task[None]") -> None:
        self.centre, self.loop, self.task = centre, loop, task

    async def contact(self, customer: str) -> str:
        inbound = InboundMessage("chat", "shop", f"in {customer}", Identity("openid", customer), text="hello")
        taken: Any = await self.loop.submit(jobs.take(inbound))
        return str(taken.contact_id)

    async def say(self, contact_id: str, text: str, *, native: bool = True, acting: str | None = None) -> jobs.Posted:
        job = jobs.SendMessage(
            contact_id, "chat", "shop", None, "text", text, {}, "agent", acting or "boss", acting, native
        )
        posted = await self.loop.submit(job)
        assert isinstance(posted, jobs.Posted)
        return posted

    async def kill(self) -> None:
        """As kill -9 does: nothing is finished."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def hand_over(self) -> None:
        await self.loop.rest(5)
        self.loop.stop()
        await self.task

    def states(self) -> dict[str, str]:
        """What each message came to by its events, which must be what the tables say."""
        events = [
            each for each in self.centre.told.events if each.type.startswith("message.") and "rec" not in each.type
        ]
        return {each.data["message_id"]: each.type.partition(".")[2] for each in events}


def virtual(test: Callable[[Centre], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in virtual time; in the end the journal must add up to the tables."""

    async def main() -> None:
        centre = Centre()
        await test(centre)
        assert [] == await compare(centre.store, centre.tenant)

    def wrapped() -> None:
        run(main())

    wrapped.__name__ = test.__name__
    return wrapped


@virtual
async def test_what_is_queued_is_sent_and_said_to_be_sent(centre: Centre) -> None:
    running = await centre.start()
    posted = await running.say(await running.contact("k"), "hi")
    assert posted.outgoing is not None
    assert "queued" == posted.outgoing.state
    await asyncio.sleep(1)
    assert ["hi"] == centre.post.handed
    assert {posted.message.id: "sent"} == running.states()
    await running.kill()


@virtual
async def test_a_conversation_is_sent_in_order_and_others_do_not_wait_for_it(centre: Centre) -> None:
    running = await centre.start()
    first, second = await running.contact("k1"), await running.contact("k2")
    centre.post.answers["1"] = [AGAIN, AGAIN, AGAIN]
    for each in "123":
        await running.say(first, each)
    await running.say(second, "other")
    await asyncio.sleep(60)
    assert ["1", "1", "1", "1", "2", "3"] == [each for each in centre.post.handed if each != "other"]
    assert centre.post.handed.index("other") < 2
    assert {"sent"} == set(running.states().values())
    await running.kill()


@virtual
async def test_so_many_are_sent_at_a_time(centre: Centre) -> None:
    running = await centre.start()
    for each in range(outbox.SENDING_MAX * 2):
        await running.say(await running.contact(f"k{each}"), str(each))
    await asyncio.sleep(5)
    assert outbox.SENDING_MAX == centre.post.busiest
    assert outbox.SENDING_MAX * 2 == Counter(running.states().values())["sent"]
    await running.kill()


def in_doubt() -> float:
    return metrics.REGISTRY.get_sample_value("cordboard_in_doubt_total", {"what": "outgoing"}) or 0


@virtual
async def test_killed_between_storing_and_sending_it_is_sent_by_the_next(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    centre.post.takes_s = 1e9  # nothing gets out any more
    first, second = await running.say(contact, "1"), await running.say(contact, "2")
    await running.kill()
    centre.post.takes_s = 0.1
    centre.post.handed.clear()
    running = await centre.start()
    await asyncio.sleep(1)
    assert ["1", "2"] == centre.post.handed
    assert {first.message.id: "sent", second.message.id: "sent"} == running.states()
    await running.kill()


@virtual
async def test_killed_between_sending_and_recording_it_is_sent_again_under_its_id(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    posted = await running.say(contact, "1")
    await asyncio.sleep(0.1)  # it is out; the record has not been made
    await running.kill()
    assert {posted.message.id: "queued"} == running.states()
    before = in_doubt()
    running = await centre.start()
    await asyncio.sleep(1)
    assert ["1", "1"] == centre.post.handed
    assert 1 == in_doubt() - before, "which is counted"
    assert {posted.message.id: "sent"} == running.states()
    await running.kill()


@virtual
async def test_a_hand_over_finishes_what_is_being_sent_and_leaves_the_rest(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    for each in "12":
        await running.say(contact, each)
    await asyncio.sleep(0.05)
    await running.hand_over()
    assert ["1"] == centre.post.handed
    assert ["queued", "sent"] == sorted(running.states().values())
    running = await centre.start()
    await asyncio.sleep(1)
    assert ["1", "2"] == centre.post.handed
    await running.kill()


@virtual
async def test_what_fails_for_good_lets_the_next_one_through(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    centre.post.answers |= {"1": [Outcome("failed", "blocked")], "2": [RuntimeError("a fault of ours")]}
    failed, fault, sent = [await running.say(contact, each) for each in "123"]
    await asyncio.sleep(5)
    assert {failed.message.id: "failed", fault.message.id: "failed", sent.message.id: "sent"} == running.states()
    known = await centre.store.lookup(centre.tenant, _messages(failed, fault))
    assert ["blocked", "internal"] == [known.outgoing[each.message.id].reason for each in (failed, fault)]
    await running.kill()


@virtual
async def test_an_account_that_asks_for_time_gets_it_in_all_conversations(centre: Centre) -> None:
    running = await centre.start()
    first, second = await running.contact("k1"), await running.contact("k2")
    centre.post.answers["1"] = [Outcome(None, "too_fast", pause_s=30, whole_account=True)]
    await running.say(first, "1")
    await asyncio.sleep(1)
    await running.say(second, "2")
    await asyncio.sleep(20)
    assert ["1"] == centre.post.handed
    await asyncio.sleep(20)
    assert ["1", "1", "2"] == sorted(centre.post.handed)
    await running.kill()


@virtual
async def test_what_cannot_be_sent_in_an_hour_has_failed(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    centre.post.answers["1"] = [AGAIN] * 1000
    posted = await running.say(contact, "1")
    await asyncio.sleep(outbox.GIVE_UP_MS / 1000 - 120)
    assert {posted.message.id: "queued"} == running.states()
    await asyncio.sleep(240)
    assert {posted.message.id: "failed"} == running.states()
    assert 60 < len(centre.post.handed) < 80, "pauses grow to a minute and no further"
    await running.kill()


@virtual
async def test_trouble_with_an_account_is_told(centre: Centre) -> None:
    running = await centre.start()
    centre.post.answers["1"] = [Outcome("failed", "not_authorised", trouble=True)]
    await running.say(await running.contact("k"), "1")
    await asyncio.sleep(1)
    told = [each for each in centre.told.events if each.type == "channel.trouble"]
    assert [{"name": "shop", "reason": "not_authorised"}] == [each.data for each in told]
    await running.kill()


@virtual
async def test_nothing_is_sent_while_another_process_may_be_sending(centre: Centre) -> None:
    running = await centre.start()
    centre.lease = False
    await running.say(await running.contact("k"), "1")
    await asyncio.sleep(10)
    assert [] == centre.post.handed
    centre.lease = True
    await asyncio.sleep(60)
    assert ["1"] == centre.post.handed
    await running.kill()


@virtual
async def test_what_a_gateway_sends_is_left_to_it(centre: Centre) -> None:
    running = await centre.start()
    contact = await running.contact("k")
    posted = await running.say(contact, "1", native=False)
    await asyncio.sleep(10)
    assert [] == centre.post.handed
    move = jobs.MoveMessage(contact, posted.message.id, "sent", receipt="r1")
    for each in (move, move):
        done: Any = await running.loop.submit(each)
        assert ("sent", "r1") == (done.outgoing.state, done.outgoing.receipt)
    done = await running.loop.submit(jobs.MoveMessage(contact, posted.message.id, "delivered"))
    assert ("delivered", "r1") == (done.outgoing.state, done.outgoing.receipt)
    late: Any = await running.loop.submit(move)
    assert "delivered" == late.outgoing.state, "word of what is over changes nothing"
    with pytest.raises(InvalidState):
        await running.loop.submit(jobs.MoveMessage(contact, posted.message.id, "failed", "blocked"))
    kinds = [each.type for each in centre.told.events if each.type.startswith("message.")]
    assert ["message.queued", "message.sent", "message.delivered"] == kinds
    await running.kill()


@virtual
async def test_who_may_write(centre: Centre) -> None:
    running = await centre.start()
    for agent in ("a1", "a2"):
        await running.loop.submit(jobs.Configure(c.PutAgent(AgentConfig(agent)), _agent(agent)))
    await running.loop.submit(jobs.OnAgent("a1", c.SetPresence("a1", "available")))
    contact = await running.contact("k")
    await running.loop.submit(jobs.OnContact(contact, c.Assign(contact, "a1", "boss")))
    posted = await running.say(contact, "from its agent", acting="a1")
    assert posted.outgoing is not None
    assert "a1" == posted.outgoing.agent_id
    with pytest.raises(Forbidden):
        await running.say(contact, "from another", acting="a2")
    await asyncio.sleep(1)
    sent = [each for each in centre.told.events if each.type == "message.sent"]
    assert ["a1"] == [each.agent_id for each in sent]
    await running.kill()


@virtual
async def test_what_is_queued_when_its_contact_closes_is_sent_and_told_to_whoever_wrote_it(centre: Centre) -> None:
    running = await centre.start()
    await running.loop.submit(jobs.Configure(c.PutAgent(AgentConfig("a1")), _agent("a1")))
    await running.loop.submit(jobs.OnAgent("a1", c.SetPresence("a1", "available")))
    contact = await running.contact("k")
    taken: Any = await running.loop.submit(jobs.OnContact(contact, c.Assign(contact, "a1", "boss")))
    posted = await running.say(contact, "goodbye", acting="a1")
    assignment_id = taken.assignment[0]
    await running.loop.submit(jobs.OnAssignment(assignment_id, c.Complete(assignment_id, "a1")))
    assert "closed" in [row.type.partition(".")[2] for row in centre.told.events]
    with pytest.raises(InvalidState):
        await running.say(contact, "too late")
    await asyncio.sleep(1)
    assert {posted.message.id: "sent"} == running.states()
    assert "a1" == centre.told.events[-1].agent_id
    await running.kill()


def _agent(name: str) -> ConfigFact:
    return ConfigFact("agent", name, {"name": name})


def _messages(*posted: jobs.Posted) -> Wanted:
    return Wanted(messages={each.message.id for each in posted})
