"""Agreement of judges who pass or fail the same things, from sums that resample easily; arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

COEFFICIENTS = ("agreement", "fleiss_kappa", "gwet_ac1", "krippendorff_alpha")


def agreement_columns(passed: npt.ArrayLike, judged: npt.ArrayLike) -> Array:
    """What each thing adds to the totals of `agreement_from_totals`; (n, 6).

    Parameters
    ----------
    passed, judged : (n,) array
        How many judges passed it, and how many judged it; things with one judge add nothing.
    """
    s, r = np.asarray(passed, float), np.asarray(judged, float)
    both = r >= 2
    s, r = np.where(both, s, 0), np.where(both, r, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed = np.where(both, (s * (s - 1) + (r - s) * (r - s - 1)) / (r * (r - 1)), 0)
        share = np.where(both, s / r, 0)
    return np.column_stack([both, agreed, share, r, s, r * (1 - agreed)]).astype(float)


def agreement_from_totals(totals: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Raw agreement, Fleiss' kappa, Gwet's AC1 and Krippendorff's alpha from (..., 6) totals; (..., 4).

    Notes
    -----
    Fleiss (1971) with Gwet's (2014) extension to unequal numbers of judges; AC1 of Gwet (2008); nominal alpha of
    Krippendorff (2011).
    """
    n, agreed, share, ratings, passes, disagreed = np.moveaxis(totals, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found, p = agreed / n, share / n
        by_chance = p * p + (1 - p) * (1 - p)
        expected = 2 * passes * (ratings - passes) / (ratings * (ratings - 1))
        alpha = 1 - disagreed / ratings / expected
        kappa = (found - by_chance) / (1 - by_chance)
        gwet = (found - 2 * p * (1 - p)) / (1 - 2 * p * (1 - p))
        return np.stack([found, kappa, gwet, alpha], axis=-1)


def pair_columns(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """What each thing judged by two named judges adds to the totals of `cohen_from_totals`; (n, 4)."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    return np.column_stack([np.ones(len(a)), a, b, a * b])


def cohen_from_totals(totals: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cohen's (1960) kappa of two judges from (..., 4) totals; (..., 1)."""
    n, a, b, both = np.moveaxis(totals, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = a / n, b / n
        found = 2 * both / n + 1 - p - q
        by_chance = p * q + (1 - p) * (1 - q)
        return np.stack([(found - by_chance) / (1 - by_chance)], axis=-1)
