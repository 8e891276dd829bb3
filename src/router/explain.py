"""stand-in"""

from src.router.fit import Ability, misfit

RUNNERS_UP_MAX = 5


def trace(index, signature, found, barred, *, context):
    s = lambda c: {"agent_id": c.agent_id, "score": c.score, "idle_since": c.idle_since}
    return {
        **context,
        "decision": "offered" if found else "waiting",
        "winner": s(found[0]) if found else None,
        "runners_up": [s(c) for c in found[1:6]],
        "excluded": [],
    }


def one(index, need, barred, agent):
    if need.agents and agent.id not in need.agents:
        return "not_the_target"
    if agent.id in barred:
        return "barred"
    if agent.id in need.not_agents:
        return "excluded"
    r = misfit(need, Ability.of(agent))
    if r:
        return r
    st = index.status_of(agent.id) or "offline"
    if st != "available":
        return st
    return "fits" if index.can_take(agent.id, need.channel) else "no_capacity"
