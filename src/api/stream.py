"""WebSocket `/v1/stream`: events out, gapless and in order; an agent's presence and answers in.

A connection is an agent's presence lease: it opens with `hello`, and when it is gone the tenant's grace period runs.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Annotated, Any, Final, Literal

import msgspec
import structlog
from fastapi import WebSocket
from opentelemetry.trace import SpanKind
from pydantic import Field, TypeAdapter, ValidationError

from src import tracing
from src.api import agents, problems, sockets
from src.api.agents import held, presence, presence_answer
from src.api.auth import Principal
from src.api.context import Services, hidden_in
from src.api.messages import render_posted, send_job, show_typing, shown_posted
from src.api.routing import Router
from src.api.schemas import (
    Body,
    CompleteBody,
    DeclineBody,
    EventType,
    Id,
    MessageBody,
    MessageFrame,
    Name,
    PresenceBody,
    Short,
)
from src.api.sockets import GONE, read_text, until_first
from src.cluster.wire import forwardable
from src.delivery import views
from src.delivery.hub import CLOSE_CREDENTIAL, CLOSE_REPLACED, CLOSE_RESTART, CLOSE_TOO_SLOW, Subscriber, encode
from src.dispatch import jobs
from src.dispatch.known import Known, Wanted
from src.dispatch.owner import session_of
from src.dispatch.turn import Job, Once, Repeated
from src.dispatch.webhooks import is_of
from src.errors import Forbidden, Malformed, Overloaded, Refused, StoreUnreachable, Unauthenticated, Unavailable
from src.profile.masking import masked
from src.router import commands
from src.router.entities import CONTACT_COLUMNS, Row
from src.router.journal import Event
from src.router.model import Settings

router = Router()

SUBPROTOCOL: Final = "cordboard.v1"
HEARTBEAT_S: Final = 15
RESUME_EVENTS_MAX: Final = 10_000
RESUME_PAGE: Final = 1_000
FRAME_CHARS_MAX: Final = 64 * 1024
TRACEPARENT_CHARS_MAX: Final = 512
"""A `traceparent` of a later version may be longer than those of today."""

HELP_MAX: Final = 200
"""So many open collaborations stand in an agent's snapshot, the newest."""

DISCONNECT_RETRIES_S: Final = (0.5, 1.0, 2.0, 5.0)

VOUCH_PAUSE_S: Final = 0.2
VOUCHED_AT_A_TIME: Final = 200
"""So many sockets of a process that was taken for dead take their leases again at a time."""

_QUEUE: Final = CONTACT_COLUMNS.index("queue")
_CHANNEL: Final = CONTACT_COLUMNS.index("channel")

CLOSE_HELLO: Final = 4000
CLOSE_TOKEN: Final = 4001
CLOSE_LATER: Final = 1013
CLOSE_REASONS: Final = {
    CLOSE_CREDENTIAL: "token not valid",
    CLOSE_REPLACED: "session.replaced",
    CLOSE_TOO_SLOW: "too_slow",
    CLOSE_RESTART: Unavailable.code,
}

_log = structlog.get_logger(__name__)


class Hello(Body):
    """The first frame. `token` is left out when a bearer header was sent; `after` is the last number seen."""

    type: Literal["hello"]
    token: str | None = None
    after: int | None = None


class Filter(Body):
    """What a supervisor or integrator wants to hear; an empty list does not narrow. Types may end in `.*`."""

    types: list[EventType] = []
    queues: list[Name] = []
    channels: list[str] = []
    agents: list[Name] = []


class _Act(Body):
    """What every frame may have: `traceparent` (W3C) makes what is done upon it a part of that trace."""

    ref: Short | None = None
    traceparent: Annotated[str | None, Field(max_length=TRACEPARENT_CHARS_MAX, exclude=True)] = None


class Presence(PresenceBody, _Act):
    """Change the agent's status."""

    type: Literal["presence"]


class Accept(_Act):
    """Take an offer."""

    type: Literal["accept"]
    assignment_id: Id


class Decline(DeclineBody, _Act):
    """Do not take an offer."""

    type: Literal["decline"]
    assignment_id: Id


@forwardable
class Complete(CompleteBody, _Act):
    """The customer has been served."""

    type: Literal["complete"]
    assignment_id: Id


class WrapUpDone(_Act):
    """After-contact work is over."""

    type: Literal["wrap_up_done"]
    assignment_id: Id


class Write(MessageFrame, _Act):
    """Write to the customer of a contact that the agent holds."""

    type: Literal["message"]


class Typing(_Act):
    """The agent types, or has stopped: the customer is shown it where the channel can."""

    type: Literal["typing"]
    contact_id: Id
    typing: bool = True


class Subscribe(_Act):
    """Narrow what is sent."""

    type: Literal["subscribe"]
    filter: Filter


class Ping(_Act):
    """Is anybody there?"""

    type: Literal["ping"]


Frame = Presence | Accept | Decline | Complete | WrapUpDone | Write | Typing | Subscribe | Ping
FRAME_MODELS: Final = (Presence, Accept, Decline, Complete, WrapUpDone, Write, Typing, Subscribe, Ping)
"""What may be said behind hello."""

_FRAMES: Final = {
    model.model_fields["type"].annotation.__args__[0]: TypeAdapter(model)  # type: ignore[union-attr]
    for model in FRAME_MODELS
}
_MESSAGE: Final[TypeAdapter[Any]] = TypeAdapter(MessageBody)


@dataclass(eq=False)
class _Stream:
    """One connection, once it has said hello."""

    socket: WebSocket
    services: Services
    principal: Principal
    subscriber: Subscriber
    session: str
    typing: "asyncio.Task[None] | None" = None

    @property
    def tenant(self) -> str:
        return self.principal.tenant

    async def send(self, value: object, shown: Settings | None = None) -> None:
        """Send what is no event. `shown` are settings that say well enough who sees no numbers."""
        region = await hidden_in(self.services, self.principal, shown)
        await self.socket.send_text(encode(value if region is None else masked(value, region)).decode())

    # -- opening ------------------------------------------------------------------------------------------------

    async def welcome(self, after: int | None) -> None:
        """Take the lease, say what the desktop must know, and send what it has missed."""
        services = self.services
        if self.subscriber.agent_id is None:
            seq, snapshot = (await services.store.head(self.tenant)).seq, None
        else:
            seq, snapshot = await self._connect(self.subscriber.agent_id)
        resumed = after is not None and 0 <= after <= seq and seq - after <= RESUME_EVENTS_MAX
        if resumed and after is not None and after < seq:
            resumed = after >= await services.store.dropped(self.tenant)
        frame = {
            "type": "welcome",
            "session": self.session,
            "seq": seq,
            "now": views.rfc3339(services.clock.now_ms()),
            "resumed": resumed,
            "heartbeat_s": HEARTBEAT_S,
        }
        await self.send(frame if snapshot is None else frame | {"snapshot": snapshot})
        if resumed and after is not None:
            self.subscriber.prev = after
            await self._replay(after, seq)
        prev = self.subscriber.prev if resumed else seq
        self.subscriber.start(seq)
        self.subscriber.prev = prev

    async def _connect(self, agent_id: str) -> tuple[int, views.Json]:
        services = self.services
        services.hub.session_opened(self.session, self.subscriber)
        job = jobs.OnAgent(agent_id, commands.Connect(agent_id, self.session))
        view = await services.owner.submit(self.tenant, job)
        assert view is not None
        assert not isinstance(view, Repeated)
        services.hub.connected(self.subscriber, view.seq)
        helping = await services.queries.collaborations(self.tenant, agent_id=agent_id, state="open", limit=HELP_MAX)
        return view.seq, {
            "presence": presence(view.agent),
            "load": view.load,
            "assignments": await held(services, self.tenant, agent_id, view.assignments),
            "collaborations": [views.collaboration(each) for each in helping.items],
        }

    async def _replay(self, after: int, until: int) -> None:
        services, subscriber = self.services, self.subscriber
        while after < until:
            page = await services.store.events(self.tenant, after, RESUME_PAGE, agent_id=subscriber.agent_id)
            page = [each for each in page if each.seq <= until]
            if not page:
                return
            known = Known()
            await services.hub.join(self.tenant, page, known)
            now, region = services.clock.now_ms(), await hidden_in(services, self.principal)
            for each in page:
                shown = views.event(self.tenant, each, known, now, personal=subscriber.personal)
                encoded = encode(shown if region is None else masked(shown, region))
                await self.socket.send_text(subscriber.frame(each.seq, encoded))
            after = page[-1].seq

    # -- out ----------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Send events as they come, a mark now and then; returns when the socket is to be closed."""
        subscriber = self.subscriber
        try:
            while subscriber.close_code is None:
                if self._expired():
                    await self.socket.close(CLOSE_TOKEN, "token expired")
                    return
                frame = subscriber.take()
                if frame is not None:
                    await self.socket.send_text(frame)
                elif await subscriber.wait(self._patience_s):
                    mark = subscriber.mark(self.services.hub.handed(self.tenant))
                    if mark is not None:
                        await self.socket.send_text(mark)
            await self.socket.close(subscriber.close_code, CLOSE_REASONS.get(subscriber.close_code, ""))
        finally:
            subscriber.wait_no_more()

    def _patience_s(self) -> float:
        expires = self.principal.expires_at_s
        left = HEARTBEAT_S if expires is None else expires - self.services.clock.now_ms() / 1000
        return max(0.05, min(HEARTBEAT_S, left))

    def _expired(self) -> bool:
        expires = self.principal.expires_at_s
        return expires is not None and expires <= self.services.clock.now_ms() / 1000

    # -- in -----------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Answer frames, one after the other, until the socket is gone."""
        while True:
            text = await read_text(self.socket)
            if self._expired():
                await self.socket.close(CLOSE_TOKEN, "token expired")
                return
            ref = None
            try:
                raw = _decoded(text)
                ref = raw.get("ref") if isinstance(raw.get("ref"), str) else None
                adapter = _FRAMES.get(str(raw.get("type")))
                if adapter is None:
                    raise Malformed(f"there is no frame of the type {str(raw.get('type'))[:40]!r}", field="type")
                given = raw.get(tracing.TRACEPARENT)
                parent = given if isinstance(given, str) else ""
                with tracing.span(f"stream {raw['type']}", parent, kind=SpanKind.SERVER):
                    result = await self._obey(adapter.validate_json(text))
            except ValidationError as error:
                await self._refuse(ref, problems.malformed_from(error.errors()))
            except Refused as refusal:
                await self._refuse(ref, refusal)
            else:
                await self._answer(result | ({"ref": ref} if result["type"] == "reply" else {}))

    async def _refuse(self, ref: str | None, refusal: Refused) -> None:
        await self._answer({"type": "reply", "ref": ref, "ok": False, "problem": problems.problem(refusal)})

    async def _answer(self, value: object) -> None:
        """Answer a frame; numbers are hidden in it as in the events around it."""
        await self.send(value, self.services.hub.settings(self.tenant))

    async def _obey(self, frame: Any) -> dict[str, Any]:  # noqa: ANN401  # one of `Frame`
        if isinstance(frame, Ping):
            return {"type": "pong"}
        if isinstance(frame, Subscribe):
            if self.subscriber.agent_id is not None:
                raise Forbidden("an agent hears what concerns it, no more and no less")
            self.subscriber.wants = partial(_wanted, frame.filter)
            self.subscriber.by_contact = bool(frame.filter.queues or frame.filter.channels)
            return {"type": "reply", "ok": True, "result": {"filter": frame.filter.model_dump()}}
        agent_id = self.subscriber.agent_id
        if agent_id is None:
            raise Forbidden("only an agent's own connection can do this")
        return {"type": "reply", "ok": True, "result": await self._act(frame, agent_id)}

    async def _act(self, frame: Any, agent_id: str) -> views.Json:  # noqa: ANN401  # one of `Frame`
        submit, tenant = self.services.owner.submit, self.tenant
        if isinstance(frame, Presence):
            job = jobs.OnAgent(agent_id, commands.SetPresence(agent_id, frame.status, frame.reason, frame.lease_s))
            view = await submit(tenant, job)
            assert isinstance(view, jobs.AgentView)
            return presence_answer(view)
        if isinstance(frame, Typing):
            self._show_typing(frame, agent_id)
            return {"typing": frame.typing}
        if isinstance(frame, Write):
            return await self._write_to_customer(frame)
        row = await submit(tenant, _job(frame, agent_id))
        assert not isinstance(row, Repeated)
        return views.assignment(row)

    async def _write_to_customer(self, frame: Write) -> views.Json:
        given = frame.model_dump(exclude_unset=True, exclude={"type", "ref", "contact_id"})
        body = _MESSAGE.validate_python({**given, "from": "agent"})
        job = await send_job(self.services, self.principal, frame.contact_id, body)
        own = Once(f"command {self.services.new_id()}", "", render_posted, given=False)
        posted = await self.services.owner.submit(self.tenant, job, own)
        if isinstance(posted, Repeated):
            message_id = posted.answer.body["id"]
            known = await self.services.store.lookup(self.tenant, Wanted(messages={message_id}))
            return views.message(known.messages[message_id], known.outgoing.get(message_id))
        return await shown_posted(self.services, self.tenant, posted)

    def _show_typing(self, frame: Typing, agent_id: str) -> None:
        """Nobody is told whether it arrives, and nothing waits for it; while one is on its way, others are dropped."""
        if self.typing is None or self.typing.done():
            shown = show_typing(self.services, self.tenant, frame.contact_id, agent_id, on=frame.typing)
            self.typing = asyncio.create_task(shown)


def _job(frame: Any, agent_id: str) -> Job[Row]:  # noqa: ANN401  # one of `Frame`
    assignment_id = frame.assignment_id
    if isinstance(frame, Accept):
        return jobs.OnAssignment(assignment_id, commands.Accept(assignment_id, agent_id))
    if isinstance(frame, Decline):
        return jobs.OnAssignment(assignment_id, commands.Decline(assignment_id, agent_id, frame.reason))
    if isinstance(frame, Complete):
        return agents.Complete(assignment_id, agent_id, frame)
    return agents.WrapUpDone(assignment_id, agent_id)


def _wanted(narrowed: Filter, event: Event, row: Row | None) -> bool:
    checks: list[tuple[list[str], Any]] = [
        (narrowed.queues, None if row is None else row[_QUEUE]),
        (narrowed.channels, None if row is None else row[_CHANNEL]),
        (narrowed.agents, event.agent_id),
    ]
    return is_of(narrowed.types, event) and all(not allowed or value in allowed for allowed, value in checks)


def _decoded(text: str) -> dict[str, Any]:
    if len(text) > FRAME_CHARS_MAX:
        raise Malformed(f"a frame may have at most {FRAME_CHARS_MAX} characters")
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Malformed("the frame is not valid JSON") from error
    if not isinstance(raw, dict):
        raise Malformed("a frame is a JSON object")
    return raw


async def stream(websocket: WebSocket) -> None:
    """Events, presence and answers over one socket."""
    services: Services = websocket.app.state.services
    header = websocket.headers.get("authorization")
    if header is not None:
        try:
            await services.auth.bearer(header)
        except Refused as refusal:
            await websocket.send_denial_response(problems.response(refusal))
            return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    with contextlib.suppress(*GONE):
        hello = await sockets.hello(websocket, Hello)
        if hello is None:
            await sockets.close(websocket, CLOSE_HELLO, "hello expected")
            return
        try:
            # Asked anew behind the wait for hello: a key may have been revoked meanwhile.
            good = services.auth.bearer(header) if header is not None else services.auth.credential(hello.token or "")
            principal = await good
            await _serve(websocket, services, principal, hello.after)
        except Unauthenticated:
            await sockets.close(websocket, CLOSE_TOKEN, "token not valid")
        except Overloaded as refusal:
            await sockets.close(websocket, CLOSE_LATER, f"{refusal.code}; retry after {refusal.retry_after_s} s")
        except (Unavailable, StoreUnreachable):
            await sockets.close(websocket, CLOSE_RESTART, Unavailable.code)
        except Refused as refusal:
            await sockets.close(websocket, CLOSE_TOKEN, refusal.code)


# Not as a route of FastAPI: what that keeps for dependencies, of which there are none, it keeps while a socket lasts.
router.add_websocket_route("/v1/stream", stream)


async def _serve(websocket: WebSocket, services: Services, principal: Principal, after: int | None) -> None:
    agent_id = principal.id if principal.role == "agent" else None
    if agent_id is None:
        principal.need("events:read", supervisor=True)
    personal = agent_id is not None or principal.may("contacts:read")
    subscriber = Subscriber(principal.tenant, agent_id, principal.id, personal, role=principal.role)
    session = session_of(services.owner.process, services.new_id())
    subscriber.session = session
    each = _Stream(websocket, services, principal, subscriber, session)
    services.hub.attach(subscriber)
    try:
        async with services.door.passed():
            await services.hub.ready(principal.tenant)
            await each.welcome(after)
        await until_first(each.write, each.read)
    finally:
        services.hub.detach(subscriber)
        if agent_id is not None:
            services.hub.session_closed(each.session)
            _keep(asyncio.create_task(_disconnect(services, principal.tenant, agent_id, each.session)))


_disconnecting: set["asyncio.Task[None]"] = set()


def _keep(task: "asyncio.Task[None]") -> None:
    _disconnecting.add(task)
    task.add_done_callback(_disconnecting.discard)


async def _disconnect(services: Services, tenant: str, agent_id: str, session: str) -> None:
    """Say that the socket is gone, until it has been heard: the grace period must start.

    It stops with the process. Then the tenant's owner notices that nobody vouches for the socket any more.
    """
    for pause_s in chain(DISCONNECT_RETRIES_S, repeat(DISCONNECT_RETRIES_S[-1])):
        try:
            await services.owner.submit(tenant, jobs.OnAgent(agent_id, commands.Disconnect(agent_id, session)))
        except Refused as refusal:
            _log.warning("stream.disconnect_not_heard", tenant=tenant, agent_id=agent_id, code=refusal.code)
            await asyncio.sleep(pause_s)
        else:
            return


async def vouch(services: Services) -> None:
    """For ever, take the leases again of sockets that were taken for dead and are not; some at a time.

    Only while this process counts as alive: or they would be taken for dead again, and so on.
    """
    room = asyncio.Semaphore(VOUCHED_AT_A_TIME)
    async with asyncio.TaskGroup() as group:
        while True:
            await room.acquire()
            session, subscriber = await services.hub.doubted()
            while not services.owner.lease_good():  # noqa: ASYNC110  # it is kept by another thread
                await asyncio.sleep(VOUCH_PAUSE_S)
            task = group.create_task(_reconnect(services, session, subscriber))
            task.add_done_callback(lambda _: room.release())


async def _reconnect(services: Services, session: str, subscriber: Subscriber) -> None:
    """Take the agent's lease again for a socket, unless a later one has it: then it is closed.

    So is one for which that cannot be found out: its desktop resumes.
    """
    assert subscriber.agent_id is not None
    job = jobs.Reconnect(subscriber.agent_id, session)
    try:
        if await services.owner.submit(subscriber.tenant, job) is False:
            subscriber.close(CLOSE_REPLACED)
        elif not services.hub.holds(session):  # it was closed meanwhile, and that may have been heard before this
            await _disconnect(services, subscriber.tenant, subscriber.agent_id, session)
    except Refused as refusal:
        _log.warning("stream.not_vouched_for", tenant=subscriber.tenant, code=refusal.code)
        subscriber.close(CLOSE_RESTART)
