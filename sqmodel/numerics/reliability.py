"""Reliability coefficients of one scale from its covariance matrix or its column totals; arrays only."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

MOST_SPLITS = 16
"""Guttman's lambda 4 tries every split half up to this many items (6,435 of them)."""


def cronbach_alpha(covariance: npt.ArrayLike) -> float:
    """Cronbach's alpha of a (k, k) covariance matrix; of a correlation matrix it is the standardised alpha.

    Examples
    --------
    >>> round(cronbach_alpha([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]), 4)
    0.75
    """
    matrix = np.asarray(covariance, float)
    k = len(matrix)
    return float(k / (k - 1) * (1 - np.trace(matrix) / matrix.sum()))


def alpha_of_many(covariances: Array) -> Array:
    """Alpha of each of (..., k, k) covariance matrices."""
    k = covariances.shape[-1]
    trace = np.trace(covariances, axis1=-2, axis2=-1)
    result: Array = k / (k - 1) * (1 - trace / covariances.sum(axis=(-2, -1)))
    return result


def alpha_columns(x: Array, weight: Array) -> Array:
    """What each respondent adds to the totals from which alpha follows: weight, items, squares; (n, k + 3)."""
    total = x.sum(axis=1)
    squares = np.einsum("ij,ij->i", x, x)
    return np.column_stack([weight, weight[:, None] * x, weight * squares, weight * total**2])


def alpha_from_totals(totals: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Alpha from (..., k + 3) totals of `alpha_columns`: no covariance matrix, so all resamples at once."""
    k = totals.shape[-1] - 3
    n = totals[..., 0]
    means = totals[..., 1 : k + 1] / n[..., None]
    item_variances = totals[..., k + 1] / n - (means**2).sum(axis=-1)
    total_variance = totals[..., k + 2] / n - means.sum(axis=-1) ** 2
    result: npt.NDArray[Any] = k / (k - 1) * (1 - item_variances / total_variance)
    return result


def feldt_interval(alpha: float, n: float, k: int, level: float = 0.95) -> tuple[float, float]:
    """Feldt's exact interval under parallel normal items (Feldt 1965; Feldt, Woodruff and Salih 1987)."""
    tail = (1 - level) / 2
    degrees = (n - 1, (n - 1) * (k - 1))
    low, high = stats.f.ppf([1 - tail, tail], *degrees)
    return 1 - (1 - alpha) * float(low), 1 - (1 - alpha) * float(high)


def duhachek_interval(covariance: npt.ArrayLike, n: float, level: float = 0.95) -> tuple[float, float, float]:
    """Standard error and interval of alpha for normal items of any covariance (Duhachek and Iacobucci 2004).

    The normal quantile is rounded to two decimals (1.96), as in the source and in psych::alpha.
    """
    v = np.asarray(covariance, float)
    k, total, trace = len(v), float(v.sum()), float(np.trace(v))
    inner = total * (float(np.trace(v @ v)) + trace**2) - 2 * trace * float((v @ v).sum())
    se = math.sqrt(2 * k**2 / ((k - 1) ** 2 * total**3) * inner / n)
    z = round(float(stats.norm.ppf((1 + level) / 2)), 2)
    alpha = cronbach_alpha(v)
    return se, alpha - z * se, alpha + z * se


def bonett_interval(alpha: float, n: float, k: int, level: float = 0.95) -> tuple[float, float]:
    """Bonett's (2002) interval, normal on log(1 - alpha)."""
    half = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(2 * k / ((k - 1) * (n - 2)))
    return 1 - math.exp(math.log1p(-alpha) + half), 1 - math.exp(math.log1p(-alpha) - half)


def guttman_lambdas(matrix: npt.ArrayLike) -> dict[str, float]:
    """Guttman's six lower bounds of reliability (Guttman 1945) of a covariance or correlation matrix.

    Returns
    -------
    dict
        lambda1 .. lambda6. lambda4 is the best split half, by trying all of them; NaN above 16 items. lambda6 uses
        the squared multiple correlations; NaN where the matrix is singular. psych::guttman gives them for the
        correlation matrix; of an odd number of items its lambda4 tries only the first half of the splits.
    """
    v = np.asarray(matrix, float)
    k, total = len(v), float(v.sum())
    off = v - np.diag(np.diag(v))
    lambda1 = float(off.sum()) / total
    spread = math.sqrt(k / (k - 1) * float((off**2).sum()))
    largest = float((off**2).sum(axis=0).max())
    result = {"lambda1": lambda1, "lambda2": lambda1 + spread / total, "lambda3": k / (k - 1) * lambda1}
    result["lambda4"] = _best_split(v) if k <= MOST_SPLITS else math.nan
    result["lambda5"] = lambda1 + 2 * math.sqrt(largest) / total
    singular = np.linalg.cond(v) > 1e12
    result["lambda6"] = math.nan if singular else 1 - float((1 / np.diag(np.linalg.inv(v))).sum()) / total
    return result


def _best_split(v: Array) -> float:
    """Largest reliability of the sum by two halves: of k // 2 items and the rest, as psych::splitHalf has them."""
    signs = _half_splits(len(v))
    return float(1 - np.einsum("si,si->s", signs @ v, signs).min() / v.sum())


@cache
def _half_splits(k: int) -> Array:
    """One row a split: 1 for the items of the one half, -1 for those of the other."""
    codes = np.arange(2 ** (k - 1) if k % 2 == 0 else 2**k)
    inside = (codes[:, None] >> np.arange(k)) & 1
    return np.asarray(2.0 * inside[inside.sum(axis=1) == k // 2] - 1)


def stratified_alpha(covariance: npt.ArrayLike, strata: list[list[int]]) -> float:
    """Reliability of a sum of subscales, each with its own alpha (Cronbach, Schoenemann and McKie 1965)."""
    v = np.asarray(covariance, float)
    lost = 0.0
    for members in strata:
        part = v[np.ix_(members, members)]
        lost += float(part.sum()) * (1 - cronbach_alpha(part))
    used = [i for members in strata for i in members]
    return 1 - lost / float(v[np.ix_(used, used)].sum())


def omega_from_factor(loadings: npt.ArrayLike, covariance: npt.ArrayLike) -> npt.NDArray[Any]:
    """McDonald's omega of one factor: squared sum of loadings over the observed variance of the sum.

    Parameters
    ----------
    loadings : (..., k) array
    covariance : (..., k, k) array

    Notes
    -----
    The denominator is the observed variance, as semTools::compRelSEM has it by default; with the model-implied
    variance the coefficient differs where the one-factor model does not fit.
    """
    squared = np.asarray(loadings).sum(axis=-1) ** 2
    result: npt.NDArray[Any] = squared / np.asarray(covariance).sum(axis=(-2, -1))
    return result


def covariances_without(x: Array, weight: Array, groups: npt.NDArray[np.intp]) -> Array:
    """Weighted covariance matrices without each group of respondents in turn.

    Parameters
    ----------
    x : (n, k) array
    weight : (n,) array
    groups : (n,) integers 0..G-1
        ``arange(n)`` leaves out one respondent at a time.

    Returns
    -------
    (G, k, k) array
        Divisor: the sum of the remaining weights.
    """
    count = int(groups.max()) + 1
    centred = x - (weight @ x) / weight.sum()
    weighted = weight[:, None] * centred
    mass = np.bincount(groups, weight, count)
    if count == len(x):
        first, second = np.empty_like(centred), np.empty((count, x.shape[1], x.shape[1]))
        first[groups] = weighted
        second[groups] = weighted[:, :, None] * centred[:, None, :]
    else:
        order = np.argsort(groups, kind="stable")
        ends = np.searchsorted(groups[order], np.arange(count + 1))
        a, b = weighted[order], centred[order]
        first = np.array([a[i:j].sum(axis=0) for i, j in itertools.pairwise(ends)])
        second = np.array([a[i:j].T @ b[i:j] for i, j in itertools.pairwise(ends)])
    left = (weight.sum() - mass)[:, None, None]
    mean = -first[:, :, None] / left
    result: Array = (second.sum(axis=0) - second) / left - mean * mean.transpose(0, 2, 1)
    return result


def with_some_variance(covariances: Array) -> Array:
    """The (..., k, k) matrices, an item without variance (nobody is left who differs) made tiny and unrelated."""
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    tiny = 1e-9 * variances.max(axis=-1, keepdims=True)
    constant = variances <= tiny
    if not constant.any():
        return covariances
    result = np.where(constant[..., :, None] | constant[..., None, :], 0.0, covariances)
    index = np.arange(covariances.shape[-1])
    result[..., index, index] = np.where(constant, tiny, variances)
    return result


def jackknife_groups(n: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """One group a respondent where n is at most `most`; random groups of nearly equal size otherwise."""
    if n <= most:
        return np.arange(n, dtype=np.intp)
    return rng.permutation(np.arange(n, dtype=np.intp) % most)
