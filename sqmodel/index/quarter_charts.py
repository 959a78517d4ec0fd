"""Control charts of the index over the quarters: the overall index and every dimension, each on a chart of its own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import SmallSampleWarning
from sqmodel.operations.control import chart_individuals
from sqmodel.operations.control_points import FEWEST

CHARTS = ["points", "centre", "centre_low", "centre_high", "sigma", "lower", "upper", "false_alarm", "false_alarm_se"]
SIGNALS = ["scope", "rule", "side", "first", "last", "points"]


def control_signals(
    points: pd.DataFrame, *, bounds: tuple[float, float], level: float, draws: int
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[str, str]]]:
    """XmR charts of the scopes of a table of quarters.

    Parameters
    ----------
    points : DataFrame
        quarter, scope, estimate; in order of time within a scope, NaN where a quarter has no figure.
    bounds : tuple of float
        Values that the index cannot leave.
    level, draws
        Of the centre's interval and of the simulated false alarms.

    Returns
    -------
    charts, signals, notes
        As `Trend` describes. A scope with fewer than 8 quarters has no chart, and a note says so.
    """
    rows: dict[str, dict[str, float]] = {}
    signals, notes, few = [], [], []
    for scope, own in points.groupby("scope", sort=False):
        known = int(own["estimate"].notna().sum())
        if known < FEWEST:
            few.append((str(scope), known))
            continue
        with warnings.catch_warnings(action="ignore", category=SmallSampleWarning):
            chart = chart_individuals(own["estimate"], labels=own["quarter"].tolist(), bounds=bounds, level=level,
                                      draws=draws)  # fmt: skip
        alarm: Any = chart.false_alarms.loc["any"]
        limits = chart.points[["lower", "upper"]].iloc[0]
        values = (chart.n, chart.centre.value, chart.centre.low, chart.centre.high, chart.sigma.value, *limits,
                  alarm["per_chart"], alarm["se"])  # fmt: skip
        rows[str(scope)] = dict(zip(CHARTS, values, strict=True))
        signals.append(chart.signals.assign(scope=scope))
        notes += [(str(code), f"{scope}: {text}") for code, text in chart.notes.itertuples(index=False)]
    if few:
        notes.insert(0, ("few_quarters", _too_few(few, points["scope"].nunique())))
    table = pd.concat(signals, ignore_index=True)[SIGNALS] if signals else pd.DataFrame(columns=SIGNALS)
    charts = pd.DataFrame.from_dict(rows, orient="index", columns=CHARTS).rename_axis("scope")
    return charts, table, notes


def _too_few(few: list[tuple[str, int]], scopes: int) -> str:
    """Why some scopes, or all, have no signals."""
    counts = sorted({n for _, n in few})
    found = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    whom = "" if len(few) == scopes else f" of {', '.join(s for s, _ in few)}"
    return f"{found} quarters{whom}; with fewer than {FEWEST} nothing signals"


def mark_signals(points: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
    """The table of quarters with the rules that signal at each, by comma."""
    found = np.full(len(points), "", dtype=object)
    for scope, rule, _, first, last, _ in signals[SIGNALS].itertuples(index=False):
        own = ((points["scope"] == scope) & points["quarter"].between(first, last)).to_numpy()
        found[own] = [f"{f}, {rule}" if f else rule for f in found[own]]
    return points.assign(signals=found)
