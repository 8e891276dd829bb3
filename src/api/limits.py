"""The edge's limits, as plain ASGI: a body that is too large is refused before anything reads it whole."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api import problems
from src.errors import BodyTooLarge

BODY_BYTES_MAX: Final = 1024 * 1024


class BodyLimit:
    """Refuses bodies over the limit with 413, by their announced length or as they come in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body counted."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > BODY_BYTES_MAX:
            await self._refuse(scope, receive, send)
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

        try:
            await self._app(scope, counted, sending)
        except _TooLarge:
            if not started:
                await self._refuse(scope, receive, send)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
        error = BodyTooLarge(f"a body may have at most {BODY_BYTES_MAX} bytes")
        await problems.response(error)(scope, receive, send)


class _TooLarge(BaseException):
    """Passes every handler on its way out to the limit; nobody else may catch it."""
