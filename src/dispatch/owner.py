"""Which tenants this process serves, and the way of every order to the process that serves its tenant.

An order goes to the loop of this process, or to the owner's. Where its tenant is on its way from one process to another
it is tried again for some seconds, so that a hand-over or a process that died refuses nobody who can wait so long.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping
from contextvars import Context
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

import structlog
from opentelemetry.trace import SpanKind

from src import metrics, tracing
from src.dispatch import jobs
from src.dispatch.balance import plan
from src.dispatch.orders import NO_OUTLOOK, Accuracies, AnsweredInTime, Look, Order, Outlook, Peers, Staffing, Wake
from src.dispatch.ports import Leases, Parts, Process, Survey
from src.dispatch.tenant import TenantLoop
from src.dispatch.turn import Job, Once, Repeated
from src.errors import (
    Fenced,
    NewerJournal,
    NoAddress,
    NotOwner,
    Overloaded,
    PeerLost,
    Refused,
    StoreUnreachable,
    Unavailable,
)
from src.router.levels import Reached
from src.router.model import Settings
from src.router.waits import Accuracy, Estimate

ORDER_S_MAX: Final = 10.0
"""So long an order is tried again: longer than it takes until a process that died is followed by another."""

LOOK_S_MAX: Final = 1.0
"""So long a question may take: what it asks for is advice."""

ORDERS_MAX: Final = 10_000
"""Orders that may be on their way from this process at a time; beyond it the caller is told to come back."""

RETRY_S_MIN: Final = 0.02
RETRY_S_MAX: Final = 0.25

HAND_S_MAX: Final = 15.0
"""How long a hand-over waits for commits that are under way."""

STOP_S_MAX: Final = 2.0
"""The same of a process that is told to stop: what is under way then is in doubt, and whoever comes next finds it."""

SENT_S_MAX: Final = 2.0
"""How long messages that are being sent are waited for first: what is cut off is sent again by whoever comes next."""

CANCEL_S_MAX: Final = 1.0
"""How long it waits for what it has cut off: on a dead connection even that takes its time, and the fence stays."""

CHECK_S: Final = 10.0
"""How often all sockets of other processes are looked at: one that came and died between two looks is not missed."""

CLAIM_S: Final = 2.0
"""How often it looks who lives, and for tenants that nobody serves."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Owner:
    """The tenants of one process. `submit` is how everything reaches a tenant's loop, wherever that runs.

    `peers` None: this is the only process.
    """

    def __init__(self, process: str, leases: Leases, parts: Parts, peers: Peers | None = None) -> None:
        self.process = process
        self._leases = leases
        self._parts = parts
        self._peers = peers
        self._loops: dict[str, tuple[TenantLoop, asyncio.Task[None]]] = {}
        self._claiming = asyncio.Lock()
        self._beyond: set[str] = set()
        self._handing: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._draining = False
        self._settled = False
        self._on_the_way = 0
        self._survey: Survey | None = None
        self._places: dict[str, Process] = {}
        self._strays: set[str] = set()
        self._to_check: set[str] = set()
        self._checked_at = 0.0

    # -- orders -------------------------------------------------------------------------------------------------

    async def submit(self, tenant: str, job: Job[T], once: Once[T] | None = None) -> T | Repeated:
        """Have a job run in its tenant's loop.

        Raises:
            NotOwner: nobody could be found in time who serves the tenant.
            Refused: what the job was refused with.
        """
        return cast("T | Repeated", await self._order(tenant, Order(self._parts.new_id(), job, once), ORDER_S_MAX))

    async def outlook(
        self, tenant: str, contact_ids: Collection[str]
    ) -> Mapping[str, tuple[int | None, Estimate | None]]:
        """Position and estimated wait of waiting contacts, as far as the owner answers; the others have neither."""
        found = (
            await self._look(tenant, Outlook(tuple(contact_ids), self._parts.clock.now_ms()), {}) if contact_ids else {}
        )
        return {each: found.get(each, NO_OUTLOOK) for each in contact_ids}

    async def staffing(self, tenant: str, queue: str, channel: str) -> str:
        """Whether somebody would be there for a contact of this channel: `open`, `closed` or `nobody`."""
        return await self._look(tenant, Staffing(queue, channel), "open")

    async def accuracy(self, tenant: str) -> Mapping[str, Accuracy]:
        """By queue, how far off the estimated waits were since the tenant was loaded."""
        return await self._look(tenant, Accuracies(), {})

    async def reached(self, tenant: str) -> Reached:
        """How many were answered in time within the last hour, since the tenant was loaded."""
        return await self._look(tenant, AnsweredInTime(self._parts.clock.now_ms()), Reached())

    def settings(self, tenant: str) -> Settings | None:
        """The tenant's settings, where this process has them at hand."""
        entry = self._loops.get(tenant)
        return None if entry is None else entry[0].settings()

    async def carry_out(self, tenant: str, order: Order[Any], left_s: float) -> Any:  # noqa: ANN401  # its result
        """Carry out an order that another process sent here. It is not sent on.

        Raises:
            NotOwner: this process does not serve the tenant, and may not claim it.
            Refused: what it was refused with.
        """
        with tracing.span("carry out", order.origin, kind=SpanKind.SERVER, order=type(order.wanted).__name__):
            entry = self._loops.get(tenant)
            loop = entry[0] if entry is not None else await self._claim(tenant)
            return await _run_here(loop, order, self._parts.clock.monotonic() + left_s, travelled=True)

    async def _look(self, tenant: str, look: Look[T], otherwise: T) -> T:
        try:
            return cast("T", await self._order(tenant, Order(self._parts.new_id(), look), LOOK_S_MAX))
        except (Unavailable, StoreUnreachable):
            return otherwise

    async def _order(self, tenant: str, order: Order[Any], left_s: float) -> Any:  # noqa: ANN401  # its result
        if self._on_the_way >= ORDERS_MAX:
            metrics.TURNED_AWAY.labels("orders").inc()
            raise Overloaded("too many requests are on their way")
        deadline = self._parts.clock.monotonic() + left_s
        self._on_the_way += 1
        try:
            if not tracing.on():
                return await self._until(deadline, tenant, order)
            with tracing.span("order", order=type(order.wanted).__name__, tenant=tenant):
                return await self._until(deadline, tenant, replace(order, origin=tracing.current()))
        finally:
            self._on_the_way -= 1

    async def _until(self, deadline: float, tenant: str, order: Order[Any]) -> Any:  # noqa: ANN401  # its result
        """Try, and try again for as long as somebody else may be found who serves the tenant."""
        pause_s, travelled = RETRY_S_MIN, False
        while True:
            left_s = deadline - self._parts.clock.monotonic()
            try:
                place = await self._where(tenant)
                if isinstance(place, TenantLoop):
                    return await _run_here(place, order, deadline, travelled=travelled)
                assert self._peers is not None
                travelled = True
                return await self._peers.ask(place, tenant, order, left_s)
            except (NewerJournal, NoAddress):
                raise
            except (NotOwner, Fenced, PeerLost) as error:
                self._places.pop(tenant, None)
                unkeyed = order.once is not None and not order.once.given and not travelled
                if isinstance(error, Fenced) and error.in_doubt and unkeyed:
                    raise  # it may stand in the journal, and nothing there would tell a repeat
                left_s = deadline - self._parts.clock.monotonic()
                if self._stopping or self._peers is None or pause_s >= left_s:
                    raise error if isinstance(error, Refused) else NotOwner(str(error)) from error
            except StoreUnreachable as error:
                raise Unavailable("the database cannot be reached") from error
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_S_MAX, pause_s * 2)

    async def _where(self, tenant: str) -> Process | TenantLoop:
        """Whom to ask: another process, or a loop of this one, which claims the tenant if nobody has it."""
        entry = self._loops.get(tenant)
        if entry is not None:
            return entry[0]
        known = self._places.get(tenant)
        if known is not None:
            return known
        peer = await self._leases.who_serves(tenant) if self._peers is not None else None
        if peer is None and self._draining:
            peer = self._successor()
        if peer is None or peer.id == self.process:
            return await self._claim(tenant)
        if peer.address is None:
            raise NoAddress("another process serves this tenant, and takes no orders")
        self._places[tenant] = peer
        return peer

    def _successor(self) -> Process | None:
        live = [] if self._survey is None else self._survey.live.values()
        return next((each for each in live if not each.draining and each.id != self.process), None)

    # -- ownership ----------------------------------------------------------------------------------------------

    def serves(self, tenant: str) -> bool:
        """Whether this process serves the tenant now."""
        return tenant in self._loops

    def tenants(self) -> int:
        """How many tenants this process serves now."""
        return len(self._loops)

    def untold(self) -> tuple[int, int | None]:
        """How many events webhooks of the tenants here have not taken, and the time of the oldest (milliseconds)."""
        found = [loop.webhooks.waiting() for loop, _ in self._loops.values() if loop.webhooks is not None]
        return sum(number for number, _ in found), min((at for _, at in found if at is not None), default=None)

    def unsent(self) -> tuple[int, int | None]:
        """How many messages of the tenants here wait to be sent, as far as they are read, and since when the oldest."""
        found = [loop.outbox.waiting() for loop, _ in self._loops.values() if loop.outbox is not None]
        return sum(number for number, _ in found), min((at for _, at in found if at is not None), default=None)

    def on_the_way(self) -> int:
        """How many orders wait for what comes of them."""
        return self._on_the_way

    def accuracies(self) -> Iterator[Accuracy]:
        """How far off estimated waits were, of every queue of every tenant that is served here."""
        for loop, _ in self._loops.values():
            engine = loop.engine()
            if engine is not None:
                yield from engine.accuracy().values()

    def lease_good(self) -> bool:
        """Whether this process may answer for them."""
        return self._parts.lease_good()

    def settled(self) -> bool:
        """Whether it has seen who lives, and claimed what is for it to serve."""
        return self._settled

    def draining(self) -> bool:
        """Whether it is about to leave."""
        return self._draining

    async def keep(self) -> None:
        """Look who lives: claim what nobody serves, hand over what others should, forget sockets that died.

        Raises:
            StoreUnreachable: nothing could be seen.
        """
        before, survey = self._survey, await self._leases.survey()
        self._survey = survey
        mine = survey.live.get(self.process)
        if self._draining and mine is not None and not mine.draining:
            await self._leases.drain(self.process)  # it was not heard before
        self._places = {
            tenant: peer
            for tenant, owner in survey.owners.items()
            if (peer := survey.live.get(owner or "")) is not None and owner != self.process and peer.address is not None
        }
        dead = set() if before is None else before.live.keys() - survey.live.keys()
        if dead and self._peers is not None:
            self._peers.gone(dead)
        now = self._parts.clock.monotonic()
        if dead or (self._peers is not None and now - self._checked_at > CHECK_S):
            self._to_check.update(self._loops)
            self._checked_at = now
        self._stop_strays(survey)
        wanted = plan(survey, self.process, self._loops, self._beyond)
        for tenant in () if self._stopping else wanted.claim:
            with contextlib.suppress(NotOwner, StoreUnreachable):
                await self._claim(tenant)
        self._settled = self._settled or bool(self._loops or self._places)
        self._hand_over(survey, wanted.hand)
        await self._check_sessions()

    async def drain(self) -> None:
        """Take nothing more, and hand everything to the others, as far as there are any."""
        self._draining = True
        with contextlib.suppress(StoreUnreachable):
            await self._leases.drain(self.process)
            self._survey = survey = await self._leases.survey()
            self._hand_over(survey, plan(survey, self.process, self._loops).hand)
            if self._handing:
                await asyncio.wait(self._handing.values())

    async def stop(self) -> None:
        """Finish what waits, as far as that takes no more than some seconds, and take nothing more."""
        self._stopping = True
        await self._ended(list(self._loops), STOP_S_MAX)
        for task in self._handing.values():
            task.cancel()

    async def release(self) -> None:
        """Give everything up, at the very end: the lease must no longer be renewed."""
        with contextlib.suppress(StoreUnreachable):
            await self._leases.release(self.process)

    def _stop_strays(self, survey: Survey) -> None:
        """End loops of tenants that others have had for two surveys: the fence would, at their next commit."""
        others = {each for each in self._loops if survey.owners.get(each) != self.process}
        for tenant in others & self._strays:
            self._loops[tenant][0].stop()
        self._strays = others

    def _hand_over(self, survey: Survey, hand: Collection[tuple[str, str]]) -> None:
        """End the loops of these tenants behind what waits, and give them on; nothing else waits for that."""
        for tenant, successor in hand:
            if tenant not in self._handing:
                one = self._hand_one(tenant, survey.live[successor])
                self._handing[tenant] = asyncio.create_task(one, name=f"hand over {tenant}")

    async def _hand_one(self, tenant: str, successor: Process) -> None:
        assert self._peers is not None
        try:
            await self._ended([tenant], HAND_S_MAX)
            given = await self._leases.hand(self.process, tenant, successor.id)
        except StoreUnreachable as error:
            _log.warning("tenant.not_handed_over", tenant=tenant, error=str(error))
            return
        finally:
            self._handing.pop(tenant, None)
        if given:
            _log.info("tenant.handed_over", tenant=tenant, successor=successor.id)
            self._places[tenant] = successor
            with contextlib.suppress(Refused, PeerLost):
                await self._peers.ask(successor, tenant, Order(self._parts.new_id(), Wake()), LOOK_S_MAX)

    async def _ended(self, tenants: Collection[str], wait_s: float) -> None:
        tasks = []
        ending = [self._loops[each] for each in tenants if each in self._loops]
        await asyncio.gather(*(loop.rest(SENT_S_MAX) for loop, _ in ending))
        for loop, task in ending:
            loop.stop()
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_S_MAX)

    async def _claim(self, tenant: str) -> TenantLoop:
        async with self._claiming:
            entry = self._loops.get(tenant)
            if entry is not None:
                return entry[0]
            if tenant in self._beyond:
                raise NewerJournal("a newer release has written to this tenant")
            if self._stopping or self._draining or tenant in self._handing:
                raise NotOwner("this process takes no tenants")
            if not await self._leases.claim(self.process, tenant):
                raise NotOwner("another process serves this tenant")
            loop = TenantLoop(tenant, self._parts, self._vouched)
            # Whoever asked first is not what the loop does for all who come.
            task = asyncio.create_task(self._run(loop), name=f"tenant {tenant}", context=Context())
            self._loops[tenant] = (loop, task)
            return loop

    async def _run(self, loop: TenantLoop) -> None:
        try:
            await loop.run()
        except (Fenced, NotOwner) as error:
            if isinstance(error, Fenced):
                metrics.FENCED.inc()
            _log.warning("tenant.released", tenant=loop.tenant, process=self.process, reason=error.detail)
            if isinstance(error, NewerJournal):
                self._beyond.add(loop.tenant)  # it stays so for as long as this release runs
                with contextlib.suppress(StoreUnreachable):
                    await self._leases.hand(self.process, loop.tenant, None)
        except Exception:  # noqa: BLE001  # whatever it is, the next caller claims the tenant anew
            _log.exception("tenant.failed", tenant=loop.tenant)
        finally:
            self._loops.pop(loop.tenant, None)

    # -- sockets ------------------------------------------------------------------------------------------------

    async def _vouched(self, sessions: Collection[str]) -> frozenset[str]:
        """Which of these sockets are there: this process knows its own, and others are believed while they live."""
        live: Collection[str] = ()
        if any(process_of(each) != self.process for each in sessions):
            live = (await self._leases.survey()).live.keys()
        return self._there(sessions, live)

    def _there(self, sessions: Collection[str], live: Collection[str]) -> frozenset[str]:
        own = self._parts.live_sessions()
        return frozenset(
            each for each in sessions if (each in own if process_of(each) == self.process else process_of(each) in live)
        )

    async def _check_sessions(self) -> None:
        """Where a process has died, its sockets are gone: the grace of their agents begins."""
        if self._to_check:
            live = (await self._leases.survey()).live.keys()
            await asyncio.gather(*(self._check_one(tenant, live) for tenant in self._to_check))

    async def _check_one(self, tenant: str, live: Collection[str]) -> None:
        entry = self._loops.get(tenant)
        if entry is not None:
            sessions = entry[0].sessions()
            gone = sessions.keys() - self._there(sessions, live)
            try:
                if gone:
                    await entry[0].submit(jobs.Disconnected(tuple((sessions[each], each) for each in gone)))
            except (NotOwner, Fenced):
                pass  # whoever loads the tenant next looks for itself
            except Refused as refusal:
                _log.warning("sessions.not_checked", tenant=tenant, code=refusal.code)
                return
        self._to_check.discard(tenant)


async def _run_here(loop: TenantLoop, order: Order[Any], deadline: float, *, travelled: bool) -> Any:  # noqa: ANN401
    wanted, once = order.wanted, order.once
    if isinstance(wanted, Look):
        return wanted.look(loop.engine())
    if once is not None and not once.given and not travelled:
        once = None
    return await loop.submit(wanted, once, deadline if travelled else None)


def session_of(process: str, socket: str) -> str:
    """The name of a socket that a process holds: it says whose it is."""
    return f"{process}.{socket}"


def process_of(session: str) -> str:
    """The process that holds a socket."""
    return session.partition(".")[0]
