"""Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 over id, time and body, once for each secret."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
BYTES: Final = 32
BYTES_MIN: Final = 24
BYTES_MAX: Final = 64


def new_secret() -> str:
    """A secret as receivers are given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key within a secret.

    Raises:
        ValueError: it is none: `whsec_` and base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("must be whsec_ and base64") from error
    if not secret.startswith(PREFIX) or not BYTES_MIN <= len(key) <= BYTES_MAX:
        raise ValueError(f"must be whsec_ and base64 of {BYTES_MIN} to {BYTES_MAX} bytes")
    return key


def headers(event_id: str, at_s: int, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The headers that let a receiver check who sent a body, and when (seconds since the epoch)."""
    signed = f"{event_id}.{at_s}.".encode() + body
    signatures = [hmac.new(key_of(each), signed, hashlib.sha256).digest() for each in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
