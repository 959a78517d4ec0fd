"""Indicators as arrays: how lopsided, treated for outliers, brought to one scale; many replicates at once.

Shape (..., units, indicators) throughout: whatever stands before is replicates. Missing values are NaN and stay NaN.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Normalisation = Literal["min_max", "z_score", "rank", "goalposts", "distance"]

SKEWNESS, KURTOSIS = 2.0, 3.5
"""Beyond both an indicator is treated: Becker et al. (2022), after the Global Innovation Index."""


def skewness(x: Floats) -> Floats:
    """Sample skewness G1 of every indicator, as in SAS and COINr.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)

    Returns
    -------
    ndarray, shape (..., indicators)
        NaN for fewer than three values or none that differ.

    References
    ----------
    Joanes, D. N. & Gill, C. A. (1998). Comparing measures of sample skewness and kurtosis. The Statistician 47.
    """
    n, second, third, _ = _moments(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = third / second**1.5 * np.sqrt(n * (n - 1)) / (n - 2)
    return np.where(n > 2, value, np.nan)


def kurtosis(x: Floats) -> Floats:
    """Sample excess kurtosis G2 of every indicator, as in SAS and COINr; NaN for fewer than four values.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)

    Returns
    -------
    ndarray, shape (..., indicators)
    """
    n, second, _, fourth = _moments(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = ((n + 1) * (fourth / second**2 - 3) + 6) * (n - 1) / ((n - 2) * (n - 3))
    return np.where(n > 3, value, np.nan)


def _moments(x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Number of values, and the second to fourth central moments."""
    known = ~np.isnan(x)
    n = known.sum(axis=-2).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, x, 0.0).sum(axis=-2) / n
        d = np.where(known, x - mean[..., None, :], 0.0)
        square = d * d
        second, third, fourth = (v.sum(axis=-2) / n for v in (square, square * d, square * square))
    # A constant whose mean is rounded has differences that are none.
    scale = np.max(np.abs(np.where(known, x, 0.0)), axis=-2, initial=0.0)
    second = np.where(second <= (1e-14 * scale) ** 2, 0.0, second)
    return n, second, third, fourth


def lopsided(x: Floats, *, skew: float = SKEWNESS, kurt: float = KURTOSIS) -> npt.NDArray[np.bool_]:
    """Which indicators have outliers: skewness and kurtosis both beyond their limits, shape (..., indicators)."""
    with np.errstate(invalid="ignore"):
        found: npt.NDArray[np.bool_] = (np.abs(skewness(x)) > skew) & (kurtosis(x) > kurt)
    return found


def winsorise(
    x: Floats, most: int | Ints = 5, *, skew: float = SKEWNESS, kurt: float = KURTOSIS
) -> tuple[Floats, Ints]:
    """Pull in the farthest values, one after another, while an indicator is lopsided.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
    most : int or array broadcast to (..., indicators)
        Steps at the most; each sets the largest value (of a positive skewness; else the smallest) to the next.
    skew, kurt : float
        See `lopsided`.

    Returns
    -------
    treated : ndarray, shape of x
    steps : ndarray of int, shape (..., indicators)
        Taken of each indicator.

    Notes
    -----
    As ``COINr::winsorise``: equal values are pulled in together and count as one step.
    """
    values = x.copy()
    limit = np.broadcast_to(np.asarray(most), (*x.shape[:-2], x.shape[-1]))
    steps = np.zeros(limit.shape, dtype=np.intp)
    for _ in range(int(limit.max(initial=0))):
        todo = lopsided(values, skew=skew, kurt=kurt) & (steps < limit)
        if not todo.any():
            break
        # Only the indicators concerned are taken up: few of many.
        at = np.nonzero(todo)
        columns = np.swapaxes(values, -1, -2)[at]
        side = np.sign(skewness(columns[..., None])[:, 0])[:, None]
        flipped = np.where(np.isnan(columns), -np.inf, columns * side)
        largest = flipped == flipped.max(axis=-1, keepdims=True)
        following = np.where(largest, -np.inf, flipped).max(axis=-1, keepdims=True)
        columns = np.where(largest, following * side, columns)
        np.swapaxes(values, -1, -2)[at] = columns
        steps[at] += 1
    return values, steps


def shifted_log(x: Floats) -> Floats:
    """Logarithm after a shift by a hundredth of the range; of the mirrored values where the skewness is negative.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)

    Returns
    -------
    ndarray, shape of x
        Rises with x in every case.

    Notes
    -----
    As ``COINr::log_CT`` for a positive skewness; that function does not mirror.
    """
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        side = np.where(skewness(x) < 0, -1.0, 1.0)[..., None, :]
        flipped = x * side
        low, high = (f(flipped, axis=-2, keepdims=True) for f in (np.nanmin, np.nanmax))
        logged: Floats = side * np.log(flipped - low + 0.01 * (high - low))
    return logged


def normalise(
    x: Floats,
    method: Normalisation,
    *,
    direction: Floats,
    scale: tuple[float, float] = (0.0, 100.0),
    goalposts: Floats | None = None,
) -> Floats:
    """Bring indicators to one scale on which more is better.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
    method : {"min_max", "z_score", "rank", "goalposts", "distance"}
        Least and largest value to the ends of the scale; mean 0 and standard deviation 1; mean rank, 1 is least; given
        worst and best to the ends of the scale, what lies beyond them cut; one less the distance to the best value, in
        units of that between best and worst.
    direction : ndarray, shape (indicators,)
        1 where more is better, -1 where less is.
    scale : tuple
        Ends of the scale for `min_max` and `goalposts`.
    goalposts : ndarray, shape (indicators, 2), optional
        Lower and upper goalpost in the indicator's own units.

    Returns
    -------
    ndarray, shape of x
        NaN for an indicator without variance.
    """
    y = x * direction
    low, width = scale[0], scale[1] - scale[0]
    found: Floats
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning), np.errstate(all="ignore"):
        if method == "rank":
            found = rankdata(y, axis=-2, nan_policy="omit")
        elif method == "z_score":
            found = (y - np.nanmean(y, axis=-2, keepdims=True)) / np.nanstd(y, axis=-2, ddof=1, keepdims=True)
        elif method == "goalposts":
            if goalposts is None:
                raise ValueError("goalposts: expected lower and upper ones, found none")
            ends = np.sort(goalposts * direction[:, None], axis=1)
            found = low + width * np.clip((y - ends[:, 0]) / (ends[:, 1] - ends[:, 0]), 0.0, 1.0)
        else:
            least, most = (f(y, axis=-2, keepdims=True) for f in (np.nanmin, np.nanmax))
            place = (y - least) / np.where(most == least, np.nan, most - least)
            found = place if method == "distance" else low + width * place
    return found
