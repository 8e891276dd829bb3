"""The stream under what desktops and integrators do to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
import websockets

from tests.support.service import Client, Desktop

CHATS = {"webchat": {"cost": 25, "max": 4}}


@asynccontextmanager
async def listening(client: Client, credential: str) -> AsyncIterator[Desktop]:
    """The stream of an API key or a supervisor."""
    url = client.url.replace("http", "ws") + "/v1/stream"
    headers = {"authorization": f"Bearer {credential}"}
    async with websockets.connect(url, additional_headers=headers, max_size=None) as socket:
        await socket.send(json.dumps({"type": "hello"}))
        yield Desktop(socket, json.loads(await socket.recv()), None)


async def _key(client: Client, *scopes: str) -> dict[str, Any]:
    return dict(await client.call("POST", "/v1/keys", json={"name": "k", "scopes": list(scopes)}))


async def test_a_commit_without_events_disturbs_nobody(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        headers = {"idempotency-key": "t-1"}
        await client.call("POST", "/v1/tokens", json={"agent_id": "anna"}, headers=headers)
        await client.contact("c-1", channel="webchat")
        await anna.event("contact.offered")


async def test_of_desktops_that_open_at_once_one_stays(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna") as one, client.desktop("anna") as two, client.desktop("anna") as three:
        for older in (one, two):
            async with asyncio.timeout(30):
                await older.socket.wait_closed()
            assert 4002 == older.socket.close_code
        assert (await three.ask(type="presence", status="available"))["ok"]

    token = await client.token("anna")

    async def hello() -> Any:
        socket = await websockets.connect(client.url.replace("http", "ws") + "/v1/stream")
        await socket.send(json.dumps({"type": "hello", "token": token}))
        return socket

    sockets = await asyncio.gather(*(hello() for _ in range(4)))
    await asyncio.sleep(1)
    await client.contact("c-1", channel="webchat")
    still = [each for each in sockets if each.close_code is None]
    assert 1 == len(still)
    await asyncio.gather(*(each.close() for each in sockets))


async def _insist(client: Client, items: Sequence[Mapping[str, Any]]) -> None:
    """Post a batch as a gateway does: a slow machine says when to come again."""
    while (answer := await client.http.post("/v1/contacts:batch", json={"items": items}, timeout=60)).is_error:
        assert answer.status_code in {429, 503}, answer.text
        await asyncio.sleep(float(answer.headers["retry-after"]))


async def test_a_burst_reaches_a_reader_that_keeps_up(client: Client) -> None:
    key = (await _key(client, "events:read", "contacts:read"))["key"]
    items = [
        {"channel": "webchat", "external_id": f"b{n}", "identity": {"type": "web_user", "value": f"u{n}"}, "tags": []}
        for n in range(3000)
    ]
    async with listening(client, key) as stream:
        async with asyncio.TaskGroup() as gateway:
            for n in range(0, len(items), 500):
                gateway.create_task(_insist(client, items[n : n + 500]))
            while len(stream.events) < 2 * len(items):
                await stream.frame(60)
        assert len(items) == sum(each["type"] == "contact.received" for each in stream.events)


async def test_a_filter_by_queue_shows_the_whole_life_of_its_contacts(client: Client) -> None:
    await client.call("PUT", "/v1/queues/sales", json={})
    await client.agent("anna", channels=CHATS)
    key = (await _key(client, "events:read", "contacts:read"))["key"]
    async with listening(client, key) as stream, client.desktop("anna", status="available") as anna:
        assert (await stream.ask(type="subscribe", filter={"queues": ["sales"]}))["ok"]
        stream.events.clear()
        await client.contact("other", channel="webchat")
        await client.contact("c-1", channel="webchat", queue="sales")
        offers = [(await anna.event("contact.offered"))["data"]["assignment_id"] for _ in range(2)]
        for each in offers:
            await anna.ask(type="accept", assignment_id=each)
            await anna.ask(type="complete", assignment_id=each)
        await stream.event("contact.closed")
    assert [
        "contact.received",
        "contact.offered",
        "contact.active",
        "assignment.completed",
        "contact.closed",
    ] == [each["type"] for each in stream.events]


async def test_a_key_that_may_not_read_contacts_hears_no_personal_data_and_a_revoked_one_nothing(
    client: Client,
) -> None:
    await client.agent("anna", channels=CHATS)
    made = await _key(client, "events:read")
    async with listening(client, made["key"]) as stream, client.desktop("anna", status="available") as anna:
        await client.contact("c-1", channel="webchat")
        data = (await stream.event("contact.offered"))["data"]
        assert (None, None) == (data["contact"], data["customer"])
        assert "Zhang San" == (await anna.event("contact.offered"))["data"]["customer"]["display_name"]
        await client.call("DELETE", f"/v1/keys/{made['id']}", 204)
        async with asyncio.timeout(30):
            await stream.socket.wait_closed()
        assert 4001 == stream.socket.close_code


async def test_ids_that_nothing_can_have_disturb_nobody(client: Client) -> None:
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        assert "malformed" == (await client.call("POST", "/v1/assignments/%00/accept", 422))["code"]
        assert "malformed" == (await client.call("GET", "/v1/contacts/%00", 422))["code"]
        await client.contact("c-1", channel="webchat")
        await anna.event("contact.offered")
        assert not any(each["type"] == "agent.presence" and not each["data"]["connected"] for each in anna.events)


async def test_a_token_of_no_tenant_is_refused(client: Client) -> None:
    for tenant in ("\x00", "\ud800", "nobody", 7):
        claims = {"sub": "a", "role": "agent", "exp": 9_999_999_999, "tenant": tenant}
        token = jwt.encode(claims, "guessed-guessed-guessed-guessed-guessed", "HS256")
        other = Client(client.url, token)
        async with other.http:
            await other.call("GET", "/v1/agents/a", 401)
        async with websockets.connect(client.url.replace("http", "ws") + "/v1/stream") as socket:
            await socket.send(json.dumps({"type": "hello", "token": token}))
            await socket.wait_closed()
            assert 4001 == socket.close_code


async def test_the_journal_is_paged_by_cursor_too(client: Client) -> None:
    for number in range(5):
        await client.contact(f"c-{number}")
    seen, cursor = [], None
    while True:
        page = await client.call("GET", "/v1/events", params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        seen += [each["seq"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert list(range(1, len(seen) + 1)) == seen


async def test_an_account_whose_queue_is_named_keeps_it(client: Client) -> None:
    await client.call("PUT", "/v1/queues/wq", json={})
    body = {"channel": "wechat", "secrets": {"token": "tokentoken"}, "queue": "wq"}
    await client.call("PUT", "/v1/channels/oa1", json=body)
    assert "in_use" == (await client.call("DELETE", "/v1/queues/wq", 409))["code"]
