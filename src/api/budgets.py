"""How much may still be sent to a customer: shown to agents before it bites, and a deadline for those who wait."""

import asyncio
from typing import Final

import structlog

from src.api.context import Services
from src.channels.base import Rations, Said
from src.delivery import views
from src.dispatch import jobs
from src.errors import Refused, StoreUnreachable
from src.router import commands
from src.router.folds import FLAGGED_ESCALATED

WARN_SHARE: Final = 1 / 12
"""When so little of the time is left in which a customer may be written to (of 48 hours, four), it is said."""

ROUND_S: Final = 300.0
CONTACTS_A_ROUND: Final = 500
BY: Final = "service"
REASON: Final = "reply_window_closing"

_log = structlog.get_logger(__name__)


async def with_budget(services: Services, tenant: str, shown: views.Json, who: tuple[str, str, str]) -> views.Json:
    """The same with `reply_budget`: how much may still be sent to a customer, and until when.

    Null: there is no such limit. `who`: channel, account and customer. `warning`: one message is left, or little time.
    """
    channel_name, account, customer_id = who
    channel = services.channels.get(channel_name)
    if not isinstance(channel, Rations):
        return shown | {"reply_budget": None}
    now = services.clock.now_ms()
    found = await services.queries.between(tenant, channel_name, account, customer_id, now - channel.window_s * 1_000)
    said = [
        Said(each.at, each.sender, each.kind, each.payload, *(() if out is None else (out.state, out.reason)))
        for each, out in found
    ]
    left = channel.budget(said, now)
    soon = left.messages <= 1 or left.until - now < left.seconds * 1_000 * WARN_SHARE
    budget = {"messages": left.messages, "until": views.rfc3339(left.until), "warning": soon}
    return shown | {"reply_budget": budget}


async def keep_windows(found: Services) -> None:
    """Look again and again, for the tenants that this process serves."""
    while True:
        try:
            await escalate_closing(found)
        except (Refused, StoreUnreachable) as error:
            _log.warning("windows.not_kept", error=str(error))
        await asyncio.sleep(ROUND_S)


async def escalate_closing(found: Services) -> None:
    """Escalate, once, contacts whose customer waits for an answer that can soon no longer be sent."""
    for name, channel in found.channels.items():
        if not isinstance(channel, Rations):
            continue
        closing_ms = int(channel.window_s * 1_000 * (1 - WARN_SHARE))
        for tenant, account in await found.queries.accounts_of(name):
            if not found.owner.serves(tenant):
                continue
            now = found.clock.now_ms()
            heard = (now - channel.window_s * 1_000, now - closing_ms)
            closing = await found.queries.unanswered(
                tenant, name, account.name, heard, FLAGGED_ESCALATED, CONTACTS_A_ROUND
            )
            for contact_id in closing:
                command = commands.Escalate(contact_id, BY, reason=REASON)
                await found.owner.submit(tenant, jobs.OnContact(contact_id, command))
