"""What queueing theory says, worked out from balance equations: stationary distributions of Markov chains.

Each system is written down as its transitions; `stationary` solves πQ = 0 for the generator Q that they make. Chains
with infinitely many states are cut off where an arrival would make one contact too many wait: that arrival is lost, and
how often that happens is given beside the results. Times and rates are in any one unit.

- One kind of contact, n equal agents, patient or not: a birth-death chain. Its results are those of A. K. Erlang,
  "Solution of some problems in the theory of probabilities of significance in automatic telephone exchanges" (1917),
  and of C. Palm, "Research on telephone traffic carried by full availability groups" (1957).
- Kinds of contacts and pools of agents who can serve some of them, first come first served, and the longest idle agent
  assigned: the chain of I. Adan and G. Weiss, "A skill based parallel service system under FCFS-ALIS: steady state,
  overloads, and abandonments", Stochastic Systems 4 (2014), after J. Visschers, I. Adan and G. Weiss, "A product form
  solution to a system with multi-type jobs and multi-type servers", Queueing Systems 70 (2012).

Nothing in here is simulated, and nothing knows the engine.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from scipy.stats import poisson

Floats = NDArray[np.float64]
State = TypeVar("State", bound=Hashable)

LINE_MAX: Final = 600
"""So many contacts wait at most in the chains of one pool."""


def stationary(
    start: State, moves: Callable[[State], Iterable[tuple[State, float]]]
) -> tuple[dict[State, int], Floats]:
    """Every state that can be reached from `start`, numbered, and the probability of each in the long run.

    `moves` gives where a state goes at which rate. One balance equation says what the others say; in its place the
    probability of `start` is set to 1, and all are scaled to the sum of 1 afterwards. So `start` should be a state that
    is often met, or the numbers become too large.
    """
    numbers = {start: 0}
    found = [start]
    rows: list[int] = []
    columns: list[int] = []
    rates: list[float] = []
    for number, state in enumerate(found):  # grows while it is walked
        for target, rate in moves(state):
            if target not in numbers:
                numbers[target] = len(found)
                found.append(target)
            rows += (numbers[target], number)
            columns += (number, number)
            rates += (rate, -rate)
    balance = csc_matrix((rates, (rows, columns)))
    weights = np.ones(len(found))
    if len(found) > 1:
        weights[1:] = splu(balance[1:, 1:]).solve(-balance[1:, 0].toarray()[:, 0])
    return numbers, weights / weights.sum()


@dataclass(frozen=True, slots=True)
class OnePool:
    """Waiting in a pool of equal agents. Rates of arrival, of one agent's service, and of one customer's giving up."""

    agents: int
    arrival: float
    service: float
    giving_up: float
    present: Floats

    @property
    def wait_probability(self) -> float:
        """Of an arrival. Poisson arrivals see what is so in the long run."""
        return float(self.present[self.agents :].sum())

    @property
    def mean_wait(self) -> float:
        """Of all, also of those who give up: by Little's law."""
        waiting = np.maximum(np.arange(len(self.present)) - self.agents, 0)
        return float(self.present @ waiting) / self.arrival

    @property
    def abandoned(self) -> float:
        """Share of contacts that give up."""
        return self.giving_up * self.mean_wait

    @property
    def utilisation(self) -> float:
        """Share of its time that an agent is busy."""
        return float(self.present @ np.minimum(np.arange(len(self.present)), self.agents)) / self.agents

    def later_than(self, wait: float) -> float:
        """Share of contacts that wait longer, where nobody gives up, first come first served.

        Whoever finds all busy and k others waiting is served when k + 1 agents have become free, which is a Poisson
        stream at the rate of all agents.
        """
        assert self.giving_up == 0
        ahead = np.arange(len(self.present) - self.agents)
        return float(self.present[self.agents :] @ poisson.cdf(ahead, self.agents * self.service * wait))

    @property
    def wait_of_answered(self) -> float:
        """Mean wait of those who are answered, with 0 for those who give up, first come first served.

        A customer with k others ahead moves up at the rate of all agents and of k customers giving up, and gives up
        itself. `answered` is the probability that it is answered, `waits` its wait where it is; both follow from the
        next thing that happens.
        """
        answered, waits, mean = 1.0, 0.0, 0.0
        for ahead, probability in enumerate(self.present[self.agents :]):
            up = self.agents * self.service + ahead * self.giving_up
            total = up + self.giving_up
            answered *= up / total
            waits = answered / total + waits * up / total
            mean += float(probability) * waits
        return mean


def one_pool(agents: int, arrival: float, service: float, giving_up: float = 0.0) -> OnePool:
    """Solve the birth-death chain of the number of contacts present: M/M/n, or M/M/n+M where customers give up."""

    def moves(present: int) -> Iterator[tuple[int, float]]:
        if present < agents + LINE_MAX:
            yield present + 1, arrival
        if present > 0:
            yield present - 1, min(present, agents) * service + max(present - agents, 0) * giving_up

    numbers, found = stationary(min(agents, int(arrival / service)), moves)
    return OnePool(agents, arrival, service, giving_up, found[[numbers[each] for each in range(len(found))]])


# -- skills -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal agents: which classes they serve, at which rate each, and how many they are."""

    classes: frozenset[str]
    service: float
    size: int = 1


@dataclass(frozen=True)
class Skills:
    """Classes with their arrival rates, and pools by name."""

    arrivals: Mapping[str, float]
    pools: Mapping[str, Pool]

    def rate(self, classes: Iterable[str]) -> float:
        """All arrivals of some classes."""
        return sum(self.arrivals[each] for each in classes)

    @cached_property
    def empty(self) -> "Line":
        """Everyone idle. In which order does not matter: it is forgotten."""
        return Line((), (), tuple(name for name, pool in self.pools.items() for _ in range(pool.size)))

    def only(self, busy: tuple[str, ...]) -> frozenset[str]:
        """Classes that nobody but these agents serves: while they are busy, such an arrival waits."""
        known = self._only.get(busy)
        if known is None:
            counts = Counter(busy)
            free = [name for name, pool in self.pools.items() if counts[name] < pool.size]
            known = self._only[busy] = frozenset(self.arrivals).difference(*(self.pools[name].classes for name in free))
        return known

    @cached_property
    def _only(self) -> dict[tuple[str, ...], frozenset[str]]:
        return {}


@dataclass(frozen=True, slots=True)
class Line:
    """A state of the chain: agents are named by their pools.

    `busy` in the order in which the contacts that they serve arrived. `waiting[i]` contacts wait that arrived after the
    one which busy[i] serves and before the next in service. Their classes are not part of the state: each is, on its
    own, one of `only(busy[:i + 1])` in proportion to the arrival rates. `idle`, the longest idle first.
    """

    busy: tuple[str, ...]
    waiting: tuple[int, ...]
    idle: tuple[str, ...]


Move = tuple[Line, float, str, str]
"""Target, rate, and which class was assigned to which pool (or two empty names)."""


def arrive(skills: Skills, line: Line, waiting_max: int) -> Iterator[Move]:
    """A contact arrives: the longest idle agent that can takes it, or it waits; it is lost where the line is full."""
    for name, rate in skills.arrivals.items():
        for place, pool in enumerate(line.idle):
            if name in skills.pools[pool].classes:
                idle = line.idle[:place] + line.idle[place + 1 :]
                yield Line((*line.busy, pool), (*line.waiting, 0), idle), rate, name, pool
                break
        else:
            if sum(line.waiting) < waiting_max:
                yield Line(line.busy, (*line.waiting[:-1], line.waiting[-1] + 1), line.idle), rate, "", ""


def depart(skills: Skills, line: Line) -> Iterator[Move]:
    """A service ends: the agent takes the first contact that it can serve, or becomes idle.

    Those who arrived before the contact that it served cannot be served by it: they wait only because all that serve
    them are busy with earlier ones. Of those behind, it passes over each with the probability that its class is one
    that the agent does not serve.
    """
    for place, pool in enumerate(line.busy):
        left = skills.pools[pool].service
        before, behind = (0, *line.waiting)[place : place + 2]
        busy = line.busy[:place] + line.busy[place + 1 :]
        gaps = (*(0, *line.waiting)[:place], before + behind, *line.waiting[place + 1 :])
        for gap in range(place, len(gaps)):
            classes = skills.only(line.busy[: gap + 1])
            mine = sorted(classes & skills.pools[pool].classes)
            passed_over = skills.rate(classes.difference(mine)) / skills.rate(classes) if mine else 1.0
            for ahead in range(before if gap == place else 0, gaps[gap] if mine else 0):
                if left == 0:
                    break
                waiting = (*gaps[:gap], ahead, gaps[gap] - ahead - 1, *gaps[gap + 1 :])
                assert waiting[0] == 0, "whom nobody else can serve is never passed over"
                target = Line((*busy[:gap], pool, *busy[gap:]), waiting[1:], line.idle)
                for name in mine:
                    yield target, left * skills.arrivals[name] / skills.rate(classes), name, pool
                left *= passed_over
        if left > 0:
            yield Line(busy, gaps[1:], (*line.idle, pool)), left, "", ""


def all_moves(skills: Skills, line: Line, waiting_max: int) -> Iterator[Move]:
    """Whatever can happen next."""
    yield from arrive(skills, line, waiting_max)
    yield from depart(skills, line)


@dataclass(frozen=True, slots=True)
class Solved:
    """What a system of skills comes to in the long run.

    By class: `wait_probability`; `mean_wait`; `nobody_behind`, the probability that no other of the class arrives while
    a contact waits. That is the mean of exp(-rate * wait) and, where each class is served in its order, the probability
    that none of the class waits: J. Keilson and L. Servi, "A distributional form of Little's law", Operations Research
    Letters 7 (1988).
    By pool: `utilisation` of each agent. By both: `matches`, how many contacts of a class an agent of a pool starts to
    serve in a unit of time.
    `lost`: the share of contacts that found the line full, which the infinite system has not: the error of cutting off
    is of this size.
    """

    wait_probability: Mapping[str, float]
    mean_wait: Mapping[str, float]
    nobody_behind: Mapping[str, float]
    utilisation: Mapping[str, float]
    matches: Mapping[tuple[str, str], float]
    lost: float


def solve(skills: Skills, waiting_max: int) -> Solved:
    """Solve the chain of lines."""

    def moves(line: Line) -> Iterator[tuple[Line, float]]:
        return ((target, rate) for target, rate, _, _ in all_moves(skills, line, waiting_max))

    numbers, found = stationary(skills.empty, moves)
    sums = _Sums(skills)
    for line, number in numbers.items():
        probability = float(found[number])
        sums.add(probability, skills.only(line.busy), line.busy, all_moves(skills, line, waiting_max))
        sums.lost += probability if sum(line.waiting) == waiting_max else 0.0
        for name, rate in skills.arrivals.items():
            none = 1.0
            for place, contacts in enumerate(line.waiting):
                classes = skills.only(line.busy[: place + 1])
                if contacts and name in classes:
                    share = rate / skills.rate(classes)
                    sums.waiting[name] += probability * contacts * share
                    none *= (1 - share) ** contacts
            sums.none[name] += probability * none
    return sums.solved()


class _Sums:
    """Expectations, state by state."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills
        self._waits = defaultdict[str, float](float)
        self._busy = defaultdict[str, float](float)
        self._matches = defaultdict[tuple[str, str], float](float)
        self.waiting = defaultdict[str, float](float)
        self.none = defaultdict[str, float](float)
        self.lost = 0.0

    def add(
        self,
        probability: float,
        unserved: Iterable[str],
        busy: Iterable[str],
        moves: Iterable[tuple[Hashable, float, str, str]],
    ) -> None:
        """A state: of which classes an arrival would wait, who is busy, and what can happen next."""
        for name in unserved:
            self._waits[name] += probability
        for pool in busy:
            self._busy[pool] += probability / self._skills.pools[pool].size
        for _, rate, name, pool in moves:
            if name:
                self._matches[name, pool] += probability * rate / self._skills.pools[pool].size

    def solved(self) -> Solved:
        """What they come to; mean waits by Little's law."""
        mean_wait = {name: self.waiting[name] / rate for name, rate in self._skills.arrivals.items()}
        return Solved(self._waits, mean_wait, self.none, self._busy, self._matches, self.lost)


def product_form(skills: Skills, line: Line) -> float:
    """The weight of a state by theorem 1 of Adan and Weiss, up to a constant: to compare with, not to rely on."""
    weight, service = 1.0, 0.0
    for place, pool in enumerate(line.busy):
        service += skills.pools[pool].service
        share = skills.rate(skills.only(line.busy[: place + 1])) / service
        weight *= share ** line.waiting[place] / service
    reachable = frozenset[str]()
    for pool in line.idle:
        reachable |= skills.pools[pool].classes
        weight /= skills.rate(reachable)
    return weight


# -- the same without aggregation, to compare with ------------------------------------------------------------------

_Plain = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""The pools of those who are busy, the classes of those who wait, the pools of those who are idle."""


def solve_plainly(skills: Skills, waiting_max: int) -> Solved:
    """The same from the obvious chain, in which the class of everyone who waits is known: for short lines only."""

    def moves(state: _Plain) -> Iterator[tuple[_Plain, float, str, str]]:
        busy, line, idle = state
        for name, rate in skills.arrivals.items():
            able = [place for place, pool in enumerate(idle) if name in skills.pools[pool].classes]
            if able:
                pool = idle[able[0]]
                rest = idle[: able[0]] + idle[able[0] + 1 :]
                yield (tuple(sorted((*busy, pool))), line, rest), rate, name, pool
            elif len(line) < waiting_max:
                yield (busy, (*line, name), idle), rate, "", ""
        for place, pool in enumerate(busy):
            able = [each for each, name in enumerate(line) if name in skills.pools[pool].classes]
            if able:
                rest = line[: able[0]] + line[able[0] + 1 :]
                yield (busy, rest, idle), skills.pools[pool].service, line[able[0]], pool
            else:
                still = busy[:place] + busy[place + 1 :]
                yield (still, line, (*idle, pool)), skills.pools[pool].service, "", ""

    def rates(state: _Plain) -> Iterator[tuple[_Plain, float]]:
        return ((target, rate) for target, rate, _, _ in moves(state))

    start: _Plain = ((), (), skills.empty.idle)
    numbers, found = stationary(start, rates)
    sums = _Sums(skills)
    for state, number in numbers.items():
        busy, line, idle = state
        probability = float(found[number])
        served = frozenset[str]().union(*(skills.pools[pool].classes for pool in idle))
        sums.add(probability, frozenset(skills.arrivals) - served, busy, moves(state))
        sums.lost += probability if len(line) == waiting_max else 0.0
        for name in skills.arrivals:
            sums.waiting[name] += probability * line.count(name)
            sums.none[name] += 0.0 if name in line else probability
    return sums.solved()
