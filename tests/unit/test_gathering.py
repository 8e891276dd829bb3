"""Connections that write once in a turn of the event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override
from uvicorn.server import ServerState

from src.app import gathering
from src.app.gathering import GATHERED_BYTES_MAX, GatheringHttp, GatheringTransport, GatheringWebSocket

REQUEST = b"GET /somewhere HTTP/1.1\r\nHost: here\r\n\r\n"
UPGRADE = (
    b"GET /stream HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Wire(asyncio.Transport):
    """Notes each write of its own, as the system calls that they would be."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.written = asyncio.Event()
        self.closed = self.aborted = False
        self.unread = 0
        self.protocol: Any = None

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.written.set()

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def abort(self) -> None:
        self.closed = self.aborted = True

    @override
    def is_closing(self) -> bool:
        return self.closed

    @override
    def pause_reading(self) -> None:
        """Nothing is read from it."""

    @override
    def resume_reading(self) -> None:
        """Nothing is read from it."""

    @override
    def get_write_buffer_size(self) -> int:
        return self.unread

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    async def next(self) -> bytes:
        """What is written in one go, after what has been taken."""
        await asyncio.wait_for(self.written.wait(), 5)
        self.written.clear()
        return self.writes[-1]


async def test_what_is_written_in_one_turn_goes_out_in_one_write_and_in_order() -> None:
    wire = Wire()
    transport = GatheringTransport(wire, asyncio.get_running_loop())
    transport.write(b"one ")
    transport.writelines([bytearray(b"two "), b"three"])
    assert wire.writes == []
    assert await wire.next() == b"one two three"
    transport.write(b"four")
    assert await wire.next() == b"four"
    assert wire.writes == [b"one two three", b"four"]


async def test_much_is_written_at_once_so_that_a_slow_reader_is_noticed() -> None:
    wire = Wire()
    transport = GatheringTransport(wire, asyncio.get_running_loop())
    transport.write(b"x" * GATHERED_BYTES_MAX)
    assert wire.writes == []
    assert transport.get_write_buffer_size() == GATHERED_BYTES_MAX
    transport.write(b"y")
    assert [len(each) for each in wire.writes] == [GATHERED_BYTES_MAX + 1]
    await asyncio.sleep(0)
    assert len(wire.writes) == 1


async def test_what_was_written_goes_out_before_the_connection_is_closed() -> None:
    wire = Wire()
    transport = GatheringTransport(wire, asyncio.get_running_loop())
    transport.write(b"the last word")
    transport.close()
    assert (wire.writes, wire.closed) == ([b"the last word"], True)


async def test_nothing_is_written_to_a_connection_that_was_lost_meanwhile() -> None:
    wire = Wire()
    transport = GatheringTransport(wire, asyncio.get_running_loop())
    transport.write(b"too late")
    wire.close()
    await asyncio.sleep(0)
    transport.write(b"later still")
    transport.abort()
    await asyncio.sleep(0)
    assert wire.writes == []


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"there"})
        return
    await send({"type": "websocket.accept"})
    await receive()
    for text in ("a reply", "an event"):
        await send({"type": "websocket.send", "text": text})
    await receive()


def _connected(wire: Wire) -> GatheringHttp:
    config = uvicorn.Config(_app, ws=GatheringWebSocket, lifespan="off", log_config=None)
    config.load()
    protocol = GatheringHttp(config, ServerState(), {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    return protocol


async def test_head_and_body_of_an_answer_are_one_write() -> None:
    wire = Wire()
    protocol = _connected(wire)
    protocol.data_received(REQUEST)
    answer = await wire.next()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nthere")
    protocol.timeout_keep_alive_handler()


async def test_a_reply_and_the_event_behind_it_are_one_write() -> None:
    wire = Wire()
    _connected(wire).data_received(UPGRADE)
    assert (await wire.next()).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    protocol = wire.protocol
    assert isinstance(protocol, GatheringWebSocket)
    protocol.data_received(b"\x81\x80\x00\x00\x00\x00")
    assert await wire.next() == b"\x81\x07a reply\x81\x08an event"
    protocol.connection_lost(ConnectionResetError())


@contextlib.asynccontextmanager
async def _deaf(app: ASGIApp) -> AsyncIterator[tuple[socket.socket, GatheringWebSocket]]:
    """A client over a real connection that says what it likes and never reads, and the server's side of it."""
    loop, state = asyncio.get_running_loop(), ServerState()
    config = uvicorn.Config(
        app, ws=GatheringWebSocket, lifespan="off", log_config=None, ws_ping_interval=0.05, ws_ping_timeout=0.05
    )
    config.load()
    server = await loop.create_server(lambda: GatheringHttp(config, state, {}, loop), "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, UPGRADE)
        async with asyncio.timeout(30):
            while not any(isinstance(each, GatheringWebSocket) for each in state.connections):
                await asyncio.sleep(0.001)
        (side,) = state.connections
        assert isinstance(side, GatheringWebSocket)
        yield client, side
    server.close()


async def test_a_socket_whose_other_side_never_reads_is_broken_off_however_much_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "UNREAD_S_MAX", 0.05)
    ended, told = asyncio.Event(), asyncio.Event()

    async def talks(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "x" * 10_000})
        finally:
            ended.set()
            while (await receive())["type"] != "websocket.disconnect":
                pass
            told.set()

    async with _deaf(talks) as (_, side):
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.wait_for(told.wait(), 5)
        assert side.transport.get_write_buffer_size() == 0
        assert not side.connections


async def test_a_connection_that_is_closed_stays_while_what_was_written_last_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "UNREAD_S_MAX", 0.05)
    wire = Wire()
    transport = GatheringTransport(wire, asyncio.get_running_loop())
    wire.unread = 3
    transport.close()
    for _ in range(3):
        await asyncio.sleep(0.04)
        assert not wire.aborted
        wire.unread -= 1
    await asyncio.sleep(0.1)
    assert not wire.aborted


async def test_pings_of_one_who_never_reads_are_not_answered_without_end() -> None:
    async def listens(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async with _deaf(listens) as (client, side):
        side.stop_keepalive()
        pings = b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125
        loop = asyncio.get_running_loop()
        for _ in range(400):
            await loop.sock_sendall(client, pings * 200)
        assert not side.writable.is_set()
        assert side.transport.get_write_buffer_size() < 1_000_000
        side.transport.abort()


async def test_the_last_ping_is_answered_when_the_other_side_reads_again() -> None:
    wire = Wire()
    _connected(wire).data_received(UPGRADE)
    await wire.next()
    protocol = wire.protocol
    protocol.pause_writing()
    for each in (b"1", b"2", b"3"):
        protocol.data_received(b"\x89\x81\x00\x00\x00\x00" + each)
    protocol.data_received(b"\x89\x81\x00\x00\x00\x004\x89\x81\x00\x00\x00\x005")
    await asyncio.sleep(0)
    assert len(wire.writes) == 1
    protocol.resume_writing()
    assert await wire.next() == b"\x8a\x015"
    protocol.connection_lost(ConnectionResetError())
