"""The ports of the shell: what it needs of a store, of leases, of delivery and of time, and the values that cross them.

Nothing in here does anything. Each port has one contract suite that every implementation passes.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from src.dispatch.facts import (
    Answer,
    ConfigFact,
    CursorFact,
    DeliveryFact,
    Fact,
    MediaFact,
    MessageFact,
    OutgoingFact,
    WebhookCursor,
    WebhookFact,
)
from src.dispatch.known import Known, Wanted
from src.router.entities import Row
from src.router.journal import Event
from src.router.state import Changes


@dataclass(frozen=True, slots=True)
class Head:
    """The tenant's head row: the last number, the batch that wrote it, the time of its last event, the state's hash."""

    seq: int
    batch: str
    at: int
    state_hash: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one transaction writes. `before` is the head's number that it builds on: the fence."""

    tenant: str
    before: int
    head: Head
    events: Sequence[Event]
    changes: Changes
    traces: Sequence[tuple[str, int, Mapping[str, Any]]]
    facts: Sequence[Fact]
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an engine is made of: rows of what is open, of all agents, and all configuration."""

    head: Head
    contacts: Sequence[Row]
    assignments: Sequence[Row]
    agents: Sequence[Row]
    config: Sequence[ConfigFact]
    collaborations: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a tenant's journal adds up to at a number: what was before it may be dropped.

    `rows` are those of contacts, assignments, agents and collaborations, as an engine is loaded with them.
    """

    seq: int
    at: int
    state_hash: int
    rows: Sequence[Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that waits to be sent, and to whom: an identity and the channel's own id of the contact.

    These are None where they were erased. `fact.place` says where it stands in line.
    """

    fact: OutgoingFact
    message: MessageFact
    identity_type: str | None
    identity_value: str | None
    external_id: str | None


class Store(Protocol):
    """Where the truth is kept. Every method may raise `StoreUnreachable`."""

    async def head(self, tenant: str) -> Head:
        """The head row as committed. Raises `NotFound` for a tenant that is not there."""

    async def load(self, tenant: str) -> Loaded:
        """Everything an engine is made of, as of one moment."""

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        """One set-based read (a fixed number of round trips, whatever is wanted).

        Raises:
            StoreRejected: a key that no row could have.
        """

    async def commit(self, batch: Batch) -> None:
        """Write the batch, all of it or nothing.

        Raises:
            Fenced: the head is not at `batch.before`.
            StoreRejected: the data breaks a constraint or cannot be stored; nothing was written.
            StoreUnreachable: the connection was lost; `head().batch` tells whether it went through.
        """

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        """The journal after a number, in order; only one agent's, if asked."""

    async def outgoing(
        self, tenant: str, after: int, limit: int, *, native: bool, channel: str | None = None
    ) -> Sequence[Outgoing]:
        """Messages that wait to be sent, in the order of their places, after one of these; of one channel, if asked.

        `native`: by this service, else by a gateway.
        """

    async def wanted_media(self, tenant: str, after: str, limit: int) -> Sequence[MediaFact]:
        """Media that are still to be fetched, by id, after one of these."""

    async def wanted_cursors(self, tenant: str) -> Sequence[CursorFact]:
        """Accounts of channels that say that there is something to be asked for."""

    async def webhooks(self, tenant: str) -> Sequence[tuple[WebhookFact, WebhookCursor]]:
        """The tenant's webhooks by name, and how far each has come."""

    async def deliveries(self, tenant: str, webhook: str, state: str, after: int, limit: int) -> Sequence[DeliveryFact]:
        """What a webhook has not taken and is in this state, by number, after one of these."""

    async def checkpoint(self, tenant: str) -> Checkpoint | None:
        """The tenant's last checkpoint; None: its whole journal is kept."""

    async def dropped(self, tenant: str) -> int:
        """The number of the last event that is no longer kept in the journal; 0: all are."""

    async def heads(self, tenants: Sequence[str]) -> Mapping[str, int]:
        """The last number of each of these tenants' journals, as committed; those that are not there are left out."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the service. `address` (`http://host:port`) is where the others reach it; None: they do not.

    `version` is the newest journal that it can read. One that is `draining` is about to leave and gets nothing more.
    """

    id: str
    address: str | None = None
    draining: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class Survey:
    """Every process that lives, by id, and by tenant whose it is: perhaps that of a process which does not."""

    live: Mapping[str, Process]
    owners: Mapping[str, str | None]


class Leases(Protocol):
    """Who serves which tenant. It saves wasted work; the fence alone keeps what is written right."""

    async def renew(self, process: str, lease_s: float, address: str | None = None, version: int = 1) -> bool:
        """Say that the process lives, for so many seconds by the store's clock; true if its lease still ran."""

    async def drain(self, process: str) -> None:
        """Say that the process is about to leave."""

    async def claim(self, process: str, tenant: str) -> bool:
        """Take a tenant that nobody serves, or whose process has lapsed; true if it is (now) this process's."""

    async def hand(self, process: str, tenant: str, successor: str | None) -> bool:
        """Give a tenant to a process that lives and stays, or to nobody; true if it was this process's to give."""

    async def who_serves(self, tenant: str) -> Process | None:
        """The process that has the tenant, if it lives."""

    async def survey(self) -> Survey:
        """Every process that lives, and who has which tenant."""

    async def release(self, process: str) -> None:
        """Give up everything at once, so that the next process need not wait."""


class Delivery(Protocol):
    """Who is told. Called once for each commit, in the order of the journal, and never before the commit."""

    def publish(self, tenant: str, events: Sequence[Event], known: Known) -> None:
        """Tell of committed events. `known` holds what the commit had in hand, to spare a read; it may lack things."""

    def reached(self, tenant: str) -> int | None:
        """The number of the last event that was published; None where nobody has ever listened."""


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt to send. `state` None: it is to be tried again, after `pause_s` or longer.

    `reason` is a stable code. `whole_account`: the other conversations of the account wait for as long.
    `trouble`: somebody must see to the account.
    """

    state: Literal["sent", "delivered", "failed"] | None
    reason: str | None = None
    receipt: str | None = None
    pause_s: float = 0.0
    whole_account: bool = False
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an attempt to fetch media: `kept` with what it is, or `failed`; None: to be tried again.

    `trouble`: somebody has to see to the account first. `hold`: what holds the bytes until `Fetcher.let_go`.
    """

    state: Literal["kept", "failed"] | None
    reason: str | None = None
    hash: str | None = None
    media_type: str | None = None
    size: int = 0
    name: str | None = None
    pause_s: float = 0.0
    trouble: bool = False
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class PulledPage:
    """What an account gave: what customers sent, and messages of ours (with reasons) that did not arrive.

    None: it did not give it; to be tried again after `pause_s`, or (`trouble`) when somebody has seen to the account.
    """

    inbound: Sequence[Any] = ()
    failed: Sequence[tuple[str, str]] = ()
    cursor: str | None = None
    more: bool = False
    reason: str | None = None
    pause_s: float = 0.0
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of an attempt to deliver an event. `reason` None: it was taken.

    `pause_s` is how long the receiver asks to be left alone with this event. `whole`: it is not this event's fault, and
    nothing else would be taken now either. `gone`: the receiver wants nothing more, ever.
    """

    reason: str | None = None
    pause_s: float = 0.0
    whole: bool = False
    gone: bool = False


class Poster(Protocol):
    """The way to webhooks."""

    async def post(self, tenant: str, webhook: WebhookFact, event: Event) -> Delivered:
        """Try once."""


class Puller(Protocol):
    """The way to channels that are asked for what has happened."""

    async def pull(self, tenant: str, cursor: CursorFact) -> PulledPage:
        """Ask once."""


class Fetcher(Protocol):
    """The way to what customers sent and the channel keeps for a while."""

    async def fetch(self, tenant: str, media: MediaFact) -> Fetched:
        """Try once; what is in it is kept when this returns `kept`."""

    async def let_go(self, tenant: str, fetched: Fetched) -> None:
        """That it is kept is written down, or its customer was erased meanwhile: then what is in it goes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A contact with which an agent is done, and whose it was."""

    contact_id: str
    channel: str
    account: str
    customer_id: str


class Sender(Protocol):
    """The way out: how a message reaches the system that carries its channel."""

    async def send(self, tenant: str, outgoing: Outgoing) -> Outcome:
        """Try once. It raises nothing but what is a fault of ours; cut off, it may have sent or not."""

    @property
    def sessions(self) -> frozenset[str]:
        """The channels that have sessions, to be ended."""

    async def end(self, tenant: str, ended: Ended) -> None:
        """Tell the channel that nobody serves the customer any more, where it has sessions. Tried once."""

    async def sends(self, tenant: str, channel: str, account: str) -> bool:
        """Whether this service sends what goes out on an account; else the gateway does that posts its contacts.

        Raises:
            Unavailable: it cannot be told now.
        """


@dataclass(slots=True)
class Parts:
    """What every tenant's loop is handed. `lease_good` tells whether others count this process as alive."""

    store: Store
    delivery: Delivery
    clock: Clock
    new_id: Callable[[], str]
    lease_good: Callable[[], bool] = field(default=lambda: True)
    live_sessions: Callable[[], frozenset[str]] = field(default=frozenset)
    sender: Sender | None = None
    fetcher: Fetcher | None = None
    puller: Puller | None = None
    poster: Poster | None = None


Vouched = Callable[[Collection[str]], Awaitable[frozenset[str]]]
"""Says which of these sockets are there."""
