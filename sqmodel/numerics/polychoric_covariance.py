"""How precisely thresholds and polychoric correlations are known, all together."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from sqmodel.numerics.contingency import ROWS, SMALLEST, Codes, Ints, Tables, cells
from sqmodel.numerics.correlation import Floats


def asymptotic_covariance(data: Codes, weight: Floats | None, tables: Tables, rho: Floats) -> Floats:
    """Muthen's (1984) covariance of the two steps, B^-1 (sum of score products) B^-T, times n."""
    by_threshold, by_correlation, slopes_first, slopes_second = _scores(tables, rho)
    inner = _score_products(data, weight, tables, by_threshold, by_correlation)
    item = np.repeat(np.arange(len(tables.used)), tables.used - 1)
    t, n = len(item), tables.margins[0].sum()
    # Derivatives: within each item's thresholds, and of each correlation's score by the thresholds of its two items.
    margin = np.maximum(tables.margins, 0.0)
    information = np.einsum("ic,ict,icu->itu", margin, by_threshold, by_threshold)
    own = np.zeros((t, t))
    place = _places(tables.used)
    for i, k in enumerate(tables.used):
        at = place[i, : k - 1]
        own[np.ix_(at, at)] = information[i, : k - 1, : k - 1]
    cross = np.zeros((len(rho), t))
    for slopes, side in ((slopes_first, tables.first), (slopes_second, tables.second)):
        values = np.einsum("kab,kab,kabt->kt", tables.counts, by_correlation, slopes)
        for c in range(values.shape[1]):
            has = tables.used[side] - 1 > c
            cross[np.flatnonzero(has), place[side[has], c]] += values[has, c]
    second = (tables.counts * by_correlation**2).sum(axis=(1, 2))
    own_inverse = np.linalg.inv(own)
    lower = -(cross @ own_inverse) / second[:, None]
    # The bread is [[own^-1, 0], [lower, 1 / second]]: two thin products instead of two full ones.
    half = np.empty_like(inner)
    half[:t] = own_inverse @ inner[:t]
    half[t:] = lower @ inner[:t] + inner[t:] / second[:, None]
    out = np.empty_like(inner)
    out[:, :t] = half[:, :t] @ own_inverse.T
    out[:, t:] = half[:, :t] @ lower.T + half[:, t:] / second
    return np.asarray(n * (out + out.T) / 2)


def _places(used: Ints) -> Ints:
    """Position of item i's threshold c among all thresholds (p x K - 1); what lies beyond is not used."""
    ends = np.cumsum(used - 1)
    return np.asarray((ends - used + 1)[:, None] + np.arange(used.max() - 1))


def _scores(tables: Tables, rho: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Derivatives of the log likelihood of one answer or pair of answers.

    Returns
    -------
    by_threshold : p x K x K - 1
        Of an answer's probability in its margin.
    by_correlation : pairs x K x K
    first, second : pairs x K x K x K - 1
        Of a pair of answers by the thresholds of the first and of the second item.
    """
    cuts, k = tables.cuts[:, 1:-1], tables.cuts.shape[1] - 1
    finite = np.isfinite(cuts)
    tau = np.where(finite, cuts, 0.0)
    height = np.where(finite, np.exp(-tau * tau / 2) / np.sqrt(2 * np.pi), 0.0)
    steps = _steps(k)
    margin = tables.margins / tables.margins.sum(axis=1, keepdims=True)
    by_threshold = steps * height[:, None, :] / np.where(margin > 0, margin, 1.0)[:, :, None]
    probability, density = cells(tables, rho)
    floor = np.maximum(probability, SMALLEST)
    root = np.sqrt(1 - rho * rho)[:, None, None]
    first = _conditional(tau[tables.first], tables.cuts[tables.second], rho, root)
    second = _conditional(tau[tables.second], tables.cuts[tables.first], rho, root)
    slope_first = np.einsum("kt,at,ktb->kabt", height[tables.first], steps, first) / floor[..., None]
    slope_second = np.einsum("kt,bt,kta->kabt", height[tables.second], steps, second) / floor[..., None]
    return by_threshold, density / floor, slope_first, slope_second


def _steps(k: int) -> Floats:
    """K x K - 1: raising threshold t adds to category t and takes from category t + 1."""
    return np.asarray(np.eye(k)[:, : k - 1] - np.eye(k, k - 1, -1))


def _conditional(at: Floats, other: Floats, rho: Floats, root: Floats) -> Floats:
    """Probability of each of the other item's categories where this item's variable is at its threshold."""

    z = (other[:, None, :] - rho[:, None, None] * at[:, :, None]) / root
    return np.asarray(np.diff(ndtr(z), axis=2))


def _score_products(
    data: Codes, weight: Floats | None, tables: Tables, by_threshold: Floats, by_correlation: Floats
) -> Floats:
    """Sum over respondents of the products of all scores: the only step whose cost grows with n."""
    most, n = tables.counts.shape[1], data.shape[1]
    t = int((tables.used - 1).sum())
    flat = np.ascontiguousarray(by_correlation.reshape(len(tables.first), -1))
    total = np.zeros((t + len(flat),) * 2)
    scores = np.empty((len(total), min(n, ROWS)))
    for start in range(0, n, ROWS):
        block = data[:, start : start + ROWS].astype(np.intp)
        found = scores if block.shape[1] == scores.shape[1] else np.empty((len(total), block.shape[1]))
        row = 0
        for i, k in enumerate(tables.used):
            for c in range(k - 1):
                np.take(by_threshold[i, :, c], block[i], out=found[row], mode="clip")
                row += 1
        high = block * most
        cell = np.empty(block.shape[1], dtype=np.intp)
        for pair, (i, j) in enumerate(zip(tables.first, tables.second, strict=True)):
            np.add(high[i], block[j], out=cell)
            np.take(flat[pair], cell, out=found[t + pair], mode="clip")
        if weight is not None:
            found *= weight[start : start + ROWS]
        total += np.dot(found, found.T)
    return total
