"""What a loop holds of its tenant in memory: the engine, and the head row up to which it knows the journal.

It equals what is stored, or is thrown away and made anew. What it decides is committed here, and only then told.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from src import metrics, tracing
from src.dispatch.clock import TenantTime
from src.dispatch.config import engine_config
from src.dispatch.known import Known, Wanted
from src.dispatch.ports import Batch, Ended, Head, Loaded, Parts, Vouched
from src.dispatch.turn import Turn
from src.errors import Fenced, NewerJournal, StoreUnreachable, Unavailable
from src.router import commands
from src.router import events as ev
from src.router.engine import Engine
from src.router.entities import ASSIGNMENT_COLUMNS, CONTACT_COLUMNS, Contact
from src.router.journal import VERSION, Event
from src.router.state import Changes, State

CHECKPOINT_EVENTS: Final = 10_000
"""So many events apart, the journal records the hash of the folded state."""

COMMIT_RETRY_S_MAX: Final = 10.0
"""A commit whose connection is lost is tried again for this long."""

RETRY_PAUSE_S: Final = 0.2

CATCH_UP_EVENTS: Final = 1_000
"""Events read at a time when some were committed but not told."""

ASIDE_MAX: Final = 10
"""So many contacts upon which the engine fails are set aside since the loop began: more are no fault of contacts."""

_ENDS: Final = frozenset({ev.ASSIGNMENT_WRAP_UP, ev.CONTACT_CLOSED})
_CHANNEL: Final = CONTACT_COLUMNS.index("channel")
_ENDS_AT: Final = ASSIGNMENT_COLUMNS.index("ends_at")

_log = structlog.get_logger(__name__)


class Memory:
    """The engine of one tenant. `engine` None: it has been thrown away, or was never loaded.

    `posted`, `sought` and `called` are called behind a commit of messages to be sent, media to be fetched, accounts to
    be asked; `ended` for each contact with which an agent is done on a channel that has sessions.

    `sending`: a commit is under way, and may go through whatever becomes of who waits for it.
    """

    def __init__(self, tenant: str, parts: Parts, vouched: Vouched | None = None) -> None:
        self.tenant = tenant
        self.engine: Engine | None = None
        self._parts = parts
        self._vouched = vouched
        self._time = TenantTime(parts.clock)
        self._leases: dict[str, int] | None = None
        self._floors: dict[str, int] = {}
        self._head: Head | None = None
        self._state = State()
        self.sending = False
        self.posted: Callable[[], None] | None = None
        self.sought: Callable[[], None] | None = None
        self.called: Callable[[], None] | None = None
        self.ended: Callable[[Ended], None] | None = None
        self.hooked: Callable[[], None] | None = None
        self.told: Callable[[Sequence[Event]], None] | None = None
        self._aside: dict[str, None] = {}
        self._aside_left = ASIDE_MAX

    def now_ms(self) -> int:
        """The tenant's time."""
        return self._time.now_ms()

    def due(self) -> bool:
        """Whether something is due now."""
        assert self.engine is not None
        due_at = self.engine.next_due()
        return due_at is not None and due_at <= self._time.now_ms()

    def sessions(self) -> Mapping[str, str]:
        """The sockets that hold agents' leases, and whose they are."""
        agents = () if self.engine is None else self.engine.state.agents.values()
        return {each.session: each.id for each in agents if each.session is not None}

    # -- loading ------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Make the engine of what is stored. There is none yet where it fails upon a contact: try again.

        Raises:
            StoreUnreachable: it may be half loaded.
            NewerJournal: a newer release has written to the journal.
        """
        loaded = await self._parts.store.load(self.tenant)
        _understand(await self._parts.store.events(self.tenant, max(0, loaded.head.seq - 1), 1))
        self._head = loaded.head
        self._time.not_before(loaded.head.at)
        await self._catch_up(loaded.head.seq)
        try:
            self.engine = self._make_engine(loaded)
            sessions = self.sessions()
            live = self._parts.live_sessions() if self._vouched is None else await self._vouched(sessions)
            turn = self.turn(Known())
            for each in self._aside:
                turn.decide(commands.SetAside(each))
            turn.decide(commands.Restart(frozenset(live & sessions.keys()), self._leases, self._floors))
        except StoreUnreachable:
            raise
        except Exception as error:
            self.engine = None
            if not await self.is_to_go_aside(error):
                raise
            return  # and is loaded again, without that contact
        await self.commit(turn)
        self._aside.clear()
        if self.told is not None:
            self.told(())  # of what a commit wrote whose connection was lost

    async def is_to_go_aside(self, error: BaseException | None) -> bool:
        """Whether a contact that is stored is to blame, which the next engine is to be loaded without."""
        found = self._state.at_hand
        if found is None or found in self._aside or not self._aside_left:
            return False
        known = await self._parts.store.lookup(self.tenant, Wanted(contacts={found}))
        if found not in known.contacts:
            return False
        self._aside[found] = None
        self._aside_left -= 1
        metrics.SET_ASIDE.inc()
        _log.error("contact.set_aside", tenant=self.tenant, contact_id=found, exc_info=error)
        return True

    def discard(self) -> None:
        """Throw the engine away; what is only in its memory and still good goes to the next."""
        if self.engine is not None:
            self._leases, self._floors = self.engine.leases(), self.engine.floors()
        self.engine = None

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
        self._state = state = State()
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

    def turn(self, known: Known) -> Turn:
        """A turn upon it, now."""
        assert self.engine is not None
        return Turn(self.engine, known, self._time.now_ms(), self._parts.new_id)

    # -- committing ---------------------------------------------------------------------------------------------

    async def commit(self, turn: Turn) -> bool:
        """Write what the turn holds, if anything; then, and only then, tell of it."""
        if not (turn.events or turn.facts or turn.answers):
            return False
        assert self.engine is not None
        assert self._head is not None
        await self._address(turn)
        before = self._head
        state = self.engine.state
        changes = state.drain()
        if state.seq // CHECKPOINT_EVENTS > before.seq // CHECKPOINT_EVENTS:
            turn.decide(commands.Checkpoint())
        head = Head(state.seq, self._parts.new_id(), state.at, state.hash)
        batch = Batch(self.tenant, before.seq, head, turn.events, changes, turn.traces, turn.facts, turn.answers)
        self.sending, began_s = True, self._parts.clock.monotonic()
        try:
            await self._send_traced(batch, turn.origins)
        except Exception:
            self.sending = False  # it is known what became of it, or told as unknown; a cancelled one is neither
            raise
        self.sending = False
        metrics.committed(turn.events, state, self._parts.clock.monotonic() - began_s)
        self._head = head
        turn.known.contacts.update((row[0], row) for row in changes.contacts)
        turn.known.collaborations.update((row[0], row) for row in changes.collaborations)
        self._parts.delivery.publish(self.tenant, turn.events, turn.known)
        if self.ended is not None:
            for ended in self._ended(turn, changes):
                self.ended(ended)
        if turn.posted and self.posted is not None:
            self.posted()
        if turn.sought and self.sought is not None:
            self.sought()
        if turn.called and self.called is not None:
            self.called()
        if turn.hooked and self.hooked is not None:
            self.hooked()
        if turn.events and self.told is not None:
            self.told(turn.events)
        return True

    async def _address(self, turn: Turn) -> None:
        """Find out who sends what queues have to say in this turn."""
        native: dict[tuple[str, str], bool] = {}
        for message, by in turn.said:
            way = (message.channel, message.account)
            if way not in native:
                sender = self._parts.sender
                try:
                    native[way] = sender is not None and await sender.sends(self.tenant, *way)
                except Unavailable as error:
                    raise StoreUnreachable("accounts cannot be looked up") from error
            turn.address(message, by, native=native[way])

    def _ended(self, turn: Turn, changes: Changes) -> Iterator[Ended]:
        """Contacts of channels that have sessions, with which an agent is done, unless the customer has come anew.

        An agent is done when wrap-up begins; what closes behind it has been told before.
        """
        sessions = frozenset[str]() if self._parts.sender is None else self._parts.sender.sessions
        wrapped = {row[0] for row in changes.assignments if row[_ENDS_AT] is not None} if sessions else frozenset()
        for event in turn.events if sessions else ():
            row = turn.known.contacts.get(event.contact_id or "") if event.type in _ENDS else None
            if row is None or row[_CHANNEL] not in sessions:
                continue
            contact = Contact.from_row(row)
            if event.type == ev.CONTACT_CLOSED and contact.assignment_id in wrapped:
                continue
            answered = contact.answered_at is not None
            if answered and turn.engine.state.thread(contact.channel, contact.account, contact.customer_id) is None:
                yield Ended(contact.id, contact.channel, contact.account, contact.customer_id)

    async def _send_traced(self, batch: Batch, origins: Mapping[int, str]) -> None:
        """Commit; of requests that share a commit, the first has the span, and it names the others."""
        if not origins:
            await self._send(batch)
            return
        first, *others = dict.fromkeys(origins.values())
        with tracing.span("commit", first, links=others[: tracing.LINKS_MAX], events=len(batch.events)):
            await self._send(batch)
        for each in batch.events:
            if each.seq in origins:
                tracing.keep(self.tenant, each.seq, tracing.Origin(origins[each.seq], each.type))

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

    async def knows_all(self) -> bool:
        """Whether the journal is as it was decided upon.

        A lease does not tell: one that had run out and was taken anew is good while another process serves the tenant,
        and a successor's does not keep a commit away that its predecessor had decided.
        """
        assert self._head is not None
        return (await self._parts.store.head(self.tenant)).seq == self._head.seq

    async def _went_through(self, batch: Batch) -> bool:
        return (await self._parts.store.head(self.tenant)).batch == batch.head.batch


def _understand(events: Sequence[Event]) -> None:
    """Refuse to serve a tenant whose journal a newer release has written: what it means is not known here."""
    for each in events:
        if each.type not in ev.KNOWN or each.version > VERSION:
            raise NewerJournal(f"the journal holds {each.type} of version {each.version}, written by a newer release")
