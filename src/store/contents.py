"""What is in media: bytes by tenant and hash, written once, read by whichever process is asked."""

from hashlib import sha256
from typing import Final

import asyncpg

from src.store.connections import ACQUIRE_S_MAX, translated

_PUT: Final = """\
INSERT INTO media_contents (tenant, hash, body) VALUES ($1, $2, $3) ON CONFLICT (tenant, hash) DO NOTHING"""

DROP: Final = """\
DELETE FROM media_contents WHERE tenant = $1 AND hash = $2
AND NOT EXISTS (SELECT FROM media WHERE tenant = $1 AND hash = $2)"""

GET: Final = "SELECT body FROM media_contents WHERE tenant = $1 AND hash = $2"


class Contents:
    """Bytes under their SHA-256. They are there before anything names them, and stay while something does."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, tenant: str, body: bytes) -> str:
        """Keep bytes, if they are not kept already; gives their hash, in hex.

        Raises:
            StoreUnreachable: the database went away.
        """
        hashed = sha256(body).hexdigest()
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(_PUT, tenant, hashed, body)
        return hashed

    async def drop(self, tenant: str, hashed: str) -> None:
        """Keep bytes no longer that nothing names, because what was to name them was refused.

        Raises:
            StoreUnreachable: the database went away.
        """
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(DROP, tenant, hashed)

    async def get(self, tenant: str, hashed: str) -> bytes | None:
        """The bytes again; None: they are not there.

        Raises:
            StoreUnreachable: the database went away.
        """
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            found: bytes | None = await connection.fetchval(GET, tenant, hashed)
        return found
