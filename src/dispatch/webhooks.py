"""A tenant's events on their way to its webhooks: posted by whoever owns the tenant, at least once and in order.

    journal ─► read behind the cursor ─► post ─► job ─► commit (cursor; what was not taken)

Each webhook has a cursor of its own in the journal. What is up to the cursor was taken, is not wanted, or is written
down as a delivery: pending, or dead. Cursor and deliveries are one commit, so a process that dies in between leaves
nothing out; what was posted since the last commit is posted again, under the same id.

Order is kept by key (contact, else agent, else customer): one line for each, one event after the other. An event that
is not taken holds back its own line only, is tried again over three days, and is then dead. Where nobody answers at
all, or the receiver asks to be left alone, the webhook as a whole waits: nothing is counted against its events.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from src import metrics
from src.dispatch.facts import DeliveryFact, WebhookCursor, WebhookFact
from src.dispatch.jobs import DisableWebhook, KeepDeliveries
from src.dispatch.ports import Delivered, Parts, Poster
from src.dispatch.recording import Submit, record
from src.errors import StoreUnreachable
from src.router.events import ALARMS
from src.router.journal import Event

POSTING_MAX: Final = 8
"""So many events are posted to one webhook at a time: a slow one takes no more from the others."""

HELD_MAX: Final = 2_000
"""So many that a webhook has not taken are held; beyond it the journal is not read on for it."""

READ_MAX: Final = 200
KEEP_S: Final = 0.5
"""How often it is written down how far a webhook has come: what a crash has posted twice."""

DELAYS_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Between attempts for one event, each lengthened by up to a tenth so that they spread."""

JITTER: Final = 0.1
GIVE_UP_MS: Final = 72 * 3_600_000

PAUSES_S: Final = (5, 10, 30, 60, 120, 300)
"""Between attempts where nobody answers."""

BAD_RUN: Final = 10
"""After so many failures in a row one that is taken shows that the receiver is back: what waits is tried at once."""

READ_AGAIN_S: Final = 1.0
DROPPED: Final = "event_dropped"
FAULT: Final = "internal"
ALL: Final = "*"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Item:
    """An event that is to be taken. `event` is None where it is written down: it is read again for each attempt."""

    seq: int
    key: str
    at: int
    event: Event | None
    attempts: int = 0
    since: int = 0
    due_at: int = 0
    reason: str | None = None


def wanted(webhook: WebhookFact, event: Event) -> bool:
    """Whether a webhook is to be told: by its types, and where it has `alarms`, of those of these names alone."""
    alarms = webhook.body.get("alarms")
    if alarms and event.type in ALARMS and event.data["name"] not in alarms:
        return False
    return is_of(webhook.body["types"], event)


def is_of(types: Sequence[str], event: Event) -> bool:
    """Whether an event is of one of these types, or of the part before a `*`; no types: all are."""
    return not types or any(
        event.type.startswith(each[:-1]) if each.endswith(ALL) else event.type == each for each in types
    )


class Webhooks:
    """The webhooks of one tenant, for as long as `run` does. `submit` is the way into the tenant's loop."""

    def __init__(self, tenant: str, parts: Parts, poster: Poster, submit: Submit) -> None:
        self._tenant = tenant
        self._parts = parts
        self._poster = poster
        self._submit = submit
        self._woken = asyncio.Event()
        self._couriers: dict[str, _Courier] = {}

    def wake(self) -> None:
        """The webhooks have changed, or something is to be tried again."""
        self._woken.set()

    def tell(self, events: Sequence[Event]) -> None:
        """These were committed; with none: there may be some that nobody was told of."""
        for each in self._couriers.values():
            each.tell(events)

    def waiting(self) -> tuple[int, int | None]:
        """How many deliveries are held, and the time of the oldest of them."""
        held = [item.at for each in self._couriers.values() for item in each.items.values()]
        return len(held), min(held, default=None)

    async def rest(self, wait_s: float) -> None:
        """Begin nothing more; wait for what is being posted, and write down how far it came."""
        if self._couriers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await asyncio.gather(*(each.rest() for each in self._couriers.values()))

    async def run(self) -> None:
        """Keep to what is configured; until cancelled."""
        try:
            while True:
                self._woken.clear()
                try:
                    found = await self._parts.store.webhooks(self._tenant)
                except StoreUnreachable as error:
                    _log.warning("webhooks.store_unreachable", tenant=self._tenant, error=str(error))
                    await asyncio.sleep(READ_AGAIN_S)
                    continue
                self._keep_to(found)
                await self._woken.wait()
        finally:
            for each in self._couriers.values():
                each.stop()

    def _keep_to(self, found: Sequence[tuple[WebhookFact, WebhookCursor]]) -> None:
        on = {fact.name: (fact, cursor) for fact, cursor in found if fact.body["enabled"]}
        for name, courier in list(self._couriers.items()):
            if name not in on or on[name][0].since != courier.webhook.since:
                self._couriers.pop(name).stop()
        for name, (fact, cursor) in on.items():
            if name in self._couriers:
                self._couriers[name].change(fact)
            else:
                courier = _Courier(self._tenant, self._parts, self._poster, self._submit, fact, cursor)
                self._couriers[name] = courier
                courier.start()


class _Courier:
    """One webhook's."""

    def __init__(  # what the tenant's have, and which it is
        self,
        tenant: str,
        parts: Parts,
        poster: Poster,
        submit: Submit,
        webhook: WebhookFact,
        cursor: WebhookCursor,
    ) -> None:
        self.webhook = webhook
        self.items: dict[int, _Item] = {}
        self._tenant = tenant
        self._parts = parts
        self._poster = poster
        self._submit = submit
        self._place = max(cursor.seq, webhook.since)
        self._doubting = True  # what is found at first may have been posted by whoever served the tenant before
        self._failing, self._failing_since = cursor.failing, cursor.failing_since
        self._fresh: dict[int, None] = {}
        self._lines: dict[str, deque[_Item]] = {}
        self._changes: dict[int, DeliveryFact] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._posting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(POSTING_MAX)
        self._woken, self._changed, self._stirred = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._paused_until = 0
        self._pauses = self._failures = 0
        self._resting = False

    def start(self) -> None:
        """Begin."""
        for run in (self._run, self._keep):
            task = asyncio.create_task(run(), name=f"webhook {self._tenant}")
            self._tasks.add(task)

    def stop(self) -> None:
        """End at once. What was posted and not written down is posted again by whoever comes next."""
        self._resting = True
        for each in (*self._tasks, *self._posting):
            each.cancel()

    def change(self, webhook: WebhookFact) -> None:
        """The webhook is now this: what waits is tried at once. Or something is to be replayed."""
        if webhook != self.webhook:
            self.webhook = webhook
            self._hurry()
        self._woken.set()

    def tell(self, events: Sequence[Event]) -> None:
        """See `Webhooks.tell`."""
        if events and events[0].seq == self._place + 1 and self._has_room():
            for each in events:
                self._take(each)
        else:
            self._woken.set()

    async def rest(self) -> None:
        """See `Webhooks.rest`."""
        self._resting = True
        self._stir()
        if self._posting:
            await asyncio.wait(list(self._posting))
        for seq in list(self._fresh):
            self._write(self.items[seq])  # or what was posted behind it would be posted again
        await self._write_down()

    # -- what is to be told -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._resume()
                await self._read()
                self._doubting = False
            except StoreUnreachable as error:
                _log.warning("webhooks.store_unreachable", tenant=self._tenant, error=str(error))
                await asyncio.sleep(READ_AGAIN_S)
                continue
            await self._woken.wait()

    async def _resume(self) -> None:
        """Take up what is written down as pending and not held."""
        after = self.webhook.since
        while True:
            page = await self._parts.store.deliveries(self._tenant, self.webhook.name, "pending", after, READ_MAX)
            for each in page:
                after = each.seq
                if each.seq not in self.items and each.seq not in self._changes:
                    item = _Item(each.seq, each.key, each.since, None, each.attempts, each.since, each.due_at)
                    self._add(item)
            if len(page) < READ_MAX:
                return

    async def _read(self) -> None:
        while self._has_room() and not self._resting:
            page = await self._parts.store.events(self._tenant, self._place, READ_MAX)
            if page and page[0].seq > self._place + 1:
                _log.warning("webhook.skipped", tenant=self._tenant, webhook=self.webhook.name, to=page[0].seq)
            for each in page:
                self._take(each)
            if len(page) < READ_MAX:
                return

    def _has_room(self) -> bool:
        return len(self.items) < HELD_MAX

    def _take(self, event: Event) -> None:
        if event.seq <= self._place:
            return  # told of, while it was being read
        self._place = event.seq
        if event.seq not in self.items and wanted(self.webhook, event):
            key = event.contact_id or event.agent_id or event.customer_id or ""
            self._fresh[event.seq] = None
            self._add(_Item(event.seq, key, event.at, event))
        self._changed.set()

    def _add(self, item: _Item) -> None:
        if self._doubting:
            metrics.IN_DOUBT.labels("webhook").inc()
        self.items[item.seq] = item
        line = self._lines.get(item.key)
        if line is None:
            self._lines[item.key] = deque([item])
            task = asyncio.create_task(self._serve(item.key), name=f"webhook {self._tenant}")
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)
            return
        line.append(item)
        if line[0].event is None:
            self._write(item)  # behind one that fails: the cursor need not wait for either

    # -- one line -----------------------------------------------------------------------------------------------

    async def _serve(self, key: str) -> None:
        line = self._lines[key]
        while line and not self._resting:
            if await self._due(line[0]):
                async with self._room:
                    if self._resting or self._parts.clock.now_ms() < self._paused_until:
                        continue
                    delivered = await self._attempt(line[0])
                if delivered is None:
                    again_at = self._parts.clock.now_ms() + int(READ_AGAIN_S * 1000)
                    self._paused_until = max(self._paused_until, again_at)
                else:
                    await self._became(line, delivered)
        if not line:
            del self._lines[key]

    async def _due(self, item: _Item) -> bool:
        """Wait until an item may be tried, or something has changed; whether it may."""
        wait_ms = max(item.due_at, self._paused_until) - self._parts.clock.now_ms()
        if wait_ms > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._stirred.wait()
            return False
        return True

    async def _attempt(self, item: _Item) -> Delivered | None:
        """Try once; None: it is this service that cannot now, which says nothing of the receiver."""
        if not self._parts.lease_good():
            return None
        try:
            event = item.event
            if event is None:
                found = await self._parts.store.events(self._tenant, item.seq - 1, 1)
                if not found or found[0].seq != item.seq:
                    return Delivered(DROPPED)
                event = found[0]
            if item.attempts:
                metrics.REPEATS.labels("webhook").inc()
            return await self._poster.post(self._tenant, self.webhook, event)
        except StoreUnreachable:
            return None
        except Exception:  # noqa: BLE001  # whatever it is, others must be told
            _log.exception("webhook.failed", tenant=self._tenant, webhook=self.webhook.name)
            return Delivered(FAULT)

    async def _became(self, line: deque[_Item], delivered: Delivered) -> None:
        item = line[0]
        if delivered.gone:
            self._resting = True
            await record(self._submit, DisableWebhook(self.webhook.name, "gone"), self._tenant)
        elif delivered.whole:
            await self._pause(delivered)
        elif delivered.reason is None:
            metrics.WEBHOOK_DELIVERIES.labels("ok").inc()
            metrics.WEBHOOK_S.observe(max(0, self._parts.clock.now_ms() - item.at) / 1000)
            self._answers()
            self._end(line, None)
        else:
            self._answers(failed=True)
            self._failed(line, item, delivered)

    def _answers(self, *, failed: bool = False) -> None:
        """Somebody is there; and where it takes something after a long run of failures, it is back."""
        self._pauses, self._failing, self._failing_since = 0, None, None
        if not failed and self._failures >= BAD_RUN:
            self._hurry()
        self._failures = self._failures + 1 if failed else 0

    def _failed(self, line: deque[_Item], item: _Item, delivered: Delivered) -> None:
        now = self._parts.clock.now_ms()
        item.attempts += 1
        item.reason = delivered.reason
        if item.attempts == 1:
            item.since = now
        dead = now - item.since >= GIVE_UP_MS or delivered.reason == DROPPED
        metrics.WEBHOOK_DELIVERIES.labels("dead" if dead else "failed").inc()
        if dead:
            self._end(line, self._fact(item, "dead"))
            return
        delay_s = max(DELAYS_S[min(item.attempts, len(DELAYS_S)) - 1], delivered.pause_s)
        item.due_at = now + int(delay_s * 1000 * (1 + random.random() * JITTER))  # noqa: S311
        for each in line:
            self._write(each)

    def _write(self, item: _Item) -> None:
        """Write an item down, so that the cursor may go on."""
        item.event = None
        self._fresh.pop(item.seq, None)
        self._changes[item.seq] = self._fact(item, "pending")
        self._changed.set()

    def _end(self, line: deque[_Item], dead: DeliveryFact | None) -> None:
        item = line.popleft()
        full = not self._has_room()
        del self.items[item.seq]
        if dead is not None:
            self._changes[item.seq] = dead
        elif item.event is None:
            self._changes[item.seq] = self._fact(item, "pending", done=True)
        self._fresh.pop(item.seq, None)
        self._changed.set()
        if full:
            self._woken.set()

    def _fact(self, item: _Item, state: Any, *, done: bool = False) -> DeliveryFact:  # noqa: ANN401  # one of two words
        now = self._parts.clock.now_ms()
        return DeliveryFact(
            webhook=self.webhook.name,
            seq=item.seq,
            key=item.key,
            state=state,
            attempts=item.attempts,
            since=item.since or now,
            at=now,
            due_at=item.due_at,
            reason=item.reason,
            done=done,
        )

    # -- the webhook as a whole ---------------------------------------------------------------------------------

    async def _pause(self, delivered: Delivered) -> None:
        """Nobody is there, or it asks to be left alone; what else is being posted finds the same, which counts once."""
        now = self._parts.clock.now_ms()
        if now < self._paused_until:
            return
        metrics.WEBHOOK_DELIVERIES.labels("unreachable").inc()
        pause_s = max(PAUSES_S[min(self._pauses, len(PAUSES_S) - 1)], delivered.pause_s)
        self._pauses += 1
        self._failing, self._failing_since = delivered.reason, self._failing_since or now
        self._paused_until = now + int(pause_s * 1000 * (1 + random.random() * JITTER))  # noqa: S311
        self._changed.set()
        if now - self._failing_since >= GIVE_UP_MS:
            self._resting = True
            await record(self._submit, DisableWebhook(self.webhook.name, "unreachable"), self._tenant)

    def _hurry(self) -> None:
        """Try at once what waits for its time."""
        self._paused_until = 0
        for each in self.items.values():
            each.due_at = 0
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = asyncio.Event()

    # -- what is written down -----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(KEEP_S)
            await self._write_down()

    async def _write_down(self) -> None:
        self._changed.clear()
        seq = next(iter(self._fresh), self._place + 1) - 1
        deliveries, self._changes = tuple(self._changes.values()), {}
        cursor = WebhookCursor(self.webhook.name, seq, self._failing, self._failing_since)
        await record(self._submit, KeepDeliveries(cursor, self.webhook.since, deliveries), self._tenant)
