"""From a message to what WeChat is to be sent, and the sending of it. Texts travel as raw UTF-8, never escaped.

What there is no form for at WeChat goes out as the nearest that there is: a place and a notice as text.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from src.channels.base import Account, Call, Media, Outbound, Reach
from src.channels.tencent.files import file_name, form_of_file, is_file_refused
from src.channels.wechat.errors import BAD_TOKEN, code_of, failure, read
from src.errors import NotSent

API_BASE_URL: Final = "https://api.weixin.qq.com"
TOKEN_S_MAX: Final = 7_200
UPLOAD: Final = "/cgi-bin/media/upload"
DOWNLOAD: Final = "/cgi-bin/media/get"
MEDIA_BYTES_MAX: Final = 20 * 1024 * 1024
UPLOADED: Final = frozenset({"image", "voice", "video"})

SEND: Final = "/cgi-bin/message/custom/send"
TYPING: Final = "/cgi-bin/message/custom/typing"


class Api:
    """The API of one account. `call` renews the access token once where it does not hold."""

    def __init__(self, account: Account, reach: Reach) -> None:
        self._account = account
        self._reach = reach
        self._base = str(account.settings.get("api_base_url", API_BASE_URL)).rstrip("/")

    async def call(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Post JSON with the access token; give the answer, whose error code is 0.

        Raises:
            NotSent: WeChat did not do it.
        """
        raw = _raw(body)
        return await self._with_token(lambda token: Call("POST", f"{self._base}{path}", {"access_token": token}, raw))

    async def _with_token(self, call: Callable[[str], Call]) -> dict[str, Any]:
        token, renewed = await self._reach.token(self._fresh_token), False
        while True:
            value = read(await self._reach.call(call(token)))
            code = code_of(value)
            if code in BAD_TOKEN and not renewed:
                token, renewed = await self._reach.token(self._fresh_token, stale=token), True
                continue
            if code:
                raise failure(code)
            return value

    async def upload(self, kind: str, media: Media) -> str:
        """Hand in a file (`image`, `voice`, `video` or `thumb`); gives WeChat's id of it, good for three days.

        Raises:
            NotSent: WeChat did not take it.
        """
        body, media_type = form_of_file(media)
        value = await self._with_token(
            lambda token: Call("POST", f"{self._base}{UPLOAD}", {"access_token": token, "type": kind}, body, media_type)
        )
        media_id = value.get("media_id", value.get("thumb_media_id"))
        if not isinstance(media_id, str) or not media_id:
            raise NotSent("channel_unreadable", "again")
        return media_id

    async def download(self, media_id: str) -> Media:
        """What a customer sent; a video comes from an address of its own.

        Raises:
            NotSent: WeChat does not give it.
        """
        token, renewed = await self._reach.token(self._fresh_token), False
        while True:
            query = {"access_token": token, "media_id": media_id}
            answer = await self._reach.call(
                Call("GET", f"{self._base}{DOWNLOAD}", query, answer_bytes_max=MEDIA_BYTES_MAX)
            )
            if not is_file_refused(answer):
                return Media(answer.body, name=file_name(answer))
            value = read(answer)
            code = code_of(value)
            if code in BAD_TOKEN and not renewed:
                token, renewed = await self._reach.token(self._fresh_token, stale=token), True
                continue
            if code:
                raise failure(code)
            return await self._video(value.get("video_url"))

    async def _video(self, url: object) -> Media:
        if not isinstance(url, str) or not self._is_wechats(url):
            raise NotSent("bad_media", "refused")
        answer = await self._reach.call(Call("GET", url, answer_bytes_max=MEDIA_BYTES_MAX))
        if answer.status >= 300:  # noqa: PLR2004  # HTTP
            raise NotSent("channel_busy", "again")
        return Media(answer.body, name=file_name(answer))

    def _is_wechats(self, url: str) -> bool:
        """Whether an address that WeChat named is one of its own: nobody is to send us elsewhere."""
        parts, base = urlsplit(url), urlsplit(self._base)
        host = parts.hostname or ""
        own = parts.scheme in ("http", "https") and host.endswith((".qq.com", ".qpic.cn"))
        return own or (parts.scheme, parts.netloc) == (base.scheme, base.netloc)

    async def _fresh_token(self, *, force: bool) -> tuple[str, int]:
        app_id, secret = self._account.settings.get("app_id"), self._account.secrets.get("app_secret")
        if not app_id or not secret:
            raise NotSent("no_credentials", "admin")
        body = {"grant_type": "client_credential", "appid": app_id, "secret": secret, "force_refresh": force}
        value = read(await self._reach.call(Call("POST", f"{self._base}/cgi-bin/stable_token", {}, _raw(body))))
        code = code_of(value)
        if code:
            raise failure(code)
        token, lives_s = value.get("access_token"), value.get("expires_in")
        if not isinstance(token, str) or not token or type(lives_s) is not int:
            raise NotSent("channel_unreadable", "again")
        return token, min(lives_s, TOKEN_S_MAX)


async def uploads_of(message: Outbound, api: Api, reach: Reach) -> Mapping[str, str]:
    """Hand in the files that a message names: WeChat's ids by the names under which the message has ours.

    Raises:
        NotSent: a file is not there, or WeChat did not take it.
    """
    names = {"media_id": message.kind, "thumb_media_id": "thumb"} if message.kind in UPLOADED else {}
    found = {}
    for name, kind in names.items():
        if name in message.payload:
            found[name] = await api.upload(kind, await reach.media(message.payload[name]))
    return found


def form_of(message: Outbound, uploaded: Mapping[str, str]) -> dict[str, object]:
    """The body of `custom/send`; `uploaded` are WeChat's ids of the message's files.

    Raises:
        NotSent: WeChat has no form for messages of this kind.
    """
    text, fields = message.text or "", message.payload
    match message.kind:
        case "text" | "notice":
            form: dict[str, object] = {"msgtype": "text", "text": {"content": text}}
        case "location":
            form = {"msgtype": "text", "text": {"content": _place(text, fields)}}
        case "link":
            form = {"msgtype": "news", "news": {"articles": [_article(text, fields)]}}
        case "menu":
            form = {"msgtype": "msgmenu", "msgmenu": _menu(text, fields)}
        case "image" | "voice" | "video":
            form = {"msgtype": message.kind, message.kind: {**_captions(message.kind, fields), **uploaded}}
        case _:
            raise NotSent("kind_not_supported", "refused")
    return {"touser": message.identity_value, **form}


def _raw(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _captions(kind: str, fields: Mapping[str, Any]) -> dict[str, object]:
    return {name: fields[name] for name in ("title", "description") if kind == "video" and name in fields}


def _place(text: str, fields: Mapping[str, Any]) -> str:
    where = f"{fields['latitude']}, {fields['longitude']}"
    return "\n".join(each for each in (text, fields.get("label"), where) if each)


def _article(text: str, fields: Mapping[str, Any]) -> dict[str, object]:
    return {
        "title": fields["title"],
        "description": fields.get("description") or text,
        "url": fields["url"],
        **({"picurl": fields["picture_url"]} if "picture_url" in fields else {}),
    }


def _menu(text: str, fields: Mapping[str, Any]) -> dict[str, object]:
    return {
        "head_content": text,
        "list": [{"id": each["id"], "content": each["text"]} for each in fields["options"]],
        "tail_content": fields.get("tail") or "",
    }
