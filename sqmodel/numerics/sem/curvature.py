"""Second derivatives of many groups: one matrix where it is small, else groups eliminated one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Ints

DENSE = 1500
"""Up to so many parameters the information is one matrix; beyond, groups are eliminated one by one."""


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

    def definite(self, size: Floats, shift: float) -> bool:
        """Whether the matrix, rows and columns divided by `size`, less `shift` on its diagonal is positive definite.

        It is where every group's own part is, and what the groups leave of the shared part (Haynsworth 1968).
        """
        if self.dense is not None:
            return positive_definite(self.dense / np.outer(size, size) - shift * np.eye(self.q))
        corner = -shift * np.eye(len(self._shared))
        shared = np.isin(np.arange(self.q), self._shared)
        for (matrix, number), (_, at, _, _) in zip(self.parts, self._groups, strict=True):
            scaled = matrix / np.outer(size[number], size[number])
            own, common = np.flatnonzero(~shared[number]), np.flatnonzero(shared[number])
            try:
                root = np.linalg.cholesky(scaled[np.ix_(own, own)] - shift * np.eye(len(own)))
            except np.linalg.LinAlgError:
                return False
            half = np.linalg.solve(root, scaled[np.ix_(own, common)])
            corner[np.ix_(at, at)] += scaled[np.ix_(common, common)] - half.T @ half
        return positive_definite(corner)

    def diagonal(self) -> Floats:
        """Of the matrix itself."""
        out = np.zeros(self.q)
        for matrix, number in self.parts:
            out[number] += np.diag(matrix)
        return out

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


def smallest_eigenvalue(curvature: Curvature) -> float:
    """Of the information on unit diagonals: the certificate that all parameters are identified.

    Without one matrix it is enclosed to a percent by shifts under which the information stays positive definite; 0
    where it is below 1e-12.
    """
    size = np.sqrt(np.maximum(np.abs(curvature.diagonal()), 1e-300))
    if curvature.dense is not None:
        return float(np.linalg.eigvalsh(curvature.dense / np.outer(size, size))[0])
    low, high = -12.0, 0.0
    if not curvature.definite(size, 10**low):
        return 0.0
    while high - low > 0.004:
        middle = (low + high) / 2
        low, high = (middle, high) if curvature.definite(size, 10**middle) else (low, middle)
    return float(10**low)


def positive_definite(matrix: Floats) -> bool:
    """Whether a symmetric matrix has a Cholesky root."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
