"""Visitors who wait and go away: given up on after a while, never before, and whoever comes back has its place."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import asyncpg
import pytest

from src.api.webchat.absence import SLACK_S, Absence
from tests.support.service import Client
from tests.support.visitor import Browser, website

CHATS = {"webchat": {"cost": 25, "max": 4}}
PATIENCE_S = 60


class Watch:
    """Whoever looks for visitors who are missing, on a clock of the test's own; `passes` is true of everybody."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.now_s = 0.0
        self.absence = Absence(client.services, lambda: self.now_s)

    async def passes(self, seconds: float) -> None:
        """So much time passes: visitors who have something open are written down, and it is looked who is missing."""
        connection = await asyncpg.connect(self.client.settings.database_url)
        for each_s in [30.0] * int(seconds // 30) + [seconds % 30]:
            self.now_s += each_s
            await connection.execute("UPDATE visits SET seen_at = seen_at - $1", round(each_s * 1000))
            await self.client.services.presence.beat()
            await self.absence.look()
        await connection.close()

    def restart(self) -> None:
        """Another process looks from now on."""
        self.absence = Absence(self.client.services, lambda: self.now_s)


@pytest.fixture
async def watch(tenant: Client) -> Watch:
    found = Watch(tenant)
    await found.absence.look()
    return found


async def site(tenant: Client, **settings: Any) -> Browser:
    name = "shop-" + sha256(tenant.http.headers["authorization"].encode()).hexdigest()[:12]
    return await website(tenant, name, settings={"absence_s": PATIENCE_S, **settings})


async def another(browser: Browser, tenant: Client) -> Browser:
    """Another visitor of the same website."""
    found = Browser(tenant, browser.address.rpartition("/")[2])
    await found.begin()
    return found


async def contact(tenant: Client, kept: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = await tenant.call("GET", f"/v1/contacts/{kept['conversation_id']}")
    return found


async def test_who_goes_away_while_waiting_has_given_up_and_whoever_stays_is_next(tenant: Client, watch: Watch) -> None:
    browser = await site(tenant)
    stays, polls = await another(browser, tenant), await another(browser, tenant)
    async with stays.socket() as other:
        async with browser.socket() as visitor:
            gone = await visitor.say("hello")
            await visitor.shows(state="waiting", position=1)
            await watch.passes(3 * PATIENCE_S)
            await visitor.shows(state="waiting")
        waits = await other.say("hello")
        asks = await polls.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
        await other.shows(state="waiting", position=2)
        for _ in range(4):  # who asks now and then is there, too
            await polls.ask("GET", "/conversation")
            await watch.passes((PATIENCE_S + SLACK_S) / 2)
        await other.shows(state="waiting", position=1)
        assert ["closed", "waiting", "waiting"] == [
            (await contact(tenant, each))["state"] for each in (gone, waits, asks)
        ]
    found = await contact(tenant, gone)
    assert "abandoned" == found["outcome"]
    events = (await tenant.call("GET", "/v1/events", params={"limit": 1000}))["items"]
    told = [each["data"] for each in events if each["type"] == "contact.closed"]
    assert [("abandoned", "absence")] == [(each["outcome"], each["reason"]) for each in told]
    back = await browser.ask("GET", "/conversation")
    assert ("ended", False) == (back["conversation"]["state"], back["conversation"]["answered"])


async def test_who_comes_back_in_time_has_its_place_also_when_another_process_looks(
    tenant: Client, watch: Watch
) -> None:
    browser = await site(tenant)
    behind = await another(browser, tenant)
    async with behind.socket() as last:
        async with browser.socket() as visitor:
            kept = await visitor.say("hello")
            await visitor.shows(state="waiting", position=1)
        await last.say("hello")
        await watch.passes(PATIENCE_S)
        watch.restart()  # time in which nobody looked is no time
        await watch.passes(PATIENCE_S)
        async with browser.socket() as visitor:
            assert ("waiting", 1) == tuple(visitor.welcome["conversation"][each] for each in ("state", "position"))
            await watch.passes(PATIENCE_S)
        await watch.passes(PATIENCE_S)
        assert "waiting" == (await contact(tenant, kept))["state"]
        watch.now_s += 1000  # it was paused itself
        await watch.passes(PATIENCE_S)
        assert "waiting" == (await contact(tenant, kept))["state"]
        await watch.passes(PATIENCE_S)
        await last.shows(state="waiting", position=1)


async def test_who_leaves_a_message_need_not_stay_also_where_somebody_is_there(tenant: Client, watch: Watch) -> None:
    await tenant.agent("anna", channels={"webchat": {"cost": 100, "max": 1}})
    served = await site(tenant)
    leaves, joins = await another(served, tenant), await another(served, tenant)
    async with tenant.desktop("anna", status="available") as anna:
        active = await served.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
        offered = await anna.event("contact.offered")
        await anna.ask(type="accept", assignment_id=offered["data"]["assignment_id"])
        left = await leaves.ask("POST", "/messages", json={"id": "message-one", "text": "请回电", "leave": True})
        await joins.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
        body = {"id": "message-two", "text": "I have to go", "leave": True}
        joined = await joins.ask("POST", "/messages", json=body)
        await watch.passes(5 * PATIENCE_S)
        states = [(await contact(tenant, each))["state"] for each in (active, left, joined)]
    assert ["active", "waiting", "waiting"] == states


async def test_a_website_may_wait_for_ever(tenant: Client, watch: Watch) -> None:
    browser = await site(tenant, absence_s=None)
    kept = await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    await watch.passes(10 * PATIENCE_S)
    assert "waiting" == (await contact(tenant, kept))["state"]


async def test_clients_of_direct_line_are_there_while_their_stream_is(tenant: Client, watch: Watch) -> None:
    browser = await site(tenant)
    browser.token = (await browser.ask("POST", "/session", json={}))["token"]
    begun = await browser.ask("POST", "/directline/conversations")
    base = f"/directline/conversations/{begun['conversationId']}/activities"
    browser.token = begun["token"]
    await browser.ask("POST", base, json={"type": "message", "text": "hello"})
    for _ in range(3):
        await browser.ask("GET", base)
        await watch.passes(PATIENCE_S)
    waiting = (await tenant.call("GET", "/v1/contacts"))["items"]
    assert ["waiting"] == [each["state"] for each in waiting]
    await watch.passes(PATIENCE_S)
    assert ["abandoned"] == [each["outcome"] for each in (await tenant.call("GET", "/v1/contacts"))["items"]]


async def test_what_is_over_is_forgotten(tenant: Client, watch: Watch) -> None:
    browser = await site(tenant)
    await browser.ask("POST", "/messages", json={"id": "message-one", "text": "hello"})
    await browser.ask("POST", "/end")
    await watch.passes(PATIENCE_S + 3 * SLACK_S)
    found = await asyncpg.connect(tenant.settings.database_url)
    async with asyncio.timeout(30):
        assert 0 == await found.fetchval("SELECT count(*) FROM visits WHERE account = $1", browser.address[-17:])
    await found.close()
