"""Operational indicators: each institution's own, the others', and the funnel around the mean of all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.benchmark.assess_composite import indicator_error
from sqmodel.benchmark.assess_field import Bools, Field, Floats, best_practice
from sqmodel.benchmark.comparison import INDICATORS
from sqmodel.benchmark.content import Indicator
from sqmodel.benchmark.disclosure_totals import FEW
from sqmodel.benchmark.funnel import Kind, assess_funnel
from sqmodel.benchmark.ranking import Shrunken, shrink_means, shrink_rates, shrink_shares
from sqmodel.numerics.proportions import jeffreys_interval
from sqmodel.numerics.random_effects import pool_effects

EXACT = 0.02
"""Relative difference below which an effective number of cases is the number of cases."""


@dataclass(frozen=True)
class _Figures:
    """An indicator of the institutions that submitted it.

    `size` and `events` are effective ones: those of independent cases with the same standard error. Of a mean `size`
    is its standard error.
    """

    kind: Kind
    value: Floats
    se: Floats
    size: Floats
    events: Floats


def assess_indicators(field: Field, rng: np.random.Generator) -> pd.DataFrame:
    """What did every institution do, against all, against its peers, and against the best?

    Returns
    -------
    DataFrame
        As `Benchmark.indicators`, in the units of the association's tree (submitted values times the profile's
        `scale`) where an indicator is part of it.

    Notes
    -----
    Means of all and of peers are random-effects means, so that no large institution decides them; each weighs by its
    number of cases, not by its own value. Best practice is the better decile of shrunken values; NaN of indicators
    that are no part of the tree, since nobody says which way is better. Funnel limits are at 95 %, for the
    institution's own number of cases, with over-dispersion (`assess_funnel`).
    """
    codes = list(dict.fromkeys([*field.profile.operations, *sorted({i.code for s in field.submissions
                                                                    for i in s.indicators})]))  # fmt: skip
    tables = [t for code in codes if (t := _indicator(field, code, rng)) is not None]
    if not tables:
        text = ("institution", "indicator", "kind", "funnel")
        return pd.DataFrame({c: pd.Series(dtype=object if c in text else float) for c in INDICATORS})
    found = pd.concat(tables, ignore_index=True)
    return found.iloc[np.argsort(found["row"].to_numpy(), kind="stable")][INDICATORS].reset_index(drop=True)


def _indicator(field: Field, code: str, rng: np.random.Generator) -> pd.DataFrame | None:
    rows, own = _submitted(field, code)
    if not own:
        return None
    figures = _figures(own)
    target = field.profile.operations.get(code, "")
    scale = field.profile.scale.get(target, 1.0)
    low, high = _interval(figures, field.level)
    table = pd.DataFrame({"row": rows, "institution": field.codes[rows], "indicator": code, "kind": figures.kind,
                          "n": [i.n for i in own], "value": figures.value * scale, "low": low * scale,
                          "high": high * scale})  # fmt: skip
    for name in ("overall", "peers", "best_practice", "lower_limit", "upper_limit"):
        table[name] = np.nan
    table["funnel"] = ""
    mean = _mean(figures, np.ones(len(rows), dtype=bool), field.least)
    if np.isnan(mean):
        field.withhold("indicators", code, FEW)
        return table
    _compare(field, table, figures, mean, target, rng)
    for name in ("overall", "peers", "best_practice", "lower_limit", "upper_limit"):
        table[name] *= scale
    return table


def _compare(
    field: Field, table: pd.DataFrame, figures: _Figures, mean: float, target: str, rng: np.random.Generator
) -> None:
    """Write what an indicator is compared with, in the units of the submissions."""
    rows, code = table["row"].to_numpy(), table["indicator"].iloc[0]
    table["overall"] = mean
    used = np.zeros(len(field.codes), dtype=bool)
    used[rows] = True
    for group in field.told_groups(used):
        inside = field.peers[rows] == group
        table.loc[inside, "peers"] = _mean(figures, inside, field.least)
    if target:
        shrunken = _shrunken(figures, field.level, rng)
        field.notes.extend(f"{code}: {note}; small institutions are drawn to the others on the logit instead"
                           for note in shrunken.notes)  # fmt: skip
        table["best_practice"] = best_practice(shrunken.value, field.tree.node(target).direction)
    if figures.kind == "mean" or 0 < mean < (1 if figures.kind == "share" else np.inf):
        funnel = assess_funnel(figures.kind, figures.value, figures.size, mean)
        table["lower_limit"], table["upper_limit"] = funnel.low, funnel.high
        table["funnel"] = funnel.place


def _submitted(field: Field, code: str) -> tuple[list[int], list[Indicator]]:
    """Rows and figures of those who submitted an indicator with an error, of the kind that most have."""
    found = [(row, i) for row, s in enumerate(field.submissions) for i in s.indicators
             if i.code == code and np.isfinite(i.estimate) and indicator_error(i) > 0 and i.n > 0]  # fmt: skip
    if not found:
        return [], []
    kind, count = Counter(i.kind for _, i in found).most_common(1)[0]
    if count < len(found):
        field.notes.append(f"{code}: {len(found) - count} institutions submit another kind than {kind} and are left "
                           "out")  # fmt: skip
    kept = [(row, i) for row, i in found if i.kind == kind]
    return [row for row, _ in kept], [i for _, i in kept]


def _figures(own: list[Indicator]) -> _Figures:
    kind = own[0].kind
    value, n, events = (np.array([getattr(i, k) for i in own], dtype=float) for k in ("estimate", "n", "events"))
    se = np.array([indicator_error(i) for i in own])
    told = np.array([i.se for i in own], dtype=float)
    if kind == "mean":
        return _Figures(kind, value, se, se, np.full(len(own), np.nan))
    spread = value * (1 - value) if kind == "share" else value
    usual = (spread > 0) & (told > 0)
    size = np.where(usual, spread / np.where(usual, told, 1.0) ** 2, n)
    exact = np.isfinite(events) & ((np.abs(size / n - 1) < EXACT) | ~usual)
    return _Figures(kind, value, se, np.where(exact, n, size), np.where(exact, events, value * size))


def _interval(figures: _Figures, level: float) -> tuple[Floats, Floats]:
    """Jeffreys' of a share, the exact one of a Poisson count, normal of a mean."""
    if figures.kind == "share":
        return jeffreys_interval(figures.events, figures.size, level)
    tail = (1 - level) / 2
    if figures.kind == "rate":
        low = np.where(figures.events > 0, stats.chi2.ppf(tail, 2 * np.maximum(figures.events, 1e-9)) / 2, 0.0)
        return low / figures.size, stats.chi2.ppf(1 - tail, 2 * figures.events + 2) / 2 / figures.size
    reach = stats.norm.ppf(1 - tail) * figures.se
    return figures.value - reach, figures.value + reach


def _mean(figures: _Figures, used: Bools, least: int) -> float:
    """Random-effects mean; errors of shares and rates are those at the common value, free of an institution's own."""
    if used.sum() < max(least, 2):
        return np.nan
    value, size = figures.value[used], figures.size[used]
    if figures.kind == "mean":
        return pool_effects(value, figures.se[used]).mean
    common = figures.events[used].sum() / size.sum()
    spread = common * (1 - common) if figures.kind == "share" else common
    if not spread > 0:
        return float(common)
    return pool_effects(value, np.sqrt(spread / size)).mean


def _shrunken(figures: _Figures, level: float, rng: np.random.Generator) -> Shrunken:
    if figures.kind == "share":
        return shrink_shares(figures.size, figures.events, level=level, rng=rng)
    if figures.kind == "rate":
        return shrink_rates(figures.size, figures.events, level=level)
    return shrink_means(figures.value, figures.se, level=level)
