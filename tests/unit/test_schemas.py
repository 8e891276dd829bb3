"""Bodies of configuration as the engine takes them: every field, the defaults, and what was stored before."""

from dataclasses import MISSING, Field, fields, replace
from typing import Any

import pytest

from src.api.schemas import AgentBody, DepartmentBody, PilotBody, QueueBody, RuleBody, SettingsBody
from src.dispatch.config import (
    agent_config,
    department_config,
    milliseconds,
    minutes,
    pilot_config,
    queue_config,
    rule_config,
    settings_config,
)
from src.router.model import (
    AgentConfig,
    Alarm,
    ChannelLimit,
    DatedDeadlines,
    Deadlines,
    Hours,
    Overflow,
    QueueConfig,
    RuleConfig,
    Settings,
    Step,
    Terms,
    TierConfig,
    TimeWindow,
    Weights,
)

NOON = "2026-10-01T12:00:00+08:00"
NOON_AT = 1_790_827_200_000

AGENT: dict[str, Any] = {
    "name": "Nina",
    "skills": {"orders": 80, "refund": {"level": 60, "until": NOON}},
    "languages": ["zh"],
    "capacity": 50,
    "channels": {"webchat": {"cost": 5, "max": 2, "excludes": ["*"], "interruptible": True}},
    "teams": ["red"],
    "mentor_id": "mira",
    "newcomer": {"until": NOON, "percent": 30},
}
QUEUE: dict[str, Any] = {
    "service_level": {"within_s": 20, "percent": 80},
    "offer_timeout_s": 15,
    "wrap_up_s": 5,
    "reoffer_after_s": 9,
    "teams": ["red"],
    "distribution": "weighted",
    "weights": {"idle": 2, "turn": 1, "load": 1, "skill": 1},
    "steps": [
        {
            "after_s": 30,
            "drop": ["a"],
            "prefer": ["b"],
            "lower": {"*": 10},
            "any_language": True,
            "any_team": True,
            "add_teams": ["blue"],
            "priority": 5,
            "alarm": {"name": "waits", "level": "info", "responsible": ["anna"]},
        }
    ],
    "max_length": 5,
    "max_wait_s": 60,
    "overflow": {"action": "callback", "message": "later", "callback_after_s": 60},
    "hours": {
        "time_zone": "Asia/Shanghai",
        "days": {"tue": [["09:00", "24:00"]]},
        "dates": {"2026-10-01": []},
        "closed": {"action": "queue", "queue": "night"},
    },
    "paused": True,
    "auto_accept": True,
    "asks_max": 2,
    "offer_to": 2,
    "dedicated_wait_s": 1,
    "last_agent_wait_s": 2,
    "owner_wait_s": 3,
    "split": False,
    "required_fields": ["order"],
    "breather": {"tags": ["abuse"], "seconds": 60},
}
RULE: dict[str, Any] = {
    "order": 3,
    "when": {
        "tags_any": ["a"],
        "tags_all": ["b"],
        "tags_none": ["c"],
        "channels": ["voice"],
        "accounts": ["main"],
        "customer_tiers": ["gold"],
        "languages": ["zh"],
        "attributes": {"region": ["south", 4, True]},
        "customer_attributes": {"vip": [True]},
        "text": ["紧急"],
        "time": {"time_zone": "Asia/Shanghai", "from": "22:00", "to": "06:00", "days": ["sun", "mon"]},
        "repeat": False,
    },
    "then": {
        "queue": "night",
        "priority": 60,
        "add_tags": ["d"],
        "preferred_agent_id": "anna",
        "agents": {"include": ["anna"], "exclude": ["ben"]},
        "teams": {"include": ["red"], "exclude": ["blue"]},
        "alarm": {"name": "night", "level": "critical", "responsible": ["ben"]},
    },
}
SETTINGS: dict[str, Any] = {
    "presence_grace_s": 5,
    "on_agent_lost": {"*": "hold"},
    "default_region": "US",
    "missed_offers_max": 2,
    "reoffer_after_s": 20,
    "silence_s": {"webchat": 60},
    "wait_flag_s": 60,
    "transfer_flag_count": 2,
    "escalation_priority_s": 60,
    "transfer_wait_s": 11,
    "park_return_s": 10,
    "collaboration": {"progress_s": 60, "feedback_s": None, "solution_s": 600},
    "help_wait_s": 10,
    "repeat_window_s": 60,
    "repeat_count": 3,
    "tiers": {"gold": {"priority": 60, "agents": ["anna"], "dedicated_wait_s": 30}},
    "masked_for": [],
    "restraint": {
        "quiet": {"time_zone": "Asia/Shanghai", "days": {"mon": [["21:00", "09:00"]]}, "dates": {"2026-10-01": []}},
        "outreach_max": 2,
        "outreach_within_s": 3_600,
    },
}


def dumped(body: Any) -> dict[str, Any]:
    return dict(body.model_dump(by_alias=True))


def untouched(value: Any) -> list[str]:
    """The fields of a model that stand at their default."""

    def default(each: Field[Any]) -> Any:
        return each.default_factory() if each.default_factory is not MISSING else each.default

    return [each.name for each in fields(value) if getattr(value, each.name) == default(each)]


def test_every_field_of_the_model_can_be_configured() -> None:
    agent = agent_config("nina", dumped(AgentBody.model_validate(AGENT)))
    queue = queue_config("q", dumped(QueueBody.model_validate(QUEUE)))
    rule = rule_config("r", dumped(RuleBody.model_validate(RULE)))
    settings = settings_config("settings", dumped(SettingsBody.model_validate(SETTINGS)))
    assert [] == [name for value in (agent, queue, rule, settings) for name in untouched(value)]
    assert {"webchat": ChannelLimit(5, 2, ("*",), interruptible=True)} == agent.channels
    assert ({"orders": 80, "refund": 60}, {"refund": NOON_AT}) == (agent.skills, agent.skills_until)
    assert (Weights(2, 1, 1, 1), 60, ("abuse",)) == (queue.weights, queue.breather_s, queue.breather_tags)
    step = Step(30, ("a",), ("b",), {"*": 10}, any_language=True, any_team=True, add_teams=("blue",), priority=5)
    step = replace(step, alarm=Alarm("waits", "info", ("anna",)))
    assert (step,) == queue.steps
    assert Overflow("callback", message="later", callback_after_s=60) == queue.overflow
    closed = Overflow("queue", queue="night")
    assert Hours("Asia/Shanghai", {1: ((540, 1440),)}, {"2026-10-01": ()}, closed) == queue.hours
    assert TimeWindow("Asia/Shanghai", (1320, 360), (0, 6)) == rule.time
    assert Terms(("anna",), ("ben",), ("red",), ("blue",)) == rule.terms
    assert {"region": ("south", 4, True)} == rule.attributes
    assert Deadlines(60, None, 600) == settings.collaboration
    assert {"gold": TierConfig(60, ("anna",), 30)} == settings.tiers


def test_pilots_and_departments() -> None:
    body = {
        "percent": 30,
        "attribute": "region",
        "values": ["south"],
        "from": NOON,
        "until": "2026-10-15T12:00:00+08:00",
        "enabled": False,
        "queues": {"q": QUEUE},
        "rules": {"r": RULE},
    }
    pilot = pilot_config("south", dumped(PilotBody.model_validate(body)))
    assert [] == untouched(pilot)
    assert (NOON_AT, "q", "r") == (pilot.from_at, pilot.queues["q"].name, (pilot.rules or {})["r"].name)
    assert pilot_config("all", dumped(PilotBody())).rules is None
    dated = {"from": NOON, "until": "2026-10-01T05:00:00Z", "progress_s": 9}
    ordinary = {"feedback_s": 60, "solution_s": 90}
    put = {"teams": ["depot"], "deadlines": ordinary, "dated": [dated | {"solution_s": None}], "escalate_to": "boss"}
    department = department_config("logistics", dumped(DepartmentBody.model_validate(put)))
    assert [] == untouched(department)
    season = Deadlines(progress_s=9, feedback_s=60)
    assert (DatedDeadlines(NOON_AT, NOON_AT + 3_600_000, season),) == department.dated, "what is left out stays"


def test_an_empty_body_is_the_models_default() -> None:
    assert QueueConfig("q") == queue_config("q", dumped(QueueBody()))
    assert Settings() == settings_config("settings", dumped(SettingsBody()))
    assert AgentConfig("a") == agent_config("a", dumped(AgentBody()))
    assert RuleConfig("r") == rule_config("r", dumped(RuleBody.model_validate({"then": {}})))


def test_bodies_that_were_stored_before_a_field_was_there_have_its_default() -> None:
    queue = {
        "service_level": {"within_s": 30, "percent": 95},
        "offer_timeout_s": 20,
        "wrap_up_s": 0,
        "reoffer_after_s": None,
        "teams": [],
        "distribution": "longest_idle",
        "steps": [],
        "max_length": None,
        "max_wait_s": None,
        "overflow": None,
        "hours": None,
        "paused": False,
    }
    assert QueueConfig("q") == queue_config("q", queue)
    assert QueueBody() == QueueBody.model_validate(queue)
    limits = {"voice": {"cost": 100, "max": 1}}
    agent = {"name": "", "skills": {"a": 1}, "languages": [], "capacity": 100, "channels": limits, "teams": []}
    assert AgentConfig("a", skills={"a": 1}, channels={"voice": ChannelLimit(100, 1)}) == agent_config("a", agent)
    when, then = (
        {"tags_any": ["a"], "channels": [], "customer_tiers": []},
        {"queue": "q", "priority": 0, "add_tags": []},
    )
    rule = rule_config("r", {"order": 0, "when": when, "then": then})
    assert RuleConfig("r", tags_any=("a",), queue="q") == rule
    settings = {
        "presence_grace_s": 30,
        "on_agent_lost": {"*": "requeue", "voice": "hold"},
        "default_region": "CN",
        "missed_offers_max": 3,
        "reoffer_after_s": 30,
    }
    assert Settings() == settings_config("settings", settings)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (NOON, NOON_AT),
        ("2026-10-01T04:00:00Z", NOON_AT),
        ("2026-10-01t04:00:00.25z", NOON_AT + 250),
        ("2026-10-01T04:00:00.123456789Z", NOON_AT + 123),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times(text: str, at: int) -> None:
    assert at == milliseconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2026-10-01",
        "2026-10-01T12:00:00",
        "2026-10-01T12:00Z",
        "2026-13-01T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-10-01T25:00:00Z",
        "2026-10-01T12:00:00+0800",
        "2026-10-01T12:00:00+25:00",
        "1970-01-01T00:00:00+08:00",
        "9999-12-31T23:59:59-08:00",
        "10000-01-01T00:00:00Z",
        "２０２６-10-01T12:00:00Z",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        milliseconds(text)


def test_times_of_day() -> None:
    assert (0, 541, 1439, 1440) == tuple(minutes(each) for each in ("00:00", "09:01", "23:59", "24:00"))
    for wrong in ("", "9:00", "24:01", "12:60", "noon", "12:00:00"):
        with pytest.raises(ValueError, match="must be a time of day"):
            minutes(wrong)
