"""kill -9 while customers come, are merged, told apart and erased at several processes: each is done just once."""

import asyncio
import contextlib
import uuid
from itertools import count
from typing import Any, Final

import httpx

from src.app.ground import opened
from src.store import replay
from tests.support.faults.cluster import Cluster

KEY: Final = "cb_" + "p" * 40
PEOPLE: Final = 6
TURNS: Final = 8
KILLS: Final = 2
PATIENCE_S: Final = 150.0
SECRET: Final = "a story that nobody is to keep"
AGAIN: Final = frozenset({429, 500, 502, 503, 504})
MERGES: Final = "SELECT type, count(*) FROM journal WHERE tenant = $1 AND type LIKE 'customer.%' GROUP BY type"
BY_HAND: Final = """\
SELECT count(*) FROM journal WHERE tenant = $1 AND type = 'customer.merged' AND data->>'reason' = 'requested'"""
DOUBLE: Final = "SELECT value FROM identities WHERE tenant = $1 AND strong GROUP BY type, value HAVING count(*) > 1"


class Caller:
    """Asks one process after the other until there is an answer, under one key: so it is done once."""

    def __init__(self, the_cluster: Cluster) -> None:
        urls = [each.url for each in the_cluster.nodes]
        self._ways = [httpx.AsyncClient(base_url=each, headers={"authorization": f"Bearer {KEY}"}) for each in urls]
        self._turn = count()
        self.repeated = 0

    async def close(self) -> None:
        for each in self._ways:
            await each.aclose()

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = {"idempotency-key": uuid.uuid4().hex}
        while True:
            way = self._ways[next(self._turn) % len(self._ways)]
            with contextlib.suppress(httpx.TransportError):
                answer = await way.request(method, path, json=body, headers=headers, timeout=10)
                if answer.status_code not in AGAIN:
                    return answer
            self.repeated += 1
            await asyncio.sleep(0.1)

    async def done(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def came(self, external_id: str, *identities: dict[str, Any]) -> Any:
        body = {"channel": "voice", "external_id": external_id, "identity": identities[0], "text": SECRET, "tags": []}
        return await self.done("POST", "/v1/contacts", {**body, "identities": list(identities[1:])})


def _phone(number: int) -> dict[str, Any]:
    return {"type": "phone", "value": f"+86138002{number:05d}", "proven": True}


def _member(name: str) -> dict[str, Any]:
    return {"type": "member", "value": name, "proven": True}


async def _comes(caller: Caller, number: int) -> None:
    """One person, whose channels deliver at the same moment, again and again."""
    phone, member = _phone(number), _member(f"m{number}")
    for turn in range(TURNS):
        found = await asyncio.gather(
            caller.came(f"a-{number}-{turn}", phone, member),
            caller.came(f"b-{number}-{turn}", member),
            caller.came(f"c-{number}-{turn}", phone),
        )
        now = {(await caller.done("GET", f"/v1/contacts/{each['id']}"))["customer_id"] for each in found}
        assert 1 == len(now), f"person {number} is {now}"


async def _merged(caller: Caller, number: int) -> tuple[str, str]:
    """Two customers, merged by hand and told apart in turns; merged at the end."""
    one, other = [
        (await caller.came(f"{name}-{number}", _member(f"{name}{number}")))["customer_id"] for name in ("one", "other")
    ]
    for _ in range(TURNS):
        shown = await caller.done("POST", f"/v1/customers/{one}/merge", {"customer_id": other})
        assert (one, [other]) == (shown["id"], [each["id"] for each in shown["merged_from"]])
        shown = await caller.done("POST", f"/v1/customers/{one}/unmerge", {"customer_id": other})
        assert (one, []) == (shown["id"], shown["merged_from"])
    await caller.done("POST", f"/v1/customers/{one}/merge", {"customer_id": other})
    return one, other


async def _erased(caller: Caller, number: int) -> list[str]:
    """A person who comes, is erased, and comes again as somebody new; the ids that are gone."""
    gone: list[str] = []
    for turn in range(TURNS):
        contact = await caller.came(f"e-{number}-{turn}", _member(f"e{number}"))
        assert contact["customer_id"] not in gone, "who was erased is back"
        await caller.done("POST", f"/v1/contacts/{contact['id']}/cancel", {"reason": SECRET})
        erased = await caller.done("POST", f"/v1/customers/{contact['customer_id']}/erase")
        gone += erased["customer_ids"]
    return gone


async def test_who_is_who_is_settled_once_though_processes_are_killed(the_cluster: Cluster) -> None:
    tenant = await the_cluster.tenant("people", KEY)
    caller = Caller(the_cluster)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        come = [group.create_task(_comes(caller, each)) for each in range(PEOPLE)]
        merge = [group.create_task(_merged(caller, each)) for each in range(PEOPLE)]
        erase = [group.create_task(_erased(caller, each)) for each in range(PEOPLE)]
        for _ in range(KILLS):
            await asyncio.sleep(1.0)
            (await the_cluster.owner(tenant)).kill()
        assert not all(each.done() for each in (*come, *merge, *erase)), "nobody was disturbed"
    await the_cluster.mend()
    assert caller.repeated, "nobody noticed"
    assert [] == await the_cluster.fetch(DOUBLE, tenant)
    for number in range(PEOPLE):
        views = [
            await caller.done("GET", f"/v1/customers:lookup?type={kind}&value={value}")
            for kind, value in (("phone", f"%2B86138002{number:05d}"), ("member", f"m{number}"))
        ]
        assert 1 == len({each["id"] for each in views})
        page = await caller.done("GET", f"/v1/customers/{views[0]['id']}/timeline?limit=200")
        assert 3 * TURNS == len(page["items"]), "a contact is lost, or there twice"
    pairs = [each.result() for each in merge]
    for one, other in pairs:
        shown = await caller.done("GET", f"/v1/customers/{other}")
        assert (one, 2) == (shown["id"], len(shown["contacts"]))
    counted = {each["type"]: each["count"] for each in await the_cluster.fetch(MERGES, tenant)}
    assert PEOPLE * TURNS == counted["customer.unmerged"], "one is undone twice, or not at all"
    assert PEOPLE * TURNS == counted["customer.deleted"]
    assert PEOPLE * (TURNS + 1) == (await the_cluster.fetch(BY_HAND, tenant))[0][0]
    await _nothing_is_left(the_cluster, tenant, caller, [gone for each in erase for gone in each.result()])
    await caller.close()
    async with opened(the_cluster.database_url, connections_max=2) as store:
        assert [] == await replay.compare(store, tenant)


async def _nothing_is_left(the_cluster: Cluster, tenant: str, caller: Caller, gone: list[str]) -> None:
    """Of those who were erased only ids and codes are kept."""
    for each in gone:
        assert 410 == (await caller.ask("GET", f"/v1/customers/{each}")).status_code
    async with asyncio.timeout(60):
        pending = "SELECT 1 FROM erasures WHERE tenant = $1 AND done_at IS NULL"
        while await the_cluster.fetch(pending, tenant):
            await asyncio.sleep(0.2)
    theirs = "(SELECT id FROM contacts WHERE tenant = $1 AND customer_id = ANY ($2::text[]))"
    for table, column in (("contact_facts", "id"), ("messages", "contact_id"), ("remarks", "contact_id")):
        left = f"SELECT 1 FROM {table} WHERE tenant = $1 AND {column} IN {theirs}"
        assert [] == await the_cluster.fetch(left, tenant, gone), table
    known = "SELECT 1 FROM identities WHERE tenant = $1 AND customer_id = ANY ($2::text[])"
    assert [] == await the_cluster.fetch(known, tenant, gone)
