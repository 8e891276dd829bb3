"""What a connector asks for and what it shows: templates, checked when they are put. No I/O, and nothing is evaluated.

A request is text with placeholders, whose values are escaped. A view picks values out of the answer by JSON pointers
(RFC 6901): it costs what it shows, whatever is written in it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from src.errors import Malformed

DEPTH_MAX: Final = 6
ITEMS: Final = 20
"""So many elements of a list are shown where the view does not say how many."""

ITEMS_MAX: Final = 50
SHOWN_BYTES_MAX: Final = 64 * 1024
"""What a view may add up to."""

NAMES: Final = ("tier", "preferred_agent_id")
"""What is learnt of a customer beside its attributes."""

VALUE_CHARS_MAX: Final = 256
_INT_MAX: Final = 2**53
_NAME: Final = re.compile(r"[^\s/\x00-\x1f\x7f]([^/\x00-\x1f\x7f]{0,126}[^\s/\x00-\x1f\x7f])?")
_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)\.([^{}]{1,128})\}")
_URL: Final = re.compile(r"[!-~]{1,2000}")
_POINTER: Final = re.compile(r"(/([^~/]|~[01])*)*")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}")
_CUSTOMER: Final = ("id", "tier")
_EACH: Final = frozenset({"each", "take", "item"})


@dataclass(frozen=True, slots=True)
class Person:
    """What a request may say of a customer. `identities` are the strong ones: what somebody typed in opens nothing.

    `others` are the customers that are one with it.
    """

    id: str
    tier: str | None = None
    identities: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    preferred_agent_id: str | None = None
    others: tuple[str, ...] = ()

    def value(self, kind: str, name: str) -> str | None:
        """What a placeholder stands for; None: this customer has no such thing."""
        match kind, name:
            case "customer", "id":
                return self.id
            case "customer", _:
                return self.tier
            case "identity", _:
                return self.identities.get(name)
        found = self.attributes.get(name)
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request about one customer, ready to be sent."""

    method: str
    url: str
    body: bytes | None


class TooMuch(Exception):
    """The view of this answer would be larger than is shown."""


# -- requests ----------------------------------------------------------------------------------------------------------


def check_url(url: str) -> None:
    """Look at a URL template before it is stored.

    Raises:
        Malformed: it is none, or a placeholder could decide which host is asked.
    """
    parts = check_address(url)
    if "{" in parts.netloc or "}" in parts.netloc:
        raise Malformed("placeholders may stand in path and query only", field="url")
    _check_placeholders(url, "url")


def check_address(url: str) -> SplitResult:
    """Look at a URL before it is stored.

    Raises:
        Malformed: it is none, or holds a credential.
    """
    if _URL.fullmatch(url) is None:
        raise Malformed("url must be printable ASCII of at most 2000 characters: escape what is not", field="url")
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise Malformed("url must be http:// or https:// with a host", field="url")
    if parts.username is not None or parts.password is not None:
        raise Malformed("url must hold no credential: use secrets", field="url")
    if parts.fragment or "#" in url:
        raise Malformed("url must have no fragment", field="url")
    return parts


def check_body(body: Any) -> None:  # noqa: ANN401  # any JSON
    """Look at a body template before it is stored.

    Raises:
        Malformed: a placeholder that is none.
    """
    for text in _texts(body):
        if _PLACEHOLDER.search(text):
            _check_placeholders(text, "body")


def request(method: str, url: str, body: Any, person: Person) -> Asked | None:  # noqa: ANN401  # any JSON
    """What is sent about a customer; None: the customer lacks something that the templates name."""
    missing = False

    def filled(text: str, *, escaped: bool) -> str:
        def one(found: re.Match[str]) -> str:
            nonlocal missing
            value = person.value(found[1], found[2])
            if not value or (escaped and value in {".", ".."}):  # these are steps in a path, however they are escaped
                missing = True
                return ""
            return quote(value, safe="") if escaped else value

        return _PLACEHOLDER.sub(one, text)

    def told(value: Any) -> Any:  # noqa: ANN401  # any JSON
        if isinstance(value, str):
            return filled(value, escaped=False)
        if isinstance(value, dict):
            return {key: told(each) for key, each in value.items()}
        return [told(each) for each in value] if isinstance(value, list) else value

    where = filled(url, escaped=True)
    what = None if body is None else msgspec.json.encode(told(body))
    return None if missing else Asked(method, where, what)


def _check_placeholders(text: str, place: str) -> None:
    for found in _PLACEHOLDER.finditer(text):
        kind, name = found.groups()
        if kind not in {"customer", "identity", "attribute"} or (kind == "customer" and name not in _CUSTOMER):
            raise Malformed(f"{place} names {found[0]}, which nothing stands for", field=place)
    left = _PLACEHOLDER.sub("", text)
    if place == "url" and ("{" in left or "}" in left):
        raise Malformed("url holds a brace that belongs to no placeholder: write %7B or %7D", field=place)


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


# -- views -------------------------------------------------------------------------------------------------------------


def check_view(view: Any, depth: int = 0, lists: int = 0) -> None:  # noqa: ANN401  # any JSON
    """Look at a view before it is stored.

    Raises:
        Malformed: it is none.
    """
    if depth > DEPTH_MAX:
        raise Malformed(f"view must not be nested deeper than {DEPTH_MAX}", field="view")
    if isinstance(view, str):
        if _POINTER.fullmatch(view) is None:
            raise Malformed(f"view holds {view!r}, which is no JSON pointer", field="view")
    elif isinstance(view, dict) and "each" in view:
        take = view.get("take", ITEMS)
        if not view.keys() <= _EACH or not isinstance(view["each"], str) or type(take) is not int:
            raise Malformed("a list in view is {each: pointer, take: number, item: view}", field="view")
        if not 1 <= take <= ITEMS_MAX or lists:
            raise Malformed(f"a list in view takes 1 to {ITEMS_MAX} elements, and holds no other list", field="view")
        check_view(view["each"], depth + 1)
        check_view(view.get("item", ""), depth + 1, lists + 1)
    elif isinstance(view, dict):
        for each in view.values():
            check_view(each, depth + 1, lists)
    else:
        raise Malformed("view is a JSON pointer, a list or an object of these", field="view")


def shown(view: Any, answer: Any) -> tuple[Any, int]:  # noqa: ANN401  # any JSON
    """What a view shows of an answer, and how many bytes of JSON are in it. What is not there is null.

    Raises:
        TooMuch: more than is shown.
    """
    size = 0

    def one(view: Any, at: Any) -> Any:  # noqa: ANN401
        nonlocal size
        if isinstance(view, str):
            found = _pointed(at, view)
            size += len(msgspec.json.encode(found)) + 1
            if size > SHOWN_BYTES_MAX:
                raise TooMuch
            return found
        if "each" in view:
            found = _pointed(at, view["each"])
            items = found[: view.get("take", ITEMS)] if isinstance(found, list) else []
            return [one(view.get("item", ""), each) for each in items]
        return {key: one(each, at) for key, each in view.items()}

    return one(view, answer), size


# -- what is learnt ----------------------------------------------------------------------------------------------------


def check_learn(learn: Mapping[str, Any]) -> None:
    """Look at what is to be learnt before it is stored.

    Raises:
        Malformed: it names what is no JSON pointer.
    """
    for pointer in (*filter(None, (learn.get(name) for name in NAMES)), *learn.get("attributes", {}).values()):
        if _POINTER.fullmatch(pointer) is None:
            raise Malformed(f"learn holds {pointer!r}, which is no JSON pointer", field="learn")


def learnt(learn: Mapping[str, Any], answer: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
    """What an answer says of a customer that is to be kept with it: names by field, and attributes.

    What is not there, or cannot be such a thing, is left out: then what was known stays.
    """
    said = {name: _pointed(answer, pointer) for name in NAMES if (pointer := learn.get(name)) is not None}
    found = {name: _pointed(answer, pointer) for name, pointer in learn.get("attributes", {}).items()}
    return (
        {name: value for name, value in said.items() if isinstance(value, str) and _NAME.fullmatch(value)},
        {name: value for name, value in found.items() if _is_attribute(value)},
    )


def _is_attribute(value: Any) -> bool:  # noqa: ANN401  # any JSON
    """A plain value, or a list of some: what rules compare."""
    if isinstance(value, list):
        return len(value) <= ITEMS_MAX and all(not isinstance(each, list) and _is_attribute(each) for each in value)
    if isinstance(value, str):
        return len(value) <= VALUE_CHARS_MAX and "\x00" not in value
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) <= _INT_MAX)


def _pointed(at: Any, pointer: str) -> Any:  # noqa: ANN401
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = at.get(name)
        elif isinstance(at, list) and _INDEX.fullmatch(name) and int(name) < len(at):
            at = at[int(name)]
        else:
            return None
    return at
