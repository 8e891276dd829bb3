"""Export and erasure: everything that there is of a person comes out, and then nothing of it is left anywhere."""

import asyncio
import json
from collections.abc import Set as AbstractSet
from typing import Any

import asyncpg
import pytest

from src.store import privacy, tables
from tests.support.service import Client

NOTHING_PERSONAL = {
    "tenants",
    "tenant_heads",
    "processes",
    "journal",
    "journal_checkpoints",
    "assignments",
    "agent_states",
    "config",
    "api_keys",
    "token_trusts",
    "audit",
    "channel_accounts",
    "channel_cursors",
    "channel_tokens",
    "connectors",
    "webhooks",
    "webhook_cursors",
    "webhook_deliveries",
    "visits",
    "call_notes",
    "call_orders",
    "erasures",
    "retention_progress",
    "answers",
}
"""Tables that hold ids, codes and configuration. Whoever adds one says here, or in `store/privacy.py`, what it is."""

SECRETS = (
    "8613800138000",
    "openid-of-zhang",
    "Zhang San",
    "my-account-77",
    "a private story",
    "gold-hidden",
    "he moved",
    "he paid",
)


def test_of_each_table_it_is_known_whether_it_holds_a_person() -> None:
    known = {*privacy.BY_CONTACT, *privacy.ONLY_WORDS, *privacy.CODES, *privacy.BY_CUSTOMER, *privacy.BY_OTHERS}
    assert {each.name for each in known} | NOTHING_PERSONAL == set(tables.metadata.tables)


async def dump(url: str, but: AbstractSet[str] = frozenset()) -> str:
    """Every row of every table, `but` some, as text."""
    connection = await asyncpg.connect(url)
    try:
        found = [
            row[0]
            for name in tables.metadata.tables.keys() - but
            for row in await connection.fetch(f"SELECT each::text FROM {name} AS each")
        ]
    finally:
        await connection.close()
    return "\n".join(found)


async def _served(client: Client) -> dict[str, Any]:
    """A customer who called, told a private story, and was served; all that can be known of it is written down."""
    await client.agent("anna", channels={"voice": {"cost": 100}, "wechat": {"cost": 10}})
    name = "Zhang San"
    identity = {"type": "phone", "value": "+8613800138000", "display_name": name}
    async with client.desktop("anna", status="available") as anna:
        for number, text in enumerate(("a private story", None)):
            contact = await client.contact(
                f"x{number}", text=text, attributes={"account_no": "my-account-77"}, identity=identity
            )
            offer = (await anna.event("contact.offered"))["data"]
            assert (await anna.ask(type="accept", assignment_id=offer["assignment_id"]))["ok"]
            said = {"text": "a private story, continued", "kind": "text"}
            await client.call("POST", f"/v1/contacts/{contact['id']}/messages", 201, json=said)
            await client.call(
                "POST", f"/v1/contacts/{contact['id']}/collaborations", 201, json={"tags": ["lab"], "note": "he moved"}
            )
            await client.call(
                "PATCH", f"/v1/customers/{contact['customer_id']}", json={"attributes": {"level": "gold-hidden"}}
            )
            done = await anna.ask(
                type="complete",
                assignment_id=offer["assignment_id"],
                resolved=True,
                note="he moved",
                disposition="he paid",
            )
            assert done["ok"], done
    return contact


async def test_everything_comes_out_and_then_nothing_is_left(client: Client) -> None:
    contact = await _served(client)
    customer_id = contact["customer_id"]
    other = await client.contact("y", identity={"type": "phone", "value": "+8613900139000"}, text="another story")
    url = client.settings.database_url
    connection = await asyncpg.connect(url)
    values = "tenant, $1, $2, 'voice', '', 'image', 'kept', 1, null, $3, 'image/png', 9, 'zhang.png'"
    for number, (whose, hash_) in enumerate([(contact["id"], "h1"), (contact["id"], "h2"), (other["id"], "h2")]):
        await connection.execute(f"INSERT INTO media SELECT {values} FROM tenant_heads", f"m{number}", whose, hash_)
    for each in ("h1", "h2"):
        await connection.execute("INSERT INTO media_contents SELECT tenant, $1, 'picture' FROM tenant_heads", each)
    before = await dump(url)
    present = [each for each in SECRETS if each in before]
    assert {
        "8613800138000",
        "Zhang San",
        "my-account-77",
        "a private story",
        "gold-hidden",
        "he moved",
        "he paid",
    } == set(present)

    exported = await client.call("GET", f"/v1/customers/{customer_id}/export")
    text = json.dumps(exported, ensure_ascii=False)
    assert [] == [each for each in present if each not in text]
    assert "another story" not in text
    assert other["id"] not in text
    kinds = {each["kind"] for each in exported["items"]}
    assert {"customers", "identities", "contacts", "messages", "notes", "collaboration_words", "events"} <= kinds
    supervisor = {"authorization": f"Bearer {await client.token('anna', 'supervisor')}"}
    await client.call("GET", f"/v1/customers/{customer_id}/export", 403, headers=supervisor)
    await client.call("POST", f"/v1/customers/{customer_id}/erase", 403, headers=supervisor)

    erased = await client.call("POST", f"/v1/customers/{customer_id}/erase", 202)
    assert [customer_id] == erased["customer_ids"]
    for path in (f"/v1/customers/{customer_id}", f"/v1/customers/{customer_id}/export"):
        assert "gone" == (await client.call("GET", path, 410))["code"]
    await client.call("POST", f"/v1/customers/{customer_id}/erase", 202)
    again = await client.contact("z", text="hello")
    assert customer_id != again["customer_id"], "who was erased and writes again is somebody new"
    await settled(url)
    kept = await connection.fetch("SELECT hash FROM media_contents ORDER BY hash")
    assert ["h2"] == [row[0] for row in kept], "a file stays for as long as somebody else has it too"
    await connection.close()
    left = await dump(url)
    assert [] == [each for each in present if each in left and each not in {"8613800138000", "Zhang San"}]
    await client.call("POST", f"/v1/contacts/{again['id']}/cancel")
    await client.call("POST", f"/v1/customers/{again['customer_id']}/erase", 202)
    await settled(url)
    left = await dump(url)
    assert [] == [each for each in present if each in left]
    assert "another story" in left

    shown = await client.call("GET", f"/v1/contacts/{contact['id']}")
    assert (None, None, None) == (shown["text"], shown["identity"], shown["attributes"])
    counted = await client.call("GET", f"/v1/contacts?customer_id={customer_id}")
    assert 2 == len(counted["items"]), "what is counted stays"
    events = await client.call("GET", "/v1/events?after=0&limit=1000")
    gone = [each for each in events["items"] if each["type"] == "customer.deleted"]
    assert [customer_id, again["customer_id"]] == [each["data"]["name"] for each in gone]
    tenant = await client.services.queries.tenant_by_name("default")
    assert tenant is not None


async def settled(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(20):
            while await connection.fetchval("SELECT count(*) FROM erasures WHERE done_at IS NULL"):
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def test_open_contacts_keep_a_customer_and_merged_ones_go_together(client: Client) -> None:
    one = await client.contact("1", text="a")
    refused = await client.call("POST", f"/v1/customers/{one['customer_id']}/erase", 409)
    assert ("in_use", [one["id"]]) == (refused["code"], refused["contacts"])
    two = await client.contact("2", identity={"type": "wechat_openid", "value": "openid-of-zhang"}, channel="wechat")
    assert one["customer_id"] != two["customer_id"]
    await client.call("POST", f"/v1/customers/{one['customer_id']}/merge", json={"customer_id": two["customer_id"]})
    for each in (one, two):
        await client.call("POST", f"/v1/contacts/{each['id']}/cancel")
    erased = await client.call("POST", f"/v1/customers/{two['customer_id']}/erase", 202)
    assert {one["customer_id"], two["customer_id"]} == set(erased["customer_ids"])
    await settled(client.settings.database_url)
    left = await dump(client.settings.database_url)
    assert [] == [each for each in SECRETS if each in left]
    rated = {"score": 1, "comment": "Zhang San again"}
    assert "gone" == (await client.call("PUT", f"/v1/contacts/{one['id']}/satisfaction", 410, json=rated))["code"]
    for each, other in ((one, two), (two, one)):
        path, merge = f"/v1/customers/{each['customer_id']}", {"customer_id": other["customer_id"]}
        await client.call("GET", path, 410)
        await client.call("PATCH", path, 410, json={"tier": "gold"})
        for what in ("merge", "unmerge"):
            await client.call("POST", f"{path}/{what}", 410, json=merge)
    await client.call("POST", "/v1/customers/nobody/erase", 404)


async def test_what_comes_behind_an_erasure_leaves_nothing(client: Client) -> None:
    """Receipts, links and files, before what was kept by contact is taken away and after it."""
    contact = await client.contact("1", text="a private story")
    path = f"/v1/contacts/{contact['id']}"
    said = await client.call("POST", f"{path}/messages", 201, json={"from": "system", "text": "Dear Zhang San"})
    link = (await client.call("POST", f"{path}/progress-link", 201))["path"]
    await client.call("POST", f"{path}/cancel")
    await client.call("POST", f"/v1/customers/{contact['customer_id']}/erase", 202)
    for code in ({"gone"}, {"gone", "not_found"}):
        receipt = f"/v1/messages/{said['id']}/receipt"
        answer = await client.http.post(receipt, json={"state": "sent", "receipt": "Zhang San"})
        assert answer.json()["code"] in code
        assert "gone" == (await client.call("POST", f"{path}/progress-link", 410))["code"]
        await client.call("POST", f"{path}/follow-up", 410, json={"channel": "voice", "agent_id": "anna"})
        assert 410 == (await client.http.get(link, headers={"accept": "application/json"})).status_code
        handed = await client.http.post("/v1/media", params={"contact_id": contact["id"]}, content=b"Zhang San")
        assert 409 == handed.status_code
        await settled(client.settings.database_url)
    assert "Zhang San" not in await dump(client.settings.database_url)
    assert b"Zhang San".hex() not in await dump(client.settings.database_url)


COPIED = """\
INSERT INTO contacts SELECT (jsonb_populate_record(each, jsonb_build_object('id', $1 || lpad(n::text, 8, '0')))).*
FROM contacts AS each CROSS JOIN generate_series(1, $2) AS n WHERE id = $3"""


async def test_a_customer_with_more_contacts_than_a_statement_has_places_comes_out_whole(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL takes 32,767 values with a statement."""
    monkeypatch.setattr(privacy, "CONTACTS_A_STEP", 5_000)
    many = 33_000
    contact = await client.contact("x", text="a private story")
    await client.call("POST", f"/v1/contacts/{contact['id']}/cancel")
    connection = await asyncpg.connect(client.settings.database_url)
    await connection.execute(COPIED, contact["id"][:18], many, contact["id"])
    await connection.execute("ANALYZE")
    await connection.close()
    exported = await client.call("GET", f"/v1/customers/{contact['customer_id']}/export")
    kinds = [each["kind"] for each in exported["items"]]
    assert many + 1 == kinds.count("contacts")
    told = {each["value"]["type"] for each in exported["items"] if each["kind"] == "events"}
    assert {"contact.received", "message.received", "contact.closed"} & told
    assert "events" == kinds[-1]
