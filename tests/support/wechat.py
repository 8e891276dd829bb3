"""A stand-in of WeChat's API: tokens, customer messages, media. As strict as WeChat's documents, and it remembers.

developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage and …/api/base/api_getstableaccesstoken.
`tests/integration/test_wechat_sending.py` has a client that nobody here wrote speak with it too.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from src.cluster.internal import SignalFreeServer

TEXT_BYTES_MAX = 2048
FORMS: dict[str, tuple[str, ...]] = {
    "text": ("content",),
    "image": ("media_id",),
    "voice": ("media_id",),
    "video": ("media_id",),
    "news": ("articles",),
    "msgmenu": ("head_content", "list", "tail_content"),
}
SENT_MAX = 5


@dataclass
class WeChatDouble:
    """One Official Account's API. `refuse` are error codes that the next calls of a path get, each once."""

    app_id: str = "wx1"
    secret: str = "app-secret"
    url: str = ""
    tokens: list[str] = field(default_factory=list)
    token_calls: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    traceparents: list[str | None] = field(default_factory=list)
    typed: list[tuple[str, str]] = field(default_factory=list)
    media: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    delay_s: float = 0.0
    _numbers: Any = field(default_factory=count)

    def revoke(self) -> None:
        """No token that was given holds any more; a normal request goes on giving the last."""
        self._held = ()

    _held: tuple[str, ...] = ()

    # -- tokens -------------------------------------------------------------------------------------------------

    def _token(self, given: dict[str, Any], *, new: bool) -> Response:
        self.token_calls.append(given)
        if given.get("appid") != self.app_id:
            return _error(40013, "invalid appid")
        if given.get("secret") != self.secret:
            return _error(40125, "invalid appsecret")
        if given.get("grant_type") != "client_credential":
            return _error(40002, "invalid grant_type")
        if new or not self.tokens:
            self.tokens.append(f"token-{next(self._numbers)}")
            self._held = (*self._held[-1:], self.tokens[-1])
        return JSONResponse({"access_token": self.tokens[-1], "expires_in": 7200})

    async def stable_token(self, request: Request) -> Response:
        given = json.loads(await request.body())
        return self._token(given, new=given.get("force_refresh") is True)

    async def token(self, request: Request) -> Response:
        return self._token(dict(request.query_params), new=True)

    # -- messages -----------------------------------------------------------------------------------------------

    async def _let_in(self, request: Request) -> Response | None:
        await asyncio.sleep(self.delay_s)
        scripted = self.refuse.get(request.url.path)
        if scripted:
            return _error(scripted.pop(0), "scripted")
        if "access_token" not in request.query_params:
            return _error(41001, "access_token missing")
        if request.query_params["access_token"] not in self._held:
            return _error(40001, "invalid credential, access_token is invalid or not latest")
        return None

    async def send(self, request: Request) -> Response:
        refused = await self._let_in(request)
        if refused is not None:
            return refused
        self.traceparents.append(request.headers.get("traceparent"))
        raw = await request.body()
        body = json.loads(raw)
        kind = body.get("msgtype")
        if kind not in FORMS or not isinstance(body.get(kind), dict):
            return _error(40008, "invalid message type")
        if set(body) - {"touser", "msgtype", kind, "customservice"} or set(FORMS[kind]) - set(body[kind]):
            return _error(47001, "data format error")
        if any(part in raw for part in (rb"\u4", rb"\u5", rb"\u6", rb"\u7", rb"\u8", rb"\u9")):
            return _error(47001, "escaped text would be shown as it is")
        openid = body.get("touser")
        if not isinstance(openid, str) or not openid.startswith("o"):
            return _error(40003, "invalid openid")
        if kind == "text" and len(body["text"]["content"].encode()) > TEXT_BYTES_MAX:
            return _error(45002, "content size out of limit")
        for name in ("media_id", "thumb_media_id"):
            if name in body[kind] and body[kind][name] not in self.media:
                return _error(40007, "invalid media_id")
        if openid in self.allowed:
            if not self.allowed[openid]:
                return _error(45047, "out of response count limit")
            self.allowed[openid] -= 1
        self.sent.append(body)
        return _error(0, "ok")

    async def typing(self, request: Request) -> Response:
        refused = await self._let_in(request)
        if refused is not None:
            return refused
        body = json.loads(await request.body())
        if body.get("command") not in {"Typing", "CancelTyping"}:
            return _error(45072, "invalid command")
        self.typed.append((body["touser"], body["command"]))
        return _error(0, "ok")

    # -- media --------------------------------------------------------------------------------------------------

    def keep(self, kind: str, body: bytes, media_type: str) -> str:
        """What a customer sent, or we uploaded; gives its id."""
        media_id = f"{kind}-{next(self._numbers)}"
        self.media[media_id] = (kind, media_type, body)
        return media_id

    async def upload(self, request: Request) -> Response:
        refused = await self._let_in(request)
        if refused is not None:
            return refused
        kind = request.query_params.get("type", "")
        if kind not in {"image", "voice", "video", "thumb"}:
            return _error(40004, "invalid media type")
        kept = _form_file(await request.body(), request.headers.get("content-type", ""))
        if kept is None:
            return _error(41005, "media data missing")
        media_type, body = kept
        media_id = self.keep(kind, body, media_type)
        return JSONResponse({"type": kind, "media_id": media_id, "created_at": 1_700_000_000})

    async def download(self, request: Request) -> Response:
        refused = await self._let_in(request)
        if refused is not None:
            return refused
        kept = self.media.get(request.query_params.get("media_id", ""))
        if kept is None:
            return _error(40007, "invalid media_id")
        kind, media_type, body = kept
        headers = {"content-disposition": f'attachment; filename="{kind}.bin"'}
        return Response(body, media_type=media_type, headers=headers)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/cgi-bin/token", self.token, methods=["GET"]),
                Route("/cgi-bin/stable_token", self.stable_token, methods=["POST"]),
                Route("/cgi-bin/message/custom/send", self.send, methods=["POST"]),
                Route("/cgi-bin/message/custom/typing", self.typing, methods=["POST"]),
                Route("/cgi-bin/media/upload", self.upload, methods=["POST"]),
                Route("/cgi-bin/media/get", self.download, methods=["GET"]),
            ]
        )


def _error(code: int, text: str) -> Response:
    return JSONResponse({"errcode": code, "errmsg": text})


def _form_file(body: bytes, content_type: str) -> tuple[str, bytes] | None:
    """The file `media` of a multipart form: its type and its bytes."""
    _, _, boundary = content_type.partition("boundary=")
    if not boundary:
        return None
    for part in body.split(b"--" + boundary.strip('"').encode()):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="media"' in head and b"filename=" in head:
            lines = head.decode("utf-8", "replace").lower().splitlines()
            kind = next((each.partition(":")[2].strip() for each in lines if each.startswith("content-type:")), "")
            return kind or "application/octet-stream", content.removesuffix(b"\r\n")
    return None


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0) -> AsyncIterator[str]:
    """An application on a port, or on any that is free; gives its address."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = SignalFreeServer(config)
    task = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(30):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


@asynccontextmanager
async def wechat_double() -> AsyncIterator[WeChatDouble]:
    """A stand-in that listens."""
    double = WeChatDouble()
    async with serving(double.app()) as double.url:
        yield double
