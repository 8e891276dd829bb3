"""Forecasts over a made-up past, the agents that they ask for, and who is on shift by the rosters."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.floor import present, taken
from tests.support.service import Client

CHATS = {"webchat": {"cost": 25, "max": 4}}
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
FORECAST = "/v1/forecast"
ROSTER = "/v1/rosters/week"


@pytest.fixture
def day() -> int:
    """Midnight three days from now: of the weeks before, the same day is over."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((today + timedelta(days=3)).timestamp()) * 1000


def at(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat()


class Past:
    """Contacts of another time: copies of one that was served."""

    def __init__(self, connection: asyncpg.Connection, contact_id: str, assignment_id: str) -> None:
        self.connection, self._contact, self._assignment = connection, contact_id, assignment_id
        self._made = 0

    async def contact(self, moment: int, held_s: int | None = 600, *, outbound: bool = False, **more: Any) -> None:
        self._made += 1
        head = f"{moment:012x}"
        new = f"{head[:8]}-{head[8:]}-past-{self._made}"
        times = {"created_at": moment, "answered_at": None if held_s is None else moment, "closed_at": moment + 1}
        await self._copy("contacts", self._contact, {"id": new, "assignment_id": None, **times, **more})
        await self._copy("contact_facts", self._contact, {"id": new, "external_id": None, "outbound": outbound})
        if held_s is not None:
            spell = {"offered_at": moment, "accepted_at": moment, "ended_at": moment + held_s * 1000}
            await self._copy("assignments", self._assignment, {"id": new, "contact_id": new, **spell})

    async def _copy(self, table: str, of: str, changed: dict[str, Any]) -> None:
        await self.connection.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(was, $2::text::jsonb)).* FROM {table} AS was"
            " WHERE id = $1",
            of,
            json.dumps(changed),
        )

    async def forget(self) -> None:
        for table in ("contacts", "contact_facts", "assignments"):
            await self.connection.execute(f"DELETE FROM {table} WHERE id LIKE '%-past-%'")


@asynccontextmanager
async def past(client: Client) -> AsyncIterator[Past]:
    """A past for a tenant with an agent who has four chats at a time, and who has served one now."""
    await present(client, "anna", channels=CHATS, teams=["chat"])
    contact = await taken(client, "now", channel="webchat")
    assignment = contact["assignment"]["id"]
    await client.call("POST", f"/v1/assignments/{assignment}/complete", json={"resolved": True})
    connection = await asyncpg.connect(client.settings.database_url)
    found = Past(connection, contact["id"], assignment)
    try:
        yield found
    finally:
        await found.forget()
        await connection.close()


async def forecast(client: Client, moment: int, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = await client.call("GET", FORECAST, params={"queue": "default", "from": at(moment), **asked})
    return found


def column(found: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(each[name] for name in names) for each in found["intervals"]]


async def test_what_is_to_come_is_the_mean_of_the_weeks_that_there_were(client: Client, day: int) -> None:
    async with past(client) as made:
        nine = day + 9 * HOUR_MS
        for ago, many in ((1, 4), (2, 2), (3, 3)):
            for number in range(many):
                await made.contact(nine - ago * WEEK_MS + number * 1000, held_s=300 * ago)
        await made.contact(nine - WEEK_MS + 30 * 60_000, held_s=None)
        await made.contact(nine - WEEK_MS + 60_000, outbound=True, held_s=90_000)
        await made.contact(nine - WEEK_MS + 60_000, queue="other", held_s=90_000)
        found = await forecast(client, day + 8 * HOUR_MS, hours=3)
        assert ("default", "UTC", 30, 95, 4.0) == tuple(
            found[name] for name in ("queue", "time_zone", "within_s", "percent", "at_once")
        )
        # The first contact came three weeks ago at nine: of eight o'clock there are two weeks alone. One contact was
        # not answered: its handling is taken to last as long as that of the others.
        mean_s = (4 * 300 + 2 * 600 + 3 * 900) / 9
        assert column(found, "weeks", "contacts", "handling_s", "needed") == [
            (2, 0.0, round(mean_s, 1), 0),
            (2, 0.0, round(mean_s, 1), 0),
            (3, 3.0, round(mean_s, 1), 1),
            (3, 0.33, round(mean_s, 1), 1),
            (3, 0.0, round(mean_s, 1), 0),
            (3, 0.0, round(mean_s, 1), 0),
        ]
        assert found["intervals"][0]["from"].startswith(at(day + 8 * HOUR_MS)[:19])
        one = await forecast(client, nine, hours=1, interval_s=3600, weeks=1)
        assert [(1, 5.0, 300.0)] == column(one, "weeks", "contacts", "handling_s")


async def test_more_work_takes_the_agents_that_erlang_c_says(client: Client, day: int) -> None:
    async with past(client) as made:
        for number in range(10):
            await made.contact(day - WEEK_MS + number, held_s=900)
        # What was parked was not work all the time: it comes, and says nothing about how long one takes.
        await made.contact(day - WEEK_MS, held_s=90_000, owner_id="anna")
        await made.contact(day - WEEK_MS, held_s=None)
        level = {"service_level": {"within_s": 20, "percent": 80}}
        await client.call("PUT", "/v1/queues/default", json=level)
        # Twelve contacts of a quarter of an hour in half an hour are six at a time: eight at a time let 7 in 20 wait,
        # nine one in six. Whoever has four at a time counts as four.
        found = await forecast(client, day, hours=1)
        assert [(12.0, 900.0, 3, None, None)] == column(found, "contacts", "handling_s", "needed", "rostered", "short")[
            :1
        ]
        await client.agent("anna", teams=["chat"])
        assert [(9,)] == column(await forecast(client, day, hours=1), "needed")[:1]
        await client.call("PUT", "/v1/queues/default", json={**level, "teams": ["nobody"]})
        found = await forecast(client, day, hours=1)
        assert (None, 9) == (found["at_once"], found["intervals"][0]["needed"])


async def test_without_history_nothing_is_said(client: Client, day: int) -> None:
    await client.agent("anna")
    await client.call("PUT", ROSTER, json={"shifts": [{"agent_id": "anna", "from": at(day), "to": at(day + HOUR_MS)}]})
    found = await forecast(client, day, hours=1)
    assert found["at_once"] is None
    assert [(0, None, None, None, 1, None)] * 2 == column(
        found, "weeks", "contacts", "handling_s", "needed", "rostered", "short"
    )


async def test_who_is_on_shift_and_may_take_the_queues_contacts_is_counted(client: Client, day: int) -> None:
    async with past(client) as made:
        for number in range(30):
            await made.contact(day + 8 * HOUR_MS - WEEK_MS + number, held_s=1800)
        await client.agent("anna", teams=["chat"], channels={"webchat": {"cost": 100, "max": 1}})
        await client.agent("bert", teams=["chat"])
        await client.agent("cleo", teams=["calls"])
        await client.agent("dora", teams=["chat"], channels={"voice": {"cost": 100, "max": 1}})
        await client.call("PUT", "/v1/queues/default", json={"teams": ["chat"]})

        def shift(agent_id: str, begins: float, ends: float) -> dict[str, str]:
            moments = (at(day + int(hour * HOUR_MS)) for hour in (begins, ends))
            return {"agent_id": agent_id, **dict(zip(("from", "to"), moments, strict=True))}

        shifts = [
            *(shift("anna", 8, 9), shift("anna", 9, 10.5), shift("bert", 8.25, 9.5)),
            *(shift("cleo", 8, 11), shift("dora", 8, 11)),
        ]
        await client.call("PUT", ROSTER, json={"shifts": shifts})
        await client.call("PUT", "/v1/rosters/more", json={"shifts": [shift("bert", 9.25, 10)]})
        found = await forecast(client, day + int(7.5 * HOUR_MS), hours=4)
        assert [None, 1, 2, 2, 2, 1, 0, None] == [each["rostered"] for each in found["intervals"]]
        eight = found["intervals"][1]
        assert (30.0, eight["needed"] - 1) == (eight["contacts"], eight["short"])
        assert eight["needed"] > 30
        assert [0] * 5 == [each["short"] for each in found["intervals"][2:7]]


async def test_weeks_are_compared_by_the_clock_of_the_queue(client: Client) -> None:
    """New York sets its clocks back on 3 November 2024: nine there is 14:00 UTC, and was 13:00."""
    summer, winter = 1_730_293_200_000, 1_730_901_600_000  # 30 October 13:00 UTC, 6 November 14:00 UTC
    async with past(client) as made:
        await made.contact(summer)
        zoned = {"hours": {"time_zone": "America/New_York", "days": {"wed": [["09:00", "17:00"]]}}}
        for put, time_zone, expected in ((zoned, "America/New_York", 1.0), ({}, "UTC", 0.0)):
            await client.call("PUT", "/v1/queues/default", json=put)
            found = await forecast(client, winter, hours=1, interval_s=3600, weeks=1)
            assert (time_zone, [(1, expected)]) == (found["time_zone"], column(found, "weeks", "contacts"))
        asked = {"hours": 1, "interval_s": 3600, "weeks": 1, "time_zone": "America/Chicago"}
        assert [(1.0,)] == column(await forecast(client, winter, **asked), "contacts")
        quiet = {"restraint": {"quiet": {"time_zone": "Europe/Berlin", "days": {}, "dates": {}}}}
        await client.call("PUT", "/v1/settings", json=quiet)
        assert "Europe/Berlin" == (await forecast(client, winter))["time_zone"]


async def test_who_may_ask_for_forecasts_and_what_is_refused(client: Client, day: int) -> None:
    await client.agent("anna")
    asked = {"queue": "default", "from": at(day)}
    for role, status in (("agent", 403), ("supervisor", 200)):
        bearer = {"authorization": f"Bearer {await client.token('anna', role)}"}
        await client.call("GET", FORECAST, status, headers=bearer, params=asked)
    unknown = await client.call("GET", FORECAST, 422, params={**asked, "queue": "nobody"})
    assert ("unknown_reference", "queue") == (unknown["code"], unknown["field"])
    wrongs: tuple[dict[str, Any], ...] = (
        {"queue": ""},
        *({"from": each} for each in ("tomorrow", "2999-01-01T00:00:00Z")),
        *({"hours": each} for each in (0, 169)),
        *({"interval_s": each} for each in (0, 60, 1000, 7200)),
        *({"weeks": each} for each in (0, 13)),
        {"time_zone": "Mars/Olympus"},
    )
    for wrong in wrongs:
        assert "malformed" == (await client.call("GET", FORECAST, 422, params={**asked, **wrong}))["code"]
    for name in asked:
        await client.call("GET", FORECAST, 422, params={each: asked[each] for each in asked if each != name})
    await client.call("GET", FORECAST, params={**asked, "from": "1970-01-01T00:00:00Z", "hours": 168})
    ahead = at(day + 360 * DAY_MS)
    found = await client.call("GET", FORECAST, params={**asked, "from": ahead, "hours": 168, "interval_s": 900})
    assert 672 == len(found["intervals"])
