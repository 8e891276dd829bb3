"""The widget, as it lies in the package: plain modules, for any page. They are read once."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from fastapi import Request
from starlette.responses import Response

from src.api.routing import Router
from src.errors import NotFound

router = Router()

MAX_AGE_S: Final = 300
WIDGET: Final = files("src.api.webchat") / "widget"


@cache
def modules() -> dict[str, tuple[bytes, str]]:
    """The widget's modules by name: the text, and the tag by which browsers know it again."""
    found = {}
    for each in WIDGET.iterdir():
        if each.name.endswith(".js"):
            text = each.read_bytes()
            found[each.name] = (text, f'"{sha256(text).hexdigest()[:16]}"')
    return found


def _served(name: str, request: Request) -> Response:
    if name not in modules():
        raise NotFound("the widget has no such module")
    text, tag = modules()[name]
    headers = {
        "access-control-allow-origin": "*",
        "cache-control": f"public, max-age={MAX_AGE_S}",
        "cross-origin-resource-policy": "cross-origin",
        "etag": tag,
        "x-content-type-options": "nosniff",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(text, headers=headers, media_type="text/javascript")


@router.get("/widget.js", include_in_schema=False)
async def get_widget(request: Request) -> Response:
    """The widget's first module: it defines `<cordboard-chat>`."""
    return _served("widget.js", request)


@router.get("/widget/{name}", include_in_schema=False)
async def get_widget_module(name: str, request: Request) -> Response:
    """What the first one is made of."""
    return _served(name, request)
