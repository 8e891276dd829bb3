"""A double of FreeSWITCH's event socket, with callers and agents' telephones in it.

It answers commands as the recordings of FreeSWITCH 1.10 do, keeps channels, and tells events. It is dialled by the
service (`listening`). Calls live on when a connection is lost, as FreeSWITCH's do.
"""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

CAUSES = {16: "NORMAL_CLEARING", 17: "USER_BUSY", 19: "NO_ANSWER", 31: "NORMAL_UNSPECIFIED", 38: "NETWORK_OUT_OF_ORDER"}


@dataclass
class Channel:
    """A caller's or an agent's side. `plays` is what it hears, `bond` the channel that it talks to.

    `elsewhere` is where the dial plan has it since it was given back: extension and context.
    """

    id: str
    direction: str
    number: str
    name: str
    destination: str
    state: str
    job: str = ""
    parked: bool = False
    plays: list[str] = field(default_factory=list)
    bond: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    elsewhere: tuple[str, str] | None = None


class FreeSwitch:
    """One FreeSWITCH. `phones` says what becomes of ringing `user/…`.

    `answer`: it is picked up at once; `ring`: it rings until `pick_up`; `busy`, `silent`: nobody takes it.
    `mute`: no command is answered any more.
    """

    def __init__(self, password: str = "ClueCon-ClueCon") -> None:
        self.channels: dict[str, Channel] = {}
        self.phones: dict[str, str] = {}
        self.asked: list[str] = []
        self.mute = False
        self.logins = 0
        self.seen: list[int] = []
        self.closed: list[int] = []
        self._password = password
        self._writers: list[asyncio.StreamWriter] = []
        self._plain: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._sequence = 0

    # -- connections --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """Be dialled; gives the address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield f"esl://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for each in self._timers.values():
                each.cancel()
            for writer in self._writers:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, {"Content-Type": "auth/request"})
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (command := await self._command(reader)) != f"auth {self._password}":
                self.asked.append(command)
                await self._send(writer, {"Content-Type": "command/reply", "Reply-Text": "-ERR invalid"})
            await self._send(writer, {"Content-Type": "command/reply", "Reply-Text": "+OK accepted"})
            self.logins += 1
            self._writers.append(writer)
            self._change()
            while True:
                await self._answer(writer, await self._command(reader))
        self.closed.append(0)
        if writer in self._writers:
            self._writers.remove(writer)
        self._change()
        writer.close()

    @staticmethod
    async def _command(reader: asyncio.StreamReader) -> str:
        return (await reader.readuntil(b"\n\n")).decode().strip("\n")

    async def drop(self) -> None:
        """Lose the connection, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    @property
    def online(self) -> bool:
        return bool(self._writers)

    # -- people -------------------------------------------------------------------------------------------------

    async def call(self, number: str, exten: str = "4001", name: str = "Zhang San") -> str:
        """A caller dials `exten`, which answers and parks; the channel's id."""
        channel = Channel(str(uuid.uuid4()), "inbound", number, name, exten, "answered", parked=True)
        self.channels[channel.id] = channel
        for each in ("CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_PARK"):
            await self._tell(each, channel)
        return channel.id

    async def come_back(self, channel_id: str) -> None:
        """The dial plan hands over again a caller that was given back to it."""
        channel = self.channels[channel_id]
        channel.parked, channel.elsewhere = True, None
        await self._tell("CHANNEL_PARK", channel)

    async def pick_up(self, leg_id: str) -> None:
        """An agent answers a ringing telephone."""
        leg = self.channels[leg_id]
        assert leg.state == "early"
        leg.state, leg.parked = "answered", True
        await self._tell("CHANNEL_ANSWER", leg)
        await self._job_done(leg, f"+OK {leg.id}\n")
        await self._tell("CHANNEL_PARK", leg)

    async def hang_up(self, channel_id: str, cause: int = 16) -> None:
        """Somebody hangs up, or the network does."""
        channel = self.channels.pop(channel_id, None)
        if channel is None:
            return
        self._timers.pop(channel_id, asyncio.create_task(asyncio.sleep(0))).cancel()
        other = self._unbind(channel)
        told = {"Hangup-Cause": CAUSES[cause], "variable_hangup_cause_q850": str(cause), "Answer-State": "hangup"}
        if other is not None:
            told["Other-Leg-Unique-ID"] = other.id
        await self._tell("CHANNEL_HANGUP", channel, told)
        await self._tell("CHANNEL_HANGUP_COMPLETE", channel, told)
        if channel.job and channel.state == "early":
            await self._job_done(channel, f"-ERR {CAUSES[cause]}\n")
        if other is not None:
            if other.variables.get("park_after_bridge") == "true":
                other.parked = True
                await self._tell("CHANNEL_PARK", other)
            elif other.variables.get("hangup_after_bridge") != "false":
                await self.hang_up(other.id, cause)

    async def press(self, channel_id: str, digit: str) -> None:
        await self._tell("DTMF", self.channels[channel_id], {"DTMF-Digit": digit, "DTMF-Duration": "960"})

    async def until(self, holds: Callable[[], Any], wait_s: float = 10.0) -> Any:
        """Wait until something holds; what it gave."""
        async with asyncio.timeout(wait_s):
            while not (found := holds()):
                self._changed.clear()
                await self._changed.wait()
        return found

    def legs(self, state: str | None = None) -> list[str]:
        """Agents' sides, in this state: `Ringing` or `Up`."""
        called = {"early": "Ringing", "answered": "Up"}
        found = [each for each in self.channels.values() if each.direction == "outbound"]
        return [each.id for each in found if state in (None, called[each.state])]

    def held(self) -> list[str]:
        """Who hears music."""
        return [each.id for each in self.channels.values() if each.plays[-1:] == ["playback::local_stream://moh"]]

    def talking(self) -> list[set[str]]:
        """Who hears whom."""
        return [{each.id, each.bond} for each in self.channels.values() if each.bond and not each.id < each.bond]

    def elsewhere(self) -> list[tuple[str, str, str]]:
        """Whom the dial plan has again: the channel, extension and context, and why."""
        found = [each for each in self.channels.values() if each.elsewhere is not None]
        return [(each.id, "@".join(each.elsewhere or ()), each.variables.get("cordboard_reason", "")) for each in found]

    def _unbind(self, channel: Channel) -> Channel | None:
        other = self.channels.get(channel.bond or "")
        channel.bond = None
        if other is not None:
            other.bond = None
        return other

    # -- events -------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        self._changed.set()

    def _shown(self, channel: Channel) -> dict[str, str]:
        bond = {"variable_signal_bond": channel.bond, "variable_bridge_uuid": channel.bond} if channel.bond else {}
        return {
            "Unique-ID": channel.id,
            "Call-Direction": channel.direction,
            "Answer-State": channel.state,
            "Caller-Caller-ID-Name": channel.name,
            "Caller-Caller-ID-Number": channel.number,
            "Caller-Destination-Number": channel.destination,
            "Caller-Context": "public",
            "variable_current_application": "park" if channel.parked else "voicemail" if channel.elsewhere else "",
            **bond,
            **{f"variable_{name}": value for name, value in channel.variables.items()},
        }

    async def _tell(self, name: str, channel: Channel, more: dict[str, str] | None = None) -> None:
        await self._event({"Event-Name": name, **self._shown(channel), **(more or {})})

    async def _job_done(self, leg: Channel, body: str) -> None:
        job, leg.job = leg.job, ""
        await self._event({"Event-Name": "BACKGROUND_JOB", "Job-UUID": job, "Job-Command": "originate", "_body": body})

    async def _event(self, fields: dict[str, str]) -> None:
        self._change()
        self._sequence += 1
        fields |= {"Event-Sequence": str(self._sequence), "Event-Date-Timestamp": "1795294096621594"}
        for writer in list(self._writers):
            if writer in self._plain:
                await self._send(writer, {"Content-Type": "text/event-plain"}, _plain(fields))
            else:
                await self._send(writer, {"Content-Type": "text/event-json"}, json.dumps(fields))

    @staticmethod
    async def _send(writer: asyncio.StreamWriter, headers: dict[str, str], body: str = "") -> None:
        data = body.encode()
        if body or headers["Content-Type"] == "api/response":
            headers = {**headers, "Content-Length": str(len(data))}
        with contextlib.suppress(OSError):
            writer.write("".join(f"{name}: {value}\n" for name, value in headers.items()).encode() + b"\n" + data)
            await writer.drain()

    # -- commands -----------------------------------------------------------------------------------------------

    async def _answer(self, writer: asyncio.StreamWriter, command: str) -> None:
        self.asked.append(command)
        self._change()
        if self.mute:
            return
        line, *headers = command.split("\n")
        verb, _, rest = line.partition(" ")
        if verb == "event":
            kind = rest.partition(" ")[0]
            if kind == "plain":
                self._plain.add(writer)
            reply = {"Content-Type": "command/reply", "Reply-Text": f"+OK event listener enabled {kind}"}
            await self._send(writer, reply)
        elif verb == "bgapi":
            job = next((each.partition(": ")[2] for each in headers if each.startswith("Job-UUID:")), str(uuid.uuid4()))
            reply = {"Content-Type": "command/reply", "Reply-Text": f"+OK Job-UUID: {job}", "Job-UUID": job}
            await self._send(writer, reply)
            await self._originate(rest, job)
        elif verb == "api":
            later: list[Callable[[], Any]] = []
            await self._send(writer, {"Content-Type": "api/response"}, await self._do(rest, later))
            for each in later:
                await each()
        else:
            await self._send(writer, {"Content-Type": "command/reply", "Reply-Text": "-ERR command not found"})

    async def _do(self, line: str, later: list[Callable[[], Any]]) -> str:  # noqa: C901, PLR0912  # one for each command
        verb, *args = line.split(" ", 3)
        if verb == "show":
            rows = [{"uuid": each.id, "direction": each.direction} for each in self.channels.values()]
            return json.dumps({"row_count": len(rows), **({"rows": rows} if rows else {})})
        if verb == "global_setvar":
            self.seen.append(int(args[0].removeprefix("cordboard_seen=")))
            return "+OK"
        channel = self.channels.get(args[0])
        if verb == "uuid_kill" and len(args) == 1:
            args.append("NORMAL_CLEARING")
        if verb == "uuid_exists":
            return "true" if channel is not None else "false"
        if channel is None:
            return "-ERR No such channel!\n"
        match verb, *args[1:]:
            case "uuid_dump", "json":
                return json.dumps({"Event-Name": "CHANNEL_DATA", **self._shown(channel)})
            case ("uuid_dump",):
                return _plain({"Event-Name": "CHANNEL_DATA", **self._shown(channel)})
            case "uuid_setvar_multi", pairs:
                channel.variables |= dict(each.split("=", 1) for each in pairs.split(";"))
                channel.variables = {name: value for name, value in channel.variables.items() if value}
            case "uuid_transfer", exten, *where:
                assert not exten.startswith("-")
                dialplan, context = "".join(where).split(" ") if " " in "".join(where) else (*where, "public")
                assert dialplan == "XML"
                channel.parked, channel.plays, channel.elsewhere = False, [], (exten, context)
            case ("uuid_answer",):
                channel.state = "answered"
            case ("uuid_park",):
                other = self._unbind(channel)
                channel.parked, channel.plays = True, []
                if other is not None:
                    later.append(lambda: self.hang_up(other.id))
                later.append(lambda: self._tell("CHANNEL_PARK", channel))
            case "uuid_break", "all":
                channel.plays = []
            case "uuid_broadcast", *what:
                assert what[-1].endswith("aleg")
                channel.plays.append(" ".join(what).removesuffix(" aleg"))
            case "uuid_kill", "NORMAL_CLEARING":
                later.append(lambda: self.hang_up(channel.id))
            case "uuid_bridge", leg_id if leg_id in self.channels:
                leg = self.channels[leg_id]
                if leg.state != "answered":
                    return "-ERR Invalid uuid\n"
                channel.bond, leg.bond = leg.id, channel.id
                channel.parked = leg.parked = False
                channel.plays = []
                both = {"Bridge-A-Unique-ID": channel.id, "Bridge-B-Unique-ID": leg.id}
                later.append(lambda: self._tell("CHANNEL_BRIDGE", channel, both))
                return f"+OK {leg.id}\n"
            case _:
                return "-ERR no reply\n"
        self._change()
        return "+OK\n"

    async def _originate(self, line: str, job: str) -> None:
        found = re.fullmatch(r"originate \{(.*)\}(?:user|sofia/gateway/trunk)/(\S+) &park\(\)", line)
        assert found is not None, line
        variables = dict(each.split("=", 1) for each in found[1].split(","))
        does = self.phones.get(found[2])
        if does is None:
            body = "-ERR USER_NOT_REGISTERED\n"
            await self._event({"Event-Name": "BACKGROUND_JOB", "Job-UUID": job, "_body": body})
            return
        number = variables.get("origination_caller_id_number", "")
        leg = Channel(
            variables["origination_uuid"], "outbound", number, "", found[2], "early", job, variables=variables
        )
        self.channels[leg.id] = leg
        await self._tell("CHANNEL_CREATE", leg)
        await self._tell("CHANNEL_PROGRESS", leg)
        if does == "answer":
            await self.pick_up(leg.id)
        elif does in ("busy", "silent"):
            await self.hang_up(leg.id, 17 if does == "busy" else 19)
        else:
            self._timers[leg.id] = asyncio.create_task(
                self._ring_out(leg.id, float(variables["originate_timeout"])),
            )

    async def _ring_out(self, leg_id: str, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)
        del self._timers[leg_id]
        if leg_id in self.channels and self.channels[leg_id].state == "early":
            await self.hang_up(leg_id, 19)


def _plain(fields: dict[str, str]) -> str:
    """Fields as lines with values as in URLs, and the body where there is one."""
    body = fields.get("_body", "")
    lines = [f"{name}: {quote(value)}" for name, value in fields.items() if name != "_body"]
    return "\n".join([*lines, *([f"Content-Length: {len(body)}"] if body else []), "", body])
