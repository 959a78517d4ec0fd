"""A measurement model as matrices: which moments it implies and how they move with every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.numerics.correlation import Floats

Ints = npt.NDArray[np.intp]
Array = npt.NDArray[Any]
"""Real, or complex where a derivative is taken by the complex step."""


class Matrix(IntEnum):
    """LISREL's matrices; `BETA` carries the loadings of factors on factors, `SCALE` the delta of ordered items."""

    LOADING = 0
    FACTOR_COV = 1
    RESIDUAL_COV = 2
    BETA = 3
    INTERCEPT = 4
    FACTOR_MEAN = 5
    THRESHOLD = 6
    SCALE = 7


@dataclass(frozen=True, eq=False)
class Block:
    """The model of one group: a list of cells, each with a fixed value or a free parameter.

    Attributes
    ----------
    p, m : int
        Observed variables, factors.
    matrix, row, column : integer array, r
        The cell; symmetric matrices list one triangle. Vectors and thresholds use `row` only.
    value : array, r
        Fixed values; ignored where free.
    free : integer array, r
        Number of the free parameter in the cell, -1 where fixed; equal cells share a number.
    threshold_item : integer array, t
        Item of each threshold; empty without ordered items.
    """

    p: int
    m: int
    matrix: Ints
    row: Ints
    column: Ints
    value: Floats
    free: Ints
    threshold_item: Ints

    @cached_property
    def mean_structure(self) -> bool:
        """Whether means are modelled."""
        return bool(len(self.cells[Matrix.INTERCEPT]) or len(self.cells[Matrix.FACTOR_MEAN]))

    @cached_property
    def cells(self) -> dict[Matrix, Ints]:
        """Numbers of each matrix's cells in the list."""
        return {kind: np.flatnonzero(self.matrix == kind) for kind in Matrix}

    @cached_property
    def free_cells(self) -> Ints:
        """Numbers of the free cells in the list."""
        return np.flatnonzero(self.free >= 0)

    @property
    def ordered(self) -> bool:
        """Whether the variables are ordered answers with thresholds."""
        return len(self.threshold_item) > 0


class Implied(NamedTuple):
    """Moments implied at one point (or at a stack of points, in leading dimensions).

    Attributes
    ----------
    sigma : array, ..., p, p
    mu : array, ..., p
    thresholds : array, ..., t
        Before scaling: tau, not delta (tau - mu).
    scale : array, ..., p
        Delta of ordered items, else 1.
    loading : array, ..., p, m
    total : array, ..., m, m
        (I - Beta)^-1.
    factor_cov : array, ..., m, m
        Of the factors themselves, total Psi total'.
    factor_mean : array, ..., m
    """

    sigma: Array
    mu: Array
    thresholds: Array
    scale: Array
    loading: Array
    total: Array
    factor_cov: Array
    factor_mean: Array


def implied(block: Block, theta: Array) -> Implied:
    """Which means, covariances and thresholds does the model imply?

    Parameters
    ----------
    block : Block
    theta : array, ..., q
        All free parameters; leading dimensions are a stack of points.
    """
    lead = theta.shape[:-1]
    kind = theta.dtype
    values = _values(block, theta)
    loading = _fill(block, values, Matrix.LOADING, (*lead, block.p, block.m), kind)
    psi = _fill(block, values, Matrix.FACTOR_COV, (*lead, block.m, block.m), kind, symmetric=True)
    residual = _fill(block, values, Matrix.RESIDUAL_COV, (*lead, block.p, block.p), kind, symmetric=True)
    intercept = _fill(block, values, Matrix.INTERCEPT, (*lead, block.p), kind)
    alpha = _fill(block, values, Matrix.FACTOR_MEAN, (*lead, block.m), kind)
    tau = _fill(block, values, Matrix.THRESHOLD, (*lead, len(block.threshold_item)), kind)
    scale = _fill(block, values, Matrix.SCALE, (*lead, block.p), kind)
    if not len(block.cells[Matrix.SCALE]):
        scale = scale + 1
    identity = np.broadcast_to(np.eye(block.m, dtype=kind), (*lead, block.m, block.m))
    if len(block.cells[Matrix.BETA]):
        total = np.linalg.inv(identity - _fill(block, values, Matrix.BETA, (*lead, block.m, block.m), kind))
        factor_cov = total @ psi @ total.mT
        factor_mean = (total @ alpha[..., None])[..., 0]
    else:
        total, factor_cov, factor_mean = identity, psi, alpha
    sigma = loading @ factor_cov @ loading.mT + residual
    mu = intercept + (loading @ factor_mean[..., None])[..., 0]
    return Implied(sigma, mu, tau, scale, loading, total, factor_cov, factor_mean)


def _values(block: Block, theta: Array) -> Array:
    out: Array = np.empty((*theta.shape[:-1], len(block.free)), dtype=theta.dtype)
    out[...] = block.value
    out[..., block.free_cells] = theta[..., block.free[block.free_cells]]
    return out


def _fill(
    block: Block, values: Array, kind: Matrix, shape: tuple[int, ...], dtype: npt.DTypeLike, symmetric: bool = False
) -> Array:
    out: Array = np.zeros(shape, dtype=dtype)
    cells = block.cells[kind]
    if not len(cells):
        return out
    row, column = block.row[cells], block.column[cells]
    if kind in (Matrix.LOADING, Matrix.FACTOR_COV, Matrix.RESIDUAL_COV, Matrix.BETA):
        out[..., row, column] = values[..., cells]
        if symmetric:
            out[..., column, row] = values[..., cells]
    else:
        out[..., row] = values[..., cells]
    return out


class Slopes(NamedTuple):
    """How the moments move with each free cell k: every derivative is of rank two.

    d sigma = weight (left right' + right left'), d mu = shift left. The cells are the block's free ones, `cell` in
    its list, `parameter` their numbers.

    Attributes
    ----------
    left, right : array, ..., p, f
    weight, shift : array, ..., f
    cell, parameter : integer array, f
    """

    left: Array
    right: Array
    weight: Array
    shift: Array
    cell: Ints
    parameter: Ints


def slopes(block: Block, at: Implied, cells: Ints | None = None) -> Slopes:
    """Derivatives of mean and covariance by the free cells, or by the given cells as if they were free.

    For loadings e_i and the factors' covariances with the items; for (residual) covariances the two columns; for
    beta the total effects (Bollen 1989, appendix of chapter 4, written as outer products).
    """
    chosen = block.free_cells if cells is None else cells
    lead, kind = at.sigma.shape[:-2], at.sigma.dtype
    f = len(chosen)
    left, right = np.zeros((*lead, block.p, f), dtype=kind), np.zeros((*lead, block.p, f), dtype=kind)
    weight, shift = np.zeros((*lead, f), dtype=kind), np.zeros((*lead, f), dtype=kind)
    reach = at.loading @ at.total
    cross = at.loading @ at.factor_cov
    matrix, row, column = block.matrix[chosen], block.row[chosen], block.column[chosen]
    for kind_of, base, other in (
        (Matrix.LOADING, None, cross),
        (Matrix.BETA, reach, cross),
        (Matrix.FACTOR_COV, reach, reach),
        (Matrix.RESIDUAL_COV, None, None),
    ):
        k = np.flatnonzero(matrix == kind_of)
        if not len(k):
            continue
        if base is None:
            left[..., row[k], k] = 1
        else:
            left[..., k] = base[..., row[k]]
        if other is None:
            right[..., column[k], k] = 1
        else:
            right[..., k] = other[..., column[k]]
        symmetric = kind_of in (Matrix.FACTOR_COV, Matrix.RESIDUAL_COV)
        weight[..., k] = np.where(symmetric & (row[k] == column[k]), 0.5, 1.0)
        if kind_of in (Matrix.LOADING, Matrix.BETA):
            shift[..., k] = at.factor_mean[..., column[k]]
    k = np.flatnonzero(matrix == Matrix.INTERCEPT)
    left[..., row[k], k] = 1
    shift[..., k] = 1
    k = np.flatnonzero(matrix == Matrix.FACTOR_MEAN)
    left[..., k] = reach[..., row[k]]
    shift[..., k] = 1
    return Slopes(left, right, weight, shift, chosen, block.free[chosen])


@cache
def lower(p: int, *, diagonal: bool = True) -> tuple[Ints, Ints]:
    """Rows and columns of the lower triangle, column by column (vech)."""
    column, row = np.triu_indices(p, 0 if diagonal else 1)
    return row, column


def moments(block: Block, at: Implied) -> Array:
    """The moments that least squares compares: ..., s.

    Ordered items: thresholds delta (tau - mu), then delta_i delta_j sigma_ij below the diagonal. Continuous ones:
    means where they are modelled, then the lower triangle of the covariance matrix.
    """
    if block.ordered:
        item = block.threshold_item
        standard = at.scale[..., item] * (at.thresholds - at.mu[..., item])
        row, column = lower(block.p, diagonal=False)
        between = at.scale[..., row] * at.scale[..., column] * at.sigma[..., row, column]
        return np.concatenate([standard, between], axis=-1)
    row, column = lower(block.p)
    parts = [at.mu] if block.mean_structure else []
    return np.concatenate([*parts, at.sigma[..., row, column]], axis=-1)


def jacobian(block: Block, at: Implied, cells: Ints | None = None) -> tuple[Floats, Slopes]:
    """Derivatives of `moments` by the free cells (s x f), at one real point."""
    slope = slopes(block, at, cells)
    left, right, f = slope.left, slope.right, len(slope.cell)
    row, column = lower(block.p, diagonal=not block.ordered)
    between = slope.weight * (left[row] * right[column] + right[row] * left[column])
    means = slope.shift * left
    if not block.ordered:
        parts = [means] if block.mean_structure else []
        return np.concatenate([*parts, between]), slope
    item, scale = block.threshold_item, at.scale
    between = between * (scale[row] * scale[column])[:, None]
    standard = -scale[item, None] * means[item]
    matrix, cell_row = block.matrix[slope.cell], block.row[slope.cell]
    k = np.flatnonzero(matrix == Matrix.THRESHOLD)
    standard[cell_row[k], k] += scale[item[cell_row[k]]]
    for c in np.flatnonzero(matrix == Matrix.SCALE):
        own = cell_row[c]
        standard[:, c] += np.where(item == own, at.thresholds - at.mu[item], 0.0)
        factor = (row == own) * scale[column] + (column == own) * scale[row]
        between[:, c] += factor * at.sigma[row, column]
    return np.concatenate([standard.reshape(-1, f), between]), slope


def residual_variances(block: Block, at: Implied) -> Floats:
    """Residual variances of the items: free ones for continuous items, what the scale leaves for ordered ones."""
    if not block.ordered:
        explained = np.einsum("ij,jk,ik->i", at.loading, at.factor_cov, at.loading)
        return np.asarray(np.diagonal(at.sigma) - explained)
    explained = np.einsum("ij,jk,ik->i", at.loading, at.factor_cov, at.loading)
    return np.asarray(1 / at.scale**2 - explained)
