"""Posting over HTTP/1.1, and nothing else: over connections that are kept, and of the answer the head alone counts.

A general client takes several times the processor time for each post, and a contact is five events or more.
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, cast

import httptools
import httpx
from typing_extensions import override

from src.tls import trusted

HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 64 * 1024
BODY_S_MAX: Final = 1.0
"""A connection whose answer has more to say, or takes longer to say it, is given up."""

IDLE_S_MAX: Final = 30.0
AGE_S_MAX: Final = 60.0
"""A connection that is older takes no other post: where its host has moved, or is not to be called any more, that is
noticed so soon however much is posted.
"""

_LINE: Final = re.compile(r"[\x20-\x7e]*")
_FINAL: Final = 200
"""Answers below say that another follows."""

Resolve = Callable[[str, int], Awaitable[str]]
"""The address of a host and port that may be called; raises `OSError`."""


class NotConnectedError(OSError):
    """Nobody is there; or it may not be called, which its cause tells."""


class BrokenOffError(OSError):
    """The connection ended before an answer, or what came is none. `unheard`: not a byte of one had come."""

    def __init__(self, text: str, *, unheard: bool = False) -> None:
        super().__init__(text)
        self.unheard = unheard


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL leads: `place` is secure or not, host and port; `head` is how each request begins."""

    place: tuple[bool, str, int]
    head: bytes


@lru_cache(maxsize=1024)
def _target(url: str) -> _Target:
    parsed = httpx.URL(url)
    secure = parsed.scheme == "https"
    head = [b"POST ", parsed.raw_path, b" HTTP/1.1\r\nhost: ", parsed.netloc, b"\r\n"]
    if parsed.userinfo:
        said = base64.b64encode(f"{parsed.username}:{parsed.password}".encode())
        head += [b"authorization: Basic ", said, b"\r\n"]
    port = parsed.port if parsed.port is not None else 443 if secure else 80
    return _Target((secure, parsed.raw_host.decode("ascii"), port), b"".join(head))


class _Line(asyncio.Protocol):
    """One connection; one post at a time. `good`: it may be used for another."""

    def __init__(self, place: tuple[bool, str, int], lost: "Callable[[_Line], None]") -> None:
        self.place = place
        self.good = False
        self.timer: asyncio.TimerHandle | None = None
        self._lost = lost
        self._old_at = asyncio.get_running_loop().time() + AGE_S_MAX
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[tuple[int, str | None]] | None = None
        self._end: asyncio.Future[None] | None = None
        self._after: str | None = None
        self._size = 0

    async def ask(self, request: bytes) -> tuple[int, str | None]:
        """The answer's status and its `Retry-After`.

        Raises:
            BrokenOffError: there is none.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            raise BrokenOffError("the connection is closed", unheard=True)
        loop = asyncio.get_running_loop()
        self._head, self._end = loop.create_future(), loop.create_future()
        self.good, self._after, self._size = False, None, 0
        self._transport.write(request)
        found = await self._head
        if not self._end.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BODY_S_MAX):
                    await self._end
        return found

    def close(self) -> None:
        """Hang up."""
        self.good = False
        if self._transport is not None:
            self._transport.close()

    def give_up(self) -> None:
        """Hang up at once: what was not sent yet is waited for by nobody, nor is a farewell."""
        self.good = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: BrokenOffError) -> None:
        self.good = False
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    # -- told by the event loop ---------------------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name

    @override
    def data_received(self, data: bytes) -> None:
        if self._end is None or self._end.done():
            self.give_up()  # nothing was asked
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BrokenOffError("what came is no answer"))
            self.give_up()
            return
        assert self._head is not None
        if self._size > (BODY_BYTES_MAX if self._head.done() else HEAD_BYTES_MAX) and not self._end.done():
            self._fail(BrokenOffError("the answer is too long"))
            self.give_up()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(BrokenOffError("the connection was broken off", unheard=self._size == 0))
        self._lost(self)

    # -- told by the parser -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another one than was asked for spoils the connection."""
        if self._end is None or self._end.done():
            self.good = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer."""
        if name.lower() == b"retry-after":
            self._after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        if status >= _FINAL and self._head is not None and not self._head.done():
            self._head.set_result((status, self._after))

    def on_message_complete(self) -> None:
        """The answer is over."""
        if self._head is not None and self._head.done() and self._end is not None and not self._end.done():
            assert self._transport is not None
            young = asyncio.get_running_loop().time() < self._old_at
            sent = not self._transport.get_write_buffer_size()  # or it answers what it has not read
            self.good = young and sent and self._parser.should_keep_alive()
            self._end.set_result(None)


@dataclass(slots=True)
class Posts:
    """The connections, so many at most: those that wait count too, and whichever waits longest makes room."""

    resolve: Resolve
    connections_max: int
    _idle: dict[tuple[bool, str, int], list[_Line]] = field(default_factory=dict)
    _waiting: dict[_Line, None] = field(default_factory=dict)
    _busy: int = 0
    _room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.connections_max)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str | None]:
        """Post once; the answer's status and its `Retry-After`. It must be bounded by who waits.

        Where a connection that was kept is broken off before anything came, it is posted once more over a new one: the
        other side may have closed it for having been idle, while this was on its way.

        Raises:
            NotConnectedError: nobody is there, or it may not be called.
            BrokenOffError: no answer came.
            httpx.InvalidURL: it is none.
            ValueError: a header has more than one line of ASCII.
        """
        target = _target(url)
        if not all(map(_LINE.fullmatch, (*headers, *headers.values()))):
            raise ValueError("a header is one line of ASCII")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = b"".join((target.head, lines.encode("ascii"), f"content-length: {len(body)}\r\n\r\n".encode(), body))
        async with self._room:
            self._busy += 1
            try:
                kept = self._kept(target.place)
                if kept is not None:
                    try:
                        return await self._over(kept, target, request)
                    except BrokenOffError as error:
                        if not error.unheard:
                            raise
                return await self._over(await self._opened(target.place), target, request)
            finally:
                self._busy -= 1

    def close(self) -> None:
        """Hang up everywhere."""
        for line in self._waiting:
            line.close()

    def _kept(self, place: tuple[bool, str, int]) -> _Line | None:
        lines = self._idle.get(place)
        while lines:
            line = lines.pop()
            del self._waiting[line]
            if not lines:
                del self._idle[place]
            if line.timer is not None:
                line.timer.cancel()
            if line.good:
                return line
        return None

    async def _opened(self, place: tuple[bool, str, int]) -> _Line:
        if self._waiting and self._busy + len(self._waiting) > self.connections_max:
            longest = next(iter(self._waiting))
            longest.close()
            self._forget(longest)
        secure, host, port = place
        loop = asyncio.get_running_loop()
        try:
            address = await self.resolve(host, port)
            _, line = await loop.create_connection(
                lambda: _Line(place, self._forget),
                address,
                port,
                ssl=trusted() if secure else None,
                server_hostname=host if secure else None,
            )
        except (OSError, ValueError) as error:
            raise NotConnectedError("nobody is there") from error
        return line

    async def _over(self, line: _Line, target: _Target, request: bytes) -> tuple[int, str | None]:
        try:
            found = await line.ask(request)
        except BaseException:
            line.give_up()
            raise
        if line.good:
            line.timer = asyncio.get_running_loop().call_later(IDLE_S_MAX, line.close)
            self._idle.setdefault(target.place, []).append(line)
            self._waiting[line] = None
        else:
            line.give_up()
        return found

    def _forget(self, line: _Line) -> None:
        if line.timer is not None:
            line.timer.cancel()
        if line in self._waiting:
            del self._waiting[line]
            lines = self._idle[line.place]
            lines.remove(line)
            if not lines:
                del self._idle[line.place]
