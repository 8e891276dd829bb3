"""When customers are left in peace: quiet hours, and how often they may be turned to."""

from typing import Any

import pytest

from src.errors import Malformed
from src.router import commands as c
from src.router import restraint
from src.router.model import Hours, Overflow, Restraint, Step
from tests.support.centre import Centre

MINUTE = 60
EVERY_DAY = range(7)
START = 1_000_000
"""00:16:40 on the first of January 1970, where the centre's clock begins."""


def daily(*spans: tuple[int, int], zone: str = "UTC") -> Hours:
    return Hours(zone, dict.fromkeys(EVERY_DAY, spans))


def at(minutes: float) -> int:
    return int(minutes * 60_000)


@pytest.fixture
def centre() -> Centre:
    found = Centre()
    found.settings(restraint=Restraint(daily((20, 40))))
    found.queue(within_s=600, max_wait_s=60, overflow=Overflow("callback", callback_after_s=120))
    return found


def promised(centre: Centre, name: str = "x", **more: Any) -> None:
    """Somebody who is told, at 00:17:40, that it is called back at 00:19:40."""
    centre.contact(name, **more)
    centre.later(60)
    assert "parked" == centre.state(name)


# -- promised call-backs -----------------------------------------------------------------------------------------------


def test_a_call_back_that_would_fall_into_quiet_hours_comes_when_they_end(centre: Centre) -> None:
    centre.queue(max_wait_s=60, overflow=Overflow("callback", callback_after_s=300))
    promised(centre)
    centre.agent("a")
    centre.later(22 * MINUTE + 19)
    assert "parked" == centre.state("x")
    assert "contact.offered" in centre.later(1)
    assert at(40) == centre.now


def test_a_call_back_that_waits_when_quiet_hours_begin_waits_until_they_end(centre: Centre) -> None:
    promised(centre)
    centre.later(2 * MINUTE)
    assert "waiting" == centre.state("x"), "it is back, and nobody is there"
    centre.later(MINUTE)
    centre.agent("a")
    assert centre.holder("x") is None
    explained = centre.engine.explain_contact("x", centre.now)
    assert (False, "quiet") == (explained["open"], explained["queue_is"])
    assert centre.contact("y"), "who comes itself is served at any hour"
    centre.accept("y")
    centre.later(19 * MINUTE + 19)
    assert centre.holder("x") is None
    centre.later(1)
    assert "a" == centre.holder("x")


def test_the_trace_of_one_that_is_back_in_quiet_hours_says_so(centre: Centre) -> None:
    promised(centre)
    centre.settings(restraint=Restraint(daily((18, 40))))
    centre.agent("a")
    centre.now = at(19.7)
    traces = centre.engine.decide(c.Tick(), centre.now).traces
    ((name, _, trace),) = traces
    assert ("x", "resumed", "quiet") == (name, trace["decision"], trace["then"]["queue_is"])


def test_no_clock_of_a_call_back_runs_while_it_is_quiet(centre: Centre) -> None:
    centre.queue(
        within_s=600, max_wait_s=60, steps=(Step(300, priority=10),), overflow=Overflow("callback", callback_after_s=30)
    )
    promised(centre)
    centre.later(22 * MINUTE + 20 - 1)
    assert not centre.told("sla.breached", "sla.warning", "contact.relaxed")
    centre.later(15 * MINUTE)
    assert centre.told("sla.breached")
    assert centre.told("contact.relaxed")
    assert all(each.at >= at(40) for each in centre.told("sla.breached", "sla.warning", "contact.relaxed"))


@pytest.mark.parametrize("urgent", [False, True])
def test_a_follow_up_that_nobody_has_taken_when_quiet_hours_begin_waits_for_their_end(
    centre: Centre, urgent: bool
) -> None:
    centre.queue()
    centre.agent("a")
    centre.contact("x", outbound=True, responsible_id="a", urgent=urgent)
    assert "a" == centre.holder("x"), "it begins before"
    centre.do(c.SetPresence("a", "offline"))
    centre.later(4 * MINUTE)
    centre.agent("b")
    assert ("b" if urgent else None) == centre.holder("x")
    flags = [each.data["flag"] for each in centre.told("contact.flagged")]
    assert ([] if urgent else ["outreach"]) == flags
    if not urgent:
        assert "quiet" == centre.engine.explain_contact("x", centre.now)["queue_is"]
        centre.now = at(40) - 1
        centre.do(c.Tick())
        assert centre.holder("x") is None
        centre.now = at(40)
        centre.do(c.Tick())
        assert "b" == centre.holder("x")


def test_whoever_writes_to_a_follow_up_in_quiet_hours_is_answered(centre: Centre) -> None:
    centre.queue()
    centre.agent("a")
    centre.contact("x", outbound=True, responsible_id="a")
    centre.do(c.SetPresence("a", "offline"))
    centre.later(4 * MINUTE)
    centre.agent("b")
    centre.do(c.Message("x", "m1", "text"))
    assert "b" == centre.holder("x")


def test_whoever_writes_in_quiet_hours_is_answered(centre: Centre) -> None:
    promised(centre)
    centre.settings(restraint=Restraint(daily((18, 60))))
    centre.agent("a")
    centre.later(MINUTE)
    assert "parked" == centre.state("x")
    centre.do(c.Message("x", "m1", "text"))
    assert "a" == centre.holder("x")
    assert ["callback", "came_back"] == [each.data["flag"] for each in centre.told("contact.flagged")]


def test_whoever_writes_while_its_call_back_is_held_is_answered(centre: Centre) -> None:
    promised(centre)
    centre.later(4 * MINUTE)
    centre.agent("a")
    assert ("waiting", None) == (centre.state("x"), centre.holder("x"))
    centre.do(c.Message("x", "m1", "text"))
    assert "a" == centre.holder("x")


def test_a_supervisor_may_have_it_made_and_no_quiet_hours_hold_it_back_once_they_are_lifted(centre: Centre) -> None:
    for name in ("x", "y"):
        centre.contact(name)
    centre.later(4 * MINUTE)
    centre.agent("a")
    assert (None, None) == (centre.holder("x"), centre.holder("y"))
    centre.do(c.Pin("x", "a", by="s"))
    assert ("a", None) == (centre.holder("x"), centre.holder("y"))
    centre.settings()
    assert "a" == centre.holder("y")


def test_quiet_hours_that_are_none_are_refused(centre: Centre) -> None:
    for wrong in (daily((30, 1500)), Hours("Nowhere/Land", {0: ((1, 2),)}), daily((0, 60), (30, 90))):
        with pytest.raises(Malformed):
            centre.settings(restraint=Restraint(wrong))


# -- hours and quiet hours together ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opens", "quiet", "since", "expected"),
    [
        (None, None, 30, 30),
        (None, daily((20, 40)), 10, 10),
        (None, daily((20, 40)), 20, 40),
        (daily((30, 60)), daily((20, 40)), 10, 40),
        (daily((30, 60)), daily((20, 60)), 10, 1440 + 30 + 30 - 60 + 1440 * 999),
        (daily((1320, 120)), daily((60, 1380)), 60, 1380),
    ],
)
def test_what_is_open_and_not_quiet(opens: Hours | None, quiet: Hours | None, since: int, expected: int) -> None:
    found = restraint.next_opening(opens, quiet, at(since))
    assert found == (at(expected) if expected < 1440 * 999 else None)


def test_time_counts_while_it_is_open_and_not_quiet() -> None:
    opens, quiet = daily((0, 30), (50, 70)), daily((20, 60))
    assert at(20) == restraint.after(opens, quiet, at(10), at(10))
    assert at(61) == restraint.after(opens, quiet, at(10), at(11))
    assert at(1440 + 5) == restraint.after(opens, quiet, at(10), at(25))
    assert at(10) == restraint.after(opens, daily((0, 0)), at(10), 0)
    assert restraint.after(opens, daily((0, 0)), at(10), 1) is None
    assert at(51) == restraint.after(opens, None, at(29), at(2))
    assert at(31) == restraint.after(None, None, at(29), at(2))


# -- how often ---------------------------------------------------------------------------------------------------------

TWO_AN_HOUR = Restraint(daily((0, 60)), 2, 3_600)


@pytest.mark.parametrize(
    ("rules", "now", "outreaches", "expected"),
    [
        (Restraint(), 100, [99, 99, 99], None),
        (TWO_AN_HOUR, 100, [], None),
        (TWO_AN_HOUR, 100, [99], None),
        (TWO_AN_HOUR, 100, [30, 40], None),
        (TWO_AN_HOUR, 100, [80, 90], ("too_many_outreaches", 140)),
        (TWO_AN_HOUR, 100, [90, 70, 80], ("too_many_outreaches", 140)),
        (TWO_AN_HOUR, 1439, [1400, 1430], ("too_many_outreaches", 1500)),
        (TWO_AN_HOUR, 30, [], ("quiet_hours", 60)),
        (TWO_AN_HOUR, 30, [20, 25], ("quiet_hours", 80)),
        (Restraint(daily((0, 0))), 30, [], ("quiet_hours", None)),
    ],
)
def test_a_customer_is_turned_to_so_often(
    rules: Restraint, now: int, outreaches: list[int], expected: tuple[str, int | None] | None
) -> None:
    found = restraint.hold(rules, at(now), [at(each) for each in outreaches])
    if expected is None:
        assert found is None
    else:
        reason, until = expected
        assert (reason, None if until is None else at(until)) == found
        if until is not None:
            assert restraint.hold(rules, at(until), [at(each) for each in outreaches]) is None
            assert restraint.hold(rules, at(until) - 1, [at(each) for each in outreaches]) is not None
