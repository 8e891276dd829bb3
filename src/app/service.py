"""Joins the concrete parts into a running service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

import src.channels
from src import tracing
from src.api import (
    access,
    agents,
    collaborations,
    common_problems,
    configuration,
    contacts,
    customers,
    document,
    events,
    explaining,
    external,
    forecast,
    handling,
    keys,
    media,
    messages,
    native,
    ops,
    privacy,
    problems,
    reference,
    reports,
    rosters,
    stream,
    trust,
    wallboard,
    webhooks,
    whole_configuration,
)
from src.api.auth import Authenticator
from src.api.budgets import keep_windows
from src.api.context import Services, context, stored_settings
from src.api.door import Door
from src.api.edge import Edge
from src.api.intake import Intake
from src.api.jwks import KeySets
from src.api.limits import Limits
from src.api.progress import endpoints as progress
from src.api.progress.links import ProgressLinks
from src.api.traced import Traced
from src.api.voice.dialling import keep_dialled
from src.api.voice.hooked import keep_hooked
from src.api.webchat import directline, rest, socket, static
from src.api.webchat.absence import Absence
from src.api.webchat.pace import Paces
from src.api.webchat.presence import Presence
from src.api.webchat.silence import keep_silence
from src.api.webchat.waiting import Waiting
from src.app.gathering import GatheringHttp
from src.app.ground import Notice, archive_dir, first_start, opened, sealer_of, secret_key, secret_keys
from src.app.large_pages import keep_large
from src.app.posting import WebhookPoster
from src.app.sending import ChannelSender, http_client
from src.app.telemetry import traced
from src.app.upkeep import (
    LeaseThread,
    always,
    keep_archive,
    keep_house,
    keep_privacy,
    keep_retention,
    watch_loop,
    within,
)
from src.channels.base import discover
from src.channels.webchat.tokens import VisitorTokens
from src.cluster.internal import InternalApp, InternalServer
from src.cluster.peers import HttpPeers
from src.config import Settings
from src.connectors.outward import Outward, networks
from src.connectors.service import Connectors
from src.connectors.template import Person
from src.delivery.announce import Announcer, Follower
from src.delivery.hub import Announce, Hub
from src.dispatch.clock import SystemClock, new_id
from src.dispatch.owner import Owner
from src.dispatch.people import whole
from src.dispatch.ports import Parts
from src.profile.identities import plain
from src.router.journal import Event
from src.store.customers import CustomerQueries
from src.store.queries import Queries
from src.store.reports import Reports

if TYPE_CHECKING:
    from redis.asyncio import Redis

POSTED_MAX: Final = 1_000
"""Connections to webhooks at a time: each webhook has only a few, so that slow ones leave enough to the others."""

RELEASE_S_MAX: Final = 1.0
"""So long a database is tried that is to hear that this process leaves: it finds out without."""

REDIS_S_MAX: Final = 0.5
"""So long Redis may take to say that it is there: whoever asks whether to send requests here waits for that."""


def build_api(services: Services | None = None) -> FastAPI:
    """The application over these services; without them it only describes itself."""
    api = FastAPI(
        title="Cordboard",
        version="1",
        summary="Omnichannel contact routing: every contact to the right agent, once, and it can say why.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for each in (
        stream,  # first, for routes are tried in turn, and desktops come in thousands
        contacts,
        messages,
        media,
        handling,
        collaborations,
        common_problems,
        agents,
        customers,
        privacy,
        progress,
        configuration,
        access,
        keys,
        trust,
        explaining,
        external,
        webhooks,
        whole_configuration,
        events,
        reports,
        forecast,
        rosters,
        directline,
        rest,
        socket,
        static,
        wallboard,
        reference,
        native,
        ops,
    ):
        api.routes.extend(each.router.routes)
    problems.install(api, context)
    document.install(api)
    api.add_middleware(Intake)
    api.add_middleware(Edge)
    if tracing.on():
        api.add_middleware(Traced)
    if services is not None:
        api.state.services = services
    return api


@contextlib.asynccontextmanager
async def service(settings: Settings, url: str) -> AsyncIterator[tuple[FastAPI, Notice | None]]:
    """The whole service over a migrated database: the application, and what a first start has to say."""
    clock, process, secret = SystemClock(), new_id(), secret_key(settings)
    archived = archive_dir(settings)
    sealer, secrets = sealer_of(settings), secret_keys(settings)
    async with opened(url) as store, Queries.over(url) as queries, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(traced(settings.otlp_endpoint, process))
        redis = await stack.enter_async_context(_redis(settings))
        announcer = None if redis is None else Announcer(redis)
        also = networks(settings.connector_networks)
        outward = await stack.enter_async_context(Outward(also))
        connectors = Connectors(
            outward,
            clock,
            queries.all_connectors,
            partial(_person, queries),
            sealer.open,
            lambda tenant, job: owner.submit(tenant, job),  # noqa: PLW0108  # it is made below
        )
        stack.push_async_callback(connectors.stop)
        posting = await stack.enter_async_context(Outward(networks(settings.webhook_networks), POSTED_MAX))
        calling = await stack.enter_async_context(Outward(networks(settings.voice_networks)))
        hub = Hub(
            store,
            clock,
            connectors.noticed if announcer is None else _both(connectors.noticed, announcer.announce),
            None if announcer is None else announcer.announce_signal,
            connectors.known,
            lambda tenant: stored_settings(queries, tenant, owner.settings(tenant)),
        )
        book = store.call_book(None if announcer is None else announcer.announce_call)
        peers, internal = None, None
        if settings.database_url:  # there may be other processes
            peers = await stack.enter_async_context(HttpPeers(process, secret))
            internal = InternalServer.bound(settings.internal_host, settings.internal_port)
        address = None if internal is None else settings.internal_address or internal.address(towards=url)
        lease = LeaseThread(url, process, clock, address)
        lease.start()
        channels = discover(src.channels.__path__, "src.channels")
        http = await stack.enter_async_context(http_client())
        sender = ChannelSender(
            store, queries, sealer, store.tokens(sealer, clock.monotonic), channels, clock.now_ms, http
        )
        poster = WebhookPoster(posting, hub, clock, sealer)
        parts = Parts(store, hub, clock, new_id, lease.good, hub.live_sessions, sender, sender, sender, poster)
        owner = Owner(process, store, parts, peers)
        if internal is not None:
            await stack.enter_async_context(
                internal.serving(InternalApp(process, secret, owner.carry_out), GatheringHttp)
            )
        visits = store.visits()
        found = Services(
            owner=owner,
            store=store,
            queries=queries,
            hub=hub,
            clock=clock,
            new_id=new_id,
            auth=Authenticator(queries, sealer, clock, KeySets(outward, clock, also)),
            limits=Limits(clock, key_per_s=settings.key_requests_per_s, tenant_per_s=settings.tenant_requests_per_s),
            sealer=sealer,
            channels=channels,
            sends=sender.sends,
            show_typing=sender.typing,
            contents=store.contents(),
            call_book=book,
            door=Door(clock),
            visitor_tokens=VisitorTokens(secrets),
            paces=Paces(clock),
            waiting=Waiting(owner, clock),
            presence=Presence(visits),
            visits=visits,
            connectors=connectors,
            progress_links=ProgressLinks(secrets),
            reports=Reports(queries),
            redis_answers=None if redis is None else partial(_redis_answers, redis),
        )
        notice = await first_start(settings, store, queries, sealer)
        tasks = [
            always(partial(keep_house, found, store)),
            always(partial(stream.vouch, found)),
            always(found.waiting.run),
            always(partial(keep_silence, found)),
            always(found.presence.run),
            always(Absence(found, clock.monotonic).run),
            always(partial(keep_hooked, found, calling)),
            always(partial(keep_dialled, found, networks(settings.voice_networks))),
            always(partial(keep_windows, found)),
            always(watch_loop),
            always(keep_large),
            always(partial(keep_privacy, url)),
            always(partial(keep_retention, found, url)),
            always(connectors.run),
            always(partial(keep_archive, url, clock, settings.journal_keep_days, archived)),
        ]
        if announcer is not None:
            tasks.append(always(announcer.run))
        if peers is not None:
            tasks.append(always(Follower(hub, store, redis, book.woken).run))
        try:
            yield build_api(found), notice
        finally:
            await owner.stop()
            await asyncio.to_thread(lease.stop)  # or it would come to life again behind its release
            await within(RELEASE_S_MAX, owner.release())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=RELEASE_S_MAX)


def _both(first: Announce, second: Announce) -> Announce:
    def announce(tenant: str, events: Sequence[Event]) -> None:
        first(tenant, events)
        second(tenant, events)

    return announce


async def _person(queries: Queries, tenant: str, customer_id: str) -> Person | None:
    """A customer as connectors may speak of it: by what channels vouch for; of several of a kind, the newest.

    Of one that was merged into another, the other.
    """
    members = await CustomerQueries(queries).members(tenant, customer_id)
    if not members:
        return None
    identities = await queries.addresses(tenant, [each.id for each in members])
    strong = {each.type: plain(each.value, each.scope) for each in identities if each.strong}
    customer = whole(members)
    others = tuple(each.id for each in members if each.id != customer.id)
    return Person(customer.id, customer.tier, strong, customer.attributes, customer.preferred_agent_id, others)


@contextlib.asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator["Redis | None"]:
    if not settings.redis_url:
        yield None
        return
    from src.delivery.redis import connect  # noqa: PLC0415  # a client that one process alone does without

    async with connect(settings.redis_url) as it:
        yield it


async def _redis_answers(redis: "Redis") -> bool:
    try:
        async with asyncio.timeout(REDIS_S_MAX):
            return bool(await redis.ping())
    except Exception:  # noqa: BLE001  # a reset connection raises more than the client documents
        return False
