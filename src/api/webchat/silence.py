"""Ends conversations in which nobody has said anything for as long as the website's settings allow."""

import asyncio
from typing import Final

import structlog

from src.api.context import Services
from src.api.webchat.entrance import CHANNEL
from src.channels.webchat.site import site_of
from src.dispatch import jobs
from src.errors import Refused, StoreUnreachable
from src.router import commands

ROUND_S: Final = 10.0
CONTACTS_A_ROUND: Final = 200
REASON: Final = "silence"

_log = structlog.get_logger(__name__)


async def keep_silence(found: Services) -> None:
    """Look again and again, for the tenants that this process serves."""
    while True:
        try:
            await end_silent(found)
        except (Refused, StoreUnreachable) as error:
            _log.warning("webchat.silence_not_kept", error=str(error))
        await asyncio.sleep(ROUND_S)


async def end_silent(found: Services) -> None:
    """Look once."""
    for tenant, account in await found.queries.accounts_of(CHANNEL):
        silence_s = site_of(account.settings).silence_s
        if silence_s is None or not found.owner.serves(tenant):
            continue
        since = found.clock.now_ms() - silence_s * 1000
        for contact_id in await found.queries.silent(tenant, CHANNEL, account.name, since, CONTACTS_A_ROUND):
            job = jobs.OnContact(contact_id, commands.Cancel(contact_id, REASON))
            await found.owner.submit(tenant, job)
