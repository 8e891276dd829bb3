"""Why a contact went where it went, as a value that can be stored. Costs the same with ten agents as with thousands."""

from collections.abc import Mapping
from typing import Any, Final

from src.router.answers import Candidate
from src.router.fit import Need
from src.router.index import Index
from src.router.model import Weights
from src.router.pages import Signature
from src.router.ranking import told_of

RUNNERS_UP_MAX: Final = 3


def trace(
    index: Index,
    signature: Signature,
    found: list[Candidate],
    barred: Mapping[str, int],
    *,
    weights: Weights | None = None,
    context: dict[str, Any],
) -> dict[str, Any]:
    """The record of one decision: the winner, the runners-up, and the excluded counted by reason.

    `found` are the candidates, best first; `barred` the agents that may not be asked now, with the time until when.
    `weights` are those of a mix. `context` (queue, rank, at …) is what the rest is added to. `excluded_age` is how many
    decisions for the same need ago the excluded were counted, if that was not now.
    """
    excluded = index.excluded(signature, barred, anew=not found)
    context["decision"] = "offered" if found else "waiting"
    context["winner"] = _shown(found[0], weights, context["at"]) if found else None
    context["runners_up"] = [_shown(each, weights, context["at"]) for each in found[1 : RUNNERS_UP_MAX + 1]]
    context["excluded"] = [
        {"reason": reason, "count": count, "example": example} for reason, count, example in excluded.reasons
    ]
    if excluded.age:
        context["excluded_age"] = excluded.age
    return context


def one(index: Index, need: Need, barred: Mapping[str, int], agent_id: str) -> str:
    """Why this agent is or is not a candidate now: `fits`, or the code of the first reason against it."""
    return index.reason(agent_id, need, barred) or "fits"


def _shown(candidate: Candidate, weights: Weights | None, now: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "agent_id": candidate.agent_id,
        "score": candidate.score,
        "idle_since": candidate.idle_since,
    }
    if candidate.value is not None and weights is not None:
        shown["value"] = told_of(weights, candidate.value, now)
    return shown
