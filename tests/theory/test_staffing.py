"""How many agents a forecast asks for, against the stationary state of the birth-death chain itself."""

from math import isclose

import pytest

from src.router.model import ChannelLimit
from src.router.staffing import agents_needed, at_once, late, lines_needed
from tests.theory.exact import one_pool

HANDLING_S = 180.0


def exactly_late(agents: int, load: float, within_s: float) -> float:
    """The share that waits longer, from the balance equations."""
    return one_pool(agents, load / HANDLING_S, 1 / HANDLING_S).later_than(within_s)


@pytest.mark.parametrize(("agents", "load"), [(1, 0.3), (5, 3.5), (10, 8.0), (50, 44.0), (120, 105.0)])
def test_the_share_that_waits_too_long_is_that_of_the_balance_equations(agents: int, load: float) -> None:
    for within_s in (0.0, 20.0, 120.0):
        assert isclose(exactly_late(agents, load, within_s), late(agents, load, HANDLING_S, within_s), rel_tol=1e-6)


@pytest.mark.parametrize("percent", [50, 80, 95, 99])
@pytest.mark.parametrize("load", [0.05, 0.9, 3.5, 8.0, 44.0, 105.5])
def test_so_many_agents_reach_the_level_and_one_fewer_does_not(load: float, percent: int) -> None:
    agents = lines_needed(load, HANDLING_S, 20, percent)
    assert load < agents
    assert exactly_late(agents, load, 20) <= 1 - percent / 100
    if agents - 1 > load:
        assert exactly_late(agents - 1, load, 20) > 1 - percent / 100


def test_great_loads_take_little_more_agents_than_they_are() -> None:
    """Square-root staffing: where there are many, the reserve is a small multiple of the load's root."""
    for load in (10_000.0, 1_000_000.0):
        reserve = (lines_needed(load, HANDLING_S, 0.001, 80) - load) / load**0.5
        # Halfin and Whitt (1981): of all contacts one in five waits where the reserve is 1.06 roots of the load.
        assert isclose(1.06, reserve, abs_tol=0.02)


def test_no_work_takes_nobody_and_all_in_time_takes_what_999_in_1000_take() -> None:
    assert 0 == lines_needed(0, HANDLING_S, 20, 95) == agents_needed(0, HANDLING_S, 20, 95, 1)
    assert lines_needed(44, HANDLING_S, 20, 99.9) == lines_needed(44, HANDLING_S, 20, 100)


def test_who_has_several_contacts_at_a_time_counts_as_so_many() -> None:
    lines = lines_needed(44, HANDLING_S, 20, 95)
    assert -(-lines // 4) == agents_needed(44, HANDLING_S, 20, 95, 4)
    chats = ChannelLimit(25, 3)
    for channels, contacts, expected in (
        (None, {"webchat": 1}, 1),
        ({"webchat": chats}, {"webchat": 1}, 3),
        ({"webchat": ChannelLimit(50, 3)}, {"webchat": 1}, 2),
        ({"webchat": chats, "voice": ChannelLimit(100, 1)}, {"webchat": 3, "voice": 1}, 2.5),
        ({"webchat": chats}, {"webchat": 2, "voice": 8}, 3),
        ({"email": chats}, {"webchat": 1}, 1),
    ):
        assert expected == at_once(100, channels, contacts)
