"""Does an item treat groups of equal standing differently? Nested proportional-odds regressions, purified."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.measurement.item_inputs import Array, Groups, Integers, Rules, check_answers, some_of
from sqmodel.numerics.irt import graded
from sqmodel.numerics.ordinal_regression import OrdinalRegression, nagelkerke, proportional_odds

CLASSES = ((0.035, "negligible"), (0.070, "moderate"), (np.inf, "large"))
"""Upper ends of the change of Nagelkerke's R2 by group (Jodoin & Gierl 2001)."""
MOST_ROUNDS = 10
FEWEST_ANCHORS = 3
"""Unflagged items that purification leaves: fewer determine no trait on which groups could be held equal."""


class BiasTest(NamedTuple):
    """Item bias of one item: regressions on the match, with groups, and with their slopes; the row it becomes."""

    row: dict[str, Any]
    uniform: OrdinalRegression
    full: OrdinalRegression
    standing: Array


class ScaleBias(NamedTuple):
    """Item bias of one scale."""

    tests: dict[str, BiasTest]
    table: pd.DataFrame
    rounds: int
    settled: bool


def assess_bias(frame: pd.DataFrame, groups: Groups, rules: Rules, scale: str, notes: list[str]) -> ScaleBias:
    """Item bias of one scale, purified where asked for."""
    inside = groups.codes >= 0
    block, codes, names = frame.to_numpy(float)[inside], groups.codes[inside], [str(c) for c in frame.columns]
    for j, name in enumerate(names):
        check_answers(block[~np.isnan(block[:, j]), j], name, " among the compared groups")
    freed: frozenset[int] = frozenset()
    seen, why = [freed], ""
    while True:
        tests = _round(block, codes, freed, rules, names)
        table = _judged(tests, rules)
        found = _to_free(table, freed)
        if not rules.purify or found == freed:
            break
        if len(names) - len(found) < FEWEST_ANCHORS:
            why = f"it would leave fewer than {FEWEST_ANCHORS} items"
        elif found in seen or len(seen) == MOST_ROUNDS:
            why = "the flags do not settle"
        if why:
            notes.append(f"{scale}: purification stopped after round {len(seen)} because {why}; doubt borderline items")
            break
        freed = found
        seen.append(freed)
    separated = [c for c, t in tests.items() if t.full.separated]
    if separated:
        notes.append(f"{scale}: some group answers {some_of(separated)} without variation, doubt their sizes of effect")
    return ScaleBias(tests, table, len(seen), not why)


def _to_free(table: pd.DataFrame, freed: frozenset[int]) -> frozenset[int]:
    """Items to leave out of the standing next: those out already that are still flagged, and the worst new ones.

    A biased item biases the standing and so makes others look biased the other way, with smaller chi squares. Flagged
    items with less than half the largest new chi square therefore wait for another round.
    """
    flagged, chisq = table["flagged"].to_numpy(bool), table[["chisq_total", "chisq_spread"]].max(axis=1).to_numpy(float)
    fresh = flagged & ~np.isin(np.arange(len(table)), list(freed))
    worst = fresh & (chisq >= chisq[fresh].max(initial=0.0) / 2)
    return frozenset(np.flatnonzero(worst).tolist()) | {j for j in freed if flagged[j]}


def _round(block: Array, codes: Integers, freed: frozenset[int], rules: Rules, names: list[str]) -> dict[str, BiasTest]:
    anchors = [j for j in range(len(names)) if j not in freed]
    standing = _theta(block[:, anchors]) if rules.matching == "theta" else None
    tests = {}
    for j, name in enumerate(names):
        used = sorted({*anchors, j}) if rules.matching != "rest" else [i for i in anchors if i != j]
        if standing is None:
            match = _mean_answer(block[:, used])
        else:
            match = _theta(block[:, used]) if j in freed else standing
        tests[name] = _test(block[:, j], match, codes, name, rules.spread)
    return tests


def _theta(block: Array) -> Array:
    """Trait estimates over all groups; NaN without any answer."""
    return graded.expected_scores(block, graded.graded_response(block, errors=False)).theta


def _mean_answer(block: Array) -> Array:
    """Mean of the answered items, where at least half of them are answered."""
    given = ~np.isnan(block)
    count = given.sum(axis=1)
    total = np.where(given, block, 0.0).sum(axis=1)
    return np.where(count >= block.shape[1] / 2, total / np.maximum(count, 1), np.nan)


def _test(answer: Array, match: Array, codes: Integers, name: str, spread: bool) -> BiasTest:
    """Likelihood ratio tests of one item; the regressions are nested."""
    used = ~np.isnan(answer) & ~np.isnan(match)
    y, standing, group = answer[used], match[used], codes[used]
    sizes = np.bincount(group, minlength=codes.max() + 1)
    if (sizes == 0).any() or len(np.unique(y)) < 2 or np.ptp(standing) == 0:
        raise ComputationError(
            f"expected different answers to {name} in every group from respondents of different standing, found none; "
            "leave this item out"
        )
    standing = (standing - standing.mean()) / standing.std()
    dummies = (group[:, None] == np.arange(1, len(sizes))).astype(float)
    base = proportional_odds(y, standing[:, None])
    uniform = proportional_odds(y, np.column_stack([standing, dummies]))
    full = proportional_odds(y, with_products(standing, dummies))
    row: dict[str, Any] = {"n": int(used.sum())}
    df = len(sizes) - 1
    for kind, less, more, degrees in (
        ("uniform", base, uniform, df), ("nonuniform", uniform, full, df), ("total", base, full, 2 * df)
    ):  # fmt: skip
        row[f"chisq_{kind}"] = max(2 * (more.loglik - less.loglik), 0.0)
        row[f"df_{kind}"] = degrees
        row[f"pvalue_{kind}"] = float(stats.chi2.sf(row[f"chisq_{kind}"], degrees))
        row[f"r2_{kind}"] = more.nagelkerke - less.nagelkerke
    return BiasTest(row | _spread(y, standing, group, full, spread), uniform, full, standing)


def _spread(y: Array, standing: Array, group: Integers, full: OrdinalRegression, asked: bool) -> dict[str, Any]:
    """What the thresholds of each group's own regression add to one set of thresholds, shifted and stretched."""
    loglik, parameters = 0.0, 0
    for g in range(group.max() + 1) if asked else ():
        inside = group == g
        if np.ptp(y[inside]) > 0 and np.ptp(standing[inside]) > 0:
            alone = proportional_odds(y[inside], standing[inside, None])
            loglik, parameters = loglik + alone.loglik, parameters + len(alone.answers)
    df = parameters - len(full.covariance)
    if df <= 0:
        return {"chisq_spread": np.nan, "df_spread": 0, "pvalue_spread": np.nan, "r2_spread": np.nan}
    chisq = max(2 * (loglik - full.loglik), 0.0)
    gain = nagelkerke(loglik, full.null_loglik, full.n) - full.nagelkerke
    return {"chisq_spread": chisq, "df_spread": df, "pvalue_spread": float(stats.chi2.sf(chisq, df)), "r2_spread": gain}


def with_products(standing: Array, dummies: Array) -> Array:
    """Standing, groups, and the products of both: groups with slopes of their own."""
    return np.column_stack([standing, dummies, standing[:, None] * dummies])


def _judged(tests: dict[str, BiasTest], rules: Rules) -> pd.DataFrame:
    """Table of the tests with adjusted p values, classes and flags."""
    table = pd.DataFrame.from_dict({name: test.row for name, test in tests.items()}, orient="index")
    total, spread = table["pvalue_total"], table["pvalue_spread"]
    # Two tests of one item: Bonferroni's bound keeps its false alarms at the level.
    table["pvalue"] = np.where(spread.isna(), total, np.minimum(2 * np.fmin(total, spread), 1.0))
    table["pvalue_adjusted"] = adjusted(table["pvalue"].to_numpy(float), rules.adjust)
    wider = spread < total
    r2 = table["r2_total"] + table["r2_spread"].where(wider, 0.0)
    table["effect"] = [next(name for end, name in CLASSES if value < end) for value in r2]
    flagged = table["pvalue_adjusted"] < 1 - rules.level
    if rules.criterion == "nagelkerke":
        flagged &= table["effect"] != "negligible"
    table["flagged"] = flagged
    bent = table["pvalue_nonuniform"] < 1 - rules.level
    kinds = np.select([~flagged, wider, bent], ["", "spread", "non-uniform"], "uniform")
    table["kind"] = kinds.astype(object)
    return table


def adjusted(pvalues: Array, method: str) -> Array:
    """p values adjusted for their number.

    Parameters
    ----------
    pvalues : array, m
    method : str
        ``holm`` (Holm 1979: no false alarm at all), ``bh`` (Benjamini & Hochberg 1995: few among the alarms) or
        ``none``; as R's ``p.adjust``.

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.04, 0.03]), "holm").round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    m, order = len(pvalues), np.argsort(pvalues)
    result = np.empty(m)
    if method == "holm":
        result[order] = np.maximum.accumulate((m - np.arange(m)) * pvalues[order])
    elif method == "bh":
        result[order] = np.minimum.accumulate((m / np.arange(1, m + 1) * pvalues[order])[::-1])[::-1]
    else:
        result = pvalues.copy()
    return np.minimum(result, 1.0)
