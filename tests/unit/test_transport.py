"""httpx over a way of ours: whoever gives up waiting, at whatever moment, takes no place with it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
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


@asynccontextmanager
async def system(pause: Callable[[], float]) -> AsyncIterator[tuple[str, list[int]]]:
    """Another system, which thinks for so long; its address, and how many requests it has had together, at most."""
    together, most = 0, [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal together
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                together += 1
                most[0] = max(most[0], together)
                await asyncio.sleep(pause())
                together -= 1
                writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", most
    server.close()


async def given_up(ask: Callable[[], object], turns: int) -> None:
    """Ask, and give up after so many turns of the loop."""
    asking = asyncio.ensure_future(ask())  # type: ignore[call-overload]
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_request_that_is_cancelled_at_whatever_moment_leaves_its_place() -> None:
    async with system(lambda: 0.0) as (url, _), httpx.AsyncClient(transport=Transport(1, kept=1, idle_s=30)) as client:
        for turns in range(STEPS):
            await given_up(lambda: client.get(url), turns)
            answer = await asyncio.wait_for(client.get(url), 10)
            assert answer.status_code == 200, f"after {turns} turns"


async def test_nor_does_one_of_the_client_keep_its_connection() -> None:
    async with system(lambda: 0.0) as (url, _), Client(url, "key", connections=1) as client:
        for turns in range(STEPS):
            await given_up(lambda: client.once("GET", "/v1/settings"), turns)
            await asyncio.wait_for(client.once("GET", "/v1/settings"), 10)


async def test_there_are_no_more_requests_together_than_there_is_room_for() -> None:
    async with (
        system(lambda: 0.01) as (url, most),
        httpx.AsyncClient(transport=Transport(3, kept=3, idle_s=30)) as client,
    ):
        answers = await asyncio.gather(*(client.get(url) for _ in range(30)))
    assert ({each.status_code for each in answers}, most) == ({200}, [3])


async def test_an_answer_that_nobody_reads_holds_its_place_until_it_is_closed() -> None:
    async with (
        system(lambda: 0.0) as (url, _),
        httpx.AsyncClient(transport=Transport(1, kept=1, idle_s=30)) as client,
    ):
        async with client.stream("GET", url):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(url), 0.1)
        await asyncio.wait_for(client.get(url), 10)


async def test_a_system_that_was_too_slow_for_a_while_is_asked_again_when_it_answers() -> None:
    """Where many wait for few connections, giving up in the library's own pool would have filled it for good."""
    slow, random_ = True, random.Random(1)
    async with (
        system(lambda: random_.uniform(0.005, 0.05) if slow else 0.0) as (url, _),
        Outward(networks("127.0.0.1/32"), 4) as ways,
    ):
        asked = Asked("GET", url, None)
        end = asyncio.get_running_loop().time() + 1

        async def impatient() -> None:
            while asyncio.get_running_loop().time() < end:
                with suppress(Failed):
                    await ways.fetch(asked, {}, random_.uniform(0.003, 0.06), 0)

        await asyncio.gather(*(impatient() for _ in range(20)))
        slow = False
        assert await asyncio.gather(*(ways.fetch(asked, {}, 10.0, 0) for _ in range(20))) == [{}] * 20
