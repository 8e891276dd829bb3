"""The native endpoints of the channels: they move bytes between a system and its adapter, and know neither."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog
from fastapi import APIRouter, Request, WebSocket
from starlette.responses import Response

from src.api import problems
from src.api.context import Services, default_region, services
from src.api.sockets import GONE, read_text
from src.channels.base import Account, Channel, ChannelRequest, Converses, Receives
from src.dispatch import jobs
from src.dispatch.inbound import Inbound, InboundHangup
from src.errors import NotFound, Refused, Unavailable, UnknownReference

router = APIRouter(prefix="/channels", tags=["channels"])

CLOSE_BAD_DATA: Final = 1007
CLOSE_TRY_AGAIN: Final = 1013

_log = structlog.get_logger(__name__)


async def _account(found: Services, channel_name: str, account_name: str) -> tuple[Channel, Account]:
    channel, entry = found.channels.get(channel_name), await found.queries.account(account_name)
    if channel is None or entry is None or entry[1].channel != channel_name or not entry[1].enabled:
        raise NotFound("there is no such channel account")
    tenant, fact = entry
    secrets = {name: found.sealer.open(sealed) for name, sealed in fact.secrets.items()}
    return channel, Account(tenant, fact.name, fact.channel, fact.settings, secrets, fact.queue)


async def _take(found: Services, account: Account, inbound: Sequence[Inbound]) -> None:
    region = await default_region(found, account.tenant) if inbound else None
    for each in inbound:
        try:
            await found.owner.submit(account.tenant, jobs.take(each, region))
        except UnknownReference:  # the account's queue has gone: the customer is not to suffer for it
            assert not isinstance(each, InboundHangup)
            await found.owner.submit(account.tenant, jobs.take(replace(each, queue=None), region))


def _described(scope_of: Request | WebSocket, rest: str, method: str, body: bytes = b"") -> ChannelRequest:
    return ChannelRequest(
        method=method,
        path=f"/{rest}" if rest else "",
        query=dict(scope_of.query_params),
        headers={name.lower(): value for name, value in scope_of.headers.items()},
        body=body,
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
    adapter, configured = await _account(found, channel, account)
    if not isinstance(adapter, Receives):
        raise NotFound("this channel takes no requests here")
    described = _described(request, rest, request.method, await request.body())
    receipt = adapter.receive(described, configured, found.clock.now_ms())
    await _take(found, configured, receipt.inbound)
    if receipt.wanted is not None:
        job = jobs.WantPull(configured.name, configured.channel, receipt.wanted)
        await found.owner.submit(configured.tenant, job)
    return Response(receipt.reply.body, receipt.reply.status, media_type=receipt.reply.media_type)


@router.websocket("/{channel}/{account}")
@router.websocket("/{channel}/{account}/{rest:path}")
async def native_socket(websocket: WebSocket, channel: str, account: str, rest: str = "") -> None:
    """A WebSocket that the channel's system opens to us."""
    found: Services = websocket.app.state.services
    try:
        adapter, configured = await _account(found, channel, account)
        if not isinstance(adapter, Converses):
            raise NotFound("this channel takes no WebSocket here")
        conversation, subprotocol = adapter.open(_described(websocket, rest, "GET"), configured)
    except Refused as refusal:
        await websocket.send_denial_response(problems.response(refusal))
        return
    await websocket.accept(subprotocol=subprotocol)
    try:
        while True:
            inbound, frames = conversation.frame(await read_text(websocket), found.clock.now_ms())
            await _take(found, configured, inbound)
            for frame in frames:
                await websocket.send_text(frame)
    except GONE:
        return
    except Unavailable as refusal:
        _log.warning("channel.closed", channel=channel, account=account, code=refusal.code)
        await websocket.close(CLOSE_TRY_AGAIN, refusal.code)
    except Refused as refusal:
        _log.warning("channel.closed", channel=channel, account=account, code=refusal.code)
        await websocket.close(CLOSE_BAD_DATA, refusal.code)
