"""What callers can want of customers, as jobs: change them, say who is who, settle what people have to settle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from src.dispatch import outreach, people, repeats
from src.dispatch.facts import ConflictFact, Customer, RatingFact, ReviewFact, SurveyFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import Conflict, Malformed, NotFound
from src.profile.identities import Identity
from src.router import commands
from src.router import events as ev
from src.router.state import State

ATTRIBUTES_MAX: Final = 100
"""So many attributes a customer may have."""


@dataclass(frozen=True, slots=True)
class PatchCustomer:
    """Change a customer's tier, preferred agent, attributes or tags; what is not named stays.

    Of a customer that has been merged the survivor is changed. Its contacts that wait are judged anew, also those that
    came as `others` of its family.
    """

    customer_id: str
    changes: Mapping[str, Any]
    others: tuple[str, ...] = ()

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.customers.add(self.customer_id)
        people.want_waiting(wanted, state, (self.customer_id, *self.others))

    def run(self, turn: Turn) -> Customer:
        survivor = people.survivor_of(turn, self.customer_id)
        was = people.known_as(turn, survivor)
        customer = replace(survivor, **self.changes)
        turn.decide(commands.Note("customer.updated", customer.id, customer.id))
        turn.write(customer)
        people.judge_anew(turn, was, people.known_as(turn, customer), people.members_of(turn, customer))
        return customer


@dataclass(frozen=True, slots=True)
class Learn:
    """Another system, which is asked about the customer, says this of it. What is known already is not said again."""

    customer_id: str
    said: Mapping[str, Any]
    attributes: Mapping[str, Any]
    others: tuple[str, ...] = ()

    def wants(self, wanted: Wanted, state: State) -> None:
        PatchCustomer(self.customer_id, {}, self.others).wants(wanted, state)

    def run(self, turn: Turn) -> None:
        survivor = people.survivor_of(turn, self.customer_id)
        changes = {name: value for name, value in self.said.items() if getattr(survivor, name) != value}
        attributes = {**survivor.attributes, **self.attributes}
        if attributes != survivor.attributes and len(attributes) <= ATTRIBUTES_MAX:
            changes["attributes"] = attributes
        if changes:
            PatchCustomer(self.customer_id, changes, self.others).run(turn)


@dataclass(frozen=True, slots=True)
class Identify:
    """Somebody says that a customer has this identity, in normal form. The result is the survivor's id.

    A strong one that another customer has makes the two one, unless something speaks against it: then there is a
    conflict. A weak one only suggests.
    """

    customer_id: str
    identity: Identity
    by: str

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.customers.add(self.customer_id)
        wanted.identities.add(self.identity.key)
        wanted.whole = True
        repeats.want_joined(wanted, state, (self.customer_id,))
        people.want_waiting(wanted, state, (self.customer_id,))

    def run(self, turn: Turn) -> str:
        people.survivor_of(turn, self.customer_id)
        sighting = people.told(turn, self.customer_id, self.identity)
        held = {(each.type, each.value) for each in turn.known.held.get(self.customer_id, ())}
        if not self.identity.strong and not sighting.learnt and self.identity.key not in held:
            raise Conflict(f"a customer has no more than {people.IDENTITIES_MAX} identities")
        people.carry_out(turn, sighting, None, self.by)
        if sighting.unites:
            repeats.joined(turn, self.customer_id)
        return people.survivor_of(turn, self.customer_id).id


@dataclass(frozen=True, slots=True)
class Merge:
    """Two customers are one: the first answers for both. Said again, nothing happens. The result is the survivor's id.

    A person who says so knows better than any identity: open `conflicts` between the two (ids) are settled with it.
    Where one was merged before, it is its survivor that is meant. `reason` is `requested` or `suggested`.
    """

    customer_id: str
    other_id: str
    by: str
    reason: Literal["requested", "suggested"] = "requested"
    conflicts: tuple[str, ...] = ()

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.customers.update((self.customer_id, self.other_id))
        wanted.conflicts.update(self.conflicts)
        repeats.want_joined(wanted, state, (self.customer_id, self.other_id))
        people.want_waiting(wanted, state, (self.customer_id, self.other_id))

    def run(self, turn: Turn) -> str:
        if self.customer_id == self.other_id:
            raise Malformed("a customer cannot be merged with itself", field="customer_id")
        survivor, other = (people.survivor_of(turn, each) for each in (self.customer_id, self.other_id))
        if survivor.id != other.id:
            people.unite(turn, survivor.id, other.id, self.reason, self.by)
            repeats.joined(turn, survivor.id)
            members = people.members_of(turn, people.survivor_of(turn, survivor.id))
            for conflict in filter(None, map(turn.known.conflicts.get, self.conflicts)):
                if conflict.verdict is None and {conflict.customer_id, conflict.other_id} <= {*members}:
                    _settled(turn, conflict, survivor.id, other.id, "merge", self.by)
        return survivor.id


def _settled(
    turn: Turn, conflict: ConflictFact, customer_id: str, other_id: str, verdict: Literal["merge", "apart"], by: str
) -> ConflictFact:
    """Write down what a person says of a conflict, which is between these two."""
    settled = replace(conflict, settled_at=turn.now, settled_by=by, verdict=verdict)
    data = {"other_id": other_id, "verdict": verdict, "conflict_id": conflict.id, "by": by}
    turn.decide(commands.Record(ev.CUSTOMER_SETTLED, customer_id, data))
    turn.write(settled)
    return settled


@dataclass(frozen=True, slots=True)
class Unmerge:
    """Undo the merge that brought `other_id` into the customer's family. The result is the survivor of what is left.

    What came as `other_id`, or as one that had been merged into it before, is its own again: identities, and contacts
    whenever they came. What came as others stays. Nothing but a person's word merges the two again.
    """

    customer_id: str
    other_id: str
    by: str

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.customers.update((self.customer_id, self.other_id))
        people.want_waiting(wanted, state, (self.customer_id, self.other_id))

    def run(self, turn: Turn) -> str:
        survivor, other = (people.survivor_of(turn, each) for each in (self.customer_id, self.other_id))
        if survivor.id != other.id or turn.known.customers[self.other_id].merged is None:
            raise Conflict("that customer was not merged into this one")
        people.divide(turn, self.other_id, self.by)
        return survivor.id


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Two customers of whom it is suggested that they are one are not. Said again, nothing happens."""

    customer_id: str
    other_id: str
    by: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.customers.update((self.customer_id, self.other_id))

    def run(self, turn: Turn) -> str:
        survivor, other = (people.survivor_of(turn, each) for each in (self.customer_id, self.other_id))
        if survivor.id == other.id:
            raise Conflict("these are one customer already")
        if other.id not in survivor.apart and survivor.id not in other.apart:
            data = {"other_id": other.id, "verdict": "apart", "conflict_id": None, "by": self.by}
            turn.decide(commands.Record(ev.CUSTOMER_SETTLED, survivor.id, data))
            people.keep_apart(turn, survivor.id, other.id)
        return survivor.id


@dataclass(frozen=True, slots=True)
class SettleConflict:
    """A person says whether two customers are one. Said again the same, nothing happens."""

    conflict_id: str
    customers: tuple[str, str]
    verdict: Literal["merge", "apart"]
    by: str

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.conflicts.add(self.conflict_id)
        wanted.customers.update(self.customers)
        repeats.want_joined(wanted, state, self.customers)
        people.want_waiting(wanted, state, self.customers)

    def run(self, turn: Turn) -> ConflictFact:
        conflict = turn.known.conflicts.get(self.conflict_id)
        if conflict is None:
            raise NotFound("there is no such conflict")
        if conflict.verdict is not None:
            if conflict.verdict != self.verdict:
                raise Conflict("somebody has settled this otherwise", verdict=conflict.verdict)
            return conflict
        survivor, other = (people.survivor_of(turn, each) for each in (conflict.customer_id, conflict.other_id))
        if self.verdict == "merge" and survivor.id != other.id:
            people.unite(turn, survivor.id, other.id, "settled", self.by)
            repeats.joined(turn, survivor.id)
        elif self.verdict == "apart" and survivor.id == other.id:
            raise Conflict("the two have been merged since: unmerge them")
        return _settled(turn, conflict, survivor.id, other.id, self.verdict, self.by)


@dataclass(frozen=True, slots=True)
class Rate:
    """How satisfied a customer was with a contact, as a gateway or a survey was told. The last word counts."""

    contact_id: str
    score: int
    comment: str | None
    by: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)

    def run(self, turn: Turn) -> RatingFact:
        customer_id = people.insist_on(turn, self.contact_id)
        rating = RatingFact(self.contact_id, self.score, self.comment, self.by, turn.now)
        data = {"score": self.score, "by": self.by}
        turn.decide(commands.Record(ev.CONTACT_RATED, customer_id, data, self.contact_id))
        turn.write(rating)
        return rating


@dataclass(frozen=True, slots=True)
class Survey:
    """The customer of a contact that has ended might be asked how it was. The result is whether it is, once for all."""

    contact_id: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        wanted.surveys.add(self.contact_id)
        wanted.outreach = True

    def run(self, turn: Turn) -> bool:
        customer_id = people.insist_on(turn, self.contact_id)
        decided = turn.known.surveys.get(self.contact_id)
        if decided is not None:
            return decided.withheld is None
        held = outreach.hold(turn, people.members_of(turn, people.survivor_of(turn, customer_id)))
        turn.write(SurveyFact(self.contact_id, turn.now, None if held is None else held.reason))
        if held is None:
            turn.decide(commands.Record(ev.SURVEY_ASKED, customer_id, {}, self.contact_id))
            outreach.begun(turn, customer_id)
            return True
        turn.decide(commands.Record(ev.SURVEY_WITHHELD, customer_id, {"rule": held.reason}, self.contact_id))
        return False


@dataclass(frozen=True, slots=True)
class SettleReview:
    """Somebody who watches over quality has looked at a contact. Said again, only the note changes."""

    contact_id: str
    kind: str
    note: str | None
    by: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.reviews.add((self.contact_id, self.kind))
        wanted.contacts.add(self.contact_id)

    def run(self, turn: Turn) -> ReviewFact:
        review = turn.known.reviews.get((self.contact_id, self.kind))
        if review is None:
            raise NotFound("there is no such review")
        people.insist_on(turn, self.contact_id)
        settled = replace(review, note=self.note)
        if review.settled_at is None:
            settled = replace(settled, settled_at=turn.now, settled_by=self.by)
        data = {"kind": self.kind, "by": self.by}
        turn.decide(commands.Record(ev.REVIEW_SETTLED, review.customer_id, data, self.contact_id))
        turn.write(settled)
        return settled
