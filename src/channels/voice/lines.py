"""What connections to telephone systems have in common, whichever words they speak. It does no I/O."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from src.channels.voice.calls import CallEvent, Offered, Standing

CALLS_MAX: Final = 20_000
"""Calls, and likewise agents' sides, that one connection keeps in mind. Beyond it the oldest is forgotten: its end is
then still told, but no longer whether it had been answered."""

_EXTENSION: Final = re.compile(r"([0-9A-Za-z*#+_][0-9A-Za-z*#+_.-]{0,79})(?:@([0-9A-Za-z_][0-9A-Za-z_.-]{0,79}))?")
"""Nothing that ends a word of a command, or begins an option of it."""

Value = TypeVar("Value")

Moved = tuple[Sequence[CallEvent], Sequence[str]]
"""What a frame meant, and the frames that follow from it."""


@dataclass(frozen=True, slots=True)
class Extension:
    """Where a dial plan goes on; without a context, in that in which the caller had come."""

    exten: str
    context: str = ""


@dataclass(slots=True)
class Asked:
    """What waits for its answer: since when (ms), and what its failure means for which call and leg."""

    at_ms: int
    what: str = ""
    call_id: str = ""
    leg_id: str = ""


@dataclass(slots=True)
class Listing:
    """What has been found to stand so far; `open`: questions that have not been answered yet."""

    calls: list[Offered] = field(default_factory=list)
    legs: dict[str, bool] = field(default_factory=dict)
    talking: set[tuple[str, str]] = field(default_factory=set)
    open: int = 0

    def standing(self) -> Standing:
        """All of it, once nothing is open any more."""
        return Standing(tuple(self.calls), self.legs, frozenset(self.talking))


def extension_of(text: str) -> Extension | None:
    """`4999` or `4999@voicemail`; None where it is neither."""
    found = _EXTENSION.fullmatch(text)
    return None if found is None else Extension(found[1], found[2] or "")


def remember(kept: dict[str, Value], key: str, value: Value) -> None:
    """Keep a value under a key, forgetting the oldest if there are too many."""
    if key not in kept and len(kept) >= CALLS_MAX:
        del kept[next(iter(kept))]
    kept[key] = value


def object_of(text: object) -> dict[str, Any]:
    """A JSON object, empty where there is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
