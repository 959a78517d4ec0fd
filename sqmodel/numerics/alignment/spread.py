"""How precisely aligned means, variances and parameters are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.alignment.loss import EPS, Loss, Metric, Origin
from sqmodel.numerics.alignment.many import ManyLoss
from sqmodel.numerics.alignment.search import MANY, Aligned, checked_groups
from sqmodel.numerics.alignment.spread_many import spread_many
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.threads import one_blas_thread


class Spread(NamedTuple):
    """Sampling covariances, over groups, of what `align_groups` returns.

    Attributes
    ----------
    means, sds : array, G x G
        The first group's rows are zero: its mean and standard deviation are fixed.
    loadings, intercepts : array, p x G x G
        Of each item's aligned parameters.
    """

    means: Floats
    sds: Floats
    loadings: Floats
    intercepts: Floats


@one_blas_thread()
def spread(
    loadings: npt.ArrayLike,
    intercepts: npt.ArrayLike,
    sizes: npt.ArrayLike,
    covariances: npt.ArrayLike,
    aligned: Aligned,
    *,
    eps: float = EPS,
    origin: Origin = "centre",
) -> Spread:
    """How precise are aligned parameters, means and standard deviations?

    Delta method: at the minimum the gradient is zero, so d phi = -H^-1 C d theta with H the second derivatives by
    means and log standard deviations and C those by them and the configural parameters (implicit function theorem).

    Parameters
    ----------
    loadings, intercepts, sizes, eps, origin
        As given to `align_groups`.
    covariances : array, G x 2p x 2p
        Of each group's loadings, then intercepts.
    aligned : Aligned
        What `align_groups` returned.
    """
    L, N, n = checked_groups(loadings, intercepts, sizes, eps)
    V = np.asarray(covariances, dtype=float)
    G, p = L.shape
    if V.shape != (G, 2 * p, 2 * p):
        raise ComputationError(f"expected covariances of shape {(G, 2 * p, 2 * p)}, found {V.shape}")
    means, sds = aligned.means, aligned.sds
    if G > MANY and (quick := spread_many(ManyLoss.of(L, N, n, eps), V, means, sds, origin)) is not None:
        return Spread(*quick)
    moves = _moves(Loss.of(L, N, n, eps), Metric.of(G, origin), aligned)
    with_own = np.einsum("agj,gjk->agk", moves, V)
    middle = np.tensordot(with_own, moves, axes=([1, 2], [1, 2]))
    # An aligned parameter moves with its own group's estimates and with mean and log sd: x = own + through (mean, log).
    scaled, slope = aligned.loadings.T, means / sds
    variance = np.diagonal(V, axis1=1, axis2=2).T
    shared = V[:, np.arange(p), np.arange(p) + p].T
    none = np.zeros_like(scaled)
    with_loading, with_intercept = with_own[:, :, :p].T / sds[:, None], with_own[:, :, p:].T
    loading = _joined(variance[:p] / sds**2, with_loading, (none, -scaled), middle)
    intercept = _joined(
        variance[p:] - 2 * slope * shared + slope**2 * variance[:p],
        with_intercept - means[:, None] * with_loading, (-scaled, means * scaled), middle,
    )  # fmt: skip
    return Spread(middle[:G, :G], middle[G:, G:] * np.outer(sds, sds), loading, intercept)


def _moves(loss: Loss, metric: Metric, aligned: Aligned) -> Floats:
    """Derivatives of means and log standard deviations, in the first group's metric, by the configural parameters.

    2 G x G x 2 p: by each group's loadings, then intercepts.
    """
    G = len(aligned.means)
    # Back to the metric of the search: prod sd = 1, and the origin.
    log_sd = np.log(aligned.sds)
    log_sd = log_sd - log_sd.mean()
    mean = aligned.means * np.exp(log_sd[0])
    mean = metric.mean @ (metric.mean.T @ mean)
    basis = metric.basis()
    curvature = basis.T @ loss.hessian(mean, log_sd) @ basis
    mixed = basis.T @ loss.mixed(mean, log_sd).reshape(2 * G, -1)
    moves = -(basis @ np.linalg.solve(curvature, mixed)).reshape(2 * G, G, -1)
    by_mean, by_log_sd = moves[:G], moves[G:]
    first = by_log_sd[0]
    by_mean = (by_mean - by_mean[0]) * np.exp(-log_sd[0]) - aligned.means[:, None, None] * first
    return np.concatenate([by_mean, by_log_sd - first])


def _joined(own: Floats, with_own: Floats, through: tuple[Floats, Floats], middle: Floats) -> Floats:
    """Covariances over groups of u_g + a_g mean_g + b_g log_sd_g, for each item (p x G x G).

    `own` are the variances of u (p x G), `with_own` its covariances with all means and log standard deviations
    (p x G x 2 G), `through` a and b (p x G), `middle` the covariance of means and log standard deviations.
    """
    G = own.shape[1]
    a, b = (t[:, :, None] for t in through)
    # Covariances of a_g mean_g + b_g log_sd_g with all means and log standard deviations.
    moved = a * middle[:G] + b * middle[G:]
    crossed = with_own + moved / 2
    half = crossed[:, :, :G] * a.transpose(0, 2, 1) + crossed[:, :, G:] * b.transpose(0, 2, 1)
    out = half + half.transpose(0, 2, 1)
    index = np.arange(G)
    out[:, index, index] += own
    return np.asarray(out)
