"""Common problems: matters that many contacts have, told to a department once, with one answer for all."""

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from src.api.collaborations import helps_in
from src.api.contacts import Limit, read, readable
from src.api.context import Context, Ctx, Cursor, Json, OnlyIf, Paged, page_of, tagged
from src.api.routing import Router
from src.api.schemas import CommonProblemBody, Id, LinkBody, Name, SolveBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import problems as jobs
from src.dispatch.facts import ProblemFact
from src.errors import Forbidden, NotFound
from src.store.problems import LinkedContact, ProblemQueries

router = Router(prefix="/v1", tags=["common problems"])


def _shown(fact: ProblemFact) -> views.Json:
    """A common problem as it stands."""
    body = CommonProblemBody.model_validate(fact.body)
    return {
        "name": fact.name,
        **body.model_dump(),
        "state": jobs.state_of(fact),
        "count": fact.linked,
        "unreported": len(fact.unreported),
        "created_at": views.rfc3339(fact.created_at),
        "first_seen_at": views.rfc3339(fact.first_at),
        "last_seen_at": views.rfc3339(fact.last_at),
        "reported_at": views.rfc3339(fact.reported_at),
        "solved_at": views.rfc3339(fact.solved_at),
        "solved_by": fact.solved_by,
        "note": fact.note,
    }


def _contact(each: LinkedContact) -> views.Json:
    return {
        "contact_id": each.id,
        "channel": each.channel,
        "state": each.state,
        "outcome": each.outcome,
        "queue": each.queue,
        "tags": list(each.tags),
        "created_at": views.rfc3339(each.created_at),
        "closed_at": views.rfc3339(each.closed_at),
    }


def _may_read(ctx: Context) -> None:
    """Any agent may: it is to find the problem that its contact has, and the answer to it."""
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:read", supervisor=True)


async def _found(ctx: Context, name: str) -> ProblemFact:
    found = await ProblemQueries(ctx.services.queries).one(ctx.tenant, name)
    if found is None:
        raise NotFound(f"there is no common problem {name!r}")
    return found


async def _may_answer(ctx: Context, name: str) -> None:
    """A supervisor may, and who helps in the department."""
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:write", supervisor=True)
    elif not await helps_in(ctx, (await _found(ctx, name)).body["department"]):
        raise Forbidden("you do not help in the problem's department")


@router.put("/common-problems/{name}")
async def put_common_problem(name: Name, body: CommonProblemBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a common problem; what came of it stays."""
    ctx.principal.need("config:write", supervisor=True)
    fact = await ctx.submit(jobs.PutProblem(name, body.model_dump(), ctx.actor, only_if))
    return Json(_shown(fact), headers=tagged(fact))


@router.get("/common-problems/{name}")
async def get_common_problem(name: Name, ctx: Ctx) -> Response:
    """One common problem: how many contacts have it, since when, and its department's answer."""
    _may_read(ctx)
    fact = await _found(ctx, name)
    return Json(_shown(fact), headers=tagged(fact))


@router.get("/common-problems")
async def list_common_problems(
    ctx: Ctx,
    paging: Paged,
    state: Literal["open", "solved"] | None = None,
    department: Annotated[Name | None, Query()] = None,
) -> Response:
    """Common problems by name; of one department, or in one state alone, if asked."""
    _may_read(ctx)
    items = [
        _shown(each)
        for each in await ProblemQueries(ctx.services.queries).all(ctx.tenant)
        if state in {None, jobs.state_of(each)} and department in {None, each.body["department"]}
    ]
    return page_of(ctx, items, "name", paging)


@router.delete("/common-problems/{name}", status_code=204)
async def delete_common_problem(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a common problem that no contact is linked to."""
    ctx.principal.need("config:write", supervisor=True)
    await ctx.submit(jobs.DeleteProblem(name, ctx.actor, only_if))
    return Response(status_code=204)


@router.get("/common-problems/{name}/contacts")
async def list_linked_contacts(name: Name, ctx: Ctx, cursor: Cursor, limit: Limit = 50) -> Response:
    """The contacts that are linked to a common problem, newest first, by ids and codes alone.

    An agent sees those of a department that it helps in or is told of.
    """
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:read", supervisor=True)
        await _found(ctx, name)
    else:
        await _may_answer(ctx, name)
    page = await ProblemQueries(ctx.services.queries).contacts(ctx.tenant, name, limit=limit, cursor=cursor)
    return Json({"items": [_contact(each) for each in page.items], "next_cursor": ctx.following(page.next_cursor)})


@router.post("/common-problems/{name}/solve")
async def solve_common_problem(name: Name, ctx: Ctx, body: SolveBody | None = None) -> Response:
    """Give the department's answer. Whoever has one of the problem's contacts is told; said again, the note changes."""
    await _may_answer(ctx, name)
    note = None if body is None else body.note
    await ctx.once(jobs.SolveProblem(name, note, ctx.actor), _render_problem)
    return Json(_shown(await _found(ctx, name)))


@router.post("/common-problems/{name}/reopen")
async def reopen_common_problem(name: Name, ctx: Ctx) -> Response:
    """The answer was none: the problem is open again, and its department is told."""
    await _may_answer(ctx, name)
    await ctx.once(jobs.ReopenProblem(name, ctx.actor), _render_problem)
    return Json(_shown(await _found(ctx, name)))


@forwardable
def _render_problem(fact: ProblemFact) -> tuple[int, views.Json]:
    return 200, {"name": fact.name}


@router.post("/contacts/{contact_id}/common-problem")
async def link_common_problem(contact_id: Id, body: LinkBody, ctx: Ctx) -> Response:
    """Link a contact, open or closed, to a common problem; to one alone: another takes the place of the first."""
    await _link(ctx, contact_id, body.name)
    return Json(await read(ctx, contact_id))


@router.delete("/contacts/{contact_id}/common-problem", status_code=204)
async def unlink_common_problem(contact_id: Id, ctx: Ctx) -> Response:
    """Link a contact to no common problem any more. Of one that is linked to none nothing happens."""
    await _link(ctx, contact_id, None)
    return Response(status_code=204)


async def _link(ctx: Context, contact_id: str, name: str | None) -> None:
    if ctx.principal.role == "agent":
        now = await readable(ctx, contact_id)
    else:
        ctx.principal.need("contacts:write", supervisor=True)
        now = await read(ctx, contact_id)
    job = jobs.LinkProblem(contact_id, name, now["common_problem"], ctx.principal.id)
    await ctx.once(job, _render_linked)


@forwardable
def _render_linked(contact_id: str) -> tuple[int, views.Json]:
    return 200, {"id": contact_id}
