"""Correlations of the normal variables behind ordered answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.contingency import SMALLEST, Codes, Ints, Tables, cells, tables_of
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.polychoric_covariance import asymptotic_covariance
from sqmodel.numerics.threads import one_blas_thread

LARGEST, _NEARLY = 0.9999, 0.995
"""Correlations are kept inside this bound; a pair that reaches it, or whose likelihood is flat on the way there, is
reported in `Polychoric.at_bound`."""


class Polychoric(NamedTuple):
    """Thresholds and polychoric correlations by two-step maximum likelihood.

    Attributes
    ----------
    thresholds : array, t
        All items' thresholds, item after item; item i has one fewer than its categories.
    item : integer array, t
        Which item a threshold belongs to.
    correlation : array, p x p
    empty_cells : integer array, p x p
        Empty cells of each pair's table.
    at_bound : integer array, k x 2
        Pairs whose correlation reached the bound: their table is (nearly) perfectly ordered.
    n : float
        Respondents (sum of weights).
    acov : array, (t + p(p-1)/2) squared, or None
        Asymptotic covariance matrix times n of (thresholds, correlations below the diagonal column by column).
    """

    thresholds: Floats
    item: Ints
    correlation: Floats
    empty_cells: Ints
    at_bound: Ints
    n: float
    acov: Floats | None


def polychoric(
    codes: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    acov: bool = True,
    tolerance: float = 1e-8,
    max_iter: int = 100,
) -> Polychoric:
    """Which correlations of normal variables explain the answers to each pair of ordered items?

    Two-step maximum likelihood (Olsson 1979): thresholds from each item's margin, then each correlation from its
    table by Fisher scoring, all pairs at once. Respondents enter only through the tables. Empty cells stay empty, but
    for 2 x 2 tables, where .5 is added to an empty cell with margins kept, as lavaan does; psych adds .5 to every
    empty cell unless ``correct=0``. The asymptotic covariance is Muthen's (1984), with lavaan's empirical
    (outer product) estimates of the three blocks of derivatives. lavaan 0.6-14 takes a general optimiser for each pair,
    which can stop early: for imag1 and imag2 of the Spanish bank survey it reports .746, where the log likelihood is
    lower by 1.0 than at the maximum, .707, found here; its WLSMV fit of that survey differs for this reason.

    Parameters
    ----------
    codes : integer array, n x p
        Answers 0, 1, ... K_i - 1 of item i, all categories used, none missing.
    weight : array, n, optional
        Sample weights of mean 1.
    acov : bool
        Whether to compute the asymptotic covariance, which needs a pass over the respondents.
    tolerance : float
        Largest change of a correlation that ends the search.
    max_iter : int

    Raises
    ------
    ComputationError
        An item with one category only, a category that nobody chose, or a search that did not end.

    Examples
    --------
    >>> found = polychoric([[0, 0]] * 40 + [[0, 1]] * 10 + [[1, 0]] * 10 + [[1, 1]] * 40)
    >>> round(float(found.correlation[0, 1]), 6)  # sin(pi / 2 (4 P - 1)) for median splits
    0.809017
    """
    data = np.ascontiguousarray(np.asarray(codes).T, dtype=np.uint8)
    w = None if weight is None else np.asarray(weight, dtype=float)
    # On a busy machine a second BLAS thread that waits for its turn costs ten times what it saves.
    with one_blas_thread():
        return _two_steps(data, w, acov, tolerance, max_iter)


def _two_steps(data: Codes, w: Floats | None, acov: bool, tolerance: float, max_iter: int) -> Polychoric:
    tables = tables_of(data, w)
    rho, at_bound = _correlations(tables, tolerance, max_iter)
    p = len(data)
    R = np.eye(p)
    R[tables.first, tables.second] = R[tables.second, tables.first] = rho
    empty = np.zeros((p, p), dtype=np.intp)
    inside = np.arange(tables.counts.shape[1])
    possible = (inside < tables.used[tables.first, None])[:, :, None] & (inside < tables.used[tables.second, None])[
        :, None, :
    ]
    empty[tables.first, tables.second] = ((tables.counts == 0) & possible).sum(axis=(1, 2))
    item = np.repeat(np.arange(p), tables.used - 1)
    thresholds = np.concatenate([tables.cuts[i, 1:k] for i, k in enumerate(tables.used)])
    n = float(tables.margins[0].sum())
    covariance = asymptotic_covariance(data, w, tables, rho) if acov else None
    bound = np.column_stack([tables.first[at_bound], tables.second[at_bound]])
    return Polychoric(thresholds, item, R, empty + empty.T, bound, n, covariance)


def _smoothed(tables: Tables) -> Floats:
    """Counts with lavaan's rule for an empty cell of a 2 x 2 table: half an answer, margins kept."""
    counts = tables.counts.copy()
    dichotomous = (tables.used[tables.first] == 2) & (tables.used[tables.second] == 2)
    corner = counts[:, :2, :2]
    empty = (corner == 0) & dichotomous[:, None, None]
    one = empty.sum(axis=(1, 2)) == 1
    diagonal = empty[:, 0, 0] | empty[:, 1, 1]
    sign = np.where(diagonal[:, None, None], [[1, -1], [-1, 1]], [[-1, 1], [1, -1]])
    corner += 0.5 * sign * one[:, None, None]
    return counts


def _correlations(tables: Tables, tolerance: float, max_iter: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    counts = _smoothed(tables)
    n = counts.sum(axis=(1, 2))
    rho = _start(tables, counts, n)
    todo = np.arange(len(rho))
    before, perfect = np.zeros(len(rho)), np.zeros(len(rho), dtype=bool)
    for _ in range(max_iter):
        probability, density = cells(tables, rho[todo], todo)
        share = counts[todo] / n[todo, None, None]
        floor = np.maximum(probability, SMALLEST)
        slope = density / floor
        score = (share * slope).sum(axis=(1, 2))
        information = (slope * density).sum(axis=(1, 2))
        step = score / np.maximum(information, 1e-12)
        # Never more than half the way to the bound: near it the information rises steeply.
        room = np.where(step > 0, LARGEST - rho[todo], rho[todo] + LARGEST)
        step = np.clip(step, -room / 2, room / 2)
        # Steps that turn back without shrinking would go on for ever between two points.
        turns = (step * before[todo] < 0) & (np.abs(step) > 0.5 * np.abs(before[todo]))
        step = np.where(turns, -0.5 * before[todo], step)
        before[todo] = step
        moved = rho[todo] + step
        change = np.abs(step)
        rho[todo] = moved
        # Nearly perfect order: the likelihood is flat up to the bound, and no step gains anything.
        flat = (np.abs(moved) > _NEARLY) & (n[todo] * np.abs(score * step) < 1e-6)
        perfect[todo] = flat | (LARGEST - np.abs(moved) <= 1e-6)
        todo = todo[(change > tolerance) & ~perfect[todo]]
        if not len(todo):
            return rho, perfect
    pairs = ", ".join(f"items {tables.first[k]} and {tables.second[k]}" for k in todo[:5])
    raise ComputationError(
        f"expected the polychoric correlations to settle within {max_iter} steps, found that those of {pairs} did not; "
        "merge rare categories"
    )


def _start(tables: Tables, counts: Floats, n: Floats) -> Floats:
    """Product-moment correlations of the codes."""
    codes = np.arange(counts.shape[1], dtype=float)
    rows, columns = counts.sum(axis=2) / n[:, None], counts.sum(axis=1) / n[:, None]
    mean_r, mean_c = rows @ codes, columns @ codes
    cross = np.einsum("kab,a,b->k", counts, codes, codes) / n - mean_r * mean_c
    spread = (rows @ codes**2 - mean_r**2) * (columns @ codes**2 - mean_c**2)
    return np.asarray(np.clip(cross / np.sqrt(spread), -0.9, 0.9))


def smooth(R: Floats, smallest: float = 1e-4) -> tuple[Floats, bool]:
    """The correlation matrix with its eigenvalues raised to at least `smallest`, and whether that changed it.

    The pairs of a polychoric matrix are estimated one by one, so it can fail to be positive definite. Eigenvalues
    below the bound are raised to it and the diagonal is brought back to one.
    """
    values, vectors = np.linalg.eigh(R)
    if values[0] >= smallest:
        return R, False
    raised = (vectors * np.maximum(values, smallest)) @ vectors.T
    deviations = np.sqrt(np.diag(raised))
    return np.asarray(raised / np.outer(deviations, deviations)), True


def codes_of(x: npt.ArrayLike) -> tuple[Codes, list[Floats]]:
    """Answers (n x p, complete) as 0, 1, ... in their order, and the values behind the codes of each item."""
    columns = np.ascontiguousarray(np.asarray(x).T)
    codes = np.empty(columns.shape, dtype=np.uint8)
    values = []
    for column, code in zip(columns, codes, strict=True):
        values.append(_ranks(column, code))
    return codes.T, values


def _ranks(column: npt.NDArray[Any], code: Codes) -> Floats:
    """Distinct values; writes the rank of each answer to `code`; quick for whole numbers in a short range."""
    low, high = float(column.min()), float(column.max())
    if high - low <= 255 and low == int(low):
        np.subtract(column, low, out=code, casting="unsafe")
        if column.dtype.kind in "iu" or (code + low == column).all():
            counts = np.bincount(code)
            present = np.flatnonzero(counts)
            if len(present) < len(counts):
                rank = np.zeros(256, dtype=np.uint8)
                rank[present] = np.arange(len(present))
                np.take(rank, code.copy(), out=code)
            return np.asarray(present + low, dtype=float)
    found, ranks = np.unique(column, return_inverse=True)
    if len(found) > 256:
        raise ComputationError(
            f"expected ordered answers with at most 256 categories, found {len(found)} different values; "
            "treat the item as continuous"
        )
    code[:] = ranks
    return np.asarray(found, dtype=float)
