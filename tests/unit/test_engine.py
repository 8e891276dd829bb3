"""The engine, case by case, on a clock that stands still until it is moved."""

from collections.abc import Callable

import pytest

from src.errors import AgentBusy, InUse, InvalidState, OfferEnded, Refused, UnknownReference
from src.router import commands as c
from src.router.model import (
    AgentConfig,
    ChannelLimit,
    DepartmentConfig,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
    TagRequest,
    Terms,
)
from tests.support.centre import CHATS, Centre


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_whoever_has_been_idle_longest_is_asked_first(centre: Centre) -> None:
    for name in ("a", "b", "c"):
        centre.agent(name)
        centre.later(1)
    for number, expected in enumerate(["a", "b", "c", "a"]):
        centre.contact(f"x{number}")
        centre.later(0.1)
        assert expected == centre.holder(f"x{number}")


def test_preferred_requirements_beat_idleness(centre: Centre) -> None:
    centre.agent("first", skills={"refund": 50})
    centre.later(5)
    centre.agent("expert", skills={"refund": 50, "gold": 80})
    tags = (TagRequest("refund"), TagRequest("gold", level=60, required=False, weight=5))
    centre.do(c.Receive("x", "k", "chat", tags=tags))
    assert "expert" == centre.holder("x")


def test_a_voice_call_takes_the_whole_agent_and_a_chat_a_part(centre: Centre) -> None:
    centre.agent("a", capacity=100)
    assert centre.contact("call", channel="voice")
    assert centre.contact("chat") is None
    assert "waiting" == centre.engine.state.contacts["chat"].state


def test_freed_capacity_takes_the_smallest_rank(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    offer = centre.contact("now")
    assert offer
    centre.contact("second", "x1")
    centre.later(1)
    centre.contact("first", priority=60)
    centre.do(c.PutAgent(AgentConfig("a", capacity=25, channels=CHATS, skills={"x1": 10})))
    centre.do(c.Accept(offer))
    centre.do(c.Complete(offer))
    assert ("a", None) == (centre.holder("first"), centre.holder("second"))


def test_a_declined_contact_is_not_offered_again_to_the_same_agent_for_a_while(centre: Centre) -> None:
    centre.agent("a")
    offer = centre.contact("x")
    assert offer
    centre.do(c.Decline(offer))
    assert centre.holder("x") is None
    assert [] == [each for each in centre.later(29) if each == "contact.offered"]
    assert ["contact.offered"] == [each for each in centre.later(2) if each == "contact.offered"]


def test_three_misses_in_a_row_make_the_agent_away(centre: Centre) -> None:
    centre.agent("a")
    for number in range(3):
        centre.contact(f"x{number}", channel="voice")
        centre.later(20)
    assert ("away", "missed_offers") == (
        centre.engine.state.agents["a"].status,
        centre.engine.state.agents["a"].reason,
    )


def test_an_accept_in_between_starts_the_count_anew(centre: Centre) -> None:
    centre.agent("a")
    for number in range(5):
        offer = centre.contact(f"x{number}", channel="voice")
        assert offer
        if number == 2:
            centre.do(c.Accept(offer))
            centre.do(c.Complete(offer))
        else:
            centre.later(20)
            centre.do(c.Cancel(f"x{number}"))
    assert "available" == centre.engine.state.agents["a"].status


def test_wrap_up_keeps_the_capacity_until_it_is_over(centre: Centre) -> None:
    centre.do(c.PutQueue(QueueConfig("default", wrap_up_s=10)))
    centre.agent("a")
    offer = centre.contact("call", channel="voice")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Complete(offer, resolved=True, disposition="sold"))
    assert centre.contact("next", channel="voice") is None
    told = centre.later(10)
    assert ["assignment.completed", "contact.closed", "contact.offered"] == [each for each in told if "sla" not in each]


def test_a_requirement_that_lapses_widens_the_search(centre: Centre) -> None:
    centre.agent("a")
    centre.do(c.Receive("x", "k", "chat", tags=(TagRequest("rare", expires_after_s=30),)))
    assert centre.holder("x") is None
    told = centre.later(30)
    assert ["contact.reclassified", "contact.offered"] == [each for each in told if "sla" not in each]


def test_the_service_level_warns_once_and_breaches_once(centre: Centre) -> None:
    centre.do(c.PutQueue(QueueConfig("default", within_s=7)))
    centre.contact("x")
    assert ["sla.warning", "sla.breached"] == centre.later(60)
    assert centre.later(300) == ["contact.flagged"]
    assert centre.engine.next_due() is None


def test_a_transfer_does_not_come_straight_back(centre: Centre) -> None:
    centre.agent("a")
    offer = centre.contact("x")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Transfer("x", by="a", to_queue="default"))
    assert centre.holder("x") is None
    centre.agent("b")
    assert "b" == centre.holder("x")


def test_a_contact_meant_for_one_agent_is_for_all_once_that_agent_goes(centre: Centre) -> None:
    centre.agent("a")
    centre.agent("b")
    busy = centre.contact("call", channel="voice")
    assert "a" == centre.holder("call")
    offer = centre.contact("x")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Transfer("x", by="b", to_agent_id="a"))
    assert centre.holder("x") is None, "a is busy: it waits for a alone"
    centre.agent("c")
    assert centre.holder("x") is None
    centre.do(c.SetPresence("a", "away"))
    assert "c" == centre.holder("x")
    assert busy is not None


def test_an_agent_that_goes_offline_gives_its_offers_back_and_keeps_its_contacts_for_the_grace(centre: Centre) -> None:
    centre.do(c.PutSettings(Settings(presence_grace_s=30)))
    centre.agent("a")
    active, offered = centre.contact("active"), centre.contact("offered")
    assert active
    assert offered
    centre.do(c.Accept(active))
    centre.do(c.SetPresence("a", "offline"))
    assert "waiting" == centre.engine.state.contacts["offered"].state
    assert "active" == centre.engine.state.contacts["active"].state
    centre.later(31)
    assert "waiting" == centre.engine.state.contacts["active"].state


def test_a_call_stays_with_an_agent_whose_browser_died(centre: Centre) -> None:
    centre.agent("a", "offline")
    centre.do(c.Connect("a", "s1"))
    centre.do(c.SetPresence("a", "available"))
    offer = centre.contact("call", channel="voice")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Disconnect("a", "s1"))
    centre.later(60)
    assert ("active", "offline") == (
        centre.engine.state.contacts["call"].state,
        centre.engine.state.agents["a"].status,
    )


def test_a_lease_without_a_socket_runs_out_unless_it_is_renewed(centre: Centre) -> None:
    centre.agent("a", "offline")
    centre.do(c.SetPresence("a", "available", lease_s=60))
    centre.later(50)
    assert [] == centre.do(c.SetPresence("a", "available", lease_s=60)), "a heartbeat is never journalled"
    centre.later(50)
    assert "available" == centre.engine.state.agents["a"].status
    centre.later(20)
    assert ("offline", "lease_expired") == (
        centre.engine.state.agents["a"].status,
        centre.engine.state.agents["a"].reason,
    )


def test_tags_rules_and_tiers_choose_queue_and_priority(centre: Centre) -> None:
    centre.do(c.PutQueue(QueueConfig("aftersales", teams=("aftersales",))))
    centre.do(c.PutTag(TagConfig("refund", keywords=("退款",), requires={"returns": 60})))
    centre.do(c.PutRule(RuleConfig("r", order=1, tags_any=("refund",), queue="aftersales", priority=60)))
    centre.do(c.PutRule(RuleConfig("vip", order=2, customer_tiers=("vip",), queue="default", priority=300)))
    centre.agent("outsider", skills={"returns": 90})
    centre.do(c.Receive("x", "k", "chat", text="昨天申请的退款还没到账", tier="vip"))
    contact = centre.engine.state.contacts["x"]
    assert ("aftersales", 360, ("refund",)) == (contact.queue, contact.priority, contact.tags)
    assert [("returns", 60)] == [(each.skill, each.level) for each in contact.requirements]
    assert centre.holder("x") is None, "skilled, but of no team of the queue"
    centre.agent("insider", skills={"returns": 60}, teams=("aftersales",))
    assert "insider" == centre.holder("x")


def test_why_it_waits(centre: Centre) -> None:
    centre.agent("rookie", skills={"refund": 20})
    centre.agent("away", "away", skills={"refund": 90})
    centre.agent("busy", skills={"refund": 90}, capacity=0)
    centre.agent("other")
    decision = centre.engine.decide(c.Receive("x", "k", "chat", tags=(TagRequest("refund", level=50),)), centre.now)
    (_, seq, trace) = decision.traces[0]
    assert decision.events[0].seq == seq
    reasons = {each["reason"]: (each["count"], each["example"]) for each in trace["excluded"]}
    assert {
        "away": (1, "away"),
        "no_capacity": (1, "busy"),
        "skill_level:refund": (1, "rookie"),
        "skill_missing:refund": (1, "other"),
    } == reasons
    explained = {name: centre.engine.explain("x", name) for name in ("rookie", "away", "busy", "other")}
    assert {
        "rookie": "skill_level:refund",
        "away": "away",
        "busy": "no_capacity",
        "other": "skill_missing:refund",
    } == explained


REFUSALS: list[tuple[type[Refused], Callable[[Centre, str], c.Command]]] = [
    (OfferEnded, lambda centre, offer: (centre.later(20), c.Accept(offer))[1]),
    (InvalidState, lambda _, offer: c.Complete(offer)),
    (InvalidState, lambda _, _offer: c.Transfer("x", by="t", to_queue="default")),
    (AgentBusy, lambda _, _offer: c.DeleteAgent("a")),
    (InUse, lambda _, _offer: c.DeleteNamed("queue", "default")),
    (UnknownReference, lambda _, _offer: c.Receive("y", "k", "chat", queue="nowhere")),
    (UnknownReference, lambda _, _offer: c.PutRule(RuleConfig("r", queue="nowhere"))),
]


@pytest.mark.parametrize(("error", "command"), REFUSALS)
def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(
    centre: Centre, error: type[Refused], command: Callable[[Centre, str], c.Command]
) -> None:
    centre.agent("a")
    offer = centre.contact("x")
    assert offer
    asked = command(centre, offer)
    before = centre.engine.state.seq
    with pytest.raises(error):
        centre.do(asked)
    assert before == centre.engine.state.seq


def test_a_contact_meant_for_an_agent_that_no_longer_serves_its_channel_is_for_all(centre: Centre) -> None:
    centre.agent("a")
    centre.agent("b")
    call = centre.contact("call", channel="voice")
    assert "a" == centre.holder("call")
    offer = centre.contact("x")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Transfer("x", by="b", to_agent_id="a"))
    centre.agent("c")
    assert centre.holder("x") is None
    centre.do(c.PutAgent(AgentConfig("a", channels={"voice": ChannelLimit(100, 1)})))
    assert "c" == centre.holder("x")
    assert call


def test_a_level_that_lapses_leaves_the_lower_one_that_does_not(centre: Centre) -> None:
    centre.agent("novice", skills={"refund": 10})
    centre.agent("stranger")
    tags = (TagRequest("refund"), TagRequest("refund", level=80, expires_after_s=5))
    centre.do(c.Receive("x", "k", "chat", tags=tags))
    assert centre.holder("x") is None
    centre.later(5)
    assert "novice" == centre.holder("x")


def test_languages_are_matched_by_their_primary_subtag(centre: Centre) -> None:
    centre.agent("a", languages=("zh",))
    centre.do(c.Receive("x", "k", "chat", tags=(), language="ZH-Hant-TW"))
    assert "a" == centre.holder("x")


def test_a_change_of_priority_alone_keeps_the_agent_that_a_contact_is_meant_for(centre: Centre) -> None:
    centre.agent("a")
    centre.agent("b")
    centre.contact("call", channel="voice")
    offer = centre.contact("x")
    assert offer
    centre.do(c.Accept(offer))
    centre.do(c.Transfer("x", by="b", to_agent_id="a"))
    centre.do(c.Reclassify("x", priority=60))
    assert "a" == centre.engine.state.contacts["x"].target_agent_id
    centre.do(c.Reclassify("x", tags=()))
    assert centre.engine.state.contacts["x"].target_agent_id is None


def test_a_message_joins_no_contact_that_is_being_wrapped_up(centre: Centre) -> None:
    centre.do(c.PutQueue(QueueConfig("default", wrap_up_s=60)))
    centre.agent("a")
    offer = centre.contact("x")
    assert offer
    thread = ("chat", "", "k-x")
    assert "x" == getattr(centre.engine.state.thread(*thread), "id", None)
    centre.do(c.Accept(offer))
    centre.do(c.Complete(offer))
    assert centre.engine.state.thread(*thread) is None


@pytest.mark.parametrize("ending", ["xyz", "zyx", "yxz", "yzx"])
def test_what_a_customer_has_open_is_known_in_whatever_order_it_ends(centre: Centre, ending: str) -> None:
    for name in "xyz":
        centre.do(c.Receive(name, "anna", "chat"))
    left = {"x", "y", "z"}
    for name in ending:
        assert left == {each.id for each in centre.engine.state.open_of("anna")}
        centre.do(c.Cancel(name))
        left.remove(name)
    assert [] == centre.engine.state.open_of("anna")


@pytest.mark.parametrize(
    ("naming", "unnaming"),
    [
        (c.PutAgent(AgentConfig("novice", mentor_id="a")), c.DeleteAgent("novice")),
        (c.PutRule(RuleConfig("r", 1, preferred_agent_id="a")), c.DeleteNamed("rule", "r")),
        (c.PutRule(RuleConfig("r", 1, terms=Terms(not_agents=("a",)))), c.DeleteNamed("rule", "r")),
        (
            c.PutPilot(PilotConfig("p", rules={"r": RuleConfig("r", 1, preferred_agent_id="a")})),
            c.DeleteNamed("pilot", "p"),
        ),
        (c.PutDepartment(DepartmentConfig("d", escalate_to="a")), c.DeleteNamed("department", "d")),
    ],
)
def test_an_agent_that_others_name_is_not_deleted(centre: Centre, naming: c.Command, unnaming: c.Command) -> None:
    centre.agent("a")
    centre.do(naming)
    with pytest.raises(InUse):
        centre.do(c.DeleteAgent("a"))
    assert "a" in centre.engine.config.agents
    centre.do(unnaming)
    centre.do(c.DeleteAgent("a"))
    assert "a" not in centre.engine.state.agents
