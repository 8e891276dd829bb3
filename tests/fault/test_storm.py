"""Desktops that all come back at once: they are welcomed in turn, nobody misses anything, and the work goes on."""

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
import websockets

from src.api.stream import RESUME_EVENTS_MAX
from src.store.seal import Sealer
from tests.support.faults.cluster import SECRET, Cluster, Node
from tests.support.faults.flood import quantile
from tests.support.faults.run import NOTES, Run, running

DESKTOPS = int(os.environ.get("CORDBOARD_TEST_DESKTOPS", "500"))
AT_ONCE = 50
OPEN_S_MAX = 60.0
STORM_S_MAX = 20 + DESKTOPS / 50
ANSWERED_S_MAX = 3.0
SLOWER_MAX = 20


@dataclass
class Storm:
    """Desktops of a tenant, each of which wants to be connected; `took_s` is how long that took them."""

    run: Run
    tokens: list[str]
    sockets: list[Any] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    told_to_wait: int = 0

    async def connect(self) -> float:
        """All at once; how long it took until the last one was welcome."""
        started = time.monotonic()
        self.took_s.clear()
        self.sockets = list(await asyncio.gather(*(self._one(number) for number in range(len(self.tokens)))))
        return time.monotonic() - started

    async def break_off(self) -> None:
        """Every connection is gone without a word."""
        for each in self.sockets:
            each.transport.abort()
        await asyncio.gather(*(each.wait_closed() for each in self.sockets))

    async def _one(self, number: int) -> Any:
        started, nodes = time.monotonic(), self.run.cluster.nodes
        for tries in range(1_000):
            with contextlib.suppress(OSError, TimeoutError, websockets.WebSocketException):
                socket = await self._try(nodes[(number + tries) % len(nodes)], number)
                if socket is not None:
                    self.took_s.append(time.monotonic() - started)
                    return socket
        raise AssertionError("a desktop is never welcome")

    async def _try(self, node: Node, number: int) -> Any:
        url = node.url.replace("http", "ws") + "/v1/stream"
        socket = await websockets.connect(url, open_timeout=OPEN_S_MAX, ping_interval=None, max_size=None)
        hello: dict[str, Any] = {"type": "hello", "token": self.tokens[number]}
        await socket.send(json.dumps(hello if number not in self.last else hello | {"after": self.last[number]}))
        try:
            async with asyncio.timeout(OPEN_S_MAX):
                welcome = json.loads(await socket.recv())
        except websockets.ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code == 1013:  # try again later; it says when
                self.told_to_wait += 1
                await asyncio.sleep(int(closed.rcvd.reason.split()[-2]))
            return None
        # Each desktop that goes and comes leaves events: in a great storm the last ones are too far behind to resume.
        near = welcome["seq"] - self.last.get(number, -RESUME_EVENTS_MAX) <= RESUME_EVENTS_MAX
        assert welcome["resumed"] == (number in self.last and near), "it knows what the desktop had seen"
        self.last[number] = welcome["seq"]
        return socket


async def test_a_storm_of_desktops_is_welcomed_and_the_work_goes_on(the_cluster: Cluster) -> None:
    async with running("a storm of desktops", the_cluster, gateways=2) as run:
        names = [f"d{number}" for number in range(DESKTOPS)]
        for first in range(0, DESKTOPS, AT_ONCE):
            some = names[first : first + AT_ONCE]
            await asyncio.gather(*(run.load.insist("PUT", f"/v1/agents/{name}", json={"capacity": 0}) for name in some))
        calm = [each.at_s - each.sent_at_s for each in run.load.books.posts]
        storm = Storm(run, await _tokens(run, names))
        opened_s = await storm.connect()
        before = len(run.load.books.posts)
        await storm.break_off()
        back_s = await storm.connect()
        meanwhile = [each.at_s - each.sent_at_s for each in run.load.books.posts[before:]]
        await run.going_on()
        for each in storm.sockets:
            each.transport.abort()
        broken = await run.finish()
    back = f"back after {back_s:.1f} s (p50 {quantile(storm.took_s, 0.5):.1f} s), {storm.told_to_wait} told to wait"
    work = f"{len(meanwhile)} contacts meanwhile, p99 {quantile(meanwhile, 0.99):.2f} s"
    NOTES.append(f"{DESKTOPS} desktops: open after {opened_s:.1f} s, {back}; {work}")
    assert [] == broken
    assert back_s < STORM_S_MAX
    assert len(meanwhile) > 5
    assert quantile(meanwhile, 0.95) < max(ANSWERED_S_MAX, SLOWER_MAX * quantile(calm, 0.5))


async def _tokens(run: Run, names: list[str]) -> list[str]:
    """Made here: ten thousand requests would say nothing about the storm."""
    found = await run.cluster.fetch("SELECT jwt_secret FROM tenants WHERE id = $1", run.tenant)
    secret = Sealer(SECRET).open(found[0]["jwt_secret"])
    claims = {"tenant": run.tenant, "role": "agent", "iat": int(time.time()), "exp": int(time.time()) + 3600}
    return [jwt.encode({**claims, "sub": name}, secret, "HS256") for name in names]
