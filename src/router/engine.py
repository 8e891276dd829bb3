"""The engine of one tenant: `decide(command, now)` gives events. No clock, no randomness, no I/O.

Each event is applied as soon as it is decided, because what follows in the same decision depends on it; nothing but
`State.apply` changes the state. Whoever cannot commit the events throws the engine away and loads another.

Matching is level-triggered. After every command `_settle` asks the state who can be matched now; commands only say what
is so. Between two commands there is no waiting contact that a free, fitting agent could take.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from src.errors import (
    AgentBusy,
    AgentUnavailable,
    Forbidden,
    InUse,
    InvalidState,
    NotFound,
    OfferEnded,
    UnknownReference,
)
from src.router import classify, commands, explain
from src.router import events as ev
from src.router.events import Event
from src.router.index import Ability, ContactKey, Index, Need
from src.router.model import (
    ANY_CHANNEL,
    DEFAULT_QUEUE,
    AgentConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
    TagRequest,
)
from src.router.state import Agent, Assignment, Contact, State, requirement_json
from src.router.tagging import TagFinder
from src.router.timers import Timers

SLA_WARNING_SHARE: Final = 0.8
"""A warning is given when this share of the service level's time has passed without an answer."""

FLOW_DEPARTURES: Final = 32
"""So many departures from a queue make its estimated wait."""

OFFER_FLOOR_MS: Final = 5_000
"""After a restart, an offer lives at least this long."""

_DONE: Final = {
    "accept": frozenset({"active", "wrap_up", "completed"}),
    "decline": frozenset({"declined"}),
    "complete": frozenset({"wrap_up", "completed"}),
    "wrap_up_done": frozenset({"completed"}),
}
"""States in which an action on an assignment has been done already: the repeat is answered, nothing happens."""


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


@dataclass(frozen=True, slots=True)
class Archive:
    """Contacts and assignments that have ended and that a command may still name; the shell looks them up first."""

    contacts: Mapping[str, Contact] = field(default_factory=dict)
    assignments: Mapping[str, Assignment] = field(default_factory=dict)


_NOTHING: Final = Archive()


class Engine:
    """One tenant's router. `new_id` gives ids for assignments: unique, and sorted by when they were made."""

    def __init__(self, new_id: Callable[[], str], config: Config | None = None, state: State | None = None) -> None:
        self.config = config or Config()
        self.state = state or State()
        self._new_id = new_id
        self._index = Index()
        self._timers = Timers()
        self._finder: TagFinder | None = None
        self._rules: list[RuleConfig] | None = None
        self._abilities: dict[str, tuple[AgentConfig, Ability]] = {}
        self._lease_until: dict[str, int] = {}
        self._offer_floor: dict[str, int] = {}
        self._flow: dict[str, deque[int]] = {}
        self._decision = Decision()
        self._now = self.state.at
        self._new_contacts: dict[str, None] = {}
        self._told: dict[str, str] = {}
        self._new_agents: set[str] = set()
        for agent_id in self.state.agents:
            self._look_at_agent(agent_id)
        for contact in self.state.contacts.values():
            self._look_at_contact(contact)
        for assignment in self.state.assignments.values():
            self._look_at_assignment(assignment)

    # -- asking -------------------------------------------------------------------------------------------------

    def decide(self, command: commands.Command, now: int, archive: Archive = _NOTHING) -> Decision:
        """Answer one command. `now` in milliseconds; if it lies before the last event, that event's time counts.

        Raises:
            Refused: a subclass with a stable code; then nothing has happened.
        """
        self._now = max(now, self.state.at)
        self._decision, self._told = Decision(), {}
        _HANDLERS[type(command)](self, command, archive)
        self._settle()
        return self._decision

    def next_due(self) -> int | None:
        """When `Tick` next has something to do, in milliseconds since the epoch."""
        return self._timers.next_due()

    def position(self, contact_id: str) -> int | None:
        """The contact's place in its queue, from 1; None unless waiting."""
        return self._index.position(contact_id)

    def estimated_wait_s(self, contact_id: str) -> int | None:
        """Seconds until a waiting contact is likely offered, from the queue's latest departures; None if unknown."""
        position, contact = self._index.position(contact_id), self.state.contacts.get(contact_id)
        if position is None or contact is None:
            return None
        flow = self._flow.get(contact.queue)
        if flow is None or len(flow) < 2:  # noqa: PLR2004  # two departures make one interval
            return None
        return round(position * (flow[-1] - flow[0]) / (len(flow) - 1) / 1000)

    def lease_expires_at(self, agent_id: str) -> int | None:
        """When a lease taken without a socket ends, in milliseconds since the epoch."""
        return self._lease_until.get(agent_id)

    def explain(self, contact_id: str, agent_id: str) -> str:
        """Why this agent is or is not a candidate for this waiting contact now: `fits`, or a reason's code."""
        contact = self.state.contacts.get(contact_id)
        if contact is None or agent_id not in self.config.agents:
            raise NotFound("no such open contact or agent")
        return explain.one(self._index, self._need(contact), self._barred(contact), self.config.agents[agent_id])

    # -- obeying ------------------------------------------------------------------------------------------------

    def _message(self, command: commands.Message, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        if contact.state == "closed":
            raise InvalidState("the contact is closed", state=contact.state)
        self._tell(ev.MESSAGE_RECEIVED, contact, message_id=command.message_id, kind=command.kind)

    # -- contacts -----------------------------------------------------------------------------------------------

    def _receive(self, command: commands.Receive, _: Archive) -> None:
        self._check_queue(command.queue, "queue")
        tags = command.tags
        if tags is None:
            tags = tuple(TagRequest(each) for each in self._find_tags(command.text))
        names = frozenset(each.tag for each in tags)
        verdict = classify.judge(self._ordered_rules(), classify.Facts(command.channel, names, command.tier))
        tags += tuple(TagRequest(each) for each in verdict.tags)
        requirements = classify.requirements_of(tags, self.config.tags, self._now)
        self._emit(
            ev.CONTACT_RECEIVED,
            contact_id=command.contact_id,
            customer_id=command.customer_id,
            channel=command.channel,
            account=command.account,
            queue=command.queue or verdict.queue,
            priority=command.priority + verdict.priority,
            language=command.language,
            tags=[each.tag for each in tags],
            requirements=[requirement_json(each) for each in requirements],
            rules=list(verdict.rules),
        )

    def _cancel(self, command: commands.Cancel, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        if contact.state in ("closed", "wrap_up"):
            return
        assignment = self._current(contact)
        if assignment is not None and assignment.state == "active":
            self._end_active(assignment, "customer_left", resolved=None, disposition=None)
            return
        if assignment is not None:
            self._say(ev.OFFER_REVOKED, assignment, reason=command.reason)
        outcome = "abandoned" if command.reason == "abandoned" else "cancelled"
        self._close(contact, outcome, command.reason)

    def _transfer(self, command: commands.Transfer, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        assignment = self._current(contact)
        if assignment is None or contact.state != "active":
            raise InvalidState(f"a contact that is {contact.state} cannot be transferred", state=contact.state)
        if command.agent_id is not None and command.agent_id != assignment.agent_id:
            raise Forbidden("the contact is with another agent")
        queue, requirements, tags = contact.queue, contact.requirements, contact.tags
        self._check_queue(command.to_queue, "to.queue")
        queue = command.to_queue or queue
        if command.to_tags is not None:
            requirements = classify.requirements_of(command.to_tags, self.config.tags, self._now)
            tags = tuple(each.tag for each in command.to_tags)
        if command.to_agent_id is not None:
            self._check_target(command.to_agent_id, assignment)
        self._say(
            ev.CONTACT_TRANSFERRED,
            assignment,
            to=_target_json(command),
            reason=command.reason,
            by=command.by,
            queue=queue,
            tags=list(tags),
            requirements=[requirement_json(each) for each in requirements],
            target_agent_id=command.to_agent_id,
            barred_until=self._now + self._bar_ms(contact.queue),
        )

    def _check_target(self, agent_id: str, assignment: Assignment) -> None:
        target = self.state.agents.get(agent_id)
        if target is None:
            raise UnknownReference(f"there is no agent {agent_id!r}", field="to.agent_id")
        if agent_id == assignment.agent_id:
            raise InvalidState("the contact is with this agent already")
        if target.status != "available" or not target.connected:
            raise AgentUnavailable(f"agent {agent_id!r} is not available", agent_id=agent_id)
        if self.config.agents[agent_id].cost(assignment.channel) is None:
            raise AgentUnavailable(f"agent {agent_id!r} does not serve {assignment.channel}", agent_id=agent_id)

    def _reclassify(self, command: commands.Reclassify, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        if contact.state != "waiting":
            raise InvalidState(f"a contact that is {contact.state} cannot be reclassified", state=contact.state)
        self._check_queue(command.queue, "queue")
        tags, requirements = contact.tags, contact.requirements
        if command.tags is not None:
            tags = tuple(each.tag for each in command.tags)
            requirements = classify.requirements_of(command.tags, self.config.tags, self._now)
        self._say_reclassified(
            contact,
            reason="requested",
            queue=contact.queue if command.queue is None else command.queue,
            priority=contact.priority if command.priority is None else command.priority,
            tags=list(tags),
            requirements=[requirement_json(each) for each in requirements],
        )

    # -- assignments --------------------------------------------------------------------------------------------

    def _accept(self, command: commands.Accept, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "accept", "offered", archive)
        if assignment is not None:
            self._say(ev.CONTACT_ACTIVE, assignment)

    def _decline(self, command: commands.Decline, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "decline", "offered", archive)
        if assignment is not None:
            contact = self.state.contacts[assignment.contact_id]
            self._say(
                ev.OFFER_DECLINED,
                assignment,
                barred_until=self._now + self._bar_ms(contact.queue),
                reason=command.reason,
            )
            self._requeue(contact, "declined")

    def _complete(self, command: commands.Complete, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "complete", "active", archive)
        if assignment is not None:
            self._end_active(assignment, "completed", command.resolved, command.disposition)

    def _finish_wrap_up(self, command: commands.FinishWrapUp, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "wrap_up_done", "wrap_up", archive)
        if assignment is not None:
            self._finish(assignment)

    def _acted_on(
        self, assignment_id: str, agent_id: str | None, action: str, wanted: str, archive: Archive
    ) -> Assignment | None:
        """The assignment if the action is to be done now, None if it has been done already."""
        assignment = self.state.assignment(assignment_id) or archive.assignments.get(assignment_id)
        if assignment is None:
            raise NotFound("there is no such assignment")
        if agent_id is not None and assignment.agent_id != agent_id:
            raise Forbidden("the assignment is another agent's")
        if assignment.state == wanted:
            return assignment
        if assignment.state in _DONE[action]:
            return None
        if assignment.state in ("expired", "revoked"):
            raise OfferEnded(f"the offer was {assignment.state}", state=assignment.state)
        raise InvalidState(f"an assignment that is {assignment.state} cannot {action}", state=assignment.state)

    def _end_active(self, assignment: Assignment, outcome: str, resolved: bool | None, disposition: str | None) -> None:
        contact = self.state.contacts[assignment.contact_id]
        wrap_up_s = self._queue(contact.queue).wrap_up_s
        if wrap_up_s > 0:
            ends_at = self._now + wrap_up_s * 1000
            verdict = {"outcome": outcome, "resolved": resolved, "disposition": disposition}
            self._say(ev.ASSIGNMENT_WRAP_UP, assignment, ends_at=ends_at, **verdict)
        else:
            self._say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=resolved, disposition=disposition)
            self._close(contact, outcome, None)

    def _finish(self, assignment: Assignment) -> None:
        contact = self.state.contacts[assignment.contact_id]
        outcome, verdict = assignment.outcome, {"resolved": assignment.resolved, "disposition": assignment.disposition}
        assert outcome is not None
        self._say(ev.ASSIGNMENT_COMPLETED, assignment, **verdict)
        self._close(contact, outcome, None)

    # -- presence -----------------------------------------------------------------------------------------------

    def _set_presence(self, command: commands.SetPresence, _: Archive) -> None:
        agent = self._agent(command.agent_id)
        lease_s = None if agent.session is not None or command.status == "offline" else command.lease_s
        if lease_s is not None:
            self._lease_until[agent.id] = self._now + lease_s * 1000
        else:
            self._lease_until.pop(agent.id, None)
        wanted = (command.status, command.reason, lease_s)
        if wanted == (agent.status, agent.reason, agent.lease_s) and agent.grace_until is None:
            self._look_at_agent(agent.id)
            return
        self._say_presence(
            agent,
            status=command.status,
            reason=command.reason,
            lease_s=lease_s,
            grace_until=self._grace(agent, lease_s),
        )
        if command.status != "available":
            self._return_offers(agent, command.status)

    def _connect(self, command: commands.Connect, _: Archive) -> None:
        agent = self._agent(command.agent_id)
        self._lease_until.pop(agent.id, None)
        self._say_presence(agent, session=command.session, lease_s=None, grace_until=None)

    def _grace(self, agent: Agent, lease_s: int | None) -> int | None:
        """Nobody is there, but contacts are: the time from which they count as left behind."""
        if agent.session is not None or lease_s is not None or not agent.open:
            return None
        return agent.grace_until or self._now + self.config.settings.presence_grace_s * 1000

    def _disconnect(self, command: commands.Disconnect, _: Archive) -> None:
        agent = self.state.agents.get(command.agent_id)
        if agent is None or agent.session != command.session:
            return
        idle = agent.status == "offline" and not agent.open
        grace_until = None if idle else self._now + self.config.settings.presence_grace_s * 1000
        self._say_presence(agent, session=None, grace_until=grace_until)

    def _lost(self, agent: Agent, reason: str) -> None:
        """The agent is gone for good: what it was offered goes back, what it held follows the channel's policy."""
        self._say_presence(agent, status="offline", reason=reason, session=None, lease_s=None, grace_until=None)
        self._lease_until.pop(agent.id, None)
        self._return_offers(agent, "agent_lost")
        for assignment in _in_order(agent):
            contact = self.state.contacts[assignment.contact_id]
            if assignment.state == "wrap_up":
                self._finish(assignment)
            elif self.config.settings.lost_policy(assignment.channel) == "requeue":
                self._say(ev.ASSIGNMENT_LOST, assignment, reason=reason)
                self._requeue(contact, "agent_lost")

    def _return_offers(self, agent: Agent, reason: str) -> None:
        for assignment in _in_order(agent):
            if assignment.state == "offered":
                self._say(ev.OFFER_REVOKED, assignment, reason=reason)
                self._requeue(self.state.contacts[assignment.contact_id], reason)
        for contact in self._targeted_at(agent.id):
            self._say_reclassified(contact, reason="target_unavailable", target_agent_id=None)

    def _restart(self, command: commands.Restart, _: Archive) -> None:
        """Sockets of the process before are gone, and nobody is punished for the hand-over."""
        grace_until = self._now + self.config.settings.presence_grace_s * 1000
        for agent in sorted(self.state.agents.values(), key=lambda each: each.id):
            if agent.session in command.live:
                continue
            if agent.session is not None or agent.grace_until is not None:
                self._say_presence(agent, session=None, grace_until=grace_until)
            if agent.lease_s is not None:
                self._lease_until[agent.id] = self._now + agent.lease_s * 1000
                self._look_at_agent(agent.id)
        for assignment in self.state.assignments.values():
            if assignment.state == "offered":
                self._offer_floor[assignment.id] = self._now + OFFER_FLOOR_MS
                self._look_at_assignment(assignment)

    # -- time ---------------------------------------------------------------------------------------------------

    def _tick(self, command: commands.Tick, _: Archive) -> None:
        for _item in range(command.items_max):
            due = self._timers.pop(self._now)
            if due is None:
                return
            kind, entity_id = due
            if kind == "contact":
                self._contact_due(self.state.contacts[entity_id])
            elif kind == "assignment":
                self._assignment_due(self.state.assignments[entity_id])
            else:
                self._agent_due(self.state.agents[entity_id])

    def _contact_due(self, contact: Contact) -> None:
        lapsed = [each for each in contact.requirements if each.lapses_at is not None and each.lapses_at <= self._now]
        if lapsed and contact.state == "waiting":
            left = [requirement_json(each) for each in contact.requirements if each not in lapsed]
            self._say_reclassified(contact, reason="requirement_lapsed", requirements=left)
        within_ms = self._queue(contact.queue).within_s * 1000
        waited = self._now - contact.created_at
        if contact.answered_at is None and contact.sla_stage < 1 and waited >= within_ms * SLA_WARNING_SHARE:
            self._tell(ev.SLA_WARNING, contact, queue=contact.queue, waited_s=waited // 1000)
        if contact.answered_at is None and contact.sla_stage == 1 and waited >= within_ms:
            self._tell(ev.SLA_BREACHED, contact, queue=contact.queue, waited_s=waited // 1000)
        if contact.state == "waiting":
            self._new_contacts[contact.id] = None
        self._look_at_contact(contact)

    def _assignment_due(self, assignment: Assignment) -> None:
        if assignment.state == "wrap_up":
            self._finish(assignment)
            return
        contact, agent = self.state.contacts[assignment.contact_id], self.state.agents[assignment.agent_id]
        self._say(ev.OFFER_EXPIRED, assignment, barred_until=self._now + self._bar_ms(contact.queue))
        self._requeue(contact, "offer_expired")
        if agent.status == "available" and agent.misses >= self.config.settings.missed_offers_max:
            self._say_presence(agent, status="away", reason="missed_offers")
            self._return_offers(agent, "missed_offers")

    def _agent_due(self, agent: Agent) -> None:
        lease_until = self._lease_until.get(agent.id)
        if lease_until is not None and lease_until <= self._now:
            self._lost(agent, "lease_expired")
        elif agent.grace_until is not None and agent.grace_until <= self._now:
            self._lost(agent, "connection_lost")

    # -- configuration ------------------------------------------------------------------------------------------

    def _put_agent(self, command: commands.PutAgent, _: Archive) -> None:
        self.config.agents[command.config.id] = command.config
        self._emit(ev.AGENT_UPDATED, agent_id=command.config.id)

    def _delete_agent(self, command: commands.DeleteAgent, _: Archive) -> None:
        agent = self._agent(command.agent_id)
        if agent.open:
            held = sorted(each.contact_id for each in agent.open.values())
            raise AgentBusy("the agent still holds contacts", contacts=held)
        for contact in self._targeted_at(agent.id):
            self._say_reclassified(contact, reason="target_unavailable", target_agent_id=None)
        del self.config.agents[agent.id]
        self._lease_until.pop(agent.id, None)
        self._emit(ev.AGENT_DELETED, agent_id=agent.id)

    def _put_queue(self, command: commands.PutQueue, _: Archive) -> None:
        self.config.queues[command.config.name] = command.config
        self._emit("queue.updated", name=command.config.name)
        for contact in self._contacts_in(command.config.name):
            self._look_at_contact(contact)

    def _put_tag(self, command: commands.PutTag, _: Archive) -> None:
        tags = self.config.tags | {command.config.name: command.config}
        self._finder = TagFinder(tags)
        self.config.tags = tags
        self._emit("tag.updated", name=command.config.name)

    def _put_rule(self, command: commands.PutRule, _: Archive) -> None:
        self._check_queue(command.config.queue, "queue")
        self.config.rules[command.config.name] = command.config
        self._rules = None
        self._emit("rule.updated", name=command.config.name)

    def _put_settings(self, command: commands.PutSettings, _: Archive) -> None:
        self.config.settings = command.settings
        self._emit("settings.updated", name="settings")

    def _note(self, command: commands.Note, _: Archive) -> None:
        self._emit(command.type, customer_id=command.customer_id, name=command.name)

    def _checkpoint(self, _command: commands.Checkpoint, _: Archive) -> None:
        self._emit(ev.CHECKPOINT, state_hash=f"{self.state.hash:016x}")

    def _delete_named(self, command: commands.DeleteNamed, _: Archive) -> None:
        kinds: dict[str, dict[str, Any]] = {
            "queue": self.config.queues,
            "tag": self.config.tags,
            "rule": self.config.rules,
        }
        kept = kinds[command.kind]
        if command.name not in kept:
            raise NotFound(f"there is no {command.kind} {command.name!r}")
        if command.kind == "queue":
            self._check_unused(command.name)
        del kept[command.name]
        self._finder, self._rules = None, None
        self._emit(f"{command.kind}.deleted", name=command.name)

    def _check_unused(self, queue: str) -> None:
        if queue == DEFAULT_QUEUE:
            raise InUse("the default queue stays")
        if any(rule.queue == queue for rule in self.config.rules.values()):
            raise InUse("a rule names this queue")
        if next(self._contacts_in(queue), None) is not None:
            raise InUse("the queue still has open contacts")

    # -- matching -----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Match whatever can be matched, smallest rank first, and say of what cannot that it waits."""
        if not self._new_contacts and not self._new_agents:
            return
        fresh = (self.state.contacts[each] for each in self._new_contacts if each in self.state.contacts)
        queue = deque(sorted((each for each in fresh if each.state == "waiting"), key=_key))
        self._new_contacts = {}
        while queue or self._new_agents:
            best = self._next_for_free_agents()
            if queue and (best is None or queue[0].key <= best):
                contact = queue.popleft()
                if contact.state == "waiting":
                    self._match(contact)
            elif best is not None:
                matched = self._match(self.state.contacts[best[1]])
                assert matched, "the index offers an agent a contact that it cannot take"
        self._new_contacts = {}

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
        for waiting in self._index.heads(agent_id):
            for key in waiting:
                if best is not None and key >= best:
                    break
                if agent_id not in self._barred(self.state.contacts[key[1]]):
                    best = key
                    break
        return best

    def _match(self, contact: Contact) -> bool:
        """Offer a waiting contact to the best agent, if there is one. What was asked for and why is kept as a trace."""
        signature = self._index.signature(self._need(contact))
        barred = self._barred(contact)
        found = self._index.candidates(signature, barred, explain.RUNNERS_UP_MAX + 1)
        if not found and contact.id not in self._told:
            return False  # it waited before and waits on: nothing new to explain
        context = {"queue": contact.queue, "rank": contact.rank, "at": self._now, "tags": list(contact.tags)}
        trace = explain.trace(self._index, signature, found, barred, context=context)
        if found:
            self._offer(contact, found[0].agent_id)
        elif self._told[contact.id] == ev.CONTACT_RECEIVED:
            self._emit(ev.CONTACT_WAITING, contact_id=contact.id, customer_id=contact.customer_id, queue=contact.queue)
        self._decision.traces.append((contact.id, self.state.seq, trace))
        return bool(found)

    def _offer(self, contact: Contact, agent_id: str) -> None:
        config = self.config.agents[agent_id]
        cost = config.cost(contact.channel)
        assert cost is not None
        self._flow.setdefault(contact.queue, deque(maxlen=FLOW_DEPARTURES)).append(self._now)
        self._emit(
            ev.CONTACT_OFFERED,
            contact_id=contact.id,
            agent_id=agent_id,
            customer_id=contact.customer_id,
            assignment_id=self._new_id(),
            channel=contact.channel,
            cost=cost,
            expires_at=self._now + self._queue(contact.queue).offer_timeout_s * 1000,
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

    def _need(self, contact: Contact) -> Need:
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
            language=contact.language,
            teams=self._queue(contact.queue).teams,
        )

    def _barred(self, contact: Contact) -> Mapping[str, int]:
        if not contact.bars:
            return contact.bars
        return {agent_id: until for agent_id, until in contact.bars.items() if until > self._now}

    # -- saying -------------------------------------------------------------------------------------------------

    def _emit(
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
        event = Event(self.state.seq + 1, kind, self._now, contact_id, agent_id, customer_id, data)
        self._decision.events.append(event)
        self.state.apply(event)
        if contact_id is not None:
            contact = self.state.contact(contact_id)
            assert contact is not None
            self._told[contact_id] = kind
            self._look_at_contact(contact)
        assignment_id = data.get("assignment_id")
        if assignment_id is not None:
            assignment = self.state.assignment(str(assignment_id))
            assert assignment is not None
            self._look_at_assignment(assignment)
        if agent_id is not None:
            self._look_at_agent(agent_id)

    def _say(self, kind: str, assignment: Assignment, /, **data: Any) -> None:
        """An event of an assignment: it names the contact, the agent and the customer."""
        contact = self.state.contact(assignment.contact_id)
        assert contact is not None
        self._emit(
            kind,
            contact_id=contact.id,
            agent_id=assignment.agent_id,
            customer_id=contact.customer_id,
            assignment_id=assignment.id,
            **data,
        )

    def _tell(self, kind: str, contact: Contact, /, **data: Any) -> None:
        """An event of a contact that concerns its holder, if it has one."""
        assignment = self._current(contact)
        agent_id = assignment.agent_id if assignment is not None else None
        self._emit(kind, contact_id=contact.id, agent_id=agent_id, customer_id=contact.customer_id, **data)

    def _close(self, contact: Contact, outcome: str, reason: str | None) -> None:
        self._emit(
            ev.CONTACT_CLOSED, contact_id=contact.id, customer_id=contact.customer_id, outcome=outcome, reason=reason
        )

    def _requeue(self, contact: Contact, reason: str) -> None:
        """Back to the queue at its old rank. A contact that was meant for one agent is now for all that fit."""
        self._emit(ev.CONTACT_REQUEUED, contact_id=contact.id, customer_id=contact.customer_id, reason=reason)
        if contact.target_agent_id is not None:
            self._say_reclassified(contact, reason="target_unavailable", target_agent_id=None)

    def _say_reclassified(self, contact: Contact, *, reason: str, **changed: Any) -> None:
        values: dict[str, Any] = {
            "queue": contact.queue,
            "priority": contact.priority,
            "tags": list(contact.tags),
            "requirements": [requirement_json(each) for each in contact.requirements],
            "target_agent_id": contact.target_agent_id,
        }
        self._emit(
            ev.CONTACT_RECLASSIFIED,
            contact_id=contact.id,
            customer_id=contact.customer_id,
            **(values | changed),
            reason=reason,
        )

    def _say_presence(self, agent: Agent, **changed: Any) -> None:
        values: dict[str, Any] = {
            "status": agent.status,
            "reason": agent.reason,
            "session": agent.session,
            "lease_s": agent.lease_s,
            "grace_until": agent.grace_until,
        } | changed
        connected = values["session"] is not None or values["lease_s"] is not None
        self._emit(ev.AGENT_PRESENCE, agent_id=agent.id, **values, connected=connected)

    # -- looking: from the state to the index and the timers ----------------------------------------------------

    def _look_at_contact(self, contact: Contact) -> None:
        if contact.state == "waiting":
            if self._index.put_waiting(contact.key, self._need(contact), contact.queue):
                self._new_contacts[contact.id] = None
        else:
            self._index.remove_waiting(contact.id)
        waits = contact.state in ("waiting", "offered")
        self._timers.set("contact", contact.id, self._contact_deadline(contact) if waits else None)

    def _contact_deadline(self, contact: Contact) -> int | None:
        due: list[int] = []
        if contact.answered_at is None and contact.sla_stage < 2:  # noqa: PLR2004  # 2: breached
            share = SLA_WARNING_SHARE if contact.sla_stage == 0 else 1
            due.append(contact.created_at + int(self._queue(contact.queue).within_s * 1000 * share))
        if contact.state == "waiting":
            due.extend(until for until in contact.bars.values() if until > self._now)
            due.extend(each.lapses_at for each in contact.requirements if each.lapses_at is not None)
        return min(due, default=None)

    def _look_at_assignment(self, assignment: Assignment) -> None:
        due: int | None = None
        if assignment.state == "offered":
            due = max(assignment.expires_at, self._offer_floor.get(assignment.id, 0))
        elif assignment.state == "wrap_up":
            due = assignment.ends_at
        if assignment.state != "offered":
            self._offer_floor.pop(assignment.id, None)
        self._timers.set("assignment", assignment.id, due)

    def _look_at_agent(self, agent_id: str) -> None:
        agent, config = self.state.agents.get(agent_id), self.config.agents.get(agent_id)
        if agent is None or config is None:
            self._index.remove_agent(agent_id)
            self._timers.set("agent", agent_id, None)
            self._new_agents.discard(agent_id)
            self._abilities.pop(agent_id, None)
            return
        status = "disconnected" if agent.status == "available" and not agent.connected else agent.status
        free = _free_channels(agent, config) if status == "available" else ()
        if self._index.put_agent(agent_id, self._ability(config), status, agent.idle_since, free):
            self._new_agents.add(agent_id)
        lease_until = self._lease_until.get(agent_id)
        deadlines = [each for each in (agent.grace_until, lease_until) if each is not None]
        self._timers.set("agent", agent_id, min(deadlines, default=None))

    def _ability(self, config: AgentConfig) -> Ability:
        known = self._abilities.get(config.id)
        if known is None or known[0] is not config:
            known = self._abilities[config.id] = (config, Ability.of(config))
        return known[1]

    # -- finding ------------------------------------------------------------------------------------------------

    def _agent(self, agent_id: str) -> Agent:
        agent = self.state.agents.get(agent_id)
        if agent is None:
            raise NotFound(f"there is no agent {agent_id!r}")
        return agent

    def _check_queue(self, name: str | None, field_name: str) -> None:
        if name is not None and name not in self.config.queues:
            raise UnknownReference(f"there is no queue {name!r}", field=field_name)

    def _known_contact(self, contact_id: str, archive: Archive) -> Contact:
        contact = self.state.contact(contact_id) or archive.contacts.get(contact_id)
        if contact is None:
            raise NotFound("there is no such contact")
        return contact

    def _current(self, contact: Contact) -> Assignment | None:
        return None if contact.assignment_id is None else self.state.assignments.get(contact.assignment_id)

    def _contacts_in(self, queue: str) -> Iterator[Contact]:
        return (each for each in list(self.state.contacts.values()) if each.queue == queue)

    def _targeted_at(self, agent_id: str) -> list[Contact]:
        return [self.state.contacts[contact_id] for _, contact_id in self._index.targeted_at(agent_id)]

    def _queue(self, name: str) -> QueueConfig:
        return self.config.queues.get(name) or self.config.queues[DEFAULT_QUEUE]

    def _bar_ms(self, queue: str) -> int:
        own = self._queue(queue).reoffer_after_s
        return (self.config.settings.reoffer_after_s if own is None else own) * 1000

    def _ordered_rules(self) -> Iterable[RuleConfig]:
        if self._rules is None:
            self._rules = sorted(self.config.rules.values(), key=lambda each: (each.order, each.name))
        return self._rules

    def _find_tags(self, text: str | None) -> tuple[str, ...]:
        if not text:
            return ()
        if self._finder is None:
            self._finder = TagFinder(self.config.tags)
        return self._finder.find(text)


_HANDLERS: Final[dict[type, Callable[[Engine, Any, Archive], None]]] = {
    commands.Receive: Engine._receive,
    commands.Message: Engine._message,
    commands.Accept: Engine._accept,
    commands.Decline: Engine._decline,
    commands.Complete: Engine._complete,
    commands.FinishWrapUp: Engine._finish_wrap_up,
    commands.Cancel: Engine._cancel,
    commands.Transfer: Engine._transfer,
    commands.Reclassify: Engine._reclassify,
    commands.SetPresence: Engine._set_presence,
    commands.Connect: Engine._connect,
    commands.Disconnect: Engine._disconnect,
    commands.Restart: Engine._restart,
    commands.Tick: Engine._tick,
    commands.PutAgent: Engine._put_agent,
    commands.DeleteAgent: Engine._delete_agent,
    commands.PutQueue: Engine._put_queue,
    commands.PutTag: Engine._put_tag,
    commands.PutRule: Engine._put_rule,
    commands.PutSettings: Engine._put_settings,
    commands.DeleteNamed: Engine._delete_named,
    commands.Note: Engine._note,
    commands.Checkpoint: Engine._checkpoint,
}
"""Which method obeys which command."""


def _free_channels(agent: Agent, config: AgentConfig) -> tuple[str, ...]:
    if config.channels is None:
        return () if agent.open else (ANY_CHANNEL,)
    left = config.capacity - agent.load
    return tuple(
        channel for channel, limit in config.channels.items() if limit.cost <= left and agent.count(channel) < limit.max
    )


def _in_order(agent: Agent) -> list[Assignment]:
    return [agent.open[each] for each in sorted(agent.open)]


def _key(contact: Contact) -> ContactKey:
    return contact.key


def _target_json(command: commands.Transfer) -> dict[str, Any]:
    if command.to_agent_id is not None:
        return {"agent_id": command.to_agent_id}
    if command.to_queue is not None:
        return {"queue": command.to_queue}
    return {"tags": [each.tag for each in command.to_tags or ()]}
