"""Masking: telephone numbers and e-mail addresses as those see them who need not know them. Looks at values alone.

A number keeps its last four digits, an address its first letter and its domain: enough to tell two apart while talking
to somebody. Ids, times, codes and names of things are left as they are; what somebody wrote, and what other systems
said, is searched for numbers and addresses.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import phonenumbers

from src.profile.identities import TOKEN_TYPES

DIGITS_SHOWN: Final = 4
"""So many digits of a number stay, the last ones."""

WORDS: Final = frozenset(
    {
        "comment",
        "display_name",
        "disposition",
        "greeting",
        "name",
        "note",
        "park_reason",
        "reason",
        "text",
        "title",
        "why",
    }
)
"""Fields that hold what somebody wrote."""

PARCELS: Final = frozenset({"attributes", "external", "payload"})
"""Fields that hold whatever others put in: everything in them is searched, but this service's own ids, and times."""

_NUMBER: Final = re.compile(r"\d(?:[\s().\-/]{0,3}\d){5}")
"""Nothing with fewer digits is a number of anybody."""

_EMAIL: Final = re.compile(r"[\w.+\-]+@(?=[\w\-]+(?:\.[\w\-]+)+)")
_DIGIT: Final = re.compile(r"\d")
_KEPT: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
_DIGITS_MIN: Final = 7
_LISTS: Final = (list, tuple)
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
"""Types of values in which nothing is looked for, unless everything is searched."""

_PLUS: Final = ("+", "\N{FULLWIDTH PLUS SIGN}")


def masked(value: Any, region: str) -> Any:  # noqa: ANN401  # any JSON value
    """A JSON value as it is shown to those who see no numbers: a new one, of the same shape.

    `region` (ISO 3166) is where numbers without a country code are read.
    """
    return _masked(value, region, searched=False)


def _masked(value: Any, region: str, *, searched: bool) -> Any:  # noqa: ANN401  # any JSON value
    if isinstance(value, dict):
        return _mapping(value, region, searched=searched)
    if isinstance(value, _LISTS):
        return [_masked(each, region, searched=searched) for each in value]
    if isinstance(value, str):
        return value if not searched or _KEPT.fullmatch(value) else masked_text(value, region)
    if searched and isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
        hidden = masked_text(text, region) if len(text) >= _DIGITS_MIN else text
        return value if hidden == text else hidden
    return _mapping(value, region, searched=searched) if isinstance(value, Mapping) else value


def _mapping(given: Mapping[str, Any], region: str, *, searched: bool) -> dict[str, Any]:
    """Every event and every answer comes through here, and few of their fields are worth a look."""
    shown = dict(given)
    if "type" in given and isinstance(given.get("value"), str):
        shown["value"] = masked_address(str(given["type"]), given["value"], region)
    for name, value in shown.items():
        if name in WORDS and isinstance(value, str):
            shown[name] = masked_text(value, region)
        elif searched or name in PARCELS or type(value) not in _PLAIN:
            shown[name] = _masked(value, region, searched=searched or name in PARCELS)
    return shown


def masked_address(kind: str, value: str, region: str) -> str:
    """An identity's value: numbers and addresses masked whole, others where they hold one."""
    if kind in TOKEN_TYPES:
        return value
    return _starred(value) if kind == "phone" else masked_text(value, region)


def masked_text(text: str, region: str) -> str:
    """A text with the numbers and addresses in it masked; what only looks like one, such as a date, stays."""
    if "@" in text:
        text = _EMAIL.sub(lambda found: f"{found[0][0]}***@", text)
    if _NUMBER.search(text) is None:
        return text
    shown, end = [], 0
    for found in phonenumbers.PhoneNumberMatcher(text, region, phonenumbers.Leniency.POSSIBLE):
        if found.raw_string.startswith(_PLUS) or phonenumbers.is_valid_number(found.number):
            shown += [text[end : found.start], _starred(found.raw_string)]
            end = found.end
    return "".join((*shown, text[end:]))


def _starred(number: str) -> str:
    """Stars for all digits but the last ones."""
    places = [found.start() for found in _DIGIT.finditer(number)]
    hidden = set(places[:-DIGITS_SHOWN])
    return "".join("*" if place in hidden else each for place, each in enumerate(number))
