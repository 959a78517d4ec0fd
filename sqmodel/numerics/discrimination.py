"""How well a score tells events from others: area under the curve, Kolmogorov-Smirnov distance; arrays only."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Array = npt.NDArray[np.float64]

DELONG = "DeLong, normal on the logit"
NEWCOMBE = "Newcombe's score method 5"
KS_METHOD = "normal on atanh, bias taken out by a smoothed bootstrap"
DISTINCT = 20
"""A score with more different values than this is smoothed in the bootstrap; grades are not."""


class Area(NamedTuple):
    """The area under the curve with its interval."""

    estimate: float
    se: float
    low: float
    high: float
    method: str


def auc(score: npt.ArrayLike, event: npt.ArrayLike, level: float = 0.95) -> Area:
    """Chance that an event's score exceeds another's, ties counted half (DeLong, DeLong and Clarke-Pearson 1988).

    Parameters
    ----------
    score : (n,) array
        Higher means riskier.
    event : (n,) array of bool

    Returns
    -------
    Area
        Bounds from the standard error on the logit scale; where the area is 0 or 1, or does not vary, from Newcombe's
        (2006) method 5.

    Notes
    -----
    Placements by mid-ranks, O(n log n), as Sun and Xu (2014) have them.

    Examples
    --------
    >>> auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]).estimate
    0.75
    """
    x, y = np.asarray(score, float), np.asarray(event, bool)
    m, n = int(y.sum()), int((~y).sum())
    ranks, own, other = (stats.rankdata(part) for part in (x, x[y], x[~y]))
    above = (ranks[y] - own) / n
    below = 1 - (ranks[~y] - other) / m
    value = float(above.mean())
    se = math.nan
    if m > 1 and n > 1:
        se = math.sqrt(float(above.var(ddof=1)) / m + float(below.var(ddof=1)) / n)
    if not 0 < value < 1 or not se > 0:
        low, high = newcombe_interval(value, m, n, level)
        return Area(value, se, low, high, NEWCOMBE)
    half = float(stats.norm.ppf((1 + level) / 2)) * se / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return Area(value, se, _logistic(centre - half), _logistic(centre + half), DELONG)


def newcombe_interval(value: float, m: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Newcombe's (2006) method 5 interval of an area under the curve from m events and n others."""
    z, shift = float(stats.norm.ppf((1 + level) / 2)), (m + n) / 2 - 1

    def excess(theta: float) -> float:
        inner = 1 + shift * (1 - theta) / (2 - theta) + shift * theta / (1 + theta)
        return abs(value - theta) - z * math.sqrt(theta * (1 - theta) * inner / (m * n))

    tiny = 1e-12
    low = 0.0 if value <= tiny else float(optimize.brentq(excess, tiny, min(value, 1 - tiny)))
    high = 1.0 if value >= 1 - tiny else float(optimize.brentq(excess, max(value, tiny), 1 - tiny))
    return low, high


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def ks(
    score: npt.ArrayLike,
    event: npt.ArrayLike,
    *,
    rng: np.random.Generator | int,
    draws: int = 200,
    level: float = 0.95,
) -> tuple[float, float, float, float, float]:
    """Kolmogorov-Smirnov distance between the scores of events and of others, where events score higher.

    Returns
    -------
    estimate, se, low, high, bias : float
        The sample's distance, the standard error at its cut, the interval and the bias the bootstrap found. The
        largest of many differences is too large by itself, so the interval is about the distance without its bias,
        and the sample's distance may lie near its upper end.

    Notes
    -----
    Percentile and basic bootstrap intervals of this distance cover 60-90 % instead of 95 %: a resample repeats the
    sample's luck. Draws are taken from the sample's distributions, smoothed on normal scores with Silverman's
    bandwidth if the score is continuous, and the bias measured against the distance of the distributions drawn from.
    """
    x, y = np.asarray(score, float), np.asarray(event, bool)
    generator = np.random.default_rng(rng)
    values, codes = np.unique(x, return_inverse=True)
    first, second = (np.bincount(codes[part], minlength=len(values)) for part in (y, ~y))
    m, n = int(first.sum()), int(second.sum())
    above, below = np.cumsum(first) / m, np.cumsum(second) / n
    gaps = below - above
    best = int(gaps.argmax())
    value = max(float(gaps[best]), 0.0)
    if len(values) > DISTINCT:
        bias = _smoothed_bias(x, y, draws, generator)
    else:
        drawn = _largest(generator.multinomial(m, first / m, draws), generator.multinomial(n, second / n, draws))
        bias = float(drawn.mean()) - value
    p, q = (above[best] * m + 1) / (m + 2), (below[best] * n + 1) / (n + 2)
    se = math.sqrt(p * (1 - p) / m + q * (1 - q) / n)
    centre = min(max(value - bias, 0.0), 0.9999)
    half = float(stats.norm.ppf((1 + level) / 2)) * se / (1 - centre**2)
    low, high = np.tanh(np.arctanh(centre) + np.array([-half, half]))
    return value, se, max(float(low), 0.0), float(high), bias


def _largest(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Array:
    """Largest excess of the one cumulative distribution over the other; (draws, k) counts."""
    gap = np.cumsum(second, axis=1) / second.sum(axis=1, keepdims=True)
    gap -= np.cumsum(first, axis=1) / first.sum(axis=1, keepdims=True)
    return np.asarray(gap.max(axis=1).clip(0))


def _smoothed_bias(x: Array, y: npt.NDArray[np.bool_], draws: int, rng: np.random.Generator) -> float:
    normal = stats.norm.ppf((stats.rankdata(x) - 0.5) / len(x))
    parts = [normal[y], normal[~y]]
    widths = [1.06 * float(part.std()) * len(part) ** -0.2 for part in parts]
    grid = np.linspace(normal.min() - 1, normal.max() + 1, 200)
    curves = [_smooth(part, width, grid) for part, width in zip(parts, widths, strict=True)]
    true = max(float((curves[1] - curves[0]).max()), 0.0)
    block = max(1, 2_000_000 // len(x))
    found: list[Array] = []
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = [rng.choice(p, (rows, len(p))) + w * rng.standard_normal((rows, len(p)))
                 for p, w in zip(parts, widths, strict=True)]  # fmt: skip
        m = len(parts[0])
        order = np.argsort(np.concatenate(drawn, axis=1), axis=1)
        step = np.where(order < m, -1 / m, 1 / len(parts[1]))
        found.append(np.cumsum(step, axis=1).max(axis=1).clip(0))
    return float(np.concatenate(found).mean()) - true


def _smooth(values: Array, width: float, grid: Array) -> Array:
    """Cumulative distribution of a normal kernel, by counting on a fine grid: values may be many."""
    if len(values) > 2000:
        values = np.quantile(values, (np.arange(2000) + 0.5) / 2000)
    return np.asarray(stats.norm.cdf((grid[:, None] - values) / max(width, 1e-12)).mean(axis=1))
