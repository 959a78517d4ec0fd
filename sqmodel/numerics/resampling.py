"""Intervals by resampling for smooth functions of totals, vectorised over the draws.

Most survey statistics (a weighted mean, a ratio, an index, a gap, a net promoter score, their differences) are smooth
functions of totals of columns over respondents. For them the studentised bootstrap needs no loop: a draw is a vector
of counts, the totals of all draws are ``counts @ columns``, and the standard error of every draw is its gradient on
the second moments ``counts @ (columns x columns)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_STEP = 1e-30
_BLOCK = 2_000_000
_LONG_ROW = 250
_ROUNDING = 1e-13
"""A variance below this share of the sum of its terms is what rounding leaves of zero."""

STUDENT = "linearised standard error, Student's t"
SMALLEST_STUDENTISED = 20
"""Below this many units the quantiles of the pivot are unstable, so Student's t replaces them."""


@dataclass(frozen=True)
class Bootstrap:
    """Outcome of a bootstrap of m statistics.

    Attributes
    ----------
    estimate, se, low, high : (m,) arrays
        The statistics, their linearised standard errors, and the bounds of the two-sided interval.
    draws : (draws, m) array
        The statistics in every draw.
    pivots : (draws, m) array
        (draw - estimate) / its own standard error; NaN where a draw has no variance.
    level : float
    method : str
        Of the intervals; `method_of` names that of a single statistic.
    influence : (n, m) array
        What each unit contributes to the linearised error of each statistic, centred in its stratum.
    degrees : (m,) array
        Welch-Satterthwaite degrees of freedom of the standard errors, counting the units that matter to a statistic.
    """

    estimate: Array
    se: Array
    low: Array
    high: Array
    draws: Array
    pivots: Array
    level: float
    method: str
    influence: Array
    degrees: Array

    def method_of(self, j: int) -> str:
        """Name of the interval of statistic j."""
        return STUDENT if self.degrees[j] < SMALLEST_STUDENTISED - 1 else self.method

    def simultaneous(self, members: npt.ArrayLike | None = None) -> tuple[Array, Array]:
        """Bounds that cover all (or the chosen) statistics together, by the largest absolute pivot.

        Parameters
        ----------
        members : (m,) boolean, optional
            Statistics of the family; the bounds are returned for all of them.
        """
        chosen = np.ones(len(self.estimate), bool) if members is None else np.asarray(members, bool)
        family = np.abs(self.pivots[:, chosen])
        largest = np.max(np.where(np.isfinite(family), family, -np.inf), axis=1, initial=-np.inf)
        largest = largest[np.isfinite(largest)]
        critical = float(np.quantile(largest, self.level)) if len(largest) else math.nan
        half = np.where(self.se == 0, 0.0, critical * self.se)
        return self.estimate - half, self.estimate + half


def resample_counts(
    strata: npt.NDArray[np.intp], draws: int, rng: np.random.Generator, *, fewer: int = 0
) -> Iterator[npt.NDArray[np.float64]]:
    """How often each of n units is drawn, in blocks of draws; each stratum is resampled to its own size.

    Parameters
    ----------
    strata : (n,) integers
        Stratum of each unit, coded 0..H-1.
    draws : int
        Number of draws in total.
    rng : Generator
    fewer : int
        By how many a stratum's draws are fewer than its units; with 1 the variance of a drawn mean is the unbiased one
        (Rao & Wu 1988). One unit is drawn at least.

    Yields
    ------
    (block, n) array
        Counts; a row sums to n, and within a stratum to the stratum's size, less `fewer`.
    """
    n = len(strata)
    members = [_together(np.flatnonzero(strata == h)) for h in range(int(strata.max()) + 1)]
    block = max(1, min(draws, _BLOCK // max(n, 1)))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        counts = np.zeros((rows, n))
        for positions in members:
            size = positions.stop - positions.start if isinstance(positions, slice) else len(positions)
            picked = rng.integers(0, size, (rows, max(1, size - fewer)), dtype=np.int32)
            if isinstance(positions, slice):
                _count(picked, counts[:, positions])
            else:
                counts[:, positions] = _count(picked, np.empty((rows, size)))
        yield counts


def _together(positions: npt.NDArray[np.intp]) -> npt.NDArray[np.intp] | slice:
    """Positions that lie side by side as a slice, which needs no copy."""
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first + 1 == len(positions) else positions


def _count(picked: npt.NDArray[np.int32], counts: Array) -> Array:
    """How often each column number occurs in each row; long rows one by one, so that the counts stay in the cache."""
    rows, size = counts.shape
    if size > _LONG_ROW:
        for row, count in zip(picked, counts, strict=True):
            count[:] = np.bincount(row, minlength=size)
    else:
        picked += np.arange(rows, dtype=np.int32)[:, None] * np.int32(size)
        counts[:] = np.bincount(picked.ravel(), minlength=rows * size).reshape(rows, size)
    return counts


def bootstrap_totals(
    columns: npt.ArrayLike,
    statistic: Statistic,
    *,
    rng: np.random.Generator | int,
    draws: int = 1000,
    strata: npt.ArrayLike | None = None,
    level: float = 0.95,
    studentise: bool = True,
) -> Bootstrap:
    """Bootstrap intervals of smooth functions of column totals.

    Parameters
    ----------
    columns : (n, p) array
        What each respondent adds to the p totals (weights already multiplied in). No NaN.
    statistic : callable
        (..., p) totals -> (..., m) statistics. It must be analytic in its argument (sums, products, quotients,
        roots, logarithms) because gradients are taken by complex steps.
    rng : Generator or int
    draws : int
    strata : (n,) array, optional
        Respondents are drawn within strata. A stratum of one respondent is joined to the largest one.
    level : float
    studentise : bool
        Divide each draw's deviation by that draw's own standard error (bootstrap-t). Otherwise by the standard error
        of the sample (the basic bootstrap): for many columns, where a gradient a draw is costly.

    Returns
    -------
    Bootstrap

    Notes
    -----
    A statistic that rests on fewer than `SMALLEST_STUDENTISED` units (those with an influence on it: a small group
    among many respondents) has the interval estimate plus or minus Student's t times the linearised standard error,
    and `method_of` says so; the degrees of freedom are Welch's and Satterthwaite's over the strata. A statistic that
    does not vary (all answers equal) has the estimate as both bounds.

    Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 12.5. The standard error is the linearised
    one of survey sampling with factor n/(n-1) in each stratum. Bounds are estimate minus quantile of the pivot times
    standard error: they follow the skewness that percentile intervals miss in small samples.

    Examples
    --------
    >>> x = np.arange(1.0, 41.0)
    >>> columns = np.column_stack([x, np.ones(40)])
    >>> b = bootstrap_totals(columns, lambda t: t[..., :1] / t[..., 1:], rng=1)
    >>> float(b.estimate[0])
    20.5
    """
    x = np.ascontiguousarray(columns, dtype=float)
    generator = np.random.default_rng(rng)
    codes = merge_small_strata(strata, len(x))
    estimate = np.asarray(statistic(x.sum(axis=0)), float)
    gradient = _gradient(statistic, x.sum(axis=0)[None])[0]
    influence, se, degrees = _linearised(x, gradient, codes)
    if studentise:
        drawn, errors = _draws_with_errors(x, statistic, codes, draws, generator)
    else:
        blocks = [counts @ x for counts in resample_counts(codes, draws, generator)]
        drawn, errors = np.asarray(statistic(np.concatenate(blocks)), float), se
    with np.errstate(invalid="ignore", divide="ignore"):
        pivots = (drawn - estimate) / errors
    pivots[~np.isfinite(pivots)] = np.nan
    pivots[:, se == 0] = np.nan
    tail = (1 - level) / 2
    method = "studentised bootstrap" if studentise else "basic bootstrap"
    # Where most draws hold no variation, as when one respondent alone differs, the draws have no quantiles either.
    scarce = (2 * np.isfinite(pivots).sum(axis=0) < draws) & (se > 0)
    degrees = np.where(scarce, np.minimum(degrees, SMALLEST_STUDENTISED - 2), degrees)
    few = degrees < SMALLEST_STUDENTISED - 1
    critical = stats.t.ppf(1 - tail, np.maximum(degrees, 1))
    lower, upper = _quantiles(np.where(few, 0.0, pivots), (tail, 1 - tail))
    low = estimate - np.where(se == 0, 0.0, np.where(few, critical, upper) * se)
    high = estimate - np.where(se == 0, 0.0, np.where(few, -critical, lower) * se)
    named = STUDENT if few.all() else method
    return Bootstrap(estimate, se, low, high, drawn, pivots, level, named, influence, degrees)


def _quantiles(values: Array, probabilities: tuple[float, float]) -> tuple[Array, Array]:
    """Column quantiles without the missing pivots; NaN where fewer than half of the draws have one."""
    low = np.full(values.shape[1], np.nan)
    high = low.copy()
    for j in range(values.shape[1]):
        found = values[:, j][~np.isnan(values[:, j])]
        if 2 * len(found) >= len(values):
            low[j], high[j] = np.quantile(found, probabilities)
    return low, high


def merge_small_strata(strata: npt.ArrayLike | None, n: int) -> npt.NDArray[np.intp]:
    """Code strata 0..H-1 and join each one that has a single member to the largest."""
    if strata is None:
        return np.zeros(n, dtype=np.intp)
    _, codes, counts = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    codes = codes.astype(np.intp)
    if len(counts) > 1 and counts.min() < 2:
        target = int(np.argmax(counts))
        codes[np.isin(codes, np.flatnonzero(counts < 2))] = target
        _, codes = np.unique(codes, return_inverse=True)
    return codes.astype(np.intp)


def _gradient(statistic: Statistic, totals: Array) -> Array:
    """Gradients at (b, p) totals by complex steps: exact to rounding; (b, m, p)."""
    b, p = totals.shape
    stepped = np.repeat(totals[None].astype(complex), p, axis=0)
    stepped[np.arange(p), :, np.arange(p)] += 1j * _STEP
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.asarray(statistic(stepped.reshape(p * b, p)))
    return np.ascontiguousarray(np.moveaxis(values.imag.reshape(p, b, -1), 0, 2)) / _STEP


def _linearised(x: Array, gradient: Array, strata: npt.NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Centred influences (n, m), standard errors (m,) and their degrees of freedom (m,)."""
    influence = x @ gradient.T
    terms = (np.abs(x) @ np.abs(gradient.T)) ** 2
    matters = np.abs(influence) > 1e-12 * np.abs(influence).max(axis=0, initial=0.0)
    variance, spread = np.zeros((2, influence.shape[1]))
    for h in range(int(strata.max()) + 1):
        member = strata == h
        size = int(member.sum())
        influence[member] -= influence[member].mean(axis=0)
        if size > 1:
            own = size / (size - 1) * (influence[member] ** 2).sum(axis=0)
            variance += own
            spread += own**2 / np.maximum(matters[member].sum(axis=0) - 1, 1)
    variance = np.where(variance <= _ROUNDING * terms.sum(axis=0), 0, variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = np.where(variance > 0, variance**2 / spread, len(x) - 1.0)
    return influence, np.sqrt(variance), np.asarray(degrees, float)


def _draws_with_errors(
    x: Array, statistic: Statistic, strata: npt.NDArray[np.intp], draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    p = x.shape[1]
    upper = np.triu_indices(p)
    # Side by side, so that a stratum's part of the counts is a view of them.
    order = np.argsort(strata, kind="stable")
    x, strata = x[order], strata[order]
    both = np.column_stack([x, x[:, upper[0]] * x[:, upper[1]]])
    own = np.flatnonzero(upper[0] == upper[1]) + p
    ends = np.append(np.flatnonzero(np.diff(strata)) + 1, len(x))
    values, errors = [], []
    for counts in resample_counts(strata, draws, rng):
        parts = [counts[:, a:b] @ both[a:b] for a, b in zip((0, *ends[:-1]), ends, strict=True)]
        sums = np.asarray(sum(parts[1:], parts[0]))
        totals = np.ascontiguousarray(sums[:, :p])
        gradient = _gradient(statistic, totals)
        variance = np.zeros(gradient.shape[:2])
        for part, size in zip(parts, np.diff(ends, prepend=0), strict=True):
            if size > 1:
                variance += size / (size - 1) * _quadratic(gradient, part[:, :p], part[:, p:], upper, size)
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append(np.asarray(statistic(totals), float))
            terms = np.einsum("bmp,bp->bm", gradient**2, sums[:, own])
        errors.append(np.sqrt(np.where(variance <= _ROUNDING * terms, 0, variance)))
    return np.concatenate(values), np.concatenate(errors)


def _quadratic(
    gradient: Array, first: Array, second: Array, upper: tuple[npt.NDArray[np.intp], ...], size: int
) -> Array:
    """Sum over drawn units of (gradient . (x - mean))^2, for every draw and statistic."""
    p = first.shape[1]
    matrix = np.empty((len(first), p, p))
    matrix[:, upper[0], upper[1]] = second
    matrix[:, upper[1], upper[0]] = second
    centred = matrix - first[:, :, None] * first[:, None, :] / size
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("bmp,bmp->bm", gradient @ centred, gradient))


def jackknife_interval(
    value: float, replicates: npt.ArrayLike, *, level: float = 0.95, transform: str = "identity"
) -> tuple[float, float, float]:
    """Standard error and interval from leave-one-out replicates, symmetric on a transformed scale.

    Parameters
    ----------
    value : float
        The statistic on all cases.
    replicates : (n,) array
        The statistic without case i.
    level : float
    transform : {"identity", "log1m"}
        ``log1m`` is log(1 - value), which makes reliability coefficients nearly normal (Bonett 2002).

    Returns
    -------
    se, low, high : float
        The standard error on the original scale (delta method) and the bounds; NaN where undefined.

    Notes
    -----
    The critical value is Student's t with Satterthwaite's degrees of freedom, 2n / (kurtosis - 1) of the replicates
    and at most n - 1: a variance estimated from a few outlying cases knows less than n - 1 degrees promise. Skewed
    ratings make such cases the rule; normal theory then covers far too little.
    """
    kept = np.asarray(replicates, float)
    kept = kept[np.isfinite(kept)]
    n = len(kept)
    logged = transform == "log1m"
    if n < 3 or not math.isfinite(value) or (logged and value >= 1):
        return math.nan, math.nan, math.nan
    point = math.log1p(-value) if logged else value
    moved = np.log1p(-np.minimum(kept, 1 - 1e-12)) if logged else kept
    deviation = moved - moved.mean()
    square = float((deviation**2).mean())
    if square == 0:
        return 0.0, value, value
    kurtosis = float((deviation**4).mean()) / square**2
    degrees = min(n - 1.0, max(2.0, 2 * n / max(kurtosis - 1, 1e-9)))
    spread = math.sqrt((n - 1) * square)
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * spread
    if logged:
        return spread * (1 - value), 1 - math.exp(point + half), 1 - math.exp(point - half)
    return spread, point - half, point + half
