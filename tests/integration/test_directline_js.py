"""Microsoft's own Direct Line client against the service, through a dropped socket. `make test-directline` runs it."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults.proxy import Proxy
from tests.support.service import Client
from tests.support.visitor import website

SCRIPT = Path(__file__).parents[1] / "support" / "directline.js"
FOLDER = os.environ.get("CORDBOARD_TEST_DIRECTLINE")
SECRET = "a direct line secret"
CHATS = {"webchat": {"cost": 25, "max": 4}}
ONLINE = 2

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="make test-directline brings the client; the captured one is in test_directline.py"
)


class Node:
    """The client, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.heard: list[dict[str, Any]] = []

    async def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 40) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            while not self.heard or not wanted(self.heard[-1]):
                self.heard.append(json.loads(await self.process.stdout.readline()))

    async def hears(self, text: str) -> None:
        await self.until(lambda each: bool(each.get("activity", {}).get("text") == text))

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        activity = {"type": "message", "from": {"id": "dl_visitor1"}, "text": text}
        self.process.stdin.write(f"{json.dumps(activity)}\n".encode())


async def test_nothing_is_lost_and_nothing_doubled(client: Client) -> None:
    browser = await website(client, secrets={"directline_secret": SECRET})
    await client.agent("anna", name="Anna", skills={}, channels=CHATS)
    port = int(client.url.rpartition(":")[2])
    network = await Proxy(lambda: asyncio.open_connection("127.0.0.1", port)).start()
    headers = {"authorization": f"Bearer {SECRET}"}
    made = await browser.http.post("/directline/tokens/generate", headers=headers, json={"user": {"id": "dl_visitor1"}})
    script = Path(str(FOLDER)) / SCRIPT.name
    shutil.copyfile(SCRIPT, script)
    address = f"http://127.0.0.1:{network.port}/channels/webchat/shop/directline"
    process = await asyncio.create_subprocess_exec(
        "node",
        str(script),
        address,
        made.json()["token"],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    node = Node(process)
    try:
        async with client.desktop("anna", status="available") as anna:
            await node.until(lambda each: each.get("status") == ONLINE)
            node.say("hello")
            await node.hears("hello")
            offered = (await anna.event("contact.offered"))["data"]
            await anna.ask(type="accept", assignment_id=offered["assignment_id"])
            contact_id = offered["contact"]["id"]
            await anna.ask(type="message", contact_id=contact_id, text="one")
            await node.hears("one")
            await network.cut()
            await anna.ask(type="message", contact_id=contact_id, text="two")
            await asyncio.sleep(1)
            await network.heal()
            await node.hears("two")
            node.say("three")
            await node.hears("three")
    finally:
        process.kill()
        await process.communicate()
        await network.stop()
    said = [each["activity"]["text"] for each in node.heard if each.get("activity", {}).get("type") == "message"]
    assert ["hello", "one", "two", "three"] == said
