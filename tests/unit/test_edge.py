"""The edge by itself: who goes away, and who waits."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from src.api import edge
from src.api.edge import REQUESTS_FIRST, Edge


def scope_of(path: str) -> Scope:
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}


async def test_who_goes_away_within_its_body_is_no_fault_and_leaves_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pytest.fail(f"nobody hears {message}")

    monkeypatch.setattr(edge, "_log", None)  # a fault would be logged
    tested = Edge(app)
    await tested(scope_of("/channels/voice/pbx1"), receive, send)
    assert 0 == tested._admission.inside


async def test_those_who_wait_for_commands_keep_nobody_out() -> None:
    ready = asyncio.Event()
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("/commands"):
            await ready.wait()
        await Response(status_code=204)(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    tested = Edge(app)
    async with asyncio.TaskGroup() as group:
        for number in range(3 * REQUESTS_FIRST):
            group.create_task(tested(scope_of(f"/channels/voice/pbx{number}/commands"), receive, send))
        await asyncio.sleep(0)
        await tested(scope_of("/v1/contacts"), receive, send)
        assert [204] == statuses
        ready.set()
    assert {204} == set(statuses)
