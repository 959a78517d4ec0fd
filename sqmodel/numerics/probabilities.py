"""How true probabilities are: Brier score and its parts, calibration slope and intercept; arrays only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from scipy.special import expit, logit

from sqmodel.numerics.proportions import Distance, jeffreys_interval, weighted_squares

Array = npt.NDArray[np.float64]

PROFILE = "profile likelihood"


class Brier(NamedTuple):
    """Murphy's (1973) parts of the Brier score of grouped probabilities.

    score = reliability - resolution + uncertainty + within, where `within` is what the classes leave out (Stephenson,
    Coelho and Jolliffe 2008); zero where all probabilities of a class are equal.
    """

    score: float
    reliability: Distance
    resolution: Distance
    uncertainty: float
    uncertainty_low: float
    uncertainty_high: float
    within: float


def brier_parts(probability: npt.ArrayLike, event: npt.ArrayLike, group: npt.ArrayLike, level: float = 0.95) -> Brier:
    """Brier score and its parts by class.

    Parameters
    ----------
    probability : (n,) array
    event : (n,) array of 0 and 1
    group : (n,) array of int
        Class of each case, 0..k-1.

    Notes
    -----
    The plain reliability and resolution contain chance; `Distance.noise` is its expectation (with which Ferro and
    Fricker 2012 correct them), and the intervals are those of the true values: noncentral chi-square with the first
    two moments of the sum.
    """
    p, y, g = np.asarray(probability, float), np.asarray(event, float), np.asarray(group, np.intp)
    n = len(y)
    size = np.bincount(g)
    used = size > 0
    nk = size[used].astype(float)
    rate, said = (np.bincount(g, weights=v)[used] / nk for v in (y, p))
    mean = float(y.mean())
    spread = np.maximum(nk * rate + 0.5, 0.5) / (nk + 1)
    variance = spread * (1 - spread) / nk
    reliability = weighted_squares(said - rate, variance, nk, level=level)
    resolution = weighted_squares(rate - mean, variance, nk, centred=True, level=level)
    low, high = (float(v) for v in jeffreys_interval(y.sum(), n, level))
    ends = [low * (1 - low), high * (1 - high)]
    score = float(((p - y) ** 2).mean())
    uncertainty = mean * (1 - mean)
    within = score - (reliability.value - resolution.value + uncertainty)
    top = 0.25 if low <= 0.5 <= high else max(ends)
    return Brier(score, reliability, resolution, uncertainty, min(ends), top, within)


class Logistic(NamedTuple):
    """One coefficient of a logistic regression with its profile-likelihood interval."""

    estimate: float
    se: float
    low: float
    high: float


def calibration_line(
    probability: npt.ArrayLike, event: npt.ArrayLike, level: float = 0.95
) -> tuple[Logistic, Logistic]:
    """Calibration in the large and slope (Cox 1958): logit P(event) = a + logit(p), and = a + b logit(p).

    Parameters
    ----------
    probability : (n,) array strictly between 0 and 1
    event : (n,) array of 0 and 1

    Returns
    -------
    intercept, slope : Logistic
        0 and 1 where the probabilities are true; NaN where the likelihood has no maximum (all or no events, or the
        score separates them).
    """
    x, y = logit(np.asarray(probability, float)), np.asarray(event, float)
    if not len(y):
        return (Logistic(math.nan, math.nan, math.nan, math.nan),) * 2
    ones = np.ones(len(y))
    intercept = _profiled(ones, np.empty((len(y), 0)), x, y, level)
    flat = np.ptp(x) < 1e-12
    separated = not flat and (x[y == 1].min(initial=np.inf) >= x[y == 0].max(initial=-np.inf) or (
        x[y == 1].max(initial=-np.inf) <= x[y == 0].min(initial=np.inf)))  # fmt: skip
    nan = Logistic(math.nan, math.nan, math.nan, math.nan)
    slope = nan if flat or separated else _profiled(x, ones[:, None], np.zeros(len(y)), y, level)
    return intercept, slope


def _profiled(x: Array, others: Array, offset: Array, y: Array, level: float) -> Logistic:
    """Coefficient of x beside `others` with bounds where twice the loglikelihood falls by the chi-square quantile."""
    if y.min() == y.max():
        return Logistic(math.nan, math.nan, math.nan, math.nan)
    full = np.column_stack([x, others])
    beta, _ = _fit(full, offset, y)
    eta = offset + full @ beta
    information = (full * (expit(eta) * expit(-eta))[:, None]).T @ full
    se = math.sqrt(float(np.linalg.inv(information)[0, 0]))
    best = _loglik(eta, y)
    limit = float(stats.chi2.ppf(level, 1)) / 2
    start = beta[1:]

    def drop(b: float) -> float:
        moved = offset + b * x
        if others.shape[1]:
            own, _ = _fit(others, moved, y, start)
            moved = moved + others @ own
        return best - _loglik(moved, y) - limit

    bounds = []
    for sign in (-1, 1):
        step = 2 * se
        while drop(beta[0] + sign * step) < 0 and step < 1e4 * se:
            step *= 1.5
        bounds.append(float(optimize.brentq(drop, beta[0], beta[0] + sign * step, xtol=1e-9)))
    return Logistic(float(beta[0]), se, bounds[0], bounds[1])


def _loglik(eta: Array, y: Array) -> float:
    return float((y * eta - np.logaddexp(0, eta)).sum())


def _fit(x: Array, offset: Array, y: Array, start: Array | None = None) -> tuple[Array, float]:
    """Newton's method with halved steps."""
    beta = np.zeros(x.shape[1]) if start is None else np.array(start)
    value = _loglik(offset + x @ beta, y)
    for _ in range(100):
        eta = offset + x @ beta
        chance = expit(eta)
        slope = x.T @ (y - chance)
        step = np.linalg.solve((x * (chance * (1 - chance) + 1e-12)[:, None]).T @ x, slope)
        scale, new = 1.0, -math.inf
        while scale > 1e-8:
            new = _loglik(offset + x @ (beta + scale * step), y)
            if new >= value - 1e-12 * abs(value):
                break
            scale /= 2
        beta, gain, value = beta + scale * step, new - value, new
        if np.abs(scale * step).max() < 1e-10 or (abs(gain) < 1e-13 * abs(value) and np.abs(slope).max() < 1e-7):
            break
    return beta, value


def spiegelhalter(probability: npt.ArrayLike, event: npt.ArrayLike) -> tuple[float, float]:
    """Spiegelhalter's (1986) z, and its two-sided p-value, of the hypothesis that the probabilities are true."""
    p, y = np.asarray(probability, float), np.asarray(event, float)
    variance = float(((1 - 2 * p) ** 2 * p * (1 - p)).sum())
    if variance <= 0:
        return math.nan, math.nan
    z = float(((y - p) * (1 - 2 * p)).sum()) / math.sqrt(variance)
    return z, float(2 * stats.norm.sf(abs(z)))
