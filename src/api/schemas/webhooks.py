"""Bodies about webhooks: where a tenant's events are posted."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from src.api.schemas.base import WEEK_S, Body, Name
from src.dispatch.signatures import key_of


def _secret(value: str) -> str:
    key_of(value)
    return value


EventType = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.([a-z_]+|\*)$", max_length=64)]
Secret = Annotated[str, StringConstraints(max_length=128), AfterValidator(_secret)]


class WebhookBody(Body):
    """Where events are posted, and which: `types` (`contact.closed`, `sla.*`), all where there are none.

    `alarms`: of alarms only those of these names, all where there are none.

    `secret` (`whsec_…`) is what they are signed with; it is never read back, and made where none is given. `personal`:
    events hold what came from the customer, as streams do; null: if whoever configures it may read contacts. One that
    is not `enabled` goes on from where it was once it is.
    """

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    types: Annotated[list[EventType], Field(max_length=100)] = []
    alarms: Annotated[list[Name], Field(max_length=100)] = []
    secret: Secret | None = None
    personal: bool | None = None
    enabled: bool = True


class RotateWebhookBody(Body):
    """A new secret (null: one is made); with the one before, everything is signed too for `overlap_s`."""

    secret: Secret | None = None
    overlap_s: Annotated[int, Field(ge=0, le=WEEK_S)] = 86_400


class ReplayBody(Body):
    """Which of the events that were given up are tried again, by number; null: all, up to a thousand."""

    seqs: Annotated[list[Annotated[int, Field(ge=1, le=2**53)]], Field(min_length=1, max_length=1_000)] | None = None
