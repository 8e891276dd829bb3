"""Agents take offers or do not, and finish their work."""

from typing import Final

from src.errors import FieldsMissing, Forbidden, InvalidState, NotFound, OfferEnded
from src.router import commands
from src.router import events as ev
from src.router.board import Board
from src.router.entities import FOREVER, Assignment, Contact
from src.router.handlers.base import Room
from src.router.matching import take

LEFT: Final = "customer_left"
"""The outcome of a contact whose customer hung up, or went, while an agent had it."""

_NOTHING_SAID: Final[frozenset[str]] = frozenset()

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
    """The agent is done with the customer. Of one who left before, the wrap-up is the time to say how it was."""
    board = room.board
    assignment = acted_on(room, command.assignment_id, command.agent_id, "complete", "active", "parked", "wrap_up")
    if assignment is None:
        return
    given = command.fields | _ends(command.resolved, command.disposition)
    if assignment.state == "wrap_up" and not (given and assignment.outcome == LEFT):
        return  # it is a repeat
    contact = board.state.contacts[assignment.contact_id]
    _check_fields(board, contact, given)
    if assignment.state == "wrap_up":
        board.say(ev.ASSIGNMENT_NOTED, assignment, resolved=command.resolved, disposition=command.disposition)
    elif assignment.state == "parked":
        board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=command.resolved, disposition=command.disposition)
        board.close(contact, "completed", None)
    else:
        end_active(board, assignment, "completed", command.resolved, command.disposition)


def _ends(resolved: bool | None, disposition: str | None) -> frozenset[str]:
    """Which of the two words about an end were said."""
    if resolved is None and disposition is None:
        return _NOTHING_SAID
    return frozenset(name for name, said in (("resolved", resolved), ("disposition", disposition)) if said is not None)


def _check_fields(board: Board, contact: Contact, given: frozenset[str]) -> None:
    """Refuse an end without what the queue requires.

    Raises:
        FieldsMissing: it names what is missing.
    """
    missing = [each for each in board.policy(contact).required_fields if each not in given]
    if missing:
        raise FieldsMissing(f"this queue wants {', '.join(missing)} at completion", fields=missing)


def finish_wrap_up(room: Room, command: commands.FinishWrapUp) -> None:
    """After-contact work is over before its time. A customer who left has left nothing of what the queue requires."""
    assignment = acted_on(room, command.assignment_id, command.agent_id, "wrap_up_done", "wrap_up")
    if assignment is None:
        return
    if assignment.outcome == LEFT:
        contact = room.board.state.contacts[assignment.contact_id]
        _check_fields(room.board, contact, command.fields | _ends(assignment.resolved, assignment.disposition))
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
