"""Plays a tape on an engine: makes the commands, lets time pass, keeps tables as a store would, and has all checked."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec

from src.errors import Refused
from src.router import commands as c
from src.router.config import Config
from src.router.engine import Archive, Engine
from src.router.entities import Agent, Assignment, Collaboration, Contact, Row
from src.router.journal import Event
from src.router.model import QueueConfig
from src.router.state import Changes, State
from tests.property.tape import operations
from tests.property.tape.naive import Naive
from tests.property.tape.operations import AGENTS, OPERATIONS, QUEUES, Dice
from tests.property.tape.promises import Promises
from tests.property.tape.rest import Rest
from tests.support.told import check

Operation = tuple[str, int]
"""What happens, and the number that decides its details."""

TICKS_MAX = 200
"""So many turns at most until nothing more is due: beyond that the engine would never rest."""

_ENTITIES: dict[str, type[Contact | Assignment | Agent | Collaboration]] = {
    "contacts": Contact,
    "assignments": Assignment,
    "agents": Agent,
    "collaborations": Collaboration,
}


class Player:
    """An engine, a clock, and the tables that its changes add up to."""

    def __init__(self) -> None:
        ids = (f"x{each:06d}" for each in count())
        self.new_id: Callable[[], str] = lambda: next(ids)
        self.now = 1_000_000
        self.engine = Engine(self.new_id, Config())
        self.promises = Promises()
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in _ENTITIES}
        self.contacts: list[str] = []
        self.assignments: list[str] = []
        self.helps: list[str] = []

    # -- playing ------------------------------------------------------------------------------------------------

    def open(self, number: int) -> None:
        """A centre that is at work: queues with policies, agents who are there."""
        dice = Dice(number)
        for name in QUEUES:
            self.do(c.PutQueue(QueueConfig(name)))
        for name in QUEUES:
            self.do(c.PutQueue(operations.queue_config(dice, name)))
        self.do(operations.put_department(self, dice))
        self.do(operations.put_settings(self, dice))
        for agent_id in AGENTS:
            command = operations.put_agent(self, dice)
            assert isinstance(command, c.PutAgent)
            self.do(c.PutAgent(replace(command.config, id=agent_id, mentor_id=None)))
            self.do(c.SetPresence(agent_id, dice.one("available", "available", "available", "away")))
        self.check()

    def play(self, operation: Operation) -> None:
        """One operation, and all that is due by then."""
        name, number = operation
        command = OPERATIONS[name](self, Dice(number))
        if command is not None:
            self.do(command)
            self.check()

    def do(self, command: c.Command) -> None:
        """What is due comes first, as in a loop; what the command makes due comes at once."""
        if isinstance(command, c.Tick):
            self._decide(command)
        self._tick()
        if not isinstance(command, c.Tick):
            self._decide(command)
            self._tick()

    def _tick(self) -> None:
        for _ in range(TICKS_MAX):
            due = self.engine.next_due()
            if due is None or due > self.now:
                return
            self._decide(c.Tick())
        raise AssertionError("the timers never rest")

    def _decide(self, command: c.Command) -> None:
        state, config = self.engine.state, self.engine.config
        seq, digest, configured = state.seq, state.hash, _names(config)
        try:
            decision = self.engine.decide(command, self.now, self._archive())
        except Refused:
            changes = state.drain()
            assert not any(getattr(changes, each) for each in _ENTITIES), "a refusal changed something"
            assert (seq, digest) == (state.seq, state.hash), "a refusal left events behind"
            assert configured == _names(config), "a refusal changed the configuration"
            return
        for event in decision.events:
            self.promises.follow(_through_json(event), command, config)
            check("tenant", event)
            if event.type == "contact.offered":
                self.assignments.append(event.data["assignment_id"])
        self._store(state.drain())
        self.promises.state.drain()
        assert self.promises.state.hash == state.hash, "fold(journal) is not the engine's state"

    def _store(self, changes: Changes) -> None:
        for name, entity in _ENTITIES.items():
            for row in getattr(changes, name):
                assert row == entity.from_row(row).row(), "a row does not say all"
                self.tables[name][row[0]] = row
        for agent_id in changes.removed_agents:
            self.tables["agents"].pop(agent_id, None)

    def _archive(self) -> Archive:
        """What the shell would look up: whatever a command may still name."""
        state = self.engine.state
        gone = [each for each in self.contacts[-12:] if each not in state.contacts and each in self.tables["contacts"]]
        ended = [each for each in self.assignments[-12:] if each not in state.assignments]
        helped = [each for each in self.helps[-6:] if each not in state.collaborations]
        tables = self.tables
        return Archive(
            {each: Contact.from_row(tables["contacts"][each]) for each in gone},
            {each: Assignment.from_row(tables["assignments"][each]) for each in ended},
            {
                each: Collaboration.from_row(tables["collaborations"][each])
                for each in helped
                if each in tables["collaborations"]
            },
        )

    def check(self) -> None:
        """Everything that must be so when nothing is due."""
        Rest(self.engine, self.promises, self.now).check()

    def restart(self, *, alike: bool, live: bool) -> None:
        """Load what the tables hold into a new engine, which decides from here on; `alike`: in the same process."""
        old, state = self.engine, State()
        state.load(
            old.state.seq,
            old.state.at,
            [row for row in self.tables["contacts"].values() if Contact.from_row(row).closed_at is None],
            [row for row in self.tables["assignments"].values() if Assignment.from_row(row).ended_at is None],
            self.tables["agents"].values(),
            [row for row in self.tables["collaborations"].values() if Collaboration.from_row(row).closed_at is None],
        )
        assert old.state.hash == state.hash, "load(tables) is not fold(journal)"
        self.engine = Engine(self.new_id, old.config, state)
        sockets = frozenset(each.session for each in state.agents.values() if each.session is not None)
        leases, floors = (old.leases(), old.floors()) if alike else (None, {})
        self.promises.restarted(self.now, handed_over=not alike)
        self._decide(c.Restart(sockets if live else frozenset(), leases, floors))
        self._tick()
        self.check()

    # -- looking without touching -------------------------------------------------------------------------------

    def explain(self, contact_id: str) -> None:
        """What is explained is what is so, and asking changes nothing."""
        state = self.engine.state
        contact, naive = state.contacts.get(contact_id), Naive(state, self.engine.config, self.now)
        before = (state.seq, self.engine.next_due())
        if contact is None:
            return
        told = self.engine.explain_contact(contact_id, self.now)
        assert before == (state.seq, self.engine.next_due()), "explaining changed something"
        ask = naive.ask(contact)
        if contact.state != "waiting":
            return
        for shown in told["agents"]:
            agent_id = shown["agent_id"]
            takes = naive.there(agent_id) and naive.suits(ask, agent_id) and naive.has_room(agent_id, contact.channel)
            fits = takes and self.promises.barred.get((contact_id, agent_id), 0) <= self.now
            assert fits == shown["fits"], f"{agent_id}: {shown['reasons']}"
            assert fits == (self.engine.explain(contact_id, agent_id) == "fits")

    def dry_run(self, command: c.Receive) -> None:
        """What would become of a contact; then it comes, and that does."""
        self._tick()
        state = self.engine.state
        before = (state.seq, self.engine.next_due())
        told = self.engine.dry_run(command, self.now)
        assert before == (state.seq, self.engine.next_due()), "a dry run changed something"
        self.do(command)
        self.check()
        received = self.promises.received
        if received is None or received.contact_id != command.contact_id:
            return  # it was refused
        for each in ("queue", "priority", "language", "requirements", "terms", "pilot", "rules"):
            assert received.data[each] == told[each]
        preferred = None if told["preferred"] is None else told["preferred"]["agent_id"]
        assert preferred == received.data["target_agent_id"]

    def dry_run_transfer(self, command: c.Transfer) -> None:
        """Who could take a contact that is handed on; then it is, and goes to one of them."""
        self._tick()
        state = self.engine.state
        before = (state.seq, self.engine.next_due())
        try:
            told = self.engine.dry_run_transfer(command, self.now, self._archive())
        except Refused:
            self.do(command)
            assert before[0] == self.engine.state.seq, "what a dry run refuses was done"
            return
        assert before == (state.seq, self.engine.next_due()), "a dry run changed something"
        self.do(command)
        self.check()
        contact = state.contacts.get(command.contact_id)
        offers = {each.agent_id for each in state.offers.get(command.contact_id, {}).values()}
        if told["open"] and told["candidates"]:
            assert contact is not None
            assert contact.state != "waiting", "nobody has it although somebody was said to fit"
            assert offers <= {each["agent_id"] for each in told["agents"] if each["fits"]}, "somebody else has it"

    # -- what operations choose from ----------------------------------------------------------------------------

    def contact(self, dice: Dice, *states: str, where: Callable[[Contact], bool] = lambda _: True) -> str | None:
        """Mostly a contact in one of the states, sometimes any: then the command must be refused."""
        fitting = [each for each in self.engine.state.contacts.values() if each.state in states and where(each)]
        if fitting and not dice.once_in(8):
            return dice.choice(fitting).id
        return dice.choice(self.contacts[-8:]) if self.contacts and dice.once_in(4) else None

    def assignment(self, dice: Dice, *states: str) -> str | None:
        """The same of assignments."""
        fitting = [each.id for each in self.engine.state.assignments.values() if each.state in states]
        if fitting and not dice.once_in(8):
            return dice.choice(fitting)
        return dice.choice(self.assignments[-8:]) if self.assignments and dice.once_in(4) else None

    def help(self, dice: Dice, *states: str) -> str | None:
        """The same of collaborations."""
        fitting = [each.id for each in self.engine.state.collaborations.values() if each.state in states]
        if fitting and not dice.once_in(8):
            return dice.choice(fitting)
        return dice.choice(self.helps[-6:]) if self.helps and dice.once_in(4) else None


def _names(config: Config) -> tuple[Any, ...]:
    """The configuration, to be compared."""
    parts = (config.agents, config.queues, config.tags, config.rules, config.pilots, config.departments)
    return (*(dict(each) for each in parts), config.settings)


def _through_json(event: Event) -> Event:
    """The event as it comes back from the store."""
    return msgspec.json.decode(msgspec.json.encode(event), type=Event)
