"""Contacts: intake, reading, reclassifying, ending. What is said is in `messages`, what people do in `handling`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import ValidationError
from starlette.responses import Response

from src.api import problems
from src.api.budgets import with_budget
from src.api.context import Context, Ctx, Cursor, Json, default_region, region_for
from src.api.routing import Router
from src.api.schemas import (
    BatchBody,
    CancelBody,
    ContactBody,
    ContactPatch,
    Id,
    IdentityBody,
    NeedBody,
    tag_requests,
)
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import jobs, remarks
from src.dispatch.admission import batch_weight
from src.dispatch.config import terms
from src.dispatch.facts import Answer, MessageFact
from src.dispatch.inbound import InboundContact
from src.dispatch.known import Wanted
from src.dispatch.orders import NO_OUTLOOK
from src.dispatch.turn import ContactSnapshot, Job, Turn
from src.errors import Forbidden, Internal, NotFound, Refused, Unavailable
from src.profile.identities import Identity
from src.router import commands
from src.router.entities import CONTACT_COLUMNS
from src.router.model import Terms
from src.router.state import State
from src.store.queries import ContactRead

router = Router(prefix="/v1", tags=["contacts"])

LIMIT_MAX: Final = 200
_STATE: Final = CONTACT_COLUMNS.index("state")
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
ContactState = Literal["waiting", "offered", "active", "parked", "wrap_up", "closed"]


def inbound(body: ContactBody) -> InboundContact:
    """The normal form of a posted contact."""
    return InboundContact(
        channel=body.channel,
        account=body.account,
        external_id=body.external_id,
        identity=identity_of(body.identity),
        also=tuple(map(identity_of, body.identities)),
        text=body.text,
        tags=tag_requests(body.tags),
        language=body.language,
        priority=body.priority,
        queue=body.queue,
        attributes=body.attributes,
        terms=terms_of(body),
    )


def identity_of(body: IdentityBody) -> Identity:
    """An identity as the caller said it."""
    return Identity(body.type, body.value, body.display_name, body.proven, body.scope)


def terms_of(body: NeedBody) -> Terms:
    """Who may take the contact, as the caller said it."""
    return terms(body.model_dump(include={"agents", "teams"}))


@router.post("/contacts", status_code=201)
async def post_contact(body: ContactBody, ctx: Ctx) -> Response:
    """Take in a contact. The same `external_id` again gives the same contact, with 200."""
    ctx.principal.need("contacts:write")
    said = inbound(body)
    read_in = await region_for(ctx.services, ctx.tenant, (said.identity, *said.also))
    status, contact = await opened(ctx, jobs.take(said, read_in))
    return Json(contact, status)


async def opened(ctx: Context, job: Job[jobs.Taken]) -> tuple[int, views.Json]:
    """Do what opens a contact, once; 201 and the contact, or 200 and the one that there was already."""
    done = await ctx.once(job, _render_taken)
    if isinstance(done, Answer):
        return done.status, _whole(done.body, await read(ctx, str(done.body["id"])))
    if done.snapshot is not None:
        return 201, snapshot(done.snapshot)
    return 200, await read(ctx, done.contact_id or "")


async def region(ctx: Context) -> str:
    """Where the caller's telephone numbers without a country code are read."""
    return await default_region(ctx.services, ctx.tenant)


def snapshot(each: ContactSnapshot) -> views.Json:
    """A contact as it stood when its command had been decided."""
    return views.contact(
        each.contact,
        each.fact,
        each.assignment,
        each.position,
        each.estimated_wait,
        each.collaborations,
        each.customer_id,
    )


@forwardable
def _render_taken(taken: jobs.Taken) -> tuple[int, Mapping[str, Any]]:
    if taken.snapshot is None:
        return 200, {"id": taken.contact_id}
    return 201, _kept(taken.snapshot)


@forwardable
def _render_snapshot(each: ContactSnapshot) -> tuple[int, Mapping[str, Any]]:
    return 200, _kept(each)


def _kept(each: ContactSnapshot) -> views.Json:
    """What a stored answer holds of a contact: nothing that came from the customer, or that somebody typed."""
    shown = snapshot(replace(each, fact=None))
    if shown["assignment"] is not None:
        shown["assignment"]["disposition"] = None
    return shown


_OF_FACT: Final = ("external_id", "conversation_id", "direction", "identity", "text", "attributes", "common_problem")
"""What is known of a contact beside how it is routed: no stored answer holds it."""


def _whole(stored: Mapping[str, Any], now: views.Json) -> views.Json:
    """A stored answer with what came from the customer joined again, as far as it is still there."""
    if "state" not in stored:
        return now
    held = stored["assignment"]
    if held is not None and held["state"] in {"wrap_up", "completed"} and now["assignment"]["id"] == held["id"]:
        held = {**held, "disposition": now["assignment"]["disposition"]}
    return {**now, **stored, **{name: now[name] for name in _OF_FACT}, "assignment": held}


@forwardable
@dataclass(frozen=True, slots=True)
class _TakeMany:
    """Several contacts in one turn, each judged on its own."""

    each: Sequence[jobs.TakeContact | Refused]

    @property
    def weight(self) -> int:
        """It takes the time of so many ordinary requests."""
        return batch_weight(len(self.each))

    def aside(self) -> "_TakeMany":
        """As it is: whoever asked does them one by one then."""
        return self

    def wants(self, wanted: Wanted, state: State) -> None:
        """Everything that any of them wants."""
        for job in self.each:
            if not isinstance(job, Refused):
                job.wants(wanted, state)

    def run(self, turn: Turn) -> list[jobs.Taken | Refused]:
        """One after the other; a refusal stands in its place."""
        return [job if isinstance(job, Refused) else _try(job, turn) for job in self.each]


def _try(job: jobs.TakeContact, turn: Turn) -> jobs.Taken | Refused:
    try:
        return job.run(turn)
    except Refused as refusal:
        return refusal


@router.post("/contacts:batch")
async def post_contacts(body: BatchBody, ctx: Ctx) -> Response:
    """Take in up to 500 contacts. Each is answered on its own, in order."""
    ctx.principal.need("contacts:write")
    read_in = await region(ctx)
    asked = [_parsed(item, read_in) for item in body.items]
    try:
        done = await ctx.once(_TakeMany(asked), _render_many)
    except Internal:  # one of them is more than the engine can bear: each in a turn of its own
        done = [job if isinstance(job, Refused) else await _alone(ctx, job) for job in asked]
    if isinstance(done, Answer):
        now = await _read_all(ctx, [str(each["contact"]["id"]) for each in done.body["items"] if "contact" in each])
        items = [
            {"status": each["status"], "contact": _whole(each["contact"], now[each["contact"]["id"]])}
            if "contact" in each
            else each
            for each in done.body["items"]
        ]
        return Json({"items": items}, done.status)
    repeated = [each.contact_id or "" for each in done if not isinstance(each, Refused) and each.snapshot is None]
    now = await _read_all(ctx, repeated)
    return Json({"items": [_item(each, now) for each in done]})


async def _alone(ctx: Context, job: jobs.TakeContact) -> jobs.Taken | Refused:
    try:
        return await ctx.submit(job)
    except Unavailable:
        raise
    except Refused as refusal:
        return refusal


def _parsed(item: Any, read_in: str) -> jobs.TakeContact | Refused:  # noqa: ANN401  # whatever stood in the list
    try:
        job = jobs.take(inbound(ContactBody.model_validate(item)), read_in)
    except ValidationError as error:
        return problems.malformed_from(error.errors())
    except Refused as refusal:
        return refusal
    assert isinstance(job, jobs.TakeContact)
    return job


def _item(done: jobs.Taken | Refused, now: Mapping[str, views.Json]) -> dict[str, Any]:
    if isinstance(done, Refused):
        return {"status": problems.status_of(done), "problem": problems.problem(done)}
    if done.snapshot is not None:
        return {"status": 201, "contact": snapshot(done.snapshot)}
    return {"status": 200, "contact": now[done.contact_id or ""]}


@forwardable
def _render_many(done: list[jobs.Taken | Refused]) -> tuple[int, Mapping[str, Any]]:
    items: list[dict[str, Any]] = []
    for each in done:
        if isinstance(each, Refused):
            items.append({"status": problems.status_of(each), "problem": problems.problem(each)})
        else:
            status, contact = _render_taken(each)
            items.append({"status": status, "contact": contact})
    return 200, {"items": items}


async def read(ctx: Context, contact_id: str) -> views.Json:
    """A contact from the tables.

    Raises:
        NotFound: it is not there, or another tenant's.
    """
    found = await ctx.services.queries.contact(ctx.tenant, contact_id)
    if found is None:
        raise NotFound("there is no such contact")
    return await _shown(ctx, found)


async def _read_all(ctx: Context, contact_ids: Sequence[str]) -> Mapping[str, views.Json]:
    """Contacts from the tables by id: one question for all of them, and one to the owner.

    Raises:
        NotFound: one is not there, or another tenant's.
    """
    found = await ctx.services.queries.contacts_by_id(ctx.tenant, contact_ids) if contact_ids else ()
    if len(found) < len(set(contact_ids)):
        raise NotFound("there is no such contact")
    return {each.contact[0]: shown for each, shown in zip(found, await _all_shown(ctx, found), strict=True)}


async def _all_shown(ctx: Context, found: Sequence[ContactRead]) -> list[views.Json]:
    waiting = [each.contact[0] for each in found if each.contact[_STATE] == "waiting"]
    outlook = await ctx.services.owner.outlook(ctx.tenant, waiting)
    return [
        views.contact(
            each.contact,
            each.fact,
            each.assignment,
            *outlook.get(each.contact[0], NO_OUTLOOK),
            each.collaborations,
            each.customer_id,
        )
        for each in found
    ]


async def _shown(ctx: Context, found: ContactRead) -> views.Json:
    position, wait = None, None
    if found.contact[_STATE] == "waiting":
        contact_id = found.contact[0]
        position, wait = (await ctx.services.owner.outlook(ctx.tenant, [contact_id]))[contact_id]
        position = position or await ctx.services.queries.position(ctx.tenant, found.contact[0])
    return views.contact(
        found.contact, found.fact, found.assignment, position, wait, found.collaborations, found.customer_id
    )


async def readable(ctx: Context, contact_id: str) -> views.Json:
    """A contact that the caller may see: by scope, as supervisor, or because it holds or held it, or helps with it."""
    shown = await read(ctx, contact_id)
    if ctx.principal.role == "agent":
        queries, own = ctx.services.queries, (ctx.tenant, contact_id, ctx.principal.id)
        if not (await queries.was_held_by(*own) or await queries.helps_with(*own)):
            raise Forbidden("the contact is not and was not yours")
    else:
        ctx.principal.need("contacts:read")
    return shown


@router.get("/contacts/{contact_id}")
async def get_contact(contact_id: Id, ctx: Ctx) -> Response:
    """One contact; `reply_budget` says how much may still be sent to the customer, where the channel limits it."""
    shown = await readable(ctx, contact_id)
    who = (shown["channel"], shown["account"], shown["customer_id"])
    return Json(await with_budget(ctx.services, ctx.tenant, shown, who))


@router.get("/contacts")
async def list_contacts(  # noqa: PLR0917  # one parameter for each filter
    ctx: Ctx,
    cursor: Cursor,
    state: ContactState | None = None,
    queue: str | None = None,
    channel: str | None = None,
    customer_id: str | None = None,
    agent_id: str | None = None,
    tag: str | None = None,
    limit: Limit = 50,
) -> Response:
    """Contacts, newest first. An agent sees those that it holds or held."""
    if ctx.principal.role == "agent":
        agent_id = ctx.principal.id
    else:
        ctx.principal.need("contacts:read")
    page = await ctx.services.queries.contacts(
        ctx.tenant,
        state=state,
        queue=queue,
        channel=channel,
        customer_id=customer_id,
        agent_id=agent_id,
        tag=tag,
        limit=limit,
        cursor=cursor,
    )
    return Json({"items": await _all_shown(ctx, page.items), "next_cursor": ctx.following(page.next_cursor)})


@router.patch("/contacts/{contact_id}")
async def patch_contact(contact_id: Id, body: ContactPatch, ctx: Ctx) -> Response:
    """Reclassify a contact; what is left out stays.

    While it waits, it is matched anew. Of one that an agent has, tags and attributes can be changed alone: also by
    that agent, and it stays there.
    """
    own = ctx.principal.acting_agent
    if own is None:
        ctx.principal.need("contacts:write", supervisor=True)
    return Json(snapshot(await ctx.submit(_Reclassify(contact_id, body, ctx.principal.id, own))))


@forwardable
@dataclass(frozen=True, slots=True)
class _Reclassify:
    """Change what a contact needs. Of agents and teams the one that is left out stays as the contact has it."""

    contact_id: str
    body: ContactPatch
    by: str
    agent_id: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        """The contact, also if it has closed; with other tags, what its customer came with lately."""
        command = commands.Reclassify(self.contact_id, tag_requests(self.body.tags))
        jobs.OnContact(self.contact_id, command).wants(wanted, state)

    def run(self, turn: Turn) -> ContactSnapshot:
        """Decide."""
        body, limits = self.body, None
        contact = turn.engine.state.contact(self.contact_id)
        if contact is not None and (body.agents is not None or body.teams is not None):
            said = terms(body.model_dump(include={"agents", "teams"}))
            limits = contact.terms
            if body.agents is not None:
                limits = replace(limits, agents=said.agents, not_agents=said.not_agents)
            if body.teams is not None:
                limits = replace(limits, teams=said.teams, not_teams=said.not_teams, widened=())
        command = commands.Reclassify(
            self.contact_id, tag_requests(body.tags), body.queue, body.priority, limits, self.by, self.agent_id
        )
        return jobs.OnContact(self.contact_id, command, body.attributes).run(turn)


@router.post("/contacts/{contact_id}/cancel")
async def cancel_contact(contact_id: Id, ctx: Ctx, body: CancelBody | None = None) -> Response:
    """The customer gave up, or hung up. What was promised to it stays parked, unless another reason is given."""
    ctx.principal.need("contacts:write", supervisor=True)
    command = commands.Cancel(contact_id, (body or CancelBody()).reason)
    return await on_contact(ctx, contact_id, command)


async def on_contact(ctx: Context, contact_id: str, command: commands.Command, note: str | None = None) -> Response:
    """Do something with a contact, once; answered with the contact as it then stands."""
    done = await ctx.once(jobs.OnContact(contact_id, command, note=note), _render_snapshot)
    if isinstance(done, Answer):
        return Json(_whole(done.body, await read(ctx, str(done.body["id"]))), done.status)
    return Json(snapshot(done))


@forwardable
def _render_message(done: tuple[MessageFact, bool]) -> tuple[int, Mapping[str, Any]]:
    message, created = done
    return 201 if created else 200, {"id": message.id, "contact_id": message.contact_id}


render_message: Final = _render_message
"""What is kept of the answer to a customer's message. It stays here: the last release knows it by this place."""


@router.get("/contacts/{contact_id}/trace")
async def get_trace(contact_id: Id, ctx: Ctx) -> Response:
    """Why it went where it went: every decision, oldest first."""
    await readable(ctx, contact_id)
    decisions = [
        (seq, each)
        for seq, trace in await ctx.services.queries.traces(ctx.tenant, contact_id)
        for each in _one_by_one(trace)
    ]
    typed = Wanted(remarks={named for _, each in decisions for named in remarks.ids_in(each)})
    texts = (await ctx.services.store.lookup(ctx.tenant, typed)).remarks
    items = [{"seq": seq, **views.public(remarks.readable(each, texts))} for seq, each in decisions]
    return Json({"contact_id": contact_id, "decisions": items})


def _one_by_one(trace: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A decision, and the one that followed from it under the same number."""
    yield {name: value for name, value in trace.items() if name != "then"}
    if "then" in trace:
        yield trace["then"]
