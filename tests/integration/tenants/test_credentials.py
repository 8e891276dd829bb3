"""Credentials: nothing is open by default, scopes and roles hold, tenants are apart."""

import asyncio
import json

import httpx
import jwt
import pytest
import websockets

from src.app.ground import make_tenant
from tests.support.service import Client

CHATS = {"webchat": {"cost": 25, "max": 4}}
READS = [
    "/v1/contacts",
    "/v1/agents",
    "/v1/queues",
    "/v1/tags",
    "/v1/rules",
    "/v1/settings",
    "/v1/channels",
    "/v1/keys",
    "/v1/events",
    "/v1/stats",
    "/v1/customers/x",
]


async def test_nothing_is_open(client: Client) -> None:
    credentials = [None, "Basic YTpi", "Bearer", "Bearer cb_wrong", "Bearer a.b.c", "Bearer \xff"]
    for credential in credentials:
        headers = {} if credential is None else {b"authorization": credential.encode("latin-1")}
        async with httpx.AsyncClient(base_url=client.url, headers=headers) as nobody:
            for path in READS:
                answer = await nobody.get(path)
                assert (401, "unauthenticated") == (answer.status_code, answer.json()["code"]), (path, credential)


async def _key(client: Client, *scopes: str) -> Client:
    made = await client.call("POST", "/v1/keys", json={"name": "k", "scopes": list(scopes)})
    return Client(client.url, made["key"])


async def test_a_key_can_do_what_its_scopes_say_and_no_more(client: Client) -> None:
    gateway = await _key(client, "contacts:write")
    async with gateway.http:
        contact = await gateway.contact("c-1")
        for path in READS:
            assert 403 == (await gateway.http.get(path)).status_code, path
        assert 403 == (await gateway.http.get(f"/v1/contacts/{contact['id']}")).status_code
        assert 403 == (await gateway.http.post("/v1/keys", json={"name": "x", "scopes": ["admin"]})).status_code
        assert 403 == (await gateway.http.post("/v1/tokens", json={"agent_id": "anna"})).status_code


async def test_a_revoked_key_is_dead_at_once(client: Client) -> None:
    reader = await _key(client, "contacts:read")
    async with reader.http:
        await reader.call("GET", "/v1/contacts")
        listed = (await client.call("GET", "/v1/keys"))["items"]
        assert all("key" not in each for each in listed)
        key_id = next(each["id"] for each in listed if each["scopes"] == ["contacts:read"])
        await client.call("DELETE", f"/v1/keys/{key_id}", 204)
        assert 401 == (await reader.http.get("/v1/contacts")).status_code


async def test_an_agent_sees_and_does_what_is_its_own(client: Client) -> None:
    for name in ("anna", "ben"):
        await client.agent(name, channels=CHATS)
    async with client.desktop("anna", status="available") as desktop:
        contact = await client.contact("c-1", channel="webchat")
        offer = (await desktop.event("contact.offered"))["data"]["assignment_id"]
        anna, ben = Client(client.url, await client.token("anna")), Client(client.url, await client.token("ben"))
        async with anna.http, ben.http:
            assert contact["id"] == (await anna.call("GET", f"/v1/contacts/{contact['id']}"))["id"]
            assert "forbidden" == (await ben.call("GET", f"/v1/contacts/{contact['id']}", 403))["code"]
            assert [] == (await ben.call("GET", "/v1/contacts"))["items"]
            await ben.call("POST", f"/v1/assignments/{offer}/accept", 403)
            await ben.call("GET", f"/v1/assignments/{offer}", 403)
            await ben.call("PUT", "/v1/agents/anna/presence", 403, json={"status": "offline"})
            await ben.call("GET", "/v1/events", 403)
            await anna.call("POST", f"/v1/assignments/{offer}/accept")
            await ben.call("POST", f"/v1/contacts/{contact['id']}/transfer", 403, json={"to": {"queue": "default"}})


async def test_a_supervisor_hears_everything_and_narrows_it(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    await client.agent("boss")
    token = await client.token("boss", role="supervisor")
    async with websockets.connect(
        client.url.replace("http", "ws") + "/v1/stream", additional_headers={"authorization": f"Bearer {token}"}
    ) as socket:
        await socket.send(json.dumps({"type": "hello"}))
        assert "welcome" == json.loads(await socket.recv())["type"]
        await socket.send(json.dumps({"type": "subscribe", "filter": {"types": ["contact.received"]}, "ref": "1"}))
        assert json.loads(await socket.recv())["ok"]
        await client.contact("c-1")
        event = json.loads(await socket.recv())["event"]
        assert "contact.received" == event["type"]
        await socket.send(json.dumps({"type": "accept", "assignment_id": "x", "ref": "2"}))
        assert "forbidden" == json.loads(await socket.recv())["problem"]["code"]


async def test_a_token_that_ends_closes_the_stream(client: Client) -> None:
    await client.agent("anna")
    token = await client.token("anna", ttl_s=1)
    async with websockets.connect(client.url.replace("http", "ws") + "/v1/stream") as socket:
        await socket.send(json.dumps({"type": "hello", "token": token}))
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert 4001 == socket.close_code
    late = Client(client.url, token)
    async with late.http:
        await late.call("GET", "/v1/agents/anna", 401)


async def test_a_bad_header_is_refused_before_the_upgrade(client: Client) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(
            client.url.replace("http", "ws") + "/v1/stream", additional_headers={"authorization": "Bearer nonsense"}
        ):
            pass
    assert 401 == refused.value.response.status_code


async def test_the_key_that_signs_tokens_is_the_tenants_alone(client: Client) -> None:
    await client.agent("anna")
    good = await client.token("anna")
    claims = jwt.decode(good, options={"verify_signature": False})
    for forged in (
        jwt.encode(claims, "guessed-guessed-guessed-guessed-guessed", "HS256"),
        jwt.encode(claims, "", "none"),
        jwt.encode({**claims, "tenant": "other"}, "guessed-guessed-guessed-guessed-guessed", "HS256"),
    ):
        other = Client(client.url, forged)
        async with other.http:
            await other.call("GET", "/v1/agents/anna", 401)


async def test_another_tenant_sees_nothing_and_touches_nothing(client: Client) -> None:
    notice = await make_tenant(client.settings, client.settings.database_url, "acme")
    other = Client(client.url, notice.admin_key)
    await client.agent("anna", channels=CHATS)
    body = {"channel": "wechat", "settings": {}, "secrets": {"token": "tokentoken"}}
    await client.call("PUT", "/v1/channels/oa1", json=body)
    async with other.http, client.desktop("anna", status="available") as anna:
        contact = await client.contact("c-1", channel="webchat", tags=["refund"])
        waiting = await client.contact("c-2", channel="voice", tags=["refund"])
        await client.call("PUT", "/v1/agents/anna", json={"skills": {"refund": 10}, "channels": CHATS})
        offer = (await anna.event("contact.offered"))["data"]["assignment_id"]
        foreign = [
            ("GET", f"/v1/contacts/{contact['id']}", None),
            ("GET", f"/v1/contacts/{contact['id']}/trace", None),
            ("GET", f"/v1/contacts/{contact['id']}/messages", None),
            ("POST", f"/v1/contacts/{contact['id']}/messages", {"text": "x"}),
            ("POST", f"/v1/contacts/{contact['id']}/cancel", None),
            ("POST", f"/v1/contacts/{contact['id']}/transfer", {"to": {"queue": "default"}}),
            ("PATCH", f"/v1/contacts/{waiting['id']}", {"priority": 1}),
            ("GET", "/v1/agents/anna", None),
            ("DELETE", "/v1/agents/anna", None),
            ("PUT", "/v1/agents/anna/presence", {"status": "offline"}),
            ("GET", "/v1/agents/anna/assignments", None),
            ("GET", f"/v1/assignments/{offer}", None),
            *(("POST", f"/v1/assignments/{offer}/{act}", None) for act in ("accept", "decline", "complete")),
            ("POST", f"/v1/assignments/{offer}/wrap_up_done", None),
            ("GET", f"/v1/customers/{contact['customer_id']}", None),
            ("PATCH", f"/v1/customers/{contact['customer_id']}", {"tier": "vip"}),
            ("GET", "/v1/customers:lookup?type=phone&value=%2B8613800138000", None),
            ("GET", "/v1/channels/oa1", None),
            ("DELETE", "/v1/channels/oa1", None),
            ("POST", "/v1/tokens", {"agent_id": "anna"}),
            *(("DELETE", f"/v1/keys/{each['id']}", None) for each in (await client.call("GET", "/v1/keys"))["items"]),
        ]
        for method, path, sent in foreign:
            problem = await other.call(method, path, 404, json=sent)
            assert "not_found" == problem["code"], path
        assert "account_taken" == (await other.call("PUT", "/v1/channels/oa1", 409, json=body))["code"]
        for path in ("/v1/contacts", "/v1/agents", "/v1/channels", "/v1/events"):
            assert [] == (await other.call("GET", path))["items"], path
        assert "offered" == (await client.call("GET", f"/v1/assignments/{offer}"))["state"]
        own = await other.contact("c-1")
        assert own["customer_id"] != contact["customer_id"], "one phone number, two tenants, two customers"
