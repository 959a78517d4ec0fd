"""What a choice does to a ranking: ranks, how far they move, and how much of the order is left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

Floats = npt.NDArray[np.float64]
_BLOCK = 4_000_000
_MANY = 100
"""Units from which sorting one scoring after the other is faster than comparing all pairs of all at once."""


def ranks_of(scores: Floats) -> Floats:
    """Ranks along the last axis, 1 the largest score; equal scores share the best of their ranks.

    Examples
    --------
    >>> ranks_of(np.array([3.0, 9.0, 9.0, 1.0])).tolist()
    [3.0, 1.0, 1.0, 4.0]
    """
    return np.asarray(rankdata(-scores, method="min", axis=-1), float)


def kendall(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b of two scorings of the same units, along the last axis.

    Parameters
    ----------
    first, second : ndarray, shape (..., units)
        Leading dimensions are replicates.

    Returns
    -------
    ndarray, shape (...)
        NaN where one of them does not tell the units apart, or has a missing score.

    Examples
    --------
    >>> float(kendall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])).round(4))
    0.6667
    """
    a, b = np.broadcast_arrays(first, second)
    units = a.shape[-1]
    flat = [v.reshape(-1, units) for v in (a, b)]
    if units >= _MANY:
        return np.array([_sorted_tau(x, y) for x, y in zip(*flat, strict=True)]).reshape(a.shape[:-1])
    step = max(1, _BLOCK // max(units * units, 1))
    parts = [_tau(flat[0][i : i + step], flat[1][i : i + step]) for i in range(0, len(flat[0]), step)]
    return np.concatenate(parts).reshape(a.shape[:-1])


def _tau(a: Floats, b: Floats) -> Floats:
    signs = [np.sign(v[:, :, None] - v[:, None, :]) for v in (a, b)]
    both = (signs[0] * signs[1]).sum(axis=(1, 2))
    told = [(s**2).sum(axis=(1, 2)) for s in signs]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(both / np.sqrt(told[0] * told[1]))


def _sorted_tau(a: Floats, b: Floats) -> float:
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    return float(kendalltau(a, b).statistic)
