"""kill -9 in the middle of a load, again and again: what was acknowledged is there, once, and every promise holds."""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.process import assert_replays, serving_process
from tests.support.service import ADMIN_KEY, Client

KILLS = 2
LOAD_S = 3.0
LOAD_S_MAX = 60.0
LOAD_MIN = 30
POSTERS = 6
AGENTS = 8
CAPACITY = 100
COST = 25


class Load:
    """Customers and agents that repeat a request until it is answered, and remember what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: dict[str, str] = {}
        self.accepted: set[str] = set()
        self.numbers = iter(range(1_000_000))
        self.rng = random.Random(1)

    async def customer(self) -> None:
        while True:
            external_id = f"x{next(self.numbers)}"
            body = {
                "channel": "webchat",
                "external_id": external_id,
                "identity": {"type": "web_user", "value": f"u{self.rng.randrange(50)}"},
                "tags": [],
            }
            answer = await self._insist("POST", "/v1/contacts", json=body)
            self.acknowledged[external_id] = answer.json()["id"]

    async def agent(self, agent_id: str) -> None:
        while True:
            await self._insist("PUT", f"/v1/agents/{agent_id}/presence", json={"status": "available"})
            held = await self._insist("GET", f"/v1/agents/{agent_id}/assignments?wait_s=1")
            for each in held.json()["items"]:
                action = "accept" if each["state"] == "offered" else "complete"
                done = await self._insist("POST", f"/v1/assignments/{each['assignment_id']}/{action}")
                if action == "accept" and done.status_code == 200:
                    self.accepted.add(each["assignment_id"])

    async def _insist(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.client.http.request(method, path, **kwargs)
                if answer.status_code < 500:
                    return answer
            await asyncio.sleep(0.05)


async def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    load = Load(client)
    async with client.http:
        async with serving_process(folder, port):
            chats = {"webchat": {"cost": COST, "max": 4}}
            for n in range(AGENTS):
                await client.agent(f"a{n}", capacity=CAPACITY, channels=chats)
        ways = [load.customer() for _ in range(POSTERS)] + [load.agent(f"a{n}") for n in range(AGENTS)]
        tasks = [asyncio.create_task(each) for each in ways]
        for _ in range(KILLS):
            async with serving_process(folder, port) as process:
                before = len(load.acknowledged)
                await asyncio.sleep(LOAD_S)
                async with asyncio.timeout(LOAD_S_MAX):
                    while len(load.acknowledged) < before + LOAD_MIN:
                        await asyncio.sleep(0.05)
                process.kill()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with serving_process(folder, port):
            await _check(client, load)
    assert_replays(folder)


async def _check(client: Client, load: Load) -> None:
    journal: list[dict[str, Any]] = []
    while page := (await client.call("GET", f"/v1/events?after={len(journal)}&limit=1000"))["items"]:
        journal.extend(page)
    assert list(range(1, len(journal) + 1)) == [each["seq"] for each in journal]
    received = Counter(each["contact_id"] for each in journal if each["type"] == "contact.received")
    assert {1} == set(received.values()), "a contact was doubled"
    assert set(load.acknowledged.values()) <= set(received), "an acknowledged contact is lost"
    assert len(set(load.acknowledged.values())) == len(load.acknowledged)
    active = {each["data"]["assignment_id"] for each in journal if each["type"] == "contact.active"}
    assert load.accepted <= active, "an acknowledged accept is lost"
    _check_holders(journal)


def _check_holders(journal: list[dict[str, Any]]) -> None:
    """Offered or active with one agent at a time, and nobody over capacity, at every moment of the journal."""
    holder: dict[str, str] = {}
    load: Counter[str] = Counter()
    ends = {"offer.declined", "offer.expired", "offer.revoked", "assignment.completed", "assignment.lost"}
    for each in journal:
        if each["type"] == "contact.offered":
            assert each["contact_id"] not in holder, "a contact was with two agents"
            holder[each["contact_id"]] = each["agent_id"]
            load[each["agent_id"]] += COST
            assert load[each["agent_id"]] <= CAPACITY, "an agent was over capacity"
        elif each["type"] in ends:
            load[holder.pop(each["contact_id"])] -= COST
