"""From the fields of a push to the normal form of what a customer sent. Must not know how the fields came in.

Kinds and fields: developers.weixin.qq.com/doc/service/guide/product/message/Receiving_standard_messages.html and
…/Receiving_event_pushes.html. Text that is no customer's own words is a stand-in in brackets, such as `[image]`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from src.channels.tencent.parse import Fields, required, string
from src.dispatch.inbound import InboundMessage
from src.profile.identities import Identity

OPENID_CHARS_MAX: Final = 128
MESSAGE_ID_CHARS_MAX: Final = 64
TYPE_CHARS_MAX: Final = 64
DIGITS_MAX: Final = 12
"""Digits of a time in seconds or of a map's scale."""

STAND_IN_CHARS_MAX: Final = 200
"""Characters of what is shown in the place of a picture, a link, an event."""

HASH_CHARS: Final = 16
"""Of what stands for an id where WeChat gives none."""

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

    What else a kind should have and has not is left out: whoever wrote is not to go unheard for that.

    Raises:
        Malformed: it does not say who wrote, or what kind of thing; a field is too long or not a text.
    """
    openid = required(fields, "FromUserName", chars_max=OPENID_CHARS_MAX)
    message_type = required(fields, "MsgType", chars_max=TYPE_CHARS_MAX).lower()
    if message_type == "event":
        name = required(fields, "Event", chars_max=TYPE_CHARS_MAX).lower()
        if name in _REPORTS:
            return None
        external_id, meaning = _event_id(fields, openid, name), _event(fields, name)
    else:
        given_id = (string(fields, "MsgId", chars_max=MESSAGE_ID_CHARS_MAX) or "").strip()
        external_id = given_id or f"made:{openid}:{_hash_of(fields)}"
        meaning = _READERS.get(message_type, _unknown)(fields)
    return InboundMessage(
        channel="wechat",
        account=account,
        external_id=external_id,
        identity=Identity(IDENTITY_TYPE, openid),
        kind=meaning.kind,
        text=meaning.text,
        payload=meaning.payload,
        queue=queue,
        opens=meaning.kind != "event",
        media=meaning.media,
    )


def is_known(message: InboundMessage) -> bool:
    """Whether a message is of a kind, or an event, that this module knows."""
    return message.kind != "event" or message.payload["event"] in _ACTS


def _text(fields: Fields) -> _Meaning:
    content = fields.get("Content")
    if not isinstance(content, str):
        return _unknown(fields)
    menu_id = _optional(fields, "bizmsgmenuid")
    if menu_id:
        return _Meaning("menu", content, {"menu_id": menu_id})
    return _Meaning("text", content, {})


def _image(fields: Fields) -> _Meaning:
    return _Meaning("image", "[image]", _named(fields, media_id="MediaId", picture_url="PicUrl"), _media(fields))


def _voice(fields: Fields) -> _Meaning:
    payload = _named(fields, media_id="MediaId", format="Format", media_id_16k="MediaId16K", recognition="Recognition")
    return _Meaning("voice", _stand_in("voice", payload.get("recognition")), payload, _media(fields))


def _video(fields: Fields) -> _Meaning:
    return _Meaning(
        "video", "[video]", _named(fields, media_id="MediaId", thumb_media_id="ThumbMediaId"), _media(fields)
    )


def _file(fields: Fields) -> _Meaning:
    """WeChat says what the file is called and gives no way to fetch it."""
    payload = _named(
        fields, title="Title", description="Description", file_key="FileKey", md5="FileMd5", size="FileTotalLen"
    )
    return _Meaning("file", _stand_in("file", payload.get("title")), payload)


def _media(fields: Fields) -> str | None:
    return (_optional(fields, "MediaId") or "").strip() or None


def _location(fields: Fields) -> _Meaning:
    payload: dict[str, object] = {}
    places = {
        "latitude": _degrees(fields, "Location_X", at_most=90),
        "longitude": _degrees(fields, "Location_Y", at_most=180),
    }
    if None not in places.values():
        payload |= places
    scale = _whole(_optional(fields, "Scale"))
    if scale is not None:
        payload["scale"] = scale
    payload |= _named(fields, label="Label")
    return _Meaning("location", _stand_in("location", payload.get("label")), payload)


def _link(fields: Fields) -> _Meaning:
    payload = _named(fields, url="Url", title="Title", description="Description")
    return _Meaning("link", _stand_in("link", payload.get("title")), payload)


def _mini_program(fields: Fields) -> _Meaning:
    payload = _named(
        fields,
        app_id="AppId",
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
    "file": _file,
    "location": _location,
    "link": _link,
    "miniprogrampage": _mini_program,
}

_ACTS: Final = frozenset(
    {
        "subscribe",
        "unsubscribe",
        "scan",
        "click",
        "view",
        "view_miniprogram",
        "location",
        "user_enter_tempsession",
        "scancode_push",
        "scancode_waitmsg",
        "pic_sysphoto",
        "pic_photo_or_album",
        "pic_weixin",
        "location_select",
        "subscribe_msg_popup_event",
        "subscribe_msg_change_event",
    }
)
"""What a customer did that an agent may want to know."""

_REPORTS: Final = frozenset(
    {
        "templatesendjobfinish",
        "masssendjobfinish",
        "publishjobfinish",
        "subscribe_msg_sent_event",
        "kf_create_session",
        "kf_close_session",
        "kf_switch_session",
    }
)
"""What WeChat reports of what the company did, and of its own desk: answered, and kept nowhere.

All other events are kept where there is an open contact: those of cards and shops, what is certified of the account
(which comes from no customer), and what nobody knows yet.
"""

_EVENT_ENVELOPE: Final = frozenset({"ToUserName", "FromUserName", "CreateTime", "MsgType", "Event", "Encrypt"})


def _event(fields: Fields, name: str) -> _Meaning:
    """An event's own fields are kept under the names of the protocol, in small letters with underscores."""
    details = {_snake(field): value for field, value in fields.items() if field not in _EVENT_ENVELOPE}
    return _Meaning("event", _stand_in(f"event: {name}", fields.get("EventKey")), details | {"event": name})


def _event_id(fields: Fields, openid: str, name: str) -> str:
    """An event has no id of its own: sender, time and kind stand for it, and the key, hashed, as it can be a long URL.

    The prefix keeps it apart from message ids. All that it says stands for an event that is not known, or has no time.
    """
    created_s, key = _whole(_optional(fields, "CreateTime")), fields.get("EventKey", "")
    if created_s is None or not isinstance(key, str) or name not in _ACTS:
        return f"event:{openid}::{name}:{_hash_of(fields)}"
    key_hash = sha256(key.encode()).hexdigest()[:HASH_CHARS]
    return f"event:{openid}:{created_s}:{name}:{key_hash}"


def _hash_of(fields: Fields) -> str:
    """What stands for a push by all that it says: a repeat says the same."""
    said = json.dumps({name: value for name, value in fields.items() if name != "Encrypt"}, sort_keys=True)
    return sha256(said.encode()).hexdigest()[:HASH_CHARS]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _named(fields: Fields, **wanted: str) -> dict[str, object]:
    """The fields that are there, texts, and not blank, under our names."""
    found = {ours: _optional(fields, theirs) for ours, theirs in wanted.items()}
    return {ours: value for ours, value in found.items() if value is not None and value.strip()}


def _optional(fields: Fields, name: str) -> str | None:
    """A field if it is there and a text."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _stand_in(what: str, detail: object) -> str:
    """What an agent reads in the place of something that is no text: `[link] A title`."""
    words = f"[{what}]" if not isinstance(detail, str) or not detail.strip() else f"[{what}] {detail.strip()}"
    return words if len(words) <= STAND_IN_CHARS_MAX else words[: STAND_IN_CHARS_MAX - 1] + "…"


def _whole(text: str | None) -> int | None:
    """A whole number, or None."""
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX else None


def _degrees(fields: Fields, name: str, *, at_most: int) -> float | None:
    """Degrees of latitude or longitude, or None."""
    try:
        degrees = float(_optional(fields, name) or "")
    except ValueError:
        return None
    return degrees if abs(degrees) <= at_most else None
