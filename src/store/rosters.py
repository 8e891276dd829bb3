"""What callers read of rosters, and of the agents who may take a queue's contacts: committed tables only."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Text, and_, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB, array

from src.dispatch.facts import RosterFact
from src.store import rows, tables
from src.store.queries import Queries

_COLUMNS: Final[Sequence[Column[Any]]] = [each for each in tables.rosters.c if each.name != "tenant"]

Shift = tuple[str, int, int]
"""An agent, and from when up to when it works (milliseconds)."""


@dataclass(frozen=True, slots=True)
class RosterRead:
    """A roster without its shifts: how many there are, and between which times (milliseconds) they lie."""

    name: str
    from_at: int
    until_at: int
    shifts: int


@dataclass(frozen=True, slots=True)
class Ability:
    """So many agents have this capacity, and these channels as they were put; None: one contact of any at a time."""

    capacity: int
    channels: Mapping[str, Mapping[str, Any]] | None
    agents: int


class RosterQueries:
    """Reads of rosters. Any may raise `Unavailable`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def one(self, tenant: str, name: str) -> RosterFact | None:
        """One roster."""
        each = tables.rosters.c
        row = await self._queries.one_row(select(*_COLUMNS).where(each.tenant == tenant, each.name == name))
        return None if row is None else rows.roster_from(row)

    async def all(self, tenant: str) -> list[RosterRead]:
        """All rosters, by name."""
        each = tables.rosters.c
        query = select(each.name, each.from_at, each.until_at, func.json_array_length(each.shifts))
        found = await self._queries.all_rows(query.where(each.tenant == tenant).order_by(each.name))
        return [RosterRead(*row) for row in found]

    async def spans(self, tenant: str) -> list[tuple[str, int, int]]:
        """The names of all rosters, and between which times (milliseconds) their shifts lie."""
        each = tables.rosters.c
        query = select(each.name, each.from_at, each.until_at).where(each.tenant == tenant)
        return [(row[0], row[1], row[2]) for row in await self._queries.all_rows(query)]

    async def shifts(
        self, tenant: str, from_at: int, until_at: int, teams: Collection[str], channels: Collection[str]
    ) -> list[Shift]:
        """The shifts in which an agent of these teams and channels works between two times; none: of any."""
        each, agents = tables.rosters.c, tables.config.c
        shift = func.json_array_elements(each.shifts).table_valued("value", name="shift").render_derived()
        value = shift.c.value.cast(JSONB)
        agent_id, begins, ends = value[0].astext, value[1].astext.cast(BigInteger), value[2].astext.cast(BigInteger)
        same = and_(agents.tenant == each.tenant, agents.kind == literal("agent"), agents.name == agent_id)
        query = (
            select(agent_id, begins, ends)
            .select_from(tables.rosters.join(shift, true()).join(tables.config, same))
            .where(each.tenant == tenant, each.from_at < until_at, each.until_at > from_at)
            .where(begins < until_at, ends > from_at, *_able(teams, channels))
        )
        return [(row[0], row[1], row[2]) for row in await self._queries.all_rows(query)]

    async def abilities(self, tenant: str, teams: Collection[str], channels: Collection[str]) -> list[Ability]:
        """What the agents of these teams and channels have room for, those configured alike together."""
        each = tables.config.c
        body = each.body.cast(JSONB)
        capacity, served = body["capacity"].astext.label("capacity"), body["channels"].cast(Text).label("served")
        query = select(capacity, served, func.count()).group_by("capacity", "served")
        query = query.where(each.tenant == tenant, each.kind == "agent", *_able(teams, channels))
        return [
            Ability(int(row[0]), None if row[1] is None else json.loads(row[1]), row[2])
            for row in await self._queries.all_rows(query)
        ]


def _able(teams: Collection[str], channels: Collection[str]) -> list[ColumnElement[bool]]:
    """Whether an agent is in one of these teams, and serves one of these channels; none: it does not matter."""
    body = tables.config.c.body.cast(JSONB)
    able: list[ColumnElement[bool]] = []
    if teams:
        able.append(body["teams"].has_any(_texts(teams)))
    if channels:
        served = body["channels"]
        able.append(or_(func.coalesce(func.jsonb_typeof(served), "null") == "null", served.has_any(_texts(channels))))
    return able


def _texts(values: Collection[str]) -> array[str]:
    return array(sorted(values), type_=Text)
