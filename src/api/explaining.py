"""Dry runs: what would become of a contact, and why. Nothing in here changes anything."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import LIMIT_MAX, region, terms_of
from src.api.context import Context, Ctx, Json, settings_of
from src.api.routing import Router
from src.api.schemas import ExplainBody, tag_requests
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import NotFound, UnknownReference
from src.profile.identities import Identity, normalised
from src.router import commands
from src.router.entities import ASSIGNMENT_COLUMNS
from src.router.model import Settings
from src.router.state import State
from src.store.customers import CustomerQueries, CustomerRead

router = Router(prefix="/v1", tags=["contacts"])

_AGENT_ID: Final = ASSIGNMENT_COLUMNS.index("agent_id")
_ACCEPTED_AT: Final = ASSIGNMENT_COLUMNS.index("accepted_at")


@router.post("/routing:explain")
async def explain_routing(
    body: ExplainBody, ctx: Ctx, limit: Annotated[int, Query(ge=0, le=LIMIT_MAX)] = 50
) -> Response:
    """What would become of a contact now: how it is classified, who fits, who does not and for which reasons.

    `agents` are those that fit first, `limit` of them; the counts are over all. `steps` say who would fit later.
    """
    ctx.principal.need("contacts:read")
    job = _ExplainOpen(body.contact_id) if body.contact_id is not None else _ExplainNew(await _receive(ctx, body))
    found = await ctx.submit(job)
    wait = views.estimate(found.pop("estimate"))
    return Json(views.public({**found, **wait, "agents": found["agents"][:limit]}))


@forwardable
@dataclass(frozen=True, slots=True)
class _ExplainOpen:
    """Of a contact that is open."""

    contact_id: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """All of it is in the engine."""

    def run(self, turn: Turn) -> dict[str, Any]:
        """Look."""
        return turn.engine.explain_contact(self.contact_id, turn.now)


@forwardable
@dataclass(frozen=True, slots=True)
class _ExplainNew:
    """Of a contact that has not come."""

    command: commands.Receive

    def wants(self, wanted: Wanted, _: State) -> None:
        """What is known of the customer is in the command."""

    def run(self, turn: Turn) -> dict[str, Any]:
        """Look. What a contact could not be posted with cannot be explained."""
        queue = self.command.queue
        if queue is not None and queue not in turn.engine.config.queues:
            raise UnknownReference(f"there is no queue {queue!r}", field="queue")
        return turn.engine.dry_run(self.command, turn.now)


async def _receive(ctx: Context, body: ExplainBody) -> commands.Receive:
    """The command that such a contact would come with, with what is known of its customer."""
    customer = await _customer(ctx, body)
    settings = await settings_of(ctx.services, ctx.tenant)
    known = {} if customer is None else await _known(ctx, customer, settings)
    return commands.Receive(
        contact_id="",
        channel=body.channel or "",
        account=body.account,
        text=body.text,
        tags=tag_requests(body.tags),
        language=body.language,
        priority=body.priority,
        queue=body.queue,
        attributes=body.attributes,
        terms=terms_of(body),
        **{"customer_id": "", **known},
    )


async def _customer(ctx: Context, body: ExplainBody) -> CustomerRead | None:
    queries = CustomerQueries(ctx.services.queries)
    if body.customer_id is not None:
        found = await queries.customer(ctx.tenant, body.customer_id)
        if found is None:
            raise NotFound("there is no such customer")
        return found
    if body.identity is None:
        return None
    identity = normalised(
        Identity(body.identity.type, body.identity.value),
        account=body.account,
        default_region=await region(ctx),
    )
    return await queries.by_identity(ctx.tenant, *identity.key)


async def _known(ctx: Context, found: CustomerRead, settings: Settings) -> dict[str, Any]:
    """What a customer's next contact is classified by."""
    since = ctx.services.clock.now_ms() - settings.repeat_window_s * 1000
    customer = found.customer
    wanted = Wanted(customers={each.id for each in found.members}, lately_since=since)
    lately = (await ctx.services.store.lookup(ctx.tenant, wanted)).lately
    had = (each.assignment for each in found.contacts)
    last = next((row for row in had if row is not None and row[_ACCEPTED_AT] is not None), None)
    counted = Counter(tag for of_member in lately.values() for each in of_member for tag in set(each.tags))
    return {
        "customer_id": customer.id,
        "tier": customer.tier,
        "customer_attributes": customer.attributes,
        "dedicated_agent_id": customer.preferred_agent_id,
        "last_agent_id": None if last is None else last[_AGENT_ID],
        "recent_tags": frozenset(tag for tag, count in counted.items() if count >= settings.repeat_count - 1),
    }
