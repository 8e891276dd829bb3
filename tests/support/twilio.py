"""A double of Twilio: its REST API for calls, and the calls themselves, which do what their TwiML says.

Requests to the service are signed by `twilio`'s own `RequestValidator`; answers are read as TwiML.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

import httpx
from twilio.request_validator import RequestValidator

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "a token of twilio's"
FINAL = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass
class Call:
    """A caller's or an agent's side. `hears` is what its TwiML says now: `wait`, a conference's name, or nothing."""

    sid: str
    number: str
    status: str = "in-progress"
    hears: str = ""
    said: list[str] = field(default_factory=list)
    form: dict[str, list[str]] = field(default_factory=dict)
    next_url: str = ""
    ends_room: bool = False


class Twilio:
    """One account of Twilio's. `public` is how the service is addressed there, `local` where it really is.

    `phones` says what becomes of ringing a number: `ring` (until `pick_up`), `answer`, `busy`, `silent`; another one is
    refused. `deaf`: status callbacks are lost.
    """

    def __init__(self, local: str, public: str, account: str) -> None:
        self.local, self.public, self.account = local, public, account
        self.calls: dict[str, Call] = {}
        self.phones: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.failures: list[int] = []
        self.deaf = False
        self.http = httpx.AsyncClient(timeout=30)
        self.port = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    # -- the service ------------------------------------------------------------------------------------------------

    async def post(self, url: str, token: str = TOKEN, account: str = ACCOUNT, **params: str) -> httpx.Response:
        """A webhook, signed."""
        form = {"AccountSid": account, "ApiVersion": "2010-04-01", "Direction": "inbound", **params}
        signed = RequestValidator(token).compute_signature(url, form)
        headers = {"x-twilio-signature": signed}
        return await self.http.post(url.replace(self.public, self.local), data=form, headers=headers)

    async def _fetch(self, call: Call, url: str) -> None:
        """Ask what a call is to hear, and do so."""
        numbers = {"From": call.number, "To": "+4001", "CallSid": call.sid, "CallStatus": call.status}
        answer = await self.post(url, **numbers)
        if 200 != answer.status_code or call.status in FINAL:
            if call.status not in FINAL:
                await self.end(call.sid, "failed")
            return
        root = ET.fromstring(answer.text)
        assert "Response" == root.tag
        assert answer.headers["content-type"].startswith("application/xml")
        for verb in root:
            match verb.tag:
                case "Say":
                    call.said.append(verb.text or "")
                case "Play" | "Pause":
                    call.hears = "wait"
                case "Redirect":
                    call.next_url = verb.text or ""
                case "Dial":
                    conference = verb.find("Conference")
                    assert conference is not None
                    call.ends_room = "true" == conference.get("endConferenceOnExit")
                    call.hears, call.next_url = conference.text or "", verb.get("action", "")
                case "Hangup":
                    self._change()
                    await self.end(call.sid)
                    return
        self._change()

    async def _tell(self, call: Call) -> None:
        url = call.form.get("StatusCallback", [f"{self.public}/channels/voice/{self.account}/twilio/status"])[0]
        if not self.deaf:
            await self.post(url, CallSid=call.sid, CallStatus=call.status)

    # -- people -----------------------------------------------------------------------------------------------------

    async def call(self, number: str) -> str:
        """A caller dials the company's number."""
        self._count += 1
        call = self.calls[f"CA{self._count:032}"] = Call(f"CA{self._count:032}", number)
        await self._fetch(call, f"{self.public}/channels/voice/{self.account}/twilio")
        return call.sid

    async def round(self, sid: str) -> None:
        """The music is over: what next?"""
        assert "wait" == self.calls[sid].hears
        await self._fetch(self.calls[sid], self.calls[sid].next_url)

    async def pick_up(self, sid: str) -> None:
        call = self.calls[sid]
        call.status = "in-progress"
        await self._tell(call)
        await self._fetch(call, call.form["Url"][0])

    async def end(self, sid: str, status: str = "completed") -> None:
        """A side is gone; the conference that it was in ends, and who is left in there goes on."""
        call = self.calls[sid]
        if call.status in FINAL:
            return
        room, call.status, call.hears = call.hears, status, ""
        self._change()
        await self._tell(call)
        await self._left(call, room)

    async def _left(self, call: Call, room: str) -> None:
        if room not in ("", "wait") and call.ends_room:
            for other in [each for each in self.calls.values() if each.hears == room]:
                await (self._fetch(other, other.next_url) if other.next_url else self.end(other.sid))

    def legs(self, *states: str) -> list[Call]:
        """Agents' sides, in these states."""
        return [each for each in self.calls.values() if each.form and each.status in states]

    def talking(self) -> list[set[str]]:
        rooms: dict[str, set[str]] = {}
        for each in self.calls.values():
            if each.hears not in ("", "wait"):
                rooms.setdefault(each.hears, set()).add(each.sid)
        return [each for each in rooms.values() if len(each) > 1]

    async def until(self, holds: Callable[[], Any], wait_s: float = 10) -> Any:
        async with asyncio.timeout(wait_s):
            while not (found := holds()):
                self._changed.clear()
                await self._changed.wait()
        return found

    def _change(self) -> None:
        self._changed.set()

    # -- REST -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Twilio"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for each in list(self._tasks):
                each.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.http.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, answer = self._asked(method, path, headers, parse_qs(body.decode(), keep_blank_values=True))
                text = json.dumps(answer).encode()
                head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(text)}"
                writer.write(f"{head}\r\n\r\n".encode() + text)
                await writer.drain()
        writer.close()

    def _asked(
        self, method: str, path: str, headers: dict[str, str], form: dict[str, list[str]]
    ) -> tuple[int, dict[str, Any]]:
        self.asked.append((method, path, form))
        self._change()
        if headers.get("authorization") != "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode():
            return 401, {"code": 20003, "message": "Authenticate"}
        if self.failures:
            return self.failures.pop(), {}
        base = f"/2010-04-01/Accounts/{ACCOUNT}/Calls"
        if method == "POST" and path == f"{base}.json":
            return self._ring(form)
        call = self.calls.get(path.removeprefix(f"{base}/").removesuffix(".json"))
        if call is None:
            return 404, {"code": 20404, "message": "The requested resource was not found"}
        if method == "POST":
            if call.status in FINAL:
                return 400, {"code": 21220, "message": "Call is not in-progress. Cannot redirect."}
            self._later(self.end(call.sid) if "Status" in form else self._redirect(call, form["Url"][0]))
        return 200, {"sid": call.sid, "status": call.status}

    async def _redirect(self, call: Call, url: str) -> None:
        """Whoever is sent elsewhere leaves its conference."""
        room, call.next_url, call.hears = call.hears, "", ""
        await self._left(call, room)
        await self._fetch(call, url)

    def _ring(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        number = form["To"][0]
        does = self.phones.get(number)
        if does is None:
            return 400, {"code": 21211, "message": f"The 'To' number {number} is not a valid phone number."}
        self._count += 1
        call = self.calls[f"CA{self._count:032}"] = Call(f"CA{self._count:032}", number, "queued", form=form)

        async def ring() -> None:
            call.status = "ringing"
            self._change()
            await self._tell(call)
            if does == "answer":
                await self.pick_up(call.sid)
            elif does != "ring":
                await self.end(call.sid, {"busy": "busy", "silent": "no-answer"}[does])

        self._later(ring())
        return 201, {"sid": call.sid, "status": "queued"}

    def _later(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
