"""Rosters: put whole, read, listed, removed; what is refused, and who may."""

from typing import Any

from tests.support.floor import acting
from tests.support.service import Client

PATH = "/v1/rosters/week-9"


def shift(agent_id: str = "anna", begins: str = "09:00", ends: str = "17:00", **more: Any) -> dict[str, Any]:
    return {"agent_id": agent_id, "from": f"2027-03-01T{begins}:00+08:00", "to": f"2027-03-01T{ends}:00+08:00", **more}


async def test_a_whole_roster_takes_the_place_of_the_one_of_its_name(client: Client) -> None:
    await client.agent("anna")
    await client.agent("bert")
    put = await client.call("PUT", PATH, json={"shifts": [shift(begins="13:00"), shift("bert"), shift(ends="13:00")]})
    assert [("anna", "01:00", "05:00"), ("bert", "01:00", "09:00"), ("anna", "05:00", "09:00")] == [
        (each["agent_id"], each["from"][11:16], each["to"][11:16]) for each in put["shifts"]
    ]
    assert put == await client.call("GET", PATH)
    await client.call("PUT", "/v1/rosters/a", json={"shifts": [shift()]})
    listed = await client.call("GET", "/v1/rosters")
    day = {"from": "2027-03-01T01:00:00.000Z", "to": "2027-03-01T09:00:00.000Z"}
    assert [{"name": "a", **day, "shifts": 1}, {"name": "week-9", **day, "shifts": 3}] == listed["items"]
    await client.call("PUT", PATH, json={"shifts": [shift("bert", "10:00", "11:00")]})
    assert ["bert"] == [each["agent_id"] for each in (await client.call("GET", PATH))["shifts"]]
    await client.call("DELETE", PATH, 204)
    await client.call("GET", PATH, 404)
    await client.call("DELETE", PATH, 404)
    acts = [each["act"] for each in (await client.call("GET", "/v1/audit"))["items"] if each["name"] == "week-9"]
    assert ["roster.deleted", "roster.updated", "roster.updated"] == acts


async def test_two_who_change_it_do_not_overwrite_each_other(client: Client) -> None:
    await client.agent("anna")
    body = {"shifts": [shift()]}
    await client.call("PUT", PATH, 412, json=body, headers={"if-match": "*"})
    await client.call("PUT", PATH, json=body, headers={"if-none-match": "*"})
    await client.call("PUT", PATH, 412, json=body, headers={"if-none-match": "*"})
    seen = (await client.http.get(PATH)).headers["etag"]
    await client.call("PUT", PATH, json={"shifts": [shift(ends="16:00")]}, headers={"if-match": seen})
    await client.call("PUT", PATH, 412, json=body, headers={"if-match": seen})
    await client.call("DELETE", PATH, 412, headers={"if-match": seen})


async def test_what_cannot_be_is_refused(client: Client) -> None:
    await client.agent("anna")
    unknown = await client.call("PUT", PATH, 422, json={"shifts": [shift(), shift("zoe")]})
    assert ("unknown_reference", "shifts") == (unknown["code"], unknown["field"])
    assert "'zoe'" in unknown["detail"]
    for wrong in (
        [],
        [shift()] * 2_001,
        [shift(), shift(begins="16:59", ends="18:00")],
        [shift(begins="10:00", ends="11:00"), shift()],
        [shift(begins="09:00", ends="09:00")],
        [shift(begins="17:00", ends="09:00")],
        [shift(to="2027-03-02T09:00:01+08:00")],
        [shift(to="2027-03-01T17:00:00")],
        [shift(room="5")],
        [shift("a/b")],
    ):
        assert "malformed" == (await client.call("PUT", PATH, 422, json={"shifts": wrong}))["code"]
    await client.call("GET", PATH, 404)
    for number in range(50):
        await client.call("PUT", f"/v1/rosters/{number}", json={"shifts": [shift()]})
    assert "in_use" == (await client.call("PUT", PATH, 409, json={"shifts": [shift()]}))["code"]
    await client.call("PUT", "/v1/rosters/7", json={"shifts": [shift(ends="10:00")]})


async def test_an_agent_who_is_removed_stays_in_its_rosters_and_is_on_no_shift(client: Client) -> None:
    for agent_id in ("anna", "bert"):
        await client.agent(agent_id)
    await client.call("PUT", PATH, json={"shifts": [shift(), shift("bert")]})
    await client.call("DELETE", "/v1/agents/bert", 204)
    assert 2 == len((await client.call("GET", PATH))["shifts"])
    asked = {"queue": "default", "from": "2027-03-01T09:00:00+08:00", "hours": 1}
    found = await client.call("GET", "/v1/forecast", params=asked)
    assert [1, 1] == [each["rostered"] for each in found["intervals"]]


async def test_supervisors_plan_and_agents_do_not_see_it(client: Client) -> None:
    await client.agent("anna")
    async with acting(client, "anna") as anna:
        for method in ("PUT", "GET", "DELETE"):
            body = {"json": {"shifts": [shift()]}} if method == "PUT" else {}
            await anna.call(method, PATH, 403, **body)
        await anna.call("GET", "/v1/rosters", 403)
    bearer = {"authorization": f"Bearer {await client.token('anna', 'supervisor')}"}
    await client.call("PUT", PATH, json={"shifts": [shift()]}, headers=bearer)
    await client.call("GET", "/v1/rosters", headers=bearer)
    await client.call("DELETE", PATH, 204, headers=bearer)
