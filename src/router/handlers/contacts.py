"""Contacts come, change what they need, go to others, and end."""

from typing import Any

from src.errors import AgentUnavailable, InvalidState
from src.router import commands
from src.router import events as ev
from src.router.board import NO_TARGET, Board, need_json, need_of
from src.router.classify import requirements_of, uncovered
from src.router.deadlines import LONG_WAIT, waited_at
from src.router.entities import Agent, Assignment, Contact, own_terms_json, requirements_json, terms_json
from src.router.fit import misfit
from src.router.folds import FLAGGED_BACK, FLAGGED_CALLBACK, FLAGGED_ESCALATED, FLAGGED_OUTREACH
from src.router.handlers.assignments import LEFT, end_active
from src.router.handlers.base import Room
from src.router.handlers.parking import lay_aside, resume
from src.router.intake import Classified, joined
from src.router.model import QueueConfig, Terms

FLAGGED_TRANSFERS = "transfers"
_HAD = ("active", "parked", "wrap_up")
_PROMISES = ("promised", "department")
"""Parked for these reasons, a contact is owed an answer, whether or not the customer stays on the line."""


def receive(room: Room, command: commands.Receive) -> None:
    """A new contact: classify it; settling then finds its agent."""
    room.check_queue(command.queue, "queue")
    if command.terms:
        _check_terms(room, command.terms)
    board = room.board
    found = room.intake.classify(command, board.now)
    if command.outbound:
        target: dict[str, Any] | None = _for_caller(room, command)
    else:
        target = preferred(board, found, command.channel) if found.preferred else None
    data: dict[str, Any] = {
        "channel": command.channel,
        "account": command.account,
        "queue": found.queue,
        "priority": found.priority,
        "language": found.language,
        "tags": [each.tag for each in found.tags],
        "requirements": requirements_json(found.requirements),
        "terms": terms_json(found.terms),
        "rules": list(found.rules),
        "pilot": found.pilot,
        "target_agent_id": None,
        "target_kind": None,
        "target_until": None,
    }
    if target is not None:
        data |= target
    board.receive(command.contact_id, command.customer_id, data)
    if command.outbound and not command.urgent and board.config.settings.restraint.quiet is not None:
        board.tell(ev.CONTACT_FLAGGED, board.state.contacts[command.contact_id], flag=FLAGGED_OUTREACH)
    for rule, alarm in found.alarms:
        board.alarm(board.state.contacts[command.contact_id], alarm, rule=rule)
    if command.aside:
        lay_aside(board, board.state.contacts[command.contact_id])
    elif command.continues is not None and target is not None:
        _move_on(board, command.continues, target["target_agent_id"], command.channel)


def _for_caller(room: Room, command: commands.Receive) -> dict[str, Any]:
    """The agent who is to reach the customer is waited for as after a transfer."""
    agent = room.named_agent(command.responsible_id or "", "agent_id")
    _check_there(room.board, agent, command.channel)
    return _for(room.board, agent.id) | {"target_kind": "follow_up"}


def _move_on(board: Board, contact_id: str, agent_id: str, channel: str) -> None:
    """The customer goes on with the same agent on another channel: until it writes here again, this takes no units."""
    contact = board.state.contacts.get(contact_id)
    if contact is None or contact.state != "active" or contact.channel == channel:
        return
    assignment = board.current(contact)
    if assignment is not None and assignment.agent_id == agent_id and not assignment.released:
        board.say(ev.ASSIGNMENT_RELEASED, assignment, reason="moved_on", wanted=False)


def _check_terms(room: Room, terms: Terms) -> None:
    for place, agents in (("include", terms.agents), ("exclude", terms.not_agents)):
        for number, agent_id in enumerate(agents):
            room.named_agent(agent_id, f"agents.{place}.{number}")


def preferred(board: Board, found: Classified, channel: str) -> dict[str, Any] | None:
    """The agent to wait for before all others, and until when: only one who is there and fits.

    In a queue that is closed the wait begins when it opens.
    """
    policy = board.config.queue(found.queue, found.pilot)
    need = need_of(channel, found.requirements, found.language, policy.teams, found.terms)
    for agent_id, kind in found.preferred:
        agent = board.state.agents.get(agent_id)
        wait_s = _wait_s(policy, kind, found.dedicated_wait_s, board.config.settings.transfer_wait_s)
        if agent is None or not agent.there or not wait_s or agent_id in need.not_agents:
            continue
        if need.agents and agent_id not in need.agents:
            continue
        until = waited_at(policy, board.now, wait_s * 1000)
        if until is not None and misfit(need, board.desk(agent_id).ability) is None:
            return {"target_agent_id": agent_id, "target_kind": kind, "target_until": until}
    return None


def _wait_s(policy: QueueConfig, kind: str, of_tier: int | None, conversation_s: int) -> int | None:
    if kind == "conversation":
        return conversation_s
    if kind == "last":
        return policy.last_agent_wait_s
    return of_tier if kind == "dedicated" and of_tier is not None else policy.dedicated_wait_s


def message(room: Room, command: commands.Message) -> None:
    """The customer wrote. Units that were given back in the silence are wanted again; what was parked comes back.

    An event (a page was opened, a place was reported) is told and is no word: nobody need answer it.
    Whom a closed queue calls back need not write again: there is nobody to answer before it opens.
    """
    board, contact = room.board, room.contact(command.contact_id)
    if contact.state in ("wrap_up", "closed"):
        raise InvalidState(f"a contact that is {contact.state} takes no messages", state=contact.state)
    board.tell(ev.MESSAGE_RECEIVED, contact, message_id=command.message_id, kind=command.kind)
    if command.kind == "event":
        return
    if contact.state == "active":
        assignment = board.current(contact)
        assert assignment is not None
        board.heard_at[assignment.id] = board.now
        board.note_assignment(assignment)
        if assignment.released and not assignment.wanted:
            board.say(ev.ASSIGNMENT_WANTED, assignment)
        return
    queue_is = board.queue_is(contact)
    if queue_is == "quiet":
        board.tell(ev.CONTACT_FLAGGED, contact, flag=FLAGGED_BACK)  # who writes is not disturbed by an answer
        queue_is = "open"
    if contact.state == "parked" and (contact.park_reason != "callback" or queue_is == "open"):
        resume(board, contact, "customer", None)


def cancel(room: Room, command: commands.Cancel) -> None:
    """The customer gave up or hung up, or somebody withdrew the contact.

    One who is to be called back, or was promised an answer, may hang up: the contact stays. Who is merely away is given
    up on in the queue alone.
    """
    board, contact = room.board, room.contact(command.contact_id)
    if contact.state in ("closed", "wrap_up"):
        return
    if command.reason == commands.ABSENCE and contact.state not in ("waiting", "offered"):
        return
    assignment = board.current(contact)
    gave_up = command.reason in commands.GAVE_UP
    if gave_up and contact.state != "active" and FLAGGED_CALLBACK in contact.flags:
        return
    if gave_up and contact.state == "parked" and contact.park_reason in _PROMISES:
        return
    if assignment is not None and contact.state == "active":
        end_active(board, assignment, LEFT, resolved=None, disposition=None)
        return
    if contact.state == "parked" and assignment is not None:
        board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=None, disposition=None)
    for each in list(board.state.offers.get(contact.id, {}).values()):
        board.say(ev.OFFER_REVOKED, each, reason=command.reason)
    board.close(contact, "abandoned" if gave_up else "cancelled", command.reason)


def transfer(room: Room, command: commands.Transfer) -> None:
    """To an agent, a queue, or to whoever has other skills: at its old rank, and not back to where it came from."""
    contact, assignment, changed = transferred(room, command)
    hand_on(room.board, contact, assignment, _target_json(command), command.by, command.reason, changed)


def transferred(room: Room, command: commands.Transfer) -> tuple[Contact, Assignment, dict[str, Any]]:
    """Who is to be transferred from whom, and what the contact needs then, as far as it changes."""
    board = room.board
    contact, assignment = _active(room, command.contact_id, command.agent_id, "transferred")
    room.check_queue(command.to_queue, "to.queue")
    changed: dict[str, Any] = dict(NO_TARGET)
    if command.to_queue is not None:
        changed["queue"] = command.to_queue
    if command.to_tags is not None or command.to_queue not in (None, contact.queue):
        changed["terms"] = own_terms_json(contact.terms)
    if command.to_tags is not None:
        requirements = requirements_of(command.to_tags, board.config.tags, board.now)
        changed["requirements"] = requirements_json(requirements)
        changed["tags"] = [each.tag for each in command.to_tags]
        changed["anew"] = True
    if command.to_agent_id is not None:
        target = room.named_agent(command.to_agent_id, "to.agent_id")
        if target.id == assignment.agent_id:
            raise InvalidState("the contact is with this agent already")
        _check_there(board, target, contact.channel)
        changed |= _for(board, target.id)
    return contact, assignment, changed


def give_back(room: Room, command: commands.Return) -> None:
    """To the agent that it came from, if that is there; else to the queue, at its old rank."""
    board = room.board
    contact, assignment = _active(room, command.contact_id, command.agent_id, "returned")
    changed: dict[str, Any] = dict(NO_TARGET)
    before = board.state.agents.get(contact.previous_agent_id or "")
    to: dict[str, Any] = {"queue": contact.queue}
    if before is not None and before.id == assignment.agent_id:
        before = None  # it came from this very agent
    if before is not None and before.there and board.desk(before.id).now.cost(contact.channel) is not None:
        changed |= _for(board, before.id)
        to = {"agent_id": before.id}
    hand_on(board, contact, assignment, {**to, "returned": True}, command.by, command.reason, changed, returned=True)


def _for(board: Board, agent_id: str) -> dict[str, Any]:
    """For this agent, and for all that fit when it does not come to it in time."""
    until = board.now + board.config.settings.transfer_wait_s * 1000
    return {"target_agent_id": agent_id, "target_kind": "transfer", "target_until": until}


def hand_on(
    board: Board,
    contact: Contact,
    assignment: Assignment,
    to: dict[str, Any],
    by: str,
    reason: str | None,
    changed: dict[str, Any],
    *,
    returned: bool = False,
) -> None:
    """An active contact leaves its agent. One that wanders too long is marked."""
    transfers = contact.transfers + (0 if returned else 1)
    barred_until = board.now + board.handed_on_ms(contact)
    need = need_json(contact) | changed
    board.say(
        ev.CONTACT_TRANSFERRED,
        assignment,
        **need,
        to=to,
        reason=reason,
        by=by,
        barred_until=barred_until,
        ask_again=True,
        transfers=transfers,
    )
    if transfers >= board.config.settings.transfer_flag_count and FLAGGED_TRANSFERS not in contact.flags:
        board.tell(ev.CONTACT_FLAGGED, contact, flag=FLAGGED_TRANSFERS)


def _active(room: Room, contact_id: str, agent_id: str | None, to: str) -> tuple[Contact, Assignment]:
    contact = room.contact(contact_id)
    assignment = room.held(contact, agent_id)
    if assignment is None or contact.state != "active":
        raise InvalidState(f"a contact that is {contact.state} cannot be {to}", state=contact.state)
    return contact, assignment


def _check_there(board: Board, target: Agent, channel: str) -> None:
    if not target.there:
        raise AgentUnavailable(f"agent {target.id!r} is not available", agent_id=target.id)
    if board.desk(target.id).now.cost(channel) is None:
        raise AgentUnavailable(f"agent {target.id!r} does not serve {channel}", agent_id=target.id)


def reclassify(room: Room, command: commands.Reclassify) -> None:
    """What a waiting contact needs is another thing. One that somebody has stays there, whatever its tags are."""
    board = room.board
    contact = room.open_contact(command.contact_id, "waiting", *_HAD, to="reclassified")
    room.held(contact, command.agent_id)
    if contact.state in _HAD and (command.queue, command.priority, command.terms) != (None, None, None):
        raise InvalidState(f"of a contact that is {contact.state} only tags can be changed", state=contact.state)
    room.check_queue(command.queue, "queue")
    changed: dict[str, Any] = {}
    if command.tags is not None:
        requirements = requirements_of(command.tags, board.config.tags, board.now)
        changed["tags"] = [each.tag for each in command.tags]
        changed["requirements"] = requirements_json(requirements)
        changed["anew"] = contact.state == "waiting" or None
    if command.queue is not None:
        changed["queue"] = command.queue
    if (changed or command.terms is not None) and contact.target_kind != "pinned":
        changed |= NO_TARGET
    if command.priority is not None:
        escalated = FLAGGED_ESCALATED in contact.flags
        changed["priority"] = command.priority + escalated * board.config.settings.escalation_priority_s
    if command.terms is not None:
        _check_terms(room, command.terms)
        changed["terms"] = terms_json(command.terms)
    if command.tags is not None or command.queue not in (None, contact.queue):
        changed["terms"] = own_terms_json(command.terms or contact.terms)
        changed["ask_again"] = True
        board.fresh[contact.id] = None
    board.reclassify(contact, "requested", **changed, by=command.by)


def rejudge(room: Room, command: commands.Rejudge) -> None:
    """What rules and tier make of the customer now is added to a waiting contact, for what they made of it before.

    Where a hand, a step or another queue has had the last word since it came, that word stays.
    """
    board = room.board
    contact = board.state.contacts.get(command.now.contact_id)
    if contact is None or contact.state != "waiting":
        return
    was, found = (room.intake.classify(each, contact.created_at) for each in (command.was, command.now))
    changed: dict[str, Any] = {}
    if found.priority != was.priority:
        changed["priority"] = contact.priority + found.priority - was.priority
    if found.queue != was.queue == contact.queue:
        changed["queue"] = found.queue
    added = [each for each in found.tags if each.tag not in contact.tags]
    if added:
        more = requirements_of(added, board.config.tags, board.now)
        changed["tags"] = [*contact.tags, *(each.tag for each in added)]
        changed["requirements"] = requirements_json(uncovered((*contact.requirements, *more)))
    if found.terms != was.terms:
        changed["terms"] = terms_json(joined(contact.terms, found.terms))
    if found.preferred != was.preferred and contact.target_agent_id is None:
        changed |= preferred(board, found, contact.channel) or {}
    if changed:
        board.reclassify(contact, "customer", **changed)
    for rule, alarm in found.alarms:
        board.alarm(contact, alarm, rule=rule)


def escalate(room: Room, command: commands.Escalate) -> None:
    """More priority, once, and a mark that supervisors see."""
    board = room.board
    contact = room.open_contact(command.contact_id, "waiting", "offered", "active", "parked", to="escalated")
    room.held(contact, command.agent_id)
    if FLAGGED_ESCALATED in contact.flags:
        return
    priority = contact.priority + board.config.settings.escalation_priority_s
    board.tell(ev.CONTACT_ESCALATED, contact, reason=command.reason, by=command.by, priority=priority)


def flag_long_wait(board: Board, contact: Contact) -> None:
    """It has waited for too long, and is marked."""
    board.tell(ev.CONTACT_FLAGGED, contact, flag=LONG_WAIT)


def _target_json(command: commands.Transfer) -> dict[str, Any]:
    if command.to_agent_id is not None:
        return {"agent_id": command.to_agent_id}
    if command.to_queue is not None:
        return {"queue": command.to_queue}
    return {"tags": [each.tag for each in command.to_tags or ()]}
