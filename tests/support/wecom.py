"""A stand-in of WeCom's customer service API: token, what there is to be pulled, sending, session states, media.

developer.work.weixin.qq.com/document/path/94670, …/94677 (send_msg), …/94669 (states), …/90254 (media).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FORMS: dict[str, tuple[str, ...]] = {
    "text": ("content",),
    "image": ("media_id",),
    "voice": ("media_id",),
    "video": ("media_id",),
    "file": ("media_id",),
    "location": ("latitude", "longitude"),
    "msgmenu": ("head_content", "list"),
}
TEXT_BYTES_MAX = 2048
PAGE = 2
"""So few at a time: whoever pulls must go on."""


@dataclass
class WeComDouble:
    """One company's API. `items` are what there is to be pulled, the cursor counts them."""

    corp_id: str = "ww1"
    secret: str = "corp-secret"
    open_kfid: str = "wk1"
    url: str = ""
    token: str = "token-0"
    fetched: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    greeted: list[dict[str, Any]] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    media: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    following: object = ...
    """What is given as `next_cursor` instead of the right one."""

    def revoke(self) -> None:
        self.token = f"token-{self.fetched}"

    async def gettoken(self, request: Request) -> Response:
        query = request.query_params
        if (query.get("corpid"), query.get("corpsecret")) != (self.corp_id, self.secret):
            return _error(40001)
        self.fetched += 1
        return JSONResponse({"errcode": 0, "errmsg": "ok", "access_token": self.token, "expires_in": 7200})

    def _let_in(self, request: Request) -> Response | None:
        scripted = self.refuse.get(request.url.path)
        if scripted:
            return _error(scripted.pop(0))
        return None if request.query_params.get("access_token") == self.token else _error(40014)

    async def sync(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        asked = json.loads(await request.body())
        self.pulls.append(asked)
        if asked.get("open_kfid") != self.open_kfid:
            return _error(95000)
        start = int(asked.get("cursor") or 0)
        page = self.items[start : start + PAGE]
        following = start + len(page)
        more = int(following < len(self.items))
        named = str(following) if self.following is ... else self.following
        answer = {"errcode": 0, "errmsg": "ok", "next_cursor": named, "has_more": more, "msg_list": page}
        return Response(json.dumps(answer), media_type="application/json")  # escaped: half a character travels so

    async def send(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        body = json.loads(await request.body())
        kind = body.get("msgtype")
        if kind not in FORMS or set(FORMS[kind]) - set(body.get(kind) or {}):
            return _error(40008)
        if not body.get("msgid") or len(body["msgid"]) > 32:
            return _error(40058)
        if self.states.get(body["touser"], 0) not in (0, 1):
            return _error(95018)
        if kind == "text" and len(body["text"]["content"].encode()) > TEXT_BYTES_MAX:
            return _error(45002)
        if "media_id" in body[kind] and body[kind]["media_id"] not in self.media:
            return _error(40007)
        self.sent.setdefault(body["msgid"], body)
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msgid": body["msgid"]})

    async def greet(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        self.greeted.append(json.loads(await request.body()))
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msgid": "g"})

    async def move(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        body = json.loads(await request.body())
        state = self.states.get(body["external_userid"], 0)
        if body["service_state"] <= state or state == 4:
            return _error(95016)
        self.states[body["external_userid"]] = body["service_state"]
        return JSONResponse({"errcode": 0, "errmsg": "ok", "msg_code": "c"})

    async def upload(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        if b'name="media"; filename=' not in await request.body():
            return _error(41005)
        media_id = f"uploaded-{len(self.media)}"
        self.media[media_id] = (request.query_params["type"], b"")
        return JSONResponse({"errcode": 0, "errmsg": "", "type": "image", "media_id": media_id, "created_at": "1"})

    async def download(self, request: Request) -> Response:
        refused = self._let_in(request)
        if refused is not None:
            return refused
        kept = self.media.get(request.query_params.get("media_id", ""))
        if kept is None:
            return _error(40007)
        headers = {"content-disposition": 'attachment; filename="report.txt"'}
        return Response(kept[1], media_type=kept[0], headers=headers)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/cgi-bin/gettoken", self.gettoken, methods=["GET"]),
                Route("/cgi-bin/kf/sync_msg", self.sync, methods=["POST"]),
                Route("/cgi-bin/kf/send_msg", self.send, methods=["POST"]),
                Route("/cgi-bin/kf/send_msg_on_event", self.greet, methods=["POST"]),
                Route("/cgi-bin/kf/service_state/trans", self.move, methods=["POST"]),
                Route("/cgi-bin/media/upload", self.upload, methods=["POST"]),
                Route("/cgi-bin/media/get", self.download, methods=["GET"]),
            ]
        )


def _error(code: int) -> Response:
    return JSONResponse({"errcode": code, "errmsg": "refused"})
