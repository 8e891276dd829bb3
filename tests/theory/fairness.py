"""Twenty equal agents over a simulated day: how evenly each distribution shares out work and rest.

Run as a program it draws the chart in `docs/fairness.svg`: `python -m tests.theory.fairness > docs/fairness.svg`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean, pstdev
from typing import Final, Literal

from src.router.model import AgentConfig, ChannelLimit, Distribution, TagRequest, Weights
from tests.theory.simulation import CHANNEL, NO_DEADLINES, Centre, Run, Stream, Visit, simulate

Kind = Literal["calls", "chats"]

AGENTS: Final = 20
DAY_S: Final = 10 * 3600
SERVICE_S: Final = 180.0
SKILL: Final = "refund"

MIX: Final = Weights(idle=1.0, turn=0.5, load=0.2, skill=0.1)

DISTRIBUTIONS: Final[Mapping[Distribution, Weights | None]] = {
    "longest_idle": None,
    "round_robin": None,
    "least_loaded": None,
    "best_skilled": None,
    "weighted": MIX,
}
"""Each distribution, and the weights of the mix."""


def centre_of(
    distribution: Distribution,
    weights: Weights | None = None,
    *,
    load: float = 0.6,
    slots: int = 1,
    levels: Mapping[int, int] | None = None,
) -> Centre:
    """Agents that are equal but for `levels` (by number; 50 where none is given), with so many contacts at a time.

    `load` is the share of all slots that is taken on average.
    """
    queue = replace(NO_DEADLINES, distribution=distribution, weights=weights)
    agents = tuple(
        AgentConfig(
            f"agent-{number:02d}",
            skills={SKILL: (levels or {}).get(number, 50)},
            channels={CHANNEL: ChannelLimit(100 // slots, slots)},
        )
        for number in range(AGENTS)
    )
    stream = Stream("day", SERVICE_S / (load * AGENTS * slots), SERVICE_S, tags=(TagRequest(SKILL),))
    return Centre((stream,), agents, queue=queue)


@cache
def day_of(distribution: Distribution, kind: Kind) -> Run:
    """A day under a distribution. The same contacts come at the same times under each.

    Calls are served one at a time and keep agents busy for 60 % of the day; chats come as three at a time, and of the
    places for them 30 % are taken.
    """
    weights = DISTRIBUTIONS[distribution]
    if kind == "calls":
        return simulate(centre_of(distribution, weights, load=0.6), DAY_S, seed=1)
    return simulate(centre_of(distribution, weights, load=0.3, slots=3), DAY_S, seed=1)


@dataclass(frozen=True, slots=True)
class Desk:
    """An agent at the moment of a choice. `free` is the share of its capacity that is free."""

    agent_id: str
    idle_since: int
    turn_at: int
    contacts: int
    free: float
    level: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A contact that found somebody free: when, whose it became, and how everyone stood who had a place for it."""

    at: int
    chosen: Desk
    desks: list[Desk]


def choices(run: Run) -> Iterator[Choice]:
    """The choices of a day, in the order in which they were made."""
    limits = {each.id: each.channels[CHANNEL] for each in run.centre.agents if each.channels}
    slots = {agent_id: limit.max for agent_id, limit in limits.items()}
    levels = {each.id: each.skills[SKILL] for each in run.centre.agents}
    idle_since, turn_at = dict.fromkeys(slots, 0), dict.fromkeys(slots, 0)
    held: dict[str, list[float]] = {each: [] for each in slots}
    for visit in sorted(run.visits, key=_offered):
        assert visit.agent_id is not None
        assert visit.offered_at is not None
        assert visit.ended_at is not None
        for agent_id, ends in held.items():
            over = [each for each in ends if int(each) <= visit.offered_at]
            if over:
                idle_since[agent_id] = max(idle_since[agent_id], *(int(each) for each in over))
                held[agent_id] = [each for each in ends if each not in over]
        if visit.wait == 0:
            desks = {
                each: Desk(
                    each,
                    idle_since[each],
                    turn_at[each],
                    len(ends),
                    1 - len(ends) * limits[each].cost / 100,
                    levels[each],
                )
                for each, ends in held.items()
                if len(ends) < slots[each]
            }
            yield Choice(visit.offered_at, desks[visit.agent_id], list(desks.values()))
        held[visit.agent_id].append(visit.ended_at)
        idle_since[visit.agent_id] = turn_at[visit.agent_id] = visit.offered_at


def _offered(visit: Visit) -> int:
    assert visit.offered_at is not None
    return visit.offered_at


@dataclass(frozen=True, slots=True)
class Spread:
    """How a day was shared out. `gaps_s` are all times, of all agents, between two contacts without any."""

    contacts: Mapping[str, int]
    busy: Mapping[str, float]
    gaps_s: tuple[float, ...]

    @property
    def contacts_cv(self) -> float:
        """Standard deviation over mean of the contacts of each agent."""
        return _cv([float(each) for each in self.contacts.values()])

    @property
    def gaps_cv(self) -> float:
        """The same of the idle times: 1 is as uneven as chance, 0 all alike."""
        return _cv(self.gaps_s)

    def __str__(self) -> str:
        counts, busy = self.contacts.values(), self.busy.values()
        return (
            f"contacts of an agent {min(counts)} to {max(counts)}, variation {100 * self.contacts_cv:.1f} %; "
            f"busy {100 * min(busy):.0f} to {100 * max(busy):.0f} % of the day; "
            f"idle times {fmean(self.gaps_s):.0f} s on average, {max(self.gaps_s):.0f} s at most, "
            f"variation {100 * self.gaps_cv:.0f} %"
        )


def spread(run: Run) -> Spread:
    """Of a run, agent by agent."""
    spans: dict[str, list[tuple[float, float]]] = {each.id: [] for each in run.centre.agents}
    for visit in run.visits:
        assert visit.agent_id is not None
        assert visit.offered_at is not None
        assert visit.ended_at is not None
        spans[visit.agent_id].append((visit.offered_at, min(visit.ended_at, run.until)))
    gaps: list[float] = []
    busy: dict[str, float] = {}
    for agent_id, each in spans.items():
        free_at, idle = 0.0, 0.0
        for start, end in sorted(each):
            if start > free_at:
                idle += start - free_at
                if free_at > 0:
                    gaps.append((start - free_at) / 1000)
            free_at = max(free_at, end)
        busy[agent_id] = 1 - (idle + run.until - min(free_at, run.until)) / run.until
    return Spread({agent_id: len(each) for agent_id, each in spans.items()}, busy, tuple(gaps))


def _cv(values: Sequence[float]) -> float:
    return pstdev(values) / fmean(values)


# -- the chart ------------------------------------------------------------------------------------------------------

_COLUMNS: Final = ("contacts of each agent, calls", "contacts of each agent, chats", "idle times, calls")
_WIDTH, _HEIGHT, _LEFT, _TOP = 240, 60, 110, 40
_GAP_MAX_S, _GAP_STEP_S = 480, 20


def chart() -> str:
    """An SVG: for each distribution the agents' contacts, most first, and how often which idle time came."""
    rows = []
    for number, distribution in enumerate(DISTRIBUTIONS):
        calls, chats = spread(day_of(distribution, "calls")), spread(day_of(distribution, "chats"))
        gaps = [0] * (_GAP_MAX_S // _GAP_STEP_S)
        for each in calls.gaps_s:
            gaps[min(int(each) // _GAP_STEP_S, len(gaps) - 1)] += 1
        y = _TOP + number * (_HEIGHT + 30)
        rows.append(f'<text x="0" y="{y + _HEIGHT / 2}">{distribution}</text>')
        for column, (heights, top, note) in enumerate(
            (
                (sorted(calls.contacts.values(), reverse=True), 150, _note(calls.contacts_cv)),
                (sorted(chats.contacts.values(), reverse=True), 250, _note(chats.contacts_cv)),
                (gaps, 450, f"{_note(calls.gaps_cv)}, at most {max(calls.gaps_s):.0f} s"),
            )
        ):
            x, step = _LEFT + column * (_WIDTH + 30), _WIDTH / len(heights)
            rows += [
                f'<rect x="{x + place * step:.1f}" y="{y + _HEIGHT - min(each / top, 1) * _HEIGHT:.1f}" '
                f'width="{step - 1:.1f}" height="{min(each / top, 1) * _HEIGHT:.1f}"/>'
                for place, each in enumerate(heights)
            ]
            rows.append(f'<text x="{x}" y="{y + _HEIGHT + 13}" class="note">{note}</text>')
    heads = [
        f'<text x="{_LEFT + column * (_WIDTH + 30)}" y="{_TOP - 16}">{head}</text>'
        for column, head in enumerate((*_COLUMNS[:2], f"{_COLUMNS[2]} (0 to {_GAP_MAX_S} s)"))
    ]
    size = f"0 0 {_LEFT + 3 * (_WIDTH + 30)} {_TOP + len(DISTRIBUTIONS) * (_HEIGHT + 30)}"
    style = "text{font:13px sans-serif;fill:#222}.note{font-size:11px;fill:#666}rect{fill:#3b6ea5}"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">',
            f"<style>{style}</style>",
            '<rect width="100%" height="100%" style="fill:#fff"/>',
            *heads,
            *rows,
            "</svg>\n",
        )
    )


def _note(variation: float) -> str:
    return f"variation {100 * variation:.1f} %"


if __name__ == "__main__":
    sys.stdout.write(chart())
