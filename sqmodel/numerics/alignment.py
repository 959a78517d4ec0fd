"""Alignment: means and variances of many groups under approximate measurement invariance."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats
from scipy.linalg import block_diag

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.threads import one_blas_thread

Origin = Literal["centre", "first"]

EPS = 0.01
"""Mplus' tolerance, in squared units of an item."""
_SOFT = 10.0
"""The search begins with a tolerance of so many variances of the parameters over groups: almost least squares."""
_AWAY = 0.3
"""Standard deviation of the random starts around the first, in standard deviations of the factor."""
_NEWTON = 50
_TOLERANCE = 1e-9
"""Largest derivative of the objective (in units of the loss of one pair) that counts as zero."""
_SAME = 1e-6


class Aligned(NamedTuple):
    """Groups on one scale, that of the first group: there the factor has mean 0 and standard deviation 1.

    Attributes
    ----------
    loadings, intercepts : array, G x p
        Aligned parameters, in the items' units.
    means, sds : array, G
        Of the factor, in standard deviations of the first group.
    objective : float
        Weighted mean over pairs of groups of the loss, summed over parameters, in the metric of the search.
    gradient_norm : float
        Largest absolute derivative of the objective at the solution: the certificate.
    converged : bool
        Whether that is zero (1e-9) and all curvature positive.
    starts, agreeing : int
        Starts, and how many of them ended in this minimum.
    """

    loadings: Floats
    intercepts: Floats
    means: Floats
    sds: Floats
    objective: float
    gradient_norm: float
    converged: bool
    starts: int
    agreeing: int


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
def align_groups(
    loadings: npt.ArrayLike,
    intercepts: npt.ArrayLike,
    sizes: npt.ArrayLike,
    *,
    eps: float = EPS,
    origin: Origin = "centre",
    starts: int = 10,
    rng: np.random.Generator | int = 0,
) -> Aligned:
    """Which means and variances of the groups leave a few large differences of their items instead of many small ones?

    Alignment (Asparouhov & Muthen 2014): from the configural model, in which every group's factor has mean 0 and
    variance 1, to lambda_g / sqrt(psi_g) and nu_g - alpha_g lambda_g / sqrt(psi_g), with the alpha_g and psi_g that
    minimise the sum over parameters and pairs of groups of sqrt(n_g n_h) f(difference), f(x) = sqrt(sqrt(x^2 + eps)).
    L-BFGS with the analytic gradient from several starts, each with ever smaller eps as in sirt, then Newton's method
    to the optimum itself. Perfectly invariant parameters are recovered to rounding, whatever eps is.

    During the search the scale is fixed by prod psi_g = 1, as in the paper, and the origin by `origin`; the solution is
    then carried to the metric of the first group, alpha_1 = 0 and psi_1 = 1 (FIXED).

    Departures: the paper's FIXED has alpha_1 = 0 in the search already (``origin="first"``). An aligned intercept
    contains alpha_g times an estimated loading, so the loss then favours means near the first group's: where that group
    is one standard deviation away from 29 others (6 items, standard errors of .06), its distance comes out .12 too
    small, and .38 if two items are not invariant in a third of the groups. ``"centre"``, with sum alpha_g = 0, is off
    by .00 and .02. The paper's remedy is FREE, in which alpha_1 is estimated as well, but which has no solution under
    full invariance; its means differed from those of ``"centre"`` by thousandths. Under ``"centre"`` no group
    is special: the choice of the first one changes the unit and the zero only.

    sirt's ``invariance.alignment`` has this loss at its default ``align.pow = c(.5, .5)``, but eps = .001 (preferred by
    Robitzsch 2024): for items with standard deviations near 1 that gains in groups of 2000 and costs up to a tenth of
    the means' precision in groups of 100 to 300, so that Mplus' .01 is the default here. sirt's ``meth = 1`` identifies
    the scale in another way; ``meth = 3`` is FIXED and ``meth = 4`` FREE.

    Parameters
    ----------
    loadings, intercepts : array, G x p
        Configural estimates of one factor, in the items' units; factor mean 0 and variance 1 in every group.
    sizes : array, G
        Respondents.
    eps : float
        Tolerance, in squared units of an item: differences far below its root count by their square. Items on very
        different scales should be brought to one before, as the loss adds up their differences.
    origin : {"centre", "first"}
        What identifies the means during the search.
    starts : int
        One from the groups' mean loadings and intercepts, the others random around it.
    rng : Generator or int

    Raises
    ------
    ComputationError
        Arrays that do not go together, fewer than two groups or three items, a group without loadings.
    """
    L, N, n = _checked(loadings, intercepts, sizes, eps)
    loss, metric = _Loss.of(L, N, n, eps), _Metric.of(len(n), origin)
    first, generator = _rough(loss, metric), np.random.default_rng(rng)
    tolerances = _tolerances(loss, *metric.full(first))
    found = [_descend(loss, metric, first, tolerances)]
    for _ in range(starts - 1):
        found.append(_descend(loss, metric, first + generator.normal(0, _AWAY, size=len(first)), tolerances))
    value, free, norm, converged = _polish(loss, metric, min(found, key=lambda f: f[0])[1])
    agreeing = sum(f[0] < value + _SAME for f in found)
    mean, log_sd = metric.full(free)
    means, sds = (mean - mean[0]) * np.exp(-log_sd[0]), np.exp(log_sd - log_sd[0])
    scaled = L / sds[:, None]
    return Aligned(scaled, N - means[:, None] * scaled, means, sds, value, norm, converged, len(found), agreeing)


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
    L, N, n = _checked(loadings, intercepts, sizes, eps)
    V = np.asarray(covariances, dtype=float)
    G, p = L.shape
    if V.shape != (G, 2 * p, 2 * p):
        raise ComputationError(f"expected covariances of shape {(G, 2 * p, 2 * p)}, found {V.shape}")
    means, sds = aligned.means, aligned.sds
    moves = _moves(_Loss.of(L, N, n, eps), _Metric.of(G, origin), aligned)
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


class _Metric(NamedTuple):
    """How means and log standard deviations are identified in the search: each is a basis times free numbers."""

    mean: Floats
    log_sd: Floats

    @classmethod
    def of(cls, groups: int, origin: Origin) -> _Metric:
        # An orthonormal basis of all vectors that sum to zero.
        centred = np.linalg.svd(np.eye(groups) - 1 / groups)[0][:, : groups - 1]
        return cls(centred if origin == "centre" else np.eye(groups)[:, 1:], centred)

    def full(self, free: Floats) -> tuple[Floats, Floats]:
        k = self.mean.shape[1]
        return self.mean @ free[:k], self.log_sd @ free[k:]

    def reduced(self, gradient: Floats) -> Floats:
        G = len(self.mean)
        return np.concatenate([self.mean.T @ gradient[:G], self.log_sd.T @ gradient[G:]])

    def basis(self) -> Floats:
        return np.asarray(block_diag(self.mean, self.log_sd))


class _Loss(NamedTuple):
    """The objective of one factor.

    Attributes
    ----------
    loadings, intercepts : array, p x G
        Configural.
    weight : array, G x G
        Of pairs; over pairs they add up to 1.
    eps : float
    """

    loadings: Floats
    intercepts: Floats
    weight: Floats
    eps: float

    @classmethod
    def of(cls, loadings: Floats, intercepts: Floats, sizes: Floats, eps: float) -> _Loss:
        root = np.sqrt(sizes)
        weight = np.outer(root, root)
        np.fill_diagonal(weight, 0.0)
        return cls(loadings.T.copy(), intercepts.T.copy(), weight / (weight.sum() / 2), eps)

    def aligned(self, mean: Floats, log_sd: Floats) -> tuple[Floats, Floats]:
        """Loadings and intercepts, p x G."""
        scaled = self.loadings * np.exp(-log_sd)
        return scaled, self.intercepts - mean * scaled

    def value_and_gradient(self, mean: Floats, log_sd: Floats) -> tuple[float, Floats]:
        """By means, then log standard deviations (2 G)."""
        scaled, moved = self.aligned(mean, log_sd)
        value, first = 0.0, []
        for x in (scaled, moved):
            difference = x[:, :, None] - x[:, None, :]
            square = difference * difference + self.eps
            root = self.weight * np.sqrt(np.sqrt(square))
            value += float(root.sum()) / 2
            first.append((root / square * difference).sum(axis=2) / 2)
        by_loading, by_intercept = first
        by_log_sd = ((mean * by_intercept - by_loading) * scaled).sum(axis=0)
        return value, np.concatenate([-(by_intercept * scaled).sum(axis=0), by_log_sd])

    def derivatives(self, x: Floats) -> tuple[Floats, Floats]:
        """First (p x G) and second (p x G x G) derivatives by one kind of aligned parameters."""
        difference = x[:, :, None] - x[:, None, :]
        square = difference * difference + self.eps
        slope = self.weight * np.sqrt(np.sqrt(square)) / square
        bend = slope * (0.5 - 0.75 * difference * difference / square)
        second, index = -bend, np.arange(x.shape[1])
        second[:, index, index] += bend.sum(axis=2)
        return (slope * difference).sum(axis=2) / 2, second

    def hessian(self, mean: Floats, log_sd: Floats) -> Floats:
        """Second derivatives by means, then log standard deviations (2 G x 2 G)."""
        G = len(mean)
        scaled, moved = self.aligned(mean, log_sd)
        (pull, by_loading), (push, by_intercept) = self.derivatives(scaled), self.derivatives(moved)
        crossed = np.einsum("pg,pgh,ph->gh", scaled, by_intercept, scaled, optimize=True)
        out = np.empty((2 * G, 2 * G))
        out[:G, :G] = crossed
        out[:G, G:] = -crossed * mean + np.diag((push * scaled).sum(axis=0))
        out[G:, :G] = out[:G, G:].T
        out[G:, G:] = np.einsum("pg,pgh,ph->gh", scaled, by_loading, scaled, optimize=True)
        out[G:, G:] += np.outer(mean, mean) * crossed + np.diag(((pull - mean * push) * scaled).sum(axis=0))
        return out

    def mixed(self, mean: Floats, log_sd: Floats) -> Floats:
        """Derivatives of the gradient by each group's configural loadings, then intercepts (2 G x G x 2 p)."""
        p, G = self.loadings.shape
        shrink, index = np.exp(-log_sd), np.arange(G)
        scaled, moved = self.aligned(mean, log_sd)
        (pull, by_loading), (push, by_intercept) = self.derivatives(scaled), self.derivatives(moved)
        along = (scaled[:, :, None] * by_intercept).transpose(1, 2, 0)
        out = np.empty((2 * G, G, 2 * p))
        out[:G, :, p:] = -along
        out[:G, :, :p] = along * (mean * shrink)[:, None]
        out[index, index, :p] -= (shrink * push).T
        out[G:] = -mean[:, None, None] * out[:G]
        out[G:, :, :p] -= (scaled[:, :, None] * by_loading).transpose(1, 2, 0) * shrink[:, None]
        out[G + index, index, :p] -= (shrink * pull).T
        return out


def _checked(
    loadings: npt.ArrayLike, intercepts: npt.ArrayLike, sizes: npt.ArrayLike, eps: float
) -> tuple[Floats, Floats, Floats]:
    L, N, n = (np.asarray(x, dtype=float) for x in (loadings, intercepts, sizes))
    if L.ndim != 2 or L.shape != N.shape or n.shape != L.shape[:1]:
        raise ComputationError(
            "expected loadings and intercepts of groups x items and a size for each group, "
            f"found shapes {L.shape}, {N.shape} and {n.shape}"
        )
    problems = []
    if L.shape[0] < 2:
        problems.append(f"expected at least two groups, found {L.shape[0]}")
    if L.shape[1] < 3:
        problems.append(f"expected at least three items, found {L.shape[1]}")
    if not all(np.isfinite(x).all() for x in (L, N, n)):
        problems.append("expected finite loadings, intercepts and sizes, found others")
    elif not L.any(axis=1).all():
        problems.append("expected loadings other than zero in every group, found a group without")
    if not (n > 0).all():
        problems.append(f"expected positive group sizes, found {n.min():g}")
    if not eps > 0:
        problems.append(f"expected a positive eps, found {eps:g}")
    if problems:
        raise ComputationError("; ".join(problems))
    return L, N, n


def _rough(loss: _Loss, metric: _Metric) -> Floats:
    """Log standard deviations by the lengths of the loadings, means by regression of intercepts on loadings."""
    log_sd = np.log(np.linalg.norm(loss.loadings, axis=0))
    log_sd = log_sd - log_sd.mean()
    scaled, _ = loss.aligned(np.zeros_like(log_sd), log_sd)
    away = loss.intercepts - loss.intercepts.mean(axis=1, keepdims=True)
    mean = (away * scaled).sum(axis=0) / (scaled * scaled).sum(axis=0)
    return np.concatenate([metric.mean.T @ (mean - mean[0]), metric.log_sd.T @ log_sd])


def _tolerances(loss: _Loss, mean: Floats, log_sd: Floats) -> Floats:
    """From a soft loss to the one asked for, in steps of at most a factor of ten."""
    softest = _SOFT * float(np.mean([x.var(axis=1).mean() for x in loss.aligned(mean, log_sd)]))
    if softest <= loss.eps:
        return np.array([loss.eps])
    return np.geomspace(softest, loss.eps, 1 + math.ceil(math.log10(softest / loss.eps)))


def _descend(loss: _Loss, metric: _Metric, start: Floats, tolerances: Floats) -> tuple[float, Floats]:
    """Where quasi-Newton steps lead, first with softer losses: the objective, and the free numbers."""

    def objective(free: Floats, own: _Loss) -> tuple[float, Floats]:
        value, gradient = own.value_and_gradient(*metric.full(free))
        return value, metric.reduced(gradient)

    free, value = start, np.inf
    for eps in tolerances:
        own = loss._replace(eps=float(eps))
        found = optimize.minimize(objective, free, args=(own,), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        free, value = found.x, float(found.fun)
    return value, free


def _polish(loss: _Loss, metric: _Metric, free: Floats) -> tuple[float, Floats, float, bool]:
    """Newton's steps on to the optimum: objective, free numbers, largest derivative, and whether it is a minimum."""
    basis = metric.basis()
    value, slope = loss.value_and_gradient(*metric.full(free))
    gradient, lowest = metric.reduced(slope), -np.inf
    for _ in range(_NEWTON):
        values, vectors = np.linalg.eigh(basis.T @ loss.hessian(*metric.full(free)) @ basis)
        lowest = values[0]
        step = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-8))
        moved = _shortened(loss, metric, free, step, value, float(gradient @ step))
        if moved is None:
            break
        free, value, slope = moved
        gradient = metric.reduced(slope)
    norm = float(np.abs(gradient).max())
    return value, free, norm, norm < _TOLERANCE and bool(lowest > 0)


def _shortened(
    loss: _Loss, metric: _Metric, free: Floats, step: Floats, value: float, slope: float
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that lowers the objective; None where rounding is all that is left."""
    if -slope < 1e-20:
        return None
    length = 1.0
    while length > 1e-8:
        moved = free + length * step
        found, gradient = loss.value_and_gradient(*metric.full(moved))
        if found <= value + 1e-4 * length * slope + 1e-15 * value:
            return moved, found, gradient
        length /= 2
    return None


def _moves(loss: _Loss, metric: _Metric, aligned: Aligned) -> Floats:
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


def _alike(difference: Floats, variance: Floats, p: float) -> npt.NDArray[np.bool_]:
    """Whether differences are zero for all that a two-sided test of this level can see."""
    limit = stats.norm.isf(p / 2)
    return np.asarray(np.abs(difference) <= limit * np.sqrt(np.maximum(variance, 0.0)) + 1e-12)
