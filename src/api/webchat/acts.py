"""What a visitor can do to its conversation: write, type, end it, rate it. The same for socket and REST."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from src.api import media
from src.api.context import default_region, settings_of
from src.api.webchat import views
from src.api.webchat.bodies import RatingBody, SaidBody
from src.api.webchat.entrance import CHANNEL, Guest
from src.channels.webchat.site import answers
from src.delivery.hub import Signal
from src.delivery.views import Json
from src.dispatch import customers, jobs
from src.dispatch.inbound import InboundMessage
from src.dispatch.known import Wanted
from src.dispatch.media import KINDS, type_of
from src.errors import Forbidden, InvalidState, Malformed, NotFound, Refused, UnknownReference, UnwantedFile
from src.profile.identities import Identity, normalised
from src.router import commands
from src.router.entities import CONTACT_COLUMNS
from src.router.model import DEFAULT_QUEUE
from src.store.queries import ContactRead

CONTACTS_MAX: Final = 20
"""So many of a visitor's contacts are looked through for what was said since."""

TAKEN: Final = ("image/", "audio/", "video/", "text/plain", "application/pdf")
"""What files of strangers may be: no archives, no documents with programs in them, nothing unknown."""

SEEN_MAX: Final = 100
"""So many messages are marked as delivered at a time, the oldest; the others with the next word of the browser."""

RATED_BY: Final = "visitor"
"""Who rated, as it is written down."""

_STATE: Final = CONTACT_COLUMNS.index("state")


async def contacts_of(guest: Guest, limit: int = CONTACTS_MAX) -> list[ContactRead]:
    """The visitor's contacts on this account, newest first."""
    account = guest.place.account.name
    identity = normalised(guest.visitor.identity, account=account)
    return list(
        await guest.services.queries.visit(guest.tenant, (CHANNEL, account, *identity.key, identity.value), limit)
    )


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
    also: tuple[Identity, ...] = ()
    if opens or body.form is not None:
        attributes |= (answered := answers(place.site, body.form or {}))
        also = await _typed(guest, answered)
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
        also=also,
        leaves=body.leave,
    )
    try:
        taken = await found.owner.submit(guest.tenant, jobs.take(inbound))
    except UnknownReference:  # the account's queue has gone: the visitor is not to suffer for it
        taken = await found.owner.submit(guest.tenant, jobs.take(replace(inbound, queue=None)))
    assert isinstance(taken, jobs.Taken)
    assert taken.contact_id is not None
    found.presence.saw(guest.tenant, taken.contact_id)
    return {"client_id": body.id, "id": taken.message_id, "number": taken.seq, "conversation_id": taken.contact_id}


async def _typed(guest: Guest, answered: Mapping[str, str]) -> tuple[Identity, ...]:
    """The addresses that a visitor typed into the form: at them it can be reached, but they prove nothing."""
    kinds = {each.name: each.kind for each in guest.place.site.form}
    typed = [(kinds[name], answer) for name, answer in answered.items() if kinds[name] in ("phone", "email")]
    region = await default_region(guest.services, guest.tenant) if typed else None
    found = []
    for kind, answer in typed:
        with suppress(Malformed):  # a number that nobody can dial stays an answer
            found.append(normalised(Identity(kind, answer, proven=False), default_region=region))
    return tuple(found)


async def send_file(guest: Guest, client_id: str, name: str, content: bytes) -> Json:
    """Keep a file of the conversation that goes on, and the message that holds it.

    Raises:
        UnwantedFile: it is of a kind that is not taken from strangers.
        TooFast: too many files.
        Forbidden: the website takes none.
        InvalidState: no conversation goes on.
    """
    place, found = guest.place, guest.services
    if not place.site.uploads:
        raise Forbidden("this website takes no files")
    contacts = await contacts_of(guest, 1)
    if not contacts or not is_open(contacts[0]):
        raise InvalidState("files are sent in a conversation that goes on", state=None)
    found.paces.files.take(guest.visitor.key)
    found.paces.account_files.take((place.account.name,))
    media_type = type_of(content)
    if not content or not media_type.startswith(TAKEN):
        raise UnwantedFile("files of this kind are not taken")
    kind = next(each for each, begins in KINDS.items() if media_type.startswith(begins))
    shown = {"id": contacts[0].contact[0], "channel": CHANNEL, "account": place.account.name}
    kept = await media.keep(found, guest.tenant, shown, content, name or None, kind=kind)
    safe = kept.name or kind
    payload = {"media_id": kept.id, "name": safe, "media_type": media_type, "bytes": kept.size}
    return await say(guest, SaidBody(id=client_id, text=safe), opens=False, kind=kind, payload=payload)


async def file(guest: Guest, media_id: str) -> Response:
    """A file of the visitor's own conversations.

    Raises:
        NotFound: there is none such.
    """
    found = (await guest.services.store.lookup(guest.tenant, Wanted(media={media_id}))).media.get(media_id)
    if found is None or found.contact_id not in [each.contact[0] for each in await contacts_of(guest)]:
        raise NotFound("there is no such file")
    return await media.answer(guest.services, guest.tenant, found)


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


async def asks(guest: Guest, contact_id: str) -> bool:
    """Whether the visitor is asked how it was, of a conversation that somebody answered and that has ended.

    Where the tenant says when its customers are left in peace, that is decided once; if it cannot be now, nobody is
    asked yet.
    """
    if not guest.place.site.satisfaction:
        return False
    found = guest.services
    try:
        rules = (await settings_of(found, guest.tenant)).restraint
        if rules.quiet is None and rules.outreach_max is None:
            return True
        decided = await found.queries.surveyed(guest.tenant, contact_id)
        if decided is not None:
            return decided
        return await found.owner.submit(guest.tenant, customers.Survey(contact_id)) is True
    except Refused:
        return False


async def rate(guest: Guest, contact_id: str | None, body: RatingBody) -> int:
    """How it was, once it has ended; rated again, the last counts."""
    contact = await own_contact(guest, contact_id)
    if is_open(contact):
        raise InvalidState("the conversation goes on", state=contact.contact[_STATE])
    job = customers.Rate(contact.contact[0], body.score, body.comment, RATED_BY)
    await guest.services.owner.submit(guest.tenant, job)
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
