"""Telephone calls in words that no telephone system owns: what happens to them, and what can be done with them.

Every telephone system's module turns its own events into these, and these commands into its own; `switchboard` decides
between the two, and knows no system. Must do no I/O, and must not know any system's words.

A *leg* is an agent's side of a call. Its id is that of the assignment for which the agent's telephone rings, so that
whoever looks at a telephone system for the first time knows whose leg it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import phonenumbers

from src.channels.base import Account
from src.dispatch.inbound import Inbound, InboundContact, InboundDigits, InboundHangup
from src.profile.identities import VALUE_CHARS_MAX, Identity

DISPLAY_NAME_CHARS_MAX: Final = 128

_WITHHELD: Final = frozenset({"", "anonymous", "unknown", "restricted", "private", "unavailable", "withheld"})
"""What telephone systems write in the place of a number or name that the caller does not show."""

_DIALLED_FORM: Final = re.compile(r"\+?[0-9][0-9 ().\-]*")


@dataclass(frozen=True, slots=True)
class Offered:
    """A caller has arrived. `number` and `name` are as the network sent them; `dialed` is the number called.

    In all these events `call_id` is the telephone system's own id of the caller's leg and `at_ms` the system's time,
    in milliseconds since the epoch.
    """

    call_id: str
    at_ms: int
    number: str
    name: str = ""
    dialed: str = ""
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queued:
    """The caller hears music, or whatever there is to hear while waiting."""

    call_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class AgentRinging:
    """An agent's telephone rings. `call_id` is None while the system has not said yet for which call."""

    call_id: str | None
    at_ms: int
    leg_id: str


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """An agent picked up. `leg_id` is the id of the agent's side."""

    call_id: str
    at_ms: int
    leg_id: str


@dataclass(frozen=True, slots=True)
class Bridged:
    """Caller and agent can talk."""

    call_id: str
    at_ms: int
    leg_id: str


@dataclass(frozen=True, slots=True)
class Reached:
    """A customer whom we dialled has picked up. `call_id` is ours: see `OUT`."""

    call_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The caller is gone, after having talked to an agent. `cause` is a Q.850 number (ITU-T Q.850), None if unknown."""

    call_id: str
    at_ms: int
    cause: int | None


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The caller is gone without having talked to an agent. `cause` as in `Ended`."""

    call_id: str
    at_ms: int
    cause: int | None


@dataclass(frozen=True, slots=True)
class Left:
    """The caller is the telephone system's own again, as `HangUp` had it: what becomes of it there is no news to us."""

    call_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Dtmf:
    """The caller pressed a key: one of `0123456789*#ABCD`."""

    call_id: str
    at_ms: int
    digit: str
    duration_ms: int | None


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """An agent's side is gone, or never came to be. `cause` as in `Ended`; 17 is busy, 19 no answer."""

    call_id: str | None
    at_ms: int
    leg_id: str
    cause: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands in the telephone system: told once for each connection, when the system has been asked.

    `calls` are the callers that are there, `legs` the other sides by id and whether they have answered, `talking` the
    pairs of call and leg that hear each other, `coming` the calls that are not there yet, though their contacts may be.
    Whatever is not in here is gone.
    """

    calls: tuple[Offered, ...]
    legs: Mapping[str, bool]
    talking: frozenset[tuple[str, str]] = frozenset()
    coming: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Replaced:
    """The telephone system has another connection to us, and tells this one nothing more."""


_OfCallers = Offered | Reached | Queued | Bridged | Ended | Abandoned | Left | Dtmf
_OfAgents = AgentRinging | AgentAnswered | AgentEnded
CallEvent = _OfCallers | _OfAgents | Standing | Replaced


# -- what can be done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hold:
    """The caller is answered, and hears music while it waits."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Announce:
    """The caller is told its place in the queue: 1 is next."""

    call_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Ring:
    """An agent's telephone is to ring for a call, for so many seconds. `number` and `name` are what it shows."""

    call_id: str
    leg_id: str
    phone: str
    timeout_s: int
    number: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Dial:
    """A customer is to be dialled, for so many seconds, with `number` shown. `call_id` begins with `OUT`.

    Its end is `Abandoned` if the customer did not pick up.
    """

    call_id: str
    phone: str
    timeout_s: int
    number: str = ""


@dataclass(frozen=True, slots=True)
class Bridge:
    """Caller and agent are to hear each other."""

    call_id: str
    leg_id: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call is to end.

    `reason` is why its queue has not kept a caller: `callback`, `overflowed`, `cancelled` or `abandoned` (withdrawn for
    no other reason); empty for all others. Who is told it may give the caller to something else, such as voicemail, in
    place of ending the call. `contact_id` is then the caller's contact, with which a recording may be put.
    """

    call_id: str
    reason: str = ""
    contact_id: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """An agent's side is to end, or to stop ringing; the caller stays."""

    leg_id: str


CallCommand = Hold | Announce | Ring | Dial | Bridge | HangUp | Drop


def inbound_of(event: CallEvent, account: Account) -> Inbound | None:
    """What the service is told of a call event: that a caller came, pressed a key, or went. None for the rest."""
    match event:
        case Offered():
            return _contact(event, account)
        case Ended() | Abandoned():
            return InboundHangup("voice", account.name, event.call_id, event.cause)
        case Dtmf():
            return InboundDigits("voice", account.name, event.call_id, event.digit)
        case _:
            return None


def caller_identity(number: str, name: str, call_id: str, default_region: str | None) -> Identity:
    """Who calls, as far as the number says.

    A telephone number becomes a `phone` in E.164; national ones are read as of `default_region` (ISO 3166) and must be
    valid there, since an extension can be as long as a subscriber's number. Any other address, such as the extension
    1001, is a `sip_user`. A withheld number, or one too long to be any, is a `call` that stands for this call alone:
    all who hide their number must not become one customer.
    """
    address = number.strip()
    shown = name.strip()[:DISPLAY_NAME_CHARS_MAX]
    display_name = None if shown.lower() in _WITHHELD else shown
    if address.lower() in _WITHHELD or len(address) > VALUE_CHARS_MAX:
        return Identity("call", call_id, display_name)
    e164 = _e164(address, default_region)
    if e164 is not None:
        return Identity("phone", e164, display_name)
    return Identity("sip_user", address, display_name)


def _contact(call: Offered, account: Account) -> InboundContact:
    """A call has no words yet: `text` and `tags` are None, so there is nothing to find tags in and none are claimed."""
    region = account.settings.get("default_region")
    attributes = {name: value for name, value in {"dialed": call.dialed, **call.details}.items() if value}
    return InboundContact(
        channel="voice",
        account=account.name,
        external_id=call.call_id,
        identity=caller_identity(call.number, call.name, call.call_id, region if isinstance(region, str) else None),
        queue=account.queue,
        attributes=attributes,
    )


def _e164(address: str, default_region: str | None) -> str | None:
    if not _DIALLED_FORM.fullmatch(address):
        return None
    try:
        number = phonenumbers.parse(address, default_region)
    except phonenumbers.NumberParseException:
        return None
    complete = phonenumbers.is_possible_number if address.startswith("+") else phonenumbers.is_valid_number
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if complete(number) else None
