"""Configuration is put and removed. It holds at once, also for what waits already."""

from typing import Any

from src.errors import AgentBusy, InUse, NotFound
from src.router import checks, commands
from src.router import events as ev
from src.router.board import Board
from src.router.classify import Rules
from src.router.collaborating import agent_gone
from src.router.handlers.base import Room
from src.router.model import DEFAULT_QUEUE, RuleConfig
from src.router.tagging import TagFinder


def put_agent(room: Room, command: commands.PutAgent) -> None:
    """Make or change an agent."""
    board, config = room.board, command.config
    checks.check_agent(config, board.config.agents)
    board.config.agents[config.id] = config
    board.emit(ev.AGENT_UPDATED, {}, agent_id=config.id)
    board.look()
    for _, contact_id in board.index.named(config.id):
        contact = board.state.contacts[contact_id]
        if contact.target_agent_id == config.id and config.cost(contact.channel) is None:
            board.release_target(contact, "target_unavailable")
    board.sweep()


def delete_agent(room: Room, command: commands.DeleteAgent) -> None:
    """Remove an agent that holds nothing, and that no other configuration names."""
    board, agent = room.board, room.agent(command.agent_id)
    if agent.open:
        held = sorted(each.contact_id for each in agent.open.values())
        raise AgentBusy("the agent still holds contacts", contacts=held)
    _check_unnamed(board, agent.id)
    named = [board.state.contacts[contact_id] for _, contact_id in board.index.named(agent.id)]
    for contact in named:
        if contact.target_agent_id == agent.id:
            board.release_target(contact, "target_unavailable")
    del board.config.agents[agent.id]
    board.lease_until.pop(agent.id, None)
    board.emit(ev.AGENT_DELETED, {}, agent_id=agent.id)
    for contact in named:  # what is meant for this one alone waits on, for a step, the overflow, or its return
        board.told[contact.id] = ev.AGENT_DELETED
        board.fresh[contact.id] = None
    agent_gone(board, agent.id)
    board.sweep()


def put_queue(room: Room, command: commands.PutQueue) -> None:
    """Make or change a queue."""
    board, config = room.board, command.config
    checks.check_queue(config, queues=board.config.queues)
    board.config.queues[config.name] = config
    board.emit("queue.updated", {"name": config.name})
    _changed(board, {config.name})


def put_tag(room: Room, command: commands.PutTag) -> None:
    """Make or change a tag."""
    tags = room.board.config.tags | {command.config.name: command.config}
    finder = TagFinder(tags)
    room.board.config.tags = tags
    room.intake.forget(finder)
    room.board.emit("tag.updated", {"name": command.config.name})


def put_rule(room: Room, command: commands.PutRule) -> None:
    """Make or change a classification rule."""
    config = room.board.config
    checks.check_rule(command.config, queues=config.queues, agents=config.agents)
    rules = config.rules | {command.config.name: command.config}
    Rules(rules.values())  # all together may be too many
    config.rules = rules
    room.intake.forget()
    room.board.emit("rule.updated", {"name": command.config.name})


def put_pilot(room: Room, command: commands.PutPilot) -> None:
    """Make or change a pilot. Contacts that are in it already follow its queues at once."""
    board = room.board
    checks.check_pilot(command.config, queues=board.config.queues, agents=board.config.agents)
    if command.config.rules is not None:
        Rules(command.config.rules.values())
    before = board.config.pilots.get(command.config.name)
    board.config.pilots[command.config.name] = command.config
    room.intake.forget()
    board.emit("pilot.updated", {"name": command.config.name})
    _changed(board, {*command.config.queues, *(before.queues if before is not None else ())})


def put_department(room: Room, command: commands.PutDepartment) -> None:
    """Make or change a department."""
    checks.check_department(command.config, agents=room.board.config.agents)
    room.board.config.departments[command.config.name] = command.config
    room.board.emit("department.updated", {"name": command.config.name})


def put_settings(room: Room, command: commands.PutSettings) -> None:
    """Replace the tenant's settings."""
    board = room.board
    for name, tier in command.settings.tiers.items():
        for place, agent_id in enumerate(tier.agents):
            room.named_agent(agent_id, f"tiers.{name}.agents.{place}")
    before, board.config.settings = board.config.settings, command.settings
    board.emit("settings.updated", {"name": "settings"})
    if before.silence_s != command.settings.silence_s:
        for assignment in board.state.assignments.values():
            board.note_assignment(assignment)
    if (before.wait_flag_s, before.park_return_s) != (command.settings.wait_flag_s, command.settings.park_return_s):
        for contact in board.state.contacts.values():
            board.note_contact(contact)


def note(room: Room, command: commands.Note) -> None:
    """Something outside routing has changed."""
    data = {"name": command.name} if command.reason is None else {"name": command.name, "reason": command.reason}
    room.board.emit(command.type, data, customer_id=command.customer_id)


def checkpoint(room: Room, _: commands.Checkpoint) -> None:
    """Record the hash of the folded state."""
    room.board.emit(ev.CHECKPOINT, {"state_hash": f"{room.board.state.hash:016x}"})


def delete_named(room: Room, command: commands.DeleteNamed) -> None:
    """Remove a queue, tag, rule, pilot or department."""
    board, name = room.board, command.name
    kinds: dict[str, dict[str, Any]] = {
        "queue": board.config.queues,
        "tag": board.config.tags,
        "rule": board.config.rules,
        "pilot": board.config.pilots,
        "department": board.config.departments,
    }
    kept = kinds[command.kind]
    if name not in kept:
        raise NotFound(f"there is no {command.kind} {name!r}")
    if command.kind == "queue":
        _check_unused(board, name)
    if command.kind == "department" and any(each.department == name for each in board.state.collaborations.values()):
        raise InUse("the department still helps")
    gone = kept[name]
    del kept[name]
    room.intake.forget()
    board.emit(f"{command.kind}.deleted", {"name": name})
    if command.kind == "pilot":
        _changed(board, set(gone.queues))


def _changed(board: Board, queues: set[str]) -> None:
    """These queues have another policy: deadlines are others, and who waits in them is looked at again."""
    for contact in board.state.contacts.values():
        if contact.queue in queues:
            board.note_contact(contact)
    for name in sorted(queues):
        board.look_at_queue(name)


def _check_unnamed(board: Board, agent_id: str) -> None:
    """Refuse while others count on this agent: a name that nobody bears would go unnoticed."""
    config = board.config
    for other in config.agents.values():
        if other.mentor_id == agent_id:
            raise InUse(f"the agent is the mentor of {other.id!r}")
    for name, tier in config.settings.tiers.items():
        if agent_id in tier.agents:
            raise InUse(f"tier {name!r} names this agent")
    for rule in _rules(board):
        named = (rule.preferred_agent_id, *rule.terms.agents, *rule.terms.not_agents)
        if agent_id in named:
            raise InUse(f"rule {rule.name!r} names this agent")
    for department in config.departments.values():
        if department.escalate_to == agent_id:
            raise InUse(f"department {department.name!r} escalates to this agent")


def _rules(board: Board) -> list[RuleConfig]:
    """All rules, those of pilots included."""
    pilots = board.config.pilots.values()
    those = [board.config.rules, *(each.rules for each in pilots if each.rules is not None)]
    return [rule for rules in those for rule in rules.values()]


def _check_unused(board: Board, queue: str) -> None:
    config = board.config
    if queue == DEFAULT_QUEUE:
        raise InUse("the default queue stays")
    if any(rule.queue == queue for rule in _rules(board)):
        raise InUse("a rule names this queue")
    queues = [config.queues, *(each.queues for each in config.pilots.values())]
    for other in (each for those in queues for each in those.values()):
        where = (other.overflow, None if other.hours is None else other.hours.closed)
        if any(each is not None and each.queue == queue for each in where):
            raise InUse(f"queue {other.name!r} overflows into this one")
    if any(queue in pilot.queues for pilot in config.pilots.values()):
        raise InUse("a pilot has a version of this queue")
    if any(each.queue == queue for each in board.state.contacts.values()):
        raise InUse("the queue still has open contacts")
