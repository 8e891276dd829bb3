"""A double of Asterisk's REST interface (ARI) over its WebSocket, with callers and agents' telephones in it.

It answers requests as the recordings of Asterisk 22 do, keeps channels and bridges, and tells events. It dials the
service (`dialling`) or is dialled (`listening`). Calls live on when a connection is lost, as Asterisk's do.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import websockets

Frame = dict[str, Any]


@dataclass
class Channel:
    """A caller's or an agent's side.

    `args` are those of its Stasis application, None before it is in it; `elsewhere` is where the dial plan has it since
    it was given back: extension and context, and `variables` those that were set on it.
    """

    id: str
    name: str
    number: str
    state: str = "Ring"
    args: list[str] | None = None
    caller_name: str = ""
    elsewhere: tuple[str, str] | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Bridge:
    id: str
    type: str
    channels: list[str] = field(default_factory=list)


class Asterisk:
    """One Asterisk with one application. `phones` says what becomes of ringing an endpoint.

    `answer`: it is picked up at once; `ring`: it rings until `pick_up`; `busy`, `silent`: nobody takes it.
    `mute`: no request is answered any more.
    """

    def __init__(self, app: str = "routing") -> None:
        self.app = app
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.phones: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.mute = False
        self.closed: list[int] = []
        self._socket: Any = None
        self._changed = asyncio.Event()
        self._calls = 0
        self._dialled_with: dict[str, str] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    # -- connections --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def dialling(self, url: str, username: str, password: str, *, again: bool = False) -> AsyncIterator[None]:
        """Dial the service; `again`: for as long as this lasts, whenever the connection is lost."""
        ready = asyncio.Event()
        task = asyncio.create_task(self._dial(url, username, password, ready, again=again))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        try:
            if task.done():
                task.result()
            yield
        finally:
            for each in (task, waiting, *self._timers.values()):
                each.cancel()
            await asyncio.gather(task, waiting, return_exceptions=True)

    async def _dial(self, url: str, username: str, password: str, ready: asyncio.Event, *, again: bool) -> None:
        credential = base64.b64encode(f"{username}:{password}".encode()).decode()
        while True:
            with contextlib.suppress(OSError, websockets.InvalidHandshake) if again else contextlib.nullcontext():
                async with websockets.connect(
                    url,
                    subprotocols=[websockets.Subprotocol("ari")],
                    additional_headers={"Authorization": f"Basic {credential}"},
                ) as socket:
                    await self.talk(socket, ready)
            if not again:
                return
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def listening(self, username: str, password: str, port: int = 0) -> AsyncIterator[str]:
        """Be dialled at `/ari/events?app=…`, with HTTP Basic; gives the address."""
        credential = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

        def admit(connection: Any, request: Any) -> Any:
            path = request.path.partition("?")
            if path[0] != "/ari/events" or f"app={self.app}" not in path[2]:
                return connection.respond(404, "no such thing")
            if request.headers.get("Authorization") != credential:
                return connection.respond(401, '{"message":"Authentication required"}')
            return None

        async def serve(socket: Any) -> None:
            if self._socket is not None:
                await self._tell({"type": "ApplicationReplaced"})
            await self.talk(socket, asyncio.Event())

        async with websockets.serve(serve, "127.0.0.1", port, process_request=admit) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def talk(self, socket: Any, ready: asyncio.Event) -> None:
        """Tell events over a connection, and answer what is asked over it, until it is closed."""
        self._socket = socket
        await self._tell({"type": "ApplicationRegistered"})
        ready.set()
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in socket:
                await self._answer(socket, json.loads(text))
        self.closed.append(socket.close_code)
        if self._socket is socket:
            self._socket = None
        self._change()

    async def drop(self) -> None:
        """Lose the connection, without a word."""
        self._socket.transport.abort()

    # -- people -------------------------------------------------------------------------------------------------

    async def call(self, number: str, exten: str = "4001", name: str = "Zhang San") -> str:
        """A caller dials `exten`; the channel's id."""
        self._calls += 1
        channel = Channel(f"1795293507.{self._calls}", f"PJSIP/trunk-{self._calls:08}", number, caller_name=name)
        channel.args = ["inbound", exten, number]
        self.channels[channel.id] = channel
        await self._tell({"type": "StasisStart", "args": channel.args, "channel": self._shown(channel)})
        return channel.id

    async def come_back(self, channel_id: str) -> None:
        """The dial plan hands over again a caller that was given back to it."""
        channel = self.channels[channel_id]
        channel.args, channel.elsewhere = ["inbound", "4001", channel.number], None
        await self._tell({"type": "StasisStart", "args": channel.args, "channel": self._shown(channel)})

    async def pick_up(self, leg_id: str) -> None:
        """An agent answers a ringing telephone."""
        leg = self.channels[leg_id]
        assert leg.state == "Ringing"
        leg.state = "Up"
        await self._tell({"type": "ChannelStateChange", "channel": self._shown(leg)})
        await self._tell({"type": "Dial", "dialstatus": "ANSWER", "peer": self._shown(leg)})
        leg.args = self._dialled_with[leg_id].split(",")
        await self._tell({"type": "StasisStart", "args": leg.args, "channel": self._shown(leg)})

    async def hang_up(self, channel_id: str, cause: int = 16, *, asked: bool = False) -> None:
        """Somebody hangs up, or the network does; `asked`: Asterisk was told to, and says so in a way of its own."""
        channel = self.channels[channel_id]
        why = {"cause": 32, "soft": True} if asked else {"cause": cause}
        await self._tell({"type": "ChannelHangupRequest", **why, "channel": self._shown(channel)})
        await self._end(channel_id, cause)

    async def press(self, channel_id: str, digit: str) -> None:
        shown = self._shown(self.channels[channel_id])
        await self._tell({"type": "ChannelDtmfReceived", "digit": digit, "duration_ms": 120, "channel": shown})

    async def until(self, holds: Callable[[], Any], wait_s: float = 10.0) -> Any:
        """Wait until something holds; what it gave."""
        async with asyncio.timeout(wait_s):
            while not (found := holds()):
                self._changed.clear()
                await self._changed.wait()
        return found

    def legs(self, state: str | None = None) -> list[str]:
        """Agents' sides, in this state."""
        found = [each for each in self.channels.values() if each.name.startswith("PJSIP/agent-")]
        return [each.id for each in found if state in (None, each.state)]

    def held(self) -> list[str]:
        """Who hears music."""
        return [each for bridge in self.bridges.values() if bridge.type == "holding" for each in bridge.channels]

    def talking(self) -> list[set[str]]:
        """Who hears whom."""
        mixing = [set(each.channels) for each in self.bridges.values() if each.type == "mixing"]
        return [each for each in mixing if len(each) > 1]

    def elsewhere(self) -> list[tuple[str, str, str]]:
        """Whom the dial plan has again: the channel, extension and context, and why."""
        found = [each for each in self.channels.values() if each.elsewhere is not None]
        return [(each.id, "@".join(each.elsewhere or ()), each.variables.get("CORDBOARD_REASON", "")) for each in found]

    # -- events -------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        self._changed.set()

    async def _tell(self, event: Frame) -> None:
        self._change()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
        told = {**event, "timestamp": stamp, "asterisk_id": "02:fc:00:00:00:01", "application": self.app}
        if self._socket is not None:
            with contextlib.suppress(websockets.ConnectionClosed):
                await self._socket.send(json.dumps(told))

    def _shown(self, channel: Channel) -> Frame:
        inside = channel.args is not None
        exten, context = channel.elsewhere or ("s", "inbound")
        outside = ("AppDial2", "(Outgoing Line)") if channel.elsewhere is None else ("VoiceMail", "front@default,u")
        return {
            "id": channel.id,
            "name": channel.name,
            "state": channel.state,
            "protocol_id": "1-19530@127.0.0.1",
            "caller": {"name": channel.caller_name, "number": channel.number},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {
                "context": context,
                "exten": channel.args[1] if channel.args is not None and len(channel.args) > 1 else exten,
                "priority": 1,
                "app_name": "Stasis" if inside else outside[0],
                "app_data": ",".join([self.app, *(channel.args or [])]) if inside else outside[1],
            },
            "creationtime": "2026-11-21T20:38:27.068+0000",
            "language": "en",
        }

    def _shown_bridge(self, bridge: Bridge) -> Frame:
        return {
            "id": bridge.id,
            "technology": "holding_bridge" if bridge.type == "holding" else "simple_bridge",
            "bridge_type": bridge.type,
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": bridge.id,
            "channels": list(bridge.channels),
            "creationtime": "2026-11-21T20:38:27.076+0000",
            "video_mode": "talker",
        }

    async def _leave(self, bridge: Bridge, channel: Channel) -> None:
        bridge.channels.remove(channel.id)
        shown = {"bridge": self._shown_bridge(bridge), "channel": self._shown(channel)}
        await self._tell({"type": "ChannelLeftBridge", **shown})

    async def _end(self, channel_id: str, cause: int) -> None:
        channel = self.channels.pop(channel_id, None)
        if channel is None:
            return
        self._timers.pop(channel_id, asyncio.create_task(asyncio.sleep(0))).cancel()
        for bridge in self.bridges.values():
            if channel_id in bridge.channels:
                await self._leave(bridge, channel)
        if channel.args is not None:
            await self._tell({"type": "StasisEnd", "channel": self._shown(channel)})
        if channel.name.startswith("PJSIP/agent-"):
            gone = {"cause": cause, "cause_txt": "", "channel": self._shown(channel)}
            await self._tell({"type": "ChannelDestroyed", **gone})

    # -- requests -----------------------------------------------------------------------------------------------

    async def _answer(self, socket: Any, frame: Frame) -> None:
        assert frame["type"] == "RESTRequest"
        query = {each["name"]: each["value"] for each in frame.get("query_strings", ())}
        assert all(isinstance(each, str) for each in query.values()), "Asterisk takes text alone"
        self.asked.append((frame["method"], frame["uri"], query))
        self._change()
        if self.mute:
            return
        later: list[Callable[[], Any]] = []
        parts = [unquote(each) for each in frame["uri"].split("/")]
        status, body = await self.do(frame["method"], parts, query, later)
        answer = {
            "type": "RESTResponse",
            "transaction_id": frame["transaction_id"],
            "request_id": frame["request_id"],
            "status_code": status,
            "reason_phrase": "",
            "uri": frame["uri"],
            "application": self.app,
            "asterisk_id": "02:fc:00:00:00:01",
        }
        if body is not None:
            answer |= {"content_type": "application/json", "message_body": json.dumps(body)}
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(json.dumps(answer))
        for each in later:
            await each()

    async def do(  # noqa: C901, PLR0912  # one line for each thing that can be asked
        self, method: str, parts: list[str], query: dict[str, str], later: list[Callable[[], Any]]
    ) -> tuple[int, Any]:
        match method, *parts:
            case "GET", "asterisk", "ping":
                return 200, {"ping": "pong", "timestamp": "", "asterisk_id": ""}
            case "GET", "applications", self.app:
                ours = [each.id for each in self.channels.values() if each.elsewhere is None]
                return 200, {"name": self.app, "channel_ids": ours, "bridge_ids": list(self.bridges)}
            case "GET", "channels", channel_id if channel_id in self.channels:
                return 200, self._shown(self.channels[channel_id])
            case "GET", "bridges", bridge_id if bridge_id in self.bridges:
                return 200, self._shown_bridge(self.bridges[bridge_id])
            case "POST", "channels":
                return self._originate(query, later)
            case "POST", "bridges", bridge_id:
                kind = query.get("type", "mixing").split(",")[0]
                bridge = self.bridges.setdefault(bridge_id, Bridge(bridge_id, kind))
                return 200, self._shown_bridge(bridge)
            case "POST", "bridges", bridge_id, "moh" if bridge_id in self.bridges:
                return 204, None
            case "POST", "bridges", bridge_id, "addChannel" | "removeChannel" as what if bridge_id in self.bridges:
                return await self._move(self.bridges[bridge_id], query["channel"].split(","), what)
            case "DELETE", "bridges", bridge_id if bridge_id in self.bridges:
                del self.bridges[bridge_id]
                return 204, None
            case "POST", "channels", channel_id, "answer" if channel_id in self.channels:
                self.channels[channel_id].state = "Up"
                return 204, None
            case "POST", "channels", channel_id, "play" if channel_id in self.channels:
                return 201, {"id": "p", "media_uri": query["media"], "target_uri": "", "state": "queued"}
            case "POST", "channels", channel_id, "variable" | "continue" as what if channel_id in self.channels:
                if self.channels[channel_id].args is None:
                    return 409, {"message": "Channel not in Stasis application"}
                if what == "continue":
                    assert query.keys() <= {"context", "extension", "priority", "label"}
                    later.append(lambda: self._continue(self.channels[channel_id], query))
                else:
                    self.channels[channel_id].variables[query["variable"]] = query["value"]
                return 204, None
            case "DELETE", "channels", channel_id if channel_id in self.channels:
                later.append(lambda: self.hang_up(channel_id, int(query.get("reason_code", "16")), asked=True))
                return 204, None
            case _:
                return 404, {"message": f"{parts[0].title().rstrip('s')} not found"}

    async def _continue(self, channel: Channel, query: dict[str, str]) -> None:
        """The dial plan goes on with a channel, which leaves its bridge and the application first."""
        for bridge in self.bridges.values():
            if channel.id in bridge.channels:
                await self._leave(bridge, channel)
        shown = self._shown(channel)
        channel.args, channel.elsewhere = None, (query["extension"], query.get("context", "inbound"))
        await self._tell({"type": "StasisEnd", "channel": shown})

    def _originate(self, query: dict[str, str], later: list[Callable[[], Any]]) -> tuple[int, Any]:
        assert {"endpoint", "app", "appArgs", "timeout", "channelId"} <= query.keys()
        assert query.get("originator", query["channelId"]) in {query["channelId"], *self.channels}
        technology, _, phone = query["endpoint"].partition("/")
        does = self.phones.get(phone)
        if technology != "PJSIP" or does is None:
            return 500, {"error": "Allocation failed"}
        if query["channelId"] in self.channels:
            return 409, {"message": "Channel with given unique ID already exists"}
        leg = Channel(query["channelId"], f"PJSIP/agent-{phone}", query.get("callerId", ""), state="Down")
        self.channels[leg.id] = leg
        self._dialled_with[leg.id] = query["appArgs"]

        async def ring() -> None:
            leg.state = "Ringing"
            await self._tell({"type": "Dial", "dialstatus": "RINGING", "peer": self._shown(leg)})
            if does == "answer":
                await self.pick_up(leg.id)
            elif does == "busy":
                await self._end(leg.id, 17)
            elif does == "silent":
                await self._end(leg.id, 19)
            else:
                self._timers[leg.id] = asyncio.create_task(self._ring_out(leg.id, float(query["timeout"])))

        later.append(ring)
        return 200, self._shown(leg)

    async def _ring_out(self, leg_id: str, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)
        if leg_id in self.channels and self.channels[leg_id].state == "Ringing":
            await self._end(leg_id, 19)

    async def _move(self, bridge: Bridge, channel_ids: list[str], what: str) -> tuple[int, Any]:
        if any(each not in self.channels for each in channel_ids):
            return 400, {"message": "Channel not found"}
        if any(self.channels[each].args is None for each in channel_ids):
            return 422, {"message": "Channel not in Stasis application"}
        if what == "removeChannel":
            if any(each not in bridge.channels for each in channel_ids):
                return 422, {"message": "Channel not in this bridge"}
            for each in channel_ids:
                await self._leave(bridge, self.channels[each])
            return 204, None
        for each in channel_ids:
            for other in self.bridges.values():
                if each in other.channels:
                    await self._leave(other, self.channels[each])
            bridge.channels.append(each)
            shown = {"bridge": self._shown_bridge(bridge), "channel": self._shown(self.channels[each])}
            await self._tell({"type": "ChannelEnteredBridge", **shown})
        return 204, None
