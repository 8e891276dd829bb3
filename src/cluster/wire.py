"""How orders and what comes of them travel between processes: MessagePack, in which every value says what it is.

Only what is registered here or marked `@forwardable` can travel, in either direction; nothing that arrives names code
to run. A dataclass leaves out the fields that hold their defaults, so that a release that added one still understands
the last one, and is understood for as long as nobody uses what is new.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel

from src import errors
from src.dispatch import customers, erasing, facts, inbound, jobs, orders, ports, problems, turn, versions
from src.profile import identities
from src.router import commands, levels, model, waits

KIND: Final = "!"
"""The key under which a map says what it is; a plain map has none."""

T = TypeVar("T", bound=Callable[..., Any])


class Untravelled(Exception):
    """A value that may not travel, or one that another release sent and this one does not know."""


_classes: dict[str, type] = {}
_names: dict[Any, str] = {}
_functions: dict[str, Callable[..., Any]] = {}
_REFUSED: Final[dict[str, type[errors.Refused]]] = {}
_plain: dict[type, list[tuple[str, Field[Any]]]] = {}


def forwardable(it: T) -> T:
    """Let a dataclass, a pydantic model or a function of a module travel: by its module and name, which stay.

    Of `dispatch/jobs` it is the package's name, in whichever of its files it stands; facts keep the name that they had
    among the ports.
    """
    module = jobs.__name__ if it.__module__.startswith(f"{jobs.__name__}.") else it.__module__
    if module == facts.__name__:
        module = ports.__name__
    name = f"{module.rpartition('.')[2]}.{it.__qualname__}"
    if _classes.get(name, _functions.get(name, it)) is not it:
        raise AssertionError(f"two things that travel are called {name}")
    if isinstance(it, type):
        _classes[name] = it
    else:
        _functions[name] = it
    _names[it] = name
    return it


def _register(module: ModuleType) -> None:
    for each in vars(module).values():
        if isinstance(each, type) and is_dataclass(each) and f"{each.__module__}.".startswith(f"{module.__name__}."):
            forwardable(each)


def _refused(of: type[errors.Refused]) -> None:
    _REFUSED[of.__name__] = of
    for each in of.__subclasses__():
        _refused(each)


for _each in (
    commands,
    customers,
    erasing,
    facts,
    identities,
    inbound,
    jobs,
    levels,
    model,
    orders,
    ports,
    problems,
    turn,
    versions,
    waits,
):
    _register(_each)
_refused(errors.Refused)


def dump(value: object) -> bytes:
    """A value as it travels.

    Raises:
        Untravelled: it, or something in it, may not.
        Malformed: a text in it is none.
    """
    try:
        return _ENCODER.encode(_packed(value))
    except UnicodeEncodeError as error:
        raise errors.Malformed("a text holds half a character") from error


def load(encoded: bytes) -> Any:  # noqa: ANN401  # whatever was sent
    """The value again.

    Raises:
        Untravelled: it is none that `dump` made, or holds what this release does not know.
    """
    try:
        return _unpacked(_DECODER.decode(encoded))
    except (msgspec.DecodeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise Untravelled(f"what was sent cannot be read: {error}") from error


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder()
_SIMPLE: Final = frozenset({str, float, bool, bytes, type(None)})
_INTEGERS: Final = range(-(1 << 63), 1 << 64)
"""What MessagePack can hold."""


def _packed(value: Any) -> Any:  # noqa: ANN401, C901  # one branch for each kind of value
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is int:
        return value if value in _INTEGERS else {KIND: "int", "of": str(value)}
    if kind is list:
        return [_packed(each) for each in value]
    if kind is tuple:
        return {KIND: "tuple", "of": [_packed(each) for each in value]}
    if kind in _names:
        return _packed_object(value, kind)
    if isinstance(value, Mapping):
        if KIND in value or not all(type(each) is str for each in value):
            return {KIND: "map", "of": [[_packed(key), _packed(each)] for key, each in value.items()]}
        return {key: _packed(each) for key, each in value.items()}
    if isinstance(value, frozenset | set):
        return {KIND: kind.__name__, "of": sorted((_packed(each) for each in value), key=repr)}
    if isinstance(value, errors.Refused):
        return _packed_refusal(value)
    if isinstance(value, partial) and not value.keywords:
        return {KIND: "partial", "function": _function(value.func), "of": [_packed(each) for each in value.args]}
    if callable(value):
        return {KIND: "function", "function": _function(value)}
    if isinstance(value, Sequence):
        return [_packed(each) for each in value]
    raise Untravelled(f"{kind.__qualname__} may not travel")


def _function(value: Callable[..., Any]) -> str:
    name = _names.get(value)
    if name is None:
        raise Untravelled(f"{value!r} may not travel")
    return name


def _packed_object(value: Any, kind: type) -> dict[str, Any]:  # noqa: ANN401  # of a class that is registered
    packed: dict[str, Any] = {KIND: _names[kind]}
    if isinstance(value, BaseModel):
        packed["given"] = _packed(value.model_dump(exclude_unset=True))
        return packed
    for name, field in _fields(kind):
        each = getattr(value, name)
        if field.default is not MISSING and type(each) is type(field.default) and each == field.default:
            continue
        if field.default_factory is not MISSING and not each and each == field.default_factory():
            continue
        packed[name] = _packed(each)
    return packed


def _fields(kind: Any) -> list[tuple[str, Field[Any]]]:  # noqa: ANN401  # a dataclass
    found = _plain.get(kind)
    if found is None:
        found = _plain[kind] = [(each.name, each) for each in fields(kind) if each.init]
    return found


def _packed_refusal(value: errors.Refused) -> dict[str, Any]:
    """A refusal as it travels: its class, what it says, and what is shown beside it."""
    packed = {KIND: "refused", "class": type(value).__name__, "detail": value.detail, "extra": _packed(value.extra)}
    if isinstance(value, errors.Unavailable):
        packed["retry_after_s"] = value.retry_after_s
    if isinstance(value, errors.Fenced):
        packed["in_doubt"] = value.in_doubt
    return packed


def _unpacked(value: Any) -> Any:  # noqa: ANN401  # whatever was sent
    if type(value) is list:
        return [_unpacked(each) for each in value]
    if type(value) is not dict:
        return value
    kind = value.pop(KIND, None)
    if kind is None:
        return {key: _unpacked(each) for key, each in value.items()}
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(value)
    known = _classes.get(kind)
    if known is None:
        raise Untravelled(f"another release sent {str(kind)[:80]}, which is not known here")
    if issubclass(known, BaseModel):
        return known.model_validate(_unpacked(value["given"]))
    return known(**{name: _unpacked(each) for name, each in value.items()})


def _unpacked_refusal(value: dict[str, Any]) -> errors.Refused:
    known = _REFUSED.get(value["class"], errors.Unavailable)
    if issubclass(known, errors.Fenced):
        return known(value["detail"], in_doubt=value["in_doubt"])
    if issubclass(known, errors.Unavailable):
        return known(value["detail"], retry_after_s=value.get("retry_after_s", 1), **_unpacked(value["extra"]))
    return known(value["detail"], **_unpacked(value["extra"]))


_SPECIAL: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "int": lambda value: int(value["of"]),
    "tuple": lambda value: tuple(_unpacked(each) for each in value["of"]),
    "set": lambda value: {_unpacked(each) for each in value["of"]},
    "frozenset": lambda value: frozenset(_unpacked(each) for each in value["of"]),
    "map": lambda value: {_unpacked(key): _unpacked(each) for key, each in value["of"]},
    "refused": _unpacked_refusal,
    "function": lambda value: _functions[value["function"]],
    "partial": lambda value: partial(_functions[value["function"]], *(_unpacked(each) for each in value["of"])),
}
