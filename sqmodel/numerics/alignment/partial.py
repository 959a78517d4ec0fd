"""Means of many groups when it is settled which of their parameters are the same: minimum distance from each group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Ints
from sqmodel.numerics.threads import one_blas_thread

Bools = npt.NDArray[np.bool_]
_STEPS = 50
_TOLERANCE = 1e-9


class Estimates(NamedTuple):
    """What groups alone tell of the items, p in all, each of one factor.

    Attributes
    ----------
    theta : array, G x 2p
        Configural loadings, then intercepts; factor means 0 and variances 1 in every group.
    covariances : array, G x 2p x 2p
    factor : integer array, p
        Number of each item's factor.
    own : bool array, G x 2p
        Parameters that a group has for itself.
    """

    theta: Floats
    covariances: Floats
    factor: Ints
    own: Bools


class Partial(NamedTuple):
    """Groups on the scale of the first, where factors have mean 0 and standard deviation 1.

    Attributes
    ----------
    loadings, intercepts : array, p
        Common ones.
    means, sds : array, G x m
        Of the factors.
    weights : array, G x 2p x 2p
        Inverse covariances of the parameters that are not a group's own; 0 elsewhere.
    converged : bool
    """

    loadings: Floats
    intercepts: Floats
    means: Floats
    sds: Floats
    weights: Floats
    converged: bool


class Ties(NamedTuple):
    """How items tie a group's means to those of the others.

    Attributes
    ----------
    rest : array, G x p
        Intercepts beyond what the means and the common parameters imply; also of those that are a group's own.
    noise : array, G x p
        Standard errors of these, as if the common parameters were known and all intercepts shared.
    weight : array, G x p
        By how much the mean of an item's factor moves with the item's intercept; 0 for a group's own, and for those
        that are so of all other groups.
    tied : bool array, G x p
        Whether the item ties the group to others.
    """

    rest: Floats
    noise: Floats
    weight: Floats
    tied: Bools


class _Arrow(NamedTuple):
    """Derivatives by a group's means and log standard deviations, by common parameters, and what they make."""

    by_group: Floats
    by_common: Floats
    inverse: Floats
    crossed: Floats
    common: Floats


@one_blas_thread()
def fit_partial(given: Estimates, first: tuple[Floats, Floats, Floats, Floats]) -> Partial:
    """Which means have groups whose parameters are the same but for some that are known?

    Loadings L_g = lambda sd_g and intercepts N_g = nu + lambda alpha_g wherever a parameter is not the group's own:
    generalised least squares on the configural estimates, with the inverse of their covariance as weight. With
    maximum likelihood estimates this is asymptotically the multiple-group model with partial invariance (Satorra 1989;
    Marsh et al. 2018 take the parameters from alignment too), in time that grows with the groups. Gauss-Newton; the
    normal equations have the form of an arrow, as groups meet only in the common parameters.

    Parameters
    ----------
    given : Estimates
        In every group and factor a loading and an intercept that are not its own, and in every group's factor at
        least two kinds of them in common with others.
    first : tuple of array
        Where to begin: loadings and intercepts (p), means and standard deviations (G x m) in the first group's metric.

    Raises
    ------
    ComputationError
        A group or an item is not tied to the others, so that nothing is identified.
    """
    loadings, intercepts, means, sds = (np.array(x, dtype=float) for x in first)
    weights = _weights(given)
    p, converged = len(loadings), False
    for _ in range(_STEPS):
        at = Partial(loadings, intercepts, means, sds, weights, False)
        arrow = _arrow(given, at)
        rest = given.theta - _implied(given, at)
        pulled = np.einsum("gij,gj->gi", weights, rest)
        for_groups = np.einsum("gik,gi->gk", arrow.by_group, pulled)
        for_common = np.einsum("gik,gi->k", arrow.by_common, pulled)
        for_common -= np.einsum("gkc,gkl,gl->c", arrow.crossed, arrow.inverse, for_groups, optimize=True)
        shared = arrow.common @ for_common
        moves = np.einsum("gkl,gl->gk", arrow.inverse, for_groups - arrow.crossed @ shared)
        loadings, intercepts = loadings + shared[:p], intercepts + shared[p:]
        means, sds = means + moves[:, : means.shape[1]], sds * np.exp(np.clip(moves[:, means.shape[1] :], -1, 1))
        if max(np.abs(shared).max(), np.abs(moves).max()) < _TOLERANCE:
            converged = True
            break
    return Partial(loadings, intercepts, means, sds, weights, converged)


@one_blas_thread()
def spread_weighted(given: Estimates, found: Partial, share: Floats) -> Floats:
    """Variances of the groups' weighted intercepts beyond what their means imply, from the mean of all groups (G).

    Of b_g - mean of b with b_g = sum share_i (N_gi - lambda_i alpha_g), by the delta method: b_g moves with the group's
    own estimates and with the common parameters, and these with everybody's.

    Parameters
    ----------
    given, found
        As given to and returned by `fit_partial`.
    share : array, p
    """
    p, m = len(found.loadings), found.means.shape[1]
    arrow, V = _arrow(given, found), given.covariances
    by_mean = np.zeros((p, 2 * m))
    by_mean[np.arange(p), given.factor] = share * found.loadings
    # Moves of the group's mean, weighted: by its own estimates and by the common parameters.
    turned = arrow.inverse @ by_mean.sum(axis=0)
    own = -np.einsum("gij,gjk,gk->gi", found.weights, arrow.by_group, turned, optimize=True)
    own[:, p:] += share
    common = np.einsum("gkc,gk->gc", arrow.crossed, turned)
    common[:, :p] -= share * found.means[:, given.factor]
    # Moves of the common parameters by each group's estimates.
    straight = arrow.by_common - arrow.by_group @ (arrow.inverse @ arrow.crossed)
    toward = found.weights @ straight @ arrow.common
    with_common = np.einsum("gi,gij,gjc->gc", own, V, toward, optimize=True)
    middle = np.einsum("gic,gij,gjd->cd", toward, V, toward, optimize=True)
    alone = np.einsum("gi,gij,gj->g", own, V, own, optimize=True)
    G, away = len(own), common - common.mean(axis=0)
    # Cov(own_g - mean of own, common) and Var(own_g - mean of own); groups are independent.
    crossed = with_common - with_common.mean(axis=0)
    variance = alone * (1 - 2 / G) + alone.mean() / G
    variance = variance + 2 * (crossed * away).sum(axis=1) + np.einsum("gc,cd,gd->g", away, middle, away)
    return np.asarray(np.maximum(variance, 0.0))


@one_blas_thread()
def tie(given: Estimates, found: Partial) -> Ties:
    """Which items deviate in which groups, and what each of them does to the group's mean?

    In the configural model means are free, so that the intercepts' errors have nothing to do with those of the
    loadings: what intercepts tell of the means is generalised least squares with their own block of the covariance.
    """
    p = len(found.loadings)
    pattern = np.zeros((p, found.means.shape[1]))
    pattern[np.arange(p), given.factor] = found.loadings
    rest = (given.theta - _implied(given, found))[:, p:]
    tied = ~given.own & ((~given.own).sum(axis=0) > 1)
    V, shared = given.covariances[:, p:, p:], _weights(given._replace(own=~tied))[:, p:, p:]
    of_all = np.linalg.inv(pattern.T @ np.linalg.inv(V) @ pattern)
    noise = np.diagonal(V, axis1=1, axis2=2) - np.einsum("im,gmk,ik->gi", pattern, of_all, pattern)
    influence = np.linalg.solve(pattern.T @ shared @ pattern, pattern.T @ shared)
    weight = np.asarray(influence[:, given.factor, np.arange(p)], dtype=float)
    return Ties(rest, np.sqrt(np.maximum(noise, 0.0)), weight, tied[:, p:])


def _weights(given: Estimates) -> Floats:
    """Inverse covariances of what is shared, zero elsewhere."""
    both = ~given.own[:, :, None] & ~given.own[:, None, :]
    V = np.where(both, given.covariances, 0.0)
    index = np.arange(V.shape[1])
    V[:, index, index] += given.own
    return np.where(both, np.linalg.inv(V), 0.0)


def _implied(given: Estimates, at: Partial) -> Floats:
    of = given.factor
    return np.concatenate([at.loadings * at.sds[:, of], at.intercepts + at.loadings * at.means[:, of]], axis=1)


def _arrow(given: Estimates, at: Partial) -> _Arrow:
    """The normal equations; the first group has no numbers of its own, in its metric all is told."""
    (G, m), p, of = at.means.shape, len(at.loadings), given.factor
    item = np.arange(p)
    by_group, by_common = np.zeros((G, 2 * p, 2 * m)), np.zeros((G, 2 * p, 2 * p))
    by_group[1:, item, m + of] = (at.loadings * at.sds[:, of])[1:]
    by_group[1:, p + item, of] = at.loadings
    by_common[:, item, item] = at.sds[:, of]
    by_common[:, p + item, item] = at.means[:, of]
    by_common[:, p + item, p + item] = 1.0
    weighted = at.weights @ by_common
    inner = np.einsum("gik,gij,gjl->gkl", by_group, at.weights, by_group, optimize=True)
    inner[0] = np.eye(2 * m)
    crossed = np.einsum("gik,gic->gkc", by_group, weighted, optimize=True)
    whole = np.einsum("gib,gic->bc", by_common, weighted, optimize=True)
    try:
        inverse = np.linalg.inv(inner)
        inverse[0] = 0.0
        common = np.linalg.inv(whole - np.einsum("gkb,gkl,glc->bc", crossed, inverse, crossed, optimize=True))
    except np.linalg.LinAlgError as error:
        raise ComputationError(
            "expected groups tied to each other by loadings and intercepts, found a group or an item by itself"
        ) from error
    return _Arrow(by_group, by_common, inverse, crossed, (common + common.T) / 2)
