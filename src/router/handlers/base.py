"""What every handler is given, and what they find and refuse alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.errors import Forbidden, InvalidState, NotFound, UnknownReference
from src.router.board import Board
from src.router.entities import Agent, Assignment, Collaboration, Contact
from src.router.intake import Intake


@dataclass(frozen=True, slots=True)
class Archive:
    """What has ended and a command may still name; the shell looks it up first."""

    contacts: Mapping[str, Contact] = field(default_factory=dict)
    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    collaborations: Mapping[str, Collaboration] = field(default_factory=dict)


NOTHING = Archive()


@dataclass(slots=True)
class Room:
    """What a handler works with: the board, the intake, and what the shell knows of things that have ended."""

    board: Board
    intake: Intake
    archive: Archive = NOTHING

    def contact(self, contact_id: str) -> Contact:
        """A contact, open or ended."""
        contact = self.board.state.contact(contact_id) or self.archive.contacts.get(contact_id)
        if contact is None:
            raise NotFound("there is no such contact")
        if contact_id in self.board.state.contacts:
            self.board.state.at_hand = contact_id
        return contact

    def open_contact(self, contact_id: str, *states: str, to: str) -> Contact:
        """A contact in one of these states; `to` says what it was to be done with."""
        contact = self.contact(contact_id)
        if contact.state not in states:
            raise InvalidState(f"a contact that is {contact.state} cannot be {to}", state=contact.state)
        return contact

    def agent(self, agent_id: str) -> Agent:
        """An agent."""
        agent = self.board.state.agents.get(agent_id)
        if agent is None:
            raise NotFound(f"there is no agent {agent_id!r}")
        return agent

    def named_agent(self, agent_id: str, field_name: str) -> Agent:
        """An agent that the input names."""
        agent = self.board.state.agents.get(agent_id)
        if agent is None:
            raise UnknownReference(f"there is no agent {agent_id!r}", field=field_name)
        return agent

    def check_queue(self, name: str | None, field_name: str) -> None:
        """Refuse a queue that is not there."""
        if name is not None and name not in self.board.config.queues:
            raise UnknownReference(f"there is no queue {name!r}", field=field_name)

    def held(self, contact: Contact, agent_id: str | None) -> Assignment | None:
        """The contact's assignment; where an agent acts, it must be its own."""
        assignment = self.board.current(contact)
        if agent_id is not None and (assignment is None or assignment.agent_id != agent_id):
            raise Forbidden("the contact is not with this agent")
        return assignment
