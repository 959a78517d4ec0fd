"""Estimates with known standard errors as draws from a population: its mean, its spread, and each unit drawn to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Method = Literal["reml", "paule_mandel", "dersimonian_laird"]
_GRID = 48
"""Points at which the restricted likelihood is looked at before its best one is refined."""


@dataclass(frozen=True)
class Pooled:
    """A population of units.

    Attributes
    ----------
    n : int
        Units.
    df : int
        Units less coefficients.
    coefficients, se, low, high : ndarray, shape (terms,)
        The mean first, then one a covariate; Knapp and Hartung's standard errors and intervals.
    cov : ndarray, shape (terms, terms)
        Of the coefficients, before Knapp and Hartung's factor.
    factor : float
        Their factor of the variances, never below 1.
    tau2, tau2_low, tau2_high : float
        Variance between units beyond the covariates, with the interval of the Q-profile.
    q, pvalue : float
        Cochran's Q, and its chance where all units are equal.
    i2 : float
        Share of the variance of the estimates that is between units.
    weights : ndarray, shape (units,)
        1 / (se**2 + tau2), summing to one.
    shrinkage : ndarray, shape (units,)
        By which share each estimate is drawn to what is fitted.
    shrunken, shrunken_se, shrunken_low, shrunken_high : ndarray, shape (units,)
    """

    n: int
    df: int
    coefficients: Floats
    se: Floats
    low: Floats
    high: Floats
    cov: Floats
    factor: float
    tau2: float
    tau2_low: float
    tau2_high: float
    q: float
    pvalue: float
    i2: float
    weights: Floats
    shrinkage: Floats
    shrunken: Floats
    shrunken_se: Floats
    shrunken_low: Floats
    shrunken_high: Floats

    @property
    def mean(self) -> float:
        """The population's mean, covariates at zero."""
        return float(self.coefficients[0])


def pool_effects(
    estimates: npt.ArrayLike,
    errors: npt.ArrayLike,
    *,
    covariates: npt.ArrayLike | None = None,
    method: Method = "reml",
    level: float = 0.95,
) -> Pooled:
    """What do units have in common, how much do they differ, and what is best believed of each?

    Parameters
    ----------
    estimates : array_like, shape (units,)
    errors : array_like, shape (units,)
        Standard errors, taken as known.
    covariates : array_like, shape (units, covariates), optional
        Meta-regression; centre them, so that the mean is that of an average unit.
    method : {"reml", "paule_mandel", "dersimonian_laird"}
        Of the variance between units.
    level : float

    Returns
    -------
    Pooled

    Raises
    ------
    ComputationError
        Values that are missing, errors not above zero, covariates that determine each other, or no more units than
        coefficients.

    Notes
    -----
    estimate ~ Normal(theta, se**2), theta ~ Normal(x'b, tau2).

    Intervals of coefficients are those of Knapp and Hartung (2003): t with n - p degrees of freedom, the variance
    multiplied by the generalised Q over its degrees of freedom, yet never by less than 1 (Roever, Knapp & Friede 2015;
    ``metafor`` in R calls it "adhoc"). The interval of tau2 is the Q-profile's (Viechtbauer 2007). I2 is tau2 over
    tau2 plus the typical sampling variance, as in metafor; with DerSimonian and Laird's tau2 it is (Q - df) / Q. Where
    a further unit lies says `sqmodel.numerics.prediction.prediction_interval`.

    Effects are drawn to what is fitted by Morris' (1983) empirical Bayes: by B = (df - 2) / df * se**2 / (se**2 + tau2)
    (James and Stein's where the errors are equal), none with two degrees of freedom or fewer. Their variance,
    se**2 (1 - (n - p) / n B) + 2 / (df - 2) B**2 (mean se**2 + tau2) / (se**2 + tau2) (estimate - fitted)**2, counts
    that coefficients and tau2 are estimated; (n - p) / n is one less the unit's own leverage where weights differ.

    References
    ----------
    Morris, C. N. (1983). Parametric empirical Bayes inference. Journal of the American Statistical Association 78.
    Knapp, G. & Hartung, J. (2003). Improved tests for a random effects meta-regression. Statistics in Medicine 22.
    Viechtbauer, W. (2007). Confidence intervals for the amount of heterogeneity. Statistics in Medicine 26.

    Examples
    --------
    >>> found = pool_effects([28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18])
    >>> round(found.mean, 3), round(float(found.se[0]), 3), found.tau2
    (7.686, 4.072, 0.0)
    """
    y, v, x = _checked(estimates, errors, covariates, method)
    n, p = x.shape
    df = n - p
    tau2 = _spread(y, v, x, method)
    fit = _fitted(y, v, x, tau2)
    factor = max(1.0, fit.q / df)
    t = stats.t.ppf((1 + level) / 2, df)
    se = np.sqrt(np.diag(fit.cov) * factor)
    plain = _fitted(y, v, x, 0.0)
    typical = df / plain.trace
    tau2_low, tau2_high = _q_profile(y, v, x, level)
    shrinkage, shrunken, own = _shrunken(y, v, tau2, fit, df)
    z = stats.norm.ppf((1 + level) / 2)
    return Pooled(
        n=n, df=df, coefficients=fit.b, se=se, low=fit.b - t * se, high=fit.b + t * se, cov=fit.cov, factor=factor,
        tau2=tau2, tau2_low=tau2_low, tau2_high=tau2_high, q=plain.q, pvalue=float(stats.chi2.sf(plain.q, df)),
        i2=tau2 / (tau2 + typical),
        weights=fit.w / fit.w.sum(), shrinkage=shrinkage, shrunken=shrunken, shrunken_se=own,
        shrunken_low=shrunken - z * own, shrunken_high=shrunken + z * own,
    )  # fmt: skip


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares at a tau2."""

    w: Floats
    b: Floats
    cov: Floats
    fitted: Floats
    leverage: Floats
    q: float
    trace: float
    trace2: float
    """Of P and of P P, where P = W - W X cov X' W."""
    square: float
    """(P y)'(P y)."""


def _fitted(y: Floats, v: Floats, x: Floats, tau2: float) -> _Fit:
    w = 1 / (v + tau2)
    wx = w[:, None] * x
    cov = np.asarray(np.linalg.inv(x.T @ wx), dtype=np.float64)
    b: Floats = cov @ (wx.T @ y)
    fitted = x @ b
    rest = w * (y - fitted)
    half = wx @ cov
    leverage: Floats = np.asarray((half * x).sum(axis=1))
    inner = cov @ (wx.T @ wx)
    trace = w.sum() - np.trace(inner)
    trace2 = (w * w).sum() - 2 * np.trace(cov @ (x.T @ (w[:, None] ** 3 * x))) + np.trace(inner @ inner)
    return _Fit(
        w, b, cov, fitted, leverage, float(rest @ (y - fitted)), float(trace), float(trace2), float(rest @ rest)
    )


def _spread(y: Floats, v: Floats, x: Floats, method: Method) -> float:
    """Variance between units."""
    df = len(y) - x.shape[1]
    plain = _fitted(y, v, x, 0.0)
    if method == "dersimonian_laird":
        return float(max(0.0, (plain.q - df) / plain.trace))
    if method == "paule_mandel":
        return _root_of_q(y, v, x, df)
    return _reml(y, v, x)


def _root_of_q(y: Floats, v: Floats, x: Floats, target: float) -> float:
    """The tau2 at which the generalised Q, which falls with it, is so large; 0 where it is smaller from the start."""

    def excess(tau2: float) -> float:
        return _fitted(y, v, x, tau2).q - target

    if target <= 0 or excess(0.0) <= 0:
        return 0.0
    top = float(np.var(y)) + float(v.max())
    while excess(top) > 0:
        top *= 4
    return float(brentq(excess, 0.0, top, xtol=1e-12 * top, rtol=1e-13))


def _reml(y: Floats, v: Floats, x: Floats) -> float:
    """Where the restricted likelihood is largest: a grid finds the place, the root of its slope the value."""
    top = 4 * max(float(np.var(y)), float(np.median(v)))

    def slope(tau2: float) -> float:
        fit = _fitted(y, v, x, tau2)
        return fit.square - fit.trace

    def height(tau2: float) -> float:
        fit = _fitted(y, v, x, tau2)
        return float(np.log(fit.w).sum() + np.linalg.slogdet(fit.cov)[1] - fit.q)

    grid = np.concatenate([[0.0], np.geomspace(top * 1e-6, top, _GRID - 1)])
    while slope(grid[-1]) > 0:
        grid = np.append(grid, grid[-1] * 4)
    best = int(np.argmax([height(t) for t in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if slope(low) <= 0:
        return float(low)
    return _rooted(slope, low, high)


def _rooted(slope: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(slope, low, high, xtol=1e-12 * max(high, 1e-300), rtol=1e-13))


def _q_profile(y: Floats, v: Floats, x: Floats, level: float) -> tuple[float, float]:
    df = len(y) - x.shape[1]
    low, high = (_root_of_q(y, v, x, float(stats.chi2.ppf(q, df))) for q in ((1 + level) / 2, (1 - level) / 2))
    return low, high


def _shrunken(y: Floats, v: Floats, tau2: float, fit: _Fit, df: int) -> tuple[Floats, Floats, Floats]:
    """Shrinkage, shrunken effects and their standard errors, as Morris has them."""
    total = v + tau2
    if df <= 2:
        return np.zeros(len(y)), y.copy(), np.sqrt(v)
    by = (df - 2) / df * v / total
    rest = y - fit.fitted
    typical = float((fit.w * v).sum() / fit.w.sum())
    variance = v * (1 - (1 - fit.leverage) * by)
    variance += 2 / (df - 2) * by**2 * (typical + tau2) / total * rest**2
    return by, y - by * rest, np.sqrt(variance)


def _checked(
    estimates: npt.ArrayLike, errors: npt.ArrayLike, covariates: npt.ArrayLike | None, method: str
) -> tuple[Floats, Floats, Floats]:
    y, se = np.asarray(estimates, float), np.asarray(errors, float)
    if y.ndim != 1 or y.shape != se.shape:
        raise ComputationError(f"effects: expected an error for every estimate, found {se.shape} for {y.shape}")
    ones = np.ones((len(y), 1))
    x = ones if covariates is None else np.column_stack([ones, np.asarray(covariates, float)])
    problems = []
    if method not in get_args(Method):
        problems.append(f"method one of {', '.join(get_args(Method))}, found {method!r}")
    if not (np.isfinite(y).all() and np.isfinite(se).all() and np.isfinite(x).all()):
        problems.append("finite estimates, errors and covariates, found others")
    elif not (se > 0).all():
        problems.append(f"errors above 0, found {int((se <= 0).sum())} others")
    if len(y) <= x.shape[1]:
        problems.append(f"more units than coefficients, found {len(y)} and {x.shape[1]}")
    elif not problems and np.linalg.matrix_rank(x) < x.shape[1]:
        problems.append("covariates that do not determine each other, found some that do")
    if problems:
        raise ComputationError("effects: expected " + "; ".join(problems))
    return y, se**2, x
