"""Robust fit indices of incomplete data, from the completed covariance matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem import fit, robust
from sqmodel.numerics.sem.model import Block, implied, jacobian
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import Normal, Patterns


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
    Wm, Wc, Wmi, G = (np.asarray(block_diag(*x)) for x in (seen, full, lack, gamma))
    # The information of the saturated model's estimates, not the model's own Hessian: U must be a projection.
    U = Wm - Wm @ D @ np.linalg.solve(D.T @ Wm @ D, D.T @ Wm)
    middle = Wmi @ Wc @ Wmi
    k = np.sum((U @ middle @ U) * G.T) if robust_form else np.sum((Wc @ Wmi @ U) * Wmi.T)
    df = len(D) - q
    return chisq, float(k) / df if df else float("nan")
