"""Configuration is put and removed. It holds at once, also for what waits already."""

from operator import attrgetter
from typing import Any, Final

from src.errors import AgentBusy, InUse, NotFound
from src.router import checks, commands
from src.router import events as ev
from src.router.board import Board
from src.router.classify import Rules
from src.router.collaborating import agent_gone
from src.router.config import Config
from src.router.entities import Agent
from src.router.handlers.base import Room
from src.router.handlers.parking import resume_unanswered
from src.router.model import (
    DEFAULT_QUEUE,
    AgentConfig,
    DepartmentConfig,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
)
from src.router.state import State
from src.router.tagging import TagFinder

_OF_CONTACTS: Final = attrgetter("wait_flag_s", "park_return_s", "restraint")
"""Settings that say when something is due for contacts."""


def put_agent(room: Room, command: commands.PutAgent) -> None:
    """Make or change an agent."""
    board, config = room.board, command.config
    checks.check_agent(config, board.config.agents)
    set_agent(board, config)
    board.sweep(abilities=True)


def set_agent(board: Board, config: AgentConfig) -> None:
    """An agent is so now."""
    board.config.agents[config.id] = config
    board.forget_desk(config.id)
    board.emit(ev.AGENT_UPDATED, {}, agent_id=config.id)
    board.look_at_named(config.id)


def delete_agent(room: Room, command: commands.DeleteAgent) -> None:
    """Remove an agent that holds nothing, and that no other configuration names."""
    board, agent = room.board, room.agent(command.agent_id)
    check_free(agent)
    check_unnamed(board.config, agent.id)
    drop_agent(board, agent)
    board.sweep(abilities=True)


def check_free(agent: Agent) -> None:
    """Refuse an agent that holds contacts.

    Raises:
        AgentBusy: it does.
    """
    if agent.open:
        held = sorted(each.contact_id for each in agent.open)
        raise AgentBusy("the agent still holds contacts", contacts=held)


def drop_agent(board: Board, agent: Agent) -> None:
    """An agent is no longer there."""
    named = [board.state.contacts[contact_id] for _, contact_id in board.index.named(agent.id)]
    for contact in named:
        if contact.target_agent_id == agent.id:
            board.release_target(contact, "target_unavailable")
    del board.config.agents[agent.id]
    board.forget_desk(agent.id)
    board.lease_until.pop(agent.id, None)
    board.emit(ev.AGENT_DELETED, {}, agent_id=agent.id)
    for contact in named:  # what is meant for this one alone waits on, for a step, the overflow, or its return
        board.told[contact.id] = ev.AGENT_DELETED
        board.fresh[contact.id] = None
    for contact in agent_gone(board, agent.id):
        resume_unanswered(board, contact, None)


def put_queue(room: Room, command: commands.PutQueue) -> None:
    """Make or change a queue."""
    board, config = room.board, command.config
    queues, agents, pilots = board.config.queues, board.config.agents, board.config.pilots
    checks.check_queue_beside(pilots, config, queues=queues, agents=agents)
    set_queue(board, config)


def set_queue(board: Board, config: QueueConfig) -> None:
    """A queue is so now."""
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
    set_pilot(room, command.config)


def set_pilot(room: Room, config: PilotConfig) -> None:
    """A pilot is so now."""
    board = room.board
    before = board.config.pilots.get(config.name)
    board.config.pilots[config.name] = config
    room.intake.forget()
    board.emit("pilot.updated", {"name": config.name})
    _changed(board, {*config.queues, *(before.queues if before is not None else ())})


def put_department(room: Room, command: commands.PutDepartment) -> None:
    """Make or change a department."""
    checks.check_department(command.config, agents=room.board.config.agents)
    set_department(room.board, command.config)


def set_department(board: Board, config: DepartmentConfig) -> None:
    """A department is so now."""
    board.config.departments[config.name] = config
    board.emit("department.updated", {"name": config.name})


def put_settings(room: Room, command: commands.PutSettings) -> None:
    """Replace the tenant's settings."""
    checks.check_settings(command.settings, agents=room.board.config.agents)
    set_settings(room.board, command.settings)


def set_settings(board: Board, settings: Settings) -> None:
    """The tenant's settings are so now."""
    before, board.config.settings = board.config.settings, settings
    board.emit("settings.updated", {"name": "settings"})
    if before.silence_s != settings.silence_s:
        for assignment in board.state.assignments.values():
            board.note_assignment(assignment)
    if _OF_CONTACTS(before) != _OF_CONTACTS(settings):
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
    check_there(room.board.config, command)
    if command.kind == "queue":
        check_unnamed_queue(room.board.config, command.name)
    check_idle(room.board.state, command)
    drop_named(room, command)


def kept_of(config: Config, kind: str) -> dict[str, Any]:
    """All of a kind that has names, by name."""
    kinds: dict[str, dict[str, Any]] = {
        "queue": config.queues,
        "tag": config.tags,
        "rule": config.rules,
        "pilot": config.pilots,
        "department": config.departments,
    }
    return kinds[kind]


def check_there(config: Config, command: commands.DeleteNamed) -> None:
    """Refuse to remove what is not there.

    Raises:
        NotFound: it is not.
    """
    if command.name not in kept_of(config, command.kind):
        raise NotFound(f"there is no {command.kind} {command.name!r}")


def drop_named(room: Room, command: commands.DeleteNamed) -> None:
    """A queue, tag, rule, pilot or department is no longer there."""
    board, name = room.board, command.name
    kept = kept_of(board.config, command.kind)
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


def check_unnamed(config: Config, agent_id: str) -> None:
    """Refuse while others count on this agent: a name that nobody bears would go unnoticed.

    Raises:
        InUse: they do.
    """
    for other in config.agents.values():
        if other.mentor_id == agent_id:
            raise InUse(f"the agent is the mentor of {other.id!r}")
    for name, tier in config.settings.tiers.items():
        if agent_id in tier.agents:
            raise InUse(f"tier {name!r} names this agent")
    for rule in _rules(config):
        named = (rule.preferred_agent_id, *rule.terms.agents, *rule.terms.not_agents)
        if agent_id in named:
            raise InUse(f"rule {rule.name!r} names this agent")
        if rule.alarm is not None and agent_id in rule.alarm.responsible:
            raise InUse(f"the alarm of rule {rule.name!r} names this agent")
    for queue in _queues(config):
        if any(step.alarm is not None and agent_id in step.alarm.responsible for step in queue.steps):
            raise InUse(f"an alarm of queue {queue.name!r} names this agent")
    for department in config.departments.values():
        if department.escalate_to == agent_id:
            raise InUse(f"department {department.name!r} escalates to this agent")


def _rules(config: Config) -> list[RuleConfig]:
    """All rules, those of pilots included."""
    those = [config.rules, *(each.rules for each in config.pilots.values() if each.rules is not None)]
    return [rule for rules in those for rule in rules.values()]


def _queues(config: Config) -> list[QueueConfig]:
    """All queues, those of pilots included."""
    those = [config.queues, *(each.queues for each in config.pilots.values())]
    return [queue for queues in those for queue in queues.values()]


def check_unnamed_queue(config: Config, queue: str) -> None:
    """Refuse while others send contacts to this queue.

    Raises:
        InUse: they do.
    """
    if queue == DEFAULT_QUEUE:
        raise InUse("the default queue stays")
    if any(rule.queue == queue for rule in _rules(config)):
        raise InUse("a rule names this queue")
    for other in _queues(config):
        where = (other.overflow, None if other.hours is None else other.hours.closed)
        if any(each is not None and each.queue == queue for each in where):
            raise InUse(f"queue {other.name!r} overflows into this one")
    if any(queue in pilot.queues for pilot in config.pilots.values()):
        raise InUse("a pilot has a version of this queue")


def check_idle(state: State, command: commands.DeleteNamed) -> None:
    """Refuse to remove what open contacts or collaborations are in.

    Raises:
        InUse: there are some.
    """
    name = command.name
    if command.kind == "queue" and any(each.queue == name for each in state.contacts.values()):
        raise InUse("the queue still has open contacts")
    if command.kind == "department" and any(each.department == name for each in state.collaborations.values()):
        raise InUse("the department still helps")
