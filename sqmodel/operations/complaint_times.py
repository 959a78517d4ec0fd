"""Stages of complaints as of an instant: how long each took on the clock of its limit, and in which order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations.complaint_records import STAGES, ComplaintRules, Complaints
from sqmodel.operations.working_time import WorkingCalendar

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAY = 86400.0
MOMENT = 1e-6
"""Instants are told to the microsecond."""


class Stages(NamedTuple):
    """Complaints received until an instant; `frame` holds nothing that came after it.

    `local` are the stages as the zone's clocks show them, `found` what was noticed on the way (rows by code), `whole`
    the stages that are recorded as dates without a time.
    """

    frame: pd.DataFrame
    local: pd.DataFrame
    as_of: pd.Timestamp
    present: tuple[str, ...]
    whole: frozenset[str]
    found: dict[str, list[int]]

    def before(self, later: str, earlier: str) -> Bools:
        """Where a later stage came before an earlier one; by days where one of them is recorded as a date."""
        first, second = self.local[earlier], self.local[later]
        if {later, earlier} & self.whole:
            first, second = first.dt.normalize(), second.dt.normalize()
        return np.asarray(second < first, dtype=bool)


def stages_as_of(complaints: Complaints, rules: ComplaintRules, as_of: Any) -> Stages:
    """What was known at an instant (of the rules' zone if it tells none); by default at the last one recorded."""
    frame = complaints.frame
    present = tuple(s for s in STAGES if s in complaints.columns or s == "received")
    instant = _instant(frame, present, rules, as_of)
    late = frame["received"] > instant
    found: dict[str, list[int]] = {"received_after_as_of": [int(i) for i in frame.index[late]]}
    frame = frame[~late].copy()
    found["stage_after_as_of"] = [int(i) for i in frame.index[(frame[list(present)] > instant).any(axis=1)]]
    for stage in present[1:]:
        frame[stage] = frame[stage].where(frame[stage] <= instant)
    local = pd.DataFrame(
        {s: frame[s].dt.tz_convert(rules.time_zone).dt.tz_localize(None) for s in STAGES}, index=frame.index
    )
    whole = frozenset(s for s in present if (local[s].dropna() == local[s].dropna().dt.normalize()).all())
    return Stages(frame, local, instant, present, whole, found)


def _instant(frame: pd.DataFrame, present: tuple[str, ...], rules: ComplaintRules, as_of: Any) -> pd.Timestamp:
    if as_of is None:
        last = frame[list(present)].max().max()
        if pd.isna(last):
            raise OperationsError("complaints", ["expected as_of, for there is no complaint that tells a time"],
                                  "pass as_of, the instant until which complaints are recorded")  # fmt: skip
        return pd.Timestamp(last)
    told = pd.to_datetime(as_of, errors="coerce")
    if not isinstance(told, pd.Timestamp):
        raise OperationsError("complaints", [f"expected as_of as a date or an instant, found {as_of!r}"])
    return (told.tz_localize(rules.time_zone) if told.tzinfo is None else told).tz_convert("UTC")


def days_between(begin: pd.Series, end: pd.Series, unit: str, zone: str, calendar: WorkingCalendar | None) -> Floats:
    """Days on the clock of a limit: 0 at the last moment of the day of receipt, n at that of the n-th day after it.

    So a stage is in time if and only if it is reached by the limit, and an open complaint is seen as long as it really
    was. The day of receipt gives -1 to 0.
    """
    last = end.dt.tz_convert(zone).dt.tz_localize(None)
    # The first moment of a day belongs to it: a date, or 0:00, after the last day of a limit is too late.
    into = ((last - last.dt.normalize()).dt.total_seconds() + MOMENT).to_numpy(float) / DAY
    if unit == "days":
        first = begin.dt.tz_convert(zone).dt.tz_localize(None)
        whole = (last.dt.normalize() - first.dt.normalize()).dt.total_seconds() / DAY
        return np.asarray(whole.to_numpy(float) - 1 + into)
    if calendar is None:
        raise OperationsError("complaints", ["expected a calendar, for a limit is in working days, found none"],
                              "pass calendar=working_calendar(...), or count in days")  # fmt: skip
    return np.asarray(calendar.days(begin, end, negative="nan") - 1 + into)


def through_rest_days(
    time: Floats, limit: Floats, begin: pd.Series, end: pd.Series, calendar: WorkingCalendar | None
) -> Floats:
    """Days on the clock of a limit in calendar days, which stands still while its last day is no working day."""
    if calendar is None:
        raise OperationsError("complaints", ["expected a calendar, for rest days extend a limit, found none"],
                              "pass calendar=working_calendar(...), or set rest_days_extend: false")  # fmt: skip
    after = np.isfinite(time) & (time > limit)
    result = time.copy()
    first, days = begin[after], pd.to_timedelta(limit[after], unit="D")
    # An end on a rest day has the number of the next working day: so have all days until then.
    extended = calendar.days(first, end[after]) <= calendar.days(first, first + days)
    result[np.flatnonzero(after)[extended]] = limit[after][extended]
    return result


def reached(stages: Stages, stage: str) -> pd.Series:
    """When a stage was reached: where it was skipped, when the next stage after it was.

    A client who heard nothing before the decision has had the first response with it.
    """
    filled = stages.frame[stage]
    for later in stages.present:
        if STAGES.index(later) > STAGES.index(stage):
            filled = filled.fillna(stages.frame[later])
    return filled.where(~stages.before(stage, "received"))


def violations(stages: Stages, named: bool) -> pd.DataFrame:
    """Every pair of stages in a wrong order, and every stage that was skipped.

    Returns
    -------
    DataFrame
        row, complaint_id ("" without), kind (``out of order`` or ``skipped``), earlier, later, hours (from the earlier
        to the later: negative; NaN where it was skipped).
    """
    parts = []
    for i, earlier in enumerate(stages.present):
        for later in stages.present[i + 1 :]:
            hours = (stages.frame[later] - stages.frame[earlier]).dt.total_seconds() / 3600
            parts.append(_rows(stages, stages.before(later, earlier), "out of order", earlier, later, hours))
        following = stages.frame[list(stages.present[i + 1 :])]
        skipped = (stages.frame[earlier].isna() & following.notna().any(axis=1)).to_numpy(bool)
        if not skipped.any():
            continue
        first = following[skipped].notna().idxmax(axis=1)
        for later in first.unique():
            own = skipped.copy()
            own[skipped] = (first == later).to_numpy()
            parts.append(_rows(stages, own, "skipped", earlier, str(later), None))
    table = pd.concat(parts, ignore_index=True) if parts else _rows(stages, np.zeros(len(stages.frame), bool))
    if not named:
        table["complaint_id"] = ""
    return table.sort_values(["row", "kind", "earlier", "later"], kind="stable", ignore_index=True)


def _rows(
    stages: Stages, mask: Bools, kind: str = "", earlier: str = "", later: str = "", hours: pd.Series | None = None
) -> pd.DataFrame:
    own = stages.frame[mask]
    lag = np.full(len(own), np.nan) if hours is None else hours[mask].to_numpy(float)
    return pd.DataFrame({"row": own.index.astype(int), "complaint_id": own["complaint_id"].fillna("").to_numpy(object),
                         "kind": kind, "earlier": earlier, "later": later, "hours": lag})  # fmt: skip
