"""Simultaneous rank sets of many units whose errors are independent, found without looking at all pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
_FIRST = 48
"""Units of a draw that are looked at first."""
_VALUES = 4_000_000
"""Differences held at a time."""


def independent_rank_sets(
    values: Floats, se: Floats, *, level: float = 0.95, draws: int = 1000, rng: np.random.Generator | int = 1
) -> tuple[Ints, Ints]:
    """Best and worst rank that each unit can have, all at once, where errors are normal and independent.

    Parameters
    ----------
    values : ndarray, shape (units,)
        1 is the largest.
    se : ndarray, shape (units,)
        Known standard errors, above 0.
    level : float
        Chance that all sets hold the true ranks.
    draws : int
    rng : Generator or int

    Returns
    -------
    best, worst : ndarray of int, shape (units,)

    Raises
    ------
    ComputationError
        Values or errors that are missing, or errors not above 0.

    Notes
    -----
    As `sqmodel.numerics.ranks.rank_sets` with ``simultaneous=True``: the largest studentised difference of all pairs,
    step-down. Of independent errors, z = error / se, a studentised difference is no larger than
    sqrt(z_i**2 + z_j**2) (Cauchy and Schwarz), so that in each draw the few units with the largest |z| decide, and it
    is certain when they do: thousands of draws of a thousand units take a second.
    """
    if not (np.isfinite(values).all() and np.isfinite(se).all() and (se > 0).all()):
        raise ComputationError("ranks: expected finite values and errors above 0, found others")
    n = len(values)
    told = (values[:, None] - values[None, :]) / np.sqrt(se[:, None] ** 2 + se[None, :] ** 2)
    z = np.random.default_rng(rng).normal(size=(draws, n))
    order = np.argsort(-np.abs(z), axis=1)
    above = np.zeros((n, n), dtype=bool)
    while n > 1:
        limit = np.quantile(largest_differences(z, se, above, order), level)
        more = (told > limit) & ~above
        if not more.any():
            break
        above |= more
    best: Ints = 1 + above.sum(axis=0)
    worst: Ints = n - above.sum(axis=1)
    return best, worst


def largest_differences(z: Floats, se: Floats, above: Bools, order: Ints | None = None) -> Floats:
    """Largest studentised difference of each draw, over all ordered pairs that are not `above` each other yet.

    Parameters
    ----------
    z : ndarray, shape (draws, units)
        Errors over their standard errors.
    se : ndarray, shape (units,)
    above : ndarray of bool, shape (units, units)
        Pairs that are rejected already, in this direction.
    order : ndarray of int, shape (draws, units), optional
        Units of each draw from the largest absolute z.

    Returns
    -------
    ndarray, shape (draws,)
    """
    n = z.shape[1]
    order = np.argsort(-np.abs(z), axis=1) if order is None else order
    found = np.full(len(z), -np.inf)
    todo, looked = np.arange(len(z)), min(_FIRST, n)
    while len(todo):
        step = max(1, _VALUES // looked**2)
        for start in range(0, len(todo), step):
            own = todo[start : start + step]
            found[own] = _largest(z, se, above, order[own, :looked], own)
        if looked == n:
            break
        sizes = np.abs(z[todo, order[todo, looked]]) ** 2 + z[todo, order[todo, 0]] ** 2
        todo = todo[found[todo] < np.sqrt(sizes)]
        looked = min(2 * looked, n)
    return found


def _largest(z: Floats, se: Floats, above: Bools, units: Ints, own: Ints) -> Floats:
    """Over the pairs of some units of each draw, shape (draws,)."""
    s = se[units]
    error = z[own[:, None], units] * s
    t = (error[:, :, None] - error[:, None, :]) / np.sqrt(s[:, :, None] ** 2 + s[:, None, :] ** 2)
    if above.any():
        t[above[units[:, :, None], units[:, None, :]]] = -np.inf
    k = np.arange(t.shape[1])
    t[:, k, k] = -np.inf
    return np.asarray(t.max(axis=(1, 2)))
