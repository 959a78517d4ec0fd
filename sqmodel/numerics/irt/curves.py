"""What items tell about a trait by their parameters: chances of the categories, information, reliability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

Floats = npt.NDArray[np.float64]

NODES = 61
"""Equally spaced quadrature points from -6 to 6, as mirt has them for one trait."""
WIDTH = 6.0
_ABSENT = -1000.0
"""Intercept of a category that an item does not have: its chance is exactly zero in double precision."""


class Grid(NamedTuple):
    """Quadrature nodes and the logarithms of their weights."""

    theta: Floats
    log_weight: Floats


def category_probabilities(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How likely is each category at given trait values?

    Parameters
    ----------
    theta : array, m
    slopes : array, p
    thresholds : array, p x K - 1
        NaN where an item has fewer categories.

    Returns
    -------
    array, m x p x K
        Sums to 1 over the last axis; NaN for categories that an item does not have.

    Examples
    --------
    >>> category_probabilities([0.0], [1.0], [[-1.0, 1.0]]).round(3).tolist()
    [[[0.269, 0.462, 0.269]]]
    """
    parameters = parameters_of(slopes, thresholds)
    log_p = log_probabilities(parameters, np.atleast_1d(np.asarray(theta, dtype=float)))
    missing = np.isnan(np.atleast_2d(np.asarray(thresholds, dtype=float)))
    absent = np.pad(missing, ((0, 0), (1, 0)))
    result: Floats = np.where(absent[:, :, None], np.nan, np.exp(log_p)).transpose(2, 0, 1)
    return result


def item_information(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How much does each item tell about the trait, along the trait?

    Fisher's information, the inverse of a squared standard error of the trait (Samejima 1969, ch. 6).

    Parameters
    ----------
    theta : array, m
    slopes : array, p
    thresholds : array, p x K - 1
        NaN where an item has fewer categories.

    Returns
    -------
    array, m x p
        At most slope^2 / 4 with two categories.

    Examples
    --------
    >>> item_information([0.0, 1.0], [2.0], [[0.0]]).round(3).ravel().tolist()
    [1.0, 0.42]
    """
    parameters, where = parameters_of(slopes, thresholds), np.atleast_1d(np.asarray(theta, dtype=float))
    above = expit(logits_of(parameters, where))
    edges = np.pad(above, ((0, 0), (1, 1), (0, 0)))
    edges[:, 0] = 1.0
    # The derivative of log P_k by a t is 1 - (chance of k or more) - (chance of more than k).
    squares = np.exp(log_probabilities(parameters, where)) * (1 - edges[:, :-1] - edges[:, 1:]) ** 2
    result: Floats = (parameters[:, :1] ** 2 * squares.sum(axis=1)).T
    return result


def test_information(theta: npt.ArrayLike, slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """How much do all items together tell about the trait, along the trait: the sum of `item_information`, m."""
    result: Floats = item_information(theta, slopes, thresholds).sum(axis=1)
    return result


# The name is that of the literature; it is no test of this package.
test_information.__test__ = False  # type: ignore[attr-defined]


def marginal_reliability(slopes: npt.ArrayLike, thresholds: npt.ArrayLike, *, nodes: int = NODES) -> float:
    """What share of the variance of trait estimates is trait, over a standard normal population?

    The mean of I / (I + 1) over the trait, I the test information (Green et al. 1984; ``mirt::marginal_rxx``).

    Examples
    --------
    >>> round(marginal_reliability([2.0] * 10, [[-1.0, 0.0, 1.0]] * 10), 2)
    0.9
    """
    grid = quadrature(nodes)
    information = test_information(grid.theta, slopes, thresholds)
    return float(np.exp(grid.log_weight) @ (information / (information + 1)))


def quadrature(nodes: int) -> Grid:
    """Equally spaced nodes under the standard normal density."""
    theta = np.linspace(-WIDTH, WIDTH, nodes)
    log_weight = -(theta**2) / 2
    return Grid(theta, log_weight - np.log(np.exp(log_weight).sum()))


def parameters_of(slopes: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Slope, then intercepts of each item, p x K."""
    a, b = np.atleast_1d(np.asarray(slopes, dtype=float)), np.atleast_2d(np.asarray(thresholds, dtype=float))
    return filled(np.column_stack([a, -a[:, None] * b]))


def filled(parameters: Floats) -> Floats:
    """Intercepts that an item does not have, far below and still descending."""
    far = _ABSENT * np.arange(1.0, parameters.shape[1] + 1)
    return np.where(np.isnan(parameters), far, parameters)


def logits_of(parameters: Floats, theta: Floats) -> Floats:
    """Logit of each category or a higher one; p x K - 1 x nodes."""
    result: Floats = parameters[:, :1, None] * theta + parameters[:, 1:, None]
    return result


def log_probabilities(parameters: Floats, theta: Floats) -> Floats:
    """Logarithm of every category's chance, p x K x nodes.

    s(x) - s(y) = s(x) s(-y) (1 - exp(y - x)) for the logistic s: exact in the tails, where the difference of two
    chances near 0 or 1 would lose all digits, and each factor is log-concave.
    """
    logits = logits_of(parameters, theta)
    above = log_expit(logits)
    result = np.zeros((logits.shape[0], logits.shape[1] + 1, len(theta)))
    result[:, 1:] = above
    result[:, :-1] += above - logits
    gaps = parameters[:, 1:-1] - parameters[:, 2:]
    result[:, 1:-1] += np.log(-np.expm1(-gaps))[:, :, None]
    return result
