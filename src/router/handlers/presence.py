"""Agents come and go. An agent's connection is its lease; one that is gone for good leaves nothing stranded."""

from operator import attrgetter
from typing import Final

from src.router import commands
from src.router import events as ev
from src.router.board import Board
from src.router.entities import Agent, Assignment
from src.router.handlers.assignments import acted_on, back_to_queue, barred_until, finish
from src.router.handlers.base import Room

OFFER_FLOOR_MS: Final = 5_000
"""After a restart, an offer lives at least this long."""


def set_presence(room: Room, command: commands.SetPresence) -> None:
    """What the agent says of itself."""
    board, agent = room.board, room.agent(command.agent_id)
    lease_s = None if agent.session is not None or command.status == "offline" else command.lease_s
    if lease_s is not None:
        board.lease_until[agent.id] = board.now + lease_s * 1000
    else:
        board.lease_until.pop(agent.id, None)
    wanted = (command.status, command.reason, lease_s)
    if wanted == (agent.status, agent.reason, agent.lease_s) and agent.grace_until is None:
        board.look_at_agent(agent.id)
        return
    board.say_presence(
        agent,
        status=command.status,
        reason=command.reason,
        lease_s=lease_s,
        grace_until=_grace(board, agent, lease_s),
    )
    if command.status == "available":
        board.sweep()
    else:
        return_offers(board, agent, command.status)


def connect(room: Room, command: commands.Connect) -> None:
    """Its desktop opened a socket, which replaces any older one."""
    board, agent = room.board, room.agent(command.agent_id)
    board.lease_until.pop(agent.id, None)
    board.say_presence(agent, session=command.session, lease_s=None, grace_until=None)
    board.sweep()


def _grace(board: Board, agent: Agent, lease_s: int | None) -> int | None:
    """Nobody is there, but contacts are: the time from which they count as left behind."""
    if agent.session is not None or lease_s is not None or not agent.open:
        return None
    return agent.grace_until or board.now + board.config.settings.presence_grace_s * 1000


def disconnect(room: Room, command: commands.Disconnect) -> None:
    """The socket is gone; of an older one, nothing happens."""
    board, agent = room.board, room.board.state.agents.get(command.agent_id)
    if agent is None or agent.session != command.session:
        return
    idle = agent.status == "offline" and not agent.open
    grace_until = None if idle else board.now + board.config.settings.presence_grace_s * 1000
    board.say_presence(agent, session=None, grace_until=grace_until)


def lost(board: Board, agent: Agent, reason: str) -> None:
    """The agent is gone for good: what it was offered goes back, what it held follows the channel's policy.

    What it has parked stays parked: nobody waits for that yet.
    """
    board.say_presence(agent, status="offline", reason=reason, session=None, lease_s=None, grace_until=None)
    board.lease_until.pop(agent.id, None)
    return_offers(board, agent, "agent_lost")
    for assignment in _in_order(agent):
        if assignment.state == "wrap_up":
            finish(board, assignment)
        elif assignment.state == "active" and board.config.settings.lost_policy(assignment.channel) == "requeue":
            contact = board.state.contacts[assignment.contact_id]
            board.say(ev.ASSIGNMENT_LOST, assignment, reason=reason)
            board.requeue(contact, "agent_lost")


def return_offers(board: Board, agent: Agent, reason: str) -> None:
    """What the agent was offered goes back, and what waits for it alone is for all that fit (unless it is pinned)."""
    for assignment in _in_order(agent):
        if assignment.state == "offered":
            board.say(ev.OFFER_REVOKED, assignment, reason=reason)
            back_to_queue(board, board.state.contacts[assignment.contact_id], reason)
    board.look()
    waiting = [contact_id for _, contact_id in board.index.named(agent.id)]
    for contact_id in (*waiting, *board.fresh):
        contact = board.state.contacts.get(contact_id)
        if contact is None or contact.state != "waiting" or contact.target_agent_id != agent.id:
            continue
        if contact.target_kind != "pinned":
            board.release_target(contact, "target_unavailable")
    board.sweep()


def restart(room: Room, command: commands.Restart) -> None:
    """Sockets that are gone begin their grace; nobody is punished for a hand-over, and nobody gains by a reload."""
    board, handed_over = room.board, command.leases is None
    board.loaded_at = board.now
    grace_until = board.now + board.config.settings.presence_grace_s * 1000
    for agent in sorted(board.state.agents.values(), key=lambda each: each.id):
        if agent.lease_s is not None:
            known = None if command.leases is None else command.leases.get(agent.id)
            board.lease_until[agent.id] = board.now + agent.lease_s * 1000 if known is None else known
            board.look_at_agent(agent.id)
        if agent.session is not None and agent.session not in command.live:
            board.say_presence(agent, session=None, grace_until=grace_until)
        elif agent.grace_until is not None and handed_over:
            board.say_presence(agent, grace_until=grace_until)
    for assignment in board.state.assignments.values():
        if assignment.state == "offered":
            floor = board.now + OFFER_FLOOR_MS if handed_over else command.floors.get(assignment.id)
            if floor is not None:
                board.offer_floor[assignment.id] = floor
        board.note_assignment(assignment)
    board.sweep()


def _in_order(agent: Agent) -> list[Assignment]:
    return sorted(agent.open, key=attrgetter("id"))


def missed(room: Room, command: commands.Miss) -> None:
    """An offer's time has not run out, but nobody will take it."""
    assignment = acted_on(room, command.assignment_id, command.agent_id, "miss", "offered")
    if assignment is not None:
        miss(room.board, assignment)


def miss(board: Board, assignment: Assignment) -> None:
    """Nobody took an offer or said no to it; an agent who misses too many is away."""
    contact, agent = board.state.contacts[assignment.contact_id], board.state.agents[assignment.agent_id]
    board.say(ev.OFFER_EXPIRED, assignment, barred_until=barred_until(board, contact, agent.id))
    back_to_queue(board, contact, "offer_expired")
    if agent.status == "available" and agent.misses >= board.config.settings.missed_offers_max:
        board.say_presence(agent, status="away", reason="missed_offers")
        return_offers(board, agent, "missed_offers")
