"""The journal: what an event is. `events` has the kinds of events, and the shape of each kind's `data`."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

VERSION: Final = 2
"""The version of the shapes in `events`; version 1 lacked terms, kinds of target, pilots and turns.

A release reads a new one before any release writes it.
"""


class Event(Struct, frozen=True, gc=False):
    """One line of a tenant's journal. `seq` is consecutive from 1; `at` is in milliseconds and never goes back."""

    seq: int
    type: str
    at: int
    contact_id: str | None = None
    agent_id: str | None = None
    customer_id: str | None = None
    data: Mapping[str, Any] = {}
    version: int = VERSION
