"""Pages for browsers as they lie in packages: read once, served under a strict policy, known again by their tag."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from fastapi import Request
from starlette.responses import Response

from src.errors import NotFound

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Part(NamedTuple):
    """A file: what is in it, its type, and the tag by which browsers know it again."""

    text: bytes
    kind: str
    tag: str


def read(files: Iterable[Traversable]) -> dict[str, Part]:
    """Those of the files that browsers are given, by name."""
    found = {}
    for each in files:
        kind = TYPES.get(f".{each.name.rpartition('.')[2]}")
        if kind is not None:
            text = each.read_bytes()
            found[each.name] = Part(text, kind, f'"{sha256(text).hexdigest()[:16]}"')
    return found


def served(parts: Mapping[str, Part], name: str, request: Request, policy: str = POLICY) -> Response:
    """One of them.

    Raises:
        NotFound: it is none of them.
    """
    if name not in parts:
        raise NotFound("the page has no such part")
    text, kind, tag = parts[name]
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": policy,
        "etag": tag,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type=kind)
