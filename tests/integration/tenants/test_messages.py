"""Messages to customers over REST and the stream, and a gateway that sends them."""

import asyncio
from typing import Any

import pytest

from tests.support.service import Client, Desktop

CHATS = {"email": {"cost": 25, "max": 4}}
PLACE = {"latitude": 31.2, "longitude": 121.5, "label": "上海"}
KINDS: list[dict[str, Any]] = [
    {"kind": "text", "text": "您好"},
    {"kind": "notice", "text": "An agent is with you"},
    {"kind": "location", "payload": PLACE},
    {"kind": "link", "text": "see", "payload": {"url": "https://example.com/a?b=1", "title": "Returns"}},
    {
        "kind": "menu",
        "text": "Which?",
        "payload": {"options": [{"id": "1", "text": "Refund"}, {"id": "2", "text": "换货"}]},
    },
]


async def _contact(client: Client, external_id: str = "mail-1") -> str:
    found = await client.contact(external_id, channel="email", identity={"type": "email", "value": "a@example.com"})
    return str(found["id"])


async def _held(client: Client, anna: Desktop) -> str:
    contact_id = await _contact(client)
    offered = (await anna.event("contact.offered"))["data"]
    assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
    return contact_id


@pytest.fixture
async def staffed(client: Client) -> Client:
    await client.agent("anna", channels=CHATS)
    await client.agent("ben", channels={"voice": {"cost": 100, "max": 1}})
    return client


async def test_an_agent_writes_over_the_stream_and_hears_what_becomes_of_it(staffed: Client) -> None:
    async with staffed.desktop("anna", status="available") as anna:
        contact_id = await _held(staffed, anna)
        reply = await anna.ask(type="message", contact_id=contact_id, text="您好", external_id="d1")
        message = reply["result"]
        assert ("agent", "anna", "queued", "您好") == tuple(message[each] for each in ("from", "by", "state", "text"))
        queued = await anna.event("message.queued")
        assert message["id"] == queued["data"]["message"]["id"]
        assert "anna" == queued["agent_id"]
        again = await anna.ask(type="message", contact_id=contact_id, text="您好", external_id="d1")
        assert message["id"] == again["result"]["id"]

        waiting = (await staffed.call("GET", "/v1/messages?channel=email"))["items"]
        assert [message["id"]] == [each["message"]["id"] for each in waiting]
        assert {"type": "email", "value": "a@example.com"} == waiting[0]["contact"]["identity"]
        assert "mail-1" == waiting[0]["contact"]["external_id"]
        path = f"/v1/messages/{message['id']}/receipt"
        sent = await staffed.call("POST", path, json={"state": "sent", "receipt": "<x@mail>"})
        assert ("sent", "<x@mail>") == (sent["state"], sent["receipt"])
        assert {"message_id": message["id"]} == (await anna.event("message.sent"))["data"]
        assert not (await staffed.call("GET", "/v1/messages?channel=email"))["items"]
        await staffed.call("POST", path, json={"state": "failed", "reason": "bounced"})
        failed = await anna.event("message.failed")
        assert {"message_id": message["id"], "reason": "bounced"} == failed["data"]
        stored = (await staffed.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
        assert [("agent", "failed", "bounced")] == [(each["from"], each["state"], each["reason"]) for each in stored]


async def test_who_may_write_to_a_customer(staffed: Client) -> None:
    async with staffed.desktop("anna", status="available") as anna, staffed.desktop("ben") as ben:
        contact_id = await _held(staffed, anna)
        refused = await ben.ask(type="message", contact_id=contact_id, text="hi")
        assert "forbidden" == refused["problem"]["code"]
        missing = await anna.ask(type="message", contact_id="nobody", text="hi")
        assert "not_found" == missing["problem"]["code"]
        empty = await anna.ask(type="message", contact_id=contact_id, text="")
        assert "malformed" == empty["problem"]["code"]
        headers = {"authorization": f"Bearer {await staffed.token('anna')}"}
        path = f"/v1/contacts/{contact_id}/messages"
        post = {"from": "system", "kind": "notice", "text": "x"}
        await staffed.call("POST", path, 403, json=post, headers=headers)
        await staffed.call("POST", path, 403, json={"from": "customer", "text": "x"}, headers=headers)
        own = await staffed.call("POST", path, 201, json={"from": "agent", "text": "x"}, headers=headers)
        shown = await staffed.call("GET", f"/v1/messages/{own['id']}", headers=headers)
        assert own == shown | {"reply_budget": None}
        await staffed.call(
            "GET", f"/v1/messages/{own['id']}", 403, headers={"authorization": f"Bearer {await staffed.token('ben')}"}
        )
        assert "system" == (await staffed.call("POST", path, 201, json=post))["from"]


@pytest.mark.parametrize("body", KINDS, ids=lambda each: each["kind"])
async def test_every_kind_is_kept_as_it_was_posted(client: Client, body: dict[str, Any]) -> None:
    contact_id = await _contact(client)
    path = f"/v1/contacts/{contact_id}/messages"
    headers = {"idempotency-key": "k"}
    posted = await client.call("POST", path, 201, json={**body, "from": "agent"}, headers=headers)
    assert body == {each: posted[each] for each in body}
    assert posted == await client.call("POST", path, 201, json={**body, "from": "agent"}, headers=headers)
    assert [posted] == [each | {"reply_budget": None} for each in (await client.call("GET", path))["items"]]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "text"},
        {"kind": "text", "text": "a\0b"},
        {"kind": "text", "text": "hi", "payload": {}},
        {"kind": "telepathy", "text": "hi"},
        {"kind": ["text"], "text": "hi"},
        {"kind": "location", "payload": {"latitude": 91, "longitude": 0}},
        {"kind": "location", "payload": {"latitude": "NaN", "longitude": 0}},
        {"kind": "link", "payload": {"url": "javascript:alert(1)", "title": "x"}},
        {"kind": "link", "payload": {"url": "https://x.example/ a", "title": "x"}},
        {"kind": "menu", "text": "?", "payload": {"options": []}},
        {"kind": "event", "payload": {"event": "no agent does this"}},
        {"kind": "text", "text": "x", "from": "nobody"},
    ],
)
async def test_what_is_no_message_is_refused(client: Client, body: dict[str, Any]) -> None:
    path = f"/v1/contacts/{await _contact(client)}/messages"
    refused = await client.call("POST", path, 422, json={"from": "agent", **body})
    assert "malformed" == refused["code"]
    assert not (await client.call("GET", path))["items"]


async def test_a_gateway_that_starts_late_misses_nothing(client: Client) -> None:
    contact_id = await _contact(client)
    path = f"/v1/contacts/{contact_id}/messages"
    posted = [await client.call("POST", path, 201, json={"from": "agent", "text": str(each)}) for each in range(5)]
    first = (await client.call("GET", "/v1/messages?channel=email&limit=3"))["items"]
    rest = (await client.call("GET", f"/v1/messages?channel=email&after={first[-1]['place']}"))["items"]
    assert posted == [each["message"] | {"reply_budget": None} for each in (*first, *rest)]
    events = (await client.call("GET", "/v1/events?after=0&limit=200"))["items"]
    queued = [each for each in events if each["type"] == "message.queued"]
    assert [each["place"] for each in (*first, *rest)] == [each["seq"] for each in queued]
    assert ["0", "1", "2", "3", "4"] == [each["data"]["message"]["text"] for each in queued]
    assert "a@example.com" == queued[0]["data"]["contact"]["identity"]["value"]
    receipt = f"/v1/messages/{posted[0]['id']}/receipt"
    await asyncio.gather(*(client.call("POST", receipt, json={"state": "delivered"}) for _ in range(3)))
    await client.call("POST", receipt, 409, json={"state": "failed", "reason": "late"})
    await client.call("POST", receipt, 422, json={"state": "failed", "reason": "Her Name"})
    await client.call("POST", "/v1/messages/none/receipt", 404, json={"state": "sent"})


async def test_a_customers_message_has_no_receipt(client: Client) -> None:
    contact_id = await _contact(client)
    said = await client.call(
        "POST", f"/v1/contacts/{contact_id}/messages", 201, json={"kind": "location", "payload": PLACE}
    )
    assert ("customer", None, PLACE) == (said["from"], said["state"], said["payload"])
    await client.call("POST", f"/v1/messages/{said['id']}/receipt", 409, json={"state": "sent"})
