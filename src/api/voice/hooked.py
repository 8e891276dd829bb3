"""Telephone systems that keep no connection: the owner of a tenant keeps a line to the book of each, and gives orders.

    what systems post ──notes──► book ──► line ──orders──► book ──► given: polled for, posted, or asked of Twilio

An order is in the book before anything is done about it, and stays until its system has it: whoever owns the tenant
after a crash goes on with it. So a system may be given an order twice, with the same id.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from src.api.context import Services
from src.api.inflow import account_of
from src.api.voice.hooks import LOOK_AGAIN_S, TEMPORARY, shown
from src.api.voice.line import CHANNEL, Line
from src.api.voice.twilio import TwilioCalls
from src.channels.base import Account
from src.channels.voice import keeps_none, line_of
from src.channels.voice.hook_line import frame_of_note, frame_of_standing, order_of
from src.connectors.outward import Failed, Outward
from src.delivery.hub import encode
from src.dispatch import jobs, signatures
from src.dispatch.callnotes import OUT, CallNote, CallOrder, folded, left_note
from src.errors import NotFound, Refused, StoreUnreachable

ROUND_S: Final = 2.0
"""How often it is looked for accounts that are new, and for tenants that came or went."""

PAUSE_S_MIN: Final = 0.5
PAUSE_S_MAX: Final = 15.0
"""Between two attempts at the orders of a call: twice as long each time."""

CALL_S_MAX: Final = 10.0
SILENT_MS: Final = 10_000
"""A system that does not take an order for so long is silent."""

RING_MS_MAX: Final = 60_000
"""So long a system may take to be given the order to ring a telephone."""

RANG_MORE_MS: Final = 15_000
"""So long after the end of its ringing an agent's side may be without a word."""

SWEEP_S: Final = 5.0
LOOK_AFTER_S: Final = 60.0
"""How often Twilio is asked for calls that it has told nothing of."""

KEEP_MS: Final = 86_400_000
KEEP_UNDIALLED_MS: Final = 3_600_000
"""So long calls are kept in the book; shorter, those for which agents' telephones rang and no customer was dialled."""

CALLS_AT_ONCE: Final = 16
"""Calls of one account whose orders are given at a time."""

UNREACHABLE: Final = 3
NO_ANSWER: Final = 19
"""Q.850 causes, for agents' sides that never came to be."""

GONE: Final = 404
_OK: Final = range(200, 300)
_REFUSED: Final = range(400, 500)
_UNAUTHORIZED: Final = frozenset({401, 403})
_TOO_MANY: Final = 429

_Key = tuple[str, str]

_log = structlog.get_logger(__name__)


async def keep_hooked(found: Services, outward: Outward) -> None:
    """Keep a line to the book of each such system of the tenants that this process serves, and give its orders."""
    lines: dict[_Key, asyncio.Task[None]] = {}
    try:
        while True:
            try:
                accounts = await found.queries.accounts_of(CHANNEL)
            except (Refused, StoreUnreachable) as error:
                _log.warning("hooks.not_looked_for", error=str(error))
            else:
                wanted = {
                    (tenant, fact.name)
                    for tenant, fact in accounts
                    if keeps_none(fact.settings) and found.owner.serves(tenant)
                }
                for key in [each for each, line in lines.items() if each not in wanted or line.done()]:
                    lines.pop(key).cancel()  # one that is over may be wanted again: it was switched off, and on
                for key in wanted - lines.keys():
                    lines[key] = asyncio.create_task(_keep(found, outward, *key), name=f"hook {key[1]}")
            await asyncio.sleep(ROUND_S)
    finally:
        for task in lines.values():
            task.cancel()


async def _keep(found: Services, outward: Outward, tenant: str, name: str) -> None:
    """Serve one account, again and again: a line ends whenever its account is changed."""
    while found.owner.serves(tenant):  # else another process has it by now
        try:
            _, account = await account_of(found, CHANNEL, name)
            if account.tenant != tenant or not keeps_none(account.settings):
                return
            pipe, orders = _BookPipe(found, account), Orders(found, outward, account)
            async with asyncio.TaskGroup() as group:
                giving = group.create_task(orders.run())
                await Line(found, account, line_of(account), pipe).run()
                giving.cancel()
        except NotFound:
            return
        except (Refused, StoreUnreachable) as error:
            _log.warning("hook.interrupted", account=name, error=str(error))
        except Exception:  # noqa: BLE001  # whatever it is, the next line may be better
            _log.exception("hook.failed", account=name)
        await asyncio.sleep(PAUSE_S_MIN)


class _BookPipe:
    """The book of an account, as a line has it."""

    def __init__(self, found: Services, account: Account) -> None:
        self._found, self._tenant, self._account = found, account.tenant, account.name
        self._asks = account.settings["system"] == "twilio"  # it is noted where that is answered
        self._frames: list[str] = []
        self._begun = False

    async def receive(self) -> str:
        """What stands, then what happens."""
        book = self._found.call_book
        while not self._frames:
            seen = book.seen(self._tenant, self._account)
            notes = await book.take(self._tenant, self._account)
            if not self._begun:
                self._begun = True
                self._frames.append(await self._standing(notes))
            elif not notes:
                await book.changed(self._tenant, self._account, seen, LOOK_AGAIN_S)
            self._frames.extend(map(frame_of_note, notes))
        return self._frames.pop(0)

    async def _standing(self, untaken: Sequence[CallNote]) -> str:
        """What stands. What has become of customers whom we dial while nobody had the line is told behind it.

        Who hears whom stands at once: they are not to be bridged a second time.
        """
        book, key = self._found.call_book, (self._tenant, self._account)
        notes, orders = await book.standing(*key)
        dialled = {each.call_id for each in untaken if each.call_id.startswith(OUT)}
        if dialled:
            then = await book.standing(*key, sorted(dialled))
            news = {each.id for each in untaken if each.kind != "bridged"}
            notes = [each for each in notes if each.call_id not in dialled]
            notes.extend(each for each in then[0] if each.id not in news)
            orders = [*(each for each in orders if each.call_id not in dialled), *then[1]]
        return frame_of_standing(notes, orders)

    async def send(self, text: str) -> None:
        """Keep an order. A call in which we dial stands from the first one on."""
        order = replace(order_of(text), id=self._found.new_id())
        if order.kind == "ring" and order.call_id.startswith(OUT):
            coming = CallNote(f"{order.call_id} coming", order.call_id, "coming", order.at)
            await self._found.call_book.note(self._tenant, self._account, [coming])
        await self._found.call_book.order(self._tenant, self._account, order)
        if "reason" in order.data and not self._asks:
            await self._found.call_book.note(self._tenant, self._account, [left_note(order.call_id, order.at)])

    async def close(self, code: int, reason: str) -> None:
        """There is nothing to close."""


@dataclass(slots=True)
class _Call:
    """A call whose orders are being given, or were not taken: when its first was ordered (ms), when it is tried again.

    `task` is there while they are given; `again_at_s` is on the clock that only goes forward.
    """

    ordered_at: int
    task: asyncio.Task[None] | None = None
    again_at_s: float = 0.0
    pause_s: float = PAUSE_S_MIN


class Orders:
    """Gives an account's system its orders, in their order for each call, and looks after what it does not tell.

    No call waits for another: one whose orders are not taken, or not answered, is set aside until it is tried again.
    """

    def __init__(self, found: Services, outward: Outward, account: Account) -> None:
        self._found, self._outward, self._account = found, outward, account
        self._book, self._key = found.call_book, (account.tenant, account.name)
        is_twilio = account.settings.get("system") == "twilio"
        self._twilio = TwilioCalls(found, outward, account) if is_twilio else None
        self._polled = not is_twilio and "commands_url" not in account.settings
        self._calls: dict[str, _Call] = {}
        self._silent = False
        self._looked_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_after())
            while True:
                seen = self._book.seen(*self._key)
                try:
                    await self._once(group)
                except (Refused, StoreUnreachable) as error:
                    _log.warning("orders.interrupted", account=self._account.name, error=str(error))
                    await asyncio.sleep(PAUSE_S_MIN)
                now_s = self._found.clock.monotonic()
                again_s = min(
                    (each.again_at_s - now_s for each in self._calls.values() if each.again_at_s > now_s),
                    default=LOOK_AGAIN_S,
                )
                await self._book.changed(*self._key, seen, min(LOOK_AGAIN_S, again_s))

    async def _once(self, group: asyncio.TaskGroup) -> None:
        now_s = self._found.clock.monotonic()
        aside = [call_id for call_id, each in self._calls.items() if each.task or each.again_at_s > now_s]
        by_call = defaultdict(list)
        for order in await self._in_time(await self._book.due(*self._key, aside)):
            by_call[order.call_id].append(order)
        for call_id in self._calls.keys() - {*aside, *by_call}:  # nothing is to be done about it any more
            del self._calls[call_id]
        if self._polled or not self._found.owner.serves(self._account.tenant):
            return
        free = CALLS_AT_ONCE - sum(each.task is not None for each in self._calls.values())
        for call_id in list(by_call)[:free]:
            call = self._calls.setdefault(call_id, _Call(by_call[call_id][0].at))
            call.task = group.create_task(self._give_all(call_id, call, by_call[call_id]))

    async def _in_time(self, orders: Sequence[CallOrder]) -> Sequence[CallOrder]:
        """Tell of a system that takes no orders; leave out telephones that it is too late to ring."""
        now_ms = self._found.clock.now_ms()
        oldest = min(
            [*(each.at for each in orders[:1]), *(each.ordered_at for each in self._calls.values())], default=now_ms
        )
        silent = now_ms - oldest > SILENT_MS
        if silent and not self._silent:
            await self._report("line_silent")
        self._silent = silent
        late = [each for each in orders if each.kind in ("ring", "dial") and now_ms - each.at > RING_MS_MAX]
        for each in late:
            await self._failed(each, TEMPORARY)
            await self._book.done(*self._key, [each.id])
        return [each for each in orders if each not in late]

    async def _give_all(self, call_id: str, call: _Call, orders: Sequence[CallOrder]) -> None:
        """Give the orders of one call until one is not taken; the others wait behind it."""
        try:
            for each in orders:
                call.ordered_at = each.at
                if not await self._give(each):
                    break
                await self._book.done(*self._key, [each.id])
            else:
                del self._calls[call_id]
        except (Refused, StoreUnreachable) as error:
            _log.warning("orders.interrupted", account=self._account.name, error=str(error))
        call.task = None
        call.again_at_s = self._found.clock.monotonic() + call.pause_s
        call.pause_s = min(PAUSE_S_MAX, call.pause_s * 2)
        self._book.woken(*self._key)  # there may be more for this call, or room for others

    async def _give(self, order: CallOrder) -> bool:
        """Try once; whether nothing more is to be done about it."""
        try:
            async with asyncio.timeout(CALL_S_MAX):
                status = await (self._post(order) if self._twilio is None else self._ask_twilio(self._twilio, order))
                return await self._judged(order, status)
        except (Failed, TimeoutError) as error:
            _log.info("order.not_given", account=self._account.name, order=order.id, error=type(error).__name__)
            return False

    async def _post(self, order: CallOrder) -> int:
        account = self._account
        given = await shown(self._found, account, [order])
        if not given:
            return GONE
        body = encode(given[0])
        at_s = self._found.clock.now_ms() // 1000
        headers = signatures.headers(order.id, at_s, body, [account.secrets["secret"]])
        status, _ = await self._outward.post(str(account.settings["commands_url"]), body, headers)
        return status

    async def _ask_twilio(self, calls: TwilioCalls, order: CallOrder) -> int:
        if order.kind != "dial":
            return await calls.give(order)
        given = await shown(self._found, self._account, [order])
        return await calls.dial(order, str(given[0]["phone"])) if given else GONE

    async def _judged(self, order: CallOrder, status: int) -> bool:
        """What an answer means: taken, refused for good, or to be tried again."""
        if status in _OK:
            return True
        if status not in _REFUSED or status == _TOO_MANY:
            return False
        if status in _UNAUTHORIZED:
            await self._report("bad_credential")
        await self._failed(order, UNREACHABLE)
        return True

    async def _failed(self, order: CallOrder, cause: int) -> None:
        """An order was refused: where it was to bring somebody to the telephone, nobody is there."""
        if order.kind == "dial":
            note = self._note(f"{order.id} failed", order.call_id, "ended")
            await self._book.note(*self._key, [replace(note, cause=cause)])
        if order.kind in ("ring", "bridge") and order.leg_id is not None:
            note = self._note(f"{order.id} failed", order.call_id, "agent_ended")
            await self._book.note(*self._key, [replace(note, leg_id=order.leg_id, cause=cause)])

    # -- what is not told ---------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            try:
                await self._sweep()
            except (Refused, StoreUnreachable) as error:
                _log.warning("orders.not_looked_after", account=self._account.name, error=str(error))
            await asyncio.sleep(SWEEP_S)

    async def _sweep(self) -> None:
        """A side that should have rung itself out, and of which nothing was heard, is gone."""
        now_s, now_ms = self._found.clock.monotonic(), self._found.clock.now_ms()
        calls = list(folded(*await self._book.standing(*self._key)).values())
        for call in calls:
            sides = [("agent_ended", each) for each in call.legs.items()]
            for kind, (leg_id, leg) in (*sides, ("ended", (None, call.customer))):
                if leg.rung_at is None or leg.answered or leg.ended or call.ended:
                    continue
                if now_ms - leg.rung_at - leg.rings_s * 1000 > RANG_MORE_MS:
                    note = self._note(f"{leg_id or call.id} silent", call.id, kind)
                    await self._book.note(*self._key, [replace(note, leg_id=leg_id, cause=NO_ANSWER)])
        if now_s - self._looked_at >= LOOK_AFTER_S:
            if self._twilio is not None:
                quiet = [each for each in calls if now_ms - each.heard_at > LOOK_AFTER_S * 1000]
                await self._twilio.look_after(calls if self._looked_at == float("-inf") else quiet)
            self._looked_at = now_s
            await self._book.forget(*self._key, now_ms - KEEP_MS, now_ms - KEEP_UNDIALLED_MS)

    def _note(self, note_id: str, call_id: str, kind: str) -> CallNote:
        return CallNote(note_id, call_id, kind, self._found.clock.now_ms())

    async def _report(self, reason: str) -> None:
        await self._found.owner.submit(self._account.tenant, jobs.ReportTrouble(self._account.name, reason))
