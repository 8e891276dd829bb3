"""Connectors: what a CRM knows comes with the offer, and whatever the CRM does, nobody waits for it."""

import asyncio
import json
import time
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from src.connectors.breaker import FAILURES
from tests.support.service import Client, running

PHONE = "+8613800138000"
ORDERS = {"customer": {"level": "gold"}, "orders": [{"no": 7, "state": "sent", "card": "4111"}, {"no": 8}]}
VIEW = {"level": "/customer/level", "orders": {"each": "/orders", "item": {"no": "/no", "state": "/state"}}}


class Crm:
    """A CRM on a port of its own: `answer` is what it does with a request, and `asked` what came."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[Writer], Awaitable[None]] = self.json(ORDERS)
        self.port = 0

    @staticmethod
    def raw(head: str, body: bytes = b"") -> Callable[[Writer], Awaitable[None]]:
        async def answer(writer: Writer) -> None:
            writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

        return answer

    @classmethod
    def json(cls, value: Any, status: str = "200 OK") -> Callable[[Writer], Awaitable[None]]:
        return cls.raw(f"{status}\r\ncontent-type: application/json; charset=utf-8", json.dumps(value).encode())

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.asked.append(head)
                await self.answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Crm"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()


@pytest.fixture
async def crm() -> AsyncIterator[Crm]:
    async with Crm().listening() as found:
        yield found


@pytest.fixture
async def inward(database: str, tmp_path: Path) -> AsyncIterator[Client]:
    """The service, allowed to call this machine."""
    async with running(database, tmp_path, connector_networks="127.0.0.1/32") as found:
        yield found


async def _connect(client: Client, crm: Crm, **more: Any) -> Any:
    body = {
        "url": f"http://127.0.0.1:{crm.port}/customers/{{identity.phone}}/orders",
        "secrets": {"Authorization": "Bearer very-secret"},
        "view": VIEW,
        "timeout_s": 3,
        "retries": 0,
        **more,
    }
    return await client.call("PUT", "/v1/connectors/crm", json=body)


async def _external(client: Client, contact_id: str, **params: Any) -> dict[str, Any]:
    found = await client.call("GET", f"/v1/contacts/{contact_id}/external", params={"wait_s": 5, **params})
    return dict(found["external"]["crm"])


async def test_what_the_crm_knows_is_in_the_offer_and_in_the_view(inward: Client, crm: Crm) -> None:
    put = await _connect(inward, crm)
    assert ["Authorization"] == put["secrets"]
    assert "very-secret" not in json.dumps([put, await inward.call("GET", "/v1/connectors")])
    contact = await inward.contact("1")
    while not crm.asked:
        await asyncio.sleep(0.01)
    assert crm.asked[0].startswith("GET /customers/%2B8613800138000/orders HTTP/1.1\r\n")
    assert "bearer very-secret" in crm.asked[0].lower()
    known = await _external(inward, contact["id"])
    orders = [{"no": 7, "state": "sent"}, {"no": 8, "state": None}]
    assert {"level": "gold", "orders": orders} == known["data"]
    assert (False, None, None, False) == (known["stale"], known["missing_since"], known["error"], known["pending"])
    assert known["as_of"] is not None
    await inward.agent("anna", channels={"voice": {"cost": 100}})
    async with inward.desktop("anna", status="available") as anna:
        offer = (await anna.event("contact.offered"))["data"]
        assert known == offer["customer"]["external"]["crm"]
        token = await inward.token("anna")
        headers = {"authorization": f"Bearer {token}"}
        mine = await inward.call("GET", f"/v1/contacts/{contact['id']}/external", headers=headers)
        assert known == mine["external"]["crm"]
    customer = await inward.call("GET", f"/v1/customers/{contact['customer_id']}")
    assert known == customer["external"]["crm"]
    assert 1 == len(crm.asked), "what is fresh was asked for again"
    tenant = await inward.services.queries.tenant_by_name("default")
    assert tenant is not None
    events = await inward.services.store.events(tenant.id, 0, 100)
    journal = str([each.data for each in events])
    assert "gold" not in journal
    assert "very-secret" not in journal


async def test_of_merged_customers_the_survivor_is_asked_for_and_once(inward: Client, crm: Crm) -> None:
    await _connect(inward, crm, url=f"http://127.0.0.1:{crm.port}/customers/{{customer.id}}")
    one = await inward.contact("1")
    other = await inward.contact("2", identity={"type": "wechat_openid", "value": "oAnna"})
    await _external(inward, one["id"])
    await _external(inward, other["id"])
    path = f"/v1/customers/{one['customer_id']}"
    crm.asked.clear()
    await inward.call("POST", f"{path}/merge", json={"customer_id": other["customer_id"]})
    again = await inward.contact("3", identity={"type": "wechat_openid", "value": "oAnna"})
    assert one["customer_id"] == again["customer_id"]
    assert "gold" == (await _external(inward, again["id"]))["data"]["level"]
    more = await inward.contact("4", identity={"type": "wechat_openid", "value": "oAnna"})
    assert "gold" == (await _external(inward, more["id"]))["data"]["level"], "what is fresh is at hand"
    [asked] = crm.asked
    assert f"/customers/{one['customer_id']} " in asked
    await inward.call("POST", f"{path}/unmerge", json={"customer_id": other["customer_id"]})
    await _external(inward, other["id"])
    assert any(f"/customers/{other['customer_id']} " in each for each in crm.asked), "nothing is known of it any more"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Crm.raw("500 Oops"), "failed"),
        (Crm.raw("401 No"), "refused"),
        (Crm.raw("302 Found\r\nlocation: http://169.254.169.254/latest"), "redirected"),
        (Crm.raw("200 OK\r\ncontent-type: text/html", b"<p>"), "wrong_content"),
        (Crm.raw("200 OK\r\ncontent-type: application/json", b'{"a":'), "wrong_content"),
        (Crm.raw("200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip", b"{}"), "wrong_content"),
        (Crm.raw("200 OK\r\ncontent-type: application/json", b"[" * 50_000 + b"]" * 50_000), "wrong_content"),
        (Crm.raw("200 OK\r\ncontent-type: application/json", b"[" * 33 + b"]" * 33), "wrong_content"),
        (Crm.json(["x" * 1000] * 300), "too_large"),
        (Crm.json({"customer": {"level": "x" * 70_000}}), "too_large"),
    ],
)
async def test_a_bad_answer_is_no_answer(
    inward: Client, crm: Crm, answer: Callable[[Writer], Awaitable[None]], code: str
) -> None:
    crm.answer = answer
    await _connect(inward, crm, timeout_s=5)
    known = await _external(inward, (await inward.contact("1"))["id"])
    assert (None, code, False) == (known["data"], known["error"], known["stale"])
    assert known["missing_since"] is not None
    crm.answer = crm.json(ORDERS)
    again = await _external(inward, (await inward.contact("2"))["id"], refresh=True)
    assert ("gold", None, None) == (again["data"]["level"], again["error"], again["missing_since"])


async def test_a_crm_that_hangs_delays_nothing(inward: Client, crm: Crm) -> None:
    await inward.agent("anna", channels={"chat": {"cost": 1, "max": 9}})

    async def hang(_: Writer) -> None:
        await asyncio.sleep(60)

    async def drip(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        while not writer.transport.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.1)

    async with inward.desktop("anna", status="available") as anna:
        for number, slow in enumerate((hang, drip)):
            crm.answer = slow
            await _connect(inward, crm, timeout_s=1.6 + number / 10)
            began = time.monotonic()
            contact = await inward.contact(f"c{number}", channel="chat")
            offer = (await anna.event("contact.offered"))["data"]
            assert time.monotonic() - began < 1.5
            known = offer["customer"]["external"]["crm"]
            assert (None, True, None) == (known["data"], known["pending"], known["missing_since"])
            known = await _external(inward, contact["id"])
            assert ("timeout", False) == (known["error"], known["pending"])
            assert known["missing_since"] is not None


async def test_stale_data_is_shown_while_the_crm_is_away_and_says_since_when(inward: Client, crm: Crm) -> None:
    await _connect(inward, crm, fresh_s=1)
    contact = await inward.contact("1")
    first = await _external(inward, contact["id"])
    assert not first["stale"]
    crm.answer = crm.raw("503 Later")
    await asyncio.sleep(1.1)
    stale = await _external(inward, contact["id"])
    assert ("gold", True, "failed") == (stale["data"]["level"], stale["stale"], stale["error"])
    assert stale["as_of"] == first["as_of"]
    later = await _external(inward, contact["id"], refresh=True)
    assert stale["missing_since"] == later["missing_since"], "it is missing since the first failure"
    crm.answer = crm.json(ORDERS)
    back = await _external(inward, contact["id"], refresh=True)
    assert (False, None, None) == (back["stale"], back["missing_since"], back["error"])
    await _connect(inward, crm, fresh_s=1, stale_s=0)
    await _external(inward, contact["id"])
    crm.answer = crm.raw("503 Later")
    await asyncio.sleep(1.1)
    assert (await _external(inward, contact["id"]))["data"] is None, "it is too old to be shown"


async def test_retries_are_for_what_passes_and_for_what_may_be_repeated(inward: Client, crm: Crm) -> None:
    crm.answer = crm.raw("503 Later")
    contact = await inward.contact("1")
    for more, tries in (
        ({"retries": 2}, 3),
        ({"retries": 2, "method": "POST", "body": {"phone": "{identity.phone}"}}, 1),
        ({"retries": 2, "method": "POST", "body": {"phone": "{identity.phone}"}, "idempotent": True}, 3),
    ):
        crm.asked.clear()
        await _connect(inward, crm, **more)
        await _external(inward, contact["id"])
        heads = [each for each in crm.asked if each.startswith(("GET", "POST"))]
        assert tries == len(heads), more
    crm.answer = crm.raw("400 No")
    crm.asked.clear()
    await _connect(inward, crm, retries=2)
    await _external(inward, contact["id"])
    assert 1 == len(crm.asked), "a refusal does not pass"


async def test_the_breaker_opens_and_closes(inward: Client, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.connectors.breaker.OPEN_S", 3.0)  # longer than two requests take on a machine that is busy
    crm.answer = crm.raw("500 Oops")
    await _connect(inward, crm)
    contact = await inward.contact("1")
    while (await _external(inward, contact["id"], refresh=True))["error"] == "failed":
        pass
    assert FAILURES == len(crm.asked)
    assert "circuit_open" == (await _external(inward, contact["id"], refresh=True))["error"]
    assert FAILURES == len(crm.asked), "it was to be left alone"
    crm.answer = crm.json(ORDERS)
    await asyncio.sleep(3.1)
    assert (await _external(inward, contact["id"], refresh=True))["error"] is None
    assert (await _external(inward, contact["id"], refresh=True))["error"] is None


async def test_a_customer_without_the_address_and_one_whom_the_crm_does_not_know(inward: Client, crm: Crm) -> None:
    await _connect(inward, crm)
    unknown = await inward.contact("1", identity={"type": "gateway_id", "value": "x"})
    known = await _external(inward, unknown["id"])
    assert (None, "not_applicable", None) == (known["data"], known["error"], known["missing_since"])
    assert [] == crm.asked
    crm.answer = crm.raw("404 Who")
    known = await _external(inward, (await inward.contact("2"))["id"])
    assert (None, None, None) == (known["data"], known["error"], known["missing_since"])
    assert known["as_of"] is not None


async def test_what_is_learnt_moves_whoever_waits_and_is_kept(inward: Client, crm: Crm) -> None:
    await inward.call("PUT", "/v1/settings", json={"tiers": {"gold": {"priority": 600}}})
    await inward.call("PUT", "/v1/queues/south", json={})
    rule = {
        "when": {"customer_attributes": {"region": ["south"]}},
        "then": {"queue": "south", "add_tags": ["dialect"], "alarm": {"name": "south"}},
    }
    await inward.call("PUT", "/v1/rules/south", json=rule)
    crm.answer = crm.json({**ORDERS, "agent": "dora", "region": "south"})
    attributes = {"region": "/region", "nothing": "/nothing", "orders": "/orders"}
    learn = {"tier": "/customer/level", "preferred_agent_id": "/agent", "attributes": attributes}
    await _connect(inward, crm, learn=learn, timeout_s=5)
    contact = await inward.contact("1", tags=["refund"])
    assert (0, "default") == (contact["priority"], contact["queue"]), "nobody waits for the CRM"
    await _external(inward, contact["id"])
    moved = await inward.call("GET", f"/v1/contacts/{contact['id']}")
    assert (600, "south", ["refund", "dialect"]) == (moved["priority"], moved["queue"], moved["tags"])
    assert ["south"] == [each["name"] for each in moved["alarms"]]
    who = await inward.call("GET", f"/v1/customers/{contact['customer_id']}")
    assert ("gold", "dora", {"region": "south"}) == (who["tier"], who["preferred_agent_id"], who["attributes"])
    again = await inward.contact("2")
    assert (600, "south") == (again["priority"], again["queue"])
    assert 1 == len(crm.asked), "what it said itself is no reason to ask again"

    crm.answer = crm.json({"customer": {"level": "no/name"}, "agent": 7, "region": "x" * 300})
    await _external(inward, contact["id"], refresh=True)
    assert who["tier"] == (await inward.call("GET", f"/v1/customers/{contact['customer_id']}"))["tier"]
    crm.answer = crm.json({"customer": {"level": "plain"}, "agent": "dora", "region": "south"})
    await _external(inward, contact["id"], refresh=True)
    assert 0 == (await inward.call("GET", f"/v1/contacts/{contact['id']}"))["priority"]
    told = (await inward.call("GET", "/v1/events?limit=1000"))["items"]
    assert 2 == len([each for each in told if each["type"] == "customer.updated"]), "what is known is not said again"


async def test_a_dead_crm_comes_back(inward: Client, crm: Crm) -> None:
    dead = Crm()
    async with dead.listening():
        pass
    await _connect(inward, dead)
    contact = await inward.contact("1")
    assert "unreachable" == (await _external(inward, contact["id"]))["error"]
    async with dead.listening():
        assert (await _external(inward, contact["id"], refresh=True))["error"] is None


async def test_private_addresses_are_not_called(client: Client, crm: Crm) -> None:
    contact = await client.contact("1")
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "169.254.169.254", "10.0.0.1"):
        await _connect(client, crm, url=f"http://{host}:{crm.port}/{{identity.phone}}")
        assert "forbidden_address" == (await _external(client, contact["id"]))["error"], host
    assert [] == crm.asked


async def test_secrets_do_not_follow_to_another_host(inward: Client, crm: Crm) -> None:
    await _connect(inward, crm)
    kept = await _connect(inward, crm, secrets={}, fresh_s=9)
    assert ["Authorization"] == kept["secrets"]
    moved = await _connect(inward, crm, secrets={}, url="https://elsewhere.example/{identity.phone}")
    assert [] == moved["secrets"]
    await inward.call("DELETE", "/v1/connectors/crm", 204)
    await inward.call("GET", "/v1/connectors/crm", 404)
    assert {} == (await inward.call("GET", f"/v1/customers/{(await inward.contact('1'))['customer_id']}"))["external"]


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "ftp://crm.example/"},
        {"url": "https://{identity.phone}.example/"},
        {"url": "https://user:pass@crm.example/"},
        {"url": "https://crm.example/{identity}"},
        {"url": "https://crm.example/{secret.key}"},
        {"url": "https://crm.example/a b"},
        {"url": "https://crm.example/#x"},
        {"url": "https:///x"},
        {"url": "https://crm.example:0/"},
        {"body": {}},
        {"method": "PUT"},
        {"view": "no-pointer"},
        {"view": {"each": "/a", "take": 51}},
        {"view": {"each": "/a", "item": {"each": "/b"}}},
        {"view": 7},
        {"headers": {"Host": "x"}},
        {"headers": {"Authorization": "x"}},
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"X-A": "a"}, "secrets": {"x-a": "b"}},
        {"timeout_s": 31},
    ],
)
async def test_what_cannot_work_is_refused_when_it_is_put(client: Client, bad: dict[str, Any]) -> None:
    body = {"url": "https://crm.example/{identity.phone}", **bad}
    assert "malformed" == (await client.call("PUT", "/v1/connectors/crm", 422, json=body))["code"]
