"""What is kept for a while only: each kind goes when its days are over, open contacts keep theirs, on the record."""

import asyncio
from typing import Any

import asyncpg

from src.app.upkeep import retain
from src.store import retaining
from tests.support.service import Client

DAY_MS = 24 * 3600 * 1000
STORY = "a private story"


async def _told(client: Client, number: int, *, close: bool = True, phone: str = "+8613800138000") -> dict[str, Any]:
    """A contact with something of every kind."""
    identity = {"type": "phone", "value": phone}
    contact = await client.contact(f"x{number}", text=STORY, attributes={"account_no": "acc-77"}, identity=identity)
    where = f"/v1/contacts/{contact['id']}"
    await client.call("POST", f"{where}/messages", 201, json={"text": STORY, "kind": "text"})
    await client.call("POST", f"{where}/collaborations", 201, json={"tags": ["lab"], "note": "a note"})
    if close:
        await client.call("POST", f"{where}/cancel")
        await client.call("PUT", f"{where}/satisfaction", json={"score": 4, "comment": "a comment"})
    return contact


async def _after(client: Client, days: float) -> None:
    """Do all there is to do so many days from now."""
    now = client.services.clock.now_ms() + int(days * DAY_MS)
    async with asyncio.timeout(60):
        while await retain(client.services, client.settings.database_url, now):
            pass


async def _kept(client: Client, contact: dict[str, Any]) -> set[str]:
    """The kinds of which something of the contact is there."""
    connection = await asyncpg.connect(client.settings.database_url)
    try:
        counted = {
            "messages": "SELECT count(*) FROM messages WHERE contact_id = $1 AND (text IS NOT NULL"
            " OR payload::text <> '{}')",
            "text": "SELECT count(text) FROM contact_facts WHERE id = $1",
            "attributes": "SELECT count(*) FROM contact_facts WHERE id = $1 AND attributes::text <> '{}'",
            "notes": "SELECT count(*) FROM collaboration_words WHERE contact_id = $1",
            "comments": "SELECT count(comment) FROM ratings WHERE contact_id = $1",
            "traces": "SELECT count(*) FROM traces WHERE contact_id = $1",
            "media": "SELECT count(hash) FROM media WHERE contact_id = $1",
            "contents": "SELECT count(*) FROM media_contents WHERE hash = $1",
        }
        return {kind for kind, query in counted.items() if await connection.fetchval(query, contact["id"])}
    finally:
        await connection.close()


async def _picture(client: Client, contact: dict[str, Any]) -> None:
    connection = await asyncpg.connect(client.settings.database_url)
    values = "tenant, $1, $1, 'voice', '', 'image', 'kept', 1, null, $1, 'image/png', 9, 'zhang.png'"
    await connection.execute(f"INSERT INTO media SELECT {values} FROM tenant_heads", contact["id"])
    await connection.execute("INSERT INTO media_contents SELECT tenant, $1, 'picture' FROM tenant_heads", contact["id"])
    await connection.close()


EVERYTHING = {"messages", "text", "attributes", "notes", "comments", "traces", "media", "contents"}


async def test_each_kind_goes_when_its_days_are_over(client: Client) -> None:
    contact = await _told(client, 1)
    await _picture(client, contact)
    assert EVERYTHING == await _kept(client, contact)
    await _after(client, 4000)
    assert EVERYTHING == await _kept(client, contact), "without a period everything stays"
    periods = {"media_days": 10, "messages_days": 20, "notes_days": 30, "attributes_days": 40, "traces_days": 50}
    await client.call("PUT", "/v1/settings", json={"retention": periods})
    await _after(client, 9)
    assert EVERYTHING == await _kept(client, contact)
    left = set(EVERYTHING)
    for day, gone in (
        (12, {"media", "contents"}),
        (22, {"messages", "text"}),
        (32, {"notes", "comments"}),
        (42, {"attributes"}),
        (52, {"traces"}),
    ):
        await _after(client, day)
        left -= gone
        assert left == await _kept(client, contact), f"after {day} days"
    shown = await client.call("GET", f"/v1/contacts/{contact['id']}")
    assert (None, {}, "closed") == (shown["text"], shown["attributes"], shown["state"])
    assert "+8613800138000" == shown["identity"]["value"], "who it was is not a kind that has a period"
    await client.call("GET", f"/v1/media/{contact['id']}", 404)
    told = {each["kind"]: each for each in (await client.call("GET", "/v1/retention"))["items"]}
    assert dict.fromkeys(retaining.TAKEN, 1) | {"customers": 0} == {name: each["gone"] for name, each in told.items()}
    assert (20, None) == (told["messages"]["days"], told["customers"]["until"])
    lines = (await client.call("GET", "/v1/audit"))["items"]
    recorded = [each for each in lines if each["act"] == "retention.applied"]
    assert sorted(retaining.TAKEN) == sorted(each["name"] for each in recorded), "once each, though it ran often"


async def test_open_contacts_keep_theirs_until_they_close(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(retaining, "CONTACTS_A_STEP", 2)
    told = [await _told(client, number, close=number not in (1, 4)) for number in range(7)]
    await client.call("PUT", "/v1/settings", json={"retention": {"messages_days": 5}})
    await _after(client, 8)
    kept = ["messages" in await _kept(client, each) for each in told]
    assert [number in (1, 4) for number in range(7)] == kept
    await client.call("POST", f"/v1/contacts/{told[4]['id']}/cancel")
    await _after(client, 9)
    kept = ["messages" in await _kept(client, each) for each in told]
    assert [number == 1 for number in range(7)] == kept
    [messages] = [each for each in (await client.call("GET", "/v1/retention"))["items"] if each["kind"] == "messages"]
    assert (6, 1) == (messages["gone"], messages["kept_open"])


async def test_customers_who_are_not_seen_are_erased(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(retaining, "CUSTOMERS_A_STEP", 2)
    phones = [f"+861380013800{number}" for number in range(6)]
    told = [await _told(client, number, phone=phone, close=number != 5) for number, phone in enumerate(phones)]
    who = [each["customer_id"] for each in told]
    await client.call("POST", f"/v1/customers/{who[0]}/merge", json={"customer_id": who[1]})
    await client.call("PUT", "/v1/settings", json={"retention": {"customers_days": 30}})
    await _after(client, 29)
    for each in who:
        await client.call("GET", f"/v1/customers/{each}")
    await _after(client, 32)
    for each in who[:5]:
        await client.call("GET", f"/v1/customers/{each}", 410)
    assert who[5] == (await client.call("GET", f"/v1/customers/{who[5]}"))["id"], "an open contact keeps its customer"
    events = (await client.call("GET", "/v1/events?limit=1000"))["items"]
    assert set(who[:5]) == {each["data"]["name"] for each in events if each["type"] == "customer.deleted"}


async def test_who_was_seen_since_stays(client: Client) -> None:
    contact = await _told(client, 1)
    connection = await asyncpg.connect(client.settings.database_url)
    old = retaining.id_at(client.services.clock.now_ms() - 40 * DAY_MS) + contact["customer_id"][13:]
    for table, column in (("customers", "id"), ("identities", "customer_id"), ("contacts", "customer_id")):
        await connection.execute(f"UPDATE {table} SET {column} = $1", old)
    await connection.close()
    await client.call("PUT", "/v1/settings", json={"retention": {"customers_days": 30}})
    await _after(client, 0)
    assert old == (await client.call("GET", f"/v1/customers/{old}"))["id"], "it came today"


async def test_only_the_admin_sees_it_and_nonsense_is_refused(client: Client) -> None:
    await client.agent("anna", channels={"voice": {"cost": 10}})
    for role in ("agent", "supervisor"):
        headers = {"authorization": f"Bearer {await client.token('anna', role)}"}
        await client.call("GET", "/v1/retention", 403, headers=headers)
    for days in (0, -1, 1.5, "x"):
        await client.call("PUT", "/v1/settings", 422, json={"retention": {"messages_days": days}})
    await client.call("PUT", "/v1/settings", 422, json={"retention": {"everything_days": 1}})
