"""Twilio: what its webhooks are answered with, from how things stand; and what it is asked for over REST.

What it says, and how it is spoken to, is in `channels/voice/twilio`; here it meets the book of calls and the tenant.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from src.api.context import Services
from src.api.inflow import take
from src.api.voice.line import CHANNEL, wishes_of
from src.channels.base import Account, Reply
from src.channels.voice import shown_to_customers, twilio
from src.channels.voice.calls import Dial, Ring
from src.channels.voice.switchboard import Wish
from src.connectors.outward import Failed, Outward
from src.dispatch.callnotes import CallNote, CallOrder, NotedCall, contact_of, folded, left_note, tried_by
from src.dispatch.inbound import InboundHangup
from src.errors import StoreUnreachable, Unavailable

CALL_S_MAX: Final = 10.0
"""How long a question for a call may take."""

LOOKED_AFTER_MAX: Final = 200
RING_MS_MAX: Final = 60_000
"""So long after a telephone was ordered to ring it may not be known which of Twilio's calls it is."""

FIRST_MS: Final = 1_000
"""So long after a caller came, the answer to its first question may be on its way."""

OK: Final = range(200, 300)
REFUSED: Final = range(400, 500)
TOO_MANY: Final = 429
DONE: Final = 200
NOT_YET: Final = 503
NOT_FOUND: Final = 404


async def next_round(found: Services, account: Account, asked: twilio.Round) -> Reply:
    """What a caller hears next. Where that cannot be known, it goes on waiting: it is a customer."""
    try:
        call, wish = await _stands(found, account, asked.call_id)
        if wish is None or wish.over or call.ended:
            reason = "" if wish is None else wish.reason
            if not (asked.first or reason):
                return twilio.hang_up()
            if reason and twilio.says_why(account):
                await found.call_book.note(account.tenant, account.name, [left_note(call.id, found.clock.now_ms())])
            return twilio.turn_away(account, reason, "" if wish is None else wish.contact_id)
        for leg in wish.legs:
            noted = call.legs.get(leg.id)
            if leg.state in ("active", "parked") and noted is not None and noted.answered and not noted.ended:
                note = twilio.bridged(call.id, leg.id, found.clock.now_ms())
                await found.call_book.note(account.tenant, account.name, [note])
                return twilio.talk(call.id, leg.id, account)
        outlook = await found.owner.outlook(account.tenant, [wish.contact_id]) if wish.state == "waiting" else {}
        position = outlook[wish.contact_id][0] if wish.contact_id in outlook else None
    except (Unavailable, StoreUnreachable):
        position = None
    return twilio.wait(account, asked.call_id, position, first=asked.first)


async def reached(found: Services, account: Account, asked: twilio.Reaches) -> Reply:
    """A customer whom we dialled picked up: it hears its agent, unless nobody wants it, or it is called twice."""
    call, wish = await _stands(found, account, asked.call_id)
    if call.ended or call.customer.ref not in (None, asked.ref) or wish is None or wish.over:
        return twilio.hang_up()
    reply = await next_round(found, account, twilio.Round(asked.call_id))  # notes first whom it is sent to
    note = CallNote(f"{asked.ref} reached", call.id, "reached", found.clock.now_ms(), None, asked.ref)
    await found.call_book.note(account.tenant, account.name, [note])
    return reply


async def joined(found: Services, account: Account, asked: twilio.Joins) -> Reply:
    """An agent's telephone was answered: it is let in, unless its ringing is over, or it rings a second time."""
    call, wish = await _stands(found, account, asked.call_id)
    leg = call.legs.get(asked.leg_id)
    wanted = wish is not None and any(each.id == asked.leg_id for each in wish.legs)
    if call.ended or leg is None or leg.ended or leg.ref not in (None, asked.ref) or not wanted:
        return twilio.hang_up()
    now_ms = found.clock.now_ms()
    note = CallNote(f"{asked.ref} answered", call.id, "agent_answered", now_ms, asked.leg_id, asked.ref)
    await found.call_book.note(account.tenant, account.name, [note])
    return twilio.join(asked.leg_id)


class TwilioCalls:
    """The calls of one account, as Twilio is asked for them."""

    def __init__(self, found: Services, outward: Outward, account: Account) -> None:
        self._found, self._outward, self._account = found, outward, account
        self._book, self._key = found.call_book, (account.tenant, account.name)

    async def give(self, order: CallOrder) -> int:
        """Have Twilio do something; the HTTP status that stands for what became of it.

        Raises:
            Failed: Twilio cannot be reached.
        """
        account, leg_id = self._account, order.leg_id or ""
        match order.kind:
            case "ring":
                ring = Ring(order.call_id, leg_id, str(order.data["phone"]), int(order.data["timeout_s"]))
                status, body = await self._ask("POST", None, twilio.ring_form(ring, account))
                if status in OK and (sid := _text(body, "sid")):
                    now_ms = self._found.clock.now_ms()
                    note = CallNote(f"{sid} dialled", order.call_id, "agent_dialled", now_ms, leg_id, sid)
                    await self._book.note(*self._key, [note])
                return status
            case "bridge":
                call = await self._noted(order.call_id)
                if call.leg(leg_id).talked:  # it asked what next before: to be sent again would end the conference
                    return DONE
                return await self._change(call, twilio.talk_form(call.id, leg_id, account), order.at)
            case "hang_up" if order.data.get("reason") and twilio.says_why(account):
                return await self._turn_away(await self._noted(order.call_id), order.at)
            case "hang_up":
                return await self._change(await self._noted(order.call_id), twilio.END_FORM, order.at)
            case "drop":
                return await self._drop(order.call_id, leg_id, order.at)
        return DONE

    async def dial(self, order: CallOrder, phone: str) -> int:
        """Have Twilio call a customer; see `give`."""
        account = self._account
        dial = Dial(order.call_id, phone, int(order.data["timeout_s"]), shown_to_customers(account))
        status, body = await self._ask("POST", None, twilio.dial_form(dial, account))
        if status in OK and (sid := _text(body, "sid")):
            note = CallNote(f"{sid} dialled", order.call_id, "dialled", self._found.clock.now_ms(), None, sid)
            await self._book.note(*self._key, [note])
        return status

    async def look_after(self, calls: Sequence[NotedCall]) -> None:
        """Ask for calls, and note those that have ended."""
        now_ms = self._found.clock.now_ms()
        for call in calls[:LOOKED_AFTER_MAX]:
            await self._look_at(call)
            for leg_id, leg in call.legs.items():
                if leg.ref is not None and not leg.ended:
                    status = await self._status_of(leg.ref)
                    notes = twilio.leg_notes(call.id, leg_id, leg.ref, status, now_ms)
                    await self._book.note(*self._key, notes)

    async def _noted(self, call_id: str) -> NotedCall:
        return folded(*await self._book.standing(*self._key, [call_id])).get(call_id, NotedCall(call_id))

    async def _change(self, call: NotedCall, form: twilio.Params, at_ms: int) -> int:
        if call.ended:
            return DONE
        ref = call.customer.ref if call.out else call.id
        if ref is None:
            return self._unknown(at_ms)
        status, _ = await self._ask("POST", ref, form)
        if status in REFUSED and status != TOO_MANY:  # the caller may have hung up meanwhile
            await self._look_at(call)
            return DONE
        return status

    async def _turn_away(self, call: NotedCall, at_ms: int) -> int:
        """Have the caller ask what next; one that has just come does so by itself, and is not told twice."""
        if not call.ended and at_ms - call.heard_at < FIRST_MS and self._found.clock.now_ms() - at_ms < FIRST_MS:
            return NOT_YET
        return await self._change(call, twilio.turn_away_form(call.id, self._account), at_ms)

    def _unknown(self, at_ms: int) -> int:
        """It is not known yet which of Twilio's calls a side is."""
        return DONE if self._found.clock.now_ms() - at_ms > RING_MS_MAX else NOT_YET

    async def _drop(self, call_id: str, leg_id: str, at_ms: int) -> int:
        leg = (await self._noted(call_id)).legs.get(leg_id)
        if leg is None or leg.ended:
            return DONE
        if leg.ref is None:
            return self._unknown(at_ms)
        status, _ = await self._ask("POST", leg.ref, twilio.END_FORM)
        return DONE if status in REFUSED and status != TOO_MANY else status

    async def _look_at(self, call: NotedCall) -> None:
        """Ask for a caller, or a customer whom we dialled; one that is gone has ended."""
        call_id, ref = call.id, call.customer.ref if call.out else call.id
        status = "" if ref is None else await self._status_of(ref)
        now_ms = self._found.clock.now_ms()
        if call.out and ref is not None:
            await self._book.note(*self._key, twilio.customer_notes(call_id, ref, status, now_ms))
        elif status in twilio.FINAL:
            hangup = InboundHangup(CHANNEL, self._account.name, call_id, twilio.FINAL[status])
            await take(self._found, self._account, [hangup])
            await self._book.note(*self._key, [twilio.ended(call_id, now_ms, status)])

    async def _status_of(self, sid: str) -> str:
        """The state of one of Twilio's calls; one that it does not know has failed."""
        try:
            async with asyncio.timeout(CALL_S_MAX):
                status, body = await self._ask("GET", sid)
        except (Failed, TimeoutError):
            return ""
        return "failed" if status == NOT_FOUND else _text(body, "status")

    async def _ask(self, method: str, sid: str | None, form: twilio.Params = ()) -> tuple[int, bytes]:
        headers = {
            "authorization": twilio.credential(self._account),
            "content-type": "application/x-www-form-urlencoded",
        }
        url = twilio.calls_url(self._account, sid)
        return await self._outward.call(method, url, urlencode(form).encode() if form else b"", headers)


async def _stands(found: Services, account: Account, call_id: str) -> tuple[NotedCall, Wish | None]:
    """What is known of a call, and how it is to be."""
    calls = folded(*await found.call_book.standing(account.tenant, account.name, [call_id]))
    contact_id, queries = contact_of(call_id), found.queries
    if contact_id is None:
        reads = await queries.calls(account.tenant, CHANNEL, account.name, call_ids=[call_id])
    else:
        reads = await queries.calls(account.tenant, CHANNEL, account.name, [contact_id])
    wishes = [wish for each in reads for wish in wishes_of(each, account) if wish.call_id == tried_by(call_id)]
    return calls.get(call_id, NotedCall(call_id)), wishes[0] if wishes else None


def _text(body: bytes, name: str) -> str:
    """A text of a JSON object; empty where there is none."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
