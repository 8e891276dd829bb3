"""What is asked for in a way that the interface does not have is refused as it says; lists are paged, all alike."""

import json
from typing import Any

import httpx
import websockets

from tests.integration.test_tenants_apart import asked_of, body_of, operations, things_of_the_first
from tests.support.service import Client

JSON = {"content-type": "application/json"}


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text
    problem: dict[str, Any] = answer.json()
    assert (status, code) == (problem["status"], problem["code"])
    return problem


async def test_addresses_and_methods_that_are_not_there(client: Client) -> None:
    for path in ("/v1/contacts/", "/v1/nothing", "/nothing", "/v1/contacts/c/nothing"):
        _problem(await client.http.get(path), 404, "not_found")
    for path, methods in (("/v1/contacts", "GET, POST"), ("/v1/queues/q", "DELETE, GET, PUT"), ("/healthz", "GET")):
        assert 405 == (await client.http.head(path)).status_code
        answer = await client.http.request("PATCH", path)
        _problem(answer, 405, "method_not_allowed")
        assert methods == answer.headers["allow"]


async def test_a_body_that_is_no_json_is_nobodys_until_it_is_known_whose(client: Client) -> None:
    async with httpx.AsyncClient(base_url=client.url) as nobody:
        for path in ("/v1/contacts", "/v1/keys"):
            _problem(await nobody.post(path, content=b"{", headers=JSON), 401, "unauthenticated")
    for path in ("/v1/contacts", "/v1/keys"):
        answer = await client.http.post(path, content=b"{", headers=JSON)
        assert "the body is not valid JSON" == _problem(answer, 422, "malformed")["detail"]
        assert {"ratelimit", "ratelimit-policy"} <= answer.headers.keys(), "it counts as a request"
        answer = await client.http.post(path, content=b"{}")
        assert "content-type" in _problem(answer, 422, "malformed")["detail"]


async def test_keys_of_repeats_states_and_numbers_that_cannot_be(client: Client) -> None:
    body = json.dumps({"channel": "voice", "identity": {"type": "phone", "value": "+8613800138000"}, "tags": []})
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", "é".encode("latin-1"))]
    _problem(await client.http.post("/v1/contacts", content=body, headers=headers), 422, "malformed")
    _problem(await client.http.get("/v1/contacts?state=open"), 422, "malformed")
    last = (await client.call("GET", "/v1/events?limit=1000"))["last_seq"]
    assert [] == (await client.call("GET", f"/v1/events?after={last}"))["items"]
    _problem(await client.http.get(f"/v1/events?after={last + 1}"), 410, "cursor_expired")


async def test_every_list_is_paged(client: Client) -> None:
    await client.agent("anna", channels={"email": {"cost": 1, "max": 9}})
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    for number in range(2):
        await client.call("PUT", f"/v1/webhooks/w{number}", json={"url": "https://shop.example/", "enabled": False})
        identity = {"type": "email", "value": f"z{number}@example.com"}
        contact = await client.contact(f"m-{number}", channel="email", identity=identity)
        await client.call("POST", f"/v1/contacts/{contact['id']}/messages", json={"from": "agent", "text": "hi"})
    for path in ("/v1/webhooks", "/v1/agents/anna/assignments", "/v1/messages"):
        first = await client.call("GET", path, params={"limit": 1})
        second = await client.call("GET", path, params={"limit": 1, "cursor": first["next_cursor"]})
        whole = await client.call("GET", path)
        assert 2 == len(whole["items"]), path
        ids = [[each.get("id", each.get("place")) for each in page["items"]] for page in (whole, first, second)]
        assert ids[0] == ids[1] + ids[2], path
        assert None is whole["next_cursor"]


async def test_what_is_asked_for_and_is_not_there_is_refused_everywhere(client: Client) -> None:
    ids = await things_of_the_first(client)
    await client.contact("c-9", identity={"type": "phone", "value": "+8613800138009"})
    elsewhere = (await client.call("GET", "/v1/contacts?limit=1"))["next_cursor"]
    lists = 0
    for method, path, name, operation in operations():
        if not path.startswith("/v1/"):
            continue
        address, query = asked_of(path, operation, ids)
        body = body_of(name, ids)
        more = {} if body is None else {"json": body}
        answer = await client.http.request(method, address, params={**query, "page": "2"}, **more)
        _problem(answer, 422, "unknown_parameter")
        assert ["page"] == answer.json()["unknown"]
        for known in [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]:
            twice = httpx.QueryParams([(known, "1"), *query.items(), (known, "1")])
            answer = await client.http.request(method, address, params=twice, **more)
            _problem(answer, 422, "malformed")
            assert known == answer.json()["field"]
        if "cursor" in {each["name"] for each in operation.get("parameters", ())}:
            lists += 1
            for cursor in ("", "1", ids["contact_id"], "é", "x" * 200, elsewhere):
                if cursor != elsewhere or path != "/v1/contacts":
                    answer = await client.http.get(address, params={**query, "cursor": cursor})
                    _problem(answer, 422, "bad_cursor")
    assert lists > 20
    _problem(await client.http.get("/v1/contacts?cursor=" + "x" * 3_000), 422, "malformed")
    assert 404 == (await client.http.get("/v1/nowhere?page=2")).status_code


async def test_a_supervisor_need_be_no_agent_and_narrows_its_stream_by_kinds_of_events(client: Client) -> None:
    await client.agent("anna")
    assert 404 == (await client.http.post("/v1/tokens", json={"agent_id": "boss"})).status_code
    async with websockets.connect(client.url.replace("http", "ws") + "/v1/stream") as socket:
        await socket.send(json.dumps({"type": "hello", "token": await client.token("boss", "supervisor")}))
        assert "welcome" == json.loads(await socket.recv())["type"]
        await socket.send(json.dumps({"type": "subscribe", "filter": {"types": ["contact.*"]}, "ref": "1"}))
        assert json.loads(await socket.recv())["ok"]
        await client.call("PUT", "/v1/agents/anna/presence", json={"status": "away"})
        await client.contact("c-1")
        told = [json.loads(await socket.recv())["event"]["type"] for _ in range(2)]
        assert ["contact.received", "contact.waiting"] == told
        await socket.send(json.dumps({"type": "subscribe", "filter": {"types": ["*"]}, "ref": "2"}))
        assert 422 == json.loads(await socket.recv())["problem"]["status"]
