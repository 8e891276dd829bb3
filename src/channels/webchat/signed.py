"""What a website says of a visitor who is signed in there, and how it vouches for it: an HMAC with a time limit."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from src.dispatch.inbound import Identity
from src.errors import BadSignature, Malformed, StaleTimestamp

KEY_CHARS_MIN: Final = 16
USER_CHARS_MAX: Final = 120
VOUCHED_S_MAX: Final = 86_400
"""A signature is good for a day at most."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A website's word: `signature` is hex, HMAC-SHA256 over `signed_text` with the account's `identity_key`.

    `expires_at` is in seconds since the epoch. `name` is not vouched for: it is shown, and nothing is found by it.
    """

    user_id: str
    expires_at: int
    signature: str
    name: str | None = None


def signed_text(user_id: str, expires_at: int) -> bytes:
    """What is signed: the end of the user's id is clear, whatever stands in it."""
    return f"{expires_at}.{user_id}".encode()


def sign(key: str, user_id: str, expires_at: int) -> str:
    """The signature that a website's server makes."""
    return hmac.new(key.encode(), signed_text(user_id, expires_at), "sha256").hexdigest()


def user_of(claim: Claim, secrets: Mapping[str, str], now_ms: int) -> Identity:
    """The user whom the website vouches for.

    Raises:
        BadSignature: it does not, or the account has no key.
        StaleTimestamp: it did, for a time that is over, or that is longer than a day.
        Malformed: a user id that is none.
    """
    keys = [secrets[each] for each in ("identity_key", "previous_identity_key") if each in secrets]
    if not 0 < len(claim.user_id) <= USER_CHARS_MAX or not claim.user_id.isprintable() or claim.user_id.isspace():
        raise Malformed(f"user_id must be 1 to {USER_CHARS_MAX} printable characters", field="identity.user_id")
    given = claim.signature.encode("utf-8", "replace")
    good = [hmac.compare_digest(sign(key, claim.user_id, claim.expires_at).encode(), given) for key in keys]
    if not any(good):
        raise BadSignature("the website does not vouch for this user")
    left_s = claim.expires_at - now_ms / 1000
    if not 0 < left_s <= VOUCHED_S_MAX:
        raise StaleTimestamp(f"expires_at must lie ahead, by {VOUCHED_S_MAX} s at most")
    return Identity("web_user", claim.user_id, claim.name)
