"""kill -9 between storing a message and sending it, and between sending and recording it: none is lost."""

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from tests.support.ports import free_port
from tests.support.process import assert_replays, serving_process
from tests.support.service import ADMIN_KEY, Client
from tests.support.wechat import WeChatDouble, serving

SENT_S_MAX = 60


class Killing(WeChatDouble):
    """Kills `process`, if there is one, when a message has arrived and is not answered yet."""

    process: subprocess.Popen[bytes] | None = None

    async def send(self, request: Request) -> Response:
        answer = await super().send(request)
        if self.process is not None:
            self.process.kill()
            self.process = None
        return answer


async def _account(client: Client, api_base_url: str) -> str:
    body = {
        "channel": "wechat",
        "settings": {"app_id": "wx1", "api_base_url": api_base_url},
        "secrets": {"token": "AAAAA", "app_secret": "app-secret"},
    }
    await client.call("PUT", "/v1/channels/oa1", json=body)
    posted = {
        "channel": "wechat",
        "account": "oa1",
        "identity": {"type": "wechat_openid", "value": "oAnna"},
        "tags": [],
    }
    return str((await client.call("POST", "/v1/contacts", json=posted))["id"])


async def _states(client: Client, contact_id: str) -> list[tuple[str, str]]:
    said = (await client.call("GET", f"/v1/contacts/{contact_id}/messages"))["items"]
    return [(each["text"], each["state"]) for each in said if each["from"] == "agent"]


async def _until_sent(client: Client, contact_id: str, number: int) -> None:
    async with asyncio.timeout(SENT_S_MAX):
        while [state for _, state in await _states(client, contact_id)] != ["sent"] * number:
            await asyncio.sleep(0.1)


async def test_messages_survive_kill_9_on_either_side_of_sending(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port, later = tmp_path / "data", free_port(), free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    double = Killing()
    async with client.http:
        async with serving_process(folder, port) as process:
            contact_id = await _account(client, f"http://127.0.0.1:{later}")
            path = f"/v1/contacts/{contact_id}/messages"
            for each in "123":
                await client.call("POST", path, 201, json={"from": "agent", "text": each})
            process.kill()  # stored, and nobody there to send to
            process.wait(10)
        async with serving(double.app(), later) as double.url:
            async with serving_process(folder, port) as process:
                await _until_sent(client, contact_id, 3)
                assert ["1", "2", "3"] == _texts(double)
                double.process = process
                with contextlib.suppress(httpx.TransportError):  # it may die before it has answered
                    await client.call("POST", path, 201, json={"from": "agent", "text": "4"})
                async with asyncio.timeout(SENT_S_MAX):
                    while process.poll() is None:
                        await asyncio.sleep(0.05)
            assert ["1", "2", "3", "4"] == _texts(double), "it was out before it could be written down"
            async with serving_process(folder, port):
                await _until_sent(client, contact_id, 4)
                assert ["1", "2", "3", "4", "4"] == _texts(double)
    assert_replays(folder)


def _texts(double: WeChatDouble) -> list[Any]:
    return [each["text"]["content"] for each in double.sent]
