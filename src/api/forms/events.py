"""Events as they are told: over the stream, to webhooks and by `GET /v1/events` alike.

`DATA` has the form of each type's `data`. Codes that have a closed set name it in the schema, and are read as any text,
so that a client does not fail on one that comes later. What has a default is not in every event of the type, or was not
written by the first release: journals that it began are read by the same forms.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from src.api.forms.answers import Contact, Customer, Json, Message

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC with milliseconds."""

Outcome = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": ["completed", "abandoned", "cancelled", "customer_left", "overflowed", "self_service"]
        }
    ),
]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `seq` counts a tenant's events without a gap; `data` depends on `type`."""

    id: str
    seq: int
    type: str
    at: Time
    tenant: str
    contact_id: str | None = None
    agent_id: str | None = None
    customer_id: str | None = None
    data: Json = {}


# -- what is part of several -------------------------------------------------------------------------------------------


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """A skill that is needed. Not `required`: preferred. `shared`: another agent than the lead is to bring it."""

    skill: str
    level: int
    required: bool
    weight: float
    tag: str | None = None
    lapses_at: Time | None = None
    shared: bool = False


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement, and the level that the agent has of it; null: none."""

    skill: str
    level: int
    tag: str | None = None
    agent_level: int | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Only these, where any are included; none of those that are excluded."""

    include: list[str] = []
    exclude: list[str] = []


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Who may take a contact beside what it needs."""

    agents: Choice
    teams: Choice


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds for the first answer, from word to word, for the solution; null: no deadline."""

    feedback_s: int | None = None
    progress_s: int | None = None
    solution_s: int | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The likely wait in seconds: its mean, and the range that four of five waits fall in."""

    wait_s: float
    low_s: float
    high_s: float


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The data of an event."""


class Need(Data, frozen=True, kw_only=True):
    """What a contact needs, whole. `target_agent_id` is the one agent that it waits for, why, and until when."""

    queue: str
    priority: int | None = None
    language: str | None = None
    tags: list[str]
    requirements: list[Requirement]
    terms: Terms | None = None
    target_agent_id: str | None = None
    target_kind: str | None = None
    target_until: Time | None = None


# -- contacts ----------------------------------------------------------------------------------------------------------


class ContactReceived(Need, frozen=True, kw_only=True):
    """A contact came in. `rules` are those that held, in their order; `pilot` is `name:trial` or `name:control`."""

    channel: str
    account: str
    rules: list[str]
    pilot: str | None = None


class ContactWaiting(Data, frozen=True, kw_only=True):
    """Nobody could take it at once: its place, and what its customer may be told of the wait."""

    queue: str
    position: int | None = None
    estimate: Estimate | None = None


class ContactOffered(Data, frozen=True, kw_only=True):
    """An agent is asked to take a contact.

    `contact` and `customer` are null for readers who may not see contacts. `by` assigned it by hand, with `why`;
    `one_of`: so many agents were asked at once. `expires_in_ms` counts from the moment of sending.
    """

    assignment_id: str
    channel: str
    cost: int
    expires_at: Time
    expires_in_ms: int
    matched: list[Matched]
    by: str | None = None
    one_of: int = 1
    contact: Contact | None
    customer: Customer | None
    why: str | None = None


class ContactActive(Data, frozen=True, kw_only=True):
    """The agent has it. `by`: a supervisor assigned what was offered already."""

    assignment_id: str
    by: str | None = None
    why: str | None = None


class ContactRequeued(Data, frozen=True, kw_only=True):
    """It waits again, at its old rank."""

    reason: str


class ContactReclassified(Need, frozen=True, kw_only=True):
    """It needs something else now. `anew`: its steps begin anew; `ask_again`: who was asked enough is asked again."""

    reason: str
    by: str | None = None
    anew: bool | None = None
    ask_again: bool = False
    why: str | None = None


class ContactRelaxed(Need, frozen=True, kw_only=True):
    """It asks for less: its queue's steps up to `step` hold."""

    step: int
    reason: Annotated[str, Meta(extra_json_schema={"enum": ["time", "nobody_fits"]})]


class ContactOverflowed(Need, frozen=True, kw_only=True):
    """Its queue did not keep it. `message` was sent to the customer."""

    action: Annotated[str, Meta(extra_json_schema={"enum": ["queue", "teams", "callback", "close"]})]
    from_queue: str
    reason: Annotated[str, Meta(extra_json_schema={"enum": ["max_length", "max_wait", "closed"]})]
    message: str | None
    ask_again: bool = False


class ContactTransferred(Need, frozen=True, kw_only=True):
    """Its agent handed it on: to an agent, a queue or whoever has the skills."""

    assignment_id: str
    to: Json
    reason: str | None
    by: str | None
    barred_until: Time
    transfers: int | None = None
    ask_again: bool = False
    anew: bool | None = None


class ContactParked(Data, frozen=True, kw_only=True):
    """Set aside until a time; the agent's capacity is free, and the agent stays its owner."""

    assignment_id: str | None
    until: Time
    reason: str
    by: str | None
    ask_again: bool


class ContactResumed(Need, frozen=True, kw_only=True):
    """A parked one is back. `promised`: when the customer was to be served."""

    assignment_id: str | None
    promised: Time | None
    reason: str | None
    by: str | None


class ContactLate(Data, frozen=True, kw_only=True):
    """What was promised for `until` has not been taken up. Its agent is told, or its owner while it has none."""

    until: Time


class ContactFlagged(Data, frozen=True, kw_only=True):
    """Marked for people's attention."""

    flag: Annotated[
        str,
        Meta(
            extra_json_schema={
                "enum": ["long_wait", "transfers", "asked_all", "callback", "outreach", "came_back", "repeat"]
            }
        ),
    ]


class ContactEscalated(Data, frozen=True, kw_only=True):
    """Raised by hand; `priority` is the new one, in seconds of waiting."""

    reason: str | None
    by: str | None
    priority: int


class Alarm(Data, frozen=True, kw_only=True):
    """An alarm was raised, by a `rule` or by a `step` of the queue: once for a contact under each name.

    `contact.alarm` is told once; `agent.alarm` to each agent who is responsible, whoever has the contact. `tier` is
    the customer's, null for readers who may not see contacts.
    """

    name: str
    level: Annotated[str, Meta(extra_json_schema={"enum": ["info", "warning", "critical"]})]
    responsible: list[str]
    queue: str
    rule: str | None
    step: int | None
    tier: str | None


class ContactClosed(Data, frozen=True, kw_only=True):
    """It is over."""

    outcome: Outcome
    reason: str | None


class ContactMoved(Data, frozen=True, kw_only=True):
    """Its customer is another one now."""

    customer_id: str
    reason: Annotated[str, Meta(extra_json_schema={"enum": ["merged", "unmerged"]})]


class ContactRated(Data, frozen=True, kw_only=True):
    """How the customer found it, 1 to 5."""

    score: int
    by: str | None


class CallEnded(Data, frozen=True, kw_only=True):
    """A call is over; `cause` by Q.850, null where it is not known."""

    cause: int | None


# -- offers and assignments --------------------------------------------------------------------------------------------


class OfferDeclined(Data, frozen=True, kw_only=True):
    """The agent did not take it, and is not asked again before `barred_until`."""

    assignment_id: str
    barred_until: Time | None
    reason: str | None


class OfferExpired(Data, frozen=True, kw_only=True):
    """The agent did not answer in time."""

    assignment_id: str
    barred_until: Time | None


class OfferRevoked(Data, frozen=True, kw_only=True):
    """The offer is taken back: the customer left, another agent took it, the agent is gone."""

    assignment_id: str
    reason: str | None
    by: str | None = None
    why: str | None = None
    barred_until: Time | None = None


class AssignmentReleased(Data, frozen=True, kw_only=True):
    """Its units are free for other work. `wanted`: it is to have them back as soon as it can."""

    assignment_id: str
    reason: Annotated[str, Meta(extra_json_schema={"enum": ["silent", "interrupted", "moved_on"]})]
    wanted: bool


class AssignmentId(Data, frozen=True, kw_only=True):
    """Which assignment it is about."""

    assignment_id: str


class AssignmentWrapUp(Data, frozen=True, kw_only=True):
    """The customer is gone; there is time for after-contact work until `ends_at`."""

    assignment_id: str
    ends_at: Time
    outcome: Outcome
    resolved: bool | None
    disposition: str | None


class AssignmentNoted(Data, frozen=True, kw_only=True):
    """What its agent says, in the wrap-up, of a contact whose customer left. The last word counts."""

    assignment_id: str
    resolved: bool | None
    disposition: str | None


class AssignmentCompleted(Data, frozen=True, kw_only=True):
    """The agent is done with it."""

    assignment_id: str
    resolved: bool | None
    disposition: str | None


class AssignmentLost(Data, frozen=True, kw_only=True):
    """The agent is gone, or it was taken away by hand; the contact waits again."""

    assignment_id: str
    reason: str
    by: str | None = None
    why: str | None = None
    barred_until: Time | None = None


# -- agents ------------------------------------------------------------------------------------------------------------


class AgentPresence(Data, frozen=True, kw_only=True):
    """An agent's presence, whole. `connected`: a socket or a lease holds it; `grace_until`: it may return."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["offline", "available", "away"]})]
    reason: str | None
    connected: bool
    session: str | None
    lease_s: int | None
    grace_until: Time | None


class ByHand(Data, frozen=True, kw_only=True):
    """Somebody did it, and why."""

    reason: str | None
    by: str | None


class Nothing(Data, frozen=True, kw_only=True):
    """The envelope says it all."""


# -- help --------------------------------------------------------------------------------------------------------------


class CollaborationRequested(Data, frozen=True, kw_only=True):
    """Somebody (`by`) asks for help; the event's agent is asked, until `asked_until`."""

    collaboration_id: str
    kind: Annotated[str, Meta(extra_json_schema={"enum": ["help", "department", "approval"]})]
    department: str | None
    requirements: list[Requirement]
    deadlines: Deadlines
    feedback_by: Time | None
    asked_until: Time | None
    by: str | None


class CollaborationAsked(Data, frozen=True, kw_only=True):
    """The next one is asked. `feedback_by` is there where somebody had accepted it before."""

    collaboration_id: str
    asked_until: Time
    reason: str
    feedback_by: Time | None = None


class CollaborationAccepted(Data, frozen=True, kw_only=True):
    """`helper_id` helps; a word is due by these times."""

    collaboration_id: str
    helper_id: str
    progress_by: Time | None
    lead_by: Time | None
    solution_by: Time | None


class CollaborationReplied(Data, frozen=True, kw_only=True):
    """A word of the helper or the lead; `approved` answers a request for approval."""

    collaboration_id: str
    kind: str
    sender: Annotated[str, Meta(extra_json_schema={"enum": ["helper", "lead"]})] = msgspec.field(name="from")
    approved: bool | None
    progress_by: Time | None
    lead_by: Time | None


class CollaborationClosed(Data, frozen=True, kw_only=True):
    """The help is over."""

    collaboration_id: str
    reason: str | None
    by: str | None


class CollaborationDue(Data, frozen=True, kw_only=True):
    """A deadline is near (warning) or over (escalated)."""

    collaboration_id: str
    deadline: Annotated[str, Meta(extra_json_schema={"enum": ["feedback", "progress", "lead", "solution"]})]
    due_at: Time
    escalate_to: str | None


# -- service levels, messages, media -----------------------------------------------------------------------------------


class LevelWaited(Data, frozen=True, kw_only=True):
    """The contact has waited so long that its queue's service level is near (warning) or missed (breached)."""

    queue: str
    waited_s: int


class MessageReceived(Data, frozen=True, kw_only=True):
    """The customer wrote. `message` is null for readers who may not see contacts, and once the text has gone."""

    message_id: str
    kind: str
    message: Message | None


class MessageQueued(Data, frozen=True, kw_only=True):
    """A message waits to be sent; where no channel of this service sends, it is the gateway's order."""

    message_id: str
    kind: str
    by: str | None
    message: Message | None
    contact: Contact | None


class MessageMoved(Data, frozen=True, kw_only=True):
    """It is sent, or has arrived."""

    message_id: str


class MessageFailed(Data, frozen=True, kw_only=True):
    """It will not arrive."""

    message_id: str
    reason: str | None


class MediaKept(Data, frozen=True, kw_only=True):
    """A picture, recording or file is at `/v1/media/{media_id}`."""

    media_id: str
    media_type: str
    bytes: int


class MediaFailed(Data, frozen=True, kw_only=True):
    """The channel did not give it."""

    media_id: str
    reason: str | None


# -- customers ---------------------------------------------------------------------------------------------------------


class CustomerMerged(Data, frozen=True, kw_only=True):
    """`merged_id` is the same customer as the event's, which answers for both."""

    merged_id: str
    reason: Annotated[str, Meta(extra_json_schema={"enum": ["linked", "requested", "suggested", "settled"]})]
    by: str | None


class CustomerUnmerged(Data, frozen=True, kw_only=True):
    """The merge of `unmerged_id` is undone."""

    unmerged_id: str
    by: str | None


class CustomerIdentified(Data, frozen=True, kw_only=True):
    """The customer has one more address; `strong`: proven by its channel."""

    type: str
    strong: bool
    by: str | None


class CustomerConflict(Data, frozen=True, kw_only=True):
    """Identities disagree: a person is to settle it."""

    conflict_id: str
    other_id: str
    kind: str


class CustomerSettled(Data, frozen=True, kw_only=True):
    """A person said whether two customers are one."""

    other_id: str
    verdict: Annotated[str, Meta(extra_json_schema={"enum": ["apart", "merge"]})]
    conflict_id: str | None
    by: str | None


class CustomerRepeat(Data, frozen=True, kw_only=True):
    """The customer comes again with the same matter; `earlier` are its contacts."""

    tags: list[str]
    earlier: list[str]


class ReviewSettled(Data, frozen=True, kw_only=True):
    """A repeat was looked into."""

    kind: str
    by: str | None


class SurveyAsked(Data, frozen=True, kw_only=True):
    """The customer is asked how it was. Told where the tenant limits how often."""


class SurveyWithheld(Data, frozen=True, kw_only=True):
    """The customer is not asked how it was, by this `rule`."""

    rule: Annotated[str, Meta(extra_json_schema={"enum": ["quiet_hours", "too_many_outreaches"]})]


class OutreachUrgent(Data, frozen=True, kw_only=True):
    """An agent turns to a customer who is, or soon would be, left in peace by this `rule`: who did it, and why."""

    rule: Annotated[str, Meta(extra_json_schema={"enum": ["quiet_hours", "too_many_outreaches"]})]
    by: str | None
    reason: str | None


# -- common problems ---------------------------------------------------------------------------------------------------


class ContactLinked(Data, frozen=True, kw_only=True):
    """The contact is linked to the common problem of this name; or no longer."""

    name: str
    by: str | None


class ContactProblemSolved(Data, frozen=True, kw_only=True):
    """The common problem that the contact is linked to has its answer: `GET /v1/common-problems/{name}` has it."""

    name: str


class ProblemReported(Data, frozen=True, kw_only=True):
    """What its department is told of a common problem: how many contacts have it, and those since the last report."""

    name: str
    department: str
    state: Annotated[str, Meta(extra_json_schema={"enum": ["open", "solved"]})]
    count: int
    contacts: list[str]


class ProblemMoved(Data, frozen=True, kw_only=True):
    """A common problem has its answer, or is open again."""

    name: str
    department: str
    by: str | None


# -- configuration and the service -------------------------------------------------------------------------------------


class Changed(Data, frozen=True, kw_only=True):
    """What was changed, by its name; what it is now is read over REST. The audit trail names who did it.

    `paused`, with who and why, where a queue is paused or goes on.
    """

    name: str
    paused: bool | None = None
    by: str | None = None
    reason: str | None = None


class Trouble(Data, frozen=True, kw_only=True):
    """An account, or a webhook, needs its administrator."""

    name: str
    reason: str | None


class ChannelConnected(Data, frozen=True, kw_only=True):
    """A gateway's connection for this account is the one that counts."""

    name: str
    session: str


class Checkpoint(Data, frozen=True, kw_only=True):
    """The digest of what the journal adds up to, for `cordboard replay`."""

    state_hash: str


NAMED: Final = (
    "queue",
    "tag",
    "rule",
    "pilot",
    "department",
    "problem",
    "key",
    "channel",
    "connector",
    "webhook",
    "customer",
    "settings",
)

DATA: Final[Mapping[str, type[Data]]] = {
    "contact.received": ContactReceived,
    "contact.waiting": ContactWaiting,
    "contact.offered": ContactOffered,
    "contact.active": ContactActive,
    "contact.requeued": ContactRequeued,
    "contact.reclassified": ContactReclassified,
    "contact.relaxed": ContactRelaxed,
    "contact.overflowed": ContactOverflowed,
    "contact.transferred": ContactTransferred,
    "contact.parked": ContactParked,
    "contact.resumed": ContactResumed,
    "contact.late": ContactLate,
    "contact.flagged": ContactFlagged,
    "contact.escalated": ContactEscalated,
    "contact.alarm": Alarm,
    "contact.closed": ContactClosed,
    "contact.moved": ContactMoved,
    "contact.rated": ContactRated,
    "call.answered": Nothing,
    "call.ended": CallEnded,
    "offer.declined": OfferDeclined,
    "offer.expired": OfferExpired,
    "offer.revoked": OfferRevoked,
    "assignment.released": AssignmentReleased,
    "assignment.wanted": AssignmentId,
    "assignment.retaken": AssignmentId,
    "assignment.wrap_up": AssignmentWrapUp,
    "assignment.noted": AssignmentNoted,
    "assignment.completed": AssignmentCompleted,
    "assignment.lost": AssignmentLost,
    "agent.presence": AgentPresence,
    "agent.paused": ByHand,
    "agent.unpaused": ByHand,
    "agent.alarm": Alarm,
    "agent.updated": Nothing,
    "agent.deleted": Nothing,
    "collaboration.requested": CollaborationRequested,
    "collaboration.asked": CollaborationAsked,
    "collaboration.accepted": CollaborationAccepted,
    "collaboration.replied": CollaborationReplied,
    "collaboration.closed": CollaborationClosed,
    "collaboration.warning": CollaborationDue,
    "collaboration.escalated": CollaborationDue,
    "sla.warning": LevelWaited,
    "sla.breached": LevelWaited,
    "message.received": MessageReceived,
    "message.queued": MessageQueued,
    "message.sent": MessageMoved,
    "message.delivered": MessageMoved,
    "message.failed": MessageFailed,
    "media.kept": MediaKept,
    "media.failed": MediaFailed,
    "channel.trouble": Trouble,
    "channel.connected": ChannelConnected,
    "webhook.disabled": Trouble,
    "customer.merged": CustomerMerged,
    "customer.unmerged": CustomerUnmerged,
    "customer.identified": CustomerIdentified,
    "customer.conflict": CustomerConflict,
    "customer.settled": CustomerSettled,
    "customer.repeat": CustomerRepeat,
    "review.settled": ReviewSettled,
    "outreach.urgent": OutreachUrgent,
    "survey.asked": SurveyAsked,
    "survey.withheld": SurveyWithheld,
    "contact.linked": ContactLinked,
    "contact.unlinked": ContactLinked,
    "contact.problem_solved": ContactProblemSolved,
    "problem.reported": ProblemReported,
    "problem.solved": ProblemMoved,
    "problem.reopened": ProblemMoved,
    "journal.checkpoint": Checkpoint,
    **{f"{kind}.{what}": Changed for kind in NAMED for what in ("updated", "deleted")},
}
"""The form of the data of each type of event."""


def data_of(event: Event) -> Data | None:
    """The data in the form of its type; None for a type that a later release has added.

    Raises:
        msgspec.ValidationError: it is of another form.
    """
    form = DATA.get(event.type)
    return None if form is None else msgspec.convert(event.data, form)
