"""Who is asking, and what may they do. Credentials are API keys and agent tokens; nothing is open by default."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt

from src.dispatch.ports import Clock
from src.errors import Forbidden, Malformed, StartupError, Unauthenticated
from src.store.queries import Queries
from src.store.seal import Sealer

KEY_PREFIX: Final = "cb_"
KEY_BYTES: Final = 32
KEYS_CACHED_MAX: Final = 10_000
KEY_CACHE_S: Final = 5.0
TOKEN_CHARS_MAX: Final = 4_096

SCOPES: Final = (
    "contacts:write",
    "contacts:read",
    "agents:write",
    "agents:read",
    "config:write",
    "events:read",
    "admin",
)

_ALGORITHM: Final = "HS256"
_TOKEN_DOTS: Final = 2  # a JWT has three parts
_SUPERVISOR_SCOPES: Final = frozenset({"contacts:read", "agents:read", "events:read"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a credential belongs to. `id` is the key's id or the agent's; `role` is None for keys.

    `expires_at_s` since the epoch, None: it does not; `requests_per_s` None: as the service says.
    """

    tenant: str
    id: str
    scopes: frozenset[str]
    role: str | None = None
    expires_at_s: float | None = None
    requests_per_s: int | None = None

    @property
    def acting_agent(self) -> str | None:
        """The agent that this principal may act for alone; None: it may act for any."""
        return self.id if self.role == "agent" else None

    def may(self, scope: str) -> bool:
        """Whether a scope is there."""
        return scope in self.scopes or "admin" in self.scopes

    def need(self, scope: str, *, supervisor: bool = False, agent_id: str | None = None) -> None:
        """Insist on a scope. A supervisor's token or the named agent's own token will do where it says so.

        Raises:
            Forbidden: none of these.
        """
        if self.may(scope):
            return
        if supervisor and self.role == "supervisor":
            return
        if agent_id is not None and self.role == "agent" and self.id == agent_id:
            return
        raise Forbidden(f"this needs the scope {scope}", scope=scope)


def new_key() -> tuple[str, str]:
    """A new API key and what is stored of it. 256 random bits need no slow hash: SHA-256."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, key_hash(key)


def key_hash(key: str) -> str:
    """What is stored of an API key, hex."""
    return sha256(key.encode()).hexdigest()


class Authenticator:
    """Turns a credential into a principal. Keys are remembered for a few seconds; `forget` drops one at once."""

    def __init__(self, queries: Queries, sealer: Sealer, clock: Clock) -> None:
        self._queries = queries
        self._sealer = sealer
        self._clock = clock
        self._keys: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        self._jwt_secrets: dict[str, str] = {}

    async def bearer(self, header: str | None) -> Principal:
        """The principal of an `Authorization` header.

        Raises:
            Unauthenticated: there is none, or it is not good.
        """
        if header is None:
            raise Unauthenticated("an Authorization header with a bearer credential is needed")
        kind, _, credential = header.partition(" ")
        if kind.lower() != "bearer" or not credential:
            raise Unauthenticated("the Authorization header holds no bearer credential")
        return await self.credential(credential.strip())

    async def credential(self, credential: str) -> Principal:
        """The principal of a key or token.

        Raises:
            Unauthenticated: it is not good.
        """
        if len(credential) > TOKEN_CHARS_MAX or not credential.isascii():
            raise Unauthenticated("the credential is not valid")
        if credential.count(".") == _TOKEN_DOTS and not credential.startswith(KEY_PREFIX):
            return await self._token(credential)
        return await self._key(key_hash(credential))

    def forget(self, hashed: str) -> None:
        """A key was revoked."""
        self._keys.pop(hashed, None)

    async def mint(self, tenant: str, agent_id: str, role: str, issued_at_s: int, ttl_s: int) -> str:
        """An agent token. The same arguments give the same token."""
        claims = {"sub": agent_id, "tenant": tenant, "role": role, "iat": issued_at_s, "exp": issued_at_s + ttl_s}
        return jwt.encode(claims, await self._jwt_secret(tenant), _ALGORITHM)

    async def _key(self, hashed: str) -> Principal:
        cached = self._keys.get(hashed)
        if cached is None or cached[0] < self._clock.monotonic():
            found = await self._queries.key_by_hash(hashed)
            if found is None or found[1].revoked_at is not None:
                self.forget(hashed)
                raise Unauthenticated("the API key is not valid")
            tenant, key = found
            until = None if key.hash == hashed else (key.previous_until or 0) / 1000
            principal = Principal(tenant, key.id, frozenset(key.scopes), None, until, key.requests_per_s)
            cached = self._keys[hashed] = (self._clock.monotonic() + KEY_CACHE_S, principal)
            if len(self._keys) > KEYS_CACHED_MAX:
                self._keys.popitem(last=False)
        principal = cached[1]
        if principal.expires_at_s is not None and principal.expires_at_s * 1000 <= self._clock.now_ms():
            raise Unauthenticated("the API key has been rotated: its new form is needed")
        return principal

    async def _token(self, token: str) -> Principal:
        try:
            unverified = jwt.decode(token, options={"verify_signature": False})
            secret = await self._jwt_secret(str(unverified.get("tenant")))
            claims: dict[str, Any] = jwt.decode(
                token, secret, [_ALGORITHM], options={"require": ["exp", "sub", "tenant", "role"]}
            )
        except (jwt.PyJWTError, KeyError, ValueError, Malformed) as error:
            raise Unauthenticated("the token is not valid") from error
        role, agent_id, expires = claims["role"], claims["sub"], claims["exp"]
        if role not in ("agent", "supervisor") or not isinstance(agent_id, str):
            raise Unauthenticated("the token is not valid")
        scopes = _SUPERVISOR_SCOPES if role == "supervisor" else frozenset[str]()
        return Principal(str(claims["tenant"]), agent_id, scopes, role, float(expires))

    async def _jwt_secret(self, tenant: str) -> str:
        secret = self._jwt_secrets.get(tenant)
        if secret is None:
            found = await self._queries.tenant(tenant)
            if found is None:
                raise KeyError(tenant)
            try:
                secret = self._jwt_secrets[tenant] = self._sealer.open(found.jwt_secret)
            except StartupError as error:
                raise KeyError(tenant) from error
        return secret
