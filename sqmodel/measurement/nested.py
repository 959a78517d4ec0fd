"""Is a model with more constraints worse than the one without them? Difference tests of nested models."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.linalg import null_space

from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import Confirmation, Fitted
from sqmodel.numerics.sem import robust
from sqmodel.numerics.sem.likelihood import middle_and_trace, saturated_trace
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Patterns
from sqmodel.numerics.sem.solve import information_of

Floats = npt.NDArray[np.float64]


class Difference(NamedTuple):
    """A test of the constraints.

    Attributes
    ----------
    chisq : float
        Of the difference, scaled where the fits are robust.
    df : int
    pvalue : float
    method : str
    """

    chisq: float
    df: int
    pvalue: float
    method: str


def difference_test(constrained: Confirmation, general: Confirmation) -> Difference:
    """Do the constraints cost more fit than chance?

    Plain for ML, and where one of the models has too many parameters for robust statistics; Satorra & Bentler (2001),
    or where its scaling is negative (2010), for MLR and MLM; Satorra (2000), scaled and shifted, for WLSMV and ULSMV:
    lavaan's ``lavTestLRT`` with its defaults (``A.method = "delta"``). Scaled statistics are never subtracted from each
    other. Where the models have different factors, so that the 2010 form does not exist, a negative scaling gives way
    to the constrained model's own.

    Parameters
    ----------
    constrained, general : Confirmation
        The first nested in the second, fitted to the same answers by the same estimator.

    Raises
    ------
    ComputationError
        As many or fewer degrees of freedom in the constrained model: then nothing was constrained.
    """
    if constrained.settings["estimator"] != general.settings["estimator"] or constrained.n != general.n:
        raise ComputationError(
            "expected two fits to the same answers by the same estimator, found "
            f"{constrained.settings['estimator']} with n={constrained.n} and "
            f"{general.settings['estimator']} with n={general.n}"
        )
    df0, df1 = int(constrained.fit["df"]), int(general.fit["df"])
    m = df0 - df1
    if m <= 0:
        raise ComputationError(
            f"expected more degrees of freedom in the constrained model, found {df0} against {df1}: "
            "the constraints are not there, or the models are not nested"
        )
    plain = constrained.fit["chisq"] - general.fit["chisq"]
    if "chisq.scaled" not in constrained.fit or (df1 and "chisq.scaled" not in general.fit):
        # Of more parameters than one matrix holds there is no scaling, and one scaled statistic alone is none.
        return _difference(plain, m, "chi-square difference")
    if constrained.settings["ordered"]:
        return _satorra_2000(constrained.internal, general.internal, plain, m)
    scale0, scale1 = constrained.fit["chisq.scaling.factor"], general.fit.get("chisq.scaling.factor", 1.0)
    scale = (df0 * scale0 - df1 * scale1) / m
    if scale > 0:
        return _difference(plain / scale, m, "Satorra-Bentler 2001")
    if constrained.internal.table.factors != general.internal.table.factors:
        # The general model cannot be taken at estimates that lack one of its factors.
        return _difference(plain / scale0, m, "difference over the constrained model's scaling")
    middle = scaling_at(general.internal, constrained.internal) * df1 if df1 else 0.0
    scale = (df0 * scale0 - middle) / m
    return _difference(plain / scale, m, "Satorra-Bentler 2010")


def _difference(chisq: float, df: int, method: str) -> Difference:
    return Difference(float(chisq), df, float(stats.chi2.sf(max(chisq, 0.0), df)), method)


def _satorra_2000(constrained: Fitted, general: Fitted, plain: float, m: int) -> Difference:
    """Mean and variance of the difference from the derivatives of both models."""
    gammas = general.estimated.gammas
    one = _stacked(general, gammas)
    zero = _stacked(constrained, gammas)
    restriction = null_space((np.linalg.pinv(one.slope) @ zero.slope).T).T
    weighted = one.weight[:, None] * one.slope
    inverse = np.linalg.inv(one.slope.T @ weighted)
    spread = restriction @ inverse @ restriction.T
    projection = inverse @ restriction.T @ np.linalg.pinv(spread, hermitian=True) @ restriction @ inverse
    product = weighted @ projection @ weighted.T @ one.gamma
    first, second = float(np.trace(product)), float(np.sum(product * product.T))
    slope = math.sqrt(m / second)
    return _difference(plain * slope + m - slope * first, m, "Satorra 2000, scaled and shifted")


def _stacked(fitted: Fitted, gammas: list[Floats]) -> robust.Moments:
    estimated = fitted.estimated
    samples = [s for s in estimated.samples if isinstance(s, LeastSquares)]
    return robust.stacked(estimated.blocks, estimated.solution.theta, samples, gammas)


def scaling_at(general: Fitted, constrained: Fitted) -> float:
    """Scaling factor of the general model, taken at the constrained model's estimates (Satorra & Bentler 2010)."""
    values = {}
    at = constrained.estimated.solution.theta
    for c in constrained.table.cells:
        values[(c.group, c.lhs, c.op, c.rhs)] = at[c.free] if c.free >= 0 else c.value
    theta = general.estimated.solution.theta.copy()
    for c in general.table.cells:
        if c.free >= 0:
            theta[c.free] = values.get((c.group, c.lhs, c.op, c.rhs), 0.0)
    estimated = general.estimated
    observed = general.estimator == "MLR"
    information = information_of(estimated.blocks, estimated.samples, theta, observed=observed).dense
    assert information is not None
    inverse = np.asarray(np.linalg.pinv(information, hermitian=True), dtype=float)
    samples = [x for x in estimated.samples if isinstance(x, Normal | Patterns)]
    answers = general.moments.answers
    free = saturated_trace(estimated.blocks, answers, samples) if observed else 0.0
    _, trace = middle_and_trace(estimated.blocks, theta, answers, samples, inverse, general.estimator, free)
    return trace / float(estimated.fit["df"])
