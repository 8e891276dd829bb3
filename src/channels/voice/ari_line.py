"""One connection to an Asterisk: its events in, its REST requests out, over the same WebSocket. It does no I/O.

Asterisk takes REST requests over the WebSocket that carries its events (20.14, 22.4 and later), whoever dialled whom:

    {"type": "RESTRequest", "transaction_id", "request_id", "method", "uri", "query_strings": [{"name", "value"}]}
    {"type": "RESTResponse", "transaction_id", …, "status_code", "message_body"}

It works them off in their order, so that what belongs together is sent together. Ids of channels and bridges are ours,
which makes a request that is repeated harmless (409: it is there already). Nothing is replayed after a lost
connection: so the first thing is to ask what stands, channel by channel, and to tell that as one `Standing`.

Sources: docs.asterisk.org, "ARI REST over WebSocket", and the recordings in `tests/fixtures`.
"""

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from src.channels.voice.ari import AriCalls, Frame, frame_of
from src.channels.voice.calls import (
    Announce,
    Bridge,
    CallCommand,
    CallEvent,
    Dial,
    Drop,
    HangUp,
    Hold,
    Offered,
    Ring,
)
from src.channels.voice.lines import Asked, Extension, Listing, Moved, object_of
from src.errors import Malformed

HOLDING: Final = "cordboard-hold"
"""The bridge in which callers wait; one for each application."""

REASON: Final = "CORDBOARD_REASON"
CONTACT: Final = "CORDBOARD_CONTACT"
"""The channel's variables by which the dial plan knows why a caller has come back to it, and its contact."""

NO_ROUTE: Final = 3
TEMPORARY: Final = 41
"""Q.850 causes that stand for what Asterisk says with an HTTP status."""


class AriLine:
    """See `Conversation`. `app` None: the one that Asterisk names first.

    `closed` is the extension, and perhaps context, to which callers go back whom their queue has not kept.
    """

    def __init__(self, app: str | None = None, music: str | None = None, closed: Extension | None = None) -> None:
        self._app = app
        self._music = music
        self._closed = closed
        self._calls = AriCalls(app)
        self._asked: dict[str, Asked] = {}
        self._number = 0
        self._listing: Listing | None = None
        self._bridges: list[list[str]] = []
        self._hold_made = False
        self._mixed: set[str] = set()
        self.waits_since_ms: int | None = None

    def begin(self, now_ms: int) -> Sequence[str]:
        """Ask what stands, if it is known where."""
        if self._app is None or self._listing is not None:
            return ()
        self._listing, self._bridges = Listing(open=1), []
        return [self._request("GET", f"applications/{quote(self._app, safe='')}", now_ms, what="app")]

    def ping(self, now_ms: int) -> Sequence[str]:
        """Ask for a sign of life."""
        return [self._request("GET", "asterisk/ping", now_ms, what="ping")]

    def take(self, text: str, now_ms: int) -> Moved:
        """See `Conversation.take`."""
        frame = frame_of(text)
        if frame.get("type") == "RESTResponse":
            moved = self._answered(frame, now_ms)
            self.waits_since_ms = next((each.at_ms for each in self._asked.values()), None)
            return moved
        events = self._calls.take(frame, now_ms)
        frames: list[str] = []
        named = _texts([frame.get("application")])
        if self._app is None and named:
            self._app = named[0]
            frames.extend(self.begin(now_ms))
        for each in events:
            frames.extend(self._tidied(each, now_ms))
        return events, frames

    def tell(self, command: CallCommand, now_ms: int) -> Sequence[str]:
        """See `Conversation.tell`."""
        match command:
            case Hold():
                return self._hold(command.call_id, now_ms)
            case Announce():
                media = "sound:queue-youarenext" if command.position == 1 else _thereare(command.position - 1)
                uri = f"channels/{quote(command.call_id, safe='')}/play"
                return [self._request("POST", uri, now_ms, media=media, what="say")]
            case Ring():
                return self._ring(command, now_ms)
            case Dial():
                return self._dial(command, now_ms)
            case Bridge():
                return self._bridge(command.call_id, command.leg_id, now_ms)
            case HangUp() if command.reason and self._closed is not None:
                return self._give_back(command, self._closed, now_ms)
            case HangUp():
                return [self._hang_up(command.call_id, now_ms)]
            case Drop():
                return [self._request("DELETE", f"channels/{quote(command.leg_id, safe='')}", now_ms, what="drop")]

    # -- requests -----------------------------------------------------------------------------------------------

    def _request(
        self, method: str, uri: str, now_ms: int, *, what: str, call_id: str = "", leg_id: str = "", **query: str
    ) -> str:
        self._number += 1
        transaction_id = f"c{self._number}"
        self._asked[transaction_id] = Asked(now_ms, what, call_id, leg_id)
        if self.waits_since_ms is None:
            self.waits_since_ms = now_ms
        frame: dict[str, Any] = {
            "type": "RESTRequest",
            "transaction_id": transaction_id,
            "request_id": transaction_id,
            "method": method,
            "uri": uri,
        }
        if query:
            frame["query_strings"] = [{"name": name, "value": value} for name, value in query.items()]
        return json.dumps(frame, ensure_ascii=False)

    def _hang_up(self, call_id: str, now_ms: int) -> str:
        uri = f"channels/{quote(call_id, safe='')}"
        return self._request("DELETE", uri, now_ms, what="call", call_id=call_id, reason_code="16")

    def _give_back(self, end: HangUp, closed: Extension, now_ms: int) -> Sequence[str]:
        """Asterisk takes a channel out of its bridge by itself before the dial plan has it."""
        self._calls.leaving(end.call_id)
        channel = f"channels/{quote(end.call_id, safe='')}"
        to = {"extension": closed.exten, "priority": "1", **({"context": closed.context} if closed.context else {})}
        says = ((REASON, end.reason), (CONTACT, end.contact_id))
        return [
            *(
                self._request("POST", f"{channel}/variable", now_ms, what="any", variable=name, value=value)
                for name, value in says
            ),
            self._request("POST", f"{channel}/continue", now_ms, what="continue", call_id=end.call_id, **to),
        ]

    def _hold(self, call_id: str, now_ms: int) -> Sequence[str]:
        frames = []
        if not self._hold_made:
            self._hold_made = True
            frames.append(self._request("POST", f"bridges/{HOLDING}", now_ms, what="any", type="holding", name=HOLDING))
            music = {} if self._music is None else {"mohClass": self._music}
            frames.append(self._request("POST", f"bridges/{HOLDING}/moh", now_ms, what="any", **music))
        channel = quote(call_id, safe="")
        frames.append(self._request("POST", f"channels/{channel}/answer", now_ms, what="call", call_id=call_id))
        uri = f"bridges/{HOLDING}/addChannel"
        frames.append(self._request("POST", uri, now_ms, what="call", call_id=call_id, channel=call_id))
        return frames

    def _ring(self, ring: Ring, now_ms: int) -> Sequence[str]:
        assert self._app is not None, "a call has come, so the application is known"
        self._calls.dialled(ring.leg_id, ring.call_id)
        shown = f'"{_bare(ring.name)}" <{_bare(ring.number)}>' if ring.name else _bare(ring.number)
        query = {
            "endpoint": ring.phone,
            "app": self._app,
            "appArgs": f"agent,{ring.call_id}",
            "callerId": shown,
            "timeout": str(ring.timeout_s),
            "originator": ring.call_id if self._calls.has(ring.call_id) else "",
            "channelId": ring.leg_id,
        }
        asked = {"what": "ring", "call_id": ring.call_id, "leg_id": ring.leg_id}
        return [self._request("POST", "channels", now_ms, **asked, **{k: v for k, v in query.items() if v})]

    def _dial(self, dial: Dial, now_ms: int) -> Sequence[str]:
        assert self._app is not None, "an agent has answered, so the application is known"
        self._calls.dialled_out(dial.call_id)
        query = {
            "endpoint": dial.phone,
            "app": self._app,
            "appArgs": "customer",
            "callerId": _bare(dial.number),
            "timeout": str(dial.timeout_s),
            "channelId": dial.call_id,
        }
        asked = {"what": "dial", "call_id": dial.call_id}
        return [self._request("POST", "channels", now_ms, **asked, **{k: v for k, v in query.items() if v})]

    def _bridge(self, call_id: str, leg_id: str, now_ms: int) -> Sequence[str]:
        mix = _mix(leg_id)
        self._mixed.add(leg_id)
        both = {"what": "bridge", "call_id": call_id, "leg_id": leg_id, "channel": f"{call_id},{leg_id}"}
        return [
            self._request("POST", f"bridges/{mix}", now_ms, what="any", type="mixing,dtmf_events", name=mix),
            self._request("POST", f"bridges/{HOLDING}/removeChannel", now_ms, what="any", channel=call_id),
            self._request("POST", f"bridges/{mix}/addChannel", now_ms, **both),
        ]

    def _tidied(self, event: CallEvent, now_ms: int) -> Sequence[str]:
        """Take away the bridge of a leg that has ended."""
        leg_id = getattr(event, "leg_id", None)
        if leg_id in self._mixed and type(event).__name__ == "AgentEnded":
            self._mixed.discard(leg_id)
            return [self._request("DELETE", f"bridges/{_mix(leg_id)}", now_ms, what="any")]
        return ()

    # -- answers ------------------------------------------------------------------------------------------------

    def _answered(self, frame: Frame, now_ms: int) -> Moved:
        asked = self._asked.pop(str(frame.get("transaction_id")), None)
        status = frame.get("status_code")
        if asked is None or type(status) is not int:
            return (), ()
        good = 200 <= status < 300  # noqa: PLR2004  # HTTP's classes
        match asked.what:
            case "app" | "channel" | "bridge_listed":
                return self._listed(asked.what, object_of(frame.get("message_body")) if good else {}, now_ms)
            case "call" if status == 404:  # noqa: PLR2004
                return self._calls.gone(asked.call_id, now_ms), ()
            case "continue" if good or status in (404, 409):  # 409: it is in the dial plan already
                return self._calls.left(asked.call_id, now_ms), ()
            case "continue":
                return (), [self._hang_up(asked.call_id, now_ms)]
            case "dial" if not good and status != 409:  # noqa: PLR2004
                return self._calls.out_failed(asked.call_id, now_ms, NO_ROUTE), ()
            case "ring" if not good and status != 409:  # noqa: PLR2004  # 409: it rings already
                return self._calls.leg_failed(asked.leg_id, now_ms, NO_ROUTE), ()
            case "bridge" if not good and self._calls.has(asked.call_id):
                drop = self._request("DELETE", f"channels/{quote(asked.leg_id, safe='')}", now_ms, what="drop")
                return self._calls.leg_failed(asked.leg_id, now_ms, TEMPORARY), [drop]
        return (), ()

    def _listed(self, what: str, body: Frame, now_ms: int) -> Moved:
        listing = self._listing
        if listing is None:
            return (), ()
        listing.open -= 1
        frames: list[str] = []
        if what == "app":
            for kind, asked in (("channel", "channel"), ("bridge", "bridge_listed")):
                uris = [f"{kind}s/{quote(each, safe='')}" for each in _texts(body.get(f"{kind}_ids"))]
                frames.extend(self._request("GET", each, now_ms, what=asked) for each in uris)
        elif what == "channel" and body:
            self._channel_stands(listing, body)
        elif body.get("bridge_type") == "mixing":
            self._bridges.append(_texts(body.get("channels")))
        listing.open += len(frames)
        if listing.open:
            return (), frames
        self._listing = None
        listing.talking.update(pair for each in self._bridges for pair in self._calls.talk(each))
        self._mixed.update(leg_id for _, leg_id in listing.talking)
        return [listing.standing()], frames

    def _channel_stands(self, listing: Listing, body: Frame) -> None:
        try:
            found = self._calls.stands(body)
        except Malformed:
            return
        if isinstance(found, Offered):
            listing.calls.append(found)
        elif found is not None:
            listing.legs[found] = body.get("state") == "Up"


def _mix(leg_id: str) -> str:
    return quote(f"cordboard-mix-{leg_id}", safe="")


def _thereare(before: int) -> str:
    return f"sound:queue-thereare,number:{before},sound:queue-callswaiting"


def _bare(text: str) -> str:
    """What may stand in a caller's id: Asterisk reads quotes and brackets in it."""
    return "".join(each for each in text if each.isprintable() and each not in '"<>\\,')[:80]


def _texts(value: object) -> list[str]:
    """The names in a list. Half a surrogate pair, which JSON allows, fits into no address."""
    given = value if isinstance(value, list) else ()
    return [each for each in given if isinstance(each, str) and each and each.isprintable()]
