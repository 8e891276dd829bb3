"""What a queue may be told to do: requirements and terms, steps, lengths and waits, hours, pause, trials."""

import pytest

from src.errors import InUse, Malformed
from src.router import commands as c
from src.router.model import (
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Step,
    TagRequest,
    Terms,
    Weights,
)
from tests.support.centre import Centre

MINUTE = 60


@pytest.fixture
def centre() -> Centre:
    return Centre()


# -- requirements, terms, distribution ---------------------------------------------------------------------------------


def test_every_required_tag_must_be_met_and_languages_are_skills(centre: Centre) -> None:
    centre.queue(split=False)
    centre.agent("half", skills={"refund": 50})
    centre.agent("english", skills={"refund": 50, "gold": 50}, languages=("en",))
    assert centre.contact("x", "refund", "gold", language="zh-CN") is None
    centre.agent("right", skills={"refund": 50, "gold": 50}, languages=("zh",))
    assert "right" == centre.holder("x")


def test_agents_and_teams_are_chosen_and_left_out_by_name(centre: Centre) -> None:
    centre.agent("front", teams=("front",))
    centre.agent("trainee", teams=("front", "trainees"))
    centre.agent("other")
    centre.contact("team", terms=Terms(teams=("front",), not_teams=("trainees",)))
    centre.contact("chosen", terms=Terms(agents=("other", "trainee"), not_agents=("trainee",)))
    assert ("front", "other") == (centre.holder("team"), centre.holder("chosen"))


def test_a_contact_for_one_who_is_deleted_says_so_and_is_found_when_it_is_configured_again(centre: Centre) -> None:
    centre.agent("x", "away")
    centre.agent("y")
    centre.contact("k", terms=Terms(agents=("x",)))
    [trace] = [each for of, _, each in centre.engine.decide(c.DeleteAgent("x"), centre.now).traces if of == "k"]
    assert "waiting" == trace["decision"]
    assert [("not_the_target", 1, None), ("deleted", 1, "x")] == [tuple(each.values()) for each in trace["excluded"]]
    centre.agent("x")
    assert "x" == centre.holder("k")


def test_a_contact_for_one_who_is_deleted_overflows_in_its_time(centre: Centre) -> None:
    centre.queue(max_wait_s=60, overflow=Overflow("close", reason="nobody"))
    centre.agent("x", "away")
    centre.contact("k", terms=Terms(agents=("x",)))
    centre.do(c.DeleteAgent("x"))
    centre.later(60)
    assert "closed" == centre.state("k")


def test_whoever_nobody_is_left_for_need_not_wait_until_all_others_are_looked_through(
    centre: Centre,
) -> None:
    centre.queue(split=False, steps=(Step(600, drop=("rare",)),))
    centre.agent("leaves", skills={"usual": 50, "rare": 50}, capacity=0)
    centre.agent("stays", skills={"usual": 50}, capacity=0)
    for number in range(1_000):
        centre.contact(f"u{number:04d}", "usual")
    centre.contact("z", "usual", "rare")
    centre.later(1)
    centre.do(c.SetPresence("leaves", "away"))
    centre.do(c.Tick())
    assert ["z"] == [each.contact_id for each in centre.told("contact.relaxed")]


@pytest.mark.parametrize(
    ("distribution", "weights", "expected"),
    [
        ("longest_idle", None, "idle"),
        ("least_loaded", None, "spare"),
        ("best_skilled", None, "expert"),
        ("round_robin", None, "spare"),
        ("weighted", Weights(idle=0, skill=1), "expert"),
        ("weighted", Weights(idle=0, load=1), "spare"),
    ],
)
def test_the_distribution_decides_among_those_that_fit(
    centre: Centre, distribution: str, weights: Weights | None, expected: str
) -> None:
    centre.queue(distribution=distribution, weights=weights)
    centre.agent("idle", skills={"refund": 30})
    centre.agent("expert", skills={"refund": 90}, status="away")
    centre.contact("first", "refund")
    centre.accept("first")
    centre.do(c.SetPresence("expert", "available"))
    centre.contact("second", "refund", terms=Terms(agents=("expert",)))
    centre.accept("second")
    centre.later(MINUTE)
    centre.do(c.Complete(centre.assignment_id("second") or ""))
    centre.active("third", "refund", terms=Terms(agents=("expert",)))
    centre.later(MINUTE)
    centre.agent("spare", skills={"refund": 30})
    centre.contact("x", "refund")
    assert expected == centre.holder("x")


# -- steps -------------------------------------------------------------------------------------------------------------


def test_steps_relax_what_is_asked_as_time_passes(centre: Centre) -> None:
    centre.agent("novice", skills={"refund": 20}, teams=("back",))
    centre.agent("expert", "available", skills={"refund": 90}, teams=("front",), capacity=0)
    centre.queue(teams=("front",), steps=(Step(30, lower={"refund": 10}, priority=60), Step(60, add_teams=("back",))))
    centre.do(c.Receive("x", "k", "chat", tags=(TagRequest("refund", level=50),)))
    assert "contact.relaxed" in centre.later(30)
    contact = centre.engine.state.contacts["x"]
    assert (1, 60, 10) == (contact.step, contact.priority, contact.requirements[0].level)
    assert centre.holder("x") is None, "of a team that may not take it yet"
    centre.later(30)
    assert "novice" == centre.holder("x")


def test_a_step_is_not_waited_for_where_nobody_present_could_fit(centre: Centre) -> None:
    centre.queue(steps=(Step(60, drop=("rare",)),))
    centre.agent("expert", skills={"rare": 50}, capacity=0)
    centre.agent("a")
    centre.contact("x", "rare")
    assert centre.holder("x") is None, "the expert is there, and has its hands full"
    centre.do(c.SetPresence("expert", "away"))
    centre.later(0)
    assert "a" == centre.holder("x")


def test_a_step_is_not_skipped_because_a_desktop_is_loaded_anew(centre: Centre) -> None:
    centre.settings(presence_grace_s=30)
    centre.queue(steps=(Step(600, drop=("rare",)),))
    centre.agent("expert", skills={"rare": 50}, capacity=0)
    centre.do(c.Connect("expert", "s1"))
    centre.agent("a")
    centre.contact("x", "rare")
    centre.do(c.Disconnect("expert", "s1"))
    centre.later(29)
    centre.do(c.Connect("expert", "s2"))
    centre.later(60)
    assert centre.holder("x") is None
    centre.do(c.Disconnect("expert", "s2"))
    centre.later(30)
    assert "a" == centre.holder("x")


def test_a_step_is_skipped_when_somebody_comes_who_fits_a_later_one(centre: Centre) -> None:
    centre.queue(steps=(Step(60, drop=("rare",)),))
    centre.contact("x", "rare")
    centre.agent("a")
    centre.later(0)
    assert "a" == centre.holder("x")


def test_steps_that_are_put_later_hold_for_who_waits_already(centre: Centre) -> None:
    centre.agent("a")
    centre.contact("x", "rare")
    centre.queue(steps=(Step(60, drop=("*",)),))
    centre.later(0)
    assert "a" == centre.holder("x")


def test_who_skips_a_step_is_tried_before_those_behind_it(centre: Centre) -> None:
    centre.queue(steps=(Step(600, drop=("rare",)),), reoffer_after_s=60)
    centre.agent("a", capacity=25)
    centre.contact("second")
    centre.decline("second")
    centre.agent("expert", skills={"rare": 50}, capacity=0)
    centre.do(c.SetPresence("expert", "available", lease_s=60))
    centre.contact("first", "rare", priority=60)
    centre.now += 60_000
    centre.do(c.Tick())
    assert ("a", None) == (centre.holder("first"), centre.holder("second"))


def test_steps_begin_anew_in_another_queue(centre: Centre) -> None:
    for name in ("default", "other"):
        centre.queue(name, steps=(Step(30, priority=60),))
    centre.contact("x")
    centre.later(30)
    centre.do(c.Reclassify("x", queue="other"))
    assert 0 == centre.engine.state.contacts["x"].step
    centre.later(30)
    assert (1, 120) == (centre.engine.state.contacts["x"].step, centre.engine.state.contacts["x"].priority)


def test_another_service_level_holds_for_what_is_offered_already(centre: Centre) -> None:
    centre.agent("a")
    centre.contact("x")
    centre.queue(within_s=5)
    assert ["sla.warning", "sla.breached"] == centre.later(5)


# -- lengths and waits -------------------------------------------------------------------------------------------------


def test_who_is_one_too_many_goes_to_another_queue(centre: Centre) -> None:
    centre.queue("reserve")
    centre.queue(max_length=1, overflow=Overflow("queue", queue="reserve"))
    centre.contact("first")
    centre.contact("second")
    assert ["default", "reserve"] == [centre.engine.state.contacts[each].queue for each in ("first", "second")]


def test_who_has_waited_for_too_long_may_be_taken_by_the_reserve(centre: Centre) -> None:
    centre.queue(teams=("front",), max_wait_s=60, overflow=Overflow("teams", teams=("reserve",)))
    centre.agent("a", teams=("reserve",))
    assert centre.contact("x") is None
    centre.later(60)
    assert "a" == centre.holder("x")


def test_an_overflow_that_changes_nothing_leaves_the_clock_at_rest(centre: Centre) -> None:
    centre.queue(teams=("reserve",), max_wait_s=60, overflow=Overflow("teams", teams=("reserve",)))
    centre.contact("x")
    centre.later(600)
    assert [] == centre.told("contact.overflowed")
    assert centre.engine.next_due() is None or centre.engine.next_due() > centre.now  # type: ignore[operator]


def test_who_is_called_back_is_parked_and_comes_again(centre: Centre) -> None:
    centre.queue(max_wait_s=60, overflow=Overflow("callback", message="We call you.", callback_after_s=300))
    centre.contact("x")
    centre.later(60)
    (told,) = centre.told("contact.overflowed")
    assert ("parked", "We call you.") == (centre.state("x"), told.data["message"])
    centre.later(299)
    assert "parked" == centre.state("x")
    centre.later(1)
    assert "waiting" == centre.state("x")


def test_who_cannot_be_kept_is_closed_with_a_reason(centre: Centre) -> None:
    centre.queue(max_length=0, overflow=Overflow("close", reason="too_busy"))
    centre.contact("x")
    (closed,) = centre.told("contact.closed")
    assert ("overflowed", "too_busy") == (closed.data["outcome"], closed.data["reason"])


def test_queues_do_not_send_contacts_round_in_a_circle(centre: Centre) -> None:
    centre.queue("other")
    centre.queue(max_wait_s=60, overflow=Overflow("queue", queue="other"))
    with pytest.raises(Malformed):
        centre.queue("other", max_wait_s=60, overflow=Overflow("queue", queue="default"))
    with pytest.raises(InUse):
        centre.do(c.DeleteNamed("queue", "other"))


def test_a_circle_that_a_pilot_makes_comes_to_an_end(centre: Centre) -> None:
    def shut(queue: str) -> Hours:
        return Hours("UTC", closed=Overflow("queue", queue=queue))

    centre.queue("other")
    trial = QueueConfig("default", hours=shut("other"))
    centre.do(c.PutPilot(PilotConfig("p", queues={"default": trial})))
    other = QueueConfig("other", hours=shut("default"))
    with pytest.raises(Malformed, match="in pilot 'p' contacts would go round"):
        centre.do(c.PutQueue(other))
    centre.engine.config.queues["other"] = other  # put before that was refused
    centre.contact("x")
    assert "waiting" == centre.state("x")


# -- hours and pause ---------------------------------------------------------------------------------------------------

EVERY_DAY = range(7)


def test_a_closed_queue_offers_nothing_and_opens_by_itself(centre: Centre) -> None:
    """The clock stands at 00:16:40 on Thursday, the first of January 1970."""
    centre.queue(hours=Hours("UTC", dict.fromkeys(EVERY_DAY, ((30, 40),))))
    centre.agent("a")
    assert centre.contact("x") is None
    assert "contact.offered" in centre.later(14 * MINUTE)
    centre.later(10 * MINUTE)
    assert centre.contact("y") is None


def test_a_holiday_takes_the_place_of_the_weekday_in_the_queues_own_time(centre: Centre) -> None:
    days = dict.fromkeys(EVERY_DAY, ((0, 1440),))
    centre.agent("a")
    centre.queue(hours=Hours("Asia/Shanghai", days, {"1970-01-01": ()}))
    assert centre.contact("in Shanghai it is the first of January") is None
    centre.queue(hours=Hours("America/New_York", days, {"1970-01-01": ()}))
    assert centre.contact("in New York it is still December")


def test_what_comes_to_a_closed_queue_may_be_called_back_when_it_opens(centre: Centre) -> None:
    closed = Overflow("callback", callback_after_s=60)
    centre.queue(hours=Hours("UTC", dict.fromkeys(EVERY_DAY, ((30, 40),)), closed=closed))
    centre.agent("a")
    centre.contact("x")
    assert "parked" == centre.state("x")
    centre.later(13 * MINUTE + 19)
    assert "parked" == centre.state("x")
    centre.later(1)
    assert "a" == centre.holder("x")


def test_who_waits_when_the_queue_closes_is_not_kept(centre: Centre) -> None:
    centre.queue(hours=Hours("UTC", dict.fromkeys(EVERY_DAY, ((0, 20),)), closed=Overflow("close", reason="closed")))
    centre.contact("x")
    centre.agent("a", capacity=0)
    centre.do(c.Reclassify("x", terms=Terms(agents=("a",))))
    centre.contact("pinned")
    centre.do(c.Pin("pinned", "a", by="s"))
    centre.later(5 * MINUTE)
    assert ("closed", "waiting") == (centre.state("x"), centre.state("pinned"))


def test_a_closed_queue_is_not_longer_than_it_may_be(centre: Centre) -> None:
    centre.queue(hours=Hours("UTC"), max_length=1, overflow=Overflow("close"))
    for name in ("first", "second"):
        centre.contact(name)
    assert ("waiting", "closed") == (centre.state("first"), centre.state("second"))


def test_a_paused_queue_offers_nothing_until_it_goes_on(centre: Centre) -> None:
    centre.agent("a")
    centre.do(c.PauseQueue(QueueConfig("default", paused=True), by="s", reason="fire drill"))
    assert centre.contact("x") is None
    centre.do(c.PauseQueue(QueueConfig("default"), by="s"))
    assert "a" == centre.holder("x")


# -- trials, and who is preferred by a rule ----------------------------------------------------------------------------


def test_a_trial_holds_for_a_share_of_customers_always_the_same(centre: Centre) -> None:
    trial = QueueConfig("default", within_s=5)
    centre.do(c.PutPilot(PilotConfig("p", percent=50, queues={"default": trial})))
    arms = {}
    for number in range(40):
        for turn in ("a", "b"):
            centre.do(c.Receive(f"x{number}{turn}", f"k{number}", "chat", tags=()))
        arms[number] = {centre.engine.state.contacts[f"x{number}{turn}"].pilot for turn in ("a", "b")}
    assert all(len(each) == 1 for each in arms.values()), "one customer has one arm"
    assert {"p:trial", "p:control"} == {arm for each in arms.values() for arm in each}


def test_a_trial_may_be_for_a_region_and_follows_its_own_policy(centre: Centre) -> None:
    trial = QueueConfig("default", steps=(Step(60, drop=("rare",)),))
    centre.do(c.PutPilot(PilotConfig("p", attribute="region", values=("south",), queues={"default": trial})))
    centre.agent("expert", skills={"rare": 50}, capacity=0)
    centre.agent("a")
    centre.contact("north", "rare", attributes={"region": "north"})
    centre.contact("south", "rare", attributes={"region": "south"})
    centre.do(c.SetPresence("expert", "away"))
    centre.later(0)
    assert (None, "a") == (centre.holder("north"), centre.holder("south"))


def test_a_queue_that_only_a_pilot_names_is_in_use(centre: Centre) -> None:
    centre.queue("other")
    trial = QueueConfig("default", max_wait_s=10, overflow=Overflow("queue", queue="other"))
    centre.do(c.PutPilot(PilotConfig("p", queues={"default": trial})))
    with pytest.raises(InUse):
        centre.do(c.DeleteNamed("queue", "other"))


def test_a_rule_names_queue_priority_and_agent(centre: Centre) -> None:
    centre.queue("gold")
    for name in ("a", "b"):
        centre.agent(name)
        centre.later(1)
    centre.do(c.PutRule(RuleConfig("r", channels=("chat",), queue="gold", priority=60, preferred_agent_id="b")))
    centre.contact("x")
    contact = centre.engine.state.contacts["x"]
    assert ("gold", 60, "b") == (contact.queue, contact.priority, centre.holder("x"))


def test_the_estimate_is_a_range_and_is_held_against_what_came(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    centre.contact("now")
    for number in range(8):
        centre.contact(f"x{number}")
    for name in ("now", *(f"x{number}" for number in range(4))):
        centre.later(10)
        centre.do(c.Complete(centre.accept(name)))
    centre.contact("late")
    estimate, position = centre.engine.estimate("late"), centre.engine.position("late")
    assert estimate is not None
    assert (4, 40) == (position, estimate.wait_s)
    assert estimate.low_s < estimate.wait_s < estimate.high_s
    for name in ("x4", "x5", "x6"):
        centre.later(10)
        centre.do(c.Complete(centre.accept(name)))
    assert (1, 10) == (centre.engine.position("late"), centre.engine.estimated_wait_s("late"))
    centre.later(10)
    centre.do(c.Complete(centre.accept("x7")))
    centre.accept("late")
    accuracy = centre.engine.accuracy()["default"]
    assert (1, 1, 0) == (accuracy.contacts, accuracy.within, accuracy.error_s)


def test_a_pace_outlasts_the_time_without_demand_and_that_time_is_no_part_of_it(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    centre.do(c.SetPresence("a", "available", lease_s=86_400))
    names = ["x0", "x1", "x2", "x3"]
    for name in names:
        centre.contact(name)
    assert centre.engine.estimate("x1") is None, "nobody has left the queue yet"
    for name in names:
        centre.do(c.Complete(centre.accept(name)))
        centre.later(10)
    centre.later(3600)
    centre.active("busy")
    for name in ("y0", "y1"):
        centre.contact(name)
    found = centre.engine.estimate("y1")
    assert found is not None
    assert 15 == found.wait_s, "0, 10, 10 and 10 seconds from one to the next, and none of the hour between"


def _one_is_served_in_ten_seconds(centre: Centre) -> str:
    """`a` is done with `x0` after ten seconds, and takes `x1`, whose assignment is the answer; `x2` waits."""
    centre.agent("a", capacity=25)
    centre.do(c.SetPresence("a", "available", lease_s=86_400))
    centre.active("x0")
    for name in ("x1", "x2"):
        centre.contact(name)
    centre.later(10)
    centre.do(c.Complete(centre.assignment_id("x0") or ""))
    return centre.accept("x1")


def test_a_queue_that_was_given_up_by_all_has_no_demand(centre: Centre) -> None:
    _one_is_served_in_ten_seconds(centre)
    centre.do(c.Cancel("x2"))
    centre.later(3600)
    for name in ("y1", "y2"):
        centre.contact(name)
    centre.later(10)
    centre.do(c.Complete(centre.assignment_id("x1") or ""))
    centre.accept("y1")
    assert 10 == centre.engine.estimated_wait_s("y2")


@pytest.mark.parametrize("how", ["waits", "rings", "moves"])
def test_the_hour_after_the_last_one_gave_up_is_no_part_of_the_pace(centre: Centre, how: str) -> None:
    centre.queue("other")
    served = _one_is_served_in_ten_seconds(centre)
    if how == "rings":
        centre.do(c.Complete(served))
        assert "offered" == centre.state("x2")
    centre.do(c.Reclassify("x2", queue="other") if how == "moves" else c.Cancel("x2"))
    if how != "rings":
        centre.do(c.Complete(served))
    if how == "moves":
        centre.do(c.Complete(centre.accept("x2")))
    centre.later(3600)
    centre.active("at once")
    centre.contact("y")
    assert 10 == centre.engine.estimated_wait_s("y"), "nobody waited in between"


def test_a_pause_is_no_part_of_the_pace_and_nobody_is_told_its_end(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    centre.do(c.SetPresence("a", "available", lease_s=86_400))
    centre.active("x0")
    for name in ("x1", "x2", "x3"):
        centre.contact(name)
    centre.later(10)
    centre.do(c.Complete(centre.assignment_id("x0") or ""))
    served = centre.accept("x1")
    assert 20 == centre.engine.estimated_wait_s("x3")
    for paused in (True, False):
        centre.do(c.PauseQueue(QueueConfig("default", paused=paused), "boss"))
        if paused:
            assert (2, None) == (centre.engine.position("x3"), centre.engine.estimated_wait_s("x3"))
            centre.later(3600)
    centre.later(10)
    centre.do(c.Complete(served))
    centre.accept("x2")
    assert 10 == centre.engine.estimated_wait_s("x3")


def test_the_estimate_counts_opening_hours_alone_and_keeps_its_pace_over_night(centre: Centre) -> None:
    centre.now = 10 * 3_600_000  # ten in the morning
    centre.queue(hours=Hours("UTC", dict.fromkeys(EVERY_DAY, ((540, 1020),))))
    centre.agent("a", capacity=25)
    centre.do(c.SetPresence("a", "available", lease_s=10 * 86_400))
    centre.active("now")
    for number in range(4):
        centre.contact(f"x{number}")
    for name, after in (("now", "x0"), ("x0", "x1"), ("x1", "x2")):
        centre.later(3600)
        centre.do(c.Complete(centre.assignment_id(name) or ""))
        centre.accept(after)
    assert 3600 == centre.engine.estimated_wait_s("x3"), "it is one o'clock, and one departs in an hour"
    centre.contact("late", priority=-1)
    assert (2, 7200) == (centre.engine.position("late"), centre.engine.estimated_wait_s("late"))
    for later_h, closed_h, when in (
        (3.5, 16, "half past four: half an hour, a night, and the rest"),
        (13, 3.5, "closed, and nothing has happened for hours"),
        (4, 0, "open again: the night was no time in which it stood still"),
    ):
        centre.later(later_h * 3600)
        told = centre.engine.estimate("late", centre.now)
        assert told is not None
        assert (2 + closed_h) * 3600 == told.wait_s, when
