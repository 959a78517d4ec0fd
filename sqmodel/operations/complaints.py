"""Complaints: were they answered and resolved in time, in the right order, what caused them, and what improved?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.complaint_changes import (
    Periods,
    compare_periods,
    complaint_charts,
    observed_periods,
    period_rates,
)
from sqmodel.operations.complaint_figures import Handling, cause_table, complaint_rates, share
from sqmodel.operations.complaint_records import (
    ComplaintRules,
    Complaints,
    load_complaint_rules,
    read_complaints,
)
from sqmodel.operations.complaint_times import (
    Stages,
    days_between,
    reached,
    stages_as_of,
    through_rest_days,
    violations,
)
from sqmodel.operations.control import ControlChart
from sqmodel.operations.survival import kaplan_meier
from sqmodel.operations.working_time import WorkingCalendar
from sqmodel.result import Estimate, Result

__all__ = [
    "ComplaintAssessment",
    "ComplaintRules",
    "Complaints",
    "assess_complaints",
    "complaint_rates",
    "load_complaint_rules",
    "read_complaints",
]

Bools = npt.NDArray[np.bool_]
Cases = float | Mapping[str, float] | None

FACTS = {
    "exact_duplicates": "rows repeat an earlier row in every cell",
    "duplicates_dropped": "of them were left out, for their id is the same",
    "received_after_as_of": "complaints were received later and are left out",
    "stage_after_as_of": "complaints have a later stage, which is taken as open",
    "first_response_before_received": "complaints were answered before they were received; their time is left out",
    "resolved_before_received": "complaints were resolved before they were received; their time is left out",
    "closed_before_received": "complaints were closed before they were received; their time is left out",
    "skipped_stage": "complaints skipped a stage, which is taken as reached with the next one",
    "extended_not_complex": "complaints were extended though not marked as complex",
    "no_cause": "complaints name no cause and are left out of the causes",
    "no_case": "complaints name no case",
    "outside_cases": "complaints fall in a period without a number of cases and are left out of the rate",
}
"""Code of a fact to what it says after its count."""


@dataclass(frozen=True, repr=False)
class ComplaintAssessment(Result):
    """Complaints until an instant, and how they were handled.

    Attributes
    ----------
    n : int
        Complaints received until `as_of`.
    as_of : str
        ISO, with the offset of the rules' zone.
    facts : DataFrame, index code
        count, text, rows (the first five) of what was noticed in the records; the exact duplicates, answers before
        receipt and skipped stages among them.
    timely : DataFrame
        stage, scope (``all``, ``simple``, ``complex``, ``extended``), limit (days; NaN where several), unit, n,
        in_time, late (also open ones past their limit), undecided (open within the limit), share (in time, open
        complaints censored), low, high, method, reason.
    times : DataFrame, index stage
        n, reached, median (days from receipt; Kaplan-Meier), low, high, method, reason.
    handled : DataFrame, index ``reopened`` (of those resolved), ``disputed``, ``timely`` (as the source says)
        n, count, share, low, high, method, reason.
    order : DataFrame, index ``out of order``, ``skipped``, ``any``
        n, count, share, low, high, method: complaints whose stages did not come in order.
    violations : DataFrame
        row, complaint_id, kind, earlier, later, hours: every single one.
    causes : DataFrame, index cause
        count, share, low, high (hold together), cumulative, rank_low, rank_high.
    groups : DataFrame
        stage, group, value and the columns of `timely` from n on: each group by itself, nothing shrunk.
    rates : DataFrame, index ``all`` and quarters
        complaints, units, per, unit (``cases`` or ``days``), rate, low, high, reason.
    changes : DataFrame, index measure
        kind (``ratio`` or ``difference``), now, previous, change, low, high, verdict (``better``, ``worse``, ``no clear
        change`` or empty), method, reason; the causes' intervals hold for all causes together.
    period, previous : str
        Quarters that `changes` compares.
    monthly, quarterly, late_monthly : ControlChart or None
        u' charts of complaints, and p' chart of the share resolved late by month of receipt.
    settings : dict
    """

    n: int
    as_of: str
    facts: pd.DataFrame
    timely: pd.DataFrame
    times: pd.DataFrame
    handled: pd.DataFrame
    order: pd.DataFrame
    violations: pd.DataFrame
    causes: pd.DataFrame
    groups: pd.DataFrame
    rates: pd.DataFrame
    changes: pd.DataFrame
    period: str
    previous: str
    monthly: ControlChart | None
    quarterly: ControlChart | None
    late_monthly: ControlChart | None
    settings: dict[str, Any]

    def _headline(self) -> str:
        parts = [f"{self.n} until {self.as_of[:10]}"]
        for stage, words in (("first_response", "answered in time"), ("resolved", "resolved in time")):
            row = self.timely[(self.timely["stage"] == stage) & (self.timely["scope"] == "all")]
            if len(row) and math.isfinite(row["share"].iloc[0]):
                value, low, high = (float(row[c].iloc[0]) for c in ("share", "low", "high"))
                parts.append(f"{words} {value:.1%} [{low:.1%}, {high:.1%}]")
        overall: Any = self.rates.loc["all"]
        if math.isfinite(overall["rate"]):
            parts.append(
                f"{overall['rate']:.2f} [{overall['low']:.2f}, {overall['high']:.2f}] per {overall['per']:,.0f} "
                f"{overall['unit']}"
            )
        return ", ".join(parts)


def assess_complaints(
    complaints: Complaints,
    *,
    rules: ComplaintRules | None = None,
    cases: Cases = None,
    begin: Any = None,
    as_of: Any = None,
    period: str = "",
    groups: Sequence[str] | None = None,
    calendar: WorkingCalendar | None = None,
    minimum_n: int = 10,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> ComplaintAssessment:
    """How were complaints handled until an instant, and what improved?

    Parameters
    ----------
    complaints : Complaints
    rules : ComplaintRules, optional
        Limits; the regulation's by default.
    cases : float or mapping, optional
        Cases (or clients, or outlets) served: one number for the whole time, or by month (``2026-07``) or quarter
        (``2026Q3``). Without it rates are per 30 days.
    begin : date or instant, optional
        Since when complaints are recorded; by default the first period of `cases`, or the day of the first complaint.
    as_of : date or instant, optional
        What came later is not known; the last instant of the records by default.
    period : str
        Quarter to compare with the one before it; the last of which at least half was observed by default.
    groups : sequence of str, optional
        Columns to compare by; channel, cause and the groups that were read by default.
    calendar : WorkingCalendar, optional
        Needed where a limit is in working days.
    minimum_n : int
        A group with fewer complaints has no interval, but a reason.
    level, draws, rng
        Of all intervals, and of the simulations behind the charts'.

    Raises
    ------
    OperationsError
        A limit in working days without a calendar, an `as_of` that is none, unknown groups or periods.

    Notes
    -----
    Open complaints are censored: whether they will keep their limit is not known before it has passed (Kaplan-Meier).
    Shares have Wilson's interval or, with open complaints, the log-log one; causes Goodman's (1965) for all together;
    rates the exact Poisson one (Garwood 1936); ratios of rates that of the score test; differences Newcombe's.

    Examples
    --------
    >>> days = pd.date_range("2026-04-01", periods=90, freq="D")
    >>> given = pd.DataFrame({"received": days, "resolved": days + pd.Timedelta(days=9)}).astype(str)
    >>> assess_complaints(read_complaints(given), as_of="2026-07-01", cases=30000)
    <ComplaintAssessment 90 until 2026-07-01, resolved in time 100.0% [95.6%, 100.0%],
    3.00 [2.41, 3.69] per 1,000 cases>
    """
    use = rules or ComplaintRules()
    stages = stages_as_of(complaints, use, as_of)
    listed = violations(stages, "complaint_id" in complaints.columns)
    handling = _handlings(stages, use, calendar)
    periods = observed_periods(stages, use, cases, begin, period)
    chosen = _groups(complaints, groups)
    facts = _facts(complaints, stages, listed, periods)
    monthly, quarterly, late = complaint_charts(stages, handling.get("resolved"), periods, level, draws, rng)
    return ComplaintAssessment(
        n=len(stages.frame),
        as_of=stages.as_of.tz_convert(use.time_zone).isoformat(),
        facts=facts,
        timely=_timely(stages, handling, use, complaints, level),
        times=_times(stages, level),
        handled=_handled(stages, complaints, level),
        order=_order(stages, listed, level),
        violations=listed,
        causes=cause_table(stages.frame["cause"], level),
        groups=_by_group(stages, handling, chosen, minimum_n, level),
        rates=period_rates(periods, level),
        changes=compare_periods(stages, handling, periods, level),
        period=periods.current,
        previous=periods.previous,
        monthly=monthly,
        quarterly=quarterly,
        late_monthly=late,
        settings={"rules": use.model_dump(mode="json"), "cases": periods.given, "groups": list(chosen),
                  "minimum_n": minimum_n, "level": level, "draws": draws},
    )  # fmt: skip


def _handlings(stages: Stages, rules: ComplaintRules, calendar: WorkingCalendar | None) -> dict[str, Handling]:
    """Stages that have a limit, each on the clock of its limit."""
    found = {}
    for stage, unit in (("first_response", rules.first_response_unit), ("resolved", rules.resolve_unit)):
        if stage not in stages.present or (stage == "first_response" and rules.first_response_days is None):
            continue
        at, received = reached(stages, stage), stages.frame["received"]
        done = at.notna().to_numpy(bool)
        seen = at.fillna(stages.as_of).where(~stages.before(stage, "received"))
        time, limit = days_between(received, seen, unit, rules.time_zone, calendar), _limits(stages, rules, stage)
        if rules.rest_days_extend and unit == "days":
            time = through_rest_days(time, limit, received, seen, calendar)
        found[stage] = Handling(time, done, limit)
    return found


def _limits(stages: Stages, rules: ComplaintRules, stage: str) -> npt.NDArray[np.float64]:
    if stage == "first_response":
        return np.full(len(stages.frame), float(rules.first_response_days or 0))
    hard = stages.frame["complex"].fillna(False).to_numpy(bool)
    longer = stages.frame["extended"].fillna(False).to_numpy(bool)
    return np.where(hard, rules.complex_days, rules.resolve_days) + longer * float(rules.extension_days)


def _scopes(stages: Stages) -> dict[str, Bools]:
    hard = stages.frame["complex"].fillna(False).to_numpy(bool)
    longer = stages.frame["extended"].fillna(False).to_numpy(bool)
    return {"simple": ~hard & ~longer, "complex": hard & ~longer, "extended": longer}


COUNTS = ["n", "in_time", "late", "undecided", "share", "low", "high", "method", "reason"]


def _row(handling: Handling, level: float, minimum_n: int = 1) -> dict[str, Any]:
    found, reason = handling.share(level)
    if 0 < len(handling.time) < minimum_n:
        found, reason = Estimate(math.nan, math.nan, math.nan, method="not shown"), f"fewer than {minimum_n} complaints"
    return {**handling.counts(), "share": found.value, "low": found.low, "high": found.high, "method": found.method,
            "reason": reason}  # fmt: skip


def _timely(
    stages: Stages, handling: dict[str, Handling], rules: ComplaintRules, complaints: Complaints, level: float
) -> pd.DataFrame:
    rows = []
    units = {"first_response": rules.first_response_unit, "resolved": rules.resolve_unit}
    for stage, unit in units.items():
        if stage not in handling:
            none = {"n": 0, "in_time": 0, "late": 0, "undecided": 0, "share": math.nan, "low": math.nan,
                    "high": math.nan, "method": "not defined"}  # fmt: skip
            reason = f"no column {stage}" if stage not in stages.present else "the rules set no limit"
            rows.append({"stage": stage, "scope": "all", "limit": math.nan, "unit": unit, **none, "reason": reason})
            continue
        own = handling[stage]
        limits = np.unique(own.limit)
        rows.append({"stage": stage, "scope": "all", "limit": limits[0] if len(limits) == 1 else math.nan,
                     "unit": unit, **_row(own, level)})  # fmt: skip
        if stage == "resolved" and {"complex", "extended"} & set(complaints.columns):
            for scope, mask in _scopes(stages).items():
                part = own.part(mask)
                several = len(np.unique(part.limit)) != 1
                rows.append({"stage": stage, "scope": scope, "limit": math.nan if several else part.limit[0],
                             "unit": unit, **_row(part, level)})  # fmt: skip
    return pd.DataFrame(rows, columns=["stage", "scope", "limit", "unit", *COUNTS])


def _times(stages: Stages, level: float) -> pd.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    for stage in ("first_response", "resolved", "closed"):
        row: dict[str, Any] = {"n": 0, "reached": 0, "median": math.nan, "low": math.nan, "high": math.nan,
                               "method": "not defined", "reason": f"no column {stage}"}  # fmt: skip
        if stage in stages.present:
            at = reached(stages, stage)
            seen = at.fillna(stages.as_of).where(~stages.before(stage, "received"))
            # A date of the day of receipt lies before the hour of receipt: no time has passed.
            days = (seen - stages.frame["received"]).dt.total_seconds().clip(lower=0).to_numpy(float) / 86400
            told = np.isfinite(days)
            row["reason"] = "" if told.any() else "no complaints"
            if told.any():
                middle = kaplan_meier(days[told], at.notna().to_numpy()[told], level=level).quantile(0.5)
                reason = "" if math.isfinite(middle.value) else "fewer than half have reached it"
                row = {"n": int(told.sum()), "reached": int(at.notna().sum()), "median": middle.value,
                       "low": middle.low, "high": middle.high, "method": middle.method, "reason": reason}  # fmt: skip
        rows[stage] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")


def _handled(stages: Stages, complaints: Complaints, level: float) -> pd.DataFrame:
    rows = {}
    for flag in ("reopened", "disputed", "timely"):
        asked = stages.frame[flag].notna()
        if flag == "reopened":
            end = [s for s in ("resolved", "closed") if s in stages.present]
            asked &= stages.frame[end].notna().any(axis=1) if end else True
        n, count = int(asked.sum()), int(stages.frame.loc[asked, flag].astype(bool).sum())
        found = share(count, n, level)
        reason = f"no column {flag}" if flag not in complaints.columns else "" if n else "no complaints"
        rows[flag] = {"n": n, "count": count, "share": found.value, "low": found.low, "high": found.high,
                      "method": found.method, "reason": reason}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("flag")


def _order(stages: Stages, listed: pd.DataFrame, level: float) -> pd.DataFrame:
    rows, n = {}, len(stages.frame)
    for kind in ("out of order", "skipped", "any"):
        own = listed if kind == "any" else listed[listed["kind"] == kind]
        found = share(int(own["row"].nunique()), n, level)
        rows[kind] = {"n": n, "count": int(own["row"].nunique()), "share": found.value, "low": found.low,
                      "high": found.high, "method": found.method}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")


def _groups(complaints: Complaints, groups: Sequence[str] | None) -> tuple[str, ...]:
    if groups is None:
        return tuple(g for g in dict.fromkeys(("channel", "cause", *complaints.groups)) if g in complaints.columns)
    unknown = [g for g in groups if g not in complaints.columns]
    if unknown:
        shown = ", ".join(g for g in ("channel", "cause", *complaints.groups) if g in complaints.columns)
        problem = Problem(f"expected groups among {shown or 'none'}, found", tuple(unknown))
        raise OperationsError("complaints", [problem], "read them with read_complaints(..., groups=...)")
    return tuple(groups)


def _by_group(
    stages: Stages, handling: dict[str, Handling], groups: tuple[str, ...], minimum_n: int, level: float
) -> pd.DataFrame:
    rows = []
    for stage, own in handling.items():
        for group in groups:
            values = stages.frame[group]
            for value in sorted(values.dropna().unique(), key=str):
                mask = (values == value).to_numpy(bool)
                rows.append({"stage": stage, "group": group, "value": str(value),
                             **_row(own.part(mask), level, minimum_n)})  # fmt: skip
    return pd.DataFrame(rows, columns=["stage", "group", "value", *COUNTS])


def _facts(complaints: Complaints, stages: Stages, listed: pd.DataFrame, periods: Periods) -> pd.DataFrame:
    frame = stages.frame
    found: dict[str, Sequence[int]] = {
        "exact_duplicates": complaints.identical,
        "duplicates_dropped": complaints.identical[: complaints.dropped],
        **stages.found,
    }
    for stage in stages.present[1:]:
        found[f"{stage}_before_received"] = frame.index[stages.before(stage, "received")].tolist()
    found["skipped_stage"] = listed.loc[listed["kind"] == "skipped", "row"].unique().tolist()
    hard, longer = (frame[f].fillna(False).to_numpy(bool) for f in ("complex", "extended"))
    found["extended_not_complex"] = frame.index[longer & ~hard].tolist() if "complex" in complaints.columns else []
    for code, column in (("no_cause", "cause"), ("no_case", "case_id")):
        found[code] = frame.index[frame[column].isna()].tolist() if column in complaints.columns else []
    found["outside_cases"] = periods.outside
    rows = {
        code: {"count": len(found.get(code, ())), "text": text, "rows": ", ".join(map(str, found.get(code, ())[:5]))}
        for code, text in FACTS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("code")
