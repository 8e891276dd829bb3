"""Reports over the past: what is counted where, page by page; and what is refused."""

import re
from itertools import pairwise
from typing import Any

import asyncpg

from tests.support.service import Client

CHATS = {"webchat": {"cost": 25, "max": 4}}


async def offered(client: Client, agent: str) -> str:
    found = await client.call("GET", f"/v1/agents/{agent}/assignments?state=offered&wait_s=20")
    return str(found["items"][0]["assignment_id"])


async def here(client: Client, agent: str, **body: Any) -> None:
    await client.agent(agent, channels=CHATS, skills={"refund": 50, "parcel": 50}, **body)
    await client.call("PUT", f"/v1/agents/{agent}/presence", json={"status": "available"})


async def lines(client: Client, **asked: Any) -> list[dict[str, Any]]:
    """All of a report, and the same by pages of one line."""
    found: list[dict[str, Any]] = (await client.call("GET", "/v1/reports", params=asked))["items"]
    paged: list[dict[str, Any]] = []
    cursor: str | None = None
    while not paged or cursor is not None:
        more = asked if cursor is None else {**asked, "cursor": cursor}
        page = await client.call("GET", "/v1/reports", params={**more, "limit": 1})
        paged += page["items"]
        cursor = page["next_cursor"]
        if not page["items"]:
            break
    assert paged == found
    return found


async def a_day(client: Client) -> None:
    """One that anna solves, its repeat that she declines and bert does not solve; one abandoned, one waiting."""
    await here(client, "anna", teams=["east", "chat"])
    path = "/v1/contacts"
    first = await client.contact("c-1", channel="webchat", tags=["refund"], attributes={"region": "south"})
    assignment = await offered(client, "anna")
    await client.call("POST", f"/v1/assignments/{assignment}/accept")
    await client.call("POST", f"{path}/{first['id']}/messages", json={"from": "agent", "text": "hello"})
    await client.call("POST", f"/v1/assignments/{assignment}/complete", json={"resolved": True})
    await client.call("PUT", f"{path}/{first['id']}/satisfaction", json={"score": 5})
    again = await client.contact("c-2", channel="webchat", tags=["refund", "parcel"], attributes={"region": "south"})
    await client.call("POST", f"/v1/assignments/{await offered(client, 'anna')}/decline")
    await here(client, "bert", teams=["east"])
    assignment = await offered(client, "bert")
    await client.call("POST", f"/v1/assignments/{assignment}/accept")
    asked = await client.call("POST", f"{path}/{again['id']}/collaborations", json={"agent_id": "anna"})
    await client.call("POST", f"/v1/collaborations/{asked['id']}/close", json={"reason": "never mind"})
    await client.call("POST", f"/v1/assignments/{assignment}/complete", json={"resolved": False})
    await client.call("PUT", f"{path}/{again['id']}/satisfaction", json={"score": 2})
    gone = await client.contact("c-3", tags=[])
    await client.call("POST", f"{path}/{gone['id']}/cancel", json={"reason": "abandoned"})
    other = {"type": "email", "value": "li@example.com"}
    await client.contact("c-4", channel="email", identity=other, attributes={"region": 7})


def counted(line: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(line[name] for name in names)


WHAT = ("group", "contacts", "answered", "abandoned", "offers", "declined")


async def test_what_became_of_contacts_is_counted(client: Client) -> None:
    await a_day(client)
    days = await lines(client)
    assert 7 == len(days)
    assert all(one["until"] == other["from"] for one, other in pairwise(days))
    assert all(re.fullmatch(r".*T00:00:00\.000Z", each["from"]) for each in days)
    assert {0} == {each["contacts"] for each in days[:-2]}
    (month,) = [each for each in await lines(client, period="month") if each["contacts"]]
    assert (None, 4, 2, 1, 3, 1) == counted(month, *WHAT)
    assert (2, 1, 1, 3) == counted(month, "answered_within", "responded", "responded_within", "closed")
    assert (1, 1, 1, 1) == counted(month, "resolved", "resolved_first", "unresolved", "repeats")
    assert (2, 3.5, 1) == counted(month, "rated", "mean_score", "low_scores")
    assert (2, 0, 0, 0) == counted(month, "accepted", "missed", "transferred", "overflowed")
    names = ("collaborations", "collaborations_answered", "collaborations_refused", "collaborations_unanswered")
    assert (1, 0, 0, 1) == counted(month, *names)
    for name in ("mean_wait_s", "mean_first_response_s", "mean_open_s", "mean_accept_s", "mean_held_s"):
        assert 0 < month[name] < 30, name


async def test_it_is_counted_by_what_is_asked_for(client: Client) -> None:
    await a_day(client)
    found = {
        by: [counted(each, *WHAT) for each in await lines(client, by=by, period="month")]
        for by in ("queue", "channel", "tag", "region", "agent", "team")
    }
    assert [("default", 4, 2, 1, 3, 1)] == found["queue"]
    assert [("email", 1, 0, 0, 0, 0), ("voice", 1, 0, 1, 0, 0), ("webchat", 2, 2, 0, 3, 1)] == found["channel"]
    assert [(None, 2, 0, 1, 0, 0), ("parcel", 1, 1, 0, 2, 1), ("refund", 2, 2, 0, 3, 1)] == found["tag"]
    assert [(None, 1, 0, 1, 0, 0), ("7", 1, 0, 0, 0, 0), ("south", 2, 2, 0, 3, 1)] == found["region"]
    assert [(None, 2, 0, 1, 0, 0), ("anna", 1, 1, 0, 2, 1), ("bert", 1, 1, 0, 1, 0)] == found["agent"]
    assert [(None, 2, 0, 1, 0, 0), ("chat", 1, 1, 0, 2, 1), ("east", 2, 2, 0, 3, 1)] == found["team"]
    asked = [counted(each, "group", "collaborations") for each in await lines(client, by="agent", period="month")]
    assert [(None, 0), ("anna", 1), ("bert", 0)] == asked


async def test_days_are_those_of_a_time_zone_and_contacts_of_the_past_are_in_theirs(client: Client) -> None:
    await client.agent("anna")
    contact = await client.contact("c-1")
    at, end = "2024-11-03T05:30:00Z", {"until": "2024-11-05T00:00:00Z"}
    connection = await asyncpg.connect(client.settings.database_url)
    try:  # as if it had come then: an hour and a half into the day on which New York has 25 hours
        old = f"{1_730_611_800_000:012x}"
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            "UPDATE contacts SET id = $2, created_at = 1730611800000 WHERE id = $1",
            contact["id"],
            f"{old[:8]}-{old[8:]}-{contact['id'][14:]}",
        )
        span = {"from": "2024-11-01T00:00:00Z", **end}
        found = await lines(client, **span, time_zone="America/New_York")
        # By then the first of November has not begun there.
        assert [
            ("2024-10-31T04:00:00.000Z", 0),
            ("2024-11-01T04:00:00.000Z", 0),
            ("2024-11-02T04:00:00.000Z", 0),
            ("2024-11-03T04:00:00.000Z", 1),
            ("2024-11-04T05:00:00.000Z", 0),
        ] == [counted(each, "from", "contacts") for each in found]
        found = await lines(client, **{"from": at}, **end, time_zone="Pacific/Auckland", period="week")
        assert [("2024-10-27T11:00:00.000Z", 1), ("2024-11-03T11:00:00.000Z", 0)] == [
            counted(each, "from", "contacts") for each in found
        ]
        found = await lines(client, **{"from": "2023-01-31T12:00:00Z"}, **end, period="month", by="channel")
        (november,) = found
        assert ("2024-11-01T00:00:00.000Z", "voice", 1) == counted(november, "from", "group", "contacts")
    finally:
        await connection.execute(
            "UPDATE contacts SET id = $1 WHERE created_at = 1730611800000 AND tenant = $2",
            contact["id"],
            (await client.call("GET", "/v1/token-trust"))["tenant"],
        )
        await connection.close()


async def test_who_may_ask_and_what_is_refused(client: Client) -> None:
    await client.agent("anna")
    for role, status in (("agent", 403), ("supervisor", 200)):
        bearer = {"authorization": f"Bearer {await client.token('anna', role)}"}
        await client.call("GET", "/v1/reports", status, headers=bearer)
    for wrong in (
        {"period": "year"},
        {"by": "customer"},
        *({"time_zone": each} for each in ("Mars/Olympus", "localtime", "posix/UTC", "right/UTC", "europe/berlin")),
        {"from": "yesterday"},
        {"from": "2999-01-01T00:00:00Z"},
        {"from": "2024-02-01T00:00:00Z", "until": "2024-02-01T00:00:00Z"},
        {"from": "1970-01-01T00:00:00Z"},
        {"from": "1970-01-01T00:00:00Z", "period": "week"},
        {"from": "1970-01-01T00:00:00Z", "period": "month"},
        {"limit": "0"},
    ):
        refused = await client.call("GET", "/v1/reports", 422, params=wrong)
        assert "malformed" == refused["code"]
    oldest = {"from": "1970-01-01T00:00:00Z", "until": "1970-01-02T00:00:00Z", "time_zone": "America/Lima"}
    assert "1969-12-31T05:00:00.000Z" == (await lines(client, **oldest))[0]["from"]


async def test_numbers_in_a_region_are_hidden_from_those_who_see_none(client: Client) -> None:
    await client.agent("anna")
    await client.contact("c-1", attributes={"region": "call +8613800138000"})
    await client.call("PUT", "/v1/settings", json={"masked_for": ["supervisor"]})
    bearer = {"authorization": f"Bearer {await client.token('anna', 'supervisor')}"}
    for headers, shown in (({}, "call +8613800138000"), (bearer, "call +*********8000")):
        found = await client.call("GET", "/v1/reports?by=region", headers=headers)
        assert [shown] == [each["group"] for each in found["items"]]
