"""What must be true of each event, looked at just before and just after it is folded."""

from collections.abc import Iterable
from itertools import combinations

from src.router import commands as c
from src.router import events as ev
from src.router.config import Config
from src.router.entities import Agent, Assignment, Collaboration, Contact, requirements_from, terms_from
from src.router.journal import Event
from src.router.model import Alarm
from src.router.state import State
from tests.property.tape.intake import concerned, intake
from tests.property.tape.naive import Ask, Naive, may_begin, present, relaxed

FOREVER = 2**53 - 1
PRIORITY_CHANGES = {"contact.relaxed", "contact.escalated"}


class Promises:
    """Follows the journal with a state of its own, `state`, and remembers what the state does not say."""

    def __init__(self) -> None:
        self.state = State()
        self.command: c.Command = c.Tick()
        self.config = Config()
        self.now = 0
        self.barred: dict[tuple[str, str], int] = {}
        self.refusals: dict[tuple[str, str], int] = {}
        self.heard: dict[str, int] = {}
        self.floors: dict[str, int] = {}
        self.told: set[tuple[str, str, int, str, str | None]] = set()
        self.released: dict[str, list[Assignment]] = {}
        self.own: set[str] = set()
        self.asked: set[tuple[str, str]] = set()
        self.accepted: set[str] = set()
        self.received: Event | None = None
        self.arms: dict[tuple[str, int, str], str] = {}
        self.alarms: list[Event] = []
        self.flag_due: str | None = None

    @property
    def naive(self) -> Naive:
        return Naive(self.state, self.config, self.now)

    def follow(self, event: Event, command: c.Command, config: Config) -> None:
        """Check one event, and fold it."""
        self.command, self.config, self.now = command, config, event.at
        if self.flag_due is not None:
            self._check_flag_due(event)
        else:
            self._check_alarm(event)
        contact = self.state.contacts.get(event.contact_id or "")
        before = None if contact is None else (contact.priority, contact.target_agent_id, contact.target_kind)
        queue = None if contact is None else contact.queue
        if before is not None and event.data.get("target_agent_id") not in (None, before[1]):
            self.barred.pop((event.contact_id or "", event.data["target_agent_id"]), None)
        name = event.type.replace(".", "_")
        getattr(self, f"_before_{name}", _nothing)(event)
        if event.type in ev.OF_CUSTOMERS | ev.OF_PROBLEMS:
            self._check_only_told(event)
        self.state.apply(event)
        getattr(self, f"_after_{name}", _nothing)(event)
        if contact is not None and before is not None:
            self._check_kept(event, contact, *before)
            anew = (0, event.at) == (contact.step, contact.entered_at)
            assert (queue == contact.queue and not event.data.get("anew")) or anew, (
                "steps and waits did not begin anew in another queue"
            )

    def restarted(self, now: int, *, handed_over: bool) -> None:
        """Another process decides from now on: it does not know who was heard when, and offers live a little longer."""
        for each in self.state.assignments.values():
            self.heard[each.id] = now
            if each.state == "offered" and handed_over:
                self.floors[each.id] = now + 5_000

    # -- what nothing but a few events may change ---------------------------------------------------------------

    def _check_kept(
        self, event: Event, contact: Contact, priority: int, target: str | None, target_kind: str | None
    ) -> None:
        asked = event.type == "contact.reclassified" and event.data["reason"] in {"requested", "customer"}
        if contact.priority != priority:
            assert asked or event.type in PRIORITY_CHANGES, f"{event} changed a rank"
        if target_kind == "pinned" and target != contact.target_agent_id:
            by_hand = isinstance(self.command, c.Pin | c.DeleteAgent | c.Reconfigure | c.Assign)
            cannot = not by_hand and self.naive.limit(target or "", contact.channel) is None
            taken = event.type == "contact.active"
            assert by_hand or cannot or taken, f"{event} took a pinned contact from its agent"

    # -- alarms -------------------------------------------------------------------------------------------------

    def _check_alarm(self, event: Event) -> None:
        """What is due follows at once, and there are no other alarms: each once for a contact and name."""
        if self.alarms:
            assert self.alarms.pop(0) == event, "an alarm was not raised"
        else:
            alarm = event.type in {"contact.alarm", "agent.alarm"}
            assert not alarm or isinstance(self.command, c.Rejudge), "an alarm for nothing"

    def _expect_alarms(
        self, event: Event, queue: str, raised: Iterable[tuple[str | int, Alarm]], between: int = 0
    ) -> None:
        """Alarms of these rules or steps are due, unless the contact has one of the name."""
        contact = self.state.contacts.get(event.contact_id or "")
        names = set() if contact is None else set(contact.alarms)
        seq = event.seq + between
        for by, alarm in raised:
            if alarm.name in names:
                continue
            names.add(alarm.name)
            rule, step = (by, None) if isinstance(by, str) else (None, by)
            data = {
                "name": alarm.name,
                "level": alarm.level,
                "responsible": list(alarm.responsible),
                "queue": queue,
                "rule": rule,
                "step": step,
            }
            for kind, agent_id in (("contact.alarm", None), *(("agent.alarm", each) for each in alarm.responsible)):
                seq += 1
                self.alarms.append(Event(seq, kind, event.at, event.contact_id, agent_id, event.customer_id, data))

    # -- what the journal alone is told -------------------------------------------------------------------------

    def _check_only_told(self, event: Event) -> None:
        """Of an open contact its holder hears it, else whom the command names."""
        contact = self.state.contacts.get(event.contact_id or "")
        if event.type in ev.OF_PROBLEMS and isinstance(self.command, c.TellProblem):
            self._check_department(event, self.command.department)
        elif contact is not None:
            assert event.agent_id == self._lead(contact), "somebody else hears it"

    def _check_department(self, event: Event, name: str | None) -> None:
        """Somebody of its teams who is there, else whom it escalates to."""
        department, naive = self.config.departments.get(name or ""), self.naive
        if department is None:
            assert event.agent_id is None, "somebody is told what is nobody's"
            return
        teams = set(department.teams)
        near = [each for each in self.state.agents if naive.there(each)]
        there: list[str | None] = [each for each in near if teams & set(self.config.agents[each].teams)]
        last = department.escalate_to if department.escalate_to in self.state.agents else None
        assert event.agent_id in (there or [last]), "the department does not hear of it"

    def _before_customer_repeat(self, event: Event) -> None:
        assert "repeat" in self.state.contacts[event.contact_id or ""].flags, "a repeat that is not marked"

    # -- customers who are left in peace ------------------------------------------------------------------------

    def _check_flag_due(self, event: Event) -> None:
        """Whoever is turned to unasked is marked at once, and so is whoever comes back as soon as it writes."""
        assert (event.type, event.data.get("flag")) == ("contact.flagged", self.flag_due), f"not {self.flag_due}"
        self.flag_due = None

    def _check_left_in_peace(self, event: Event) -> None:
        """A call-back is promised for a time that is open and not quiet, if there is any."""
        contact, until = self.state.contacts[event.contact_id or ""], event.data["until"]
        opens, quiet = self.naive.policy(contact).hours, self.config.settings.restraint.quiet
        if not may_begin(opens, quiet, until):
            ahead = range((until // 60_000 + 1) * 60_000, until + 2 * 86_400_000, 60_000)
            assert not any(may_begin(opens, quiet, each) for each in ahead), "a call back while it is quiet, or closed"

    # -- contacts come ------------------------------------------------------------------------------------------

    def _after_contact_received(self, event: Event) -> None:
        """It is what the rules make of it; the first preferred agent who is there and fits is waited for."""
        self.received, command, contact = event, self.command, self.state.contacts[event.contact_id or ""]
        assert isinstance(command, c.Receive)
        naive, policy = self.naive, self.naive.policy(contact)
        self._check_arm(command, contact.pilot)
        told = intake(command, self.config, self.now, contact.pilot)
        shown = (contact.queue, contact.priority, contact.tags, contact.terms, tuple(event.data["rules"]))
        assert (told.queue, told.priority, told.tags, told.terms, told.rules) == shown, "it is another contact"
        assert sorted(told.requirements, key=repr) == sorted(contact.requirements, key=repr), "it asks for other skills"
        held = command.outbound and not command.urgent and self.config.settings.restraint.quiet is not None
        self.flag_due = "outreach" if held else None
        self._expect_alarms(event, contact.queue, told.alarms, between=held)
        expected: tuple[str | None, str | None] = (None, None)
        if command.outbound:
            reaching = command.responsible_id or ""
            assert (reaching, "follow_up") == (contact.target_agent_id, contact.target_kind), "another follows it up"
            assert naive.there(reaching), "followed up by nobody who is there"
            assert naive.limit(reaching, contact.channel) is not None, "followed up by nobody who serves the channel"
            return
        first = (command.responsible_id or "", "conversation", self.config.settings.transfer_wait_s)
        for agent_id, kind, wait_s in (first, *told.preferred):
            if agent_id not in self.state.agents or not wait_s:
                continue
            named = not contact.terms.agents or agent_id in contact.terms.agents
            ask = Ask(contact.channel, contact.requirements, contact.language, contact.terms, policy.teams)
            if named and naive.there(agent_id) and naive.suits(ask, agent_id):
                expected = (agent_id, kind)
                waited_ms = naive.open_ms(policy, self.now, contact.target_until or self.now)
                assert waited_ms == wait_s * 1000, "a preferred agent is waited for too long, or not long enough"
                break
        assert expected == (contact.target_agent_id, contact.target_kind), "another agent is preferred"

    def _check_arm(self, command: c.Receive, pilot: str | None) -> None:
        """Which pilot a contact is in, and that one customer is always in the same arm of it."""
        name, _, arm = (pilot or "").rpartition(":")
        assert (name or None) == concerned(command, self.config, self.now), "it is in another pilot"
        if not name:
            return
        percent = self.config.pilots[name].percent
        assert arm == self.arms.setdefault((name, percent, command.customer_id), arm), "a customer changed its arm"
        assert (percent, arm) not in {(0, "trial"), (100, "control")}

    # -- offers -------------------------------------------------------------------------------------------------

    def _before_contact_offered(self, event: Event) -> None:
        contact, agent_id = self.state.contacts[event.contact_id or ""], event.agent_id or ""
        naive, limit = self.naive, self.naive.limit(agent_id, contact.channel)
        assert limit is not None, "offered to an agent that does not serve the channel"
        assert limit.cost == event.data["cost"]
        assert event.data["expires_at"] == self.now + naive.policy(contact).offer_timeout_s * 1000
        if event.data["by"] is not None:
            self._check_hand(contact, agent_id)
            return
        offers = self.state.offers.get(contact.id, {})
        assert len(offers) < naive.policy(contact).offer_to, "offered to too many at once"
        assert naive.is_open(contact), "offered from a queue that is not open"
        self._check_candidate(contact, agent_id)
        self._check_turn(contact, agent_id)
        asked = {each.agent_id for each in offers.values()}
        best = naive.order(contact, agent_id, sum(each.cost for each in self.released.get(agent_id, [])))
        for other in self.state.agents:
            if other in asked | {agent_id} or not self._could_take(contact, other):
                continue
            order = naive.order(contact, other)
            close = max(abs(one - two) for one, two in zip(order, best, strict=True)) < 1e-6
            assert close or best < order, f"{other} comes before {agent_id}"

    def _check_hand(self, contact: Contact, agent_id: str) -> None:
        command, agent = self.command, self.state.agents[agent_id]
        assert isinstance(command, c.Assign)
        connected = agent.session is not None or agent.lease_s is not None
        assert self.naive.there(agent_id) or (command.force and connected), "assigned to an agent that is not there"
        assert not self.state.offers.get(contact.id), "assigned beside an offer"
        assert command.force or self.naive.has_room(agent_id, contact.channel), "over capacity"

    def _could_take(self, contact: Contact, agent_id: str) -> bool:
        naive = self.naive
        return (
            naive.there(agent_id)
            and self.barred.get((contact.id, agent_id), 0) <= self.now
            and naive.suits(naive.ask(contact), agent_id)
            and naive.has_room(agent_id, contact.channel)
        )

    def _check_candidate(self, contact: Contact, agent_id: str) -> None:
        naive = self.naive
        assert naive.there(agent_id), "offered to an agent that is not there"
        assert self.barred.get((contact.id, agent_id), 0) <= self.now, "offered to an agent that is barred"
        assert naive.suits(naive.ask(contact), agent_id), "offered to an agent that does not fit"
        owed = [each for each in self.state.agents[agent_id].open if each.wanted]
        assert all(naive.interruptible(agent_id, each.channel) for each in owed), "something new before what is owed"
        assert naive.has_room(agent_id, contact.channel), "over capacity"

    def _check_turn(self, contact: Contact, agent_id: str) -> None:
        """The smallest rank that an agent can take goes first."""
        for other in self.naive.waiting():
            if (other.rank, other.id) >= (contact.rank, contact.id):
                break
            if self.naive.is_open(other):
                assert not self._could_take(other, agent_id), f"{other.id} came before {contact.id}"

    def _after_contact_offered(self, event: Event) -> None:
        agent = self.state.agents[event.agent_id or ""]
        assignment = self.state.assignments[event.data["assignment_id"]]
        set_aside = self.released.pop(agent.id, [])
        if event.data["by"] is None and self.naive.policy(self.state.contacts[assignment.contact_id]).auto_accept:
            self.own.add(assignment.id)  # needs no answer: it is never seen at rest
        if not (isinstance(self.command, c.Assign) and self.command.force and event.data["by"] is not None):
            self._check_room(agent, assignment)
            beside = [each for each in present(agent) if each is not assignment] + set_aside[-1:]
            fits = self.naive.fits_beside(agent.id, assignment.channel, assignment.cost, beside)
            assert not (set_aside and fits), f"{set_aside[-1].id} was interrupted for nothing"

    def _check_room(self, agent: Agent, assignment: Assignment) -> None:
        beside = [each for each in present(agent) if each is not assignment]
        fits = self.naive.fits_beside(agent.id, assignment.channel, assignment.cost, beside)
        assert fits, f"{assignment.id} has no room at {agent.id}"

    def _before_contact_escalated(self, event: Event) -> None:
        assert "escalated" not in self.state.contacts[event.contact_id or ""].flags, "escalated twice"

    def _before_contact_active(self, event: Event) -> None:
        offers = self.state.offers[event.contact_id or ""]
        assert [event.data["assignment_id"]] == list(offers), "accepted beside another offer"

    def _after_contact_active(self, event: Event) -> None:
        self.heard[event.data["assignment_id"]] = event.at
        self.accepted.add(event.contact_id or "")

    # -- cool-downs ---------------------------------------------------------------------------------------------

    def _before_offer_declined(self, event: Event) -> None:
        assignment = self.state.assignments[event.data["assignment_id"]]
        contact = self.state.contacts[assignment.contact_id]
        who, asks_max = (contact.id, assignment.agent_id), self.naive.policy(contact).asks_max
        self.refusals[who] = self.refusals.get(who, 0) + 1
        self._bar(contact, assignment.agent_id)
        if asks_max is not None and contact.target_kind != "pinned" and self.refusals[who] >= asks_max:
            self.barred[who] = FOREVER

    def _before_offer_expired(self, event: Event) -> None:
        assignment = self.state.assignments[event.data["assignment_id"]]
        assert max(assignment.expires_at, self.floors.get(assignment.id, 0)) <= self.now, "expired too early"
        self._before_offer_declined(event)

    def _before_offer_revoked(self, event: Event) -> None:
        """Who had it is not asked again for a while, if it was taken away by hand."""
        if isinstance(self.command, c.TakeBack | c.Assign | c.SetAside) and event.data["reason"] != "taken_by_another":
            assignment = self.state.assignments[event.data["assignment_id"]]
            self._bar(self.state.contacts[assignment.contact_id], assignment.agent_id, least_s=30)

    def _before_assignment_lost(self, event: Event) -> None:
        if event.data["reason"] in {"connection_lost", "lease_expired"}:
            policies, channel = self.config.settings.on_agent_lost, self._assignment(event).channel
            assert "requeue" == policies.get(channel, policies.get("*", "requeue")), "taken from who keeps it"
        self._before_offer_revoked(event)

    def _before_contact_transferred(self, event: Event) -> None:
        assignment = self.state.assignments[event.data["assignment_id"]]
        self._bar(self.state.contacts[assignment.contact_id], assignment.agent_id, least_s=30)
        self._forget_refusals(event)

    def _after_contact_transferred(self, event: Event) -> None:
        """Whoever it was transferred to is waited for; for a supervisor's hand, it is there at once."""
        contact = self.state.contacts[event.contact_id or ""]
        until = self.now + self.config.settings.transfer_wait_s * 1000
        waits = contact.target_agent_id is not None and not isinstance(self.command, c.Assign)
        assert contact.target_until == (until if waits else None)

    def _assignment(self, event: Event) -> Assignment:
        return self.state.assignments[event.data["assignment_id"]]

    def _before_contact_parked(self, event: Event) -> None:
        if event.data["reason"] == "callback":
            self._check_left_in_peace(event)
        self._forget_refusals(event)

    def _forget_refusals(self, event: Event) -> None:
        self.refusals = {who: times for who, times in self.refusals.items() if who[0] != event.contact_id}
        for who in [who for who, until in self.barred.items() if who[0] == event.contact_id and until == FOREVER]:
            del self.barred[who]

    def _bar(self, contact: Contact, agent_id: str, least_s: int = 0) -> None:
        own = self.naive.policy(contact).reoffer_after_s
        seconds = self.config.settings.reoffer_after_s if own is None else own
        self.barred[(contact.id, agent_id)] = self.now + max(seconds, least_s) * 1000

    def barred_for_good(self, contact: Contact) -> set[str]:
        """Agents who have been asked as often as the queue allows."""
        return {agent_id for (of, agent_id), until in self.barred.items() if of == contact.id and until == FOREVER}

    # -- units --------------------------------------------------------------------------------------------------

    def _before_assignment_released(self, event: Event) -> None:
        assignment = self.state.assignments[event.data["assignment_id"]]
        assert not assignment.released
        if event.data["reason"] == "interrupted":
            assert self.naive.gives_way(assignment.agent_id, assignment), "interrupted what may not be"
            self.released.setdefault(assignment.agent_id, []).append(assignment)
            return
        if event.data["reason"] == "moved_on":
            assert isinstance(self.command, c.Receive)
            assert assignment.contact_id == self.command.continues
            assert self.command.channel != assignment.channel
            moved_to = self.state.contacts[self.command.contact_id].target_agent_id
            assert assignment.agent_id == moved_to, "the customer is not with this agent"
            return
        silence_ms = self.config.settings.silence_ms(assignment.channel)
        assert silence_ms is not None
        assert self.heard[assignment.id] + silence_ms <= self.now, "released although the customer wrote"

    def _after_assignment_retaken(self, event: Event) -> None:
        assignment = self.state.assignments[event.data["assignment_id"]]
        agent = self.state.agents[assignment.agent_id]
        if present(agent) != [assignment]:
            self._check_room(agent, assignment)

    def _after_message_received(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        if contact.state == "active" and contact.assignment_id is not None:
            self.heard[contact.assignment_id] = event.at
        elif self.naive.is_held_by_quiet_alone(contact):
            self.flag_due = "came_back"

    # -- completion ---------------------------------------------------------------------------------------------

    def _before_assignment_wrap_up(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        policy = self.naive.policy(contact)
        hard = set(contact.tags) & set(policy.breather_tags)
        seconds = policy.wrap_up_s + (policy.breather_s if hard else 0)
        assert event.data["ends_at"] == self.now + seconds * 1000
        self._check_fields(contact)

    def _before_assignment_completed(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        if contact.state == "active":
            self._check_fields(contact)
        held = self.state.assignments[event.data["assignment_id"]]
        if isinstance(self.command, c.FinishWrapUp) and held.outcome == "customer_left":
            given = set(self.command.fields) | ({"resolved"} if held.resolved is not None else set())
            given |= {"disposition"} if held.disposition is not None else set()
            assert given.issuperset(self.naive.policy(contact).required_fields), "nothing says how it was"

    def _before_assignment_noted(self, event: Event) -> None:
        held = self.state.assignments[event.data["assignment_id"]]
        assert ("wrap_up", "customer_left") == (held.state, held.outcome)
        self._check_fields(self.state.contacts[event.contact_id or ""])

    def _check_fields(self, contact: Contact) -> None:
        command = self.command
        if isinstance(command, c.Complete):
            given = set(command.fields) | ({"resolved"} if command.resolved is not None else set())
            given |= {"disposition"} if command.disposition is not None else set()
            assert given.issuperset(self.naive.policy(contact).required_fields), "completed without what is required"

    # -- steps, overflow, splitting -----------------------------------------------------------------------------

    def _before_contact_relaxed(self, event: Event) -> None:
        naive, contact, data = self.naive, self.state.contacts[event.contact_id or ""], event.data
        steps, ask, priority = naive.policy(contact).steps, naive.ask(contact), contact.priority
        assert contact.step < data["step"] <= len(steps)
        before = [ask]
        taken = enumerate(steps[contact.step : data["step"]], contact.step + 1)
        self._expect_alarms(
            event, contact.queue, [(number, each.alarm) for number, each in taken if each.alarm is not None]
        )
        for step in steps[contact.step : data["step"]]:
            ask, priority = relaxed(before[-1], step), priority + step.priority
            before.append(ask)
        if data["reason"] == "time":
            waited_ms = naive.waited_ms(contact, contact.entered_at)
            assert steps[data["step"] - 1].after_s * 1000 <= waited_ms, "a step too early"
        else:
            assert contact.target_agent_id is None, "skipped a step although one agent is waited for"
            reach = [naive.present_for(each, self.barred_for_good(contact)) for each in before]
            assert reach == [False] * (len(reach) - 1) + [True], f"skipped wrongly: {reach}"
        said = Ask(
            ask.channel, requirements_from(data["requirements"]), data["language"], terms_from(data["terms"]), ask.teams
        )
        assert (priority, ask.language) == (data["priority"], said.language)
        assert sorted(ask.requirements, key=repr) == sorted(said.requirements, key=repr), "other requirements are left"
        outside = ask.terms.not_teams
        assert _without(ask.allowed_teams, outside) == _without(said.allowed_teams, outside), "other teams may take it"

    def _before_contact_overflowed(self, event: Event) -> None:
        if event.data["action"] == "queue":
            self._forget_refusals(event)
        naive, contact = self.naive, self.state.contacts[event.contact_id or ""]
        policy = naive.policy(contact)
        assert contact.target_kind != "pinned", "a pinned contact overflowed"
        closed = policy.hours.closed if policy.hours is not None and event.data["reason"] == "closed" else None
        assert naive.overflows(contact, closed or policy.overflow), "overflowed although that changes nothing"
        match event.data["reason"]:
            case "max_length":
                assert policy.max_length is not None
                assert len(naive.waiting(contact.queue)) > policy.max_length, "overflowed although there was room"
            case "max_wait":
                assert policy.max_wait_s is not None
                assert policy.max_wait_s * 1000 <= naive.waited_ms(contact, contact.entered_at), "overflowed too early"
            case "closed":
                assert policy.hours is not None
                assert not naive.is_open(contact), "overflowed although the queue is open"
            case reason:
                raise AssertionError(reason)

    def _before_contact_waiting(self, event: Event) -> None:
        """Whoever begins to wait is not one too many, and could not have been split."""
        naive, contact = self.naive, self.state.contacts[event.contact_id or ""]
        policy, waiting = naive.policy(contact), naive.waiting(contact.queue)
        assert event.data["position"] == waiting.index(contact) + 1
        goes = policy.overflow is not None and policy.overflow.action != "teams"
        if policy.max_length is not None and goes and naive.may_overflow(contact):
            assert len(waiting) <= policy.max_length, "the queue is too long"
        if policy.split and contact.target_agent_id is None:
            assert not self._parts(contact), "not split although it could be"

    def _parts(self, contact: Contact) -> list[tuple[int, bool]]:
        """Of each part that a lead could have: its weight, and whether such a lead is there."""
        naive, ask = self.naive, self.naive.ask(contact)
        asked = [each for each in ask.requirements if each.required and not each.shared]
        if len(asked) < 2 or naive.anyone_for(ask):
            return []
        for each in asked:
            if not any(naive.level(agent, each.skill) >= each.level for agent in self.state.agents):
                return []
        found = []
        for size in range(1, len(asked)):
            for part in combinations(asked, size):
                alone = Ask(ask.channel, part, ask.language, ask.terms, ask.teams, ask.target, ask.kind)
                if naive.anyone_for(alone):
                    found.append((sum(each.weight for each in part), naive.present_for(alone)))
        return found

    def _before_contact_reclassified(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        command = self.command
        other_tags = isinstance(command, c.Reclassify) and command.contact_id == contact.id and command.tags is not None
        if other_tags or event.data.get("anew") or event.data["queue"] != contact.queue:
            self._forget_refusals(event)
        if event.data["reason"] != "split":
            return
        parts = self._parts(contact)
        assert parts, "split although somebody covers it alone, or nobody leads"
        known = {(each.tag, each.skill, each.level) for each in contact.requirements if each.shared}
        left = [
            each["weight"]
            for each in event.data["requirements"]
            if each["required"] and (not each.get("shared") or (each["tag"], each["skill"], each["level"]) in known)
        ]
        led = sum(left) - sum(each.weight for each in contact.requirements if each.shared and each.required)
        there = [weight for weight, is_there in parts if is_there]
        assert max(there or [weight for weight, _ in parts]) == led, "the lead covers less than it could"

    # -- parking ------------------------------------------------------------------------------------------------

    def _before_contact_resumed(self, event: Event) -> None:
        naive, contact, data = self.naive, self.state.contacts[event.contact_id or ""], event.data
        owner, expected = contact.owner_id, None
        if owner is not None and owner in self.state.agents and naive.policy(contact).owner_wait_s:
            serves = naive.limit(owner, contact.channel) is not None
            expected = owner if naive.there(owner) and serves else None
        if contact.target_kind == "pinned":
            expected = contact.target_agent_id
        assert expected == data["target_agent_id"], "not to its owner"

    # -- deadlines ----------------------------------------------------------------------------------------------

    def _before_contact_late(self, event: Event) -> None:
        assert event.data["until"] <= self.now

    def _before_contact_flagged(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        assert event.data["flag"] not in contact.flags, "flagged twice"
        if event.data["flag"] == "long_wait":
            assert self.config.settings.wait_flag_s * 1000 <= self.naive.waited_ms(contact, contact.entered_at)
        elif event.data["flag"] == "asked_all":
            naive, ask = self.naive, self.naive.ask(contact)
            assert naive.present_for(ask), "nobody could take it, asked or not"
            assert not naive.present_for(ask, self.barred_for_good(contact)), "somebody may still be asked"
        elif event.data["flag"] == "callback":
            assert (contact.state, contact.park_reason) == ("parked", "callback")
        elif event.data["flag"] == "outreach":
            command = self.command
            assert isinstance(command, c.Receive)
            assert (command.contact_id, command.outbound, command.urgent) == (contact.id, True, False)
        elif event.data["flag"] == "repeat":
            assert isinstance(self.command, c.MarkRepeat)
        elif event.data["flag"] == "came_back":
            assert isinstance(self.command, c.Message)
            assert self.naive.is_held_by_quiet_alone(contact), "nothing held it"
        else:
            assert contact.transfers >= self.config.settings.transfer_flag_count

    def _before_sla_warning(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        assert (0, None) == (contact.sla_stage, contact.answered_at)
        waited_ms = self.naive.waited_ms(contact, contact.created_at)
        assert self.naive.policy(contact).within_s * 800 <= waited_ms, "warned too early"

    def _before_sla_breached(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        assert (1, None) == (contact.sla_stage, contact.answered_at)
        waited_ms = self.naive.waited_ms(contact, contact.created_at)
        assert self.naive.policy(contact).within_s * 1000 <= waited_ms, "breached too early"

    # -- collaboration ------------------------------------------------------------------------------------------

    def _lead(self, contact: Contact) -> str | None:
        assignment = self.state.assignments.get(contact.assignment_id or "")
        return assignment.agent_id if assignment is not None else None

    def _before_collaboration_requested(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        lead = self._lead(contact)
        self.asked.update((contact.id, each["skill"]) for each in event.data["requirements"])
        assert lead is None or event.agent_id != lead, "the lead is asked for help with its own contact"
        self._check_times(event)
        by_hand = isinstance(self.command, c.Collaborate)
        if not by_hand:
            open_asks = {need.skill for each in self._helps(contact) for need in each.requirements}
            assert not open_asks & {each["skill"] for each in event.data["requirements"]}, "asked twice"
        mentor = self.config.agents[lead].mentor_id if lead is not None else None
        free_choice = not by_hand or (self._asked_of_all() and event.data["department"] is None)
        if mentor is not None and mentor in self.state.agents and self.naive.there(mentor) and free_choice:
            assert mentor == event.agent_id, "the mentor is not asked first"

    def _check_times(self, event: Event) -> None:
        """Those that were asked for; else the department's, of the season; else the tenant's."""
        usual, command = self.config.settings.collaboration, self.command
        department = self.config.departments.get(event.data["department"] or "")
        if department is not None:
            seasons = (each.deadlines for each in department.dated if each.from_at <= self.now < each.until_at)
            usual = next(seasons, department.deadlines)
        asked = command.deadlines if isinstance(command, c.Collaborate) else None
        expected = {
            name: getattr(usual, name) if getattr(asked, name, None) is None else getattr(asked, name)
            for name in ("progress_s", "feedback_s", "solution_s")
        }
        expected["feedback_s"] = expected["feedback_s"] or expected["solution_s"]
        assert expected == event.data["deadlines"], "other deadlines hold"
        feedback_s = expected["feedback_s"]
        assert event.data["feedback_by"] == (None if feedback_s is None else self.now + feedback_s * 1000)

    def _asked_of_all(self) -> bool:
        return isinstance(self.command, c.Collaborate) and self.command.to_agent_id is None

    def _helps(self, contact: Contact) -> list[Collaboration]:
        return [each for each in self.state.collaborations.values() if each.contact_id == contact.id]

    def _before_collaboration_accepted(self, event: Event) -> None:
        contact = self.state.contacts[event.contact_id or ""]
        assert event.data["helper_id"] != self._lead(contact), "the lead helps itself"

    def _before_collaboration_warning(self, event: Event) -> None:
        self._tell_once(event, "warning", 0.8)

    def _before_collaboration_escalated(self, event: Event) -> None:
        once = self._tell_once(event, "escalated", 1.0)
        department = self.config.departments.get(
            self.state.collaborations[event.data["collaboration_id"]].department or ""
        )
        assert event.data["escalate_to"] == (None if department is None else department.escalate_to)
        assert any(each[:3] == once and each[3] == "warning" for each in self.told), "escalated without a warning"

    def _tell_once(self, event: Event, stage: str, share: float) -> tuple[str, str, int]:
        data = event.data
        help_ = self.state.collaborations[data["collaboration_id"]]
        seconds: dict[str, int | None] = {
            "feedback": help_.deadlines.feedback_s,
            "progress": help_.deadlines.progress_s,
            "lead": help_.deadlines.progress_s,
            "solution": help_.deadlines.solution_s,
        }
        early_ms = (seconds[data["deadline"]] or 0) * 1000 * (1 - share)
        assert data["due_at"] - early_ms <= self.now + 1, f"{stage} too early"
        once: tuple[str, str, int] = (help_.id, data["deadline"], data["due_at"])
        assert (*once, stage, event.agent_id) not in self.told, f"{stage} of {data['deadline']} twice for one agent"
        self.told.add((*once, stage, event.agent_id))
        return once

    def _before_contact_closed(self, event: Event) -> None:
        assert event.contact_id not in self.state.helps, "closed before its collaborations"


def _without(teams: frozenset[str] | None, those: tuple[str, ...]) -> frozenset[str] | None:
    return None if teams is None else teams.difference(those)


def _nothing(_: Event) -> None:
    """Nothing is promised of this kind."""
