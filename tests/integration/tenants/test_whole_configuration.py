"""A tenant's whole configuration as one document: put at once, all of it or nothing."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.service import Client

PATH = "/v1/configuration"
SITE = {"origins": ["https://shop.example.com"]}
CENTRE: dict[str, Any] = {
    "settings": {"tiers": {"vip": {"priority": 600, "agents": ["anna"]}}},
    "queues": {
        "refunds": {"overflow": {"action": "queue", "queue": "late"}, "max_wait_s": 60},
        "late": {"teams": ["reserve"]},
    },
    "tags": {"refund": {"keywords": {"en": ["refund"]}, "requires": {"money": 50}}},
    "rules": {"money": {"when": {"tags_any": ["refund"]}, "then": {"queue": "refunds", "preferred_agent_id": "ben"}}},
    "pilots": {"south": {"percent": 10, "queues": {"late": {"wrap_up_s": 5}}}},
    "departments": {"store": {"escalate_to": "anna"}},
    "agents": {"ben": {"mentor_id": "anna", "skills": {"money": 80}}, "anna": {"mentor_id": "ben"}},
    "connectors": {"crm": {"url": "https://crm.example.com/{customer.id}", "secrets": {"X-Key": "abc"}}},
    "webhooks": {"crm": {"url": "https://crm.example.com/in", "types": ["contact.closed"]}},
}


@pytest.fixture
def centre() -> dict[str, Any]:
    """A configuration of every kind; names of accounts are the whole service's."""
    return {**CENTRE, "channels": {f"shop-{uuid4().hex}": {"channel": "webchat", "queue": "refunds", "settings": SITE}}}


def _acts(answer: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(each["act"], each["section"], each["name"]) for each in answer["changes"]}


async def test_what_names_one_another_is_put_at_once_and_read_is_what_was_put(
    tenant: Client, centre: dict[str, Any]
) -> None:
    planned = await tenant.call("PUT", f"{PATH}?dry_run=true", json=centre)
    assert planned["applied"] is False
    assert [] == (await tenant.call("GET", "/v1/agents"))["items"], "it was a dry run"
    made = await tenant.call("PUT", PATH, json=centre)
    assert (True, planned["changes"]) == (made["applied"], made["changes"])
    assert ("update", "settings", "settings") in _acts(made)
    assert ("create", "queues", "late") in _acts(made)
    contact = await tenant.contact("1", tags=["refund"])
    assert "refunds" == contact["queue"], "it holds at once"
    for defaults in ("true", "false"):
        read = await tenant.call("GET", f"{PATH}?defaults={defaults}")
        again = await tenant.call("PUT", f"{PATH}?prune=true", json=read)
        assert ([], False, made["version"]) == (again["changes"], again["applied"], again["version"])
    assert {"X-Key": None} == read["connectors"]["crm"]["secrets"]
    assert {"url": centre["webhooks"]["crm"]["url"], "types": ["contact.closed"], "secret": None, "personal": True} == (
        read["webhooks"]["crm"]
    )
    assert {"mentor_id": "ben"} == read["agents"]["anna"]
    acts = [each["act"] for each in (await tenant.call("GET", "/v1/audit?limit=50"))["items"]]
    assert {"queue.updated", "agent.updated", "connector.updated", "webhook.updated"} <= set(acts)


async def test_what_is_missing_goes_only_where_that_is_wanted(tenant: Client, centre: dict[str, Any]) -> None:
    await tenant.call("PUT", PATH, json=centre)
    less: dict[str, Any] = {"rules": {}, "queues": {"refunds": {}}, "connectors": {}}
    assert {("update", "queues", "refunds")} == _acts(await tenant.call("PUT", f"{PATH}?dry_run=true", json=less))
    refused = await tenant.call("PUT", f"{PATH}?prune=true", 409, json=less)
    assert ("in_use", "queues.late") == (refused["code"], refused["field"]), "a pilot has a version of it"
    gone = await tenant.call("PUT", f"{PATH}?prune=true", json={**less, "pilots": {}, "webhooks": {}})
    assert {
        ("update", "queues", "refunds"),
        ("delete", "queues", "late"),
        ("delete", "rules", "money"),
        ("delete", "connectors", "crm"),
        ("delete", "pilots", "south"),
        ("delete", "webhooks", "crm"),
    } == _acts(gone)
    left = await tenant.call("GET", f"{PATH}?defaults=false")
    assert ["default", "refunds"] == sorted(left["queues"]), "the default queue stays"
    assert ["anna", "ben"] == sorted(left["agents"]), "what is not spoken of stays"
    refused = await tenant.call("PUT", f"{PATH}?prune=true", 409, json={"agents": {}})
    assert {"agents.anna", "agents.ben"} > {refused["field"]} or refused["errors"]


async def test_refused_is_all_of_it_and_every_place_is_named(tenant: Client, centre: dict[str, Any]) -> None:
    wrong = {
        **centre,
        "rules": {"money": {"then": {"queue": "nowhere"}}, "other": {"then": {"preferred_agent_id": "nobody"}}},
    }
    refused = await tenant.call("PUT", PATH, 422, json=wrong)
    assert ("unknown_reference", "rules.money.then.queue") == (refused["code"], refused["field"])
    assert ["rules.money.then.queue", "rules.other.then.preferred_agent_id"] == [
        each["field"] for each in refused["errors"]
    ]
    malformed = await tenant.call("PUT", PATH, 422, json={"queues": {"q": {"paused": 1, "no": 2}}})
    assert {"queues.q.paused", "queues.q.no"} == {each["field"] for each in malformed["errors"]}
    for section, name, body, place in (
        ("channels", "shop", {"channel": "webchat", "queue": "none", "settings": SITE}, "channels.shop.queue"),
        (
            "channels",
            "shop",
            {"channel": "webchat", "secrets": {"a": None}, "settings": SITE},
            "channels.shop.secrets.a",
        ),
        ("connectors", "crm", {"url": "ftp://x"}, "connectors.crm.url"),
        ("webhooks", "crm", {"url": "ftp://x"}, "webhooks.crm.url"),
    ):
        assert place == (await tenant.call("PUT", PATH, 422, json={**centre, section: {name: body}}))["field"]
    read = await tenant.call("GET", f"{PATH}?defaults=false")
    assert {"default": {}} == read.pop("queues")
    assert not any(read.values()), "nothing was done"


async def test_nobodys_work_is_overwritten(tenant: Client, centre: dict[str, Any]) -> None:
    seen = (await tenant.http.get(PATH)).headers["etag"]
    await tenant.call("PUT", "/v1/queues/late", json={})
    stale = await tenant.call("PUT", PATH, 412, json={"queues": {}}, headers={"if-match": seen})
    assert "precondition_failed" == stale["code"]
    answer = await tenant.http.put(PATH, json=centre)
    assert answer.headers["etag"] == (await tenant.http.get(PATH)).headers["etag"] != seen


async def test_secrets_stay_unless_they_are_given(tenant: Client, centre: dict[str, Any]) -> None:
    await tenant.call("PUT", PATH, json=centre)
    crm = centre["connectors"]["crm"]
    same = {"connectors": {"crm": crm}}
    assert [] == (await tenant.call("PUT", PATH, json=same))["changes"], "the same secret is no news"
    other = {"connectors": {"crm": {**crm, "secrets": {"X-Key": "def"}}}}
    [change] = (await tenant.call("PUT", PATH, json=other))["changes"]
    assert [{"field": "secrets.X-Key", "from": None, "to": None, "secret": True}] == change["fields"]
    moved = {"connectors": {"crm": {"url": "https://elsewhere.example.com", "secrets": {"X-Key": None}}}}
    refused = await tenant.call("PUT", PATH, 422, json=moved)
    assert "connectors.crm.secrets.X-Key" == refused["field"], "it is told to nobody else"


async def test_who_may(tenant: Client) -> None:
    for scopes, read, agents, queues in (
        (["config:write"], 403, 403, 200),
        (["config:write", "agents:read"], 200, 403, 200),
        (["agents:write", "agents:read"], 403, 403, 403),
    ):
        made = await tenant.call("POST", "/v1/keys", json={"name": "k", "scopes": scopes})
        headers = {"authorization": f"Bearer {made['key']}"}
        assert read == (await tenant.http.get(PATH, headers=headers)).status_code
        assert agents == (await tenant.http.put(PATH, json={"agents": {}}, headers=headers)).status_code
        assert queues == (await tenant.http.put(PATH, json={"queues": {}}, headers=headers)).status_code
