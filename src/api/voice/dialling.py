"""Telephone systems that wait to be dialled: the owner of a tenant keeps a line to each of them."""

import asyncio
import contextlib
from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import structlog
import websockets
from starlette.websockets import WebSocketDisconnect

from src.api.context import Services
from src.api.inflow import account_of
from src.api.voice.line import CHANNEL, Line, Pipe
from src.channels.base import Account
from src.channels.voice import FREESWITCH_PORT, is_freeswitch, line_of
from src.channels.voice.esl import Framing, frame_of
from src.connectors.outward import Network, resolved
from src.dispatch import jobs
from src.errors import NotFound, Refused, StoreUnreachable, Unauthenticated

ROUND_S: Final = 2.0
"""How often it is looked for accounts that are new, and for tenants that came or went."""

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 30.0
"""Between two attempts: twice as long each time, until one succeeds."""

CONNECT_S_MAX: Final = 5.0
CLOSE_S_MAX: Final = 2.0
PING_S: Final = 15.0
FRAME_BYTES_MAX: Final = 1024 * 1024
READ_BYTES: Final = 65_536
_PORTS: Final = {"http": 80, "https": 443, "esl": FREESWITCH_PORT}

CLOSE_NORMAL: Final = 1000

_Key = tuple[str, str]

_log = structlog.get_logger(__name__)


async def keep_dialled(found: Services, also: Sequence[Network]) -> None:
    """Keep a line to each telephone system that is to be dialled, of the tenants that this process serves.

    `also` are networks that are not public and in which systems may be dialled.
    """
    lines: dict[_Key, asyncio.Task[None]] = {}
    try:
        while True:
            try:
                wanted = await _wanted(found)
            except (Refused, StoreUnreachable) as error:
                _log.warning("lines.not_looked_for", error=str(error))
            else:
                for key in [each for each, line in lines.items() if each not in wanted or line.done()]:
                    lines.pop(key).cancel()  # one that is over may be wanted again: it was switched off, and on
                for key in wanted - lines.keys():
                    lines[key] = asyncio.create_task(_keep(found, *key, also), name=f"line {key[1]}")
            await asyncio.sleep(ROUND_S)
    finally:
        for task in lines.values():
            task.cancel()


async def _wanted(found: Services) -> set[_Key]:
    accounts = await found.queries.accounts_of(CHANNEL)
    return {(tenant, fact.name) for tenant, fact in accounts if "url" in fact.settings and found.owner.serves(tenant)}


async def _keep(found: Services, tenant: str, name: str, also: Sequence[Network]) -> None:
    """Dial one account's system, again and again."""
    pause_s = PAUSE_S_MIN
    while found.owner.serves(tenant):  # else another process has dialled it by now
        try:
            _, account = await account_of(found, CHANNEL, name)
            pipe = await _dialled(account, also)
        except (NotFound, KeyError):
            return
        except (Refused, StoreUnreachable, OSError, TimeoutError, websockets.WebSocketException) as error:
            _log.info("line.not_dialled", account=name, error=type(error).__name__)
            if pause_s == PAUSE_S_MIN:
                await _report(found, tenant, name)
            pause_s = min(PAUSE_S_MAX, pause_s * 2)
        else:
            pause_s = PAUSE_S_MIN
            try:
                await Line(found, account, line_of(account), pipe).run()
            except Exception:  # noqa: BLE001  # whatever it is, the next line may be better
                _log.exception("line.failed", account=name)
            finally:
                await pipe.close(CLOSE_NORMAL, "")
        await asyncio.sleep(pause_s)


async def _dialled(account: Account, also: Sequence[Network]) -> Pipe:
    """Dial a system and log in.

    Raises:
        OSError, TimeoutError, WebSocketException: it cannot be reached, or may not be.
        Unauthenticated, Malformed: it does not let us in, or speaks something else.
    """
    parts = urlsplit(str(account.settings["url"]))
    async with asyncio.timeout(CONNECT_S_MAX):
        address = await resolved(parts.hostname or "", port := parts.port or _PORTS[parts.scheme], also)
        if is_freeswitch(account):
            socket = _EventSocket(*await asyncio.open_connection(address, port))
            try:
                await _log_in(socket, account)
            except BaseException:
                await socket.close(CLOSE_NORMAL, "")
                raise
            return socket
    return await _asterisk(account, address)


async def _log_in(socket: "_EventSocket", account: Account) -> None:
    username, password = account.settings.get("username"), account.secrets["password"]
    try:
        if frame_of(await socket.receive()).kind != "auth/request":
            raise Unauthenticated("FreeSWITCH does not take connections from here")
        await socket.send(f"auth {password}\n\n" if username is None else f"userauth {username}:{password}\n\n")
        if not frame_of(await socket.receive()).headers.get("reply-text", "").startswith("+OK"):
            raise Unauthenticated("the user name or the password is wrong")
    except WebSocketDisconnect as error:
        raise Unauthenticated("FreeSWITCH has closed the connection") from error


async def _asterisk(account: Account, address: str) -> "_WebSocket":
    base = str(account.settings["url"]).rstrip("/").replace("http", "ws", 1)
    credential = b64encode(f"{account.settings['username']}:{account.secrets['password']}".encode()).decode()
    socket = await websockets.connect(
        f"{base}/ari/events?{urlencode({'app': account.settings['app']})}",
        additional_headers={"Authorization": f"Basic {credential}"},
        open_timeout=CONNECT_S_MAX,
        ping_interval=PING_S,
        ping_timeout=PING_S,
        max_size=FRAME_BYTES_MAX,
        proxy=None,
        host=address,
    )
    return _WebSocket(socket)


async def _report(found: Services, tenant: str, name: str) -> None:
    try:
        await found.owner.submit(tenant, jobs.ReportTrouble(name, "line_not_dialled"))
    except (Refused, StoreUnreachable) as error:
        _log.warning("line.not_reported", account=name, error=str(error))


class _WebSocket:
    """A WebSocket that we opened, as a line has it."""

    def __init__(self, socket: Any) -> None:  # noqa: ANN401  # a client's socket
        self._socket = socket

    async def receive(self) -> str:
        """The next frame."""
        try:
            frame = await self._socket.recv()
        except websockets.ConnectionClosed as error:
            raise WebSocketDisconnect from error
        if not isinstance(frame, str):
            raise WebSocketDisconnect
        return frame

    async def send(self, text: str) -> None:
        """Send a frame."""
        try:
            await self._socket.send(text)
        except websockets.ConnectionClosed as error:
            raise WebSocketDisconnect from error

    async def close(self, code: int, reason: str) -> None:
        """Close it, if it is still open."""
        await self._socket.close(code, reason)


class _EventSocket:
    """A FreeSWITCH's event socket, as a line has it: a frame is what ends with its body."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._framing = Framing()
        self._frames: deque[str] = deque()

    async def receive(self) -> str:
        """The next frame.

        Raises:
            Malformed: what comes is none.
        """
        while not self._frames:
            try:
                data = await self._reader.read(READ_BYTES)
            except OSError as error:
                raise WebSocketDisconnect from error
            if not data:
                raise WebSocketDisconnect
            self._frames.extend(self._framing.feed(data))
        return self._frames.popleft()

    async def send(self, text: str) -> None:
        """Send a command."""
        try:
            self._writer.write(text.encode())
            await self._writer.drain()
        except OSError as error:
            raise WebSocketDisconnect from error

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002  # nobody is told here
        """Close it, if it is still open. What was not sent by then is waited for by nobody: the peer may be silent."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._writer.wait_closed()
        self._writer.transport.abort()
