"""What WebSocket endpoints share: reading text, and knowing when the other side is gone."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import WebSocket
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected, WebSocketState

GONE: Final = (WebSocketDisconnect, WebSocketDisconnected)
"""What a socket raises when the other side is gone: in reading, and in sending."""

CLOSE_UNSUPPORTED: Final = 1003
HELLO_S_MAX: Final = 10

T = TypeVar("T", bound=BaseModel)


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


async def hello(socket: WebSocket, model: type[T]) -> T | None:
    """What the other side says first; None where that is something else, or takes it too long."""
    try:
        async with asyncio.timeout(HELLO_S_MAX):
            return model.model_validate_json(await read_text(socket))
    except (TimeoutError, ValidationError):
        return None


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a socket, if that has not happened yet."""
    if socket.application_state is WebSocketState.CONNECTED:
        with contextlib.suppress(RuntimeError):
            await socket.close(code, reason)


async def until_first(*ways: Callable[[], Any]) -> None:
    """Run both ways of a socket until one ends; its error, if any, is the caller's."""
    tasks = [asyncio.ensure_future(way()) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            # Not raised here unless it must be: it would hold this frame, which holds the tasks, which hold it.
            error = task.exception()
            if error is not None and not isinstance(error, GONE):
                raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
