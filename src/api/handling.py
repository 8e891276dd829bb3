"""What agents and supervisors do with a contact by hand: hand on, set aside, escalate, assign, take back, pin."""

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from src.api.contacts import on_contact
from src.api.context import Context, Ctx, Json
from src.api.schemas import (
    AssignBody,
    Id,
    ParkBody,
    PinBody,
    ReasonBody,
    ResumeBody,
    ReturnBody,
    TransferBody,
    tag_requests,
)
from src.delivery import views
from src.dispatch.config import milliseconds
from src.dispatch.inbound import TagRequest
from src.dispatch.ports import Wanted
from src.dispatch.turn import Turn
from src.errors import Forbidden, InvalidState, NotFound, UnknownReference
from src.router import commands
from src.router.entities import Contact
from src.router.state import State

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["contacts"])

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
        found = turn.engine.dry_run(self._received(self._contact(turn), turn), turn.now)
        agents = [
            each
            for each in found["agents"]
            if (each["fits"] if asked.to_agent_id is None else each["agent_id"] == asked.to_agent_id)
        ]
        return {
            "contact_id": asked.contact_id,
            "dry_run": True,
            "queue": found["queue"],
            "position": found.get("position"),
            **views.estimate(found.get("estimate")),
            "candidates": found["candidates"] if asked.to_agent_id is None else sum(each["fits"] for each in agents),
            "agents": [views.public(each) for each in agents[:AGENTS_SHOWN]],
        }

    def _contact(self, turn: Turn) -> Contact:
        asked, state, config = self.command, turn.engine.state, turn.engine.config
        contact = state.contact(asked.contact_id)
        if contact is None and asked.contact_id not in turn.known.contacts:
            raise NotFound("there is no such contact")
        held = None if contact is None else state.assignment(contact.assignment_id or "")
        if asked.agent_id is not None and (held is None or held.agent_id != asked.agent_id):
            raise Forbidden("the contact is not with this agent")
        if contact is None or contact.state != "active":
            stands = "closed" if contact is None else contact.state
            raise InvalidState(f"a contact that is {stands} cannot be transferred", state=stands)
        if asked.to_queue is not None and asked.to_queue not in config.queues:
            raise UnknownReference(f"there is no queue {asked.to_queue!r}", field="to.queue")
        if asked.to_agent_id is not None and asked.to_agent_id not in config.agents:
            raise UnknownReference(f"there is no agent {asked.to_agent_id!r}", field="to.agent_id")
        return contact

    def _received(self, contact: Contact, turn: Turn) -> commands.Receive:
        """The contact as if it came now, with what the transfer changes of it."""
        tags = self.command.to_tags
        if tags is None:
            tags = tuple(TagRequest(each.tag, each.level, each.required, each.weight) for each in contact.requirements)
        fact = turn.known.facts.get(contact.id)
        return commands.Receive(
            contact_id=contact.id,
            customer_id=contact.customer_id,
            channel=contact.channel,
            account=contact.account,
            tags=tags,
            language=contact.language,
            priority=contact.priority,
            queue=self.command.to_queue or contact.queue,
            attributes={} if fact is None else fact.attributes,
            terms=contact.terms,
        )


def _own_or_any(ctx: Context) -> None:
    """An agent may ask; the engine lets it act on what it holds. Others need the scope."""
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:write", supervisor=True)


def _reason(body: ReasonBody | None) -> str | None:
    return None if body is None else body.reason
