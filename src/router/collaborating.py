"""Help with a contact: who is asked, and by when. The lead keeps the contact and stays responsible for it."""

from src.router import events as ev
from src.router.board import Board, need_of
from src.router.entities import Collaboration, Contact, deadlines_json, requirement_json
from src.router.model import NO_TERMS, CollaborationKind, Deadlines, DepartmentConfig, Requirement


def ask_for_shared(board: Board, contact: Contact, lead_id: str) -> None:
    """Ask for help with what the lead does not cover, each requirement with its own deadline; once.

    A helper that has become the lead helps no more: somebody else is asked.
    """
    for collaboration in list(board.state.helps.get(contact.id, {}).values()):
        if collaboration.agent_id == lead_id:
            board.say_help(ev.COLLABORATION_CLOSED, collaboration, reason="helper_leads", by=None)
    asked = {need.skill for each in board.state.helps.get(contact.id, {}).values() for need in each.requirements}
    for each in contact.requirements:
        if each.shared and each.skill not in asked:
            asked.add(each.skill)
            request(board, contact, board.new_id(), by=lead_id, requirements=(each._replace(shared=False),))


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
    """Ask for help. Without a named agent: a newcomer's mentor first, then the best who is present."""
    if deadlines is None:
        deadlines = board.config.settings.collaboration if department is None else department.deadlines_at(board.now)
    helper, asked_until = to_agent_id, None
    if helper is None:
        mentor = _mentor(board, contact) if department is None else None
        helper = mentor or _helper(board, contact, requirements, department)
        if mentor is not None:
            asked_until = board.now + board.config.settings.help_wait_s * 1000
    data = {
        "collaboration_id": collaboration_id,
        "kind": kind,
        "department": None if department is None else department.name,
        "requirements": [requirement_json(each) for each in requirements],
        "deadlines": deadlines_json(deadlines),
        "feedback_by": _after(board, deadlines.feedback_s),
        "asked_until": asked_until,
        "by": by,
    }
    board.emit(ev.COLLABORATION_REQUESTED, data, contact=contact, agent_id=helper)
    board.note_collaboration(board.state.collaborations[collaboration_id])


def ask_on(board: Board, collaboration: Collaboration, reason: str) -> None:
    """The mentor did not answer in time: ask whoever else can help."""
    contact = board.state.contacts[collaboration.contact_id]
    department = board.config.departments.get(collaboration.department or "")
    helper = _helper(board, contact, collaboration.requirements, department, but=collaboration.agent_id)
    if helper is None:
        helper = collaboration.agent_id  # nobody else is there
    asked = {"collaboration_id": collaboration.id, "asked_until": None, "reason": reason}
    board.note_collaboration(collaboration)
    board.emit(ev.COLLABORATION_ASKED, asked, contact=contact, agent_id=helper)


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
    contact = board.state.contacts[collaboration.contact_id]
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


def _helper(
    board: Board,
    contact: Contact,
    requirements: tuple[Requirement, ...],
    department: DepartmentConfig | None,
    but: str | None = None,
) -> str | None:
    """The best who is there and can help, busy or not: helping takes no capacity."""
    lead = board.current(contact)
    need = need_of("", requirements, None, () if department is None else department.teams, NO_TERMS)
    not_these = {each for each in (but, None if lead is None else lead.agent_id) if each is not None}
    return board.index.present_for(need, not_these)
