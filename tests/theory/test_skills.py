"""Kinds of contacts and agents with some of the skills: the engine against first come first served, longest idle first.

Whoever is free longest and fits takes an arrival; an agent that becomes free takes the first that it fits. The exact
values are those of the chains in `exact.py`; a wrong order of contacts or a wrong choice of agents must fall outside
the intervals that hold them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from heapq import heapify, heappop, heappush
from math import exp
from typing import Final

import pytest

from src.router.model import AgentConfig, TagRequest
from tests.theory.estimate import Batches, Comparison, Floats, Verdict, judge, outside, report
from tests.theory.exact import Skills, Solved
from tests.theory.simulation import SCALE, Centre, Run, Stream, Visit, simulate
from tests.theory.systems import N_MODEL, SERVICE_S, THREE_BY_THREE, solved

CONTACTS: Final = 15_000
CONTACTS_OF_WRONG_POLICIES: Final = 4_000

SYSTEMS: Final[Mapping[str, Skills]] = {"n-model": N_MODEL, "three-by-three": THREE_BY_THREE}


def centre_of(skills: Skills) -> Centre:
    """Every class is a tag of its own, every agent of a pool has the skills of its classes and the pool's pace."""
    streams = tuple(
        Stream(name, SERVICE_S / rate, SERVICE_S, tags=(TagRequest(name),)) for name, rate in skills.arrivals.items()
    )
    agents = {f"{name}-{number}": pool for name, pool in skills.pools.items() for number in range(pool.size)}
    return Centre(
        streams,
        tuple(AgentConfig(agent_id, skills=dict.fromkeys(pool.classes, 1)) for agent_id, pool in agents.items()),
        pace={agent_id: 1 / pool.service for agent_id, pool in agents.items()},
    )


def agents_of(centre: Centre, pool: str) -> list[str]:
    return [each.id for each in centre.agents if each.id.startswith(f"{pool}-")]


def run_of(centre: Centre, contacts: float) -> Run:
    gap_s = 1 / sum(1 / each.gap_s for each in centre.streams)
    return simulate(centre, contacts * SCALE * gap_s, seed=len(centre.agents))


@cache
def right_run(system: str) -> Run:
    return run_of(centre_of(SYSTEMS[system]), CONTACTS)


def compare(run: Run, exact: Solved) -> list[Verdict]:
    """Waits by class, utilisation by pool, and how the work of each class is shared among the pools."""
    batches = Batches(run, warm_up_s=20 * SERVICE_S, count=30)
    streams = range(len(run.centre.streams))
    controls = [*(batches.draws([number]) for number in streams), batches.single(len(run.centre.agents))]
    comparisons = [each for number in streams for each in waits(batches, number, exact, controls)]
    for pool, utilisation in exact.utilisation.items():
        busy = batches.busy(agents_of(run.centre, pool))
        comparisons.append(Comparison(f"{pool}: utilisation", utilisation, busy, controls))
    comparisons += [each for number in streams for each in shares(batches, number, exact, controls)]
    return judge(comparisons)


def waits(batches: Batches, number: int, exact: Solved, controls: Sequence[Floats]) -> Iterator[Comparison]:
    stream = batches.run.centre.streams[number]
    name = stream.name

    def nobody_behind(visit: Visit) -> float:
        return exp(-visit.wait / 1000 / stream.gap_s)

    waited = batches.mean(lambda visit: visit.wait > 0, [number])
    yield Comparison(f"{name}: probability of waiting", exact.wait_probability[name], waited, controls)
    wait_s = batches.mean(lambda visit: visit.wait / 1000, [number])
    yield Comparison(f"{name}: mean wait, s", exact.mean_wait[name] * SERVICE_S, wait_s, controls)
    behind = batches.mean(nobody_behind, [number])
    yield Comparison(f"{name}: nobody comes behind", exact.nobody_behind[name], behind, controls)


def shares(batches: Batches, number: int, exact: Solved, controls: Sequence[Floats]) -> Iterator[Comparison]:
    """Of a class, what each pool serves; of the last one it is known from the others."""
    stream = batches.run.centre.streams[number]
    for pool in [each for each in exact.utilisation if (stream.name, each) in exact.matches][:-1]:
        agents = frozenset(agents_of(batches.run.centre, pool))

        def taken(visit: Visit, agents: frozenset[str] = agents) -> float:
            return visit.agent_id in agents

        share = exact.matches[stream.name, pool] * len(agents) * stream.gap_s / SERVICE_S
        yield Comparison(f"{stream.name}: share of {pool}", share, batches.mean(taken, [number]), controls)


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_waits_and_work_are_as_the_chain_has_them(system: str, record_property: Callable[[str, object], None]) -> None:
    exact = solved(system)
    assert exact.lost < 1 / 3_000, "too much is cut off"
    verdicts = compare(right_run(system), exact)
    report(verdicts, record_property)
    assert [] == outside(verdicts)
    for each in verdicts:
        assert each.width < (0.3 if "mean wait" in each.what else 0.15), each.what


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_contact_goes_when_and_to_whom_the_plain_rule_sends_it(system: str) -> None:
    """Contact by contact, to the millisecond: there is no noise in this one."""
    run = right_run(system)
    assert plain_rule(run) == [(each.offered_at, each.agent_id) for each in run.visits]


def plain_rule(run: Run) -> list[tuple[int, str]]:
    """First come first served, the longest idle first, as it is read: everyone is looked at every time."""
    skills = {each.id: each.skills for each in run.centre.agents}
    needs = [{each.tag for each in stream.tags} for stream in run.centre.streams]
    idle = {each.id: (0, each.id) for each in run.centre.agents}
    waiting: list[int] = []
    found: dict[int, tuple[int, str]] = {}
    heap: list[tuple[float, int, str]] = [(each.arrived_at, number, "") for number, each in enumerate(run.visits)]
    heapify(heap)
    while heap:
        at, number, agent_id = heappop(heap)
        if agent_id:
            idle[agent_id] = (int(at), agent_id)
        else:
            waiting.append(number)
        for first in waiting:
            visit = run.visits[first]
            able = [each for each in idle if needs[visit.stream] <= skills[each].keys()]
            if able:
                chosen = min(able, key=idle.__getitem__)
                found[first] = (int(at), chosen)
                heappush(heap, (at + visit.work * run.centre.pace[chosen], first, chosen))
                waiting.remove(first)
                del idle[chosen]
                break  # one agent came free, or one contact came: there is no second match
    return [found[each] for each in range(len(run.visits))]


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_serving_the_last_comer_first_would_be_noticed(system: str) -> None:
    centre = replace(centre_of(SYSTEMS[system]), order="last_come")
    verdicts = compare(run_of(centre, CONTACTS_OF_WRONG_POLICIES), solved(system))
    assert outside(verdicts)


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_choosing_agents_by_anything_but_idleness_would_be_noticed(system: str) -> None:
    """Every contact would rather have one pool: work goes there first, and waits and shares change."""
    centre = centre_of(SYSTEMS[system])
    favoured = centre.agents[-1].id.rsplit("-", 1)[0]
    wish = TagRequest("wish", required=False, weight=1)
    wrong = replace(
        centre,
        streams=tuple(replace(each, tags=(*each.tags, wish)) for each in centre.streams),
        agents=tuple(
            replace(each, skills={**each.skills, "wish": 1}) if each.id.startswith(f"{favoured}-") else each
            for each in centre.agents
        ),
    )
    verdicts = compare(run_of(wrong, CONTACTS_OF_WRONG_POLICIES), solved(system))
    assert outside(verdicts)
