"""A real engine whose decisions become batches, for tests of stores."""

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from src.dispatch.facts import Answer, Fact
from src.dispatch.ports import Batch, Head, Store
from src.errors import Refused
from src.router import commands as c
from src.router.engine import Engine
from src.router.journal import Event
from src.router.model import AgentConfig, ChannelLimit
from src.router.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_MS = 1_700_000_000_000


class Writer:
    """One tenant's engine, and what it has decided since the last batch."""

    def __init__(self, tenant: str, prefix: str = "x") -> None:
        self.ids: Iterator[str] = (f"{prefix}{each:06d}" for each in count())
        self.tenant = tenant
        self.now = START_MS
        self.engine = Engine(self.new_id)
        self.before = 0
        self.events: list[Event] = []
        self.traces: list[tuple[str, int, Mapping[str, Any]]] = []

    @property
    def state(self) -> State:
        return self.engine.state

    def take_over(self, state: State) -> None:
        """Go on from what another writer has written."""
        self.engine = Engine(self.new_id, state=state)
        self.before, self.now = state.seq, state.at

    def new_id(self) -> str:
        return next(self.ids)

    def do(self, command: c.Command) -> None:
        self.now += 10
        decision = self.engine.decide(command, self.now)
        self.events.extend(decision.events)
        self.traces.extend(decision.traces)

    def try_(self, command: c.Command) -> None:
        """The same, where a refusal is as good."""
        with suppress(Refused):
            self.do(command)

    def tell(
        self,
        event_type: str,
        /,
        *,
        contact_id: str | None = None,
        agent_id: str | None = None,
        customer_id: str | None = None,
        **data: Any,
    ) -> None:
        """Fold an event that was decided elsewhere: a store must keep whatever a journal may hold."""
        self.now += 10
        event = Event(self.state.seq + 1, event_type, self.now, contact_id, agent_id, customer_id, data)
        self.state.apply(event)
        self.events.append(event)

    def batch(self, *facts: Fact, answers: tuple[Answer, ...] = ()) -> Batch:
        """What has gathered, as the batch that follows the one before."""
        changes = self.state.drain()
        head = Head(self.state.seq, self.new_id(), self.state.at, self.state.hash)
        batch = Batch(self.tenant, self.before, head, self.events, changes, self.traces, facts, answers)
        self.before, self.events, self.traces = self.state.seq, [], []
        return batch

    def staff(self, *agents: str) -> None:
        """Agents that are there for voice and chat."""
        for agent in agents:
            limits = {"chat": ChannelLimit(25, 4), "voice": ChannelLimit(100, 1)}
            self.do(c.PutAgent(AgentConfig(agent, channels=limits)))
            self.do(c.SetPresence(agent, "available"))

    def ask(self, contact_id: str, agent_id: str | None = None, **fields: Any) -> str:
        """A collaboration that was asked for; its id."""
        collaboration_id = self.new_id()
        asked: dict[str, Any] = {
            "kind": "help",
            "department": None,
            "requirements": [],
            "deadlines": {"progress_s": None, "feedback_s": 7200, "solution_s": None},
            "feedback_by": self.now + 7_200_000,
            "asked_until": None,
            "by": "a1",
        }
        self.tell(
            "collaboration.requested",
            contact_id=contact_id,
            agent_id=agent_id,
            collaboration_id=collaboration_id,
            **asked | fields,
        )
        return collaboration_id

    def contact(self, customer_id: str = "k1", **fields: Any) -> str:
        """A new contact; its id."""
        contact_id = self.new_id()
        self.do(c.Receive(contact_id, customer_id, fields.pop("channel", "chat"), **fields))
        return contact_id


async def loaded(store: Store, tenant: str) -> State:
    """The state that the tables add up to; its hash must be the head's."""
    found = await store.load(tenant)
    state = State()
    state.load(found.head.seq, found.head.at, found.contacts, found.assignments, found.agents, found.collaborations)
    assert found.head.state_hash == state.hash, "load(tables) is not what the head recorded"
    return state
