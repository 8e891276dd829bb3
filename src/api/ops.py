"""For operators: is it alive, is it ready, what goes on."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from src import metrics as measures
from src.api.context import Ctx, Json, services
from src.errors import NotFound, StoreUnreachable
from src.router.levels import Level
from src.router.waits import Accuracy

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> Response:  # an endpoint
    """The process answers."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """The database answers, and this process serves its tenants and knows who serves the others.

    It is not ready while it is about to leave. Redis that is away is said, not failed.
    """
    found = services(request)
    database = "ok"
    try:
        await found.store.head("")
    except NotFound:
        pass  # it answered: there is no tenant without a name
    except StoreUnreachable:
        database = "unreachable"
    redis = "not_used" if found.redis_answers is None else "ok" if await found.redis_answers() else "unreachable"
    owner = found.owner
    ready = database == "ok" and owner.lease_good() and owner.settled() and not owner.draining()
    status = "ready" if ready else "draining" if owner.draining() else "not_ready"
    body = {"status": status, "database": database, "tenants": owner.tenants(), "redis": redis}
    return Json(body, 200 if ready else 503)


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
    """What goes on now: contacts by queue and state, the oldest wait, agents by presence.

    By queue also how many were answered in time within the last hour, and how good estimates of waits were: both since
    the process that serves the tenant has loaded it.
    """
    ctx.principal.need("contacts:read", supervisor=True)
    found = await ctx.services.queries.stats(ctx.tenant)
    now = ctx.services.clock.now_ms()
    accuracy = await ctx.services.owner.accuracy(ctx.tenant)
    levels = await ctx.services.owner.levels(ctx.tenant)
    queues: dict[str, Any] = {}
    for name in dict.fromkeys((*found.queues, *levels, *accuracy)):
        states, oldest = found.queues.get(name, ({}, None))
        queues[name] = {
            "waiting": 0,
            "offered": 0,
            "active": 0,
            "wrap_up": 0,
            "parked": 0,
            **states,
            "oldest_wait_s": None if oldest is None else max(0, now - oldest) // 1000,
            "service_level": _service_level(levels.get(name)),
            "estimates": _estimates(accuracy.get(name)),
        }
    return Json({"queues": queues, "agents": found.agents})


def _service_level(found: Level | None) -> dict[str, Any] | None:
    """What was reached of what the queue is to reach; None where nobody was answered, or should have been."""
    if found is None:
        return None
    reached = 100 * found.within / found.contacts
    return {
        "within_s": found.within_s,
        "percent": found.percent,
        "contacts": found.contacts,
        "answered_within": found.within,
        "reached_percent": round(reached, 1),
        "met": reached >= found.percent,
    }


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
