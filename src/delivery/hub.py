"""Who is told, within this process: subscribers by tenant, each with a bounded buffer. It never slows the loop.

Events come from the tenants' loops of this process, from other processes and from the journal, whichever is first; they
reach a subscriber once each, in the order of the journal. What an event is joined with is looked up at most once
for each commit, and an event is encoded once for all who hear of it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec
import structlog
from opentelemetry.trace import SpanKind

from src import metrics, tracing
from src.delivery import views
from src.dispatch import remarks
from src.dispatch.known import RECENT_S, Known, Wanted
from src.dispatch.ports import Clock, Store
from src.errors import StoreUnreachable, Unavailable
from src.profile.masking import masked
from src.router import events as ev
from src.router.entities import Row
from src.router.journal import Event
from src.router.model import Settings

BUFFER_FRAMES_MAX: Final = 5_000
"""Frames that wait for one subscriber; one that reads slower is closed and resumes."""

PENDING_COMMITS_MAX: Final = 2_000
"""Commits that wait to be handed over; with more, those who listen are closed and resume from the journal."""

PUTS_AT_A_TIME: Final = 200
"""So many events are handed over before the sockets get their turn."""

RETRY_PAUSE_S: Final = 0.2

CLOSE_RESTART: Final = 1012
CLOSE_CREDENTIAL: Final = 4001
CLOSE_REPLACED: Final = 4002
CLOSE_TOO_SLOW: Final = 4008

KEY_CHANGES: Final = frozenset({"key.updated", "key.deleted"})
"""A key was rotated or revoked: who has it says hello anew, if that is still good."""

_SETTINGS_CHANGED: Final = "settings.updated"
TOKEN_TRUST: Final = "token_trust"  # noqa: S105  # a name, no secret
"""Its change makes whoever came with a token show it anew."""

SIGNALS_MAX: Final = 20
"""Signals that wait for one subscriber; with more, the oldest are forgotten."""

Elsewhere = Callable[[str, str], Mapping[str, Any]]
"""What other systems are known to know, now, of a tenant's customer. It must not wait."""

Customs = Callable[[str], Awaitable[Settings]]
"""A tenant's settings: they say who sees no numbers."""

Announce = Callable[[str, Sequence[Event]], None]
"""Tells the other processes of a tenant's events. It must not wait, and may lose some."""


class Signal(msgspec.Struct, frozen=True):
    """What is worth telling at once and not worth keeping: one side of a conversation is typing, or has stopped.

    `sender` is `customer` or `agent`. A customer's goes to `agent_id`, an agent's to whoever follows the contact.
    """

    contact_id: str
    sender: str
    agent_id: str | None = None
    typing: bool = True


_log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Subscriber:
    """One stream of events: an agent's, or one contact's; with neither, all in the tenant that `wants` lets through.

    It collects from the moment it is attached; `start` drops what the subscriber knows already and opens it.
    `wants` is asked with the event and the row of its contact, which is only there where `by_contact` asks for it.
    `personal`: what is known of contact and customer may be joined. `credential` is the id of the key or agent, `role`
    the agent's: some see no numbers.
    `session` is the socket's name, and `connected_seq` the number at which it took the agent's lease: of several
    sockets of one agent, the later one keeps it.
    """

    tenant: str
    agent_id: str | None
    credential: str = ""
    personal: bool = True
    wants: Callable[[Event, Row | None], bool] = field(default=lambda _event, _row: True)
    by_contact: bool = False
    session: str | None = None
    connected_seq: int | None = None
    contact_id: str | None = None
    role: str | None = None
    close_code: int | None = None
    prev: int = 0
    _frames: deque[tuple[int, bytes]] = field(default_factory=deque)
    _signals: deque[Signal] = field(default_factory=lambda: deque(maxlen=SIGNALS_MAX))
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _alarm: asyncio.TimerHandle | None = None
    _floor: int = 0

    def hears(self, event: Event, row: Row | None) -> bool:
        """Whether the event is for this subscriber."""
        return (event.agent_id == self.agent_id if self.agent_id is not None else True) and self.wants(event, row)

    def start(self, seq: int) -> None:
        """The subscriber knows everything up to `seq`: tell it what follows."""
        self._floor = self.prev = seq
        while self._frames and self._frames[0][0] <= seq:
            self._frames.popleft()

    def put(self, seq: int, encoded: bytes) -> None:
        """Hand over an encoded event."""
        if seq <= self._floor or self.close_code is not None:
            return
        if len(self._frames) >= BUFFER_FRAMES_MAX:
            self.close(CLOSE_TOO_SLOW)
            return
        self._frames.append((seq, encoded))
        self._ready.set()

    def nudge(self, signal: Signal | None = None) -> None:
        """Wake the socket's writer, for a signal or for something that it looks after itself."""
        if signal is not None:
            self._signals.append(signal)
        self._ready.set()

    def close(self, code: int) -> None:
        """Tell the socket's writer to close, with a WebSocket close code."""
        if code == CLOSE_TOO_SLOW and self.close_code is None:
            metrics.SLOW_CLOSED.inc()
        self.close_code = code
        self._ready.set()

    async def wait(self, patience_s: Callable[[], float] | None = None) -> bool:
        """Return when there is something to send, or the subscriber is to be closed; or when patience ends: true then.

        One timer runs at a time, whatever comes meanwhile: it is set again when it has rung.
        """
        if self._alarm is None and patience_s is not None:
            self._alarm = asyncio.get_running_loop().call_later(patience_s(), self._ring)
        await self._ready.wait()
        return patience_s is not None and self._alarm is None

    def wait_no_more(self) -> None:
        """The socket is gone."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _ring(self) -> None:
        self._alarm = None
        self._ready.set()

    async def heard(self) -> None:
        """Return when something was told since the last call; what it was is dropped. For those who then read anew."""
        await self._ready.wait()
        self._frames.clear()
        self._signals.clear()
        self._ready.clear()

    def take(self) -> str | None:
        """The next frame to send, chained to the one before by `prev`; None if there is none."""
        if self._signals:
            return _signal_frame(self._signals.popleft())
        found = self.pop()
        return None if found is None else self.frame(*found)

    def pop(self) -> tuple[int, bytes] | None:
        """The next event to tell, with its number; None if there is none."""
        if self._frames:
            return self._frames.popleft()
        self._ready.clear()
        if self.close_code is not None or self._signals:
            self._ready.set()
        return None

    def signals(self) -> Sequence[Signal]:
        """The signals that came since the last call."""
        found = tuple(self._signals)
        self._signals.clear()
        return found

    def frame(self, seq: int, encoded: bytes) -> str:
        """The frame of an event, chained to the one before."""
        prev, self.prev = self.prev, seq
        origin = tracing.origin(self.tenant, seq)
        if origin is None:
            return f'{{"type":"event","prev":{prev},"event":{encoded.decode()}}}'
        with tracing.span("stream.send", origin.traceparent, kind=SpanKind.PRODUCER, event=origin.event, seq=seq):
            told = f'"prev":{prev},"traceparent":"{tracing.current()}"'
        return f'{{"type":"event",{told},"event":{encoded.decode()}}}'

    def mark(self, seq: int) -> str | None:
        """A frame that says: nothing up to `seq` concerned you. None if that is no news, or something waits."""
        if self._frames or seq <= self.prev:
            return None
        self.prev = seq
        return f'{{"type":"mark","seq":{seq}}}'


@dataclass
class _Channel:
    """The subscribers of one tenant, and what waits to be handed to them.

    `leases`: of agents that have subscribers here, the number at which a lease was last told of, and whose it is.
    `settings` are kept until an event changes them.
    """

    everyone: dict[Subscriber, None] = field(default_factory=dict)
    by_agent: dict[str, dict[Subscriber, None]] = field(default_factory=dict)
    by_contact: dict[str, dict[Subscriber, None]] = field(default_factory=dict)
    pending: deque[tuple[Sequence[Event], Known]] = field(default_factory=deque)
    leases: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    published: int | None = None
    handed: int = 0
    settings: Settings | None = None
    pump: "asyncio.Task[None] | None" = None

    def hearers(self, event: Event, known: Known) -> list[Subscriber]:
        """Whom an event concerns."""
        row = known.contacts.get(event.contact_id or "")
        own = self.by_agent.get(event.agent_id, {}) if event.agent_id is not None else {}
        found = [each for each in (*self.everyone, *own) if each.hears(event, row)]
        if self.by_contact and event.contact_id is not None:
            found.extend(self.by_contact.get(event.contact_id, ()))
        return found

    def listens(self) -> bool:
        """Whether there is any subscriber."""
        return bool(self.everyone or self.by_agent or self.by_contact)

    def all(self) -> list[Subscriber]:
        """Every subscriber of the tenant."""
        groups = chain([self.everyone], self.by_agent.values(), self.by_contact.values())
        return list(chain.from_iterable(groups))


class Hub:
    """Delivery within the process."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        announce: Announce | None = None,
        announce_signal: Callable[[str, Signal], None] | None = None,
        elsewhere: Elsewhere | None = None,
        settings: Customs | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._announce = announce
        self._announce_signal = announce_signal
        self._elsewhere = elsewhere
        self._settings = settings
        self._tenants: dict[str, _Channel] = {}
        self._sessions: dict[str, Subscriber] = {}
        self._doubted: dict[str, None] = {}
        self._doubt = asyncio.Event()
        self.followed_changed = asyncio.Event()

    # -- the Delivery port --------------------------------------------------------------------------------------

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        """Tell of events that a loop of this process committed. A commit that only wrote facts has none."""
        if events:
            if self._announce is not None:
                self._announce(tenant, events)
            if not self.deliver(tenant, events, known):  # what was before is no longer kept: nobody can be told of it
                self.lost(tenant, events[0].seq - 1)
                self.deliver(tenant, events, known)

    def deliver(self, tenant: str, events: Sequence[Event], known: Known) -> bool:
        """Hand committed events to the subscribers, as far as they are news; false: some are missing before them.

        What it is that is missing stands in the journal, after `reached`.
        """
        channel = self._tenants.setdefault(tenant, _Channel())
        if channel.published is not None:
            if events[-1].seq <= channel.published:
                return True
            if events[0].seq > channel.published + 1:
                return False
            events = [each for each in events if each.seq > channel.published]
        channel.published = events[-1].seq
        self._obey(tenant, channel, events)
        if not channel.listens() and channel.pump is None:
            channel.handed, channel.published = channel.published, None  # nobody misses anything
            return True
        if len(channel.pending) >= PENDING_COMMITS_MAX:
            channel.pending.clear()
            channel.settings = None
            for each in channel.all():
                each.close(CLOSE_TOO_SLOW)
        channel.pending.append((events, known))
        if channel.pump is None:
            channel.pump = asyncio.create_task(self._pump(tenant, channel), name=f"deliver {tenant}")
        return True

    def lost(self, tenant: str, seq: int) -> None:
        """What was told does not lead up to this number, and the journal no longer does: desktops begin anew."""
        channel = self._tenants[tenant]
        for each in channel.all():
            each.close(CLOSE_TOO_SLOW)
        channel.pending.clear()
        channel.settings = None
        channel.published = channel.handed = seq

    def _obey(self, tenant: str, channel: _Channel, events: Sequence[Event]) -> None:
        """Close the sockets that an event ends: a later one took the agent's lease, or its key was revoked."""
        for event in events:
            if event.type == ev.AGENT_PRESENCE:
                same = channel.by_agent.get(event.agent_id or "", ())
                if same:
                    channel.leases[event.agent_id or ""] = (event.seq, event.data["session"])
                for each in same:
                    self._lease_told(each, event.seq, event.data["session"])
            elif event.type in KEY_CHANGES:
                self.close_credential(tenant, event.data["name"], CLOSE_CREDENTIAL)
            elif event.type == _SETTINGS_CHANGED and event.data["name"] == TOKEN_TRUST:
                for each in channel.all():
                    each.close(CLOSE_RESTART)

    def _lease_told(self, subscriber: Subscriber, seq: int, session: str | None) -> None:
        """An agent's lease is another socket's now, or nobody's: then this one was taken for dead, and is not."""
        taken_at = subscriber.connected_seq
        if taken_at is None or taken_at >= seq or subscriber.session in (None, session):
            return
        if session is None:
            self._taken_for_dead(subscriber.session)
        else:
            subscriber.close(CLOSE_REPLACED)

    def reached(self, tenant: str) -> int | None:
        """The number of the last event that was published."""
        channel = self._tenants.get(tenant)
        return None if channel is None else channel.published

    # -- subscribers --------------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber) -> None:
        """From now on, collect what the subscriber is to hear. Wait for `ready` before looking at what was before."""
        channel = self._tenants.setdefault(subscriber.tenant, _Channel())
        if subscriber.contact_id is not None:
            channel.by_contact.setdefault(subscriber.contact_id, {})[subscriber] = None
        elif subscriber.agent_id is None:
            channel.everyone[subscriber] = None
        else:
            channel.by_agent.setdefault(subscriber.agent_id, {})[subscriber] = None
        self.followed_changed.set()

    async def ready(self, tenant: str) -> None:
        """Know from which number on what is told is news, where no loop of this process has told anything yet.

        Raises:
            StoreUnreachable: it could not be found out.
        """
        channel = self._tenants[tenant]
        if channel.published is None:
            seq = (await self._store.heads([tenant])).get(tenant, 0)
            if channel.published is None:
                channel.published = channel.handed = seq

    def connected(self, subscriber: Subscriber, seq: int) -> None:
        """The subscriber's socket took its agent's lease at this number; what was told since is looked at now."""
        subscriber.connected_seq = seq
        told = self._tenants[subscriber.tenant].leases.get(subscriber.agent_id or "")
        if told is not None:
            self._lease_told(subscriber, *told)

    def counted(self) -> tuple[int, int]:
        """How many streams are open: agents' own, and others."""
        return len(self._sessions), sum(len(each.everyone) for each in self._tenants.values())

    def followed(self) -> Sequence[str]:
        """The tenants that have subscribers here."""
        return [tenant for tenant, channel in self._tenants.items() if channel.listens()]

    def detach(self, subscriber: Subscriber) -> None:
        """Forget the subscriber."""
        channel = self._tenants[subscriber.tenant]
        channel.everyone.pop(subscriber, None)
        if subscriber.contact_id is not None:
            followers = channel.by_contact.get(subscriber.contact_id, {})
            followers.pop(subscriber, None)
            if not followers:
                channel.by_contact.pop(subscriber.contact_id, None)
        elif subscriber.agent_id is not None:
            same = channel.by_agent.get(subscriber.agent_id, {})
            same.pop(subscriber, None)
            if not same:
                channel.by_agent.pop(subscriber.agent_id, None)
                channel.leases.pop(subscriber.agent_id, None)
        if not channel.listens():
            channel.published = None  # nobody misses anything: whoever comes next begins anew
            channel.settings = None  # their change is not heard of any more
            self.followed_changed.set()

    def settings(self, tenant: str) -> Settings | None:
        """The tenant's settings as its events are shown by here; None: they are not at hand."""
        channel = self._tenants.get(tenant)
        return None if channel is None else channel.settings

    def close_credential(self, tenant: str, credential: str, code: int) -> None:
        """Close every stream that was opened with a credential."""
        channel = self._tenants.get(tenant)
        for subscriber in [] if channel is None else channel.all():
            if subscriber.credential == credential:
                subscriber.close(code)

    def signal(self, tenant: str, signal: Signal) -> None:
        """Pass a signal on, here and to the other processes. Nobody is told whether it arrives."""
        self.signalled(tenant, signal)
        if self._announce_signal is not None:
            self._announce_signal(tenant, signal)

    def signalled(self, tenant: str, signal: Signal) -> None:
        """Hand a signal to those whom it concerns, as far as they are here."""
        channel = self._tenants.get(tenant)
        if channel is None:
            return
        if signal.sender == "customer":
            found = channel.by_agent.get(signal.agent_id or "", {})
        else:
            found = channel.by_contact.get(signal.contact_id, {})
        for each in found:
            each.nudge(signal)

    def handed(self, tenant: str) -> int:
        """Everything up to this number has been handed to the subscribers that it concerns."""
        return self._tenants[tenant].handed

    def session_opened(self, session: str, subscriber: Subscriber) -> None:
        """A socket of this process holds an agent's lease."""
        self._sessions[session] = subscriber

    def session_closed(self, session: str) -> None:
        """It no longer does."""
        self._sessions.pop(session, None)
        self._doubted.pop(session, None)

    def holds(self, session: str) -> bool:
        """Whether this process still vouches for it."""
        return session in self._sessions

    def live_sessions(self) -> frozenset[str]:
        """The sessions that this process vouches for."""
        return frozenset(self._sessions)

    def _taken_for_dead(self, session: str) -> None:
        """Somebody is to vouch for this socket."""
        if session in self._sessions:
            self._doubted[session] = None
            self._doubt.set()

    async def doubted(self) -> tuple[str, Subscriber]:
        """The next socket that was taken for dead and is not, as soon as there is one; it is handed out once."""
        while not self._doubted:
            self._doubt.clear()
            await self._doubt.wait()
        session = next(iter(self._doubted))
        del self._doubted[session]
        return session, self._sessions[session]

    # -- handing over -------------------------------------------------------------------------------------------

    async def _pump(self, tenant: str, channel: _Channel) -> None:
        try:
            while channel.pending:
                events, known = channel.pending.popleft()
                if any(each.by_contact for each in channel.everyone):
                    missing = {each.contact_id for each in events if each.contact_id} - known.contacts.keys()
                    await self._look_up(tenant, Wanted(contacts=missing), known)
                heard = [(each, hearers) for each in events if (hearers := channel.hearers(each, known))]
                await self.join(tenant, [each for each, _ in heard], known)
                if any(each.type == _SETTINGS_CHANGED for each in events):
                    channel.settings = None
                for number, (each, hearers) in enumerate(heard, 1):
                    if channel.settings is None:
                        channel.settings = await self._read_settings(tenant)
                    self._hand_over(tenant, each, known, hearers, channel.settings)
                    if number % PUTS_AT_A_TIME == 0:
                        await asyncio.sleep(0)
                channel.handed = max(channel.handed, events[-1].seq)
        except Exception:  # noqa: BLE001  # a gap must not go unseen: whoever listens resumes from the journal
            _log.exception("delivery.failed", tenant=tenant)
            for subscriber in channel.all():
                subscriber.close(CLOSE_TOO_SLOW)
        finally:
            channel.pump = None
            if not channel.listens():
                channel.published = channel.settings = None

    def _hand_over(
        self, tenant: str, event: Event, known: Known, hearers: Sequence[Subscriber], settings: Settings
    ) -> None:
        """Encode once for all who may see the same."""
        now = self._clock.now_ms()
        if hearers:
            metrics.DELIVERY_S.observe(max(0, now - event.at) / 1000)
        encoded: dict[tuple[bool, bool], bytes] = {}
        for subscriber in hearers:
            hidden = subscriber.role in settings.masked_for
            which = (subscriber.personal, hidden)
            if which not in encoded:
                shown = views.event(tenant, event, known, now, personal=subscriber.personal)
                encoded[which] = encode(masked(shown, settings.default_region) if hidden else shown)
            subscriber.put(event.seq, encoded[which])

    async def _read_settings(self, tenant: str) -> Settings:
        """A tenant's settings; waits until they can be read."""
        while self._settings is not None:
            try:
                return await self._settings(tenant)
            except (StoreUnreachable, Unavailable) as error:
                _log.warning("delivery.waits_for_store", tenant=tenant, error=str(error))
                await asyncio.sleep(RETRY_PAUSE_S)
        return Settings()

    async def join(self, tenant: str, events: Iterable[Event], known: Known) -> None:
        """Look up what the events are joined with and `known` lacks; waits until the store answers."""
        wanted, offered = Wanted(), set[str]()
        for each in events:
            wanted.remarks.update(named for named in remarks.ids_in(each.data) if named not in known.remarks)
            if each.type == ev.CONTACT_OFFERED and each.contact_id is not None and each.customer_id is not None:
                offered.add(each.customer_id)
                if each.contact_id not in known.facts or each.contact_id not in known.contacts:
                    wanted.contacts.add(each.contact_id)
                if each.customer_id not in known.customers or each.customer_id not in known.recent:
                    wanted.customers.add(each.customer_id)
                    wanted.recent(each.at - RECENT_S * 1000)
            elif each.type in ev.ALARMS and each.customer_id is not None:
                if each.customer_id not in known.customers:
                    wanted.customers.add(each.customer_id)
            elif each.type == ev.MESSAGE_QUEUED and each.contact_id is not None:
                if each.contact_id not in known.facts or each.contact_id not in known.contacts:
                    wanted.contacts.add(each.contact_id)
                if each.data["message_id"] not in known.messages:
                    wanted.messages.add(each.data["message_id"])
            elif each.type == ev.MESSAGE_RECEIVED and each.data["message_id"] not in known.messages:
                wanted.messages.add(each.data["message_id"])
        await self._look_up(tenant, wanted, known)
        if self._elsewhere is not None:
            found = {each: known.customers.get(each) for each in offered}
            whose = {(None if who is None else who.survivor_id) or each for each, who in found.items()}
            known.external = {each: self._elsewhere(tenant, each) for each in whose}

    async def _look_up(self, tenant: str, wanted: Wanted, known: Known) -> None:
        while wanted:
            try:
                found = await self._store.lookup(tenant, wanted)
            except StoreUnreachable as error:
                _log.warning("delivery.waits_for_store", tenant=tenant, error=str(error))
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                known.contacts = found.contacts | known.contacts
                known.facts = found.facts | known.facts
                known.customers = found.customers | known.customers
                known.families = found.families | known.families
                known.recent = found.recent | known.recent
                known.messages = found.messages | known.messages
                known.remarks = found.remarks | known.remarks
                return


def encode(value: object) -> bytes:
    """JSON, UTF-8, compact."""
    return _ENCODER.encode(value)


def _signal_frame(signal: Signal) -> str:
    return encode({"type": "typing", "contact_id": signal.contact_id, "typing": signal.typing}).decode()


_ENCODER: Final = msgspec.json.Encoder()
