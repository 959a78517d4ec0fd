"""The index by client group: small groups withheld, differences from all others held to a joint level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.index.columns import Columns, difference, weighted_sum
from sqmodel.index.suppression import hide_nested, suppressed
from sqmodel.index.weighting import Weights, fixed_parts
from sqmodel.measurement.measure import Measure
from sqmodel.survey.responses import Responses

GROUP_COLUMNS = ["group", "value", "n", "suppressed", "estimate", "se", "low", "high",
                 "difference", "difference_se", "difference_low", "difference_high", "comparison", "bias"]  # fmt: skip


def score_groups(measure: Measure, weights: Weights, minimum_n: int, options: dict[str, Any]) -> pd.DataFrame:
    """One row a group of every variable, as `Index.groups` describes; `options` are those of the bootstrap."""
    current = measure.current
    codes = measure.instrument.dimension_codes
    scores = current.dimension_scores(list(measure.items))
    rows: list[dict[str, Any]] = []
    degrees: list[float] = []
    spread = _composite_deviation(current, scores, weights)
    hidden = _hidden(current, scores.notna(), minimum_n)
    for group in current.group_codes:
        gate = "not assessed" if measure.comparability is None else measure.comparability.status(group)
        labels = current.frame[group]
        counts = {str(v): int((labels == v).sum()) for v in _ordered(measure, group, labels)}
        for value, n in counts.items():
            row: dict[str, Any] = {"group": group, "value": value, "suppressed": hidden[group].get(value, "")}
            row["n"] = math.nan if value in hidden[group] else n
            if value not in hidden[group]:
                member = (labels == value).to_numpy(bool)
                figures, found = _one_group(current, scores, member, weights, spread, minimum_n, options)
                row |= _gated(figures, measure, group, value, gate)
                degrees += [] if gate == "not comparable" else found
            rows.append(row)
    return _simultaneous(pd.DataFrame(rows, columns=[*GROUP_COLUMNS, *codes]), degrees, options["level"])


COMPARISONS = {"comparable": "comparable", "partial": "flagged", "not comparable": "withheld"}
"""What the comparison gate does with a group's difference from the others; without a test it is "not assessed"."""


def _gated(figures: dict[str, Any], measure: Measure, group: str, value: str, gate: str) -> dict[str, Any]:
    """A group's figures with the verdict on their comparison: differences that bias could make are withheld.

    `bias` is what intercepts that differ between the groups add to the group's difference from the other tested ones,
    in index points.
    """
    row = figures | {"comparison": COMPARISONS.get(gate, "not assessed"), "bias": math.nan}
    if measure.comparability is not None:
        effects = measure.comparability.effects
        own = effects[effects["group"] == group]
        mine, others = own[own["value"] == value], own[own["value"] != value]
        if len(mine) and len(others):
            row["bias"] = float(mine["bias"].iloc[0] - np.average(others["bias"], weights=others["n"]))
    if gate == "not comparable":
        row |= {k: math.nan for k in ("difference", "difference_se") if k in row}
    return row


def _hidden(current: Responses, scored: pd.DataFrame, minimum_n: int) -> dict[str, dict[str, str]]:
    """Groups to withhold by variable: too small, or to be had by subtraction within or between the variables.

    A group is as large as the number of its members who can be scored, on the dimension where they are fewest.
    """
    labels = {g: [None if pd.isna(v) else str(v) for v in current.frame[g]] for g in current.group_codes}
    alone = {
        g: suppressed(
            {str(v): int(n) for v, n in scored.groupby(current.frame[g]).sum().min(axis=1).items()},
            column.count(None),
            minimum_n,
        )
        for g, column in labels.items()
    }
    return hide_nested(labels, alone, minimum_n)


def _ordered(measure: Measure, group: str, labels: pd.Series) -> list[str]:
    known = list(measure.instrument.group(group).values)
    found = set(labels.dropna().astype(str))
    return [v for v in known if v in found] + sorted(found - set(known))


def _composite_deviation(current: Responses, scores: pd.DataFrame, weights: Weights) -> float:
    """Standard deviation between respondents of the weighted score, over all groups."""
    weight = current.sample_weight
    shares = weights.table["weight"].to_numpy()
    filled = scores.to_numpy(float)
    means = [np.average(c[~np.isnan(c)], weights=weight[~np.isnan(c)]) for c in filled.T]
    deviation = np.nan_to_num(filled - means) @ shares
    return math.sqrt(float(np.average(deviation**2, weights=weight)) * len(weight) / max(len(weight) - 1, 1))


def _one_group(
    current: Responses,
    scores: pd.DataFrame,
    member: npt.NDArray[np.bool_],
    weights: Weights,
    spread: float,
    minimum_n: int,
    options: dict[str, Any],
) -> tuple[dict[str, Any], list[float]]:
    """Figures of a group, and the degrees of freedom of its difference from the others."""
    book = Columns(current.sample_weight, current.calibration)
    inside = [book.mean(scores[c].where(member)) for c in scores.columns]
    own = weighted_sum(fixed_parts(weights), inside)
    parts = [own, *inside]
    compared = int(scores[~member].notna().sum().min()) >= minimum_n
    if compared:
        outside = [book.mean(scores[c].where(~member)) for c in scores.columns]
        parts.append(difference(own, weighted_sum(fixed_parts(weights), outside)))
    b = book.bootstrap(parts, strata=member, **options)
    values = {"estimate": b.estimate[0], "se": b.se[0], "low": max(b.low[0], 0.0), "high": min(b.high[0], 100.0)}
    values |= dict(zip(scores.columns, b.estimate[1 : 1 + scores.shape[1]], strict=True))
    if not compared:
        return {k: float(v) for k, v in values.items()}, []
    pooled, n = _pooled_se(current.sample_weight, member, spread), len(current)
    values |= {"difference": b.estimate[-1], "difference_se": max(b.se[-1], pooled)}
    degrees = float(b.degrees[-1]) if b.se[-1] > pooled else float(n - 2)
    return {k: float(v) for k, v in values.items()}, [degrees]


def _pooled_se(weight: npt.NDArray[np.float64], member: npt.NDArray[np.bool_], spread: float) -> float:
    """Standard error of the difference of two groups that vary as all respondents do."""
    parts = ((weight[m] ** 2).sum() / weight[m].sum() ** 2 for m in (member, ~member))
    return spread * math.sqrt(float(sum(parts)))


def _simultaneous(table: pd.DataFrame, degrees: list[float], level: float) -> pd.DataFrame:
    """Bounds of the differences that hold for all groups compared, together (Sidak, Student's t).

    The standard error is the larger of Welch's and the pooled one. With skewed ratings a small group without a low
    answer has a high mean and a small variance of its own at the same time, and Welch's error alone would call it
    different far too often.
    """
    if not degrees:
        return table
    compared = table["difference"].notna()
    tail = (1 - level ** (1 / len(degrees))) / 2
    half = stats.t.ppf(1 - tail, np.array(degrees)) * table.loc[compared, "difference_se"].astype(float)
    table.loc[compared, "difference_low"] = table.loc[compared, "difference"].astype(float) - half
    table.loc[compared, "difference_high"] = table.loc[compared, "difference"].astype(float) + half
    return table
