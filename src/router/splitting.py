"""How a contact that no agent covers alone is parted: what its lead covers, and what is shared. It changes nothing."""

from itertools import combinations
from typing import Final, NamedTuple

from src.router.answers import Reach
from src.router.board import Board, need_of
from src.router.entities import Contact
from src.router.model import NO_TERMS, Requirement

SPLIT_TRIES_MAX: Final = 8
"""Of so many requirements at most, every part is tried for a lead; beyond that, they are given up one by one."""


class Parted(NamedTuple):
    """What the lead is asked for, and what others are."""

    lead: tuple[Requirement, ...]
    shared: tuple[Requirement, ...]

    def mark(self, requirements: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
        """All requirements of the contact, those that are shared marked."""
        return tuple(each._replace(shared=True) if each in self.shared else each for each in requirements)


def parted(board: Board, contact: Contact) -> Parted | None:
    """How a contact would be split; None if it need not or cannot be.

    The lead's part is the one of most weight that some agent covers, agents who are present before others; every other
    requirement must be covered by somebody too, or the contact waits as it is.
    """
    asked = [each for each in contact.requirements if each.required and not each.shared]
    if len(asked) < 2 or board.index.reach(board.need(contact)).anyone:  # noqa: PLR2004  # one cannot be split
        return None
    teams = board.policy(contact).teams

    def reach(part: tuple[Requirement, ...]) -> Reach:
        return board.index.reach(need_of(contact.channel, part, contact.language, teams, contact.terms))

    def covered_by_anyone(each: Requirement) -> bool:
        return board.index.reach(need_of("", (each,), None, (), NO_TERMS)).anyone

    if not all(covered_by_anyone(each) for each in asked):
        return None
    parts = _parts(asked)
    lead = next((part for part in parts if reach(part).present), None)
    if lead is None:
        lead = next((part for part in parts if reach(part).anyone), None)
    if lead is None:
        return None
    return Parted(lead, tuple(each for each in asked if each not in lead))


def _parts(asked: list[Requirement]) -> list[tuple[Requirement, ...]]:
    """Parts of what is asked that a lead could cover, most weight first."""
    if len(asked) > SPLIT_TRIES_MAX:
        ordered = sorted(asked, key=lambda each: (-each.weight, each.skill))
        return [tuple(ordered[:size]) for size in range(len(ordered) - 1, 0, -1)] + [(each,) for each in ordered]
    found = [part for size in range(len(asked) - 1, 0, -1) for part in combinations(asked, size)]
    return sorted(found, key=lambda part: (-sum(each.weight for each in part), -len(part), part))
