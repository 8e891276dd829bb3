"""The hand-over between processes, checked in every order of events; and that the check notices what is broken."""

import os
from functools import partial

import pytest

from tests.model.checker import Found, search
from tests.model.handover import Budget, Rules, steps, wrong, wrong_at_rest

WHOLE = bool(os.environ.get("CORDBOARD_TEST_MODEL"))
STATES_MAX = 2_000_000

LAPSE = Budget(crashes=0, lapses=1, losses=0, moves=0, drains=0)
CRASH = Budget(crashes=1, lapses=0, losses=0, moves=0, drains=0)
MOVE = Budget(crashes=0, lapses=0, losses=0, moves=1, drains=0)

SHORT = {
    "a write, the owner's lease runs out and it returns": Rules(("write",), budget=LAPSE),
    "an agent connects, a process is killed": Rules(("connect",), budget=CRASH),
    "an agent is there, a lease runs out and its process returns": Rules(
        ("return 0", "return 1"), connected=0, budget=LAPSE
    ),
    "an agent is there, a lease runs out twice": Rules(
        ("return 0", "return 1"), connected=0, budget=Budget(crashes=0, lapses=2, losses=0, moves=0, drains=0)
    ),
    "an agent is there, a lease runs out and a process is killed": Rules(
        ("return 0", "return 1"), connected=0, budget=Budget(crashes=1, lapses=1, losses=0, moves=0, drains=0)
    ),
    "an agent is there, a lease runs out and a commit's connection is lost": Rules(
        ("return 0", "return 1"), connected=0, budget=Budget(crashes=0, lapses=1, losses=1, moves=0, drains=0)
    ),
    "an agent is there, a lease runs out while the tenant moves": Rules(
        ("return 0", "return 1"), connected=0, budget=Budget(crashes=0, lapses=1, losses=0, moves=1, drains=0)
    ),
}
LONG = {
    "a write among three processes, a lease runs out": Rules(("write",), processes=3, budget=LAPSE),
    "a write, a lease runs out and a process is killed": Rules(
        ("write",), budget=Budget(crashes=1, lapses=1, losses=0, moves=0, drains=0)
    ),
    "an agent connects, a lease runs out and its process returns": Rules(
        ("connect", "return 0", "return 1"), budget=LAPSE
    ),
    "a write and a question, a process is told to stop": Rules(
        budget=Budget(crashes=0, lapses=0, losses=0, moves=0, drains=1)
    ),
    "a write and a question, a commit's connection is lost": Rules(
        budget=Budget(crashes=0, lapses=0, losses=1, moves=0, drains=0)
    ),
    # Allowed: the fence and the look at the head row keep it safe; ending the loop first only saves wasted work.
    "a write and a question, the tenant moves before its loop has ended": Rules(budget=MOVE, drain_first=False),
    "an agent connects twice, a process is killed": Rules(("connect", "connect"), budget=CRASH),
    "a write and a question, the tenant moves": Rules(budget=MOVE),
    "a write and a question, a process is killed": Rules(budget=CRASH),
    "a write, a commit's connection is lost and a process is killed": Rules(
        ("write",), budget=Budget(crashes=1, lapses=0, losses=1, moves=0, drains=0)
    ),
    "a write, a commit's connection is lost while the tenant moves": Rules(
        ("write",), budget=Budget(crashes=0, lapses=0, losses=1, moves=1, drains=1)
    ),
}

BROKEN = {
    "the fence is gone": (
        Rules(("write", "write"), budget=LAPSE, fence=False),
        "two processes have extended the same journal",
    ),
    "answers go out before the commit": (Rules(("write",), budget=CRASH, commit_first=False), "is not in the journal"),
    "orders that travel leave no record": (Rules(("write",), budget=MOVE, record=False), "in the journal twice"),
    "a lease that runs is enough to answer without a commit": (
        Rules(budget=LAPSE, look_at_head=False),
        "had been acknowledged",
    ),
    "sockets of dead processes are believed": (
        Rules(("connect",), budget=CRASH, forget_dead=False),
        "counts as present",
    ),
    "a process that returns does not vouch for its sockets": (
        Rules(("return 0", "return 1"), connected=0, budget=LAPSE, heed_presence=False),
        "the agent counts as gone",
    ),
}
SLOW_TO_BREAK = {"the fence is gone", "a lease that runs is enough to answer without a commit"}


def look(rules: Rules) -> Found:
    return search(
        rules.first(), partial(steps, rules), partial(wrong, rules), partial(wrong_at_rest, rules), STATES_MAX
    )


@pytest.mark.parametrize("name", [*SHORT, *(LONG if WHOLE else {})])
def test_nothing_is_wrong_in_any_order_of_events(name: str) -> None:
    found = look({**SHORT, **LONG}[name])
    print(f"\n{name}: {found.told()}")  # noqa: T201  # the result is what `make model` is for
    assert found.wrong is None, found.told()
    assert found.complete, found.told()


@pytest.mark.parametrize("name", [each for each in BROKEN if WHOLE or each not in SLOW_TO_BREAK])
def test_the_check_notices_what_is_broken(name: str) -> None:
    rules, expected = BROKEN[name]
    found = look(rules)
    print(f"\n{name}: {found.told()}")  # noqa: T201  # the result is what `make model` is for
    assert found.wrong is not None, found.told()
    assert expected in found.wrong, found.told()
