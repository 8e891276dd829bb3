"""Asterisk's REST interface (ARI), the part that arrives: its events, as call events. A state machine without I/O.

    StasisStart                 a channel enters our application: a caller, an agent's leg or a customer that we dialled
    ChannelEnteredBridge        into a holding bridge: queued; into one with the other side: bridged
    Dial, dialstatus RINGING    an agent's telephone rings
    ChannelHangupRequest        somebody wants to end a channel: says why
    StasisEnd, ChannelDestroyed the channel is gone (the second comes to those alone who subscribed to it)
    ChannelDtmfReceived         a key
    ApplicationReplaced         another connection has our application now

All other events are of no interest here; answers to REST requests (`RESTResponse`) are for `ari_line`.

The dialplan hands callers over with `Stasis(app,inbound,${EXTEN},${CALLERID(num)})`; an agent's leg is dialled with
`appArgs=agent,<caller's channel>`, a customer with `customer`. Whatever enters with another first word, or none, is a
caller: better one contact too many than a caller whom nobody hears.

Asterisk repeats nothing after a lost connection, so a call may end here that never began here: the end is told all the
same, once. What a caller chose (number, name) never makes a frame unreadable.

Sources: the event models in the api-docs of Asterisk 22.10 and recordings of it (`tests/fixtures/README.md`);
docs.asterisk.org, "ARI Outbound Websockets".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

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
    Queued,
    Reached,
    Replaced,
)
from src.channels.voice.lines import remember
from src.dispatch.callnotes import OUT
from src.errors import Malformed

FRAME_CHARS_MAX: Final = 262_144
CHANNEL_ID_CHARS_MAX: Final = 150
"""Characters of a channel's id; Asterisk's own limit is 149."""

DETAIL_CHARS_MAX: Final = 256
_DIALLING: Final = frozenset({"", "AppDial", "AppDial2"})
"""What Asterisk calls the application of channels that are being dialled."""

Q850_CAUSE_MAX: Final = 127

_SOFT: Final[Mapping[int | None, int]] = {1: 41, 4: 41, 8: 16, 16: 41, 32: 16}
"""Q.850 causes for why Asterisk itself ends a channel (`soft`), which it says in bits of its own: the device failed;
it shuts down; the time is over; the application is gone; it was told to, by us or somebody else."""

Frame = Mapping[str, object]


@dataclass(slots=True)
class _Call:
    """A caller's channel. `cause` is the last reason given for ending it.

    `began_here` is false for a call whose beginning this connection did not see; `replaced` is true once another
    channel carries the call on; `leaving` once it is to go back to the dial plan.
    """

    call_id: str
    began_here: bool = True
    replaced: bool = False
    leaving: bool = False
    talked_to: set[str] = field(default_factory=set)
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class _Channel:
    """What a frame says of a channel.

    `args` are those that it entered our application with; None outside of it. `app` is the one of the dial plan that it
    is in.
    """

    id: str
    name: str
    number: str
    exten: str
    args: tuple[str, ...] | None
    app: str

    @property
    def is_agent(self) -> bool:
        return self.args is not None and self.args[:1] == ("agent",)

    @property
    def is_customer(self) -> bool:
        return self.args is not None and self.args[:1] == ("customer",)


class AriCalls:
    """The calls of one Asterisk connection. Give it frames in their order; it gives call events.

    `app` restricts it to one application, if more than one shares the connection.
    """

    def __init__(self, app: str | None = None) -> None:
        self._app = app
        self._calls: dict[str, _Call] = {}
        self._legs: dict[str, str] = {}
        self._dialled: dict[str, str] = {}
        self._causes: dict[str, int] = {}
        self._out: dict[str, None] = {}
        self._ended: dict[str, None] = {}

    def take(self, frame: Frame, now_ms: int) -> tuple[CallEvent, ...]:
        """What one frame means. `now_ms` stands in where the frame has no time of its own.

        What only tells more of a call is passed over where it does not say which channel it is of.

        Raises:
            Malformed: a frame with which a channel comes or goes does not say which: it must be asked what stands.
        """
        if self._app is not None and frame.get("application") != self._app:
            return ()
        at_ms = _time_of(frame, now_ms)
        match frame.get("type"):
            case "Dial" | "ChannelHangupRequest" | "ChannelDtmfReceived" as kind if not _names(frame, kind):
                return ()
            case "StasisStart":
                return self._entered(frame, at_ms)
            case "ChannelEnteredBridge":
                return self._entered_bridge(frame, at_ms)
            case "Dial":
                return self._dial(frame, at_ms)
            case "ChannelHangupRequest":
                return self._hanging_up(frame)
            case "StasisEnd" | "ChannelDestroyed" as kind:
                return self._gone(frame, at_ms, left_app=kind == "StasisEnd")
            case "ChannelDtmfReceived":
                return self._pressed(frame, at_ms)
            case "ApplicationReplaced":
                return (Replaced(),)
            case str():
                return ()
            case _:
                raise Malformed("an ARI frame has a type", field="type")

    def dialled(self, leg_id: str, call_id: str) -> None:
        """An agent's leg is being dialled: its end is to be told, also if it never answers."""
        remember(self._dialled, leg_id, call_id)

    def dialled_out(self, call_id: str) -> None:
        """A customer is being dialled: the end is to be told, also if it never answers."""
        remember(self._out, call_id, None)

    def out_failed(self, call_id: str, at_ms: int, cause: int) -> tuple[CallEvent, ...]:
        """A customer could not be dialled."""
        return (Abandoned(call_id, at_ms, cause),) if self._out.pop(call_id, False) is None else ()

    def leaving(self, call_id: str) -> None:
        """A caller is to go back to the dial plan: that it leaves the application is not its end."""
        if call_id in self._calls:
            self._calls[call_id].leaving = True

    def left(self, call_id: str, at_ms: int) -> tuple[CallEvent, ...]:
        """A caller has gone back to the dial plan, if that is news."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return ()
        remember(self._ended, call_id, None)
        return (Left(call.call_id, at_ms),)

    def stands(self, channel: Frame) -> Offered | str | None:
        """What a channel is that Asterisk lists.

        A caller, whose call is known from now on; the id of another; None: the dial plan has it, as one that was given
        back to it.
        """
        found = _channel({"channel": channel}, "channel")
        if found.is_agent:
            remember(self._legs, found.id, (found.args or ())[1] if len(found.args or ()) > 1 else "")
            return found.id
        if found.args is None and found.app not in _DIALLING:
            return None
        if found.args is None:
            if found.id.startswith(OUT):
                self.dialled_out(found.id)
            return found.id
        if found.id not in self._calls:
            remember(self._calls, found.id, _Call(found.id, began_here=False))
        return _offered(found, 0, {})

    def talk(self, channel_ids: Sequence[str]) -> set[tuple[str, str]]:
        """The pairs of call and leg among the channels of one bridge; they are known to have talked."""
        pairs = set()
        for call in (self._calls[each] for each in channel_ids if each in self._calls):
            for leg_id in channel_ids:
                if self._legs.get(leg_id) == call.call_id:
                    call.talked_to.add(leg_id)
                    pairs.add((call.call_id, leg_id))
        return pairs

    def has(self, call_id: str) -> bool:
        """Whether a call is known that has not ended."""
        return call_id in self._calls

    def gone(self, call_id: str, at_ms: int) -> tuple[CallEvent, ...]:
        """Asterisk says that there is no such channel: the call has ended, if that is news."""
        call = self._calls.pop(call_id, None)
        if call is None:
            return ()
        remember(self._ended, call_id, None)
        return (Ended(call.call_id, at_ms, None),) if call.talked_to else (Abandoned(call.call_id, at_ms, None),)

    def leg_failed(self, leg_id: str, at_ms: int, cause: int) -> tuple[CallEvent, ...]:
        """An agent's leg could not be dialled, or is of no use."""
        call_id = self._dialled.pop(leg_id, None) or self._legs.pop(leg_id, None)
        return () if call_id is None else (AgentEnded(call_id, at_ms, leg_id, cause),)

    def _entered(self, frame: Frame, at_ms: int) -> tuple[CallEvent, ...]:
        channel = _channel(frame, "channel", entered_with=frame.get("args"))
        if channel.is_agent:
            return self._agent_entered(channel, at_ms)
        if channel.is_customer and channel.id not in self._calls:
            self._out.pop(channel.id, None)
            self._ended.pop(channel.id, None)
            remember(self._calls, channel.id, _Call(channel.id))
            return (Reached(channel.id, at_ms),)
        if "replace_channel" in frame and self._continues(_channel(frame, "replace_channel").id, channel.id):
            return ()
        if channel.id in self._calls:
            return ()
        self._ended.pop(channel.id, None)
        remember(self._calls, channel.id, _Call(channel.id))
        details = {"asterisk_id": _text(frame, "asterisk_id"), "application": _text(frame, "application")}
        return (_offered(channel, at_ms, details),)

    def _agent_entered(self, leg: _Channel, at_ms: int) -> tuple[CallEvent, ...]:
        if leg.id in self._legs:
            return ()
        call_id = (leg.args or ())[1] if len(leg.args or ()) > 1 else ""
        remember(self._legs, leg.id, call_id)
        return (AgentAnswered(call_id, at_ms, leg.id),) if call_id else ()

    def _continues(self, old_id: str, new_id: str) -> bool:
        """A transfer put a new channel in the place of a caller's: the call goes on under its first id."""
        old = self._calls.get(old_id)
        if old is None or old.replaced:
            return False
        remember(self._calls, new_id, replace(old, cause=None))
        old.replaced = True
        return True

    def _entered_bridge(self, frame: Frame, at_ms: int) -> tuple[CallEvent, ...]:
        bridge = frame.get("bridge")
        if not isinstance(bridge, dict) or not _names(frame, "ChannelEnteredBridge"):
            return ()
        channel_id = _channel(frame, "channel").id
        if bridge.get("bridge_type") == "holding":
            return (Queued(self._calls[channel_id].call_id, at_ms),) if channel_id in self._calls else ()
        inside = bridge.get("channels")
        present = [member for member in inside if isinstance(member, str)] if isinstance(inside, list) else []
        callers = [self._calls[member] for member in present if member in self._calls]
        return tuple(
            self._talk(call, leg_id, at_ms)
            for call in callers
            for leg_id in present
            if self._legs.get(leg_id) == call.call_id and leg_id not in call.talked_to
        )

    @staticmethod
    def _talk(call: _Call, leg_id: str, at_ms: int) -> Bridged:
        call.talked_to.add(leg_id)
        return Bridged(call.call_id, at_ms, leg_id)

    def _dial(self, frame: Frame, at_ms: int) -> tuple[CallEvent, ...]:
        if frame.get("dialstatus") != "RINGING":
            return ()
        leg_id = _channel(frame, "peer").id
        caller = self._calls.get(_channel(frame, "caller").id) if _is_channel(frame.get("caller")) else None
        call_id = caller.call_id if caller else self._dialled.get(leg_id)
        return (AgentRinging(call_id, at_ms, leg_id),)

    def _hanging_up(self, frame: Frame) -> tuple[CallEvent, ...]:
        channel = _channel(frame, "channel")
        cause = _SOFT.get(_cause_of(frame)) if frame.get("soft") is True else _cause_of(frame)
        if cause is not None and (channel.id in self._legs or channel.id in self._dialled or channel.id in self._out):
            remember(self._causes, channel.id, cause)
        call = self._call_or_stranger(channel)
        if call is not None:
            call.cause = cause or call.cause
        return ()

    def _gone(self, frame: Frame, at_ms: int, *, left_app: bool) -> tuple[CallEvent, ...]:
        channel = _channel(frame, "channel")
        call = self._call_or_stranger(channel) if left_app else self._calls.get(channel.id)
        dialled, answered = self._dialled.pop(channel.id, None), self._legs.pop(channel.id, None)
        if self._out.pop(channel.id, False) is None:
            return (Abandoned(channel.id, at_ms, _cause_of(frame) or self._causes.pop(channel.id, None)),)
        leg_of = answered or dialled
        if leg_of:
            cause = self._causes.pop(channel.id, None)
            return (AgentEnded(leg_of, at_ms, channel.id, _cause_of(frame) or cause),)
        if call is None:
            return ()
        self._calls.pop(channel.id, None)
        remember(self._ended, channel.id, None)
        if call.replaced:
            return ()
        if call.leaving:
            return (Left(call.call_id, at_ms),)
        cause = _cause_of(frame) or call.cause
        if call.talked_to or not call.began_here:
            return (Ended(call.call_id, at_ms, cause),)
        return (Abandoned(call.call_id, at_ms, cause),)

    def _call_or_stranger(self, channel: _Channel) -> _Call | None:
        """The call on a channel; for a caller in our application whose beginning was not seen here, a new one."""
        known = self._calls.get(channel.id)
        if known is not None or channel.args is None or channel.is_agent:
            return known
        if channel.id in self._legs or channel.id in self._ended:
            return None
        stranger = _Call(channel.id, began_here=False)
        remember(self._calls, channel.id, stranger)
        return stranger

    def _pressed(self, frame: Frame, at_ms: int) -> tuple[CallEvent, ...]:
        call = self._calls.get(_channel(frame, "channel").id)
        digit = _text(frame, "digit").upper()
        if call is None or len(digit) != 1 or digit not in "0123456789*#ABCD":
            return ()
        duration_ms = frame.get("duration_ms")
        return (Dtmf(call.call_id, at_ms, digit, duration_ms if type(duration_ms) is int else None),)


def _offered(channel: _Channel, at_ms: int, details: dict[str, str]) -> Offered:
    args = channel.args or ()
    dialed = args[1] if len(args) > 1 and args[0] == "inbound" else channel.exten
    return Offered(channel.id, at_ms, channel.number, channel.name, dialed, details)


def frame_of(text: str) -> Frame:
    """The object in a text frame.

    Raises:
        Malformed: it is not a JSON object, or longer than `FRAME_CHARS_MAX`.
    """
    if len(text) > FRAME_CHARS_MAX:
        raise Malformed(f"an ARI frame has at most {FRAME_CHARS_MAX} characters")
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("an ARI frame is JSON") from error
    if not isinstance(frame, dict):
        raise Malformed("an ARI frame is a JSON object")
    return frame


def _channel(frame: Frame, name: str, *, entered_with: object = None) -> _Channel:
    """The channel that a frame speaks of. `entered_with` are the arguments of a StasisStart."""
    channel = _inner(frame, name)
    if not _is_channel(channel):
        raise Malformed(f"{name}.id must be 1 to {CHANNEL_ID_CHARS_MAX} printable characters", field=f"{name}.id")
    channel_id = str(channel["id"])
    caller, dialplan = _inner(channel, "caller"), _inner(channel, "dialplan")
    if isinstance(entered_with, list):
        args: tuple[str, ...] | None = tuple(_clean(arg) for arg in entered_with)
    elif dialplan.get("app_name") == "Stasis":
        args = tuple(_clean(dialplan.get("app_data")).split(",")[1:])
    else:
        args = None
    return _Channel(
        channel_id,
        _clean(caller.get("name")),
        _clean(caller.get("number")),
        _text(dialplan, "exten"),
        args,
        _text(dialplan, "app_name"),
    )


def _names(frame: Frame, kind: str) -> bool:
    """Whether a frame of this type says which channel it is of."""
    return _is_channel(frame.get("peer" if kind == "Dial" else "channel"))


def _is_channel(value: object) -> bool:
    channel_id = value.get("id") if isinstance(value, dict) else None
    return isinstance(channel_id, str) and channel_id.isprintable() and 0 < len(channel_id) <= CHANNEL_ID_CHARS_MAX


def _inner(frame: Frame, name: str) -> Frame:
    inner = frame.get(name)
    return inner if isinstance(inner, dict) else {}


def _text(frame: Frame, name: str) -> str:
    return _clean(frame.get(name))[:DETAIL_CHARS_MAX]


def _clean(value: object) -> str:
    """Text that can be stored and shown: half surrogate pairs and NULs are replaced; what is no text is empty."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd") if isinstance(value, str) else ""


def _cause_of(frame: Frame) -> int | None:
    """The Q.850 cause; 0 means that Asterisk knows none."""
    cause = frame.get("cause")
    return cause if type(cause) is int and 1 <= cause <= Q850_CAUSE_MAX else None


def _time_of(frame: Frame, now_ms: int) -> int:
    timestamp = frame.get("timestamp")
    if not isinstance(timestamp, str):
        return now_ms
    try:
        moment = datetime.fromisoformat(timestamp)
        return int(moment.timestamp() * 1_000) if moment.tzinfo is not None else now_ms
    except (ValueError, OverflowError):
        return now_ms
