"""kill -9 while a WeCom account is pulled: what was said and how far it was read are on disk together."""

import asyncio
import hashlib
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from src.channels.tencent.crypto import encrypt, key_of
from src.store.embedded import running_url
from tests.support.ports import free_port
from tests.support.process import assert_replays, serving_process
from tests.support.service import ADMIN_KEY, Client
from tests.support.wechat import serving
from tests.support.wecom import WeComDouble

AES_KEY: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
ITEMS: Final = 120
PAGES_AND_MS: Final = ((1, 0), (7, 3), (11, 8))
"""After how many pages, and how many milliseconds behind the answer, the process is killed: anywhere in a commit."""

KEPT: Final = "SELECT count(*), count(DISTINCT external_id) FROM messages"
READ: Final = "SELECT cursor FROM channel_cursors"
TAKEN_S_MAX: Final = 60


@dataclass
class Killing(WeComDouble):
    """Answers when the gate is open, and kills `process` behind so many answers."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    process: subprocess.Popen[bytes] | None = None
    pages: int = 0
    after_s: float = 0.0

    async def sync(self, request: Request) -> Response:
        await self.gate.wait()
        answer = await super().sync(request)
        self.pages -= 1
        if self.process is not None and self.pages <= 0:
            asyncio.get_running_loop().call_later(self.after_s, self.process.kill)
            self.process = None
        return answer


def _item(number: int) -> dict[str, Any]:
    said = {"msgtype": "text", "text": {"content": str(number)}}
    return {"msgid": f"m{number}", "open_kfid": "wk1", "external_userid": "wmAnna", "origin": 3, "send_time": 1} | said


async def _called(client: Client) -> None:
    inner = "<xml><Event>kf_msg_or_event</Event><Token>t</Token><OpenKfId>wk1</OpenKfId></xml>"
    ciphertext = encrypt(inner.encode(), key_of(AES_KEY), "ww1", b"r" * 16)
    timestamp = str(int(time.time()))
    digest = hashlib.sha1("".join(sorted(["TTTTT", timestamp, "1", ciphertext])).encode()).hexdigest()
    query = {"msg_signature": digest, "timestamp": timestamp, "nonce": "1"}
    body = f"<xml><Encrypt>{ciphertext}</Encrypt></xml>"
    assert 200 == (await client.http.post("/channels/wecom/kf1", params=query, content=body)).status_code


async def _on_disk(folder: Path) -> tuple[int, int]:
    """How much was said, each once, and how far it was read."""
    connection = await asyncpg.connect(running_url(folder))
    try:
        kept, told_apart = await connection.fetchrow(KEPT)
        assert kept == told_apart, "something was taken twice"
        cursor = await connection.fetchval(READ) or ""  # with the account that it is of before it
        return kept, int(cursor.rpartition(" ")[2] or 0)
    finally:
        await connection.close()


async def test_messages_and_cursor_survive_kill_9_together(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    folder, port = tmp_path / "data", free_port()
    client = Client(f"http://127.0.0.1:{port}", ADMIN_KEY)
    double = Killing(items=[_item(each) for each in range(ITEMS)])
    kept = 0
    async with client.http, serving(double.app()) as double.url:
        for round_number, (pages, ms) in enumerate(PAGES_AND_MS):
            double.gate.clear()
            async with serving_process(folder, port) as process:
                if not round_number:
                    await _account(client, double.url)
                    await _called(client)
                kept, read = await _on_disk(folder)
                assert kept == read
                double.process, double.pages, double.after_s = process, pages, ms / 1_000
                double.gate.set()
                async with asyncio.timeout(TAKEN_S_MAX):
                    while process.poll() is None:
                        await asyncio.sleep(0.02)
        assert 0 < kept < ITEMS, "it was killed too late, or too early"
        async with serving_process(folder, port), asyncio.timeout(TAKEN_S_MAX):
            while (found := await _on_disk(folder)) != (ITEMS, ITEMS):
                assert found[0] <= ITEMS
                await asyncio.sleep(0.1)
    assert_replays(folder)


async def _account(client: Client, api_base_url: str) -> None:
    settings = {"corp_id": "ww1", "open_kfid": "wk1", "api_base_url": api_base_url}
    secrets = {"token": "TTTTT", "encoding_aes_key": AES_KEY, "corp_secret": "corp-secret"}
    body = {"channel": "wecom", "settings": settings, "secrets": secrets}
    await client.call("PUT", "/v1/channels/kf1", json=body)
