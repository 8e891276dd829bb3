"""Messages on their way out: what a tenant's conversations have queued is sent by whoever owns the tenant.

    job ─► commit (message, `queued`) ─► wake ─► read what waits ─► send ─► job ─► commit (`sent`, `failed`)

Sending is no part of a turn: the loop commits that a message is queued, and is told what became of it as of anything
else. What waits is read from the store, also at the start: so a process that died between two of these steps, or
handed the tenant over, leaves nothing behind. A message that was sent and not written down is sent again, with the
same id: whether the customer sees it twice is for the channel's own idempotency.

Behind the last message of a contact with which its agent is done, the channel is told that its session is over; that is
tried once, and kept nowhere.

One conversation (account and customer) is sent in order, one message after the other; a message that must be tried
again holds back those behind it. Conversations go side by side, some at a time.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import structlog

from src import metrics
from src.dispatch.jobs import MoveMessage, ReportTrouble
from src.dispatch.ports import Ended, Outcome, Outgoing, Parts, Sender
from src.dispatch.recording import Submit, record
from src.errors import StoreUnreachable

SENDING_MAX: Final = 32
"""So many messages of a tenant are sent at a time."""

HELD_MAX: Final = 2_000
"""So many that wait are held in memory; the others stay in the store until there is room."""

READ_MAX: Final = 500
READ_AGAIN_S: Final = 1.0

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 60.0
"""Between two attempts: twice as long each time."""

GIVE_UP_MS: Final = 3_600_000
"""A message that could not be sent for so long has failed: what it says is no longer what the customer waits for."""

GIVEN_UP: Final = "channel_unreachable"
FAULT: Final = "internal"

_Line = tuple[str, str, str]
"""Channel, account, customer."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Account:
    """One that must not be asked before a time (monotonic seconds)."""

    until: float = 0.0


@dataclass(slots=True)
class _Held:
    """What has been read and not ended, line by line, and the task of each line."""

    lines: dict[_Line, deque[Outgoing | Ended]] = field(default_factory=dict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    count: int = 0


class Outbox:
    """The sending of one tenant's messages, for as long as `run` does. `submit` is the way into the tenant's loop."""

    def __init__(self, tenant: str, parts: Parts, sender: Sender, submit: Submit) -> None:
        self._tenant = tenant
        self._parts = parts
        self._sender = sender
        self._submit = submit
        self._woken = asyncio.Event()
        self._ended: deque[Ended] = deque(maxlen=HELD_MAX)
        self._room = asyncio.Semaphore(SENDING_MAX)
        self._held = _Held()
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._place = 0
        self._resting = asyncio.Event()

    def wake(self) -> None:
        """Something was queued."""
        self._woken.set()

    def end(self, ended: Ended) -> None:
        """An agent is done with a contact: once its messages are sent, its session is over."""
        self._ended.append(ended)
        self._woken.set()

    def waiting(self) -> tuple[int, int | None]:
        """How many messages are held that have not been sent, and when the oldest was queued (milliseconds)."""
        held = [each for line in self._held.lines.values() for each in line if isinstance(each, Outgoing)]
        return len(held), min((each.fact.queued_at for each in held), default=None)

    async def rest(self, wait_s: float) -> None:
        """Begin nothing more, and wait for what is being sent; then it need not be sent again by somebody else."""
        self._resting.set()
        if self._held.tasks:
            await asyncio.wait(list(self._held.tasks), timeout=wait_s)

    async def run(self) -> None:
        """Send what waits, and what comes; until cancelled."""
        doubted = False
        try:
            while True:
                self._woken.clear()
                try:
                    await self._read()
                    if not doubted:
                        metrics.IN_DOUBT.labels("outgoing").inc(self.waiting()[0])
                        doubted = True
                except StoreUnreachable as error:
                    _log.warning("outbox.store_unreachable", tenant=self._tenant, error=str(error))
                    await asyncio.sleep(READ_AGAIN_S)
                    continue
                while self._ended:
                    ended = self._ended.popleft()
                    self._take((ended.channel, ended.account, ended.customer_id), ended)
                await self._woken.wait()
        finally:
            for task in self._held.tasks:
                task.cancel()

    async def _read(self) -> None:
        held = self._held
        while held.count < HELD_MAX and not self._resting.is_set():
            page = await self._parts.store.outgoing(self._tenant, self._place, READ_MAX, native=True)
            for each in page:
                self._place = each.fact.place
                self._take((each.fact.channel, each.fact.account, each.message.customer_id), each)
            if len(page) < READ_MAX:
                return

    def _take(self, key: _Line, each: Outgoing | Ended) -> None:
        held = self._held
        held.count += 1
        line = held.lines.get(key)
        if line is not None:
            line.append(each)
            return
        held.lines[key] = deque([each])
        task = asyncio.create_task(self._send_line(key), name=f"outbox {self._tenant}")
        held.tasks.add(task)
        task.add_done_callback(held.tasks.discard)

    # -- one conversation ---------------------------------------------------------------------------------------

    async def _send_line(self, key: _Line) -> None:
        held = self._held
        line = held.lines[key]
        while line and not self._resting.is_set():
            each = line[0]
            if isinstance(each, Ended):
                await self._end_one(each)
            else:
                await self._send_one(each)
            line.popleft()
            held.count -= 1
            if held.count == HELD_MAX - 1:
                self._woken.set()  # there is room again
        del held.lines[key]

    async def _send_one(self, each: Outgoing) -> None:
        """Try until something has become of it, and write that down."""
        pause_s = PAUSE_S_MIN
        account = self._accounts.setdefault((each.fact.channel, each.fact.account), _Account())
        while not self._resting.is_set():
            await self._until(account.until)
            async with self._room:
                outcome = await self._attempt(each)
            if outcome.state is None and self._parts.clock.now_ms() - each.fact.queued_at >= GIVE_UP_MS:
                outcome = Outcome("failed", outcome.reason or GIVEN_UP)
            if outcome.trouble:
                await record(self._submit, ReportTrouble(each.fact.account, outcome.reason or FAULT), self._tenant)
            if outcome.state is not None:
                metrics.OUTBOX_S.observe(max(0, self._parts.clock.now_ms() - each.fact.queued_at) / 1000)
                await record(
                    self._submit,
                    MoveMessage(each.fact.contact_id, each.message.id, outcome.state, outcome.reason, outcome.receipt),
                    self._tenant,
                )
                return
            wait_s = max(pause_s, outcome.pause_s)
            until = self._parts.clock.monotonic() + wait_s
            if outcome.whole_account:
                account.until = max(account.until, until)
            _log.info(
                "message.tried",
                tenant=self._tenant,
                message_id=each.message.id,
                reason=outcome.reason,
                again_in_s=wait_s,
            )
            await self._until(until)
            pause_s = min(PAUSE_S_MAX, pause_s * 2)
            metrics.REPEATS.labels("outgoing").inc()

    async def _end_one(self, ended: Ended) -> None:
        if self._parts.lease_good():
            async with self._room:
                try:
                    await self._sender.end(self._tenant, ended)
                except Exception:  # noqa: BLE001  # whatever it is, the messages behind it must go out
                    _log.exception("session.failed", tenant=self._tenant, contact_id=ended.contact_id)

    async def _attempt(self, each: Outgoing) -> Outcome:
        if not self._parts.lease_good():
            return Outcome(None, "not_owner")  # another process may be sending it
        try:
            return await self._sender.send(self._tenant, each)
        except Exception:  # noqa: BLE001  # whatever it is, the messages behind it must go out
            _log.exception("message.failed", tenant=self._tenant, message_id=each.message.id)
            return Outcome("failed", FAULT)

    async def _until(self, at: float) -> None:
        """Wait until a time (monotonic seconds), or until there is nothing to wait for any more."""
        left_s = at - self._parts.clock.monotonic()
        if left_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._resting.wait()
