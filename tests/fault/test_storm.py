"""Desktops that all come back at once: they are welcomed in turn, nobody misses anything, and the work goes on."""

import asyncio
import os
import time
from statistics import fmean

import jwt
import pytest

from src.store.seal import Sealer
from tests.support.faults.cluster import SECRET, Cluster
from tests.support.faults.desktops import desktops
from tests.support.faults.flood import quantile
from tests.support.faults.run import NOTES, Run, running

DESKTOPS = int(os.environ.get("CORDBOARD_TEST_DESKTOPS", "500"))
AT_ONCE = 16
STORM_S_MAX = 20 + DESKTOPS / 50
TEST_S_MAX = 900 + DESKTOPS / 5
"""Most of it is for making the agents: on a busy machine ten thousand take a quarter of an hour."""

SENT_AWAY_MAX = 3.0
"""So often a desktop is sent away, in the mean: each time it is told when its turn will come."""

BACK_SLOWER_MAX = 3
"""A machine that is busy with other things is slow at the first opening, too, where nobody is seen to be gone."""

ANSWERED_S_MAX = 3.0
SLOWER_MAX = 20


@pytest.mark.timeout(TEST_S_MAX)
async def test_a_storm_of_desktops_is_welcomed_and_the_work_goes_on(the_cluster: Cluster) -> None:
    async with running("a storm", the_cluster, run_s_max=TEST_S_MAX - 40, gateways=2, hook=False) as run:
        names = [f"d{number}" for number in range(DESKTOPS)]
        for first in range(0, DESKTOPS, AT_ONCE):
            some = names[first : first + AT_ONCE]
            await asyncio.gather(*(run.load.insist("PUT", f"/v1/agents/{name}", json={"capacity": 0}) for name in some))
        calm = [each.at_s - each.sent_at_s for each in run.load.books.posts]
        tokens = await _tokens(run, names)
        async with desktops([each.port for each in the_cluster.nodes], tokens) as storm:
            opened = await storm.connect()
            before = len(run.load.books.posts)
            there = await storm.break_off()
            back = await storm.connect()
            meanwhile = [each.at_s - each.sent_at_s for each in run.load.books.posts[before:]]
            await run.going_on()
        broken = await run.finish()
    opened_s, took_s, sent_away = max(opened.took_s), max(back.took_s), fmean(back.sent_away)
    NOTES.append(
        f"{DESKTOPS} desktops: open after {opened_s:.1f} s, sent away {fmean(opened.sent_away):.1f} times each;"
        f" back after {took_s:.1f} s (p50 {quantile(back.took_s, 0.5):.1f} s), sent away {sent_away:.1f} times each"
        f" (at most {max(back.sent_away)}), {sum(back.lost.values())} connections lost {back.lost};"
        f" {len(meanwhile)} contacts meanwhile, p99 {quantile(meanwhile, 0.99):.2f} s"
    )
    assert ([], [], []) == (broken, opened.wrong, back.wrong)
    assert DESKTOPS == there, "nobody lost the connection before the storm"
    assert took_s < max(STORM_S_MAX, BACK_SLOWER_MAX * opened_s)
    assert sent_away < max(SENT_AWAY_MAX, BACK_SLOWER_MAX * fmean(opened.sent_away))
    assert len(meanwhile) > 5
    assert quantile(meanwhile, 0.95) < max(ANSWERED_S_MAX, SLOWER_MAX * quantile(calm, 0.5))


async def _tokens(run: Run, names: list[str]) -> list[str]:
    """Made here: ten thousand requests would say nothing about the storm."""
    found = await run.cluster.fetch("SELECT jwt_secret FROM tenants WHERE id = $1", run.tenant)
    secret = Sealer(SECRET).open(found[0]["jwt_secret"])
    claims = {"tenant": run.tenant, "role": "agent", "iat": int(time.time()), "exp": int(time.time()) + 3600}
    return [jwt.encode({**claims, "sub": name}, secret, "HS256") for name in names]
