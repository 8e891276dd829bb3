"""When customers who chat on websites were last there: told by whichever process has their browser.

The time is the database's, so that the clocks of several processes need not agree.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from src.store.connections import ACQUIRE_S_MAX, translated

_NOW: Final = "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

SEEN: Final = f"""\
UPDATE visits SET seen_at = greatest(visits.seen_at, {_NOW}) FROM (
  SELECT contact_id FROM visits WHERE tenant = $1 AND contact_id = ANY ($2::text[]) ORDER BY contact_id FOR UPDATE
) AS those WHERE visits.tenant = $1 AND visits.contact_id = those.contact_id"""  # noqa: S608

ABSENT: Final = f"""\
SELECT visits.contact_id, contacts.state, visits.leaves FROM visits
JOIN contacts ON contacts.tenant = visits.tenant AND contacts.id = visits.contact_id
WHERE visits.tenant = $1 AND visits.account = $2 AND visits.seen_at <= {_NOW} - $3
ORDER BY visits.seen_at LIMIT $4"""  # noqa: S608

FORGET: Final = "DELETE FROM visits WHERE tenant = $1 AND contact_id = ANY ($2::text[])"


@dataclass(frozen=True, slots=True)
class Absent:
    """A contact whose customer was not seen for a while, and its state. `leaves`: the customer need not be there."""

    contact_id: str
    state: str
    leaves: bool


class Visits:
    """Visits by contact. Any method may raise `StoreUnreachable`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def seen(self, tenant: str, contact_ids: Collection[str]) -> None:
        """The customers of these contacts are there now."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(SEEN, tenant, list(contact_ids))

    async def absent(self, tenant: str, account: str, since_ms: int, limit: int) -> Sequence[Absent]:
        """Contacts of an account whose customers have not been seen for so long, the longest first."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            return [Absent(*row) for row in await connection.fetch(ABSENT, tenant, account, since_ms, limit)]

    async def forget(self, tenant: str, contact_ids: Collection[str]) -> None:
        """These contacts are over."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(FORGET, tenant, list(contact_ids))
