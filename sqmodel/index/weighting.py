"""How much does each dimension count? Weights that sum to one, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

from sqmodel.errors import ComputationError, InputError
from sqmodel.index.columns import Columns, Part, constant
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.resampling import resample_counts
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Method = Literal["equal", "allocation", "regression", "given"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Weights(Result):
    """Index weights of the dimensions.

    Attributes
    ----------
    method : str
        How they were derived.
    n : int
        Respondents they rest on; 0 for equal and given weights.
    table : DataFrame, one row a dimension
        weight, low, high. They are non-negative and sum to one.
    interval_method : str
    """

    method: str
    n: int
    table: pd.DataFrame
    interval_method: str
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        shown = ", ".join(f"{code} {weight:.2f}" for code, weight in self.table["weight"].items())
        return f"{self.method}, n={self.n}: {shown}"


def derive_weights(
    measure: Measure,
    *,
    method: Method = "equal",
    given: Mapping[str, float] | None = None,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Weights:
    """Derive the weights of the dimensions from the current quarter.

    Parameters
    ----------
    measure : Measure
    method : {"equal", "allocation", "regression", "given"}
        equal: 1/D each. allocation: mean share of the points that clients gave to each dimension. regression:
        non-negative least squares of overall satisfaction on the dimension scores, scaled to sum one. given: the
        weights of an expert panel or an association, passed as `given`.
    given : mapping, optional
        Dimension to weight, with ``method="given"``; scaled to sum one.
    level, draws, rng
        Of the intervals: studentised bootstrap for allocation, percentile bootstrap for regression (whose weights
        are cut at zero); equal and given weights are constants.

    Returns
    -------
    Weights

    Raises
    ------
    ComputationError
        The answers lack what the method needs.
    InputError
        Given weights with unknown or missing dimensions, or a negative one.
    """
    if method not in get_args(Method):
        raise InputError("weighting", [f"expected one of {', '.join(get_args(Method))}, found {method!r}"])
    settings = {"method": method, "level": level, "draws": draws}
    codes = measure.instrument.dimension_codes
    if method == "equal":
        values = np.full(len(codes), 1 / len(codes))
        return Weights(method, 0, _table(codes, values, values, values), "constant", settings)
    if method == "given":
        values = _given(codes, given or {})
        return Weights(method, 0, _table(codes, values, values, values), "constant", settings)
    current = measure.current
    if method == "allocation":
        return _by_allocation(current, codes, level, draws, rng, settings)
    return _by_regression(current, list(measure.items), codes, level, draws, rng, settings)


def _table(codes: list[str], weight: Array, low: Array, high: Array) -> pd.DataFrame:
    return pd.DataFrame({"weight": weight, "low": low, "high": high}, index=pd.Index(codes, name="dimension"))


def _given(codes: list[str], given: Mapping[str, float]) -> Array:
    problems = [f"expected a weight for dimension {c!r}, found none" for c in codes if c not in given]
    problems += [f"expected a dimension among {', '.join(codes)}, found {c!r}" for c in given if c not in codes]
    problems += [
        f"expected a weight of at least 0 for {c!r}, found {w}" for c, w in given.items() if not 0 <= w < np.inf
    ]
    if not problems and sum(given.values()) <= 0:
        problems.append("expected weights whose sum is above 0, found a sum of 0")
    if problems:
        raise InputError("weights", problems, "give every dimension one weight")
    values: Array = np.array([float(given[c]) for c in codes])
    return np.asarray(values / values.sum())


def allocation_parts(book: Columns, responses: Responses) -> list[Part]:
    """Weights by points, as functions of totals: the mean share of each dimension."""
    shares = responses.allocation
    means = [book.mean(shares[c]) for c in shares.columns]

    def share(j: int) -> Part:
        return lambda t: means[j](t) / sum(m(t) for m in means)

    return [share(j) for j in range(len(means))]


def fixed_parts(weights: Weights) -> list[Part]:
    """Weights as constants."""
    return [constant(float(w)) for w in weights.table["weight"]]


def _by_allocation(
    responses: Responses,
    codes: list[str],
    level: float,
    draws: int,
    rng: np.random.Generator | int,
    settings: dict[str, Any],
) -> Weights:
    if not responses.has_allocation:
        raise ComputationError(
            f"weighting by allocation: expected the importance columns of {responses.instrument.name}, found none; "
            "choose weighting: equal, or map the columns"
        )
    answered = responses.keep(responses.allocation.notna().all(axis=1))
    if len(answered) < 2:
        raise ComputationError(
            f"weighting by allocation: expected at least 2 answered allocations, found {len(answered)}; "
            "choose weighting: equal"
        )
    book = Columns(answered.sample_weight, answered.calibration)
    parts = allocation_parts(book, answered)
    result = book.bootstrap(parts, rng=rng, draws=draws, level=level)
    low, high = np.clip(result.low, 0, 1), np.clip(result.high, 0, 1)
    return Weights("allocation", len(answered), _table(codes, result.estimate, low, high), result.method, settings)


def overall_satisfaction(responses: Responses) -> pd.Series | None:
    """Overall satisfaction of each respondent, 0-100: the CSAT question, or else the mean of the ACSI items."""
    for role in ("csat", "acsi"):
        answers = responses.outcome(role)
        if answers.shape[1]:
            return outcome_percent(responses, answers).mean(axis=1)
    return None


def outcome_percent(responses: Responses, answers: pd.DataFrame) -> pd.DataFrame:
    """Outcome answers on 0-100 by the ends of their scales."""
    scales = {o.code: o.scale for o in responses.instrument.outcomes}
    return pd.DataFrame(
        {c: (answers[c] - scales[c].minimum) / scales[c].width * 100 for c in answers.columns},
        index=answers.index,
    )


def _by_regression(
    responses: Responses,
    items: list[str],
    codes: list[str],
    level: float,
    draws: int,
    rng: np.random.Generator | int,
    settings: dict[str, Any],
) -> Weights:
    satisfaction = overall_satisfaction(responses)
    if satisfaction is None:
        raise ComputationError(
            "weighting by regression: expected an overall satisfaction question (role csat or acsi), found none; "
            "choose weighting: equal"
        )
    scores = responses.dimension_scores(items)
    whole = scores.notna().all(axis=1) & satisfaction.notna()
    if int(whole.sum()) <= 2 * len(codes):
        raise ComputationError(
            f"weighting by regression: expected more than {2 * len(codes)} complete respondents, found "
            f"{int(whole.sum())}; choose weighting: equal"
        )
    moments = _cross_products(scores[whole], satisfaction[whole], responses.sample_weight[whole.to_numpy()])
    one_stratum = np.zeros(int(whole.sum()), dtype=np.intp)
    blocks = resample_counts(one_stratum, draws, np.random.default_rng(rng))
    drawn = np.array([_nonnegative(t, len(codes)) for counts in blocks for t in counts @ moments])
    values = _nonnegative(moments.sum(axis=0), len(codes))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    method = f"percentile bootstrap, {draws} draws"
    return Weights("regression", int(whole.sum()), _table(codes, values, low, high), method, settings)


def _cross_products(scores: pd.DataFrame, outcome: pd.Series, weight: Array) -> Array:
    z = np.column_stack([np.ones(len(scores)), scores.to_numpy(float), outcome.to_numpy(float)])
    products: Array = (weight[:, None, None] * z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
    return products


def _nonnegative(totals: Array, dimensions: int) -> Array:
    """Non-negative least squares from cross products, scaled to sum one; equal weights if all slopes are zero."""
    size = dimensions + 2
    cross = totals.reshape(size, size)
    mean = cross[0] / cross[0, 0]
    covariance = cross / cross[0, 0] - np.outer(mean, mean)
    inner, target = covariance[1:-1, 1:-1], covariance[1:-1, -1]
    values, vectors = np.linalg.eigh(inner)
    rounding = 1e-12 * float(np.trace(cross)) / cross[0, 0]
    keep = values > max(1e-10 * values[-1], rounding)
    if not keep.any():
        return np.full(dimensions, 1 / dimensions)
    root = (vectors[:, keep] * np.sqrt(values[keep])).T
    slopes, _ = nnls(root, (vectors[:, keep] / np.sqrt(values[keep])).T @ target)
    total = slopes.sum()
    return np.asarray(slopes / total if total > 0 else np.full(dimensions, 1 / dimensions))
