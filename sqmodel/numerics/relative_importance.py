"""How much of what is explained does each predictor explain? Shapley values of R squared, and relative weights."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
MOST = 20
"""Predictors for which all subsets are looked at: their number doubles with each."""


def shapley_shares(r: Floats, validity: Floats) -> Floats:
    """LMG: the gain in R squared from a predictor, averaged over all orders in which predictors can enter.

    Parameters
    ----------
    r : ndarray, shape (..., k, k)
        Correlations of the predictors.
    validity : ndarray, shape (..., k)
        Their correlations with the outcome.

    Returns
    -------
    ndarray, shape (..., k)
        Sums to R squared; none is negative beyond rounding.

    Raises
    ------
    ComputationError
        More than 20 predictors, or predictors that determine each other.

    Notes
    -----
    As ``relaimpo::calc.relimp(type = "lmg")``; the Shapley value of the game whose worth is R squared. Each subset's R
    squared is looked at once, replicates all at the same time.

    References
    ----------
    Lindeman, R. H., Merenda, P. F. & Gold, R. Z. (1980). Introduction to Bivariate and Multivariate Analysis.
    Groemping, U. (2006). Relative importance for linear regression in R. Journal of Statistical Software 17(1).
    """
    k = r.shape[-1]
    if k > MOST:
        raise ComputationError(f"LMG: expected at most {MOST} predictors, found {k}: take relative weights")
    _check(r)
    worth = np.zeros((*r.shape[:-2], 1 << k))
    for subset in range(1, 1 << k):
        own = [j for j in range(k) if subset >> j & 1]
        block, right = r[..., own, :][..., own], validity[..., own]
        worth[..., subset] = (np.linalg.solve(block, right[..., None])[..., 0] * right).sum(axis=-1)
    subsets = np.arange(1 << k)
    size = np.array([int(s).bit_count() for s in subsets])
    factor = np.array([math.factorial(s) * math.factorial(k - s - 1) / math.factorial(k) for s in range(k)])
    shares = np.empty((*r.shape[:-2], k))
    for j in range(k):
        without = subsets[subsets >> j & 1 == 0]
        gain = worth[..., without | 1 << j] - worth[..., without]
        shares[..., j] = gain @ factor[size[without]]
    return shares


def relative_weights(r: Floats, validity: Floats) -> Floats:
    """Johnson's relative weights: R squared shared out by way of the nearest uncorrelated variables.

    Parameters
    ----------
    r, validity : ndarray
        As for `shapley_shares`.

    Returns
    -------
    ndarray, shape (..., k)
        Non-negative; sums to R squared.

    References
    ----------
    Johnson, J. W. (2000). A heuristic method for estimating the relative weight of predictor variables in multiple
    regression. Multivariate Behavioral Research 35, 1-19.
    """
    _check(r)
    values, vectors = np.linalg.eigh(r)
    root = (vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    beta = np.linalg.solve(root, validity[..., None])[..., 0]
    weights: Floats = ((root**2) @ (beta**2)[..., None])[..., 0]
    return weights


def _check(r: Floats) -> None:
    if not (np.linalg.eigvalsh(r)[..., 0] > 1e-10).all():
        raise ComputationError("relative importance: expected predictors that do not determine each other")
