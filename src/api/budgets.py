"""How much may still be sent to a customer: shown to agents before it bites."""

from typing import Final

from src.api.context import Services
from src.channels.base import Rations, Said
from src.delivery import views

WARN_SHARE: Final = 1 / 12
"""When so little of the time is left in which a customer may be written to (of 48 hours, four), it is said."""


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
        Said(each.at, each.sender, each.kind, each.payload, None if outgoing is None else outgoing.state)
        for each, outgoing in found
    ]
    left = channel.budget(said, now)
    soon = left.messages <= 1 or left.until - now < left.seconds * 1_000 * WARN_SHARE
    budget = {"messages": left.messages, "until": views.rfc3339(left.until), "warning": soon}
    return shown | {"reply_budget": budget}
