"""Which input makes the output vary? Sobol indices and Shapley effects of independent inputs, from one design."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
MOST = 12
"""Inputs at the most: evaluations double with each."""


@dataclass(frozen=True)
class Sensitivity:
    """Shares of the output's variance, one of each input.

    Attributes
    ----------
    first, total, shapley : ndarray, shape (k, 3)
        Estimate, lower and upper bound. `first`: what the input does alone; `total`: with all its interactions;
        `shapley`: interactions divided fairly, so that these sum to one.
    variance : ndarray, shape (3,)
        Of the output.
    half_width : float
        Of the widest interval of all shares.
    """

    first: Floats
    total: Floats
    shapley: Floats
    variance: Floats
    half_width: float


def subset_design(inputs: int, rows: int, sets: int, rng: np.random.Generator) -> Floats:
    """Points at which the output is to be evaluated: for each row all mixtures of two points.

    Parameters
    ----------
    inputs : int
        k; 12 at the most.
    rows : int
        Pairs of points in a set: a power of two, as the Sobol sequence needs to be balanced.
    sets : int
        Independently scrambled sequences; their differences make the intervals.
    rng : Generator

    Returns
    -------
    ndarray, shape (sets, rows, 2**k, k)
        Uniform on 0-1. Mixture m takes input j from the second point where bit j of m is set, else from the first.

    Raises
    ------
    ComputationError
        No input or more than 12, rows that are no power of two, fewer than two sets.
    """
    problems = []
    if not 1 <= inputs <= MOST:
        problems.append(f"1 to {MOST} inputs, found {inputs}")
    if rows < 1 or rows & (rows - 1):
        problems.append(f"a power of two of rows, found {rows}")
    if sets < 2:
        problems.append(f"2 sets or more, found {sets}")
    if problems:
        raise ComputationError("sensitivity: expected " + "; ".join(problems))
    second = (np.arange(2**inputs)[:, None] >> np.arange(inputs)) & 1 == 1
    found = np.empty((sets, rows, 2**inputs, inputs))
    for one in found:
        sequence = stats.qmc.Sobol(2 * inputs, rng=rng)
        pair = sequence.random_base2(rows.bit_length() - 1)
        one[...] = np.where(second, pair[:, None, inputs:], pair[:, None, :inputs])
    return found


def sensitivity(values: Floats, *, level: float = 0.95) -> Sensitivity:
    """Sobol indices and Shapley effects of the output at the points of `subset_design`.

    Parameters
    ----------
    values : ndarray, shape (sets, rows, 2**k)
    level : float
        Of Student's t intervals over the sets.

    Returns
    -------
    Sensitivity

    Raises
    ------
    ComputationError
        Another shape, values that are not finite, or an output that does not vary.

    Notes
    -----
    Jansen's estimator, half the mean squared change when the inputs of a subset are redrawn, over all pairs of
    mixtures that differ in that subset; by the Walsh-Hadamard transform all subsets at once. The variance is that of
    redrawing all inputs, so that the Shapley effects sum to one exactly. An estimate is the share of the pooled
    variance; its standard error is that of a ratio of means. The inputs must be independent.

    References
    ----------
    Jansen, M. J. W. (1999). Computer Physics Communications 117, 35-43. Owen, A. B. (2014). Sobol' indices and Shapley
    value. SIAM/ASA Journal on Uncertainty Quantification 2, 245-251.
    """
    _check(values)
    redrawn = redrawn_variances(values)
    whole = redrawn.mean(axis=0)[-1]
    if not whole > 1e-24 * float(np.square(values).mean()):
        raise ComputationError("sensitivity: expected an output that varies, found the same value throughout")
    return shares_of_variance(redrawn, level=level)


def shares_of_variance(redrawn: Floats, *, level: float = 0.95) -> Sensitivity:
    """Sobol indices and Shapley effects from the variances of `redrawn_variances`.

    Parameters
    ----------
    redrawn : ndarray, shape (sets, 2**k)
        Of one output, or summed over several: the shares are then of their total variance.
    level : float

    Returns
    -------
    Sensitivity

    References
    ----------
    Gamboa, F., Janon, A., Klein, T. & Lagnoux, A. (2014). Sensitivity analysis for multidimensional and functional
    outputs. Electronic Journal of Statistics 8, 575-603.
    """
    k = redrawn.shape[-1].bit_length() - 1
    everything = 2**k - 1
    single = 1 << np.arange(k)
    parts = {
        "first": redrawn[:, -1:] - redrawn[:, everything ^ single],
        "total": redrawn[:, single],
        "shapley": redrawn @ _shapley_matrix(k),
    }
    shares = {name: share_of(part, redrawn[:, -1], level) for name, part in parts.items()}
    half = max(float((s[:, 2] - s[:, 1]).max()) / 2 for s in shares.values())
    sets = len(redrawn)
    mean, error = redrawn[:, -1].mean(), redrawn[:, -1].std(ddof=1) / math.sqrt(sets)
    reach = float(stats.t.ppf((1 + level) / 2, sets - 1)) * error
    return Sensitivity(**shares, variance=np.array([mean, mean - reach, mean + reach]), half_width=half)


def redrawn_variances(values: Floats) -> Floats:
    """Variance of the output from redrawing the inputs of each subset, the others held.

    Parameters
    ----------
    values : ndarray, shape (..., sets, rows, 2**k)
        At the points of `subset_design`.

    Returns
    -------
    ndarray, shape (..., sets, 2**k)
        At place s that of the inputs whose bits are set in s; the last one is the whole variance.
    """
    return np.asarray(_variances(values).mean(axis=-2))


def _check(values: Floats) -> None:
    k = values.shape[-1].bit_length() - 1 if values.ndim == 3 else -1
    if values.ndim != 3 or values.shape[-1] != 2**k or k < 1 or len(values) < 2:
        raise ComputationError(
            f"sensitivity: expected values of 2 sets or more by rows by mixtures (a power of two), found {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ComputationError(f"sensitivity: expected finite values, found {int((~np.isfinite(values)).sum())} others")


def _variances(values: Floats) -> Floats:
    """Variance from redrawing the inputs of each subset, shape of `values`: mean square less XOR autocorrelation."""
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    power = _walsh(centred) ** 2
    n = values.shape[-1]
    products = _walsh(power) / n**2
    found: Floats = products[..., :1] - products
    return found


def _walsh(values: Floats) -> Floats:
    """Walsh-Hadamard transform over the last axis."""
    k = values.shape[-1].bit_length() - 1
    cube = values.reshape(*values.shape[:-1], *(2,) * k)
    for axis in range(-k, 0):
        zero, one = np.take(cube, 0, axis=axis), np.take(cube, 1, axis=axis)
        cube = np.stack([zero + one, zero - one], axis=axis)
    return cube.reshape(values.shape)


def _shapley_matrix(k: int) -> Floats:
    """Worth of all subsets to Shapley values, shape (2**k, k)."""
    subsets = np.arange(2**k)
    size = np.array([int(s).bit_count() for s in subsets])
    within = (subsets[:, None] >> np.arange(k)) & 1 == 1
    joined = np.array([0.0, *(1 / (k * math.comb(k - 1, s - 1)) for s in range(1, k + 1))])
    stayed = np.array([*(1 / (k * math.comb(k - 1, s)) for s in range(k)), 0.0])
    worth: Floats = np.where(within, joined[size][:, None], -stayed[size][:, None])
    return worth


def share_of(parts: Floats, whole: Floats, level: float) -> Floats:
    """Ratio of means over the sets, with Student's t interval by linearisation.

    Parameters
    ----------
    parts : ndarray, shape (sets, m)
    whole : ndarray, shape (sets,)
    level : float

    Returns
    -------
    ndarray, shape (m, 3)
        Estimate, lower and upper bound.
    """
    sets = len(whole)
    share = parts.mean(axis=0) / whole.mean()
    error = (parts - share * whole[:, None]).std(axis=0, ddof=1) / (whole.mean() * math.sqrt(sets))
    reach = float(stats.t.ppf((1 + level) / 2, sets - 1)) * error
    return np.stack([share, share - reach, share + reach], axis=-1)
