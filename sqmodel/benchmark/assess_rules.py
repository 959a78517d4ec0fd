"""Floors and deductions: what the profile's rules make of a composite, and of its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.benchmark.assess_composite import Composites, Parts
from sqmodel.benchmark.profile import Limit, Profile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ruled:
    """Composites after the rules.

    Attributes
    ----------
    score, se, low, high : array, institutions
    cap, deducted : array, institutions
        NaN where no cap applies; points taken off.
    errors : array, draws x institutions
        Draws of the composite before the rules, less its estimate.
    drawn : mapping of indicator to array, draws x institutions
        Draws of the indicators that rules look at.
    """

    score: Floats
    se: Floats
    low: Floats
    high: Floats
    cap: Floats
    deducted: Floats
    errors: Floats
    drawn: Mapping[str, Floats]


def ruled_composites(
    parts: Parts, composites: Composites, profile: Profile, *, draws: int, rng: np.random.Generator | int
) -> Ruled:
    """Composites with the profile's floors and deductions, and what is not known about either.

    Parameters
    ----------
    parts, composites
        Of the index.
    profile : Profile
    draws : int
    rng : Generator or int

    Notes
    -----
    Points are deducted first; a cap is the most that is left. Whether an indicator is beyond a limit is itself
    uncertain: answers and indicators are drawn together from normal distributions with their standard errors, and the
    rules are applied to each draw. Where a rule holds for some draws or for all, the interval is that of the draws'
    percentiles, widened to the score, and the standard error the root mean square of the draws about the score, yet no
    smaller than before the rules; elsewhere both are normal.
    """
    errors, drawn = draw_parts(parts, composites.slope, profile, draws=draws, rng=rng)
    own = {c: parts.values[None, :, parts.tree.indicators.index(c)] for c in drawn}
    cap, deducted = rule_effects(own, profile, (1, len(composites.score)))
    score = ruled(composites.score[None], cap, deducted)[0]
    caps, points = rule_effects(drawn, profile, errors.shape)
    found = ruled(composites.score + errors, caps, points)
    touched = np.isfinite(caps).any(axis=0) | (points > 0).any(axis=0)
    z = float(stats.norm.ppf((1 + profile.publication.level) / 2))
    se, low, high = composites.se.copy(), score - z * composites.se, score + z * composites.se
    at = np.flatnonzero(touched & np.isfinite(score))
    if len(at):
        tail = (1 - profile.publication.level) / 2
        bounds = np.quantile(found[:, at], [tail, 1 - tail], axis=0)
        low[at], high[at] = np.minimum(bounds[0], score[at]), np.maximum(bounds[1], score[at])
        se[at] = np.maximum(se[at], np.sqrt(((found[:, at] - score[at]) ** 2).mean(axis=0)))
    return Ruled(score, se, np.maximum(low, 0.0), np.minimum(high, 100.0), cap[0], deducted[0], errors, drawn)


def draw_parts(
    parts: Parts, slope: Floats, profile: Profile, *, draws: int, rng: np.random.Generator | int
) -> tuple[Floats, dict[str, Floats]]:
    """Draw what sampling does to composites, and with it the indicators that rules look at.

    Returns
    -------
    errors : array, draws x institutions
        Of the composite before the rules.
    drawn : dict of indicator to array, draws x institutions
        NaN where nothing was submitted.
    """
    generator = np.random.default_rng(rng)
    looked = {r.indicator for r in (*profile.floors, *profile.deductions)}
    rows = len(parts.values)
    errors, drawn = np.zeros((draws, rows)), {}
    roots = _roots(parts.cov)
    z = generator.standard_normal((len(parts.perceived), draws, rows))
    for j, k in enumerate(parts.perceived):
        moved = sum(roots[:, j, m] * z[m] for m in range(len(z)))
        errors += slope[:, k] * moved
        if parts.tree.indicators[k] in looked:
            drawn[parts.tree.indicators[k]] = parts.values[:, k] + moved
    for k, code in enumerate(parts.tree.indicators):
        if k not in parts.perceived:
            moved = np.nan_to_num(parts.se[:, k]) * generator.standard_normal((draws, rows))
            errors += slope[:, k] * moved
            if code in looked:
                drawn[code] = parts.values[:, k] + moved
    return errors, drawn


def _roots(cov: Floats) -> Floats:
    """Square roots of covariance matrices, also of singular ones."""
    values, vectors = np.linalg.eigh(cov)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def rule_effects(values: Mapping[str, Floats], profile: Profile, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """The lowest cap (NaN where none) and the points deducted, where indicators have such values.

    Parameters
    ----------
    values : mapping of indicator to array
        In the tree's units; a missing one breaks no rule.
    profile : Profile
    shape : tuple of int
    """
    cap, points = np.full(shape, np.nan), np.zeros(shape)
    for floor in profile.floors:
        cap = np.fmin(cap, np.where(_beyond(values[floor.indicator], floor), floor.cap, np.nan))
    for deduction in profile.deductions:
        points += np.where(_beyond(values[deduction.indicator], deduction), deduction.points, 0.0)
    return cap, points


def _beyond(values: Floats, limit: Limit) -> npt.NDArray[np.bool_]:
    low = -np.inf if limit.below is None else limit.below
    high = np.inf if limit.above is None else limit.above
    with np.errstate(invalid="ignore"):
        return np.asarray((values < low) | (values > high))


def ruled(score: Floats, cap: Floats, deducted: Floats) -> Floats:
    """Scores after deductions and caps, not below 0 where points were taken off."""
    left = np.where(deducted > 0, np.maximum(score - deducted, np.minimum(score, 0.0)), score)
    return np.where(np.isnan(score), np.nan, np.fmin(left, cap))
