"""The wallboard at `/wallboard`: contacts on their way to agents, live, and why each went where it went.

A page of plain modules over the public API alone: `GET /v1/agents`, `/v1/contacts`, `/v1/stats`, the stream, and a
contact's trace. It needs a supervisor's token or a key of the scopes `contacts:read`, `agents:read` and `events:read`,
which it keeps for as long as its tab is open.

    page/state.js   what there is, and what each event does to it: pure
    page/main.js    the credential, the stream, what is asked for
    page/draw.js    from the state to the page
    page/why.js     a contact's trace in words
    page/words.js   Chinese and English
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from src.errors import NotFound

router = APIRouter(include_in_schema=False)

PAGE: Final = files("src.api.wallboard") / "page"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def parts() -> dict[str, tuple[bytes, str, str]]:
    """The page's files by name: the text, its type, and the tag by which browsers know it again."""
    found = {}
    for each in PAGE.iterdir():
        kind = TYPES.get(f".{each.name.rpartition('.')[2]}")
        if kind is not None:
            text = each.read_bytes()
            found[each.name] = (text, kind, f'"{sha256(text).hexdigest()[:16]}"')
    return found


@router.get("/wallboard")
async def wallboard() -> Response:
    """To where the page's own addresses are relative to."""
    return RedirectResponse("wallboard/", status_code=308)


@router.get("/wallboard/")
async def get_page(request: Request) -> Response:
    """The page."""
    return await get_part("index.html", request)


@router.get("/wallboard/{name}")
async def get_part(name: str, request: Request) -> Response:
    """What it is made of."""
    if name not in parts():
        raise NotFound("the wallboard has no such part")
    text, kind, tag = parts()[name]
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": POLICY,
        "etag": tag,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type=kind)
