"""Who and what may come in: channel accounts, API keys, agent tokens."""

from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from src.api.auth import new_key
from src.api.configuration import insist_on_queue
from src.api.context import Context, Ctx, Json, OnlyIf, tagged
from src.api.schemas import AccountBody, Id, KeyBody, Name, TokenBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import CLOSE_CREDENTIAL
from src.dispatch import jobs
from src.dispatch.ports import AccountFact, Answer, KeyFact
from src.errors import AccountTaken, Malformed, NotFound
from src.router import commands

router = APIRouter(prefix="/v1", tags=["configuration"])


# -- channel accounts ----------------------------------------------------------------------------------------------


def _account(fact: AccountFact) -> views.Json:
    return {
        "account": fact.name,
        "channel": fact.channel,
        "settings": dict(fact.settings),
        "secrets": sorted(fact.secrets),
        "queue": fact.queue,
        "enabled": fact.enabled,
        "address": f"/channels/{fact.channel}/{fact.name}",
    }


@router.put("/channels/{account}")
async def put_account(account: Name, body: AccountBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Make or change a channel account. Secrets that are left out stay as they are."""
    ctx.principal.need("config:write")
    services = ctx.services
    channel = services.channels.get(body.channel)
    if channel is None:
        known = sorted(services.channels)
        raise Malformed(f"channel must be one that is spoken natively: {', '.join(known)}", field="channel")
    found = await services.queries.account(account)
    if found is not None and found[0] != ctx.tenant:
        raise AccountTaken("this account name is in use")
    if body.queue is not None:
        await insist_on_queue(ctx, body.queue)
    kept = {} if found is None else {name: services.sealer.open(each) for name, each in found[1].secrets.items()}
    secrets = kept | body.secrets
    channel.check(body.settings, secrets)
    sealed = {name: services.sealer.seal(each) for name, each in secrets.items()}
    fact = AccountFact(account, body.channel, body.settings, sealed, body.queue, body.enabled)
    await ctx.submit(jobs.Configure(commands.Note("channel.updated", account), fact, only_if))
    return Json(_account(fact), headers=tagged(fact))


@router.get("/channels/{account}")
async def get_account(account: Name, ctx: Ctx) -> Response:
    """One channel account, without its secrets."""
    fact = await _own_account(ctx, account)
    return Json(_account(fact), headers=tagged(fact))


@router.get("/channels")
async def list_accounts(ctx: Ctx) -> Response:
    """All channel accounts, without their secrets."""
    ctx.principal.need("config:write", supervisor=True)
    items = [_account(each) for each in await ctx.services.queries.accounts(ctx.tenant)]
    return Json({"items": items, "next_cursor": None})


@router.delete("/channels/{account}", status_code=204)
async def delete_account(account: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a channel account."""
    fact = await _own_account(ctx, account)
    gone = AccountFact(fact.name, fact.channel, {}, {}, None, enabled=False, deleted=True)
    await ctx.submit(jobs.Configure(commands.Note("channel.deleted", account), gone, only_if))
    return Response(status_code=204)


async def _own_account(ctx: Context, account: str) -> AccountFact:
    ctx.principal.need("config:write")
    found = await ctx.services.queries.account(account)
    if found is None or found[0] != ctx.tenant:
        raise NotFound(f"there is no channel account {account!r}")
    return found[1]


# -- keys and tokens -----------------------------------------------------------------------------------------------


def _key(fact: KeyFact) -> views.Json:
    return {
        "id": fact.id,
        "name": fact.name,
        "scopes": list(fact.scopes),
        "created_at": views.rfc3339(fact.created_at),
        "revoked_at": views.rfc3339(fact.revoked_at),
    }


@forwardable
def _render_made(made: views.Json, _: object) -> tuple[int, views.Json]:
    return 201, made


@router.post("/keys", status_code=201)
async def post_key(body: KeyBody, ctx: Ctx) -> Response:
    """Make an API key. The key itself is in this answer and nowhere else."""
    ctx.principal.need("admin")
    services = ctx.services
    key, hashed = new_key()
    scopes = tuple(sorted(set(body.scopes)))
    fact = KeyFact(services.new_id(), hashed, body.name, scopes, services.clock.now_ms())
    sealed = services.sealer.seal(key)
    job = jobs.Configure(commands.Note("key.updated", fact.id), fact)
    done = await ctx.once(job, partial(_render_made, {**_key(fact), "sealed": sealed}))
    if isinstance(done, Answer):
        stored = {name: value for name, value in done.body.items() if name != "sealed"}
        return Json({**stored, "key": services.sealer.open(done.body["sealed"])}, done.status)
    return Json({**_key(fact), "key": key}, 201)


@router.get("/keys")
async def list_keys(ctx: Ctx) -> Response:
    """All API keys, without the keys themselves."""
    ctx.principal.need("admin")
    return Json({"items": [_key(each) for each in await ctx.services.queries.keys(ctx.tenant)], "next_cursor": None})


@router.delete("/keys/{key_id}", status_code=204)
async def delete_key(key_id: Id, ctx: Ctx) -> Response:
    """Revoke an API key; at once in this process."""
    ctx.principal.need("admin")
    found = next((each for each in await ctx.services.queries.keys(ctx.tenant) if each.id == key_id), None)
    if found is None:
        raise NotFound("there is no such key")
    if found.revoked_at is None:
        now = ctx.services.clock.now_ms()
        gone = KeyFact(found.id, found.hash, found.name, found.scopes, found.created_at, now)
        await ctx.submit(jobs.Configure(commands.Note("key.deleted", key_id), gone))
    ctx.services.auth.forget(found.hash)
    ctx.services.hub.close_credential(ctx.tenant, key_id, CLOSE_CREDENTIAL)
    return Response(status_code=204)


@router.post("/tokens", status_code=201)
async def post_token(body: TokenBody, ctx: Ctx) -> Response:
    """Mint an agent token, so that a desktop can be tried without an identity provider."""
    ctx.principal.need("admin" if body.role == "supervisor" else "agents:write")
    if await ctx.services.queries.agent(ctx.tenant, body.agent_id) is None:
        raise NotFound(f"there is no agent {body.agent_id!r}")
    issued_at_s = ctx.services.clock.now_ms() // 1000
    terms: dict[str, Any] = {
        "agent_id": body.agent_id,
        "role": body.role,
        "issued_at_s": issued_at_s,
        "ttl_s": body.ttl_s,
    }
    if "idempotency-key" in ctx.request.headers:
        done = await ctx.once(jobs.Remember(terms), partial(_render_made, terms))
        terms = dict(done.body) if isinstance(done, Answer) else terms
    token = await ctx.services.auth.mint(
        ctx.tenant, terms["agent_id"], terms["role"], terms["issued_at_s"], terms["ttl_s"]
    )
    expires_at = views.rfc3339((terms["issued_at_s"] + terms["ttl_s"]) * 1000)
    return Json({"token": token, "expires_at": expires_at}, 201)
