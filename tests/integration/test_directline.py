"""Direct Line 3.0: what `botframework-directlinejs` asks, as it was captured, is answered as it expects."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from src.api.webchat.pace import Pace
from tests.support.service import Client
from tests.support.visitor import website

CAPTURE: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "directline_js_capture.json").read_text("utf-8")
)
SECRET = "a direct line secret"
CHATS = {"webchat": {"cost": 25, "max": 4}}


class Bot:
    """A client that asks as the captured one did."""

    def __init__(self, http: httpx.AsyncClient, address: str, token: str) -> None:
        self.http, self.address, self.token = http, address, token

    async def ask(self, captured: dict[str, Any], replaced: dict[str, str]) -> Any:
        """Repeat a captured request, with this service's ids and tokens in place of those."""
        path = captured["url"].removeprefix("/v3/directline")
        for theirs, ours in replaced.items():
            path = path.replace(theirs, ours)
        headers = {**captured["headers"], "authorization": f"Bearer {self.token}"}
        headers.pop("content-length", None)
        body = captured.get("body")
        content = None if body is None else json.dumps(body).encode()
        answer = await self.http.request(captured["method"], self.address + path, headers=headers, content=content)
        assert answer.status_code == captured["response"]["status"], answer.text
        assert captured["response"]["body"].keys() <= answer.json().keys()
        return answer.json()


async def activities(socket: Any, number: int) -> tuple[list[dict[str, Any]], str]:
    """So many activities, and the last watermark; empty frames are passed over."""
    found: list[dict[str, Any]] = []
    watermark = ""
    async with asyncio.timeout(30):
        while len(found) < number:
            text = await socket.recv()
            if text:
                frame = json.loads(text)
                found += frame["activities"]
                watermark = frame["watermark"]
    return found, watermark


async def test_the_captured_client_is_served_through_a_dropped_socket(client: Client) -> None:
    browser = await website(client, secrets={"directline_secret": SECRET})
    await client.agent("anna", name="Anna", skills={}, channels=CHATS)
    address = f"{browser.address}/directline"
    secret = {"authorization": f"Bearer {SECRET}"}
    made = await browser.http.post("/directline/tokens/generate", headers=secret, json={"user": {"id": "dl_visitor1"}})
    assert 200 == made.status_code, made.text
    bot = Bot(browser.http, address, made.json()["token"])
    begun, say, typing, back = (each for each in CAPTURE if "method" in each)
    conversation = await bot.ask(begun, {})
    assert made.json()["conversationId"] == conversation["conversationId"]
    ours = {"c1": conversation["conversationId"]}
    bot.token = conversation["token"]
    async with client.desktop("anna", status="available") as anna:
        async with websockets.connect(conversation["streamUrl"]) as stream:
            said = await bot.ask(say, ours)
            [echo], watermark = await activities(stream, 1)
            assert (said["id"], "我要退款", "user") == (echo["id"], echo["text"], echo["from"]["role"])
            offered = (await anna.event("contact.offered"))["data"]
            assert ("zh-CN", "web_user") == (offered["contact"]["language"], offered["contact"]["identity"]["type"])
            await anna.ask(type="accept", assignment_id=offered["assignment_id"])
            await asyncio.sleep(0.3)
            await bot.ask(typing, ours)
            while (await anna.frame())["type"] != "typing":
                pass
        contact_id = offered["contact"]["id"]
        await anna.ask(type="message", contact_id=contact_id, text="您好")
        menu = {"options": [{"id": "1", "text": "退款"}]}
        await anna.ask(type="message", contact_id=contact_id, kind="menu", text="选择", payload=menu)
        again = await bot.ask({**back, "url": f"/v3/directline/conversations/c1?watermark={watermark}"}, ours)
        async with websockets.connect(again["streamUrl"]) as stream:
            heard, _ = await activities(stream, 2)
            assert [("您好", "bot"), ("选择", "bot")] == [(each["text"], each["from"]["role"]) for each in heard]
            assert [{"type": "imBack", "title": "退款", "value": "退款"}] == heard[1]["suggestedActions"]["actions"]
            await anna.ask(type="typing", contact_id=contact_id)
            assert "typing" == (await activities(stream, 1))[0][0]["type"]
        whole = await browser.http.get(
            f"{address}/conversations/{ours['c1']}/activities", headers=bearer(again["token"])
        )
        assert ["我要退款", "您好", "选择"] == [each["text"] for each in whole.json()["activities"]]
    end = {"type": "endOfConversation", "from": {"id": "dl_visitor1"}}
    await browser.http.post(
        f"{address}/conversations/{ours['c1']}/activities", headers=bearer(again["token"]), json=end
    )
    assert "customer_left" == (await client.call("GET", f"/v1/contacts/{contact_id}"))["outcome"]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_what_is_sent_twice_is_kept_once(client: Client) -> None:
    browser = await website(client, secrets={"directline_secret": SECRET})
    begun = (await browser.http.post("/directline/conversations", headers=bearer(SECRET))).json()
    path = f"/directline/conversations/{begun['conversationId']}/activities"
    activity = {"type": "message", "text": "hello", "channelData": {"clientActivityID": "1690.abc.0"}}
    ids = [
        (await browser.http.post(path, headers=bearer(begun["token"]), json=activity)).json()["id"] for _ in range(2)
    ]
    found = (await browser.http.get(path, headers=bearer(begun["token"]))).json()
    [echo] = found["activities"]
    assert [echo["id"]] * 2 == ids
    assert {"clientActivityID": "1690.abc.0"} == echo["channelData"]
    rest = await browser.http.get(f"{path}?watermark={found['watermark']}", headers=bearer(begun["token"]))
    assert [] == rest.json()["activities"]


async def test_strangers_are_refused(client: Client) -> None:
    browser = await website(client)
    assert 401 == (await browser.http.post("/directline/tokens/generate", headers=bearer(SECRET))).status_code
    own = await website(client, secrets={"directline_secret": SECRET})
    for path in ("/directline/tokens/generate", "/directline/conversations"):
        for credential in ("x", SECRET + "x", browser.token[:-1] + "x"):
            assert 401 == (await own.http.post(path, headers=bearer(credential))).status_code
    one = (await own.http.post("/directline/conversations", headers=bearer(SECRET))).json()
    other = (await own.http.post("/directline/conversations", headers=bearer(SECRET))).json()
    path = f"/directline/conversations/{one['conversationId']}"
    for answer in (
        await own.http.get(path, headers=bearer(other["token"])),
        await own.http.post(
            f"{path}/activities", headers=bearer(other["token"]), json={"type": "message", "text": "x"}
        ),
    ):
        assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    junks: list[Any] = [{"type": "message"}, {"type": "message", "text": " "}, {}, [], {"type": 7}]
    for junk in junks:
        answer = await own.http.post(f"{path}/activities", headers=bearer(one["token"]), json=junk)
        assert (422, "malformed") == (answer.status_code, answer.json()["code"])
    assert 422 == (await own.http.get(f"{path}/activities?watermark=x", headers=bearer(one["token"]))).status_code
    with pytest.raises(websockets.InvalidStatus) as denied:
        await websockets.connect(one["streamUrl"].replace("t=", "t=x"))
    assert 401 == denied.value.response.status_code
    renewed = await own.http.post("/directline/tokens/refresh", headers=bearer(one["token"]))
    assert one["conversationId"] == renewed.json()["conversationId"]


async def test_ids_and_watermarks_that_nobody_gave(client: Client) -> None:
    browser = await website(client, secrets={"directline_secret": SECRET})
    made = await browser.http.post("/directline/conversations", headers={"authorization": f"Bearer {SECRET}"})
    begun = made.json()
    path = f"/directline/conversations/{begun['conversationId']}/activities"
    headers = {"authorization": f"Bearer {begun['token']}", "content-type": "application/json"}
    for text, name in (("one", rb"\ud800"), ("two", rb"\u0000"), ("three", b"x" * 9_000)):
        body = b'{"type": "message", "text": "%s", "channelData": {"clientActivityID": "%s"}}' % (text.encode(), name)
        assert 200 == (await browser.http.post(path, headers=headers, content=body)).status_code
    said = (await browser.http.get(path, headers=headers)).json()["activities"]
    assert ["one", "two", "three"] == [each["text"] for each in said]
    for watermark in ("9" * 17, "9" * 5_000):
        read = await browser.http.get(path, headers=headers, params={"watermark": watermark})
        assert (422, "malformed") == (read.status_code, read.json()["code"])
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{begun['streamUrl']}&watermark={watermark}")
        assert 422 == refused.value.response.status_code


async def test_whoever_asks_all_the_time_is_slowed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await website(client, secrets={"directline_secret": SECRET})
    monkeypatch.setattr(browser.services.paces, "reads", Pace(browser.services.clock, 3, 0.1))
    made = await browser.http.post("/directline/conversations", headers={"authorization": f"Bearer {SECRET}"})
    begun = made.json()
    headers = {"authorization": f"Bearer {begun['token']}"}
    paths = ("/conversation", f"/directline/conversations/{begun['conversationId']}/activities")
    answers = [await browser.http.get(paths[each % 2], headers=headers) for each in range(5)]
    assert [200, 200, 200, 429, 429] == [each.status_code for each in answers]
    assert ("too_fast", True) == (answers[3].json()["code"], "retry-after" in answers[3].headers)
