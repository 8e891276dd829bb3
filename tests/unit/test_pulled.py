"""What was pulled is taken once, together with the cursor that follows it."""

from itertools import count
from typing import TYPE_CHECKING

from src.dispatch import jobs
from src.dispatch.facts import CursorFact, MessageFact
from src.dispatch.inbound import Identity, InboundMessage
from src.dispatch.known import Known
from src.dispatch.turn import Turn
from src.router.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = CursorFact("kf1", "wecom", "7", wanted=True, token="t", at=5, calls=2)


def taken(text: str) -> jobs.TakeMessage:
    job = jobs.take(InboundMessage("wecom", "kf1", f"id of {text}", Identity("wecom_external_userid", "wm"), text=text))
    assert isinstance(job, jobs.TakeMessage)
    return job


def turn(known: CursorFact | None) -> Turn:
    ids: Iterator[str] = (f"x{each}" for each in count())
    cursors = {} if known is None else {"kf1": known}
    return Turn(Engine(lambda: next(ids)), Known(cursors=cursors), 1_700_000_000_000, lambda: next(ids))


def texts(done: Turn) -> list[str | None]:
    return [each.text for each in done.facts if isinstance(each, MessageFact)]


def cursors(done: Turn) -> list[CursorFact]:
    return [each for each in done.facts if isinstance(each, CursorFact)]


def test_messages_and_cursor_are_written_in_one_turn() -> None:
    now = turn(ASKED)
    assert not jobs.TakePulled(ASKED, "9", more=False, taken=(taken("a"), taken("b"), taken("a")), moved=()).run(now)
    assert ["a", "b"] == texts(now)
    assert [("9", False)] == [(each.cursor, each.wanted) for each in cursors(now)]


def test_what_was_asked_for_from_another_cursor_is_left_alone() -> None:
    for known in (CursorFact("kf1", "wecom", "9", wanted=False, token="t", at=5, calls=2), None):
        now = turn(known)
        assert not jobs.TakePulled(ASKED, "9", more=False, taken=(taken("a"),), moved=()).run(now)
        assert not now.facts


def test_it_is_asked_on_while_there_is_more_or_it_has_called_again() -> None:
    again = CursorFact("kf1", "wecom", "7", wanted=True, token="u", at=6, calls=3)
    for known, more in ((ASKED, True), (again, False)):
        now = turn(known)
        assert jobs.TakePulled(ASKED, "9", more=more, taken=(), moved=()).run(now)
        assert [("9", True)] == [(each.cursor, each.wanted) for each in cursors(now)]
        assert now.called


def test_one_that_cannot_be_moved_holds_up_nothing() -> None:
    now = turn(ASKED)
    gone = jobs.MoveMessage("c", "m", "failed", "quota_used")
    jobs.TakePulled(ASKED, "9", more=False, taken=(taken("a"),), moved=(gone,)).run(now)
    assert ["a"] == texts(now)
