"""The folded state of one tenant: what its journal adds up to. `apply` is the only thing that changes it.

Only what is open is kept: what has ended is handed out once by `drain` and then forgotten here (the tables keep it).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from src.router.entities import LATER_COLUMNS, Agent, Assignment, Collaboration, Contact, Row
from src.router.folds import FOLDS
from src.router.journal import Event

_HASH_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since the last drain, as rows; `removed_agents` are ids."""

    contacts: list[Row]
    assignments: list[Row]
    agents: list[Row]
    collaborations: list[Row]
    removed_agents: list[str]


class State:
    """The fold. Give it events with `apply`, rows with `load`; take what changed with `drain`.

    `offers` are the open offers of each contact that has any; `helps` the open collaborations of each that has any.
    `_of_customer` has the open contacts of each customer: nearly all have one, and it may stand alone.
    `at_hand` is no part of the fold: the contact that is being worked on, so that a failure can be laid to it.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0
        self.contacts: dict[str, Contact] = {}
        self.assignments: dict[str, Assignment] = {}
        self.agents: dict[str, Agent] = {}
        self.collaborations: dict[str, Collaboration] = {}
        self.offers: dict[str, dict[str, Assignment]] = {}
        self.helps: dict[str, dict[str, Collaboration]] = {}
        self.hash = 0
        self.at_hand: str | None = None
        self._of_customer: dict[str, Contact | dict[str, Contact]] = {}
        self._digests: dict[str, dict[str, int]] = {"contact": {}, "assignment": {}, "agent": {}, "collaboration": {}}
        self.changed_contacts: dict[str, Contact] = {}
        self.changed_assignments: dict[str, Assignment] = {}
        self.changed_agents: dict[str, None] = {}
        self.changed_collaborations: dict[str, Collaboration] = {}

    # -- reading ------------------------------------------------------------------------------------------------

    def contact(self, contact_id: str) -> Contact | None:
        """An open contact, or one that closed since the last drain."""
        return self.contacts.get(contact_id) or self.changed_contacts.get(contact_id)

    def assignment(self, assignment_id: str) -> Assignment | None:
        """An open assignment, or one that ended since the last drain."""
        return self.assignments.get(assignment_id) or self.changed_assignments.get(assignment_id)

    def collaboration(self, collaboration_id: str) -> Collaboration | None:
        """An open collaboration, or one that closed since the last drain."""
        return self.collaborations.get(collaboration_id) or self.changed_collaborations.get(collaboration_id)

    def thread(self, channel: str, account: str, customer_id: str, but: Collection[str] = ()) -> Contact | None:
        """The customer's newest contact on an account that takes messages: what a further one joins, but these."""
        return max(
            (
                each
                for each in self.open_of(customer_id)
                if (each.channel, each.account) == (channel, account) and each.state != "wrap_up" and each.id not in but
            ),
            key=lambda each: (each.created_at, each.id),
            default=None,
        )

    def open_of(self, customer_id: str) -> list[Contact]:
        """The open contacts that came as this customer."""
        found = self._of_customer.get(customer_id)
        if found is None:
            return []
        return [found] if isinstance(found, Contact) else list(found.values())

    # -- folding ------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Fold one event. Its number must be the next one."""
        self.apply_made(event, event.seq, event.type, event.at, event.contact_id)

    def apply_made(self, event: Event, seq: int, kind: str, at: int, contact_id: str | None) -> None:
        """The same for whoever has just made the event of these: to read them from it again is dear."""
        assert seq == self.seq + 1, f"event {seq} after {self.seq}"
        assert at >= self.at, "time went back"
        self.seq, self.at = seq, at
        if contact_id is not None:
            self.at_hand = contact_id
        fold = FOLDS.get(kind)
        if fold is not None:
            fold(self, event)

    def load(
        self,
        seq: int,
        at: int,
        contacts: Iterable[Row],
        assignments: Iterable[Row],
        agents: Iterable[Row],
        collaborations: Iterable[Row] = (),
    ) -> None:
        """Take over what the tables hold: what is open of contacts, assignments and collaborations, and all agents."""
        self.seq, self.at = seq, at
        for row in agents:
            self.put_agent(Agent.from_row(row))
        for row in contacts:
            self.at_hand = row[0]
            self.open_contact(Contact.from_row(row))
        for row in sorted(assignments, key=lambda each: str(each[0])):
            self.at_hand = row[1]
            self.open_assignment(Assignment.from_row(row))
        for row in collaborations:
            self.at_hand = row[1]
            self.open_collaboration(Collaboration.from_row(row))
        self.at_hand = None
        self.drain()

    def drain(self) -> Changes:
        """Hand out what changed as rows, bring the hash up to date, and forget what has ended."""
        contacts = [each.row() for each in self.changed_contacts.values()]
        assignments = [each.row() for each in self.changed_assignments.values()]
        collaborations = [each.row() for each in self.changed_collaborations.values()]
        agents = [self.agents[each].row() for each in self.changed_agents if each in self.agents]
        removed = [each for each in self.changed_agents if each not in self.agents]
        self._rehash("contact", contacts, self.contacts)
        self._rehash("assignment", assignments, self.assignments)
        self._rehash("collaboration", collaborations, self.collaborations)
        self._rehash("agent", agents, self.agents)
        for agent_id in removed:
            self.hash -= self._digests["agent"].pop(agent_id, 0)
        self.hash &= _HASH_MASK
        self.changed_contacts, self.changed_assignments = {}, {}
        self.changed_agents, self.changed_collaborations = {}, {}
        return Changes(contacts, assignments, agents, collaborations, removed)

    def _rehash(self, kind: str, rows: list[Row], kept: Mapping[str, object]) -> None:
        """Keep `hash`, the sum of the digests of all entities, so that it costs what changed and not what is there."""
        digests, later, person = self._digests[kind], LATER_COLUMNS[kind], kind.encode()
        for row in rows:
            entity_id = row[0]
            before = digests.pop(entity_id, 0)
            if entity_id in kept:
                told = repr(_told(row, later)).encode()
                digest = int.from_bytes(blake2b(told, digest_size=8, person=person).digest())
                digests[entity_id] = digest
                self.hash += digest - before
            else:
                self.hash -= before

    # -- for the folds ------------------------------------------------------------------------------------------

    def open_contact(self, contact: Contact) -> None:
        """Keep a contact until it closes."""
        self.contacts[contact.id] = self.changed_contacts[contact.id] = contact
        beside = self._of_customer.setdefault(contact.customer_id, contact)
        if isinstance(beside, dict):
            beside[contact.id] = contact
        elif beside is not contact:
            self._of_customer[contact.customer_id] = {beside.id: beside, contact.id: contact}

    def forget_contact(self, contact: Contact) -> None:
        """A contact has closed."""
        del self.contacts[contact.id]
        beside = self._of_customer[contact.customer_id]
        if isinstance(beside, dict):
            del beside[contact.id]
            if beside:
                return
        del self._of_customer[contact.customer_id]

    def open_assignment(self, assignment: Assignment) -> None:
        """Keep an assignment, with its agent, until it ends."""
        self.assignments[assignment.id] = self.changed_assignments[assignment.id] = assignment
        agent = self.agents[assignment.agent_id]
        agent.open = (*agent.open, assignment)
        if assignment.state == "offered":
            self.offers.setdefault(assignment.contact_id, {})[assignment.id] = assignment

    def forget_offer(self, assignment: Assignment) -> None:
        """An offer is none any more, because it was accepted or has ended."""
        offers = self.offers[assignment.contact_id]
        del offers[assignment.id]
        if not offers:
            del self.offers[assignment.contact_id]

    def open_collaboration(self, collaboration: Collaboration) -> None:
        """Keep a collaboration until it closes."""
        self.collaborations[collaboration.id] = self.changed_collaborations[collaboration.id] = collaboration
        self.helps.setdefault(collaboration.contact_id, {})[collaboration.id] = collaboration

    def forget_collaboration(self, collaboration: Collaboration) -> None:
        """A collaboration has closed."""
        del self.collaborations[collaboration.id]
        helps = self.helps[collaboration.contact_id]
        del helps[collaboration.id]
        if not helps:
            del self.helps[collaboration.contact_id]

    def put_agent(self, agent: Agent) -> None:
        """Keep an agent, which is new or has changed."""
        self.agents[agent.id] = agent
        self.changed_agents[agent.id] = None


def _told(row: Row, later: Row) -> Row:
    """The row without the later columns at its end that hold what they held before they were there."""
    end = len(row)
    for default in reversed(later):
        if row[end - 1] != default:
            break
        end -= 1
    return row if end == len(row) else row[:end]
