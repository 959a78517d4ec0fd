"""Working time: how many of an institution's own hours and days lie between two instants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.days_off import known_years
from sqmodel.operations.process import Hours
from sqmodel.operations.working_intervals import (
    DAY,
    HOUR,
    NAT,
    Intervals,
    Ints,
    instants_of,
    microseconds,
    slot_of,
    slot_problems,
    working_intervals,
)

Floats = npt.NDArray[np.float64]
Instants = Any  # array, Series, index or scalar of instants; without a zone they are UTC


@dataclass(frozen=True)
class WorkingCalendar:
    """When an institution works: made by `working_calendar`.

    An instant is worked if the wall clock of the zone shows one of the working hours on a working day, so that a day
    on which clocks change has the hours that really passed. Instants may be arrays, Series or scalars; those without a
    zone are UTC. NaT gives NaN (or NaT).

    Attributes
    ----------
    definition : Hours
    time_zone : str
    """

    definition: Hours
    time_zone: str

    @property
    def day_hours(self) -> float:
        """Hours of a working day."""
        return sum(end - begin for begin, end in map(slot_of, self.definition.hours)) / HOUR

    def hours(self, begin: Instants, end: Instants, *, negative: Literal["refuse", "nan"] = "refuse") -> Floats:
        """Working hours between instants.

        Parameters
        ----------
        begin, end : instants, shape (n,)
        negative : {"refuse", "nan"}
            What an end before its begin gives.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        OperationsError
            An end lies before its begin, or the holidays of a year are not known.

        Examples
        --------
        >>> calendar = working_calendar(Hours(), "Asia/Shanghai")
        >>> calendar.hours(["2026-02-13T16:30+08:00"], ["2026-02-14T10:00+08:00"])  # a Saturday worked before New Year
        array([2.])
        """
        first, last, missing = self._pair(begin, end, negative)
        ends = np.maximum(first[~missing], last[~missing] - 1)  # midnight of New Year needs nothing of the new year
        table = self._table(first[~missing], ends)
        result = np.full(first.shape, np.nan)
        result[~missing] = (table.worked(last[~missing]) - table.worked(first[~missing])) / HOUR
        return result

    def days(self, begin: Instants, end: Instants, *, negative: Literal["refuse", "nan"] = "refuse") -> Floats:
        """Working days after the day of `begin` up to the day of `end`, which counts.

        The day of begin is not counted (Civil Code of China, art. 201). An end on another day that is not worked counts
        as one on the next working day, so that ``days(begin, end) <= n`` says the same as ``end < add_days(begin, n)``.
        """
        first, last, missing = self._pair(begin, end, negative)
        result = np.full(first.shape, np.nan)
        a, b = self._dates(first[~missing]), self._dates(last[~missing])
        worked = self._years(a, b).dates
        through = np.searchsorted(worked, b, side="right")
        off = (np.searchsorted(worked, b, side="left") == through) & (b > a)
        result[~missing] = through - np.searchsorted(worked, a, side="right") + off
        return result

    def calendar_days(self, begin: Instants, end: Instants, *, negative: Literal["refuse", "nan"] = "refuse") -> Floats:
        """Days of the calendar after the day of `begin` up to the day of `end`, on the zone's wall calendar."""
        first, last, missing = self._pair(begin, end, negative)
        result = np.full(first.shape, np.nan)
        result[~missing] = self._dates(last[~missing]) - self._dates(first[~missing])
        return result

    def add_hours(
        self, begin: Instants, hours: npt.ArrayLike, *, unknown: Literal["refuse", "nat"] = "refuse"
    ) -> pd.DatetimeIndex:
        """The instant at which so many working hours have passed: the inverse of `hours`.

        Parameters
        ----------
        begin : instants, shape (n,)
        hours : array_like, shape (n,) or ()
            Not negative; with zero the instant is `begin` itself.
        unknown : {"refuse", "nat"}
            What an instant in a year of unknown holidays gives.
        """
        first, amount = self._amounts(begin, hours)
        result = np.full(first.shape, NAT)
        good = (first != NAT) & np.isfinite(amount)
        steps = np.rint(amount[good] * HOUR).astype(np.int64)
        for table in self._ahead(first[good], unknown):
            target = table.worked(first[good]) + steps
            if target.size == 0 or target.max() <= table.total:
                break
        k = np.searchsorted(table.before[1:], target, side="left")
        inside = k < len(table.begin)
        k = np.minimum(k, max(len(table.begin) - 1, 0))
        found = table.begin[k] + target - table.before[k] if len(table.begin) else np.full(target.shape, NAT)
        result[good] = np.where(steps == 0, first[good], np.where(inside, found, NAT))
        return instants_of(result)

    def add_days(
        self, begin: Instants, days: npt.ArrayLike, *, unknown: Literal["refuse", "nat"] = "refuse"
    ) -> pd.DatetimeIndex:
        """24:00 of the last of so many working days after the day of `begin`: the first instant that is too late."""
        first, amount = self._amounts(begin, days, whole=True)
        result = np.full(first.shape, NAT)
        good = (first != NAT) & np.isfinite(amount)
        day, steps = self._dates(first[good]), amount[good].astype(np.int64)
        for table in self._ahead(first[good], unknown):
            k = np.searchsorted(table.dates, day, side="right") + steps - 1
            if k.size == 0 or k.max() < len(table.dates):
                break
        inside = (k < len(table.dates)) | (steps == 0)
        dates = table.dates if len(table.dates) else np.zeros(1, np.int64)
        last = np.where(steps == 0, day, dates[np.clip(k, 0, len(dates) - 1)])
        result[good] = np.where(inside, self._midnight(last + 1), NAT)
        return instants_of(result)

    def add_calendar_days(self, begin: Instants, days: npt.ArrayLike) -> pd.DatetimeIndex:
        """24:00 of the last of so many days of the calendar after the day of `begin`: the first instant too late."""
        first, amount = self._amounts(begin, days, whole=True)
        result = np.full(first.shape, NAT)
        good = (first != NAT) & np.isfinite(amount)
        result[good] = self._midnight(self._dates(first[good]) + amount[good].astype(np.int64) + 1)
        return instants_of(result)

    def intervals(self, first: Instants, last: Instants) -> pd.DataFrame:
        """Every working interval that touches the time from `first` to `last`.

        Returns
        -------
        DataFrame
            begin, end (``datetime64[us, UTC]``), and before: working seconds from the first row's begin to the row's.
            Working seconds up to an instant are those before its interval and ``least(instant, end) - begin``.
        """
        a, b, missing = self._pair(first, last, "refuse")
        if missing.any():
            raise OperationsError("intervals", ["expected two instants, found none"])
        table = self._table(a, b)
        keep = (table.end > a.min()) & (table.begin < b.max())
        before = table.before[:-1][keep]
        seconds = (before - before[0]) / 1e6 if before.size else before / 1e6
        return pd.DataFrame(
            {"begin": instants_of(table.begin[keep]), "end": instants_of(table.end[keep]), "before": seconds}
        )

    def _pair(self, begin: Instants, end: Instants, negative: str) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """Microseconds since 1970 of both, and where one is missing."""
        first, last = np.broadcast_arrays(microseconds(begin), microseconds(end))
        missing = (first == NAT) | (last == NAT)
        backward = ~missing & (last < first)
        if backward.any() and negative == "refuse":
            rows = np.flatnonzero(backward)[: Problem.MOST]
            where = tuple(f"row {i + 1} ends {(first[i] - last[i]) / HOUR:.2f} h before it begins" for i in rows)
            problem = Problem("expected every end at or after its begin, found", where, int(backward.sum()))
            raise OperationsError("durations", [problem], 'correct the instants, or pass negative="nan" and count them')
        return first, last, missing | backward

    def _amounts(self, begin: Instants, amount: npt.ArrayLike, whole: bool = False) -> tuple[Ints, Floats]:
        first, values = np.broadcast_arrays(microseconds(begin), np.asarray(amount, float))
        bad = (values < 0) | (whole & (values != np.rint(values)) & np.isfinite(values))
        if bad.any():
            kind = "whole days, 0 or more" if whole else "working hours, 0 or more"
            where = tuple(f"{v:g}" for v in np.unique(values[bad])[: Problem.MOST])
            raise OperationsError("durations", [Problem(f"expected {kind}, found", where, int(bad.sum()))])
        return first, values

    def _dates(self, instants: Ints) -> Ints:
        """Days since 1970 on the zone's wall calendar."""
        local = instants_of(instants).tz_convert(self.time_zone).tz_localize(None)
        return np.floor_divide(local.to_numpy("datetime64[us]").astype(np.int64), DAY)

    def _midnight(self, days: Ints) -> Ints:
        """The first instant of local days."""
        local = pd.DatetimeIndex((days * DAY).astype("datetime64[us]"))
        first = np.ones(len(local), bool)
        return microseconds(local.tz_localize(self.time_zone, ambiguous=first, nonexistent="shift_forward"))

    def _years(self, *dates: Ints) -> Intervals:
        every = np.concatenate(dates)
        if every.size == 0:
            return working_intervals(self.definition, self.time_zone, *([known_years(self.definition)[0]] * 2))
        years = every.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        return working_intervals(self.definition, self.time_zone, int(years.min()), int(years.max()))

    def _table(self, *instants: Ints) -> Intervals:
        return self._years(*(self._dates(i) for i in instants))

    def _ahead(self, instants: Ints, unknown: str) -> Iterator[Intervals]:
        """Tables that reach ever further, until the last year that is known."""
        table = self._table(instants)
        yield table
        known = known_years(self.definition)
        for years in (1, 3, 10, 30):
            last = min(table.years[1] + years, known[1])
            yield working_intervals(self.definition, self.time_zone, table.years[0], last)
            if last == known[1] or years == 30:
                break
        if unknown == "refuse":
            raise OperationsError(
                f"working calendar {self.definition.country or 'without holidays'}",
                [f"expected a deadline within the years whose holidays are known ({table.years[0]} to {last}), "
                 "found one beyond them"],
                "update the package that knows the holidays, or shorten the limit",
            )  # fmt: skip


def working_calendar(hours: Hours, time_zone: str) -> WorkingCalendar:
    """The calendar of an institution's working hours.

    Parameters
    ----------
    hours : Hours
    time_zone : str
        Of the working hours, such as ``Asia/Shanghai``.

    Raises
    ------
    OperationsError
        The zone or the country is unknown, the hours are no hours, overlap or are not in order, or no day is worked.

    Examples
    --------
    >>> calendar = working_calendar(Hours(country="NL", hours=("09:00-17:00",)), "Europe/Amsterdam")
    >>> calendar.days(["2026-04-24T12:00+02:00"], ["2026-04-28T12:00+02:00"])  # King's Day is a Monday
    array([1.])
    """
    problems: list[Problem | str] = list(slot_problems(hours.hours))
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        problems.append(f"expected a time zone such as Asia/Shanghai, found {time_zone!r}")
    if not set(hours.weekend) <= set(range(7)):
        problems.append(f"expected days of the weekend from 0 (Monday) to 6, found {list(hours.weekend)}")
    elif len(set(hours.weekend)) == 7:
        problems.append("expected a day of the week that is worked, found all seven in weekend")
    both = sorted(set(hours.closures) & set(hours.extra))
    if both:
        problems.append(Problem("expected days either closed or worked, found in both", tuple(map(str, both))))
    if problems:
        raise OperationsError("working hours", problems, "correct the calendar of the process")
    known_years(hours)  # an unknown country is told now, not at the first duration
    return WorkingCalendar(hours, time_zone)
