"""How much does each dimension count? Weights that sum to one, each with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, HeywoodWarning, InputError
from sqmodel.index.columns import Columns, Part, constant
from sqmodel.index.weight_methods import Derived, check_sample, doubts_about, sample_for, weights_from
from sqmodel.index.weight_methods import allocation_parts as allocation_parts
from sqmodel.index.weight_methods import outcome_percent as outcome_percent
from sqmodel.index.weight_methods import overall_satisfaction as overall_satisfaction
from sqmodel.measurement.measure import Measure
from sqmodel.numerics.derived_weights import share_bounds
from sqmodel.numerics.resampling import resample_counts
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Method = Literal[
    "equal", "allocation", "regression", "given", "shapley", "relative", "loadings", "component", "entropy", "critic"
]
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
    doubts : DataFrame
        dimension, doubt: a direction that is not sure and that a weight cannot show, an improper solution, draws
        that have no weights.
    """

    method: str
    n: int
    table: pd.DataFrame
    interval_method: str
    settings: dict[str, Any] = field(default_factory=dict)
    doubts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["dimension", "doubt"]))

    def _headline(self) -> str:
        shown = ", ".join(f"{code} {weight:.2f}" for code, weight in self.table["weight"].items())
        doubt = f"; {len(self.doubts)} doubt{'' if len(self.doubts) == 1 else 's'}" if len(self.doubts) else ""
        return f"{self.method}, n={self.n}: {shown}{doubt}"


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
    method : str
        equal: 1/D each.
        allocation: mean share of the points that clients gave to each dimension.
        regression: non-negative least squares of overall satisfaction on the dimension scores.
        shapley, relative: shares of the R squared of that regression, averaged over all orders of entering (LMG), or
        by Johnson's relative weights.
        loadings, component: squared loadings of the dimensions' correlations on one common factor (minres), or on
        the first principal component (the squared loadings of Nicoletti, Scarpetta & Boylaud 2000); two dimensions
        have no identified factor and count the same.
        entropy: how unevenly each dimension's total is spread over respondents (Theil's index).
        critic: standard deviation times the conflict with the other dimensions.
        given: the weights of an expert panel or an association, passed as `given`.
        All are scaled to sum one.
    given : mapping, optional
        Dimension to weight, with ``method="given"``; scaled to sum one.
    level, draws, rng
        Of the intervals: studentised bootstrap for allocation, percentile bootstrap for regression (whose weights
        are cut at zero); equal and given weights are constants; the others have Student's t on the logit with the
        bootstrap's standard error (`share_bounds`).

    Returns
    -------
    Weights

    Raises
    ------
    ComputationError
        The answers lack what the method needs, or a dimension loads negatively: no weight could say so.
    InputError
        Given weights with unknown or missing dimensions, or a negative one.

    Notes
    -----
    Scores lie on 0-100 by the ends of their scales. CRITIC takes those ends in place of the sample's least and largest
    score, which depend on single respondents; where every dimension's scores reach both ends it is that of
    Diakoulaki et al. (1995).

    References
    ----------
    Groemping, U. (2006). Journal of Statistical Software 17(1). Johnson, J. W. (2000). Multivariate Behavioral
    Research 35, 1-19. Nicoletti, G., Scarpetta, S. & Boylaud, O. (2000). OECD Economics Department Working Papers 226.
    Diakoulaki, D., Mavrotas, G. & Papayannakis, L. (1995). Computers & Operations Research 22, 763-770.
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
    return _derived(measure, method, settings, rng)


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


def _derived(measure: Measure, method: Derived, settings: dict[str, Any], rng: np.random.Generator | int) -> Weights:
    sample = sample_for(measure, method)
    check_sample(sample, method)
    level, draws, k = settings["level"], settings["draws"], len(sample.codes)
    columns = sample.columns
    one_stratum = np.zeros(len(columns), dtype=np.intp)
    totals = np.concatenate([c @ columns for c in resample_counts(one_stratum, draws, np.random.default_rng(rng))])
    values, drawn = (weights_from(t, method, k) for t in (columns.sum(axis=0), totals))
    low, high = weight_bounds(method, values, drawn, len(columns), level)
    doubts = doubts_about(sample, method, totals, level)
    improper = doubts.loc[doubts["doubt"].str.startswith("improper"), "dimension"]
    if len(improper):
        warnings.warn(f"weighting by {method}: Heywood case of {', '.join(improper)}", HeywoodWarning, stacklevel=3)
    table = _table(sample.codes, values, low, high)
    return Weights(method, len(columns), table, interval_name(method, draws), settings, doubts)


def weight_bounds(method: str, values: Array, drawn: Array, n: int, level: float) -> tuple[Array, Array]:
    """Interval of derived weights: percentiles for regression, whose weights are cut at zero; else `share_bounds`."""
    if method == "regression":
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high
    return share_bounds(values, drawn, n, level=level)


def interval_name(method: str, draws: int) -> str:
    """Name of the interval of derived weights."""
    if method == "regression":
        return f"percentile bootstrap, {draws} draws"
    return f"bootstrap standard error on the logit, Student's t, {draws} draws"
