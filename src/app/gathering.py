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


class GatheringTransport(asyncio.Transport):
    """A transport that keeps what is written until the event loop has gone round. All else it passes on."""

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
        self._inner.close()

    @override
    def write_eof(self) -> None:
        self._flush()
        self._inner.write_eof()

    @override
    def abort(self) -> None:
        self._gathered.clear()
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
    """A WebSocket: an answer and the events that follow go out together. It takes over an HTTP connection."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(gathering(transport, self.loop))
