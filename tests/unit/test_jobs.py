"""What jobs ask of the engine, and what they write beside it; the engine is real, the store is left out."""

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from src.dispatch import jobs
from src.dispatch.facts import CollaborationWord, Customer, NoteFact
from src.dispatch.inbound import Identity, InboundContact, InboundMessage
from src.dispatch.known import Known, Recent, Wanted
from src.dispatch.turn import Turn
from src.errors import NotFound
from src.router import commands as c
from src.router.board import Decision
from src.router.engine import Engine
from src.router.handlers.base import NOTHING, Archive
from src.router.model import AgentConfig, ChannelLimit, TagRequest, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000_000
HOUR = 3_600_000
PHONE = Identity("phone", "+8613800138000")
INBOUND = InboundContact("chat", "shop", None, PHONE, text="hello", attributes={"order": 7}, terms=Terms(("a1",)))
CUSTOMER = Customer("k1", 5, "Zhang", "gold", "a1", {"city": "上海"})


class Keeping(Engine):
    """An engine that keeps what it was asked."""

    asked: list[c.Command]

    def decide(self, command: c.Command, now: int, archive: Archive = NOTHING) -> Decision:
        self.asked.append(command)
        return super().decide(command, now, archive)


class Desk:
    """One tenant's engine and the turns that are taken on it."""

    def __init__(self) -> None:
        self.ids: Iterator[str] = (f"x{each:04d}" for each in count())
        self.engine = Keeping(lambda: next(self.ids))
        self.engine.asked = []
        self.now = NOW
        self.turn().decide(c.PutAgent(AgentConfig("a1")))  # whom contacts may ask for by name

    def turn(self, known: Known | None = None) -> Turn:
        self.now += 10
        return Turn(self.engine, known or Known(), self.now, lambda: next(self.ids))

    def staff(self, *agents: str) -> None:
        for agent in agents:
            self.turn().decide(c.PutAgent(AgentConfig(agent, channels={"chat": ChannelLimit(25, 4)})))
            self.turn().decide(c.SetPresence(agent, "available"))

    def received(self) -> c.Receive:
        return [each for each in self.engine.asked if isinstance(each, c.Receive)][-1]

    def held(self) -> tuple[str, str]:
        """A new contact that an agent has accepted, and its assignment."""
        taken = jobs.TakeContact(replace(INBOUND, terms=Terms())).run(self.turn())
        assert taken.contact_id is not None
        assignment = str(self.engine.state.contacts[taken.contact_id].assignment_id)
        self.turn().decide(c.Accept(assignment))
        return taken.contact_id, assignment


@pytest.fixture
def desk() -> Desk:
    return Desk()


def known(*recent: Recent) -> Known:
    return Known(identities={PHONE.key: "k1"}, customers={"k1": CUSTOMER}, recent={"k1": recent})


def recent(contact_id: str, ago_ms: int, *tags: str, agent_id: str | None = None) -> Recent:
    return Recent(contact_id, NOW - ago_ms, tags, closed=True, agent_id=agent_id)


# -- intake ------------------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_customer_goes_to_the_engine(desk: Desk) -> None:
    repeat_ms = desk.engine.config.settings.repeat_window_s * 1000
    before = (
        recent("c3", HOUR, "refund"),
        recent("c2", 2 * HOUR, "fault", "refund", agent_id="a2"),
        recent("c1", repeat_ms + HOUR, "logistics", agent_id="a1"),
    )
    jobs.TakeContact(INBOUND).run(desk.turn(known(*before)))
    asked = desk.received()
    assert ("k1", "gold", "a1", "a2") == (
        asked.customer_id,
        asked.tier,
        asked.dedicated_agent_id,
        asked.last_agent_id,
    )
    assert ({"order": 7}, {"city": "上海"}, Terms(("a1",))) == (
        asked.attributes,
        asked.customer_attributes,
        asked.terms,
    )
    assert {"refund", "fault"} == asked.recent_tags
    assert "shop" == asked.account


@pytest.mark.parametrize("identity", [PHONE, Identity("email", "a@b.cn")])
def test_of_a_stranger_nothing_is_known(desk: Desk, identity: Identity) -> None:
    jobs.TakeContact(replace(INBOUND, identity=identity)).run(desk.turn())
    asked = desk.received()
    assert (None, None, None, frozenset()) == (
        asked.tier,
        asked.dedicated_agent_id,
        asked.last_agent_id,
        asked.recent_tags,
    )


def test_a_contact_of_the_same_batch_counts(desk: Desk) -> None:
    desk.staff("a1")
    turn = desk.turn()
    tags = (TagRequest("refund", required=False),)
    taken = jobs.TakeContact(replace(INBOUND, tags=tags)).run(turn)
    assert taken.contact_id is not None
    jobs.TakeContact(INBOUND).run(turn)
    assert (frozenset({"refund"}), None) == (desk.received().recent_tags, desk.received().last_agent_id)
    turn.decide(c.Accept(str(desk.engine.state.contacts[taken.contact_id].assignment_id)))
    jobs.TakeContact(INBOUND).run(turn)
    assert (frozenset({"refund"}), "a1") == (desk.received().recent_tags, desk.received().last_agent_id)


def test_only_what_may_open_a_contact_wants_the_customers_last_ones(desk: Desk) -> None:
    message = InboundMessage("wechat", "shop", "m1", PHONE)
    opening: list[Any] = [jobs.TakeContact(INBOUND), jobs.TakeMessage(message)]
    for job in (*opening, jobs.TakeMessage(replace(message, opens=False))):
        wanted = Wanted()
        job.wants(wanted, desk.engine.state)
        assert (job in opening) == (wanted.recent_since is not None)
        assert {"identities"} <= wanted.keys().keys() <= {"identities", "external_messages"}


# -- notes -------------------------------------------------------------------------------------------------------------


def test_a_note_stays_with_the_assignment_that_it_is_about(desk: Desk) -> None:
    desk.staff("a1", "a2")
    contact, assignment = desk.held()
    until = desk.now + HOUR
    before: dict[str, Any] = {"parked": assignment}
    turn = desk.turn()
    jobs.OnContact(contact, c.Park(contact, "a1", until), note="parked").run(turn)
    turn.decide(c.Resume(contact, "a1"))
    second = str(desk.engine.state.contacts[contact].assignment_id)
    assert second != assignment
    turn.decide(c.Accept(second))
    before["handed over"] = second
    jobs.OnContact(contact, c.TakeBack(contact, "boss"), note="handed over").run(turn)
    assert before == {each.text: each.assignment_id for each in turn.facts if isinstance(each, NoteFact)}


def test_a_note_on_a_contact_that_nobody_had_goes_to_who_gets_it(desk: Desk) -> None:
    contact = str(jobs.TakeContact(replace(INBOUND, terms=Terms())).run(desk.turn()).contact_id)
    desk.staff("a1")
    desk.turn().decide(c.Decline(str(desk.engine.state.contacts[contact].assignment_id)))
    turn = desk.turn()
    shot = jobs.OnContact(contact, c.Assign(contact, "a1", "boss", force=True), note="please").run(turn)
    assert shot.assignment is not None
    assert [(shot.assignment[0], "please")] == [
        (each.assignment_id, each.text) for each in turn.facts if isinstance(each, NoteFact)
    ]


def test_a_repeat_writes_no_note(desk: Desk) -> None:
    desk.staff("a1")
    contact, assignment = desk.held()
    desk.turn().decide(c.Complete(assignment))
    turn = desk.turn()
    jobs.OnContact(contact, c.Cancel(contact), note="once more").run(turn)
    assert [] == turn.facts


# -- collaborations ----------------------------------------------------------------------------------------------------


def test_a_collaboration_and_its_words(desk: Desk) -> None:
    desk.staff("a1", "a2")
    contact, assignment = desk.held()
    lead = desk.engine.state.assignments[assignment].agent_id
    helper = "a2" if lead == "a1" else "a1"
    turn = desk.turn()
    row = jobs.Ask(c.Collaborate("", contact, lead, to_agent_id=helper), "which number?").run(turn)
    of = str(row[0])
    assert row == desk.engine.state.collaborations[of].row()
    assert (row,) == turn.snapshot(contact).collaborations
    accept = jobs.OnCollaboration(of, c.AcceptCollaboration(of, helper, helper), (helper, "accept", "mine"))
    accept.run(turn)
    accept.run(turn)
    reply = c.ReplyCollaboration(of, helper, "feedback", agent_id=helper)
    jobs.OnCollaboration(of, reply, (helper, "feedback", "7")).run(turn)
    row = jobs.OnCollaboration(of, c.CloseCollaboration(of, lead), (lead, "close", "thanks")).run(turn)
    assert "closed" == row[5]
    words = [each for each in turn.facts if isinstance(each, CollaborationWord)]
    assert {(of, contact)} == {(each.collaboration_id, each.contact_id) for each in words}
    assert [
        (lead, "request", "which number?"),
        (helper, "accept", "mine"),
        (helper, "feedback", "7"),
        (lead, "close", "thanks"),
    ] == [(each.author, each.kind, each.text) for each in words]


def test_a_closed_collaboration_is_looked_up(desk: Desk) -> None:
    desk.staff("a1", "a2")
    contact, assignment = desk.held()
    lead = desk.engine.state.assignments[assignment].agent_id
    row = jobs.Ask(c.Collaborate("", contact, lead)).run(desk.turn())
    of = str(row[0])
    close = jobs.OnCollaboration(of, c.CloseCollaboration(of, lead), (lead, "close", "thanks"))
    wanted = Wanted()
    close.wants(wanted, desk.engine.state)
    assert {} == wanted.keys()
    row = close.run(desk.turn())
    desk.engine.state.drain()
    close.wants(wanted, desk.engine.state)
    assert {"collaborations": {of}} == wanted.keys()
    turn = desk.turn(Known(collaborations={of: row}))
    assert row == close.run(turn)
    assert [] == turn.facts


def test_help_with_a_contact_that_is_not_there(desk: Desk) -> None:
    job = jobs.Ask(c.Collaborate("", "none", "a1"), "hello?")
    wanted = Wanted()
    job.wants(wanted, desk.engine.state)
    assert {"contacts": {"none"}} == wanted.keys()
    turn = desk.turn()
    with pytest.raises(NotFound):
        job.run(turn)
    assert [] == turn.facts
