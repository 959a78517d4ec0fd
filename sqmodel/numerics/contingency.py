"""Tables of all pairs of ordered items, and the chances of their cells under normal variables behind them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats, bivariate_normal_cdf

Ints = npt.NDArray[np.intp]
Codes = npt.NDArray[np.uint8]
"""Item by item: a row an item, a column a respondent, so that all answers to an item lie side by side."""

SMALLEST = float(np.sqrt(np.finfo(float).eps))
"""Cell probabilities below this count as this in a denominator, as in lavaan."""
ROWS = 8192


class Tables(NamedTuple):
    """Contingency tables of all pairs (pairs x K x K, unused categories zero) and what goes with them."""

    counts: Floats
    first: Ints
    second: Ints
    margins: Floats
    cuts: Floats
    used: Ints


def tables_of(data: Codes, weight: Floats | None) -> Tables:
    """Of all pairs of items, counted in one product of one-hot codes.

    Raises
    ------
    ComputationError
        Items with one category, or with a category that nobody chose.
    """
    p, n = data.shape
    used = data.max(axis=1).astype(np.intp) + 1
    most = int(used.max())
    # One product of one-hot codes gives every table; float32 counts exactly below 2^24 a block.
    kind = np.float32 if weight is None else np.float64
    counts = np.zeros((p * most, p * most))
    hot = np.empty((p, most, min(n, ROWS)), dtype=kind)
    answers = np.arange(most, dtype=np.uint8)[:, None]
    for start in range(0, n, ROWS):
        block = data[:, None, start : start + ROWS]
        found = hot[:, :, : block.shape[2]]
        np.equal(block, answers, out=found, casting="unsafe")
        flat = found.reshape(p * most, -1)
        other = flat if weight is None else flat * weight[start : start + ROWS]
        counts += np.dot(flat, other.T)
    blocks = counts.reshape(p, most, p, most)
    margins = blocks[np.arange(p), :, np.arange(p), :].diagonal(axis1=1, axis2=2)
    short = np.flatnonzero((used < 2) | ((margins > 0).sum(axis=1) < used))
    if len(short):
        raise ComputationError(
            f"expected at least two categories an item and answers in each, found "
            f"{', '.join(f'item {i}: {margins[i, : used[i]].astype(int).tolist()}' for i in short[:5])}; "
            "merge neighbouring categories or leave the items out"
        )
    first, second = _pairs(p)
    shares = np.cumsum(margins, axis=1) / margins.sum(axis=1, keepdims=True)
    cuts = np.full((p, most + 1), np.inf)
    cuts[:, 0] = -np.inf
    with np.errstate(invalid="ignore"):
        cuts[:, 1:] = np.where(np.arange(1, most + 1) < used[:, None], ndtri(np.minimum(shares, 1.0)), np.inf)
    return Tables(blocks[first, :, second, :], first, second, margins, cuts, used)


def _pairs(p: int) -> tuple[Ints, Ints]:
    """Row and column below the diagonal, column by column: (1,0), (2,0), ... (2,1), ..."""
    second, first = np.triu_indices(p, 1)
    return first, second


def cells(tables: Tables, rho: Floats, chosen: Ints | slice = slice(None)) -> tuple[Floats, Floats]:
    """Probability of every cell (pairs x K x K), and its derivative by the correlation."""
    h = tables.cuts[tables.first[chosen]][:, :, None]
    k = tables.cuts[tables.second[chosen]][:, None, :]
    r = rho[:, None, None]
    grid = np.zeros((len(rho), h.shape[1], k.shape[2]))
    grid[:, 1:, 1:] = bivariate_normal_cdf(h[:, 1:], k[:, :, 1:], r)
    density = np.zeros_like(grid)
    density[:, 1:-1, 1:-1] = _density(h[:, 1:-1], k[:, :, 1:-1], r)
    return _differences(grid), _differences(density)


def _density(h: Floats, k: Floats, r: Floats) -> Floats:
    """Bivariate normal density; zero at infinite thresholds."""
    finite = np.isfinite(h) & np.isfinite(k)
    a, b = np.where(np.isfinite(h), h, 0.0), np.where(np.isfinite(k), k, 0.0)
    rest = 1 - r * r
    value = np.exp(-(a * a - 2 * r * a * b + b * b) / (2 * rest)) / (2 * np.pi * np.sqrt(rest))
    return np.where(finite, value, 0.0)


def _differences(grid: Floats) -> Floats:
    return np.asarray(grid[:, 1:, 1:] - grid[:, :-1, 1:] - grid[:, 1:, :-1] + grid[:, :-1, :-1])
