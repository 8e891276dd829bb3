"""Tenants spread evenly over the processes that stay, and never wander without need."""

import random

import pytest

from src.dispatch.balance import plan
from src.dispatch.ports import Process, Survey


def world(processes: int, tenants: int, owners: dict[str, str | None] | None = None) -> Survey:
    live = {f"p{each}": Process(f"p{each}", f"http://p{each}") for each in range(processes)}
    return Survey(live, {f"t{each:03d}": None for each in range(tenants)} | (owners or {}))


def turn(survey: Survey, me: str) -> Survey:
    """What has become of everything when a process has done what it should."""
    served = [tenant for tenant, owner in survey.owners.items() if owner == me]
    found = plan(survey, me, served)
    owners = dict(survey.owners)
    for tenant in found.claim:
        if owners[tenant] not in survey.live:
            owners[tenant] = me
    owners.update(found.hand)
    return Survey(survey.live, owners)


@pytest.mark.parametrize("seed", range(50))
def test_it_settles_evenly_and_stays_so(seed: int) -> None:
    rng = random.Random(seed)
    processes, tenants = rng.randint(1, 6), rng.randint(0, 60)
    names = [f"p{each}" for each in range(processes)]
    survey = world(processes, tenants)
    owners = {each: rng.choice([*names, "dead", None]) for each in survey.owners}
    survey = Survey(survey.live, owners)
    for _ in range(12):
        for me in rng.sample(names, len(names)):
            survey = turn(survey, me)
    counts = [list(survey.owners.values()).count(each) for each in names]
    assert tenants == sum(counts), "somebody serves every tenant"
    assert max(counts) - min(counts) <= 1
    for me in names:
        assert survey == turn(survey, me), "nothing moves any more"


def test_one_that_leaves_gives_everything_away_and_takes_nothing() -> None:
    survey = world(3, 10, {f"t{each:03d}": "p0" for each in range(7)})
    survey = Survey({**survey.live, "p0": Process("p0", "http://p0", draining=True)}, survey.owners)
    found = plan(survey, "p0", [f"t{each:03d}" for each in range(7)])
    assert not found.claim
    assert 7 == len(found.hand)
    assert {"p1": 4, "p2": 3} == {each: [to for _, to in found.hand].count(each) for each in ("p1", "p2")}


def test_nothing_is_handed_to_whom_nobody_reaches_or_who_cannot_read_it() -> None:
    live = {
        "p0": Process("p0", "http://p0", version=3),
        "old": Process("old", "http://old", version=2),
        "alone": Process("alone", None, version=3),
        "leaves": Process("leaves", "http://leaves", draining=True, version=3),
    }
    survey = Survey(live, {f"t{each}": "p0" for each in range(9)})
    assert not plan(survey, "p0", list(survey.owners)).hand


def test_one_that_has_lapsed_does_nothing() -> None:
    survey = world(2, 4)
    found = plan(survey, "p9", ["t000"])
    assert not found.claim
    assert not found.hand


def test_what_was_handed_here_is_claimed_whatever_the_share() -> None:
    survey = world(2, 4, {"t000": "p0", "t001": "p0", "t002": "p0", "t003": "p1"})
    assert ("t000", "t001") == tuple(plan(survey, "p0", ["t002"]).claim)


def test_what_only_a_newer_release_can_read_is_left_alone() -> None:
    survey = world(1, 3)
    assert ["t000", "t002"] == list(plan(survey, "p0", [], beyond=["t001"]).claim)


def test_one_that_leaves_also_gives_away_what_it_has_no_loop_for() -> None:
    survey = world(2, 3, {"t000": "p0", "t001": "p0", "t002": "p0"})
    survey = Survey({**survey.live, "p0": Process("p0", "http://p0", draining=True)}, survey.owners)
    assert {"t000", "t001", "t002"} == {tenant for tenant, _ in plan(survey, "p0", ["t001"]).hand}
