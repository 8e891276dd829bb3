"""Bodies about contacts: intake, changes, what is done with them by hand, and dry runs."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from src.api.schemas.base import (
    WEEK_S,
    Account,
    Attributes,
    Body,
    ChannelName,
    ChoiceBody,
    Id,
    Language,
    Level,
    Moment,
    Name,
    PrioritySeconds,
    ReasonBody,
    Short,
    Text,
)
from src.cluster.wire import forwardable
from src.dispatch.inbound import TagRequest


class TagBody(Body):
    """A problem tag with its terms."""

    tag: Name
    level: Level = 1
    required: bool = True
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    expires_after_s: Annotated[int, Field(ge=1, le=WEEK_S)] | None = None


Tags = Annotated[list[Name | TagBody], Field(max_length=32)]


def tag_requests(tags: list[str | TagBody] | None) -> tuple[TagRequest, ...] | None:
    """The engine's form; a string is the tag at level 1, required."""
    if tags is None:
        return None
    return tuple(TagRequest(each) if isinstance(each, str) else TagRequest(**each.model_dump()) for each in tags)


class IdentityBody(Body):
    """One address of a customer. `proven`: somebody vouches for it; null: as is usual.

    What a contact came by is proven, but e-mail and what was typed in on a website; of what is said beside it, only ids
    that no person types in. `scope`: where it means that person, or where a person has one of it, if that is not the
    account: a company, an open platform account, several accounts with the same numbers.
    """

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Short
    display_name: Short | None = None
    proven: bool | None = None
    scope: Account = ""


class NeedBody(Body):
    """What a contact brings along for routing. `agents` and `teams`: who may, and who must not, take it.

    Defaults come from factories: pydantic copies any other that is mutable, deeply, for each contact.
    """

    account: Account = ""
    text: Text | None = None
    tags: Tags | None = None
    language: Language | None = None
    priority: PrioritySeconds = 0
    queue: Name | None = None
    attributes: Attributes = Field(default_factory=dict)
    agents: ChoiceBody = Field(default_factory=ChoiceBody)
    teams: ChoiceBody = Field(default_factory=ChoiceBody)


class ContactBody(NeedBody):
    """An inbound contact. `identities` are further ones of the same customer: they say who it is, too."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "voice",
                    "external_id": "call-1",
                    "identity": {"type": "phone", "value": "+8613800138000", "display_name": "Zhang San"},
                    "tags": ["logistics", {"tag": "refund", "level": 50}],
                    "language": "zh",
                    "agents": {"exclude": ["anna"]},
                }
            ]
        }
    )

    channel: ChannelName
    external_id: Short | None = None
    identity: IdentityBody
    identities: Annotated[list[IdentityBody], Field(max_length=10)] = Field(default_factory=list)


class BatchBody(Body):
    """Up to 500 contacts; each is judged on its own."""

    items: Annotated[list[Any], Field(min_length=1, max_length=500)]


@forwardable
class ContactPatch(Body):
    """What may change while a contact waits, and of one that an agent has, tags and attributes; the rest stays."""

    tags: Tags | None = None
    queue: Name | None = None
    priority: PrioritySeconds | None = None
    attributes: Attributes | None = None
    agents: ChoiceBody | None = None
    teams: ChoiceBody | None = None


class ExplainBody(NeedBody):
    """A contact that does not exist, described like one, or the `contact_id` of one that does.

    `identity` or `customer_id` say whose it would be, if that matters.
    """

    contact_id: Id | None = None
    channel: ChannelName | None = None
    identity: IdentityBody | None = None
    customer_id: Id | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "ExplainBody":
        if self.contact_id is not None and self.model_fields_set != {"contact_id"}:
            raise ValueError("contact_id stands alone")
        if self.contact_id is None and self.channel is None:
            raise ValueError("name a contact_id, or describe a contact: at least its channel")
        return self


class AddressBody(Body):
    """One of the customer's addresses."""

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Short


class FollowUpBody(Body):
    """On which channel the customer is reached, and at which of its addresses: null, the usual one there.

    Where no `channel` is given, it is the one that the customer prefers, if it can be reached there, else that of the
    contact. In quiet hours, and beyond what the tenant allows within some time, only what is `urgent` is begun:
    `reason` says why.

    `agent_id` is who reaches it, null: whoever answers for the contact, or had it last. `text` says what for.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"channel": "voice", "text": "Walk through the refund"}]})

    channel: ChannelName | None = None
    account: Account = ""
    external_id: Short | None = None
    identity: AddressBody | None = None
    text: Text | None = None
    agent_id: Name | None = None
    urgent: bool = False
    reason: Short | None = None

    @model_validator(mode="after")
    def _whole(self) -> "FollowUpBody":
        if self.external_id is not None and self.channel is None:
            raise ValueError("an external_id needs its channel")
        if self.urgent != (self.reason is not None):
            raise ValueError("what is urgent needs a reason, and nothing else does")
        return self


class CancelBody(Body):
    """Why the contact ends: `abandoned` when the customer gave up."""

    reason: Short = "abandoned"


class TransferTarget(Body):
    """Exactly one of the three."""

    agent_id: Name | None = None
    queue: Name | None = None
    tags: Tags | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> "TransferTarget":
        if sum(each is not None for each in (self.agent_id, self.queue, self.tags)) != 1:
            raise ValueError("name exactly one of agent_id, queue and tags")
        return self


class TransferBody(ReasonBody):
    """Where to, and why. `dry_run`: only the estimated wait and who could take it, to be told first."""

    to: TransferTarget
    note: Text | None = None
    dry_run: bool = False


class ReturnBody(ReasonBody):
    """Why the contact goes back to where it came from."""

    note: Text | None = None


class ParkBody(Body):
    """Until when the contact is set aside, and whom it waits for.

    `promised`: the agent promised a time; `customer`, `department`: for their answer, at the latest until then.
    """

    until: Moment
    reason: Literal["promised", "customer", "department"] = "promised"
    note: Text | None = None


class ResumeBody(Body):
    """Why a parked contact comes back before its time."""

    reason: Short = "requested"


class AssignBody(ReasonBody):
    """Whose the contact becomes at once; over the agent's capacity only by `force`."""

    agent_id: Name
    force: bool = False


class PinBody(ReasonBody):
    """The only agent that may have the contact, there or not; null: all that fit again."""

    agent_id: Name | None


class ProgressLinkBody(Body):
    """A link to a customer's progress: to this contact alone, or also to whatever else is open of the customer's."""

    matters: Literal["open", "this"] = "open"
    ttl_s: Annotated[int, Field(ge=60, le=7_776_000)] = 604_800
