"""Many pieces of configuration at once: checked as they will be together, and done, all of them or none."""

from copy import deepcopy

import pytest

from src.errors import AgentBusy, InUse, Malformed, NotFound, Refused, UnknownReference
from src.router import commands as c
from src.router.model import (
    AgentConfig,
    DepartmentConfig,
    Overflow,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
    TierConfig,
)
from tests.support.centre import Centre

TO_LATE = QueueConfig("early", max_wait_s=5, overflow=Overflow("queue", queue="late"))
TO_EARLY = QueueConfig("late", max_wait_s=5, overflow=Overflow("queue", queue="early"))


def test_what_is_put_may_name_one_another_whatever_comes_first() -> None:
    centre = Centre()
    told = centre.do(
        c.Reconfigure(
            (
                c.PutAgent(AgentConfig("anna", mentor_id="ben")),
                c.PutAgent(AgentConfig("ben", mentor_id="anna", skills={"refund": 50})),
                c.PutQueue(TO_LATE),
                c.PutQueue(QueueConfig("late")),
                c.PutTag(TagConfig("refund", keywords=("refund",))),
                c.PutRule(RuleConfig("r", tags_any=("refund",), queue="early", preferred_agent_id="ben")),
                c.PutPilot(PilotConfig("p", queues={"late": QueueConfig("late", wrap_up_s=5)})),
                c.PutDepartment(DepartmentConfig("law", escalate_to="anna")),
                c.PutSettings(Settings(tiers={"vip": TierConfig(agents=("anna",))})),
            )
        )
    )
    kinds = ("agent", "agent", "queue", "queue", "tag", "rule", "pilot", "department", "settings")
    assert [f"{each}.updated" for each in kinds] == [each.type for each in told]
    centre.do(c.SetPresence("ben", "available"))
    centre.do(c.Receive("k1", "someone", "chat", text="my refund"))
    assert "early" == centre.engine.state.contacts["k1"].queue
    assert "ben" == centre.holder("k1")


def test_a_change_that_no_order_of_single_ones_could_make() -> None:
    centre = Centre()
    centre.do(c.PutQueue(QueueConfig("late")))
    centre.do(c.PutQueue(TO_LATE))
    with pytest.raises(Malformed, match="circle"):
        centre.do(c.PutQueue(TO_EARLY))
    centre.do(c.Reconfigure((c.PutQueue(TO_EARLY), c.PutQueue(QueueConfig("early")))))
    assert TO_EARLY == centre.engine.config.queues["late"]


@pytest.mark.parametrize("put", [c.PutQueue(TO_EARLY), c.Reconfigure((c.PutQueue(TO_EARLY),))])
def test_a_circle_that_only_contacts_of_a_pilot_would_go_round_is_refused(put: c.Command) -> None:
    centre = Centre()
    centre.do(c.PutQueue(QueueConfig("late")))
    centre.do(c.PutQueue(QueueConfig("early")))
    centre.do(c.PutPilot(PilotConfig("there and back", queues={"early": TO_LATE})))
    with pytest.raises(Malformed, match="in pilot 'there and back' contacts would go round in a circle"):
        centre.do(put)
    centre.do(c.PutPilot(PilotConfig("there and back", queues={"early": TO_LATE, "late": QueueConfig("late")})))
    centre.do(put)
    assert TO_EARLY == centre.engine.config.queues["late"]


def test_what_waits_is_offered_to_whom_it_fits_now() -> None:
    centre = Centre()
    centre.agent("anna")
    centre.contact("k1", "refund")
    assert centre.assignment_id("k1") is None
    centre.do(c.Reconfigure((c.PutAgent(AgentConfig("anna", skills={"refund": 50})),)))
    assert "anna" == centre.holder("k1")


@pytest.mark.parametrize(
    ("error", "field", "command"),
    [
        (UnknownReference, "queues.early.overflow.queue", c.Reconfigure((c.PutQueue(TO_LATE),))),
        (Malformed, "queues.early.overflow.queue", c.Reconfigure((c.PutQueue(TO_LATE), c.PutQueue(TO_EARLY)))),
        (UnknownReference, "agents.x.mentor_id", c.Reconfigure((c.PutAgent(AgentConfig("x", mentor_id="y")),))),
        (Malformed, "rules.r.then", c.Reconfigure((c.PutRule(RuleConfig("r")),))),
        (
            UnknownReference,
            "settings.tiers.vip.agents.0",
            c.Reconfigure((c.PutSettings(Settings(tiers={"vip": TierConfig(agents=("x",))})),)),
        ),
        (Malformed, "tags.t", c.Reconfigure((c.PutTag(TagConfig("t", keywords=("x" * 65,))),))),
        (NotFound, "queues.none", c.Reconfigure((), (c.DeleteNamed("queue", "none"),))),
        (NotFound, "agents.none", c.Reconfigure((), (c.DeleteAgent("none"),))),
        (InUse, "queues.default", c.Reconfigure((), (c.DeleteNamed("queue", "default"),))),
        (InUse, "queues.work", c.Reconfigure((), (c.DeleteNamed("queue", "work"),))),
        (AgentBusy, "agents.anna", c.Reconfigure((), (c.DeleteAgent("anna"),))),
        (
            UnknownReference,
            "departments.law.escalate_to",
            c.Reconfigure((c.PutDepartment(DepartmentConfig("law", escalate_to="ben")),), (c.DeleteAgent("ben"),)),
        ),
    ],
)
def test_refused_says_where_and_nothing_has_happened(error: type[Refused], field: str, command: c.Command) -> None:
    centre = Centre()
    centre.queue("work")
    centre.agent("anna")
    centre.agent("ben", status="offline")
    centre.active("k1", queue="work")
    good = c.PutQueue(QueueConfig("good"))
    assert isinstance(command, c.Reconfigure)
    before, state = deepcopy(centre.engine.config), centre.engine.state.hash
    for act in (centre.engine.check, centre.do):
        with pytest.raises(error) as refused:
            act(c.Reconfigure((good, *command.puts), command.deletes))
        assert str(refused.value.extra["field"]).startswith(field)
    assert (before, state) == (centre.engine.config, centre.engine.state.hash)


def test_all_that_is_wrong_is_told() -> None:
    centre = Centre()
    with pytest.raises(UnknownReference) as refused:
        centre.do(
            c.Reconfigure((c.PutQueue(TO_LATE), c.PutAgent(AgentConfig("x", mentor_id="y"))), (c.DeleteAgent("z"),))
        )
    assert ["queues.early.overflow.queue", "agents.x.mentor_id", "agents.z"] == [
        each["field"]
        for each in refused.value.extra["errors"]  # type: ignore[attr-defined]
    ]


def test_what_goes_together_goes() -> None:
    centre = Centre()
    centre.queue("late")
    centre.do(c.PutQueue(TO_LATE))
    centre.agent("anna")
    centre.do(c.PutRule(RuleConfig("r", queue="early", preferred_agent_id="anna")))
    with pytest.raises(InUse):
        centre.do(c.DeleteAgent("anna"))
    queues = (c.DeleteNamed("queue", "late"), c.DeleteNamed("queue", "early"))
    told = centre.do(c.Reconfigure((), (*queues, c.DeleteNamed("rule", "r"), c.DeleteAgent("anna"))))
    assert {"queue.deleted", "rule.deleted", "agent.deleted"} == {each.type for each in told}
    assert (["default"], {}, {}) == (
        list(centre.engine.config.queues),
        centre.engine.config.rules,
        centre.engine.config.agents,
    )
