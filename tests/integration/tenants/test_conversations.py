"""A chat is followed up by a call, and back, over REST: one conversation, one responsible agent."""

import uuid
from typing import Any

from tests.support.service import Client
from tests.support.visitor import Browser, website

EITHER = {"webchat": {"cost": 25, "max": 4}, "voice": {"cost": 100, "max": 1, "excludes": ["webchat"]}}
USER = {"type": "external_id", "value": "u-1"}
PHONE = {"type": "phone", "value": "+8613800138000", "proven": True}


async def there(client: Client, agent_id: str, **body: Any) -> None:
    await client.agent(agent_id, **{"channels": EITHER, **body})
    await client.call("PUT", f"/v1/agents/{agent_id}/presence", json={"status": "available"})


async def chatting(client: Client, external_id: str = "chat-1") -> dict[str, Any]:
    """A chat that an agent has accepted, with something said in it."""
    more = {"channel": "webchat", "identity": USER, "identities": [PHONE], "text": "my parcel"}
    chat = await client.contact(external_id, **more)
    await client.call("POST", f"/v1/assignments/{chat['assignment']['id']}/accept")
    return chat


async def follow_up(caller: Client, contact: dict[str, Any], *expected: int, **body: Any) -> dict[str, Any]:
    return dict(await caller.call("POST", f"/v1/contacts/{contact['id']}/follow-up", *expected, json=body))


async def texts(client: Client, contact: dict[str, Any]) -> list[str]:
    path = f"/v1/contacts/{contact['id']}/messages?conversation=true"
    return [each["text"] for each in (await client.call("GET", path))["items"]]


async def test_a_chat_is_followed_up_by_a_call_of_the_same_agent(client: Client) -> None:
    await there(client, "anna")
    chat = await chatting(client)
    await there(client, "idle")
    anna = Client(client.url, await client.token("anna"))
    call = await follow_up(anna, chat, 201, channel="voice", account="pbx", text="walk through it")
    await anna.http.aclose()
    assert ("outbound", "phone") == (call["direction"], call["identity"]["type"])
    assert call["identity"]["value"].endswith("8000")
    assert chat["id"] == call["conversation_id"] == chat["conversation_id"]
    assert ("anna", "follow_up") == (call["assignment"]["agent_id"], call["target"]["kind"])
    accepted = await client.call("POST", f"/v1/assignments/{call['assignment']['id']}/accept")
    assert "active" == accepted["state"]
    anna_now = await client.call("GET", "/v1/agents/anna")
    assert 100 == anna_now["load"], "the chat takes no units during the call"
    await client.call("POST", f"/v1/contacts/{call['id']}/messages", json={"from": "customer", "text": "as I wrote"})
    assert ["my parcel", "as I wrote"] == await texts(client, chat) == await texts(client, call)


async def test_a_customer_who_calls_while_it_chats_has_the_same_agent_and_one_conversation(client: Client) -> None:
    await there(client, "anna")
    chat = await chatting(client)
    await there(client, "idle")
    call = await client.contact("call-1", identity=PHONE)
    assert ("anna", "conversation") == (call["assignment"]["agent_id"], call["target"]["kind"])
    assert ("inbound", chat["id"]) == (call["direction"], call["conversation_id"])
    await client.call("POST", f"/v1/assignments/{call['assignment']['id']}/accept")
    again = await follow_up(client, call, 201, channel="webchat", identity=USER, agent_id="idle")
    assert (chat["id"], "idle") == (again["conversation_id"], again["assignment"]["agent_id"])


async def test_a_closed_chat_is_followed_up_once_by_whoever_had_it(client: Client) -> None:
    await there(client, "anna")
    chat = await chatting(client)
    await client.call("POST", f"/v1/assignments/{chat['assignment']['id']}/complete", json={"resolved": False})
    await there(client, "idle")
    call = await follow_up(client, chat, 201, channel="voice", external_id="out-1")
    assert "anna" == call["assignment"]["agent_id"]
    assert call["id"] == (await follow_up(client, chat, 200, channel="voice", external_id="out-1"))["id"]
    stranger = await client.contact("theirs", identity={"type": "external_id", "value": "stranger"})
    anna = Client(client.url, await client.token("anna"))
    assert "conflict" == (await follow_up(anna, chat, 409, channel="voice", external_id="theirs"))["code"]
    await anna.http.aclose()
    await client.call("POST", f"/v1/contacts/{stranger['id']}/cancel")
    journal = await client.call("GET", "/v1/events?after=0&limit=1000")
    assert not any("+86" in str(each["data"]) for each in journal["items"] if each["type"] == "contact.received")


async def test_what_cannot_be_followed_up_is_refused(client: Client) -> None:
    await there(client, "anna")
    chat = await chatting(client)
    await there(client, "other", skills={})
    other = Client(client.url, await client.token("other"))
    assert "forbidden" == (await follow_up(other, chat, 403, channel="voice"))["code"]
    await other.http.aclose()
    unknown = await follow_up(client, chat, 422, channel="voice", identity={"type": "phone", "value": "+4915112345678"})
    assert "malformed" == unknown["code"]
    assert "malformed" == (await follow_up(client, chat, 422, channel="telegram"))["code"]
    assert "agent_unavailable" == (await follow_up(client, chat, 409, channel="email", identity=USER))["code"]
    nobodys = await client.contact("w-1", identity={"type": "external_id", "value": "w"}, channel="fax")
    assert "malformed" == (await follow_up(client, nobodys, 422, channel="fax", identity=USER))["code"]
    gone = {"id": "0" * 36}
    assert "not_found" == (await follow_up(client, gone, 404, channel="voice"))["code"]


async def test_a_visitor_is_called_at_the_number_that_it_typed_and_written_to_again_where_it_chatted(
    client: Client,
) -> None:
    await there(client, "anna")
    form = [{"name": name, "label": name, "kind": kind} for name, kind in (("number", "phone"), ("mail", "email"))]
    shop = f"shop-{uuid.uuid4().hex[:12]}"
    browser = await website(client, shop, settings={"form": form})
    said = {"id": uuid.uuid4().hex, "text": "my parcel", "form": {"number": "138 0013 8000", "mail": "A@B.example"}}
    chat = await client.call(
        "GET", f"/v1/contacts/{(await browser.ask('POST', '/messages', json=said))['conversation_id']}"
    )
    await client.call("POST", f"/v1/assignments/{chat['assignment']['id']}/accept")
    anna = Client(client.url, await client.token("anna"))
    call = await follow_up(anna, chat, 201, channel="voice", account="pbx")
    await anna.http.aclose()
    known = (await client.call("GET", f"/v1/customers/{chat['customer_id']}"))["identities"]
    typed = {(each["type"], each["value"]) for each in known if not each["strong"]}
    assert {("phone", "+8613800138000"), ("email", "a@b.example")} == typed
    assert "phone" == call["identity"]["type"]
    await client.call("POST", f"/v1/assignments/{call['assignment']['id']}/accept")
    back = await follow_up(client, call, 201, channel="webchat", account=shop)
    assert (chat["identity"], chat["id"]) == (back["identity"], back["conversation_id"])
    stranger = await website(client, shop, settings={"form": form})
    odd = {"id": uuid.uuid4().hex, "text": "hello", "form": {"number": "-----"}}
    other = await client.call(
        "GET", f"/v1/contacts/{(await stranger.ask('POST', '/messages', json=odd))['conversation_id']}"
    )
    assert "-----" == other["attributes"]["number"]
    identities = (await client.call("GET", f"/v1/customers/{other['customer_id']}"))["identities"]
    assert ["visitor"] == [each["type"] for each in identities]


async def test_who_writes_at_two_addresses_of_a_website_is_answered_where_it_wrote(client: Client) -> None:
    await client.agent("anna", channels=EITHER)
    shop = f"shop-{uuid.uuid4().hex[:12]}"
    desk = await website(client, shop)
    phone = Browser(client, shop)
    await phone.begin()
    at_desk, at_phone = [await _said(each, "my parcel") for each in (desk, phone)]
    await client.call("POST", f"/v1/contacts/{at_phone}/cancel")
    one, other = [(await client.call("GET", f"/v1/contacts/{each}"))["customer_id"] for each in (at_desk, at_phone)]
    await client.call("POST", f"/v1/customers/{one}/merge", json={"customer_id": other})
    again = await _said(phone, "where is it?")
    assert again not in (at_desk, at_phone)
    assert ["where is it?"] == [each["text"] for each in (await phone.ask("GET", "/conversation"))["messages"]]
    assert (again, at_desk) == (await _said(phone, "please"), await _said(desk, "it came"))


async def _said(browser: Browser, text: str) -> str:
    kept = await browser.ask("POST", "/messages", json={"id": uuid.uuid4().hex, "text": text})
    return str(kept["conversation_id"])


async def test_a_merged_customer_is_followed_up_where_one_of_it_is_known_and_at_no_other_account(
    client: Client,
) -> None:
    await there(client, "anna")
    shop, second = [f"shop-{uuid.uuid4().hex[:12]}" for _ in range(2)]
    browser = await website(client, shop)
    await website(client, second)
    visited = await client.call("GET", f"/v1/contacts/{await _said(browser, 'hello')}")
    await client.call("POST", f"/v1/contacts/{visited['id']}/cancel")
    call = await client.contact("call-1", identity=PHONE)
    await client.call("POST", f"/v1/assignments/{call['assignment']['id']}/accept")
    merge = {"customer_id": visited["customer_id"]}
    await client.call("POST", f"/v1/customers/{call['customer_id']}/merge", json=merge)
    refused = await follow_up(client, call, 422, channel="webchat", account=second)
    assert ("malformed", "account") == (refused["code"], refused["field"])
    back = await follow_up(client, call, 201, channel="webchat")
    assert (shop, call["id"]) == (back["account"], back["conversation_id"])
    await client.call("POST", f"/v1/assignments/{back['assignment']['id']}/accept")
    said = {"from": "agent", "text": "as we said"}
    await client.call("POST", f"/v1/contacts/{back['id']}/messages", 201, json=said)
    assert ["as we said"] == [each["text"] for each in (await browser.ask("GET", "/conversation"))["messages"]]
    assert back["id"] == await _said(browser, "thanks")
