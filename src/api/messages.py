"""Messages: the conversation of a contact, what goes out to customers, and what gateways need to send it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Query
from starlette.responses import Response

from src.api.auth import Principal
from src.api.budgets import with_budget
from src.api.contacts import Limit, read, readable, render_message
from src.api.context import Context, Ctx, Cursor, Json, Services
from src.api.media import insist_on_media
from src.api.routing import Router
from src.api.schemas import ChannelName, Id, MessageBody, ReceiptBody
from src.api.schemas.messages import AnyMessage, MediaMessage
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import Signal
from src.dispatch import jobs
from src.dispatch.facts import Answer, MessageFact, OutgoingFact
from src.dispatch.known import Wanted
from src.errors import Forbidden, InvalidState, NotFound, StoreError, Unavailable

router = Router(prefix="/v1", tags=["messages"])

WAITING_MAX: Final = 200
PLACE_MAX: Final = 2**62


@router.get("/contacts/{contact_id}/messages")
async def list_messages(
    contact_id: Id,
    ctx: Ctx,
    cursor: Cursor,
    conversation: Annotated[bool, Query()] = False,  # a query parameter
    limit: Limit = 50,
) -> Response:
    """What was said, oldest first; with `conversation` over all channels on which the customer went on."""
    shown = await readable(ctx, contact_id)
    queries = ctx.services.queries
    ids = await queries.conversation(ctx.tenant, shown["conversation_id"]) if conversation else (contact_id,)
    page = await queries.messages(ctx.tenant, ids, limit=limit, cursor=cursor)
    items = [views.message(message, outgoing) for message, outgoing in page.items]
    return Json({"items": items, "next_cursor": ctx.following(page.next_cursor)})


@router.post("/contacts/{contact_id}/messages", status_code=201)
async def post_message(contact_id: Id, body: MessageBody, ctx: Ctx) -> Response:
    """Add a customer's message to a contact that is open, or write to the customer.

    `from` `agent` or `system`: it is stored, and goes out over the contact's channel; what becomes of it follows as an
    event. An agent writes to the customers of the contacts that it holds.
    """
    if body.from_ == "customer":
        ctx.principal.need("contacts:write")
        contact = await read(ctx, contact_id)
        await _check_media(ctx.services, ctx.tenant, contact_id, body)
        job = jobs.PostMessage(
            contact_id, contact["channel"], contact["account"], body.external_id, body.kind, body.text, body.fields()
        )
        done = await ctx.once(job, render_message)
        if isinstance(done, Answer):
            return await _repeated(ctx, done)
        message, created = done
        return Json(views.message(message), 201 if created else 200)
    sending = await send_job(ctx.services, ctx.principal, contact_id, body)
    posted = await ctx.once(sending, render_posted)
    if isinstance(posted, Answer):
        return await _repeated(ctx, posted)
    return Json(await shown_posted(ctx.services, ctx.tenant, posted), 201 if posted.created else 200)


async def shown_posted(services: Services, tenant: str, posted: jobs.Posted) -> views.Json:
    """A message that was queued, and how much more may be sent to the customer."""
    said = posted.message
    shown = views.message(said, posted.outgoing)
    return await with_budget(services, tenant, shown, (said.channel, said.account, said.customer_id))


async def send_job(services: Services, principal: Principal, contact_id: str, body: AnyMessage) -> jobs.SendMessage:
    """The job that queues a message to a customer.

    Raises:
        Forbidden: the credential may not write to customers, or not as the system.
        NotFound: there is no such contact.
    """
    acting = principal.acting_agent
    if acting is None:
        principal.need("contacts:write", supervisor=True)
    elif body.from_ == "system":
        raise Forbidden("an agent does not write as the system")
    found = await services.queries.contact(principal.tenant, contact_id)
    if found is None:
        raise NotFound("there is no such contact")
    await _check_media(services, principal.tenant, contact_id, body)
    contact = views.contact(found.contact, found.fact, None)
    channel, account = contact["channel"], contact["account"]
    return jobs.SendMessage(
        contact_id=contact_id,
        channel=channel,
        account=account,
        external_id=body.external_id,
        kind=body.kind,
        text=body.text,
        payload=body.fields(),
        sender=body.from_,
        by=principal.id,
        acting=acting,
        native=await services.sends(principal.tenant, channel, account),
    )


async def _check_media(services: Services, tenant: str, contact_id: str, body: AnyMessage) -> None:
    if isinstance(body, MediaMessage):
        await insist_on_media(services, tenant, contact_id, body.kind, body.payload.media_id)
        if body.payload.thumb_media_id is not None:
            await insist_on_media(services, tenant, contact_id, "image", body.payload.thumb_media_id)


async def show_typing(services: Services, tenant: str, contact_id: str, agent_id: str, *, on: bool) -> None:
    """Show the customer that its agent types, or has stopped; of a contact that the agent does not hold, nothing."""
    try:
        found = await services.queries.contact(tenant, contact_id)
    except (StoreError, Unavailable):
        return
    if found is None or found.fact is None or found.assignment is None:
        return
    held = views.assignment(found.assignment)
    if held["agent_id"] != agent_id or held["state"] != "active":
        return
    services.hub.signal(tenant, Signal(contact_id, "agent", typing=on))
    fact = found.fact
    await services.show_typing(tenant, fact.channel, fact.account, fact.identity_value, on)


async def _repeated(ctx: Context, answer: Answer) -> Response:
    """A stored answer, with what was said joined again."""
    message, outgoing = await _found(ctx, answer.body["id"])
    shown = views.message(message)
    if outgoing is not None:
        shown = await shown_posted(ctx.services, ctx.tenant, jobs.Posted(message, outgoing, created=False))
    return Json({**answer.body, **shown}, answer.status)


@forwardable
def render_posted(done: jobs.Posted) -> tuple[int, Mapping[str, Any]]:
    """What is kept of the answer."""
    return 201 if done.created else 200, {"id": done.message.id, "contact_id": done.message.contact_id}


async def _found(ctx: Context, message_id: str) -> tuple[MessageFact, OutgoingFact | None]:
    known = await ctx.services.store.lookup(ctx.tenant, Wanted(messages={message_id}))
    message = known.messages.get(message_id)
    if message is None:
        raise NotFound("there is no such message")
    return message, known.outgoing.get(message_id)


@router.get("/messages/{message_id}")
async def get_message(message_id: Id, ctx: Ctx) -> Response:
    """One message, for those who may see its contact."""
    message, outgoing = await _found(ctx, message_id)
    await readable(ctx, message.contact_id)
    return Json(views.message(message, outgoing))


@router.get("/messages")
async def list_waiting(
    ctx: Ctx,
    cursor: Cursor,
    channel: ChannelName | None = None,
    after: Annotated[int, Query(ge=0, le=PLACE_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=WAITING_MAX)] = 50,
) -> Response:
    """Messages that a gateway is to send, in order: what it reads at its start, before it follows `message.queued`.

    Each comes with whom it is for. `after` is the last `place` seen; what has a receipt is no longer there.
    """
    ctx.principal.need("contacts:read")
    after = after if cursor is None else int(cursor)
    found = await ctx.services.store.outgoing(ctx.tenant, after, limit, native=False, channel=channel)
    following = str(found[-1].fact.place) if len(found) == limit else None
    return Json({"items": [views.waiting(each) for each in found], "next_cursor": ctx.following(following)})


@router.post("/messages/{message_id}/receipt")
async def post_receipt(message_id: Id, body: ReceiptBody, ctx: Ctx) -> Response:
    """What became of a message that a gateway sends: `sent`, `delivered` or `failed`. Repeating it changes nothing."""
    ctx.principal.need("contacts:write")
    message, outgoing = await _found(ctx, message_id)
    if outgoing is None:
        raise InvalidState("this message does not go out", state=None)
    if outgoing.native:
        raise InvalidState("this service sends it, and knows what became of it", state=outgoing.state)
    job = jobs.MoveMessage(message.contact_id, message_id, body.state, body.reason, body.receipt)
    done = await ctx.once(job, _render_receipt)
    if isinstance(done, Answer):
        return Json(views.message(*await _found(ctx, message_id)))
    return Json(views.message(done.message, done.outgoing))


@forwardable
def _render_receipt(done: jobs.Posted) -> tuple[int, Mapping[str, Any]]:
    return 200, {"id": done.message.id}
