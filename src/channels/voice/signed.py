"""Requests that are signed by Standard Webhooks with an account's secret, as they arrive."""

import base64
import hashlib
import hmac
from typing import Final

from src.channels.base import Account, ChannelRequest
from src.dispatch.signatures import key_of
from src.errors import BadSignature, StaleTimestamp

TOLERANCE_S: Final = 300
"""How many seconds a request may differ from now."""

ID_CHARS_MAX: Final = 128
SIGNATURES_MAX: Final = 10


def verified(request: ChannelRequest, account: Account, now_ms: int) -> str:
    """The id of a request that is proven to come from whoever has the account's secret, and is fresh.

    Raises:
        BadSignature: the signature is missing or does not fit.
        StaleTimestamp: it was signed more than `TOLERANCE_S` away from now.
    """
    event_id = request.headers.get("webhook-id", "")
    timestamp = request.headers.get("webhook-timestamp", "")
    given = request.headers.get("webhook-signature", "").split(" ", SIGNATURES_MAX)[:SIGNATURES_MAX]
    if not event_id.isprintable() or not 0 < len(event_id) <= ID_CHARS_MAX:
        raise BadSignature(f"webhook-id must be 1 to {ID_CHARS_MAX} printable characters")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= len(str(now_ms))):
        raise BadSignature("webhook-timestamp must be a number of seconds")
    content = f"{event_id}.{timestamp}.".encode() + request.body
    keys = [key_of(account.secrets[name]) for name in ("secret", "previous_secret") if name in account.secrets]
    expected = [b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()) for key in keys]
    if not any(hmac.compare_digest(each.encode("utf-8", "replace"), one) for each in given for one in expected):
        raise BadSignature("the signature does not fit")
    if abs(int(timestamp) * 1_000 - now_ms) > TOLERANCE_S * 1_000:
        raise StaleTimestamp(f"the request is more than {TOLERANCE_S} s away from now")
    return event_id
