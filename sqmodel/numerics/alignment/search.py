"""Alignment: means and variances of many groups under approximate measurement invariance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize

from sqmodel.errors import ComputationError
from sqmodel.numerics.alignment.loss import EPS, Loss, Metric, Origin
from sqmodel.numerics.alignment.many import ManyLoss, descend, polish, within
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.threads import one_blas_thread

MANY = 150
"""Beyond so many groups the loss is not summed over pairs of groups: the same numbers, in less time and memory."""
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
    L, N, n = checked_groups(loadings, intercepts, sizes, eps)
    if len(n) > MANY and (quick := _of_many(L, N, n, eps, origin, starts, rng)) is not None:
        return quick
    loss, metric = Loss.of(L, N, n, eps), Metric.of(len(n), origin)
    first, generator = _rough(loss, metric), np.random.default_rng(rng)
    tolerances = _tolerances(loss, *metric.full(first))
    found = [_descend(loss, metric, first, tolerances)]
    for _ in range(starts - 1):
        found.append(_descend(loss, metric, first + generator.normal(0, _AWAY, size=len(first)), tolerances))
    value, free, norm, converged = _polish(loss, metric, min(found, key=lambda f: f[0])[1])
    agreeing = sum(f[0] < value + _SAME for f in found)
    return _carried(L, N, *metric.full(free), (value, norm, converged, len(found), agreeing))


def _carried(L: Floats, N: Floats, mean: Floats, log_sd: Floats, ends: tuple[float, float, bool, int, int]) -> Aligned:
    """The solution in the metric of the first group."""
    means, sds = (mean - mean[0]) * np.exp(-log_sd[0]), np.exp(log_sd - log_sd[0])
    scaled = L / sds[:, None]
    return Aligned(scaled, N - means[:, None] * scaled, means, sds, *ends)


def _of_many(
    L: Floats, N: Floats, n: Floats, eps: float, origin: Origin, starts: int, rng: np.random.Generator | int
) -> Aligned | None:
    """The same search in time that grows with the groups (see `field` and `many`); None where that does not work."""
    loss = ManyLoss.of(L, N, n, eps)
    mean, log_sd = _regressed(loss)
    first = within(np.concatenate([mean - mean[0], log_sd]), origin)
    tolerances = _tolerances(loss, *first.reshape(2, -1))
    generator = np.random.default_rng(rng)
    found = [descend(loss, first, tolerances, origin)]
    for _ in range(starts - 1):
        away = within(generator.normal(0, _AWAY, size=len(first)), origin)
        found.append(descend(loss, first + away, tolerances, origin))
    end = polish(loss, min(found, key=lambda f: f[0])[1], origin)
    if end is None:
        return None
    agreeing = sum(f[0] < end.value + _SAME for f in found)
    converged = end.norm < _TOLERANCE and end.positive
    return _carried(L, N, end.mean, end.log_sd, (end.value, end.norm, converged, len(found), agreeing))


def checked_groups(
    loadings: npt.ArrayLike, intercepts: npt.ArrayLike, sizes: npt.ArrayLike, eps: float
) -> tuple[Floats, Floats, Floats]:
    """Loadings, intercepts and sizes as arrays; a ComputationError with all their problems."""
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


def _rough(loss: Loss, metric: Metric) -> Floats:
    """Free numbers of the first start."""
    mean, log_sd = _regressed(loss)
    return np.concatenate([metric.mean.T @ (mean - mean[0]), metric.log_sd.T @ log_sd])


def _regressed(loss: Loss | ManyLoss) -> tuple[Floats, Floats]:
    """Log standard deviations by the lengths of the loadings, means by regression of intercepts on loadings."""
    log_sd = np.log(np.linalg.norm(loss.loadings, axis=0))
    log_sd = log_sd - log_sd.mean()
    scaled, _ = loss.aligned(np.zeros_like(log_sd), log_sd)
    away = loss.intercepts - loss.intercepts.mean(axis=1, keepdims=True)
    mean = (away * scaled).sum(axis=0) / (scaled * scaled).sum(axis=0)
    return mean, log_sd


def _tolerances(loss: Loss | ManyLoss, mean: Floats, log_sd: Floats) -> Floats:
    """From a soft loss to the one asked for, in steps of at most a factor of ten."""
    softest = _SOFT * float(np.mean([x.var(axis=1).mean() for x in loss.aligned(mean, log_sd)]))
    if softest <= loss.eps:
        return np.array([loss.eps])
    return np.geomspace(softest, loss.eps, 1 + math.ceil(math.log10(softest / loss.eps)))


def _descend(loss: Loss, metric: Metric, start: Floats, tolerances: Floats) -> tuple[float, Floats]:
    """Where quasi-Newton steps lead, first with softer losses: the objective, and the free numbers."""

    def objective(free: Floats, own: Loss) -> tuple[float, Floats]:
        value, gradient = own.value_and_gradient(*metric.full(free))
        return value, metric.reduced(gradient)

    free, value = start, np.inf
    for eps in tolerances:
        own = loss._replace(eps=float(eps))
        found = optimize.minimize(objective, free, args=(own,), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        free, value = found.x, float(found.fun)
    return value, free


def _polish(loss: Loss, metric: Metric, free: Floats) -> tuple[float, Floats, float, bool]:
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
    loss: Loss, metric: Metric, free: Floats, step: Floats, value: float, slope: float
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
