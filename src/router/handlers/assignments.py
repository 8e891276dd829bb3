"""Agents take offers or do not, and finish their work."""

from typing import Final

from src.errors import FieldsMissing, Forbidden, InvalidState, NotFound, OfferEnded
from src.router import commands
from src.router import events as ev
from src.router.board import Board
from src.router.entities import FOREVER, Assignment, Contact
from src.router.handlers.base import Room
from src.router.matching import take

_DONE: Final = {
    "accept": frozenset({"active", "parked", "wrap_up", "completed"}),
    "decline": frozenset({"declined"}),
    "miss": frozenset({"expired"}),
    "complete": frozenset({"wrap_up", "completed"}),
    "wrap_up_done": frozenset({"completed"}),
}
"""States in which an action on an assignment has been done already: the repeat is answered, nothing happens."""


def accept(room: Room, command: commands.Accept) -> None:
    """The agent has the contact."""
    assignment = acted_on(room, command.assignment_id, command.agent_id, "accept", "offered")
    if assignment is not None:
        take(room.board, assignment)


def decline(room: Room, command: commands.Decline) -> None:
    """The agent does not take it and is not asked again for a while."""
    board = room.board
    assignment = acted_on(room, command.assignment_id, command.agent_id, "decline", "offered")
    if assignment is not None:
        contact = board.state.contacts[assignment.contact_id]
        until = barred_until(board, contact, assignment.agent_id)
        board.say(ev.OFFER_DECLINED, assignment, barred_until=until, reason=command.reason)
        back_to_queue(board, contact, "declined")


def barred_until(board: Board, contact: Contact, agent_id: str) -> int:
    """Until when an agent is not asked again that has not taken an offer."""
    asks_max = board.policy(contact).asks_max
    if asks_max is not None and contact.target_kind != "pinned" and contact.asked.get(agent_id, 0) + 1 >= asks_max:
        return FOREVER
    return board.now + board.bar_ms(contact)


def back_to_queue(board: Board, contact: Contact, reason: str) -> None:
    """One of its offers has ended: if it was the last, the contact waits again."""
    if contact.state == "offered" and contact.id not in board.state.offers:
        board.requeue(contact, reason)


def complete(room: Room, command: commands.Complete) -> None:
    """The agent is done with the customer."""
    board = room.board
    assignment = acted_on(room, command.assignment_id, command.agent_id, "complete", "active", "parked")
    if assignment is None:
        return
    contact = board.state.contacts[assignment.contact_id]
    missing = [each for each in board.policy(contact).required_fields if not _is_given(command, each)]
    if missing:
        raise FieldsMissing(f"this queue wants {', '.join(missing)} at completion", fields=missing)
    if assignment.state == "parked":
        board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=command.resolved, disposition=command.disposition)
        board.close(contact, "completed", None)
    else:
        end_active(board, assignment, "completed", command.resolved, command.disposition)


def _is_given(command: commands.Complete, field: str) -> bool:
    if field in command.fields:
        return True
    return (field == "resolved" and command.resolved is not None) or (
        field == "disposition" and command.disposition is not None
    )


def finish_wrap_up(room: Room, command: commands.FinishWrapUp) -> None:
    """After-contact work is over before its time."""
    assignment = acted_on(room, command.assignment_id, command.agent_id, "wrap_up_done", "wrap_up")
    if assignment is not None:
        finish(room.board, assignment)


def end_active(
    board: Board, assignment: Assignment, outcome: str, resolved: bool | None, disposition: str | None
) -> None:
    """The customer is gone; wrap-up follows where the queue asks for it, and a breather after a hard one."""
    contact = board.state.contacts[assignment.contact_id]
    policy = board.policy(contact)
    wrap_up_s = policy.wrap_up_s
    if policy.breather_s and any(each in policy.breather_tags for each in contact.tags):
        wrap_up_s += policy.breather_s
    if wrap_up_s > 0:
        board.say(
            ev.ASSIGNMENT_WRAP_UP,
            assignment,
            ends_at=board.now + wrap_up_s * 1000,
            outcome=outcome,
            resolved=resolved,
            disposition=disposition,
        )
    else:
        board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=resolved, disposition=disposition)
        board.close(contact, outcome, None)


def finish(board: Board, assignment: Assignment) -> None:
    """Wrap-up is over."""
    contact = board.state.contacts[assignment.contact_id]
    outcome = assignment.outcome
    assert outcome is not None
    board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=assignment.resolved, disposition=assignment.disposition)
    board.close(contact, outcome, None)


def acted_on(room: Room, assignment_id: str, agent_id: str | None, action: str, *wanted: str) -> Assignment | None:
    """The assignment if the action is to be done now, None if it has been done already."""
    assignment = room.board.state.assignment(assignment_id) or room.archive.assignments.get(assignment_id)
    if assignment is None:
        raise NotFound("there is no such assignment")
    if assignment.contact_id in room.board.state.contacts:
        room.board.state.at_hand = assignment.contact_id
    if agent_id is not None and assignment.agent_id != agent_id:
        raise Forbidden("the assignment is another agent's")
    if assignment.state in wanted:
        return assignment
    if assignment.state in _DONE[action]:
        return None
    if assignment.state in ("expired", "revoked"):
        raise OfferEnded(f"the offer was {assignment.state}", state=assignment.state)
    raise InvalidState(f"an assignment that is {assignment.state} cannot {action}", state=assignment.state)
