"""One process to the world: its port, its signals, and how it leaves without harm."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import uvicorn
from fastapi import FastAPI

from src.api import stream
from src.api.edge import BODY_BYTES_MAX
from src.app.gathering import GatheringHttp, GatheringWebSocket
from src.app.ground import Notice, database
from src.app.service import service
from src.app.upkeep import within
from src.cluster.internal import KEEP_ALIVE_S, SignalFreeServer
from src.config import Settings
from src.dispatch.owner import Owner
from src.errors import StartupError

LISTENERS: Final = 16
SHUTDOWN_S_MAX: Final = 4
"""So long requests that are under way are waited for once nobody is let in any more."""

HAND_OVER_S_MAX: Final = 3.0
"""So long a process that leaves tries to hand its tenants over; what is left is claimed when it is gone."""

GC_OBJECTS, GC_YOUNG, GC_MIDDLE = 20_000, 20, 50
"""After how many new objects the youngest are looked at, and so on upwards."""


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, made before anything else is started.

    Raises:
        StartupError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return found


def serve(settings: Settings, announce: Callable[[Notice | None], None]) -> None:
    """Run the service until it is told to stop (SIGINT, SIGTERM)."""
    listening = bind(settings.host, settings.port)
    with (
        contextlib.closing(listening),
        database(settings) as url,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(settings, url, listening, announce))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # not on Windows

    return uvloop.new_event_loop


async def _serve(
    settings: Settings, url: str, listening: socket.socket, announce: Callable[[Notice | None], None]
) -> None:
    async with service(settings, url) as (api, notice):
        server = http_server(api)
        loop = asyncio.get_running_loop()
        leaving = Leaving(server, api.state.services.owner, settings.drain_s)
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, leaving.begin)
        _settle_memory()
        announce(notice)
        # An event loop takes in one connection for each listening socket at a time: in a rush one would be too few.
        await server.serve([listening, *(listening.dup() for _ in range(LISTENERS - 1))])


def _settle_memory() -> None:
    """What is there at the start stays: let the garbage collector pass it over, and look at the rest less often.

    It is not asked first what of it is garbage: there is hardly any, and to look takes a fifth of a second. Nearly all
    that a request makes is freed without it.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(GC_OBJECTS, GC_YOUNG, GC_MIDDLE)


class Leaving:
    """A stop without harm: tenants go to the other processes first, then nobody is let in, then sockets are closed."""

    def __init__(self, server: "HttpServer", owner: Owner, drain_s: float) -> None:
        self._server = server
        self._owner = owner
        self._drain_s = drain_s
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Leave; told twice, at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._leave(), name="leave")
        else:
            self._server.told_to_stop()

    async def _leave(self) -> None:
        try:
            await within(HAND_OVER_S_MAX, self._owner.drain())
            await asyncio.sleep(self._drain_s)
        finally:
            self._server.told_to_stop()


class HttpServer(SignalFreeServer):
    """The public one."""

    def told_to_stop(self) -> None:
        """Finish what is under way; told twice, do not wait for it."""
        self.force_exit = self.should_exit
        self.should_exit = True


def http_server(api: FastAPI) -> HttpServer:
    """The HTTP and WebSocket server over an application: no deflate (it costs 50 KiB a socket), no access log."""
    config = uvicorn.Config(
        api,
        http=GatheringHttp,
        ws=GatheringWebSocket,
        ws_per_message_deflate=False,
        ws_ping_interval=stream.HEARTBEAT_S,
        ws_ping_timeout=stream.HEARTBEAT_S,
        ws_max_size=BODY_BYTES_MAX,
        lifespan="off",
        proxy_headers=False,  # nothing looks at who is behind a proxy
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S_MAX,
    )
    return HttpServer(config)
