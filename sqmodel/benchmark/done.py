"""What was done in a quarter, as indicators and survival tables that can be compared between institutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.content import GRID, Indicator, Waiting
from sqmodel.benchmark.sufficient import mean_of, rate_of, share_of
from sqmodel.numerics.waiting import kaplan_meier
from sqmodel.operations.complaints import ComplaintAssessment
from sqmodel.operations.compliance import Compliance
from sqmodel.operations.early_warning import AlertAssessment
from sqmodel.operations.process import Process
from sqmodel.operations.staff import TestAssessment, TrainingAssessment
from sqmodel.operations.working_time import WorkingCalendar

Floats = npt.NDArray[np.float64]
REVIEW = "credit_approval"
"""The step that `review_hours` is about."""
_DONE = 1e-10


@dataclass(frozen=True)
class Casework:
    """Cases that began in the quarter, and what was done in them until its end.

    Parameters
    ----------
    cases, steps : DataFrame
        See `EventLog.cases` and `EventLog.steps`.
    process : Process
    calendar : WorkingCalendar
        Whose hours count.
    as_of : Timestamp
        The last instant observed.
    """

    cases: pd.DataFrame
    steps: pd.DataFrame
    process: Process
    calendar: WorkingCalendar
    as_of: pd.Timestamp

    def durations(self, step: str) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Working hours from a step's being ready to its first completion, and whether it was completed.

        One value a case that came to the step; a case that ended without it, or is still at it, is censored.
        """
        own = self.steps[(self.steps["step"] == step) & (self.steps["repeat"] == 0)].groupby("case_id", sort=True)
        times = own.agg({"ready": "min", "scheduled": "min", "started": "min", "completed": "min"})
        begin = times["ready"].fillna(times["scheduled"]).fillna(times["started"])
        last = self.cases["end"].reindex(times.index).fillna(self.as_of)
        finish = times["completed"].fillna(last)
        known = (begin.notna() & (finish >= begin)).to_numpy(bool)
        hours = self.calendar.hours(begin[known], finish[known])
        return np.asarray(hours, float), times["completed"].notna().to_numpy(bool)[known]


def indicators_of(
    *,
    casework: Casework | None = None,
    compliance: Compliance | None = None,
    complaints: ComplaintAssessment | None = None,
    alerts: AlertAssessment | None = None,
    tests: TestAssessment | None = None,
    training: TrainingAssessment | None = None,
    quarter: str,
    review: str = REVIEW,
) -> tuple[Indicator, ...]:
    """What did the lender do, in figures that other lenders have too?

    Parameters
    ----------
    casework, compliance, complaints, alerts, tests, training : results
        Of the quarter; None where there are no records of it.
    quarter : str
    review : str
        Step that `review_hours` is about.

    Returns
    -------
    tuple of Indicator
        repeated (share of the cases that were asked for documents, those asked again), handovers (mean number of times
        a case changed hands), review_hours (mean working hours of the step `review`, cases that completed it),
        within_limit (share of the cases ended, or with a breach, that kept every limit), standard.RULE (share of the
        cases decided that kept it), complaints (a case), warning_precision (share of the loans warned and decided whose
        event came), test_share (mean share of right answers in the last session), trained (share of the advisers with
        all courses). One without a case is left out.

    Examples
    --------
    >>> indicators_of(quarter="2026Q3")
    ()
    """
    found: list[Indicator] = []
    if casework is not None:
        found += _of_cases(casework, review)
    if compliance is not None:
        found += _within(compliance, casework)
    if complaints is not None:
        found += _complaints(complaints, quarter)
    if alerts is not None:
        row: Any = alerts.together.iloc[0]
        if row["hits"] + row["false"] > 0:
            found.append(share_of("warning_precision", row["hits"] + row["false"], row["hits"]))
    found += _staff(tests, training)
    return tuple(found)


def _of_cases(work: Casework, review: str) -> Iterator[Indicator]:
    asking = [s.code for s in work.process.steps if s.documents]
    asked = work.steps[work.steps["step"].isin(asking)].groupby("case_id")["repeat"].max()
    if len(asked):
        yield share_of("repeated", len(asked), int((asked > 0).sum()))
    hands = work.steps[work.steps["resource"].notna()]
    before = hands.groupby("case_id")["resource"].shift()
    changed = (before.notna() & (before != hands["resource"])).groupby(hands["case_id"]).sum()
    if len(changed) > 1:
        yield mean_of("handovers", np.asarray(changed, dtype=np.float64))
    hours, done = work.durations(review)
    if done.sum() > 1:
        yield mean_of("review_hours", np.asarray(hours[done], float))


def _within(compliance: Compliance, work: Casework | None) -> Iterator[Indicator]:
    breached = set(compliance.breaches["case_id"])
    if work is not None:
        ended = set(work.cases.index[work.cases["end"].notna()])
        decided = ended | breached
        if decided:
            yield share_of("within_limit", len(decided), len(decided) - len(breached))
    rules = compliance.rules
    for rule in rules[rules["path"] == "all"].to_dict("records"):
        decided_by = int(rule["met"]) + int(rule["breached"])
        if decided_by:
            yield share_of(f"standard.{rule['rule']}", decided_by, int(rule["met"]))


def _complaints(complaints: ComplaintAssessment, quarter: str) -> Iterator[Indicator]:
    rates = complaints.rates
    if quarter in rates.index:
        row: Any = rates.loc[quarter]
        if row["unit"] == "cases" and row["units"] > 0:
            yield rate_of("complaints", float(row["units"]), int(row["complaints"]))


def _staff(tests: TestAssessment | None, training: TrainingAssessment | None) -> Iterator[Indicator]:
    if tests is not None and len(tests.sessions):
        row: Any = tests.sessions.iloc[-1]
        if row["n"] > 1 and np.isfinite(row["sd"]):
            n = float(row["n"])
            yield Indicator("test_share", "mean", n, np.nan, float(row["mean"]), float(row["sd"] / np.sqrt(n)))
    if training is not None and training.n:
        trained: Any = training.courses.iloc[-1]
        yield share_of("trained", training.n, int(trained["trained"]))


def waiting_of(casework: Casework) -> tuple[Waiting, ...]:
    """How long did the key nodes of the process take? Kaplan-Meier's curves on the fixed grid, Greenwood's errors.

    Parameters
    ----------
    casework : Casework

    Returns
    -------
    tuple of Waiting
        Of every step that the process marks as a node and two cases came to; up to the longest time observed, beyond
        which the curve is not defined unless it has come to zero.
    """
    return tuple(w for s in casework.process.steps if s.node for w in _curve(s.code, *casework.durations(s.code)))


def _curve(stage: str, hours: Floats, done: npt.NDArray[np.bool_]) -> Iterator[Waiting]:
    if len(hours) < 2:
        return
    curve = kaplan_meier(hours, done)
    at = np.searchsorted(curve.times, GRID, side="right")
    survival = np.concatenate([[1.0], curve.survival])[at]
    spread = np.concatenate([[0.0], curve.spread])[at]
    longest = float(hours.max())
    for hour, share, variance in zip(GRID, survival.tolist(), spread.tolist(), strict=True):
        if hour > longest and share > _DONE:
            return
        gone = share <= _DONE
        yield Waiting(stage, hour, len(hours), 0.0 if gone else share, 0.0 if gone else float(share * variance**0.5))
