"""Alarms: raised once for a contact and name by rules and steps, told to who is responsible, and kept in the fold."""

from typing import Any

import pytest

from src.dispatch.facts import WebhookFact
from src.dispatch.webhooks import wanted
from src.errors import InUse
from src.router import commands as c
from src.router.entities import Contact
from src.router.journal import Event
from src.router.model import Alarm, PilotConfig, QueueConfig, RuleConfig, Step
from tests.support.centre import Centre

WAITS = Alarm("waits", "critical", ("boss", "deputy"))


@pytest.fixture
def centre() -> Centre:
    found = Centre()
    for each in ("boss", "deputy"):
        found.agent(each, "offline")
    return found


def raised(centre: Centre) -> list[tuple[str, str | None, Any, Any]]:
    told = centre.told("contact.alarm", "agent.alarm")
    return [(each.type, each.agent_id, each.data["rule"], each.data["step"]) for each in told]


def test_a_rule_raises_its_alarm_once_and_a_step_of_the_same_name_does_not_repeat_it(centre: Centre) -> None:
    rules = [RuleConfig("complaint", channels=("chat",), alarm=WAITS), RuleConfig("second", alarm=WAITS)]
    for each in rules:
        centre.do(c.PutRule(each))
    centre.queue(steps=(Step(10, alarm=WAITS), Step(20, alarm=Alarm("long", "info"))))
    centre.contact("k1")
    once = [("contact.alarm", None), ("agent.alarm", "boss"), ("agent.alarm", "deputy")]
    assert [(*each, "complaint", None) for each in once] == raised(centre)
    centre.later(30)
    assert [("contact.alarm", None, None, 2)] == raised(centre)[3:]
    contact = centre.engine.state.contacts["k1"]
    assert {"waits": "critical", "long": "info"} == contact.alarms
    assert contact.alarms == Contact.from_row(contact.row()).alarms


def test_a_step_that_begins_anew_does_not_repeat_its_alarm(centre: Centre) -> None:
    for name in ("default", "other"):
        centre.queue(name, steps=(Step(10, alarm=WAITS),))
    centre.contact("k1")
    centre.later(15)
    centre.do(c.Reclassify("k1", queue="other"))
    centre.later(15)
    assert ["contact.relaxed"] * 2 == [each.type for each in centre.told("contact.relaxed")]
    assert 3 == len(raised(centre))


def test_an_agent_that_an_alarm_names_stays(centre: Centre) -> None:
    named = QueueConfig("default", steps=(Step(10, alarm=WAITS),))
    for put, undo in (
        (c.PutQueue(named), c.PutQueue(QueueConfig("default"))),
        (c.PutRule(RuleConfig("r", alarm=WAITS)), c.DeleteNamed("rule", "r")),
        (c.PutPilot(PilotConfig("p", queues={"default": named})), c.DeleteNamed("pilot", "p")),
    ):
        centre.do(put)
        with pytest.raises(InUse):
            centre.do(c.DeleteAgent("boss"))
        centre.do(undo)
    centre.do(c.DeleteAgent("boss"))


def test_a_webhook_may_be_told_of_some_alarms_alone() -> None:
    events = [Event(1, "contact.alarm", 1, data={"name": each}) for each in ("waits", "complaint")]
    events.append(Event(2, "contact.closed", 1, data={}))
    some = WebhookFact("sms", {"types": ["contact.*"], "alarms": ["waits"]}, {})
    assert [True, False, True] == [wanted(some, each) for each in events]
    assert [True] * 3 == [wanted(WebhookFact("old", {"types": []}, {}), each) for each in events], "stored before"
