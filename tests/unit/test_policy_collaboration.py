"""Help: splitting into a lead and help, departments with deadlines, approvals."""

import pytest

from src.errors import Forbidden, Malformed
from src.router import commands as c
from src.router.model import DatedDeadlines, Deadlines, DepartmentConfig, TagRequest
from tests.support.centre import Centre


@pytest.fixture
def centre() -> Centre:
    found = Centre()
    found.agent("lead", skills={"refund": 50})
    return found


def told(centre: Centre, deadline: str) -> list[str]:
    """What was told of a deadline; several who are told the same at once count as one."""
    found = [
        (each.at, each.type.rpartition(".")[2])
        for each in centre.told("collaboration.warning", "collaboration.escalated")
        if each.data["deadline"] == deadline
    ]
    return [kind for _, kind in dict.fromkeys(found)]


def hearers(centre: Centre, kind: str) -> list[str | None]:
    return [each.agent_id for each in centre.told(f"collaboration.{kind}")]


def skills_asked(centre: Centre) -> list[str]:
    return [need.skill for each in centre.engine.state.collaborations.values() for need in each.requirements]


def asked(centre: Centre) -> str | None:
    return centre.engine.state.collaborations["h"].agent_id


# -- splitting ---------------------------------------------------------------------------------------------------------


def test_what_nobody_covers_alone_has_a_lead_and_help_for_the_rest(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    centre.contact("x", "refund", "fault")
    centre.accept("x")
    lead = centre.holder("x")
    (help_,) = centre.engine.state.collaborations.values()
    assert {"lead", "expert"} == {lead, help_.agent_id}
    assert 1 == len(help_.requirements)


def test_the_lead_covers_the_larger_part_by_weight(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    tags = (TagRequest("refund", weight=1), TagRequest("fault", weight=5))
    centre.do(c.Receive("x", "k", "chat", tags=tags))
    assert "expert" == centre.holder("x")


def test_what_somebody_covers_alone_is_not_split_even_if_that_one_is_away(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    centre.agent("both", "away", skills={"refund": 50, "fault": 50})
    assert centre.contact("x", "refund", "fault") is None
    centre.do(c.SetPresence("both", "available"))
    assert "both" == centre.holder("x")


@pytest.mark.parametrize("gone", ["deleted", "changed", "run out"])
def test_what_waits_is_split_once_nobody_covers_it_alone_any_more(centre: Centre, gone: str) -> None:
    centre.agent("expert", skills={"fault": 50})
    ends = {"skills_until": {"fault": centre.now + 60_000}} if gone == "run out" else {}
    centre.agent("both", "away", skills={"refund": 50, "fault": 50}, **ends)
    assert centre.contact("x", "refund", "fault") is None
    if gone == "deleted":
        centre.do(c.DeleteAgent("both"))
    elif gone == "changed":
        centre.agent("both", "away", skills={"refund": 50})
    centre.later(61)
    assert centre.holder("x") in {"lead", "expert"}


def test_what_waits_is_split_once_all_together_cover_it(centre: Centre) -> None:
    assert centre.contact("x", "refund", "fault") is None
    centre.agent("expert", "away", skills={"fault": 50})
    centre.later(1)
    assert "lead" == centre.holder("x")


def test_what_nobody_covers_at_all_is_not_split(centre: Centre) -> None:
    assert centre.contact("x", "refund", "unheard_of") is None
    centre.queue("whole", split=False)
    centre.agent("expert", skills={"fault": 50})
    assert centre.contact("y", "refund", "fault", queue="whole") is None


def test_one_ask_for_each_shared_skill(centre: Centre) -> None:
    centre.agent("expert", "away", skills={"fault": 90})
    tags = (
        TagRequest("refund", weight=9),
        TagRequest("fault"),
        TagRequest("fault", level=80, expires_after_s=60),
    )
    centre.do(c.Receive("x", "k", "chat", tags=tags))
    centre.accept("x")
    assert ["fault"] == [
        need.skill for each in centre.engine.state.collaborations.values() for need in each.requirements
    ]


def test_a_helper_that_becomes_the_lead_helps_no_more(centre: Centre) -> None:
    centre.agent("expert")
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", to_agent_id="expert"))
    centre.do(c.AcceptCollaboration("h", by="expert"))
    centre.do(c.Transfer("x", by="lead", to_agent_id="expert"))
    centre.accept("x")
    assert {} == centre.engine.state.collaborations


def test_another_lead_shares_what_it_lacks_and_nothing_else(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    centre.do(c.Receive("x", "k", "chat", tags=(TagRequest("refund", weight=2), TagRequest("fault"))))
    centre.accept("x")
    centre.do(c.Transfer("x", by="lead", to_agent_id="expert"))
    centre.accept("x")
    assert ["refund"] == skills_asked(centre)
    assert ["lead"] == [each.agent_id for each in centre.engine.state.collaborations.values()]


def test_a_lead_that_covers_all_needs_no_help(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    centre.do(c.Receive("x", "k", "chat", tags=(TagRequest("refund", weight=2), TagRequest("fault"))))
    centre.accept("x")
    centre.agent("both", skills={"refund": 50, "fault": 50})
    centre.do(c.Transfer("x", by="lead", to_agent_id="both"))
    centre.accept("x")
    assert {} == centre.engine.state.collaborations
    assert ["lead_covers"] == [each.data["reason"] for each in centre.told("collaboration.closed")]


def test_a_lead_keeps_the_help_that_was_asked_for(centre: Centre) -> None:
    centre.agent("expert", skills={"fault": 50})
    centre.agent("other", skills={"refund": 40})
    centre.do(c.Receive("x", "k", "chat", tags=(TagRequest("refund", weight=2), TagRequest("fault"))))
    lead = centre.holder("x")
    centre.accept("x")
    before = list(centre.engine.state.collaborations)
    centre.do(c.Transfer("x", by=lead or "", to_agent_id="other" if lead == "lead" else "lead"))
    centre.accept("x")
    assert (before, ["fault"]) == (list(centre.engine.state.collaborations), skills_asked(centre))


# -- asking on ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def helped(centre: Centre) -> Centre:
    """Three who know the law, the first of them there."""
    for name in ("h1", "h2", "h3"):
        centre.agent(name, "away", skills={"law": 50})
    centre.active("x", "refund")
    centre.do(c.SetPresence("h1", "available"))
    return centre


def ask(centre: Centre) -> None:
    centre.do(c.Collaborate("h", "x", by="lead", tags=(TagRequest("law"),)))


def test_help_of_one_who_leaves_is_asked_of_another(helped: Centre) -> None:
    ask(helped)
    assert "h1" == asked(helped)
    helped.do(c.SetPresence("h1", "offline"))
    helped.do(c.SetPresence("h2", "available"))
    helped.later(60)
    assert "h2" == asked(helped)


def test_help_is_asked_of_all_in_turn(helped: Centre) -> None:
    for name in ("h2", "h3"):
        helped.do(c.SetPresence(name, "available"))
    ask(helped)
    found = {asked(helped)}
    for _ in range(2):
        helped.later(60)
        found.add(asked(helped))
    assert {"h1", "h2", "h3"} == found


def test_help_that_nobody_was_there_for_is_asked_of_who_comes(helped: Centre) -> None:
    helped.do(c.SetPresence("h1", "away"))
    ask(helped)
    helped.later(150)
    assert asked(helped) is None
    helped.do(c.SetPresence("h3", "available"))
    helped.later(60)
    assert "h3" == asked(helped)


def test_whoever_fits_may_take_what_was_asked_of_nobody_by_name(helped: Centre) -> None:
    ask(helped)
    helped.agent("stranger")
    with pytest.raises(Forbidden):
        helped.do(c.AcceptCollaboration("h", by="stranger", agent_id="stranger"))
    helped.do(c.AcceptCollaboration("h", by="h2", agent_id="h2"))
    helped.later(600)
    assert ("h2", []) == (asked(helped), helped.told("collaboration.asked"))


def test_help_of_a_named_agent_is_for_that_one_until_it_is_deleted(helped: Centre) -> None:
    deadlines = Deadlines(feedback_s=1000)
    tags = (TagRequest("law"),)
    helped.do(c.Collaborate("h", "x", by="lead", tags=tags, to_agent_id="h2", deadlines=deadlines))
    helped.later(600)
    assert "h2" == asked(helped)
    with pytest.raises(Forbidden):
        helped.do(c.AcceptCollaboration("h", by="h1", agent_id="h1"))
    helped.do(c.DeleteAgent("h2"))
    helped.do(c.SetPresence("h1", "available"))
    helped.later(201)
    assert "h1" == asked(helped)
    helped.do(c.AcceptCollaboration("h", by="h1", agent_id="h1"))


def test_help_of_one_who_is_deleted_is_asked_of_another(helped: Centre) -> None:
    ask(helped)
    helped.do(c.DeleteAgent("h1"))
    helped.do(c.SetPresence("h2", "available"))
    helped.later(60)
    assert "h2" == asked(helped)


def test_help_that_a_deleted_agent_had_begun_is_asked_of_another(helped: Centre) -> None:
    deadlines = Deadlines(feedback_s=1000, progress_s=500)
    helped.do(c.Collaborate("h", "x", by="lead", tags=(TagRequest("law"),), deadlines=deadlines))
    begun = asked(helped)
    helped.do(c.AcceptCollaboration("h", by=str(begun), agent_id=begun))
    helped.later(450)  # a warning is given
    helped.do(c.SetPresence("h2", "available"))
    helped.do(c.DeleteAgent(str(begun)))
    (help_,) = helped.engine.state.collaborations.values()
    assert ("requested", "h2", None) == (help_.state, help_.agent_id, help_.accepted_at)
    assert help_.feedback_by == helped.now + 1_000_000
    helped.do(c.AcceptCollaboration("h", by="h2", agent_id="h2"))
    helped.do(c.ReplyCollaboration("h", "h2", "solution", None, "h2"))
    assert "solved" == helped.told("collaboration.closed")[0].data["reason"]


def test_an_approval_ends_with_its_approver(helped: Centre) -> None:
    helped.do(c.Collaborate("h", "x", by="lead", kind="approval", to_agent_id="h2"))
    helped.do(c.DeleteAgent("h2"))
    assert [("agent_deleted", "lead")] == [(e.data["reason"], e.agent_id) for e in helped.told("collaboration.closed")]
    assert not helped.engine.state.collaborations


# -- departments and deadlines -----------------------------------------------------------------------------------------


def test_a_department_warns_before_and_escalates_after_its_deadline(centre: Centre) -> None:
    centre.do(
        c.PutDepartment(
            DepartmentConfig("law", teams=("law",), deadlines=Deadlines(feedback_s=100), escalate_to="lead")
        )
    )
    centre.agent("lawyer", teams=("law",))
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", department="law"))
    assert ("lawyer", "department") == (
        centre.engine.state.collaborations["h"].agent_id,
        centre.engine.state.collaborations["h"].kind,
    )
    centre.later(79)
    assert [] == told(centre, "feedback")
    centre.later(2)
    assert ["warning"] == told(centre, "feedback")
    centre.later(1000)
    assert ["warning", "escalated"] == told(centre, "feedback")
    assert "lead" == centre.told("collaboration.escalated")[0].data["escalate_to"]


def test_everybody_who_is_concerned_hears_of_a_deadline(centre: Centre) -> None:
    law = DepartmentConfig("law", teams=("law",), deadlines=Deadlines(feedback_s=100), escalate_to="boss")
    centre.agent("boss", "away")
    centre.do(c.PutDepartment(law))
    centre.agent("lawyer", teams=("law",))
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", department="law"))
    centre.later(200)
    assert ["lawyer", "lead"] == hearers(centre, "warning")
    assert ["lawyer", "lead", "boss"] == hearers(centre, "escalated")
    with pytest.raises(Forbidden):
        centre.do(c.CloseCollaboration("h", by="stranger", agent_id="stranger"))
    centre.do(c.CloseCollaboration("h", by="boss", reason="by phone", agent_id="boss"))
    assert {} == centre.engine.state.collaborations


def test_where_nobody_is_concerned_it_is_told_to_nobody(centre: Centre) -> None:
    centre.contact("x", "unheard_of")
    deadlines = Deadlines(feedback_s=100)
    centre.do(c.Collaborate("h", "x", by="s", tags=(TagRequest("law"),), deadlines=deadlines))
    centre.later(100)
    assert ([None], [None]) == (hearers(centre, "warning"), hearers(centre, "escalated"))


def test_a_solution_that_nobody_accepts_to_find_is_escalated(centre: Centre) -> None:
    centre.do(c.PutDepartment(DepartmentConfig("lab", teams=("lab",), deadlines=Deadlines(solution_s=1000))))
    centre.agent("tech", "away", teams=("lab",))
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", department="lab"))
    centre.later(801)
    assert ["lead"] == hearers(centre, "warning")
    centre.later(200)
    assert ["lead"] == hearers(centre, "escalated")
    centre.do(c.AcceptCollaboration("h", by="tech", agent_id="tech"))
    assert centre.now + 1_000_000 == centre.engine.state.collaborations["h"].solution_by


def test_a_season_has_deadlines_of_its_own(centre: Centre) -> None:
    season = DatedDeadlines(centre.now, centre.now + 60_000, Deadlines(feedback_s=30))
    centre.do(c.PutDepartment(DepartmentConfig("law", deadlines=Deadlines(feedback_s=100), dated=(season,))))
    centre.active("x", "refund")
    centre.do(c.Collaborate("h1", "x", by="lead", department="law"))
    centre.later(60)
    centre.do(c.Collaborate("h2", "x", by="lead", department="law"))
    found = centre.engine.state.collaborations
    assert (30, 100) == (found["h1"].deadlines.feedback_s, found["h2"].deadlines.feedback_s)


def test_anybody_of_the_department_may_take_it_and_nobody_else(centre: Centre) -> None:
    centre.do(c.PutDepartment(DepartmentConfig("law", teams=("law",))))
    for name in ("first", "second"):
        centre.agent(name, teams=("law",))
    centre.agent("stranger")
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", department="law"))
    with pytest.raises(Forbidden):
        centre.do(c.AcceptCollaboration("h", by="stranger", agent_id="stranger"))
    centre.do(c.AcceptCollaboration("h", by="second", agent_id="second"))
    assert "second" == centre.engine.state.collaborations["h"].agent_id


def test_help_that_nobody_was_there_for_may_be_given_by_whoever_can(centre: Centre) -> None:
    centre.agent("expert", "away", skills={"law": 50})
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", tags=(TagRequest("law"),)))
    assert centre.engine.state.collaborations["h"].agent_id is None
    centre.do(c.AcceptCollaboration("h", by="expert", agent_id="expert"))
    assert "accepted" == centre.engine.state.collaborations["h"].state


def test_the_lead_does_not_help_itself(centre: Centre) -> None:
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", tags=(TagRequest("refund"),)))
    with pytest.raises(Forbidden):
        centre.do(c.AcceptCollaboration("h", by="lead", agent_id="lead"))


def test_a_word_restarts_the_time_of_who_said_it_and_of_nobody_else(centre: Centre) -> None:
    centre.agent("expert")
    centre.active("x", "refund")
    deadlines = Deadlines(progress_s=100, solution_s=1000)
    centre.do(c.Collaborate("h", "x", by="lead", to_agent_id="expert", deadlines=deadlines))
    centre.do(c.AcceptCollaboration("h", by="expert"))
    centre.later(150)
    centre.do(c.ReplyCollaboration("h", by="expert", kind="progress", agent_id="expert"))
    centre.later(50)
    assert ["warning", "escalated"] == told(centre, "lead")
    centre.later(100)
    assert ["warning", "escalated"] * 2 == told(centre, "progress")
    centre.do(c.ReplyCollaboration("h", by="expert", kind="solution", agent_id="expert"))
    assert "solved" == centre.told("collaboration.closed")[0].data["reason"]


def test_help_ends_with_its_contact(centre: Centre) -> None:
    centre.agent("expert")
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", to_agent_id="expert"))
    centre.do(c.Complete(centre.assignment_id("x") or ""))
    assert {} == centre.engine.state.collaborations


# -- approvals ---------------------------------------------------------------------------------------------------------


def test_an_approval_is_given_or_refused_by_its_approver(centre: Centre) -> None:
    centre.agent("boss", "away")
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", kind="approval", to_agent_id="boss"))
    with pytest.raises(Forbidden):
        centre.do(c.AcceptCollaboration("h", by="lead", agent_id="lead"))
    centre.do(c.ReplyCollaboration("h", by="boss", approved=False, agent_id="boss"))
    (closed,) = centre.told("collaboration.closed")
    assert ("lead", "refused") == (closed.agent_id, closed.data["reason"])


def test_an_answer_that_is_refused_accepts_nothing(centre: Centre) -> None:
    centre.agent("boss", "away")
    centre.active("x", "refund")
    centre.do(c.Collaborate("h", "x", by="lead", kind="approval", to_agent_id="boss"))
    before = centre.engine.state.seq
    with pytest.raises(Malformed):
        centre.do(c.ReplyCollaboration("h", by="boss", agent_id="boss"))
    assert (before, "requested") == (centre.engine.state.seq, centre.engine.state.collaborations["h"].state)
