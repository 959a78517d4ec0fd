"""Complaints by month and quarter: rates, what changed between quarters, and charts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.complaint_figures import Handling, complaint_rates, difference, rate_ratio, share
from sqmodel.operations.complaint_records import ComplaintRules
from sqmodel.operations.complaint_times import Stages
from sqmodel.operations.control import WESTERN_ELECTRIC, ControlChart, counts_chart
from sqmodel.result import Estimate

LABEL = re.compile(r"\d{4}(Q[1-4]|-(0[1-9]|1[0-2]))")
ENOUGH = 0.5
"""Share of a quarter that must have been observed for it to be the current one by default."""


class Periods(NamedTuple):
    """Months and quarters observed, each with its complaints and what they are counted in.

    `months` and `quarters` have columns complaints, units and observed (share of the period's days); `total` is the
    whole time. `outside` are rows of complaints that the total leaves out.
    """

    months: pd.DataFrame
    quarters: pd.DataFrame
    total: pd.Series
    per: float
    unit: str
    total_per: float
    total_unit: str
    current: str
    previous: str
    quarter_of: pd.Series
    outside: list[int]
    given: Any


def observed_periods(
    stages: Stages, rules: ComplaintRules, cases: float | Mapping[str, float] | None, begin: Any, period: str
) -> Periods:
    """Periods between the begin of the records and the instant, and how many cases or days each has."""
    labels = {str(k): float(v) for k, v in cases.items()} if isinstance(cases, Mapping) else {}
    _check_cases(cases, labels)
    last = stages.as_of.tz_convert(rules.time_zone).tz_localize(None)
    first = _begin(stages, rules, labels, begin, last)
    # Where receipts are dates the last day is a whole one; else the last instant is where the observation ends.
    until = last.normalize() + pd.Timedelta(days=1) if "received" in stages.whole else last
    received = stages.local["received"]
    frames = {}
    for frequency in ("M", "Q"):
        index = pd.period_range(first, max(first, until - pd.Timedelta(microseconds=1)), freq=frequency)
        days = np.array([_overlap(p, first, until) for p in index])
        whole = np.array([p.days_in_month if frequency == "M" else (p.end_time - p.start_time).days + 1 for p in index])
        counts = received.dt.to_period(frequency).value_counts().reindex(index, fill_value=0)
        units = [_served(p, labels) for p in index] if labels else days
        frames[frequency] = pd.DataFrame(
            {"complaints": counts.to_numpy(int), "units": np.asarray(units, float), "observed": days / whole},
            index=pd.Index([str(p) for p in index], name="period"),
        )
    months, quarters = frames["M"], frames["Q"]
    quarter_of = received.dt.to_period("Q").astype(str)
    told = quarters["units"].notna() & (quarters["units"] > 0)
    outside = [] if not labels else [int(i) for i in stages.frame.index[~quarter_of.isin(quarters.index[told])]]
    total, per, unit = _total(stages, quarters[told], cases)
    current, previous = _compared(quarters, period)
    return Periods(months, quarters, total, 1000.0 if labels else 30.0, "cases" if labels else "days", per, unit,
                   current, previous, quarter_of, outside, labels or cases)  # fmt: skip


def _check_cases(cases: Any, labels: dict[str, float]) -> None:
    problems = []
    strange = [k for k in labels if not LABEL.fullmatch(k)]
    if strange:
        problems.append(Problem("expected cases by month (2026-07) or quarter (2026Q3), found", tuple(strange)))
    amounts = labels or ({"cases": float(cases)} if isinstance(cases, int | float) else {})
    wrong = [f"{k}: {v:g}" for k, v in amounts.items() if not (math.isfinite(v) and v > 0)]
    if wrong:
        problems.append(Problem("expected numbers of cases above 0, found", tuple(wrong)))
    if problems:
        raise OperationsError("cases", problems, "give the cases served in each period, and leave out those without")


def _begin(
    stages: Stages, rules: ComplaintRules, labels: dict[str, float], begin: Any, last: pd.Timestamp
) -> pd.Timestamp:
    received = stages.local["received"]
    if begin is not None:
        told = pd.Timestamp(begin)
        first = told if told.tzinfo is None else told.tz_convert(rules.time_zone).tz_localize(None)
        early = stages.frame.index[received < first.normalize()]
        if len(early) or first > last:
            told_after = f"found {begin} with {len(early)} complaints before it"
            raise OperationsError(
                "complaints",
                [f"expected begin before every complaint and as_of, {told_after}"],
                "pass an earlier begin",
            )
        return first.normalize()
    starts = [pd.Period(k).start_time for k in labels]
    starts += [received.min().normalize()] if len(received) else []
    return min([s for s in starts if s <= last], default=last.normalize())


def _overlap(period: pd.Period, first: pd.Timestamp, last: pd.Timestamp) -> float:
    """Days of a period that were observed."""
    stop = min((period + 1).start_time, last)
    return float(max((stop - max(period.start_time, first)) / pd.Timedelta(days=1), 0.0))


def _served(period: pd.Period, labels: dict[str, float]) -> float:
    """Cases of a period: its own number, or the sum of its months where all have one."""
    if str(period) in labels:
        return labels[str(period)]
    if period.freqstr.startswith("M"):
        return math.nan
    months = [str(m) for m in pd.period_range(period.start_time, period.end_time, freq="M")]
    return sum(labels.get(m, math.nan) for m in months)


def _total(stages: Stages, told: pd.DataFrame, cases: Any) -> tuple[pd.Series, float, str]:
    """Complaints of the whole time and what they are counted in."""
    if isinstance(cases, Mapping):
        return told[["complaints", "units"]].sum(), 1000.0, "cases"
    n = len(stages.frame)
    if cases is not None:
        return pd.Series({"complaints": n, "units": float(cases)}), 1000.0, "cases"
    return pd.Series({"complaints": n, "units": float(told["units"].sum())}), 30.0, "days"


def _compared(quarters: pd.DataFrame, period: str) -> tuple[str, str]:
    if period and period not in quarters.index:
        shown = f"{quarters.index[0]} to {quarters.index[-1]}" if len(quarters) else "none"
        wanted = f"expected a period among the quarters observed ({shown}), found {period!r}"
        raise OperationsError("complaints", [wanted])
    enough = quarters.index[quarters["observed"] >= ENOUGH]
    current = period or (str(enough[-1]) if len(enough) else "")
    place = quarters.index.tolist().index(current) if current else 0
    return current, str(quarters.index[place - 1]) if place > 0 else ""


def period_rates(periods: Periods, level: float) -> pd.DataFrame:
    """Rates of the whole time and of each quarter."""
    total = pd.DataFrame([periods.total], index=pd.Index(["all"]))
    parts = []
    for table, per, unit in (
        (total, periods.total_per, periods.total_unit),
        (periods.quarters, periods.per, periods.unit),
    ):
        rates = complaint_rates(table["complaints"], table["units"].astype(float), per=per, level=level)
        rates.insert(2, "per", per)
        rates.insert(3, "unit", unit)
        parts.append(rates)
    return pd.concat(parts).rename_axis("period")


def compare_periods(stages: Stages, handling: dict[str, Handling], periods: Periods, level: float) -> pd.DataFrame:
    """The current quarter beside the one before it: rates by ratio, shares by difference."""
    columns = ["kind", "now", "previous", "change", "low", "high", "verdict", "method", "reason"]
    if not periods.previous:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="measure"))
    masks = [(periods.quarter_of == p).to_numpy(bool) for p in (periods.current, periods.previous)]
    units = [float(periods.quarters["units"].loc[p]) for p in (periods.current, periods.previous)]
    counts = [int(m.sum()) for m in masks]
    rows = {"complaints": _ratio(counts, units, periods.per, level)}
    for stage, own in handling.items():
        (now, why), (before, why_before) = (own.part(m).share(level) for m in masks)
        rows[f"{stage} in time"] = _change(now, before, why or why_before, better=1)
    closed = stages.frame[[s for s in ("resolved", "closed") if s in stages.present]].notna().any(axis=1).to_numpy(bool)
    again = stages.frame["reopened"]
    if again.notna().any():
        found = []
        for mask in masks:
            asked = again[mask & closed].dropna().astype(bool)
            found.append(share(int(asked.sum()), len(asked), level))
        rows["reopened"] = _change(found[0], found[1], "", better=-1)
    causes = stages.frame["cause"]
    named = sorted(causes[masks[0] | masks[1]].dropna().unique(), key=str)
    each = 1 - (1 - level) / max(len(named), 1)
    for cause in named:
        counts = [int((causes[m] == cause).sum()) for m in masks]
        rows[f"cause: {cause}"] = _ratio(counts, units, periods.per, each)
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("measure")


def _ratio(counts: list[int], units: list[float], per: float, level: float) -> dict[str, Any]:
    found = rate_ratio(counts[0], units[0], counts[1], units[1], level)
    rates = [per * c / u if u > 0 else math.nan for c, u in zip(counts, units, strict=True)]
    reason = "none before" if math.isfinite(found.low) else "no complaints or no cases"
    reason = "" if math.isfinite(found.value) else reason
    verdict = _verdict(found.low, found.high, 1.0, better=-1)
    return {"kind": "ratio", "now": rates[0], "previous": rates[1], "change": found.value, "low": found.low,
            "high": found.high, "verdict": verdict, "method": found.method, "reason": reason}  # fmt: skip


def _change(now: Estimate, before: Estimate, reason: str, better: int) -> dict[str, Any]:
    found = difference(now, before)
    verdict = _verdict(found.low, found.high, 0.0, better)
    if math.isnan(found.value) and not reason:
        reason = "no complaints in one of the quarters"
    return {"kind": "difference", "now": now.value, "previous": before.value, "change": found.value, "low": found.low,
            "high": found.high, "verdict": verdict, "method": found.method, "reason": reason}  # fmt: skip


def _verdict(low: float, high: float, same: float, better: int) -> str:
    """A change is one where the whole interval lies on one side; a bound that is missing is no bound."""
    if math.isnan(low) and math.isnan(high):
        return ""
    if low > same:
        return "better" if better > 0 else "worse"
    if high < same:
        return "worse" if better > 0 else "better"
    return "no clear change"


def complaint_charts(
    stages: Stages, resolved: Handling | None, periods: Periods, level: float, draws: int,
    rng: np.random.Generator | int,
) -> tuple[ControlChart | None, ControlChart | None, ControlChart | None]:  # fmt: skip
    """u' charts of months and quarters, and p' of those resolved late by month of receipt, where all are decided."""
    charts: list[ControlChart | None] = []
    for table, unit in ((periods.months, "M"), (periods.quarters, "Q")):
        told, per, sizes = bool(table["units"].notna().any()), periods.per, table["units"]
        if not told:  # cases are known by quarter only
            last = table["observed"] * [pd.Period(p, freq=unit).days_in_month for p in table.index]
            per, sizes = 30.0, last
        counts = table["complaints"].where(sizes.notna() & (sizes > 0))
        charts.append(_chart(table, counts, sizes, "rate", per, level, draws, rng))
    if resolved is None:
        return charts[0], charts[1], None
    month = stages.local["received"].dt.to_period("M").astype(str)
    late: list[float] = []
    decided_of: list[float] = []
    for label in periods.months.index:
        found = resolved.part((month == label).to_numpy(bool)).counts()
        decided = found["undecided"] == 0
        late.append(float(found["late"]) if decided else math.nan)
        decided_of.append(float(found["n"]) if decided else math.nan)
    index = periods.months.index
    months, n = pd.Series(late, index), pd.Series(decided_of, index)
    chart = _chart(periods.months, months, n, "share", 1.0, level, draws, rng)
    return charts[0], charts[1], chart


def _chart(
    table: pd.DataFrame, counts: pd.Series, sizes: pd.Series, kind: Any, per: float, level: float, draws: int,
    rng: np.random.Generator | int,
) -> ControlChart | None:  # fmt: skip
    if table.empty:
        return None
    return counts_chart(counts, sizes, list(table.index), kind, per, True, None, WESTERN_ELECTRIC, level, draws, rng)
