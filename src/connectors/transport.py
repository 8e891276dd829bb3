"""httpx's way over the network, for so many requests at a time: whoever is one too many waits here.

The library's own pool loses a connection for good when somebody gives up waiting at the wrong moment (a request that
is cancelled as it is given a connection, or as its answer ends): the place stays taken, and a pool with a limit is full
one day, for a system that answers again. So its pool has no limit here, and the limit is a semaphore that is released
whatever happens. See docs/decisions/0012-httpx.md.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpcore
import httpx
from typing_extensions import override

from src.tls import trusted


class Transport(httpx.AsyncHTTPTransport):
    """For an `httpx.AsyncClient`: `at_once` requests, and `kept` connections that wait `idle_s` for the next."""

    def __init__(
        self, at_once: int, *, kept: int, idle_s: float, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        """`network` opens the connections; None: httpcore's own does."""
        super().__init__(verify=trusted(), trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=None,
            max_keepalive_connections=kept,
            keepalive_expiry=idle_s,
            network_backend=network,
        )
        self._room = asyncio.Semaphore(at_once)

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for room, then ask; the room is free again when the answer is closed."""
        await self._room.acquire()
        try:
            answer = await super().handle_async_request(request)
        except BaseException:
            self._room.release()
            raise
        answer.stream = _Holding(cast("httpx.AsyncByteStream", answer.stream), self._room)
        return answer


class _Holding(httpx.AsyncByteStream):
    """An answer's body, which holds its place until it is closed."""

    def __init__(self, body: httpx.AsyncByteStream, room: asyncio.Semaphore) -> None:
        self._body = body
        self._room = room
        self._closed = False

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    @override
    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._body.aclose()
        finally:
            self._room.release()
