"""The board of one tenant: its state, index and timers. It emits events, folds them, and looks again at what they name.

`look_at_…` carry what is so in the state over to the index and the timers; they compare and never assume. What an event
names is only noted; `look` goes over the notes before the index is asked anything.

What it must not do: know a command, refuse one, or choose an agent. Those are the handlers' and the matching's.
"""

from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, Final

from src.router import events as ev
from src.router import hours
from src.router.answers import ContactKey, Standing
from src.router.config import Config
from src.router.deadlines import SOONER, collaboration_due_at, contact_due_at
from src.router.desk import Alike, Desk
from src.router.entities import Agent, Assignment, Collaboration, Contact, requirements_json, terms_json
from src.router.fit import Need, primary
from src.router.folds import FLAGGED_BACK, FLAGGED_CALLBACK, FLAGGED_OUTREACH
from src.router.index import Index
from src.router.journal import Event
from src.router.levels import Levels
from src.router.model import ALL, LANGUAGE, NO_TERMS, Alarm, Hours, QueueConfig, Requirement, Terms
from src.router.restraint import after, is_quiet, next_opening
from src.router.state import State
from src.router.timers import Timers
from src.router.waits import Estimate, Waits

NEEDS_MAX: Final = 10_000
"""Needs that are kept to be found again, up to this many."""


HANDED_ON_MS: Final = 30_000
"""At least so long a contact does not come back to whom it was taken from."""

SWEEP_PAUSE_MS: Final = 50
"""Between one go through a part of a queue and the next."""

PASSED_PER_SWEPT: Final = 25
"""So many contacts are passed in one go for each that may be tried: those whom somebody who is there fits."""


class Decision:
    """What a command caused. `traces` are (contact id, number of the event that it explains, the trace)."""

    __slots__ = ("events", "traces")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.traces: list[tuple[str, int, dict[str, Any]]] = []


class Board:
    """State, index and timers of one tenant, and what the decision under way has come to.

    `fresh` are waiting contacts that are to be tried on all agents, `idle` agents that have room for more than before;
    `told` and `arrivals` the last events of this decision that name a contact, and that brought one to its queue.
    `lease_until`, `offer_floor` and `heard_at` are this process's own: they begin anew when another one takes over.
    """

    def __init__(self, new_id: Callable[[], str], config: Config, state: State, aside: Collection[str] = ()) -> None:
        self.new_id = new_id
        self.config = config
        self.state = state
        self.index = Index()
        self.timers = Timers()
        self.waits = Waits()
        self.levels = Levels()
        self.decision = Decision()
        self.now = state.at
        self.loaded_at = state.at
        self.fresh: dict[str, None] = {}
        self.idle: set[str] = set()
        self.told: dict[str, str] = {}
        self.arrivals: dict[str, str] = {}
        self.received: dict[str, Mapping[str, Any]] = {}
        self.lease_until: dict[str, int] = {}
        self.offer_floor: dict[str, int] = {}
        self.heard_at: dict[str, int] = {}
        self._contacts: dict[str, Contact] = {}
        self._assignments: dict[str, Assignment] = {}
        self._agents: dict[str, bool] = {}  # whether something may be due for it at another time
        self._collaborations: dict[str, Collaboration] = {}
        self._desks: dict[str, Desk] = {}
        self._known_desks: dict[Alike, Desk] = {}
        self._needs: dict[tuple[Any, ...], Need] = {}
        self._sweeps: dict[str, ContactKey | None] = {}
        self._sweep_again: set[str] = set()
        self._sweep_all: set[str] = set()
        for agent_id in state.agents:
            self._look_at_agent(agent_id, timed=True)
        for contact in state.contacts.values():
            if contact.id in aside:
                continue
            state.at_hand = contact.id
            if contact.state == "waiting":
                self.put_waiting(contact)  # it was tried on all agents before it was written down
            else:
                self.look_at_contact(contact)
        for assignment in state.assignments.values():
            if assignment.contact_id not in aside:
                self.look_at_assignment(assignment)
        for collaboration in state.collaborations.values():
            self.look_at_collaboration(collaboration)
        state.at_hand = None
        for name in config.queues:
            self.set_hours(name)

    def begin(self, now: int) -> None:
        """Begin a decision. Time never goes back behind the last event's."""
        self.now = max(now, self.state.at)
        self.decision = Decision()
        self.told, self.arrivals, self.received = {}, {}, {}
        self.state.at_hand = None

    def trace(self, contact: Contact, trace: dict[str, Any]) -> None:
        """Keep the reason of what has just been decided of a contact: one for each contact and event.

        What follows from an event that is a decision itself stands in its trace, as `then`.
        """
        seq, traces = self.state.seq, self.decision.traces
        for place in range(len(traces) - 1, -1, -1):
            named, explained, so_far = traces[place]
            if explained != seq:
                break
            if named == contact.id:
                if "event" in so_far:
                    traces[place] = (named, seq, {**so_far, "then": so_far.get("then", {}) | trace})
                else:
                    traces[place] = (named, seq, so_far | trace)
                return
        traces.append((contact.id, seq, trace))

    # -- saying -------------------------------------------------------------------------------------------------
    # No name before a `/` may be one that `data` has: compiled, the value of that name would be lost.

    def receive(self, contact_id: str, customer_id: str, data: Mapping[str, Any]) -> None:
        """A new contact."""
        self._apply(ev.CONTACT_RECEIVED, contact_id, None, customer_id, data)
        self.told[contact_id] = self.arrivals[contact_id] = ev.CONTACT_RECEIVED
        self.received[contact_id] = data
        self._contacts[contact_id] = self.state.contacts[contact_id]

    def emit(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        contact: Contact | None = None,
        assignment: Assignment | None = None,
        agent_id: str | None = None,
        customer_id: str | None = None,
        contact_id: str | None = None,
    ) -> None:
        """Decide an event and apply it; what it names is looked at again later.

        `contact_id` names a contact that may have ended, and is not looked at.
        """
        means = _MEANS.get(kind, 0)
        if contact is not None:
            contact_id, customer_id = contact.id, contact.customer_id
            self.told[contact_id] = kind
            if means & _ARRIVES or (kind == ev.CONTACT_RECLASSIFIED and data["queue"] != contact.queue):
                self.arrivals[contact_id] = kind
            if means & _UNTAKEN and contact.state in _NOBODYS and data.get("queue") != contact.queue:
                self._leave_untaken(contact)
            if not means & _CONTACT_STAYS:
                self._contacts[contact_id] = contact
        if assignment is not None:
            self._assignments[assignment.id] = assignment
        if agent_id is not None and not means & _AGENT_STAYS:
            self._agents[agent_id] = not means & _LOADS or self._agents.get(agent_id, False)
        self._apply(kind, contact_id, agent_id, customer_id, data)
        if contact is not None and means & _TRACED:
            shown = {name: data[name] for name in _TRACED_DATA if data.get(name) is not None}
            if agent_id is not None:
                shown["agent_id"] = agent_id
            self.trace(contact, {"decision": kind.partition(".")[2], "event": kind, "at": self.now, **shown})

    def _leave_untaken(self, contact: Contact) -> None:
        """A contact that waits, or rings, leaves its queue untaken; perhaps nobody waits there now."""
        if self.index.length(contact.queue) == self.index.waits(contact.id):
            self.waits.ends(contact.queue)

    def _apply(
        self, kind: str, contact_id: str | None, agent_id: str | None, customer_id: str | None, data: Mapping[str, Any]
    ) -> None:
        seq, at = self.state.seq + 1, self.now
        event = Event(seq, kind, at, contact_id, agent_id, customer_id, data)
        self.decision.events.append(event)
        self.state.apply_made(event, seq, kind, at, contact_id)

    def say(self, event: str, assignment: Assignment, /, **data: Any) -> None:
        """An event of an assignment: it names the contact, the agent and the customer."""
        data["assignment_id"] = assignment.id
        contact = self.state.contacts[assignment.contact_id]
        self.emit(event, data, contact=contact, assignment=assignment, agent_id=assignment.agent_id)

    def tell(self, event: str, contact: Contact, /, **data: Any) -> None:
        """An event of a contact that concerns its holder, if it has one."""
        assignment = self.current(contact)
        agent_id = assignment.agent_id if assignment is not None else None
        self.emit(event, data, contact=contact, agent_id=agent_id)

    def alarm(self, contact: Contact, alarm: Alarm, *, rule: str | None = None, step: int | None = None) -> None:
        """Raise an alarm, once under its name: marked on the contact, and told to each agent who is responsible."""
        if alarm.name in contact.alarms:
            return
        data = {
            "name": alarm.name,
            "level": alarm.level,
            "responsible": list(alarm.responsible),
            "queue": contact.queue,
            "rule": rule,
            "step": step,
        }
        self.emit(ev.CONTACT_ALARM, data, contact=contact)
        for agent_id in alarm.responsible:
            self.emit(ev.AGENT_ALARM, data, contact=contact, agent_id=agent_id)

    def say_need(self, event: str, contact: Contact, /, **changed: Any) -> None:
        """What a contact needs is another thing now; what is not named stays."""
        self.tell(event, contact, **need_json(contact) | changed)

    def reclassify(self, contact: Contact, reason: str, /, **changed: Any) -> None:
        """The same, for one reason of many."""
        self.say_need(ev.CONTACT_RECLASSIFIED, contact, **({"by": None} | changed), reason=reason)

    def release_target(self, contact: Contact, reason: str) -> None:
        """A contact that was meant for one agent is now for all that fit."""
        self.reclassify(contact, reason, **NO_TARGET)

    def requeue(self, contact: Contact, reason: str) -> None:
        """Back to the queue at its old rank, for all that fit: its one agent did not take it (unless it is pinned)."""
        self.emit(ev.CONTACT_REQUEUED, {"reason": reason}, contact=contact)
        if contact.target_agent_id is not None and contact.target_kind != "pinned":
            self.release_target(contact, "target_unavailable")

    def close(self, contact: Contact, outcome: str, reason: str | None) -> None:
        """The contact ends, and with it what others were asked to do for it."""
        helps = self.state.helps.get(contact.id)
        for collaboration in list(helps.values()) if helps else ():
            self.say_help(ev.COLLABORATION_CLOSED, collaboration, reason="contact_closed", by=None)
        self.emit(ev.CONTACT_CLOSED, {"outcome": outcome, "reason": reason}, contact=contact)

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
        self.emit(ev.AGENT_PRESENCE, {**values, "connected": connected}, agent_id=agent.id)

    def say_help(self, event: str, collaboration: Collaboration, /, *, to: str | None = None, **data: Any) -> None:
        """An event of a collaboration; it concerns `to`, else who helps."""
        data["collaboration_id"] = collaboration.id
        self._collaborations[collaboration.id] = collaboration
        contact = self.state.contacts[collaboration.contact_id]
        agent_id = to or collaboration.agent_id
        if agent_id is not None and agent_id not in self.state.agents:
            agent_id = None
        self.emit(event, data, contact=contact, agent_id=agent_id)

    def note_contact(self, contact: Contact) -> None:
        """Look again at a contact."""
        self._contacts[contact.id] = contact

    def note_assignment(self, assignment: Assignment) -> None:
        """Look again at an assignment that has just come to be."""
        self._assignments[assignment.id] = assignment

    def note_agent(self, agent_id: str) -> None:
        """Look again at an agent."""
        self._agents[agent_id] = True

    def note_collaboration(self, collaboration: Collaboration) -> None:
        """Look again at a collaboration."""
        self._collaborations[collaboration.id] = collaboration

    # -- looking: from the state to the index and the timers ----------------------------------------------------

    def look(self) -> None:
        """Look at everything that events have named since the last look."""
        while self._contacts or self._assignments or self._agents or self._collaborations:
            if self._assignments:
                assignments, self._assignments = self._assignments, {}
                for assignment in assignments.values():
                    self.look_at_assignment(assignment)
            if self._contacts:
                contacts, self._contacts = self._contacts, {}
                for contact in contacts.values():
                    self.look_at_contact(contact)
            if self._collaborations:
                collaborations, self._collaborations = self._collaborations, {}
                for collaboration in collaborations.values():
                    self.look_at_collaboration(collaboration)
            if self._agents:
                agents, self._agents = self._agents, {}
                self.state.at_hand = None
                for agent_id, timed in agents.items():
                    self._look_at_agent(agent_id, timed=timed)

    def look_at_contact(self, contact: Contact) -> None:
        """Whether it waits, where, and when something is due."""
        self.state.at_hand = contact.id
        state = contact.state
        if state == "waiting":
            if contact.id in self.fresh:
                return
            if not self.index.waits(contact.id) or not self.index.stands(
                contact.key, self.need(contact), contact.queue, matchable=self.is_open(contact)
            ):
                self.fresh[contact.id] = None  # it is tried on all agents, and then waits in the index
                return
            if contact.bars and min(contact.bars.values()) <= self.now:
                self.fresh[contact.id] = None  # an agent may be asked again: its deadline is gone once it has passed
                return
        else:
            self.index.remove_waiting(contact.id)
            if state != "offered":
                self.waits.gone(contact.id)
        self.timers.set("contact", contact.id, contact_due_at(self, contact) if state in SOONER else None)

    def put_waiting(self, contact: Contact) -> None:
        """Let a contact wait in the index, to be found by agents that have room."""
        self.index.put_waiting(contact.key, self.need(contact), contact.queue, matchable=self.is_open(contact))
        self.timers.set("contact", contact.id, contact_due_at(self, contact))

    def look_at_assignment(self, assignment: Assignment) -> None:
        """When something is due."""
        self.state.at_hand = assignment.contact_id
        due: int | None = None
        if assignment.state == "offered":
            due = max(assignment.expires_at, self.offer_floor.get(assignment.id, 0))
        else:
            if self.offer_floor:
                self.offer_floor.pop(assignment.id, None)
            if assignment.state == "wrap_up":
                due = assignment.ends_at
            elif assignment.state == "active":
                due = None if assignment.released else self._silent_at(assignment)
            elif self.heard_at:
                self.heard_at.pop(assignment.id, None)
        self.timers.set("assignment", assignment.id, due)

    def _silent_at(self, assignment: Assignment) -> int | None:
        """When the customer has been silent for long enough to give the units back."""
        if not self.config.settings.silence_s:
            return None
        silence_ms = self.config.settings.silence_ms(assignment.channel)
        if silence_ms is None:
            return None
        since = self.heard_at.get(assignment.id) or max(assignment.accepted_at or 0, self.loaded_at)
        return since + silence_ms

    def look_at_collaboration(self, collaboration: Collaboration) -> None:
        """When something is due."""
        self.timers.set("collaboration", collaboration.id, collaboration_due_at(collaboration))

    def look_at_agent(self, agent_id: str) -> None:
        """The same for an agent whose own desk may have changed."""
        self._agents[agent_id] = True
        self.look()

    def _look_at_agent(self, agent_id: str, *, timed: bool) -> None:
        """Where the agent stands, what it has room for, and (`timed`) when something is due."""
        agent = self.state.agents.get(agent_id)
        if agent is None or (agent_id not in self._desks and agent_id not in self.config.agents):
            self.index.remove_agent(agent_id)
            self.timers.set("agent", agent_id, None)
            self.idle.discard(agent_id)
            return
        desk = self.desk(agent_id)
        load = 0
        if agent.open:
            for assignment in agent.open:
                if assignment.wanted:
                    self._retake(agent, desk)
                    break
            capacity = desk.now.capacity
            load = agent.load * 1000 // capacity if capacity else 0
        status = _standing(agent)
        free = desk.free(agent) if status == "available" else ()
        if self.index.put_agent(agent_id, desk.ability, status, free, Standing(agent.idle_since, agent.turn_at, load)):
            self.idle.add(agent_id)
        if not timed:
            return
        due = self.lease_until.get(agent_id)
        if agent.grace_until is not None and (due is None or agent.grace_until < due):
            due = agent.grace_until
        if desk.until is not None and (due is None or desk.until < due):
            due = desk.until
        self.timers.set("agent", agent_id, due)

    def _retake(self, agent: Agent, desk: Desk) -> None:
        """Give released work its units back, as far as there is room: before anything new is offered."""
        for assignment in agent.open:
            if assignment.wanted and assignment.state == "active" and desk.can_retake(agent, assignment):
                self.say(ev.ASSIGNMENT_RETAKEN, assignment)

    def set_hours(self, name: str) -> None:
        """Know when the queue next opens or closes."""
        changes = [hours.next_change(each.hours, self.now) for each in self._policies(name) if each.hours is not None]
        self.timers.set("queue", name, min((each for each in changes if each is not None), default=None))

    def _policies(self, name: str) -> list[QueueConfig]:
        """A queue's policy and its versions in pilots."""
        found = [each.queues[name] for each in self.config.pilots.values() if name in each.queues]
        return [self.config.queues[name], *found] if name in self.config.queues else found

    def sweep(self, *, abilities: bool = False) -> None:
        """Somebody came or left: have the queues that relax looked through for steps that need not be waited for.

        `abilities`: what an agent can do is another thing, too, so that queues that split are looked through for those
        whom nobody covers alone any more, or whom all cover together now.
        """
        for name in self.config.queues:
            if self.index.anybody_in(name) and any(
                each.steps or (abilities and each.split) for each in self._policies(name)
            ):
                self.sweep_queue(name)

    def look_at_named(self, agent_id: str) -> None:
        """Have those who wait for certain agents alone, this one among them, tried again: it may not fit any more."""
        for _, contact_id in self.index.named(agent_id):
            self.fresh[contact_id] = None

    def look_at_queue(self, name: str) -> None:
        """It opens or closes, or its policy is another: for everybody who waits in it, at once."""
        for contact_id in self.index.waiting_in(name):
            self._contacts[contact_id] = self.state.contacts[contact_id]
        self.set_hours(name)
        policy = self.config.queues.get(name)
        if policy is not None:
            is_open = not policy.paused and (policy.hours is None or hours.is_open(policy.hours, self.now))
            self.waits.turned(name, self.now, is_open=is_open)
        self._sweep_all.add(name)
        self.sweep_queue(name)

    def sweep_queue(self, name: str) -> None:
        """Have those who wait in a queue tried again, some at a time."""
        if name not in self._sweeps:
            self._sweeps[name] = None
            self.timers.set("sweep", name, self.now)
        elif self._sweeps[name] is not None:
            self._sweep_again.add(name)  # once more from the beginning, when it has come to the end

    def swept(self, name: str, count: int) -> list[str]:
        """The next contacts of a queue that is looked through. The next go comes a little later: others go between.

        Where only agents came or left, contacts are passed for whom somebody is there: no step is skipped for them.
        """
        found: list[str] = []
        needs: dict[Need, bool] = {}
        everybody, contacts, last = name in self._sweep_all, self.state.contacts, None
        coming = self.index.waiting_in(name, after=self._sweeps.pop(name))
        for contact_id in islice(coming, count if everybody else count * PASSED_PER_SWEPT):
            last = contacts[contact_id]
            if everybody or last.bars or not self._anybody_for(last, needs):
                found.append(contact_id)
                if len(found) == count:
                    break
        else:
            last = last if next(coming, None) is not None else None
        if last is not None:
            self._sweeps[name] = last.key
        elif name in self._sweep_again:
            self._sweep_again.discard(name)
            self._sweeps[name] = None
        else:
            self._sweep_all.discard(name)
        if name in self._sweeps:
            self.timers.set("sweep", name, self.now + SWEEP_PAUSE_MS)
        return found

    def _anybody_for(self, contact: Contact, needs: dict[Need, bool]) -> bool:
        """Whether somebody who is there fits a contact, whatever its load. Each need is asked about once."""
        need = self.need(contact)
        anybody = needs.get(need)
        if anybody is None:
            anybody = needs[need] = self.index.reach(need).present
        return anybody

    # -- finding ------------------------------------------------------------------------------------------------

    def desk(self, agent_id: str) -> Desk:
        """An agent's configuration as it holds now."""
        desk = self._desks.get(agent_id)
        if desk is None or (desk.until is not None and desk.until <= self.now):
            desk = self._desks[agent_id] = Desk.at(self.config.agents[agent_id], self.now, self._known_desks)
        return desk

    def forget_desk(self, agent_id: str) -> None:
        """An agent's configuration is another, or gone."""
        self._desks.pop(agent_id, None)

    def current(self, contact: Contact) -> Assignment | None:
        """The contact's open assignment; of several offers, the first."""
        return None if contact.assignment_id is None else self.state.assignments.get(contact.assignment_id)

    def policy(self, contact: Contact) -> QueueConfig:
        """The policy of the contact's queue, as it is for this contact."""
        if contact.pilot is None:
            policy = self.config.queues.get(contact.queue)
            if policy is not None:
                return policy
        return self.config.queue(contact.queue, contact.pilot)

    def is_open(self, contact: Contact) -> bool:
        """Whether the contact's queue offers its contacts now.

        Hours are for those who come: who was answered before, or is pinned to an agent, is served whatever the hours.
        """
        return self.queue_is(contact) == "open"

    def queue_is(self, contact: Contact) -> str:
        """The same in a word: open, paused, closed, or quiet: its customer is not reached at this hour."""
        policy = self.policy(contact)
        if policy.paused or (contact.pilot is not None and self.config.queue(contact.queue).paused):
            return "paused"
        if (policy.hours is None and self.config.settings.restraint.quiet is None) or not self.keeps_hours(contact):
            return "open"
        if policy.hours is not None and not hours.is_open(policy.hours, self.now):
            return "closed"
        return "quiet" if is_quiet(self.quiet_for(contact), self.now) else "open"

    def keeps_hours(self, contact: Contact) -> bool:
        """Whether opening hours concern a contact."""
        return contact.answered_at is None and contact.target_kind != "pinned"

    def quiet_for(self, contact: Contact) -> Hours | None:
        """The quiet hours that concern a contact: one whose customer is called back, or turned to without asking.

        None once it has come back itself.
        """
        quiet = self.config.settings.restraint.quiet
        if quiet is None or FLAGGED_BACK in contact.flags:
            return None
        return quiet if FLAGGED_CALLBACK in contact.flags or FLAGGED_OUTREACH in contact.flags else None

    def need(self, contact: Contact) -> Need:
        """What a contact asks of an agent now."""
        terms, teams = contact.terms, self.policy(contact).teams
        target = contact.target_agent_id
        if target is not None and contact.target_kind not in _FITTING:
            return Need(contact.channel, agents=(target,))
        told = None if terms is NO_TERMS else terms  # to hash terms is dear, and hardly anybody has any
        key = (contact.channel, contact.requirements, contact.language, teams, told, target)
        need = self._needs.get(key)
        if need is None:
            if len(self._needs) > NEEDS_MAX:
                self._needs.clear()
            need = self._needs[key] = need_of(
                contact.channel, contact.requirements, contact.language, teams, terms, target
            )
        return need

    def barred(self, contact: Contact) -> Mapping[str, int]:
        """Agents that may not be asked for this contact now, with the time until when."""
        if not contact.bars:
            return contact.bars
        return {agent_id: until for agent_id, until in contact.bars.items() if until > self.now}

    def bars_of(self, agent_id: str) -> Callable[[str], bool]:
        """Tells of a contact whether this agent may not be asked for it now."""
        contacts, now = self.state.contacts, self.now
        return lambda contact_id: contacts[contact_id].bars.get(agent_id, 0) > now

    def bar_ms(self, contact: Contact) -> int:
        """How long an agent is not asked again after a decline or a miss."""
        own = self.policy(contact).reoffer_after_s
        return (self.config.settings.reoffer_after_s if own is None else own) * 1000

    def handed_on_ms(self, contact: Contact) -> int:
        """How long a contact does not come back to the agent from whom it was taken, or who handed it on."""
        return max(self.bar_ms(contact), HANDED_ON_MS)

    def estimate(self, contact: Contact, position: int, now: int | None = None) -> Estimate | None:
        """How long a contact that waits, or would, at this place of its queue will likely wait; None if unknown.

        While the queue is closed nobody moves up; nor, while it is quiet, does who is called back. How long a pause is
        to last, nobody knows.
        """
        found, policy = self.waits.estimate(contact.queue, position), self.policy(contact)
        if found is not None and self.queue_is(contact) == "paused":
            return None
        quiet = self.quiet_for(contact)
        if found is None or (policy.hours is None and quiet is None) or not self.keeps_hours(contact):
            return found
        now = self.now if now is None else max(now, self.now)
        high_ms = found.high_s * 1000
        if high_ms and after(policy.hours, quiet, now, high_ms) == now + high_ms:
            return found  # it is open all the while
        opens_at = next_opening(policy.hours, quiet, now)
        if opens_at is None:
            return None
        at = [after(policy.hours, quiet, opens_at, each * 1000) for each in (found.wait_s, found.low_s, found.high_s)]
        waits_s = [(each - now) // 1000 for each in at if each is not None]
        return Estimate(waits_s[0], waits_s[1], waits_s[2]) if len(waits_s) == len(at) else None


_THAT_ARRIVE: Final = frozenset({ev.CONTACT_OVERFLOWED, ev.CONTACT_TRANSFERRED})
"""With these a contact comes to a queue, as with being received: it may be one too many, and is told its wait."""

_THAT_ARE_TRACED: Final = frozenset(
    {
        ev.CONTACT_RECLASSIFIED,
        ev.CONTACT_RELAXED,
        ev.CONTACT_OVERFLOWED,
        ev.CONTACT_TRANSFERRED,
        ev.CONTACT_PARKED,
        ev.CONTACT_RESUMED,
        ev.CONTACT_ESCALATED,
        ev.CONTACT_ALARM,
        ev.CONTACT_FLAGGED,
        ev.CONTACT_LATE,
        ev.OFFER_DECLINED,
        ev.OFFER_EXPIRED,
        ev.OFFER_REVOKED,
        ev.ASSIGNMENT_RELEASED,
        ev.ASSIGNMENT_RETAKEN,
        ev.ASSIGNMENT_LOST,
        ev.COLLABORATION_REQUESTED,
    }
)
"""Events that are decisions about a contact themselves, and stand in its trace beside those of the matching."""

_TRACED_DATA: Final = (
    "reason",
    "by",
    "why",
    "barred_until",
    "flag",
    "step",
    "action",
    "from_queue",
    "to",
    "queue",
    "priority",
    "requirements",
    "terms",
    "target_agent_id",
    "target_kind",
    "until",
    "kind",
    "department",
    "name",
    "level",
    "responsible",
    "rule",
)
"""What a trace keeps of them, where it is said."""

_SAID: Final = frozenset(
    {
        ev.MESSAGE_QUEUED,
        ev.MESSAGE_SENT,
        ev.MESSAGE_DELIVERED,
        ev.MESSAGE_FAILED,
        ev.MEDIA_KEPT,
        ev.MEDIA_FAILED,
        ev.CALL_ANSWERED,
        ev.CALL_ENDED,
    }
)

_THAT_LEAVE_CONTACTS: Final = (
    frozenset({ev.MESSAGE_RECEIVED, ev.ASSIGNMENT_NOTED, ev.ASSIGNMENT_COMPLETED, ev.CONTACT_WAITING})
    | ev.ALARMS
    | _SAID
    | ev.OF_CUSTOMERS
    | ev.OF_PROBLEMS
)
"""Events that name a contact, but change nothing that it is looked at for."""

_THAT_LEAVE_AGENTS: Final = frozenset(
    {
        ev.AGENT_ALARM,
        ev.CONTACT_ACTIVE,
        ev.CONTACT_FLAGGED,
        ev.CONTACT_LATE,
        ev.CONTACT_ESCALATED,
        ev.ASSIGNMENT_NOTED,
        ev.MESSAGE_RECEIVED,
        ev.SLA_WARNING,
        ev.SLA_BREACHED,
        ev.COLLABORATION_REQUESTED,
        ev.COLLABORATION_ASKED,
        ev.COLLABORATION_ACCEPTED,
        ev.COLLABORATION_REPLIED,
        ev.COLLABORATION_CLOSED,
        ev.COLLABORATION_WARNING,
        ev.COLLABORATION_ESCALATED,
        *_SAID,
        *ev.OF_CUSTOMERS,
        *ev.OF_PROBLEMS,
    }
)
"""The same for agents: it is told, but has no more and no less room than before."""

_THAT_LOAD: Final = frozenset(
    {
        ev.CONTACT_OFFERED,
        ev.OFFER_DECLINED,
        ev.OFFER_EXPIRED,
        ev.OFFER_REVOKED,
        ev.ASSIGNMENT_RELEASED,
        ev.ASSIGNMENT_WANTED,
        ev.ASSIGNMENT_RETAKEN,
        ev.ASSIGNMENT_WRAP_UP,
        ev.ASSIGNMENT_COMPLETED,
        ev.ASSIGNMENT_LOST,
    }
)
"""With these an agent has more or less to do, and nothing is due for it at another time than before."""

_THAT_LEAVE_A_QUEUE: Final = frozenset(
    {ev.CONTACT_CLOSED, ev.CONTACT_PARKED, ev.CONTACT_OVERFLOWED, ev.CONTACT_RECLASSIFIED}
)
"""With these a contact that has not been taken may leave its queue."""

_NOBODYS: Final = frozenset({"waiting", "offered"})

_ARRIVES: Final = 1
_TRACED: Final = 2
_CONTACT_STAYS: Final = 4
_AGENT_STAYS: Final = 8
_LOADS: Final = 16
_UNTAKEN: Final = 32

_MEANS: Final = {
    kind: _ARRIVES * (kind in _THAT_ARRIVE)
    | _TRACED * (kind in _THAT_ARE_TRACED)
    | _CONTACT_STAYS * (kind in _THAT_LEAVE_CONTACTS)
    | _AGENT_STAYS * (kind in _THAT_LEAVE_AGENTS)
    | _LOADS * (kind in _THAT_LOAD)
    | _UNTAKEN * (kind in _THAT_LEAVE_A_QUEUE)
    for kind in ev.KNOWN
}
"""All of this of each type of event, in one look."""

_FITTING: Final = frozenset({"conversation", "dedicated", "last", "rule"})
"""Kinds of target that must fit as anybody must. The others are somebody's decision."""

NO_TARGET: Final[Mapping[str, Any]] = {"target_agent_id": None, "target_kind": None, "target_until": None}


def _standing(agent: Agent) -> str:
    """Where the agent stands, as the index calls it."""
    if agent.status != "available":
        return agent.status
    if agent.paused is not None:
        return "paused"
    return "available" if agent.connected else "disconnected"


def need_of(
    channel: str,
    requirements: tuple[Requirement, ...],
    language: str | None,
    teams: tuple[str, ...],
    terms: Terms,
    target: str | None = None,
) -> Need:
    """What these ask of an agent. Teams in the terms take the place of the queue's; `*` among them is any."""
    required, preferred = [], []
    for each in requirements:
        if each.shared:
            continue
        if each.required:
            required.append((each.skill, each.level))
        else:
            preferred.append((each.skill, each.level, each.weight))
    if language is not None:
        required.append((LANGUAGE + primary(language), 1))
    chosen = terms.limit(teams)
    return Need(
        channel=channel,
        required=tuple(sorted(required)),
        preferred=tuple(sorted(preferred)),
        teams=() if ALL in chosen else tuple(sorted(chosen)),
        not_teams=tuple(sorted(terms.not_teams)),
        agents=(target,) if target is not None else tuple(sorted(terms.agents)),
        not_agents=tuple(sorted(terms.not_agents)),
    )


def need_json(contact: Contact) -> dict[str, Any]:
    """What a contact needs, as events say it."""
    return {
        "queue": contact.queue,
        "priority": contact.priority,
        "language": contact.language,
        "tags": list(contact.tags),
        "requirements": requirements_json(contact.requirements),
        "target_agent_id": contact.target_agent_id,
        "target_kind": contact.target_kind,
        "target_until": contact.target_until,
        "terms": terms_json(contact.terms),
    }
