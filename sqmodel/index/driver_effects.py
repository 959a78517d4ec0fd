"""Slopes of all features on all outcomes, with bounds that hold together, and what a limit would be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.index.driver_design import Model, Prepared, scale_of, transformed
from sqmodel.index.driver_model import Array, Fit, fit, jointly

ORDER = ["feature", "outcome", "n", "slope", "se", "low", "high", "joint_low", "joint_high", "p", "p_joint", "drives",
         "effect", "effect_low", "effect_high", "beta", "unadjusted", "unadjusted_low", "unadjusted_high",
         "p_curved"]  # fmt: skip


def all_effects(
    found: Sequence[Model],
    scores: pd.DataFrame,
    weight: Array,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """One row a feature and outcome, from the model that tells of the feature; joint bounds over all rows."""
    parts = [_told(model, o, scores[o].to_numpy(float), weight, level) for model in found for o in model.fits]
    effects = pd.concat(parts, ignore_index=True)
    influence = np.zeros((len(scores), len(effects)))
    column = 0
    for model in found:
        own = [model.ready.names.index(n) + 1 for n in model.told]
        for one in model.fits.values():
            influence[model.ready.rows, column : column + len(own)] = one.influence[:, own]
            column += len(own)
    df = min(one.df for model in found for one in model.fits.values())
    critical, adjusted = jointly(influence, effects["t"].to_numpy(float), df, level, draws, rng)
    effects["joint_low"] = effects["slope"] - critical * effects["se"]
    effects["joint_high"] = effects["slope"] + critical * effects["se"]
    effects["p_joint"] = adjusted
    effects["drives"] = (effects["joint_low"] > 0) | (effects["joint_high"] < 0)
    return effects[ORDER]


def _told(model: Model, outcome: str, scored: Array, weight: Array, level: float) -> pd.DataFrame:
    ready, one = model.ready, model.fits[outcome]
    own = [ready.names.index(n) + 1 for n in model.told]
    w, x, y = weight[ready.rows], ready.design[:, own], scored[ready.rows]
    known = np.isfinite(y)
    spread = np.sqrt(np.average((x - np.average(x, axis=0, weights=w)) ** 2, axis=0, weights=w))
    deviation = float(np.sqrt(np.cov(y[known], aweights=w[known])))
    table = pd.DataFrame({"feature": model.told, "outcome": outcome, "n": one.n, "slope": one.slope[own],
                          "se": one.se[own]})  # fmt: skip
    half = float(stats.t.ppf((1 + level) / 2, one.df)) * table["se"]
    table["low"], table["high"] = table["slope"] - half, table["slope"] + half
    table["t"] = np.where(table["se"] > 0, table["slope"] / table["se"], 0.0)
    table["p"] = 2 * stats.t.sf(table["t"].abs(), one.df)
    for name, source in (("effect", "slope"), ("effect_low", "low"), ("effect_high", "high")):
        table[name] = table[source] * spread
    table["beta"] = table["effect"] / deviation if deviation > 0 else np.nan
    return table.join(_alone(ready, own, y, w, level)).join(_curved(ready, own, y, w))


def _alone(ready: Prepared, own: Sequence[int], y: Array, weight: Array, level: float) -> pd.DataFrame:
    """Slopes without the other features, over the same cases."""
    rows = []
    for j in own:
        x = np.column_stack([np.ones(len(y)), ready.design[:, j]])
        found = fit(x, y, weight)
        half = float(stats.t.ppf((1 + level) / 2, found.df)) * float(found.se[1])
        rows.append((found.slope[1], found.slope[1] - half, found.slope[1] + half))
    return pd.DataFrame(rows, columns=["unadjusted", "unadjusted_low", "unadjusted_high"])


def _curved(ready: Prepared, own: Sequence[int], y: Array, weight: Array) -> pd.DataFrame:
    """p-value of the square of each feature beside the others; NaN where it has two values only."""
    p = []
    for j in own:
        x = ready.design[:, j]
        square = x**2 - (x**2).mean()
        design = np.column_stack([ready.design, square])
        flat = len(np.unique(x[x != 0])) < 3 or np.linalg.matrix_rank(design) < design.shape[1]
        if flat:
            p.append(np.nan)
            continue
        found = fit(design, y, weight)
        p.append(float(2 * stats.t.sf(abs(found.slope[-1] / found.se[-1]), found.df)))
    return pd.DataFrame({"p_curved": p})


def worth(
    model: Model | None,
    table: pd.DataFrame,
    given: pd.DataFrame,
    outcomes: Sequence[str],
    weight: Array,
    limits: Mapping[str, float | Sequence[float]],
    transform: str,
    minimum_n: int,
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Change of the mean scores if every wait beyond a limit had been cut to it; `model` is that of the waits."""
    columns = ["feature", "limit", "outcome", "above", "share_above", "change", "low", "high", "reason"]
    rows: list[tuple[object, ...]] = []
    for name, limit in ((n, float(v)) for n, some in limits.items() for v in np.atleast_1d(np.asarray(some, float))):
        used = model is not None and name in model.told
        raw = given[name].to_numpy(float)[model.ready.rows if model is not None else slice(None)]
        above = int((raw > limit).sum())
        share = above / max(int(np.isfinite(raw).sum()), 1)
        reason = (
            _no_worth(raw, limit, minimum_n) if used else f"not in the regression: {table['reason'].to_dict()[name]}"
        )
        for outcome in outcomes:
            figures = (math.nan,) * 3
            if model is not None and not reason:
                scale = scale_of(name, transform)
                cut = transformed(raw, np.minimum(raw, limit), scale) - transformed(raw, raw, scale)
                cut = np.where(np.isfinite(raw), cut, 0.0)
                column = model.ready.names.index(name) + 1
                figures = _change(model.fits[outcome], column, cut, weight[model.ready.rows], level, draws, rng)
            rows.append((name, limit, outcome, above, share, *figures, reason))
    return pd.DataFrame(rows, columns=columns)


def _no_worth(raw: Array, limit: float, minimum_n: int) -> str:
    if int((raw <= limit).sum()) < minimum_n:
        return f"fewer than {minimum_n} cases within the limit: nothing is known about such waits"
    return "" if int((raw > limit).sum()) >= minimum_n else f"fewer than {minimum_n} cases beyond the limit"


def _change(
    found: Fit, column: int, cut: Array, weight: Array, level: float, draws: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Slope times mean cut, with bounds of the product's distribution.

    Quantiles of the product of both, drawn from t distributions; the mean cut is drawn on the scale of its logarithm,
    because its error grows with it. A symmetric (delta) interval covers 88 % where few cases lie beyond the limit.
    Method: MacKinnon, Lockwood and Williams (2004), Multivariate Behavioral Research 39.
    """
    share, n = weight / weight.sum(), len(cut)
    mean = float(share @ cut)
    error = float(np.sqrt((share**2 * (cut - mean) ** 2).sum() * n / (n - 1)))
    slope, se = float(found.slope[column]), float(found.se[column])
    slopes = slope + se * rng.standard_t(found.df, draws)
    cuts = mean * np.exp(error / abs(mean) * rng.standard_t(n - 1, draws))
    low, high = np.quantile(slopes * cuts, [(1 - level) / 2, (1 + level) / 2])
    return slope * mean, float(low), float(high)
