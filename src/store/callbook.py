"""Calls of telephone systems that keep no connection to us: notes of what happened, orders of what is to be done.

Both are written by any process and read by any: that of the tenant's owner keeps a line to each such system, and takes
every note once. What it had taken and not yet worked off when it died is found again in what stands.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import asyncpg

from src.dispatch.callnotes import OUT, CallNote, CallOrder
from src.store import rows
from src.store.connections import ACQUIRE_S_MAX, translated

_NOTE_COLUMNS: Final = "id, call_id, kind, at, leg_id, ref, cause"
_ORDER_COLUMNS: Final = "id, call_id, kind, at, leg_id, data"

NOTE: Final = f"""\
INSERT INTO call_notes (tenant, account, {_NOTE_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant, account, id) DO NOTHING"""  # noqa: S608

KNOWN: Final = "SELECT id FROM call_notes WHERE tenant = $1 AND account = $2 AND id = ANY ($3::text[])"

TAKE: Final = f"""\
UPDATE call_notes SET taken = true WHERE tenant = $1 AND account = $2 AND NOT taken
RETURNING {_NOTE_COLUMNS}"""  # noqa: S608

_OPEN: Final = """\
SELECT call_id FROM call_notes AS opened WHERE tenant = $1 AND account = $2 AND kind = 'coming' AND NOT EXISTS (
  SELECT FROM call_notes AS closing WHERE closing.tenant = $1 AND closing.account = $2
  AND closing.call_id = opened.call_id AND closing.kind IN ('ended', 'abandoned', 'left'))"""

OPEN: Final = f"{_OPEN} LIMIT $3"

NOTES: Final = f"""\
SELECT {_NOTE_COLUMNS} FROM call_notes WHERE tenant = $1 AND account = $2 AND call_id = ANY ($3::text[])
ORDER BY at, id"""  # noqa: S608

ORDERS: Final = f"""\
SELECT {_ORDER_COLUMNS} FROM call_orders WHERE tenant = $1 AND account = $2 AND call_id = ANY ($3::text[])
ORDER BY at, id"""  # noqa: S608

ORDER: Final = f"""\
INSERT INTO call_orders (tenant, account, {_ORDER_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, account, id) DO NOTHING"""  # noqa: S608

DUE: Final = f"""\
SELECT {_ORDER_COLUMNS} FROM call_orders WHERE tenant = $1 AND account = $2 AND NOT done AND call_id <> ALL ($3::text[])
ORDER BY id LIMIT $4"""  # noqa: S608

DONE: Final = "UPDATE call_orders SET done = true WHERE tenant = $1 AND account = $2 AND id = ANY ($3::text[])"

FORGET: Final = (
    """\
DELETE FROM call_orders WHERE tenant = $1 AND account = $2 AND at < $3""",
    """\
DELETE FROM call_notes WHERE tenant = $1 AND account = $2 AND at < $3""",
)

FORGET_UNDIALLED: Final = f"""\
WITH undialled AS (
  SELECT call_id FROM call_notes AS begun WHERE tenant = $1 AND account = $2 AND kind = 'coming' AND at < $3
  AND starts_with(call_id, '{OUT}') AND NOT EXISTS (SELECT FROM call_orders AS told WHERE told.tenant = $1
  AND told.account = $2 AND told.call_id = begun.call_id AND (told.kind = 'dial' OR told.at >= $3))
), orders AS (
  DELETE FROM call_orders AS told USING undialled
  WHERE told.tenant = $1 AND told.account = $2 AND told.call_id = undialled.call_id
)
DELETE FROM call_notes AS noted USING undialled
WHERE noted.tenant = $1 AND noted.account = $2 AND noted.call_id = undialled.call_id"""  # noqa: S608

OPEN_MAX: Final = 5_000
"""Calls of an account that are looked at when its line begins."""

DUE_MAX: Final = 100


class CallBook:
    """Notes and orders of calls, by tenant and account. Any method that reads or writes may raise `StoreUnreachable`.

    `announce` tells other processes in whose book something was written (tenant and account). It must not wait, and may
    be lost.
    """

    def __init__(self, pool: asyncpg.Pool, announce: Callable[[str, str], None] | None = None) -> None:
        self._pool = pool
        self._announce = announce
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)
        self._written: Counter[tuple[str, str]] = Counter()

    # -- what happened ------------------------------------------------------------------------------------------

    async def note(self, tenant: str, account: str, notes: Sequence[CallNote]) -> None:
        """Write notes down; one whose id is there already changes nothing."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            for each in notes:
                values = (each.id, each.call_id, each.kind, each.at, each.leg_id, each.ref, each.cause)
                await connection.execute(NOTE, tenant, account, *values)
        self._wake(tenant, account)

    async def known(self, tenant: str, account: str, ids: Collection[str]) -> set[str]:
        """Which of these ids are of notes that are there."""
        return {row[0] for row in await self._fetch(KNOWN, tenant, account, list(ids))}

    async def take(self, tenant: str, account: str) -> Sequence[CallNote]:
        """The notes that nobody has taken yet, oldest first; they are taken now."""
        found = await self._fetch(TAKE, tenant, account)
        return sorted((CallNote(*row) for row in found), key=lambda note: (note.at, note.id))

    async def standing(
        self, tenant: str, account: str, call_ids: Sequence[str] | None = None
    ) -> tuple[Sequence[CallNote], Sequence[CallOrder]]:
        """All notes and orders of these calls; None: of all that came, or are just coming, and have not ended."""
        if call_ids is None:
            call_ids = [row[0] for row in await self._fetch(OPEN, tenant, account, OPEN_MAX)]
        notes = [CallNote(*row) for row in await self._fetch(NOTES, tenant, account, list(call_ids))]
        orders = await self._fetch(ORDERS, tenant, account, list(call_ids))
        return notes, [_order(row) for row in orders]

    # -- what is to be done -------------------------------------------------------------------------------------

    async def order(self, tenant: str, account: str, order: CallOrder) -> None:
        """Keep an order until its system has it."""
        values = (order.id, order.call_id, order.kind, order.at, order.leg_id, rows.dump(order.data))
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(ORDER, tenant, account, *values)
        self._wake(tenant, account)

    async def due(self, tenant: str, account: str, aside: Collection[str] = ()) -> Sequence[CallOrder]:
        """The oldest orders that their system does not have, without those of the calls that are set `aside`."""
        return [_order(row) for row in await self._fetch(DUE, tenant, account, list(aside), DUE_MAX)]

    async def done(self, tenant: str, account: str, ids: Sequence[str]) -> None:
        """The system has these orders."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            await connection.execute(DONE, tenant, account, list(ids))

    async def forget(self, tenant: str, account: str, before_ms: int, undialled_before_ms: int) -> None:
        """Drop what is older; earlier than the rest, calls for which nothing came of it but agents' telephones."""
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            for each in FORGET:
                await connection.execute(each, tenant, account, before_ms)
            await connection.execute(FORGET_UNDIALLED, tenant, account, undialled_before_ms)

    # -- waiting ------------------------------------------------------------------------------------------------

    def seen(self, tenant: str, account: str) -> int:
        """What `changed` is to be told, if asked for before the book is read."""
        return self._written[tenant, account]

    async def changed(self, tenant: str, account: str, seen: int, wait_s: float) -> None:
        """Wait until something has been written since then, as far as this process knows, at most so long."""
        if self._written[tenant, account] != seen:
            return
        event, waiting = asyncio.Event(), self._waiting[tenant, account]
        waiting.add(event)
        try:
            async with asyncio.timeout(wait_s):
                await event.wait()
        except TimeoutError:
            return
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop((tenant, account), None)

    def _wake(self, tenant: str, account: str) -> None:
        self.woken(tenant, account)
        if self._announce is not None:
            self._announce(tenant, account)

    def woken(self, tenant: str, account: str) -> None:
        """Something was written, here or in another process."""
        self._written[tenant, account] += 1
        for each in self._waiting.get((tenant, account), ()):
            each.set()

    async def _fetch(self, statement: str, *values: object) -> Sequence[Any]:
        async with translated(), self._pool.acquire(timeout=ACQUIRE_S_MAX) as connection:
            found: Sequence[Any] = await connection.fetch(statement, *values)
            return found


def _order(row: Sequence[Any]) -> CallOrder:
    order_id, call_id, kind, at, leg_id, data = row
    return CallOrder(order_id, call_id, kind, at, leg_id, rows.load(data))
