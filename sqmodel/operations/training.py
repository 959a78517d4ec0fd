"""Training: what share of advisers has it, how long ago, and who has not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.numerics.proportions import median_interval, wilson_interval
from sqmodel.operations.exposures import broken, days, frame_of
from sqmodel.operations.records import Column, Records, read_records
from sqmodel.result import Result

TRAINING = (
    Column("adviser", "text", filled=True, also=("adviser_id", "staff")),
    Column("course", "text", filled=True),
    Column("completed", "instant", filled=True),
)
MONTH = 30.4375
ALL = "all courses"


@dataclass(frozen=True, repr=False)
class TrainingAssessment(Result):
    """Coverage and recency of training; frames unrounded.

    Attributes
    ----------
    n : int
        Advisers who should be trained.
    as_of : str
    courses : DataFrame, one row a course, then ``all courses``
        trained (within the months), ever, share with low, high; months (median since the last time, infinite where
        most never had it) with months_low, months_high.
    advisers : DataFrame, one row an adviser
        courses (within the months), missing (texts, joined by a comma), months (since the last course; NaN for never).
    left_out : DataFrame
        reason, n.
    """

    n: int
    as_of: str
    settings: dict[str, Any]
    courses: pd.DataFrame
    advisers: pd.DataFrame
    left_out: pd.DataFrame

    def _headline(self) -> str:
        row: Any = self.courses.loc[ALL]
        months = self.settings["within_months"]
        within = "their months" if isinstance(months, dict) else f"{months:g} months"
        shown = f"{row['share']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        return f"{self.n} advisers: all courses within {within} {shown}, as of {self.as_of[:10]}"


def read_training(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read who completed which course when: adviser, course, completed.

    Raises
    ------
    OperationsError
        Cells that cannot be read; all in one message.
    """
    return read_records(source, TRAINING, what="training", names=names, zone=zone, table=table, query=query)


def assess_training(
    training: Records | pd.DataFrame,
    *,
    advisers: Sequence[str],
    within_months: float | Mapping[str, float] = 12,
    courses: Sequence[str] | None = None,
    as_of: pd.Timestamp | str | None = None,
    level: float = 0.95,
) -> TrainingAssessment:
    """What share of advisers completed which courses within the last months?

    Parameters
    ----------
    training : Records or DataFrame
        As `read_training` gives them.
    advisers : sequence of str
        All who should be trained, also those who never were.
    within_months : float or mapping
        Of 30.4375 days; or those of each course, as a service standard gives them (0: once is enough).
    courses : sequence of str, optional
        Required ones; all that were found by default.
    as_of : instant, optional
        The latest completion by default; later ones do not count.
    level : float
        Of Wilson's interval of the shares and of the median's. They take the advisers for a sample of those whom such
        a lender has; of these very advisers the shares are exact.

    Raises
    ------
    OperationsError
        Completions of advisers who are not named, or no completion at all.

    Examples
    --------
    >>> done = pd.DataFrame({"adviser": ["a", "b"], "course": "codes", "completed": ["2026-01-10", "2024-01-10"]})
    >>> found = assess_training(done, advisers=["a", "b", "c"], as_of="2026-02-01")
    >>> int(found.courses.loc["codes", "trained"]), int(found.courses.loc["codes", "ever"])
    (1, 2)
    """
    frame = frame_of(training, TRAINING, "training")
    staff = list(dict.fromkeys(advisers))
    _check(frame, staff)
    moment = frame["completed"].max() if as_of is None else pd.Timestamp(as_of)
    moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
    required = sorted(frame["course"].unique()) if courses is None else list(dict.fromkeys(courses))
    limits = _limits(within_months, required)
    counted = frame["course"].isin(required) & (frame["completed"] <= moment)
    used = frame[counted]
    months = pd.Series(days(pd.Series(moment, index=used.index), used["completed"]) / MONTH, index=used.index)
    last = months.groupby([used["adviser"], used["course"]]).min().unstack("course")  # noqa: PD010
    last = last.reindex(index=staff, columns=required).astype(float)
    recent = last.le(pd.Series(limits, index=required), axis=1)
    rows = {str(c): _course(recent[c], last[c], level) for c in required}
    rows[ALL] = _course(recent.all(axis=1), last.max(axis=1, skipna=False), level)
    latest = last.min(axis=1)
    missing = [", ".join(str(c) for c, ok in row.items() if not ok) for _, row in recent.iterrows()]
    people = pd.DataFrame({"courses": recent.sum(axis=1), "missing": missing, "months": latest}, index=staff)
    reasons = {
        "completed after the date": int((frame["course"].isin(required) & ~counted).sum()),
        "course not required": int((~frame["course"].isin(required)).sum()),
    }
    return TrainingAssessment(
        n=len(staff),
        as_of=moment.isoformat(),
        settings={
            "within_months": dict(within_months) if isinstance(within_months, Mapping) else within_months,
            "courses": required,
            "level": level,
            "share": "Wilson",
            "months": "order statistics, interpolated (Nyblom)",
        },
        courses=pd.DataFrame.from_dict(rows, orient="index").rename_axis("course"),
        advisers=people.rename_axis("adviser"),
        left_out=pd.DataFrame({"reason": list(reasons), "n": list(reasons.values())}),
    )


def _limits(within_months: float | Mapping[str, float], required: list[str]) -> list[float]:
    """Months within which each course must have been completed."""
    if isinstance(within_months, Mapping):
        absent = [c for c in required if c not in within_months]
        if absent or min(within_months.values(), default=0) < 0:
            raise ValueError(f"expected months of at least 0 for every course, found {dict(within_months)}")
        return [within_months[c] or math.inf for c in required]
    if not within_months > 0:
        raise ValueError(f"expected more than 0 months, found {within_months}")
    return [within_months] * len(required)


def _check(frame: pd.DataFrame, staff: list[str]) -> None:
    problems = broken(frame, [
        ("expected advisers among those named, found others", ~frame["adviser"].isin(staff)),
        ("expected a course, found none", frame["course"].isna()),
        ("expected the time of completion, found none", frame["completed"].isna()),
    ], "adviser")  # fmt: skip
    if not staff:
        problems.append(Problem("expected advisers who should be trained, found none"))
    if not len(frame):
        problems.append(Problem("expected completed courses, found none"))
    if problems:
        raise OperationsError("training", problems, "correct the training records, or name all advisers")


def _course(recent: pd.Series, months: pd.Series, level: float) -> dict[str, float]:
    n = len(recent)
    low, high = wilson_interval(float(recent.mean()), n, level)
    middle, early, late = median_interval(months.fillna(math.inf), level)
    return {"trained": int(recent.sum()), "ever": int(np.isfinite(months).sum()), "share": float(recent.mean()),
            "low": float(low), "high": float(high), "months": middle, "months_low": early,
            "months_high": late}  # fmt: skip
