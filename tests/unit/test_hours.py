"""Opening hours: what the clock on the wall shows decides, on the days when it jumps as on all others."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from src.errors import Malformed
from src.router.hours import HORIZON_DAYS, after, day_of, hours_of, is_open, next_change, next_opening, within, zone
from src.router.model import Hours, Span, TimeWindow

DAY_MS = 86_400_000
NINE_TO_SIX: Span = (9 * 60, 18 * 60)
WORKING_DAYS = dict.fromkeys(range(5), (NINE_TO_SIX,))
ALWAYS: Span = (0, 1440)


def utc(text: str) -> int:
    """Milliseconds of a moment in UTC: `2026-03-29 01:00`."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def daily(time_zone: str, *spans: Span) -> Hours:
    return Hours(time_zone, dict.fromkeys(range(7), spans))


def shown(at: int | None) -> str | None:
    return None if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"


def changes(hours: Hours, start: str, count: int) -> list[str | None]:
    """The next changes, one after the other."""
    found: list[str | None] = []
    at: int | None = utc(start)
    while at is not None and len(found) < count:
        at = next_change(hours, at)
        found.append(shown(at))
    return found


# -- ordinary days -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "is_it"),
    [
        ("2026-06-01 00:59:59.999", False),  # Monday, 08:59:59.999 in Shanghai
        ("2026-06-01 01:00", True),
        ("2026-06-01 09:59:59.999", True),
        ("2026-06-01 10:00", False),
        ("2026-06-06 04:00", False),  # Saturday
        ("2026-06-05 23:00", False),  # Friday in UTC, Saturday in Shanghai
    ],
)
def test_it_is_open_from_the_beginning_up_to_the_end(at: str, is_it: bool) -> None:
    assert is_it == is_open(Hours("Asia/Shanghai", WORKING_DAYS), utc(at))


def test_a_zone_may_be_ahead_by_quarters_of_an_hour() -> None:
    assert ["2026-06-01 03:15", "2026-06-01 12:15"] == changes(daily("Asia/Kathmandu", NINE_TO_SIX), "2026-06-01", 2)


def test_the_next_change_is_after_the_moment_even_if_that_is_one() -> None:
    hours = Hours("Asia/Shanghai", WORKING_DAYS)

    assert ["2026-06-05 10:00", "2026-06-08 01:00"] == changes(hours, "2026-06-05 01:00", 2)


def test_the_next_opening_is_now_while_it_is_open() -> None:
    hours = Hours("Asia/Shanghai", WORKING_DAYS)
    open_at, closed_at = utc("2026-06-05 01:00"), utc("2026-06-05 10:00")

    assert open_at == next_opening(hours, open_at)
    assert "2026-06-08 01:00" == shown(next_opening(hours, closed_at))


def test_spans_that_touch_are_one() -> None:
    hours = daily("UTC", (9 * 60, 12 * 60), (12 * 60, 18 * 60))

    assert ["2026-06-01 09:00", "2026-06-01 18:00"] == changes(hours, "2026-06-01", 2)


def test_days_that_touch_at_midnight_are_one() -> None:
    hours = Hours("Asia/Shanghai", {0: ((12 * 60, 1440),), 1: ((0, 12 * 60),)})

    assert ["2026-06-01 04:00", "2026-06-02 04:00"] == changes(hours, "2026-06-01", 2)


# -- over midnight -----------------------------------------------------------------------------------------------------


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    hours = Hours("UTC", {6: ((22 * 60, 2 * 60),)})

    assert ["2026-06-07 22:00", "2026-06-08 02:00", "2026-06-14 22:00"] == changes(hours, "2026-06-02", 3)


def test_a_holiday_does_not_cut_the_night_before_short_and_does_not_let_its_own_begin() -> None:
    hours = Hours("UTC", dict.fromkeys(range(7), ((22 * 60, 2 * 60),)), {"2026-06-08": ()})

    assert ["2026-06-08 02:00", "2026-06-09 22:00"] == changes(hours, "2026-06-07 23:00", 2)


@pytest.mark.parametrize("end", [0, 1440])
def test_midnight_is_0_or_1440(end: int) -> None:
    assert ["2026-06-01 20:00", "2026-06-02 00:00"] == changes(daily("UTC", (20 * 60, end)), "2026-06-01", 2)


def test_a_span_that_ends_where_it_begins_lasts_a_day() -> None:
    hours = Hours("UTC", {0: ((6 * 60, 6 * 60),)})

    assert ["2026-06-01 06:00", "2026-06-02 06:00"] == changes(hours, "2026-06-01", 2)


# -- holidays ----------------------------------------------------------------------------------------------------------


def test_a_date_takes_the_place_of_its_weekday() -> None:
    hours = Hours("Asia/Shanghai", WORKING_DAYS, {"2026-10-01": (), "2026-10-10": ((10 * 60, 12 * 60),)})

    assert not is_open(hours, utc("2026-10-01 04:00"))  # a Thursday
    assert is_open(hours, utc("2026-10-10 03:00"))  # a Saturday that is worked
    assert not is_open(hours, utc("2026-10-10 05:00"))


def test_an_opening_is_found_behind_a_long_holiday() -> None:
    hours = Hours("Asia/Shanghai", WORKING_DAYS, {f"2026-10-{day:02}": () for day in range(1, 8)})

    assert "2026-10-08 01:00" == shown(next_opening(hours, utc("2026-09-30 10:00")))


@pytest.mark.parametrize("hours", [Hours("UTC"), daily("Europe/Berlin", ALWAYS), daily("UTC", (300, 300))])
def test_what_never_changes_has_no_next_change(hours: Hours) -> None:
    assert next_change(hours, utc("2026-06-01")) is None


def test_a_change_is_looked_for_up_to_the_horizon() -> None:
    hours = Hours("UTC", {}, {"2027-07-06": (ALWAYS,)})
    opening = utc("2027-07-06")

    assert next_change(hours, opening - HORIZON_DAYS * DAY_MS) is None
    assert opening == next_change(hours, opening - (HORIZON_DAYS - 1) * DAY_MS)
    assert opening == next_opening(hours, opening - 1)


# -- the clock changes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time_zone", "span", "start", "expected"),
    [
        # Berlin goes from 2:00 to 3:00 at 01:00 UTC.
        ("Europe/Berlin", (60, 5 * 60), "2026-03-29 00:00", ["2026-03-29 03:00"]),
        ("Europe/Berlin", (2 * 60 + 30, 4 * 60), "2026-03-29 00:00", ["2026-03-29 01:00", "2026-03-29 02:00"]),
        ("Europe/Berlin", (0, 2 * 60 + 30), "2026-03-29 00:00", ["2026-03-29 01:00", "2026-03-29 22:00"]),
        # No clock shows 2:00 to 3:00: the day has no opening.
        ("Europe/Berlin", (2 * 60, 3 * 60), "2026-03-29 00:00", ["2026-03-30 00:00", "2026-03-30 01:00"]),
        # New York goes from 2:00 to 3:00 at 07:00 UTC.
        ("America/New_York", NINE_TO_SIX, "2026-03-07 05:00", ["2026-03-07 14:00", "2026-03-07 23:00"]),
        ("America/New_York", NINE_TO_SIX, "2026-03-08 05:00", ["2026-03-08 13:00", "2026-03-08 22:00"]),
        ("America/New_York", (22 * 60, 4 * 60), "2026-03-08 00:00", ["2026-03-08 03:00", "2026-03-08 08:00"]),
    ],
)
def test_an_hour_that_is_skipped_is_not_there(
    time_zone: str, span: Span, start: str, expected: list[str | None]
) -> None:
    assert expected == changes(daily(time_zone, span), start, len(expected))


@pytest.mark.parametrize(
    ("time_zone", "span", "start", "expected"),
    [
        # Berlin goes back from 3:00 to 2:00 at 01:00 UTC.
        ("Europe/Berlin", (60, 5 * 60), "2026-10-24 23:00", ["2026-10-25 04:00"]),
        ("Europe/Berlin", (2 * 60, 3 * 60), "2026-10-24 23:00", ["2026-10-25 00:00", "2026-10-25 02:00"]),
        (
            "Europe/Berlin",
            (2 * 60 + 30, 4 * 60),
            "2026-10-24 23:00",
            ["2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-25 03:00"],
        ),
        # New York goes back from 2:00 to 1:00 at 06:00 UTC.
        ("America/New_York", NINE_TO_SIX, "2026-11-01 04:00", ["2026-11-01 14:00", "2026-11-01 23:00"]),
        ("America/New_York", (60, 2 * 60), "2026-11-01 04:00", ["2026-11-01 05:00", "2026-11-01 07:00"]),
    ],
)
def test_an_hour_that_comes_twice_counts_both_times(
    time_zone: str, span: Span, start: str, expected: list[str | None]
) -> None:
    assert expected == changes(daily(time_zone, span), start, len(expected))


def test_a_day_that_the_calendar_skips_has_no_opening() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    assert ["2011-12-30 04:00", "2011-12-30 19:00"] == changes(
        daily("Pacific/Apia", NINE_TO_SIX), "2011-12-29 20:00", 2
    )


# -- against a clock on the wall ---------------------------------------------------------------------------------------

ZONES = (
    *("UTC", "Asia/Shanghai", "Asia/Kathmandu", "Europe/Berlin", "America/New_York"),
    *("Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "America/St_Johns"),
)
TURNS = (
    "2026-03-08 06:00",
    "2026-03-29 01:00",
    "2026-10-25 01:00",
    "2026-11-01 06:00",
    "2026-04-04 15:00",
    "2011-12-30",
)
moments = st.builds(
    lambda turn, away: utc(turn) + away, st.sampled_from(TURNS), st.integers(-3 * DAY_MS, 3 * DAY_MS)
) | st.integers(0, 4_000_000_000_000)
quarters = st.builds(lambda quarter: quarter * 15, st.integers(0, 95))
some_spans = st.lists(st.tuples(quarters, quarters.map(lambda minute: minute + 15)), max_size=2).map(tuple)
dates = st.builds(
    lambda turn, days: f"{datetime.fromisoformat(turn) + timedelta(days):%Y-%m-%d}",
    st.sampled_from(TURNS),
    st.integers(-2, 2),
)
any_hours = st.builds(
    Hours,
    st.sampled_from(ZONES),
    st.dictionaries(st.integers(0, 6), some_spans),
    st.dictionaries(dates, some_spans, max_size=3),
)


def looks_open(hours: Hours, at: int) -> bool:
    """What somebody would say who reads the clock on the wall and the sign at the door."""
    wall = datetime.fromtimestamp(at // 1000, ZoneInfo(hours.time_zone))
    minute = wall.hour * 60 + wall.minute

    def spans(days_ago: int) -> tuple[Span, ...]:
        day = wall.date() - timedelta(days_ago)
        return hours.dates.get(day.isoformat(), hours.days.get(day.weekday(), ()))

    today = any(begin <= minute < end or end <= begin <= minute for begin, end in spans(0))
    return today or any(end <= begin and minute < end for begin, end in spans(1))


@given(any_hours, moments)
def test_it_is_open_when_the_clock_on_the_wall_says_so(hours: Hours, at: int) -> None:
    assert looks_open(hours, at) == is_open(hours, at)


@given(any_hours, moments, st.data())
def test_nothing_changes_until_the_next_change_and_then_it_does(hours: Hours, at: int, data: st.DataObject) -> None:
    change = next_change(hours, at)
    before = is_open(hours, at)
    last = at + (HORIZON_DAYS - 1) * DAY_MS if change is None else change - 1
    between = data.draw(st.integers(at, last))

    assert before == looks_open(hours, last) == looks_open(hours, between)
    assert change == next_change(hours, between) or change is None
    if change is not None:
        assert at < change
        assert before != looks_open(hours, change)


@given(any_hours, moments, moments)
def test_what_was_asked_before_makes_no_difference(hours: Hours, at: int, before: int) -> None:
    alone = next_change(Hours(hours.time_zone, hours.days, hours.dates), at)
    next_change(hours, before)

    assert alone == next_change(hours, at)


@given(any_hours, moments)
def test_the_next_opening_is_open(hours: Hours, at: int) -> None:
    opening = next_opening(hours, at)

    assert opening is None or (opening >= at and is_open(hours, opening))
    assert (opening == at) == is_open(hours, at)


@given(any_hours, moments, st.integers(0, 2 * DAY_MS))
def test_the_time_in_which_it_is_open_adds_up(hours: Hours, at: int, ms: int) -> None:
    left, moment = ms, at
    while left:
        change = next_change(hours, moment)
        if change is None and not is_open(hours, moment):
            assert after(hours, at, ms) is None
            return
        passed = left if change is None else min(left, change - moment)
        left -= passed if is_open(hours, moment) else 0
        moment = moment + passed if change is None or not left else change
    assume(moment < at + (HORIZON_DAYS - 1) * DAY_MS)
    assert moment == after(hours, at, ms)


# -- times of day, and words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "at", "is_it"),
    [
        (TimeWindow("Asia/Shanghai", (9 * 60, 18 * 60)), "2026-06-06 04:00", True),  # every day, Saturday too
        (TimeWindow("Asia/Shanghai", (9 * 60, 18 * 60), (0,)), "2026-06-06 04:00", False),
        (TimeWindow("Asia/Shanghai", (22 * 60, 6 * 60), (4,)), "2026-06-05 15:00", True),  # Friday, 23:00
        (TimeWindow("Asia/Shanghai", (22 * 60, 6 * 60), (4,)), "2026-06-05 21:59", True),  # Saturday, 05:59
        (TimeWindow("Asia/Shanghai", (22 * 60, 6 * 60), (4,)), "2026-06-06 15:00", False),  # Saturday, 23:00
    ],
)
def test_a_time_of_day_holds_on_its_days(window: TimeWindow, at: str, is_it: bool) -> None:
    assert is_it == within(window, utc(at))


def test_equal_times_of_day_share_what_was_reckoned() -> None:
    assert hours_of(TimeWindow("UTC", (0, 60))) is hours_of(TimeWindow("UTC", (0, 60)))


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Asia", "UTC\0", "\ud800", "a" * 999]
)
def test_an_unknown_time_zone_is_malformed(name: str) -> None:
    with pytest.raises(Malformed, match="time zone") as refused:
        zone(name)
    assert "time_zone" == refused.value.extra["field"]


def test_an_unknown_time_zone_is_malformed_wherever_it_is_used() -> None:
    with pytest.raises(Malformed):
        is_open(Hours("Mars/Olympus"), 0)


@pytest.mark.parametrize(("text", "day"), [("1970-01-01", 0), ("1970-01-02", 1), ("2026-10-01", 20_727)])
def test_dates_are_counted_from_the_epoch(text: str, day: int) -> None:
    assert day == day_of(text)


@pytest.mark.parametrize(
    "text", ["", "2026-02-29", "20261001", "2026-W40-4", "2026-10-1", "1.10.2026", "2026-10-01T00:00"]
)
def test_a_date_is_written_in_one_way(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        day_of(text)
    assert f"dates.{text}" == refused.value.extra["field"]
