"""WeCom customer service: called back, asked for its messages, answered; over a stand-in of its API."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from src.channels.tencent.crypto import encrypt, key_of
from src.channels.wecom.api import msgid_of
from tests.support.service import Client
from tests.support.wechat import serving
from tests.support.wecom import WeComDouble

AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CHATS = {"wecom": {"cost": 25, "max": 4}}
ADDRESS = "/channels/wecom/kf1"
SEND = "/cgi-bin/kf/send_msg"


@pytest.fixture
async def double(client: Client) -> AsyncIterator[WeComDouble]:
    found = WeComDouble()
    async with serving(found.app()) as found.url:
        body = {
            "channel": "wecom",
            "settings": {
                "corp_id": found.corp_id,
                "open_kfid": found.open_kfid,
                "api_base_url": found.url,
                "welcome_text": "您好",
                "ending_text": "再见",
            },
            "secrets": {"token": "TTTTT", "encoding_aes_key": AES_KEY, "corp_secret": found.secret},
        }
        put = await client.call("PUT", "/v1/channels/kf1", json=body)
        assert ADDRESS == put["address"]
        await client.agent("anna", channels=CHATS)
        yield found


def _signed(ciphertext: str, at: int | None = None) -> dict[str, str]:
    timestamp, nonce = str(int(time.time()) if at is None else at), "4711"
    digest = hashlib.sha1("".join(sorted(["TTTTT", timestamp, nonce, ciphertext])).encode()).hexdigest()
    return {"msg_signature": digest, "timestamp": timestamp, "nonce": nonce}


async def _call(client: Client, double: WeComDouble, *, corp_id: str = "ww1", at: int | None = None) -> int:
    inner = (
        f"<xml><ToUserName>ww1</ToUserName><CreateTime>1</CreateTime><MsgType>event</MsgType>"
        f"<Event>kf_msg_or_event</Event><Token>sync-token</Token><OpenKfId>{double.open_kfid}</OpenKfId></xml>"
    )
    ciphertext = encrypt(inner.encode(), key_of(AES_KEY), corp_id, b"r" * 16)
    body = f"<xml><ToUserName>ww1</ToUserName><Encrypt>{ciphertext}</Encrypt></xml>"
    answer = await client.http.post(ADDRESS, params=_signed(ciphertext, at), content=body)
    assert answer.status_code != 200 or not answer.content
    return answer.status_code


def _said(number: int, text: str, user: str = "wmAnna", **more: Any) -> dict[str, Any]:
    return {
        "msgid": f"m{number}",
        "open_kfid": "wk1",
        "external_userid": user,
        "send_time": int(time.time()),
        "origin": 3,
        "msgtype": "text",
        "text": {"content": text},
        **more,
    }


async def _messages(client: Client, number: int) -> list[dict[str, Any]]:
    """What customers said, in all contacts, as soon as it is so much."""
    async with asyncio.timeout(30):
        while True:
            found: list[dict[str, Any]] = []
            for contact in (await client.call("GET", "/v1/contacts"))["items"]:
                found += (await client.call("GET", f"/v1/contacts/{contact['id']}/messages"))["items"]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)


async def _state(client: Client, message_id: str, *not_yet: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            message = dict(await client.call("GET", f"/v1/messages/{message_id}"))
            if message["state"] not in not_yet:
                return message
            await asyncio.sleep(0.05)


async def test_the_address_is_checked(client: Client, double: WeComDouble) -> None:
    echo = encrypt(b"1616140317555161061", key_of(AES_KEY), "ww1", b"r" * 16)
    answer = await client.http.get(ADDRESS, params={**_signed(echo), "echostr": echo})
    assert (200, "1616140317555161061") == (answer.status_code, answer.text)
    wrong = await client.http.get(ADDRESS, params={**_signed("other"), "echostr": echo})
    assert 401 == wrong.status_code


async def test_calls_that_are_not_to_be_believed(client: Client, double: WeComDouble) -> None:
    assert 401 == await _call(client, double, corp_id="ww2")
    assert 401 == await _call(client, double, at=int(time.time()) - 4000)
    for body in (b"", b"<xml>", b"<xml><Encrypt>x</Encrypt></xml>", b"<!DOCTYPE x [<!ENTITY a 'b'>]><xml>&a;</xml>"):
        assert (await client.http.post(ADDRESS, content=body)).status_code in (401, 422)
    assert not double.pulls


async def test_a_customer_writes_and_an_agent_answers(client: Client, double: WeComDouble) -> None:
    double.items = [_said(1, "在吗"), _said(2, "快递"), _said(3, "hello", "wmBen"), _said(2, "快递")]
    async with client.desktop("anna", status="available") as anna:
        assert 200 == await _call(client, double)
        said = await _messages(client, 3)
        assert ["hello", "在吗", "快递"] == sorted(each["text"] for each in said)
        assert "sync-token" == double.pulls[0]["token"]
        offered = (await anna.event("contact.offered"))["data"]
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        contact_id = offered["contact"]["id"]
        reply = (await anna.ask(type="message", contact_id=contact_id, text="您好"))["result"]
        assert 4 == reply["reply_budget"]["messages"]
        await anna.event("message.sent")
        sent = double.sent[msgid_of(reply["id"])]
        assert {"content": "您好"} == sent["text"]
        failed = {"msgtype": "event", "msgid": "e1", "origin": 4, "send_time": int(time.time())}
        event = {"event_type": "msg_send_fail", "open_kfid": "wk1", "external_userid": "wmAnna", "fail_type": 6}
        double.items.append(failed | {"event": event | {"fail_msgid": msgid_of(reply["id"])}})
        await _call(client, double)
        assert {"message_id": reply["id"], "reason": "quota_used"} == (await anna.event("message.failed"))["data"]
    contacts = (await client.call("GET", "/v1/contacts"))["items"]
    assert {"wmAnna", "wmBen"} == {each["identity"]["value"] for each in contacts}
    assert 2 == len(contacts)


async def test_every_kind_and_what_is_none(client: Client, double: WeComDouble) -> None:
    double.media["theirs"] = ("text/plain", b"a report")
    double.items = [
        _said(1, "start"),
        _said(2, "", msgtype="file", file={"media_id": "theirs"}),
        _said(3, "", msgtype="location", location={"latitude": 31.2, "longitude": 121.5, "name": "上海"}),
        _said(4, "", msgtype="link", link={"title": "t", "desc": "d", "url": "https://e.example/"}),
        _said(5, "") | {"text": {"content": "退款", "menu_id": "7"}},
        _said(6, "", msgtype="channels_shop_order", channels_shop_order={"order_id": "o7"}),
        _said(7, "from an employee", origin=5),
        _said(8, "another account's", open_kfid="wk2"),
        {"msgid": "m9"},
        "no item",  # type: ignore[list-item]
        _said(10, "", msgtype="location", location=["not", "a", "map"]),
    ]
    await _call(client, double)
    said = await _messages(client, 7)
    kinds = ["text", "file", "location", "link", "menu", "unknown", "location"]
    assert kinds == [each["kind"] for each in said]
    assert {"label": "上海", "latitude": 31.2, "longitude": 121.5} == said[2]["payload"]
    assert "7" == said[4]["payload"]["menu_id"]
    async with asyncio.timeout(30):
        while (about := await client.call("GET", f"/v1/media/{said[1]['payload']['media_id']}/about"))[
            "state"
        ] != "kept":
            await asyncio.sleep(0.05)
    assert ("text/plain", "report.txt") == (about["media_type"], about["name"])


async def test_items_that_nothing_can_keep_hold_up_none(client: Client, double: WeComDouble) -> None:
    odd = {"half": "\ud800x", "n\ud800": "1", "large": 10**40, "nul\0": "a\0b", "deep": {"x": [1]}, "type": "theirs"}
    failed = {"event_type": "msg_send_fail", "open_kfid": "wk1", "fail_msgid": "\ud800" * 32, "fail_type": 99}
    entered = {"event_type": "enter_session", "open_kfid": "wk1", "external_userid": "wmAnna", "welcome_code": "\0"}
    double.items = [
        _said(1, "first"),
        _said(2, "", msgtype="odd", odd=odd),
        _said(3, "nul\0 half\ud800"),
        _said(4, "", msgtype="odd\ud800"),
        _said(5, "", msgtype="location", location={"latitude": float("nan"), "longitude": 10**400}),
        _said(6, "x" * 30_000),
        _said(7, "whose?", "  "),
        _said(8, "", msgtype="image", image={"media_id": ["no"]}),
        {"msgtype": "event", "msgid": "e1", "origin": 4, "send_time": 1, "event": failed},
        {"msgtype": "event", "msgid": "e2", "origin": 4, "send_time": 10**30, "event": entered},
        _said(9, "last"),
    ]
    await _call(client, double)
    said = {each["external_id"]: each for each in await _messages(client, 9)}
    assert {"half": "?x", "n?": "1", "nul": "ab", "type": "odd"} == said["m2"]["payload"]
    assert ("nul half?", 20_000, "last") == (said["m3"]["text"], len(said["m6"]["text"]), said["m9"]["text"])


def _happened(number: int, kind: str, **more: Any) -> dict[str, Any]:
    event = {"event_type": kind, "open_kfid": "wk1", "external_userid": "wmAnna", **more}
    return {"msgid": f"e{number}", "msgtype": "event", "origin": 4, "send_time": int(time.time()), "event": event}


async def test_every_type_and_event_of_the_documentation_is_kept_and_readable(
    client: Client, double: WeComDouble
) -> None:
    handed_on = '{"msgtype":"text","text":{"content":"转发的话"}}'
    order = {"order_id": "o7", "product_titles": "茶杯等2件", "price_wording": "¥59.00", "state": "待发货"}
    told: dict[str, tuple[dict[str, Any], str]] = {
        "business_card": ({"userid": "wang"}, "[business_card] · wang"),
        "miniprogram": ({"title": "查物流", "appid": "wx1", "pagepath": "p"}, "[miniprogram] · 查物流"),
        "msgmenu": (
            {"head_content": "请选择", "list": [{"type": "click", "click": {"id": "1", "content": "退款"}}]},
            "[msgmenu] · 请选择\n退款",
        ),
        "channels_shop_product": (
            {"title": "茶杯", "sales_price": "29.50", "shop_nickname": "好物"},
            "[channels_shop_product] · 茶杯 · 29.50 · 好物",
        ),
        "channels_shop_order": (order, "[channels_shop_order] · o7 · 茶杯等2件 · ¥59.00 · 待发货"),
        "channels": ({"sub_type": 1, "nickname": "好物频道", "title": "新品"}, "[channels] · 新品 · 好物频道"),
        "merged_msg": (
            {
                "title": "聊天记录",
                "item": [
                    {"msgtype": "text", "sender_name": "李", "msg_content": handed_on},
                    {"msgtype": "image", "sender_name": "王", "msg_content": "[]"},
                    {"msgtype": "text", "sender_name": "赵", "msg_content": "{"},
                    "no item",
                ],
            },
            "[merged_msg] · 聊天记录\n李: 转发的话\n王: [image]\n赵: [text]",
        ),
        "note": ({}, "[note]"),
        "meeting": ({}, "[meeting]"),
        "brand_new": ({"title": "x"}, "[brand_new] · x"),
    }
    double.items = [
        _said(0, "start"),
        *(
            _said(number, "") | {"msgtype": kind, kind: fields}
            for number, (kind, (fields, _)) in enumerate(told.items(), 1)
        ),
        _happened(1, "user_recall_msg", recall_msgid="m0"),
        _happened(2, "servicer_recall_msg", recall_msgid="m1", servicer_userid="wang"),
        _happened(3, "session_status_change", change_type=1, new_servicer_userid="wang", msg_code="secret"),
        _happened(4, "reject_customer_msg_switch_change", reject_switch=1),
        {
            "msgid": "e5",
            "msgtype": "event",
            "origin": 4,
            "event": {"event_type": "servicer_status_change", "status": 1},
        },
        _happened(6, "brand_new_event"),
    ]
    await _call(client, double)
    said = await _messages(client, 16)
    assert [text for _, text in told.values()] == [each["text"] for each in said if each["kind"] == "unknown"]
    assert list(told) == [each["payload"]["type"] for each in said if each["kind"] == "unknown"]
    assert [
        {"event": "user_recall_msg", "recall_msgid": "m0"},
        {"event": "servicer_recall_msg", "recall_msgid": "m1", "servicer_userid": "wang"},
        {"event": "session_status_change", "change_type": 1, "new_servicer_userid": "wang"},
        {"event": "reject_customer_msg_switch_change", "reject_switch": 1},
        {"event": "brand_new_event"},
    ] == [each["payload"] for each in said if each["kind"] == "event"]


@pytest.mark.parametrize("cursor", ["1\0", "\ud800", "x" * 2_000, "", 7, None])
async def test_a_cursor_that_nobody_could_go_on_from_loses_nothing(
    client: Client, double: WeComDouble, cursor: object
) -> None:
    double.items, double.following = [_said(1, "first")], cursor
    await _call(client, double)
    await _messages(client, 1)
    double.items.insert(1, _said(2, "second"))
    double.following = ...
    await _call(client, double)
    assert ["first", "second"] == [each["text"] for each in await _messages(client, 2)]


async def test_an_item_that_the_database_refuses_holds_up_none(client: Client, double: WeComDouble) -> None:
    connection = await asyncpg.connect(client.settings.database_url)
    await connection.execute("ALTER TABLE messages ADD CONSTRAINT odd CHECK (text <> 'odd')")
    await connection.close()
    double.items = [_said(1, "first"), _said(2, "odd"), _said(3, "third"), _said(4, "fourth")]
    await _call(client, double)
    assert ["first", "third", "fourth"] == [each["text"] for each in await _messages(client, 3)]
    double.items.append(_said(5, "last"))
    await _call(client, double)
    assert ["first", "third", "fourth", "last"] == [each["text"] for each in await _messages(client, 4)]


async def test_a_company_has_one_address_for_all_of_its_accounts(client: Client, double: WeComDouble) -> None:
    other = WeComDouble(open_kfid="wk2")
    async with serving(other.app()) as other.url:
        for name, corp_id in (("kf2", "ww1"), ("kf3", "ww9")):
            settings = {"corp_id": corp_id, "open_kfid": "wk2", "api_base_url": other.url}
            secrets = {"token": "other", "encoding_aes_key": AES_KEY, "corp_secret": other.secret}
            body = {"channel": "wecom", "settings": settings, "secrets": secrets}
            await client.call("PUT", f"/v1/channels/{name}", json=body)
        other.items = [_said(1, "to the other", open_kfid="wk2")]
        assert 200 == await _call(client, other), "at the first one's address"
        [said] = await _messages(client, 1)
        contact = await client.call("GET", f"/v1/contacts/{said['contact_id']}")
        assert ("kf2", "to the other") == (contact["account"], said["text"])
    assert not double.pulls


async def test_a_call_whose_token_is_over_is_asked_for_without_it(client: Client, double: WeComDouble) -> None:
    double.refuse["/cgi-bin/kf/sync_msg"] = [95007]
    double.items = [_said(1, "hello")]
    await _call(client, double)
    assert ["hello"] == [each["text"] for each in await _messages(client, 1)]
    assert "token" not in double.pulls[0]


async def test_a_cursor_that_is_not_known_any_more_is_gone_on_without_and_doubles_nothing(
    client: Client, double: WeComDouble
) -> None:
    double.items = [_said(1, "first")]
    await _call(client, double)
    await _messages(client, 1)
    double.items += [_said(2, "second"), _said(3, "third")]
    double.refuse["/cgi-bin/kf/sync_msg"] = [95999, 95999]  # with the token, and without it
    await _call(client, double)
    assert ["first", "second", "third"] == [each["text"] for each in await _messages(client, 3)]
    assert "cursor" not in double.pulls[-2], "from the beginning"


async def test_an_account_that_is_another_now_is_read_from_the_beginning(client: Client, double: WeComDouble) -> None:
    double.items = [_said(1, "first"), _said(2, "second"), _said(3, "third")]
    await _call(client, double)
    await _messages(client, 3)
    async with asyncio.timeout(30):
        while double.pulls[-1].get("cursor") != "2":
            await asyncio.sleep(0.05)
    other = WeComDouble(open_kfid="wk2", url=double.url)
    shown = await client.call("GET", "/v1/channels/kf1")
    body = {"channel": "wecom", "settings": {**shown["settings"], "open_kfid": "wk2"}}
    await client.call("PUT", "/v1/channels/kf1", json=body)
    double.open_kfid = "wk2"
    double.items = [_said(4, "to the other", open_kfid="wk2")]
    await _call(client, other)
    assert "to the other" in [each["text"] for each in await _messages(client, 4)]


async def test_whoever_comes_in_is_greeted_once_and_in_time(client: Client, double: WeComDouble) -> None:
    def entered(number: int, at: float) -> dict[str, Any]:
        event = {"event_type": "enter_session", "open_kfid": "wk1", "external_userid": "wmAnna", "scene": "site"}
        item = {"msgid": f"e{number}", "msgtype": "event", "origin": 4, "send_time": int(at)}
        return item | {"event": event | {"welcome_code": f"w{number}"}}

    double.items = [entered(1, time.time()), entered(2, time.time() - 60), _said(3, "hello")]
    await _call(client, double)
    await _messages(client, 1)
    assert [{"code": "w1", "msgtype": "text", "text": {"content": "您好"}}] == double.greeted


async def test_a_session_ends_behind_the_last_message_with_a_word(client: Client, double: WeComDouble) -> None:
    double.items = [_said(1, "hello")]
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    await _call(client, double)
    contact_id = (await _messages(client, 1))[0]["contact_id"]
    assignment = (await client.call("GET", "/v1/agents/anna/assignments?state=offered&wait_s=20"))["items"][0]
    path = f"/v1/assignments/{assignment['assignment_id']}"
    await client.call("POST", f"{path}/accept")
    double.refuse[SEND] = [-1]
    body = {"from": "agent", "text": "solved"}
    posted = await client.call("POST", f"/v1/contacts/{contact_id}/messages", 201, json=body)
    await client.call("POST", f"{path}/complete", json={"resolved": True})
    assert "sent" == (await _state(client, posted["id"], "queued"))["state"], "it goes out before the session ends"
    async with asyncio.timeout(30):
        while not double.greeted:
            await asyncio.sleep(0.05)
    assert [{"code": "c", "msgtype": "text", "text": {"content": "再见"}}] == double.greeted
    assert 4 == double.states["wmAnna"]


async def test_a_session_ends_once_where_wrap_up_follows(client: Client, double: WeComDouble) -> None:
    await client.call("PUT", "/v1/queues/default", json={"wrap_up_s": 60})
    double.items = [_said(1, "hello")]
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    await _call(client, double)
    await _messages(client, 1)
    assignment = (await client.call("GET", "/v1/agents/anna/assignments?state=offered&wait_s=20"))["items"][0]
    path = f"/v1/assignments/{assignment['assignment_id']}"
    await client.call("POST", f"{path}/accept")
    await client.call("POST", f"{path}/complete", json={"resolved": True})
    async with asyncio.timeout(30):
        while not double.greeted:
            await asyncio.sleep(0.05)
    double.states["wmAnna"] = 0  # the customer looks in again, and says nothing
    await client.call("POST", f"{path}/wrap_up_done")
    await asyncio.sleep(1)
    assert (1, 0) == (len(double.greeted), double.states["wmAnna"])


async def test_sessions_tokens_and_refusals(client: Client, double: WeComDouble) -> None:
    double.items = [_said(1, "hello")]
    double.refuse["/cgi-bin/kf/sync_msg"] = [-1]
    await _call(client, double)
    contact_id = (await _messages(client, 1))[0]["contact_id"]

    async def written() -> dict[str, Any]:
        path = f"/v1/contacts/{contact_id}/messages"
        posted = await client.call("POST", path, 201, json={"from": "agent", "text": "hi"})
        return await _state(client, posted["id"], "queued")

    double.refuse[SEND] = [95018]
    assert "sent" == (await written())["state"], "the session was asked for"
    assert 1 == double.states["wmAnna"]
    double.revoke()
    assert "sent" == (await written())["state"]
    double.refuse[SEND] = [95001]
    assert "quota_used" == (await written())["reason"]
    double.states["wmAnna"] = 4
    assert "session_over" == (await written())["reason"]
    double.states["wmAnna"] = 1
    double.refuse[SEND] = [60020]
    assert "address_not_allowed" == (await written())["reason"]
