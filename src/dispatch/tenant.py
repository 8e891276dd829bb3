"""The loop of one tenant: it takes whatever waits, looks up what that needs, decides, commits once, then answers.

Nobody is told of anything that is not committed. A refusal is an answer too: it goes out behind its batch's commit.
What the loop holds in memory is thrown away whenever it may differ from what is stored:

- fenced: another process serves the tenant; the loop ends, and whoever waits is told to try again;
- the data was rejected, or a job raised: the engine is loaded anew and the batch's jobs run one by one, so that only
  the offender is refused. A contact that was coming in is written down all the same, set aside for people to look at;
- the engine fails upon a contact that is there already, whoever's turn it is, or in being loaded: the engine is loaded
  without it, and its first command sets that contact aside;
- the connection was lost in a commit: the same batch is sent again; the head row's batch id tells whether it had gone
  through.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog

from src.dispatch.admission import Admission
from src.dispatch.clock import TenantTime
from src.dispatch.config import engine_config
from src.dispatch.culprit import culprit
from src.dispatch.ports import Answer, Batch, Clock, Delivery, Head, Known, Loaded, Store, Wanted
from src.dispatch.turn import Job, Keepable, Once, Repeated, Turn
from src.errors import (
    Conflict,
    Fenced,
    IdempotencyMismatch,
    Internal,
    Malformed,
    NewerJournal,
    NotOwner,
    Refused,
    StoreRejected,
    StoreUnreachable,
    TenantOverloaded,
    Unavailable,
)
from src.router import commands
from src.router import events as ev
from src.router.engine import Engine
from src.router.events import Event
from src.router.model import Settings
from src.router.state import State

INBOX_WAIT_S: Final = 1.0
"""What comes in from customers is refused when it would wait longer than this for its turn and commit."""

INBOX_JOBS_FIRST: Final = 1_000
INBOX_JOBS_LEAST: Final = 200
"""Jobs that are let in while the rate is not known, and however low it is."""

PRESSING: Final = 4.0
"""What agents and supervisors do frees the service of work: so many times as much of it may wait."""

BATCH_JOBS_MAX: Final = 1_000
"""Jobs that one commit takes."""

TICK_ITEMS_MAX: Final = 1_000
"""Due items that one commit takes."""

CHECKPOINT_EVENTS: Final = 10_000
"""So many events apart, the journal records the hash of the folded state."""

COMMIT_RETRY_S_MAX: Final = 10.0
"""A commit whose connection is lost is tried again for this long."""

RETRY_PAUSE_S: Final = 0.2

CATCH_UP_EVENTS: Final = 1_000
"""Events read at a time when some were committed but not told."""

ASIDE_MAX: Final = 10
"""So many contacts upon which the engine fails are set aside since the loop began: more are no fault of contacts."""

Vouched = Callable[[Collection[str]], Awaitable[frozenset[str]]]
"""Says which of these sockets are there."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class _Poisoned(Exception):
    """A job raised what no job may raise."""


@dataclass(slots=True)
class _Item:
    """A job that waits, and who waits for it."""

    job: Job[Any]
    once: Once[Any] | None
    future: "asyncio.Future[Any]"
    deadline: float | None = None
    outcome: Any = None
    error: Refused | None = None


@dataclass(slots=True)
class _Timer:
    """The one timer of a loop: wakes it when the engine's next deadline comes."""

    due_at: int | None = None
    handle: asyncio.TimerHandle | None = None

    def set(self, due_at: int | None, now: int, wake: Callable[[], None]) -> None:
        if due_at == self.due_at and self.handle is not None:
            return
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        self.due_at = due_at
        if due_at is not None:
            delay_s = max(0.0, (due_at - now) / 1000)
            self.handle = asyncio.get_running_loop().call_later(delay_s, self._fire, wake)

    def _fire(self, wake: Callable[[], None]) -> None:
        self.due_at, self.handle = None, None
        wake()


@dataclass(slots=True)
class Parts:
    """What every tenant's loop is handed. `lease_good` tells whether others count this process as alive."""

    store: Store
    delivery: Delivery
    clock: Clock
    new_id: Callable[[], str]
    lease_good: Callable[[], bool] = field(default=lambda: True)
    live_sessions: Callable[[], frozenset[str]] = field(default=frozenset)


class TenantLoop:
    """Serves one tenant. `run` returns when it is stopped, and raises `Fenced` when another process has taken over."""

    def __init__(self, tenant: str, parts: Parts, vouched: Vouched | None = None) -> None:
        self.tenant = tenant
        self._parts = parts
        self._vouched = vouched
        self._inbox: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._timer = _Timer()
        self._time = TenantTime(parts.clock)
        self._stopping = False
        self._engine: Engine | None = None
        self._leases: dict[str, int] | None = None
        self._head: Head | None = None
        self._admission = Admission(parts.clock, wait_s=INBOX_WAIT_S, first=INBOX_JOBS_FIRST, least=INBOX_JOBS_LEAST)
        self._aside: dict[str, None] = {}
        self._aside_left = ASIDE_MAX

    # -- for callers --------------------------------------------------------------------------------------------

    async def submit(self, job: Job[T], once: Once[T] | None = None, deadline: float | None = None) -> T | Repeated:
        """Run a job in its turn; returns when what it did, or what it was refused upon, is committed.

        One whose turn comes behind its `deadline` (monotonic seconds) is dropped: nobody waits for it any more.

        Raises:
            Refused: what the job raised, or an `Unavailable` that asks the caller to try again.
        """
        if self._stopping:
            raise NotOwner("the tenant is being handed over")
        admission = self._admission
        if not admission.fits(share=1.0 if hasattr(job, "aside") else PRESSING):
            retry_after_s = admission.turn_away()
            raise TenantOverloaded("too many requests wait for this tenant", retry_after_s=retry_after_s)
        item = _Item(job, once, asyncio.get_running_loop().create_future(), deadline)
        self._inbox.append(item)
        self._wake.set()
        admission.enter()
        served = False
        try:
            result: T | Repeated = await item.future
            served = True
        except Refused as refusal:
            served = not isinstance(refusal, Unavailable)
            raise
        finally:
            admission.leave(served=served)
        return result

    def engine(self) -> Engine | None:
        """The engine, to be looked at; None while none is loaded."""
        return self._engine

    def sessions(self) -> Mapping[str, str]:
        """The sockets that hold agents' leases, and whose they are."""
        return {} if self._engine is None else _sessions(self._engine)

    def settings(self) -> Settings | None:
        """The tenant's settings; None while no engine is loaded."""
        return None if self._engine is None else self._engine.config.settings

    def stop(self) -> None:
        """End after what waits has been served."""
        self._stopping = True
        self._wake.set()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Load, then serve until stopped."""
        try:
            while True:
                await self._ready()
                if self._engine is None:
                    return
                await self._wait()
                if self._stopping and not self._inbox:
                    return
                await self._serve(self._next_batch())
        finally:
            self._stopping = True
            self._timer.set(None, 0, self._wake.set)
            while self._inbox:
                _fail(self._inbox.popleft(), NotOwner("the tenant has been handed over"))

    async def _ready(self) -> None:
        """Have an engine that equals what is stored; none if the loop is to stop before the store can be reached."""
        while self._engine is None and not self._stopping:
            try:
                await self._load()
            except StoreUnreachable as error:
                self._engine = None  # half loaded: its leases are worth nothing
                _log.warning("store.unreachable", tenant=self.tenant, error=str(error))
                while self._inbox:
                    _fail(self._inbox.popleft(), Unavailable("the database cannot be reached"))
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _wait(self) -> None:
        assert self._engine is not None
        self._timer.set(self._engine.next_due(), self._time.now_ms(), self._wake.set)
        if not self._inbox and not self._stopping and not self._due():
            await self._wake.wait()
        self._wake.clear()

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        now = self._parts.clock.monotonic()
        while self._inbox and len(batch) < BATCH_JOBS_MAX:
            item = self._inbox.popleft()
            if item.deadline is not None and item.deadline < now:
                _fail(item, Unavailable("its time was over before its turn came"))
            else:
                batch.append(item)
        return batch

    def _due(self) -> bool:
        assert self._engine is not None
        due_at = self._engine.next_due()
        return due_at is not None and due_at <= self._time.now_ms()

    async def _load(self) -> None:
        loaded = await self._parts.store.load(self.tenant)
        _understand(await self._parts.store.events(self.tenant, max(0, loaded.head.seq - 1), 1))
        self._head = loaded.head
        self._time.not_before(loaded.head.at)
        await self._catch_up(loaded.head.seq)
        try:
            self._engine = self._make_engine(loaded)
            sessions = _sessions(self._engine)
            live = self._parts.live_sessions() if self._vouched is None else await self._vouched(sessions)
            turn = self._turn(Known())
            for each in self._aside:
                turn.decide(commands.SetAside(each))
            turn.decide(commands.Restart(live & sessions.keys(), self._leases))
        except StoreUnreachable:
            raise
        except Exception as error:
            self._engine = None
            if not await self._is_to_go_aside(error):
                raise
            return  # and is loaded again, without that contact
        await self._commit(turn)
        self._aside.clear()

    async def _is_to_go_aside(self, error: BaseException | None) -> bool:
        """Whether a contact that is stored is to blame, which the next engine is to be loaded without."""
        found = culprit(error)
        if found is None or found in self._aside or not self._aside_left:
            return False
        known = await self._parts.store.lookup(self.tenant, Wanted(contacts={found}))
        if found not in known.contacts:
            return False
        self._aside[found] = None
        self._aside_left -= 1
        _log.error("contact.set_aside", tenant=self.tenant, contact_id=found, exc_info=error)
        return True

    def _discard(self) -> None:
        """Throw the engine away; what is only in its memory and still good goes to the next."""
        if self._engine is not None:
            self._leases = self._engine.leases()
        self._engine = None

    async def _catch_up(self, seq: int) -> None:
        """Tell of what was committed, but never told: its connection was lost, or another process wrote it."""
        told = self._parts.delivery.reached(self.tenant)
        while told is not None and told < seq:
            events = await self._parts.store.events(self.tenant, told, CATCH_UP_EVENTS)
            if not events:
                return
            _understand(events)
            self._parts.delivery.publish(self.tenant, events, Known())
            told = events[-1].seq

    def _make_engine(self, loaded: Loaded) -> Engine:
        state = State()
        state.load(
            loaded.head.seq,
            loaded.head.at,
            loaded.contacts,
            loaded.assignments,
            loaded.agents,
            loaded.collaborations,
        )
        assert state.hash == loaded.head.state_hash, f"the tables of tenant {self.tenant} are not what its journal says"
        return Engine(self._parts.new_id, engine_config(loaded.config), state, self._aside)

    def _turn(self, known: Known) -> Turn:
        assert self._engine is not None
        return Turn(self._engine, known, self._time.now_ms(), self._parts.new_id)

    # -- a batch ------------------------------------------------------------------------------------------------

    async def _serve(self, items: Sequence[_Item]) -> None:
        """Answer these jobs, whatever happens."""
        try:
            await self._attempt_or_part(items)
        except BaseException as error:
            self._discard()
            refusal = error if isinstance(error, Refused) else NotOwner("the tenant is being taken over")
            for item in items:
                _fail(item, refusal)
            raise

    async def _attempt_or_part(self, items: Sequence[_Item]) -> None:
        """One commit for all; or, where the batch holds something that cannot be done, one for each."""
        try:
            known = await self._look_up(items)
        except StoreRejected:
            await self._part(items, Malformed("nothing can have this id"))  # nothing was decided: the engine is good
            return
        except StoreUnreachable as error:
            self._give_up(items, error)
            return
        try:
            await self._attempt(items, known)
        except (StoreRejected, _Poisoned) as error:
            self._discard()
            if isinstance(error, _Poisoned) and await self._recover(items, error.__cause__):
                return
            if len(items) <= 1:
                # What a database refuses it quotes: only a fault of ours is logged with its cause.
                cause = error.__cause__ if isinstance(error, _Poisoned) else None
                _log.error("job.failed", tenant=self.tenant, error=repr(error), exc_info=cause)
            await self._part(items, _verdict(error))
        except StoreUnreachable as error:
            self._discard()
            self._give_up(items, error)

    async def _recover(self, items: Sequence[_Item], error: BaseException | None) -> bool:
        """Do the jobs without the contact that the engine failed upon, if that can be told; whether they are done."""
        try:
            blamed = await self._is_to_go_aside(error)
        except StoreUnreachable as unreachable:
            self._give_up(items, unreachable)
            return True
        if not blamed:
            job: object = items[0].job if len(items) == 1 else None
            bare: Job[Any] | None = job.aside() if isinstance(job, Keepable) else None
            if bare is None or bare == items[0].job:
                return False
            _log.error("job.set_aside", tenant=self.tenant, exc_info=error)
            items[0].job = bare
        await self._ready()
        if self._engine is None:
            raise NotOwner("the tenant is being handed over")
        await self._attempt_or_part(items)
        return True

    async def _part(self, items: Sequence[_Item], verdict: Refused) -> None:
        """Do each on its own; what is on its own already gets the verdict."""
        if len(items) > 1:
            for item in items:
                await self._ready()
                if self._engine is None:
                    raise NotOwner("the tenant is being handed over")
                await self._attempt_or_part([item])
            return
        for item in items:
            _fail(item, verdict)
        if not items:
            await asyncio.sleep(RETRY_PAUSE_S)  # it is time itself that fails: not at full speed

    def _give_up(self, items: Sequence[_Item], error: StoreUnreachable) -> None:
        _log.warning("store.unreachable", tenant=self.tenant, error=str(error))
        for item in items:
            _fail(item, Unavailable("the database cannot be reached"))

    async def _look_up(self, items: Sequence[_Item]) -> Known:
        assert self._engine is not None
        wanted = Wanted()
        for item in items:
            item.outcome, item.error = None, None
            item.job.wants(wanted, self._engine.state)
            if item.once is not None:
                wanted.answers.add(item.once.scope)
        return await self._parts.store.lookup(self.tenant, wanted) if wanted else Known()

    async def _attempt(self, items: Sequence[_Item], known: Known) -> None:
        turn = self._turn(known)
        try:
            if self._due():
                turn.decide(commands.Tick(TICK_ITEMS_MAX))
            for item in items:
                self._run(item, turn)
        except Exception as error:
            raise _Poisoned from error
        wrote = await self._commit(turn)
        try:
            if not wrote and items and not await self._knows_all():
                raise Fenced("another process has taken this tenant over")
        except StoreUnreachable as error:
            self._give_up(items, error)  # nothing was decided: the engine is good
            return
        for item in items:
            _answer(item)

    def _run(self, item: _Item, turn: Turn) -> None:
        try:
            if item.once is None:
                item.outcome = item.job.run(turn)
            else:
                item.outcome = _run_once(item.job, item.once, turn)
        except Refused as refusal:
            item.error = refusal

    async def _commit(self, turn: Turn) -> bool:
        """Write what the turn holds, if anything; then, and only then, tell of it."""
        if not (turn.events or turn.facts or turn.answers):
            return False
        assert self._engine is not None
        assert self._head is not None
        before = self._head
        state = self._engine.state
        changes = state.drain()
        if state.seq // CHECKPOINT_EVENTS > before.seq // CHECKPOINT_EVENTS:
            turn.decide(commands.Checkpoint())
        head = Head(state.seq, self._parts.new_id(), state.at, state.hash)
        batch = Batch(self.tenant, before.seq, head, turn.events, changes, turn.traces, turn.facts, turn.answers)
        await self._send(batch)
        self._head = head
        turn.known.contacts.update((row[0], row) for row in changes.contacts)
        turn.known.collaborations.update((row[0], row) for row in changes.collaborations)
        self._parts.delivery.publish(self.tenant, turn.events, turn.known)
        return True

    async def _send(self, batch: Batch) -> None:
        """Commit, and find out what became of it when the connection was lost on the way."""
        deadline = self._parts.clock.monotonic() + COMMIT_RETRY_S_MAX
        doubt = False
        while True:
            try:
                await self._parts.store.commit(batch)
            except Fenced:
                if doubt and await self._went_through(batch):
                    return
                raise Fenced("another process took this tenant over", in_doubt=doubt) from None
            except StoreUnreachable:
                doubt = True
                if self._parts.clock.monotonic() >= deadline:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                return

    async def _knows_all(self) -> bool:
        """Whether the journal is as it was decided upon.

        A lease does not tell: one that had run out and was taken anew is good while another process serves the tenant,
        and a successor's does not keep a commit away that its predecessor had decided.
        """
        assert self._head is not None
        return (await self._parts.store.head(self.tenant)).seq == self._head.seq

    async def _went_through(self, batch: Batch) -> bool:
        return (await self._parts.store.head(self.tenant)).batch == batch.head.batch


def _sessions(engine: Engine) -> Mapping[str, str]:
    return {each.session: each.id for each in engine.state.agents.values() if each.session is not None}


def _understand(events: Sequence[Event]) -> None:
    """Refuse to serve a tenant whose journal a newer release has written: what it means is not known here."""
    for each in events:
        if each.type not in ev.KNOWN or each.version > ev.VERSION:
            raise NewerJournal(f"the journal holds {each.type} of version {each.version}, written by a newer release")


def _run_once(job: Job[T], once: Once[T], turn: Turn) -> T | Repeated:
    stored = turn.known.answers.get(once.scope)
    if stored is not None:
        if stored.body_hash != once.body_hash:
            raise IdempotencyMismatch("this idempotency key was used with another body")
        return Repeated(stored)
    result = job.run(turn)
    status, body = once.render(result)
    answer = Answer(once.scope, once.body_hash, status, body, turn.now)
    turn.answers.append(answer)
    turn.known.answers[once.scope] = answer
    return result


def _verdict(error: Exception) -> Refused:
    if isinstance(error, StoreRejected):
        return Conflict("this does not go together with what is stored")
    return Internal("the service could not do this")


def _answer(item: _Item) -> None:
    if item.future.done():
        return
    if item.error is not None:
        item.future.set_exception(item.error)
    else:
        item.future.set_result(item.outcome)


def _fail(item: _Item, error: Refused) -> None:
    item.error = error
    _answer(item)
