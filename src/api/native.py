"""The native endpoints of the channels: they move bytes between a system and its adapter, and know neither."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, WebSocket
from starlette.responses import Response

from src import metrics
from src.api import problems, sockets
from src.api.context import Services, services
from src.api.inflow import account_of, take
from src.api.routing import Router
from src.api.sockets import read_text
from src.api.voice.hooks import settle
from src.api.voice.line import Line
from src.channels.base import Account, ChannelRequest, Converses, Receives
from src.dispatch import jobs
from src.errors import NotFound, Refused

router = Router(prefix="/channels", tags=["channels"])


def _described(scope_of: Request | WebSocket, rest: str, method: str, body: bytes = b"") -> ChannelRequest:
    return ChannelRequest(
        method=method,
        path=f"/{rest}" if rest else "",
        query=dict(scope_of.query_params),
        headers={name.lower(): value for name, value in scope_of.headers.items()},
        body=body,
        query_string=scope_of.scope["query_string"].decode("latin-1"),
    )


@router.get("/{channel}/{account}")
@router.get("/{channel}/{account}/{rest:path}", include_in_schema=False)
async def native_check(channel: str, account: str, request: Request, rest: str = "") -> Response:
    """What the channel's system asks to see whether the address is ours."""
    return await _receive(channel, account, request, rest)


@router.post("/{channel}/{account}")
@router.post("/{channel}/{account}/{rest:path}", include_in_schema=False)
async def native_push(channel: str, account: str, request: Request, rest: str = "") -> Response:
    """What the channel's system pushes. It is answered once everything in it is committed."""
    return await _receive(channel, account, request, rest)


async def _receive(channel: str, account: str, request: Request, rest: str) -> Response:
    found = services(request)
    adapter, configured = await account_of(found, channel, account)
    if not isinstance(adapter, Receives):
        raise NotFound("this channel takes no requests here")
    described = _described(request, rest, request.method, await request.body())
    try:
        receipt = adapter.receive(described, configured, found.clock.now_ms())
    except Refused as refusal:
        metrics.PUSHES_REFUSED.labels(refusal.code).inc()
        raise
    if receipt.notes or receipt.asked is not None:
        reply = await settle(found, configured, receipt)
        return Response(reply.body, reply.status, media_type=reply.media_type)
    await take(found, configured, receipt.inbound)
    if receipt.wanted is not None:
        for name in await _wanted(found, configured, receipt.wanted_for):
            await found.owner.submit(configured.tenant, jobs.WantPull(name, configured.channel, receipt.wanted))
    return Response(receipt.reply.body, receipt.reply.status, media_type=receipt.reply.media_type)


async def _wanted(found: Services, called: Account, settings: Mapping[str, object]) -> list[str]:
    """The accounts in use that a call is for: the one that was called, or others beside it."""
    if settings.items() <= called.settings.items():
        return [called.name]
    return [
        each.name
        for tenant, each in await found.queries.accounts_of(called.channel)
        if tenant == called.tenant and settings.items() <= each.settings.items()
    ]


@router.websocket("/{channel}/{account}")
@router.websocket("/{channel}/{account}/{rest:path}")
async def native_socket(websocket: WebSocket, channel: str, account: str, rest: str = "") -> None:
    """A WebSocket that the channel's system opens to us."""
    found: Services = websocket.app.state.services
    try:
        adapter, configured = await account_of(found, channel, account)
        if not isinstance(adapter, Converses):
            raise NotFound("this channel takes no WebSocket here")
        conversation, subprotocol = adapter.open(_described(websocket, rest, "GET"), configured)
    except Refused as refusal:
        await websocket.send_denial_response(problems.response(refusal))
        return
    await websocket.accept(subprotocol=subprotocol)
    await Line(found, configured, conversation, _Pipe(websocket)).run()


@dataclass(frozen=True, slots=True)
class _Pipe:
    """A WebSocket that was opened to us, as a line has it."""

    websocket: WebSocket

    async def receive(self) -> str:
        """The next frame."""
        return await read_text(self.websocket)

    async def send(self, text: str) -> None:
        """Send a frame."""
        await self.websocket.send_text(text)

    async def close(self, code: int, reason: str) -> None:
        """Close it, if it is still open."""
        await sockets.close(self.websocket, code, reason)
