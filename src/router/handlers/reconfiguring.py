"""Many pieces of configuration are put and removed at once: checked as they will be together, then done one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from src.errors import Refused
from src.router import checks, commands
from src.router.classify import Rules
from src.router.config import Config
from src.router.handlers import configuration
from src.router.handlers.base import Room
from src.router.tagging import TagFinder

ERRORS_MAX: Final = 50
"""So many are told at once."""


def reconfigure(room: Room, command: commands.Reconfigure) -> None:
    """Do all of it; refused, nothing has happened."""
    target, finder = _checked(room, command)
    board = room.board
    board.config.tags, board.config.rules = target.tags, target.rules
    room.intake.forget(finder)
    for put in command.puts:
        _set(room, put)
    for delete in command.deletes:
        if isinstance(delete, commands.DeleteAgent):
            configuration.drop_agent(board, room.agent(delete.agent_id))
        elif delete.kind in {"tag", "rule"}:
            board.emit(f"{delete.kind}.deleted", {"name": delete.name})
        else:
            configuration.drop_named(room, delete)
    room.intake.forget(finder)
    board.sweep(abilities=True)


def check(room: Room, command: commands.Reconfigure) -> None:
    """Change nothing.

    Raises:
        Refused: as `reconfigure` would be. It is the first of what is wrong; if more is, `errors` names it all.
    """
    _checked(room, command)


def _set(room: Room, put: commands.Put) -> None:
    """Do what has been checked; tags and rules are there already."""
    board = room.board
    if isinstance(put, commands.PutAgent):
        configuration.set_agent(board, put.config)
    elif isinstance(put, commands.PutQueue):
        configuration.set_queue(board, put.config)
    elif isinstance(put, commands.PutTag):
        board.emit("tag.updated", {"name": put.config.name})
    elif isinstance(put, commands.PutRule):
        board.emit("rule.updated", {"name": put.config.name})
    elif isinstance(put, commands.PutPilot):
        configuration.set_pilot(room, put.config)
    elif isinstance(put, commands.PutDepartment):
        configuration.set_department(board, put.config)
    else:
        configuration.set_settings(board, put.settings)


def _checked(room: Room, command: commands.Reconfigure) -> tuple[Config, TagFinder | None]:
    """What the configuration will be, and what finds its tags, if they are others."""
    before = room.board.config
    target = replace(
        before,
        agents=dict(before.agents),
        queues=dict(before.queues),
        tags=dict(before.tags),
        rules=dict(before.rules),
        pilots=dict(before.pilots),
        departments=dict(before.departments),
    )
    _change(target, command)
    found = _Found()
    for put in command.puts:
        _check_put(target, put, found)
    finder: TagFinder | None = None
    if target.tags != before.tags and not found.anything:
        with found.within("tags"):
            finder = TagFinder(target.tags)
    with found.within("rules"):
        Rules(target.rules.values())  # all together may be too many
    for delete in command.deletes:
        if isinstance(delete, commands.DeleteAgent):
            with found.within("agents", delete.agent_id):
                configuration.check_free(room.agent(delete.agent_id))
                configuration.check_unnamed(target, delete.agent_id)
        else:
            with found.within(f"{delete.kind}s", delete.name):
                configuration.check_there(before, delete)
                if delete.kind == "queue":
                    configuration.check_unnamed_queue(target, delete.name)
                configuration.check_idle(room.board.state, delete)
    found.refuse()
    return target, finder


def _change(target: Config, command: commands.Reconfigure) -> None:
    for put in command.puts:
        if isinstance(put, commands.PutAgent):
            target.agents[put.config.id] = put.config
        elif isinstance(put, commands.PutQueue):
            target.queues[put.config.name] = put.config
        elif isinstance(put, commands.PutTag):
            target.tags[put.config.name] = put.config
        elif isinstance(put, commands.PutRule):
            target.rules[put.config.name] = put.config
        elif isinstance(put, commands.PutPilot):
            target.pilots[put.config.name] = put.config
        elif isinstance(put, commands.PutDepartment):
            target.departments[put.config.name] = put.config
        else:
            target.settings = put.settings
    for delete in command.deletes:
        if isinstance(delete, commands.DeleteAgent):
            target.agents.pop(delete.agent_id, None)
        else:
            configuration.kept_of(target, delete.kind).pop(delete.name, None)


def _check_put(target: Config, put: commands.Put, found: "_Found") -> None:
    queues, agents = target.queues, target.agents
    if isinstance(put, commands.PutAgent):
        with found.within("agents", put.config.id):
            checks.check_agent(put.config, agents)
    elif isinstance(put, commands.PutQueue):
        with found.within("queues", put.config.name):
            checks.check_queue_beside(target.pilots, put.config, queues=queues, agents=agents)
    elif isinstance(put, commands.PutRule):
        with found.within("rules", put.config.name):
            checks.check_rule(put.config, queues=queues, agents=agents)
    elif isinstance(put, commands.PutPilot):
        with found.within("pilots", put.config.name):
            checks.check_pilot(put.config, queues=queues, agents=agents)
            Rules((put.config.rules or {}).values())
    elif isinstance(put, commands.PutDepartment):
        with found.within("departments", put.config.name):
            checks.check_department(put.config, agents=agents)
    elif isinstance(put, commands.PutSettings):
        with found.within("settings"):
            checks.check_settings(put.settings, agents=agents)
    elif isinstance(put, commands.PutTag):
        with found.within("tags", put.config.name):
            TagFinder({put.config.name: put.config})


class _Found:
    """What is wrong, and where."""

    def __init__(self) -> None:
        self._refused: list[tuple[str, Refused]] = []

    @property
    def anything(self) -> bool:
        """Whether something is wrong."""
        return bool(self._refused)

    @contextmanager
    def within(self, *place: str) -> Iterator[None]:
        """Note what is refused in here, and go on."""
        try:
            yield
        except Refused as refused:
            field = refused.extra.get("field")
            self._refused.append((".".join((*place, str(field)) if field else place), refused))

    def refuse(self) -> None:
        """Refuse, if anything was wrong."""
        if not self._refused:
            return
        field, first = self._refused[0]
        first.extra["field"] = field
        if len(self._refused) > 1:
            told = self._refused[:ERRORS_MAX]
            first.extra["errors"] = [{"field": each, "reason": refused.detail} for each, refused in told]
        raise first
