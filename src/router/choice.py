"""The best free agents of one contact: those of the highest score first, then by what the queue goes by.

It asks the pages who is in a *tier* (has the same score, the same mastery) and a ranking who of them comes first.
"""

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from src.router import slices
from src.router.lines import NOBODY, Wanted, first
from src.router.model import Weights
from src.router.ordered import Entry
from src.router.pages import Group, ProfilePage, Signature
from src.router.ranking import Ranking, value_of
from src.router.slices import Slices

GATHERED_MAX: Final = 8
"""Up to so many heads that suit are gathered rather than walked to."""
WALKED_PER_GATHERED: Final = 2
"""So many heads are passed in the time in which one is gathered, where there are many."""

STRIDE: Final = 8
"""So many heads are looked at for each tier where weights mix both."""

Pools = list[tuple[int, int]]
"""A set of profiles or signatures: the number of each page that has any, and its bits."""


Chosen = tuple[str, int, float | None]
"""An agent, its score, and its value where weights decide."""


class Choice:
    """One question: the agents for a signature by a ranking, but for those that are barred.

    `places` are those where agents have room for it. `by_skill`: their mastery of the asked skills decides before the
    ranking does, or by `weights` together with it.
    """

    __slots__ = ("_by_skill", "_is_barred", "_pages", "_places", "_ranking", "_signature", "_weights")

    def __init__(
        self,
        pages: Sequence[ProfilePage],
        places: Collection[object],
        signature: Signature,
        ranking: Ranking[Group],
        is_barred: Callable[[str], bool] | None,
        *,
        by_skill: bool,
        weights: Weights | None,
    ) -> None:
        self._pages = pages
        self._places = places
        self._signature = signature
        self._ranking = ranking
        self._is_barred = is_barred
        self._by_skill = by_skill
        self._weights = weights

    def best(self, pools: Pools, count: int, sure: int) -> list[Chosen]:
        """The best of a set of profiles with free agents, the best first.

        At most `count`, and at least `sure` of them if there are so many; further ones as far as they are near.
        """
        is_parted = self._by_skill or bool(self._signature.need.preferred)
        if is_parted and len(pools) > 1:
            count = sure  # to part many profiles again for each further one costs too much
        found: list[Chosen] = []
        for score, tier in tiers(pools, self._signature.scores) if self._signature.need.preferred else [(0, pools)]:
            if not self._by_skill:
                gave_up = self._add(found, tier, (score, None), count, sure)
            elif self._weights is None:
                gave_up = self._add_skilled(found, tier, score, count, sure)
            else:
                gave_up = self._add_mixed(found, tier, score, count, self._weights)
            if gave_up or len(found) == count:
                break
        return found

    def _add(self, found: list[Chosen], pools: Pools, purpose: tuple[int, int | None], count: int, sure: int) -> bool:
        """Add the first of a tier; true where others may be left that are not near."""
        heads = self._heads(pools, purpose)
        entries, gave_up = first(heads, count - len(found), self._is_barred, sure - len(found))
        if self._weights is None:
            found += [(each[-2], purpose[0], None) for each in entries]
        else:
            found += [(each[-2], purpose[0], -each[0]) for each in entries]
        return gave_up

    def _add_skilled(self, found: list[Chosen], pools: Pools, score: int, count: int, sure: int) -> bool:
        """The same, the greatest mastery first."""
        for mastery, tier in tiers(pools, self._masteries(pools)):
            if self._add(found, tier, (score, mastery), count, sure):
                return True
            if len(found) == count:
                break
        return False

    def _add_mixed(self, found: list[Chosen], pools: Pools, score: int, count: int, weights: Weights) -> bool:
        """The same, the greatest value first.

        By Fagin's threshold algorithm ("Optimal aggregation algorithms for middleware", 2003): agents come in the order
        of their mastery and in the order of their costs, until whoever is yet to come in both cannot be better than the
        worst that is kept.
        """
        asked = self._signature.asked
        left = count - len(found)
        seen: set[str] = set()
        kept: list[tuple[float, float, str]] = []

        def see(heads: Iterable[Entry], mastery: int) -> None:
            entries, _ = first(heads, left, self._is_barred)
            for cost, agent_id, _ in entries:
                if agent_id not in seen:
                    seen.add(agent_id)
                    insort(kept, (-value_of(weights, cost, mastery, len(asked)), cost, agent_id))
            del kept[left:]

        by_cost = _without_milestones(self._heads(pools, (score, None)))
        for mastery, tier in tiers(pools, self._masteries(pools)):
            see(self._heads(tier, (score, mastery)), mastery)
            heads = list(islice(by_cost, STRIDE))
            for head in heads:
                see([head], head[-1].owner.profile.mastery(asked))
            if len(heads) < STRIDE:
                break  # all have come
            if len(kept) == left and -kept[-1][0] > value_of(weights, heads[-1][0], mastery, len(asked)):
                break
        found += [(agent_id, score, -negated) for negated, _, agent_id in kept]
        return False

    def _heads(self, pools: Pools, purpose: tuple[int, int | None]) -> Iterable[Entry]:
        return heads_of(self._signature, self._ranking, self._places, pools, purpose)

    def _masteries(self, pools: Pools) -> dict[int, Slices]:
        """The mastery of the asked skills on each of these pages, worked out when it is first asked for."""
        kept = self._signature.masteries
        for page, _ in pools:
            if page not in kept:
                kept[page] = self._pages[page].mastery(self._signature.asked)
        return kept


def _without_milestones(heads: Iterable[Entry]) -> Iterator[Entry]:
    """These heads, one by one."""
    for head in heads:
        if head[-1] is not NOBODY:
            yield head


def heads_of(
    signature: Signature,
    ranking: Ranking[Group],
    places: Collection[object],
    pools: Pools,
    purpose: tuple[int, int | None],
) -> Iterable[Entry]:
    """The heads of the lines of these profiles that stand in one of these places, in order."""
    if is_worth_a_walk(pools, len(ranking.heads)):
        return ranking.heads.walk(Wanted(dict(pools), places, signature.bookmarks, (ranking.name, purpose)))
    heads: list[Entry] = []
    for page, profiles in pools:
        shifts = slices.members(profiles)
        for place in places:
            table = ranking.tables.get((place, page))
            if table is not None:
                size = len(table)
                for shift in shifts:
                    if shift < size:
                        entry = table[shift]
                        if entry is not None:
                            heads.append(entry)
    heads.sort()
    return heads


def is_worth_a_walk(pools: Pools, heads: int) -> bool:
    """Whether so many lines suit that to walk until one is met costs less than to gather them all."""
    size = 0
    for _, things in pools:
        size += things.bit_count()
        if size > GATHERED_MAX and size * size * WALKED_PER_GATHERED > heads:
            return True
    return False


def tiers(pools: Pools, numbers: dict[int, Slices]) -> Iterator[tuple[int, Pools]]:
    """A set parted by number, the largest first. `numbers` by page."""
    width = 0
    for page, _ in pools:
        width = max(width, len(numbers[page]))
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
