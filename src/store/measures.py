"""What callers read of how things go: live counts, and pilots compared. Counted from the tables, never kept beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, ColumnElement, Float, and_, case, func, literal_column, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from src.store import tables
from src.store.queries import Queries

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PilotOutcome:
    """What became of the contacts of one arm of a pilot in one queue; `queue` None: in all of them.

    `answered_within`: within the service level. Waits are seconds from a contact's creation to its first answer, None
    where none was answered. `overflowed` were not kept by a queue, whatever was done with them then. `resolved` and
    `unresolved` are by the word of who had it last; of the others nobody said. `transfers` are not contacts: one may
    have several.
    """

    arm: Literal["trial", "control"]
    queue: str | None
    contacts: int
    answered: int
    answered_within: int
    mean_wait_s: float | None
    median_wait_s: float | None
    abandoned: int
    overflowed: int
    resolved: int
    unresolved: int
    transfers: int
    escalated: int


@dataclass(slots=True)
class Open:
    """Open contacts by state, and when the one came that has waited longest."""

    states: dict[str, int] = field(default_factory=dict)
    oldest_waiting: int | None = None


NOBODY: Final = Open()


@dataclass(frozen=True, slots=True)
class Stats:
    """Open contacts by queue, by channel and by tag, and agents by status."""

    queues: Mapping[str, Open]
    channels: Mapping[str, Open]
    tags: Mapping[str, Open]
    agents: Mapping[str, int] = field(default_factory=dict)


class Measures:
    """Counts over a tenant's contacts and agents."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def pilot(
        self,
        tenant: str,
        name: str,
        from_at: int,
        until_at: int,
        *,
        within_s: int = 30,
        within_s_of: Mapping[str, int] = _NONE,
    ) -> Sequence[PilotOutcome]:
        """What became of the contacts of a pilot that were created from `from_at` up to `until_at`, in milliseconds.

        For each arm that has any: in all queues first, then queue by queue, the one that a contact is in now.
        `within_s_of` is the service level by queue, in seconds; `within_s` that of queues it does not name.
        """
        contacts, held = tables.contacts.c, tables.assignments.c
        arms: dict[str, Literal["trial", "control"]] = {f"{name}:trial": "trial", f"{name}:control": "control"}
        wait_s = (contacts.answered_at - contacts.created_at) / literal_column("1000.0", Float)
        within_ms = by_queue(contacts, within_s_of, within_s)
        not_kept = or_(contacts.outcome == "overflowed", contacts.more["overflows"].astext.is_not(None))
        query = (
            select(
                contacts.pilot,
                contacts.queue,
                func.count(),
                func.count(contacts.answered_at),
                count_of(answered_within(contacts, within_ms)),
                func.avg(wait_s),
                func.percentile_cont(0.5).within_group(wait_s),
                count_of(contacts.outcome == "abandoned"),
                count_of(not_kept),
                count_of(held.resolved.is_(True)),
                count_of(held.resolved.is_(False)),
                func.sum(contacts.transfers),
                count_of(contacts.flags.cast(JSONB).has_key("escalated")),
            )
            .select_from(
                tables.contacts.outerjoin(
                    tables.assignments, and_(held.tenant == contacts.tenant, held.id == contacts.assignment_id)
                )
            )
            .where(contacts.tenant == tenant, contacts.pilot.in_(list(arms)))
            .where(contacts.created_at >= from_at, contacts.created_at < until_at)
            .group_by(func.grouping_sets(tuple_(contacts.pilot, contacts.queue), tuple_(contacts.pilot)))
            .order_by(contacts.pilot.desc(), contacts.queue.asc().nulls_first())
        )
        return [PilotOutcome(arms[row[0]], *row[1:]) for row in await self._queries.all_rows(query)]

    async def stats(self, tenant: str) -> Stats:
        """What goes on now."""
        contacts, states = tables.contacts.c, tables.agent_states
        named = func.jsonb_array_elements_text(contacts.tags.cast(JSONB)).table_valued("value", name="tagged")
        queues, channels, tags = [
            _grouped(
                await self._queries.all_rows(
                    select(of, contacts.state, func.count(), func.min(contacts.created_at))
                    .select_from(source)
                    .where(contacts.tenant == tenant, contacts.closed_at.is_(None))
                    .group_by(of, contacts.state)
                    .order_by(of)
                )
            )
            for of, source in (
                (contacts.queue, tables.contacts),
                (contacts.channel, tables.contacts),
                (named.c.value, tables.contacts.join(named, true())),
            )
        ]
        agents = await self._queries.all_rows(
            select(states.c.status, func.count()).where(states.c.tenant == tenant).group_by(states.c.status)
        )
        return Stats(queues, channels, tags, {row[0]: row[1] for row in agents})


def answered_within(contacts: Any, within_ms: ColumnElement[int]) -> ColumnElement[bool]:  # noqa: ANN401  # columns
    """Whether a contact had its first answer within a time from its creation; not, if it had none."""
    return and_(contacts.answered_at.is_not(None), contacts.answered_at - contacts.created_at <= within_ms)


def by_queue(contacts: Any, seconds: Mapping[str, int], default_s: int) -> ColumnElement[int]:  # noqa: ANN401
    """Milliseconds by a contact's queue."""
    default_ms = literal_column(str(default_s * 1000), BigInteger)
    if not seconds:
        return default_ms
    return case({queue: each * 1000 for queue, each in seconds.items()}, value=contacts.queue, else_=default_ms)


def count_of(which: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows are so."""
    return func.count().filter(which)


def _grouped(counted: Sequence[Any]) -> dict[str, Open]:
    found: dict[str, Open] = {}
    for name, state, number, oldest in counted:
        group = found.setdefault(name, Open())
        group.states[state] = number
        if state == "waiting":
            group.oldest_waiting = oldest
    return found
