"""A client that costs next to nothing, since it shares the machine with what it measures: HTTP/1.1 and WebSocket."""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import Final, cast

from typing_extensions import override

TOO_MUCH: Final = frozenset({429, 503})
REFUSED_PAUSE_S: Final = 0.2
REFUSED_S_MAX: Final = 30.0

_TEXT: Final = 0x1
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125
_MEDIUM: Final = 126
_LONG: Final = 127
_NO_MASK: Final = bytes(4)
"""Masking with zeros leaves the text as it is."""


class Failed(Exception):
    """The other side refused, or hung up."""


class Http(asyncio.Protocol):
    """One connection that is kept, one request at a time; opened anew where the server has closed it, being idle."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._transport: asyncio.Transport | None = None
        self._seen = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def connect(cls, port: int, key: str) -> "Http":
        """A connection to this machine."""
        made = cls(port, key)
        await made._open()
        return made

    async def _open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        if self._transport is None or self._transport.is_closing():
            await self._open()
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        return await self._answer

    async def good(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of an answer that must be good; where there is too much to do it is asked again, for a while."""
        give_up_at = time.monotonic() + REFUSED_S_MAX
        status, answer = await self.ask(method, path, body)
        while status in TOO_MUCH and time.monotonic() < give_up_at:
            await asyncio.sleep(REFUSED_PAUSE_S)
            status, answer = await self.ask(method, path, body)
        if not 200 <= status < 300:  # noqa: PLR2004
            raise Failed(f"{method} {path}: {status} {answer[:300]!r}")
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name

    @override
    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._seen[:end].lower()
        _, there, length = head.partition(b"content-length:")
        size = int(length.split(b"\r\n", 1)[0]) if there else 0
        whole = end + 4 + size
        if len(self._seen) >= whole and self._answer is not None:
            body, self._seen = self._seen[end + 4 : whole], self._seen[whole:]
            answer, self._answer = self._answer, None
            answer.set_result((int(head[9:12]), body))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed("the connection was closed"))


class Socket(asyncio.Protocol):
    """One WebSocket. `hear` is called with each text."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._transport: asyncio.Transport | None = None
        self._seen = bytearray()
        self._open = asyncio.get_running_loop().create_future()
        self.lost = False

    @classmethod
    async def connect(cls, port: int, path: str, hear: Callable[[bytes], None]) -> "Socket":
        """Open a socket to this machine."""
        loop = asyncio.get_running_loop()
        made = cls(hear)
        await loop.create_connection(lambda: made, "127.0.0.1", port)
        assert made._transport is not None
        key = base64.b64encode(os.urandom(16)).decode()
        made._transport.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await made._open
        return made

    def send(self, text: bytes, kind: int = _TEXT) -> None:
        """Send a text."""
        assert self._transport is not None
        size = len(text)
        head = (
            bytes((0x80 | kind, _MASKED | size))
            if size <= _SHORT_MAX
            else bytes((0x80 | kind, _MASKED | _MEDIUM)) + size.to_bytes(2, "big")
        )
        self._transport.write(head + _NO_MASK + text)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self._open.done():
            self._open.set_exception(Failed("the socket was refused"))

    @override
    def data_received(self, data: bytes) -> None:
        seen = self._seen
        seen += data
        if not self._open.done():
            end = seen.find(b"\r\n\r\n")
            if end < 0:
                return
            if not seen.startswith(b"HTTP/1.1 101"):
                self._open.set_exception(Failed(bytes(seen[:100]).decode(errors="replace")))
                return
            del seen[: end + 4]
            self._open.set_result(None)
        while (frame := _frame(seen)) is not None:
            kind, begin, end = frame
            text = bytes(seen[begin:end])
            del seen[:end]
            if kind == _TEXT:
                self._hear(text)
            elif kind == _PING:
                self.send(text, _PONG)
            elif kind == _CLOSE:
                self.close()


def _frame(seen: bytearray) -> tuple[int, int, int] | None:
    """Kind, begin and end of the first frame, if it is whole."""
    if len(seen) < 2:  # noqa: PLR2004
        return None
    size, begin = seen[1] & 0x7F, 2
    if size == _MEDIUM:
        size, begin = int.from_bytes(seen[2:4], "big"), 4
    elif size == _LONG:
        size, begin = int.from_bytes(seen[2:10], "big"), 10
    end = begin + size
    return (seen[0] & 0x0F, begin, end) if len(seen) >= end else None
