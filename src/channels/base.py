"""The Channel port: what a channel is to the rest of the service. It knows no channel, no database and no socket.

A channel is one module or package beside this file that defines `CHANNEL`. It is found, not listed: `discover` finds
it, the API mounts it below `/channels/{name}/{account}`, and nothing else in the source changes when one is added.

Channels open no connection. They are handed what came in and hand back what it means and what to answer; where they
send, they are handed a `Reach` that makes their calls. The shell moves the bytes. That keeps them testable byte by
byte, and one suite (`tests/contract/test_channels.py`) covers them all.

A channel implements `Channel` and whichever of the following its protocol needs:

- `Receives`: somebody posts to us (WeChat, WeCom, telephone webhooks, a Direct Line client).
- `Sends`: what an agent writes goes out to the customer.
- `Pulls`: the channel says only that there is something to be asked for.
- `Fetches`: what customers send is fetched from the channel and kept.
- `Types`, `Rations`: customers see that somebody types; only so much may be sent.
- `Converses`: somebody opens a WebSocket to us (Asterisk's outbound WebSocket).
- `Hosts`: customers come to us themselves, with what we serve to them (webchat: `api/webchat`).
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

from src.dispatch.callnotes import CallNote
from src.dispatch.inbound import Identity, Inbound


@dataclass(frozen=True, slots=True)
class Account:
    """One configured account of a channel: an Official Account, a telephone system, a website.

    `settings` are public, `secrets` are not: they never appear in an error, a log line or a `repr`.
    """

    tenant: str
    name: str
    channel: str
    settings: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """An HTTP request below a channel's address. `path` is what follows the account (empty, or `/twilio`).

    `query_string` is the query as it was sent, over which some sign. Header names are lower case. The body is at most
    1 MiB: the edge refuses larger ones.
    """

    method: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query_string: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. It is sent only after everything that came in has been committed."""

    body: bytes = b""
    media_type: str = "text/plain; charset=utf-8"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a request means, and its answer. `wanted`: there is something to be pulled, with this token.

    It is for the account of the same channel and tenant that has the settings `wanted_for`; where these are empty, for
    the one that was called. `notes` are what happened to calls of a telephone system that keeps no connection; `asked`
    is a question of such a system's, in the channel's words, whose answer goes in the place of `reply`.
    """

    reply: Reply
    inbound: Sequence[Inbound] = ()
    wanted: str | None = None
    wanted_for: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[CallNote] = ()
    asked: Any = None


@runtime_checkable
class Channel(Protocol):
    """What every channel has. `name` is the word in `/channels/{name}/…` and in a contact's `channel`."""

    name: ClassVar[str]

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """Look at an account's configuration before it is stored.

        Raises:
            Malformed: a setting or secret is missing, unknown or unusable; `field` names it.
        """


@runtime_checkable
class Receives(Channel, Protocol):
    """A channel whose system calls us by HTTP."""

    def receive(self, request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
        """Verify, decrypt, parse, normalise. `now_ms` is the present, in milliseconds since the epoch.

        Raises:
            Unauthenticated: a signature that does not fit, or one that is too old.
            Malformed: a body that is not what the protocol says.
            NotFound: no such path below the account.
        """


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message to a customer. `id` is ours, and the same however often it is tried.

    `kind`, `text` and `payload` are those of the API. `identity_type` and `identity_value` say who it is for;
    `contact_id` is our id of the conversation, `external_id` the channel's, where it gave one.
    """

    id: str
    kind: str
    text: str | None
    payload: Mapping[str, Any]
    identity_type: str
    identity_value: str
    contact_id: str
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The channel's system has the message, under its own id `receipt`. `delivered`: so has the customer's device."""

    receipt: str | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request of a channel. `url` must not hold what may not be logged: that goes into `query`."""

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    media_type: str = "application/json"
    answer_bytes_max: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, recording or file: what is in it, what its first bytes show it to be, and its name, if it has one."""

    body: bytes = field(repr=False)
    media_type: str = "application/octet-stream"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. Header names are lower case; the body is as large as `Reach.call` allowed at most."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetch(Protocol):
    """Asks a channel's system for an access token. `force`: a new one, though the last may not have run out."""

    async def __call__(self, *, force: bool) -> tuple[str, int]:
        """The token, and for how many seconds it holds."""


class Reach(Protocol):
    """What a channel may reach while it sends, for one account."""

    async def token(self, fetch: Fetch, *, stale: str | None = None) -> str:
        """The account's access token: kept, sealed, for all processes together, and renewed by one of them.

        `stale` is one that does not hold: the next one is given, fetched if nobody has done so.

        Raises:
            NotSent: what `fetch` raised.
        """

    async def call(self, call: Call) -> Answered:
        """Make an HTTP request; redirects are not followed.

        Raises:
            NotSent: the system could not be reached, or did not answer in time (`again`); its answer is larger than
                the call takes (`refused`).
        """

    async def media(self, media_id: str) -> Media:
        """What a message names by `media_id`.

        Raises:
            NotSent: it is not there (`refused`).
        """


@runtime_checkable
class Sends(Channel, Protocol):
    """A channel over which this service itself sends what goes out to customers."""

    async def send(self, message: Outbound, account: Account, reach: Reach) -> Sent:
        """Try once to send a message.

        Where the protocol has an idempotency of its own it is given `message.id`: after a crash the same message may be
        sent again.

        Raises:
            NotSent: it was not taken; its `fate` says what is to become of it.
        """


@runtime_checkable
class Ends(Channel, Protocol):
    """A channel that has sessions, and is told when one of them is over."""

    async def end(self, identity_value: str, account: Account, reach: Reach) -> None:
        """End the session with a customer whom nobody serves any more, and say what the account says then.

        Raises:
            NotSent: the channel did not do it.
        """


@dataclass(frozen=True, slots=True)
class Failed:
    """A message of ours, by our id, that had been taken and did not arrive."""

    message_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was pulled: what customers sent, what did not arrive, where to go on from, and whether there is more now."""

    inbound: Sequence[Inbound]
    failed: Sequence[Failed]
    cursor: str
    more: bool


@runtime_checkable
class Pulls(Channel, Protocol):
    """A channel that says only that there is something, and is asked for it."""

    async def pull(self, cursor: str | None, token: str | None, account: Account, reach: Reach, now_ms: int) -> Pulled:
        """Ask for what has happened since `cursor` (None: as far back as there is anything).

        Raises:
            NotSent: it was not given; its `fate` says whether it may be later.
        """


@runtime_checkable
class Fetches(Channel, Protocol):
    """A channel that keeps what customers send for a while, to be fetched."""

    async def fetch(self, source: str, account: Account, reach: Reach) -> Media:
        """Fetch what the channel knows as `source`. What it is, is looked at afterwards.

        Raises:
            NotSent: it was not given; its `fate` says whether it may be later.
        """


@runtime_checkable
class Types(Channel, Protocol):
    """A channel whose customers can be shown that somebody types."""

    async def typing(self, to: str, account: Account, reach: Reach, *, on: bool) -> None:
        """Show it to a customer, by the value of its identity, or stop.

        Raises:
            NotSent: it was not taken; it is not worth a second attempt.
        """


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said on an account by or to one customer.

    `state` is that of a message that goes out, `reason` why it failed.
    """

    at: int
    sender: str
    kind: str
    payload: Mapping[str, Any]
    state: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """So many `messages` may still be sent to a customer until a time (ms); `seconds` is how long that was at first."""

    messages: int
    until: int
    seconds: int


@runtime_checkable
class Rations(Channel, Protocol):
    """A channel that lets a company send only so much, and only for some time after the customer acted."""

    window_s: ClassVar[int]
    """For how many seconds at most something that the customer did counts."""

    def budget(self, said: Sequence[Said], now_ms: int) -> Budget:
        """What is left for a customer; `said` is what was said within `window_s`, oldest first."""


class Conversation(Protocol):
    """One open connection to a telephone system, without the socket: frames in, what happened and frames out.

    What happens and what can be done are those of `channels/voice/calls`. `waits_since_ms` is since when the system
    owes an answer, None where it owes none.
    """

    @property
    def waits_since_ms(self) -> int | None:
        """Since when an answer is owed, in ms since the epoch."""

    def begin(self, now_ms: int) -> Sequence[str]:
        """The first frames to send."""

    def ping(self, now_ms: int) -> Sequence[str]:
        """Frames that ask for a sign of life."""

    def take(self, text: str, now_ms: int) -> tuple[Sequence[Any], Sequence[str]]:
        """Take one text frame; give what happened and the frames to send.

        Raises:
            Malformed: the peer does not speak the protocol; the socket is closed.
        """

    def tell(self, command: Any, now_ms: int) -> Sequence[str]:  # noqa: ANN401  # a `CallCommand`
        """The frames that have something done."""


@runtime_checkable
class Converses(Channel, Protocol):
    """A channel whose system opens a WebSocket to us, and is told over it what to do with its calls."""

    def open(self, request: ChannelRequest, account: Account) -> tuple[Conversation, str | None]:
        """Authenticate a WebSocket before the upgrade; give the conversation and the subprotocol to answer with.

        Raises:
            Unauthenticated: no credential, or a bad one.
            NotFound: no WebSocket at that path.
        """


@runtime_checkable
class Hosts(Channel, Protocol):
    """A channel whose customers come to us themselves: the API speaks with them, and the channel says who they are."""

    def admit(self, claim: Any, account: Account, visitor_id: str, now_ms: int) -> Identity:  # noqa: ANN401
        """Who somebody is that comes: whom `claim` vouches for, or without one the stranger `visitor_id`.

        Raises:
            Unauthenticated: what vouches for somebody does not fit, or no longer.
            Malformed: nobody vouches, and somebody must.
        """


def discover(paths: Iterable[str], package: str) -> dict[str, Channel]:
    """Find every channel in a package: each module or package with a `CHANNEL`, by its name.

    `paths` and `package` are `src.channels.__path__` and `"src.channels"`.
    """
    found: dict[str, Channel] = {}
    for info in pkgutil.iter_modules(paths, prefix=f"{package}."):
        channel = _channel_of(importlib.import_module(info.name))
        if channel is not None:
            assert channel.name not in found, f"two channels call themselves {channel.name}"
            found[channel.name] = channel
    return found


def _channel_of(module: ModuleType) -> Channel | None:
    candidate = getattr(module, "CHANNEL", None)
    return candidate if isinstance(candidate, Channel) else None
