"""The guide to routing policies: every body in it is put, as it stands."""

import json
import re
from pathlib import Path

import pytest

from tests.support.service import Client

GUIDE = Path(__file__).parents[3] / "docs" / "policies.md"
PUTS = re.findall(r"`PUT (/v1/\S+)`\n\n```json\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
POSTS = re.findall(r"(?<!`)\n\n```json\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


def test_the_guide_has_examples() -> None:
    assert {"rules", "queues", "agents", "departments", "settings", "pilots", "common-problems"} == {
        path.split("/")[2] for path, _ in PUTS
    }
    assert 1 == len(POSTS)


@pytest.mark.parametrize(("path", "body"), PUTS)
async def test_what_the_guide_puts_is_taken(client: Client, path: str, body: str) -> None:
    await client.agent("anna")
    await client.call("PUT", "/v1/departments/logistics", json={})
    await client.call("PUT", path, json=json.loads(body))
    stored = await client.call("GET", path)
    assert json.loads(body).keys() <= stored.keys()


async def test_the_contact_of_the_guide_is_taken(client: Client) -> None:
    await client.agent("anna")
    await client.call("POST", "/v1/contacts", json=json.loads(POSTS[0]))
