"""Customers are left in peace: quiet hours, how often they are turned to, and over which channel."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.service import Client
from tests.support.visitor import Browser, website

ALWAYS = {
    "time_zone": "UTC",
    "days": {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
}
NEVER = {"time_zone": "UTC", "days": {}}
EITHER = {"webchat": {"cost": 25, "max": 4}, "voice": {"cost": 25, "max": 4}}
USER = {"type": "external_id", "value": "u-1"}
PHONE = {"type": "phone", "value": "+8613800138000", "proven": True}


async def settings(client: Client, **restraint: Any) -> None:
    await client.call("PUT", "/v1/settings", json={"restraint": restraint})


@pytest.fixture
async def chat(client: Client) -> dict[str, Any]:
    """A chat that anna has accepted."""
    await client.agent("anna", channels=EITHER)
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    made = await client.contact("chat-1", channel="webchat", identity=USER, identities=[PHONE])
    await client.call("POST", f"/v1/assignments/{made['assignment']['id']}/accept")
    return made


async def follow_up(client: Client, contact: dict[str, Any], *expected: int, **body: Any) -> dict[str, Any]:
    return dict(await client.call("POST", f"/v1/contacts/{contact['id']}/follow-up", *expected, json=body))


def quiet_until(minutes: int) -> tuple[dict[str, Any], datetime]:
    """Quiet hours that hold now and end about so many minutes from now; and when they end."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(minutes=5), (now + timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    dates = {f"{begin:%Y-%m-%d}": [[f"{begin:%H:%M}", f"{end:%H:%M}"]]}
    return {"time_zone": "UTC", "dates": dates}, end


async def events(client: Client, *kinds: str) -> list[dict[str, Any]]:
    journal = await client.call("GET", "/v1/events?after=0&limit=1000")
    return [each for each in journal["items"] if each["type"] in kinds]


async def test_nobody_is_restrained_unless_the_tenant_says_so(client: Client, chat: dict[str, Any]) -> None:
    stored = await client.call("PUT", "/v1/settings", json={})
    assert {"quiet": None, "outreach_max": None, "outreach_within_s": 86_400} == stored["restraint"]
    for number in range(3):
        await follow_up(client, chat, 201, channel="voice", external_id=f"out-{number}")


async def test_no_follow_up_begins_in_quiet_hours_unless_it_is_urgent(client: Client, chat: dict[str, Any]) -> None:
    quiet, end = quiet_until(90)
    await settings(client, quiet=quiet)
    refused = await follow_up(client, chat, 409, channel="voice")
    assert ("quiet_hours", f"{end:%Y-%m-%dT%H:%M:%S}.000Z") == (refused["code"], refused["allowed_at"])
    assert "malformed" == (await follow_up(client, chat, 422, channel="voice", urgent=True))["code"]
    assert "malformed" == (await follow_up(client, chat, 422, channel="voice", reason="why"))["code"]
    call = await follow_up(client, chat, 201, channel="voice", urgent=True, reason="Her account is being emptied")
    (told,) = await events(client, "outreach.urgent")
    assert call["id"] == told["contact_id"]
    assert ("quiet_hours", "Her account is being emptied") == (told["data"]["rule"], told["data"]["reason"])
    assert told["data"]["by"]


async def test_what_is_urgent_before_quiet_hours_is_on_the_record_too(client: Client, chat: dict[str, Any]) -> None:
    await follow_up(client, chat, 201, channel="voice", urgent=True, reason="there are none")
    assert [] == await events(client, "outreach.urgent")
    await settings(client, quiet=NEVER)
    call = await follow_up(client, chat, 201, channel="voice", urgent=True, reason="Her flight leaves")
    plain = await follow_up(client, chat, 201, channel="voice")
    assert ([], ["outreach"]) == (call["flags"], plain["flags"])
    (told,) = await events(client, "outreach.urgent")
    assert (call["id"], "Her flight leaves") == (told["contact_id"], told["data"]["reason"])


async def test_a_customer_is_turned_to_so_often_over_all_channels(client: Client, chat: dict[str, Any]) -> None:
    await settings(client, outreach_max=2, outreach_within_s=3_600)
    before = datetime.now(UTC)
    first = await follow_up(client, chat, 201, channel="voice", external_id="out-1")
    await follow_up(client, chat, 201, channel="webchat", identity=USER)
    refused = await follow_up(client, chat, 409, channel="voice")
    assert "too_many_outreaches" == refused["code"]
    allowed_at = datetime.fromisoformat(refused["allowed_at"])
    assert timedelta(0) <= allowed_at - (before + timedelta(hours=1)) < timedelta(minutes=1)
    again = await follow_up(client, chat, 200, channel="voice", external_id="out-1")
    assert first["id"] == again["id"], "a repeat is none more"
    other = await client.contact("chat-2", identity={"type": "external_id", "value": "u-2"}, identities=[])
    await client.call("POST", f"/v1/contacts/{other['id']}/cancel")
    await follow_up(
        client, other, 201, channel=other["channel"], agent_id="anna", identity={"type": "external_id", "value": "u-2"}
    )
    await follow_up(client, chat, 201, channel="voice", urgent=True, reason="fraud")
    (told,) = await events(client, "outreach.urgent")
    assert "too_many_outreaches" == told["data"]["rule"]
    await settings(client, outreach_max=4, outreach_within_s=3_600)
    await follow_up(client, chat, 201, channel="voice")
    await follow_up(client, chat, 409, channel="voice")


async def test_a_call_back_that_was_answered_counts_and_is_held_in_quiet_hours(client: Client) -> None:
    await client.agent("anna", channels=EITHER)
    shut = {"time_zone": "UTC", "days": {}, "closed": {"action": "callback", "message": "We call you."}}
    await client.call("PUT", "/v1/queues/default", json={"hours": shut})
    call = await client.contact("call-1", channel="voice", identity=PHONE)
    assert ("parked", ["callback"]) == (call["state"], call["flags"])
    await client.call("PUT", "/v1/queues/default", json={})
    await settings(client, quiet=ALWAYS)
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    resumed = await client.call("POST", f"/v1/contacts/{call['id']}/resume")
    assert ("waiting", None) == (resumed["state"], resumed["assignment"])
    explained = await client.call("POST", "/v1/routing:explain", json={"contact_id": call["id"]})
    assert (False, "quiet") == (explained["open"], explained["queue_is"])
    trace = (await client.call("GET", f"/v1/contacts/{call['id']}/trace"))["decisions"]
    assert "quiet" == trace[-1]["queue_is"]
    await settings(client, quiet=NEVER, outreach_max=1)
    offered = await client.call("GET", f"/v1/contacts/{call['id']}")
    assert "anna" == offered["assignment"]["agent_id"]
    await client.call("POST", f"/v1/assignments/{offered['assignment']['id']}/accept")
    refused = await follow_up(client, call, 409, channel="voice")
    assert "too_many_outreaches" == refused["code"]


async def test_a_follow_up_goes_over_the_channel_that_the_customer_prefers(
    client: Client, chat: dict[str, Any]
) -> None:
    customer = f"/v1/customers/{chat['customer_id']}"
    assert (await client.call("GET", customer))["preferred_channel"] is None
    plain = await follow_up(client, chat, 201)
    assert ("webchat", "external_id", None) == (plain["channel"], plain["identity"]["type"], plain["preferred_channel"])
    assert "voice" == (await client.call("PATCH", customer, json={"preferred_channel": "voice"}))["preferred_channel"]
    call = await follow_up(client, chat, 201, account="pbx")
    assert ("voice", "pbx", "voice") == (call["channel"], call["account"], call["preferred_channel"])
    held = await client.call("GET", f"/v1/assignments/{call['assignment']['id']}")
    assert "voice" == held["customer"]["preferred_channel"]
    named = await follow_up(client, chat, 201, identity=USER)
    assert ("webchat", "u-1") == (named["channel"], named["identity"]["value"]), "nobody is called at such an address"
    other = await follow_up(client, chat, 201, channel="webchat", identity=USER)
    assert ("webchat", "voice") == (other["channel"], other["preferred_channel"])
    await client.call("PATCH", customer, json={"preferred_channel": "email"})
    assert "webchat" == (await follow_up(client, chat, 201))["channel"], "no address for e-mail is known"


async def chatted(client: Client, browser: Browser, number: int) -> dict[str, Any]:
    """A chat that anna answered and has ended, as the visitor sees it."""
    await browser.ask("POST", "/messages", json={"id": f"message-{number}", "text": "hello"})
    (held,) = (await client.call("GET", "/v1/agents/anna/assignments"))["items"]
    await client.call("POST", f"/v1/assignments/{held['id']}/accept")
    assert not (await browser.ask("GET", "/conversation"))["conversation"]["asks"]
    await client.call("POST", f"/v1/assignments/{held['id']}/complete", json={"resolved": True})
    return dict((await browser.ask("GET", "/conversation"))["conversation"])


async def test_visitors_are_asked_how_it_was_so_often_and_not_in_quiet_hours(client: Client) -> None:
    browser = await website(client, uuid.uuid4().hex)
    await client.agent("anna", channels=EITHER, skills={})
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    assert (await chatted(client, browser, 1))["asks"], "nothing is said of it"
    assert [] == await events(client, "survey.asked", "survey.withheld")
    await settings(client, quiet=ALWAYS)
    assert not (await chatted(client, browser, 2))["asks"]
    await settings(client, quiet=NEVER, outreach_max=1)
    assert not (await browser.ask("GET", "/conversation"))["conversation"]["asks"], "it is decided once"
    asked = await chatted(client, browser, 3)
    assert asked["asks"]
    assert (await browser.ask("GET", "/conversation"))["conversation"]["asks"]
    await browser.ask("POST", "/rating", json={"score": 5})
    assert not (await browser.ask("GET", "/conversation"))["conversation"]["asks"]
    last = await chatted(client, browser, 4)
    assert not last["asks"]
    told = await events(client, "survey.asked", "survey.withheld")
    assert ["quiet_hours", None, "too_many_outreaches"] == [each["data"].get("rule") for each in told]
    assert [asked["id"], last["id"]] == [each["contact_id"] for each in told[1:]]
    refused = await follow_up(client, last, 409)
    assert "too_many_outreaches" == refused["code"], "a question is an outreach like others"


async def test_a_socket_hears_whether_the_visitor_is_asked(client: Client) -> None:
    browser = await website(client, uuid.uuid4().hex)
    await client.agent("anna", channels=EITHER, skills={})
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    await settings(client, outreach_max=1)
    for asks in (True, False):
        async with browser.socket() as visitor:
            await visitor.say("hello")
            (held,) = (await client.call("GET", "/v1/agents/anna/assignments"))["items"]
            await client.call("POST", f"/v1/assignments/{held['id']}/accept")
            await visitor.shows(state="active", asks=False)
            await client.call("POST", f"/v1/assignments/{held['id']}/complete", json={"resolved": True})
            assert asks == (await visitor.shows(state="ended"))["asks"]


async def test_what_is_no_restraint_is_refused(client: Client) -> None:
    for wrong in (
        {"quiet": {"time_zone": "Nowhere/Land"}},
        {"quiet": {"time_zone": "UTC", "days": {"mon": [["25:00", "26:00"]]}}},
        {"quiet": {"time_zone": "UTC", "closed": {"action": "close"}}},
        {"outreach_max": 0},
        {"outreach_within_s": 1},
        {"often": 1},
    ):
        refused = await client.call("PUT", "/v1/settings", 422, json={"restraint": wrong})
        assert "malformed" == refused["code"], wrong
