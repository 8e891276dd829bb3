"""Connectors: other systems that know of customers, and what they know."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import readable
from src.api.context import Context, Ctx, Json, OnlyIf, Paged, page_of, tagged
from src.api.routing import Router
from src.api.schemas import ConnectorBody, Id, Name
from src.connectors.template import check_body, check_learn, check_url, check_view
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.facts import ConnectorFact
from src.errors import InUse, Malformed, NotFound
from src.router import commands

router = Router(prefix="/v1")

WAIT_S_MAX: Final = 10
CONNECTORS_MAX: Final = 10
"""So many a tenant may have: each is asked about every customer who comes."""

_OURS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "te", "transfer-encoding"}
)
"""Headers that say how we speak, and no connector does."""

_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


def _shown(fact: ConnectorFact) -> views.Json:
    return {"name": fact.name, **fact.body, "secrets": sorted(fact.secrets)}


@router.put("/connectors/{name}", tags=["configuration"])
async def put_connector(name: Name, body: ConnectorBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a connector. Secrets that are left out stay, as long as the same host is asked."""
    ctx.principal.need("config:write")
    others = await ctx.services.queries.connectors(ctx.tenant)
    before = next((each for each in others if each.name == name), None)
    if before is None and len(others) >= CONNECTORS_MAX:
        raise InUse(f"a tenant has at most {CONNECTORS_MAX} connectors")
    fact = connector_fact(ctx, name, body, before, body.secrets)
    await ctx.submit(jobs.Configure(commands.Note("connector.updated", name), fact, only_if))
    await ctx.services.connectors.reload()
    return Json(_shown(fact), headers=tagged(fact))


def connector_fact(
    ctx: Context, name: str, body: ConnectorBody, before: ConnectorFact | None, new: Mapping[str, str]
) -> ConnectorFact:
    """What is to be stored of a connector; of its secrets those that are `new`, and those that were for this host.

    Raises:
        Malformed: it cannot be asked so.
    """
    _check(body)
    sealer = ctx.services.sealer
    kept = before.secrets if before is not None and _origin(before.body["url"]) == _origin(body.url) else {}
    given = {each.lower() for each in new}
    secrets = {each: sealed for each, sealed in kept.items() if each.lower() not in given}
    secrets |= {each: sealer.seal(value) for each, value in new.items()}
    stored = body.model_dump(exclude={"secrets", "idempotent"})
    stored["idempotent"] = body.method == "GET" if body.idempotent is None else body.idempotent
    stored["retries"] = body.retries if stored["idempotent"] else 0
    return ConnectorFact(name, stored, secrets)


@router.get("/connectors/{name}", tags=["configuration"])
async def get_connector(name: Name, ctx: Ctx) -> Response:
    """One connector, without its secrets."""
    fact = await _own(ctx, name)
    return Json(_shown(fact), headers=tagged(fact))


@router.get("/connectors", tags=["configuration"])
async def list_connectors(ctx: Ctx, paging: Paged) -> Response:
    """All connectors, without their secrets."""
    ctx.principal.need("config:write", supervisor=True)
    items = [_shown(each) for each in await ctx.services.queries.connectors(ctx.tenant)]
    return page_of(ctx, items, "name", paging)


@router.delete("/connectors/{name}", tags=["configuration"], status_code=204)
async def delete_connector(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a connector, and what was known by it."""
    await _own(ctx, name)
    gone = ConnectorFact(name, {}, {}, deleted=True)
    await ctx.submit(jobs.Configure(commands.Note("connector.deleted", name), gone, only_if))
    await ctx.services.connectors.reload()
    return Response(status_code=204)


async def _own(ctx: Context, name: str) -> ConnectorFact:
    ctx.principal.need("config:write")
    found = next((each for each in await ctx.services.queries.connectors(ctx.tenant) if each.name == name), None)
    if found is None:
        raise NotFound(f"there is no connector {name!r}")
    return found


def _check(body: ConnectorBody) -> None:
    check_url(body.url)
    check_view(body.view)
    check_learn(body.learn.model_dump())
    if body.body is not None:
        if body.method != "POST":
            raise Malformed("only a POST has a body", field="body")
        check_body(body.body)
    names = [each.lower() for each in (*body.headers, *body.secrets)]
    if len(set(names)) < len(names):
        raise Malformed("a header is named twice", field="headers")
    if _OURS & set(names):
        raise Malformed(
            f"these headers are not a connector's: {', '.join(sorted(_OURS & set(names)))}", field="headers"
        )
    if _SECRET & {each.lower() for each in body.headers}:
        raise Malformed("a credential belongs to secrets", field="headers")


def _origin(url: str) -> str:
    """Scheme, host and port: whoever gets the secrets."""
    return "/".join(url.split("/", 3)[:3]).partition("?")[0].lower()


@router.get("/contacts/{contact_id}/external", tags=["contacts"])
async def get_external(
    contact_id: Id,
    ctx: Ctx,
    wait_s: Annotated[int, Query(ge=0, le=WAIT_S_MAX)] = 0,
    refresh: Annotated[bool, Query()] = False,  # a query parameter
) -> Response:
    """What other systems know of the contact's customer, by connector.

    What is at hand, or after waiting for what is not; with `refresh` it is asked for anew. `missing_since` says since
    when what should be there is not, and `error` why.
    """
    contact: dict[str, Any] = await readable(ctx, contact_id)
    found = await ctx.services.connectors.ask(ctx.tenant, contact["customer_id"], refresh=refresh, wait_s=wait_s)
    return Json({"contact_id": contact_id, "customer_id": contact["customer_id"], "external": views.external(found)})
