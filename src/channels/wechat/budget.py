"""How much may still be sent to a customer: WeChat grants some messages for some time whenever the customer acts.

A message of the customer: 5 in 48 hours. A tap on a menu (of the account's own menus: click, scan a code), following,
scanning: 3 in a minute. Who has left the account gets nothing more, nor does anybody for whom WeChat says that it is
used up: other programs send for the account, too.
developers.weixin.qq.com/doc/service/guide/product/kf/intro.html
"""

from collections.abc import Mapping, Sequence
from typing import Final

from src.channels.base import Budget, Said
from src.channels.wechat.errors import MEANINGS

MESSAGE: Final = (5, 48 * 3_600)
ACT: Final = (3, 60)
"""Messages, and seconds in which they may be sent."""

_ACTS: Final = frozenset({"subscribe", "scan", "click", "scancode_push", "scancode_waitmsg"})
_LEFT: Final = "unsubscribe"
_VOID: Final = frozenset(reason for reason, fate, _ in MEANINGS.values() if fate == "customer")
"""Where a message failed for one of these, nothing goes out until the customer acts again."""


def left(said: Sequence[Said], now_ms: int) -> Budget:
    """What is left of it now, reckoned from what was said on the account, oldest first.

    Of what several acts of the customer grant, the best counts: the most messages, and of equal ones the longest time.
    """
    best = Budget(0, now_ms, MESSAGE[1])
    sent = 0
    for each in reversed(said):
        if each.sender != "customer":
            if each.state == "failed" and each.reason in _VOID:
                break
            sent += each.state in ("queued", "sent", "delivered")
            continue
        if each.kind == "event" and each.payload.get("event") == _LEFT:
            break
        messages, seconds = _grant(each.kind, each.payload)
        until = each.at + seconds * 1_000
        granted = Budget(max(0, messages - sent), until, seconds)
        if until > now_ms and granted.messages and (granted.messages, until) > (best.messages, best.until):
            best = granted
    return best


def _grant(kind: str, payload: Mapping[str, object]) -> tuple[int, int]:
    if kind == "menu":
        return ACT
    if kind == "event":
        return ACT if payload.get("event") in _ACTS else (0, 0)
    return MESSAGE
