"""What WebSocket endpoints share: reading text, and knowing when the other side is gone."""

from typing import Final

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
