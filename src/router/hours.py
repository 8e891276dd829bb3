"""Opening hours and times of day: whether it is open at a moment, and when that changes. Pure: the moment is given.

The clock on the wall decides. It is open while the clock of the time zone shows a time that lies in a span of the day,
from the span's beginning up to, not including, its end. So an hour that the change to summer time skips is not there,
and an hour that the change back repeats counts both times.

A span whose end is not after its beginning goes on into the next day, and belongs to the day on which it begins: with
22:00 to 02:00 on Sunday it is open early on Monday, whatever is said of Monday, holidays included. An end of 1440 is
midnight; a span that ends where it begins lasts a whole day. Spans of two days may overlap; they are open together.

What was reckoned is remembered, by day, so that asking once per contact costs next to nothing. Times are milliseconds
since the epoch. Time zones are IANA's, from the system's tables or the package `tzdata`.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from src.errors import Malformed
from src.router.model import Hours, Span, TimeWindow

HORIZON_DAYS: Final = 400
"""How far ahead a change is looked for: a year, and a holiday's shift."""

MINUTES_PER_DAY: Final = 1440
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = MINUTES_PER_DAY * _MINUTE_MS
_EPOCH: Final = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY: Final = date(1970, 1, 1).weekday()

_CALENDARS_MAX: Final = 1_024
_DAYS_MAX: Final = 64


def is_open(hours: Hours, at: int) -> bool:
    """Whether it is open at a moment.

    Raises:
        Malformed: a time zone or date that is none.
    """
    return _calendar(hours).is_open(at)


def next_change(hours: Hours, at: int) -> int | None:
    """The first moment after this one at which it opens or closes.

    None if that is not within `HORIZON_DAYS` days, whole days of UTC, beginning with the moment's.
    """
    return _calendar(hours).next_change(at)


def next_opening(hours: Hours, at: int) -> int | None:
    """When it is open: at once if it is, else the moment at which it opens. None as with `next_change`."""
    return at if is_open(hours, at) else next_change(hours, at)


def after(hours: Hours, at: int, ms: int) -> int | None:
    """When it has been open for so many milliseconds since a moment.

    None if that is not within `HORIZON_DAYS` days.
    """
    return _calendar(hours).after(at, ms)


def within(window: TimeWindow, at: int) -> bool:
    """Whether a moment lies in a time of day."""
    return is_open(hours_of(window), at)


@lru_cache(maxsize=_CALENDARS_MAX)
def hours_of(window: TimeWindow) -> Hours:
    """The opening hours that are open exactly within this time of day."""
    return Hours(window.time_zone, dict.fromkeys(window.days or range(7), (window.span,)))


def check_zone(name: str) -> None:
    """Refuse a name that the IANA database does not know.

    A system's tables have more: `localtime` is another zone on each machine, and names below `posix/` or `right/` are
    there on some only. So what counts are the names in the package `tzdata`, which comes with the service.

    Raises:
        Malformed: there is no time zone of this name.
    """
    if name not in _names():
        raise Malformed(f"there is no time zone {name!r}", field="time_zone")


@cache
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


def zone(name: str) -> ZoneInfo:
    """The time zone of a name that was checked when it came in (`check_zone`).

    Raises:
        Malformed: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Malformed(f"there is no time zone {name!r}", field="time_zone") from error


def day_of(text: str) -> int:
    """The number of a date, `2026-10-01`, counted in days since the epoch.

    Raises:
        Malformed: it is none, or written in another way.
    """
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not a date, such as 2026-10-01", field=f"dates.{text}") from error
    if found.isoformat() != text:
        raise Malformed(f"{text!r} is not written as 2026-10-01 is", field=f"dates.{text}")
    return found.toordinal() - _EPOCH


_Interval = tuple[int, int]
"""From, up to: milliseconds, since the epoch or since midnight."""


class _Calendar:
    """The open times of one `Hours` in days of UTC, reckoned when they are first asked for.

    The span that was last met is kept at hand: nearly always the next moment asked about lies in it too.
    """

    def __init__(self, hours: Hours) -> None:
        self.hours = hours
        self._zone = zone(hours.time_zone)
        self._weekdays = {weekday: _in_ms(spans) for weekday, spans in hours.days.items()}
        self._dates = {day_of(text): _in_ms(spans) for text, spans in hours.dates.items()}
        self._is_ever_open = any(self._weekdays.values()) or any(self._dates.values())
        self._days: dict[int, tuple[_Interval, ...]] = {}
        self._next: tuple[int, int, int | None] = (0, 0, None)
        self._since = self._until = 0

    def is_open(self, at: int) -> bool:
        """See the function of this name."""
        if self._since <= at < self._until:
            return True
        for begin, end in self._days.get(at // _DAY_MS) or self.day(at // _DAY_MS):
            if begin <= at < end:
                self._since, self._until = begin, end
                return True
        return False

    def day(self, day: int) -> tuple[_Interval, ...]:
        """When it is open on a day of UTC, in order, disjoint."""
        found = self._days.get(day)
        if found is None:
            if len(self._days) >= _DAYS_MAX:
                self._days.clear()
            found = self._days[day] = tuple(_merged(sorted(self._pieces(day))))
        return found

    def next_change(self, at: int) -> int | None:
        """See the function of this name. Until the change has come, the answer stays the same."""
        since, until, answer = self._next
        if not since <= at < until:
            answer = self._find_change(at)
            self._next = (at, (at // _DAY_MS + 1) * _DAY_MS if answer is None else answer, answer)
        return answer

    def after(self, at: int, ms: int) -> int | None:
        """See the function of this name."""
        if not ms or (self._since <= at and at + ms <= self._until):
            return at + ms
        if not self._is_ever_open:
            return None
        first = at // _DAY_MS
        for day in range(first, first + HORIZON_DAYS):
            for begin, end in self._days.get(day) or self.day(day):
                since = max(begin, at)
                if since + ms <= end:
                    return since + ms
                ms -= max(0, end - since)
        return None

    def _find_change(self, at: int) -> int | None:
        first = at // _DAY_MS
        horizon = first + HORIZON_DAYS
        pieces = (piece for day in range(first, horizon) for piece in self.day(day))
        for begin, end in _merged(pieces):
            if at < begin:
                return begin
            if at < end:
                return end if end < horizon * _DAY_MS else None
        return None

    def _pieces(self, day: int) -> Iterator[_Interval]:
        """The spans of the wall's days that touch a day of UTC, in UTC, cut to it."""
        for start, end, offset in self._stretches(day * _DAY_MS, (day + 1) * _DAY_MS):
            # The day before the first one may still have a span that is not over.
            for wall_day in range((start + offset) // _DAY_MS - 1, (end - 1 + offset) // _DAY_MS + 1):
                for span_begin, span_end in self._spans(wall_day):
                    shift = wall_day * _DAY_MS - offset
                    begin, until = max(span_begin + shift, start), min(span_end + shift, end)
                    if begin < until:
                        yield begin, until

    def _spans(self, wall_day: int) -> tuple[_Interval, ...]:
        """The spans that begin on a day of the wall's calendar."""
        dated = self._dates.get(wall_day)
        return self._weekdays.get((wall_day + _EPOCH_WEEKDAY) % 7, ()) if dated is None else dated

    def _stretches(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The parts of a day of UTC, and how far the wall's clock is ahead in each. It changes at most once a day."""
        before, after = self._offset(start), self._offset(end - 1)
        if before == after:
            yield start, end, before
            return
        low, high = start, end - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        yield start, high, before
        yield high, end, after

    def _offset(self, at: int) -> int:
        offset = datetime.fromtimestamp(at // 1000, self._zone).utcoffset()
        assert offset is not None
        return round(offset.total_seconds() * 1000)


_calendars: Final[dict[int, _Calendar]] = {}
"""By identity of the hours, which cannot be hashed. A calendar keeps its hours, and so their identity is not reused."""


class _Latest:
    """The calendar that was asked for last: a decision asks for the hours of one queue several times."""

    __slots__ = ("calendar",)

    def __init__(self) -> None:
        self.calendar: _Calendar | None = None


_latest: Final = _Latest()


def _calendar(hours: Hours) -> _Calendar:
    found = _latest.calendar
    if found is None or found.hours is not hours:
        found = _latest.calendar = _calendars.get(id(hours)) or _new_calendar(hours)
    return found


def _new_calendar(hours: Hours) -> _Calendar:
    if len(_calendars) >= _CALENDARS_MAX:
        _calendars.clear()
    calendar = _calendars[id(hours)] = _Calendar(hours)
    return calendar


def _in_ms(spans: Iterable[Span]) -> tuple[_Interval, ...]:
    """Minutes since midnight in milliseconds; an end on the next day lies beyond 24 hours."""
    return tuple(
        (begin * _MINUTE_MS, (end if end > begin else end + MINUTES_PER_DAY) * _MINUTE_MS) for begin, end in spans
    )


def _merged(ordered: Iterable[_Interval]) -> Iterator[_Interval]:
    """Intervals, ordered by their beginnings, joined where they touch or overlap."""
    merged: _Interval | None = None
    for begin, end in ordered:
        if merged is None:
            merged = begin, end
        elif begin <= merged[1]:
            merged = merged[0], max(merged[1], end)
        else:
            yield merged
            merged = begin, end
    if merged is not None:
        yield merged
