"""More is known of a customer than when its contact came: what waits is judged by that."""

from dataclasses import replace
from typing import Any

import pytest

from src.router import commands as c
from src.router.model import Alarm, RuleConfig, TagRequest, Terms, TierConfig
from tests.support.centre import Centre

SOUTH = {"region": ("south",)}


@pytest.fixture
def centre() -> Centre:
    made = Centre()
    made.queue("law")
    made.queue("vip")
    made.agent("dora", "away")
    made.settings(tiers={"gold": TierConfig(priority=600, agents=("dora",))})
    return made


def learnt(centre: Centre, name: str, *, was: dict[str, Any] | None = None, **now: Any) -> dict[str, Any]:
    """Judge a contact anew; what it needs then."""
    contact = centre.engine.state.contacts[name]
    tags = tuple(TagRequest(each) for each in contact.tags)
    came = c.Receive(name, contact.customer_id, contact.channel, tags=tags)
    centre.do(c.Rejudge(replace(came, **was or {}), replace(came, **now)))
    return {each: getattr(contact, each) for each in ("queue", "priority", "tags")}


def test_a_tier_gives_and_takes_its_head_start_and_nothing_else(centre: Centre) -> None:
    centre.contact("k", priority=7)
    assert 607 == learnt(centre, "k", tier="gold")["priority"]
    centre.do(c.Escalate("k", "s"))
    escalated = centre.engine.state.contacts["k"].priority
    assert escalated - 600 == learnt(centre, "k", was={"tier": "gold"}, tier="plain")["priority"]


def test_the_dedicated_agent_is_waited_for_if_it_is_there(centre: Centre) -> None:
    centre.contact("k")
    learnt(centre, "k", tier="gold")
    assert centre.engine.state.contacts["k"].target_agent_id is None
    centre.do(c.SetPresence("dora", "available"))
    centre.accept("k")
    centre.contact("call", channel="voice", queue="vip")
    centre.contact("other")
    centre.contact("third", channel="voice")
    learnt(centre, "third", tier="gold")
    assert ("dora", "dedicated") == tuple(
        getattr(centre.engine.state.contacts["third"], each) for each in ("target_agent_id", "target_kind")
    )


def test_a_pin_stays(centre: Centre) -> None:
    centre.contact("k")
    centre.do(c.Pin("k", "dora", "s"))
    learnt(centre, "k", dedicated_agent_id="nobody")
    assert "pinned" == centre.engine.state.contacts["k"].target_kind


def test_rules_add_and_where_a_hand_had_the_last_word_it_stays(centre: Centre) -> None:
    rule = RuleConfig(
        "south",
        1,
        customer_attributes=SOUTH,
        queue="vip",
        add_tags=("dialect", "refund"),
        terms=Terms(not_teams=("trainees",)),
        alarm=Alarm("south"),
    )
    centre.do(c.PutRule(rule))
    for name in ("k", "moved", "held"):
        centre.contact(name, "refund")
    centre.do(c.Reclassify("moved", queue="law"))
    centre.agent("a", skills={"refund": 1})
    centre.accept("k")
    known = {"customer_attributes": {"region": "south"}}
    assert {"queue": "default", "priority": 0, "tags": ("refund",)} == learnt(centre, "k", **known), (
        "it is with somebody"
    )
    assert {"queue": "law", "priority": 0, "tags": ("refund",)} == learnt(centre, "moved", **known)
    centre.do(c.SetPresence("a", "away"))
    assert {"queue": "vip", "priority": 0, "tags": ("refund", "dialect")} == learnt(centre, "held", **known)
    held = centre.engine.state.contacts["held"]
    assert (("trainees",), {"south": "warning"}) == (held.terms.not_teams, dict(held.alarms))
    assert ["refund", "dialect"] == [each.skill for each in held.requirements]
    told = len(centre.events)
    learnt(centre, "held", was=known, **known)
    assert told == len(centre.events), "what is no news changes nothing"
