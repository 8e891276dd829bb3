"""The REST interface to be read and tried in a browser, at `/docs`: Swagger UI over `/openapi.json`.

Nothing is fetched from anywhere but this service, so that it works where there is no way out. Swagger UI's files are
those of the package `fastapi-offline`, of which nothing else is used. Nothing is inline but styles that it sets itself.

    page/index.html   the page
    page/start.js     begins Swagger UI
"""

from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from src.api import pages
from src.api.routing import Router

router = Router(include_in_schema=False)

THEIRS: Final = ("swagger-ui-bundle.js", "swagger-ui.css")
POLICY: Final = pages.POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


@cache
def parts() -> dict[str, pages.Part]:
    """The page's files by name."""
    theirs = files("fastapi_offline") / "static"
    return pages.read([*(files("src.api.reference") / "page").iterdir(), *(theirs / each for each in THEIRS)])


@router.get("/docs")
async def reference() -> Response:
    """To where the page's own addresses are relative to."""
    return RedirectResponse("docs/", status_code=308)


@router.get("/docs/")
async def get_page(request: Request) -> Response:
    """The page."""
    return pages.served(parts(), "index.html", request, POLICY)


@router.get("/docs/{name}")
async def get_part(name: str, request: Request) -> Response:
    """What it is made of."""
    return pages.served(parts(), name, request, POLICY)
