"""Short words for what agents, supervisors and customers do over REST."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.service import Client

CHATS = {"webchat": {"cost": 25, "max": 4}, "voice": {"cost": 100, "max": 1}}
ONE_CHAT = {"webchat": {"cost": 100, "max": 1}}


def moment(seconds: float) -> str:
    """So many seconds from now, as callers write it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def present(client: Client, agent_id: str, **body: Any) -> None:
    """An agent who is there."""
    await client.agent(agent_id, **{"channels": CHATS, **body})
    await client.call("PUT", f"/v1/agents/{agent_id}/presence", json={"status": "available"})


async def taken(client: Client, external_id: str, **body: Any) -> dict[str, Any]:
    """A contact that some agent has accepted."""
    contact = await client.contact(external_id, **{"channel": "webchat", **body})
    assert "offered" == contact["state"], contact
    await answer(client, contact, "accept")
    return await got(client, contact)


async def answer(client: Client, contact: dict[str, Any], what: str, *expected: int, **body: Any) -> dict[str, Any]:
    """Accept, decline or complete the contact's assignment."""
    path = f"/v1/assignments/{contact['assignment']['id']}/{what}"
    return dict(await client.call("POST", path, *expected, json=body))


async def got(client: Client, contact: dict[str, Any]) -> dict[str, Any]:
    """The contact as it is now."""
    return dict(await client.call("GET", f"/v1/contacts/{contact['id']}"))


async def do(client: Client, contact: dict[str, Any], what: str, *expected: int, **body: Any) -> dict[str, Any]:
    """What is done with a contact by hand."""
    return dict(await client.call("POST", f"/v1/contacts/{contact['id']}/{what}", *expected, json=body))


async def trace(client: Client, contact: dict[str, Any]) -> list[dict[str, Any]]:
    """Every decision about the contact, oldest first."""
    return list((await client.call("GET", f"/v1/contacts/{contact['id']}/trace"))["decisions"])


async def events(client: Client, *types: str) -> list[dict[str, Any]]:
    """The events of these types so far."""
    found = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    return [each for each in found if each["type"] in types]


async def until(client: Client, path: str, check: Callable[[Any], bool], timeout_s: float = 30.0) -> Any:
    """Ask again and again until it is so."""
    async with asyncio.timeout(timeout_s):
        while not check(found := await client.call("GET", path)):
            await asyncio.sleep(0.05)
        return found


@asynccontextmanager
async def acting(client: Client, agent_id: str, role: str = "agent") -> AsyncIterator[Client]:
    """A caller with an agent's token."""
    caller = Client(client.url, await client.token(agent_id, role))
    try:
        yield caller
    finally:
        await caller.http.aclose()
