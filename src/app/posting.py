"""The way to webhooks: an event as the stream gives it, signed, posted once, and what the answer means."""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from opentelemetry.trace import SpanKind

from src import tracing
from src.connectors.outward import Failed, Outward
from src.delivery import views
from src.delivery.hub import Hub, encode
from src.dispatch import signatures
from src.dispatch.facts import WebhookFact
from src.dispatch.jobs import CURRENT, PREVIOUS
from src.dispatch.known import Known
from src.dispatch.ports import Clock, Delivered
from src.router.journal import Event
from src.store.seal import Sealer

ANSWER_S_MAX: Final = 15.0
PAUSE_S_MAX: Final = 86_400.0
_TAKEN: Final = range(200, 300)
_GONE: Final = 410
_TOO_MANY: Final = 429


class WebhookPoster:
    """`Poster` over HTTP. Secrets are opened for as long as an attempt takes."""

    def __init__(self, outward: Outward, hub: Hub, clock: Clock, sealer: Sealer) -> None:
        self._outward = outward
        self._hub = hub
        self._clock = clock
        self._sealer = sealer

    async def post(self, tenant: str, webhook: WebhookFact, event: Event) -> Delivered:
        """Try once."""
        known = Known()
        await self._hub.join(tenant, [event], known)
        now = self._clock.now_ms()
        shown = views.event(tenant, event, known, now, personal=webhook.body["personal"])
        body = encode(shown)
        headers = signatures.headers(shown["id"], now // 1000, body, self._secrets(webhook, now))
        origin = tracing.origin(tenant, event.seq)
        parent = None if origin is None else origin.traceparent
        try:
            with tracing.span("webhook.post", parent, kind=SpanKind.CLIENT, event=event.type, seq=event.seq):
                async with asyncio.timeout(ANSWER_S_MAX):
                    carried = {**headers, **tracing.headers()}
                    status, after = await self._outward.post(webhook.body["url"], body, carried)
        except TimeoutError:
            return Delivered("timeout")
        except Failed as failed:
            return Delivered(failed.code, whole=failed.code in {"unreachable", "forbidden_address"})
        if status in _TAKEN:
            return Delivered()
        pause_s = _seconds(after, now)
        return Delivered(f"http_{status}", pause_s, whole=status == _TOO_MANY, gone=status == _GONE)

    def _secrets(self, webhook: WebhookFact, now: int) -> list[str]:
        names = [CURRENT]
        if PREVIOUS in webhook.secrets and now < (webhook.body["previous_until"] or 0):
            names.append(PREVIOUS)
        return [self._sealer.open(webhook.secrets[each]) for each in names]


def _seconds(after: str | None, now: int) -> float:
    """How long a `Retry-After` asks to wait: seconds, or a time."""
    if after is None:
        return 0.0
    text = after.strip()
    if text.isascii() and text.isdigit():
        return min(PAUSE_S_MAX, float(text))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(PAUSE_S_MAX, max(0.0, (at - datetime.fromtimestamp(now / 1000, UTC)).total_seconds()))
