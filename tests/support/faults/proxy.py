"""A network that can be broken: a TCP proxy between one process and one server."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

from tests.support.ports import free_port

CHUNK_BYTES = 64 * 1024

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """Carries bytes both ways, as its switches say.

    `cut` closes what is open and refuses what comes; `silence` takes everything and carries nothing, like a cable that
    is out; `deaf` carries requests and swallows the answers (half open); `delay_s` lets every piece wait. `heal` undoes
    all of them: connections that were silenced are closed then, for their bytes are lost.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = self._silent = self._deaf = False
        self._delay_s = 0.0
        self.port = free_port()

    async def start(self) -> Self:
        """Listen on a free port of this machine; the port stays the same for good."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        await self._drop()

    async def cut(self) -> None:
        """Close what is open and refuse what comes."""
        self._cut = True
        await self._drop()

    def silence(self) -> None:
        """From now on nothing comes through either way, and nobody is told."""
        self._silent = True

    def deafen(self) -> None:
        """From now on requests come through and answers do not."""
        self._deaf = True

    def delay(self, seconds: float) -> None:
        """From now on every piece takes so much longer, each way."""
        self._delay_s = seconds

    async def heal(self) -> None:
        """Be a good network again."""
        lossy = self._silent or self._deaf
        self._cut = self._silent = self._deaf = False
        self._delay_s = 0.0
        if lossy:
            await self._drop()

    async def _drop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            if self._cut:
                return
            while self._silent:
                await asyncio.sleep(0.05)
            answers, there = await self._connect()
            ways = [
                asyncio.ensure_future(self._carry(reader, there, back=False)),
                asyncio.ensure_future(self._carry(answers, writer, back=True)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the server is not there: neither is the connection
        except asyncio.CancelledError:
            pass  # cut: it ends here, and nobody waits for it but `_drop`
        finally:
            self._tasks.discard(task)
            for each in (writer, there):
                if each is not None:
                    each.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if self._silent or (back and self._deaf):
                    continue
                sink.write(piece)
                await sink.drain()
