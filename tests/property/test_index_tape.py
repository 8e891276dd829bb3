"""Random agents and contacts come, change and go; every question is put to the index and to a naive model of it.

The model looks at every agent and every contact. It shares the formulas of one need and one ability with the index, and
none of its sets, lines and orders.
"""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.router import choice, index, lines, ordered, pages, ranking
from src.router.answers import ContactKey, Exclusion, Reach, Standing
from src.router.fit import NO_CHANNEL, Ability, Need, mastery, misfit, preference
from src.router.index import Index
from src.router.model import AgentConfig, ChannelLimit, Weights

AGENTS = tuple(f"a{each}" for each in range(8))
CONTACTS = tuple(f"c{each}" for each in range(10))
QUEUES = ("default", "vip")
CHANNELS = ("voice", "webchat")
SKILLS = ("refund", "fault", "language:zh", "language:en")
TEAMS = ("front", "back")
STATUSES = ("offline", "away", "paused", "disconnected", "available", "available", "available", "available")
DISTRIBUTIONS = ("longest_idle", "round_robin", "least_loaded", "best_skilled", "weighted")

abilities = st.builds(
    AgentConfig,
    id=st.just("any"),
    skills=st.dictionaries(st.sampled_from(SKILLS), st.sampled_from([1, 30, 60, 100]), max_size=3),
    languages=st.sampled_from([(), (), ("zh-CN",), ("en", "zh")]),
    channels=st.sampled_from([None, {"voice": ChannelLimit(1, 1)}, {each: ChannelLimit(1, 1) for each in CHANNELS}]),
    teams=st.sampled_from([(), ("front",), ("back",), TEAMS]),
).map(Ability.of)
standings = st.builds(
    Standing,
    idle_since=st.sampled_from([0, 60_000, 120_000, 600_000, 1_000_000]),
    turn_at=st.sampled_from([0, 30_000, 90_000, 300_000]),
    load=st.sampled_from([0, 0, 250, 500, 1000]),
)
frees = st.sampled_from([(), ("*",), ("voice",), ("webchat",), ("voice", "webchat"), ("webchat", "voice")])
levels = st.sampled_from([1, 30, 50, 100])


def subsets(of: tuple[str, ...], max_size: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.just(()), st.lists(st.sampled_from(of), max_size=max_size, unique=True)).map(
        lambda each: tuple(sorted(each))
    )


needs = st.builds(
    Need,
    channel=st.sampled_from(CHANNELS),
    required=st.one_of(
        st.just(()), st.lists(st.tuples(st.sampled_from(SKILLS), levels), max_size=2).map(sorted).map(tuple)
    ),
    preferred=st.one_of(
        st.just(()),
        st.lists(st.tuples(st.sampled_from(SKILLS), levels, st.integers(0, 3)), max_size=3).map(sorted).map(tuple),
    ),
    teams=subsets(TEAMS, 2),
    not_teams=subsets(TEAMS, 1),
    agents=subsets(AGENTS, 3),
    not_agents=subsets(AGENTS, 2),
)
weights = st.builds(
    Weights,
    idle=st.sampled_from([0.0, 1.0, 0.25]),
    turn=st.sampled_from([0.0, 1.0]),
    load=st.sampled_from([0.0, 1.0, 0.1]),
    skill=st.sampled_from([0.0, 0.0, 1.0, 0.3]),
)
agent_ids, contact_ids, ranks = st.sampled_from(AGENTS), st.sampled_from(CONTACTS), st.integers(0, 9)
few_agents = st.frozensets(agent_ids, max_size=2)


@st.composite
def tapes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Few abilities and few needs, so that many agents are alike and most needs find some."""
    own = st.sampled_from(draw(st.lists(abilities, min_size=1, max_size=4)))
    asked = st.sampled_from(draw(st.lists(needs, min_size=1, max_size=4)))
    move = st.tuples(st.just("move_agent"), agent_ids, st.sampled_from(STATUSES), frees, standings)
    idle = st.tuples(st.just("stand"), agent_ids, standings)
    put = st.tuples(st.just("put_agent"), agent_ids, own, st.sampled_from(STATUSES), frees, standings)
    wait = st.tuples(
        st.just("put_waiting"), contact_ids, ranks, asked, st.sampled_from(QUEUES), st.sampled_from([1, 1, 1, 0])
    )
    distributions = st.sampled_from(draw(st.lists(st.sampled_from(DISTRIBUTIONS), min_size=1, max_size=5)))
    mixes = st.sampled_from(draw(st.lists(weights, min_size=1, max_size=2)))
    ask = st.tuples(
        st.just("ask"),
        asked,
        few_agents,
        st.integers(1, 4),
        distributions,
        mixes,
        st.frozensets(contact_ids, max_size=3),
    )
    gone = st.one_of(
        st.tuples(st.just("remove_agent"), agent_ids),
        st.tuples(st.just("remove_waiting"), contact_ids),
        st.tuples(st.just("remove_waiting"), contact_ids),
    )
    operations = st.one_of(put, put, move, idle, wait, wait, gone, ask, ask, ask)
    return draw(st.lists(operations, min_size=20, max_size=60))


@dataclass
class Agent:
    ability: Ability
    status: str
    free: frozenset[str]
    standing: Standing

    def takes(self, channel: str) -> bool:
        if self.status != "available":
            return False
        if channel == NO_CHANNEL:
            return True
        serves = self.ability.channels is None or channel in self.ability.channels
        return serves and ("*" in self.free or channel in self.free)


@dataclass
class Model:
    agents: dict[str, Agent] = field(default_factory=dict)
    waiting: dict[str, tuple[ContactKey, Need, str, bool]] = field(default_factory=dict)

    def put_agent(self, agent_id: str, agent: Agent) -> bool:
        if agent.status != "available":
            agent.free = frozenset()
        old = self.agents.get(agent_id)
        self.agents[agent_id] = agent
        if old is None or old.ability != agent.ability:
            return bool(agent.free)
        return "*" not in old.free and not agent.free <= old.free

    def reason(self, agent_id: str, need: Need, barred: Collection[str]) -> str | None:
        agent = self.agents[agent_id]
        if need.agents and agent_id not in need.agents:
            return "not_the_target"
        code = misfit(need, agent.ability)
        if code is not None:
            return code
        if agent.status != "available":
            return agent.status
        if not agent.takes(need.channel):
            return "no_capacity"
        if agent_id in need.not_agents:
            return "excluded"
        return "barred" if agent_id in barred else None

    def candidates(
        self, need: Need, barred: Collection[str], count: int, distribution: str, mix: Weights
    ) -> list[tuple[str, int]]:
        def order(agent_id: str) -> tuple[Any, ...]:
            agent = self.agents[agent_id]
            here, skill = agent.standing, mastery(need, agent.ability)
            asked = len(need.asked())
            cost = (mix.idle * here.idle_since + mix.turn * here.turn_at) / 60_000 + mix.load * here.load / 10
            keys: dict[str, tuple[Any, ...]] = {
                "longest_idle": (here.idle_since,),
                "round_robin": (here.turn_at,),
                "least_loaded": (here.load, here.idle_since),
                "best_skilled": (-skill, here.idle_since),
                "weighted": (-((mix.skill * skill / asked if asked else 0.0) - cost), cost),
                "present": (here.load, here.idle_since),
            }
            return (-preference(need, agent.ability), *keys[distribution], agent_id)

        fitting = [each for each in self.agents if self.reason(each, need, barred) is None]
        return [(each, -order(each)[0]) for each in sorted(fitting, key=order)[:count]]

    def next_for(self, agent_id: str, is_barred: Callable[[str], bool]) -> ContactKey | None:
        return min(
            (
                key
                for key, need, _, matchable in self.waiting.values()
                if matchable and agent_id in self.agents and self.reason(agent_id, need, ()) is None
                if not is_barred(key[1])
            ),
            default=None,
        )

    def in_queue(self, queue: str) -> list[ContactKey]:
        return sorted(key for key, _, own, _ in self.waiting.values() if own == queue)

    def reach(self, need: Need) -> Reach:
        fitting = [
            agent
            for agent_id, agent in self.agents.items()
            if misfit(need, agent.ability) is None and agent_id not in need.not_agents
            if not need.agents or agent_id in need.agents
        ]
        return Reach(
            anyone=bool(fitting), present=any(each.status in {"available", "disconnected"} for each in fitting)
        )


class Pair:
    """The index and its model, told and asked the same."""

    def __init__(self) -> None:
        self.index, self.model = Index(), Model()

    def play(self, kind: str, *args: Any) -> None:
        getattr(self, f"_{kind}")(*args)

    def _put_agent(
        self, agent_id: str, ability: Ability, status: str, free: tuple[str, ...], standing: Standing
    ) -> None:
        more = self.model.put_agent(agent_id, Agent(ability, status, frozenset(free), standing))
        assert more == self.index.put_agent(agent_id, ability, status, free, standing)

    def _move_agent(self, agent_id: str, status: str, free: tuple[str, ...], standing: Standing) -> None:
        if agent_id in self.model.agents:
            self._put_agent(agent_id, self.model.agents[agent_id].ability, status, free, standing)

    def _stand(self, agent_id: str, standing: Standing) -> None:
        if agent_id in self.model.agents:
            agent = self.model.agents[agent_id]
            self._put_agent(agent_id, agent.ability, agent.status, tuple(sorted(agent.free)), standing)

    def _remove_agent(self, agent_id: str) -> None:
        self.model.agents.pop(agent_id, None)
        self.index.remove_agent(agent_id)

    def _put_waiting(self, contact_id: str, rank: int, need: Need, queue: str, matchable: bool) -> None:
        told = ((rank, contact_id), need, queue, bool(matchable))
        news = self.model.waiting.get(contact_id) != told
        self.model.waiting[contact_id] = told
        assert news == (not self.index.stands(*told[:3], matchable=told[3]))
        assert news == self.index.put_waiting(*told[:3], matchable=told[3])

    def _remove_waiting(self, contact_id: str) -> None:
        was = self.model.waiting.pop(contact_id, None) is not None
        assert was == self.index.remove_waiting(contact_id)

    def _ask(
        self, need: Need, barred: frozenset[str], count: int, distribution: str, mix: Weights, contacts: frozenset[str]
    ) -> None:
        self._ask_candidates(need, barred, count, distribution, mix)
        waiting = next((self.model.waiting[each][1] for each in sorted(contacts) if each in self.model.waiting), None)
        if waiting is not None:
            self._ask_candidates(waiting, barred, count, distribution, mix)
        assert self.model.reach(need) == self.index.reach(need)
        for agent_id in AGENTS:
            self._ask_agent(agent_id, contacts)
        helping = Need(NO_CHANNEL, need.required, need.preferred, need.teams)
        helpers = self.model.candidates(helping, barred, 1, "present", mix)
        assert (helpers[0][0] if helpers else None) == self.index.present_for(helping, barred)
        assert self.model.reach(helping) == self.index.reach(helping)
        self._ask_queues()

    def _ask_candidates(self, need: Need, barred: frozenset[str], count: int, distribution: str, mix: Weights) -> None:
        signature = self.index.signature(need)
        expected = self.model.candidates(need, barred, count, distribution, mix)
        near = self.index.candidates(signature, barred, count, distribution, mix, sure=1)
        assert bool(near) == bool(expected)
        assert expected[: len(near)] == [(each.agent_id, each.score) for each in near]
        found = self.index.candidates(signature, barred, count, distribution, mix)
        assert expected == [(each.agent_id, each.score) for each in found]
        assert [self.model.agents[each].standing for each, _ in expected] == [each.standing for each in found]
        reasons = {each: self.model.reason(each, need, barred) for each in self.model.agents}
        excluded = self._excluded(need, barred)
        gone = ["deleted"] * len(set(need.agents) - self.model.agents.keys())
        assert Counter([*filter(None, reasons.values()), *gone]) == {code: n for code, n, _ in excluded}
        assert len(excluded) == len({code for code, _, _ in excluded})
        for code, _, example in excluded:
            assert code == "not_the_target" or example is not None
            assert example is None or code == reasons.get(example, "deleted")
        for agent_id, reason in reasons.items():
            assert reason == self.index.reason(agent_id, need, barred)

    def _excluded(self, need: Need, barred: frozenset[str]) -> tuple[Exclusion, ...]:
        """As it is now."""
        signature = self.index.signature(need)
        excluded = self.index.excluded(signature, barred, anew=True)
        assert 0 == excluded.age
        return excluded.reasons

    def _ask_agent(self, agent_id: str, contacts: frozenset[str]) -> None:
        agent = self.model.agents.get(agent_id)
        assert (None if agent is None else agent.status) == self.index.status_of(agent_id)
        for channel in CHANNELS:
            assert (agent is not None and agent.takes(channel)) == self.index.can_take(agent_id, channel)
        assert self.model.next_for(agent_id, contacts.__contains__) == self.index.next_for(
            agent_id, contacts.__contains__
        )
        named = sorted(key for key, need, _, _ in self.model.waiting.values() if agent_id in need.agents)
        assert named == self.index.named(agent_id)

    def _ask_queues(self) -> None:
        assert len(self.model.agents) == self.index.agents()
        for contact_id in CONTACTS:
            assert (contact_id in self.model.waiting) == self.index.waits(contact_id)
            if contact_id not in self.model.waiting:
                assert self.index.position(contact_id) is None
        for queue in QUEUES:
            keys = self.model.in_queue(queue)
            assert len(keys) == self.index.length(queue)
            assert bool(keys) == self.index.anybody_in(queue)
            assert [key[1] for key in keys] == list(self.index.waiting_in(queue))
            assert [key[1] for key in keys[1:]] == list(self.index.waiting_in(queue, after=keys[0] if keys else None))
            assert list(range(1, len(keys) + 1)) == [self.index.position(each) for _, each in keys]
            assert 1 + sum(each < (5, "c5") for each in keys) == self.index.place((5, "c5"), queue)


@contextmanager
def small(**limits: int) -> Iterator[None]:
    """With limits so small that few agents and contacts reach them."""
    patch = pytest.MonkeyPatch()
    for name, limit in limits.items():
        for module in (choice, index, lines, ordered, pages, ranking):
            if hasattr(module, name):
                patch.setattr(sys.modules[module.__name__], name, limit)
    try:
        yield
    finally:
        patch.undo()


def play(tape: list[tuple[Any, ...]]) -> Pair:
    pair = Pair()
    for operation in tape:
        pair.play(*operation)
    return pair


@settings(max_examples=100, deadline=None)
@given(tapes())
def test_the_index_answers_as_if_it_looked_at_everybody(tape: list[tuple[Any, ...]]) -> None:
    play(tape)


@settings(max_examples=200, deadline=None)
@given(tapes())
def test_it_does_so_beyond_every_limit(tape: list[tuple[Any, ...]]) -> None:
    """Several pages, always walked, walks remembered, bookmarks voided, long lines, orders and signatures dropped."""
    with small(
        PAGE_BITS=1,
        BLOCK_MAX=2,
        GATHERED_MAX=0,
        WALKED_PER_GATHERED=1_000,
        WALK_UNREMEMBERED_MAX=0,
        LATE_MAX=3,
        STRIDE=1,
        MILESTONE_AFTER=0,
        SHORT_MAX=2,
        RANKINGS_MAX=2,
        EMPTY_SIGNATURES_MAX=4,
    ):
        play(tape)


@settings(max_examples=40, deadline=None)
@given(tapes())
def test_when_all_have_gone_nothing_is_left(tape: list[tuple[Any, ...]]) -> None:
    with small(PAGE_BITS=1):
        pair = play(tape)
        for agent_id in AGENTS:
            pair.play("remove_agent", agent_id)
        for contact_id in CONTACTS:
            pair.play("remove_waiting", contact_id)
        left = pair.index
        assert [{}] * 5 == [left._slots, left._profiles, left._waiting, left._queues, left._named]
        assert not any(each.lines or len(each.heads) for each in left._rankings.values())
        assert 0 == len(left._waiting_heads)
        for page in left._profile_pages:
            assert [{}] * 4 == [page.profiles, page._skills, page._teams, page._channels]
            assert not any(tally.some or any(tally.counts) for tally in page.tallies.values())
            assert not any(page.agents)
        assert not any(page.waiting for page in left._signature_pages)


steps_of_heads = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 7), st.integers(0, 9), st.integers(0, 4)),
    st.tuples(st.just("remove"), st.integers(0, 7)),
    st.tuples(st.just("walk"), st.integers(0, 2)),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(0, 2), st.integers(0, 3)), min_size=3, max_size=3),
    st.lists(steps_of_heads, min_size=10, max_size=60),
)
def test_a_walk_meets_every_head_that_suits_in_order(sets: list[dict[int, int]], tape: list[tuple[Any, ...]]) -> None:
    """Lines are few and the limits small, so that walks begin at bookmarks and heads come in front of them."""
    with small(PAGE_BITS=1, BLOCK_MAX=2, SHORT_MAX=2, LATE_MAX=3, WALK_UNREMEMBERED_MAX=0, MILESTONE_AFTER=0):
        heads: lines.Heads[int] = lines.Heads()
        own = [lines.Line(each, each) for each in range(5)]
        entries: dict[int, ordered.Entry] = {}
        wanted = [lines.Wanted(each, bookmarks={}) for each in sets]
        for kind, which, *at in tape:
            if kind == "walk":
                suiting = [each for each in own if each.members and wanted[which].suits(each)]
                walked = [each for each in heads.walk(wanted[which]) if each[-1] is not lines.NOBODY]
                assert sorted(each.members[0][:2] for each in suiting) == [each[:2] for each in walked]
                continue
            if which in entries:
                heads.remove(entries.pop(which))
            if kind == "add":
                entries[which] = (at[0], which, own[at[1]])
                heads.add(entries[which])
