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
from importlib.resources import files

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from src.api import pages
from src.api.routing import Router

router = Router(include_in_schema=False)


@cache
def parts() -> dict[str, pages.Part]:
    """The page's files by name."""
    return pages.read((files("src.api.wallboard") / "page").iterdir())


@router.get("/wallboard")
async def wallboard() -> Response:
    """To where the page's own addresses are relative to."""
    return RedirectResponse("wallboard/", status_code=308)


@router.get("/wallboard/")
async def get_page(request: Request) -> Response:
    """The page."""
    return pages.served(parts(), "index.html", request)


@router.get("/wallboard/{name}")
async def get_part(name: str, request: Request) -> Response:
    """What it is made of."""
    return pages.served(parts(), name, request)
