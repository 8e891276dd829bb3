"""kill -9 in mid-call: who talks goes on talking, who waits is served, and what ended meanwhile has ended."""

from pathlib import Path

import pytest

from tests.support.process import assert_replays, free_port, serving_process
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
            await pbx.until(pbx.talking, 20)
            gives_up, waits = await pbx.call("13800138002"), await pbx.call("13800138003")
            await pbx.until(lambda: {gives_up, waits} == set(pbx.held()), 20)
            process.kill()
            process.wait(10)
            await pbx.hang_up(gives_up)
            async with serving_process(folder, port):
                await client.call("PUT", "/v1/agents/bert/presence", json={"status": "available"})
                leg = (await pbx.until(lambda: pbx.legs("Ringing"), 30))[0]
                await pbx.pick_up(leg)
                await pbx.until(lambda: {waits, leg} in pbx.talking(), 20)
                assert any(talks in each for each in pbx.talking())
                found = (await client.call("GET", "/v1/contacts"))["items"]
                assert {
                    talks: ("active", None),
                    waits: ("active", None),
                    gives_up: ("closed", "abandoned"),
                } == {each["external_id"]: (each["state"], each["outcome"]) for each in found}
    assert_replays(folder)
