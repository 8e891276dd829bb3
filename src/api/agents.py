"""Agents, their presence, and what they do with offers and assignments over REST."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import LIMIT_MAX
from src.api.context import Context, Ctx, Cursor, Json, OnlyIf, Paged, Services, page_of, tagged
from src.api.routing import Router
from src.api.schemas import AgentBody, CompleteBody, DeclineBody, Id, Name, PresenceBody, ReasonBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import Subscriber
from src.dispatch import jobs
from src.dispatch.config import agent_config
from src.dispatch.facts import Answer, ConfigFact, ContactFact
from src.dispatch.known import RECENT_S, Known, Wanted
from src.dispatch.turn import Job, Turn
from src.errors import NotFound
from src.router import commands
from src.router.entities import AGENT_COLUMNS, ASSIGNMENT_COLUMNS, Assignment, Row
from src.router.state import State

router = Router(prefix="/v1", tags=["agents"])

WAIT_S_MAX: Final = 60

_CONTACT_ID: Final = ASSIGNMENT_COLUMNS.index("contact_id")
_CUSTOMER_ID: Final = 1
_ACCEPTED_AT: Final = ASSIGNMENT_COLUMNS.index("accepted_at")
_ENDED_AT: Final = ASSIGNMENT_COLUMNS.index("ended_at")
_DISPOSITION: Final = ASSIGNMENT_COLUMNS.index("disposition")
_AGENT_ID: Final = ASSIGNMENT_COLUMNS.index("agent_id")

OpenState = Literal["offered", "active", "parked", "wrap_up"]


def presence(row: Row | None) -> views.Json:
    """An agent's presence; `connected` is false while nobody is there to hear of an offer."""
    value: Mapping[str, Any] = dict(zip(AGENT_COLUMNS, row, strict=True)) if row is not None else {}
    return {
        "status": value.get("status", "offline"),
        "reason": value.get("reason"),
        "connected": value.get("session") is not None or value.get("lease_s") is not None,
        "grace_until": views.rfc3339(value.get("grace_until")),
        "paused": value.get("paused") is not None,
        "pause_reason": value.get("paused") or None,
    }


def agent(name: str, body: Mapping[str, Any], row: Row | None, assignments: Sequence[Row]) -> views.Json:
    """An agent with presence, load and open assignments. What is parked or released takes no capacity."""
    return {
        "id": name,
        **AgentBody.model_validate(body).model_dump(),
        "presence": presence(row),
        "load": sum(Assignment.from_row(each).units for each in assignments),
        "assignments": [views.assignment(each) for each in assignments],
    }


@router.put("/agents/{agent_id}")
async def put_agent(agent_id: Name, body: AgentBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change an agent; it takes effect at once."""
    ctx.principal.need("agents:write")
    stored = body.model_dump()
    command = commands.PutAgent(agent_config(agent_id, stored))
    await ctx.submit(jobs.Configure(command, ConfigFact("agent", agent_id, stored), only_if))
    return await _agent(ctx, agent_id)


@router.delete("/agents/{agent_id}", status_code=204)
async def delete_agent(agent_id: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove an agent that holds nothing, and that no agent (as mentor), rule or department names."""
    ctx.principal.need("agents:write")
    await ctx.submit(jobs.Configure(commands.DeleteAgent(agent_id), ConfigFact("agent", agent_id, None), only_if))
    return Response(status_code=204)


@router.get("/agents")
async def list_agents(ctx: Ctx, cursor: Cursor, limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50) -> Response:
    """Agents by id."""
    ctx.principal.need("agents:read", supervisor=True)
    page = await ctx.services.queries.agents(ctx.tenant, limit=limit, cursor=cursor)
    items = [agent(each.id, each.body, each.state, each.assignments) for each in page.items]
    return Json({"items": items, "next_cursor": ctx.following(page.next_cursor)})


@router.get("/agents/{agent_id}")
async def get_agent(agent_id: Name, ctx: Ctx) -> Response:
    """One agent."""
    ctx.principal.need("agents:read", supervisor=True, agent_id=agent_id)
    return await _agent(ctx, agent_id)


async def _agent(ctx: Context, agent_id: str) -> Response:
    """An agent; the entity tag is that of what is configured, whatever it does just now."""
    found = await ctx.services.queries.agent(ctx.tenant, agent_id)
    if found is None:
        raise NotFound(f"there is no agent {agent_id!r}")
    shown = agent(found.id, found.body, found.state, found.assignments)
    return Json(shown, headers=tagged(ConfigFact("agent", agent_id, found.body)))


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


@router.post("/agents/{agent_id}/pause")
async def pause_agent(agent_id: Name, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """A supervisor's hand: no new work for this agent until it is unpaused; it keeps what it has."""
    return await _set_paused(ctx, agent_id, body, paused=True)


@router.post("/agents/{agent_id}/unpause")
async def unpause_agent(agent_id: Name, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """New work for this agent again."""
    return await _set_paused(ctx, agent_id, body, paused=False)


async def _set_paused(ctx: Context, agent_id: str, body: ReasonBody | None, *, paused: bool) -> Response:
    ctx.principal.need("agents:write", supervisor=True)
    command = commands.PauseAgent(agent_id, ctx.principal.id, paused, None if body is None else body.reason)
    done = await ctx.once(jobs.OnAgent(agent_id, command), _render_presence)
    return Json(done.body, done.status) if isinstance(done, Answer) else Json(_render_presence(done)[1])


@forwardable
def _render_presence(view: jobs.AgentView | None) -> tuple[int, views.Json]:
    assert view is not None
    return 200, presence_answer(view)


@router.get("/agents/{agent_id}/assignments")
async def list_assignments(
    agent_id: Name,
    ctx: Ctx,
    paging: Paged,
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
        await ctx.services.hub.ready(ctx.tenant)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s or None):
                while not (items := await _held(ctx, agent_id, state)):
                    if not wait_s:
                        break
                    await subscriber.heard()
    finally:
        ctx.services.hub.detach(subscriber)
    return page_of(ctx, items, "id", paging)


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
    now = services.clock.now_ms()
    wanted = Wanted(contacts={row[_CONTACT_ID] for row in rows}, recent_since=now - RECENT_S * 1000)
    known = await services.store.lookup(tenant, wanted) if personal else Known()
    known.external = {each: services.connectors.known(tenant, each) for each in known.customers}
    config = await services.queries.config_one(tenant, "agent", agent_id)
    skills = {} if config is None else agent_config(agent_id, config).skills
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
    command = commands.Accept(assignment_id, ctx.principal.acting_agent)
    return await _act(ctx, jobs.OnAssignment(assignment_id, command))


@router.post("/assignments/{assignment_id}/decline")
async def decline(assignment_id: Id, ctx: Ctx, body: DeclineBody | None = None) -> Response:
    """Do not take the offer."""
    reason = body.reason if body is not None else None
    command = commands.Decline(assignment_id, ctx.principal.acting_agent, reason)
    return await _act(ctx, jobs.OnAssignment(assignment_id, command))


@router.post("/assignments/{assignment_id}/complete")
async def complete(assignment_id: Id, ctx: Ctx, body: CompleteBody | None = None) -> Response:
    """The customer has been served; wrap-up follows where the queue asks for it.

    Where the customer left, wrap-up has begun already: until it is over this says how it was, and the last word counts.
    """
    return await _act(ctx, Complete(assignment_id, ctx.principal.acting_agent, body or CompleteBody()))


@forwardable
@dataclass(frozen=True, slots=True)
class Complete:
    """End an assignment. The fields that are given are kept with the contact, as its attribute `fields`."""

    assignment_id: str
    agent_id: str | None
    body: CompleteBody

    def wants(self, wanted: Wanted, state: State) -> None:
        """The assignment, if it has ended; what is known of its contact, if there is something to add."""
        self._done().wants(wanted, state)
        assignment = state.assignment(self.assignment_id)
        if assignment is not None and self.body.fields:
            wanted.contacts.add(assignment.contact_id)

    def run(self, turn: Turn) -> Row:
        """Decide."""
        before = turn.engine.state.seq
        row = self._done().run(turn)
        fact = turn.known.facts.get(row[_CONTACT_ID])
        if self.body.fields and fact is not None and turn.engine.state.seq > before:
            fields = {**_fields(fact), **self.body.fields}
            turn.write(replace(fact, attributes={**fact.attributes, "fields": fields}))
        return row

    def _done(self) -> jobs.OnAssignment:
        """The engine is told the names of what was given; what was left empty was not."""
        body = self.body
        given = frozenset(name for name, value in {**body.fields, "note": body.note or ""}.items() if value.strip())
        command = commands.Complete(self.assignment_id, self.agent_id, body.resolved, body.disposition, given)
        return jobs.OnAssignment(self.assignment_id, command, body.note)


@router.post("/assignments/{assignment_id}/wrap_up_done")
async def wrap_up_done(assignment_id: Id, ctx: Ctx) -> Response:
    """After-contact work is over before its time.

    Where the customer left, what the queue requires at completion must have been said before, by `complete`.
    """
    return await _act(ctx, WrapUpDone(assignment_id, ctx.principal.acting_agent))


@forwardable
@dataclass(frozen=True, slots=True)
class WrapUpDone:
    """End after-contact work. The engine is told the names of the fields that were given for the contact.

    Of a note it is not known whether one was written: it counts as given.
    """

    assignment_id: str
    agent_id: str | None

    def wants(self, wanted: Wanted, state: State) -> None:
        """The assignment, if it has ended; else what is known of its contact."""
        self._done(frozenset()).wants(wanted, state)
        assignment = state.assignment(self.assignment_id)
        if assignment is not None:
            wanted.contacts.add(assignment.contact_id)

    def run(self, turn: Turn) -> Row:
        """Decide."""
        assignment = turn.engine.state.assignment(self.assignment_id)
        fact = None if assignment is None else turn.known.facts.get(assignment.contact_id)
        given = () if fact is None else (name for name, value in _fields(fact).items() if str(value).strip())
        return self._done(frozenset(given) | {"note"}).run(turn)

    def _done(self, fields: frozenset[str]) -> jobs.OnAssignment:
        command = commands.FinishWrapUp(self.assignment_id, self.agent_id, fields)
        return jobs.OnAssignment(self.assignment_id, command)


def _fields(fact: ContactFact) -> Mapping[str, Any]:
    """What was given of a contact at completion. An attribute of that name that is unlike it is a caller's own."""
    fields = fact.attributes.get("fields")
    return fields if isinstance(fields, Mapping) else {}


async def _act(ctx: Context, job: Job[Row]) -> Response:
    if ctx.principal.role != "agent":
        ctx.principal.need("agents:write", supervisor=True)
    done = await ctx.once(job, _render_assignment)
    if not isinstance(done, Answer):
        return Json(views.assignment(done))
    row = await ctx.services.queries.assignment(ctx.tenant, str(done.body["id"]))
    said = None if row is None or done.body["state"] not in {"wrap_up", "completed"} else row[_DISPOSITION]
    return Json({**done.body, "disposition": said}, done.status)


@forwardable
def _render_assignment(row: Row) -> tuple[int, views.Json]:
    """Without what somebody typed: a repeat has it joined again."""
    return 200, {**views.assignment(row), "disposition": None}
