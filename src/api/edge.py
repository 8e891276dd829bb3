"""The edge, as plain ASGI: a body that is too large is refused unread, and no request goes unanswered."""

from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api import problems
from src.errors import BodyTooLarge, Internal, Refused

BODY_BYTES_MAX: Final = 1024 * 1024


_log = structlog.get_logger(__name__)


class Edge:
    """Refuses bodies over the limit with 413, by their announced length or as they come in; answers faults with 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > BODY_BYTES_MAX:
            await problems.response(_TOO_LARGE)(scope, receive, send)
            return
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > BODY_BYTES_MAX:
                    raise _TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        refusal: Refused
        try:
            await self._app(scope, counted, sending)
        except _TooLarge:
            refusal = _TOO_LARGE
        except Exception:  # noqa: BLE001  # whatever it is, the caller gets an answer and others go on
            _log.exception("request.failed", method=scope["method"], path=scope["path"])
            refusal = Internal("the service could not do this")
        else:
            return
        if not started:
            await problems.response(refusal)(scope, receive, send)


_TOO_LARGE: Final = BodyTooLarge(f"a body may have at most {BODY_BYTES_MAX} bytes")


class _TooLarge(BaseException):
    """Passes every handler on its way out to the limit; nobody else may catch it."""
