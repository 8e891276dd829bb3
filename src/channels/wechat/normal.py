"""From the fields of a push to the normal form of what a customer sent. Must not know how the fields came in.

Kinds and fields: developers.weixin.qq.com/doc/service/guide/product/message/Receiving_standard_messages.html and
…/Receiving_event_pushes.html. Text that is no customer's own words is a stand-in in brackets, such as `[image]`.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from src.channels.tencent.parse import VALUE_CHARS_MAX, Fields, required, string
from src.dispatch.inbound import InboundMessage
from src.errors import Malformed
from src.profile.identities import Identity

OPENID_CHARS_MAX: Final = 128
MESSAGE_ID_CHARS_MAX: Final = 64
TYPE_CHARS_MAX: Final = 64
DIGITS_MAX: Final = 12
"""Digits of a time in seconds or of a map's scale."""

STAND_IN_CHARS_MAX: Final = 200
"""Characters of what is shown in the place of a picture, a link, an event."""

EVENT_KEY_HASH_CHARS: Final = 16

IDENTITY_TYPE: Final = "wechat_openid"


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What one message says: its kind in the normal form, what an agent reads first, and the kind's own fields.

    `media`: WeChat's id of a file, which it keeps for three days.
    """

    kind: str
    text: str
    payload: Mapping[str, object]
    media: str | None = None


def message_of(fields: Fields, account: str, queue: str | None) -> InboundMessage | None:
    """What a push means, or None if there is nothing in it to keep.

    Raises:
        Malformed: a field is missing, has the wrong type or is out of range.
    """
    openid = required(fields, "FromUserName", chars_max=OPENID_CHARS_MAX)
    message_type = required(fields, "MsgType", chars_max=TYPE_CHARS_MAX).lower()
    identity = Identity(IDENTITY_TYPE, openid)
    if message_type == "event":
        name = required(fields, "Event", chars_max=TYPE_CHARS_MAX).lower()
        if name not in _KEPT_EVENTS:
            return None
        external_id, meaning = _made_id(fields, openid, name), _event(fields, name)
    elif message_type in _READERS:
        external_id = required(fields, "MsgId", chars_max=MESSAGE_ID_CHARS_MAX)
        meaning = _READERS[message_type](fields)
    else:
        given_id = string(fields, "MsgId", chars_max=MESSAGE_ID_CHARS_MAX)
        external_id = given_id or _made_id(fields, openid, message_type)
        meaning = _unknown(fields)
    return InboundMessage(
        channel="wechat",
        account=account,
        external_id=external_id,
        identity=identity,
        kind=meaning.kind,
        text=meaning.text,
        payload=meaning.payload,
        queue=queue,
        opens=meaning.kind != "event",
        media=meaning.media,
    )


def _text(fields: Fields) -> _Meaning:
    content = string(fields, "Content", chars_max=VALUE_CHARS_MAX)
    if content is None:
        raise Malformed("Content is missing", field="Content")
    menu_id = _optional(fields, "bizmsgmenuid")
    if menu_id:
        return _Meaning("menu", content, {"menu_id": menu_id})
    return _Meaning("text", content, {})


def _image(fields: Fields) -> _Meaning:
    return _Meaning("image", "[image]", _named(fields, media_id="MediaId!", picture_url="PicUrl"), _media(fields))


def _voice(fields: Fields) -> _Meaning:
    payload = _named(fields, media_id="MediaId!", format="Format", media_id_16k="MediaId16K", recognition="Recognition")
    return _Meaning("voice", _stand_in("voice", payload.get("recognition")), payload, _media(fields))


def _video(fields: Fields) -> _Meaning:
    return _Meaning(
        "video", "[video]", _named(fields, media_id="MediaId!", thumb_media_id="ThumbMediaId"), _media(fields)
    )


def _media(fields: Fields) -> str:
    return required(fields, "MediaId", chars_max=VALUE_CHARS_MAX)


def _location(fields: Fields) -> _Meaning:
    scale = _optional(fields, "Scale")
    payload: dict[str, object] = {
        "latitude": _degrees(fields, "Location_X", at_most=90),
        "longitude": _degrees(fields, "Location_Y", at_most=180),
        **({"scale": _whole(scale, "Scale")} if scale else {}),
        **_named(fields, label="Label"),
    }
    return _Meaning("location", _stand_in("location", payload.get("label")), payload)


def _link(fields: Fields) -> _Meaning:
    payload = _named(fields, url="Url!", title="Title", description="Description")
    return _Meaning("link", _stand_in("link", payload.get("title")), payload)


def _mini_program(fields: Fields) -> _Meaning:
    payload = _named(
        fields,
        app_id="AppId!",
        title="Title",
        page_path="PagePath",
        thumb_url="ThumbUrl",
        thumb_media_id="ThumbMediaId",
    )
    return _Meaning("link", _stand_in("mini program", payload.get("title")), payload)


def _unknown(fields: Fields) -> _Meaning:
    return _Meaning("unknown", _stand_in("unknown", fields["MsgType"]), dict(fields))


_READERS: Final[Mapping[str, Callable[[Fields], _Meaning]]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "shortvideo": _video,
    "location": _location,
    "link": _link,
    "miniprogrampage": _mini_program,
}

_KEPT_EVENTS: Final = frozenset(
    {
        "subscribe",
        "scan",
        "click",
        "view",
        "location",
        "user_enter_tempsession",
        "scancode_push",
        "scancode_waitmsg",
        "pic_sysphoto",
        "pic_photo_or_album",
        "pic_weixin",
        "location_select",
    }
)
"""What a customer did that an agent may want to know. Other events (a template message was sent, a session of WeChat's
own desk began, the account was left) and those not known yet are answered and kept nowhere."""

_EVENT_ENVELOPE: Final = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "Event", "Encrypt"})


def _event(fields: Fields, name: str) -> _Meaning:
    """An event's own fields are kept under the names of the protocol, in small letters with underscores."""
    details = {_snake(field): value for field, value in fields.items() if field not in _EVENT_ENVELOPE}
    return _Meaning("event", _stand_in(f"event: {name}", fields.get("EventKey")), details | {"event": name})


def _made_id(fields: Fields, openid: str, name: str) -> str:
    """An event has no id of its own: sender, time and kind stand for it, and the key, hashed, as it can be a long URL.

    The prefix keeps it apart from message ids.
    """
    created_s = _whole(required(fields, "CreateTime", chars_max=DIGITS_MAX), "CreateTime")
    key = string(fields, "EventKey", chars_max=VALUE_CHARS_MAX) or ""
    key_hash = sha256(key.encode()).hexdigest()[:EVENT_KEY_HASH_CHARS]
    return f"event:{openid}:{created_s}:{name}:{key_hash}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _named(fields: Fields, **wanted: str) -> dict[str, object]:
    """The fields that are there and not empty, under our names. An exclamation mark: it must be there."""
    found: dict[str, object] = {}
    for ours, theirs in wanted.items():
        name = theirs.removesuffix("!")
        value = required(fields, name, chars_max=VALUE_CHARS_MAX) if theirs != name else _optional(fields, name)
        if value:
            found[ours] = value
    return found


def _optional(fields: Fields, name: str) -> str | None:
    return string(fields, name, chars_max=VALUE_CHARS_MAX)


def _stand_in(what: str, detail: object) -> str:
    """What an agent reads in the place of something that is no text: `[link] A title`."""
    words = f"[{what}]" if not isinstance(detail, str) or not detail.strip() else f"[{what}] {detail.strip()}"
    return words if len(words) <= STAND_IN_CHARS_MAX else words[: STAND_IN_CHARS_MAX - 1] + "…"


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise Malformed(f"{name} must be a whole number of at most {DIGITS_MAX} digits", field=name)
    return int(text)


def _degrees(fields: Fields, name: str, *, at_most: int) -> float:
    text = required(fields, name, chars_max=TYPE_CHARS_MAX)
    try:
        degrees = float(text)
    except ValueError:
        degrees = math.nan
    if not abs(degrees) <= at_most:
        raise Malformed(f"{name} must be a number of degrees", field=name)
    return degrees
