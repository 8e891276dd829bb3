"""A website with a chat, as its account's settings say: where it may be embedded, what it asks, how it behaves."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from src.errors import Malformed

ORIGINS_MAX: Final = 50
FIELDS_MAX: Final = 12
OPTIONS_MAX: Final = 30
LABEL_CHARS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 1_000
ANSWER_CHARS_MAX: Final = 1_000
PATIENCE_S_MIN: Final = 30
PATIENCE_S_MAX: Final = 604_800
SILENCE_S: Final = 1_800
ABSENCE_S: Final = 300

LANGUAGES: Final = ("zh", "en")

Words = Mapping[str, str]
"""A text by language (`zh`, `en`)."""

FieldKind = Literal["text", "long", "email", "phone", "choice"]
KINDS: Final = frozenset({"text", "long", "email", "phone", "choice"})

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PHONE: Final = re.compile(r"\+?[0-9()\-. ]{5,25}")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,180}\.[^@\s.]{2,24}")
_OWN: Final = frozenset({"page", "left_message"})
"""Attributes that the channel itself gives to a contact: no field may be called so."""


@dataclass(frozen=True, slots=True)
class FormField:
    """One question before the chat. Its answer becomes the contact's attribute of this name.

    `options` are what a choice may be answered with.
    """

    name: str
    label: Words
    kind: FieldKind = "text"
    required: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """The settings of a webchat account.

    | setting | meaning |
    |---|---|
    | `origins` | the only origins (`https://shop.example`) whose pages may open a chat |
    | `signed_only` | visitors must be vouched for by the website |
    | `title`, `greeting` | what stands above the chat and in it before anything was said, by language |
    | `form` | questions before the chat |
    | `leave_message`, `leave_queue` | whether visitors may leave a message when nobody is there, and for which queue |
    | `silence_s` | a chat in which nothing was said for so many seconds ends; null: never |
    | `absence_s` | a visitor who waits and has been away for so many seconds has given up; null: never |
    | `satisfaction` | whether visitors are asked how it was |
    | `uploads` | whether visitors may send files |
    """

    origins: frozenset[str]
    signed_only: bool = False
    title: Words | None = None
    greeting: Words | None = None
    form: tuple[FormField, ...] = ()
    leave_message: bool = True
    leave_queue: str | None = None
    silence_s: int | None = SILENCE_S
    absence_s: int | None = ABSENCE_S
    satisfaction: bool = True
    uploads: bool = True


def site_of(settings: Mapping[str, object]) -> Site:
    """The settings, checked.

    Raises:
        Malformed: `field` names the one that is missing, unknown or unusable.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        reader = _READERS.get(name)
        if reader is None:
            raise Malformed("webchat accounts have no such setting", field=f"settings.{name}")
        try:
            found[name] = reader(value)
        except ValueError as error:
            raise Malformed(f"{name} {error}", field=f"settings.{name}") from error
    if "origins" not in found:
        raise Malformed("origins is missing", field="settings.origins")
    return Site(**found)


def answers(site: Site, given: Mapping[str, str]) -> dict[str, str]:
    """The answers to the form, as attributes.

    Raises:
        Malformed: a question that there is not, no answer where one is needed, or one that will not do.
    """
    wanted = {each.name: each for each in site.form}
    for name in given:
        if name not in wanted:
            raise Malformed("the form has no such field", field=f"form.{name[:80]}")
    found = {name: given.get(name, "").strip() for name in wanted}
    for name, answer in found.items():
        reason = _unfit(wanted[name], answer)
        if reason is not None:
            raise Malformed(f"{name} {reason}", field=f"form.{name}", reason=reason)
    return {name: answer for name, answer in found.items() if answer}


def _unfit(field: FormField, answer: str) -> str | None:
    if not answer:
        return "must be answered" if field.required else None
    if len(answer) > ANSWER_CHARS_MAX:
        return f"may have at most {ANSWER_CHARS_MAX} characters"
    if field.kind == "choice" and answer not in field.options:
        return "must be one of the options"
    if field.kind == "email" and not _EMAIL.fullmatch(answer):
        return "must be an e-mail address"
    if field.kind == "phone" and not _PHONE.fullmatch(answer):
        return "must be a telephone number"
    return None


# -- reading settings --------------------------------------------------------------------------------------------------


def _origins(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not 0 < len(value) <= ORIGINS_MAX:
        raise ValueError(f"must be a list of 1 to {ORIGINS_MAX} origins")
    return frozenset(_origin(each) for each in value)


def _origin(value: object) -> str:
    if isinstance(value, str) and value.isascii() and len(value) <= LABEL_CHARS_MAX:
        try:
            parts = urlsplit(value)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if whole and value == f"{parts.scheme}://{parts.netloc}" and "@" not in parts.netloc and value == value.lower():
            return value
    raise ValueError("must hold origins such as https://shop.example: a scheme, a host in lower case, perhaps a port")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  # it is said to the caller, as of any other value
    return value


def _words(value: object, chars_max: int = TEXT_CHARS_MAX) -> Words:
    given = dict.fromkeys(LANGUAGES, value) if isinstance(value, str) else value
    if not isinstance(given, dict) or not given or not given.keys() <= set(LANGUAGES):
        raise ValueError(f"must be a text, or one by language ({', '.join(LANGUAGES)})")
    for each in given.values():
        if not isinstance(each, str) or not 0 < len(each.strip()) <= len(each) <= chars_max or not _plain(each):
            raise ValueError(f"must be texts of 1 to {chars_max} characters")
    return cast("Words", given)


def _plain(text: str) -> bool:
    return "\0" not in text and text.isprintable() | ("\n" in text and text.replace("\n", "").isprintable())


def _queue(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= LABEL_CHARS_MAX and value.isprintable()):
        raise ValueError("must be the name of a queue")
    return value


def _patience(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not PATIENCE_S_MIN <= value <= PATIENCE_S_MAX:
        raise ValueError(f"must be {PATIENCE_S_MIN} to {PATIENCE_S_MAX} seconds, or null")
    return value


def _form(value: object) -> tuple[FormField, ...]:
    if not isinstance(value, list) or len(value) > FIELDS_MAX:
        raise ValueError(f"must be a list of at most {FIELDS_MAX} fields")
    fields = tuple(_field(each) for each in value)
    if len({each.name for each in fields}) < len(fields):
        raise ValueError("has two fields of one name")
    return fields


def _field(value: object) -> FormField:
    if not isinstance(value, dict) or not value.keys() <= {"name", "label", "kind", "required", "options"}:
        raise ValueError("must hold fields with name, label, kind, required and options")
    name, kind, options = value.get("name"), value.get("kind", "text"), value.get("options", [])
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _OWN:
        raise ValueError("must name its fields in small letters, digits and underscores")
    if kind not in KINDS:
        raise ValueError(f"must have fields of the kinds {', '.join(sorted(KINDS))}")
    return FormField(
        name=name,
        label=_words(value.get("label"), LABEL_CHARS_MAX),
        kind=kind,
        required=_flag(value.get("required", False)),
        options=_options(options, wanted=kind == "choice"),
    )


def _options(value: object, *, wanted: bool) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > OPTIONS_MAX or wanted != bool(value):
        raise ValueError(f"must have 1 to {OPTIONS_MAX} options for a choice, and none for other fields")
    for each in value:
        if not isinstance(each, str) or not 0 < len(each) <= LABEL_CHARS_MAX or not each.isprintable():
            raise ValueError(f"must have options of 1 to {LABEL_CHARS_MAX} characters")
    return tuple(value)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "origins": _origins,
    "signed_only": _flag,
    "title": _words,
    "greeting": _words,
    "form": _form,
    "leave_message": _flag,
    "leave_queue": _queue,
    "silence_s": _patience,
    "absence_s": _patience,
    "satisfaction": _flag,
    "uploads": _flag,
}
