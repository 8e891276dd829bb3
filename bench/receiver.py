"""A receiver of webhooks that costs next to nothing, since it shares the machine with what it measures."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, cast

import msgspec
from typing_extensions import override

LOOPBACK: Final = "127.0.0.1/32"
"""What the service has to be allowed to post to."""

_TAKEN: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH: Final = b"content-length:"


QUIET_S: Final = 1.0
"""So long nothing comes once everything has come."""


class _Event(msgspec.Struct):
    seq: int
    at: datetime


_EVENT: Final = msgspec.json.Decoder(_Event)


class Receiver:
    """Takes every event: the numbers of those that came, and how long after its own time each did first, in seconds."""

    def __init__(self) -> None:
        self.port = 0
        self.seqs: set[int] = set()
        self.late_s: list[float] = []

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator["Receiver"]:
        """One on a free port."""
        made = cls()
        server = await asyncio.get_running_loop().create_server(lambda: _Connection(made), "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            server.close()

    @property
    def missing(self) -> int:
        """How many did not come of those between the first and the last."""
        return max(self.seqs) - min(self.seqs) + 1 - len(self.seqs) if self.seqs else 0

    def take(self, body: bytes) -> None:
        """The next event; what was taken before is not timed again."""
        event = _EVENT.decode(body)
        if event.seq not in self.seqs:
            self.seqs.add(event.seq)
            self.late_s.append(time.time() - event.at.timestamp())

    async def settled(self) -> None:
        """Wait until nothing comes any more."""
        count = -1
        while len(self.seqs) > count:
            count = len(self.seqs)
            await asyncio.sleep(QUIET_S)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name

    @override
    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            _, _, length = self._seen[:end].lower().partition(_LENGTH)
            whole = end + 4 + int(length.split(b"\r\n", 1)[0])
            if len(self._seen) < whole:
                return
            body, self._seen = self._seen[end + 4 : whole], self._seen[whole:]
            self._receiver.take(body)
            self._transport.write(_TAKEN)
