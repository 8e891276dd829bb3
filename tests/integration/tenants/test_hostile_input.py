"""Every input from outside is hostile until parsed: a clear error with a stable code, and nothing lost or half-done."""

import json
from typing import Any

import httpx
import pytest
import websockets

from tests.support.service import Client

GOOD = {"channel": "voice", "identity": {"type": "phone", "value": "+8613800138000"}}
DEEP: Any = "x"
for _ in range(40):
    DEEP = {"a": DEEP}


MALFORMED: list[Any] = [
    {},
    {**GOOD, "surprise": 1},
    {**GOOD, "channel": "a/b"},
    {**GOOD, "channel": 7},
    {**GOOD, "tags": "refund"},
    {**GOOD, "tags": [7]},
    {**GOOD, "tags": [{"level": 3}]},
    {**GOOD, "tags": [{"tag": "refund", "level": 0}]},
    {**GOOD, "tags": [{"tag": "refund", "level": "50"}]},
    {**GOOD, "tags": [{"tag": "refund", "required": 1}]},
    {**GOOD, "tags": [""]},
    {**GOOD, "tags": ["refund"] * 33},
    {**GOOD, "text": "a\x00b"},
    {**GOOD, "priority": 1.5},
    {**GOOD, "priority": 10**30},
    {**GOOD, "external_id": ""},
    {**GOOD, "language": "klingonese"},
    {**GOOD, "attributes": DEEP},
    {**GOOD, "attributes": {"n": 10**40}},
    {**GOOD, "attributes": {"a\x00": 1}},
    {"channel": "voice", "identity": {"type": "phone", "value": "not a number"}},
    {"channel": "voice", "identity": {"type": "phone", "value": "138"}},
    {"channel": "voice", "identity": {"type": "Phone!", "value": "+8613800138000"}},
    {"channel": "voice", "identity": "anna"},
    [],
    "contact",
    None,
]


async def test_a_malformed_contact(client: Client) -> None:
    for body in MALFORMED:
        await _refused(client, json.dumps(body).encode(), 422, "malformed")


async def _refused(client: Client, content: bytes, status: int, code: str) -> dict[str, Any]:
    before = (await client.call("GET", "/v1/events?limit=1000"))["last_seq"]
    headers = {"content-type": "application/json"}
    answer = await client.http.post("/v1/contacts", content=content, headers=headers)
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text
    problem: dict[str, Any] = answer.json()
    assert (status, code) == (problem["status"], problem["code"])
    assert before == (await client.call("GET", "/v1/events?limit=1000"))["last_seq"], "it left something behind"
    return problem


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"{", 422, "malformed"),
        (b"\xff\xfe", 422, "malformed"),
        (b"[" * 500_000, 422, "malformed"),
        (b'{"a":' * 100_000, 422, "malformed"),
        (json.dumps({**GOOD, "attributes": {"n": float("nan")}}).encode(), 422, "malformed"),
        (b'{"channel": "voice", "identity": {"type": "gateway", "value": "\\ud800"}}', 422, "malformed"),
        (json.dumps({**GOOD, "queue": "nowhere"}).encode(), 422, "unknown_reference"),
        (b"x" * (10 * 1024 * 1024), 413, "body_too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_hostile_bytes(client: Client, content: bytes, status: int, code: str) -> None:
    await _refused(client, content, status, code)


async def test_a_body_without_end_is_cut_off(client: Client) -> None:
    async def endless() -> Any:
        for _ in range(3000):
            yield b"x" * 1024

    answer = await client.http.post("/v1/contacts", content=endless(), headers={"content-type": "application/json"})
    assert 413 == answer.status_code


async def test_a_number_without_a_country_code_is_read_in_the_tenants_region(client: Client) -> None:
    with_code = await client.contact("c-1", identity={"type": "phone", "value": "+86 138 0013 8000"})
    without = await client.contact("c-2", identity={"type": "phone", "value": "138 0013 8000"})
    assert with_code["customer_id"] == without["customer_id"]
    await client.call("PUT", "/v1/settings", json={"default_region": "US"})
    other = await client.contact("c-3", identity={"type": "phone", "value": "(212) 555-0123"})
    assert "+12125550123" == other["identity"]["value"]


async def test_a_batch_judges_each_on_its_own(client: Client) -> None:
    items = [{**GOOD, "external_id": "b1"}, {"channel": 1}, {**GOOD, "external_id": "b1"}, {**GOOD, "queue": "none"}]
    found = (await client.call("POST", "/v1/contacts:batch", json={"items": items}))["items"]
    assert [201, 422, 200, 422] == [each["status"] for each in found]
    assert found[0]["contact"]["id"] == found[2]["contact"]["id"]
    assert ["malformed", "unknown_reference"] == [found[n]["problem"]["code"] for n in (1, 3)]
    for headers in ({}, {"idempotency-key": "b"}, {"idempotency-key": "b"}):
        again = await client.call("POST", "/v1/contacts:batch", json={"items": items}, headers=headers)
        assert [200, 422, 200, 422] == [each["status"] for each in again["items"]]
        for number in (0, 2):
            shown = again["items"][number]["contact"]
            alone = await client.call("GET", f"/v1/contacts/{shown['id']}")
            assert (found[0]["contact"]["id"], alone["state"]) == (shown["id"], shown["state"])
            assert (alone["identity"], alone["position"]) == (shown["identity"], shown["position"])
    await client.call("POST", "/v1/contacts:batch", 422, json={"items": []})
    await client.call("POST", "/v1/contacts:batch", 422, json={"items": [GOOD] * 501})


async def test_moves_that_the_state_does_not_allow(client: Client) -> None:
    await client.agent("anna")
    contact = await client.contact("c-1")
    unknown = "/v1/assignments/00000000-0000-7000-8000-000000000000/accept"
    assert "not_found" == (await client.call("POST", unknown, 404))["code"]
    path = f"/v1/contacts/{contact['id']}"
    transfer = await client.call("POST", f"{path}/transfer", 409, json={"to": {"queue": "default"}})
    assert ("invalid_state", "waiting") == (transfer["code"], transfer["state"])
    await client.call("POST", f"{path}/transfer", 422, json={"to": {}})
    assert 600 == (await client.call("PATCH", path, json={"priority": 600}))["priority"]
    await client.call("POST", f"{path}/cancel")
    assert "invalid_state" == (await client.call("PATCH", path, 409, json={"priority": 1}))["code"]
    await client.call("PUT", "/v1/agents/nobody/presence", 404, json={"status": "available"})
    await client.call("PUT", "/v1/agents/anna/presence", 422, json={"status": "sleeping"})
    await client.call("DELETE", "/v1/queues/default", 409)
    await client.call("GET", "/v1/contacts?limit=0", 422)
    await client.call("GET", "/v1/contacts?cursor=%00", 422)
    await client.call("GET", "/v1/contacts/%00", 404, 422)


async def test_an_agent_that_holds_contacts_stays(client: Client) -> None:
    await client.agent("anna")
    async with client.desktop("anna", status="available") as anna:
        contact = await client.contact("c-1")
        await anna.event("contact.offered")
        refused = await client.call("DELETE", "/v1/agents/anna", 409)
        assert ("agent_busy", [contact["id"]]) == (refused["code"], refused["contacts"])


async def test_idempotency_keys(client: Client) -> None:
    headers = {"idempotency-key": "once"}
    body = {**GOOD, "text": "快递", "attributes": {"a": 1}}
    first = await client.http.post("/v1/contacts", json=body, headers=headers)
    again = await client.http.post("/v1/contacts", json=body, headers=headers)
    assert (201, 201) == (first.status_code, again.status_code)
    assert first.json() == again.json()
    other = await client.http.post("/v1/contacts", json=GOOD, headers=headers)
    assert (422, "idempotency_mismatch") == (other.status_code, other.json()["code"])
    keys = [await client.http.post("/v1/keys", json={"name": "k", "scopes": ["admin"]}, headers=headers) for _ in "ab"]
    assert keys[0].json() == keys[1].json()
    stored = (await client.call("GET", "/v1/keys"))["items"]
    assert 2 == len(stored), "the admin's, and one more"
    assert 1 == len((await client.call("GET", "/v1/contacts"))["items"])


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no json", "malformed"),
        ("[]", "malformed"),
        ('{"type": "dance"}', "malformed"),
        ('{"type": "accept"}', "malformed"),
        ('{"type": "accept", "assignment_id": "x", "extra": 1}', "malformed"),
        ('{"type": "accept", "assignment_id": "x"}', "not_found"),
        ('{"type": "subscribe", "filter": {}}', "forbidden"),
        ("[" * 10_000, "malformed"),
    ],
)
async def test_hostile_frames_are_answered_and_the_stream_goes_on(client: Client, frame: str, code: str) -> None:
    await client.agent("anna")
    async with client.desktop("anna") as anna:
        await anna.socket.send(frame)
        answer = await anna.frame()
        assert ("reply", False, code) == (answer["type"], answer["ok"], answer["problem"]["code"])
        assert (await anna.ask(type="presence", status="available"))["ok"]


@pytest.mark.parametrize(("hello", "close"), [("{}", 4000), ('{"type":"hello","token":"x"}', 4001), ("x" * 9, 4000)])
async def test_a_bad_hello_closes_the_socket(client: Client, hello: str, close: int) -> None:
    async with websockets.connect(client.url.replace("http", "ws") + "/v1/stream") as socket:
        await socket.send(hello)
        await socket.wait_closed()
        assert close == socket.close_code


async def test_unknown_paths_and_methods_are_problems_too(client: Client) -> None:
    assert "not_found" == (await client.call("GET", "/v1/nothing", 404))["code"]
    assert "method_not_allowed" == (await client.call("DELETE", "/v1/contacts", 405))["code"]


async def test_the_service_is_healthy_and_ready(client: Client) -> None:
    async with httpx.AsyncClient(base_url=client.url) as nobody:
        assert 200 == (await nobody.get("/healthz")).status_code
        assert "ready" == (await nobody.get("/readyz")).json()["status"]


async def test_a_binary_frame_closes_the_socket_and_nothing_else(client: Client) -> None:
    await client.agent("anna")
    async with client.desktop("anna", status="available") as anna:
        await anna.socket.send(b"\x00\x01")
        await anna.socket.wait_closed()
        assert 1003 == anna.socket.close_code
    assert "available" == (await client.call("GET", "/v1/agents/anna"))["presence"]["status"]
