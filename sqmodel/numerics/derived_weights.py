"""Weights that follow from totals over cases: all resamples at once, and intervals that stay between 0 and 1."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.relative_importance import relative_weights, shapley_shares

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Derivation = Literal["shapley", "relative", "loadings", "component", "entropy", "critic"]
WITH_OUTCOME: tuple[Derivation, ...] = ("shapley", "relative")
WITH_LOADINGS: tuple[Derivation, ...] = ("loadings", "component")
_SMALLEST_EIGENVALUE = 1e-10


def weight_columns(x: Floats, weight: Floats, outcome: Floats | None = None) -> Floats:
    """What each case adds to the totals from which weights follow.

    Parameters
    ----------
    x : ndarray, shape (cases, indicators)
        Non-negative for the entropy; negative values add nothing to it.
    weight : ndarray, shape (cases,)
        Sample weights; a case with weight 0 may hold NaN.
    outcome : ndarray, shape (cases,), optional
        What the indicators explain, for `WITH_OUTCOME`.

    Returns
    -------
    ndarray, shape (cases, 1 + q + q (q + 1) / 2 + indicators)
        Weight, values, their products, x log x; q counts the indicators and the outcome.
    """
    z = x if outcome is None else np.column_stack([x, outcome])
    z = np.where(weight[:, None] > 0, z, 0.0)
    rows, columns = np.triu_indices(z.shape[1])
    own = z[:, : x.shape[1]]
    logged = own * np.log(np.where(own > 0, own, 1.0))
    parts = [np.ones((len(z), 1)), z, z[:, rows] * z[:, columns], logged]
    return np.asarray(weight[:, None] * np.column_stack(parts))


def covariances(totals: Floats, indicators: int) -> Floats:
    """Covariances (..., q, q) of indicators and outcome from totals of `weight_columns`; the divisor is the weight."""
    q = _width(totals, indicators)
    rows, columns = np.triu_indices(q)
    mass = totals[..., :1]
    mean = totals[..., 1 : 1 + q] / mass
    found = np.empty((*totals.shape[:-1], q, q))
    found[..., rows, columns] = found[..., columns, rows] = totals[..., 1 + q : 1 + q + len(rows)] / mass
    found -= mean[..., :, None] * mean[..., None, :]
    # What rounding leaves of a variance of zero is zero.
    index = np.arange(q)
    raw = found[..., index, index] + mean**2
    found[..., index, index] = np.where(found[..., index, index] <= 1e-13 * raw, 0.0, found[..., index, index])
    return found


def _width(totals: Floats, indicators: int) -> int:
    """Indicators and outcomes behind totals."""
    alone = 1 + 2 * indicators + indicators * (indicators + 1) // 2
    return indicators if totals.shape[-1] == alone else indicators + 1


def derived_weights(totals: Floats, method: Derivation, indicators: int) -> Floats:
    """Weights of the indicators.

    Parameters
    ----------
    totals : ndarray, shape (..., columns)
        Sums of `weight_columns` over the cases of a sample, or of many resamples.
    method : {"shapley", "relative", "loadings", "component", "entropy", "critic"}
        shapley, relative: shares of the R squared of the outcome (`shapley_shares`, `relative_weights`). loadings,
        component: squares of `first_loadings`. entropy: as `entropy_weights`, where the logarithm of the number of
        cases cancels: shares of Theil's index. critic: standard deviation times the sum of one less correlation, as
        `critic_weights` of values that are on one scale already.
    indicators : int

    Returns
    -------
    ndarray, shape (..., indicators)
        Non-negative, sums to one; NaN where the weights are not defined (an indicator without variance, or two that
        repeat each other, in that resample).
    """
    flat = np.atleast_2d(totals.reshape(-1, totals.shape[-1]))
    if indicators == 1:
        return np.ones((*totals.shape[:-1], 1))
    values = _theil(flat, indicators) if method == "entropy" else _from_moments(flat, method, indicators)
    total = values.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(total > 0, values / total, np.nan)
    return np.asarray(shares.reshape(*totals.shape[:-1], indicators))


def _theil(totals: Floats, k: int) -> Floats:
    sums = totals[:, 1 : 1 + k]
    with np.errstate(invalid="ignore", divide="ignore"):
        told = totals[:, -k:] / sums - np.log(sums / totals[:, :1])
    # A share of nothing is no share: no weights where an indicator is zero throughout.
    return np.where(sums > 0, np.where(told > 1e-12, told, 0.0), np.nan)


def _from_moments(totals: Floats, method: Derivation, k: int) -> Floats:
    r, deviations, defined = _correlations(totals, method, k)
    values = np.full((len(totals), k), np.nan)
    r = r[defined]
    if not len(r):
        return values
    if method == "critic":
        found = deviations[defined, :k] * (1 - r[:, :k, :k]).sum(axis=-1)
    elif method in WITH_LOADINGS:
        found = first_loadings(r[:, :k, :k], method) ** 2
    else:
        share = shapley_shares if method == "shapley" else relative_weights
        found = np.maximum(share(r[:, :k, :k], r[:, :k, -1]), 0.0)
    values[defined] = found
    return values


def _correlations(totals: Floats, method: Derivation, k: int) -> tuple[Floats, Floats, Bools]:
    """Correlations, standard deviations, and in which resamples the method's weights are defined."""
    c = covariances(totals, k)
    used = c.shape[-1] if method in WITH_OUTCOME else k
    c = c[:, :used, :used]
    deviations = np.sqrt(np.diagonal(c, axis1=-2, axis2=-1))
    defined: Bools = np.asarray((deviations > 0).all(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = c / (deviations[:, :, None] * deviations[:, None, :])
    if method not in ("critic", "component"):
        r = np.where(defined[:, None, None], r, np.eye(used))
        defined = defined & np.asarray(np.linalg.eigvalsh(r[:, :k, :k])[:, 0] > _SMALLEST_EIGENVALUE)
    return r, deviations, defined


def first_loadings(r: Floats, method: Derivation) -> Floats:
    """Signed loadings on the one factor or component that explains most.

    Parameters
    ----------
    r : ndarray, shape (..., k, k)
        Correlations, k at least 2.
    method : {"loadings", "component"}
        loadings: one common factor by minres; of two indicators, whose factor is not identified, equal loadings, the
        square root of their correlation, the second with its sign. component: the first principal component's vector.

    Returns
    -------
    ndarray, shape (..., k)
        Its sum is not negative.
    """
    k = r.shape[-1]
    if method == "component" and k == 2:
        # The sum of (1, -1) is what rounding makes of zero.
        second = np.where(r[..., 0, 1] < 0, -1.0, 1.0)
        return np.asarray(np.stack([np.ones_like(second), second], axis=-1) / np.sqrt(2))
    if method == "component":
        vector = np.linalg.eigh(r)[1][..., -1]
        return np.asarray(vector * np.where(vector.sum(axis=-1, keepdims=True) < 0, -1.0, 1.0))
    if k == 2:
        found = np.sqrt(np.abs(r[..., 0, 1]))
        return np.stack([found, np.sign(r[..., 0, 1]) * found], axis=-1)
    return np.asarray(minres(r, 1).loadings[..., 0])


def loadings_of(totals: Floats, method: Derivation, indicators: int) -> Floats:
    """`first_loadings` from totals; NaN where they are not defined."""
    flat = np.atleast_2d(totals)
    r, _, defined = _correlations(flat, method, indicators)
    found = np.full((len(flat), indicators), np.nan)
    if defined.any():
        found[defined] = first_loadings(r[defined], method)
    return np.asarray(found.reshape(*totals.shape[:-1], indicators))


def share_bounds(
    estimate: Floats, draws: Floats, n: int, *, level: float = 0.95, scale: float = 1.0
) -> tuple[Floats, Floats]:
    """Interval of shares (or of scores from 0 to `scale`) from their bootstrap draws.

    Parameters
    ----------
    estimate : ndarray, shape (m,)
    draws : ndarray, shape (draws, m)
        NaN where a draw has none.
    n : int
        Cases that were resampled.
    level, scale : float

    Returns
    -------
    low, high : ndarray, shape (m,)
        NaN where fewer than half of the draws have a value; the estimate where it does not vary.

    Raises
    ------
    ComputationError
        An estimate outside of 0 to `scale`.

    Notes
    -----
    Student's t on the logit, which keeps the bounds inside and takes up the skewness of small shares. The standard
    error is half the distance between the draws' quantiles at one standard deviation: draws at 0 or 1, whose logit
    is infinite, do not upset it. Percentile intervals cover less (tests/benchmarks/weights.py). An estimate of 0 or
    1 has no logit: there the bounds are percentiles.
    """
    if not ((estimate >= 0) & (estimate <= scale)).all():
        raise ComputationError(f"interval: expected shares from 0 to {scale:g}, found others")
    moved, at = (_logit(v / scale) for v in (draws, estimate))
    lower, upper = _quantiles(moved, stats.norm.cdf([-1.0, 1.0]))
    with np.errstate(invalid="ignore"):
        half = stats.t.ppf((1 + level) / 2, n - 1) * (upper - lower) / 2 * np.sqrt(n / (n - 1))
        low, high = (scale / (1 + np.exp(-(at + s * half))) for s in (-1, 1))
    ends = ~np.isfinite(at)
    if ends.any():
        low[ends], high[ends] = _quantiles(draws[:, ends], np.array([(1 - level) / 2, (1 + level) / 2]))
    return low, high


def difference_bounds(estimate: Floats, draws: Floats, n: int, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """As `share_bounds`, of differences: on their own scale."""
    lower, upper = _quantiles(draws, stats.norm.cdf([-1.0, 1.0]))
    half = stats.t.ppf((1 + level) / 2, n - 1) * (upper - lower) / 2 * np.sqrt(n / (n - 1))
    return estimate - half, estimate + half


def _logit(share: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(share / (1 - share)))


def _quantiles(draws: Floats, probabilities: Floats) -> tuple[Floats, Floats]:
    """Two quantiles of each column without interpolation, so that infinite draws do no harm; NaN where draws lack."""
    known = ~np.isnan(draws)
    enough = 2 * known.sum(axis=0) >= len(draws)
    ordered = np.sort(draws, axis=0)
    found = []
    for p in probabilities:
        place = np.clip(np.rint(p * (known.sum(axis=0) - 1)), 0, None).astype(np.intp)
        found.append(np.where(enough, np.take_along_axis(ordered, place[None], axis=0)[0], np.nan))
    return found[0], found[1]
