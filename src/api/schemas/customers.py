"""Bodies about customers: what may be changed of them, who is who, what people settle."""

from typing import Annotated, Literal

from pydantic import Field

from src.api.schemas.base import Account, Attributes, Body, ChannelName, Id, Name, Short, Text
from src.api.schemas.contacts import IdentityBody


class CustomerPatch(Body):
    """What may be changed of a customer; what is left out stays.

    `preferred_channel` is the one over which it would have us turn to it: follow-ups go there if nothing else is said.
    """

    display_name: Short | None = None
    tier: Name | None = None
    preferred_agent_id: Name | None = None
    preferred_channel: ChannelName | None = None
    attributes: Attributes | None = None
    tags: Annotated[list[Name], Field(max_length=50)] | None = None


class IdentifyBody(IdentityBody):
    """An identity that a customer has; `account` for those that mean something only at one account.

    Only a gateway can say that it is `proven`: what an agent was told was typed in.
    """

    account: Account = ""
    proven: bool | None = False


class MergeBody(Body):
    """The customer that is the same one: it is merged into the one that the address names."""

    customer_id: Id


class UnmergeBody(Body):
    """The customer that is another one after all: the merge that brought it in is undone."""

    customer_id: Id


class ConflictVerdict(Body):
    """Whether the two are one."""

    verdict: Literal["merge", "apart"]


class SatisfactionBody(Body):
    """How satisfied the customer was: 1 (not at all) to 5."""

    score: Annotated[int, Field(ge=1, le=5)]
    comment: Text | None = None


class ReviewBody(Body):
    """What whoever looked at the contact has to say."""

    note: Text | None = None
