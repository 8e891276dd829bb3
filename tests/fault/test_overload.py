"""More than can be done: what is taken keeps its latency, the rest is refused at once, nothing acknowledged is lost."""

import pytest

from tests.support.faults.cluster import Cluster
from tests.support.faults.flood import flood, quantile
from tests.support.faults.run import NOTES, running

AT_ONCE = 24
MEASURED_S = 2.0
FLOODED_S = 4.0
TRIES = 3
TAKEN_S_MAX = 1.5
REFUSED_S_MAX = 1.0
SLOWER_MAX = 8


@pytest.mark.parametrize(("batch", "at_once"), [(0, AT_ONCE), (50, 4)], ids=["singles", "batches"])
async def test_at_three_times_the_capacity_what_is_taken_keeps_its_latency(
    the_cluster: Cluster, batch: int, at_once: int
) -> None:
    async with running("three times the capacity", the_cluster, agents=2, gateways=2, hook=False) as run:
        ports, key, books = [(await run.owner()).port], await run.load.new_key(), run.load.books
        even = await flood(ports, key, "even", at_once=at_once, seconds=MEASURED_S, batch=batch)
        even.enter(books)
        rate = even.rate
        for attempt in range(TRIES):  # a machine that was busy with other things looked slower than it is
            before = len(books.posts)
            over = await flood(ports, key, f"over{attempt}.", rate=3 * rate, seconds=FLOODED_S, batch=batch)
            modest = books.posts[before:]
            over.enter(books)
            if over.refused_s:
                break
            rate = over.rate
        broken = await run.finish(ended=False)
    for name, each in (("at the capacity", even), ("at three times the capacity", over)):
        times = f"p50 {each.quantile_s(0.5):.3f} s, p99 {each.quantile_s(0.99):.3f} s"
        refused = f"{len(each.refused_s)} refused, p99 {quantile(each.refused_s, 0.99):.3f} s"
        NOTES.append(f"{name}: {each.rate:.0f} posts/s taken, {max(batch, 1)} contacts each, {times}; {refused}")
    assert [] == broken
    assert not over.in_doubt
    taken = "200" if batch else "201"
    assert {taken} < over.statuses.keys() <= {taken, "429", "503"}
    assert all(each.isdigit() for each in over.retry_after)
    assert over.rate > even.rate / 2
    patience_s = SLOWER_MAX * even.quantile_s(0.99)  # a machine that is busy with other things is slow at both
    assert over.quantile_s(0.99) < max(TAKEN_S_MAX, patience_s)
    assert quantile(over.refused_s, 0.99) < max(REFUSED_S_MAX, patience_s)
    assert len(modest) > 10
    assert len([each for each in modest if each.tries == 1]) > 0.7 * len(modest), "who asks for little is let in"
