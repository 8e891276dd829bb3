"""The port between processes: an order is carried out for who has the secret, once, and its answer is believed."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from src.app.gathering import GatheringHttp
from src.cluster import internal, wire
from src.cluster.internal import BODY_BYTES_MAX, InternalApp, InternalServer
from src.cluster.peers import PATH, HttpPeers
from src.cluster.signing import WINDOW, Head, Once, Signer
from src.dispatch.orders import Order, Wake
from src.dispatch.ports import Process
from src.errors import NotFound, PeerLost

SECRET = "a secret for tests"
BODY = wire.dump(["t", [[wire.dump(Order("o1", Wake())), 5.0]]])


class Owner:
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.done = 0

    async def carry_out(self, tenant: str, order: Order[Any], left_s: float) -> Any:
        assert ("t", "o1", True) == (tenant, order.id, left_s > 0)
        self.done += 1
        return self.done


@asynccontextmanager
async def process(owner: Owner) -> AsyncIterator[Process]:
    server = InternalServer.bound("127.0.0.1", 0)
    async with server.serving(InternalApp("p1", SECRET, owner.carry_out), GatheringHttp):
        yield Process("p1", server.address(towards=""))


async def post(to: Process, head: Head, body: bytes = BODY) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{to.address}{PATH}", content=body, headers=head.headers())


async def test_an_order_travels_and_its_answer_comes_back() -> None:
    owner = Owner()
    async with process(owner) as there, HttpPeers("p0", SECRET) as peers:
        assert [1, 2, 3] == [await peers.ask(there, "t", Order("o1", Wake()), 5.0) for _ in range(3)]


async def test_a_refusal_that_has_travelled_is_freed_at_once() -> None:
    class Refusing(Owner):
        async def carry_out(self, tenant: str, order: Order[Any], left_s: float) -> Any:
            raise NotFound("there is none")

    seen = []
    gc.disable()
    try:
        async with process(Refusing()) as there, HttpPeers("p0", SECRET) as peers:
            try:
                await peers.ask(there, "t", Order("o1", Wake()), 5.0)
            except NotFound as refusal:
                seen.append(weakref.ref(refusal))
            await asyncio.sleep(0)
            assert [None] == [each() for each in seen]
    finally:
        gc.enable()


async def test_what_was_listened_to_is_not_done_again() -> None:
    owner, head = Owner(), Signer(SECRET).request("p0", "p1", 7, BODY)
    async with process(owner) as there:
        first = await post(there, head)
        assert (200, [[1]]) == (first.status_code, [wire.load(each) for each in wire.load(first.content)])
        assert 421 == (await post(there, head)).status_code
        assert 200 == (await post(there, Signer(SECRET).request("p0", "p1", 5, BODY))).status_code, "one that was late"
    assert 2 == owner.done


async def test_a_process_can_leave_though_another_has_fallen_silent_in_the_middle_of_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(internal, "SHUTDOWN_S_MAX", 1)
    head = Signer(SECRET).request("p0", "p1", 1, BODY)
    owner = Owner()
    async with asyncio.timeout(30), process(owner) as there:
        _, silent = await asyncio.open_connection("127.0.0.1", httpx.URL(str(there.address)).port)
        begun = f"POST {PATH} HTTP/1.1\r\nhost: p1\r\ncontent-length: {len(BODY)}\r\n"
        silent.write(begun.encode() + _raw(head) + b"\r\n")
        await silent.drain()
        await post(there, Signer(SECRET).request("p0", "p1", 2, BODY))
    assert 1 == owner.done
    silent.close()


@pytest.mark.parametrize(
    "head",
    [
        Signer("another").request("p0", "p1", 1, BODY),
        Signer(SECRET).request("p0", "p2", 1, BODY),
        replace(Signer(SECRET).request("p0", "p1", 1, BODY), number=2),
        replace(Signer(SECRET).request("p0", "p1", 1, BODY), sender="p9"),
        replace(Signer(SECRET).request("p0", "p1", 1, BODY), digest="0" * 64),
        replace(Signer(SECRET).request("p0", "p1", 1, BODY), mac=""),
    ],
    ids=["another secret", "another process", "another number", "another sender", "another body", "none"],
)
async def test_strangers_are_turned_away(head: Head) -> None:
    owner = Owner()
    async with process(owner) as there:
        answer = await post(there, head)
        assert (421, None) == (answer.status_code, answer.headers.get("x-cordboard-mac"))
        signed = Signer(SECRET).request("p0", "p1", 9, BODY)
        assert 400 == (await post(there, signed, BODY + b"\x00")).status_code, "it is not the body that was signed"
    assert 0 == owner.done


async def test_nothing_of_a_strangers_body_is_taken_in() -> None:
    """It is answered although not a byte of the body has come: nobody waits for what a stranger announces."""
    async with process(Owner()) as there:
        url = httpx.URL(there.address or "")
        for head, status in ((b"", b"421"), (_raw(Signer(SECRET).request("p0", "p1", 1, BODY)), b"413")):
            reader, writer = await asyncio.open_connection(url.host, url.port)
            length = str(BODY_BYTES_MAX + 1).encode()
            writer.write(b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: " + length + b"\r\n")
            writer.write(head + b"\r\n")
            async with asyncio.timeout(30):
                assert status in await reader.readline()
            writer.close()


def _raw(head: Head) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in head.headers().items()).encode()


@pytest.mark.parametrize("answerer", ["another secret", "no secret"])
async def test_an_answer_of_somebody_else_is_none(answerer: str) -> None:
    """Somebody has the port of the process that is asked: what they say is not believed."""

    async def say_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = wire.dump([wire.dump([True])])
        mac = b""
        if answerer == "another secret":
            head = Signer(SECRET).request("p0", "p1", 1, b"")
            mac = b"x-cordboard-mac: " + Signer("another").answer(head, body).encode() + b"\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + mac + b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say_yes, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, HttpPeers("p0", SECRET) as peers:
        with pytest.raises(PeerLost):
            await peers.ask(Process("p1", f"http://127.0.0.1:{port}"), "t", Order("o1", Wake()), 5.0)


def test_a_number_is_taken_once_in_whatever_order_they_come() -> None:
    once = Once()
    numbers = [3, 1, 2, 10, 7, 4096, 5000, 4999, 905]
    assert all(once.takes("p", each) for each in numbers)
    assert not any(once.takes("p", each) for each in numbers), "each was taken"
    assert not once.takes("p", 5000 - WINDOW), "too old to be told from a repeat"
    assert once.takes("q", 3), "another process has numbers of its own"
    assert once.takes("p", 5001 + WINDOW)
    assert not once.takes("p", 5001), "too old again"
    assert all(once.takes("r", each) for each in itertools.chain(range(0, 9000, 2), range(9001, 8000, -2)))
