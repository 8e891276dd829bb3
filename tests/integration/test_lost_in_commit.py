"""A process that loses its tenant while it commits: what its callers hear is true, and nothing is done twice."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from src.dispatch.ports import Batch
from tests.support.faults.cluster import through
from tests.support.faults.proxy import Proxy
from tests.support.service import Client, running

BODY = {"channel": "voice", "identity": {"type": "phone", "value": "+8613800138000"}}
POSTS: dict[str, dict[str, Any]] = {
    "with a gateway's id": {"json": BODY | {"external_id": "x1"}},
    "with an idempotency key": {"json": BODY, "headers": {"idempotency-key": "k1"}},
    "with neither": {"json": BODY},
}
OWNER = "SELECT owner FROM tenant_heads"
LAPSE = "UPDATE processes SET expires_at = clock_timestamp() WHERE id = $1"
RECEIVED = "SELECT contact_id FROM journal WHERE type = 'contact.received'"
BLOCKED = """\
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'cordboard'"""


class Wire:
    """A way to PostgreSQL that can be cut. It has its own thread: a process that starts blocks the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy) -> None:
        self.port = proxy.port
        self._loop, self._proxy = loop, proxy

    async def cut(self) -> None:
        """Close what is open and refuse what comes."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._proxy.cut(), self._loop))

    async def heal(self) -> None:
        """Be a good network again."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._proxy.heal(), self._loop))


@dataclass
class Stage:
    """Two processes, a way to PostgreSQL for the first that can be cut, and two connections past both."""

    first: Client
    second: Client
    wire: Wire
    rival: asyncpg.Connection
    administration: asyncpg.Connection

    async def stuck(self) -> None:
        """Wait until the commit of the first process waits for the rival."""
        async with asyncio.timeout(30):
            while not await self.administration.fetchval(BLOCKED):
                await asyncio.sleep(0.01)

    async def taken_over(self) -> None:
        """The first process lapses, the second takes the tenant, and commits."""
        first, second = (each.services.owner.process for each in (self.first, self.second))
        async with asyncio.timeout(30):
            while await self.administration.fetchval(OWNER) != second:
                await self.administration.execute(LAPSE, first)
                await asyncio.sleep(0.01)
        await self.second.agent("anna", channels={"voice": {"cost": 100, "max": 1}})

    async def received(self) -> list[str]:
        """The contacts that the journal knows of."""
        return [each["contact_id"] for each in await self.administration.fetch(RECEIVED)]


@asynccontextmanager
async def _wire(database: str) -> AsyncIterator[Wire]:
    query = parse_qs(urlsplit(database).query)
    proxy = Proxy(lambda: asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proxy.start(), loop))
        yield Wire(loop, proxy)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proxy.stop(), loop))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
async def stage(database: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(_wire(database))
        connections = [await asyncpg.connect(database, server_settings={"application_name": "test"}) for _ in range(2)]
        for each in connections:
            stack.push_async_callback(each.close)
        first = await stack.enter_async_context(running(through(database, wire.port), tmp_path / "a"))
        async with asyncio.timeout(30):
            while await connections[0].fetchval(OWNER) != first.services.owner.process:
                await asyncio.sleep(0.01)
        second = await stack.enter_async_context(running(database, tmp_path / "b"))
        yield Stage(first, second, wire, *connections)


@pytest.mark.parametrize("post", POSTS)
async def test_what_another_process_was_quicker_with_is_done_there(
    stage: Stage, post: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is still on its way when the tenant goes to another process, which commits first."""
    store, under_way, go = stage.first.services.store, asyncio.Event(), asyncio.Event()
    commit = store.commit

    async def slow(batch: Batch) -> None:
        under_way.set()
        await go.wait()
        await commit(batch)

    monkeypatch.setattr(store, "commit", slow)
    asked = asyncio.create_task(stage.first.http.post("/v1/contacts", **POSTS[post]))
    await asyncio.wait_for(under_way.wait(), 5)
    await stage.taken_over()
    assert not asked.done()
    go.set()
    answer = await asked
    assert 201 == answer.status_code, answer.text
    assert [answer.json()["id"]] == await stage.received()


@pytest.mark.parametrize("post", POSTS)
async def test_what_went_through_unheard_is_left_in_doubt_and_found_by_its_key(stage: Stage, post: str) -> None:
    """The commit goes through, its answer is lost, and another process has committed since: nothing is done again."""
    async with stage.rival.transaction():
        await stage.rival.execute("SELECT FROM tenant_heads FOR UPDATE")
        asked = asyncio.create_task(stage.first.http.post("/v1/contacts", **POSTS[post]))
        await stage.stuck()
        await stage.wire.cut()
    await stage.taken_over()
    await stage.wire.heal()
    answer = await asked
    if not answer.is_success:
        assert 503 == answer.status_code, answer.text
        assert answer.json()["code"] in {"fenced", "unavailable"}, "by whether the first is on the wire again"
        assert "retry-after" in answer.headers
    if post == "with neither":
        assert not answer.is_success, "nothing there would tell a repeat"
    else:
        answer = await stage.first.http.post("/v1/contacts", **POSTS[post])
        assert answer.is_success, answer.text
        assert [answer.json()["id"]] == await stage.received()
    assert 1 == len(await stage.received())
