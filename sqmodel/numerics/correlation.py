"""Moments and correlations of items, bivariate normal probabilities, exact moments of cut normals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
_FAR = 38.0
"""Beyond this many standard deviations the normal tail is zero in double precision."""


_BLOCK_ROWS = 16384


def moments(x: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> tuple[Floats, Floats]:
    """What are the means and the covariance matrix of the items?

    Parameters
    ----------
    x : array, n x p
        Complete answers, in the items' own units.
    weight : array, n, optional
        Survey weights. They are scaled to mean 1, so that n stays the number of respondents and equal
        weights give the unweighted result; the divisor is n - 1 (lavaan's ``sampling.weights`` divides by
        n).

    Returns
    -------
    mean : array, p
    covariance : array, p x p

    Raises
    ------
    ComputationError
        Fewer than two rows, or weights that are negative, missing or all zero.

    Examples
    --------
    >>> mean, covariance = moments([[1, 2], [3, 6]])
    >>> mean.tolist(), covariance.tolist()
    ([2.0, 4.0], [[2.0, 4.0], [4.0, 8.0]])
    """
    data = np.asarray(x, dtype=float)
    n = len(data)
    if n < 2:
        raise ComputationError(f"expected at least 2 rows for a covariance, found {n}; supply more answers")
    if weight is None:
        return _in_one_pass(data)
    share = _shares(weight, n)
    mean = share @ data
    centred = data - mean
    return mean, (centred * share[:, None]).T @ centred * (n / (n - 1))


def _in_one_pass(data: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance from the sums of deviations from a typical answer, in blocks that stay in the cache.

    The typical answer is one that was given, the median of the first rows: a constant item deviates by exactly zero,
    and nothing is lost by cancellation.
    """
    n, p = data.shape
    first_rows = np.sort(data[:101], axis=0)
    typical = first_rows[len(first_rows) // 2]
    total, cross = np.zeros(p), np.zeros((p, p))
    deviations, ones = np.empty((min(n, _BLOCK_ROWS), p)), np.ones(_BLOCK_ROWS)
    for first in range(0, n, _BLOCK_ROWS):
        block = data[first : first + _BLOCK_ROWS]
        found = np.subtract(block, typical, out=deviations[: len(block)])
        total += ones[: len(block)] @ found
        cross += np.dot(found.T, found)  # lets other threads run meanwhile, unlike the operator @
    return typical + total / n, (cross - np.outer(total, total) / n) / (n - 1)


def _shares(weight: npt.ArrayLike, n: int) -> Floats:
    w = np.asarray(weight, dtype=float)
    if w.shape != (n,) or not np.all(w >= 0) or not 0 < w.sum() < np.inf:
        raise ComputationError(
            f"expected {n} non-negative weights with a positive sum, found an array of shape {w.shape} "
            f"with minimum {w.min(initial=np.inf):g} and sum {w.sum():g}; correct the weights"
        )
    return np.asarray(w / w.sum())


def to_correlation(covariance: Floats) -> Floats:
    """Covariance matrices (..., p, p) rescaled to unit diagonals; a variance of zero gives NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        correlation = covariance * scale[..., :, None] * scale[..., None, :]
    index = np.arange(covariance.shape[-1])
    correlation[..., index, index] = np.where(np.isfinite(scale), 1.0, np.nan)
    return correlation


def pearson(x: npt.ArrayLike) -> Floats:
    """How do complete items correlate? n x p gives p x p; an item without variance gives NaN."""
    return to_correlation(moments(x)[1])


def pairwise_pearson(x: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """How do items correlate when each pair uses the rows that have both?

    The same as R's ``cor(x, use="pairwise")``, for all pairs in four matrix products. The result need not be
    positive definite: see `nearest_positive_definite`.

    Parameters
    ----------
    x : array, n x p
        Answers, NaN where missing.

    Returns
    -------
    correlation : array, p x p
        NaN where a pair has fewer than two rows or no variance.
    count : integer array, p x p
        Rows that each correlation rests on.
    """
    data = np.asarray(x, dtype=float)
    seen = np.isfinite(data)
    mask = seen.astype(float)
    count = mask.T @ mask
    with np.errstate(divide="ignore", invalid="ignore"):
        # Centring on the item's own mean keeps the products small; the correlation does not depend on it.
        centre = np.where(seen, data, 0).sum(axis=0) / np.diagonal(count)
        z = np.where(seen, data - centre, 0.0)
        total = z.T @ mask
        cross = z.T @ z - total * total.T / count
        spread = (z**2).T @ mask - total**2 / count
        correlation = cross / np.sqrt(spread * spread.T)
        correlation[(spread <= 1e-14 * np.diagonal(spread)[:, None]) | (count < 2)] = np.nan
    correlation = np.clip(np.where(np.isnan(correlation.T), np.nan, correlation), -1, 1)
    np.fill_diagonal(correlation, np.where(np.isnan(np.diagonal(correlation)), np.nan, 1.0))
    return correlation, count.astype(np.int64)


def smc(R: Floats) -> Floats:
    """How much of each item do all others explain? Squared multiple correlations of (..., p, p): (..., p).

    Raises
    ------
    ComputationError
        A matrix is singular.
    """
    try:
        inverse = np.linalg.inv(R)
    except np.linalg.LinAlgError as error:
        raise ComputationError(
            "expected a correlation matrix of full rank, found a singular one; leave out items that repeat others"
        ) from error
    return np.asarray(1 - 1 / np.diagonal(inverse, axis1=-2, axis2=-1))


def nearest_positive_definite(R: Floats, tolerance: float = 1e-12) -> Floats:
    """Which proper correlation matrix is close to this improper one?

    Eigenvalues below `tolerance` become 100 x `tolerance`, the sum is restored to p, and the diagonal to
    ones: the rule of ``psych::cor.smooth``. A matrix that is already positive definite comes back as it is.

    Parameters
    ----------
    R : array, p x p
    tolerance : float

    Returns
    -------
    array, p x p
    """
    values, vectors = np.linalg.eigh(R)
    if values[0] >= np.finfo(float).eps:
        return R
    values = np.where(values < tolerance, 100 * tolerance, values)
    values *= len(R) / values.sum()
    return to_correlation((vectors * values) @ vectors.T)


def bivariate_normal_cdf(h: npt.ArrayLike, k: npt.ArrayLike, rho: npt.ArrayLike) -> Floats:
    """How likely is it that two standard normals with correlation `rho` fall below `h` and below `k`?

    Plackett's identity in the angle, Phi(h) Phi(k) + integral of the density from 0 to arcsin(rho) / 2 pi
    (Drezner & Wesolowsky 1990), by 24-point Gauss-Legendre. Absolute error below 1e-10 for abs(rho) < .95,
    and below 1e-4 up to abs(rho) = .999.

    Parameters
    ----------
    h, k, rho : array_like
        Broadcast against each other; h and k may be infinite.

    Returns
    -------
    array of the broadcast shape
    """
    product: Floats = ndtr(h) * ndtr(k)
    return np.asarray(product + _dependence(h, k, rho))


def _dependence(h: npt.ArrayLike, k: npt.ArrayLike, rho: npt.ArrayLike) -> Floats:
    """P(X < h, Y < k) less the product of its margins; the same for the two upper tails."""
    a = np.clip(np.asarray(h, dtype=float), -_FAR, _FAR)
    b = np.clip(np.asarray(k, dtype=float), -_FAR, _FAR)
    half = np.arcsin(np.asarray(rho, dtype=float)) / 2
    squares, cross = (a * a + b * b) / 2, a * b
    total = np.zeros(np.broadcast_shapes(np.shape(cross), np.shape(half)))
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        sine = np.sin(half * (1 + node))
        total += weight * np.exp((cross * sine - squares) / (1 - sine * sine))
    return np.asarray(total * half / (2 * np.pi))


def covariance_of_counts(first: npt.ArrayLike, second: npt.ArrayLike, rho: float) -> float:
    """Covariance of two codes 0..K-1 that count how many cuts lie below normals with correlation `rho`."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return float(_dependence(a[:, None], b[None, :], rho).sum())


def discretised_moments(thresholds: Sequence[npt.ArrayLike], correlation: Floats) -> tuple[Floats, Floats]:
    """What are the exact population moments of items cut from a multivariate normal?

    Item i has the code 0..K-1 that counts how many of its thresholds lie below the normal variable. A code
    is a sum of indicators, so mean and covariance are sums of tail probabilities. This is the truth that
    simulated surveys are compared with.

    Parameters
    ----------
    thresholds : sequence of p arrays
        Increasing cuts of each item, in standard deviations.
    correlation : array, p x p
        Of the normal variables.

    Returns
    -------
    mean : array, p
    covariance : array, p x p

    Examples
    --------
    >>> mean, covariance = discretised_moments([[0.0], [0.0]], np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> mean.tolist(), covariance.round(6).tolist()
    ([0.5, 0.5], [[0.25, 0.083333], [0.083333, 0.25]])
    """
    cuts = [np.asarray(t, dtype=float) for t in thresholds]
    tails = [ndtr(-t) for t in cuts]
    covariance = np.empty((len(cuts), len(cuts)))
    for i, a in enumerate(cuts):
        # E X^2 of a count of nested indicators: the r-th of them (0-based) contributes 2 r + 1.
        covariance[i, i] = tails[i] @ (2 * np.arange(len(a)) + 1) - tails[i].sum() ** 2
        for j in range(i):
            covariance[i, j] = covariance[j, i] = covariance_of_counts(a, cuts[j], correlation[i, j])
    return np.array([t.sum() for t in tails]), covariance
