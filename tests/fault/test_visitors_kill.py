"""kill -9 while visitors of a website chat: each goes on at another process, and nothing is lost or said twice."""

import asyncio
import contextlib
import uuid

import httpx
import websockets

from tests.support.faults.cluster import Cluster, Node
from tests.support.service import Client
from tests.support.visitor import ORIGIN, Socket

KEY = "cb_" + "v" * 40
VISITORS = 6
WORDS = 12
KILLS = 2
PATIENCE_S = 120.0
WENT = (OSError, httpx.TransportError, websockets.WebSocketException, TimeoutError)


class Visitor:
    """One visitor. It repeats what was not confirmed under the same id, and comes back at the next process."""

    def __init__(self, number: int, nodes: list[Node]) -> None:
        self.number, self.nodes = number, nodes
        self.token = ""
        self.seen = Socket(None)
        self.kept: list[str] = []

    def node(self) -> Node:
        """The next process; it may be dead."""
        self.number += 1
        return self.nodes[self.number % len(self.nodes)]

    async def begin(self) -> None:
        """Begin a session, wherever one answers."""
        while not self.token:
            with contextlib.suppress(*WENT):
                async with httpx.AsyncClient(headers={"origin": ORIGIN}, timeout=5) as http:
                    answer = await http.post(f"{self.node().url}/channels/webchat/shop/session", json={})
                    self.token = answer.json().get("token", "") if answer.status_code == 201 else ""
            await asyncio.sleep(0.05)

    async def chat(self) -> None:
        """Say everything, one after the other."""
        await self.begin()
        left = [(uuid.uuid4().hex, f"{each}") for each in range(WORDS)]
        while left or len(self.seen.messages) < WORDS:
            with contextlib.suppress(*WENT):
                await self._connected(left)
            await asyncio.sleep(0.1)

    async def _connected(self, left: list[tuple[str, str]]) -> None:
        address = f"{self.node().url}/channels/webchat/shop/socket".replace("http", "ws", 1)
        async with websockets.connect(address, origin=websockets.Origin(ORIGIN), open_timeout=5) as socket:
            self.seen.socket = socket
            hello = {"type": "hello", "token": self.token}
            await self.seen.send(**hello, **({"after": self.seen.number} if self.seen.number else {}))
            await self.seen.frame()
            while left or len(self.seen.messages) < WORDS:
                if not left:
                    await self.seen.frame()
                    continue
                said = await self.seen.say(left[0][1], id=left[0][0])
                if said["type"] == "kept":
                    self.kept.append(left.pop(0)[1])
                await asyncio.sleep(0.15)


async def test_what_visitors_said_is_there_once_and_in_order_after_kill_9(the_cluster: Cluster) -> None:
    tenant = await the_cluster.tenant("visitors", KEY)
    first = Client(the_cluster.nodes[0].url, KEY)
    body = {"channel": "webchat", "settings": {"origins": [ORIGIN]}, "secrets": {"identity_key": "k" * 20}}
    await first.call("PUT", "/v1/channels/shop", json=body)
    visitors = [Visitor(number, list(the_cluster.nodes)) for number in range(VISITORS)]
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        chats = [group.create_task(each.chat()) for each in visitors]
        for _ in range(KILLS):
            await asyncio.sleep(1.0)
            (await the_cluster.owner(tenant)).kill()
        assert not all(each.done() for each in chats), "nobody was disturbed"
    await first.http.aclose()
    await the_cluster.mend()
    async with Client(the_cluster.nodes[0].url, KEY).http as http:
        contacts = (await http.get("/v1/contacts?channel=webchat")).json()["items"]
        assert VISITORS == len(contacts), "one visitor, one contact"
        said = [(await http.get(f"/v1/contacts/{each['id']}/messages?limit=100")).json()["items"] for each in contacts]
    expected = [f"{each}" for each in range(WORDS)]
    assert [expected] * VISITORS == [[each["text"] for each in conversation] for conversation in said]
    assert [expected] * VISITORS == [each.kept for each in visitors]
    for each in visitors:
        assert expected == each.seen.texts, "a browser shows something else"
