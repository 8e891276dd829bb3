"""Which visitors are here: it is written down now and then, by whichever process has their browser.

a socket, a stream ──┐
a request ───────────┴─► Presence ──now and then──► visits ──► Absence (the tenant's owner)
"""

import asyncio
from collections import defaultdict
from typing import Final, Protocol

import structlog

from src.errors import StoreUnreachable
from src.store.visits import Visits

BEAT_S: Final = 5.0
"""How often it is written down who is here."""

QUEUED: Final = frozenset({"waiting", "offered"})
"""States of contacts whose visitors wait for an answer."""

_log = structlog.get_logger(__name__)


class Visiting(Protocol):
    """A visitor who has something open. `state` is its contact's."""

    contact_id: str | None
    state: str | None

    @property
    def tenant(self) -> str:
        """Whose visitor it is."""


class Presence:
    """The visitors who are here, in this process: by what they have open, or asked for since the last beat."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._here: set[Visiting] = set()
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def enter(self, visit: Visiting) -> None:
        """Somebody has come, and is here until it leaves."""
        self._here.add(visit)

    def leave(self, visit: Visiting) -> None:
        """It is not here any more."""
        if visit in self._here:
            self._here.discard(visit)
            self._note(visit)

    def saw(self, tenant: str, contact_id: str) -> None:
        """The visitor of a contact was here just now."""
        self._seen[tenant].add(contact_id)

    def _note(self, visit: Visiting) -> None:
        if visit.contact_id is not None and visit.state in QUEUED:
            self.saw(visit.tenant, visit.contact_id)

    async def beat(self) -> None:
        """Write down who is here, or was since the last time."""
        for each in self._here:
            self._note(each)
        for tenant in list(self._seen):
            contact_ids = self._seen.pop(tenant)
            try:
                await self._visits.seen(tenant, contact_ids)
            except StoreUnreachable:
                self._seen[tenant] |= contact_ids
                raise

    async def run(self) -> None:
        """Again and again."""
        while True:
            try:
                await self.beat()
            except StoreUnreachable as error:
                _log.warning("webchat.presence_not_written", error=str(error))
            await asyncio.sleep(BEAT_S)
