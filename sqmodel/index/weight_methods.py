"""What weights are derived from: points, satisfaction and the scores themselves, as functions of totals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import nnls

from sqmodel.errors import ComputationError
from sqmodel.index.columns import Columns, Part
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.derived_weights import (
    WITH_LOADINGS,
    WITH_OUTCOME,
    covariances,
    derived_weights,
    loadings_of,
    weight_columns,
)
from sqmodel.numerics.discrepancy import SMALLEST_UNIQUENESS
from sqmodel.survey.responses import Responses

Derived = Literal["regression", "shapley", "relative", "loadings", "component", "entropy", "critic"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Dimension scores of those who answered all that a method needs.

    Attributes
    ----------
    codes : list of str
        The dimensions.
    whole : (respondents,) boolean array
        Who they are, among all respondents of the quarter.
    scores : (n, dimensions) array
    outcome : (n,) array or None
        Overall satisfaction, for the methods that explain it.
    weight : (n,) array
        Sample weights.
    """

    codes: list[str]
    whole: npt.NDArray[np.bool_]
    scores: Array
    outcome: Array | None
    weight: Array

    @property
    def columns(self) -> Array:
        """What each respondent adds to the totals that `weights_from` takes."""
        return weight_columns(self.scores, self.weight, self.outcome)


def sample_for(measure: Measure, method: Derived) -> Sample:
    """Gather what a method needs of the current quarter.

    Raises
    ------
    ComputationError
        No satisfaction question, or too few complete respondents.
    """
    current, codes = measure.current, measure.instrument.dimension_codes
    explains = method in ("regression", *WITH_OUTCOME)
    satisfaction = overall_satisfaction(current) if explains else None
    if explains and satisfaction is None:
        raise ComputationError(
            f"weighting by {method}: expected an overall satisfaction question (role csat or acsi), found none; "
            "choose weighting: equal"
        )
    scores = current.dimension_scores(list(measure.items))
    whole = scores.notna().all(axis=1).to_numpy(bool)
    if satisfaction is not None:
        whole = whole & satisfaction.notna().to_numpy(bool)
    if int(whole.sum()) <= 2 * len(codes):
        raise ComputationError(
            f"weighting by {method}: expected more than {2 * len(codes)} complete respondents, found "
            f"{int(whole.sum())}; choose weighting: equal"
        )
    outcome = None if satisfaction is None else satisfaction.to_numpy(float)[whole]
    return Sample(codes, whole, scores.to_numpy(float)[whole], outcome, current.sample_weight[whole])


def weights_from(totals: Array, method: Derived, dimensions: int) -> Array:
    """Weights (..., dimensions) from totals of `Sample.columns`; NaN in resamples that have none."""
    if method != "regression":
        return derived_weights(totals, method, dimensions)
    flat = np.atleast_2d(totals)
    found = np.array([_nonnegative(t, dimensions) for t in flat])
    return np.asarray(found.reshape(*totals.shape[:-1], dimensions))


def check_sample(sample: Sample, method: Derived) -> None:
    """Raise where the answers have no weights of a method, naming the dimensions.

    Raises
    ------
    ComputationError
        Dimensions or satisfaction without variance, dimensions that determine each other, or that do not load
        positively on the one factor.
    """
    if method == "regression":
        return
    k, totals = len(sample.codes), sample.columns.sum(axis=0)
    variances = np.diagonal(covariances(totals, k))
    flat = [c for c, v in zip(sample.codes, variances, strict=False) if v == 0]
    told = ""
    if method == "entropy":
        zero = [c for c, own in zip(sample.codes, sample.scores.T, strict=True) if not own.any()]
        told = f"dimensions with scores above 0, found none of {', '.join(zero)}" if zero else ""
        told = "dimensions that vary, found none" if not told and len(flat) == k else told
    elif flat:
        told = f"dimensions that vary, found no variance of {', '.join(flat)}"
    elif method in WITH_OUTCOME and variances[k] == 0:
        told = "overall satisfaction that varies, found none"
    elif np.isnan(derived_weights(totals, method, k)).any():
        told = "dimensions that do not determine each other, found ones that do"
    elif method in WITH_LOADINGS and k > 1:
        found = loadings_of(totals, method, k)
        against = [f"{c} ({v:.2f})" for c, v in zip(sample.codes, found, strict=True) if v <= 0]
        one = "factor" if method == "loadings" else "component"
        told = f"dimensions that load positively on one {one}, found {', '.join(against)}" if against else ""
        if against and k == 2:
            told = f"two dimensions that are correlated positively, found {' and '.join(sample.codes)} that are not"
    if told:
        raise ComputationError(f"weighting by {method}: expected {told}; choose weighting: equal")


def doubts_about(sample: Sample, method: Derived, totals: Array, level: float) -> pd.DataFrame:
    """What the weights do not show: directions that are not sure, improper solutions, draws without weights.

    Parameters
    ----------
    totals : (draws, columns) array
        Of the resamples.
    """
    rows: list[tuple[str, str]] = []
    k = len(sample.codes)
    signs, what = np.ones((1, k)), ""
    if method in WITH_OUTCOME:
        c = covariances(totals, k)
        signs, what = c[:, :k, -1], "correlation with satisfaction"
    elif method in WITH_LOADINGS and k > 1:
        signs, what = loadings_of(totals, method, k), "loading"
    below = (signs <= 0).mean(axis=0)
    if method in WITH_LOADINGS and k == 2:
        # Of two dimensions that disagree neither is the one that does.
        below = np.full(2, below.max())
    rows += [
        (code, f"its {what} is not surely positive: at or below 0 in {share:.0%} of the draws, which a weight hides")
        for code, share in zip(sample.codes, below, strict=True)
        if share > (1 - level) / 2
    ]
    own = sample.columns.sum(axis=0)
    if method == "entropy":
        still = derived_weights(own, method, k) == 0
        rows += [(c, "its scores do not vary: no weight") for c, s in zip(sample.codes, still, strict=True) if s]
    if method == "loadings" and k > 2:
        bound = loadings_of(own, method, k) ** 2 >= 1 - SMALLEST_UNIQUENESS * (1 + 1e-9)
        rows += [
            (c, "improper solution: the factor explains all of its variance (Heywood case)")
            for c, h in zip(sample.codes, bound, strict=True)
            if h
        ]
    lost = int(np.isnan(weights_from(totals, method, k)).any(axis=1).sum()) if method != "regression" else 0
    if lost:
        rows.append(("all", f"{lost} of {len(totals)} draws have no weights (a dimension without variance)"))
    return pd.DataFrame(rows, columns=["dimension", "doubt"])


def allocation_parts(book: Columns, responses: Responses) -> list[Part]:
    """Weights by points, as functions of totals: the mean share of each dimension."""
    shares = responses.allocation
    means = [book.mean(shares[c]) for c in shares.columns]

    def share(j: int) -> Part:
        return lambda t: means[j](t) / sum(m(t) for m in means)

    return [share(j) for j in range(len(means))]


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


def _nonnegative(totals: Array, dimensions: int) -> Array:
    """Non-negative least squares from totals, scaled to sum one; equal weights if all slopes are zero."""
    covariance = covariances(totals, dimensions)
    inner, target = covariance[:-1, :-1], covariance[:-1, -1]
    values, vectors = np.linalg.eigh(inner)
    means = totals[1 : dimensions + 2] / totals[0]
    rounding = 1e-12 * (1 + float(np.trace(covariance) + (means**2).sum()))
    keep = values > max(1e-10 * values[-1], rounding)
    if not keep.any():
        return np.full(dimensions, 1 / dimensions)
    root = (vectors[:, keep] * np.sqrt(values[keep])).T
    slopes, _ = nnls(root, (vectors[:, keep] / np.sqrt(values[keep])).T @ target)
    total = slopes.sum()
    return np.asarray(slopes / total if total > 0 else np.full(dimensions, 1 / dimensions))
