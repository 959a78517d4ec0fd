"""Correlations of continuous variables with the normal variables behind ordered answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sqmodel.errors import ComputationError
from sqmodel.numerics.contingency import SMALLEST, tables_of
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.polychoric import LARGEST


def polyserial(x: npt.ArrayLike, codes: npt.ArrayLike, *, tolerance: float = 1e-9, max_iter: int = 100) -> Floats:
    """Which correlations with a continuous variable have the normal variables behind ordered answers?

    Two-step maximum likelihood (Olsson, Drasgow & Dorans 1982): thresholds from each item's margin, mean and variance
    (divisor n) from each continuous variable, then every correlation by scoring with the product of casewise
    derivatives. lavaan's ``lavCor`` for mixed variables.

    Parameters
    ----------
    x : array, n x p
        Continuous variables, complete.
    codes : integer array, n x q
        Answers 0, 1, ... of the ordered items, all categories used.
    tolerance : float
    max_iter : int

    Returns
    -------
    array, p x q

    Raises
    ------
    ComputationError
        A search that did not end, or an item with fewer than two categories.

    Examples
    --------
    >>> x = np.array([[-1.5], [-0.5], [0.2], [0.9], [1.4], [0.1]])
    >>> float(polyserial(x, [[0], [0], [1], [1], [1], [0]])[0, 0].round(2)) > 0.9
    True
    """
    data, answers = np.asarray(x, dtype=float), np.asarray(codes)
    z = (data - data.mean(axis=0)) / data.std(axis=0)
    tables = tables_of(np.ascontiguousarray(answers.T, dtype=np.uint8), None)
    out = np.empty((z.shape[1], answers.shape[1]))
    for j in range(answers.shape[1]):
        cuts, own = tables.cuts[j], answers[:, j].astype(np.intp)
        low, high = cuts[own], cuts[own + 1]
        rho = np.clip((z * (own - own.mean())[:, None]).mean(axis=0) / own.std(), -0.9, 0.9)
        for _ in range(max_iter):
            score = _polyserial_scores(z, low, high, rho)
            step = score.sum(axis=0) / np.maximum((score**2).sum(axis=0), 1e-12)
            room = np.where(step > 0, LARGEST - rho, rho + LARGEST)
            step = np.clip(step, -room / 2, room / 2)
            rho = rho + step
            if np.abs(step).max() < tolerance:
                break
        else:
            raise ComputationError(
                f"expected the polyserial correlations of item {j} to settle within {max_iter} steps, found that they "
                "did not; merge rare categories"
            )
        out[:, j] = rho
    return out


def _polyserial_scores(z: Floats, low: Floats, high: Floats, rho: Floats) -> Floats:
    """Casewise derivatives of the log likelihood by each correlation (n x p)."""
    root = np.sqrt(1 - rho * rho)
    bounds, slopes = [], []
    for cut in (low, high):
        finite = np.isfinite(cut)
        at = np.where(finite, cut, 0.0)[:, None]
        standard = (at - rho * z) / root
        bounds.append(np.where(finite[:, None], ndtr(standard), (cut > 0)[:, None]))
        density = np.exp(-standard * standard / 2) / np.sqrt(2 * np.pi)
        slopes.append(np.where(finite[:, None], density * (at * rho - z) / root**3, 0.0))
    return np.asarray((slopes[1] - slopes[0]) / np.maximum(bounds[1] - bounds[0], SMALLEST))
