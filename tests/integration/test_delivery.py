"""Delivery within a process and over a real Redis: what is told, to whom, and what becomes of who cannot be told."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from src.delivery.announce import Announcer, Follower
from src.delivery.hub import CLOSE_REPLACED, CLOSE_TOO_SLOW, Hub, Subscriber
from src.delivery.redis import connect
from src.dispatch.clock import SystemClock
from src.dispatch.known import Known
from src.router.journal import Event
from src.store.memory import MemoryStore
from tests.support.faults.proxy import Proxy
from tests.support.faults.servers import RedisServer


class Journal(MemoryStore):
    """A journal that is written to by hand. Its heads are not told: nobody can compare."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.written: list[Event] = []

    def write(self, kind: str = "contact.received", session: str | None = None) -> Event:
        data = {"session": session} if kind == "agent.presence" else {}
        agent = "anna" if kind == "agent.presence" else None
        self.written.append(Event(len(self.written) + 1, kind, 1, agent_id=agent, data=data))
        return self.written[-1]

    async def heads(self, tenants: Sequence[str]) -> dict[str, int]:
        return {}

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> list[Event]:
        return self.written[after : after + limit]


async def listener(hub: Hub) -> Subscriber:
    found = Subscriber("t", None)
    hub.attach(found)
    await hub.ready("t")
    found.start(hub.reached("t") or 0)
    return found


async def test_announcements_flow_again_after_each_reset_of_redis(tmp_path: Path) -> None:
    """Without any comparison: what was lost shows before what follows, and is read from the journal."""
    server, journal = RedisServer(tmp_path), Journal()
    await server.start()
    proxy = await Proxy(partial(asyncio.open_connection, "127.0.0.1", server.port)).start()
    url = f"redis://127.0.0.1:{proxy.port}/0"
    try:
        async with connect(url) as one, connect(url) as two:
            announcer, hub = Announcer(one), Hub(journal, SystemClock())
            told = await listener(hub)
            tasks = [asyncio.create_task(each) for each in (announcer.run(), Follower(hub, journal, two).run())]
            for round_ in range(3):
                async with asyncio.timeout(20):
                    while (hub.reached("t") or 0) < 1 + 10 * round_:  # until it is heard again
                        announcer.announce("t", [journal.write()])
                        await asyncio.sleep(0.05)
                await proxy.cut()
                while len(journal.written) < 11 + 10 * round_:
                    announcer.announce("t", [journal.write()])
                await asyncio.sleep(0.1)
                await proxy.heal()
                assert not any(each.done() for each in tasks), "neither gives up"
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await proxy.stop()
        server.kill()
    seen: list[int] = []
    while (frame := told.take()) is not None:
        seen.append(int(frame.partition('"seq":')[2].partition(",")[0]))
    assert list(range(1, len(seen) + 1)) == seen, "each once, in order"
    assert len(seen) >= 21
    assert told.close_code is None


async def test_who_waits_for_a_book_of_calls_is_woken_by_whoever_writes_in_another_process(tmp_path: Path) -> None:
    server, journal = RedisServer(tmp_path), Journal()
    await server.start()
    url = f"redis://127.0.0.1:{server.port}/0"
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    try:
        async with connect(url) as one, connect(url) as two:
            announcer = Announcer(one)
            follower = Follower(Hub(journal, SystemClock()), journal, two, lambda *which: heard.put_nowait(which))
            tasks = [asyncio.create_task(each) for each in (announcer.run(), follower.run())]
            async with asyncio.timeout(20):
                while heard.empty():  # until it listens
                    announcer.announce_call("t", "pbx")
                    await asyncio.sleep(0.05)
            assert ("t", "pbx") == heard.get_nowait()
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        server.kill()


async def test_where_the_journal_is_gone_who_listens_begins_anew_and_hears_what_follows() -> None:
    journal = Journal()
    hub = Hub(journal, SystemClock())
    before = await listener(hub)
    hub.publish("t", [journal.write()], Known())
    for _ in range(5):
        journal.write()  # told to nobody, and no longer to be read
    hub.publish("t", [journal.write()], Known())
    assert CLOSE_TOO_SLOW == before.close_code
    assert 7 == hub.reached("t")
    hub.detach(before)
    after = Subscriber("t", None)
    hub.attach(after)
    after.start(7)
    hub.deliver("t", [journal.write()], Known())
    async with asyncio.timeout(30):
        await after.wait()
    assert '"seq":8' in (after.take() or "")


async def test_a_socket_that_counts_as_gone_is_doubted_once_and_a_replaced_one_closed() -> None:
    journal = Journal()
    hub = Hub(journal, SystemClock())
    socket = Subscriber("t", "anna", session="p.1")
    hub.attach(socket)
    await hub.ready("t")
    hub.session_opened("p.1", socket)
    hub.publish("t", [journal.write("agent.presence", "p.1")], Known())
    hub.publish("t", [journal.write("agent.presence")], Known())  # heard before the socket knows that it had the lease
    hub.connected(socket, 1)
    assert ("p.1", socket) == await hub.doubted()
    hub.publish("t", [journal.write("agent.presence", "p.1")], Known())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            raise AssertionError(f"it has its lease again: {await hub.doubted()}")
    hub.publish("t", [journal.write("agent.presence"), journal.write("agent.presence")], Known())
    assert ("p.1", socket) == await hub.doubted(), "once for both"
    assert socket.close_code is None
    hub.publish("t", [journal.write("agent.presence", "q.1")], Known())
    assert CLOSE_REPLACED == socket.close_code
