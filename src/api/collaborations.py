"""Help with a contact: asked of an agent, a department, or whoever has the skills. The lead keeps the contact."""

from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import Limit, readable
from src.api.context import Context, Ctx, Cursor, Json
from src.api.routing import Router
from src.api.schemas import (
    CloseBody,
    CollaborateBody,
    DeadlinesBody,
    HelpBody,
    Id,
    Name,
    ReplyBody,
    tag_requests,
)
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.config import deadlines
from src.dispatch.facts import Answer
from src.dispatch.turn import Job
from src.errors import Forbidden, NotFound
from src.router import commands
from src.router.entities import COLLABORATION_COLUMNS, Row
from src.router.model import Deadlines

router = Router(prefix="/v1", tags=["collaborations"])

_REASON: Final = COLLABORATION_COLUMNS.index("reason")

State = Literal["open", "requested", "accepted", "closed"]


@router.post("/contacts/{contact_id}/collaborations", status_code=201)
async def post_collaboration(contact_id: Id, body: CollaborateBody, ctx: Ctx) -> Response:
    """Ask for help with an open contact. It tells whoever is asked; the contact stays where it is."""
    _may_act(ctx)
    command = commands.Collaborate(
        collaboration_id="",
        contact_id=contact_id,
        by=ctx.principal.id,
        kind="approval" if body.approval else "help" if body.department is None else "department",
        tags=tag_requests(body.tags) or (),
        department=body.department,
        to_agent_id=body.agent_id,
        deadlines=_deadlines(body),
        agent_id=ctx.principal.acting_agent,
    )
    return await _done(ctx, jobs.Ask(command, body.note), 201)


def _deadlines(body: CollaborateBody) -> Deadlines | None:
    asked = body.deadlines or DeadlinesBody()
    if body.respond_within_s is not None:
        asked = asked.model_copy(update={"feedback_s": body.respond_within_s})
    return None if asked == DeadlinesBody() else deadlines(asked.model_dump())


@router.post("/collaborations/{collaboration_id}/accept")
async def accept_collaboration(collaboration_id: Id, ctx: Ctx, body: HelpBody | None = None) -> Response:
    """Help. Whoever may act for any agent can name the one that helps."""
    _may_act(ctx)
    helper, own = None if body is None else body.agent_id, ctx.principal.acting_agent
    if own is not None and helper not in (None, own):
        raise Forbidden("an agent accepts for itself alone")
    command = commands.AcceptCollaboration(collaboration_id, ctx.principal.id, own or helper)
    return await _done(ctx, jobs.OnCollaboration(collaboration_id, command))


@router.post("/collaborations/{collaboration_id}/reply")
async def reply_collaboration(collaboration_id: Id, body: ReplyBody, ctx: Ctx) -> Response:
    """Say how it goes, answer, or give the solution. The first answer of who was asked accepts as well."""
    _may_act(ctx)
    own = ctx.principal.acting_agent
    command = commands.ReplyCollaboration(collaboration_id, ctx.principal.id, body.kind, body.approved, own)
    word = None if body.text is None else (ctx.principal.id, body.kind, body.text)
    return await _done(ctx, jobs.OnCollaboration(collaboration_id, command, word))


@router.post("/collaborations/{collaboration_id}/close")
async def close_collaboration(collaboration_id: Id, ctx: Ctx, body: CloseBody | None = None) -> Response:
    """No more help is needed, or none is given."""
    _may_act(ctx)
    reason = None if body is None else body.reason
    own = ctx.principal.acting_agent
    command = commands.CloseCollaboration(collaboration_id, ctx.principal.id, reason, own)
    return await _done(ctx, jobs.OnCollaboration(collaboration_id, command))


def _may_act(ctx: Context) -> None:
    """An agent may ask; the engine lets it act on its contacts and its help alone. Others need the scope."""
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:write", supervisor=True)


async def _done(ctx: Context, job: Job[Row], status: int = 200) -> Response:
    done = await ctx.once(job, partial(_render_collaboration, status))
    if not isinstance(done, Answer):
        return Json(views.collaboration(done), status)
    found = await ctx.services.queries.collaboration(ctx.tenant, str(done.body["id"]))
    said = None if found is None or done.body["state"] != "closed" else found.collaboration[_REASON]
    return Json({**done.body, "reason": said}, done.status)


@forwardable
def _render_collaboration(status: int, row: Row) -> tuple[int, views.Json]:
    """Without what somebody typed: a repeat has it joined again."""
    return status, {**views.collaboration(row), "reason": None}


@router.get("/contacts/{contact_id}/collaborations")
async def list_contact_collaborations(contact_id: Id, ctx: Ctx, cursor: Cursor, limit: Limit = 50) -> Response:
    """All help with a contact, newest first, without what was written."""
    await readable(ctx, contact_id)
    return await _page(ctx, contact_id=contact_id, limit=limit, cursor=cursor)


@router.get("/collaborations/{collaboration_id}")
async def get_collaboration(collaboration_id: Id, ctx: Ctx) -> Response:
    """One collaboration, open or closed, with what was written."""
    found = await ctx.services.queries.collaboration(ctx.tenant, collaboration_id)
    if found is None:
        raise NotFound("there is no such collaboration")
    shown = views.collaboration(found.collaboration, found.words)
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:read")
    elif ctx.principal.id not in (shown["agent_id"], shown["by"]) and not await helps_in(ctx, shown["department"]):
        await readable(ctx, shown["contact_id"])
    return Json(shown)


@router.get("/collaborations")
async def list_collaborations(
    ctx: Ctx,
    cursor: Cursor,
    agent_id: Annotated[Name | None, Query()] = None,
    state: State | None = None,
    department: Annotated[Name | None, Query()] = None,
    limit: Limit = 50,
) -> Response:
    """Collaborations, newest first, without what was written.

    An agent sees what is asked of it, and by `department` what is asked of one that it helps in or is told of.
    """
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:read")
    elif department is None or not await helps_in(ctx, department):
        agent_id = ctx.principal.id
    return await _page(ctx, agent_id=agent_id, state=state, department=department, limit=limit, cursor=cursor)


async def _page(ctx: Context, **asked: Any) -> Response:
    page = await ctx.services.queries.collaborations(ctx.tenant, **asked)
    items = [views.collaboration(each) for each in page.items]
    return Json({"items": items, "next_cursor": ctx.following(page.next_cursor)})


async def helps_in(ctx: Context, department: str | None) -> bool:
    """Whether the agent is in one of the department's teams, or is told when one of its deadlines is missed."""
    if department is None:
        return False
    queries = ctx.services.queries
    config = await queries.config_one(ctx.tenant, "department", department)
    if config is not None and config.get("escalate_to") == ctx.principal.id:
        return True
    agent = await queries.config_one(ctx.tenant, "agent", ctx.principal.id)
    return config is not None and agent is not None and not set(config["teams"]).isdisjoint(agent["teams"])
