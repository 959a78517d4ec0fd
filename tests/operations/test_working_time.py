from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import chinese_calendar
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations.process import Hours
from sqmodel.operations.working_time import WorkingCalendar, working_calendar

CHINA = working_calendar(Hours(), "Asia/Shanghai")
DUTCH = working_calendar(Hours(country="NL", hours=("08:30-12:00", "12:45-17:15")), "Europe/Amsterdam")
ALWAYS = working_calendar(Hours(country="", hours=("00:00-24:00",), weekend=()), "Europe/Amsterdam")
NIGHT = working_calendar(Hours(country="", hours=("01:00-02:30", "02:45-04:00"), weekend=()), "Europe/Amsterdam")
HOWE = working_calendar(Hours(country="", hours=("00:00-02:15", "09:00-17:30")), "Australia/Lord_Howe")  # half an hour
NEPAL = working_calendar(Hours(country="", hours=("10:00-17:00",), weekend=(5,)), "Asia/Kathmandu")  # +05:45
ALL = {"china": CHINA, "dutch": DUTCH, "always": ALWAYS, "night": NIGHT, "howe": HOWE, "nepal": NEPAL}

LOW, HIGH = datetime(2023, 1, 3, tzinfo=UTC), datetime(2025, 6, 30, tzinfo=UTC)
instants = st.integers(0, int((HIGH - LOW).total_seconds() * 1e6)).map(lambda u: LOW + timedelta(microseconds=u))
names = st.sampled_from(sorted(ALL))


def hours(calendar: WorkingCalendar, begin: str, end: str) -> float:
    return float(calendar.hours([begin], [end])[0])


def days(calendar: WorkingCalendar, begin: str, end: str) -> float:
    return float(calendar.days([begin], [end])[0])


def by_the_clock(calendar: WorkingCalendar, begin: datetime, end: datetime) -> float:
    """Minutes at which the wall clock shows a working hour, counted one by one."""
    zone, count, definition = ZoneInfo(calendar.time_zone), 0, calendar.definition
    at = begin
    while at < end:
        wall = at.astimezone(zone)
        slots = [s.split("-") for s in definition.hours]
        count += wall.weekday() not in definition.weekend and any(b <= wall.strftime("%H:%M") < e for b, e in slots)
        at += timedelta(minutes=1)
    return count / 60


@pytest.mark.parametrize(
    ("calendar", "around"),
    [(c, d) for c in (ALWAYS, NIGHT, HOWE, NEPAL) for d in ("2024-03-30", "2024-04-05", "2024-10-04", "2024-10-26")],
)
def test_every_minute_of_the_days_on_which_clocks_change(calendar: WorkingCalendar, around: str) -> None:
    begin = datetime.fromisoformat(f"{around}T00:00+00:00")
    end = begin + timedelta(days=3)
    assert calendar.hours([begin], [end])[0] == pytest.approx(by_the_clock(calendar, begin, end), abs=1e-9)


def test_days_on_which_clocks_change_have_23_and_25_hours() -> None:
    assert hours(ALWAYS, "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00") == 23
    assert hours(ALWAYS, "2024-10-27T00:00+02:00", "2024-10-28T00:00+01:00") == 25
    assert hours(DUTCH, "2024-03-28T12:00+01:00", "2024-04-02T09:30+02:00") == 4.5 + 1  # Good Friday to Easter Monday


def test_an_hour_that_occurs_twice_is_worked_twice_and_one_that_does_not_occur_never() -> None:
    assert hours(NIGHT, "2024-10-27T00:00+02:00", "2024-10-27T12:00+01:00") == 2.75 + 0.5 + 0.25
    assert hours(NIGHT, "2024-03-31T00:00+01:00", "2024-03-31T12:00+02:00") == 2.0


def test_make_up_days_are_worked_and_their_holidays_are_not() -> None:
    # Spring Festival 2024: 10 to 17 February off, Sunday 4 and Sunday 18 February worked
    assert hours(CHINA, "2024-02-04T00:00+08:00", "2024-02-05T00:00+08:00") == 7
    assert hours(CHINA, "2024-02-10T00:00+08:00", "2024-02-18T00:00+08:00") == 0
    assert days(CHINA, "2024-02-09T10:00+08:00", "2024-02-19T10:00+08:00") == 2


def test_every_day_known_agrees_with_chinesecalendar() -> None:
    every = pd.date_range("2004-01-01", "2026-12-31", tz="Asia/Shanghai")
    worked = CHINA.hours(every, every + pd.Timedelta(days=1)) > 0
    assert worked.tolist() == [chinese_calendar.is_workday(d.date()) for d in every]


def test_years_that_are_not_known_are_never_weekends_alone() -> None:
    with pytest.raises(OperationsError) as found:
        CHINA.hours(["2019-01-01"], ["2031-01-01T12:00"])
    first, last = min(chinese_calendar.constants.holidays).year, max(chinese_calendar.constants.holidays).year
    assert str(found.value) == (
        "working calendar CN: 1 problem\n"
        f"  - expected dates from {first} to {last}, whose holidays are known, found one in 2031\n"
        "  What to do: correct the date, or update the package that knows the holidays (chinesecalendar)"
    )
    with pytest.raises(OperationsError) as found:
        CHINA.add_days([f"{last}-12-20"], [30])
    assert str(found.value) == (
        "working calendar CN: 1 problem\n"
        f"  - expected a deadline within the years whose holidays are known ({last} to {last}), found one beyond them\n"
        "  What to do: update the package that knows the holidays, or shorten the limit"
    )
    assert CHINA.add_days([f"{last}-12-20"], [30], unknown="nat").isna().all()
    later = CHINA.add_hours([f"{last}-12-30T01:00"] * 2, [1, 300], unknown="nat")
    assert later.isna().tolist() == [False, True]


def test_own_days_come_last() -> None:
    own = Hours(closures=(date(2024, 2, 4), date(2024, 2, 5)), extra=(date(2024, 2, 10),))
    calendar = working_calendar(own, "Asia/Shanghai")
    assert hours(calendar, "2024-02-04T00:00+08:00", "2024-02-06T00:00+08:00") == 0
    assert hours(calendar, "2024-02-10T00:00+08:00", "2024-02-11T00:00+08:00") == 7


def test_a_bank_that_works_on_saturdays_keeps_the_holidays() -> None:
    calendar = working_calendar(Hours(weekend=(6,)), "Asia/Shanghai")
    assert hours(calendar, "2024-02-24T00:00+08:00", "2024-02-26T00:00+08:00") == 7
    assert hours(calendar, "2024-02-10T00:00+08:00", "2024-02-11T00:00+08:00") == 0


def test_the_day_of_begin_is_not_counted() -> None:
    assert days(CHINA, "2024-03-01T09:00+08:00", "2024-03-01T17:00+08:00") == 0
    assert days(CHINA, "2024-03-01T09:00+08:00", "2024-03-04T09:00+08:00") == 1  # Friday, Monday
    assert days(CHINA, "2024-03-02T09:00+08:00", "2024-03-04T09:00+08:00") == 1  # begun on a Saturday
    assert days(CHINA, "2024-03-01T09:00+08:00", "2024-03-02T09:00+08:00") == 1  # counts as Monday
    due = CHINA.add_days(["2024-03-01T09:00+08:00", "2024-03-02T09:00+08:00"], [5, 5])
    assert due.tz_convert("Asia/Shanghai").strftime("%F %R").tolist() == ["2024-03-09 00:00"] * 2
    assert CHINA.calendar_days(["2024-02-28T23:59+08:00"], ["2024-03-01T00:01+08:00"]).tolist() == [2]
    due = CHINA.add_calendar_days(["2024-02-28T23:59+08:00"], [15])
    assert due.tz_convert("Asia/Shanghai").strftime("%F %R").tolist() == ["2024-03-15 00:00"]


def test_deadlines_in_hours_end_with_the_day_and_not_with_the_next_morning() -> None:
    due = CHINA.add_hours(["2024-03-01T09:00+08:00", "2024-03-01T09:00+08:00", "2024-03-02T03:00+08:00"], [7, 7.5, 0])
    assert due.tz_convert("Asia/Shanghai").strftime("%F %R").tolist() == [
        "2024-03-01 17:30", "2024-03-04 09:30", "2024-03-02 03:00",
    ]  # fmt: skip


def test_begin_and_end_outside_hours() -> None:
    assert hours(CHINA, "2024-03-01T06:00+08:00", "2024-03-01T23:00+08:00") == 7
    assert hours(CHINA, "2024-03-01T12:10+08:00", "2024-03-01T13:20+08:00") == 0
    assert hours(CHINA, "2024-03-01T18:00+08:00", "2024-03-04T08:00+08:00") == 0


def test_missing_instants_give_nan_and_an_end_before_its_begin_is_refused() -> None:
    assert np.isnan(CHINA.hours([pd.NaT, "2024-03-01"], ["2024-03-01", pd.NaT])).all()
    assert np.isnan(CHINA.days(["2024-03-02"], ["2024-03-01"], negative="nan")).all()
    assert CHINA.add_hours([pd.NaT], [3]).isna().all()
    assert CHINA.hours([], []).shape == (0,)
    with pytest.raises(OperationsError) as found:
        CHINA.hours(["2024-03-02", "2024-03-02"], ["2024-03-01T22:30", "2024-03-03"])
    assert str(found.value) == (
        "durations: 1 problem\n"
        "  - expected every end at or after its begin, found: row 1 ends 1.50 h before it begins\n"
        '  What to do: correct the instants, or pass negative="nan" and count them'
    )
    with pytest.raises(OperationsError) as found:
        CHINA.add_days(["2024-03-02", "2024-03-02"], [-1, 2.5])
    assert str(found.value) == "durations: 1 problem\n  - expected whole days, 0 or more, found: -1, 2.5"


def test_bad_definitions_are_told_all_at_once() -> None:
    bad = Hours(hours=("9-12", "22:00-06:00", "08:00-10:00", "09:30-11:00"), weekend=(7,))
    with pytest.raises(OperationsError) as found:
        working_calendar(bad, "Asia/Peking")
    assert str(found.value) == (
        "working hours: 5 problems\n"
        "  - expected hours such as 09:00-12:00, found '9-12'\n"
        "  - expected hours that end after they begin, found '22:00-06:00': write a night as two, one until 24:00\n"
        "  - expected hours in order and apart, found '09:30-11:00' before the one ahead of it ends\n"
        "  - expected a time zone such as Asia/Shanghai, found 'Asia/Peking'\n"
        "  - expected days of the weekend from 0 (Monday) to 6, found [7]\n"
        "  What to do: correct the calendar of the process"
    )
    with pytest.raises(OperationsError, match=r"expected a subdivision of DE .*, found 'XX'"):
        working_calendar(Hours(country="DE", subdivision="XX"), "Europe/Berlin")
    with pytest.raises(OperationsError, match=r"expected CN, another country .*, found 'XX'"):
        working_calendar(Hours(country="XX"), "Europe/Berlin")


def test_intervals_give_the_same_hours() -> None:
    begin, end = pd.Timestamp("2024-03-28T10:00+01:00"), pd.Timestamp("2024-04-03T11:11+02:00")
    table = DUTCH.intervals(begin, end)
    assert list(table.columns) == ["begin", "end", "before"]
    assert [str(t) for t in table.dtypes[:2]] == ["datetime64[us, UTC]"] * 2

    def seconds(at: pd.Timestamp) -> float:
        row = table[table["begin"] <= at].iloc[-1]
        return float(row["before"] + (min(at, row["end"]) - row["begin"]).total_seconds())

    assert seconds(end) - seconds(begin) == pytest.approx(3600 * DUTCH.hours([begin], [end])[0])


@given(names, st.lists(instants, min_size=3, max_size=3).map(sorted))
@settings(max_examples=200, deadline=None)
def test_durations_add_up(name: str, three: list[datetime]) -> None:
    calendar, (a, b, c) = ALL[name], three
    whole, parts = calendar.hours([a], [c]), calendar.hours([a], [b]) + calendar.hours([b], [c])
    assert parts == pytest.approx(whole, abs=1e-9)
    assert 0 <= whole[0] <= (c - a).total_seconds() / 3600 + 1e-9


@given(names, instants, st.integers(0, 2000 * 60).map(lambda m: m / 60))
@settings(max_examples=200, deadline=None)
def test_adding_hours_is_the_inverse_of_counting_them(name: str, begin: datetime, amount: float) -> None:
    calendar = ALL[name]
    due = calendar.add_hours([begin], [amount])
    assert calendar.hours([begin], due)[0] == pytest.approx(amount, abs=1e-6)
    if amount > 0:  # and it is the first such instant
        assert calendar.hours([begin], due - pd.Timedelta(microseconds=1))[0] < amount


@given(names, st.lists(instants, min_size=2, max_size=2).map(sorted), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_a_limit_in_days_is_kept_exactly_until_its_deadline(name: str, two: list[datetime], limit: int) -> None:
    calendar, (begin, end) = ALL[name], two
    assert (calendar.days([begin], [end])[0] <= limit) == (pd.Timestamp(end) < calendar.add_days([begin], [limit])[0])
    assert (calendar.calendar_days([begin], [end])[0] <= limit) == (
        pd.Timestamp(end) < calendar.add_calendar_days([begin], [limit])[0]
    )


@given(names, st.lists(instants, min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_one_by_one_or_all_at_once(name: str, many: list[datetime]) -> None:
    calendar, begin = ALL[name], min(many)
    together = calendar.hours([begin] * len(many), many)
    assert together.tolist() == [calendar.hours([begin], [m])[0] for m in many]
    assert calendar.hours(begin, many).tolist() == together.tolist()
