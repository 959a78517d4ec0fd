"""Intervals of shares, medians and squared distances between distributions; arrays only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Array = npt.NDArray[np.float64]


class Bounds(NamedTuple):
    """An estimate, its standard error and its interval; arrays or floats alike."""

    estimate: Array
    se: Array
    low: Array
    high: Array


class Distance(NamedTuple):
    """A squared distance between two distributions with what chance alone would give."""

    value: float
    noise: float
    low: float
    high: float
    statistic: float
    df: float
    pvalue: float


def jeffreys_interval(hits: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Jeffreys interval of a share (Brown, Cai and DasGupta 2001): 0 below no hits, 1 above nothing but hits.

    NaN where n is 0. Hits may be fractions of a case.

    Examples
    --------
    >>> low, high = jeffreys_interval(0, 20)
    >>> float(low), round(float(high), 4)
    (0.0, 0.1166)
    """
    x, size = np.broadcast_arrays(np.asarray(hits, float), np.asarray(n, float))
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = stats.beta.ppf(tail, x + 0.5, size - x + 0.5)
        high = stats.beta.ppf(1 - tail, x + 0.5, size - x + 0.5)
    none = size <= 0
    low = np.where(none, np.nan, np.where(x <= 0, 0.0, low))
    return low, np.where(none, np.nan, np.where(x >= size, 1.0, high))


def wilson_interval(share: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson's score interval (1927) of a share of n cases; NaN where n is 0.

    `n` may be an effective number of cases, as Rothman (1978) proposed for the Kaplan-Meier estimate.

    Examples
    --------
    >>> low, high = wilson_interval(0.2, 50)
    >>> round(float(low), 4), round(float(high), 4)
    (0.1124, 0.3304)
    """
    p, size = np.broadcast_arrays(np.asarray(share, float), np.asarray(n, float))
    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (p + z2 / (2 * size)) / (1 + z2 / size)
        half = np.sqrt(z2) / (1 + z2 / size) * np.sqrt(p * (1 - p) / size + z2 / (4 * size**2))
    none = ~(size > 0)
    return np.where(none, np.nan, np.maximum(centre - half, 0)), np.where(none, np.nan, np.minimum(centre + half, 1))


def median_interval(values: npt.ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Median with Nyblom's (1992) interpolated order statistics; infinite values (never happened) are allowed.

    Returns
    -------
    median, low, high : float
        Bounds are NaN with fewer values than the level needs (six for 95 %).

    Notes
    -----
    Order statistics alone cover more than asked for; interpolation between two of them comes close to the level for
    any continuous distribution.

    Examples
    --------
    >>> median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9])[0]
    5.0
    """
    x = np.sort(np.asarray(values, float))
    n = len(x)
    if n == 0:
        return math.nan, math.nan, math.nan
    with np.errstate(invalid="ignore"):
        middle = float(x[(n - 1) // 2]) if np.isinf(x[n // 2]) else float(np.median(x))
    if np.isinf(x[n // 2]):
        middle = float(x[n // 2])
    tail = (1 - level) / 2
    r = int(stats.binom.ppf(tail, n, 0.5))
    r -= int(stats.binom.cdf(r, n, 0.5) > tail)
    if r < 0:
        return middle, math.nan, math.nan
    # P(X_(r+1) > median) <= tail < P(X_(r+2) > median), positions counted from one.
    outer, inner = float(stats.binom.cdf(r, n, 0.5)), float(stats.binom.cdf(r + 1, n, 0.5))
    gain = (inner - tail) / (inner - outer)
    weight = gain / (gain + (tail - outer) / (inner - outer) * (r + 1) / (n - r - 1)) if gain < 1 else 1.0
    low = _between(x[r], x[r + 1], weight)
    return middle, low, _between(x[n - 1 - r], x[n - 2 - r], weight)


def _between(outer: float, inner: float, weight: float) -> float:
    if outer == inner or weight == 1:
        return float(outer)
    return float(weight * outer + (1 - weight) * inner)


def noncentral_interval(value: float, noise: float, unit: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a squared distance whose estimate is `unit` times a noncentral chi-square.

    Parameters
    ----------
    value : float
        The estimate, chance included.
    noise : float
        Its expectation where the true distance is zero: `unit` times the degrees of freedom.
    unit : float
        A quarter of the estimate's variance per unit of true distance.
    level : float

    Notes
    -----
    The noncentralities are found of which the observed value is the upper or lower tail (as Steiger and Fouladi 1997
    do for R2 and RMSEA); zero where no noncentrality makes it one.
    """
    x, df, tail = value / unit, noise / unit, (1 - level) / 2
    bounds = []
    for share in (1 - tail, tail):
        if stats.chi2.cdf(x, df) <= share:
            bounds.append(0.0)
            continue
        top = max(4.0, 4 * x)
        while stats.ncx2.cdf(x, df, top) > share:
            top *= 2
        bounds.append(float(optimize.brentq(lambda nc, s=share: stats.ncx2.cdf(x, df, nc) - s, 0.0, top)))
    return unit * bounds[0], unit * bounds[1]


def divergence(first: npt.ArrayLike, second: npt.ArrayLike, level: float = 0.95) -> tuple[Distance, Array, bool]:
    """Population stability index of two tables of counts; of good and bad cases it is the information value.

    Parameters
    ----------
    first, second : (k,) array
        Counts by class.
    level : float

    Returns
    -------
    Distance
        `value` is the sum of (p - q) ln(p / q), `noise` what is to be expected of two samples of one distribution.
    ndarray (k,)
        What each class contributes.
    bool
        Whether half a case was added to every cell because one was empty.

    Notes
    -----
    Under one distribution the index is (1/n + 1/m) times a chi-square with k - 1 degrees of freedom (Yurdakul 2018);
    otherwise a noncentral one whose unit is the delta method's variance over four times the index. Classes empty in
    both samples are left out.

    Examples
    --------
    >>> distance, _, _ = divergence([139, 164, 49, 348], [135, 105, 14, 46])
    >>> round(distance.value, 7)
    0.6660115
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    seen = (a + b) > 0
    parts = np.zeros(len(a))
    n, m = float(a.sum()), float(b.sum())
    k = int(seen.sum())
    if k < 2 or n == 0 or m == 0:
        nan = math.nan
        return Distance(0.0 if k == 1 and n and m else nan, nan, nan, nan, nan, nan, nan), parts, False
    a, b = a[seen], b[seen]
    filled = bool((a == 0).any() or (b == 0).any())
    if filled:
        a, b = a + 0.5, b + 0.5
    p, q = a / a.sum(), b / b.sum()
    ratio = np.log(p / q)
    own = (p - q) * ratio
    parts[seen] = own
    value, base = float(own.sum()), 1 / n + 1 / m
    left, right = ratio + 1 - q / p, ratio - 1 + p / q
    variance = float((p * left**2).sum() - (p * left).sum() ** 2) / n
    variance += float((q * right**2).sum() - (q * right).sum() ** 2) / m
    unit = variance / (4 * value) if value > 0 else base
    noise = (k - 1) * base
    low, high = noncentral_interval(value, noise, unit, level)
    return (
        Distance(value, noise, low, high, value / base, k - 1.0, float(stats.chi2.sf(value / base, k - 1))),
        parts,
        filled,
    )


def weighted_squares(
    differences: npt.ArrayLike,
    variances: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    centred: bool = False,
    level: float = 0.95,
) -> Distance:
    """Mean of squared differences of classes, each of known variance, with the interval of the true mean.

    Parameters
    ----------
    differences, variances, counts : (k,) array
        Of each class; the counts, which are the weights, are themselves a sample.
    centred : bool
        Whether the differences are from their own weighted mean, which takes a part of the chance with it.
    level : float

    Returns
    -------
    Distance
        `value` is the plain mean, chance included; the expectation of chance alone is `noise`. The mean is taken as a
        scaled noncentral chi-square with the first two moments of the true one (Satterthwaite 1946).
    """
    d, v, count = (np.asarray(x, float) for x in (differences, variances, counts))
    w = count / count.sum()
    own = v * (1 - w) if centred else v
    value, noise = float((w * d**2).sum()), float((w * own).sum())
    square = float(((w * own) ** 2).sum())
    nan = math.nan
    if noise <= 0 or value <= 0:
        return Distance(value, noise, nan, nan, nan, nan, nan)
    classes = (float((w * d**4).sum()) - value**2) / float(count.sum())
    unit = (float((w**2 * d**2 * v).sum()) + classes / 4) / value
    base, df = square / noise, noise**2 / square
    unit = unit if unit > 0 else base
    low, high = noncentral_interval(value, noise, unit, level)
    return Distance(value, noise, low, high, value / base, df, float(stats.chi2.sf(value / base, df)))


def holm(pvalues: npt.ArrayLike) -> Array:
    """Holm's (1979) adjusted p-values; NaN stays and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(pvalues, float)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted
