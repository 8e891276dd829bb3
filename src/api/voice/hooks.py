"""What telephone systems without a connection tell and ask: it is written down, and answered from how things stand.

Any process may do it: what is told goes into the book that the tenant's owner reads.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from src.api.context import Services
from src.api.inflow import take
from src.api.voice import twilio
from src.api.voice.line import CHANNEL
from src.channels.base import Account, Receipt, Reply
from src.channels.voice import dial_of, shown_to_customers
from src.channels.voice import twilio as spoken
from src.channels.voice.hook import Poll, Stand
from src.channels.voice.hook_line import as_json
from src.delivery.hub import encode
from src.dispatch.callnotes import CallNote, CallOrder, contact_of, folded, left_id
from src.dispatch.inbound import InboundHangup

LOOK_AGAIN_S: Final = 1.0
"""How often it is looked for what another process wrote, if that is not heard of: as often as journals are compared."""

TEMPORARY: Final = 41
"""Q.850: temporary failure, for an agent's side that is gone and nobody knows why."""


async def settle(found: Services, account: Account, receipt: Receipt) -> Reply:
    """Write down what was told, unless it is known, and answer."""
    ids = {each.id for each in receipt.notes}
    left_ids = {left_id(each.call_id): each.call_id for each in receipt.notes}
    known = await found.call_book.known(account.tenant, account.name, ids.union(left_ids)) if ids else set()
    left = {call_id for note_id, call_id in left_ids.items() if note_id in known}  # what is told of those is no news
    notes = [each for each in receipt.notes if each.call_id not in left]
    if not ids or {each.id for each in notes} - known:
        coming = [replace(each, id=f"{each.id} coming", kind="coming") for each in notes if each.kind == "offered"]
        if coming:
            await found.call_book.note(account.tenant, account.name, coming)
        await take(found, account, [each for each in receipt.inbound if each.external_id not in left])
        await found.call_book.note(account.tenant, account.name, notes)
    match receipt.asked:
        case Poll():
            return await _orders(found, account, receipt.asked)
        case Stand():
            await _stand(found, account, receipt.asked)
        case spoken.Round():
            return await twilio.next_round(found, account, receipt.asked)
        case spoken.Reaches():
            return await twilio.reached(found, account, receipt.asked)
        case spoken.Joins():
            return await twilio.joined(found, account, receipt.asked)
    return receipt.reply


async def shown(found: Services, account: Account, orders: Sequence[CallOrder]) -> Sequence[dict[str, object]]:
    """Orders as a system is given them, with the numbers that telephones show, and those that are dialled.

    An order to dial somebody whose number is not known any more is left out.
    """
    ringing = {each.call_id for each in orders if each.kind in ("ring", "dial")}
    out = {contact_id for each in ringing if (contact_id := contact_of(each)) is not None}
    where = account.tenant, CHANNEL, account.name
    reads = [
        *(await found.queries.calls(*where, call_ids=ringing) if ringing else ()),
        *(await found.queries.calls(*where, out) if out else ()),
    ]
    read_of = {key: each for each in reads for key in (each.call_id, each.contact_id)}
    given = []
    for each in orders:
        read = read_of.get(contact_of(each.call_id) or each.call_id)
        if each.kind == "ring":
            given.append(as_json(each, None if read is None else read.number))
        elif each.kind == "dial":
            phone = None if read is None else dial_of(account, read.dial)
            if phone is not None:
                given.append(as_json(each, shown_to_customers(account), phone))
        else:
            given.append(as_json(each))
    return given


async def _orders(found: Services, account: Account, poll: Poll) -> Reply:
    book, clock = found.call_book, found.clock
    if poll.done:
        await book.done(account.tenant, account.name, poll.done)
    until_s = clock.monotonic() + poll.wait_s
    seen = book.seen(account.tenant, account.name)
    while not (given := await shown(found, account, await book.due(account.tenant, account.name))):
        left_s = until_s - clock.monotonic()
        if left_s <= 0:
            break
        await book.changed(account.tenant, account.name, seen, min(LOOK_AGAIN_S, left_s))
        seen = book.seen(account.tenant, account.name)
    return Reply(encode({"commands": given}), "application/json")


async def _stand(found: Services, account: Account, stand: Stand) -> None:
    """What is not there any more has ended, unless the system has not been told of it yet."""
    tenant, name, book, now_ms = account.tenant, account.name, found.call_book, found.clock.now_ms()
    notes, orders = await book.standing(tenant, name)
    untold = {each.leg_id or each.call_id for each in await book.due(tenant, name) if each.kind in ("ring", "dial")}
    gone: list[CallNote] = []
    for call in folded(notes, orders).values():
        if call.offered and call.id not in stand.calls:
            await take(found, account, [InboundHangup(CHANNEL, name, call.id)])
            gone.append(CallNote(f"{stand.event_id} {call.id}", call.id, "ended", now_ms))
            continue
        if call.customer.rung_at is not None and call.id not in untold.union(stand.calls):
            gone.append(CallNote(f"{stand.event_id} {call.id}", call.id, "ended", now_ms))
            continue
        for leg_id, leg in call.legs.items():
            if not leg.ended and leg_id not in stand.legs and leg_id not in untold:
                note_id = f"{stand.event_id} {leg_id}"
                gone.append(CallNote(note_id, call.id, "agent_ended", now_ms, leg_id, cause=TEMPORARY))
    await book.note(tenant, name, gone)
