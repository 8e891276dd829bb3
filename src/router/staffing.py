"""How many agents are needed for so much work: Erlang C, and how many contacts one agent has at a time.

It is asked by forecasts alone: no contact is routed by it. Contacts come at random and independently of each other,
handling times are exponential, everybody takes everything, and nobody gives up; where some do, fewer agents are needed.
See A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges" (1917).
"""

from collections.abc import Mapping
from math import ceil, exp
from typing import Final

from src.router.model import ChannelLimit

PERCENT_MAX: Final = 99.9
"""No number of agents answers all contacts in time: a service level of 100 percent is taken for this."""

_NEGLIGIBLE: Final = 1e-17


def agents_needed(load: float, handling_s: float, within_s: float, percent: float, at_once: float) -> int:
    """The fewest agents who answer `percent` of all contacts within `within_s` seconds.

    `load` is how many contacts are in hand at a time: those that come in a second, times `handling_s`. An agent who has
    `at_once` contacts at a time counts as so many.
    """
    return ceil(lines_needed(load, handling_s, within_s, percent) / at_once)


def lines_needed(load: float, handling_s: float, within_s: float, percent: float) -> int:
    """The same, counted in contacts that can be handled at a time."""
    if load <= 0:
        return 0
    late_max = 1 - min(percent, PERCENT_MAX) / 100
    lines = int(load) + 1
    inverse = _inverse_blocking(lines, load)
    while _late(lines, load, inverse, within_s / handling_s) > late_max:
        lines += 1
        inverse = 1 + lines / load * inverse
    return lines


def late(lines: int, load: float, handling_s: float, within_s: float) -> float:
    """The share of contacts that wait longer than `within_s` seconds, where `lines` (more than `load`) are handled."""
    return _late(lines, load, _inverse_blocking(lines, load), within_s / handling_s)


def _late(lines: int, load: float, inverse: float, within: float) -> float:
    return exp((load - lines) * within) / (inverse - load / lines * (inverse - 1))


def _inverse_blocking(lines: int, load: float) -> float:
    """One over Erlang B: the sum of lines! / (lines - n)! / load^n. Its terms fade out near the square root of load."""
    total = term = 1.0
    for each in range(lines, 0, -1):
        term *= each / load
        total += term
        if term < total * _NEGLIGIBLE:
            break
    return total


def at_once(capacity: int, channels: Mapping[str, ChannelLimit] | None, contacts: Mapping[str, int]) -> float:
    """How many contacts an agent has at a time, where so many come by each channel: the mean over those that it serves.

    Without `channels` it is one; it never is less.
    """
    served = {name: many for name, many in contacts.items() if channels is not None and name in channels}
    whole = sum(served.values())
    if channels is None or whole == 0:
        return 1.0
    rooms = {name: max(1, min(channels[name].max, capacity // max(1, channels[name].cost))) for name in served}
    return sum(rooms[name] * many for name, many in served.items()) / whole
