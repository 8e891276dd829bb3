"""Any telephone system that posts what happens to its calls, signed, and takes orders: what arrives. It does no I/O.

    POST /            an event, `{"type": "offered", "call_id": "…", "number": "…"}`: one of `EVENTS`
    POST /commands    what is to be done: `{"done": ["…"], "wait_s": 20}` is answered with the commands that wait

Both are signed by Standard Webhooks with the account's secret: `webhook-id`, `webhook-timestamp`,
`webhook-signature`. The id of an event is that of its webhook: it counts once, however often it is posted. Events may
come in any order: what has ended has ended, whatever comes behind it.

Calls in which the system is to dial a customer have ids of ours, which commands name first.

`standing` says how it is after the system was away: which calls and agents' sides there are. Whatever is not in it is
gone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from src.channels.base import Account, ChannelRequest, Receipt, Reply
from src.channels.voice.calls import Abandoned, CallEvent, Dtmf, Ended, Offered, inbound_of
from src.channels.voice.checks import check_calls, check_strings, check_url
from src.channels.voice.signed import verified
from src.dispatch.callnotes import OUT, CallNote
from src.dispatch.signatures import key_of
from src.errors import Malformed, NotFound

SETTINGS: Final = frozenset({"system", "default_region", "music", "phones", "trunk", "shows", "ring", "commands_url"})
SECRETS: Final = frozenset({"secret", "previous_secret"})
PHONES: Final = "{phone}"

EVENTS: Final = frozenset(
    {
        "offered",
        "queued",
        "agent_ringing",
        "agent_answered",
        "agent_ended",
        "bridged",
        "reached",
        "ended",
        "abandoned",
        "dtmf",
        "standing",
    }
)
OF_LEGS: Final = frozenset({"agent_ringing", "agent_answered", "agent_ended", "bridged"})

ID_CHARS_MAX: Final = 150
TEXT_CHARS_MAX: Final = 256
DIGITS_MAX: Final = 64
STANDING_MAX: Final = 5_000
"""Calls, and agents' sides, that one `standing` may name."""

WAIT_S_MAX: Final = 25
DONE_MAX: Final = 1_000
CAUSE_MAX: Final = 127
KEYS: Final = frozenset("0123456789*#ABCD")

_EMPTY: Final = Reply(b"{}", "application/json")


@dataclass(frozen=True, slots=True)
class Poll:
    """The system asks what is to be done, at most for so long (seconds); it has what is `done`."""

    done: Sequence[str]
    wait_s: int


@dataclass(frozen=True, slots=True)
class Stand:
    """The system says how it is: `calls` and `legs` (by the agent's side, its call) are there, and nothing else."""

    event_id: str
    calls: Sequence[str]
    legs: Mapping[str, str]


def check(settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
    """See `Channel.check`."""
    check_strings("settings", settings, known=SETTINGS, needed=())
    check_strings("secrets", secrets, known=SECRETS, needed=("secret",))
    check_calls(settings, PHONES)
    check_url(settings, "commands_url")
    for name, value in secrets.items():
        try:
            key_of(value)
        except ValueError as error:
            raise Malformed(f"{name} {error}", field=f"secrets.{name}") from error


def receive(request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
    """See `Receives.receive`."""
    if request.method != "POST" or request.path not in ("", "/commands"):
        raise NotFound("a telephone system posts its events here, or asks at /commands")
    event_id = verified(request, account, now_ms)
    body = _object(request.body)
    if request.path == "/commands":
        return Receipt(_EMPTY, asked=_poll(body))
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in EVENTS:
        raise Malformed(f"type must be one of {', '.join(sorted(EVENTS))}", field="type")
    if kind == "standing":
        return _standing(body, account, event_id, now_ms)
    call_id = _call_id(body) if kind == "offered" else _checked(body.get("call_id"), "call_id")
    cause = _cause(body)
    note = CallNote(
        id=event_id,
        call_id=call_id,
        kind=kind,
        at=now_ms,
        leg_id=_checked(body.get("leg_id"), "leg_id") if kind in OF_LEGS else None,
        cause=cause,
    )
    inbound = inbound_of(told, account) if (told := _told(kind, body, call_id, now_ms)) is not None else None
    return Receipt(_EMPTY, () if inbound is None else (inbound,), notes=(note,))


def _told(kind: str, body: Mapping[str, Any], call_id: str, now_ms: int) -> CallEvent | None:
    """What the tenant hears of an event at once. Of a call in which we dial, the line tells it."""
    if call_id.startswith(OUT) and kind != "dtmf":
        return None
    match kind:
        case "offered":
            return _offered(body, call_id, now_ms)
        case "ended":
            return Ended(call_id, now_ms, _cause(body))
        case "abandoned":
            return Abandoned(call_id, now_ms, _cause(body))
        case "dtmf":
            return Dtmf(call_id, now_ms, _digits(body), None)
        case _:
            return None


def _offered(body: Mapping[str, Any], call_id: str, now_ms: int) -> Offered:
    return Offered(call_id, now_ms, _text(body, "number"), _text(body, "name"), _text(body, "dialed"))


def _standing(body: Mapping[str, Any], account: Account, event_id: str, now_ms: int) -> Receipt:
    calls, legs = body.get("calls"), body.get("legs", {})
    if not isinstance(calls, list) or len(calls) > STANDING_MAX or not all(isinstance(each, dict) for each in calls):
        raise Malformed(f"calls must be a list of at most {STANDING_MAX} objects", field="calls")
    if not isinstance(legs, dict) or len(legs) > STANDING_MAX:
        raise Malformed(f"legs must be an object of at most {STANDING_MAX}: the agent's side, its call", field="legs")
    there = [_checked(each.get("call_id"), "call_id") for each in calls]
    found = [
        _offered(each, call_id, now_ms)
        for each, call_id in zip(calls, there, strict=True)
        if not call_id.startswith(OUT)
    ]
    sides = {_checked(leg_id, "legs"): _checked(call_id, "legs") for leg_id, call_id in legs.items()}
    notes = [CallNote(f"{event_id} {number}", each.call_id, "offered", now_ms) for number, each in enumerate(found)]
    inbound = [each for each in (inbound_of(call, account) for call in found) if each is not None]
    return Receipt(_EMPTY, inbound, notes=notes, asked=Stand(event_id, there, sides))


def _poll(body: Mapping[str, Any]) -> Poll:
    done, wait_s = body.get("done", []), body.get("wait_s", 0)
    if not isinstance(done, list) or len(done) > DONE_MAX:
        raise Malformed(f"done must be a list of at most {DONE_MAX} ids", field="done")
    if type(wait_s) is not int or not 0 <= wait_s <= WAIT_S_MAX:
        raise Malformed(f"wait_s must be 0 to {WAIT_S_MAX}", field="wait_s")
    return Poll([_checked(each, "done") for each in done], wait_s)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("an event is JSON") from error
    if not isinstance(body, dict):
        raise Malformed("an event is a JSON object")
    return body


def _call_id(body: Mapping[str, Any]) -> str:
    call_id = _checked(body.get("call_id"), "call_id")
    if call_id.startswith(OUT):
        raise Malformed(f"call_id must not begin with {OUT}", field="call_id")
    return call_id


def _checked(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= ID_CHARS_MAX:
        raise Malformed(f"{name} must be 1 to {ID_CHARS_MAX} printable characters", field=name)
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    """What the network sent of a caller: it never makes an event unreadable, unless it is no text."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{name} must be text", field=name)
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:TEXT_CHARS_MAX]


def _digits(body: Mapping[str, Any]) -> str:
    digits = str(body.get("digits", "")).upper()
    if not 0 < len(digits) <= DIGITS_MAX or not set(digits) <= KEYS:
        raise Malformed(f"digits must be 1 to {DIGITS_MAX} of 0 to 9, *, #, A to D", field="digits")
    return digits


def _cause(body: Mapping[str, Any]) -> int | None:
    cause = body.get("cause")
    if cause is None:
        return None
    if type(cause) is not int or not 1 <= cause <= CAUSE_MAX:
        raise Malformed(f"cause must be a Q.850 number, 1 to {CAUSE_MAX}", field="cause")
    return cause
