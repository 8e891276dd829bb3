"""What the service answers over REST, held against the OpenAPI document: nothing missing, unknown or of another kind.

Every answer that a test's `Client` gets is looked at.
"""

import re
from functools import cache
from typing import Any, Final

import httpx
import jsonschema_rs

from src.app.service import build_api


def closed(schema: Any) -> Any:
    """The same schema, but for unknown fields: there may be none."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(each) for name, each in schema.items()}
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


DOCUMENT: Final[Any] = build_api().openapi()
_CLOSED: Final = closed(DOCUMENT["components"])
_PATHS: Final = sorted(DOCUMENT["paths"], key=lambda path: (path.count("{"), path))
_PATTERNS: Final = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in _PATHS]


@cache
def _validator(operation: str, path: str, status: str, media_type: str) -> Any:
    """Of an answer; None where the document says of this kind only that there is one."""
    answers = DOCUMENT["paths"][path][operation]["responses"]
    assert status in answers, f"{operation} {path} answers {status}, and the document does not say so"
    found = answers[status]
    if "$ref" in found:
        found = DOCUMENT["components"]["responses"][found["$ref"].rsplit("/", 1)[-1]]
    content = found.get("content", {})
    if media_type not in content:
        assert "*/*" in content, f"{operation} {path} answers {media_type}, and the document does not say so"
        return None
    schema = content[media_type].get("schema")
    if schema is None:
        return None
    # Events are held against their own forms, one for each type: see `told`.
    strict = operation != "get" or path != "/v1/events"
    components = _CLOSED if strict else DOCUMENT["components"]
    whole = {**(closed(schema) if strict else schema), "components": components}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


async def look_at(answer: httpx.Response) -> None:
    """Fail where it is not what the document says. To be hooked into a client of httpx."""
    operation = answer.request.method.lower()
    path = next((each for pattern, each in _PATTERNS if pattern.fullmatch(answer.request.url.path)), None)
    if path is None or operation not in DOCUMENT["paths"][path] or not await answer.aread():
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    validator = _validator(operation, path, str(answer.status_code), media_type)
    for error in () if validator is None else validator.iter_errors(answer.json()):
        raise AssertionError(f"{operation} {path}: {list(error.instance_path)}: {error.message}")
