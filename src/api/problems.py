"""Errors as RFC 9457 problem documents: one table from error classes to statuses, and the handlers that use it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from src import errors
from src.delivery.hub import encode

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[dict[type[errors.Refused], int]] = {
    errors.Malformed: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.CursorExpired: 410,
    errors.PreconditionFailed: 412,
    errors.BodyTooLarge: 413,
    errors.UnwantedFile: 415,
    errors.Internal: 500,
    errors.TenantOverloaded: 429,
    errors.TooFast: 429,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
}
"""A subclass has the status of the nearest class above it."""

_NO_SUCH_METHOD: Final = 405
_HTTP_CODES: Final = {404: "not_found", _NO_SUCH_METHOD: "method_not_allowed"}
_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_NO_JSON: Final = "json_invalid"


def status_of(error: errors.Refused) -> int:
    """The HTTP status of an error."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def codes() -> dict[int, list[str]]:
    """Every code by its status, in order: what there is to be refused with."""
    found: dict[int, set[str]] = {}
    for status, code, _ in _explained():
        found.setdefault(status, set()).add(code)
    return {status: sorted(found[status]) for status in sorted(found)}


def _explained() -> list[tuple[int, str, str]]:
    """Status, code and meaning of everything that there is to be refused with, in this order."""
    found = {(405, "method_not_allowed"): ["The address is there, and takes no such method."]}
    waiting: list[type[errors.Refused]] = list(errors.Refused.__subclasses__())
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        status = next(STATUS[base] for base in each.__mro__ if base in STATUS)
        meaning = " ".join((each.__doc__ or "").split("\n\n")[0].split())
        found.setdefault((status, each.code), []).append(meaning)
    return [(*key, " Or: ".join(sorted(meanings))) for key, meanings in sorted(found.items())]


def page() -> str:
    """The page that lists every code, in Markdown."""
    lines = [f"| {status} | `{code}` | {meaning} |" for status, code, meaning in _explained()]
    return "\n".join([_PAGE_HEAD, *lines, ""])


_PAGE_HEAD: Final = """\
# Problems

Whatever is refused is answered with `application/problem+json` (RFC 9457): `type`, `title`, `status`, `code`, `detail`,
and beside them what helps to mend it (`field`, `errors`, `state`, …). `code` is stable: programs go by it. `detail` is
for people, and may change. `429` and `503` say in `Retry-After` when to come back; nothing was done then, or the repeat
finds what was.

This page is made from the code by `make openapi`.

| status | code | meaning |
|---|---|---|"""


def problem(error: errors.Refused) -> dict[str, Any]:
    """The problem document of an error; `code` is stable, `detail` is for people."""
    status = status_of(error)
    return {
        "type": f"https://cordboard.dev/problems/{error.code}",
        "title": error.code.replace("_", " "),
        "status": status,
        "code": error.code,
        "detail": error.detail,
        **error.extra,
    }


def response(error: errors.Refused) -> Response:
    """The error as an HTTP answer."""
    headers = {}
    if isinstance(error, errors.Unavailable):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return Response(encode(problem(error)), status_of(error), headers, MEDIA_TYPE)


def install(app: FastAPI, identify: Callable[[Request], Awaitable[object]]) -> None:
    """Answer every error of the application with a problem document.

    A body that is no JSON is noticed before it is known who sent it: `identify` says so, or refuses.
    """

    @app.exception_handler(errors.Refused)
    async def refused(_: Request, error: errors.Refused) -> Response:  # handlers are awaited
        return response(error)

    @app.exception_handler(errors.StoreUnreachable)
    async def unreachable(_: Request, _error: errors.StoreUnreachable) -> Response:
        return response(errors.Unavailable("the database cannot be reached"))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if any(each["type"] == _NO_JSON for each in found):
            return await no_json(request)
        if found[0]["loc"] == ("body",) and not _says_json(request):
            return response(errors.Malformed("the body must be JSON, with content-type: application/json"))
        return response(malformed_from(found))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:  # noqa: PLR2004  # the body could not be parsed at all
            return await no_json(request)
        code = _HTTP_CODES.get(error.status_code, "http_error")
        headers = (
            {"allow": ", ".join(_methods(app, request))} if error.status_code == _NO_SUCH_METHOD else error.headers
        )
        body = {"type": f"https://cordboard.dev/problems/{code}", "title": code.replace("_", " ")}
        body |= {"status": error.status_code, "code": code, "detail": error.detail}  # type: ignore[dict-item]
        return Response(encode(body), error.status_code, headers, MEDIA_TYPE)

    async def no_json(request: Request) -> Response:
        if request.url.path.startswith("/v1/"):
            try:
                await identify(request)
            except errors.Refused as refusal:
                return response(refusal)
        return response(errors.Malformed("the body is not valid JSON"))


def _says_json(request: Request) -> bool:
    return "json" in request.headers.get("content-type", "")


def _methods(app: FastAPI, request: Request) -> list[str]:
    """What the address takes: each route knows only of its own."""
    routes = app.router.routes
    return [
        method
        for method in _METHODS
        if any(each.matches({**request.scope, "method": method})[0] is Match.FULL for each in routes)
    ]


def malformed_from(found: Any) -> errors.Malformed:  # noqa: ANN401  # pydantic's list of error dictionaries
    """One error that names every field that is wrong, at most twenty; never what was sent."""
    fields = [{"field": field_path(each["loc"]), "reason": each["msg"]} for each in found[:20]]
    first = fields[0] if fields else {"field": "body", "reason": "is malformed"}
    return errors.Malformed(f"{first['field']}: {first['reason']}", errors=fields)


_ALTERNATIVES: Final = frozenset({"constrained-int", "constrained-str", "SkillBody", "TagBody"})
"""What pydantic calls the alternatives of a value that may be one thing or another: no part of what was sent."""


def field_path(location: tuple[Any, ...]) -> str:
    """Where in a body something is wrong: `tags.0.level`."""
    parts = [str(each) for each in location if each != "body" and each not in _ALTERNATIVES]
    return ".".join(parts) or "body"
