"""What each kind of event does to the state: one small function for each, and the table of them.

They follow the tables of `transitions`, and trust the event: it was checked when it was decided. Events of version 1
knew nothing of some fields; what they left out stays as it was.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from src.router import events as ev
from src.router.entities import (
    FOREVER,
    NONE,
    Agent,
    Assignment,
    Collaboration,
    Contact,
    deadlines_from,
    requirements_from,
    tags_from,
    terms_from,
)
from src.router.journal import Event
from src.router.transitions import ASSIGNMENT, COLLABORATION, CONTACT, OPEN_ASSIGNMENT

if TYPE_CHECKING:
    from src.router.state import State

FLAGGED_ESCALATED: Final = "escalated"
FLAGGED_ASKED_ALL: Final = "asked_all"
"""Everybody who is there and could take it has been asked as often as allowed."""
FLAGGED_CALLBACK: Final = "callback"
"""The customer was told that it is called back: it may go, and an agent reaches it."""
FLAGGED_OUTREACH: Final = "outreach"
"""An agent is to reach the customer, who did not ask for it, where there are quiet hours; and it is not urgent."""
FLAGGED_BACK: Final = "came_back"
"""Of one that is to be called back, or reached, in quiet hours: its customer wrote, so an answer disturbs nobody."""


# -- moving ------------------------------------------------------------------------------------------------------------


def _move_contact(state: "State", event: Event) -> Contact:
    contact_id, at = event.contact_id, event.at
    assert contact_id is not None
    contact = state.contacts[contact_id]
    contact.state = CONTACT[(contact.state, event.type)]
    contact.updated_at = at
    if contact.bars:
        contact.bars = {agent: until for agent, until in contact.bars.items() if until > at} or NONE
    state.changed_contacts[contact_id] = contact
    return contact


def _move_assignment(state: "State", event: Event) -> Assignment:
    data = event.data
    assignment = state.assignments[data["assignment_id"]]
    before = assignment.state
    assignment.state = after = ASSIGNMENT[(before, event.type)]
    state.changed_assignments[assignment.id] = assignment
    if before == "offered":
        state.forget_offer(assignment)
    if after not in OPEN_ASSIGNMENT:
        at = event.at
        assignment.ended_at = at
        assignment.released = assignment.wanted = False
        del state.assignments[assignment.id]
        agent = state.agents[assignment.agent_id]
        agent.open = tuple([each for each in agent.open if each is not assignment])
        if before != "parked" and data.get("reason") != "taken_by_another":
            agent.idle_since = at
        state.changed_agents[agent.id] = None
    return assignment


def _touch_contact(state: "State", event: Event) -> Contact:
    assert event.contact_id is not None
    contact = state.contacts[event.contact_id]
    state.changed_contacts[contact.id] = contact
    return contact


def _set_need(contact: Contact, data: Mapping[str, Any]) -> None:
    """What a contact needs, as far as the event says it. Whoever it is newly meant for may be asked at once."""
    before = contact.target_agent_id
    contact.queue = data["queue"]
    contact.tags = tags_from(data["tags"])
    contact.requirements = requirements_from(data["requirements"])
    contact.target_agent_id = data["target_agent_id"]
    if "terms" in data:
        contact.priority, contact.language = data["priority"], data["language"]
        contact.target_kind, contact.target_until = data["target_kind"], data["target_until"]
        contact.terms = terms_from(data["terms"])
    elif "priority" in data:
        contact.priority = data["priority"]
    if contact.target_agent_id != before and contact.target_agent_id in contact.bars:
        contact.bars = {agent: until for agent, until in contact.bars.items() if agent != contact.target_agent_id}


def _ask_again(contact: Contact, data: Mapping[str, Any]) -> None:
    """What comes anew may be offered again to those who were asked often enough."""
    contact.asked = NONE
    if data.get("ask_again") and contact.bars:
        contact.bars = {agent: until for agent, until in contact.bars.items() if until < FOREVER} or NONE


def _bar(contact: Contact, agent_id: str, data: Mapping[str, Any]) -> None:
    contact.bars = {**contact.bars, agent_id: data["barred_until"]}


# -- contacts ----------------------------------------------------------------------------------------------------------


def _received(state: "State", event: Event) -> None:
    contact_id, customer_id, at, data = event.contact_id, event.customer_id, event.at, event.data
    assert contact_id is not None
    assert customer_id is not None
    contact = Contact(
        contact_id,
        customer_id,
        data["channel"],
        data["account"],
        at,
        CONTACT[(None, event.type)],
    )
    contact.queue, contact.priority, contact.language = data["queue"], data["priority"], data["language"]
    contact.tags, contact.requirements = tags_from(data["tags"]), requirements_from(data["requirements"])
    contact.updated_at = at
    if event.version > 1:
        contact.pilot = data["pilot"]
        contact.target_agent_id, contact.target_kind = data["target_agent_id"], data["target_kind"]
        contact.target_until, contact.terms = data["target_until"], terms_from(data["terms"])
    state.open_contact(contact)


def _moved(state: "State", event: Event) -> None:
    _move_contact(state, event)


def _offered(state: "State", event: Event) -> None:
    contact = _move_contact(state, event)
    agent_id, at, data = event.agent_id, event.at, event.data
    assert agent_id is not None
    assignment = Assignment(
        data["assignment_id"],
        contact.id,
        agent_id,
        data["channel"],
        data["cost"],
        at,
        data["expires_at"],
        ASSIGNMENT[(None, event.type)],
    )
    if contact.assignment_id is None:
        contact.assignment_id = assignment.id
    state.open_assignment(assignment)
    agent = state.agents[agent_id]
    if data.get("one_of", 1) == 1:
        agent.idle_since = at  # of several, only the one who takes it has something to do
    if event.version > 1:
        agent.turn_at = at
    state.changed_agents[agent_id] = None


def _accepted(state: "State", event: Event) -> None:
    contact, assignment = _move_contact(state, event), _move_assignment(state, event)
    at = event.at
    assignment.accepted_at = at
    contact.assignment_id = assignment.id
    contact.target_agent_id = contact.target_kind = contact.target_until = contact.parked_until = None
    if contact.answered_at is None:
        contact.answered_at = at
    agent = state.agents[assignment.agent_id]
    if agent.misses or agent.idle_since < assignment.offered_at:
        agent.misses = 0
        agent.idle_since = max(agent.idle_since, assignment.offered_at)
        state.changed_agents[agent.id] = None


def _not_taken(state: "State", event: Event) -> None:
    assignment = _move_assignment(state, event)
    contact = state.contacts[assignment.contact_id]
    _bar(contact, assignment.agent_id, event.data)
    if event.version > 1:
        contact.asked = {**contact.asked, assignment.agent_id: contact.asked.get(assignment.agent_id, 0) + 1}
    _next_offer(state, contact, assignment)
    state.changed_contacts[contact.id] = contact
    if event.type == ev.OFFER_EXPIRED:
        state.agents[assignment.agent_id].misses += 1


def _revoked(state: "State", event: Event) -> None:
    assignment = _move_assignment(state, event)
    contact = state.contacts[assignment.contact_id]
    barred = event.data.get("barred_until") is not None
    if barred:
        _bar(contact, assignment.agent_id, event.data)
    if _next_offer(state, contact, assignment) or barred:
        state.changed_contacts[contact.id] = contact


def _next_offer(state: "State", contact: Contact, ended: Assignment) -> bool:
    """The contact's assignment is another of its offers now, if there is one."""
    offers = state.offers.get(contact.id)
    if contact.assignment_id != ended.id or not offers:
        return False
    contact.assignment_id = next(iter(offers))
    return True


def _requeued(state: "State", event: Event) -> None:
    assert event.contact_id is not None
    was_active = state.contacts[event.contact_id].state == "active"
    contact = _move_contact(state, event)
    contact.assignment_id = None
    if was_active and event.version > 1:
        contact.queued_at = event.at  # it waits anew, at its old rank


def _reclassified(state: "State", event: Event) -> None:
    contact = _move_contact(state, event)
    _enter(contact, event)
    _set_need(contact, event.data)
    if event.data.get("ask_again"):
        _ask_again(contact, event.data)


def _enter(contact: Contact, event: Event) -> None:
    """Steps and waits begin anew in another queue, and with other wishes (`anew`)."""
    if event.version > 1 and (contact.queue != event.data["queue"] or event.data.get("anew")):
        contact.queued_at, contact.step = event.at, 0


def _relaxed(state: "State", event: Event) -> None:
    contact = _move_contact(state, event)
    _set_need(contact, event.data)
    contact.step = event.data["step"]


def _overflowed(state: "State", event: Event) -> None:
    contact = _move_contact(state, event)
    _enter(contact, event)
    _set_need(contact, event.data)
    if event.data.get("ask_again"):
        _ask_again(contact, event.data)
    contact.overflows += 1


def _transferred(state: "State", event: Event) -> None:
    contact, assignment = _move_contact(state, event), _move_assignment(state, event)
    data = event.data
    contact.assignment_id = None
    _enter(contact, event)
    _set_need(contact, data)
    contact.transfers = data["transfers"] if "transfers" in data else contact.transfers + 1
    if event.version > 1:
        contact.previous_agent_id = assignment.agent_id
        contact.queued_at = event.at
        _ask_again(contact, data)
    _bar(contact, assignment.agent_id, data)
    if contact.target_agent_id in contact.bars:
        contact.bars = {agent: until for agent, until in contact.bars.items() if agent != contact.target_agent_id}


def _parked(state: "State", event: Event) -> None:
    contact, data = _move_contact(state, event), event.data
    contact.parked_until, contact.park_reason = data["until"], data["reason"]
    _ask_again(contact, data)
    if data["assignment_id"] is not None:
        assignment = _move_assignment(state, event)
        assignment.released = assignment.wanted = False
        contact.owner_id = assignment.agent_id
        agent = state.agents[assignment.agent_id]
        agent.idle_since = event.at
        state.changed_agents[agent.id] = None


def _resumed(state: "State", event: Event) -> None:
    contact, data = _move_contact(state, event), event.data
    if data["assignment_id"] is not None:
        _move_assignment(state, event)
    contact.assignment_id = None
    contact.park_reason = None
    contact.parked_until = data["promised"]
    contact.queued_at, contact.step = event.at, 0
    _set_need(contact, data)


def _flag(contact: Contact, flag: str) -> None:
    if flag not in contact.flags:
        contact.flags = (*contact.flags, flag)


def _late(state: "State", event: Event) -> None:
    contact = _touch_contact(state, event)
    contact.parked_until = None
    _flag(contact, "late")


def _flagged(state: "State", event: Event) -> None:
    contact = _touch_contact(state, event)
    _flag(contact, event.data["flag"])


def _escalated(state: "State", event: Event) -> None:
    contact = _touch_contact(state, event)
    _flag(contact, FLAGGED_ESCALATED)
    contact.priority = event.data["priority"]
    contact.updated_at = event.at


def _alarmed(state: "State", event: Event) -> None:
    contact = _touch_contact(state, event)
    contact.alarms = {**contact.alarms, event.data["name"]: event.data["level"]}


def _closed(state: "State", event: Event) -> None:
    contact = _move_contact(state, event)
    contact.outcome, contact.closed_at = event.data["outcome"], event.at
    contact.bars = NONE
    state.forget_contact(contact)


def _sla(state: "State", event: Event) -> None:
    _touch_contact(state, event).sla_stage = 1 if event.type == ev.SLA_WARNING else 2


# -- assignments -------------------------------------------------------------------------------------------------------


def _lost(state: "State", event: Event) -> None:
    assignment = _move_assignment(state, event)
    if event.data.get("barred_until") is not None:
        contact = state.contacts[assignment.contact_id]
        _bar(contact, assignment.agent_id, event.data)
        state.changed_contacts[contact.id] = contact


def _units(state: "State", event: Event) -> None:
    assignment = _move_assignment(state, event)
    assignment.released = event.type != ev.ASSIGNMENT_RETAKEN
    assignment.wanted = event.type == ev.ASSIGNMENT_WANTED or (
        event.type == ev.ASSIGNMENT_RELEASED and event.data["wanted"]
    )


def _said(state: "State", event: Event) -> None:
    """What its agent says of it; it may have ended with that, or not yet."""
    assignment, data = _move_assignment(state, event), event.data
    assignment.resolved = data["resolved"]
    assignment.disposition = data["disposition"]


def _wrapping_up(state: "State", event: Event) -> None:
    _move_contact(state, event)
    assignment, data = _move_assignment(state, event), event.data
    assignment.wanted = False
    assignment.ends_at, assignment.outcome = data["ends_at"], data["outcome"]
    assignment.resolved, assignment.disposition = data["resolved"], data["disposition"]


# -- agents ------------------------------------------------------------------------------------------------------------


def _presence(state: "State", event: Event) -> None:
    assert event.agent_id is not None
    agent, data = state.agents[event.agent_id], event.data
    if agent.status != "available" and data["status"] == "available":
        agent.idle_since, agent.misses = event.at, 0
    agent.status, agent.reason = data["status"], data["reason"]
    agent.session, agent.lease_s, agent.grace_until = data["session"], data["lease_s"], data["grace_until"]
    state.changed_agents[agent.id] = None


def _paused(state: "State", event: Event) -> None:
    assert event.agent_id is not None
    agent = state.agents[event.agent_id]
    agent.paused = event.data["reason"] or "" if event.type == ev.AGENT_PAUSED else None
    if agent.paused is None:
        agent.idle_since = event.at
    state.changed_agents[agent.id] = None


def _agent_put(state: "State", event: Event) -> None:
    assert event.agent_id is not None
    if event.agent_id not in state.agents:
        state.put_agent(Agent(event.agent_id))


def _agent_deleted(state: "State", event: Event) -> None:
    assert event.agent_id is not None
    del state.agents[event.agent_id]
    state.changed_agents[event.agent_id] = None


# -- collaborations ----------------------------------------------------------------------------------------------------


def _requested(state: "State", event: Event) -> None:
    assert event.contact_id is not None
    data = event.data
    collaboration = Collaboration(
        data["collaboration_id"],
        event.contact_id,
        data["kind"],
        data["by"],
        event.at,
        COLLABORATION[(None, event.type)],
    )
    collaboration.department = data["department"]
    collaboration.requirements = requirements_from(data["requirements"])
    collaboration.agent_id = event.agent_id
    collaboration.deadlines = deadlines_from(data["deadlines"])
    collaboration.feedback_by = data["feedback_by"]
    collaboration.asked_until = data["asked_until"]
    state.open_collaboration(collaboration)


def _helping(state: "State", event: Event) -> Collaboration:
    collaboration = state.collaborations[event.data["collaboration_id"]]
    collaboration.state = COLLABORATION[(collaboration.state, event.type)]
    state.changed_collaborations[collaboration.id] = collaboration
    return collaboration


def _asked(state: "State", event: Event) -> None:
    collaboration = _helping(state, event)
    collaboration.agent_id, collaboration.asked_until = event.agent_id, event.data["asked_until"]
    if collaboration.accepted_at is not None:  # who helped is gone: as if nobody had accepted
        collaboration.accepted_at = collaboration.answered_at = None
        collaboration.progress_by = collaboration.lead_by = collaboration.solution_by = None
        collaboration.feedback_by, collaboration.told = event.data["feedback_by"], ()


def _help_accepted(state: "State", event: Event) -> None:
    collaboration, data = _helping(state, event), event.data
    collaboration.agent_id, collaboration.accepted_at = data["helper_id"], event.at
    collaboration.asked_until = None
    collaboration.progress_by, collaboration.lead_by = data["progress_by"], data["lead_by"]
    collaboration.solution_by = data["solution_by"]


def _replied(state: "State", event: Event) -> None:
    collaboration, data = _helping(state, event), event.data
    if data["from"] == "helper":
        if data["kind"] != "progress" and collaboration.answered_at is None:
            collaboration.answered_at, collaboration.feedback_by = event.at, None
        if data["kind"] == "solution":
            collaboration.solution_by = None
        if data["approved"] is not None:
            collaboration.approved = data["approved"]
    collaboration.progress_by, collaboration.lead_by = data["progress_by"], data["lead_by"]
    restarted = "progress." if data["from"] == "helper" else "lead."
    collaboration.told = tuple(each for each in collaboration.told if not each.startswith(restarted))


def _help_closed(state: "State", event: Event) -> None:
    collaboration = _helping(state, event)
    collaboration.closed_at, collaboration.reason = event.at, event.data["reason"]
    state.forget_collaboration(collaboration)


def _help_told(state: "State", event: Event) -> None:
    collaboration = state.collaborations[event.data["collaboration_id"]]
    stage = "warning" if event.type == ev.COLLABORATION_WARNING else "escalated"
    name = f"{event.data['deadline']}.{stage}"  # one event for each who is concerned
    collaboration.told = tuple(dict.fromkeys((*collaboration.told, name)))
    state.changed_collaborations[collaboration.id] = collaboration


FOLDS: Final[dict[str, Callable[["State", Event], None]]] = {
    ev.CONTACT_RECEIVED: _received,
    ev.CONTACT_WAITING: _moved,
    ev.CONTACT_OFFERED: _offered,
    ev.CONTACT_ACTIVE: _accepted,
    ev.CONTACT_REQUEUED: _requeued,
    ev.CONTACT_RECLASSIFIED: _reclassified,
    ev.CONTACT_RELAXED: _relaxed,
    ev.CONTACT_OVERFLOWED: _overflowed,
    ev.CONTACT_TRANSFERRED: _transferred,
    ev.CONTACT_PARKED: _parked,
    ev.CONTACT_RESUMED: _resumed,
    ev.CONTACT_LATE: _late,
    ev.CONTACT_FLAGGED: _flagged,
    ev.CONTACT_ESCALATED: _escalated,
    ev.CONTACT_ALARM: _alarmed,
    ev.CONTACT_CLOSED: _closed,
    ev.OFFER_DECLINED: _not_taken,
    ev.OFFER_EXPIRED: _not_taken,
    ev.OFFER_REVOKED: _revoked,
    ev.ASSIGNMENT_RELEASED: _units,
    ev.ASSIGNMENT_WANTED: _units,
    ev.ASSIGNMENT_RETAKEN: _units,
    ev.ASSIGNMENT_WRAP_UP: _wrapping_up,
    ev.ASSIGNMENT_NOTED: _said,
    ev.ASSIGNMENT_COMPLETED: _said,
    ev.ASSIGNMENT_LOST: _lost,
    ev.AGENT_PRESENCE: _presence,
    ev.AGENT_PAUSED: _paused,
    ev.AGENT_UNPAUSED: _paused,
    ev.AGENT_UPDATED: _agent_put,
    ev.AGENT_DELETED: _agent_deleted,
    ev.COLLABORATION_REQUESTED: _requested,
    ev.COLLABORATION_ASKED: _asked,
    ev.COLLABORATION_ACCEPTED: _help_accepted,
    ev.COLLABORATION_REPLIED: _replied,
    ev.COLLABORATION_CLOSED: _help_closed,
    ev.COLLABORATION_WARNING: _help_told,
    ev.COLLABORATION_ESCALATED: _help_told,
    ev.SLA_WARNING: _sla,
    ev.SLA_BREACHED: _sla,
}
"""What each kind does to the state. Kinds that are not here (messages, configuration) change nothing that is folded."""
