"""A receiver of webhooks, which may fail, or answer nothing for a while."""

import asyncio
import json

from tests.support.faults.books import HookBook

TYPES = frozenset({"contact.received", "contact.closed"})


class Receiver:
    """Takes what is posted to it, and writes it down once it has answered.

    While it is `failing` it answers each event once with an error; while it is `silent`, with nothing.
    """

    def __init__(self) -> None:
        self.book = HookBook(TYPES)
        self.failing = False
        self.silent = False
        self.port = 0
        self._failed: set[int] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for each in self._open:
            each.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                seq = int(json.loads(await reader.readexactly(length))["seq"])
                held = self.silent
                while self.silent:
                    await asyncio.sleep(0.02)
                if held:
                    await asyncio.sleep(0.1)  # until this loop has heard who was killed meanwhile
                if reader.at_eof():
                    return  # whoever posted it is dead, and heard nothing
                status = "204 No Content"
                if self.failing and seq not in self._failed and seq not in self.book.taken:
                    self._failed.add(seq)
                    status = "500 Internal Server Error"
                else:
                    self.book.taken.setdefault(seq)
                writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()
