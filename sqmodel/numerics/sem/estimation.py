"""The whole of a fit: estimates, their covariance, the tests of model and baseline, the fit indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem import curvature as curvatures
from sqmodel.numerics.sem import fit, robust
from sqmodel.numerics.sem.curvature import Curvature, smallest_eigenvalue
from sqmodel.numerics.sem.fit import Test
from sqmodel.numerics.sem.model import Block, Implied, Matrix, implied, jacobian, lower, moments
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Pattern, Patterns, univariate
from sqmodel.numerics.sem.solve import Solution, information_of, minimise
from sqmodel.numerics.threads import one_blas_thread

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Estimated:
    """A fitted model.

    Attributes
    ----------
    blocks : list of Block
    samples : sequence
        Of Normal, Patterns or LeastSquares.
    solution : Solution
    covariance : array q x q, or None
        Of the estimates; None where there are too many parameters for one matrix.
    se : array, q
    fit : dict
        lavaan's names.
    curvature : Curvature
        The information behind the standard errors, of one respondent.
    singular : float
        Smallest eigenvalue of the information on unit diagonals; near 0 the model is not identified.
    gammas : list of array
        Least squares: asymptotic covariance of each group's moments.
    """

    blocks: list[Block]
    samples: Sequence[Normal | Patterns | LeastSquares]
    solution: Solution
    covariance: Floats | None
    se: Floats
    fit: dict[str, float]
    curvature: Curvature
    singular: float
    gammas: list[Floats]

    @property
    def n(self) -> float:
        """Respondents of all groups."""
        return float(sum(s.n for s in self.samples))

    def implied(self) -> list[Implied]:
        """Moments at the estimates, a group each."""
        return [implied(b, self.solution.theta) for b in self.blocks]


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
    return robust.free_moments(Patterns(sum(g.n for g in patterns), patterns, np.zeros(p), np.eye(p)))


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
    inverse = _inverse(curvature)
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
        inverse = _inverse(information_of([alone], [sample], part, observed=observed))
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


def _inverse(curvature: Curvature) -> Floats | None:
    """The inverse of a small information matrix; the generalised one where it is singular."""
    if curvature.dense is None:
        return None
    size = np.sqrt(np.abs(np.diag(curvature.dense)))
    size = np.where(size > 0, size, 1.0)
    scaled = curvature.dense / np.outer(size, size)
    try:
        inverse = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        inverse = np.linalg.pinv(scaled, hermitian=True)
    return np.asarray(inverse / np.outer(size, size))


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


def incomplete_robust(
    blocks: Sequence[Block],
    samples: Sequence[Patterns],
    theta: Floats,
    null_blocks: Sequence[Block],
    null_theta: Floats,
    answers: Sequence[Answers] | None,
) -> fit.Robust:
    """Statistics of the completed covariance matrix, as if it were complete data (Zhang & Savalei 2023).

    Version V3 of lavaan for robust inference, V6 for normal theory.
    """
    n = float(sum(s.n for s in samples))
    parts = []
    for g, sample in enumerate(samples):
        whole = Normal.of(sample.n, sample.mean, sample.cov)
        seen = robust.saturated_information(sample, sample.mean, sample.cov)
        full = robust.saturated_information(whole, sample.mean, sample.cov)
        lack = np.asarray(np.linalg.inv(seen), dtype=float)
        if answers is None:
            gamma = lack
        else:
            meat = robust.products(robust.saturated_scores(answers[g], sample), answers[g])
            gamma = np.asarray(lack @ meat @ lack, dtype=float)
        share = sample.n / n
        parts.append((whole, seen * share, full * share, lack / share, gamma / share))
    chisq, c_hat = _completed(blocks, theta, parts, answers is not None)
    null_chisq, null_c_hat = _completed(null_blocks, null_theta, parts, answers is not None)
    return fit.Robust(chisq, c_hat, null_chisq, null_c_hat)


def _completed(
    blocks: Sequence[Block],
    theta: Floats,
    parts: list[tuple[Normal, Floats, Floats, Floats, Floats]],
    robust_form: bool,
) -> tuple[float, float]:
    chisq, q = 0.0, len(theta)
    slopes: list[Floats] = []
    seen: list[Floats] = []
    full: list[Floats] = []
    lack: list[Floats] = []
    gamma: list[Floats] = []
    for block, (whole, a, b, c, d) in zip(blocks, parts, strict=True):
        chisq += 2 * whole.n * whole.value(block, theta)
        J, found = jacobian(block, implied(block, theta))
        to = np.zeros((J.shape[0], q))
        np.add.at(to.T, found.parameter, J.T)
        slopes.append(to)
        for store, matrix in ((seen, a), (full, b), (lack, c), (gamma, d)):
            store.append(matrix)
    D = np.concatenate(slopes)
    Wm, Wc, Wmi, G = (_diagonal_blocks(x) for x in (seen, full, lack, gamma))
    # The information of the saturated model's estimates, not the model's own Hessian: U must be a projection.
    U = Wm - Wm @ D @ np.linalg.solve(D.T @ Wm @ D, D.T @ Wm)
    middle = Wmi @ Wc @ Wmi
    k = np.sum((U @ middle @ U) * G.T) if robust_form else np.sum((Wc @ Wmi @ U) * Wmi.T)
    df = len(D) - q
    return chisq, float(k) / df if df else float("nan")


def _diagonal_blocks(parts: list[Floats]) -> Floats:
    return np.asarray(block_diag(*parts))


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
    inverse = _inverse(curvature)
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
    V = _diagonal_blocks(weights)
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
