"""Direct Line 3.0 for the same conversations: what clients of the Bot Framework speak, as a façade.

A conversation of theirs is a visitor: what it says joins, or opens, a contact like any other. A watermark is the number
of a message. https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-direct-line-3-0-concepts
Left out: uploads, attachments and reconnecting by secret alone.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, TypeGuard

from fastapi import Query, Request, WebSocket
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.responses import Response

from src.api import problems
from src.api.context import Json
from src.api.routing import Router
from src.api.sockets import GONE, read_text, until_first
from src.api.webchat import acts
from src.api.webchat.bodies import SaidBody
from src.api.webchat.entrance import AnyGuest, AnyPlace, Guest, Place, VisitorRoute, bearer, place_of
from src.api.webchat.visit import Visit, frame_of
from src.channels.webchat.signed import USER_CHARS_MAX
from src.channels.webchat.tokens import VISIT_S, Visitor
from src.delivery.hub import Subscriber
from src.dispatch.inbound import Identity
from src.errors import Malformed, NotFound, Refused, StoreUnreachable, Unauthenticated

router = Router(prefix="/channels/webchat/{account}/directline", tags=["webchat"], route_class=VisitorRoute)

KEEP_ALIVE_S: Final = 15.0
NAME_CHARS_MAX: Final = 200
LOOK_S: Final = 1.0
"""A stream whose visitor has no conversation yet looks for one so often: it is begun by a request, maybe elsewhere."""

CLOSE_TOKEN: Final = 1008
CLOSE_RESTART: Final = 1012


class _Theirs(BaseModel):
    """Their bodies hold more than is asked for here; it is passed over."""

    model_config = ConfigDict(extra="ignore")


class User(_Theirs):
    """Who chats. Whoever has the account's secret may name one."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=USER_CHARS_MAX)] | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None


class ConversationBody(_Theirs):
    """How a conversation begins."""

    user: User | None = None


class Activity(_Theirs):
    """What a client does: `message`, `typing`, `endOfConversation`; others are taken and mean nothing here."""

    type: Annotated[str, StringConstraints(max_length=64)]
    text: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    locale: str | None = None
    channel_data: Annotated[dict[str, Any], Field(alias="channelData")] = {}  # pydantic copies defaults


# -- tokens and conversations --------------------------------------------------------------------------------------


def _by_secret(place: Place, credential: str) -> bool:
    secret = place.account.secrets.get("directline_secret")
    return secret is not None and hmac.compare_digest(secret.encode(), credential.encode("utf-8", "replace"))


def _begin(place: Place, body: ConversationBody) -> Visitor:
    """A visitor whom the holder of the secret names, or a stranger."""
    found, user = place.services, body.user or User()
    now_s = found.clock.now_ms() // 1000
    if user.id is not None and not user.id.isprintable():
        raise Malformed("user.id must be printable", field="user.id")
    who = (
        Identity("visitor", found.new_id(), user.name) if user.id is None else Identity("web_user", user.id, user.name)
    )
    return Visitor(place.account.tenant, place.account.name, who, now_s + VISIT_S)


def _renewed(place: Place, visitor: Visitor) -> Visitor:
    expires_at_s = place.services.clock.now_ms() // 1000 + VISIT_S
    return Visitor(visitor.tenant, visitor.account, visitor.identity, expires_at_s)


def _conversation_id(visitor: Visitor) -> str:
    return sha256("\0".join(("directline", *visitor.key)).encode()).hexdigest()[:24]


def _told(place: Place, visitor: Visitor, request: Request, watermark: str | None) -> dict[str, Any]:
    token = place.services.visitor_tokens.make("visit", visitor)
    conversation_id = _conversation_id(visitor)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    base = f"{'wss' if secure else 'ws'}://{request.url.netloc}/channels/webchat/{place.account.name}/directline"
    after = "" if watermark is None else f"watermark={watermark}&"
    return {
        "conversationId": conversation_id,
        "token": token,
        "expires_in": VISIT_S,
        "streamUrl": f"{base}/conversations/{conversation_id}/stream?{after}t={token}",
    }


@router.post("/tokens/generate")
async def post_directline_token(
    account: str,  # noqa: ARG001  # the route names it
    request: Request,
    place: AnyPlace,
    body: ConversationBody | None = None,
) -> Response:
    """A token for one conversation, for a website's server that has the account's `directline_secret`."""
    if not _by_secret(place, bearer(request)):
        raise Unauthenticated("this needs the account's directline_secret")
    told = _told(place, _begin(place, body or ConversationBody()), request, None)
    return Json({name: told[name] for name in ("conversationId", "token", "expires_in")})


@router.post("/tokens/refresh")
async def post_directline_refresh(account: str, request: Request, guest: AnyGuest) -> Response:  # noqa: ARG001
    """A token for as long again."""
    told = _told(guest.place, _renewed(guest.place, guest.visitor), request, None)
    return Json({name: told[name] for name in ("conversationId", "token", "expires_in")})


@router.post("/conversations", status_code=201)
async def post_directline_conversation(
    account: str,  # noqa: ARG001  # the route names it
    request: Request,
    place: AnyPlace,
    body: ConversationBody | None = None,
) -> Response:
    """Begin, with a token or with the secret."""
    credential = bearer(request)
    if _by_secret(place, credential):
        visitor = _begin(place, body or ConversationBody())
    else:
        visitor = _renewed(place, place.visitor(credential))
    return Json(_told(place, visitor, request, None), 201)


def _insist(guest: Guest, conversation_id: str) -> None:
    if conversation_id != _conversation_id(guest.visitor):
        raise NotFound("there is no such conversation")


WATERMARK_CHARS_MAX: Final = 16
Watermark = Annotated[str | None, Query(max_length=20)]


def _number(watermark: str | None) -> int | None:
    """The number that a client has seen last; None: it knows nothing."""
    if watermark in (None, "", "-"):
        return None
    if not (watermark.isascii() and watermark.isdigit() and len(watermark) <= WATERMARK_CHARS_MAX):
        raise Malformed("watermark must be one that was given", field="watermark")
    return int(watermark)


@router.get("/conversations/{conversation_id}")
async def get_directline_conversation(
    account: str,  # noqa: ARG001  # the route names it
    conversation_id: str,
    request: Request,
    guest: AnyGuest,
    watermark: Watermark = None,
) -> Response:
    """Come back: a new token, and a stream from the watermark on."""
    _insist(guest, conversation_id)
    number = _number(watermark)
    visitor = _renewed(guest.place, guest.visitor)
    return Json(_told(guest.place, visitor, request, None if number is None else str(number)))


# -- activities ----------------------------------------------------------------------------------------------------


@router.post("/conversations/{conversation_id}/activities")
async def post_directline_activity(
    account: str,  # noqa: ARG001  # the route names it
    conversation_id: str,
    body: Activity,
    guest: AnyGuest,
) -> Response:
    """Say something."""
    _insist(guest, conversation_id)
    if body.type == "message":
        return Json({"id": await _say(guest, conversation_id, body)})
    guest.services.paces.frames.take(guest.visitor.key)
    match body.type:
        case "typing":
            visit = Visit(guest, Subscriber(guest.tenant, None))
            try:
                await visit.look()
            finally:
                visit.leave()
            if visit.contact_id is not None and visit.agent_id is not None and visit.state == "active":
                acts.signal(guest, visit.contact_id, visit.agent_id, typing=True)
        case "endOfConversation":
            await acts.end(guest, None)
    return Json({"id": f"{conversation_id}|{guest.services.new_id()}"})


async def _say(guest: Guest, conversation_id: str, body: Activity) -> str:
    theirs = body.channel_data.get("clientActivityID")
    named = theirs if _is_name(theirs) else guest.services.new_id()
    found = await acts.contacts_of(guest, 1)
    client_id = sha256(named.encode("utf-8", "replace")).hexdigest()[:32]
    try:
        said = SaidBody.model_validate({"id": client_id, "text": body.text or "", "language": body.locale or None})
    except ValidationError as error:
        raise problems.malformed_from(error.errors()) from error
    payload = {"client_activity_id": theirs} if named == theirs else {}
    opens = not (found and acts.is_open(found[0]))
    kept = await acts.say(guest, said, opens=opens, payload=payload)
    return _activity_id(conversation_id, kept["number"])


def _is_name(theirs: object) -> TypeGuard[str]:
    """Whether a client's id of an activity can be kept, and told to it again."""
    return isinstance(theirs, str) and 0 < len(theirs) <= NAME_CHARS_MAX and theirs.isprintable()


def _activity_id(conversation_id: str, number: int) -> str:
    return f"{conversation_id}|{number:07d}"


@router.get("/conversations/{conversation_id}/activities")
async def get_directline_activities(
    account: str,  # noqa: ARG001  # the route names it
    conversation_id: str,
    guest: AnyGuest,
    watermark: Watermark = None,
) -> Response:
    """What was said after the watermark."""
    _insist(guest, conversation_id)
    guest.services.paces.reads.take(guest.visitor.key)
    visit = Visit(guest, Subscriber(guest.tenant, None), _number(watermark) or 0)
    try:
        found = await visit.look()
    finally:
        visit.leave()
    activities = [_activity(visit, conversation_id, each) for each in found["messages"]]
    return Json({"activities": activities, "watermark": str(found["number"])})


def _activity(visit: Visit, conversation_id: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as they have it."""
    identity, own = visit.guest.visitor.identity, message["from"] == "visitor"
    sender = {"id": identity.value, "name": identity.display_name or identity.value, "role": "user"}
    if not own:
        sender = {"id": "agent", "name": visit.agent_name or "agent", "role": "bot"}
    payload = message["payload"]
    activity = {
        "type": "message",
        "id": _activity_id(conversation_id, message["number"]),
        "timestamp": message["at"],
        "channelId": "directline",
        "from": sender,
        "conversation": {"id": conversation_id},
        "text": message["text"] or "",
    }
    if "client_activity_id" in payload:
        activity["channelData"] = {"clientActivityID": payload["client_activity_id"]}
    if message["kind"] == "link":
        activity["text"] = f"[{payload['title']}]({payload['url']})"
    if message["kind"] == "menu":
        actions = [{"type": "imBack", "title": each["text"], "value": each["text"]} for each in payload["options"]]
        activity["suggestedActions"] = {"actions": actions}
    return activity


# -- the stream ----------------------------------------------------------------------------------------------------


@router.websocket("/conversations/{conversation_id}/stream")
async def directline_stream(websocket: WebSocket, account: str, conversation_id: str) -> None:
    """Activities as they come; an empty frame now and then says that the line is good."""
    query = websocket.query_params
    try:
        place = await place_of(websocket.app.state.services, account)
        place.insist_on_origin(websocket.headers)
        guest = Guest(place, place.visitor(query.get("t", "")))
        _insist(guest, conversation_id)
        number = _number(query.get("watermark"))
    except Refused as refusal:
        await websocket.send_denial_response(problems.response(refusal))
        return
    await websocket.accept()
    stream = _Stream(websocket, Visit(guest, Subscriber(guest.tenant, None), number or 0), conversation_id)
    with contextlib.suppress(*GONE):
        try:
            async with guest.services.door.passed():
                await stream.look()
            await until_first(stream.write, stream.read)
        except (Refused, StoreUnreachable):
            await websocket.close(CLOSE_RESTART)
        finally:
            stream.visit.leave()


class _Stream:
    """One open stream. It begins with what was said behind the watermark; without one, with the whole conversation."""

    def __init__(self, websocket: WebSocket, visit: Visit, conversation_id: str) -> None:
        self._websocket, self.visit, self._conversation_id = websocket, visit, conversation_id

    async def look(self) -> None:
        """Read what there is that was not sent yet."""
        more = True
        while more:
            found = await self.visit.look()
            more = found["more"]
            await self._send([_activity(self.visit, self._conversation_id, each) for each in found["messages"]])

    async def _send(self, activities: list[dict[str, Any]]) -> None:
        if activities:
            frame = {"activities": activities, "watermark": str(self.visit.number)}
            await self._websocket.send_text(frame_of(frame))

    async def write(self) -> None:
        """Tell what happens, until the token is over."""
        visit, subscriber = self.visit, self.visit.subscriber
        clock, quiet_since = visit.guest.services.clock, 0.0
        while subscriber.close_code is None:
            if visit.guest.visitor.expires_at_s * 1000 <= clock.now_ms():
                await self._websocket.close(CLOSE_TOKEN)
                return
            if any(each.typing for each in subscriber.signals()):
                sender = {"id": "agent", "name": visit.agent_name or "agent", "role": "bot"}
                await self._send([{"type": "typing", "from": sender, "conversation": {"id": self._conversation_id}}])
            found = subscriber.pop()
            if found is not None:
                frames = [each for each in await visit.hear(*found) if each["type"] == "message"]
                await self._send([_activity(visit, self._conversation_id, each["message"]) for each in frames])
                continue
            if clock.monotonic() - quiet_since > KEEP_ALIVE_S:
                quiet_since = clock.monotonic()
                await self._websocket.send_text("")
            try:
                async with asyncio.timeout(KEEP_ALIVE_S if visit.open else LOOK_S):
                    await subscriber.wait()
            except TimeoutError:
                if not visit.open:
                    await self.look()
        await self._websocket.close(CLOSE_RESTART)

    async def read(self) -> None:
        """Nothing that comes in means anything."""
        while True:
            await read_text(self._websocket)
