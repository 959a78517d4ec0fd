"""Local times that a change of clocks skips or repeats, and the instants they are taken for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Shift:
    """A change of clocks.

    Parameters
    ----------
    low, high : datetime
        Local times, without zone, that it skips or repeats; the last not included.
    skipped : bool
        Whether clocks are set forward; else these local times occur twice.
    at : datetime
        When it happens, UTC without zone.
    before, after : timedelta
        Offsets from UTC.
    """

    low: datetime
    high: datetime
    skipped: bool
    at: datetime
    before: timedelta
    after: timedelta


def shifts(zone: str, first: datetime, last: datetime) -> list[Shift]:
    """All changes of clocks of a zone between two local times.

    Examples
    --------
    >>> [s.low.isoformat() for s in shifts("Europe/Amsterdam", datetime(2011, 10, 1), datetime(2012, 4, 1))]
    ['2011-10-30T02:00:00', '2012-03-25T02:00:00']
    >>> shifts("Asia/Shanghai", datetime(2000, 1, 1), datetime(2026, 12, 31))
    []
    """
    clock = ZoneInfo(zone)
    found = []
    day, end = first.replace(tzinfo=UTC, microsecond=0) - 2 * DAY, last.replace(tzinfo=UTC) + 2 * DAY
    while day < end:
        if _offset(clock, day) != _offset(clock, day + DAY):
            found.append(_shift(clock, day))
        day += DAY
    return [s for s in found if s.low <= last and s.high > first]


def _offset(clock: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(clock).utcoffset() or timedelta()


def offset(zone: str, wall: datetime) -> timedelta:
    """Offset from UTC of a local time; of the first where it occurs twice."""
    return wall.replace(tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()


def _shift(clock: ZoneInfo, day: datetime) -> Shift:
    """The change within a day, found by halving."""
    low, high = 0, int(DAY / SECOND)
    before, after = _offset(clock, day), _offset(clock, day + DAY)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(clock, day + middle * SECOND) == before else (low, middle)
    at = (day + high * SECOND).replace(tzinfo=None, microsecond=0)
    edges = sorted((at + before, at + after))
    return Shift(edges[0], edges[1], after > before, at, before, after)
