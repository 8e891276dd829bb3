"""What an agent has room for: units, exclusion, interruption, silence, newcomers; and work that stays where it is."""

import pytest

from src.errors import FieldsMissing
from src.router import commands as c
from src.router.model import AgentConfig, ChannelLimit, Terms
from tests.support.centre import CHATS, Centre


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_units_and_the_maximum_of_a_channel_both_count(centre: Centre) -> None:
    centre.agent("a", channels={"chat": ChannelLimit(25, 2), "mail": ChannelLimit(25, 9)})
    for number in range(2):
        assert centre.contact(f"chat{number}")
    assert centre.contact("one chat too many") is None
    assert centre.contact("mail", channel="mail")
    assert centre.contact("last unit", channel="mail")
    assert centre.contact("over capacity", channel="mail") is None


def test_voice_and_chat_exclude_each_other_either_way_round(centre: Centre) -> None:
    limits = {
        "voice": ChannelLimit(25, 1, excludes=("chat",)),
        "chat": ChannelLimit(25, 4),
        "mail": ChannelLimit(25, 4),
    }
    centre.agent("a", channels=limits)
    assert centre.contact("chat")
    assert centre.contact("call", channel="voice") is None
    assert centre.contact("mail", channel="mail")
    centre.do(c.Complete(centre.accept("chat")))
    assert "a" == centre.holder("call")
    assert centre.contact("another chat") is None


def test_what_excludes_all_others_goes_along_with_its_own(centre: Centre) -> None:
    centre.agent("a", channels={"voice": ChannelLimit(25, 2, excludes=("*",)), "chat": ChannelLimit(25, 4)})
    assert centre.contact("call", channel="voice")
    assert centre.contact("second call", channel="voice")
    assert centre.contact("chat") is None


MAILS = {"mail": ChannelLimit(50, 2, interruptible=True), "voice": ChannelLimit(100, 1)}


def test_mail_steps_aside_for_a_call_and_gets_its_units_back_first(centre: Centre) -> None:
    centre.agent("a", channels=MAILS)
    centre.active("mail", channel="mail")
    centre.active("call", channel="voice")
    (released,) = centre.told("assignment.released")
    assert ("mail", "interrupted", True) == (released.contact_id, released.data["reason"], released.data["wanted"])
    assert centre.contact("more mail", channel="mail") is None, "what is owed goes before what is new"
    centre.do(c.Complete(centre.assignment_id("call") or ""))
    assert ["mail"] == [each.contact_id for each in centre.told("assignment.retaken")]
    assert "a" == centre.holder("more mail")


def test_what_is_owed_more_than_an_agent_has_now_gets_it_when_there_is_nothing_else(centre: Centre) -> None:
    centre.agent("a", channels=MAILS)
    centre.active("mail", channel="mail")
    centre.active("call", channel="voice")
    centre.do(c.PutAgent(AgentConfig("a", channels=MAILS, capacity=40)))
    centre.do(c.Complete(centre.assignment_id("call") or ""))
    assert ["mail"] == [each.contact_id for each in centre.told("assignment.retaken")]


@pytest.mark.parametrize("interruptible", [False, True])
def test_what_is_owed_its_units_goes_before_what_is_new(centre: Centre, interruptible: bool) -> None:
    centre.settings(silence_s={"chat": 60})
    limits = {"chat": ChannelLimit(50, 1), "mail": ChannelLimit(25, 9), "note": ChannelLimit(50, 1, (), interruptible)}
    centre.agent("a", capacity=50, channels=limits)
    centre.active("quiet")
    centre.later(60)
    for name in ("mail1", "mail2"):
        centre.active(name, channel="mail")
    centre.do(c.Message("quiet", "m1", "text"))
    centre.do(c.Complete(centre.assignment_id("mail1") or ""))
    assert centre.contact("mail3", channel="mail") is None, "what is left is kept for the chat"
    centre.do(c.Complete(centre.assignment_id("mail2") or ""))
    assert ["quiet"] == [each.contact_id for each in centre.told("assignment.retaken")]


def test_an_offer_does_not_step_aside_but_makes_room_once_it_is_accepted(centre: Centre) -> None:
    centre.agent("a", channels=MAILS)
    centre.contact("mail", channel="mail")
    assert centre.contact("call", channel="voice") is None
    centre.accept("mail")
    assert "a" == centre.holder("call")


def test_units_are_given_back_in_the_silence_and_taken_again_when_the_customer_writes(centre: Centre) -> None:
    centre.settings(silence_s={"chat": 60})
    centre.agent("a", capacity=25)
    centre.active("quiet")
    centre.later(59)
    assert centre.contact("next") is None
    centre.later(1)
    assert "a" == centre.holder("next")
    centre.accept("next")
    assert not centre.do(c.Message("quiet", "m0", "event"))[1:], "what a customer does is no word"
    assert ["assignment.wanted"] == [each.type for each in centre.do(c.Message("quiet", "m1", "text"))][1:]
    centre.do(c.Complete(centre.assignment_id("next") or ""))
    assert ["quiet"] == [each.contact_id for each in centre.told("assignment.retaken")]
    assert "assignment.released" not in centre.later(59), "it is not silent again at once"
    assert "assignment.released" in centre.later(1)


def test_a_limit_on_silence_that_comes_later_knows_who_has_written(centre: Centre) -> None:
    centre.agent("a")
    centre.active("x")
    centre.later(600)
    centre.do(c.Message("x", "m1", "text"))
    centre.settings(silence_s={"*": 60})
    assert "assignment.released" not in centre.later(59)


def test_a_newcomer_has_a_part_of_the_capacity_until_it_is_none_any_more(centre: Centre) -> None:
    centre.agent("a", newcomer_until=centre.now + 600_000, newcomer_percent=50)
    centre.active("one")
    centre.active("two")
    assert centre.contact("three") is None
    centre.later(600)
    assert "a" == centre.holder("three")


def test_a_skill_is_gone_after_its_time_and_so_is_a_language(centre: Centre) -> None:
    soon = centre.now + 60_000
    centre.agent("a", skills={"refund": 50}, languages=("zh",), skills_until={"refund": soon, "language:zh": soon})
    assert centre.contact("in time", "refund", language="zh")
    centre.later(61)
    assert centre.contact("skill", "refund") is None
    assert centre.contact("language", language="zh") is None


def test_a_mentor_is_asked_first_and_then_whoever_can_help(centre: Centre) -> None:
    centre.settings(help_wait_s=60)
    centre.agent("other")
    centre.later(1)
    centre.agent("mentor")
    centre.active("busy", terms=Terms(agents=("mentor",)))
    centre.do(c.PutAgent(AgentConfig("newcomer", channels=CHATS, mentor_id="mentor", teams=("new",))))
    centre.do(c.SetPresence("newcomer", "available"))
    centre.contact("x")
    centre.do(c.Assign("x", "newcomer", by="s"))
    centre.do(c.Collaborate("h", "x", by="newcomer"))
    assert "mentor" == centre.engine.state.collaborations["h"].agent_id
    centre.later(60)
    assert "other" == centre.engine.state.collaborations["h"].agent_id


def test_wrap_up_is_longer_after_a_hard_contact(centre: Centre) -> None:
    centre.queue(wrap_up_s=10, breather_s=60, breather_tags=("complaint",))
    centre.agent("a", skills={"complaint": 1}, capacity=25)
    centre.active("hard", "complaint")
    centre.do(c.Complete(centre.assignment_id("hard") or ""))
    centre.later(69)
    assert "wrap_up" == centre.state("hard")
    centre.later(1)
    assert "closed" == centre.state("hard")


def test_whoever_has_a_contact_whose_customer_left_says_how_it_was_in_the_wrap_up(centre: Centre) -> None:
    centre.queue(wrap_up_s=30, required_fields=("order",))
    centre.agent("a", capacity=25)
    centre.active("x")
    assignment_id = centre.assignment_id("x") or ""
    centre.do(c.Cancel("x"))
    with pytest.raises(FieldsMissing):
        centre.do(c.FinishWrapUp(assignment_id))
    with pytest.raises(FieldsMissing):
        centre.do(c.Complete(assignment_id, resolved=True))
    for resolved in (False, True):
        centre.do(c.Complete(assignment_id, resolved=resolved, fields=frozenset({"order"})))
    assert "wrap_up" == centre.state("x")
    assert [] == centre.do(c.Complete(assignment_id)), "a repeat that says nothing"
    centre.do(c.FinishWrapUp(assignment_id, fields=frozenset({"order"})))
    (completed,) = centre.told("assignment.completed")
    (closed,) = centre.told("contact.closed")
    assert (True, "customer_left") == (completed.data["resolved"], closed.data["outcome"])


def test_what_was_said_at_completion_stands(centre: Centre) -> None:
    centre.queue(wrap_up_s=30)
    centre.agent("a", capacity=25)
    centre.active("x")
    assignment_id = centre.assignment_id("x") or ""
    centre.do(c.Complete(assignment_id, resolved=True))
    assert [] == centre.do(c.Complete(assignment_id, resolved=False))


def test_a_queue_may_want_more_at_completion(centre: Centre) -> None:
    centre.queue(required_fields=("resolved", "note"))
    centre.agent("a")
    centre.active("x")
    assignment_id = centre.assignment_id("x") or ""
    with pytest.raises(FieldsMissing) as refused:
        centre.do(c.Complete(assignment_id, resolved=True))
    assert ["note"] == refused.value.extra["fields"]
    centre.do(c.Complete(assignment_id, resolved=True, fields=frozenset({"note"})))
    assert "closed" == centre.state("x")
