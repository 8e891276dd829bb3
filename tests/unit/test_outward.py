"""Posting to other systems: connections are kept, and what one of them broke off is posted again."""

import asyncio
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable

import pytest

from src.connectors import outward
from src.connectors.outward import Failed, Outward, networks

TAKEN = "HTTP/1.1 204 No Content\r\n\r\n"
HANG_UP = ""


class Other:
    """Another system: `answer` says what the so-manyth request gets; nothing: the connection is broken off."""

    def __init__(self) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self.answer: Callable[[int], str] = lambda _: TAKEN
        self.url = ""

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                answer = self.answer(len(self.bodies))
                if answer == HANG_UP:
                    return
                writer.write(answer.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    found = Other()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    yield found
    server.close()


@pytest.fixture
async def ways() -> AsyncIterator[Outward]:
    async with Outward(networks("127.0.0.1/32")) as found:
        yield found


@pytest.mark.parametrize(
    "answer",
    [TAKEN, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere", "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"],
)
async def test_one_connection_is_enough_for_what_is_posted_in_a_row(other: Other, ways: Outward, answer: str) -> None:
    other.answer = lambda _: answer
    for number in range(5):
        status, after = await ways.post(other.url, f"{number}".encode(), {})
        assert (str(status), after) == (answer.split()[1], None)
    assert (other.bodies, other.connections) == ([b"0", b"1", b"2", b"3", b"4"], 1)


async def test_an_answer_that_does_not_end_counts_and_its_connection_is_given_up(
    other: Other, ways: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "DROPPED_S_MAX", 0.05)
    other.answer = lambda _: "HTTP/1.1 200 OK\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nthe"
    assert await ways.post(other.url, b"one", {}) == (200, "7")
    long = "x" * (outward.DROPPED_BYTES_MAX + 1)
    other.answer = lambda _: f"HTTP/1.1 200 OK\r\ncontent-length: {len(long) + 1}\r\n\r\n{long}"
    monkeypatch.undo()
    assert (await ways.post(other.url, b"two", {}))[0] == 200
    other.answer = lambda _: TAKEN
    assert (await ways.post(other.url, b"three", {}))[0] == 204
    assert (other.bodies, other.connections) == ([b"one", b"two", b"three"], 3)


async def test_what_a_kept_connection_broke_off_is_posted_again_over_a_new_one(other: Other, ways: Outward) -> None:
    other.answer = lambda number: HANG_UP if number == 2 else TAKEN
    assert (await ways.post(other.url, b"one", {}))[0] == 204
    assert (await ways.post(other.url, b"two", {}))[0] == 204
    assert (other.bodies, other.connections) == ([b"one", b"two", b"two"], 2)


async def test_what_a_new_connection_breaks_off_has_failed(other: Other, ways: Outward) -> None:
    other.answer = lambda _: HANG_UP
    with pytest.raises(Failed, match="failed"):
        await ways.post(other.url, b"one", {})
    assert other.bodies == [b"one"]
    other.answer = lambda number: TAKEN if number == 2 else HANG_UP
    assert (await ways.post(other.url, b"two", {}))[0] == 204
    with pytest.raises(Failed, match="failed"):  # the kept one breaks off, and the new one too
        await ways.post(other.url, b"three", {})
    assert other.bodies == [b"one", b"two", b"three", b"three"]
