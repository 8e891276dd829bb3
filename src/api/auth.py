"""Who is asking, and what may they do. Credentials are API keys and agent tokens; nothing is open by default."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

import jwt

from src.api.jwks import KeySets
from src.dispatch.facts import TrustFact
from src.dispatch.ports import Clock
from src.errors import Conflict, Forbidden, Malformed, StartupError, Unauthenticated
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

_SHARED: Final = "HS256"
"""The one algorithm that is by a secret of the tenant's; every other is by a public key."""

CURRENT: Final = "current"
PREVIOUS: Final = "previous"
"""What the secrets of a tenant are called where they are stored."""

T = TypeVar("T")
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


@dataclass(frozen=True, slots=True)
class _Trust:
    """Which tokens a tenant takes. The secret before is good until `previous_until`, in milliseconds."""

    algorithms: frozenset[str]
    secret: str
    previous: str | None
    previous_until: int
    jwks_url: str | None
    issuer: str | None
    audience: str | None

    def good_secrets(self, now: int) -> list[str]:
        """The secrets that sign tokens, the newest first."""
        previous = self.previous if now < self.previous_until else None
        return [self.secret] if previous is None else [self.secret, previous]


def new_key() -> tuple[str, str]:
    """A new API key and what is stored of it. 256 random bits need no slow hash: SHA-256."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return key, key_hash(key)


def key_hash(key: str) -> str:
    """What is stored of an API key, hex."""
    return sha256(key.encode()).hexdigest()


class _Remembered(Generic[T]):
    """What was looked up, for a few seconds. Whoever asks while it is being looked up waits for that.

    So thousands of desktops that come at once ask the database once, and leave its connections to what follows.
    """

    def __init__(self, look_up: Callable[[str], Awaitable[T]], clock: Clock) -> None:
        self._look_up = look_up
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str) -> T:
        """The same as looking it up."""
        known = self._known.get(name)
        if known is not None and known[0] >= self._clock.monotonic():
            return known[1]
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.create_task(self._ask(name))
        return await asyncio.shield(task)

    def forget(self, name: str) -> None:
        """It has changed: also what is being looked up now may be what it was."""
        self._known.pop(name, None)
        self._asked.pop(name, None)

    async def _ask(self, name: str) -> T:
        task = asyncio.current_task()
        try:
            found = await self._look_up(name)
            if self._asked.get(name) is task:
                self._known[name] = (self._clock.monotonic() + KEY_CACHE_S, found)
                if len(self._known) > KEYS_CACHED_MAX:
                    self._known.popitem(last=False)
            return found
        finally:
            if self._asked.get(name) is task:
                del self._asked[name]


class Authenticator:
    """Turns a credential into a principal. Keys are remembered for a few seconds; `forget` drops one at once."""

    def __init__(self, queries: Queries, sealer: Sealer, clock: Clock, key_sets: KeySets) -> None:
        self.key_sets = key_sets
        self._queries = queries
        self._sealer = sealer
        self._clock = clock
        self._keys = _Remembered(self._read_key, clock)
        self._trusts = _Remembered(self._read_trust, clock)

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
        self._keys.forget(hashed)

    async def mint(self, tenant: str, agent_id: str, role: str, issued_at_s: int, ttl_s: int) -> str:
        """An agent token. The same arguments give the same token, as long as the tenant has the same secret.

        Raises:
            Conflict: the tenant does not take what this service could sign.
        """
        claims = {"sub": agent_id, "tenant": tenant, "role": role, "iat": issued_at_s, "exp": issued_at_s + ttl_s}
        trust = await self._trusts.get(tenant)
        if _SHARED not in trust.algorithms:
            raise Conflict("the tenant takes no tokens by HS256: its identity provider makes them")
        return jwt.encode(claims, trust.secret, _SHARED)

    def forget_trust(self, tenant: str) -> None:
        """Which tokens a tenant takes was changed."""
        self._trusts.forget(tenant)

    async def _key(self, hashed: str) -> Principal:
        principal = await self._keys.get(hashed)
        if principal.expires_at_s is not None and principal.expires_at_s * 1000 <= self._clock.now_ms():
            raise Unauthenticated("the API key has been rotated: its new form is needed")
        return principal

    async def _read_key(self, hashed: str) -> Principal:
        found = await self._queries.key_by_hash(hashed)
        if found is None or found[1].revoked_at is not None:
            raise Unauthenticated("the API key is not valid")
        tenant, key = found
        until = None if key.hash == hashed else (key.previous_until or 0) / 1000
        return Principal(tenant, key.id, frozenset(key.scopes), None, until, key.requests_per_s)

    async def _token(self, token: str) -> Principal:
        try:
            head = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            tenant = str(unverified.get("tenant"))
            trust = await self._trusts.get(tenant)
            claims = await self._verified(token, head, tenant, trust)
        except (jwt.PyJWTError, KeyError, ValueError, TypeError, Malformed) as error:
            raise Unauthenticated("the token is not valid") from error
        role, agent_id, expires = claims["role"], claims["sub"], claims["exp"]
        if role not in ("agent", "supervisor") or not isinstance(agent_id, str):
            raise Unauthenticated("the token is not valid")
        scopes = _SUPERVISOR_SCOPES if role == "supervisor" else frozenset[str]()
        return Principal(tenant, agent_id, scopes, role, float(expires))

    async def _verified(self, token: str, head: Mapping[str, Any], tenant: str, trust: _Trust) -> dict[str, Any]:
        """The claims of a token, by a key that belongs to its algorithm and to no other.

        Raises:
            jwt.PyJWTError: it is not good.
            KeyError: its algorithm is not one that the tenant takes, or its key is not known.
        """
        algorithm = head["alg"]
        if algorithm not in trust.algorithms:
            raise KeyError(algorithm)
        required = ["exp", "sub", "tenant", "role"]
        if algorithm == _SHARED:
            for secret in trust.good_secrets(self._clock.now_ms()):
                with suppress(jwt.InvalidSignatureError):
                    return dict(jwt.decode(token, secret, [_SHARED], options=_options(required)))
            raise KeyError(algorithm)
        assert trust.jwks_url is not None
        key = await self.key_sets.key(tenant, trust.jwks_url, algorithm, head.get("kid"))
        if key is None:
            raise KeyError(algorithm)
        required += ["iss"] * (trust.issuer is not None) + ["aud"] * (trust.audience is not None)
        options = _options(required, audience=trust.audience is not None)
        claims = jwt.decode(token, key, [algorithm], issuer=trust.issuer, audience=trust.audience, options=options)
        return dict(claims)

    async def _read_trust(self, tenant: str) -> _Trust:
        """Which tokens a tenant takes.

        Raises:
            KeyError: there is no such tenant, or its secrets cannot be opened.
        """
        found, stored = await self._queries.tenant(tenant), await self._queries.token_trust(tenant)
        if found is None:
            raise KeyError(tenant)
        stored = stored or TrustFact({})
        try:
            current = self._sealer.open(stored.secrets.get(CURRENT, found.jwt_secret))
            previous = self._sealer.open(stored.secrets[PREVIOUS]) if PREVIOUS in stored.secrets else None
        except StartupError as error:
            raise KeyError(tenant) from error
        body = stored.body
        return _Trust(
            frozenset(body.get("algorithms", (_SHARED,))),
            current,
            previous,
            body.get("previous_until") or 0,
            body.get("jwks_url"),
            body.get("issuer"),
            body.get("audience"),
        )


def _options(required: Sequence[str], *, audience: bool = False) -> Any:  # noqa: ANN401  # PyJWT's
    # When it was issued is its issuer's word, whose clock may be ahead.
    return {"require": list(required), "verify_aud": audience, "verify_iat": False}
