"""httpx's way over the network, for so many requests at a time: whoever is one too many waits here.

The library's own pool loses a connection for good when a request is cancelled at the wrong moment (as it is given one,
or as its answer ends): the place stays taken, and one day the pool is full, for systems that answer again. So the limit
is a semaphore, which is released whatever happens; and a pool in which somebody was cancelled is used for nothing new:
it is closed, with what it has lost, as soon as nobody is left in it. See docs/decisions/0012-httpx.md.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import cast

import httpcore
import httpx
from typing_extensions import override

from src.tls import trusted


class Transport(httpx.AsyncBaseTransport):
    """For an `httpx.AsyncClient`: `at_once` requests, and `kept` connections that wait `idle_s` for the next."""

    def __init__(
        self, at_once: int, *, kept: int, idle_s: float, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        """`network` opens the connections; None: httpcore's own does."""
        self._kept = kept
        self._idle_s = idle_s
        self._network = network
        self._room = asyncio.Semaphore(at_once)
        self._pool = self._new()
        self._closing: set[asyncio.Task[None]] = set()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait for room, then ask; the room is free again when the answer is closed."""
        await self._room.acquire()
        pool = self._pool
        pool.inside += 1
        try:
            answer = await pool.handle_async_request(request)
        except BaseException as error:
            self._leave(pool, spoilt=isinstance(error, asyncio.CancelledError))
            raise
        answer.stream = _Holding(cast("httpx.AsyncByteStream", answer.stream), partial(self._leave, pool))
        return answer

    @override
    async def aclose(self) -> None:
        await asyncio.gather(self._pool.aclose(), *self._closing)

    def _new(self) -> "_Pool":
        return _Pool(self._kept, self._idle_s, self._network)

    def _leave(self, pool: "_Pool", *, spoilt: bool) -> None:
        self._room.release()
        pool.inside -= 1
        if spoilt and pool is self._pool:
            self._pool = self._new()
        if pool is not self._pool and not pool.inside:
            task = asyncio.create_task(pool.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _Pool(httpx.AsyncHTTPTransport):
    """Connections without a limit; `inside` counts the requests that are under way."""

    def __init__(self, kept: int, idle_s: float, network: httpcore.AsyncNetworkBackend | None) -> None:
        super().__init__(verify=trusted(), trust_env=False)
        self.inside = 0
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=None,
            max_keepalive_connections=kept,
            keepalive_expiry=idle_s,
            network_backend=network,
        )


class _Holding(httpx.AsyncByteStream):
    """An answer's body, which holds its place until it is closed."""

    def __init__(self, body: httpx.AsyncByteStream, leave: Callable[..., None]) -> None:
        self._body = body
        self._leave = leave
        self._closed = False
        self._spoilt = False

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except asyncio.CancelledError:
            self._spoilt = True
            raise

    @override
    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._body.aclose()
        except BaseException:
            self._spoilt = True
            raise
        finally:
            self._leave(spoilt=self._spoilt)
