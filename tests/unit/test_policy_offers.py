"""Offers and who is offered first; transfers; and a supervisor's hand."""

import pytest

from src.errors import AgentUnavailable
from src.router import commands as c
from src.router.engine import Engine
from src.router.model import Step, TagRequest, Terms
from src.router.state import State
from tests.support.centre import Centre


@pytest.fixture
def centre() -> Centre:
    return Centre()


# -- offers ------------------------------------------------------------------------------------------------------------


def test_what_is_accepted_by_itself_needs_no_answer(centre: Centre) -> None:
    centre.queue(auto_accept=True)
    centre.agent("a")
    centre.contact("x")
    assert ("active", "a") == (centre.state("x"), centre.holder("x"))


def test_the_first_of_several_to_accept_has_it_and_the_others_are_revoked(centre: Centre) -> None:
    centre.queue(offer_to=2)
    for name in ("a", "b", "c"):
        centre.agent(name)
    centre.contact("x")
    offers = {each.agent_id: each.id for each in centre.engine.state.offers["x"].values()}
    assert {"a", "b"} == set(offers)
    centre.do(c.Accept(offers["b"]))
    (revoked,) = centre.told("offer.revoked")
    assert ("a", "b") == (revoked.agent_id, centre.holder("x"))


def test_of_several_offers_one_may_be_declined_and_the_others_stand(centre: Centre) -> None:
    centre.queue(offer_to=2)
    for name in ("a", "b"):
        centre.agent(name)
    centre.contact("x")
    centre.decline("x")
    assert "offered" == centre.state("x")
    centre.decline("x")
    assert "waiting" == centre.state("x")


def test_an_agent_is_not_asked_more_often_than_the_queue_says(centre: Centre) -> None:
    centre.queue(asks_max=2, reoffer_after_s=10)
    centre.agent("a")
    centre.contact("x")
    centre.decline("x")
    centre.later(10)
    centre.decline("x")
    centre.later(600)
    assert "waiting" == centre.state("x")
    centre.do(c.Pin("x", "a", by="s"))
    assert "a" == centre.holder("x"), "a supervisor says otherwise"


def test_a_requeued_contact_keeps_its_rank(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    centre.contact("first")
    centre.later(1)
    centre.contact("second")
    centre.do(c.SetPresence("a", "away"))
    centre.do(c.SetPresence("a", "available"))
    assert ("a", None) == (centre.holder("first"), centre.holder("second"))


def test_of_those_that_a_contact_names_the_best_is_asked_first(centre: Centre) -> None:
    centre.agent("idle")
    centre.later(1)
    centre.agent("expert", skills={"gold": 50})
    tags = (TagRequest("gold", required=False),)
    centre.do(c.Receive("x", "k", "chat", tags=tags, terms=Terms(agents=("idle", "expert"))))
    assert "expert" == centre.holder("x")


def test_a_bar_that_runs_out_unseen_is_not_forgotten(centre: Centre) -> None:
    centre.queue(reoffer_after_s=10)
    centre.agent("a")
    centre.contact("x")
    centre.decline("x")
    centre.now += 10_000
    centre.do(c.Collaborate("h", "x", by="s"))
    assert "a" == centre.holder("x")


# -- preferred agents --------------------------------------------------------------------------------------------------


def test_the_dedicated_agent_is_waited_for_while_it_is_there_and_then_released(centre: Centre) -> None:
    centre.queue(dedicated_wait_s=60)
    centre.agent("mine", capacity=25)
    centre.active("busy")
    centre.agent("a")
    assert centre.contact("x", dedicated_agent_id="mine") is None
    centre.later(59)
    assert centre.holder("x") is None
    centre.later(1)
    assert "a" == centre.holder("x")


def test_a_preferred_agent_that_leaves_is_not_waited_for(centre: Centre) -> None:
    centre.agent("mine", capacity=25)
    centre.active("busy")
    centre.agent("a")
    centre.contact("x", dedicated_agent_id="mine")
    centre.do(c.SetPresence("mine", "away"))
    assert "a" == centre.holder("x")


def test_who_is_not_there_is_not_preferred_and_the_next_one_is(centre: Centre) -> None:
    centre.queue(last_agent_wait_s=30)
    centre.agent("a")
    centre.later(1)
    centre.agent("last")
    centre.agent("mine", "away")
    centre.contact("x", dedicated_agent_id="mine", last_agent_id="last")
    assert ("last", "last") == (centre.holder("x"), centre.engine.state.contacts["x"].target_kind)


def test_a_preferred_agent_that_declines_is_not_waited_for(centre: Centre) -> None:
    centre.agent("mine")
    centre.agent("a")
    centre.contact("x", dedicated_agent_id="mine")
    centre.decline("x")
    assert "a" == centre.holder("x")


# -- transfer, return, escalation --------------------------------------------------------------------------------------


def test_a_return_goes_to_who_had_it_before(centre: Centre) -> None:
    centre.agent("a")
    centre.agent("b")
    assert "a" == centre.active("x")
    centre.do(c.Transfer("x", by="a", to_agent_id="b", reason="needs b"))
    centre.accept("x")
    centre.do(c.Return("x", by="b", reason="does not need b"))
    assert ("a", 1) == (centre.holder("x"), centre.engine.state.contacts["x"].transfers)


def test_a_return_to_who_has_left_goes_to_the_queue(centre: Centre) -> None:
    centre.agent("a")
    centre.agent("b")
    centre.active("x")
    centre.do(c.Transfer("x", by="a", to_agent_id="b"))
    centre.accept("x")
    centre.do(c.SetPresence("a", "away"))
    centre.do(c.Return("x", by="b"))
    assert "waiting" == centre.state("x")


def test_a_return_does_not_go_to_who_returns_it(centre: Centre) -> None:
    centre.settings(reoffer_after_s=5)
    centre.agent("a")
    centre.active("x")
    centre.do(c.Transfer("x", by="a", to_queue="default"))
    centre.later(30)
    centre.accept("x")
    centre.do(c.Return("x", by="a"))
    assert "waiting" == centre.state("x")


def test_the_third_transfer_and_the_long_wait_are_marked(centre: Centre) -> None:
    centre.settings(transfer_flag_count=3, wait_flag_s=60, reoffer_after_s=0)
    centre.agent("a")
    centre.active("x")
    for _ in range(3):
        assert [] == centre.told("contact.flagged")
        centre.do(c.Transfer("x", by="a", to_queue="default"))
        centre.later(30)
        centre.accept("x")
    centre.contact("y", "rare")
    centre.later(60)
    assert [("x", "transfers"), ("y", "long_wait")] == [
        (each.contact_id, each.data["flag"]) for each in centre.told("contact.flagged")
    ]


def test_a_wait_that_is_too_long_from_now_on_is_marked_at_once(centre: Centre) -> None:
    centre.contact("x")
    centre.later(100)
    centre.settings(wait_flag_s=60)
    assert "contact.flagged" in centre.later(0)


def test_escalation_raises_the_priority_once(centre: Centre) -> None:
    centre.settings(escalation_priority_s=600)
    centre.contact("first")
    centre.later(1)
    centre.contact("second")
    centre.do(c.Escalate("second", by="t", reason="angry"))
    assert [] == centre.do(c.Escalate("second", by="t"))
    centre.agent("a", capacity=25)
    assert ("a", 600) == (centre.holder("second"), centre.engine.state.contacts["second"].priority)


# -- a supervisor's hand -----------------------------------------------------------------------------------------------


def test_assign_gives_it_at_once_and_over_capacity_only_by_force(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    centre.active("busy")
    centre.contact("x")
    with pytest.raises(AgentUnavailable):
        centre.do(c.Assign("x", "a", by="s"))
    centre.do(c.Assign("x", "a", by="s", force=True, reason="now"))
    assert ("active", "a") == (centre.state("x"), centre.holder("x"))


def test_assign_to_who_is_not_there_is_refused(centre: Centre) -> None:
    centre.agent("a", "offline")
    centre.contact("x")
    with pytest.raises(AgentUnavailable):
        centre.do(c.Assign("x", "a", by="s", force=True))


def test_what_is_taken_back_is_not_offered_to_who_had_it(centre: Centre) -> None:
    centre.agent("a")
    for name, accepts in (("offered", False), ("active", True)):
        centre.contact(name)
        if accepts:
            centre.accept(name)
        centre.do(c.TakeBack(name, by="s"))
        assert "waiting" == centre.state(name)
    centre.agent("b")
    assert ("b", "b") == (centre.holder("offered"), centre.holder("active"))


def test_a_pinned_contact_waits_for_its_agent_there_or_not(centre: Centre) -> None:
    centre.agent("a", "away")
    centre.contact("x", "rare")
    centre.do(c.Pin("x", "a", by="s"))
    centre.agent("b", skills={"rare": 50})
    assert centre.holder("x") is None
    centre.do(c.SetPresence("a", "available"))
    assert "a" == centre.holder("x")


def test_a_pinned_contact_that_was_declined_stays_pinned_for_its_cool_down(centre: Centre) -> None:
    centre.queue(reoffer_after_s=30, steps=(Step(10, priority=60),))
    centre.agent("a", "away")
    centre.agent("b")
    centre.contact("x", "rare")
    centre.do(c.Pin("x", "a", by="s"))
    centre.do(c.SetPresence("a", "available"))
    centre.decline("x")
    centre.later(29)
    assert centre.holder("x") is None
    centre.later(1)
    assert "a" == centre.holder("x")


def test_whom_a_contact_names_alone_is_asked_again_when_it_is_pinned_to_it(centre: Centre) -> None:
    centre.agent("a")
    centre.contact("x", terms=Terms(agents=("a",)))
    centre.decline("x")
    assert centre.holder("x") is None
    centre.do(c.Pin("x", "a", by="s"))
    assert "a" == centre.holder("x")


def test_unpinned_it_is_for_all_again(centre: Centre) -> None:
    centre.agent("a", "away")
    centre.contact("x")
    centre.do(c.Pin("x", "a", by="s"))
    centre.agent("b")
    centre.do(c.Pin("x", None, by="s"))
    assert "b" == centre.holder("x")


def test_a_paused_agent_has_no_new_work_and_keeps_what_it_has(centre: Centre) -> None:
    centre.agent("a")
    centre.active("kept")
    centre.contact("offered")
    centre.do(c.PauseAgent("a", by="s", reason="training"))
    assert ("active", "waiting") == (centre.state("kept"), centre.state("offered"))
    assert centre.contact("new") is None
    centre.do(c.PauseAgent("a", by="s", paused=False))
    assert "a" == centre.holder("offered")


# -- after a reload ----------------------------------------------------------------------------------------------------


def _reload(centre: Centre) -> Engine:
    """Have another engine decide, made of what the tables hold; gives the one before it."""
    before, state = centre.engine, State()
    state.load(
        before.state.seq,
        before.state.at,
        [each.row() for each in before.state.contacts.values()],
        [each.row() for each in before.state.assignments.values()],
        [each.row() for each in before.state.agents.values()],
        [each.row() for each in before.state.collaborations.values()],
    )
    centre.engine = Engine(lambda: "later", before.config, state)
    return before


def test_a_reload_takes_steps_that_nobody_is_left_to_wait_for(centre: Centre) -> None:
    centre.queue(steps=(Step(60, drop=("*",)),))
    centre.agent("expert", "offline", skills={"rare": 50}, capacity=0)
    centre.do(c.Connect("expert", "s1"))
    centre.do(c.SetPresence("expert", "available"))
    centre.agent("a")
    centre.contact("x", "rare")
    _reload(centre)
    centre.do(c.Restart())
    centre.later(29)
    assert centre.holder("x") is None, "the expert may be about to come back"
    centre.later(1)
    assert "a" == centre.holder("x")


def test_what_a_hand_over_gave_to_an_offer_a_reload_does_not_take_away(centre: Centre) -> None:
    centre.queue(offer_timeout_s=20)
    centre.agent("a")
    centre.contact("x")
    centre.later(19)
    _reload(centre)
    centre.do(c.Restart())
    centre.later(2)
    before = _reload(centre)
    centre.do(c.Restart(leases=before.leases(), floors=before.floors()))
    centre.later(2)
    assert "a" == centre.holder("x"), "five seconds from the hand-over on"
    assert "offer.expired" in centre.later(1)


def test_a_reload_alone_gives_an_offer_no_more_time(centre: Centre) -> None:
    centre.queue(offer_timeout_s=20)
    centre.agent("a")
    centre.contact("x")
    centre.later(19)
    before = _reload(centre)
    centre.do(c.Restart(leases=before.leases(), floors=before.floors()))
    assert "offer.expired" in centre.later(1)
