"""Whose agent tokens a tenant takes: those that this service mints, and those of its own identity provider."""

import secrets
from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from src.api.auth import CURRENT, PREVIOUS
from src.api.context import Context, Ctx, Json
from src.api.schemas import RotateBody, TrustBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import TOKEN_TRUST
from src.dispatch import jobs
from src.dispatch.ports import Answer, TrustFact
from src.errors import NotFound
from src.router import commands

router = APIRouter(prefix="/v1/token-trust", tags=["credentials"])

SECRET_BYTES: Final = 32
PREVIOUS_UNTIL: Final = "previous_until"


def _shown(ctx: Context, fact: TrustFact) -> views.Json:
    body = TrustBody.model_validate({name: each for name, each in fact.body.items() if name != PREVIOUS_UNTIL})
    until = fact.body.get(PREVIOUS_UNTIL)
    return {"tenant": ctx.tenant, **body.model_dump(), "previous_secret_until": views.rfc3339(until)}


async def _stored(ctx: Context) -> TrustFact:
    return await ctx.services.queries.token_trust(ctx.tenant) or TrustFact(TrustBody().model_dump())


@router.get("")
async def get_token_trust(ctx: Ctx) -> Response:
    """Which agent tokens are taken. `tenant` is what tokens of other issuers must hold in the claim of that name."""
    ctx.principal.need("admin")
    return Json(_shown(ctx, await _stored(ctx)))


@router.put("")
async def put_token_trust(body: TrustBody, ctx: Ctx) -> Response:
    """Say which algorithms are taken, and where the keys of an identity provider are. Open streams say hello anew."""
    ctx.principal.need("admin")
    if body.jwks_url is not None:
        ctx.services.auth.key_sets.check(body.jwks_url)
    before = await _stored(ctx)
    until = before.body.get(PREVIOUS_UNTIL)
    fact = TrustFact({**body.model_dump(), PREVIOUS_UNTIL: until}, before.secrets)
    await ctx.submit(jobs.Configure(commands.Note("settings.updated", TOKEN_TRUST), fact))
    ctx.services.auth.forget_trust(ctx.tenant)
    return Json(_shown(ctx, fact))


@forwardable
def _render_rotated(answer: views.Json, _: object) -> tuple[int, views.Json]:
    return 200, answer


@router.post("/rotate")
async def rotate_token_secret(ctx: Ctx, body: RotateBody | None = None) -> Response:
    """Make a new secret for tokens by HS256. It is in this answer and nowhere else: for an issuer of your own.

    The secret before is good for `overlap_s` more.
    """
    ctx.principal.need("admin")
    services = ctx.services
    before, tenant = await _stored(ctx), await services.queries.tenant(ctx.tenant)
    if tenant is None:
        raise NotFound("there is no such tenant")
    secret = secrets.token_urlsafe(SECRET_BYTES)
    sealed = services.sealer.seal(secret)
    until = services.clock.now_ms() + (body or RotateBody()).overlap_s * 1000
    kept = {CURRENT: sealed, PREVIOUS: before.secrets.get(CURRENT, tenant.jwt_secret)}
    fact = TrustFact({**before.body, PREVIOUS_UNTIL: until}, kept)
    job = jobs.Configure(commands.Note("settings.updated", TOKEN_TRUST), fact)
    made: dict[str, str] = {"previous_secret_until": views.rfc3339(until) or "", "sealed": sealed}
    done = await ctx.once(job, partial(_render_rotated, made))
    services.auth.forget_trust(ctx.tenant)
    shown = dict(done.body) if isinstance(done, Answer) else made
    return Json(
        {
            "secret": services.sealer.open(shown["sealed"]),
            "previous_secret_until": shown["previous_secret_until"],
        }
    )
