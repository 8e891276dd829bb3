"""The call model, without any telephone system: what is to be done with a call, and what the loop hears of it."""

from collections.abc import Sequence

import pytest

from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    Announce,
    Bridge,
    CallCommand,
    Drop,
    Ended,
    HangUp,
    Hold,
    Left,
    Offered,
    Ring,
    Standing,
)
from src.channels.voice.switchboard import (
    RING_MORE_S,
    RING_S,
    Answered,
    Arrived,
    Gone,
    Lost,
    NotAnswered,
    PickedUp,
    Switchboard,
    Wish,
    WishedLeg,
)

NOW = 1_800_000_000_000
CALL = Offered("1.1", NOW, "13800138000")


def leg(name: str = "a1", state: str = "offered", phone: str | None = "PJSIP/anna") -> WishedLeg:
    return WishedLeg(name, "anna", state, NOW + 20_000, phone)


def wish(state: str, *legs: WishedLeg) -> Wish:
    return Wish("c1", CALL.call_id, state, legs)


def told(board: Switchboard, state: str, *legs: WishedLeg) -> Sequence[CallCommand]:
    return board.wish(wish(state, *legs), NOW)


@pytest.fixture
def board() -> Switchboard:
    """One caller is there, and held."""
    found = Switchboard()
    assert ([Arrived(CALL)], []) == found.told(CALL, NOW)
    assert [Hold("1.1")] == told(found, "waiting")
    return found


@pytest.fixture
def talking(board: Switchboard) -> Switchboard:
    """Caller and agent hear each other."""
    told(board, "offered", leg())
    board.told(AgentAnswered("1.1", NOW, "a1"), NOW)
    assert [Bridge("1.1", "a1")] == told(board, "active", leg(state="active"))
    return board


def test_an_offer_rings_for_as_long_as_it_lives(board: Switchboard) -> None:
    assert [Ring("1.1", "a1", "PJSIP/anna", 20 + RING_MORE_S)] == told(board, "offered", leg())
    assert [] == told(board, "offered", leg()), "once"


def test_an_answer_accepts_and_acceptance_bridges(board: Switchboard) -> None:
    told(board, "offered", leg())
    assert ([Answered("a1", "anna")], []) == board.told(AgentAnswered("1.1", NOW, "a1"), NOW)
    assert [Bridge("1.1", "a1")] == told(board, "active", leg(state="active"))


def test_acceptance_first_and_then_the_answer(board: Switchboard) -> None:
    told(board, "offered", leg())
    assert [] == told(board, "active", leg(state="active"))
    assert ([], [Bridge("1.1", "a1")]) == board.told(AgentAnswered("1.1", NOW, "a1"), NOW)


def test_phones_that_ring_only_for_who_has_accepted() -> None:
    board = Switchboard(rings_on_offer=False)
    board.told(CALL, NOW)
    assert [Hold("1.1")] == told(board, "offered", leg())
    assert [Ring("1.1", "a1", "PJSIP/anna", RING_S)] == told(board, "active", leg(state="active"))


def test_of_several_that_ring_the_others_stop(board: Switchboard) -> None:
    assert ["a1", "a2"] == [
        each.leg_id for each in told(board, "offered", leg("a1"), leg("a2")) if isinstance(each, Ring)
    ]
    board.told(AgentAnswered("1.1", NOW, "a2"), NOW)
    assert [Drop("a1"), Bridge("1.1", "a2")] == told(board, "active", leg("a2", "active"))


@pytest.mark.parametrize(
    ("cause", "reason"), [(17, "busy"), (21, "busy"), (19, "no_answer"), (None, "no_answer"), (3, "unreachable")]
)
def test_why_a_phone_was_not_answered(board: Switchboard, cause: int | None, reason: str) -> None:
    told(board, "offered", leg())
    acts, does = board.told(AgentEnded("1.1", NOW, "a1", cause), NOW)
    assert ([NotAnswered("a1", "anna", reason)], []) == (acts, does)  # type: ignore[arg-type]  # one of the three
    assert [] == told(board, "offered", leg()), "it is not rung again for the same offer"


def test_who_accepted_and_does_not_pick_up_loses_the_contact(board: Switchboard) -> None:
    told(board, "active", leg(state="active"))
    assert ([Lost("c1", "a1", "no_answer")], []) == board.told(AgentEnded("1.1", NOW, "a1", 19), NOW)


def test_an_agent_who_hangs_up_ends_the_call(talking: Switchboard) -> None:
    assert ([], [HangUp("1.1")]) == talking.told(AgentEnded("1.1", NOW, "a1", 16), NOW)
    assert ([Gone("1.1", 16)], []) == talking.told(Ended("1.1", NOW, 16), NOW)


def test_an_agents_side_that_breaks_off_leaves_the_caller_with_the_music(talking: Switchboard) -> None:
    acts, does = talking.told(AgentEnded("1.1", NOW, "a1", 38), NOW)
    assert ([Lost("c1", "a1", "connection_lost")], [Hold("1.1")]) == (acts, does)


def test_a_transfer(talking: Switchboard) -> None:
    does = told(talking, "offered", leg("a2", phone="PJSIP/bert"))
    assert [Drop("a1"), Hold("1.1"), Ring("1.1", "a2", "PJSIP/bert", 20 + RING_MORE_S)] == does


@pytest.mark.parametrize("state", ["closed", "wrap_up", "parked"])
def test_what_is_over_is_hung_up_once(talking: Switchboard, state: str) -> None:
    assert [Drop("a1"), HangUp("1.1")] == told(talking, state)
    assert not told(talking, state)


def test_whom_the_queue_does_not_keep_is_told_apart_once_and_who_talks_is_not(talking: Switchboard) -> None:
    away = Wish("c1", CALL.call_id, "closed", reason="cancelled")
    assert [Drop("a1"), HangUp("1.1")] == talking.wish(away, NOW)
    board = Switchboard()
    board.told(CALL, NOW)
    assert [HangUp("1.1", "cancelled", "c1")] == board.wish(away, NOW)
    assert ([], []) == board.told(Left("1.1", NOW), NOW), "what becomes of it is no news"
    assert ([], []) == board.told(Left("1.1", NOW), NOW)
    assert ([Arrived(CALL)], []) == board.told(CALL, NOW)
    assert [HangUp("1.1")] == board.wish(away, NOW), "who comes back would go to and fro"


def test_a_call_that_its_agent_has_parked_goes_on(talking: Switchboard) -> None:
    assert [] == told(talking, "parked", leg(state="parked"))


def test_a_caller_who_gives_up_stops_the_ringing(board: Switchboard) -> None:
    told(board, "offered", leg())
    assert ([Gone("1.1", 16)], [Drop("a1")]) == board.told(Abandoned("1.1", NOW, 16), NOW)


def test_an_agent_without_a_phone_rings_nothing(board: Switchboard) -> None:
    assert [] == told(board, "offered", leg(phone=None))
    assert [] == told(board, "active", leg(state="active", phone=None))


def test_an_answer_for_a_call_that_has_gone_is_dropped() -> None:
    assert ([], [Drop("a9")]) == Switchboard().told(AgentAnswered("9.9", NOW, "a9"), NOW)


def test_nobody_is_rung_to_reach_a_customer_before_it_is_known_what_stands() -> None:
    board = Switchboard()
    out = Wish("c1", "out-c1", "offered", (leg(),), dial="PJSIP/1@trunk")
    assert () == board.wish(out, NOW)
    assert () == board.wish(out, NOW)
    assert ([], [Ring("out-c1", "a1", "PJSIP/anna", 20 + RING_MORE_S)]) == board.told(Standing((), {}), NOW)
    assert [] == list(board.wish(out, NOW))


def test_places_are_told_when_they_change(board: Switchboard) -> None:
    assert ["c1"] == board.waiting()
    assert (Announce("1.1", 2),) == board.place("c1", 2)
    assert () == board.place("c1", 2)
    assert (Announce("1.1", 1),) == board.place("c1", 1)


class TestReconciling:
    def test_who_talks_goes_on_talking(self) -> None:
        board = Switchboard()
        assert () == board.wish(wish("active", leg(state="active")), NOW)
        standing = Standing((CALL,), {"a1": True}, frozenset({("1.1", "a1")}))
        assert ([], []) == board.told(standing, NOW)

    def test_an_agent_who_answered_meanwhile_is_bridged(self) -> None:
        board = Switchboard()
        board.wish(wish("offered", leg()), NOW)
        acts, does = board.told(Standing((CALL,), {"a1": True}), NOW)
        assert [Answered("a1", "anna")] == acts
        assert [Hold("1.1")] == does
        assert [Bridge("1.1", "a1")] == told(board, "active", leg(state="active"))

    def test_who_is_gone_is_gone_and_who_came_has_come(self) -> None:
        board = Switchboard()
        board.wish(Wish("c0", "0.0", "waiting"), NOW)
        acts, does = board.told(Standing((CALL,), {"stray": False}), NOW)
        assert [Arrived(CALL), Gone("0.0", None)] == acts
        assert [Drop("stray")] == does

    def test_a_customer_who_picked_up_meanwhile_is_bridged_and_that_is_told_once(self) -> None:
        out = Wish("c1", "out-c1", "active", (leg(state="active"),), dial="PJSIP/1@trunk")
        there = Offered("out-c1", NOW, "")
        board = Switchboard()
        board.wish(out, NOW)
        assert ([PickedUp("c1")], [Bridge("out-c1", "a1")]) == board.told(Standing((there,), {"a1": True}), NOW)
        board = Switchboard()
        board.wish(out, NOW)
        assert ([], []) == board.told(Standing((there,), {"a1": True}, frozenset({("out-c1", "a1")})), NOW)
        board = Switchboard()
        board.wish(out, NOW)
        assert [] == board.told(Standing((there,), {"a1": False}), NOW)[0], "it waits for the next agent"

    def test_a_phone_that_no_longer_rings_is_rung_anew(self) -> None:
        board = Switchboard()
        board.wish(wish("active", leg(state="active")), NOW)
        assert ([], [Hold("1.1"), Ring("1.1", "a1", "PJSIP/anna", RING_S)]) == board.told(Standing((CALL,), {}), NOW)
