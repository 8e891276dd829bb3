"""Credentials that thousands show at once are looked up once."""

import asyncio
from typing import Any, cast

import pytest

from src.api.auth import Authenticator, new_key
from src.dispatch.clock import SystemClock
from src.dispatch.facts import KeyFact
from src.errors import Unauthenticated

DESKTOPS = 1_000


class Slow:
    """A store that knows one key, takes its time and counts who asks."""

    def __init__(self, hashed: str) -> None:
        self.hashed = hashed
        self.asked = 0
        self.revoked_at: int | None = None

    async def key_by_hash(self, hashed: str) -> tuple[str, KeyFact] | None:
        self.asked += 1
        key = KeyFact("k1", self.hashed, "a key", ("contacts:read",), 0, revoked_at=self.revoked_at)
        await asyncio.sleep(0.01)
        return ("t1", key) if hashed == self.hashed else None


def _authenticator(hashed: str) -> tuple[Slow, Authenticator]:
    store = Slow(hashed)
    return store, Authenticator(cast("Any", store), cast("Any", None), SystemClock(), cast("Any", None))


async def test_who_comes_at_once_is_looked_up_once() -> None:
    key, hashed = new_key()
    store, auth = _authenticator(hashed)
    found = await asyncio.gather(*(auth.credential(key) for _ in range(DESKTOPS)))
    assert (DESKTOPS, {"t1"}, 1) == (len(found), {each.tenant for each in found}, store.asked)
    await auth.credential(key)
    assert store.asked == 1, "it is remembered"


async def test_one_that_goes_away_takes_nothing_from_the_others_and_a_bad_key_is_refused_to_all() -> None:
    key, hashed = new_key()
    store, auth = _authenticator(hashed)
    first, second = (asyncio.create_task(auth.credential(key)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert "t1" == (await second).tenant
    bad, _ = new_key()
    refused = await asyncio.gather(*(auth.credential(bad) for _ in range(3)), return_exceptions=True)
    assert [Unauthenticated] * 3 == [type(each) for each in refused]
    assert 2 == store.asked


async def test_what_was_being_looked_up_when_a_key_was_revoked_is_not_remembered() -> None:
    key, hashed = new_key()
    store, auth = _authenticator(hashed)
    under_way = asyncio.create_task(auth.credential(key))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.revoked_at = 1
    auth.forget(hashed)
    await under_way
    with pytest.raises(Unauthenticated):
        await auth.credential(key)
