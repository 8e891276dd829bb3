"""Progress links: what a customer sees without a credential, for how long, and what it does not see."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from src.api.progress import page
from src.api.progress.links import Link, ProgressLinks
from src.errors import NotFound
from tests.support.service import Client

PHONE = {"type": "phone", "value": "+8613800138000", "display_name": "Zhang San"}


async def _link(client: Client, contact_id: str, **body: Any) -> str:
    made = await client.call("POST", f"/v1/contacts/{contact_id}/progress-link", 201, json=body)
    return str(made["path"])


async def _look(client: Client, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=client.url) as stranger:
        return await stranger.get(path, headers=headers)


async def test_a_customer_follows_its_matters_through_their_states(client: Client) -> None:
    await client.agent("anna", channels={"voice": {"cost": 100}})
    first = await client.contact("1", text="my secret story")
    second = await client.contact("2", channel="wechat")
    path = await _link(client, first["id"])
    assert len(path) < 80, "it has to fit into a text message"
    seen = await _look(client, path, accept="application/json")
    assert 200 == seen.status_code
    one, other = seen.json()["matters"]
    assert ("voice", "waiting", 1) == (one["channel"], one["state"], one["position"])
    assert ("wechat", "waiting") == (other["channel"], other["state"])
    for text in ("secret", "13800138000", "Zhang", first["id"], "anna", first["customer_id"]):
        assert text not in seen.text
    async with client.desktop("anna", status="available") as anna:
        offer = (await anna.event("contact.offered"))["data"]
        await anna.ask(type="accept", assignment_id=offer["assignment_id"])
        await client.call("PUT", "/v1/departments/lab", json={"deadlines": {"feedback_s": 600}})
        await client.call("POST", f"/v1/contacts/{first['id']}/collaborations", 201, json={"department": "lab"})
        one = (await _look(client, path, accept="application/json")).json()["matters"][0]
        assert ("active", None) == (one["state"], one["position"])
        (helping,) = one["collaborations"]
        assert "requested" == helping["state"]
        due = datetime.fromisoformat(helping["answer_by"]) - datetime.now(UTC)
        assert timedelta(seconds=500) < due <= timedelta(seconds=600)
        token = await client.token("anna")
        mine = await client.http.post(
            f"/v1/contacts/{first['id']}/progress-link", headers={"authorization": f"Bearer {token}"}
        )
        assert 201 == mine.status_code, "who holds the contact may make a link"
        other_one = await client.http.post(
            f"/v1/contacts/{second['id']}/progress-link", headers={"authorization": f"Bearer {token}"}
        )
        assert 403 == other_one.status_code
        await anna.ask(type="complete", assignment_id=offer["assignment_id"], resolved=True)
    one, other = (await _look(client, path, accept="application/json")).json()["matters"]
    assert "closed" == one["state"]
    assert one["closed_at"] is not None
    this = await _link(client, first["id"], matters="this")
    assert 1 == len((await _look(client, this, accept="application/json")).json()["matters"])


async def test_the_page_speaks_both_languages_and_runs_nothing(client: Client) -> None:
    contact = await client.contact("1", channel="telex-9")
    path = await _link(client, contact["id"])
    for accepted, lang, title in (
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "办理进度"),
        ("en-GB,en;q=0.9,zh;q=0.1", "en", "How your request stands"),
        ("fr;q=1, en;q=x", "zh-CN", "办理进度"),
    ):
        seen = await _look(client, path, **{"accept": "text/html,*/*", "accept-language": accepted})
        assert (200, lang) == (seen.status_code, seen.headers["content-language"])
        assert title in seen.text
        assert f'lang="{lang}"' in seen.text
        assert "telex-9" in seen.text
        assert "<script" not in seen.text
        assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d \(UTC\+0800\)", seen.text)
        headers = seen.headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert ("no-store", "no-referrer") == (headers["cache-control"], headers["referrer-policy"])
        assert "noindex" in headers["x-robots-tag"]


async def test_links_end_are_revoked_and_cannot_be_made_up(client: Client) -> None:
    contact = await client.contact("1")
    path = await _link(client, contact["id"])
    forged = path[:-1] + ("A" if path[-1] != "A" else "B")
    for bad in (forged, path[:-4], "/p/x", "/p/" + "é" * 76, "/p/" + "A" * 76):
        assert 404 == (await _look(client, bad)).status_code
    seen = await _look(client, forged, accept="application/json")
    assert "not_found" == seen.json()["code"]
    tenant = await client.services.queries.tenant_by_name("default")
    assert tenant is not None
    now = int(time.time())
    over = client.services.progress_links.make(Link(tenant.id, contact["id"], True, now - 100, now - 1))
    gone = await _look(client, f"/p/{over}", **{"accept-language": "en"})
    assert 410 == gone.status_code
    assert "This link no longer works" in gone.text
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    await client.call("PUT", "/v1/settings", json={"progress": {"links_since": soon}})
    assert 410 == (await _look(client, path)).status_code
    await client.call("PUT", "/v1/settings", json={})
    assert 200 == (await _look(client, path)).status_code
    assert "too_fast" == [(await _look(client, path, accept="application/json")).json() for _ in range(25)][-1]["code"]
    for zone in ("Middle/Earth", "localtime"):
        await client.call("PUT", "/v1/settings", 422, json={"progress": {"time_zone": zone}})
    await client.call("POST", f"/v1/contacts/{contact['id']}/progress-link", 422, json={"ttl_s": 1})
    await client.call("POST", "/v1/contacts/nobody/progress-link", 404, json={})


def test_another_secret_reads_no_link_unless_it_is_still_known() -> None:
    link = Link("01a218ff-3a77-7453-a600-e5b7fc00ff64", "01a218ff-3a77-7453-a600-e5b7fc00ff65", False, 1, 2_000_000_000)
    made = ProgressLinks(["old"]).make(link)
    assert link == ProgressLinks(["new", "old"]).read(made, 1_000)
    with pytest.raises(NotFound):
        ProgressLinks(["new"]).read(made, 1_000)


def test_what_is_shown_is_escaped() -> None:
    matter = {
        "channel": "<script>alert(1)</script>",
        "state": "waiting",
        "position": 3,
        "estimated_wait_s": 300.0,
        "opened_at": "2026-11-26T10:00:00.000Z",
        "promised_at": None,
        "closed_at": None,
        "collaborations": [],
    }
    found = {"as_of": "2026-11-26T10:00:00.000Z", "expires_at": "2026-11-27T10:00:00.000Z", "matters": [matter]}
    shown = page.progress(found, ZoneInfo("Asia/Shanghai"), "en")
    assert "<script" not in shown
    assert "about 5 min" in shown
    assert "2026-11-26 18:00 (UTC+0800)" in shown
