"""What can be asked of the engine. Values only; `engine.py` answers them.

Every command is answered with the events that it caused, or refused with an error from `src.errors` and no event.

`Accept` and `Complete`, of which nearly every contact takes one, have an `__init__` of their own: a dataclass's is not
compiled, and to make the two was 6 % of a decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from src.router.model import (
    NO_TERMS,
    AgentConfig,
    CollaborationKind,
    Deadline,
    Deadlines,
    DepartmentConfig,
    ParkReason,
    PilotConfig,
    Presence,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
    TagRequest,
    Terms,
)


@dataclass(frozen=True, slots=True)
class Receive:
    """A new contact. `tags` None: found in `text`. `queue` None: the rules decide.

    `tier`, `customer_attributes`, `dedicated_agent_id`, `last_agent_id` and `recent_tags` (those of its contacts within
    the tenant's repeat window) are what is known of the customer. `survivor_id` answers for it, where it was merged.
    `aside`: it is parked at once, for people to look at.

    `continues` is the customer's contact on another channel that this one goes on with, `responsible_id` who answers
    for that one: preferred before all others. `outbound`: that agent is to reach the customer, and need not fit;
    `urgent`: at any hour.
    """

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
    attributes: Mapping[str, Any] = field(default_factory=dict)
    customer_attributes: Mapping[str, Any] = field(default_factory=dict)
    dedicated_agent_id: str | None = None
    last_agent_id: str | None = None
    recent_tags: frozenset[str] = frozenset()
    terms: Terms = NO_TERMS
    aside: bool = False
    survivor_id: str | None = None
    continues: str | None = None
    responsible_id: str | None = None
    outbound: bool = False
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A customer's message joined a contact that is open."""

    contact_id: str
    message_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A message is to go out to the customer. `by` wrote it; `agent_id`: an agent, who must hold the contact."""

    contact_id: str
    message_id: str
    kind: str
    by: str
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class MoveMessage:
    """What became of a message that went out: `state` is `sent`, `delivered` or `failed`, with a `reason`.

    `before` is its state until now, `agent_id` who wrote it: it hears of it where nobody holds the contact any more.
    """

    contact_id: str
    message_id: str
    before: str
    state: Literal["sent", "delivered", "failed"]
    reason: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """The customer whom an agent reaches by telephone has picked up."""

    contact_id: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """The call of a contact is over; what becomes of the contact is not said. `cause` is Q.850, None if unknown."""

    contact_id: str
    cause: int | None


@dataclass(frozen=True, slots=True)
class MediaCame:
    """A picture, recording or file of a contact was fetched and kept, or cannot be had, with a `reason`."""

    contact_id: str
    media_id: str
    media_type: str | None = None
    size: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectLine:
    """A telephone system is connected; `session` takes the place of any older connection of the account."""

    account: str
    session: str


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """A channel account cannot send before somebody has seen to it."""

    account: str
    reason: str


@dataclass(init=False, slots=True)
class Accept:
    """The agent takes the offer. `agent_id` None: a credential that may act for any agent."""

    assignment_id: Final[str]
    agent_id: Final[str | None]

    def __init__(self, assignment_id: str, agent_id: str | None = None) -> None:
        self.assignment_id = assignment_id
        self.agent_id = agent_id


@dataclass(frozen=True, slots=True)
class Decline:
    """The agent does not take the offer."""

    assignment_id: str
    agent_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    """It is known before an offer's time has run out that nobody takes it: the agent's telephone is not answered."""

    assignment_id: str
    agent_id: str | None = None


@dataclass(init=False, slots=True)
class Complete:
    """The agent is done with the customer; wrap-up follows where the queue asks for it.

    In the wrap-up of a contact whose customer left, it is what the agent has to say of it. `fields` names what
    was given beside `resolved` and `disposition`: a queue may require some.
    """

    assignment_id: Final[str]
    agent_id: Final[str | None]
    resolved: Final[bool | None]
    disposition: Final[str | None]
    fields: Final[frozenset[str]]

    def __init__(
        self,
        assignment_id: str,
        agent_id: str | None = None,
        resolved: bool | None = None,
        disposition: str | None = None,
        fields: frozenset[str] = frozenset(),
    ) -> None:
        self.assignment_id = assignment_id
        self.agent_id = agent_id
        self.resolved = resolved
        self.disposition = disposition
        self.fields = fields


@dataclass(frozen=True, slots=True)
class FinishWrapUp:
    """After-contact work is over before its time. `fields` names what was given of what the queue may require."""

    assignment_id: str
    agent_id: str | None = None
    fields: frozenset[str] = frozenset()


ABSENCE: Final = "absence"
"""The customer who waits has been away for too long."""

GAVE_UP: Final = frozenset({"abandoned", ABSENCE})
"""Reasons with which a customer gave up."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The customer gave up or hung up (`GAVE_UP`), or somebody withdrew the contact (any other reason)."""

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
class Return:
    """Hand an active contact back: to the agent it came from, if that is there, else to the queue at its old rank."""

    contact_id: str
    by: str
    agent_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reclassify:
    """Change what a waiting contact needs; of one that somebody has, the tags. None leaves a field as it is.

    `agent_id` as with `Accept`.
    """

    contact_id: str
    tags: tuple[TagRequest, ...] | None = None
    queue: str | None = None
    priority: int | None = None
    terms: Terms | None = None
    by: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejudge:
    """More is known of a waiting contact's customer than when it came.

    Both describe the contact as it stands: `was` with what was known of the customer, `now` with what is.
    """

    was: Receive
    now: Receive


@dataclass(frozen=True, slots=True)
class Park:
    """Set an active contact aside until a time, a department's or the customer's answer. `until` in milliseconds.

    `agent_id` as with `Accept`.
    """

    contact_id: str
    by: str
    until: int
    reason: ParkReason = "promised"
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Bring a parked contact back before its time: to its owner first."""

    contact_id: str
    by: str
    agent_id: str | None = None
    reason: str = "requested"


@dataclass(frozen=True, slots=True)
class SetAside:
    """The engine fails upon this contact: it is parked, out of everybody's way, for people to look at."""

    contact_id: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """Raise an open contact's priority, once, mark it, and tell supervisors."""

    contact_id: str
    by: str
    agent_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """A supervisor's hand: the contact is that agent's at once. `force`: also over its capacity."""

    contact_id: str
    to_agent_id: str
    by: str
    force: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """A supervisor's hand: an offered or active contact goes back to the queue at its old rank.

    `assignment_id`: only if this is still whose it is.
    """

    contact_id: str
    by: str
    reason: str | None = None
    assignment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """A supervisor's hand: a waiting contact is for this agent alone, there or not; None: for all that fit again."""

    contact_id: str
    to_agent_id: str | None
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PauseAgent:
    """A supervisor's hand: no new work for this agent, until it is unpaused."""

    agent_id: str
    by: str
    paused: bool = True
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Collaborate:
    """Ask for help with an open contact: an agent, a department, or whoever has the skills of these tags.

    `kind` follows from what is named; an `approval` names its approver in `to_agent_id`. `deadlines` None: the
    department's, else the tenant's.
    """

    collaboration_id: str
    contact_id: str
    by: str
    kind: CollaborationKind = "help"
    tags: tuple[TagRequest, ...] = ()
    department: str | None = None
    to_agent_id: str | None = None
    deadlines: Deadlines | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptCollaboration:
    """The agent helps."""

    collaboration_id: str
    by: str
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyCollaboration:
    """A word of the helper or of the lead: progress, an answer, or the solution; `approved` of an approval."""

    collaboration_id: str
    by: str
    kind: Deadline = "feedback"
    approved: bool | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class CloseCollaboration:
    """No more help is needed, or none was given (`reason`)."""

    collaboration_id: str
    by: str
    reason: str | None = None
    agent_id: str | None = None


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
    so leases and grace periods start anew and offers live a little longer. `floors` are until when offers live at
    least, as the same process knew: what a hand-over gave them a reload does not take away.
    """

    live: frozenset[str] = frozenset()
    leases: Mapping[str, int] | None = None
    floors: Mapping[str, int] = field(default_factory=dict)


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
class PutPilot:
    """Make or change a pilot."""

    config: PilotConfig


@dataclass(frozen=True, slots=True)
class PutDepartment:
    """Make or change a department."""

    config: DepartmentConfig


@dataclass(frozen=True, slots=True)
class PauseQueue:
    """Stop or resume offering a queue's contacts; `config` is the queue with `paused` set."""

    config: QueueConfig
    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PutSettings:
    """Replace the tenant's settings."""

    settings: Settings


Put = PutAgent | PutQueue | PutTag | PutRule | PutPilot | PutDepartment | PutSettings
"""What makes or changes one piece of configuration."""


@dataclass(frozen=True, slots=True)
class DeleteNamed:
    """Remove a queue, tag, rule, pilot or department."""

    kind: Literal["queue", "tag", "rule", "pilot", "department"]
    name: str


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """Make, change and remove several pieces of configuration at once: all of it, or nothing.

    They are checked as they will be together, so that they may name one another in any order. No two concern the same.
    """

    puts: tuple[Put, ...] = ()
    deletes: tuple[DeleteAgent | DeleteNamed, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something outside routing changed that the journal names: `type` is the event's, `name` what changed."""

    type: str
    name: str
    customer_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Something about a customer, or its contact, that the journal is to hold.

    `type` is one of `events.OF_CUSTOMERS`, or of `events.OF_PROBLEMS` where it is about a contact.

    Of an open contact its holder hears it.
    """

    type: str
    customer_id: str
    data: Mapping[str, Any]
    contact_id: str | None = None


@dataclass(frozen=True, slots=True)
class MarkRepeat:
    """The customer of this contact came with these tags before, and with these contacts."""

    contact_id: str
    tags: tuple[str, ...]
    earlier: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TellProblem:
    """Something about a common problem that the journal is to hold: `type` is one of `events.OF_PROBLEMS`.

    With a `department`, whoever helps there and is there hears it.
    """

    type: str
    data: Mapping[str, Any]
    department: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Record the hash of the folded state, as it was last drained."""


Command = (
    Receive
    | Message
    | SendMessage
    | MoveMessage
    | MediaCame
    | AnswerCall
    | EndCall
    | ReportTrouble
    | ConnectLine
    | Accept
    | Decline
    | Miss
    | Complete
    | FinishWrapUp
    | Cancel
    | Transfer
    | Return
    | Reclassify
    | Rejudge
    | Park
    | Resume
    | SetAside
    | Escalate
    | Assign
    | TakeBack
    | Pin
    | PauseAgent
    | Collaborate
    | AcceptCollaboration
    | ReplyCollaboration
    | CloseCollaboration
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
    | PutPilot
    | PutDepartment
    | PauseQueue
    | PutSettings
    | DeleteNamed
    | Reconfigure
    | Note
    | Record
    | MarkRepeat
    | TellProblem
    | Checkpoint
)
"""Whatever can be asked."""
