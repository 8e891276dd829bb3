"""The edge by itself: who goes away, and who waits."""

import asyncio
import json

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from src.api import edge
from src.api.edge import BATCH, BATCH_WEIGHT_MAX, BODY_BYTES_MAX, REQUESTS_FIRST, Edge


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


def with_body(path: str, length: int) -> Scope:
    return {**scope_of(path), "headers": [(b"content-length", f"{length}".encode())]}


class Caller:
    """Sends its body in pieces, and the last of them when it is told to."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.goes_on = asyncio.Event()
        self.heard: list[Message] = []

    async def receive(self) -> Message:
        if len(self.pieces) <= 1:
            await self.goes_on.wait()
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.heard.append(message)

    @property
    def status(self) -> int | None:
        return self.heard[0]["status"] if self.heard else None


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(await Request(scope, receive).body())(scope, receive, send)


async def test_whoever_announces_much_and_sends_nothing_keeps_nobody_out() -> None:
    tested = Edge(echo)
    slow = [Caller(b"{", b"}") for _ in range(2 * REQUESTS_FIRST)]
    async with asyncio.TaskGroup() as group:
        for each in slow:
            group.create_task(tested(with_body("/v1/keys", BODY_BYTES_MAX), each.receive, each.send))
        await asyncio.sleep(0)
        other = Caller(b"quick")
        other.goes_on.set()
        await tested(with_body("/v1/contacts", 5), other.receive, other.send)
        assert (other.status, other.heard[1]["body"]) == (200, b"quick")
        for each in slow:
            each.goes_on.set()
    assert [each.heard[1]["body"] for each in slow] == [b"{}"] * len(slow)
    assert (tested._admission.inside, tested._arriving) == (0, 0)


async def test_a_body_that_does_not_come_in_time_is_refused_and_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "BODY_S_MAX", 0.02)
    tested, caller = Edge(echo), Caller(b"x" * 100, b"y")
    await asyncio.wait_for(tested(with_body("/v1/keys", 101), caller.receive, caller.send), 5)
    assert caller.status == 422
    assert (b"connection", b"close") in caller.heard[0]["headers"]
    assert b'"code":"malformed"' in caller.heard[1]["body"]
    assert tested._arriving == 0


async def test_what_has_come_of_others_bodies_is_bounded_and_those_in_one_piece_need_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "ARRIVING_BYTES_MAX", 1_000)
    tested = Edge(echo)
    first, second, third = Caller(b"x" * 900, b""), Caller(b"x" * 200, b""), Caller(b"x" * 2_000)
    async with asyncio.TaskGroup() as group:
        group.create_task(tested(with_body("/v1/keys", 900), first.receive, first.send))
        await asyncio.sleep(0)
        await tested(with_body("/v1/keys", 200), second.receive, second.send)
        third.goes_on.set()
        await tested(with_body("/v1/keys", 2_000), third.receive, third.send)
        assert (first.status, second.status, third.status) == (None, 503, 200)
        first.goes_on.set()
    assert first.status == 200
    assert tested._arriving == 0


async def test_a_batch_counts_as_its_contacts_and_keeps_nobody_out_who_has_work_to_end() -> None:
    inside = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inside.append(tested._admission.inside)
        await echo(scope, receive, send)

    tested = Edge(app)
    for contacts in (1, 50, 500):
        body = json.dumps({"items": [{"channel": "webchat", "text": 'a "channel"'}] * contacts}).encode()
        each = Caller(body)
        each.goes_on.set()
        await tested(with_body(BATCH, len(body)), each.receive, each.send)
    assert [1, 13, BATCH_WEIGHT_MAX] == inside
    assert BATCH_WEIGHT_MAX < edge.PRESSING * edge.REQUESTS_LEAST
