"""Keys that sign agent tokens, as their issuers publish them (RFC 7517): fetched when needed, kept for a while.

What comes from outside is public keys, and nothing else is taken from it: neither a shared secret nor a private key.
"""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import structlog

from src.connectors.outward import Failed, Network, Outward, allowed
from src.connectors.template import Asked, check_url
from src.dispatch.ports import Clock
from src.errors import Malformed, Unavailable

FRESH_S: Final = 300.0
"""A set is asked for anew when it is older."""

STALE_S: Final = 3_600.0
"""While it cannot be had, the last one is believed for so long."""

COOLDOWN_S: Final = 10.0
"""An issuer is asked at most so often, whatever unknown keys tokens name."""

TIMEOUT_S: Final = 5.0
RETRIES: Final = 1
KEYS_MAX: Final = 50
SETS_MAX: Final = 1_000
RSA_BITS_MIN: Final = 2_048

_SHAPES: Final[Mapping[str, Mapping[str, str]]] = {"RS256": {"kty": "RSA"}, "ES256": {"kty": "EC", "crv": "P-256"}}
_PRIVATE: Final = frozenset({"d", "p", "q", "k"})

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Set:
    """The keys of one address, by algorithm and name. Times are monotonic seconds."""

    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fetched_s: float | None = None
    asked_s: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """The key sets that tenants name. `also` are networks that are not public and may be asked all the same."""

    def __init__(self, outward: Outward, clock: Clock, also: Sequence[Network]) -> None:
        self._outward = outward
        self._clock = clock
        self._also = also
        self._sets: OrderedDict[tuple[str, str], _Set] = OrderedDict()

    def check(self, url: str) -> None:
        """Look at an address before it is stored.

        Raises:
            Malformed: it is none, or anybody on the way could put keys of their own into the answer.
        """
        check_url(url)
        parts = urlsplit(url)
        if "{" in url or "}" in url:
            raise Malformed("an address of keys has no placeholders", field="jwks_url")
        if parts.scheme == "https":
            return
        try:
            address = ipaddress.ip_address(parts.hostname or "")
        except ValueError:
            address = None
        if address is None or address.is_global or not allowed(address, self._also):
            raise Malformed("jwks_url must be https://", field="jwks_url")

    async def key(self, tenant: str, url: str, algorithm: str, name: str | None) -> Any:  # noqa: ANN401  # a public key
        """The key of this name, or the only one of the algorithm where a token names none; None: there is none.

        Raises:
            Unavailable: the issuer cannot be asked, and no set of its is at hand.
        """
        kept = self._sets.setdefault((tenant, url), _Set())
        self._sets.move_to_end((tenant, url))
        if len(self._sets) > SETS_MAX:
            self._sets.popitem(last=False)
        if not self._fresh(kept) or _pick(kept, algorithm, name) is None:
            async with kept.lock:
                if self._may_ask(kept, algorithm, name):
                    await self._fetch(kept, url)
        now_s = self._clock.monotonic()
        if kept.fetched_s is None or now_s - kept.fetched_s > STALE_S:
            raise Unavailable("the issuer of tokens cannot be asked for its keys", retry_after_s=int(COOLDOWN_S))
        return _pick(kept, algorithm, name)

    def _fresh(self, kept: _Set) -> bool:
        return kept.fetched_s is not None and self._clock.monotonic() - kept.fetched_s <= FRESH_S

    def _may_ask(self, kept: _Set, algorithm: str, name: str | None) -> bool:
        """Asked again behind the lock: somebody else may have fetched it meanwhile."""
        if self._fresh(kept) and _pick(kept, algorithm, name) is not None:
            return False
        return kept.asked_s is None or self._clock.monotonic() - kept.asked_s > COOLDOWN_S

    async def _fetch(self, kept: _Set, url: str) -> None:
        kept.asked_s = self._clock.monotonic()
        try:
            found = _parsed(await self._outward.fetch(Asked("GET", url, None), {}, TIMEOUT_S, RETRIES))
        except Failed as failed:
            _log.warning("jwks.failed", code=failed.code)
            return
        if found:
            kept.keys, kept.fetched_s = found, self._clock.monotonic()


def _pick(kept: _Set, algorithm: str, name: str | None) -> Any:  # noqa: ANN401  # a public key
    found = kept.keys.get(algorithm, {})
    if name is not None:
        return found.get(name)
    return next(iter(found.values())) if len(found) == 1 else None


def _parsed(document: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401  # whatever the issuer answered
    """Public keys by algorithm and name; what is not for signatures, or not understood, is passed over."""
    listed = document.get("keys") if isinstance(document, dict) else None
    found: dict[str, dict[str, Any]] = {}
    for place, each in enumerate(listed[:KEYS_MAX] if isinstance(listed, list) else ()):
        for algorithm, shape in _SHAPES.items():
            key = _public_key(each, algorithm, shape)
            if key is not None:
                name = each.get("kid", f" {place}")
                found.setdefault(algorithm, {})[name if isinstance(name, str) else f" {place}"] = key
    return found


def _public_key(each: Any, algorithm: str, shape: Mapping[str, str]) -> Any:  # noqa: ANN401  # JSON; a public key
    if not isinstance(each, dict) or any(each.get(name) != value for name, value in shape.items()):
        return None
    if each.get("alg", algorithm) != algorithm or each.get("use", "sig") != "sig" or _PRIVATE & each.keys():
        return None
    operations = each.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK.from_dict(each, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if algorithm == "RS256" and key.key_size < RSA_BITS_MIN else key
