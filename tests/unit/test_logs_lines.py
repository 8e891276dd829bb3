"""What a line of the logs holds of an error: its kind and where it came from, never what it says."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from starlette.types import Message, Receive, Scope, Send

from src.api.edge import Edge
from src.cli import logs
from src.errors import NotFound, StoreRejected

MARK = "mark-of-a-person"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before


def _fail() -> None:
    at_hand = MARK  # a local variable
    try:
        int(at_hand)
    except ValueError as error:
        raise StoreRejected("UniqueViolationError: contacts_pkey") from error


def _fail_together() -> None:
    raise ExceptionGroup(MARK, [KeyError(MARK), NotFound(f"there is no agent {MARK!r}")])


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("log", [structlog.get_logger(), logging.getLogger("asyncio")], ids=["own", "library"])
@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (_fail, ["builtins.ValueError", "then:", "StoreRejected: UniqueViolationError: contacts_pkey", "in _fail"]),
        (_fail_together, ["builtins.ExceptionGroup", "one of them:", "builtins.KeyError", "NotFound: not_found"]),
    ],
)
def test_errors_are_told_without_what_they_quote(
    capsys: pytest.CaptureFixture[str], log_format: str, log: logging.Logger, fail: Callable[[], None], told: list[str]
) -> None:
    logs.configure(log_format)
    try:
        fail()
    except Exception:  # whatever it is
        log.exception("task.failed")
    found = capsys.readouterr().err
    assert "task.failed" in found
    text = json.loads(found)["exception"] if log_format == "json" else found
    assert all(each in text for each in told), text
    assert MARK not in found


async def test_a_fault_in_a_request_is_logged_without_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # of ASGI
        raise KeyError(MARK)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        pass

    logs.configure("json")
    scope = {"type": "http", "method": "GET", "path": f"/v1/agents/{MARK}", "query_string": b"", "headers": []}
    await Edge(app)(scope, receive, send)
    line = json.loads(capsys.readouterr().err)
    assert ("request.failed", "GET", None) == (line["event"], line["method"], line["route"])
    assert MARK not in json.dumps(line)
