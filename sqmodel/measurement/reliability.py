"""Is each dimension measured consistently? Alpha, omega and Guttman's bounds with named intervals; item statistics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import HeywoodWarning
from sqmodel.measurement.inputs import Ratings, Structure, as_ratings
from sqmodel.numerics import reliability as formulas
from sqmodel.numerics.correlation import moments
from sqmodel.numerics.factoring import minres, one_factor_ml
from sqmodel.numerics.resampling import jackknife_interval, resample_counts
from sqmodel.numerics.rotation import omega_hierarchical
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]

TOTAL = "total"
MOST_REPLICATES = 500
HIERARCHY_REPLICATES = 40
JACKKNIFE = "jackknife of log(1 - coefficient), Satterthwaite t"


@dataclass(frozen=True, repr=False)
class Reliability(Result):
    """Consistency of every scale and of all items together.

    Attributes
    ----------
    n : int
        Respondents, complete or not.
    coefficients : DataFrame, one row a scale and ``total``
        k, n (complete answers), alpha, alpha_standardised, omega (one-factor ML, None below 3 items), omega_total
        (psych's: one-factor minres for a scale, Schmid-Leiman for ``total``), omega_hierarchical (``total`` only,
        where three or more group factors are identified), mean_r, and Guttman's lambda1 to lambda6.
    intervals : DataFrame
        scale, coefficient, method, value, se, low, high; one row a named interval. The first one of each coefficient
        is the one that reports print.
    items : DataFrame, one row an item
        dimension, n, missing, mean, sd, min, max, skew, kurtosis (type 3, as psych::describe), floor, ceiling (shares
        at the ends of the scale; at the lowest and highest answer of a plain frame), item_rest, alpha_if_dropped.
    answers : DataFrame, items x answers
        Weighted share of each answer among those given; oriented like the ratings.
    notes : tuple of str
        What could not be computed and why.
    """

    n: int
    settings: dict[str, Any]
    coefficients: pd.DataFrame
    intervals: pd.DataFrame
    items: pd.DataFrame
    answers: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        scales = self.coefficients.drop(index=TOTAL) if len(self.coefficients) > 1 else self.coefficients
        shown = ", ".join(f"{code} {row.alpha:.3f}" for code, row in scales.iterrows())
        return f"{len(self.items)} items, n={self.n}: alpha {shown}"

    def interval(self, scale: str, coefficient: str, method: str | None = None) -> tuple[float, float]:
        """Bounds of one coefficient; by the default method, or by a named one."""
        table = self.intervals
        rows = table[(table["scale"] == scale) & (table["coefficient"] == coefficient)]
        if method is not None:
            rows = rows[rows["method"].str.startswith(method)]
        if rows.empty:
            raise KeyError(f"no interval of {coefficient} for {scale}" + (f" by {method}" if method else ""))
        return float(rows["low"].iloc[0]), float(rows["high"].iloc[0])


def assess_reliability(
    data: Responses | pd.DataFrame,
    *,
    structure: Structure = "dimensions",
    items: Sequence[str] | None = None,
    level: float = 0.95,
    draws: int = 0,
    rng: np.random.Generator | int = 0,
) -> Reliability:
    """How consistently does each scale measure, and which items do not belong?

    Parameters
    ----------
    data : Responses or DataFrame
        Responses are weighted by their sample weights. A frame holds ratings, respondents x items.
    structure : str or mapping
        Scales to assess: a structure of the instrument, or (for a frame) a mapping of scale to columns.
    items : sequence of str, optional
        Items to keep.
    level : float
        Of all intervals.
    draws : int
        Draws of the percentile bootstrap of alpha (as psych::alpha has it); 0 leaves it out.
    rng : Generator or int

    Returns
    -------
    Reliability

    Raises
    ------
    ComputationError
        An item without variance, or too few complete answers.
    InputError
        Items or columns that are not there.

    Warns
    -----
    HeywoodWarning
        The one-factor model behind an omega is improper; `notes` says so too.

    Notes
    -----
    Above 500 complete answers the jackknife leaves out random groups of respondents instead of single ones.
    Each coefficient rests on the respondents who answered all items of its scale. The first interval of a coefficient
    is the jackknife on log(1 - coefficient); it holds for skewed ratings and with weights, where Feldt's,
    Duhachek's and Bonett's (normal theory, effective n if weighted) do not.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> frame = pd.DataFrame(rng.normal(size=(200, 1)) + rng.normal(size=(200, 4)), columns=list("abcd"))
    >>> assess_reliability(frame)
    <Reliability 4 items, n=200: alpha total 0.763>
    """
    ratings = as_ratings(data, structure, items)
    generator = np.random.default_rng(rng)
    whole = [c for members in ratings.scales.values() for c in members]
    scales = {c: m for c, m in ratings.scales.items() if len(m) > 1}
    notes = [f"{c}: one item has no reliability" for c in ratings.scales if c not in scales]
    if len(ratings.scales) > 1:
        scales[TOTAL] = whole
    rows, intervals = {}, []
    for code, members in scales.items():
        rows[code], found = _scale(ratings, code, members, level, generator, notes)
        intervals += found
        if draws:
            intervals.append(_bootstrap_alpha(ratings, code, members, level, draws, generator))
    if TOTAL in scales and len(ratings.scales) > 1:
        _stratify(ratings, whole, rows[TOTAL])
        intervals += _hierarchy(ratings, whole, rows[TOTAL], level, generator, notes)
    columns = ["scale", "coefficient", "method", "value", "se", "low", "high"]
    settings = {"structure": structure if isinstance(structure, str) else dict(structure), "level": level,
                "draws": draws, "weighted": ratings.weighted, "missing": "complete answers of each scale"}  # fmt: skip
    return Reliability(
        n=len(ratings.frame),
        settings=settings,
        coefficients=pd.DataFrame.from_dict(rows, orient="index"),
        intervals=pd.DataFrame(intervals, columns=columns),
        items=_item_statistics(ratings),
        answers=_answers(ratings),
        notes=tuple(notes),
    )


def _scale(
    ratings: Ratings, code: str, members: list[str], level: float, rng: np.random.Generator, notes: list[str]
) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
    x, weight = ratings.complete(members)
    n, k = x.shape
    _, covariance = moments(x, weight)
    deviations = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviations, deviations)
    alpha = formulas.cronbach_alpha(covariance)
    left_out = formulas.covariances_without(x, weight, formulas.jackknife_groups(n, MOST_REPLICATES, rng))
    bounds = jackknife_interval(alpha, formulas.alpha_of_many(left_out), level=level, transform="log1m")
    found: list[tuple[Any, ...]] = [(code, "alpha", JACKKNIFE, alpha, *bounds)]
    found += _normal_theory(code, covariance, weight, ratings.weighted, level)
    row: dict[str, float] = {"k": k, "n": n, "alpha": alpha}
    row["alpha_standardised"] = formulas.cronbach_alpha(correlation)
    row |= {"omega": math.nan, "omega_total": math.nan, "omega_hierarchical": math.nan, "stratified_alpha": math.nan}
    if k >= 3 and (code != TOTAL or len(ratings.scales) == 1):
        fit = one_factor_ml(covariance)
        row["omega"] = float(formulas.omega_from_factor(fit.loadings, covariance))
        if fit.heywood:
            notes.append(f"{code}: the one-factor model is improper (a uniqueness reached its bound), doubt omega")
            warnings.warn(notes[-1], HeywoodWarning, stacklevel=3)
        fitted = one_factor_ml(formulas.with_some_variance(left_out), start=fit.loadings, tolerance=1e-7)
        omegas = formulas.omega_from_factor(fitted.loadings, left_out)
        bounds = jackknife_interval(row["omega"], omegas, level=level, transform="log1m")
        found.append((code, "omega", JACKKNIFE, row["omega"], *bounds))
        row["omega_total"] = 1 - float(minres(correlation, 1).uniquenesses.sum() / correlation.sum())
    row["mean_r"] = float((correlation.sum() - k) / (k * (k - 1)))
    return row | formulas.guttman_lambdas(correlation), found


def _normal_theory(code: str, covariance: Array, weight: Array, weighted: bool, level: float) -> list[tuple[Any, ...]]:
    alpha, k = formulas.cronbach_alpha(covariance), len(covariance)
    n = float(weight.sum() ** 2 / (weight**2).sum())
    suffix = " (effective n)" if weighted else ""
    feldt = formulas.feldt_interval(alpha, n, k, level)
    bonett = formulas.bonett_interval(alpha, n, k, level)
    return [
        (code, "alpha", f"Feldt{suffix}", alpha, math.nan, *feldt),
        (code, "alpha", f"Duhachek{suffix}", alpha, *formulas.duhachek_interval(covariance, n, level)),
        (code, "alpha", f"Bonett{suffix}", alpha, math.nan, *bonett),
    ]


def _bootstrap_alpha(
    ratings: Ratings, code: str, members: list[str], level: float, draws: int, rng: np.random.Generator
) -> tuple[Any, ...]:
    x, weight = ratings.complete(members)
    columns = formulas.alpha_columns(x, weight)
    one_stratum = np.zeros(len(x), dtype=np.intp)
    alphas = np.concatenate(
        [formulas.alpha_from_totals(counts @ columns) for counts in resample_counts(one_stratum, draws, rng)]
    ).astype(float)
    low, high = np.quantile(alphas, [(1 - level) / 2, (1 + level) / 2])
    alpha = float(np.real(formulas.alpha_from_totals(columns.sum(axis=0))))
    return code, "alpha", f"percentile bootstrap, {draws} draws", alpha, float(alphas.std(ddof=1)), low, high


def _stratify(ratings: Ratings, whole: list[str], row: dict[str, float]) -> None:
    x, weight = ratings.complete(whole)
    _, covariance = moments(x, weight)
    strata = [[whole.index(c) for c in members] for members in ratings.scales.values() if len(members) > 1]
    if strata:  # dimensions of one item each have no reliability to add up
        row["stratified_alpha"] = formulas.stratified_alpha(covariance, strata)


def _hierarchy(
    ratings: Ratings,
    whole: list[str],
    row: dict[str, float],
    level: float,
    rng: np.random.Generator,
    notes: list[str],
) -> list[tuple[Any, ...]]:
    """Omega hierarchical and total of all items, where three or more group factors are identified."""
    factors = len(ratings.scales)
    if factors < 3:
        notes.append(f"omega_hierarchical needs three or more group factors, the structure has {factors}")
        return []
    x, weight = ratings.complete(whole)
    _, covariance = moments(x, weight)
    if np.linalg.cond(covariance) > 1e12:
        notes.append("omega_hierarchical needs a correlation matrix of full rank")
        return []
    groups = formulas.jackknife_groups(len(x), HIERARCHY_REPLICATES, rng)
    left_out = formulas.covariances_without(x, weight, groups)
    values = _omegas(covariance, factors)
    replicates = np.array([_omegas(part, factors) for part in left_out])
    method = f"delete-a-group jackknife ({len(left_out)} groups) of log(1 - coefficient), Satterthwaite t"
    found: list[tuple[Any, ...]] = []
    for j, name in enumerate(("omega_hierarchical", "omega_total")):
        row[name] = float(values[j])
        bounds = jackknife_interval(values[j], replicates[:, j], level=level, transform="log1m")
        found.append((TOTAL, name, method, float(values[j]), *bounds))
    return found


def _omegas(covariance: Array, factors: int) -> Array:
    deviations = np.sqrt(np.diag(covariance))
    return np.array(omega_hierarchical(covariance / np.outer(deviations, deviations), factors))


def _item_statistics(ratings: Ratings) -> pd.DataFrame:
    rows = {}
    for code, members in ratings.scales.items():
        contributions = _contributions(ratings, members) if len(members) > 1 else {}
        for item in members:
            row: dict[str, Any] = {"dimension": code}
            row |= _describe(ratings, item)
            row["item_rest"], row["alpha_if_dropped"] = contributions.get(item, (math.nan, math.nan))
            rows[item] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _describe(ratings: Ratings, item: str) -> dict[str, float]:
    """Moments of one item; skewness and kurtosis as psych::describe (type 3: central moments over sd^3 and sd^4)."""
    column = ratings.frame[item].to_numpy(float)
    answered = ~np.isnan(column)
    x, weight = column[answered], ratings.weight[answered]
    low, high = ratings.ends.get(item, (x.min(), x.max()))
    mean, covariance = moments(x[:, None], weight)
    sd = math.sqrt(float(covariance[0, 0]))
    share, deviation = weight / weight.sum(), (x - mean[0]) / (sd if sd > 0 else math.nan)
    squares = deviation * deviation
    return {
        "n": int(answered.sum()),
        "missing": float(1 - answered.mean()),
        "mean": float(mean[0]),
        "sd": sd,
        "min": float(x.min()),
        "max": float(x.max()),
        "skew": float(share @ (deviation * squares)),
        "kurtosis": float(share @ (squares * squares) - 3),
        "floor": float(weight[x == low].sum() / weight.sum()),
        "ceiling": float(weight[x == high].sum() / weight.sum()),
    }


def _answers(ratings: Ratings) -> pd.DataFrame:
    """Weighted shares of the answers, where the scales have ends (a plain frame has none)."""
    if not ratings.ends:
        return pd.DataFrame()
    codes = range(
        int(min(low for low, _ in ratings.ends.values())), int(max(high for _, high in ratings.ends.values())) + 1
    )
    block, weight = ratings.frame.to_numpy(float), ratings.weight
    given = weight @ ~np.isnan(block)
    shares = {str(code): weight @ (block == code) / given for code in codes}
    return pd.DataFrame(shares, index=ratings.frame.columns)


def _contributions(ratings: Ratings, members: list[str]) -> dict[str, tuple[float, float]]:
    """Correlation of each item with the sum of the others, and alpha of the others."""
    x, weight = ratings.complete(members)
    _, covariance = moments(x, weight)
    rest = covariance.sum(axis=1) - np.diag(covariance)
    rest_variance = covariance.sum() - 2 * rest - np.diag(covariance)
    correlation = rest / np.sqrt(np.diag(covariance) * rest_variance)
    dropped = [math.nan] * len(members)
    if len(members) > 2:
        others = [np.delete(np.arange(len(members)), j) for j in range(len(members))]
        dropped = [formulas.cronbach_alpha(covariance[np.ix_(o, o)]) for o in others]
    return {c: (float(r), d) for c, r, d in zip(members, correlation, dropped, strict=True)}
