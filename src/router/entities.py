"""What a tenant's state is made of: contacts, assignments, agents, collaborations. They change nowhere but in `state`.

Each has a `row`: the values that the store writes, reads back, and that the state's hash is made of. Columns that came
later stand at the end and have a default: a row says the same with and without them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from src.router.model import NO_TERMS, Deadlines, Presence, Requirement, Terms

Row = tuple[Any, ...]

FOREVER: Final = 2**53 - 1
"""Until when an agent is barred that may not be asked again."""

NONE: Final[Mapping[str, int]] = MappingProxyType({})
"""A mapping for those who have nothing in it, which is most."""

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


class Contact(Struct, eq=False, gc=False):
    """One piece of work. `rank` is its place in the queue: arrival minus priority, smaller goes first.

    `queued_at` is when it came to its queue, None where that is its creation; `step` how many of the queue's steps are
    done. A `target` is the only agent that may have it: until `target_until`, or for good. `bars` are agents that may
    not be asked until a time, `asked` how often they were. `owner_id` is who parked it.
    """

    id: str
    customer_id: str
    channel: str
    account: str
    created_at: int
    state: str = "waiting"
    queue: str = ""
    priority: int = 0
    language: str | None = None
    tags: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    target_agent_id: str | None = None
    assignment_id: str | None = None
    outcome: str | None = None
    sla_stage: int = 0
    transfers: int = 0
    bars: Mapping[str, int] = NONE
    updated_at: int = 0
    answered_at: int | None = None
    closed_at: int | None = None
    queued_at: int | None = None
    step: int = 0
    target_kind: str | None = None
    target_until: int | None = None
    parked_until: int | None = None
    owner_id: str | None = None
    pilot: str | None = None
    flags: tuple[str, ...] = ()
    terms: Terms = NO_TERMS
    asked: Mapping[str, int] = NONE
    park_reason: str | None = None
    previous_agent_id: str | None = None
    overflows: int = 0

    @property
    def rank(self) -> int:
        """Milliseconds since the epoch, less the head start."""
        return self.created_at - self.priority * 1000

    @property
    def key(self) -> tuple[int, str]:
        """Its place among all others: rank, then id, so that there are no ties."""
        return (self.created_at - self.priority * 1000, self.id)

    @property
    def entered_at(self) -> int:
        """When it came to its queue."""
        return self.created_at if self.queued_at is None else self.queued_at

    def row(self) -> Row:
        """The values of `CONTACT_COLUMNS`."""
        return (
            self.id,
            self.customer_id,
            self.channel,
            self.account,
            self.created_at,
            self.state,
            self.queue,
            self.priority,
            self.language,
            dump(self.tags),
            _requirements_text(self.requirements),
            self.target_agent_id,
            self.assignment_id,
            self.outcome,
            self.sla_stage,
            self.transfers,
            dump(self.bars) if self.bars else "{}",
            self.updated_at,
            self.answered_at,
            self.closed_at,
            self.queued_at,
            self.step,
            self.target_kind,
            self.target_until,
            self.parked_until,
            self.owner_id,
            self.pilot,
            dump(self.flags),
            self._more(),
        )

    def _more(self) -> str:
        """What few contacts have, as JSON."""
        more: dict[str, Any] = {}
        if self.terms:
            more["terms"] = terms_json(self.terms)
        if self.asked:
            more["asked"] = self.asked
        if self.park_reason is not None:
            more["park_reason"] = self.park_reason
        if self.previous_agent_id is not None:
            more["previous_agent_id"] = self.previous_agent_id
        if self.overflows:
            more["overflows"] = self.overflows
        return dump(more) if more else "{}"

    @classmethod
    def from_row(cls, row: Row) -> "Contact":
        """The inverse of `row`."""
        values = dict(zip(CONTACT_COLUMNS, row, strict=True))
        values["tags"] = tuple(_decode(values["tags"]))
        values["requirements"] = requirements_from(_decode(values["requirements"]))
        values["bars"] = _decode(values["bars"]) or NONE
        values["flags"] = tuple(_decode(values["flags"]))
        more = _decode(values.pop("more"))
        if more:
            more["terms"] = terms_from(more.get("terms"))
        return cls(**values, **more)


class Assignment(Struct, eq=False, gc=False):
    """An offer, and the assignment that it becomes: one object, one id.

    `released`: it takes no capacity for now, because the customer is silent or other work went first; `wanted`: it
    gets its units back as soon as there is room.
    """

    id: str
    contact_id: str
    agent_id: str
    channel: str
    cost: int
    offered_at: int
    expires_at: int
    state: str = "offered"
    accepted_at: int | None = None
    ends_at: int | None = None
    outcome: str | None = None
    resolved: bool | None = None
    disposition: str | None = None
    ended_at: int | None = None
    released: bool = False
    wanted: bool = False

    @property
    def units(self) -> int:
        """What it takes of its agent's capacity now."""
        return 0 if self.released or self.state == "parked" else self.cost

    @property
    def present(self) -> bool:
        """Whether the agent has it before it: what is parked or released does not count."""
        return not (self.released or self.state == "parked")

    def row(self) -> Row:
        """The values of `ASSIGNMENT_COLUMNS`."""
        return (
            self.id,
            self.contact_id,
            self.agent_id,
            self.channel,
            self.cost,
            self.offered_at,
            self.expires_at,
            self.state,
            self.accepted_at,
            self.ends_at,
            self.outcome,
            self.resolved,
            self.disposition,
            self.ended_at,
            self.released,
            self.wanted,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Assignment":
        """The inverse of `row`."""
        return cls(*row)


class Agent(Struct, eq=False):
    """The routing state of an agent. Its skills and capacity are configuration and not in here.

    `session` is the socket that holds its lease, `lease_s` the length of a lease taken without one; `grace_until` is
    when it counts as gone, once neither is left. `turn_at` is when it was last offered something; `paused` why a
    supervisor keeps new work from it. `open` are its open assignments: load follows from them.
    """

    id: str
    status: Presence = "offline"
    reason: str | None = None
    session: str | None = None
    lease_s: int | None = None
    grace_until: int | None = None
    idle_since: int = 0
    misses: int = 0
    turn_at: int = 0
    paused: str | None = None
    open: dict[str, Assignment] = msgspec.field(default_factory=dict)

    @property
    def connected(self) -> bool:
        """Whether somebody is there to hear of an offer."""
        return self.session is not None or self.lease_s is not None

    @property
    def there(self) -> bool:
        """Whether it is available, connected and not paused."""
        return self.status == "available" and self.connected and self.paused is None

    @property
    def load(self) -> int:
        """Units of capacity in use."""
        return sum(each.units for each in self.open.values())

    def row(self) -> Row:
        """The values of `AGENT_COLUMNS`."""
        return (
            self.id,
            self.status,
            self.reason,
            self.session,
            self.lease_s,
            self.grace_until,
            self.idle_since,
            self.misses,
            self.turn_at,
            self.paused,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Agent":
        """The inverse of `row`."""
        return cls(*row)


class Collaboration(Struct, eq=False, gc=False):
    """Help with a contact by a second agent or a department; the lead stays responsible for the contact.

    `agent_id` is who was asked, and from acceptance on who helps; `by` who asked. `…_by` are deadlines, None where none
    runs; `told` those that were warned of (`feedback.warning`) or escalated (`feedback.escalated`).
    """

    id: str
    contact_id: str
    kind: str
    by: str
    requested_at: int
    state: str = "requested"
    department: str | None = None
    requirements: tuple[Requirement, ...] = ()
    agent_id: str | None = None
    deadlines: Deadlines = msgspec.field(default_factory=Deadlines)
    feedback_by: int | None = None
    progress_by: int | None = None
    lead_by: int | None = None
    solution_by: int | None = None
    accepted_at: int | None = None
    answered_at: int | None = None
    approved: bool | None = None
    told: tuple[str, ...] = ()
    reason: str | None = None
    closed_at: int | None = None
    asked_until: int | None = None

    def row(self) -> Row:
        """The values of `COLLABORATION_COLUMNS`."""
        return (
            self.id,
            self.contact_id,
            self.kind,
            self.by,
            self.requested_at,
            self.state,
            self.department,
            _requirements_text(self.requirements),
            self.agent_id,
            dump(deadlines_json(self.deadlines)),
            self.feedback_by,
            self.progress_by,
            self.lead_by,
            self.solution_by,
            self.accepted_at,
            self.answered_at,
            self.approved,
            dump(self.told),
            self.reason,
            self.closed_at,
            self.asked_until,
        )

    @classmethod
    def from_row(cls, row: Row) -> "Collaboration":
        """The inverse of `row`."""
        values = dict(zip(COLLABORATION_COLUMNS, row, strict=True))
        values["requirements"] = requirements_from(_decode(values["requirements"]))
        values["deadlines"] = deadlines_from(_decode(values["deadlines"]))
        values["told"] = tuple(_decode(values["told"]))
        return cls(**values)


CONTACT_COLUMNS: Final = (
    "id",
    "customer_id",
    "channel",
    "account",
    "created_at",
    "state",
    "queue",
    "priority",
    "language",
    "tags",
    "requirements",
    "target_agent_id",
    "assignment_id",
    "outcome",
    "sla_stage",
    "transfers",
    "bars",
    "updated_at",
    "answered_at",
    "closed_at",
    "queued_at",
    "step",
    "target_kind",
    "target_until",
    "parked_until",
    "owner_id",
    "pilot",
    "flags",
    "more",
)
ASSIGNMENT_COLUMNS: Final = (
    "id",
    "contact_id",
    "agent_id",
    "channel",
    "cost",
    "offered_at",
    "expires_at",
    "state",
    "accepted_at",
    "ends_at",
    "outcome",
    "resolved",
    "disposition",
    "ended_at",
    "released",
    "wanted",
)
AGENT_COLUMNS: Final = (
    "id",
    "status",
    "reason",
    "session",
    "lease_s",
    "grace_until",
    "idle_since",
    "misses",
    "turn_at",
    "paused",
)
COLLABORATION_COLUMNS: Final = (
    "id",
    "contact_id",
    "kind",
    "by",
    "requested_at",
    "state",
    "department",
    "requirements",
    "agent_id",
    "deadlines",
    "feedback_by",
    "progress_by",
    "lead_by",
    "solution_by",
    "accepted_at",
    "answered_at",
    "approved",
    "told",
    "reason",
    "closed_at",
    "asked_until",
)

LATER_COLUMNS: Final[Mapping[str, Row]] = {
    "contact": (None, 0, None, None, None, None, None, "[]", "{}"),
    "assignment": (False, False),
    "agent": (0, None),
    "collaboration": (),
}
"""The values that the columns had before they were there. Rows that end in them say the same without them."""


def requirement_json(requirement: Requirement) -> dict[str, Any]:
    """The JSON form of a requirement, in events, tables and answers alike."""
    shown = {
        "tag": requirement.tag,
        "skill": requirement.skill,
        "level": requirement.level,
        "required": requirement.required,
        "weight": requirement.weight,
        "lapses_at": requirement.lapses_at,
    }
    if requirement.shared:
        shown["shared"] = True
    return shown


def requirements_from(data: list[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    """The inverse of a list of `requirement_json`."""
    return tuple(Requirement(**each) for each in data) if data else ()


def terms_json(terms: Terms) -> dict[str, list[str]]:
    """The JSON form of terms: only what is set."""
    named = {
        "agents": terms.agents,
        "not_agents": terms.not_agents,
        "teams": terms.teams,
        "not_teams": terms.not_teams,
        "widened": terms.widened,
    }
    return {name: list(value) for name, value in named.items() if value}


def own_terms_json(terms: Terms) -> dict[str, list[str]]:
    """The same without what a queue has widened: what goes along to another one."""
    return terms_json(replace(terms, widened=()) if terms.widened else terms)


def terms_from(data: Mapping[str, list[str]] | None) -> Terms:
    """The inverse of `terms_json`."""
    return Terms(**{name: tuple(value) for name, value in data.items()}) if data else NO_TERMS


def deadlines_json(deadlines: Deadlines) -> dict[str, int | None]:
    """The JSON form of deadlines."""
    return {
        "progress_s": deadlines.progress_s,
        "feedback_s": deadlines.feedback_s,
        "solution_s": deadlines.solution_s,
    }


def deadlines_from(data: Mapping[str, int | None]) -> Deadlines:
    """The inverse of `deadlines_json`."""
    return Deadlines(**data)


@lru_cache(maxsize=4096)
def _requirements_text(requirements: tuple[Requirement, ...]) -> str:
    return dump([requirement_json(each) for each in requirements])


def dump(value: object) -> str:
    """JSON text of a value."""
    return _encode(value).decode()
