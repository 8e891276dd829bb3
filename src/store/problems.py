"""What callers read of common problems: committed tables only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, and_, select

from src.dispatch.facts import ProblemFact
from src.store import rows, tables
from src.store.queries import Page, Queries

_COLUMNS: Final[Sequence[Column[Any]]] = [each for each in tables.common_problems.c if each.name != "tenant"]


@dataclass(frozen=True, slots=True)
class LinkedContact:
    """A contact that is linked to a common problem, by ids and codes alone. Times in milliseconds."""

    id: str
    channel: str
    state: str
    outcome: str | None
    queue: str
    tags: Sequence[str]
    created_at: int
    closed_at: int | None


class ProblemQueries:
    """Reads of common problems. Any may raise `Unavailable`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def one(self, tenant: str, name: str) -> ProblemFact | None:
        """One common problem."""
        each = tables.common_problems.c
        row = await self._queries.one_row(select(*_COLUMNS).where(each.tenant == tenant, each.name == name))
        return None if row is None else rows.problem_from(row)

    async def all(self, tenant: str) -> list[ProblemFact]:
        """All common problems, by name."""
        each = tables.common_problems.c
        query = select(*_COLUMNS).where(each.tenant == tenant).order_by(each.name)
        return [rows.problem_from(row) for row in await self._queries.all_rows(query)]

    async def contacts(self, tenant: str, name: str, *, limit: int, cursor: str | None) -> Page[LinkedContact]:
        """The contacts that are linked to a problem, newest first; those that were erased are missing."""
        fact, contact = tables.contact_facts.c, tables.contacts.c
        query = (
            select(
                *(contact.id, contact.channel, contact.state, contact.outcome, contact.queue, contact.tags),
                *(contact.created_at, contact.closed_at),
            )
            .select_from(
                tables.contact_facts.join(tables.contacts, and_(contact.tenant == fact.tenant, contact.id == fact.id))
            )
            .where(fact.tenant == tenant, fact.problem == name)
        )
        if cursor is not None:
            query = query.where(fact.id < cursor)
        found = [
            LinkedContact(row[0], row[1], row[2], row[3], row[4], rows.load(row[5]), row[6], row[7])
            for row in await self._queries.all_rows(query.order_by(fact.id.desc()).limit(limit + 1))
        ]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)
