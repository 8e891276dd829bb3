"""What must be true once everything that is due has happened."""

from collections.abc import Iterable, Iterator

from src.router.engine import Engine
from src.router.entities import Assignment, Collaboration, Contact
from src.router.model import Overflow, Step
from tests.property.tape.naive import OVERFLOWS_MAX, Ask, Naive, present, relaxed
from tests.property.tape.promises import Promises

ONE = frozenset({"active", "parked", "wrap_up"})


class Rest:
    """Every check of the state as it stands, for one moment."""

    def __init__(self, engine: Engine, promises: Promises, now: int) -> None:
        self.engine, self.promises, self.now = engine, promises, now
        self.state, self.config = promises.state, engine.config
        self.naive = Naive(self.state, self.config, now)

    def check(self) -> None:
        self._check_timers()
        held: dict[str, list[Assignment]] = {}
        for assignment in self.state.assignments.values():
            held.setdefault(assignment.contact_id, []).append(assignment)
        for contact in self.state.contacts.values():
            self._check_holders(contact, held.get(contact.id, []))
            self._check_deadlines(contact)
        for contact in self.naive.waiting():
            self._check_waiting(contact)
        self._check_positions()
        for agent_id in self.state.agents:
            self._check_agent(agent_id)
        for assignment in self.state.assignments.values():
            self._check_assignment(assignment)
            if assignment.state == "active" and assignment.contact_id in self.promises.accepted:
                self._check_share(assignment)
        self.promises.accepted.clear()
        for collaboration in self.state.collaborations.values():
            self._check_collaboration(collaboration)

    def _check_timers(self) -> None:
        due = self.engine.next_due()
        assert due is None or due > self.now, "the timers never rest"

    # -- contacts -----------------------------------------------------------------------------------------------

    def _check_holders(self, contact: Contact, held: list[Assignment]) -> None:
        states = [each.state for each in held]
        offers = {each.id for each in held if each.state == "offered"}
        assert offers == set(self.state.offers.get(contact.id, {}))
        if contact.state == "offered":
            assert states, f"{contact.id} is offered to nobody"
            assert set(states) == {"offered"}, f"{contact.id} is offered and held: {states}"
            assert contact.assignment_id in offers
        elif contact.state in ONE:
            callback = contact.state == "parked" and contact.assignment_id is None
            assert states == ([] if callback else [contact.state]), f"{contact.id} is {contact.state}: {states}"
            assert callback or contact.assignment_id == held[0].id
        else:
            assert not states, f"{contact.id} waits and is held"
            assert contact.assignment_id is None

    def _check_deadlines(self, contact: Contact) -> None:
        settings = self.config.settings
        if contact.state in ("waiting", "offered"):
            within_s = self.naive.policy(contact).within_s
            if contact.answered_at is None:
                age = self.naive.waited_ms(contact, contact.created_at)
                stage = 2 if age >= within_s * 1000 else 1 if age >= within_s * 800 else 0
                assert contact.sla_stage >= stage, f"{contact.id} was not warned of"
            waited = self.naive.waited_ms(contact, contact.entered_at)
            assert waited < settings.wait_flag_s * 1000 or "long_wait" in contact.flags, f"{contact.id} is not flagged"
            assert contact.parked_until is None or contact.parked_until > self.now, f"nobody said {contact.id} is late"
        if contact.state == "parked":
            assert contact.parked_until is not None
            half = (contact.parked_until - contact.updated_at) // 2
            early = min(settings.park_return_s * 1000, half) if contact.park_reason == "promised" else 0
            assert contact.parked_until - early > self.now, f"{contact.id} did not come back"

    def _check_waiting(self, contact: Contact) -> None:
        naive, policy, ask = self.naive, self.naive.policy(contact), self.naive.ask(contact)
        if naive.is_open(contact):
            for agent_id in self.state.agents:
                takes = naive.there(agent_id) and naive.suits(ask, agent_id) and self._may_ask(contact, agent_id)
                if takes and naive.has_room(agent_id, contact.channel):
                    raise AssertionError(f"{contact.id} waits although {agent_id} could take it")
        for each in contact.requirements:
            assert each.lapses_at is None or each.lapses_at > self.now, "a requirement has not lapsed"
        if policy.max_wait_s is not None and naive.may_overflow(contact):
            waited = naive.waited_ms(contact, contact.entered_at)
            assert policy.max_wait_s * 1000 > waited, f"{contact.id} waits for too long"
        self._check_closed(contact, None if policy.hours is None else policy.hours.closed)
        self._check_target(contact)
        self._check_steps(contact)

    def _may_ask(self, contact: Contact, agent_id: str) -> bool:
        return self.promises.barred.get((contact.id, agent_id), 0) <= self.now

    def _check_closed(self, contact: Contact, closed: Overflow | None) -> None:
        if contact.overflows < OVERFLOWS_MAX and self.naive.overflows(contact, closed):
            assert not self.naive.is_closed(contact), f"{contact.id} waits in a queue that has closed"

    def _check_target(self, contact: Contact) -> None:
        """Whoever is waited for is there, or about to come back."""
        if contact.target_agent_id is None:
            return
        agent = self.state.agents[contact.target_agent_id]
        assert contact.target_until is None or contact.target_until > self.now, "waited for a preferred agent too long"
        if contact.target_kind != "pinned":
            assert agent.status == "available", "an agent is waited for that is away"
            assert agent.paused is None, "an agent is waited for that is paused"

    def _check_steps(self, contact: Contact) -> None:
        steps, ask = self.naive.policy(contact).steps[contact.step :], self.naive.ask(contact)
        if not steps:
            return
        waited = self.naive.waited_ms(contact, contact.entered_at)
        assert steps[0].after_s * 1000 > waited, f"{contact.id} did not take its step"
        but = self.promises.barred_for_good(contact)
        asked = contact.target_agent_id is None and self.naive.is_open(contact)
        if asked and not self.naive.present_for(ask, but):
            reached = [each for each in _after(ask, steps) if self.naive.present_for(each, but)]
            assert not reached, f"{contact.id} waits for a step although nobody fits now"

    def _check_positions(self) -> None:
        for queue in self.config.queues:
            for place, contact in enumerate(self.naive.waiting(queue), start=1):
                assert place == self.engine.position(contact.id)
                told = self.engine.estimate(contact.id)
                assert told is None or 0 <= told.low_s <= told.wait_s <= told.high_s
        assert not any(
            self.engine.estimate(each.id) for each in self.state.contacts.values() if each.state != "waiting"
        )

    # -- agents, their work, their help -------------------------------------------------------------------------

    def _check_agent(self, agent_id: str) -> None:
        agent = self.state.agents[agent_id]
        assert agent.load == sum(each.cost for each in present(agent))
        for each in agent.open:
            if each.wanted and each.state == "active":
                fits = self.naive.fits_beside(agent_id, each.channel, each.cost, present(agent))
                assert not fits, f"{each.id} could have its units back"
                assert present(agent), f"{each.id} could have its units back: there is nothing else"
        missed_too_often = agent.status == "available" and agent.misses >= self.config.settings.missed_offers_max
        assert not missed_too_often, f"{agent_id} answers nothing and counts as there"
        assert agent.grace_until is None or agent.grace_until > self.now, f"{agent_id} is gone and counts as there"

    def _check_assignment(self, assignment: Assignment) -> None:
        if assignment.state == "offered":
            ends = max(assignment.expires_at, self.promises.floors.get(assignment.id, 0))
            assert ends > self.now, f"the offer {assignment.id} has not expired"
            assert assignment.id not in self.promises.own, f"{assignment.id} was not accepted by itself"
        if assignment.state == "wrap_up":
            assert assignment.ends_at is not None
            assert assignment.ends_at > self.now, f"the wrap-up of {assignment.id} is not over"
        if assignment.state == "active" and not assignment.released:
            silence_ms = self.config.settings.silence_ms(assignment.channel)
            heard = self.promises.heard[assignment.id]
            assert silence_ms is None or heard + silence_ms > self.now, f"{assignment.id} keeps units in the silence"

    def _check_share(self, assignment: Assignment) -> None:
        """Of a contact that has just been taken: somebody was asked for what its lead does not cover."""
        for each in self.state.contacts[assignment.contact_id].requirements:
            lasts = each.lapses_at is None or each.lapses_at > self.now
            if (
                each.shared
                and each.required
                and lasts
                and self.naive.level(assignment.agent_id, each.skill) < each.level
            ):
                assert (assignment.contact_id, each.skill) in self.promises.asked, f"nobody helps with {each.skill}"

    def _check_collaboration(self, collaboration: Collaboration) -> None:
        assert collaboration.contact_id in self.state.contacts, "help with a contact that has ended"
        waits_alone = collaboration.state == "requested" and collaboration.asked_until is not None
        assert not waits_alone or (collaboration.asked_until or 0) > self.now, "the mentor is asked alone for too long"
        for deadline, by in _deadlines(collaboration):
            if by is not None and by <= self.now:
                assert f"{deadline}.escalated" in collaboration.told, f"{deadline} passed and nobody was told"


def _deadlines(collaboration: Collaboration) -> Iterator[tuple[str, int | None]]:
    yield "feedback", collaboration.feedback_by
    yield "progress", collaboration.progress_by
    yield "lead", collaboration.lead_by
    yield "solution", collaboration.solution_by


def _after(ask: Ask, steps: Iterable[Step]) -> Iterator[Ask]:
    """What is asked after each of the steps."""
    for step in steps:
        ask = relaxed(ask, step)
        yield ask
