"""Customers: the unified view, and what may be changed of it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from src.api.contacts import region
from src.api.context import Context, Ctx, Json
from src.api.schemas import CustomerPatch, Id
from src.delivery import views
from src.dispatch import jobs
from src.errors import NotFound
from src.profile.identities import Identity, normalised
from src.store.queries import CustomerRead

router = APIRouter(prefix="/v1", tags=["customers"])


def shown(ctx: Context, found: CustomerRead) -> views.Json:
    """The unified view: who it is, and every contact over every channel in one timeline, newest first.

    What other systems know is as it is at hand; where that is not fresh, it is asked for by then.
    """
    contacts = [
        views.contact(each.contact, each.fact, each.assignment, collaborations=each.collaborations)
        for each in found.contacts
    ]
    return {
        **views.customer(found.customer, ctx.services.connectors.known(ctx.tenant, found.customer.id)),
        "identities": [
            {"type": each.type, "value": each.value, "display_name": each.display_name, "strong": each.strong}
            for each in found.identities
        ],
        "contacts": contacts,
        "open_contacts": [each for each in contacts if each["state"] != "closed"],
    }


@router.get("/customers:lookup")
async def lookup_customer(
    ctx: Ctx,
    type: Annotated[str, Query(max_length=64)],  # noqa: A002  # the contract's word
    value: Annotated[str, Query(max_length=256)],
) -> Response:
    """A customer by one of its identities."""
    ctx.principal.need("contacts:read", supervisor=True)
    identity = normalised(Identity(type, value), default_region=await region(ctx))
    found = await ctx.services.queries.customer_by_identity(ctx.tenant, identity.type, identity.value)
    if found is None:
        raise NotFound("no customer has this identity")
    return Json(shown(ctx, found))


@router.get("/customers/{customer_id}")
async def get_customer(customer_id: Id, ctx: Ctx) -> Response:
    """The unified view of a customer."""
    ctx.principal.need("contacts:read", supervisor=True)
    return Json(await _read(ctx, customer_id))


@router.patch("/customers/{customer_id}")
async def patch_customer(customer_id: Id, body: CustomerPatch, ctx: Ctx) -> Response:
    """Change tier, preferred agent, attributes or tags; what is left out stays."""
    ctx.principal.need("contacts:write", supervisor=True)
    changes = body.model_dump(exclude_unset=True)
    if "tags" in changes:
        changes["tags"] = tuple(changes["tags"] or ())
    if changes.get("attributes", {}) is None:
        changes["attributes"] = {}
    await ctx.submit(jobs.PatchCustomer(customer_id, changes))
    return Json(await _read(ctx, customer_id))


async def _read(ctx: Context, customer_id: str) -> views.Json:
    found = await ctx.services.queries.customer(ctx.tenant, customer_id)
    if found is None:
        raise NotFound("there is no such customer")
    return shown(ctx, found)
