"""Scores by dose, and what is fast on paper but felt slow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.index.driver_features import BREACH
from sqmodel.index.driver_model import Array, newcombe, wilson
from sqmodel.index.suppression import suppressed

MOST_VALUES = 4
PAPER = ["rule", "outcome", "group", "value", "kept", "felt_slow", "felt_slow_low", "felt_slow_high", "breached",
         "felt_fast", "felt_fast_low", "felt_fast_high", "difference", "difference_low", "difference_high",
         "reason"]  # fmt: skip


def doses(features: pd.DataFrame, scores: pd.DataFrame, weight: Array, minimum_n: int, level: float) -> pd.DataFrame:
    """Mean score by fourths of a feature's cases, or by value where it has few; bounds of a weighted mean by t."""
    rows = []
    for name in features:
        values = features[name].to_numpy(float)
        for low, high, inside in _bins(values):
            for outcome in scores:
                y = scores[outcome].to_numpy(float)
                used = inside & np.isfinite(y)
                figures = _mean(y[used], weight[used], level) if used.sum() >= minimum_n else (np.nan,) * 3
                rows.append((name, outcome, low, high, int(used.sum()), *figures))
    return pd.DataFrame(rows, columns=["feature", "outcome", "from", "to", "n", "mean", "low", "high"])


def _bins(values: Array) -> Iterator[tuple[float, float, npt.NDArray[np.bool_]]]:
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) <= MOST_VALUES:
        for v in distinct:
            yield float(v), float(v), values == v
        return
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    if len(edges) < 2:
        return
    place = np.searchsorted(edges[1:-1], values, side="left")
    for k in range(len(edges) - 1):
        yield float(edges[k]), float(edges[k + 1]), np.isfinite(values) & (place == k)


def _mean(y: Array, weight: Array, level: float) -> tuple[float, float, float]:
    share = weight / weight.sum()
    mean = float(share @ y)
    n = len(y)
    error = float(np.sqrt((share**2 * (y - mean) ** 2).sum() * n / (n - 1)))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return mean, mean - half, mean + half


def on_paper(
    given: pd.DataFrame,
    scores: pd.DataFrame,
    labels: pd.DataFrame,
    weight: Array,
    middle: float,
    minimum_n: int,
    level: float,
) -> pd.DataFrame:
    """Shares that felt slow though the rule was kept, and fast though it was not, for everybody and by group."""
    rules = {str(c).removeprefix(BREACH): given[c].to_numpy(float) for c in given if str(c).startswith(BREACH)}
    if len(rules) > 1:
        every = np.array(list(rules.values()))
        # Kept all only where each is known to be kept; one breach is enough.
        worst = np.where(np.isnan(every), -1.0, every).max(axis=0)
        rules["any"] = np.where(worst > 0, 1.0, np.where(np.isnan(every).any(axis=0), np.nan, 0.0))
    rows: list[tuple[object, ...]] = []
    for rule, broken in rules.items():
        for outcome in scores:
            y = scores[outcome].to_numpy(float)
            known = np.isfinite(y) & np.isfinite(broken)
            sides = (known & (broken == 0), known & (broken > 0))
            # A score at the middle is not below it, however the mean of its items was rounded.
            low = y < middle - 1e-9
            rows.append((rule, outcome, "all", "all", *_shares(sides, low, weight, ("", ""), minimum_n, level)))
            for group in labels:
                rows += [(rule, outcome, group, value, *found) for value, found in
                         _by_group(labels[group], sides, low, weight, minimum_n, level)]  # fmt: skip
    return pd.DataFrame(rows, columns=PAPER)


Sides = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def _by_group(
    labels: pd.Series[str], sides: Sides, low: npt.NDArray[np.bool_], weight: Array, minimum_n: int, level: float
) -> Iterator[tuple[str, tuple[object, ...]]]:
    members = {str(v): (labels == v).to_numpy() for v in sorted(labels.dropna().unique())}
    hidden = [
        suppressed({v: int((m & side).sum()) for v, m in members.items()}, int((labels.isna() & side).sum()), minimum_n)
        for side in sides
    ]
    for value, member in members.items():
        reasons = (hidden[0].get(value, ""), hidden[1].get(value, ""))
        yield value, _shares((sides[0] & member, sides[1] & member), low, weight, reasons, minimum_n, level)


def _shares(
    sides: Sides,
    low: npt.NDArray[np.bool_],
    weight: Array,
    reasons: tuple[str, str],
    minimum_n: int,
    level: float,
) -> tuple[object, ...]:
    slow, counts, why = [], [], []
    for side, reason in zip(sides, reasons, strict=True):
        n = int(side.sum())
        reason = reason or ("too few" if n < minimum_n else "")
        w = weight[side]
        effective = float(w.sum() ** 2 / (w**2).sum()) if n else 0.0
        share = float(w @ low[side] / w.sum()) if n else np.nan
        slow.append((np.nan,) * 3 if reason else wilson(share * effective, effective, level))
        counts.append(n)
        why.append(reason)
    fast = tuple(1 - v for v in (slow[1][0], slow[1][2], slow[1][1]))
    told = "; ".join(f"{name}: {reason}" for name, reason in zip(("kept", "breached"), why, strict=True) if reason)
    return (counts[0], *slow[0], counts[1], *fast, *newcombe(slow[1], slow[0]), told)
