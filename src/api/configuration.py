"""Configuration: queues, tags, rules, settings, channel accounts, keys and tokens. Changes apply at once."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from src.api.auth import new_key
from src.api.context import Context, Ctx, Json
from src.api.schemas import AccountBody, Id, KeyBody, Name, QueueBody, RuleBody, SettingsBody, TagConfigBody, TokenBody
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.config import SETTINGS_NAME, queue_config, rule_config, settings_config, tag_config
from src.dispatch.ports import AccountFact, Answer, ConfigFact, KeyFact
from src.errors import AccountTaken, InUse, Malformed, NotFound
from src.router import commands
from src.router.model import DEFAULT_QUEUE

router = APIRouter(prefix="/v1", tags=["configuration"])

CLOSE_CREDENTIAL: Final = 4001

_DEFAULTS: Final = {
    ("queue", DEFAULT_QUEUE): QueueBody().model_dump(by_alias=True),
    ("settings", SETTINGS_NAME): SettingsBody().model_dump(by_alias=True),
}
"""What is there without having been put."""


async def _put(
    ctx: Context, kind: str, name: str, body: BaseModel, command: Callable[[str, Mapping[str, Any]], commands.Command]
) -> Response:
    ctx.principal.need("config:write")
    stored = body.model_dump(by_alias=True)
    await ctx.submit(jobs.Configure(command(name, stored), ConfigFact(kind, name, stored)))
    return Json({"name": name, **stored})


async def _get(ctx: Context, kind: str, name: str) -> Response:
    ctx.principal.need("config:write", supervisor=True)
    stored = await ctx.services.queries.config_one(ctx.tenant, kind, name) or _DEFAULTS.get((kind, name))
    if stored is None:
        raise NotFound(f"there is no {kind} {name!r}")
    return Json({"name": name, **stored})


async def _list(ctx: Context, kind: str) -> Response:
    ctx.principal.need("config:write", supervisor=True)
    default = {name: body for (of, name), body in _DEFAULTS.items() if of == kind}
    stored = default | {fact.name: fact.body or {} for fact in await ctx.services.queries.config(ctx.tenant, kind)}
    items = [{"name": name, **body} for name, body in sorted(stored.items())]
    return Json({"items": items, "next_cursor": None})


async def _delete(ctx: Context, kind: str, name: str) -> Response:
    ctx.principal.need("config:write")
    await ctx.submit(jobs.Configure(commands.DeleteNamed(kind, name), ConfigFact(kind, name, None)))
    return Response(status_code=204)


@router.put("/queues/{name}")
async def put_queue(name: Name, body: QueueBody, ctx: Ctx) -> Response:
    """Make or change a queue."""
    return await _put(ctx, "queue", name, body, lambda n, b: commands.PutQueue(queue_config(n, b)))


@router.get("/queues/{name}")
async def get_queue(name: Name, ctx: Ctx) -> Response:
    """One queue."""
    return await _get(ctx, "queue", name)


@router.get("/queues")
async def list_queues(ctx: Ctx) -> Response:
    """All queues."""
    return await _list(ctx, "queue")


@router.delete("/queues/{name}", status_code=204)
async def delete_queue(name: Name, ctx: Ctx) -> Response:
    """Remove a queue that nothing refers to."""
    ctx.principal.need("config:write")
    using = [each.name for each in await ctx.services.queries.accounts(ctx.tenant) if each.queue == name]
    if using:
        raise InUse("a channel account names this queue", accounts=using)
    return await _delete(ctx, "queue", name)


@router.put("/tags/{name}")
async def put_tag(name: Name, body: TagConfigBody, ctx: Ctx) -> Response:
    """Make or change a tag."""
    return await _put(ctx, "tag", name, body, lambda n, b: commands.PutTag(tag_config(n, b)))


@router.get("/tags/{name}")
async def get_tag(name: Name, ctx: Ctx) -> Response:
    """One tag."""
    return await _get(ctx, "tag", name)


@router.get("/tags")
async def list_tags(ctx: Ctx) -> Response:
    """All tags."""
    return await _list(ctx, "tag")


@router.delete("/tags/{name}", status_code=204)
async def delete_tag(name: Name, ctx: Ctx) -> Response:
    """Remove a tag; it then asks for the skill of its own name."""
    return await _delete(ctx, "tag", name)


@router.put("/rules/{name}")
async def put_rule(name: Name, body: RuleBody, ctx: Ctx) -> Response:
    """Make or change a classification rule."""
    return await _put(ctx, "rule", name, body, lambda n, b: commands.PutRule(rule_config(n, b)))


@router.get("/rules/{name}")
async def get_rule(name: Name, ctx: Ctx) -> Response:
    """One rule."""
    return await _get(ctx, "rule", name)


@router.get("/rules")
async def list_rules(ctx: Ctx) -> Response:
    """All rules."""
    return await _list(ctx, "rule")


@router.delete("/rules/{name}", status_code=204)
async def delete_rule(name: Name, ctx: Ctx) -> Response:
    """Remove a rule."""
    return await _delete(ctx, "rule", name)


@router.put("/settings")
async def put_settings(body: SettingsBody, ctx: Ctx) -> Response:
    """Replace the tenant's settings."""
    return await _put(ctx, "settings", SETTINGS_NAME, body, lambda n, b: commands.PutSettings(settings_config(n, b)))


@router.get("/settings")
async def get_settings(ctx: Ctx) -> Response:
    """The tenant's settings."""
    return await _get(ctx, "settings", SETTINGS_NAME)


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
async def put_account(account: Name, body: AccountBody, ctx: Ctx) -> Response:
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
    if body.queue is not None and body.queue != DEFAULT_QUEUE:
        await _get(ctx, "queue", body.queue)
    kept = {} if found is None else {name: services.sealer.open(each) for name, each in found[1].secrets.items()}
    secrets = kept | body.secrets
    channel.check(body.settings, secrets)
    sealed = {name: services.sealer.seal(each) for name, each in secrets.items()}
    fact = AccountFact(account, body.channel, body.settings, sealed, body.queue, body.enabled)
    await ctx.submit(jobs.Configure(commands.Note("channel.updated", account), fact))
    return Json(_account(fact))


@router.get("/channels/{account}")
async def get_account(account: Name, ctx: Ctx) -> Response:
    """One channel account, without its secrets."""
    return Json(_account(await _own_account(ctx, account)))


@router.get("/channels")
async def list_accounts(ctx: Ctx) -> Response:
    """All channel accounts, without their secrets."""
    ctx.principal.need("config:write", supervisor=True)
    items = [_account(each) for each in await ctx.services.queries.accounts(ctx.tenant)]
    return Json({"items": items, "next_cursor": None})


@router.delete("/channels/{account}", status_code=204)
async def delete_account(account: Name, ctx: Ctx) -> Response:
    """Remove a channel account."""
    fact = await _own_account(ctx, account)
    gone = AccountFact(fact.name, fact.channel, {}, {}, None, enabled=False, deleted=True)
    await ctx.submit(jobs.Configure(commands.Note("channel.deleted", account), gone))
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
    done = await ctx.once(job, lambda _: (201, {**_key(fact), "sealed": sealed}))
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
        done = await ctx.once(jobs.Remember(terms), lambda _: (201, terms))
        terms = dict(done.body) if isinstance(done, Answer) else terms
    token = await ctx.services.auth.mint(
        ctx.tenant, terms["agent_id"], terms["role"], terms["issued_at_s"], terms["ttl_s"]
    )
    expires_at = views.rfc3339((terms["issued_at_s"] + terms["ttl_s"]) * 1000)
    return Json({"token": token, "expires_at": expires_at}, 201)
