"""What the index promises beside right answers: that they stay cheap as it grows, and that nothing piles up.

Cost is counted in heads that a walk passes, not in time, so that the tests say the same on every machine.
"""

from bisect import bisect_left, insort
from random import Random

import pytest

from src.router import index as index_module
from src.router import ordered
from src.router.answers import Standing
from src.router.fit import Ability, Need
from src.router.index import Index
from src.router.lines import MILESTONE_AFTER
from src.router.model import Weights

FREE = ("voice",)


def ability(*skills: str, level: int = 50, teams: tuple[str, ...] = ()) -> Ability:
    return Ability(frozenset((each, level) for each in skills), frozenset(teams), frozenset(FREE))


def need(*skills: str, level: int = 1) -> Need:
    return Need("voice", tuple((each, level) for each in sorted(skills)))


def staffed(profiles: int, each: int = 1, skill: str = "common") -> Index:
    """So many profiles, all with one skill in common; idle since the beginning, in order."""
    index = Index()
    for number in range(profiles * each):
        own = ability(skill, f"own{number % profiles}")
        index.put_agent(f"a{number:06d}", own, "available", FREE, Standing(number))
    return index


def steps(index: Index) -> int:
    return sum(each.heads.steps for each in index._rankings.values()) + index._waiting_heads.steps


def take(index: Index, wanted: Need, now: int) -> str:
    """The best agent for a need is busy for a moment, and then idle since now."""
    agent_id = index.candidates(index.signature(wanted), (), 1)[0].agent_id
    slot = index._slots[agent_id]
    index.put_agent(agent_id, slot.ability, "available", (), Standing(now, now, 1000))
    index.put_agent(agent_id, slot.ability, "available", FREE, Standing(now, now, 0))
    return agent_id


def test_an_agent_is_found_as_quickly_among_thousands_of_profiles() -> None:
    passed = []
    for profiles in (100, 5_000):
        index = staffed(profiles)
        take(index, need("common"), 1_000_000)
        before = steps(index)
        for now in range(100):
            take(index, need("common"), 1_000_001 + now)
        passed.append(steps(index) - before)
    assert [100, 100] == passed, "each time the first head suits"


def test_agents_that_nobody_asks_for_are_passed_once_and_not_by_each_question() -> None:
    """They have been idle longest, so that they stand in front of all that are asked for."""
    index = staffed(3_000)
    for number in range(300):
        index.put_agent(f"b{number}", ability("asked", f"x{number}"), "available", FREE, Standing(10_000 + number))
    take(index, need("asked"), 20_000)
    assert 3_000 < steps(index)
    before = steps(index)
    assert [f"b{each}" for each in range(1, 101)] == [take(index, need("asked"), 20_001 + each) for each in range(100)]
    assert steps(index) - before <= 200


def test_who_comes_in_front_of_a_bookmark_is_not_missed() -> None:
    index = staffed(3_000)
    for number in range(300):
        index.put_agent(f"b{number}", ability("asked", f"x{number}"), "available", FREE, Standing(10_000 + number))
    take(index, need("asked"), 20_000)
    index.put_agent("late", ability("asked", "late"), "available", FREE, Standing(5))
    index.put_agent("later", ability("asked", "later"), "available", FREE, Standing(7))
    assert ["late", "later", "b1"] == [
        each.agent_id for each in index.candidates(index.signature(need("asked")), (), 3)
    ]


def test_runners_up_are_given_as_far_as_they_are_near() -> None:
    index = staffed(200)
    for number in range(100):
        at = 10_000 if number else 0
        index.put_agent(f"b{number:02d}", ability("asked", f"x{number}"), "available", FREE, Standing(at))
    signature = index.signature(need("asked"))
    assert ["b00"] == [each.agent_id for each in index.candidates(signature, (), 3, sure=1)]
    assert steps(index) <= 2 * MILESTONE_AFTER
    assert ["b00", "b01", "b02"] == [each.agent_id for each in index.candidates(signature, (), 3)]


def test_contacts_that_nobody_can_take_cost_the_others_nothing() -> None:
    index = Index()
    for number in range(10_000):
        index.put_waiting((number, f"rare{number}"), need("rare"), "default")
    for number in range(2_000):
        index.put_waiting((number, f"own{number}"), need("rare", f"own{number}"), "default")
    index.put_waiting((99_999, "last"), need("common"), "default")
    index.put_agent("a", ability("common"), "available", FREE, Standing())
    assert (99_999, "last") == index.next_for("a", lambda _: False)
    assert 0 == steps(index), "one signature fits, and its head is looked up"


def test_contacts_named_for_others_are_not_passed() -> None:
    index = Index()
    for number in range(1_000):
        index.put_waiting((number, f"c{number}"), Need("voice", agents=(f"other{number}",)), "default")
    index.put_agent("a", ability("common"), "available", FREE, Standing())
    assert index.next_for("a", lambda _: False) is None
    assert 0 == steps(index)


def test_the_excluded_are_counted_by_reason() -> None:
    index = Index()
    index.put_agent("fits", ability("refund"), "available", FREE, Standing())
    index.put_agent("busy", ability("refund"), "available", (), Standing())
    index.put_agent("away", ability("refund"), "away", (), Standing())
    index.put_agent("weak", ability("refund", level=10), "available", FREE, Standing())
    index.put_agent("other", ability("logistics"), "offline", (), Standing())
    index.put_agent("chats", Ability(channels=frozenset({"webchat"})), "available", ("webchat",), Standing())
    index.put_agent("left-out", ability("refund"), "available", FREE, Standing())
    index.put_agent("declined", ability("refund"), "available", FREE, Standing())
    wanted = Need("voice", (("refund", 20),), not_agents=("left-out", "other"))
    assert {
        "channel": (1, "chats"),
        "skill_missing:refund": (1, "other"),
        "skill_level:refund": (1, "weak"),
        "away": (1, "away"),
        "no_capacity": (1, "busy"),
        "excluded": (1, "left-out"),
        "barred": (1, "declined"),
    } == {
        code: (count, example)
        for code, count, example in index.excluded(index.signature(wanted), {"declined", "away"}).reasons
    }


def test_with_many_profiles_the_excluded_are_counted_only_now_and_then_and_it_is_said() -> None:
    index = staffed(200)
    signature = index.signature(need("common"))
    ages, counts = [], []
    for number in range(8):
        counted = index.excluded(signature, ())
        ages.append(counted.age)
        counts.append(sum(count for _, count, _ in counted.reasons))
        index.put_agent(f"a{number:06d}", ability("common", f"own{number}"), "available", (), Standing())
    assert [0, 1, 2, 3, 0, 1, 2, 3] == ages
    assert [0, 0, 0, 0, 4, 4, 4, 4] == counts
    assert 8 == sum(count for _, count, _ in index.excluded(signature, (), anew=True).reasons)


def test_numbers_of_what_has_gone_are_given_out_again() -> None:
    index = Index()
    for number in range(20_000):
        index.put_agent("a", ability(f"skill{number}"), "available", FREE, Standing())
        index.put_waiting((number, "c"), need(f"skill{number}"), "default")
    assert (1, 1) == (len(index._profile_pages), len(index._profiles))
    assert len(index._signatures) <= index_module.EMPTY_SIGNATURES_MAX + 1
    assert 20_000 // index_module.EMPTY_SIGNATURES_MAX + 3 >= len(index._signature_pages)
    assert (19_999, "c") == index.next_for("a", lambda _: False)


def test_orders_that_are_no_longer_asked_for_are_dropped() -> None:
    index = staffed(10)
    for weight in range(1, index_module.RANKINGS_MAX + 4):
        found = index.candidates(index.signature(need("common")), (), 1, "weighted", Weights(idle=weight))
        assert ["a000000"] == [each.agent_id for each in found]
    assert index_module.RANKINGS_MAX == len(index._rankings)


def test_an_order_that_is_asked_for_late_holds_everybody() -> None:
    index = staffed(10)
    index.put_agent("a000003", ability("common", "own3"), "available", FREE, Standing(5, turn_at=-1))
    found = index.candidates(index.signature(need("common")), (), 10, "round_robin")
    assert ["a000003", *(f"a{each:06d}" for each in range(10) if each != 3)] == [each.agent_id for each in found]


def test_who_helps_may_be_busy_but_must_be_there() -> None:
    index = Index()
    index.put_agent("busy", ability("refund"), "available", (), Standing(0, 0, 1000))
    index.put_agent("away", ability("refund"), "away", (), Standing())
    helping = Need("", (("refund", 1),))
    assert "busy" == index.present_for(helping, ())
    assert index.present_for(helping, {"busy"}) is None
    assert index.candidates(index.signature(need("refund")), (), 1) == []


def test_many_entries_stand_in_order_in_blocks_that_part_and_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered, "BLOCK_MAX", 16)
    random, line = Random(7), object()  # the line is never compared
    kept = sorted((random.randrange(50), f"c{each}", line) for each in range(40))
    blocks = ordered.Blocks(list(kept))
    for number in range(1_500):
        grows = len(kept) < 5 or random.random() < (0.7 if number < 700 else 0.3)
        if grows:
            entry = (random.randrange(50), f"d{number}", line)
            insort(kept, entry)
            blocks.add(entry)
        else:
            blocks.remove(kept.pop(random.randrange(len(kept))))
        key = (random.randrange(-1, 52),)
        begin = bisect_left(kept, key)
        assert (len(kept), kept[0], kept[1], begin) == (len(blocks), blocks[0], blocks[1], blocks.before(key))
        assert kept[begin:] == list(blocks.since(key))
    assert kept == list(blocks)
    with pytest.raises(IndexError):
        blocks[len(kept)]
