"""Who fits whom, found without looking at everybody. It knows signatures, profiles and who is free; no events, no time.

Contacts that need the same have one *signature*; agents that can do the same have one *profile*. Whether a profile fits
a signature is worked out once, when the first of its kind appears. After that:

- the best free agent of a contact is the head of the free agents of a fitting profile;
- the next contact of an agent is the smallest head of the waiting contacts of a fitting signature.

So a decision costs what there are profiles and signatures, never what there are agents and waiting contacts.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import merge, nsmallest
from itertools import islice
from typing import Final

from sortedcontainers import SortedList

from src.router.model import ANY_CHANNEL, AgentConfig, ChannelLimit

EMPTY_SIGNATURES_MAX: Final = 10_000
"""Signatures that nobody waits under are kept to be found again, up to this many."""

_EXAMPLE_TRIES: Final = 5

ContactKey = tuple[int, str]
"""Rank and id of a waiting contact: the smaller goes first."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a contact asks of an agent: the identity of a signature.

    `required` are (skill, level), `preferred` (skill, level, weight), both sorted. `teams`: one of them, if any.
    """

    channel: str
    required: tuple[tuple[str, int], ...] = ()
    preferred: tuple[tuple[str, int, int], ...] = ()
    language: str | None = None
    teams: tuple[str, ...] = ()
    target_agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ability:
    """What an agent can do: the identity of a profile."""

    skills: frozenset[tuple[str, int]]
    languages: frozenset[str]
    teams: frozenset[str]
    capacity: int
    channels: frozenset[tuple[str, ChannelLimit]] | None

    @classmethod
    def of(cls, config: AgentConfig) -> "Ability":
        """The ability of an agent as configured."""
        return cls(
            skills=frozenset(config.skills.items()),
            languages=frozenset(map(primary, config.languages)),
            teams=frozenset(config.teams),
            capacity=config.capacity,
            channels=None if config.channels is None else frozenset(config.channels.items()),
        )


def primary(language: str) -> str:
    """The primary subtag of a language (BCP 47), by which languages are matched: `zh` of `zh-CN`."""
    return language.partition("-")[0].lower()


def misfit(need: Need, ability: Ability) -> str | None:
    """The first reason why an agent of this ability does not fit, as a stable code, or None where it fits."""
    if ability.channels is not None and need.channel not in {channel for channel, _ in ability.channels}:
        return "channel"
    if need.teams and ability.teams.isdisjoint(need.teams):
        return "team"
    if need.language is not None and ability.languages and need.language not in ability.languages:
        return "language"
    levels = dict(ability.skills)
    for skill, level in need.required:
        if levels.get(skill, 0) < level:
            return f"skill_missing:{skill}" if skill not in levels else f"skill_level:{skill}"
    return None


def preference(need: Need, ability: Ability) -> int:
    """The score of a fitting ability: the weights of the preferred requirements that it meets."""
    levels = dict(ability.skills)
    return sum(weight for skill, level, weight in need.preferred if levels.get(skill, 0) >= level)


@dataclass(slots=True, eq=False)
class Signature:
    """A need, who waits with it, and which profiles fit it, best score first."""

    need: Need
    waiting: SortedList = field(default_factory=SortedList)
    fits: list[tuple[int, "Profile"]] = field(default_factory=list)
    absent: "tuple[int, Absent] | None" = None


@dataclass(frozen=True, slots=True)
class Absent:
    """Who cannot take a signature's contacts whatever their load: agents by reason, with one of them as an example.

    `available` are the others: how many are there, and whose profiles they have.
    """

    reasons: tuple[tuple[str, int, str | None], ...]
    available: int


@dataclass(slots=True, eq=False)
class Profile:
    """An ability, who has it, who of them is free for a channel, and which signatures with waiting contacts it fits."""

    ability: Ability
    number: int
    members: dict[str, dict[str, None]] = field(
        default_factory=lambda: {"offline": {}, "away": {}, "disconnected": {}, "available": {}}
    )
    free: dict[str, SortedList] = field(default_factory=dict)
    waiting: dict[Signature, None] = field(default_factory=dict)

    def free_for(self, channel: str) -> SortedList | None:
        """Agents with capacity for a channel, longest idle first, as (idle_since, agent id)."""
        return self.free.get(ANY_CHANNEL if self.ability.channels is None else channel)

    @property
    def size(self) -> int:
        """How many agents have this ability."""
        return sum(len(each) for each in self.members.values())


@dataclass(slots=True)
class _Slot:
    """Where an agent stands in the index."""

    profile: Profile
    status: str
    idle_since: int
    free: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A free agent that fits: smaller sorts first, so the score is negated."""

    order: tuple[int, int, str]

    @property
    def agent_id(self) -> str:
        """The agent."""
        return self.order[2]

    @property
    def score(self) -> int:
        """The weights of the preferred requirements that it meets."""
        return -self.order[0]

    @property
    def idle_since(self) -> int:
        """When it last had something to do, milliseconds since the epoch."""
        return self.order[1]


class Index:
    """Free agents by what they can do, waiting contacts by what they need."""

    def __init__(self) -> None:
        """`standing` counts the changes of who is there and in which state: what is cached of that ends with it."""
        self._signatures: dict[Need, Signature] = {}
        self._profiles: dict[Ability, Profile] = {}
        self._profiles_made = 0
        self.standing = 0
        self._slots: dict[str, _Slot] = {}
        self._waiting: dict[str, tuple[ContactKey, Signature, str]] = {}
        self._queues: dict[str, SortedList] = {}
        self._targeted: dict[str, dict[ContactKey, None]] = {}

    # -- agents -------------------------------------------------------------------------------------------------

    def put_agent(self, agent_id: str, ability: Ability, status: str, idle_since: int, free: tuple[str, ...]) -> bool:
        """Say where an agent stands; true if it can take something now that it could not take before.

        `status` is one of a profile's member lists, `free` the channels (or `*`) that it has capacity for.
        """
        slot = self._slots.get(agent_id)
        if slot is None or slot.profile.ability != ability:
            self.remove_agent(agent_id)
            self.standing += 1
            profile = self._profile(ability)
            profile.members[status][agent_id] = None
            self._slots[agent_id] = _Slot(profile, status, idle_since, free)
            self._mark_free(profile, agent_id, idle_since, free)
            return bool(free)
        if slot.status != status:
            del slot.profile.members[slot.status][agent_id]
            slot.profile.members[status][agent_id] = None
            slot.status = status
            self.standing += 1
        if slot.free == free and slot.idle_since == idle_since:
            return False
        more = any(channel not in slot.free for channel in free)
        self._unmark_free(slot, agent_id)
        slot.idle_since, slot.free = idle_since, free
        self._mark_free(slot.profile, agent_id, idle_since, free)
        return more

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent."""
        slot = self._slots.pop(agent_id, None)
        if slot is None:
            return
        self.standing += 1
        self._unmark_free(slot, agent_id)
        profile = slot.profile
        del profile.members[slot.status][agent_id]
        if profile.size == 0:
            del self._profiles[profile.ability]
            for signature in self._signatures.values():
                signature.fits = [each for each in signature.fits if each[1] is not profile]

    def status_of(self, agent_id: str) -> str | None:
        """The member list that an agent is on."""
        slot = self._slots.get(agent_id)
        return None if slot is None else slot.status

    def can_take(self, agent_id: str, channel: str) -> bool:
        """Whether an agent is there and has capacity for a channel."""
        slot = self._slots.get(agent_id)
        if slot is None:
            return False
        return (ANY_CHANNEL if slot.profile.ability.channels is None else channel) in slot.free

    def _profile(self, ability: Ability) -> Profile:
        profile = self._profiles.get(ability)
        if profile is None:
            self._profiles_made += 1
            profile = self._profiles[ability] = Profile(ability, self._profiles_made)
            for signature in self._signatures.values():
                self._introduce(signature, profile)
        return profile

    @staticmethod
    def _introduce(signature: Signature, profile: Profile) -> None:
        if misfit(signature.need, profile.ability) is None:
            signature.fits.append((preference(signature.need, profile.ability), profile))
            signature.fits.sort(key=lambda each: (-each[0], each[1].number))
            if signature.waiting:
                profile.waiting[signature] = None

    @staticmethod
    def _mark_free(profile: Profile, agent_id: str, idle_since: int, free: tuple[str, ...]) -> None:
        for channel in free:
            agents = profile.free.get(channel)
            if agents is None:
                agents = profile.free[channel] = SortedList()
            agents.add((idle_since, agent_id))

    @staticmethod
    def _unmark_free(slot: _Slot, agent_id: str) -> None:
        for channel in slot.free:
            slot.profile.free[channel].remove((slot.idle_since, agent_id))

    # -- contacts -----------------------------------------------------------------------------------------------

    def put_waiting(self, key: ContactKey, need: Need, queue: str) -> bool:
        """Say that a contact waits with a need; true if that is news."""
        entry = self._waiting.get(key[1])
        if entry is not None:
            if entry[0] == key and entry[1].need == need and entry[2] == queue:
                return False
            self.remove_waiting(key[1])
        signature = self.signature(need)
        if not signature.waiting:
            for _, profile in signature.fits:
                profile.waiting[signature] = None
        signature.waiting.add(key)
        queued = self._queues.get(queue)
        if queued is None:
            queued = self._queues[queue] = SortedList()
        queued.add(key)
        self._waiting[key[1]] = (key, signature, queue)
        if need.target_agent_id is not None:
            self._targeted.setdefault(need.target_agent_id, {})[key] = None
        return True

    def remove_waiting(self, contact_id: str) -> None:
        """Say that a contact waits no longer."""
        entry = self._waiting.pop(contact_id, None)
        if entry is None:
            return
        key, signature, queue = entry
        signature.waiting.remove(key)
        self._queues[queue].remove(key)
        target = signature.need.target_agent_id
        if target is not None:
            del self._targeted[target][key]
            if not self._targeted[target]:
                del self._targeted[target]
        if not signature.waiting:
            for _, profile in signature.fits:
                profile.waiting.pop(signature, None)

    def signature(self, need: Need) -> Signature:
        """The signature of a need, made when it is first seen."""
        signature = self._signatures.get(need)
        if signature is None:
            self._forget_empty()
            signature = self._signatures[need] = Signature(need)
            for profile in self._profiles.values():
                self._introduce(signature, profile)
        return signature

    def _forget_empty(self) -> None:
        if len(self._signatures) < EMPTY_SIGNATURES_MAX + len(self._waiting):
            return
        self._signatures = {need: each for need, each in self._signatures.items() if each.waiting}

    # -- questions ----------------------------------------------------------------------------------------------

    def candidates(self, signature: Signature, barred: Collection[str], count: int) -> list[Candidate]:
        """The best free agents that fit, at most `count`: highest score, then longest idle, then by id."""
        target = signature.need.target_agent_id
        if target is not None:
            return self._target(signature, target, barred)
        channel = signature.need.channel
        heads: list[tuple[int, int, str, SortedList]] = []
        for score, profile in signature.fits:
            if len(heads) >= count and -score > heads[count - 1][0]:
                break  # whoever has less is not among the best `count`
            free = profile.free_for(channel)
            if free:
                head = free[0] if free[0][1] not in barred else _first_not(barred, free)
                if head is not None:
                    heads.append((-score, *head, free))
        rest = [_scored(order, free, barred) for order, _, _, free in nsmallest(count, heads)]
        return [Candidate(order) for order in islice(merge(*rest), count)]

    def _target(self, signature: Signature, agent_id: str, barred: Collection[str]) -> list[Candidate]:
        slot = self._slots.get(agent_id)
        if slot is None or agent_id in barred or misfit(signature.need, slot.profile.ability) is not None:
            return []
        if not self.can_take(agent_id, signature.need.channel):
            return []
        score = preference(signature.need, slot.profile.ability)
        return [Candidate((-score, slot.idle_since, agent_id))]

    def heads(self, agent_id: str) -> Iterator[Iterator[ContactKey]]:
        """For each signature that this agent fits and has capacity for: its waiting contacts, first ranks first."""
        slot = self._slots.get(agent_id)
        if slot is None or not slot.free:
            return
        any_channel = slot.profile.ability.channels is None
        for signature in slot.profile.waiting:
            target = signature.need.target_agent_id
            if target not in (None, agent_id):
                continue
            if any_channel or signature.need.channel in slot.free:
                yield iter(signature.waiting)

    def absent(self, signature: Signature) -> Absent:
        """Worked out once for as long as nobody comes, goes or changes state."""
        if signature.absent is None or signature.absent[0] != self.standing:
            signature.absent = (self.standing, self._absent(signature.need))
        return signature.absent[1]

    def _absent(self, need: Need) -> Absent:
        counts: dict[str, tuple[int, str | None]] = {}
        available = 0
        for profile in self._profiles.values():
            reason = misfit(need, profile.ability)
            available += len(profile.members["available"]) if reason is None else 0
            for status, members in profile.members.items():
                why = reason or status
                if members and why != "available":
                    before, example = counts.get(why, (0, None))
                    counts[why] = (before + len(members), example or next(iter(members)))
        return Absent(tuple((why, n, example) for why, (n, example) in sorted(counts.items())), available)

    def busy(self, signature: Signature) -> str | None:
        """An agent that is there and fits, but has no capacity; looked for briefly, as an example."""
        for _, profile in islice(signature.fits, _EXAMPLE_TRIES):
            for agent_id in islice(profile.members["available"], _EXAMPLE_TRIES):
                if not self.can_take(agent_id, signature.need.channel):
                    return agent_id
        return None

    def agents(self) -> int:
        """How many agents there are."""
        return len(self._slots)

    def position(self, contact_id: str) -> int | None:
        """How many smaller ranks wait in the same queue, plus one; None unless waiting."""
        entry = self._waiting.get(contact_id)
        if entry is None:
            return None
        key, _, queue = entry
        return int(self._queues[queue].bisect_left(key)) + 1

    def anybody_in(self, queue: str) -> bool:
        """Whether a contact waits in the queue."""
        return bool(self._queues.get(queue))

    def targeted_at(self, agent_id: str) -> list[ContactKey]:
        """The waiting contacts that are meant for one agent alone, first ranks first."""
        return sorted(self._targeted.get(agent_id, ()))


def _first_not(barred: Collection[str], free: SortedList) -> tuple[int, str] | None:
    return next((each for each in islice(free, len(barred) + 1) if each[1] not in barred), None)


def _scored(order: int, free: SortedList, barred: Collection[str]) -> Iterator[tuple[int, int, str]]:
    return ((order, idle_since, agent_id) for idle_since, agent_id in free if agent_id not in barred)
