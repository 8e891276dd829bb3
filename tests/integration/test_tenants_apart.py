"""Tenants are apart: every endpoint there is, tried with another tenant's credentials on this one's ids.

Endpoints come from the application's own description, so that nobody can forget a new one.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import httpx
import websockets

from src.api.examples import BODIES, ID
from src.app.ground import make_tenant
from src.app.service import build_api
from src.store.tables import metadata
from tests.support.service import Client

NAME: Final = "of-the-first"
MARK: Final = "only-the-first-may-see-this"
"""Stands in everything of the first tenant's that could be shown."""

NOT_ASKED: Final = {"healthz", "readyz", "metrics"}
"""What is the service's and no tenant's."""

ITS_OWN: Final = {
    *("put_agent", "put_presence", "put_queue", "put_tag", "put_rule", "put_pilot", "put_department", "put_connector"),
    "put_webhook",
    *("pause_queue", "resume_queue", "pause_agent", "unpause_agent", "delete_agent", "get_agent", "list_assignments"),
}
"""What is found by a name: another tenant may have one of the same name, which is another."""

SHOP: Final = {"channel": "webchat", "settings": {"origins": [f"https://{MARK}.example"]}}

Operation = tuple[str, str, str, Mapping[str, Any]]


def operations() -> Iterator[Operation]:
    """Method, path, name and description of every operation; what makes something last."""
    found = [
        (method, path, str(each["operationId"]), each)
        for path, methods in build_api().openapi()["paths"].items()
        for method, each in methods.items()
    ]
    yield from sorted(found, key=lambda each: (each[0] == "put", each[0] == "delete"))


async def things_of_the_first(client: Client) -> dict[str, str]:
    """A little of everything, and the ids of it by the names of parameters."""
    ids = dict.fromkeys(("conflict_id", "conversation_id"), ID)
    other = await client.contact("c-0", identity={"type": "phone", "value": "+8613800138001"})
    await client.call("POST", f"/v1/contacts/{other['id']}/cancel")
    ids["other_id"] = other["customer_id"]
    await client.agent("anna", name=MARK, channels={"voice": {"cost": 100, "max": 1}})
    await client.call("PUT", "/v1/agents/anna/presence", json={"status": "available"})
    identity = {"type": "phone", "value": "+8613800138000", "display_name": MARK}
    contact = await client.contact("c-1", identity=identity, text=MARK, attributes={"note": MARK})
    ids |= {"contact_id": contact["id"], "customer_id": contact["customer_id"]}
    offers = (await client.call("GET", "/v1/agents/anna/assignments?state=offered&wait_s=20"))["items"]
    ids["assignment_id"] = offers[0]["assignment_id"]
    await client.call("POST", f"/v1/assignments/{ids['assignment_id']}/accept")
    path = f"/v1/contacts/{contact['id']}"
    ids["message_id"] = (await client.call("POST", f"{path}/messages", json={"from": "agent", "text": MARK}))["id"]
    media = await client.http.post(
        "/v1/media", params={"contact_id": contact["id"], "name": MARK}, content=b"\x89PNG\r\n\x1a\n" + b"0" * 64
    )
    ids["media_id"] = media.json()["id"]
    asked = await client.call("POST", f"{path}/collaborations", json={"tags": ["law"], "note": MARK})
    ids["collaboration_id"] = asked["id"]
    ids["link"] = (await client.call("POST", f"{path}/progress-link"))["path"].rsplit("/", 1)[-1]
    ids["key_id"] = (await client.call("POST", "/v1/keys", json={"name": MARK, "scopes": ["admin"]}))["id"]
    for kind, body in {
        "queues": {},
        "tags": {"keywords": {"en": [MARK]}},
        "rules": {"then": {"priority": 1}},
        "pilots": {"attribute": MARK, "values": [MARK]},
        "departments": {"teams": [MARK]},
        "connectors": {"url": f"https://{MARK}.example/"},
        "webhooks": {"url": f"https://{MARK}.example/", "enabled": False},  # or its cursor would move meanwhile
        "channels": SHOP,
        "rosters": BODIES["put_roster"],
    }.items():
        await client.call("PUT", f"/v1/{kind}/{NAME}", json=body)
    trust = {"algorithms": ["HS256", "RS256"], "jwks_url": f"https://{MARK}.example/jwks"}
    await client.call("PUT", "/v1/token-trust", json=trust)
    return {**ids, "name": NAME, "account": NAME, "webhook_id": NAME, "agent_id": "anna", "channel": "webchat"}


def asked_of(path: str, operation: Mapping[str, Any], ids: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The address of an operation with the first tenant's ids in it, and what is asked for: also by its ids."""
    values = {**ids, "type": "phone", "value": "+8613800138000", "queue": NAME, "tag": NAME}
    values["from"] = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for name in (each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"):
        path = path.replace(f"{{{name}}}", values[name])
    query = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    return path, {name: values[name] for name in query if name in values}


def body_of(name: str, ids: Mapping[str, str]) -> Any:
    return json.loads(json.dumps(BODIES[name]).replace(ID, ids["other_id"])) if name in BODIES else None


async def dumped(url: str, tenant: str) -> dict[str, Any]:
    """What every table holds of a tenant."""
    connection = await asyncpg.connect(url)
    try:
        return {
            name: await connection.fetchval(
                f"SELECT string_agg(each::text, E'\\n' ORDER BY each::text) FROM {name} AS each WHERE tenant = $1",
                tenant,
            )
            for name, table in metadata.tables.items()
            if "tenant" in table.columns
        }
    finally:
        await connection.close()


async def try_everything(url: str, credential: str, ids: Mapping[str, str], malformed: set[str]) -> int:
    """Ask every operation; returns how many were asked, and puts into `malformed` what was not understood."""
    tried = 0
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {credential}"}, timeout=20) as http:
        for method, path, name, operation in operations():
            if name in NOT_ASKED:
                continue
            address, query = asked_of(path, operation, ids)
            body = body_of(name, ids)
            content = b"\x89PNG\r\n\x1a\n" + b"1" * 64 if name in {"post_media", "post_visitor_file"} else None
            more: dict[str, Any] = {"content": content} if content else {} if body is None else {"json": body}
            answer = await http.request(method, address, params=query, **more)
            tried += 1
            about = f"{method} {address}: {answer.status_code} {answer.text[:300]}"
            assert answer.status_code < 500, about
            assert MARK not in answer.text, about
            if "_id}" in path and name not in ITS_OWN:
                assert answer.status_code in {401, 403, 404, 422}, about
            if answer.status_code == 422 and answer.json()["code"] == "malformed":
                malformed.add(f"{name}: {answer.json()['detail']}")
    return tried


async def test_no_endpoint_shows_or_changes_what_is_another_tenants(client: Client) -> None:
    url = client.settings.database_url
    ids = await things_of_the_first(client)
    first = (await client.call("GET", "/v1/token-trust"))["tenant"]
    acme = Client(client.url, (await make_tenant(client.settings, url, "acme")).admin_key)
    client.others.append(acme.http)
    await acme.agent("boss")
    await acme.agent("ben")
    tokens = [await acme.token("boss", "supervisor"), await acme.token("ben")]
    await acme.call("PUT", "/v1/channels/second", json={**SHOP, "settings": {"origins": ["https://b.example"]}})
    session = await acme.http.post(
        "/channels/webchat/second/session", json={}, headers={"origin": "https://b.example", "authorization": ""}
    )
    credentials = {"key": acme.http.headers["authorization"].split()[1], "boss": tokens[0], "ben": tokens[1]}
    credentials["visitor"] = session.json()["token"]
    before = await dumped(url, first)
    assert MARK in str(before)
    for who, credential in credentials.items():
        malformed: set[str] = set()
        assert await try_everything(client.url, credential, ids, malformed) > 100
        after = await dumped(url, first)
        changed = [name for name, rows in before.items() if rows != after[name]]
        assert [] == changed, f"{who} changed what is another tenant's"
        if who == "key":
            assert set() == malformed, "what is malformed is refused before it is looked at: the example must be good"


async def test_no_frame_reaches_another_tenants_work(client: Client) -> None:
    ids = await things_of_the_first(client)
    acme = Client(client.url, (await make_tenant(client.settings, client.settings.database_url, "acme")).admin_key)
    client.others.append(acme.http)
    await acme.agent("anna")
    token = await acme.token("anna")
    acts = [
        *({"type": each, "assignment_id": ids["assignment_id"]} for each in ("accept", "decline", "complete")),
        {"type": "wrap_up_done", "assignment_id": ids["assignment_id"]},
        {"type": "message", "contact_id": ids["contact_id"], "text": "x"},
        {"type": "typing", "contact_id": ids["contact_id"]},
    ]
    async with websockets.connect(client.url.replace("http", "ws") + "/v1/stream") as socket:
        await socket.send(json.dumps({"type": "hello", "token": token, "after": 1}))
        seen = str(await socket.recv())
        for number, act in enumerate(acts):
            await socket.send(json.dumps({**act, "ref": str(number)}))
            async with asyncio.timeout(30):
                while (frame := json.loads(await socket.recv()))["type"] != "reply":
                    seen += str(frame)
            if act["type"] != "typing":  # nobody is told whether that arrives
                assert "not_found" == frame["problem"]["code"], act
            seen += str(frame)
        assert MARK not in seen
    assert "active" == (await client.call("GET", f"/v1/assignments/{ids['assignment_id']}"))["state"]
