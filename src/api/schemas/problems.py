"""Bodies about common problems."""

from typing import Annotated

from pydantic import Field

from src.api.schemas.base import Body, Name, Short, Text


class CommonProblemBody(Body):
    """A matter that many contacts have, and the department that it goes to.

    The department is told of the first contact that is linked to it, and then of every `report_every` more. `tags` say
    which contacts it is likely to be about: they link nothing by themselves.
    """

    title: Short
    department: Name
    tags: Annotated[list[Name], Field(max_length=50)] = []
    report_every: Annotated[int, Field(ge=1, le=200)] = 10


class LinkBody(Body):
    """The common problem that a contact is linked to: one, this instead of any before."""

    name: Name


class SolveBody(Body):
    """The department's answer, for all who have such a contact. It outlasts customers, and must name none."""

    note: Text | None = None
