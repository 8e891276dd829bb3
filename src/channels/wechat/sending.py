"""From a message to what WeChat is to be sent, and the sending of it. Texts travel as raw UTF-8, never escaped.

What there is no form for at WeChat goes out as the nearest that there is: a place and a notice as text.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from src.channels.base import Account, Call, Outbound, Reach
from src.channels.wechat.errors import BAD_TOKEN, code_of, failure, read
from src.errors import NotSent

API_BASE_URL: Final = "https://api.weixin.qq.com"
TOKEN_S_MAX: Final = 7_200
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
        token, renewed = await self._reach.token(self._fresh_token), False
        while True:
            call = Call("POST", f"{self._base}{path}", {"access_token": token}, _raw(body))
            value = read(await self._reach.call(call))
            code = code_of(value)
            if code in BAD_TOKEN and not renewed:
                token, renewed = await self._reach.token(self._fresh_token, stale=token), True
                continue
            if code:
                raise failure(code)
            return value

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


def form_of(message: Outbound) -> dict[str, object]:
    """The body of `custom/send`.

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
        case _:
            raise NotSent("kind_not_supported", "refused")
    return {"touser": message.identity_value, **form}


def _raw(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


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
