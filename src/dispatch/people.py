"""Who a customer is within a turn: families of merged customers, and what a sighting of identities says of them.

A customer keeps what came with it for good: its identities, and the contacts that came by them. To merge one into
another only notes down in the first where it belongs; a family is what hangs together by such notes, and its survivor
answers for all of it. So to undo a merge is to strike one note out: the branch that hung on it is a customer again,
with just the contacts and identities that came as one of its members, also with those that came since. What came as the
survivor, or by an identity that was linked to the survivor since, stays with the survivor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from src.dispatch.facts import ConflictFact, Customer, IdentityFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import Conflict, Gone, NotFound
from src.profile.identities import Identity, disagreement
from src.router import commands
from src.router import events as ev
from src.router.handlers.customers import FLAGGED_REPEAT
from src.router.model import TagRequest
from src.router.state import State

FAMILY_MAX: Final = 50
"""So many customers may be merged into one: all of them are looked at with each."""

IDENTITIES_MAX: Final = 100
"""So many identities one customer may have."""

KEPT_APART: Final = "kept_apart"
"""The kind of a conflict where somebody has said before that these are two."""

TOO_MANY: Final = "too_many"
"""The kind of a conflict where the family, or what it is known by, would be larger than can be looked at."""


# -- families ----------------------------------------------------------------------------------------------------------


def survivor_of(turn: Turn, customer_id: str) -> Customer:
    """The customer that answers for this one.

    Raises:
        NotFound: there is no such customer.
    """
    customer = turn.known.customers.get(customer_id)
    if customer is None:
        raise NotFound("there is no such customer")
    return customer if customer.survivor_id is None else turn.known.customers[customer.survivor_id]


def members_of(turn: Turn, survivor: Customer) -> tuple[str, ...]:
    """The ids of the whole family, the survivor's first."""
    return turn.known.families.get(survivor.id, (survivor.id,))


def insist_on(turn: Turn, contact_id: str) -> str:
    """Whom a contact came as. Of somebody who was erased nothing is written any more: nobody would take it away again.

    Raises:
        NotFound: there is no such contact.
        Gone: the customer was erased.
    """
    contact = turn.engine.state.contact(contact_id) or turn.archive().contacts.get(contact_id)
    if contact is None:
        raise NotFound("there is no such contact")
    if contact.customer_id not in turn.known.customers:
        raise Gone("the customer was erased")
    return contact.customer_id


def whole(customers: Sequence[Customer]) -> Customer:
    """A family as one customer: what the first says, and where it says nothing, what the others say, in their order."""
    first = customers[0]
    if len(customers) == 1:
        return first
    attributes: dict[str, Any] = {}
    for each in reversed(customers):
        attributes |= each.attributes
    return replace(
        first,
        display_name=_first(each.display_name for each in customers),
        tier=_first(each.tier for each in customers),
        preferred_agent_id=_first(each.preferred_agent_id for each in customers),
        preferred_channel=_first(each.preferred_channel for each in customers),
        attributes=attributes,
        tags=tuple(dict.fromkeys(tag for each in customers for tag in each.tags)),
    )


def known_as(turn: Turn, survivor: Customer) -> Customer:
    """A survivor with what its family says beside it."""
    return whole([turn.known.customers[each] for each in members_of(turn, survivor)])


def judge_anew(turn: Turn, was: Customer, now: Customer, members: Iterable[str], but: str | None = None) -> None:
    """More is known of these customers, who are one: what waits of them is judged by that, `but` one contact.

    It is as far as the texts of their contacts are at hand: to look them up is the job's affair.
    """
    if (was.tier, was.preferred_agent_id, was.attributes) == (now.tier, now.preferred_agent_id, now.attributes):
        return
    for member in members:
        for contact in turn.engine.state.open_of(member):
            if contact.state != "waiting" or contact.id == but:
                continue
            fact = turn.known.facts.get(contact.id)
            came = commands.Receive(
                contact_id=contact.id,
                customer_id=member,
                channel=contact.channel,
                account=contact.account,
                text=None if fact is None else fact.text,
                tags=tuple(TagRequest(each) for each in contact.tags),
                language=contact.language,
                attributes={} if fact is None else fact.attributes,
                recent_tags=frozenset(contact.tags if FLAGGED_REPEAT in contact.flags else ()),
                survivor_id=was.id,
            )
            turn.decide(commands.Rejudge(*(_of(came, each) for each in (was, now))))


def _of(came: commands.Receive, customer: Customer) -> commands.Receive:
    return replace(
        came,
        tier=customer.tier,
        customer_attributes=customer.attributes,
        dedicated_agent_id=customer.preferred_agent_id,
    )


def _first(values: Iterable[str | None]) -> str | None:
    return next((each for each in values if each is not None), None)


# -- a sighting --------------------------------------------------------------------------------------------------------


class _Meeting(NamedTuple):
    """Two customers of whom strong identities say that they are one, and why they cannot be: None, if they can."""

    survivor: str
    other: str
    obstacle: str | None


@dataclass(slots=True)
class Sighting:
    """What identities that came together say. Nothing of it is written before `carry_out`.

    `customer_id` is whom the contact comes as, `profile` what is known of that customer, `members` its family, all as
    it will be; `known` false: nobody has seen it before.
    """

    customer_id: str
    profile: Customer
    members: tuple[str, ...]
    known: bool
    made: list[Customer] = field(default_factory=list)
    learnt: list[IdentityFact] = field(default_factory=list)
    meetings: list[_Meeting] = field(default_factory=list)

    @property
    def unites(self) -> bool:
        """Whether customers are one by it that were not."""
        return any(each.obstacle is None for each in self.meetings)


def seen(turn: Turn, identity: Identity, also: Sequence[Identity] = ()) -> Sighting:
    """What it says that somebody came with this identity, and with others beside it, all in normal form.

    Strong ones that are known name their customers: those are one, the oldest survives, unless something speaks against
    it. Strong ones that are new become those of whom the contact comes as; where that one has another of the kind, they
    are somebody else's, and there is a conflict too. Weak ones are noted down. In which order they stand says nothing.
    """
    if also:
        return _Together(turn, identity, also).sighting()
    owner = turn.known.identities.get(identity.key) if identity.strong else None
    if owner is None:
        made = Customer(turn.new_id(), turn.now, identity.display_name)
        return Sighting(made.id, made, (made.id,), known=False, made=[made], learnt=[_fact(turn, identity, made.id)])
    customer = turn.known.customers[owner]
    if customer.survivor_id is None:
        return Sighting(owner, customer, (owner,), known=True)
    members = members_of(turn, survivor_of(turn, owner))
    return Sighting(owner, whole([turn.known.customers[each] for each in members]), members, known=True)


def told(turn: Turn, customer_id: str, identity: Identity) -> Sighting:
    """What it says that somebody says of a customer that it has this identity."""
    return _Together(turn, identity, ()).sighting(customer_id)


class _Together:
    """A sighting of several identities while it is thought through."""

    def __init__(self, turn: Turn, identity: Identity, also: Sequence[Identity]) -> None:
        self._turn = turn
        self._identities = list({each.key: each for each in (*also, identity)}.values())
        self._primary = identity
        self._owners = {
            each.key: turn.known.identities[each.key]
            for each in self._identities
            if each.strong and each.key in turn.known.identities
        }
        self._made: list[Customer] = []
        self._learnt: list[IdentityFact] = []
        self._meetings: list[_Meeting] = []
        self._groups: dict[str, tuple[str, ...]] = {}  # families as they will be, by survivor

    def sighting(self, home: str | None = None) -> Sighting:
        """Think it through. `home` is a customer that is known to have them all."""
        roots = {survivor_of(self._turn, each).id for each in (*self._owners.values(), *filter(None, (home,)))}
        for root in roots:
            self._groups[root] = members_of(self._turn, self._turn.known.customers[root])
        self._unite(sorted(roots, key=self._age))
        by_age = sorted(self._owners.values(), key=lambda each: (self._age(survivor_of(self._turn, each).id), each))
        home = home or self._owners.get(self._primary.key) or next(iter(by_age), None)
        known = home is not None
        home = home or self._make(self._primary.display_name)
        for each in self._identities:
            if each.strong and each.key not in self._owners:
                self._learn(each, home)
            elif not each.strong:
                self._note_down(each, home)
        owner = home
        for fact in self._learnt:
            if fact.strong and (fact.type, fact.value) == self._primary.key:
                owner = fact.customer_id
        members = self._groups[self._root(owner)]
        profile = whole([self._customer(each) for each in members])
        return Sighting(owner, profile, members, known, self._made, self._learnt, self._meetings)

    def _unite(self, roots: Sequence[str]) -> None:
        """All of them are one with the oldest, as far as nothing speaks against it."""
        for root in roots[1:]:
            first = roots[0]
            obstacle = self._obstacle(first, root)
            self._meetings.append(_Meeting(first, root, obstacle))
            if obstacle is None:
                self._groups[first] = (*self._groups[first], *self._groups.pop(root))

    def _learn(self, identity: Identity, home: str) -> None:
        """A strong identity that is new: of whom the contact comes as, or, where that cannot be, of somebody new."""
        obstacle = disagreement(self._strong(self._root(home)), [(identity.type, identity.value, identity.scope)])
        if len(self._held(home)) >= IDENTITIES_MAX:
            obstacle = TOO_MANY
        if obstacle is None:
            self._learnt.append(_fact(self._turn, identity, home))
            return
        other = self._make(identity.display_name)
        self._learnt.append(_fact(self._turn, identity, other))
        self._meetings.append(_Meeting(self._root(home), other, obstacle))

    def _note_down(self, identity: Identity, home: str) -> None:
        """A weak identity: it suggests something, unless the customer has it already."""
        held = self._held(home)
        if len(held) < IDENTITIES_MAX and all((each.type, each.value) != identity.key for each in held):
            self._learnt.append(_fact(self._turn, identity, home))

    def _make(self, display_name: str | None) -> str:
        made = Customer(self._turn.new_id(), self._turn.now, display_name)
        self._made.append(made)
        self._groups[made.id] = (made.id,)
        return made.id

    def _obstacle(self, one: str, other: str) -> str | None:
        apart = {each for member in self._groups[one] for each in self._customer(member).apart}
        others_apart = {each for member in self._groups[other] for each in self._customer(member).apart}
        if not apart.isdisjoint(self._groups[other]) or not others_apart.isdisjoint(self._groups[one]):
            return KEPT_APART
        if len(self._groups[one]) + len(self._groups[other]) > FAMILY_MAX:
            return TOO_MANY
        return disagreement(self._strong(one), self._strong(other))

    def _strong(self, root: str) -> list[tuple[str, str, str]]:
        held = [fact for member in self._groups[root] for fact in self._held(member)]
        return [(each.type, each.value, each.scope) for each in held if each.strong]

    def _held(self, customer_id: str) -> list[IdentityFact]:
        learnt = [each for each in self._learnt if each.customer_id == customer_id]
        return [*self._turn.known.held.get(customer_id, ()), *learnt]

    def _root(self, customer_id: str) -> str:
        return next(root for root, members in self._groups.items() if customer_id in members)

    def _customer(self, customer_id: str) -> Customer:
        made = next((each for each in self._made if each.id == customer_id), None)
        return made or self._turn.known.customers[customer_id]

    def _age(self, root: str) -> tuple[int, str]:
        return (self._turn.known.customers[root].created_at, root)


def _fact(turn: Turn, identity: Identity, customer_id: str) -> IdentityFact:
    return IdentityFact(
        type=identity.type,
        value=identity.key[1],
        customer_id=customer_id,
        display_name=identity.display_name,
        strong=identity.strong,
        created_at=turn.now,
        scope=identity.scope,
    )


def want_waiting(wanted: Wanted, state: State, customer_ids: Iterable[str]) -> None:
    """What must be known to judge anew what waits of these."""
    for each in customer_ids:
        wanted.contacts.update(contact.id for contact in state.open_of(each) if contact.state == "waiting")


def carry_out(
    turn: Turn, sighting: Sighting, contact_id: str | None, by: str | None = None, *, opens: bool = False
) -> None:
    """Write down what a sighting says. `contact_id` is the contact that it came with.

    `opens`: that one was opened by it, and has been judged by all that is known of whoever is one by then.
    """
    for customer in sighting.made:
        turn.write(customer)
    new = {each.id for each in sighting.made}
    for fact in sighting.learnt:
        turn.write(fact)
        if fact.customer_id not in new:
            data = {"type": fact.type, "strong": fact.strong, "by": by}
            turn.decide(commands.Record(ev.CUSTOMER_IDENTIFIED, fact.customer_id, data))
    for meeting in sighting.meetings:
        if meeting.obstacle is None:
            unite(turn, meeting.survivor, meeting.other, "linked", by, contact_id if opens else None)
        else:
            _clash(turn, meeting, contact_id)


def _clash(turn: Turn, meeting: _Meeting, contact_id: str | None) -> None:
    """Put a conflict before people, once: from then on the two are kept apart."""
    if meeting.obstacle == KEPT_APART:
        return
    one, other = (turn.known.customers[each] for each in (meeting.survivor, meeting.other))
    assert meeting.obstacle is not None
    conflict = ConflictFact(turn.new_id(), one.id, other.id, meeting.obstacle, turn.now, contact_id)
    turn.write(conflict)
    keep_apart(turn, one.id, other.id)
    data = {"conflict_id": conflict.id, "other_id": other.id, "kind": conflict.kind}
    turn.decide(commands.Record(ev.CUSTOMER_CONFLICT, one.id, data))


# -- merging -----------------------------------------------------------------------------------------------------------


def keep_apart(turn: Turn, customer_id: str, other_id: str) -> None:
    """Nothing but a person's word makes these two one.

    It is noted down with the one that has fewer such notes: many may be told apart from whoever has a number that
    they share.
    """
    one, other = (turn.known.customers[each] for each in (customer_id, other_id))
    if other_id not in one.apart and customer_id not in other.apart:
        fewer, more = (one, other) if len(one.apart) <= len(other.apart) else (other, one)
        turn.write(replace(fewer, apart=(*fewer.apart, more.id)))


def unite(turn: Turn, survivor_id: str, other_id: str, reason: str, by: str | None, judged: str | None = None) -> None:
    """Merge the second customer's family into the first's. Both are survivors, and not the same.

    What waits of either is judged by what is known of both; `judged` is a contact for which that was done.

    Raises:
        Conflict: the family would be too large.
    """
    known = turn.known
    survivor, other = known.customers[survivor_id], known.customers[other_id]
    members, joining = members_of(turn, survivor), members_of(turn, other)
    parts = [(known_as(turn, survivor), members), (known_as(turn, other), joining)]
    if len(members) + len(joining) > FAMILY_MAX:
        raise Conflict(f"no more than {FAMILY_MAX} customers can be merged into one")
    turn.decide(commands.Record(ev.CUSTOMER_MERGED, survivor_id, {"merged_id": other_id, "reason": reason, "by": by}))
    merged = {"into": survivor_id, "at": turn.now, "by": by, "reason": reason}
    turn.write(replace(other, merged=merged))
    _regroup(turn, (*members, *joining))
    _move(turn, joining, survivor_id, "merged")
    now = known_as(turn, known.customers[survivor_id])
    for was, theirs in parts:
        judge_anew(turn, was, now, theirs, judged)


def divide(turn: Turn, customer_id: str, by: str | None) -> None:
    """Undo the merge that brought this customer into its family, and no other.

    Raises:
        Conflict: it was not merged into any.
    """
    known = turn.known
    customer = known.customers[customer_id]
    if customer.merged is None or customer.survivor_id is None:
        raise Conflict("this customer was not merged into another")
    survivor_id, into = customer.survivor_id, customer.merged["into"]
    everyone = known.families[survivor_id]
    branch = _branch(turn, customer_id, everyone)
    rest = tuple(each for each in everyone if each not in branch)
    was = known_as(turn, known.customers[survivor_id])
    data = {"unmerged_id": customer_id, "by": by}
    turn.decide(commands.Record(ev.CUSTOMER_UNMERGED, survivor_id, data))
    turn.write(replace(customer, merged=None))
    keep_apart(turn, customer_id, into)
    known.families.pop(survivor_id)
    _regroup(turn, rest)
    _regroup(turn, branch)
    _move(turn, branch, customer_id, "unmerged")
    for theirs in (rest, branch):
        judge_anew(turn, was, known_as(turn, known.customers[theirs[0]]), theirs)


def _branch(turn: Turn, customer_id: str, everyone: Sequence[str]) -> tuple[str, ...]:
    """The customer, and whoever was merged into it, directly or by way of others."""
    branch = [customer_id]
    for each in branch:
        branch.extend(other for other in everyone if (turn.known.customers[other].merged or {}).get("into") == each)
    return tuple(branch)


def _regroup(turn: Turn, members: Sequence[str]) -> None:
    """These are a family now, of which the first survives; one alone is none."""
    known = turn.known
    survivor_id = members[0] if len(members) > 1 else None
    for each in members:
        customer = known.customers[each]
        if customer.survivor_id != survivor_id:
            turn.write(replace(customer, survivor_id=survivor_id))
        known.families.pop(each, None)
    if survivor_id is not None:
        known.families[survivor_id] = tuple(members)


def _move(turn: Turn, members: Iterable[str], to: str, reason: str) -> None:
    """Tell those who hold contacts of these customers whose contacts they are now. Nothing else of them changes."""
    data = {"customer_id": to, "reason": reason}
    for member in members:
        for contact in turn.engine.state.open_of(member):
            turn.decide(commands.Record(ev.CONTACT_MOVED, member, data, contact.id))
