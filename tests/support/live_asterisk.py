"""A live Asterisk, with SIP telephones at it: the calls of the tests are real ones.

`CORDBOARD_TEST_ARI_URL` is its HTTP address with the user of `ari.conf`: `http://ast:…@127.0.0.1:8088`; SIP is at
`CORDBOARD_TEST_SIP`, `127.0.0.1:5060` if nothing is said. `tests/fixtures/asterisk/` is the configuration it needs. The
service dials it, or it dials us at a port that its configuration names; either way through a pipe that can be cut. What
stands is read from its REST interface, as another client.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.service import Client
from tests.support.sip import Telephones

DIALS_PORT = 18090
"""Where `websocket_client.conf` dials; the account is named there, too."""


class LiveAsterisk:
    """See `Pbx`. `dials`: Asterisk dials us, else we dial it; each has an application and an extension of its own."""

    def __init__(self, *, dials: bool) -> None:
        self._dials = dials
        self._far: tuple[str, int]
        parts = urlsplit(os.environ["CORDBOARD_TEST_ARI_URL"])
        self._address = (parts.hostname or "", parts.port or 8088)
        self._user = (parts.username or "", parts.password or "")
        host, _, port = os.environ.get("CORDBOARD_TEST_SIP", "127.0.0.1:5060").partition(":")
        self._people = Telephones((host, int(port)))
        self.phones = self._people.phones
        self.channels: dict[str, dict[str, Any]] = {}
        self._bridges: list[dict[str, Any]] = []
        self._http = httpx.AsyncClient(base_url=f"http://{self._address[0]}:{self._address[1]}/ari", auth=self._user)
        self._pipes: list[asyncio.StreamWriter] = []
        self._joined = False
        self.account = "pbx1" if dials else f"pbx-{uuid.uuid4().hex[:12]}"

    @property
    def trunk(self) -> str:
        return f"PJSIP/phones/sip:{{number}}@127.0.0.1:{self._people.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LiveAsterisk"]:
        await self._people.open()
        await self._look()
        for each in self.channels:  # what a test before left behind
            await self._http.delete(f"/channels/{each}")
        try:
            yield self
        finally:
            await self._people.close()
            await self._http.aclose()

    # -- the connection -----------------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        return self._joined

    @asynccontextmanager
    async def connected(self, client: Client, **settings: Any) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._pipe, "127.0.0.1", DIALS_PORT if self._dials else 0)
        own = {
            "username": self._user[0],
            "default_region": "CN",
            "app": "dialling" if self._dials else "routing",
            "phones": f"PJSIP/phones/sip:{{phone}}@127.0.0.1:{self._people.port}",
        }
        if self._dials:
            self._far = ("127.0.0.1", urlsplit(client.url).port or 0)
        else:
            self._far = self._address
            own["url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        body = {"channel": "voice", "settings": own | settings, "secrets": {"password": self._user[1]}}
        await client.call("PUT", f"/v1/channels/{self.account}", json=body)
        try:
            await self.until(lambda: self.online)
            yield
        finally:
            await client.call("DELETE", f"/v1/channels/{self.account}", 204)
            server.close()
            await self.drop()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._far)
        self._pipes += [writer, far_writer]

        async def carry(from_: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await from_.read(65_536):
                self._joined = self._joined or b'"REST' in data  # an application stays, its connection does not
                to.write(data)
                await to.drain()

        ways = [asyncio.create_task(carry(reader, far_writer)), asyncio.create_task(carry(far_reader, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        self._joined = False
        for each in (writer, far_writer):
            each.close()
            if each in self._pipes:
                self._pipes.remove(each)

    async def drop(self) -> None:
        for each in self._pipes:
            each.transport.abort()

    # -- people -------------------------------------------------------------------------------------------------

    async def call(self, number: str, name: str = "Zhang San") -> str:
        call_id = self._people.call(number, name, "4002" if self._dials else "4001")
        return str(await self.until(lambda: self._channel_of(call_id)))

    async def pick_up(self, leg_id: str) -> None:
        self._people.pick_up(self._dialog(leg_id))

    async def come_back(self, channel_id: str) -> None:
        """Nothing of ARI's moves such a channel."""
        pytest.skip("only a dial plan can do this")

    async def hang_up(self, channel_id: str, cause: int = 16) -> None:
        self._people.hang_up(self._dialog(channel_id), cause)

    async def press(self, channel_id: str, digit: str) -> None:
        self._people.press(self._dialog(channel_id), digit)
        await asyncio.sleep(0.2)

    def _channel_of(self, call_id: str) -> str | None:
        found = (each["id"] for each in self.channels.values() if each["protocol_id"] == call_id)
        return next(found, None)

    def _dialog(self, channel_id: str) -> str:
        return str(self.channels[channel_id]["protocol_id"])

    # -- what stands --------------------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], Any], wait_s: float = 10.0) -> Any:
        async with asyncio.timeout(wait_s):
            while True:
                await self._look()
                if found := holds():
                    return found
                await asyncio.sleep(0.05)

    async def _look(self) -> None:
        self.channels = {each["id"]: each for each in (await self._http.get("/channels")).json()}
        self._bridges = (await self._http.get("/bridges")).json()

    def legs(self, state: str | None = None) -> list[str]:
        found = [each for each in self.channels.values() if each["name"].startswith("PJSIP/phones-")]
        return [each["id"] for each in found if state in (None, each["state"])]

    def held(self) -> list[str]:
        return [each for bridge in self._bridges if bridge["bridge_type"] == "holding" for each in bridge["channels"]]

    def talking(self) -> list[set[str]]:
        mixing = [set(each["channels"]) for each in self._bridges if each["bridge_type"] == "mixing"]
        return [each for each in mixing if len(each) > 1]

    def elsewhere(self) -> list[tuple[str, str, str]]:
        found = [(each, each["dialplan"]) for each in self.channels.values()]
        return [
            (each["id"], f"{plan['exten']}@{plan['context']}", each["accountcode"])
            for each, plan in found
            if plan["app_name"] == "Wait"
        ]
