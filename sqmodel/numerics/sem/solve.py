"""The search for the minimum: Fisher scoring with a certificate, many groups by elimination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Block, Ints
from sqmodel.numerics.sem.samples import Sample

DENSE = 1500
"""Up to so many parameters the information is one matrix; beyond, groups are eliminated one by one."""
_SCORING = 40
_CREEPING = 0.3
"""Fisher scoring that shrinks the decrement by less than this hands over to Newton's method."""


class Solution(NamedTuple):
    """Where the search ended.

    Attributes
    ----------
    theta : array, q
    value : float
        Discrepancy, half of the usual F.
    by_group : array, G
        Each group's own discrepancy.
    gradient_norm : float
        Largest absolute derivative that no bound holds.
    decrement : float
        g' I^-1 g: twice what another step would gain.
    converged : bool
    iterations : int
    at_bound : boolean array, q
    """

    theta: Floats
    value: float
    by_group: Floats
    gradient_norm: float
    decrement: float
    converged: bool
    iterations: int
    at_bound: npt.NDArray[np.bool_]


class Curvature:
    """A symmetric matrix that is a sum over groups, in which most parameters belong to one group only.

    Parameters
    ----------
    q : int
        Free parameters.
    parts : list of (matrix, parameter numbers)
        Of each group; numbers may repeat where cells are equal.
    """

    def __init__(self, q: int, parts: Sequence[tuple[Floats, Ints]]) -> None:
        self.q = q
        self.parts = [_collapsed(matrix, number) for matrix, number in parts]
        self.dense: Floats | None = None
        if q <= DENSE:
            self.dense = np.zeros((q, q))
            for matrix, number in self.parts:
                self.dense[np.ix_(number, number)] += matrix
            return
        counts = np.zeros(q, dtype=int)
        for _, number in self.parts:
            counts[number] += 1
        self._shared = np.flatnonzero(counts > 1)
        place = np.full(q, -1)
        place[self._shared] = np.arange(len(self._shared))
        self._groups = []
        corner = np.zeros((len(self._shared),) * 2)
        for matrix, number in self.parts:
            own, common = np.flatnonzero(counts[number] == 1), np.flatnonzero(counts[number] > 1)
            inverse = np.linalg.pinv(matrix[np.ix_(own, own)], hermitian=True)
            border = matrix[np.ix_(own, common)]
            at = place[number[common]]
            corner[np.ix_(at, at)] += matrix[np.ix_(common, common)] - border.T @ inverse @ border
            self._groups.append((number[own], at, inverse, border))
        self._corner = np.linalg.pinv(corner, hermitian=True)

    def solve(self, gradient: Floats) -> Floats:
        """The inverse times a vector."""
        if self.dense is not None:
            return _solve(self.dense, gradient)
        right = gradient[self._shared].copy()
        for own, at, inverse, border in self._groups:
            right[at] -= border.T @ (inverse @ gradient[own])
        out = np.empty(self.q)
        common = self._corner @ right
        out[self._shared] = common
        for own, at, inverse, border in self._groups:
            out[own] = inverse @ (gradient[own] - border @ common[at])
        return out

    def inverse_diagonal(self) -> Floats:
        """Diagonal of the inverse."""
        if self.dense is not None:
            return np.asarray(np.diag(np.linalg.inv(self.dense)))
        out = np.empty(self.q)
        out[self._shared] = np.diag(self._corner)
        for own, at, inverse, border in self._groups:
            lean = inverse @ border
            middle = self._corner[np.ix_(at, at)]
            out[own] = np.diag(inverse) + np.einsum("ij,jk,ik->i", lean, middle, lean)
        return out


def _collapsed(matrix: Floats, number: Ints) -> tuple[Floats, Ints]:
    """Rows and columns of cells that share a parameter added up."""
    parameter, place = np.unique(number, return_inverse=True)
    if len(parameter) == len(number):
        order = np.argsort(number)
        return matrix[np.ix_(order, order)], parameter
    to = np.zeros((len(number), len(parameter)))
    to[np.arange(len(number)), place] = 1
    return to.T @ matrix @ to, parameter


def _solve(matrix: Floats, gradient: Floats) -> Floats:
    """By Cholesky on unit diagonals; a little ridge where the matrix is singular."""
    size = np.sqrt(np.maximum(np.diag(matrix), 1e-12))
    scaled = matrix / np.outer(size, size)
    for ridge in (0.0, 1e-8, 1e-4, 1e-2):
        try:
            root = np.linalg.cholesky(scaled + ridge * np.eye(len(size)))
        except np.linalg.LinAlgError:
            continue
        half = np.linalg.solve(root, gradient / size)
        return np.asarray(np.linalg.solve(root.T, half) / size)
    return np.asarray(gradient / size**2)


def gradient_of(blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats) -> Floats:
    """Of the discrepancy over all groups, each with its share of the respondents."""
    total = sum(sample.n for sample in samples)
    out = np.zeros(len(theta))
    for block, sample in zip(blocks, samples, strict=True):
        slope, number = sample.gradient(block, theta)
        out += np.bincount(number, slope * (sample.n / total), minlength=len(theta))
    return out


def information_of(
    blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats, *, observed: bool = False
) -> Curvature:
    """Information of one respondent over all groups: expected, or the exact second derivatives."""
    total = sum(sample.n for sample in samples)
    parts = []
    for block, sample in zip(blocks, samples, strict=True):
        matrix, number = sample.hessian(block, theta) if observed else sample.information(block, theta)
        parts.append((matrix * (sample.n / total), number))
    return Curvature(len(theta), parts)


def _values(blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats) -> Floats:
    return np.array([s.value(b, theta) for b, s in zip(blocks, samples, strict=True)])


def minimise(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    start: Floats,
    *,
    bounds: tuple[Floats, Floats] | None = None,
    tolerance: float = 1e-14,
    max_iter: int = 200,
) -> Solution:
    """Which parameters bring the implied moments nearest to the data?

    Fisher scoring (Gauss and Newton's steps for least squares) with halved steps; where it creeps, as in badly
    fitting or improper models, Newton's method with exact second derivatives. It ends when another step would gain
    less than `tolerance`, which is the certificate together with the gradient's norm.

    Parameters
    ----------
    blocks, samples : sequences of one a group
    start : array, q
    bounds : (low, high), optional
        Arrays of q.
    tolerance : float
        Largest decrement g' I^-1 g that counts as zero, in units of the discrepancy.
    max_iter : int

    Raises
    ------
    ComputationError
        The start implies impossible moments.
    """
    shares = np.array([s.n for s in samples])
    shares = shares / shares.sum()
    low, high = bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
    theta = np.clip(start, low, high)
    parts = _values(blocks, samples, theta)
    if not np.isfinite(parts).all():
        raise ComputationError(
            "expected starting values that imply a positive definite covariance matrix, found that they do not; "
            "give other values by start()"
        )
    value, decrement, newton, before = float(shares @ parts), float("inf"), False, float("inf")
    held = np.zeros(len(theta), dtype=bool)
    gradient = gradient_of(blocks, samples, theta)
    step_count = 0
    for step_count in range(1, max_iter + 1):
        held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
        step, decrement = _step(blocks, samples, theta, gradient, held, newton)
        if decrement <= tolerance:
            break
        moved = _search(blocks, samples, theta, step, value, gradient, shares, (low, high))
        if moved is None:
            if newton or decrement <= 1e3 * tolerance:
                break
            newton = True
            continue
        theta, value, parts = moved
        gradient = gradient_of(blocks, samples, theta)
        newton = newton or step_count >= _SCORING or (step_count > 8 and decrement > _CREEPING * before)
        before = decrement
    norm = float(np.abs(np.where(held, 0.0, gradient)).max(initial=0.0))
    return Solution(theta, value, parts, norm, decrement, decrement <= max(1e3 * tolerance, 1e-11), step_count, held)


def _step(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    theta: Floats,
    gradient: Floats,
    held: npt.NDArray[np.bool_],
    newton: bool,
) -> tuple[Floats, float]:
    """A step downhill and its decrement; Newton's where asked for and downhill."""
    for observed in (True, False) if newton else (False,):
        curvature = information_of(blocks, samples, theta, observed=observed)
        if held.any() and curvature.dense is not None:
            curvature.dense[held] = 0
            curvature.dense[:, held] = 0
            curvature.dense[held, held] = 1
        if observed and curvature.dense is not None and not _positive(curvature.dense):
            continue
        step = -curvature.solve(np.where(held, 0.0, gradient))
        decrement = float(-(step @ gradient))
        if decrement >= 0:
            return np.where(held, 0.0, step), decrement
    return -gradient, float(gradient @ gradient)


def _positive(matrix: Floats) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _search(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    theta: Floats,
    step: Floats,
    value: float,
    gradient: Floats,
    shares: Floats,
    bounds: tuple[Floats, Floats],
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that lowers the discrepancy."""
    slope = float(gradient @ step)
    length = 1.0
    for _ in range(30):
        moved = np.clip(theta + length * step, *bounds)
        parts = _values(blocks, samples, moved)
        found = float(shares @ parts)
        if found <= value + 1e-4 * length * slope + 1e-15 * (1 + abs(value)):
            return moved, found, parts
        length *= 0.5
    return None
