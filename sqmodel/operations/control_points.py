"""What a control chart holds: its points with the intervals of their limits, its signals, false alarms and notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.numerics.control import D2, D4, Stable, detect, moving_range
from sqmodel.result import Estimate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FEWEST = 8
"""Points that limits need before they may raise a signal."""
FEW_EVENTS = 5.0
"""Expected count of a point below which limits of counts are only rough."""


class Points(NamedTuple):
    """A chart's points: values, their denominators (NaN: none) and the standard deviation chance alone gives at 1."""

    method: str
    labels: list[str]
    values: Floats
    counts: Floats
    size: Floats
    share: bool
    reasons: list[str]
    bounds: tuple[float, float]


def scale(data: Points, own: Bools, per: float) -> tuple[float, Floats, Floats, Floats]:
    """Centre, deviation that chance gives each point, how it grows with the centre, and each point's precision."""
    given = np.isfinite(data.values)
    if data.method == "XmR":
        centre = float(data.values[own].mean()) if own.any() else math.nan
        return centre, np.where(given, 1.0, np.nan), np.zeros(len(given)), np.where(given, 1.0, np.nan)
    total = data.size[own].sum()
    rate = float(data.counts[own].sum() / total) if own.any() else math.nan
    inner = rate * (1 - rate) if data.share else rate
    spread = per * np.sqrt(inner / data.size)
    slope = (1 - 2 * rate if data.share else 1.0) / (2 * inner) if inner > 0 else 0.0
    return per * rate, spread, spread * slope / per, data.size


def point_table(
    data: Points, own: Bools, centre: float, spread: Floats, sigma: float, z: Floats, sides: dict[str, Any]
) -> pd.DataFrame:
    """A row a point; the intervals of its limits are still empty."""
    rules = [[rule for rule, side in sides.items() if side[i]] for i in range(len(z))]
    # Where a period has no value there is no denominator, and so there are no limits.
    width = 3 * sigma * spread
    low, high = data.bounds
    individual = data.method == "XmR"
    return pd.DataFrame(
        {
            "value": data.values, "count": data.counts, "size": data.size, "centre": centre,
            "lower": np.maximum(centre - width, low), "lower_low": np.nan, "lower_high": np.nan,
            "upper": np.minimum(centre + width, high), "upper_low": np.nan, "upper_high": np.nan, "z": z,
            "moving_range": moving_range(data.values if individual else z),
            "range_limit": D4 * D2 * (sigma if individual else 1.0) if math.isfinite(sigma) else np.nan,
            "baseline": own, "signals": [", ".join(r) for r in rules], "reason": data.reasons,
        },
        index=pd.Index(data.labels, name="label"),
    )  # fmt: skip


def limit_intervals(
    points: pd.DataFrame, data: Points, stable: Stable | None, sigma: float, spread: Floats, slope: Floats,
    share: Floats, level: float,
) -> None:  # fmt: skip
    """Intervals of both limits of each point, cut where the indicator cannot go."""
    if stable is None:
        return
    tails = [(1 - level) / 2, (1 + level) / 2]
    for name, sign in (("lower", -1.0), ("upper", 1.0)):
        # An error of the centre moves the limit by itself and through the deviation that goes with the centre.
        moved = share * (1 + sign * 3 * sigma * slope)
        kinds, which = np.unique(np.where(np.isfinite(moved), moved, 0.0), return_inverse=True)
        error = kinds[:, None] * stable.centre + sign * 3 * (stable.sigma - 1)
        bounds = np.quantile(error / stable.sigma, tails, axis=1)[:, which]
        limit = points["centre"].to_numpy() + sign * 3 * sigma * spread
        for suffix, bound in (("low", bounds[1]), ("high", bounds[0])):
            points[f"{name}_{suffix}"] = np.clip(limit - sigma * spread * bound, *data.bounds)


def centre_estimate(
    centre: float, stable: Stable | None, sigma: float, spread: Floats, size: Floats, own: Bools, level: float
) -> Estimate:
    """The centre line with its interval."""
    n = int(own.sum())
    if stable is None:
        return Estimate(centre, math.nan, math.nan, n=n, level=level, method="none: no variation or one point")
    first = int(np.flatnonzero(own)[0])
    se = float(sigma * spread[first] * math.sqrt(size[first] / size[own].sum()))
    low, high = np.quantile(stable.centre / stable.sigma, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(centre, centre - float(high) * se, centre - float(low) * se, se, n, level, "simulated pivot")


def sigma_estimate(stable: Stable | None, sigma: float, estimated: bool, n: int, level: float) -> Estimate:
    """The deviation with its interval."""
    if not estimated:
        return Estimate(1.0, 1.0, 1.0, 0.0, n, level, "known: Poisson or binomial")
    if stable is None:
        return Estimate(sigma, math.nan, math.nan, n=n, level=level, method="none: no variation or one point")
    low, high = np.quantile(stable.sigma, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(sigma, sigma / float(high), sigma / float(low), math.nan, n, level, "simulated pivot")


def episodes(sides: dict[str, Any], labels: list[str]) -> pd.DataFrame:
    """Signals of one rule at neighbouring points are one."""
    rows: list[dict[str, Any]] = []
    for rule, side in sides.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], side, [0]]).astype(int)))
        for begin, end in pairwise(edges.tolist()):
            if side[begin]:
                rows.append({"rule": rule, "side": "high" if side[begin] > 0 else "low", "first": labels[begin],
                             "last": labels[end - 1], "points": end - begin})  # fmt: skip
    rows.sort(key=lambda r: (labels.index(r["first"]), r["rule"]))
    return pd.DataFrame(rows, columns=["rule", "side", "first", "last", "points"])


def false_alarms_of(stable: Stable | None, rules: Sequence[str]) -> pd.DataFrame:
    """How often each rule, and any, signals in charts of a stable process."""
    rows: dict[str, dict[str, float]] = {}
    if stable is None:
        rows = {rule: {"per_point": math.nan, "per_chart": math.nan, "se": math.nan} for rule in (*rules, "any")}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
    found = {rule: side != 0 for rule, side in detect(stable.z, rules).items()}
    if found:
        found["any"] = np.any(list(found.values()), axis=0)
    else:
        found["any"] = np.zeros(stable.z.shape, dtype=bool)
    given = np.isfinite(stable.z[0])
    for rule, flags in found.items():
        chart = float(flags.any(axis=1).mean())
        se = math.sqrt(chart * (1 - chart) / len(flags))
        rows[rule] = {"per_point": float(flags[:, given].mean()), "per_chart": chart, "se": se}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def notes_of(data: Points, own: Bools, z: Floats, defined: bool, rate: float) -> pd.DataFrame:
    """What deserves doubt."""
    n, notes = int(own.sum()), []
    if n < FEWEST:
        notes.append(("few_points", f"limits rest on {n} points; with fewer than {FEWEST} nothing signals"))
    if not defined and n >= 2:
        notes.append(("no_variation", "neighbouring points of the baseline do not differ; there are no limits"))
    missing = int((~np.isfinite(data.values)).sum())
    if missing:
        notes.append(("missing_points", f"{missing} of {len(data.values)} points have no value; they break runs"))
    expected = rate * data.size
    few = int((np.minimum(expected, data.size - expected if data.share else expected) < FEW_EVENTS).sum())
    if few and defined:
        notes.append(("few_events", f"{few} points expect fewer than {FEW_EVENTS:g} events; limits there are rough"))
    if defined and n >= FEWEST:
        first, second = z[1:][own[1:] & own[:-1]], z[:-1][own[1:] & own[:-1]]
        r = float((first * second).sum() / (z[own] ** 2).sum())
        if abs(r) > 2 / math.sqrt(n):
            text = f"neighbouring points correlate by {r:.2f}; false alarms are more frequent than stated"
            if r < 0:
                text = f"neighbouring points correlate by {r:.2f}; limits are wider than they need be"
            notes.append(("autocorrelation", text))
    return pd.DataFrame(notes, columns=["code", "text"])
