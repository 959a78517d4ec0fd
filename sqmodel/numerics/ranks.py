"""Which ranks can a unit have? Confidence sets from the errors of the differences, marginal and simultaneous."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
_BLOCK = 4_000_000
"""Differences looked at at a time: 32 MB."""


def rank_sets(values: Floats, errors: Floats, *, level: float = 0.95, simultaneous: bool = False) -> tuple[Ints, Ints]:
    """Best and worst rank that each unit can have; 1 is the largest value.

    Parameters
    ----------
    values : ndarray, shape (units,)
        Estimates.
    errors : ndarray, shape (draws, units)
        Draws of their errors about zero: bootstrap replicates less the estimates, or normal draws with their
        covariance. What units have in common stays in, and cancels in the differences.
    level : float
        Chance that a set holds the true rank: of each unit by itself, or, `simultaneous`, of all units at once.
    simultaneous : bool

    Returns
    -------
    best, worst : ndarray of int, shape (units,)

    Notes
    -----
    Differences are studentised by the standard deviation of their draws; the critical value is the quantile of the
    largest of them, over the differences of one unit or over all, and is found anew without what is sure until nothing
    more is (step-down). That a difference is above zero and that it is below are two hypotheses: once one is rejected,
    the other stays in. As ``csranks`` in R, whose critical values come from normal draws.

    References
    ----------
    Mogstad, M., Romano, J. P., Shaikh, A. M. & Wilhelm, D. (2024). Inference for ranks with applications to mobility
    across neighbourhoods and academic achievement across countries. Review of Economic Studies 91, 476-518.
    """
    spread = np.sqrt(_variances(errors))
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.where(
            spread > 0,
            (values[:, None] - values[None, :]) / spread,
            np.inf * np.sign(np.subtract.outer(values, values)),
        )
    np.fill_diagonal(told, 0.0)
    told = np.nan_to_num(told, nan=0.0, posinf=np.inf, neginf=-np.inf)
    sure = _sure_of_all(told, errors, spread, level) if simultaneous else _sure_of_each(told, errors, spread, level)
    best: Ints = 1 + (sure & (told < 0)).sum(axis=1)
    worst: Ints = len(values) - (sure & (told > 0)).sum(axis=1)
    return best, worst


def _variances(errors: Floats) -> Floats:
    """Variances of all differences of units, from their covariances."""
    c = np.cov(errors, rowvar=False).reshape(errors.shape[1], -1)
    v = np.diag(c)
    found: Floats = np.maximum(v[:, None] + v[None, :] - 2 * c, 0.0)
    return found


def _sure_of_each(told: Floats, errors: Floats, spread: Floats, level: float) -> Bools:
    sure = np.isinf(told)
    for j in range(len(told)):
        others = np.flatnonzero((np.arange(len(told)) != j) & (spread[j] > 0))
        if len(others):
            drawn = (errors[:, [j]] - errors[:, others]) / spread[j, others]
            sure[j, others] = _step_down(told[j, others], drawn, level)
    return sure


def _step_down(told: Floats, drawn: Floats, level: float) -> Bools:
    """Which differences are sure; drawn: (draws, differences)."""
    sure = np.zeros(len(told), dtype=bool)
    while not sure.all():
        critical = np.quantile(_open(drawn, told, sure).max(axis=1), level)
        more = ~sure & (np.abs(told) > critical)
        if not more.any():
            break
        sure |= more
    return sure


def _open(drawn: Floats, told: Floats, sure: Bools) -> Floats:
    """Errors of what is still to be rejected: of both directions, or of the one that a sure difference leaves."""
    return np.where(sure, -np.sign(told) * drawn, np.abs(drawn))


def _sure_of_all(told: Floats, errors: Floats, spread: Floats, level: float) -> Bools:
    """As `_step_down` over all pairs, which are too many to be held at once."""
    sure = np.isinf(told)
    pairs = np.triu(np.ones(told.shape, dtype=bool), 1) & (spread > 0)
    while (pairs & ~sure).any():
        critical = np.quantile(_largest(errors, spread, told, sure, pairs), level)
        more = pairs & ~sure & (np.abs(told) > critical)
        if not more.any():
            break
        sure |= more | more.T
    return sure


def _largest(errors: Floats, spread: Floats, told: Floats, sure: Bools, pairs: Bools) -> Floats:
    """Largest studentised error of each draw, over all pairs."""
    found = np.zeros(len(errors))
    for i, others in _rows(pairs):
        for block in _blocks(len(errors), len(others)):
            drawn = (errors[block, i, None] - errors[block][:, others]) / spread[i, others]
            most = _open(drawn, told[i, others], sure[i, others]).max(axis=1)
            found[block] = np.maximum(found[block], most)
    return found


def _rows(pairs: Bools) -> Iterator[tuple[int, Ints]]:
    for i in np.flatnonzero(pairs.any(axis=1)):
        yield int(i), np.flatnonzero(pairs[i])


def _blocks(draws: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, draws, step):
        yield slice(start, min(start + step, draws))


def tie_bands(best: Ints, worst: Ints, values: Floats) -> Ints:
    """Bands of units that cannot be told apart, 1 is the best: a new one begins below every rank of the one before.

    Parameters
    ----------
    best, worst : ndarray of int, shape (units,)
        Simultaneous rank sets.
    values : ndarray, shape (units,)

    Returns
    -------
    ndarray of int, shape (units,)
    """
    order = np.argsort(-values, kind="stable")
    bands = np.empty(len(values), dtype=np.intp)
    band, reach = 0, 0
    for unit in order:
        if best[unit] > reach:
            band += 1
        reach = max(reach, int(worst[unit]))
        bands[unit] = band
    return bands
