"""What is due: deadlines of contacts, assignments, agents, collaborations and queues. One heap; time is an argument."""

from collections.abc import Callable
from typing import Any, Final

from src.router import commands
from src.router import events as ev
from src.router.board import Board
from src.router.collaborating import ask_on, concerned, is_to_be_asked_on
from src.router.deadlines import (
    collaboration_deadlines,
    flag_due_at,
    returns_at,
    sla_due_at,
    step_due_at,
)
from src.router.entities import Contact
from src.router.handlers.assignments import finish
from src.router.handlers.base import Room
from src.router.handlers.contacts import flag_long_wait
from src.router.handlers.parking import resume
from src.router.handlers.presence import lost, miss
from src.router.queueing import drop_lapsed, step

SWEPT_MAX: Final = 200
"""So many contacts of a queue are looked at in one go, when it has changed or somebody has left."""


def tick(room: Room, command: commands.Tick) -> None:
    """Do what is due, earliest first, at most `items_max` of it."""
    board = room.board
    for _item in range(command.items_max):
        board.look()
        due = board.timers.pop(board.now)
        if due is None:
            return
        kind, entity_id = due
        _DUE[kind](board, entity_id)


def _contact_due(board: Board, contact_id: str) -> None:
    board.state.at_hand = contact_id
    contact, now = board.state.contacts[contact_id], board.now
    board.note_contact(contact)
    if contact.state == "parked":
        if (at := returns_at(board, contact)) is not None and at <= now:
            resume(board, contact, "callback" if contact.park_reason == "callback" else "time", None)
        return
    while (late_at := sla_due_at(board, contact)) is not None and late_at <= now:
        kind = ev.SLA_WARNING if contact.sla_stage == 0 else ev.SLA_BREACHED
        board.tell(kind, contact, queue=contact.queue, waited_s=(now - contact.created_at) // 1000)
        if kind == ev.SLA_BREACHED:
            board.levels.count(contact, now, within=False)
    if (flag_at := flag_due_at(board, contact, board.policy(contact))) is not None and flag_at <= now:
        flag_long_wait(board, contact)
    if contact.parked_until is not None and contact.parked_until <= now:
        _tell_late(board, contact)
    if contact.state == "waiting":
        _waiting_due(board, contact)


def _tell_late(board: Board, contact: Contact) -> None:
    """What was promised is overdue: who has the contact hears it, else who promised."""
    held = board.current(contact)
    owner_id = contact.owner_id if contact.owner_id in board.config.agents else None
    to = owner_id if held is None else held.agent_id
    board.emit(ev.CONTACT_LATE, {"until": contact.parked_until}, contact=contact, agent_id=to)


def _waiting_due(board: Board, contact: Contact) -> None:
    now = board.now
    drop_lapsed(board, contact)
    if contact.target_until is not None and contact.target_until <= now:
        board.release_target(contact, "target_lapsed")
    upto = contact.step
    while (step_at := step_due_at(board, contact, upto)) is not None and step_at <= now:
        upto += 1
    if upto > contact.step:
        step(board, contact, upto, "time")
    board.fresh[contact.id] = None  # it is tried, and kept by its queue if nobody takes it


def _assignment_due(board: Board, assignment_id: str) -> None:
    assignment = board.state.assignments[assignment_id]
    board.state.at_hand = assignment.contact_id
    if assignment.state == "wrap_up":
        finish(board, assignment)
    elif assignment.state == "active":
        board.say(ev.ASSIGNMENT_RELEASED, assignment, reason="silent", wanted=False)
    else:
        miss(board, assignment)


def _agent_due(board: Board, agent_id: str) -> None:
    agent = board.state.agents[agent_id]
    lease_until = board.lease_until.get(agent.id)
    if lease_until is not None and lease_until <= board.now:
        lost(board, agent, "lease_expired")
    elif agent.grace_until is not None and agent.grace_until <= board.now:
        lost(board, agent, "connection_lost")
    else:
        board.look_at_agent(agent_id)  # a skill has run out, or it is no newcomer any more
        board.look_at_named(agent_id)
        board.sweep(abilities=True)


def _queue_due(board: Board, name: str) -> None:
    """The queue opens or closes."""
    board.look_at_queue(name)


def _sweep_due(board: Board, name: str) -> None:
    """Look through a queue, some contacts at a time: each is tried, and kept by the queue's policy as it is now."""
    for contact_id in board.swept(name, SWEPT_MAX):
        board.fresh[contact_id] = None


def _collaboration_due(board: Board, collaboration_id: str) -> None:
    collaboration, now = board.state.collaborations[collaboration_id], board.now
    board.state.at_hand = collaboration.contact_id
    board.note_collaboration(collaboration)
    if is_to_be_asked_on(board, collaboration):
        ask_on(board, collaboration, "no_answer")
    department = board.config.departments.get(collaboration.department or "")
    for name, at in collaboration_deadlines(collaboration):
        if at <= now:
            deadline, _, stage = name.partition(".")
            by: dict[str, Any] = {
                "deadline": deadline,
                "due_at": getattr(collaboration, f"{deadline}_by"),
                "escalate_to": None if department is None else department.escalate_to,
            }
            kind = ev.COLLABORATION_WARNING if stage == "warning" else ev.COLLABORATION_ESCALATED
            for to in concerned(board, collaboration, deadline, escalated=stage == "escalated"):
                board.say_help(kind, collaboration, to=to, **by)  # an event concerns one agent at most


_DUE: Final[dict[str, Callable[[Board, str], None]]] = {
    "contact": _contact_due,
    "assignment": _assignment_due,
    "agent": _agent_due,
    "queue": _queue_due,
    "sweep": _sweep_due,
    "collaboration": _collaboration_due,
}
