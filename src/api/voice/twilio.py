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
from src.channels.voice import twilio
from src.channels.voice.calls import Ring
from src.channels.voice.switchboard import Wish
from src.connectors.outward import Failed, Outward
from src.dispatch.callnotes import CallNote, CallOrder, NotedCall, folded
from src.dispatch.inbound import InboundHangup
from src.errors import StoreUnreachable, Unavailable

CALL_S_MAX: Final = 10.0
"""How long a question for a call may take."""

LOOKED_AFTER_MAX: Final = 200
RING_MS_MAX: Final = 60_000
"""So long after a telephone was ordered to ring it may not be known which of Twilio's calls it is."""

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
            return twilio.hang_up()
        for leg in wish.legs:
            noted = call.legs.get(leg.id)
            if leg.state in ("active", "parked") and noted is not None and noted.answered and not noted.ended:
                return twilio.talk(leg.id, account)
        outlook = await found.owner.outlook(account.tenant, [wish.contact_id]) if wish.state == "waiting" else {}
        position = outlook[wish.contact_id][0] if wish.contact_id in outlook else None
    except (Unavailable, StoreUnreachable):
        position = None
    return twilio.wait(account, position, first=asked.first)


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
                return await self._change(order.call_id, twilio.talk_form(leg_id, account))
            case "hang_up":
                return await self._change(order.call_id, twilio.END_FORM)
            case "drop":
                return await self._drop(order.call_id, leg_id, order.at)
        return DONE

    async def look_after(self, calls: Sequence[NotedCall]) -> None:
        """Ask for calls, and note those that have ended."""
        now_ms = self._found.clock.now_ms()
        for call in calls[:LOOKED_AFTER_MAX]:
            await self._look_at(call.id)
            for leg_id, leg in call.legs.items():
                if leg.ref is not None and not leg.ended:
                    status = await self._status_of(leg.ref)
                    notes = twilio.leg_notes(call.id, leg_id, leg.ref, status, now_ms)
                    await self._book.note(*self._key, notes)

    async def _change(self, call_id: str, form: twilio.Params) -> int:
        status, _ = await self._ask("POST", call_id, form)
        if status in REFUSED and status != TOO_MANY:  # the caller may have hung up meanwhile
            await self._look_at(call_id)
            return DONE
        return status

    async def _drop(self, call_id: str, leg_id: str, at_ms: int) -> int:
        calls = folded(*await self._book.standing(*self._key, [call_id]))
        leg = calls[call_id].legs.get(leg_id) if call_id in calls else None
        if leg is None or leg.ended:
            return DONE
        if leg.ref is None:  # it is not known yet which of Twilio's calls it is
            return DONE if self._found.clock.now_ms() - at_ms > RING_MS_MAX else NOT_YET
        status, _ = await self._ask("POST", leg.ref, twilio.END_FORM)
        return DONE if status in REFUSED and status != TOO_MANY else status

    async def _look_at(self, call_id: str) -> None:
        """Ask for a caller; one that is gone has ended."""
        status = await self._status_of(call_id)
        if status in twilio.FINAL:
            now_ms = self._found.clock.now_ms()
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
    reads = await found.queries.calls(account.tenant, CHANNEL, account.name, call_ids=[call_id])
    wishes = [wish for each in reads for wish in wishes_of(each, account) if wish.call_id == call_id]
    return calls.get(call_id, NotedCall(call_id)), wishes[0] if wishes else None


def _text(body: bytes, name: str) -> str:
    """A text of a JSON object; empty where there is none."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return ""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
