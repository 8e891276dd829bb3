"""The requests that come with every contact, below FastAPI's request machinery, which costs much of their time.

Only what is plainly good is served here, by the endpoints' own functions. Anything else, and whatever the body does not
validate with, goes on to FastAPI as if nothing had been read, so that each error is said in one place.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import metrics
from src.api import contacts, problems
from src.api.context import Context, context
from src.api.schemas import BatchBody, ContactBody
from src.errors import Refused, StoreUnreachable, Unavailable

_JSON: Final = (b"application/json", b"application/json; charset=utf-8")

_ENDPOINTS: Final[dict[str, tuple[type[BaseModel], Callable[[Any, Context], Awaitable[Response]]]]] = {
    "/v1/contacts": (ContactBody, contacts.post_contact),
    "/v1/contacts:batch": (BatchBody, contacts.post_contacts),
}


class Intake:
    """Serves contacts that are posted, and passes everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        plain = scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]
        if not plain or scope["path"] not in _ENDPOINTS:
            await self._app(scope, receive, send)
            return
        model, endpoint = _ENDPOINTS[scope["path"]]
        messages = await _whole(receive)
        body = b"".join(each.get("body", b"") for each in messages)

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        request = Request(scope, again)
        posted = _validated(model, scope, body)
        if posted is None:
            await self._app(scope, again, send)
            return
        try:
            with metrics.INTAKE_S.time():
                answer = await endpoint(posted, await context(request))
        except Refused as refusal:
            answer = problems.response(refusal)
        except StoreUnreachable:
            answer = problems.response(Unavailable("the database cannot be reached"))
        await answer(scope, again, send)


async def _whole(receive: Receive) -> list[Message]:
    """Everything up to the end of the body."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _validated(model: type[BaseModel], scope: Scope, body: bytes) -> BaseModel | None:
    """The body, if it is plainly good JSON of this model."""
    if dict(scope["headers"]).get(b"content-type", b"").lower() not in _JSON:
        return None
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None
