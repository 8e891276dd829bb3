"""How long what is kept of people stays: each kind of data for as many days as its tenant says, then it is taken away.

What came with contacts goes by when the contact came, a day's contacts behind the other's; an open contact keeps its
own until it has closed. Each step is some hundred contacts and a transaction of its own, and says in the same one how
far it is: whatever breaks off goes on where it was. A finished sweep is a line of the audit trail.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from sqlalchemy import select

from src.store import contents, tables
from src.store.queries import Queries
from src.store.retention import DAY_MS

CONTACTS_A_STEP: Final = 200
CUSTOMERS_A_STEP: Final = 200
STEPS_A_ROUND: Final = 50
"""So many steps of one kind, then the next kind, and the next tenant, has its turn."""

PAUSE_S: Final = 0.01

CUSTOMERS: Final = "customers"
"""The kind that goes by when the customer was last seen, and is erased whole."""

TAKEN: Final[Mapping[str, Sequence[str]]] = {
    "messages": (
        "UPDATE messages SET text = NULL, payload = '{}' WHERE tenant = $1 AND contact_id = ANY ($2::text[])",
        "UPDATE contact_facts SET text = NULL WHERE tenant = $1 AND id = ANY ($2::text[])",
    ),
    "notes": (
        "DELETE FROM notes WHERE tenant = $1 AND contact_id = ANY ($2::text[])",
        "DELETE FROM remarks WHERE tenant = $1 AND contact_id = ANY ($2::text[])",
        """\
DELETE FROM collaboration_words WHERE tenant = $1 AND collaboration_id IN (
  SELECT id FROM collaborations WHERE tenant = $1 AND contact_id = ANY ($2::text[]))""",
        "UPDATE ratings SET comment = NULL WHERE tenant = $1 AND contact_id = ANY ($2::text[])",
        "UPDATE reviews SET note = NULL WHERE tenant = $1 AND contact_id = ANY ($2::text[])",
    ),
    "media": (
        contents.UNNAMED,
        """\
UPDATE media SET hash = NULL, name = NULL, source = NULL, reason = 'expired'
WHERE tenant = $1 AND contact_id = ANY ($2::text[])""",
    ),
    "attributes": ("UPDATE contact_facts SET attributes = '{}' WHERE tenant = $1 AND id = ANY ($2::text[])",),
    "traces": ("DELETE FROM traces WHERE tenant = $1 AND contact_id = ANY ($2::text[])",),
}
"""What is taken away of each kind that goes by contacts; `$2` are the contacts."""

KINDS: Final = (*TAKEN, CUSTOMERS)

PERIODS: Final = """\
SELECT config.tenant, config.body FROM tenants
JOIN config ON config.tenant = tenants.id AND config.kind = 'settings' AND config.name = 'settings'"""

OLD: Final = """\
SELECT id, closed_at IS NOT NULL FROM contacts WHERE tenant = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4"""

CLOSED_SINCE: Final = "SELECT id FROM contacts WHERE tenant = $1 AND id = ANY ($2::text[]) AND closed_at IS NOT NULL"

UNSEEN: Final = """\
SELECT each.id, (
  SELECT max(seen.id) FROM (
    SELECT each.id UNION ALL SELECT member.id FROM customers AS member
    WHERE member.tenant = $1 AND member.survivor_id = each.id) AS family
  CROSS JOIN LATERAL (SELECT id FROM contacts WHERE tenant = $1 AND customer_id = family.id
    ORDER BY customer_id DESC, id DESC LIMIT 1) AS seen) AS last_contact
FROM (SELECT id, survivor_id FROM customers WHERE tenant = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4) AS each
WHERE each.survivor_id IS NULL OR each.survivor_id = each.id"""

LAST_OLD: Final = """\
SELECT max(id) FROM (SELECT id FROM customers WHERE tenant = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4) AS each"""

PROGRESS: Final = (
    "SELECT cursor, still_open, until, gone, swept FROM retention_progress WHERE tenant = $1 AND kind = $2"
)

PUT_PROGRESS: Final = """\
INSERT INTO retention_progress (tenant, kind, cursor, still_open, until, gone, swept, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant, kind) DO UPDATE SET cursor = excluded.cursor, still_open = excluded.still_open,
  until = excluded.until, gone = excluded.gone, swept = excluded.swept, at = excluded.at"""

RECORD: Final = """\
INSERT INTO audit (tenant, id, at, by_kind, by_id, act, name, more) VALUES ($1, $2, $3, 'service', '', $4, $5, $6)"""


@dataclass(slots=True)
class Progress:
    """How far one kind of one tenant is: all contacts (customers) up to the id `cursor` but those that are open.

    `until` is the moment, in milliseconds, up to which the last finished sweep went; `gone` how many the sweep that
    goes on has taken, `swept` how many all finished ones did.
    """

    cursor: str = ""
    still_open: tuple[str, ...] = ()
    until: int = 0
    gone: int = 0
    swept: int = 0


Erase = Callable[[str, str], Any]
"""Erases a customer of a tenant, unless a contact of it is open: an awaitable, true if it did."""


def id_at(at: int) -> str:
    """The smallest id that is made at this moment (milliseconds): ids begin with their time."""
    text = f"{at:012x}"
    return f"{text[:8]}-{text[8:]}"


class Retaining:
    """One process's share of it: the tenants that it serves. `new_id` makes ids, `erase` erases a customer."""

    def __init__(self, connection: asyncpg.Connection, new_id: Callable[[], str], erase: Erase) -> None:
        self._connection = connection
        self._new_id = new_id
        self._erase = erase

    async def round(self, mine: Callable[[str], bool], now: int) -> bool:
        """Some steps of each kind of each tenant that is `mine`; whether there is more to do. `now` in milliseconds.

        Raises:
            Refused: a customer could not be erased now.
        """
        more = False
        for tenant, body in await self._connection.fetch(PERIODS):
            periods = json.loads(body).get("retention") or {}
            for kind in KINDS:
                days = periods.get(f"{kind}_days")
                if days is not None and mine(tenant):
                    more = await self._sweep(tenant, kind, now // DAY_MS * DAY_MS - days * DAY_MS, now) or more
        await contents.sweep(self._connection)
        return more

    async def _sweep(self, tenant: str, kind: str, until: int, now: int) -> bool:
        """Go on with one kind; whether there is more to do. Whole days make a sweep a line of the record a day."""
        row = await self._connection.fetchrow(PROGRESS, tenant, kind)
        progress = Progress() if row is None else Progress(row[0], tuple(json.loads(row[1])), *row[2:])
        if progress.until >= until:
            return False
        step = self._customers if kind == CUSTOMERS else self._contacts
        for _ in range(STEPS_A_ROUND):
            if not await step(tenant, kind, progress, until, now):
                return False
            await asyncio.sleep(PAUSE_S)
        return True

    async def _contacts(self, tenant: str, kind: str, progress: Progress, until: int, now: int) -> bool:
        fetch = self._connection.fetch
        closed = [row[0] for row in await fetch(CLOSED_SINCE, tenant, list(progress.still_open))]
        found = await fetch(OLD, tenant, progress.cursor, id_at(until), CONTACTS_A_STEP)
        closed_now = [contact_id for contact_id, is_closed in found if is_closed]
        taken = [*closed, *closed_now]
        progress.still_open = (
            *(each for each in progress.still_open if each not in closed),
            *(contact_id for contact_id, is_closed in found if not is_closed),
        )
        progress.cursor = found[-1][0] if found else progress.cursor
        async with self._connection.transaction():
            if taken:
                for statement in TAKEN[kind]:
                    await self._connection.execute(statement, tenant, taken)
            return await self._note(
                tenant, kind, progress, (until, now), len(taken), more=len(found) == CONTACTS_A_STEP
            )

    async def _customers(self, tenant: str, kind: str, progress: Progress, until: int, now: int) -> bool:
        """Erase some who were not seen since, and begin anew behind the last: who was seen then may not be now."""
        asked = (tenant, progress.cursor, id_at(until), CUSTOMERS_A_STEP)
        last = await self._connection.fetchval(LAST_OLD, *asked)
        gone = 0
        for customer_id, last_contact in await self._connection.fetch(UNSEEN, *asked):
            if (last_contact is None or last_contact < id_at(until)) and await self._erase(tenant, customer_id):
                gone += 1
        progress.cursor = last or ""
        return await self._note(tenant, kind, progress, (until, now), gone, more=last is not None)

    async def _note(
        self, tenant: str, kind: str, progress: Progress, times: tuple[int, int], gone: int, *, more: bool
    ) -> bool:
        """Write down how far it is, and what a finished sweep has done; returns `more`."""
        until, now = times
        progress.gone += gone
        if not more:
            if progress.gone:
                done = json.dumps({"gone": progress.gone, "until": until})
                await self._connection.execute(RECORD, tenant, self._new_id(), now, "retention.applied", kind, done)
            progress.until, progress.swept, progress.gone = until, progress.swept + progress.gone, 0
        await self._connection.execute(
            PUT_PROGRESS,
            tenant,
            kind,
            progress.cursor,
            json.dumps(progress.still_open),
            progress.until,
            progress.gone,
            progress.swept,
            now,
        )
        return more


async def progress_of(queries: Queries, tenant: str) -> Mapping[str, tuple[Progress, int]]:
    """How far each kind is, as far as it was begun, and when (milliseconds) that was last written down."""
    each = tables.retention_progress.c
    query = select(each.kind, each.cursor, each.still_open, each.until, each.gone, each.swept, each.at)
    return {
        row[0]: (Progress(row[1], tuple(json.loads(row[2])), *row[3:6]), row[6])
        for row in await queries.all_rows(query.where(each.tenant == tenant))
    }
