"""Who fits and who does not, with all reasons, of a contact that is there and of one that is not."""

import pytest

from src.router import commands as c
from src.router import dryrun
from src.router.model import ChannelLimit, Overflow, QueueConfig, Step, TagRequest, Terms, Weights
from src.router.waits import Estimate
from tests.support.centre import Centre


@pytest.fixture
def centre() -> Centre:
    return Centre()


def test_a_dry_run_says_what_would_become_of_a_contact_and_changes_nothing(centre: Centre) -> None:
    centre.queue(steps=(Step(30, lower={"refund": 10}),))
    centre.agent("novice", skills={"refund": 20})
    centre.agent("expert", "away", skills={"refund": 90})
    before = centre.engine.state.seq
    asked = c.Receive("x", "k", "chat", tags=(TagRequest("refund", level=50),))
    told = centre.engine.dry_run(asked, centre.now)
    assert before == centre.engine.state.seq
    assert (0, [1]) == (told["candidates"], [each["fits"] for each in told["steps"]])
    reasons = {each["agent_id"]: [one["code"] for one in each["reasons"]] for each in told["agents"]}
    assert {"novice": ["skill_level:refund"], "expert": ["away"]} == reasons


def test_what_stands_against_each_agent_is_said_of_a_waiting_contact(centre: Centre) -> None:
    centre.queue(teams=("front",))
    for name in ("barred", "paused"):
        centre.agent(name, teams=("front",))
    centre.agent("busy", teams=("front",), capacity=0)
    centre.agent("elsewhere")
    centre.do(c.PauseAgent("paused", by="s", reason="training"))
    centre.contact("x")
    centre.decline("x")
    told = centre.engine.explain_contact("x", centre.now)
    reasons = {each["agent_id"]: [one["code"] for one in each["reasons"]] for each in told["agents"]}
    assert {"barred": ["barred"], "busy": ["no_capacity"], "elsewhere": ["team"], "paused": ["paused"]} == reasons


def test_what_keeps_an_agent_from_one_more_is_said(centre: Centre) -> None:
    channels = {
        "chat": ChannelLimit(30, 2),
        "voice": ChannelLimit(100, 1, excludes=("video",)),
        "video": ChannelLimit(10, 2),
        "mail": ChannelLimit(60, 1, interruptible=True),
        "fax": ChannelLimit(10, 2, interruptible=True),
    }
    centre.agent("a", channels=channels)

    def limit(channel: str) -> tuple[str, int]:
        told = centre.engine.dry_run(c.Receive("new", "k", channel, tags=()), centre.now)
        ((reason,),) = [each["reasons"] for each in told["agents"]]
        assert "no_capacity" == reason["code"]
        return reason["limit"], reason["cost"]

    centre.active("mail", channel="mail")
    assert ("channel_max", 60) == limit("mail")
    centre.active("chat")
    assert ("units", 100) == limit("voice")
    centre.active("chat-2")
    assert ("channel_max", 30) == limit("chat")
    assert ("owed", 10) == limit("fax"), "the mail was interrupted for the second chat, and comes before anything new"
    for name in ("chat", "chat-2", "mail"):
        centre.do(c.Complete(centre.assignment_id(name) or ""))
    centre.active("seen", channel="video")
    assert ("excluded", 100) == limit("voice")


def test_who_would_be_taken_at_once_is_told_no_wait(centre: Centre) -> None:
    centre.agent("a", capacity=25)
    asked = c.Receive("new", "k", "chat", tags=())
    assert Estimate(0, 0, 0) == centre.engine.dry_run(asked, centre.now)["estimate"]
    centre.active("x")
    assert centre.engine.dry_run(asked, centre.now)["estimate"] is None, "the queue has shown no pace yet"


def test_the_value_of_a_mix_is_told_in_minutes_percent_and_levels(centre: Centre) -> None:
    centre.queue(distribution="weighted", weights=Weights(idle=1, load=0.5, skill=0.2))
    centre.agent("a", skills={"refund": 50})
    centre.later(120)
    centre.agent("b", skills={"refund": 90})
    asked = c.Receive("x", "k", "chat", tags=(TagRequest("refund"),))
    ((_, _, trace),) = centre.engine.decide(asked, centre.now).traces
    told = {each["agent_id"]: each["value"] for each in (trace["winner"], *trace["runners_up"])}
    assert {"a": 2 + 50 + 10, "b": 0 + 50 + 18} == told


def test_a_pinned_contact_in_a_paused_queue_is_told_to_be_held_up_by_the_queue(centre: Centre) -> None:
    centre.agent("a", "away")
    centre.contact("x")
    centre.do(c.Pin("x", "a", by="s"))
    assert "open" == centre.engine.explain_contact("x", centre.now)["queue_is"]
    centre.do(c.PauseQueue(QueueConfig("default", paused=True), by="s"))
    centre.do(c.SetPresence("a", "available"))
    assert centre.holder("x") is None
    told = centre.engine.explain_contact("x", centre.now)
    assert (False, "paused", 1) == (told["open"], told["queue_is"], told["candidates"])


def test_the_trace_of_an_offer_names_the_winner_the_runners_up_and_the_step(centre: Centre) -> None:
    for name in ("a", "b"):
        centre.agent(name)
        centre.later(1)
    decision = centre.engine.decide(c.Receive("x", "k", "chat", tags=()), centre.now)
    ((contact_id, _, trace),) = decision.traces
    assert ("x", "a", ["b"], 0) == (
        contact_id,
        trace["winner"]["agent_id"],
        [each["agent_id"] for each in trace["runners_up"]],
        trace["step"],
    )


def test_a_named_agent_who_is_deleted_is_not_taken_from_those_that_fit(centre: Centre) -> None:
    centre.queue(paused=True)
    centre.agent("gone")
    centre.agent("a")
    centre.contact("x", terms=Terms(agents=("gone", "a")))
    centre.do(c.DeleteAgent("gone"))
    told = centre.engine.explain_contact("x", centre.now)
    assert (1, [{"code": "deleted", "count": 1}]) == (told["candidates"], told["excluded"])


def test_a_dry_run_says_how_a_contact_would_be_split(centre: Centre) -> None:
    centre.agent("a", skills={"refund": 50})
    centre.agent("b", skills={"fault": 50})
    asked = c.Receive("x", "k", "chat", tags=(TagRequest("refund", weight=2), TagRequest("fault")))
    told = centre.engine.dry_run(asked, centre.now)
    assert (["refund"], ["fault"]) == tuple([each["skill"] for each in part] for part in told["split"].values())
    assert (1, "a") == (told["candidates"], told["agents"][0]["agent_id"])
    centre.do(asked)
    assert "a" == centre.holder("x")


def test_a_dry_run_says_what_a_full_queue_would_do(centre: Centre) -> None:
    centre.queue("b")
    centre.queue(max_length=1, overflow=Overflow("queue", queue="b"))
    asked = c.Receive("x", "k", "chat", tags=())
    told = centre.engine.dry_run(asked, centre.now)
    assert (False, None, None) == (told["full"], told["overflow"], told["split"])
    centre.contact("first")
    told = centre.engine.dry_run(asked, centre.now)
    assert (True, "max_length", "b") == (told["full"], told["overflow"]["reason"], told["overflow"]["queue"])
    centre.do(asked)
    assert "b" == centre.engine.state.contacts["x"].queue


def test_agents_are_looked_at_one_by_one_up_to_a_number_and_all_are_counted(centre: Centre) -> None:
    for number in range(dryrun.AGENTS_MAX + 10):
        centre.agent(f"a{number:04d}", "away")
    centre.agent("z")
    told = centre.engine.dry_run(c.Receive("x", "k", "chat", tags=()), centre.now)
    assert (1, "z", dryrun.AGENTS_MAX) == (told["candidates"], told["agents"][0]["agent_id"], len(told["agents"]))
    assert [{"code": "away", "count": dryrun.AGENTS_MAX + 10}] == told["excluded"]
