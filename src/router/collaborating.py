"""Help with a contact: who is asked, and by when. The lead keeps the contact and stays responsible for it."""

from dataclasses import replace
from typing import Final

from src.router import events as ev
from src.router.board import Board, need_of
from src.router.entities import Collaboration, Contact, deadlines_json, requirements_json
from src.router.fit import misfit
from src.router.model import NO_TERMS, CollaborationKind, Deadlines, DepartmentConfig, Requirement

ASKED_IN_TURN_MAX: Final = 100
"""Of so many who could help, the best ones, all are asked in turn."""


def ask_for_shared(board: Board, contact: Contact, lead_id: str) -> None:
    """Ask for help with what the lead of a split contact does not cover, each with its own deadline; once.

    What is shared is worked out anew for each lead: what it covers itself needs no help any more, and what it lacks is
    asked for, also where an earlier lead covered it. A helper that has become the lead helps no more.
    """
    split, helps = any(each.shared for each in contact.requirements), board.state.helps.get(contact.id)
    if not split and not helps:
        return
    asked: set[str] = set()
    for collaboration in list((helps or {}).values()):
        if collaboration.agent_id == lead_id:
            board.say_help(ev.COLLABORATION_CLOSED, collaboration, reason="helper_leads", by=None)
        elif split and _is_for_a_share(board, collaboration) and _covers(board, lead_id, collaboration.requirements):
            board.say_help(ev.COLLABORATION_CLOSED, collaboration, reason="lead_covers", by=None)
        else:
            asked.update(need.skill for need in collaboration.requirements)
    if not split:
        return
    for each in contact.requirements:
        wanted = (each.shared or each.required) and (each.lapses_at is None or each.lapses_at > board.now)
        alone = (each._replace(shared=False),)
        if wanted and each.skill not in asked and not _covers(board, lead_id, alone):
            asked.add(each.skill)
            request(board, contact, board.new_id(), by=lead_id, requirements=alone)


def _is_for_a_share(board: Board, collaboration: Collaboration) -> bool:
    """Whether it is help with one requirement of the contact, as splitting asks for it."""
    if collaboration.kind != "help" or len(collaboration.requirements) != 1 or is_by_name(board, collaboration):
        return False
    contact = board.state.contacts[collaboration.contact_id]
    return collaboration.requirements[0].skill in {each.skill for each in contact.requirements}


def _covers(board: Board, agent_id: str, requirements: tuple[Requirement, ...]) -> bool:
    return misfit(need_of("", requirements, None, (), NO_TERMS), board.desk(agent_id).ability) is None


def request(
    board: Board,
    contact: Contact,
    collaboration_id: str,
    *,
    by: str,
    kind: CollaborationKind = "help",
    requirements: tuple[Requirement, ...] = (),
    department: DepartmentConfig | None = None,
    to_agent_id: str | None = None,
    deadlines: Deadlines | None = None,
) -> None:
    """Ask for help. Without a named agent: a newcomer's mentor first, then the best who is present.

    What was asked of nobody by name is asked on, until somebody has accepted it (`asked_until`). Where there is a time
    for the solution and none for feedback, the first answer is due within the solution's time, so that a request that
    nobody accepts is warned of and escalated too; the solution's own time starts at acceptance.
    """
    if deadlines is None:
        deadlines = board.config.settings.collaboration if department is None else department.deadlines_at(board.now)
    if deadlines.feedback_s is None and deadlines.solution_s is not None:
        deadlines = replace(deadlines, feedback_s=deadlines.solution_s)
    helper, asked_until = to_agent_id, None
    if helper is None:
        mentor = _mentor(board, contact) if department is None else None
        helper = mentor or _helper(board, contact, requirements, department)
        asked_until = _asked_until(board)
    data = {
        "collaboration_id": collaboration_id,
        "kind": kind,
        "department": None if department is None else department.name,
        "requirements": requirements_json(requirements),
        "deadlines": deadlines_json(deadlines),
        "feedback_by": _after(board, deadlines.feedback_s),
        "asked_until": asked_until,
        "by": by,
    }
    board.emit(ev.COLLABORATION_REQUESTED, data, contact=contact, agent_id=helper)
    board.note_collaboration(board.state.collaborations[collaboration_id])


def ask_on(board: Board, collaboration: Collaboration, reason: str) -> None:
    """Who was asked did not answer in time, or is gone: ask whoever else can help, all in turn.

    Where nobody else is there, it stays with who was asked, and is tried again after the same time. What somebody had
    accepted begins anew, with its whole time for feedback.
    """
    contact = board.state.contacts[collaboration.contact_id]
    department = board.config.departments.get(collaboration.department or "")
    helper = _helper(board, contact, collaboration.requirements, department, after=collaboration.agent_id)
    if helper is None and collaboration.agent_id in board.state.agents:
        helper = collaboration.agent_id
    asked = {"collaboration_id": collaboration.id, "asked_until": _asked_until(board), "reason": reason}
    if collaboration.state == "accepted":
        asked["feedback_by"] = _after(board, collaboration.deadlines.feedback_s)
    board.note_collaboration(collaboration)
    board.emit(ev.COLLABORATION_ASKED, asked, contact=contact, agent_id=helper)


def is_by_name(board: Board, collaboration: Collaboration) -> bool:
    """Whether an open request is for one agent alone: it was named, and is there. Approvals always are."""
    if collaboration.kind == "approval":
        return True
    named = collaboration.state == "requested" and collaboration.asked_until is None
    return named and collaboration.agent_id is not None and collaboration.agent_id in board.state.agents


def is_to_be_asked_on(board: Board, collaboration: Collaboration) -> bool:
    """Whether somebody else is to be asked now."""
    if collaboration.state != "requested" or is_by_name(board, collaboration):
        return False
    return collaboration.asked_until is None or collaboration.asked_until <= board.now


def agent_gone(board: Board, agent_id: str) -> list[Contact]:
    """An agent was deleted: what was asked of it, or begun by it, is asked of somebody else at once.

    An approval is nobody else's to give: it ends, and the lead hears of it. The answer is whose approvals those were.
    """
    unapproved: list[Contact] = []
    for each in list(board.state.collaborations.values()):
        if each.agent_id != agent_id:
            continue
        if each.kind == "approval":
            lead = lead_of(board, each)
            board.say_help(ev.COLLABORATION_CLOSED, each, to=lead, reason="agent_deleted", by=None)
            unapproved.append(board.state.contacts[each.contact_id])
        else:
            ask_on(board, each, "agent_deleted")
    return unapproved


def concerned(board: Board, collaboration: Collaboration, deadline: str, *, escalated: bool) -> list[str | None]:
    """Who is to hear of a deadline; nobody there: one entry, None.

    It is whose word is due, the lead where the customer waits for it, and on escalation whom the department names.
    """
    department = board.config.departments.get(collaboration.department or "")
    lead = lead_of(board, collaboration)
    found = [lead] if deadline == "lead" else [collaboration.agent_id]
    if deadline in {"feedback", "solution"}:
        found.append(lead)
    if escalated and department is not None:
        found.append(department.escalate_to)
    return list(dict.fromkeys(each for each in found if each in board.state.agents)) or [None]


def accepted(board: Board, collaboration: Collaboration, helper_id: str) -> None:
    """Somebody helps: from now on a word is due now and then, from the helper and from the lead."""
    deadlines = collaboration.deadlines
    progress_by = _after(board, deadlines.progress_s)
    board.say_help(
        ev.COLLABORATION_ACCEPTED,
        collaboration,
        to=lead_of(board, collaboration),
        helper_id=helper_id,
        progress_by=progress_by,
        lead_by=progress_by,
        solution_by=_after(board, deadlines.solution_s),
    )


def replied(board: Board, collaboration: Collaboration, who: str, kind: str, approved: bool | None) -> None:
    """A word of the helper or of the lead. Each restarts its own time for the next one."""
    after = _after(board, collaboration.deadlines.progress_s)
    lead = lead_of(board, collaboration)
    board.say_help(
        ev.COLLABORATION_REPLIED,
        collaboration,
        to=lead if who == "helper" else None,
        kind=kind,
        **{"from": who},
        approved=approved,
        progress_by=after if who == "helper" else collaboration.progress_by,
        lead_by=after if who == "lead" else collaboration.lead_by,
    )


def lead_of(board: Board, collaboration: Collaboration) -> str | None:
    """Who is responsible for the contact now."""
    return lead_with(board, board.state.contacts[collaboration.contact_id])


def lead_with(board: Board, contact: Contact) -> str | None:
    """The same of a contact."""
    assignment = board.current(contact)
    return assignment.agent_id if assignment is not None else contact.owner_id


def _after(board: Board, seconds: int | None) -> int | None:
    return None if seconds is None else board.now + seconds * 1000


def _mentor(board: Board, contact: Contact) -> str | None:
    """The mentor of the contact's agent, if it is there."""
    assignment = board.current(contact)
    config = board.config.agents.get(assignment.agent_id) if assignment is not None else None
    if config is None or config.mentor_id is None:
        return None
    mentor = board.state.agents.get(config.mentor_id)
    return mentor.id if mentor is not None and mentor.there else None


def _asked_until(board: Board) -> int:
    return board.now + max(1, board.config.settings.help_wait_s) * 1000


def there_for(board: Board, department: DepartmentConfig) -> str | None:
    """Who is told what a department is told: the best of its teams who is there, else whom it escalates to."""
    need = need_of("", (), None, department.teams, NO_TERMS)
    found = board.index.present_for(need, ()) if department.teams else None
    return found or (department.escalate_to if department.escalate_to in board.state.agents else None)


def _helper(
    board: Board,
    contact: Contact,
    requirements: tuple[Requirement, ...],
    department: DepartmentConfig | None,
    after: str | None = None,
) -> str | None:
    """The best who is there and can help, busy or not: helping takes no capacity. Never the lead.

    `after` an agent who was asked: the next by id, so that all are asked in turn; the best, if that one is not there.
    """
    need = need_of("", requirements, None, () if department is None else department.teams, NO_TERMS)
    lead = lead_with(board, contact)
    not_these = {lead} if lead is not None else set()
    if after is None:
        return board.index.present_for(need, not_these)
    found = board.index.candidates(board.index.signature(need), not_these, ASKED_IN_TURN_MAX, "present")
    others = [each.agent_id for each in found if each.agent_id != after]
    if len(others) == len(found):  # who was asked is not there, or need not fit, as a mentor
        return next(iter(others), None)
    return min((each for each in others if each > after), default=min(others, default=None))
