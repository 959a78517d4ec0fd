"""Control charts on arrays: moving ranges, signal rules, and what a stable process does by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Sides = npt.NDArray[np.int8]

D2 = 1.128
"""Mean of the range of two normal values in standard deviations, to the three places that all tables use."""
D4 = 3.267
"""Upper limit of a moving range as a multiple of the mean moving range."""


def moving_range(values: npt.ArrayLike) -> Floats:
    """Distance of each point from the one before it, along the last axis; NaN where one of the two is missing."""
    x = np.asarray(values, dtype=float)
    result = np.full(x.shape, np.nan)
    result[..., 1:] = np.abs(np.diff(x, axis=-1))
    return result


def mean_range_sigma(values: npt.ArrayLike, baseline: Bools) -> Floats:
    """Standard deviation from the mean moving range over D2, of pairs of neighbours that both are in the baseline."""
    ranges = moving_range(values)
    within = np.zeros(baseline.shape, dtype=bool)
    within[1:] = baseline[1:] & baseline[:-1]
    own = ranges[..., within]
    told = np.isfinite(own)
    count = told.sum(axis=-1)
    total = np.where(told, own, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, D2 * count, out=np.full(count.shape, np.nan), where=count > 0))


def _length(condition: Bools) -> npt.NDArray[np.intp]:
    """How many points in a row, up to each, meet the condition."""
    count = np.cumsum(condition, axis=-1)
    before = np.maximum.accumulate(np.where(condition, 0, count), axis=-1)
    return np.asarray(count - before)


def _window(condition: Bools, length: int) -> npt.NDArray[np.intp]:
    """How many of the last `length` points meet the condition."""
    count = np.cumsum(condition, axis=-1)
    before = np.zeros_like(count)
    before[..., length:] = count[..., :-length]
    return np.asarray(count - before)


def _sided(rule: Callable[[Floats], Bools]) -> Callable[[Floats], Sides]:
    def both(z: Floats) -> Sides:
        return np.asarray(rule(z).astype(np.int8) - rule(-z).astype(np.int8))

    return both


def _beyond(z: Floats) -> Bools:
    return z > 3


def _some_of(needed: int, of: int, limit: float) -> Callable[[Floats], Bools]:
    def rule(z: Floats) -> Bools:
        outside = z > limit
        return np.asarray(outside & (_window(outside, of) >= needed))

    return rule


def _run(length: int) -> Callable[[Floats], Bools]:
    def rule(z: Floats) -> Bools:
        return np.asarray(_length(z > 0) >= length)

    return rule


def _trend(points: int) -> Callable[[Floats], Bools]:
    def rule(z: Floats) -> Bools:
        rises = np.zeros(z.shape, dtype=bool)
        rises[..., 1:] = np.diff(z, axis=-1) > 0
        return np.asarray(_length(rises) >= points - 1)

    return rule


def _range(z: Floats) -> Sides:
    return np.asarray((moving_range(z) > D4 * D2).astype(np.int8))


RULES: dict[str, Callable[[Floats], Sides]] = {
    "beyond_limits": _sided(_beyond),
    "two_of_three": _sided(_some_of(2, 3, 2.0)),
    "four_of_five": _sided(_some_of(4, 5, 1.0)),
    "run_of_eight": _sided(_run(8)),
    "run_of_nine": _sided(_run(9)),
    "trend_of_six": _sided(_trend(6)),
    "trend_of_seven": _sided(_trend(7)),
    "range_beyond_limit": _range,
}
"""Rule to where it signals: 1 above, -1 below, 0 not, on standardised points along the last axis.

Western Electric (1956): one point beyond three sigma, two of three beyond two, four of five beyond one, eight in a row
on one side. Nelson (1984): nine in a row on a side, six in a row rising or falling. The point that completes a pattern
is one of those that make it; a missing point belongs to no zone, and breaks runs and trends.
"""


def detect(z: npt.ArrayLike, rules: Sequence[str]) -> dict[str, Sides]:
    """Which points complete the pattern of a rule.

    Parameters
    ----------
    z : array_like, shape (..., n)
        Distance from the centre line in standard deviations.
    rules : sequence of str
        Keys of `RULES`.

    Returns
    -------
    dict of ndarray, shape (..., n)
        1 on the high side, -1 on the low side, 0 for no signal.

    Examples
    --------
    >>> detect([0.5, 2.2, 0.1, 2.5, -3.2], ["beyond_limits", "two_of_three"])
    {'beyond_limits': array([ 0,  0,  0,  0, -1], dtype=int8), 'two_of_three': array([0, 0, 0, 1, 0], dtype=int8)}
    """
    points = np.asarray(z, dtype=float)
    return {rule: RULES[rule](points) for rule in rules}


class Stable(NamedTuple):
    """What a chart of a stable process shows by chance, in draws.

    `centre` is the error of the centre line in standard errors, `sigma` the estimated over the true standard
    deviation, `z` the points as the chart would place them (draws x n).
    """

    centre: Floats
    sigma: Floats
    z: Floats


def simulate_stable(
    size: Floats, baseline: Bools, *, estimated: bool, draws: int, rng: np.random.Generator | int
) -> Stable:
    """Charts of a process that does not change: independent normal points, limits estimated as in the real chart.

    Parameters
    ----------
    size : ndarray, shape (n,)
        Precision of each point in any unit (1 for individuals, the denominator of a rate or share); NaN for a missing
        point, which is missing in every draw.
    baseline : ndarray of bool, shape (n,)
        Points that give the limits; the missing ones among them do not count.
    estimated : bool
        Whether the standard deviation is estimated from moving ranges, or known.
    draws, rng

    Notes
    -----
    Under the model the errors of the limits in units of the estimated standard deviation do not depend on the true
    mean and deviation, so that their quantiles in these draws give exact intervals for the limits, however few the
    points are.
    """
    generator = np.random.default_rng(rng)
    given = np.isfinite(size)
    own = baseline & given
    share = np.sqrt(np.where(given, size, 0.0) / size[own].sum())
    noise = generator.standard_normal((draws, len(size)))
    centre = noise @ np.where(own, share, 0.0)
    points = noise - share * centre[:, None]
    points[:, ~given] = np.nan
    sigma = mean_range_sigma(points, own) if estimated else np.ones(draws)
    return Stable(centre, sigma, points / sigma[:, None])
