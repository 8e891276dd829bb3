"""What operators and machines do to a service of several processes, under load; afterwards every promise still holds.

Each test breaks one thing. `make test-faults` tries all of them, the ordinary tests a few (`CORDBOARD_TEST_FAULTS`).
"""

import os

import pytest

from tests.support.faults.cluster import Cluster
from tests.support.faults.run import running
from tests.support.faults.scenarios import (
    FAULTS,
    Fault,
    broken_by,
    fill_the_disk,
    kill_postgres,
    kill_the_owner,
    lose_redis,
)

FEW = (kill_the_owner, kill_postgres, lose_redis)
TRIED = FAULTS if os.environ.get("CORDBOARD_TEST_FAULTS") == "all" else FEW


@pytest.mark.parametrize("fault", TRIED, ids=lambda each: each.__name__)
async def test_every_promise_holds(fault: Fault, the_cluster: Cluster) -> None:
    if fault is fill_the_disk and the_cluster.postgres.disk.why_not is not None:
        pytest.skip(the_cluster.postgres.disk.why_not)
    assert [] == await broken_by(fault, the_cluster)


async def test_a_contact_that_the_engine_fails_upon_is_set_aside_and_told_and_others_go_on(
    the_cluster: Cluster,
) -> None:
    async with running("a poison contact", the_cluster) as run:
        before = (await run.load.post("before", channel="poison")).json()
        async with run.fault():
            for node in the_cluster.nodes:
                node.levers.put_fault(there=True)
            within = (await run.load.post("within", channel="poison")).json()
            (await run.owner()).kill()  # whoever loads the tenant next finds the one that came before the fault
        assert await run.recovered()
        await run.going_on()
        for contact_id in (before["id"], within["id"]):
            contact = (await run.load.insist("GET", f"/v1/contacts/{contact_id}")).json()
            assert ("parked", "set_aside") == (contact["state"], contact["park_reason"])
            run.load.books.aside.add(contact_id)
        for node in the_cluster.nodes:
            node.levers.put_fault(there=False)
        resumed = await run.load.insist("POST", f"/v1/contacts/{within['id']}/resume")
        assert (200, "waiting") == (resumed.status_code, resumed.json()["state"])
        assert [] == await run.finish()
