"""The outermost layer where requests are traced, as plain ASGI: a span for each, below the caller's `traceparent`."""

from typing import Final

from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import tracing
from src.api.edge import FREE, route_of

_FAULT: Final = 500


class Traced:
    """Begins a span for each request. It says the route and never the path, which may name a person.

    Of the caller's trace context `traceparent` is taken; `tracestate` is anything at all, and is not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its span."""
        if scope["type"] != "http" or scope["path"] in FREE:
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        given = dict(scope["headers"]).get(tracing.TRACEPARENT.encode(), b"").decode("latin-1")
        with tracing.span(method, given, kind=SpanKind.SERVER) as span:
            if span is None:  # it was switched off meanwhile
                await self._app(scope, receive, send)
                return

            async def noticing(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _FAULT:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, noticing)
            route = route_of(scope)
            span.set_attribute("http.request.method", method)
            if route is not None:
                span.set_attribute("http.route", route)
                span.update_name(f"{method} {route}")
