"""One connection to a telephone system, for as long as it lasts: joins its calls to the tenant's loop.

    telephone system ──frame──► Conversation ──► Switchboard ──job──► the tenant's loop, wherever it runs
                     ◄─frame──               ◄──             ◄─hint── committed events; what they concern is read anew

It may run in any process: what it hears of the tenant comes as to every subscriber, and only says which contacts to
look at; how they stand is read from the tables. Nothing in here has to survive: whoever has the next connection reads
the same, and asks the telephone system what stands.

A later connection of the account fences this one, by an event of the journal. A system that owes an answer for too long
is hung up on: it then dials anew, or its dial plan goes on without us.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog

from src.api.context import Services
from src.api.inflow import take
from src.api.sockets import GONE, until_first
from src.channels.base import Account, Conversation
from src.channels.voice import dial_of, phone_of, shown_to_customers, switchboard_of
from src.channels.voice.calls import CallCommand, CallEvent, Replaced, inbound_of
from src.channels.voice.switchboard import (
    Act,
    Answered,
    Arrived,
    Gone,
    Lost,
    NotAnswered,
    Over,
    PickedUp,
    Pressed,
    Wish,
    WishedLeg,
)
from src.delivery.hub import Subscriber
from src.dispatch import jobs
from src.dispatch.callnotes import OUT
from src.dispatch.inbound import InboundDigits, InboundHangup
from src.errors import Refused, StoreUnreachable, Unavailable
from src.router import commands
from src.router import events as ev
from src.router.entities import CONTACT_COLUMNS, Row
from src.router.journal import Event
from src.store.queries import CallRead

CHANNEL: Final = "voice"
BY: Final = "telephone"
"""Who does what a telephone does."""

BEAT_S: Final = 1.0
PING_S: Final = 15.0
PLACES_S: Final = 20.0
"""How often callers who wait hear their place, if it has changed."""

TURNED_AWAY: Final = frozenset({"overflowed", "cancelled", "abandoned"})
"""How contacts end whose callers may still be there: not with their agents. Who abandoned it by hanging up is gone."""

PLACES_MAX: Final = 200
ANSWER_MS_MAX: Final = 10_000
"""A system that owes an answer for so long is silent."""

FRAMES_MAX: Final = 1_000
"""Frames that wait to be worked off; beyond it the system has to wait with more."""

DIGITS_MAX: Final = 64
"""Keys that a caller presses within a beat are told as one; so many at most."""

REPORT_S_MAX: Final = 2.0

CLOSE_BAD_DATA: Final = 1007
CLOSE_SILENT: Final = 1011
CLOSE_RESTART: Final = 1012
CLOSE_TRY_AGAIN: Final = 1013
CLOSE_REPLACED: Final = 4002

_CHANNEL: Final = CONTACT_COLUMNS.index("channel")
_ACCOUNT: Final = CONTACT_COLUMNS.index("account")

_log = structlog.get_logger(__name__)


class Pipe(Protocol):
    """What carries the frames, whoever opened it. `receive` and `send` raise one of `GONE` when the peer is gone."""

    async def receive(self) -> str:
        """The next frame."""

    async def send(self, text: str) -> None:
        """Send a frame."""

    async def close(self, code: int, reason: str) -> None:
        """Close it, if it is still open."""


class _Heard(msgspec.Struct):
    """What matters here of an event that was told."""

    type: str
    contact_id: str | None = None
    data: dict[str, Any] = {}


class _OverError(Exception):
    """The line is to be closed, with a WebSocket close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


_read: Final = msgspec.json.Decoder(_Heard).decode


def wishes_of(read: CallRead, account: Account) -> Sequence[Wish]:
    """How a contact's calls are to be, as it stands: that of its caller, or the one in which we dial the customer.

    A caller who was promised a call back is let go, and dialled once an agent has the contact.
    """
    legs = tuple(WishedLeg(*leg[:4], phone_of(account, leg[4])) for leg in read.legs)
    dial = dial_of(account, read.dial)
    wishes = []
    if read.call_id is not None:
        state, asked = ("closed", ()) if read.call_back else (read.state, legs)
        reason = "callback" if read.call_back else read.outcome if read.outcome in TURNED_AWAY else ""
        wishes.append(Wish(read.contact_id, read.call_id, state, asked, read.number, reason=reason or ""))
    if dial is not None:
        shows = shown_to_customers(account)
        call_id = f"{OUT}{read.contact_id}"
        wishes.append(Wish(read.contact_id, call_id, read.state, legs, read.number, dial=dial, shows=shows))
    return wishes


async def dials(
    found: Services, tenant: str, account_name: str, external_id: str | None, identity: Mapping[str, Any] | None
) -> bool | None:
    """Whether a customer is dialled with whom an agent is to speak; None: the account is none of those here."""
    entry = await found.queries.account(account_name)
    if entry is None or entry[0] != tenant or entry[1].channel != CHANNEL or not entry[1].enabled:
        return None
    if external_id is not None or identity is None or identity["type"] != "phone":
        return False
    fact = entry[1]
    return dial_of(Account(tenant, fact.name, fact.channel, fact.settings, {}), identity["value"]) is not None


class Line:
    """One connection of an account; `run` returns when it is over."""

    def __init__(self, found: Services, account: Account, conversation: Conversation, pipe: Pipe) -> None:
        self._found, self._account, self._conversation, self._pipe = found, account, conversation, pipe
        self._session = found.new_id()
        self._latest = False
        self._board = switchboard_of(account)
        self._dirty: set[str] = set()
        self._digits: dict[str, str] = {}
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(FRAMES_MAX)
        self._subscriber = Subscriber(account.tenant, None, personal=False, wants=self._wants, by_contact=True)
        now_s = found.clock.monotonic()
        self._pinged_at, self._placed_at = now_s, now_s

    async def run(self) -> None:
        """Serve the line until either side ends it."""
        found, account = self._found, self._account
        found.hub.attach(self._subscriber)
        try:
            await self._begin()
            await until_first(self._receive, self._hear, self._beat, self._work)
            await self._report("line_lost")
        except GONE:
            await self._report("line_lost")
        except _OverError as over:
            _log.warning("line.closed", account=account.name, code=over.code, reason=over.reason)
            await self._pipe.close(over.code, over.reason)
        except (Unavailable, StoreUnreachable) as error:
            _log.warning("line.closed", account=account.name, reason=str(error))
            await self._pipe.close(CLOSE_TRY_AGAIN, Unavailable.code)
        except Refused as refusal:
            _log.warning("line.closed", account=account.name, reason=refusal.code)
            await self._pipe.close(CLOSE_BAD_DATA, refusal.code)
        finally:
            found.hub.detach(self._subscriber)

    async def _begin(self) -> None:
        """Take the account's line from whoever had it, and learn how its calls are to be."""
        found, account = self._found, self._account
        await found.hub.ready(account.tenant)
        await found.owner.submit(account.tenant, jobs.ConnectLine(account.name, self._session))
        await self._wish(await found.queries.calls(account.tenant, CHANNEL, account.name))
        await self._send(self._conversation.begin(found.clock.now_ms()))

    def _wants(self, event: Event, row: Row | None) -> bool:
        if event.type in (ev.CHANNEL_CONNECTED, "channel.updated", "channel.deleted"):
            return bool(event.data["name"] == self._account.name)
        return row is not None and row[_CHANNEL] == CHANNEL and row[_ACCOUNT] == self._account.name

    # -- what comes in ------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            await self._frames.put(await self._pipe.receive())

    async def _hear(self) -> None:
        """Note which contacts something happened to, and what ends the line."""
        subscriber = self._subscriber
        while subscriber.close_code is None:
            await subscriber.wait()
            while (frame := subscriber.pop()) is not None:
                self._heard(_read(frame[1]))
            if self._dirty and not self._frames.full():
                self._frames.put_nowait(None)
        raise _OverError(CLOSE_TRY_AGAIN, "too slow")

    def _heard(self, event: _Heard) -> None:
        if event.type == ev.CHANNEL_CONNECTED:
            mine = event.data["session"] == self._session
            if self._latest and not mine:
                raise _OverError(CLOSE_REPLACED, "another connection of this account")
            self._latest = self._latest or mine
        elif event.type.startswith("channel."):
            raise _OverError(CLOSE_RESTART, "the account was changed")
        elif event.contact_id is not None:
            self._dirty.add(event.contact_id)

    async def _beat(self) -> None:
        """Look after a system that is silent, and have the work look at the time."""
        while True:
            await asyncio.sleep(BEAT_S)
            waits_since = self._conversation.waits_since_ms
            if waits_since is not None and self._found.clock.now_ms() - waits_since > ANSWER_MS_MAX:
                await self._report("line_silent")
                raise _OverError(CLOSE_SILENT, "no answer")
            if not self._frames.full():
                self._frames.put_nowait(None)

    # -- the work -----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Frames in their order; behind each, the contacts that something happened to."""
        clock = self._found.clock
        while True:
            text = await self._frames.get()
            if text is not None:
                events, frames = self._conversation.take(text, clock.now_ms())
                await self._send(frames)
                for each in events:
                    await self._told(each)
            await self._look()
            if text is None:
                await self._on_time()

    async def _told(self, event: CallEvent) -> None:
        if isinstance(event, Replaced):
            raise _OverError(CLOSE_REPLACED, "another connection of this application")
        acts, does = self._board.told(event, self._found.clock.now_ms())
        await self._do(does)
        for each in acts:
            await self._act(each)

    async def _look(self) -> None:
        """Read how the contacts stand that something happened to."""
        dirty, self._dirty = self._dirty, set()
        if dirty:
            await self._wish(
                await self._found.queries.calls(self._account.tenant, CHANNEL, self._account.name, sorted(dirty))
            )

    async def _wish(self, found: Collection[CallRead]) -> None:
        for each in found:
            for wish in wishes_of(each, self._account):
                await self._do(self._board.wish(wish, self._found.clock.now_ms()))

    async def _on_time(self) -> None:
        for call_id in list(self._digits):
            await self._tell_digits(call_id)
        now_s = self._found.clock.monotonic()
        if now_s - self._pinged_at >= PING_S:
            self._pinged_at = now_s
            await self._send(self._conversation.ping(self._found.clock.now_ms()))
        if now_s - self._placed_at >= PLACES_S:
            self._placed_at = now_s
            waiting = self._board.waiting()[:PLACES_MAX]
            for contact_id, (position, _) in (await self._found.owner.outlook(self._account.tenant, waiting)).items():
                if position is not None:
                    await self._do(self._board.place(contact_id, position))

    async def _do(self, does: Sequence[CallCommand]) -> None:
        for each in does:
            await self._send(self._conversation.tell(each, self._found.clock.now_ms()))

    async def _send(self, frames: Sequence[str]) -> None:
        for each in frames:
            await self._pipe.send(each)

    # -- what the tenant's loop hears ---------------------------------------------------------------------------

    async def _act(self, act: Act) -> None:
        """Have it done. What is refused has been overtaken: how it stands is read, and the telephones follow."""
        account = self._account
        match act:
            case Arrived():
                inbound = inbound_of(act.call, account)
                assert inbound is not None
                taken = await take(self._found, account, [inbound])
                self._dirty.update(each.contact_id for each in taken if each.contact_id is not None)
            case Pressed():
                self._digits[act.call_id] = self._digits.get(act.call_id, "") + act.digit
                if len(self._digits[act.call_id]) == DIGITS_MAX:
                    await self._tell_digits(act.call_id)
            case Gone():
                await self._tell_digits(act.call_id)
                await take(self._found, account, [InboundHangup(CHANNEL, account.name, act.call_id, act.cause)])
            case PickedUp():
                await self._try(jobs.OnContact(act.contact_id, commands.AnswerCall(act.contact_id)))
            case Over():
                await self._try(jobs.EndCall(act.contact_id, act.cause, act.reached))
            case Answered():
                accept = commands.Accept(act.assignment_id, act.agent_id)
                await self._try(jobs.OnAssignment(act.assignment_id, accept))
            case NotAnswered(reason="busy"):
                decline = commands.Decline(act.assignment_id, act.agent_id, act.reason)
                await self._try(jobs.OnAssignment(act.assignment_id, decline))
            case NotAnswered():
                await self._try(jobs.OnAssignment(act.assignment_id, commands.Miss(act.assignment_id, act.agent_id)))
            case Lost():
                back = commands.TakeBack(act.contact_id, BY, act.reason, act.assignment_id)
                await self._try(jobs.OnContact(act.contact_id, back))

    async def _tell_digits(self, call_id: str) -> None:
        digits = self._digits.pop(call_id, None)
        if digits is not None:
            await take(self._found, self._account, [InboundDigits(CHANNEL, self._account.name, call_id, digits)])

    async def _try(self, job: jobs.OnAssignment | jobs.OnContact | jobs.EndCall) -> None:
        try:
            await self._found.owner.submit(self._account.tenant, job)
        except Unavailable:
            raise
        except Refused as refusal:
            _log.info("line.overtaken", account=self._account.name, code=refusal.code)

    async def _report(self, reason: str) -> None:
        """Tell supervisors, if that can be done at once: the line is over in any case."""
        with contextlib.suppress(Refused, StoreUnreachable, TimeoutError):
            async with asyncio.timeout(REPORT_S_MAX):
                await self._found.owner.submit(self._account.tenant, jobs.ReportTrouble(self._account.name, reason))
