"""Telephones over SIP (RFC 3261, UDP, no sound): they call, ring, answer, refuse and hang up when a test says so."""

import asyncio
import contextlib
import re
import uuid
from dataclasses import dataclass, field
from typing import Final

SDP: Final = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
)


@dataclass
class Message:
    """A request (`method`, `uri`) or a response (`status`). Header names are in lower case, the first counts."""

    method: str
    uri: str
    status: int
    headers: dict[str, str]
    via: list[str]


@dataclass
class Dialog:
    """One call, from a telephone's side. `invite` is what opened it, where the other side did."""

    call_id: str
    local: str
    remote: str
    target: str
    cseq: int = 1
    up: bool = False
    invite: Message | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Telephones(asyncio.DatagramProtocol):
    """All telephones of a test at one port. `phones` says what becomes of ringing one, as in `Pbx`."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.phones: dict[str, str] = {}
        self.dialogs: dict[str, Dialog] = {}
        self.changed = asyncio.Event()
        self._server = server
        self._transport: asyncio.DatagramTransport
        self.port = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    async def close(self) -> None:
        """Hang up whoever is still there."""
        for each in list(self.dialogs):
            self.hang_up(each)
        await asyncio.sleep(0.1)
        self._transport.close()

    # -- what people do -----------------------------------------------------------------------------------------

    def call(self, number: str, name: str, exten: str) -> str:
        """Dial; the call's id."""
        call_id, (host, port) = f"{uuid.uuid4()}@test", self._server
        local = f'"{name}" <sip:{number}@127.0.0.1:{self.port}>;tag={uuid.uuid4().hex[:8]}'
        target = f"sip:{exten}@{host}:{port}"
        dialog = self.dialogs[call_id] = Dialog(call_id, local, f"<{target}>", target)
        self._request(dialog, "INVITE", SDP.format(port=40_000))
        return call_id

    def pick_up(self, call_id: str) -> None:
        dialog = self.dialogs[call_id]
        assert dialog.invite is not None
        assert not dialog.up
        dialog.up = True
        self._respond(dialog.invite, 200, "OK", dialog, SDP.format(port=40_002))

    def hang_up(self, call_id: str, cause: int = 16) -> None:
        dialog = self.dialogs.pop(call_id)
        if dialog.up:
            self._request(dialog, "BYE", more=f"Reason: Q.850;cause={cause}\r\n")
        elif dialog.invite is not None:
            self._respond(dialog.invite, 480, "Temporarily Unavailable", dialog)
        else:
            self._request(dialog, "CANCEL")
        self.changed.set()

    def press(self, call_id: str, digit: str) -> None:
        body = f"Signal={digit}\r\nDuration=120\r\n"
        self._request(self.dialogs[call_id], "INFO", body, kind="application/dtmf-relay")

    # -- what comes in ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take one message."""
        message = _message(data.decode())
        call_id = message.headers.get("call-id", "")
        dialog = self.dialogs.get(call_id)
        if message.status:
            if dialog is not None:
                self._answered(dialog, message)
        elif message.method == "INVITE" and dialog is None:
            self._invited(message, call_id)
        elif message.method == "INVITE":
            assert dialog is not None
            if dialog.up:  # a re-INVITE
                self._respond(message, 200, "OK", dialog, SDP.format(port=40_002))
        elif message.method != "ACK":
            if message.method in ("BYE", "CANCEL") and dialog is not None:
                self._left(dialog, message)
            self._respond(message, 200, "OK", dialog)
        self.changed.set()

    def _left(self, dialog: Dialog, message: Message) -> None:
        del self.dialogs[dialog.call_id]
        dialog.over.set()
        if message.method == "CANCEL" and dialog.invite is not None:
            self._respond(dialog.invite, 487, "Request Terminated", dialog)

    def _invited(self, invite: Message, call_id: str) -> None:
        name = re.sub(r"^sip:|@.*$", "", invite.uri)
        does = self.phones.get(name)
        tag = f";tag={uuid.uuid4().hex[:8]}"
        target = re.sub(r"^.*<|>.*$", "", invite.headers["contact"])
        dialog = Dialog(call_id, invite.headers["to"] + tag, invite.headers["from"], target, invite=invite)
        if does is None:
            self._respond(invite, 404, "Not Found", dialog)
        elif does == "busy":
            self._respond(invite, 486, "Busy Here", dialog)
        elif does == "silent":
            self._respond(invite, 408, "Request Timeout", dialog)
        else:
            self.dialogs[call_id] = dialog
            self._respond(invite, 180, "Ringing", dialog)
            if does == "answer":
                self.pick_up(call_id)

    def _answered(self, dialog: Dialog, answer: Message) -> None:
        if not answer.headers["cseq"].endswith("INVITE") or answer.status < 200:  # not final
            return
        dialog.remote = answer.headers["to"]
        if answer.status < 300:
            dialog.up = True
            dialog.target = re.sub(r"^.*<|>.*$", "", answer.headers["contact"])
        else:
            self.dialogs.pop(dialog.call_id, None)
            dialog.over.set()
        self._request(dialog, "ACK")

    # -- what goes out ------------------------------------------------------------------------------------------

    def _request(
        self, dialog: Dialog, method: str, body: str = "", *, kind: str = "application/sdp", more: str = ""
    ) -> None:
        if method not in ("ACK", "CANCEL"):
            dialog.cseq += 1
        # CANCEL and the ACK of a refusal belong to the INVITE's transaction: all requests of a number share a branch.
        branch = f"z9hG4bK{dialog.call_id[:8]}{dialog.cseq}" + ("ok" if method == "ACK" and dialog.up else "")
        lines = (
            f"{method} {dialog.target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};rport;branch={branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: {dialog.local}\r\nTo: {dialog.remote}\r\nCall-ID: {dialog.call_id}\r\n"
            f"CSeq: {dialog.cseq} {method}\r\nContact: <sip:x@127.0.0.1:{self.port}>\r\n{more}"
        )
        self._send(lines, body, kind)

    def _respond(self, request: Message, status: int, reason: str, dialog: Dialog | None, body: str = "") -> None:
        vias = "".join(f"Via: {each}\r\n" for each in request.via)
        to = request.headers["to"] if dialog is None or request is not dialog.invite else dialog.local
        lines = (
            f"SIP/2.0 {status} {reason}\r\n{vias}From: {request.headers['from']}\r\nTo: {to}\r\n"
            f"Call-ID: {request.headers['call-id']}\r\nCSeq: {request.headers['cseq']}\r\n"
            f"Contact: <sip:x@127.0.0.1:{self.port}>\r\n"
        )
        self._send(lines, body, "application/sdp")

    def _send(self, lines: str, body: str, kind: str) -> None:
        shown = f"Content-Type: {kind}\r\n" if body else ""
        data = f"{lines}{shown}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        with contextlib.suppress(OSError):
            self._transport.sendto(data, self._server)


def _message(text: str) -> Message:
    first, *lines = text.partition("\r\n\r\n")[0].split("\r\n")
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines)]
    names = {"i": "call-id", "f": "from", "t": "to", "m": "contact", "v": "via"}
    pairs = [(names.get(name, name), value) for name, value in pairs]
    via = [value for name, value in pairs if name == "via"]
    method, uri, *_ = first.split(" ")
    status = int(uri) if method == "SIP/2.0" else 0
    return Message(method, uri, status, dict(reversed(pairs)), via)
