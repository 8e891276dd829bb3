"""The double of Asterisk as clients know it that ask over HTTP and read of its operations in `/ari/api-docs`.

What there is comes from those pages of a real Asterisk (`asterisk22_ari_fields.json`); the names by which clients call
the operations are added here.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.support.asterisk import Asterisk
from tests.support.wechat import serving

FIELDS = Path(__file__).parents[1] / "fixtures" / "asterisk22_ari_fields.json"
NAMES = {
    ("POST", "/channels"): "originate",
    ("GET", "/channels/{channelId}"): "get",
    ("DELETE", "/channels/{channelId}"): "hangup",
    ("POST", "/channels/{channelId}/answer"): "answer",
    ("POST", "/bridges/{bridgeId}"): "createWithId",
    ("DELETE", "/bridges/{bridgeId}"): "destroy",
    ("POST", "/bridges/{bridgeId}/addChannel"): "addChannel",
    ("POST", "/bridges/{bridgeId}/removeChannel"): "removeChannel",
    ("POST", "/bridges/{bridgeId}/moh"): "startMoh",
}
GIVEN = {"originate": "Channel", "get": "Channel", "createWithId": "Bridge"}


class _Socket:
    """A WebSocket of Starlette's, as the double's own connections are used."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.close_code = 1000

    async def send(self, text: str) -> None:
        await self._socket.send_text(text)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._socket.iter_text()


@asynccontextmanager
async def over_http(asterisk: Asterisk, username: str, password: str) -> AsyncIterator[str]:
    """Serve its operations, its events and their description; gives the address. `api_key` is the credential."""
    fields = json.loads(FIELDS.read_text("utf-8"))
    key = f"{username}:{password}"

    async def docs(request: Request) -> Response:
        base = f"http://{request.url.netloc}/ari"
        name = request.path_params["name"]
        if name == "resources":
            apis = [{"path": f"/api-docs/{each}.{{format}}", "description": each} for each in _RESOURCES]
            return JSONResponse({"swaggerVersion": "1.1", "basePath": base, "apis": apis})
        return JSONResponse({"basePath": base, "resourcePath": f"/{name}", **_RESOURCES[name](fields)})

    async def operation(request: Request) -> Response:
        query = dict(request.query_params)
        if query.pop("api_key", "") != key:
            return JSONResponse({"message": "Authentication required"}, 401)
        later: list[Callable[[], Any]] = []
        status, body = await asterisk.do(request.method, request.path_params["path"].split("/"), query, later)
        for each in later:
            await each()
        return Response(status_code=status) if body is None else JSONResponse(body, status)

    async def events(socket: WebSocket) -> None:
        if (socket.query_params.get("api_key"), socket.query_params.get("app")) != (key, asterisk.app):
            await socket.close()
            return
        await socket.accept()
        await asterisk.talk(_Socket(socket), asyncio.Event())

    routes = [
        Route("/ari/api-docs/{name}.json", docs),
        WebSocketRoute("/ari/events", events),
        Route("/ari/{path:path}", operation, methods=["GET", "POST", "DELETE"]),
    ]
    async with serving(Starlette(routes=routes)) as url:
        yield url


def _events(fields: dict[str, Any]) -> dict[str, Any]:
    parameter = {"name": "app", "paramType": "query", "dataType": "string", "required": True}
    operation = {"httpMethod": "GET", "nickname": "eventWebsocket", "upgrade": "websocket", "parameters": [parameter]}
    operation |= {"responseClass": "Message", "websocketProtocol": "ari"}
    models = {
        name: {"id": name, "properties": {field: {"type": type_.rstrip("?")} for field, type_ in properties.items()}}
        for name, properties in fields["event_fields"].items()
    }
    return {"apis": [{"path": "/events", "operations": [operation]}], "models": models}


def _operations(resource: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def described(fields: dict[str, Any]) -> dict[str, Any]:
        apis = [
            {"path": each["path"], "operations": [_operation(each)]}
            for each in fields["operations"]
            if each["path"].startswith(resource) and (each["m"], each["path"]) in NAMES
        ]
        return {"apis": apis, "models": {}}

    return described


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    name = NAMES[operation["m"], operation["path"]]
    parameters = [
        {
            "name": each.rstrip("*"),
            "paramType": "path" if f"{{{each.rstrip('*')}}}" in operation["path"] else "query",
            "dataType": "string",
            "required": each.endswith("*"),
        }
        for each in operation["params"]
    ]
    errors = [{"code": int(code), "reason": reason} for code, reason in operation["errors"].items()]
    return {
        "httpMethod": operation["m"],
        "nickname": name,
        "parameters": parameters,
        "errorResponses": errors,
        "responseClass": GIVEN.get(name, "void"),
    }


_RESOURCES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "events": _events,
    "channels": _operations("/channels"),
    "bridges": _operations("/bridges"),
}
