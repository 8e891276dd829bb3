"""Export and erasure: everything that there is of a person comes out, and then nothing of it is left anywhere."""

import asyncio
import itertools
import json
import random
from base64 import b64decode
from collections.abc import Set as AbstractSet
from typing import Any

import asyncpg
import pytest

from src.dispatch.facts import MediaFact
from src.dispatch.jobs import KeepMedia
from src.store import privacy, retaining, tables
from src.store.contents import PUT, Contents, Held, sweep
from src.store.privacy import carry_out
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
    "surveys",
    "call_notes",
    "call_orders",
    "erasures",
    "common_problems",
    "rosters",
    "media_holds",
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
    await client.call("PUT", "/v1/queues/default", json={"reoffer_after_s": 0})
    name = "Zhang San"
    identity = {"type": "phone", "value": "+8613800138000", "display_name": name}
    async with client.desktop("anna", status="available") as anna:
        for number, text in enumerate(("a private story", None)):
            contact = await client.contact(
                f"x{number}", text=text, attributes={"account_no": "my-account-77"}, identity=identity
            )
            offer = (await anna.event("contact.offered"))["data"]
            assert (await anna.ask(type="decline", assignment_id=offer["assignment_id"]))["ok"]
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
    _has_files_and_assignments(exported["items"])
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


def _has_files_and_assignments(items: list[dict[str, Any]]) -> None:
    """What is in the files, and each assignment that there was."""
    files = [each["value"] for each in items if each["kind"] == "media_contents"]
    assert {("h1", b"picture"), ("h2", b"picture")} == {(each["hash"], b64decode(each["body"])) for each in files}
    given = [each["value"]["state"] for each in items if each["kind"] == "assignments"]
    assert ["completed", "completed", "declined", "declined"] == sorted(given)


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


PICTURE = b"\x89PNG\r\n\x1a\n of Zhang San"


async def test_a_file_stays_for_who_has_just_handed_it_in_and_not_yet_named_it(client: Client) -> None:
    """Another customer with the same file is erased in between."""
    one = await client.contact("1")
    handed = await client.http.post("/v1/media", params={"contact_id": one["id"]}, content=PICTURE)
    assert 201 == handed.status_code
    other = await client.contact("2", identity={"type": "phone", "value": "+8613900139000"})
    contents, tenant = client.services.contents, await _tenant(client)
    held = await contents.put(tenant, PICTURE)
    await client.call("POST", f"/v1/contacts/{one['id']}/cancel")
    await client.call("POST", f"/v1/customers/{one['customer_id']}/erase", 202)
    await settled(client.settings.database_url)
    fact = MediaFact("m", other["id"], "voice", "", "image", "kept", 1, None, held.hash, "image/png", len(PICTURE))
    await client.services.owner.submit(tenant, KeepMedia(fact))
    await contents.let_go(tenant, held)
    assert PICTURE == (await client.http.get("/v1/media/m")).content
    await client.call("POST", f"/v1/contacts/{other['id']}/cancel")
    await client.call("POST", f"/v1/customers/{other['customer_id']}/erase", 202)
    await settled(client.settings.database_url)
    assert await contents.get(tenant, held.hash) is None


async def test_a_file_goes_that_was_put_and_never_named(client: Client) -> None:
    """Its process died, or what was to name it was refused while somebody else held it too."""
    contents, tenant = client.services.contents, await _tenant(client)
    held, twice = await contents.put(tenant, PICTURE), await contents.put(tenant, PICTURE)
    assert held.hash == twice.hash
    await contents.let_go(tenant, held)
    assert PICTURE == await contents.get(tenant, held.hash), "somebody else is about to name it"
    connection = await asyncpg.connect(client.settings.database_url)
    assert 1 == await connection.fetchval("SELECT count(*) FROM media_holds")
    await connection.execute("UPDATE media_holds SET until = 1")  # an hour later
    await carry_out(client.settings.database_url)
    assert await contents.get(tenant, held.hash) is None
    assert 0 == await connection.fetchval("SELECT count(*) FROM media_holds")
    await connection.close()


WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_file_stays_that_is_handed_in_while_it_is_taken_away(client: Client) -> None:
    """The hold is committed while whoever takes away already waits for the row."""
    contents, tenant = client.services.contents, await _tenant(client)
    held = await contents.put(tenant, PICTURE)
    connection, watcher = [await asyncpg.connect(client.settings.database_url) for _ in range(2)]
    async with connection.transaction():
        again = await connection.fetchval(PUT, tenant, held.hash, PICTURE, 60_000)
        goes = asyncio.create_task(contents.let_go(tenant, held))
        async with asyncio.timeout(30):
            while not await watcher.fetchval(WAITS):
                await asyncio.sleep(0.01)
    await goes
    assert PICTURE == await contents.get(tenant, held.hash)
    await contents.let_go(tenant, Held(held.hash, again))
    assert await contents.get(tenant, held.hash) is None
    await connection.close()
    await watcher.close()


NAME_IT = """\
INSERT INTO media (tenant, id, contact_id, channel, account, kind, state, at, hash, size)
VALUES ($1, $2, $2, 'voice', '', 'file', 'kept', 1, $3, 1)"""


async def test_what_is_named_is_there_and_nothing_else_however_it_comes_and_goes(client: Client) -> None:
    """Files that are alike, handed in, refused and taken away at the same moments over many connections."""
    tenant, count = await _tenant(client), itertools.count()
    pool = await asyncpg.create_pool(client.settings.database_url, min_size=8, max_size=8)
    contents, rng = Contents(pool), random.Random(5)

    async def one() -> None:
        for _ in range(40):
            held = await contents.put(tenant, rng.choice((b"a", b"b")))
            contact = f"c{next(count)}"
            if rng.random() < 0.7:
                await pool.execute(NAME_IT, tenant, contact, held.hash)
            await contents.let_go(tenant, held)
            named = await pool.fetchval("SELECT hash FROM media WHERE contact_id = $1", contact)
            assert named is None or await contents.get(tenant, named) is not None, "bytes that are named are gone"
            async with pool.acquire() as connection:
                async with connection.transaction():
                    for statement in retaining.TAKEN["media"]:
                        await connection.execute(statement, tenant, [contact])
                await sweep(connection)

    async with pool, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(one())
    connection = await asyncpg.connect(client.settings.database_url)
    assert [] == await connection.fetch("SELECT tenant, hash FROM media_contents")
    await connection.execute("DELETE FROM media")
    await connection.close()


async def _tenant(client: Client) -> str:
    found = await client.services.queries.tenant_by_name("default")
    assert found is not None
    return found.id
