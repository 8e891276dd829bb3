"""The API of one WeCom customer service account: tokens, sending, session states, and what there is to be pulled."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from src.channels.base import Account, Call, Media, Outbound, Reach
from src.channels.tencent.files import file_name, form_of_file, is_file_refused
from src.channels.wecom.errors import BAD_TOKEN, MEANINGS, NOT_OURS, code_of, failure, read
from src.errors import NotSent

API_BASE_URL: Final = "https://qyapi.weixin.qq.com"
TOKEN_S_MAX: Final = 7_200
SEND: Final = "/cgi-bin/kf/send_msg"
SEND_ON_EVENT: Final = "/cgi-bin/kf/send_msg_on_event"
SYNC: Final = "/cgi-bin/kf/sync_msg"
MOVE: Final = "/cgi-bin/kf/service_state/trans"
OURS: Final = 1
"""The state in which an API has the session: an own desk keeps it there."""
ENDED: Final = 4

ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
PULLED_MAX: Final = 500
UPLOAD: Final = "/cgi-bin/media/upload"
DOWNLOAD: Final = "/cgi-bin/media/get"
MEDIA_BYTES_MAX: Final = 20 * 1024 * 1024
UPLOADED: Final = frozenset({"image", "voice", "video", "file"})


class Api:
    """`call` renews the access token once where it does not hold."""

    def __init__(self, account: Account, reach: Reach) -> None:
        self._account = account
        self._reach = reach
        self._base = str(account.settings.get("api_base_url", API_BASE_URL)).rstrip("/")

    @property
    def open_kfid(self) -> str:
        """The customer service account."""
        return str(self._account.settings["open_kfid"])

    async def call(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Post JSON with the access token; give the answer, whose error code is 0.

        Raises:
            NotSent: WeCom did not do it.
        """
        code, value = await self._asked(path, body)
        if code:
            raise failure(code)
        return value

    async def upload(self, kind: str, media: Media) -> str:
        """Hand in a file; gives WeCom's id of it, good for three days.

        Raises:
            NotSent: WeCom did not take it.
        """
        body, media_type = form_of_file(media)
        code, value = await self._with_token(
            lambda token: Call("POST", f"{self._base}{UPLOAD}", {"access_token": token, "type": kind}, body, media_type)
        )
        media_id = value.get("media_id")
        if code:
            raise failure(code)
        if not isinstance(media_id, str) or not media_id:
            raise NotSent("channel_unreadable", "again")
        return media_id

    async def download(self, media_id: str) -> Media:
        """What a customer sent.

        Raises:
            NotSent: WeCom does not give it.
        """
        token, renewed = await self._reach.token(self._fresh_token), False
        while True:
            query = {"access_token": token, "media_id": media_id}
            call = Call("GET", f"{self._base}{DOWNLOAD}", query, answer_bytes_max=MEDIA_BYTES_MAX)
            answer = await self._reach.call(call)
            if not is_file_refused(answer) or "content-disposition" in answer.headers:
                return Media(answer.body, name=file_name(answer))
            code = code_of(read(answer))
            if code not in BAD_TOKEN or renewed:
                raise failure(code or -1)
            token, renewed = await self._reach.token(self._fresh_token, stale=token), True

    async def send(self, message: Outbound) -> None:
        """Send a message under our own id, which WeCom takes once; where the session is not ours, it is asked for once.

        Raises:
            NotSent: it was not taken.
        """
        uploaded = {}
        if message.kind in UPLOADED:
            uploaded = {
                "media_id": await self.upload(message.kind, await self._reach.media(message.payload["media_id"]))
            }
        body = {
            "touser": message.identity_value,
            "open_kfid": self.open_kfid,
            "msgid": msgid_of(message.id),
            **form_of(message, uploaded),
        }
        code, _ = await self._asked(SEND, body)
        if code in NOT_OURS:
            asked = {"open_kfid": self.open_kfid, "external_userid": message.identity_value, "service_state": OURS}
            moved, _ = await self._asked(MOVE, asked)
            if not moved:
                code, _ = await self._asked(SEND, body)
        if code:
            raise failure(code)

    async def end(self, external_userid: str, text: str) -> None:
        """End a session, with a last word.

        Raises:
            NotSent: it is not ours to end, or over already.
        """
        asked = {"open_kfid": self.open_kfid, "external_userid": external_userid, "service_state": ENDED}
        code = (await self.call(MOVE, asked)).get("msg_code")
        if isinstance(code, str) and code:
            await self.call(SEND_ON_EVENT, {"code": code, "msgtype": "text", "text": {"content": text}})

    async def pulled(self, cursor: str | None, token: str | None) -> dict[str, Any]:
        """What has happened since a cursor; with one that WeCom does not know (any more), in the last three days."""
        body: dict[str, object] = {"open_kfid": self.open_kfid, "limit": PULLED_MAX, "voice_format": 0}
        since = {"cursor": cursor} if cursor else {}
        code, value = await self._asked(SYNC, body | since | ({"token": token} if token else {}))
        if token and code and code not in MEANINGS:  # it is good for ten minutes: without it we are asked to be slow
            code, value = await self._asked(SYNC, body | since)
        if since and code and code not in MEANINGS:
            code, value = await self._asked(SYNC, body)
        if code:
            raise failure(code)
        return value

    async def _asked(self, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        url = f"{self._base}{path}"
        return await self._with_token(
            lambda token: Call("POST", url, {"access_token": token}, raw, answer_bytes_max=ANSWER_BYTES_MAX)
        )

    async def _with_token(self, call: Callable[[str], Call]) -> tuple[int, dict[str, Any]]:
        token, renewed = await self._reach.token(self._fresh_token), False
        while True:
            value = read(await self._reach.call(call(token)))
            code = code_of(value)
            if code not in BAD_TOKEN or renewed:
                return code, value
            token, renewed = await self._reach.token(self._fresh_token, stale=token), True

    async def _fresh_token(self, *, force: bool) -> tuple[str, int]:  # noqa: ARG002  # WeCom gives what holds
        secret = self._account.secrets.get("corp_secret")
        if not secret:
            raise NotSent("no_credentials", "admin")
        query = {"corpid": str(self._account.settings["corp_id"]), "corpsecret": secret}
        value = read(await self._reach.call(Call("GET", f"{self._base}/cgi-bin/gettoken", query)))
        code = code_of(value)
        if code:
            raise failure(code)
        token, lives_s = value.get("access_token"), value.get("expires_in")
        if not isinstance(token, str) or not token or type(lives_s) is not int:
            raise NotSent("channel_unreadable", "again")
        return token, min(lives_s, TOKEN_S_MAX)


def msgid_of(message_id: str) -> str:
    """Our id in the form that WeCom takes: at most 32 letters and digits."""
    return message_id.replace("-", "")[-32:]


def message_id_of(msgid: str) -> str | None:
    """The inverse; None: it is none of ours."""
    if len(msgid) != 32 or not set(msgid) <= set("0123456789abcdef"):  # noqa: PLR2004  # a UUID's digits
        return None
    return f"{msgid[:8]}-{msgid[8:12]}-{msgid[12:16]}-{msgid[16:20]}-{msgid[20:]}"


def form_of(message: Outbound, uploaded: Mapping[str, str]) -> dict[str, object]:
    """The kind's part of a message. A link goes out as text: WeCom's cards need a picture that was handed in before.

    Raises:
        NotSent: there is no form for messages of this kind.
    """
    text, fields = message.text or "", message.payload
    match message.kind:
        case "text" | "notice":
            return {"msgtype": "text", "text": {"content": text}}
        case "link":
            lines = (text, fields["title"], fields.get("description"), fields["url"])
            return {"msgtype": "text", "text": {"content": "\n".join(each for each in lines if each)}}
        case "location":
            place = {"latitude": fields["latitude"], "longitude": fields["longitude"]}
            return {"msgtype": "location", "location": {"name": fields.get("label") or text, "address": text, **place}}
        case "menu":
            items = [
                {"type": "click", "click": {"id": each["id"], "content": each["text"]}} for each in fields["options"]
            ]
            menu = {"head_content": text, "list": items, "tail_content": fields.get("tail") or ""}
            return {"msgtype": "msgmenu", "msgmenu": menu}
        case "image" | "voice" | "video" | "file":
            return {"msgtype": message.kind, message.kind: dict(uploaded)}
        case _:
            raise NotSent("kind_not_supported", "refused")
