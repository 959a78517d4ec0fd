"""Correlations of the normal variables behind ordered answers, and how precisely they are known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats, bivariate_normal_cdf
from sqmodel.numerics.threads import one_blas_thread

Ints = npt.NDArray[np.intp]
Codes = npt.NDArray[np.uint8]
"""Item by item: a row an item, a column a respondent, so that all answers to an item lie side by side."""

LARGEST, _NEARLY = 0.9999, 0.995
"""Correlations are kept inside this bound; a pair that reaches it, or whose likelihood is flat on the way there, is
reported in `Polychoric.at_bound`."""
_SMALLEST = float(np.sqrt(np.finfo(float).eps))
"""Cell probabilities below this count as this in a denominator, as in lavaan."""
_ROWS = 8192


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


class _Tables(NamedTuple):
    """Contingency tables of all pairs (pairs x K x K, unused categories zero) and what goes with them."""

    counts: Floats
    first: Ints
    second: Ints
    margins: Floats
    cuts: Floats
    used: Ints


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
    tables = _tables(data, w)
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
    covariance = _asymptotic_covariance(data, w, tables, rho) if acov else None
    bound = np.column_stack([tables.first[at_bound], tables.second[at_bound]])
    return Polychoric(thresholds, item, R, empty + empty.T, bound, n, covariance)


def _tables(data: Codes, weight: Floats | None) -> _Tables:
    p, n = data.shape
    used = data.max(axis=1).astype(np.intp) + 1
    most = int(used.max())
    # One product of one-hot codes gives every table; float32 counts exactly below 2^24 a block.
    kind = np.float32 if weight is None else np.float64
    counts = np.zeros((p * most, p * most))
    hot = np.empty((p, most, min(n, _ROWS)), dtype=kind)
    answers = np.arange(most, dtype=np.uint8)[:, None]
    for start in range(0, n, _ROWS):
        block = data[:, None, start : start + _ROWS]
        found = hot[:, :, : block.shape[2]]
        np.equal(block, answers, out=found, casting="unsafe")
        flat = found.reshape(p * most, -1)
        other = flat if weight is None else flat * weight[start : start + _ROWS]
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
    return _Tables(blocks[first, :, second, :], first, second, margins, cuts, used)


def _pairs(p: int) -> tuple[Ints, Ints]:
    """Row and column below the diagonal, column by column: (1,0), (2,0), ... (2,1), ..."""
    second, first = np.triu_indices(p, 1)
    return first, second


def _smoothed(tables: _Tables) -> Floats:
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


def _correlations(tables: _Tables, tolerance: float, max_iter: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    counts = _smoothed(tables)
    n = counts.sum(axis=(1, 2))
    rho = _start(tables, counts, n)
    todo = np.arange(len(rho))
    before, perfect = np.zeros(len(rho)), np.zeros(len(rho), dtype=bool)
    for _ in range(max_iter):
        probability, density = _cells(tables, rho[todo], todo)
        share = counts[todo] / n[todo, None, None]
        floor = np.maximum(probability, _SMALLEST)
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


def _start(tables: _Tables, counts: Floats, n: Floats) -> Floats:
    """Product-moment correlations of the codes."""
    codes = np.arange(counts.shape[1], dtype=float)
    rows, columns = counts.sum(axis=2) / n[:, None], counts.sum(axis=1) / n[:, None]
    mean_r, mean_c = rows @ codes, columns @ codes
    cross = np.einsum("kab,a,b->k", counts, codes, codes) / n - mean_r * mean_c
    spread = (rows @ codes**2 - mean_r**2) * (columns @ codes**2 - mean_c**2)
    return np.asarray(np.clip(cross / np.sqrt(spread), -0.9, 0.9))


def _cells(tables: _Tables, rho: Floats, chosen: Ints | slice = slice(None)) -> tuple[Floats, Floats]:
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


def _asymptotic_covariance(data: Codes, weight: Floats | None, tables: _Tables, rho: Floats) -> Floats:
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


def _scores(tables: _Tables, rho: Floats) -> tuple[Floats, Floats, Floats, Floats]:
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
    probability, density = _cells(tables, rho)
    floor = np.maximum(probability, _SMALLEST)
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
    data: Codes, weight: Floats | None, tables: _Tables, by_threshold: Floats, by_correlation: Floats
) -> Floats:
    """Sum over respondents of the products of all scores: the only step whose cost grows with n."""
    most, n = tables.counts.shape[1], data.shape[1]
    t = int((tables.used - 1).sum())
    flat = np.ascontiguousarray(by_correlation.reshape(len(tables.first), -1))
    total = np.zeros((t + len(flat),) * 2)
    scores = np.empty((len(total), min(n, _ROWS)))
    for start in range(0, n, _ROWS):
        block = data[:, start : start + _ROWS].astype(np.intp)
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
            found *= weight[start : start + _ROWS]
        total += np.dot(found, found.T)
    return total


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
    tables = _tables(np.ascontiguousarray(answers.T, dtype=np.uint8), None)
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
    return np.asarray((slopes[1] - slopes[0]) / np.maximum(bounds[1] - bounds[0], _SMALLEST))
