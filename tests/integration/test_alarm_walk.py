"""Alarms from outside: a rule's and a step's, on the desktop of who is responsible and nobody else's, and as an SMS."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from src.dispatch import signatures
from tests.integration.test_webhooks import Receiver
from tests.support.floor import events, got, trace, until
from tests.support.service import Client, running

ROOT = Path(__file__).parents[2]
VIP = {"name": "vip-waits", "level": "critical", "responsible": ["boss"]}


@asynccontextmanager
async def sms_sender(secret: str, gateway: Receiver) -> AsyncIterator[int]:
    """The example, as a program of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    mine = {"WEBHOOK_SECRET": secret, "PORT": str(port), "PHONES": '{"boss": "+8613800138001"}'}
    url = {"SMS_URL": f"http://127.0.0.1:{gateway.port}/sms", "no_proxy": "127.0.0.1"}
    program = (sys.executable, str(ROOT / "examples" / "sms.py"))
    started = await asyncio.create_subprocess_exec(*program, env={**os.environ, **mine, **url})
    try:
        async with asyncio.timeout(30):
            while not _answers(port):
                await asyncio.sleep(0.05)
        yield port
    finally:
        started.kill()
        await started.wait()


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def of_alarms(client: Client) -> list[tuple[str, str | None]]:
    return [(each["type"], each["agent_id"]) for each in await events(client, "contact.alarm", "agent.alarm")]


async def test_a_rules_alarm_reaches_who_is_responsible_and_nobody_else(database: str, tmp_path: Path) -> None:
    secret = signatures.new_secret()
    async with (
        Receiver().listening() as gateway,
        sms_sender(secret, gateway) as port,
        running(database, tmp_path, webhook_networks="127.0.0.1/32") as client,
    ):
        refused = await client.call("PUT", "/v1/rules/vip", 422, json={"when": {}, "then": {"alarm": VIP}})
        assert ("unknown_reference", "then.alarm.responsible.0") == (refused["code"], refused["field"])
        for each in ("boss", "anna"):
            await client.agent(each)
        await client.call("PUT", "/v1/rules/vip", json={"when": {"customer_tiers": ["vip"]}, "then": {"alarm": VIP}})
        step = {"after_s": 1, "alarm": {"name": "waits"}}
        await client.call("PUT", "/v1/queues/default", json={"steps": [step]})
        hook = {"url": f"http://127.0.0.1:{port}/", "types": ["contact.alarm"], "alarms": ["vip-waits"]}
        await client.call("PUT", "/v1/webhooks/sms", json={**hook, "secret": secret})
        first = await client.contact("before")
        await client.call("PATCH", f"/v1/customers/{first['customer_id']}", json={"tier": "vip"})
        async with client.desktop("boss") as boss, client.desktop("anna") as anna:
            contact = await client.contact("vip", text="where is it?")
            told = await boss.event("agent.alarm")
            assert (contact["id"], "boss") == (told["contact_id"], told["agent_id"])
            expected: dict[str, Any] = {**VIP, "queue": "default", "rule": "vip", "step": None, "tier": "vip"}
            assert expected == told["data"]
            waits = await until(client, f"/v1/contacts/{contact['id']}", lambda each: len(each["alarms"]) == 2)
            assert ["vip-waits", "waits"] == [each["name"] for each in waits["alarms"]]
            assert (await anna.ask(type="presence", status="away"))["ok"]
            await anna.event("agent.presence")
            assert {"agent.presence"} == {each["type"] for each in anna.events}, "it does not concern anna"
        kept = [each for each in await trace(client, contact) if each["decision"] == "alarm"]
        assert [("vip-waits", "vip"), ("waits", None)] == [(each["name"], each.get("rule")) for each in kept]
        sent = [json.loads(each.body) for each in await gateway.until(lambda found: len(found) == 2)]
        assert {"+8613800138001"} == {each["to"] for each in sent}
        both = {f"critical: vip-waits in default, contact {each['id']}" for each in (first, contact)}
        assert both == {each["text"] for each in sent}, "who waits and turns out to be a VIP is one too"
        await client.call("DELETE", "/v1/agents/boss", 409)
        before, seq = await of_alarms(client), told["seq"]
    async with running(database, tmp_path) as client:  # another process, from the journal and the tables
        assert waits["alarms"] == (await got(client, contact))["alarms"]
        moved = {"queue": "default", "tags": ["refund"]}
        await client.call("PATCH", f"/v1/contacts/{contact['id']}", json=moved)
        again = await until(client, f"/v1/contacts/{contact['id']}", lambda each: each["step"] == 1)
        assert waits["alarms"] == again["alarms"]
        assert before == await of_alarms(client), "nothing is raised twice"
        async with client.desktop("boss", after=seq - 1) as boss:
            assert seq == (await boss.event("agent.alarm"))["seq"], "a desktop that was away resumes to it"
