"""What callers read of customers: who they are, and everything that happened with them over every channel.

A customer that has been merged is read as its family: what belongs to any member belongs to the survivor. Each list
asks each member for the newest alone, so that a page of ten thousand contacts costs what a page of ten costs.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, String, and_, column, not_, or_, select, union_all, values
from sqlalchemy.sql.expression import true

from src.dispatch.facts import ConflictFact, Customer, IdentityFact, MessageFact, RatingFact, ReviewFact
from src.dispatch.people import whole
from src.router.entities import CONTACT_COLUMNS
from src.store import rows, tables
from src.store.queries import ContactRead, Page, Queries, contact_read, contacts_shown

CONTACTS_MAX: Final = 10
"""The newest contacts of a customer that come with it; the timeline goes on from there."""

RATED_MAX: Final = 50
"""So many of the newest contacts count for how satisfied a customer is."""

OPEN_MAX: Final = 200
"""The open ones that come with it."""

MESSAGES_MAX: Final = 20
"""The newest messages of each contact that stand in a timeline."""

_CLOSED_AT: Final = CONTACT_COLUMNS.index("closed_at")

CONFLICTS_MAX: Final = 50
"""The newest conflicts of a customer that come with it: many may share a number; the list of all has the others."""

SUGGESTIONS_MAX: Final = 20
"""So many customers are suggested to be the same one."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A contact in a timeline, with its newest messages, oldest first, and whether there are `more`."""

    contact: ContactRead
    messages: Sequence[MessageFact]
    more: bool
    rating: RatingFact | None
    review: ReviewFact | None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A customer that may be the same one, and the identities (type and value) that say so."""

    customer_id: str
    identities: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class CustomerRead:
    """A customer, as its whole family, with what belongs to it: contacts newest first, conflicts that are open.

    `members` are the customers that it is made of, itself first.
    """

    customer: Customer
    members: Sequence[Customer]
    identities: Sequence[IdentityFact]
    contacts: Sequence[ContactRead]
    timeline: Page[Moment]
    suggestions: Sequence[Suggestion]
    conflicts: Sequence[ConflictFact]
    ratings: tuple[int, float | None]


def _of(table: Any) -> list[Any]:  # noqa: ANN401  # a table
    """A table's columns without the tenant: the order of its rows."""
    return [each for each in table.columns if each.name != "tenant"]


class CustomerQueries:
    """Reads about customers. Any may raise `Unavailable`, and `Malformed` for a key that cannot be one."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def customer(self, tenant: str, customer_id: str) -> CustomerRead | None:
        """A customer with what belongs to it; of one that has been merged, the survivor."""
        members = await self.members(tenant, customer_id)
        if not members:
            return None
        ids = [each.id for each in members]
        found = await self.contacts(tenant, ids)
        still_open = (each for each in found[CONTACTS_MAX:] if each.contact[_CLOSED_AT] is None)
        contacts = [*found[:CONTACTS_MAX], *still_open]
        return CustomerRead(
            customer=whole(members),
            members=members,
            identities=await self._identities(tenant, ids),
            contacts=contacts,
            timeline=await self._page(tenant, found[: CONTACTS_MAX + 1], CONTACTS_MAX),
            suggestions=await self._suggestions(tenant, members),
            conflicts=await self._open_conflicts(tenant, ids),
            ratings=await self._rated(tenant, ids),
        )

    async def members(self, tenant: str, customer_id: str) -> list[Customer]:
        """The customer, or the family that it has been merged into, survivor first; empty: there is no such one."""
        each = tables.customers.c
        row = await self._queries.one_row(
            select(*_of(tables.customers)).where(each.tenant == tenant, each.id == customer_id)
        )
        if row is None:
            return []
        customer = rows.customer_from(row)
        if customer.survivor_id is None:
            return [customer]
        query = select(*_of(tables.customers)).where(each.tenant == tenant, each.survivor_id == customer.survivor_id)
        found = [rows.customer_from(row) for row in await self._queries.all_rows(query)]
        return sorted(found, key=lambda member: (member.id != customer.survivor_id, member.id))

    async def by_identity(self, tenant: str, kind: str, value: str) -> CustomerRead | None:
        """The customer with an identity: the one with a strong one, else the one that came with it last."""
        each = tables.identities.c
        same = select(each.customer_id, each.strong, each.created_at).where(
            each.tenant == tenant, each.type == kind, each.value == value
        )
        newest = same.where(not_(each.strong)).order_by(each.created_at.desc()).limit(1).subquery()
        found = union_all(same.where(each.strong), select(newest)).subquery().c
        row = await self._queries.one_row(select(found.customer_id).order_by(found.strong.desc()))
        return None if row is None else await self.customer(tenant, row[0])

    async def is_with(self, tenant: str, customer_id: str, agent_id: str) -> bool:
        """Whether the agent has a contact of this customer before it, or helps with one."""
        ids = [each.id for each in await self.members(tenant, customer_id)]
        held, helped, contact = tables.assignments.c, tables.collaborations.c, tables.contacts.c
        theirs = and_(contact.tenant == tenant, contact.customer_id.in_(ids))
        holds = select(held.id).join(
            tables.contacts, and_(contact.tenant == held.tenant, contact.id == held.contact_id, theirs)
        )
        helps = select(helped.id).join(
            tables.contacts, and_(contact.tenant == helped.tenant, contact.id == helped.contact_id, theirs)
        )
        own = (
            holds.where(held.tenant == tenant, held.agent_id == agent_id, held.ended_at.is_(None)),
            helps.where(helped.tenant == tenant, helped.agent_id == agent_id, helped.closed_at.is_(None)),
        )
        return bool(ids) and bool(await self._queries.all_rows(union_all(*own)))

    # -- what happened ------------------------------------------------------------------------------------------

    async def timeline(
        self, tenant: str, members: Sequence[str], *, limit: int, cursor: str | None = None
    ) -> Page[Moment]:
        """Contacts over every channel, newest first, with what was said in each and what came of it."""
        contact = tables.contacts.c
        own = select(contact.id).where(contact.tenant == tenant)
        if cursor is not None:
            own = own.where(contact.id < cursor)
        newest = self._newest(own, contact.customer_id, contact.id, members, limit + 1)
        query = contacts_shown().where(contact.tenant == tenant, contact.id.in_(newest))
        found = [contact_read(row) for row in await self._queries.all_rows(query.order_by(contact.id.desc()))]
        return await self._page(tenant, found, limit)

    async def _page(self, tenant: str, found: Sequence[ContactRead], limit: int) -> Page[Moment]:
        """These contacts with what was said in them, up to the limit."""
        shown = found[:limit]
        ids = [each.contact[0] for each in shown]
        said = await self._said(tenant, ids)
        ratings = await self._ratings(tenant, ids)
        reviews = await self._reviews(tenant, ids)
        items = [
            Moment(
                each,
                said.get(each.contact[0], ())[-MESSAGES_MAX:],
                len(said.get(each.contact[0], ())) > MESSAGES_MAX,
                ratings.get(each.contact[0]),
                reviews.get(each.contact[0]),
            )
            for each in shown
        ]
        return Page(items, ids[-1] if len(found) > limit else None)

    @staticmethod
    def _newest(own: Select[Any], whose: Any, by: Any, members: Sequence[str], limit: int) -> Any:  # noqa: ANN401
        """The newest ids of all members together, found as the newest of each."""
        each = [select(own.where(whose == member).order_by(by.desc()).limit(limit).subquery()) for member in members]
        if len(each) == 1:
            return each[0]
        found = union_all(*each).subquery()
        return select(found.c.id).order_by(found.c.id.desc()).limit(limit)

    async def contacts(self, tenant: str, members: Sequence[str]) -> list[ContactRead]:
        """The newest of these, who are one (`CONTACTS_MAX` and one more), and the open ones; newest first."""
        contact = tables.contacts.c
        of = select(contact.id).where(contact.tenant == tenant)
        newest = self._newest(of, contact.customer_id, contact.id, members, CONTACTS_MAX + 1)
        still_open = of.where(contact.customer_id.in_(members), contact.closed_at.is_(None)).limit(OPEN_MAX)
        either = union_all(select(newest.subquery()), select(still_open.subquery()))
        shown = contacts_shown().where(contact.tenant == tenant, contact.id.in_(either))
        return [contact_read(row) for row in await self._queries.all_rows(shown.order_by(contact.id.desc()))]

    async def _said(self, tenant: str, contact_ids: Sequence[str]) -> Mapping[str, Sequence[MessageFact]]:
        """The newest messages of each contact, oldest first; one more than are shown."""
        if not contact_ids:
            return {}
        key = values(column("id", String), name="key").data([(each,) for each in contact_ids])
        each = tables.messages.c
        newest = (
            select(*_of(tables.messages))
            .where(each.tenant == tenant, each.contact_id.between(key.c.id, key.c.id))
            .order_by(each.contact_id.desc(), each.id.desc())  # leaves the one index that has them in this order
            .limit(MESSAGES_MAX + 1)
            .lateral("said")
        )
        found: dict[str, list[MessageFact]] = defaultdict(list)
        for row in await self._queries.all_rows(select(newest).select_from(key.join(newest, true()))):
            message = rows.message_from(row)
            found[message.contact_id].append(message)
        return {contact: sorted(said, key=lambda one: (one.at, one.id)) for contact, said in found.items()}

    async def _ratings(self, tenant: str, contact_ids: Sequence[str]) -> Mapping[str, RatingFact]:
        each = tables.ratings.c
        query = select(*_of(tables.ratings)).where(each.tenant == tenant, each.contact_id.in_(contact_ids))
        return {row[0]: rows.rating_from(row) for row in await self._queries.all_rows(query)}

    async def _reviews(self, tenant: str, contact_ids: Sequence[str]) -> Mapping[str, ReviewFact]:
        each = tables.reviews.c
        query = select(*_of(tables.reviews)).where(each.tenant == tenant, each.contact_id.in_(contact_ids))
        return {row[0]: rows.review_from(row) for row in await self._queries.all_rows(query)}

    async def _rated(self, tenant: str, members: Sequence[str]) -> tuple[int, float | None]:
        """How many of the newest contacts were rated, and the mean."""
        contact = tables.contacts.c
        of = select(contact.id).where(contact.tenant == tenant)
        newest = self._newest(of, contact.customer_id, contact.id, members, RATED_MAX)
        each = tables.ratings.c
        query = select(each.score).where(each.tenant == tenant, each.contact_id.in_(newest))
        scores = [int(row[0]) for row in await self._queries.all_rows(query)]
        return len(scores), sum(scores) / len(scores) if scores else None

    # -- who it is ----------------------------------------------------------------------------------------------

    async def _identities(self, tenant: str, members: Sequence[str]) -> list[IdentityFact]:
        each = tables.identities.c
        query = select(*_of(tables.identities)).where(each.tenant == tenant, each.customer_id.in_(members))
        ordered = query.order_by(each.created_at, each.type, each.value)
        return [rows.identity_from(row) for row in await self._queries.all_rows(ordered)]

    async def _suggestions(self, tenant: str, members: Sequence[Customer]) -> list[Suggestion]:
        """Other customers with an identity that one of these has too: at least one of the two is weak."""
        mine, others, whose = tables.identities.alias("mine"), tables.identities.alias("others"), tables.customers
        ids = [each.id for each in members]

        def alike(*, strong: bool) -> Select[Any]:
            other = select(others.c.customer_id).where(
                others.c.tenant == tenant,
                others.c.type == mine.c.type,
                others.c.value == mine.c.value,
                others.c.strong if strong else not_(others.c.strong),
                others.c.customer_id.not_in(ids),
            )
            found = other.order_by(others.c.customer_id.desc()).limit(SUGGESTIONS_MAX).lateral("other")
            return (
                select(mine.c.type, mine.c.value, found.c.customer_id)
                .select_from(mine.join(found, true()))
                .where(mine.c.tenant == tenant, mine.c.customer_id.in_(ids))
            )

        either = union_all(alike(strong=True), alike(strong=False)).subquery()
        query = (
            select(either.c.type, either.c.value, *_of(whose))
            .select_from(either.join(whose, and_(whose.c.tenant == tenant, whose.c.id == either.c.customer_id)))
            .limit(SUGGESTIONS_MAX * 10)
        )
        apart = {other for each in members for other in each.apart}
        found: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        for row in await self._queries.all_rows(query):
            other = rows.customer_from(row[2:])
            if other.id not in apart and apart.isdisjoint((other.survivor_id,)) and not set(other.apart) & set(ids):
                found[other.survivor_id or other.id][(row[0], row[1])] = None
        return [Suggestion(each, tuple(why)) for each, why in sorted(found.items())[:SUGGESTIONS_MAX]]

    # -- what people have to settle -----------------------------------------------------------------------------

    async def _open_conflicts(self, tenant: str, members: Sequence[str]) -> list[ConflictFact]:
        """The newest, oldest first, of those whose customers are not one by now."""
        each = tables.customer_conflicts.c
        is_open = select(each.id).where(
            each.tenant == tenant,
            each.settled_at.is_(None),
            or_(each.customer_id.not_in(members), each.other_id.not_in(members)),
        )
        newest = [
            select(self._newest(is_open, whose, each.id, members, CONFLICTS_MAX).subquery())
            for whose in (each.customer_id, each.other_id)
        ]
        query = select(*_of(tables.customer_conflicts)).where(each.tenant == tenant, each.id.in_(union_all(*newest)))
        ordered = query.order_by(each.id.desc()).limit(CONFLICTS_MAX)
        return [rows.conflict_from(row) for row in await self._queries.all_rows(ordered)][::-1]

    async def conflicts_between(self, tenant: str, customer_id: str, other_id: str) -> tuple[str, ...]:
        """The ids of the open conflicts between these two and who is one with them, the newest."""
        some, others = [{each.id for each in await self.members(tenant, whose)} for whose in (customer_id, other_id)]
        found = await self._open_conflicts(tenant, sorted(some)) if some and others else []
        return tuple(each.id for each in found if others & {each.customer_id, each.other_id})

    async def conflict(self, tenant: str, conflict_id: str) -> ConflictFact | None:
        """One conflict."""
        each = tables.customer_conflicts.c
        query = select(*_of(tables.customer_conflicts)).where(each.tenant == tenant, each.id == conflict_id)
        row = await self._queries.one_row(query)
        return None if row is None else rows.conflict_from(row)

    async def conflicts(self, tenant: str, *, settled: bool, limit: int, cursor: str | None) -> Page[ConflictFact]:
        """Conflicts, newest first: those that wait for a person, or those that are settled.

        One of which both customers were merged by hand since waits for nobody.
        """
        each, one, other = tables.customer_conflicts.c, tables.customers.alias("one"), tables.customers.alias("other")
        query = select(*_of(tables.customer_conflicts)).where(each.tenant == tenant)
        if settled:
            query = query.where(each.settled_at.is_not(None))
        else:
            query = (
                query.join(one, and_(one.c.tenant == each.tenant, one.c.id == each.customer_id))
                .join(other, and_(other.c.tenant == each.tenant, other.c.id == each.other_id))
                .where(
                    each.settled_at.is_(None),
                    or_(one.c.survivor_id.is_(None), one.c.survivor_id.is_distinct_from(other.c.survivor_id)),
                )
            )
        if cursor is not None:
            query = query.where(each.id < cursor)
        found = [
            rows.conflict_from(row)
            for row in await self._queries.all_rows(query.order_by(each.id.desc()).limit(limit + 1))
        ]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def reviews(
        self, tenant: str, *, settled: bool, limit: int, cursor: str | None
    ) -> Page[tuple[ReviewFact, ContactRead | None]]:
        """Contacts that are to be looked at, newest first: those that wait for it, or those that were looked at."""
        each, contact = tables.reviews.c, tables.contacts.c
        query = select(*_of(tables.reviews)).where(
            each.tenant == tenant, each.settled_at.is_not(None) if settled else each.settled_at.is_(None)
        )
        if cursor is not None:
            query = query.where(each.contact_id < cursor)
        ordered = query.order_by(each.contact_id.desc()).limit(limit + 1)
        found = [rows.review_from(row) for row in await self._queries.all_rows(ordered)]
        ids = [each.contact_id for each in found[:limit]]
        of = contacts_shown().where(contact.tenant == tenant, contact.id.in_(ids))
        shown = {row[0]: contact_read(row) for row in await self._queries.all_rows(of)}
        items = [(each, shown.get(each.contact_id)) for each in found[:limit]]
        return Page(items, ids[-1] if len(found) > limit else None)
