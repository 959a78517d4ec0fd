"""What the model is fitted to: complete or incomplete normal data, or moments by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Array, Block, Implied, Ints, Slopes, implied, jacobian, moments, slopes


class Sample(Protocol):
    """One group's data, with the discrepancy between them and a model.

    The discrepancy is half of the usual F: for normal data the difference of the log likelihoods a respondent.
    """

    @property
    def n(self) -> float:
        """Respondents (sum of weights)."""

    def value(self, block: Block, theta: Floats) -> float:
        """The discrepancy; infinite where the implied moments are impossible."""

    def gradient(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Its derivatives by the block's free cells, and their parameters' numbers."""

    def information(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Expected second derivatives (f x f) by the free cells, and their parameters' numbers."""

    def hessian(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Second derivatives, exact to rounding."""


class Normal(NamedTuple):
    """Complete data as sufficient statistics.

    Attributes
    ----------
    n : float
    mean : array, p
    cov : array, p x p
        With divisor n.
    log_det : float
        Of `cov`.
    """

    n: float
    mean: Floats
    cov: Floats
    log_det: float

    @classmethod
    def of(cls, n: float, mean: Floats, cov: Floats) -> Normal:
        """With the determinant computed."""
        return cls(n, mean, cov, float(np.linalg.slogdet(cov)[1]))

    def _around(self, block: Block, at: Implied) -> tuple[Array, Array]:
        """Covariance around the implied mean, and the distance of the means."""
        if not block.mean_structure:
            return self.cov, np.zeros_like(at.mu)
        distance = self.mean - at.mu
        return self.cov + distance[..., :, None] * distance[..., None, :], distance

    def value(self, block: Block, theta: Floats) -> float:
        """Half of log|Sigma| + tr(S Sigma^-1) - log|S| - p."""
        at = implied(block, theta)
        root = _cholesky(at.sigma)
        if root is None:
            return float("inf")
        around, _ = self._around(block, at)
        half = np.linalg.solve(root, around)
        trace = float(np.trace(np.linalg.solve(root, half.T)))
        return float(np.log(np.diag(root)).sum() + (trace - self.log_det - block.p) / 2)

    def gradient(self, block: Block, theta: Array) -> tuple[Array, Ints]:
        """Also for a stack of complex points."""
        at = implied(block, theta)
        return self.gradient_at(block, at, slope := slopes(block, at)), slope.parameter

    def gradient_at(self, block: Block, at: Implied, slope: Slopes) -> Array:
        """By the cells of `slope`."""
        inverse = np.linalg.inv(at.sigma)
        around, distance = self._around(block, at)
        residual = inverse - inverse @ around @ inverse
        out: Array = slope.weight * ((residual @ slope.right) * slope.left).sum(axis=-2)
        if block.mean_structure:
            pull = (inverse @ distance[..., None])[..., 0]
            out = out - slope.shift * (pull[..., :, None] * slope.left).sum(axis=-2)
        return out

    def information(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Of one respondent, at the implied moments."""
        at = implied(block, theta)
        slope = slopes(block, at)
        return expected_information(np.linalg.inv(at.sigma), slope), slope.parameter

    def hessian(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """By the complex step: the gradient is analytic."""
        return complex_step(self, block, theta)


def expected_information(inverse: Floats, slope: Slopes) -> Floats:
    """tr(P dSigma_k P dSigma_l) / 2 + dmu_k' P dmu_l from the rank-two derivatives, P the inverse of Sigma."""
    left, right = inverse @ slope.left, inverse @ slope.right
    ll, rr, lr = slope.left.T @ left, slope.right.T @ right, slope.left.T @ right
    between = (slope.weight[:, None] * slope.weight) * (ll * rr + lr * lr.T)
    return np.asarray(between + (slope.shift[:, None] * slope.shift) * ll, dtype=float)


def complex_step(sample: Normal | Patterns, block: Block, theta: Floats) -> tuple[Floats, Ints]:
    """Second derivatives by the block's free cells: the imaginary part of the gradient along each parameter."""
    parameter = np.unique(block.free[block.free >= 0])
    stack = np.tile(theta.astype(complex), (len(parameter), 1))
    stack[np.arange(len(parameter)), parameter] += 1e-30j
    slope, numbers = sample.gradient(block, stack)
    by_cell = slope.imag / 1e-30
    # Cells that share a parameter add up.
    out = np.zeros((len(parameter), len(parameter)))
    np.add.at(out.T, np.searchsorted(parameter, numbers), by_cell.T)
    return (out + out.T) / 2, parameter


class Pattern(NamedTuple):
    """Respondents who answered the same items."""

    observed: Ints
    rows: Ints
    n: float
    mean: Floats
    cov: Floats


class Patterns(NamedTuple):
    """Incomplete normal data by pattern of answers (full information maximum likelihood).

    Attributes
    ----------
    n : float
    patterns : sequence of Pattern
    mean, cov : array, p and p x p
        The free ones that maximise the likelihood, computed once by `sufficient.free_moments`.
    saturated : float
        The discrepancy is measured from this: minus the log likelihood a respondent of free means and covariances,
        without the constant.
    settled : bool
        Whether the search for the free moments came to rest.
    """

    n: float
    patterns: Sequence[Pattern]
    mean: Floats
    cov: Floats
    saturated: float = 0.0
    settled: bool = True

    def value(self, block: Block, theta: Floats) -> float:
        """Minus the log likelihood a respondent, less that of free moments."""
        at = implied(block, theta)
        return self.minus_loglik(at.mu, at.sigma) - self.saturated

    def minus_loglik(self, mu: Floats, sigma: Floats) -> float:
        """A respondent's, without the constant in 2 pi."""
        total = 0.0
        for group in self.patterns:
            root = _cholesky(sigma[np.ix_(group.observed, group.observed)])
            if root is None:
                return float("inf")
            distance = group.mean - mu[group.observed]
            around = group.cov + np.outer(distance, distance)
            half = np.linalg.solve(root, around)
            trace = float(np.trace(np.linalg.solve(root, half.T)))
            total += group.n * (float(np.log(np.diag(root)).sum()) + trace / 2)
        return total / self.n

    def gradient(self, block: Block, theta: Array) -> tuple[Array, Ints]:
        """Also for a stack of complex points."""
        at = implied(block, theta)
        return self.gradient_at(block, at, slope := slopes(block, at)), slope.parameter

    def gradient_at(self, block: Block, at: Implied, slope: Slopes) -> Array:
        """By the cells of `slope`."""
        residual, pull = self.pulls(at.mu, at.sigma)
        out = slope.weight * ((residual @ slope.right) * slope.left).sum(axis=-2)
        return np.asarray(out - slope.shift * (pull[..., :, None] * slope.left).sum(axis=-2))

    def pulls(self, mu: Array, sigma: Array) -> tuple[Array, Array]:
        """Derivatives by sigma (as a full matrix, doubled) and, with the sign turned, by mu."""
        residual, pull = np.zeros_like(sigma), np.zeros_like(mu)
        for group in self.patterns:
            at: Any = (..., *np.ix_(group.observed, group.observed))
            inverse = np.linalg.inv(sigma[at])
            distance = group.mean - mu[..., group.observed]
            around = group.cov + distance[..., :, None] * distance[..., None, :]
            share = group.n / self.n
            residual[at] += share * (inverse - inverse @ around @ inverse)
            pull[..., group.observed] += share * (inverse @ distance[..., None])[..., 0]
        return residual, pull

    def information(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Of one respondent, patterns taken as given."""
        at = implied(block, theta)
        slope = slopes(block, at)
        total = np.zeros((len(slope.cell),) * 2)
        for group in self.patterns:
            inverse = np.linalg.inv(at.sigma[np.ix_(group.observed, group.observed)])
            seen = slope._replace(left=slope.left[group.observed], right=slope.right[group.observed])
            total += group.n / self.n * expected_information(inverse, seen)
        return total, slope.parameter

    def hessian(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """By the complex step: the gradient is analytic."""
        return complex_step(self, block, theta)


def univariate(sample: Normal | Patterns) -> tuple[Floats, Floats]:
    """Each variable's own mean and variance, from all answers to it."""
    if isinstance(sample, Normal):
        return sample.mean, np.diag(sample.cov).copy()
    p = 1 + max(int(g.observed.max()) for g in sample.patterns)
    count, total, square = np.zeros(p), np.zeros(p), np.zeros(p)
    for g in sample.patterns:
        count[g.observed] += g.n
        total[g.observed] += g.n * g.mean
        square[g.observed] += g.n * (np.diag(g.cov) + g.mean**2)
    mean = total / count
    return mean, square / count - mean**2


class LeastSquares(NamedTuple):
    """Moments compared by weighted squares.

    Attributes
    ----------
    n : float
    observed : array, s
        As `model.moments` orders them.
    weight : array, s
        Of each moment: ones for unweighted, inverse variances for diagonally weighted least squares.
    """

    n: float
    observed: Floats
    weight: Floats

    def weighted(self, x: Floats) -> Floats:
        """Every row of x times its moment's weight."""
        return self.weight * x if x.ndim == 1 else self.weight[:, None] * x

    def value(self, block: Block, theta: Floats) -> float:
        """Half the weighted sum of squares."""
        distance = self.observed - moments(block, implied(block, theta))
        return float(distance @ self.weighted(distance)) / 2

    def gradient(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """By the free cells."""
        at = implied(block, theta)
        J, slope = jacobian(block, at)
        return -J.T @ self.weighted(self.observed - moments(block, at)), slope.parameter

    def information(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """Gauss and Newton's second derivatives, J'WJ."""
        J, slope = jacobian(block, implied(block, theta))
        return J.T @ self.weighted(J), slope.parameter

    def hessian(self, block: Block, theta: Floats) -> tuple[Floats, Ints]:
        """By central differences of the gradient: used to end a slow search only, never for standard errors."""
        parameter = np.unique(block.free[block.free >= 0])
        out = np.zeros((len(parameter), len(parameter)))
        for k, number in enumerate(parameter):
            sides = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[number] += sign * 1e-6
                slope, numbers = self.gradient(block, moved)
                sides.append(np.bincount(np.searchsorted(parameter, numbers), slope, len(parameter)))
            out[k] = (sides[0] - sides[1]) / 2e-6
        return (out + out.T) / 2, parameter


def _cholesky(sigma: Floats) -> Floats | None:
    try:
        return np.asarray(np.linalg.cholesky(sigma), dtype=float)
    except np.linalg.LinAlgError:
        return None
