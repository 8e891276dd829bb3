"""Contacts are served below FastAPI's request machinery, and nobody can tell: the same answers, the same errors."""

import json
from typing import Any

import pytest

from tests.support.service import Client

CONTACT: dict[str, Any] = {"channel": "voice", "identity": {"type": "phone", "value": "+8613800138000"}, "tags": []}
BELOW, ABOVE = "application/json", 'application/json; profile="x"'
"""The second is JSON too, but not plainly so: FastAPI serves it."""


async def _answer(client: Client, kind: str, path: str, content: bytes, **headers: str) -> tuple[int, Any, Any]:
    answer = await client.http.post(path, content=content, headers={"content-type": kind, **headers})
    return answer.status_code, answer.headers["content-type"], answer.json()


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (json.dumps({**CONTACT, "surprise": 1}).encode(), {}),
        (json.dumps({**CONTACT, "queue": "nowhere"}).encode(), {}),
        (json.dumps({**CONTACT, "text": "\ud800"}).encode(), {}),
        (b"{", {}),
        (b"", {}),
        (b"\xff", {}),
        (json.dumps(CONTACT).encode(), {"authorization": "Bearer cb_wrong"}),
        (json.dumps(CONTACT).encode(), {"idempotency-key": "x" * 300}),
    ],
)
async def test_an_error_is_the_same_either_way(client: Client, content: bytes, headers: dict[str, str]) -> None:
    below = await _answer(client, BELOW, "/v1/contacts", content, **headers)
    above = await _answer(client, ABOVE, "/v1/contacts", content, **headers)
    assert below == above
    assert below[0] >= 400


async def test_a_contact_posted_either_way_is_one_contact(client: Client) -> None:
    content = json.dumps({**CONTACT, "external_id": "once"}).encode()
    first = await _answer(client, BELOW, "/v1/contacts", content)
    again = await _answer(client, ABOVE, "/v1/contacts", content)
    assert (201, 200) == (first[0], again[0])
    assert first[2]["id"] == again[2]["id"]
    assert first[2].keys() == again[2].keys()


async def test_an_idempotency_key_holds_either_way(client: Client) -> None:
    content = json.dumps(CONTACT).encode()
    first = await _answer(client, BELOW, "/v1/contacts", content, **{"idempotency-key": "k"})
    again = await _answer(client, ABOVE, "/v1/contacts", content, **{"idempotency-key": "k"})
    assert (201, 201) == (first[0], again[0])
    assert first[2]["id"] == again[2]["id"]


async def test_a_batch_either_way(client: Client) -> None:
    content = json.dumps({"items": [{**CONTACT, "external_id": "a"}, {**CONTACT, "channel": 7}]}).encode()
    below = await _answer(client, BELOW, "/v1/contacts:batch", content)
    above = await _answer(client, ABOVE, "/v1/contacts:batch", content)
    assert ([201, 422], [200, 422]) == tuple([each["status"] for each in way[2]["items"]] for way in (below, above))
    assert below[2]["items"][1] == above[2]["items"][1]
