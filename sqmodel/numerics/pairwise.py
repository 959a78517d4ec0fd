"""Pairwise comparisons as arrays: Saaty's eigenvector, geometric means, consistency, matrices with gaps."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Priority = Literal["eigenvector", "geometric_mean"]

RANDOM_INDEX = np.array([0, 0, 0, 0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49, 1.51, 1.54, 1.56, 1.57, 1.58])
"""Mean consistency index of random matrices of 0, 1, 2, … elements: Saaty (1980), table 1.4 as he gave it later."""


def priorities(a: Floats, method: Priority = "eigenvector") -> tuple[Floats, Floats]:
    """Priorities of a matrix of judgements, and its largest eigenvalue.

    Parameters
    ----------
    a : ndarray, shape (..., k, k)
        Positive and reciprocal; a[i, j] is how many times i outweighs j.
    method : {"eigenvector", "geometric_mean"}

    Returns
    -------
    weights : ndarray, shape (..., k)
        Sum to one.
    largest : ndarray, shape (...)
        Largest eigenvalue; k if the judgements are consistent.
    """
    values, vectors = np.linalg.eig(a)
    at = np.argmax(values.real, axis=-1)[..., None]
    largest = np.take_along_axis(values.real, at, axis=-1)[..., 0]
    if method == "geometric_mean":
        raw = np.exp(np.log(a).mean(axis=-1))
    else:
        raw = np.abs(np.take_along_axis(vectors, at[..., None, :], axis=-1)[..., 0].real)
    return raw / raw.sum(axis=-1, keepdims=True), largest


def consistency_ratio(largest: Floats, k: int) -> Floats:
    """Saaty's consistency ratio; 0 for one or two elements, which cannot contradict each other.

    Parameters
    ----------
    largest : ndarray
        Largest eigenvalues of matrices of k elements.
    k : int

    Returns
    -------
    ndarray
        Above .10 the judgements contradict each other too much.
    """
    if k < 3:
        return np.zeros_like(largest)
    random = RANDOM_INDEX[min(k, len(RANDOM_INDEX) - 1)]
    ratio: Floats = np.maximum((largest - k) / (k - 1), 0) / random
    return ratio


def completed(a: Floats) -> Floats:
    """A matrix with gaps (NaN) filled so that its largest eigenvalue is least.

    Parameters
    ----------
    a : ndarray, shape (k, k)
        Reciprocal; the judgements that are there connect all elements.

    Returns
    -------
    ndarray, shape (k, k)

    References
    ----------
    Bozoki, S., Fulop, J. & Ronyai, L. (2010). On optimal completion of incomplete pairwise comparison matrices.
    Mathematical and Computer Modelling 52, 318-333. The eigenvalue is convex in the logarithms of the gaps.
    """
    from scipy.optimize import minimize

    rows, columns = np.nonzero(np.triu(np.isnan(a), 1))
    if not len(rows):
        return a.copy()

    def fill(logs: Floats) -> Floats:
        found = a.copy()
        found[rows, columns], found[columns, rows] = np.exp(logs), np.exp(-logs)
        return found

    def largest(logs: Floats) -> tuple[float, Floats]:
        full = fill(logs)
        values, right = np.linalg.eig(full)
        at = int(np.argmax(values.real))
        lefts, left = np.linalg.eig(full.T)
        x, y = np.abs(right[:, at].real), np.abs(left[:, int(np.argmax(lefts.real))].real)
        slope = (y[rows] * full[rows, columns] * x[columns] - y[columns] * full[columns, rows] * x[rows]) / (y @ x)
        return float(values[at].real), slope

    start = _logarithmic(a)
    found = minimize(largest, start[rows] - start[columns], jac=True, method="BFGS", options={"gtol": 1e-10})
    return fill(found.x)


def _logarithmic(a: Floats) -> Floats:
    """Logarithms of the priorities that are nearest to the judgements that are there, by least squares."""
    known = ~np.isnan(a) & ~np.eye(len(a), dtype=bool)
    laplacian = np.diag(known.sum(axis=1).astype(float)) - known
    right = np.where(known, np.log(np.where(known, a, 1.0)), 0.0).sum(axis=1)
    found: Floats = np.linalg.lstsq(laplacian, right, rcond=None)[0]
    return found


def connected(a: Floats) -> bool:
    """Whether the judgements that are there lead from each element to every other."""
    known = ~np.isnan(a)
    reached = np.zeros(len(a), dtype=bool)
    reached[0] = True
    for _ in range(len(a)):
        reached = reached | known[reached].any(axis=0)
    return bool(reached.all())
