"""Days off: which dates are worked, by the calendar of a country and an institution's own days."""

from __future__ import annotations

import functools
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from sqmodel.errors import OperationsError
from sqmodel.operations.process import Hours

EVER = (1900, 2199)  # where only the days of the week count


@functools.lru_cache(maxsize=64)
def known_years(hours: Hours) -> tuple[int, int]:
    """First and last year whose holidays are known.

    Raises
    ------
    OperationsError
        The country, or its subdivision, is unknown.
    """
    if not hours.country:
        return EVER
    if hours.country == "CN":
        from chinese_calendar import constants

        return min(constants.holidays).year, max(constants.holidays).year
    calendar = _country(hours, ())
    return max(EVER[0], calendar.start_year), min(EVER[1], calendar.end_year)


@functools.lru_cache(maxsize=64)
def working_dates(hours: Hours, first: int, last: int) -> npt.NDArray[np.int64]:
    """Days since 1970 that are worked, from the first year to the last.

    China's holidays, and the weekends worked in exchange for them, are those the State Council announced
    (`chinesecalendar`); other countries' are the public holidays of `holidays`. An institution's own days come last.

    Raises
    ------
    OperationsError
        The holidays of a year are not known: they are never taken for weekends alone.
    """
    known = known_years(hours)
    if first < known[0] or last > known[1]:
        wrong = first if first < known[0] else last
        raise OperationsError(
            f"working calendar {hours.country or 'without holidays'}",
            [f"expected dates from {known[0]} to {known[1]}, whose holidays are known, found one in {wrong}"],
            "correct the date, or update the package that knows the holidays "
            f"({'chinesecalendar' if hours.country == 'CN' else 'holidays'})",
        )
    begin, end = _day(date(first, 1, 1)), _day(date(last, 12, 31))
    days = np.arange(begin, end + 1)
    worked = ~np.isin((days + 3) % 7, hours.weekend)  # 1970-01-01 was a Thursday
    off, on = _announced(hours, first, last)
    worked[np.isin(days, off)] = False
    worked[np.isin(days, on)] = True
    worked[np.isin(days, [_day(d) for d in hours.extra])] = True
    worked[np.isin(days, [_day(d) for d in hours.closures])] = False
    return days[worked]


def _announced(hours: Hours, first: int, last: int) -> tuple[list[int], list[int]]:
    """Days that the country has off, and days of its weekends that it works."""
    if not hours.country:
        return [], []
    if hours.country == "CN":
        from chinese_calendar import constants

        return [_day(d) for d in constants.holidays], [_day(d) for d in constants.workdays]
    calendar = _country(hours, range(first, last + 1))
    return [_day(d) for d in calendar], [_day(d) for d in getattr(calendar, "weekend_workdays", ())]


def _country(hours: Hours, years: Any) -> Any:
    import holidays

    try:
        return holidays.country_holidays(hours.country, subdiv=hours.subdivision or None, years=years)
    except NotImplementedError:
        names = sorted(holidays.list_supported_countries())
        problem = f"expected CN, another country known to the package holidays or nothing, found {hours.country!r}"
        if hours.country in names:
            some = ", ".join(sorted(holidays.list_supported_countries()[hours.country])[:10]) or "none"
            problem = f"expected a subdivision of {hours.country} ({some}), found {hours.subdivision!r}"
        raise OperationsError("working hours", [problem], "correct the calendar of the process") from None


def _day(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()
