"""The edge, as plain ASGI: what is too large or too much is refused unread, and no request goes unanswered."""

import asyncio
from collections import Counter
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import metrics
from src.api import problems
from src.api.limits import HEADERS
from src.dispatch.admission import Admission, batch_weight
from src.dispatch.clock import SystemClock
from src.dispatch.media import MEDIA_BYTES_MAX
from src.errors import BodyTooLarge, Internal, Malformed, Overloaded, Refused

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

BATCH_WEIGHT_MAX: Final = REQUESTS_LEAST // 2
"""A batch counts as its contacts do, but as no more requests than this: more would keep others out."""

BODY_S_MAX: Final = 15.0
BODY_BYTES_PER_S_MIN: Final = 8 * 1024
"""A body may take so long to come, and longer where so many bytes of it come in a second."""

ARRIVING_BYTES_MAX: Final = 128 * 1024 * 1024
"""What has come of bodies that are not complete. Those that come in one piece need none of it."""

BATCH: Final = "/v1/contacts:batch"
CONTACT: Final = b'"channel"'
"""Stands in each contact, and in no text: quotation marks in it are escaped."""

INTAKE: Final = ("/v1/contacts", BATCH)
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

    A request takes its place when its body is there: whoever announces much and sends little keeps nobody out.

    When there is too much to do, those who ask for more than their share of it are refused first. Whose requests are
    whose is told by the credential, unread: what it is worth is for others to find out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._admission = Admission(SystemClock(), wait_s=WAIT_S, first=REQUESTS_FIRST, least=REQUESTS_LEAST)
        self._callers: Counter[bytes] = Counter()
        self._arriving = 0
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
        caller, weight = headers.get(b"authorization") or scope["path"].encode(), _weight(length, bytes_max)
        if not self._has_room(scope, caller, weight):
            await self._turn_away(scope, receive, send)
            return
        if length or b"transfer-encoding" in headers:
            body = await self._taken_in(scope, receive, send, bytes_max)
            if body is None:
                return
            receive, weight = _again(body, receive), _weight(len(body), bytes_max)
            if scope["path"] == BATCH:
                weight = max(weight, min(batch_weight(body.count(CONTACT)), BATCH_WEIGHT_MAX))
            if not self._has_room(scope, caller, weight):
                await self._turn_away(scope, receive, send)
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

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics.TURNED_AWAY.labels("edge").inc()
        retry_after_s = self._admission.turn_away()
        refusal = Overloaded("there is more to do than can be done soon", retry_after_s=retry_after_s)
        await problems.response(refusal)(scope, receive, send)

    async def _taken_in(self, scope: Scope, receive: Receive, send: Send, bytes_max: int) -> bytes | None:
        """A body as it was sent; None where it was refused, or its sender has gone away."""
        try:
            return await self._arrived(receive, bytes_max)
        except Refused as refusal:
            answer = problems.response(refusal)
            if isinstance(refusal, Malformed):  # whoever is still sending would not hear it if we hung up
                answer.headers["connection"] = "close"
            await answer(scope, receive, send)
            return None

    async def _arrived(self, receive: Receive, bytes_max: int) -> bytes | None:
        """A body as it was sent; None where its sender has gone away.

        Raises:
            BodyTooLarge: it is larger than it may be, or than it was announced.
            Malformed: it does not come in time.
            Overloaded: too much of others' has come and is not complete.
        """
        loop = asyncio.get_running_loop()
        chunks: list[bytes] = []
        size, began_s = 0, loop.time()
        try:
            while True:
                async with asyncio.timeout_at(began_s + BODY_S_MAX + size / BODY_BYTES_PER_S_MIN):
                    message = await receive()
                if message["type"] != "http.request":
                    return None
                chunk = message.get("body", b"")
                if size + len(chunk) > bytes_max:
                    raise _too_large(bytes_max)
                if not message.get("more_body", False):
                    return b"".join((*chunks, chunk)) if chunks else chunk
                if self._arriving + len(chunk) > ARRIVING_BYTES_MAX:
                    raise Overloaded("too many bodies are on their way", retry_after_s=self._admission.turn_away())
                chunks.append(chunk)
                size += len(chunk)
                self._arriving += len(chunk)
        except TimeoutError as error:
            raise Malformed("the body did not come in time") from error
        finally:
            self._arriving -= size

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


def _weight(length: int, bytes_max: int) -> int:
    return 1 + length // (WEIGHED_BYTES if bytes_max == BODY_BYTES_MAX else MEDIA_WEIGHED_BYTES)


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives a body that is there already, then what else comes."""
    given = False

    async def receives() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receives


def _too_large(bytes_max: int) -> Refused:
    return BodyTooLarge(f"a body may have at most {bytes_max} bytes")


class _TooLarge(BaseException):
    """Passes every handler on its way out to the limit; nobody else may catch it."""
