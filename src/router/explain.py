"""Why a contact went where it went, as a value that can be stored. Costs what there are profiles, not agents."""

from collections.abc import Mapping
from typing import Any, Final

from src.router.index import Ability, Candidate, Index, Need, Signature, misfit
from src.router.model import AgentConfig

RUNNERS_UP_MAX: Final = 5


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
    need = signature.need
    if need.target_agent_id is not None:
        return _excluded_for(need, need.target_agent_id, index, barred)
    absent = index.absent(signature)
    shown = [_reason(*each) for each in absent.reasons]
    free = sum(len(profile.free_for(need.channel) or ()) for _, profile in signature.fits)
    if free < absent.available:
        shown.append(_reason("no_capacity", absent.available - free, index.busy(signature)))
    in_way = [each for each in barred if index.can_take(each, need.channel)]
    if in_way:
        shown.append(_reason("barred", len(in_way), in_way[0]))
    return shown


def _excluded_for(need: Need, target: str, index: Index, barred: Mapping[str, int]) -> list[dict[str, Any]]:
    shown = [_reason("not_the_target", index.agents() - 1, None)] if index.agents() > 1 else []
    status = index.status_of(target)
    if target in barred:
        shown.append(_reason("barred", 1, target))
    elif status not in (None, "available"):
        shown.append(_reason(str(status), 1, target))
    elif not index.can_take(target, need.channel):
        shown.append(_reason("no_capacity", 1, target))
    return shown


def _reason(reason: str, count: int, example: str | None) -> dict[str, Any]:
    return {"reason": reason, "count": count, "example": example}


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


def _shown(candidate: Candidate) -> dict[str, Any]:
    return {"agent_id": candidate.agent_id, "score": candidate.score, "idle_since": candidate.idle_since}
