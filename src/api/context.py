"""What every endpoint is handed: the parts of the service, who is asking, and the way into the tenant's loop."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, cast

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.api.auth import Authenticator, Principal
from src.api.door import Door
from src.api.limits import Limits
from src.api.progress.links import ProgressLinks
from src.api.webchat.pace import Paces
from src.api.webchat.presence import Presence
from src.api.webchat.waiting import Waiting
from src.channels.base import Channel
from src.channels.webchat.tokens import VisitorTokens
from src.connectors.service import Connectors
from src.delivery.hub import Hub, encode
from src.dispatch.config import SETTINGS_NAME, settings_config
from src.dispatch.facts import Actor, Answer
from src.dispatch.jobs import Configure
from src.dispatch.owner import Owner
from src.dispatch.ports import Clock, Store
from src.dispatch.turn import Job, Once, Repeated
from src.dispatch.versions import ANY, Precondition, Versioned, version
from src.errors import BadCursor, Malformed, StartupError, UnknownParameter
from src.profile.identities import Identity, needs_region
from src.profile.masking import masked
from src.router.model import Settings
from src.store.callbook import CallBook
from src.store.contents import Contents
from src.store.queries import Queries
from src.store.reports import Reports
from src.store.seal import Sealer
from src.store.visits import Visits

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
CONDITION_CHARS_MAX: Final = 1_024
CURSOR_CHARS_MAX: Final = 2_048

_TAG: Final = re.compile(r'(W/)?"([!#-~\x80-\xff]*)"')
_TAGS: Final = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))+")

_HIDDEN_IN: Final = "cordboard.hidden_in"
"""In a request's scope: what `hidden_in` says of who asked."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that endpoints use. Made by `app/service.py`, kept in `app.state.services`.

    `sends` tells whether this service sends what goes out there (tenant, channel, account); else a gateway does.
    `show_typing` shows a customer (tenant, channel, account, identity) that somebody types, or no longer.
    `redis_answers` is there where a Redis is configured: it carries hints alone, so it is asked for the health only.
    """

    owner: Owner
    store: Store
    queries: Queries
    hub: Hub
    clock: Clock
    new_id: Callable[[], str]
    auth: Authenticator
    limits: Limits
    sealer: Sealer
    channels: Mapping[str, Channel]
    door: Door
    visitor_tokens: VisitorTokens
    paces: Paces
    waiting: Waiting
    presence: Presence
    visits: Visits
    contents: Contents
    call_book: CallBook
    sends: Callable[[str, str, str], Awaitable[bool]]
    show_typing: Callable[[str, str, str, str, bool], Awaitable[None]]
    connectors: Connectors
    progress_links: ProgressLinks
    reports: Reports
    redis_answers: Callable[[], Awaitable[bool]] | None = None


async def default_region(found: Services, tenant: str) -> str:
    """Where the tenant's telephone numbers without a country code are read (ISO 3166)."""
    return (await settings_of(found, tenant)).default_region


async def region_for(found: Services, tenant: str, identities: Iterable[Identity]) -> str | None:
    """The same, to read these identities; None: they read the same anywhere, and the store was not asked."""
    if found.owner.settings(tenant) is not None or any(map(needs_region, identities)):
        return await default_region(found, tenant)
    return None


async def settings_of(found: Services, tenant: str) -> Settings:
    """The tenant's settings: those that its loop goes by, or as they are stored where another process serves it."""
    return await stored_settings(found.queries, tenant, found.owner.settings(tenant))


async def stored_settings(queries: Queries, tenant: str, held: Settings | None) -> Settings:
    """The tenant's settings: `held`, those that its loop in this process goes by, or as they are stored."""
    if held is not None:
        return held
    stored = await queries.config_one(tenant, "settings", SETTINGS_NAME)
    return Settings() if stored is None else settings_config(SETTINGS_NAME, stored)


def services(request: Request) -> Services:
    """The services of this application."""
    found: Services = request.app.state.services
    return found


@dataclass(frozen=True, slots=True)
class Context:
    """One authenticated request."""

    request: Request
    services: Services
    principal: Principal

    @property
    def tenant(self) -> str:
        """The tenant of the credential."""
        return self.principal.tenant

    @property
    def actor(self) -> Actor:
        """Who asks, for the audit trail."""
        role: Any = self.principal.role
        return Actor(role or "key", self.principal.id)

    def following(self, key: str | None, of: str | None = None) -> str | None:
        """The cursor behind the last item of a page, by that item's key; None: there is no further page.

        It is sealed: it says nothing to whoever has it, and nobody makes one up. `of` is the address of the list, where
        it is not the one that was asked.
        """
        if key is None:
            return None
        list_ = of or self.request.scope["route"].path
        return self.services.sealer.seal(json.dumps([list_, self.tenant, key]))

    def _signed(self, job: Job[T]) -> Job[T]:
        """The job; a change of configuration with the name of whoever asks for it."""
        asked: Any = job
        if isinstance(asked, Configure):
            asked = replace(asked, by=self.actor)
        return cast("Job[T]", asked)

    async def submit(self, job: Job[T]) -> T:
        """Run a job in the tenant's loop."""
        result = await self.services.owner.submit(self.tenant, self._signed(job))
        assert not isinstance(result, Repeated)
        return result

    async def once(self, job: Job[T], render: Callable[[T], tuple[int, Mapping[str, Any]]]) -> T | Answer:
        """Run a job under the request's idempotency key, if it has one; a repeat gives the stored answer instead.

        `render` makes what is stored: a status and a body of ids and codes, no personal data. Where another process
        serves the tenant it runs there: it is `forwardable`, as the job is.
        """
        job = self._signed(job)
        key = self.request.headers.get("idempotency-key")
        if key is None:
            own = Once(f"command {self.services.new_id()}", "", render, given=False)
            result = await self.services.owner.submit(self.tenant, job, own)
            return result.answer if isinstance(result, Repeated) else result
        if not key or len(key) > IDEMPOTENCY_KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
            raise Malformed(f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters")
        request = self.request
        scope = encode([self.principal.role or "key", self.principal.id, request.method, request.url.path, key])
        body_hash = sha256(await request.body()).hexdigest()
        once = Once(sha256(scope).hexdigest(), body_hash, render)
        result = await self.services.owner.submit(self.tenant, job, once)
        return result.answer if isinstance(result, Repeated) else result


async def hidden_in(found: Services, principal: Principal, shown: Settings | None = None) -> str | None:
    """Where the numbers are read that this caller does not see (ISO 3166); None: it sees them whole.

    `shown` are settings that are good enough where another process serves the tenant: so no store is asked.
    """
    if principal.role is None:
        return None
    settings = found.owner.settings(principal.tenant) or shown or await settings_of(found, principal.tenant)
    return settings.default_region if principal.role in settings.masked_for else None


async def context(request: Request) -> Context:
    """Authenticate a request. What answers it is masked for whoever sees no numbers.

    Raises:
        Unauthenticated: no credential, or a bad one.
        RateLimited: it asks for too much.
        UnknownParameter: it asks for something that is not there.
        Malformed: it asks for the same thing twice.
    """
    found = services(request)
    principal = await found.auth.bearer(request.headers.get("authorization"))
    found.limits.take(principal, request.scope)
    request.scope[_HIDDEN_IN] = await hidden_in(found, principal)
    if request.scope["query_string"]:
        _insist_on_known(request)
    return Context(request, found, principal)


def _insist_on_known(request: Request) -> None:
    route: APIRoute = request.scope["route"]
    known = _KNOWN.get(route.unique_id)
    if known is None:
        known = _KNOWN[route.unique_id] = frozenset(_query_parameters(route.dependant))
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        there_are = ", ".join(sorted(known)) or "none"
        raise UnknownParameter(f"there is no such query parameter here; there are: {there_are}", unknown=unknown[:20])
    times = Counter(name for name, _ in request.query_params.multi_items())
    if times and max(times.values()) > 1:
        raise Malformed("a query parameter is given once", field=max(times, key=times.__getitem__))


_KNOWN: Final[dict[str, frozenset[str]]] = {}
"""The names of the query parameters of each operation that was asked for some."""


def _query_parameters(dependant: Dependant) -> set[str]:
    return {each.alias for each in dependant.query_params}.union(*map(_query_parameters, dependant.dependencies))


Ctx = Annotated[Context, Depends(context)]


def conditions(
    if_match: Annotated[
        str | None, Header(max_length=CONDITION_CHARS_MAX, description="only if this is still its `ETag`")
    ] = None,
    if_none_match: Annotated[Literal["*"] | None, Header(description="only if there is none of this name yet")] = None,
) -> Precondition | None:
    """What a change of configuration depends on; None: on nothing.

    Raises:
        Malformed: `If-Match` holds no entity tags.
    """
    if if_match is None:
        return None if if_none_match is None else Precondition(absent=True)
    if if_match.strip() == ANY:
        return Precondition((ANY,), absent=if_none_match is not None)
    found = _TAG.findall(if_match)
    if not found or _TAGS.fullmatch(if_match) is None:
        raise Malformed('If-Match must be entity tags, such as "5f1b…", or *', field="if-match")
    # One that is weak (W/) never matches: it may stand for more than one version.
    return Precondition(tuple(tag for weak, tag in found if not weak), absent=if_none_match is not None)


OnlyIf = Annotated[Precondition | None, Depends(conditions)]


def tagged(fact: Versioned | None) -> dict[str, str]:
    """The headers that say which version of a piece of configuration is shown."""
    return {"etag": f'"{version(fact)}"'}


def _cursor(ctx: Ctx, cursor: Annotated[str | None, Query(max_length=CURSOR_CHARS_MAX)] = None) -> str | None:
    if cursor is None:
        return None
    try:
        list_, tenant, key = json.loads(ctx.services.sealer.open(cursor))
    except StartupError:
        list_, tenant, key = "", "", ""
    if (list_, tenant) != (ctx.request.scope["route"].path, ctx.tenant):
        raise BadCursor("cursor must be the `next_cursor` of a page of this list", field="cursor")
    return str(key)


Cursor = Annotated[str | None, Depends(_cursor)]
"""The key of the last item of the page before, out of the cursor that it was answered with; None: the first page."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list is asked for: `limit` None, all of it; `cursor` None, from its beginning."""

    limit: int | None
    cursor: str | None


def _paging(
    cursor: Cursor,
    limit: Annotated[int | None, Query(ge=1, le=1_000, description="all, where it is left out")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]


def page_of(ctx: Context, items: Sequence[Mapping[str, Any]], key: str, paging: Paging) -> "Json":
    """One page of a list that is short enough to be read whole; its items are in the order of `key`."""
    rest = [each for each in items if paging.cursor is None or each[key] > paging.cursor]
    shown = rest[: paging.limit]
    return Json({"items": shown, "next_cursor": ctx.following(shown[-1][key] if len(shown) < len(rest) else None)})


class Json(Response):
    """A JSON answer. On its way out it is masked, if whoever asked sees no numbers: no endpoint can forget it."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:  # noqa: ANN401
        super().__init__(content, status_code, headers)
        self._content, self._given = content, headers

    def render(self, content: Any) -> bytes:  # noqa: ANN401  # any JSON value
        """Encode."""
        return encode(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send."""
        region = scope.get(_HIDDEN_IN)
        shown = self if region is None else Json(masked(self._content, region), self.status_code, self._given)
        await Response.__call__(shown, scope, receive, send)
