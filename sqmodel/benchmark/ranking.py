"""Ranking: which ranks institutions can have, and rates of small institutions drawn to those of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from scipy.stats import norm, rankdata

from sqmodel.errors import ComputationError
from sqmodel.numerics.partial_pooling import draw_rates
from sqmodel.numerics.random_effects import pool_effects
from sqmodel.numerics.ranks import rank_sets, tie_bands

Floats = npt.NDArray[np.float64]
MANY = 300
"""Institutions beyond which at most FEWER draws are taken."""
FEWER = 1000
EXACT = 60
"""Institutions up to which rates are drawn from their exact posterior."""
STEPS = 40
"""Linearisations of many shares or rates at the most."""
RANKS = ["rank", "best", "worst", "best_all", "worst_all", "band", "best_peers", "worst_peers"]


def draws_for(institutions: int, draws: int) -> int:
    """How many draws are affordable: differences of all pairs grow with the square of the institutions."""
    return min(draws, FEWER) if institutions > MANY else draws


def assess_ranks(
    scores: npt.ArrayLike, errors: npt.ArrayLike, peers: npt.ArrayLike, *, level: float = 0.95, least: int = 2
) -> pd.DataFrame:
    """Which ranks can institutions have, by what their scores say?

    Parameters
    ----------
    scores : array_like, shape (institutions,)
    errors : array_like, shape (draws, institutions)
        Draws of the scores' errors.
    peers : array_like of str, shape (institutions,)
        Peer group of each; "" has none.
    level : float
    least : int
        Institutions of a peer group that is ranked in itself.

    Returns
    -------
    DataFrame, a row an institution
        Columns RANKS, 1 is the best: rank of the score; best and worst rank with the chance of `level` for this
        institution alone, for all at once (`_all`), and for all of its peer group at once (`_peers`); band of ties.

    Notes
    -----
    Sets are for the order of the true scores, not of shrunken ones: shrinking small institutions to the mean would
    make them sure of a middle rank. See `sqmodel.numerics.ranks.rank_sets`.
    """
    y, e = np.asarray(scores, float), np.asarray(errors, float)
    found = pd.DataFrame(np.nan, index=range(len(y)), columns=RANKS)
    if not len(y):
        return found
    best, worst = rank_sets(y, e, level=level)
    best_all, worst_all = rank_sets(y, e, level=level, simultaneous=True)
    found["rank"] = rankdata(-y, method="min")
    found["best"], found["worst"], found["best_all"], found["worst_all"] = best, worst, best_all, worst_all
    found["band"] = tie_bands(best_all, worst_all, y)
    groups = np.asarray(peers)
    for group in sorted({*groups} - {""}):
        own = np.flatnonzero(groups == group)
        if len(own) >= max(least, 2):
            found.loc[own, ["best_peers", "worst_peers"]] = np.column_stack(
                rank_sets(y[own], e[:, own], level=level, simultaneous=True)
            )
    return found.astype(float)


@dataclass(frozen=True)
class Shrunken:
    """Rates drawn to those of the others.

    Attributes
    ----------
    value, low, high : array, units
    rank_low, rank_median, rank_high : array, units
        Of the rates from the smallest; NaN where they were not drawn.
    notes : tuple of str
    """

    value: Floats
    low: Floats
    high: Floats
    rank_low: Floats
    rank_median: Floats
    rank_high: Floats
    notes: tuple[str, ...] = field(default=())


def shrink_shares(
    n: npt.ArrayLike, events: npt.ArrayLike, *, level: float = 0.95, draws: int = 1000,
    rng: np.random.Generator | int = 1,
) -> Shrunken:  # fmt: skip
    """What is best believed of each institution's share, given those of all?

    Parameters
    ----------
    n, events : array_like, shape (units,)
        Fractions, as of effective numbers of cases, are rounded for the exact posterior.
    level : float
    draws : int
    rng : Generator or int

    Notes
    -----
    Up to EXACT units the posterior of `draw_rates` (binomial, normal logits); beyond, or where that has no answer
    (which is then in `notes`), logits with half an event added to either side, by `pool_effects`.
    """
    trials, hits = np.asarray(n, float), np.asarray(events, float)
    notes: tuple[str, ...] = ()
    if 3 <= len(trials) <= EXACT:
        whole = np.maximum(np.rint(trials), 1)
        try:
            found = draw_rates(whole, np.minimum(np.rint(hits), whole), draws=draws, rng=rng).rates
        except ComputationError as error:
            notes = (str(error),)
        else:
            tails = [(1 - level) / 2, (1 + level) / 2]
            low, high = np.quantile(found, tails, axis=0)
            least, middle, most = np.quantile(rankdata(found, axis=1), [tails[0], 0.5, tails[1]], axis=0)
            return Shrunken(found.mean(axis=0), low, high, least, middle, most)
    return _linearised(trials, hits, "share", level, notes)


def shrink_rates(exposure: npt.ArrayLike, events: npt.ArrayLike, *, level: float = 0.95) -> Shrunken:
    """What is best believed of each institution's rate: events are Poisson, logarithms of the rates normal."""
    return _linearised(np.asarray(exposure, float), np.asarray(events, float), "rate", level, ())


def _linearised(
    n: Floats, events: Floats, kind: Literal["share", "rate"], level: float, notes: tuple[str, ...]
) -> Shrunken:
    """Logits or logarithms by `pool_effects`, linearised again and again at the shrunken values (PQL)."""
    more = events + 0.5
    at = np.log(more / (n - events + 0.5)) if kind == "share" else np.log(more / n)
    errors = np.zeros(len(n))
    for _ in range(STEPS if len(n) > 1 else 1):
        value = expit(at) if kind == "share" else np.exp(at)
        slope = value * (1 - value) if kind == "share" else value
        working, errors = at + (events / n - value) / slope, 1 / np.sqrt(n * slope)
        following = pool_effects(working, errors, level=level).shrunken if len(n) > 1 else at
        moved = float(np.abs(following - at).max())
        at = following
        if moved < 1e-8:
            break
    return _pooled(working, errors, expit if kind == "share" else np.exp, level, notes)


def shrink_means(values: npt.ArrayLike, errors: npt.ArrayLike, *, level: float = 0.95) -> Shrunken:
    """What is best believed of each institution's mean, by `pool_effects`."""
    return _pooled(np.asarray(values, float), np.asarray(errors, float), np.asarray, level, ())


def _pooled(
    values: Floats, errors: Floats, back: Callable[[Floats], Floats], level: float, notes: tuple[str, ...]
) -> Shrunken:
    nan = np.full(len(values), np.nan)
    if len(values) < 2:
        reach = norm.ppf((1 + level) / 2) * errors
        return Shrunken(back(values), back(values - reach), back(values + reach), nan, nan, nan, notes)
    found = pool_effects(values, errors, level=level)
    return Shrunken(back(found.shrunken), back(found.shrunken_low), back(found.shrunken_high), nan, nan, nan, notes)
