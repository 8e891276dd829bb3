"""What WeCom's answers mean for a message that was to go out. Must not know how they came.

Codes: developer.work.weixin.qq.com/document/path/90313 and …/94670. What is not listed is shown to the admin.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from src.channels.base import Answered
from src.errors import NotSent

Fate = Literal["again", "slower", "customer", "refused", "admin"]

BAD_TOKEN: Final = frozenset({40014, 41001, 42001})
"""The access token does not hold (any more): it is renewed once."""

NOT_OURS: Final = frozenset({95016, 95018})
"""The session is not in a state in which we may send: it is asked for once."""

MEANINGS: Final[Mapping[int, tuple[str, Fate, float]]] = {
    -1: ("channel_busy", "again", 0.0),
    40014: ("bad_credentials", "admin", 0.0),
    41001: ("bad_credentials", "admin", 0.0),
    42001: ("bad_credentials", "admin", 0.0),
    40001: ("bad_credentials", "admin", 0.0),
    40013: ("bad_credentials", "admin", 0.0),
    60020: ("address_not_allowed", "admin", 0.0),
    95000: ("bad_service_account", "admin", 0.0),
    95004: ("bad_service_account", "admin", 0.0),
    95017: ("not_authorised", "admin", 0.0),
    48002: ("not_authorised", "admin", 0.0),
    95001: ("quota_used", "customer", 0.0),
    95013: ("session_over", "customer", 0.0),
    95016: ("session_over", "customer", 0.0),
    95018: ("session_over", "customer", 0.0),
    40007: ("bad_media", "refused", 0.0),
    45002: ("too_large", "refused", 0.0),
    45009: ("too_fast", "slower", 60.0),
}
"""By error code: our reason, what is to become of the message, and for how many seconds the account rests."""

FAILED_LATER: Final[Mapping[int, str]] = {
    1: "bad_service_account",
    2: "not_authorised",
    4: "window_closed",
    5: "session_over",
    6: "quota_used",
    8: "not_authorised",
    10: "refused_by_customer",
}
"""By `fail_type` of `msg_send_fail`: why a message that had been taken did not arrive."""


def read(answer: Answered) -> dict[str, Any]:
    """The JSON object that came back.

    Raises:
        NotSent: it is none: something between us and WeCom answered.
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
    reason, fate, pause_s = MEANINGS.get(code, (f"wecom_{code}", "admin", 0.0))
    return NotSent(reason, fate, pause_s=pause_s)
