"""Rosters: who is to work when, as whoever plans it has put it. Forecasts show it; routing goes by presence alone."""

from typing import Final

from starlette.responses import Response

from src.api.context import Ctx, Json, OnlyIf, Paged, page_of, tagged
from src.api.routing import Router
from src.api.schemas import Name, RosterBody
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.facts import RosterFact
from src.errors import InUse, NotFound
from src.store.rosters import RosterQueries

router = Router(prefix="/v1/rosters", tags=["configuration"])

ROSTERS_MAX: Final = 50
"""So many a tenant may have: those that are over are removed, or replaced."""


def _shown(fact: RosterFact) -> views.Json:
    shifts = [
        {"agent_id": agent_id, "from": views.rfc3339(from_at), "to": views.rfc3339(until_at)}
        for agent_id, from_at, until_at in fact.shifts
    ]
    return {"name": fact.name, "shifts": shifts}


@router.put("/{name}")
async def put_roster(name: Name, body: RosterBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Put a whole roster: it takes the place of the one of this name. Its shifts are kept in the order of time."""
    ctx.principal.need("config:write", supervisor=True)
    there = {each for each, _, _ in await RosterQueries(ctx.services.queries).spans(ctx.tenant)}
    if name not in there and len(there) >= ROSTERS_MAX:
        raise InUse(f"a tenant has at most {ROSTERS_MAX} rosters")
    shifts = sorted(body.placed(), key=lambda each: (each[1], each[2], each[0]))
    fact = await ctx.submit(jobs.PutRoster(RosterFact(name, tuple(shifts)), ctx.actor, only_if))
    return Json(_shown(fact), headers=tagged(fact))


@router.get("/{name}")
async def get_roster(name: Name, ctx: Ctx) -> Response:
    """One roster with its shifts."""
    ctx.principal.need("config:write", supervisor=True)
    fact = await RosterQueries(ctx.services.queries).one(ctx.tenant, name)
    if fact is None:
        raise NotFound(f"there is no roster {name!r}")
    return Json(_shown(fact), headers=tagged(fact))


@router.get("")
async def list_rosters(ctx: Ctx, paging: Paged) -> Response:
    """All rosters by name: from when to when they reach, and how many shifts they have."""
    ctx.principal.need("config:write", supervisor=True)
    items = [
        {
            "name": each.name,
            "from": views.rfc3339(each.from_at),
            "to": views.rfc3339(each.until_at),
            "shifts": each.shifts,
        }
        for each in await RosterQueries(ctx.services.queries).all(ctx.tenant)
    ]
    return page_of(ctx, items, "name", paging)


@router.delete("/{name}", status_code=204)
async def delete_roster(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a roster."""
    ctx.principal.need("config:write", supervisor=True)
    await ctx.submit(jobs.DeleteRoster(name, ctx.actor, only_if))
    return Response(status_code=204)
