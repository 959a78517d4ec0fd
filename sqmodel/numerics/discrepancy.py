"""The discrepancy between correlations and factors: its minimum for many matrices, and fit statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sqmodel.numerics.correlation import Floats, nearest_positive_definite

Flags = npt.NDArray[np.bool_]

SMALLEST_UNIQUENESS = 0.005
"""Lower bound of a uniqueness, as in psych::fa and stats::factanal: a solution on it is a Heywood case."""


class Spectrum(NamedTuple):
    """The discrepancy at one point, with the ascending eigenvalues and the eigenvectors behind it."""

    objective: Floats
    gradient: Floats
    values: Floats
    vectors: Floats


class Discrepancy(NamedTuple):
    """What is minimised: the spectrum at a point, the second derivatives, and the bounds of the variable.

    The second derivatives come in two parts: one that is never negative, and what the turning of factors
    adds.
    """

    spectrum: Callable[[Floats, Floats, int], Spectrum]
    hessian: Callable[[Spectrum, int], tuple[Floats, Floats]]
    low: float
    high: float


def _least_squares(S: Floats, psi: Floats, k: int) -> Spectrum:
    reduced = S.copy()
    index = np.arange(S.shape[-1])
    reduced[:, index, index] -= psi
    values, vectors = np.linalg.eigh(reduced)
    rest, squares = values[:, :-k], vectors[:, :, :-k] ** 2
    gradient = -(squares @ rest[:, :, None])[..., 0]
    return Spectrum((rest**2).sum(axis=-1) / 2, gradient, values, vectors)


def _least_squares_hessian(point: Spectrum, k: int) -> tuple[Floats, Floats]:
    rest, top = point.values[:, :-k], point.values[:, -k:]
    vectors = point.vectors[:, :, :-k]
    projection = vectors @ vectors.mT
    ratio = 2 * rest[:, :, None] / (rest[:, :, None] - top[:, None, :])
    return projection**2, _mixed(ratio, point, k)


def _likelihood(S: Floats, theta: Floats, k: int) -> Spectrum:
    scale = np.exp(-theta / 2)
    values, vectors = np.linalg.eigh(S * scale[:, :, None] * scale[:, None, :])
    rest, squares = np.maximum(values[:, :-k], 1e-300), vectors[:, :, :-k] ** 2
    gradient = (squares @ (1 - rest)[:, :, None])[..., 0]
    return Spectrum((rest - np.log(rest) - 1).sum(axis=-1), gradient, values, vectors)


def _likelihood_hessian(point: Spectrum, k: int) -> tuple[Floats, Floats]:
    rest, top = point.values[:, :-k, None], point.values[:, None, -k:]
    vectors = point.vectors[:, :, :-k]
    certain = (vectors * point.values[:, None, :-k]) @ vectors.mT * (vectors @ vectors.mT)
    return certain, _mixed((rest - 1) * (rest + top) / (rest - top), point, k)


def _mixed(ratio: Floats, point: Spectrum, k: int) -> Floats:
    """Sum over retained n and rejected m of ratio_mn (v_m v_m') o (v_n v_n'): how the factors turn."""
    rejected, retained = point.vectors[:, :, :-k], point.vectors[:, :, -k:]
    total = np.zeros((len(ratio), rejected.shape[1], rejected.shape[1]))
    for n in range(k):
        weighted = (rejected * ratio[:, None, :, n]) @ rejected.mT
        total += weighted * retained[:, :, None, n] * retained[:, None, :, n]
    return total


LEAST_SQUARES = Discrepancy(_least_squares, _least_squares_hessian, SMALLEST_UNIQUENESS, 1.0)
LIKELIHOOD = Discrepancy(_likelihood, _likelihood_hessian, float(np.log(SMALLEST_UNIQUENESS)), 0.0)


def minimise(
    kind: Discrepancy, S: Floats, start: Floats, k: int, tolerance: float, max_iter: int
) -> tuple[Floats, Spectrum, Floats]:
    """Minimise over a box, all matrices together; those that have converged drop out of the work."""
    theta = np.clip(start, kind.low, kind.high)
    point = kind.spectrum(S, theta, k)
    norm = np.abs(_free_gradient(kind, theta, point.gradient)).max(axis=-1)
    todo = np.flatnonzero(norm > tolerance)
    for _ in range(max_iter):
        if not len(todo):
            break
        everything = len(todo) == len(S)
        here = point if everything else Spectrum(*(part[todo] for part in point))
        matrices, before = (S, theta) if everything else (S[todo], theta[todo])
        step = _step(kind, before, here, k)
        moved, there = _search(kind, matrices, before, step, here, k)
        found = np.abs(_free_gradient(kind, moved, there.gradient)).max(axis=-1)
        stuck = (moved == before).all(axis=-1)
        theta[todo], norm[todo] = moved, found
        for whole, part in zip(point, there, strict=True):
            whole[todo] = part
        todo = todo[(found > tolerance) & ~stuck]
    return theta, point, norm


def _free_gradient(kind: Discrepancy, theta: Floats, gradient: Floats) -> Floats:
    held = ((theta <= kind.low) & (gradient > 0)) | ((theta >= kind.high) & (gradient < 0))
    return np.where(held, 0.0, gradient)


def _step(kind: Discrepancy, theta: Floats, point: Spectrum, k: int) -> Floats:
    """Newton's step; where the exact second derivatives lead uphill, their certain part instead."""
    gradient = _free_gradient(kind, theta, point.gradient)
    fixed = (gradient == 0) & ((theta <= kind.low) | (theta >= kind.high))
    certain, turning = kind.hessian(point, k)
    step = _solve(certain + turning, gradient, fixed)
    uphill = ~((step * gradient).sum(axis=-1) < 0)
    if uphill.any():
        step[uphill] = _solve(certain[uphill], gradient[uphill], fixed[uphill])
    longest = np.abs(step).max(axis=-1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, 0.5 * (kind.high - kind.low) / np.maximum(longest, 1e-300)))


def _solve(hessian: Floats, gradient: Floats, fixed: Flags) -> Floats:
    index = np.arange(hessian.shape[-1])
    if fixed.any():
        hessian = np.where(fixed[:, :, None] | fixed[:, None, :], 0.0, hessian)
    hessian[:, index, index] += np.where(fixed, 1.0, 1e-12)
    try:
        return np.asarray(-np.linalg.solve(hessian, gradient[..., None])[..., 0], dtype=float)
    except np.linalg.LinAlgError:
        hessian[:, index, index] += 1e-6
        return np.asarray(-np.linalg.solve(hessian, gradient[..., None])[..., 0], dtype=float)


def _search(
    kind: Discrepancy, S: Floats, theta: Floats, step: Floats, here: Spectrum, k: int
) -> tuple[Floats, Spectrum]:
    """Shorten the steps that do not lower the discrepancy (beyond rounding); after 20 cuts stay put."""
    moved = np.clip(theta + step, kind.low, kind.high)
    there = kind.spectrum(S, moved, k)
    slack = here.objective + 1e-13 * (1 + np.abs(here.objective))
    for cut in range(1, 21):
        worse = np.flatnonzero(~(there.objective <= slack))
        if not len(worse):
            break
        shorter = theta[worse] + (0.0 if cut == 20 else 0.3**cut) * step[worse]
        moved[worse] = np.clip(shorter, kind.low, kind.high)
        for whole, part in zip(there, kind.spectrum(S[worse], moved[worse], k), strict=True):
            whole[worse] = part
    return moved, there


class FactorFit(NamedTuple):
    """How well factors reproduce a correlation matrix; NaN where there are no degrees of freedom."""

    objective: float
    chisq: float
    df: int
    pvalue: float
    null_chisq: float
    null_df: int
    tli: float
    rmsea: float
    rmsea_low: float
    rmsea_high: float
    rms: float
    chisq_residual: float
    bic: float


def factor_fit(
    R: npt.ArrayLike,
    loadings: npt.ArrayLike,
    phi: npt.ArrayLike | None = None,
    *,
    n: int,
    level: float = 0.90,
) -> FactorFit:
    """How well do the factors reproduce the correlations?

    The conventions of ``psych::fa``: the ML discrepancy of the model with unit diagonal, whatever the
    extraction; Bartlett's correction in `chisq`; `rms` the root mean square of the off-diagonal residuals;
    `chisq_residual` n times their sum of squares; RMSEA with n in its point and n - 1 in its interval (by
    noncentral chi-square).

    Parameters
    ----------
    R : array, p x p
    loadings : array, p x k
    phi : array, k x k, optional
        Correlations of the factors; uncorrelated by default.
    n : int
        Respondents.
    level : float
        Confidence level of the RMSEA interval.
    """
    observed, pattern = np.asarray(R, dtype=float), np.asarray(loadings, dtype=float)
    p, k = pattern.shape
    between = np.eye(k) if phi is None else np.asarray(phi, dtype=float)
    implied = pattern @ between @ pattern.T
    np.fill_diagonal(implied, 1)
    residual = observed - implied
    squares = float((residual**2).sum())
    ratio = np.linalg.solve(nearest_positive_definite(implied), observed)
    objective = float(np.trace(ratio) - np.linalg.slogdet(ratio)[1] - p)
    null = float(-np.linalg.slogdet(observed)[1])
    df, null_df = ((p - k) ** 2 - p - k) // 2, p * (p - 1) // 2
    correction = n - 1 - (2 * p + 5) / 6
    scale = correction - 2 * k / 3
    chisq = max(objective * scale, 0.0)
    rms, tli = float(np.sqrt(squares / (p * (p - 1)))), float("nan")
    if df:
        tli = float((null / null_df - objective / df) / (null / null_df - 1 / scale))
    return FactorFit(
        objective, chisq, df, float(stats.chi2.sf(chisq, df)), null * correction, null_df, tli,
        *_rmsea(chisq, df, n, level), rms, n * squares, float(chisq - df * np.log(n)),
    )  # fmt: skip


def _rmsea(chisq: float, df: int, n: int, level: float) -> tuple[float, float, float]:
    if df == 0:
        return float("nan"), float("nan"), float("nan")

    def bound(probability: float) -> float:
        if stats.chi2.cdf(chisq, df) <= probability:
            return 0.0
        most = max(n, chisq) + 2 * n
        centre = optimize.brentq(lambda c: stats.ncx2.cdf(chisq, df, c) - probability, 0, most, xtol=1e-10)
        return float(np.sqrt(centre / (n - 1) / df))

    point = float(np.sqrt(max(chisq / (df * n) - 1 / (n - 1), 0)))
    return point, bound((1 + level) / 2), bound((1 - level) / 2)
