"""From the bytes of a push to its fields, XML or JSON alike. Must not know what the fields mean.

Both forms end as the same mapping: names to strings, and to mappings or lists of the same for the few fields that have
an inner structure (`ScanCodeInfo`, `SendPicsInfo`). Numbers are kept as written. A JSON null is an absent field. An XML
element that is there several times is a list, as `List` in `subscribe_msg_popup_event`; an `item` always is.

Nothing but `Malformed` comes out of here, whatever goes in: document types, entities, deep nesting, doubled names,
characters that no text may hold, and more of anything than the limits below.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from src.errors import Malformed

BODY_BYTES_MAX: Final = 262_144
"""Bytes of a push. Checked before anything is parsed, as an encrypted push is parsed before it is proven."""

FIELDS_MAX: Final = 256
"""Fields of a push, inner ones included."""

DEPTH_MAX: Final = 8
"""How deep fields may be nested, the push itself included."""

NAME_CHARS_MAX: Final = 64
VALUE_CHARS_MAX: Final = 20_000
ENCRYPT_CHARS_MAX: Final = BODY_BYTES_MAX
"""Characters of `Encrypt`, which holds a whole push."""

Value = str | list["Value"] | dict[str, "Value"]
Fields = Mapping[str, Value]

_LIST_ELEMENT: Final = "item"
"""The XML element whose values become a list also where there is one alone."""


def fields_of(body: bytes) -> Fields:
    """The fields of a push. The content tells XML from JSON: WeChat's headers don't.

    Raises:
        Malformed: it is neither, or beyond a limit.
    """
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"a push has at most {BODY_BYTES_MAX} bytes")
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise Malformed("the body is not UTF-8") from error
    if text.startswith("<"):
        return _from_xml(text)
    if text.startswith("{"):
        return _from_json(text)
    raise Malformed("the body is neither XML nor JSON")


def is_json(body: bytes) -> bool:
    """Whether a push that `fields_of` accepts was in JSON: the answer takes the same form."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def string(fields: Fields, name: str, *, chars_max: int) -> str | None:
    """A field that must be a plain string when it is there. None when it is not.

    Raises:
        Malformed: it has an inner structure, or is longer than `chars_max`.
    """
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > chars_max:
        raise Malformed(f"{name} must be a string of at most {chars_max} characters", field=name)
    return value


def required(fields: Fields, name: str, *, chars_max: int) -> str:
    """A field that must be there and not blank; white space around it is taken off.

    Raises:
        Malformed: it is missing, blank, too long or not a string.
    """
    value = (string(fields, name, chars_max=chars_max) or "").strip()
    if not value:
        raise Malformed(f"{name} is missing", field=name)
    return value


def _from_xml(text: str) -> Fields:
    target = _Target()
    parser = DefusedXMLParser(target=target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(text)
        parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Malformed("the body is not XML that may be sent here") from error
    if not isinstance(target.root, dict):
        raise Malformed("the body has no fields")
    return target.root


class _Target:
    """Takes what the XML parser finds and builds fields of it, refusing what exceeds a limit as soon as it does."""

    def __init__(self) -> None:
        self.root: Value | None = None
        self._open: list[_Element] = []
        self._count = 0

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self._count += 1
        _check_count(self._count)
        self._open.append(_Element(_checked_name(tag)))
        _check_depth(len(self._open))

    def data(self, text: str) -> None:
        if self._open:
            self._open[-1].add_text(text)

    def end(self, _tag: str) -> None:
        closed = self._open.pop()
        if self._open:
            self._open[-1].add_child(closed.name, closed.value())
        elif closed.name == "xml":
            self.root = closed.value()
        else:
            raise Malformed("the root element must be xml")

    def close(self) -> None:
        """The parser is at the end of the text."""


class _Element:
    """One XML element while it is open: text, or children."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._text: list[str] = []
        self._chars = 0
        self._children: dict[str, Value] = {}

    def add_text(self, text: str) -> None:
        self._chars += len(text)
        _check_length(self._chars, self.name)
        self._text.append(text)

    def add_child(self, name: str, value: Value) -> None:
        before = self._children.get(name)
        if isinstance(before, list):  # an element's own value is a text or fields, never a list
            before.append(value)
        elif before is not None:
            self._children[name] = [before, value]
        else:
            self._children[name] = [value] if name == _LIST_ELEMENT else value

    def value(self) -> Value:
        text = "".join(self._text)
        if not self._children:
            return _checked_text(text, self.name)
        if text.strip():
            raise Malformed(f"{self.name} has both text and fields", field=self.name)
        return self._children


def _from_json(text: str) -> Fields:
    try:
        raw = json.loads(
            text, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_no_such_number
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON that may be sent here") from error
    reader = _JsonReader()
    value = reader.value(raw, "the body", depth=1)
    assert isinstance(value, dict), "the text begins with a brace"
    return value


def _object(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if _checked_name(name) in found:
            raise Malformed(f"{name} is there twice", field=name)
        found[name] = value
    return found


class _JsonReader:
    """Turns what the JSON parser found into fields, counting as it goes."""

    def __init__(self) -> None:
        self._count = 0

    def value(self, raw: object, name: str, *, depth: int) -> Value:
        _check_depth(depth)
        self._count += 1
        _check_count(self._count)
        if isinstance(raw, dict):
            return {
                inner: self.value(value, inner, depth=depth + 1) for inner, value in raw.items() if value is not None
            }
        if isinstance(raw, list):
            return [self.value(value, name, depth=depth + 1) for value in raw if value is not None]
        if isinstance(raw, bool):
            return "true" if raw else "false"
        assert isinstance(raw, str), "the parser leaves numbers as strings"
        return _checked_text(raw, name)


def _check_count(count: int) -> None:
    if count > FIELDS_MAX:
        raise Malformed(f"the body has more than {FIELDS_MAX} fields")


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Malformed(f"the body is nested more than {DEPTH_MAX} deep")


def _checked_name(name: str) -> str:
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= NAME_CHARS_MAX:
        raise Malformed(f"a field's name must be 1 to {NAME_CHARS_MAX} printable ASCII characters")
    return name


def _checked_text(text: str, name: str) -> str:
    _check_length(len(text), name)
    if "\0" in text:
        raise Malformed(f"{name} contains NUL", field=name)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{name} contains half a surrogate pair", field=name) from error
    return text


def _check_length(chars: int, name: str) -> None:
    chars_max = ENCRYPT_CHARS_MAX if name == "Encrypt" else VALUE_CHARS_MAX
    if chars > chars_max:
        raise Malformed(f"{name} is longer than {chars_max} characters", field=name)


def _no_such_number(_literal: str) -> NoReturn:
    raise Malformed("the body has a number that is none")
