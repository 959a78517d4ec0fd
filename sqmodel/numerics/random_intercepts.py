"""Groups that differ by a random intercept: variances, shrunken effects and what is known of them; arrays only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Array = npt.NDArray[np.float64]

GRID = 120


class Groups(NamedTuple):
    """Sums from which the likelihood follows, whatever the ratio of the variances.

    `within` are the cross products of (x, y) about the groups' means, `means` the groups' means of (x, y).
    """

    within: Array
    means: Array
    size: Array


class RandomIntercepts(NamedTuple):
    """What data say about groups with random intercepts.

    Attributes
    ----------
    between, residual : float
        REML estimates of the standard deviations of the groups and of the cases in a group.
    pvalue : float
        Of the hypothesis that all groups are equal: half a chi-square with one degree of freedom (Self and Liang 1987).
    between_draws, residual_draws : (draws,) array
    coefficients : (draws, p) array
    effects : (draws, groups) array
        Deviations from the mean of the population of groups.
    """

    between: float
    residual: float
    pvalue: float
    between_draws: Array
    residual_draws: Array
    coefficients: Array
    effects: Array


def summarise(y: npt.ArrayLike, x: npt.ArrayLike, group: npt.ArrayLike) -> Groups:
    """Sums by group of (n,) outcomes and (n, p) explanatory variables; groups are 0..k-1, none empty."""
    code = np.asarray(group, np.intp)
    both = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    size = np.bincount(code).astype(float)
    means = np.column_stack([np.bincount(code, weights=c) for c in both.T]) / size[:, None]
    rest = both - means[code]
    return Groups(rest.T @ rest, means, size)


def _profile(groups: Groups, ratio: float) -> tuple[float, Array, Array, float, float]:
    """REML loglikelihood, coefficients, their unscaled covariance, residual sum of squares and degrees of freedom."""
    weight = groups.size / (1 + groups.size * ratio)
    cross = groups.within + (groups.means * weight[:, None]).T @ groups.means
    p = len(cross) - 1
    inverse = np.asarray(np.linalg.inv(cross[:p, :p]), float)
    beta = inverse @ cross[:p, p]
    left = float(cross[p, p] - cross[:p, p] @ beta)
    df = float(groups.size.sum()) - p
    logdet = float(np.log1p(groups.size * ratio).sum()) + float(np.linalg.slogdet(cross[:p, :p])[1])
    return -0.5 * (df * math.log(left) + logdet), beta, inverse, left, df


def random_intercepts(
    y: npt.ArrayLike, x: npt.ArrayLike, group: npt.ArrayLike, *, rng: np.random.Generator | int, draws: int = 4000
) -> RandomIntercepts:
    """Fit y = x b + u[group] + e by REML, and draw from what the data leave open.

    Parameters
    ----------
    y : (n,) array
    x : (n, p) array
        With a column of ones, of full rank.
    group : (n,) array of int
        0..k-1, none empty.
    rng : Generator or int
    draws : int
        From the posterior distribution under a flat prior of the coefficients, of the between-group standard
        deviation (Gelman 2006) and of the logarithm of the residual one.

    Notes
    -----
    Empirical Bayes with one estimated variance is too sure of itself with few groups; here the ratio of the variances
    is integrated over a grid, given which everything else is known in closed form (Gelman et al. 2013, section 5.4).
    The likelihood needs sums by group only: O(n p^2) once, O(k p^2) a point of the grid.
    """
    groups = summarise(y, x, group)
    generator = np.random.default_rng(rng)
    root, null = _reml(groups)
    best, _, _, left, df = _profile(groups, root**2)
    residual = math.sqrt(left / df)
    statistic = max(2 * (best - null), 0.0)
    pvalue = 0.5 * float(stats.chi2.sf(statistic, 1)) if root > 0 else 1.0
    drawn = _draw_roots(groups, root, best, generator, draws)
    points, place = np.unique(drawn, return_inverse=True)
    k, p = len(groups.size), groups.means.shape[1] - 1
    sigma, beta, effects = np.empty(draws), np.empty((draws, p)), np.empty((draws, k))
    for j, r in enumerate(points):
        own = np.flatnonzero(place == j)
        sigma[own], beta[own], effects[own] = _draw_given(groups, float(r) ** 2, len(own), generator)
    return RandomIntercepts(root * residual, residual, pvalue, drawn * sigma, sigma, beta, effects)


def _reml(groups: Groups) -> tuple[float, float]:
    """Root of the best ratio of the variances, and the loglikelihood where the groups do not differ."""
    null = _profile(groups, 0.0)[0]
    grid = np.concatenate([[0.0], np.geomspace(1e-3, 100, 60)])
    values = [_profile(groups, float(r) ** 2)[0] for r in grid]
    top = int(np.argmax(values))
    low, high = grid[max(top - 1, 0)], grid[min(top + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(lambda r: -_profile(groups, r**2)[0], bounds=(low, high), method="bounded",
                                     options={"xatol": 1e-10})  # fmt: skip
    return (float(found.x), null) if -found.fun > null + 1e-10 else (0.0, null)


def _draw_roots(groups: Groups, root: float, best: float, rng: np.random.Generator, draws: int) -> Array:
    """Roots of the ratio of the variances from their posterior distribution, on a grid that holds its mass."""

    # The flat prior is of the between standard deviation; given the residual one it is flat in the ratio's root, and
    # the integral over the residual one then has one degree of freedom fewer.
    def log_density(r: float) -> float:
        value, _, _, left, _ = _profile(groups, r**2)
        return value + 0.5 * math.log(left) - shift

    shift = 0.0
    shift = log_density(root)
    step = 0.5 / math.sqrt(float(groups.size.sum()))
    top = root + step
    while log_density(top) > -12 and top < 1e4:
        top = root + (top - root) * 1.5
    bottom = root
    while bottom > 0 and log_density(bottom) > -12:
        bottom = max(0.0, root - max(1.5 * (root - bottom), step))
    edges = np.linspace(bottom, top, GRID + 1)
    grid = (edges[1:] + edges[:-1]) / 2
    density = np.exp([log_density(float(r)) for r in grid])
    return grid[rng.choice(GRID, draws, p=density / density.sum())]


def _draw_given(groups: Groups, ratio: float, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Residual standard deviations, coefficients and effects of groups given the ratio of the variances."""
    _, beta, inverse, left, df = _profile(groups, ratio)
    sigma = np.sqrt(left / rng.chisquare(df - 1, count))
    root = np.linalg.cholesky(inverse)
    drawn = beta + sigma[:, None] * (rng.standard_normal((count, len(beta))) @ root.T)
    p = len(beta)
    kept = groups.size * ratio / (1 + groups.size * ratio)
    middle = kept * (groups.means[:, p] - drawn @ groups.means[:, :p].T)
    spread = np.sqrt(ratio / (1 + groups.size * ratio))
    return sigma, drawn, middle + sigma[:, None] * spread * rng.standard_normal((count, len(kept)))
