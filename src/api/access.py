"""What may come in: channel accounts."""

from collections.abc import Mapping

from starlette.responses import Response

from src.api.configuration import insist_on_queue
from src.api.context import Context, Ctx, Json, OnlyIf, Paged, page_of, tagged
from src.api.routing import Router
from src.api.schemas import AccountBody, Name
from src.delivery import views
from src.dispatch import jobs
from src.dispatch.facts import AccountFact
from src.errors import AccountTaken, Malformed, NotFound
from src.router import commands

router = Router(prefix="/v1", tags=["configuration"])


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
    """Make or change a channel account. Secrets that are left out stay as they are; what is null is removed."""
    ctx.principal.need("config:write")
    if body.queue is not None:
        await insist_on_queue(ctx, body.queue)
    fact = await account_fact(ctx, account, body, body.secrets)
    await ctx.submit(jobs.Configure(commands.Note("channel.updated", account), fact, only_if))
    return Json(_account(fact), headers=tagged(fact))


async def account_fact(ctx: Context, account: str, body: AccountBody, given: Mapping[str, str | None]) -> AccountFact:
    """What is to be stored of an account; of its secrets those that are `given`, and those that were and are not null.

    Raises:
        Malformed: the channel does not take it so.
        AccountTaken: another tenant has an account of this name.
    """
    services = ctx.services
    channel = services.channels.get(body.channel)
    if channel is None:
        known = sorted(services.channels)
        raise Malformed(f"channel must be one that is spoken natively: {', '.join(known)}", field="channel")
    found = await services.queries.account(account)
    if found is not None and found[0] != ctx.tenant:
        raise AccountTaken("this account name is in use")
    kept = {} if found is None else {name: services.sealer.open(each) for name, each in found[1].secrets.items()}
    secrets = {name: each for name, each in (kept | dict(given)).items() if each is not None}
    channel.check(body.settings, secrets)
    sealed = {name: services.sealer.seal(each) for name, each in secrets.items()}
    return AccountFact(account, body.channel, body.settings, sealed, body.queue, body.enabled)


@router.get("/channels/{account}")
async def get_account(account: Name, ctx: Ctx) -> Response:
    """One channel account, without its secrets."""
    fact = await _own_account(ctx, account)
    return Json(_account(fact), headers=tagged(fact))


@router.get("/channels")
async def list_accounts(ctx: Ctx, paging: Paged) -> Response:
    """All channel accounts, without their secrets."""
    ctx.principal.need("config:write", supervisor=True)
    items = [_account(each) for each in await ctx.services.queries.accounts(ctx.tenant)]
    return page_of(ctx, items, "account", paging)


@router.delete("/channels/{account}", status_code=204)
async def delete_account(account: Name, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Remove a channel account."""
    fact = await _own_account(ctx, account)
    await ctx.submit(jobs.Configure(commands.Note("channel.deleted", account), account_gone(fact), only_if))
    return Response(status_code=204)


def account_gone(fact: AccountFact) -> AccountFact:
    """An account that is no longer there."""
    return AccountFact(fact.name, fact.channel, {}, {}, None, enabled=False, deleted=True)


async def _own_account(ctx: Context, account: str) -> AccountFact:
    ctx.principal.need("config:write")
    found = await ctx.services.queries.account(account)
    if found is None or found[0] != ctx.tenant:
        raise NotFound(f"there is no channel account {account!r}")
    return found[1]
