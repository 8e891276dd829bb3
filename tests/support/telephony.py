"""Telephone systems that the calls of the tests run through, all of one shape: doubles, and live ones."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import pytest

from tests.support.asterisk import Asterisk
from tests.support.freeswitch import FreeSwitch
from tests.support.live_asterisk import LiveAsterisk
from tests.support.service import Client

PASSWORD: Final = "astpw-astpw"

CHANNELS: Final = {"voice": {"cost": 100, "max": 1}}

_LIVE: Final = pytest.mark.skipif(
    "CORDBOARD_TEST_ARI_URL" not in os.environ, reason="no live Asterisk: CORDBOARD_TEST_ARI_URL is not set"
)

SYSTEMS: Final = [
    "asterisk",
    "freeswitch",
    *(pytest.param(each, marks=_LIVE) for each in ("live asterisk", "live asterisk that dials")),
]


class Pbx(Protocol):
    """A telephone system with people at it. Ids are those of its channels; a leg's is its assignment's.

    `phones` says what becomes of ringing an agent's: `answer`, `ring` until `pick_up`, `busy`, `silent`; none: it
    cannot be reached. `online`: the service is connected. `channels`: whoever is there.
    """

    phones: dict[str, str]

    @property
    def online(self) -> bool: ...

    @property
    def channels(self) -> Any: ...

    account: str

    @property
    def trunk(self) -> str:
        """How customers are called, as the account has it."""

    def connected(self, client: Client, **settings: Any) -> AbstractAsyncContextManager[None]:
        """The tenant's account of this system, with these settings, and a connection that is made again when lost."""

    async def drop(self) -> None:
        """Lose the connection, without a word."""

    async def call(self, number: str) -> str: ...

    async def pick_up(self, leg_id: str) -> None: ...

    async def come_back(self, channel_id: str) -> None:
        """The dial plan hands over again a caller that was given back to it."""

    async def hang_up(self, channel_id: str, cause: int = 16) -> None: ...

    async def press(self, channel_id: str, digit: str) -> None: ...

    async def until(self, holds: Callable[[], Any], wait_s: float = 10.0) -> Any:
        """Wait until something holds; what it gave."""

    def legs(self, state: str | None = None) -> list[str]:
        """Agents' sides that are `Ringing` or `Up`."""

    def held(self) -> list[str]:
        """Who hears music."""

    def talking(self) -> list[set[str]]:
        """Who hears whom."""

    def elsewhere(self) -> list[tuple[str, str, str]]:
        """Whom the dial plan has again: the channel, extension and context, and why."""


async def account(client: Client, name: str | None = None, **settings: Any) -> str:
    """A voice account; the address of its WebSocket."""
    body = {
        "channel": "voice",
        "settings": {"username": "ast", "default_region": "CN", **settings},
        "secrets": {"password": PASSWORD},
    }
    name = name or f"pbx-{uuid.uuid4().hex[:12]}"
    address = (await client.call("PUT", f"/v1/channels/{name}", json=body))["address"]
    return client.url.replace("http", "ws") + str(address) + "/ari"


class DiallingAsterisk(Asterisk):
    """A double of an Asterisk that dials us."""

    trunk = "PJSIP/{number}"

    def __init__(self) -> None:
        super().__init__()
        self.account = f"pbx-{uuid.uuid4().hex[:12]}"

    @property
    def online(self) -> bool:
        return self._socket is not None

    @asynccontextmanager
    async def connected(self, client: Client, **settings: Any) -> AsyncIterator[None]:
        async with self.dialling(await account(client, self.account, **settings), "ast", PASSWORD, again=True):
            yield


class DialledFreeSwitch(FreeSwitch):
    """A double of a FreeSWITCH that is dialled by us."""

    trunk = "sofia/gateway/trunk/{number}"

    def __init__(self) -> None:
        super().__init__(PASSWORD)
        self.account = f"pbx-{uuid.uuid4().hex[:12]}"

    @asynccontextmanager
    async def connected(self, client: Client, **settings: Any) -> AsyncIterator[None]:
        async with self.listening() as url:
            body = {
                "channel": "voice",
                "settings": {"url": url, "default_region": "CN", **settings},
                "secrets": {"password": PASSWORD},
            }
            await client.call("PUT", f"/v1/channels/{self.account}", json=body)
            await self.until(lambda: self.online)
            yield


async def contacts(client: Client) -> list[tuple[str, str | None]]:
    found = (await client.call("GET", "/v1/contacts"))["items"]
    return [(each["state"], each["outcome"]) for each in found]


async def until_state(client: Client, state: str, outcome: str | None = None, wait_s: float = 10) -> None:
    async with asyncio.timeout(wait_s):
        while (state, outcome) not in await contacts(client):
            await asyncio.sleep(0.05)


async def agent(client: Client, agent_id: str, **more: Any) -> None:
    await client.agent(agent_id, channels=CHANNELS, phone=agent_id, **more)


@asynccontextmanager
async def started(system: str) -> AsyncIterator[Pbx]:
    """A system of this name, as nobody has used it."""
    if system.startswith("live"):
        async with LiveAsterisk(dials=system.endswith("dials")).running() as live:
            yield live
    else:
        yield DiallingAsterisk() if system == "asterisk" else DialledFreeSwitch()
