"""What happens to a telephone call, in words that no telephone system owns, and what of it the service is told.

Every telephone system's module turns its own events into these; from here on nobody knows which system it was. Must do
no I/O, and must not know any system's words.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import phonenumbers

from src.channels.base import Account
from src.dispatch.inbound import Inbound, InboundContact, InboundHangup
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
class Dtmf:
    """The caller pressed a key: one of `0123456789*#ABCD`."""

    call_id: str
    at_ms: int
    digit: str
    duration_ms: int | None


CallEvent = Offered | Queued | AgentRinging | AgentAnswered | Bridged | Ended | Abandoned | Dtmf


def inbound_of(event: CallEvent, account: Account) -> Inbound | None:
    """What the service is told of a call event: that a caller came, and that the caller went. None for the rest."""
    match event:
        case Offered():
            return _contact(event, account)
        case Ended() | Abandoned():
            return InboundHangup("voice", account.name, event.call_id, event.cause)
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
