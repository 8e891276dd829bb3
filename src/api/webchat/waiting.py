"""Those who wait, and are told how it goes: position and estimated wait, asked for all of a tenant at once."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from src.dispatch.owner import Owner
from src.dispatch.ports import Clock
from src.router.waits import Estimate

ROUND_S: Final = 2.0
"""How often those who wait are looked at."""

CONTACTS_A_LOOK: Final = 500
STAFFING_S: Final = 5.0
"""For so long it is remembered whether somebody is there."""

STAFFING_MAX: Final = 10_000
_ESTIMATE_S: Final = 10
_ESTIMATE_SHARE: Final = 0.2


@dataclass(eq=False)
class Told:
    """What a visitor has been told of its wait, and how to wake whoever tells it. `news`: there is more to tell."""

    position: int | None = None
    wait_s: int | None = None
    news: bool = False
    wake: Callable[[], None] | None = None

    def hear(self, position: int | None, estimate: Estimate | None) -> None:
        """Note how it goes. An estimate that moved a little is no news."""
        wait_s = None if estimate is None else round(estimate.wait_s)
        if position is None or (position == self.position and not _moved(self.wait_s, wait_s)):
            return
        self.position, self.wait_s, self.news = position, wait_s, True
        if self.wake is not None:
            self.wake()

    def forget(self) -> None:
        """It waits no more."""
        self.position = self.wait_s = None
        self.news = False


def _moved(before: int | None, now: int | None) -> bool:
    if before is None or now is None:
        return before is not now
    return abs(now - before) >= max(_ESTIMATE_S, before * _ESTIMATE_SHARE)


class Waiting:
    """The visitors of this process whose contacts wait. `channel` is what they wait for an agent of."""

    def __init__(self, owner: Owner, clock: Clock, channel: str = "webchat") -> None:
        self._owner, self._clock, self._channel = owner, clock, channel
        self._told: defaultdict[str, dict[str, dict[Told, None]]] = defaultdict(dict)
        self._staffing: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def enter(self, tenant: str, contact_id: str, told: Told) -> None:
        """Tell of this contact's wait from now on."""
        self._told[tenant].setdefault(contact_id, {})[told] = None

    def leave(self, tenant: str, contact_id: str | None, told: Told) -> None:
        """Tell of it no more."""
        contacts = self._told.get(tenant)
        same = None if contacts is None or contact_id is None else contacts.get(contact_id)
        if contacts is None or contact_id is None or same is None:
            return
        same.pop(told, None)
        if not same:
            del contacts[contact_id]
        if not contacts:
            del self._told[tenant]

    async def staffing(self, tenant: str, queue: str) -> str:
        """Whether somebody would be there: `open`, `closed` or `nobody`; as it was some seconds ago, at worst."""
        key, now_s = (tenant, queue), self._clock.monotonic()
        known = self._staffing.get(key)
        if known is not None and now_s - known[0] < STAFFING_S:
            return known[1]
        found = await self._owner.staffing(tenant, queue, self._channel)
        self._staffing[key] = (now_s, found)
        self._staffing.move_to_end(key)
        if len(self._staffing) > STAFFING_MAX:
            self._staffing.popitem(last=False)
        return found

    async def run(self) -> None:
        """Look at all who wait, again and again."""
        while True:
            for tenant in list(self._told):
                await self.look(tenant)
            await asyncio.sleep(ROUND_S)

    async def look(self, tenant: str) -> None:
        """Ask the tenant's owner about all of its contacts that wait here."""
        waiting = iter(list(self._told.get(tenant, ())))
        while some := list(islice(waiting, CONTACTS_A_LOOK)):
            outlook = await self._owner.outlook(tenant, some)
            for contact_id, (position, estimate) in outlook.items():
                for told in list(self._told.get(tenant, {}).get(contact_id, ())):
                    told.hear(position, estimate)
