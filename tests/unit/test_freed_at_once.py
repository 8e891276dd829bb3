"""What a refusal and a lost socket leave behind is freed at once, not when the garbage collector comes.

A service that has too much to do refuses many orders: in circles of references they lay there until it came.
"""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from itertools import count

import pytest
from starlette.websockets import WebSocketDisconnect

from src.api.sockets import until_first
from src.dispatch import jobs
from src.dispatch.clock import SystemClock
from src.dispatch.ports import Parts
from src.dispatch.tenant import TenantLoop
from src.errors import NotFound
from src.router import commands
from src.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Quiet:
    """Delivery where nobody listens."""

    def publish(self, *_: object) -> None:
        """Nobody is told."""

    def reached(self, tenant: str) -> None:
        """Nobody has heard of anything."""


async def test_a_refusal_holds_nothing_of_its_order() -> None:
    store, ids = MemoryStore(SystemClock()), count()
    tenant = await store.create_tenant("t", "sealed")
    loop = TenantLoop(tenant, Parts(store, Quiet(), SystemClock(), lambda: f"x{next(ids)}"))
    running = asyncio.create_task(loop.run())
    seen: list[weakref.ref[NotFound]] = []

    async def ask() -> None:
        try:
            await loop.submit(jobs.OnAssignment("as1", commands.Accept("as1", "a1")))
        except NotFound as refusal:
            seen.append(weakref.ref(refusal))

    await asyncio.gather(*(ask() for _ in range(3)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [None] * 3 == [each() for each in seen]


async def test_a_lost_socket_holds_neither_of_its_ways() -> None:
    seen: list[weakref.ref[BaseException]] = []

    async def write() -> None:
        await asyncio.Event().wait()

    def lost() -> WebSocketDisconnect:
        found = WebSocketDisconnect(1005)
        seen.append(weakref.ref(found))
        return found

    async def read() -> None:
        await asyncio.sleep(0)
        raise lost()

    await until_first(write, read)
    await asyncio.sleep(0)
    assert [None] == [each() for each in seen]
