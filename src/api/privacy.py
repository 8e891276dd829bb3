"""What a person may ask of those who keep its data: a copy of all of it, and that it be taken away."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response, StreamingResponse

from src.api.configuration import tenant_settings
from src.api.context import Context, Ctx, Json
from src.api.routing import Router
from src.api.schemas import Id
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import encode
from src.dispatch.erasing import EraseCustomer
from src.dispatch.facts import Answer
from src.errors import Gone, NotFound
from src.store.customers import CustomerQueries
from src.store.privacy import PersonQueries
from src.store.retaining import KINDS, Progress, progress_of

router = Router(prefix="/v1", tags=["customers"])

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
        done = await ctx.once(EraseCustomer(customer_id), _render_erased)
        members = tuple(done.body["customer_ids"]) if isinstance(done, Answer) else done
    except NotFound:
        if isinstance(await missing(ctx, customer_id), NotFound):
            raise
        members = (customer_id,)
    for each in members:
        ctx.services.connectors.forget(ctx.tenant, each)
    return Json({"customer_ids": list(members)}, 202)


@forwardable
def _render_erased(members: tuple[str, ...]) -> tuple[int, views.Json]:
    return 202, {"customer_ids": list(members)}


@router.get("/retention")
async def get_retention(ctx: Ctx) -> Response:
    """How long each kind of data is kept, and how far what is older has been taken away.

    Of each kind: its `days` (null: for good), `until` which moment it is gone, how many contacts (or customers) that
    are `gone`, whether a sweep `goes_on`, how many open contacts keep theirs, and when that was last written down.
    """
    ctx.principal.need("admin")
    periods = (await tenant_settings(ctx.services, ctx.tenant)).retention.model_dump()
    progress = await progress_of(ctx.services.queries, ctx.tenant)
    return Json(
        {"items": [_kept(kind, periods[f"{kind}_days"], *progress.get(kind, (Progress(), None))) for kind in KINDS]}
    )


def _kept(kind: str, days: int | None, progress: Progress, at: int | None) -> views.Json:
    return {
        "kind": kind,
        "days": days,
        "until": views.rfc3339(progress.until) if progress.until else None,
        "gone": progress.swept + progress.gone,
        "goes_on": at is not None and bool(progress.gone),
        "kept_open": len(progress.still_open),
        "at": views.rfc3339(at),
    }


@router.get("/customers/{customer_id}/export")
async def export_customer(customer_id: Id, ctx: Ctx) -> Response:
    """Everything that is stored of a customer, as JSON: `items` of `{"kind", "value"}`, as they stand in the tables.

    Times are milliseconds since the epoch, what is in files is base64. An answer that is broken off is no valid JSON.
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
