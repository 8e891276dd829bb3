"""The OpenAPI document: what FastAPI makes of the endpoints, with credential, problems, headers and examples added."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from src.api import answered
from src.api.asyncapi import event_schemas
from src.api.examples import BODIES
from src.api.problems import MEDIA_TYPE, codes

Json = dict[str, Any]

_PAGE: Final[Json] = {
    "type": "object",
    "required": ["items", "next_cursor"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next_cursor": {"type": ["string", "null"], "description": "null: it was the last page"},
    },
}

_SECONDS: Final[Json] = {"schema": {"type": "integer", "minimum": 0}, "description": "in so many seconds"}
_TEXT: Final[Json] = {"schema": {"type": "string"}}
_LIMITS: Final[Json] = {
    "RateLimit": {**_TEXT, "description": "what the credential and the tenant may still ask for, and when all of it"},
    "RateLimit-Policy": {**_TEXT, "description": "so many requests in so many seconds"},
}
_TAG: Final[Json] = {"ETag": {**_TEXT, "description": "the version of what is configured: for If-Match"}}
_HEADERS: Final[Mapping[int, Json]] = {
    401: {"WWW-Authenticate": _TEXT},
    429: {"Retry-After": _SECONDS},
    503: {"Retry-After": _SECONDS},
}

_IDEMPOTENCY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key with the same body gets the first answer again, for 24 h",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}

_ALSO: Final[Mapping[str, tuple[int, ...]]] = {
    "post_contact": (200,),
    "post_message": (200,),
    "post_visitor_message": (200,),
    "follow_up_contact": (200,),
    "post_collaboration": (200,),
    "post_session": (200,),
    "list_events": (410,),
    "post_media": (415,),
    "post_visitor_file": (415,),
    "readyz": (503,),
}
"""What an operation answers beside what is true of all that are like it."""

_EXPLAINED: Final[Mapping[str, str]] = {
    "account": "the account's name",
    "after": "the number of the last event, message or delivery that you have: what is behind it is answered",
    "agent_id": "the agent's id",
    "assignment_id": "the offer's id, and the assignment's that it becomes",
    "channel": "the channel's name",
    "collaboration_id": "the id of the help",
    "conflict_id": "the conflict's id",
    "contact_id": "the contact's id",
    "conversation": "also the messages of the other contacts of this conversation",
    "conversation_id": "the conversation's id",
    "cursor": "`next_cursor` of the page before; left out: the first page",
    "customer_id": "the customer's id; one that was merged stands for the customer that it was merged into",
    "department": "the department's name",
    "from": "from when on, RFC 3339",
    "id": "the browser's own id of the message: sent twice, it is kept once",
    "key_id": "the key's id, which is no secret",
    "limit": "so many at most",
    "link": "what the link that was made ends with",
    "media_id": "the file's id",
    "message_id": "the message's id",
    "name": "the name",
    "other_id": "the other customer's id",
    "queue": "the queue's name",
    "refresh": "ask the other systems anew",
    "rest": "what follows in the address, of channels that have several",
    "settled": "those that a person has settled; else those that wait for one",
    "state": "only those in this state",
    "tag": "only those with this tag",
    "type": "the identity's type: `phone`, `email`, …",
    "until": "until when, RFC 3339",
    "value": "the identity's value",
    "wait_s": "so many seconds the answer waits for something to answer with",
    "watermark": "as it was in the answer before",
    "webhook_id": "the webhook's name",
}
"""What a parameter is, where the endpoint does not say it of its own."""

_OTHER_CONTENT: Final[Mapping[str, str]] = {
    "get_media": "*/*",
    "get_visitor_file": "*/*",
    "native_check": "*/*",
    "native_push": "*/*",
    "metrics": "text/plain",
}
"""What is no JSON."""

_PAGES: Final[Mapping[str, tuple[int, ...]]] = {"get_progress": (200, 404, 410)}
"""What is answered to browsers as a page, and with which statuses; to programs as to all others."""

_PAGE_CONTENT: Final[Json] = {"text/html": {}}

_REFUSED: Final = 400
_EMPTY: Final = 204
_LOOKS: Final = ("explain_routing",)
"""A POST that changes nothing: asked again, it looks again."""

_FREE: Final = ("/healthz", "/readyz", "/metrics")


def install(api: FastAPI) -> None:
    """Describe the application so."""

    def document() -> Json:
        if api.openapi_schema is None:
            api.openapi_schema = _completed(
                get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
            )
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign]  # how FastAPI is told


def _completed(found: Json) -> Json:
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    forms = {"Page": _PAGE, **event_schemas(), **answered.forms()}
    configured = answered.configured()
    assert not (schemas.keys() | configured.keys()) & forms.keys(), "two things must not bear the same name"
    components["schemas"] = schemas = {**configured, **schemas, **forms}
    components["responses"] = {f"Problem{status}": _refusal(status, names) for status, names in codes().items()}
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`cb_…`) or an agent token (JWT)."}
    }
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return found


def _refusal(status: int, names: list[str]) -> Json:
    own = {"properties": {"status": {"const": status}, "code": {"enum": names}}}
    return {
        "description": f"A problem: {', '.join(f'`{each}`' for each in names)}",
        "headers": _HEADERS.get(status, {}),
        "content": {MEDIA_TYPE: {"schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, own]}}},
    }


def _complete(path: str, method: str, operation: Json) -> None:
    name, responses = operation["operationId"], operation["responses"]
    ours = path.startswith("/v1/")
    parameters = operation.get("parameters", [])
    versioned = any(each["name"].lower() == "if-match" for each in parameters)
    if ours:
        operation["security"] = [{"bearer": []}]
    if ours and method == "post" and name not in _LOOKS:
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)
    for each in parameters:
        if each["name"] in _EXPLAINED:
            each.setdefault("description", _EXPLAINED[each["name"]])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and name in BODIES:
        body["example"] = BODIES[name]
    also = {*_ALSO.get(name, ()), *(int(each) for each in responses if each.startswith("2"))}
    refusals = set() if path in _FREE else _refusals(path, method, operation, versioned=versioned)
    responses.clear()
    for status in sorted(also | refusals):
        if status >= _REFUSED and path not in _FREE:
            responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
            if status in _PAGES.get(name, ()):
                shown = _refusal(status, codes()[status])
                responses[str(status)] = {**shown, "content": {**shown["content"], **_PAGE_CONTENT}}
            continue
        headers = (_LIMITS if ours else {}) | (_TAG if versioned or _is_versioned(path, method) else {})
        responses[str(status)] = {"description": "Done" if status == _EMPTY else "The answer", "headers": headers}
        if status != _EMPTY:
            responses[str(status)]["content"] = _content(name)


_VERSIONED: Final = (
    "queues",
    "tags",
    "rules",
    "pilots",
    "departments",
    "agents",
    "channels",
    "connectors",
    "webhooks",
    "common-problems",
    "rosters",
)


def _is_versioned(path: str, method: str) -> bool:
    """Whether it reads a piece of configuration that has a version."""
    parts = path.split("/")
    named = len(parts) == 4 and parts[2] in _VERSIONED  # noqa: PLR2004
    return method == "get" and (named or path in ("/v1/settings", "/v1/configuration", "/v1/token-trust"))


def _content(name: str) -> Json:
    if name in _OTHER_CONTENT:
        return {_OTHER_CONTENT[name]: {}}
    schema = answered.schema_of(name)
    if name.startswith("list_"):
        page = {"$ref": answered.REF.format(name="Page")}
        more = {"last_seq": {"type": "integer"}} if name == "list_events" else {}
        schema = {"allOf": [page, {"properties": {"items": {"items": schema}, **more}}]}
    return {"application/json": {"schema": schema}} | (_PAGE_CONTENT if name in _PAGES else {})


def _refusals(path: str, method: str, operation: Json, *, versioned: bool) -> set[int]:
    """The statuses of what may be refused, by what the operation takes and does."""
    found = {401, 403, 422, 429, 503}
    if "{" in path:
        found.add(404)
    if method != "get":
        found |= {404, 409, 410}
    if "requestBody" in operation or method == "post":
        found.add(413)
    if versioned:
        found.add(412)
    if "/customers" in path or "contacts/{" in path or "media" in path or path.startswith(("/channels", "/p/")):
        found |= {404, 409, 410}
    if path.startswith(("/channels", "/p/")):
        found |= {413}
    return found
