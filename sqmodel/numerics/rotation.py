"""Rotation of factors to simple structure, alignment of solutions, Schmid-Leiman and omega hierarchical."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.factoring import minres

Criterion = Callable[[Floats], tuple[float, Floats]]


class Rotation(NamedTuple):
    """Rotated factors: the pattern (p x k, unrotated loadings times `matrix`), factor correlations `phi`.

    `criterion` is the value at the solution, NaN for promax, which has none.
    """

    loadings: Floats
    phi: Floats
    matrix: Floats
    criterion: float
    converged: bool


def varimax(
    loadings: npt.ArrayLike, *, normalise: bool = True, tolerance: float = 1e-5, max_iter: int = 1000
) -> Rotation:
    """Which orthogonal factors have the most varied squared loadings (Kaiser 1958)?

    The iteration of ``stats::varimax``, which psych uses, with Kaiser's row normalisation. R stops when the
    sum of singular values grows by less than the share `tolerance`; at R's 1e-5 loadings can lie 1e-3 from
    the optimum, so give 1e-12 for the optimum itself.
    """
    unrotated = np.asarray(loadings, dtype=float)
    weight = _row_lengths(unrotated) if normalise else np.ones((len(unrotated), 1))
    scaled = unrotated / weight
    turn, before, now, converged = np.eye(unrotated.shape[1]), 0.0, 0.0, unrotated.shape[1] == 1
    for _ in range(0 if converged else max_iter):
        z = scaled @ turn
        left, singular, right = np.linalg.svd(scaled.T @ (z**3 - z * (z**2).mean(axis=0)))
        turn, before, now = left @ right, now, float(singular.sum())
        if now < before * (1 + tolerance):
            converged = True
            break
    squares = (scaled @ turn) ** 2
    value = -float(squares.var(axis=0).sum())
    return Rotation(unrotated @ turn, np.eye(len(turn)), turn, value, converged)


def promax(loadings: npt.ArrayLike, *, power: float = 4, normalise: bool = True, tolerance: float = 1e-5) -> Rotation:
    """Which oblique factors come closest to the varimax loadings raised to a power (Hendrickson-White 1964)?

    psych knows two: ``"promax"`` (`normalise` true: rows are normalised before everything, and restored
    after), and ``"Promax"`` (false: only the varimax step inside normalises). stats::promax is the second.
    """
    unrotated = np.asarray(loadings, dtype=float)
    scaled = unrotated / _row_lengths(unrotated) if normalise else unrotated
    first = varimax(scaled, tolerance=tolerance)
    if unrotated.shape[1] == 1:
        return first._replace(loadings=unrotated)
    target = first.loadings * np.abs(first.loadings) ** (power - 1)
    U = np.linalg.lstsq(first.loadings, target, rcond=None)[0]
    U = U * np.sqrt(np.diag(np.linalg.inv(U.T @ U)))
    matrix = first.matrix @ U
    inverse = np.linalg.inv(matrix)
    return Rotation(unrotated @ matrix, inverse @ inverse.T, matrix, float("nan"), first.converged)


def oblimin(
    loadings: npt.ArrayLike, *, gamma: float = 0.0, starts: int = 0, rng: np.random.Generator | int = 0,
    tolerance: float = 1e-6, max_iter: int = 5000,
) -> Rotation:  # fmt: skip
    """Which oblique factors have the smallest cross products of squared loadings?

    Gradient projection (Jennrich 2002; Bernaards & Jennrich 2005) without Kaiser normalisation, from the
    identity, as GPArotation does; R stops at a projected gradient of 1e-5.

    Parameters
    ----------
    loadings : array, p x k
    gamma : float
        0 is quartimin, .5 biquartimin, 1 covarimin.
    starts : int
        Random orthogonal starts on top of the identity; the best criterion is kept.
    rng : Generator or int
    tolerance : float
        Length of the projected gradient that counts as zero.
    max_iter : int
    """

    def criterion(L: Floats) -> tuple[float, Floats]:
        squares = L**2
        others = squares.sum(axis=1, keepdims=True) - squares
        others = others - gamma * others.mean(axis=0)
        return float((squares * others).sum() / 4), L * others

    return _best(np.asarray(loadings, dtype=float), criterion, starts, rng, tolerance, max_iter)


def quartimin(loadings: npt.ArrayLike, *, starts: int = 0, rng: np.random.Generator | int = 0) -> Rotation:
    """Oblimin with gamma 0, under its older name."""
    return oblimin(loadings, starts=starts, rng=rng)


def geomin(
    loadings: npt.ArrayLike, *, delta: float = 0.01, starts: int = 0, rng: np.random.Generator | int = 0,
    tolerance: float = 1e-6, max_iter: int = 5000,
) -> Rotation:  # fmt: skip
    """Which oblique factors have rows with at least one loading near zero (Yates 1987)?

    GPArotation's ``geominQ``: geometric means of the squared loadings plus `delta`. The criterion has local
    minima; give some `starts`. Parameters as in `oblimin`.
    """

    def criterion(L: Floats) -> tuple[float, Floats]:
        k = L.shape[1]
        raised = L**2 + delta
        product = np.exp(np.log(raised).sum(axis=1, keepdims=True) / k)
        return float(product.sum()), 2 / k * L / raised * product

    return _best(np.asarray(loadings, dtype=float), criterion, starts, rng, tolerance, max_iter)


def _row_lengths(loadings: Floats) -> Floats:
    lengths = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    return np.where(lengths == 0, 1.0, lengths)


def _best(
    unrotated: Floats, criterion: Criterion, starts: int, rng: np.random.Generator | int, tolerance: float,
    max_iter: int,
) -> Rotation:  # fmt: skip
    k = unrotated.shape[1]
    if k == 1:
        return Rotation(unrotated, np.eye(1), np.eye(1), criterion(unrotated)[0], True)
    generator = np.random.default_rng(rng)
    best = _project(unrotated, criterion, np.eye(k), tolerance, max_iter)
    for _ in range(starts):
        start = np.linalg.qr(generator.normal(size=(k, k)))[0]
        other = _project(unrotated, criterion, start, tolerance, max_iter)
        best = other if other.criterion < best.criterion - 1e-10 else best
    return best


def _project(A: Floats, criterion: Criterion, turn: Floats, tolerance: float, max_iter: int) -> Rotation:
    """Gradient projection over matrices with columns of length one; the pattern is A inv(turn)'."""
    inverse = np.linalg.inv(turn)
    L = A @ inverse.T
    value, slope = criterion(L)
    size, length = 1.0, np.inf
    for _ in range(max_iter):
        gradient = -(L.T @ slope @ inverse).T
        direction = gradient - turn * (turn * gradient).sum(axis=0)
        length = float(np.sqrt((direction**2).sum()))
        if length < tolerance:
            break
        size *= 2
        for _ in range(11):
            trial = turn - size * direction
            trial = trial / np.sqrt((trial**2).sum(axis=0))
            inverse = np.linalg.inv(trial)
            L = A @ inverse.T
            found, slope = criterion(L)
            if value - found > 0.5 * length**2 * size:
                break
            size /= 2
        turn, value = trial, found
    return Rotation(L, turn.T @ turn, np.asarray(inverse.T, dtype=float), value, length < tolerance)


class Arranged(NamedTuple):
    """Loadings with reordered and reflected columns, and the factor correlations with them.

    Column j is ``sign[j]`` times the old column ``order[j]``; `congruence` holds Tucker's coefficients (NaN
    where there was nothing to compare with).
    """

    loadings: Floats
    phi: Floats
    order: npt.NDArray[np.intp]
    sign: Floats
    congruence: Floats


def _arrange(loadings: Floats, phi: Floats, order: npt.NDArray[np.intp], sign: Floats, congruence: Floats) -> Arranged:
    turned = phi[np.ix_(order, order)] * np.outer(sign, sign)
    return Arranged(loadings[:, order] * sign, turned, order, sign, congruence)


def sort_factors(loadings: npt.ArrayLike, phi: npt.ArrayLike | None = None) -> Arranged:
    """Put factors in psych's order: each reflected to a non-negative sum, then by variance accounted for.

    The variance of a factor is the diagonal of ``phi L'L``, in decreasing order.
    """
    L = np.asarray(loadings, dtype=float)
    between = np.eye(L.shape[1]) if phi is None else np.asarray(phi, dtype=float)
    sign = np.where(L.sum(axis=0) < 0, -1.0, 1.0)
    variance = ((between * np.outer(sign, sign)) * ((L * sign).T @ (L * sign))).sum(axis=1)
    order = np.argsort(-variance, kind="stable")
    return _arrange(L, between, order, sign[order], np.full(L.shape[1], np.nan))


def align(loadings: npt.ArrayLike, target: npt.ArrayLike, phi: npt.ArrayLike | None = None) -> Arranged:
    """Which column is which? Reorder and reflect factors to agree best with a target.

    Tucker's congruence, columns assigned one to one so that the sum of absolute coefficients is largest.

    Parameters
    ----------
    loadings, target : array, p x k
    phi : array, k x k, optional

    Raises
    ------
    ComputationError
        The shapes differ.

    Examples
    --------
    >>> align([[0.1, -0.8], [0.7, 0.2]], [[0.8, 0.0], [0.0, 0.7]]).loadings.tolist()
    [[0.8, 0.1], [-0.2, 0.7]]
    """
    L, T = np.asarray(loadings, dtype=float), np.asarray(target, dtype=float)
    if L.shape != T.shape:
        raise ComputationError(
            f"expected loadings of the target's shape {T.shape}, found {L.shape}; extract as many factors"
        )
    between = np.eye(L.shape[1]) if phi is None else np.asarray(phi, dtype=float)
    lengths = np.outer(np.sqrt((T**2).sum(axis=0)), np.sqrt((L**2).sum(axis=0)))
    congruence = T.T @ L / np.maximum(lengths, 1e-300)
    rows, order = linear_sum_assignment(-np.abs(congruence))
    chosen = congruence[rows, order]
    sign = np.where(chosen < 0, -1.0, 1.0)
    return _arrange(L, between, order, sign, np.abs(chosen))


class SchmidLeiman(NamedTuple):
    """An oblique solution as one general factor (p loadings) and independent group factors (p x k).

    `general_by_factor` holds the loadings of the k group factors on the general one.
    """

    general: Floats
    group: Floats
    uniquenesses: Floats
    general_by_factor: Floats


def schmid_leiman(loadings: npt.ArrayLike, phi: npt.ArrayLike) -> SchmidLeiman:
    """How much of each item is general, how much belongs to its group (Schmid & Leiman 1957)?

    The conventions of ``psych::schmid``: the factor correlations are factored by one-factor minres; with
    two factors that is not identified, and both get the square root of the absolute correlation (psych's
    ``option="equal"``). One factor raises ComputationError.
    """
    pattern, between = np.asarray(loadings, dtype=float), np.asarray(phi, dtype=float)
    k = pattern.shape[1]
    if k < 2:
        raise ComputationError("expected at least 2 factors below a general one, found 1; use its own omega")
    if k == 2:
        root = np.sqrt(abs(between[0, 1]))
        higher = np.array([root, np.sign(between[0, 1]) * root])
    else:
        higher = minres(between, 1).loadings[:, 0]
    group = pattern * np.sqrt(np.maximum(1 - higher**2, 0))
    communalities = ((pattern @ between) * pattern).sum(axis=1)
    return SchmidLeiman(pattern @ higher, group, 1 - communalities, higher)


class Omega(NamedTuple):
    """Share of a sum score's variance due to the general factor, and to all common factors."""

    hierarchical: float
    total: float


def omega_from_schmid_leiman(solution: SchmidLeiman, R: npt.ArrayLike) -> Omega:
    """How much of a sum score is general, how much is common (Zinbarg et al. 2005; ``psych::omega``)?

    Items whose general loading is negative are reversed first, as psych does by default (``flip=TRUE``).
    """
    key = np.where(solution.general < 0, -1.0, 1.0)
    variance = float(key @ np.asarray(R, dtype=float) @ key)
    general = float(np.abs(solution.general).sum()) ** 2
    return Omega(general / variance, 1 - float(solution.uniquenesses.sum()) / variance)


def omega_hierarchical(R: npt.ArrayLike, n_factors: int = 3) -> Omega:
    """Omega as ``psych::omega`` finds it: minres, varimax, oblimin from there, Schmid-Leiman."""
    rotated = oblimin(varimax(minres(R, n_factors).loadings).loadings)
    return omega_from_schmid_leiman(schmid_leiman(rotated.loadings, rotated.phi), R)
