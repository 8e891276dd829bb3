"""What people type as reasons and dispositions: shown everywhere, in no journal, gone with its customer."""

import json
from typing import Any

import asyncpg

from src.store import privacy
from tests.integration.test_privacy import dump
from tests.support.floor import answer, do, events, got, moment, present, taken, trace
from tests.support.service import Client

SAID = (
    "knows Zhang San",
    "Zhang San shouts",
    "Zhang San's sister helped",
    "for Zhang San's lawyer",
    "Zhang San wants Ben",
    "Zhang San's case is hot",
    "Anna knows Zhang San",
    "now, for Zhang San",
    "Zhang San is content",
    "Zhang San hung up",
    "Zhang San called back",
)


async def _handled(tenant: Client) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Contacts of one customer, with everything that can be typed about them; and how a collaboration closed."""
    knows, shouts, sister, lawyer, wants, hot, anna_knows, now, content, hung_up, back = SAID
    await tenant.call("PUT", "/v1/queues/default", json={"wrap_up_s": 600})
    await present(tenant, "anna")
    contact = await tenant.contact("1", channel="webchat")
    await present(tenant, "ben")
    await answer(tenant, contact, "decline", reason=knows)
    contact = await got(tenant, contact)
    assert "ben" == contact["assignment"]["agent_id"]
    await answer(tenant, contact, "accept")
    await do(tenant, contact, "escalate", reason=shouts)
    asked = await tenant.call("POST", f"/v1/contacts/{contact['id']}/collaborations", 201, json={"tags": ["law"]})
    path = f"/v1/collaborations/{asked['id']}"
    key = {"idempotency-key": "close"}
    closed = await tenant.call("POST", f"{path}/close", json={"reason": sister}, headers=key)
    assert sister == closed["reason"]
    assert closed == await tenant.call("POST", f"{path}/close", json={"reason": sister}, headers=key)
    await answer(tenant, await do(tenant, contact, "transfer", to={"agent_id": "anna"}, reason=lawyer), "accept")
    await answer(tenant, await do(tenant, contact, "return", reason=wants), "accept")
    await tenant.call("PUT", "/v1/agents/anna/presence", json={"status": "away"})
    await tenant.call("PUT", "/v1/agents/ben/presence", json={"status": "away"})
    assert "waiting" == (await do(tenant, contact, "take_back", reason=hot))["state"]
    await do(tenant, contact, "pin", agent_id="anna", reason=anna_knows)
    await tenant.call("PUT", "/v1/agents/ben/presence", json={"status": "available"})
    contact = await do(tenant, contact, "assign", agent_id="ben", reason=now)
    async with tenant.desktop("ben") as ben:
        said = {"type": "complete", "assignment_id": contact["assignment"]["id"], "disposition": content}
        assert content == (await ben.ask(**said))["result"]["disposition"]
        assert content == (await ben.event("assignment.wrap_up"))["data"]["disposition"]
    async with tenant.desktop("ben") as ben:
        assert [content] == [each["disposition"] for each in ben.welcome["snapshot"]["assignments"]]
    done = await answer(tenant, contact, "wrap_up_done")
    assert content == done["disposition"]
    assert done == await answer(tenant, contact, "wrap_up_done")
    second = await tenant.contact("2", channel="voice")
    await do(tenant, second, "cancel", reason=hung_up)
    await tenant.call("PUT", "/v1/agents/ben/presence", json={"status": "available"})
    third = await taken(tenant, "3")
    await do(tenant, third, "park", until=moment(600))
    await do(tenant, third, "resume", reason=back)
    await do(tenant, third, "cancel")
    return [await got(tenant, each) for each in (contact, second, third)], closed


async def test_what_is_typed_is_shown_but_in_no_journal_and_goes_with_its_customer(client: Client) -> None:
    contacts, closed = await _handled(client)
    customer_id, url = contacts[0]["customer_id"], client.settings.database_url
    assert "Zhang San is content" == contacts[0]["assignment"]["disposition"]
    paths = [f"/v1/contacts/{contacts[0]['id']}", f"/v1/contacts/{contacts[0]['id']}/trace", "/v1/agents/ben"]
    paths += [f"/v1/customers/{customer_id}", f"/v1/collaborations/{closed['id']}", "/v1/contacts", "/v1/events"]
    shown = {path: json.dumps(await client.call("GET", path)) for path in paths}
    assert [] == [each for each in SAID if each not in shown["/v1/events"]]
    assert "Zhang San is content" in shown[f"/v1/customers/{customer_id}"]
    assert "Zhang San is content" in shown["/v1/contacts"]
    assert "Zhang San's sister helped" in shown[f"/v1/collaborations/{closed['id']}"]
    assert {"knows Zhang San", "now, for Zhang San", "Anna knows Zhang San"} <= _reasons(
        await trace(client, contacts[0])
    )
    assert [] == [path for path, each in shown.items() if '"remark:' in each]
    assert [] == [each for each in SAID if each in await dump(url, but={"remarks"})], "one place holds it, to be erased"
    exported = json.dumps(await client.call("GET", f"/v1/customers/{customer_id}/export"))
    assert [] == [each for each in SAID if each not in exported]

    await client.call("POST", f"/v1/customers/{customer_id}/erase", 202)
    await privacy.carry_out(url)
    assert [] == [each for each in SAID if each in await dump(url)]
    for path in paths:
        if not path.startswith("/v1/customers"):
            assert '"remark:' not in json.dumps(await client.call("GET", path)), path
    assert (await got(client, contacts[0]))["assignment"]["disposition"] is None
    declined = (await events(client, "offer.declined"))[0]
    assert declined["data"]["reason"] is None
    assert ["abandoned"] == [
        each["data"]["reason"]
        for each in await events(client, "contact.closed")
        if each["contact_id"] == contacts[2]["id"]
    ], "codes stay"


def _reasons(decisions: list[dict[str, Any]]) -> set[str]:
    return {each[name] for each in decisions for name in ("reason", "why") if each.get(name) is not None}


async def test_what_was_typed_before_is_shown_as_it_is(client: Client) -> None:
    """Journals from before hold the text itself."""
    await present(client, "anna")
    contact = await taken(client, "1")
    await answer(client, contact, "complete", disposition="refunded")
    connection = await asyncpg.connect(client.settings.database_url)
    await connection.execute("UPDATE assignments SET disposition = 'as it was'")
    changed = "jsonb_set(data::jsonb, '{disposition}', '\"as it was\"')::json"
    await connection.execute(f"UPDATE journal SET data = {changed} WHERE type = 'assignment.completed'")
    await connection.close()
    assert "as it was" == (await got(client, contact))["assignment"]["disposition"]
    assert ["as it was"] == [each["data"]["disposition"] for each in await events(client, "assignment.completed")]
