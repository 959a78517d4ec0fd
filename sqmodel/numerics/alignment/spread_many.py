"""How precisely many aligned groups are known: the delta method of `spread` without a matrix of all pairs of groups.

Near the minimum a group's mean and log standard deviation phi_g move with its own estimates theta_g and with what all
groups share: d phi_g = a_g d theta_g + J_g y, where y = sum_h Y_h' d theta_h has a few hundred numbers (the directions
of `many.Linear`, and the first group's own d phi, in whose metric all is told). Covariances over groups are then each
group's own part on the diagonal plus products of G x S matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sqmodel.numerics.alignment.loss import Origin
from sqmodel.numerics.alignment.many import Linear, ManyLoss, linearise
from sqmodel.numerics.correlation import Floats


class Shared(NamedTuple):
    """How groups move by themselves and together, in the first group's metric.

    Attributes
    ----------
    own : array, G x 2 x 2 p
        Of mean and log standard deviation by the group's own loadings and intercepts.
    through : array, 2 x G x S
        By what is shared.
    with_own : array, G x 2 p x S
        Covariance of a group's own estimates with what is shared.
    middle : array, S x S
        Covariance of what is shared.
    """

    own: Floats
    through: Floats
    with_own: Floats
    middle: Floats


def spread_many(
    loss: ManyLoss, V: Floats, means: Floats, sds: Floats, origin: Origin
) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Covariances of means and standard deviations (G x G), of loadings and intercepts (p x G x G), as in `Spread`.

    None where `linearise` is out of reach.

    Parameters
    ----------
    loss : ManyLoss
    V : array, G x 2 p x 2 p
    means, sds : array, G
        In the first group's metric.
    """
    log_sd = np.log(sds)
    log_sd = log_sd - log_sd.mean()
    mean = means * np.exp(log_sd[0])
    mean = mean - (mean.mean() if origin == "centre" else mean[0])
    at = linearise(loss, mean, log_sd, origin)
    if at is None or not at.positive:
        return None
    shared = _shared(loss, at, V, mean, log_sd, means)
    covariances = [_joined(shared.own[:, k], shared.through[k], shared.with_own, shared.middle, V) for k in range(2)]
    for c in covariances:
        c[0], c[:, 0] = 0.0, 0.0
    p = len(loss.loadings)
    loadings, intercepts = np.empty((p, len(means), len(means))), np.empty((p, len(means), len(means)))
    for i in range(p):
        scaled, estimate = loss.loadings[i] / sds, np.zeros((2, len(means), 2 * p))
        estimate[0, :, i], estimate[1, :, p + i], estimate[1, :, i] = 1 / sds, 1.0, -means / sds
        none = np.zeros_like(scaled)
        for out, own, moves in (
            (loadings, estimate[0], (none, -scaled)), (intercepts, estimate[1], (-scaled, means * scaled)),
        ):  # fmt: skip
            by_own = own + sum(m[:, None] * shared.own[:, k] for k, m in enumerate(moves))
            by_shared = sum(m[:, None] * shared.through[k] for k, m in enumerate(moves))
            out[i] = _joined(by_own, np.asarray(by_shared), shared.with_own, shared.middle, V)
    return covariances[0], covariances[1] * np.outer(sds, sds), loadings, intercepts


def _shared(loss: ManyLoss, at: Linear, V: Floats, mean: Floats, log_sd: Floats, means: Floats) -> Shared:
    """From the derivatives at the minimum; the first group's own moves become the last two shared numbers."""
    p, G = loss.loadings.shape
    by_estimates, onto = _by_estimates(at, p, mean, log_sd)
    own = -at.blocks @ by_estimates
    inward = np.einsum("ags,agr->sr", at.lean, at.along, optimize=True)
    inward = at.inner @ inward
    inward[: len(at.values)] += np.eye(len(at.values))
    toward = onto @ (inward * at.values).T
    toward -= np.einsum("gat,ags->gts", by_estimates, at.lean, optimize=True) @ at.inner.T
    first = toward @ at.lean[:, 0].T
    first[0] += own[0].T
    toward = np.concatenate([toward, first], axis=2)
    unit = np.exp(-log_sd[0])
    rest = np.zeros((2, G, 2))
    rest[0, :, 0], rest[0, :, 1], rest[1, :, 1] = -unit, -means, -1.0
    scale = np.array([unit, 1.0])
    through = np.concatenate([at.lean * scale[:, None, None], rest], axis=2)
    with_own = V @ toward
    middle = np.tensordot(toward, with_own, axes=([0, 1], [0, 1]))
    return Shared(own * scale[:, None], through, with_own, (middle + middle.T) / 2)


def _by_estimates(at: Linear, p: int, mean: Floats, log_sd: Floats) -> tuple[Floats, Floats]:
    """Derivatives by a group's own estimates: of its gradient (G x 2 x 2 p) and of its part of U'dx (G x 2 p x R)."""
    shrink = np.exp(-log_sd)
    pull, push = at.first[:p], at.first[p:]
    bent = at.through * at.bent
    by_estimates = np.empty((len(mean), 2, 2 * p))
    by_estimates[:, :, p:] = bent[:, p:].transpose(2, 0, 1)
    by_estimates[:, :, :p] = ((bent[:, :p] - mean * bent[:, p:]) * shrink).transpose(2, 0, 1)
    by_estimates[:, 0, :p] -= (push * shrink).T
    by_estimates[:, 1, :p] += ((mean * push - pull) * shrink).T
    onto = np.zeros((len(mean), 2 * p, len(at.owner)))
    column = np.arange(len(at.owner))
    loading = at.owner < p
    k = column[loading]
    onto[:, at.owner[k], k] = at.vectors[:, k] * shrink[:, None]
    k = column[~loading]
    onto[:, at.owner[k], k] = at.vectors[:, k]
    onto[:, at.owner[k] - p, k] = -at.vectors[:, k] * (mean * shrink)[:, None]
    return by_estimates, onto


def _joined(own: Floats, through: Floats, with_own: Floats, middle: Floats, V: Floats) -> Floats:
    """Covariance over groups of own_g' theta_g + through_g' y (G x G)."""
    crossed = (own[:, None, :] @ with_own)[:, 0] + through @ middle / 2
    half = crossed @ through.T
    out = half + half.T
    index = np.arange(len(own))
    out[index, index] += np.einsum("gj,gjk,gk->g", own, V, own, optimize=True)
    return np.asarray(out)
