"""The REST interface in a real browser: readable with no way out, and tried with a key."""

import json

from playwright.async_api import Browser, Route, expect

from tests.support.service import ADMIN_KEY, Client

PATIENCE_MS = 90_000
"""Swagger UI draws all operations before it answers; on a busy machine that takes its time."""


async def test_it_is_served_under_a_policy_by_this_service_alone(client: Client) -> None:
    for name, kind in (("", "text/html"), ("start.js", "text/javascript"), ("swagger-ui.css", "text/css")):
        answer = await client.http.get(f"/docs/{name}")
        assert (200, kind) == (answer.status_code, answer.headers["content-type"].partition(";")[0])
        assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "docs/" == (await client.http.get("/docs")).headers["location"]
    assert 404 == (await client.http.get("/docs/redoc.standalone.js")).status_code


async def test_operations_are_read_and_tried(client: Client, browser: Browser) -> None:
    outside, problems = list[str](), list[str]()

    async def let(route: Route) -> None:
        if route.request.url.startswith((client.url, "data:")):
            await route.continue_()
        else:
            outside.append(route.request.url)
            await route.abort()

    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
    await page.route("**/*", let)
    await page.goto(f"{client.url}/docs")
    await page.get_by_role("button", name="Authorize").click()
    await page.locator("#auth-bearer-value").fill(ADMIN_KEY)
    await page.locator(".auth-btn-wrapper .authorize").click()
    await page.locator(".btn-done").click()
    operation = page.locator("[id*=put_agent]").first
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_placeholder("agent_id").fill("anna")
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
    agent = json.loads((await client.http.get("/v1/agents/anna")).text)
    assert "Anna" == agent["name"]
    await context.close()
    assert ([], []) == (outside, problems)
