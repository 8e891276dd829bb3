"""Common problems: contacts with one matter, told to a department once, and one answer for all who have them."""

import asyncio
from typing import Any

import pytest

from tests.support.floor import acting, do, events, got, present, taken
from tests.support.service import Client

PATH = "/v1/common-problems/late"
BODY = {"title": "Parcels stand still", "department": "depot", "tags": ["logistics"], "report_every": 2}


@pytest.fixture
async def late(tenant: Client) -> Client:
    """A tenant with a department, one who helps there, and a problem that goes to it."""
    await tenant.call("PUT", "/v1/departments/depot", json={"teams": ["depot"]})
    await tenant.agent("dora", teams=["depot"], channels={})
    await tenant.call("PUT", "/v1/agents/dora/presence", json={"status": "available"})
    await tenant.call("PUT", PATH, json=BODY)
    return tenant


async def link(tenant: Client, contact: dict[str, Any], *expected: int, name: str = "late") -> dict[str, Any]:
    return await do(tenant, contact, "common-problem", *expected, name=name)


async def told(tenant: Client, *types: str) -> list[tuple[str, str | None, str | None]]:
    return [(each["type"], each["contact_id"], each["agent_id"]) for each in await events(tenant, *types)]


async def test_its_department_hears_of_the_first_contact_and_of_every_so_many_more(late: Client) -> None:
    contacts = [await late.contact(str(number)) for number in range(5)]
    assert "late" == (await link(late, contacts[0]))["common_problem"]
    await link(late, contacts[0])
    for each in contacts[1:4]:
        await link(late, each)
    await do(late, contacts[4], "cancel")
    await link(late, contacts[4])
    reported = await events(late, "problem.reported")
    ids = [each["id"] for each in contacts]
    assert [(1, ids[:1]), (3, ids[1:3]), (5, ids[3:])] == [
        (each["data"]["count"], each["data"]["contacts"]) for each in reported
    ]
    assert {("dora", "late", "depot", "open")} == {
        (each["agent_id"], *(each["data"][name] for name in ("name", "department", "state"))) for each in reported
    }
    found = await late.call("GET", PATH)
    assert ("open", 5, 0) == (found["state"], found["count"], found["unreported"])
    assert found["first_seen_at"] <= found["last_seen_at"] == found["reported_at"]
    assert 5 == len(await events(late, "contact.linked")), "a link that is there is not told again"


async def test_its_contacts_are_paged_newest_first(late: Client) -> None:
    ids = []
    for number in range(3):
        contact = await late.contact(str(number), text="a private story")
        await link(late, contact)
        ids.append(contact["id"])
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await late.call("GET", f"{PATH}/contacts?limit=2{cursor and '&cursor='}{cursor}")
        seen, cursor = seen + page["items"], page["next_cursor"]
    assert ids[::-1] == [each["contact_id"] for each in seen]
    assert "private" not in str(seen)
    await late.agent("anna")
    async with acting(late, "dora") as dora, acting(late, "anna") as anna:
        assert 3 == len((await dora.call("GET", f"{PATH}/contacts"))["items"])
        await anna.call("GET", f"{PATH}/contacts", 403)
        assert 3 == (await anna.call("GET", PATH))["count"], "whoever has such a contact is to find the answer"
    await late.call("GET", "/v1/common-problems/none/contacts", 404)


async def test_a_contact_has_one_problem(late: Client) -> None:
    await late.call("PUT", "/v1/common-problems/broken", json={**BODY, "title": "Broken parcels"})
    contact = await late.contact("1")
    assert contact["common_problem"] is None
    await link(late, contact)
    assert "broken" == (await link(late, contact, name="broken"))["common_problem"]
    counts = {each["name"]: each["count"] for each in (await late.call("GET", "/v1/common-problems"))["items"]}
    assert {"broken": 1, "late": 0} == counts
    path = f"/v1/contacts/{contact['id']}/common-problem"
    await late.call("DELETE", path, 204)
    await late.call("DELETE", path, 204)
    assert (await got(late, contact))["common_problem"] is None
    said = [(each["type"], each["data"]["name"]) for each in await events(late, "contact.linked", "contact.unlinked")]
    assert said == [
        ("contact.linked", "late"),
        ("contact.unlinked", "late"),
        ("contact.linked", "broken"),
        ("contact.unlinked", "broken"),
    ]


async def test_one_that_is_linked_and_taken_out_is_not_reported(late: Client) -> None:
    first, second, third, fourth = [await late.contact(str(number)) for number in range(4)]
    await link(late, first)
    await link(late, second)
    await late.call("DELETE", f"/v1/contacts/{second['id']}/common-problem", 204)
    await link(late, third)
    await link(late, fourth)
    last = (await events(late, "problem.reported"))[-1]
    assert (3, [third["id"], fourth["id"]]) == (last["data"]["count"], last["data"]["contacts"])


async def test_the_departments_answer_is_told_to_whoever_has_its_contacts(late: Client) -> None:
    await present(late, "anna")
    mine, other = await taken(late, "1"), await taken(late, "2")
    waits = await late.contact("3", queue="default", tags=["nobody-can"])
    closed = await late.contact("4", tags=["nobody-can"])
    for each in (mine, waits, closed):
        await link(late, each)
    await do(late, closed, "cancel")
    async with acting(late, "dora") as dora, acting(late, "anna") as anna:
        await anna.call("POST", f"{PATH}/solve", 403, json={})
        solved = await dora.call("POST", f"{PATH}/solve", json={"note": "They move from tomorrow on."})
        assert ("solved", "dora", "They move from tomorrow on.") == tuple(
            solved[name] for name in ("state", "solved_by", "note")
        )
        assert "late" == (await anna.call("GET", f"/v1/contacts/{mine['id']}"))["common_problem"]
        assert "They move from tomorrow on." == (await anna.call("GET", PATH))["note"]
        again = await dora.call("POST", f"{PATH}/solve", json={"note": "They move."})
        assert ("They move.", solved["solved_at"]) == (again["note"], again["solved_at"])
    assert [("problem.solved", None, None), ("contact.problem_solved", mine["id"], "anna")] == await told(
        late, "problem.solved", "contact.problem_solved"
    )
    assert (await got(late, other))["common_problem"] is None
    assert ["late"] == [each["name"] for each in (await late.call("GET", "/v1/common-problems?state=solved"))["items"]]
    assert [] == (await late.call("GET", "/v1/common-problems?state=open"))["items"]
    await link(late, other)
    await link(late, await late.contact("5", tags=["nobody-can"]))
    assert "solved" == (await events(late, "problem.reported"))[-1]["data"]["state"], "it has come back"
    opened = await late.call("POST", f"{PATH}/reopen")
    assert ("open", None, None, 5) == tuple(opened[name] for name in ("state", "note", "solved_at", "count"))
    await late.call("POST", f"{PATH}/reopen")
    assert [("problem.reopened", None, "dora")] == await told(late, "problem.reopened")
    journal = str((await late.call("GET", "/v1/events?limit=1000"))["items"])
    assert "tomorrow" not in journal


async def test_who_holds_or_held_a_contact_may_link_it(late: Client) -> None:
    await present(late, "anna")
    await present(late, "berta", channels={})
    mine = await taken(late, "1")
    path = f"/v1/contacts/{mine['id']}/common-problem"
    async with acting(late, "anna") as anna, acting(late, "berta") as berta:
        await berta.call("POST", path, 403, json={"name": "late"})
        await berta.call("DELETE", path, 403)
        await anna.call("POST", path, json={"name": "late"})
        await anna.call("PUT", PATH, 403, json=BODY)
        await anna.call("DELETE", PATH, 403)
    assert [("contact.linked", mine["id"], "anna")] == await told(late, "contact.linked")
    async with acting(late, "sue", "supervisor") as sue:
        await sue.call("DELETE", path, 204)
        await sue.call("PUT", PATH, json={**BODY, "title": "Parcels stand still in the south"})
        await sue.call("DELETE", PATH, 204)


async def test_it_has_versions_and_is_removed_only_where_nothing_is_linked(late: Client) -> None:
    answer = await late.http.get(PATH)
    tag = answer.headers["etag"]
    contact = await late.contact("1")
    await link(late, contact)
    changed = {**BODY, "title": "They stand still"}
    put = await late.http.put(PATH, json=changed, headers={"if-match": tag})
    assert (200, 1, "They stand still") == (put.status_code, put.json()["count"], put.json()["title"])
    stale = await late.http.put(PATH, json=BODY, headers={"if-match": tag})
    assert (412, "precondition_failed") == (stale.status_code, stale.json()["code"])
    refused = await late.call("DELETE", PATH, 409)
    assert ("in_use", 1) == (refused["code"], refused["linked"])
    assert "in_use" == (await late.call("DELETE", "/v1/departments/depot", 409))["code"]
    await late.call("DELETE", f"/v1/contacts/{contact['id']}/common-problem", 204)
    await late.call("DELETE", PATH, 204)
    await late.call("GET", PATH, 404)
    await late.call("DELETE", PATH, 404)
    await late.call("DELETE", "/v1/departments/depot", 204)
    acts = [each["act"] for each in (await late.call("GET", "/v1/audit"))["items"]]
    assert {"problem.updated", "problem.deleted"} <= set(acts)


async def test_what_cannot_be_is_refused(late: Client) -> None:
    unknown = await late.call("PUT", "/v1/common-problems/x", 422, json={**BODY, "department": "nobody"})
    assert ("unknown_reference", "department") == (unknown["code"], unknown["field"])
    for wrong in ({"report_every": 0}, {"report_every": 201}, {"title": ""}, {"title": "\0"}, {"more": 1}):
        await late.call("PUT", "/v1/common-problems/x", 422, json={**BODY, **wrong})
    contact = await late.contact("1")
    await link(late, contact, 404, name="none")
    await late.call("POST", f"/v1/contacts/{contact['id']}/common-problem", 422, json={"name": "a/b"})
    await late.call("POST", "/v1/contacts/nobody/common-problem", 404, json={"name": "late"})
    await late.call("POST", "/v1/common-problems/none/solve", 404, json={})
    await late.call("POST", f"{PATH}/solve", 422, json={"note": "\0"})
    assert (await got(late, contact))["common_problem"] is None
    assert 0 == (await late.call("GET", PATH))["count"]


async def test_the_customers_view_shows_it_and_erasure_keeps_the_count_alone(late: Client) -> None:
    contact = await late.contact("1", identity={"type": "phone", "value": "+8613800138000", "proven": True})
    await link(late, contact)
    path = f"/v1/customers/{contact['customer_id']}"
    view = await late.call("GET", path)
    assert {"late"} == {each["common_problem"] for each in (*view["contacts"], *view["timeline"]["items"])}
    exported = (await late.call("GET", f"{path}/export"))["items"]
    facts = [each["value"] for each in exported if each["kind"] == "contact_facts"]
    assert ["late"] == [each["problem"] for each in facts]
    await do(late, contact, "cancel")
    await late.call("POST", f"{path}/erase", 202)
    await late.call("POST", f"/v1/contacts/{contact['id']}/common-problem", 410, json={"name": "late"})
    assert 1 == (await late.call("GET", PATH))["count"]


async def test_a_desk_that_begins_shows_the_problem_of_what_it_holds(late: Client) -> None:
    await present(late, "anna")
    mine = await taken(late, "1")
    await link(late, mine)
    async with acting(late, "anna") as anna:
        [held] = (await anna.call("GET", "/v1/agents/anna/assignments"))["items"]
        assert "late" == held["contact"]["common_problem"]


async def test_where_nobody_of_the_department_is_there_it_escalates(late: Client) -> None:
    await late.agent("boss", channels={})
    await late.call("PUT", "/v1/agents/dora/presence", json={"status": "away"})
    await late.call("PUT", "/v1/departments/depot", json={"teams": ["depot"], "escalate_to": "boss"})
    await link(late, await late.contact("1"))
    await late.call("PUT", "/v1/departments/depot", json={"teams": ["depot"]})
    await late.call("PUT", PATH, json={**BODY, "report_every": 1})
    await link(late, await late.contact("2"))
    assert ["boss", None] == [each["agent_id"] for each in await events(late, "problem.reported")]


async def test_a_department_that_gets_it_later_is_told_at_once(late: Client) -> None:
    await late.call("PUT", "/v1/departments/line", json={})
    await late.call("PUT", PATH, json={**BODY, "department": "line"})
    assert [] == await events(late, "problem.reported"), "there is nothing to tell"
    first, second = [await late.contact(str(number)) for number in range(2)]
    await link(late, first)
    await link(late, second)
    await late.call("PUT", PATH, json={**BODY, "title": "They stand still", "department": "line"})
    moved = await late.call("PUT", PATH, json=BODY)
    assert (2, 0) == (moved["count"], moved["unreported"])
    told = [(each["data"]["department"], each["data"]["contacts"]) for each in await events(late, "problem.reported")]
    assert [("line", [first["id"]]), ("depot", [second["id"]])] == told


async def test_links_of_many_at_once_are_counted_once_each(late: Client) -> None:
    contacts = [await late.contact(str(number)) for number in range(8)]
    await asyncio.gather(*(link(late, each) for each in (*contacts, *contacts)))
    assert 8 == (await late.call("GET", PATH))["count"]
    told = [contact_id for each in await events(late, "problem.reported") for contact_id in each["data"]["contacts"]]
    assert len(told) == len(set(told)) == 7, "the last is one of two that are not reported yet"


async def test_attributes_and_problem_of_a_contact_leave_each_other_alone(late: Client) -> None:
    contact = await late.contact("1", text="a private story", attributes={"a": 1})
    await link(late, contact)
    await late.call("PATCH", f"/v1/contacts/{contact['id']}", json={"attributes": {"b": 2}})
    await late.call("DELETE", f"/v1/contacts/{contact['id']}/common-problem", 204)
    await link(late, contact)
    now = await got(late, contact)
    assert ("a private story", {"a": 1, "b": 2}, "late") == (now["text"], now["attributes"], now["common_problem"])
