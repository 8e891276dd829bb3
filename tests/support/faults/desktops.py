"""Desktops that all come at once: as many WebSockets as wanted, in a process of their own and as cheap as can be.

As a program it reads one JSON object in a line: the `ports` of the service's processes, and the `tokens` of the agents.
Then `connect` and `break` by lines: all desktops come, or break off without a word. It answers `connect` with a line of
JSON, the fields of `Came`. `cordboard.v1` is spoken over bare sockets: some thousand clients of a library would take
more of the machine than the service does.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
LATER: Final = 1013
OPEN_S_MAX: Final = 120.0
TRIES_MAX: Final = 200
PAUSE_S: Final = 0.2
RESUME_EVENTS_MAX: Final = 10_000
UPGRADE: Final = (
    b"GET /v1/stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: c29tZXRoaW5nIHJhbmRvbQ==\r\n\r\n"
)


@dataclass
class Came:
    """How all desktops came in: each one's seconds until it was welcome, how often it was sent away, what was wrong.

    `lost` counts connections that ended otherwise, by the close code; 0: without any.
    """

    took_s: list[float] = field(default_factory=list)
    sent_away: list[int] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Socket(asyncio.Protocol):
    """One connection. `first` becomes the welcome, or the code and reason with which it was closed."""

    def __init__(self, hello: str) -> None:
        self.first: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self.gone = False
        self._hello = hello
        self._buffer = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._tell(0, head.decode(errors="replace"))
                self.abort()
                return
            self._upgraded, self._buffer = True, rest
            self._send(TEXT, self._hello.encode())
        while (frame := self._frame()) is not None:
            self._heard(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._tell(0, "lost")

    def abort(self) -> None:
        """Be gone without a word."""
        assert self._transport is not None
        self._transport.abort()

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame; a server's are not masked, and this one's are never in pieces."""
        if len(self._buffer) < 2:
            return None
        length, begin = self._buffer[1], 2
        if length > 125:
            size, form = (2, ">H") if length == 126 else (8, ">Q")
            if len(self._buffer) < 2 + size:
                return None
            length, begin = struct.unpack_from(form, self._buffer, 2)[0], 2 + size
        if len(self._buffer) < begin + length:
            return None
        found = self._buffer[0] & 15, self._buffer[begin : begin + length]
        self._buffer = self._buffer[begin + length :]
        return found

    def _heard(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            self._send(PONG, payload)
        elif kind == CLOSE:
            code = struct.unpack_from(">H", payload)[0] if payload else 1005
            self._tell(code, payload[2:].decode())
            self._send(CLOSE, payload[:2])
        elif kind == TEXT and not self.first.done():
            self._tell(TEXT, json.loads(payload))

    def _tell(self, kind: int, what: object) -> None:
        if not self.first.done():
            self.first.set_result((kind, what))

    def _send(self, kind: int, payload: bytes) -> None:
        """A frame under the mask 0, which leaves it as it is."""
        assert self._transport is not None
        length = len(payload)
        size = bytes([128 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        self._transport.write(bytes([128 | kind]) + size + bytes(4) + payload)


class Desktops:
    """Each comes until it is welcome, to one process after the other, as a load balancer would have it."""

    def __init__(self, ports: Sequence[int], tokens: Sequence[str]) -> None:
        self._ports, self._tokens = ports, tokens
        self._last: dict[int, int] = {}
        self._sockets: list[Socket] = []

    async def connect(self) -> Came:
        """All at once."""
        came = Came()
        started = time.monotonic()
        self._sockets = list(
            await asyncio.gather(*(self._one(each, started, came) for each in range(len(self._tokens))))
        )
        return came

    def break_off(self) -> int:
        """All are gone without a word; how many were there until now."""
        there = sum(not each.gone for each in self._sockets)
        for each in self._sockets:
            each.abort()
        return there

    async def _one(self, number: int, started: float, came: Came) -> Socket:
        sent_away = 0
        for tries in range(TRIES_MAX):
            port = self._ports[(number + tries) % len(self._ports)]
            try:
                async with asyncio.timeout(OPEN_S_MAX):
                    kind, said, socket = await self._try(port, number)
            except (OSError, TimeoutError):
                kind, said = 0, "nothing"
            if kind == TEXT:
                came.took_s.append(time.monotonic() - started)
                came.sent_away.append(sent_away)
                self._welcomed(number, said, came)
                return socket
            if kind == LATER:
                sent_away += 1
                await asyncio.sleep(int(said.split()[-2]))
            else:
                came.lost[str(kind)] += 1
                await asyncio.sleep(PAUSE_S)
        raise AssertionError("a desktop is never welcome")

    async def _try(self, port: int, number: int) -> tuple[int, Any, Socket]:
        hello: dict[str, Any] = {"type": "hello", "token": self._tokens[number]}
        if number in self._last:
            hello["after"] = self._last[number]
        made = await asyncio.get_running_loop().create_connection(lambda: Socket(json.dumps(hello)), "127.0.0.1", port)
        socket = made[1]
        try:
            kind, said = await socket.first
        except BaseException:
            socket.abort()
            raise
        return kind, said, socket

    def _welcomed(self, number: int, welcome: dict[str, Any], came: Came) -> None:
        """Each that goes and comes leaves events: in a great storm the last ones are too far behind to resume."""
        known = self._last.get(number)
        near = known is not None and welcome["seq"] - known <= RESUME_EVENTS_MAX
        if welcome["type"] != "welcome" or welcome["resumed"] != near:
            came.wrong.append(f"desktop {number}, which knew {known}, hears {json.dumps(welcome)[:200]}")
        self._last[number] = welcome["seq"]


class Storm:
    """The program, as a test has it at hand."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def connect(self) -> Came:
        """Let all desktops come at once; returns when all are welcome."""
        return Came(**await self._ask("connect"))

    async def break_off(self) -> int:
        """Let all go without a word; how many were still there."""
        return int(await self._ask("break"))

    async def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n".encode())
        answer = await self._process.stdout.readline()
        assert answer, "the desktops' process has ended"
        return json.loads(answer)


@asynccontextmanager
async def desktops(ports: Sequence[int], tokens: Sequence[str]) -> AsyncIterator[Storm]:
    """A process with desktops in it, none of which has come yet."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe, limit=1 << 24)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ports": list(ports), "tokens": list(tokens)}).encode() + b"\n")
        yield Storm(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def main() -> None:
    """Do as the lines say."""
    lines = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    found = Desktops(**json.loads(await lines.readline()))
    while line := (await lines.readline()).strip():
        answer = vars(await found.connect()) if line == b"connect" else found.break_off()
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    asyncio.run(main())
