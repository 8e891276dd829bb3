"""Contacts that are set aside: until a promised time, a department's or the customer's answer. The owner keeps them."""

from typing import Any

from src.errors import InvalidState, Malformed
from src.router import commands
from src.router import events as ev
from src.router.board import NO_TARGET, Board, need_json
from src.router.entities import Contact, own_terms_json
from src.router.handlers.base import Room
from src.router.matching import withdraw

SET_ASIDE = "set_aside"
"""The reason of a contact that was parked because the engine fails upon it."""

PARKED_S_MAX = 90 * 86_400
"""Nothing is parked for longer than a quarter of a year."""


def park(room: Room, command: commands.Park) -> None:
    """Set an active contact aside: its units are free, its agent stays its owner."""
    board = room.board
    contact = room.contact(command.contact_id)
    assignment = room.held(contact, command.agent_id)
    if assignment is None or contact.state != "active":
        raise InvalidState(f"a contact that is {contact.state} cannot be parked", state=contact.state)
    if command.until <= board.now:
        raise Malformed("until must lie in the future", field="until")
    if command.until > board.now + PARKED_S_MAX * 1000:
        raise Malformed(f"until must lie within {PARKED_S_MAX // 86_400} days", field="until")
    said = {"until": command.until, "reason": command.reason, "by": command.by, "ask_again": True}
    board.say(ev.CONTACT_PARKED, assignment, **said)


def unpark(room: Room, command: commands.Resume) -> None:
    """Bring a parked contact back before its time."""
    contact = room.open_contact(command.contact_id, "parked", to="resumed")
    room.held(contact, command.agent_id)
    resume(room.board, contact, command.reason, command.by)


def set_aside(room: Room, command: commands.SetAside) -> None:
    """Take a contact out of everybody's way, whatever state it is in; one that is parked already has to end."""
    contact = room.board.state.contacts.get(command.contact_id)
    if contact is not None:
        lay_aside(room.board, contact)


def lay_aside(board: Board, contact: Contact) -> None:
    """Park an open contact until people look at it: it comes back when they resume it, or after a quarter of a year."""
    if contact.state in ("parked", "wrap_up"):
        assignment = board.current(contact)
        outcome = "cancelled"
        if assignment is not None:
            outcome = assignment.outcome or outcome
            said = {"resolved": assignment.resolved, "disposition": assignment.disposition}
            board.say(ev.ASSIGNMENT_COMPLETED, assignment, **said)
        board.close(contact, outcome, SET_ASIDE)
        return
    if contact.state != "waiting":
        withdraw(board, contact, SET_ASIDE)
        board.emit(ev.CONTACT_REQUEUED, {"reason": SET_ASIDE}, contact=contact)
    until = board.now + PARKED_S_MAX * 1000
    board.emit(
        ev.CONTACT_PARKED,
        {"assignment_id": None, "until": until, "reason": SET_ASIDE, "by": None, "ask_again": True},
        contact=contact,
    )


def resume_unanswered(board: Board, contact: Contact, by: str | None) -> None:
    """Whoever was to answer will not: what waits for a department comes back, unless others are still asked."""
    if contact.state == "parked" and contact.park_reason == "department" and not board.state.helps.get(contact.id):
        resume(board, contact, "unanswered", by)


def resume(board: Board, contact: Contact, reason: str, by: str | None) -> None:
    """Back to the owner, who is waited for while it is there; at the old rank for all when it is not."""
    assignment = board.current(contact)
    owner = board.state.agents.get(contact.owner_id or "")
    target: dict[str, Any] = dict(NO_TARGET)
    wait_s = board.policy(contact).owner_wait_s
    if contact.target_kind == "pinned":
        target = {name: getattr(contact, name) for name in NO_TARGET}  # it was set aside: a pin stays
    elif owner is not None and owner.there and board.desk(owner.id).now.cost(contact.channel) is not None and wait_s:
        target = {"target_agent_id": owner.id, "target_kind": "owner", "target_until": board.now + wait_s * 1000}
    promised = contact.parked_until if contact.park_reason == "promised" else None
    data = (
        need_json(contact)
        | target
        | {
            "terms": own_terms_json(contact.terms),
            "assignment_id": None if assignment is None else assignment.id,
            "promised": promised,
            "reason": reason,
            "by": by,
        }
    )
    board.emit(
        ev.CONTACT_RESUMED,
        data,
        contact=contact,
        assignment=assignment,
        agent_id=None if assignment is None else assignment.agent_id,
    )
