"""Weights from the values themselves: how much an indicator tells the units apart, and how little others repeat it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]


def entropy_weights(x: Floats) -> Floats:
    """Shannon entropy: an indicator counts the more, the more unevenly its total is spread over the units.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
        Non-negative; more is better.

    Returns
    -------
    ndarray, shape (..., indicators)
        Sums to one.

    Raises
    ------
    ComputationError
        Negative or missing values, an indicator of zeros, or none that varies.

    References
    ----------
    Zeleny, M. (1982). Multiple Criteria Decision Making, ch. 7.
    """
    if np.isnan(x).any() or (x < 0).any() or (x.sum(axis=-2) <= 0).any():
        raise ComputationError("entropy: expected values of at least 0, none missing, in each indicator some above 0")
    share = x / x.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = -np.where(share > 0, share * np.log(share), 0.0).sum(axis=-2) / np.log(x.shape[-2])
    told = 1 - spread
    return _shares(np.where(told > 1e-12, told, 0.0), "entropy")


def critic_weights(x: Floats) -> Floats:
    """CRITIC: standard deviation times the conflict with the other indicators.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)
        More is better; brought to 0-1 by least and largest value here.

    Returns
    -------
    ndarray, shape (..., indicators)
        Sums to one.

    Raises
    ------
    ComputationError
        Missing values, or an indicator without variance.

    References
    ----------
    Diakoulaki, D., Mavrotas, G. & Papayannakis, L. (1995). Computers & Operations Research 22, 763-770.
    """
    least, most = x.min(axis=-2, keepdims=True), x.max(axis=-2, keepdims=True)
    if np.isnan(x).any() or (most <= least).any():
        raise ComputationError("CRITIC: expected indicators that vary, none missing")
    y = (x - least) / (most - least)
    conflict = (1 - correlations(y)).sum(axis=-1)
    return _shares(y.std(axis=-2, ddof=1) * conflict, "CRITIC")


def component_weights(x: Floats) -> Floats:
    """Squared loadings of the first principal component of the correlations.

    Parameters
    ----------
    x : ndarray, shape (..., units, indicators)

    Returns
    -------
    ndarray, shape (..., indicators)
        Sums to one; blind to the direction of an indicator, so look at the signs of the loadings first.

    Raises
    ------
    ComputationError
        Missing values, or an indicator without variance.
    """
    if np.isnan(x).any() or (x.max(axis=-2) <= x.min(axis=-2)).any():
        raise ComputationError("principal component: expected indicators that vary, none missing")
    vectors = np.linalg.eigh(correlations(x))[1]
    squares: Floats = vectors[..., -1] ** 2
    return squares


def correlations(x: Floats) -> Floats:
    """Pearson correlations of the indicators, shape (..., indicators, indicators)."""
    d = x - x.mean(axis=-2, keepdims=True)
    d = d / np.sqrt((d * d).sum(axis=-2, keepdims=True))
    found: Floats = np.swapaxes(d, -1, -2) @ d
    return found


def _shares(values: Floats, what: str) -> Floats:
    total = values.sum(axis=-1, keepdims=True)
    if not (total > 0).all():
        raise ComputationError(f"{what}: expected indicators that tell the units apart, found none")
    shares: Floats = values / total
    return shares
