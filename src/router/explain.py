"""Why a contact went where it went, as a value that can be stored. Costs what there are profiles, not agents."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from src.router.index import Ability, Candidate, Index, Need, Profile, Signature, misfit
from src.router.model import AgentConfig

RUNNERS_UP_MAX: Final = 10
_EXAMPLE_TRIES: Final = 5


def trace(
    index: Index,
    signature: Signature,
    found: list[Candidate],
    barred: Mapping[str, int],
    *,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of one decision: the winner, the runners-up, and the excluded counted by reason.

    `found` are the candidates, best first; `barred` the agents that may not be asked now, with the time until when.
    `context` (queue, rank, rules …) is put in front.
    """
    return {
        **context,
        "decision": "offered" if found else "waiting",
        "winner": _shown(found[0]) if found else None,
        "runners_up": [_shown(each) for each in found[1 : RUNNERS_UP_MAX + 1]],
        "excluded": excluded(index, signature, barred),
    }


def excluded(index: Index, signature: Signature, barred: Mapping[str, int]) -> list[dict[str, Any]]:
    """Who was not considered: for each reason how many agents, and one of them as an example."""
    tally = _Tally()
    need = signature.need
    if need.target_agent_id is not None:
        _tally_target(tally, index, need.target_agent_id, barred)
    else:
        for profile in index.profiles():
            reason = misfit(need, profile.ability)
            if reason is None:
                _tally_states(tally, index, profile, need)
            else:
                tally.add(reason, profile.size, profile.any_member())
        in_way = [each for each in barred if index.can_take(each, need.channel)]
        tally.add("barred", len(in_way), next(iter(in_way), None))
    return tally.shown()


def one(index: Index, need: Need, barred: Mapping[str, int], agent: AgentConfig) -> str:
    """Why this agent is or is not a candidate now: `fits`, or the code of the first reason against it."""
    if need.target_agent_id not in (None, agent.id):
        return "not_the_target"
    if agent.id in barred:
        return "barred"
    reason = misfit(need, Ability.of(agent))
    if reason is not None:
        return reason
    status = index.status_of(agent.id) or "offline"
    if status != "available":
        return status
    return "fits" if index.can_take(agent.id, need.channel) else "no_capacity"


class _Tally:
    """Agents counted by reason, with one example each."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, str | None]] = {}

    def add(self, reason: str, count: int, example: str | None) -> None:
        if count > 0:
            before, known = self._counts.get(reason, (0, None))
            self._counts[reason] = (before + count, known or example)

    def shown(self) -> list[dict[str, Any]]:
        return [{"reason": reason, "count": n, "example": each} for reason, (n, each) in sorted(self._counts.items())]


def _tally_states(tally: _Tally, index: Index, profile: Profile, need: Need) -> None:
    for status in ("offline", "away", "disconnected"):
        members = profile.members[status]
        tally.add(status, len(members), next(iter(members), None))
    available = profile.members["available"]
    busy = (each for each in islice(available, _EXAMPLE_TRIES) if not index.can_take(each, need.channel))
    tally.add("no_capacity", len(available) - len(profile.free_for(need.channel) or ()), next(busy, None))


def _tally_target(tally: _Tally, index: Index, target: str, barred: Mapping[str, int]) -> None:
    others = sum(profile.size for profile in index.profiles()) - 1
    tally.add("not_the_target", others, None)
    status = index.status_of(target)
    if target in barred:
        tally.add("barred", 1, target)
    elif status is not None and status != "available":
        tally.add(status, 1, target)
    else:
        tally.add("no_capacity", 1, target)


def _shown(candidate: Candidate) -> dict[str, Any]:
    return {"agent_id": candidate.agent_id, "score": candidate.score, "idle_since": candidate.idle_since}
