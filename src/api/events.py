"""The journal over REST, for those who would rather ask than listen."""

import asyncio
import contextlib
from typing import Annotated, Final

from fastapi import Query
from starlette.responses import Response

from src.api.context import Ctx, Cursor, Json
from src.api.routing import Router
from src.delivery import views
from src.delivery.hub import Subscriber
from src.dispatch.known import Known
from src.errors import CursorExpired

router = Router(prefix="/v1", tags=["events"])

EVENTS_MAX: Final = 1_000
WAIT_S_MAX: Final = 60


@router.get("/events")
async def list_events(
    ctx: Ctx,
    cursor: Cursor,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX)] = 100,
    wait_s: Annotated[int, Query(ge=0, le=WAIT_S_MAX)] = 0,
) -> Response:
    """Events behind a number, in the order of the journal; with `wait_s`, answered once there is one."""
    ctx.principal.need("events:read", supervisor=True)
    services = ctx.services
    after = after if cursor is None else int(cursor)
    subscriber = Subscriber(ctx.tenant, None)
    services.hub.attach(subscriber)
    try:
        await services.hub.ready(ctx.tenant)
        found = await services.store.events(ctx.tenant, after, limit)
        if not found or found[0].seq != after + 1:
            dropped = await services.store.dropped(ctx.tenant)
            if after < dropped:
                raise CursorExpired(f"the journal is kept from event {dropped + 1} on: ask for what is after {dropped}")
        if not found and after > (last := (await services.store.head(ctx.tenant)).seq):
            raise CursorExpired(f"the journal ends with event {last}: it is not the one that this number is of")
        if not found and wait_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not found:
                        await subscriber.heard()
                        found = await services.store.events(ctx.tenant, after, limit)
    finally:
        services.hub.detach(subscriber)
    known = Known()
    await services.hub.join(ctx.tenant, found, known)
    now = services.clock.now_ms()
    items = [views.event(ctx.tenant, each, known, now, personal=ctx.principal.may("contacts:read")) for each in found]
    following = str(found[-1].seq) if len(found) == limit else None
    return Json(
        {"items": items, "next_cursor": ctx.following(following), "last_seq": found[-1].seq if found else after}
    )
