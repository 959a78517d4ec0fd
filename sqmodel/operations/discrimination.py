"""Do risk grades and probabilities tell good loans from bad ones, are they true, and do they stay what they were?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, OperationsError, Problem
from sqmodel.numerics import discrimination as kernel
from sqmodel.numerics.probabilities import PROFILE, brier_parts, calibration_line, spiegelhalter
from sqmodel.numerics.proportions import Distance, divergence, holm, jeffreys_interval
from sqmodel.numerics.resampling import bootstrap_totals
from sqmodel.operations.exposures import EXPOSURES, check_exposures, follow_up, frame_of
from sqmodel.operations.records import Records
from sqmodel.result import Result

JEFFREYS = "Jeffreys"
CHI_SQUARE = "noncentral chi-square"
PERIODS = {"month": "M", "quarter": "Q", "year": "Y"}
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, repr=False)
class GradeAssessment(Result):
    """Discrimination, calibration and stability of grades and probabilities; frames unrounded.

    Attributes
    ----------
    n, events : int
        Loans whose whole horizon was watched, and events among them within it.
    discrimination : DataFrame
        score (``probability``, ``grade``), statistic (``auc``, ``accuracy_ratio``, ``ks``, ``information_value``), n,
        estimate, se, low, high, method.
    calibration : DataFrame, one row a statistic of the probabilities
        ``brier``, its parts ``reliability`` (0 is best), ``resolution``, ``uncertainty`` and ``within``, ``intercept``
        (0 is true), ``slope`` (1 is true), ``observed_to_expected`` and ``spiegelhalter_z``: estimate, se, low, high,
        noise (what chance adds to the estimate), pvalue, method. The parts' intervals are about the true parts, the
        estimates contain the noise.
    grades : DataFrame, one row a grade from best to worst
        n, events, rate, low, high, expected (mean probability), verdict (``as expected``, ``too low`` or ``too high``:
        the probability against the interval; empty without probabilities), information (part of the information value).
    bins : DataFrame, one row a class of probabilities
        from, to, n, events, rate, low, high, expected, verdict: the reliability curve.
    stability : DataFrame, one row a score and period after the first
        score, period, base, n, psi, low, high, noise (expected if nothing changed), statistic, df, pvalue,
        pvalue_adjusted (Holm), rule_of_thumb (below .1, .1 to .25, above .25), verdict (``within noise``, ``changed``).
    periods : DataFrame, one row a period of granting
        granted, n (watched for the whole horizon), events, rate, low, high, expected, auc, auc_low, auc_high.
    left_out : DataFrame
        reason, n.
    notes : tuple of str
    """

    n: int
    events: int
    settings: dict[str, Any]
    discrimination: pd.DataFrame
    calibration: pd.DataFrame
    grades: pd.DataFrame
    bins: pd.DataFrame
    stability: pd.DataFrame
    periods: pd.DataFrame
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        auc = self.discrimination[self.discrimination["statistic"] == "auc"]
        shown = [f"{r.score} AUC {r.estimate:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in auc.itertuples()]
        changed = int((self.stability["verdict"] == "changed").sum()) if len(self.stability) else 0
        moved = f"; {changed} of {len(self.stability)} comparisons of periods changed" if len(self.stability) else ""
        return f"{self.n} loans, {self.events} events: {', '.join(shown)}{moved}"


def assess_grades(
    exposures: Records | pd.DataFrame,
    *,
    horizon: float | None = None,
    order: Sequence[str] | None = None,
    bins: int = 10,
    period: str = "year",
    zone: str = "Asia/Shanghai",
    minimum_n: int = 50,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> GradeAssessment:
    """Do grades and probabilities given at the granting tell which loans fail, how many, and is that stable?

    Parameters
    ----------
    exposures : Records or DataFrame
        As `read_exposures` gives them.
    horizon : float, optional
        Days after the granting within which an event counts. Loans not watched that long are left out, whether or not
        they had an event, and counted. Without it every event counts, however long a loan was watched.
    order : sequence of str, optional
        Grades from best to worst; alphabetical by default.
    bins : int
        Classes of the probabilities, by quantiles.
    period : {"year", "quarter", "month"}
        Of granting, between which stability is looked at; the first with `minimum_n` loans is the base.
    zone : str
        In which a period begins.
    minimum_n : int
        Periods with fewer loans are not compared, and said so.
    level, draws, rng
        Of the intervals; the draws are those of the Brier score and of observed to expected, and up to 200 of them
        of the bias of the KS distance.

    Returns
    -------
    GradeAssessment

    Raises
    ------
    OperationsError
        Exposures that break their rules, or grades that `order` does not name.
    ComputationError
        No loan was watched for the whole horizon, or all or none of them had an event.

    Examples
    --------
    >>> loans = pd.DataFrame({"loan_id": list("abcdef"), "probability": [.1, .1, .2, .4, .3, .6],
    ...     "granted": "2024-01-01T00:00Z", "observed_until": "2026-01-01T00:00Z",
    ...     "event": [None, None, None, "2024-06-01T00:00Z", None, "2024-07-01T00:00Z"]})
    >>> assess_grades(loans, horizon=365).discrimination["estimate"].tolist()[:2]
    [1.0, 1.0]
    """
    frame = frame_of(exposures, EXPOSURES, "exposures")
    check_exposures(frame)
    if frame[["grade", "probability"]].isna().all(axis=None):
        raise OperationsError("exposures", ["expected grades or probabilities, found neither"], "add one of them")
    if period not in PERIODS:
        raise ValueError(f"expected one of {', '.join(PERIODS)} for period, found {period!r}")
    ranks = _ranks(frame["grade"], order)
    generator = np.random.default_rng(rng)
    event, seen = follow_up(frame)
    limit = math.inf if horizon is None else float(horizon)
    complete = np.ones(len(frame), bool) if horizon is None else seen >= limit
    outcome = event <= limit if horizon is not None else np.isfinite(event)
    _check_outcomes(outcome[complete])
    granted = frame["granted"].dt.tz_convert(zone).dt.tz_localize(None).dt.to_period(PERIODS[period]).astype(str)
    data = pd.DataFrame({"grade": frame["grade"], "rank": ranks, "probability": frame["probability"],
                         "event": outcome, "period": granted}, index=frame.index)  # fmt: skip
    data["bin"], edges = _classes(data["probability"].to_numpy(), complete, bins)
    used = data[complete]
    notes: list[str] = []
    options = {"level": level, "draws": draws, "rng": generator}
    names = [str(g) for g in _order(frame["grade"], order)]
    grades, value = _grade_table(used, names, level)
    rows = [*_discriminate(used, "probability", options, notes), *_discriminate(used, "rank", options, notes)]
    if value is not None:
        rows.append(
            _row("grade", "information_value", len(used), value.value, math.nan, value.low, value.high, CHI_SQUARE)
        )
    settings = {"horizon_days": horizon, "order": names, "bins": bins, "period": period, "zone": zone,
                "minimum_n": minimum_n, "level": level, "draws": draws,
                "censoring": "loans not watched for the whole horizon are left out, events or not"}  # fmt: skip
    return GradeAssessment(
        n=len(used),
        events=int(used["event"].sum()),
        settings=settings,
        discrimination=pd.DataFrame(rows),
        calibration=_calibrate(used.dropna(subset=["probability"]), options, notes),
        grades=grades,
        bins=_bin_table(used, edges, level),
        stability=_stability(data, names, len(edges) - 1, minimum_n, level, notes),
        periods=_period_table(data, complete, level),
        left_out=_left_out(frame, complete, outcome),
        notes=tuple(notes),
    )


def _order(grades: pd.Series, order: Sequence[str] | None) -> list[str]:
    return list(order) if order is not None else sorted(grades.dropna().unique())


def _ranks(grades: pd.Series, order: Sequence[str] | None) -> pd.Series:
    names = _order(grades, order)
    unknown = grades[grades.notna() & ~grades.isin(names)]
    if len(unknown):
        found = tuple(str(g) for g in unknown.unique())
        problem = Problem(f"expected grades among {', '.join(names)}, found others", found)
        raise OperationsError("exposures", [problem], "name every grade in order, from best to worst")
    return grades.map({g: float(i) for i, g in enumerate(names)}).astype(float)


def _check_outcomes(outcome: npt.NDArray[np.bool_]) -> None:
    if not len(outcome):
        raise ComputationError("expected loans watched for the whole horizon, found none; choose a shorter horizon")
    if outcome.all() or not outcome.any():
        what = "only loans with" if outcome.all() else "no loans with"
        raise ComputationError(
            f"expected loans with and without events within the horizon, found {what} events among {len(outcome)}; "
            "choose another horizon or more loans"
        )


def _classes(probability: Any, base: npt.NDArray[np.bool_], bins: int) -> tuple[Any, Any]:
    """Class of each probability by quantiles of the base (NaN without one), and the edges."""
    known = probability[base & ~np.isnan(probability)]
    if not len(known):
        return np.full(len(probability), np.nan), np.array([0.0, 1.0])
    inner = np.unique(np.quantile(known, np.arange(1, bins) / bins))
    inner = inner[(inner > known.min()) & (inner <= known.max())]
    codes = np.where(np.isnan(probability), np.nan, np.searchsorted(inner, probability, side="right"))
    return codes, np.concatenate([[0.0], inner, [1.0]])


def _row(
    score: str, statistic: str, n: int, value: float, se: float, low: float, high: float, method: str
) -> dict[str, Any]:
    return {"score": score, "statistic": statistic, "n": n, "estimate": value, "se": se, "low": low, "high": high,
            "method": method}  # fmt: skip


def _discriminate(used: pd.DataFrame, column: str, options: dict[str, Any], notes: list[str]) -> list[dict[str, Any]]:
    score = "grade" if column == "rank" else column
    known = used.dropna(subset=[column])
    if not len(known):
        return []
    x, y, n = known[column].to_numpy(), known["event"].to_numpy(bool), len(known)
    if y.all() or not y.any():
        notes.append(f"no discrimination of {score}: only loans with or only loans without events have one")
        return []
    area = kernel.auc(x, y, options["level"])
    ratio = [2 * v - 1 for v in (area.estimate, area.low, area.high)]
    value, se, low, high, bias = kernel.ks(
        x, y, rng=options["rng"], draws=min(options["draws"], 200), level=options["level"]
    )
    notes.append(
        f"KS of {score}: the largest of many differences; chance adds about {bias:.3f}, the interval is without"
    )
    return [
        _row(score, "auc", n, area.estimate, area.se, area.low, area.high, area.method),
        _row(score, "accuracy_ratio", n, ratio[0], 2 * area.se, ratio[1], ratio[2], area.method),
        _row(score, "ks", n, value, se, low, high, kernel.KS_METHOD),
    ]


CALIBRATION = ["statistic", "estimate", "se", "low", "high", "noise", "pvalue", "method"]


def _calibrate(used: pd.DataFrame, options: dict[str, Any], notes: list[str]) -> pd.DataFrame:
    if not len(used):
        return pd.DataFrame(columns=CALIBRATION[1:], index=pd.Index([], name="statistic"))
    p, y, level = used["probability"].to_numpy(), used["event"].to_numpy(float), options["level"]
    parts = brier_parts(p, y, used["bin"].to_numpy().astype(np.intp), level)
    score, ratio = _means(p, y, options)
    uncertainty = (math.nan, parts.uncertainty_low, parts.uncertainty_high)
    rows = [
        score,
        *(_part(name, d) for name, d in (("reliability", parts.reliability), ("resolution", parts.resolution))),
        _statistic("uncertainty", parts.uncertainty, uncertainty, JEFFREYS),
        _statistic("within", parts.within, method="remainder, no interval"),
        *_lines(p, y, level, notes),
        ratio,
    ]
    z, pvalue = spiegelhalter(p, y)
    rows.append(_statistic("spiegelhalter_z", z, method="test, no interval", pvalue=pvalue))
    return pd.DataFrame(rows, columns=CALIBRATION).set_index("statistic")


def _statistic(
    name: str,
    value: float,
    bounds: tuple[float, float, float] = (math.nan, math.nan, math.nan),
    method: str = "",
    noise: float = math.nan,
    pvalue: float = math.nan,
) -> tuple[Any, ...]:
    """A row of the table: bounds are the standard error and the interval."""
    return name, value, *bounds, noise, pvalue, method


def _part(name: str, d: Distance) -> tuple[Any, ...]:
    return _statistic(name, d.value, (math.nan, d.low, d.high), CHI_SQUARE, d.noise, d.pvalue)


def _means(p: Any, y: Any, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Brier score, and events over the sum of their probabilities; both have the errors of means."""
    columns = np.column_stack([(p - y) ** 2, y, np.ones(len(y)), p])
    with np.errstate(invalid="ignore", divide="ignore"):
        b = bootstrap_totals(columns, lambda t: t[..., :2] / t[..., 2:], **options)
    names = ("brier", "observed_to_expected")
    return [
        _statistic(name, float(b.estimate[i]), (float(b.se[i]), float(b.low[i]), float(b.high[i])), b.method)
        for i, name in enumerate(names)
    ]


def _lines(p: Any, y: Any, level: float, notes: list[str]) -> list[tuple[Any, ...]]:
    inside = (p > 0) & (p < 1)
    if not inside.all():
        left = f"{int((~inside).sum())} probabilities of exactly 0 or 1 have no logit"
        notes.append(f"{left}: left out of intercept and slope")
    rows = []
    for name, line in zip(("intercept", "slope"), calibration_line(p[inside], y[inside], level), strict=True):
        rows.append(_statistic(name, line.estimate, (line.se, line.low, line.high), PROFILE))
        if math.isnan(line.estimate):
            notes.append(f"{name} of calibration: the likelihood has no maximum (events are separated or absent)")
    return rows


def _rates(events: Any, n: Any, expected: Any, level: float) -> pd.DataFrame:
    """Rates with their intervals and what the probabilities said of them."""
    low, high = jeffreys_interval(events, n, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.asarray(events, float) / np.asarray(n, float)
    said = np.asarray(expected, float)
    verdict = np.select(
        [np.isnan(said) | np.isnan(low), said < low, said > high], ["", "too low", "too high"], "as expected"
    )
    return pd.DataFrame({"n": n, "events": events, "rate": rate, "low": low, "high": high, "expected": said,
                         "verdict": verdict})  # fmt: skip


def _grade_table(used: pd.DataFrame, names: list[str], level: float) -> tuple[pd.DataFrame, Distance | None]:
    own = used.groupby("grade").agg(n=("event", "size"), events=("event", "sum"), expected=("probability", "mean"))
    own = own.reindex(names).fillna({"n": 0, "events": 0}).astype({"n": int, "events": int})
    table = _rates(own["events"].to_numpy(), own["n"].to_numpy(), own["expected"].to_numpy(), level)
    table.index = pd.Index(names, name="grade")
    table["information"] = np.nan
    if len(names) < 2:
        return table, None
    distance, parts, _ = divergence(own["n"] - own["events"], own["events"], level)
    table["information"] = parts
    return table, distance


def _bin_table(used: pd.DataFrame, edges: Any, level: float) -> pd.DataFrame:
    known = used.dropna(subset=["probability"])
    k = len(edges) - 1
    code = known["bin"].to_numpy().astype(np.intp)
    size, hits, said = (np.bincount(code, weights=w, minlength=k) for w in (None, known["event"], known["probability"]))
    with np.errstate(invalid="ignore"):
        table = _rates(hits.astype(int), size, said / size, level)
    table.insert(0, "from", edges[:-1])
    table.insert(1, "to", edges[1:])
    return table[table["n"] > 0].reset_index(drop=True)


def _stability(
    data: pd.DataFrame, names: list[str], classes: int, minimum_n: int, level: float, notes: list[str]
) -> pd.DataFrame:
    rows = []
    for score, column, k in (("probability", "bin", classes), ("grade", "rank", len(names))):
        known = data.dropna(subset=[column])
        if not len(known) or k < 2:
            continue
        counts = {
            str(name): np.bincount(own[column].to_numpy().astype(np.intp), minlength=k)
            for name, own in known.groupby("period", sort=True)
        }
        small = [name for name, c in counts.items() if c.sum() < minimum_n]
        if small:
            notes.append(f"stability of {score}: fewer than {minimum_n} loans in {', '.join(small)}, not compared")
        large = [name for name in counts if name not in small]
        rows += [_compare(score, name, large[0], counts, level, notes) for name in large[1:]]
    table = pd.DataFrame(rows, columns=STABILITY)
    table["pvalue_adjusted"] = holm(table["pvalue"].to_numpy(dtype=float)) if len(table) else []
    psi = table["psi"].to_numpy(dtype=float)
    table["rule_of_thumb"] = np.select([psi < 0.1, psi <= 0.25], ["below .1", ".1 to .25"], "above .25").astype(object)
    moved = table["pvalue_adjusted"].to_numpy(dtype=float) < 1 - level
    table["verdict"] = np.where(moved, "changed", "within noise").astype(object)
    return table


STABILITY = ["score", "period", "base", "n", "psi", "low", "high", "noise", "statistic", "df", "pvalue"]


def _compare(
    score: str, name: str, base: str, counts: dict[str, Any], level: float, notes: list[str]
) -> tuple[Any, ...]:
    d, _, filled = divergence(counts[base], counts[name], level)
    if filled:
        notes.append(
            f"PSI of {score}, {name} against {base}: a class is empty in one of them, half a loan added to all"
        )
    n = int(counts[name].sum())
    return score, name, base, n, d.value, d.low, d.high, d.noise, d.statistic, d.df, d.pvalue


def _period_table(data: pd.DataFrame, complete: npt.NDArray[np.bool_], level: float) -> pd.DataFrame:
    rows = []
    score = "probability" if data["probability"].notna().any() else "rank"
    for name, all_of in data.groupby("period", sort=True):
        own = all_of[complete[data.index.get_indexer(all_of.index)]]
        known = own.dropna(subset=[score])
        y = known["event"].to_numpy(bool)
        area = (math.nan,) * 3
        if y.any() and not y.all():
            found = kernel.auc(known[score].to_numpy(), y, level)
            area = (found.estimate, found.low, found.high)
        rows.append((name, len(all_of), len(own), int(own["event"].sum()), own["probability"].mean(), *area))
    raw = pd.DataFrame(rows, columns=["period", "granted", "n", "events", "expected", "auc", "auc_low", "auc_high"])
    table = _rates(raw["events"].to_numpy(), raw["n"].to_numpy(), raw["expected"].to_numpy(dtype=float), level)
    table.insert(0, "granted", raw["granted"])
    table[["auc", "auc_low", "auc_high"]] = raw[["auc", "auc_low", "auc_high"]]
    table.index = pd.Index(raw["period"], name="period")
    return table


def _left_out(frame: pd.DataFrame, complete: npt.NDArray[np.bool_], outcome: npt.NDArray[np.bool_]) -> pd.DataFrame:
    missing = frame[["grade", "probability"]].isna() & complete[:, None]
    reasons = {
        "horizon not watched to its end, no event so far": int((~complete & ~outcome).sum()),
        "horizon not watched to its end, event within it": int((~complete & outcome).sum()),
        "no grade (of those watched)": int(missing["grade"].sum()),
        "no probability (of those watched)": int(missing["probability"].sum()),
    }
    return pd.DataFrame({"reason": list(reasons), "n": list(reasons.values())})
