"""The way out: takes a message from the outbox to the channel that its account speaks, and reads what became of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

import httpx
import structlog
from opentelemetry.trace import SpanKind

from src import tracing
from src.channels.base import (
    Account,
    Answered,
    Call,
    Channel,
    Ends,
    Fetch,
    Fetches,
    Media,
    Outbound,
    Pulls,
    Sends,
    Types,
)
from src.connectors.transport import Transport
from src.dispatch.facts import CursorFact, MediaFact
from src.dispatch.known import Wanted
from src.dispatch.media import look
from src.dispatch.ports import Ended, Fetched, Outcome, Outgoing, PulledPage
from src.errors import Malformed, NotSent, StoreError
from src.store.contents import Contents, Held
from src.store.postgres import PostgresStore
from src.store.queries import Queries
from src.store.seal import Sealer
from src.store.tokens import Tokens

TOKEN_MS: Final = 10 * 60_000
"""So long a token that a channel called with is good."""

CALL_S_MAX: Final = 15.0
"""A call has so long in all, however busily the other side trickles; a file has longer, at the speed below."""

BYTES_PER_S_MIN: Final = 256 * 1024
CONNECTIONS_MAX: Final = 1_000
KEPT_MAX: Final = 100
IDLE_S_MAX: Final = 5.0

_log = structlog.get_logger(__name__)

UNREACHABLE: Final = "channel_unreachable"
NO_CREDENTIALS: Final = "no_credentials"


class ChannelSender:
    """`Sender` over the channels that are spoken natively. Secrets are opened for as long as a message takes."""

    def __init__(
        self,
        store: PostgresStore,
        queries: Queries,
        sealer: Sealer,
        tokens: Tokens,
        channels: Mapping[str, Channel],
        now_ms: Callable[[], int],
        http: httpx.AsyncClient,
    ) -> None:
        self._store = store
        self._contents = store.contents()
        self._queries = queries
        self._sealer = sealer
        self._tokens = tokens
        self._channels = channels
        self._now_ms = now_ms
        self._http = http
        self._sessions = frozenset(name for name, each in channels.items() if isinstance(each, Ends))

    async def send(self, tenant: str, outgoing: Outgoing) -> Outcome:
        """Try once."""
        if outgoing.identity_type is None or outgoing.identity_value is None:
            return Outcome("failed", "erased")
        try:
            account = await self._account(tenant, outgoing.fact.channel, outgoing.fact.account)
        except StoreError:
            return Outcome(None, "unavailable")
        channel = self._channels.get(outgoing.fact.channel)
        if account is None or not isinstance(channel, Sends):
            return Outcome("failed", "no_account")
        message = Outbound(
            id=outgoing.message.id,
            kind=outgoing.message.kind,
            text=outgoing.message.text,
            payload=outgoing.message.payload,
            identity_type=outgoing.identity_type,
            identity_value=outgoing.identity_value,
            contact_id=outgoing.fact.contact_id,
            external_id=outgoing.external_id,
        )
        try:
            origin = tracing.origin(tenant, outgoing.fact.place)
            parent = None if origin is None else origin.traceparent
            with tracing.span("message.send", parent, kind=SpanKind.CLIENT, channel=outgoing.fact.channel):
                sent = await channel.send(message, account, self._reach(account))
        except NotSent as failure:
            return await self._judged(failure, account)
        except StoreError:
            return Outcome(None, "unavailable")
        return Outcome("delivered" if sent.delivered else "sent", receipt=sent.receipt)

    async def _judged(self, failure: NotSent, account: Account) -> Outcome:
        """What an error means; of an account that somebody has seen to while it was tried, that it is tried again."""
        outcome = outcome_of(failure)
        if outcome.trouble:
            try:
                now = await self._account(account.tenant, account.channel, account.name)
            except StoreError:
                return Outcome(None, "unavailable")
            if now is not None and now != account:
                return Outcome(None, failure.reason)
        return outcome

    @property
    def sessions(self) -> frozenset[str]:
        """See `Sender.sessions`."""
        return self._sessions

    async def end(self, tenant: str, ended: Ended) -> None:
        """See `Sender.end`."""
        channel = self._channels.get(ended.channel)
        if not isinstance(channel, Ends):
            return
        try:
            account = await self._account(tenant, ended.channel, ended.account)
            known = await self._store.lookup(tenant, Wanted(contacts={ended.contact_id}))
            fact = known.facts.get(ended.contact_id)
            if account is not None and fact is not None:
                await channel.end(fact.identity_value, account, self._reach(account))
        except (NotSent, StoreError) as failure:
            _log.info("session.not_ended", tenant=tenant, contact_id=ended.contact_id, reason=str(failure))

    async def sends(self, tenant: str, channel: str, account: str) -> bool:
        """See `Sender.sends`."""
        if not isinstance(self._channels.get(channel), Sends):
            return False
        found = await self._queries.account(account)
        return found is not None and found[0] == tenant and found[1].channel == channel

    async def fetch(self, tenant: str, media: MediaFact) -> Fetched:
        """See `Fetcher.fetch`. What comes is looked at before it is kept."""
        channel = self._channels.get(media.channel)
        try:
            account = await self._account(tenant, media.channel, media.account)
            if account is None or media.source is None or not isinstance(channel, Fetches):
                return Fetched("failed", "no_account")
            found = await channel.fetch(media.source, account, self._reach(account))
            looked = look(found.body, found.name, kind=media.kind)
            held = await self._contents.put(tenant, found.body)
        except NotSent as failure:
            trouble = failure.fate == "admin" and failure.reason != NO_CREDENTIALS  # who has none is not waited for
            later = trouble or failure.fate in ("again", "slower")
            return Fetched(None if later else "failed", failure.reason, pause_s=failure.pause_s, trouble=trouble)
        except StoreError:
            return Fetched(None, "unavailable")
        except Malformed:
            return Fetched("failed", "not_accepted")
        size = len(found.body)
        return Fetched("kept", None, held.hash, looked.media_type, size, looked.name, hold=held.hold)

    async def let_go(self, tenant: str, fetched: Fetched) -> None:
        """See `Fetcher.let_go`."""
        if fetched.hash is None or fetched.hold is None:
            return
        try:
            await self._contents.let_go(tenant, Held(fetched.hash, fetched.hold))
        except StoreError as error:  # it ends by itself
            _log.info("media.still_held", tenant=tenant, hash=fetched.hash, error=str(error))

    async def pull(self, tenant: str, cursor: CursorFact) -> PulledPage:
        """See `Puller.pull`."""
        channel = self._channels.get(cursor.channel)
        now = self._now_ms()
        try:
            account = await self._account(tenant, cursor.channel, cursor.account)
            if account is None or not isinstance(channel, Pulls):
                return PulledPage(reason="no_account", pause_s=TOKEN_MS / 1_000)
            token = cursor.token if now - cursor.at < TOKEN_MS else None
            found = await channel.pull(cursor.cursor, token, account, self._reach(account), now)
        except NotSent as failure:
            trouble = failure.fate not in ("again", "slower")
            return PulledPage(reason=failure.reason, pause_s=failure.pause_s, trouble=trouble)
        except StoreError:
            return PulledPage(reason="unavailable")
        failed = [(each.message_id, each.reason) for each in found.failed]
        return PulledPage(found.inbound, failed, found.cursor, found.more)

    async def typing(self, tenant: str, channel_name: str, account_name: str, to: str, on: bool) -> None:
        """Show a customer that somebody types, where the channel can; it is not worth a second attempt."""
        channel = self._channels.get(channel_name)
        if not isinstance(channel, Types):
            return
        try:
            account = await self._account(tenant, channel_name, account_name)
            if account is not None:
                await channel.typing(to, account, self._reach(account), on=on)
        except (NotSent, StoreError) as error:
            _log.info("typing.not_shown", tenant=tenant, account=account_name, reason=str(error))

    def _reach(self, account: Account) -> "_HttpReach":
        return _HttpReach(self._http, self._tokens, self._store, self._contents, account)

    async def _account(self, tenant: str, channel: str, name: str) -> Account | None:
        entry = await self._queries.account(name)
        if entry is None or entry[0] != tenant:
            return None
        fact = entry[1]
        if fact.channel != channel or not fact.enabled:
            return None
        secrets = {name: self._sealer.open(sealed) for name, sealed in fact.secrets.items()}
        return Account(tenant, fact.name, fact.channel, fact.settings, secrets, fact.queue)


def outcome_of(failure: NotSent) -> Outcome:
    """What an error of a channel means for its message."""
    match failure.fate:
        case "again":
            return Outcome(None, failure.reason, pause_s=failure.pause_s)
        case "slower":
            return Outcome(None, failure.reason, pause_s=failure.pause_s, whole_account=True)
        case "admin":
            return Outcome("failed", failure.reason, trouble=True)
        case _:
            return Outcome("failed", failure.reason)


class _HttpReach:
    """`Reach` over HTTP."""

    def __init__(
        self, http: httpx.AsyncClient, tokens: Tokens, store: PostgresStore, contents: Contents, account: Account
    ) -> None:
        self._http = http
        self._store = store
        self._contents = contents
        self._tokens = tokens
        self._account = account

    async def token(self, fetch: Fetch, *, stale: str | None = None) -> str:
        """See `Reach.token`."""
        account = self._account
        credentials = {**account.secrets, **{f"setting {name}": repr(each) for name, each in account.settings.items()}}

        async def ask(force: bool) -> tuple[str, int]:
            return await fetch(force=force)

        return await self._tokens.get(account.tenant, account.name, credentials, ask, stale)

    async def media(self, media_id: str) -> Media:
        """See `Reach.media`."""
        tenant = self._account.tenant
        known = (await self._store.lookup(tenant, Wanted(media={media_id}))).media.get(media_id)
        body = None if known is None or known.hash is None else await self._contents.get(tenant, known.hash)
        if known is None or body is None or known.media_type is None:
            raise NotSent("bad_media", "refused")
        return Media(body, known.media_type, known.name)

    async def call(self, call: Call) -> Answered:
        """See `Reach.call`. What went wrong is told without the query, which may hold a credential."""
        try:
            async with asyncio.timeout(max(CALL_S_MAX, (len(call.body) + call.answer_bytes_max) / BYTES_PER_S_MIN)):
                return await self._called(call)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise NotSent(UNREACHABLE, "again") from error

    async def _called(self, call: Call) -> Answered:
        headers = {"content-type": call.media_type} if call.body else {}
        async with self._http.stream(
            call.method, call.url, params=dict(call.query), content=call.body, headers=headers
        ) as answer:
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > call.answer_bytes_max:
                    raise NotSent("too_large", "refused")
            return Answered(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, bytes(body))


def http_client() -> httpx.AsyncClient:
    """The client that all accounts share; redirects are not followed, and nothing is taken from the environment.

    Its own lines in the log quote addresses, which hold access tokens: they stay out, whatever else is logged.
    """
    for each in ("httpx", "httpcore"):
        logging.getLogger(each).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        transport=Transport(CONNECTIONS_MAX, kept=KEPT_MAX, idle_s=IDLE_S_MAX),
        timeout=CALL_S_MAX,
        follow_redirects=False,
        trust_env=False,
        event_hooks={"request": [_carry]},
    )


async def _carry(request: httpx.Request) -> None:
    """Let whoever is asked go on with the trace."""
    request.headers.update(tracing.headers())
