"""The visitor's requests: how a visit begins, and all that the socket can do for those who have none."""

import asyncio
import contextlib
from typing import Annotated, Any, Final

from fastapi import Query, Request
from starlette.responses import Response

from src.api.context import Json
from src.api.media import BODY
from src.api.routing import Router
from src.api.schemas import Id
from src.api.webchat import acts, views
from src.api.webchat.bodies import NUMBER_MAX, ClientId, RatingBody, SaidBody, SeenBody, SessionBody, TypingBody
from src.api.webchat.entrance import AnyGuest, AnyPlace, Guest, Place, VisitorRoute, preflight
from src.api.webchat.visit import Visit, availability
from src.channels.webchat.tokens import RESUME_S, VISIT_S, Visitor
from src.delivery.hub import Subscriber
from src.delivery.views import rfc3339
from src.dispatch.inbound import Identity

router = Router(prefix="/channels/webchat/{account}", tags=["webchat"], route_class=VisitorRoute)

WAIT_S_MAX: Final = 30
NAME_CHARS_MAX: Final = 1_000


@router.options("/{rest:path}", include_in_schema=False)
async def visitor_preflight(account: str, rest: str, request: Request) -> Response:  # noqa: ARG001  # the route names them
    """Whether a page may ask."""
    return preflight(request)


@router.post("/session", status_code=201)
async def post_session(account: str, place: AnyPlace, body: SessionBody | None = None) -> Response:  # noqa: ARG001
    """Begin a visit: as a stranger, as who came before (`resume`), or as whom the website vouches for (`identity`)."""
    asked = body or SessionBody()
    now_ms = place.services.clock.now_ms()
    identity = _who(place, asked, now_ms)
    return Json(await _session(place, identity, now_ms), 201)


def _who(place: Place, asked: SessionBody, now_ms: int) -> Identity:
    found, account = place.services, place.account
    if asked.identity is None and asked.resume is not None:
        before = found.visitor_tokens.read("resume", asked.resume, account.name, now_ms)
        if before.tenant == account.tenant and before.identity.type == "visitor":
            place.channel.admit(None, account, before.identity.value, now_ms)
            return before.identity
    claim = None if asked.identity is None else asked.identity.claim()
    return place.channel.admit(claim, account, found.new_id(), now_ms)


async def _session(place: Place, identity: Identity, now_ms: int) -> dict[str, Any]:
    account, tokens = place.account, place.services.visitor_tokens

    def visitor(seconds: int) -> Visitor:
        return Visitor(account.tenant, account.name, identity, now_ms // 1000 + seconds)

    visit = visitor(VISIT_S)
    strange = identity.type == "visitor"
    return {
        "token": tokens.make("visit", visit),
        "expires_at": rfc3339(visit.expires_at_s * 1000),
        "resume": tokens.make("resume", visitor(RESUME_S)) if strange else None,
        "visitor": {"kind": "anonymous" if strange else "signed", "name": identity.display_name},
        "site": views.site(place.site),
        "availability": await availability(Guest(place, visit)),
    }


@router.get("/conversation")
async def get_conversation(
    account: str,  # noqa: ARG001  # the route names it
    guest: AnyGuest,
    after: Annotated[int | None, Query(ge=0, le=NUMBER_MAX)] = None,
    wait_s: Annotated[int, Query(ge=0, le=WAIT_S_MAX)] = 0,
) -> Response:
    """Where the conversation stands, and what was said after a number; with `wait_s`, once something happens."""
    guest.services.paces.reads.take(guest.visitor.key)
    visit = Visit(guest, Subscriber(guest.tenant, None), after)
    try:
        found = await visit.look()
        before = found["conversation"]
        if wait_s and visit.attached:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not found["messages"] and found["conversation"] == before:
                        await visit.subscriber.heard()
                        found = await visit.look()
    finally:
        visit.leave()
    return Json(found)


@router.post("/messages", status_code=201)
async def post_visitor_message(account: str, body: SaidBody, guest: AnyGuest) -> Response:  # noqa: ARG001
    """Write. The same `id` again is the same message."""
    found = await acts.contacts_of(guest, 1)
    return Json(await acts.say(guest, body, opens=not (found and acts.is_open(found[0]))), 201)


@router.post(
    "/files",
    status_code=201,
    openapi_extra=BODY,
)
async def post_visitor_file(
    account: str,  # noqa: ARG001  # the route names it
    request: Request,
    guest: AnyGuest,
    id: Annotated[ClientId, Query()],  # noqa: A002  # what a message's id is called elsewhere
    name: Annotated[str, Query(max_length=NAME_CHARS_MAX)] = "",
) -> Response:
    """Send a file: its bytes are the body, at most 5 MiB. The same `id` again is the same message."""
    return Json(await acts.send_file(guest, id, name, await request.body()), 201)


@router.get("/files/{media_id}")
async def get_visitor_file(account: str, media_id: Id, guest: AnyGuest) -> Response:  # noqa: ARG001
    """A file of the visitor's own conversations."""
    guest.services.paces.reads.take(guest.visitor.key)
    return await acts.file(guest, media_id)


@router.post("/typing", status_code=204)
async def post_visitor_typing(account: str, body: TypingBody, guest: AnyGuest) -> Response:  # noqa: ARG001
    """Say that the visitor types, or has stopped."""
    guest.services.paces.frames.take(guest.visitor.key)
    visit = Visit(guest, Subscriber(guest.tenant, None))
    try:
        await visit.look()
    finally:
        visit.leave()
    if visit.contact_id is not None and visit.agent_id is not None and visit.state == "active":
        acts.signal(guest, visit.contact_id, visit.agent_id, typing=body.typing)
    return Response(status_code=204)


@router.post("/seen", status_code=204)
async def post_visitor_seen(account: str, body: SeenBody, guest: AnyGuest) -> Response:  # noqa: ARG001
    """Everything up to a number has reached the browser."""
    guest.services.paces.frames.take(guest.visitor.key)
    await acts.seen(guest, body.number)
    return Response(status_code=204)


@router.post("/end", status_code=204)
async def post_visitor_end(account: str, guest: AnyGuest) -> Response:  # noqa: ARG001
    """Leave."""
    guest.services.paces.frames.take(guest.visitor.key)
    await acts.end(guest, None)
    return Response(status_code=204)


@router.post("/rating")
async def post_visitor_rating(account: str, body: RatingBody, guest: AnyGuest) -> Response:  # noqa: ARG001
    """Say how it was."""
    guest.services.paces.frames.take(guest.visitor.key)
    return Json({"score": await acts.rate(guest, None, body)})
