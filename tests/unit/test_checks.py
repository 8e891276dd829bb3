"""What is refused when configuration is put: with the reason, and the place in the body."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from src.errors import Malformed, UnknownReference
from src.router.checks import check_agent, check_department, check_pilot, check_queue, check_rule
from src.router.model import (
    AgentConfig,
    ChannelLimit,
    DatedDeadlines,
    Deadlines,
    DepartmentConfig,
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Step,
    Terms,
    TimeWindow,
    Weights,
)

AGENTS = frozenset({"a1", "a2"})


def to(queue: str | None) -> Overflow:
    return Overflow("queue", queue)


def night(closed: Overflow | None) -> Hours:
    return Hours("Asia/Shanghai", closed=closed)


QUEUES: Mapping[str, QueueConfig] = {
    "default": QueueConfig("default"),
    "b": QueueConfig("b", overflow=to("c")),
    "c": QueueConfig("c", hours=night(to("d"))),
    "d": QueueConfig("d", overflow=Overflow("close")),
    "back": QueueConfig("back", overflow=to("b"), hours=night(to("q"))),
    "x": QueueConfig("x", overflow=to("y")),
    "y": QueueConfig("y", overflow=to("x")),
}


def refusal(check: Callable[[], None], kind: type[Malformed] = Malformed) -> tuple[str, str]:
    """The place and the reason."""
    with pytest.raises(kind) as refused:
        check()
    assert kind is refused.type
    return str(refused.value.extra["field"]), refused.value.detail


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "steps": (
                Step(0, priority=60),
                Step(30, drop=("a",), lower={"b": 1, "*": 100}),
                Step(60, any_team=True, add_teams=("night",)),
            )
        },
        {"distribution": "weighted", "weights": Weights(idle=0, skill=2.5)},
        {"max_length": 10, "max_wait_s": 60, "overflow": Overflow("close")},
        {"overflow": to("b")},
        {"overflow": to("x")},  # others go round in a circle: they are to blame
        {
            "teams": ("front",),
            "overflow": Overflow("teams", teams=("reserve",)),
            "hours": night(Overflow("callback", message="later")),
        },
        {
            "hours": Hours(
                "Europe/Berlin",
                {0: ((540, 720), (720, 1440)), 6: ((0, 60), (1320, 120))},
                {"2026-10-01": (), "2026-10-02": ((0, 1440),), "2026-10-03": ((780, 1080), (540, 720))},
            )
        },
        {"offer_to": 3},
        {"auto_accept": True},
        {"breather_s": 60, "breather_tags": ("complaint",)},
        {"required_fields": ("resolved", "disposition")},
    ],
    ids=str,
)
def test_a_queue_that_makes_sense_is_taken(settings: Mapping[str, Any]) -> None:
    check_queue(QueueConfig("q", **settings), queues=QUEUES, agents=AGENTS)
    check_queue(QueueConfig("q", **settings), queues={**QUEUES, "q": QueueConfig("q", overflow=to("b"))}, agents=AGENTS)


@pytest.mark.parametrize(
    ("settings", "field", "reason"),
    [
        ({"steps": (Step(-1, priority=1),)}, "steps.0.after_s", "before the contact"),
        ({"steps": (Step(5),)}, "steps.0", "does nothing"),
        ({"steps": (Step(5, priority=1), Step(5, any_team=True))}, "steps.1.after_s", "5 s is not after 5 s"),
        ({"steps": (Step(5, priority=1), Step(4, any_team=True))}, "steps.1.after_s", "4 s is not after 5 s"),
        ({"steps": (Step(5, lower={"a": 0}),)}, "steps.0.lower.a", "from 1 to 100, not 0"),
        ({"steps": (Step(5, priority=1), Step(6, lower={"*": 101}))}, "steps.1.lower.*", "not 101"),
        ({"max_length": 5}, "overflow", "max_length needs an overflow"),
        ({"max_wait_s": 5}, "overflow", "max_wait_s needs an overflow"),
        ({"distribution": "weighted"}, "weights", "needs weights"),
        ({"weights": Weights()}, "weights", "not for longest_idle"),
        ({"distribution": "weighted", "weights": Weights(idle=0)}, "weights", "more than 0"),
        ({"distribution": "weighted", "weights": Weights(load=-1)}, "weights.load", "not -1"),
        ({"distribution": "weighted", "weights": Weights(skill=float("nan"))}, "weights.skill", "nan"),
        ({"distribution": "weighted", "weights": Weights(turn=float("inf"))}, "weights.turn", "inf"),
        ({"offer_to": 0}, "offer_to", "one agent at least"),
        ({"offer_to": 2, "auto_accept": True}, "offer_to", "one agent only"),
        ({"breather_s": 60}, "breather_tags", "needs the tags"),
        ({"required_fields": ("a", "b", "a")}, "required_fields.2", "'a' is there twice"),
        ({"overflow": to(None)}, "overflow.queue", "which queue"),
        ({"overflow": Overflow("teams")}, "overflow.teams", "which teams"),
        ({"overflow": Overflow("callback", callback_after_s=0)}, "overflow.callback_after_s", "one second"),
        ({"overflow": Overflow("close", reason="")}, "overflow.reason", "needs a reason"),
        ({"overflow": to("q")}, "overflow.queue", "to itself"),
        ({"overflow": to("back")}, "overflow.queue", "q → back → q"),
        ({"hours": night(to("q"))}, "hours.closed.queue", "to itself"),
        ({"hours": night(to("back"))}, "hours.closed.queue", "q → back → q"),
        ({"hours": night(Overflow("teams"))}, "hours.closed.teams", "which teams"),
        ({"hours": Hours("Mars/Olympus")}, "hours.time_zone", "'Mars/Olympus'"),
        ({"hours": Hours("localtime")}, "hours.time_zone", "'localtime'"),
        ({"hours": Hours("UTC", {7: ()})}, "hours.days.7", "Monday"),
        ({"hours": Hours("UTC", {0: ((0, 60), (-1, 60))})}, "hours.days.0.1", "after midnight"),
        ({"hours": Hours("UTC", {0: ((0, 1441),)})}, "hours.days.0.0", "1440"),
        ({"hours": Hours("UTC", {0: ((1440, 60),)})}, "hours.days.0.0", "1439"),
        ({"hours": Hours("UTC", {1: ((540, 720), (719, 780))})}, "hours.days.1.1", "11:59 to 13:00 overlaps"),
        ({"hours": Hours("UTC", {1: ((540, 720), (60, 541))})}, "hours.days.1.0", "overlaps 01:00 to 09:01"),
        ({"hours": Hours("UTC", {1: ((540, 720), (540, 720))})}, "hours.days.1.1", "overlaps"),
        # What goes over midnight has the rest of its day.
        ({"hours": Hours("UTC", {1: ((1380, 1400), (1320, 60))})}, "hours.days.1.0", "overlaps 22:00 to 01:00"),
        ({"hours": Hours("UTC", {}, {"2026-02-29": ()})}, "hours.dates.2026-02-29", "not a date"),
        ({"hours": Hours("UTC", {}, {"20261001": ()})}, "hours.dates.20261001", "written"),
        ({"hours": Hours("UTC", {}, {"2026-10-01": ((0, 1441),)})}, "hours.dates.2026-10-01.0", "1440"),
    ],
    ids=str,
)
def test_a_queue_that_makes_no_sense_is_refused(settings: Mapping[str, Any], field: str, reason: str) -> None:
    place, detail = refusal(lambda: check_queue(QueueConfig("q", **settings), queues=QUEUES, agents=AGENTS))

    assert field == place
    assert reason in detail


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"overflow": to("nowhere")}, "overflow.queue"), ({"hours": night(to("nowhere"))}, "hours.closed.queue")],
)
def test_a_queue_that_sends_contacts_nowhere_is_refused(settings: Mapping[str, Any], field: str) -> None:
    place, detail = refusal(
        lambda: check_queue(QueueConfig("q", **settings), queues=QUEUES, agents=AGENTS), UnknownReference
    )

    assert (field, "there is no queue 'nowhere'") == (place, detail)


def test_a_circle_over_several_queues_is_refused_whichever_way_it_is_closed() -> None:
    place, detail = refusal(lambda: check_queue(QueueConfig("d", overflow=to("back")), queues=QUEUES, agents=AGENTS))

    assert "overflow.queue" == place
    assert detail.endswith("d → back → b → c → d")


def test_what_a_queue_said_before_does_not_count() -> None:
    check_queue(QueueConfig("x", overflow=to("d")), queues=QUEUES, agents=AGENTS)


# -- rules -------------------------------------------------------------------------------------------------------------

RULE = RuleConfig("r", priority=60)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"priority": 0, "queue": "b"},
        {"priority": 0, "add_tags": ("urgent",)},
        {"priority": 0, "preferred_agent_id": "a1"},
        {"priority": 0, "terms": Terms(not_teams=("new",))},
        {"priority": -60},
        {"terms": Terms(agents=("a1",), not_agents=("a2",), teams=("any",))},
        {"tags_any": ("a", "b"), "tags_all": ("c",), "tags_none": ("b", "d")},
        {"text": ("投诉", "x" * 64)},
        {"attributes": {"page": ("cart", 1, True, None)}, "customer_attributes": {"club.gold": (True,)}},
        {"time": TimeWindow("Asia/Shanghai", (1320, 360), (0, 6))},
        {"time": TimeWindow("Asia/Shanghai", (0, 1440))},
    ],
    ids=str,
)
def test_a_rule_that_makes_sense_is_taken(settings: Mapping[str, Any]) -> None:
    check_rule(replace(RULE, **settings), queues=QUEUES, agents=AGENTS)


@pytest.mark.parametrize(
    ("settings", "field", "reason"),
    [
        ({"priority": 0}, "then", "does nothing"),
        ({"tags_all": ("a", "b"), "tags_none": ("b",)}, "when.tags_none", "'b' is in tags_all and in tags_none"),
        ({"tags_any": ("a", "b"), "tags_none": ("b", "c", "a")}, "when.tags_none", "can never hold"),
        ({"text": ("投诉", "")}, "when.text.1", "1 to 64"),
        ({"text": (" \t",)}, "when.text.0", "1 to 64"),
        ({"text": ("x" * 65,)}, "when.text.0", "1 to 64"),
        ({"text": ("ﷺ" * 10,)}, "when.text.0", "1 to 64"),  # 18 times as long when it is spelled out
        ({"attributes": {"": ("a",)}}, "when.attributes", "must not be empty"),
        ({"attributes": {"a..b": ("a",)}}, "when.attributes", "'a..b'"),
        ({"attributes": {"page": ()}}, "when.attributes.page", "which values"),
        ({"attributes": {"page": ("a", ["b"])}}, "when.attributes.page.1", "a string, a number"),
        ({"customer_attributes": {"club": ({"gold": True},)}}, "when.customer_attributes.club.0", "a string"),
        ({"customer_attributes": {"club": ()}}, "when.customer_attributes.club", "which values"),
        ({"time": TimeWindow("Mars/Olympus", (0, 60))}, "when.time.time_zone", "'Mars/Olympus'"),
        ({"time": TimeWindow("posix/UTC", (0, 60))}, "when.time.time_zone", "'posix/UTC'"),
        ({"time": TimeWindow("UTC", (0, 1441))}, "when.time.span", "1440"),
        ({"time": TimeWindow("UTC", (0, 60), (0, 7))}, "when.time.days.1", "Monday"),
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused(settings: Mapping[str, Any], field: str, reason: str) -> None:
    place, detail = refusal(lambda: check_rule(replace(RULE, **settings), queues=QUEUES, agents=AGENTS))

    assert field == place
    assert reason in detail


@pytest.mark.parametrize(
    ("settings", "field", "detail"),
    [
        ({"queue": "nowhere"}, "then.queue", "there is no queue 'nowhere'"),
        ({"preferred_agent_id": "a9"}, "then.preferred_agent_id", "there is no agent 'a9'"),
        ({"terms": Terms(agents=("a1", "a9"))}, "then.agents.include.1", "there is no agent 'a9'"),
        ({"terms": Terms(not_agents=("a9",))}, "then.agents.exclude.0", "there is no agent 'a9'"),
    ],
    ids=str,
)
def test_a_rule_that_names_what_is_not_there_is_refused(settings: Mapping[str, Any], field: str, detail: str) -> None:
    refused = refusal(lambda: check_rule(replace(RULE, **settings), queues=QUEUES, agents=AGENTS), UnknownReference)

    assert (field, detail) == refused


# -- pilots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"percent": 0, "from_at": 5, "until_at": 6},
        {"attribute": "region", "values": ("north", 1, None)},
        {"queues": {"b": QueueConfig("b", wrap_up_s=5)}, "rules": {"r": RULE}},
        {"rules": {}},
        # Of two queues that a pilot changes, each is seen as the pilot has it.
        {"queues": {"d": QueueConfig("d", overflow=to("b")), "c": QueueConfig("c")}},
    ],
    ids=str,
)
def test_a_pilot_that_makes_sense_is_taken(settings: Mapping[str, Any]) -> None:
    check_pilot(PilotConfig("p", **settings), queues=QUEUES, agents=AGENTS)


@pytest.mark.parametrize(
    ("settings", "field", "reason"),
    [
        ({"percent": -1}, "percent", "from 0 to 100, not -1"),
        ({"percent": 101}, "percent", "not 101"),
        ({"from_at": 5, "until_at": 5}, "until", "before it begins"),
        ({"attribute": "region"}, "values", "which values"),
        ({"attribute": "region", "values": ("a", [])}, "values.1", "a string, a number"),
        ({"attribute": "", "values": ("a",)}, "attribute", "must not be empty"),
        ({"values": ("a",)}, "attribute", "which attribute"),
        ({"queues": {"b": QueueConfig("b", max_length=1)}}, "queues.b.overflow", "needs an overflow"),
        ({"queues": {"d": QueueConfig("d", overflow=to("b"))}}, "queues.d.overflow.queue", "d → b → c → d"),
        ({"rules": {"r": RuleConfig("r")}}, "rules.r.then", "does nothing"),
        ({"rules": {"r": replace(RULE, text=("",))}}, "rules.r.when.text.0", "1 to 64"),
    ],
    ids=str,
)
def test_a_pilot_that_makes_no_sense_is_refused(settings: Mapping[str, Any], field: str, reason: str) -> None:
    place, detail = refusal(lambda: check_pilot(PilotConfig("p", **settings), queues=QUEUES, agents=AGENTS))

    assert field == place
    assert reason in detail


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"queues": {"new": QueueConfig("new")}}, "queues.new"),
        ({"queues": {"b": QueueConfig("b", overflow=to("new"))}}, "queues.b.overflow.queue"),
        ({"rules": {"r": replace(RULE, queue="new")}}, "rules.r.then.queue"),
        ({"rules": {"r": replace(RULE, preferred_agent_id="a9")}}, "rules.r.then.preferred_agent_id"),
    ],
    ids=str,
)
def test_a_pilot_that_names_what_is_not_there_is_refused(settings: Mapping[str, Any], field: str) -> None:
    pilot = PilotConfig("p", **settings)
    place, _ = refusal(lambda: check_pilot(pilot, queues=QUEUES, agents=AGENTS), UnknownReference)

    assert field == place


# -- departments -------------------------------------------------------------------------------------------------------


def season(from_at: int, until_at: int, **deadlines: int) -> DatedDeadlines:
    return DatedDeadlines(from_at, until_at, Deadlines(**deadlines))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"deadlines": Deadlines(1, 3600, 86_400), "escalate_to": "a1"},
        {"dated": (season(20, 30, feedback_s=5), season(10, 20))},
    ],
    ids=str,
)
def test_a_department_that_makes_sense_is_taken(settings: Mapping[str, Any]) -> None:
    check_department(DepartmentConfig("d", **settings), agents=AGENTS)


@pytest.mark.parametrize(
    ("settings", "field", "reason"),
    [
        ({"deadlines": Deadlines(progress_s=0)}, "deadlines.progress_s", "not 0"),
        ({"deadlines": Deadlines(solution_s=-5)}, "deadlines.solution_s", "not -5"),
        ({"dated": (season(1, 2), season(5, 5))}, "dated.1.until", "before it begins"),
        ({"dated": (season(1, 2, feedback_s=0),)}, "dated.0.deadlines.feedback_s", "not 0"),
        ({"dated": (season(1, 5), season(4, 9))}, "dated.1.from", "before number 0 is over"),
        ({"dated": (season(4, 9), season(1, 5))}, "dated.0.from", "before number 1 is over"),
    ],
    ids=str,
)
def test_a_department_that_makes_no_sense_is_refused(settings: Mapping[str, Any], field: str, reason: str) -> None:
    place, detail = refusal(lambda: check_department(DepartmentConfig("d", **settings), agents=AGENTS))

    assert field == place
    assert reason in detail


def test_a_department_that_escalates_to_nobody_is_refused() -> None:
    department = DepartmentConfig("d", escalate_to="a9")

    assert ("escalate_to", "there is no agent 'a9'") == refusal(
        lambda: check_department(department, agents=AGENTS), UnknownReference
    )


# -- agents ------------------------------------------------------------------------------------------------------------


def limits(**excludes: tuple[str, ...]) -> Mapping[str, ChannelLimit]:
    return {channel: ChannelLimit(25, 4, others) for channel, others in excludes.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mentor_id": "a2", "newcomer_until": 5, "newcomer_percent": 100},
        {
            "skills": {"a": 1},
            "languages": ("zh-CN",),
            "skills_until": {"a": 5, "language:zh": 6},
        },
        {"channels": limits(voice=("*",), webchat=("email",), email=())},
    ],
    ids=str,
)
def test_an_agent_that_makes_sense_is_taken(settings: Mapping[str, Any]) -> None:
    check_agent(AgentConfig("a1", **settings), AGENTS)


@pytest.mark.parametrize(
    ("settings", "field", "reason"),
    [
        ({"mentor_id": "a1"}, "mentor_id", "its own mentor"),
        ({"newcomer_percent": 0}, "newcomer_percent", "not 0"),
        ({"newcomer_percent": 101}, "newcomer_percent", "not 101"),
        ({"skills": {"a": 1}, "skills_until": {"b": 5}}, "skills_until.b", "no skill 'b'"),
        ({"channels": limits(voice=("voice",))}, "channels.voice.excludes.0", "exclude itself"),
        ({"channels": limits(voice=("chat", "chat"), chat=())}, "channels.voice.excludes.1", "twice"),
        ({"channels": limits(voice=("chat", "*"), chat=())}, "channels.voice.excludes.1", "every other"),
        ({"channels": limits(voice=("caht",), chat=())}, "channels.voice.excludes.0", "'caht'"),
    ],
    ids=str,
)
def test_an_agent_that_makes_no_sense_is_refused(settings: Mapping[str, Any], field: str, reason: str) -> None:
    place, detail = refusal(lambda: check_agent(AgentConfig("a1", **settings), AGENTS))

    assert field == place
    assert reason in detail


def test_an_agent_whose_mentor_is_not_there_is_refused() -> None:
    newcomer = AgentConfig("a1", mentor_id="a9")

    assert ("mentor_id", "there is no agent 'a9'") == refusal(lambda: check_agent(newcomer, AGENTS), UnknownReference)
