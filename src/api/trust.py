"""Whose agent tokens a tenant takes: those that this service mints, and those of its own identity provider."""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from starlette.responses import Response

from src.api.auth import CURRENT, PREVIOUS
from src.api.context import Context, Ctx, Json, OnlyIf, tagged
from src.api.routing import Router
from src.api.schemas import RotateBody, TrustBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import TOKEN_TRUST
from src.dispatch import jobs
from src.dispatch.facts import Answer, TrustFact
from src.dispatch.versions import Precondition, version
from src.errors import Conflict, NotFound, PreconditionFailed
from src.router import commands

router = Router(prefix="/v1/token-trust", tags=["credentials"])

SECRET_BYTES: Final = 32
TRIES: Final = 20
"""So often what is stored is read again, where others change it at the same time."""

T = TypeVar("T")
Submit = Callable[[jobs.Configure], Awaitable[T]]
Change = Callable[[TrustFact], tuple[TrustFact, Submit[T]]]
PREVIOUS_UNTIL: Final = "previous_until"


def _shown(ctx: Context, fact: TrustFact) -> views.Json:
    body = TrustBody.model_validate({name: each for name, each in fact.body.items() if name != PREVIOUS_UNTIL})
    until = fact.body.get(PREVIOUS_UNTIL)
    return {"tenant": ctx.tenant, **body.model_dump(), "previous_secret_until": views.rfc3339(until)}


_DEFAULT: Final = TrustFact(TrustBody().model_dump())
"""What holds where nothing was put."""


async def _changed(ctx: Context, change: Change[T], only_if: Precondition | None = None) -> T:
    """Change what is stored: to what `change` makes of it, and as it has that done.

    What is not said stays as it was: so where somebody else changes it meanwhile, it is read again.
    """
    for _ in range(TRIES):
        stored = await ctx.services.queries.token_trust(ctx.tenant)
        if only_if is not None:
            only_if.check(stored, default=True)
        fact, submit = change(stored or _DEFAULT)
        note, unchanged = commands.Note("settings.updated", TOKEN_TRUST), Precondition((version(stored),))
        try:
            return await submit(jobs.Configure(note, fact, unchanged, tenant=ctx.tenant))
        except PreconditionFailed:
            continue
        finally:
            ctx.services.auth.forget_trust(ctx.tenant)
    raise Conflict("others change it at the same time: try again")


@router.get("")
async def get_token_trust(ctx: Ctx) -> Response:
    """Which agent tokens are taken. `tenant` is what tokens of other issuers must hold in the claim of that name."""
    ctx.principal.need("admin")
    stored = await ctx.services.queries.token_trust(ctx.tenant)
    return Json(_shown(ctx, stored or _DEFAULT), headers=tagged(stored))


@router.put("")
async def put_token_trust(body: TrustBody, ctx: Ctx, only_if: OnlyIf) -> Response:
    """Say which algorithms are taken, and where the keys of an identity provider are. Open streams say hello anew."""
    ctx.principal.need("admin")
    if body.jwks_url is not None:
        ctx.services.auth.key_sets.check(body.jwks_url)

    def change(before: TrustFact) -> tuple[TrustFact, Submit[TrustFact]]:
        until = before.body.get(PREVIOUS_UNTIL)
        fact = TrustFact({**body.model_dump(), PREVIOUS_UNTIL: until}, before.secrets)

        async def submit(job: jobs.Configure) -> TrustFact:
            await ctx.submit(job)
            return fact

        return fact, submit

    fact = await _changed(ctx, change, only_if)
    return Json(_shown(ctx, fact), headers=tagged(fact))


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
    tenant = await services.queries.tenant(ctx.tenant)
    if tenant is None:
        raise NotFound("there is no such tenant")
    first = tenant.jwt_secret
    secret = secrets.token_urlsafe(SECRET_BYTES)
    sealed = services.sealer.seal(secret)
    until = services.clock.now_ms() + (body or RotateBody()).overlap_s * 1000
    made: dict[str, str] = {"previous_secret_until": views.rfc3339(until) or "", "sealed": sealed}

    def change(before: TrustFact) -> tuple[TrustFact, Submit[object]]:
        kept = {CURRENT: sealed, PREVIOUS: before.secrets.get(CURRENT, first)}
        fact = TrustFact({**before.body, PREVIOUS_UNTIL: until}, kept)
        return fact, lambda job: ctx.once(job, partial(_render_rotated, made))

    done = await _changed(ctx, change)
    shown = dict(done.body) if isinstance(done, Answer) else made
    return Json(
        {
            "secret": services.sealer.open(shown["sealed"]),
            "previous_secret_until": shown["previous_secret_until"],
        }
    )
