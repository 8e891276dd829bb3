"""WeChat in both directions: a customer writes, an agent answers, WeChat's API (a stand-in) is sent the answer."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import wechatpy
from wechatpy.exceptions import APILimitedException, WeChatClientException

from src.api.budgets import escalate_closing
from src.app import sending
from src.store.postgres import PostgresStore
from src.store.seal import Sealer
from tests.support.service import Client, Desktop
from tests.support.wechat import WeChatDouble, serving, wechat_double

SEND = "/cgi-bin/message/custom/send"
CHATS = {"wechat": {"cost": 25, "max": 4}}


@pytest.fixture
async def double() -> AsyncIterator[WeChatDouble]:
    async with wechat_double() as found:
        yield found


@pytest.fixture
async def oa(client: Client, double: WeChatDouble) -> str:
    await _put_account(client, double, "oa1", double.secret)
    await client.agent("anna", channels=CHATS)
    return "/channels/wechat/oa1"


async def _put_account(client: Client, double: WeChatDouble, name: str, secret: str) -> None:
    body = {
        "channel": "wechat",
        "settings": {"app_id": double.app_id, "api_base_url": double.url},
        "secrets": {"token": "AAAAA", "app_secret": secret},
    }
    await client.call("PUT", f"/v1/channels/{name}", json=body)


async def _contact(client: Client, openid: str = "oAnna", account: str = "oa1") -> str:
    identity = {"type": "wechat_openid", "value": openid}
    posted = {"channel": "wechat", "account": account, "identity": identity, "text": "hello", "tags": []}
    return str((await client.call("POST", "/v1/contacts", json=posted))["id"])


async def _accepted(anna: Desktop) -> str:
    offered = (await anna.event("contact.offered"))["data"]
    assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
    return str(offered["contact"]["id"])


async def _write(client: Client, contact_id: str, text: str = "hi", **more: Any) -> dict[str, Any]:
    body = {"from": "agent", "text": text, **more}
    return dict(await client.call("POST", f"/v1/contacts/{contact_id}/messages", 201, json=body))


async def _ended(client: Client, message_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            message = dict(await client.call("GET", f"/v1/messages/{message_id}"))
            if message["state"] != "queued":
                return message
            await asyncio.sleep(0.05)


async def test_a_customer_writes_and_an_agent_answers(client: Client, oa: str, double: WeChatDouble) -> None:
    from tests.integration.test_native_channels import _signed, _text  # noqa: PLC0415

    async with client.desktop("anna", status="available") as anna:
        await client.http.post(oa, params=_signed("AAAAA"), content=_text(1, "快递三天没更新了"))
        contact_id = await _accepted(anna)
        assert (await anna.ask(type="typing", contact_id=contact_id))["ok"]
        reply = await anna.ask(type="message", contact_id=contact_id, text="马上为您查询")
        assert "queued" == reply["result"]["state"]
        assert (4, False) == tuple(reply["result"]["reply_budget"][each] for each in ("messages", "warning"))
        sent = await anna.event("message.sent")
        assert reply["result"]["id"] == sent["data"]["message_id"]
        expected = {"touser": "oAnna", "msgtype": "text", "text": {"content": "马上为您查询"}}
        assert [expected] == double.sent
        for _ in range(3):
            await anna.ask(type="message", contact_id=contact_id, text="…")
        contact = await client.call("GET", f"/v1/contacts/{contact_id}")
        assert (1, True) == tuple(contact["reply_budget"][each] for each in ("messages", "warning"))
        async with asyncio.timeout(30):
            while ("oAnna", "Typing") not in double.typed:
                await asyncio.sleep(0.05)
    assert 1 == len(double.token_calls), "one token for all of it"


async def test_what_must_be_secret_is_in_no_log_and_no_answer(
    client: Client, oa: str, double: WeChatDouble, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    contact_id = await _contact(client)
    for code in ([], [40001], [45015], [48001], [99999]):
        double.refuse[SEND] = code
        await _ended(client, (await _write(client, contact_id))["id"])
    await _put_account(client, double, "oa2", "wrong-secret")
    wrong = await _contact(client, account="oa2")
    assert "failed" == (await _ended(client, (await _write(client, wrong))["id"]))["state"]
    paths = ["/v1/channels", "/v1/channels/oa1", "/v1/configuration", "/v1/audit", "/v1/events?after=0&limit=1000"]
    paths += [f"/v1/contacts/{contact_id}{each}" for each in ("", "/messages", "/trace")]
    told = [json.dumps(await client.call("GET", each)) for each in paths]
    told += [
        each.getMessage() for each in caplog.records if each.name != "uvicorn.access"
    ]  # that is the stand-in's own
    told += capsys.readouterr()
    for secret in (*double.tokens, double.secret, "wrong-secret", "AAAAA"):
        assert not [each for each in told if secret in each], secret


async def test_a_customer_whose_window_closes_unanswered_goes_first(
    client: Client, oa: str, double: WeChatDouble
) -> None:
    services = client.services
    answered, unanswered, failed, fresh = [await _contact(client, f"o{each}") for each in range(4)]
    await _ended(client, (await _write(client, answered))["id"])
    double.refuse[SEND] = [45002]
    await _ended(client, (await _write(client, failed))["id"])
    connection = await asyncpg.connect(client.settings.database_url)
    try:
        old = int(services.clock.now_ms()) - 45 * 3_600_000
        ids = [answered, unanswered, failed]
        await connection.execute("UPDATE outgoing SET queued_at = $1", old + 1)
        await connection.execute("UPDATE messages SET at = $1 WHERE contact_id = ANY ($2)", old, ids)
        await connection.execute("UPDATE contacts SET created_at = $1 WHERE id = ANY ($2)", old, ids)
    finally:
        await connection.close()
    before = {each: await client.call("GET", f"/v1/contacts/{each}") for each in ids}
    assert before[unanswered]["reply_budget"]["warning"]
    did = {"kind": "event", "payload": {"event": "view"}}
    await client.call("POST", f"/v1/contacts/{unanswered}/messages", 201, json=did)
    for _ in range(2):
        await escalate_closing(services)
    after = {each: await client.call("GET", f"/v1/contacts/{each}") for each in (*ids, fresh)}
    assert [unanswered, failed] == [each for each, contact in after.items() if "escalated" in contact["flags"]]
    assert after[unanswered]["priority"] == before[unanswered]["priority"] + 600
    events = (await client.call("GET", "/v1/events?after=0&limit=200"))["items"]
    told = [each["data"] for each in events if each["type"] == "contact.escalated"]
    assert ["reply_window_closing"] * 2 == [each["reason"] for each in told]


@pytest.mark.parametrize(
    ("code", "reason", "trouble"),
    [
        (45015, "window_closed", False),
        (45047, "quota_used", False),
        (43004, "not_a_follower", False),
        (45002, "too_large", False),
        (40164, "address_not_allowed", True),
        (48001, "not_authorised", True),
    ],
)
async def test_what_wechat_refuses_has_failed_with_its_reason(
    client: Client, oa: str, double: WeChatDouble, code: int, reason: str, trouble: bool
) -> None:
    contact_id = await _contact(client)
    double.refuse[SEND] = [code]
    failed = await _ended(client, (await _write(client, contact_id))["id"])
    assert ("failed", reason) == (failed["state"], failed["reason"])
    events = (await client.call("GET", "/v1/events?after=0&limit=200"))["items"]
    told = [each["data"] for each in events if each["type"] == "channel.trouble"]
    assert ([{"name": "oa1", "reason": reason}] if trouble else []) == told
    left = (await client.call("GET", f"/v1/contacts/{contact_id}"))["reply_budget"]["messages"]
    assert (0 if reason in {"window_closed", "quota_used", "not_a_follower"} else 5) == left, "WeChat knows best"
    assert "sent" == (await _ended(client, (await _write(client, contact_id))["id"]))["state"]


async def test_what_passes_is_tried_again(client: Client, oa: str, double: WeChatDouble) -> None:
    contact_id = await _contact(client)
    double.refuse[SEND] = [-1, -1]
    assert "sent" == (await _ended(client, (await _write(client, contact_id))["id"]))["state"]
    assert 1 == len(double.sent)


async def test_a_token_that_was_revoked_is_renewed_by_force(client: Client, oa: str, double: WeChatDouble) -> None:
    contact_id = await _contact(client)
    await _ended(client, (await _write(client, contact_id))["id"])
    double.revoke()
    assert "sent" == (await _ended(client, (await _write(client, contact_id))["id"]))["state"]
    assert [False, False, True] == [each["force_refresh"] for each in double.token_calls]


async def test_a_secret_that_is_wrong_until_it_is_changed(client: Client, oa: str, double: WeChatDouble) -> None:
    await _put_account(client, double, "oa2", "wrong")
    contact_id = await _contact(client, account="oa2")
    failed = await _ended(client, (await _write(client, contact_id))["id"])
    assert "bad_credentials" == failed["reason"]
    await _put_account(client, double, "oa2", double.secret)
    assert "sent" == (await _ended(client, (await _write(client, contact_id))["id"]))["state"]


async def test_a_secret_that_is_changed_while_a_message_is_on_its_way_fails_nothing(
    client: Client, oa: str, double: WeChatDouble
) -> None:
    contact_id = await _contact(client)
    await _ended(client, (await _write(client, contact_id, "first"))["id"])
    double.delay_s = 2.0
    written = [(await _write(client, contact_id, each))["id"] for each in ("second", "third")]
    await asyncio.sleep(0.5)
    double.secret = "new-secret"
    double.revoke()
    await _put_account(client, double, "oa1", double.secret)
    double.delay_s = 0.0
    assert ["sent", "sent"] == [(await _ended(client, each))["state"] for each in written]
    assert ["first", "second", "third"] == [each["text"]["content"] for each in double.sent]


async def test_an_account_that_is_gone_or_switched_off_sends_nothing(
    client: Client, oa: str, double: WeChatDouble
) -> None:
    contact_id = await _contact(client)
    account = await client.call("GET", "/v1/channels/oa1")
    body = {each: account[each] for each in ("channel", "settings")} | {"enabled": False}
    await client.call("PUT", "/v1/channels/oa1", json=body)
    failed = await _ended(client, (await _write(client, contact_id))["id"])
    assert ("failed", "no_account") == (failed["state"], failed["reason"])
    assert not double.sent


async def test_processes_share_a_token_and_one_of_them_renews_it(database: str) -> None:
    stores = [await PostgresStore.open(database) for _ in range(3)]
    try:
        sealer = Sealer("key")
        ways = [each.tokens(sealer, asyncio.get_running_loop().time) for each in stores]
        asked: list[bool] = []

        async def fetch(force: bool) -> tuple[str, int]:
            asked.append(force)
            await asyncio.sleep(0.3)
            return f"token-{sum(asked)}", 7200

        found = await asyncio.gather(*(each.get("t", "oa", {"s": "x"}, fetch) for each in ways * 5))
        assert ({"token-0"}, [False]) == (set(found), asked)
        found = await asyncio.gather(*(each.get("t", "oa", {"s": "x"}, fetch, "token-0") for each in ways * 5))
        assert ({"token-1"}, [False, False, True]) == (set(found), asked[:3])
        assert 1 == asked.count(True), "one of them alone; to ask without force on a busy machine renews nothing"
        before = len(asked)
        assert "token-1" == await ways[0].get("t", "oa", {"s": "other"}, fetch)
        assert before + 1 == len(asked), "other credentials, another token"

        async def fails(force: bool) -> tuple[str, int]:
            raise ValueError("unreachable")

        for _ in range(2):  # at once, not when its time is over
            with pytest.raises(ValueError, match="unreachable"):
                await ways[1].get("t", "oa2", {}, fails)
        async with stores[0]._connection() as connection:
            kept = await connection.fetch("SELECT token FROM channel_tokens")
        assert not [each for each in kept if each[0] is not None and "token" in each[0]]
    finally:
        for each in stores:
            await each.close()


async def test_a_token_that_never_holds_is_renewed_less_and_less_often(database: str) -> None:
    store, now, asked = await PostgresStore.open(database), [0.0], list[float]()
    try:
        tokens = store.tokens(Sealer("key"), lambda: now[0])

        async def fetch(force: bool) -> tuple[str, int]:
            if force:
                asked.append(now[0])
            return f"token-{len(asked)}", 7200

        token = await tokens.get("t", "oa", {"s": "x"}, fetch)
        for now[0] in range(0, 10_000, 10):
            token = await tokens.get("t", "oa", {"s": "x"}, fetch, token)
        assert [0, 60, 180, 420, 900, 1860, 3780, 7620] == asked
        assert "token-8" == token
        await tokens.get("t", "oa", {"s": "other"}, fetch, token)
        assert 9 == len(asked), "other credentials: at once"
    finally:
        await store.close()


async def test_a_peer_that_takes_no_token_is_asked_for_few(client: Client, oa: str, double: WeChatDouble) -> None:
    contact_id = await _contact(client)
    double.refuse[SEND] = [40001] * 20
    for _ in range(5):
        failed = await _ended(client, (await _write(client, contact_id))["id"])
        assert ("failed", "bad_credentials") == (failed["state"], failed["reason"])
    assert [False, False, True] == [each["force_refresh"] for each in double.token_calls]
    double.refuse[SEND] = []
    assert "sent" == (await _ended(client, (await _write(client, contact_id))["id"]))["state"]


async def test_a_peer_that_trickles_does_not_keep_a_message_for_ever(
    client: Client, oa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CALL_S_MAX", 0.5)
    monkeypatch.setattr(sending, "BYTES_PER_S_MIN", 1 << 40)
    called = 0

    async def trickle(scope: Any, receive: Any, send: Any) -> None:
        nonlocal called
        called += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(OSError):
            while True:
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                await asyncio.sleep(0.05)

    async with serving(trickle) as url:
        slow = WeChatDouble(url=url)
        await _put_account(client, slow, "oa2", slow.secret)
        contact_id = await _contact(client, account="oa2")
        message = await _write(client, contact_id)
        async with asyncio.timeout(20):
            while called < 2:
                await asyncio.sleep(0.05)
        assert "queued" == (await client.call("GET", f"/v1/messages/{message['id']}"))["state"], "it is tried again"


async def test_a_client_that_nobody_here_wrote_finds_the_stand_in_like_wechat(double: WeChatDouble) -> None:
    """wechatpy, which was written against WeChat's own API."""

    def speak() -> None:
        client = wechatpy.WeChatClient(double.app_id, double.secret)
        client.API_BASE_URL = f"{double.url}/cgi-bin/"
        client.fetch_access_token = lambda: client._fetch_access_token(  # wechatpy names WeChat's host in it
            url=f"{double.url}/cgi-bin/token",
            params={"grant_type": "client_credential", "appid": double.app_id, "secret": double.secret},
        )
        client.message.API_BASE_URL = client.media.API_BASE_URL = f"{double.url}/cgi-bin/"
        client.message.send_text("oAnna", "您好")
        client.message.send_articles(
            "oAnna", [{"title": "t", "description": "d", "url": "http://e.example", "image": "http://e.example/p"}]
        )
        kept = client.media.upload("image", ("p.png", b"\x89PNG picture", "image/png"))
        client.message.send_image("oAnna", kept["media_id"])
        assert b"\x89PNG picture" == client.media.download(kept["media_id"]).content
        double.revoke()
        client.message.send_text("oAnna", "after the token was revoked")
        for code, expected in ((45015, WeChatClientException), (45009, APILimitedException)):
            double.refuse[SEND] = [code]
            with pytest.raises(expected) as refused:
                client.message.send_text("oAnna", "x")
            assert code == refused.value.errcode
        with pytest.raises(WeChatClientException) as unknown:
            client.message.send_text("nobody", "x")
        assert 40003 == unknown.value.errcode
        with contextlib.suppress(AttributeError):
            client._http.close()

    await asyncio.to_thread(speak)
    assert ["text", "news", "image", "text"] == [each["msgtype"] for each in double.sent]


async def test_a_merged_customers_budget_counts_what_it_wrote_before_the_follow_up(
    client: Client, oa: str, double: WeChatDouble
) -> None:
    await client.agent("anna", channels={**CHATS, "mail": {"cost": 25, "max": 4}})
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    chat = await client.call("GET", f"/v1/contacts/{await _contact(client)}")
    mail = await client.contact("m-1", channel="mail", identity={"type": "email", "value": "a@b.example"})
    await client.call("POST", f"/v1/customers/{mail['customer_id']}/merge", json={"customer_id": chat["customer_id"]})
    await client.call("POST", f"/v1/contacts/{chat['id']}/cancel")
    asked = {"channel": "wechat", "account": "oa1", "agent_id": "anna"}
    back = await client.call("POST", f"/v1/contacts/{mail['id']}/follow-up", 201, json=asked)
    left = (await _write(client, back["id"]))["reply_budget"]
    assert (4, False) == (left["messages"], left["warning"])
