"""Common factors of correlation matrices by minres, maximum likelihood and principal axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats, smc, to_correlation
from sqmodel.numerics.discrepancy import LEAST_SQUARES, LIKELIHOOD, SMALLEST_UNIQUENESS, Flags, minimise


class Extraction(NamedTuple):
    """Unrotated factors; every field has the leading dimensions of the matrices it was made from.

    Attributes
    ----------
    loadings : array, ..., p, k
        Columns in the order of their eigenvalues, each with a non-negative sum.
    uniquenesses : array, ..., p
    objective : array, ...
        The minimum of the discrepancy: half the sum of squared residuals (minres, principal axis), or
        Wilks' ML discrepancy.
    gradient_norm : array, ...
        Largest absolute derivative by a uniqueness (by its logarithm for ML) that is not held by a bound.
    converged : boolean array, ...
    heywood : boolean array, ...
        A uniqueness lies on its bound (principal axis: a communality reached 1).
    """

    loadings: Floats
    uniquenesses: Floats
    objective: Floats
    gradient_norm: Floats
    converged: Flags
    heywood: Flags


def minres(
    R: npt.ArrayLike,
    n_factors: int,
    *,
    tolerance: float = 1e-10,
    max_iter: int = 200,
    start: Floats | None = None,
) -> Extraction:
    """Which loadings leave the smallest residual correlations?

    Unweighted least squares over uniquenesses in [.005, 1] (Harman & Jones 1966), by Newton's method with
    exact second derivatives, for one matrix or many. psych::fa stops its quasi-Newton search earlier; the
    two differ by about 1e-5.

    Parameters
    ----------
    R : array, ..., p, p
        Correlation matrices.
    n_factors : int
    tolerance : float
        Largest absolute derivative that counts as zero.
    max_iter : int
    start : array, ..., p, optional
        Uniquenesses to start from; by default one less the squared multiple correlations, as psych does.

    Raises
    ------
    ComputationError
        Too many factors for the items, or a singular matrix.

    Examples
    --------
    >>> R = np.full((4, 4), 0.49); np.fill_diagonal(R, 1)
    >>> minres(R, 1).loadings.ravel().round(6).tolist()
    [0.7, 0.7, 0.7, 0.7]
    """
    matrices, shape = _stack(R, n_factors)
    guess = 1 - smc(matrices) if start is None else np.broadcast_to(start, (*shape, matrices.shape[-1]))
    guess = guess.reshape(matrices.shape[:-1])
    psi, point, norm = minimise(LEAST_SQUARES, matrices, guess, n_factors, tolerance, max_iter)
    top, vectors = point.values[:, None, : -n_factors - 1 : -1], point.vectors[:, :, : -n_factors - 1 : -1]
    loadings = vectors * np.sqrt(np.maximum(top, 0))
    return _extraction(loadings, psi, point.objective, norm, norm <= 100 * tolerance, shape)


def maximum_likelihood(
    R: npt.ArrayLike,
    n_factors: int,
    *,
    tolerance: float = 1e-10,
    max_iter: int = 200,
    start: Floats | None = None,
) -> Extraction:
    """Which loadings make the observed correlations most likely under normality?

    Joreskog's (1967) discrepancy of the uniquenesses in [.005, 1], by Newton's method in their logarithms
    with exact second derivatives. Same optimum as stats::factanal and psych's ``fm="ml"``.

    Parameters, errors and result are those of `minres`.
    """
    matrices, shape = _stack(R, n_factors)
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError as error:
        raise ComputationError(
            "expected positive definite correlations for maximum likelihood, found a matrix that is not; "
            "use minres, smooth the matrix, or leave out items that repeat others"
        ) from error
    guess = 1 - smc(matrices) if start is None else np.broadcast_to(start, (*shape, matrices.shape[-1]))
    guess = np.log(np.maximum(guess, SMALLEST_UNIQUENESS)).reshape(matrices.shape[:-1])
    theta, point, norm = minimise(LIKELIHOOD, matrices, guess, n_factors, tolerance, max_iter)
    top, vectors = point.values[:, None, : -n_factors - 1 : -1], point.vectors[:, :, : -n_factors - 1 : -1]
    loadings = np.exp(theta / 2)[:, :, None] * vectors * np.sqrt(np.maximum(top - 1, 0))
    return _extraction(loadings, np.exp(theta), point.objective, norm, norm <= 100 * tolerance, shape)


def principal_axis(R: npt.ArrayLike, n_factors: int, *, tolerance: float = 1e-3, max_iter: int = 50) -> Extraction:
    """Which loadings come from repeating a principal component analysis with communalities in the diagonal?

    The defaults are psych's (``min.err``, ``max.iter``): the sum of communalities changes by less than
    .001. That is loose; with ``tolerance=1e-12, max_iter=10_000`` the result is that of `minres` where no
    Heywood case arises.

    Parameters, errors and result are those of `minres`, for one matrix.
    """
    matrices, _ = _stack(R, n_factors)
    reduced = matrices[0].copy()
    communalities = np.asarray(smc(reduced))
    for _ in range(max_iter):
        np.fill_diagonal(reduced, communalities)
        values, vectors = np.linalg.eigh(reduced)
        top = np.maximum(values[: -n_factors - 1 : -1], 0)
        loadings = vectors[:, : -n_factors - 1 : -1] * np.sqrt(top)
        before, communalities = communalities, (loadings**2).sum(axis=1)
        change = abs(before.sum() - communalities.sum())
        if change <= tolerance:
            break
    residual = matrices[0] - loadings @ loadings.T
    np.fill_diagonal(residual, 0)
    norm = np.abs(communalities - before).max()
    return Extraction(
        _signed(loadings), 1 - communalities, np.asarray((residual**2).sum() / 2), np.asarray(norm),
        np.asarray(change <= tolerance), np.asarray(communalities.max() >= 1),
    )  # fmt: skip


class OneFactor(NamedTuple):
    """One factor of many covariance matrices, in the items' own units.

    Attributes
    ----------
    loadings, uniquenesses : array, ..., k
    gradient_norm : array, ...
    converged, heywood : boolean array, ...
        A Heywood case is flagged, never raised: its uniqueness is .005 of the item's variance.
    """

    loadings: Floats
    uniquenesses: Floats
    gradient_norm: Floats
    converged: Flags
    heywood: Flags


def one_factor_ml(S: npt.ArrayLike, *, start: Floats | None = None, tolerance: float = 1e-10) -> OneFactor:
    """What are the maximum likelihood loadings on one factor, for very many covariance matrices at once?

    Parameters
    ----------
    S : array, ..., k, k
        Covariance or correlation matrices, k at least 3 (with 3 items the factor fits exactly where it is
        proper).
    start : array, ..., k or k, optional
        Loadings in the items' units to start from, such as those of the full sample in a jackknife.
    tolerance : float
        Largest absolute derivative of the discrepancy by a log uniqueness.

    Raises
    ------
    ComputationError
        Fewer than three items, an item without variance, or a singular matrix.

    Examples
    --------
    >>> fit = one_factor_ml([[4.0, 0.72, 0.56], [0.72, 1.0, 0.56], [0.56, 0.56, 1.0]])
    >>> fit.loadings.round(4).tolist(), bool(fit.heywood)
    ([0.8485, 0.8485, 0.66], False)
    """
    covariance = np.asarray(S, dtype=float)
    k = covariance.shape[-1]
    if k < 3:
        raise ComputationError(
            f"expected at least 3 items for one factor, found {k}: two items fit every factor; "
            "add an item or report their correlation"
        )
    deviations = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    first = None if start is None else 1 - (np.asarray(start, dtype=float) / deviations) ** 2
    fit = maximum_likelihood(to_correlation(covariance), 1, tolerance=tolerance, start=first)
    loadings = fit.loadings[..., 0] * deviations
    uniquenesses = fit.uniquenesses * deviations**2
    return OneFactor(loadings, uniquenesses, fit.gradient_norm, fit.converged, fit.heywood)


def most_factors(p: int) -> int:
    """The largest number of factors that leaves p items non-negative degrees of freedom (Ledermann 1937)."""
    return max((k for k in range(1, p) if (p - k) ** 2 >= p + k), default=0)


def _stack(R: npt.ArrayLike, n_factors: int) -> tuple[Floats, tuple[int, ...]]:
    matrices = np.asarray(R, dtype=float)
    p = matrices.shape[-1]
    if not 1 <= n_factors <= most_factors(p):
        raise ComputationError(
            f"expected 1 to {most_factors(p)} factors for {p} items, found {n_factors}; "
            "ask for fewer factors or use more items"
        )
    if not np.isfinite(matrices).all():
        raise ComputationError("expected finite correlations, found missing ones; leave out items without variance")
    return matrices.reshape(-1, p, p), matrices.shape[:-2]


def _signed(loadings: Floats) -> Floats:
    return np.asarray(loadings * np.where(loadings.sum(axis=-2, keepdims=True) < 0, -1.0, 1.0))


def _extraction(
    loadings: Floats, psi: Floats, objective: Floats, norm: Floats, converged: Flags, shape: tuple[int, ...]
) -> Extraction:
    heywood = (psi <= SMALLEST_UNIQUENESS * (1 + 1e-9)).any(axis=-1)
    parts = (_signed(loadings), psi, objective, norm, converged, heywood)
    return Extraction(*(part.reshape(shape + part.shape[1:]) for part in parts))  # type: ignore[arg-type]
