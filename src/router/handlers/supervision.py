"""A supervisor's hand: assign, take back, pin, pause. Always with who did it, and why."""

from src.errors import AgentUnavailable, Malformed
from src.router import commands
from src.router import events as ev
from src.router.board import NO_TARGET, Board
from src.router.entities import Contact
from src.router.handlers.base import Room
from src.router.handlers.contacts import hand_on
from src.router.handlers.parking import resume
from src.router.handlers.presence import return_offers
from src.router.matching import offer, take, withdraw


def assign(room: Room, command: commands.Assign) -> None:
    """The contact is that agent's at once, wherever it was; over its capacity only by force."""
    board = room.board
    contact = room.open_contact(command.contact_id, "waiting", "offered", "active", "parked", to="assigned")
    target = room.named_agent(command.to_agent_id, "agent_id")
    held = board.current(contact) if contact.state == "active" else None
    if held is not None and held.agent_id == target.id:
        return
    desk = board.desk(target.id)
    if desk.now.cost(contact.channel) is None:
        raise AgentUnavailable(f"agent {target.id!r} does not serve {contact.channel}", agent_id=target.id)
    if not target.there and not (command.force and target.connected):
        raise AgentUnavailable(f"agent {target.id!r} is not available", agent_id=target.id)
    own_offer = board.state.offers.get(contact.id, {})
    offered_here = next((each for each in own_offer.values() if each.agent_id == target.id), None)
    if offered_here is not None:
        take(board, offered_here, by=command.by, why=command.reason)
        _trace(board, contact, command, ev.CONTACT_ACTIVE)
        return
    free = desk.free(target)
    if not command.force and contact.channel not in free and "*" not in free:
        raise AgentUnavailable(f"agent {target.id!r} has no capacity left", agent_id=target.id, reason="no_capacity")
    if held is not None:
        to = {"agent_id": target.id}
        changed = dict(NO_TARGET) | {"target_agent_id": target.id, "target_kind": "transfer"}
        hand_on(board, contact, held, to, command.by, command.reason, changed)
    elif contact.state == "offered":
        withdraw(board, contact, "assigned", command.by, command.reason)
        board.emit(ev.CONTACT_REQUEUED, {"reason": "assigned"}, contact=contact)
    elif contact.state == "parked":
        resume(board, contact, "assigned", command.by)
    board.look()
    assigned = offer(board, contact, target.id, by=command.by, why=command.reason)
    _trace(board, contact, command, ev.CONTACT_OFFERED)
    take(board, assigned)
    board.fresh.pop(contact.id, None)


def _trace(board: Board, contact: Contact, command: commands.Assign, event: str) -> None:
    why = {"decision": "assigned", "event": event, "at": board.now, "by": command.by}
    board.trace(contact, why | {"agent_id": command.to_agent_id, "reason": command.reason, "forced": command.force})


def take_back(room: Room, command: commands.TakeBack) -> None:
    """An offered or active contact goes back to the queue at its old rank; who had it is not asked for a while."""
    board = room.board
    contact = room.open_contact(command.contact_id, "offered", "active", to="taken back")
    if command.assignment_id not in (None, contact.assignment_id):
        return
    withdraw(board, contact, "taken_back", command.by, command.reason)
    board.requeue(contact, "taken_back")


def pin(room: Room, command: commands.Pin) -> None:
    """A waiting contact is for one agent alone, there or not; or for all that fit again."""
    board = room.board
    contact = room.open_contact(command.contact_id, "waiting", to="pinned")
    if command.to_agent_id is None:
        if contact.target_kind == "pinned":
            board.reclassify(contact, "unpinned", **NO_TARGET, by=command.by, why=command.reason)
        return
    target = room.named_agent(command.to_agent_id, "agent_id")
    if board.desk(target.id).now.cost(contact.channel) is None:
        raise AgentUnavailable(f"agent {target.id!r} does not serve {contact.channel}", agent_id=target.id)
    board.fresh[contact.id] = None  # whoever it is pinned to is asked at once, also after a decline
    pinned = {"target_agent_id": target.id, "target_kind": "pinned", "target_until": None}
    board.reclassify(contact, "pinned", **pinned, by=command.by, why=command.reason)


def pause_agent(room: Room, command: commands.PauseAgent) -> None:
    """No new work for an agent, whatever it says of itself; or new work again."""
    board, agent = room.board, room.agent(command.agent_id)
    if (agent.paused is not None) == command.paused:
        return
    kind = ev.AGENT_PAUSED if command.paused else ev.AGENT_UNPAUSED
    board.emit(kind, {"reason": command.reason, "by": command.by}, agent_id=agent.id)
    if command.paused:
        return_offers(board, agent, "paused")
    else:
        board.sweep()


def pause_queue(room: Room, command: commands.PauseQueue) -> None:
    """Stop or go on offering a queue's contacts."""
    board, config = room.board, command.config
    if config.name not in board.config.queues:
        raise Malformed("a queue must have been put before it can be paused", field="name")
    if board.config.queues[config.name].paused == config.paused:
        return
    board.config.queues[config.name] = config
    said = {"name": config.name, "paused": config.paused, "reason": command.reason, "by": command.by}
    board.emit("queue.updated", said)
    board.look_at_queue(config.name)
