"""What a queue is to expect, and how many agents that takes: from the same hours of the weeks before, by Erlang C."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import Query
from starlette.responses import Response

from src.api.configuration import DEFAULTS
from src.api.context import Ctx, Json, settings_of
from src.api.routing import Router
from src.api.schemas import Moment, Name
from src.api.schemas.policies import KnownZone
from src.delivery import views
from src.dispatch.config import milliseconds, queue_config
from src.errors import Malformed, UnknownReference
from src.router.model import ChannelLimit, QueueConfig
from src.router.staffing import agents_needed, at_once
from src.store.forecasts import Forecasts
from src.store.rosters import Ability, RosterQueries, Shift

router = Router(prefix="/v1", tags=["operations"])

HOURS_MAX: Final = 168
WEEKS_MAX: Final = 12
STEP_S: Final = 900
AHEAD_MS_MAX: Final = 366 * 86_400_000
_HOUR_MS: Final = 3_600_000
_WEEK: Final = timedelta(days=7)
_WEEK_MS: Final = 7 * 24 * _HOUR_MS


@dataclass(slots=True)
class _Interval:
    """From when to when, in milliseconds; when it began so many weeks earlier, and what there was then.

    `handled` contacts were in hand for `held_ms` together. `weeks` are those that there is a history of.
    """

    from_at: int
    until_at: int
    before: Mapping[int, int]
    weeks: int = 0
    contacts: int = 0
    handled: int = 0
    held_ms: int = 0


@router.get("/forecast")
async def get_forecast(
    ctx: Ctx,
    queue: Annotated[Name, Query(description="whose contacts are counted")],
    from_: Annotated[Moment, Query(alias="from", description="a year ahead at most")],
    hours: Annotated[int, Query(ge=1, le=HOURS_MAX, description="how far it reaches")] = 24,
    interval_s: Annotated[int, Query(ge=STEP_S, le=3_600, multiple_of=STEP_S, description="of each interval")] = 1_800,
    weeks: Annotated[int, Query(ge=1, le=WEEKS_MAX, description="how many weeks back are counted")] = 4,
    time_zone: Annotated[
        KnownZone | None, Query(description="left out: that of the queue's hours, else of the quiet hours, else UTC")
    ] = None,
) -> Response:
    """The contacts to be expected of a queue, interval by interval, and the agents that its service level takes.

    Expected is the mean of the same time of day on the same weekday, over the last `weeks` weeks that were over by
    then; weeks before the queue's first contact are none. Handling lasts as long as it did in those intervals, the work
    after it included; where nobody was served in them, as long as in all of the forecast's.
    """
    ctx.principal.need("contacts:read", supervisor=True)
    stored = await ctx.services.queries.config_one(ctx.tenant, "queue", queue) or DEFAULTS.get(("queue", queue))
    if stored is None:
        raise UnknownReference(f"there is no queue {queue!r}", field="queue")
    config = queue_config(queue, stored)
    if time_zone is None:
        quiet = (await settings_of(ctx.services, ctx.tenant)).restraint.quiet
        time_zone = next((each.time_zone for each in (config.hours, quiet) if each is not None), "UTC")
    from_at, now = milliseconds(from_), ctx.services.clock.now_ms()
    if from_at > now + AHEAD_MS_MAX:
        raise Malformed("a forecast begins within a year", field="from")
    until_at = from_at + hours * _HOUR_MS
    zone, step = ZoneInfo(time_zone), interval_s * 1000
    intervals = [
        _Interval(each, each + step, _before(each, each + step, zone, weeks, now))
        for each in range(from_at, until_at, step)
    ]
    channels = await _count(Forecasts(ctx.services.reports), ctx.tenant, queue, intervals)
    rosters = RosterQueries(ctx.services.queries)
    room = _room(await rosters.abilities(ctx.tenant, config.teams, channels), channels) if channels else None
    spans = [(begins, ends) for _, begins, ends in await rosters.spans(ctx.tenant)]
    shifts = await rosters.shifts(ctx.tenant, from_at, intervals[-1].until_at, config.teams, channels) if spans else []
    on_shift = _on_shift(shifts, [each.from_at for each in intervals], step)
    rostered = [
        many if any(begins <= each.from_at and each.until_at <= ends for begins, ends in spans) else None
        for each, many in zip(intervals, on_shift, strict=True)
    ]
    return Json(
        {
            "queue": queue,
            "time_zone": time_zone,
            "within_s": config.within_s,
            "percent": config.percent,
            "at_once": None if room is None else round(room, 2),
            "intervals": _shown(intervals, config, room, rostered),
        }
    )


def _before(from_at: int, until_at: int, zone: ZoneInfo, weeks: int, now: int) -> dict[int, int]:
    """When the interval began in the last weeks in which it was over by now, by how many weeks ago that is."""
    local, found = datetime.fromtimestamp(from_at // 1000, zone), dict[int, int]()
    ago = 1 + max(0, (until_at - now) // _WEEK_MS - 1)
    while len(found) < weeks:
        began = int((local - ago * _WEEK).timestamp()) * 1000 + from_at % 1000
        if began + until_at - from_at <= now:
            found[ago] = began
        ago += 1
    return found


async def _count(counts: Forecasts, tenant: str, queue: str, intervals: Sequence[_Interval]) -> Counter[str]:
    """Fill in what there was; how many contacts came by which channel."""
    step, channels = intervals[0].until_at - intervals[0].from_at, Counter[str]()
    by_week: dict[int, list[tuple[int, _Interval]]] = defaultdict(list)
    for each in intervals:
        for ago, began in each.before.items():
            by_week[ago].append((began, each))
    begins = [began for found in by_week.values() for began, _ in found]
    first_at = await counts.first_at(tenant, queue, min(begins) - _WEEK_MS, max(begins) + step)
    if first_at is None:
        return channels
    for ago in sorted(by_week):
        known = [(began, each) for began, each in by_week[ago] if began + step > first_at]
        if not known:
            continue
        # Where clocks are changed, intervals of that week overlap, or leave something out between them.
        bounds = sorted({at for began, _ in known for at in (began, began + step)})
        number = {at: place for place, at in enumerate(bounds)}
        of: dict[int, list[_Interval]] = defaultdict(list)
        for began, each in known:
            each.weeks += 1
            for place in range(number[began], number[began + step]):
                of[place].append(each)
        for arrived in await counts.arrived(tenant, queue, bounds):
            for each in of[arrived.number]:
                each.contacts += arrived.contacts
                channels[arrived.channel] += arrived.contacts
        for worked in await counts.worked(tenant, queue, bounds):
            for each in of[worked.number]:
                each.handled += worked.contacts
                each.held_ms += worked.held_ms
    return channels


def _room(abilities: Sequence[Ability], channels: Counter[str]) -> float | None:
    """How many contacts an agent of these has at a time, on average; None: there is no agent."""
    agents = sum(each.agents for each in abilities)
    rooms = (each.agents * at_once(each.capacity, _limits(each), channels) for each in abilities)
    return sum(rooms) / agents if agents else None


def _limits(ability: Ability) -> dict[str, ChannelLimit] | None:
    if ability.channels is None:
        return None
    return {name: ChannelLimit(each["cost"], each["max"]) for name, each in ability.channels.items()}


def _on_shift(shifts: Sequence[Shift], begins: Sequence[int], step: int) -> list[int]:
    """How many agents work through the whole of each interval. Shifts of several rosters may touch and overlap."""
    changes = [0] * (len(begins) + 1)

    def work(from_at: int, until_at: int) -> None:
        first, behind = bisect_left(begins, from_at), bisect_right(begins, until_at - step)
        if first < behind:
            changes[first] += 1
            changes[behind] -= 1

    last: Shift | None = None
    for agent_id, from_at, until_at in sorted(shifts):
        if last is not None and last[0] == agent_id and from_at <= last[2]:
            last = (agent_id, last[1], max(last[2], until_at))
            continue
        if last is not None:
            work(last[1], last[2])
        last = (agent_id, from_at, until_at)
    if last is not None:
        work(last[1], last[2])
    return list(accumulate(changes[:-1]))


def _shown(
    intervals: Sequence[_Interval], config: QueueConfig, room: float | None, rostered: Sequence[int | None]
) -> list[dict[str, Any]]:
    handled, held_ms = sum(each.handled for each in intervals), sum(each.held_ms for each in intervals)
    usual_s = held_ms / handled / 1000 if handled else None
    found = []
    for each, there in zip(intervals, rostered, strict=True):
        contacts = each.contacts / each.weeks if each.weeks else None
        handling_s = each.held_ms / each.handled / 1000 if each.handled else usual_s
        needed = None
        if contacts is not None and (handling_s is not None or not contacts):
            load = contacts * (handling_s or 0.0) * 1000 / (each.until_at - each.from_at)
            needed = agents_needed(load, handling_s or 1.0, config.within_s, config.percent, room or 1.0)
        found.append(
            {
                "from": views.rfc3339(each.from_at),
                "until": views.rfc3339(each.until_at),
                "weeks": each.weeks,
                "contacts": None if contacts is None else round(contacts, 2),
                "handling_s": None if contacts is None or handling_s is None else round(handling_s, 1),
                "needed": needed,
                "rostered": there,
                "short": None if needed is None or there is None else max(0, needed - there),
            }
        )
    return found
