"""What became of contacts, by day, week or month."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import Query
from starlette.responses import Response

from src.api.context import Ctx, Cursor, Json, hidden_in
from src.api.routing import Router
from src.api.schemas import Moment
from src.api.schemas.policies import KnownZone
from src.delivery import views
from src.dispatch.config import milliseconds, queue_config
from src.errors import Malformed
from src.profile.masking import masked_text
from src.store.reports import By, Line

router = Router(prefix="/v1", tags=["operations"])

Period = Literal["day", "week", "month"]

LIMIT_MAX: Final = 1_000
PERIODS_MAX: Final[Mapping[Period, int]] = {"day": 92, "week": 53, "month": 24}
USUAL: Final[Mapping[Period, int]] = {"day": 7, "week": 4, "month": 12}
AT_ONCE: Final[Mapping[Period, int]] = {"day": 31, "week": 5, "month": 1}
"""So many periods are counted by one statement: about a month."""

_DAY: Final = timedelta(days=1)
_FIRST_OF: Final[Mapping[Period, Callable[[date], date]]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
_LONGER: Final[Mapping[Period, timedelta]] = {
    "day": _DAY,
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}


@router.get("/reports")
async def list_reports(
    ctx: Ctx,
    cursor: Cursor,
    period: Annotated[Period, Query(description="a week begins on Monday")] = "day",
    by: Annotated[By | None, Query(description="a line for each of these; left out: one for all")] = None,
    from_: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query()] = None,
    time_zone: Annotated[KnownZone, Query(description="in which days, weeks and months begin")] = "UTC",
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> Response:
    """What became of contacts: of each period that has a moment from `from` up to `until`, oldest first.

    Without `until` up to now, the period that goes on included; without `from` the last 7 days, 4 weeks or 12 months.
    At most 92 days, 53 weeks or 24 months. Contacts count in the period in which they came, offers and requests for
    help in the one in which they were made; what an agent began itself (follow-ups) is among the offers alone. A
    contact counts with each of its tags and with each team of its agent; its `region` is its attribute of that name.
    The agent of a contact is the one who had it last. `group` null: where there is no such thing, or without `by`.
    """
    ctx.principal.need("contacts:read", supervisor=True)
    zone, now = ZoneInfo(time_zone), ctx.services.clock.now_ms()
    until_at = now + 1 if until is None else min(milliseconds(until), now + 1)
    from_at = None if from_ is None else milliseconds(from_)
    bounds = _bounds(period, from_at, until_at, zone)
    behind = None if cursor is None else _place(cursor)
    if behind is not None:
        bounds = bounds[next((n for n, each in enumerate(bounds) if each >= behind[0]), len(bounds)) :]
    queues = await ctx.services.queries.config(ctx.tenant, "queue")
    within = {each.name: queue_config(each.name, each.body or {}).within_s for each in queues}
    found: list[tuple[int, int, Line]] = []
    for some in _some(bounds, AT_ONCE[period]):
        lines = await ctx.services.reports.lines(ctx.tenant, some, by, within_s_of=within)
        if by is None:
            known = {each.period: each for each in lines}
            lines = [known.get(number, Line(number, None)) for number in range(len(some) - 1)]
        placed = [(some[each.period], some[each.period + 1], each) for each in lines]
        found += [each for each in placed if behind is None or _key(each) > behind]
        if len(found) > limit:
            break
    following = None
    if len(found) > limit:
        at, _, line = found[limit - 1]
        following = json.dumps([at, line.group])
    region = await hidden_in(ctx.services, ctx.principal) if by == "region" else None
    return Json({"items": [_shown(*each, region) for each in found[:limit]], "next_cursor": ctx.following(following)})


def _bounds(period: Period, from_at: int | None, until_at: int, zone: ZoneInfo) -> list[int]:
    """Where each period begins, and the last one ends: milliseconds, ascending."""
    first_of, longer = _FIRST_OF[period], _LONGER[period]
    if from_at is None:
        first = first_of(_day(until_at - 1, zone))
        for _ in range(USUAL[period] - 1):
            first = first_of(first - _DAY)
    elif from_at >= until_at:
        raise Malformed("until must be later than from, and from not in the future", field="from")
    else:
        first = first_of(_day(from_at, zone))
    found, each = [_midnight(first, zone)], first
    while found[-1] < until_at:
        if len(found) > PERIODS_MAX[period]:
            raise Malformed(f"a report has at most {PERIODS_MAX[period]} periods of a {period}", field="from")
        each = first_of(each + longer)
        found.append(_midnight(each, zone))
    return found


def _day(at: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at / 1000, zone).date()


def _midnight(day: date, zone: ZoneInfo) -> int:
    """When a day begins: where its first hour is left out, with the second."""
    return int(datetime.combine(day, time(), zone).timestamp()) * 1000


def _some(bounds: list[int], many: int) -> Iterator[list[int]]:
    """The bounds of so many periods after the other."""
    for number in range(0, len(bounds) - 1, many):
        yield bounds[number : number + many + 1]


def _key(placed: tuple[int, int, Line]) -> tuple[int, bool, str]:
    """A line's place among all: nothing is grouped before what is."""
    at, _, line = placed
    return at, line.group is not None, line.group or ""


def _place(key: str) -> tuple[int, bool, str]:
    at, group = json.loads(key)
    return at, group is not None, group or ""


def _shown(from_at: int, until_at: int, line: Line, region: str | None) -> dict[str, Any]:
    """A line; `region` is where the numbers are read that the caller does not see in what others put there."""
    values = {name: round(each, 3) if isinstance(each, float) else each for name, each in asdict(line).items()}
    del values["period"]
    if region is not None and line.group is not None:
        values["group"] = masked_text(line.group, region)
    return {"from": views.rfc3339(from_at), "until": views.rfc3339(until_at), **values}
