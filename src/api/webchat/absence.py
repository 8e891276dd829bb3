"""Ends the waiting of visitors who went away: who was not seen for as long as the settings say has given up.

The process that serves a tenant looks. It counts no time in which it did not look, or in which nobody could be written
down: after a crash, a hand-over or an outage of the database visitors have all of their time again to come back.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from src.api.context import Services
from src.api.webchat.entrance import CHANNEL
from src.api.webchat.presence import BEAT_S, QUEUED
from src.channels.webchat.site import PATIENCE_S_MAX, site_of
from src.dispatch import jobs
from src.errors import Refused, StoreUnreachable
from src.router import commands

SLACK_S: Final = 3 * BEAT_S
"""Visitors may be away for so much longer: they may have been here behind the last time that it was written down."""

ROUND_S: Final = 10.0
ROUND_S_MAX: Final = 60.0
"""A look that comes so late after the last one begins anew: nobody knows what happened meanwhile."""

CONTACTS_A_ROUND: Final = 200

_log = structlog.get_logger(__name__)


class Absence:
    """Looks for visitors who are missing, in the tenants that this process serves."""

    def __init__(self, found: Services, now_s: Callable[[], float]) -> None:
        self._found, self._now_s = found, now_s
        self._since: dict[str, float] = {}
        self._looked_at = float("-inf")

    async def run(self) -> None:
        """Again and again."""
        while True:
            try:
                await self.look()
            except StoreUnreachable as error:
                _log.warning("webchat.absence_not_looked_for", error=str(error))
                self._since.clear()
            await asyncio.sleep(ROUND_S)

    async def look(self) -> None:
        """Once."""
        found, now_s = self._found, self._now_s()
        if now_s - self._looked_at > ROUND_S_MAX:
            self._since.clear()
        self._looked_at = now_s
        accounts = await found.queries.accounts_of(CHANNEL)
        served = {tenant for tenant, _ in accounts if found.owner.serves(tenant)}
        self._since = {tenant: self._since.get(tenant, now_s) for tenant in served}
        for tenant, account in accounts:
            if tenant not in served:
                continue
            absence_s = site_of(account.settings).absence_s
            patience_s = (PATIENCE_S_MAX if absence_s is None else absence_s) + SLACK_S
            if now_s - self._since[tenant] < patience_s:
                continue
            try:
                await self._give_up(tenant, account.name, patience_s, never=absence_s is None)
            except Refused as refusal:
                _log.warning("webchat.absence_not_ended", account=account.name, error=str(refusal))

    async def _give_up(self, tenant: str, account: str, patience_s: float, *, never: bool) -> None:
        """End what nobody waits for any more. Whoever need not be there, or is served, is looked at again later."""
        found = self._found
        absent = await found.visits.absent(tenant, account, round(patience_s * 1000), CONTACTS_A_ROUND)
        over = [each.contact_id for each in absent if each.state in ("wrap_up", "closed")]
        later = [each.contact_id for each in absent if each.state not in ("wrap_up", "closed")]
        for each in absent:
            if each.state in QUEUED and not each.leaves and not never:
                job = jobs.OnContact(each.contact_id, commands.Cancel(each.contact_id, commands.ABSENCE))
                await found.owner.submit(tenant, job)
        await found.visits.forget(tenant, over)
        await found.visits.seen(tenant, later)
