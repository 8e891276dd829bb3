"""A YAML file as plain values, and where each of them stands. What is hostile, or would be misread, is refused.

Scalars are read as YAML 1.2's core schema has them: `no`, `on` and `09:00` are texts. Anchors, aliases, tags, merge
keys and several documents in one file are not taken, and a key may stand only once.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from src.errors import CordboardError

BYTES_MAX: Final = 1024 * 1024
"""As much as the service takes at once."""

DEPTH_MAX: Final = 32

Place = tuple[str, ...]
"""A way into the document: keys, and numbers of items."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {each: each.lower() == "true" for each in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?", re.ASCII)


class BadDocument(CordboardError):
    """The file cannot be used: `code` is stable, `line` and `column` count from 1; None: it is about the whole."""

    def __init__(self, code: str, detail: str, mark: tuple[int, int] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.mark = mark


@dataclass(slots=True)
class Document:
    """What a file says, and where: line and column, from 1, of each key and item."""

    values: dict[str, Any]
    marks: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def mark(self, path: str) -> tuple[int, int] | None:
        """Where `queues.vip.steps.0` stands, or what of it there is. Names in it may hold dots themselves."""
        place: Place = ()
        parts = path.split(".")
        start = 0
        while start < len(parts):
            for end in range(len(parts), start, -1):
                following = (*place, ".".join(parts[start:end]))
                if following in self.marks:
                    place, start = following, end
                    break
            else:
                start += 1  # the name of an alternative, or of what is missing
        return self.marks.get(place)


def read(text: bytes) -> Document:
    """Read a file.

    Raises:
        BadDocument: it is too large or too deep, is no YAML, or holds what is none of this.
    """
    if len(text) > BYTES_MAX:
        raise BadDocument("too_large", f"the file has more than {BYTES_MAX} bytes: split it by sections")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDocument("not_utf8", "the file is not UTF-8") from error
    try:
        return _Reader(decoded).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = None if mark is None else (mark.line + 1, mark.column + 1)
        raise BadDocument("not_yaml", error.problem or "this is no YAML", at) from error
    except yaml.YAMLError as error:
        raise BadDocument("not_yaml", "the file holds characters that YAML does not have") from error


class _Reader:
    """Events of YAML, one after the other; nothing is expanded."""

    def __init__(self, text: str) -> None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events = yaml.parse(text, Loader=loader)
        self._marks: dict[Place, tuple[int, int]] = {}

    def document(self) -> Document:
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return Document({})
        values = self._value(self._next(), (), 0)
        if isinstance(self._next(), yaml.DocumentStartEvent):
            raise BadDocument("several_documents", "a file holds one document", self._at)
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise BadDocument("no_mapping", "the file must hold sections by name: settings, queues, …", (1, 1))
        return Document(values, self._marks)

    def _next(self) -> Any:  # noqa: ANN401  # one of PyYAML's events
        event: Any = next(self._events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent):
            event = next(self._events)
        mark = event.start_mark
        self._at = (mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise BadDocument("alias", "anchors and aliases are not taken: write it out", self._at)
        if getattr(event, "tag", None) is not None:
            raise BadDocument("tag", "tags are not taken", self._at)
        return event

    def _value(self, event: Any, place: Place, depth: int) -> Any:  # noqa: ANN401  # any JSON value
        if depth > DEPTH_MAX:
            raise BadDocument("too_deep", f"it is nested deeper than {DEPTH_MAX}", self._at)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                here = (*place, str(len(items)))
                self._marks[here] = self._at
                items.append(self._value(event, here, depth + 1))
            return items
        return _scalar(event.value) if event.implicit[0] else event.value

    def _mapping(self, place: Place, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise BadDocument("bad_key", "a key must be a text", self._at)
            key: str = event.value
            if key == "<<" and event.implicit[0]:
                raise BadDocument("merge", "merge keys are not taken: write it out", self._at)
            if key in found:
                raise BadDocument("duplicate_key", f"{key!r} is there twice", self._at)
            here = (*place, key)
            self._marks[here] = self._at
            found[key] = self._value(self._next(), here, depth + 1)
        return found


def _scalar(text: str) -> str | int | float | bool | None:
    """A scalar without quotes, by YAML 1.2's core schema; numbers that are too long for one stay texts."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Writer(yaml.SafeDumper):
    """Quotes whatever another reader of YAML could take for something else; repeats what comes twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002  # as PyYAML calls it
        """No anchors."""
        return True


_Writer.add_implicit_resolver("float12", _FLOAT, list("-+.0123456789"))


def write(values: dict[str, Any]) -> str:
    """A document as YAML: `read` gives the same again."""
    return yaml.dump(values, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120)
