"""Several processes over one database: whichever is asked, the customer is served by one. No Redis: it only hastens."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import websockets

from src.app.ground import create_tenant, opened
from src.cluster.peers import PATH
from src.store.seal import Sealer
from tests.support.asterisk import Asterisk
from tests.support.service import Client, running

PHONE = {"type": "phone", "value": "+8613800138000"}
CHATS = {"webchat": {"cost": 10, "max": 5}, "voice": {"cost": 100, "max": 1}}

LAPSE_OTHERS = """\
UPDATE processes SET expires_at = clock_timestamp()
WHERE id NOT IN (SELECT owner FROM tenant_heads WHERE owner IS NOT NULL)"""
GONE = "SELECT count(DISTINCT agent_id) FROM journal WHERE type = 'agent.presence' AND data->>'grace_until' IS NOT NULL"
HELD = "SELECT count(*) FROM agent_states WHERE session IS NOT NULL"


@pytest.fixture
async def two(database: str, tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Two processes: the first serves tenant `default`, the second none."""
    async with running(database, tmp_path / "a") as first:
        await ready(first)
        async with running(database, tmp_path / "b") as second:
            await ready(second)
            assert 1 == await tenants(first)
            assert 0 == await tenants(second)
            yield first, second


async def ready(client: Client) -> None:
    async with asyncio.timeout(30):
        while (await client.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)


async def tenants(client: Client) -> int:
    return int((await client.http.get("/readyz")).json()["tenants"])


async def journal(database: str, kind: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM journal WHERE type = $1", kind))
    finally:
        await connection.close()


async def test_any_process_takes_contacts_and_serves_desktops(two: tuple[Client, Client]) -> None:
    owner, other = two
    await other.agent("anna", channels=CHATS, skills={"billing": 5})
    await other.agent("ben", channels=CHATS)
    async with other.desktop("anna", status="available") as anna, owner.desktop("ben", status="available") as ben:
        posted = await other.contact("c-1", tags=["billing"])
        assert "voice" == posted["channel"]
        offer = await anna.event("contact.offered")
        assert posted["id"] == offer["data"]["contact"]["id"]
        assert "Zhang San" == offer["data"]["customer"]["display_name"], "what it is joined with is looked up here"
        accepted = await anna.ask(type="accept", assignment_id=offer["data"]["assignment_id"])
        assert accepted["ok"], accepted
        assert "active" == (await owner.call("GET", f"/v1/contacts/{posted['id']}"))["state"]
        assert (await anna.ask(type="complete", assignment_id=offer["data"]["assignment_id"], note="done"))["ok"]
        await owner.contact("c-2", channel="webchat", agents={"include": ["ben"]})
        assert "ben" == (await ben.event("contact.offered"))["agent_id"]
    waiting = await other.contact("c-3", channel="webchat", tags=["billing"])
    assert waiting["id"] == (await other.contact("c-3", channel="webchat"))["id"], "the same external id is the same"
    found = await other.call("GET", f"/v1/contacts/{waiting['id']}")
    assert found["position"] == (await owner.call("GET", f"/v1/contacts/{waiting['id']}"))["position"]


async def test_who_sees_numbers_holds_for_desktops_of_any_process(two: tuple[Client, Client]) -> None:
    owner, other = two
    await owner.agent("anna", channels=CHATS)
    for number, masked in enumerate((["agent"], [], ["agent"])):
        await owner.call("PUT", "/v1/settings", json={"masked_for": masked})
        async with other.desktop("anna", status="available") as anna:
            await other.contact(f"c-{number}", channel="webchat")
            offer = await anna.event("contact.offered")
            accepted = await anna.ask(type="accept", assignment_id=offer["data"]["assignment_id"])
            written = await anna.ask(type="message", contact_id=offer["contact_id"], kind="text", text="+8613800138000")
            assert [True, True] == [accepted["ok"], written["ok"]]
            for told in (offer, written):
                assert ("8613800138000" in json.dumps(told)) is not bool(masked), (masked, told)
            done = await anna.ask(type="complete", assignment_id=offer["data"]["assignment_id"])
            assert done["ok"], done


async def test_refusals_come_back_as_they_are(two: tuple[Client, Client]) -> None:
    owner, other = two
    for client in (owner, other):
        refused = await client.call("POST", "/v1/assignments/nobody/accept", 404)
        assert "not_found" == refused["code"]
        refused = await client.call(
            "POST",
            "/v1/contacts",
            422,
            json={"channel": "voice", "identity": PHONE, "queue": "none"},
        )
        assert ("unknown_reference", "queue") == (refused["code"], refused["field"])


async def test_an_idempotency_key_holds_across_processes(two: tuple[Client, Client], database: str) -> None:
    body = {"channel": "voice", "identity": PHONE}
    key = {"idempotency-key": "k1"}
    answers = await asyncio.gather(
        *(each.call("POST", "/v1/contacts", 201, json=body, headers=key) for each in two for _ in range(5))
    )
    assert 1 == len({each["id"] for each in answers})
    assert 1 == await journal(database, "contact.received")
    refused = await two[1].call("POST", "/v1/contacts", 422, json=body | {"language": "de"}, headers=key)
    assert "idempotency_mismatch" == refused["code"]


async def test_many_at_once_are_all_answered_once(two: tuple[Client, Client], database: str) -> None:
    _, other = two
    posted = await asyncio.gather(*(other.contact(f"x-{each}", channel="webchat") for each in range(300)))
    assert 300 == len({each["id"] for each in posted})
    assert 300 == await journal(database, "contact.received")


async def test_the_later_desktop_replaces_one_on_another_process(two: tuple[Client, Client]) -> None:
    owner, other = two
    await owner.agent("anna", channels=CHATS)
    async with other.desktop("anna", status="available") as first, owner.desktop("anna") as second:
        async with asyncio.timeout(30):
            await first.socket.wait_closed()
        assert 4002 == first.socket.close_code
        assert (await second.ask(type="presence", status="away"))["ok"]


async def test_a_process_that_was_taken_for_dead_vouches_for_its_sockets(
    two: tuple[Client, Client], database: str
) -> None:
    owner, other = two
    names = [f"a{number}" for number in range(12)]
    for each in names:
        await owner.agent(each, channels=CHATS)
    connection = await asyncpg.connect(database)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        desktops = [await stack.enter_async_context(other.desktop(each, status="available")) for each in names]
        async with asyncio.timeout(15):
            # Only the owner ever sees that lease run out: the other process itself finds nothing amiss.
            while await connection.fetchval(GONE) < len(names):
                await connection.execute(LAPSE_OTHERS)
                await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            while await connection.fetchval(HELD) < len(names):
                await asyncio.sleep(0.05)
        await owner.contact("c-1", channel="webchat", agents={"include": ["a7"]})
        assert "a7" == (await desktops[7].event("contact.offered"))["agent_id"], "the socket has stayed open"


async def test_a_revoked_key_ends_streams_on_every_process(two: tuple[Client, Client]) -> None:
    owner, other = two
    made = await owner.call("POST", "/v1/keys", 201, json={"name": "k", "scopes": ["events:read"]})
    url = other.url.replace("http", "ws") + "/v1/stream"
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "hello", "token": made["key"]}))
        assert "welcome" == json.loads(await socket.recv())["type"]
        await owner.call("DELETE", f"/v1/keys/{made['id']}", 204)
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert 4001 == socket.close_code


async def test_events_are_polled_for_on_any_process(two: tuple[Client, Client]) -> None:
    owner, other = two
    after = (await owner.call("GET", "/v1/events", params={"limit": 500}))["last_seq"]
    waiting = asyncio.create_task(other.call("GET", "/v1/events", params={"after": after, "wait_s": 10}))
    await asyncio.sleep(0.3)
    await owner.contact("c-1")
    assert "contact.received" == (await waiting)["items"][0]["type"]


async def test_the_internal_port_takes_nothing_from_strangers(two: tuple[Client, Client], database: str) -> None:
    connection = await asyncpg.connect(database)
    addresses = [row[0] for row in await connection.fetch("SELECT internal_address FROM processes")]
    await connection.close()
    assert 2 == len(addresses)
    async with httpx.AsyncClient() as http:
        for address in addresses:
            assert 421 == (await http.post(address + PATH, content=b"\x90")).status_code
            assert 404 == (await http.get(address + "/v1/contacts")).status_code
    assert 404 == (await two[0].http.post(PATH, content=b"\x90")).status_code, "it is not on the public port"


async def test_tenants_spread_over_processes_that_come_and_go(database: str, tmp_path: Path) -> None:
    key = "cb_" + "b" * 40
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(database, tmp_path / "0"))
        async with opened(database) as store:
            sealer = Sealer("a secret for tests")
            for number in range(8):
                await create_tenant(store, sealer, f"t{number}", key + str(number))
        clients = [Client(first.url, key + str(number)) for number in range(8)]
        lost: Counter[Any] = Counter()
        posted: list[str] = []
        stop = asyncio.Event()

        async def gateway(number: int, client: Client) -> None:
            count = 0
            while not stop.is_set():
                body = {
                    "channel": "voice",
                    "external_id": f"x{count}",
                    "identity": PHONE,
                }
                answer = await client.http.post("/v1/contacts", json=body)
                if answer.status_code == 201:
                    posted.append(answer.json()["id"])
                    count += 1
                else:
                    lost[answer.text] += 1
                await asyncio.sleep(0.02)

        load = [asyncio.create_task(gateway(number, each)) for number, each in enumerate(clients)]
        async with running(database, tmp_path / "1") as second, running(database, tmp_path / "2") as third:
            async with asyncio.timeout(30):
                while [3, 3, 3] != [await tenants(each) for each in (first, second, third)]:
                    await asyncio.sleep(0.2)
        async with asyncio.timeout(30):
            while await tenants(first) != 9:
                await asyncio.sleep(0.2)
        stop.set()
        await asyncio.gather(*load)
        for client in clients:
            await client.http.aclose()
    assert not lost, "a hand-over refuses nobody"
    assert len(posted) == len(set(posted)) == await journal(database, "contact.received")


async def test_first_contacts_of_one_person_on_two_channels_are_one_customer(two: tuple[Client, Client]) -> None:
    """A call and a message at the same moment, at different processes, and now and then one that links the two."""
    customers = 20

    async def come(number: int) -> None:
        phone = {"type": "phone", "value": f"+86138001{number:05d}", "proven": True}
        union = {"type": "wechat_unionid", "value": f"union{number}"}
        bodies = [
            {"channel": "voice", "external_id": f"v{number}", "identity": phone},
            {"channel": "wechat", "external_id": f"w{number}", "identity": union, "identities": [phone]},
            {"channel": "voice", "external_id": f"x{number}", "identity": phone},
            {"channel": "wechat", "external_id": f"y{number}", "identity": union},
        ]
        clients = [two[(number + place) % 2] for place in range(len(bodies))]
        posted = await asyncio.gather(
            *(client.call("POST", "/v1/contacts", 201, json=body) for client, body in zip(clients, bodies, strict=True))
        )
        seen = [await each.call("GET", f"/v1/contacts/{posted[0]['id']}") for each in two]
        survivors = {
            (await two[0].call("GET", "/v1/customers:lookup", params={key: each[key] for key in ("type", "value")}))[
                "id"
            ]
            for each in (phone, union)
        }
        assert 1 == len(survivors)
        view = await two[1].call("GET", f"/v1/customers/{survivors.pop()}")
        assert len(bodies) == len(view["contacts"]), "all four are this customer's"
        assert seen[0]["customer_id"] == seen[1]["customer_id"] == view["id"]

    await asyncio.gather(*(come(each) for each in range(customers)))


async def test_a_telephone_system_may_be_connected_to_any_process(two: tuple[Client, Client]) -> None:
    owner, other = two
    body = {"channel": "voice", "settings": {"username": "ast"}, "secrets": {"password": "astpw-astpw"}}
    address = (await owner.call("PUT", "/v1/channels/pbx1", json=body))["address"] + "/ari"
    await owner.agent("anna", channels=CHATS, phone="anna")
    first, second = Asterisk(), Asterisk()
    second.channels, second.bridges, second.phones = first.channels, first.bridges, first.phones
    first.phones["anna"] = "ring"
    async with (
        owner.desktop("anna", status="available") as anna,
        first.dialling(other.url.replace("http", "ws") + address, "ast", "astpw-astpw"),
    ):
        call = await first.call("13800138000")
        leg = (await first.until(lambda: first.legs("Ringing")))[0]
        await first.pick_up(leg)
        await anna.event("contact.active")
        await first.until(lambda: first.talking() == [{call, leg}])
        async with second.dialling(owner.url.replace("http", "ws") + address, "ast", "astpw-astpw"):
            await first.until(lambda: first.closed)
            assert [4002] == first.closed, "the later connection has the line, wherever it is"
            await second.hang_up(call)
            await anna.event("assignment.completed")
            await second.until(lambda: not second.channels)
