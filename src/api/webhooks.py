"""Webhooks: where a tenant's events are posted, signed with a secret, and what came of that."""

from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.responses import Response

from src.api.context import Context, Ctx, Cursor, Json, OnlyIf, Paged, page_of, tagged
from src.api.routing import Router
from src.api.schemas import Name, ReplayBody, RotateWebhookBody, WebhookBody
from src.cluster.wire import forwardable
from src.connectors.template import check_address
from src.delivery import views
from src.dispatch import jobs, signatures
from src.dispatch.facts import Answer, DeliveryFact, WebhookCursor, WebhookFact
from src.errors import InUse, NotFound

router = Router(prefix="/v1/webhooks", tags=["configuration"])

WEBHOOKS_MAX: Final = 20
"""So many a tenant may have: each is told of everything that happens."""

REPLAYED_MAX: Final = 1_000
LIMIT_MAX: Final = 200


def _shown(fact: WebhookFact, cursor: WebhookCursor | None) -> views.Json:
    return {
        "id": fact.name,
        "url": fact.body["url"],
        "types": list(fact.body["types"]),
        "alarms": list(fact.body.get("alarms", ())),
        "personal": fact.body["personal"],
        "enabled": fact.body["enabled"],
        "previous_secret_until": views.rfc3339(fact.body["previous_until"]),
        "delivered_to": fact.since if cursor is None else cursor.seq,
        "failing": None if cursor is None else cursor.failing,
        "failing_since": None if cursor is None else views.rfc3339(cursor.failing_since),
    }


def _delivery(tenant: str, each: DeliveryFact) -> views.Json:
    return {
        "event_id": views.event_id(tenant, each.seq),
        "seq": each.seq,
        "state": each.state,
        "attempts": each.attempts,
        "reason": each.reason,
        "first_tried_at": views.rfc3339(each.since) if each.attempts else None,
        "last_tried_at": views.rfc3339(each.at) if each.attempts else None,
        "due_at": views.rfc3339(each.due_at) if each.state == "pending" and each.attempts else None,
    }


@router.put("/{webhook_id}")
async def put_webhook(webhook_id: Name, body: WebhookBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a webhook. One that is made is told what happens from now on.

    Its secret is in the answer where one was made for it, and nowhere else.
    """
    ctx.principal.need("config:write")
    found = await ctx.services.store.webhooks(ctx.tenant)
    if len(found) >= WEBHOOKS_MAX and webhook_id not in {fact.name for fact, _ in found}:
        raise InUse(f"a tenant has at most {WEBHOOKS_MAX} webhooks")
    made = signatures.new_secret()
    fact = webhook_fact(ctx, webhook_id, body)
    job = jobs.PutWebhook(fact, ctx.services.sealer.seal(made), ctx.actor, only_if)
    fact, new = await ctx.submit(job)
    cursor = next((cursor for each, cursor in found if each.name == webhook_id), None)
    shown = _shown(fact, cursor) | ({"secret": made} if new and body.secret is None else {})
    return Json(shown, headers=tagged(fact))


def webhook_fact(ctx: Context, webhook_id: str, body: WebhookBody) -> WebhookFact:
    """What is to be stored of a webhook, with the secret that is given.

    Raises:
        Malformed: nothing can be posted there.
        Forbidden: it would be told more than whoever asks may read.
    """
    check_address(body.url)
    if body.personal:
        ctx.principal.need("contacts:read")
    stored = {
        "url": body.url,
        "types": list(body.types),
        "alarms": list(body.alarms),
        "personal": ctx.principal.may("contacts:read") if body.personal is None else body.personal,
        "enabled": body.enabled,
        "previous_until": None,
    }
    secrets = {} if body.secret is None else {jobs.CURRENT: ctx.services.sealer.seal(body.secret)}
    return WebhookFact(webhook_id, stored, secrets)


@router.get("/{webhook_id}")
async def get_webhook(webhook_id: Name, ctx: Ctx) -> Response:
    """One webhook, without its secret: how far it has come, and since when it cannot be reached."""
    fact, cursor = await _own(ctx, webhook_id)
    return Json(_shown(fact, cursor), headers=tagged(fact))


@router.get("")
async def list_webhooks(ctx: Ctx, paging: Paged) -> Response:
    """All webhooks."""
    ctx.principal.need("config:write", supervisor=True)
    found = sorted(await ctx.services.store.webhooks(ctx.tenant), key=lambda each: each[0].name)
    return page_of(ctx, [_shown(*each) for each in found], "id", paging)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(webhook_id: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a webhook, and what it has not taken."""
    ctx.principal.need("config:write")
    await ctx.submit(jobs.DeleteWebhook(webhook_id, ctx.actor, only_if))
    return Response(status_code=204)


@forwardable
def _render_rotated_webhook(sealed: str, fact: WebhookFact) -> tuple[int, views.Json]:
    return 200, {**_shown(fact, None), "sealed": sealed}


@router.post("/{webhook_id}/rotate")
async def rotate_webhook(webhook_id: Name, ctx: Ctx, body: RotateWebhookBody | None = None) -> Response:
    """Give a webhook a new secret, which is in this answer and nowhere else; the one before signs too for a while."""
    ctx.principal.need("config:write")
    asked = body or RotateWebhookBody()
    secret = asked.secret or signatures.new_secret()
    sealed = ctx.services.sealer.seal(secret)
    job = jobs.RotateWebhook(webhook_id, sealed, asked.overlap_s, ctx.actor)
    done = await ctx.once(job, partial(_render_rotated_webhook, sealed))
    stored: Any = done.body if isinstance(done, Answer) else {**_shown(done, None), "sealed": sealed}
    shown = {name: value for name, value in stored.items() if name not in {"sealed", "delivered_to"}}
    return Json({**shown, "secret": ctx.services.sealer.open(stored["sealed"])})


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    webhook_id: Name,
    ctx: Ctx,
    cursor: Cursor,
    state: Literal["dead", "pending"] = "dead",
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50,
) -> Response:
    """Events that the webhook has not taken, by number: those that were given up (`dead`), or are tried again."""
    fact, _ = await _own(ctx, webhook_id)
    after = max(int(cursor or 0), fact.since)
    found = await ctx.services.store.deliveries(ctx.tenant, webhook_id, state, after, limit + 1)
    following = ctx.following(str(found[limit - 1].seq) if len(found) > limit else None)
    return Json({"items": [_delivery(ctx.tenant, each) for each in found[:limit]], "next_cursor": following})


@forwardable
def _render_replayed(replayed: int) -> tuple[int, views.Json]:
    return 200, {"replayed": replayed}


@router.post("/{webhook_id}/replay")
async def replay_deliveries(webhook_id: Name, ctx: Ctx, body: ReplayBody | None = None) -> Response:
    """Try again what was given up, under the same ids. It comes behind what waits for the same contact."""
    fact, _ = await _own(ctx, webhook_id)
    seqs = None if body is None or body.seqs is None else sorted(set(body.seqs))
    after = fact.since if seqs is None else max(fact.since, seqs[0] - 1)
    dead: list[DeliveryFact] = []
    while page := await ctx.services.store.deliveries(ctx.tenant, webhook_id, "dead", after, REPLAYED_MAX):
        after = page[-1].seq
        dead += [each for each in page if seqs is None or each.seq in seqs]
        if len(page) < REPLAYED_MAX or seqs is None or after >= seqs[-1]:
            break
    done = await ctx.once(jobs.Replay(webhook_id, tuple(dead), ctx.actor), _render_replayed)
    return Json(done.body if isinstance(done, Answer) else {"replayed": done})


async def _own(ctx: Context, webhook_id: str) -> tuple[WebhookFact, WebhookCursor]:
    ctx.principal.need("config:write")
    found = next((each for each in await ctx.services.store.webhooks(ctx.tenant) if each[0].name == webhook_id), None)
    if found is None:
        raise NotFound(f"there is no webhook {webhook_id!r}")
    return found
