"""What can be asked of the engine. Values only; `engine.py` answers them.

Every command is answered with the events that it caused, or refused with an error from `src.errors` and no event.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from src.router.model import AgentConfig, Presence, QueueConfig, RuleConfig, Settings, TagConfig, TagRequest


@dataclass(frozen=True, slots=True)
class Receive:
    """A new contact. `tags` None: found in `text`. `queue` None: the rules decide. `tier` is the customer's."""

    contact_id: str
    customer_id: str
    channel: str
    account: str = ""
    text: str | None = None
    tags: tuple[TagRequest, ...] | None = None
    language: str | None = None
    priority: int = 0
    queue: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A customer's message joined a contact that is open."""

    contact_id: str
    message_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Accept:
    """The agent takes the offer. `agent_id` None: a credential that may act for any agent."""

    assignment_id: str
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """The agent does not take the offer."""

    assignment_id: str
    agent_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """The agent is done with the customer; wrap-up follows where the queue asks for it."""

    assignment_id: str
    agent_id: str | None = None
    resolved: bool | None = None
    disposition: str | None = None


@dataclass(frozen=True, slots=True)
class FinishWrapUp:
    """After-contact work is over before its time."""

    assignment_id: str
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The customer gave up or hung up (`abandoned`), or somebody withdrew the contact (any other reason)."""

    contact_id: str
    reason: str = "abandoned"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand an active contact to an agent, a queue, or to whoever has other tags: exactly one of the three."""

    contact_id: str
    by: str
    to_agent_id: str | None = None
    to_queue: str | None = None
    to_tags: tuple[TagRequest, ...] | None = None
    agent_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reclassify:
    """Change what a waiting contact needs. None leaves a field as it is."""

    contact_id: str
    tags: tuple[TagRequest, ...] | None = None
    queue: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class SetPresence:
    """What the agent says of itself. `lease_s` counts only while no socket holds the agent's lease."""

    agent_id: str
    status: Presence
    reason: str | None = None
    lease_s: int = 3600


@dataclass(frozen=True, slots=True)
class Connect:
    """The agent's desktop opened a socket; `session` replaces any older one."""

    agent_id: str
    session: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The socket of that session is gone. Of an older session: nothing happens."""

    agent_id: str
    session: str


@dataclass(frozen=True, slots=True)
class Restart:
    """The engine was loaded: sockets that are not among `live` are gone.

    `leases` are those that the same process knew when it discarded its engine; None: another process had the tenant,
    so leases and grace periods start anew and offers live a little longer.
    """

    live: frozenset[str] = frozenset()
    leases: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: whatever is due happens, at most `items_max` of it."""

    items_max: int = 1000


@dataclass(frozen=True, slots=True)
class PutAgent:
    """Make or change an agent."""

    config: AgentConfig


@dataclass(frozen=True, slots=True)
class DeleteAgent:
    """Remove an agent that holds nothing."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class PutQueue:
    """Make or change a queue."""

    config: QueueConfig


@dataclass(frozen=True, slots=True)
class PutTag:
    """Make or change a tag."""

    config: TagConfig


@dataclass(frozen=True, slots=True)
class PutRule:
    """Make or change a classification rule."""

    config: RuleConfig


@dataclass(frozen=True, slots=True)
class PutSettings:
    """Replace the tenant's settings."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class DeleteNamed:
    """Remove a queue, tag or rule. `kind` is one of these words."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something outside routing changed that the journal names: `type` is the event's, `name` what changed."""

    type: str
    name: str
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Record the hash of the folded state, as it was last drained."""


Command = (
    Receive
    | Message
    | Accept
    | Decline
    | Complete
    | FinishWrapUp
    | Cancel
    | Transfer
    | Reclassify
    | SetPresence
    | Connect
    | Disconnect
    | Restart
    | Tick
    | PutAgent
    | DeleteAgent
    | PutQueue
    | PutTag
    | PutRule
    | PutSettings
    | DeleteNamed
    | Note
    | Checkpoint
)
