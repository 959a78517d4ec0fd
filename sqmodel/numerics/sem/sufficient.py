"""From answers to the statistics that normal data are fitted by; for incomplete ones by the EM algorithm."""

from __future__ import annotations

import numpy as np

from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import Normal, Pattern, Patterns, univariate

EM_STEPS = 2000
"""After so many the free moments of incomplete data count as not settled."""


def complete_sample(answers: Answers) -> Normal:
    """Sufficient statistics of complete data; divisor n, as ML has it."""
    x, w = answers.x, answers.weight
    if w is None:
        mean = x.mean(axis=0)
        centred = x - mean
        return Normal.of(answers.n, mean, np.dot(centred.T, centred) / len(x))
    mean = w @ x / w.sum()
    centred = x - mean
    return Normal.of(answers.n, mean, (centred * w[:, None]).T @ centred / w.sum())


def incomplete_sample(answers: Answers) -> Patterns:
    """Sufficient statistics by pattern of missing answers; respondents without any answer have no part.

    The free means and covariances are found here and nowhere else: all that needs them reads them from the sample.
    """
    seen = ~np.isnan(answers.x)
    kinds, which = np.unique(seen, axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(kinds)))
    weight = np.ones(len(seen)) if answers.weight is None else answers.weight
    patterns = []
    for kind, end, start in zip(kinds, ends, [0, *ends[:-1]], strict=True):
        rows, observed = order[start:end], np.flatnonzero(kind)
        if not len(observed):
            continue
        part, w = answers.x[np.ix_(rows, observed)], weight[rows]
        mean = w @ part / w.sum()
        centred = part - mean
        patterns.append(Pattern(observed, rows, float(w.sum()), mean, (centred * w[:, None]).T @ centred / w.sum()))
    p = answers.x.shape[1]
    return free_moments(Patterns(sum(g.n for g in patterns), patterns, np.zeros(p), np.eye(p)))


def free_moments(sample: Patterns, tolerance: float = 1e-12) -> Patterns:
    """The sample with its maximum likelihood means and covariances, by the EM algorithm (Little & Rubin 2002).

    It settles where a step changes the log likelihood a respondent by less than `tolerance`; after `EM_STEPS` steps the
    sample is returned as not settled.
    """
    mu, variance = univariate(sample)
    p, sigma = len(mu), np.diag(variance)
    previous, settled = np.inf, False
    for _ in range(EM_STEPS):
        total, cross = np.zeros(p), np.zeros((p, p))
        for group in sample.patterns:
            o = group.observed
            m = np.setdiff1d(np.arange(p), o)
            regression = np.zeros((p, len(o)))
            regression[o, np.arange(len(o))] = 1
            rest = np.zeros((p, p))
            if len(m):
                slope = np.linalg.solve(sigma[np.ix_(o, o)], sigma[np.ix_(o, m)]).T
                regression[m] = slope
                rest[np.ix_(m, m)] = sigma[np.ix_(m, m)] - slope @ sigma[np.ix_(o, m)]
            expected = mu + regression @ (group.mean - mu[o])
            total += group.n * expected
            cross += group.n * (regression @ group.cov @ regression.T + rest + np.outer(expected, expected))
        mu = total / sample.n
        sigma = cross / sample.n - np.outer(mu, mu)
        now = sample.minus_loglik(mu, sigma)
        settled = abs(previous - now) < tolerance
        previous = now
        if settled:
            break
    return sample._replace(mean=mu, cov=sigma, saturated=previous, settled=settled)
