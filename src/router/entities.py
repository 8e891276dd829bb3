"""What a tenant's state is made of: contacts, assignments, agents, collaborations. They change nowhere but in `state`.

Each has a `row`: the values that the store writes, reads back, and that the state's hash is made of. Columns that came
later stand at the end and have a default: a row says the same with and without them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from src.router.model import NO_TERMS, Deadlines, Presence, Requirement, Terms
from src.router.native import mypyc_attr

Row = tuple[Any, ...]

FOREVER: Final = 2**53 - 1
"""Until when an agent is barred that may not be asked again."""

NONE: Final[Mapping[str, int]] = MappingProxyType({})
"""A mapping for those who have nothing in it, which is most."""

REQUIREMENTS_MAX: Final = 10_000
"""Requirements, and tuples of them and of tags, that are kept to be found again: up to so many of each."""

_known: Final[dict[tuple[Any, ...], Requirement]] = {}
_equal: Final[dict[tuple[Any, ...], tuple[Any, ...]]] = {}


class _Shown:
    """Requirements, and their JSON form."""

    __slots__ = ("data", "requirements")

    def __init__(self, requirements: tuple[Requirement, ...], data: list[dict[str, Any]]) -> None:
        self.requirements: Final = requirements
        self.data: Final = data


class _Latest:
    """What was shown last: an event that says it is folded at once, and need not be read anew."""

    __slots__ = ("shown",)

    def __init__(self) -> None:
        self.shown = _Shown((), [])


_shown: Final[dict[tuple[Requirement, ...], _Shown]] = {}
_latest: Final = _Latest()

T = TypeVar("T")

NO_ALARMS: Final[Mapping[str, str]] = MappingProxyType({})
"""The alarms of most contacts."""

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


@mypyc_attr(acyclic=True)
class Contact:
    """One piece of work. `rank` is its place in the queue: arrival minus priority, smaller goes first.

    `queued_at` is when it came to its queue, None where that is its creation; `step` how many of the queue's steps are
    done. A `target` is the only agent that may have it: until `target_until`, or for good. `bars` are agents that may
    not be asked until a time, `asked` how often they were. `owner_id` is who parked it. `alarms` are the levels of
    those that were raised, by name.
    """

    __slots__ = (
        *("account", "alarms", "answered_at", "asked", "assignment_id", "bars", "channel", "closed_at", "created_at"),
        *("customer_id", "flags", "id", "language", "outcome", "overflows", "owner_id", "park_reason", "parked_until"),
        *("pilot", "previous_agent_id", "priority", "queue", "queued_at", "requirements", "sla_stage", "state", "step"),
        *("tags", "target_agent_id", "target_kind", "target_until", "terms", "transfers", "updated_at"),
    )

    def __init__(
        self,
        contact_id: str,
        customer_id: str,
        channel: str,
        account: str,
        created_at: int,
        state: str = "waiting",
    ) -> None:
        self.id = contact_id
        self.customer_id = customer_id
        self.channel = channel
        self.account = account
        self.created_at = created_at
        self.state = state
        self.queue = ""
        self.priority = 0
        self.language: str | None = None
        self.tags: tuple[str, ...] = ()
        self.requirements: tuple[Requirement, ...] = ()
        self.target_agent_id: str | None = None
        self.target_kind: str | None = None
        self.target_until: int | None = None
        self.assignment_id: str | None = None
        self.outcome: str | None = None
        self.sla_stage = 0
        self.transfers = 0
        self.bars: Mapping[str, int] = NONE
        self.updated_at = 0
        self.answered_at: int | None = None
        self.closed_at: int | None = None
        self.queued_at: int | None = None
        self.step = 0
        self.parked_until: int | None = None
        self.park_reason: str | None = None
        self.owner_id: str | None = None
        self.previous_agent_id: str | None = None
        self.pilot: str | None = None
        self.flags: tuple[str, ...] = ()
        self.terms = NO_TERMS
        self.asked: Mapping[str, int] = NONE
        self.overflows = 0
        self.alarms: Mapping[str, str] = NO_ALARMS

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
        if self.alarms:
            more["alarms"] = self.alarms
        return dump(more) if more else "{}"

    @classmethod
    def from_row(cls, row: Row) -> "Contact":
        """The inverse of `row`."""
        values = dict(zip(CONTACT_COLUMNS, row, strict=True))
        values["tags"] = tags_from(_decode(values["tags"]))
        values["requirements"] = requirements_from(_decode(values["requirements"]))
        values["bars"] = _decode(values["bars"]) or NONE
        values["flags"] = tuple(_decode(values["flags"]))
        more = _decode(values.pop("more"))
        if more:
            more["terms"] = terms_from(more.get("terms"))
        contact = cls(row[0], row[1], row[2], row[3], row[4])
        _set(contact, values)
        _set(contact, more)
        return contact

    def but(self, **changed: Any) -> "Contact":
        """Another one that is the same but for some values."""
        other = self.from_row(self.row())
        _set(other, changed)
        return other


@mypyc_attr(acyclic=True)
class Assignment:
    """An offer, and the assignment that it becomes: one object, one id.

    `released`: it takes no capacity for now, because the customer is silent or other work went first; `wanted`: it
    gets its units back as soon as there is room.
    """

    __slots__ = (
        *("accepted_at", "agent_id", "channel", "contact_id", "cost", "disposition", "ended_at", "ends_at"),
        *("expires_at", "id", "offered_at", "outcome", "released", "resolved", "state", "wanted"),
    )

    def __init__(
        self,
        assignment_id: str,
        contact_id: str,
        agent_id: str,
        channel: str,
        cost: int,
        offered_at: int,
        expires_at: int,
        state: str = "offered",
    ) -> None:
        self.id = assignment_id
        self.contact_id = contact_id
        self.agent_id = agent_id
        self.channel = channel
        self.cost = cost
        self.offered_at = offered_at
        self.expires_at = expires_at
        self.state = state
        self.accepted_at: int | None = None
        self.ends_at: int | None = None
        self.outcome: str | None = None
        self.resolved: bool | None = None
        self.disposition: str | None = None
        self.ended_at: int | None = None
        self.released = False
        self.wanted = False

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
        assignment = cls(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7])
        assignment.accepted_at, assignment.ends_at, assignment.outcome = row[8:11]
        assignment.resolved, assignment.disposition = row[11:13]
        assignment.ended_at, assignment.released, assignment.wanted = row[13:]
        return assignment


@mypyc_attr(acyclic=True)
class Agent:
    """The routing state of an agent. Its skills and capacity are configuration and not in here.

    `session` is the socket that holds its lease, `lease_s` the length of a lease taken without one; `grace_until` is
    when it counts as gone, once neither is left. `turn_at` is when it was last offered something; `paused` why a
    supervisor keeps new work from it. `open` are its open assignments: load follows from them.
    """

    __slots__ = (
        *("grace_until", "id", "idle_since", "lease_s", "misses", "open", "paused", "reason", "session", "status"),
        "turn_at",
    )

    def __init__(self, agent_id: str) -> None:
        self.id = agent_id
        self.status: Presence = "offline"
        self.reason: str | None = None
        self.session: str | None = None
        self.lease_s: int | None = None
        self.grace_until: int | None = None
        self.idle_since = 0
        self.misses = 0
        self.turn_at = 0
        self.paused: str | None = None
        self.open: tuple[Assignment, ...] = ()

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
        units = 0
        for each in self.open:
            units += each.units
        return units

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
        agent = cls(row[0])
        agent.status, agent.reason, agent.session, agent.lease_s, agent.grace_until = row[1:6]
        agent.idle_since, agent.misses, agent.turn_at, agent.paused = row[6:]
        return agent


@mypyc_attr(acyclic=True)
class Collaboration:
    """Help with a contact by a second agent or a department; the lead stays responsible for the contact.

    `agent_id` is who was asked, and from acceptance on who helps; `by` who asked. `…_by` are deadlines, None where none
    runs; `told` those that were warned of (`feedback.warning`) or escalated (`feedback.escalated`).
    """

    __slots__ = (
        *("accepted_at", "agent_id", "answered_at", "approved", "asked_until", "by", "closed_at", "contact_id"),
        *("deadlines", "department", "feedback_by", "id", "kind", "lead_by", "progress_by", "reason", "requested_at"),
        *("requirements", "solution_by", "state", "told"),
    )

    def __init__(
        self, collaboration_id: str, contact_id: str, kind: str, by: str, requested_at: int, state: str = "requested"
    ) -> None:
        self.id = collaboration_id
        self.contact_id = contact_id
        self.kind = kind
        self.by = by
        self.requested_at = requested_at
        self.state = state
        self.department: str | None = None
        self.requirements: tuple[Requirement, ...] = ()
        self.agent_id: str | None = None
        self.deadlines = Deadlines()
        self.feedback_by: int | None = None
        self.progress_by: int | None = None
        self.lead_by: int | None = None
        self.solution_by: int | None = None
        self.accepted_at: int | None = None
        self.answered_at: int | None = None
        self.approved: bool | None = None
        self.told: tuple[str, ...] = ()
        self.reason: str | None = None
        self.closed_at: int | None = None
        self.asked_until: int | None = None

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
        collaboration = cls(row[0], row[1], row[2], row[3], row[4])
        _set(collaboration, values)
        return collaboration


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


def _set(entity: object, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(entity, name, value)


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


def requirements_json(requirements: tuple[Requirement, ...]) -> list[dict[str, Any]]:
    """The JSON form of all of them: one list for all contacts that have them, which nobody may change."""
    shown = _shown.get(requirements)
    if shown is None:
        if len(_shown) >= REQUIREMENTS_MAX:
            _shown.clear()
        shown = _shown[requirements] = _Shown(_one(requirements), [requirement_json(each) for each in requirements])
    _latest.shown = shown
    return shown.data


def requirements_from(data: list[dict[str, Any]]) -> tuple[Requirement, ...]:
    """The inverse of `requirements_json`."""
    shown = _latest.shown
    if data is shown.data:
        return shown.requirements
    return _one(tuple([_requirement_from(each) for each in data])) if data else ()


def tags_from(data: list[str]) -> tuple[str, ...]:
    """The tags that an event names: the same object for all contacts that have them."""
    return _one(tuple(data)) if data else ()


def _one(values: tuple[T, ...]) -> tuple[T, ...]:
    """Of equal tuples always the same one, so that a million contacts do not keep a million of them."""
    if len(_equal) >= REQUIREMENTS_MAX:
        _equal.clear()
    return _equal.setdefault(values, values)


def _requirement_from(data: Mapping[str, Any]) -> Requirement:
    get = data.get
    return requirement(
        data["tag"],
        data["skill"],
        get("level", 1),
        get("weight", 1),
        get("lapses_at"),
        required=get("required", True),
        shared=get("shared", False),
    )


def requirement(
    tag: str, skill: str, level: int, weight: int, lapses_at: int | None, *, required: bool, shared: bool = False
) -> Requirement:
    """The requirement of these values: the same object for all contacts that have it, but for one that lapses."""
    values = (tag, skill, level, required, weight, lapses_at, shared)
    if lapses_at is not None:
        return Requirement(*values)
    known = _known.get(values)
    if known is None:
        if len(_known) >= REQUIREMENTS_MAX:
            _known.clear()
        known = _known[values] = Requirement(*values)
    return known


def terms_json(terms: Terms) -> dict[str, list[str]]:
    """The JSON form of terms: only what is set."""
    if terms is NO_TERMS:
        return {}
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
    return dump(requirements_json(requirements))


def dump(value: object) -> str:
    """JSON text of a value."""
    return _encode(value).decode()
