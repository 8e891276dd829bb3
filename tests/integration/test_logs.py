"""Whatever comes in by any door, good, bad or upon a fault: logs hold nothing of persons, and no secrets."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import structlog
import websockets

from src.cli import logs
from src.cluster.wire import forwardable
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import Refused
from src.router.state import State
from tests.support.gateway import SECRET, Gateway
from tests.support.service import ADMIN_KEY, Client, running
from tests.support.visitor import IDENTITY_KEY, Browser, website

MARK = "mark-of-a-person"
NUMBER = "+8613912345678"
OWN_SECRET = "mark-of-a-secret"  # not one: only looked for
KINDS = ({"type": "phone", "value": NUMBER, "display_name": MARK}, {"type": "email", "value": f"{MARK}@example.com"})


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is logged: as the service sets it up, and all that its libraries warn of."""
    before, found = logging.getLogger().handlers[:], StringIO()
    monkeypatch.setattr(sys, "stderr", found)
    logs.configure("json")
    yield found
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


@pytest.fixture
async def service(database: str, tmp_path: Path, logged: StringIO) -> AsyncIterator[Client]:  # set up before
    more = {"webhook_networks": "127.0.0.0/8", "connector_networks": "127.0.0.0/8"}
    async with running(database, tmp_path, **more) as found:
        yield found


@forwardable
@dataclass(frozen=True, slots=True)
class _Fails:
    """A job that meets a fault, which quotes a person."""

    text: str

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing."""

    def run(self, _: Turn) -> None:
        raise KeyError(self.text)


async def _rest(client: Client) -> str:
    """Good and bad requests; the id of a contact that an agent has."""
    contact = await client.contact("c-1", identity=KINDS[0], text=MARK, attributes={MARK: MARK})
    await client.call("PATCH", f"/v1/customers/{contact['customer_id']}", json={"attributes": {"note": MARK}})
    await client.call("PUT", f"/v1/contacts/{contact['id']}/satisfaction", json={"score": 1, "comment": MARK})
    for path in ("/v1/customers:lookup", "/v1/contacts"):
        await client.http.get(path, params={"type": "email", "value": MARK, "state": MARK})
    for path in (f"/v1/agents/{MARK}", f"/v1/{MARK}", f"/p/{MARK}", f"/v1/contacts/{contact['id']}/{MARK}"):
        await client.http.get(path, headers={"authorization": f"Bearer {OWN_SECRET}"})
        await client.http.get(path)
    headers = {"content-type": "application/json", "idempotency-key": MARK}
    bad = [{"channel": MARK}, {"identity": {**KINDS[0], MARK: 1}}, {"text": f"{MARK}\0"}, MARK, {"queue": MARK}]
    for body in (*map(json.dumps, bad), f'{{"text": "{MARK}', f'{{"text": "{MARK}\\ud800"}}'):
        await client.http.post("/v1/contacts", content=body, headers=headers)
        await client.http.post(f"/v1/contacts/{contact['id']}/messages", content=body, headers=headers)
    await client.call("POST", f"/v1/contacts/{contact['id']}/progress-link")
    return str(contact["id"])


async def _stream(client: Client, contact_id: str) -> None:
    url = client.url.replace("http", "ws") + "/v1/stream"
    for hello in ({"type": "hello", "token": OWN_SECRET}, {"type": "hello", "token": f"{OWN_SECRET}.b.c"}, MARK):
        async with websockets.connect(url) as socket:
            await socket.send(json.dumps(hello))
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
    async with client.desktop("anna", status="available") as anna:
        offered = await anna.event("contact.offered")
        assert contact_id == offered["contact_id"]
        await anna.ask(type="accept", assignment_id=offered["data"]["assignment_id"])
        assert (await anna.ask(type="message", contact_id=contact_id, text=MARK))["ok"]
        assert not (await anna.ask(type="message", contact_id=contact_id, text=7, more=MARK))["ok"]
        assert not (await anna.ask(type="accept", assignment_id=MARK))["ok"]
        for frame in (MARK, f'{{"type": "{MARK}"}}', f'{{"type": "message", "text": "{MARK}\\ud800"}}'):
            await anna.socket.send(frame)
            while (await anna.frame())["type"] != "reply":
                pass


async def _visitors(client: Client) -> None:
    browser: Browser = await website(client, secrets={"directline_secret": f"{OWN_SECRET}-of-directline"})
    async with browser.socket() as socket:
        await socket.say(MARK)
        for frame in (MARK, f'{{"type": "message", "id": "{MARK}", "text": 7}}'):
            await socket.socket.send(frame)
            await socket.until("refused")
    await browser.ask("POST", "/messages", 422, json={"id": "12345678", "text": f"{MARK}\0"})
    await browser.ask("GET", "/conversation", 401, headers={"authorization": f"Bearer {OWN_SECRET}"})
    await browser.begin(401, identity={"user_id": MARK, "expires_at": 1, "signature": MARK})
    for secret in (f"{OWN_SECRET}-of-directline", OWN_SECRET):
        await browser.http.post(
            "/directline/tokens/generate", headers={"authorization": f"Bearer {secret}"}, json={"user": {"id": MARK}}
        )


async def _native(client: Client) -> None:
    telephony = {"channel": "voice", "settings": {"system": "webhook"}, "secrets": {"secret": SECRET}}
    await client.call("PUT", "/v1/channels/pbx1", json=telephony)
    gateway = Gateway(client.url)
    await gateway.tell("offered", "call-1", number=NUMBER, name=MARK)
    await gateway.post("", {"type": "offered", "call_id": MARK, "number": 7, "name": MARK})
    await gateway.http.aclose()
    wechat = {"channel": "wechat", "settings": {"app_id": "wx1"}, "secrets": {"token": OWN_SECRET}}
    await client.call("PUT", "/v1/channels/oa1", json=wechat)
    for address in ("wechat/oa1", "voice/pbx1", "voice/pbx1/twilio", f"wechat/{MARK}", f"{MARK}/oa1"):
        for body in (f"<xml><Content>{MARK}</Content></xml>", f"<xml>{MARK}", json.dumps({"type": MARK})):
            query = {"signature": MARK, "timestamp": "1", "nonce": MARK, "openid": MARK}
            await client.http.post(f"/channels/{address}", params=query, content=body)


async def _outward(client: Client) -> None:
    """A webhook and a connector that nobody answers for."""
    hook = {"url": f"http://127.0.0.1:9/{OWN_SECRET}", "secret": SECRET, "personal": True}
    await client.call("PUT", "/v1/webhooks/crm", json=hook)
    asked = {"url": "http://127.0.0.1:9/{identity.phone}", "secrets": {"authorization": f"Bearer {OWN_SECRET}"}}
    await client.call("PUT", "/v1/connectors/crm", json=asked)
    key = await client.call("POST", "/v1/keys", json={"name": MARK, "scopes": ["contacts:read"]})
    await client.call("POST", f"/v1/keys/{key['id']}/rotate")


async def _upon_a_fault(client: Client) -> None:
    tenant = (await client.call("GET", "/v1/token-trust"))["tenant"]
    with pytest.raises(Refused):
        await client.services.owner.submit(tenant, _Fails(MARK))


async def test_logs_hold_nothing_of_persons_and_no_secrets(service: Client, logged: StringIO) -> None:
    await service.agent("anna", channels={"voice": {"cost": 10, "max": 9}})
    await _outward(service)
    contact_id = await _rest(service)
    await _stream(service, contact_id)
    await _visitors(service)
    await _native(service)
    await _upon_a_fault(service)
    external = f"/v1/contacts/{contact_id}/external"
    async with asyncio.timeout(30):
        while (await service.call("GET", "/v1/webhooks/crm"))["failing"] is None:
            await asyncio.sleep(0.05)
        while (await service.call("GET", external))["external"]["crm"]["error"] is None:
            await asyncio.sleep(0.05)
    found = logged.getvalue()
    events = {json.loads(line)["event"] for line in found.splitlines() if line.startswith("{")}
    assert events, "there is nothing to look at"
    for secret in (MARK, NUMBER, OWN_SECRET, SECRET, ADMIN_KEY, IDENTITY_KEY):
        assert secret not in found, secret
