"""Going on with a customer over another channel: who is asked, what takes capacity, and who may hang up."""

import pytest

from src.errors import AgentUnavailable
from src.router import commands as c
from src.router.model import ChannelLimit, Hours, Overflow
from tests.support.centre import Centre

EITHER = {"chat": ChannelLimit(25, 4), "voice": ChannelLimit(100, 1, excludes=("chat",))}


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_whoever_calls_while_it_chats_comes_to_the_same_agent_though_another_is_idle(centre: Centre) -> None:
    centre.agent("a", channels=EITHER)
    centre.active("chat")
    centre.agent("idle", channels=EITHER)
    centre.contact("call", channel="voice", continues="chat", responsible_id="a")
    assert "a" == centre.holder("call")
    assert "conversation" == centre.engine.state.contacts["call"].target_kind


def test_the_chat_takes_no_units_until_the_customer_writes_there_again(centre: Centre) -> None:
    centre.agent("a", channels=EITHER)
    centre.active("chat")
    centre.contact("call", channel="voice", continues="chat", responsible_id="a")
    chat = centre.engine.state.assignments[centre.assignment_id("chat") or ""]
    assert chat.released
    assert ("moved_on",) == tuple(e.data["reason"] for e in centre.events if e.type == "assignment.released")
    centre.do(c.Message("chat", "m1", "text"))
    assert chat.wanted


def test_an_agent_without_the_skill_is_passed_and_the_chat_stays_its(centre: Centre) -> None:
    centre.agent("a", channels=EITHER)
    centre.active("chat")
    centre.agent("expert", skills={"rare": 50}, channels=EITHER)
    centre.contact("call", "rare", channel="voice", continues="chat", responsible_id="a")
    assert "expert" == centre.holder("call")
    assert not centre.engine.state.assignments[centre.assignment_id("chat") or ""].released


def test_a_follow_up_is_for_the_agent_who_asked_even_without_the_skill(centre: Centre) -> None:
    centre.agent("expert", skills={"rare": 50}, channels=EITHER)
    centre.agent("a", channels=EITHER)
    centre.contact("call", "rare", channel="voice", responsible_id="a", outbound=True)
    assert "a" == centre.holder("call")


def test_a_follow_up_that_its_agent_does_not_take_in_time_is_for_all_that_fit(centre: Centre) -> None:
    centre.agent("a", channels=EITHER)
    centre.active("first", channel="voice")
    centre.agent("b", channels=EITHER)
    centre.contact("call", channel="voice", responsible_id="a", outbound=True)
    assert centre.holder("call") is None
    centre.later(120)
    assert "b" == centre.holder("call")


def test_nobody_is_promised_to_a_customer_who_is_not_there(centre: Centre) -> None:
    centre.agent("a", "away", channels=EITHER)
    with pytest.raises(AgentUnavailable):
        centre.contact("call", channel="voice", responsible_id="a", outbound=True)


def test_who_is_to_be_called_back_may_hang_up(centre: Centre) -> None:
    centre.queue(hours=Hours("UTC", {}, closed=Overflow("callback", message="We call you.")))
    centre.contact("call", channel="voice")
    contact = centre.engine.state.contacts["call"]
    assert ("parked", "callback", ("callback",)) == (contact.state, contact.park_reason, contact.flags)
    centre.do(c.Cancel("call", "abandoned"))
    assert "parked" == contact.state
    centre.agent("a", channels=EITHER)
    centre.queue()
    centre.do(c.Resume("call", by="s"))
    assert "a" == centre.holder("call")
    centre.do(c.Cancel("call", "withdrawn"))
    assert "closed" == contact.state


def test_who_is_merely_away_is_given_up_on_in_the_queue_alone(centre: Centre) -> None:
    centre.contact("waits")
    centre.do(c.Cancel("waits", c.ABSENCE))
    assert {"outcome": "abandoned", "reason": c.ABSENCE} == centre.told("contact.closed")[0].data
    centre.agent("a", channels=EITHER)
    centre.contact("asked")
    centre.active("served")
    centre.do(c.Cancel("asked", c.ABSENCE))
    centre.do(c.Cancel("served", c.ABSENCE))
    assert ("active", 2) == (centre.state("served"), len(centre.told("contact.closed")))
