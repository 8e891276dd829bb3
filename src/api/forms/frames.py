"""What the service sends over its sockets: `/v1/stream`, and a visitor's `/channels/webchat/{account}/socket`.

Each is sent with its `type`: see `STREAM` and `VISITOR`.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from src.api.forms.answers import Collaboration, Held, Json, Problem
from src.api.forms.events import Event, Time

Number = Annotated[int, Meta(ge=0)]


# -- to desktops, supervisors and integrators --------------------------------------------------------------------------


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's desktop shows when it begins anew."""

    presence: Json
    load: int = 0
    assignments: list[Held] = []
    collaborations: list[Collaboration] = []


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The service's answer to hello. `seq` is where the journal stood.

    Where it is not `resumed`, events may have been missed: whoever keeps a state takes it from `snapshot` (agents) or
    reads it anew (all others).
    """

    session: str
    seq: Number
    now: Time
    resumed: bool
    heartbeat_s: int = 15
    snapshot: Snapshot | None = None


class EventFrame(msgspec.Struct, frozen=True, kw_only=True):
    """An event. `prev` is the number of the event or mark before it on this subscription: anything else is a gap.

    `traceparent` (W3C) is there where the service traces: what a desktop does upon the event goes on with that trace.
    """

    prev: Number
    traceparent: str | None = None
    event: Event


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing up to here concerned this subscriber: resume from here."""

    seq: Number


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the frame that bore this `ref`: `result` where it is `ok`, else `problem`."""

    ok: bool
    ref: str | None = None
    result: Json | None = None
    problem: Problem | None = None


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ping."""


class Typing(msgspec.Struct, frozen=True, kw_only=True):
    """The customer of a contact types, or has stopped; told at once and kept nowhere."""

    contact_id: str
    typing: bool


STREAM: Final[Mapping[str, type[msgspec.Struct]]] = {
    "welcome": Welcome,
    "event": EventFrame,
    "mark": Mark,
    "reply": Reply,
    "pong": Pong,
    "typing": Typing,
}
"""By the `type` of the frame."""


# -- to visitors -------------------------------------------------------------------------------------------------------


class WhoAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers."""

    name: str


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a visitor's conversation stands. `answered`: somebody answers, or did; `asks`: it is to be rated."""

    id: str
    state: Literal["waiting", "active", "parked", "ended"]
    agent: WhoAnswers | None
    position: int | None
    estimated_wait_s: float | None
    answered: bool
    left_message: bool
    rated: int | None
    asks: bool


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message as its visitor sees it. `client_id` is what the browser called it, of the visitor's own.

    `agent` is who wrote it, where an agent is known to have.
    """

    id: str
    client_id: str | None
    number: Number
    sender: Literal["visitor", "agent", "system"] = msgspec.field(name="from")
    agent: WhoAnswers | None
    kind: str
    text: str | None
    payload: Json
    at: Time


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """Where the conversation stands, and what was said since the browser's last number; `more` follows."""

    number: Number
    now: Time
    availability: Literal["open", "closed", "nobody"]
    conversation: Conversation | None
    messages: list[Said]
    more: bool


class VisitorWelcome(Stand, frozen=True, kw_only=True):
    """The answer to hello."""

    heartbeat_s: int


class ConversationFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The conversation stands otherwise now."""

    number: Number
    conversation: Conversation | None


class SaidFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody said something; also what the visitor said in another tab."""

    number: Number
    message: Said


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The visitor's message is on disk."""

    client_id: str
    id: str
    number: Number
    conversation_id: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be done; `id` is that of the frame. The socket goes on."""

    id: str | None
    problem: Problem


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    """The rating is kept."""

    id: str | None
    score: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How it was, as the visitor said over REST."""

    score: int


class AgentTypes(msgspec.Struct, frozen=True, kw_only=True):
    """The agent types, or has stopped."""

    typing: bool


VISITOR: Final[Mapping[str, type[msgspec.Struct]]] = {
    "welcome": VisitorWelcome,
    "snapshot": Stand,
    "conversation": ConversationFrame,
    "message": SaidFrame,
    "kept": Kept,
    "refused": Refused,
    "rated": Rated,
    "typing": AgentTypes,
    "pong": Pong,
}
"""By the `type` of the frame."""
