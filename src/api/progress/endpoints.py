"""Making a link to a customer's progress, and what it shows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Request
from starlette.responses import Response

from src.api import problems
from src.api.configuration import tenant_settings
from src.api.contacts import readable
from src.api.context import Ctx, Json, Services, services
from src.api.progress import page
from src.api.progress.links import Link
from src.api.routing import Router
from src.api.schemas import Id, ProgressLinkBody
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import encode
from src.dispatch import jobs
from src.dispatch.config import milliseconds
from src.dispatch.facts import Answer
from src.dispatch.orders import NO_OUTLOOK
from src.errors import Gone, NotFound, Refused
from src.router.entities import COLLABORATION_COLUMNS, CONTACT_COLUMNS, Row
from src.store.customers import CustomerQueries
from src.store.queries import ContactRead

router = Router()

MATTERS_MAX: Final = 20
"""So many open matters are shown, the newest."""

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": page.POLICY,
    "referrer-policy": "no-referrer",
    "vary": "accept, accept-language",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}

_STATES: Final = {
    "waiting": "waiting",
    "offered": "waiting",
    "active": "active",
    "parked": "parked",
    "wrap_up": "ending",
    "closed": "closed",
}
"""A contact's state, as its customer is told."""


@router.post("/v1/contacts/{contact_id}/progress-link", tags=["contacts"], status_code=201)
async def post_progress_link(contact_id: Id, ctx: Ctx, body: ProgressLinkBody | None = None) -> Response:
    """Make a link under which the customer sees how things stand, without any credential, until it expires.

    `path` is below the service's public address. The link is to be sent to nobody but the customer.
    """
    body = body or ProgressLinkBody()
    if ctx.principal.role != "agent":
        ctx.principal.need("contacts:write", supervisor=True)
    await readable(ctx, contact_id)
    await _whose(ctx.services, ctx.tenant, contact_id)
    now_s = ctx.services.clock.now_ms() // 1000
    terms = {"made_at_s": now_s, "expires_at_s": now_s + body.ttl_s}
    if "idempotency-key" in ctx.request.headers:
        done = await ctx.once(jobs.Remember(terms), partial(_render_terms, terms))
        terms = dict(done.body) if isinstance(done, Answer) else terms
    link = Link(ctx.tenant, contact_id, body.matters == "open", **terms)
    text = ctx.services.progress_links.make(link)
    return Json({"path": f"/p/{text}", "expires_at": views.rfc3339(link.expires_at_s * 1000)}, 201)


@forwardable
def _render_terms(terms: views.Json, _: object) -> tuple[int, views.Json]:
    """When the link was made and ends: it can be made again of that, and is kept nowhere."""
    return 201, terms


@router.get("/p/{link}", tags=["contacts"])
async def get_progress(link: str, request: Request) -> Response:
    """How a customer's matters stand: a page in Chinese or English, or JSON for whoever asks for that.

    It says what the customer knows anyway: channel, times, state, place in the queue, and what was promised.
    """
    found = services(request)
    asked = request.headers.get("accept", "")
    as_json = "application/json" in asked and "text/html" not in asked
    lang = page.language(request.headers.get("accept-language"), page.LANGUAGES[0])
    try:
        found.paces.looks.take((link[:128],))
        opened = found.progress_links.read(link, found.clock.now_ms())
        settings = (await tenant_settings(found, opened.tenant)).progress
        if settings.links_since is not None and opened.made_at_s * 1000 < milliseconds(settings.links_since):
            raise Gone("the link was revoked")
        shown = await _progress(found, opened)
    except Refused as error:
        answer = problems.response(error)
        if not as_json and isinstance(error, NotFound | Gone):
            answer = _page(page.gone(lang), lang, answer.status_code)
        answer.headers.update(_HEADERS)
        return answer
    if as_json:
        return Response(encode(shown), 200, _HEADERS, "application/json")
    return _page(page.progress(shown, ZoneInfo(settings.time_zone), lang), lang, 200)


def _page(html: str, lang: str, status: int) -> Response:
    return Response(html, status, {**_HEADERS, "content-language": lang}, "text/html")


async def _whose(found: Services, tenant: str, contact_id: str) -> tuple[ContactRead, list[str]]:
    """A contact, and the customers who are one with whom it came as.

    Raises:
        Gone: the customer was erased.
    """
    contact = await found.queries.contact(tenant, contact_id)
    if contact is None or contact.fact is None:
        raise Gone("there is no such contact any more")
    members = await CustomerQueries(found.queries).members(tenant, _column(contact, "customer_id"))
    if not members:
        raise Gone("there is no such customer any more")
    return contact, [each.id for each in members]


async def _progress(found: Services, link: Link) -> views.Json:
    contact, members = await _whose(found, link.tenant, link.contact_id)
    matters = [contact]
    if link.all_open:
        theirs = await CustomerQueries(found.queries).contacts(link.tenant, members)
        others = (each for each in theirs if _column(each, "closed_at") is None)
        matters += [each for each in others if each.contact[0] != link.contact_id]
    matters = matters[:MATTERS_MAX]
    waiting = [each.contact[0] for each in matters if _column(each, "state") == "waiting"]
    outlook = await found.owner.outlook(link.tenant, waiting)
    return {
        "as_of": views.rfc3339(found.clock.now_ms()),
        "expires_at": views.rfc3339(link.expires_at_s * 1000),
        "matters": [_matter(each, *outlook.get(each.contact[0], NO_OUTLOOK)) for each in matters],
    }


def _column(read: ContactRead, name: str) -> Any:  # noqa: ANN401  # any column
    return read.contact[CONTACT_COLUMNS.index(name)]


def _matter(read: ContactRead, position: int | None, wait: Any) -> views.Json:  # noqa: ANN401  # an estimate or None
    value: Mapping[str, Any] = dict(zip(CONTACT_COLUMNS, read.contact, strict=True))
    return {
        "channel": value["channel"],
        "state": _STATES[value["state"]],
        "opened_at": views.rfc3339(value["created_at"]),
        "promised_at": views.rfc3339(value["parked_until"]) if value["state"] == "parked" else None,
        "closed_at": views.rfc3339(value["closed_at"]),
        "position": position,
        **views.estimate(wait),
        "collaborations": _helps(read.collaborations),
    }


def _helps(rows: Sequence[Row]) -> list[views.Json]:
    """What was promised with help that is asked for or given; who helps is no matter of the customer's."""
    values = [dict(zip(COLLABORATION_COLUMNS, each, strict=True)) for each in rows]
    return [
        {
            "state": each["state"],
            "answer_by": views.rfc3339(each["feedback_by"]) if each["state"] == "requested" else None,
            "news_by": views.rfc3339(each["lead_by"]),
            "solution_by": views.rfc3339(each["solution_by"]),
        }
        for each in values
    ]
