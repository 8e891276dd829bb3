"""What became of contacts, period by period. Counted from the tables when it is asked for, never kept beside.

Contacts, assignments and collaborations are found by their ids, which begin with the time at which they were made; so a
period costs what happened in it, however much there is besides.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    FromClause,
    Select,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, array

from src.store import tables
from src.store.measures import answered_within, by_queue, count_of
from src.store.queries import Queries
from src.store.retaining import id_at

By = Literal["queue", "channel", "tag", "region", "agent", "team"]

CLOCKS_APART_MS: Final = 3_600_000
"""An id is made by the clock of the process that a request came to; what it names has the time of the tenant."""

AT_ONCE: Final = 2
"""So many statements of reports run at a time: what is read in passing waits for none of them."""

GROUP_CHARS_MAX: Final = 128
LOW_SCORE_MAX: Final = 3
"""Of five: a customer who says this, or less, was not satisfied."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happened in one period, in one group; `group` None: in all, or where there is none of what is grouped by.

    `period` is its number, from 0. Of the contacts that came in: how many, how many of them were `answered`, and
    `responded` to in writing; each of them within the service level too. Waits run from a contact's creation.
    `resolved` is by the word of who had it last; `resolved_first` are those that were no repeat. `low_scores`:
    ratings of 3 or less, of 5. Of the offers that were made: what the agents did, how long they took to accept, and
    held what they accepted (parking and work after it included). Of the help that was asked for: how often there was an
    answer, an approval was refused, it was closed without an answer. Times are seconds, None where there is nothing
    to take the mean of.
    """

    period: int
    group: str | None
    contacts: int = 0
    answered: int = 0
    answered_within: int = 0
    mean_wait_s: float | None = None
    responded: int = 0
    responded_within: int = 0
    mean_first_response_s: float | None = None
    abandoned: int = 0
    overflowed: int = 0
    closed: int = 0
    mean_open_s: float | None = None
    resolved: int = 0
    resolved_first: int = 0
    unresolved: int = 0
    repeats: int = 0
    transferred: int = 0
    escalated: int = 0
    rated: int = 0
    mean_score: float | None = None
    low_scores: int = 0
    offers: int = 0
    accepted: int = 0
    declined: int = 0
    missed: int = 0
    mean_accept_s: float | None = None
    mean_held_s: float | None = None
    collaborations: int = 0
    collaborations_answered: int = 0
    collaborations_refused: int = 0
    collaborations_unanswered: int = 0


_NAMES: Final = tuple(Line.__dataclass_fields__)
_OF_CONTACTS: Final = _NAMES[_NAMES.index("contacts") : _NAMES.index("offers")]
_OF_OFFERS: Final = _NAMES[_NAMES.index("offers") : _NAMES.index("collaborations")]
_OF_HELP: Final = _NAMES[_NAMES.index("collaborations") :]

Span = Callable[[int, int], tuple[str, str]]
"""Between which ids what was made from a moment up to another is to be looked for."""


def span(from_at: int, until_at: int) -> tuple[str, str]:
    """By the time that ids begin with; moments are milliseconds."""
    return id_at(max(0, from_at - CLOCKS_APART_MS)), id_at(until_at + CLOCKS_APART_MS)


class Reports:
    """Counts over periods of a tenant's past."""

    def __init__(self, queries: Queries, among: Span = span) -> None:
        self._queries, self.among = queries, among
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def lines(
        self,
        tenant: str,
        bounds: Sequence[int],
        by: By | None = None,
        *,
        within_s: int = 30,
        within_s_of: Mapping[str, int],
    ) -> list[Line]:
        """Lines of the periods between each bound (milliseconds, ascending) and the next, in order; groups by name.

        `within_s_of` is the service level by queue, in seconds; `within_s` that of queues it does not name. A contact
        counts with each of its tags, and with each team of its agent. Agents are who had it last, and who was offered
        it or asked for help; of a period and group in which nothing was, there is no line.
        """
        found: dict[tuple[int, str | None], Line] = {}
        for query, names in (
            (self._contacts(tenant, bounds, by, _within_ms(within_s, within_s_of)), _OF_CONTACTS),
            (self._offers(tenant, bounds, by), _OF_OFFERS),
            (self._help(tenant, bounds, by), _OF_HELP),
        ):
            for number, group, *values in await self.counted(query):
                line = found.get((number - 1, group), Line(number - 1, group))
                found[number - 1, group] = replace(line, **dict(zip(names, values, strict=True)))
        return [found[each] for each in sorted(found, key=lambda each: (each[0], each[1] is not None, each[1] or ""))]

    async def counted(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        """The rows of a statement that counts, when it is its turn."""
        async with self._turn:
            return await self._queries.all_rows(query)

    def _contacts(
        self, tenant: str, bounds: Sequence[int], by: By | None, within_ms: ColumnElement[int]
    ) -> Select[Any]:
        contacts, facts, held = tables.contacts.c, tables.contact_facts.c, tables.assignments.c
        rated, repeat, said = tables.ratings.c, tables.reviews.c, tables.messages.c
        first = (
            select(said.at)
            .where(said.tenant == contacts.tenant, said.contact_id == contacts.id, said.sender == "agent")
            .order_by(said.id)
            .limit(1)
            .correlate(tables.contacts)
            .lateral("first")
        )
        joined = (
            tables.contacts.outerjoin(
                tables.contact_facts, and_(facts.tenant == contacts.tenant, facts.id == contacts.id)
            )
            .outerjoin(tables.assignments, and_(held.tenant == contacts.tenant, held.id == contacts.assignment_id))
            .outerjoin(tables.ratings, and_(rated.tenant == contacts.tenant, rated.contact_id == contacts.id))
            .outerjoin(
                tables.reviews,
                and_(repeat.tenant == contacts.tenant, repeat.contact_id == contacts.id, repeat.kind == "repeat"),
            )
            .outerjoin(first, true())
        )
        responded, resolved = first.c.at - contacts.created_at, held.resolved.is_(True)
        measured = (
            func.count(),
            func.count(contacts.answered_at),
            count_of(answered_within(contacts, within_ms)),
            _mean_s(contacts.answered_at - contacts.created_at),
            func.count(first.c.at),
            count_of(responded <= within_ms),
            _mean_s(responded),
            count_of(contacts.outcome == "abandoned"),
            count_of(or_(contacts.outcome == "overflowed", contacts.more["overflows"].astext.is_not(None))),
            func.count(contacts.closed_at),
            _mean_s(contacts.closed_at - contacts.created_at),
            count_of(resolved),
            count_of(and_(resolved, repeat.contact_id.is_(None))),
            count_of(held.resolved.is_(False)),
            func.count(repeat.contact_id),
            count_of(contacts.transfers > 0),
            count_of(contacts.flags.cast(JSONB).has_key("escalated")),
            func.count(rated.score),
            func.avg(rated.score).cast(Float),
            count_of(rated.score <= LOW_SCORE_MAX),
        )
        of_agent = case((held.accepted_at.is_not(None), held.agent_id))
        source, group = _grouped(joined, by, of_agent)
        query = self._among_periods(tables.contacts, contacts.created_at, bounds, source, group, measured)
        return query.where(contacts.tenant == tenant, func.coalesce(facts.outbound, false()).is_(False))

    def _offers(self, tenant: str, bounds: Sequence[int], by: By | None) -> Select[Any]:
        each = tables.assignments.c
        measured = (
            func.count(),
            func.count(each.accepted_at),
            count_of(each.state == "declined"),
            count_of(each.state == "expired"),
            _mean_s(each.accepted_at - each.offered_at),
            _mean_s(each.ended_at - each.accepted_at),
        )
        source, group = _grouped(_with_contact(tables.assignments), by, each.agent_id)
        query = self._among_periods(tables.assignments, each.offered_at, bounds, source, group, measured)
        return query.where(each.tenant == tenant)

    def _help(self, tenant: str, bounds: Sequence[int], by: By | None) -> Select[Any]:
        each = tables.collaborations.c
        measured = (
            func.count(),
            func.count(each.answered_at),
            count_of(each.approved.is_(False)),
            count_of(and_(each.closed_at.is_not(None), each.answered_at.is_(None))),
        )
        source, group = _grouped(_with_contact(tables.collaborations), by, each.agent_id)
        query = self._among_periods(tables.collaborations, each.requested_at, bounds, source, group, measured)
        return query.where(each.tenant == tenant)

    def _among_periods(
        self,
        table: Table,
        at: Column[int],
        bounds: Sequence[int],
        source: FromClause,
        group: ColumnElement[Any],
        measured: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Measures of what was made in each period, by its number from 1 and by group."""
        first, last = self.among(bounds[0], bounds[-1])
        number = func.width_bucket(at, array([literal(each, BigInteger) for each in bounds]))
        return (
            select(number.label("number"), group.label("group"), *measured)
            .select_from(source)
            .where(table.c.id >= first, table.c.id < last, at >= bounds[0], at < bounds[-1])
            .group_by("number", "group")
        )


def _with_contact(table: Table) -> FromClause:
    """A table's rows, each with its contact, and what is known of it."""
    contacts, facts = tables.contacts.c, tables.contact_facts.c
    return table.outerjoin(
        tables.contacts, and_(contacts.tenant == table.c.tenant, contacts.id == table.c.contact_id)
    ).outerjoin(tables.contact_facts, and_(facts.tenant == contacts.tenant, facts.id == contacts.id))


def _grouped(source: FromClause, by: By | None, agent: ColumnElement[Any]) -> tuple[FromClause, ColumnElement[Any]]:
    """The rows once for each group that they belong to, and the group: null, where they belong to none."""
    contacts = tables.contacts.c
    match by:
        case "queue":
            return source, contacts.queue
        case "channel":
            return source, contacts.channel
        case "tag":
            tag = func.jsonb_array_elements_text(contacts.tags.cast(JSONB)).table_valued("value", name="tagged")
            return source.outerjoin(tag, true()), tag.c.value
        case "region":
            region = tables.contact_facts.c.attributes["region"].astext
            return source, func.left(region, GROUP_CHARS_MAX)
        case "agent":
            return source, agent
        case "team":
            config = tables.config
            staffed = and_(
                config.c.tenant == contacts.tenant, config.c.kind == literal("agent"), config.c.name == agent
            )
            team = func.jsonb_array_elements_text(config.c.body.cast(JSONB)["teams"]).table_valued("value", name="of")
            return source.outerjoin(config, staffed).outerjoin(team, true()), team.c.value
        case None:
            return source, null()


def _within_ms(within_s: int, within_s_of: Mapping[str, int]) -> ColumnElement[int]:
    return by_queue(tables.contacts.c, within_s_of, within_s)


def _mean_s(milliseconds: ColumnElement[int]) -> ColumnElement[float]:
    return func.avg(milliseconds / literal_column("1000.0", Float))
