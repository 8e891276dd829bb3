"""Gateways that post, desks that take and finish, an integrator that listens: all on whichever process will have them.

Each repeats what was not answered, on another process, and keeps a book of what was. None of them gives up.
"""

import asyncio
import contextlib
import itertools
import json
import random
import socket
import time
from datetime import datetime
from typing import Any, Final

import httpx
import websockets

from tests.support.faults.books import Books, BrokenPromise, Hearing, StreamBook
from tests.support.faults.cluster import Cluster, Node
from tests.support.faults.receiver import Receiver

AGENTS: Final = 6
CHANNEL: Final = "webchat"
COST: Final = 25
CAPACITY: Final = 100
GATEWAYS: Final = 8
PEOPLE: Final = 200
PAUSE_S: Final = 0.06
ANSWER_S_MAX: Final = 3.0
RETRYABLE: Final = frozenset({429, 502, 503, 504})
STREAM_CONNECT_S_MAX: Final = 4.0
PING_S: Final = 1.0


class Load:
    """The clients of one tenant. `hook`: whether a receiver of webhooks is among them: it takes its time too."""

    def __init__(
        self,
        cluster: Cluster,
        key: str,
        seed: int,
        *,
        agents: int = AGENTS,
        gateways: int = GATEWAYS,
        hook: bool = True,
    ) -> None:
        self.cluster = cluster
        self.books = Books()
        self.agents = [f"a{number}" for number in range(agents)]
        self.posting = True
        self._gateways_wanted = gateways
        self.key = key
        self._rng = random.Random(seed)
        self._numbers = itertools.count()
        self._tokens: dict[str, str] = {}
        self.desks: list[Desk] = []
        self.listener = Listener(self, key)
        self.receiver = Receiver()
        self._hook = hook
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._gateways: list[asyncio.Task[None]] = []
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"},
            timeout=ANSWER_S_MAX,
            limits=httpx.Limits(max_connections=200, keepalive_expiry=2),
        )

    async def start(self) -> None:
        """Make a webhook and the agents, open their desks, and begin to post."""
        if self._hook and self._knows:
            await self.receiver.start()
            hook = {"url": f"http://127.0.0.1:{self.receiver.port}/", "types": sorted(self.receiver.book.types)}
            made = await self.insist("PUT", "/v1/webhooks/receiver", json=hook)
            self.receiver.book.since = made.json()["delivered_to"]
            self.books.hooks.append(self.receiver.book)
        body: dict[str, Any] = {"capacity": CAPACITY, "channels": {CHANNEL: {"cost": COST, "max": CAPACITY // COST}}}
        for each in self.agents:
            await self.insist("PUT", f"/v1/agents/{each}", json=body)
            made = await self.insist("POST", "/v1/tokens", json={"agent_id": each, "role": "agent", "ttl_s": 3600})
            if made.status_code != httpx.codes.CREATED:
                raise BrokenPromise(f"lost: agent {each}, who was acknowledged: {made.text[:200]}")
            desk = Desk(self, each, made.json()["token"])
            self.desks.append(desk)
            self.tasks[each] = asyncio.create_task(desk.run(), name=each)
        self.listen(self.listener)
        async with asyncio.timeout(60):
            while not all(each.connected for each in self.desks):
                await asyncio.sleep(0.05)
        self._gateways = [asyncio.create_task(self._gateway(), name="gateway") for _ in range(self._gateways_wanted)]

    def listen(self, listener: "Listener") -> None:
        """One more who hears everything."""
        self.tasks[listener.book.name] = asyncio.create_task(listener.run(), name=listener.book.name)

    async def stop_posting(self) -> None:
        """Let every post be answered, and begin no other."""
        self.posting = False
        async with asyncio.timeout(60):
            await asyncio.gather(*self._gateways)

    async def stop(self) -> None:
        """Everybody goes home."""
        self.receiver.stop()
        for each in (*self._gateways, *self.tasks.values()):
            each.cancel()
        done = await asyncio.gather(*self._gateways, *self.tasks.values(), return_exceptions=True)
        await self._http.aclose()
        for error in done:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error

    @property
    def _knows(self) -> bool:
        """Whether no process is of the last release, which has neither webhooks nor several identities of one."""
        return all((each.source / "src" / "dispatch" / "webhooks.py").exists() for each in self.cluster.nodes)

    def somewhere(self) -> Node:
        """One of the processes, whatever state it is in: clients do not know."""
        return self._rng.choice(self.cluster.nodes)

    async def insist(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Repeat a request, at one process after the other, until it is answered with something that is no "again"."""
        first = self._rng.randrange(len(self.cluster.nodes))
        for tries in itertools.count():
            node = self.cluster.nodes[(first + tries) % len(self.cluster.nodes)]
            with contextlib.suppress(httpx.TransportError):
                answer = await self._http.request(method, node.url + path, **kwargs)
                if answer.status_code not in RETRYABLE:
                    answer.extensions["tries"] = tries + 1
                    return answer
            self.books.retries += 1
            await asyncio.sleep(0.02 + 0.05 * self._rng.random())
        raise AssertionError

    async def new_key(self) -> str:
        """A gateway's own key: whoever floods the service with it takes nothing from the others' share."""
        made = await self.insist("POST", "/v1/keys", json={"name": "flood", "scopes": ["contacts:write"]})
        return str(made.json()["key"])

    async def post(self, external_id: str, channel: str = CHANNEL) -> httpx.Response:
        """Post one contact until it is answered; the book says what became of it.

        Who posts has two identities, and comes under one, the other, or both: then the two are one customer.
        """
        person = f"u{self._rng.randrange(PEOPLE)}"
        both = [{"type": kind, "value": person} for kind in ("web_user", "member")]
        identity, *also = self._rng.choice([[both[0]], [both[0]], [both[1]], both if self._knows else both[:1]])
        body: dict[str, Any] = {
            "channel": channel,
            "external_id": external_id,
            "identity": identity,
            "tags": [],
            **({"identities": [{**each, "proven": True} for each in also]} if also else {}),
        }
        self.books.in_doubt.add(external_id)
        sent_at_s = time.monotonic()
        headers = {"idempotency-key": external_id} if self._rng.random() < 0.5 else {}
        answer = await self.insist("POST", "/v1/contacts", json=body, headers=headers)
        if answer.status_code in (200, 201):
            tries, who = answer.extensions["tries"], (person, bool(also))
            self.books.acknowledged(external_id, answer.json()["id"], sent_at_s, tries, who)
        return answer

    async def _gateway(self) -> None:
        while self.posting:
            external_id = f"x{next(self._numbers)}"
            answer = await self.post(external_id)
            if answer.status_code not in (200, 201):
                self.books.refused.append(f"{external_id}: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(PAUSE_S * (0.5 + self._rng.random()))


class _Subscriber:
    """A WebSocket that is opened again and again, and resumed where it was."""

    def __init__(self, load: Load, book: StreamBook) -> None:
        self.load = load
        self.book = book
        self.connected = False
        self.node: Node | None = None
        load.books.streams.append(book)

    async def run(self) -> None:
        """Be connected, for ever."""
        while True:
            node = self.node = self.load.somewhere()
            try:
                await self._connection(node)
            except websockets.ConnectionClosed as closed:
                self.book.closed.append(closed.rcvd.code if closed.rcvd is not None else 0)
            except (OSError, TimeoutError, websockets.WebSocketException, _NotWelcome):
                pass  # it tries again
            self.connected = False
            await asyncio.sleep(0.05 + 0.1 * self.load._rng.random())

    async def _connection(self, node: Node) -> None:
        url = node.url.replace("http", "ws") + "/v1/stream"
        async with websockets.connect(
            url, open_timeout=STREAM_CONNECT_S_MAX, close_timeout=0.5, max_size=None, **self.options(node)
        ) as socket_:
            await socket_.send(json.dumps(self.hello() | ({} if self.book.last is None else {"after": self.book.last})))
            async with asyncio.timeout(STREAM_CONNECT_S_MAX):
                welcome = json.loads(await socket_.recv())
            if welcome["type"] != "welcome":
                raise _NotWelcome
            self.book.welcome(welcome["seq"], resumed=welcome["resumed"])
            await self.welcomed(socket_, welcome)
            self.connected = True
            async for text in socket_:
                frame = json.loads(text)
                if frame["type"] == "event":
                    late_s = time.time() - datetime.fromisoformat(frame["event"]["at"]).timestamp()
                    self.load.books.heard.append(Hearing(time.monotonic(), node.name, late_s))
                    if self.book.event(frame["prev"], frame["event"]["seq"]):
                        await self.told(socket_, frame["event"])
                elif frame["type"] == "mark":
                    self.book.mark(frame["seq"])
                elif frame["type"] == "reply":
                    await self.replied(socket_, frame)

    def options(self, node: Node) -> dict[str, Any]:
        return {"ping_interval": PING_S, "ping_timeout": 2 * PING_S}

    def hello(self) -> dict[str, Any]:
        raise NotImplementedError

    async def welcomed(self, socket_: Any, welcome: dict[str, Any]) -> None: ...

    async def told(self, socket_: Any, event: dict[str, Any]) -> None: ...

    async def replied(self, socket_: Any, reply: dict[str, Any]) -> None: ...


class _NotWelcome(Exception):
    """The service closed, or said something else."""


class Listener(_Subscriber):
    """An integrator: hears everything. A `slow` one has a narrow line, and reads nothing while it `looks_away`."""

    def __init__(self, load: Load, key: str, name: str = "integrator", *, slow: bool = False) -> None:
        super().__init__(load, StreamBook(name, lambda _agent_id: True))
        self.slow = slow
        self.key = key
        self.looks_away = False

    def options(self, node: Node) -> dict[str, Any]:
        found = super().options(node) | {"additional_headers": {"authorization": f"Bearer {self.key}"}}
        if self.slow:
            # Little fits into its line, and it has no patience of its own: whoever hangs up is the service.
            narrow = socket.socket()
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", node.port))
            found |= {"sock": narrow, "ping_interval": None}
        return found

    def hello(self) -> dict[str, Any]:
        return {"type": "hello"}

    async def told(self, socket_: Any, event: dict[str, Any]) -> None:
        while self.looks_away:
            await asyncio.sleep(0.05)


class Desk(_Subscriber):
    """An agent's desktop: takes what it is offered, and finishes it a moment later."""

    def __init__(self, load: Load, agent_id: str, token: str) -> None:
        super().__init__(load, StreamBook(agent_id, lambda of: of == agent_id))
        self.agent_id = agent_id
        self._token = token
        self._refs = itertools.count()
        self._asked: dict[str, dict[str, Any]] = {}
        self._later: set[asyncio.Task[None]] = set()

    def hello(self) -> dict[str, Any]:
        return {"type": "hello", "token": self._token}

    def leave(self) -> None:
        """Go home without a word, and do not come back. What it is told from now on it does not hear."""
        self.load.books.streams.remove(self.book)
        self.load.desks.remove(self)
        self.load.tasks[self.agent_id].cancel()

    async def welcomed(self, socket_: Any, welcome: dict[str, Any]) -> None:
        self._asked.clear()
        if welcome["snapshot"]["presence"]["status"] != "available":
            await self._ask(socket_, type="presence", status="available")
        for each in welcome["snapshot"]["assignments"]:
            await self._go_on(socket_, each["assignment_id"], each["state"])

    async def told(self, socket_: Any, event: dict[str, Any]) -> None:
        if event["type"] == "contact.offered":
            await self._go_on(socket_, event["data"]["assignment_id"], "offered")
        elif event["type"] == "contact.active":
            await self._go_on(socket_, event["data"]["assignment_id"], "active")
        elif event["type"] == "agent.presence" and event["data"]["status"] == "away":
            await self._ask(socket_, type="presence", status="available")

    async def replied(self, socket_: Any, reply: dict[str, Any]) -> None:
        asked = self._asked.pop(reply["ref"], None)
        if asked is None:
            return
        if reply["ok"]:
            done = {"accept": self.load.books.accepted, "complete": self.load.books.completed}.get(asked["type"])
            if done is not None:
                done.add(asked["assignment_id"])
        elif reply["problem"]["status"] in RETRYABLE:
            self._after(0.2, socket_, asked)

    async def _go_on(self, socket_: Any, assignment_id: str, state: str) -> None:
        if state == "offered":
            await self._ask(socket_, type="accept", assignment_id=assignment_id)
        elif state == "active":
            patience_s = 0.05 + 0.15 * self.load._rng.random()
            self._after(patience_s, socket_, {"type": "complete", "assignment_id": assignment_id})

    def _after(self, seconds: float, socket_: Any, frame: dict[str, Any]) -> None:
        async def ask() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(websockets.ConnectionClosed):
                await self._ask(socket_, **frame)

        task = asyncio.create_task(ask())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _ask(self, socket_: Any, **frame: Any) -> None:
        ref = str(next(self._refs))
        self._asked[ref] = frame
        await socket_.send(json.dumps({**frame, "ref": ref}))
