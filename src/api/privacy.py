"""What a person may ask of those who keep its data: a copy of all of it, and that it be taken away."""

from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from src.api.context import Context, Ctx, Json
from src.api.schemas import Id
from src.delivery import views
from src.delivery.hub import encode
from src.dispatch.erasing import EraseCustomer
from src.errors import Gone, NotFound
from src.store.customers import CustomerQueries
from src.store.privacy import PersonQueries

router = APIRouter(prefix="/v1", tags=["customers"])

_NAME: Final = "attachment; filename=customer.json"


async def missing(ctx: Context, customer_id: str) -> NotFound | Gone:
    """Why a customer is not there: it was erased, or never was."""
    erased = await PersonQueries(ctx.services.queries).erasure(ctx.tenant, customer_id)
    if erased is None:
        return NotFound("there is no such customer")
    return Gone("the customer was erased", erased_at=views.rfc3339(erased.at))


@router.post("/customers/{customer_id}/erase", status_code=202)
async def erase_customer(customer_id: Id, ctx: Ctx) -> Response:
    """Erase a customer, with all that were merged with it; what is counted stays, the person does not.

    From the answer on its ids answer 410, and whoever writes under its addresses is a new customer. Texts, notes,
    attributes and traces of its contacts are taken away within a minute or so. Contacts that are open must be closed
    before.
    """
    ctx.principal.need("admin")
    ctx.services.connectors.forget(ctx.tenant, customer_id)
    try:
        members = await ctx.submit(EraseCustomer(customer_id))
    except NotFound:
        if isinstance(await missing(ctx, customer_id), NotFound):
            raise
        members = (customer_id,)
    for each in members:
        ctx.services.connectors.forget(ctx.tenant, each)
    return Json({"customer_ids": list(members)}, 202)


@router.get("/customers/{customer_id}/export")
async def export_customer(customer_id: Id, ctx: Ctx) -> Response:
    """Everything that is stored of a customer, as JSON: `items` of `{"kind", "value"}`, as they stand in the tables.

    Times are milliseconds since the epoch. An answer that is broken off is no valid JSON.
    """
    ctx.principal.need("admin")
    members = [each.id for each in await CustomerQueries(ctx.services.queries).members(ctx.tenant, customer_id)]
    if not members:
        raise await missing(ctx, customer_id)
    return StreamingResponse(_exported(ctx, members), 200, {"content-disposition": _NAME}, "application/json")


async def _exported(ctx: Context, members: list[str]) -> AsyncIterator[bytes]:
    services = ctx.services
    yield b'{"customer_ids":' + encode(members) + b',"items":['
    first = True
    for each in members:
        known = views.external(services.connectors.known(ctx.tenant, each))
        if known:
            yield (b"" if first else b",") + encode({"kind": "external", "value": known})
            first = False
    async for kind, value in PersonQueries(services.queries).everything(ctx.tenant, members):
        yield (b"" if first else b",") + encode({"kind": kind, "value": value})
        first = False
    yield b"]}"
