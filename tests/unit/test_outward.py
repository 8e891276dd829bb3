"""Posting to other systems: connections are kept, and what one of them broke off is posted again."""

import asyncio
import base64
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address

import pytest

from src.connectors import outward, posts
from src.connectors.outward import Failed, Outward, networks

TAKEN = "HTTP/1.1 204 No Content\r\n\r\n"
HANG_UP = ""


class Other:
    """Another system: `answer` says what the so-manyth request gets; nothing: the connection is broken off."""

    def __init__(self) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.answer: Callable[[int], str] = lambda _: TAKEN
        self.url = ""
        self.gone = asyncio.Event()
        self._writer: Writer | None = None

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self._writer = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.heads.append(head)
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
            self.gone.set()
            writer.close()

    def say(self, text: bytes) -> None:
        """Over the last connection, unasked."""
        assert self._writer is not None
        self._writer.write(text)

    def hang_up(self) -> None:
        """End the last connection behind what was written to it."""
        assert self._writer is not None
        self._writer.close()


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
    monkeypatch.setattr(posts, "BODY_S_MAX", 0.05)
    other.answer = lambda _: "HTTP/1.1 200 OK\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nthe"
    assert await ways.post(other.url, b"one", {}) == (200, "7")
    long = "x" * (posts.BODY_BYTES_MAX + 1)
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


async def test_what_a_kept_connection_answers_in_part_is_not_posted_again(other: Other, ways: Outward) -> None:
    other.answer = lambda number: TAKEN if number == 1 else "HTTP/1.1 2"
    await ways.post(other.url, b"one", {})
    posting = asyncio.create_task(ways.post(other.url, b"two", {}))
    while len(other.bodies) < 2:
        await asyncio.sleep(0)
    other.hang_up()
    with pytest.raises(Failed, match="failed"):
        await posting
    assert other.bodies == [b"one", b"two"]


@pytest.mark.parametrize(
    "answer",
    [
        "SMTP ready\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nx: {'y' * posts.HEAD_BYTES_MAX}",
        "HTTP/1.1 103 Early\r\n\r\n" * 4_000,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["no answer", "too long", "too many", "something else"],
)
async def test_what_is_no_answer_has_failed(other: Other, ways: Outward, answer: str) -> None:
    other.answer = lambda _: answer
    with pytest.raises(Failed, match="failed"):
        await ways.post(other.url, b"one", {})
    assert other.bodies == [b"one"]


async def test_an_answer_may_be_announced_by_another_and_end_with_the_connection(other: Other, ways: Outward) -> None:
    other.answer = lambda _: f"HTTP/1.1 103 Early Hints\r\n\r\n{TAKEN}"
    assert [(await ways.post(other.url, b"one", {}))[0] for _ in range(2)] == [204, 204]
    other.answer = lambda _: "HTTP/1.1 202 Accepted\r\nconnection: close\r\n\r\nand so on"
    posting = asyncio.create_task(ways.post(other.url, b"two", {}))
    while len(other.bodies) < 3:
        await asyncio.sleep(0)
    other.hang_up()
    assert (await posting)[0] == 202
    other.answer = lambda _: TAKEN
    assert (await ways.post(other.url, b"three", {}))[0] == 204
    assert other.connections == 2


@pytest.mark.parametrize("more", ["HTTP/1.1 500 Oh\r\n", "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "what?"])
async def test_what_nobody_asked_for_is_nobodys_answer(other: Other, ways: Outward, more: str) -> None:
    other.answer = lambda number: TAKEN + more if number == 1 else TAKEN
    assert [(await ways.post(other.url, b"x", {}))[0] for _ in range(3)] == [204, 204, 204]
    assert other.connections == 2


async def test_what_comes_to_a_connection_that_waits_ends_it(other: Other, ways: Outward) -> None:
    await ways.post(other.url, b"one", {})
    other.say(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
    await other.gone.wait()
    assert ((await ways.post(other.url, b"two", {}))[0], other.connections) == (204, 2)


async def test_a_connection_that_waits_is_kept_for_a_while(
    other: Other, ways: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posts, "IDLE_S_MAX", 0.02)
    await ways.post(other.url, b"one", {})
    await asyncio.wait_for(other.gone.wait(), 5)
    assert ((await ways.post(other.url, b"two", {}))[0], other.connections) == (204, 2)


async def test_whoever_waits_no_longer_leaves_no_connection_with_an_answer_under_way(
    other: Other, ways: Outward
) -> None:
    other.answer = lambda number: TAKEN if number != 2 else "HTTP/1.1 2"
    await ways.post(other.url, b"one", {})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ways.post(other.url, b"two", {})
    assert ((await ways.post(other.url, b"three", {}))[0], other.connections) == (204, 2)


async def test_where_nobody_is_and_where_nobody_may_call(other: Other, ways: Outward) -> None:
    with pytest.raises(Failed, match="unreachable"):
        await ways.post("http://127.0.0.1:1/", b"", {})
    async with Outward() as careful:
        with pytest.raises(Failed, match="forbidden_address"):
            await careful.post(other.url, b"", {})
    assert other.connections == 0


async def test_what_is_sent(other: Other, ways: Outward) -> None:
    await ways.post(other.url.replace("127", "me:p%40ss@127") + "?a=b c", "é".encode(), {"webhook-id": "t.1"})
    request, *headers = other.heads[0].strip().split("\r\n")
    assert request == "post /in?a=b%20c http/1.1"
    place = other.url.removeprefix("http://").removesuffix("/in")
    assert set(headers) == {
        f"host: {place}",
        f"authorization: basic {base64.b64encode(b'me:p@ss').decode().lower()}",
        "content-type: application/json",
        "user-agent: cordboard",
        "accept-encoding: identity",
        "webhook-id: t.1",
        "content-length: 2",
    }


async def test_no_more_connections_than_allowed() -> None:
    other = Other()
    server = await asyncio.start_server(other.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with Outward(networks("127.0.0.1/32"), 2) as few:
        answers = await asyncio.gather(*(few.post(url, f"{number}".encode(), {}) for number in range(20)))
    assert ({status for status, _ in answers}, len(other.bodies)) == ({204}, 20)
    assert other.connections <= 2
    server.close()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "192.88.99.1", "224.0.0.1", "0.0.0.0"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "fd00::1", "fe80::1", "fec0::1", "ff0e::1", "fe80::1%eth0"),
        *("64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::1", "2001:db8::1", "3fff::1"),
    ],
)
def test_what_is_not_public_is_not_called_however_it_is_written(address: str) -> None:
    assert not outward.allowed(ip_address(address), ())


def test_what_is_public_is_called_and_what_the_operator_allows() -> None:
    for address in ("1.1.1.1", "::ffff:1.1.1.1", "2001:4860:4860::8888", "2400:3200::1", "2620:fe::fe"):
        assert outward.allowed(ip_address(address), ()), address
    also = networks("10.1.0.0/16, fd00::/8, 64:ff9b::/96")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "64:ff9b::101:101"):
        assert outward.allowed(ip_address(address), also), address
    assert not outward.allowed(ip_address("10.2.0.1"), also)
