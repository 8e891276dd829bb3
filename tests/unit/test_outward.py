"""Posting to other systems: connections are kept, and what one of them broke off is posted again."""

import asyncio
import base64
import gc
import socket
import threading
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from src.app.posting import _seconds
from src.connectors import outward, posts
from src.connectors.outward import Failed, Outward, networks
from src.connectors.template import Asked

TAKEN = "HTTP/1.1 204 No Content\r\n\r\n"
HANG_UP = ""
CLOSES = "connection: close\r\n"
JSON = "content-type: application/json\r\n"


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


class Names:
    """What names stand for: each question is given the next of the answers, and the last one for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.answers: list[list[str]] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: str, port: int, **_: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert host == "shop.example", "what was looked at is not asked for again"
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


OUTSIDE, INSIDE, ELSEWHERE = "127.0.0.2", "127.0.0.1", "127.0.0.3"
"""As if the first and last were public: they are all that may be called."""


@asynccontextmanager
async def everywhere() -> AsyncIterator[tuple[Mapping[str, Other], str]]:
    """Another system at each address, all on one port."""
    found = {each: Other() for each in (INSIDE, OUTSIDE, ELSEWHERE)}
    port, servers = 0, []
    for address, each in found.items():
        servers.append(await asyncio.start_server(each.serve, address, port))
        port = servers[0].sockets[0].getsockname()[1]
    yield found, f"http://shop.example:{port}/in"
    for server in servers:
        server.close()


@pytest.fixture
async def careful() -> AsyncIterator[Outward]:
    async with Outward(networks(f"{OUTSIDE}/32, {ELSEWHERE}/32")) as found:
        yield found


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


async def test_a_name_that_is_public_when_it_is_looked_at_and_private_afterwards(
    careful: Outward, names: Names
) -> None:
    names.answers = [[OUTSIDE], [INSIDE]]
    async with everywhere() as (others, url):
        outside, inside = others[OUTSIDE], others[INSIDE]
        assert (await careful.post(url, b"one", {}))[0] == 204
        assert names.asked == 1, "and it was connected to what was looked at"
        assert (await careful.post(url, b"two", {}))[0] == 204
        outside.answer = lambda _: HANG_UP
        with pytest.raises(Failed, match="forbidden_address"):
            await careful.post(url, b"three", {})
        assert (outside.bodies, outside.connections, names.asked) == ([b"one", b"two", b"three"], 1, 2)
        assert inside.connections == 0


async def test_what_is_asked_goes_by_the_same_names(careful: Outward, names: Names) -> None:
    names.answers = [[OUTSIDE], [INSIDE]]
    async with everywhere() as (others, url):
        others[OUTSIDE].answer = lambda _: f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{CLOSES}{JSON}\r\n{{}}"
        assert await careful.fetch(Asked("POST", url, b"{}"), {}, 5, 0) == {}
        assert names.asked == 1
        for ask in (
            lambda: careful.fetch(Asked("POST", url, b"{}"), {}, 5, 0),
            lambda: careful.call("POST", url, b"{}", {}),
        ):
            with pytest.raises(Failed, match="forbidden_address"):
                await ask()
        assert (others[OUTSIDE].connections, others[INSIDE].connections) == (1, 0)


@pytest.mark.parametrize("answers", [[OUTSIDE, INSIDE], [INSIDE, OUTSIDE]])
async def test_a_name_that_is_public_and_private_at_once(careful: Outward, names: Names, answers: list[str]) -> None:
    names.answers = [answers]
    async with everywhere() as (others, url):
        for ask in (
            lambda: careful.post(url, b"", {}),
            lambda: careful.call("POST", url, b"", {}),
            lambda: careful.fetch(Asked("POST", url, b""), {}, 5, 0),
        ):
            with pytest.raises(Failed, match="forbidden_address"):
                await ask()
        assert {each.connections for each in others.values()} == {0}


async def test_names_whose_servers_are_silent_hold_up_nobody_else(
    other: Other, ways: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    go_on = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: str, port: int, **more: int) -> object:
        asked.append(host)
        if host.endswith(".silent.example"):
            go_on.wait(20)
            raise socket.gaierror
        return real("127.0.0.1" if host == "shop.example" else host, port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    silent = [asyncio.create_task(ways.post(f"http://{number % 40}.silent.example/", b"", {})) for number in range(60)]
    while len(asked) < 40:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(2):
        assert (await ways.post(other.url.replace("127.0.0.1", "shop.example"), b"", {}))[0] == 204
    assert len(asked) == 41, "who asks for the same name waits for the same answer"
    monkeypatch.setattr(outward, "LOOKUP_S_MAX", 0.01)
    with pytest.raises(Failed, match="unreachable"):
        await ways.post("http://0.silent.example/", b"", {})
    monkeypatch.setattr(outward, "LOOKUPS_MAX", 40)
    with pytest.raises(Failed, match="unreachable"):
        await ways.post("http://41.silent.example/", b"", {})
    assert len(asked) == 41
    go_on.set()
    ends = await asyncio.gather(*silent, return_exceptions=True)
    assert {str(each) for each in ends} == {"unreachable"}
    assert not outward._under_way


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_inward_lead_nowhere(careful: Outward, names: Names, status: int) -> None:
    names.answers = [[OUTSIDE]]
    async with everywhere() as (others, url):
        inward = url.replace("shop.example", INSIDE)
        more = f'location: {inward}\r\nrefresh: 0; url={inward}\r\nalt-svc: h2="{INSIDE}"\r\ncontent-length: 0'
        others[OUTSIDE].answer = lambda _: f"HTTP/1.1 {status} There\r\n{more}\r\n\r\n"
        assert [(await careful.post(url, b"", {}))[0] for _ in range(2)] == [status, status]
        assert (await careful.call("POST", url, b"", {}))[0] == status
        with pytest.raises(Failed, match="redirected"):
            await careful.fetch(Asked("POST", url, b""), {}, 5, 0)
        assert (others[OUTSIDE].connections > 0, others[INSIDE].connections) == (True, 0)


async def test_a_name_that_has_moved_is_followed_however_much_is_posted(
    careful: Outward, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.answers = [[OUTSIDE], [ELSEWHERE], [INSIDE]]
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with everywhere() as (others, url):
        for number in range(10):
            monkeypatch.setattr(loop, "time", lambda at=began + number * posts.AGE_S_MAX / 4: at)
            assert (await careful.post(url, b"%d" % number, {}))[0] == 204
        monkeypatch.undo()
        assert {each: len(other.bodies) for each, other in others.items()} == {OUTSIDE: 5, ELSEWHERE: 5, INSIDE: 0}
        names = Names(monkeypatch)
        names.answers = [[INSIDE]]
        with pytest.raises(Failed, match="forbidden_address"):
            await careful.post(url, b"", {})
        assert others[INSIDE].connections == 0


@pytest.mark.parametrize("spoilt", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "é", "\ud800"])
async def test_a_header_cannot_become_two(other: Other, ways: Outward, spoilt: str) -> None:
    for headers in ({"webhook-id": spoilt}, {spoilt: "1"}):
        with pytest.raises(ValueError, match="one line"):
            await ways.post(other.url, b"", headers)
    assert other.connections == 0


@pytest.mark.parametrize("place", ["/in%0d%0ax:%20y", "/%E2%80%A8?a=%0d%0a#\u2028", "/\u2028?b=\u0085c"])
async def test_nor_can_an_address(other: Other, ways: Outward, place: str) -> None:
    await ways.post(other.url.removesuffix("/in").replace("127", "a%0d%0ab:c%0ad@127") + place, b"", {})
    assert len(other.heads[0].strip().split("\r\n")) == 7, "request, host, credential, three of ours and the length"
    for broken in ("http://127.0.0.1\r\nx: y/", "http://127.0.0.1/\r\nx: y", "http://127.0.0.1/\0"):
        with pytest.raises(Failed):
            await ways.post(broken, b"", {})
    assert len(other.heads) == 1


async def test_one_that_does_not_read_is_not_waited_for(ways: Outward) -> None:
    """Closing waits until all is sent: connections of those who read nothing would stay for good."""
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    size, got = 32_000_000, 0

    async def stare(reader: Reader, writer: Writer) -> None:
        nonlocal got
        begun.set()
        await go_on.wait()
        try:
            while some := await reader.read(65_536):
                got += len(some)
        except ConnectionError:
            pass
        ended.set()
        writer.close()

    server = await asyncio.start_server(stare, "127.0.0.1", 0, limit=1_024)
    posting = asyncio.create_task(ways.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", b"x" * size, {}))
    await begun.wait()
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    go_on.set()
    async with asyncio.timeout(30):
        await ended.wait()
    assert got < size
    server.close()


async def test_one_that_answers_before_it_has_read_is_asked_no_more_over_that_connection(ways: Outward) -> None:
    writers: list[Writer] = []

    async def hasty(reader: Reader, writer: Writer) -> None:
        writers.append(writer)
        await reader.readline()
        writer.write(TAKEN.encode())
        await writer.drain()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1_024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    assert [(await ways.post(url, b"x" * 32_000_000, {}))[0] for _ in range(2)] == [204, 204]
    assert len(writers) == 2
    for each in writers:
        each.close()
    server.close()


@pytest.mark.parametrize(
    ("body", "connections"),
    [
        ("5\r\nthere\r\n0\r\n\r\n", 1),
        ("5\r\nthere\r\n0\r\ntrailer: x\r\n\r\n", 1),
        ("5\r\nthe", 2),
        ("fffffffffffffffffffff\r\n", 2),
        ("-1\r\nx", 2),
        ("zz\r\n", 2),
        ("5;ext\r\nthere and more\r\n", 2),
    ],
)
async def test_of_an_answer_in_chunks_the_head_counts(
    other: Other, ways: Outward, monkeypatch: pytest.MonkeyPatch, body: str, connections: int
) -> None:
    monkeypatch.setattr(posts, "BODY_S_MAX", 0.05)
    other.answer = lambda _: f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"
    assert [(await ways.post(other.url, b"", {}))[0] for _ in range(2)] == [200, 200]
    assert other.connections == connections


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 2e2 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_a_head_that_may_be_read_in_two_ways_is_none(other: Other, ways: Outward, head: str) -> None:
    other.answer = lambda _: head
    with pytest.raises(Failed, match="failed"):
        await ways.post(other.url, b"", {})


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("9" * 60_000, 86_400),
        ("-1", 0),
        ("1.5", 0),
        ("", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60),
        ("Thu, 01 Jan 1970 00:01:00", 60),
        ("Wed, 31 Dec 1969 00:00:00 GMT", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", 0),
    ],
)
def test_how_long_somebody_asks_to_be_left_alone(after: str, seconds: float) -> None:
    assert seconds == _seconds(after, 0)


async def test_what_is_sent(other: Other, ways: Outward) -> None:
    await ways.post(other.url.replace("//", "//me:p%40ss@") + "?a=b c", "é".encode(), {"webhook-id": "t.1"})
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


async def test_a_connection_that_waits_makes_room_for_one_to_another_place() -> None:
    others, urls, servers = [Other() for _ in range(3)], [], []
    for each in others:
        server = await asyncio.start_server(each.serve, "127.0.0.1", 0)
        urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        servers.append(server)
    first, second, third = others
    async with Outward(networks("127.0.0.1/32"), 2) as few:
        for url in (*urls[:2], *urls[:2]):
            await few.post(url, b"one", {})
        assert not first.gone.is_set()
        await few.post(urls[2], b"two", {})
        await asyncio.wait_for(first.gone.wait(), 5)
        await few.post(urls[1], b"three", {})
        assert (first.connections, second.connections, third.connections) == (1, 1, 1)
        assert [second.gone.is_set(), third.gone.is_set()] == [False, False]
    for server in servers:
        server.close()


async def test_what_is_posted_in_vain_leaves_no_connection_that_waits_to_be_read() -> None:
    gone = asyncio.Event()
    left: list[int] = []

    async def never_reads(reader: Reader, writer: Writer) -> None:
        await gone.wait()
        try:
            while found := await reader.read(1 << 20):
                left.append(len(found))
        except ConnectionError:
            left.append(0)
        read.set()
        writer.close()

    read = asyncio.Event()
    server = await asyncio.start_server(never_reads, "127.0.0.1", 0)
    body = b"x" * 30_000_000
    async with Outward(networks("127.0.0.1/32")) as ways:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ways.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", body, {})
        gone.set()
        await asyncio.wait_for(read.wait(), 10)
    assert sum(left) < len(body)
    server.close()


async def test_a_connection_that_ends_as_it_is_taken_leaves_no_error_behind(other: Other) -> None:
    async def resolve(host: str, _: int) -> str:
        return host

    found: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    ways = posts.Posts(resolve, 1)
    await ways.post(other.url, {}, b"one")
    ((line,),) = ways._idle.values()
    assert line._transport is not None
    line._transport.close()
    assert ((await ways.post(other.url, {}, b"two"))[0], other.connections) == (204, 2)
    await asyncio.sleep(0)
    del line
    gc.collect()
    assert found == []
    ways.close()


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
