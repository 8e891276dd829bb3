"""What WebSocket endpoints share: reading text, and knowing when the other side is gone."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

GONE: Final = (WebSocketDisconnect, WebSocketDisconnected)
"""What a socket raises when the other side is gone: in reading, and in sending."""

CLOSE_UNSUPPORTED: Final = 1003


async def read_text(socket: WebSocket) -> str:
    """The next text frame. A binary one closes the socket: nothing that we speak has any.

    Raises:
        WebSocketDisconnect: the other side is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text: str | None = message.get("text")
    if text is None:
        await socket.close(CLOSE_UNSUPPORTED, "text frames only")
        raise WebSocketDisconnect(CLOSE_UNSUPPORTED)
    return text


async def until_first(*ways: Callable[[], Any]) -> None:
    """Run both ways of a socket until one ends; its error, if any, is the caller's."""
    tasks = [asyncio.ensure_future(way()) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with contextlib.suppress(*GONE):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
