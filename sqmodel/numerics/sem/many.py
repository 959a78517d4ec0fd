"""One model fitted to each of many groups alone, all at once: maximum likelihood from means and covariances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem import fit
from sqmodel.numerics.sem.model import Array, Block, Implied, Slopes, implied, lower, slopes
from sqmodel.numerics.threads import one_blas_thread

_STEPS = 60
_DECREMENT = 1e-18
"""Twice what another step would gain in the discrepancy of one respondent: here it stops, as rounding is near."""
_UNSEEN = 1e-12
_SETTLED = 1e-14
"""And this is the certificate, that of a fit to one group."""
_FRESH, _AGAIN = 3, 10
"""Steps with the information of their own point, and every so many afterwards."""
_CHUNK = 64
"""Groups at a time: their matrices of derivatives stay in the cache, and memory does not grow with the groups."""


class Stacked(NamedTuple):
    """Means (G x p) and covariances (G x p x p) of some groups."""

    mean: Floats
    cov: Floats

    def of(self, chosen: npt.NDArray[np.intp]) -> Stacked:
        """Some of the groups."""
        return Stacked(self.mean[chosen], self.cov[chosen])

    def around(self, at: Implied) -> tuple[Floats, Floats]:
        """Covariances around the implied means, and the distances of the means."""
        distance = self.mean - at.mu
        return self.cov + distance[:, :, None] * distance[:, None, :], distance


class ManyFits(NamedTuple):
    """One model in many groups.

    Attributes
    ----------
    theta : array, G x q
    covariance : array, G x q x q
        Of the estimates, from the expected information.
    chisq, cfi, rmsea, srmr : array, G
    df : int
    converged : boolean array, G
    singular : array, G
        Smallest eigenvalue of the information on unit diagonals.
    """

    theta: Floats
    covariance: Floats
    chisq: Floats
    cfi: Floats
    rmsea: Floats
    srmr: Floats
    df: int
    converged: npt.NDArray[np.bool_]
    singular: Floats


@one_blas_thread()
def fit_many(block: Block, sizes: Floats, means: Floats, covs: Floats, start: Floats) -> ManyFits:
    """Which parameters has one model in each of many groups?

    The same estimates, standard errors and fit as `fit_normal` finds group by group, by the same Fisher scoring with
    halved steps; but every step is taken for all groups that have not settled at once, in stacks of small matrices, so
    that a group costs about a millisecond. Groups whose search creeps (in badly fitting or improper models scoring
    converges slowly) are returned as not converged: `fit_normal`, which goes over to Newton's method, is for them.

    Parameters
    ----------
    block : Block
        Of one group, with a mean structure; free parameters are numbered from 0 and each has one cell.
    sizes : array, G
    means, covs : arrays, G x p and G x p x p
        Covariances with divisor n, positive definite.
    start : array, q
        For all groups: the solution of the pooled groups is a good one.
    """
    parts = []
    for begin in range(0, len(sizes), _CHUNK):
        own = slice(begin, begin + _CHUNK)
        parts.append(_chunk(block, sizes[own], Stacked(means[own], covs[own]), start))
    df = block.p * (block.p + 3) // 2 - len(start)
    columns = [np.concatenate([p[k] for p in parts]) for k in range(8)]
    theta, covariance, chisq, cfi, rmsea, srmr, converged, singular = columns
    return ManyFits(theta, covariance, chisq, cfi, rmsea, srmr, df, converged, singular)


def _chunk(block: Block, sizes: Floats, sample: Stacked, start: Floats) -> tuple[Array, ...]:
    """Estimates and fit of some groups."""
    theta = np.tile(start, (len(sizes), 1))
    values = _values(block, sample, theta)
    decrement = np.full(len(sizes), np.inf)
    inverse = np.zeros((len(sizes), len(start), len(start)))
    left = np.arange(len(sizes))
    for count in range(_STEPS):
        own = sample.of(left)
        at = implied(block, theta[left])
        slope = slopes(block, at)
        gradient = _gradient(own, at, slope)
        # Near the solution the information hardly changes, and it costs ten times as much as the gradient.
        if count < _FRESH or count % _AGAIN == 0:
            inverse[left] = _inverse(_information(at, slope))
        step = -(inverse[left] @ gradient[:, :, None])[:, :, 0]
        gain = -(step * gradient).sum(axis=1)
        decrement[left] = gain
        go = np.flatnonzero(gain > _DECREMENT)
        moved, found, better = _shortened(block, own.of(go), theta[left[go]], step[go], values[left[go]], gain[go])
        left = left[go]
        theta[left[better]], values[left[better]] = moved[better], found[better]
        left = left[better]
        if not len(left):
            break
    at = implied(block, theta)
    information = _information(at, slopes(block, at))
    size = _sizes(information)
    singular = np.linalg.eigvalsh(information / (size[:, :, None] * size[:, None, :]))[:, 0]
    covariance = _inverse(information) / sizes[:, None, None]
    indices = _indices(block, sizes, sample, theta, values)
    return theta, covariance, *indices, (decrement >= 0) & (decrement <= _SETTLED), singular


def _values(block: Block, sample: Stacked, theta: Floats) -> Floats:
    """Minus log likelihood of a respondent of every group; infinite where the implied moments are impossible."""
    at = implied(block, theta)
    sigma = at.sigma
    try:
        root = np.linalg.cholesky(sigma)
        possible = np.ones(len(sigma), dtype=bool)
    except np.linalg.LinAlgError:
        possible = np.linalg.eigvalsh(sigma)[:, 0] > 1e-12
        sigma = np.where(possible[:, None, None], sigma, np.eye(block.p))
        root = np.linalg.cholesky(sigma)
    trace = (np.linalg.inv(sigma) * sample.around(at)[0]).sum(axis=(1, 2))
    log_det = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.where(possible, (log_det + trace) / 2, np.inf)


def _gradient(sample: Stacked, at: Implied, slope: Slopes) -> Floats:
    """Of one respondent, by the parameters' numbers (G x q): as `samples.Normal.gradient_at`, for a stack."""
    inverse = np.linalg.inv(at.sigma)
    around, distance = sample.around(at)
    residual = inverse - inverse @ around @ inverse
    by_cov = slope.weight * ((residual @ slope.right) * slope.left).sum(axis=1)
    pull = (inverse @ distance[:, :, None]) * slope.left
    return np.asarray((by_cov - slope.shift * pull.sum(axis=1))[:, np.argsort(slope.parameter)])


def _information(at: Implied, slope: Slopes) -> Floats:
    """As `samples.expected_information`, for a stack, by the parameters' numbers (G x q x q)."""
    order = np.argsort(slope.parameter)
    left, right, weight, shift = (x[..., order] for x in (slope.left, slope.right, slope.weight, slope.shift))
    inverse = np.linalg.inv(at.sigma)
    on_left, on_right = inverse @ left, inverse @ right
    ll, rr, lr = left.mT @ on_left, right.mT @ on_right, left.mT @ on_right
    between = (weight[:, :, None] * weight[:, None, :]) * (ll * rr + lr * lr.mT)
    return np.asarray(between + (shift[:, :, None] * shift[:, None, :]) * ll)


def _sizes(information: Floats) -> Floats:
    return np.sqrt(np.maximum(np.diagonal(information, axis1=1, axis2=2), 1e-12))


def _inverse(information: Floats) -> Floats:
    """Inverses of a stack, on unit diagonals; generalised ones of the singular."""
    size = _sizes(information)
    both = size[:, :, None] * size[:, None, :]
    scaled = information / both
    try:
        return np.asarray(np.linalg.inv(scaled) / both)
    except np.linalg.LinAlgError:
        return np.array([np.linalg.pinv(x, hermitian=True) for x in scaled]) / both


def _shortened(
    block: Block, sample: Stacked, theta: Floats, step: Floats, values: Floats, gain: Floats
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Each group's first of ever shorter steps that lowers its discrepancy, and whether there was one."""
    moved, found = theta.copy(), values.copy()
    left = np.arange(len(theta))
    length = 1.0
    while len(left) and length > 1e-6:
        tried = theta[left] + length * step[left]
        value = _values(block, sample.of(left), tried)
        # What is gained below this is lost in the rounding of the value: the step is taken on the gradient's word.
        good = (value <= values[left] - 1e-4 * length * gain[left]) | (gain[left] < _UNSEEN) & np.isfinite(value)
        moved[left[good]], found[left[good]] = tried[good], value[good]
        left = left[~good]
        length /= 2
    better = np.ones(len(theta), dtype=bool)
    better[left] = False
    return moved, found, better


def _indices(
    block: Block, sizes: Floats, sample: Stacked, theta: Floats, values: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Chi-square, CFI, RMSEA and SRMR of every group, by `fit`'s definitions."""
    # The baseline has free means and variances: it needs no search.
    df, null_df = block.p * (block.p + 3) // 2 - theta.shape[1], block.p * (block.p - 1) // 2
    variance = np.diagonal(sample.cov, axis1=1, axis2=2)
    log_det = np.linalg.slogdet(sample.cov)[1]
    chisq, null = sizes * (2 * values - log_det - block.p), sizes * (np.log(variance).sum(axis=1) - log_det)
    cfi = np.array([fit.cfi(c, df, b, null_df) for c, b in zip(chisq, null, strict=True)])
    rmsea = np.sqrt(np.maximum(chisq / (sizes * df) - 1 / sizes, 0.0)) if df else np.zeros(len(sizes))
    at = implied(block, theta)
    deviation = np.sqrt(variance)
    row, column = lower(block.p)
    residual = (sample.cov - at.sigma) / (deviation[:, :, None] * deviation[:, None, :])
    moved = (sample.mean - at.mu) / deviation
    squares = np.concatenate([residual[:, row, column], moved], axis=1) ** 2
    return chisq, cfi, rmsea, np.sqrt(squares.mean(axis=1))
