"""Who fits whom, found without looking at everybody. It knows needs, abilities and who is free; no events, no time.

Contacts that need the same have one *signature*; agents that can do the same have one *profile*. Both are numbered, and
what they have in common is kept in bit sets (`pages.py`), so that who fits whom is a few operations on ints. Free
agents and waiting contacts stand in lines whose heads are in order (`lines.py`). After that:

- the best free agent of a contact is the first head of a line whose profile fits;
- the next contact of an agent is the first head of a line whose signature it fits.

So a decision costs the same with ten agents as with ten thousand, and with an empty queue as with a million waiting.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from src.router import slices
from src.router.answers import (
    NOBODY_FITS,
    NOBODY_PRESENT,
    SOMEBODY_PRESENT,
    Candidate,
    ContactKey,
    Excluded,
    Exclusion,
    Reach,
    Standing,
)
from src.router.choice import Choice, Chosen, Pools, heads_of, is_worth_a_walk
from src.router.fit import NO_CHANNEL, Ability, Need, mastery, misfit, preference
from src.router.lines import NOBODY, Heads, Wanted, first
from src.router.model import Weights
from src.router.native import mypyc_attr
from src.router.ordered import Entry, Sorted, before, delete, head_of, insert, since
from src.router.pages import (
    Group,
    Numbers,
    Places,
    Profile,
    ProfilePage,
    Signature,
    SignaturePage,
    WaitingLine,
)
from src.router.ranking import Ranked, Ranking, key_of, value_of

EMPTY_SIGNATURES_MAX: Final = 10_000
"""Pages of profiles that signatures which nobody waits with may remember together: so many of them on one page."""

RANKINGS_MAX: Final = 16
"""Orders of the free agents that are kept up: one for each distribution in use, and for each mix of weights."""

PROFILES_COUNTED_AT_ONCE: Final = 64
"""The counts of who is excluded are made anew after as many questions as there are times so many profiles."""


@mypyc_attr(acyclic=True)
class _Slot(Ranked):
    """Where an agent stands in the index."""

    __slots__ = ("ability", "group", "standing")

    def __init__(self, ability: Ability, group: Group, standing: Standing) -> None:
        super().__init__()
        self.ability = ability
        self.group = group
        self.standing = standing


class Index:
    """Free agents by what they can do, waiting contacts by what they need."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._places = Places()
        self._profiles: dict[Ability, Profile] = {}
        self._profile_numbers = Numbers()
        self._profile_pages: list[ProfilePage] = []
        self._abilities_version = 0
        self._presence_version = 0
        self._rankings: dict[object, Ranking[Group]] = {}
        self._signatures: dict[Need, Signature] = {}
        self._signature_numbers = Numbers()
        self._signature_pages: list[SignaturePage] = []
        self._signatures_in_use = 0
        self._waiting: dict[str, Entry] = {}
        self._waiting_heads: Heads[Signature] = Heads()
        self._queues: dict[str, Sorted] = {}
        self._named: dict[str, dict[WaitingLine, None]] = {}

    # -- agents -------------------------------------------------------------------------------------------------

    def put_agent(
        self, agent_id: str, ability: Ability, status: str, free: tuple[str, ...], standing: Standing
    ) -> bool:
        """Say where an agent stands; true if it can take something now that it could not take before.

        `status` is offline, away, paused, disconnected or available; `free` the channels that an available agent has
        room for, or `*` for any.
        """
        place = self._places.place(status, free)
        slot = self._slots.get(agent_id)
        if slot is None or not (slot.ability is ability or slot.ability == ability):
            self.remove_agent(agent_id)
            profile = self._join(ability)
            group = self._profile_pages[profile.page].group(profile, place)
            self._slots[agent_id] = slot = _Slot(ability, group, standing)
            group.enter(agent_id)
            self._rank(agent_id, slot)
            return place.room
        group = slot.group
        old = group.place
        if old is place:
            if slot.standing != standing:
                slot.standing = standing
                self._rank(agent_id, slot)
            return False
        if not (old.available and place.available):
            self._presence_version += 1
        group.leave(agent_id)
        slot.group = self._profile_pages[group.profile.page].group(group.profile, place)
        slot.group.enter(agent_id)
        slot.standing = standing
        self._rank(agent_id, slot)
        return place.takes_more_than(old)

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent."""
        slot = self._slots.pop(agent_id, None)
        if slot is None:
            return
        slot.group.leave(agent_id)
        for ranking in self._rankings.values():
            ranking.remove(agent_id, slot)
        self._presence_version += 1
        profile = slot.group.profile
        page = self._profile_pages[profile.page]
        page.part(profile)
        if profile.size == 0:
            del self._profiles[profile.ability]
            page.remove(profile)
            for ranking in self._rankings.values():
                for group in profile.groups.values():
                    ranking.forget(group)
            self._abilities_version = page.version = self._abilities_version + 1
            self._profile_numbers.give_back(profile.number)

    def status_of(self, agent_id: str) -> str | None:
        """The status that an agent was last put with."""
        slot = self._slots.get(agent_id)
        return None if slot is None else slot.group.place.status

    def can_take(self, agent_id: str, channel: str) -> bool:
        """Whether an agent is there, serves a channel and has room for it."""
        slot = self._slots.get(agent_id)
        if slot is None or not slot.group.place.takes(channel):
            return False
        channels = slot.group.profile.ability.channels
        return channels is None or channel in channels or channel == NO_CHANNEL

    def agents(self) -> int:
        """How many agents there are."""
        return len(self._slots)

    def _join(self, ability: Ability) -> Profile:
        """The profile of an ability, with one more agent."""
        profile = self._profiles.get(ability)
        if profile is None:
            profile = self._profiles[ability] = Profile(ability, self._profile_numbers.take())
            if profile.page == len(self._profile_pages):
                self._profile_pages.append(ProfilePage())
            page = self._profile_pages[profile.page]
            page.add(profile)
            self._abilities_version = page.version = self._abilities_version + 1
        self._presence_version += 1
        self._profile_pages[profile.page].join(profile)
        return profile

    def _rank(self, agent_id: str, slot: _Slot) -> None:
        """Have an agent stand in each order where its place has one, and in no other."""
        group, place = slot.group, slot.group.place
        for ranking in self._rankings.values():
            if place.room or (ranking.all_present and place.available):
                ranking.put(agent_id, slot, slot.standing, group, group.profile.number, place)
            else:
                ranking.remove(agent_id, slot)

    # -- contacts -----------------------------------------------------------------------------------------------

    def waits(self, contact_id: str) -> bool:
        """Whether a contact waits."""
        return contact_id in self._waiting

    def stands(self, key: ContactKey, need: Need, queue: str, *, matchable: bool) -> bool:
        """Whether a contact waits just so."""
        entry = self._waiting.get(key[1])
        if entry is None or entry[0] != key[0]:
            return False
        line: WaitingLine = entry[-1]
        return line.matchable == matchable and line.queue == queue and line.owner.need == need

    def put_waiting(self, key: ContactKey, need: Need, queue: str, *, matchable: bool = True) -> bool:
        """Say that a contact waits with a need; true if that is news.

        One that is not `matchable` has its place in the queue, but is proposed to nobody.
        """
        contact_id = key[1]
        if self.stands(key, need, queue, matchable=matchable):
            return False
        self.remove_waiting(contact_id)
        line = self._line(self.signature(need), queue, matchable=matchable)
        entry: Entry = (*key, line)
        self._waiting[contact_id] = entry
        if line.matchable and not need.agents:
            self._waiting_heads.add(entry)
        else:
            line.members = insert(line.members, entry)
        self._queues[queue] = insert(self._queues.get(queue, []), entry)
        return True

    def remove_waiting(self, contact_id: str) -> bool:
        """Say that a contact waits no longer; true if that is news."""
        entry = self._waiting.get(contact_id)
        if entry is None:
            return False
        del self._waiting[contact_id]
        line: WaitingLine = entry[-1]
        if line.matchable and not line.owner.need.agents:
            self._waiting_heads.remove(entry)
        else:
            delete(line.members, entry)
        if not line.members:
            self._drop_line(line)
        queued = self._queues[line.queue]
        delete(queued, entry)
        if not queued:
            del self._queues[line.queue]
        return True

    def signature(self, need: Need) -> Signature:
        """The signature of a need, made when it is first seen; it may be one that nobody waits with."""
        signature = self._signatures.get(need)
        if signature is None:
            self._forget_empty()
            signature = self._signatures[need] = Signature(need)
        return signature

    def _line(self, signature: Signature, queue: str, *, matchable: bool) -> WaitingLine:
        line = signature.lines.get((queue, matchable))
        if line is None:
            if not signature.lines:
                self._signatures_in_use += 1
            if matchable and not signature.need.agents:
                self._signature_page(signature).waiting |= signature.mask
            line = signature.lines[(queue, matchable)] = WaitingLine(signature, queue, matchable=matchable)
            for agent_id in signature.need.agents:
                self._named.setdefault(agent_id, {})[line] = None
        return line

    def _drop_line(self, line: WaitingLine) -> None:
        signature = line.owner
        del signature.lines[(line.queue, line.matchable)]
        if not signature.lines:
            self._signatures_in_use -= 1
        for agent_id in dict.fromkeys(signature.need.agents):
            del self._named[agent_id][line]
            if not self._named[agent_id]:
                del self._named[agent_id]
        if signature.number is not None and not any(each.matchable for each in signature.lines.values()):
            self._signature_pages[signature.page].waiting &= ~signature.mask

    def _signature_page(self, signature: Signature) -> SignaturePage:
        """The page of a signature, which takes its place there when first somebody waits with it."""
        if signature.number is None:
            signature.be_numbered(self._signature_numbers.take())
            if signature.page == len(self._signature_pages):
                self._signature_pages.append(SignaturePage())
            self._signature_pages[signature.page].add(signature)
        return self._signature_pages[signature.page]

    def _forget_empty(self) -> None:
        """Signatures that nobody waits with are kept to be found again, but not too many."""
        kept_max = EMPTY_SIGNATURES_MAX // max(1, len(self._profile_pages))
        if len(self._signatures) - self._signatures_in_use < kept_max:
            return
        for signature in self._signatures.values():
            if signature.number is not None and not signature.lines:
                self._signature_pages[signature.page].remove(signature)
                self._signature_numbers.give_back(signature.number)
        self._signatures = {need: each for need, each in self._signatures.items() if each.lines}

    # -- the best agents of a contact ---------------------------------------------------------------------------

    def candidates(
        self,
        signature: Signature,
        barred: Collection[str],
        count: int,
        distribution: str = "longest_idle",
        weights: Weights | None = None,
        *,
        sure: int | None = None,
    ) -> list[Candidate]:
        """The best free agents that fit and are not barred, at most `count`, the best first.

        `sure` is how many of them matter (None: all). Further ones are given as far as they are cheap to find; they are
        the next best, but they may be fewer than there are.

        First comes the highest score, the weights of the preferred requirements met. Among equal scores decides the
        distribution, and at last the smaller id:

        - `longest_idle`: who has been idle longest;
        - `round_robin`: whose last turn is longest ago;
        - `least_loaded`: the smallest share of capacity in use, then the longest idle;
        - `best_skilled`: the highest sum of levels in the skills that the need names, then the longest idle;
        - `weighted`: the highest value by `weights`, which must be given.
        """
        need = signature.need
        if distribution != "weighted":
            weights = None
        if need.not_agents:
            barred = {*barred, *need.not_agents}
        if need.agents:
            chosen = self._among(signature, barred, distribution, weights)[:count]
        else:
            chosen = self._best(signature, barred, count, count if sure is None else sure, distribution, weights)
        slots = self._slots
        return [Candidate(agent_id, score, slots[agent_id].standing, value) for agent_id, score, value in chosen]

    def present_for(self, need: Need, but: Collection[str]) -> str | None:
        """The agent for a need of `NO_CHANNEL`: it is there and fits, has the smallest load, then the longest idle."""
        assert need.channel == NO_CHANNEL, "what takes capacity goes to a candidate"
        found = self.candidates(self.signature(need), but, 1, "present")
        return found[0].agent_id if found else None

    def _best(
        self,
        signature: Signature,
        barred: Collection[str],
        count: int,
        sure: int,
        distribution: str,
        weights: Weights | None,
    ) -> list[Chosen]:
        """The same where all agents may be chosen."""
        self._learn(signature)
        if not self._is_anybody_free(signature):
            return []
        is_barred = barred.__contains__ if barred else None
        ranking, places = self._ranking(distribution, weights), self._places.taking(signature.need.channel)
        by_skill = bool(signature.asked) and (distribution == "best_skilled" if weights is None else weights.skill > 0)
        if by_skill or weights is not None or signature.need.preferred:
            choice = Choice(
                self._profile_pages,
                places,
                signature,
                ranking,
                is_barred,
                by_skill=by_skill,
                weights=weights,
            )
            return choice.best(self._free(signature), count, sure)
        heads = heads_of(signature, ranking, places, signature.fitting, (0, None))
        return [(each[-2], 0, None) for each in first(heads, count, is_barred, sure)[0]]

    def _is_anybody_free(self, signature: Signature) -> bool:
        channel, pages = signature.need.channel, self._profile_pages
        return any(fits & pages[number].free(channel) for number, fits in signature.fitting)

    def _among(
        self, signature: Signature, barred: Collection[str], distribution: str, weights: Weights | None
    ) -> list[Chosen]:
        """The named agents that are free and fit, best first; they are few, and each is looked at."""
        need, key = signature.need, key_of(distribution, weights)
        ordered = []
        for agent_id in dict.fromkeys(need.agents):
            if agent_id in barred or not self.can_take(agent_id, need.channel):
                continue
            slot = self._slots[agent_id]
            ability = slot.group.profile.ability
            if misfit(need, ability) is not None:
                continue
            score, place, value = preference(need, ability), key(slot.standing), None
            if weights is not None:
                value = value_of(weights, place[0], mastery(need, ability), len(signature.asked))
                place = (-value, *place)
            elif distribution == "best_skilled":
                place = (-mastery(need, ability), *place)
            ordered.append(((-score, *place, agent_id), (agent_id, score, value)))
        return [chosen for _, chosen in sorted(ordered, key=lambda each: each[0])]

    def _free(self, signature: Signature) -> Pools:
        """The profiles that fit and have an agent with room for the channel."""
        channel, pages = signature.need.channel, self._profile_pages
        return [(number, free) for number, fits in signature.fitting if (free := fits & pages[number].free(channel))]

    def _learn(self, signature: Signature) -> None:
        """Bring what a signature knows of the profiles up to date, page by page."""
        if signature.version == self._abilities_version:
            return
        need = signature.need
        for number, page in enumerate(self._profile_pages):
            if page.version <= signature.version:
                continue
            if number == len(signature.fits):
                signature.fits.append(0)
            signature.fits[number] = page.fits(need)
            signature.masteries.pop(number, None)
            if need.preferred:
                signature.scores[number] = page.scores(need)
        signature.version = self._abilities_version
        signature.fitting = [(number, fits) for number, fits in enumerate(signature.fits) if fits]

    def _ranking(self, distribution: str, weights: Weights | None) -> Ranking[Group]:
        """The free agents in the order that a distribution goes by; from the first time on it is kept up."""
        name: object = (weights.idle, weights.load, weights.turn) if weights is not None else distribution
        if name == "best_skilled":
            name = "longest_idle"
        ranking = self._rankings.get(name)
        if ranking is None:
            if len(self._rankings) == RANKINGS_MAX:
                del self._rankings[next(iter(self._rankings))]
            ranking = Ranking(name, key_of(distribution, weights), all_present=distribution == "present")
            self._rankings[name] = ranking
            if ranking.by_idle:  # it may have been one before
                for each in self._slots.values():
                    each.entry = None
            in_order = sorted(self._slots.items(), key=lambda each: (*ranking.key(each[1].standing), each[0]))
            for agent_id, slot in in_order:  # each then comes last, where it is quickest to put
                self._rank(agent_id, slot)
        return ranking

    # -- the next contact of an agent ---------------------------------------------------------------------------

    def next_for(self, agent_id: str, is_barred: Callable[[str], bool]) -> ContactKey | None:
        """The first waiting contact that an agent fits and has room for and that is not barred for it."""
        slot = self._slots.get(agent_id)
        if slot is None or not slot.group.place.room or not self._waiting:
            return None
        found, _ = first(self._contact_heads(agent_id, slot.group), 1, is_barred)
        if agent_id in self._named:
            found += first(self._named_heads(agent_id, slot.group), 1, is_barred)[0]
        return min(found)[:2] if found else None

    def _contact_heads(self, agent_id: str, group: Group) -> Iterable[Entry]:
        """The heads of the waiting contacts that a group of agents can take, in order."""
        pools: Pools = []
        for number, page in enumerate(self._signature_pages):
            if page.waiting:
                signatures = self._known(group.profile, number, page) & page.waiting
                if signatures and group.place.channels is not None:
                    signatures &= page.of_channels(group.place.channels)
                if signatures:
                    pools.append((number, signatures))
        if not pools:
            return ()
        if is_worth_a_walk(pools, len(self._waiting_heads)):
            heads: Iterable[Entry] = self._waiting_heads.walk(Wanted(dict(pools), None, group.bookmarks))
        else:
            heads = self._heads_of(pools)
        return _admitting(agent_id, heads)

    def _known(self, profile: Profile, number: int, page: SignaturePage) -> int:
        """The signatures of a page that a profile fits."""
        known = profile.known.get(number)
        if known is None or known[0] != page.version:
            known = profile.known[number] = (page.version, page.fits(profile))
        return known[1]

    def _heads_of(self, pools: Pools) -> list[Entry]:
        """The heads of the lines of these signatures, in order."""
        heads: list[Entry] = []
        for number, signatures in pools:
            by_shift = self._signature_pages[number].signatures
            for shift in slices.members(signatures):
                heads += [head_of(line.members) for line in by_shift[shift].lines.values() if line.matchable]
        if len(heads) > 1:
            heads.sort()
        return heads

    def _named_heads(self, agent_id: str, group: Group) -> list[Entry]:
        """The heads of the waiting contacts that name an agent and that it can take, in order."""
        return sorted(
            line.members[0]
            for line in self._named.get(agent_id, ())
            if line.matchable
            and group.place.takes(line.owner.need.channel)
            and agent_id not in line.owner.need.not_agents
            and misfit(line.owner.need, group.profile.ability) is None
        )

    # -- questions ----------------------------------------------------------------------------------------------

    def named(self, agent_id: str) -> list[ContactKey]:
        """The waiting contacts that are for certain agents alone and name this one, first ranks first."""
        return sorted(entry[:2] for line in self._named.get(agent_id, ()) for entry in line.members)

    def position(self, contact_id: str) -> int | None:
        """How many smaller ranks wait in the same queue, plus one; None unless waiting."""
        entry = self._waiting.get(contact_id)
        return None if entry is None else self.place(entry[:2], entry[-1].queue)

    def place(self, key: ContactKey, queue: str) -> int:
        """The position that a contact of this rank would have in a queue."""
        return before(self._queues.get(queue, []), key) + 1

    def waiting_in(self, queue: str, after: ContactKey | None = None) -> Iterator[str]:
        """The contacts that wait in a queue, first ranks first; only those after this rank where it is given."""
        for entry in since(self._queues.get(queue, []), after):
            if entry[:2] != after:
                yield entry[1]

    def length(self, queue: str) -> int:
        """How many contacts wait in a queue."""
        return len(self._queues.get(queue, ()))

    def anybody_waits(self) -> bool:
        """Whether a contact waits in any queue."""
        return bool(self._waiting)

    def anybody_in(self, queue: str) -> bool:
        """Whether a contact waits in the queue."""
        return queue in self._queues

    def reach(self, need: Need) -> Reach:
        """Whether an agent fits a need whatever its presence, and whether a present one does whatever its load."""
        if need.agents:
            named = [self._slots[each] for each in need.agents if each in self._slots and each not in need.not_agents]
            fitting = [each for each in named if misfit(need, each.group.profile.ability) is None]
            return Reach(anyone=bool(fitting), present=any(each.group.place.present for each in fitting))
        known = self._signatures.get(need)
        if known is None:
            return self._reach(need, None)
        kept = known.reach
        if kept is None or kept[0] != self._presence_version:
            self._learn(known)
            kept = known.reach = (self._presence_version, self._reach(need, known))
        return kept[1]

    def _reach(self, need: Need, known: Signature | None) -> Reach:
        """The same of a need that names no agents; `known` is its signature, if there is one."""
        emptied: dict[int, int] = {}
        deserted: dict[int, int] = {}
        if need.not_agents:
            emptied, deserted = self._without(need.not_agents)
        anyone = False
        for number, page in enumerate(self._profile_pages):
            fits = page.fits(need) if known is None else known.fits[number]
            anyone = anyone or bool(fits & ~emptied.get(number, 0))
            if fits & page.present() & ~deserted.get(number, 0):
                return SOMEBODY_PRESENT
        return NOBODY_PRESENT if anyone else NOBODY_FITS

    def _without(self, agents: tuple[str, ...]) -> tuple[dict[int, int], dict[int, int]]:
        """Without these agents: the profiles that nobody has, and those that nobody present has, by page."""
        emptied: dict[int, int] = {}
        deserted: dict[int, int] = {}
        by_profile: dict[Profile, list[_Slot]] = {}
        for each in set(agents) & self._slots.keys():
            slot = self._slots[each]
            by_profile.setdefault(slot.group.profile, []).append(slot)
        for profile, slots in by_profile.items():
            if len(slots) == profile.size:
                emptied[profile.page] = emptied.get(profile.page, 0) | profile.mask
            present = sum(len(group.agents) for place, group in profile.groups.items() if place.present)
            if sum(slot.group.place.present for slot in slots) == present:
                deserted[profile.page] = deserted.get(profile.page, 0) | profile.mask
        return emptied, deserted

    # -- explaining ---------------------------------------------------------------------------------------------

    def excluded(self, signature: Signature, barred: Collection[str], *, anew: bool = False) -> Excluded:
        """Everybody who is no candidate, by the first reason why.

        The reasons in this order: the codes of `misfit`, the statuses, `no_capacity`, `excluded` (the need says so),
        `barred`. Where the need names its agents, all others are `not_the_target`, those that are no more `deleted`.

        Where there are more than `PROFILES_COUNTED_AT_ONCE` profiles, and it is not asked for `anew`, most of this is
        counted only once in so many questions for this signature; `age` says how many questions ago.
        """
        if signature.need.agents:
            return Excluded(self._excluded_named(signature.need, barred))
        counted, age = self._counted(signature, anew=anew)
        not_agents = signature.need.not_agents
        kept_off = self._kept_off("excluded", signature, set(not_agents)) if not_agents else []
        if barred:
            kept_off += self._kept_off("barred", signature, set(barred).difference(not_agents))
        return Excluded((*counted, *kept_off), age)

    def _counted(self, signature: Signature, *, anew: bool) -> tuple[tuple[Exclusion, ...], int]:
        """Those who could not take it even if they were neither excluded nor barred, and how many questions ago."""
        self._learn(signature)
        kept = signature.counted
        if not anew and kept is not None and (kept[1] + 1) * PROFILES_COUNTED_AT_ONCE <= len(self._profiles):
            signature.counted = (kept[0], kept[1] + 1)
        else:
            busy = self._busy(signature)
            absent = self._absent(signature)
            signature.counted = (absent if busy is None else (*absent, busy), 0)
        return signature.counted

    def _absent(self, signature: Signature) -> tuple[Exclusion, ...]:
        """Those who are not there or do not fit; kept until somebody comes, goes, or changes its status."""
        kept = signature.absent
        if kept is None or kept[0] != self._presence_version:
            counts: dict[str, tuple[int, str | None]] = {}
            for each in self._absentees(signature):
                count, example = counts.get(each[0], (0, None))
                counts[each[0]] = (count + each[1], example or each[2])
            kept = (self._presence_version, tuple((code, *each) for code, each in counts.items()))
            signature.absent = kept
        return kept[1]

    def _absentees(self, signature: Signature) -> Iterator[Exclusion]:
        for page, fits in zip(self._profile_pages, signature.fits, strict=True):
            for code, profiles in page.misfits(signature.need):
                yield code, slices.total(page.agents, profiles), page.example(profiles)
            for place, tally in page.tallies.items():
                if not place.available and fits & tally.some:
                    profiles = fits & tally.some
                    yield place.status, tally.total(profiles), page.example(profiles, place)

    def _busy(self, signature: Signature) -> Exclusion | None:
        """Those who are there and fit, but have no room for the channel: all but those who have.

        Where a contact has to wait, nobody has, and there is nothing to count but who came or went.
        """
        channel, pages = signature.need.channel, self._profile_pages
        count = self._available(signature)
        for number, fits in signature.fitting:
            for _, tally in pages[number].taking(channel):
                profiles = fits & tally.some
                if profiles:
                    count -= tally.total(profiles)
        if not count:
            return None
        for number, fits in signature.fitting:
            for place, tally in pages[number].busy(channel):
                profiles = fits & tally.some
                if profiles:
                    return "no_capacity", count, pages[number].example(profiles, place)
        raise AssertionError("somebody is busy and stands nowhere")

    def _available(self, signature: Signature) -> int:
        """How many fit and are there, whatever they have room for; kept until somebody comes, goes, or turns away."""
        kept = signature.available
        if kept is None or kept[0] != self._presence_version:
            count = 0
            for number, fits in signature.fitting:
                for place, tally in self._profile_pages[number].tallies.items():
                    if place.available:
                        count += tally.total(fits & tally.some)
            kept = signature.available = (self._presence_version, count)
        return kept[1]

    def _kept_off(self, code: str, signature: Signature, agents: Iterable[str]) -> list[Exclusion]:
        """Those of these agents who would be candidates."""
        found = []
        for each in agents:
            if self.can_take(each, signature.need.channel):
                profile = self._slots[each].group.profile
                if signature.fits[profile.page] & profile.mask:
                    found.append(each)
        return [(code, len(found), min(found))] if found else []

    def _excluded_named(self, need: Need, barred: Collection[str]) -> tuple[Exclusion, ...]:
        counts: dict[str, tuple[int, str | None]] = {}
        named = set(need.agents) & self._slots.keys()
        if len(named) < len(self._slots):
            counts["not_the_target"] = (len(self._slots) - len(named), None)
        for each in sorted(set(need.agents)):
            code = self.reason(each, need, barred)
            if code is not None:
                count, example = counts.get(code, (0, None))
                counts[code] = (count + 1, example or each)
        return tuple((code, *each) for code, each in counts.items())

    def reason(self, agent_id: str, need: Need, barred: Collection[str]) -> str | None:
        """Why an agent is no candidate now: the first of the codes of `excluded` that holds, or None if it is one."""
        if need.agents and agent_id not in need.agents:
            return "not_the_target"
        slot = self._slots.get(agent_id)
        if slot is None:
            return "deleted"
        code = misfit(need, slot.group.profile.ability)
        if code is not None:
            return code
        place = slot.group.place
        if not place.available:
            return place.status
        if not place.takes(need.channel):
            return "no_capacity"
        if agent_id in need.not_agents:
            return "excluded"
        return "barred" if agent_id in barred else None


def _admitting(agent_id: str, heads: Iterable[Entry]) -> Iterator[Entry]:
    """The heads of lines that do not leave out this agent, one by one, and the milestones among them."""
    for head in heads:
        if head[-1] is NOBODY or agent_id not in head[-1].owner.need.not_agents:
            yield head
