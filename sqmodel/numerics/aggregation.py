"""Several indicators as one: means of all kinds, and outranking; many replicates at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Aggregation = Literal["arithmetic", "geometric", "harmonic", "copeland"]


def aggregate(x: Floats, weights: Floats, method: Aggregation = "arithmetic") -> Floats:
    """Weighted mean of the values that are there.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
        Positive for the geometric and the harmonic mean; NaN is missing.
    weights : ndarray, shape (..., indicators)
        Non-negative; those of the values that are there are rescaled to one.
    method : {"arithmetic", "geometric", "harmonic", "copeland"}

    Returns
    -------
    ndarray, shape (..., units)
        NaN where nothing is there.
    """
    if method == "copeland":
        return _copeland(x, weights)
    known = ~np.isnan(x)
    if method == "arithmetic" and known.all():
        total = weights.sum(axis=-1)
        # One product of matrices instead of an array of all products.
        mean: Floats = np.matmul(x, weights[..., None])[..., 0] / total[..., None]
        return mean
    w = np.where(known, weights[..., None, :], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if method == "geometric":
            return np.exp(_mean(np.log(np.where(known, x, 1.0)), w))
        if method == "harmonic":
            return 1 / _mean(1 / np.where(known, x, 1.0), w)
        return _mean(np.where(known, x, 0.0), w)


def _mean(values: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=-1)
    return np.where(total > 0, (values * weights).sum(axis=-1) / np.where(total > 0, total, 1.0), np.nan)


def _copeland(x: Floats, weights: Floats) -> Floats:
    """Units that a unit beats, less those that beat it, over all others: from -1 to 1.

    A unit beats another if it is ahead on more than half of the weight of the indicators that both have; equal values
    count half for each. Indicators without weight, and units without any value, do not take part. Without missing
    values as ``COINr::a_copeland``.
    """
    x = np.where(weights[..., None, :] > 0, x, np.nan)
    there = ~np.isnan(x).all(axis=-1)
    ahead = np.zeros((*x.shape[:-1], x.shape[-2]))
    for j in range(x.shape[-1]):
        column = x[..., j]
        difference = column[..., :, None] - column[..., None, :]
        ahead += weights[..., j, None, None] * np.where(np.isnan(difference), 0.0, np.sign(difference))
    others = np.maximum(there.sum(axis=-1, keepdims=True) - 1, 1)
    score: Floats = np.sign(np.where(np.abs(ahead) < 1e-12, 0.0, ahead)).sum(axis=-1) / others
    return np.where(there, score, np.nan)
