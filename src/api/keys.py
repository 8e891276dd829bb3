"""Who may come in: API keys, the agent tokens that this service mints, and the trail of who changed what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from src.api.auth import new_key
from src.api.contacts import LIMIT_MAX
from src.api.context import Ctx, Cursor, Json, Paged, page_of
from src.api.routing import Router
from src.api.schemas import Id, KeyBody, RotateBody, TokenBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import CLOSE_CREDENTIAL
from src.dispatch import jobs
from src.dispatch.facts import Actor, Answer, AuditFact, KeyFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import InvalidState, NotFound
from src.router import commands
from src.router.state import State

router = Router(prefix="/v1", tags=["credentials"])


def _key(fact: KeyFact) -> views.Json:
    return {
        "id": fact.id,
        "name": fact.name,
        "scopes": list(fact.scopes),
        "requests_per_s": fact.requests_per_s,
        "created_at": views.rfc3339(fact.created_at),
        "previous_until": views.rfc3339(fact.previous_until),
        "revoked_at": views.rfc3339(fact.revoked_at),
    }


@forwardable
def _render_made(made: views.Json, _: object) -> tuple[int, views.Json]:
    return 201, made


@forwardable
def _render_rotated(sealed: str, fact: KeyFact) -> tuple[int, views.Json]:
    return 200, {**_key(fact), "sealed": sealed}


def _opened(ctx: Ctx, stored: Mapping[str, Any]) -> views.Json:
    """A stored answer with the key itself."""
    shown = {name: value for name, value in stored.items() if name != "sealed"}
    return {**shown, "key": ctx.services.sealer.open(stored["sealed"])}


@router.post("/keys", status_code=201)
async def post_key(body: KeyBody, ctx: Ctx) -> Response:
    """Make an API key. The key itself is in this answer and nowhere else."""
    ctx.principal.need("admin")
    services = ctx.services
    key, hashed = new_key()
    scopes = tuple(sorted(set(body.scopes)))
    now = services.clock.now_ms()
    fact = KeyFact(services.new_id(), hashed, body.name, scopes, now, requests_per_s=body.requests_per_s)
    made = {**_key(fact), "sealed": services.sealer.seal(key)}
    done = await ctx.once(jobs.Configure(commands.Note("key.updated", fact.id), fact), partial(_render_made, made))
    return Json(_opened(ctx, done.body if isinstance(done, Answer) else made), 201)


@router.get("/keys")
async def list_keys(ctx: Ctx, paging: Paged) -> Response:
    """All API keys, without the keys themselves."""
    ctx.principal.need("admin")
    return page_of(ctx, [_key(each) for each in await ctx.services.queries.keys(ctx.tenant)], "id", paging)


@router.post("/keys/{key_id}/rotate")
async def rotate_key(key_id: Id, ctx: Ctx, body: RotateBody | None = None) -> Response:
    """Give an API key a new secret, which is in this answer and nowhere else; id and scopes stay.

    The secret before is good for `overlap_s` more. Streams that were opened with the key are closed (4001): they say
    hello anew, with either.
    """
    ctx.principal.need("admin")
    key, hashed = new_key()
    overlap_s = (body or RotateBody()).overlap_s
    job = _Rotate(key_id, hashed, overlap_s, ctx.actor)
    done = await ctx.once(job, partial(_render_rotated, ctx.services.sealer.seal(key)))
    if isinstance(done, Answer):
        return Json(_opened(ctx, done.body))
    ctx.services.auth.forget(done.previous_hash or "")
    return Json({**_key(done), "key": key})


@router.delete("/keys/{key_id}", status_code=204)
async def delete_key(key_id: Id, ctx: Ctx) -> Response:
    """Revoke an API key: at once in this process, within five seconds in the others."""
    ctx.principal.need("admin")
    revoked = await ctx.submit(_Revoke(key_id, ctx.actor))
    for hashed in (revoked.hash, revoked.previous_hash):
        ctx.services.auth.forget(hashed or "")
    ctx.services.hub.close_credential(ctx.tenant, key_id, CLOSE_CREDENTIAL)
    return Response(status_code=204)


def _found(turn: Turn, key_id: str) -> KeyFact:
    found = turn.known.api_keys.get(key_id)
    if found is None:
        raise NotFound("there is no such key")
    return found


@forwardable
@dataclass(frozen=True, slots=True)
class _Rotate:
    """Give a key another hash; the one before is good for some seconds more."""

    key_id: str
    hash: str
    overlap_s: int
    by: Actor

    def wants(self, wanted: Wanted, _: State) -> None:
        """The key as it is stored."""
        wanted.api_keys.add(self.key_id)

    def run(self, turn: Turn) -> KeyFact:
        """Write it."""
        found = _found(turn, self.key_id)
        if found.revoked_at is not None:
            raise InvalidState("the key has been revoked", state="revoked")
        until = turn.now + self.overlap_s * 1000
        fact = replace(found, hash=self.hash, previous_hash=found.hash, previous_until=until)
        turn.decide(commands.Note("key.updated", self.key_id))
        turn.write(fact)
        turn.write(
            AuditFact(turn.new_id(), turn.now, self.by, "key.rotated", self.key_id, {"overlap_s": self.overlap_s})
        )
        return fact


@forwardable
@dataclass(frozen=True, slots=True)
class _Revoke:
    """End a key; one that has ended stays as it is."""

    key_id: str
    by: Actor

    def wants(self, wanted: Wanted, _: State) -> None:
        """The key as it is stored."""
        wanted.api_keys.add(self.key_id)

    def run(self, turn: Turn) -> KeyFact:
        """Write it."""
        found = _found(turn, self.key_id)
        if found.revoked_at is not None:
            return found
        fact = replace(found, revoked_at=turn.now)
        jobs.Configure(commands.Note("key.deleted", self.key_id), fact, by=self.by).run(turn)
        return fact


@router.post("/tokens", status_code=201)
async def post_token(body: TokenBody, ctx: Ctx) -> Response:
    """Mint a token, so that a desktop can be tried without an identity provider; a supervisor need be no agent."""
    ctx.principal.need("admin" if body.role == "supervisor" else "agents:write")
    if body.role == "agent" and await ctx.services.queries.agent(ctx.tenant, body.agent_id) is None:
        raise NotFound(f"there is no agent {body.agent_id!r}")
    issued_at_s = ctx.services.clock.now_ms() // 1000
    terms: dict[str, Any] = {
        "agent_id": body.agent_id,
        "role": body.role,
        "issued_at_s": issued_at_s,
        "ttl_s": body.ttl_s,
    }
    job = jobs.Remember(terms, ctx.actor, f"token.minted.{body.role}", body.agent_id)
    done = await ctx.once(job, partial(_render_made, terms))
    terms = dict(done.body) if isinstance(done, Answer) else terms
    token = await ctx.services.auth.mint(
        ctx.tenant, terms["agent_id"], terms["role"], terms["issued_at_s"], terms["ttl_s"]
    )
    expires_at = views.rfc3339((terms["issued_at_s"] + terms["ttl_s"]) * 1000)
    return Json({"token": token, "expires_at": expires_at}, 201)


@router.get("/audit")
async def list_audit(ctx: Ctx, cursor: Cursor, limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50) -> Response:
    """Who made, rotated and revoked keys, minted tokens and changed configuration; newest first, for 400 days."""
    ctx.principal.need("admin")
    page = await ctx.services.queries.audit(ctx.tenant, limit=limit, cursor=cursor)
    return Json({"items": [_line(each) for each in page.items], "next_cursor": ctx.following(page.next_cursor)})


def _line(fact: AuditFact) -> views.Json:
    return {
        "id": fact.id,
        "at": views.rfc3339(fact.at),
        "by": {"kind": fact.by.kind, "id": fact.by.id},
        "act": fact.act,
        "name": fact.name,
        **fact.more,
    }
