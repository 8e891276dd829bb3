"""HTTP and WebSocket connections that write once in a turn of the event loop, whatever was written to them meanwhile.

A system call for each frame, and two for each answer, were a seventh of a contact's processor time.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GATHERED_BYTES_MAX: Final = 64 * 1024
"""With more than this, what waits is written at once: then the transport can say that the other side reads slower."""

UNREAD_S_MAX: Final = 10.0
"""A connection that is closed is broken off when nothing of what was last written to it is read for so long."""


class GatheringTransport(asyncio.Transport):
    """A transport that keeps what is written until the event loop has gone round, and is not closed in vain.

    A transport alone stays for ever where it is closed and the other side reads no more. All else is passed on.
    """

    __slots__ = ("_gathered", "_inner", "_loop", "_size")

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(bytes(data))
        self._size += len(data)
        if self._size > GATHERED_BYTES_MAX:
            self._flush()

    @override
    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for each in list_of_data:
            self.write(each)

    def _flush(self) -> None:
        gathered = self._gathered
        if gathered:
            self._gathered, self._size = [], 0
            if not self._inner.is_closing():
                self._inner.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    @override
    def close(self) -> None:
        self._flush()
        if not self._inner.is_closing():
            self._inner.close()
            self._look_whether_read(None)

    def _look_whether_read(self, before: int | None) -> None:
        unread = self._inner.get_write_buffer_size()
        if before is not None and unread >= before:
            self._inner.abort()
        elif unread:
            self._loop.call_later(UNREAD_S_MAX, self._look_whether_read, unread)

    @override
    def write_eof(self) -> None:
        self._flush()
        self._inner.write_eof()

    @override
    def abort(self) -> None:
        self._gathered, self._size = [], 0
        self._inner.abort()

    @override
    def is_closing(self) -> bool:
        return self._inner.is_closing()

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    @override
    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    @override
    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size() + self._size

    @override
    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._inner.get_write_buffer_limits()

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)

    @override
    def is_reading(self) -> bool:
        return self._inner.is_reading()

    @override
    def pause_reading(self) -> None:
        self._inner.pause_reading()

    @override
    def resume_reading(self) -> None:
        self._inner.resume_reading()

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)


def gathering(transport: asyncio.BaseTransport, loop: asyncio.AbstractEventLoop) -> GatheringTransport:
    """The transport as one that gathers; as it is, if it does."""
    if isinstance(transport, GatheringTransport):
        return transport
    return GatheringTransport(cast("asyncio.Transport", transport), loop)  # uvloop's is one but in name


class GatheringHttp(HttpToolsProtocol):
    """An HTTP connection: head and body of an answer go out together."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(gathering(transport, self.loop))


class GatheringWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket: an answer and the events that follow go out together. It takes over an HTTP connection.

    Whoever pings and reads no answers has no more than one of them kept for it: that to the last ping is enough.
    """

    _pong: list[bytes] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(gathering(transport, self.loop))

    @override
    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            pongs = self.conn.data_to_send()
            self._pong = pongs[-1:] or self._pong

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong is not None:
            self.transport.write(b"".join(self._pong))
            self._pong = None
