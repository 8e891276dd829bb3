"""Who comes in: the account, the page that asks, and the visitor. Every answer bears what the browser wants to see."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from src.api import problems
from src.api.context import Services, services
from src.channels.base import Account, Hosts
from src.channels.webchat.site import Site, site_of
from src.channels.webchat.tokens import Visitor
from src.errors import NotFound, Refused, StoreUnreachable, Unauthenticated, Unavailable, WrongOrigin

CHANNEL: Final = "webchat"
PREFLIGHT_S: Final = 600
_HEADERS: Final = "authorization, content-type, x-requested-with, x-ms-bot-agent"


@dataclass(frozen=True, slots=True)
class Place:
    """The account that a request is about, and who speaks for its channel."""

    services: Services
    channel: Hosts
    account: Account
    site: Site

    def insist_on_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse pages that may not do this. What is no page sends no origin, and needs a token all the same.

        Raises:
            WrongOrigin: the page is of another website.
        """
        origin = headers.get("origin")
        if origin is not None and origin not in self.site.origins:
            raise WrongOrigin("pages of this origin may not open a chat here")

    def visitor(self, token: str) -> Visitor:
        """Whose visit it is.

        Raises:
            Unauthenticated: a token that is not good here and now.
        """
        found = self.services
        visitor = found.visitor_tokens.read("visit", token, self.account.name, found.clock.now_ms())
        if visitor.tenant != self.account.tenant:
            raise Unauthenticated("the visitor token is for something else")
        return visitor


async def place_of(found: Services, name: str) -> Place:
    """The webchat account of this name.

    Raises:
        NotFound: there is none, or it is not in use.
    """
    channel, entry = found.channels.get(CHANNEL), await found.queries.account(name)
    if entry is None or entry[1].channel != CHANNEL or not entry[1].enabled or not isinstance(channel, Hosts):
        raise NotFound("there is no such channel account")
    tenant, fact = entry
    secrets = {each: found.sealer.open(sealed) for each, sealed in fact.secrets.items()}
    account = Account(tenant, fact.name, fact.channel, fact.settings, secrets, fact.queue)
    return Place(found, channel, account, site_of(fact.settings))


@dataclass(frozen=True, slots=True)
class Guest:
    """A visitor with a good token, at the account that it is for."""

    place: Place
    visitor: Visitor

    @property
    def services(self) -> Services:
        """The parts of the service."""
        return self.place.services

    @property
    def tenant(self) -> str:
        """The account's tenant."""
        return self.place.account.tenant


class VisitorRoute(APIRoute):
    """A route for browsers of other websites: the account's origins may read its answers, refusals too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, behind the check of account and origin."""
        endpoint = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                place = await place_of(services(request), request.path_params["account"])
                place.insist_on_origin(request.headers)
            except Refused as refusal:
                return problems.response(refusal)
            request.state.place = place
            try:
                answer = await endpoint(request)
            except Refused as refusal:
                answer = problems.response(refusal)
            except StoreUnreachable:
                answer = problems.response(Unavailable("the database cannot be reached"))
            except RequestValidationError as error:
                answer = problems.response(problems.malformed_from(error.errors()))
            return allowed(answer, request)

        return handler


def allowed(answer: Response, request: Request) -> Response:
    """The answer, for the page that asked: its origin has been looked at."""
    origin = request.headers.get("origin")
    if origin is not None:
        answer.headers["access-control-allow-origin"] = origin
        answer.headers["access-control-expose-headers"] = "retry-after"
    answer.headers["vary"] = "origin"
    return answer


def preflight(request: Request) -> Response:
    """What a browser asks before it asks."""
    headers = {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": _HEADERS,
        "access-control-max-age": str(PREFLIGHT_S),
    }
    return allowed(Response(status_code=204, headers=headers), request)


def place(request: Request) -> Place:
    """The place, as `VisitorRoute` found it."""
    found: Place = request.state.place
    return found


def bearer(request: Request) -> str:
    """The credential of a request.

    Raises:
        Unauthenticated: it has none.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Unauthenticated("a visitor token is needed: begin a session")
    return token.strip()


def guest(request: Request) -> Guest:
    """The visitor whose token came along."""
    here = place(request)
    return Guest(here, here.visitor(bearer(request)))


AnyPlace = Annotated[Place, Depends(place)]
AnyGuest = Annotated[Guest, Depends(guest)]
