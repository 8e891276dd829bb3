"""Visitor tokens: signed by the service, kept nowhere. They say which visitor of which account it is, and until when.

A `visit` token opens sockets and carries requests, for an hour. A `resume` token does nothing but begin another session
of the same visitor; it is what a browser keeps, so that an anonymous visitor is found again.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt

from src.dispatch.inbound import Identity
from src.errors import Unauthenticated

VISIT_S: Final = 3_600
RESUME_S: Final = 30 * 86_400
TOKEN_CHARS_MAX: Final = 4_096

_ALGORITHM: Final = "HS256"
_NEEDED: Final = ("use", "tenant", "account", "type", "value", "exp")
_UNTIMED: Final = {"verify_exp": False, "verify_iat": False, "verify_aud": False, "require": list(_NEEDED)}

Use = Literal["visit", "resume"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a token belongs to. `identity` is as the tenant's customers have it; `expires_at_s` since the epoch."""

    tenant: str
    account: str
    identity: Identity
    expires_at_s: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What is counted as one visitor."""
        return (self.account, *self.identity.key)


class VisitorTokens:
    """Makes and reads tokens. `secrets` are the service's own: the first signs, the others are still read."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [hmac.digest(each.encode(), b"cordboard visitors", "sha256") for each in secrets]

    def make(self, use: Use, visitor: Visitor) -> str:
        """A token of this visitor."""
        identity = visitor.identity
        claims: dict[str, Any] = {
            "use": use,
            "tenant": visitor.tenant,
            "account": visitor.account,
            "type": identity.type,
            "value": identity.value,
            "exp": visitor.expires_at_s,
        }
        if identity.display_name is not None:
            claims["name"] = identity.display_name
        return jwt.encode(claims, self._keys[0], _ALGORITHM)

    def read(self, use: Use, token: str, account: str, now_ms: int) -> Visitor:
        """Whose token it is.

        Raises:
            Unauthenticated: it is not good, for something else, of another account, or over.
        """
        claims = self._claims(token)
        texts = [claims.get(each) for each in _NEEDED[:-1]]
        name, expires = claims.get("name"), claims.get("exp")
        if not all(isinstance(each, str) for each in texts) or not isinstance(expires, int):
            raise Unauthenticated("the visitor token is not valid")
        if claims["use"] != use or claims["account"] != account:
            raise Unauthenticated("the visitor token is for something else")
        if expires * 1000 <= now_ms:
            raise Unauthenticated("the visitor token is over: begin a session", expired=True)
        identity = Identity(claims["type"], claims["value"], name if isinstance(name, str) else None)
        return Visitor(claims["tenant"], claims["account"], identity, expires)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) <= TOKEN_CHARS_MAX and token.isascii():
            for key in self._keys:
                try:
                    found: dict[str, Any] = jwt.decode(token, key, [_ALGORITHM], options=_UNTIMED)  # type: ignore[arg-type]
                except (jwt.PyJWTError, ValueError):
                    continue
                return found
        raise Unauthenticated("the visitor token is not valid")
