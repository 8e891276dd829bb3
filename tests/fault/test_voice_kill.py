"""kill -9 in mid-call: who talks goes on talking, who waits is served, and what ended meanwhile has ended."""

from pathlib import Path

from tests.support.asterisk import Asterisk
from tests.support.process import assert_replays, free_port, serving_process
from tests.support.service import ADMIN_KEY, Client

CHANNELS = {"voice": {"cost": 100, "max": 1}}


async def test_calls_survive_kill_9(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    asterisk = Asterisk()
    asterisk.phones |= {"anna": "answer", "bert": "ring"}
    url = f"ws://127.0.0.1:{port}/channels/voice/pbx1/ari"
    async with client.http, serving_process(folder, port) as process:
        body = {"channel": "voice", "settings": {"username": "ast"}, "secrets": {"password": "astpw-astpw"}}
        await client.call("PUT", "/v1/channels/pbx1", json=body)
        for each in ("anna", "bert"):
            await client.agent(each, channels=CHANNELS, phone=each)
        await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
        async with asterisk.dialling(url, "ast", "astpw-astpw", again=True):
            talks = await asterisk.call("13800138001")
            await asterisk.until(asterisk.talking, 20)
            gives_up, waits = await asterisk.call("13800138002"), await asterisk.call("13800138003")
            await asterisk.until(lambda: {gives_up, waits} == set(asterisk.held()), 20)
            process.kill()
            process.wait(10)
            await asterisk.hang_up(gives_up)
            async with serving_process(folder, port):
                await client.call("PUT", "/v1/agents/bert/presence", json={"status": "available"})
                leg = (await asterisk.until(lambda: asterisk.legs("Ringing"), 30))[0]
                await asterisk.pick_up(leg)
                await asterisk.until(lambda: {waits, leg} in asterisk.talking(), 20)
                assert any(talks in each for each in asterisk.talking())
                found = (await client.call("GET", "/v1/contacts"))["items"]
                assert {
                    talks: ("active", None),
                    waits: ("active", None),
                    gives_up: ("closed", "abandoned"),
                } == {each["external_id"]: (each["state"], each["outcome"]) for each in found}
    assert_replays(folder)
