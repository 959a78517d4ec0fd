"""Working intervals: the UTC instants between which the wall clock of a zone shows working hours."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.operations.days_off import working_dates
from sqmodel.operations.process import Hours

Ints = npt.NDArray[np.int64]

HOUR = 3_600_000_000  # microseconds, in which every instant is kept: sums of them are exact
DAY = 24 * HOUR
NAT = np.iinfo(np.int64).min
_SLOT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


@dataclass(frozen=True, eq=False)
class Intervals:
    """Working intervals and days of some years; `before` has one entry more than there are intervals."""

    years: tuple[int, int]
    dates: Ints
    begin: Ints
    end: Ints
    before: Ints

    @property
    def total(self) -> int:
        """Microseconds worked in all."""
        return int(self.before[-1])

    def worked(self, instants: Ints) -> Ints:
        """Microseconds worked from the first interval to instants."""
        if not len(self.begin):
            return np.zeros(instants.shape, np.int64)
        k = np.searchsorted(self.begin, instants, side="right") - 1
        inside = np.minimum(instants, self.end[k]) - self.begin[k]
        return np.where(k < 0, 0, self.before[k] + inside)


def slot_problems(slots: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with hours of a day."""
    if not slots:
        yield "expected working hours such as 09:00-12:00, found none"
    last = -1
    for slot in slots:
        if not _SLOT.fullmatch(slot):
            yield f"expected hours such as 09:00-12:00, found {slot!r}"
            continue
        begin, end = slot_of(slot)
        if end <= begin:
            yield (f"expected hours that end after they begin, found {slot!r}: write a night as two, one until 24:00")
        elif begin < last:
            yield f"expected hours in order and apart, found {slot!r} before the one ahead of it ends"
        last = max(last, end)


def slot_of(slot: str) -> tuple[int, int]:
    """Microseconds after midnight."""
    parts = [int(p) for p in re.split("[:-]", slot)]
    return (parts[0] * 60 + parts[1]) * HOUR // 60, (parts[2] * 60 + parts[3]) * HOUR // 60


@functools.lru_cache(maxsize=64)
def working_intervals(hours: Hours, zone: str, first: int, last: int) -> Intervals:
    """Where the wall clock shows working hours: within each stretch of constant offset it is a plain shift."""
    dates = working_dates(hours, first, last)
    slots = np.array([slot_of(s) for s in hours.hours], np.int64)
    wall = (dates[:, None, None] * DAY + slots[None, :, :]).reshape(-1, 2)
    pieces = []
    for begin, end, offset in _offsets(zone, first, last):
        shifted = np.clip(wall - offset, begin, end)
        pieces.append(shifted[shifted[:, 0] < shifted[:, 1]])
    spans = np.concatenate(pieces)
    before = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])])
    return Intervals((first, last), dates, spans[:, 0].copy(), spans[:, 1].copy(), before)


def _offsets(zone: str, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of constant offset from UTC: begin, end, offset in microseconds; every hour is looked at."""
    low, high = (microseconds(f"{y}-{d}")[0] // 1_000_000 for y, d in ((first - 1, "12-30"), (last + 1, "01-03")))
    hours = np.arange(low, high + 1, 3600)
    utc = pd.DatetimeIndex(hours.astype("datetime64[s]"), tz="UTC")
    wall = utc.tz_convert(zone).tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
    offset = wall - hours
    begin = int(low)
    for k in np.flatnonzero(np.diff(offset)):
        change = _change(zone, int(hours[k]), int(hours[k + 1]), int(offset[k]))
        yield begin * 1_000_000, change * 1_000_000, int(offset[k]) * 1_000_000
        begin = change
    yield begin * 1_000_000, int(high) * 1_000_000, int(offset[-1]) * 1_000_000


def _change(zone: str, before: int, after: int, offset: int) -> int:
    """The first second with another offset, by halving."""
    place = ZoneInfo(zone)
    while after - before > 1:
        middle = (before + after) // 2
        found = datetime.fromtimestamp(middle, UTC).astimezone(place).utcoffset()
        same = found is not None and int(found.total_seconds()) == offset
        before, after = (middle, after) if same else (before, middle)
    return after


def microseconds(instants: Any) -> Ints:
    """Microseconds since 1970 in UTC; the least integer for NaT."""
    values = instants if isinstance(instants, list | tuple | np.ndarray | pd.Series | pd.Index) else [instants]
    index = pd.DatetimeIndex(pd.to_datetime(values, utc=True, format="ISO8601"))
    return index.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)


def instants_of(microseconds: Ints) -> pd.DatetimeIndex:
    """Instants of microseconds since 1970 in UTC."""
    return pd.DatetimeIndex(microseconds.astype("datetime64[us]")).tz_localize("UTC")
