"""What agents and supervisors do with a contact by hand: hand on, set aside, escalate, assign, take back, pin."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from src.api.contacts import on_contact, opened
from src.api.context import Context, Ctx, Json
from src.api.routing import Router
from src.api.schemas import (
    AssignBody,
    FollowUpBody,
    Id,
    ParkBody,
    PinBody,
    ReasonBody,
    ResumeBody,
    ReturnBody,
    TransferBody,
    tag_requests,
)
from src.api.voice.line import CHANNEL, dials
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.config import milliseconds
from src.dispatch.known import Wanted
from src.dispatch.people import whole
from src.dispatch.turn import Turn
from src.router import commands
from src.router.state import State

router = Router(prefix="/v1/contacts/{contact_id}", tags=["contacts"])

AGENTS_SHOWN: Final = 20
"""So many agents who could take a contact are named before it is handed on."""


@router.post("/transfer")
async def transfer_contact(contact_id: Id, body: TransferBody, ctx: Ctx) -> Response:
    """Hand an active contact on; the answer holds the estimated wait, to be told to the customer.

    With `dry_run` nothing happens: the answer holds the estimated wait and how many could take it.
    """
    _own_or_any(ctx)
    command = commands.Transfer(
        contact_id=contact_id,
        by=ctx.principal.id,
        to_agent_id=body.to.agent_id,
        to_queue=body.to.queue,
        to_tags=tag_requests(body.to.tags),
        agent_id=ctx.principal.acting_agent,
        reason=body.reason,
    )
    if body.dry_run:
        return Json(await ctx.submit(_Outlook(command)))
    return await on_contact(ctx, contact_id, command, note=body.note)


@router.post("/return")
async def return_contact(contact_id: Id, ctx: Ctx, body: ReturnBody | None = None) -> Response:
    """Hand an active contact back: to the agent that it came from, if that is there, else to its queue."""
    _own_or_any(ctx)
    body = body or ReturnBody()
    command = commands.Return(contact_id, ctx.principal.id, ctx.principal.acting_agent, body.reason)
    return await on_contact(ctx, contact_id, command, note=body.note)


@router.post("/park")
async def park_contact(contact_id: Id, body: ParkBody, ctx: Ctx) -> Response:
    """Set an active contact aside: its capacity is free, its agent stays its owner.

    It comes back to the owner first: shortly before `until`, when the customer writes, or by `resume`.
    """
    _own_or_any(ctx)
    command = commands.Park(
        contact_id, ctx.principal.id, milliseconds(body.until), body.reason, ctx.principal.acting_agent
    )
    return await on_contact(ctx, contact_id, command, note=body.note)


@router.post("/resume")
async def resume_contact(contact_id: Id, ctx: Ctx, body: ResumeBody | None = None) -> Response:
    """Bring a parked contact back before its time, to its owner first."""
    _own_or_any(ctx)
    reason = (body or ResumeBody()).reason
    return await on_contact(
        ctx, contact_id, commands.Resume(contact_id, ctx.principal.id, ctx.principal.acting_agent, reason)
    )


@router.post("/follow-up", status_code=201)
async def follow_up_contact(contact_id: Id, body: FollowUpBody, ctx: Ctx) -> Response:
    """Go on with the customer over another channel: a new contact in the same conversation, offered to the same agent.

    Whoever serves the channel reaches the customer once the agent has accepted. Meanwhile the contact that it follows
    takes no capacity, until the customer writes there again. `preferred_channel` is the one that the customer prefers:
    where it is another than that of the contact, the customer was not asked. `dialled` says of a telephone call whether
    this service dials the customer; null where the account is not configured here, but a gateway's own.
    """
    _own_or_any(ctx)
    identity = None if body.identity is None else (body.identity.type, body.identity.value)
    job = jobs.FollowUp(
        contact_id=contact_id,
        channel=body.channel,
        account=body.account,
        external_id=body.external_id,
        identity=identity,
        text=body.text,
        agent_id=body.agent_id,
        acting=ctx.principal.acting_agent,
        by=ctx.principal.id,
        urgent=body.reason,
        accounts=tuple(each.name for each in await ctx.services.queries.accounts(ctx.tenant)),
    )
    status, contact = await opened(ctx, job)
    dialled = None
    if body.channel == CHANNEL:
        dialled = await dials(ctx.services, ctx.tenant, body.account, body.external_id, contact["identity"])
    told = {"preferred_channel": await _preferred_channel(ctx, contact["customer_id"]), "dialled": dialled}
    return Json(contact | told, status)


async def _preferred_channel(ctx: Context, customer_id: str | None) -> str | None:
    """The channel that a customer prefers; None also where it was erased."""
    if customer_id is None:
        return None
    found = await ctx.services.store.lookup(ctx.tenant, Wanted(customers={customer_id}))
    customer = found.customers.get(customer_id)
    if customer is None:
        return None
    members = found.families.get(customer.survivor_id or customer_id, (customer_id,))
    return whole([found.customers[each] for each in members]).preferred_channel


@router.post("/escalate")
async def escalate_contact(contact_id: Id, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """Raise an open contact's priority, mark it, and tell supervisors; doing it again changes nothing."""
    _own_or_any(ctx)
    command = commands.Escalate(contact_id, ctx.principal.id, ctx.principal.acting_agent, _reason(body))
    return await on_contact(ctx, contact_id, command)


@router.post("/assign")
async def assign_contact(contact_id: Id, body: AssignBody, ctx: Ctx) -> Response:
    """A supervisor's hand: the contact is that agent's at once; over its capacity only with `force`."""
    ctx.principal.need("admin", supervisor=True)
    command = commands.Assign(contact_id, body.agent_id, ctx.principal.id, body.force, body.reason)
    return await on_contact(ctx, contact_id, command)


@router.post("/take_back")
async def take_back_contact(contact_id: Id, ctx: Ctx, body: ReasonBody | None = None) -> Response:
    """A supervisor's hand: the contact leaves its agent and goes back to the queue at its old rank."""
    ctx.principal.need("admin", supervisor=True)
    return await on_contact(ctx, contact_id, commands.TakeBack(contact_id, ctx.principal.id, _reason(body)))


@router.post("/pin")
async def pin_contact(contact_id: Id, body: PinBody, ctx: Ctx) -> Response:
    """A supervisor's hand: the waiting contact is for this agent alone, there or not; null: for all that fit again."""
    ctx.principal.need("admin", supervisor=True)
    return await on_contact(ctx, contact_id, commands.Pin(contact_id, body.agent_id, ctx.principal.id, body.reason))


@forwardable
@dataclass(frozen=True, slots=True)
class _Outlook:
    """What a transfer would come to: how long the wait would be, and who could take the contact."""

    command: commands.Transfer

    def wants(self, wanted: Wanted, _: State) -> None:
        """The contact, also if it has closed, and its attributes."""
        wanted.contacts.add(self.command.contact_id)

    def run(self, turn: Turn) -> views.Json:
        """Look, and change nothing."""
        asked = self.command
        found = turn.engine.dry_run_transfer(asked, turn.now, turn.archive())
        agents = [
            each
            for each in found["agents"]
            if (each["fits"] if asked.to_agent_id is None else each["agent_id"] == asked.to_agent_id)
        ]
        return {
            "contact_id": asked.contact_id,
            "dry_run": True,
            "queue": found["queue"],
            "position": found["position"],
            **views.estimate(found["estimate"]),
            "candidates": found["candidates"] if asked.to_agent_id is None else sum(each["fits"] for each in agents),
            "agents": [views.public(each) for each in agents[:AGENTS_SHOWN]],
        }


def _own_or_any(ctx: Context) -> None:
    """An agent may ask; the engine lets it act on what it holds. Others need the scope."""
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:write", supervisor=True)


def _reason(body: ReasonBody | None) -> str | None:
    return None if body is None else body.reason
