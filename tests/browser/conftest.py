"""A real browser, and a website for it. Where there is no Chromium these tests are skipped, and say so."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.faults.proxy import Proxy
from tests.support.service import Client

EXAMPLE = Path(__file__).parents[2] / "examples" / "webchat"
SERVICE = "http://127.0.0.1:8000"
"""Where the example's page looks for the service."""

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css"}


def chromium() -> str | None:
    """A Chromium that is installed: Debian's, or the one that `CORDBOARD_TEST_CHROMIUM` names."""
    named = os.environ.get("CORDBOARD_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    found = chromium()
    if found is None:
        pytest.skip("NO BROWSER: install chromium, or name one by CORDBOARD_TEST_CHROMIUM; the widget goes untested")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


class Website:
    """The example's pages on a port of their own, and the service behind a network that can be broken."""

    def __init__(self, origin: str, client: Client, network: Proxy, browser: Browser) -> None:
        self.origin, self.client, self.network, self._browser = origin, client, network, browser
        self.problems: list[str] = []

    @asynccontextmanager
    async def visit(self, **options: Any) -> AsyncIterator[tuple[BrowserContext, Page]]:
        """A browser of its own on the page; whatever it complains of is noted."""
        context = await self._browser.new_context(**{"locale": "zh-CN", **options})
        try:
            page = await context.new_page()
            await self.go(page)
            yield context, page
        finally:
            await context.close()

    async def go(self, page: Page) -> None:
        page.on("console", lambda said: self.problems.append(said.text) if "Content Security" in said.text else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        await page.goto(self.origin)

    async def account(self, **settings: Any) -> None:
        body = {"channel": "webchat", "settings": {"origins": [self.origin], **settings}}
        await self.client.call("PUT", "/v1/channels/shop", json=body)


@pytest.fixture
async def website(client: Client, browser: Browser) -> AsyncIterator[Website]:
    port = int(client.url.rpartition(":")[2])
    network = await Proxy(lambda: asyncio.open_connection("127.0.0.1", port)).start()
    service = f"http://127.0.0.1:{network.port}"
    websocket = service.replace("http", "ws")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode().partition("?")[0]
        file = EXAMPLE / (path.strip("/") or "index.html")
        known = file.parent == EXAMPLE and file.suffix in TYPES and file.exists()
        text = (
            ("" if not known else file.read_text("utf-8"))
            .replace(SERVICE, service)
            .replace(SERVICE.replace("http", "ws"), websocket)
        )
        body = text.encode()
        head = f"HTTP/1.1 {200 if known else 404} x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        writer.write(f"{head}content-type: {TYPES.get(file.suffix, 'text/plain')}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = Website(origin, client, network, browser)
    await found.account()
    yield found
    server.close()
    await network.stop()
    assert found.problems == []
