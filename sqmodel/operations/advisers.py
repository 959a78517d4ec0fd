"""Advisers' effects on an outcome: shrunken, adjusted for case mix, with what can and cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError, OperationsError, Problem
from sqmodel.numerics.random_intercepts import random_intercepts
from sqmodel.operations.records import Column, Records, read_records
from sqmodel.result import Estimate, Result

ADVISERS = (
    Column("case_id", "text", filled=True, also=("case",)),
    Column("adviser", "text", filled=True, also=("adviser_id", "staff")),
)
METHOD = "posterior interval, variances integrated over"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class AdviserAssessment(Result):
    """How much advisers differ and who certainly does; in the order of names, never a bare ranking; frames unrounded.

    Attributes
    ----------
    n : int
        Cases used.
    between, residual : Estimate
        Standard deviation of advisers, and of cases of one adviser, on the outcome's scale (of its logarithm if so
        asked); REML estimates.
    share : Estimate
        Of the variance that remains after case mix, what lies between advisers.
    pvalue : float
        Of the hypothesis that all advisers are equal.
    advisers : DataFrame, one row an adviser
        n, raw (mean outcome), effect (shrunken and adjusted deviation from these advisers' mean) with se, low, high,
        reliability (1 = not shrunken), above_average and above_median (probabilities), rank_low, rank_high (bounds of
        the rank among those shown, 1 is the highest effect), tied (number of others who cannot be told from him or
        her), band (``above``, ``below``, ``not told from the mean``), reason (why a row has no figures).
    pairs : DataFrame
        Pairs that can be told apart: higher, lower, difference, low, high, probability.
    case_mix : DataFrame, one row a coefficient
        estimate, se, low, high.
    told_apart, not_told_apart : int
        Numbers of pairs.
    left_out : DataFrame
        reason, n.
    notes : tuple of str
    """

    n: int
    settings: dict[str, Any]
    between: Estimate
    residual: Estimate
    share: Estimate
    pvalue: float
    advisers: pd.DataFrame
    pairs: pd.DataFrame
    case_mix: pd.DataFrame
    told_apart: int
    not_told_apart: int
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        pairs = self.told_apart + self.not_told_apart
        return (
            f"{len(self.advisers)} advisers, {self.n} cases: share of variance between advisers {self.share}; "
            f"{self.told_apart} of {pairs} pairs can be told apart"
        )


def read_advisers(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read which adviser handled which case: case_id, adviser.

    Raises
    ------
    OperationsError
        Cells that cannot be read, cases given twice; all in one message.
    """
    return read_records(source, ADVISERS, what="advisers", names=names, zone=zone, unique=("case_id",), table=table,
                        query=query)  # fmt: skip


def assess_advisers(
    cases: pd.DataFrame,
    *,
    outcome: str,
    adjust: Sequence[str] = (),
    adviser: str = "adviser",
    log: bool = False,
    minimum_n: int = 5,
    level: float = 0.95,
    draws: int = 4000,
    rng: np.random.Generator | int = 1,
) -> AdviserAssessment:
    """How much of an outcome is the adviser's, and which advisers certainly differ?

    Parameters
    ----------
    cases : DataFrame, one row a case
    outcome : str
        Column with a number: satisfaction, hours of review.
    adjust : sequence of str
        Columns of the case mix: numbers as they are, anything else by category.
    adviser : str
        Column that names the adviser.
    log : bool
        Analyse the logarithm (times are skewed); effects are then about exp(effect) - 1 in relative terms.
    minimum_n : int
        Advisers with fewer cases help to estimate the variances but are shown without figures.
    level, draws, rng
        Of the posterior intervals.

    Returns
    -------
    AdviserAssessment

    Raises
    ------
    OperationsError
        Columns that are absent, outcomes that are no numbers or not positive under `log`; all in one message.
    ComputationError
        Fewer than three advisers, no adviser with two cases, or an outcome without variation.

    Notes
    -----
    Random intercepts: outcome = case mix + adviser + case. The effects are drawn from their distribution given the
    data, with the variances' uncertainty in it, so that intervals hold on average over advisers, and pairs need no
    further correction for being many (Gelman, Hill and Yajima 2012). Nothing says that an adviser is the cause: case
    mix not in `adjust` stays in the effect.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> cases = pd.DataFrame({"adviser": np.repeat(list("abcd"), 20), "score": rng.normal(70, 10, 80)})
    >>> cases.loc[cases["adviser"] == "d", "score"] += 30
    >>> assess_advisers(cases, outcome="score").advisers["band"]["d"]
    'above'
    """
    _check(cases, outcome, adjust, adviser, log)
    columns = [adviser, outcome, *adjust]
    missing = cases[columns].isna()
    used = cases[~missing.any(axis=1)]
    y = used[outcome].to_numpy(dtype=float)
    y = np.log(y) if log else y
    code, names = pd.factorize(used[adviser].astype(str), sort=True)
    size = np.bincount(code, minlength=len(names))
    _check_sizes(size, y, code)
    notes: list[str] = []
    x, labels = _design(used, list(adjust), notes)
    if not log and set(np.unique(y)) <= {0.0, 1.0}:
        notes.append("the outcome is 0 or 1: differences of shares, by a normal model, which is rough with few cases")
    fit = random_intercepts(y, x, code, rng=rng, draws=draws)
    effects = fit.effects - fit.effects.mean(axis=1, keepdims=True)
    shown = size >= minimum_n
    shown_names = [str(n) for n, s in zip(names, shown, strict=True) if s]
    told, pairs = _pairs(effects[:, shown], shown_names, level)
    share = fit.between**2 / (fit.between**2 + fit.residual**2)
    shares = fit.between_draws**2 / (fit.between_draws**2 + fit.residual_draws**2)
    k = len(shown_names)
    return AdviserAssessment(
        n=len(used),
        settings={
            "outcome": outcome,
            "adjust": list(adjust),
            "log": log,
            "minimum_n": minimum_n,
            "level": level,
            "draws": draws,
            "method": METHOD,
        },
        between=_estimate(fit.between, fit.between_draws, len(names), level),
        residual=_estimate(fit.residual, fit.residual_draws, len(used), level),
        share=_estimate(share, shares, len(names), level),
        pvalue=fit.pvalue,
        advisers=_table(
            effects,
            names,
            size,
            np.bincount(code, weights=y) / size,
            shown,
            told,
            (fit.between, fit.residual, minimum_n, level),
        ),
        pairs=pairs,
        case_mix=_case_mix(fit.coefficients, labels, level),
        told_apart=len(pairs),
        not_told_apart=k * (k - 1) // 2 - len(pairs),
        left_out=_left_out(missing, adviser, outcome, list(adjust)),
        notes=tuple(notes),
    )


def _check(cases: pd.DataFrame, outcome: str, adjust: Sequence[str], adviser: str, log: bool) -> None:
    absent = [c for c in (adviser, outcome, *adjust) if c not in cases]
    headers = ", ".join(map(repr, cases.columns[:12]))
    problems = [Problem(f"expected a column {c!r}, found {headers}") for c in absent]
    if outcome in cases:
        values = cases[outcome]
        if not pd.api.types.is_numeric_dtype(values):
            problems.append(Problem(f"expected numbers in {outcome!r}, found {values.dtype}"))
        else:
            wrong = values.isin([np.inf, -np.inf]) | ((values <= 0) if log else False)
            rows = tuple(f"row {r}" for r in cases.index[wrong][: Problem.MOST])
            wanted = "positive numbers, whose logarithm can be taken," if log else "finite numbers"
            if rows:
                problems.append(Problem(f"expected {wanted} in {outcome!r}, found others", rows, int(wrong.sum())))
    if problems:
        raise OperationsError("cases", problems, "correct the cases, or name other columns")


def _check_sizes(size: npt.NDArray[Any], y: Floats, code: npt.NDArray[Any]) -> None:
    if len(size) < 3 or size.max() < 2:
        raise ComputationError(
            f"expected at least three advisers, one of them with two cases, found {len(size)} with at most "
            f"{int(size.max(initial=0))}; differences between fewer say nothing about advisers"
        )
    means = np.bincount(code, weights=y) / size
    if np.allclose(y, means[code]):
        raise ComputationError("expected outcomes that differ between cases of an adviser, found none that do")


def _design(used: pd.DataFrame, adjust: list[str], notes: list[str]) -> tuple[Floats, list[str]]:
    """Columns of the case mix, numbers centred; those that repeat others are left out and named."""
    parts: dict[str, Floats] = {"mean": np.ones(len(used))}
    for name in adjust:
        values = used[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            number = values.to_numpy(dtype=float)
            parts[name] = number - number.mean()
            continue
        levels = sorted(values.astype(str).unique())
        parts |= {f"{name}: {v}": (values.astype(str) == v).to_numpy(dtype=float) for v in levels[1:]}
    kept: list[str] = []
    basis = np.empty((len(used), 0))
    for name, column in parts.items():
        rest = column - basis @ (basis.T @ column)
        if np.linalg.norm(rest) > 1e-8 * max(float(np.linalg.norm(column)), 1e-300):
            kept.append(name)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
        else:
            notes.append(f"{name} repeats other columns of the case mix and was left out")
    return np.column_stack([parts[name] for name in kept]), kept


def _ends(draws: Floats, level: float) -> Floats:
    """Ends of an interval between which one more draw falls with probability `level`; inner ones would be too sure."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    return np.asarray(np.quantile(draws, ends, axis=0, method="weibull"), dtype=float)


def _estimate(value: float, draws: Floats, n: int, level: float) -> Estimate:
    low, high = _ends(draws, level)
    return Estimate(value, float(low), float(high), float(draws.std()), n, level, METHOD)


def _pairs(effects: Floats, names: list[str], level: float) -> tuple[npt.NDArray[np.intp], pd.DataFrame]:
    """How many others each is told apart from, and the pairs that are."""
    z = float(stats.norm.ppf((1 + level) / 2))
    middle, covariance = effects.mean(axis=0), np.atleast_2d(np.cov(effects.T))
    gap = middle[:, None] - middle[None]
    variance = np.diag(covariance)
    sd = np.sqrt(np.maximum(variance[:, None] + variance[None] - 2 * covariance, 0))
    apart = gap > z * sd
    higher, lower = np.nonzero(apart)
    d, s = gap[higher, lower], sd[higher, lower]
    table = pd.DataFrame({"higher": [names[i] for i in higher], "lower": [names[j] for j in lower], "difference": d,
                          "low": d - z * s, "high": d + z * s, "probability": stats.norm.cdf(d / s)})  # fmt: skip
    return apart.sum(axis=0) + apart.sum(axis=1), table.sort_values(["higher", "lower"], ignore_index=True)


def _table(
    effects: Floats,
    names: Any,
    size: npt.NDArray[Any],
    raw: Floats,
    shown: npt.NDArray[np.bool_],
    told: npt.NDArray[np.intp],
    facts: tuple[float, float, int, float],
) -> pd.DataFrame:
    between, residual, minimum_n, level = facts
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = _ends(effects, level)
    own = effects[:, shown]
    # The k-th highest has rank k; a rank's bounds are wide where effects are not told apart.
    ranks = own.shape[1] - np.argsort(np.argsort(own, axis=1), axis=1)
    rank_low = np.quantile(ranks, ends[0], axis=0, method="lower")
    rank_high = np.quantile(ranks, ends[1], axis=0, method="higher")
    band = np.select([low > 0, high < 0], ["above", "below"], "not told from the mean")
    table = pd.DataFrame({
        "n": size, "raw": raw, "effect": effects.mean(axis=0), "se": effects.std(axis=0), "low": low, "high": high,
        "reliability": between**2 / (between**2 + residual**2 / size), "above_average": (effects > 0).mean(axis=0),
        "above_median": (effects > np.median(effects, axis=1, keepdims=True)).mean(axis=0),
    }, index=pd.Index(names, name="adviser"))  # fmt: skip
    for name, values in (("rank_low", rank_low), ("rank_high", rank_high), ("tied", int(shown.sum()) - 1 - told)):
        table[name] = np.nan
        table.loc[shown, name] = np.asarray(values, float)
    table["band"] = np.where(shown, band, "").astype(object)
    table["reason"] = np.where(shown, "", f"fewer than {minimum_n} cases").astype(object)
    table.loc[~shown, [c for c in table if c not in ("n", "band", "reason")]] = np.nan
    return table


def _case_mix(draws: Floats, labels: list[str], level: float) -> pd.DataFrame:
    low, high = _ends(draws, level)
    return pd.DataFrame({"estimate": draws.mean(axis=0), "se": draws.std(axis=0), "low": low, "high": high},
                        index=pd.Index(labels, name="coefficient"))  # fmt: skip


def _left_out(missing: pd.DataFrame, adviser: str, outcome: str, adjust: list[str]) -> pd.DataFrame:
    no_adviser = missing[adviser]
    no_outcome = ~no_adviser & missing[outcome]
    no_mix = ~no_adviser & ~no_outcome & missing[adjust].any(axis=1)
    reasons = {"no adviser": no_adviser, "no outcome": no_outcome, "no case mix": no_mix}
    return pd.DataFrame({"reason": list(reasons), "n": [int(m.sum()) for m in reasons.values()]})
