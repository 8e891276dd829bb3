"""Agents, their presence, and what they do with offers and assignments over REST."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from src.api.contacts import LIMIT_MAX
from src.api.context import Context, Ctx, Json, Services
from src.api.schemas import AgentBody, CompleteBody, DeclineBody, Id, Name, PresenceBody
from src.delivery import views
from src.delivery.hub import Subscriber
from src.dispatch import jobs
from src.dispatch.config import agent_config
from src.dispatch.ports import Answer, ConfigFact, Known, Wanted
from src.errors import NotFound
from src.router import commands
from src.router.state import AGENT_COLUMNS, ASSIGNMENT_COLUMNS, Row

router = APIRouter(prefix="/v1", tags=["agents"])

WAIT_S_MAX: Final = 60

_CONTACT_ID: Final = ASSIGNMENT_COLUMNS.index("contact_id")
_CUSTOMER_ID: Final = 1
_ACCEPTED_AT: Final = ASSIGNMENT_COLUMNS.index("accepted_at")
_ENDED_AT: Final = ASSIGNMENT_COLUMNS.index("ended_at")
_AGENT_ID: Final = ASSIGNMENT_COLUMNS.index("agent_id")

OpenState = Literal["offered", "active", "wrap_up"]


def presence(row: Row | None) -> views.Json:
    """An agent's presence; `connected` is false while nobody is there to hear of an offer."""
    value: Mapping[str, Any] = dict(zip(AGENT_COLUMNS, row, strict=True)) if row is not None else {}
    return {
        "status": value.get("status", "offline"),
        "reason": value.get("reason"),
        "connected": value.get("session") is not None or value.get("lease_s") is not None,
        "grace_until": views.rfc3339(value.get("grace_until")),
    }


def agent(name: str, body: Mapping[str, Any], row: Row | None, assignments: Sequence[Row]) -> views.Json:
    """An agent with presence, load and open assignments."""
    return {
        "id": name,
        **body,
        "presence": presence(row),
        "load": sum(each[ASSIGNMENT_COLUMNS.index("cost")] for each in assignments),
        "assignments": [views.assignment(each) for each in assignments],
    }


@router.put("/agents/{agent_id}")
async def put_agent(agent_id: Name, body: AgentBody, ctx: Ctx) -> Response:
    """Make or change an agent; it takes effect at once."""
    ctx.principal.need("agents:write")
    stored = body.model_dump()
    command = commands.PutAgent(agent_config(agent_id, stored))
    await ctx.submit(jobs.Configure(command, ConfigFact("agent", agent_id, stored)))
    return Json(await _agent(ctx, agent_id))


@router.delete("/agents/{agent_id}", status_code=204)
async def delete_agent(agent_id: Name, ctx: Ctx) -> Response:
    """Remove an agent that holds nothing."""
    ctx.principal.need("agents:write")
    await ctx.submit(jobs.Configure(commands.DeleteAgent(agent_id), ConfigFact("agent", agent_id, None)))
    return Response(status_code=204)


@router.get("/agents")
async def list_agents(
    ctx: Ctx, limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50, cursor: str | None = None
) -> Response:
    """Agents by id."""
    ctx.principal.need("agents:read", supervisor=True)
    page = await ctx.services.queries.agents(ctx.tenant, limit=limit, cursor=cursor)
    items = [agent(each.id, each.body, each.state, each.assignments) for each in page.items]
    return Json({"items": items, "next_cursor": page.next_cursor})


@router.get("/agents/{agent_id}")
async def get_agent(agent_id: Name, ctx: Ctx) -> Response:
    """One agent."""
    ctx.principal.need("agents:read", supervisor=True, agent_id=agent_id)
    return Json(await _agent(ctx, agent_id))


async def _agent(ctx: Context, agent_id: str) -> views.Json:
    found = await ctx.services.queries.agent(ctx.tenant, agent_id)
    if found is None:
        raise NotFound(f"there is no agent {agent_id!r}")
    return agent(found.id, found.body, found.state, found.assignments)


@router.put("/agents/{agent_id}/presence")
async def put_presence(agent_id: Name, body: PresenceBody, ctx: Ctx) -> Response:
    """Say whether the agent is there. Repeating it renews the lease of an agent without a socket."""
    ctx.principal.need("agents:write", supervisor=True, agent_id=agent_id)
    command = commands.SetPresence(agent_id, body.status, body.reason, body.lease_s)
    view = await ctx.submit(jobs.OnAgent(agent_id, command))
    assert view is not None
    return Json(presence_answer(view))


def presence_answer(view: jobs.AgentView) -> views.Json:
    """What a change of presence is answered with."""
    shown = {"agent_id": view.agent[0], **presence(view.agent)}
    return shown | {"load": view.load, "lease_expires_at": views.rfc3339(view.lease_expires_at)}


@router.get("/agents/{agent_id}/assignments")
async def list_assignments(
    agent_id: Name,
    ctx: Ctx,
    state: OpenState | None = None,
    wait_s: Annotated[int, Query(ge=0, le=WAIT_S_MAX)] = 0,
) -> Response:
    """An agent's open assignments as a desktop shows them; with `wait_s`, answered once there is one."""
    ctx.principal.need("agents:read", supervisor=True, agent_id=agent_id)
    if await ctx.services.queries.agent(ctx.tenant, agent_id) is None:
        raise NotFound(f"there is no agent {agent_id!r}")
    items: list[views.Json] = []
    subscriber = Subscriber(ctx.tenant, agent_id)
    ctx.services.hub.attach(subscriber)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s or None):
                while not (items := await _held(ctx, agent_id, state)):
                    if not wait_s:
                        break
                    await subscriber.heard()
    finally:
        ctx.services.hub.detach(subscriber)
    return Json({"items": items, "next_cursor": None})


async def _held(ctx: Context, agent_id: str, state: str | None) -> list[views.Json]:
    rows = await ctx.services.queries.assignments(ctx.tenant, agent_id, state)
    personal = ctx.principal.may("contacts:read") or ctx.principal.acting_agent == agent_id
    return await held(ctx.services, ctx.tenant, agent_id, rows, personal=personal)


async def held(
    services: Services, tenant: str, agent_id: str, rows: Sequence[Row], *, personal: bool = True
) -> list[views.Json]:
    """Assignments with contact and customer, read in one go; without `personal` these are null."""
    if not rows:
        return []
    wanted = Wanted(contacts={row[_CONTACT_ID] for row in rows})
    known = await services.store.lookup(tenant, wanted) if personal else Known()
    config = await services.queries.config_one(tenant, "agent", agent_id)
    skills = config["skills"] if config is not None else {}
    now = services.clock.now_ms()
    return [views.held(row, known, skills, now) for row in rows]


@router.get("/assignments/{assignment_id}")
async def get_assignment(assignment_id: Id, ctx: Ctx) -> Response:
    """One offer or assignment, also when it has ended."""
    row = await ctx.services.queries.assignment(ctx.tenant, assignment_id)
    if row is None:
        ctx.principal.need("agents:read", supervisor=True, agent_id=ctx.principal.id)
        raise NotFound("there is no such assignment")
    ctx.principal.need("agents:read", supervisor=True, agent_id=row[_AGENT_ID])
    own = ctx.principal.acting_agent == row[_AGENT_ID] and (row[_ACCEPTED_AT] is not None or row[_ENDED_AT] is None)
    personal = ctx.principal.may("contacts:read") or own
    return Json((await held(ctx.services, ctx.tenant, row[_AGENT_ID], [row], personal=personal))[0])


@router.post("/assignments/{assignment_id}/accept")
async def accept(assignment_id: Id, ctx: Ctx) -> Response:
    """Take the offer."""
    return await _act(ctx, assignment_id, commands.Accept(assignment_id, ctx.principal.acting_agent))


@router.post("/assignments/{assignment_id}/decline")
async def decline(assignment_id: Id, ctx: Ctx, body: DeclineBody | None = None) -> Response:
    """Do not take the offer."""
    reason = body.reason if body is not None else None
    return await _act(ctx, assignment_id, commands.Decline(assignment_id, ctx.principal.acting_agent, reason))


@router.post("/assignments/{assignment_id}/complete")
async def complete(assignment_id: Id, ctx: Ctx, body: CompleteBody | None = None) -> Response:
    """The customer has been served; wrap-up follows where the queue asks for it."""
    body = body or CompleteBody()
    command = commands.Complete(assignment_id, ctx.principal.acting_agent, body.resolved, body.disposition)
    return await _act(ctx, assignment_id, command, body.note)


@router.post("/assignments/{assignment_id}/wrap_up_done")
async def wrap_up_done(assignment_id: Id, ctx: Ctx) -> Response:
    """After-contact work is over before its time."""
    return await _act(ctx, assignment_id, commands.FinishWrapUp(assignment_id, ctx.principal.acting_agent))


async def _act(ctx: Context, assignment_id: str, command: commands.Command, note: str | None = None) -> Response:
    if ctx.principal.role != "agent":
        ctx.principal.need("agents:write", supervisor=True)
    done = await ctx.once(jobs.OnAssignment(assignment_id, command, note), lambda row: (200, views.assignment(row)))
    return Json(done.body, done.status) if isinstance(done, Answer) else Json(views.assignment(done))
