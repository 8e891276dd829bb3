"""The skill-based systems that the engine is compared on, solved once. The unit of time is a mean service, 180 s."""

from functools import cache
from typing import Final

from tests.theory.exact import Pool, Skills, Solved, solve

SERVICE_S: Final = 180.0

WAITING_MAX: Final = 16
"""So many contacts wait at most: fewer than one arrival in 3,000 finds the line full."""

N_MODEL: Final = Skills(
    {"plain": 1.4, "special": 0.85},
    {"narrow": Pool(frozenset({"plain"}), 1.0, 2), "wide": Pool(frozenset({"plain", "special"}), 0.75, 2)},
)
"""Two agents for plain contacts only, two for both kinds, who are slower."""

THREE_BY_THREE: Final = Skills(
    {"red": 0.75, "green": 0.65, "blue": 0.45},
    {
        "r": Pool(frozenset({"red"}), 1.0),
        "rg": Pool(frozenset({"red", "green"}), 1.2),
        "gb": Pool(frozenset({"green", "blue"}), 0.9),
    },
)
"""Three classes, three agents, each quick in another way: a chain of overlapping skills."""


@cache
def solved(name: str) -> Solved:
    """The exact values of `N_MODEL` or `THREE_BY_THREE`."""
    return solve({"n-model": N_MODEL, "three-by-three": THREE_BY_THREE}[name], WAITING_MAX)
