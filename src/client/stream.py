"""`/v1/stream` as a careful client follows it: each event once and in order, through any number of connections.

A connection that breaks is opened again, behind a pause that grows and is never the same twice, or when the service
says; the service then goes on behind the last number that was read. Whoever iterates gets

- an `Event` for each event,
- a `Welcome` where the service did not go on from there: at the first connection, or after a long time. Whoever keeps
  a state replaces it then by the snapshot, or reads it anew,
- `Typing`, when the customer types.

What is said (`ask`) is said again on the next connection until it is answered.
"""

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from src.api.forms.answers import Assignment, Json, Message
from src.api.forms.events import Event
from src.api.forms.frames import Typing, Welcome
from src.client.errors import ClientError, Declined, NoAnswer, Replaced, Silent

SUBPROTOCOL: Final = Subprotocol("cordboard.v1")
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
OPEN_S_MAX: Final = 10.0
REPLY_S_MAX: Final = 20.0
PATIENCE_S: Final = 60.0
"""For so long something that the service has no room for is said again."""

RECONNECT_S_FIRST: Final = 0.2
RECONNECT_S_MAX: Final = 15.0
RETRY_S: Final = 0.5
UNREAD_MAX: Final = 10_000
"""So many items may wait for whoever iterates; then the socket is not read, unless a reply is awaited."""

_BAD_TOKEN: Final = 4001
_REPLACED: Final = 4002
_RETRY_AFTER: Final = re.compile(r"retry after (\d+) s")

Credential = str | Callable[[], Awaitable[str]]
"""A key or token, or a function that gets one: it is asked before each connection."""

Item = Event | Welcome | Typing


@dataclass(slots=True)
class _Line:
    """One open connection and the replies that are awaited on it."""

    socket: ClientConnection
    replies: "dict[str, asyncio.Future[Json]]" = field(default_factory=dict)

    def drop(self) -> None:
        """Nothing more comes: whoever waits for a reply learns of it."""
        for reply in self.replies.values():
            if not reply.done():
                reply.set_exception(NoAnswer("the connection broke"))
                reply.exception()
        self.replies.clear()


class Stream:
    """The events that a credential may hear; `async with` opens it, `async for` reads it.

    `last` is the number of the last event that was handed out, or of a mark behind it: kept by the caller and given as
    `after` another time, the stream goes on there. `head` is where the journal stood at the last welcome.
    """

    def __init__(
        self,
        url: str,
        credential: Credential,
        *,
        after: int | None = None,
        reconnect_s_max: float = RECONNECT_S_MAX,
        rng: random.Random | None = None,
        on_frame: Callable[[Json], None] | None = None,
    ) -> None:
        """`url` is the service's (http or https). `on_frame` sees every frame as it comes, before anything else."""
        self.last = after
        self.head = 0
        self._url = _stream_url(url)
        self._credential = credential
        self._reconnect_s_max = reconnect_s_max
        self._rng = rng or random.Random()  # noqa: S311  # nothing is kept secret by it
        self._on_frame = on_frame or (lambda _: None)
        self._read = after
        self._items: deque[tuple[int | None, Item | None]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._online = asyncio.Event()
        self._line: _Line | None = None
        self._refs = itertools.count(1)
        self._standing: dict[str, Json] = {}
        self._failure: ClientError | None = None
        self._away_s: float | None = None
        self._refused_token = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        await self.close()

    async def close(self) -> None:
        """Hang up, and do not connect again. Whoever iterates comes to the end behind what was read."""
        self._fail(NoAnswer("the stream was closed"))
        if self._line is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._line.socket.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[Item]:
        """What comes, in order, until the stream is closed.

        Raises:
            Replaced: another desktop of the same agent has taken over.
            Declined: the credential is not good, or no longer.
        """
        while True:
            while self._items:
                seq, item = self._items.popleft()
                self._room.set()
                if seq is not None:
                    self.last = seq
                if item is not None:
                    yield item
            if self._failure is not None:
                if isinstance(self._failure, NoAnswer):
                    return
                raise self._failure
            self._news.clear()
            await self._news.wait()

    async def online(self) -> None:
        """Wait until a connection is open.

        Raises:
            ClientError: there will be none any more.
        """
        await self._online.wait()
        if self._failure is not None:
            raise self._failure

    def drop(self, away_s: float | None = None) -> None:
        """Break the connection as a network would; after `away_s` seconds it is opened again."""
        self._away_s = away_s
        if self._line is not None:
            self._line.socket.transport.abort()

    # -- saying something ---------------------------------------------------------------------------------------

    async def ask(self, kind: str, *, repeat: bool = True, **said: Any) -> Json:
        """Say something, until it is answered; `repeat` is false for what must not be said twice.

        Raises:
            NoAnswer: the service is silent, the stream was closed, or the connection broke and it must not be repeated.
            Declined: the service refused.
            Replaced: another desktop has taken over.
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            await self.online()
            line = self._line
            assert line is not None
            try:
                frame = await self._reply(line, {"type": kind, **said})
            except Silent:
                raise
            except NoAnswer:
                if not repeat:
                    raise
                continue
            if frame["ok"]:
                result: Json = frame["result"]
                return result
            problem = frame["problem"]
            refusal = Declined(problem["status"], problem["code"], problem["detail"], problem=problem)
            if not refusal.passing or time.monotonic() > end:
                raise refusal
            await asyncio.sleep(RETRY_S * self._rng.uniform(0.5, 1.5))

    async def _reply(self, line: _Line, frame: Json) -> Json:
        ref = str(next(self._refs))
        reply = line.replies[ref] = asyncio.get_running_loop().create_future()
        self._room.set()
        try:
            await line.socket.send(msgspec.json.encode({**frame, "ref": ref}).decode())
            async with asyncio.timeout(REPLY_S_MAX):
                answer: Json = await reply
                return answer
        except ConnectionClosed as error:
            raise NoAnswer("the connection broke") from error
        except TimeoutError:
            line.socket.transport.abort()
            raise Silent(f"no reply to {frame['type']}") from None
        finally:
            line.replies.pop(ref, None)
            if line.socket.state is not line.socket.state.OPEN and self._line is line:
                self._online.clear()

    async def always(self, kind: str, **said: Any) -> Json:
        """Say something now, and anew on every later connection."""
        self._standing.pop(kind, None)
        result = await self.ask(kind, **said)
        self._standing[kind] = said
        return result

    async def subscribe(self, **narrowed: list[str]) -> None:
        """Hear only some events, by `types`, `queues`, `channels`, `agents` (supervisors and keys).

        It holds from the reply on: what was missed before a connection is told in full.
        """
        await self.always("subscribe", filter=narrowed)

    # -- the connection -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Keep a connection open, and open it again whenever it breaks."""
        pause_s = RECONNECT_S_FIRST
        while self._failure is None:
            welcomed = wait_s = 0.0
            began = self._line
            try:
                await self._connected()
            except ConnectionClosed as closed:
                wait_s = self._closed(closed)
            except InvalidStatus as denied:
                advice = denied.response.headers.get("Retry-After", "")
                wait_s = float(advice) if advice.isdigit() else 0.0
            except Declined as refusal:
                if not refusal.passing:
                    self._fail(refusal)
                wait_s = refusal.retry_after_s or 0.0
            except (OSError, InvalidHandshake, TimeoutError, NoAnswer, msgspec.DecodeError):
                pass
            welcomed = self._line is not began
            pause_s = RECONNECT_S_FIRST if welcomed else min(pause_s * 2, self._reconnect_s_max)
            away_s, self._away_s = self._away_s, None
            if self._failure is None:
                jittered = wait_s + pause_s * self._rng.uniform(0.5, 1.0)
                await asyncio.sleep(jittered if away_s is None else away_s)

    def _closed(self, closed: ConnectionClosed) -> float:
        """How long to stay away at least, in seconds."""
        code = closed.rcvd.code if closed.rcvd is not None else None
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        if code == _REPLACED:
            self._fail(Replaced("another desktop of this agent has taken over"))
        elif code == _BAD_TOKEN:
            if isinstance(self._credential, str) or self._refused_token:
                self._fail(Declined(401, "unauthenticated", f"the stream was closed: {reason}"))
            self._refused_token = True
        found = _RETRY_AFTER.search(reason)
        return float(found[1]) if found else 0.0

    def _fail(self, failure: ClientError) -> None:
        """Nothing more will come."""
        self._failure = self._failure or failure
        self._news.set()
        self._online.set()

    async def _connected(self) -> None:
        """One connection, from hello to its end."""
        credential = self._credential if isinstance(self._credential, str) else await self._credential()
        async with connect(
            self._url,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            open_timeout=OPEN_S_MAX,
            max_size=FRAME_BYTES_MAX,
            proxy=None,
        ) as socket:
            hello: Json = {"type": "hello", "token": credential}
            if self._read is not None:
                hello["after"] = self._read
            await socket.send(msgspec.json.encode(hello).decode())
            async with asyncio.timeout(OPEN_S_MAX):
                self._welcome(msgspec.json.decode(await socket.recv()))
            self._line = line = _Line(socket)
            self._refused_token = False
            self._online.set()
            again = asyncio.create_task(self._say_again())
            try:
                async for text in socket:
                    self._frame(msgspec.json.decode(text), line)
                    while len(self._items) > UNREAD_MAX and not line.replies:
                        self._room.clear()
                        await self._room.wait()
                raise ConnectionClosed(socket.protocol.close_rcvd, socket.protocol.close_sent)
            finally:
                again.cancel()
                if self._failure is None:
                    self._online.clear()
                line.drop()

    async def _say_again(self) -> None:
        for kind, said in list(self._standing.items()):
            with contextlib.suppress(ClientError):
                await self.ask(kind, **said)

    def _welcome(self, frame: Json) -> None:
        self._on_frame(frame)
        welcome = msgspec.convert(frame, Welcome)
        self.head = welcome.seq
        if not welcome.resumed:
            self._read = welcome.seq
            self._hand_out(welcome.seq, welcome)

    def _frame(self, frame: Json, line: _Line) -> None:
        self._on_frame(frame)
        kind = frame["type"]
        if kind == "event":
            event = msgspec.convert(frame["event"], Event)
            if event.seq <= (self._read or 0):
                return
            if frame["prev"] != (self._read or 0):
                line.socket.transport.abort()  # a gap: the next connection goes on behind what was read
                return
            self._read = event.seq
            self._hand_out(event.seq, event)
        elif kind == "mark":
            self._read = max(self._read or 0, frame["seq"])
            self._hand_out(self._read, None)
        elif kind == "reply":
            reply = line.replies.get(frame["ref"] or "")
            if reply is not None and not reply.done():
                reply.set_result(frame)
        elif kind == "typing":
            self._hand_out(None, msgspec.convert(frame, Typing))

    def _hand_out(self, seq: int | None, item: Item | None) -> None:
        self._items.append((seq, item))
        self._news.set()


class Desktop(Stream):
    """An agent's stream. While it is connected the agent is there; its status is said anew on every connection."""

    async def presence(self, status: Literal["available", "away", "offline"], reason: str | None = None) -> Json:
        """Say whether the agent takes contacts."""
        return await self.always("presence", status=status, **({} if reason is None else {"reason": reason}))

    async def accept(self, assignment_id: str) -> Assignment:
        """Take an offer."""
        return msgspec.convert(await self.ask("accept", assignment_id=assignment_id), Assignment)

    async def decline(self, assignment_id: str, reason: str | None = None) -> Assignment:
        """Do not take an offer."""
        return msgspec.convert(await self.ask("decline", assignment_id=assignment_id, reason=reason), Assignment)

    async def complete(
        self,
        assignment_id: str,
        *,
        resolved: bool | None = None,
        disposition: str | None = None,
        note: str | None = None,
    ) -> Assignment:
        """The customer has been served."""
        said = {"resolved": resolved, "disposition": disposition, "note": note}
        given: Json = {name: value for name, value in said.items() if value is not None}
        return msgspec.convert(await self.ask("complete", assignment_id=assignment_id, **given), Assignment)

    async def wrap_up_done(self, assignment_id: str) -> Assignment:
        """After-contact work is over."""
        return msgspec.convert(await self.ask("wrap_up_done", assignment_id=assignment_id), Assignment)

    async def write(self, contact_id: str, text: str, external_id: str | None = None) -> Message:
        """Write to the customer. With an `external_id` of its own it is said until it is answered, and sent once."""
        said = {"contact_id": contact_id, "text": text}
        said |= {} if external_id is None else {"external_id": external_id}
        return msgspec.convert(await self.ask("message", repeat=external_id is not None, **said), Message)

    async def typing(self, contact_id: str, *, on: bool = True) -> None:
        """Show the customer that the agent types, or has stopped."""
        await self.ask("typing", repeat=False, contact_id=contact_id, typing=on)


def _stream_url(url: str) -> str:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme in ("https", "wss") else "ws"
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/v1/stream", "", ""))
