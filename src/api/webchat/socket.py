"""The visitor's socket: what is said, as it is said; position, typing; and what was missed, at the welcome."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog
from fastapi import WebSocket
from pydantic import ValidationError

from src.api import problems, sockets
from src.api.routing import Router
from src.api.sockets import GONE, read_text, until_first
from src.api.webchat import acts
from src.api.webchat.bodies import FRAMES, End, Hello, Message, Ping, Rating, Seen, Sync, Typing
from src.api.webchat.entrance import Guest, place_of
from src.api.webchat.visit import Visit, frame_of
from src.delivery.hub import CLOSE_TOO_SLOW, Subscriber
from src.delivery.views import Json
from src.errors import (
    Malformed,
    Overloaded,
    Refused,
    StoreUnreachable,
    TooFast,
    Unauthenticated,
    Unavailable,
)

router = Router()

SUBPROTOCOL: Final = "cordboard.webchat.v1"
HEARTBEAT_S: Final = 15
FRAME_CHARS_MAX: Final = 64 * 1024
SOCKETS_MAX: Final = 8
"""Sockets that one visitor may have open here: tabs."""

CLOSE_HELLO: Final = 4000
CLOSE_TOKEN: Final = 4001
CLOSE_RESTART: Final = 1012
CLOSE_LATER: Final = 1013
CLOSE_TOO_FAST: Final = 4029
CLOSE_REASONS: Final = {CLOSE_TOO_SLOW: "too_slow", CLOSE_RESTART: Unavailable.code}

_log = structlog.get_logger(__name__)
_open: Counter[tuple[str, ...]] = Counter()


@router.websocket("/channels/webchat/{account}/socket")
async def visitor_socket(websocket: WebSocket, account: str) -> None:
    """A visitor's conversation over one socket."""
    try:
        place = await place_of(websocket.app.state.services, account)
        place.insist_on_origin(websocket.headers)
    except Refused as refusal:
        await websocket.send_denial_response(problems.response(refusal))
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    with contextlib.suppress(*GONE):
        hello = await sockets.hello(websocket, Hello)
        if hello is None:
            await sockets.close(websocket, CLOSE_HELLO, "hello expected")
            return
        try:
            guest = Guest(place, place.visitor(hello.token))
            await _serve(websocket, guest, hello)
        except Unauthenticated as refusal:
            await sockets.close(
                websocket, CLOSE_TOKEN, "token over" if refusal.extra.get("expired") else "token not valid"
            )
        except TooFast as refusal:
            await sockets.close(websocket, CLOSE_TOO_FAST, refusal.code)
        except Overloaded as refusal:
            await sockets.close(websocket, CLOSE_LATER, f"{refusal.code}; retry after {refusal.retry_after_s} s")
        except (Unavailable, StoreUnreachable):
            await sockets.close(websocket, CLOSE_RESTART, Unavailable.code)


async def _serve(websocket: WebSocket, guest: Guest, hello: Hello) -> None:
    key = guest.visitor.key
    if _open[key] >= SOCKETS_MAX:
        raise TooFast("this visitor has too many sockets open")
    _open[key] += 1
    each = _Socket(websocket, guest, Visit(guest, Subscriber(guest.tenant, None), hello.after), hello.token)
    try:
        async with guest.services.door.passed():
            await each.welcome()
        await until_first(each.write, each.read)
    finally:
        each.visit.leave()
        _open[key] -= 1
        if not _open[key]:
            del _open[key]


@dataclass(eq=False)
class _Socket:
    """One socket, once it has said hello."""

    websocket: WebSocket
    guest: Guest
    visit: Visit
    token: str = field(repr=False)

    async def send(self, frame: Json) -> None:
        await self.websocket.send_text(frame_of(frame))

    async def welcome(self) -> None:
        """Say where the conversation stands, and what was said since; in pages, if that is much."""
        async with self.visit.lock:
            found = await self.visit.look()
            await self.send({"type": "welcome", "heartbeat_s": HEARTBEAT_S, **found})
            await self._rest(more=found["more"])

    async def _rest(self, *, more: bool) -> None:
        while more:
            found = await self.visit.look()
            more = found["more"]
            await self.send({"type": "snapshot", **found})

    async def _sync(self) -> None:
        """The conversation may be another one now."""
        async with self.visit.lock:
            found = await self.visit.look()
            await self.send({"type": "snapshot", **found})
            await self._rest(more=found["more"])

    # -- out ----------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Tell what happens; returns when the socket is to be closed."""
        subscriber, visit = self.visit.subscriber, self.visit
        while subscriber.close_code is None:
            if self._left_s() <= 0:
                await self.websocket.close(CLOSE_TOKEN, "token over")
                return
            for signal in subscriber.signals():
                await self.send({"type": "typing", "typing": signal.typing})
            async with visit.lock:
                found = subscriber.pop()
                frames = [] if found is None else await visit.hear(*found)
                if found is None and visit.outlook.news:
                    visit.outlook.news = False
                    frames = [{"type": "conversation", "number": visit.number, "conversation": visit.shown()}]
                for frame in frames:
                    await self.send(frame)
            if found is None and not frames:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.05, min(HEARTBEAT_S, self._left_s()))):
                        await subscriber.wait()
        await self.websocket.close(subscriber.close_code, CLOSE_REASONS.get(subscriber.close_code, ""))

    def _left_s(self) -> float:
        return self.guest.visitor.expires_at_s - self.guest.services.clock.now_ms() / 1000

    # -- in -----------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Answer frames, one after the other, until the socket is gone."""
        while True:
            text = await read_text(self.websocket)
            self.guest.services.paces.frames.take(self.guest.visitor.key)
            client_id: Any = None
            try:
                raw = _decoded(text)
                client_id = raw.get("id")
                adapter = FRAMES.get(str(raw.get("type")))
                if adapter is None:
                    raise Malformed(f"there is no frame of the type {str(raw.get('type'))[:40]!r}", field="type")
                await self._obey(adapter.validate_json(text))
            except ValidationError as error:
                await self._refuse(client_id, problems.malformed_from(error.errors()))
            except Refused as refusal:
                await self._refuse(client_id, refusal)

    async def _refuse(self, client_id: Any, refusal: Refused) -> None:  # noqa: ANN401  # whatever was sent
        problem = problems.problem(refusal)
        if isinstance(refusal, Unavailable):
            problem["retry_after_s"] = refusal.retry_after_s
        shown = client_id if isinstance(client_id, str) and len(client_id) <= 64 else None  # noqa: PLR2004  # as ClientId
        await self.send({"type": "refused", "id": shown, "problem": problem})

    async def _obey(self, frame: Any) -> None:  # noqa: ANN401  # one of `FRAMES`
        match frame:
            case Ping():
                await self.send({"type": "pong"})
            case Message():
                await self._say(frame)
            case Typing():
                self._type(typing=frame.typing)
            case Seen():
                await acts.seen(self.guest, frame.number)
            case End():
                await acts.end(self.guest, frame.id)
            case Rating():
                score = await acts.rate(self.guest, frame.id, frame)
                await self.send({"type": "rated", "id": frame.id, "score": score})
            case Sync():
                await self._sync()

    async def _say(self, frame: Message) -> None:
        place = await place_of(self.guest.services, self.guest.place.account.name)  # it may have been changed meanwhile
        place.insist_on_origin(self.websocket.headers)
        guest = Guest(place, place.visitor(self.token))
        kept = await acts.say(guest, frame, opens=not self.visit.open)
        await self.send({"type": "kept", **kept})
        if kept["conversation_id"] != self.visit.contact_id:
            await self._sync()

    def _type(self, *, typing: bool) -> None:
        contact_id, agent_id = self.visit.contact_id, self.visit.agent_id
        if contact_id is not None and agent_id is not None and self.visit.state == "active":
            acts.signal(self.guest, contact_id, agent_id, typing=typing)


def _decoded(text: str) -> dict[str, Any]:
    if len(text) > FRAME_CHARS_MAX:
        raise Malformed(f"a frame may have at most {FRAME_CHARS_MAX} characters")
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Malformed("the frame is not valid JSON") from error
    if not isinstance(raw, dict):
        raise Malformed("a frame is a JSON object")
    return raw
