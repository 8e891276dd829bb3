"""Equal agents, a simulated day: each distribution keeps what it promises, choice by choice, and what comes of it.

A day is 2,400 calls, or 3,600 chats of which an agent has up to three at a time, for twenty agents; the same ones under
each distribution. The spread of work and of idle times is reported for each; `docs/fairness.svg` shows it. Pure chance
would give twenty agents 120 calls each with a variation of 9 %, and idle times with one of 100 %.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from src.router.model import Distribution, Weights
from tests.theory.estimate import show
from tests.theory.fairness import (
    AGENTS,
    DAY_S,
    DISTRIBUTIONS,
    MIX,
    Choice,
    Desk,
    Kind,
    centre_of,
    chart,
    choices,
    day_of,
    spread,
)
from tests.theory.simulation import Run, simulate

KINDS: Final[tuple[Kind, ...]] = ("calls", "chats")
EACH_KIND: Final = pytest.mark.parametrize("kind", KINDS)


def agents_of(run: Run) -> list[str | None]:
    """Whose each contact became."""
    return [each.agent_id for each in run.visits]


def idle(desk: Desk) -> tuple[int, str]:
    return (desk.idle_since, desk.agent_id)


def turn(desk: Desk) -> tuple[int, str]:
    return (desk.turn_at, desk.agent_id)


def least(desk: Desk) -> tuple[int, int, str]:
    return (desk.contacts, *idle(desk))


def best(desk: Desk) -> tuple[int, int, str]:
    return (-desk.level, *idle(desk))


def always(run: Run, order: Callable[[Desk], tuple[object, ...]]) -> bool:
    """Whether every choice was the first in this order."""
    found = list(choices(run))
    assert len(found) > len(run.visits) / 2, "there is somebody to choose among most of the time"
    return all(each.chosen == min(each.desks, key=order) for each in found)


@EACH_KIND
@pytest.mark.parametrize("distribution", list(DISTRIBUTIONS))
def test_a_day_is_shared_out(
    distribution: Distribution, kind: Kind, record_property: Callable[[str, object], None]
) -> None:
    found = spread(day_of(distribution, kind))
    show(f"{distribution}, {kind}", found, record_property)
    assert AGENTS == len(found.contacts)
    assert found.contacts_cv < 0.09, "no better than chance"


@EACH_KIND
def test_longest_idle_asks_whoever_has_rested_longest(kind: Kind) -> None:
    assert always(day_of("longest_idle", kind), idle)


@EACH_KIND
def test_round_robin_asks_whoever_had_its_turn_longest_ago(kind: Kind) -> None:
    assert always(day_of("round_robin", kind), turn)


@EACH_KIND
def test_least_loaded_asks_whoever_holds_least(kind: Kind) -> None:
    assert always(day_of("least_loaded", kind), least)


@EACH_KIND
def test_best_skilled_asks_whoever_has_rested_longest_among_equals(kind: Kind) -> None:
    assert agents_of(day_of("longest_idle", kind)) == agents_of(day_of("best_skilled", kind))


def test_best_skilled_prefers_the_better_ones() -> None:
    levels = dict.fromkeys(range(0, AGENTS, 2), 90)
    run = simulate(centre_of("best_skilled", levels=levels), DAY_S / 2, seed=1)
    assert always(run, best)
    found = spread(run).contacts
    experts = [found[f"agent-{number:02d}"] for number in levels]
    assert min(experts) > max(count for agent_id, count in found.items() if int(agent_id[-2:]) not in levels)


def test_where_nobody_is_busy_at_its_turn_round_robin_gives_everyone_the_same() -> None:
    run = simulate(centre_of("round_robin", load=0.05), DAY_S, seed=1)
    counts = spread(run).contacts.values()
    assert sum(counts) > 5 * AGENTS
    assert max(counts) - min(counts) <= 1


def test_longest_idle_gives_the_most_even_rest_and_round_robin_the_more_even_work() -> None:
    by_idle, by_turn = spread(day_of("longest_idle", "calls")), spread(day_of("round_robin", "calls"))
    assert by_idle.gaps_cv < 0.75 * by_turn.gaps_cv
    assert max(by_idle.gaps_s) < max(by_turn.gaps_s)
    assert by_turn.contacts_cv < 0.75 * by_idle.contacts_cv


def test_under_least_loaded_a_chat_shares_its_agent_with_fewer_others() -> None:
    def others(distribution: Distribution) -> float:
        found = list(choices(day_of(distribution, "chats")))
        return sum(each.chosen.contacts for each in found) / len(found)

    assert others("least_loaded") < 0.7 * min(others("longest_idle"), others("round_robin"))


@pytest.mark.parametrize(
    ("weights", "order"),
    [(Weights(idle=1), idle), (Weights(idle=0, turn=1), turn)],
    ids=["idle", "turn"],
)
def test_a_mix_of_one_is_that_one(weights: Weights, order: Callable[[Desk], tuple[object, ...]]) -> None:
    assert always(simulate(centre_of("weighted", weights), DAY_S / 4, seed=1), order)


@EACH_KIND
def test_a_mix_asks_whoever_is_worth_most(kind: Kind) -> None:
    """A minute idle, a minute since the last turn, a percent of free capacity, a level: each 1, times its weight."""

    def worth(choice: Choice, desk: Desk) -> float:
        rest, wait = ((choice.at - since) / 60_000 for since in (desk.idle_since, desk.turn_at))
        return MIX.idle * rest + MIX.turn * wait + MIX.load * 100 * desk.free + MIX.skill * desk.level

    for each in choices(day_of("weighted", kind)):
        assert worth(each, each.chosen) >= max(worth(each, desk) for desk in each.desks) - 1e-6


def test_the_chart_shows_these_days() -> None:
    """Written anew by `python -m tests.theory.fairness > docs/fairness.svg`."""
    assert chart() == (Path(__file__).parents[2] / "docs" / "fairness.svg").read_text()
