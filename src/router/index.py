"""Naive stand-in."""

from bisect import insort
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from src.router.fit import Ability, Need, mastery, misfit, preference, primary
from src.router.model import Weights

ContactKey = tuple[int, str]


class Standing(NamedTuple):
    idle_since: int
    turn_at: int
    load: int


class Candidate(NamedTuple):
    agent_id: str
    score: int
    idle_since: int


class Reach(NamedTuple):
    anyone: bool
    present: bool


class Signature(NamedTuple):
    need: Need


class Index:
    def __init__(self):
        self.a = {}
        self.w = {}

    def put_agent(self, agent_id, ability, status, free, standing):
        old = self.a.get(agent_id)
        self.a[agent_id] = (ability, status, free, standing)
        return bool(free) and (old is None or old[0] != ability or any(f not in old[2] for f in free))

    def remove_agent(self, agent_id):
        self.a.pop(agent_id, None)

    def status_of(self, agent_id):
        return self.a[agent_id][1] if agent_id in self.a else None

    def can_take(self, agent_id, channel):
        if agent_id not in self.a:
            return False
        free = self.a[agent_id][2]
        return channel in free or "*" in free

    def agents(self):
        return len(self.a)

    def waits(self, contact_id):
        return contact_id in self.w

    def stands(self, key, need, queue, *, matchable):
        return self.w.get(key[1]) == (key, need, queue, matchable)

    def put_waiting(self, key, need, queue, *, matchable=True):
        self.w[key[1]] = (key, need, queue, matchable)

    def remove_waiting(self, contact_id):
        return self.w.pop(contact_id, None) is not None

    def signature(self, need):
        return Signature(need)

    def fits(self, need, agent_id):
        if need.agents and agent_id not in need.agents:
            return False
        if agent_id in need.not_agents:
            return False
        ab = self.a[agent_id][0]
        if need.channel == "" and ab.channels is not None:
            need = Need(next(iter(ab.channels), ""), need.required, need.preferred, need.teams, need.not_teams)
        return misfit(need, ab) is None

    def candidates(self, signature, barred, count, distribution="longest_idle", weights=None):
        need = signature.need
        out = []
        for aid, (ab, st, free, s) in self.a.items():
            if aid in barred or not self.can_take(aid, need.channel) or not self.fits(need, aid):
                continue
            sc = preference(need, ab)
            m = mastery(need, ab)
            n = len(need.asked()) or 1
            if distribution == "longest_idle":
                k = (s.idle_since, aid)
            elif distribution == "round_robin":
                k = (s.turn_at, aid)
            elif distribution == "least_loaded":
                k = (s.load, s.idle_since, aid)
            elif distribution == "best_skilled":
                k = (-m, s.idle_since, aid)
            else:
                w = weights
                k = (
                    w.idle * s.idle_since / 60000 + w.turn * s.turn_at / 60000 + w.load * s.load / 10 - w.skill * m / n,
                    aid,
                )
            out.append(((-sc, *k), Candidate(aid, sc, s.idle_since)))
        return [c for _, c in sorted(out)[:count]]

    def next_for(self, agent_id, barred):
        best = None
        for key, need, q, m in self.w.values():
            if (
                m
                and (best is None or key < best)
                and not barred(key[1])
                and self.can_take(agent_id, need.channel)
                and self.fits(need, agent_id)
            ):
                best = key
        return best

    def named(self, agent_id):
        return sorted(k for k, n, q, m in self.w.values() if agent_id in n.agents)

    def position(self, cid):
        if cid not in self.w:
            return None
        key, _, q, _ = self.w[cid]
        return 1 + sum(1 for k, n, qq, m in self.w.values() if qq == q and k < key)

    def length(self, q):
        return sum(1 for k, n, qq, m in self.w.values() if qq == q)

    def anybody_in(self, q):
        return self.length(q) > 0

    def waiting_in(self, q, after=None):
        return [k[1] for k in sorted(k for k, n, qq, m in self.w.values() if qq == q) if after is None or k > after]

    def reach(self, need):
        f = [a for a in self.a if self.fits(need, a)]
        return Reach(bool(f), any(self.a[a][1] == "available" for a in f))

    def present_for(self, need, but):
        f = sorted(
            (self.a[a][3].load, self.a[a][3].idle_since, a)
            for a in self.a
            if a not in but and self.a[a][1] == "available" and self.fits(need, a)
        )
        return f[0][2] if f else None
