"""What a queue had to do in the past, as forecasts count it: set by set, when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, false, func, literal, select
from sqlalchemy.dialects.postgresql import array

from src.store import tables
from src.store.reports import Reports


@dataclass(frozen=True, slots=True)
class Arrived:
    """So many contacts of one channel came between a bound and the next; `number` is that of the bound, from 0."""

    number: int
    channel: str
    contacts: int


@dataclass(frozen=True, slots=True)
class Worked:
    """So many contacts were offered and taken between a bound and the next, and in hand for so many milliseconds."""

    number: int
    contacts: int
    held_ms: int


class Forecasts:
    """Counts of a queue's past, in turn with those of reports. What agents began themselves (follow-ups) is left out.

    A contact counts in the queue that it is in, or was in when it ended.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    async def first_at(self, tenant: str, queue: str, from_at: int, until_at: int) -> int | None:
        """When the first contact came between two times (milliseconds); None: there was none."""
        each = tables.contacts.c
        first, last = self._reports.among(from_at, until_at)
        query = (
            select(each.created_at)
            .where(each.tenant == tenant, each.id >= first, each.id < last, each.queue == queue)
            .where(each.created_at >= from_at, each.created_at < until_at)
            .order_by(each.id)
            .limit(1)
        )
        found = await self._reports.counted(query)
        return found[0][0] if found else None

    async def arrived(self, tenant: str, queue: str, bounds: Sequence[int]) -> list[Arrived]:
        """What came between each bound (milliseconds, ascending) and the next, by channel."""
        each, facts = tables.contacts.c, tables.contact_facts.c
        first, last = self._reports.among(bounds[0], bounds[-1])
        number = _number(each.created_at, bounds)
        query: Select[Any] = (
            select(number, each.channel, func.count())
            .select_from(
                tables.contacts.outerjoin(tables.contact_facts, and_(facts.tenant == each.tenant, facts.id == each.id))
            )
            .where(each.tenant == tenant, each.id >= first, each.id < last, each.queue == queue)
            .where(each.created_at >= bounds[0], each.created_at < bounds[-1])
            .where(func.coalesce(facts.outbound, false()).is_(False))
            .group_by("number", each.channel)
        )
        return [Arrived(row[0] - 1, row[1], row[2]) for row in await self._reports.counted(query)]

    async def worked(self, tenant: str, queue: str, bounds: Sequence[int]) -> list[Worked]:
        """What agents took between each bound and the next, and are done with, the work after it included.

        What an agent parked is left out: nobody knows how much of that time was work.
        """
        each, contacts, facts = tables.assignments.c, tables.contacts.c, tables.contact_facts.c
        first, last = self._reports.among(bounds[0], bounds[-1])
        number = _number(each.offered_at, bounds)
        query = (
            select(number, func.count(each.contact_id.distinct()), func.sum(each.ended_at - each.accepted_at))
            .select_from(
                tables.assignments.join(
                    tables.contacts, and_(contacts.tenant == each.tenant, contacts.id == each.contact_id)
                ).outerjoin(tables.contact_facts, and_(facts.tenant == contacts.tenant, facts.id == contacts.id))
            )
            .where(each.tenant == tenant, each.id >= first, each.id < last)
            .where(each.offered_at >= bounds[0], each.offered_at < bounds[-1])
            .where(each.accepted_at.is_not(None), each.ended_at.is_not(None))
            .where(contacts.queue == queue, contacts.owner_id.is_(None))
            .where(func.coalesce(facts.outbound, false()).is_(False))
            .group_by("number")
        )
        return [Worked(row[0] - 1, row[1], int(row[2])) for row in await self._reports.counted(query)]


def _number(at: ColumnElement[int], bounds: Sequence[int]) -> ColumnElement[int]:
    """The number of the last bound that is not after a time, from 1."""
    return func.width_bucket(at, array([literal(each, BigInteger) for each in bounds])).label("number")
