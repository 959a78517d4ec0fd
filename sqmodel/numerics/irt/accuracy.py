"""How surely items' parameters are known: observed information and standard errors."""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.special import expit

from sqmodel.numerics.irt.curves import Floats, Grid, logits_of
from sqmodel.numerics.irt.likelihood import Point, gap_derivatives
from sqmodel.numerics.irt.patterns import Flags, Patterns

_NEGLIGIBLE = 1e-13
"""Posterior mass at a node below which a respondent adds nothing to the second derivatives there."""


def observed_information(data: Patterns, point: Point, grid: Grid) -> tuple[Floats, Floats]:
    """Observed information of the free parameters and the sum of squared scores, both q x q.

    Louis (1982): what complete answers would tell, less the posterior covariance of the complete-data scores.
    """
    p, width = data.free.shape
    scores, table = np.zeros((len(data.weight), p * width)), _score_table(point.parameters, grid.theta)
    share = point.posterior / data.weight[:, None]
    within, items = np.zeros((p * width, p * width)), np.arange(p)
    for q in range(len(grid.theta)):
        rows = np.flatnonzero(share[:, q] > _NEGLIGIBLE)
        part = table[q][items, data.codes[rows]].reshape(len(rows), p * width)
        scores[rows] += share[rows, q, None] * part
        part *= np.sqrt(point.posterior[rows, q, None])
        within += part.T @ part
    between = scores.T @ (data.weight[:, None] * scores)
    complete = linalg.block_diag(*point.information)
    chosen = np.ix_(data.free.ravel(), data.free.ravel())
    squares = scores.T @ (data.square[:, None] * scores)
    return (complete - within + between)[chosen], squares[chosen]


def _score_table(parameters: Floats, theta: Floats) -> Floats:
    """Derivatives of the log chance of each category by the item's parameters; nodes x p x K + 1 x K.

    The last category stands for no answer: its derivatives are zero.
    """
    p, width = parameters.shape
    above = expit(logits_of(parameters, theta)).transpose(2, 0, 1)
    first, _ = gap_derivatives(parameters)
    table, k = np.zeros((len(theta), p, width + 1, width)), np.arange(width)
    table[:, :, k[1:], k[1:]] = 1 - above
    table[:, :, k[:-1], k[1:]] = -above
    table[:, :, :, 0] = theta[:, None, None] * table[:, :, :, 1:].sum(axis=3)
    table[:, :, k[1:-1], k[1:-1]] += first
    table[:, :, k[1:-1], k[2:]] -= first
    return table


def covariance_of(data: Patterns, point: Point, grid: Grid) -> Floats:
    """Of the free parameters; of sandwich form where weights differ, NaN where the information is singular."""
    information, squares = observed_information(data, point, grid)
    try:
        bread = linalg.cho_solve(linalg.cho_factor(information), np.eye(len(information)))
    except linalg.LinAlgError:
        return np.full_like(information, np.nan)
    # Weights that are all 1 sum to what their squares sum to: the model's own errors hold, without the sandwich.
    equal = np.allclose(data.square, data.weight)
    covariance: Floats = bread if equal else bread @ squares @ bread
    return covariance


def standard_errors(
    slopes: Floats, thresholds: Floats, covariance: Floats, free: Flags
) -> tuple[Floats, Floats, Floats]:
    """Standard errors of slopes, thresholds and intercepts."""
    variances = np.full(free.shape, np.nan)
    variances[free] = np.diag(covariance)
    shared = np.full(free.shape, np.nan)
    item = np.nonzero(free)[0]
    first = np.searchsorted(item, np.arange(len(free)))
    shared[free] = covariance[first[item], np.arange(len(item))]
    # b = -d / a, so that its derivatives are -1 / a by d and -b / a by a.
    square = variances[:, 1:] + 2 * thresholds * shared[:, 1:] + thresholds**2 * variances[:, :1]
    errors = np.sqrt(np.maximum(square, 0)) / np.abs(slopes[:, None])
    return np.sqrt(variances[:, 0]), errors, np.sqrt(variances[:, 1:])
