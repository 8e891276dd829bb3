"""The board of one tenant: its state, kept matched. It emits events, folds them, and looks again at what they name.

`look_at_…` carry what is so in the state over to the index and the timers; they compare and never assume. `settle` then
asks the index who can be matched now: matching is level-triggered, and no event by itself makes a match.

What it must not do: know a command, or refuse one. That is the engine's.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from src.router import events as ev
from src.router import explain
from src.router.events import Event
from src.router.index import Ability, ContactKey, Index, Need, primary
from src.router.model import ANY_CHANNEL, DEFAULT_QUEUE, AgentConfig, QueueConfig, RuleConfig, Settings, TagConfig
from src.router.state import Agent, Assignment, Contact, State, requirement_json
from src.router.timers import Timers

SLA_WARNING_SHARE: Final = 0.8
"""A warning is given when this share of the service level's time has passed without an answer."""

FLOW_DEPARTURES: Final = 32
"""So many departures from a queue make its estimated wait."""


@dataclass(slots=True)
class Config:
    """The tenant's configuration: facts that decisions depend on, but that are no part of the folded state."""

    agents: dict[str, AgentConfig] = field(default_factory=dict)
    queues: dict[str, QueueConfig] = field(default_factory=lambda: {DEFAULT_QUEUE: QueueConfig(DEFAULT_QUEUE)})
    tags: dict[str, TagConfig] = field(default_factory=dict)
    rules: dict[str, RuleConfig] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


@dataclass(slots=True)
class Decision:
    """What a command caused. `traces` are (contact id, number of the event that it explains, the trace)."""

    events: list[Event] = field(default_factory=list)
    traces: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)


class Board:
    """State, index and timers of one tenant, and what the decision under way has come to."""

    def __init__(self, new_id: Callable[[], str], config: Config, state: State) -> None:
        self.config = config
        self.state = state
        self.index = Index()
        self.timers = Timers()
        self.decision = Decision()
        self.now = state.at
        self.new_contacts: dict[str, None] = {}
        self.lease_until: dict[str, int] = {}
        self.offer_floor: dict[str, int] = {}
        self._new_id = new_id
        self._new_agents: set[str] = set()
        self._told: dict[str, str] = {}
        self._flow: dict[str, deque[int]] = {}
        self._abilities: dict[str, tuple[AgentConfig, Ability]] = {}
        for agent_id in state.agents:
            self.look_at_agent(agent_id)
        for contact in state.contacts.values():
            self.look_at_contact(contact)
        for assignment in state.assignments.values():
            self.look_at_assignment(assignment)

    def begin(self, now: int) -> None:
        """Begin a decision. Time never goes back behind the last event's."""
        self.now = max(now, self.state.at)
        self.decision, self._told = Decision(), {}

    def estimated_wait_s(self, contact: Contact) -> int | None:
        """Seconds until a waiting contact is likely offered, from the queue's latest departures; None if unknown."""
        position, flow = self.index.position(contact.id), self._flow.get(contact.queue)
        if position is None or flow is None or len(flow) < 2:  # noqa: PLR2004  # two departures make one interval
            return None
        return round(position * (flow[-1] - flow[0]) / (len(flow) - 1) / 1000)

    # -- matching -----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Match whatever can be matched, smallest rank first, and say of what cannot that it waits."""
        if not self.new_contacts and not self._new_agents:
            return
        fresh = (self.state.contacts[each] for each in self.new_contacts if each in self.state.contacts)
        queue = deque(sorted((each for each in fresh if each.state == "waiting"), key=_key))
        self.new_contacts = {}
        while queue or self._new_agents:
            best = self._next_for_free_agents()
            if queue and (best is None or queue[0].key <= best):
                contact = queue.popleft()
                if contact.state == "waiting":
                    self._match(contact)
            elif best is not None:
                matched = self._match(self.state.contacts[best[1]])
                assert matched, "the index offers an agent a contact that it cannot take"
        self.new_contacts = {}

    def _next_for_free_agents(self) -> ContactKey | None:
        """The smallest rank that one of the agents with new capacity can take; agents with nothing to take drop out."""
        best: ContactKey | None = None
        for agent_id in sorted(self._new_agents):
            key = self._head_for(agent_id)
            if key is None:
                self._new_agents.discard(agent_id)
            elif best is None or key < best:
                best = key
        return best

    def _head_for(self, agent_id: str) -> ContactKey | None:
        best: ContactKey | None = None
        for waiting in self.index.heads(agent_id):
            for key in waiting:
                if best is not None and key >= best:
                    break
                if agent_id not in self.barred(self.state.contacts[key[1]]):
                    best = key
                    break
        return best

    def _match(self, contact: Contact) -> bool:
        """Offer a waiting contact to the best agent, if there is one. What was asked for and why is kept as a trace."""
        signature = self.index.signature(self.need(contact))
        barred = self.barred(contact)
        found = self.index.candidates(signature, barred, explain.RUNNERS_UP_MAX + 1)
        if not found and contact.id not in self._told:
            return False  # it waited before and waits on: nothing new to explain
        context = {"queue": contact.queue, "rank": contact.rank, "at": self.now, "tags": list(contact.tags)}
        trace = explain.trace(self.index, signature, found, barred, context=context)
        if found:
            self._offer(contact, found[0].agent_id)
        elif self._told[contact.id] == ev.CONTACT_RECEIVED:
            self.emit(ev.CONTACT_WAITING, contact_id=contact.id, customer_id=contact.customer_id, queue=contact.queue)
        self.decision.traces.append((contact.id, self.state.seq, trace))
        return bool(found)

    def _offer(self, contact: Contact, agent_id: str) -> None:
        config = self.config.agents[agent_id]
        cost = config.cost(contact.channel)
        assert cost is not None
        flow = self._flow.setdefault(contact.queue, deque(maxlen=FLOW_DEPARTURES))
        self.emit(
            ev.CONTACT_OFFERED,
            contact_id=contact.id,
            agent_id=agent_id,
            customer_id=contact.customer_id,
            assignment_id=self._new_id(),
            channel=contact.channel,
            cost=cost,
            expires_at=self.now + self.queue(contact.queue).offer_timeout_s * 1000,
            matched=[
                {
                    "tag": each.tag,
                    "skill": each.skill,
                    "level": each.level,
                    "agent_level": config.skills.get(each.skill),
                }
                for each in contact.requirements
            ],
        )
        if self.index.anybody_in(contact.queue):
            flow.append(self.now)
        else:
            flow.clear()  # time without demand says nothing of how fast a queue moves

    def need(self, contact: Contact) -> Need:
        """What a contact asks of an agent now."""
        if contact.target_agent_id is not None:
            return Need(contact.channel, target_agent_id=contact.target_agent_id)
        required, preferred = [], []
        for each in contact.requirements:
            if each.required:
                required.append((each.skill, each.level))
            else:
                preferred.append((each.skill, each.level, each.weight))
        return Need(
            channel=contact.channel,
            required=tuple(sorted(required)),
            preferred=tuple(sorted(preferred)),
            language=None if contact.language is None else primary(contact.language),
            teams=self.queue(contact.queue).teams,
        )

    def barred(self, contact: Contact) -> Mapping[str, int]:
        """Agents that may not be asked for this contact now, with the time until when."""
        if not contact.bars:
            return contact.bars
        return {agent_id: until for agent_id, until in contact.bars.items() if until > self.now}

    # -- saying -------------------------------------------------------------------------------------------------

    def emit(
        self,
        kind: str,
        /,
        *,
        contact_id: str | None = None,
        agent_id: str | None = None,
        customer_id: str | None = None,
        **data: Any,
    ) -> None:
        """Decide an event, apply it, and look again at everything that it names."""
        event = Event(self.state.seq + 1, kind, self.now, contact_id, agent_id, customer_id, data)
        self.decision.events.append(event)
        self.state.apply(event)
        if contact_id is not None:
            contact = self.state.contact(contact_id)
            assert contact is not None
            self._told[contact_id] = kind
            self.look_at_contact(contact)
        assignment_id = data.get("assignment_id")
        if assignment_id is not None:
            assignment = self.state.assignment(str(assignment_id))
            assert assignment is not None
            self.look_at_assignment(assignment)
        if agent_id is not None:
            self.look_at_agent(agent_id)

    def say(self, kind: str, assignment: Assignment, /, **data: Any) -> None:
        """An event of an assignment: it names the contact, the agent and the customer."""
        contact = self.state.contact(assignment.contact_id)
        assert contact is not None
        self.emit(
            kind,
            contact_id=contact.id,
            agent_id=assignment.agent_id,
            customer_id=contact.customer_id,
            assignment_id=assignment.id,
            **data,
        )

    def tell(self, kind: str, contact: Contact, /, **data: Any) -> None:
        """An event of a contact that concerns its holder, if it has one."""
        assignment = self.current(contact)
        agent_id = assignment.agent_id if assignment is not None else None
        self.emit(kind, contact_id=contact.id, agent_id=agent_id, customer_id=contact.customer_id, **data)

    def close(self, contact: Contact, outcome: str, reason: str | None) -> None:
        """The contact ends."""
        self.emit(
            ev.CONTACT_CLOSED, contact_id=contact.id, customer_id=contact.customer_id, outcome=outcome, reason=reason
        )

    def requeue(self, contact: Contact, reason: str) -> None:
        """Back to the queue at its old rank. A contact that was meant for one agent is now for all that fit."""
        self.emit(ev.CONTACT_REQUEUED, contact_id=contact.id, customer_id=contact.customer_id, reason=reason)
        if contact.target_agent_id is not None:
            self.say_reclassified(contact, reason="target_unavailable", target_agent_id=None)

    def say_reclassified(self, contact: Contact, *, reason: str, **changed: Any) -> None:
        """What a waiting contact needs is another thing now; what is not named stays."""
        values: dict[str, Any] = {
            "queue": contact.queue,
            "priority": contact.priority,
            "tags": list(contact.tags),
            "requirements": [requirement_json(each) for each in contact.requirements],
            "target_agent_id": contact.target_agent_id,
        }
        self.emit(
            ev.CONTACT_RECLASSIFIED,
            contact_id=contact.id,
            customer_id=contact.customer_id,
            **(values | changed),
            reason=reason,
        )

    def say_presence(self, agent: Agent, **changed: Any) -> None:
        """An agent's presence, whole; what is not named stays."""
        values: dict[str, Any] = {
            "status": agent.status,
            "reason": agent.reason,
            "session": agent.session,
            "lease_s": agent.lease_s,
            "grace_until": agent.grace_until,
        } | changed
        connected = values["session"] is not None or values["lease_s"] is not None
        self.emit(ev.AGENT_PRESENCE, agent_id=agent.id, **values, connected=connected)

    # -- looking: from the state to the index and the timers ----------------------------------------------------

    def look_at_contact(self, contact: Contact) -> None:
        """Whether it waits, where, and when something is due."""
        if contact.state == "waiting":
            if self.index.put_waiting(contact.key, self.need(contact), contact.queue):
                self.new_contacts[contact.id] = None
        else:
            self.index.remove_waiting(contact.id)
        waits = contact.state in ("waiting", "offered")
        self.timers.set("contact", contact.id, self._contact_deadline(contact) if waits else None)

    def _contact_deadline(self, contact: Contact) -> int | None:
        due: list[int] = []
        late_at = self.sla_due_at(contact)
        if late_at is not None:
            due.append(late_at)
        if contact.state == "waiting":
            due.extend(until for until in contact.bars.values() if until > self.now)
            due.extend(each.lapses_at for each in contact.requirements if each.lapses_at is not None)
        return min(due, default=None)

    def sla_due_at(self, contact: Contact) -> int | None:
        """When the next warning or breach of the service level comes, unless it is answered before."""
        if contact.answered_at is not None or contact.sla_stage > 1:
            return None
        share = SLA_WARNING_SHARE if contact.sla_stage == 0 else 1
        return contact.created_at + int(self.queue(contact.queue).within_s * 1000 * share)

    def look_at_assignment(self, assignment: Assignment) -> None:
        """When something is due."""
        due: int | None = None
        if assignment.state == "offered":
            due = max(assignment.expires_at, self.offer_floor.get(assignment.id, 0))
        elif assignment.state == "wrap_up":
            due = assignment.ends_at
        if assignment.state != "offered":
            self.offer_floor.pop(assignment.id, None)
        self.timers.set("assignment", assignment.id, due)

    def look_at_agent(self, agent_id: str) -> None:
        """Where the agent stands, what it is free for, and when something is due."""
        agent, config = self.state.agents.get(agent_id), self.config.agents.get(agent_id)
        if agent is None or config is None:
            self.index.remove_agent(agent_id)
            self.timers.set("agent", agent_id, None)
            self._new_agents.discard(agent_id)
            self._abilities.pop(agent_id, None)
            return
        status = "disconnected" if agent.status == "available" and not agent.connected else agent.status
        free = _free_channels(agent, config) if status == "available" else ()
        if self.index.put_agent(agent_id, self._ability(config), status, agent.idle_since, free):
            self._new_agents.add(agent_id)
        lease_until = self.lease_until.get(agent_id)
        deadlines = [each for each in (agent.grace_until, lease_until) if each is not None]
        self.timers.set("agent", agent_id, min(deadlines, default=None))

    def _ability(self, config: AgentConfig) -> Ability:
        known = self._abilities.get(config.id)
        if known is None or known[0] is not config:
            known = self._abilities[config.id] = (config, Ability.of(config))
        return known[1]

    # -- finding ------------------------------------------------------------------------------------------------

    def current(self, contact: Contact) -> Assignment | None:
        """The contact's open assignment."""
        return None if contact.assignment_id is None else self.state.assignments.get(contact.assignment_id)

    def queue(self, name: str) -> QueueConfig:
        """A queue's policy; the default one's where the queue is gone."""
        return self.config.queues.get(name) or self.config.queues[DEFAULT_QUEUE]

    def bar_ms(self, queue: str) -> int:
        """How long an agent is not asked again after a decline or a miss."""
        own = self.queue(queue).reoffer_after_s
        return (self.config.settings.reoffer_after_s if own is None else own) * 1000


def _free_channels(agent: Agent, config: AgentConfig) -> tuple[str, ...]:
    if config.channels is None:
        return () if agent.open else (ANY_CHANNEL,)
    left = config.capacity - agent.load
    return tuple(
        channel for channel, limit in config.channels.items() if limit.cost <= left and agent.count(channel) < limit.max
    )


def _key(contact: Contact) -> ContactKey:
    return contact.key
