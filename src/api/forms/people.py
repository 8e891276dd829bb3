"""What is answered about customers: the unified view, who is who, what people have to settle, what is kept how long."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from src.api.forms.answers import Collaboration, Contact, Customer, Identity, Known, Message, Wait
from src.api.forms.events import Time

Score = Annotated[int, Meta(ge=1, le=5)]


class External(msgspec.Struct, frozen=True, kw_only=True):
    """What other systems know of a contact's customer, by connector."""

    contact_id: str
    customer_id: str
    external: dict[str, Known]


class CustomerIdentity(Identity, frozen=True, kw_only=True):
    """One address of a customer. `strong`: its channel vouches for it; `customer_id` is whom it came as."""

    scope: str | None
    display_name: str | None
    strong: bool
    customer_id: str
    seen_at: Time


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """A customer that was merged into another one."""

    id: str
    into: str
    at: Time
    by: str | None
    reason: str | None


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A customer that may be the same one, and the identities that say so."""

    customer_id: str
    identities: list[Identity]


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two customers of whom it is not clear whether they are one; `verdict` is what a person said of it."""

    id: str
    customer_ids: list[str]
    kind: str
    contact_id: str | None
    at: Time
    settled_at: Time | None
    settled_by: str | None
    verdict: Annotated[str, Meta(extra_json_schema={"enum": ["merge", "apart"]})] | None


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """How satisfied the customer was with a contact, from 1 to 5."""

    contact_id: str
    score: Score
    comment: str | None
    by: str
    at: Time


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """Tags that the customer came with again, and the contacts that it came with before."""

    tags: list[str]
    earlier: list[str]


class Moment(Contact, frozen=True, kw_only=True):
    """A contact of the timeline, with its newest messages, oldest first."""

    messages: list[Message]
    more_messages: bool
    repeat: Repeat | None
    satisfaction: Rating | None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts over every channel, newest first."""

    items: list[Moment]
    next_cursor: str | None


class Satisfaction(msgspec.Struct, frozen=True, kw_only=True):
    """How many contacts were rated, and the mean."""

    rated: int
    mean: float | None


class CustomerView(Customer, frozen=True, kw_only=True):
    """The unified view of a customer, with all that were merged into it."""

    identities: list[CustomerIdentity]
    merged_from: list[Merged]
    suggestions: list[Suggestion]
    conflicts: list[Conflict]
    last_agent_id: str | None
    contacts: list[Contact]
    open_contacts: list[Contact]
    open_collaborations: list[Collaboration]
    satisfaction: Satisfaction
    timeline: Timeline


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that people who watch over quality are to look at, and what they found."""

    contact_id: str
    kind: str
    customer_id: str
    tags: list[str]
    earlier: list[str]
    at: Time
    settled_at: Time | None
    settled_by: str | None
    note: str | None
    contact: Contact | None


class CommonProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A matter that many contacts have. `count` are linked to it; its department is not told of `unreported` yet.

    `note` is the department's answer.
    """

    name: str
    title: str
    department: str
    tags: list[str]
    report_every: int
    state: Annotated[str, Meta(extra_json_schema={"enum": ["open", "solved"]})]
    count: int
    unreported: int
    created_at: Time
    first_seen_at: Time | None
    last_seen_at: Time | None
    reported_at: Time | None
    solved_at: Time | None
    solved_by: str | None
    note: str | None


class LinkedContact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact of a common problem, by ids and codes alone."""

    contact_id: str
    channel: str
    state: str
    outcome: str | None
    queue: str
    tags: list[str]
    created_at: Time
    closed_at: Time | None


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """The ids that answer 410 from now on."""

    customer_ids: list[str]


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is stored of a customer, as it stands in the tables."""

    kind: str
    value: Any


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is stored of a customer, and of those who were merged into it."""

    customer_ids: list[str]
    items: list[Stored]


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """How long a kind of data is kept (null: for good), and how far what is older has been taken away."""

    kind: str
    days: int | None
    until: Time | None
    gone: int
    goes_on: bool
    kept_open: int
    at: Time | None


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Every kind of data that is kept for a while."""

    items: list[Sweep]


class ProgressLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where the customer sees how things stand: a path below the service's public address."""

    path: str
    expires_at: Time


class HelpPromised(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised with help that is asked for or given."""

    state: str
    answer_by: Time | None
    news_by: Time | None
    solution_by: Time | None


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """How one matter stands, as its customer may know."""

    channel: str
    state: str
    opened_at: Time
    promised_at: Time | None
    closed_at: Time | None
    position: int | None
    estimated_wait_s: float | None
    estimated_wait: Wait | None
    collaborations: list[HelpPromised]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer's matters stand."""

    as_of: Time
    expires_at: Time
    matters: list[Matter]
