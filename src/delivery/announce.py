"""Events between processes: announced over Redis as hints, and whatever gets lost is read from the journal.

Redis keeps nothing. A process hears the tenants that have subscribers in it. A lost announcement shows as a gap before
the next one; a lost last one shows when the heads of those tenants are compared with what was told, once a second. With
Redis away that comparison alone goes on: everything is told, up to a second later.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from src import metrics, tracing
from src.delivery.hub import Hub, Signal
from src.dispatch.known import Known
from src.dispatch.ports import Store
from src.errors import StoreUnreachable
from src.router.journal import Event

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

CHANNEL: Final = "cordboard:events:"
"""Prefix of a tenant's channel; behind it stands the tenant's id."""

SIGNALS: Final = "cordboard:signals:"
"""The same for what is worth telling at once and not worth keeping."""

CALLS: Final = "cordboard:calls"
"""Where it is told in which accounts' books of calls something was written: a tenant and an account."""

COMPARE_S: Final = 1.0
"""How often the heads of the tenants with subscribers are compared with what was told."""

ANNOUNCED_MAX: Final = 10_000
"""Commits that wait to be announced; with more, the oldest are left to the comparison."""

AT_A_TIME: Final = 500
"""Announcements in one round trip."""

FILL_EVENTS: Final = 1_000
"""Events read at a time to fill a gap."""

RETRY_S: Final = 0.5
PATIENCE_S: Final = 5.0
"""A Redis that says nothing for so long is asked whether it is there."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Event])
_CALL_DECODER: Final = msgspec.msgpack.Decoder(tuple[str, str])
_SIGNAL_DECODER: Final = msgspec.msgpack.Decoder(Signal)
_log = structlog.get_logger(__name__)


class _Traced(Event, frozen=True, gc=False):
    """An event as processes that trace announce it: with its origin. Others read it as an event."""

    origin: str | None = None


_TRACED_DECODER: Final = msgspec.msgpack.Decoder(list[_Traced])


def _with_origins(tenant: str, events: Sequence[Event]) -> Sequence[Event]:
    found = [(each, tracing.origin(tenant, each.seq)) for each in events]
    return [
        each if known is None else _Traced(**msgspec.structs.asdict(each), origin=known.traceparent)
        for each, known in found
    ]


def _read(tenant: str, announced: bytes) -> Sequence[Event]:
    events = _TRACED_DECODER.decode(announced)
    for each in events:
        if each.origin is not None:
            tracing.keep(tenant, each.seq, tracing.Origin(each.origin, each.type))
    return events


class Announcer:
    """Tells the other processes of what this one committed. `announce` never waits."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._waiting: deque[tuple[str, Sequence[Event] | Signal | Sequence[str]]] = deque(maxlen=ANNOUNCED_MAX)
        self._wake = asyncio.Event()

    def announce(self, tenant: str, events: Sequence[Event]) -> None:
        """Tell of a commit's events, soon and perhaps."""
        self._put(CHANNEL + tenant, _with_origins(tenant, events) if tracing.on() else events)

    def announce_signal(self, tenant: str, signal: Signal) -> None:
        """Tell of a signal, soon and perhaps."""
        self._put(SIGNALS + tenant, signal)

    def announce_call(self, tenant: str, account: str) -> None:
        """Tell whoever waits for it that a book of calls has something new, soon and perhaps."""
        self._put(CALLS, (tenant, account))

    def _put(self, channel: str, told: Sequence[Event] | Signal | Sequence[str]) -> None:
        if len(self._waiting) == ANNOUNCED_MAX:
            metrics.UNANNOUNCED.inc()
        self._waiting.append((channel, told))
        self._wake.set()

    async def run(self) -> None:
        """Send what waits, for ever. What cannot be sent is forgotten."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                some = [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_A_TIME))]
                try:
                    async with self._redis.pipeline(transaction=False) as pipeline:
                        for channel, told in some:
                            pipeline.publish(channel, _ENCODER.encode(told))
                        await pipeline.execute()
                except Exception as error:  # noqa: BLE001  # a reset connection raises more than the client documents
                    metrics.UNANNOUNCED.inc(len(some))
                    _log.warning("redis.unreachable", error=repr(error), left_to_comparison=len(some))
                    await asyncio.sleep(RETRY_S)


class Follower:
    """Hears what other processes committed, for the subscribers of this one. `redis` None: by comparison alone.

    `woken` hears in whose books of calls they wrote.
    """

    def __init__(
        self, hub: Hub, store: Store, redis: "Redis | None", woken: Callable[[str, str], None] | None = None
    ) -> None:
        self._woken = woken
        self._hub = hub
        self._store = store
        self._redis = redis
        self._filling: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Follow, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._compare())
            if self._redis is not None:
                group.create_task(self._listen(self._redis))

    # -- the journal ------------------------------------------------------------------------------------------------

    async def _compare(self) -> None:
        while True:
            await asyncio.sleep(COMPARE_S)
            tenants = self._hub.followed()
            if not tenants:
                continue
            try:
                heads = await self._store.heads(tenants)
            except Exception as error:  # noqa: BLE001  # it must go on, whatever it is
                _log.warning("heads.not_compared", error=repr(error))
                continue
            for tenant, seq in heads.items():
                reached = self._hub.reached(tenant)
                if reached is not None and reached < seq:
                    self._fill(tenant)

    def _fill(self, tenant: str) -> None:
        """Tell what stands in the journal and was not told. One task for each tenant at a time."""
        if tenant not in self._filling:
            task = self._filling[tenant] = asyncio.create_task(self._fill_now(tenant), name=f"fill {tenant}")
            task.add_done_callback(lambda _: self._filling.pop(tenant, None))

    async def _fill_now(self, tenant: str) -> None:
        with contextlib.suppress(StoreUnreachable):  # the next comparison finds it again
            while (reached := self._hub.reached(tenant)) is not None:
                events = await self._store.events(tenant, reached, FILL_EVENTS)
                if not events or self._hub.reached(tenant) is None:
                    return
                if not self._hub.deliver(tenant, events, Known()):
                    self._hub.lost(tenant, events[0].seq - 1)

    # -- Redis ------------------------------------------------------------------------------------------------------

    async def _listen(self, redis: "Redis") -> None:
        while True:
            try:
                async with redis.pubsub() as pubsub:  # what confirms a subscription is a sign of life too
                    await pubsub.subscribe(
                        CHANNEL, CALLS
                    )  # in the first one nobody speaks there: it holds the connection
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._subscribe(pubsub))
                        group.create_task(self._receive(pubsub))
            except* Exception as errors:  # noqa: BLE001  # a reset connection raises more than the client documents
                _log.warning("redis.unreachable", error=repr(errors.exceptions[0]))
            await asyncio.sleep(RETRY_S)

    async def _subscribe(self, pubsub: "PubSub") -> None:
        """Keep to the tenants that have subscribers here."""
        heard: set[str] = set()
        while True:
            self._hub.followed_changed.clear()
            wanted = {prefix + each for each in self._hub.followed() for prefix in (CHANNEL, SIGNALS)}
            if new := wanted - heard:
                await pubsub.subscribe(*new)
            if old := heard - wanted:
                await pubsub.unsubscribe(*old)
            heard = wanted
            await self._hub.followed_changed.wait()

    async def _receive(self, pubsub: "PubSub") -> None:
        """Take in announcements while the connection lasts; where all is silent, Redis is asked whether it is there."""
        asked = False
        while True:
            message = await pubsub.get_message(timeout=PATIENCE_S)
            if message is None and asked:
                raise TimeoutError("Redis does not answer")
            if message is None:
                await pubsub.ping()
            elif message["type"] == "message":
                self._heard(message)
            asked = message is None

    def _heard(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        tenant = channel.removeprefix(SIGNALS).removeprefix(CHANNEL)
        try:
            if channel == CALLS:
                if self._woken is not None:
                    self._woken(*_CALL_DECODER.decode(message["data"]))
                return
            if channel.startswith(SIGNALS):
                self._hub.signalled(tenant, _SIGNAL_DECODER.decode(message["data"]))
                return
            events = _read(tenant, message["data"]) if tracing.on() else _DECODER.decode(message["data"])
        except msgspec.DecodeError as error:
            _log.warning("announcement.not_understood", tenant=tenant, error=str(error))
            return
        reached = self._hub.reached(tenant)
        if events and reached is not None and not self._hub.deliver(tenant, events, Known()):
            self._fill(tenant)
