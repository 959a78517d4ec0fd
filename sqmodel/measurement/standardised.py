"""Parameters in standard deviations, with errors by the delta method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sqmodel.numerics.sem.model import Array, Block, Matrix, implied

Floats = npt.NDArray[np.float64]


def standardised(block: Block, theta: Array) -> Array:
    """Every cell of a block with all variables scaled to unit variance (lavaan's ``std.all``); ..., cells."""
    at = implied(block, theta)
    factor = _root(np.diagonal(at.factor_cov, axis1=-2, axis2=-1))
    if block.ordered:
        item = 1 / at.scale
    else:
        item = _root(np.diagonal(at.sigma, axis1=-2, axis2=-1))
    out = np.where(block.free >= 0, theta[..., np.where(block.free >= 0, block.free, 0)], block.value)
    out = out + np.zeros((*theta.shape[:-1], 1), dtype=theta.dtype)
    matrix, row, column = block.matrix, block.row, block.column
    psi_root, theta_root = _covariance_roots(block, out, at.sigma.shape[:-2])
    if block.ordered:
        explained = np.einsum("...ij,...jk,...ik->...i", at.loading, at.factor_cov, at.loading)
        theta_root = _root(item**2 - explained)
    k = matrix == Matrix.LOADING
    out[..., k] *= factor[..., column[k]] / item[..., row[k]]
    k = matrix == Matrix.BETA
    out[..., k] *= factor[..., column[k]] / factor[..., row[k]]
    for kind, total, own in ((Matrix.FACTOR_COV, factor, psi_root), (Matrix.RESIDUAL_COV, item, theta_root)):
        k = (matrix == kind) & (row == column)
        out[..., k] /= total[..., row[k]] ** 2
        k = (matrix == kind) & (row != column)
        out[..., k] /= own[..., row[k]] * own[..., column[k]]
    k = matrix == Matrix.INTERCEPT
    out[..., k] /= item[..., row[k]]
    k = matrix == Matrix.FACTOR_MEAN
    out[..., k] /= factor[..., row[k]]
    k = matrix == Matrix.THRESHOLD
    out[..., k] /= item[..., block.threshold_item[row[k]]]
    return np.asarray(out)


def _root(x: Array) -> Array:
    """Square root that keeps the imaginary part of a complex step; NaN of a negative variance."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(x.real > 0, np.sqrt(np.where(x.real > 0, x, 1.0)), np.nan))


def _covariance_roots(block: Block, values: Array, lead: tuple[int, ...]) -> tuple[Array, Array]:
    """Roots of the (residual) variances of factors and of items."""
    found = []
    for kind, size in ((Matrix.FACTOR_COV, block.m), (Matrix.RESIDUAL_COV, block.p)):
        own = np.full((*lead, size), np.nan, dtype=values.dtype)
        k = np.flatnonzero((block.matrix == kind) & (block.row == block.column))
        own[..., block.row[k]] = _root(values[..., k])
        found.append(own)
    return found[0], found[1]


def standardised_with_errors(block: Block, theta: Floats, covariance: Floats | None) -> tuple[Floats, Floats]:
    """Standardised cells and their standard errors (NaN without a covariance matrix of the estimates)."""
    values = np.asarray(standardised(block, theta).real, dtype=float)
    if covariance is None:
        return values, np.full(len(values), np.nan)
    parameter = np.unique(block.free[block.free >= 0])
    stack = np.tile(theta.astype(complex), (len(parameter), 1))
    stack[np.arange(len(parameter)), parameter] += 1e-30j
    slope = standardised(block, stack).imag.T / 1e-30
    V = covariance[np.ix_(parameter, parameter)]
    return values, np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slope, V, slope), 0))
