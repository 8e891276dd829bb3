"""The customer walked through as users meet it, over REST, the stream and a website: point by point, at one tenant."""

import json
import time
from typing import Any

import httpx

from src.channels.webchat.signed import sign
from tests.support.floor import acting, answer, do, events, got, present, until
from tests.support.service import Client
from tests.support.visitor import IDENTITY_KEY, Browser, website

EVERY = {each: {"cost": 20, "max": 5} for each in ("wechat", "webchat", "voice")}
NUMBER = "13800138000"
PHONE = {"type": "phone", "value": NUMBER}
OPENID = {"type": "wechat_openid", "value": "oWalk-1"}


async def came(tenant: Client, channel: str, *identities: dict[str, Any], **body: Any) -> dict[str, Any]:
    posted = {"channel": channel, "account": "main", "identity": identities[0], "identities": list(identities[1:])}
    return dict(await tenant.call("POST", "/v1/contacts", json=posted | body))


async def view(tenant: Client, customer_id: str) -> dict[str, Any]:
    return dict(await tenant.call("GET", f"/v1/customers/{customer_id}"))


async def act(tenant: Client, whose: str, what: str, *expected: int, **body: Any) -> dict[str, Any]:
    return dict(await tenant.call("POST", f"/v1/customers/{whose}/{what}", *expected, json=body))


async def visited(tenant: Client, browser: Browser, user: str, text: str) -> dict[str, Any]:
    """The contact of a user for whom the website vouches."""
    good_until = int(time.time()) + 600
    await browser.begin(
        identity={"user_id": user, "expires_at": good_until, "signature": sign(IDENTITY_KEY, user, good_until)}
    )
    kept = await browser.ask("POST", "/messages", json={"id": f"message-{user}", "text": text})
    return dict(await tenant.call("GET", f"/v1/contacts/{kept['conversation_id']}"))


async def _staffed(tenant: Client) -> Browser:
    """Two agents, of whom one is for important customers; a website."""
    await tenant.call("PUT", "/v1/tags/refund", json={"keywords": {"zh": ["退款"]}})
    for agent in ("anna", "ben"):
        await present(tenant, agent, channels=EVERY, skills={"refund": 1})
    tiers = {"vip": {"priority": 600, "agents": ["ben"], "dedicated_wait_s": 60}}
    await tenant.call("PUT", "/v1/settings", json={"repeat_count": 3, "tiers": tiers, "masked_for": ["agent"]})
    await tenant.call("PUT", "/v1/queues/default", json={"last_agent_wait_s": 60})
    rule = {"when": {"customer_attributes": {"city": ["上海"]}}, "then": {"priority": 50}}
    await tenant.call("PUT", "/v1/rules/shanghai", json=rule)
    return await website(tenant, account=f"shop-{time.time_ns()}")


async def _lived(tenant: Client) -> list[dict[str, Any]]:
    """1, 2, 5, 6: a message, a visit and two calls of one customer, newest first; the last is open."""
    browser = await _staffed(tenant)
    first = await came(tenant, "wechat", OPENID, text="我要退款")
    await answer(tenant, first, "accept")
    who = first["customer_id"]
    second = await visited(tenant, browser, "u-1", "我要退款")
    assert second["customer_id"] != who
    merged = await act(tenant, who, "merge", customer_id=second["customer_id"])
    assert (who, [second["customer_id"]]) == (merged["id"], [each["id"] for each in merged["merged_from"]])
    assert ("active", who) == ((await got(tenant, first))["state"], (await got(tenant, second))["customer_id"])
    await act(tenant, who, "identities", **PHONE, proven=True)
    third = await came(tenant, "voice", PHONE, text="退款", priority=1)
    assert who == third["customer_id"]

    assert ["repeat"] == third["flags"]
    [review] = (await tenant.call("GET", "/v1/reviews"))["items"]
    assert (third["id"], {first["id"], second["id"]}) == (review["contact_id"], set(review["earlier"]))
    changed = {"tier": "vip", "attributes": {"city": "上海"}, "tags": ["friend"]}
    await tenant.call("PATCH", f"/v1/customers/{second['customer_id']}", json=changed)
    for each in (first, second, third):
        await do(tenant, each, "cancel")
    fourth = await came(tenant, "voice", PHONE, tags=[])
    assert (650, "ben") == (fourth["priority"], fourth["assignment"]["agent_id"])

    return [fourth, third, second, first]


async def test_one_view_over_three_channels(tenant: Client) -> None:
    """3, 8: it is in the offer too, the agent sees no number, and the customer how its matters stand."""
    contacts = await _lived(tenant)
    fourth, third, _, first = contacts
    who, agent = first["customer_id"], first["assignment"]["agent_id"]
    shown = await view(tenant, who)
    assert [each["id"] for each in contacts] == [each["id"] for each in shown["timeline"]["items"]]
    assert {"wechat_openid", "web_user", "phone"} == {each["type"] for each in shown["identities"]}
    assert ("vip", ["friend"], agent) == (shown["tier"], shown["tags"], shown["last_agent_id"])
    assert [fourth["id"]] == [each["id"] for each in shown["open_contacts"]]
    lately = [(each["id"], each["channel"], each["tags"]) for each in shown["last_contacts"]]
    assert (third["id"], "voice", ["refund"]) == lately[1]
    async with acting(tenant, "ben") as ben:
        [held] = (await ben.call("GET", "/v1/agents/ben/assignments"))["items"]
        assert shown["last_contacts"][1:] == held["customer"]["last_contacts"]
        seen = json.dumps(await view(ben, who))
        assert NUMBER not in seen
        assert "oWalk-1" in seen

    link = await do(tenant, fourth, "progress-link", 201)
    async with httpx.AsyncClient(base_url=tenant.url) as stranger:
        matters = (await stranger.get(link["path"], headers={"accept": "application/json"})).json()["matters"]
    assert ["waiting"] == [each["state"] for each in matters]


async def test_a_life_in_which_nobody_merges_anything(tenant: Client) -> None:
    """A message, a visit that the website signs for, a call from the known number: one customer by itself."""
    browser = await _staffed(tenant)
    first = await came(tenant, "wechat", OPENID, text="我要退款")
    await answer(tenant, first, "accept")
    who, agent = first["customer_id"], first["assignment"]["agent_id"]
    known = {"type": "web_user", "value": "u-1", "account": browser.address.rsplit("/", 1)[1], "proven": True}
    await act(tenant, who, "identities", **known)
    await act(tenant, who, "identities", **PHONE, proven=True)
    second = await visited(tenant, browser, "u-1", "我要退款")
    assert (who, []) == (second["customer_id"], second["flags"])
    await answer(tenant, second, "accept")
    third = await came(tenant, "voice", PHONE, text="退款")
    assert (who, ["repeat"], agent) == (third["customer_id"], third["flags"], third["assignment"]["agent_id"])
    shown = await view(tenant, who)
    assert [third["id"], second["id"], first["id"]] == [each["id"] for each in shown["timeline"]["items"]]
    assert [] == shown["merged_from"]


async def test_what_was_merged_goes_back_and_what_is_erased_is_gone(tenant: Client) -> None:
    """2, 7: each contact goes back to where it came from; a copy of everything, and then nothing."""
    fourth, third, second, first = await _lived(tenant)
    who = first["customer_id"]
    left = await act(tenant, who, "unmerge", customer_id=second["customer_id"])
    assert [fourth["id"], third["id"], first["id"]] == [each["id"] for each in left["timeline"]["items"]]
    assert [second["id"]] == [each["id"] for each in (await view(tenant, second["customer_id"]))["timeline"]["items"]]

    await do(tenant, fourth, "cancel", reason="Zhang San hung up")
    copy = json.dumps(await tenant.call("GET", f"/v1/customers/{who}/export"), ensure_ascii=False)
    assert all(
        each in copy for each in (NUMBER, "我要退款", "Zhang San hung up", "上海" if "上海" in copy else "oWalk-1")
    )
    await act(tenant, who, "erase", 202)
    await tenant.call("GET", f"/v1/customers/{who}", 410)
    await act(tenant, who, "merge", 410, customer_id=second["customer_id"])
    again = await came(tenant, "voice", PHONE, tags=[])
    assert again["customer_id"] not in (who, second["customer_id"])
    assert [] == again["flags"]
    gone = f"/v1/contacts/{first['id']}"
    assert (await until(tenant, gone, lambda each: each["text"] is None, 30))["identity"] is None
    assert "我要退款" == (await got(tenant, second))["text"], "another customer's stays"
    told = {each["type"] for each in await events(tenant, "customer.merged", "customer.unmerged", "customer.deleted")}
    assert {"customer.merged", "customer.unmerged", "customer.deleted"} == told


async def test_what_disagrees_is_put_before_a_person_and_what_is_bad_is_refused(tenant: Client) -> None:
    one = await came(tenant, "wechat", OPENID, {**PHONE, "proven": True}, tags=[])
    other = await came(tenant, "wechat", {**OPENID, "value": "oWalk-2"}, {**PHONE, "proven": True}, tags=[])
    both = [one["customer_id"], other["customer_id"]]
    [conflict] = (await tenant.call("GET", "/v1/customer-conflicts"))["items"]
    assert ("wechat_openid", set(both)) == (conflict["kind"], set(conflict["customer_ids"]))
    await tenant.call("POST", f"/v1/customer-conflicts/{conflict['id']}/settle", json={"verdict": "apart"})
    two = await came(tenant, "wechat", {**OPENID, "value": "oWalk-3"}, {**OPENID, "value": "oWalk-4"}, tags=[])
    [conflict] = (await view(tenant, two["customer_id"]))["conflicts"]
    assert "wechat_openid" == conflict["kind"], "two of one kind at once are two people"
    typed = await came(tenant, "webchat", {"type": "email", "value": "a@b.cn"}, {**PHONE, "proven": False}, tags=[])
    suggestions = (await view(tenant, typed["customer_id"]))["suggestions"]
    assert [one["customer_id"]] == [each["customer_id"] for each in suggestions]
    for identity in (
        {**PHONE, "value": "none"},
        {"type": "wechat_openid", "value": "'; --"},
        {"type": "Phone", "value": "1"},
    ):
        body = {"channel": "voice", "identity": identity}
        assert "malformed" == (await tenant.call("POST", "/v1/contacts", 422, json=body))["code"]
    assert "malformed" == (await act(tenant, both[0], "merge", 422, customer_id=both[0]))["code"]
    assert "not_found" == (await act(tenant, both[0], "merge", 404, customer_id="another-tenants"))["code"]
    assert "conflict" == (await act(tenant, both[0], "unmerge", 409, customer_id=both[1]))["code"]
    for path, code in (("timeline?limit=0", "malformed"), ("timeline?cursor=%00", "bad_cursor")):
        assert code == (await tenant.call("GET", f"/v1/customers/{both[0]}/{path}", 422))["code"]
