"""Configuration: queues, tags, rules, pilots, departments, settings. Changes apply at once."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from src.api.context import Context, Ctx, Json, OnlyIf, Paged, Paging, Services, page_of, tagged
from src.api.routing import Router
from src.api.schemas import (
    AgentBody,
    DepartmentBody,
    Moment,
    Name,
    PilotBody,
    QueueBody,
    ReasonBody,
    RuleBody,
    SettingsBody,
    TagConfigBody,
)
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.config import (
    SETTINGS_NAME,
    agent_config,
    department_config,
    milliseconds,
    pilot_config,
    queue_config,
    rule_config,
    settings_config,
    tag_config,
)
from src.dispatch.facts import Answer, ConfigFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.dispatch.versions import Precondition
from src.errors import Conflict, InUse, NotFound
from src.router import commands
from src.router.model import DEFAULT_QUEUE
from src.router.state import State
from src.store.measures import Measures
from src.store.problems import ProblemQueries

router = Router(prefix="/v1", tags=["configuration"])

Kind = Literal["queue", "tag", "rule", "pilot", "department"]


@dataclass(frozen=True, slots=True)
class _Made:
    """How a kind of configuration is put: its body, and the engine's command for it."""

    body: type[BaseModel]
    command: Callable[[str, Mapping[str, Any]], commands.Command]


KINDS: Final = {
    "queue": _Made(QueueBody, lambda name, body: commands.PutQueue(queue_config(name, body))),
    "tag": _Made(TagConfigBody, lambda name, body: commands.PutTag(tag_config(name, body))),
    "rule": _Made(RuleBody, lambda name, body: commands.PutRule(rule_config(name, body))),
    "pilot": _Made(PilotBody, lambda name, body: commands.PutPilot(pilot_config(name, body))),
    "department": _Made(DepartmentBody, lambda name, body: commands.PutDepartment(department_config(name, body))),
    "agent": _Made(AgentBody, lambda name, body: commands.PutAgent(agent_config(name, body))),
    "settings": _Made(SettingsBody, lambda name, body: commands.PutSettings(settings_config(name, body))),
}

DEFAULTS: Final = {
    ("queue", DEFAULT_QUEUE): QueueBody().model_dump(by_alias=True),
    ("settings", SETTINGS_NAME): SettingsBody().model_dump(by_alias=True),
}
"""What is there without having been put."""


def whole(kind: str, stored: Mapping[str, Any]) -> views.Json:
    """A stored body with what was added to its kind since it was stored."""
    return KINDS[kind].body.model_validate(stored).model_dump(by_alias=True)


async def tenant_settings(found: Services, tenant: str) -> SettingsBody:
    """All settings of a tenant, as they are stored."""
    stored = await found.queries.config_one(tenant, "settings", SETTINGS_NAME)
    return SettingsBody() if stored is None else SettingsBody.model_validate(stored)


async def _put(ctx: Context, kind: str, name: str, body: BaseModel, only_if: Precondition | None) -> Response:
    ctx.principal.need("config:write")
    stored = body.model_dump(by_alias=True)
    fact = ConfigFact(kind, name, stored)
    await ctx.submit(jobs.Configure(KINDS[kind].command(name, stored), fact, only_if))
    return Json({"name": name, **stored}, headers=tagged(fact))


async def _stored(ctx: Context, kind: str, name: str) -> tuple[ConfigFact | None, views.Json]:
    """What is stored, None where a default holds, and the whole body."""
    body = await ctx.services.queries.config_one(ctx.tenant, kind, name)
    if body is not None:
        return ConfigFact(kind, name, body), whole(kind, body)
    default = DEFAULTS.get((kind, name))
    if default is None:
        raise NotFound(f"there is no {kind} {name!r}")
    return None, whole(kind, default)


async def _read(ctx: Context, kind: str, name: str) -> views.Json:
    return (await _stored(ctx, kind, name))[1]


async def _get(ctx: Context, kind: str, name: str) -> Response:
    ctx.principal.need("config:write", supervisor=True)
    fact, body = await _stored(ctx, kind, name)
    return Json({"name": name, **body}, headers=tagged(fact))


async def _list(ctx: Context, kind: str, paging: Paging) -> Response:
    ctx.principal.need("config:write", supervisor=True)
    default = {name: body for (of, name), body in DEFAULTS.items() if of == kind}
    stored = default | {fact.name: fact.body or {} for fact in await ctx.services.queries.config(ctx.tenant, kind)}
    items = [{"name": name, **whole(kind, body)} for name, body in sorted(stored.items())]
    return page_of(ctx, items, "name", paging)


async def _delete(ctx: Context, kind: Kind, name: str, only_if: Precondition | None) -> Response:
    ctx.principal.need("config:write")
    await ctx.submit(jobs.Configure(commands.DeleteNamed(kind, name), ConfigFact(kind, name, None), only_if))
    return Response(status_code=204)


async def insist_on_queue(ctx: Context, name: str) -> None:
    """Refuse a queue that is not there.

    Raises:
        NotFound: it is not.
    """
    await _read(ctx, "queue", name)


# -- queues ------------------------------------------------------------------------------------------------------------


@router.put("/queues/{name}")
async def put_queue(name: Name, body: QueueBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a queue."""
    return await _put(ctx, "queue", name, body, only_if)


@router.get("/queues/{name}")
async def get_queue(name: Name, ctx: Ctx) -> Response:
    """One queue."""
    return await _get(ctx, "queue", name)


@router.get("/queues")
async def list_queues(ctx: Ctx, paging: Paged) -> Response:
    """All queues."""
    return await _list(ctx, "queue", paging)


@router.delete("/queues/{name}", status_code=204)
async def delete_queue(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a queue that nothing refers to."""
    ctx.principal.need("config:write")
    using = [each.name for each in await ctx.services.queries.accounts(ctx.tenant) if each.queue == name]
    if using:
        raise InUse("a channel account names this queue", accounts=using)
    return await _delete(ctx, "queue", name, only_if)


@router.post("/queues/{name}/pause")
async def pause_queue(name: Name, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """Offer none of the queue's contacts until it is resumed; they keep their places."""
    return await _set_paused(ctx, name, paused=True, reason=body.reason if body is not None else None)


@router.post("/queues/{name}/resume")
async def resume_queue(name: Name, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """Offer the queue's contacts again."""
    return await _set_paused(ctx, name, paused=False, reason=body.reason if body is not None else None)


async def _set_paused(ctx: Context, name: str, *, paused: bool, reason: str | None) -> Response:
    ctx.principal.need("config:write", supervisor=True)
    body = {**await _read(ctx, "queue", name), "paused": paused}
    done = await ctx.once(_Pause(name, body, ctx.principal.id, reason), _render_paused)
    return Json(done.body, done.status) if isinstance(done, Answer) else Json(done)


@forwardable
def _render_paused(answer: views.Json) -> tuple[int, views.Json]:
    return 200, answer


@forwardable
@dataclass(frozen=True, slots=True)
class _Pause:
    """Stop a queue or let it go on; `body` is the queue as it was read, with `paused` set."""

    name: str
    body: Mapping[str, Any]
    by: str
    reason: str | None

    def wants(self, wanted: Wanted, _: State) -> None:
        """Configuration is checked against the engine's own."""

    def run(self, turn: Turn) -> views.Json:
        """Decide, unless the queue is no longer what was read."""
        config = queue_config(self.name, self.body)
        current = turn.engine.config.queues.get(self.name)
        if current is None or replace(current, paused=config.paused) != config:
            raise Conflict("the queue has changed meanwhile: try again")
        command = commands.PauseQueue(config, self.by, self.reason)
        jobs.Configure(command, ConfigFact("queue", self.name, self.body)).run(turn)
        return {"name": self.name, **self.body}


# -- tags and rules ----------------------------------------------------------------------------------------------------


@router.put("/tags/{name}")
async def put_tag(name: Name, body: TagConfigBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a tag."""
    return await _put(ctx, "tag", name, body, only_if)


@router.get("/tags/{name}")
async def get_tag(name: Name, ctx: Ctx) -> Response:
    """One tag."""
    return await _get(ctx, "tag", name)


@router.get("/tags")
async def list_tags(ctx: Ctx, paging: Paged) -> Response:
    """All tags."""
    return await _list(ctx, "tag", paging)


@router.delete("/tags/{name}", status_code=204)
async def delete_tag(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a tag; it then asks for the skill of its own name."""
    return await _delete(ctx, "tag", name, only_if)


@router.put("/rules/{name}")
async def put_rule(name: Name, body: RuleBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a classification rule. One that could never work is refused with the reason."""
    return await _put(ctx, "rule", name, body, only_if)


@router.get("/rules/{name}")
async def get_rule(name: Name, ctx: Ctx) -> Response:
    """One rule."""
    return await _get(ctx, "rule", name)


@router.get("/rules")
async def list_rules(ctx: Ctx, paging: Paged) -> Response:
    """All rules."""
    return await _list(ctx, "rule", paging)


@router.delete("/rules/{name}", status_code=204)
async def delete_rule(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a rule."""
    return await _delete(ctx, "rule", name, only_if)


# -- pilots ------------------------------------------------------------------------------------------------------------


@router.put("/pilots/{name}")
async def put_pilot(name: Name, body: PilotBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a pilot: a version of queues and rules that runs for a share of the contacts."""
    return await _put(ctx, "pilot", name, body, only_if)


@router.get("/pilots/{name}")
async def get_pilot(name: Name, ctx: Ctx) -> Response:
    """One pilot."""
    return await _get(ctx, "pilot", name)


@router.get("/pilots")
async def list_pilots(ctx: Ctx, paging: Paged) -> Response:
    """All pilots."""
    return await _list(ctx, "pilot", paging)


@router.delete("/pilots/{name}", status_code=204)
async def delete_pilot(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a pilot: contacts in its trial go on under the tenant's own queues."""
    return await _delete(ctx, "pilot", name, only_if)


@router.get("/pilots/{name}/comparison")
async def compare_pilot(
    name: Name,
    ctx: Ctx,
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query()] = None,
) -> Response:
    """What became of the contacts in the pilot's trial, beside those of its control, in all and queue by queue.

    Of contacts that came from `from` (else: the pilot's beginning) up to `until` (else: now). Both are measured by the
    service levels of the tenant's own queues.
    """
    ctx.principal.need("config:write", supervisor=True)
    queries = ctx.services.queries
    pilot = pilot_config(name, await _read(ctx, "pilot", name))
    from_at = pilot.from_at if from_ is None else milliseconds(from_)
    until_at = ctx.services.clock.now_ms() + 1 if until is None else milliseconds(until)
    queues = await queries.config(ctx.tenant, "queue")
    within = {each.name: queue_config(each.name, each.body or {}).within_s for each in queues}
    found = await Measures(queries).pilot(ctx.tenant, name, from_at, until_at, within_s_of=within)
    arms: dict[str, dict[str, Any]] = {arm: {"total": None, "queues": {}} for arm in ("trial", "control")}
    for outcome in found:
        shown = {key: value for key, value in asdict(outcome).items() if key not in {"arm", "queue"}}
        if outcome.queue is None:
            arms[outcome.arm]["total"] = shown
        else:
            arms[outcome.arm]["queues"][outcome.queue] = shown
    return Json({"name": name, "from": views.rfc3339(from_at), "until": views.rfc3339(until_at), **arms})


# -- departments -------------------------------------------------------------------------------------------------------


@router.put("/departments/{name}")
async def put_department(name: Name, body: DepartmentBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a department: who helps there, and by when."""
    return await _put(ctx, "department", name, body, only_if)


@router.get("/departments/{name}")
async def get_department(name: Name, ctx: Ctx) -> Response:
    """One department."""
    return await _get(ctx, "department", name)


@router.get("/departments")
async def list_departments(ctx: Ctx, paging: Paged) -> Response:
    """All departments."""
    return await _list(ctx, "department", paging)


@router.delete("/departments/{name}", status_code=204)
async def delete_department(name: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a department that helps with nothing now, and that no open common problem goes to."""
    ctx.principal.need("config:write")
    found = await ProblemQueries(ctx.services.queries).all(ctx.tenant)
    using = [each.name for each in found if each.body["department"] == name and each.solved_at is None]
    if using:
        raise InUse("common problems go to this department", problems=using)
    return await _delete(ctx, "department", name, only_if)


# -- settings ----------------------------------------------------------------------------------------------------------


@router.put("/settings")
async def put_settings(body: SettingsBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Replace the tenant's settings."""
    return await _put(ctx, "settings", SETTINGS_NAME, body, only_if)


@router.get("/settings")
async def get_settings(ctx: Ctx) -> Response:
    """The tenant's settings."""
    return await _get(ctx, "settings", SETTINGS_NAME)
