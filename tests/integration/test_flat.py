"""What a contact leaves behind in the process once it is over: nothing. The short form of the soak (`make soak`).

Blocks of memory are counted and not bytes: that tells within seconds what the size of the process tells in an hour.
"""

import gc
import json
import sys

from tests.support.service import Client, Desktop

AT_ONCE = 20
WARM_UP = 10
ROUNDS = 20
KEPT_MAX = 5
"""Blocks that a contact may leave, in the mean: one or two are of caches that are not full yet."""


async def test_a_contact_that_is_over_leaves_nothing_in_memory(client: Client) -> None:
    await client.agent("anna", capacity=1_000, channels={"webchat": {"cost": 10, "max": 100}})
    async with client.desktop("anna", status="available") as desktop:
        for number in range(WARM_UP):
            await _lives(client, desktop, number)
        before = _blocks()
        for number in range(WARM_UP, WARM_UP + ROUNDS):
            await _lives(client, desktop, number)
        kept = (_blocks() - before) / (ROUNDS * AT_ONCE)
    assert kept < KEPT_MAX


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def _lives(client: Client, desktop: Desktop, number: int) -> None:
    """Contacts of as many new customers come, are taken and completed; the desktop has no gap (it says so itself)."""
    names = [f"{number}.{each}" for each in range(AT_ONCE)]
    items = [
        {"channel": "webchat", "external_id": name, "identity": {"type": "web_user", "value": name}, "tags": []}
        for name in names
    ]
    await client.call("POST", "/v1/contacts:batch", json={"items": items})
    replies = 0
    while replies < 2 * AT_ONCE:
        frame = await desktop.frame()
        if frame["type"] == "reply":
            assert frame["ok"], frame
            replies += 1
        elif frame["type"] == "event" and frame["event"]["type"] == "contact.offered":
            act = {"assignment_id": frame["event"]["data"]["assignment_id"]}
            await desktop.socket.send(json.dumps({"type": "accept", **act}))
            await desktop.socket.send(json.dumps({"type": "complete", "resolved": True, **act}))
    desktop.events.clear()
