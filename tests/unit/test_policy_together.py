"""Two policies at once: where one meets another, each still does what it says."""

import pytest

from src.router import commands as c
from src.router.model import AgentConfig, Hours, Overflow, Step, TagRequest, Terms
from tests.support.centre import CHATS, Centre

NIGHT = Hours("UTC", {}, {"1970-01-01": ((60, 120),)})
"""The tests begin at a quarter past midnight on that day; it opens at one."""


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_teams_that_a_step_added_stay_behind_in_its_queue(centre: Centre) -> None:
    centre.queue(teams=("front",), steps=(Step(5, add_teams=("back",)),))
    centre.queue("law", teams=("law",))
    for team in ("back", "law"):
        centre.agent(team, "away", teams=(team,))
    centre.contact("patched")
    centre.contact("transferred")
    centre.later(6)
    assert ("front", "back") == centre.engine.state.contacts["patched"].terms.limit(())
    centre.do(c.SetPresence("back", "available"))
    centre.accept("patched")
    centre.accept("transferred")
    centre.do(c.TakeBack("patched", "s"))
    centre.do(c.Reclassify("patched", queue="law"))
    told = centre.engine.dry_run_transfer(c.Transfer("transferred", "t", to_queue="law"), centre.now)
    assert "team" in {each["code"] for each in told["excluded"]}
    centre.do(c.Transfer("transferred", "t", to_queue="law"))
    centre.later(60)
    assert ("waiting", "waiting") == (centre.state("patched"), centre.state("transferred"))
    centre.do(c.SetPresence("law", "available"))
    assert ("law", "law") == (centre.holder("patched"), centre.holder("transferred"))


def test_teams_that_were_widened_do_not_overflow_with_a_contact(centre: Centre) -> None:
    centre.queue("law", teams=("law",))
    centre.queue(
        teams=("front",), steps=(Step(5, any_team=True),), max_wait_s=10, overflow=Overflow("queue", queue="law")
    )
    centre.agent("x", "away", teams=("back",))
    centre.contact("k", terms=Terms(not_teams=("trainees",)))
    centre.later(11)
    centre.do(c.SetPresence("x", "available"))
    assert ("waiting", "law") == (centre.state("k"), centre.engine.state.contacts["k"].queue)
    assert Terms(not_teams=("trainees",)) == centre.engine.state.contacts["k"].terms


def test_teams_that_a_caller_names_go_along_to_another_queue(centre: Centre) -> None:
    centre.queue(steps=(Step(5, add_teams=("back",)),))
    centre.queue("law", teams=("law",))
    centre.agent("x", teams=("red",))
    centre.contact("k", terms=Terms(teams=("red",)), queue="law")
    assert "x" == centre.holder("k")


def test_a_dry_run_of_a_transfer_to_other_skills_says_who_has_them(centre: Centre) -> None:
    centre.agent("x", skills={"refund": 9})
    centre.active("k", "refund")
    centre.agent("y", skills={"law": 9})
    told = centre.engine.dry_run_transfer(c.Transfer("k", "t", to_tags=(TagRequest("law"),)), centre.now)
    assert ["y"] == [each["agent_id"] for each in told["agents"] if each["fits"]]


def test_a_call_back_of_a_closed_queue_waits_for_its_opening_whatever_the_customer_writes(centre: Centre) -> None:
    centre.queue(hours=Hours("UTC", NIGHT.days, NIGHT.dates, Overflow("callback", message="at one")))
    centre.contact("k")
    until = centre.engine.state.contacts["k"].parked_until
    for number in range(20):
        centre.do(c.Message("k", f"m{number}", "text"))
    assert ("parked", 1) == (centre.state("k"), centre.engine.state.contacts["k"].overflows)
    assert 1 == len(centre.told("message.queued")), "it is told once"
    assert 3_600_000 == until
    centre.agent("x")
    centre.later(2_605)
    assert "x" == centre.holder("k")


def test_a_customer_who_writes_before_the_call_is_tried_at_once_where_the_queue_is_open(centre: Centre) -> None:
    centre.queue(max_length=0, overflow=Overflow("callback"))
    centre.contact("k")
    centre.agent("x")
    assert "parked" == centre.state("k")
    centre.do(c.Message("k", "m", "text"))
    assert "x" == centre.holder("k")


def test_no_step_is_skipped_while_nobody_could_be_asked_anyway(centre: Centre) -> None:
    steps = (Step(600_000, any_team=True),)
    centre.queue(teams=("front",), steps=steps, hours=NIGHT)
    centre.queue("halted", teams=("front",), steps=steps, paused=True)
    centre.agent("back", teams=("back",))
    centre.contact("night")
    centre.contact("paused", queue="halted")
    centre.agent("front", teams=("front",))
    assert (0, 0) == tuple(centre.engine.state.contacts[each].step for each in ("night", "paused"))
    centre.queue("halted", teams=("front",), steps=steps)
    centre.later(10)
    assert "front" == centre.holder("paused")
    centre.accept("paused")
    centre.later(2_595)
    assert "front" == centre.holder("night")


def test_a_step_is_skipped_when_the_queue_opens(centre: Centre) -> None:
    centre.queue(teams=("front",), steps=(Step(600_000, any_team=True),), hours=NIGHT)
    centre.agent("back", teams=("back",))
    centre.contact("k")
    centre.later(2_605)
    assert ("back", 1) == (centre.holder("k"), centre.engine.state.contacts["k"].step)


def test_whoever_is_promised_a_call_is_called_when_the_queue_is_open_and_not_sent_away(centre: Centre) -> None:
    """It is a quarter past midnight; the queue is open until twenty past, and again from one on."""
    hours = Hours("UTC", {}, {"1970-01-01": ((0, 20), (60, 120))}, Overflow("close", reason="closed"))
    centre.queue("busy", max_length=0, overflow=Overflow("callback", callback_after_s=600), hours=hours)
    night = Hours("UTC", NIGHT.days, NIGHT.dates, Overflow("callback"))
    centre.queue("closed", max_wait_s=60, overflow=Overflow("close", reason="nobody"), hours=night)
    for queue in ("busy", "closed"):
        centre.contact(queue, queue=queue)
    centre.later(2_599)
    assert [] == centre.told("contact.resumed")
    centre.later(121)
    assert ("waiting", "waiting") == (centre.state("busy"), centre.state("closed"))


@pytest.mark.parametrize("how", ["skill", "time", "team"])
def test_a_preferred_agent_who_does_not_fit_any_more_is_not_waited_for(centre: Centre, how: str) -> None:
    centre.queue(dedicated_wait_s=600)
    until = {"law": centre.now + 60_000} if how == "time" else {}
    centre.agent("mine", skills={"law": 9}, skills_until=until, capacity=25)
    centre.active("busy")
    centre.agent("other", skills={"law": 9}, teams=("law",))
    assert centre.contact("x", "law", dedicated_agent_id="mine") is None
    if how == "skill":
        centre.do(c.PutAgent(AgentConfig("mine", channels=CHATS, capacity=25)))
    elif how == "team":
        centre.queue(dedicated_wait_s=600, teams=("law",))
    centre.later(60)
    assert "other" == centre.holder("x")


def test_nobody_waits_while_the_queue_is_closed(centre: Centre) -> None:
    """It comes at a quarter past midnight, and the queue opens at one, in 2,600 seconds, for an hour."""
    centre.queue(
        within_s=10,
        steps=(Step(20, drop=("law",)),),
        max_wait_s=60,
        overflow=Overflow("close", reason="nobody"),
        hours=NIGHT,
    )
    centre.settings(wait_flag_s=30)
    centre.agent("expert", skills={"law": 50}, capacity=0)
    centre.contact("night", "law")
    assert [] == centre.later(2_600)
    assert ["sla.warning", "sla.breached"] == centre.later(10)
    assert ["contact.relaxed"] == centre.later(10)
    assert ["contact.flagged"] == centre.later(10)
    assert "contact.closed" in centre.later(30)


def test_a_preferred_agent_is_waited_for_from_the_opening_on(centre: Centre) -> None:
    centre.queue(hours=NIGHT, dedicated_wait_s=60)
    centre.agent("mine", capacity=25)
    centre.do(c.SetPresence("mine", "available", lease_s=86_400))
    centre.queue("always")
    centre.active("busy", queue="always")
    centre.agent("other")
    centre.contact("x", dedicated_agent_id="mine")
    centre.later(2_600 + 59)
    assert centre.holder("x") is None
    centre.do(c.Complete(centre.assignment_id("busy") or ""))
    assert "mine" == centre.holder("x")


def test_who_waits_over_night_goes_on_where_it_was(centre: Centre) -> None:
    hours = Hours("UTC", {}, {"1970-01-01": ((0, 20), (60, 120))})
    centre.queue(steps=(Step(300, drop=("law",)),), hours=hours)
    centre.agent("expert", skills={"law": 50}, capacity=0)
    centre.agent("any")
    centre.contact("x", "law")
    centre.later(2_600 + 99)
    assert centre.holder("x") is None, "of three hundred seconds two hundred were before the queue closed"
    centre.later(1)
    assert "any" == centre.holder("x")


def test_who_waits_for_an_opening_is_answered_in_time_if_it_is_soon_after(centre: Centre) -> None:
    centre.queue(within_s=10, hours=NIGHT)
    centre.agent("x")
    centre.contact("night")
    centre.later(2_605)
    centre.accept("night")
    assert (1, 1) == (
        centre.engine.reached(centre.now).queues["default"].contacts,
        centre.engine.reached(centre.now).queues["default"].within,
    )


def test_what_is_offered_to_an_agent_already_is_assigned_with_who_and_why(centre: Centre) -> None:
    centre.queue(offer_to=2)
    centre.agent("x")
    centre.agent("y")
    centre.contact("k")
    decision = centre.engine.decide(c.Assign("k", "y", "sue", reason="hers"), centre.now)
    assert ("active", "y") == (centre.state("k"), centre.holder("k"))
    active = next(each for each in decision.events if each.type == "contact.active")
    assert ("sue", "hers") == (active.data["by"], active.data["why"])
    traced = [each for _, _, each in decision.traces if each["decision"] == "assigned"]
    assert [("y", "sue", "hers")] == [(each["agent_id"], each["by"], each["reason"]) for each in traced]


def test_an_agent_without_any_capacity_takes_nothing(centre: Centre) -> None:
    centre.do(c.PutAgent(AgentConfig("x", capacity=0)))
    centre.do(c.SetPresence("x", "available"))
    centre.contact("k")
    assert "waiting" == centre.state("k")
    centre.do(c.PutAgent(AgentConfig("x", capacity=1)))
    assert "x" == centre.holder("k")


def test_who_was_asked_often_enough_may_be_asked_for_what_is_reclassified(centre: Centre) -> None:
    centre.queue(asks_max=1)
    centre.agent("x")
    centre.contact("k")
    centre.decline("k")
    centre.do(c.Reclassify("k", tags=()))
    assert "x" == centre.holder("k")


def test_a_dry_run_of_a_transfer_knows_that_asking_begins_anew(centre: Centre) -> None:
    centre.queue(asks_max=1)
    centre.agent("x")
    centre.contact("k")
    centre.decline("k")
    centre.agent("y")
    centre.accept("k")
    told = centre.engine.dry_run_transfer(c.Transfer("k", "t", to_queue="default"), centre.now)
    assert ["x"] == [each["agent_id"] for each in told["agents"] if each["fits"]]
    centre.do(c.Transfer("k", "t", to_queue="default"))
    assert "x" == centre.holder("k")


@pytest.mark.parametrize("way", ["by hand", "overflow"])
def test_who_was_asked_often_enough_may_be_asked_in_another_queue(centre: Centre, way: str) -> None:
    centre.queue("other")
    centre.queue(asks_max=1, reoffer_after_s=5, max_wait_s=10, overflow=Overflow("queue", queue="other"))
    centre.agent("x")
    centre.contact("k")
    centre.decline("k")
    if way == "by hand":
        centre.do(c.Reclassify("k", queue="other"))
    centre.later(10)
    assert ("x", "other") == (centre.holder("k"), centre.engine.state.contacts["k"].queue)


def test_a_pinned_contact_is_for_all_when_its_agent_serves_the_channel_no_more(centre: Centre) -> None:
    centre.agent("x")
    centre.agent("y", "away")
    centre.contact("k")
    centre.do(c.TakeBack("k", "s"))
    centre.do(c.Pin("k", "x", "s"))
    centre.do(c.PutAgent(AgentConfig("x", channels={"voice": CHATS["voice"]})))
    centre.decline("k")
    centre.do(c.SetPresence("y", "available"))
    assert "y" == centre.holder("k")


@pytest.mark.parametrize("way", ["transfer", "park"])
def test_who_was_asked_often_enough_may_be_asked_of_what_comes_anew(centre: Centre, way: str) -> None:
    centre.queue(asks_max=1, reoffer_after_s=5)
    centre.agent("x", skills={"law": 9})
    centre.contact("k")
    centre.decline("k")
    centre.agent("y")
    centre.accept("k")
    assert "y" == centre.holder("k")
    if way == "transfer":
        centre.do(c.Transfer("k", "t", to_tags=(TagRequest("law"),)))
    else:
        centre.do(c.Park("k", "t", centre.now + 60_000, "customer"))
        centre.do(c.SetPresence("y", "offline"))
        centre.do(c.Message("k", "m", "text"))
    centre.later(6)
    assert "x" == centre.holder("k")


def test_who_takes_what_several_were_asked_for_is_idle_no_more(centre: Centre) -> None:
    centre.queue(offer_to=2)
    centre.agent("a", skills={"refund": 9})
    centre.agent("b", skills={"refund": 9})
    centre.later(10)
    centre.agent("c")
    centre.later(10)
    centre.contact("k", "refund")
    centre.do(c.SetPresence("a", "away"))
    centre.accept("k")
    assert "b" == centre.holder("k")
    centre.queue(offer_to=1)
    centre.contact("next")
    assert "c" == centre.holder("next"), "idle for longer than who has just taken one"


def test_a_dry_run_of_a_transfer_knows_that_it_does_not_come_straight_back(centre: Centre) -> None:
    centre.queue(reoffer_after_s=0)
    centre.agent("x")
    centre.active("k")
    told = centre.engine.dry_run_transfer(c.Transfer("k", "t", to_queue="default"), centre.now)
    assert (0, [["barred"]]) == (
        told["candidates"],
        [[reason["code"] for reason in each["reasons"]] for each in told["agents"]],
    )
    centre.do(c.Transfer("k", "t", to_queue="default"))
    assert "waiting" == centre.state("k")


def test_a_trace_keeps_what_was_done_apart_from_what_followed(centre: Centre) -> None:
    centre.queue("spare")
    centre.queue(max_length=0, overflow=Overflow("queue", queue="spare"))
    decision = centre.engine.decide(c.Receive("k", "k", "chat", tags=()), centre.now)
    [overflowed] = [each for _, _, each in decision.traces if each.get("event") == "contact.overflowed"]
    assert ("overflowed", "queue", "max_length") == tuple(overflowed[each] for each in ("decision", "action", "reason"))
    assert ("waiting", "spare") == (overflowed["then"]["decision"], overflowed["then"]["queue"])
