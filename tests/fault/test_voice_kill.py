"""kill -9 in mid-call: who talks goes on talking, who waits is served, and what ended meanwhile has ended."""

import asyncio
from pathlib import Path

import pytest

from tests.support.gateway import SECRET, Gateway
from tests.support.ports import free_port
from tests.support.process import assert_replays, serving_process
from tests.support.service import ADMIN_KEY, Client
from tests.support.telephony import CHANNELS, SYSTEMS, started


@pytest.mark.parametrize("system", SYSTEMS)
async def test_calls_survive_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setenv("CORDBOARD_VOICE_NETWORKS", "127.0.0.0/8")
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    async with client.http, started(system) as pbx, serving_process(folder, port) as process:
        pbx.phones |= {"anna": "answer", "bert": "ring"}
        for each in ("anna", "bert"):
            await client.agent(each, channels=CHANNELS, phone=each)
        await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
        async with pbx.connected(client):
            talks = await pbx.call("13800138001")
            await pbx.until(pbx.talking, 60)
            gives_up, waits = await pbx.call("13800138002"), await pbx.call("13800138003")
            await pbx.until(lambda: {gives_up, waits} == set(pbx.held()), 60)
            process.kill()
            process.wait(10)
            await pbx.hang_up(gives_up)
            async with serving_process(folder, port):
                await client.call("PUT", "/v1/agents/bert/presence", json={"status": "available"})
                leg = (await pbx.until(lambda: pbx.legs("Ringing"), 60))[0]
                await pbx.pick_up(leg)
                await pbx.until(lambda: {waits, leg} in pbx.talking(), 60)
                assert any(talks in each for each in pbx.talking())
                found = (await client.call("GET", "/v1/contacts"))["items"]
                assert {
                    talks: ("active", None),
                    waits: ("active", None),
                    gives_up: ("closed", "abandoned"),
                } == {each["external_id"]: (each["state"], each["outcome"]) for each in found}
    assert_replays(folder)


async def test_commands_and_events_of_a_system_without_a_connection_survive_kill_9(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    gateway = Gateway(client.url)
    async with client.http, gateway.obeying():
        async with serving_process(folder, port) as process:
            body = {"channel": "voice", "settings": {"system": "webhook"}, "secrets": {"secret": SECRET}}
            await client.call("PUT", "/v1/channels/pbx1", json=body)
            await client.agent("anna", channels=CHANNELS, phone="anna")
            await client.call("PUT", "/v1/queues/default", json={"offer_timeout_s": 240})
            for number in (1, 2):
                await gateway.tell("offered", f"c{number}", number=f"+861380013800{number}")
                await gateway.command("hold", 60, call_id=f"c{number}")
            gateway.mute = True  # what is ordered now is stored, and given to nobody
            await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
            async with asyncio.timeout(60):
                while "offered" not in (await states(client)).values():
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            process.kill()
            process.wait(10)
        gateway.mute = False
        ending = asyncio.create_task(gateway.tell("abandoned", "c2"))  # posted until somebody takes it
        async with serving_process(folder, port):
            leg = (await gateway.command("ring", 60, call_id="c1"))["leg_id"]
            await gateway.tell("agent_answered", "c1", leg_id=leg)
            await gateway.command("bridge", 60, leg_id=leg)
            await ending
            async with asyncio.timeout(60):
                while await states(client) != {"c1": "active", "c2": "closed"}:
                    await asyncio.sleep(0.05)
            rung = [each for each in gateway.commands if each["type"] == "ring"]
            assert 1 == len(rung), "what is known to be ordered is not ordered again"
    assert_replays(folder)


async def states(client: Client) -> dict[str, str]:
    found = (await client.call("GET", "/v1/contacts"))["items"]
    return {each["external_id"]: each["state"] for each in found}


async def test_a_customer_who_is_dialled_is_reached_though_the_service_dies_at_every_step(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    gateway = Gateway(client.url)
    async with client.http, gateway.obeying():
        async with serving_process(folder, port) as process:
            settings = {"system": "webhook", "trunk": "{number}"}
            body = {"channel": "voice", "settings": settings, "secrets": {"secret": SECRET}}
            await client.call("PUT", "/v1/channels/pbx1", json=body)
            await client.agent("anna", channels=CHANNELS, phone="anna")
            await client.call("PUT", "/v1/queues/default", json={"offer_timeout_s": 240})
            await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
            number = {"type": "phone", "value": "+8613800138000", "proven": True}
            earlier = await client.contact("m-1", channel="sms", identity=number)
            path = f"/v1/contacts/{earlier['id']}/follow-up"
            follow_up = {"channel": "voice", "account": "pbx1", "agent_id": "anna"}
            contact_id = (await client.call("POST", path, json=follow_up))["id"]
            ring = await gateway.command("ring", 60)
            process.kill()
            process.wait(10)
        call, leg = ring["call_id"], ring["leg_id"]
        async with serving_process(folder, port) as process:
            await gateway.tell("agent_answered", call, leg_id=leg)
            dial = await gateway.command("dial", 60, call_id=call)
            assert "+8613800138000" == dial["phone"]
            process.kill()
            process.wait(10)
        async with serving_process(folder, port) as process:
            await gateway.tell("reached", call)
            await gateway.command("bridge", 60, call_id=call, leg_id=leg)
            await gateway.tell("bridged", call, leg_id=leg)
            process.kill()
            process.wait(10)
        async with serving_process(folder, port):
            await gateway.tell("ended", call, cause=16)
            async with asyncio.timeout(60):
                while "closed" != (found := await client.call("GET", f"/v1/contacts/{contact_id}"))["state"]:
                    await asyncio.sleep(0.1)
            assert "customer_left" == found["outcome"]
        assert ["ring", "dial", "bridge"] == [each["type"] for each in gateway.commands if each["type"] != "drop"]
    assert_replays(folder)
