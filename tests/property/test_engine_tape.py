"""A tape of random operations drives the engine on a fake clock; after each step every promise is checked.

The oracle is naive on purpose: it looks at every waiting contact and every agent, and shares no code with the index.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import Refused
from src.router import commands as c
from src.router.config import Config
from src.router.engine import Engine
from src.router.model import AgentConfig, ChannelLimit, QueueConfig, Requirement, Settings, TagRequest
from src.router.entities import Contact
from src.router.state import State

SKILLS = ("refund", "logistics", "fault")
CHANNELS = ("voice", "webchat", "wechat")
AGENTS = ("a1", "a2", "a3", "a4")
QUEUES = ("default", "vip")

agent_configs = st.builds(
    AgentConfig,
    id=st.sampled_from(AGENTS),
    skills=st.dictionaries(st.sampled_from(SKILLS), st.sampled_from([30, 60, 90]), max_size=3),
    languages=st.sampled_from([(), ("zh",), ("zh", "en")]),
    capacity=st.sampled_from([25, 100, 150]),
    channels=st.one_of(
        st.none(),
        st.dictionaries(
            st.sampled_from(CHANNELS),
            st.builds(ChannelLimit, cost=st.sampled_from([25, 50, 100]), max=st.integers(1, 3)),
            min_size=1,
        ),
    ),
    teams=st.sampled_from([(), ("front",), ("vip",)]),
)
tag_requests = st.lists(
    st.builds(
        TagRequest,
        tag=st.sampled_from(SKILLS),
        level=st.sampled_from([1, 50, 80]),
        required=st.booleans(),
        weight=st.integers(1, 3),
        expires_after_s=st.sampled_from([None, None, 5]),
    ),
    max_size=2,
).map(tuple)
picks = st.integers(0, 1_000)

receive = st.tuples(
    st.just("receive"),
    tag_requests,
    st.sampled_from(CHANNELS),
    st.sampled_from([None, None, "zh"]),
    st.sampled_from([0, 0, 60, 600]),
    st.sampled_from([None, None, "vip"]),
)
presence = st.tuples(
    st.just("presence"), st.sampled_from(AGENTS), st.sampled_from(["available", "available", "away", "offline"])
)
act = st.tuples(st.sampled_from(["accept", "accept", "decline", "complete", "complete", "wrap_up_done"]), picks)
operations = st.one_of(
    receive,
    receive,
    act,
    act,
    presence,
    st.tuples(st.just("put_agent"), agent_configs),
    st.tuples(st.just("delete_agent"), st.sampled_from(AGENTS)),
    st.tuples(st.just("connect"), st.sampled_from(AGENTS)),
    st.tuples(st.just("disconnect"), st.sampled_from(AGENTS), st.booleans()),
    st.tuples(st.just("cancel"), picks),
    st.tuples(st.just("transfer"), picks, st.sampled_from(["agent", "queue", "tags"]), picks, tag_requests),
    st.tuples(st.just("reclassify"), picks, st.one_of(st.none(), tag_requests), st.sampled_from([None, 0, 300])),
    st.tuples(st.just("wrap_up_s"), st.sampled_from([0, 10])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("pass"), st.sampled_from([100, 1_000, 5_000, 21_000, 31_000])),
    st.tuples(st.just("pass"), st.sampled_from([100, 1_000, 5_000, 4_000_000])),
)


@st.composite
def tapes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Three agents are there and contacts keep coming, so that most operations meet something to act on."""
    staffed = [("presence", agent, "available") for agent in AGENTS[:3]]
    return staffed + draw(st.lists(operations, min_size=40, max_size=120))


class Player:
    """Plays operations on an engine, folds its events into a second state, and checks both."""

    def __init__(self) -> None:
        ids = (f"x{each:06d}" for each in count())
        self.new_id: Callable[[], str] = lambda: next(ids)
        self.now = 1_000_000
        config = Config(settings=Settings(presence_grace_s=30, missed_offers_max=2))
        config.queues["vip"] = QueueConfig("vip", teams=("vip",), offer_timeout_s=10)
        self.engine = Engine(self.new_id, config)
        self.fold = State()
        self.contacts: list[str] = []
        self.assignments: list[str] = []
        self.tables: dict[str, dict[str, tuple[Any, ...]]] = {"contacts": {}, "assignments": {}, "agents": {}}
        for each in AGENTS[:3]:
            chats = {"webchat": ChannelLimit(25, 2), "wechat": ChannelLimit(50, 2), "voice": ChannelLimit(100, 1)}
            self.do(c.PutAgent(AgentConfig(each, skills={"refund": 60, "fault": 90}, channels=chats)))

    def play(self, operation: tuple[Any, ...]) -> None:
        command = self._command(*operation)
        if command is not None:
            self.do(command)
        self.check()

    def do(self, command: c.Command) -> None:
        while (due := self.engine.next_due()) is not None and due <= self.now:
            self._decide(c.Tick())
        self._decide(command)

    def _decide(self, command: c.Command) -> None:
        before = self.engine.state.seq
        try:
            decision = self.engine.decide(command, self.now)
        except Refused:
            assert before == self.engine.state.seq, "a refusal left events behind"
            return
        for event in decision.events:
            self.fold.apply(event)
            if event.type == "contact.offered":
                self.assignments.append(event.data["assignment_id"])
                assert event.contact_id is not None
                assert event.agent_id is not None
                self._check_offer(self.engine.state.contacts[event.contact_id], event.agent_id)
        changes = self.engine.state.drain()
        for kind in ("contacts", "assignments", "agents"):
            self.tables[kind].update({row[0]: row for row in getattr(changes, kind)})
        for agent_id in changes.removed_agents:
            del self.tables["agents"][agent_id]
        self.fold.drain()

    def _command(self, kind: str, *args: object) -> c.Command | None:
        command: c.Command | None = getattr(self, f"_op_{kind}")(*args)
        return command

    def _op_receive(
        self, tags: tuple[Any, ...], channel: str, language: str | None, priority: int, queue: str | None
    ) -> c.Receive:
        self.contacts.append(self.new_id())
        return c.Receive(self.contacts[-1], "k1", channel, tags=tags, language=language, priority=priority, queue=queue)

    def _op_put_agent(self, config: AgentConfig) -> c.PutAgent:
        return c.PutAgent(config)

    def _op_delete_agent(self, agent_id: str) -> c.DeleteAgent:
        return c.DeleteAgent(agent_id)

    def _op_presence(self, agent_id: str, status: Any) -> c.SetPresence:
        return c.SetPresence(agent_id, status, lease_s=3600)

    def _op_connect(self, agent_id: str) -> c.Connect:
        return c.Connect(agent_id, self.new_id())

    def _op_disconnect(self, agent_id: str, stale: bool) -> c.Disconnect | None:
        agent = self.engine.state.agents.get(agent_id)
        return None if agent is None else c.Disconnect(agent_id, "older" if stale else agent.session or "")

    def _acts(self, kind: type, pick: int, state: str) -> c.Command | None:
        """Mostly an assignment in the state that the action is for, sometimes any: those must be refused."""
        fitting = [each.id for each in self.engine.state.assignments.values() if each.state == state]
        some = fitting if fitting and pick % 5 else self.assignments
        return kind(some[-1 - pick % min(len(some), 6)]) if some else None

    def _op_accept(self, pick: int) -> c.Command | None:
        return self._acts(c.Accept, pick, "offered")

    def _op_decline(self, pick: int) -> c.Command | None:
        return self._acts(c.Decline, pick, "offered")

    def _op_complete(self, pick: int) -> c.Command | None:
        return self._acts(c.Complete, pick, "active")

    def _op_wrap_up_done(self, pick: int) -> c.Command | None:
        return self._acts(c.FinishWrapUp, pick, "wrap_up")

    def _contact(self, pick: int) -> str | None:
        return self.contacts[-1 - pick % min(len(self.contacts), 8)] if self.contacts else None

    def _op_cancel(self, pick: int) -> c.Command | None:
        contact = self._contact(pick)
        return None if contact is None else c.Cancel(contact)

    def _op_transfer(self, pick: int, to: str, which: int, tags: tuple[Any, ...]) -> c.Command | None:
        active = [each.id for each in self.engine.state.contacts.values() if each.state == "active"]
        contact = active[pick % len(active)] if active and pick % 5 else self._contact(pick)
        if contact is None:
            return None
        if to == "agent":
            return c.Transfer(contact, "t", to_agent_id=AGENTS[which % len(AGENTS)])
        if to == "queue":
            return c.Transfer(contact, "t", to_queue=QUEUES[which % len(QUEUES)])
        return c.Transfer(contact, "t", to_tags=tags)

    def _op_reclassify(self, pick: int, tags: tuple[Any, ...] | None, priority: int | None) -> c.Command | None:
        contact = self._contact(pick)
        return None if contact is None else c.Reclassify(contact, tags=tags, priority=priority)

    def _op_wrap_up_s(self, wrap_up_s: int) -> c.PutQueue:
        return c.PutQueue(QueueConfig("default", wrap_up_s=wrap_up_s))

    def _op_restart(self) -> None:
        """Load what the tables hold into a new engine: from here on it decides."""
        old = self.engine
        state = State()
        state.load(
            old.state.seq,
            old.state.at,
            [row for row in self.tables["contacts"].values() if Contact.from_row(row).closed_at is None],
            [row for row in self.tables["assignments"].values() if row[7] in ("offered", "active", "wrap_up")],
            self.tables["agents"].values(),
        )
        assert old.state.hash == state.hash, "load(tables) is not fold(journal)"
        self.engine = Engine(self.new_id, old.config, state)
        self._decide(c.Restart())

    def _op_pass(self, ms: int) -> c.Tick:
        self.now += ms
        return c.Tick()

    # -- the promises -------------------------------------------------------------------------------------------

    def check(self) -> None:
        state = self.engine.state
        assert state.hash == self.fold.hash, "fold(journal) is not the engine's state"
        holders: dict[str, str] = {}
        for assignment in state.assignments.values():
            assert assignment.contact_id not in holders, "a contact has two holders"
            holders[assignment.contact_id] = assignment.agent_id
        for contact in state.contacts.values():
            assert (contact.id in holders) == (contact.state in ("offered", "active", "wrap_up"))
        for contact, agent_id in self._matchable():
            pytest.fail(f"{contact} waits although {agent_id} could take it")

    def _check_offer(self, contact: Contact, agent_id: str) -> None:
        """What an offer must be, looked at once it has been decided: the agent is there, fits, and has room for it."""
        agent, config = self.engine.state.agents[agent_id], self.engine.config.agents[agent_id]
        assert contact.bars.get(agent_id, 0) <= self.now, "offered to an agent that is barred"
        assert self._suits(contact, agent_id), "offered to an agent that does not fit"
        if config.channels is None:
            assert len(agent.open) == 1, "over capacity"
        else:
            assert agent.load <= config.capacity, "over capacity"
            same = sum(each.channel == contact.channel for each in agent.open.values())
            assert same <= config.channels[contact.channel].max, "over the channel's maximum"

    def _matchable(self) -> Iterator[tuple[Contact, str]]:
        state = self.engine.state
        for contact in state.contacts.values():
            if contact.state != "waiting":
                continue
            for agent in state.agents.values():
                if self._fits(contact, agent.id) and contact.bars.get(agent.id, 0) <= self.now:
                    yield (contact, agent.id)

    def _fits(self, contact: Contact, agent_id: str) -> bool:
        agent, config = self.engine.state.agents[agent_id], self.engine.config.agents[agent_id]
        if config.channels is None:
            return not agent.open and self._suits(contact, agent_id)
        limit = config.channels.get(contact.channel)
        return (
            limit is not None
            and agent.load + limit.cost <= config.capacity
            and sum(each.channel == contact.channel for each in agent.open.values()) < limit.max
            and self._suits(contact, agent_id)
        )

    def _suits(self, contact: Contact, agent_id: str) -> bool:
        """Everything but capacity."""
        agent, config = self.engine.state.agents[agent_id], self.engine.config.agents[agent_id]
        if agent.status != "available" or (agent.session is None and agent.lease_s is None):
            return False
        if contact.target_agent_id is not None:
            return contact.target_agent_id == agent_id
        queue = self.engine.config.queues[contact.queue]
        return (
            (config.channels is None or contact.channel in config.channels)
            and (not queue.teams or bool(set(queue.teams) & set(config.teams)))
            and (contact.language is None or not config.languages or contact.language in config.languages)
            and all(_met(each, config) for each in contact.requirements if each.required)
        )


def _met(requirement: Requirement, config: AgentConfig) -> bool:
    return config.skills.get(requirement.skill, 0) >= requirement.level


@settings(max_examples=120)
@given(tapes())
def test_every_promise_holds_after_every_step(tape: list[tuple[Any, ...]]) -> None:
    player = Player()
    for operation in tape:
        player.play(operation)


@settings(max_examples=60)
@given(tapes())
def test_within_one_need_smaller_ranks_are_offered_first(tape: list[tuple[Any, ...]]) -> None:
    player = Player()
    for operation in tape:
        need = player.engine._board.need
        before = {each.id: (each.key, need(each)) for each in player.engine.state.contacts.values()}
        seq = player.engine.state.seq
        waiting = {each.id for each in player.engine.state.contacts.values() if each.state == "waiting"}
        barred = {each.id for each in player.engine.state.contacts.values() if each.bars}
        player.play(operation)
        still = {each.id for each in player.engine.state.contacts.values() if each.state == "waiting"} & waiting
        taken = {each.id for each in player.engine.state.contacts.values() if each.state == "offered"} & waiting
        assert seq <= player.engine.state.seq
        for left in still - barred:
            for went in taken:
                if before[left][1] == before[went][1] == player.engine._board.need(player.engine.state.contacts[left]):
                    assert before[went][0] < before[left][0], "a later contact was offered first"
