"""A double of a telephone system that posts its events, signed, and asks for commands."""

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four bytes").decode()


class Gateway:
    """One telephone system; `commands` are those that it was given, each once. `mute`: it asks for none."""

    def __init__(self, url: str, account: str = "pbx1") -> None:
        self.address = f"{url}/channels/voice/{account}"
        self.http = httpx.AsyncClient(timeout=40)
        self.commands: list[dict[str, Any]] = []
        self.given = 0
        self.mute = False
        self._changed = asyncio.Event()

    def headers(self, body: bytes, event_id: str, at: datetime | None = None, secret: str = SECRET) -> dict[str, str]:
        """Signed by the standard's own library."""
        at = at or datetime.now(UTC)
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(event_id, at, body.decode()),
        }

    async def post(self, path: str, body: Any, event_id: str | None = None) -> httpx.Response:
        content = json.dumps(body).encode()
        headers = self.headers(content, event_id or str(uuid.uuid4()))
        return await self.http.post(self.address + path, content=content, headers=headers)

    async def tell(self, kind: str, call_id: str, event_id: str | None = None, **more: Any) -> None:
        """Something happened; posted until it is taken."""
        event_id = event_id or str(uuid.uuid4())
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self.post("", {"type": kind, "call_id": call_id, **more}, event_id)
                    if answer.status_code != 503:
                        assert 200 == answer.status_code, answer.text
                        return
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def obeying(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._obey())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.http.aclose()

    async def _obey(self) -> None:
        done: list[str] = []
        while True:
            if self.mute:
                await asyncio.sleep(0.05)
                continue
            try:
                answer = await self.post("/commands", {"done": done, "wait_s": 2})
                commands = answer.raise_for_status().json()["commands"]
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            self.take(commands)
            done = [each["id"] for each in commands]

    def take(self, commands: list[dict[str, Any]]) -> None:
        known = {each["id"] for each in self.commands}
        self.given += len(commands)
        self.commands.extend(each for each in commands if each["id"] not in known)
        self._changed.set()

    async def command(self, kind: str, wait_s: float = 10, **like: Any) -> dict[str, Any]:
        """The first command of a kind like this one, once it has been given."""
        return dict(await self.until(lambda: self.like(kind, **like), wait_s))

    def like(self, kind: str, **like: Any) -> dict[str, Any] | None:
        found = [each for each in self.commands if each["type"] == kind and like.items() <= each.items()]
        return found[0] if found else None

    async def until(self, holds: Callable[[], Any], wait_s: float = 10) -> Any:
        async with asyncio.timeout(wait_s):
            while not (found := holds()):
                self._changed.clear()
                await self._changed.wait()
        return found
