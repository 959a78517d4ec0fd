"""Checklists of inspections: points won, which checks fail, and whether inspectors see the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import OperationsError, Problem
from sqmodel.numerics.agreement import (
    COEFFICIENTS,
    agreement_columns,
    agreement_from_totals,
    cohen_from_totals,
    pair_columns,
)
from sqmodel.numerics.resampling import bootstrap_totals, jackknife_interval
from sqmodel.operations.exposures import broken, frame_of
from sqmodel.operations.records import Column, Records, read_records
from sqmodel.result import Estimate, Result

INSPECTIONS = (
    Column("adviser", "text", filled=True, also=("adviser_id", "staff")),
    Column("inspector", "text", filled=True),
    Column("visit", "text", filled=True),
    Column("check", "text", filled=True),
    Column("passed", "flag", filled=True),
    Column("visited", "instant", needed=False),
)
KEY = ["visit", "check", "inspector"]
FEW_ADVISERS = 10
"""With fewer advisers than this, visits are left out in turn instead of all visits of an adviser."""


@dataclass(frozen=True, repr=False)
class ChecklistScores(Result):
    """Points of checklists, pass rates and agreement of inspectors; frames unrounded.

    Attributes
    ----------
    n, visits, inspectors : int
        Advisers inspected, visits, inspectors.
    score : Estimate
        Mean over advisers of the share of points won, 0 to 1.
    checks : DataFrame, one row a check
        points, n (judgements), advisers, passed (share) with low, high.
    advisers : DataFrame, one row an adviser
        visits, score, low, high (NaN with fewer than `minimum_n` visits, and reason says so), reason.
    agreement : DataFrame
        scope (``all checks`` or a check), statistic (``agreement``, ``fleiss_kappa``, ``gwet_ac1``,
        ``krippendorff_alpha``, ``icc`` of the visits' scores), n (visits
        judged twice or more often), estimate, se, low, high, method.
    pairs : DataFrame, one row a pair of inspectors with `minimum_n` visits in common
        first, second, n, visits, kappa (Cohen), se, low, high.
    notes : tuple of str
    """

    n: int
    visits: int
    inspectors: int
    settings: dict[str, Any]
    score: Estimate
    checks: pd.DataFrame
    advisers: pd.DataFrame
    agreement: pd.DataFrame
    pairs: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        own = self.agreement[(self.agreement["scope"] == "all checks") & (self.agreement["statistic"] == "gwet_ac1")]
        agreed = "".join(f", AC1 {r.estimate:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in own.itertuples())
        return f"{self.n} advisers, {self.visits} visits: score {self.score}{agreed}"


def read_inspections(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read inspections: adviser, inspector, visit, check, passed (yes or no), and visited (when) where it is known.

    Raises
    ------
    OperationsError
        Cells that cannot be read, an inspector's judgement given twice; all in one message.
    """
    return read_records(source, INSPECTIONS, what="inspections", names=names, zone=zone, unique=KEY, table=table,
                        query=query)  # fmt: skip


def score_checklists(
    inspections: Records | pd.DataFrame,
    *,
    points: Mapping[str, float] | None = None,
    minimum_n: int = 5,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> ChecklistScores:
    """How many points did advisers win, where do they fail, and do inspectors agree?

    Parameters
    ----------
    inspections : Records or DataFrame
        As `read_inspections` gives them.
    points : mapping, optional
        Points of each check, as a service standard's checklist gives them; one each by default.
    minimum_n : int
        Visits below which an adviser's score, or the agreement of two inspectors, is not given.
    level, draws, rng
        Of the intervals; the draws are those of scores and pass rates, over advisers.

    Returns
    -------
    ChecklistScores

    Raises
    ------
    OperationsError
        Checks without points, judgements given twice, visits of two advisers, ...; all in one message.

    Notes
    -----
    Kappa falls when nearly all checks are passed, however well inspectors agree; Gwet's AC1 does not: both are given.
    Judgements of one adviser are not independent, so advisers (or visits, where advisers are few) are left out in turn.

    Examples
    --------
    >>> seen = pd.DataFrame({"adviser": "a", "inspector": ["x", "y"] * 6, "visit": [str(i // 2) for i in range(12)],
    ...     "check": "greets", "passed": [True, True] * 4 + [False, False, True, False]})
    >>> found = score_checklists(seen).agreement
    >>> round(float(found.loc[found["statistic"] == "agreement", "estimate"].iloc[0]), 4)
    0.8333
    """
    frame = frame_of(inspections, INSPECTIONS, "inspections")
    worth = check_inspections(frame, points)
    data = frame.assign(passed=frame["passed"].astype(float), points=frame["check"].map(worth))
    data["won"] = data["passed"] * data["points"]
    generator = np.random.default_rng(rng)
    options = {"level": level, "draws": draws, "rng": generator}
    notes: list[str] = []
    return ChecklistScores(
        n=data["adviser"].nunique(),
        visits=data["visit"].nunique(),
        inspectors=data["inspector"].nunique(),
        settings={"points": worth, "minimum_n": minimum_n, "level": level, "draws": draws, "agreement": _method(data)},
        score=_overall(data, options, notes),
        checks=_checks(data, worth, options),
        advisers=_advisers(data, minimum_n, level),
        agreement=_agreement(data, level, notes),
        pairs=_pairs(data, minimum_n, level),
        notes=tuple(notes),
    )


def check_inspections(
    frame: pd.DataFrame, points: Mapping[str, float] | None = None, source: str = "inspections"
) -> dict[str, float]:
    """What must be true of inspections; the points of each check, one each where none are given.

    Raises
    ------
    OperationsError
        Checks without points, judgements given twice, visits of two advisers, ...; all in one message.
    """
    worth = {
        str(k): float(v) for k, v in (points or dict.fromkeys(sorted(frame["check"].dropna().unique()), 1.0)).items()
    }
    several = frame.groupby("visit")["adviser"].transform("nunique") > 1
    problems = broken(frame, [
        ("expected checks that have points, found others", ~frame["check"].isin(worth)),
        ("expected a judgement once, found it again", frame.duplicated(KEY)),
        ("expected yes or no, found nothing", frame["passed"].isna()),
        ("expected one adviser a visit, found several", several),
    ], "visit")  # fmt: skip
    problems += [
        Problem(f"expected points above 0 for check {k!r}, found {v:g}") for k, v in worth.items() if not v > 0
    ]
    if not len(frame):
        problems.append(Problem("expected inspections, found none"))
    if problems:
        raise OperationsError(source, problems, "correct the inspections, or give points to every check")
    return worth


def _overall(data: pd.DataFrame, options: dict[str, Any], notes: list[str]) -> Estimate:
    """Mean of the advisers' scores: each adviser counts once, however often inspected."""
    sums = data.groupby("adviser")[["won", "points"]].sum()
    score = (sums["won"] / sums["points"]).to_numpy()
    if len(score) < 2:
        notes.append("one adviser only: no interval of the mean score")
        return Estimate(float(score.mean()), math.nan, math.nan, math.nan, len(score), options["level"], "none")
    b = bootstrap_totals(np.column_stack([score, np.ones(len(score))]), lambda t: t[..., :1] / t[..., 1:], **options)
    low, high = max(float(b.low[0]), 0.0), min(float(b.high[0]), 1.0)
    return Estimate(float(b.estimate[0]), low, high, float(b.se[0]), len(score), options["level"], b.method)


def _checks(data: pd.DataFrame, worth: dict[str, float], options: dict[str, Any]) -> pd.DataFrame:
    """Share passed of each check, with advisers resampled: their judgements go together."""
    names = [c for c in worth if (data["check"] == c).any()]
    sums = data.pivot_table(index="adviser", columns="check", values="passed", aggfunc=["sum", "count"]).fillna(0)
    top, size = (sums[k][names].to_numpy(dtype=float) for k in ("sum", "count"))
    shares = []
    for j in range(len(names)):
        columns = np.column_stack([top[:, j], size[:, j]])[size[:, j] > 0]
        b = bootstrap_totals(columns, lambda t: t[..., :1] / t[..., 1:], **options)
        known = len(columns) > 1
        low, high = (max(float(b.low[0]), 0.0), min(float(b.high[0]), 1.0)) if known else (math.nan, math.nan)
        shares.append((worth[names[j]], int(size[:, j].sum()), len(columns), float(b.estimate[0]), low, high))
    table = pd.DataFrame(shares, columns=["points", "n", "advisers", "passed", "low", "high"])
    return table.set_index(pd.Index(names, name="check"))


def _advisers(data: pd.DataFrame, minimum_n: int, level: float) -> pd.DataFrame:
    """Student's t over an adviser's visits; in the order of names, which is no ranking."""
    sums = data.groupby(["adviser", "visit"])[["won", "points"]].sum()
    score = (sums["won"] / sums["points"]).groupby("adviser")
    table = pd.DataFrame({"visits": score.size(), "score": score.mean(), "sd": score.std()})
    n = table["visits"].to_numpy(dtype=float)
    half = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * table["sd"] / np.sqrt(n)
    few = table["visits"] < minimum_n
    table["low"], table["high"] = (table["score"] - half).clip(lower=0), (table["score"] + half).clip(upper=1)
    table.loc[few, ["score", "low", "high"]] = np.nan
    table["reason"] = np.where(few, f"fewer than {minimum_n} visits", "").astype(object)
    return table.drop(columns="sd")


def _agreement(data: pd.DataFrame, level: float, notes: list[str]) -> pd.DataFrame:
    judged = data.groupby(["adviser", "visit", "check"])["passed"].agg(["sum", "count"]).reset_index()
    twice = judged[judged["count"] >= 2]
    if not len(twice):
        notes.append("no agreement: no check of a visit was judged by two inspectors")
        return pd.DataFrame(columns=AGREEMENT)
    rows = _coefficients("all checks", twice, level) + _icc(data, level)
    for check, own in twice.groupby("check", sort=True):
        rows += _coefficients(str(check), own, level)
    return pd.DataFrame(rows, columns=AGREEMENT)


AGREEMENT = ["scope", "statistic", "n", "estimate", "se", "low", "high", "method"]


def _coefficients(scope: str, own: pd.DataFrame, level: float) -> list[tuple[Any, ...]]:
    unit = pd.factorize(own[_unit(own)])[0]
    each = agreement_columns(own["sum"], own["count"])
    columns = np.column_stack([np.bincount(unit, weights=c) for c in each.T])
    values, without = _leave_out(columns, agreement_from_totals)
    visits = own["visit"].nunique()
    return [
        (scope, name, visits, float(value), *_bounds(float(value), left, level), _method(own))
        for name, value, left in zip(COEFFICIENTS, values, without.T, strict=True)
    ]


def _unit(data: pd.DataFrame) -> str:
    return "adviser" if data["adviser"].nunique() >= FEW_ADVISERS else "visit"


def _method(data: pd.DataFrame) -> str:
    return f"jackknife over {_unit(data)}s, Student's t on log(1 - x)"


def _leave_out(columns: npt.NDArray[Any], statistic: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    total = columns.sum(axis=0)
    return statistic(total), statistic(total - columns)


def _bounds(value: float, without: npt.NDArray[Any], level: float) -> tuple[float, float, float]:
    se, low, high = jackknife_interval(value, without, level=level, transform="log1m")
    # Full agreement leaves nothing to be resampled.
    return (math.nan, math.nan, math.nan) if se == 0 else (se, low, high)


def _icc(data: pd.DataFrame, level: float) -> list[tuple[Any, ...]]:
    """Agreement of inspectors' scores of a visit: one-way intraclass correlation of Shrout and Fleiss (1979)."""
    sums = data.groupby(["visit", "inspector"])[["won", "points"]].sum()
    score = (sums["won"] / sums["points"]).rename("score").reset_index()
    several = score.groupby("visit")["score"].transform("size") >= 2
    own = score[several]
    if own["visit"].nunique() < 3 or own["score"].nunique() < 2:
        return []
    value, low, high = one_way_icc(own["score"].to_numpy(), own["visit"].to_numpy(), level)
    return [("all checks", "icc", own["visit"].nunique(), value, math.nan, low, high, "F distribution, ICC(1)")]


def one_way_icc(score: Any, target: Any, level: float = 0.95) -> tuple[float, float, float]:
    """ICC(1) of Shrout and Fleiss (1979) with its F interval; unequal numbers of judges by their adjusted mean.

    Examples
    --------
    >>> scores = [9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7]
    >>> round(one_way_icc(scores, [i // 4 for i in range(24)])[0], 4)
    0.1657
    """
    y = np.asarray(score, float)
    _, code = np.unique(np.asarray(target), return_inverse=True)
    size = np.bincount(code).astype(float)
    means = np.bincount(code, weights=y) / size
    k, n = len(size), float(len(y))
    between = float((size * (means - y.mean()) ** 2).sum()) / (k - 1)
    within = float(((y - means[code]) ** 2).sum()) / (n - k)
    usual = (n - float((size**2).sum()) / n) / (k - 1)
    if within == 0:
        return 1.0, math.nan, math.nan
    f = between / within
    tail = (1 - level) / 2
    bounds = (f, f / float(stats.f.ppf(1 - tail, k - 1, n - k)), f * float(stats.f.ppf(1 - tail, n - k, k - 1)))
    value, low, high = ((b - 1) / (b + usual - 1) for b in bounds)
    return value, low, high


def _pairs(data: pd.DataFrame, minimum_n: int, level: float) -> pd.DataFrame:
    keys = ["adviser", "visit", "check"]
    wide = data.set_index([*keys, "inspector"])["passed"].unstack()  # noqa: PD010
    rows = []
    for first, second in itertools.combinations(wide.columns, 2):
        both = wide[[first, second]].dropna().reset_index()
        visits = both["visit"].nunique()
        if visits < minimum_n:
            continue
        unit = pd.factorize(both[_unit(both)])[0]
        columns = np.column_stack([np.bincount(unit, weights=c) for c in pair_columns(both[first], both[second]).T])
        value, without = _leave_out(columns, cohen_from_totals)
        bounds = _bounds(float(value[0]), without[:, 0], level)
        rows.append((first, second, len(both), visits, float(value[0]), *bounds))
    return pd.DataFrame(rows, columns=["first", "second", "n", "visits", "kappa", "se", "low", "high"])
