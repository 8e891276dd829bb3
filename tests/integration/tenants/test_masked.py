"""Who need not know numbers and addresses does not see them: every answer and every frame is looked through."""

import json
import re
from typing import Any

import httpx

from tests.support.service import Client

NUMBER, LANDLINE, EMAIL = "13800138000", "62345678", "zhang.san@mail.example"
RAW = re.compile("|".join((NUMBER, "138 0013 8000", LANDLINE, re.escape(EMAIL))))
STORY = f"call me at 138 0013 8000, or 010-{LANDLINE}, or write to {EMAIL}"
NOT_ASKED = {"/metrics", "/healthz", "/readyz", "/openapi.json"}


async def _lived(client: Client) -> dict[str, str]:
    """A customer whose number stands wherever one can: the ids of what there is of it."""
    await client.call("PUT", "/v1/departments/lab", json={"teams": []})
    identity = {"type": "phone", "value": f"+86{NUMBER}", "display_name": f"Zhang {NUMBER}"}
    also = [{"type": "email", "value": EMAIL}, {"type": "sip_user", "value": NUMBER}]
    body = {
        "text": STORY,
        "attributes": {"mobile": int(NUMBER), "user_id": NUMBER, "form": {"tel": f"+86{NUMBER}"}, "mail": EMAIL},
        "identity": identity,
        "identities": also,
    }
    earlier = await client.contact("c0", **body)
    await client.call("POST", f"/v1/contacts/{earlier['id']}/cancel")
    contact = await client.contact("c1", **body)
    other = await client.contact("c2", identity={"type": "email", "value": EMAIL}, channel="mail")
    assert other["customer_id"] != contact["customer_id"]
    who = contact["customer_id"]
    changed = {"display_name": f"Zhang {NUMBER}", "attributes": {"second": f"010-{LANDLINE}"}}
    await client.call("PATCH", f"/v1/customers/{who}", json=changed)
    said = {"text": STORY, "kind": "text"}
    message = await client.call("POST", f"/v1/contacts/{contact['id']}/messages", 201, json=said)
    asked = {"department": "lab", "note": STORY}
    help_ = await client.call("POST", f"/v1/contacts/{contact['id']}/collaborations", 201, json=asked)
    rated = {"score": 5, "comment": STORY}
    await client.call("PUT", f"/v1/contacts/{earlier['id']}/satisfaction", json=rated)
    return {
        "contact_id": contact["id"],
        "customer_id": who,
        "message_id": message["id"],
        "collaboration_id": help_["id"],
        "agent_id": "anna",
    }


async def _walk(client: Client, token: str, ids: dict[str, str]) -> dict[str, str]:
    """What every path that can be read answers this caller, of those that answer."""
    paths = (await client.call("GET", "/openapi.json"))["paths"]
    found = {}
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {token}"}) as http:
        for path, methods in paths.items():
            if "get" not in methods or path in NOT_ASKED:
                continue
            try:
                asked = path.format(**ids)
            except KeyError:
                continue
            if path == "/v1/customers:lookup":
                asked += f"?type=phone&value={NUMBER}"
            answer = await http.get(asked)
            if answer.status_code == 200:
                found[path] = answer.text
    return found


async def test_an_agent_sees_no_numbers_anywhere(client: Client) -> None:
    await client.agent("anna", channels={"voice": {"cost": 10, "max": 9}})
    async with client.desktop("anna", status="available") as anna:
        start = anna.welcome["seq"]
        ids = await _lived(client)
        offer = await anna.event("contact.offered")
        while offer["contact_id"] != ids["contact_id"]:
            offer = await anna.event("contact.offered")
        ids["assignment_id"] = offer["data"]["assignment_id"]
        assert (await anna.ask(type="accept", assignment_id=ids["assignment_id"]))["ok"]
        while not any(each["type"] == "message.received" for each in anna.events):
            await anna.frame()
        written = await anna.ask(type="message", contact_id=ids["contact_id"], kind="text", text=STORY)
        assert written["ok"], written
        assert "8000" in json.dumps(written)
        assert RAW.search(json.dumps([anna.events, written], ensure_ascii=False)) is None
        shown = offer["data"]["contact"]["identity"]
        assert {"type": "phone", "value": "+*********8000"} == shown
    async with client.desktop("anna") as anna:
        assert RAW.search(json.dumps(anna.welcome)) is None
        assert "8000" in json.dumps(anna.welcome), "the snapshot shows the contact"
    async with client.desktop("anna", after=start) as anna:
        await anna.event("message.received")
        assert RAW.search(json.dumps(anna.events)) is None
        found = await _walk(client, await client.token("anna"), ids)
        assert {"/v1/contacts/{contact_id}", "/v1/customers/{customer_id}", "/v1/contacts"} <= found.keys()
        assert {"/v1/contacts/{contact_id}/messages", "/v1/collaborations/{collaboration_id}"} <= found.keys()
        assert len(found) > 12, sorted(found)
        assert {} == {path: text for path, text in found.items() if RAW.search(text)}
        view = json.loads(found["/v1/customers/{customer_id}"])
        assert {"phone": "+*********8000", "email": "z***@mail.example"}.items() <= {
            each["type"]: each["value"] for each in view["identities"]
        }.items()
        done = await anna.ask(type="complete", assignment_id=ids["assignment_id"], resolved=True, note=STORY)
        assert RAW.search(json.dumps(done)) is None


async def test_who_sees_numbers_is_the_tenants_choice_and_holds_at_once(client: Client) -> None:
    for name in ("anna", "boss"):
        await client.agent(name, channels={"voice": {"cost": 10, "max": 9}})
    ids = await _lived(client)
    boss = await client.token("boss", "supervisor")

    async def seen(token: str) -> bool:
        answers = await _walk(client, token, ids)
        return any(RAW.search(text) for text in answers.values())

    assert await seen(boss)
    assert RAW.search(json.dumps(await client.call("GET", f"/v1/contacts/{ids['contact_id']}"))), "keys see them"
    await client.call("PUT", "/v1/settings", json={"masked_for": ["supervisor"]})
    assert not await seen(boss)
    events: list[Any] = []
    async with client.desktop("anna", status="available") as anna:
        events.append(await anna.event("contact.offered"))
        assert RAW.search(json.dumps(events)), "the tenant lets agents see them"
        await client.call("PUT", "/v1/settings", json={"masked_for": ["agent", "supervisor"]})
        await client.contact("c4", text=STORY)
        hidden = await anna.event("contact.offered")
        assert RAW.search(json.dumps(hidden)) is None
    await client.call("PUT", "/v1/settings", json={"masked_for": []})  # while nobody listens
    async with client.desktop("anna", status="available") as anna:
        contact = await client.contact("c5", text=STORY)
        while (offered := await anna.event("contact.offered"))["contact_id"] != contact["id"]:
            pass
        assert RAW.search(json.dumps(offered))
    exported = await client.call("GET", f"/v1/customers/{ids['customer_id']}/export")
    assert RAW.search(json.dumps(exported)), "a person's own copy is whole"
