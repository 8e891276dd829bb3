"""httpx over a way of ours: whoever gives up waiting, at whatever moment, takes no place and no connection with it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from src.client import Client
from src.connectors.outward import Failed, Outward, networks
from src.connectors.template import Asked
from src.connectors.transport import Transport

STEPS = 60
"""A request to this machine is over within fewer turns of the loop."""

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class System:
    """Another system, which thinks for `pause()` seconds; what it has seen."""

    def __init__(self, pause: Callable[[], float]) -> None:
        self.pause = pause
        self.url = ""
        self.connections = 0
        self.open = 0
        self.together = 0
        self.most_together = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.together += 1
                self.most_together = max(self.most_together, self.together)
                await asyncio.sleep(self.pause())
                self.together -= 1
                writer.write(ANSWER)
        self.open -= 1
        writer.close()

    async def has_open(self, most: int) -> bool:
        """Whether no more connections than so many stay open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                while self.open > most:
                    await asyncio.sleep(0.02)
        return self.open <= most


@asynccontextmanager
async def system(pause: Callable[[], float] = lambda: 0.0) -> AsyncIterator[System]:
    found = System(pause)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    yield found
    server.close()


async def given_up(ask: Callable[[], Awaitable[object]], turns: int) -> None:
    """Ask, and give up after so many turns of the loop."""
    asking = asyncio.ensure_future(ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def keeps_its_promise(ask: Callable[[], Awaitable[object]], other: System) -> None:
    """Give up at every moment: the next is answered; and in the end one connection is there, and is kept."""
    for turns in range(STEPS):
        await given_up(ask, turns)
        await asyncio.wait_for(ask(), 10)
    assert await other.has_open(1), f"{other.open} connections are left"
    before = other.connections
    for _ in range(5):
        await ask()
    assert other.connections == before


async def test_a_request_that_is_cancelled_at_whatever_moment_leaves_its_place() -> None:
    async with system() as other, httpx.AsyncClient(transport=Transport(1, kept=1, idle_s=30)) as client:
        await keeps_its_promise(lambda: client.get(other.url), other)
    assert await other.has_open(0)


async def test_nor_does_one_of_the_client_keep_its_connection() -> None:
    async with system() as other, Client(other.url, "key", connections=1) as client:
        await keeps_its_promise(lambda: client.once("GET", "/v1/settings"), other)
    assert await other.has_open(0)


async def test_there_are_no_more_requests_together_than_there_is_room_for() -> None:
    async with (
        system(lambda: 0.01) as other,
        httpx.AsyncClient(transport=Transport(3, kept=3, idle_s=30)) as client,
    ):
        answers = await asyncio.gather(*(client.get(other.url) for _ in range(30)))
    assert ({each.status_code for each in answers}, other.most_together) == ({200}, 3)


async def test_an_answer_that_nobody_reads_holds_its_place_until_it_is_closed() -> None:
    async with system() as other, httpx.AsyncClient(transport=Transport(1, kept=1, idle_s=30)) as client:
        async with client.stream("GET", other.url):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(other.url), 0.1)
        await asyncio.wait_for(client.get(other.url), 10)


async def test_a_system_that_was_too_slow_for_a_while_is_asked_again_when_it_answers() -> None:
    """Where many wait for few connections, giving up in the library's own pool would have filled it for good."""
    throws = random.Random(1)
    async with system(lambda: throws.uniform(0.005, 0.05)) as other, Outward(networks("127.0.0.1/32"), 4) as ways:
        asked = Asked("GET", other.url, None)
        end = asyncio.get_running_loop().time() + 1

        async def impatient() -> None:
            while asyncio.get_running_loop().time() < end:
                with suppress(Failed):
                    await ways.fetch(asked, {}, throws.uniform(0.003, 0.06), 0)

        await asyncio.gather(*(impatient() for _ in range(20)))
        other.pause = lambda: 0.0
        assert await asyncio.gather(*(ways.fetch(asked, {}, 10.0, 0) for _ in range(20))) == [{}] * 20
        assert await other.has_open(4), f"{other.open} connections are left"
