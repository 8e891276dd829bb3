"""From what was pulled to the normal form of what customers sent. Must not know how it came.

developer.work.weixin.qq.com/document/path/94670. Items that cannot be read are shown as such: the cursor goes on over
them, and none may hold up those behind it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from src.channels.base import Failed
from src.channels.wecom.api import message_id_of
from src.channels.wecom.errors import FAILED_LATER
from src.dispatch.inbound import InboundMessage
from src.profile.identities import Identity

IDENTITY_TYPE: Final = "wecom_external_userid"
TEXT_CHARS_MAX: Final = 20_000
NAME_CHARS_MAX: Final = 128
STAND_IN_CHARS_MAX: Final = 200
NUMBER_MAX: Final = 2**53

LINES_MAX: Final = 50

_TOLD: Final = (
    *("title", "head_content", "nickname", "order_id", "product_titles", "price_wording", "state"),
    *("sales_price", "shop_nickname", "userid", "tail_content"),
)
"""What a reader is told first of a card, a mini program, a product, an order and the like."""

_LISTS: Final = ("list", "item")
_NO_DETAILS: Final = frozenset({"event_type", "open_kfid", "external_userid", "welcome_code", "msg_code"})
"""What says whose an event is, and codes that are good for one message."""

CUSTOMER, SYSTEM = 3, 4
"""Who an item is from; 5 is an employee in WeCom's own app."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """A customer has come in and may be greeted, once, within 20 seconds."""

    code: str
    at_ms: int


@dataclass(slots=True)
class Read:
    """What a list of items comes to."""

    inbound: list[InboundMessage] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    welcomes: list[Welcome] = field(default_factory=list)


def read_items(items: object, open_kfid: str, account: str, queue: str | None) -> Read:
    """What a page of `msg_list` says of one customer service account."""
    found = Read()
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        event = _map(item, "event")
        if item.get("msgtype") == "event":
            _event(found, item, event, open_kfid, account, queue)
        elif item.get("origin") == CUSTOMER and item.get("open_kfid") == open_kfid:
            message = _message(item, account, queue)
            if message is not None:
                found.inbound.append(message)
    return found


def _event(  # what it is, and whose
    found: Read, item: Mapping[str, Any], event: Mapping[str, Any], open_kfid: str, account: str, queue: str | None
) -> None:
    if event.get("open_kfid") != open_kfid:
        return
    kind = _string(event, "event_type", NAME_CHARS_MAX)
    if kind == "msg_send_fail":
        message_id = message_id_of(_string(event, "fail_msgid", NAME_CHARS_MAX) or "")
        if message_id is not None:
            kept = event.get("fail_type")
            found.failed.append(Failed(message_id, FAILED_LATER.get(kept if isinstance(kept, int) else 0, "not_taken")))
        return
    code, at_s = _string(event, "welcome_code", NAME_CHARS_MAX), item.get("send_time")
    if code and isinstance(at_s, int):
        found.welcomes.append(Welcome(code, at_s * 1_000))
    msgid, user = _string(item, "msgid", NAME_CHARS_MAX), _string(event, "external_userid", NAME_CHARS_MAX)
    if kind and msgid and user:  # of a customer; what employees do is WeCom's own
        shown = _printable(kind)
        details = {name: value for name, value in _scalars(event).items() if name not in _NO_DETAILS}
        found.inbound.append(
            InboundMessage(
                channel="wecom",
                account=account,
                external_id=msgid,
                identity=Identity(IDENTITY_TYPE, user),
                kind="event",
                text=f"[event: {shown}]",
                payload={**details, "event": shown},
                queue=queue,
                opens=False,
            )
        )


def _message(item: Mapping[str, Any], account: str, queue: str | None) -> InboundMessage | None:
    msgid, user = _string(item, "msgid", NAME_CHARS_MAX), _string(item, "external_userid", NAME_CHARS_MAX)
    msgtype = _string(item, "msgtype", NAME_CHARS_MAX)
    if not msgid or not user or not msgtype:
        return None
    fields = _map(item, msgtype)
    kind, text, payload = _READERS.get(msgtype, _unknown)(fields, msgtype)
    return InboundMessage(
        channel="wecom",
        account=account,
        external_id=msgid,
        identity=Identity(IDENTITY_TYPE, user),
        kind=kind,
        text=text,
        payload=payload,
        queue=queue,
        media=_string(fields, "media_id", TEXT_CHARS_MAX) if kind in ("image", "voice", "video", "file") else None,
    )


_Meaning = tuple[str, str, dict[str, object]]


def _text(fields: Mapping[str, Any], _: str) -> _Meaning:
    content, menu_id = _string(fields, "content", TEXT_CHARS_MAX) or "", _string(fields, "menu_id", NAME_CHARS_MAX)
    return ("menu", content, {"menu_id": menu_id}) if menu_id else ("text", content, {})


def _media(_: Mapping[str, Any], msgtype: str) -> _Meaning:
    return msgtype, f"[{msgtype}]", {}


def _location(fields: Mapping[str, Any], _: str) -> _Meaning:
    label = _string(fields, "name", STAND_IN_CHARS_MAX) or _string(fields, "address", STAND_IN_CHARS_MAX)
    payload: dict[str, object] = {} if label is None else {"label": label}
    for name in ("latitude", "longitude"):
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and -180 <= value <= 180:  # noqa: PLR2004
            payload[name] = value
    return "location", f"[location] {label}" if label else "[location]", payload


def _link(fields: Mapping[str, Any], _: str) -> _Meaning:
    names = {"title": "title", "description": "desc", "url": "url", "picture_url": "pic_url"}
    payload: dict[str, object] = {
        ours: value for ours, theirs in names.items() if (value := _string(fields, theirs, TEXT_CHARS_MAX))
    }
    title = _string(fields, "title", STAND_IN_CHARS_MAX)
    return "link", f"[link] {title}" if title else "[link]", payload


def _unknown(fields: Mapping[str, Any], msgtype: str) -> _Meaning:
    """Whatever there is no kind for (cards, mini programs, orders, notes): what it is, what is told first, the rest."""
    kind = _printable(msgtype)
    told = [said for name in _TOLD if (said := _string(fields, name, STAND_IN_CHARS_MAX))]
    lines = [line for name in _LISTS for item in _items(fields, name) if (line := _line(item))]
    text = "\n".join((" · ".join((f"[{kind}]", *told)), *lines))[:TEXT_CHARS_MAX]
    held: dict[str, object] = {"lines": lines} if lines else {}
    return "unknown", text, {**_scalars(fields), **held, "type": kind}


def _items(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = fields.get(name)
    return [each for each in found[:LINES_MAX] if isinstance(each, dict)] if isinstance(found, list) else []


def _line(item: Mapping[str, Any]) -> str:
    """One message of several that were handed on together, or one choice of a menu."""
    kind = _string(item, "msgtype", NAME_CHARS_MAX) or _string(item, "type", NAME_CHARS_MAX) or ""
    told = _string(_map(item, kind), "content", STAND_IN_CHARS_MAX) or _handed_on(item, kind)
    who = _string(item, "sender_name", NAME_CHARS_MAX)
    return f"{who}: {told}" if who else told


def _handed_on(item: Mapping[str, Any], kind: str) -> str:
    """The text in `msg_content`, which is JSON in a string; for what has none, what kind it is of."""
    raw = item.get("msg_content")
    try:
        said = json.loads(raw) if isinstance(raw, str) and len(raw) <= TEXT_CHARS_MAX else None
    except (ValueError, RecursionError):
        said = None
    inner = _map(said, kind) if isinstance(said, dict) else {}
    return _string(inner, "content", STAND_IN_CHARS_MAX) or _string(inner, "title", STAND_IN_CHARS_MAX) or f"[{kind}]"


def _scalars(fields: Mapping[str, Any]) -> dict[str, object]:
    return {_clean(name)[:NAME_CHARS_MAX]: value for name in fields if (value := _kept(fields[name])) is not None}


def _kept(value: object) -> str | int | None:
    """A value that can be kept, or None."""
    if isinstance(value, int):
        return value if abs(value) <= NUMBER_MAX else None
    return _clean(value)[:TEXT_CHARS_MAX] if isinstance(value, str) else None


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], _Meaning]]] = {
    "text": _text,
    **dict.fromkeys(("image", "voice", "video", "file"), _media),
    "location": _location,
    "link": _link,
}


def _map(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}


def _string(given: Mapping[str, Any], name: str, chars_max: int) -> str | None:
    """A text without what nothing may hold; None where there is none."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        return None
    return _clean(value)[:chars_max] or None


def _clean(text: str) -> str:
    """A text without NUL and halves of characters, which nothing can keep."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _printable(word: str) -> str:
    return "".join(each for each in word if each.isprintable())[:STAND_IN_CHARS_MAX]
