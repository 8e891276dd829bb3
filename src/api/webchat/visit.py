"""One visitor's view of its conversation, kept in step with what happens: read whole at first, then by events.

Whatever is missed between two looks is found by the numbers of messages; where the conversation stands is said whole
each time. So a browser that was away loses nothing, and one that hears something twice knows it by its number.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from src.api.webchat import acts, views
from src.api.webchat.entrance import CHANNEL, Guest
from src.api.webchat.waiting import Told
from src.delivery.hub import Subscriber
from src.delivery.views import Json, rfc3339
from src.dispatch.facts import MessageFact
from src.router import events as ev
from src.router.entities import ASSIGNMENT_COLUMNS, CONTACT_COLUMNS
from src.router.model import DEFAULT_QUEUE
from src.router.transitions import CONTACT
from src.store.queries import ContactRead

MESSAGES_MAX: Final = 200
"""So many messages come at a time; `more` says that there are more behind them."""

_STATE: Final = CONTACT_COLUMNS.index("state")
_ANSWERED_AT: Final = CONTACT_COLUMNS.index("answered_at")
_AGENT: Final = ASSIGNMENT_COLUMNS.index("agent_id")
_HELD: Final = frozenset({"active", "parked", "wrap_up"})
_SAID: Final = frozenset({ev.MESSAGE_RECEIVED, ev.MESSAGE_QUEUED})
_decode: Final = msgspec.json.Decoder().decode


@dataclass(eq=False)
class Visit:
    """What a browser has been told. `number` is the last that it has; None: it knows nothing.

    Where the conversation stands is known as of `floor`: events up to there are no news.
    """

    guest: Guest
    subscriber: Subscriber
    number: int | None = None
    floor: int = 0
    contact_id: str | None = None
    state: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    answered: bool = False
    rated: int | None = None
    asks: bool = False
    attributes: Json = field(default_factory=dict)
    outlook: Told = field(default_factory=Told)
    attached: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def tenant(self) -> str:
        """Whose visitor it is."""
        return self.guest.tenant

    @property
    def open(self) -> bool:
        """Whether there is a conversation that goes on."""
        return self.state is not None and views.STATES[self.state] != "ended"

    # -- reading whole ------------------------------------------------------------------------------------------

    async def look(self) -> Json:
        """Follow the newest contact from now on; gives where it stands, and what was said since `number`."""
        guest = self.guest
        seq, found = await self._contacts()
        while found and (found[0].contact[0] != self.contact_id or not self.attached):
            self._attach(found[0].contact[0])
            await guest.services.hub.ready(guest.tenant)
            seq, found = await self._contacts()
        self.floor = seq
        if found:
            await self._read(found[0])
        messages, more = await self._said([each.contact[0] for each in found])
        if not more:
            self.subscriber.start(seq)
        ours = [each.id for each in messages if each.sender == "agent"]
        writers = await guest.services.queries.writers(guest.tenant, ours) if ours else {}
        self.number = messages[-1].seq if more else max([seq, *(each.seq for each in messages)])
        return {
            "number": self.number,
            "now": rfc3339(guest.services.clock.now_ms()),
            "availability": await availability(guest),
            "conversation": self.shown(),
            "messages": [views.message(each, guest.visitor, writers.get(each.id)) for each in messages],
            "more": more,
        }

    async def _contacts(self) -> tuple[int, Sequence[ContactRead]]:
        """The visitor's contacts, newest first, as of this number at least: it is read first, lest it promises more."""
        heads = await self.guest.services.store.heads([self.guest.tenant])
        return heads.get(self.guest.tenant, 0), await acts.contacts_of(self.guest)

    async def _said(self, contact_ids: list[str]) -> tuple[list[MessageFact], bool]:
        """Messages since `number`, of all contacts; at first the newest contact's last ones."""
        if not contact_ids:
            return [], False
        wanted = contact_ids if self.number is not None else contact_ids[:1]
        queries, tenant = self.guest.services.queries, self.guest.tenant
        found = list(await queries.said(tenant, wanted, self.number, MESSAGES_MAX))
        if self.number is None:
            return found[-MESSAGES_MAX:], False
        return found[:MESSAGES_MAX], len(found) > MESSAGES_MAX

    async def _read(self, contact: ContactRead) -> None:
        self.contact_id, self.state = contact.contact[0], contact.contact[_STATE]
        self.answered = contact.contact[_ANSWERED_AT] is not None
        ended = views.STATES[contact.contact[_STATE]] == "ended"
        self.rated = (
            await self.guest.services.queries.rated(self.guest.tenant, self.contact_id or "") if ended else None
        )
        await self._ask(ended=ended)
        self.attributes = {} if contact.fact is None else dict(contact.fact.attributes)
        last = contact.assignment if self.state in _HELD or self.state == "closed" else None
        await self._answered_by(None if last is None else last[_AGENT])
        self._wait()
        if self.state == "waiting":
            outlook = await self.guest.services.owner.outlook(self.guest.tenant, [self.contact_id])
            self.outlook.hear(*outlook[self.contact_id])
            self.outlook.news = False

    async def _ask(self, *, ended: bool) -> None:
        """Whether the visitor is asked how it was, now that it has ended."""
        if self.contact_id is None or not (ended and self.answered) or self.rated is not None:
            self.asks = False
        elif not self.asks:
            self.asks = await acts.asks(self.guest, self.contact_id)

    def _attach(self, contact_id: str) -> None:
        self.leave()
        self.subscriber.contact_id = self.contact_id = contact_id
        self.guest.services.hub.attach(self.subscriber)
        self.guest.services.presence.enter(self)
        self.attached = True

    def leave(self) -> None:
        """Follow nothing any more."""
        self.guest.services.waiting.leave(self.guest.tenant, self.contact_id, self.outlook)
        if self.attached:
            self.guest.services.hub.detach(self.subscriber)
            self.guest.services.presence.leave(self)
            self.attached = False

    def _wait(self) -> None:
        """Be told of position and estimate for as long as the contact waits."""
        waiting, tenant = self.guest.services.waiting, self.guest.tenant
        self.outlook.wake = self.subscriber.nudge
        if self.state == "waiting" and self.contact_id is not None:
            waiting.enter(tenant, self.contact_id, self.outlook)
        else:
            waiting.leave(tenant, self.contact_id, self.outlook)
            self.outlook.forget()

    async def _answered_by(self, agent_id: str | None) -> None:
        if agent_id == self.agent_id and (agent_id is None or self.agent_name is not None):
            return
        self.agent_id, self.agent_name = agent_id, None
        if agent_id is not None:
            agent = await self.guest.services.queries.agent(self.guest.tenant, agent_id)
            self.agent_name = None if agent is None else str(agent.body.get("name") or agent_id)

    # -- by events ----------------------------------------------------------------------------------------------

    async def hear(self, seq: int, encoded: bytes) -> list[Json]:
        """The frames that an event comes to."""
        event = _decode(encoded)
        if seq <= self.floor:
            return []
        kind, data = event["type"], event["data"]
        said = data.get("message") if kind in _SAID else None
        known, self.number = seq <= (self.number or 0), max(seq, self.number or 0)
        if said is not None and not known:
            agent = self.agent_name if said["from"] == "agent" and event["agent_id"] == self.agent_id else None
            return [{"type": "message", "number": seq, "message": self._message(said, seq, agent)}]
        if kind == ev.CONTACT_RATED:
            self.rated = data["score"]
            return [{"type": "conversation", "number": seq, "conversation": self.shown()}]
        state = CONTACT.get((self.state, kind))
        if state is None or event["contact_id"] != self.contact_id:
            return []
        before, self.state = self.shown(), state
        self.answered = self.answered or state in _HELD
        ended = views.STATES[state] == "ended"
        await self._ask(ended=ended)
        if not ended:  # who answered last is remembered
            await self._answered_by(event["agent_id"] if state in _HELD else None)
        self._wait()
        shown = self.shown()
        return [] if shown == before else [{"type": "conversation", "number": seq, "conversation": shown}]

    def _message(self, said: Json, seq: int, agent: str | None) -> Json:
        fact = MessageFact(
            id=said["id"],
            contact_id=said["contact_id"],
            customer_id="",
            channel=CHANNEL,
            account=self.guest.place.account.name,
            external_id=said["external_id"],
            sender=said["from"],
            kind=said["kind"],
            text=said["text"],
            payload=said["payload"],
            at=0,
            seq=seq,
        )
        return views.message(fact, self.guest.visitor, agent) | {"at": said["at"]}

    def shown(self) -> Json | None:
        """Where the conversation stands; None: there is none."""
        if self.contact_id is None or self.state is None:
            return None
        return views.conversation(
            self.contact_id,
            self.state,
            self.agent_name,
            self.outlook.position,
            self.outlook.wait_s,
            self.attributes,
            answered=self.answered,
            rated=self.rated,
            asks=self.asks,
        )


async def availability(guest: Guest) -> str:
    """Whether somebody would be there: `open`, `closed` or `nobody`."""
    queue = guest.place.account.queue or DEFAULT_QUEUE
    return await guest.services.waiting.staffing(guest.tenant, queue)


def frame_of(value: Any) -> str:  # noqa: ANN401  # any JSON value
    """A frame as it is sent."""
    return msgspec.json.encode(value).decode()
