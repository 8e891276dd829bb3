"""Access tokens of channel accounts: one row for all processes, sealed; one of them renews it, the others wait."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import asyncpg

from src.errors import StartupError, StoreUnreachable
from src.store.connections import ACQUIRE_S_MAX, translated
from src.store.seal import Sealer

RENEW_S_MAX: Final = 40.0
"""So long one process may take to renew a token, which is two calls at most, before another one tries."""

PAUSE_S_MIN: Final = 60.0
PAUSE_S_MAX: Final = 7_200.0
"""Where the token that took the place of a stale one does not hold either, the next is asked for so much later, twice
as long each time. WeChat gives 20 by force in a day, and none within 30 seconds.
"""

LOOK_AGAIN_S: Final = 0.2
EARLY_S: Final = 60.0
"""A token is no longer used so long before it runs out."""

_LOOK: Final = """\
SELECT token, greatest(0, extract(epoch FROM expires_at - clock_timestamp()))::float8 FROM channel_tokens
WHERE tenant = $1 AND account = $2 AND made_with = $3 AND token IS NOT NULL AND expires_at > clock_timestamp()"""

_CLAIM: Final = """\
INSERT INTO channel_tokens AS kept (tenant, account, made_with, renewing_until)
VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
ON CONFLICT (tenant, account) DO UPDATE SET renewing_until = excluded.renewing_until
  WHERE kept.renewing_until IS NULL OR kept.renewing_until < clock_timestamp()
RETURNING tenant"""
"""Its value is there for the one process that is to renew the token; the others look again."""

_KEEP: Final = """\
UPDATE channel_tokens SET made_with = $3, token = $4, renewing_until = NULL,
  expires_at = clock_timestamp() + make_interval(secs => $5)
WHERE tenant = $1 AND account = $2"""

_LET_GO: Final = "UPDATE channel_tokens SET renewing_until = NULL WHERE tenant = $1 AND account = $2"

Fetch = Callable[[bool], Awaitable[tuple[str, int]]]
"""Asks for a token and its seconds; true: for a new one, whether or not the last has run out."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A token, and until when it is used (monotonic seconds)."""

    token: str
    made_with: str
    until: float


@dataclass(frozen=True, slots=True)
class _Renewed:
    """A token that took the place of a stale one; it is not renewed itself before a time (monotonic seconds)."""

    token: str
    made_with: str
    pause_s: float
    until: float


class Tokens:
    """Access tokens by tenant and account. `monotonic` gives seconds that never go back."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._sealer = sealer
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str], Kept] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._renewed: dict[tuple[str, str], _Renewed] = {}

    async def get(
        self, tenant: str, account: str, credentials: Mapping[str, str], fetch: Fetch, stale: str | None = None
    ) -> str:
        """The token that holds, or one that `fetch` gives; never `stale`, unless nobody gives another.

        Where `stale` took the place of another a short while ago it is given: the fault is not the token's.

        `credentials` are what it is fetched with: others, another token.

        Raises:
            StoreUnreachable: the database went away.
        """
        made_with = sha256(repr(sorted(credentials.items())).encode()).hexdigest()
        key = (tenant, account)
        kept = self._held(key, made_with, stale)
        if kept is None:
            async with self._locks.setdefault(key, asyncio.Lock()):
                kept = self._held(key, made_with, stale)
                if kept is None:
                    kept = self._kept[key] = await self._look_or_renew((*key, made_with), fetch, stale)
        return kept.token

    def _held(self, key: tuple[str, str], made_with: str, stale: str | None) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None or kept.made_with != made_with or kept.token == stale or kept.until <= self._monotonic():
            return None
        return kept

    async def _look_or_renew(self, key: tuple[str, str, str], fetch: Fetch, stale: str | None) -> Kept:
        tenant, account, made_with = key
        while True:
            found = await self._look(key)
            if found is not None and (found.token != stale or self._rests(key, stale)):
                return found
            if await self._run("fetchval", _CLAIM, tenant, account, made_with, RENEW_S_MAX):
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            token, lives_s = await fetch(False)
            if token == stale:
                token, lives_s = await fetch(True)
            seconds = float(max(1.0, lives_s - EARLY_S))
            sealed = self._sealer.seal(token)
            await self._run("execute", _KEEP, tenant, account, made_with, sealed, seconds)
            if stale is not None:
                self._note(key, stale, token)
        except BaseException:
            await self._give_up(tenant, account)
            raise
        return Kept(token, made_with, self._monotonic() + seconds)

    def _rests(self, key: tuple[str, str, str], stale: str) -> bool:
        renewed = self._renewed.get(key[:2])
        return (
            renewed is not None
            and (renewed.token, renewed.made_with) == (stale, key[2])
            and self._monotonic() < renewed.until
        )

    def _note(self, key: tuple[str, str, str], stale: str, token: str) -> None:
        before, now, pause_s = self._renewed.get(key[:2]), self._monotonic(), PAUSE_S_MIN
        if before is not None and before.token == stale and now < before.until + PAUSE_S_MAX:
            pause_s = min(PAUSE_S_MAX, before.pause_s * 2)
        self._renewed[key[:2]] = _Renewed(token, key[2], pause_s, now + pause_s)

    async def _look(self, key: tuple[str, str, str]) -> Kept | None:
        row: Any = await self._run("fetchrow", _LOOK, *key)
        if row is None:
            return None
        try:
            return Kept(self._sealer.open(row[0]), key[2], self._monotonic() + row[1])
        except StartupError:
            return None  # sealed with a key that is no longer known

    async def _give_up(self, tenant: str, account: str) -> None:
        """Let somebody else try at once; where that cannot be said, in some seconds."""
        try:
            await asyncio.shield(self._run("execute", _LET_GO, tenant, account))
        except (StoreUnreachable, asyncio.CancelledError):
            return

    async def _run(self, how: str, statement: str, *values: object) -> object:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            found: object = await getattr(connection, how)(statement, *values)
            return found
