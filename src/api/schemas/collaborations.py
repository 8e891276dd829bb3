"""Bodies about collaborations: help from a second agent, from whoever has the skills, or from a department."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from src.api.schemas.base import Body, DeadlinesBody, LongSeconds, Name, ReasonBody, Text
from src.api.schemas.contacts import Tags


class CollaborateBody(Body):
    """Whose help is wanted: exactly one of agent, department and tags (whoever has their skills).

    `respond_within_s` is short for the deadline `feedback_s`. Deadlines that are left out are the department's, else
    the tenant's. An `approval` is asked of one agent.
    """

    tags: Annotated[Tags, Field(min_length=1)] | None = None
    department: Name | None = None
    agent_id: Name | None = None
    approval: bool = False
    respond_within_s: LongSeconds | None = None
    deadlines: DeadlinesBody | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _one_target(self) -> "CollaborateBody":
        if sum(each is not None for each in (self.tags, self.department, self.agent_id)) != 1:
            raise ValueError("name exactly one of tags, department and agent_id")
        if self.approval and self.agent_id is None:
            raise ValueError("an approval names its approver in agent_id")
        if self.respond_within_s is not None and self.deadlines is not None and self.deadlines.feedback_s is not None:
            raise ValueError("respond_within_s and deadlines.feedback_s are the same: name one")
        return self


class HelpBody(Body):
    """Who helps; an agent names nobody, or itself."""

    agent_id: Name | None = None


class ReplyBody(Body):
    """A word of the helper, or of the lead (`progress` alone); `approved` answers an approval."""

    kind: Literal["progress", "feedback", "solution"] = "feedback"
    text: Annotated[Text, StringConstraints(min_length=1)] | None = None
    approved: bool | None = None


class CloseBody(ReasonBody):
    """Why no more help is needed, or none was given."""
