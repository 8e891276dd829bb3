"""What agents and supervisors do with contacts, assignments, collaborations and presence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from src.dispatch import remarks, repeats
from src.dispatch.facts import CollaborationWord, NoteFact, RemarkFact
from src.dispatch.known import Wanted
from src.dispatch.turn import ContactSnapshot, Turn
from src.router import commands
from src.router.board import Decision
from src.router.commands import Command
from src.router.entities import Row
from src.router.model import TagRequest
from src.router.state import State

_TYPED: Final[Mapping[type[Any], str]] = {
    commands.Decline: "reason",
    commands.Complete: "disposition",
    commands.Cancel: "reason",
    commands.Transfer: "reason",
    commands.Return: "reason",
    commands.Resume: "reason",
    commands.Escalate: "reason",
    commands.Assign: "reason",
    commands.TakeBack: "reason",
    commands.Pin: "reason",
    commands.CloseCollaboration: "reason",
}
"""Where a command holds what somebody typed."""

_CODES: Final = frozenset(
    {"abandoned", "absence", "requested", "silence", "reply_window_closing"}
    | {"busy", "no_answer", "unreachable", "connection_lost"}
)
"""What this service gives for a reason itself, where nobody typed one."""


def _decide(turn: Turn, command: Command, contact_id: str | None) -> Decision:
    """Decide a command, what was typed with it kept apart. Of a repeat that changes nothing it is not kept."""
    name = _TYPED.get(type(command))
    text = None if name is None else getattr(command, name)
    if name is None or text is None or text in _CODES:
        return turn.decide(command)
    remark_id = remarks.PREFIX + turn.new_id()
    changed: dict[str, Any] = {name: remark_id}
    decision = turn.decide(replace(command, **changed))
    if decision.events:
        assert contact_id is not None
        turn.write(RemarkFact(remark_id, contact_id, text, turn.now))
    return decision


@dataclass(frozen=True, slots=True)
class OnContact:
    """A command about a contact that may have closed: cancel, transfer, reclassify, park, resume, a supervisor's hand.

    `note` is kept with the assignment that the contact had before, else with the one it has then; of a repeat that
    changes nothing it is not kept. `attributes` are added to the contact's own.
    """

    contact_id: str
    command: Command
    attributes: Mapping[str, Any] | None = None
    note: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.contacts.add(self.contact_id)
        contact = state.contact(self.contact_id)
        held = None if contact is None else state.assignment(contact.assignment_id or "")
        if held is not None:
            wanted.remarks.update(remarks.disposition_of(held.row()))
        if contact is not None and _tags(self.command) is not None:
            wanted.lately(contact.created_at)

    def run(self, turn: Turn) -> ContactSnapshot:
        before = turn.engine.state.contact(self.contact_id)
        assignment_id = before.assignment_id if before is not None else None
        tags = before.tags if before is not None else ()
        decision = _decide(turn, self.command, self.contact_id)
        contact = turn.engine.state.contact(self.contact_id)
        if contact is not None and not set(contact.tags).issubset(tags):
            repeats.retagged(turn, contact)
        if self.attributes is not None:
            fact = turn.known.facts[self.contact_id]
            turn.write(replace(fact, attributes={**fact.attributes, **self.attributes}))
        snapshot = turn.snapshot(self.contact_id)
        if assignment_id is None and snapshot.assignment is not None:
            assignment_id = snapshot.assignment[0]
        if self.note is not None and assignment_id is not None and decision.events:
            turn.write(NoteFact(assignment_id, self.contact_id, self.note, turn.now))
        return snapshot


def _tags(command: Command) -> tuple[TagRequest, ...] | None:
    """The tags that a command gives a contact, if it does."""
    match command:
        case commands.Reclassify(tags=tags) | commands.Transfer(to_tags=tags):
            return tags
    return None


@dataclass(frozen=True, slots=True)
class OnAssignment:
    """Accept, decline, complete, wrap-up done. The result is the assignment's row."""

    assignment_id: str
    command: Command
    note: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        assignment = state.assignment(self.assignment_id)
        if assignment is None:
            wanted.assignments.add(self.assignment_id)
        else:
            wanted.remarks.update(remarks.disposition_of(assignment.row()))

    def run(self, turn: Turn) -> Row:
        before = self._row(turn)
        decision = _decide(turn, self.command, None if before is None else before[1])
        row = self._row(turn)
        assert row is not None
        if self.note is not None and decision.events:
            turn.write(NoteFact(self.assignment_id, row[1], self.note, turn.now))
        return remarks.assignment(row, turn.known.remarks)

    def _row(self, turn: Turn) -> Row | None:
        assignment = turn.engine.state.assignment(self.assignment_id)
        return assignment.row() if assignment is not None else turn.known.assignments.get(self.assignment_id)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for help with a contact: `command` gets the collaboration's id in its turn, `text` goes to whoever helps.

    The result is the collaboration's row.
    """

    command: commands.Collaborate
    text: str | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        if state.contact(self.command.contact_id) is None:
            wanted.contacts.add(self.command.contact_id)

    def run(self, turn: Turn) -> Row:
        command = replace(self.command, collaboration_id=turn.new_id())
        turn.decide(command)
        row = _collaboration(turn, command.collaboration_id)
        assert row is not None
        if self.text is not None:
            _write_word(turn, row, (command.by, "request", self.text))
        return row


@dataclass(frozen=True, slots=True)
class OnCollaboration:
    """Accept, reply, close. The result is the collaboration's row.

    `word` is what is written with it: author, kind and text; of a repeat that changes nothing it is not kept.
    """

    collaboration_id: str
    command: Command
    word: tuple[str, str, str] | None = None

    def wants(self, wanted: Wanted, state: State) -> None:
        if state.collaboration(self.collaboration_id) is None:
            wanted.collaborations.add(self.collaboration_id)

    def run(self, turn: Turn) -> Row:
        before = _collaboration(turn, self.collaboration_id)
        decision = _decide(turn, self.command, None if before is None else before[1])
        row = _collaboration(turn, self.collaboration_id)
        assert row is not None
        if self.word is not None and decision.events:
            _write_word(turn, row, self.word)
        return remarks.collaboration(row, turn.known.remarks)


def _collaboration(turn: Turn, collaboration_id: str) -> Row | None:
    found = turn.engine.state.collaboration(collaboration_id)
    return found.row() if found is not None else turn.known.collaborations.get(collaboration_id)


def _write_word(turn: Turn, collaboration: Row, word: tuple[str, str, str]) -> None:
    author, kind, text = word
    turn.write(CollaborationWord(turn.new_id(), collaboration[0], collaboration[1], author, kind, text, turn.now))


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent's routing state with its open assignments, as of journal number `seq`."""

    seq: int
    agent: Row
    load: int
    lease_expires_at: int | None
    assignments: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class OnAgent:
    """Presence, connect, disconnect: the result is how the agent stands afterwards, None if it is not there."""

    agent_id: str
    command: Command

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> AgentView | None:
        turn.decide(self.command)
        state = turn.engine.state
        agent = state.agents.get(self.agent_id)
        if agent is None:
            return None
        rows = tuple(sorted(each.row() for each in agent.open))
        return AgentView(state.seq, agent.row(), agent.load, turn.engine.lease_expires_at(agent.id), rows)


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Sockets died with the process that held them: agent and session of each."""

    sockets: Sequence[tuple[str, str]]

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> None:
        for agent_id, session in self.sockets:
            turn.decide(commands.Disconnect(agent_id, session))


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A socket is there, though it may have been taken for dead; the result is whether it holds the agent's lease.

    It takes the lease again, unless a later socket has it.
    """

    agent_id: str
    session: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Everything that it needs to know is in the engine."""

    def run(self, turn: Turn) -> bool:
        agent = turn.engine.state.agents.get(self.agent_id)
        if agent is None or agent.session not in (None, self.session):
            return False
        if agent.session is None:
            turn.decide(commands.Connect(self.agent_id, self.session))
        return True
