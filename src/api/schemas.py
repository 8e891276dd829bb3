"""What comes in over REST, as pydantic models: strict types, no unknown fields, every size bounded."""

import math
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from src.dispatch.inbound import TagRequest

TEXT_CHARS_MAX: Final = 20_000
ATTRIBUTES_DEPTH_MAX: Final = 8
PRIORITY_S_MAX: Final = 10_000_000
_INT_MAX: Final = 2**53


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain NUL")
    return value


def _plain_json(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  # any JSON value
    """Refuse what JSON, or what keeps it, cannot hold: NUL, NaN, half characters, numbers without end, deep nesting."""
    if depth > ATTRIBUTES_DEPTH_MAX:
        raise ValueError(f"must not be nested deeper than {ATTRIBUTES_DEPTH_MAX}")
    if isinstance(value, str):
        _no_nul(value)
        value.encode()
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    elif isinstance(value, int) and abs(value) > _INT_MAX:
        raise ValueError("must be an integer that JSON readers agree on")
    elif isinstance(value, dict):
        for key, each in value.items():
            _plain_json(key, depth)
            _plain_json(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _plain_json(each, depth + 1)
    return value


NAME_PATTERN: Final = r"^[^\s/\x00-\x1f\x7f]([^/\x00-\x1f\x7f]{0,126}[^\s/\x00-\x1f\x7f])?$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=128)]
"""The name of a tag, skill, queue, team, agent: no slash, no control character, no space at either end."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""An id that this service gave."""

ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Account = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,128}$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX), AfterValidator(_no_nul)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_nul)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}$")]
Level = Annotated[int, Field(ge=1, le=100)]
Attributes = Annotated[dict[str, Any], Field(max_length=100), AfterValidator(_plain_json)]
PrioritySeconds = Annotated[int, Field(ge=-PRIORITY_S_MAX, le=PRIORITY_S_MAX)]


class Body(BaseModel):
    """What every body shares."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TagBody(Body):
    """A problem tag with its terms."""

    tag: Name
    level: Level = 1
    required: bool = True
    weight: Annotated[int, Field(ge=0, le=1000)] = 1
    expires_after_s: Annotated[int, Field(ge=1, le=604_800)] | None = None


Tags = Annotated[list[Name | TagBody], Field(max_length=32)]


def tag_requests(tags: list[str | TagBody] | None) -> tuple[TagRequest, ...] | None:
    """The engine's form; a string is the tag at level 1, required."""
    if tags is None:
        return None
    return tuple(TagRequest(each) if isinstance(each, str) else TagRequest(**each.model_dump()) for each in tags)


class IdentityBody(Body):
    """One address of a customer."""

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Short
    display_name: Short | None = None


class ContactBody(Body):
    """An inbound contact."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "voice",
                    "external_id": "call-1",
                    "identity": {"type": "phone", "value": "+8613800138000", "display_name": "Zhang San"},
                    "tags": ["logistics", {"tag": "refund", "level": 50}],
                    "language": "zh",
                }
            ]
        }
    )

    channel: ChannelName
    account: Account = ""
    external_id: Short | None = None
    identity: IdentityBody
    text: Text | None = None
    tags: Tags | None = None
    language: Language | None = None
    priority: PrioritySeconds = 0
    queue: Name | None = None
    attributes: Attributes = {}


class BatchBody(Body):
    """Up to 500 contacts; each is judged on its own."""

    items: Annotated[list[Any], Field(min_length=1, max_length=500)]


class ContactPatch(Body):
    """What may change while a contact waits."""

    tags: Tags | None = None
    queue: Name | None = None
    priority: PrioritySeconds | None = None
    attributes: Attributes | None = None


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


class TransferBody(Body):
    """Where to, and why."""

    to: TransferTarget
    reason: Short | None = None
    note: Text | None = None


class MessageBody(Body):
    """One message of a conversation."""

    external_id: Short | None = None
    from_: Annotated[Literal["customer"], Field(alias="from")] = "customer"
    kind: Literal["text"] = "text"
    text: Annotated[Text, StringConstraints(min_length=1)]


class ChannelLimitBody(Body):
    """Units that one contact of a channel costs, and how many at most."""

    cost: Annotated[int, Field(ge=0, le=1_000_000)]
    max: Annotated[int, Field(ge=1, le=1_000)] = 1


class AgentBody(Body):
    """An agent. Without `channels` it takes any channel, one contact at a time."""

    name: Text = ""
    skills: Annotated[dict[Name, Level], Field(max_length=200)] = {}
    languages: Annotated[list[Language], Field(max_length=50)] = []
    capacity: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    channels: Annotated[dict[ChannelName, ChannelLimitBody], Field(max_length=50)] | None = None
    teams: Annotated[list[Name], Field(max_length=50)] = []


class PresenceBody(Body):
    """What an agent says of itself. `lease_s` counts only while no socket holds the lease."""

    status: Literal["available", "away", "offline"]
    reason: Short | None = None
    lease_s: Annotated[int, Field(ge=5, le=86_400)] = 3600


class DeclineBody(Body):
    """Why an offer is not taken."""

    reason: Short | None = None


class CompleteBody(Body):
    """How it ended."""

    resolved: bool | None = None
    disposition: Short | None = None
    note: Text | None = None


class ServiceLevel(Body):
    """Answered within so many seconds, for so many of a hundred contacts."""

    within_s: Annotated[int, Field(ge=1, le=604_800)] = 30
    percent: Annotated[int, Field(ge=1, le=100)] = 95


class QueueBody(Body):
    """A routing policy."""

    service_level: ServiceLevel = ServiceLevel()
    offer_timeout_s: Annotated[int, Field(ge=1, le=3_600)] = 20
    wrap_up_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    reoffer_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    teams: Annotated[list[Name], Field(max_length=50)] = []
    distribution: Literal["longest_idle"] = "longest_idle"
    steps: Annotated[list[Any], Field(max_length=0)] = []
    max_length: None = None
    max_wait_s: None = None
    overflow: None = None
    hours: None = None
    paused: Literal[False] = False


class TagConfigBody(Body):
    """What finds a tag in a text, and the skills that it asks for."""

    model_config = ConfigDict(populate_by_name=True)

    keywords: Annotated[dict[Language, list[Short]], Field(max_length=20)] = {}
    except_: Annotated[list[Short], Field(alias="except", max_length=200)] = []
    requires: Annotated[dict[Name, Level], Field(max_length=20)] = {}


class RuleWhen(Body):
    """Every condition that is not empty must hold."""

    tags_any: Annotated[list[Name], Field(max_length=100)] = []
    channels: Annotated[list[ChannelName], Field(max_length=50)] = []
    customer_tiers: Annotated[list[Name], Field(max_length=50)] = []


class RuleThen(Body):
    """What follows. Priority (seconds) and tags of all rules that hold add up; the first queue counts."""

    queue: Name | None = None
    priority: PrioritySeconds = 0
    add_tags: Annotated[list[Name], Field(max_length=20)] = []


class RuleBody(Body):
    """A classification rule; rules are asked by `order`, then name."""

    order: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    when: RuleWhen = RuleWhen()
    then: RuleThen


class SettingsBody(Body):
    """The tenant's settings."""

    presence_grace_s: Annotated[int, Field(ge=0, le=3_600)] = 30
    on_agent_lost: dict[ChannelName | Literal["*"], Literal["requeue", "hold"]] = {"*": "requeue", "voice": "hold"}
    default_region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "CN"
    missed_offers_max: Annotated[int, Field(ge=1, le=100)] = 3
    reoffer_after_s: Annotated[int, Field(ge=0, le=86_400)] = 30


class AccountBody(Body):
    """A channel account. Secrets are written, never read back."""

    channel: ChannelName
    settings: Attributes = {}
    secrets: Annotated[dict[Name, Short], Field(max_length=20)] = {}
    queue: Name | None = None
    enabled: bool = True


Scope = Literal[
    "contacts:write", "contacts:read", "agents:write", "agents:read", "config:write", "events:read", "admin"
]


class KeyBody(Body):
    """A new API key."""

    name: Short
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=7)]


class TokenBody(Body):
    """A new agent token."""

    agent_id: Name
    role: Literal["agent", "supervisor"] = "agent"
    ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 3600


class CustomerPatch(Body):
    """What may be changed of a customer; what is left out stays."""

    display_name: Short | None = None
    tier: Name | None = None
    preferred_agent_id: Name | None = None
    attributes: Attributes | None = None
    tags: Annotated[list[Name], Field(max_length=50)] | None = None
