"""API keys through their life, and the trail that it leaves."""

import asyncio
import json
from pathlib import Path

import httpx
import websockets

from src.app.ground import make_tenant
from tests.support.service import Client, running


async def made(client: Client, *scopes: str, **more: object) -> dict[str, str]:
    body = {"name": "k", "scopes": list(scopes), **more}
    return dict(await client.call("POST", "/v1/keys", json=body))


async def status(client: Client, key: str, path: str = "/v1/contacts") -> int:
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {key}"}) as http:
        return (await http.get(path)).status_code


async def test_a_rotated_key_has_two_forms_until_the_overlap_is_over(client: Client) -> None:
    first = await made(client, "contacts:read")
    assert 200 == await status(client, first["key"])
    second = await client.call("POST", f"/v1/keys/{first['id']}/rotate", json={"overlap_s": 2})
    assert (first["id"], first["scopes"]) == (second["id"], second["scopes"])
    assert first["key"] != second["key"]
    assert second["previous_until"] is not None
    assert [200, 200] == [await status(client, each["key"]) for each in (first, second)]
    async with asyncio.timeout(30):
        while await status(client, first["key"]) != 401:
            await asyncio.sleep(0.2)
    assert 200 == await status(client, second["key"])
    third = await client.call("POST", f"/v1/keys/{first['id']}/rotate", json={"overlap_s": 0})
    assert [401, 401, 200] == [await status(client, each["key"]) for each in (first, second, third)]
    await client.call("DELETE", f"/v1/keys/{first['id']}", 204)
    await client.call("DELETE", f"/v1/keys/{first['id']}", 204)
    assert 401 == await status(client, third["key"])
    refused = await client.call("POST", f"/v1/keys/{first['id']}/rotate", 409)
    assert ("invalid_state", "revoked") == (refused["code"], refused["state"])
    await client.call("POST", "/v1/keys/nothing/rotate", 404)
    await client.call("DELETE", "/v1/keys/nothing", 404)


async def test_rotations_at_once_leave_one_key_that_is_good(client: Client) -> None:
    first = await made(client, "contacts:read")
    path = f"/v1/keys/{first['id']}/rotate"
    again = [client.call("POST", path, json={"overlap_s": 0}) for _ in range(5)]
    statuses = [await status(client, each["key"]) for each in await asyncio.gather(*again)]
    assert [200, 401, 401, 401, 401] == sorted(statuses)


async def test_a_repeated_rotation_gives_the_same_key_again(client: Client) -> None:
    first = await made(client, "contacts:read")
    path, headers = f"/v1/keys/{first['id']}/rotate", {"idempotency-key": "once"}
    answers = [await client.call("POST", path, json={}, headers=headers) for _ in range(2)]
    assert answers[0] == answers[1]
    assert 200 == await status(client, answers[0]["key"])


async def test_a_stream_says_hello_anew_when_its_key_is_rotated(client: Client) -> None:
    first = await made(client, "events:read")
    url = client.url.replace("http", "ws") + "/v1/stream"
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "hello", "token": first["key"]}))
        assert "welcome" == json.loads(await socket.recv())["type"]
        await client.call("POST", f"/v1/keys/{first['id']}/rotate", json={"overlap_s": 1})
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert 4001 == socket.close_code
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "hello", "token": first["key"]}))
        assert "welcome" == json.loads(await socket.recv())["type"], "the form before is good for a while"
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert 4001 == socket.close_code


async def test_who_changed_what_is_on_the_record(client: Client) -> None:
    key = await made(client, "config:write", "agents:write")
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {key['key']}"}) as other:
        await other.put("/v1/queues/refunds", json={})
        await other.put("/v1/queues/refunds", json={}, headers={"if-none-match": "*"})  # refused, so not there
        await other.delete("/v1/queues/refunds")
        await other.put("/v1/agents/anna", json={})
        await other.post("/v1/tokens", json={"agent_id": "anna"})
        assert 403 == (await other.get("/v1/audit")).status_code
    await client.call("POST", f"/v1/keys/{key['id']}/rotate")
    await client.call("DELETE", f"/v1/keys/{key['id']}", 204)
    first = await client.call("GET", "/v1/audit?limit=3")
    rest = await client.call("GET", f"/v1/audit?cursor={first['next_cursor']}")
    lines = [*first["items"], *rest["items"]][::-1]
    assert [
        ("key.made", key["id"]),
        ("queue.updated", "refunds"),
        ("queue.deleted", "refunds"),
        ("agent.updated", "anna"),
        ("token.minted.agent", "anna"),
        ("key.rotated", key["id"]),
        ("key.revoked", key["id"]),
    ] == [(each["act"], each["name"]) for each in lines]
    assert {"kind": "key", "id": key["id"]} == lines[1]["by"] == lines[4]["by"]
    assert lines[0]["by"] == lines[5]["by"] != lines[1]["by"]
    assert 86_400 == lines[5]["overlap_s"]
    other_tenant = await make_tenant(client.settings, client.settings.database_url, "acme")
    acme = Client(client.url, other_tenant.admin_key)
    async with acme.http:
        assert [] == (await acme.call("GET", "/v1/audit"))["items"]


async def test_a_key_asks_for_no_more_than_it_may(client: Client) -> None:
    key = await made(client, "contacts:read", requests_per_s=1)
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {key['key']}"}) as http:
        answers = [await http.get("/v1/contacts") for _ in range(11)]
        assert [200] * 10 == [each.status_code for each in answers[:10]]
        assert '"credential";q=10;w=10, "tenant";q=100000;w=10' == answers[0].headers["ratelimit-policy"]
        assert answers[0].headers["ratelimit"].startswith('"credential";r=9;t=1, "tenant";r=')
        late = answers[10]
        assert (429, "rate_limited", "credential") == (late.status_code, late.json()["code"], late.json()["limit"])
        assert late.headers["ratelimit"].startswith('"credential";r=0;t=10,')
        await asyncio.sleep(float(late.headers["retry-after"]))
        assert 200 == (await http.get("/v1/contacts")).status_code
    assert 200 == (await client.http.get("/v1/contacts")).status_code, "others are not concerned"


async def test_a_tenant_asks_for_no_more_than_it_may(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path, tenant_requests_per_s=1) as client:
        acme = Client(client.url, (await make_tenant(client.settings, database, "acme")).admin_key)
        async with acme.http:
            identity = {"type": "phone", "value": "+8613800138000"}
            posted = {"channel": "voice", "external_id": "1", "tags": [], "identity": identity}
            for _ in range(60):
                answer = await client.http.post("/v1/contacts", json=posted)
                assert '"tenant";r=' in answer.headers["ratelimit"], "also where contacts come in"
                if answer.status_code == 429:
                    break
            assert (429, "tenant") == (answer.status_code, answer.json()["limit"])
            assert 200 == (await acme.http.get("/v1/contacts")).status_code
