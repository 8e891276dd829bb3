"""What a visitor can do to its conversation: write, type, end it, rate it. The same for socket and REST."""

from dataclasses import dataclass, replace
from typing import Final

from src.api.webchat import views
from src.api.webchat.bodies import RatingBody, SaidBody
from src.api.webchat.entrance import CHANNEL, Guest
from src.channels.webchat.site import answers
from src.cluster.wire import forwardable
from src.delivery.hub import Signal
from src.delivery.views import Json
from src.dispatch import customers, jobs
from src.dispatch.inbound import InboundMessage
from src.dispatch.ports import Wanted
from src.dispatch.turn import Repeated, Turn
from src.errors import Forbidden, InvalidState, NotFound, UnknownReference
from src.profile.identities import normalised
from src.router import commands
from src.router.entities import CONTACT_COLUMNS
from src.router.model import DEFAULT_QUEUE
from src.router.state import State
from src.store.queries import ContactRead

CONTACTS_MAX: Final = 20
"""So many of a visitor's contacts are looked through for what was said since."""

SEEN_MAX: Final = 100
"""So many messages are marked as delivered at a time, the oldest; the others with the next word of the browser."""

_STATE: Final = CONTACT_COLUMNS.index("state")


async def contacts_of(guest: Guest, limit: int = CONTACTS_MAX) -> list[ContactRead]:
    """The visitor's contacts on this account, newest first."""
    account = guest.place.account.name
    identity = normalised(guest.visitor.identity, account=account)
    return list(await guest.services.queries.visit(guest.tenant, (CHANNEL, account, *identity.key), limit))


def is_open(contact: ContactRead) -> bool:
    """Whether a message still joins it."""
    return contact.contact[_STATE] not in ("wrap_up", "closed")


async def say(guest: Guest, body: SaidBody, *, opens: bool, kind: str = "text", payload: Json | None = None) -> Json:
    """Keep a message; answered with the number that it has. `opens`: as far as is known, no contact is open.

    Raises:
        Malformed: the message would open a contact, and the form is not answered as it asks.
        TooFast: too many messages.
        Forbidden: a message is left, and the website takes none.
    """
    place, found = guest.place, guest.services
    found.paces.messages.take(guest.visitor.key)
    attributes: dict[str, object] = {}
    if opens or body.form is not None:
        attributes |= answers(place.site, body.form or {})
    if body.page is not None:
        attributes["page"] = body.page
    queue = place.account.queue
    if body.leave:
        if not place.site.leave_message:
            raise Forbidden("this website takes no messages when nobody is there")
        if await found.waiting.staffing(guest.tenant, queue or DEFAULT_QUEUE) != "open":  # else somebody has come
            attributes["left_message"] = True
            queue = place.site.leave_queue or queue
    inbound = InboundMessage(
        channel=CHANNEL,
        account=place.account.name,
        external_id=views.external_id(guest.visitor, body.id),
        identity=guest.visitor.identity,
        kind=kind,
        text=body.text,
        payload=payload or {},
        language=body.language,
        queue=queue,
        attributes=attributes,
    )
    try:
        taken = await found.owner.submit(guest.tenant, jobs.take(inbound))
    except UnknownReference:  # the account's queue has gone: the visitor is not to suffer for it
        taken = await found.owner.submit(guest.tenant, jobs.take(replace(inbound, queue=None)))
    assert isinstance(taken, jobs.Taken)
    return {"client_id": body.id, "id": taken.message_id, "number": taken.seq, "conversation_id": taken.contact_id}


async def own_contact(guest: Guest, contact_id: str | None) -> ContactRead:
    """The visitor's contact of this id, or its newest.

    Raises:
        NotFound: it has none such.
    """
    for each in await contacts_of(guest):
        if contact_id in (None, each.contact[0]):
            return each
    raise NotFound("there is no such conversation")


async def end(guest: Guest, contact_id: str | None) -> None:
    """The visitor leaves. What has ended already stays as it is."""
    contact = await own_contact(guest, contact_id)
    job = jobs.OnContact(contact.contact[0], commands.Cancel(contact.contact[0], "abandoned"))
    await guest.services.owner.submit(guest.tenant, job)


async def rate(guest: Guest, contact_id: str | None, body: RatingBody) -> int:
    """How it was: kept with the contact, once it has ended; rated again, the last counts."""
    contact = await own_contact(guest, contact_id)
    done = await guest.services.owner.submit(guest.tenant, Rate(contact.contact[0], body.score, body.comment))
    assert not isinstance(done, Repeated)
    return body.score


async def seen(guest: Guest, number: int) -> None:
    """Everything up to a number has reached the visitor's browser."""
    found, tenant = guest.services, guest.tenant
    own = [each.contact[0] for each in await contacts_of(guest)]
    for contact_id, message_id in await found.queries.undelivered(tenant, own, number, SEEN_MAX) if own else ():
        await found.owner.submit(tenant, jobs.MoveMessage(contact_id, message_id, "delivered"))


def signal(guest: Guest, contact_id: str, agent_id: str, *, typing: bool) -> None:
    """Tell the agent that the visitor types, or has stopped."""
    guest.services.hub.signal(guest.tenant, Signal(contact_id, "customer", agent_id, typing))


@forwardable
@dataclass(frozen=True, slots=True)
class Rate:
    """Write down how satisfied the customer was with a contact that has ended."""

    contact_id: str
    score: int
    comment: str | None

    def wants(self, wanted: Wanted, _: State) -> None:
        """The contact with its facts."""
        wanted.contacts.add(self.contact_id)

    def run(self, turn: Turn) -> None:
        """Write it."""
        row = turn.known.contacts.get(self.contact_id)
        contact = turn.engine.state.contact(self.contact_id)
        state = contact.state if contact is not None else row[_STATE] if row is not None else None
        fact = turn.known.facts.get(self.contact_id)
        if state is None or fact is None:
            raise NotFound("there is no such contact")
        if state not in ("wrap_up", "closed"):
            raise InvalidState("the conversation goes on", state=state)
        rating = {"score": self.score, "comment": self.comment}
        turn.write(replace(fact, attributes={**fact.attributes, "satisfaction": rating}))
        customers.Rate(self.contact_id, self.score, self.comment, "customer").run(turn)
