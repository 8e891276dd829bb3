"""FreeSWITCH's event socket (ESL), the part that arrives: its frames, and its events as call events. It does no I/O.

A frame is header lines, an empty line, and as many bytes of body as `Content-Length` says. Events are JSON, as we ask
for them, or header lines or XML with values as in URLs. What happens to channels:

    CHANNEL_PARK                an inbound one: a caller; one that we dialled: its agent has answered
    CHANNEL_PROGRESS(_MEDIA)    an agent's telephone rings
    CHANNEL_BRIDGE              two channels hear each other
    CHANNEL_HANGUP              a caller is going: its agent's side goes with it, and may be gone first
    CHANNEL_HANGUP_COMPLETE     the channel is gone, with its Q.850 cause
    BACKGROUND_JOB              what became of dialling an agent: `+OK …`, or `-ERR` and a cause by name
    DTMF                        a key

The channels that we dial carry the variable `cordboard_call`, their caller's id; callers that we hold carry their own.
FreeSWITCH repeats nothing after a lost connection, so a call may end here that never began here: the end is told all
the same, once. What a caller chose (number, name) never makes a frame unreadable.

Sources: the documents on mod_event_socket and mod_commands, and recordings of 1.10 (`tests/fixtures/README.md`).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    AgentRinging,
    Bridged,
    CallEvent,
    Dtmf,
    Ended,
    Left,
    Offered,
    Reached,
)
from src.channels.voice.lines import remember
from src.errors import Malformed

HEADER_BYTES_MAX: Final = 65_536
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""A list of some thousand channels is the longest that FreeSWITCH has to say."""

XML_CHARS_MAX: Final = 262_144
"""An event has some ten thousand; to read XML takes longer than anything else."""

DETAIL_CHARS_MAX: Final = 256
Q850_CAUSE_MAX: Final = 127
SAMPLES_PER_MS: Final = 8

CALL_VARIABLE: Final = "cordboard_call"
APP_VARIABLE: Final = "cordboard_app"

CAUSES: Final = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_TRANSIT_NET": 2,
    "NO_ROUTE_DESTINATION": 3,
    "CHANNEL_UNACCEPTABLE": 6,
    "CALL_AWARDED_DELIVERED": 7,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "NUMBER_CHANGED": 22,
    "REDIRECTION_TO_NEW_DESTINATION": 23,
    "EXCHANGE_ROUTING_ERROR": 25,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "FACILITY_REJECTED": 29,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_CIRCUIT_CONGESTION": 34,
    "NETWORK_OUT_OF_ORDER": 38,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "SWITCH_CONGESTION": 42,
    "REQUESTED_CHAN_UNAVAIL": 44,
    "FACILITY_NOT_SUBSCRIBED": 50,
    "OUTGOING_CALL_BARRED": 52,
    "INCOMING_CALL_BARRED": 54,
    "BEARERCAPABILITY_NOTAUTH": 57,
    "BEARERCAPABILITY_NOTAVAIL": 58,
    "SERVICE_UNAVAILABLE": 63,
    "SERVICE_NOT_IMPLEMENTED": 79,
    "INCOMPATIBLE_DESTINATION": 88,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "INTERWORKING": 127,
}
"""Q.850 numbers of causes that come by name alone. Dialling that fails with any other has failed as `TEMPORARY`."""

OWN_CAUSES: Final = {
    "ORIGINATOR_CANCEL": 16,
    "ALLOTTED_TIMEOUT": 19,
    "PROGRESS_TIMEOUT": 19,
    "USER_NOT_REGISTERED": 20,
    "MEDIA_TIMEOUT": 41,
    "GATEWAY_DOWN": 38,
    "INVALID_GATEWAY": 3,
    "INVALID_PROFILE": 3,
    "SYSTEM_SHUTDOWN": 41,
    "CRASH": 41,
}
"""Q.850 numbers for causes of FreeSWITCH's own. It gives them numbers, too, as if somebody had hung up (16)."""

NORMAL: Final = 16
TEMPORARY: Final = 41

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:@-]{0,149}")
"""An id of a channel that may stand in a command: nothing that ends a word or a line."""

_LENGTH: Final = re.compile(rb"[0-9]{1,8}")

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its headers, names in lower case, and its body. Values are as they came, not decoded."""

    headers: Mapping[str, str]
    body: str = ""

    @property
    def kind(self) -> str:
        """Its `Content-Type`."""
        return self.headers.get("content-type", "")


class Framing:
    """Cuts a stream of bytes into frames; each is given as the text of its headers, an empty line and its body."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._looked_to = 0

    def feed(self, data: bytes) -> Sequence[str]:
        """The frames that these bytes complete.

        Raises:
            Malformed: there is a length that is none or too large, or a frame's headers do not end.
        """
        self._bytes += data
        found = []
        while (end := self._header_end()) >= 0:
            length = _length(bytes(self._bytes[:end]))
            if len(self._bytes) < end + 2 + length:
                break
            found.append(self._bytes[: end + 2 + length].decode("utf-8", "replace"))
            del self._bytes[: end + 2 + length]
            self._looked_to = 0
        return found

    def _header_end(self) -> int:
        """Where the empty line begins; -1: it has not come. What was looked through is not looked through again."""
        while self._bytes[:1] == b"\n":  # what FreeSWITCH puts between frames now and then
            del self._bytes[:1]
        end = self._bytes.find(b"\n\n", max(0, self._looked_to - 1))
        self._looked_to = len(self._bytes) if end < 0 else end
        if (len(self._bytes) if end < 0 else end) > HEADER_BYTES_MAX:
            raise Malformed(f"the headers of a frame have at most {HEADER_BYTES_MAX} bytes")
        return end


def _length(headers: bytes) -> int:
    found = [
        value.strip()
        for name, separator, value in (line.partition(b":") for line in headers.split(b"\n"))
        if separator and name.strip().lower() == b"content-length"
    ]
    if not found:
        return 0
    if len(found) > 1 or not _LENGTH.fullmatch(found[0]) or int(found[0]) > BODY_BYTES_MAX:
        raise Malformed(f"Content-Length must be there once, and be 0 to {BODY_BYTES_MAX}", field="Content-Length")
    return int(found[0])


def frame_of(text: str) -> Frame:
    """A frame from its text.

    Raises:
        Malformed: its headers are none.
    """
    head, _, body = text.partition("\n\n")
    return Frame({name.lower(): value for name, value in _lines(head)}, body)


def fields_of(frame: Frame) -> Fields:
    """The fields of an event, whether it is JSON, XML or lines.

    Raises:
        Malformed: it is neither, or has no name.
    """
    if frame.kind == "text/event-json":
        try:
            fields: object = json.loads(frame.body)
        except (ValueError, RecursionError) as error:
            raise Malformed("an event is JSON") from error
    elif frame.kind == "text/event-xml":
        fields = _from_xml(frame.body)
    else:
        head, _, body = frame.body.partition("\n\n")
        fields = {name: unquote(value, errors="replace") for name, value in _lines(head)} | {"_body": body}
    if not isinstance(fields, dict) or not isinstance(fields.get("Event-Name"), str):
        raise Malformed("an event has a name", field="Event-Name")
    return fields


def _from_xml(text: str) -> Fields:
    """`<event><headers><Event-Name>…`; values are as in URLs, as they are in lines."""
    if len(text) > XML_CHARS_MAX:
        raise Malformed(f"an event in XML has at most {XML_CHARS_MAX} characters")
    try:
        event = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Malformed("an event is XML without a DTD") from error
    headers = event.find("headers")
    found = {} if headers is None else {each.tag: unquote(each.text or "", errors="replace") for each in headers}
    return found | {"_body": event.findtext("body") or ""}


def _lines(head: str) -> Sequence[tuple[str, str]]:
    pairs = []
    for line in head.split("\n"):
        name, separator, value = line.partition(":")
        if line and not (separator and name.isprintable()):
            raise Malformed("a header is a name, a colon and a value")
        if line:
            pairs.append((name.strip(), value.strip()))
    return pairs


@dataclass(slots=True)
class _Call:
    """A caller's channel.

    `began_here` is false where this connection did not see its beginning; `leaving` is true once it is to go back to
    the dial plan.
    """

    began_here: bool = True
    leaving: bool = False
    going: bool = False
    talked_to: set[str] = field(default_factory=set)


class EslCalls:
    """The calls of one FreeSWITCH connection. Give it events in their order; it gives call events.

    `app` restricts it to callers whose dial plan has set `cordboard_app` to it.
    """

    def __init__(self, app: str | None = None) -> None:
        self._app = app
        self._calls: dict[str, _Call] = {}
        self._dialled: dict[str, str] = {}
        self._legs: dict[str, str] = {}
        self._ended: dict[str, None] = {}
        self._out: dict[str, None] = {}

    def take(self, fields: Fields, now_ms: int) -> tuple[CallEvent, ...]:
        """What one event means. `now_ms` stands in where it has no time of its own."""
        at_ms = _time_of(fields, now_ms)
        name, channel_id = fields.get("Event-Name"), id_of(fields.get("Unique-ID"))
        if name == "BACKGROUND_JOB":
            return self._job_done(fields, at_ms)
        if channel_id is None:
            return ()
        match name:
            case "CHANNEL_PARK":
                return self._parked(channel_id, fields, at_ms)
            case "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" if channel_id in self._dialled:
                return (AgentRinging(self._dialled[channel_id], at_ms, channel_id),)
            case "CHANNEL_BRIDGE":
                return self._bridged(fields, at_ms)
            case "CHANNEL_HANGUP" if channel_id in self._calls:
                self._calls[channel_id].going = True
                return ()
            case "CHANNEL_HANGUP_COMPLETE":
                return self._gone(channel_id, fields, at_ms)
            case "DTMF":
                return self._pressed(channel_id, fields, at_ms)
            case _:
                return ()

    def dialled(self, leg_id: str, call_id: str) -> None:
        """An agent's leg is being dialled: its end is to be told, also if it never answers."""
        remember(self._dialled, leg_id, call_id)

    def dialled_out(self, call_id: str) -> None:
        """A customer is being dialled: the end is to be told, also if it never answers."""
        remember(self._out, call_id, None)

    def out_failed(self, call_id: str, at_ms: int, cause: int | None) -> tuple[CallEvent, ...]:
        """A customer could not be dialled, or did not answer."""
        return (Abandoned(call_id, at_ms, cause),) if self._out.pop(call_id, False) is None else ()

    def stands(self, fields: Fields) -> Offered | tuple[str, bool, str | None] | None:
        """What a channel is that FreeSWITCH has dumped.

        A caller, whose call is known from now on; of a leg of ours: its id, whether it has answered, and with whom it
        talks; None: nothing of ours.
        """
        channel_id, call_id = id_of(fields.get("Unique-ID")), id_of(fields.get(f"variable_{CALL_VARIABLE}"))
        if channel_id is None:
            return None
        if self._calls_us(fields):
            if not self._is_caller(fields):
                return None
            if channel_id not in self._calls:
                remember(self._calls, channel_id, _Call(began_here=False))
            return _offered(channel_id, fields, 0)
        if call_id is None:
            return None
        answered = fields.get("Answer-State") == "answered"
        if channel_id == call_id:
            if not answered:
                self.dialled_out(call_id)
                return channel_id, False, None
            remember(self._calls, call_id, _Call())
            return _offered(call_id, fields, 0)
        remember(self._legs if answered else self._dialled, channel_id, call_id)
        return channel_id, answered, id_of(fields.get("variable_signal_bond")) if answered else None

    def talk(self, pairs: Iterable[tuple[str, str]]) -> None:
        """These calls and legs are known to have talked."""
        for call_id, leg_id in pairs:
            if call_id in self._calls:
                self._calls[call_id].talked_to.add(leg_id)

    def has(self, call_id: str) -> bool:
        """Whether a call is known that has not ended."""
        return call_id in self._calls

    def talked(self, call_id: str) -> bool:
        """Whether a call has been with an agent."""
        return call_id in self._calls and bool(self._calls[call_id].talked_to)

    def leaving(self, call_id: str) -> None:
        """A caller is to go back to the dial plan: what becomes of it there is no news."""
        if call_id in self._calls:
            self._calls[call_id].leaving = True

    def gone(self, call_id: str, at_ms: int, cause: int | None = None) -> tuple[CallEvent, ...]:
        """There is no such channel any more, or the dial plan has it: the call has ended, if that is news."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return ()
        remember(self._ended, call_id, None)
        if call.leaving:
            return (Left(call_id, at_ms),)
        ended = Ended if call.talked_to or not call.began_here else Abandoned
        return (ended(call_id, at_ms, cause),)

    def leg_failed(self, leg_id: str, at_ms: int, cause: int | None) -> tuple[CallEvent, ...]:
        """An agent's leg could not be dialled, is gone, or is of no use."""
        call_id = self._dialled.pop(leg_id, None) or self._legs.pop(leg_id, None)
        return () if call_id is None else (AgentEnded(call_id, at_ms, leg_id, cause),)

    def _calls_us(self, fields: Fields) -> bool:
        """Whether a channel is a caller's: also one that FreeSWITCH had dialled, and that its dial plan gave to us."""
        named = self._app is not None and fields.get(f"variable_{APP_VARIABLE}") == self._app
        return named or fields.get("Call-Direction") == "inbound"

    def _is_caller(self, fields: Fields) -> bool:
        if self._app is not None and fields.get(f"variable_{APP_VARIABLE}") != self._app:
            return False
        parked = fields.get("Event-Name") == "CHANNEL_PARK" or fields.get("variable_current_application") == "park"
        return parked or fields.get(f"variable_{CALL_VARIABLE}") == fields.get("Unique-ID")

    def _parked(self, channel_id: str, fields: Fields, at_ms: int) -> tuple[CallEvent, ...]:
        if self._calls_us(fields):
            if channel_id in self._calls or not self._is_caller(fields):
                return ()
            self._ended.pop(channel_id, None)
            remember(self._calls, channel_id, _Call())
            return (_offered(channel_id, fields, at_ms),)
        call_id = self._dialled.pop(channel_id, None) or id_of(fields.get(f"variable_{CALL_VARIABLE}"))
        if channel_id in self._out or channel_id == call_id:
            self._out.pop(channel_id, None)
            if channel_id in self._calls:
                return ()
            self._ended.pop(channel_id, None)
            remember(self._calls, channel_id, _Call())
            return (Reached(channel_id, at_ms),)
        if call_id is None or channel_id in self._legs:
            return ()
        remember(self._legs, channel_id, call_id)
        return (AgentAnswered(call_id, at_ms, channel_id),)

    def _bridged(self, fields: Fields, at_ms: int) -> tuple[CallEvent, ...]:
        one = id_of(fields.get("Bridge-A-Unique-ID", fields.get("Unique-ID")))
        other = id_of(fields.get("Bridge-B-Unique-ID", fields.get("Other-Leg-Unique-ID")))
        for call_id, leg_id in ((one, other), (other, one)):
            if call_id in self._calls and leg_id is not None and self._legs.get(leg_id) == call_id:
                call = self._calls[call_id]
                if leg_id not in call.talked_to:
                    call.talked_to.add(leg_id)
                    return (Bridged(call_id, at_ms, leg_id),)
        return ()

    def _gone(self, channel_id: str, fields: Fields, at_ms: int) -> tuple[CallEvent, ...]:
        cause = _cause_of(fields)
        call_id = self._dialled.get(channel_id) or self._legs.get(channel_id)
        if call_id is not None:
            call = self._calls.get(call_id)
            return self.leg_failed(channel_id, at_ms, NORMAL if call is not None and call.going else cause)
        if channel_id in self._out:
            return self.out_failed(channel_id, at_ms, cause)
        stranger = channel_id not in self._calls and channel_id not in self._ended
        ours = (
            self._is_caller(fields) if self._calls_us(fields) else fields.get(f"variable_{CALL_VARIABLE}") == channel_id
        )
        if stranger and ours:
            remember(self._calls, channel_id, _Call(began_here=False))
        return self.gone(channel_id, at_ms, cause)

    def _job_done(self, fields: Fields, at_ms: int) -> tuple[CallEvent, ...]:
        job, body = fields.get("Job-UUID"), fields.get("_body")
        failed = isinstance(body, str) and body.startswith("-ERR")
        if not failed or not isinstance(job, str):
            return ()
        name = str(body)[4:].strip()
        cause = OWN_CAUSES.get(name) or CAUSES.get(name, TEMPORARY)
        if job in self._out:
            return self.out_failed(job, at_ms, cause)
        return self.leg_failed(job, at_ms, cause) if job in self._dialled else ()

    def _pressed(self, channel_id: str, fields: Fields, at_ms: int) -> tuple[CallEvent, ...]:
        digit, duration = _text(fields, "DTMF-Digit").upper(), _text(fields, "DTMF-Duration")
        if channel_id not in self._calls or len(digit) != 1 or digit not in "0123456789*#ABCD":
            return ()
        known = duration.isascii() and duration.isdigit() and len(duration) <= 6  # noqa: PLR2004  # two minutes
        return (Dtmf(channel_id, at_ms, digit, int(duration) // SAMPLES_PER_MS if known else None),)


def id_of(value: object) -> str | None:
    """A channel's id, if it is one that may stand in a command."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _offered(channel_id: str, fields: Fields, at_ms: int) -> Offered:
    number, name = _text(fields, "Caller-Caller-ID-Number"), _text(fields, "Caller-Caller-ID-Name")
    details = {"context": _text(fields, "Caller-Context")}
    return Offered(channel_id, at_ms, number, name, _text(fields, "Caller-Destination-Number"), details)


def _cause_of(fields: Fields) -> int | None:
    """The Q.850 cause; 0 means that FreeSWITCH knows none."""
    name, number = _text(fields, "Hangup-Cause"), _text(fields, "variable_hangup_cause_q850")
    if name in OWN_CAUSES:
        return OWN_CAUSES[name]
    if number.isascii() and number.isdigit() and len(number) <= 3 and 1 <= int(number) <= Q850_CAUSE_MAX:  # noqa: PLR2004
        return int(number)
    return CAUSES.get(name)


def _time_of(fields: Fields, now_ms: int) -> int:
    micros = _text(fields, "Event-Date-Timestamp")
    return int(micros) // 1000 if micros.isascii() and micros.isdigit() and len(micros) == 16 else now_ms  # noqa: PLR2004


def _text(fields: Fields, name: str) -> str:
    """Text that can be stored and shown: half surrogate pairs and NULs are replaced; what is no text is empty."""
    value = fields.get(name)
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:DETAIL_CHARS_MAX]
