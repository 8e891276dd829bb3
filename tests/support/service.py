"""The whole service in the test's own loop, and the clients that speak to it from outside."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import websockets
from pydantic import SecretStr

from src.api.context import Services
from src.app.server import Leaving, bind, http_server
from src.app.service import service
from src.config import Settings
from tests.support.answered import look_at

ADMIN_KEY = "cb_" + "a" * 40


class Desktop:
    """An agent's desktop: remembers every frame, and that `prev` is always what it saw last."""

    def __init__(self, socket: Any, welcome: dict[str, Any], after: int | None) -> None:
        self.socket = socket
        self.welcome = welcome
        self.last = after if welcome["resumed"] else welcome["seq"]
        self.events: list[dict[str, Any]] = []
        self._refs = 0

    async def frame(self, timeout_s: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        if frame["type"] == "event":
            assert self.last == frame["prev"], "a gap in the stream"
            assert self.last < frame["event"]["seq"], "the stream went back"
            self.last = frame["event"]["seq"]
            self.events.append(frame["event"])
        elif frame["type"] == "mark":
            self.last = frame["seq"]
        return frame

    async def event(self, kind: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Read on until an event of this kind; what came before is in `events`."""
        while True:
            frame = await self.frame(timeout_s)
            if frame["type"] == "event" and frame["event"]["type"] == kind:
                return dict(frame["event"])

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame and read on until its reply."""
        self._refs += 1
        ref = str(self._refs)
        await self.socket.send(json.dumps({**frame, "ref": ref}))
        while True:
            answer = await self.frame()
            if answer["type"] == "reply":
                assert ref == answer["ref"]
                return answer


class Client:
    """A caller with a credential."""

    settings: Settings
    services: Services

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.others: list[httpx.AsyncClient] = []
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
            event_hooks={"response": [look_at]},
        )

    async def call(self, method: str, path: str, *expected: int, **kwargs: Any) -> Any:
        answer = await self.http.request(method, path, **kwargs)
        assert answer.status_code in (expected or (200, 201)), f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def token(self, agent_id: str, role: str = "agent", ttl_s: int = 3600) -> str:
        body = {"agent_id": agent_id, "role": role, "ttl_s": ttl_s}
        return str((await self.call("POST", "/v1/tokens", json=body))["token"])

    async def agent(self, agent_id: str, **body: Any) -> None:
        await self.call("PUT", f"/v1/agents/{agent_id}", json=body)

    async def contact(self, external_id: str, **body: Any) -> dict[str, Any]:
        number = {"type": "phone", "value": "+8613800138000", "display_name": "Zhang San", "proven": True}
        identity = body.pop("identity", number)
        posted = {"channel": "voice", "external_id": external_id, "identity": identity, "tags": [], **body}
        return dict(await self.call("POST", "/v1/contacts", json=posted))

    @asynccontextmanager
    async def desktop(
        self, agent_id: str, after: int | None = None, status: str | None = None
    ) -> AsyncIterator[Desktop]:
        token = await self.token(agent_id)
        url = self.url.replace("http", "ws") + "/v1/stream"
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("cordboard.v1")]) as socket:
            hello: dict[str, Any] = {"type": "hello", "token": token}
            await socket.send(json.dumps(hello if after is None else {**hello, "after": after}))
            desktop = Desktop(socket, json.loads(await socket.recv()), after)
            if status is not None:
                assert (await desktop.ask(type="presence", status=status))["ok"]
            yield desktop


@asynccontextmanager
async def running(database_url: str, folder: Path, **more: Any) -> AsyncIterator[Client]:
    """The service over a migrated database, and a client with the admin key of tenant `default`; `more`: settings."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings reads it
        data_dir=folder,
        database_url=database_url,
        secret_key=SecretStr("a secret for tests"),
        admin_key=SecretStr(ADMIN_KEY),
        **{"voice_networks": "127.0.0.0/8"} | more,
    )
    listening = bind("127.0.0.1", 0)
    async with service(settings, database_url) as (api, _):
        server = http_server(api)
        task = asyncio.create_task(server.serve([listening]))
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.01)
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", ADMIN_KEY)
        client.settings = settings
        client.services = api.state.services
        try:
            yield client
        finally:
            for each in (client.http, *client.others):
                await each.aclose()
            Leaving(server, api.state.services.owner, drain_s=0).begin()
            await task
            listening.close()
