"""Bodies about agents: who they are, whether they are there, what they do with offers and assignments."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from src.api.schemas.base import Body, ChannelName, Language, Level, Moment, Name, Short, Teams, Text
from src.cluster.wire import forwardable


class ChannelLimitBody(Body):
    """Units that one contact of a channel costs, and how many at most.

    `excludes`: channels of which the agent has none at the same time (`*`: all others), either way round.
    `interruptible`: the work steps aside for a contact of a channel that is not.
    """

    cost: Annotated[int, Field(ge=0, le=1_000_000)]
    max: Annotated[int, Field(ge=1, le=1_000)] = 1
    excludes: Annotated[list[ChannelName | Literal["*"]], Field(max_length=50)] = []
    interruptible: bool = False


class SkillBody(Body):
    """A skill that is gone after a time, unless it is renewed."""

    level: Level
    until: Moment


class NewcomerBody(Body):
    """Until then the agent has this share of its capacity, at least for one contact."""

    until: Moment
    percent: Annotated[int, Field(ge=1, le=100)] = 50


Phone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+][A-Za-z0-9+_.@:/-]{0,127}$")]
"""An agent's telephone: what a telephone system puts into its own form (`anna`, `1001`), or that form itself
(`PJSIP/anna`). Nothing in it means anything else to any of them."""


class AgentBody(Body):
    """An agent. Without `channels` it takes any channel, one contact at a time.

    A skill is a level from 1 to 100, or `{"level", "until"}`. The mentor is asked first when the agent asks for help.
    `phone` is what telephone systems ring with an offer of a call; without it they ring nothing.
    """

    name: Text = ""
    skills: Annotated[dict[Name, Level | SkillBody], Field(max_length=200)] = {}
    languages: Annotated[list[Language], Field(max_length=50)] = []
    capacity: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    channels: Annotated[dict[ChannelName, ChannelLimitBody], Field(max_length=50)] | None = None
    teams: Teams = []
    mentor_id: Name | None = None
    newcomer: NewcomerBody | None = None
    phone: Phone | None = None


class PresenceBody(Body):
    """What an agent says of itself. `lease_s` counts only while no socket holds the lease."""

    status: Literal["available", "away", "offline"]
    reason: Short | None = None
    lease_s: Annotated[int, Field(ge=5, le=86_400)] = 3600


class DeclineBody(Body):
    """Why an offer is not taken."""

    reason: Short | None = None


@forwardable
class CompleteBody(Body):
    """How it ended. A queue may require some `fields`; the note counts as the field `note`."""

    resolved: bool | None = None
    disposition: Short | None = None
    note: Text | None = None
    fields: Annotated[dict[Name, Text], Field(max_length=50)] = Field(default_factory=dict)
