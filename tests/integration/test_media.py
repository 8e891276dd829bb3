"""Files in both directions: handed in over REST, fetched from WeChat, opened by those who may."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from src.dispatch import fetching
from src.dispatch.media import MEDIA_BYTES_MAX
from tests.support.service import Client
from tests.support.wechat import WeChatDouble, wechat_double

PNG = b"\x89PNG\r\n\x1a\n picture"
CHATS = {"wechat": {"cost": 25, "max": 4}, "email": {"cost": 25, "max": 4}}


@pytest.fixture
async def double() -> AsyncIterator[WeChatDouble]:
    async with wechat_double() as found:
        yield found


@pytest.fixture
async def oa(client: Client, double: WeChatDouble) -> str:
    body = {
        "channel": "wechat",
        "settings": {"app_id": double.app_id, "api_base_url": double.url},
        "secrets": {"token": "AAAAA", "app_secret": double.secret},
    }
    await client.call("PUT", "/v1/channels/oa1", json=body)
    await client.agent("anna", channels=CHATS)
    return "/channels/wechat/oa1"


def _push(kind: str, number: int, media_id: str) -> str:
    return (
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oAnna</FromUserName><CreateTime>1700000000</CreateTime>"
        f"<MsgType>{kind}</MsgType><MediaId>{media_id}</MediaId><MsgId>{number}</MsgId></xml>"
    )


async def _pushed(client: Client, oa: str, kind: str, number: int, media_id: str) -> None:
    from tests.integration.test_native_channels import _signed  # noqa: PLC0415

    answer = await client.http.post(oa, params=_signed("AAAAA"), content=_push(kind, number, media_id))
    assert "success" == answer.text


async def _about(client: Client, media_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            about = dict(await client.call("GET", f"/v1/media/{media_id}/about"))
            if about["state"] != "wanted":
                return about
            await asyncio.sleep(0.05)


async def _customers_media(client: Client) -> tuple[str, list[str]]:
    contact = (await client.call("GET", "/v1/contacts"))["items"][0]
    said = (await client.call("GET", f"/v1/contacts/{contact['id']}/messages"))["items"]
    return contact["id"], [each["payload"]["media_id"] for each in said]


async def test_a_picture_is_fetched_and_opened_after_wechat_has_dropped_it(
    client: Client, oa: str, double: WeChatDouble
) -> None:
    theirs = double.keep("image", PNG, "image/png")
    async with client.desktop("anna", status="available") as anna:
        await _pushed(client, oa, "image", 1, theirs)
        kept = await anna.event("media.kept")
        _, (media_id,) = await _customers_media(client)
        assert {"media_id": media_id, "media_type": "image/png", "bytes": len(PNG)} == kept["data"]
    double.media.clear()
    opened = await client.http.get(f"/v1/media/{media_id}")
    assert (200, PNG, "image/png") == (opened.status_code, opened.content, opened.headers["content-type"])
    assert opened.headers["content-disposition"].startswith("inline;")
    assert ("nosniff", "default-src 'none'; sandbox") == (
        opened.headers["x-content-type-options"],
        opened.headers["content-security-policy"],
    )


async def test_what_cannot_be_had_or_is_not_what_it_says(client: Client, oa: str, double: WeChatDouble) -> None:
    await _pushed(client, oa, "image", 1, "expired")
    await _pushed(client, oa, "image", 2, double.keep("image", b"MZ program", "image/png"))
    await _pushed(client, oa, "voice", 3, double.keep("voice", b"<script>", "audio/amr"))
    _, ids = await _customers_media(client)
    reasons = [(await _about(client, each))["reason"] for each in ids]
    assert ["bad_media", "not_accepted", "not_accepted"] == reasons
    await client.call("GET", f"/v1/media/{ids[0]}", 404)
    double.refuse["/cgi-bin/media/get"] = [-1]
    await _pushed(client, oa, "voice", 4, double.keep("voice", b"#!AMR\n voice", "audio/amr"))
    _, ids = await _customers_media(client)
    about = await _about(client, ids[3])
    assert ("kept", "audio/amr") == (about["state"], about["media_type"])


async def test_a_picture_that_an_account_in_trouble_does_not_get_is_fetched_once_somebody_has_seen_to_it(
    client: Client, oa: str, double: WeChatDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TROUBLED_S", 0.1)
    double.refuse["/cgi-bin/media/get"] = [40164, 40164]
    await _pushed(client, oa, "image", 1, double.keep("image", PNG, "image/png"))
    _, (media_id,) = await _customers_media(client)
    about = await _about(client, media_id)
    assert ("kept", "image/png") == (about["state"], about["media_type"])
    told = (await client.call("GET", "/v1/events?after=0&limit=1000"))["items"]
    troubles = [each["data"] for each in told if each["type"] == "channel.trouble"]
    assert [("oa1", "address_not_allowed")] == [(each["name"], each["reason"]) for each in troubles], "once"


async def test_an_agent_sends_a_picture(client: Client, oa: str, double: WeChatDouble) -> None:
    theirs = double.keep("image", PNG, "image/png")
    await _pushed(client, oa, "image", 1, theirs)
    contact_id, _ = await _customers_media(client)
    posted = await client.http.post(
        "/v1/media", params={"contact_id": contact_id, "name": "../回执.png"}, content=PNG + b"2"
    )
    assert 201 == posted.status_code, posted.text
    assert ("回执.png", "image/png", "kept") == tuple(posted.json()[each] for each in ("name", "media_type", "state"))
    media_id = posted.json()["id"]
    path = f"/v1/contacts/{contact_id}/messages"
    picture = {"from": "agent", "kind": "image", "payload": {"media_id": media_id}}
    sent = await client.call("POST", path, 201, json=picture)
    async with asyncio.timeout(30):
        while not double.sent:
            await asyncio.sleep(0.05)
    uploaded = double.media[double.sent[0]["image"]["media_id"]]
    assert ("image", "image/png", PNG + b"2") == uploaded
    assert "image" == sent["kind"]
    for wrong in ({**picture, "kind": "voice"}, {**picture, "payload": {"media_id": "none"}}):
        assert "payload.media_id" == (await client.call("POST", path, 422, json=wrong))["field"]
    other = await client.contact("mail", channel="email")
    await client.call("POST", f"/v1/contacts/{other['id']}/messages", 422, json=picture)


async def test_who_may_open_and_hand_in(client: Client) -> None:
    for agent in ("anna", "ben"):
        await client.agent(agent, channels=CHATS)
    async with client.desktop("anna", status="available") as anna:
        await client.contact("mail", channel="email")
        offered = (await anna.event("contact.offered"))["data"]
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        contact_id = offered["contact"]["id"]
    tokens = {each: {"authorization": f"Bearer {await client.token(each)}"} for each in ("anna", "ben")}
    query = {"contact_id": contact_id}
    own = await client.http.post("/v1/media", params=query, content=b"%PDF-1.7 x", headers=tokens["anna"])
    assert 201 == own.status_code, own.text
    media_id = own.json()["id"]
    assert 403 == (await client.http.post("/v1/media", params=query, content=PNG, headers=tokens["ben"])).status_code
    opened = await client.http.get(f"/v1/media/{media_id}", headers=tokens["anna"])
    assert opened.headers["content-disposition"].startswith("attachment;")
    assert 403 == (await client.http.get(f"/v1/media/{media_id}", headers=tokens["ben"])).status_code
    await client.call("GET", "/v1/media/none", 404)
    for body, status in ((b"", 422), (b"MZ", 422), (b"x" * (MEDIA_BYTES_MAX + 1), 413), (b"x" * 5_000_000, 201)):
        answer = await client.http.post("/v1/media", params=query, content=body)
        assert status == answer.status_code, answer.text[:200]
    await client.call("POST", f"/v1/contacts/{contact_id}/cancel", json={})
    await client.call("POST", f"/v1/contacts/{contact_id}/cancel", json={})
