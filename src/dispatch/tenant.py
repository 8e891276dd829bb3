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
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from src import metrics
from src.dispatch.facts import Answer
from src.dispatch.fetching import Fetching
from src.dispatch.inbox import Inbox, Item
from src.dispatch.known import RECENT_CONTACTS_MAX, Known, Wanted
from src.dispatch.memory import RETRY_PAUSE_S, Memory
from src.dispatch.outbox import Outbox
from src.dispatch.ports import Parts, Vouched
from src.dispatch.pulling import Pulling
from src.dispatch.turn import Job, Keepable, Once, Repeated, Turn
from src.dispatch.webhooks import Webhooks
from src.errors import (
    Conflict,
    Fenced,
    IdempotencyMismatch,
    Internal,
    Malformed,
    NotOwner,
    Refused,
    StoreRejected,
    StoreUnreachable,
    Unavailable,
)
from src.router import commands
from src.router.engine import Engine
from src.router.model import Settings

TICK_ITEMS_MAX: Final = 1_000
"""Due items that one commit takes."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class _Poisoned(Exception):
    """A job raised what no job may raise."""


class TenantLoop:
    """Serves one tenant. `run` returns when it is stopped, and raises `Fenced` when another process has taken over."""

    def __init__(self, tenant: str, parts: Parts, vouched: Vouched | None = None) -> None:
        self.tenant = tenant
        self._parts = parts
        self._memory = Memory(tenant, parts, vouched)
        self._inbox = Inbox(parts.clock)
        self._stopping = False
        self.outbox = None if parts.sender is None else Outbox(tenant, parts, parts.sender, self.submit)
        if self.outbox is not None:
            self._memory.posted = self.outbox.wake
            self._memory.ended = self.outbox.end
        self._fetching = None if parts.fetcher is None else Fetching(tenant, parts, parts.fetcher, self.submit)
        if self._fetching is not None:
            self._memory.sought = self._fetching.wake
        self._pulling = None if parts.puller is None else Pulling(tenant, parts, parts.puller, self.submit)
        if self._pulling is not None:
            self._memory.called = self._pulling.wake
        self.webhooks = None if parts.poster is None else Webhooks(tenant, parts, parts.poster, self.submit)
        if self.webhooks is not None:
            self._memory.hooked, self._memory.told = self.webhooks.wake, self.webhooks.tell

    # -- for callers --------------------------------------------------------------------------------------------

    async def submit(self, job: Job[T], once: Once[T] | None = None, deadline: float | None = None) -> T | Repeated:
        """Run a job in its turn; returns when what it did, or what it was refused upon, is committed.

        One whose turn comes behind its `deadline` (monotonic seconds) is dropped: nobody waits for it any more.

        Raises:
            Refused: what the job raised, or an `Unavailable` that asks the caller to try again.
        """
        if self._stopping:
            raise NotOwner("the tenant is being handed over")
        return await self._inbox.submit(job, once, deadline)

    def engine(self) -> Engine | None:
        """The engine, to be looked at; None while none is loaded."""
        return self._memory.engine

    def sessions(self) -> Mapping[str, str]:
        """The sockets that hold agents' leases, and whose they are."""
        return self._memory.sessions()

    def settings(self) -> Settings | None:
        """The tenant's settings; None while no engine is loaded."""
        engine = self._memory.engine
        return None if engine is None else engine.config.settings

    async def rest(self, wait_s: float) -> None:
        """Send nothing more to customers and webhooks; what is being sent is waited for, so many seconds at most."""
        resting = [each.rest(wait_s) for each in (self.outbox, self.webhooks) if each is not None]
        await asyncio.gather(*resting)

    def stop(self) -> None:
        """End after what waits has been served."""
        self._stopping = True
        self._inbox.wake()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Load, then serve until stopped."""
        beside = [
            asyncio.create_task(each.run(), name=f"beside {self.tenant}")
            for each in (self.outbox, self._fetching, self._pulling, self.webhooks)
            if each is not None
        ]
        try:
            while True:
                await self._ready()
                if self._memory.engine is None:
                    return
                await self._wait()
                if self._stopping and not self._inbox:
                    return
                await self._serve(self._inbox.take())
        finally:
            for task in beside:
                task.cancel()
            self._stopping = True
            self._inbox.wake_at(None, 0)
            self._inbox.refuse_all(NotOwner("the tenant has been handed over"))

    async def _ready(self) -> None:
        """Have an engine that equals what is stored; none if the loop is to stop before the store can be reached."""
        while self._memory.engine is None and not self._stopping:
            try:
                await self._memory.load()
            except StoreUnreachable as error:
                self._memory.engine = None  # half loaded: its leases are worth nothing
                _log.warning("store.unreachable", tenant=self.tenant, error=str(error))
                self._inbox.refuse_all(Unavailable("the database cannot be reached"))
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _wait(self) -> None:
        memory, inbox = self._memory, self._inbox
        assert memory.engine is not None
        inbox.wake_at(memory.engine.next_due(), memory.now_ms())
        if not inbox and not self._stopping and not memory.due():
            await inbox.woken()
        await inbox.let_in()
        inbox.looked()

    # -- a batch ------------------------------------------------------------------------------------------------

    async def _serve(self, items: Sequence[Item]) -> None:
        """Answer these jobs, whatever happens."""
        try:
            await self._attempt_or_part(items)
        except BaseException as error:
            self._memory.discard()
            cut_off = Fenced("the tenant is being taken over", in_doubt=self._memory.sending)
            refusal = error if isinstance(error, Refused) else cut_off
            for item in items:
                item.fail(refusal)
            raise

    async def _attempt_or_part(self, items: Sequence[Item]) -> None:
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
            self._memory.discard()
            if isinstance(error, _Poisoned) and await self._recover(items, error.__cause__):
                return
            if len(items) <= 1:
                # What a database refuses it quotes: only a fault of ours is logged with its cause.
                cause = error.__cause__ if isinstance(error, _Poisoned) else None
                _log.error("job.failed", tenant=self.tenant, error=repr(error), exc_info=cause)
            await self._part(items, _verdict(error))
        except StoreUnreachable as error:
            self._memory.discard()
            self._give_up(items, error)

    async def _recover(self, items: Sequence[Item], error: BaseException | None) -> bool:
        """Do the jobs without the contact that the engine failed upon, if that can be told; whether they are done."""
        try:
            blamed = await self._memory.is_to_go_aside(error)
        except StoreUnreachable as unreachable:
            self._give_up(items, unreachable)
            return True
        if not blamed:
            job: object = items[0].job if len(items) == 1 else None
            bare: Job[Any] | None = job.aside() if isinstance(job, Keepable) else None
            if bare is None or bare == items[0].job:
                return False
            metrics.SET_ASIDE.inc()
            _log.error("job.set_aside", tenant=self.tenant, exc_info=error)
            items[0].job = bare
        await self._ready()
        if self._memory.engine is None:
            raise NotOwner("the tenant is being handed over")
        await self._attempt_or_part(items)
        return True

    async def _part(self, items: Sequence[Item], verdict: Refused) -> None:
        """Do each on its own; what is on its own already gets the verdict."""
        if len(items) > 1:
            for item in items:
                await self._ready()
                if self._memory.engine is None:
                    raise NotOwner("the tenant is being handed over")
                await self._attempt_or_part([item])
            return
        for item in items:
            item.fail(verdict)
        if not items:
            await asyncio.sleep(RETRY_PAUSE_S)  # it is time itself that fails: not at full speed

    def _give_up(self, items: Sequence[Item], error: StoreUnreachable) -> None:
        _log.warning("store.unreachable", tenant=self.tenant, error=str(error))
        for item in items:
            item.fail(Unavailable("the database cannot be reached"))

    async def _look_up(self, items: Sequence[Item]) -> Known:
        assert self._memory.engine is not None
        wanted = Wanted()
        for item in items:
            item.outcome, item.error = None, None
            item.job.wants(wanted, self._memory.engine.state)
            if item.once is not None:
                wanted.answers.add(item.once.scope)
        settings = self._memory.engine.config.settings
        if settings.restraint.outreach_max is None:
            wanted.outreach = False  # nobody counts them
        window_ms = settings.repeat_window_s * 1000
        if wanted.lately_since is not None:
            wanted.lately_since -= window_ms
        known = await self._parts.store.lookup(self.tenant, wanted) if wanted else Known()
        now, open_of = self._memory.now_ms(), self._memory.engine.state.open_of
        since = {
            customer_id: min((each.created_at for each in open_of(customer_id)), default=now) - window_ms
            for customer_id, recent in known.recent.items()
            if len(recent) == RECENT_CONTACTS_MAX and customer_id not in known.lately
        }
        often = {each for each, begins in since.items() if known.recent[each][-1].created_at >= begins}
        if often:
            wanted = Wanted(customers=often, lately_since=min(since[each] for each in often))
            known.lately |= (await self._parts.store.lookup(self.tenant, wanted)).lately
        return known

    async def _attempt(self, items: Sequence[Item], known: Known) -> None:
        turn, began_s = self._memory.turn(known), self._parts.clock.monotonic()
        try:
            if self._memory.due():
                turn.decide(commands.Tick(TICK_ITEMS_MAX))
            for item in items:
                self._run(item, turn)
        except Exception as error:
            raise _Poisoned from error
        metrics.BATCH_JOBS.observe(len(items))
        metrics.DECISION_S.observe(self._parts.clock.monotonic() - began_s)
        wrote = await self._memory.commit(turn)
        try:
            if not wrote and items and not await self._memory.knows_all():
                raise Fenced("another process has taken this tenant over")
        except StoreUnreachable as error:
            self._give_up(items, error)  # nothing was decided: the engine is good
            return
        for item in items:
            item.answer()

    def _run(self, item: Item, turn: Turn) -> None:
        before = len(turn.events)
        try:
            if item.once is None:
                item.outcome = item.job.run(turn)
            else:
                item.outcome = _run_once(item.job, item.once, turn)
        except Refused as refusal:
            item.error = refusal.with_traceback(None)  # whose frames would hold it by the item: a circle
        if item.origin is not None:
            turn.origins.update((each.seq, item.origin) for each in turn.events[before:])


def _run_once(job: Job[T], once: Once[T], turn: Turn) -> T | Repeated:
    stored = turn.known.answers.get(once.scope)
    if stored is not None:
        if stored.body_hash != once.body_hash:
            raise IdempotencyMismatch("this idempotency key was used with another body")
        metrics.REPEATS.labels("answer" if once.given else "order").inc()
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
