"""Which ranks can a unit have? Confidence sets from the errors of the differences, marginal and simultaneous."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


def rank_sets(values: Floats, errors: Floats, *, level: float = 0.95, simultaneous: bool = False) -> tuple[Ints, Ints]:
    """Best and worst rank that each unit can have; 1 is the largest value.

    Parameters
    ----------
    values : ndarray, shape (units,)
        Estimates.
    errors : ndarray, shape (draws, units)
        Draws of their errors about zero: bootstrap replicates less the estimates, or normal draws with their
        covariance. What units have in common stays in, and cancels in the differences. No missing values.
    level : float
        Chance that a set holds the true rank: of each unit by itself, or, `simultaneous`, of all units at once.
    simultaneous : bool

    Returns
    -------
    best, worst : ndarray of int, shape (units,)

    Raises
    ------
    ComputationError
        Errors that are missing or infinite.

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
    if not np.isfinite(errors).all():
        raise ComputationError(f"ranks: expected finite errors, found {int((~np.isfinite(errors)).sum())} others")
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
    both = v[:, None] + v[None, :]
    # What rounding leaves of errors that two units have in common is no spread.
    return np.where(both - 2 * c > 1e-12 * both, both - 2 * c, 0.0)


def _sure_of_each(told: Floats, errors: Floats, spread: Floats, level: float) -> Bools:
    """For every unit by itself, step-down over its differences from all others."""
    sure = np.isinf(told)
    drawn = np.ascontiguousarray(errors.T)
    room = np.empty_like(drawn)
    for j in range(len(told)):
        others = spread[j] > 0
        others[j] = False
        while (others & ~sure[j]).any():
            largest = _largest_of(drawn, j, slice(0, len(told)), told[j], sure[j], spread[j], others, room)
            more = others & ~sure[j] & (np.abs(told[j]) > np.quantile(largest, level))
            if not more.any():
                break
            sure[j] |= more
    return sure


def _sure_of_all(told: Floats, errors: Floats, spread: Floats, level: float) -> Bools:
    """Step-down over all pairs, which are too many to be held at once."""
    n = len(told)
    sure = np.isinf(told)
    drawn = np.ascontiguousarray(errors.T)
    room = np.empty_like(drawn)
    pairs = spread > 0
    np.fill_diagonal(pairs, False)
    while (pairs & ~sure).any():
        largest = np.full(drawn.shape[1], -np.inf)
        for i in range(n - 1):
            own = slice(i + 1, n)
            if pairs[i, own].any():
                found = _largest_of(drawn, i, own, told[i], sure[i], spread[i], pairs[i], room)
                np.maximum(largest, found, out=largest)
        more = pairs & ~sure & (np.abs(told) > np.quantile(largest, level))
        if not more.any():
            break
        sure |= more | more.T
    return sure


def _largest_of(
    drawn: Floats, i: int, own: slice, told: Floats, sure: Bools, spread: Floats, used: Bools, room: Floats
) -> Floats:
    """Largest studentised error of each draw over the differences of unit i from those of a slice.

    Of what is still to be rejected: of both directions, or of the one that a sure difference leaves. `drawn` is units x
    draws, so that a row of differences lies side by side; `room` is written over.
    """
    kept = used[own]
    scale = np.where(kept, 1 / np.where(kept, spread[own], 1.0), 0.0)
    scale = np.where(sure[own], -np.sign(told[own]) * scale, scale)
    found = room[: len(kept)]
    np.subtract(drawn[i], drawn[own], out=found)
    found *= scale[:, None]
    if not kept.all():
        found[~kept] = 0.0
    open_ = ~sure[own]
    if open_.all():
        return np.asarray(np.abs(found, out=found).max(axis=0))
    return np.asarray(np.maximum(found.max(axis=0), -found[open_].min(axis=0, initial=np.inf)))


def tie_bands(best: Ints, worst: Ints, values: Floats) -> Ints:
    """Bands of units whose rank sets overlap in a chain, 1 is the best: a new one begins below every rank of the last.

    All units of a band lie surely above those of later bands; the first and the last of a band may be told apart.

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
