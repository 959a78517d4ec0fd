"""Indicators as arrays: how lopsided, treated for outliers, brought to one scale; many replicates at once.

Shape (..., units, indicators) throughout: whatever stands before is replicates. Missing values are NaN and stay NaN.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Middle = Literal["mean", "median"]
Normalisation = Literal["min_max", "z_score", "rank", "goalposts", "distance"]

SCALES: dict[str, tuple[float, float]] = {"min_max": (0.0, 100.0), "goalposts": (0.0, 100.0), "z_score": (0.0, 1.0)}
"""Ends of the scale, or mean and standard deviation, that a normalisation has where none are given."""

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


def fill_missing(x: Floats, middle: Middle, groups: Ints | None = None) -> Floats:
    """Put the mean or the median of an indicator where a value is missing.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
    middle : {"mean", "median"}
    groups : ndarray of int, shape (units,), optional
        Codes of groups whose own mean or median is put.

    Returns
    -------
    ndarray, shape of x
        Still NaN where nothing is there to impute from.
    """
    known = np.nanmean if middle == "mean" else np.nanmedian
    filled = x.copy()
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        for group in [slice(None)] if groups is None else [groups == g for g in np.unique(groups)]:
            part = x[..., group, :]
            filled[..., group, :] = np.where(np.isnan(part), known(part, axis=-2, keepdims=True), part)
    return filled


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
    limit = np.broadcast_to(np.asarray(most), (*x.shape[:-2], x.shape[-1]))
    steps = np.zeros(limit.shape, dtype=np.intp)
    todo = lopsided(x, skew=skew, kurt=kurt) & (limit > 0)
    if not todo.any():
        return x.copy(), steps
    values = x.copy()
    # Only the indicators concerned are taken up: few of many.
    at = np.nonzero(todo)
    columns, left, taken = np.swapaxes(values, -1, -2)[at], limit[at], np.zeros(len(at[0]), dtype=np.intp)
    going = np.arange(len(left))
    while len(going):
        columns[going] = _pulled_in(columns[going])
        taken[going] += 1
        going = going[left[going] > taken[going]]
        going = going[lopsided(columns[going][..., None], skew=skew, kurt=kurt)[:, 0]]
    np.swapaxes(values, -1, -2)[at] = columns
    steps[at] = taken
    return values, steps


def _pulled_in(columns: Floats) -> Floats:
    """Rows of values whose largest (of a positive skewness; else smallest) is set to the next; shape (rows, units)."""
    side = np.sign(skewness(columns[..., None])[:, 0])[:, None]
    flipped = np.where(np.isnan(columns), -np.inf, columns * side)
    largest = flipped == flipped.max(axis=-1, keepdims=True)
    following = np.where(largest, -np.inf, flipped).max(axis=-1, keepdims=True)
    return np.where(largest, following * side, columns)


def treat(x: Floats, wanted: Sequence[str], steps: int) -> tuple[Floats, Ints, npt.NDArray[np.bool_]]:
    """Treat outliers of each indicator as asked.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
    wanted : sequence of {"auto", "none", "winsorise", "log"}
        ``auto``: winsorised where that takes the outliers away, else the logarithm of the untreated values.
    steps : int
        Of winsorising at the most.

    Returns
    -------
    values : ndarray, shape of x
    steps : ndarray of int, shape (..., indicators)
        Of winsorising, taken.
    logged : ndarray of bool, shape (..., indicators)
    """
    kinds = np.asarray(wanted)
    values, taken = winsorise(x, np.where(np.isin(kinds, ["auto", "winsorise"]), steps, 0))
    logged = np.broadcast_to(kinds == "log", taken.shape).copy()
    if (kinds == "auto").any():
        logged |= (kinds == "auto") & lopsided(values)
    if logged.any():
        at = np.nonzero(logged)
        columns = np.swapaxes(x, -1, -2)[at]
        np.swapaxes(values, -1, -2)[at] = shifted_log(columns[..., None])[..., 0]
        taken = np.where(logged, 0, taken)
    return values, taken, logged


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
    scale: tuple[float, float] | None = None,
    goalposts: Floats | None = None,
) -> Floats:
    """Bring indicators to one scale on which more is better.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
    method : {"min_max", "z_score", "rank", "goalposts", "distance"}
        Least and largest value to the ends of the scale; given mean and standard deviation; mean rank, 1 is least;
        given worst and best to the ends of the scale, what lies beyond them cut; one less the distance to the best
        value, in units of that between best and worst.
    direction : ndarray, shape (indicators,)
        1 where more is better, -1 where less is.
    scale : tuple, optional
        Ends of the scale for `min_max` and `goalposts`, 0 and 100 by default; mean and standard deviation for
        `z_score`, 0 and 1 by default.
    goalposts : ndarray, shape (indicators, 2), optional
        Lower and upper goalpost in the indicator's own units.

    Returns
    -------
    ndarray, shape of x
        NaN for an indicator without variance.
    """
    y = x * direction
    low, high = scale or SCALES.get(method, (0.0, 1.0))
    width = high - low
    found: Floats
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning), np.errstate(all="ignore"):
        if method == "rank":
            # Far faster where nothing is missing.
            found = rankdata(y, axis=-2, nan_policy="omit" if np.isnan(y).any() else "propagate")
        elif method == "z_score":
            mean, sd = (f(y, axis=-2, keepdims=True) for f in (np.nanmean, _nanstd))
            found = low + high * ((y - mean) / sd)
        elif method == "goalposts":
            if goalposts is None:
                raise ValueError("goalposts: expected lower and upper ones, found none")
            ends = np.sort(goalposts * direction[:, None], axis=1)
            found = low + width * np.clip((y - ends[:, 0]) / (ends[:, 1] - ends[:, 0]), 0.0, 1.0)
        else:
            least, most = (f(y, axis=-2, keepdims=True) for f in (np.nanmin, np.nanmax))
            # A range that rounding makes is none.
            size = np.maximum(np.abs(least), np.abs(most))
            place = (y - least) / np.where(most - least > 1e-14 * size, most - least, np.nan)
            found = place if method == "distance" else low + width * place
    return found


def _nanstd(y: Floats, *, axis: int, keepdims: bool) -> Floats:
    """Standard deviation with n - 1; none where nothing varies beyond rounding."""
    found: Floats = np.nanstd(y, axis=axis, ddof=1, keepdims=keepdims)
    size = np.nanmax(np.abs(y), axis=axis, keepdims=True)
    return np.where(found > 1e-14 * size, found, np.nan)
