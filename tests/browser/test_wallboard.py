"""The wallboard in a real browser: contacts on their way to agents, why, and what becomes of a network that breaks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

import src.api.wallboard
from tests.support.faults.proxy import Proxy
from tests.support.service import ADMIN_KEY, Client

PAGE = Path(src.api.wallboard.__file__).parent / "page"
BOTH = {"webchat": {"cost": 25, "max": 4}, "voice": {"cost": 100, "max": 1}}
PATIENCE_MS = 15_000


async def test_it_is_served_under_a_strict_policy(client: Client) -> None:
    for name, kind in (("", "text/html"), ("main.js", "text/javascript"), ("wallboard.css", "text/css")):
        answer = await client.http.get(f"/wallboard/{name}")
        assert (200, kind) == (answer.status_code, answer.headers["content-type"].partition(";")[0])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        known = {"if-none-match": answer.headers["etag"]}
        assert 304 == (await client.http.get(f"/wallboard/{name}", headers=known)).status_code
    assert "wallboard/" == (await client.http.get("/wallboard")).headers["location"]
    for name in ("nothing.js", "..%2f__init__.py", "__init__.py"):
        assert 404 == (await client.http.get(f"/wallboard/{name}")).status_code


def test_nothing_is_inline_and_no_text_is_read_as_html() -> None:
    for each in PAGE.iterdir():
        text = each.read_text("utf-8")
        for word in ("innerHTML", "insertAdjacentHTML", "eval(", "style=", "<style", "onclick="):
            assert word not in text, f"{each.name}: {word}"


@pytest.fixture
async def network(client: Client) -> AsyncIterator[Proxy]:
    port = int(client.url.rpartition(":")[2])
    proxy = await Proxy(lambda: asyncio.open_connection("127.0.0.1", port)).start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def page(browser: Browser, network: Proxy) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB")
    page, problems = await context.new_page(), list[str]()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
    await page.goto(f"http://127.0.0.1:{network.port}/wallboard")
    yield page
    await context.close()
    assert problems == []


async def enter(page: Page, credential: str = ADMIN_KEY) -> None:
    await page.get_by_label("A supervisor's token").fill(credential)
    await page.get_by_role("button", name="Watch").click()


async def test_a_contact_waits_goes_to_an_agent_and_can_be_asked_why(client: Client, page: Page) -> None:
    await client.agent("anna", name="Anna", skills={"billing": 50}, channels=BOTH)
    before = await client.contact("c-1", tags=["refund"])
    await enter(page)
    waiting, anna = page.locator("#queues"), page.locator(".agent", has_text="Anna")
    await expect(waiting.locator(".chip", has_text="refund")).to_have_count(1)
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    await expect(anna).to_contain_text("available")
    contact = await client.contact("c-2", channel="webchat", tags=["billing"])
    await expect(anna.locator(".chip.offered", has_text="billing")).to_have_count(1)
    await client.call("POST", f"/v1/assignments/{contact['assignment']['id']}/accept")
    await expect(anna.locator(".chip.active", has_text="billing")).to_have_count(1)
    await waiting.locator(".chip").click()
    await expect(page.get_by_role("dialog")).to_contain_text("lacks refund")
    await page.get_by_role("button", name="Close").click()
    found = await Axe().run(page)
    assert [] == [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    await client.call("POST", f"/v1/contacts/{before['id']}/cancel")
    await expect(waiting).to_contain_text("Nobody waits")
    await client.call("POST", f"/v1/assignments/{contact['assignment']['id']}/complete")
    await expect(page.locator(".chip")).to_have_count(0)


async def test_what_happened_while_the_network_was_away_is_shown(client: Client, page: Page, network: Proxy) -> None:
    await client.contact("c-1", tags=["refund"])
    await enter(page)
    await expect(page.locator("#queues .chip")).to_have_count(1)
    await network.cut()
    await expect(page.locator("#link")).to_have_text("connecting…")
    await client.contact("c-2", tags=["invoice"])
    await network.heal()
    await expect(page.locator("#link")).to_have_text("live")
    await expect(page.locator("#queues .chip")).to_have_count(2)


async def test_a_credential_that_may_not_watch_is_told_so(client: Client, page: Page) -> None:
    await enter(page, "cb_nobody")
    await expect(page.get_by_role("alert")).to_have_text("This credential may not watch.")
    await client.agent("sam", channels=BOTH)
    await enter(page, await client.token("sam", role="supervisor"))
    await expect(page.locator("#link")).to_have_text("live")
    await expect(page.locator(".agent", has_text="sam")).to_have_count(1)
