"""The best free agents of one contact: those of the highest score first, then by what the queue goes by.

It asks the pages who is in a *tier* (has the same score, the same mastery) and a ranking who of them comes first.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from src.router import slices
from src.router.model import Weights
from src.router.pages import Group, ProfilePage, Signature
from src.router.ranking import Entry, Ranking, first, value_of
from src.router.slices import Slices

HEADS_WORTH_A_WALK: Final = 4
"""Heads are walked, not gathered, where those that suit are more than the root of this many times all of them."""

STRIDE: Final = 8
"""So many heads are looked at for each tier where weights mix both."""

Pools = list[tuple[int, int]]
"""A set of profiles or signatures: the number of each page that has any, and its bits."""


class Chosen(msgspec.Struct, frozen=True, gc=False):
    """An agent, its score, and its value where weights decide."""

    agent_id: str
    score: int
    value: float | None = None


class Choice:
    """One question: the agents for a signature by a ranking, but for those that are barred.

    `by_skill`: their mastery of the asked skills decides before the ranking does, or by `weights` together with it.
    """

    __slots__ = ("_by_skill", "_is_barred", "_pages", "_ranking", "_signature", "_weights")

    def __init__(
        self,
        pages: Sequence[ProfilePage],
        signature: Signature,
        ranking: Ranking[Group],
        is_barred: Callable[[str], bool],
        *,
        by_skill: bool,
        weights: Weights | None,
    ) -> None:
        self._pages = pages
        self._signature = signature
        self._ranking = ranking
        self._is_barred = is_barred
        self._by_skill = by_skill
        self._weights = weights

    def best(self, pools: Pools, count: int) -> list[Chosen]:
        """The best of a set of profiles with free agents, the best first."""
        signature = self._signature
        found: list[Chosen] = []
        for score, tier in tiers(pools, signature.scores) if signature.need.preferred else [(0, pools)]:
            if not self._by_skill:
                found += self._of_tier(tier, score, count - len(found))
            elif self._weights is None:
                found += self._skilled(tier, score, count - len(found))
            else:
                found += self._mixed(tier, score, count - len(found), self._weights)
            if len(found) >= count:
                break
        return found

    def _of_tier(self, pools: Pools, score: int, count: int) -> list[Chosen]:
        entries = self._first(pools, score, count)
        if self._weights is None:
            return [Chosen(each[-2], score) for each in entries]
        return [Chosen(each[-2], score, -each[0]) for each in entries]

    def _skilled(self, pools: Pools, score: int, count: int) -> list[Chosen]:
        found: list[Chosen] = []
        for mastery, tier in tiers(pools, self._masteries(pools)):
            found += [Chosen(each[-2], score) for each in self._first(tier, (score, mastery), count - len(found))]
            if len(found) >= count:
                break
        return found

    def _mixed(self, pools: Pools, score: int, count: int, weights: Weights) -> list[Chosen]:
        """By Fagin's threshold algorithm ("Optimal aggregation algorithms for middleware", 2003).

        Agents come in the order of their mastery and in the order of their costs, until whoever is yet to come in both
        cannot be better than the worst that is kept.
        """
        asked = self._signature.asked
        seen: set[str] = set()
        kept: list[tuple[float, float, str]] = []

        def see(entries: Iterable[Entry], mastery: int) -> None:
            for cost, agent_id, _ in entries:
                if agent_id not in seen:
                    seen.add(agent_id)
                    insort(kept, (-value_of(weights, cost, mastery, len(asked)), cost, agent_id))
            del kept[count:]

        by_cost = iter(self._heads(pools, score))
        for mastery, tier in tiers(pools, self._masteries(pools)):
            see(self._first(tier, (score, mastery), count), mastery)
            heads = list(islice(by_cost, STRIDE))
            for head in heads:
                see(first([head], count, self._is_barred), head[-1].owner.profile.mastery(asked))
            if len(heads) < STRIDE:
                break  # all have come
            if len(kept) == count and -kept[-1][0] > value_of(weights, heads[-1][0], mastery, len(asked)):
                break
        return [Chosen(agent_id, score, -negated) for negated, _, agent_id in kept]

    def _masteries(self, pools: Pools) -> dict[int, Slices]:
        """The mastery of the asked skills on each of these pages, worked out when it is first asked for."""
        kept = self._signature.masteries
        for page, _ in pools:
            if page not in kept:
                kept[page] = self._pages[page].mastery(self._signature.asked)
        return kept

    def _first(self, pools: Pools, asker: object, count: int) -> list[Entry]:
        return first(self._heads(pools, asker), count, self._is_barred)

    def _heads(self, pools: Pools, asker: object) -> Iterable[Entry]:
        """The heads of the lines of these profiles that take the channel, in order."""
        channel, ranking = self._signature.need.channel, self._ranking
        size = sum(profiles.bit_count() for _, profiles in pools)
        if size * size <= HEADS_WORTH_A_WALK * len(ranking.heads.entries):
            return sorted(self._gathered(pools))
        if len(pools) == 1:
            only, profiles = pools[0]

            def suits(group: Group) -> bool:
                profile = group.profile
                return profile.page == only and bool(profiles >> profile.shift & 1) and group.place.takes(channel)

        else:
            by_page = dict(pools)

            def suits(group: Group) -> bool:
                profile = group.profile
                return bool(by_page.get(profile.page, 0) >> profile.shift & 1) and group.place.takes(channel)

        return ranking.heads.walk(suits, self._signature.bookmarks, (ranking.name, asker))

    def _gathered(self, pools: Pools) -> Iterator[Entry]:
        channel, lines = self._signature.need.channel, self._ranking.lines
        for page, profiles in pools:
            by_shift = self._pages[page].profiles
            for shift in slices.members(profiles):
                for place, group in by_shift[shift].groups.items():
                    line = lines.get(group)
                    if line is not None and place.takes(channel):
                        yield line.members[0]


def tiers(pools: Pools, numbers: dict[int, Slices]) -> Iterator[tuple[int, Pools]]:
    """A set parted by number, the largest first. `numbers` by page."""
    width = max((len(numbers[page]) for page, _ in pools), default=0)
    while pools:
        number, tier = 0, pools
        for i in range(width - 1, -1, -1):
            with_bit = [
                (page, things)
                for page, among in tier
                if i < len(numbers[page]) and (things := among & numbers[page][i])
            ]
            if with_bit:
                number, tier = number | 1 << i, with_bit
        yield number, tier
        taken = dict(tier)
        pools = [(page, left) for page, among in pools if (left := among & ~taken.get(page, 0))]
