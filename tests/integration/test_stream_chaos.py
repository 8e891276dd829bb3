"""Streams cut, held up and doubled at random under load: each subscriber's record is what the journal has for it.

A few seconds over two services in this loop; `make test-stream` does it for minutes over two processes. The seed is
printed: `CORDBOARD_TEST_SEED` gives it again.
"""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.support.faults.servers import RedisServer
from tests.support.ports import free_port
from tests.support.process import serving_process
from tests.support.service import ADMIN_KEY, Client, running

MINUTES_S = float(os.environ.get("CORDBOARD_TEST_STREAM_S", "0"))
SHORT_S = 1.0
CONTACTS, BROKEN, DOUBLED = 20, 4, 1
"""So much must have happened at least, however slow the machine is."""

AGENTS = 4
INTEGRATORS = 3
CAUGHT_UP_S_MAX = 60.0
LATER = (1012, 1013)


@dataclass
class Subscriber:
    """One that must hear everything that concerns it, once, however often its connection breaks. `agent` None: all."""

    agent: str | None
    credential: str
    urls: Sequence[str]
    chance: random.Random
    last: int = 0
    record: list[dict[str, Any]] = field(default_factory=list)
    broken: int = 0
    doubled: int = 0

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        url = self.chance.choice(self.urls).replace("http", "ws") + "/v1/stream"
        async with websockets.connect(url, close_timeout=1) as socket:
            await socket.send(json.dumps({"type": "hello", "token": self.credential, "after": self.last}))
            welcome = json.loads(await socket.recv())
            assert welcome["resumed"], "what was missed is not that much"
            yield socket

    def take(self, text: str | bytes) -> None:
        frame = json.loads(text)
        if frame["type"] == "event":
            assert self.last == frame["prev"], f"{self.agent}: a gap between {self.last} and {frame['prev']}"
            assert self.last < frame["event"]["seq"], f"{self.agent}: told twice or backwards"
            self.last = frame["event"]["seq"]
            self.record.append(frame["event"])
        elif frame["type"] == "mark":
            assert self.last <= frame["seq"]
            self.last = frame["seq"]

    async def once(self) -> None:
        """One connection's life: read for a while, be held up, have a second one beside it, break off."""
        chance = self.chance
        async with self.connected() as socket:
            for _ in range(chance.randint(1, 4)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0.0, 0.5)):
                        while True:
                            self.take(await socket.recv())
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                if chance.random() < 0.2:
                    await self._double(socket)
                    return
            if chance.random() < 0.7:
                socket.transport.abort()
                self.broken += 1

    async def _double(self, first: Any) -> None:
        """The same subscriber comes once more, from the same place: both are told the same, as far as they live."""
        self.doubled += 1
        twin = Subscriber(self.agent, self.credential, self.urls, self.chance, self.last)
        async with twin.connected() as second:
            for one, socket in ((self, first), (twin, second)):
                try:
                    async with asyncio.timeout(self.chance.uniform(0.0, 0.3)):
                        while True:
                            one.take(await socket.recv())
                except TimeoutError:
                    pass
                except websockets.ConnectionClosed:
                    replaced = (self.agent is not None, one is self, socket.close_code) == (True, True, 4002)
                    if not replaced and socket.close_code not in LATER:
                        raise AssertionError(f"{one.agent} was closed with {socket.close_code}") from None
        shorter = min(len(twin.record), len(self._since(twin)))
        assert [each["id"] for each in self._since(twin)[:shorter]] == [each["id"] for each in twin.record[:shorter]]

    def _since(self, twin: "Subscriber") -> list[dict[str, Any]]:
        first = twin.record[0]["seq"] if twin.record else self.last + 1
        return [each for each in self.record if each["seq"] >= first]

    def last_of(self, journal: Sequence[dict[str, Any]]) -> int:
        """The number of the last event that concerns it."""
        return int(max(each["seq"] for each in journal if self.agent in (None, each["agent_id"])))

    def due(self, journal: Sequence[dict[str, Any]]) -> list[int]:
        """The numbers of what it must have heard by now."""
        return [each["seq"] for each in journal if each["seq"] <= self.last and self.agent in (None, each["agent_id"])]

    async def until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(websockets.ConnectionClosed, websockets.InvalidHandshake, OSError):
                await self.once()

    async def catch_up(self, seq: int) -> None:
        """Read on until everything up to there has been told."""
        async with asyncio.timeout(CAUGHT_UP_S_MAX):
            while self.last < seq:
                with contextlib.suppress(websockets.ConnectionClosed, OSError):
                    async with self.connected() as socket:
                        while self.last < seq:
                            self.take(await socket.recv())


async def _load(clients: Sequence[Client], chance: random.Random, stop: asyncio.Event, posted: list[str]) -> None:
    """Contacts come, and whoever is offered one takes it and is done with it, some of them late."""

    async def serve(client: Client, offer: dict[str, Any]) -> None:
        await asyncio.sleep(chance.uniform(0.0, 0.2))
        for act in ("accept", "complete"):
            answer = await client.http.post(f"/v1/assignments/{offer['id']}/{act}")
            assert answer.status_code in {200, 409}, answer.text

    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            client = chance.choice(clients)
            contact = await client.contact(f"c{len(posted)}", channel=chance.choice(("voice", "webchat")))
            posted.append(contact["id"])
            if contact["assignment"] is not None:
                group.create_task(serve(chance.choice(clients), contact["assignment"]))
            await asyncio.sleep(chance.uniform(0.0, 0.02))


async def _journal(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := (await client.call("GET", "/v1/events", params={"after": len(found), "limit": 1000}))["items"]:
        found += page
    return found


@asynccontextmanager
async def _services(database: str, folder: Path) -> AsyncIterator[list[Client]]:
    """Two services over one database and one Redis: in this loop, or as processes where there are minutes for it."""
    redis = RedisServer(folder)
    async with AsyncExitStack() as stack:
        stack.callback(redis.kill)
        await redis.start()
        url, clients = f"redis://127.0.0.1:{redis.port}/0", []
        for name in ("a", "b"):
            (folder / name).mkdir()
            if MINUTES_S:
                variables = {"DATABASE_URL": database, "REDIS_URL": url, "SECRET_KEY": "a secret for tests"}
                port = free_port()
                named = {f"CORDBOARD_{each}": value for each, value in variables.items()}
                await stack.enter_async_context(serving_process(folder / name, port, **named))
                clients.append(Client(f"http://127.0.0.1:{port}", ADMIN_KEY))
                stack.push_async_callback(clients[-1].http.aclose)
            else:
                clients.append(await stack.enter_async_context(running(database, folder / name, redis_url=url)))
        yield clients


@pytest.mark.timeout(MINUTES_S + 300)
async def test_each_record_equals_the_journal(database: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("CORDBOARD_TEST_SEED", "0")) or random.randrange(1, 1 << 31)
    print(f"CORDBOARD_TEST_SEED={seed}")  # noqa: T201  # so that a failure can be had again
    chance = random.Random(seed)
    async with _services(database, tmp_path) as clients:
        urls = [each.url for each in clients]
        channels = {"webchat": {"cost": 10, "max": 9}, "voice": {"cost": 10, "max": 9}}
        subscribers = []
        for agent in (f"a{each}" for each in range(AGENTS)):
            await clients[0].agent(agent, channels=channels)
            token = await clients[0].token(agent)
            subscribers.append(Subscriber(agent, token, urls, random.Random(chance.random())))
            await clients[0].call("PUT", f"/v1/agents/{agent}/presence", json={"status": "available"})
        subscribers += [Subscriber(None, ADMIN_KEY, urls, random.Random(chance.random())) for _ in range(INTEGRATORS)]
        stop, posted = asyncio.Event(), list[str]()

        def enough() -> bool:
            broken, doubled = sum(each.broken for each in subscribers), sum(each.doubled for each in subscribers)
            return len(posted) >= CONTACTS and broken >= BROKEN and doubled >= DOUBLED

        async with asyncio.TaskGroup() as group:
            group.create_task(_load(clients, random.Random(chance.random()), stop, posted))
            for each in subscribers:
                group.create_task(each.until(stop))
            await asyncio.sleep(MINUTES_S or SHORT_S)
            while not enough():
                await asyncio.sleep(0.1)
            stop.set()
        journal = await _journal(clients[1])
        await asyncio.gather(*(each.catch_up(each.last_of(journal)) for each in subscribers))
        journal = await _journal(clients[1])
        assert [each["seq"] for each in journal] == list(range(1, len(journal) + 1))
        for each in subscribers:
            told = {event["seq"]: (event["id"], event["type"], event["at"]) for event in each.record}
            assert len(told) == len(each.record)
            assert each.due(journal) == list(told), f"{each.agent}: not what the journal has for it"
            for event in journal:
                if event["seq"] in told:
                    assert (event["id"], event["type"], event["at"]) == told[event["seq"]]
