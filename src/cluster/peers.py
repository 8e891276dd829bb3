"""Orders to other processes, over HTTP: what waits for one tenant travels in one request."""

import asyncio
import io
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from src.cluster import wire
from src.cluster.signing import MAC, Head, Signer
from src.dispatch.orders import Order
from src.dispatch.ports import Process
from src.errors import Internal, NotOwner, PeerLost, Refused
from src.tls import trusted

if TYPE_CHECKING:
    import aiohttp

PATH: Final = "/internal/orders"

FLIGHTS_MAX: Final = 4
"""Requests that are under way for one tenant at a time; what comes meanwhile gathers."""

ORDERS_A_FLIGHT: Final = 200

FLIGHT_BYTES: Final = 16 * 1024 * 1024
"""One that is larger by itself still travels, alone."""

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
DETAIL_BYTES_MAX: Final = 200

CONNECT_S_MAX: Final = 1.0
IDLE_S_MAX: Final = 30.0
SPARE_S: Final = 0.5
"""So much longer than the owner has for an order it is waited for its answer."""

WRONG_PROCESS: Final = 421
"""Another process listens there now than the one that was asked (HTTP's "misdirected request")."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Passenger:
    """An order that travels, and who waits for what comes of it."""

    encoded: bytes
    deadline: float
    future: "asyncio.Future[Any]"


@dataclass(slots=True)
class _Line:
    """What travels to one process for one tenant."""

    peer: Process
    tenant: str
    waiting: deque[_Passenger] = field(default_factory=deque)
    flying: list[Sequence[_Passenger]] = field(default_factory=list)
    flights: int = 0


class HttpPeers:
    """The way to the other processes of the service, which share its secret.

    aiohttp is loaded when the first order travels, in a thread: a process that sends none starts a fifth of a second
    sooner.
    """

    def __init__(self, process: str, secret: str) -> None:
        self._process = process
        self._signer = Signer(secret)
        self._numbers = count(1)
        self._session: aiohttp.ClientSession | None = None
        self._lines: dict[tuple[str, str], _Line] = {}
        self._flying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is under way."""
        for task in self._flying:
            task.cancel()
        if self._session is not None:
            await self._session.close()

    async def ask(self, peer: Process, tenant: str, order: Order[Any], left_s: float) -> Any:  # noqa: ANN401  # its result
        """Have an order carried out by the process that serves its tenant, within so many seconds.

        Raises:
            NotOwner: it does not serve the tenant (any more); nothing was done.
            PeerLost: the connection was lost; whether it was done is unknown.
            Refused: what the order was refused with there.
        """
        try:
            encoded = wire.dump(order)
        except wire.Untravelled as error:
            _log.exception("order.cannot_travel", order=type(order.wanted).__name__)
            raise Internal("the service could not do this") from error
        loop = asyncio.get_running_loop()
        passenger = _Passenger(encoded, loop.time() + left_s, loop.create_future())
        line = self._lines.setdefault((peer.id, tenant), _Line(peer, tenant))
        line.waiting.append(passenger)
        if line.flights < FLIGHTS_MAX:
            line.flights += 1
            task = asyncio.create_task(self._fly(line), name=f"orders for {tenant}")
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
        try:
            async with asyncio.timeout(left_s + SPARE_S):
                return await passenger.future
        except TimeoutError as error:
            raise PeerLost("the process that serves this tenant does not answer") from error
        finally:
            del passenger  # a refusal holds this frame, which must not hold the refusal: a circle

    def gone(self, processes: Collection[str]) -> None:
        """These processes count as dead: what was sent to them is not waited for."""
        for line in list(self._lines.values()):
            if line.peer.id in processes:
                for each in (*line.waiting, *chain.from_iterable(line.flying)):
                    if not each.future.done():
                        each.future.set_exception(PeerLost("the process that served this tenant has died"))

    async def _fly(self, line: _Line) -> None:
        try:
            while line.waiting:
                some = _boarded(line.waiting)
                line.flying.append(some)
                try:
                    await self._post(line, [each for each in some if not each.future.done()])
                finally:
                    line.flying.remove(some)
        finally:
            line.flights -= 1
            if not line.flights and not line.waiting:
                self._lines.pop((line.peer.id, line.tenant), None)

    async def _post(self, line: _Line, passengers: Sequence[_Passenger]) -> None:
        if not passengers:
            return
        now = asyncio.get_running_loop().time()
        body = wire.dump([line.tenant, [[each.encoded, max(0.0, each.deadline - now)] for each in passengers]])
        head = self._signer.request(self._process, line.peer.id, next(self._numbers), body)
        longest_s = max(each.deadline for each in passengers) - now
        try:
            async with asyncio.timeout(longest_s + SPARE_S):
                outcomes = await self._asked(line.peer, head, body, len(passengers))
        except (TimeoutError, wire.Untravelled, OSError) as error:
            outcomes = [PeerLost(f"the process that serves this tenant cannot be reached: {error!r}")] * len(passengers)
        except NotOwner as refusal:
            outcomes = [refusal] * len(passengers)
        for each, outcome in zip(passengers, outcomes, strict=True):
            if each.future.done():
                continue
            if isinstance(outcome, Refused | PeerLost):
                each.future.set_exception(outcome)
            else:
                each.future.set_result(outcome[0])

    async def _asked(self, peer: Process, head: Head, body: bytes, count: int) -> list[Any]:
        """What came of each order: its result in a list of one, or the refusal."""
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")
            self._session = self._session or _session()
        import aiohttp  # noqa: PLC0415  # it is loaded

        try:
            return await self._heard(self._session, peer, head, body, count)
        except aiohttp.ClientError as error:
            raise ConnectionError(repr(error)) from error

    async def _heard(
        self, session: "aiohttp.ClientSession", peer: Process, head: Head, body: bytes, count: int
    ) -> list[Any]:
        data = io.BytesIO(body)  # of bytes as they are more than one mebibyte is warned of
        url = f"{peer.address}{PATH}"
        async with session.post(url, data=data, headers=head.headers(), allow_redirects=False) as answer:
            if answer.status == WRONG_PROCESS:  # unsigned, whoever says so: it is asked again, as if nothing had come
                raise NotOwner("another process has taken its place")
            if answer.status != HTTPStatus.OK:
                _log.error(
                    "orders.refused",
                    status=answer.status,
                    detail=(await answer.content.read(DETAIL_BYTES_MAX)).decode(errors="replace"),
                )
                raise wire.Untravelled(f"answered with {answer.status}")
            if answer.content_length is None or answer.content_length > ANSWER_BYTES_MAX:
                raise wire.Untravelled("the answer does not say how long it is, or is too long")
            said, mac = await answer.read(), answer.headers.get(MAC.decode(), "")
        if not self._signer.answers(head, said, mac):
            raise wire.Untravelled("the answer is not that process's")
        return _outcomes(said, count)


def _session() -> "aiohttp.ClientSession":
    import aiohttp  # noqa: PLC0415  # it is loaded

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False, ssl=trusted(), keepalive_timeout=IDLE_S_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S_MAX),
        skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
        auto_decompress=False,
    )


def _outcomes(said: bytes, count: int) -> list[Any]:
    outcomes: list[Any] = []
    for encoded in wire.load(said):
        try:
            outcomes.append(wire.load(encoded))
        except wire.Untravelled as error:
            outcomes.append(PeerLost(str(error)))
    if len(outcomes) != count:
        raise wire.Untravelled("answers are missing")
    return outcomes


def _boarded(waiting: deque[_Passenger]) -> list[_Passenger]:
    """Those who travel next: as many as the other side takes in one body."""
    some, size = [waiting.popleft()], 0
    while waiting and len(some) < ORDERS_A_FLIGHT and (size := size + len(some[-1].encoded)) < FLIGHT_BYTES:
        some.append(waiting.popleft())
    return some
