"""What comes in from channels that are spoken natively: the account it is for, and the way into the tenant's loop."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from src.api.context import Services, region_for
from src.channels.base import Account, Channel
from src.dispatch import jobs
from src.dispatch.inbound import Inbound, InboundDigits, InboundHangup
from src.dispatch.turn import Repeated
from src.errors import NotFound, UnknownReference


async def account_of(found: Services, channel_name: str, account_name: str) -> tuple[Channel, Account]:
    """A configured account that is in use, its secrets opened, and its channel.

    Raises:
        NotFound: there is none.
    """
    channel, entry = found.channels.get(channel_name), await found.queries.account(account_name)
    if channel is None or entry is None or entry[1].channel != channel_name or not entry[1].enabled:
        raise NotFound("there is no such channel account")
    tenant, fact = entry
    secrets = {name: found.sealer.open(sealed) for name, sealed in fact.secrets.items()}
    return channel, Account(tenant, fact.name, fact.channel, fact.settings, secrets, fact.queue)


async def take(found: Services, account: Account, inbound: Sequence[Inbound]) -> Sequence[jobs.Taken]:
    """Have what came in taken, in its order."""
    known = [each for each in inbound if not isinstance(each, InboundHangup | InboundDigits)]
    said = chain.from_iterable((each.identity, *each.also) for each in known)
    region = await region_for(found, account.tenant, said)
    taken = []
    for each in inbound:
        try:
            done = await found.owner.submit(account.tenant, jobs.take(each, region))
        except UnknownReference:  # the account's queue has gone: the customer is not to suffer for it
            assert not isinstance(each, InboundHangup | InboundDigits)
            done = await found.owner.submit(account.tenant, jobs.take(replace(each, queue=None), region))
        assert not isinstance(done, Repeated)
        taken.append(done)
    return taken
