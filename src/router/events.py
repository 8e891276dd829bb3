"""The journal's vocabulary: what an event is, and the shape of each kind's `data`.

Events hold ids, codes and numbers, never personal data: texts, names and addresses are facts beside the journal, and
are joined when an event is told to someone. So are reasons and dispositions that somebody typed: `reason`, `why` and
`disposition` hold a code, or the id of a remark. Every value in `data` is JSON. An event concerns at most one agent.

*Need* stands for: queue, priority, language, tags, requirements, target_agent_id, target_kind, target_until, terms.

| type | data |
|---|---|
| contact.received | channel, account, *need*, rules, pilot |
| contact.waiting | queue, position, estimate |
| contact.offered | assignment_id, channel, cost, expires_at, matched, by, one_of |
| contact.active | assignment_id |
| contact.requeued | reason |
| contact.reclassified | *need*, reason, by, anew |
| contact.relaxed | *need*, step, reason (`time`, `nobody_fits`) |
| contact.overflowed | *need*, action, from_queue, reason (`max_length`, `max_wait`, `closed`), message |
| contact.transferred | assignment_id, to, reason, by, *need*, barred_until, transfers, anew |
| contact.parked | assignment_id, until, reason, by |
| contact.resumed | assignment_id, *need*, promised, reason, by |
| contact.late | until |
| contact.flagged | flag (`long_wait`, `transfers`, `asked_all`, `callback`, `outreach`, `came_back`) |
| contact.escalated | reason, by, priority |
| contact.alarm, agent.alarm | name, level, responsible, queue, rule, step (what raised it, the other is null) |
| contact.closed | outcome, reason |
| call.answered | (nothing more: the customer whom the agent reaches has picked up) |
| call.ended | cause (Q.850, null where unknown) |
| offer.declined | assignment_id, barred_until, reason |
| offer.expired | assignment_id, barred_until |
| offer.revoked | assignment_id, reason, barred_until |
| assignment.released | assignment_id, reason (`silent`, `interrupted`, `moved_on`), wanted |
| assignment.wanted | assignment_id |
| assignment.retaken | assignment_id |
| assignment.wrap_up | assignment_id, ends_at, outcome, resolved, disposition |
| assignment.noted | assignment_id, resolved, disposition (what is said in the wrap-up of one whose customer left) |
| assignment.completed | assignment_id, resolved, disposition |
| assignment.lost | assignment_id, reason, by, barred_until |
| agent.presence | status, reason, connected, session, lease_s, grace_until |
| agent.paused, agent.unpaused | reason, by |
| collaboration.requested | collaboration_id, kind, department, requirements, deadlines, feedback_by, asked_until, by |
| collaboration.asked | collaboration_id, asked_until, reason, feedback_by (where it was accepted before) |
| collaboration.accepted | collaboration_id, helper_id, progress_by, lead_by, solution_by |
| collaboration.replied | collaboration_id, kind, from, approved, progress_by, lead_by |
| collaboration.closed | collaboration_id, reason, by |
| collaboration.warning, collaboration.escalated | collaboration_id, deadline, due_at, escalate_to |
| sla.warning, sla.breached | queue, waited_s |
| message.received | message_id, kind |
| message.queued | message_id, kind, by |
| message.sent, message.delivered | message_id |
| message.failed | message_id, reason |
| media.kept | media_id, media_type, bytes |
| media.failed | media_id, reason |
| channel.trouble | name, reason |
| channel.connected | name, session |
| contact.moved | customer_id, reason (`merged`, `unmerged`) |
| contact.rated | score, by |
| customer.merged | merged_id, reason (`linked`, `requested`, `suggested`, `settled`), by |
| customer.unmerged | unmerged_id, by |
| customer.identified | type, strong, by |
| customer.conflict | conflict_id, other_id, kind |
| customer.settled | other_id, verdict (`apart`, `merge`), conflict_id, by |
| customer.repeat | tags, earlier |
| review.settled | kind, by |
| survey.asked | |
| survey.withheld | rule (`quiet_hours`, `too_many_outreaches`) |
| outreach.urgent | rule (`quiet_hours`, `too_many_outreaches`), by, reason |
| contact.linked, contact.unlinked | name (of the common problem), by |
| contact.problem_solved | name |
| problem.reported | name, department, state, count, contacts (those since the last report) |
| problem.solved, problem.reopened | name, department, by |
| agent.updated, agent.deleted | (the agent is in the envelope) |
| {queue,tag,rule,pilot,department,problem,key,channel,connector,webhook}.{updated,deleted} | name, by |
| webhook.disabled | name, reason (`gone`, `unreachable`) |
| settings.updated, customer.updated, customer.deleted | name, by |
| journal.checkpoint | state_hash |
"""

from typing import Final

CONTACT_RECEIVED: Final = "contact.received"
CONTACT_WAITING: Final = "contact.waiting"
CONTACT_OFFERED: Final = "contact.offered"
CONTACT_ACTIVE: Final = "contact.active"
CONTACT_REQUEUED: Final = "contact.requeued"
CONTACT_RECLASSIFIED: Final = "contact.reclassified"
CONTACT_TRANSFERRED: Final = "contact.transferred"
CONTACT_RELAXED: Final = "contact.relaxed"
CONTACT_OVERFLOWED: Final = "contact.overflowed"
CONTACT_PARKED: Final = "contact.parked"
CONTACT_RESUMED: Final = "contact.resumed"
CONTACT_LATE: Final = "contact.late"
CONTACT_FLAGGED: Final = "contact.flagged"
CONTACT_ESCALATED: Final = "contact.escalated"
CONTACT_ALARM: Final = "contact.alarm"
CONTACT_CLOSED: Final = "contact.closed"
CALL_ANSWERED: Final = "call.answered"
CALL_ENDED: Final = "call.ended"
OFFER_DECLINED: Final = "offer.declined"
OFFER_EXPIRED: Final = "offer.expired"
OFFER_REVOKED: Final = "offer.revoked"
ASSIGNMENT_RELEASED: Final = "assignment.released"
ASSIGNMENT_WANTED: Final = "assignment.wanted"
ASSIGNMENT_RETAKEN: Final = "assignment.retaken"
ASSIGNMENT_WRAP_UP: Final = "assignment.wrap_up"
ASSIGNMENT_NOTED: Final = "assignment.noted"
ASSIGNMENT_COMPLETED: Final = "assignment.completed"
ASSIGNMENT_LOST: Final = "assignment.lost"
AGENT_PRESENCE: Final = "agent.presence"
AGENT_UPDATED: Final = "agent.updated"
AGENT_DELETED: Final = "agent.deleted"
AGENT_PAUSED: Final = "agent.paused"
AGENT_UNPAUSED: Final = "agent.unpaused"
AGENT_ALARM: Final = "agent.alarm"
"""An alarm of a contact, told to one agent who is responsible, whoever has the contact."""
COLLABORATION_REQUESTED: Final = "collaboration.requested"
COLLABORATION_ASKED: Final = "collaboration.asked"
COLLABORATION_ACCEPTED: Final = "collaboration.accepted"
COLLABORATION_REPLIED: Final = "collaboration.replied"
COLLABORATION_CLOSED: Final = "collaboration.closed"
COLLABORATION_WARNING: Final = "collaboration.warning"
COLLABORATION_ESCALATED: Final = "collaboration.escalated"
SLA_WARNING: Final = "sla.warning"
SLA_BREACHED: Final = "sla.breached"
MESSAGE_RECEIVED: Final = "message.received"
MESSAGE_QUEUED: Final = "message.queued"
MESSAGE_SENT: Final = "message.sent"
MESSAGE_DELIVERED: Final = "message.delivered"
MESSAGE_FAILED: Final = "message.failed"
MEDIA_KEPT: Final = "media.kept"
MEDIA_FAILED: Final = "media.failed"
CHANNEL_TROUBLE: Final = "channel.trouble"
CHANNEL_CONNECTED: Final = "channel.connected"
CONTACT_MOVED: Final = "contact.moved"
CONTACT_RATED: Final = "contact.rated"
CUSTOMER_MERGED: Final = "customer.merged"
CUSTOMER_UNMERGED: Final = "customer.unmerged"
CUSTOMER_IDENTIFIED: Final = "customer.identified"
CUSTOMER_CONFLICT: Final = "customer.conflict"
CUSTOMER_SETTLED: Final = "customer.settled"
CUSTOMER_REPEAT: Final = "customer.repeat"
REVIEW_SETTLED: Final = "review.settled"
OUTREACH_URGENT: Final = "outreach.urgent"
SURVEY_ASKED: Final = "survey.asked"
SURVEY_WITHHELD: Final = "survey.withheld"
CONTACT_LINKED: Final = "contact.linked"
CONTACT_UNLINKED: Final = "contact.unlinked"
CONTACT_PROBLEM_SOLVED: Final = "contact.problem_solved"
PROBLEM_REPORTED: Final = "problem.reported"
PROBLEM_SOLVED: Final = "problem.solved"
PROBLEM_REOPENED: Final = "problem.reopened"
WEBHOOK_DISABLED: Final = "webhook.disabled"
CHECKPOINT: Final = "journal.checkpoint"

ALARMS: Final = frozenset({CONTACT_ALARM, AGENT_ALARM})
"""An alarm: once for the contact, and once for each agent who is responsible."""

OF_CUSTOMERS: Final = frozenset(
    {
        CONTACT_MOVED,
        CONTACT_RATED,
        CUSTOMER_MERGED,
        CUSTOMER_UNMERGED,
        CUSTOMER_IDENTIFIED,
        CUSTOMER_CONFLICT,
        CUSTOMER_SETTLED,
        CUSTOMER_REPEAT,
        REVIEW_SETTLED,
        OUTREACH_URGENT,
        SURVEY_ASKED,
        SURVEY_WITHHELD,
    }
)
"""What is told of customers. None of it is folded: who somebody is, is a fact beside the journal."""

OF_PROBLEMS: Final = frozenset(
    {
        CONTACT_LINKED,
        CONTACT_UNLINKED,
        CONTACT_PROBLEM_SOLVED,
        PROBLEM_REPORTED,
        PROBLEM_SOLVED,
        PROBLEM_REOPENED,
    }
)
"""What is told of common problems. None of it is folded: which contact is one of a problem's is a fact."""

NAMED_KINDS: Final = (
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
"""Kinds of configuration and facts whose change is journalled by name alone: `{kind}.updated`, `{kind}.deleted`."""

KNOWN: Final = frozenset(
    {
        CONTACT_RECEIVED,
        CONTACT_WAITING,
        CONTACT_OFFERED,
        CONTACT_ACTIVE,
        CONTACT_REQUEUED,
        CONTACT_RECLASSIFIED,
        CONTACT_TRANSFERRED,
        CONTACT_RELAXED,
        CONTACT_OVERFLOWED,
        CONTACT_PARKED,
        CONTACT_RESUMED,
        CONTACT_LATE,
        CONTACT_FLAGGED,
        CONTACT_ESCALATED,
        CONTACT_ALARM,
        CONTACT_CLOSED,
        CALL_ANSWERED,
        CALL_ENDED,
        OFFER_DECLINED,
        OFFER_EXPIRED,
        OFFER_REVOKED,
        ASSIGNMENT_RELEASED,
        ASSIGNMENT_WANTED,
        ASSIGNMENT_RETAKEN,
        ASSIGNMENT_WRAP_UP,
        ASSIGNMENT_NOTED,
        ASSIGNMENT_COMPLETED,
        ASSIGNMENT_LOST,
        AGENT_PRESENCE,
        AGENT_UPDATED,
        AGENT_DELETED,
        AGENT_PAUSED,
        AGENT_UNPAUSED,
        AGENT_ALARM,
        COLLABORATION_REQUESTED,
        COLLABORATION_ASKED,
        COLLABORATION_ACCEPTED,
        COLLABORATION_REPLIED,
        COLLABORATION_CLOSED,
        COLLABORATION_WARNING,
        COLLABORATION_ESCALATED,
        SLA_WARNING,
        SLA_BREACHED,
        MESSAGE_RECEIVED,
        MESSAGE_QUEUED,
        MESSAGE_SENT,
        MESSAGE_DELIVERED,
        MESSAGE_FAILED,
        MEDIA_KEPT,
        MEDIA_FAILED,
        CHANNEL_TROUBLE,
        CHANNEL_CONNECTED,
        WEBHOOK_DISABLED,
        CHECKPOINT,
        *OF_CUSTOMERS,
        *OF_PROBLEMS,
        *(f"{kind}.updated" for kind in NAMED_KINDS),
        *(f"{kind}.deleted" for kind in NAMED_KINDS),
    }
)
"""Every type this release understands. A process that meets another one stops serving the tenant."""
