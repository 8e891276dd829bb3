"""The exact values themselves: chains against closed formulas, and against simpler chains of the same system."""

from itertools import pairwise
from math import exp, factorial, isclose

import numpy as np
import pytest
from scipy.stats import poisson

from tests.theory.exact import Pool, Skills, all_moves, one_pool, product_form, solve, solve_plainly
from tests.theory.systems import N_MODEL, THREE_BY_THREE

SYSTEMS = pytest.mark.parametrize("skills", [N_MODEL, THREE_BY_THREE], ids=["n-model", "three-by-three"])


@pytest.mark.parametrize(("agents", "load"), [(1, 0.5), (5, 3.5), (10, 8.0), (50, 44.0)])
def test_one_pool_gives_erlangs_formulas(agents: int, load: float) -> None:
    all_busy = load**agents / factorial(agents) * agents / (agents - load)
    erlang_c = all_busy / (sum(load**each / factorial(each) for each in range(agents)) + all_busy)
    service = 1 / 180
    found = one_pool(agents, load * service, service)
    assert isclose(erlang_c, found.wait_probability, rel_tol=1e-9)
    assert isclose(erlang_c * 180 / (agents - load), found.mean_wait, rel_tol=1e-9)
    assert isclose(erlang_c * exp(-(agents - load) * 20 / 180), found.later_than(20), rel_tol=1e-9)
    assert isclose(load / agents, found.utilisation, rel_tol=1e-9)


def test_who_gives_up_as_quickly_as_agents_serve_never_notices_how_many_agents_there_are() -> None:
    agents, load = 10, 11.0
    found = one_pool(agents, load, 1.0, giving_up=1.0)
    np.testing.assert_allclose(poisson.pmf(np.arange(60), load), found.present[:60], atol=1e-12)
    beyond = sum(float(poisson.sf(each, load)) for each in range(agents, 100))
    assert isclose(beyond / load, found.abandoned, rel_tol=1e-9)


def test_the_wait_of_those_who_are_answered_is_erlangs_where_hardly_anybody_gives_up() -> None:
    assert isclose(one_pool(5, 3.5, 1.0).mean_wait, one_pool(5, 3.5, 1.0, 1e-9).wait_of_answered, rel_tol=1e-6)


def test_agents_with_the_same_skills_are_one_pool() -> None:
    found = solve(Skills({"any": 1.2}, {"all": Pool(frozenset({"any"}), 1.0, 3)}), waiting_max=40)
    one = one_pool(3, 1.2, 1.0)
    assert isclose(one.wait_probability, found.wait_probability["any"], rel_tol=1e-9)
    assert isclose(one.mean_wait, found.mean_wait["any"], rel_tol=1e-9)
    assert isclose(one.utilisation, found.utilisation["all"], rel_tol=1e-9)


@SYSTEMS
def test_forgetting_the_classes_of_those_who_wait_changes_nothing(skills: Skills) -> None:
    short, plain = solve(skills, waiting_max=5), solve_plainly(skills, waiting_max=5)
    for what in ("wait_probability", "mean_wait", "nobody_behind", "utilisation", "matches"):
        ours, theirs = getattr(short, what), getattr(plain, what)
        assert ours.keys() == theirs.keys()
        assert all(isclose(ours[each], theirs[each], rel_tol=1e-9) for each in ours), what
    assert isclose(short.lost, plain.lost, rel_tol=1e-9)


@SYSTEMS
def test_the_product_form_balances_every_state(skills: Skills) -> None:
    """For every state that the cut does not touch: what flows out by the theorem's weights, flows in."""
    lines = {skills.empty}
    frontier = [skills.empty]
    while frontier:
        reached = {each[0] for line in frontier for each in all_moves(skills, line, waiting_max=5)}
        frontier = list(reached - lines)
        lines |= reached
    flow_in = dict.fromkeys(lines, 0.0)
    flow_out = dict.fromkeys(lines, 0.0)
    for line in lines:
        for target, rate, _, _ in all_moves(skills, line, waiting_max=5):
            flow_in[target] += product_form(skills, line) * rate
            flow_out[line] += product_form(skills, line) * rate
    inner = [line for line in lines if sum(line.waiting) < 5]
    assert len(inner) > 100
    np.testing.assert_allclose([flow_out[each] for each in inner], [flow_in[each] for each in inner], rtol=1e-9)


@SYSTEMS
def test_the_longer_the_line_the_less_is_cut_off(skills: Skills) -> None:
    lost = [solve(skills, waiting_max=each).lost for each in (2, 4, 6, 8)]
    assert all(longer < 0.6 * shorter for shorter, longer in pairwise(lost))
