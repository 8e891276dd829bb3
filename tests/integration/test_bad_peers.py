"""Orders to a process that is not well, or to somebody else on its port: each ends, and says what is known of it."""

import asyncio
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable

import pytest

from src.cluster import peers, wire
from src.cluster.peers import ANSWER_BYTES_MAX, HttpPeers
from src.cluster.signing import Head, Signer
from src.dispatch.orders import Order, Outlook, Wake
from src.dispatch.ports import Process
from src.errors import NotOwner, PeerLost
from tests.support.ports import free_port

SECRET = "a secret for tests"
HANG_UP = b""


class Other:
    """Whoever listens there: `answer` says what a request gets; nothing: the connection is broken off."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[tuple[bytes, Head, bytes]] = []
        self.answer: Callable[[Head], bytes] = signed
        self.place = Process("p1")
        self.writers: list[Writer] = []
        self.gone = asyncio.Event()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).rstrip().split(b"\r\n")
                headers = dict(each.lower().split(b": ", 1) for each in lines)
                body = await reader.readexactly(int(headers[b"content-length"]))
                head = Head.read(headers)
                assert head is not None
                self.requests.append((line, head, body))
                answer = self.answer(head)
                if answer == HANG_UP:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self.gone.set()
        writer.close()


def signed(head: Head, said: object = True) -> bytes:
    body = wire.dump([wire.dump([said])])
    mac = Signer(SECRET).answer(head, body)
    return b"HTTP/1.1 200 OK\r\nx-cordboard-mac: %s\r\ncontent-length: %d\r\n\r\n%s" % (mac.encode(), len(body), body)


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    found = Other()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.place = Process("p1", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    yield found
    server.close()
    for each in found.writers:
        each.close()


@pytest.fixture
async def ways() -> AsyncIterator[HttpPeers]:
    async with HttpPeers("p0", SECRET) as found:
        yield found


async def ask(ways: HttpPeers, other: Other, left_s: float = 20.0) -> object:
    return await ways.ask(other.place, "t", Order("o1", Wake()), left_s)


async def test_a_connection_is_kept_and_opened_anew_where_it_was_dropped(other: Other, ways: HttpPeers) -> None:
    assert [True] * 4 == [await ask(ways, other) for _ in range(4)]
    assert 1 == other.connections
    other.writers[0].close()
    await asyncio.sleep(0.05)
    assert [True] * 2 == [await ask(ways, other) for _ in range(2)]
    assert 2 == other.connections


async def test_a_connection_that_nobody_uses_is_dropped(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IDLE_S_MAX", 0.05)
    async with HttpPeers("p0", SECRET) as ways:
        assert await ask(ways, other)
        await asyncio.wait_for(other.gone.wait(), 10)
        assert await ask(ways, other)
        assert 2 == other.connections


ANSWERS = {
    "nothing": HANG_UP,
    "half a head": b"HTTP/1.1 2",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthe",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "a bad length": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: %s\r\n" % (b"y" * 5_000) * 100,
    "no length": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
    "bad chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmuch\r\n",
    "too much": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (ANSWER_BYTES_MAX + 1),
    "squeezed": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nyes",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "unsigned": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes",
    "an error": b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n\xff\xfe",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_whatever_else_is_answered_it_is_not_known_what_was_done(
    other: Other, ways: HttpPeers, answer: bytes
) -> None:
    def first(head: Head) -> bytes:
        if len(other.requests) > 1:
            return signed(head)
        asyncio.get_running_loop().call_later(0.05, other.writers[0].close)
        return answer

    other.answer = first
    with pytest.raises(PeerLost, match="cannot be reached"):
        await ask(ways, other)
    assert 1 == len(other.requests), "an order is not sent again below the one who knows what that does"
    assert await ask(ways, other)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_order_is_sent_on(other: Other, ways: HttpPeers, status: int) -> None:
    there = b"location: " + (other.place.address or "").encode() + b"/internal/orders"
    other.answer = lambda _: b"HTTP/1.1 %d There\r\n%s\r\ncontent-length: 0\r\n\r\n" % (status, there)
    with pytest.raises(PeerLost):
        await ask(ways, other)
    assert 1 == len(other.requests)


async def test_another_process_in_its_place_is_not_its_owner(other: Other, ways: HttpPeers) -> None:
    other.answer = lambda _: b"HTTP/1.1 421 Misdirected Request\r\ncontent-length: 3\r\n\r\nno!"
    with pytest.raises(NotOwner):
        await ask(ways, other)


async def test_one_that_says_nothing_is_waited_for_as_long_as_there_is_time(
    other: Other, ways: HttpPeers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "SPARE_S", 0.05)
    other.answer = lambda _: b"HTTP/1.1 100 Continue\r\n\r\n"
    with pytest.raises(PeerLost):
        await ask(ways, other, 0.05)
    async with asyncio.timeout(30):
        await other.gone.wait()
    other.answer = signed
    assert await ask(ways, other)
    assert 2 == other.connections, "an answer that comes late is nobody's"


async def test_one_that_is_declared_dead_is_not_waited_for(other: Other, ways: HttpPeers) -> None:
    other.answer = lambda _: b"HTTP/1.1 100 Continue\r\n\r\n"
    asking = asyncio.create_task(ask(ways, other, 60.0))
    while not other.requests:
        await asyncio.sleep(0.01)
    ways.gone(["p1"])
    async with asyncio.timeout(30):
        with pytest.raises(PeerLost, match="died"):
            await asking


async def test_nobody_is_there(ways: HttpPeers) -> None:
    for address in (f"http://127.0.0.1:{free_port()}", "http://nobody.invalid:1", "http://[::1", "mailto:me"):
        with pytest.raises(PeerLost):
            await ways.ask(Process("p1", address), "t", Order("o1", Wake()), 20.0)


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_ones(other: Other, ways: HttpPeers) -> None:
    """It is signed for another request; whoever asks again finds out."""
    assert await ask(ways, other)
    other.writers[0].write(signed(other.requests[0][1], said=False))
    await asyncio.sleep(0.05)
    with pytest.raises(PeerLost):
        await ask(ways, other)
    assert await ask(ways, other)


async def test_an_order_may_be_large_and_so_may_its_answer(other: Other, ways: HttpPeers) -> None:
    large = "x" * 3_000_000
    other.answer = lambda head: signed(head, large)
    assert large == await ways.ask(other.place, "t", Order("o1", Outlook((large,))), 20.0)


async def test_it_is_what_processes_of_the_last_release_understand(other: Other, ways: HttpPeers) -> None:
    assert await ask(ways, other)
    ((line, head, body),) = other.requests
    assert b"POST /internal/orders HTTP/1.1" == line
    assert Signer(SECRET).knows(head, "p1")
    tenant, ((encoded, left_s),) = wire.load(body)
    assert ("t", Order("o1", Wake()), True) == (tenant, wire.load(encoded), 0 < left_s <= 20)
