"""Pictures, recordings and files of contacts: handed in, and opened by those who may see the contact."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import read, readable
from src.api.context import Ctx, Json, Services
from src.api.routing import Router
from src.api.schemas import Id, Short
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.facts import Answer, MediaFact
from src.dispatch.known import Wanted
from src.dispatch.media import KINDS, Looked, look
from src.dispatch.turn import Repeated
from src.errors import Malformed, MediaPending, NotFound, Refused, StoreUnreachable, Unavailable
from src.store.contents import Held

router = Router(prefix="/v1/media", tags=["messages"])

SHOWN: Final = ("image/", "audio/", "video/")
"""What a browser may show in its place; all else is only saved. No type is in here that can hold a program."""

BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"format": "binary"}}}}
}


@router.post("", status_code=201, openapi_extra=BODY)
async def post_media(
    ctx: Ctx, contact_id: Annotated[Id, Query()], name: Annotated[Short | None, Query()] = None
) -> Response:
    """Hand in a file for a message of a contact that is open: the body is the file, up to 20 MiB.

    What it is, is seen by its first bytes; programs are refused. A message then names it by its id, as `media_id`.
    """
    if ctx.principal.role == "agent":
        contact = await readable(ctx, contact_id)
    else:
        ctx.principal.need("contacts:write", supervisor=True)
        contact = await read(ctx, contact_id)
    services = ctx.services
    body = await ctx.request.body()
    async with _put(services, ctx.tenant, contact, look(body, name), body) as fact:
        done = await ctx.once(jobs.KeepMedia(fact), _render_kept)
    if isinstance(done, Answer):
        media_id = str(done.body["id"])
        done = (await services.store.lookup(ctx.tenant, Wanted(media={media_id}))).media[media_id]
    return Json(views.media(done), 201)


@forwardable
def _render_kept(fact: MediaFact) -> tuple[int, views.Json]:
    return 201, {"id": fact.id}


async def keep(
    services: Services, tenant: str, contact: views.Json, body: bytes, name: str | None, *, kind: str = "file"
) -> MediaFact:
    """Keep a file of a contact, if it is one that is taken.

    Raises:
        Malformed: it is empty, too large, a program, or not of this kind.
        InvalidState: the contact is closed.
    """
    async with _put(services, tenant, contact, look(body, name, kind=kind), body, kind=kind) as fact:
        kept = await services.owner.submit(tenant, jobs.KeepMedia(fact))
    assert not isinstance(kept, Repeated)
    return kept


@asynccontextmanager
async def _put(
    services: Services, tenant: str, contact: views.Json, looked: Looked, body: bytes, *, kind: str = "file"
) -> AsyncIterator[MediaFact]:
    """Put the bytes where they are kept, and hold them until the fact that names them is written, or refused."""
    held = await services.contents.put(tenant, body)
    fact = MediaFact(
        id=services.new_id(),
        contact_id=contact["id"],
        channel=contact["channel"],
        account=contact["account"],
        kind=kind,
        state="kept",
        at=services.clock.now_ms(),
        hash=held.hash,
        media_type=looked.media_type,
        size=len(body),
        name=looked.name,
    )
    try:
        yield fact
    except Unavailable:  # it may be written yet: the hold ends by itself
        raise
    except Refused:
        await _let_go(services, tenant, held)
        raise
    await _let_go(services, tenant, held)


async def _let_go(services: Services, tenant: str, held: Held) -> None:
    with contextlib.suppress(StoreUnreachable):  # the hold ends by itself
        await services.contents.let_go(tenant, held)


async def insist_on_media(services: Services, tenant: str, contact_id: str, kind: str, media_id: str) -> None:
    """Refuse a message whose file is not there, another contact's, or of another kind.

    Raises:
        Malformed: it is.
    """
    found = (await services.store.lookup(tenant, Wanted(media={media_id}))).media.get(media_id)
    if found is None or found.contact_id != contact_id or found.state != "kept" or found.media_type is None:
        raise Malformed("there is no such file of this contact", field="payload.media_id")
    if not found.media_type.startswith(KINDS[kind]):
        raise Malformed(f"this file is no {kind}, but {found.media_type}", field="payload.media_id")


@router.get("/{media_id}")
async def get_media(media_id: Id, ctx: Ctx) -> Response:
    """A file, for those who may see its contact. While it is still being fetched: 409 `media_pending`."""
    services = ctx.services
    found = (await services.store.lookup(ctx.tenant, Wanted(media={media_id}))).media.get(media_id)
    if found is None:
        raise NotFound("there is no such file")
    await readable(ctx, found.contact_id)
    return await answer(services, ctx.tenant, found)


async def answer(services: Services, tenant: str, found: MediaFact) -> Response:
    """The file itself, in a way that no browser takes for more than it is.

    Raises:
        MediaPending: it is still being fetched.
        NotFound: it could not be had.
    """
    if found.state == "wanted":
        raise MediaPending("the file is still being fetched")
    body = None if found.hash is None else await services.contents.get(tenant, found.hash)
    if body is None or found.media_type is None:
        raise NotFound("the file could not be had", reason=found.reason)
    place = "inline" if found.media_type.startswith(SHOWN) else "attachment"
    name = quote(found.name or found.id, safe="")
    headers = {
        "content-disposition": f"{place}; filename*=UTF-8''{name}",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, max-age=31536000, immutable",
    }
    return Response(body, media_type=found.media_type, headers=headers)


@router.get("/{media_id}/about")
async def get_about(media_id: Id, ctx: Ctx) -> Response:
    """What there is to know of a file: whether it is there already, its type, size and name."""
    found = (await ctx.services.store.lookup(ctx.tenant, Wanted(media={media_id}))).media.get(media_id)
    if found is None:
        raise NotFound("there is no such file")
    await readable(ctx, found.contact_id)
    return Json(views.media(found))
