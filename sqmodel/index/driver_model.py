"""Regression of scores on what happened: slopes with errors that fit any scatter, and bounds that hold together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
MOST_INFLATION = 10.0


@dataclass(frozen=True)
class Fit:
    """Slopes of one outcome.

    Attributes
    ----------
    slope : array (k,)
    influence : array (n, k)
        What each case adds to the error of each slope, HC3; zero for cases without the outcome.
    residual : array (n,)
        NaN without the outcome.
    n, df : int
        Cases, and cases less columns.
    """

    slope: Array
    influence: Array
    residual: Array
    n: int
    df: int

    @property
    def se(self) -> Array:
        """Standard errors."""
        return np.asarray(np.sqrt((self.influence**2).sum(axis=0)))


def fit(x: Array, y: Array, weight: Array) -> Fit:
    """Weighted least squares with HC3 errors (MacKinnon and White 1985, Long and Ervin 2000).

    Parameters
    ----------
    x : array (n, k)
        Full rank, the intercept among the columns.
    y : array (n,)
        NaN where not known: the case is left out.
    weight : array (n,)
    """
    known = np.isfinite(y)
    root = np.sqrt(weight[known])
    z, target = x[known] * root[:, None], y[known] * root
    q, r = np.linalg.qr(z)
    bread = np.linalg.pinv(r) @ q.T
    slope = bread @ target
    residual = target - z @ slope
    room = 1 - (q**2).sum(axis=1)
    # A case that alone decides a column has no residual and no say in its error.
    inflated = np.divide(residual, room, out=np.zeros_like(residual), where=room > 1e-9)
    influence, left = np.zeros((len(y), x.shape[1])), np.full(len(y), np.nan)
    influence[known] = bread.T * inflated[:, None]
    left[known] = residual / root
    n = int(known.sum())
    return Fit(slope, influence, left, n, n - x.shape[1])


def independent(columns: Array) -> npt.NDArray[np.bool_]:
    """Which columns are not linear in the intercept and the columns before them."""
    basis = np.ones((len(columns), 1)) / np.sqrt(len(columns))
    keep = np.zeros(columns.shape[1], bool)
    for j in range(columns.shape[1]):
        column = columns[:, j]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > 1e-8 * max(float(np.linalg.norm(column)), 1e-300):
            keep[j] = True
            basis = np.column_stack([basis, rest / length])
    return keep


def separable(columns: Array) -> npt.NDArray[np.bool_]:
    """Which columns can be told apart: of those that nearly follow from the others, the last gives way, and so on.

    The slopes of two such columns rest on the few cases in which they differ, and neither means anything.
    """
    keep = independent(columns)
    while keep.sum() > 1:
        high = np.flatnonzero(keep)[inflation(columns[:, keep]) > MOST_INFLATION]
        if not len(high):
            break
        keep[high[-1]] = False
    return keep


def inflation(columns: Array) -> Array:
    """Variance inflation factor of each column (without the intercept), of full rank."""
    deviation = columns.std(axis=0)
    correlation = np.corrcoef((columns - columns.mean(axis=0)) / deviation, rowvar=False).reshape(len(deviation), -1)
    return np.asarray(np.linalg.inv(correlation).diagonal())


def jointly(
    influence: Array, statistic: Array, df: int, level: float, draws: int, rng: np.random.Generator
) -> tuple[float, Array]:
    """Critical value and adjusted p-values of a family of t statistics, by the largest of them.

    Parameters
    ----------
    influence : array (n, m)
        Of the m estimates: their correlation is that of the statistics.
    statistic : array (m,)
    df : int
    level : float
    draws : int
        From the multivariate t distribution.

    Notes
    -----
    Single-step max-t method: Hothorn, Bretz and Westfall (2008), Biometrical Journal 50.
    """
    scale = np.sqrt((influence**2).sum(axis=0))
    unit = np.divide(influence, scale, out=np.zeros_like(influence), where=scale > 0)
    values, vectors = np.linalg.eigh(unit.T @ unit)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    normal = rng.standard_normal((draws, root.shape[1])) @ root.T
    largest = np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(df, draws) / df)
    critical = max(float(np.quantile(largest, level)), float(stats.t.ppf((1 + level) / 2, df)))
    beyond = (largest[:, None] >= np.abs(statistic)).mean(axis=0)
    single = 2 * stats.t.sf(np.abs(statistic), df)
    return critical, np.maximum(beyond, single)


def wilson(hits: float, n: float, level: float) -> tuple[float, float, float]:
    """A share with Wilson's interval; n may be an effective size."""
    if n <= 0:
        return (np.nan, np.nan, np.nan)
    z = float(stats.norm.ppf((1 + level) / 2))
    share = hits / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, max(0.0, centre - half), min(1.0, centre + half)


def newcombe(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float, float]:
    """First share minus second, from their Wilson intervals (Newcombe 1998, method 10)."""
    (p, p_low, p_high), (q, q_low, q_high) = first, second
    gap = p - q
    return (
        gap,
        gap - float(np.sqrt((p - p_low) ** 2 + (q_high - q) ** 2)),
        gap + float(np.sqrt((p_high - p) ** 2 + (q - q_low) ** 2)),
    )
