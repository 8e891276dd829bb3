"""Who is who, whatever comes in which order: random sightings of identities, merges and unmerges."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, Self

import pytest

from src.dispatch import customers, jobs
from src.dispatch.facts import ConflictFact, Customer
from src.dispatch.inbound import Identity, InboundContact
from src.dispatch.known import Known, Wanted
from src.dispatch.ports import Parts
from src.dispatch.tenant import TenantLoop
from src.errors import Refused
from src.router.journal import Event
from src.store.memory import MemoryStore
from src.store.replay import compare
from tests.support.virtual import VirtualClock, run

SEEDS = range(25)
PEOPLE = tuple(Identity("member", f"m{each}") for each in range(6)) + tuple(
    Identity("phone", f"+861380013800{each}") for each in range(6)
)

Groups = frozenset[frozenset[Any]]


class Silent:
    def publish(self, tenant: str, events: list[Event], known: Known) -> None: ...

    def reached(self, tenant: str) -> int | None:
        return None


class Shop:
    """A tenant that is served in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore(VirtualClock())
        self.tenant = ""

    async def __aenter__(self) -> Self:
        self.tenant = await self.store.create_tenant("t", "secret")
        ids = (f"{each:06d}" for each in count())
        parts = Parts(self.store, Silent(), VirtualClock(), lambda: next(ids))  # type: ignore[arg-type]
        self._loop = TenantLoop(self.tenant, parts)
        self._task = asyncio.create_task(self._loop.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._loop.stop()
        await self._task

    async def do(self, *asked: Any) -> list[Any]:
        """All at once, so that they may ride on one commit."""
        return list(await asyncio.gather(*map(self._loop.submit, asked), return_exceptions=True))

    async def known(self, identities: Iterable[Identity] = PEOPLE) -> Known:
        """Everything about whoever has one of these."""
        wanted = Wanted(identities={each.key for each in identities}, whole=True, recent_since=0)
        return await self.store.lookup(self.tenant, wanted)

    async def groups(self) -> Groups:
        """The identities that one customer has, for each customer."""
        known = await self.known()
        found: dict[str, set[Any]] = {}
        for key, owner in known.identities.items():
            found.setdefault(known.customers[owner].survivor_id or owner, set()).add(key)
        return frozenset(map(frozenset, found.values()))


def sighting(identities: Sequence[Identity]) -> jobs.TakeContact:
    return jobs.TakeContact(InboundContact("chat", "shop", None, identities[0], tags=(), also=tuple(identities[1:])))


def linked(sightings: Iterable[Sequence[Identity]]) -> Groups:
    """What hangs together."""
    groups: list[set[Any]] = []
    for each in sightings:
        keys = {identity.key for identity in each}
        apart = [group for group in groups if group.isdisjoint(keys)]
        groups = [*apart, keys.union(*(group for group in groups if not group.isdisjoint(keys)))]
    return frozenset(map(frozenset, groups))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_what_comes_does_not_matter(seed: int) -> None:
    chance = random.Random(seed)
    sightings = [chance.sample(PEOPLE, chance.choice((1, 1, 2, 2, 3))) for _ in range(chance.randint(1, 12))]

    async def played() -> Groups:
        chance.shuffle(sightings)
        for each in sightings:
            chance.shuffle(each)
        async with Shop() as shop:
            rest = list(sightings)
            while rest:
                size = chance.randint(1, 5)
                done = await shop.do(*map(sighting, rest[:size]))
                assert all(isinstance(each, jobs.Taken) for each in done), done
                del rest[:size]
            known = await shop.known()
            held = [(fact.type, fact.value) for facts in known.held.values() for fact in facts if fact.strong]
            assert len(held) == len(set(held)), "two customers hold one strong identity"
            assert len(sightings) == sum(map(len, known.recent.values())), "a contact has got lost"
            assert [] == await compare(shop.store, shop.tenant)
            return await shop.groups()

    for _ in range(2):
        assert linked(sightings) == run(played())


class Model:
    """What ought to be: whose an identity is, and into whom a customer was merged."""

    def __init__(self) -> None:
        self.owners: dict[Any, str] = {}
        self.contacts: dict[str, str] = {}
        self.into: dict[str, str] = {}

    def root(self, customer: str) -> str:
        while customer in self.into:
            customer = self.into[customer]
        return customer

    def groups(self) -> Groups:
        found: dict[str, set[Any]] = {}
        for each, owner in (self.owners | self.contacts).items():
            found.setdefault(self.root(owner), set()).add(each)
        return frozenset(map(frozenset, found.values()))


async def seen(shop: Shop) -> Groups:
    """Identities and contacts by customer, as they are stored."""
    known = await shop.known()
    found: dict[str, set[Any]] = {}
    for key, owner in known.identities.items():
        found.setdefault(known.customers[owner].survivor_id or owner, set()).add(key)
    for owner, recent in known.recent.items():
        found.setdefault(known.customers[owner].survivor_id or owner, set()).update(each.contact_id for each in recent)
    return frozenset(map(frozenset, found.values()))


async def step(shop: Shop, model: Model, chance: random.Random) -> None:
    """Do one thing, with the shop and with the model."""
    everybody = sorted(set(model.owners.values()))
    what = chance.choice(("see", "see", "merge", "merge", "unmerge"))
    if what == "see" or len(everybody) < 2:
        identity = chance.choice(PEOPLE)
        if sum(owner == model.owners.get(identity.key, "") for owner in model.contacts.values()) >= 10:
            return  # no more than these are looked back at
        [taken] = await shop.do(sighting([identity]))
        known = await shop.known([identity])
        model.owners[identity.key] = model.contacts[taken.contact_id] = known.identities[identity.key]
        return
    one, other = chance.sample(everybody, 2)
    if what == "merge":
        [done] = await shop.do(customers.Merge(one, other, "anna"))
        assert done == model.root(one)
        if model.root(one) != model.root(other):
            model.into[model.root(other)] = model.root(one)
        return
    [done] = await shop.do(customers.Unmerge(one, other, "anna"))
    if other in model.into and model.root(one) == model.root(other):
        del model.into[other]
    else:
        assert isinstance(done, Refused)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_unmerge_undoes_just_its_merge(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        model = Model()
        async with Shop() as shop:
            for _ in range(60):
                await step(shop, model, chance)
                assert model.groups() == await seen(shop)
            before = await seen(shop)
            roots = sorted({model.root(each) for each in model.owners.values()})
            for one in roots:
                for other in roots:
                    if one != other:
                        await shop.do(customers.Merge(one, other, "anna"))
                        assert before != await seen(shop)
                        await shop.do(customers.Unmerge(one, other, "anna"))
                        assert before == await seen(shop)
            assert [] == await compare(shop.store, shop.tenant)

    run(main())


SINGLE = tuple(Identity("wechat_unionid", f"u{each}", scope="main") for each in range(3))
WEAK = tuple(Identity("email", f"{each}@x.cn") for each in range(3))
BY_HAND = frozenset({"requested", "suggested", "settled"})


def anything(chance: random.Random, everybody: Sequence[str], conflicts: Sequence[ConflictFact]) -> Any:
    """One more thing that may happen: identities of every kind come, and people say who is who, well or badly."""
    what = chance.choice(("see", "see", "see", "tell", "merge", "unmerge", "unmerge", "dismiss", "settle"))
    if what == "settle" and conflicts:
        conflict = chance.choice(conflicts)
        pair = (conflict.customer_id, conflict.other_id)
        return customers.SettleConflict(conflict.id, pair, chance.choice(("merge", "apart")), "anna")
    if what == "see" or len(everybody) < 2:
        return sighting(chance.sample(PEOPLE + SINGLE + WEAK, chance.choice((1, 2, 2, 3))))
    one, other = chance.choices(everybody, k=2)
    if what == "tell":
        return customers.Identify(one, chance.choice(PEOPLE + SINGLE + WEAK), "anna")
    if what == "merge":
        return customers.Merge(one, other, "anna", chance.choice(("requested", "suggested")))
    return (customers.Unmerge if what == "unmerge" else customers.Dismiss)(one, other, "anna")


def hold_together(known: Known) -> None:
    """What is true of everybody at any time."""
    held = [(fact.type, fact.value) for facts in known.held.values() for fact in facts if fact.strong]
    assert len(held) == len(set(held)), "two customers hold one strong identity"
    families: dict[str, list[Customer]] = {}
    for each in known.customers.values():
        root = each
        while root.merged is not None:
            root = known.customers[root.merged["into"]]
        families.setdefault(root.id, []).append(each)
    for root_id, family in families.items():
        survivors = {each.survivor_id for each in family}
        assert survivors == {root_id if len(family) > 1 else None}, "a family is not what its merges make of it"
        if not any(each.merged is not None and each.merged["reason"] in BY_HAND for each in family):
            ids = {each.id for each in family}
            assert all(ids.isdisjoint(each.apart) for each in family), "told apart, and one without a person's word"
            facts = [fact for each in ids for fact in known.held.get(each, ())]
            only = {fact.value for fact in facts if fact.strong and fact.type == "wechat_unionid"}
            assert len(only) <= 1, "a conflict was settled in silence"


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_comes_nobody_is_two_and_no_conflict_is_settled_in_silence(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        async with Shop() as shop:
            took, conflicts = 0, dict[str, ConflictFact]()
            for _ in range(40):
                known = await shop.known(PEOPLE + SINGLE + WEAK)
                everybody = sorted(known.customers)
                asked = [anything(chance, everybody, list(conflicts.values())) for _ in range(chance.randint(1, 4))]
                done = await shop.do(*asked)
                assert all(isinstance(each, Refused) for each in done if isinstance(each, Exception)), done
                took += sum(isinstance(each, jobs.Taken) for each in done)
                for event in await shop.store.events(shop.tenant, 0, 100_000):
                    if event.type == "customer.conflict":
                        found = await shop.store.lookup(shop.tenant, Wanted(conflicts={event.data["conflict_id"]}))
                        conflicts |= found.conflicts
                hold_together(await shop.known(PEOPLE + SINGLE + WEAK))
            assert [] == await compare(shop.store, shop.tenant)
            events = await shop.store.events(shop.tenant, 0, 100_000)
            assert took == sum(each.type == "contact.received" for each in events), "a contact has got lost"

    run(main())


def test_whom_a_person_has_told_apart_no_identity_makes_one() -> None:
    async def main() -> None:
        async with Shop() as shop:
            await shop.do(sighting(PEOPLE[:1]), sighting(PEOPLE[1:2]))
            one, other = sorted((await shop.known()).customers)
            await shop.do(customers.Merge(one, other, "anna"))
            await shop.do(customers.Unmerge(one, other, "anna"))
            apart = await shop.groups()
            await shop.do(sighting(PEOPLE[:2]))
            assert apart == await shop.groups()

    run(main())


def test_two_of_a_kind_of_which_a_person_has_one_are_a_conflict_and_no_merge() -> None:
    first, second = (Identity("wechat_unionid", each, scope="main") for each in ("u1", "u2"))
    phone = PEOPLE[-1]

    async def main() -> None:
        async with Shop() as shop:
            [one] = await shop.do(sighting([first, phone]))
            [two] = await shop.do(sighting([second, phone]))
            known = await shop.known([first, second, phone])
            assert known.identities[first.key] == known.identities[phone.key] != known.identities[second.key]
            assert [one.contact_id] == [each.contact_id for each in known.recent[known.identities[first.key]]]
            assert [two.contact_id] == [each.contact_id for each in known.recent[known.identities[second.key]]]
            events = await shop.store.events(shop.tenant, 0, 1000)
            [conflict] = [each for each in events if each.type == "customer.conflict"]
            assert "wechat_unionid" == conflict.data["kind"]
            await shop.do(sighting([second, phone]))  # is told once
            events = await shop.store.events(shop.tenant, 0, 1000)
            assert 1 == sum(each.type == "customer.conflict" for each in events)
            pair = (str(conflict.customer_id), str(conflict.data["other_id"]))
            settle = customers.SettleConflict(conflict.data["conflict_id"], pair, "merge", "anna")
            [settled] = await shop.do(settle)
            assert "merge" == settled.verdict
            known = await shop.known([first, second])
            assert 1 == len(known.families)

    run(main())
