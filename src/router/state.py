"""The folded state of one tenant: what its journal adds up to. `apply` is the only thing that changes it.

Only open contacts and assignments are kept: what has ended is handed out once by `drain` and then forgotten here (the
tables keep it). Each entity has a `row`: the values that the store writes, reads back, and that the state's hash is
made of, so that load(tables) and fold(journal) can be compared in one number.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from src.router import events as ev
from src.router.events import Event
from src.router.model import Presence, Requirement
from src.router.transitions import ASSIGNMENT, CONTACT, OPEN_ASSIGNMENT

Row = tuple[Any, ...]
_HASH_MASK: Final = (1 << 64) - 1


@dataclass(slots=True)
class Contact:
    """One piece of work. `rank` is its place in the queue: arrival minus priority, smaller goes first."""

    id: str
    customer_id: str
    channel: str
    account: str
    created_at: int
    state: str = "waiting"
    queue: str = ""
    priority: int = 0
    language: str | None = None
    tags: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    target_agent_id: str | None = None
    assignment_id: str | None = None
    outcome: str | None = None
    sla_stage: int = 0
    transfers: int = 0
    bars: dict[str, int] = field(default_factory=dict)
    updated_at: int = 0
    answered_at: int | None = None
    closed_at: int | None = None

    @property
    def rank(self) -> int:
        """Milliseconds since the epoch, less the head start."""
        return self.created_at - self.priority * 1000

    @property
    def key(self) -> tuple[int, str]:
        """Its place among all others: rank, then id, so that there are no ties."""
        return (self.rank, self.id)

    def row(self) -> Row:
        """The values of `CONTACT_COLUMNS`."""
        return (
            self.id,
            self.customer_id,
            self.channel,
            self.account,
            self.created_at,
            self.state,
            self.queue,
            self.priority,
            self.language,
            _dump(self.tags),
            _dump([requirement_json(each) for each in self.requirements]),
            self.target_agent_id,
            self.assignment_id,
            self.outcome,
            self.sla_stage,
            self.transfers,
            _dump(self.bars),
            self.updated_at,
            self.answered_at,
            self.closed_at,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Contact":
        """The inverse of `row`."""
        values = dict(zip(CONTACT_COLUMNS, row, strict=True))
        values["tags"] = tuple(json.loads(values["tags"]))
        values["requirements"] = tuple(requirement_from(each) for each in json.loads(values["requirements"]))
        values["bars"] = json.loads(values["bars"])
        return cls(**values)


@dataclass(slots=True)
class Assignment:
    """An offer, and the assignment that it becomes: one object, one id."""

    id: str
    contact_id: str
    agent_id: str
    channel: str
    cost: int
    offered_at: int
    expires_at: int
    state: str = "offered"
    accepted_at: int | None = None
    ends_at: int | None = None
    outcome: str | None = None
    resolved: bool | None = None
    disposition: str | None = None
    ended_at: int | None = None

    def row(self) -> Row:
        """The values of `ASSIGNMENT_COLUMNS`."""
        return (
            self.id,
            self.contact_id,
            self.agent_id,
            self.channel,
            self.cost,
            self.offered_at,
            self.expires_at,
            self.state,
            self.accepted_at,
            self.ends_at,
            self.outcome,
            self.resolved,
            self.disposition,
            self.ended_at,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Assignment":
        """The inverse of `row`."""
        return cls(**dict(zip(ASSIGNMENT_COLUMNS, row, strict=True)))


@dataclass(slots=True)
class Agent:
    """The routing state of an agent. Its skills and capacity are configuration and not in here.

    `session` is the socket that holds its lease, `lease_s` the length of a lease taken without one; `grace_until` is
    when it counts as gone, once neither is left. `open` are its open assignments: load follows from them.
    """

    id: str
    status: Presence = "offline"
    reason: str | None = None
    session: str | None = None
    lease_s: int | None = None
    grace_until: int | None = None
    idle_since: int = 0
    misses: int = 0
    open: dict[str, Assignment] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether somebody is there to hear of an offer."""
        return self.session is not None or self.lease_s is not None

    @property
    def load(self) -> int:
        """Units of capacity in use."""
        return sum(each.cost for each in self.open.values())

    def count(self, channel: str) -> int:
        """Open assignments of one channel."""
        return sum(1 for each in self.open.values() if each.channel == channel)

    def row(self) -> Row:
        """The values of `AGENT_COLUMNS`."""
        return (
            self.id,
            self.status,
            self.reason,
            self.session,
            self.lease_s,
            self.grace_until,
            self.idle_since,
            self.misses,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Agent":
        """The inverse of `row`."""
        return cls(**dict(zip(AGENT_COLUMNS, row, strict=True)))


CONTACT_COLUMNS: Final = (
    "id",
    "customer_id",
    "channel",
    "account",
    "created_at",
    "state",
    "queue",
    "priority",
    "language",
    "tags",
    "requirements",
    "target_agent_id",
    "assignment_id",
    "outcome",
    "sla_stage",
    "transfers",
    "bars",
    "updated_at",
    "answered_at",
    "closed_at",
)
ASSIGNMENT_COLUMNS: Final = (
    "id",
    "contact_id",
    "agent_id",
    "channel",
    "cost",
    "offered_at",
    "expires_at",
    "state",
    "accepted_at",
    "ends_at",
    "outcome",
    "resolved",
    "disposition",
    "ended_at",
)
AGENT_COLUMNS: Final = ("id", "status", "reason", "session", "lease_s", "grace_until", "idle_since", "misses")


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since the last drain, as rows; `removed_agents` are ids."""

    contacts: list[Row]
    assignments: list[Row]
    agents: list[Row]
    removed_agents: list[str]


class State:
    """The fold. Give it events with `apply`, rows with `load`; take what changed with `drain`."""

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0
        self.contacts: dict[str, Contact] = {}
        self.assignments: dict[str, Assignment] = {}
        self.agents: dict[str, Agent] = {}
        self._threads: dict[tuple[str, str, str], dict[str, None]] = {}
        self.hash = 0
        self._digests: dict[tuple[str, str], int] = {}
        self._changed_contacts: dict[str, Contact] = {}
        self._changed_assignments: dict[str, Assignment] = {}
        self._changed_agents: dict[str, None] = {}

    # -- reading ------------------------------------------------------------------------------------------------

    def contact(self, contact_id: str) -> Contact | None:
        """An open contact, or one that closed since the last drain."""
        return self.contacts.get(contact_id) or self._changed_contacts.get(contact_id)

    def assignment(self, assignment_id: str) -> Assignment | None:
        """An open assignment, or one that ended since the last drain."""
        return self.assignments.get(assignment_id) or self._changed_assignments.get(assignment_id)

    def thread(self, channel: str, account: str, customer_id: str) -> Contact | None:
        """The customer's newest contact on an account that still takes messages: what a further one joins."""
        found = (self.contacts[each] for each in self._threads.get((channel, account, customer_id), ()))
        return max(
            (each for each in found if each.state != "wrap_up"),
            key=lambda each: (each.created_at, each.id),
            default=None,
        )

    # -- folding ------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Fold one event. Its number must be the next one."""
        assert event.seq == self.seq + 1, f"event {event.seq} after {self.seq}"
        assert event.at >= self.at, "time went back"
        self.seq, self.at = event.seq, event.at
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)

    def load(
        self, seq: int, at: int, contacts: Iterable[Row], assignments: Iterable[Row], agents: Iterable[Row]
    ) -> None:
        """Take over what the tables hold: open contacts, their open assignments, all agents."""
        self.seq, self.at = seq, at
        for row in agents:
            self._touch_agent(Agent.from_row(row))
        for row in contacts:
            self._open(Contact.from_row(row))
        for row in sorted(assignments, key=lambda each: str(each[0])):
            assignment = Assignment.from_row(row)
            self.assignments[assignment.id] = self._changed_assignments[assignment.id] = assignment
            self.agents[assignment.agent_id].open[assignment.id] = assignment
        self.drain()

    def drain(self) -> Changes:
        """Hand out what changed as rows, bring the hash up to date, and forget what has ended."""
        contacts = [each.row() for each in self._changed_contacts.values()]
        assignments = [each.row() for each in self._changed_assignments.values()]
        present = [each for each in self._changed_agents if each in self.agents]
        agents = [self.agents[each].row() for each in present]
        removed = [each for each in self._changed_agents if each not in self.agents]
        for row in contacts:
            self._rehash("contact", row[0], row if row[0] in self.contacts else None)
        for row in assignments:
            self._rehash("assignment", row[0], row if row[0] in self.assignments else None)
        for row in agents:
            self._rehash("agent", row[0], row)
        for agent_id in removed:
            self._rehash("agent", agent_id, None)
        self._changed_contacts, self._changed_assignments, self._changed_agents = {}, {}, {}
        return Changes(contacts, assignments, agents, removed)

    def _rehash(self, kind: str, entity_id: str, row: Row | None) -> None:
        """Keep `hash`, the sum of the digests of all entities, so that it costs what changed and not what is there."""
        self.hash -= self._digests.pop((kind, entity_id), 0)
        if row is not None:
            digest = int.from_bytes(blake2b(repr(row).encode(), digest_size=8, person=kind.encode()).digest())
            self._digests[(kind, entity_id)] = digest
            self.hash += digest
        self.hash &= _HASH_MASK

    # -- the folds ----------------------------------------------------------------------------------------------

    def _move_contact(self, event: Event) -> Contact:
        assert event.contact_id is not None
        contact = self.contacts[event.contact_id]
        contact.state = CONTACT[(contact.state, event.type)]
        contact.updated_at = event.at
        if contact.bars:
            contact.bars = {agent: until for agent, until in contact.bars.items() if until > event.at}
        self._changed_contacts[contact.id] = contact
        return contact

    def _move_assignment(self, event: Event) -> Assignment:
        assignment = self.assignments[event.data["assignment_id"]]
        assignment.state = ASSIGNMENT[(assignment.state, event.type)]
        self._changed_assignments[assignment.id] = assignment
        if assignment.state not in OPEN_ASSIGNMENT:
            assignment.ended_at = event.at
            del self.assignments[assignment.id]
            agent = self.agents[assignment.agent_id]
            del agent.open[assignment.id]
            agent.idle_since = event.at
            self._touch_agent(agent)
        return assignment

    def _open(self, contact: Contact) -> None:
        self.contacts[contact.id] = self._changed_contacts[contact.id] = contact
        self._threads.setdefault((contact.channel, contact.account, contact.customer_id), {})[contact.id] = None

    def _touch_agent(self, agent: Agent) -> None:
        self.agents[agent.id] = agent
        self._changed_agents[agent.id] = None

    def _received(self, event: Event) -> None:
        assert event.contact_id is not None
        assert event.customer_id is not None
        data = event.data
        contact = Contact(
            id=event.contact_id,
            customer_id=event.customer_id,
            channel=data["channel"],
            account=data["account"],
            created_at=event.at,
            state=CONTACT[(None, event.type)],
            queue=data["queue"],
            priority=data["priority"],
            language=data["language"],
            tags=tuple(data["tags"]),
            requirements=tuple(requirement_from(each) for each in data["requirements"]),
            updated_at=event.at,
        )
        self._open(contact)

    def _moved(self, event: Event) -> None:
        self._move_contact(event)

    def _offered(self, event: Event) -> None:
        contact = self._move_contact(event)
        assert event.agent_id is not None
        data = event.data
        assignment = Assignment(
            id=data["assignment_id"],
            contact_id=contact.id,
            agent_id=event.agent_id,
            channel=data["channel"],
            cost=data["cost"],
            offered_at=event.at,
            expires_at=data["expires_at"],
            state=ASSIGNMENT[(None, event.type)],
        )
        contact.assignment_id = assignment.id
        self.assignments[assignment.id] = self._changed_assignments[assignment.id] = assignment
        agent = self.agents[event.agent_id]
        agent.open[assignment.id] = assignment
        agent.idle_since = event.at
        self._touch_agent(agent)

    def _accepted(self, event: Event) -> None:
        contact, assignment = self._move_contact(event), self._move_assignment(event)
        assignment.accepted_at = event.at
        contact.target_agent_id = None
        if contact.answered_at is None:
            contact.answered_at = event.at
        agent = self.agents[assignment.agent_id]
        agent.misses = 0
        self._touch_agent(agent)

    def _not_taken(self, event: Event) -> None:
        assignment = self._move_assignment(event)
        contact = self.contacts[assignment.contact_id]
        contact.bars = {**contact.bars, assignment.agent_id: event.data["barred_until"]}
        self._changed_contacts[contact.id] = contact
        if event.type == ev.OFFER_EXPIRED:
            self.agents[assignment.agent_id].misses += 1

    def _ended(self, event: Event) -> None:
        self._move_assignment(event)

    def _completed(self, event: Event) -> None:
        assignment = self._move_assignment(event)
        assignment.resolved = event.data["resolved"]
        assignment.disposition = event.data["disposition"]

    def _wrapping_up(self, event: Event) -> None:
        self._move_contact(event)
        assignment = self._move_assignment(event)
        data = event.data
        assignment.ends_at, assignment.outcome = data["ends_at"], data["outcome"]
        assignment.resolved, assignment.disposition = data["resolved"], data["disposition"]

    def _requeued(self, event: Event) -> None:
        contact = self._move_contact(event)
        contact.assignment_id = None

    def _reclassified(self, event: Event) -> None:
        contact = self._move_contact(event)
        data = event.data
        contact.queue, contact.priority = data["queue"], data["priority"]
        contact.tags = tuple(data["tags"])
        contact.requirements = tuple(requirement_from(each) for each in data["requirements"])
        contact.target_agent_id = data["target_agent_id"]

    def _transferred(self, event: Event) -> None:
        contact, assignment = self._move_contact(event), self._move_assignment(event)
        data = event.data
        contact.assignment_id = None
        contact.queue = data["queue"]
        contact.tags = tuple(data["tags"])
        contact.requirements = tuple(requirement_from(each) for each in data["requirements"])
        contact.target_agent_id = data["target_agent_id"]
        contact.transfers += 1
        bars = {**contact.bars, assignment.agent_id: data["barred_until"]}
        contact.bars = {agent: until for agent, until in bars.items() if agent != contact.target_agent_id}

    def _closed(self, event: Event) -> None:
        contact = self._move_contact(event)
        contact.outcome, contact.closed_at = event.data["outcome"], event.at
        contact.bars = {}
        del self.contacts[contact.id]
        thread = self._threads[(contact.channel, contact.account, contact.customer_id)]
        del thread[contact.id]
        if not thread:
            del self._threads[(contact.channel, contact.account, contact.customer_id)]

    def _sla(self, event: Event) -> None:
        assert event.contact_id is not None
        contact = self.contacts[event.contact_id]
        contact.sla_stage = 1 if event.type == ev.SLA_WARNING else 2
        self._changed_contacts[contact.id] = contact

    def _presence(self, event: Event) -> None:
        assert event.agent_id is not None
        agent = self.agents[event.agent_id]
        data = event.data
        if agent.status != "available" and data["status"] == "available":
            agent.idle_since, agent.misses = event.at, 0
        agent.status, agent.reason = data["status"], data["reason"]
        agent.session, agent.lease_s, agent.grace_until = data["session"], data["lease_s"], data["grace_until"]
        self._touch_agent(agent)

    def _agent_put(self, event: Event) -> None:
        assert event.agent_id is not None
        if event.agent_id not in self.agents:
            self._touch_agent(Agent(event.agent_id))

    def _agent_deleted(self, event: Event) -> None:
        assert event.agent_id is not None
        del self.agents[event.agent_id]
        self._changed_agents[event.agent_id] = None


_FOLDS: Final[dict[str, Callable[[State, Event], None]]] = {
    ev.CONTACT_RECEIVED: State._received,
    ev.CONTACT_WAITING: State._moved,
    ev.CONTACT_OFFERED: State._offered,
    ev.CONTACT_ACTIVE: State._accepted,
    ev.CONTACT_REQUEUED: State._requeued,
    ev.CONTACT_RECLASSIFIED: State._reclassified,
    ev.CONTACT_TRANSFERRED: State._transferred,
    ev.CONTACT_CLOSED: State._closed,
    ev.OFFER_DECLINED: State._not_taken,
    ev.OFFER_EXPIRED: State._not_taken,
    ev.OFFER_REVOKED: State._ended,
    ev.ASSIGNMENT_WRAP_UP: State._wrapping_up,
    ev.ASSIGNMENT_COMPLETED: State._completed,
    ev.ASSIGNMENT_LOST: State._ended,
    ev.AGENT_PRESENCE: State._presence,
    ev.AGENT_UPDATED: State._agent_put,
    ev.AGENT_DELETED: State._agent_deleted,
    ev.SLA_WARNING: State._sla,
    ev.SLA_BREACHED: State._sla,
}
"""What each kind does to the state. Kinds that are not here (messages, configuration) change nothing that is folded."""


def requirement_json(requirement: Requirement) -> dict[str, Any]:
    """The JSON form of a requirement, in events, tables and answers alike."""
    return {
        "tag": requirement.tag,
        "skill": requirement.skill,
        "level": requirement.level,
        "required": requirement.required,
        "weight": requirement.weight,
        "lapses_at": requirement.lapses_at,
    }


def requirement_from(data: Mapping[str, Any]) -> Requirement:
    """The inverse of `requirement_json`."""
    return Requirement(**data)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
