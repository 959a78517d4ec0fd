"""Process intervals: quantiles, totals for each case, and shares, with cases as the independent units."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.numerics.resampling import Bootstrap, bootstrap_totals

Floats = npt.NDArray[np.float64]

FEWEST = 6
"""Below this many cases (or bundles) with a duration, the median has no interval."""
MOST_STUDENTISED = 40
"""With more columns the standard error of every draw costs too much; the basic bootstrap replaces it."""

NO_VALUES = "no duration"
TOO_FEW = f"fewer than {FEWEST} cases"


@dataclass(frozen=True)
class Quantiles:
    """Median with its interval, quartiles, ninth decile and mean of durations; NaN and a reason where undefined."""

    n: int
    median: float
    low: float
    high: float
    p25: float
    p75: float
    p90: float
    mean: float
    reason: str = ""


def quantiles(hours: Floats, unit: npt.NDArray[Any], units: int, level: float) -> Quantiles:
    """Quantiles of durations that come in clusters, the cases.

    Parameters
    ----------
    hours, unit : (n,) arrays
        Durations and the case (or bundle of cases) of each, numbered below `units`.
    units : int
        All cases, those without a duration too.
    level : float

    Notes
    -----
    Woodruff (1952), Journal of the American Statistical Association, 47, 635-646: the share of durations up to the
    median has a standard error by linearisation over cases; the quantiles at its bounds are those of the median.
    """
    n = len(hours)
    if not n:
        return Quantiles(0, *(math.nan,) * 7, reason=NO_VALUES)
    ordered = np.sort(hours)
    p25, median, p75, p90 = _at(ordered, (0.25, 0.5, 0.75, 0.9))
    residual = np.bincount(unit, (hours < median) + 0.5 * (hours == median) - 0.5, units)
    held = int((np.bincount(unit, minlength=units) > 0).sum())
    described = (p25, p75, p90, float(hours.mean()))
    if held < FEWEST:
        return Quantiles(n, median, math.nan, math.nan, *described, reason=TOO_FEW)
    se = math.sqrt(float(residual.var()) * units * units / max(units - 1, 1)) / n
    half = float(stats.t.ppf((1 + level) / 2, held - 1)) * se
    low, high = _at(ordered, (max(0.5 - half, 0.0), min(0.5 + half, 1.0)))
    return Quantiles(n, median, low, high, *described)


def _at(ordered: Floats, probabilities: tuple[float, ...]) -> list[float]:
    """Quantiles of sorted values, between two of them on a line."""
    place = np.asarray(probabilities) * (len(ordered) - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, len(ordered) - 1)
    found: list[float] = (ordered[below] + (place - below) * (ordered[above] - ordered[below])).tolist()
    return found


def each_case(
    columns: Floats, sizes: Floats, *, level: float, draws: int, rng: np.random.Generator, shares: bool = False
) -> Bootstrap:
    """Means over cases of totals such as hours of waiting.

    Parameters
    ----------
    columns : (units, p) array
        What each case (or bundle of cases) adds to the p totals.
    sizes : (units,) array
        Cases in each unit.
    shares : bool
        Also the p totals as shares of their sum, after the p means.

    Returns
    -------
    Bootstrap
        Without bounds where there is one unit only.
    """
    p = columns.shape[1]

    def statistic(t: npt.NDArray[Any]) -> npt.NDArray[Any]:
        means = t[..., 1:] / t[..., :1]
        if not shares:
            return np.asarray(means)
        total = t[..., 1:].sum(axis=-1, keepdims=True)
        return np.concatenate([means, t[..., 1:] / np.where(total == 0, 1, total)], axis=-1)

    x = np.column_stack([sizes, columns])
    found = bootstrap_totals(x, statistic, rng=rng, draws=draws, level=level, studentise=p <= MOST_STUDENTISED)
    # A single case drawn again and again is always the same: that it is sure would be an error.
    unknown = np.full_like(found.estimate, np.nan)
    return found if len(x) > 1 else replace(found, se=unknown, low=unknown, high=unknown)


def wilson(count: npt.ArrayLike, n: npt.ArrayLike, level: float) -> tuple[Floats, Floats, Floats]:
    """Shares of cases with Wilson's interval (1927); NaN where there are none."""
    k, m = np.asarray(count, float), np.asarray(n, float)
    z = float(stats.norm.ppf((1 + level) / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / m
        middle = (share + z * z / (2 * m)) / (1 + z * z / m)
        half = z / (1 + z * z / m) * np.sqrt(share * (1 - share) / m + z * z / (4 * m * m))
    low, high = middle - half, middle + half
    bounds = np.where(k == 0, 0.0, low), np.where(k == m, 1.0, high)
    low, high = (np.where(m > 0, bound, np.nan) for bound in bounds)
    return share, low, high


def share_of_sums(part: Floats, whole: Floats, level: float) -> tuple[float, float, float]:
    """A share of executions whose cases are the units: linearised, on the logit scale; NaN where there are none.

    Parameters
    ----------
    part, whole : (units,) arrays
        Counts of each case (or bundle of cases).
    """
    total, chosen, units = float(whole.sum()), float(part.sum()), int((whole > 0).sum())
    if not total:
        return math.nan, math.nan, math.nan
    share = chosen / total
    if units < FEWEST or share in (0.0, 1.0):
        # All alike: what cases can tell is that none of them differs.
        low, high = (float(v) for v in wilson(share * units, units, level)[1:])
        return share, low, high
    residual = part - share * whole
    se = math.sqrt(float((residual**2).sum()) * units / (units - 1)) / total
    half = float(stats.t.ppf((1 + level) / 2, units - 1)) * se / (share * (1 - share))
    logit = math.log(share / (1 - share))
    return share, 1 / (1 + math.exp(half - logit)), 1 / (1 + math.exp(-half - logit))
