"""Fits by least squares, on thresholds and polychoric correlations or on means and covariances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem import curvature as curvatures
from sqmodel.numerics.sem import fit, robust
from sqmodel.numerics.sem.curvature import smallest_eigenvalue
from sqmodel.numerics.sem.estimated import Estimated, inverse_of
from sqmodel.numerics.sem.fit import Test
from sqmodel.numerics.sem.model import Block, implied, lower, moments
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal
from sqmodel.numerics.sem.solve import information_of, minimise
from sqmodel.numerics.threads import one_blas_thread


@one_blas_thread()
def fit_least_squares(
    blocks: Sequence[Block],
    samples: Sequence[LeastSquares],
    gammas: Sequence[Floats],
    start: Floats,
    *,
    estimator: str = "WLSMV",
    bounds: tuple[Floats, Floats] | None = None,
) -> Estimated:
    """Least squares on thresholds and polychoric correlations, or on means and covariances.

    Parameters
    ----------
    blocks, samples : sequences of one a group
    gammas : sequence of array
        Asymptotic covariance of each group's moments (n times).
    start : array, q
    estimator : {"WLSMV", "ULSMV", "ULSM", "DWLS", "ULS"}
        The first two, for ordered items, with the sandwich's errors and the scaled-shifted statistic; ULSM, for
        continuous ones, with the sandwich and the Satorra-Bentler statistic; the others without.
    bounds : (low, high), optional

    Raises
    ------
    ComputationError
        More parameters than one matrix holds.
    """
    if len(start) > curvatures.DENSE:
        raise ComputationError(
            f"expected at most {curvatures.DENSE} parameters for {estimator}, found {len(start)}; "
            "fit fewer groups at a time"
        )
    solution = minimise(blocks, samples, start, bounds=bounds)
    curvature = information_of(blocks, samples, solution.theta)
    n, q, ordered = float(sum(s.n for s in samples)), len(start), blocks[0].ordered
    # lavaan's statistic by least squares counts n - 1 in every group, its RMSEA as well; the robust one counts n.
    counted = np.array([s.n - 1 for s in samples])
    moments_count = sum(len(s.observed) for s in samples)
    chisq, df = float(2 * counted @ solution.by_group), moments_count - q
    inverse = inverse_of(curvature)
    assert inverse is not None
    m = robust.stacked(blocks, solution.theta, samples, gammas)
    own, null_df = m.correlations, int(m.correlations.sum())
    observed = np.concatenate([s.observed for s in samples])
    factor = np.concatenate([np.full(len(s.observed), (s.n - 1) / (s.n / n)) for s in samples])
    null_chisq = float(np.sum((factor * m.weight * observed**2)[own]))
    covariance = inverse / counted.sum()
    model_test, null_test, base = Test(chisq, df), Test(null_chisq, null_df), None
    if estimator in ("WLSMV", "ULSMV", "ULSM"):
        traces, middle = robust.least_squares_traces(m, inverse)
        covariance = inverse @ middle @ inverse / counted.sum()
        product = m.weight[own, None] * m.gamma[np.ix_(own, own)]
        null_traces = float(np.trace(product)), float(np.sum(product * product.T))
        if ordered:
            model_test = fit.scaled_shifted(chisq, df, *traces)
            null_test = fit.scaled_shifted(null_chisq, null_df, *null_traces)
            base = ordered_robust(blocks, samples, solution.theta, m, inverse, df)
        else:
            model_test = fit.mean_adjusted(chisq, df, traces.first)
            null_test = fit.mean_adjusted(null_chisq, null_df, null_traces[0])
    found = fit.indices(model_test, null_test, float(counted.sum()), len(blocks), robust=base)
    found |= {"npar": float(q), "ntotal": n}
    if ordered:
        found |= srmr_ordered(blocks, samples, solution.theta)
        found["wrmr"] = float(np.sqrt(chisq * len(blocks) / moments_count))
    se = np.sqrt(np.maximum(np.diag(covariance), 0))
    return Estimated(
        list(blocks), samples, solution, covariance, se, found, curvature, smallest_eigenvalue(curvature),
        list(gammas),
    )  # fmt: skip


def unweighted(block: Block, sample: Normal, answers: Answers) -> tuple[LeastSquares, Floats]:
    """Means (where modelled) and covariances (divisor n - 1, as in lavaan), and their asymptotic covariance."""
    row, column = lower(block.p)
    parts = [sample.mean] if block.mean_structure else []
    observed = np.concatenate([*parts, sample.cov[row, column] * (sample.n / (sample.n - 1))])
    gamma = robust.fourth_moments(answers, sample, block.mean_structure)
    return LeastSquares(sample.n, observed, np.ones(len(observed))), gamma


def correlations_of(block: Block, sample: LeastSquares) -> Floats:
    """The polychoric matrix among the observed moments."""
    row, column = lower(block.p, diagonal=False)
    R = np.eye(block.p)
    R[row, column] = R[column, row] = sample.observed[len(block.threshold_item) :]
    return R


def ordered_robust(
    blocks: Sequence[Block],
    samples: Sequence[LeastSquares],
    theta: Floats,
    m: robust.Moments,
    inverse: Floats,
    df: int,
) -> fit.Robust | None:
    """The likelihood ratio statistic of the polychoric matrix at these estimates (Savalei 2021).

    None where a polychoric or an implied matrix is not positive definite: lavaan gives none either.
    """
    n = float(sum(s.n for s in samples))
    chisq = null_chisq = 0.0
    weights = []
    for block, sample in zip(blocks, samples, strict=True):
        R, sigma = correlations_of(block, sample), robust.implied_correlation(implied(block, theta))
        if np.linalg.eigvalsh(R)[0] < 1.5e-8 or np.linalg.eigvalsh(sigma)[0] < 1.5e-8:
            return None
        null_chisq -= sample.n * float(np.linalg.slogdet(R)[1])
        P = np.linalg.inv(sigma)
        chisq += sample.n * float(np.linalg.slogdet(sigma)[1] + np.sum(P * R) - np.linalg.slogdet(R)[1] - block.p)
        row, column = lower(block.p, diagonal=False)
        V = P[np.ix_(row, row)] * P[np.ix_(column, column)] + P[np.ix_(row, column)] * P[np.ix_(column, row)]
        weights.append(V * sample.n / n)
    own = m.correlations
    V = np.asarray(block_diag(*weights))
    gamma, slope = m.gamma[np.ix_(own, own)], m.slope[own]
    # tr(M' V M Gamma) with M = I - D E D'W, multiplied out so that only q columns meet.
    lean, pulled = slope @ inverse, m.weight[own, None] * slope
    spread = gamma @ pulled
    first = float(
        np.sum(V * gamma) - 2 * np.sum((V @ lean) * spread) + np.sum((lean.T @ V @ lean) * (pulled.T @ spread))
    )
    null_df = len(V)
    if not df:
        return None
    return fit.Robust(chisq, first / df, null_chisq, float(np.trace(gamma)) / null_df)


def srmr_ordered(blocks: Sequence[Block], samples: Sequence[LeastSquares], theta: Floats) -> dict[str, float]:
    """Root mean square of the residual correlations, the diagonal's zeros counted, and with the thresholds'."""
    out, n = {"srmr": 0.0, "srmr_bentler": 0.0}, sum(s.n for s in samples)
    for block, sample in zip(blocks, samples, strict=True):
        residual = sample.observed - moments(block, implied(block, theta))
        t, size = len(block.threshold_item), block.p * (block.p + 1) // 2
        out["srmr"] += sample.n / n * float(np.sqrt(np.sum(residual[t:] ** 2) / size))
        out["srmr_bentler"] += sample.n / n * float(np.sqrt(np.sum(residual**2) / (size + t)))
    return out
