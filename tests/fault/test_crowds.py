"""A rush of customers, and a subscriber that cannot keep up: tried by `make test-faults` alone."""

import asyncio
from itertools import count
from typing import Any

import httpx

from src.delivery.hub import CLOSE_TOO_SLOW
from tests.support.faults.cluster import Cluster
from tests.support.faults.flood import flood
from tests.support.faults.load import Listener
from tests.support.faults.run import NOTES, Run, running

BUFFER_FRAMES = 500
BATCH = 100
AT_ONCE = 4
ANSWER_S_MAX = 60.0
RUSH = 1_000
RUSH_S_MAX = 40.0


async def test_a_slow_consumer_is_closed_and_resumes_and_nobody_waits_for_it(the_cluster: Cluster) -> None:
    async with running("a slow consumer", the_cluster, agents=2, gateways=1, hook=False) as run:
        slow = Listener(run.load, run.load.key, "slow", slow=True)
        run.load.listen(slow)
        while not slow.connected:
            await asyncio.sleep(0.02)
        before = await _given_up(the_cluster)
        for node in the_cluster.nodes:
            node.levers.put_buffer(BUFFER_FRAMES)
        async with run.fault():
            slow.looks_away = True
            tags = [f"tag{n}_{'x' * 50}" for n in range(20)]  # what the sockets between them hold is soon full
            body = {"channel": "elsewhere", "identity": {"type": "web_user", "value": "u"}, "tags": tags}
            async with asyncio.timeout(ANSWER_S_MAX):
                for round_ in count():
                    await asyncio.gather(*(_post(run, body, f"{round_}.{number}") for number in range(AT_ONCE)))
                    if await _given_up(the_cluster) > before:  # it looks again before its unanswered ping ends it
                        break
            slow.looks_away = False
        assert await run.recovered()
        await run.going_on()
        broken = await run.finish()
        assert CLOSE_TOO_SLOW in slow.book.closed
        assert [] == broken


async def _post(run: Run, body: dict[str, Any], name: str) -> None:
    """Hand in a batch of contacts that nobody takes."""
    items = [{**body, "external_id": f"{name}.{number}"} for number in range(BATCH)]
    answer = await run.load.insist("POST", "/v1/contacts:batch", json={"items": items}, timeout=ANSWER_S_MAX)
    for each in answer.json()["items"]:
        contact = each["contact"]
        run.load.books.aside.add(contact["id"])
        run.load.books.acknowledged(contact["external_id"], contact["id"], 0.0, 1)


async def _given_up(cluster: Cluster) -> float:
    """How many subscribers the processes have given up as too slow."""
    name = "\ncordboard_slow_consumers_total "
    async with httpx.AsyncClient() as http:
        told = [(await http.get(each.url + "/metrics")).text for each in cluster.nodes]
    return sum(float(each.partition(name)[2].partition("\n")[0]) for each in told)


async def test_a_rush_of_customers_is_taken_in_as_it_comes_back(the_cluster: Cluster) -> None:
    async with running("a rush", the_cluster, agents=2, gateways=1, hook=False) as run:
        ports = [each.port for each in the_cluster.nodes]
        rush = await flood(ports, await run.load.new_key(), "rush", at_once=RUSH)
        rush.enter(run.load.books)
        NOTES.append(f"a rush of {RUSH}: all taken after {rush.lasted_s:.2f} s, {len(rush.refused_s)} refusals")
        assert [] == await run.finish(ended=False)
    assert RUSH == len(rush.taken)
    assert rush.lasted_s < RUSH_S_MAX
