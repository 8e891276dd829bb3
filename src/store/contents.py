"""What is in media: bytes by tenant and hash, written once, read by whichever process is asked.

Bytes are there before anything names them, so whoever puts them holds them until the name is written, or refused. What
nobody holds and nothing names goes. Whoever takes a name away says so in the same transaction, by a hold that is over:
bytes are looked at once for each hold that ends, under a lock on their row, and by statements that begin behind it, so
that nothing that was put, named or taken away meanwhile is missed.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import asyncpg

from src.store.connections import ACQUIRE_S_MAX, translated

HELD_MS: Final = 3_600_000
"""A hold of a process that died ends by itself after so long."""

A_STEP: Final = 200

PUT: Final = """\
WITH put AS (
  INSERT INTO media_contents (tenant, hash, body) VALUES ($1, $2, $3)
  ON CONFLICT (tenant, hash) DO UPDATE SET hash = excluded.hash)
INSERT INTO media_holds (tenant, hash, id, until)
SELECT $1, $2, gen_random_uuid()::text, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $4 RETURNING id"""
"""Keeps the bytes and holds them. What is there already is locked: nobody takes it away before the hold is seen."""

UNNAMED: Final = """\
INSERT INTO media_holds (tenant, hash, id, until)
SELECT DISTINCT ON (hash) tenant, hash, gen_random_uuid()::text, 0 FROM media
WHERE tenant = $1 AND contact_id = ANY ($2::text[]) AND hash IS NOT NULL"""
"""For the transaction that takes away what these contacts name: their bytes are to be looked at behind it."""

OVER: Final = """\
SELECT tenant, hash FROM media_holds WHERE until <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
ORDER BY until LIMIT $1"""

LOCK: Final = "SELECT hash FROM media_contents WHERE tenant = $1 AND hash = ANY ($2::text[]) ORDER BY hash FOR UPDATE"

END: Final = """\
DELETE FROM media_holds USING (
  SELECT hash, id FROM media_holds WHERE tenant = $1 AND hash = ANY ($2::text[])
  AND (id = $3 OR until <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint) ORDER BY hash, id FOR UPDATE
) AS ended WHERE media_holds.tenant = $1 AND media_holds.hash = ended.hash AND media_holds.id = ended.id"""
"""In an order, as the locks are: of two who look at the same none waits for the other for ever."""

DROP: Final = """\
DELETE FROM media_contents WHERE tenant = $1 AND hash = ANY ($2::text[])
AND NOT EXISTS (SELECT FROM media WHERE media.tenant = $1 AND media.hash = media_contents.hash)
AND NOT EXISTS (SELECT FROM media_holds WHERE media_holds.tenant = $1 AND media_holds.hash = media_contents.hash)"""

GET: Final = "SELECT body FROM media_contents WHERE tenant = $1 AND hash = $2"


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that are kept: their SHA-256, in hex, and the id of the hold."""

    hash: str
    hold: str


class Contents:
    """Bytes under their SHA-256. They are there before anything names them, and stay while something does."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, tenant: str, body: bytes) -> Held:
        """Keep bytes, if they are not kept already, and hold them: for an hour, or until `let_go`.

        Raises:
            StoreUnreachable: the database went away.
        """
        hashed = sha256(body).hexdigest()
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            return Held(hashed, await connection.fetchval(PUT, tenant, hashed, body, HELD_MS))

    async def let_go(self, tenant: str, held: Held) -> None:
        """What was to name the bytes is written, or was refused: they go, if nothing names them and nobody holds them.

        Raises:
            StoreUnreachable: the database went away.
        """
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await _look(connection, tenant, [held.hash], held.hold)

    async def get(self, tenant: str, hashed: str) -> bytes | None:
        """The bytes again; None: they are not there.

        Raises:
            StoreUnreachable: the database went away.
        """
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            found: bytes | None = await connection.fetchval(GET, tenant, hashed)
        return found


async def sweep(connection: asyncpg.Connection) -> None:
    """Look at all bytes of which a hold is over, of every tenant. Several processes may do it at once."""
    while found := await connection.fetch(OVER, A_STEP):
        hashes: dict[str, set[str]] = defaultdict(set)
        for tenant, hashed in found:
            hashes[tenant].add(hashed)
        for tenant, theirs in hashes.items():
            await _look(connection, tenant, theirs)
        if len(found) < A_STEP:
            return


async def _look(connection: asyncpg.Connection, tenant: str, hashes: Collection[str], hold: str | None = None) -> None:
    """End this hold, and those that are over; take away what nothing names and nobody holds.

    Each statement sees what was committed before it began (READ COMMITTED): the last one all that was before the lock.
    """
    async with connection.transaction(isolation="read_committed"):
        locked = [row[0] for row in await connection.fetch(LOCK, tenant, list(hashes))]
        await connection.execute(END, tenant, list(hashes), hold)
        await connection.execute(DROP, tenant, locked)  # what has come since is held
