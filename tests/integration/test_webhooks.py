"""Webhooks from outside: configured over REST, verified by Standard Webhooks' own library, never led inward."""

import asyncio
import json
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from src.dispatch import signatures, webhooks
from tests.support.service import Client, running

LOOPBACK = "127.0.0.1/32"


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """Somebody's receiver on a port of its own: `answer` gives the status line (and headers) for an event."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.answer: Callable[[dict[str, Any]], str] = lambda _: "204 No Content"
        self.delay_s: Callable[[dict[str, Any]], float] = lambda _: 0.0
        self.port = 0

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (each.partition(": ") for each in head[1:] if each)
                }
                posted = Posted(headers, await reader.readexactly(int(headers["content-length"])))
                await asyncio.sleep(self.delay_s(posted.event))
                self.posted.append(posted)
                writer.write(f"HTTP/1.1 {self.answer(posted.event)}\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def until(self, enough: Callable[[list[Posted]], bool], timeout_s: float = 30.0) -> list[Posted]:
        async with asyncio.timeout(timeout_s):
            while not enough(self.posted):
                await asyncio.sleep(0.02)
        return self.posted

    def types(self) -> list[str]:
        return [each.event["type"] for each in self.posted]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().listening() as found:
        yield found


@pytest.fixture
async def inward(database: str, tmp_path: Path) -> AsyncIterator[Client]:
    """The service, allowed to post to this machine."""
    async with running(database, tmp_path, webhook_networks=LOOPBACK) as found:
        yield found


async def _hook(client: Client, receiver: Receiver, **body: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{receiver.port}/in"
    return dict(await client.call("PUT", "/v1/webhooks/crm", json={"url": url, **body}))


async def test_what_is_posted_is_the_streams_event_signed_by_the_standard(inward: Client, receiver: Receiver) -> None:
    made = await _hook(inward, receiver)
    assert made["secret"].startswith("whsec_")
    assert "secret" not in await _hook(inward, receiver), "it is told once"
    assert made["secret"] not in json.dumps(await inward.call("GET", "/v1/webhooks"))
    await inward.agent("anna")
    async with inward.desktop("anna", status="available") as anna:
        contact = await inward.contact("call-1", text="hello")
        await anna.event("contact.offered")
    posted = await receiver.until(lambda all_: "contact.offered" in [each.event["type"] for each in all_])
    verify = Webhook(made["secret"])
    for each in posted:
        assert verify.verify(each.body, each.headers) == each.event
        assert each.headers["webhook-id"] == each.event["id"]
    with pytest.raises(WebhookVerificationError):
        verify.verify(posted[0].body + b" ", posted[0].headers)
    (told,) = [each.event for each in posted if each.event["type"] == "contact.offered"]
    assert contact["id"] == told["contact_id"]
    journal = (await inward.call("GET", "/v1/events", params={"limit": 1000}))["items"]
    (offered,) = [each for each in journal if each["type"] == "contact.offered"]
    for either in (told, offered):
        for varies in ("expires_in_ms", "contact"):
            either["data"].pop(varies)
    assert told == offered, "one encoding on every way out"
    start = next(each["seq"] for each in journal if each["type"] == "webhook.updated")
    expected = [each["seq"] for each in journal if each["seq"] > start]
    await receiver.until(lambda all_: {each.event["seq"] for each in all_} >= set(expected))
    assert expected == sorted(each.event["seq"] for each in receiver.posted), "each once, none missing"


async def test_a_secret_is_rotated_while_the_receiver_still_knows_the_old_one(
    inward: Client, receiver: Receiver
) -> None:
    own = signatures.new_secret()
    made = await _hook(inward, receiver, secret=own, types=["contact.received"])
    assert "secret" not in made, "whoever gave it knows it"
    asked = {"headers": {"idempotency-key": "r1"}, "json": {"overlap_s": 3600}}
    rotated = await inward.call("POST", "/v1/webhooks/crm/rotate", **asked)
    assert rotated == await inward.call("POST", "/v1/webhooks/crm/rotate", **asked), "a repeat is the same"
    await inward.contact("c1")
    (both,) = await receiver.until(lambda all_: len(all_) == 1)
    for secret in (own, rotated["secret"]):
        Webhook(secret).verify(both.body, both.headers)
    await inward.call("POST", "/v1/webhooks/crm/rotate", json={"overlap_s": 0})
    await inward.contact("c2")
    _, one = await receiver.until(lambda all_: len(all_) == 2)
    assert 1 == len(one.headers["webhook-signature"].split(" "))
    with pytest.raises(WebhookVerificationError):
        Webhook(own).verify(one.body, one.headers)


async def test_nothing_personal_goes_to_one_that_is_not_to_have_it(inward: Client, receiver: Receiver) -> None:
    await _hook(inward, receiver, personal=False)
    key = await inward.call("POST", "/v1/keys", json={"name": "k", "scopes": ["config:write"]})
    bare = Client(inward.url, key["key"])
    inward.others.append(bare.http)
    body = {"url": "https://example.com/"}
    assert not (await bare.call("PUT", "/v1/webhooks/other", json=body))["personal"]
    await bare.call("PUT", "/v1/webhooks/other", 403, json={**body, "personal": True})
    await inward.agent("anna")
    async with inward.desktop("anna", status="available"):
        await inward.contact("call-1", text="a private story")
        posted = await receiver.until(lambda all_: "contact.offered" in [each.event["type"] for each in all_])
    assert b"13800138000" not in b"".join(each.body for each in posted)


async def test_a_slow_one_and_a_failing_contact_hold_back_nobody_else(
    inward: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DELAYS_S", (1.5,))
    await _hook(inward, receiver, types=["contact.received"])
    async with Receiver().listening() as slow:
        slow.delay_s = lambda _: 3.0
        url = f"http://127.0.0.1:{slow.port}/in"
        await inward.call("PUT", "/v1/webhooks/slow", json={"url": url, "types": ["contact.received"]})
        bad = await inward.contact("bad", identity={"type": "phone", "value": "+8613800138001"})
        await receiver.until(lambda all_: len(all_) == 1)
        receiver.answer = lambda event: "500 No" if event["contact_id"] == bad["id"] else "200 OK"
        await _hook(inward, receiver, types=["contact.received", "contact.escalated"])
        await inward.call("POST", f"/v1/contacts/{bad['id']}/escalate", json={"reason": "loud"})
        for each in range(10):
            await inward.contact(f"c{each}")
        await receiver.until(
            lambda all_: len([each for each in all_ if each.event["contact_id"] != bad["id"]]) == 10, 3
        )
        assert slow.posted == []
    await _settled(inward, "pending", 1)
    (waits,) = (await inward.call("GET", "/v1/webhooks/crm/deliveries", params={"state": "pending"}))["items"]
    assert waits["reason"] == "http_500"
    shown = await inward.call("GET", "/v1/webhooks/crm")
    assert shown["delivered_to"] > waits["seq"]
    text = (await inward.http.get("/metrics")).text
    lag = next(line for line in text.splitlines() if line.startswith("cordboard_webhook_lag_seconds"))
    assert float(lag.split()[1]) > 0
    receiver.answer = lambda _: "200 OK"
    await receiver.until(lambda all_: [each.event["seq"] for each in all_].count(waits["seq"]) == 2)
    await _settled(inward, "pending", 0)


async def _settled(client: Client, state: str, number: int) -> None:
    async with asyncio.timeout(30):
        while True:
            found = await client.call("GET", "/v1/webhooks/crm/deliveries", params={"state": state})
            if len(found["items"]) == number:
                return
            await asyncio.sleep(0.05)


async def test_gone_switches_it_off_which_is_told(inward: Client, receiver: Receiver) -> None:
    receiver.answer = lambda _: "410 Gone"
    await _hook(inward, receiver)
    await inward.contact("c1")
    async with asyncio.timeout(30):
        while (await inward.call("GET", "/v1/webhooks/crm"))["enabled"]:
            await asyncio.sleep(0.05)
    events = (await inward.call("GET", "/v1/events", params={"limit": 1000}))["items"]
    assert {"name": "crm", "reason": "gone"} in [each["data"] for each in events]
    await inward.call("POST", "/v1/webhooks/crm/replay", 409)


async def test_inward_it_is_never_led(database: str, tmp_path: Path, receiver: Receiver) -> None:
    async with running(database, tmp_path, webhook_networks="127.0.0.2/32") as client:

        async def hook(host: str) -> None:
            body = {"url": f"http://{host}:{receiver.port}/in", "types": ["contact.received"]}
            await client.call("PUT", "/v1/webhooks/crm", json=body)

        for number, host in enumerate(
            ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "[64:ff9b:1::7f00:1]")
        ):
            await hook(host)
            await client.contact(f"c{number}")
            async with asyncio.timeout(30):
                while (failing := (await client.call("GET", "/v1/webhooks/crm"))["failing"]) is None:
                    await asyncio.sleep(0.05)
            assert "forbidden_address" == failing, f"{host} is known for what it is, and not merely found silent"
            await client.call("DELETE", "/v1/webhooks/crm", 204)
        assert [] == receiver.posted

        async with Receiver().listening() as outside:
            outside.answer = lambda _: f"302 Found\r\nlocation: http://127.0.0.1:{receiver.port}/in"
            server = await asyncio.start_server(outside._serve, "127.0.0.2", 0)  # another address
            url = f"http://127.0.0.2:{server.sockets[0].getsockname()[1]}/in"
            await client.call("PUT", "/v1/webhooks/crm", json={"url": url, "types": ["contact.received"]})
            await client.contact("c9")
            await _settled(client, "pending", 1)
            assert 1 == len(outside.posted)
            server.close()
        (waits,) = (await client.call("GET", "/v1/webhooks/crm/deliveries", params={"state": "pending"}))["items"]
        assert "http_302" == waits["reason"]
        assert [] == receiver.posted


async def test_what_is_wrong_is_refused(client: Client) -> None:
    for body in (
        {"url": "ftp://x/"},
        {"url": "https://user:secret@example.com/"},
        {"url": "https://example.com/", "types": ["Contact"]},
        {"url": "https://example.com/", "secret": "whsec_c2hvcnQ="},
        {"url": "https://example.com/", "more": 1},
    ):
        await client.call("PUT", "/v1/webhooks/crm", 422, json=body)
    await client.call("GET", "/v1/webhooks/crm", 404)
    await client.call("DELETE", "/v1/webhooks/crm", 404)
    await client.call("POST", "/v1/webhooks/crm/rotate", 404)
    await client.call("POST", "/v1/webhooks/crm/replay", 404)
    good = {"url": "https://example.com/", "types": ["contact.closed"]}
    answer = await client.http.put("/v1/webhooks/crm", json=good)
    await client.call("PUT", "/v1/webhooks/crm", 412, json=good, headers={"if-match": '"other"'})
    await client.call("PUT", "/v1/webhooks/crm", json=good, headers={"if-match": answer.headers["etag"]})
    await client.call("DELETE", "/v1/webhooks/crm", 204)
