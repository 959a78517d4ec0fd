"""Covariances and correlations of many pairs of columns, over many resamples, with the values that both have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pair_moments(x: Floats, y: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Covariance and correlation of each pair in each resample.

    Parameters
    ----------
    x, y : ndarray, shape (cases, pairs)
        Column j of both is a pair; a case that lacks one of the two (NaN) is left out of that pair.
    counts : ndarray, shape (resamples, cases)
        How often each case is drawn; ones for the sample itself.

    Returns
    -------
    covariance, correlation : ndarray, shape (resamples, pairs)
        The covariance has the divisor n - 1, as ``cov(use = "pairwise.complete.obs")`` in R. NaN where a column does
        not vary.

    Examples
    --------
    >>> a, b = np.array([[1.0], [2.0], [3.0], [9.0]]), np.array([[2.0], [4.0], [6.0], [np.nan]])
    >>> [v.round(6).tolist() for v in pair_moments(a, b, np.ones((1, 4)))]
    [[[2.0]], [[1.0]]]
    """
    both = ~(np.isnan(x) | np.isnan(y))
    seen = both.astype(float)
    # Centred first, so that nothing is lost where values are large and vary little.
    u, v = (np.where(both, z - np.nanmean(z, axis=0), 0.0) for z in (x, y))
    n, su, sv, suu, svv, suv = (counts @ part for part in (seen, u, v, u * u, v * v, u * v))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (suv - su * sv / n) / (n - 1)
        first, second = (suu - su**2 / n) / (n - 1), (svv - sv**2 / n) / (n - 1)
        first, second = (
            np.where(value > 1e-12 * raw / n, value, np.nan) for value, raw in ((first, suu), (second, svv))
        )
        r = np.clip(between / np.sqrt(first * second), -1.0, 1.0)
    return np.asarray(between), np.asarray(r)
