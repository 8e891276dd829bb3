"""The engine of one tenant: `decide(command, now)` gives events. No clock, no randomness, no I/O.

Each event is applied as soon as it is decided, because what follows in the same decision depends on it; nothing but
`State.apply` changes the state. Whoever cannot commit the events throws the engine away and loads another.

Matching is level-triggered: commands only say what is so, and after every one the board asks the state who can be
matched now. Between two commands there is no waiting contact that a free, fitting agent could take.
"""

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
from src.router.board import Board, Config, Decision
from src.router.model import (
    DEFAULT_QUEUE,
    RuleConfig,
    TagRequest,
)
from src.router.state import Agent, Assignment, Contact, State, requirement_json
from src.router.tagging import TagFinder

OFFER_FLOOR_MS: Final = 5_000
"""After a restart, an offer lives at least this long."""

_DONE: Final = {
    "accept": frozenset({"active", "wrap_up", "completed"}),
    "decline": frozenset({"declined"}),
    "complete": frozenset({"wrap_up", "completed"}),
    "wrap_up_done": frozenset({"completed"}),
}
"""States in which an action on an assignment has been done already: the repeat is answered, nothing happens."""


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
        self._board = Board(new_id, self.config, self.state)
        self._finder: TagFinder | None = None
        self._rules: list[RuleConfig] | None = None

    # -- asking -------------------------------------------------------------------------------------------------

    def decide(self, command: commands.Command, now: int, archive: Archive = _NOTHING) -> Decision:
        """Answer one command. `now` in milliseconds; if it lies before the last event, that event's time counts.

        Raises:
            Refused: a subclass with a stable code; then nothing has happened.
        """
        self._board.begin(now)
        _HANDLERS[type(command)](self, command, archive)
        self._board.settle()
        return self._board.decision

    def next_due(self) -> int | None:
        """When `Tick` next has something to do, in milliseconds since the epoch."""
        return self._board.timers.next_due()

    def position(self, contact_id: str) -> int | None:
        """The contact's place in its queue, from 1; None unless waiting."""
        return self._board.index.position(contact_id)

    def estimated_wait_s(self, contact_id: str) -> int | None:
        """Seconds until a waiting contact is likely offered; None if unknown, or not waiting."""
        contact = self.state.contacts.get(contact_id)
        return None if contact is None else self._board.estimated_wait_s(contact)

    def lease_expires_at(self, agent_id: str) -> int | None:
        """When a lease taken without a socket ends, in milliseconds since the epoch."""
        return self._board.lease_until.get(agent_id)

    def leases(self) -> dict[str, int]:
        """When each lease taken without a socket ends: what a reload by the same process takes over."""
        return dict(self._board.lease_until)

    def explain(self, contact_id: str, agent_id: str) -> str:
        """Why this agent is or is not a candidate for this waiting contact now: `fits`, or a reason's code."""
        contact = self.state.contacts.get(contact_id)
        if contact is None or agent_id not in self.config.agents:
            raise NotFound("no such open contact or agent")
        return explain.one(
            self._board.index, self._board.need(contact), self._board.barred(contact), self.config.agents[agent_id]
        )

    # -- obeying ------------------------------------------------------------------------------------------------

    def _message(self, command: commands.Message, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        if contact.state in ("wrap_up", "closed"):
            raise InvalidState(f"a contact that is {contact.state} takes no messages", state=contact.state)
        self._board.tell(ev.MESSAGE_RECEIVED, contact, message_id=command.message_id, kind=command.kind)

    # -- contacts -----------------------------------------------------------------------------------------------

    def _receive(self, command: commands.Receive, _: Archive) -> None:
        self._check_queue(command.queue, "queue")
        tags = command.tags
        if tags is None:
            tags = tuple(TagRequest(each) for each in self._find_tags(command.text))
        names = frozenset(each.tag for each in tags)
        verdict = classify.judge(self._ordered_rules(), classify.Facts(command.channel, names, command.tier))
        tags += tuple(TagRequest(each) for each in verdict.tags)
        requirements = classify.requirements_of(tags, self.config.tags, self._board.now)
        self._board.emit(
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
        assignment = self._board.current(contact)
        if assignment is not None and assignment.state == "active":
            self._end_active(assignment, "customer_left", resolved=None, disposition=None)
            return
        if assignment is not None:
            self._board.say(ev.OFFER_REVOKED, assignment, reason=command.reason)
        outcome = "abandoned" if command.reason == "abandoned" else "cancelled"
        self._board.close(contact, outcome, command.reason)

    def _transfer(self, command: commands.Transfer, archive: Archive) -> None:
        contact = self._known_contact(command.contact_id, archive)
        assignment = self._board.current(contact)
        if command.agent_id is not None and (assignment is None or command.agent_id != assignment.agent_id):
            raise Forbidden("the contact is not with this agent")
        if assignment is None or contact.state != "active":
            raise InvalidState(f"a contact that is {contact.state} cannot be transferred", state=contact.state)
        queue, requirements, tags = contact.queue, contact.requirements, contact.tags
        self._check_queue(command.to_queue, "to.queue")
        queue = command.to_queue or queue
        if command.to_tags is not None:
            requirements = classify.requirements_of(command.to_tags, self.config.tags, self._board.now)
            tags = tuple(each.tag for each in command.to_tags)
        if command.to_agent_id is not None:
            self._check_target(command.to_agent_id, assignment)
        self._board.say(
            ev.CONTACT_TRANSFERRED,
            assignment,
            to=_target_json(command),
            reason=command.reason,
            by=command.by,
            queue=queue,
            tags=list(tags),
            requirements=[requirement_json(each) for each in requirements],
            target_agent_id=command.to_agent_id,
            barred_until=self._board.now + self._board.bar_ms(contact.queue),
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
            requirements = classify.requirements_of(command.tags, self.config.tags, self._board.now)
        self._board.say_reclassified(
            contact,
            reason="requested",
            queue=contact.queue if command.queue is None else command.queue,
            priority=contact.priority if command.priority is None else command.priority,
            tags=list(tags),
            requirements=[requirement_json(each) for each in requirements],
            target_agent_id=contact.target_agent_id if command.tags is None and command.queue is None else None,
        )

    # -- assignments --------------------------------------------------------------------------------------------

    def _accept(self, command: commands.Accept, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "accept", "offered", archive)
        if assignment is not None:
            self._board.say(ev.CONTACT_ACTIVE, assignment)

    def _decline(self, command: commands.Decline, archive: Archive) -> None:
        assignment = self._acted_on(command.assignment_id, command.agent_id, "decline", "offered", archive)
        if assignment is not None:
            contact = self.state.contacts[assignment.contact_id]
            self._board.say(
                ev.OFFER_DECLINED,
                assignment,
                barred_until=self._board.now + self._board.bar_ms(contact.queue),
                reason=command.reason,
            )
            self._board.requeue(contact, "declined")

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
        wrap_up_s = self._board.queue(contact.queue).wrap_up_s
        if wrap_up_s > 0:
            ends_at = self._board.now + wrap_up_s * 1000
            verdict = {"outcome": outcome, "resolved": resolved, "disposition": disposition}
            self._board.say(ev.ASSIGNMENT_WRAP_UP, assignment, ends_at=ends_at, **verdict)
        else:
            self._board.say(ev.ASSIGNMENT_COMPLETED, assignment, resolved=resolved, disposition=disposition)
            self._board.close(contact, outcome, None)

    def _finish(self, assignment: Assignment) -> None:
        contact = self.state.contacts[assignment.contact_id]
        outcome, verdict = assignment.outcome, {"resolved": assignment.resolved, "disposition": assignment.disposition}
        assert outcome is not None
        self._board.say(ev.ASSIGNMENT_COMPLETED, assignment, **verdict)
        self._board.close(contact, outcome, None)

    # -- presence -----------------------------------------------------------------------------------------------

    def _set_presence(self, command: commands.SetPresence, _: Archive) -> None:
        agent = self._agent(command.agent_id)
        lease_s = None if agent.session is not None or command.status == "offline" else command.lease_s
        if lease_s is not None:
            self._board.lease_until[agent.id] = self._board.now + lease_s * 1000
        else:
            self._board.lease_until.pop(agent.id, None)
        wanted = (command.status, command.reason, lease_s)
        if wanted == (agent.status, agent.reason, agent.lease_s) and agent.grace_until is None:
            self._board.look_at_agent(agent.id)
            return
        self._board.say_presence(
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
        self._board.lease_until.pop(agent.id, None)
        self._board.say_presence(agent, session=command.session, lease_s=None, grace_until=None)

    def _grace(self, agent: Agent, lease_s: int | None) -> int | None:
        """Nobody is there, but contacts are: the time from which they count as left behind."""
        if agent.session is not None or lease_s is not None or not agent.open:
            return None
        return agent.grace_until or self._board.now + self.config.settings.presence_grace_s * 1000

    def _disconnect(self, command: commands.Disconnect, _: Archive) -> None:
        agent = self.state.agents.get(command.agent_id)
        if agent is None or agent.session != command.session:
            return
        idle = agent.status == "offline" and not agent.open
        grace_until = None if idle else self._board.now + self.config.settings.presence_grace_s * 1000
        self._board.say_presence(agent, session=None, grace_until=grace_until)

    def _lost(self, agent: Agent, reason: str) -> None:
        """The agent is gone for good: what it was offered goes back, what it held follows the channel's policy."""
        self._board.say_presence(agent, status="offline", reason=reason, session=None, lease_s=None, grace_until=None)
        self._board.lease_until.pop(agent.id, None)
        self._return_offers(agent, "agent_lost")
        for assignment in _in_order(agent):
            contact = self.state.contacts[assignment.contact_id]
            if assignment.state == "wrap_up":
                self._finish(assignment)
            elif self.config.settings.lost_policy(assignment.channel) == "requeue":
                self._board.say(ev.ASSIGNMENT_LOST, assignment, reason=reason)
                self._board.requeue(contact, "agent_lost")

    def _return_offers(self, agent: Agent, reason: str) -> None:
        for assignment in _in_order(agent):
            if assignment.state == "offered":
                self._board.say(ev.OFFER_REVOKED, assignment, reason=reason)
                self._board.requeue(self.state.contacts[assignment.contact_id], reason)
        for contact in self._targeted_at(agent.id):
            self._board.say_reclassified(contact, reason="target_unavailable", target_agent_id=None)

    def _restart(self, command: commands.Restart, _: Archive) -> None:
        """Sockets that are gone begin their grace; nobody is punished for a hand-over, and nobody gains by a reload."""
        board, handed_over = self._board, command.leases is None
        grace_until = board.now + self.config.settings.presence_grace_s * 1000
        for agent in sorted(self.state.agents.values(), key=lambda each: each.id):
            if agent.lease_s is not None:
                known = None if command.leases is None else command.leases.get(agent.id)
                board.lease_until[agent.id] = board.now + agent.lease_s * 1000 if known is None else known
                board.look_at_agent(agent.id)
            if agent.session is not None and agent.session not in command.live:
                board.say_presence(agent, session=None, grace_until=grace_until)
            elif agent.grace_until is not None and handed_over:
                board.say_presence(agent, grace_until=grace_until)
        for assignment in self.state.assignments.values():
            if assignment.state == "offered" and handed_over:
                board.offer_floor[assignment.id] = board.now + OFFER_FLOOR_MS
                board.look_at_assignment(assignment)

    # -- time ---------------------------------------------------------------------------------------------------

    def _tick(self, command: commands.Tick, _: Archive) -> None:
        for _item in range(command.items_max):
            due = self._board.timers.pop(self._board.now)
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
        now = self._board.now
        lapsed = [each for each in contact.requirements if each.lapses_at is not None and each.lapses_at <= now]
        if lapsed and contact.state == "waiting":
            left = [requirement_json(each) for each in contact.requirements if each not in lapsed]
            self._board.say_reclassified(contact, reason="requirement_lapsed", requirements=left)
        while (late_at := self._board.sla_due_at(contact)) is not None and late_at <= now:
            kind = ev.SLA_WARNING if contact.sla_stage == 0 else ev.SLA_BREACHED
            self._board.tell(kind, contact, queue=contact.queue, waited_s=(now - contact.created_at) // 1000)
        if contact.state == "waiting":
            self._board.new_contacts[contact.id] = None
        self._board.look_at_contact(contact)

    def _assignment_due(self, assignment: Assignment) -> None:
        if assignment.state == "wrap_up":
            self._finish(assignment)
            return
        contact, agent = self.state.contacts[assignment.contact_id], self.state.agents[assignment.agent_id]
        self._board.say(ev.OFFER_EXPIRED, assignment, barred_until=self._board.now + self._board.bar_ms(contact.queue))
        self._board.requeue(contact, "offer_expired")
        if agent.status == "available" and agent.misses >= self.config.settings.missed_offers_max:
            self._board.say_presence(agent, status="away", reason="missed_offers")
            self._return_offers(agent, "missed_offers")

    def _agent_due(self, agent: Agent) -> None:
        lease_until = self._board.lease_until.get(agent.id)
        if lease_until is not None and lease_until <= self._board.now:
            self._lost(agent, "lease_expired")
        elif agent.grace_until is not None and agent.grace_until <= self._board.now:
            self._lost(agent, "connection_lost")

    # -- configuration ------------------------------------------------------------------------------------------

    def _put_agent(self, command: commands.PutAgent, _: Archive) -> None:
        self.config.agents[command.config.id] = command.config
        self._board.emit(ev.AGENT_UPDATED, agent_id=command.config.id)
        for contact in self._targeted_at(command.config.id):
            if command.config.cost(contact.channel) is None:
                self._board.say_reclassified(contact, reason="target_unavailable", target_agent_id=None)

    def _delete_agent(self, command: commands.DeleteAgent, _: Archive) -> None:
        agent = self._agent(command.agent_id)
        if agent.open:
            held = sorted(each.contact_id for each in agent.open.values())
            raise AgentBusy("the agent still holds contacts", contacts=held)
        for contact in self._targeted_at(agent.id):
            self._board.say_reclassified(contact, reason="target_unavailable", target_agent_id=None)
        del self.config.agents[agent.id]
        self._board.lease_until.pop(agent.id, None)
        self._board.emit(ev.AGENT_DELETED, agent_id=agent.id)

    def _put_queue(self, command: commands.PutQueue, _: Archive) -> None:
        self.config.queues[command.config.name] = command.config
        self._board.emit("queue.updated", name=command.config.name)
        for contact in self._contacts_in(command.config.name):
            self._board.look_at_contact(contact)

    def _put_tag(self, command: commands.PutTag, _: Archive) -> None:
        tags = self.config.tags | {command.config.name: command.config}
        self._finder = TagFinder(tags)
        self.config.tags = tags
        self._board.emit("tag.updated", name=command.config.name)

    def _put_rule(self, command: commands.PutRule, _: Archive) -> None:
        self._check_queue(command.config.queue, "queue")
        self.config.rules[command.config.name] = command.config
        self._rules = None
        self._board.emit("rule.updated", name=command.config.name)

    def _put_settings(self, command: commands.PutSettings, _: Archive) -> None:
        self.config.settings = command.settings
        self._board.emit("settings.updated", name="settings")

    def _note(self, command: commands.Note, _: Archive) -> None:
        self._board.emit(command.type, customer_id=command.customer_id, name=command.name)

    def _checkpoint(self, _command: commands.Checkpoint, _: Archive) -> None:
        self._board.emit(ev.CHECKPOINT, state_hash=f"{self.state.hash:016x}")

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
        self._board.emit(f"{command.kind}.deleted", name=command.name)

    def _check_unused(self, queue: str) -> None:
        if queue == DEFAULT_QUEUE:
            raise InUse("the default queue stays")
        if any(rule.queue == queue for rule in self.config.rules.values()):
            raise InUse("a rule names this queue")
        if next(self._contacts_in(queue), None) is not None:
            raise InUse("the queue still has open contacts")

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

    def _contacts_in(self, queue: str) -> Iterator[Contact]:
        return (each for each in list(self.state.contacts.values()) if each.queue == queue)

    def _targeted_at(self, agent_id: str) -> list[Contact]:
        return [self.state.contacts[contact_id] for _, contact_id in self._board.index.targeted_at(agent_id)]

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


def _in_order(agent: Agent) -> list[Assignment]:
    return [agent.open[each] for each in sorted(agent.open)]


def _target_json(command: commands.Transfer) -> dict[str, Any]:
    if command.to_agent_id is not None:
        return {"agent_id": command.to_agent_id}
    if command.to_queue is not None:
        return {"queue": command.to_queue}
    return {"tags": [each.tag for each in command.to_tags or ()]}
