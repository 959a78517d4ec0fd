"""Chance of an event within a horizon, with cases that were not watched to its end; arrays only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sqmodel.numerics.proportions import wilson_interval

Array = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """Kaplan-Meier's survival at the distinct times of events, with the sums its standard error needs.

    `left` are those at risk who had no event, `spread` is the running sum of hazard over them.
    """

    times: Array
    survival: Array
    left: Array
    spread: Array


def kaplan_meier(time: npt.ArrayLike, event: npt.ArrayLike, entry: npt.ArrayLike | None = None) -> Curve:
    """Kaplan-Meier's estimate; a case censored at an event's time was still at risk, one that enters then was not.

    Examples
    --------
    >>> kaplan_meier([1, 2, 3, 4], [True, False, True, True]).survival.tolist()
    [0.75, 0.375, 0.0]
    """
    t, d = np.asarray(time, float), np.asarray(event, bool)
    times, counts = np.unique(t[d], return_counts=True)
    at_risk = _at_risk(t, entry, times)
    hazard = counts / at_risk
    # Where everybody had the event survival is 0, and so is every weight that what follows has.
    left = np.maximum(at_risk - counts, 1.0)
    return Curve(times, np.asarray(np.cumprod(1 - hazard), float), left, np.asarray(np.cumsum(hazard / left), float))


def _at_risk(t: Array, entry: npt.ArrayLike | None, times: Array) -> Array:
    left = np.searchsorted(np.sort(t), times, side="left")
    if entry is None:
        return np.asarray(len(t) - left, float)
    return np.asarray(np.searchsorted(np.sort(np.asarray(entry, float)), times, side="left") - left, float)


def _at(curve: Curve, values: Array, when: Array, start: float) -> Array:
    return np.concatenate([[start], values])[np.searchsorted(curve.times, when, side="right")]


class Chance(NamedTuple):
    """A chance of an event within a horizon, and what each case contributes to its error (n,)."""

    value: float
    influence: Array


def chance_within(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    begin: npt.ArrayLike,
    horizon: float,
    entry: npt.ArrayLike | None = None,
) -> Chance:
    """Mean chance, over ages `begin`, of an event within the next `horizon` for a case still at risk then.

    Parameters
    ----------
    time, event : (n,) array
        Age at the end of observation, and whether an event ended it.
    begin : (m,) array
        Ages from which the horizon is counted.
    horizon : float
    entry : (n,) array, optional
        Age from which a case was watched.

    Notes
    -----
    1 - S(a + h) / S(a) by Kaplan-Meier, averaged. The influence of a case is the derivative by its weight (the
    infinitesimal jackknife; asymptotically the martingale integral of Andersen, Borgan, Gill and Keiding 1993, section
    IV.3); the standard error is the root of the sum of its squares. Without censoring that is the binomial one.
    """
    t, d, a = np.asarray(time, float), np.asarray(event, bool), np.asarray(begin, float)
    curve = kaplan_meier(t, d, entry)
    survived, until = _at(curve, curve.survival, a, 1.0), _at(curve, curve.survival, a + horizon, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.where(survived > 0, until / survived, np.nan)
    known = ~np.isnan(kept)
    a, kept = a[known], kept[known]
    if not len(a):
        return Chance(math.nan, np.full(len(t), math.nan))
    left = np.append(curve.left, 1.0)[np.searchsorted(curve.times, t, side="left")]
    jump = np.where(d, (_before(a, kept, t) - _before(a + horizon, kept, t)) / left, 0.0)
    drift = _integral(curve, a + horizon, kept, t) - _integral(curve, a, kept, t)
    if entry is not None:
        e = np.asarray(entry, float)
        drift -= _integral(curve, a + horizon, kept, e) - _integral(curve, a, kept, e)
    return Chance(float(1 - kept.mean()), (jump - drift) / len(a))


def _before(points: Array, weights: Array, t: Array) -> Array:
    """Sum of the weights of points before t."""
    order = np.argsort(points)
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    return np.asarray(total[np.searchsorted(points[order], t, side="left")])


def _integral(curve: Curve, points: Array, weights: Array, t: Array) -> Array:
    """Sum over points of weight times the spread up to the earlier of the point and t."""
    own = _at(curve, curve.spread, points, 0.0)
    later = weights.sum() - _before(points, weights, t)
    return np.asarray(_before(points, weights * own, t) + _at(curve, curve.spread, t, 0.0) * later)


def effective_share(value: float, variance: float, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """Wilson's interval with the number of cases that would give a share this variance (Rothman 1978).

    Returns
    -------
    low, high, size : float
        `size` is the effective number: `n` where the share is 0 or 1, or does not vary.
    """
    size = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(n)
    low, high = wilson_interval(value, size, level)
    return float(low), float(high), size


class Lift(NamedTuple):
    """How many times the base rate a precision is."""

    value: float
    low: float
    high: float
    pvalue: float


def lift_interval(value: float, base: float, variance: float, n: int, level: float = 0.95) -> Lift:
    """Ratio of a share to a base rate.

    Parameters
    ----------
    value, base : float
    variance : float
        Of log(value / base), with the errors of both; ignored where the value is 0.
    n : int
        Cases of which the value is a share, where it is 0.

    Notes
    -----
    Wilson's bounds for the share, with the effective number of cases that gives the ratio this variance, divided by
    the base rate; the p-value, two-sided, inverts them. Bounds from the standard error of a logarithm fail with the
    few hits that alerts have, and are absent with none.
    """
    if not base > 0 or n == 0 or math.isnan(value):
        return Lift(math.nan, math.nan, math.nan, math.nan)
    low, high, size = effective_share(value, value**2 * variance, n, level)
    z = (value - base) / math.sqrt(base * (1 - base) / size) if base < 1 else 0.0
    return Lift(value / base, low / base, high / base, float(2 * stats.norm.sf(abs(z))))


def detectable_lift(base: float, n: float, power: float = 0.8, level: float = 0.95) -> float:
    """Smallest lift above 1 that `n` cases show with this power, by the normal approximation; NaN where none does."""
    if not (0 < base < 1) or n <= 0:
        return math.nan
    z, own = float(stats.norm.ppf((1 + level) / 2)), float(stats.norm.ppf(power))

    def short(share: float) -> float:
        needed = z * math.sqrt(base * (1 - base) / n) + own * math.sqrt(share * (1 - share) / n)
        return share - base - needed

    if short(1 - 1e-9) < 0:
        return math.nan
    return float(optimize.brentq(short, base, 1 - 1e-9)) / base
