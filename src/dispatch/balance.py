"""Who should serve what: the same number of tenants for every process that stays, give or take one. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from src.dispatch.ports import Process, Survey

HANDED_MAX: Final = 16
"""So many tenants are handed over at a time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process should do: tenants to claim, and tenants to hand over, each with its successor."""

    claim: Sequence[str]
    hand: Sequence[tuple[str, str]]


def plan(survey: Survey, me: str, served: Collection[str], beyond: Collection[str] = ()) -> Plan:
    """What `me` should do, which serves `served` now and cannot read the journals of `beyond`.

    A process that has lapsed or leaves claims nothing. One that leaves hands over everything that it can.
    """
    mine = survey.live.get(me)
    if mine is None:
        return Plan((), ())
    counts = Counter({each.id: 0 for each in survey.live.values() if not each.draining})
    counts.update(owner for owner in survey.owners.values() if owner is not None and owner in counts)
    given = [each for each, owner in survey.owners.items() if owner == me and each not in served]
    hand = _surplus(survey, mine, counts, sorted({*served, *given} if mine.draining else served))
    if mine.draining:
        return Plan((), hand)
    free = [each for each, owner in survey.owners.items() if owner not in survey.live and each not in beyond]
    fair = -(-len(survey.owners) // len(counts))
    room = max(0, fair - counts[me])
    start = sum(each < me for each in counts) * room  # not all reach for the same
    return Plan((*given, *(free[start:] + free[:start])[:room]), hand)


def _surplus(survey: Survey, mine: Process, counts: Counter[str], served: Sequence[str]) -> list[tuple[str, str]]:
    able = [
        each.id
        for each in survey.live.values()
        if each.id != mine.id and not each.draining and each.address is not None and each.version >= mine.version
    ]
    hand: list[tuple[str, str]] = []
    mine_now = len(served)
    for tenant in served:
        poorest = min(able, key=lambda each: (counts[each], each), default=None)
        if poorest is None or (not mine.draining and (mine_now - counts[poorest] <= 1 or len(hand) >= HANDED_MAX)):
            break
        hand.append((tenant, poorest))
        counts[poorest] += 1
        mine_now -= 1
    return hand
