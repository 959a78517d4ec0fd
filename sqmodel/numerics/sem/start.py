"""Where the search starts: loadings from principal components of each factor's items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Block, Matrix


def start_values(
    q: int, blocks: Sequence[Block], covs: Sequence[Floats], means: Sequence[Floats], cuts: Sequence[Floats]
) -> Floats:
    """A rough solution, made from the moments of each group.

    Parameters
    ----------
    q : int
        Free parameters.
    blocks : sequence of Block
    covs, means : sequences of array
        Covariances and means of the items of each group; correlations and zeros for ordered items.
    cuts : sequence of array
        Thresholds of each group; empty without ordered items.

    Returns
    -------
    array, q
        For parameters that several cells share, the mean of their starts.
    """
    total, count = np.zeros(q), np.zeros(q)
    for block, cov, mean, cut in zip(blocks, covs, means, cuts, strict=True):
        values = _group(block, cov, mean, cut)
        free = block.free >= 0
        np.add.at(total, block.free[free], values[free])
        np.add.at(count, block.free[free], 1)
    return np.asarray(total / np.maximum(count, 1))


def _group(block: Block, cov: Floats, mean: Floats, cut: Floats) -> Floats:
    """Starting value of every cell."""
    deviation = np.sqrt(np.diag(cov))
    loading, variance, correlation = _factors(block, cov, deviation)
    out = block.value.copy()
    matrix, row, column = block.matrix, block.row, block.column
    for k in np.flatnonzero(block.free >= 0):
        i, j = row[k], column[k]
        match Matrix(matrix[k]):
            case Matrix.LOADING:
                out[k] = loading[i, j] * deviation[i] / np.sqrt(variance[j])
            case Matrix.BETA:
                # The outer factor has half of its first factor's variance or, standardised, all of it.
                out[k] = np.sqrt(0.5 * variance[i] / variance[j])
            case Matrix.FACTOR_COV:
                inner = i in column[matrix == Matrix.BETA] or i in row[matrix == Matrix.BETA]
                own = variance[i] * (0.5 if inner and i in row[matrix == Matrix.BETA] else 1.0)
                out[k] = own if i == j else 0.5 * correlation[i, j] * np.sqrt(variance[i] * variance[j])
            case Matrix.RESIDUAL_COV:
                rest = max(1 - float((loading[i] ** 2).sum()), 0.2)
                out[k] = rest * cov[i, i] if i == j else 0.0
            case Matrix.INTERCEPT:
                out[k] = mean[i]
            case Matrix.FACTOR_MEAN:
                out[k] = 0.0
            case Matrix.THRESHOLD:
                out[k] = cut[i]
            case Matrix.SCALE:
                out[k] = 1.0
    return out


def _factors(block: Block, cov: Floats, deviation: Floats) -> tuple[Floats, Floats, Floats]:
    """Standardised loadings (p x m), variances (m) in the metric of the model, correlations of the factors (m x m)."""
    loads = np.flatnonzero(block.matrix == Matrix.LOADING)
    rest = cov / np.outer(deviation, deviation)
    loading, weights = np.zeros((block.p, block.m)), np.zeros((block.p, block.m))
    sizes = [int((block.column[loads] == j).sum()) for j in range(block.m)]
    for j in np.argsort(sizes, kind="stable")[::-1]:
        items = block.row[loads[block.column[loads] == j]]
        if not len(items):
            continue
        values, vectors = np.linalg.eigh(rest[np.ix_(items, items)])
        own = vectors[:, -1] * np.sqrt(max(values[-1] - 0.4, 0.1))
        own = own * (1 if own.sum() >= 0 else -1)
        own = np.clip(own, -0.9, 0.9)
        overlap = np.isin(items, np.flatnonzero((loading != 0).any(axis=1)))
        loading[items, j] = np.where(overlap, 0.7, 1.0) * own
        weights[items, j] = own
        if overlap.any() or (np.bincount(block.row[loads])[items] > 1).any():
            rest = rest - np.outer(loading[:, j], loading[:, j])
    variance = np.ones(block.m)
    composite = weights.T @ (cov / np.outer(deviation, deviation)) @ weights
    size = np.sqrt(np.maximum(np.diag(composite), 1e-12))
    correlation = composite / np.outer(size, size)
    for j in range(block.m):
        fixed = [k for k in loads if block.column[k] == j and block.free[k] < 0 and block.value[k] != 0]
        if fixed:
            i = block.row[fixed[0]]
            variance[j] = max((loading[i, j] * deviation[i] / block.value[fixed[0]]) ** 2, 0.05 * cov[i, i])
    beta = np.flatnonzero(block.matrix == Matrix.BETA)
    for j in dict.fromkeys(block.column[beta]):
        fixed = [k for k in beta if block.column[k] == j and block.free[k] < 0 and block.value[k] != 0]
        if fixed:
            variance[j] = 0.5 * variance[block.row[fixed[0]]] / block.value[fixed[0]] ** 2
    own = np.flatnonzero((block.matrix == Matrix.FACTOR_COV) & (block.row == block.column) & (block.free < 0))
    for k in own:
        variance[block.row[k]] = block.value[k] if block.value[k] > 0 else variance[block.row[k]]
    return loading, variance, correlation
