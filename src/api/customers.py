"""Customers: the unified view, what may be changed of it, who is who, and what people have to settle."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from starlette.responses import Response

from src.api.contacts import Limit, identity_of, region
from src.api.context import Context, Ctx, Cursor, Json
from src.api.privacy import missing
from src.api.routing import Router
from src.api.schemas import (
    ConflictVerdict,
    CustomerPatch,
    Id,
    IdentifyBody,
    MergeBody,
    ReviewBody,
    SatisfactionBody,
    UnmergeBody,
)
from src.cluster.wire import forwardable
from src.delivery import views
from src.dispatch import customers as jobs
from src.dispatch.facts import Answer, ConflictFact, RatingFact, ReviewFact
from src.dispatch.turn import Job
from src.errors import Forbidden, Gone, NotFound
from src.profile.identities import Identity, normalised, plain
from src.store.customers import CustomerQueries, CustomerRead, Moment
from src.store.queries import ContactRead

router = Router(prefix="/v1", tags=["customers"])


TIMELINE: Final = "/v1/customers/{customer_id}/timeline"
"""Where the timeline of a view goes on."""


def shown(ctx: Context, found: CustomerRead) -> views.Json:
    """The unified view: who it is, and what happened over every channel, newest first.

    What other systems know is as it is at hand; where that is not fresh, it is asked for by then.
    """
    customer_id = found.customer.id
    contacts = [_contact(each, customer_id) for each in found.contacts]
    still_open = [each for each in contacts if each["state"] != "closed"]
    last = next((each["assignment"] for each in contacts if _was_accepted(each)), None)
    count, mean = found.ratings
    return {
        **views.customer(found.customer, ctx.services.connectors.known(ctx.tenant, found.customer.id)),
        "identities": [
            {
                "type": each.type,
                "value": plain(each.value, each.scope),
                "scope": each.scope or None,
                "display_name": each.display_name,
                "strong": each.strong,
                "customer_id": each.customer_id,
                "seen_at": views.rfc3339(each.created_at),
            }
            for each in found.identities
        ],
        "merged_from": [
            {"id": each.id, **views.public(each.merged)} for each in found.members if each.merged is not None
        ],
        "suggestions": [
            {
                "customer_id": each.customer_id,
                "identities": [{"type": kind, "value": value} for kind, value in each.identities],
            }
            for each in found.suggestions
        ],
        "conflicts": [conflict(each) for each in found.conflicts],
        "last_agent_id": None if last is None else last["agent_id"],
        "last_contacts": [_in_short(each) for each in contacts[: views.LAST_CONTACTS]],
        "contacts": contacts,
        "open_contacts": still_open,
        "open_collaborations": [help_ for each in still_open for help_ in each["collaborations"]],
        "satisfaction": {"rated": count, "mean": mean},
        "timeline": {
            "items": [_moment(each, customer_id) for each in found.timeline.items],
            "next_cursor": ctx.following(found.timeline.next_cursor, TIMELINE),
        },
    }


def _contact(each: ContactRead, customer_id: str) -> views.Json:
    return views.contact(
        each.contact, each.fact, each.assignment, collaborations=each.collaborations, customer_id=customer_id
    )


def _in_short(contact: views.Json) -> views.Json:
    """A contact as offers tell of the last ones."""
    short = {name: contact[name] for name in ("id", "channel", "created_at", "tags", "outcome")}
    return {
        **short,
        "open": contact["state"] != "closed",
        "agent_id": contact["assignment"]["agent_id"] if _was_accepted(contact) else contact["previous_agent_id"],
    }


def _was_accepted(contact: views.Json) -> bool:
    return contact["assignment"] is not None and contact["assignment"]["accepted_at"] is not None


def _moment(each: Moment, customer_id: str) -> views.Json:
    """A contact of the timeline, with what was said in it."""
    return {
        **_contact(each.contact, customer_id),
        "messages": [views.message(said) for said in each.messages],
        "more_messages": each.more,
        "repeat": None if each.review is None else {"tags": each.review.tags, "earlier": each.review.earlier},
        "satisfaction": None if each.rating is None else rating(each.rating),
    }


def rating(fact: RatingFact) -> views.Json:
    """How satisfied the customer was with a contact."""
    return {
        "contact_id": fact.contact_id,
        "score": fact.score,
        "comment": fact.comment,
        "by": fact.by,
        "at": views.rfc3339(fact.at),
    }


def conflict(fact: ConflictFact) -> views.Json:
    """Two customers of whom it is not clear whether they are one."""
    return {
        "id": fact.id,
        "customer_ids": [fact.customer_id, fact.other_id],
        "kind": fact.kind,
        "contact_id": fact.contact_id,
        "at": views.rfc3339(fact.at),
        "settled_at": views.rfc3339(fact.settled_at),
        "settled_by": fact.settled_by,
        "verdict": fact.verdict,
    }


def review(fact: ReviewFact, contact: ContactRead | None = None) -> views.Json:
    """A contact that is to be looked at, and why."""
    seen = None
    if contact is not None:
        seen = _contact(contact, contact.customer_id or fact.customer_id)
    return {
        "contact_id": fact.contact_id,
        "kind": fact.kind,
        "customer_id": fact.customer_id if seen is None else seen["customer_id"],
        "tags": list(fact.tags),
        "earlier": list(fact.earlier),
        "at": views.rfc3339(fact.at),
        "settled_at": views.rfc3339(fact.settled_at),
        "settled_by": fact.settled_by,
        "note": fact.note,
        "contact": seen,
    }


# -- reading -----------------------------------------------------------------------------------------------------------


@router.get("/customers:lookup")
async def lookup_customer(
    ctx: Ctx,
    type: Annotated[str, Query(max_length=64)],  # noqa: A002  # the contract's word
    value: Annotated[str, Query(max_length=256)],
    account: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """A customer by one of its identities; `account` for those that mean something only at one account."""
    ctx.principal.need("contacts:read", supervisor=True)
    identity = normalised(Identity(type, value), account=account, default_region=await region(ctx))
    found = await _people(ctx).by_identity(ctx.tenant, *identity.key)
    if found is None:
        raise NotFound("no customer has this identity")
    return Json(shown(ctx, found))


@router.get("/customers/{customer_id}")
async def get_customer(customer_id: Id, ctx: Ctx) -> Response:
    """The unified view of a customer; of one that was merged into another, the other's, which says so.

    An agent sees the customers whose contacts it has before it.
    """
    await _may_see(ctx, customer_id)
    return Json(await _read(ctx, customer_id))


@router.get("/customers/{customer_id}/timeline")
async def get_timeline(customer_id: Id, ctx: Ctx, cursor: Cursor, limit: Limit = 20) -> Response:
    """Contacts over every channel, newest first, each with its newest messages and what came of it."""
    await _may_see(ctx, customer_id)
    members = await _people(ctx).members(ctx.tenant, customer_id)
    if not members:
        raise await missing(ctx, customer_id)
    ids = [each.id for each in members]
    page = await _people(ctx).timeline(ctx.tenant, ids, limit=limit, cursor=cursor)
    return Json(
        {"items": [_moment(each, ids[0]) for each in page.items], "next_cursor": ctx.following(page.next_cursor)}
    )


async def _may_see(ctx: Context, customer_id: str) -> None:
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:read", supervisor=True)
    elif not await _people(ctx).is_with(ctx.tenant, customer_id, ctx.principal.id):
        raise Forbidden("no contact of this customer is with you")


@asynccontextmanager
async def _there(ctx: Context, *customer_ids: str) -> AsyncIterator[None]:
    """Say of a customer that is not there whether it was erased."""
    try:
        yield
    except NotFound:
        for each in customer_ids:
            why = await missing(ctx, each)
            if isinstance(why, Gone):
                raise why from None
        raise


def _people(ctx: Context) -> CustomerQueries:
    return CustomerQueries(ctx.services.queries)


async def _read(ctx: Context, customer_id: str) -> views.Json:
    found = await _people(ctx).customer(ctx.tenant, customer_id)
    if found is None:
        raise await missing(ctx, customer_id)
    return shown(ctx, found)


# -- changing ----------------------------------------------------------------------------------------------------------


@router.patch("/customers/{customer_id}")
async def patch_customer(customer_id: Id, body: CustomerPatch, ctx: Ctx) -> Response:
    """Change tier, preferred agent, attributes or tags; what is left out stays.

    Contacts of the customer that wait are judged anew, as far as they stand as they came.
    """
    ctx.principal.need("contacts:write", supervisor=True)
    changes = body.model_dump(exclude_unset=True)
    if "tags" in changes:
        changes["tags"] = tuple(changes["tags"] or ())
    if changes.get("attributes", {}) is None:
        changes["attributes"] = {}
    async with _there(ctx, customer_id):
        family = await _people(ctx).members(ctx.tenant, customer_id)
        others = tuple(each.id for each in family if each.id != customer_id)
        await ctx.submit(jobs.PatchCustomer(customer_id, changes, others))
    return Json(await _read(ctx, customer_id))


@router.post("/customers/{customer_id}/identities")
async def post_identity(customer_id: Id, body: IdentifyBody, ctx: Ctx) -> Response:
    """Say that a customer has an identity. A proven one that another customer has makes the two one.

    Where something speaks against that, there is a conflict instead, for a person to settle: see `conflicts`. An agent
    says so of the customers whose contacts it has before it; it can only say what was typed in.
    """
    if ctx.principal.role == "agent":
        await _may_see(ctx, customer_id)
        if body.proven:
            raise Forbidden("an agent cannot say that an identity is proven")
    else:
        ctx.principal.need("contacts:write", supervisor=True)
    said = identity_of(body)
    identity = normalised(said, account=body.account, default_region=await region(ctx), vouched=False)
    return await _who_is_who(ctx, jobs.Identify(customer_id, identity, ctx.principal.id), customer_id)


@router.post("/customers/{customer_id}/merge")
async def merge_customers(customer_id: Id, body: MergeBody, ctx: Ctx) -> Response:
    """Merge another customer into this one. It can be undone; its id goes on to answer, with this customer.

    Contacts of either that wait are judged anew, by what is known of both.
    """
    ctx.principal.need("contacts:write", supervisor=True)
    return await _merged(ctx, customer_id, body.customer_id, "requested")


@router.post("/customers/{customer_id}/unmerge")
async def unmerge_customer(customer_id: Id, body: UnmergeBody, ctx: Ctx) -> Response:
    """Undo the merge that brought a customer into this one; answered with what is left of this one.

    The other has its own again: its identities, and the contacts that came by them, whenever they came.
    """
    ctx.principal.need("contacts:write", supervisor=True)
    return await _who_is_who(
        ctx, jobs.Unmerge(customer_id, body.customer_id, ctx.principal.id), customer_id, body.customer_id
    )


@router.post("/customers/{customer_id}/suggestions/{other_id}/accept")
async def accept_suggestion(customer_id: Id, other_id: Id, ctx: Ctx) -> Response:
    """The two are one: the other is merged into this one."""
    ctx.principal.need("contacts:write", supervisor=True)
    return await _merged(ctx, customer_id, other_id, "suggested")


@router.post("/customers/{customer_id}/suggestions/{other_id}/dismiss")
async def dismiss_suggestion(customer_id: Id, other_id: Id, ctx: Ctx) -> Response:
    """The two are not one: it is not suggested again, and nothing but a person's word makes them one."""
    ctx.principal.need("contacts:write", supervisor=True)
    return await _who_is_who(ctx, jobs.Dismiss(customer_id, other_id, ctx.principal.id), customer_id, other_id)


async def _merged(ctx: Context, customer_id: str, other_id: str, reason: Literal["requested", "suggested"]) -> Response:
    conflicts = await _people(ctx).conflicts_between(ctx.tenant, customer_id, other_id)
    job = jobs.Merge(customer_id, other_id, ctx.principal.id, reason, conflicts)
    return await _who_is_who(ctx, job, customer_id, other_id)


async def _who_is_who(ctx: Context, job: Job[str], *customer_ids: str) -> Response:
    async with _there(ctx, *customer_ids):
        done = await ctx.once(job, _render_id)
    return Json(await _read(ctx, str(done.body["id"]) if isinstance(done, Answer) else done))


@forwardable
def _render_id(customer_id: str) -> tuple[int, Mapping[str, Any]]:
    return 200, {"id": customer_id}


# -- what people have to settle ----------------------------------------------------------------------------------------


@router.get("/customer-conflicts")
async def list_conflicts(ctx: Ctx, cursor: Cursor, *, settled: bool = False, limit: Limit = 50) -> Response:
    """Pairs of customers of whom identities say that they are one, and something else that they are not."""
    ctx.principal.need("contacts:read", supervisor=True)
    page = await _people(ctx).conflicts(ctx.tenant, settled=settled, limit=limit, cursor=cursor)
    return Json({"items": [conflict(each) for each in page.items], "next_cursor": ctx.following(page.next_cursor)})


@router.post("/customer-conflicts/{conflict_id}/settle")
async def settle_conflict(conflict_id: Id, body: ConflictVerdict, ctx: Ctx) -> Response:
    """Say whether the two are one: `merge` the second into the first, or keep them `apart`."""
    ctx.principal.need("contacts:write", supervisor=True)
    found = await _people(ctx).conflict(ctx.tenant, conflict_id)
    if found is None:
        raise NotFound("there is no such conflict")
    pair = (found.customer_id, found.other_id)
    job = jobs.SettleConflict(conflict_id, pair, body.verdict, ctx.principal.id)
    done = await ctx.once(job, _render_conflict)
    return Json(done.body if isinstance(done, Answer) else conflict(done))


@forwardable
def _render_conflict(fact: ConflictFact) -> tuple[int, views.Json]:
    return 200, conflict(fact)


@router.get("/reviews")
async def list_reviews(ctx: Ctx, cursor: Cursor, *, settled: bool = False, limit: Limit = 50) -> Response:
    """Contacts that people who watch over quality are to look at, newest first: repeats."""
    ctx.principal.need("contacts:read", supervisor=True)
    page = await _people(ctx).reviews(ctx.tenant, settled=settled, limit=limit, cursor=cursor)
    return Json({"items": [review(*each) for each in page.items], "next_cursor": ctx.following(page.next_cursor)})


@router.post("/reviews/{contact_id}/settle")
async def settle_review(contact_id: Id, ctx: Ctx, body: ReviewBody | None = None) -> Response:
    """Say that a contact has been looked at, and what was found."""
    ctx.principal.need("contacts:write", supervisor=True)
    note = None if body is None else body.note
    done = await ctx.once(jobs.SettleReview(contact_id, "repeat", note, ctx.principal.id), _render_review)
    return Json({**done.body, "note": note} if isinstance(done, Answer) else review(done))


@forwardable
def _render_review(fact: ReviewFact) -> tuple[int, views.Json]:
    """Without what somebody wrote: a repeat brings it along."""
    return 200, review(replace(fact, note=None))


@router.put("/contacts/{contact_id}/satisfaction")
async def put_satisfaction(contact_id: Id, body: SatisfactionBody, ctx: Ctx) -> Response:
    """Keep how satisfied the customer was with a contact, as a gateway or a survey was told. The last word counts."""
    ctx.principal.need("contacts:write")
    return Json(rating(await ctx.submit(jobs.Rate(contact_id, body.score, body.comment, ctx.principal.id))))
