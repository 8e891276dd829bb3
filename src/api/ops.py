"""For operators: is it alive, is it ready, what goes on."""

import asyncio
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from src import metrics as measures
from src.api.context import Ctx, Json, Services, services
from src.api.routing import Router
from src.errors import NotFound, StoreUnreachable
from src.router.levels import Level, Share
from src.router.waits import Accuracy
from src.store.measures import NOBODY, Measures, Open

router = Router(tags=["operations"])

STATES: Final = ("waiting", "offered", "active", "wrap_up", "parked")
"""Those of contacts that are open."""

DATABASE_S_MAX: Final = 1.0
"""So long the database may take to answer whoever asks whether it does."""


@router.get("/healthz")
async def healthz() -> Response:  # an endpoint
    """The process answers."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether to send requests here, and how each thing stands that this depends on.

    `database` is `ok`, `unreachable` or `silent` (no answer within a second). `lease`: this process counts as alive
    (`ok`), or has not been able to say so (`lost`). `ownership`: it knows who serves which tenant (`ok`), or is still
    finding out (`unsettled`); `tenants` are served here. All of these must be `ok`, and it must not be `draining`.
    `redis` that is `unreachable` is said, not failed.
    """
    found = services(request)
    owner = found.owner
    stands = {
        "database": await _database(found),
        "lease": "ok" if owner.lease_good() else "lost",
        "ownership": "ok" if owner.settled() else "unsettled",
    }
    redis = "not_used" if found.redis_answers is None else "ok" if await found.redis_answers() else "unreachable"
    ready = not owner.draining() and set(stands.values()) == {"ok"}
    status = "ready" if ready else "draining" if owner.draining() else "not_ready"
    return Json({"status": status, **stands, "redis": redis, "tenants": owner.tenants()}, 200 if ready else 503)


async def _database(found: Services) -> str:
    try:
        async with asyncio.timeout(DATABASE_S_MAX):
            await found.store.head("")
    except NotFound:
        return "ok"  # it answered: there is no tenant without a name
    except TimeoutError:
        return "silent"
    except StoreUnreachable:
        return "unreachable"
    raise AssertionError


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """What this process counts, in Prometheus' text format. No credential: keep it from the outside at the balancer."""
    found = services(request)
    agents, others = found.hub.counted()
    measures.SOCKETS.labels("agents").set(agents)
    measures.SOCKETS.labels("others").set(others)
    measures.TENANTS.set(found.owner.tenants())
    measures.ORDERS.set(found.owner.on_the_way())
    untold, oldest = found.owner.untold()
    measures.WEBHOOK_WAITING.set(untold)
    measures.WEBHOOK_LAG_S.set(0 if oldest is None else max(0, found.clock.now_ms() - oldest) / 1000)
    unsent, oldest = found.owner.unsent()
    measures.OUTBOX_WAITING.set(unsent)
    measures.OUTBOX_LAG_S.set(0 if oldest is None else max(0, found.clock.now_ms() - oldest) / 1000)
    told, error_s = 0, 0
    for each in found.owner.accuracies():
        told, error_s = told + each.contacts, error_s + each.absolute_error_s
    measures.ESTIMATED.set(told)
    measures.ESTIMATE_ERROR_S.set(error_s / told if told else 0)
    return Response(measures.shown(), media_type=measures.CONTENT_TYPE)


@router.get("/v1/stats")
async def stats(ctx: Ctx) -> Response:
    """What goes on now: open contacts by state, the oldest wait, agents by presence.

    That is by queue, by channel and by tag; a contact counts with each of its tags. `service_level`: how many were
    answered within the last hour in the time that their queue allows. By queue also how good estimates of waits were.
    Both since the process that serves the tenant has loaded it.
    """
    ctx.principal.need("contacts:read", supervisor=True)
    found = await Measures(ctx.services.queries).stats(ctx.tenant)
    now = ctx.services.clock.now_ms()
    accuracy = await ctx.services.owner.accuracy(ctx.tenant)
    reached = await ctx.services.owner.reached(ctx.tenant)
    queues = {
        name: {
            **_counted(found.queues.get(name, NOBODY), now),
            "service_level": _level(reached.queues.get(name)),
            "estimates": _estimates(accuracy.get(name)),
        }
        for name in dict.fromkeys((*found.queues, *reached.queues, *accuracy))
    }
    channels, tags = (
        {
            name: {**_counted(groups.get(name, NOBODY), now), "service_level": _share(shares.get(name))}
            for name in dict.fromkeys((*groups, *shares))
        }
        for groups, shares in ((found.channels, reached.channels), (found.tags, reached.tags))
    )
    return Json({"queues": queues, "channels": channels, "tags": tags, "agents": found.agents})


def _counted(group: Open, now: int) -> dict[str, Any]:
    """Open contacts by state, and how long the one that has waited longest has."""
    oldest = group.oldest_waiting
    wait_s = None if oldest is None else max(0, now - oldest) // 1000
    return {**{state: group.states.get(state, 0) for state in STATES}, "oldest_wait_s": wait_s}


def _share(found: Share | Level | None) -> dict[str, Any] | None:
    """How many were answered in time; None where nobody was answered, or should have been."""
    if found is None:
        return None
    reached = 100 * found.within / found.contacts
    return {"contacts": found.contacts, "answered_within": found.within, "reached_percent": round(reached, 1)}


def _level(found: Level | None) -> dict[str, Any] | None:
    """The same beside what the queue is to reach."""
    shown = _share(found)
    if found is None or shown is None:
        return None
    met = 100 * found.within >= found.percent * found.contacts
    return {"within_s": found.within_s, "percent": found.percent, **shown, "met": met}


def _estimates(found: Accuracy | None) -> dict[str, Any] | None:
    """How far off the waits told to those who have left the queue were; None where nobody was told any."""
    if found is None:
        return None
    return {
        "contacts": found.contacts,
        "within_range": round(found.within / found.contacts, 3),
        "mean_error_s": round(found.error_s / found.contacts, 1),
        "mean_absolute_error_s": round(found.absolute_error_s / found.contacts, 1),
    }
