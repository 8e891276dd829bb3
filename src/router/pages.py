"""Profiles and signatures by number, in pages: what many of them have in common is one int, with a bit for each.

A few dozen operations on ints find all profiles of a page that fit a signature, or all signatures that a profile fits;
nobody goes through them.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from src.router import slices
from src.router.fit import NO_CHANNEL, Ability, Need, is_language, level_of
from src.router.lines import PAGE_BITS, Bookmark, Line
from src.router.model import ANY_CHANNEL, LEVEL_MAX
from src.router.slices import Slices

if TYPE_CHECKING:
    from src.router.answers import Reach


class Numbers:
    """Numbers for things that come and go: the last that was given back is the next that is given out."""

    def __init__(self) -> None:
        self._made = 0
        self._spare: list[int] = []

    def take(self) -> int:
        """A number that nothing has."""
        if self._spare:
            return self._spare.pop()
        self._made += 1
        return self._made - 1

    def give_back(self, number: int) -> None:
        """Nothing has this number any more."""
        self._spare.append(number)


class Place:
    """Where an agent stands: its status, and for an available one the channels that are `free` (`*`: any).

    `present`: it is available, or will be as soon as its connection is back.
    """

    __slots__ = ("available", "channels", "free", "present", "room", "status")

    def __init__(self, status: str, free: frozenset[str]) -> None:
        self.status = status
        self.free = free
        self.available = status == "available"
        self.present = self.available or status == "disconnected"
        self.room = bool(free)
        self.channels: frozenset[str] | None = free
        if ANY_CHANNEL in free:
            self.channels = None
        elif self.available:
            self.channels = free | {NO_CHANNEL}

    def takes(self, channel: str) -> bool:
        """Whether an agent that stands here has room for a channel."""
        return self.channels is None or channel in self.channels

    def takes_more_than(self, other: "Place") -> bool:
        """Whether something is taken here that is not taken there."""
        return other.channels is not None and not self.free <= other.free


class Places:
    """All places that an agent has stood in, each once."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, tuple[str, ...]], Place] = {}
        self._taking: dict[str, frozenset[Place]] = {}

    def place(self, status: str, free: tuple[str, ...]) -> Place:
        """The place of an agent with this status and these free channels, which count for an available one only."""
        place = self._by_name.get((status, free))
        if place is None:
            channels = frozenset(free) if status == "available" else frozenset()
            same = (each for each in self._by_name.values() if (each.status, each.free) == (status, channels))
            place = self._by_name[(status, free)] = next(same, None) or Place(status, channels)
            self._taking.clear()
        return place

    def taking(self, channel: str) -> frozenset[Place]:
        """The places where an agent has room for a channel."""
        taking = self._taking.get(channel)
        if taking is None:
            taking = frozenset(each for each in self._by_name.values() if each.takes(channel))
            self._taking[channel] = taking
        return taking


class Group:
    """The agents of one profile in one place: whoever may take one may take all."""

    __slots__ = ("agents", "bookmarks", "place", "profile", "tally")

    def __init__(self, profile: "Profile", place: Place, tally: "Tally") -> None:
        self.profile = profile
        self.place = place
        self.tally = tally
        self.agents: dict[str, None] = {}
        self.bookmarks: dict[Any, Bookmark] = {}

    def enter(self, agent_id: str) -> None:
        """An agent stands here now."""
        tally, shift = self.tally, self.profile.shift
        self.agents[agent_id] = None
        if shift >= len(tally.counts):
            tally.counts.extend([0] * (shift + 1 - len(tally.counts)))
        count = tally.counts[shift]
        tally.counts[shift] = count + 1
        if count == 0:
            tally.some |= self.profile.mask

    def leave(self, agent_id: str) -> None:
        """An agent stands here no longer."""
        tally, shift = self.tally, self.profile.shift
        del self.agents[agent_id]
        tally.counts[shift] -= 1
        if not self.agents:
            tally.some ^= self.profile.mask


class Profile:
    """An ability and who has it. `known` are the signatures that it fits, by page, as of a version of the page."""

    __slots__ = ("ability", "groups", "known", "levels", "mask", "number", "page", "shift", "size")

    def __init__(self, ability: Ability, number: int) -> None:
        self.ability = ability
        self.levels = dict(ability.skills)
        self.number = number
        self.page, self.shift = divmod(number, 1 << PAGE_BITS)
        self.mask = 1 << self.shift
        self.size = 0
        self.groups: dict[Place, Group] = {}
        self.known: dict[int, tuple[int, int]] = {}

    def level(self, skill: str) -> int:
        """The level in a skill, 0 for none."""
        return level_of(skill, self.levels, any_language=self.ability.any_language)

    def mastery(self, skills: tuple[str, ...]) -> int:
        """The sum of the levels in these skills."""
        return sum(map(self.level, skills))


class Tally:
    """How many agents each profile of a page has in one place, and which have any."""

    __slots__ = ("counts", "some")

    def __init__(self) -> None:
        self.some = 0
        self.counts: list[int] = []

    def total(self, profiles: int) -> int:
        """How many agents have one of these profiles here."""
        count = 0
        for shift in slices.members(profiles):
            count += self.counts[shift]
        return count


class ProfilePage:
    """A page of profiles: which have what, how many `agents` have them, and how many stand where."""

    def __init__(self) -> None:
        self.version = 0
        self.used = 0
        self.profiles: dict[int, Profile] = {}
        self.agents: Slices = []
        self.tallies: dict[Place, Tally] = {}
        self._taking: dict[str, list[tuple[Place, Tally]]] = {}
        self._busy: dict[str, list[tuple[Place, Tally]]] = {}
        self._skills: dict[str, Slices] = {}
        self._teams: dict[str, int] = {}
        self._channels: dict[str | None, int] = {}
        self._any_language = 0

    def add(self, profile: Profile) -> None:
        """Take a profile in."""
        mask, ability = profile.mask, profile.ability
        self.used |= mask
        self.profiles[profile.shift] = profile
        for skill, level in ability.skills:
            slices.put(self._skills.setdefault(skill, []), mask, level)
        for team in ability.teams:
            self._teams[team] = self._teams.get(team, 0) | mask
        for channel in (None,) if ability.channels is None else ability.channels:
            self._channels[channel] = self._channels.get(channel, 0) | mask
        if ability.any_language:
            self._any_language |= mask

    def remove(self, profile: Profile) -> None:
        """Forget a profile that nobody has; its number is free."""
        mask, ability = profile.mask, profile.ability
        self.used ^= mask
        del self.profiles[profile.shift]
        for skill, _ in ability.skills:
            slices.drop(self._skills[skill], mask)
            if not any(self._skills[skill]):
                del self._skills[skill]
        _unset(self._teams, ability.teams, mask)
        _unset(self._channels, (None,) if ability.channels is None else ability.channels, mask)
        self._any_language &= ~mask

    def join(self, profile: Profile) -> None:
        """One more agent has this profile."""
        profile.size += 1
        slices.one_more(self.agents, profile.mask)

    def part(self, profile: Profile) -> None:
        """One agent less has this profile."""
        profile.size -= 1
        slices.one_less(self.agents, profile.mask)

    def group(self, profile: Profile, place: Place) -> Group:
        """The agents of a profile in a place."""
        group = profile.groups.get(place)
        if group is None:
            tally = self.tallies.get(place)
            if tally is None:
                tally = self.tallies[place] = Tally()
                self._taking.clear()
                self._busy.clear()
            group = profile.groups[place] = Group(profile, place, tally)
        return group

    def taking(self, channel: str) -> list[tuple[Place, Tally]]:
        """The places of available agents that have room for a channel; for `NO_CHANNEL` those of all available ones."""
        taking = self._taking.get(channel)
        if taking is None:
            taking = self._taking[channel] = [each for each in self.tallies.items() if each[0].takes(channel)]
        return taking

    def free(self, channel: str) -> int:
        """The profiles with an agent in one of these places."""
        profiles = 0
        for _, tally in self.taking(channel):
            profiles |= tally.some
        return profiles

    def present(self) -> int:
        """The profiles with an agent who is present."""
        profiles = 0
        for place, tally in self.tallies.items():
            if place.present:
                profiles |= tally.some
        return profiles

    def busy(self, channel: str) -> list[tuple[Place, Tally]]:
        """The places of available agents that have no room for a channel."""
        busy = self._busy.get(channel)
        if busy is None:
            everywhere = self.tallies.items()
            busy = self._busy[channel] = [
                each for each in everywhere if each[0].available and not each[0].takes(channel)
            ]
        return busy

    def example(self, profiles: int, place: Place | None = None) -> str:
        """An agent of one of these profiles, in this place if one is named; there must be one."""
        groups = self.profiles[slices.lowest(profiles)].groups
        group = next(each for each in groups.values() if each.agents) if place is None else groups[place]
        return next(iter(group.agents))

    def fits(self, need: Need) -> int:
        """The profiles that fit a need."""
        profiles = self.used
        for _, met in self._conditions(need):
            profiles &= met
            if not profiles:
                break
        return profiles

    def misfits(self, need: Need) -> Iterator[tuple[str, int]]:
        """The profiles that do not fit, by the first reason why."""
        left = self.used
        for code, met in self._conditions(need):
            if left & ~met:
                yield code, left & ~met
            left &= met

    def _conditions(self, need: Need) -> Iterator[tuple[str, int]]:
        """Each condition of a need: the code of not meeting it, and the profiles that do. In the order of `misfit`."""
        if need.channel:
            yield "channel", self._channels.get(None, 0) | self._channels.get(need.channel, 0)
        if need.teams:
            yield "team", self._of_teams(need.teams)
        if need.not_teams:
            yield "team_excluded", ~self._of_teams(need.not_teams)
        for skill, level in need.required:
            levels = self._levels(skill)
            if is_language(skill):
                yield "language", slices.at_least(levels, level, self.used)
            elif level > 0:
                yield f"skill_missing:{skill}", slices.some(levels)
                yield f"skill_level:{skill}", slices.at_least(levels, level, self.used)

    def scores(self, need: Need) -> Slices:
        """The weights of the preferred requirements that each profile meets, added up."""
        sums: Slices = []
        for skill, level, weight in need.preferred:
            sums = slices.plus(sums, slices.times(slices.at_least(self._levels(skill), level, self.used), weight))
        return sums

    def mastery(self, skills: tuple[str, ...]) -> Slices:
        """The levels that each profile has in these skills, added up."""
        sums: Slices = []
        for skill in skills:
            sums = slices.plus(sums, self._levels(skill))
        return sums

    def _levels(self, skill: str) -> Slices:
        levels = self._skills.get(skill, [])
        if self._any_language and is_language(skill):
            return slices.plus(levels, slices.times(self._any_language, LEVEL_MAX))
        return levels

    def _of_teams(self, teams: tuple[str, ...]) -> int:
        profiles = 0
        for each in teams:
            profiles |= self._teams.get(each, 0)
        return profiles


class Signature:
    """A need and who waits with it.

    Of each page of profiles, as of `version`: those that fit (`fitting`: of the pages that have any), their scores, and
    their mastery of the asked skills (once that was asked for). `available`, `absent` and `reach` stand beside the
    version of who is present that they hold for. `number` is None until the first contact waits.
    """

    __slots__ = (
        "absent",
        "asked",
        "available",
        "bookmarks",
        "counted",
        "fits",
        "fitting",
        "lines",
        "mask",
        "masteries",
        "need",
        "number",
        "page",
        "reach",
        "scores",
        "shift",
        "version",
    )

    def __init__(self, need: Need) -> None:
        self.need = need
        self.asked = need.asked()
        self.number: int | None = None
        self.page = self.shift = self.mask = 0
        self.lines: dict[tuple[str, bool], WaitingLine] = {}
        self.version = 0
        self.fits: list[int] = []
        self.fitting: list[tuple[int, int]] = []
        self.scores: dict[int, Slices] = {}
        self.masteries: dict[int, Slices] = {}
        self.available: tuple[int, int] | None = None
        self.absent: tuple[int, tuple[tuple[str, int, str | None], ...]] | None = None
        self.reach: tuple[int, Reach] | None = None
        self.counted: tuple[tuple[tuple[str, int, str | None], ...], int] | None = None
        self.bookmarks: dict[Any, Bookmark] = {}

    def be_numbered(self, number: int) -> None:
        """Take a place on a page of signatures."""
        self.number = number
        self.page, self.shift = divmod(number, 1 << PAGE_BITS)
        self.mask = 1 << self.shift


class WaitingLine(Line[Signature]):
    """The contacts that wait with one need in one queue. Those that are not `matchable` are proposed to nobody."""

    __slots__ = ("matchable", "queue")

    def __init__(self, owner: Signature, queue: str, *, matchable: bool) -> None:
        super().__init__(owner, owner.number or 0)
        self.queue = queue
        self.matchable = matchable


class SignaturePage:
    """A page of signatures: which ask for what, and with which somebody waits who can be matched."""

    def __init__(self) -> None:
        self.version = 0
        self.used = 0
        self.waiting = 0
        self.signatures: dict[int, Signature] = {}
        self._channels: dict[str, int] = {}
        self._required: dict[tuple[str, int], int] = {}
        self._teams: dict[tuple[str, ...], int] = {}
        self._not_teams: dict[tuple[str, ...], int] = {}

    def add(self, signature: Signature) -> None:
        """Take a signature in."""
        mask, need = signature.mask, signature.need
        self.version += 1
        self.used |= mask
        self.signatures[signature.shift] = signature
        self._channels[need.channel] = self._channels.get(need.channel, 0) | mask
        for each in need.required:
            self._required[each] = self._required.get(each, 0) | mask
        if need.teams:
            self._teams[need.teams] = self._teams.get(need.teams, 0) | mask
        if need.not_teams:
            self._not_teams[need.not_teams] = self._not_teams.get(need.not_teams, 0) | mask

    def remove(self, signature: Signature) -> None:
        """Forget a signature that nobody waits with; its number is free."""
        mask, need = signature.mask, signature.need
        self.version += 1
        self.used ^= mask
        del self.signatures[signature.shift]
        _unset(self._channels, (need.channel,), mask)
        _unset(self._required, need.required, mask)
        _unset(self._teams, (need.teams,) if need.teams else (), mask)
        _unset(self._not_teams, (need.not_teams,) if need.not_teams else (), mask)

    def fits(self, profile: Profile) -> int:
        """The signatures that a profile fits."""
        ability, misfits = profile.ability, 0
        for (skill, level), signatures in self._required.items():
            if profile.level(skill) < level:
                misfits |= signatures
        for teams, signatures in self._teams.items():
            if ability.teams.isdisjoint(teams):
                misfits |= signatures
        for teams, signatures in self._not_teams.items():
            if not ability.teams.isdisjoint(teams):
                misfits |= signatures
        return self.of_channels(ability.channels) & ~misfits

    def of_channels(self, channels: frozenset[str] | None) -> int:
        """The signatures of any of these channels; of all of them for None."""
        if channels is None:
            return self.used
        signatures = 0
        for each in channels:
            signatures |= self._channels.get(each, 0)
        return signatures


def _unset(sets: dict[Any, int], keys: Iterable[object], mask: int) -> None:
    """Take one thing out of each of these sets that holds it; drop the sets that are empty."""
    for key in keys:
        if sets.get(key, 0) & mask:
            sets[key] ^= mask
            if not sets[key]:
                del sets[key]
