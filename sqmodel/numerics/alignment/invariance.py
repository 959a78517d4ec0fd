"""What aligned groups have in common: the groups in which a parameter is the same, and what factors explain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.numerics.alignment.search import Aligned
from sqmodel.numerics.correlation import Floats


def invariant_groups(
    values: npt.ArrayLike,
    covariance: npt.ArrayLike,
    sizes: npt.ArrayLike,
    *,
    joined: float = 0.01,
    kept: float = 0.001,
) -> npt.NDArray[np.bool_]:
    """In which groups is one aligned parameter the same?

    The iteration of Asparouhov & Muthen (2014): from a first set of groups, a group leaves whose value differs from the
    set's mean (weighted by size) at the level `kept`, one that does not differ enters, until nothing changes. Where the
    sets go round in a circle, the groups common to all of them remain. The paper begins with the largest set of groups
    connected by pairwise p-values above `joined`; chains of groups may connect the ends of a long line, so we begin
    with the group that differs from the fewest others, and these others.

    Parameters
    ----------
    values : array, G
        The aligned parameter.
    covariance : array, G x G
        Of the values, as `spread` gives it.
    sizes : array, G
        Respondents.
    joined, kept : float
        Two-sided p-values.
    """
    x, C, n = (np.asarray(a, dtype=float) for a in (values, covariance, sizes))
    own = np.diag(C)
    near = _alike(x[:, None] - x, own[:, None] + own - 2 * C, joined)
    inside = near[np.argmax(near.sum(axis=1))]
    seen: list[npt.NDArray[np.bool_]] = []
    while not any(np.array_equal(inside, s) for s in seen):
        seen.append(inside)
        share = np.where(inside, n, 0.0) / n[inside].sum()
        with_mean = C @ share
        inside = _alike(x - share @ x, own - 2 * with_mean + share @ with_mean, kept)
        if not inside.any():
            return seen[-1]
    begin = next(k for k, s in enumerate(seen) if np.array_equal(inside, s))
    common = np.logical_and.reduce(seen[begin:])
    return common if common.any() else seen[begin]


def explained(loadings: npt.ArrayLike, intercepts: npt.ArrayLike, aligned: Aligned) -> tuple[Floats, Floats]:
    """Which share of the configural parameters' variation over groups do means and variances of the factor explain?

    R2 of each item's loading and intercept (Asparouhov & Muthen 2014): 1 - V(lambda_g - sqrt(psi_g) lambda) /
    V(lambda_g) and 1 - V(nu_g - nu - alpha_g lambda) / V(nu_g), lambda and nu the mean aligned parameters. 1 under
    full invariance; about 0, or below, where groups have the same mean and variance, so that there is nothing to
    explain; NaN where the configural parameter does not vary at all.

    Returns
    -------
    loadings, intercepts : array, p
    """
    L, N = np.asarray(loadings, dtype=float), np.asarray(intercepts, dtype=float)
    loading = aligned.loadings.mean(axis=0)
    rest = L - aligned.sds[:, None] * loading, N - aligned.means[:, None] * loading
    shares = []
    for whole, left in zip((L, N), rest, strict=True):
        variance, unexplained = whole.var(axis=0), left.var(axis=0)
        varies = variance > 1e-20 * (1 + whole.mean(axis=0) ** 2)
        shares.append(np.where(varies, 1 - unexplained / np.where(varies, variance, 1.0), np.nan))
    return shares[0], shares[1]


def _alike(difference: Floats, variance: Floats, p: float) -> npt.NDArray[np.bool_]:
    """Whether differences are zero for all that a two-sided test of this level can see."""
    limit = stats.norm.isf(p / 2)
    return np.asarray(np.abs(difference) <= limit * np.sqrt(np.maximum(variance, 0.0)) + 1e-12)
