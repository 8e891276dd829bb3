"""What WeChat's answers mean for a message that was to go out. Must not know how they came.

Codes: developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage and …/api/base/. What is not
listed is shown to the admin: it may be an account that is restricted in a way that is not known yet.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from src.channels.base import Answered
from src.errors import NotSent

Fate = Literal["again", "slower", "customer", "refused", "admin"]

BAD_TOKEN: Final = frozenset({40001, 40014, 41001, 42001})
"""The access token does not hold (any more): it is renewed once."""

MEANINGS: Final[Mapping[int, tuple[str, Fate, float]]] = {
    -1: ("channel_busy", "again", 0.0),
    61450: ("channel_busy", "again", 0.0),
    40001: ("bad_credentials", "admin", 0.0),
    40014: ("bad_credentials", "admin", 0.0),
    41001: ("bad_credentials", "admin", 0.0),
    42001: ("bad_credentials", "admin", 0.0),
    40013: ("bad_credentials", "admin", 0.0),
    40125: ("bad_credentials", "admin", 0.0),
    40164: ("address_not_allowed", "admin", 0.0),
    40243: ("bad_credentials", "admin", 0.0),
    48001: ("not_authorised", "admin", 0.0),
    41002: ("bad_credentials", "admin", 0.0),
    41004: ("bad_credentials", "admin", 0.0),
    48004: ("account_banned", "admin", 0.0),
    50007: ("account_banned", "admin", 0.0),
    50001: ("not_authorised", "admin", 0.0),
    **dict.fromkeys((89501, 89503, 89506, 89507), ("address_not_allowed", "admin", 0.0)),
    50002: ("account_restricted", "admin", 0.0),
    40003: ("unknown_recipient", "refused", 0.0),
    40007: ("bad_media", "refused", 0.0),
    40004: ("bad_media", "refused", 0.0),
    40005: ("bad_media", "refused", 0.0),
    40008: ("kind_not_supported", "refused", 0.0),
    **dict.fromkeys((44001, 44002, 44003, 44004, 47001), ("not_accepted", "refused", 0.0)),
    87014: ("content_refused", "refused", 0.0),
    40006: ("too_large", "refused", 0.0),
    40009: ("too_large", "refused", 0.0),
    45001: ("too_large", "refused", 0.0),
    **dict.fromkeys(range(45002, 45009), ("too_large", "refused", 0.0)),
    43004: ("not_a_follower", "customer", 0.0),
    50005: ("not_a_follower", "customer", 0.0),
    43019: ("not_a_follower", "customer", 0.0),
    45015: ("window_closed", "customer", 0.0),
    45047: ("quota_used", "customer", 0.0),
    48002: ("refused_by_customer", "customer", 0.0),
    45009: ("daily_limit", "slower", 600.0),
    45011: ("too_fast", "slower", 5.0),
    **dict.fromkeys(range(61451, 61459), ("bad_service_account", "admin", 0.0)),
}
"""By error code: our reason, what is to become of the message, and for how many seconds the account rests."""


def read(answer: Answered) -> dict[str, Any]:
    """The JSON object that came back.

    Raises:
        NotSent: it is none: something between us and WeChat answered.
    """
    if answer.status >= 300:  # noqa: PLR2004  # HTTP
        raise NotSent("channel_busy", "again")
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise NotSent("channel_unreadable", "again") from error
    if not isinstance(value, dict):
        raise NotSent("channel_unreadable", "again")
    return value


def code_of(value: Mapping[str, Any]) -> int:
    """The error code of an answer; 0: there is none."""
    code = value.get("errcode", 0)
    return code if isinstance(code, int) and not isinstance(code, bool) else -1


def failure(code: int) -> NotSent:
    """What an error code means."""
    reason, fate, pause_s = MEANINGS.get(code, (f"wechat_{code}", "admin", 0.0))
    return NotSent(reason, fate, pause_s=pause_s)
