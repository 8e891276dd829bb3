"""A visitor's chat from end to end: over sockets and REST, through losses and in the hands of strangers."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import websockets

from src.api.webchat import acts, pace, silence, socket
from src.channels.webchat.signed import sign
from src.channels.webchat.tokens import VisitorTokens
from tests.support.service import Client, running
from tests.support.visitor import IDENTITY_KEY, ORIGIN, Browser, website

CHATS = {"webchat": {"cost": 25, "max": 4}}


async def test_a_visitor_waits_is_served_and_leaves(client: Client) -> None:
    browser = await website(client)
    await client.agent("anna", name="Anna", skills={}, channels=CHATS)
    async with browser.socket() as visitor:
        assert ("nobody", None, []) == tuple(
            visitor.welcome[each] for each in ("availability", "conversation", "messages")
        )
        kept = await visitor.say("我要退款", page="https://shop.example/order/7", language="zh-CN")
        await visitor.shows(state="waiting", position=1)
        assert [kept["id"]] == list(visitor.messages)
        async with client.desktop("anna", status="available") as anna:
            offered = (await anna.event("contact.offered"))["data"]
            assert ("webchat", "shop", "我要退款") == tuple(
                offered["contact"][each] for each in ("channel", "account", "text")
            )
            assert {"page": "https://shop.example/order/7"} == offered["contact"]["attributes"]
            await anna.ask(type="accept", assignment_id=offered["assignment_id"])
            assert {"name": "Anna"} == (await visitor.shows(state="active"))["agent"]
            await visitor.say("在吗")
            assert "在吗" == (await anna.event("message.received"))["data"]["message"]["text"]
            await visitor.send(type="typing", typing=True)
            while (typing := await anna.frame())["type"] != "typing":
                pass
            assert (offered["contact"]["id"], True) == (typing["contact_id"], typing["typing"])
            await anna.ask(type="complete", assignment_id=offered["assignment_id"])
        await visitor.shows(state="ended")
        await visitor.send(type="rating", score=5, comment="谢谢")
        assert 5 == (await visitor.until("rated"))["score"]
    customer = await client.call("GET", f"/v1/customers/{offered['contact']['customer_id']}")
    assert {"rated": 1, "mean": 5} == customer["satisfaction"]
    again = await browser.ask("GET", "/conversation")
    assert (["我要退款", "在吗"], 5) == ([each["text"] for each in again["messages"]], again["conversation"]["rated"])


async def test_an_agent_answers_and_hears_that_it_arrived(client: Client) -> None:
    browser = await website(client)
    await client.agent("anna", name="Anna", skills={}, channels=CHATS)
    await client.agent("bob", skills={}, channels=CHATS)
    async with browser.socket() as visitor, client.desktop("anna", status="available") as anna:
        await visitor.say("hello")
        offered = (await anna.event("contact.offered"))["data"]
        contact_id = offered["contact"]["id"]
        async with client.desktop("bob") as bob:
            await bob.ask(type="typing", contact_id=contact_id)  # not his: nobody is told
        await anna.ask(type="accept", assignment_id=offered["assignment_id"])
        await visitor.shows(state="active")
        assert "typing" not in [each["type"] for each in visitor.frames]
        assert (await anna.ask(type="typing", contact_id=contact_id))["ok"]
        assert (await visitor.until("typing"))["typing"]
        queued = (await anna.ask(type="message", contact_id=contact_id, text="您好"))["result"]
        heard = await visitor.until("message")
        assert (queued["id"], "agent", "您好") == tuple(heard["message"][each] for each in ("id", "from", "text"))
        await anna.event("message.sent")
        await visitor.send(type="seen", number=heard["number"])
        assert queued["id"] == (await anna.event("message.delivered"))["data"]["message_id"]
        await visitor.send(type="seen", number=heard["number"])
        last = visitor.number
    notice = {"from": "system", "kind": "notice", "text": "Anna writes"}
    await client.call("POST", f"/v1/contacts/{contact_id}/messages", json=notice)
    async with browser.socket(after=last) as back:
        assert [("system", "notice", "Anna writes")] == [
            (each["from"], each["kind"], each["text"]) for each in back.welcome["messages"]
        ]
    async with browser.socket() as anew:
        assert ["hello", "您好", "Anna writes"] == anew.texts
    await browser.ask("POST", "/seen", json={"number": 2**50})
    said = (await client.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
    assert [None, "delivered", "delivered"] == [each["state"] for each in said]


async def test_a_message_bears_the_name_of_who_wrote_it_after_a_hand_over(client: Client) -> None:
    browser = await website(client)
    for each in ("anna", "ben"):
        await client.agent(each, name=each.title(), skills={}, channels=CHATS)
    async with browser.socket() as visitor, client.desktop("anna", status="available") as anna:
        await visitor.say("one")
        offered = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offered["assignment_id"])
        contact_id = offered["contact"]["id"]
        await anna.ask(type="message", contact_id=contact_id, text="I am Anna")
        async with client.desktop("ben", status="available") as ben:
            body = {"to": {"agent_id": "ben"}}
            await client.call("POST", f"/v1/contacts/{contact_id}/transfer", json=body)
            mine = (await ben.event("contact.offered"))["data"]
            await ben.ask(type="accept", assignment_id=mine["assignment_id"])
            await ben.ask(type="message", contact_id=contact_id, text="I am Ben")
            await visitor.shows(agent={"name": "Ben"})
            while len(visitor.messages) < 3:
                await visitor.frame()
            wanted = [("one", None), ("I am Anna", {"name": "Anna"}), ("I am Ben", {"name": "Ben"})]
            assert wanted == [(each["text"], each["agent"]) for each in visitor.messages.values()]
            async with browser.socket() as again:
                assert wanted == [(each["text"], each["agent"]) for each in again.messages.values()]


async def test_visitor_and_agent_on_different_processes(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path / "a") as owner, running(database, tmp_path / "b") as other:
        browser = await website(owner)
        elsewhere = Browser(other, "shop")
        elsewhere.token = browser.token
        await owner.agent("anna", name="Anna", skills={}, channels=CHATS)
        async with elsewhere.socket() as visitor, owner.desktop("anna", status="available") as anna:
            await visitor.say("hello")
            offered = (await anna.event("contact.offered"))["data"]
            await anna.ask(type="accept", assignment_id=offered["assignment_id"])
            assert {"name": "Anna"} == (await visitor.shows(state="active"))["agent"]
            await anna.ask(type="message", contact_id=offered["contact"]["id"], text="您好")
            heard = await visitor.until("message")
            assert "您好" == heard["message"]["text"]
            await visitor.send(type="seen", number=heard["number"])
            await anna.event("message.delivered")
            await visitor.send(type="end")
            await anna.event("assignment.completed")
            await visitor.shows(state="ended")


async def test_a_lost_socket_loses_nothing_and_doubles_nothing(client: Client) -> None:
    browser = await website(client)
    async with browser.socket() as first:
        await first.say("one", id="message-one")
        while not first.messages:
            await first.frame()
        last = first.number
    await browser.ask("POST", "/messages", json={"id": "message-two", "text": "two"})
    async with browser.socket(after=last) as second:
        assert ["two"] == [each["text"] for each in second.welcome["messages"]]
        assert "waiting" == second.welcome["conversation"]["state"]
        kept = await second.say("two", id="message-two")
        assert second.welcome["messages"][0]["id"] == kept["id"]
        assert "message-two" == second.welcome["messages"][0]["client_id"]
        await second.say("three", id="message-three")
        async with browser.socket() as third:
            assert ["one", "two", "three"] == third.texts
            await second.say("four", id="message-four")
            await third.until("message")
            assert ["one", "two", "three", "four"] == third.texts
    async with browser.socket(after=third.number) as fourth:
        assert [] == fourth.welcome["messages"]
    assert 1 == len((await client.call("GET", "/v1/contacts"))["items"])


async def test_much_that_was_missed_comes_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.api.webchat.visit.MESSAGES_MAX", 3)
    browser = await website(client)
    for number in range(8):
        await browser.ask("POST", "/messages", json={"id": f"message-{number}", "text": str(number)})
    async with browser.socket(after=0) as visitor:
        assert visitor.welcome["more"]
        while len(visitor.messages) < 8:
            await visitor.frame()
        assert [str(number) for number in range(8)] == visitor.texts
        await visitor.say("8")
    found = await browser.ask("GET", "/conversation")
    assert ["6", "7", "8"] == [each["text"] for each in found["messages"]]


async def test_another_tab_begins_and_this_one_follows(client: Client) -> None:
    browser = await website(client)
    async with browser.socket() as one, browser.socket() as other:
        await one.say("hello")
        await other.send(type="sync")
        await other.shows(state="waiting")
        await one.say("again")
        await other.until("message")
        assert ["hello", "again"] == other.texts
        await other.send(type="end")
        await one.shows(state="ended")
        second = await one.say("a new matter")
        await other.send(type="sync")
        assert await other.shows(id=second["conversation_id"], state="waiting")
        assert ["hello", "again", "a new matter"] == other.texts


async def test_a_snapshot_promises_no_more_than_it_has_seen(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await website(client)
    look = acts.contacts_of

    async def meanwhile(*given: Any) -> Any:
        found = await look(*given)
        monkeypatch.setattr(acts, "contacts_of", look)
        await one.say("一")  # the first tab begins the conversation just when the second has looked for it
        return found

    async with browser.socket() as one, browser.socket() as other:
        monkeypatch.setattr(acts, "contacts_of", meanwhile)
        await other.send(type="sync")
        await other.until("snapshot")
        await other.send(type="sync")
        await other.until("snapshot")
        assert ["一"] == other.texts


async def test_position_and_estimate_move(client: Client) -> None:
    browsers = [await website(client) for _ in range(3)]
    for number, browser in enumerate(browsers):
        await browser.ask("POST", "/messages", json={"id": f"message-{number}", "text": "hello"})
    async with browsers[2].socket() as visitor:
        assert 3 == visitor.welcome["conversation"]["position"]
        await browsers[0].ask("POST", "/end")
        await visitor.shows(position=2)
        await browsers[1].ask("POST", "/end")
        await visitor.shows(position=1)


async def test_a_long_poll_hears_what_happens(client: Client) -> None:
    browser = await website(client)
    await client.agent("anna", skills={}, channels=CHATS)
    await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    number = (await browser.ask("GET", "/conversation"))["number"]
    poll = asyncio.create_task(browser.ask("GET", f"/conversation?after={number}&wait_s=10"))
    await asyncio.sleep(0.3)
    assert not poll.done()
    await browser.ask("POST", "/messages", json={"id": "message-two", "text": "anybody?"})
    assert ["anybody?"] == [each["text"] for each in (await poll)["messages"]]


# -- who comes ---------------------------------------------------------------------------------------------------------


async def test_a_stranger_comes_back_as_the_same(client: Client) -> None:
    browser = await website(client)
    await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    back = Browser(client, "shop")
    await back.begin(resume=browser.resume)
    assert ["hello"] == [each["text"] for each in (await back.ask("GET", "/conversation"))["messages"]]
    stranger = Browser(client, "shop")
    await stranger.begin()
    assert [] == (await stranger.ask("GET", "/conversation"))["messages"]


async def test_a_user_for_whom_the_website_vouches(client: Client) -> None:
    browser = await website(client)
    until = int(time.time()) + 600
    claim = {
        "user_id": "用户 7",
        "expires_at": until,
        "signature": sign(IDENTITY_KEY, "用户 7", until),
        "name": "Li Lei",
    }
    began = await browser.begin(identity=claim)
    assert ({"kind": "signed", "name": "Li Lei"}, None) == (began["visitor"], began["resume"])
    kept = await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    elsewhere = Browser(client, "shop", origin=None)
    await elsewhere.begin(identity=claim)
    assert 1 == len((await elsewhere.ask("GET", "/conversation"))["messages"])
    contact = await client.call("GET", f"/v1/contacts/{kept['conversation_id']}")
    assert {"type": "web_user", "value": "用户 7@shop"} == contact["identity"]


async def test_a_false_identity_is_refused(client: Client) -> None:
    browser = await website(client)
    for user, until_s, key, status, code in (
        ("7", 600, "another key for tests", 401, "bad_signature"),
        ("7", -1, IDENTITY_KEY, 401, "stale_timestamp"),
        ("7", 90_000, IDENTITY_KEY, 401, "stale_timestamp"),
        (" ", 600, IDENTITY_KEY, 422, "malformed"),
        ("7\n", 600, IDENTITY_KEY, 422, "malformed"),
    ):
        until = int(time.time()) + until_s
        claim = {"user_id": user, "expires_at": until, "signature": sign(key, user, until)}
        assert code == (await browser.begin(status, identity=claim))["code"]


async def test_signed_visitors_only(client: Client) -> None:
    browser = await website(client, settings={"signed_only": True})
    assert "malformed" == (await browser.begin(422))["code"]
    until = int(time.time()) + 600
    await browser.begin(identity={"user_id": "7", "expires_at": until, "signature": sign(IDENTITY_KEY, "7", until)})


async def test_only_the_accounts_own_origins_may_ask(client: Client) -> None:
    browser = await website(client, settings={"origins": [ORIGIN, "http://localhost:3000"]})
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    preflight = await browser.http.options("/session", headers=asked)
    assert (204, "http://localhost:3000") == (preflight.status_code, preflight.headers["access-control-allow-origin"])
    refused = await browser.http.get("/conversation", headers={"origin": ORIGIN})
    assert (401, ORIGIN) == (refused.status_code, refused.headers["access-control-allow-origin"])
    for origin in ("https://evil.example", "https://shop.example.evil.example", "null", "http://shop.example"):
        answer = await browser.http.post("/session", headers={"origin": origin})
        assert (403, "wrong_origin") == (answer.status_code, answer.json()["code"])
        assert "access-control-allow-origin" not in answer.headers
        assert 403 == (await browser.http.options("/session", headers={"origin": origin})).status_code
        url = browser.address.replace("http", "ws", 1) + "/socket"
        with pytest.raises(websockets.InvalidStatus) as denied:
            await websockets.connect(url, origin=websockets.Origin(origin))
        assert 403 == denied.value.response.status_code


async def test_an_account_that_is_changed_is_so_for_sockets_that_are_open(client: Client) -> None:
    browser = await website(client, settings={"uploads": False})
    async with browser.socket() as socket:
        kept = await socket.say("hello")
        body = {"channel": "webchat", "settings": {"origins": [ORIGIN]}}
        await client.call("PUT", "/v1/channels/shop", json={**body, "enabled": False})
        assert "not_found" == (await socket.say("anybody there?"))["problem"]["code"]
        await client.call("PUT", "/v1/channels/shop", json={**body, "settings": {"origins": ["https://new.example"]}})
        assert "wrong_origin" == (await socket.say("anybody there?"))["problem"]["code"]
        await client.call("PUT", "/v1/channels/shop", json=body)
        assert kept["conversation_id"] == (await socket.say("anybody there?"))["conversation_id"]


async def test_tokens_of_others_and_of_old_open_nothing(client: Client) -> None:
    browser = await website(client)
    other = await website(client, "other")
    now = int(time.time())
    claims: dict[str, Any] = jwt.decode(browser.token, options={"verify_signature": False})
    own = VisitorTokens(["a secret for tests"])
    signed_by_us = own._keys[0]
    tokens = {
        "x": "junk",
        other.token: "another account's",
        str(browser.resume): "a resume token",
        jwt.encode(claims, "somebody else's key, which is long enough", "HS256"): "forged",
        jwt.encode(claims, "", "none"): "unsigned",
        jwt.encode({**claims, "exp": now - 1}, signed_by_us, "HS256"): "over",
        jwt.encode({**claims, "tenant": "another"}, signed_by_us, "HS256"): "another tenant's",
        jwt.encode({**claims, "value": 7}, signed_by_us, "HS256"): "of a wrong type",
        "cb_" + "a" * 40: "an admin's key",
    }
    for token, what in tokens.items():
        answer = await browser.http.get("/conversation", headers={"authorization": f"Bearer {token}"})
        assert (401, "unauthenticated") == (answer.status_code, answer.json()["code"]), what
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with browser.socket(token=token):
                pass
        assert socket.CLOSE_TOKEN == closed.value.rcvd.code, what  # type: ignore[union-attr]
    for resume in ("x", browser.token, other.resume):
        assert "unauthenticated" == (await Browser(client, "shop").begin(401, resume=resume))["code"]
    assert (
        401 == (await client.http.get("/v1/contacts", headers={"authorization": f"Bearer {browser.token}"})).status_code
    )


async def test_a_visit_ends_with_its_token(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.api.webchat.rest.VISIT_S", 1)
    browser = await website(client)
    with pytest.raises(websockets.ConnectionClosed) as closed:  # it may be over before the first frame
        async with browser.socket() as visitor:
            await visitor.frame()
    assert (socket.CLOSE_TOKEN, "token over") == (closed.value.rcvd.code, closed.value.rcvd.reason)  # type: ignore[union-attr]


async def test_visitors_see_nothing_of_each_other(client: Client) -> None:
    one, other = await website(client), await website(client)
    kept = await one.ask("POST", "/messages", json={"id": "message-one", "text": "secret"})
    same = await other.ask("POST", "/messages", json={"id": "message-one", "text": "mine"})
    assert kept["id"] != same["id"]
    async with other.socket(after=0) as visitor:
        assert ["mine"] == visitor.texts
        await visitor.send(type="end", id=kept["conversation_id"])
        assert "not_found" == (await visitor.until("refused"))["problem"]["code"]
        await visitor.send(type="rating", id=kept["conversation_id"], score=1)
        assert "not_found" == (await visitor.until("refused"))["problem"]["code"]
    assert "waiting" == (await one.ask("GET", "/conversation"))["conversation"]["state"]


# -- the form, and messages that are left ------------------------------------------------------------------------------

FORM = [
    {
        "name": "topic",
        "label": {"zh": "问题", "en": "Topic"},
        "kind": "choice",
        "options": ["退款", "物流"],
        "required": True,
    },
    {"name": "phone", "label": "电话", "kind": "phone"},
]


async def test_the_forms_answers_become_attributes(client: Client) -> None:
    browser = await website(client, settings={"form": FORM})
    for form, field in (
        (None, "form.topic"),
        ({"topic": "x"}, "form.topic"),
        ({"topic": "退款", "phone": "x"}, "form.phone"),
    ):
        body = {"id": "message-one", "text": "hello", "form": form}
        refused = await browser.ask("POST", "/messages", 422, json=body)
        assert ("malformed", field) == (refused["code"], refused["field"])
    form = {"topic": "退款", "phone": "+86 138 0013 8000"}
    kept = await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello", "form": form})
    contact = await client.call("GET", f"/v1/contacts/{kept['conversation_id']}")
    assert form == contact["attributes"]
    await browser.ask("POST", "/messages", json={"id": "message-two", "text": "without the form"})


async def test_a_message_is_left_when_nobody_is_there(client: Client) -> None:
    await client.call("PUT", "/v1/queues/letters", json={})
    browser = await website(client, settings={"leave_queue": "letters", "silence_s": 30})
    assert "nobody" == (await browser.begin(resume=browser.resume))["availability"]
    body = {"id": "message-one", "text": "请回电", "leave": True}
    kept = await browser.ask("POST", "/messages", json=body)
    contact = await client.call("GET", f"/v1/contacts/{kept['conversation_id']}")
    assert ("letters", {"left_message": True}, "waiting") == tuple(
        contact[each] for each in ("queue", "attributes", "state")
    )
    assert (await browser.ask("GET", "/conversation"))["conversation"]["left_message"]
    await client.call(
        "PUT",
        "/v1/channels/shop",
        json={"channel": "webchat", "settings": {"origins": [ORIGIN], "leave_message": False}},
    )
    refused = await browser.ask("POST", "/messages", 403, json={"id": "message-two", "text": "x", "leave": True})
    assert "forbidden" == refused["code"]


async def test_availability_says_open_closed_or_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.api.webchat.waiting.STAFFING_S", 0)
    browser = await website(client)
    await client.agent("anna", skills={}, channels=CHATS)
    await client.agent("bert", skills={}, channels={"voice": {"cost": 100, "max": 1}})
    await client.call("PUT", "/v1/agents/bert/presence", json={"status": "available"})
    assert "nobody" == (await browser.begin())["availability"]
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    assert "open" == (await browser.begin())["availability"]
    await client.call("PUT", "/v1/queues/default", json={"paused": True})
    assert "closed" == (await browser.begin())["availability"]


# -- files -------------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


async def test_a_file_reaches_the_agent_and_nobody_else(client: Client) -> None:
    browser, stranger = await website(client), await website(client)
    await client.agent("anna", skills={}, channels=CHATS)
    await client.agent("bert", skills={}, channels={})
    early = await browser.ask("POST", "/files?id=file-number-1&name=x", 409, content=PNG)
    assert "invalid_state" == early["code"]
    contact_id = (await browser.ask("POST", "/messages", json={"id": "message-one", "text": "look"}))["conversation_id"]
    async with client.desktop("anna", status="available") as anna:
        offered = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offered["assignment_id"])
        hostile = "/files?id=file-number-1&name=../../etc/pass%00wd%E2%80%AEgpj.exe"
        sent = await browser.ask("POST", hostile, content=PNG)
        again = await browser.ask("POST", hostile, content=PNG)
        assert sent["id"] == again["id"]
        said = (await anna.event("message.received"))["data"]["message"]
        assert ("image", "pass_wd_gpj.exe.png", "image/png", len(PNG)) == (
            said["kind"],
            said["text"],
            said["payload"]["media_type"],
            said["payload"]["bytes"],
        )
        media_id = said["payload"]["media_id"]
        handed = await client.call("POST", f"/v1/media?contact_id={contact_id}&name=a.txt", content=b"words")
        answer = {"kind": "file", "payload": {"media_id": handed["id"]}}
        await anna.ask(type="message", contact_id=contact_id, **answer)
    as_visitor = {"authorization": f"Bearer {browser.token}"}
    as_anna = {"authorization": f"Bearer {await client.token('anna')}"}
    own = await browser.http.get(f"/files/{media_id}", headers=as_visitor)
    agents = await client.http.get(f"/v1/media/{media_id}", headers=as_anna)
    for found in (own, agents):
        assert (200, PNG, "image/png") == (found.status_code, found.content, found.headers["content-type"])
        assert "nosniff" == found.headers["x-content-type-options"]
    words = await browser.http.get(f"/files/{handed['id']}", headers=as_visitor)
    assert (b"words", "attachment") == (words.content, words.headers["content-disposition"].partition(";")[0])
    as_bert = {"authorization": f"Bearer {await client.token('bert')}"}
    assert 403 == (await client.http.get(f"/v1/media/{media_id}", headers=as_bert)).status_code
    await stranger.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    assert "not_found" == (await stranger.ask("GET", f"/files/{media_id}", 404))["code"]
    assert "not_found" == (await browser.ask("GET", "/files/nothing", 404))["code"]


async def test_files_that_are_not_taken(client: Client) -> None:
    browser = await website(client)
    await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    files = browser.services.paces.files
    for content, status in (
        (b"", 415),
        (b"MZ\x90\0", 415),
        (b"\x7fELF", 422),
        (b"PK\x03\x04", 415),
        (b"a\0b", 415),
        (b"\xff\xfe", 415),
        (b"#!/bin/sh", 422),
    ):
        files._buckets._buckets.clear()
        refused = await browser.ask("POST", "/files?id=file-number-1&name=a.png", status, content=content)
        assert {415: "unwanted_file", 422: "malformed"}[status] == refused["code"], content
    files._buckets._buckets.clear()
    large = b"%PDF-" + b"x" * (5 * 1024 * 1024)
    answer = await browser.http.post("/files?id=file-number-1", content=large)
    assert (413, "body_too_large") == (answer.status_code, answer.json()["code"])
    await browser.ask("POST", "/files?id=file-number-1&name=a", content=large[: 5 * 1024 * 1024])
    for number in range(pace.FILES_BURST - 1):
        await browser.ask("POST", f"/files?id=file-number-{number}&name=a", content=b"words")
    assert "too_fast" == (await browser.ask("POST", "/files?id=file-number-9&name=a", 429, content=b"words"))["code"]
    await client.call(
        "PUT", "/v1/channels/shop", json={"channel": "webchat", "settings": {"origins": [ORIGIN], "uploads": False}}
    )
    assert "forbidden" == (await browser.ask("POST", "/files?id=file-number-9", 403, content=b"words"))["code"]


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_a_conversation_ends_by_silence(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await website(client, settings={"silence_s": 30})
    await client.agent("anna", skills={}, channels=CHATS)
    services = None
    async with browser.socket() as visitor, client.desktop("anna", status="available") as anna:
        await visitor.say("hello")
        offered = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offered["assignment_id"])
        await visitor.shows(state="active")
        services = client.services
        await silence.end_silent(services)
        late = services.clock.now_ms() + 31_000
        monkeypatch.setattr(services.clock, "now_ms", lambda: late)
        await silence.end_silent(services)
        await visitor.shows(state="ended")
        closed = await client.call("GET", f"/v1/contacts/{offered['contact']['id']}")
        assert "customer_left" == closed["outcome"]


async def test_what_goes_on_is_not_rated(client: Client) -> None:
    browser = await website(client)
    await browser.ask("POST", "/rating", 404, json={"score": 5})
    await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    assert "invalid_state" == (await browser.ask("POST", "/rating", 409, json={"score": 5}))["code"]
    await browser.ask("POST", "/end")
    await browser.ask("POST", "/end")
    assert {"score": 2} == await browser.ask("POST", "/rating", json={"score": 2})
    for wrong in (0, 6, "5", None, True, 4.5):
        await browser.ask("POST", "/rating", 422, json={"score": wrong})


# -- bad input ---------------------------------------------------------------------------------------------------------


BAD_FRAMES = [
    "not json",
    "[]",
    "{}",
    '{"type": "nothing"}',
    '{"type": 7}',
    '{"type": "message"}',
    '{"type": "message", "id": "message-one", "text": 7}',
    '{"type": "message", "id": "message-one", "text": "  "}',
    '{"type": "message", "id": "short", "text": "x"}',
    '{"type": "message", "id": "message-one", "text": "\\u0000"}',
    '{"type": "message", "id": "message-one", "text": "\\ud800"}',
    '{"type": "message", "id": "message-one", "text": "x", "from": "agent"}',
    '{"type": "message", "id": "message-one", "text": "x", "form": {"a": []}}',
    '{"type": "message", "id": "message-one", "text": "x", "language": "not a language"}',
    '{"type": "seen", "number": -1}',
    '{"type": "rating", "score": 99}',
    json.dumps({"type": "message", "id": "message-one", "text": "x" * 20_001}),
    json.dumps({"type": "message", "id": "message-one", "text": "x" * 70_000}),
    "[" * 10_000,
]


async def test_a_bad_frame_is_refused_and_the_socket_goes_on(client: Client) -> None:
    browser = await website(client)
    async with browser.socket() as visitor:
        for frame in BAD_FRAMES:
            await visitor.socket.send(frame)
            assert "malformed" == (await visitor.until("refused"))["problem"]["code"], frame[:80]
        await visitor.send(type="ping")
        await visitor.until("pong")
    assert [] == (await client.call("GET", "/v1/contacts"))["items"]


async def test_huge_and_binary_frames_close_the_socket(client: Client) -> None:
    browser = await website(client)
    for frame in ("x" * (2 * 1024 * 1024), b"binary"):
        async with browser.socket() as visitor:
            await visitor.socket.send(frame)
            with pytest.raises(websockets.ConnectionClosed):
                await visitor.frame()
    url = browser.address.replace("http", "ws", 1) + "/socket"
    async with websockets.connect(url) as silent:
        await silent.send("hello")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await silent.recv()
        assert socket.CLOSE_HELLO == closed.value.rcvd.code  # type: ignore[union-attr]


async def test_a_flood_is_slowed_and_then_cut_off(client: Client) -> None:
    browser = await website(client)
    async with browser.socket() as visitor:
        for number in range(pace.MESSAGES_BURST):
            assert "kept" == (await visitor.say(str(number), id=f"message-{number}"))["type"]
        refused = (await visitor.say("more", id="one-too-many"))["problem"]
        assert ("too_fast", 429, True) == (refused["code"], refused["status"], refused["retry_after_s"] >= 1)
        answer = await browser.http.post(
            "/messages",
            json={"id": "one-too-many", "text": "x"},
            headers={"authorization": f"Bearer {browser.token}"},
        )
        assert (429, True) == (answer.status_code, int(answer.headers["retry-after"]) >= 1)
        for _ in range(pace.FRAMES_BURST):
            await visitor.send(type="ping")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await visitor.until("nothing")
        assert socket.CLOSE_TOO_FAST == closed.value.rcvd.code  # type: ignore[union-attr]
    other = await website(client)
    await other.ask("POST", "/messages", json={"id": "message-one", "text": "others are served"})


async def test_one_visitor_opens_so_many_sockets(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "SOCKETS_MAX", 1)
    browser = await website(client)
    async with browser.socket():
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with browser.socket():
                pass
        assert socket.CLOSE_TOO_FAST == closed.value.rcvd.code  # type: ignore[union-attr]
    async with browser.socket():
        pass


async def test_what_is_not_there_is_not_there(client: Client) -> None:
    browser = await website(client)
    for path in ("/channels/webchat/nobody/session", "/channels/webchat/shop/nothing"):
        assert 404 == (await client.http.post(path)).status_code
    await client.call(
        "PUT", "/v1/channels/shop", json={"channel": "webchat", "settings": {"origins": [ORIGIN]}, "enabled": False}
    )
    assert "not_found" == (await browser.ask("GET", "/conversation", 404))["code"]


async def test_the_widget_is_served_to_any_page(client: Client) -> None:
    async with httpx.AsyncClient(base_url=client.url) as anybody:
        widget = await anybody.get("/widget.js")
        assert (200, "*") == (widget.status_code, widget.headers["access-control-allow-origin"])
        assert widget.headers["content-type"].startswith("text/javascript")
        again = await anybody.get("/widget.js", headers={"if-none-match": widget.headers["etag"]})
        assert 304 == again.status_code
        for name in ("../static.py", "..%2Fstatic.py", "nothing.js"):
            assert 404 == (await anybody.get(f"/widget/{name}")).status_code
