"""Fits by maximum likelihood, with normal theory or robust inference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem import curvature as curvatures
from sqmodel.numerics.sem import fit, robust
from sqmodel.numerics.sem.completed import incomplete_robust
from sqmodel.numerics.sem.curvature import smallest_eigenvalue
from sqmodel.numerics.sem.estimated import Estimated, inverse_of
from sqmodel.numerics.sem.fit import Test
from sqmodel.numerics.sem.model import Block, Matrix, implied, lower
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import Normal, Patterns, univariate
from sqmodel.numerics.sem.solve import Solution, information_of, minimise
from sqmodel.numerics.threads import one_blas_thread

LOG_2PI = float(np.log(2 * np.pi))


def baseline(block: Block, first: int) -> tuple[Block, int]:
    """Unrelated variables: free variances (and means, thresholds), numbered from `first`."""
    p = block.p
    index = np.arange(p)
    matrix, row = [np.full(p, Matrix.RESIDUAL_COV)], [index]
    if block.mean_structure:
        matrix.append(np.full(p, Matrix.INTERCEPT))
        row.append(index)
    rows, kinds = np.concatenate(row), np.concatenate(matrix).astype(np.intp)
    columns = np.where(kinds == Matrix.RESIDUAL_COV, rows, 0)
    free = np.arange(len(rows)) + first
    found = Block(p, 0, kinds, rows, columns, np.zeros(len(rows)), free, np.zeros(0, dtype=np.intp))
    return found, first + len(rows)


@one_blas_thread()
def fit_normal(
    blocks: Sequence[Block],
    samples: Sequence[Normal | Patterns],
    start: Floats,
    *,
    answers: Sequence[Answers] | None = None,
    estimator: str = "ML",
    bounds: tuple[Floats, Floats] | None = None,
) -> Estimated:
    """Maximum likelihood, with normal theory or robust inference.

    Robust inference needs the information as one matrix; beyond `curvature.DENSE` parameters it is that of normal data,
    and `covariance` is None.

    Parameters
    ----------
    blocks, samples : sequences of one a group
    start : array, q
    answers : sequence of Answers, optional
        The data, for ``MLR`` and ``MLM``.
    estimator : {"ML", "MLR", "MLM"}
        lavaan's: MLR has sandwich errors from the observed information and the Yuan-Bentler statistic in its Mplus
        form; MLM the Satorra-Bentler ones from the expected information.
    bounds : (low, high), optional
    """
    incomplete = isinstance(samples[0], Patterns)
    solution = minimise(blocks, samples, start, bounds=bounds)
    observed = estimator == "MLR" or incomplete
    curvature = information_of(blocks, samples, solution.theta, observed=observed)
    n, q = float(sum(s.n for s in samples)), len(start)
    moments_count = sum(b.p * (b.p + 1) // 2 + (b.p if b.mean_structure else 0) for b in blocks)
    chisq, df = 2 * n * solution.value, moments_count - q
    null_blocks, null_start, null_q = _null(blocks, samples)
    null = minimise(null_blocks, samples, null_start)
    null_chisq, null_df = 2 * n * null.value, moments_count - null_q
    inverse = inverse_of(curvature)
    covariance = None if inverse is None else inverse / n
    se = np.sqrt(np.maximum((curvature.inverse_diagonal() if inverse is None else np.diag(inverse)) / n, 0))
    model_test, null_test, base = Test(chisq, df), Test(null_chisq, null_df), None
    if answers is not None and estimator in ("MLR", "MLM") and inverse is not None:
        free = saturated_trace(blocks, answers, samples) if estimator == "MLR" else 0.0
        middle, trace = middle_and_trace(blocks, solution.theta, answers, samples, inverse, estimator, free)
        covariance = inverse @ middle @ inverse / n
        se = np.sqrt(np.maximum(np.diag(covariance), 0))
        model_test = fit.mean_adjusted(chisq, df, trace)
        null_trace = _null_trace(null_blocks, null.theta, answers, samples, estimator, observed)
        null_test = fit.mean_adjusted(null_chisq, null_df, free + null_trace)
    patterns = [s for s in samples if isinstance(s, Patterns)]
    if incomplete:
        base = incomplete_robust(
            blocks, patterns, solution.theta, null_blocks, null.theta, answers if estimator == "MLR" else None
        )
    found = fit.indices(model_test, null_test, n, len(blocks), robust=base)
    found |= _likelihood(samples, solution, n, q, blocks[0].p)
    found["srmr"] = found["srmr_bentler"] = srmr_normal(blocks, samples, solution.theta)
    return Estimated(
        list(blocks), samples, solution, covariance, se, found, curvature, smallest_eigenvalue(curvature), []
    )


def _null(blocks: Sequence[Block], samples: Sequence[Normal | Patterns]) -> tuple[list[Block], Floats, int]:
    out, q, starts = [], 0, []
    for block, sample in zip(blocks, samples, strict=True):
        found, q = baseline(block, q)
        out.append(found)
        mean, variance = univariate(sample)
        starts.append(np.concatenate([variance, mean] if block.mean_structure else [variance]))
    return out, np.concatenate(starts), q


def _null_trace(
    blocks: Sequence[Block],
    theta: Floats,
    answers: Sequence[Answers],
    samples: Sequence[Normal | Patterns],
    estimator: str,
    observed: bool,
) -> float:
    """tr(U Gamma) of the baseline, less the saturated trace of MLR: groups share no parameter, so each has its own."""
    total = 0.0
    for block, own, sample in zip(blocks, answers, samples, strict=True):
        alone, count = baseline(block, 0)
        part = theta[block.free[0] : block.free[0] + count]
        inverse = inverse_of(information_of([alone], [sample], part, observed=observed))
        if inverse is None:
            raise ComputationError(f"expected at most {curvatures.DENSE // 2} items, found {block.p}; use fewer items")
        total += middle_and_trace([alone], part, [own], [sample], inverse, estimator, 0.0)[1]
    return total


def middle_and_trace(
    blocks: Sequence[Block],
    theta: Floats,
    answers: Sequence[Answers],
    samples: Sequence[Normal | Patterns],
    inverse: Floats,
    estimator: str,
    saturated: float,
) -> tuple[Floats, float]:
    """Middle of the sandwich, and tr(U Gamma); MLR needs the `saturated_trace`, which is the same for all models."""
    if estimator == "MLM":
        complete = [s for s in samples if isinstance(s, Normal)]
        trace, middle = robust.normal_theory_trace(blocks, theta, answers, complete, inverse)
        return middle, trace
    middle = robust.first_order(blocks, theta, answers, samples)
    return middle, saturated - float(np.sum(middle * inverse))


def saturated_trace(blocks: Sequence[Block], answers: Sequence[Answers], samples: Sequence[Normal | Patterns]) -> float:
    """Of free means (where modelled) and covariances, over all groups."""
    groups = zip(answers, samples, blocks, strict=True)
    return sum(robust.saturated_trace(a, s, b.mean_structure) for a, s, b in groups)


def _likelihood(samples: Sequence[Normal | Patterns], solution: Solution, n: float, q: int, p: int) -> dict[str, float]:
    loglik = -n * solution.value
    for sample in samples:
        if isinstance(sample, Normal):
            loglik -= sample.n * (sample.log_det + p + p * LOG_2PI) / 2
        else:
            loglik -= sample.n * sample.saturated
            loglik -= LOG_2PI / 2 * sum(g.n * len(g.observed) for g in sample.patterns)
    return {"npar": float(q), "logl": loglik, "aic": -2 * loglik + 2 * q, "bic": -2 * loglik + np.log(n) * q,
            "ntotal": n}  # fmt: skip


def srmr_normal(blocks: Sequence[Block], samples: Sequence[Normal | Patterns], theta: Floats) -> float:
    """Root mean square of residuals divided by the observed standard deviations (Bentler 1995), means included."""
    total, n = 0.0, sum(s.n for s in samples)
    for block, sample in zip(blocks, samples, strict=True):
        at = implied(block, theta)
        deviation = np.sqrt(np.diag(sample.cov))
        row, column = lower(block.p)
        residual = ((sample.cov - at.sigma) / np.outer(deviation, deviation))[row, column]
        if block.mean_structure:
            residual = np.concatenate([residual, (sample.mean - at.mu) / deviation])
        total += sample.n / n * float(np.sqrt(np.mean(residual**2)))
    return total
