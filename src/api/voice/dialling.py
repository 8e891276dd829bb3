"""Telephone systems that wait to be dialled: the owner of a tenant keeps a line to each of them."""

import asyncio
from base64 import b64encode
from typing import Any, Final
from urllib.parse import urlencode

import structlog
import websockets
from starlette.websockets import WebSocketDisconnect

from src.api.context import Services
from src.api.inflow import account_of
from src.api.voice.line import CHANNEL, Line
from src.channels.base import Account
from src.channels.voice import line_of
from src.dispatch import jobs
from src.errors import NotFound, Refused, StoreUnreachable

ROUND_S: Final = 2.0
"""How often it is looked for accounts that are new, and for tenants that came or went."""

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 30.0
"""Between two attempts: twice as long each time, until one succeeds."""

CONNECT_S_MAX: Final = 5.0
PING_S: Final = 15.0
FRAME_BYTES_MAX: Final = 1024 * 1024

_Key = tuple[str, str]

_log = structlog.get_logger(__name__)


async def keep_dialled(found: Services) -> None:
    """Keep a line to each telephone system that is to be dialled, of the tenants that this process serves."""
    lines: dict[_Key, asyncio.Task[None]] = {}
    try:
        while True:
            try:
                wanted = await _wanted(found)
            except (Refused, StoreUnreachable) as error:
                _log.warning("lines.not_looked_for", error=str(error))
            else:
                for key in lines.keys() - wanted:
                    lines.pop(key).cancel()
                for key in wanted - lines.keys():
                    lines[key] = asyncio.create_task(_keep(found, *key), name=f"line {key[1]}")
            await asyncio.sleep(ROUND_S)
    finally:
        for task in lines.values():
            task.cancel()


async def _wanted(found: Services) -> set[_Key]:
    accounts = await found.queries.accounts_of(CHANNEL)
    return {(tenant, fact.name) for tenant, fact in accounts if "url" in fact.settings and found.owner.serves(tenant)}


async def _keep(found: Services, tenant: str, name: str) -> None:
    """Dial one account's system, again and again."""
    pause_s = PAUSE_S_MIN
    while True:
        try:
            _, account = await account_of(found, CHANNEL, name)
            socket = await _dialled(account)
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
                await Line(found, account, line_of(account), _Dialled(socket)).run()
            except Exception:  # noqa: BLE001  # whatever it is, the next line may be better
                _log.exception("line.failed", account=name)
            finally:
                await socket.close()
        await asyncio.sleep(pause_s)


async def _dialled(account: Account) -> Any:  # noqa: ANN401  # a client's socket
    base = str(account.settings["url"]).rstrip("/").replace("http", "ws", 1)
    credential = b64encode(f"{account.settings['username']}:{account.secrets['password']}".encode()).decode()
    return await websockets.connect(
        f"{base}/ari/events?{urlencode({'app': account.settings['app']})}",
        additional_headers={"Authorization": f"Basic {credential}"},
        open_timeout=CONNECT_S_MAX,
        ping_interval=PING_S,
        ping_timeout=PING_S,
        max_size=FRAME_BYTES_MAX,
        proxy=None,
    )


async def _report(found: Services, tenant: str, name: str) -> None:
    try:
        await found.owner.submit(tenant, jobs.ReportTrouble(name, "line_not_dialled"))
    except (Refused, StoreUnreachable) as error:
        _log.warning("line.not_reported", account=name, error=str(error))


class _Dialled:
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
