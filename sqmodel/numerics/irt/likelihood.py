"""The marginal likelihood of the graded response model, and its derivatives by the items' parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from sqmodel.numerics.irt.curves import Floats, Grid, filled, log_probabilities, logits_of
from sqmodel.numerics.irt.patterns import Flags, Patterns


class Point(NamedTuple):
    """The marginal likelihood at one set of parameters (p x K: slope, then intercepts).

    `posterior` (r x nodes) is weighted; `counts` (p x K x nodes) are the expected answers at each node.
    """

    parameters: Floats
    loglik: float
    posterior: Floats
    counts: Floats
    gradient: Floats
    information: Floats
    norm: float


def gap_derivatives(parameters: Floats) -> tuple[Floats, Floats]:
    """First derivative of log(1 - exp(-gap)) for the inner categories, p x K - 2, and minus the second."""
    tail = np.exp(parameters[:, 2:] - parameters[:, 1:-1])
    first = tail / -np.expm1(parameters[:, 2:] - parameters[:, 1:-1])
    return first, first * (1 + first)


def item_derivatives(parameters: Floats, counts: Floats, theta: Floats, free: Flags) -> tuple[Floats, Floats]:
    """Gradient (p x K) and negative second derivatives (p x K x K) of the items' expected log likelihoods."""
    p, width = parameters.shape
    above = expit(logits_of(parameters, theta))
    over, under = counts[:, 1:], counts[:, :-1]
    slope = over * (1 - above) - under * above
    curve = above * (1 - above) * (over + under)
    first, second = gap_derivatives(parameters)
    inner = counts[:, 1:-1].sum(axis=2)
    gradient = np.column_stack([slope.sum(axis=1) @ theta, slope.sum(axis=2)])
    gradient[:, 1:-1] += inner * first
    gradient[:, 2:] -= inner * first
    information, k = np.zeros((p, width, width)), np.arange(1, width)
    information[:, 0, 0] = curve.sum(axis=1) @ theta**2
    information[:, 0, 1:] = information[:, 1:, 0] = curve @ theta
    information[:, k, k] = curve.sum(axis=2)
    information[:, k[:-1], k[:-1]] += inner * second
    information[:, k[1:], k[1:]] += inner * second
    information[:, k[:-1], k[1:]] -= inner * second
    information[:, k[1:], k[:-1]] -= inner * second
    both = free[:, :, None] & free[:, None, :]
    return np.where(free, gradient, 0.0), np.where(both, information, np.eye(width))


def evaluate(data: Patterns, parameters: Floats, grid: Grid) -> Point:
    """Expectation step, with the gradient of the marginal log likelihood (by Fisher's identity that of EM)."""
    p, width = data.free.shape
    log_p = log_probabilities(parameters, grid.theta)
    joint = data.indicator @ log_p.reshape(p * width, -1)
    joint += grid.log_weight
    top = joint.max(axis=1)
    joint -= top[:, None]
    posterior = np.exp(joint, out=joint)
    total = posterior.sum(axis=1)
    loglik = float(data.weight @ (top + np.log(total)))
    posterior *= (data.weight / total)[:, None]
    counts = (data.indicator.T @ posterior).reshape(p, width, -1)
    gradient, information = item_derivatives(parameters, counts, grid.theta, data.free)
    norm = float(np.abs(gradient).max() / data.weight.sum())
    return Point(parameters, loglik, posterior, counts, gradient, information, norm)


def expected_loglik(parameters: Floats, counts: Floats, theta: Floats) -> Floats:
    """Of each item; minus infinity where its intercepts are not in order."""
    ordered = np.asarray((np.diff(parameters[:, 1:], axis=1) < 0).all(axis=1))
    safe = np.where(ordered[:, None], parameters, filled(np.full_like(parameters, np.nan)))
    value = np.einsum("jkq,jkq->j", counts, log_probabilities(safe, theta))
    return np.where(ordered, value, -np.inf)
