"""What a process lets the others ask of it: an application of its own, on a port that customers cannot reach."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, Self
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.cluster import wire
from src.cluster.peers import PATH, WRONG_PROCESS
from src.cluster.signing import MAC, Head, Once, Signer
from src.dispatch.orders import Order
from src.errors import Internal, Refused, StartupError, StoreUnreachable, Unavailable

BODY_BYTES_MAX: Final = 64 * 1024 * 1024

CarryOut = Callable[[str, Order[Any], float], Awaitable[Any]]

_log = structlog.get_logger(__name__)


class InternalApp:
    """Takes orders from processes that share the secret, and answers each when it has been carried out."""

    def __init__(self, process: str, secret: str, carry_out: CarryOut) -> None:
        self._process = process
        self._signer = Signer(secret)
        self._once = Once()
        self._carry_out = carry_out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        assert scope["type"] == "http"
        headers = dict(scope["headers"])
        head = Head.read(headers)
        if scope["path"] != PATH or scope["method"] != "POST":
            status, body = 404, b"not found"
        elif head is None or not self._signer.knows(head, self._process):
            # The secret is another, or the process that is meant: the one who asks looks up anew who serves.
            _log.warning("orders.not_for_this_process")
            status, body, head = WRONG_PROCESS, b"not for this process", None
        elif not self._once.takes(head.sender, head.number):
            _log.warning("orders.repeated", process=head.sender)
            status, body = WRONG_PROCESS, b"taken already"
        else:
            status, body = await self._serve(head, headers, receive)
        answer = [(b"content-type", b"application/msgpack"), (b"content-length", str(len(body)).encode())]
        if head is not None:
            answer.append((MAC, self._signer.answer(head, body).encode()))
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, head: Head, headers: Mapping[bytes, bytes], receive: Receive) -> tuple[int, bytes]:
        announced = headers.get(b"content-length", b"")
        body = await _body(receive) if announced.isdigit() and int(announced) <= BODY_BYTES_MAX else None
        if body is None:
            return 413, b"too large"
        if sha256(body).hexdigest() != head.digest:
            return 400, b"not the body that was signed"
        try:
            tenant, orders = wire.load(body)
            each = [self._one(tenant, encoded, left_s) for encoded, left_s in orders]
        except (wire.Untravelled, TypeError, ValueError) as error:
            return 400, str(error).encode()
        return 200, wire.dump(list(await asyncio.gather(*each)))

    async def _one(self, tenant: str, encoded: bytes, left_s: float) -> bytes:
        """Carry out one order, and say what came of it: its result in a list of one, or the refusal."""
        try:
            order = wire.load(encoded)
            async with asyncio.timeout(left_s):
                return wire.dump([await self._carry_out(tenant, order, left_s)])
        except Refused as refusal:
            return wire.dump(refusal)
        except (StoreUnreachable, TimeoutError) as error:
            return wire.dump(Unavailable(f"it could not be done in time: {error}"))
        except wire.Untravelled as error:
            _log.warning("order.not_understood", error=str(error))
            return wire.dump(Unavailable("the process that serves this tenant runs another release"))
        except Exception:  # noqa: BLE001  # it must be answered, whatever it is
            _log.exception("order.failed", tenant=tenant)
            return wire.dump(Internal("the service could not do this"))


async def _body(receive: Receive) -> bytes | None:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


KEEP_ALIVE_S: Final = 90
"""So long a connection may be idle: longer than clients and load balancers keep theirs, or a request meets its end."""

SHUTDOWN_S_MAX: Final = 2
"""So long the orders that are still under way are waited for when the port is closed: nobody serves any tenant then."""


class SignalFreeServer(uvicorn.Server):
    """Leaves signals to whoever runs it, so that what stands behind it can be stopped in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class InternalServer:
    """The port on which the other processes reach this one."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening

    @classmethod
    def bound(cls, host: str, port: int) -> Self:
        """Listen there; port 0: on any that is free.

        Raises:
            StartupError: the port is in use, or the address is not this machine's.
        """
        try:
            return cls(socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET))
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error

    def address(self, towards: str) -> str:
        """Where it is reached (`http://host:port`); bound to every address, by the one that faces that URL's host."""
        host, port = self._socket.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = _facing(urlsplit(towards).hostname or "", self._socket.family)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @contextlib.asynccontextmanager
    async def serving(self, app: InternalApp, http: type[HttpToolsProtocol]) -> AsyncIterator[None]:
        """Serve for as long as the context lasts; `http` is what each connection is."""
        config = uvicorn.Config(
            app,
            http=http,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S_MAX,
        )
        server = SignalFreeServer(config)
        task = asyncio.create_task(server.serve([self._socket]), name="internal server")
        try:
            yield
        finally:
            server.should_exit = True
            await task
            self._socket.close()


def _facing(host: str, family: socket.AddressFamily) -> str:
    """The address of this machine from which a host is reached. Nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 1))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
