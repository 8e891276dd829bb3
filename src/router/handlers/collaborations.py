"""Help is asked for, given, and no longer needed."""

from dataclasses import replace

from src.errors import Forbidden, InvalidState, Malformed, NotFound, UnknownReference
from src.router import commands
from src.router import events as ev
from src.router.board import Board, need_of
from src.router.classify import requirements_of
from src.router.collaborating import accepted, is_by_name, lead_of, replied, request
from src.router.entities import Collaboration
from src.router.fit import misfit
from src.router.handlers.base import Room
from src.router.handlers.parking import resume, resume_unanswered
from src.router.model import NO_TERMS, Deadlines


def collaborate(room: Room, command: commands.Collaborate) -> None:
    """Ask for help with an open contact."""
    board = room.board
    contact = room.open_contact(command.contact_id, "waiting", "offered", "active", "parked", to="helped with")
    room.held(contact, command.agent_id)
    department = None
    if command.department is not None:
        department = board.config.departments.get(command.department)
        if department is None:
            raise UnknownReference(f"there is no department {command.department!r}", field="department")
    if command.to_agent_id is not None:
        helper = room.named_agent(command.to_agent_id, "agent_id")
        lead = board.current(contact)
        if lead is not None and lead.agent_id == helper.id:
            raise Malformed("the lead cannot be asked for help with its own contact", field="agent_id")
    if command.kind == "approval" and command.to_agent_id is None:
        raise Malformed("an approval needs an approver", field="agent_id")
    if command.collaboration_id in board.state.collaborations:
        return
    request(
        board,
        contact,
        command.collaboration_id,
        by=command.by,
        kind="department" if department is not None else command.kind,
        requirements=requirements_of(command.tags, board.config.tags, board.now),
        department=department,
        to_agent_id=command.to_agent_id,
        deadlines=_filled(board, command),
    )


def _filled(board: Board, command: commands.Collaborate) -> Deadlines | None:
    """The deadlines that were asked for, the others as they would have been."""
    if command.deadlines is None:
        return None
    department = board.config.departments.get(command.department or "")
    usual = board.config.settings.collaboration if department is None else department.deadlines_at(board.now)
    named = {
        name: getattr(command.deadlines, name)
        for name in ("progress_s", "feedback_s", "solution_s")
        if getattr(command.deadlines, name) is not None
    }
    return replace(usual, **named)


def accept(room: Room, command: commands.AcceptCollaboration) -> None:
    """The agent helps. Whoever can may take what was asked of nobody by name; the rest is for that one."""
    collaboration = _collaboration(room, command.collaboration_id)
    helper_id = command.agent_id or collaboration.agent_id
    if collaboration.state == "accepted" and collaboration.agent_id == helper_id:
        return
    _open(collaboration, "requested", to="accepted")
    if helper_id is None:
        raise Malformed("name the agent that helps", field="agent_id")
    room.named_agent(helper_id, "agent_id")
    if not _may_help(room.board, collaboration, helper_id):
        raise Forbidden("the help was asked of somebody else")
    accepted(room.board, collaboration, helper_id)


def reply(room: Room, command: commands.ReplyCollaboration) -> None:
    """A word of the helper, or of the lead. The first answer of who was asked accepts as well."""
    board = room.board
    collaboration = _collaboration(room, command.collaboration_id)
    lead = lead_of(board, collaboration) if collaboration.state != "closed" else None
    who = "lead" if command.agent_id is not None and command.agent_id == lead else "helper"
    if collaboration.kind == "approval" and who == "helper" and command.kind != "progress":
        if command.approved is None:
            raise Malformed("say whether it is approved", field="approved")
    elif command.approved is not None:
        raise Malformed("only an approval is approved", field="approved")
    if collaboration.state == "requested" and who == "helper":
        accept(room, commands.AcceptCollaboration(command.collaboration_id, command.by, command.agent_id))
    _open(collaboration, "accepted", to="answered")
    if who == "helper" and command.agent_id is not None and command.agent_id != collaboration.agent_id:
        raise Forbidden("somebody else helps")
    replied(board, collaboration, who, command.kind, command.approved)
    if who == "helper" and command.kind != "progress":
        contact = board.state.contacts[collaboration.contact_id]
        if contact.state == "parked" and contact.park_reason == "department":
            resume(board, contact, "department", command.by)
    if who == "helper" and command.approved is not None:
        _close(board, collaboration, "approved" if command.approved else "refused", command.by)
    elif who == "helper" and command.kind == "solution":
        _close(board, collaboration, "solved", command.by)


def close(room: Room, command: commands.CloseCollaboration) -> None:
    """No more help is needed, or none is given. The lead, who was asked, or who is told of misses may say so."""
    collaboration = _collaboration(room, command.collaboration_id)
    if collaboration.state == "closed":
        return
    lead = lead_of(room.board, collaboration)
    if command.agent_id is not None:
        department = room.board.config.departments.get(collaboration.department or "")
        told = None if department is None else department.escalate_to
        if command.agent_id not in (lead, collaboration.agent_id, collaboration.by, told):
            raise Forbidden("neither your contact nor your help")
    _close(room.board, collaboration, command.reason, command.by)
    if command.agent_id is None or command.agent_id != lead:
        resume_unanswered(room.board, room.board.state.contacts[collaboration.contact_id], command.by)


def _close(board: Board, collaboration: Collaboration, reason: str | None, by: str) -> None:
    lead = lead_of(board, collaboration)
    board.say_help(ev.COLLABORATION_CLOSED, collaboration, to=lead, reason=reason, by=by)


def _may_help(board: Board, collaboration: Collaboration, helper_id: str) -> bool:
    if helper_id == lead_of(board, collaboration):
        return False
    if collaboration.agent_id == helper_id:
        return True
    if is_by_name(board, collaboration):
        return False
    department = board.config.departments.get(collaboration.department or "")
    need = need_of("", collaboration.requirements, None, () if department is None else department.teams, NO_TERMS)
    return misfit(need, board.desk(helper_id).ability) is None


def _open(collaboration: Collaboration, wanted: str, *, to: str) -> None:
    if collaboration.state != wanted:
        raise InvalidState(f"a collaboration that is {collaboration.state} cannot be {to}", state=collaboration.state)


def _collaboration(room: Room, collaboration_id: str) -> Collaboration:
    found = room.board.state.collaboration(collaboration_id) or room.archive.collaborations.get(collaboration_id)
    if found is None:
        raise NotFound("there is no such collaboration")
    return found
