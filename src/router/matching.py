"""Who gets what: after every command, whatever can be matched is matched.

Matching is level-triggered: it looks at what is so, never at what happened.

A waiting contact that is new, or has changed, is tried on all agents (`fresh`); an agent that has room for more than
before looks for the smallest rank that it can take (`idle`). Between two commands there is then no waiting contact that
a free, fitting agent could take.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from src.router import events as ev
from src.router import explain
from src.router.answers import ContactKey
from src.router.board import Board
from src.router.collaborating import ask_for_shared
from src.router.deadlines import BREACHED, is_in_time
from src.router.entities import Assignment, Contact
from src.router.queueing import drop_lapsed, keep
from src.router.transitions import HELD

_OF_RECEIVED: Final = ("rules", "requirements", "language", "terms")
"""What the first trace of a contact shows of how it was received."""


def settle(board: Board) -> None:
    """Match whatever can be matched, smallest rank first, and say of what cannot that it waits."""
    board.look()
    while board.fresh or board.idle:
        if board.fresh and not board.idle:
            _try_fresh(board)
        else:
            _try_all(board)
        board.look()


def _try_fresh(board: Board) -> None:
    """New contacts, while no agent has new room: each either goes to an agent at once, or begins to wait."""
    fresh = _taken_fresh(board)
    for contact in fresh:
        if contact.state == "waiting":
            board.state.at_hand = contact.id
            _try(board, contact)


def _taken_fresh(board: Board) -> Sequence[Contact]:
    contacts = board.state.contacts
    fresh = [contacts[each] for each in board.fresh if each in contacts]
    board.fresh = {}
    if len(fresh) > 1:
        fresh.sort(key=_key)
    return fresh


def _try_all(board: Board) -> None:
    """Agents with new room, and new contacts: the smallest rank goes first, whichever side it is found from."""
    queue: deque[Contact] = deque()
    while board.fresh or queue or board.idle:
        if board.fresh:
            fresh = [each for each in _taken_fresh(board) if each.state == "waiting"]
            for contact in fresh:
                board.state.at_hand = contact.id
                board.put_waiting(contact)
            queue = deque(sorted({each.id: each for each in (*queue, *fresh)}.values(), key=_key))
        best = _next_for_idle(board)
        if queue and (best is None or queue[0].key <= best):
            contact = queue.popleft()
            board.state.at_hand = contact.id
            if contact.state == "waiting":
                _try(board, contact)
        elif best is not None:
            board.state.at_hand = best[1]
            why_not = match(board, board.state.contacts[best[1]])
            assert why_not is None, "the index offers an agent a contact that it cannot take"
        board.look()


def _next_for_idle(board: Board) -> ContactKey | None:
    """The smallest rank that one of the agents with new room can take; agents with nothing to take drop out."""
    best: ContactKey | None = None
    if not board.index.anybody_waits():
        board.idle.clear()
    for agent_id in sorted(board.idle) if len(board.idle) > 1 else tuple(board.idle):
        key = board.index.next_for(agent_id, board.bars_of(agent_id))
        if key is None:
            board.idle.discard(agent_id)
        elif best is None or key < best:
            best = key
    return best


def _try(board: Board, contact: Contact) -> None:
    """Offer the contact to somebody; else let it wait, by the policy of its queue."""
    if drop_lapsed(board, contact):
        board.look()
        board.fresh.pop(contact.id, None)  # it is being tried
    why_not = match(board, contact) if board.is_open(contact) else _closed(board, contact)
    if why_not is None:
        board.look()
        return
    if why_not:
        board.trace(contact, why_not)
    board.state.at_hand = contact.id
    board.put_waiting(contact)
    keep(board, contact)
    board.look()
    if contact.state == "waiting" and contact.id in board.fresh:  # it goes on at once, before those behind it are tried
        del board.fresh[contact.id]
        _try(board, contact)


def match(board: Board, contact: Contact) -> dict[str, Any] | None:
    """Offer a waiting contact to the best agents. Where there is none: why not, or nothing if that is no news.

    What was asked for and why is kept as a trace.
    """
    policy = board.policy(contact)
    signature = board.index.signature(board.need(contact))
    barred = board.barred(contact)
    wanted = policy.offer_to
    found = board.index.candidates(
        signature, barred, wanted + explain.RUNNERS_UP_MAX, policy.distribution, policy.weights
    )
    if not found and contact.id not in board.told:
        return {}  # it waited before and waits on
    trace = explain.trace(
        board.index, signature, found, barred, weights=policy.weights, context=_context(board, contact)
    )
    if not found:
        return trace
    chosen = found[:wanted]
    if wanted > 1:
        trace["offered_to"] = [each.agent_id for each in chosen]
    for each in chosen:
        offer(board, contact, each.agent_id, one_of=len(chosen))
    board.trace(contact, trace)
    if policy.auto_accept:
        assignment = board.current(contact)
        assert assignment is not None
        take(board, assignment)
    return None


def _closed(board: Board, contact: Contact) -> dict[str, Any]:
    """Its queue offers nothing now."""
    if contact.id not in board.told:
        return {}
    return _context(board, contact) | {
        "decision": "waiting",
        "winner": None,
        "runners_up": [],
        "excluded": [],
        "queue_is": board.queue_is(contact),
    }


def _context(board: Board, contact: Contact) -> dict[str, Any]:
    context: dict[str, Any] = {
        "queue": contact.queue,
        "rank": contact.rank,
        "at": board.now,
        "tags": list(contact.tags),
        "step": contact.step,
        "distribution": board.policy(contact).distribution,
    }
    if contact.target_agent_id is not None:
        context["target"] = {"agent_id": contact.target_agent_id, "kind": contact.target_kind}
    if contact.pilot is not None:
        context["pilot"] = contact.pilot
    received = board.received.get(contact.id)
    if received is not None:
        for name in _OF_RECEIVED:
            context[name] = received[name]
    return context


def offer(
    board: Board, contact: Contact, agent_id: str, *, one_of: int = 1, by: str | None = None, why: str | None = None
) -> Assignment:
    """Offer a contact to an agent, perhaps one of several. Its work that may be interrupted steps aside if it must.

    `by` is the supervisor whose hand it is, `why` the reason given.
    """
    desk = board.desk(agent_id)
    agent = board.state.agents[agent_id]
    cost = desk.now.cost(contact.channel)
    assert cost is not None
    if agent.open and not desk.is_plain:
        for assignment in list(desk.in_the_way(agent, contact.channel, cost)):
            board.say(ev.ASSIGNMENT_RELEASED, assignment, reason="interrupted", wanted=True)
    assignment_id = board.new_id()
    skills = desk.now.skills
    board.emit(
        ev.CONTACT_OFFERED,
        {
            "assignment_id": assignment_id,
            "channel": contact.channel,
            "cost": cost,
            "expires_at": board.now + board.policy(contact).offer_timeout_s * 1000,
            "matched": [
                {
                    "tag": each.tag,
                    "skill": each.skill,
                    "level": each.level,
                    "agent_level": skills.get(each.skill),
                }
                for each in contact.requirements
            ],
            "by": by,
            "one_of": one_of,
            **({} if why is None else {"why": why}),
        },
        contact=contact,
        agent_id=agent_id,
    )
    assignment = board.state.assignments[assignment_id]
    board.note_assignment(assignment)
    return assignment


def take(board: Board, assignment: Assignment, *, by: str | None = None, why: str | None = None) -> None:
    """The agent has the contact: its other offers are revoked, and help is asked for what the agent does not cover.

    `by` is the supervisor who assigned what was offered already, `why` the reason given.
    """
    contact = board.state.contacts[assignment.contact_id]
    offers = board.state.offers[contact.id]
    for other in list(offers.values()) if len(offers) > 1 else ():
        if other is not assignment:
            board.say(ev.OFFER_REVOKED, other, reason="taken_by_another")
    if board.state.agents[assignment.agent_id].idle_since < assignment.offered_at:
        board.note_agent(assignment.agent_id)  # one of several who were asked: from now on it has something to do
    if contact.answered_at is None and contact.sla_stage < BREACHED:
        board.levels.count(contact, board.now, within=is_in_time(board, contact))
    if by is None:
        board.say(ev.CONTACT_ACTIVE, assignment)
    else:
        board.say(ev.CONTACT_ACTIVE, assignment, by=by, why=why)
    others_wait = board.index.length(contact.queue) > 0
    left = board.waits.left(contact.id, contact.queue, board.now, others_wait=others_wait)
    if left is not None:
        told, waited_s = left
        estimate = {"told_s": told.wait_s, "low_s": told.low_s, "high_s": told.high_s, "waited_s": waited_s}
        board.trace(contact, {"decision": "answered", "at": board.now, "estimate": estimate})
    desk = board.desk(assignment.agent_id)
    if not desk.is_plain and desk.interruptible(assignment.channel):
        board.look_at_agent(assignment.agent_id)  # an offer gives way to nothing, but what is under way does
    if contact.requirements or contact.id in board.state.helps:
        ask_for_shared(board, contact, assignment.agent_id)


def withdraw(board: Board, contact: Contact, reason: str, by: str | None = None, why: str | None = None) -> None:
    """Whatever stands between a contact and the queue goes: its offers are revoked, its agent loses it.

    Who had it is not asked again for a while. `by` is whose hand it was, `why` the reason given.
    """
    said = {"reason": reason, "by": by, "why": why, "barred_until": board.now + board.handed_on_ms(contact)}
    for each in list(board.state.offers.get(contact.id, {}).values()):
        board.say(ev.OFFER_REVOKED, each, **said)
    assignment = board.current(contact)
    if contact.state in HELD and assignment is not None:
        board.say(ev.ASSIGNMENT_LOST, assignment, **said)


def _key(contact: Contact) -> ContactKey:
    return contact.key
