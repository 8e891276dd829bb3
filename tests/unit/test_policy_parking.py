"""Contacts that are set aside, and come back to their owner."""

import pytest

from src.errors import Malformed
from src.router import commands as c
from src.router.model import Deadlines
from tests.support.centre import Centre


@pytest.fixture
def centre() -> Centre:
    found = Centre()
    found.agent("owner", capacity=25)
    return found


def park(centre: Centre, seconds: int, **more: str) -> None:
    centre.active("x")
    centre.do(c.Park("x", by="owner", until=centre.now + seconds * 1000, **more))  # type: ignore[arg-type]


def test_parked_work_takes_no_capacity(centre: Centre) -> None:
    park(centre, 600)
    assert centre.contact("y")


def test_it_comes_back_to_its_owner_a_little_before_the_promised_time(centre: Centre) -> None:
    centre.settings(park_return_s=60)
    park(centre, 600)
    centre.later(539)
    assert "parked" == centre.state("x")
    centre.later(1)
    assert ("owner", "owner") == (centre.holder("x"), centre.engine.state.contacts["x"].target_kind)


def test_an_owner_who_is_there_is_waited_for_and_one_who_is_not_is_not(centre: Centre) -> None:
    centre.queue(owner_wait_s=30)
    park(centre, 600)
    centre.active("y")
    centre.agent("b")
    centre.do(c.Resume("x", by="owner"))
    centre.later(29)
    assert centre.holder("x") is None
    centre.later(1)
    assert "b" == centre.holder("x")


def test_a_reopened_contact_never_lands_on_somebody_who_is_not_there(centre: Centre) -> None:
    park(centre, 600)
    centre.do(c.SetPresence("owner", "away"))
    centre.agent("b")
    assert ["message.received"] == [each.type for each in centre.do(c.Message("x", "m0", "event"))], "no word"
    centre.do(c.Message("x", "m1", "text"))
    assert "b" == centre.holder("x")


def test_the_customers_answer_brings_it_back(centre: Centre) -> None:
    park(centre, 600, reason="customer")
    centre.do(c.Message("x", "m1", "text"))
    assert "owner" == centre.holder("x")


def test_a_departments_answer_brings_it_back(centre: Centre) -> None:
    centre.agent("expert", "away")
    park(centre, 600, reason="department")
    centre.do(c.Collaborate("h", "x", by="owner", to_agent_id="expert", deadlines=Deadlines(feedback_s=60)))
    centre.do(c.ReplyCollaboration("h", by="expert", kind="feedback"))
    assert "owner" == centre.holder("x")


@pytest.mark.parametrize("how", ["refused", "deleted"])
def test_it_comes_back_once_nobody_is_left_who_could_answer(centre: Centre, how: str) -> None:
    for name in ("expert", "approver"):
        centre.agent(name, "away")
    park(centre, 600, reason="department")
    centre.do(c.Collaborate("h1", "x", by="owner", to_agent_id="expert"))
    centre.do(c.Collaborate("h2", "x", by="owner", to_agent_id="approver", kind="approval"))
    centre.do(c.CloseCollaboration("h1", by="expert", reason="not ours", agent_id="expert"))
    assert "parked" == centre.state("x"), "the other one may still answer"
    refused = c.CloseCollaboration("h2", by="approver", reason="not mine", agent_id="approver")
    centre.do(refused if how == "refused" else c.DeleteAgent("approver"))
    assert "owner" == centre.holder("x")
    assert ["unanswered"] == [each.data["reason"] for each in centre.told("contact.resumed")]


def test_who_closes_its_own_request_need_not_take_it_back_at_once(centre: Centre) -> None:
    centre.agent("expert", "away")
    park(centre, 600, reason="department")
    centre.do(c.Collaborate("h", "x", by="owner", to_agent_id="expert"))
    centre.do(c.CloseCollaboration("h", by="owner", agent_id="owner"))
    assert "parked" == centre.state("x")


def test_it_says_so_when_it_comes_too_late(centre: Centre) -> None:
    centre.settings(park_return_s=60)
    park(centre, 600)
    centre.active("y")
    assert "contact.late" not in centre.later(599)
    assert "contact.late" in centre.later(1)
    assert ("late",) == tuple(each for each in centre.engine.state.contacts["x"].flags if each == "late")
    assert ["owner"] == [each.agent_id for each in centre.told("contact.late")], "who promised, while nobody has it"


def test_who_has_it_by_then_hears_that_it_is_late(centre: Centre) -> None:
    centre.settings(park_return_s=60)
    park(centre, 600)
    centre.later(500)
    centre.do(c.SetPresence("owner", "away"))
    centre.agent("b")
    centre.later(100)
    assert ["b"] == [each.agent_id for each in centre.told("contact.late")]


def test_what_waits_for_a_lost_agent_within_one_turn_is_for_all(centre: Centre) -> None:
    centre.do(c.SetPresence("owner", "available", lease_s=600))
    centre.settings(park_return_s=0)
    park(centre, 600)
    centre.agent("b")
    centre.now += 600_000
    centre.do(c.Tick())
    assert "b" == centre.holder("x")


def test_parked_work_can_be_completed_and_cancelled(centre: Centre) -> None:
    park(centre, 600)
    centre.do(c.Complete(centre.assignment_id("x") or ""))
    assert "closed" == centre.state("x")
    centre.active("y")
    centre.do(c.Park("y", by="owner", until=centre.now + 60_000))
    centre.do(c.Cancel("y", "withdrawn"))
    assert "closed" == centre.state("y")


@pytest.mark.parametrize("reason", ["promised", "department"])
def test_what_was_promised_is_kept_though_the_customer_hangs_up(centre: Centre, reason: str) -> None:
    park(centre, 600, reason=reason)
    centre.do(c.Cancel("x"))
    assert "parked" == centre.state("x")
    centre.later(600)
    assert "owner" == centre.holder("x")


def test_who_was_to_answer_and_leaves_is_not_waited_for(centre: Centre) -> None:
    park(centre, 600, reason="customer")
    centre.do(c.Cancel("x"))
    assert "closed" == centre.state("x")


def test_nothing_is_parked_until_yesterday(centre: Centre) -> None:
    centre.active("x")
    with pytest.raises(Malformed):
        centre.do(c.Park("x", by="owner", until=centre.now))
