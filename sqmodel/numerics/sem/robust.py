"""Standard errors and test statistics that do not rest on normal data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.model import Block, Implied, Ints, Slopes, implied, jacobian, lower, slopes
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Pattern, Patterns


class Answers(NamedTuple):
    """One group's data themselves, from which casewise derivatives are taken.

    Attributes
    ----------
    x : array, n x p
        NaN where unanswered.
    weight : array, n, or None
    cluster : integer array, n, or None
    """

    x: Floats
    weight: Floats | None = None
    cluster: Ints | None = None

    @property
    def n(self) -> float:
        """Respondents (sum of weights)."""
        return float(len(self.x) if self.weight is None else self.weight.sum())


def scaled_distances(x: Floats, mu: Floats, sigma: Floats, patterns: Sequence[Pattern] | None) -> Floats:
    """Sigma^-1 (x - mu) of every respondent, zero where unanswered (n x p)."""
    if patterns is None:
        return np.asarray(np.linalg.solve(sigma, (x - mu).T).T)
    out = np.zeros_like(x)
    for group in patterns:
        at = np.ix_(group.rows, group.observed)
        inverse = np.linalg.inv(sigma[np.ix_(group.observed, group.observed)])
        out[at] = (x[at] - mu[group.observed]) @ inverse
    return out


def scores(block: Block, theta: Floats, answers: Answers, sample: Normal | Patterns) -> tuple[Floats, Slopes]:
    """Derivatives of each respondent's log likelihood by the block's free cells (n x f)."""
    at = implied(block, theta)
    slope = slopes(block, at)
    patterns = sample.patterns if isinstance(sample, Patterns) else None
    mu = at.mu if block.mean_structure or not isinstance(sample, Normal) else sample.mean
    pulled = scaled_distances(answers.x, mu, at.sigma, patterns)
    left, right = pulled @ slope.left, pulled @ slope.right
    found = slope.weight * left * right + slope.shift * left
    if patterns is None:
        found -= slope.weight * (slope.left * np.linalg.solve(at.sigma, slope.right)).sum(axis=0)
        return found, slope
    for group in patterns:
        a, b = slope.left[group.observed], slope.right[group.observed]
        inverse = np.linalg.inv(at.sigma[np.ix_(group.observed, group.observed)])
        found[group.rows] -= slope.weight * (a * (inverse @ b)).sum(axis=0)
    return found, slope


def products(found: Floats, answers: Answers) -> Floats:
    """Mean over respondents of the products of their scores; summed within clusters first, where there are any."""
    weighted = found if answers.weight is None else found * answers.weight[:, None]
    if answers.cluster is None:
        return np.asarray(np.dot(weighted.T, weighted) / answers.n)
    number = answers.cluster.max() + 1
    sums = np.zeros((number, found.shape[1]))
    np.add.at(sums, answers.cluster, weighted)
    return np.asarray(np.dot(sums.T, sums) * (number / (number - 1)) / answers.n)


def first_order(
    blocks: Sequence[Block], theta: Floats, answers: Sequence[Answers], samples: Sequence[Normal | Patterns]
) -> Floats:
    """Information from the products of casewise scores, of one respondent over all groups (q x q)."""
    q, total = len(theta), sum(a.n for a in answers)
    out = np.zeros((q, q))
    for block, group, sample in zip(blocks, answers, samples, strict=True):
        found, slope = scores(block, theta, group, sample)
        to = np.zeros((len(slope.parameter), q))
        to[np.arange(len(slope.parameter)), slope.parameter] = 1
        out += to.T @ products(found, group) @ to * (group.n / total)
    return out


def saturated_trace(answers: Answers, sample: Normal | Patterns, mean_structure: bool) -> float:
    """tr(A^-1 B) of free means and covariances: how far kurtosis takes the saturated model from normal theory.

    For complete data without clusters it is the mean over respondents of d^2 (with means) + (d^4 - 2 d^2 + p) / 2,
    d^2 the Mahalanobis distance: A^-1 is known in closed form and no matrix of p (p + 3) / 2 rows is needed.
    """
    if isinstance(sample, Normal) and answers.cluster is None:
        pulled = scaled_distances(answers.x, sample.mean, sample.cov, None)
        square = (pulled * (answers.x - sample.mean)).sum(axis=1)
        each = (square**2 - 2 * square + len(sample.mean)) / 2 + (square if mean_structure else 0)
        if answers.weight is not None:
            each = each * answers.weight**2
        return float(each.sum() / answers.n)
    found = saturated_scores(answers, sample, mean_structure)
    information = saturated_information(sample, sample.mean, sample.cov, mean_structure)
    return float(np.trace(np.linalg.solve(information, products(found, answers))))


def saturated_scores(answers: Answers, sample: Normal | Patterns, mean_structure: bool = True) -> Floats:
    """Casewise derivatives by free means (where modelled) and covariances (vech), at their estimates."""
    mu, sigma = sample.mean, sample.cov
    patterns = sample.patterns if isinstance(sample, Patterns) else None
    pulled = scaled_distances(answers.x, mu, sigma, patterns)
    row, column = lower(len(mu))
    half = np.where(row == column, 0.5, 1.0)
    between = pulled[:, row] * pulled[:, column]
    if patterns is None:
        between -= np.linalg.inv(sigma)[row, column]
    else:
        for group in patterns:
            inverse = np.zeros_like(sigma)
            inverse[np.ix_(group.observed, group.observed)] = np.linalg.inv(
                sigma[np.ix_(group.observed, group.observed)]
            )
            between[group.rows] -= inverse[row, column]
    return np.concatenate([pulled, between * half], axis=1) if mean_structure else between * half


def saturated_information(sample: Normal | Patterns, mu: Floats, sigma: Floats, mean_structure: bool = True) -> Floats:
    """Second derivatives of one respondent's minus log likelihood by free means and covariances, at given moments."""
    p = len(mu)
    row, column = lower(p)
    half = np.where(row == column, 0.5, 1.0)
    s = len(row)
    out = np.zeros((p + s, p + s))
    whole = (
        Pattern(np.arange(p), np.arange(0), sample.n, sample.mean, sample.cov) if isinstance(sample, Normal) else None
    )
    for group in [whole] if whole is not None else sample.patterns:  # type: ignore[union-attr]
        at = np.ix_(group.observed, group.observed)
        inverse, curve, pull = np.zeros((p, p)), np.zeros((p, p)), np.zeros(p)
        inverse[at] = np.linalg.inv(sigma[at])
        distance = group.mean - mu[group.observed]
        around = group.cov + np.outer(distance, distance)
        curve[at] = inverse[at] @ (2 * around - sigma[at]) @ inverse[at]
        pull[group.observed] = inverse[at] @ distance
        share = group.n / sample.n
        out[:p, :p] += share * inverse
        cross = pull[row] * inverse[column].T + pull[column] * inverse[row].T
        out[:p, p:] += share * cross * half
        # vech-space form of D'(P x M)D / 2, symmetrised over the two ways round.
        both = np.zeros((s, s))
        for a, b in ((inverse, curve), (curve, inverse)):
            both += a[np.ix_(row, row)] * b[np.ix_(column, column)] + a[np.ix_(row, column)] * b[np.ix_(column, row)]
        out[p:, p:] += share * both * (half[:, None] * half) / 2
    out[p:, :p] = out[:p, p:].T
    return out if mean_structure else out[p:, p:]


class Traces(NamedTuple):
    """Traces of U Gamma, from which the scaled statistics are made."""

    first: float
    second: float


def normal_theory_trace(
    blocks: Sequence[Block], theta: Floats, answers: Sequence[Answers], samples: Sequence[Normal], inverse: Floats
) -> tuple[float, Floats]:
    """tr(U Gamma) for ML with fourth moments (Satorra & Bentler 1994), and the middle of its sandwich.

    Gamma is never formed: both traces are means over respondents of quadratic forms, as in `saturated_trace`.
    """
    q, total = len(theta), sum(a.n for a in answers)
    middle, first = np.zeros((q, q)), 0.0
    for block, group, sample in zip(blocks, answers, samples, strict=True):
        at = implied(block, theta)
        slope = slopes(block, at)
        deviation = group.x - sample.mean
        pulled = np.linalg.solve(at.sigma, deviation.T).T
        ratio = np.linalg.solve(at.sigma, sample.cov)
        square = (pulled * deviation).sum(axis=1)
        cross = ((pulled @ sample.cov) * pulled).sum(axis=1)
        each = (square**2 - 2 * cross + np.trace(ratio @ ratio)) / 2
        left, right = pulled @ slope.left, pulled @ slope.right
        weighted = np.linalg.solve(at.sigma, np.linalg.solve(at.sigma, sample.cov).T)
        centre = slope.weight * (slope.left * (weighted @ slope.right)).sum(axis=0)
        found = slope.weight * left * right - centre + slope.shift * left
        if block.mean_structure:
            each = each + square
        to = np.zeros((len(slope.parameter), q))
        to[np.arange(len(slope.parameter)), slope.parameter] = 1
        middle += to.T @ products(found, group) @ to * (group.n / total)
        first += float(each.mean() if group.weight is None else (each * group.weight**2).sum() / group.n)
    return first - float(np.sum(inverse * middle)), middle


def fourth_moments(answers: Answers, sample: Normal, mean_structure: bool) -> Floats:
    """Asymptotic covariance of means (where modelled) and covariances without assuming normality (Browne 1984)."""
    row, column = lower(len(sample.mean))
    deviation = answers.x - sample.mean
    found = deviation[:, row] * deviation[:, column] - sample.cov[row, column]
    return products(np.concatenate([deviation, found], axis=1) if mean_structure else found, answers)


class Moments(NamedTuple):
    """What least squares inference needs of all groups, stacked.

    Attributes
    ----------
    slope : array, S x q
        Derivatives of all moments by the parameters.
    weight : array, S
        Weights times each group's share.
    gamma : array, S x S
        Asymptotic covariance of the moments, divided by the share.
    correlations : boolean array, S
        Which moments relate two items (the rest: thresholds, means, variances).
    """

    slope: Floats
    weight: Floats
    gamma: Floats
    correlations: np.ndarray


def stacked(
    blocks: Sequence[Block], theta: Floats, samples: Sequence[LeastSquares], gammas: Sequence[Floats]
) -> Moments:
    """All groups' derivatives, weights and covariances: matrices of blocks, and one vector of weights."""
    q, total = len(theta), sum(s.n for s in samples)
    sizes = [len(s.observed) for s in samples]
    ends = np.cumsum([0, *sizes])
    slope = np.zeros((ends[-1], q))
    weight, gamma = np.zeros(ends[-1]), np.zeros((ends[-1],) * 2)
    kind = np.zeros(ends[-1], dtype=bool)
    for g, (block, sample) in enumerate(zip(blocks, samples, strict=True)):
        part = slice(ends[g], ends[g + 1])
        J, found = jacobian(block, implied(block, theta))
        np.add.at(slope[part].T, found.parameter, J.T)
        share = sample.n / total
        weight[part] = sample.weight * share
        gamma[part, part] = gammas[g] / share
        row, column = lower(block.p, diagonal=not block.ordered)
        kind[ends[g + 1] - len(row) : ends[g + 1]] = row != column
    return Moments(slope, weight, gamma, kind)


def least_squares_traces(m: Moments, inverse: Floats) -> tuple[Traces, Floats]:
    """tr(U Gamma), tr(U Gamma U Gamma), and the middle of the sandwich D'W Gamma W D.

    U = W - W D (D'WD)^-1 D'W (Satorra & Bentler 1994; Asparouhov & Muthen 2010 use the second trace).
    """
    weighted = m.weight[:, None] * m.slope
    spread = weighted.T @ m.gamma
    middle = spread @ weighted
    product = m.weight[:, None] * m.gamma - weighted @ (inverse @ spread)
    return Traces(float(np.trace(product)), float(np.sum(product * product.T))), middle


def implied_correlation(at: Implied) -> Floats:
    """Of the normal variables behind ordered items: unit diagonal."""
    found = at.sigma * np.outer(at.scale, at.scale)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found, dtype=float)
