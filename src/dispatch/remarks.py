"""What people type as the reason or disposition of an act, kept beside the journal so that it can be erased.

The engine, the journal and its tables are handed an id in its place (`remark:` and an id), which is turned into the
text again on the way out, as long as it is there. What this service says itself is a code, and stays one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from src.router.entities import ASSIGNMENT_COLUMNS, COLLABORATION_COLUMNS, Row

PREFIX: Final = "remark:"
_ID: Final = re.compile(r"remark:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_SHOWN: Final = ("reason", "disposition", "why")
"""Where events and traces hold such a text, or a code."""

_DISPOSITION: Final = ASSIGNMENT_COLUMNS.index("disposition")
_REASON: Final = COLLABORATION_COLUMNS.index("reason")


def is_one(value: object) -> bool:
    """Whether something in an event, a trace or a row is the id of such a text."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def ids_in(data: Mapping[str, Any]) -> list[str]:
    """The ids that stand in an event's data, or in a trace."""
    return [data[name] for name in _SHOWN if is_one(data.get(name))]


def readable(data: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The same with the texts; null where they are no longer there."""
    return {name: texts.get(value) if name in _SHOWN and is_one(value) else value for name, value in data.items()}


def disposition_of(row: Row) -> list[str]:
    """The id that the row of an assignment holds, if it holds one."""
    return [row[_DISPOSITION]] if is_one(row[_DISPOSITION]) else []


def assignment(row: Row, texts: Mapping[str, str]) -> Row:
    """The row of an assignment with the text."""
    return _with_text(row, _DISPOSITION, texts)


def collaboration(row: Row, texts: Mapping[str, str]) -> Row:
    """The row of a collaboration with the text."""
    return _with_text(row, _REASON, texts)


def _with_text(row: Row, place: int, texts: Mapping[str, str]) -> Row:
    return (*row[:place], texts.get(row[place]), *row[place + 1 :]) if is_one(row[place]) else row
