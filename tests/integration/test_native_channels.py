"""Real input through the native endpoints: official and captured pushes become contacts and reach an agent."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import websockets
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.service import Client

FIXTURES = Path(__file__).parent.parent / "fixtures"
VECTORS = json.loads((FIXTURES / "wechat_vectors.json").read_text("utf-8"))
CAPTURE = json.loads((FIXTURES / "asterisk22_ari_capture.json").read_text("utf-8"))
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
CHATS = {"wechat": {"cost": 25, "max": 4}, "voice": {"cost": 100, "max": 1}}


def _signed(token: str, *more: str, at: int | None = None) -> dict[str, str]:
    timestamp, nonce = str(int(time.time()) if at is None else at), "4711"
    digest = hashlib.sha1("".join(sorted([token, timestamp, nonce, *more])).encode()).hexdigest()
    return {"signature": digest, "timestamp": timestamp, "nonce": nonce}


def _text(msg_id: int, text: str, openid: str = "oAnna") -> str:
    return (
        f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{text}]]></Content><MsgId>{msg_id}</MsgId></xml>"
    )


@pytest.fixture
async def oa(client: Client) -> str:
    """An Official Account with a key, and the logistics tag."""
    body = {
        "channel": "wechat",
        "settings": {"app_id": "wx1"},
        "secrets": {"token": "AAAAA", "encoding_aes_key": AES_KEY},
    }
    put = await client.call("PUT", "/v1/channels/oa1", json=body)
    assert ["encoding_aes_key", "token"] == put["secrets"]
    assert "AAAAA" not in json.dumps(put)
    await client.call("PUT", "/v1/tags/logistics", json={"keywords": {"zh": ["快递"]}})
    await client.agent("anna", skills={"logistics": 80}, channels=CHATS)
    return str(put["address"])


async def test_a_wechat_message_reaches_the_agent_who_can_help(client: Client, oa: str) -> None:
    async with client.desktop("anna", status="available") as anna:
        push = await client.http.post(oa, params=_signed("AAAAA"), content=_text(1, "快递三天没更新了"))
        assert (200, "success") == (push.status_code, push.text)
        offered = (await anna.event("contact.offered"))["data"]
        assert ("wechat", "oa1", "快递三天没更新了") == tuple(
            offered["contact"][name] for name in ("channel", "account", "text")
        )
        assert ["logistics"] == offered["contact"]["tags"]
        again = await client.http.post(oa, params=_signed("AAAAA"), content=_text(1, "快递三天没更新了"))
        assert "success" == again.text
        await client.http.post(oa, params=_signed("AAAAA"), content=_text(2, "在吗"))
        assert "在吗" == (await anna.event("message.received"))["data"]["message"]["text"]
        contact_id = offered["contact"]["id"]
        said = (await client.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
        assert ["快递三天没更新了", "在吗"] == [each["text"] for each in said]
        assert 1 == len((await client.call("GET", "/v1/contacts"))["items"])


async def test_a_push_in_safe_mode(client: Client, oa: str) -> None:
    encrypted = crypto_encrypt(_text(7, "我的快递"), "wx1")
    query = _signed("AAAAA") | {"encrypt_type": "aes", "openid": "oAnna"}
    signed = _signed("AAAAA", encrypted)
    query |= {"msg_signature": signed["signature"]}
    body = f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    push = await client.http.post(oa, params=query, content=body)
    assert (200, "success") == (push.status_code, push.text)
    assert ["我的快递"] == [each["text"] for each in (await client.call("GET", "/v1/contacts"))["items"]]


def crypto_encrypt(text: str, app_id: str) -> str:
    """Encrypt as WeChat does: 16 random bytes, length, text, app id; PKCS7 to 32; AES-256-CBC."""
    key = base64.b64decode(AES_KEY + "=")
    plain = b"0123456789abcdef" + len(text.encode()).to_bytes(4, "big") + text.encode() + app_id.encode()
    pad = 32 - len(plain) % 32
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()


async def test_the_official_vectors_over_http(client: Client) -> None:
    for name in ("safe_json", "safe_xml"):
        vector = VECTORS[name]
        secrets = {"token": vector["token"], "encoding_aes_key": vector["encoding_aes_key"]}
        body = {"channel": "wechat", "settings": {"app_id": vector["appid"]}, "secrets": secrets}
        address = (await client.call("PUT", f"/v1/channels/{name}", json=body))["address"]
        if name == "safe_json":
            content = json.dumps(vector["body"])
        else:
            content = f"<xml><ToUserName>gh_97417a04a28d</ToUserName><Encrypt>{vector['encrypt']}</Encrypt></xml>"
        push = await client.http.post(address, params=vector["query"], content=content)
        assert (200, "success") == (push.status_code, push.text), name
    check = {each: value for each, value in VECTORS["get_verify"].items() if each != "token"}
    verified = await client.http.get(address, params=check)
    assert (200, check["echostr"]) == (verified.status_code, verified.text)
    assert verified.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ({"signature": "0" * 40, "timestamp": "1", "nonce": "1"}, _text(1, "x"), 401, "bad_signature"),
        ({}, _text(1, "x"), 401, "bad_signature"),
        (_signed("AAAAA", at=1_600_000_000), _text(1, "x"), 401, "stale_timestamp"),
        (_signed("AAAAA"), "no xml", 422, "malformed"),
        (
            _signed("AAAAA"),
            '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><xml><MsgType>&b;</MsgType></xml>',
            422,
            "malformed",
        ),
        (_signed("AAAAA"), '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml>&a;</xml>', 422, "malformed"),
        (_signed("AAAAA"), "[" * 100_000, 422, "malformed"),
        (_signed("AAAAA"), b"\xff\xfe", 422, "malformed"),
        (_signed("AAAAA"), b"x" * (10 * 1024 * 1024), 413, "body_too_large"),
    ],
)
async def test_hostile_pushes_are_refused_and_leave_nothing(
    client: Client, oa: str, query: dict[str, str], content: Any, status: int, code: str
) -> None:
    before = (await client.call("GET", "/v1/events?limit=1000"))["last_seq"]
    answer = await client.http.post(oa, params=query, content=content)
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert code == answer.json()["code"]
    assert before == (await client.call("GET", "/v1/events?limit=1000"))["last_seq"]


async def test_a_captured_asterisk_call_reaches_an_agent_and_ends_with_the_hang_up(client: Client) -> None:
    body = {
        "channel": "voice",
        "settings": {"username": "ast", "default_region": "CN"},
        "secrets": {"password": "astpw-astpw"},
    }
    address = (await client.call("PUT", "/v1/channels/pbx1", json=body))["address"]
    url = client.url.replace("http", "ws") + address + "/ari"
    await client.agent("anna", channels=CHATS)
    async with client.desktop("anna", status="available") as anna, _dialled(url, "ast", "astpw-astpw") as asterisk:
        assert "ari" == asterisk.subprotocol
        hangup = next(n for n, each in enumerate(CAPTURE["events"]) if each["type"] == "ChannelHangupRequest")
        await _play(asterisk, CAPTURE["events"][:hangup])
        offered = (await anna.event("contact.offered"))["data"]
        assert {"type": "phone", "value": "+*********8000"} == offered["contact"]["identity"]
        assert "Zhang San" == offered["customer"]["display_name"]
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        await _play(asterisk, CAPTURE["events"][hangup:])
        await anna.event("assignment.completed")
    contacts = (await client.call("GET", "/v1/contacts"))["items"]
    assert [("closed", "customer_left")] == [(each["state"], each["outcome"]) for each in contacts]


async def test_asterisk_with_a_wrong_password_is_refused_before_the_upgrade(client: Client) -> None:
    body = {"channel": "voice", "settings": {"username": "ast"}, "secrets": {"password": "astpw-astpw"}}
    address = (await client.call("PUT", "/v1/channels/pbx1", json=body))["address"]
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with _dialled(client.url.replace("http", "ws") + address + "/ari", "ast", "wrong"):
            pass
    assert 401 == refused.value.response.status_code


def _dialled(url: str, user: str, password: str) -> Any:
    credential = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credential}"}
    return websockets.connect(url, subprotocols=[websockets.Subprotocol("ari")], additional_headers=headers)


async def _play(socket: Any, events: Sequence[dict[str, Any]]) -> None:
    for each in events:
        await socket.send(json.dumps(each))


async def test_an_account_name_is_unique_in_the_service_and_a_bad_account_is_refused(client: Client) -> None:
    missing = await client.call("PUT", "/v1/channels/oa2", 422, json={"channel": "wechat"})
    assert "malformed" == missing["code"]
    unknown = await client.call("PUT", "/v1/channels/oa2", 422, json={"channel": "pigeon"})
    assert "voice" in unknown["detail"]
    assert 404 == (await client.http.get("/channels/wechat/nobody")).status_code


async def test_a_push_that_a_slow_database_holds_up_is_taken_once(client: Client, oa: str) -> None:
    """WeChat cuts the connection after 5 s (half of one here) and repeats the push three times."""
    body = _text(77, "我的快递")
    connection = await asyncpg.connect(client.settings.database_url)
    try:
        lock = connection.transaction()
        await lock.start()
        await connection.execute("LOCK TABLE messages, contacts IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                await client.http.post(oa, params=_signed("AAAAA"), content=body, timeout=0.5)
        last = asyncio.create_task(client.http.post(oa, params=_signed("AAAAA"), content=body, timeout=10))
        await asyncio.sleep(0.2)
        await lock.rollback()
        answers = [await last, await client.http.post(oa, params=_signed("AAAAA"), content=body)]
    finally:
        await connection.close()
    assert [(200, "success")] * 2 == [(each.status_code, each.text) for each in answers]
    (contact,) = (await client.call("GET", "/v1/contacts"))["items"]
    said = (await client.call("GET", f"/v1/contacts/{contact['id']}/messages"))["items"]
    assert ["我的快递"] == [each["text"] for each in said]
