"""One pool of equal agents: the engine against Erlang-C and Erlang-A.

Each comparison is a confidence interval that must hold the exact value and be narrow, and the same intervals must not
hold the values of a centre with an agent fewer or more. A line that serves the last comer first has the same mean wait
(no order that looks at nobody's service time changes it), but not the same share of long waits: that tells the orders
apart.
"""

from collections.abc import Callable
from functools import cache
from heapq import heapify, heapreplace

import pytest

from src.router.model import AgentConfig
from tests.theory.estimate import Batches, Comparison, Verdict, judge, outside, report
from tests.theory.exact import OnePool, one_pool
from tests.theory.simulation import SCALE, Centre, Order, Run, Stream, Visit, simulate
from tests.theory.systems import SERVICE_S

ANSWER_S = 20.0
"""Erlang-C is also asked for the share that waits longer: what a service level is made of."""

PATIENCE_S = 240.0

ERLANG_C = {5: (3.5, 10_000), 10: (8.0, 10_000), 50: (44.0, 30_000)}
"""Agents: the load in contacts at a time, and how many contacts come. Large centres change slowly: they take more."""


@cache
def run_of(
    agents: int, load: float, contacts: int, patience_s: float | None = None, order: Order = "first_come"
) -> Run:
    """Contacts that any of the agents can serve, 180 seconds each on average."""
    gap_s = SERVICE_S / load
    staff = tuple(AgentConfig(f"agent-{each:03d}") for each in range(agents))
    centre = Centre((Stream("any", gap_s, SERVICE_S, patience_s),), staff, order=order)
    return simulate(centre, contacts * SCALE * gap_s, seed=agents)


def batches_of(run: Run) -> Batches:
    return Batches(run, warm_up_s=20 * SERVICE_S, count=20)


def waited(visit: Visit) -> float:
    return visit.wait > 0


def wait_s(visit: Visit) -> float:
    return visit.wait / 1000


def waited_long(visit: Visit) -> float:
    return visit.wait > ANSWER_S * 1000


def abandoned(visit: Visit) -> float:
    return visit.abandoned


def answered_after_s(visit: Visit) -> float:
    return 0.0 if visit.abandoned else visit.wait / 1000


def erlang_c(run: Run, exact: OnePool) -> list[Verdict]:
    """A run against the values of a centre: that in which it took place, or another."""
    batches, agents = batches_of(run), run.centre.agents
    draws, crowd, single = batches.draws(), batches.crowd(len(agents)), batches.single(len(agents))
    return judge(
        [
            Comparison("probability of waiting", exact.wait_probability, batches.mean(waited), [draws, crowd]),
            Comparison("mean wait, s", exact.mean_wait, batches.mean(wait_s), [draws, single]),
            Comparison(
                "share waiting more than 20 s", exact.later_than(ANSWER_S), batches.mean(waited_long), [draws, crowd]
            ),
            Comparison("utilisation", exact.utilisation, batches.busy([each.id for each in agents]), [draws]),
        ]
    )


def erlang_a(run: Run, exact: OnePool) -> list[Verdict]:
    batches = batches_of(run)
    controls = [batches.draws(), batches.crowd(len(run.centre.agents))]
    return judge(
        [
            Comparison(what, value, batches.mean(measure), controls)
            for what, value, measure in (
                ("probability of waiting", exact.wait_probability, waited),
                ("share that gives up", exact.abandoned, abandoned),
                ("mean wait of all, s", exact.mean_wait, wait_s),
                ("wait until the answer, over all, s", exact.wait_of_answered, answered_after_s),
            )
        ]
    )


def c_exact(agents: int, load: float) -> OnePool:
    return one_pool(agents, load / SERVICE_S, 1 / SERVICE_S)


@pytest.mark.parametrize("agents", list(ERLANG_C))
def test_waiting_is_as_erlang_c_has_it(agents: int, record_property: Callable[[str, object], None]) -> None:
    load, contacts = ERLANG_C[agents]
    run = run_of(agents, load, contacts)
    verdicts = erlang_c(run, c_exact(agents, load))
    report(verdicts, record_property)
    assert [] == outside(verdicts)
    widths = {each.what: each.width for each in verdicts}
    assert widths["probability of waiting"] < 0.12
    assert widths["mean wait, s"] < 0.35
    assert widths["share waiting more than 20 s"] < 0.3
    assert widths["utilisation"] < 0.02
    # An interval that would hold anything proves nothing: one agent more or fewer is another centre.
    for others in (agents - 1, agents + 1):
        assert outside(erlang_c(run, c_exact(others, load))), f"{agents} agents pass for {others}"


@pytest.mark.parametrize("agents", list(ERLANG_C))
def test_every_contact_waits_as_long_as_in_the_line_that_the_theory_is_about(agents: int) -> None:
    """Contact by contact: the recursion of J. Kiefer and J. Wolfowitz, "On the theory of queues with many servers"
    (1955). Whoever comes first takes the agent that is free first. To the millisecond, since both round down.
    """
    run = run_of(agents, *ERLANG_C[agents])
    free_at = [0.0] * agents
    heapify(free_at)
    for visit in run.visits:
        start = max(free_at[0], visit.arrived_at)
        assert visit.offered_at == int(start)
        heapreplace(free_at, start + visit.work)


@pytest.mark.parametrize("order", ["last_come", "random"])
def test_another_order_would_be_noticed(order: Order) -> None:
    agents, (load, _) = 5, ERLANG_C[5]
    verdicts = erlang_c(run_of(agents, load, 5_000, order=order), c_exact(agents, load))
    assert ["share waiting more than 20 s"] == outside(verdicts)


def test_giving_up_is_as_erlang_a_has_it(record_property: Callable[[str, object], None]) -> None:
    """Ten agents for eleven contacts at a time, each of whom waits four minutes at most on average."""
    agents, load = 10, 11.0
    run = run_of(agents, load, 8_000, PATIENCE_S)
    verdicts = erlang_a(run, one_pool(agents, load / SERVICE_S, 1 / SERVICE_S, 1 / PATIENCE_S))
    report(verdicts, record_property)
    assert [] == outside(verdicts)
    assert all(each.width < 0.15 for each in verdicts)
    for others in (agents - 1, agents + 1):
        assert outside(erlang_a(run, one_pool(others, load / SERVICE_S, 1 / SERVICE_S, 1 / PATIENCE_S)))
    assert outside(erlang_a(run, one_pool(agents, load / SERVICE_S, 1 / SERVICE_S, 0.8 / PATIENCE_S)))


def test_another_order_would_be_noticed_where_customers_give_up() -> None:
    agents, load = 10, 11.0
    exact = one_pool(agents, load / SERVICE_S, 1 / SERVICE_S, 1 / PATIENCE_S)
    verdicts = erlang_a(run_of(agents, load, 5_000, PATIENCE_S, "last_come"), exact)
    assert ["wait until the answer, over all, s"] == outside(verdicts)
