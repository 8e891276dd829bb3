"""The edge, as plain ASGI: what is too large or too much is refused unread, and no request goes unanswered."""

from collections import Counter
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import metrics
from src.api import problems
from src.api.limits import HEADERS
from src.dispatch.admission import Admission
from src.dispatch.clock import SystemClock
from src.dispatch.media import MEDIA_BYTES_MAX
from src.errors import BodyTooLarge, Internal, Overloaded, Refused

BODY_BYTES_MAX: Final = 1024 * 1024
MEDIA: Final = "/v1/media"
VISITORS_FILES: Final = "/files"
VISITORS_BYTES_MAX: Final = 5 * 1024 * 1024
"""Strangers hand in less at a time than agents."""

MEDIA_WEIGHED_BYTES: Final = 1024 * 1024
"""A file that is handed in counts as one request more for so many bytes: it is not parsed."""

WAIT_S: Final = 0.25
"""What comes in from customers is refused when it would take longer than this to serve it."""

REQUESTS_FIRST: Final = 500
REQUESTS_LEAST: Final = 128
"""Requests that are let in while the rate is not known, and however low it is."""

PRESSING: Final = 2.0
"""Everything else frees the service of work, or looks at it: so many times as much of it may be inside."""

WEIGHED_BYTES: Final = 4 * 1024
"""A body of so many bytes counts as one request more."""

INTAKE: Final = ("/v1/contacts", "/v1/contacts:batch")
NATIVE: Final = "/channels/"
POLLS: Final = "/commands"
"""Where telephone systems wait for what is to be done."""

AGAIN: Final = frozenset({429, 503})
"""Answers that say: come back."""

FREE: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""What operators look at most when there is too much to do."""

_log = structlog.get_logger(__name__)


class Edge:
    """Refuses bodies over the limit with 413, and with 503 what could not be served soon; answers faults with 500.

    When there is too much to do, those who ask for more than their share of it are refused first. Whose requests are
    whose is told by the credential, unread: what it is worth is for others to find out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._admission = Admission(SystemClock(), wait_s=WAIT_S, first=REQUESTS_FIRST, least=REQUESTS_LEAST)
        self._callers: Counter[bytes] = Counter()
        metrics.EXPECTED_WAIT_S.set_function(self._admission.expected_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if there is room for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        length = int(announced) if announced.isdigit() else 0
        bytes_max = _bytes_max(scope["path"])
        if length > bytes_max:
            await problems.response(_too_large(bytes_max))(scope, receive, send)
            return
        if scope["path"] in FREE or b"wait_s=" in scope["query_string"] or _polls(scope["path"]):
            await self._pass(scope, receive, send)  # what waits for news costs nothing while it waits
            return
        caller, weight = (
            headers.get(b"authorization") or scope["path"].encode(),
            1 + length // (WEIGHED_BYTES if bytes_max == BODY_BYTES_MAX else MEDIA_WEIGHED_BYTES),
        )
        if not self._has_room(scope, caller, weight):
            metrics.TURNED_AWAY.labels("edge").inc()
            retry_after_s = self._admission.turn_away()
            refusal = Overloaded("there is more to do than can be done soon", retry_after_s=retry_after_s)
            await problems.response(refusal)(scope, receive, send)
            return
        self._admission.enter(weight)
        self._callers[caller] += weight
        served = False

        async def noticing(message: Message) -> None:
            nonlocal served
            if message["type"] == "http.response.start":
                served = message["status"] not in AGAIN
            await send(message)

        try:
            await self._pass(scope, receive, noticing)
        finally:
            self._admission.leave(weight, served=served)
            self._callers[caller] -= weight
            if not self._callers[caller]:
                del self._callers[caller]

    def _has_room(self, scope: Scope, caller: bytes, weight: int) -> bool:
        admission, path = self._admission, scope["path"]
        if scope["method"] == "POST" and (path in INTAKE or path.startswith(NATIVE)):
            if admission.fits(weight):
                return True
            # Whoever has less inside than an equal share is let in all the same.
            modest = self._callers[caller] + weight <= admission.limit() / (len(self._callers) + 1)
            return modest and admission.fits(weight, share=PRESSING)
        return admission.fits(weight, share=PRESSING)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body counted."""
        seen, started = 0, False
        bytes_max = _bytes_max(scope["path"])

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > bytes_max:
                    raise _TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            if HEADERS in scope and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *scope[HEADERS]]
            await send(message)

        refusal: Refused
        try:
            await self._app(scope, counted, sending)
        except _TooLarge:
            refusal = _too_large(bytes_max)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:  # noqa: BLE001  # whatever it is, the caller gets an answer and others go on
            _log.exception("request.failed", method=scope["method"], route=route_of(scope))
            refusal = Internal("the service could not do this")
        else:
            return
        if not started:
            await problems.response(refusal)(scope, receive, send)


def route_of(scope: Scope) -> str | None:
    """The template that a request's path fits, which names nobody; None where there is none."""
    path: str = scope["path"]
    if path in INTAKE:
        return path
    found: Any = scope.get("route")
    return getattr(found, "path", None)


def _polls(path: str) -> bool:
    return path.startswith(NATIVE) and path.endswith(POLLS)


def _bytes_max(path: str) -> int:
    if path == MEDIA:
        return MEDIA_BYTES_MAX
    return VISITORS_BYTES_MAX if path.startswith(NATIVE) and path.endswith(VISITORS_FILES) else BODY_BYTES_MAX


def _too_large(bytes_max: int) -> Refused:
    return BodyTooLarge(f"a body may have at most {bytes_max} bytes")


class _TooLarge(BaseException):
    """Passes every handler on its way out to the limit; nobody else may catch it."""
