"""A visitor of a website with a chat, from outside: sessions, requests, and a socket that remembers what it heard."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import websockets

from tests.support.service import Client

ORIGIN = "https://shop.example"
IDENTITY_KEY = "an identity key for tests"


class Socket:
    """One open socket. `messages` and `conversation` are what a browser would show now."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self.number = 0
        self.messages: dict[str, dict[str, Any]] = {}
        self.conversation: dict[str, Any] | None = None

    async def frame(self, timeout_s: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.frames.append(frame)
        if frame["type"] in ("welcome", "snapshot"):
            for each in frame["messages"]:
                self.messages[each["id"]] = each
        if frame["type"] == "message":
            self.messages[frame["message"]["id"]] = frame["message"]
        if "conversation" in frame:
            self.conversation = frame["conversation"]
        if frame["type"] != "kept":  # what was said before it may come behind it
            self.number = max(self.number, frame.get("number") or 0)
        return frame

    async def until(self, kind: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Read on until a frame of this kind."""
        while (frame := await self.frame(timeout_s))["type"] != kind:
            pass
        return frame

    async def shows(self, timeout_s: float = 30.0, **wanted: Any) -> dict[str, Any]:
        """Read on until the conversation stands so, if it does not already."""
        while not (self.conversation and all(self.conversation.get(name) == each for name, each in wanted.items())):
            await self.frame(timeout_s)
        return self.conversation

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def say(self, text: str, **more: Any) -> dict[str, Any]:
        """Write, and read on until it is kept, or refused."""
        client_id = more.pop("id", None) or uuid.uuid4().hex
        await self.send(type="message", id=client_id, text=text, **more)
        while True:
            frame = await self.frame()
            if frame["type"] == "kept" and frame["client_id"] == client_id:
                return frame
            if frame["type"] == "refused" and frame["id"] == client_id:
                return frame

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in sorted(self.messages.values(), key=lambda each: each["number"])]


class Browser:
    """A visitor's browser at one account: its token, and what it keeps for the next visit."""

    def __init__(self, client: Client, account: str, origin: str | None = ORIGIN) -> None:
        self.address = f"{client.url}/channels/webchat/{account}"
        self.origin = origin
        headers = {} if origin is None else {"origin": origin}
        self.http = httpx.AsyncClient(base_url=self.address, headers=headers, timeout=20)
        client.others.append(self.http)
        self.services = client.services
        self.token = ""
        self.resume: str | None = None

    async def ask(self, method: str, path: str, *expected: int, **kwargs: Any) -> Any:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        answer = await self.http.request(method, path, headers=headers | kwargs.pop("headers", {}), **kwargs)
        assert answer.status_code in (expected or (200, 201, 204)), (
            f"{method} {path}: {answer.status_code} {answer.text}"
        )
        return answer.json() if answer.content else None

    async def begin(self, *expected: int, **body: Any) -> dict[str, Any]:
        """Begin a session."""
        self.token = ""
        answer: dict[str, Any] = await self.ask("POST", "/session", *(expected or (201,)), json=body)
        self.token, self.resume = answer.get("token", ""), answer.get("resume")
        return answer

    @asynccontextmanager
    async def socket(self, after: int | None = None, token: str | None = None) -> AsyncIterator[Socket]:
        url = self.address.replace("http", "ws", 1) + "/socket"
        origin = None if self.origin is None else websockets.Origin(self.origin)
        async with websockets.connect(url, origin=origin) as socket:
            found = Socket(socket)
            hello = {"type": "hello", "token": self.token if token is None else token}
            await socket.send(json.dumps(hello if after is None else {**hello, "after": after}))
            found.welcome = await found.frame()
            yield found


async def website(client: Client, account: str = "shop", **more: Any) -> Browser:
    """A webchat account, and a browser on its pages that has begun a session."""
    settings = {"origins": [ORIGIN], **more.pop("settings", {})}
    secrets = {"identity_key": IDENTITY_KEY, **more.pop("secrets", {})}
    body = {"channel": "webchat", "settings": settings, "secrets": secrets, **more}
    await client.call("PUT", f"/v1/channels/{account}", json=body)
    browser = Browser(client, account)
    if not settings.get("signed_only"):
        await browser.begin()
    return browser
