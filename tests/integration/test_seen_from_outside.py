"""What is seen of two processes from outside: traces from a gateway's request to the desktop's frame, and logs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import Collector, Span, collector
from tests.support.faults.servers import RedisServer
from tests.support.ports import free_port
from tests.support.process import serving_process
from tests.support.service import ADMIN_KEY, Client
from tests.support.wechat import WeChatDouble, wechat_double

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GATEWAYS = f"00-{TRACE}-00f067aa0ba902b7-01"
MARKS = ("Zhang-San-Mark", "+8613912345678", "text-that-is-secret", "oOpenidMark", "note-that-is-secret", "anna.mark")
CHATS = {"webchat": {"cost": 10, "max": 9}, "wechat": {"cost": 10, "max": 9}, "voice": {"cost": 10, "max": 9}}


@dataclass
class Two:
    """The first process serves the tenant, the second has it told by the first."""

    owner: Client
    other: Client
    collector: Collector
    wechat: WeChatDouble
    folder: Path

    def logs(self) -> str:
        """What both processes have logged, a line of JSON for each event."""
        return (self.folder / "service.log").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The same, read: every line that is whole is JSON."""
        return [json.loads(each) for each in self.logs().splitlines(keepends=True) if each.endswith("}\n")]


@pytest.fixture
async def two(database: str, tmp_path: Path) -> AsyncIterator[Two]:
    redis = RedisServer(tmp_path)
    async with AsyncExitStack() as stack:
        stack.callback(redis.kill)
        await redis.start()
        found, wechat = await stack.enter_async_context(collector()), await stack.enter_async_context(wechat_double())
        clients = []
        for name in ("a", "b"):
            port = free_port()
            (tmp_path / name).mkdir()
            variables = {
                "CORDBOARD_DATABASE_URL": database,
                "CORDBOARD_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
                "CORDBOARD_SECRET_KEY": "a secret for tests",
                "CORDBOARD_LOG_FORMAT": "json",
                "CORDBOARD_WEBHOOK_NETWORKS": "127.0.0.0/8",
                "CORDBOARD_OTLP_ENDPOINT": found.url,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            }
            await stack.enter_async_context(serving_process(tmp_path / name, port, **variables))
            clients.append(Client(f"http://127.0.0.1:{port}", ADMIN_KEY))
            stack.push_async_callback(clients[-1].http.aclose)
        yield Two(clients[0], clients[1], found, wechat, tmp_path)


async def _spans(two: Two, trace_id: str, *names: str) -> dict[str, Span]:
    """The spans of a trace by their names, once these are there."""
    async with asyncio.timeout(30):
        while True:
            found = {each.name: each for each in two.collector.of(trace_id)}
            if set(names) <= found.keys():
                return found
            await asyncio.sleep(0.05)


async def test_one_trace_leads_from_the_gateways_request_to_the_desktops_frame(two: Two) -> None:
    await two.owner.agent("anna.mark", channels=CHATS)
    body = {
        "channel": "wechat",
        "settings": {"app_id": two.wechat.app_id, "api_base_url": two.wechat.url},
        "secrets": {"token": "AAAAA", "app_secret": two.wechat.secret},
    }
    await two.owner.call("PUT", "/v1/channels/oa1", json=body)
    hook = {"url": f"{two.collector.url}/hook", "types": ["contact.offered"], "personal": True}
    await two.owner.call("PUT", "/v1/webhooks/crm", json=hook)
    person = {"type": "wechat_openid", "value": MARKS[3], "display_name": MARKS[0]}
    posted = {"channel": "wechat", "account": "oa1", "external_id": MARKS[1], "identity": person, "text": MARKS[2]}
    traced = {"traceparent": GATEWAYS, "tracestate": f"vendor={MARKS[2]}"}
    async with two.other.desktop("anna.mark", status="available") as anna:
        await two.other.call("POST", "/v1/contacts", 201, json=posted, headers=traced)
        while (frame := await anna.frame()).get("event", {}).get("type") != "contact.offered":
            pass
        _, trace_id, span_id, _ = frame["traceparent"].split("-")
        assert TRACE == trace_id, "the desktop's frame goes on with the gateway's trace"
        accepted = await anna.ask(type="accept", assignment_id=frame["event"]["data"]["assignment_id"])
        assert accepted["ok"]
        names = ("POST /v1/contacts", "order", "carry out", "commit", "stream.send", "webhook.post")
        spans = await _spans(two, TRACE, *names)
        by_id = {each.span_id: each for each in two.collector.of(TRACE)}
        about = {"contact_id": frame["event"]["contact_id"], "traceparent": frame["traceparent"]}
        assert (await anna.ask(type="message", text=MARKS[2], **about))["ok"]
        await anna.event("message.sent")

    request, sent = spans["POST /v1/contacts"], by_id[span_id]
    assert "00f067aa0ba902b7" == request.parent_id
    assert ("stream.send", request.process) == (sent.name, sent.process)
    assert "contact.offered" in sent.attributes["cordboard.event"]
    owner = spans["commit"].process
    assert request.process != owner, "one process was asked, another one serves the tenant"
    assert owner == spans["carry out"].process == spans["webhook.post"].process
    for leaf in (sent, spans["commit"], spans["webhook.post"]):
        path = [leaf]
        while path[-1].parent_id in by_id:
            path.append(by_id[path[-1].parent_id])
        assert ["carry out", "order", "POST /v1/contacts"] == [each.name for each in path[1:]]
    (hooked,) = two.collector.hooks
    assert f"00-{TRACE}-{spans['webhook.post'].span_id}-01" == hooked[0]["traceparent"]

    async with asyncio.timeout(30):
        while not (calls := [each for each in two.collector.spans if each.name == "message.send"]):
            await asyncio.sleep(0.05)
    (call,) = calls
    assert [call.trace_id, call.span_id] in [str(each).split("-")[1:3] for each in two.wechat.traceparents]
    assert TRACE == call.trace_id, "what an agent does upon a frame goes on with its trace"
    assert sent.span_id == (await _spans(two, TRACE, "stream message"))["stream message"].parent_id
    (accepting,) = (each for each in two.collector.spans if each.name == "stream accept")
    assert TRACE != accepting.trace_id, "without it, a trace begins"
    await _nobody_is_seen(two)


async def _nobody_is_seen(two: Two) -> None:
    exported = b"".join(two.collector.traces).decode("latin-1") + repr(two.collector.spans)
    assert [] == [each for each in MARKS if each in exported], "spans hold nothing of persons"
    await two.owner.http.get("/v1/customers:lookup", params={"type": "phone", "value": MARKS[1]})
    await two.owner.http.get(f"/v1/agents/{MARKS[5]}")
    async with asyncio.timeout(30):
        while "GET /v1/agents/{agent_id}" not in {each.name for each in two.collector.spans}:
            await asyncio.sleep(0.05)
    exported = b"".join(two.collector.traces).decode("latin-1")
    assert [] == [each for each in MARKS if each in exported], "nor do they of paths"
    two.wechat.refuse["/cgi-bin/message/custom/send"] = [-1]  # busy: it is tried again, which is said
    (contact,) = (await two.owner.call("GET", "/v1/contacts"))["items"]
    said = {"from": "agent", "text": MARKS[2]}
    await two.owner.call("POST", f"/v1/contacts/{contact['id']}/messages", json=said)
    async with asyncio.timeout(30):
        while not [each for each in two.lines() if each["event"] == "message.tried"]:
            await asyncio.sleep(0.05)
    (tried,) = [each for each in two.lines() if each["event"] == "message.tried"]
    assert {"tenant", "message_id", "reason", "level", "timestamp"} <= tried.keys()
    assert [] == [each for each in MARKS if each in two.logs()], "nor do logs"
